/* tests/unit/storage/fault64.c - with 64-bit file offsets the C library's calls have other
 * names, and some that recordings use are not in fault_dep: all are sent through its counters. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *v, int n, off_t at);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);

ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t at)
{
	return __wrap_pwrite(fd, data, n, at);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *v, int n, off_t at)
{
	return __wrap_pwritev(fd, v, n, at);
}

static mode_t mode_of(int flags, va_list args)
{
	return (flags & O_CREAT) != 0 ? (mode_t)va_arg(args, unsigned) : 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return __wrap_open(path, flags, mode);
}

int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return __wrap_openat(dir, path, flags, mode);
}

/* For calls that fault_dep does not know: renaming nothing (or making a folder without a name)
 * says ENOENT, unless it was the call that was to fail. */
static int fails_as_name(void)
{
	return __wrap_rename("", "") < 0 && errno != ENOENT;
}

static int fails_as_open(void)
{
	return __wrap_mkdir("", 0) < 0 && errno != ENOENT;
}

int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_mkdirat(int dir, const char *path, mode_t mode);
int __real_ftruncate64(int fd, off_t size);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_mkdirat(int dir, const char *path, mode_t mode);
int __wrap_ftruncate64(int fd, off_t size);

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return fails_as_name() ? -1 : __real_renameat(from_dir, from, to_dir, to);
}

int __wrap_mkdirat(int dir, const char *path, mode_t mode)
{
	return fails_as_open() ? -1 : __real_mkdirat(dir, path, mode);
}

int __wrap_ftruncate64(int fd, off_t size)
{
	return fails_as_name() ? -1 : __real_ftruncate64(fd, size);
}
