/* tests/support/alloc_count.c - preloaded into the daemon: who allocates, and how often.
 *
 * Counts malloc, calloc, realloc and aligned allocations by the caller: the main program
 * (petcam's own code, linked in whole) or a shared library. The two counters lie in the file
 * that $PETCAM_ALLOC_COUNT names, mapped shared, so that a test reads them while the daemon
 * runs: uint64_t own, uint64_t others, then CALLERS pairs of uint64_t: where in the main
 * program (an address for addr2line), and how often.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CALLERS 1024

struct counters {
	_Atomic uint64_t own;
	_Atomic uint64_t others;
	struct {
		_Atomic uint64_t address;
		_Atomic uint64_t calls;
	} callers[CALLERS];
};

static struct counters nowhere;
static struct counters *counters = &nowhere;
static uintptr_t base, text_start, text_end; /* of the main program */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);

static int find_main_program(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
			base = info->dlpi_addr;
			text_start = info->dlpi_addr + segment->p_vaddr;
			text_end = text_start + segment->p_memsz;
		}
	}
	return 1; /* the first one is the program itself */
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("PETCAM_ALLOC_COUNT");
	dl_iterate_phdr(find_main_program, NULL);
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		return;
	}
	if (ftruncate(fd, sizeof(struct counters)) == 0) {
		void *at = mmap(
			NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED) {
			counters = at;
		}
	}
	close(fd);
}

static void count_caller(uint64_t address)
{
	for (unsigned i = 0; i < CALLERS; i++) {
		uint64_t taken = 0;
		if (atomic_compare_exchange_strong(
			    &counters->callers[i].address, &taken, address) ||
			taken == address) {
			atomic_fetch_add_explicit(
				&counters->callers[i].calls, 1, memory_order_relaxed);
			return;
		}
	}
}

static void count(const void *caller)
{
	const uintptr_t at = (uintptr_t)caller;
	if (at >= text_start && at < text_end) {
		atomic_fetch_add_explicit(&counters->own, 1, memory_order_relaxed);
		count_caller(at - base);
	} else {
		atomic_fetch_add_explicit(&counters->others, 1, memory_order_relaxed);
	}
}

void *malloc(size_t size)
{
	count(__builtin_return_address(0));
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	count(__builtin_return_address(0));
	return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	count(__builtin_return_address(0));
	return __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	count(__builtin_return_address(0));
	return __libc_memalign(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
	count(__builtin_return_address(0));
	void *made = __libc_memalign(align, size);
	if (made == NULL) {
		return 12; /* ENOMEM */
	}
	*ret = made;
	return 0;
}
