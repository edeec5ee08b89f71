/* hwaccel/libav_prime_internal.h - a frame's dma-buf as libavcodec's AV_PIX_FMT_DRM_PRIME; for
 * encoder_libav.c only. */
#ifndef PC_HWACCEL_LIBAV_PRIME_INTERNAL_H
#define PC_HWACCEL_LIBAV_PRIME_INTERNAL_H

#include <libavutil/frame.h>

#include "core/frame.h"

/* Makes the empty `picture` show `frame`, whose reference it takes in any case. Nothing is mapped.
 * 0; -EINVAL: the planes lie in several dma-bufs; -ENOMEM. */
int pc_libav_wrap_prime(AVFrame *picture, struct pc_frame *frame);

#endif
