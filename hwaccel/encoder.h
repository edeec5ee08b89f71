/* hwaccel/encoder.h - H.264 encoder: frames in, access units out.
 *
 * Members, tried in this order: `v4l2m2m` (our own stateful M2M client, DMABUF
 * in), `libavcodec` (h264_v4l2m2m where it opens: dma-bufs by AV_PIX_FMT_DRM_PRIME where that
 * build takes them, other frames by a copy; else libx264 zerolatency, reading the frame's
 * memory in place). An encoder that computes owns a worker thread and answers on the loop by
 * eventfd.
 *
 * Every packet stream is Annex B with SPS and PPS in front of each key packet,
 * has no B frames, and gives one packet or none (rate control may abort one) for
 * each frame, in order.
 *
 * Thread: every function and callback runs on the loop given to open().
 */
#ifndef PC_HWACCEL_ENCODER_H
#define PC_HWACCEL_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"
#include "core/loop.h"
#include "core/packet.h"
#include "core/stats.h"

struct pc_encoder;

struct pc_encoder_config {
	struct pc_frame_format format; /* of every frame that will come */
	unsigned caps; /* enum pc_frame_caps of the frames */
	unsigned n_planes; /* 0: as pc_frame_layout() makes them at 64 bytes */
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES]; /* strides and offsets; fd -1 */
	size_t size; /* bytes of the dma-bufs; 0: unknown (no dma-bufs) */
	double fps; /* nominal; sane, never 0 */
	unsigned bitrate_kbps; /* 0: lossless (tests) */
	unsigned key_interval; /* frames, an upper bound; key frames are forced by time */
	const char *choice; /* "auto", "v4l2m2m", "libavcodec" */
	const char *preset; /* libx264's */
	unsigned threads; /* 0: the member's choice */
	const char *device; /* a node's path, or "": found by capability */
	struct pc_camera_stats *stats; /* counts aborted frames, imports ...; NULL: nobody */
};

/* What an encoder or a scaler takes as it is, without a copy or a conversion. */
struct pc_input_format {
	uint32_t fourcc; /* DRM_FORMAT_* */
	uint32_t stride_align; /* bytes, a power of two */
};

struct pc_encoder_events {
	/* One access unit, in the order of the frames; valid only during the call. */
	void (*packet)(void *data, const struct pc_packet *packet);
	/* The encoder failed with negative errno `err`; only close() may follow. */
	void (*failed)(void *data, int err);
};

enum pc_encoder_flags {
	PC_ENCODER_KEY = 1 << 0, /* make this frame an IDR */
};

/* 0; -EINVAL (format, size or a choice that does not exist), -ENODEV (the choice
 * cannot run here), -ENOMEM. Logs one line: what was chosen, and why not the
 * better one. `events` and `data` must outlive the encoder. May take some 10 ms. */
int pc_encoder_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, struct pc_encoder **ret_encoder);

/* The formats that the encoder which `choice` and `device` would give takes as they are at
 * this size, best first; at most `max`; the number. *ret_dmabuf: it wants dma-bufs. */
unsigned pc_encoder_inputs(const char *choice, const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);

/* Takes a reference on `frame` until the device is done with it. 0; -EAGAIN: no
 * free slot, the frame was not taken and the caller counts the drop; -EPIPE after
 * failed(). Never blocks. */
int pc_encoder_submit(struct pc_encoder *encoder, struct pc_frame *frame, unsigned flags);

/* Takes effect from a frame that is not encoded yet. 0 or -ENOTSUP. */
int pc_encoder_set_bitrate(struct pc_encoder *encoder, unsigned bitrate_kbps);

/* "libx264", "/dev/video11 (bcm2835-codec)" ... for /health and logs. */
const char *pc_encoder_name(const struct pc_encoder *encoder);

/* How long the oldest frame that has no packet yet was taken ago; 0: none is
 * owed. A frame that the device gave back without a packet (aborted) is not owed, unless
 * it goes on like that. The watchdog reads it. */
int64_t pc_encoder_owed_ns(const struct pc_encoder *encoder);

/* No callback runs afterwards; packets not handed over are dropped; waits for
 * the frame that is being encoded. NULL is fine. */
void pc_encoder_close(struct pc_encoder *encoder);

#endif
