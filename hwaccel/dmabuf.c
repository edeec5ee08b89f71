/* hwaccel/dmabuf.c - a frame buffer that is a dma-buf. */
#include "hwaccel/dmabuf_internal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm_fourcc.h>
#include <linux/dma-buf.h>

#define LINES 16u /* macroblocks: some devices count in these */

struct dmabuf_frame {
	struct pc_frame frame;
	int fd;
	size_t size;
	pthread_mutex_t lock; /* guards `map` until it is made */
	uint8_t *map; /* NULL: nobody has looked yet */
};

/* --- access by the CPU --- */

static int sync_cpu(const struct dmabuf_frame *buffer, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };
	int r;
	do {
		r = ioctl(buffer->fd, DMA_BUF_IOCTL_SYNC, &sync);
	} while (r < 0 && (errno == EINTR || errno == EAGAIN));
	return r < 0 ? -errno : 0;
}

static uint64_t sync_flags(unsigned access)
{
	return ((access & PC_FRAME_READ) != 0 ? DMA_BUF_SYNC_READ : 0) |
	       ((access & PC_FRAME_WRITE) != 0 ? DMA_BUF_SYNC_WRITE : 0);
}

static int map_once(struct dmabuf_frame *buffer)
{
	int r = 0;
	pthread_mutex_lock(&buffer->lock);
	if (buffer->map == NULL) {
		void *map =
			mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
		if (map == MAP_FAILED) {
			r = -errno;
		} else {
			buffer->map = map;
		}
	}
	pthread_mutex_unlock(&buffer->lock);
	return r;
}

static int dmabuf_begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	struct dmabuf_frame *buffer = (struct dmabuf_frame *)frame;
	int r = map_once(buffer);
	if (r == 0) {
		r = sync_cpu(buffer, DMA_BUF_SYNC_START | sync_flags(access));
	}
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < PC_FRAME_MAX_PLANES; i++) {
		data[i] = i < frame->n_planes ? buffer->map + frame->planes[i].offset : NULL;
	}
	return 0;
}

static void dmabuf_end_cpu(struct pc_frame *frame, unsigned access)
{
	/* Cannot fail where the start did not: nothing is waited for. */
	(void)sync_cpu((struct dmabuf_frame *)frame, DMA_BUF_SYNC_END | sync_flags(access));
}

/* A pool sets its own: a buffer never goes out without one. */
static void dmabuf_release(struct pc_frame *frame)
{
	assert(!"a dma-buf frame that has no pool");
}

static const struct pc_frame_impl frame_impl = {
	.release = dmabuf_release,
	.begin_cpu = dmabuf_begin_cpu,
	.end_cpu = dmabuf_end_cpu,
};

/* --- making --- */

int pc_dmabuf_layout(const struct pc_frame_format *format, struct pc_dmabuf_layout *ret_layout)
{
	struct pc_dmabuf_layout layout = { .format = *format };
	const uint32_t align =
		format->fourcc == DRM_FORMAT_BGR888 || format->fourcc == DRM_FORMAT_RGB888 ? 32
											   : 64;
	const int64_t bytes = pc_frame_layout(format, align, layout.planes, &layout.n_planes);
	if (bytes < 0) {
		return (int)bytes;
	}
	const uint64_t height = (format->height + LINES - 1) / LINES * LINES;
	const uint64_t padded = ((uint64_t)bytes * height + format->height - 1) / format->height;
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	layout.size = (size_t)((padded + PC_DMABUF_TAIL + page - 1) / page * page);
	*ret_layout = layout;
	return 0;
}

static bool planes_fit(const struct pc_dmabuf_layout *layout)
{
	for (unsigned i = 0; i < layout->n_planes; i++) {
		/* Every format of several planes that petcam knows is 4:2:0. */
		const uint64_t lines = layout->format.height / (i == 0 ? 1 : 2);
		if (layout->planes[i].stride == 0 ||
			layout->planes[i].offset + layout->planes[i].stride * lines >
				layout->size) {
			return false;
		}
	}
	return layout->n_planes > 0 && layout->n_planes <= PC_FRAME_MAX_PLANES;
}

int pc_dmabuf_frame_create(
	int fd, const struct pc_dmabuf_layout *layout, struct pc_frame **ret_frame)
{
	assert(fd >= 0);
	if (!planes_fit(layout)) {
		return -EINVAL;
	}
	struct dmabuf_frame *buffer = calloc(1, sizeof(*buffer));
	if (buffer == NULL) {
		return -ENOMEM;
	}
	buffer->fd = fd;
	buffer->size = layout->size;
	pthread_mutex_init(&buffer->lock, NULL);
	pc_frame_init(&buffer->frame, &frame_impl);
	buffer->frame.format = layout->format;
	buffer->frame.caps = PC_FRAME_DMABUF | PC_FRAME_CPU;
	buffer->frame.n_planes = layout->n_planes;
	for (unsigned i = 0; i < PC_FRAME_MAX_PLANES; i++) {
		buffer->frame.planes[i] = layout->planes[i];
		buffer->frame.planes[i].fd = i < layout->n_planes ? fd : -1;
	}
	*ret_frame = &buffer->frame;
	return 0;
}

void pc_dmabuf_frame_destroy(struct pc_frame *frame)
{
	if (frame == NULL) {
		return;
	}
	struct dmabuf_frame *buffer = (struct dmabuf_frame *)frame;
	pc_frame_finish(frame);
	if (buffer->map != NULL) {
		munmap(buffer->map, buffer->size);
	}
	close(buffer->fd);
	pthread_mutex_destroy(&buffer->lock);
	free(buffer);
}
