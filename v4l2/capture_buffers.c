/* v4l2/capture_buffers.c - a camera's buffers: had, handed out as frames, given back; see
 * capture_internal.h.
 *
 * The core outlives the capture for as long as frames are out. Closing takes the node from it
 * where it can: exported and imported buffers live by their dma-bufs, and only mapped ones
 * need the node.
 *
 * Whoever drops a frame's last reference queues the buffer itself, on its own thread, under
 * the core's lock: one system call, and no detour by the loop. The loop is woken only when
 * there is something that it alone can do: wait for buffers again, or report a failure.
 */
#include "v4l2/capture_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS_MIN 2 /* one filling, one being used */

static struct capture_buffer *buffer_of(struct pc_frame *frame)
{
	return (struct capture_buffer *)frame; /* its first member */
}

/* --- caches --- */

/* What the CPU writes and reads stays in its cache until it is told. */
static int sync_cpu(const struct capture_buffer *buffer, uint64_t flags)
{
	if (buffer->fd < 0) {
		return 0; /* the driver's own mapping is kept coherent by QBUF and DQBUF */
	}
	struct dma_buf_sync sync = { .flags = flags };
	int r;
	do {
		r = ioctl(buffer->fd, DMA_BUF_IOCTL_SYNC, &sync);
	} while (r < 0 && (errno == EINTR || errno == EAGAIN));
	return r < 0 && errno != ENOTTY ? -errno : 0; /* ENOTTY: a memfd, always coherent */
}

static uint64_t access_flags(unsigned access)
{
	return ((access & PC_FRAME_READ) != 0 ? DMA_BUF_SYNC_READ : 0) |
	       ((access & PC_FRAME_WRITE) != 0 ? DMA_BUF_SYNC_WRITE : 0);
}

/* uvcvideo writes into imported buffers with the CPU, by a cached mapping of the kernel's,
 * and videobuf2-vmalloc brackets that with nothing (videobuf2-vmalloc.c, no begin_cpu_access):
 * it is for us to say when it begins, and that it has ended, or a device reads stale memory
 * (a Pi 4 is not coherent). Where the camera wrote by DMA this finds nothing to clean. */
static void sync_driver(
	const struct capture_core *core, const struct capture_buffer *buffer, uint64_t edge)
{
	if (core->memory == V4L2_MEMORY_DMABUF) {
		(void)sync_cpu(buffer, edge | DMA_BUF_SYNC_WRITE); /* a picture worse, no more */
	}
}

/* --- to the driver --- */

/* Under the lock. 0 or negative errno. */
static int queue_buffer(struct capture_core *core, struct capture_buffer *buffer)
{
	struct v4l2_plane plane = { .length = (uint32_t)core->size };
	struct v4l2_buffer request = {
		.index = buffer->index,
		.type = core->type,
		.memory = core->memory,
	};
	if (core->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) {
		plane.m.fd = buffer->fd;
		request.m.planes = &plane;
		request.length = 1;
	} else {
		request.length = (uint32_t)core->size;
		request.m.fd = buffer->fd;
	}
	sync_driver(core, buffer, DMA_BUF_SYNC_START);
	const int r = pc_v4l2_ioctl(core->device, VIDIOC_QBUF, &request);
	if (r == 0) {
		buffer->queued = true;
		buffer->returned = false;
		core->n_queued++;
	}
	return r;
}

/* Under the lock: `buffer` is free again. */
static void give_back(struct capture_core *core, struct capture_buffer *buffer)
{
	int r = 0;
	buffer->returned = true;
	if (!core->in_order) {
		r = queue_buffer(core, buffer);
	}
	/* libcamera's V4L2 layer dequeues round-robin, whichever buffer was filled
	 * (v4l2_camera_proxy.cpp, vidioc_dqbuf()): they are filled in the order in which they
	 * are queued, which has to be that of their indices. */
	while (core->in_order && r == 0 && core->buffers[core->next].returned) {
		r = queue_buffer(core, &core->buffers[core->next]);
		if (r == 0) {
			core->next = (core->next + 1) % core->n_buffers;
		}
	}
	if (r < 0 && core->error == 0) {
		core->error = r;
	}
	if (core->error != 0 || core->resting) {
		pc_wakeup_signal(core->wakeup);
	}
}

/* --- the frames --- */

