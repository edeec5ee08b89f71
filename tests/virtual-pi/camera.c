/* tests/virtual-pi/camera.c - capture against a real kernel's camera node (vivid, HDMI).
 *
 * Run by test_camera.sh inside the virtual Pi. vivid's own controls lose the signal, unplug the
 * camera, break its queue.
 *
 *   vpi_camera [rounds]   rounds: of opening and closing (300); "mplane": the multi-planar
 *                         node, the short form
 */
#include <dirent.h>
#include <drm_fourcc.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include "core/clock.h"
#include "hwaccel/allocator.h"
#include "tests/support/test.h"
#include "v4l2/capture.h"

#define NODE "/dev/video0"
#define HELD_MAX 32
#define PATIENCE_NS (20 * PC_NS_PER_S) /* for what takes milliseconds on an idle machine */

static struct {
	struct pc_loop *loop;
	struct pc_capture *capture;
	struct pc_capture_wish wish;
	struct pc_capture_config config;
	struct pc_camera_stats stats;
	char why[256];
	bool hold;
	unsigned frames, held_count, failed;
	struct pc_frame *held[HELD_MAX];
	int err;
	uint64_t sequence;
	int64_t capture_ns;
	struct pc_allocator *heap;
} rig;

static void on_frame(void *data, struct pc_frame *frame)
{
	test_assert(rig.frames == 0 || frame->sequence > rig.sequence);
	test_assert(frame->capture_ns > rig.capture_ns);
	test_assert(frame->capture_ns <= pc_clock_now_ns());
	rig.frames++;
	rig.sequence = frame->sequence;
	rig.capture_ns = frame->capture_ns;
	if (rig.hold && rig.held_count < HELD_MAX) {
		rig.held[rig.held_count++] = pc_frame_ref(frame);
	}
}

static void on_failed(void *data, int err, const char *what)
{
	printf("# failed: %d %s\n", err, what);
	rig.failed++;
	rig.err = err;
}

static int provide(void *data, size_t size, int *ret_fd)
{
	return pc_allocator_dmabuf(rig.heap, size, ret_fd);
}

static const struct pc_capture_events events = {
	.frame = on_frame,
	.failed = on_failed,
};

static void begin(uint32_t fourcc, enum pc_capture_memory memory)
{
	memset(&rig.stats, 0, sizeof(rig.stats));
	rig.wish = (struct pc_capture_wish){ fourcc, 64 };
	rig.config = (struct pc_capture_config){
		.path = NODE,
		.width = 1280,
		.height = 720,
		.fps = 30,
		.wishes = &rig.wish,
		.n_wishes = 1,
		.buffers = 4,
		.memory = memory,
		.provide = memory == PC_CAPTURE_IMPORT ? provide : NULL,
		.stats = &rig.stats,
	};
	rig.hold = false;
	rig.frames = rig.failed = 0;
	rig.capture_ns = 0;
}

static int try_open(void)
{
	rig.why[0] = '\0';
	return pc_capture_open(
		rig.loop, &rig.config, &events, NULL, rig.why, sizeof(rig.why), &rig.capture);
}

static void open_it(void)
{
	rig.frames = rig.failed = 0;
	rig.capture_ns = 0;
	const int r = try_open();
	if (r < 0) {
		test_fail("open: %d: %s", r, rig.why);
	}
}

static void close_it(void)
{
	pc_capture_close(rig.capture);
	rig.capture = NULL;
}

static void drop(void)
{
	while (rig.held_count > 0) {
		pc_frame_unref(rig.held[--rig.held_count]);
	}
}

/* Turns the loop until there are `n` frames more, or the capture has failed. */
static void flow(unsigned n)
{
	const unsigned wanted = rig.frames + n;
	const int64_t end = pc_clock_now_ns() + PATIENCE_NS;
	while (rig.frames < wanted && rig.failed == 0) {
		test_assert(pc_clock_now_ns() < end);
		test_int(pc_loop_turn(rig.loop, 100), 0);
	}
}

static void expect_failure(int err)
{
	flow(1000000);
	test_int(rig.failed, 1);
	test_int(rig.err, err);
	close_it();
}

