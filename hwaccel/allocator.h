/* hwaccel/allocator.h - where frame buffers come from, and pools of them.
 *
 * Members: `memfd` (software). Dma-heap, DRM dumb/GBM and V4L2 EXPBUF join it
 * behind the same vtable.
 */
#ifndef PC_HWACCEL_ALLOCATOR_H
#define PC_HWACCEL_ALLOCATOR_H

#include "core/frame.h"

struct pc_allocator;

/* Anonymous memory by memfd_create, sealed against shrinking, mapped once; the planes
 * share the fd. Strides are multiples of 64 bytes (packed RGB: of 32), and 64 bytes or
 * more may be read past the last line. 0, -ENOMEM. */
int pc_allocator_create_memfd(struct pc_allocator **ret_allocator);
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
