/* v4l2/import_test.c - does a memory-to-memory node take this dma-buf? See import_test.h. */
#include "v4l2/import_test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "v4l2/device.h"

/* The OUTPUT queue's line length and size, single- or multi-planar. */
struct layout {
	uint32_t pixelformat;
	uint32_t width, height;
	uint32_t stride;
	uint32_t size;
};

static uint32_t output_type(const struct pc_v4l2_node *node)
{
	return node->mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
}

static int set_format(struct pc_v4l2 *device, const struct pc_v4l2_node *node,
	const struct pc_v4l2_import_test *test, struct layout *layout)
{
	struct v4l2_format format = { .type = output_type(node) };
	if (node->mplane) {
		format.fmt.pix_mp = (struct v4l2_pix_format_mplane){
			.width = test->format.width,
			.height = test->format.height,
			.pixelformat = layout->pixelformat,
			.field = V4L2_FIELD_NONE,
			.num_planes = 1,
			.plane_fmt[0].bytesperline = test->planes[0].stride,
		};
	} else {
		format.fmt.pix = (struct v4l2_pix_format){
			.width = test->format.width,
			.height = test->format.height,
			.pixelformat = layout->pixelformat,
			.field = V4L2_FIELD_NONE,
			.bytesperline = test->planes[0].stride,
		};
	}
	const int r = pc_v4l2_ioctl(device, VIDIOC_S_FMT, &format);
	if (r < 0) {
		return r;
	}
	if (node->mplane) {
		*layout = (struct layout){
			.pixelformat = format.fmt.pix_mp.pixelformat,
			.width = format.fmt.pix_mp.width,
			.height = format.fmt.pix_mp.height,
			.stride = format.fmt.pix_mp.plane_fmt[0].bytesperline,
			.size = format.fmt.pix_mp.plane_fmt[0].sizeimage,
		};
	} else {
		*layout = (struct layout){
			.pixelformat = format.fmt.pix.pixelformat,
			.width = format.fmt.pix.width,
			.height = format.fmt.pix.height,
			.stride = format.fmt.pix.bytesperline,
			.size = format.fmt.pix.sizeimage,
		};
	}
	return 0;
}

static int queue(struct pc_v4l2 *device, const struct pc_v4l2_node *node,
	const struct pc_v4l2_import_test *test, uint32_t used)
{
	struct v4l2_plane plane = {
		.bytesused = used,
		.length = (uint32_t)test->size,
		.m.fd = test->fd,
	};
	struct v4l2_buffer buffer = {
		.type = output_type(node),
		.memory = V4L2_MEMORY_DMABUF,
		.field = V4L2_FIELD_NONE,
	};
	if (node->mplane) {
		buffer.length = 1;
		buffer.m.planes = &plane;
	} else {
		buffer.bytesused = used;
		buffer.length = (uint32_t)test->size;
		buffer.m.fd = test->fd;
	}
	return pc_v4l2_ioctl(device, VIDIOC_QBUF, &buffer);
}

/* With the format set and a slot asked for: what the kernel says of the buffer. */
static int try_buffer(struct pc_v4l2 *device, const struct pc_v4l2_node *node,
	const struct pc_v4l2_import_test *test, uint32_t used, char *why, size_t why_size)
{
	struct v4l2_requestbuffers request = {
		.type = output_type(node),
		.memory = V4L2_MEMORY_DMABUF,
		.count = 1,
	};
	int r = pc_v4l2_ioctl(device, VIDIOC_REQBUFS, &request);
	if (r < 0 || request.count == 0) {
		snprintf(why, why_size, "%s (%s) imports no dma-bufs: %s", test->path, node->driver,
			r < 0 ? pc_strerror(r) : "no slot");
		return r == -EINVAL || r == 0 ? -ENOTSUP : r;
	}
	r = queue(device, node, test, used);
	if (r < 0) {
		snprintf(why, why_size, "%s (%s) cannot map the buffer: %s%s", test->path,
			node->driver, pc_strerror(r),
			r == -EFAULT || r == -EINVAL ? ", as of memory that is not contiguous"
						     : "");
	}
	return r;
}

static int try_device(
	struct pc_v4l2 *device, const struct pc_v4l2_import_test *test, char *why, size_t why_size)
{
	struct pc_v4l2_node node;
	int r = pc_v4l2_identify(device, &node);
	struct layout wanted = { .pixelformat = pc_v4l2_from_drm(test->format.fourcc) };
	if (r == 0 && wanted.pixelformat == 0) {
		r = -EINVAL;
	}
	struct layout got = wanted;
	if (r == 0) {
		r = set_format(device, &node, test, &got);
	}
	/* A size that the driver rounds would put the chroma elsewhere. */
	if (r < 0 || got.pixelformat != wanted.pixelformat || got.width != test->format.width ||
		got.height != test->format.height) {
		char text[PC_FRAME_FORMAT_TEXT];
		pc_frame_format_text(&test->format, text);
		snprintf(why, why_size, "%s does not take %s%s%s", test->path, text,
			r < 0 ? ": " : "", r < 0 ? pc_strerror(r) : "");
		return r < 0 ? r : -EINVAL;
	}
	if (got.stride != test->planes[0].stride) {
		snprintf(why, why_size,
			"%s wants lines of %" PRIu32 " bytes, the pictures have %" PRIu32,
			test->path, got.stride, test->planes[0].stride);
		return -EINVAL;
	}
	if (got.size > test->size) {
		snprintf(why, why_size, "%s wants buffers of %" PRIu32 " bytes, these have %zu",
			test->path, got.size, test->size);
		return -EMSGSIZE;
	}
	return try_buffer(device, &node, test, got.size, why, why_size);
}

int pc_v4l2_import_test(const struct pc_v4l2_import_test *test, char *why, size_t why_size)
{
	struct pc_v4l2 *device = NULL;
	int r = pc_v4l2_open(test->path, &device);
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", test->path, pc_strerror(r));
		return r;
	}
	r = try_device(device, test, why, why_size);
	pc_v4l2_close(device);
	return r;
}
