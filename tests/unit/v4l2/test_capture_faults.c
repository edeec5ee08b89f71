/* tests/unit/v4l2/test_capture_faults.c - cameras that are not there, not free, not well; and
 * every call failing in turn. */
#include <errno.h>
#include <linux/videodev2.h>
#include <sys/epoll.h>

#include "tests/support/fake_camera.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/v4l2/rig.h"

static struct rig rig;

static void begin(void)
{
	fake_camera_init();
	rig_init(&rig);
}

static void open_it(void)
{
	begin();
	const int r = rig_open(&rig);
	if (r < 0) {
		test_fail("open: %d: %s", r, rig.why);
	}
}

static void expect_refusal(int err, const char *part)
{
	test_int(rig_open(&rig), err);
	if (strstr(rig.why, part) == NULL) {
		test_fail("\"%s\" is not in \"%s\"", part, rig.why);
	}
	test_int(fake_camera.opens, fake_camera.closes);
	rig_finish(&rig);
}

static void refuse_request(unsigned long request, int err)
{
	begin();
	fake_camera.fail_request = request;
	fake_camera.fail_request_errno = err;
	fake_camera.fail_request_times = 1;
}

/* Each refusal is a sentence that says what to do. */
static void test_refusals(void)
{
	begin();
	rig.config.path = "/dev/video99";
	expect_refusal(-ENODEV, "there is no /dev/video99; is the camera plugged in?");
	begin();
	fake_camera.open_error = -EACCES;
	expect_refusal(-EACCES, "usermod -aG video");
	begin();
	fake_camera.open_error = -EBUSY;
	expect_refusal(-EBUSY, "fuser -v");
	begin();
	fake_camera.open_error = -ENODEV;
	expect_refusal(-ENODEV, "is no camera: nothing there speaks V4L2");
	begin();
	fake_camera.caps = V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING;
	expect_refusal(-ENODEV, "is no camera but some other device (Fake camera)");
	begin();
	fake_camera.driver = "bcm2835-isp";
	expect_refusal(-ENODEV, "is no camera but some other device");
	refuse_request(VIDIOC_S_FMT, EBUSY);
	expect_refusal(-EBUSY, "is in use by another program; \"fuser -v");
	refuse_request(VIDIOC_REQBUFS, EBUSY);
	expect_refusal(-EBUSY, "is in use by another program");
	refuse_request(VIDIOC_STREAMON, EBUSY);
	expect_refusal(-EBUSY, "is in use by another program");
	refuse_request(VIDIOC_STREAMON, ENOSPC);
	expect_refusal(-ENOSPC, "the USB bus has no room");
	refuse_request(VIDIOC_REQBUFS, ENOMEM);
	expect_refusal(-ENOMEM, "no contiguous memory left for 4 buffers of 1800 KiB");
	begin();
	fake_camera.buffers_max = 1;
	expect_refusal(-ENOMEM, "no contiguous memory left");
	refuse_request(VIDIOC_EXPBUF, EMFILE); /* that is no lack of EXPBUF */
	expect_refusal(-EMFILE, "exporting a buffer");
}

static void test_fewer_buffers(void)
{
	begin();
	fake_camera.buffers_max = 2;
	test_int(rig_open(&rig), 0);
	test_int(pc_capture_info(rig.capture)->buffers, 2);
	for (int i = 0; i < 5; i++) {
		test_assert(fake_camera_shoot(NULL));
		rig_turn(&rig);
	}
	test_int(rig.n_frames, 5);
	rig_finish(&rig);
}

static void expect_failure(int err, const char *what)
{
	test_int(rig.n_failed, 1);
	test_int(rig.err, err);
	if (strstr(rig.what, what) == NULL) {
		test_fail("\"%s\" is not in \"%s\"", what, rig.what);
	}
	test_int(fake_camera_interest(), 0); /* the loop does not spin on it */
	rig_finish(&rig);
	test_int(fake_camera.opens, fake_camera.closes);
}