static void free_buffers(struct capture_core *core)
{
	for (unsigned i = 0; i < core->n_buffers; i++) {
		struct capture_buffer *buffer = &core->buffers[i];
		pc_frame_finish(&buffer->frame);
		if (buffer->map == NULL) {
			/* nobody looked */
		} else if (buffer->fd >= 0) {
			munmap(buffer->map, core->size);
		} else {
			pc_v4l2_unmap(core->device, buffer->map, core->size);
		}
		if (buffer->fd >= 0) {
			close(buffer->fd);
		}
	}
	pthread_mutex_destroy(&core->lock);
}

static void destroy_core(struct capture_core *core)
{
	free_buffers(core);
	pc_v4l2_close(core->device);
	free(core);
}

static void frame_release(struct pc_frame *frame)
{
	struct capture_buffer *buffer = buffer_of(frame);
	struct capture_core *core = buffer->core;
	pthread_mutex_lock(&core->lock);
	if (!core->closed) {
		give_back(core, buffer);
	}
	const bool last = --core->refs == 0;
	pthread_mutex_unlock(&core->lock);
	if (last) {
		destroy_core(core);
	}
}

static int frame_begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	struct capture_buffer *buffer = buffer_of(frame);
	struct capture_core *core = buffer->core;
	int r = 0;
	pthread_mutex_lock(&core->lock);
	if (buffer->map == NULL) {
		void *map =
			mmap(NULL, core->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
		if (map == MAP_FAILED) {
			r = -errno;
		} else {
			buffer->map = map;
		}
	}
	pthread_mutex_unlock(&core->lock);
	if (r == 0) {
		r = sync_cpu(buffer, DMA_BUF_SYNC_START | access_flags(access));
	}
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < PC_FRAME_MAX_PLANES; i++) {
		data[i] = i < frame->n_planes ? (uint8_t *)buffer->map + frame->planes[i].offset
					      : NULL;
	}
	return 0;
}

static void frame_end_cpu(struct pc_frame *frame, unsigned access)
{
	(void)sync_cpu(buffer_of(frame), DMA_BUF_SYNC_END | access_flags(access));
}

static const struct pc_frame_impl frame_impl = {
	.release = frame_release,
	.begin_cpu = frame_begin_cpu,
	.end_cpu = frame_end_cpu,
};

bool capture_core_is_queued(struct capture_core *core, const struct capture_buffer *buffer)
{
	pthread_mutex_lock(&core->lock);
	const bool queued = buffer->queued;
	pthread_mutex_unlock(&core->lock);
	return queued;
}

struct pc_frame *capture_core_take(
	struct capture_core *core, struct capture_buffer *buffer, bool *ret_starved)
{
	pthread_mutex_lock(&core->lock);
	assert(buffer->queued && !buffer->returned);
	buffer->queued = false;
	core->n_queued--;
	core->refs++;
	*ret_starved = core->n_queued == 0;
	pthread_mutex_unlock(&core->lock);
	sync_driver(core, buffer, DMA_BUF_SYNC_END);
	pc_frame_publish(&buffer->frame);
	return &buffer->frame;
}

void capture_core_skip(struct capture_core *core, struct capture_buffer *buffer)
{
	pthread_mutex_lock(&core->lock);
	assert(buffer->queued && !buffer->returned);
	sync_driver(core, buffer, DMA_BUF_SYNC_END);
	buffer->queued = false;
	core->n_queued--;
	give_back(core, buffer);
	pthread_mutex_unlock(&core->lock);
}

bool capture_core_rest(struct capture_core *core)
{
	pthread_mutex_lock(&core->lock);
	core->resting = core->n_queued == 0;
	const bool resting = core->resting;
	pthread_mutex_unlock(&core->lock);
	return resting;
}

int capture_core_wake(struct capture_core *core)
{
	pthread_mutex_lock(&core->lock);
	core->resting = false;
	const int error = core->error;
	pthread_mutex_unlock(&core->lock);
	return error;
}

