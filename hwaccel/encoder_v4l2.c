/* hwaccel/encoder_v4l2.c - H.264 by a stateful memory-to-memory device, frames by dma-buf.
 *
 * The device is believed in nothing but that its packets are H.264 (raspberry-pi.md section 1):
 *  - SPS and PPS may come once, with each key frame, or in a buffer of their own: the last
 *    are kept, and put in front of each key packet that has none.
 *  - A packet may come in pieces: a buffer that is full is held until the next one says whether
 *    it goes on (same input) or was cut off (another's).
 *  - What was cut off, marked as an error, or came too late is lost, and all that refers to it:
 *    nothing is handed over until the next key frame, which is asked for. A device whose
 *    buffers are too small is opened again, with larger ones.
 *  - An aborted frame was never encoded: the next one does not refer to it.
 */
#define PC_LOG_MODULE "encoder"
#include <assert.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/encoder_v4l2_internal.h"
#include "hwaccel/h264_headers.h"
#include "hwaccel/v4l2_node_internal.h"
#include "v4l2/m2m.h"

#define IN_DEVICE 4 /* devices that keep some before they give one back need as many */
#define OUT_SIZE_MAX (24u << 20)
#define PIECES_MAX 4 /* buffers that a packet may fill; more of them if they are small: */
#define PACKET_ROOM (6u << 20)
#define ERRORS_MAX 3 /* in a row; then the buffers are taken to be too small */
#define REOPENINGS_MAX 4 /* without a packet between them */
#define LOST_MAX_NS PC_NS_PER_S /* without the key frame that was asked for */

struct v4l2_encoder {
	struct pc_encoder base;
	struct pc_loop *loop;
	const struct pc_encoder_events *events;
	void *data;
	struct pc_camera_stats *stats; /* NULL: nobody */
	struct pc_m2m_config config; /* to open it again */
	char path[PC_V4L2_PATH_MAX];
	char name[PC_V4L2_PATH_MAX + 32];
	bool lossless;
	struct pc_encoder_v4l2_rates rates;

	struct pc_m2m *m2m; /* NULL: it failed */
	struct pc_wakeup *wakeup; /* tells of a failure inside submit() */
	int err;
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */

	struct pc_h264_headers headers;
	/* A packet in pieces, or a key packet and its headers: room for these, then the pieces. */
	uint8_t *scratch;
	size_t scratch_size;
	size_t held; /* bytes of pieces */
	int64_t held_ns; /* submit_ns of their frame */

	uint64_t imports; /* told to `stats` */
	unsigned under_way; /* frames that have neither a packet nor been given up */
	int64_t last_ns; /* submit_ns of the newest packet's frame */
	int64_t key_asked_ns; /* frames from then on should bring a key; 0: none is awaited */
	bool lost; /* what follows refers to what was lost, until a key frame: */
	int64_t lost_ns; /* since then */
	bool grown; /* said in the log */
	unsigned errors; /* in a row */
	unsigned reopenings; /* since the newest packet */
};

#define COUNT(encoder, field, n)                                                                   \
	do {                                                                                       \
		if ((encoder)->stats != NULL) {                                                    \
			pc_counter_add(&(encoder)->stats->field, n);                               \
		}                                                                                  \
	} while (0)

/* --- the device --- */

static void on_aborted(void *data, const struct pc_m2m_input *input);
static bool on_output(void *data, const struct pc_m2m_output *output);
static void on_failed(void *data, int err, const char *what);

static const struct pc_m2m_events m2m_events = {
	.output = on_output,
	.aborted = on_aborted,
	.failed = on_failed,
};

static int open_m2m(struct v4l2_encoder *encoder, char *why, size_t why_size)
{
	struct pc_m2m *m2m;
	const int r = pc_m2m_open(
		encoder->loop, &encoder->config, &m2m_events, encoder, why, why_size, &m2m);
	if (r < 0) {
		return r;
	}
	size_t size = PIECES_MAX * pc_m2m_out_size(m2m);
	size = PC_H264_HEADERS_MAX + (size > PACKET_ROOM ? size : PACKET_ROOM);
	if (size > encoder->scratch_size) {
		uint8_t *scratch = malloc(size); /* untouched pages cost nothing */
		if (scratch == NULL) {
			pc_m2m_close(m2m);
			return -ENOMEM;
		}
		free(encoder->scratch);
		encoder->scratch = scratch;
		encoder->scratch_size = size;
	}
	encoder->m2m = m2m;
	encoder->imports = 0;
	encoder->held = 0;
	encoder->lost = false; /* a new stream begins with a key frame */
	encoder->key_asked_ns = 0;
	encoder->errors = 0;
	return 0;
}

