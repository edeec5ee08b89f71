/* tests/unit/v4l2/test_capture.c - capture on a camera that keeps to the rules. */
#include <drm_fourcc.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/support/fake_camera.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/v4l2/rig.h"

static struct rig rig;

static void shoot(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_assert(fake_camera_shoot(NULL));
		rig_turn(&rig);
	}
}

static void begin(void)
{
	fake_camera_init();
	rig_init(&rig);
}

static void open_it(void)
{
	const int r = rig_open(&rig);
	if (r < 0) {
		test_fail("open: %d: %s", r, rig.why);
	}
}

/* A webcam's pictures: the driver's memory, exported, unmapped until somebody looks. */
static void test_export(void)
{
	begin();
	const unsigned fds = rig_count_fds();
	open_it();
	const struct pc_capture_info *info = pc_capture_info(rig.capture);
	test_int(info->format.fourcc, DRM_FORMAT_YUYV);
	test_int(info->format.width, 1280);
	test_int(info->format.height, 720);
	test_int(info->planes[0].stride, 2560);
	test_int(info->planes[0].fd, -1);
	test_int(info->buffers, 4);
	test_int(info->memory, PC_CAPTURE_EXPORT);
	test_assert(!info->converted && info->fps > 29.9 && info->fps < 30.1);
	test_str(info->text, "Fake camera: YUYV 1280x720 at 30, 4 buffers exported");
	test_int(fake_camera.interval.denominator, 30);
	test_int(fake_camera.event_id, 3); /* of its input */

	rig.hold = true;
	shoot(3);
	test_int(rig.n_frames, 3);
	struct pc_frame *frame = rig.held[2];
	test_int(frame->caps, PC_FRAME_DMABUF | PC_FRAME_CPU);
	test_int(frame->n_planes, 1);
	test_int(frame->sequence, 2);
	test_int(frame->bytes_used, 0);
	test_assert(frame->planes[0].fd >= 0);
	test_assert(pc_capture_sample_fd(rig.capture) == rig.held[0]->planes[0].fd);
	test_int(fake_camera.n_mapped, 0);
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, data), 0);
	uint32_t number;
	memcpy(&number, data[0], sizeof(number));
	test_int(number, 2);
	test_assert(data[1] == NULL);
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	uint8_t *again[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, again), 0);
	test_assert(again[0] == data[0]); /* mapped once */
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	test_int(fake_camera.n_queued, 1);
	rig_drop(&rig);
	test_int(fake_camera.n_queued, 4);
	rig_close(&rig);
	test_int(fake_camera.closes, 1);
	test_int(rig_count_fds(), fds);
	rig_finish(&rig);
}

/* Frames outlive the capture; their memory is theirs. */
static void test_outlive(void)
{
	begin();
	const unsigned fds = rig_count_fds();
	open_it();
	rig.hold = true;
	shoot(2);
	rig_close(&rig);
	test_int(fake_camera.closes, 1); /* another may have the camera */
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(rig.held[1], PC_FRAME_READ, data), 0);
	uint32_t number;
	memcpy(&number, data[0], sizeof(number));
	test_int(number, 1);
	pc_frame_end_cpu(rig.held[1], PC_FRAME_READ);
	open_it();
	shoot(1);
	rig_close(&rig);
	rig_drop(&rig);
	test_int(rig_count_fds(), fds);
	rig_finish(&rig);
}