/* Sets one of vivid's controls, through a handle of its own. */
static void set(const char *name, int32_t value)
{
	struct pc_v4l2 *device;
	test_int(pc_v4l2_open(NODE, &device), 0);
	struct v4l2_queryctrl control = { .id = V4L2_CTRL_FLAG_NEXT_CTRL };
	while (pc_v4l2_ioctl(device, VIDIOC_QUERYCTRL, &control) == 0) {
		if (strcmp((const char *)control.name, name) == 0) {
			test_int(pc_v4l2_set_control(device, control.id, value), 0);
			pc_v4l2_close(device);
			return;
		}
		control.id |= V4L2_CTRL_FLAG_NEXT_CTRL;
	}
	test_fail("no control \"%s\"", name);
}

/* --- what this process has of the camera --- */

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

static unsigned count_mappings(void)
{
	unsigned n = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	test_assert(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		n += strstr(line, "dmabuf") != NULL || strstr(line, "/dev/video") != NULL;
	}
	fclose(maps);
	return n;
}

/* --- the tests --- */

/* Every kind of format comes at the size asked, unmapped until somebody looks. */
static void test_formats(void)
{
	static const uint32_t formats[] = { DRM_FORMAT_NV12, DRM_FORMAT_YUV420, DRM_FORMAT_YUYV,
		DRM_FORMAT_UYVY, DRM_FORMAT_BGR888, DRM_FORMAT_XBGR8888 };
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		begin(formats[i], PC_CAPTURE_EXPORT);
		/* 720p of 4 bytes are within the 4 MiB that the kernel has in one piece. */
		open_it();
		printf("# %s\n", pc_capture_info(rig.capture)->text);
		test_int(pc_capture_info(rig.capture)->memory, PC_CAPTURE_EXPORT);
		test_int(pc_capture_info(rig.capture)->format.width, 1280);
		rig.hold = true;
		flow(2);
		test_int(count_mappings(), 0);
		uint8_t *data[4];
		test_int(pc_frame_begin_cpu(rig.held[0], PC_FRAME_READ, data), 0);
		test_int(count_mappings(), 1);
		unsigned sum = 0;
		for (unsigned x = 0; x < 1280; x++) {
			sum += data[0][x];
		}
		test_assert(sum > 0); /* bars, not an empty buffer */
		pc_frame_end_cpu(rig.held[0], PC_FRAME_READ);
		rig.hold = false;
		drop();
		flow(8);
		close_it();
		test_int(count_mappings(), 0);
	}
}

static void test_mapped(void)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_MAPPED);
	open_it();
	test_int(pc_capture_info(rig.capture)->memory, PC_CAPTURE_MAPPED);
	test_int(count_mappings(), 4);
	rig.hold = true;
	flow(2);
	close_it(); /* the frames' mappings keep the node open, and it is free all the same */
	rig.hold = false;
	open_it();
	flow(3);
	close_it();
	drop();
	test_int(count_mappings(), 0);
}

