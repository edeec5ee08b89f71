/* hwaccel/allocator_internal.h - for members of the allocator vtable only. */
#ifndef PC_HWACCEL_ALLOCATOR_INTERNAL_H
#define PC_HWACCEL_ALLOCATOR_INTERNAL_H

#include <stdatomic.h>

#include "hwaccel/allocator.h"

struct pc_allocator_impl {
	const char *name; /* "memfd" */
	unsigned caps; /* enum pc_frame_caps that its buffers have */
	/* A buffer of `format`, not published; 0, -EINVAL, -ENOMEM, -EMFILE ... The pool
	 * replaces its frame's release, and keeps its begin_cpu and end_cpu. */
	int (*allocate)(struct pc_allocator *allocator, const struct pc_frame_format *format,
		struct pc_frame **ret_frame);
	/* Frees a buffer that nobody holds. Any thread. */
	void (*free)(struct pc_allocator *allocator, struct pc_frame *frame);
	/* As pc_allocator_dmabuf(); NULL: -ENOTSUP. */
	int (*dmabuf)(struct pc_allocator *allocator, size_t size, int *ret_fd);
	void (*destroy)(struct pc_allocator *allocator);
};

/* The head of every member's own struct. */
struct pc_allocator {
	const struct pc_allocator_impl *impl;
	atomic_uint refs; /* the owner's, and one a pool */
};

/* Validates `impl`. */
void pc_allocator_init(struct pc_allocator *allocator, const struct pc_allocator_impl *impl);

#endif