static void test_import(void)
{
	begin();
	const unsigned fds = rig_count_fds();
	rig.config.memory = PC_CAPTURE_IMPORT;
	open_it();
	test_int(pc_capture_info(rig.capture)->memory, PC_CAPTURE_IMPORT);
	test_int(rig.n_provided, 4);
	test_int(fake_camera.memory, V4L2_MEMORY_DMABUF);
	rig.hold = true;
	for (unsigned i = 0; i < 20; i++) { /* the fake checks that fd and index stay together */
		shoot(1);
		if (i % 3 == 2) {
			rig_drop(&rig);
		}
	}
	test_int(rig.n_frames, 20);
	rig_drop(&rig);
	rig_finish(&rig);
	test_int(rig_count_fds(), fds - 2); /* the loop's are gone as well */

	begin(); /* memory that runs out on the way */
	rig.config.memory = PC_CAPTURE_IMPORT;
	rig.provide_error = -ENOMEM;
	test_int(rig_open(&rig), -ENOMEM);
	test_assert(strstr(rig.why, "no contiguous memory for buffer 3 of 4") != NULL);
	rig_finish(&rig);
	test_int(rig_count_fds(), fds - 2);
	for (int i = 0; i < 2; i++) { /* a queue that takes none; memory that it cannot reach */
		begin();
		rig.config.memory = PC_CAPTURE_IMPORT;
		fake_camera.imports_not = i == 0;
		fake_camera.fail_request = VIDIOC_QBUF;
		fake_camera.fail_request_errno = EFAULT;
		fake_camera.fail_request_times = i == 1;
		test_int(rig_open(&rig), -ENOTSUP);
		test_assert(
			strstr(rig.why, i == 0 ? "does not take buffers" : "cannot reach") != NULL);
		rig_finish(&rig);
	}
	test_int(rig_count_fds(), fds - 2);
}

/* No EXPBUF, or nobody who needs dma-bufs: the node's own mappings. */
static void test_mapped(void)
{
	for (int i = 0; i < 2; i++) {
		begin();
		const unsigned fds = rig_count_fds();
		fake_camera.exports_not = i == 0;
		rig.config.memory = i == 0 ? PC_CAPTURE_EXPORT : PC_CAPTURE_MAPPED;
		open_it();
		test_int(pc_capture_info(rig.capture)->memory, PC_CAPTURE_MAPPED);
		test_int(pc_capture_sample_fd(rig.capture), -1);
		test_int(fake_camera.n_mapped, 4);
		rig.hold = true;
		shoot(2);
		test_int(rig.held[1]->caps, PC_FRAME_CPU);
		test_int(rig.held[1]->planes[0].fd, -1);
		rig_close(&rig); /* the mapping keeps the node open until the frames are gone */
		test_int(fake_camera.closes, 0);
		uint8_t *data[4];
		test_int(pc_frame_begin_cpu(rig.held[1], PC_FRAME_READ, data), 0);
		test_int(data[0][0], 1);
		pc_frame_end_cpu(rig.held[1], PC_FRAME_READ);
		rig_drop(&rig);
		test_int(fake_camera.closes, 1);
		test_int(rig_count_fds(), fds);
		rig_finish(&rig);
	}
}

static void test_mplane(void)
{
	for (int i = 0; i < 3; i++) {
		begin();
		fake_camera.mplane = true;
		fake_camera.formats[0].pixelformat = V4L2_PIX_FMT_NV12;
		fake_camera.formats[0].stride_align = 32;
		rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_NV12, 64 };
		rig.config.memory = i == 0   ? PC_CAPTURE_EXPORT
				    : i == 1 ? PC_CAPTURE_IMPORT
					     : PC_CAPTURE_MAPPED;
		open_it();
		const struct pc_capture_info *info = pc_capture_info(rig.capture);
		test_int(info->n_planes, 2);
		test_int(info->planes[1].offset, 1280 * 720);
		test_int(info->planes[1].stride, 1280);
		shoot(6);
		test_int(rig.n_frames, 6);
		rig_finish(&rig);
	}
}

static void test_jpeg(void)
{
	begin();
	rig.config.n_wishes = 1;
	rig.wishes[0] = rig.wishes[1];
	open_it();
	test_int(pc_capture_info(rig.capture)->format.fourcc, V4L2_PIX_FMT_MJPEG);
	const struct fake_camera_shot shot = { .bytes_used = 54321 };
	test_assert(fake_camera_shoot(&shot));
	rig_turn(&rig);
	test_int(rig.bytes_used, 54321);
	const struct fake_camera_shot empty = { .empty = true };
	const struct fake_camera_shot huge = { .bytes_used = 1280 * 720 + 1 };
	test_assert(fake_camera_shoot(&empty) && fake_camera_shoot(&huge));
	rig_turn(&rig);
	test_int(rig.n_frames, 1);
	test_int(rig.stats.frames_bad, 2);
	test_int(fake_camera.n_queued, 4);
	rig_finish(&rig);
}

