/* hwaccel/allocator.h - where frame buffers come from, and pools of them.
 *
 * Members: `memfd` (software). Dma-heap, DRM dumb/GBM and V4L2 EXPBUF join it
 * behind the same vtable.
 */
#ifndef PC_HWACCEL_ALLOCATOR_H
#define PC_HWACCEL_ALLOCATOR_H

#include <stddef.h>

#include "core/frame.h"

struct pc_allocator;

/* For implementers. Validated once by pc_allocator_init(). */
struct pc_allocator_impl {
	const char *name; /* "memfd" */
	unsigned caps; /* enum pc_frame_caps that its buffers have */
	/* A buffer of `format`, not published; 0, -ENOMEM, -EINVAL. Its release is
	 * set by the pool. */
	int (*allocate)(struct pc_allocator *allocator, const struct pc_frame_format *format,
		struct pc_frame **ret_frame);
	/* Frees a buffer that nobody holds. */
	void (*free)(struct pc_allocator *allocator, struct pc_frame *frame);
	void (*destroy)(struct pc_allocator *allocator);
};

/* Anonymous memory by memfd_create, sealed against shrinking, mapped once.
 * Strides are multiples of 64 bytes. */
int pc_allocator_create_memfd(struct pc_allocator **ret_allocator);
const char *pc_allocator_name(const struct pc_allocator *allocator);
void pc_allocator_destroy(struct pc_allocator *allocator); /* its pools first; NULL is fine */

/* A fixed number of buffers of one format, all allocated by create.
 * Thread: acquire from any; frames come back from any. */
struct pc_frame_pool;

int pc_frame_pool_create(struct pc_allocator *allocator, const struct pc_frame_format *format,
	unsigned count, struct pc_frame_pool **ret_pool);

/* A published frame with one reference, capture_ns and sequence still to be set;
 * NULL when all are out (the caller counts the drop). Allocates nothing. */
struct pc_frame *pc_frame_pool_acquire(struct pc_frame_pool *pool);

/* Frames that are still out stay valid; the last one frees the pool and then
 * drops the pool's hold on the allocator. NULL is fine. */
void pc_frame_pool_destroy(struct pc_frame_pool *pool);

#endif
