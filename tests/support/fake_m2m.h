/* tests/support/fake_m2m.h - a memory-to-memory device that does what a test says.
 *
 * A test linked with `fake_m2m_dep` has v4l2/device.h's functions redirected (ld --wrap) to one
 * device at FAKE_M2M_PATH, and the loop's watch on it: its poll() answers as v4l2_m2m_poll() does.
 * Its H.264 has the right NAL types and no pictures. Everything of it is in `fake_m2m`.
 *
 * Thread: one, the loop's.
 */
#ifndef PC_TEST_FAKE_M2M_H
#define PC_TEST_FAKE_M2M_H

#include <linux/videodev2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"

#define FAKE_M2M_PATH "/dev/fake-m2m"
#define FAKE_M2M_BUFFERS 32

struct fake_m2m {
	/* What it is; set before it is opened. */
	bool scaler; /* else an encoder */
	bool single_plane; /* speaks the single-planar API */
	uint32_t formats[8]; /* V4L2_PIX_FMT_*, 0-terminated: what goes in */
	uint32_t stride_align;
	uint32_t width_max;
	uint32_t extra_size; /* bytes that it wants behind each picture */
	size_t coded_size_min; /* of coded buffers */
	unsigned buffers_max; /* REQBUFS gives no more */
	uint32_t lacks[8]; /* controls that it does not have, 0-terminated */
	bool no_dmabuf;

	/* How it behaves; may change at any time. Frames are counted from 1 in each stream. */
	bool manual; /* only fake_m2m_step() moves it */
	bool stalled; /* takes frames and does nothing */
	bool keeps_inputs; /* outputs come, inputs do not come back */
	unsigned abort_every; /* each n-th frame comes back with no output */
	unsigned error_every; /* each n-th output has the error flag */
	unsigned headers_alone; /* SPS and PPS in a buffer of their own: 1: with the first key
				 * frame, 2: with each */
	bool headers_once; /* only in front of the first key frame */
	bool headers_unstamped; /* headers alone have a zero time stamp */
	unsigned junk_first; /* so many outputs of nobody come first */
	unsigned late; /* an output comes when so many further inputs have come back */
	size_t packet_size; /* of the slice */
	bool fragments; /* what does not fit goes on in the next buffer; else it is cut off */
	bool too_large_is_error; /* what does not fit is an empty buffer with the error flag */
	bool deaf; /* FORCE_KEY_FRAME does nothing */
	bool drains_never;
	int refuse; /* QBUF of an input: this negative errno; 0: taken */
	bool gone; /* unplugged */

	/* The n-th call (from 1) of open, ioctl or map fails with this errno; 0: none. */
	unsigned fail_at;
	int fail_errno;
	bool failed; /* it has */

	/* Looks at, and changes, what an ioctl answers. NULL: nobody does. */
	int (*tamper)(unsigned long request, void *arg, int r);

	/* What happened. */
	unsigned opens, closes, maps, unmaps;
	unsigned calls; /* of open, ioctl and map, for fail_at */
	unsigned ioctls;
	unsigned dispatches; /* times that the client was called by the loop */
	unsigned watch_changes; /* of what is polled for */
	unsigned imports; /* dma-bufs that an index had not had before */
	unsigned keys_forced;
	int32_t bitrate, level, gop;
	double fps;
	size_t coded_size; /* as last set */
	unsigned in_queued; /* in the device now, done or not */
	unsigned out_queued;
};

extern struct fake_m2m fake_m2m;

/* The Pi's encoder or scaler, well-behaved. Nothing may be open. */
void fake_m2m_reset(bool scaler);

/* Takes the oldest input through (manual). false: there is none, or no output buffer. */
bool fake_m2m_step(void);

/* The device changed by itself (unplugged ...): poll() is looked at again. */
void fake_m2m_poke(void);

/* A frame of `format` with lines of `stride` bytes in a memfd that passes for a dma-buf. The caller
 * owns it: publish, hand out, and free when nobody has it. */
struct fake_frame {
	struct pc_frame base;
	size_t size;
	unsigned returns; /* times that the last reference went */
};
struct fake_frame *fake_frame_create(const struct pc_frame_format *format, uint32_t stride);
void fake_frame_free(struct fake_frame *frame);

#endif
