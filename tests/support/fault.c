/* tests/support/fault.c - see fault.h. Linked with -Wl,--wrap for each function below. */
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

/* clang-format off */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **ret, size_t align, size_t size);
ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __real_pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t __real_writev(int fd, const struct iovec *v, int n);
ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_open(const char *path, int flags, mode_t mode);
int __real_openat(int dir, const char *path, int flags, mode_t mode);
int __real_memfd_create(const char *name, unsigned flags);
int __real_mkdir(const char *path, mode_t mode);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_unlinkat(int dir, const char *path, int flags);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __wrap_posix_memalign(void **ret, size_t align, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_writev(int fd, const struct iovec *v, int n);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_memfd_create(const char *name, unsigned flags);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int dir, const char *path, int flags);

void *__wrap_malloc(size_t size) { return fails(FAULT_ALLOC) ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails(FAULT_ALLOC) ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *old, size_t size) { return fails(FAULT_ALLOC) ? NULL : __real_realloc(old, size); }
char *__wrap_strdup(const char *text) { return fails(FAULT_ALLOC) ? NULL : __real_strdup(text); }
char *__wrap_strndup(const char *text, size_t n) { return fails(FAULT_ALLOC) ? NULL : __real_strndup(text, n); }
void *__wrap_aligned_alloc(size_t align, size_t size) { return fails(FAULT_ALLOC) ? NULL : __real_aligned_alloc(align, size); }
int __wrap_posix_memalign(void **ret, size_t align, size_t size) { return fails(FAULT_ALLOC) ? ENOMEM : __real_posix_memalign(ret, align, size); }
ssize_t __wrap_write(int fd, const void *data, size_t n) { return fails(FAULT_WRITE) ? -1 : __real_write(fd, data, n); }
ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at) { return fails(FAULT_WRITE) ? -1 : __real_pwrite(fd, data, n, at); }
ssize_t __wrap_writev(int fd, const struct iovec *v, int n) { return fails(FAULT_WRITE) ? -1 : __real_writev(fd, v, n); }
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at) { return fails(FAULT_WRITE) ? -1 : __real_pwritev(fd, v, n, at); }
int __wrap_fsync(int fd) { return fails(FAULT_SYNC) ? -1 : __real_fsync(fd); }
int __wrap_fdatasync(int fd) { return fails(FAULT_SYNC) ? -1 : __real_fdatasync(fd); }
int __wrap_memfd_create(const char *name, unsigned flags) { return fails(FAULT_OPEN) ? -1 : __real_memfd_create(name, flags); }
int __wrap_mkdir(const char *path, mode_t mode) { return fails(FAULT_OPEN) ? -1 : __real_mkdir(path, mode); }
int __wrap_rename(const char *from, const char *to) { return fails(FAULT_NAME) ? -1 : __real_rename(from, to); }
int __wrap_unlink(const char *path) { return fails(FAULT_NAME) ? -1 : __real_unlink(path); }
int __wrap_unlinkat(int dir, const char *path, int flags) { return fails(FAULT_NAME) ? -1 : __real_unlinkat(dir, path, flags); }
/* clang-format on */

/* The mode argument is there only when a file may be made. */
static mode_t mode_of(int flags, va_list args)
{
	if ((flags & (O_CREAT | O_TMPFILE)) == 0) {
		return 0;
	}
	return (mode_t)va_arg(args, unsigned);
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return fails(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return fails(FAULT_OPEN) ? -1 : __real_openat(dir, path, flags, mode);
}
