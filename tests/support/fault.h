/* tests/support/fault.h - the n-th call fails, and calls are counted.
 *
 * Works on petcam's own objects only: a test linked with `fault_dep` has our calls to
 * malloc, write, fsync ... redirected (ld --wrap) while libraries keep theirs.
 *
 *   for (unsigned n = 1;; n++) {
 *           fault_arm(FAULT_ALLOC, n, ENOMEM);
 *           int r = pc_thing_create(&thing);
 *           if (!fault_disarm()) { test_int(r, 0); break; }  // n was past the last call
 *           test_int(r, -ENOMEM);
 *   }
 *
 * Thread: arm and disarm from one thread; the counting is atomic.
 */
#ifndef PC_TEST_FAULT_H
#define PC_TEST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
	FAULT_ALLOC, /* malloc calloc realloc strdup strndup aligned_alloc posix_memalign */
	FAULT_WRITE, /* write pwrite writev pwritev */
	FAULT_SYNC, /* fsync fdatasync */
	FAULT_OPEN, /* open openat memfd_create mkdir mkdirat */
	FAULT_NAME, /* rename renameat unlink unlinkat ftruncate */
	FAULT_KINDS,
};

/* From now on the n-th call (from 1) of this kind fails, once, with errno `err`
 * (allocations return NULL). */
void fault_arm(enum fault_kind kind, unsigned n, int err);

/* true if the fault happened since fault_arm(). */
bool fault_disarm(void);

/* Calls of this kind since the program began, failed ones included. */
uint64_t fault_calls(enum fault_kind kind);

#endif
