/* v4l2/m2m.h - one client of stateful memory-to-memory devices: encoder and scaler.
 *
 * Pictures go in by DMABUF: each frame buffer is given an index of the OUTPUT queue the
 * first time that it comes, cached on it (pc_frame_import), and keeps it, so that the
 * kernel maps it for the device once a buffer and not once a frame. What comes out lands
 * in the device's own mapped buffers (coded bytes), or in dma-buf frames that the caller
 * gives (pictures).
 *
 * Nothing is assumed of a device but what the Pi's keeps (raspberry-pi.md section 1):
 * input and output have free lists of their own; an output belongs to the input of
 * the same time stamp, in microseconds, or to none (a junk first buffer); an input may
 * come back with no output (the frame was aborted: it is not owed); outputs may come
 * late, and several inputs may be under way.
 *
 * Thread: every function and callback runs on the loop given to open(). Driven by epoll;
 * nothing blocks but close(), which waits for the device's STREAMOFF.
 */
#ifndef PC_V4L2_M2M_H
#define PC_V4L2_M2M_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"
#include "core/loop.h"
#include "v4l2/device.h"

struct pc_m2m;

struct pc_m2m_config {
	const char *path;
	/* What goes in: format, strides and offsets of the frames. The planes lie in one
	 * dma-buf, each behind the other as V4L2's single-buffer formats want them. */
	struct pc_frame_format in;
	unsigned n_in_planes;
	struct pc_frame_plane in_planes[PC_FRAME_MAX_PLANES];
	size_t in_size; /* bytes of the dma-bufs; a device that needs more refuses: -EMSGSIZE */
	double fps; /* S_PARM; 0: not set (scalers) */
	unsigned in_buffers; /* different frame buffers that may come; 1..32 */
	/* What comes out. */
	uint32_t out_pixelformat; /* V4L2_PIX_FMT_H264, V4L2_PIX_FMT_RGB24 ... */
	unsigned out_width, out_height;
	size_t out_size; /* sizeimage at least, coded formats; 0: the device's */
	unsigned out_buffers;
	bool out_dmabuf; /* false: the device's buffers, mapped; true: the caller's frames */
	/* Controls set before the buffers are asked for; those that the device lacks are skipped
	 * unless `required`. */
	struct pc_m2m_control {
		uint32_t id;
		int32_t value;
		bool required;
	} controls[24];
	unsigned n_controls;
};

/* One input that is under way. */
struct pc_m2m_input {
	uint64_t sequence; /* the frame's */
	int64_t capture_ns; /* the frame's */
	int64_t submit_ns;
	bool returned; /* the device has given the input back */
};

struct pc_m2m_output {
	const uint8_t *data; /* mapped buffers; NULL with out_dmabuf */
	size_t size; /* bytes used */
	size_t capacity; /* of the buffer */
	struct pc_frame
		*frame; /* out_dmabuf: the frame given to submit(), to be kept by reference */
	bool key; /* V4L2_BUF_FLAG_KEYFRAME */
	bool error; /* V4L2_BUF_FLAG_ERROR: the contents are no use */
	bool last; /* V4L2_BUF_FLAG_LAST: the drain is complete; size may be 0 */
	const struct pc_m2m_input *input; /* NULL: of no input (junk, or headers of their own) */
};

struct pc_m2m_events {
	/* A buffer came out; its memory is the device's again when this returns. True: the input
	 * is done with; false: more belongs to it (headers came alone). Inputs before it
	 * that the device has returned are given up first: aborted(). */
	bool (*output)(void *data, const struct pc_m2m_output *output);
	/* The device returned this input and gives no output for it: a later one's output has
	 * come, or 2 s have passed (looked at whenever the device says anything). What comes
	 * for it later still is junk. */
	void (*aborted)(void *data, const struct pc_m2m_input *input);
	/* -ENODEV (it is gone), -EIO; only close() may follow. */
	void (*failed)(void *data, int err, const char *what);
};

struct pc_m2m_stats {
	uint64_t imports; /* buffers given an index */
	uint64_t submitted;
	uint64_t outputs; /* that had an input */
	uint64_t aborted;
	uint64_t junk; /* outputs of no input */
	uint64_t errors; /* outputs with the error flag */
};

/* 0 or negative errno with `why`: "wants lines of 1344 bytes, the frames have 1280". */
int pc_m2m_open(struct pc_loop *loop, const struct pc_m2m_config *config,
	const struct pc_m2m_events *events, void *data, char *why, size_t why_size,
	struct pc_m2m **ret_m2m);

/* Queues `in` (a reference is held until the device gives it back) and, where
 * pc_m2m_wants_out(), `out` (else NULL). `fence_fd`: -1, or a sync file that must have signalled
 * before the buffer may be given back; owned on success. 0; -EAGAIN: no free slot; -EPIPE
 * after failed() or drain(); -EINVAL: the planes lie otherwise than open() was told; else
 * what QBUF said (`in` was not taken; `out` may have been, and is used for the next). */
int pc_m2m_submit(struct pc_m2m *m2m, struct pc_frame *in, struct pc_frame *out, int fence_fd);

/* With out_dmabuf: does the next input need a picture to land in? Not if an aborted input
 * left its own in the device. Without: false. */
bool pc_m2m_wants_out(const struct pc_m2m *m2m);

/* Inputs that the device has not given back. */
unsigned pc_m2m_in_device(const struct pc_m2m *m2m);

int pc_m2m_set_control(struct pc_m2m *m2m, uint32_t id, int32_t value);
const char *pc_m2m_name(const struct pc_m2m *m2m); /* "/dev/video11 (bcm2835-codec)" */
size_t pc_m2m_out_size(const struct pc_m2m *m2m); /* bytes of an output buffer */
uint32_t pc_m2m_out_stride(const struct pc_m2m *m2m); /* bytes; 0: coded */
void pc_m2m_get_stats(const struct pc_m2m *m2m, struct pc_m2m_stats *ret_stats);

/* How long the oldest input has been in the device, or, while inputs come back and nothing
 * comes out, how long that has lasted beyond 1 s, or how long a drain has lasted; 0: nothing
 * owed. */
int64_t pc_m2m_owed_ns(const struct pc_m2m *m2m);

/* V4L2_ENC_CMD_STOP: outputs of all inputs, then one with `last`, once; only close() may follow.
 * A device may never come to that (linux#5059): owed_ns() tells. 0, -ENOTSUP, -EPIPE. */
int pc_m2m_drain(struct pc_m2m *m2m);

/* No callback runs afterwards; references are dropped. NULL is fine. */
void pc_m2m_close(struct pc_m2m *m2m);

/* Which raw formats (DRM) a node takes at this size, and the line alignment that it asks
 * of each, by TRY_FMT; at most `max`; the number or negative errno. */
struct pc_m2m_input_format {
	uint32_t fourcc;
	uint32_t stride_align;
};
int pc_m2m_input_formats(const struct pc_v4l2_node *node, unsigned width, unsigned height,
	struct pc_m2m_input_format *formats, unsigned max);

#endif