static void test_unplug(void)
{
	open_it(); /* poll() says it */
	fake_camera.gone = true;
	test_assert(fake_camera_poke(EPOLLERR | EPOLLHUP | EPOLLPRI));
	expect_failure(-ENODEV, "the camera is gone");

	open_it(); /* HUP, and DQBUF that only says "nothing yet" */
	test_assert(fake_camera_poke(EPOLLERR | EPOLLHUP));
	for (int i = 0; i < 100 && rig.n_failed == 0; i++) {
		fake_camera_poke(EPOLLERR | EPOLLHUP);
	}
	expect_failure(-ENODEV, "the camera is gone");

	open_it(); /* a frame comes back before the loop has seen it */
	rig.hold = true;
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	fake_camera.gone = true;
	rig_drop(&rig);
	rig_turn(&rig);
	expect_failure(-ENODEV, "the camera is gone");

	open_it(); /* it all ends in the callback */
	rig.close_in_failed = true;
	fake_camera.gone = true;
	test_assert(fake_camera_poke(EPOLLERR | EPOLLHUP | EPOLLPRI));
	test_assert(rig.capture == NULL);
	expect_failure(-ENODEV, "the camera is gone");

	open_it();
	rig.close_in_frame = true;
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	test_assert(rig.capture == NULL && rig.n_frames == 1);
	rig_finish(&rig);
	test_int(fake_camera.opens, fake_camera.closes);
}

static void test_source_change(void)
{
	open_it();
	fake_camera_change_source(0); /* nothing that concerns the picture's format */
	test_assert(fake_camera_poke(EPOLLPRI));
	test_int(rig.n_failed, 0);
	fake_camera_change_source(V4L2_EVENT_SRC_CH_RESOLUTION);
	test_assert(fake_camera_poke(EPOLLPRI));
	expect_failure(-EPIPE, "signal has changed");

	open_it(); /* a driver that calls PRI what is none */
	fake_camera.fail_request = VIDIOC_DQEVENT;
	fake_camera.fail_request_errno = ENOTTY;
	fake_camera.fail_request_times = 1;
	test_assert(fake_camera_poke(EPOLLPRI));
	test_assert(!fake_camera_poke(EPOLLPRI)); /* not asked again */
	test_int(rig.n_failed, 0);
	rig_finish(&rig);

	open_it(); /* DQBUF says it */
	fake_camera.fail_request = VIDIOC_DQBUF;
	fake_camera.fail_request_errno = EPIPE;
	fake_camera.fail_request_times = 1;
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	expect_failure(-EPIPE, "signal has changed");
}

/* A few are survived, many are not. */
static void test_eio(void)
{
	open_it();
	fake_camera.fail_request = VIDIOC_DQBUF;
	fake_camera.fail_request_errno = EIO;
	fake_camera.fail_request_times = 5;
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	test_int(rig.n_failed, 0);
	test_int(rig.n_frames, 1);
	test_int(rig.stats.frames_bad, 5);
	fake_camera.fail_request_times = 5; /* in a row, that is */
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	test_int(rig.n_frames, 2);
	fake_camera.fail_request_times = 1000;
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	expect_failure(-EIO, "gives no pictures");
}

/* Nothing queued: a node whose poll() calls that an error must not keep the loop awake. */
static void test_starved(void)
{
	open_it();
	rig.hold = true;
	for (int i = 0; i < 4; i++) {
		test_assert(fake_camera_shoot(NULL));
		rig_turn(&rig);
	}
	test_int(fake_camera.n_queued, 0);
	const unsigned calls = fake_camera.ioctls;
	test_assert(fake_camera_poke(EPOLLIN | EPOLLERR));
	test_int(fake_camera_interest() & EPOLLIN, 0); /* vb2's poll() is silent without */
	test_int(fake_camera.ioctls - calls, 1);
	test_int(rig.n_failed, 0);
	pc_frame_unref(rig.held[--rig.n_held]);
	rig_turn(&rig);
	test_assert((fake_camera_interest() & EPOLLIN) != 0);
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	test_int(rig.n_frames, 5);
	rig_finish(&rig);

	open_it(); /* ... and one that does so with buffers queued is broken */
	for (int i = 0; i < 100 && rig.n_failed == 0; i++) {
		fake_camera_poke(EPOLLERR);
	}
	expect_failure(-EIO, "gives no pictures");
}

