/* tests/unit/v4l2/test_device.c - nodes are opened, asked and told apart.
 *
 * open() and ioctl() are redirected (ld --wrap): paths below /dev/played are one node, an
 * eventfd as libcamera's V4L2 layer gives; all others are this machine's.
 */
#include <dirent.h>
#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/support/test.h"
#include "v4l2/device.h"

#define PLAYED "/dev/played"
#define RAW 0
#define CODED V4L2_FMT_FLAG_COMPRESSED

static struct {
	int open_errno; /* 0: opens */
	unsigned interrupts; /* so many calls end with EINTR first */
	const char *driver, *card;
	uint32_t caps;
	bool older; /* says nothing of the node's own capabilities */
	uint32_t in[4], out[4]; /* 0-terminated */
	uint32_t control_flags;
	int control_errno;
	int fd;
	unsigned ioctls;
} played;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	if (strncmp(path, PLAYED, strlen(PLAYED)) != 0) {
		return __real_open(path, flags);
	}
	test_int(flags & (O_ACCMODE | O_NONBLOCK | O_CLOEXEC), O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (played.open_errno != 0) {
		errno = played.open_errno;
		return -1;
	}
	played.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return played.fd;
}

int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	return __wrap_open(path, flags);
}

static bool is_coded(uint32_t pixelformat)
{
	return pixelformat == V4L2_PIX_FMT_H264 || pc_v4l2_is_jpeg(pixelformat) ||
	       pixelformat == V4L2_PIX_FMT_FWHT;
}

static int play(unsigned long request, void *arg)
{
	struct v4l2_capability *capability = arg;
	struct v4l2_fmtdesc *desc = arg;
	const uint32_t *formats;
	switch (request) {
	case VIDIOC_QUERYCAP:
		snprintf((char *)capability->driver, 16, "%s", played.driver);
		snprintf((char *)capability->card, 32, "%s", played.card);
		capability->capabilities =
			played.older ? played.caps : ~0u; /* of all nodes together */
		if (played.older) {
			capability->capabilities &= ~V4L2_CAP_DEVICE_CAPS;
		}
		capability->device_caps = played.caps;
		return 0;
	case VIDIOC_ENUM_FMT:
		formats = V4L2_TYPE_IS_OUTPUT(desc->type) ? played.in : played.out;
		if (desc->index >= 4 || formats[desc->index] == 0) {
			return EINVAL;
		}
		desc->pixelformat = formats[desc->index];
		desc->flags = is_coded(desc->pixelformat) ? CODED : RAW;
		return 0;
	case VIDIOC_QUERYCTRL:
		((struct v4l2_queryctrl *)arg)->flags = played.control_flags;
		((struct v4l2_queryctrl *)arg)->maximum = 255;
		return played.control_errno;
	case VIDIOC_G_CTRL:
		((struct v4l2_control *)arg)->value = 7;
		return played.control_errno;
	case VIDIOC_S_CTRL:
		return played.control_errno;
	default:
		return ENOTTY;
	}
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd != played.fd) {
		return __real_ioctl(fd, request, arg);
	}
	played.ioctls++;
	if (played.interrupts > 0) {
		played.interrupts--;
		errno = EINTR;
		return -1;
	}
	errno = play(request, arg);
	return errno == 0 ? 0 : -1;
}

static void begin(void)
{
	memset(&played, 0, sizeof(played));
	played.fd = -1;
	played.driver = "played";
	played.card = "A played node";
	played.caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	test_assert(dir != NULL);
	while (readdir(dir) != NULL) {
		n++;
	}
	closedir(dir);
	return n;
}

