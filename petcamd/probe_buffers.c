/* petcamd/probe_buffers.c - buffers of each memory there is; see probe_buffers.h. */
#include "petcamd/probe_buffers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"

/* --- the camera --- */

static int request_buffers(const struct pc_probe_camera *camera, uint32_t memory, uint32_t count)
{
	struct v4l2_requestbuffers request = {
		.type = camera->type,
		.memory = memory,
		.count = count,
	};
	const int r = pc_v4l2_ioctl(camera->device, VIDIOC_REQBUFS, &request);
	return r < 0 ? r : count > 0 && request.count == 0 ? -ENOMEM : 0;
}

int pc_probe_camera_open(
	const char *path, struct pc_probe_camera *camera, char *why, size_t why_size)
{
	*camera = (struct pc_probe_camera){ 0 };
	int r = pc_v4l2_open(path, &camera->device);
	if (r < 0) {
		snprintf(why, why_size, "%s", pc_strerror(r));
		return r;
	}
	r = pc_v4l2_identify(camera->device, &camera->node);
	camera->type = camera->node.mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
					   : V4L2_BUF_TYPE_VIDEO_CAPTURE;
	camera->before.type = camera->type;
	if (r == 0) {
		r = pc_v4l2_ioctl(camera->device, VIDIOC_G_FMT, &camera->before);
	}
	/* Somebody who has buffers owns the queue. */
	if (r == 0) {
		r = request_buffers(camera, V4L2_MEMORY_MMAP, 0);
	}
	if (r < 0) {
		snprintf(why, why_size, "%s",
			r == -EBUSY ? "the camera is in use, and left alone" : pc_strerror(r));
		pc_v4l2_close(camera->device);
	}
	return r;
}

void pc_probe_camera_close(struct pc_probe_camera *camera, uint32_t memory)
{
	request_buffers(camera, memory, 0);
	pc_v4l2_ioctl(camera->device, VIDIOC_S_FMT, &camera->before);
	pc_v4l2_close(camera->device);
}

int pc_probe_camera_set_format(struct pc_probe_camera *camera, struct pc_v4l2_import_test *test,
	char *why, size_t why_size)
{
	struct v4l2_format format = { .type = camera->type };
	if (camera->node.mplane) {
		format.fmt.pix_mp.width = test->format.width;
		format.fmt.pix_mp.height = test->format.height;
		format.fmt.pix_mp.pixelformat = pc_v4l2_from_drm(test->format.fourcc);
		format.fmt.pix_mp.num_planes = 1;
		format.fmt.pix_mp.plane_fmt[0].bytesperline = test->planes[0].stride;
	} else {
		format.fmt.pix.width = test->format.width;
		format.fmt.pix.height = test->format.height;
		format.fmt.pix.pixelformat = pc_v4l2_from_drm(test->format.fourcc);
		format.fmt.pix.bytesperline = test->planes[0].stride;
	}
	const int r = pc_v4l2_ioctl(camera->device, VIDIOC_S_FMT, &format);
	if (r < 0) {
		snprintf(why, why_size, "the camera's S_FMT: %s", pc_strerror(r));
		return r;
	}
	if (camera->node.mplane) {
		test->format.width = format.fmt.pix_mp.width;
		test->format.height = format.fmt.pix_mp.height;
		test->planes[0].stride = format.fmt.pix_mp.plane_fmt[0].bytesperline;
		test->size = format.fmt.pix_mp.plane_fmt[0].sizeimage;
	} else {
		test->format.width = format.fmt.pix.width;
		test->format.height = format.fmt.pix.height;
		test->planes[0].stride = format.fmt.pix.bytesperline;
		test->size = format.fmt.pix.sizeimage;
	}
	return 0;
}

int pc_probe_camera_queue(struct pc_probe_camera *camera, const struct pc_v4l2_import_test *test,
	unsigned index, unsigned count, char *why, size_t why_size)
{
	int r = index == 0 ? request_buffers(camera, V4L2_MEMORY_DMABUF, count) : 0;
	if (r < 0) {
		snprintf(why, why_size, "%s",
			r == -EINVAL ? "the camera imports no dma-bufs" : pc_strerror(r));
		return r == -EINVAL ? -ENOTSUP : r;
	}
	struct v4l2_plane plane = { .m.fd = test->fd, .length = (uint32_t)test->size };
	struct v4l2_buffer buffer = {
		.index = index,
		.type = camera->type,
		.memory = V4L2_MEMORY_DMABUF,
	};
	if (camera->node.mplane) {
		buffer.length = 1;
		buffer.m.planes = &plane;
	} else {
		buffer.m.fd = test->fd;
		buffer.length = (uint32_t)test->size;
	}
	r = pc_v4l2_ioctl(camera->device, VIDIOC_QBUF, &buffer);
	if (r < 0) {
		snprintf(why, why_size, "the camera cannot map the buffer: %s%s", pc_strerror(r),
			r == -EFAULT ? ", as of memory that is not contiguous" : "");
	}
	return r;
}