/* By libv4l2, which has nothing to convert here: its calls and its mappings. */
static void test_libv4l2(void)
{
	struct pc_v4l2 *device;
	test_int(pc_v4l2_open(NODE, &device), 0);
	test_assert(!pc_v4l2_is_libcamerify(device));
	const int r = pc_v4l2_convert(device);
	struct pc_v4l2_node node;
	test_int(pc_v4l2_identify(device, &node), 0);
	if (r < 0) { /* the multi-planar API is beyond it */
		test_assert(r == -ENOTSUP && node.mplane);
		pc_v4l2_close(device);
		return;
	}
	struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	format.fmt.pix.width = 640;
	format.fmt.pix.height = 480;
	format.fmt.pix.pixelformat = V4L2_PIX_FMT_YUV420;
	test_int(pc_v4l2_ioctl(device, VIDIOC_S_FMT, &format), 0);
	struct v4l2_requestbuffers request = {
		.count = 2,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	test_int(pc_v4l2_ioctl(device, VIDIOC_REQBUFS, &request), 0);
	struct v4l2_buffer buffer = { .type = request.type, .memory = request.memory };
	test_int(pc_v4l2_ioctl(device, VIDIOC_QUERYBUF, &buffer), 0);
	void *data;
	test_int(pc_v4l2_map(device, buffer.length, buffer.m.offset, &data), 0);
	test_int(pc_v4l2_ioctl(device, VIDIOC_QBUF, &buffer), 0);
	test_int(pc_v4l2_ioctl(device, VIDIOC_STREAMON, &request.type), 0);
	pc_v4l2_unmap(device, data, buffer.length);
	pc_v4l2_close(device);
	test_int(count_mappings(), 0);
}

static void test_import(void)
{
	char why[256];
	if (pc_allocator_create_heap(NULL, why, sizeof(why), &rig.heap) < 0) {
		printf("# no heap: %s\n", why);
		return;
	}
	begin(DRM_FORMAT_NV12, PC_CAPTURE_IMPORT);
	open_it();
	printf("# %s\n", pc_capture_info(rig.capture)->text);
	test_int(pc_capture_info(rig.capture)->memory, PC_CAPTURE_IMPORT);
	flow(20);
	test_int(count_mappings(), 0);
	close_it();
	pc_allocator_destroy(rig.heap);
}

static void test_steady(void)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
	open_it();
	flow(5);
	const int64_t start = rig.capture_ns;
	flow(60);
	printf("# 60 frames in %.0f ms, %" PRIu64 " lost by the camera, %" PRIu64 " by us\n",
		(double)(rig.capture_ns - start) / PC_NS_PER_MS,
		pc_counter_get(&rig.stats.source_gaps),
		pc_counter_get(&rig.stats.frames_skipped_source));
	test_int(pc_counter_get(&rig.stats.frames_bad), 0);
	/* Every buffer held: the loop sleeps, and goes on when one comes back. */
	rig.hold = true;
	flow(4);
	unsigned turns = 0;
	const int64_t end = pc_clock_now_ns() + 500 * PC_NS_PER_MS;
	while (pc_clock_now_ns() < end) {
		test_int(pc_loop_turn(rig.loop, 100), 0);
		turns++;
	}
	test_assert(turns < 20);
	rig.hold = false;
	drop();
	flow(10);
	test_assert(pc_counter_get(&rig.stats.frames_skipped_source) > 0);
	close_it();
}

static void test_busy(void)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
	open_it();
	struct pc_capture *first = rig.capture;
	test_int(try_open(), -EBUSY);
	printf("# %s\n", rig.why);
	test_assert(strstr(rig.why, "fuser -v " NODE) != NULL);
	flow(3); /* the first has not noticed */
	rig.capture = first;
	close_it();
	open_it();
	flow(3);
	close_it();
}

static void test_refusals(void)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
	rig.config.path = "/dev/null";
	test_int(try_open(), -ENODEV);
	struct pc_v4l2_node encoder;
	if (pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &encoder) == 0) {
		rig.config.path = encoder.path;
		test_int(try_open(), -ENODEV);
		printf("# %s\n", rig.why);
		test_assert(strstr(rig.why, "is no camera but an encoder") != NULL);
	}
	begin(DRM_FORMAT_R8, PC_CAPTURE_EXPORT);
	rig.wish.fourcc = V4L2_PIX_FMT_H264; /* no camera's, and nobody's wish */
	test_int(try_open(), -EINVAL);
	printf("# %s\n", rig.why);
}

/* Pictures lost and marked as bad are counted; a queue that the driver has broken ends it. */
static void test_bad_pictures(void)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
	open_it();
	flow(3);
	set("Percentage of Dropped Buffers", 50);
	flow(20);
	set("Percentage of Dropped Buffers", 0);
	test_assert(pc_counter_get(&rig.stats.source_gaps) > 3);
	set("Inject V4L2_BUF_FLAG_ERROR", 0);
	flow(10);
	test_assert(pc_counter_get(&rig.stats.frames_bad) >= 1);
	set("Wrap Sequence Number", 1); /* the driver's 32 bits run over */
	close_it();
	open_it();
	flow(150);
	set("Wrap Sequence Number", 0);
	test_int(rig.failed, 0);
	set("Inject Fatal Streaming Error", 0);
	expect_failure(-EIO);
}

