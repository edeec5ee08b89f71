/* core/arena.c - buddy allocator over one mapping; see arena_internal.h. */
#include "core/arena_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What lies free is poison to AddressSanitizer, as malloc's would be. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
#define POISON(at, size) ((void)(at), (void)(size))
#define UNPOISON(at, size) ((void)(at), (void)(size))
#endif

#define ORDERS 32 /* block sizes: PC_ARENA_MIN << order */
#define NONE UINT32_MAX

/* One cell for each PC_ARENA_MIN bytes; only a block's first one says anything. Kept beside
 * the memory, so that bookkeeping never touches a free page. */
struct cell {
	uint32_t next, previous; /* in the free list of its order; NONE: end */
	uint8_t order;
	bool is_free;
};

struct pc_arena {
	uint8_t *base;
	size_t size; /* bytes */
	uint32_t n_cells;
	uint32_t n_taken; /* blocks that are out */
	uint32_t free[ORDERS]; /* first of each list; NONE: empty */
	struct cell cells[];
};

static void insert(struct pc_arena *arena, uint32_t at, unsigned order)
{
	struct cell *cell = &arena->cells[at];
	*cell = (struct cell){
		.next = arena->free[order],
		.previous = NONE,
		.order = (uint8_t)order,
		.is_free = true,
	};
	if (cell->next != NONE) {
		arena->cells[cell->next].previous = at;
	}
	arena->free[order] = at;
}

static void remove_free(struct pc_arena *arena, uint32_t at)
{
	struct cell *cell = &arena->cells[at];
	if (cell->previous == NONE) {
		arena->free[cell->order] = cell->next;
	} else {
		arena->cells[cell->previous].next = cell->next;
	}
	if (cell->next != NONE) {
		arena->cells[cell->next].previous = cell->previous;
	}
	cell->is_free = false;
}

int pc_arena_create(size_t bytes, struct pc_arena **ret_arena)
{
	const size_t n_cells = bytes / PC_ARENA_MIN;
	if (n_cells == 0 || n_cells >= NONE / 2) {
		return -EINVAL;
	}
	struct pc_arena *arena = calloc(1, sizeof(*arena) + n_cells * sizeof(struct cell));
	if (arena == NULL) {
		return -ENOMEM;
	}
	arena->size = n_cells * PC_ARENA_MIN;
	arena->n_cells = (uint32_t)n_cells;
	arena->base = mmap(NULL, arena->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena->base == MAP_FAILED) {
		free(arena);
		return -ENOMEM;
	}
	for (unsigned order = 0; order < ORDERS; order++) {
		arena->free[order] = NONE;
	}
	/* A size that is no power of two: 96 is 64 and 32, each aligned to itself. */
	uint32_t at = 0;
	while (at < arena->n_cells) {
		unsigned order = 0;
		while (order + 1 < ORDERS && (at & ((UINT32_C(2) << order) - 1)) == 0 &&
			(UINT32_C(2) << order) <= arena->n_cells - at) {
			order++;
		}
		insert(arena, at, order);
		at += UINT32_C(1) << order;
	}
	POISON(arena->base, arena->size);
	*ret_arena = arena;
	return 0;
}

void pc_arena_destroy(struct pc_arena *arena)
{
	if (arena == NULL) {
		return;
	}
	assert(arena->n_taken == 0);
	UNPOISON(arena->base, arena->size);
	munmap(arena->base, arena->size);
	free(arena);
}

void *pc_arena_take(struct pc_arena *arena, size_t bytes)
{
	unsigned order = 0;
	while (order < ORDERS && ((size_t)PC_ARENA_MIN << order) < bytes) {
		order++;
	}
	unsigned found = order;
	while (found < ORDERS && arena->free[found] == NONE) {
		found++;
	}
	if (found >= ORDERS) {
		return NULL;
	}
	const uint32_t at = arena->free[found];
	remove_free(arena, at);
	while (found > order) {
		found--;
		insert(arena, at + (UINT32_C(1) << found), found);
	}
	arena->cells[at].order = (uint8_t)order;
	arena->n_taken++;
	uint8_t *block = arena->base + (size_t)at * PC_ARENA_MIN;
	UNPOISON(block, bytes);
	return block;
}

void pc_arena_give(struct pc_arena *arena, void *block)
{
	const size_t offset = (size_t)((uint8_t *)block - arena->base);
	assert(offset < arena->size && offset % PC_ARENA_MIN == 0);
	uint32_t at = (uint32_t)(offset / PC_ARENA_MIN);
	unsigned order = arena->cells[at].order;
	assert(!arena->cells[at].is_free && arena->n_taken > 0);
	arena->n_taken--;
	POISON(block, (size_t)PC_ARENA_MIN << order);
	while (order + 1 < ORDERS) {
		const uint32_t buddy = at ^ (UINT32_C(1) << order);
		if (buddy >= arena->n_cells || !arena->cells[buddy].is_free ||
			arena->cells[buddy].order != order) {
			break;
		}
		remove_free(arena, buddy);
		at = at < buddy ? at : buddy;
		order++;
	}
	insert(arena, at, order);
}