/* What libv4l2 makes: only where nothing is native, only if asked, by mappings. */
static void test_conversion(void)
{
	for (int i = 0; i < 3; i++) {
		begin();
		fake_camera.mplane = i == 2;
		fake_camera.conversion = true;
		rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_YUV420, 64 };
		rig.config.n_wishes = 1;
		rig.config.convert = i > 0;
		if (i == 0) {
			test_int(rig_open(&rig), -EINVAL);
			test_str(rig.why, FAKE_CAMERA_PATH
				" has no format that can be used: it offers YUYV, MJPG; wanted: "
				"YU12");
		} else {
			open_it();
			test_assert(pc_capture_info(rig.capture)->converted);
			test_int(pc_capture_info(rig.capture)->memory, PC_CAPTURE_MAPPED);
			test_assert(strstr(pc_capture_info(rig.capture)->text,
					    "mapped, converted by the CPU") != NULL);
			shoot(2);
			test_int(rig.n_frames, 2);
		}
		rig_finish(&rig);
	}
}

/* libcamera's layer: indices go round; no events; flags that stay. */
static void test_libcamerify(void)
{
	begin();
	fake_camera.libcamerify = true;
	fake_camera.formats[0] =
		(struct fake_camera_format){ .pixelformat = V4L2_PIX_FMT_NV12, .stride_align = 64 };
	rig.wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_NV12, 64 };
	fake_camera.formats[0].sizes[0][0] = 640; /* a sample of what it does */
	fake_camera.formats[0].sizes[0][1] = 480;
	open_it();
	test_int(fake_camera.width, 1280);
	test_int(fake_camera_calls(VIDIOC_SUBSCRIBE_EVENT), 0);
	for (int i = 0; i < 1000; i++) { /* readable, and nothing there yet */
		test_assert(fake_camera_poke(EPOLLIN));
	}
	test_int(rig.n_failed, 0);
	rig.hold = true;
	shoot(3);
	/* Given back out of order: queued in the order of their indices. */
	pc_frame_unref(rig.held[2]);
	test_int(fake_camera.n_queued, 1);
	pc_frame_unref(rig.held[1]);
	test_int(fake_camera.n_queued, 1);
	pc_frame_unref(rig.held[0]);
	test_int(fake_camera.n_queued, 4);
	rig.n_held = 0;
	rig.hold = false;
	shoot(30);
	test_int(fake_camera.wrong_buffers, 0);
	test_int(rig.n_frames, 33);
	/* One bad picture, and the good ones after it in the same buffer. */
	const struct fake_camera_shot bad = { .flags = V4L2_BUF_FLAG_ERROR };
	test_assert(fake_camera_shoot(&bad));
	rig_turn(&rig);
	test_int(rig.stats.frames_bad, 1);
	shoot(8);
	test_int(rig.n_frames, 41);
	test_int(rig.stats.frames_bad, 1);
	test_int(fake_camera.wrong_buffers, 0);
	/* The layer says the first plane's bytes for all of them. */
	const struct fake_camera_shot first_plane = { .bytes_used = 1280 * 720 };
	test_assert(fake_camera_shoot(&first_plane));
	rig_turn(&rig);
	test_int(rig.n_frames, 42);
	rig_close(&rig);
	test_int(fake_camera_calls(VIDIOC_REQBUFS), 1); /* EBUSY there while mapped: not asked */
	rig_finish(&rig);
}