static void test_fourccs(void)
{
	static const uint32_t pairs[][2] = {
		{ V4L2_PIX_FMT_YUV420, DRM_FORMAT_YUV420 },
		{ V4L2_PIX_FMT_NV12, DRM_FORMAT_NV12 },
		{ V4L2_PIX_FMT_NV21, DRM_FORMAT_NV21 },
		{ V4L2_PIX_FMT_YUYV, DRM_FORMAT_YUYV },
		{ V4L2_PIX_FMT_UYVY, DRM_FORMAT_UYVY },
		{ V4L2_PIX_FMT_RGB24, DRM_FORMAT_BGR888 }, /* bytes R, G, B */
		{ V4L2_PIX_FMT_BGR24, DRM_FORMAT_RGB888 },
		{ V4L2_PIX_FMT_XBGR32, DRM_FORMAT_XRGB8888 }, /* bytes B, G, R, X */
		{ V4L2_PIX_FMT_RGBX32, DRM_FORMAT_XBGR8888 }, /* bytes R, G, B, X */
		{ V4L2_PIX_FMT_RGBA32, DRM_FORMAT_ABGR8888 },
		{ V4L2_PIX_FMT_XRGB32, DRM_FORMAT_BGRX8888 }, /* bytes X, R, G, B */
		{ V4L2_PIX_FMT_GREY, DRM_FORMAT_R8 },
		{ V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_MJPEG },
	};
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		test_int(pc_v4l2_to_drm(pairs[i][0]), pairs[i][1]);
		test_int(pc_v4l2_from_drm(pairs[i][1]), pairs[i][0]);
	}
	test_int(pc_v4l2_to_drm(V4L2_PIX_FMT_JPEG), V4L2_PIX_FMT_MJPEG); /* older names */
	test_int(pc_v4l2_to_drm(V4L2_PIX_FMT_BGR32), DRM_FORMAT_XRGB8888);
	test_int(pc_v4l2_to_drm(V4L2_PIX_FMT_NV12M), 0); /* planes in buffers of their own */
	test_int(pc_v4l2_to_drm(V4L2_PIX_FMT_SBGGR10P), 0);
	test_int(pc_v4l2_from_drm(DRM_FORMAT_XRGB2101010), 0);
}

static void test_no_nodes(void)
{
	begin();
	const unsigned fds = count_fds();
	struct pc_v4l2 *device = NULL;
	char path[PC_V4L2_PATH_MAX + 1];
	memset(path, 'a', PC_V4L2_PATH_MAX);
	path[PC_V4L2_PATH_MAX] = '\0';
	test_int(pc_v4l2_open(path, &device), -ENAMETOOLONG);
	test_int(pc_v4l2_open("/dev/null", &device), -ENODEV);
	test_int(pc_v4l2_open("/dev/no such node", &device), -ENOENT);
	test_int(pc_v4l2_open("/tmp", &device), -ENODEV);
	char file[] = "/tmp/petcam-test-XXXXXX";
	const int fd = mkstemp(file);
	test_assert(fd >= 0);
	test_int(pc_v4l2_open(file, &device), -ENODEV);
	close(fd);
	unlink(file);
	played.open_errno = ENXIO; /* a node whose driver has gone */
	test_int(pc_v4l2_open(PLAYED, &device), -ENODEV);
	played.open_errno = EACCES;
	test_int(pc_v4l2_open(PLAYED, &device), -EACCES);
	played.open_errno = EBUSY;
	test_int(pc_v4l2_open(PLAYED, &device), -EBUSY);
	test_assert(device == NULL);
	test_int(count_fds(), fds);
	pc_v4l2_close(NULL);
	/* Whatever this machine has: in the order of the numbers, and nothing of no role. */
	struct pc_v4l2_node nodes[4], node;
	const unsigned n = pc_v4l2_scan(nodes, 4);
	test_assert(n <= 4);
	test_int(pc_v4l2_find(PC_V4L2_ENCODER, V4L2_PIX_FMT_SBGGR10P, 0, &node), -ENODEV);
	test_int(count_fds(), fds);
}

/* libcamera's V4L2 layer: an eventfd on which ioctl() works, and libv4l2 must not. */
static void test_libcamerify(void)
{
	begin();
	const unsigned fds = count_fds();
	struct pc_v4l2 *device;
	test_int(pc_v4l2_open(PLAYED, &device), 0);
	test_assert(pc_v4l2_is_libcamerify(device));
	test_int(pc_v4l2_fd(device), played.fd);
	test_str(pc_v4l2_path(device), PLAYED);
	test_int(pc_v4l2_convert(device), -ENOTSUP);
	played.interrupts = 3;
	struct v4l2_capability capability;
	played.ioctls = 0;
	test_int(pc_v4l2_ioctl(device, VIDIOC_QUERYCAP, &capability), 0);
	test_int(played.ioctls, 4);
	test_int(pc_v4l2_ioctl(device, VIDIOC_CROPCAP, &capability), -ENOTTY);
	pc_v4l2_close(device);
	test_int(count_fds(), fds);
}

