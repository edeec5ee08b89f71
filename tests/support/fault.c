/* tests/support/fault.c - see fault.h. Linked with -Wl,--wrap for each function below.
 *
 * Meson asks for 64-bit file offsets, and the C library then gives open, pwrite ... other
 * names (open64, pwrite64): both are wrapped.
 */
#include "tests/support/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic uint64_t calls[FAULT_KINDS];
static _Atomic int64_t countdown[FAULT_KINDS]; /* calls left until the fault; <= 0: none */
static atomic_int fault_errno;
static atomic_bool happened;

void fault_arm(enum fault_kind kind, unsigned n, int err)
{
	for (int i = 0; i < FAULT_KINDS; i++) {
		atomic_store(&countdown[i], 0);
	}
	atomic_store(&happened, false);
	atomic_store(&fault_errno, err);
	atomic_store(&countdown[kind], (int64_t)n);
}

bool fault_disarm(void)
{
	for (int i = 0; i < FAULT_KINDS; i++) {
		atomic_store(&countdown[i], 0);
	}
	return atomic_exchange(&happened, false);
}

uint64_t fault_calls(enum fault_kind kind)
{
	return atomic_load(&calls[kind]);
}

static bool fails(enum fault_kind kind)
{
	atomic_fetch_add(&calls[kind], 1);
	if (atomic_load(&countdown[kind]) <= 0) {
		return false;
	}
	if (atomic_fetch_sub(&countdown[kind], 1) != 1) {
		return false;
	}
	atomic_store(&happened, true);
	errno = atomic_load(&fault_errno);
	return true;
}

/* WRAP(kind, what a failed call returns, its result, its name, parameters, arguments) */
#define WRAP(kind, failed, type, name, parameters, arguments)                                      \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fails(kind) ? (failed) : __real_##name arguments;                           \
	}

/* As WRAP, for open and its kin: the mode is there only when a file may be made. */
#define WRAP_OPEN(name, parameters, arguments)                                                     \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		va_list args;                                                                      \
		va_start(args, flags);                                                             \
		const mode_t mode =                                                                \
			(flags & (O_CREAT | O_TMPFILE)) == 0 ? 0 : (mode_t)va_arg(args, unsigned); \
		va_end(args);                                                                      \
		return fails(FAULT_OPEN) ? -1 : __real_##name arguments;                           \
	}

/* clang-format off */
WRAP(FAULT_ALLOC, NULL, void *, malloc, (size_t size), (size))
WRAP(FAULT_ALLOC, NULL, void *, calloc, (size_t n, size_t size), (n, size))
WRAP(FAULT_ALLOC, NULL, void *, realloc, (void *old, size_t size), (old, size))
WRAP(FAULT_ALLOC, NULL, char *, strdup, (const char *text), (text))
WRAP(FAULT_ALLOC, NULL, char *, strndup, (const char *text, size_t n), (text, n))
WRAP(FAULT_ALLOC, NULL, void *, aligned_alloc, (size_t align, size_t size), (align, size))
WRAP(FAULT_ALLOC, ENOMEM, int, posix_memalign, (void **ret, size_t align, size_t size), (ret, align, size))

WRAP(FAULT_WRITE, -1, ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n))
WRAP(FAULT_WRITE, -1, ssize_t, pwrite, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at))
WRAP(FAULT_WRITE, -1, ssize_t, pwrite64, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at))
WRAP(FAULT_WRITE, -1, ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(FAULT_WRITE, -1, ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
WRAP(FAULT_WRITE, -1, ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))

WRAP(FAULT_SYNC, -1, int, fsync, (int fd), (fd))
WRAP(FAULT_SYNC, -1, int, fdatasync, (int fd), (fd))

WRAP_OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
WRAP_OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
WRAP(FAULT_OPEN, -1, int, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP(FAULT_OPEN, -1, int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(FAULT_OPEN, -1, int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))

WRAP(FAULT_NAME, -1, int, rename, (const char *from, const char *to), (from, to))
WRAP(FAULT_NAME, -1, int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(FAULT_NAME, -1, int, unlink, (const char *path), (path))
WRAP(FAULT_NAME, -1, int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
WRAP(FAULT_NAME, -1, int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(FAULT_NAME, -1, int, ftruncate64, (int fd, off_t size), (fd, size))
/* clang-format on */