void capture_core_close(struct capture_core *core)
{
	pthread_mutex_lock(&core->lock);
	core->closed = true; /* from here on no other thread touches the device */
	core->wakeup = NULL;
	pthread_mutex_unlock(&core->lock);

	int type = (int)core->type;
	(void)pc_v4l2_ioctl(core->device, VIDIOC_STREAMOFF, &type); /* it may be gone */
	if (!pc_v4l2_is_libcamerify(core->device)) {
		/* So that the node is free though mapped buffers may still keep it open. */
		struct v4l2_requestbuffers none = { .type = core->type, .memory = core->memory };
		(void)pc_v4l2_ioctl(core->device, VIDIOC_REQBUFS, &none);
	}

	pthread_mutex_lock(&core->lock);
	bool mapped = false;
	for (unsigned i = 0; i < core->n_buffers; i++) {
		mapped = mapped || core->buffers[i].fd < 0;
	}
	if (!mapped) {
		pc_v4l2_close(core->device);
		core->device = NULL;
	}
	const bool last = --core->refs == 0;
	pthread_mutex_unlock(&core->lock);
	if (last) {
		destroy_core(core);
	}
}

/* --- having them --- */

static int request_buffers(const struct capture_node *node, struct capture_core *core,
	const struct pc_capture_config *config, const struct capture_why *why)
{
	const char *path = pc_v4l2_path(node->device);
	struct v4l2_requestbuffers request = {
		.count = config->buffers,
		.type = core->type,
		.memory = core->memory,
	};
	const int r = pc_v4l2_ioctl(node->device, VIDIOC_REQBUFS, &request);
	if (r == -EBUSY) {
		return capture_explain(why, r,
			"%s is in use by another program; \"fuser -v %s\" shows which", path, path);
	}
	if (r == -ENOMEM || (r == 0 && request.count < BUFFERS_MIN)) {
		return capture_explain(why, -ENOMEM,
			"%s: no contiguous memory left for %u buffers of %zu KiB; a larger cma= on the "
			"kernel's command line or a smaller picture helps",
			path, config->buffers, core->size / 1024);
	}
	if (r == -EINVAL && core->memory == V4L2_MEMORY_DMABUF) {
		return capture_explain(why, -ENOTSUP, "%s does not take buffers of others", path);
	}
	if (r < 0) {
		return capture_explain(why, r, "%s: REQBUFS: %s", path, strerror(-r));
	}
	core->n_buffers = request.count < CAPTURE_BUFFERS_MAX ? request.count : CAPTURE_BUFFERS_MAX;
	return 0;
}

static int export_buffer(struct capture_core *core, struct capture_buffer *buffer)
{
	struct v4l2_exportbuffer export = {
		.type = core->type,
		.index = buffer->index,
		.flags = O_RDWR | O_CLOEXEC,
	};
	const int r = pc_v4l2_ioctl(core->device, VIDIOC_EXPBUF, &export);
	if (r < 0) {
		return r;
	}
	if (export.fd < 0) { /* libcamera's layer, when it cannot dup (v4l2_camera_proxy.cpp) */
		return -EMFILE;
	}
	buffer->fd = export.fd;
	return 0;
}

static int map_buffer(struct capture_core *core, struct capture_buffer *buffer)
{
	struct v4l2_plane plane = { 0 };
	struct v4l2_buffer query = {
		.index = buffer->index,
		.type = core->type,
		.memory = core->memory,
	};
	const bool mplane = core->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	if (mplane) {
		query.m.planes = &plane;
		query.length = 1;
	}
	const int r = pc_v4l2_ioctl(core->device, VIDIOC_QUERYBUF, &query);
	if (r < 0) {
		return r;
	}
	const uint32_t length = mplane ? plane.length : query.length;
	const uint32_t offset = mplane ? plane.m.mem_offset : query.m.offset;
	/* Every buffer has the size of the first, or unmapping would not find its end. */
	if (length < core->size || (buffer->index > 0 && length != core->size)) {
		return -EINVAL;
	}
	core->size = length;
	return pc_v4l2_map(core->device, length, offset, &buffer->map);
}

/* The driver's buffers one way or the other; which is tried on the first. */
static int have_own(struct capture_core *core, bool export, struct pc_capture_info *info,
	const struct capture_why *why)
{
	const char *path = pc_v4l2_path(core->device);
	for (unsigned i = 0; i < core->n_buffers; i++) {
		int r = -ENOTTY;
		if (export) {
			r = export_buffer(core, &core->buffers[i]);
			/* It cannot export: not now is another matter. */
			export = i > 0 || (r != -ENOTTY && r != -EINVAL && r != -ENOSYS);
		}
		if (!export) {
			r = map_buffer(core, &core->buffers[i]);
		}
		if (r < 0) {
			return capture_explain(why, r, "%s: %s a buffer: %s", path,
				export ? "exporting" : "mapping", strerror(-r));
		}
	}
	info->memory = export ? PC_CAPTURE_EXPORT : PC_CAPTURE_MAPPED;
	return 0;
}

