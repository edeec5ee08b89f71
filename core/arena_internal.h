/* core/arena_internal.h - memory for fragments: one mapping, cut by the buddy method.
 *
 * A camera that runs for years must neither allocate per frame nor fragment the heap. The
 * whole limit is mapped once, untouched pages cost nothing; blocks are powers of two of
 * PC_ARENA_MIN bytes, and a freed block joins its free buddy at once, so what was cut small
 * becomes large again.
 *
 * Thread: one at a time.
 */
#ifndef PC_CORE_ARENA_INTERNAL_H
#define PC_CORE_ARENA_INTERNAL_H

#include <stddef.h>

#define PC_ARENA_MIN 1024

struct pc_arena;

/* `bytes` is rounded down to a multiple of PC_ARENA_MIN. 0, -EINVAL (less than that), -ENOMEM. */
int pc_arena_create(size_t bytes, struct pc_arena **ret_arena);

/* Every block must have been given back. NULL is fine. */
void pc_arena_destroy(struct pc_arena *arena);

/* At least `bytes`, aligned to PC_ARENA_MIN; NULL: no block of that size is free. */
void *pc_arena_take(struct pc_arena *arena, size_t bytes);
void pc_arena_give(struct pc_arena *arena, void *block);

#endif
