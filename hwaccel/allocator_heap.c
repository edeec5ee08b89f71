/* hwaccel/allocator_heap.c - buffers of a dma-heap: contiguous, cached memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-heap.h>

#include "core/log.h"
#include "hwaccel/allocator_internal.h"
#include "hwaccel/dmabuf_internal.h"

#define HEAPS "/dev/dma_heap/"
#define SIZE_MAX_BYTES (256u << 20) /* of one buffer: 8192 x 8192 in 4 bytes */

/* Heaps whose buffers are physically contiguous, under every name that they go by.
 * `system` is not one: its pages lie anywhere, and the codec has no IOMMU. */
static const char *const contiguous[] = {
	HEAPS "linux,cma",
	HEAPS "reserved",
	HEAPS "vidbuf_cached",
	HEAPS "default_cma_region",
};
#define N_CONTIGUOUS (sizeof(contiguous) / sizeof(contiguous[0]))

struct heap_allocator {
	struct pc_allocator base;
	int fd;
};

static int heap_alloc(int heap, size_t size, int *ret_fd)
{
	if (size == 0 || size > SIZE_MAX_BYTES) {
		return -EINVAL;
	}
	struct dma_heap_allocation_data request;
	int r;
	do {
		request = (struct dma_heap_allocation_data){
			.len = size,
			.fd_flags = O_RDWR | O_CLOEXEC,
		};
		r = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &request);
	} while (r < 0 && errno == EINTR);
	if (r < 0) {
		return -errno;
	}
	*ret_fd = (int)request.fd;
	return 0;
}

static int heap_allocate(struct pc_allocator *base, const struct pc_frame_format *format,
	struct pc_frame **ret_frame)
{
	const struct heap_allocator *allocator = (struct heap_allocator *)base;
	struct pc_dmabuf_layout layout;
	int r = pc_dmabuf_layout(format, &layout);
	if (r < 0) {
		return r;
	}
	int fd = -1;
	r = heap_alloc(allocator->fd, layout.size, &fd);
	if (r < 0) {
		return r;
	}
	r = pc_dmabuf_frame_create(fd, &layout, ret_frame);
	if (r < 0) {
		close(fd);
	}
	return r;
}

static void heap_free(struct pc_allocator *base, struct pc_frame *frame)
{
	pc_dmabuf_frame_destroy(frame);
}

static int heap_dmabuf(struct pc_allocator *base, size_t size, int *ret_fd)
{
	return heap_alloc(((struct heap_allocator *)base)->fd, size, ret_fd);
}

static void heap_destroy(struct pc_allocator *base)
{
	struct heap_allocator *allocator = (struct heap_allocator *)base;
	close(allocator->fd);
	free(allocator);
}

static const struct pc_allocator_impl heap_impl = {
	.name = "heap",
	.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
	.allocate = heap_allocate,
	.free = heap_free,
	.dmabuf = heap_dmabuf,
	.destroy = heap_destroy,
};

/* Opens a heap that gives memory, if only a page. 0 or negative errno. */
static int open_heap(const char *path, int *ret_fd)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	int page = -1;
	const int r = heap_alloc(fd, (size_t)sysconf(_SC_PAGESIZE), &page);
	if (r < 0) {
		close(fd);
		return r;
	}
	close(page);
	*ret_fd = fd;
	return 0;
}

static void append_refusal(char *why, size_t why_size, const char *path, int err)
{
	const size_t used = strlen(why);
	const char *hint = err == -EACCES   ? " (add the user to group video)"
			   : err == -ENOTTY ? " (it is no dma-heap)"
					    : "";
	snprintf(why + used, why_size - used, "%s%s: %s%s", used > 0 ? "; " : "", path,
		pc_strerror(err), hint);
}

static int find_heap(const char *path, char *why, size_t why_size, int *ret_fd)
{
	char refusals[256] = "";
	int err = -ENODEV;
	for (size_t i = 0; i < (path != NULL ? 1 : N_CONTIGUOUS); i++) {
		const char *at = path != NULL ? path : contiguous[i];
		const int r = open_heap(at, ret_fd);
		if (r == 0) {
			return 0;
		}
		if (path != NULL || r != -ENOENT) {
			append_refusal(refusals, sizeof(refusals), at, r);
			err = err == -ENODEV ? r : err;
		}
	}
	snprintf(why, why_size, "no contiguous dma-heap: %s",
		refusals[0] != '\0' ? refusals : "none of the known ones is in " HEAPS);
	return err == -ENOENT ? -ENODEV : err;
}

int pc_allocator_create_heap(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator)
{
	struct heap_allocator *allocator = calloc(1, sizeof(*allocator));
	if (allocator == NULL) {
		return -ENOMEM;
	}
	const int r = find_heap(path, why, why_size, &allocator->fd);
	if (r < 0) {
		free(allocator);
		return r;
	}
	pc_allocator_init(&allocator->base, &heap_impl);
	*ret_allocator = &allocator->base;
	return 0;
}
