/* tests/unit/v4l2/test_capture_formats.c - what a camera is set to, and what is said when
 * nothing fits. */
#include <drm_fourcc.h>
#include <errno.h>
#include <linux/videodev2.h>

#include "tests/support/fake_camera.h"
#include "tests/support/test.h"
#include "tests/unit/v4l2/rig.h"

#define YUYV V4L2_PIX_FMT_YUYV
#define NV12 V4L2_PIX_FMT_NV12
#define MJPG V4L2_PIX_FMT_MJPEG

static struct rig rig;

static void begin(void)
{
	fake_camera_init();
	rig_init(&rig);
}

/* Opens with the first `n` wishes; the format that came of it, or 0. */
static uint32_t negotiate(unsigned n)
{
	rig.config.n_wishes = n;
	return rig_open(&rig) == 0 ? pc_capture_info(rig.capture)->format.fourcc : 0;
}

static void expect_why(const char *part)
{
	if (strstr(rig.why, part) == NULL) {
		test_fail("\"%s\" is not in \"%s\"", part, rig.why);
	}
}

/* The best wish that is listed, in the wish's alignment. */
static void test_best_first(void)
{
	begin();
	fake_camera.formats[2] = (struct fake_camera_format){ .pixelformat = NV12 };
	rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_NV12, 64 };
	rig.wishes[1] = (struct pc_capture_wish){ DRM_FORMAT_YUYV, 64 };
	rig.config.width = 1000;
	rig.config.height = 500;
	test_int(negotiate(2), DRM_FORMAT_NV12);
	const struct pc_capture_info *info = pc_capture_info(rig.capture);
	test_int(info->format.width, 1000); /* it does not say its sizes: as wished */
	test_int(info->planes[0].stride, 1024);
	test_int(info->planes[1].offset, 1024 * 500);
	test_int(info->size, 1024 * 500 * 3 / 2);
	rig_finish(&rig);
}

/* Lines that the devices behind cannot take: the next wish. */
static void test_stride(void)
{
	begin();
	fake_camera.formats[2] =
		(struct fake_camera_format){ .pixelformat = NV12, .stride_fixed = 1300 };
	rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_NV12, 64 };
	rig.wishes[1] = (struct pc_capture_wish){ DRM_FORMAT_YUYV, 64 };
	test_int(negotiate(2), DRM_FORMAT_YUYV);
	rig_finish(&rig);

	begin();
	fake_camera.formats[0] =
		(struct fake_camera_format){ .pixelformat = NV12, .stride_fixed = 1300 };
	fake_camera.formats[1].pixelformat = 0;
	rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_NV12, 64 };
	test_int(negotiate(1), 0);
	expect_why("it gives NV12 in lines of 1300 bytes, no multiple of 64");
	rig_finish(&rig);

	begin(); /* shorter than the picture */
	fake_camera.formats[0].stride_fixed = 1024;
	test_int(negotiate(1), 0);
	expect_why("too few");
	rig_finish(&rig);
}

/* A format that is listed and cannot be had; half pictures. */
static void test_liar(void)
{
	begin();
	fake_camera.formats[1] = (struct fake_camera_format){ .pixelformat = NV12, .lies = true };
	rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_NV12, 64 };
	rig.wishes[1] = (struct pc_capture_wish){ DRM_FORMAT_YUYV, 64 };
	test_int(negotiate(2), DRM_FORMAT_YUYV);
	rig_close(&rig);
	test_int(negotiate(1), 0);
	expect_why("it lists NV12 and will not be set to it");
	rig_finish(&rig);

	begin();
	fake_camera.formats[0].field = V4L2_FIELD_ALTERNATE;
	test_int(negotiate(1), 0);
	expect_why("half pictures");
	rig_finish(&rig);
}

/* Both names of one DRM format. */
static void test_older_names(void)
{
	begin();
	fake_camera.formats[0].pixelformat = V4L2_PIX_FMT_JPEG;
	fake_camera.formats[1].pixelformat = 0;
	rig.wishes[0] = (struct pc_capture_wish){ V4L2_PIX_FMT_MJPEG, 1 };
	test_int(negotiate(1), V4L2_PIX_FMT_MJPEG);
	test_int(fake_camera.pixelformat, V4L2_PIX_FMT_JPEG);
	rig_finish(&rig);
}

static void expect_size(unsigned width, unsigned height, unsigned is_width, unsigned is_height)
{
	rig.config.width = width;
	rig.config.height = height;
	test_assert(negotiate(1) != 0);
	test_int(fake_camera.width, is_width);
	test_int(fake_camera.height, is_height);
	rig_close(&rig);
}

static void test_sizes(void)
{
	begin();
	expect_size(1280, 720, 1280, 720);
	expect_size(1920, 1080, 1280, 720);
	expect_size(320, 240, 640, 480);
	expect_size(900, 600, 640, 480);
	fake_camera.formats[0].stepwise = true;
	fake_camera.formats[0].sizes[1][1] = 960;
	expect_size(1000, 500, 992, 496);
	expect_size(100, 100, 640, 480);
	expect_size(4000, 3000, 1280, 960);
	rig_finish(&rig);
}

