/* tests/support/copy_count.c - LD_PRELOAD: counts the bytes that any program copies by
 * memcpy and memmove (and their checked and variant forms).
 *
 * COPY_COUNT names a file of 32 bytes, shared by all processes that have this loaded; its four
 * little-endian 64-bit words only ever grow: bytes of copies of 4 KiB and more, their number,
 * bytes of smaller copies, their number. A reader takes the difference of two looks.
 *
 * What it cannot see: copies that a compiler made into instructions in place, that a library does
 * with loops of its own (pixel conversion, assembler), calls within libc (stdio's buffers),
 * and what the kernel copies (system calls: strace counts those).
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE 4096U

struct counts {
	_Atomic uint64_t large_bytes;
	_Atomic uint64_t large_calls;
	_Atomic uint64_t small_bytes;
	_Atomic uint64_t small_calls;
};

static struct counts own; /* until the file is mapped, and where there is none */
static struct counts *_Atomic shared = &own;

__attribute__((constructor)) static void map_counts(void)
{
	const char *path = getenv("COPY_COUNT");
	const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		return;
	}
	if (ftruncate(fd, sizeof(struct counts)) == 0) {
		void *data = mmap(
			NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (data != MAP_FAILED) {
			atomic_store(&shared, (struct counts *)data);
		}
	}
	close(fd);
}

static void count(size_t n)
{
	struct counts *counts = atomic_load_explicit(&shared, memory_order_relaxed);
	if (n >= LARGE) {
		atomic_fetch_add_explicit(&counts->large_bytes, n, memory_order_relaxed);
		atomic_fetch_add_explicit(&counts->large_calls, 1, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&counts->small_bytes, n, memory_order_relaxed);
		atomic_fetch_add_explicit(&counts->small_calls, 1, memory_order_relaxed);
	}
}

/* In assembler: no compiler makes a call of memcpy out of it. */
static void copy_up(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void copy_down(void *to, const void *from, size_t n)
{
	unsigned char *d = (unsigned char *)to + n - 1;
	const unsigned char *s = (const unsigned char *)from + n - 1;
	__asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(d), "+S"(s), "+c"(n) : : "memory", "cc");
}

#define PUBLIC __attribute__((visibility("default")))

PUBLIC void *memcpy(void *restrict to, const void *restrict from, size_t n);
PUBLIC void *memmove(void *to, const void *from, size_t n);
PUBLIC void *mempcpy(void *restrict to, const void *restrict from, size_t n);
PUBLIC void bcopy(const void *from, void *to, size_t n);
PUBLIC void *__memcpy_chk(void *restrict to, const void *restrict from, size_t n, size_t room);
PUBLIC void *__memmove_chk(void *to, const void *from, size_t n, size_t room);
PUBLIC void *__mempcpy_chk(void *restrict to, const void *restrict from, size_t n, size_t room);

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	count(n);
	copy_up(to, from, n);
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	count(n);
	if ((uintptr_t)to - (uintptr_t)from >= n) {
		copy_up(to, from, n);
	} else {
		copy_down(to, from, n);
	}
	return to;
}

void *mempcpy(void *restrict to, const void *restrict from, size_t n)
{
	return (char *)memcpy(to, from, n) + n;
}

void bcopy(const void *from, void *to, size_t n)
{
	memmove(to, from, n);
}

void *__memcpy_chk(void *restrict to, const void *restrict from, size_t n, size_t room)
{
	if (n > room) {
		abort();
	}
	return memcpy(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	if (n > room) {
		abort();
	}
	return memmove(to, from, n);
}

void *__mempcpy_chk(void *restrict to, const void *restrict from, size_t n, size_t room)
{
	if (n > room) {
		abort();
	}
	return mempcpy(to, from, n);
}
