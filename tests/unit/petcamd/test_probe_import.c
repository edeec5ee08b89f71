/* test_probe_import.c - trying an import: what is asked of the device, what is said of its answers. */
#include <errno.h>
#include <libdrm/drm_fourcc.h>
#include <stdbool.h>

#include "tests/support/test.h"
#include "v4l2/device.h"
#include "v4l2/import_test.h"

/* A device that answers as it is told to; linked in place of v4l2/device.c. */
struct pc_v4l2 {
	bool open;
	bool mplane;
	int open_error, format_error, request_error, queue_error;
	uint32_t stride, sizeimage, height; /* 0: as asked for */
	unsigned requested; /* buffers that are out */
	unsigned queued;
	uint32_t queued_type, queued_length, queued_used;
	int queued_fd;
};
static struct pc_v4l2 fake;

int pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device)
{
	if (fake.open_error != 0) {
		return fake.open_error;
	}
	test_str(path, "/dev/fake");
	test_assert(!fake.open);
	fake.open = true;
	*ret_device = &fake;
	return 0;
}

void pc_v4l2_close(struct pc_v4l2 *device)
{
	test_assert(device->open);
	device->requested = 0;
	device->open = false;
}

uint32_t pc_v4l2_from_drm(uint32_t fourcc)
{
	return fourcc == DRM_FORMAT_NV12 ? V4L2_PIX_FMT_NV12 : 0;
}

int pc_v4l2_identify(struct pc_v4l2 *device, struct pc_v4l2_node *ret_node)
{
	test_assert(device->open);
	*ret_node = (struct pc_v4l2_node){ .driver = "fake", .mplane = device->mplane };
	return 0;
}

static int set_format(struct pc_v4l2 *device, struct v4l2_format *format)
{
	test_int(format->type,
		device->mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT);
	if (device->format_error != 0) {
		return device->format_error;
	}
	const uint32_t width = device->mplane ? format->fmt.pix_mp.width : format->fmt.pix.width;
	uint32_t height = device->mplane ? format->fmt.pix_mp.height : format->fmt.pix.height;
	uint32_t stride = device->mplane ? format->fmt.pix_mp.plane_fmt[0].bytesperline
					 : format->fmt.pix.bytesperline;
	stride = device->stride != 0 ? device->stride : stride != 0 ? stride : width;
	height = device->height != 0 ? device->height : height;
	const uint32_t size = device->sizeimage != 0 ? device->sizeimage : stride * height * 3 / 2;
	if (device->mplane) {
		test_int(format->fmt.pix_mp.num_planes, 1);
		format->fmt.pix_mp.height = height;
		format->fmt.pix_mp.plane_fmt[0].bytesperline = stride;
		format->fmt.pix_mp.plane_fmt[0].sizeimage = size;
	} else {
		format->fmt.pix.height = height;
		format->fmt.pix.bytesperline = stride;
		format->fmt.pix.sizeimage = size;
	}
	return 0;
}

static int queue_buffer(struct pc_v4l2 *device, const struct v4l2_buffer *buffer)
{
	const bool mplane = V4L2_TYPE_IS_MULTIPLANAR(buffer->type);
	test_int(device->requested, 1);
	test_int(buffer->memory, V4L2_MEMORY_DMABUF);
	device->queued++;
	device->queued_type = buffer->type;
	device->queued_fd = mplane ? buffer->m.planes[0].m.fd : buffer->m.fd;
	device->queued_length = mplane ? buffer->m.planes[0].length : buffer->length;
	device->queued_used = mplane ? buffer->m.planes[0].bytesused : buffer->bytesused;
	return device->queue_error;
}

int pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg)
{
	test_assert(device->open);
	switch (request) {
	case VIDIOC_S_FMT:
		return set_format(device, arg);
	case VIDIOC_REQBUFS: {
		struct v4l2_requestbuffers *buffers = arg;
		test_int(buffers->memory, V4L2_MEMORY_DMABUF);
		if (device->request_error != 0) {
			return device->request_error;
		}
		device->requested = buffers->count;
		return 0;
	}
	case VIDIOC_QBUF:
		return queue_buffer(device, arg);
	default:
		test_fail("ioctl %#lx was not expected", request);
	}
}

#define SIZE (1280u * 720 * 3 / 2)

static int try_it(struct pc_v4l2 device, size_t size, char why[static 128])
{
	fake = device;
	const struct pc_v4l2_import_test test = {
		.path = "/dev/fake",
		.format = { .fourcc = DRM_FORMAT_NV12, .width = 1280, .height = 720 },
		.n_planes = 2,
		.planes = { { .fd = -1, .stride = 1280 },
			{ .fd = -1, .offset = 1280 * 720, .stride = 1280 } },
		.size = size,
		.fd = 42,
	};
	snprintf(why, 128, "untouched");
	const int r = pc_v4l2_import_test(&test, why, 128);
	test_assert(!fake.open);
	return r;
}

static void test_taken(void)
{
	char why[128];
	test_int(try_it((struct pc_v4l2){ .mplane = true }, SIZE + 4096, why), 0);
	test_int(fake.queued, 1);
	test_int(fake.queued_type, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
	test_int(fake.queued_fd, 42);
	test_int(fake.queued_length, SIZE + 4096);
	test_int(fake.queued_used, SIZE);
	test_int(try_it((struct pc_v4l2){ .mplane = false }, SIZE, why), 0);
	test_int(fake.queued_type, V4L2_BUF_TYPE_VIDEO_OUTPUT);
	test_int(fake.queued_fd, 42);
	test_int(fake.queued_used, SIZE);
}

static void test_refused(void)
{
	char why[128];
	test_int(try_it((struct pc_v4l2){ .mplane = true, .queue_error = -EFAULT }, SIZE, why),
		-EFAULT);
	test_assert(strstr(why, "not contiguous") != NULL);
	test_int(try_it((struct pc_v4l2){ .mplane = true, .queue_error = -ENOMEM }, SIZE, why),
		-ENOMEM);
	test_assert(strstr(why, "not contiguous") == NULL);

	test_int(try_it((struct pc_v4l2){ .mplane = true, .stride = 1344 }, SIZE, why), -EINVAL);
	test_assert(strstr(why, "lines of 1344 bytes, the pictures have 1280") != NULL);
	test_int(fake.queued, 0);

	test_int(try_it((struct pc_v4l2){ .mplane = true, .sizeimage = SIZE + 1 }, SIZE, why),
		-EMSGSIZE);
	test_assert(strstr(why, "1382401") != NULL && strstr(why, "1382400") != NULL);

	/* A height that is rounded up would put the chroma elsewhere. */
	test_int(try_it((struct pc_v4l2){ .mplane = true, .height = 736 }, 2 * SIZE, why), -EINVAL);
	test_assert(strstr(why, "1280x720") != NULL);
	test_int(fake.queued, 0);

	test_int(try_it((struct pc_v4l2){ .mplane = true, .request_error = -EINVAL }, SIZE, why),
		-ENOTSUP);
	test_assert(strstr(why, "no dma-bufs") != NULL);
	test_int(try_it((struct pc_v4l2){ .mplane = true, .format_error = -EBUSY }, SIZE, why),
		-EBUSY);
	test_int(try_it((struct pc_v4l2){ .open_error = -EACCES }, SIZE, why), -EACCES);
	test_assert(strstr(why, "/dev/fake") != NULL);
}

int main(void)
{
	TEST_RUN(test_taken);
	TEST_RUN(test_refused);
	return test_end();
}