/* A buffer that cannot be queued. */
static void test_requeue(void)
{
	open_it();
	fake_camera.fail_request = VIDIOC_QBUF;
	fake_camera.fail_request_errno = EINVAL;
	fake_camera.fail_request_times = 1;
	test_assert(fake_camera_shoot(NULL));
	rig_turn(&rig);
	rig_turn(&rig);
	expect_failure(-EINVAL, "takes no buffers");
}

/* Each call of opening fails in turn: an error or a lesser camera, and nothing left behind. */
static void test_every_call(void)
{
	static const int errors[] = { EIO, EINVAL, ENOMEM, ENODEV };
	for (unsigned e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		for (unsigned memory = 0; memory < 3; memory++) {
			unsigned n = 1;
			for (bool failed = true; failed; n++) {
				begin();
				const unsigned fds = rig_count_fds();
				fake_camera.timings = true;
				fake_camera.signal.bt.width = 1280;
				rig.config.memory = (enum pc_capture_memory)memory;
				fake_camera.fail_at = n;
				fake_camera.fail_errno = errors[e];
				const int r = rig_open(&rig);
				failed = fake_camera.failed;
				fake_camera.fail_at = 0;
				test_assert(failed || r == 0);
				test_assert(r == 0 || rig.why[0] != '\0');
				if (r == 0) {
					test_assert(fake_camera_shoot(NULL));
					rig_turn(&rig);
					test_int(rig.n_frames, 1);
				} else {
					test_assert(rig.capture == NULL);
				}
				rig_close(&rig);
				test_int(fake_camera.opens, fake_camera.closes);
				test_int(rig_count_fds(), fds);
				rig_finish(&rig);
			}
			test_assert(n > 15);
		}
	}
}

/* Each allocation, and each call while it runs. */
static void test_every_allocation(void)
{
	for (unsigned n = 1;; n++) {
		begin();
		const unsigned fds = rig_count_fds();
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = rig_open(&rig);
		const bool happened = fault_disarm();
		test_int(r, happened ? -ENOMEM : 0);
		rig_close(&rig);
		test_int(rig_count_fds(), fds);
		rig_finish(&rig);
		if (!happened) {
			test_assert(n > 3);
			break;
		}
	}
	for (unsigned n = 1; n < 40; n++) { /* 20 pictures: a DQBUF and a QBUF each */
		open_it();
		fake_camera.fail_at = n;
		fake_camera.fail_errno = EIO;
		for (int i = 0; i < 20; i++) {
			(void)fake_camera_shoot(NULL);
			rig_turn(&rig);
		}
		test_assert(fake_camera.failed);
		test_assert(rig.n_failed == 1 || rig.n_frames == 20);
		rig_finish(&rig);
		test_int(fake_camera.opens, fake_camera.closes);
	}
}

static void test_rounds(void)
{
	begin();
	test_int(rig_open(&rig), 0);
	rig_close(&rig);
	const unsigned fds = rig_count_fds();
	for (int i = 0; i < 300; i++) {
		test_int(rig_open(&rig), 0);
		rig.hold = true;
		test_assert(fake_camera_shoot(NULL));
		rig_turn(&rig);
		if (i % 2 == 0) {
			rig_close(&rig);
			rig_drop(&rig);
		} else {
			rig_drop(&rig);
			rig_close(&rig);
		}
		rig_close(&rig); /* once more does no harm */
	}
	test_int(rig_count_fds(), fds);
	rig_finish(&rig);
}

int main(void)
{
	TEST_RUN(test_refusals);
	TEST_RUN(test_fewer_buffers);
	TEST_RUN(test_unplug);
	TEST_RUN(test_source_change);
	TEST_RUN(test_eio);
	TEST_RUN(test_starved);
	TEST_RUN(test_requeue);
	TEST_RUN(test_every_call);
	TEST_RUN(test_every_allocation);
	TEST_RUN(test_rounds);
	return test_end();
}
