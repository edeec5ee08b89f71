/* tests/support/fake_camera.h - a camera node that does what a test says.
 *
 * A test linked with `fake_camera_dep` has v4l2/device.h's functions redirected (ld --wrap)
 * to one camera at FAKE_CAMERA_PATH. Its memory are memfds; its fd is an eventfd, readable
 * while a picture is done; what else a node's poll() says a test says by fake_camera_poke().
 * Everything of it is in `fake_camera`; fake_camera_init() makes it a sound webcam.
 *
 * Thread: any, under its own lock; `fake_camera` is set up by one thread, between uses.
 */
#ifndef PC_TEST_FAKE_CAMERA_H
#define PC_TEST_FAKE_CAMERA_H

#include <linux/videodev2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_CAMERA_PATH "/dev/fake-camera"
#define FAKE_CAMERA_BUFFERS 32
#define FAKE_CAMERA_REQUESTS 32

struct fake_camera_format {
	uint32_t pixelformat; /* V4L2_PIX_FMT_*; 0: the list's end */
	uint32_t stride_align; /* of its lines; 0: 1 */
	uint32_t stride_fixed; /* bytes, whatever is asked; 0: as asked */
	unsigned fps[4]; /* what it does at any size, 0-terminated; none: does not say */
	uint32_t sizes[4][2]; /* 0-terminated; none: does not say, takes any */
	bool stepwise; /* from sizes[0] to sizes[1], in steps of 16 */
	bool lies; /* set to it, it is the first one */
	uint32_t field; /* V4L2_FIELD_*; 0: NONE */
};

struct fake_camera {
	/* What it is; set before it is opened. */
	struct fake_camera_format formats[8];
	bool libcamerify;
	bool mplane;
	bool exports_not; /* EXPBUF: ENOTTY */
	bool imports_not; /* REQBUFS of DMABUF: EINVAL */
	bool conversion; /* libv4l2 makes YU12 of anything */
	unsigned buffers_max; /* REQBUFS gives no more */
	uint32_t caps; /* V4L2_CAP_*; 0: a camera's */
	const char *driver;
	const char *card;
	uint32_t input_status; /* V4L2_IN_ST_* */
	bool timings; /* its input has DV timings */
	int timings_error; /* of QUERY_DV_TIMINGS, negative */
	struct v4l2_dv_timings signal, set;
	bool no_numbers; /* pictures have the sequence 0, all of them */
	int open_error; /* negative */

	/* The n-th call (from 1) of open, convert, ioctl or map fails with this errno. */
	unsigned fail_at;
	int fail_errno;
	bool failed; /* it has */
	/* Each of these fails so often from now on. */
	unsigned long fail_request;
	int fail_request_errno;
	unsigned fail_request_times;
	bool gone; /* unplugged: everything is ENODEV */

	/* What happened. */
	unsigned opens, closes, ioctls;
	struct {
		unsigned long request;
		unsigned calls;
	} calls[FAKE_CAMERA_REQUESTS];
	uint32_t pixelformat, width, height, stride, size;
	struct v4l2_fract interval; /* as set */
	uint32_t memory; /* V4L2_MEMORY_*, of the buffers */
	unsigned n_buffers, n_queued, n_mapped;
	bool streaming;
	uint32_t event_id; /* of the SOURCE_CHANGE subscription; UINT32_MAX: none */
	unsigned wrong_buffers; /* libcamerify: dequeued ones that were not filled */
	unsigned shots; /* pictures taken, lost ones included */
};

extern struct fake_camera fake_camera;

/* A webcam: YUYV and MJPG, 640x480 and 1280x720, 30 and 15 fps. What an earlier one had open
 * must have been closed. */
void fake_camera_init(void);

/* One picture. */
struct fake_camera_shot {
	uint32_t flags; /* V4L2_BUF_FLAG_*, beside the clock's */
	uint32_t clock; /* V4L2_BUF_FLAG_TIMESTAMP_*; 0: monotonic */
	int64_t stamp_ns; /* 0: now */
	uint32_t bytes_used; /* 0: the buffer's size */
	unsigned lost_before; /* pictures that the camera lost before it */
	bool empty; /* bytes_used is 0 */
};

/* The camera takes a picture into the buffer that was queued first, writes its number into
 * the first four bytes, and is readable. False: it had no buffer, and the picture is lost. */
bool fake_camera_shoot(const struct fake_camera_shot *shot); /* NULL: a good one */

/* A SOURCE_CHANGE event is due. */
void fake_camera_change_source(uint32_t changes);

/* Calls the loop's callback with these EPOLL*, as far as it waits for them. False: it does
 * not, or is not registered. On the loop's thread. */
bool fake_camera_poke(uint32_t revents);

/* What the loop waits for; 0: it does not watch. */
uint32_t fake_camera_interest(void);

bool fake_camera_is_open(void);
unsigned fake_camera_calls(unsigned long request);

#endif