/* --- buffers --- */

static int create_allocator(enum pc_probe_memory memory, const char *path, char *why,
	size_t why_size, struct pc_allocator **ret_allocator)
{
	switch (memory) {
	case PC_PROBE_HEAP:
		return pc_allocator_create_heap(path, why, why_size, ret_allocator);
	case PC_PROBE_DRM:
		return pc_allocator_create_drm(path, why, why_size, ret_allocator);
	case PC_PROBE_ENCODER:
		return pc_allocator_create_expbuf(path, why, why_size, ret_allocator);
	case PC_PROBE_CAMERA:
		break;
	}
	return -ENOTSUP;
}

static int take_pictures(
	struct pc_probe_buffers *buffers, unsigned count, struct pc_v4l2_import_test *test)
{
	const int r =
		pc_frame_pool_create(buffers->allocator, &test->format, count, &buffers->pool);
	if (r < 0) {
		return r;
	}
	for (; buffers->n < count; buffers->n++) {
		struct pc_frame *frame = pc_frame_pool_acquire(buffers->pool);
		buffers->frames[buffers->n] = frame;
		buffers->fds[buffers->n] = frame->planes[0].fd;
	}
	memcpy(test->planes, buffers->frames[0]->planes, sizeof(test->planes));
	const off_t size = lseek(buffers->fds[0], 0, SEEK_END);
	if (size < 0) {
		return -errno;
	}
	test->size = (size_t)size;
	return 0;
}

int pc_probe_buffers_allocate(struct pc_probe_buffers *buffers, enum pc_probe_memory memory,
	const char *path, unsigned count, struct pc_v4l2_import_test *test, char *why,
	size_t why_size)
{
	*buffers = (struct pc_probe_buffers){ .n = 0 };
	int r = create_allocator(memory, path, why, why_size, &buffers->allocator);
	if (r < 0) {
		return r;
	}
	if (memory == PC_PROBE_ENCODER) {
		r = take_pictures(buffers, count, test);
	}
	while (r == 0 && buffers->n < count) {
		r = pc_allocator_dmabuf(buffers->allocator, test->size, &buffers->fds[buffers->n]);
		buffers->n += r == 0 ? 1 : 0;
	}
	if (r < 0) {
		snprintf(why, why_size, "it gives %u of %u buffers of %zu bytes: %s", buffers->n,
			count, test->size, pc_strerror(r));
	}
	return r;
}

int pc_probe_buffers_export(struct pc_probe_buffers *buffers, struct pc_probe_camera *camera,
	unsigned count, char *why, size_t why_size)
{
	*buffers = (struct pc_probe_buffers){ .n = 0 };
	struct v4l2_requestbuffers request = {
		.type = camera->type,
		.memory = V4L2_MEMORY_MMAP,
		.count = count,
	};
	int r = pc_v4l2_ioctl(camera->device, VIDIOC_REQBUFS, &request);
	if (r < 0 || request.count == 0) {
		r = r < 0 ? r : -ENOMEM;
		snprintf(why, why_size, "the camera has no memory for buffers: %s", pc_strerror(r));
		return r;
	}
	count = request.count < count ? request.count : count;
	for (; buffers->n < count; buffers->n++) {
		struct v4l2_exportbuffer export = {
			.type = camera->type,
			.index = buffers->n,
			.flags = O_RDWR | O_CLOEXEC,
		};
		r = pc_v4l2_ioctl(camera->device, VIDIOC_EXPBUF, &export);
		if (r < 0) {
			snprintf(why, why_size, "the camera exports no buffers (EXPBUF): %s",
				pc_strerror(r));
			return r;
		}
		buffers->fds[buffers->n] = export.fd;
	}
	return 0;
}

void pc_probe_buffers_finish(struct pc_probe_buffers *buffers)
{
	for (unsigned i = 0; i < buffers->n; i++) {
		if (buffers->frames[i] == NULL) {
			close(buffers->fds[i]);
		}
		pc_frame_unref(buffers->frames[i]);
	}
	pc_frame_pool_destroy(buffers->pool);
	pc_allocator_destroy(buffers->allocator);
}
