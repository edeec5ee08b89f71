/* core/fragment.c - fragments and their pool; see fragment.h.
 *
 * A block of the pool's arena is a fragment and its bytes. Nothing is allocated after the
 * pool was made.
 */
#include "core/fragment.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena_internal.h"

/* Where the bytes begin in a block. */
#define DATA_OFFSET ((sizeof(struct pc_fragment) + 15) & ~(size_t)15)

struct pc_fragment_pool {
	pthread_mutex_t lock;
	struct pc_arena *arena;
	struct pc_arena *reserve; /* for key fragments; NULL: none */
	size_t n_live;
	bool destroyed; /* by its owner; the last live fragment frees it */
};

int pc_fragment_pool_create(size_t max_bytes, struct pc_fragment_pool **ret_pool)
{
	struct pc_fragment_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL) {
		return -ENOMEM;
	}
	const int r = pc_arena_create(max_bytes, &pool->arena);
	if (r < 0) {
		free(pool);
		return r;
	}
	pthread_mutex_init(&pool->lock, NULL);
	*ret_pool = pool;
	return 0;
}

static void free_pool(struct pc_fragment_pool *pool)
{
	assert(pool->n_live == 0);
	pc_arena_destroy(pool->arena);
	pc_arena_destroy(pool->reserve);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

int pc_fragment_pool_reserve(struct pc_fragment_pool *pool, size_t bytes)
{
	assert(pool->reserve == NULL && pool->n_live == 0);
	return pc_arena_create(bytes, &pool->reserve);
}

void pc_fragment_pool_destroy(struct pc_fragment_pool *pool)
{
	if (pool == NULL) {
		return;
	}
	pthread_mutex_lock(&pool->lock);
	assert(!pool->destroyed);
	pool->destroyed = true;
	bool last = pool->n_live == 0;
	pthread_mutex_unlock(&pool->lock);
	if (last) {
		free_pool(pool);
	}
}

/* NULL: neither has a block; else *ret_reserved says whose it is. */
static struct pc_fragment *take(
	struct pc_fragment_pool *pool, bool key, size_t size, bool *ret_reserved)
{
	pthread_mutex_lock(&pool->lock);
	assert(!pool->destroyed);
	struct pc_fragment *fragment = pc_arena_take(pool->arena, size);
	*ret_reserved = fragment == NULL;
	if (fragment == NULL && key && pool->reserve != NULL) {
		fragment = pc_arena_take(pool->reserve, size);
	}
	if (fragment != NULL) {
		pool->n_live++;
	}
	pthread_mutex_unlock(&pool->lock);
	return fragment;
}

static struct pc_fragment *new_fragment(struct pc_fragment_pool *pool, struct pc_init *init,
	bool key, size_t size, uint8_t **ret_data)
{
	assert(init != NULL);
	if (size > SIZE_MAX - DATA_OFFSET) {
		return NULL;
	}
	bool reserved = false;
	struct pc_fragment *fragment = take(pool, key, DATA_OFFSET + size, &reserved);
	if (fragment == NULL) {
		return NULL;
	}
	uint8_t *data = (uint8_t *)fragment + DATA_OFFSET;
	*fragment = (struct pc_fragment){
		.data = data,
		.size = size,
		.init = pc_init_ref(init),
		.pool = pool,
		.reserved = reserved,
		.refs = 1,
	};
	*ret_data = data;
	return fragment;
}

struct pc_fragment *pc_fragment_new(
	struct pc_fragment_pool *pool, struct pc_init *init, size_t size, uint8_t **ret_data)
{
	return new_fragment(pool, init, false, size, ret_data);
}

struct pc_fragment *pc_fragment_new_key(
	struct pc_fragment_pool *pool, struct pc_init *init, size_t size, uint8_t **ret_data)
{
	return new_fragment(pool, init, true, size, ret_data);
}

struct pc_fragment *pc_fragment_ref(struct pc_fragment *fragment)
{
	unsigned before = atomic_fetch_add_explicit(&fragment->refs, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
	return fragment;
}

void pc_fragment_unref(struct pc_fragment *fragment)
{
	if (fragment == NULL) {
		return;
	}
	unsigned before = atomic_fetch_sub_explicit(&fragment->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1) {
		return;
	}
	struct pc_fragment_pool *pool = fragment->pool;
	struct pc_arena *arena = fragment->reserved ? pool->reserve : pool->arena;
	pc_init_unref(fragment->init);
	pthread_mutex_lock(&pool->lock);
	pc_arena_give(arena, fragment);
	pool->n_live--;
	bool last = pool->destroyed && pool->n_live == 0;
	pthread_mutex_unlock(&pool->lock);
	if (last) {
		free_pool(pool);
	}
}

struct pc_init *pc_init_new(const uint8_t *data, size_t size)
{
	struct pc_init *init = malloc(sizeof(*init) + size);
	if (init == NULL) {
		return NULL;
	}
	uint8_t *copy = (uint8_t *)(init + 1);
	memcpy(copy, data, size);
	*init = (struct pc_init){ .data = copy, .size = size, .refs = 1 };
	return init;
}

struct pc_init *pc_init_ref(struct pc_init *init)
{
	unsigned before = atomic_fetch_add_explicit(&init->refs, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
	return init;
}

void pc_init_unref(struct pc_init *init)
{
	if (init == NULL) {
		return;
	}
	unsigned before = atomic_fetch_sub_explicit(&init->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1) {
		free(init);
	}
}
