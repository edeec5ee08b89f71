/* hwaccel/libav_prime.c - a frame's dma-buf as AV_PIX_FMT_DRM_PRIME; see libav_prime_internal.h.
 *
 * Raspberry Pi OS's h264_v4l2m2m imports exactly one object in one layer (its
 * v4l2_m2m_enc.c, avdrm_to_v4l2()).
 */
#include "hwaccel/libav_prime_internal.h"

#include <errno.h>
#include <unistd.h>

#include <libavutil/hwcontext_drm.h>
#include <libavutil/mem.h>

struct prime {
	AVDRMFrameDescriptor descriptor; /* what picture->data[0] points to */
	struct pc_frame *frame; /* with a reference */
};

static void release_prime(void *opaque, uint8_t *data)
{
	struct prime *prime = opaque;
	pc_frame_unref(prime->frame);
	av_free(prime);
}

int pc_libav_wrap_prime(AVFrame *picture, struct pc_frame *frame)
{
	int r = -EINVAL;
	for (unsigned i = 1; i < frame->n_planes; i++) {
		if (frame->planes[i].fd != frame->planes[0].fd) {
			goto fail;
		}
	}
	r = -ENOMEM;
	struct prime *prime = av_mallocz(sizeof(*prime));
	if (prime == NULL) {
		goto fail;
	}
	picture->buf[0] = av_buffer_create((uint8_t *)&prime->descriptor, sizeof(prime->descriptor),
		release_prime, prime, AV_BUFFER_FLAG_READONLY);
	if (picture->buf[0] == NULL) {
		av_free(prime);
		goto fail;
	}
	prime->frame = frame;
	const off_t size = lseek(frame->planes[0].fd, 0, SEEK_END);
	AVDRMFrameDescriptor *descriptor = &prime->descriptor;
	descriptor->nb_objects = 1;
	descriptor->objects[0].fd = frame->planes[0].fd;
	descriptor->objects[0].size = size > 0 ? (size_t)size : 0;
	descriptor->objects[0].format_modifier = frame->format.modifier;
	descriptor->nb_layers = 1;
	descriptor->layers[0].format = frame->format.fourcc;
	descriptor->layers[0].nb_planes = (int)frame->n_planes;
	for (unsigned i = 0; i < frame->n_planes; i++) {
		descriptor->layers[0].planes[i].offset = (ptrdiff_t)frame->planes[i].offset;
		descriptor->layers[0].planes[i].pitch = (ptrdiff_t)frame->planes[i].stride;
	}
	picture->data[0] = (uint8_t *)descriptor;
	return 0;

fail:
	pc_frame_unref(frame);
	return r;
}