static void fail(struct v4l2_encoder *encoder, int err)
{
	pc_m2m_close(encoder->m2m);
	encoder->m2m = NULL;
	encoder->events->failed(encoder->data, err);
}

/* What is in the device has no packet. */
static void abort_all(struct v4l2_encoder *encoder)
{
	COUNT(encoder, frames_aborted, encoder->under_way);
	encoder->under_way = 0;
}

/* A new stream, with larger buffers, as far as that goes, if that may help. */
static void reopen(struct v4l2_encoder *encoder, bool larger)
{
	const size_t size = pc_m2m_out_size(encoder->m2m);
	if (encoder->reopenings == REOPENINGS_MAX) {
		pc_error("%s gives no packet that is whole, with buffers of %zu bytes",
			encoder->name, size);
		fail(encoder, -EIO);
		return;
	}
	encoder->reopenings++;
	if (larger) {
		encoder->config.out_size = size * 2 < OUT_SIZE_MAX ? size * 2 : OUT_SIZE_MAX;
	}
	abort_all(encoder);
	COUNT(encoder, encoder_opens, 1);
	pc_m2m_close(encoder->m2m);
	encoder->m2m = NULL;
	char why[256] = "";
	const int r = open_m2m(encoder, why, sizeof(why));
	if (r < 0) {
		pc_error("%s does not open again: %s", encoder->name,
			why[0] != '\0' ? why : pc_strerror(r));
		encoder->events->failed(encoder->data, r);
		return;
	}
	if (!encoder->grown) {
		encoder->grown = true;
		const size_t now = pc_m2m_out_size(encoder->m2m);
		pc_warn("%s: a frame did not come out whole; opened again, with buffers of %zu bytes "
			"(before: %zu)",
			encoder->name, now, size);
	}
}

/* --- packets --- */

static void settle(struct v4l2_encoder *encoder)
{
	if (encoder->under_way > 0) {
		encoder->under_way--;
	}
}

static void abort_frame(struct v4l2_encoder *encoder)
{
	COUNT(encoder, frames_aborted, 1);
	settle(encoder);
}

/* Of the next frame that is encoded, be it in the device already. What cannot do this has its own
 * interval. */
static void ask_for_key(struct v4l2_encoder *encoder)
{
	encoder->key_asked_ns = pc_clock_now_ns();
	(void)pc_m2m_set_control(encoder->m2m, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1);
}

/* A frame that was encoded has no packet: what refers to it is of no use. */
static void lose_frame(struct v4l2_encoder *encoder)
{
	COUNT(encoder, encoder_junk, 1);
	abort_frame(encoder);
	encoder->held = 0;
	ask_for_key(encoder);
	if (!encoder->lost) {
		encoder->lost = true;
		encoder->lost_ns = pc_clock_now_ns();
	}
}

/* The pieces that are held go no further: their frame was cut off. */
static void lose_held(struct v4l2_encoder *encoder)
{
	lose_frame(encoder);
	reopen(encoder, true);
}

/* Appends a piece. false: a packet cannot be that large. */
static bool hold(struct v4l2_encoder *encoder, const struct pc_m2m_output *output)
{
	const size_t at = PC_H264_HEADERS_MAX + encoder->held;
	if (output->size > encoder->scratch_size - at) {
		return false;
	}
	memcpy(encoder->scratch + at, output->data, output->size);
	encoder->held += output->size;
	encoder->held_ns = output->input->submit_ns;
	return true;
}

/* A key packet as our packets are: SPS and PPS first. */
static void complete_headers(struct v4l2_encoder *encoder, struct pc_packet *packet)
{
	struct pc_h264_headers *headers = &encoder->headers;
	if (pc_h264_headers_scan(headers, packet->data, packet->size) > 0 || headers->size == 0 ||
		packet->size > encoder->scratch_size - PC_H264_HEADERS_MAX) {
		return;
	}
	uint8_t *pieces = encoder->scratch + PC_H264_HEADERS_MAX;
	if (packet->data != pieces) {
		memcpy(pieces, packet->data, packet->size);
	}
	memcpy(pieces - headers->size, headers->data, headers->size);
	packet->data = pieces - headers->size;
	packet->size += headers->size;
}