static int have_others(struct capture_core *core, const struct pc_capture_config *config,
	void *data, struct pc_capture_info *info, const struct capture_why *why)
{
	for (unsigned i = 0; i < core->n_buffers; i++) {
		const int r = config->provide(data, core->size, &core->buffers[i].fd);
		if (r < 0) {
			core->buffers[i].fd = -1;
			return capture_explain(why, r,
				"%s: no contiguous memory for buffer %u of %u: %s",
				pc_v4l2_path(core->device), i + 1, core->n_buffers, strerror(-r));
		}
	}
	info->memory = PC_CAPTURE_IMPORT;
	return 0;
}

static int queue_all(struct capture_core *core, const struct capture_why *why)
{
	for (unsigned i = 0; i < core->n_buffers; i++) {
		pthread_mutex_lock(&core->lock);
		const int r = queue_buffer(core, &core->buffers[i]);
		pthread_mutex_unlock(&core->lock);
		if (r < 0 && core->memory == V4L2_MEMORY_DMABUF) {
			return capture_explain(why, r == -EINVAL || r == -EFAULT ? -ENOTSUP : r,
				"%s cannot reach the memory it was given: %s",
				pc_v4l2_path(core->device), strerror(-r));
		}
		if (r < 0) {
			return capture_explain(
				why, r, "%s: QBUF: %s", pc_v4l2_path(core->device), strerror(-r));
		}
	}
	return 0;
}

static void init_buffers(struct capture_core *core, const struct pc_capture_info *info)
{
	for (unsigned i = 0; i < CAPTURE_BUFFERS_MAX; i++) {
		struct capture_buffer *buffer = &core->buffers[i];
		buffer->core = core;
		buffer->index = i;
		buffer->fd = -1;
	}
	for (unsigned i = 0; i < core->n_buffers; i++) {
		struct pc_frame *frame = &core->buffers[i].frame;
		pc_frame_init(frame, &frame_impl);
		frame->format = info->format;
		frame->n_planes = info->n_planes;
		memcpy(frame->planes, info->planes, sizeof(frame->planes));
	}
}

int capture_core_create(const struct capture_node *node, const struct pc_capture_config *config,
	void *data, struct pc_capture_info *info, const struct capture_why *why,
	struct capture_core **ret_core)
{
	struct capture_core *core = calloc(1, sizeof(*core));
	if (core == NULL) {
		return capture_explain(why, -ENOMEM, "no memory");
	}
	/* libv4l2 converts into mappings of its own. */
	const bool export = config->memory == PC_CAPTURE_EXPORT && !info->converted;
	const bool import = config->memory == PC_CAPTURE_IMPORT && !info->converted;
	core->refs = 1;
	core->type = node->type;
	core->memory = import ? V4L2_MEMORY_DMABUF : V4L2_MEMORY_MMAP;
	core->in_order = pc_v4l2_is_libcamerify(node->device);
	core->size = info->size;
	core->device = node->device;
	pthread_mutex_init(&core->lock, NULL);
	int r = request_buffers(node, core, config, why);
	if (r < 0) {
		goto fail;
	}
	init_buffers(core, info);
	r = import ? have_others(core, config, data, info, why) : have_own(core, export, info, why);
	if (r < 0) {
		goto fail;
	}
	for (unsigned i = 0; i < core->n_buffers; i++) {
		struct capture_buffer *buffer = &core->buffers[i];
		buffer->frame.caps = PC_FRAME_CPU | (buffer->fd >= 0 ? PC_FRAME_DMABUF : 0);
		for (unsigned plane = 0; plane < info->n_planes; plane++) {
			buffer->frame.planes[plane].fd = buffer->fd;
		}
	}
	r = queue_all(core, why);
	if (r < 0) {
		goto fail;
	}
	info->buffers = core->n_buffers;
	info->size = core->size;
	*ret_core = core;
	return 0;

fail:
	free_buffers(core); /* the node stays the caller's */
	free(core);
	return r;
}