static void expect_fps(double wished, unsigned is)
{
	rig.config.fps = wished;
	test_assert(negotiate(1) != 0);
	test_int(fake_camera.interval.denominator / fake_camera.interval.numerator, is);
	const double fps = pc_capture_info(rig.capture)->fps;
	test_assert(fps > (double)is - 0.01 && fps < (double)is + 0.01);
	rig_close(&rig);
}

static void test_rates(void)
{
	begin();
	expect_fps(30, 30);
	expect_fps(25, 30);
	expect_fps(60, 30);
	expect_fps(20, 15);
	expect_fps(1, 15);
	memset(fake_camera.formats[0].fps, 0, sizeof(fake_camera.formats[0].fps));
	fake_camera.fail_request = VIDIOC_S_PARM; /* says nothing at all: as wished */
	fake_camera.fail_request_errno = ENOTTY;
	fake_camera.fail_request_times = 1;
	rig.config.fps = 12.5;
	test_assert(negotiate(1) != 0);
	test_assert(pc_capture_info(rig.capture)->fps > 12.4 &&
		    pc_capture_info(rig.capture)->fps < 12.6);
	rig_finish(&rig);
}

/* Many webcams send raw pictures at a few a second, and JPEGs at full rate. */
static void test_slow_wish(void)
{
	begin();
	fake_camera.formats[0].fps[0] = 10;
	fake_camera.formats[0].fps[1] = 5;
	test_int(negotiate(2), V4L2_PIX_FMT_MJPEG);
	rig_close(&rig);
	test_int(negotiate(1), DRM_FORMAT_YUYV); /* better slow than none */
	rig_close(&rig);
	rig.config.fps = 20;
	test_int(negotiate(2), DRM_FORMAT_YUYV); /* half of it will do */
	rig_close(&rig);
	rig.config.fps = 10;
	fake_camera.formats[0].sizes[1][0] = 0; /* 640x480 at most */
	test_int(negotiate(2), V4L2_PIX_FMT_MJPEG);
	rig_finish(&rig);
}

static void test_nothing(void)
{
	begin();
	fake_camera.formats[0] =
		(struct fake_camera_format){ .pixelformat = V4L2_PIX_FMT_SBGGR10P };
	fake_camera.formats[1].pixelformat = V4L2_PIX_FMT_SRGGB8;
	test_int(negotiate(1), 0);
	expect_why("raw data only (pBAA, RGGB); start petcam by libcamerify");
	rig_finish(&rig);

	begin();
	fake_camera.formats[0].pixelformat = 0;
	test_int(rig_open(&rig), -EINVAL);
	expect_why("it offers none; wanted: YUYV, MJPG");
	rig_finish(&rig);
}

static struct v4l2_dv_timings timings(unsigned width, unsigned height, unsigned fps)
{
	struct v4l2_dv_timings t = { .type = V4L2_DV_BT_656_1120 };
	t.bt.width = width;
	t.bt.height = height;
	t.bt.pixelclock = (uint64_t)width * height * fps;
	return t;
}

/* HDMI bridges take over a signal's timings only when told to. */
static void test_timings(void)
{
	begin();
	fake_camera.timings = true;
	fake_camera.signal = timings(1280, 720, 60);
	fake_camera.set = timings(640, 480, 60);
	memset(fake_camera.formats[0].fps, 0, sizeof(fake_camera.formats[0].fps));
	test_assert(negotiate(1) != 0);
	test_int(fake_camera.set.bt.width, 1280);
	test_assert(pc_capture_info(rig.capture)->fps > 59); /* the signal's own */
	test_int(fake_camera_calls(VIDIOC_S_DV_TIMINGS), 1);
	rig_close(&rig);
	test_assert(negotiate(1) != 0);
	test_int(fake_camera_calls(VIDIOC_S_DV_TIMINGS), 1); /* they are the same */
	rig_finish(&rig);

	static const struct {
		int err;
		const char *why;
	} none[] = {
		{ -ENOLINK, "no signal at its input; is the cable in" },
		{ -ENOLCK, "not stable" },
		{ -ERANGE, "beyond what it takes" },
	};
	for (unsigned i = 0; i < 3; i++) {
		begin();
		fake_camera.timings = true;
		fake_camera.timings_error = none[i].err;
		test_int(rig_open(&rig), -ENOLINK);
		expect_why(none[i].why);
		rig_finish(&rig);
	}
	begin(); /* an input that could, and has no such thing */
	fake_camera.timings = true;
	fake_camera.timings_error = -ENODATA;
	test_assert(negotiate(1) != 0);
	rig_finish(&rig);

	for (int i = 0; i < 2; i++) {
		begin();
		fake_camera.input_status = i == 0 ? V4L2_IN_ST_NO_SIGNAL : V4L2_IN_ST_NO_POWER;
		test_int(rig_open(&rig), -ENOLINK);
		expect_why(i == 0 ? "no signal at its input (Input 3)" : "has no power");
		rig_finish(&rig);
	}
}

int main(void)
{
	TEST_RUN(test_best_first);
	TEST_RUN(test_stride);
	TEST_RUN(test_liar);
	TEST_RUN(test_older_names);
	TEST_RUN(test_sizes);
	TEST_RUN(test_rates);
	TEST_RUN(test_slow_wish);
	TEST_RUN(test_nothing);
	TEST_RUN(test_timings);
	return test_end();
}
