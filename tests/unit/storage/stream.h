/* tests/unit/storage/stream.h - a camera that tests can wind: real H.264 in a window.
 *
 * Frame n (from 0) is a picture that depends on n alone, with n in its barcode; every `gop`-th
 * frame is a key frame and the quantiser is fixed, so frame n decodes to the same pixels in
 * every process. A stream knows the checksum of each of its frames.
 */
#ifndef PC_TEST_STREAM_H
#define PC_TEST_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/event.h"
#include "core/stats.h"
#include "core/window.h"

#define STREAM_FPS 10
#define STREAM_GOP 10
#define STREAM_FRAME_NS (PC_NS_PER_S / STREAM_FPS)
#define STREAM_FRAMES_MAX 4096

struct stream {
	struct pc_window *window;
	struct pc_camera_stats stats;
	int64_t start_ns; /* capture time of frame 0 */
	uint32_t next; /* number of the next frame */
	uint32_t crc[STREAM_FRAMES_MAX]; /* of each frame's luma once decoded */
	/* private */
	struct pc_fragment_pool *pool;
	struct pc_muxer *muxer;
	struct AVCodecContext *encoder, *decoder;
	struct AVFrame *picture, *decoded;
	struct AVPacket *packet;
};

/* A window of `window_s`; frame 0 was taken at `start_ns`. */
void stream_open(struct stream *stream, int64_t start_ns, double window_s);
void stream_close(struct stream *stream);

/* Encodes `n` frames and pushes them. */
void stream_push(struct stream *stream, unsigned n);
/* Frames whose time has come; returns at frame `end` at the latest. */
void stream_push_due(struct stream *stream, uint32_t end);
/* The camera was opened anew: the next frame is a key frame of a new epoch. */
void stream_new_epoch(struct stream *stream);

static inline int64_t stream_time(const struct stream *stream, uint32_t frame)
{
	return stream->start_ns + (int64_t)frame * STREAM_FRAME_NS;
}

/* What is in a recording. */
struct clip_content {
	unsigned frames;
	uint32_t first, last; /* frame numbers; each is its predecessor's + 1 */
	int64_t duration_ms; /* as libavformat says */
	bool indexed; /* sidx, mehd and mfra are there */
};

/* Decodes the file; every frame must be the stream's, in order, with none left out, and no
 * message of an error. Fails the test otherwise. */
struct clip_content clip_check(const struct stream *stream, const char *path);

/* Checksums of the first `n` frames without a window: for another process's recordings. */
void stream_checksums(struct stream *stream, unsigned n);

#endif
