/* tests/unit/core/test_arena.c - blocks never overlap, never leak, and join again. */
#include "core/arena_internal.h"

#include <errno.h>
#include <stdbool.h>

#include "tests/support/fault.h"
#include "tests/support/test.h"

#define HELD 400

static uint32_t seed = 1;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Each block is filled with its own byte; one that overlapped another would show. */
static void test_random(void)
{
	struct pc_arena *arena = NULL;
	struct {
		uint8_t *at;
		size_t size;
		uint8_t fill;
	} held[HELD] = { 0 };
	test_int(pc_arena_create(5 * 1024 * 1024 + 77, &arena), 0); /* no power of two */
	unsigned refused = 0;
	for (unsigned i = 0; i < 60000; i++) {
		const unsigned slot = draw(HELD);
		if (held[slot].at != NULL) {
			for (size_t k = 0; k < held[slot].size; k += 97) {
				test_int(held[slot].at[k], held[slot].fill);
			}
			pc_arena_give(arena, held[slot].at);
			held[slot].at = NULL;
			continue;
		}
		held[slot].size = 1 + draw(draw(8) == 0 ? 200000 : 9000);
		held[slot].at = pc_arena_take(arena, held[slot].size);
		if (held[slot].at == NULL) {
			refused++;
			continue;
		}
		test_int((uintptr_t)held[slot].at % PC_ARENA_MIN, 0);
		held[slot].fill = (uint8_t)i;
		memset(held[slot].at, held[slot].fill, held[slot].size);
	}
	test_assert(refused > 0); /* the limit was met */
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i].at != NULL) {
			pc_arena_give(arena, held[i].at);
		}
	}
	/* All joined again: 4 MiB and 1 MiB are whole. */
	void *four = pc_arena_take(arena, 4 * 1024 * 1024);
	void *one = pc_arena_take(arena, 1024 * 1024);
	test_assert(four != NULL && one != NULL && pc_arena_take(arena, 1) == NULL);
	pc_arena_give(arena, four);
	pc_arena_give(arena, one);
	pc_arena_destroy(arena);
}

static void test_edges(void)
{
	struct pc_arena *arena = NULL;
	test_int(pc_arena_create(PC_ARENA_MIN - 1, &arena), -EINVAL);
	test_int(pc_arena_create(SIZE_MAX, &arena), -EINVAL);
	test_int(pc_arena_create(PC_ARENA_MIN, &arena), 0);
	void *block = pc_arena_take(arena, PC_ARENA_MIN);
	test_assert(block != NULL && pc_arena_take(arena, 1) == NULL);
	pc_arena_give(arena, block);
	test_assert(pc_arena_take(arena, PC_ARENA_MIN + 1) == NULL);
	test_assert(pc_arena_take(arena, SIZE_MAX) == NULL);
	pc_arena_destroy(arena);
	pc_arena_destroy(NULL);
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_arena_create(PC_ARENA_MIN, &arena), -ENOMEM);
	test_assert(fault_disarm());
}

int main(void)
{
	TEST_RUN(test_random);
	TEST_RUN(test_edges);
	return test_end();
}