static void test_controls(void)
{
	begin();
	struct pc_v4l2 *device;
	struct v4l2_queryctrl control;
	int32_t value = 0;
	test_int(pc_v4l2_open(PLAYED, &device), 0);
	test_int(pc_v4l2_query_control(device, V4L2_CID_GAIN, &control), 0);
	test_int(control.maximum, 255);
	test_int(pc_v4l2_get_control(device, V4L2_CID_GAIN, &value), 0);
	test_int(value, 7);
	test_int(pc_v4l2_set_control(device, V4L2_CID_GAIN, 3), 0);
	played.control_flags = V4L2_CTRL_FLAG_DISABLED;
	test_int(pc_v4l2_query_control(device, V4L2_CID_GAIN, &control), -EINVAL);
	played.control_errno = ENOTTY; /* no controls at all */
	test_int(pc_v4l2_query_control(device, V4L2_CID_GAIN, &control), -EINVAL);
	test_int(pc_v4l2_get_control(device, V4L2_CID_GAIN, &value), -EINVAL);
	test_int(pc_v4l2_set_control(device, V4L2_CID_GAIN, 3), -EINVAL);
	played.control_errno = ERANGE;
	test_int(pc_v4l2_set_control(device, V4L2_CID_GAIN, 3000), -ERANGE);
	pc_v4l2_close(device);
}

static struct pc_v4l2_node identify(void)
{
	struct pc_v4l2 *device;
	struct pc_v4l2_node node;
	test_int(pc_v4l2_open(PLAYED "1", &device), 0);
	test_int(pc_v4l2_identify(device, &node), 0);
	pc_v4l2_close(device);
	test_str(node.path, PLAYED "1");
	return node;
}

/* By what they say of themselves. */
static void test_roles(void)
{
	begin();
	played.out[0] = V4L2_PIX_FMT_YUYV;
	played.out[1] = V4L2_PIX_FMT_MJPEG;
	struct pc_v4l2_node node = identify();
	test_int(node.role, PC_V4L2_CAMERA);
	test_assert(node.n_in == 0 && node.n_out == 2 && !node.mplane);
	test_int(node.out[1], V4L2_PIX_FMT_MJPEG);
	test_str(node.card, "A played node");
	played.driver = "bcm2835-isp"; /* libcamera's own */
	test_int(identify().role, PC_V4L2_OTHER);
	begin();
	played.caps = V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING; /* a webcam's second node */
	test_int(identify().role, PC_V4L2_OTHER);
	played.caps = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_STREAMING;
	test_int(identify().role, PC_V4L2_OTHER);

	begin();
	played.caps = V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
	played.in[0] = V4L2_PIX_FMT_NV12;
	played.out[0] = V4L2_PIX_FMT_H264;
	node = identify();
	test_int(node.role, PC_V4L2_ENCODER);
	test_assert(node.n_in == 1 && node.n_out == 1 && node.mplane);
	played.out[0] = V4L2_PIX_FMT_JPEG; /* /dev/video31 */
	test_int(identify().role, PC_V4L2_OTHER);
	played.in[0] = V4L2_PIX_FMT_H264;
	played.out[0] = V4L2_PIX_FMT_NV12;
	test_int(identify().role, PC_V4L2_DECODER);
	played.in[0] = V4L2_PIX_FMT_YUV420;
	played.out[0] = V4L2_PIX_FMT_RGB24;
	played.card = "bcm2835-codec-isp";
	test_int(identify().role, PC_V4L2_SCALER);
	played.card = "bcm2835-codec-image_fx"; /* the deinterlacer */
	test_int(identify().role, PC_V4L2_OTHER);
	/* Older drivers say both directions instead of M2M, and no device_caps. */
	begin();
	played.older = true;
	played.caps =
		V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_VIDEO_OUTPUT_MPLANE | V4L2_CAP_STREAMING;
	played.in[0] = V4L2_PIX_FMT_NV12;
	played.out[0] = V4L2_PIX_FMT_H264;
	test_int(identify().role, PC_V4L2_ENCODER);
	for (int role = PC_V4L2_OTHER; role <= PC_V4L2_SCALER; role++) {
		test_assert(pc_v4l2_role_name((enum pc_v4l2_role)role)[0] != '\0');
	}
}

int main(void)
{
	TEST_RUN(test_fourccs);
	TEST_RUN(test_no_nodes);
	TEST_RUN(test_libcamerify);
	TEST_RUN(test_controls);
	TEST_RUN(test_roles);
	return test_end();
}
