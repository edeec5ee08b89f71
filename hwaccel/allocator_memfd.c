/* hwaccel/allocator_memfd.c - buffers of anonymous memory. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "hwaccel/allocator.h"
#include "hwaccel/allocator_internal.h"

/* libswscale's vector code reads up to 16 bytes past a line; the last has this much. */
#define TAIL_BYTES 64

struct memfd_buffer {
	struct pc_frame frame;
	int fd;
	uint8_t *map;
	size_t size;
};

/* A pool sets its own: a buffer never goes out without one. */
static void buffer_release(struct pc_frame *frame)
{
	assert(!"a memfd buffer that has no pool");
}

static int buffer_begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	const struct memfd_buffer *buffer = (struct memfd_buffer *)frame;
	for (unsigned i = 0; i < PC_FRAME_MAX_PLANES; i++) {
		data[i] = i < frame->n_planes ? buffer->map + frame->planes[i].offset : NULL;
	}
	return 0;
}

static void buffer_end_cpu(struct pc_frame *frame, unsigned access)
{
	/* Plain memory: nothing to flush. */
}

static const struct pc_frame_impl buffer_impl = {
	.release = buffer_release,
	.begin_cpu = buffer_begin_cpu,
	.end_cpu = buffer_end_cpu,
};

/* Of the first plane's stride, so that every plane's is a multiple of 64: chroma has
 * half of luma's. Packed RGB promises rows without padding at widths such as 352. */
static uint32_t alignment(uint32_t fourcc)
{
	return fourcc == DRM_FORMAT_BGR888 || fourcc == DRM_FORMAT_RGB888 ? 32 : 128;
}

static int map_memfd(struct memfd_buffer *buffer)
{
	buffer->fd = memfd_create("petcam-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (buffer->fd < 0) {
		return -errno;
	}
	if (ftruncate(buffer->fd, (off_t)buffer->size) < 0 ||
		fcntl(buffer->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		goto fail_fd;
	}
	void *map = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
	if (map == MAP_FAILED) {
		goto fail_fd;
	}
	buffer->map = map;
	return 0;

fail_fd:;
	const int r = -errno;
	close(buffer->fd);
	return r;
}

static int memfd_allocate(struct pc_allocator *allocator, const struct pc_frame_format *format,
	struct pc_frame **ret_frame)
{
	if (format->modifier != DRM_FORMAT_MOD_LINEAR) {
		return -EINVAL;
	}
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	unsigned n_planes = 0;
	const int64_t bytes = pc_frame_layout(format, alignment(format->fourcc), planes, &n_planes);
	if (bytes < 0) {
		return (int)bytes;
	}
	struct memfd_buffer *buffer = calloc(1, sizeof(*buffer));
	if (buffer == NULL) {
		return -ENOMEM;
	}
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	buffer->size = ((size_t)bytes + TAIL_BYTES + page - 1) / page * page;
	const int r = map_memfd(buffer);
	if (r < 0) {
		free(buffer);
		return r;
	}
	pc_frame_init(&buffer->frame, &buffer_impl);
	buffer->frame.format = *format;
	buffer->frame.caps = allocator->impl->caps;
	buffer->frame.n_planes = n_planes;
	for (unsigned i = 0; i < PC_FRAME_MAX_PLANES; i++) {
		buffer->frame.planes[i].fd = -1;
		if (i < n_planes) {
			buffer->frame.planes[i] = planes[i];
			buffer->frame.planes[i].fd = buffer->fd;
		}
	}
	*ret_frame = &buffer->frame;
	return 0;
}

static void memfd_free(struct pc_allocator *allocator, struct pc_frame *frame)
{
	struct memfd_buffer *buffer = (struct memfd_buffer *)frame;
	pc_frame_finish(frame);
	munmap(buffer->map, buffer->size);
	close(buffer->fd);
	free(buffer);
}

static void memfd_destroy(struct pc_allocator *allocator)
{
	free(allocator);
}

static const struct pc_allocator_impl memfd_impl = {
	.name = "memfd",
	.caps = PC_FRAME_CPU,
	.allocate = memfd_allocate,
	.free = memfd_free,
	.destroy = memfd_destroy,
};

int pc_allocator_create_memfd(struct pc_allocator **ret_allocator)
{
	struct pc_allocator *allocator = calloc(1, sizeof(*allocator));
	if (allocator == NULL) {
		return -ENOMEM;
	}
	pc_allocator_init(allocator, &memfd_impl);
	*ret_allocator = allocator;
	return 0;
}
