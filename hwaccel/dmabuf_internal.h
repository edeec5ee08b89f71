/* hwaccel/dmabuf_internal.h - a frame buffer that is a dma-buf; for allocators.
 *
 * It is mapped at the first begin_cpu() and not before, once, for as long as it lives:
 * frames that only devices look at never show in the process's address space.
 *
 * Thread: create and destroy from any; begin_cpu and end_cpu from several at once.
 */
#ifndef PC_HWACCEL_DMABUF_INTERNAL_H
#define PC_HWACCEL_DMABUF_INTERNAL_H

#include <stddef.h>

#include "core/frame.h"

/* libswscale's vector code reads up to 16 bytes past a line; the last has this much. */
#define PC_DMABUF_TAIL 64

struct pc_dmabuf_layout {
	struct pc_frame_format format;
	unsigned n_planes;
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES]; /* fds are not looked at */
	size_t size; /* bytes to ask for: whole pages, with a tail to read over */
};

/* Planes whose first stride is a multiple of 64 bytes (packed RGB: 32), and room for the
 * lines that a device writes or reads beyond the last: up to a multiple of 16. 0, -EINVAL. */
int pc_dmabuf_layout(const struct pc_frame_format *format, struct pc_dmabuf_layout *ret_layout);

/* A frame with PC_FRAME_DMABUF and PC_FRAME_CPU, not published, whose release a pool
 * replaces. `fd` is owned on success. 0, -EINVAL (the planes do not fit in `size`), -ENOMEM. */
int pc_dmabuf_frame_create(
	int fd, const struct pc_dmabuf_layout *layout, struct pc_frame **ret_frame);
void pc_dmabuf_frame_destroy(struct pc_frame *frame); /* unmaps and closes; NULL is fine */

#endif
