/* hwaccel/converter.h - pictures that no encoder takes as they are, made into ones that
 * it does: MJPEG decoded, YUYV and its like converted, CPU-only frames copied.
 *
 * This is the declared copy of DESIGN's first promise: the log says so when one opens, and
 * frames_converted counts. It owns a worker thread; the newest frame wins: while one is being
 * converted, at most one waits, and an older one that waited is dropped and counted
 * (frames_skipped_source).
 *
 * Thread: every function and callback runs on the loop given to open().
 */
#ifndef PC_HWACCEL_CONVERTER_H
#define PC_HWACCEL_CONVERTER_H

#include <stddef.h>

#include "core/frame.h"
#include "core/loop.h"
#include "core/stats.h"
#include "hwaccel/allocator.h"

struct pc_converter;

struct pc_converter_config {
	struct pc_frame_format in; /* fourcc V4L2_PIX_FMT_MJPEG, DRM_FORMAT_YUYV, UYVY, ... */
	uint32_t out_fourcc; /* DRM_FORMAT_YUV420 or DRM_FORMAT_NV12 */
	struct pc_allocator *allocator; /* of the pictures made; must outlive it */
	unsigned buffers; /* pictures that may be out at once */
	struct pc_camera_stats *stats; /* NULL: nobody */
};

struct pc_converter_events {
	/* capture_ns and sequence are the input's. The callee takes a reference if it keeps it. */
	void (*frame)(void *data, struct pc_frame *frame);
	void (*failed)(void *data, int err, const char *what); /* only close() may follow */
};

/* 0 or negative errno, `why` filled. A single corrupt picture is counted (frames_bad)
 * and is no failure; a JPEG of another size is -EPIPE by failed(). */
int pc_converter_open(struct pc_loop *loop, const struct pc_converter_config *config,
	const struct pc_converter_events *events, void *data, char *why, size_t why_size,
	struct pc_converter **ret_converter);
int pc_converter_submit(struct pc_converter *converter, struct pc_frame *frame); /* 0, -EPIPE */
void pc_converter_close(struct pc_converter *converter); /* NULL is fine */

#endif
