/* core/fragment.c - fragments and their pool; see fragment.h.
 *
 * A block is a fragment and its bytes in one allocation. Blocks come in size classes, four
 * for each doubling (a quarter wasted at most), and go back to the free list of their class.
 * The limit holds for all blocks, those in the free lists included.
 */
#include "core/fragment.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MIN_BLOCK 1024
#define STEPS_A_DOUBLING 4
#define DOUBLINGS 16 /* the largest class is just below 64 MiB */
#define N_CLASSES (STEPS_A_DOUBLING * DOUBLINGS)

/* Where the bytes begin in a block. */
#define DATA_OFFSET ((sizeof(struct pc_fragment) + 15) & ~(size_t)15)

struct pc_fragment_pool {
	pthread_mutex_t lock;
	size_t max_bytes;
	size_t n_bytes; /* of all blocks, free ones included */
	size_t n_live;
	bool destroyed; /* by its owner; the last live fragment frees it */
	struct pc_fragment *free[N_CLASSES];
};

static size_t class_bytes(unsigned class)
{
	size_t step = (size_t)MIN_BLOCK / STEPS_A_DOUBLING;
	return (step * (STEPS_A_DOUBLING + class % STEPS_A_DOUBLING)) << (class / STEPS_A_DOUBLING);
}

/* The smallest class with room for `bytes`; N_CLASSES if there is none. */
static unsigned class_for(size_t bytes)
{
	unsigned class = 0;
	while (class < N_CLASSES && class_bytes(class) < bytes) {
		class ++;
	}
	return class;
}

int pc_fragment_pool_create(size_t max_bytes, struct pc_fragment_pool **ret_pool)
{
	struct pc_fragment_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL) {
		return -ENOMEM;
	}
	pool->max_bytes = max_bytes;
	pthread_mutex_init(&pool->lock, NULL);
	*ret_pool = pool;
	return 0;
}

/* Frees blocks of the free lists, the largest first, until at most `keep` bytes are out. */
static void trim(struct pc_fragment_pool *pool, size_t keep)
{
	for (unsigned class = N_CLASSES; class -- > 0 && pool->n_bytes > keep;) {
		while (pool->free[class] != NULL && pool->n_bytes > keep) {
			struct pc_fragment *fragment = pool->free[class];
			pool->free[class] = fragment->next_free;
			pool->n_bytes -= class_bytes(class);
			free(fragment);
		}
	}
}

static void free_pool(struct pc_fragment_pool *pool)
{
	assert(pool->n_live == 0);
	trim(pool, 0);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
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

/* Under the lock. A free block of `class`, or of one up to four times as large: sizes vary
 * from frame to frame, and a steady stream is to end up allocating nothing. NULL: none. */
static struct pc_fragment *take_free(struct pc_fragment_pool *pool, unsigned class)
{
	for (unsigned i = 0; i <= 2 * STEPS_A_DOUBLING && class + i < N_CLASSES; i++) {
		struct pc_fragment *fragment = pool->free[class + i];
		if (fragment != NULL) {
			pool->free[class + i] = fragment->next_free;
			return fragment;
		}
	}
	return NULL;
}

/* Under the lock. A new block within the limit; NULL: none. */
static struct pc_fragment *allocate(struct pc_fragment_pool *pool, unsigned class)
{
	size_t bytes = class_bytes(class);
	if (bytes > pool->max_bytes) {
		return NULL;
	}
	trim(pool, pool->max_bytes - bytes);
	if (pool->n_bytes > pool->max_bytes - bytes) {
		return NULL;
	}
	struct pc_fragment *fragment = malloc(bytes);
	if (fragment != NULL) {
		fragment->size_class = class;
		pool->n_bytes += bytes;
	}
	return fragment;
}

struct pc_fragment *pc_fragment_new(
	struct pc_fragment_pool *pool, struct pc_init *init, size_t size, uint8_t **ret_data)
{
	assert(init != NULL);
	if (size > pool->max_bytes) { /* before the sum below, which could wrap */
		return NULL;
	}
	unsigned class = class_for(DATA_OFFSET + size);
	if (class == N_CLASSES) {
		return NULL;
	}
	pthread_mutex_lock(&pool->lock);
	assert(!pool->destroyed);
	struct pc_fragment *fragment = take_free(pool, class);
	if (fragment == NULL) {
		fragment = allocate(pool, class);
	}
	if (fragment != NULL) {
		pool->n_live++;
	}
	pthread_mutex_unlock(&pool->lock);
	if (fragment == NULL) {
		return NULL;
	}
	uint8_t *data = (uint8_t *)fragment + DATA_OFFSET;
	*fragment = (struct pc_fragment){
		.data = data,
		.size = size,
		.init = pc_init_ref(init),
		.pool = pool,
		.size_class = fragment->size_class,
		.refs = 1,
	};
	*ret_data = data;
	return fragment;
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
	pc_init_unref(fragment->init);
	fragment->init = NULL;
	pthread_mutex_lock(&pool->lock);
	fragment->next_free = pool->free[fragment->size_class];
	pool->free[fragment->size_class] = fragment;
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