static void hand_over(struct v4l2_encoder *encoder, const struct pc_m2m_input *input,
	const uint8_t *data, size_t size)
{
	struct pc_packet packet = {
		.data = data,
		.size = size,
		.key = pc_h264_first_slice(data, size) == PC_H264_IDR,
		.sequence = input->sequence,
		.capture_ns = input->capture_ns,
		.submit_ns = input->submit_ns,
		.encoded_ns = pc_clock_now_ns(),
	};
	encoder->errors = 0;
	if (packet.key) {
		encoder->key_asked_ns = 0;
	} else if (encoder->key_asked_ns > 0 && input->submit_ns >= encoder->key_asked_ns) {
		ask_for_key(encoder); /* it did not hear */
	}
	if (input->submit_ns <= encoder->last_ns) { /* after one that it should precede */
		lose_frame(encoder);
		return;
	}
	if (encoder->lost && !packet.key) {
		abort_frame(encoder);
		if (packet.encoded_ns - encoder->lost_ns > LOST_MAX_NS) {
			reopen(encoder, false);
		}
		return;
	}
	if (packet.key) {
		complete_headers(encoder, &packet);
	}
	encoder->lost = false;
	encoder->reopenings = 0;
	encoder->last_ns = input->submit_ns;
	settle(encoder);
	encoder->events->packet(encoder->data, &packet);
}

/* What belongs to no frame. */
static void take_junk(struct v4l2_encoder *encoder, const struct pc_m2m_output *output)
{
	if (output->error || pc_h264_first_slice(output->data, output->size) != 0 ||
		pc_h264_headers_scan(&encoder->headers, output->data, output->size) == 0) {
		COUNT(encoder, encoder_junk, 1);
	}
}

/* false: more of this frame is to come. */
static bool take_output(struct v4l2_encoder *encoder, const struct pc_m2m_output *output)
{
	const bool joins = encoder->held > 0 && output->input->submit_ns == encoder->held_ns;
	if (encoder->held > 0 && !joins) {
		lose_held(encoder);
		return true; /* of a device that was closed */
	}
	if (output->error) {
		lose_frame(encoder);
		if (++encoder->errors >= ERRORS_MAX || joins || output->size == output->capacity) {
			reopen(encoder, true);
		}
		return true;
	}
	if (output->size == 0) {
		abort_frame(encoder);
		return true;
	}
	const bool full = output->size == output->capacity;
	if (joins || full) {
		if (!hold(encoder, output)) {
			lose_held(encoder);
			return true;
		}
		if (!full) {
			const size_t size = encoder->held;
			encoder->held = 0;
			hand_over(encoder, output->input, encoder->scratch + PC_H264_HEADERS_MAX,
				size);
		}
		return !full;
	}
	if (pc_h264_first_slice(output->data, output->size) == 0) {
		take_junk(encoder, output); /* most likely headers, alone */
		return false;
	}
	hand_over(encoder, output->input, output->data, output->size);
	return true;
}

/* --- callbacks of the device --- */

static void begin_callback(struct v4l2_encoder *encoder)
{
	assert(!encoder->handing_over);
	encoder->handing_over = true;
}

static void end_callback(struct v4l2_encoder *encoder)
{
	encoder->handing_over = false;
	if (encoder->closed) {
		free(encoder);
	}
}

static bool on_output(void *data, const struct pc_m2m_output *output)
{
	struct v4l2_encoder *encoder = data;
	if (output->input == NULL) {
		if (!output->last) {
			take_junk(encoder, output);
		}
		return true;
	}
	begin_callback(encoder);
	const bool done = take_output(encoder, output);
	end_callback(encoder);
	return done;
}

static void on_aborted(void *data, const struct pc_m2m_input *input)
{
	struct v4l2_encoder *encoder = data;
	if (encoder->held > 0 && input->submit_ns == encoder->held_ns) {
		begin_callback(encoder);
		lose_held(encoder);
		end_callback(encoder);
		return;
	}
	abort_frame(encoder);
}

static void on_failed(void *data, int err, const char *what)
{
	struct v4l2_encoder *encoder = data;
	pc_error("%s: %s: %s", encoder->name, what, pc_strerror(err));
	begin_callback(encoder);
	fail(encoder, err);
	end_callback(encoder);
}

static void on_wakeup(void *data)
{
	struct v4l2_encoder *encoder = data;
	if (encoder->err != 0 && encoder->m2m != NULL) {
		begin_callback(encoder);
		fail(encoder, encoder->err);
		end_callback(encoder);
	}
}

/* --- the vtable --- */

static int v4l2_submit(struct pc_encoder *base, struct pc_frame *frame, unsigned flags)
{
	struct v4l2_encoder *encoder = (struct v4l2_encoder *)base;
	assert(pc_frame_format_equal(&frame->format, &encoder->config.in));
	if (encoder->m2m == NULL || encoder->err != 0) {
		return -EPIPE;
	}
	if (pc_m2m_in_device(encoder->m2m) >= IN_DEVICE) {
		return -EAGAIN;
	}
	if ((flags & PC_ENCODER_KEY) != 0) {
		ask_for_key(encoder);
	}
	const int r = pc_m2m_submit(encoder->m2m, frame, NULL, -1);
	if (r == -EAGAIN || r == -EPIPE) {
		return r;
	}
	if (r < 0) {
		/* The device cannot import it, or is gone: no later one will do better. */
		pc_error("%s does not take a frame of %zu bytes in %u planes: %s", encoder->name,
			encoder->config.in_size, frame->n_planes, pc_strerror(r));
		encoder->err = r;
		pc_wakeup_signal(encoder->wakeup);
		return -EPIPE;
	}
	encoder->under_way++;
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(encoder->m2m, &stats);
	if (stats.imports != encoder->imports) {
		COUNT(encoder, encoder_imports, stats.imports - encoder->imports);
		encoder->imports = stats.imports;
	}
	return 0;
}

