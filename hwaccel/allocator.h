/* hwaccel/allocator.h - where frame buffers come from, and pools of them.
 *
 * Members: `memfd` (software); `heap` (a contiguous dma-heap), `drm` (dumb buffers,
 * exported by PRIME) and `expbuf` (the encoder's own input buffers, for cameras that
 * import) give dma-bufs that the media devices take.
 */
#ifndef PC_HWACCEL_ALLOCATOR_H
#define PC_HWACCEL_ALLOCATOR_H

#include <stddef.h>

#include "core/frame.h"

struct pc_allocator;

/* Anonymous memory by memfd_create, sealed against shrinking, mapped once; the planes
 * share the fd. Strides are multiples of 64 bytes (packed RGB: of 32), and 64 bytes or
 * more may be read past the last line. 0, -ENOMEM. */
int pc_allocator_create_memfd(struct pc_allocator **ret_allocator);

/* Physically contiguous and cached: `path`, or (NULL) the first of the heaps known to be so
 * (linux,cma; reserved; vidbuf_cached; default_cma_region) that can be opened and gives a page.
 * Frames have DMABUF and CPU; CPU access is bracketed by DMA_BUF_IOCTL_SYNC and mapped at
 * the first begin_cpu(). Strides are multiples of 64 bytes (packed RGB: of 32).
 * 0, -ENODEV (none), -EACCES ..., `why` says which were tried and what each said. */
int pc_allocator_create_heap(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator);

/* DRM dumb buffers of a card node (NULL: the first that makes them), exported by PRIME.
 * Strides are the driver's. They may be contiguous, and may be uncached: ask. */
int pc_allocator_create_drm(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator);

/* Buffers of the OUTPUT queue of an M2M encoder node, exported (EXPBUF): what it can
 * import for sure, slow for the CPU to read where the device maps uncached. The node's handle
 * lives as long as the allocator. At most 32, of one format at a time (another: -EBUSY while
 * frames of the first are there); no bare dma-bufs. */
int pc_allocator_create_expbuf(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator);

/* The best for sources that draw or decode with the CPU: where `encoder_choice` can give a
 * V4L2 encoder, the first of heap, drm and expbuf of which that encoder takes a buffer (one is
 * tried), so that it imports what was drawn; else memfd. Logs one line. 0, -ENOMEM. */
int pc_allocator_create_for(const char *encoder_choice, struct pc_allocator **ret_allocator);

/* One bare dma-buf of `size` bytes, for a camera that imports; the caller owns the fd.
 * -ENOTSUP where the allocator has none to give (memfd). */
int pc_allocator_dmabuf(struct pc_allocator *allocator, size_t size, int *ret_fd);

const char *pc_allocator_name(const struct pc_allocator *allocator);
unsigned pc_allocator_caps(const struct pc_allocator *allocator); /* of its frames */
void pc_allocator_destroy(struct pc_allocator *allocator); /* its pools first; NULL is fine */

/* A fixed number of buffers of one format, all allocated by create.
 * Thread: acquire from any; frames come back from any. */
struct pc_frame_pool;

/* 0; -EINVAL: a count of 0 or over 64, or a format that the allocator cannot make;
 * -ENOMEM, -EMFILE ... */
int pc_frame_pool_create(struct pc_allocator *allocator, const struct pc_frame_format *format,
	unsigned count, struct pc_frame_pool **ret_pool);

/* A published frame with one reference, capture_ns and sequence still to be set;
 * NULL when all are out (the caller counts the drop). Allocates nothing. */
struct pc_frame *pc_frame_pool_acquire(struct pc_frame_pool *pool);

/* Frames that are still out stay valid; the last one frees the pool and then
 * drops the pool's hold on the allocator. NULL is fine. */
void pc_frame_pool_destroy(struct pc_frame_pool *pool);

#endif
