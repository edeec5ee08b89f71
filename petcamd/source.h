/* petcamd/source.h - where a camera's frames come from.
 *
 * Members: `v4l2` (a camera node: dma-bufs, nobody copies them), `file` (whatever
 * libavformat opens, decoded to I420 on a worker, paced in real time), `demo` (the
 * rendered room). "auto" is v4l2 where a camera is there, else demo. A source that
 * computes owns a worker thread and hands its frames over on the loop.
 *
 * Frames carry capture_ns on CLOCK_MONOTONIC: for a file, the paced time at which
 * the frame is due; a file that starts again goes on in time without a gap. A
 * source whose consumer is late drops frames (counted in frames_skipped_source),
 * it never lags behind real time.
 *
 * Thread: every function and callback runs on the loop given to open().
 */
#ifndef PC_PETCAMD_SOURCE_H
#define PC_PETCAMD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/settings.h"
#include "core/event.h"
#include "core/frame.h"
#include "core/loop.h"
#include "core/stats.h"
#include "hwaccel/allocator.h"

struct pc_source;

struct pc_source_config {
	const struct pc_camera_settings *camera; /* must outlive the source */
	/* What to open: camera->source, or what pc_source_resolve() made of it. */
	const char *source;
	/* Of the frames of a source that draws (pc_source_draws()); else NULL will do. */
	struct pc_allocator *allocator;
	struct pc_camera_stats *stats;
	/* The devices behind, as in pc_encoder_config and pc_scaler_config: a camera is set to what
	 * they take as it is. `scaler` NULL: none. Only for the call. */
	const char *encoder;
	const char *encoder_device;
	const char *scaler;
	const char *scaler_device;
	/* A camera's own buffers turned out to be no use to the encoder: another way. */
	bool no_export;
};

/* What the frames will be. Known when open() returns; a change is failed(). */
struct pc_source_info {
	struct pc_frame_format format;
	unsigned caps; /* enum pc_frame_caps */
	unsigned n_planes; /* 0: as pc_frame_layout() makes them at 64 bytes */
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES]; /* strides and offsets; fd -1 */
	size_t size; /* bytes of each dma-buf; 0: unknown */
	double fps; /* nominal */
	char text[128]; /* "file v03.mp4, 640x338 at 25" for logs and /cameras */
	/* Areas that the source knows by itself (the demo room's bowl, sofa, door), used
	 * where the settings name none; and where motion means nothing (the barcode). */
	unsigned n_zones;
	struct pc_zone zones[PC_ZONES_MAX];
	unsigned n_masks;
	struct pc_zone masks[PC_ZONES_MAX];
};

struct pc_source_events {
	/* The callee takes a reference if it keeps `frame`. */
	void (*frame)(void *data, struct pc_frame *frame);
	/* A file without loop has come to its end; only close() may follow. */
	void (*ended)(void *data);
	/* -EIO, -ENODEV, -EPIPE (the format changed) ...; only close() may follow.
	 * `what` says what happened, for people; valid during the call. */
	void (*failed)(void *data, int err, const char *what);
};

/* What "auto" is at this moment: the best kind of source that is there; any other text is
 * returned as it is. Static, or `source` itself. */
const char *pc_source_resolve(const char *source);

/* Makes its frames with the CPU, in buffers of the allocator; a camera does not. */
bool pc_source_draws(const char *source);

/* 0 or negative errno, `why` (a sentence) filled: "file x.mp4: no video track". */
int pc_source_open(struct pc_loop *loop, const struct pc_source_config *config,
	const struct pc_source_events *events, void *data, char *why, size_t why_size,
	struct pc_source **ret_source);

const struct pc_source_info *pc_source_info(const struct pc_source *source);

/* No callback runs afterwards. Frames that are out stay valid. NULL is fine. */
void pc_source_close(struct pc_source *source);

#endif