static void test_numbers(void)
{
	begin();
	open_it();
	shoot(2);
	const struct fake_camera_shot gap = { .lost_before = 3 };
	test_assert(fake_camera_shoot(&gap));
	rig_turn(&rig);
	test_int(rig.sequence, 5);
	test_int(rig.stats.source_gaps, 3);
	/* Bad ones are no gaps; half a picture is bad. */
	const struct fake_camera_shot bad = { .flags = V4L2_BUF_FLAG_ERROR };
	const struct fake_camera_shot half = { .bytes_used = 1280 * 720 };
	test_assert(fake_camera_shoot(&bad) && fake_camera_shoot(&half));
	rig_turn(&rig);
	shoot(1);
	test_int(rig.sequence, 8);
	test_int(rig.stats.frames_bad, 2);
	test_int(rig.stats.source_gaps, 3);
	/* Every buffer held: what is missing is our doing. */
	rig.hold = true;
	shoot(4);
	test_assert(!fake_camera_shoot(NULL) && !fake_camera_shoot(NULL));
	rig_drop(&rig);
	rig.hold = false;
	shoot(1);
	test_int(rig.stats.frames_skipped_source, 2);
	test_int(rig.stats.source_gaps, 3);
	test_int(rig.sequence, 15);
	rig_finish(&rig);

	begin(); /* a driver that does not count */
	fake_camera.no_numbers = true;
	open_it();
	shoot(5);
	test_int(rig.sequence, 4);
	test_int(rig.stats.source_gaps, 0);
	rig_finish(&rig);
}

static void test_times(void)
{
	begin();
	open_it();
	const int64_t start = pc_clock_now_ns();
	const int64_t good = (start - 20 * PC_NS_PER_MS) / 1000 * 1000;
	const struct fake_camera_shot shots[] = {
		{ .stamp_ns = good }, /* taken as it is */
		{ .stamp_ns = good - PC_NS_PER_MS }, /* not monotonic */
		{ .stamp_ns = start + PC_NS_PER_S }, /* in the future */
		{ .stamp_ns = start, .clock = V4L2_BUF_FLAG_TIMESTAMP_COPY }, /* another clock */
		{ .stamp_ns = 1000 }, /* of another time */
	};
	int64_t last = 0;
	for (unsigned i = 0; i < 5; i++) {
		test_assert(fake_camera_shoot(&shots[i]));
		rig_turn(&rig);
		test_assert(rig.capture_ns > last && rig.capture_ns <= pc_clock_now_ns());
		test_assert(i == 0 ? rig.capture_ns == good : rig.capture_ns >= start);
		last = rig.capture_ns;
	}
	rig_finish(&rig);
}

/* A picture is one DQBUF and one QBUF, and no allocation. */
static void test_steady(void)
{
	begin();
	open_it();
	shoot(8);
	const unsigned ioctls = fake_camera.ioctls;
	const uint64_t allocations = fault_calls(FAULT_ALLOC);
	shoot(100);
	test_int(fake_camera.ioctls - ioctls, 200);
	test_int(fault_calls(FAULT_ALLOC) - allocations, 0);
	test_int(rig.n_frames, 108);
	rig_finish(&rig);
}

static void test_controls(void)
{
	begin();
	open_it();
	test_int(pc_capture_set_control(rig.capture, V4L2_CID_BRIGHTNESS, 10), 0);
	test_int(pc_capture_set_control(rig.capture, V4L2_CID_BRIGHTNESS, 1000), -ERANGE);
	test_int(pc_capture_set_control(rig.capture, V4L2_CID_CONTRAST, 10), -EINVAL);
	rig_finish(&rig);
	pc_capture_close(NULL);
}

int main(void)
{
	TEST_RUN(test_export);
	TEST_RUN(test_outlive);
	TEST_RUN(test_import);
	TEST_RUN(test_mapped);
	TEST_RUN(test_mplane);
	TEST_RUN(test_jpeg);
	TEST_RUN(test_conversion);
	TEST_RUN(test_libcamerify);
	TEST_RUN(test_numbers);
	TEST_RUN(test_times);
	TEST_RUN(test_steady);
	TEST_RUN(test_controls);
	return test_end();
}