static int v4l2_set_bitrate(struct pc_encoder *base, unsigned bitrate_kbps)
{
	struct v4l2_encoder *encoder = (struct v4l2_encoder *)base;
	if (encoder->lossless || bitrate_kbps == 0 || encoder->m2m == NULL) {
		return -ENOTSUP;
	}
	const int32_t value = pc_encoder_v4l2_fit_bitrate(&encoder->rates, bitrate_kbps);
	const int r = pc_m2m_set_control(encoder->m2m, V4L2_CID_MPEG_VIDEO_BITRATE, value);
	if (r < 0) {
		return r == -EINVAL ? -ENOTSUP : r;
	}
	for (unsigned i = 0; i < encoder->config.n_controls; i++) {
		if (encoder->config.controls[i].id == V4L2_CID_MPEG_VIDEO_BITRATE) {
			encoder->config.controls[i].value = value; /* when it is opened again */
		}
	}
	return 0;
}

static const char *v4l2_device(const struct pc_encoder *base)
{
	return ((const struct v4l2_encoder *)base)->name;
}

static int64_t v4l2_owed_ns(const struct pc_encoder *base)
{
	const struct v4l2_encoder *encoder = (const struct v4l2_encoder *)base;
	return encoder->m2m != NULL ? pc_m2m_owed_ns(encoder->m2m) : 0;
}

static void v4l2_close(struct pc_encoder *base)
{
	struct v4l2_encoder *encoder = (struct v4l2_encoder *)base;
	abort_all(encoder);
	pc_m2m_close(encoder->m2m);
	encoder->m2m = NULL;
	pc_wakeup_destroy(encoder->wakeup);
	free(encoder->scratch);
	if (encoder->handing_over) {
		encoder->closed = true;
	} else {
		free(encoder);
	}
}

/* --- opening --- */

static int v4l2_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, char *why, size_t why_size,
	struct pc_encoder **ret_encoder)
{
	struct pc_v4l2_node node;
	int r = pc_v4l2_node_find(PC_V4L2_ENCODER, config->device,
		pc_v4l2_from_drm(config->format.fourcc), V4L2_PIX_FMT_H264, &node, why, why_size);
	if (r < 0) {
		return r;
	}
	if ((config->caps & PC_FRAME_DMABUF) == 0) {
		snprintf(why, why_size, "%s needs frames in dma-bufs", node.path);
		return -EINVAL;
	}
	struct v4l2_encoder *encoder = calloc(1, sizeof(*encoder));
	if (encoder == NULL) {
		return -ENOMEM;
	}
	encoder->base.impl = &pc_encoder_v4l2;
	encoder->loop = loop;
	encoder->events = events;
	encoder->data = data;
	encoder->stats = config->stats;
	encoder->lossless = config->bitrate_kbps == 0;
	snprintf(encoder->path, sizeof(encoder->path), "%s", node.path);
	r = pc_encoder_v4l2_setup(
		config, encoder->path, &encoder->config, &encoder->rates, why, why_size);
	if (r == 0) {
		r = pc_wakeup_create(loop, "encoder", on_wakeup, encoder, &encoder->wakeup);
	}
	if (r == 0) {
		r = open_m2m(encoder, why, why_size);
	}
	if (r < 0) {
		v4l2_close(&encoder->base);
		return r;
	}
	snprintf(encoder->name, sizeof(encoder->name), "%s", pc_m2m_name(encoder->m2m));
	*ret_encoder = &encoder->base;
	return 0;
}

static unsigned v4l2_inputs(const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	return pc_v4l2_node_inputs(PC_V4L2_ENCODER, device, V4L2_PIX_FMT_H264, width, height,
		formats, max, ret_dmabuf);
}

const struct pc_encoder_impl pc_encoder_v4l2 = {
	.name = "v4l2m2m",
	.open = v4l2_open,
	.inputs = v4l2_inputs,
	.submit = v4l2_submit,
	.set_bitrate = v4l2_set_bitrate,
	.device = v4l2_device,
	.owed_ns = v4l2_owed_ns,
	.close = v4l2_close,
};
