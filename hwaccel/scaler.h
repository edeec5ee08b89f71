/* hwaccel/scaler.h - the full-size frame made small, as packed RGB for inference.
 *
 * Members, tried in this order: `v4l2m2m` (an M2M scaler node; the picture lands in cached
 * contiguous memory), `gles` (a draw of the imported dma-buf by EGL, on a worker thread that
 * waits for the GPU), `software` (libswscale on a worker thread). Output frames are DRM_FORMAT_BGR888 (bytes R, G, B), CPU-readable, stride
 * exactly 3 * width where the width is a multiple of 32, and keep capture_ns and
 * sequence of the frame that they come from.
 *
 * Thread: every function and callback runs on the loop given to open(). Output
 * frames may be held and unreffed by any thread.
 */
#ifndef PC_HWACCEL_SCALER_H
#define PC_HWACCEL_SCALER_H

#include "core/frame.h"
#include "core/loop.h"
#include "core/stats.h"
#include "hwaccel/encoder.h"

struct pc_scaler;

struct pc_scaler_config {
	struct pc_frame_format input;
	unsigned caps; /* of the input frames */
	unsigned n_planes; /* as in pc_encoder_config */
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	size_t size;
	unsigned width; /* of the output, a multiple of 32 */
	unsigned height; /* of the output: the caller keeps the shape */
	unsigned buffers; /* output frames that may be out at once; 2..32 */
	const char *choice; /* "auto", "v4l2m2m", "gles", "software" */
	const char *device; /* a node's path, or "": found by capability */
	struct pc_camera_stats *stats; /* counts imports; NULL: nobody */
};

struct pc_scaler_events {
	/* The callee takes a reference if it keeps `frame`. */
	void (*scaled)(void *data, struct pc_frame *frame);
	void (*failed)(void *data, int err); /* only close() may follow */
};

/* As pc_encoder_open(). */
int pc_scaler_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, struct pc_scaler **ret_scaler);

/* Takes a reference on `frame` until it is scaled. 0; -EAGAIN: busy, or no output buffer is
 * free (the caller counts the drop); -EPIPE after failed(). Never blocks. */
int pc_scaler_submit(struct pc_scaler *scaler, struct pc_frame *frame);

/* As pc_encoder_inputs(). */
unsigned pc_scaler_inputs(const char *choice, const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);

/* As pc_encoder_owed_ns(). */
int64_t pc_scaler_owed_ns(const struct pc_scaler *scaler);

const char *pc_scaler_name(const struct pc_scaler *scaler);
void pc_scaler_close(struct pc_scaler *scaler); /* no callback afterwards; NULL is fine */

/* The small size for an input: `width` wide (made a multiple of 32), its height by
 * the input's shape, even, at least 32. */
void pc_scaler_fit(const struct pc_frame_format *input, unsigned width, unsigned *ret_width,
	unsigned *ret_height);

#endif