static void test_signal(void)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
	open_it();
	flow(3);
	set("DV Timings Signal Mode", 1); /* no signal */
	expect_failure(-EPIPE);
	test_int(try_open(), -ENOLINK);
	printf("# %s\n", rig.why);
	for (int mode = 2; mode <= 3; mode++) { /* no lock; out of range */
		set("DV Timings Signal Mode", mode);
		test_int(try_open(), -ENOLINK);
		printf("# %s\n", rig.why);
	}
	set("DV Timings Signal Mode", 4); /* the other end sends something else */
	set("DV Timings", 3); /* 576i, slower than it takes */
	test_int(try_open(), -ENOLINK);
	set("DV Timings", 2); /* 480p */
	open_it();
	flow(3);
	struct pc_v4l2 *device;
	struct v4l2_dv_timings query = { 0 }, now = { 0 };
	test_int(pc_v4l2_open(NODE, &device), 0);
	test_int(pc_v4l2_ioctl(device, VIDIOC_QUERY_DV_TIMINGS, &query), 0);
	test_int(pc_v4l2_ioctl(device, VIDIOC_G_DV_TIMINGS, &now), 0);
	printf("# adopted %ux%u: %s\n", now.bt.width, now.bt.height,
		pc_capture_info(rig.capture)->text);
	test_int(now.bt.width, query.bt.width);
	test_int(now.bt.height, query.bt.height);
	pc_v4l2_close(device);
	set("DV Timings", 8); /* and changes its mind: 720p50 */
	expect_failure(-EPIPE);
	open_it();
	flow(3);
	close_it();
	set("DV Timings Signal Mode", 0);
}

static void test_unplug(void)
{
	for (int i = 0; i < 3; i++) {
		begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
		open_it();
		rig.hold = i > 0; /* frames that outlive the camera */
		flow(3);
		if (i == 2) {
			drop();
		}
		set("Disconnect", 0);
		const int64_t start = pc_clock_now_ns();
		expect_failure(-ENODEV);
		printf("# noticed within %.1f ms\n",
			(double)(pc_clock_now_ns() - start) / PC_NS_PER_MS);
		rig.hold = false;
		open_it(); /* plugged in again: vivid comes back when nobody has it open */
		flow(3);
		if (i == 1) {
			uint8_t *data[4];
			test_int(pc_frame_begin_cpu(rig.held[0], PC_FRAME_READ, data), 0);
			pc_frame_end_cpu(rig.held[0], PC_FRAME_READ);
		}
		drop();
		close_it();
	}
}

static void rounds(unsigned n)
{
	begin(DRM_FORMAT_NV12, PC_CAPTURE_EXPORT);
	const unsigned fds = count_fds();
	const int64_t start = pc_clock_now_ns();
	for (unsigned i = 0; i < n; i++) {
		open_it();
		if (i % 10 == 0) {
			rig.hold = i % 20 == 0;
			flow(2);
			rig.hold = false;
		}
		close_it();
		drop();
		test_int(count_fds(), fds);
	}
	test_int(count_mappings(), 0);
	printf("# %u rounds, %.1f ms each\n", n,
		(double)(pc_clock_now_ns() - start) / PC_NS_PER_MS / n);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "300";
	test_int(pc_loop_create(&rig.loop), 0);
	const unsigned fds = count_fds();
	TEST_RUN(test_formats);
	TEST_RUN(test_mapped);
	TEST_RUN(test_libv4l2);
	TEST_RUN(test_import);
	if (strcmp(mode, "mplane") != 0) {
		TEST_RUN(test_steady);
		TEST_RUN(test_busy);
		TEST_RUN(test_refusals);
		TEST_RUN(test_bad_pictures);
		TEST_RUN(test_signal);
		rounds((unsigned)strtoul(mode, NULL, 10));
	}
	TEST_RUN(test_unplug);
	test_int(count_fds(), fds);
	pc_loop_destroy(rig.loop);
	return test_end();
}
