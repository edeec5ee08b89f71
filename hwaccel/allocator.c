/* hwaccel/allocator.c - the allocator's wrapper, and pools of its buffers. */
#include "hwaccel/allocator.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "hwaccel/allocator_internal.h"

#define POOL_MAX 64

struct pc_frame_pool {
	/* The allocator's, with our release: what leads from a frame back to its pool. */
	struct pc_frame_impl frame_impl;
	struct pc_allocator *allocator; /* held */
	pthread_mutex_t lock;
	bool destroyed;
	unsigned n_out;
	unsigned n_idle;
	struct pc_frame *idle[POOL_MAX]; /* a stack: the warmest buffer goes out first */
};

void pc_allocator_init(struct pc_allocator *allocator, const struct pc_allocator_impl *impl)
{
	assert(impl->name != NULL && impl->caps != 0);
	assert(impl->allocate != NULL && impl->free != NULL && impl->destroy != NULL);
	allocator->impl = impl;
	atomic_init(&allocator->refs, 1);
}

static struct pc_allocator *allocator_ref(struct pc_allocator *allocator)
{
	atomic_fetch_add_explicit(&allocator->refs, 1, memory_order_relaxed);
	return allocator;
}

static void allocator_unref(struct pc_allocator *allocator)
{
	if (atomic_fetch_sub_explicit(&allocator->refs, 1, memory_order_acq_rel) == 1) {
		allocator->impl->destroy(allocator);
	}
}

const char *pc_allocator_name(const struct pc_allocator *allocator)
{
	return allocator->impl->name;
}

unsigned pc_allocator_caps(const struct pc_allocator *allocator)
{
	return allocator->impl->caps;
}

int pc_allocator_dmabuf(struct pc_allocator *allocator, size_t size, int *ret_fd)
{
	return allocator->impl->dmabuf == NULL ? -ENOTSUP
					       : allocator->impl->dmabuf(allocator, size, ret_fd);
}

void pc_allocator_destroy(struct pc_allocator *allocator)
{
	if (allocator != NULL) {
		allocator_unref(allocator);
	}
}

static void pool_free(struct pc_frame_pool *pool)
{
	struct pc_allocator *allocator = pool->allocator;
	for (unsigned i = 0; i < pool->n_idle; i++) {
		allocator->impl->free(allocator, pool->idle[i]);
	}
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	allocator_unref(allocator);
}

static void pool_release(struct pc_frame *frame)
{
	/* The pool's own frame_impl, which is not const; the frame only sees it so. */
	struct pc_frame_pool *pool = (struct pc_frame_pool *)(uintptr_t)frame->impl;
	pthread_mutex_lock(&pool->lock);
	pool->idle[pool->n_idle++] = frame;
	pool->n_out--;
	const bool last = pool->destroyed && pool->n_out == 0;
	pthread_mutex_unlock(&pool->lock);
	if (last) {
		pool_free(pool);
	}
}

int pc_frame_pool_create(struct pc_allocator *allocator, const struct pc_frame_format *format,
	unsigned count, struct pc_frame_pool **ret_pool)
{
	static_assert(offsetof(struct pc_frame_pool, frame_impl) == 0, "pool_release() casts");
	if (count == 0 || count > POOL_MAX) {
		return -EINVAL;
	}
	struct pc_frame_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL) {
		return -ENOMEM;
	}
	pool->allocator = allocator_ref(allocator);
	pthread_mutex_init(&pool->lock, NULL);
	for (unsigned i = 0; i < count; i++) {
		struct pc_frame *frame = NULL;
		const int r = allocator->impl->allocate(allocator, format, &frame);
		if (r < 0) {
			pool_free(pool);
			return r;
		}
		pool->frame_impl = *frame->impl;
		pool->frame_impl.release = pool_release;
		frame->impl = &pool->frame_impl;
		pool->idle[pool->n_idle++] = frame;
	}
	*ret_pool = pool;
	return 0;
}

struct pc_frame *pc_frame_pool_acquire(struct pc_frame_pool *pool)
{
	struct pc_frame *frame = NULL;
	pthread_mutex_lock(&pool->lock);
	if (pool->n_idle > 0) {
		frame = pool->idle[--pool->n_idle];
		pool->n_out++;
	}
	pthread_mutex_unlock(&pool->lock);
	if (frame != NULL) {
		pc_frame_publish(frame);
	}
	return frame;
}

void pc_frame_pool_destroy(struct pc_frame_pool *pool)
{
	if (pool == NULL) {
		return;
	}
	pthread_mutex_lock(&pool->lock);
	pool->destroyed = true;
	const bool last = pool->n_out == 0;
	pthread_mutex_unlock(&pool->lock);
	if (last) {
		pool_free(pool);
	}
}
