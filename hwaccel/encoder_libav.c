/* hwaccel/encoder_libav.c - H.264 by libavcodec: h264_v4l2m2m where it opens, else libx264.
 *
 * The loop's thread submits; a worker owns the codec. At most IN_FLIGHT frames are between
 * submit() and their packet's callback, so every queue here has room for what comes: jobs
 * one way, results (one for each job, in order) the other. The codec reads a frame's
 * planes where they lie, or, where its build of h264_v4l2m2m takes AV_PIX_FMT_DRM_PRIME
 * (Raspberry Pi OS's does), imports the dma-buf.
 */
#include <assert.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm_fourcc.h>
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>

#include "core/clock.h"
#include "core/queue.h"
#include "core/thread.h"
#include "hwaccel/encoder_internal.h"
#include "hwaccel/h264_headers.h"
#include "hwaccel/libav_prime_internal.h"
#include "v4l2/device.h"

#define IN_FLIGHT 4 /* one being encoded, three waiting */
#define HD_HEIGHT 720 /* from here on colours are BT.709's, as the scaler takes them too */
#define FPS_DENOMINATOR_MAX 100000 /* finds 30000/1001 in 29.97... */

struct job {
	struct pc_frame *frame; /* with a reference */
	unsigned flags; /* enum pc_encoder_flags */
	uint64_t serial;
	int64_t submit_ns;
};

struct result {
	AVPacket *packet; /* NULL: the frame gave none, or `err` */
	struct pc_packet meta; /* without data and size */
	uint64_t serial;
	int err; /* not 0: the codec failed; nothing follows */
};

struct libav_encoder {
	struct pc_encoder base;
	const struct pc_encoder_events *events;
	void *data;
	struct pc_frame_format format;
	char name[32];

	struct pc_queue *jobs; /* struct job */
	struct pc_queue *results; /* struct result */
	struct pc_queue *spares; /* AVPacket *, empty ones */
	struct pc_wakeup *wakeup;
	pthread_t thread;
	atomic_bool stop;
	_Atomic unsigned bitrate_kbps; /* wanted */

	/* The loop's */
	uint64_t next_serial; /* of the next frame taken; from 0 */
	uint64_t settled; /* frames whose result was handed over */
	int64_t submitted_ns[IN_FLIGHT]; /* by serial */
	bool failed;
	bool lossless;
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */

	/* The worker's */
	AVCodecContext *codec;
	AVFrame *picture; /* a shell around the frame's planes */
	struct pc_packet held[IN_FLIGHT]; /* frames that the codec has not answered, by serial */
	uint64_t sent; /* frames given to the codec or given up */
	uint64_t answered; /* results made */
	struct pc_h264_headers headers;
	bool is_device; /* may answer later, and sends SPS and PPS as it likes */
	bool is_prime; /* imports dma-bufs */
};

static int errno_of(int averror)
{
	/* AVERROR() of an errno is its negative; libav's own are far below. */
	return averror > -4096 ? averror : -EIO;
}

static enum AVPixelFormat pixel_format(uint32_t fourcc)
{
	switch (fourcc) {
	case DRM_FORMAT_YUV420:
		return AV_PIX_FMT_YUV420P;
	case DRM_FORMAT_NV12:
		return AV_PIX_FMT_NV12;
	default:
		return AV_PIX_FMT_NONE;
	}
}

/* --- worker --- */

static void post(struct libav_encoder *encoder, const struct result *result)
{
	const int r = pc_queue_push(encoder->results, result);
	assert(r == 0); /* there is room for all that can be in flight, and a failure */
	(void)r;
	pc_wakeup_signal(encoder->wakeup);
}

/* Frames before `serial` that have no result gave no packet. */
static void give_up_until(struct libav_encoder *encoder, uint64_t serial)
{
	for (; encoder->answered < serial; encoder->answered++) {
		const struct result result = { .serial = encoder->answered };
		post(encoder, &result);
	}
}

/* The last reference to the picture's memory is gone. */
static void release_picture(void *opaque, uint8_t *data)
{
	struct pc_frame *frame = opaque;
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	pc_frame_unref(frame);
}

/* Makes encoder->picture show `frame`, whose reference it takes in any case. */
static int wrap_frame(struct libav_encoder *encoder, struct pc_frame *frame)
{
	uint8_t *planes[PC_FRAME_MAX_PLANES];
	const int r = pc_frame_begin_cpu(frame, PC_FRAME_READ, planes);
	if (r < 0) {
		pc_frame_unref(frame);
		return r;
	}
	/* One buffer from the first plane's start to the last one's end. */
	uintptr_t first = UINTPTR_MAX;
	uintptr_t last = 0;
	for (unsigned i = 0; i < frame->n_planes; i++) {
		const uint32_t lines = i == 0 ? frame->format.height : frame->format.height / 2;
		const uintptr_t start = (uintptr_t)planes[i];
		const uintptr_t end = start + (uintptr_t)lines * frame->planes[i].stride;
		first = start < first ? start : first;
		last = end > last ? end : last;
	}
	AVFrame *picture = encoder->picture;
	picture->buf[0] = av_buffer_create(
		(uint8_t *)first, last - first, release_picture, frame, AV_BUFFER_FLAG_READONLY);
	if (picture->buf[0] == NULL) {
		release_picture(frame, NULL);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < frame->n_planes; i++) {
		picture->data[i] = planes[i];
		picture->linesize[i] = (int)frame->planes[i].stride;
	}
	return 0;
}

static void set_codec_bitrate(AVCodecContext *codec, unsigned kbps)
{
	codec->bit_rate = (int64_t)kbps * 1000;
	codec->rc_max_rate = codec->bit_rate;
	codec->rc_buffer_size = (int)codec->bit_rate; /* bits: one second */
}

/* SPS and PPS in front of a key packet that came without. */
static int complete_headers(struct libav_encoder *encoder, AVPacket *packet)
{
	struct pc_h264_headers *headers = &encoder->headers;
	if (pc_h264_headers_scan(headers, packet->data, (size_t)packet->size) > 0 ||
		headers->size == 0) {
		return 0;
	}
	const size_t old_size = (size_t)packet->size;
	const int r = av_grow_packet(packet, (int)headers->size);
	if (r < 0) {
		return errno_of(r);
	}
	memmove(packet->data + headers->size, packet->data, old_size);
	memcpy(packet->data, headers->data, headers->size);
	return 0;
}

/* Of no frame that waits: SPS and PPS alone, which h264_v4l2m2m asks its device for (they have
 * their frame's time stamp), or what comes again. */
static bool is_alone(struct libav_encoder *encoder, const AVPacket *packet)
{
	if (!encoder->is_device) {
		return false;
	}
	if (pc_h264_first_slice(packet->data, (size_t)packet->size) == 0) {
		(void)pc_h264_headers_scan(&encoder->headers, packet->data, (size_t)packet->size);
		return true;
	}
	return packet->pts < (int64_t)encoder->answered;
}

/* Hands over every packet that the codec has ready. */
static int drain(struct libav_encoder *encoder)
{
	for (;;) {
		struct result result = { .err = 0 };
		int r = pc_queue_try_pop(encoder->spares, &result.packet);
		if (r < 0) {
			return 0; /* as many packets as frames are out already */
		}
		r = avcodec_receive_packet(encoder->codec, result.packet);
		if (r == 0 && is_alone(encoder, result.packet)) {
			av_packet_unref(result.packet);
			pc_queue_push(encoder->spares, &result.packet);
			continue;
		}
		if (r == 0 && encoder->is_device && (result.packet->flags & AV_PKT_FLAG_KEY) != 0) {
			r = complete_headers(encoder, result.packet);
		}
		if (r == 0 && (result.packet->pts < (int64_t)encoder->answered ||
				      result.packet->pts >= (int64_t)encoder->sent)) {
			r = -EIO; /* of no frame that we know */
		}
		if (r < 0) {
			av_packet_unref(result.packet);
			pc_queue_push(encoder->spares, &result.packet);
			return r == AVERROR(EAGAIN) ? 0 : errno_of(r);
		}
		result.serial = (uint64_t)result.packet->pts;
		give_up_until(encoder, result.serial);
		result.meta = encoder->held[result.serial % IN_FLIGHT];
		result.meta.key = (result.packet->flags & AV_PKT_FLAG_KEY) != 0;
		result.meta.encoded_ns = pc_clock_now_ns();
		encoder->answered++;
		post(encoder, &result);
	}
}

static int encode(struct libav_encoder *encoder, const struct job *job)
{
	encoder->held[job->serial % IN_FLIGHT] = (struct pc_packet){
		.sequence = job->frame->sequence,
		.capture_ns = job->frame->capture_ns,
		.submit_ns = job->submit_ns,
	};
	const unsigned kbps = atomic_load(&encoder->bitrate_kbps);
	if (kbps > 0 && encoder->codec->bit_rate != (int64_t)kbps * 1000) {
		set_codec_bitrate(encoder->codec, kbps);
	}
	AVFrame *picture = encoder->picture;
	int r = encoder->is_prime ? pc_libav_wrap_prime(picture, job->frame)
				  : wrap_frame(encoder, job->frame);
	if (r < 0) {
		return r;
	}
	picture->width = encoder->codec->width;
	picture->height = encoder->codec->height;
	picture->format = encoder->codec->pix_fmt;
	picture->pts = (int64_t)job->serial;
	picture->pict_type =
		(job->flags & PC_ENCODER_KEY) != 0 ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
	r = avcodec_send_frame(encoder->codec, picture);
	av_frame_unref(picture);
	if (r < 0) {
		return errno_of(r);
	}
	encoder->sent = job->serial + 1;
	r = drain(encoder);
	if (r == 0 && !encoder->is_device) {
		give_up_until(encoder, encoder->sent); /* libx264 answers at once or never */
	}
	return r;
}

static void *work(void *data)
{
	struct libav_encoder *encoder = data;
	bool failed = false;
	struct job job;
	while (pc_queue_pop(encoder->jobs, &job, -1) == 0) {
		if (failed || atomic_load(&encoder->stop)) {
			pc_frame_unref(job.frame);
			continue;
		}
		const int r = encode(encoder, &job);
		if (r < 0) {
			failed = true;
			const struct result result = { .err = r };
			post(encoder, &result);
		}
	}
	return NULL;
}

/* --- the loop's thread --- */

static void hand_over(struct libav_encoder *encoder, struct result *result)
{
	if (result->err != 0) {
		encoder->failed = true;
		encoder->events->failed(encoder->data, result->err);
		return;
	}
	encoder->settled = result->serial + 1;
	if (result->packet == NULL) {
		return;
	}
	result->meta.data = result->packet->data;
	result->meta.size = (size_t)result->packet->size;
	encoder->events->packet(encoder->data, &result->meta);
	if (encoder->closed) {
		av_packet_free(&result->packet);
	} else {
		av_packet_unref(result->packet);
		pc_queue_push(encoder->spares, &result->packet);
	}
}

static void on_results(void *data)
{
	struct libav_encoder *encoder = data;
	struct result result;
	encoder->handing_over = true;
	while (!encoder->closed && !encoder->failed &&
		pc_queue_try_pop(encoder->results, &result) == 0) {
		hand_over(encoder, &result);
	}
	encoder->handing_over = false;
	if (encoder->closed) {
		free(encoder);
	}
}

static int libav_submit(struct pc_encoder *base, struct pc_frame *frame, unsigned flags)
{
	struct libav_encoder *encoder = (struct libav_encoder *)base;
	assert(pc_frame_format_equal(&frame->format, &encoder->format));
	if (encoder->failed) {
		return -EPIPE;
	}
	if (encoder->next_serial - encoder->settled >= IN_FLIGHT) {
		return -EAGAIN;
	}
	const struct job job = {
		.frame = pc_frame_ref(frame),
		.flags = flags,
		.serial = encoder->next_serial,
		.submit_ns = pc_clock_now_ns(),
	};
	const int r = pc_queue_push(encoder->jobs, &job);
	assert(r == 0); /* IN_FLIGHT bounds it */
	(void)r;
	encoder->submitted_ns[job.serial % IN_FLIGHT] = job.submit_ns;
	encoder->next_serial++;
	return 0;
}

static int libav_set_bitrate(struct pc_encoder *base, unsigned bitrate_kbps)
{
	struct libav_encoder *encoder = (struct libav_encoder *)base;
	/* libavcodec's wrapper of V4L2 reads bit_rate once, and lossless is another mode. */
	if (encoder->is_device || encoder->lossless || bitrate_kbps == 0) {
		return -ENOTSUP;
	}
	atomic_store(&encoder->bitrate_kbps, bitrate_kbps);
	return 0;
}

static const char *libav_device(const struct pc_encoder *base)
{
	return ((const struct libav_encoder *)base)->name;
}

static int64_t libav_owed_ns(const struct pc_encoder *base)
{
	const struct libav_encoder *encoder = (const struct libav_encoder *)base;
	if (encoder->settled == encoder->next_serial) {
		return 0;
	}
	return pc_clock_now_ns() - encoder->submitted_ns[encoder->settled % IN_FLIGHT];
}

static void free_packets(struct libav_encoder *encoder)
{
	AVPacket *packet;
	struct result result;
	while (encoder->results != NULL && pc_queue_try_pop(encoder->results, &result) == 0) {
		av_packet_free(&result.packet);
	}
	while (encoder->spares != NULL && pc_queue_try_pop(encoder->spares, &packet) == 0) {
		av_packet_free(&packet);
	}
}

/* Everything but the thread, which does not run. */
static void free_encoder(struct libav_encoder *encoder)
{
	free_packets(encoder);
	pc_wakeup_destroy(encoder->wakeup);
	avcodec_free_context(&encoder->codec);
	av_frame_free(&encoder->picture);
	pc_queue_destroy(encoder->jobs);
	pc_queue_destroy(encoder->results);
	pc_queue_destroy(encoder->spares);
	if (encoder->handing_over) {
		encoder->closed = true;
	} else {
		free(encoder);
	}
}

static void libav_close(struct pc_encoder *base)
{
	struct libav_encoder *encoder = (struct libav_encoder *)base;
	atomic_store(&encoder->stop, true);
	pc_queue_close(encoder->jobs); /* the worker lets go of what is left in it */
	pthread_join(encoder->thread, NULL);
	free_encoder(encoder);
}

/* --- opening --- */

/* libx264 complains of an unknown one on stderr, past libavcodec's log. */
static bool is_preset(const char *name)
{
	static const char *const presets[] = { "ultrafast", "superfast", "veryfast", "faster",
		"fast", "medium", "slow", "slower", "veryslow", "placebo" };
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
		if (strcmp(name, presets[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* Each thread takes a slice of the picture. At 720p two cut an encode's time by 40 % and
 * cost 5 % more work; smaller pictures are done before that pays. */
static unsigned fit_threads(const struct pc_encoder_config *config)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const uint64_t pixels = (uint64_t)config->format.width * config->format.height;
	const unsigned wanted = pixels >= 1920 * 1080 ? 4 : pixels >= 1280 * 720 ? 2 : 1;
	return cores > 0 && (unsigned long)cores < wanted ? (unsigned)cores : wanted;
}

static void set_x264(AVCodecContext *codec, const struct pc_encoder_config *config)
{
	/* Both types set, as is the default, would mean frame threads: a frame of delay each. */
	codec->thread_type = FF_THREAD_SLICE;
	codec->thread_count = (int)(config->threads > 0 ? config->threads : fit_threads(config));
	av_opt_set(codec->priv_data, "preset", config->preset, 0);
	av_opt_set(codec->priv_data, "tune", "zerolatency", 0);
	av_opt_set(codec->priv_data, "forced-idr", "1", 0);
	av_opt_set(codec->priv_data, "x264-params", "scenecut=0", 0);
	if (config->bitrate_kbps == 0) {
		av_opt_set(codec->priv_data, "qp", "0", 0);
	}
}

static void set_codec(AVCodecContext *codec, const struct pc_encoder_config *config)
{
	codec->log_level_offset = 100; /* silent: what matters is in our one line */
	codec->width = (int)config->format.width;
	codec->height = (int)config->format.height;
	codec->pix_fmt = pixel_format(config->format.fourcc);
	codec->framerate = av_d2q(config->fps, FPS_DENOMINATOR_MAX);
	codec->time_base = av_inv_q(codec->framerate);
	codec->gop_size = (int)config->key_interval;
	codec->max_b_frames = 0;
	codec->color_range = AVCOL_RANGE_MPEG;
	if (config->format.height >= HD_HEIGHT) {
		/* What HD is, and what players take it for. Below, files are of any kind. */
		codec->color_primaries = AVCOL_PRI_BT709;
		codec->color_trc = AVCOL_TRC_BT709;
		codec->colorspace = AVCOL_SPC_BT709;
	}
	set_codec_bitrate(codec, config->bitrate_kbps);
}

static int open_codec(struct libav_encoder *encoder, const char *name,
	const struct pc_encoder_config *config, char *why, size_t why_size)
{
	const AVCodec *type = avcodec_find_encoder_by_name(name);
	if (type == NULL) {
		snprintf(why, why_size, "%s: not in this libavcodec", name);
		return -ENODEV;
	}
	AVCodecContext *codec = avcodec_alloc_context3(type);
	if (codec == NULL) {
		return -ENOMEM;
	}
	set_codec(codec, config);
	if (encoder->is_prime) {
		codec->sw_pix_fmt = codec->pix_fmt;
		codec->pix_fmt = AV_PIX_FMT_DRM_PRIME;
	}
	if (!encoder->is_device) {
		set_x264(codec, config);
	}
	/* The codec's own threads take the name of the thread that opens it: let ps tell them
	 * from the media loop. */
	char own_name[16] = "";
	(void)pthread_getname_np(pthread_self(), own_name, sizeof(own_name));
	(void)pthread_setname_np(pthread_self(), "encoder");
	const int r = avcodec_open2(codec, type, NULL);
	(void)pthread_setname_np(pthread_self(), own_name);
	if (r < 0) {
		avcodec_free_context(&codec);
		char text[AV_ERROR_MAX_STRING_SIZE];
		av_strerror(r, text, sizeof(text));
		snprintf(why, why_size, "%s does not open: %s", name, text);
		return r == AVERROR(ENOMEM) ? -ENOMEM : -ENODEV;
	}
	encoder->codec = codec;
	if (encoder->is_device) {
		snprintf(encoder->name, sizeof(encoder->name), "%s%s", name,
			encoder->is_prime ? " (dma-buf)" : "");
	} else {
		snprintf(encoder->name, sizeof(encoder->name), "%s %s", name, config->preset);
	}
	return 0;
}

/* The codec of the device: dma-bufs it must import (no build lists AV_PIX_FMT_DRM_PRIME among its
 * formats: to open it so is to ask), else libx264 serves better: our own client has that device
 * already, or has found it wanting. Other frames are copied into the device's buffers by
 * libavcodec, which is still less work than to encode them. */
static int open_device(struct libav_encoder *encoder, const struct pc_encoder_config *config,
	char *why, size_t why_size)
{
	if (config->bitrate_kbps == 0) {
		snprintf(why, why_size, "h264_v4l2m2m: not for lossless");
		return -ENOTSUP;
	}
	struct pc_v4l2_node node;
	int r = pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &node);
	if (r < 0) {
		snprintf(why, why_size, "h264_v4l2m2m: no M2M device");
		return r;
	}
	encoder->is_device = true;
	encoder->is_prime = (config->caps & PC_FRAME_DMABUF) != 0;
	r = open_codec(encoder, "h264_v4l2m2m", config, why, why_size);
	if (r < 0 && encoder->is_prime) {
		snprintf(why, why_size, "h264_v4l2m2m: takes no dma-bufs in this libavcodec");
	}
	encoder->is_device = r == 0;
	encoder->is_prime = encoder->is_prime && encoder->is_device;
	return r;
}

/* The device if there is one, else libx264; `why` then says why not the device. */
static int choose_codec(struct libav_encoder *encoder, const struct pc_encoder_config *config,
	char *why, size_t why_size)
{
	int r = open_device(encoder, config, why, why_size);
	if (r == 0 || r == -ENOMEM) {
		why[0] = '\0';
		return r;
	}
	char reason[128] = "";
	r = -EINVAL;
	if ((config->caps & PC_FRAME_CPU) == 0) {
		snprintf(reason, sizeof(reason), "needs frames that the CPU can read");
	} else {
		r = open_codec(encoder, "libx264", config, reason, sizeof(reason));
	}
	if (r < 0) {
		const size_t used = strlen(why);
		snprintf(why + used, why_size - used, "; %s", reason);
	}
	return r;
}

static int make_parts(struct libav_encoder *encoder, struct pc_loop *loop)
{
	encoder->picture = av_frame_alloc();
	if (encoder->picture == NULL) {
		return -ENOMEM;
	}
	int r = pc_queue_create(sizeof(struct job), IN_FLIGHT, &encoder->jobs);
	if (r == 0) {
		r = pc_queue_create(sizeof(struct result), IN_FLIGHT + 1, &encoder->results);
	}
	if (r == 0) {
		r = pc_queue_create(sizeof(AVPacket *), IN_FLIGHT + 1, &encoder->spares);
	}
	for (unsigned i = 0; r == 0 && i < IN_FLIGHT + 1; i++) {
		AVPacket *packet = av_packet_alloc();
		r = packet == NULL ? -ENOMEM : pc_queue_push(encoder->spares, &packet);
	}
	if (r == 0) {
		r = pc_wakeup_create(loop, "encoder", on_results, encoder, &encoder->wakeup);
	}
	return r;
}

static int libav_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, char *why, size_t why_size,
	struct pc_encoder **ret_encoder)
{
	if (pixel_format(config->format.fourcc) == AV_PIX_FMT_NONE) {
		snprintf(why, why_size, "takes I420 (YU12) and NV12 only");
		return -EINVAL;
	}
	if (!is_preset(config->preset)) {
		snprintf(why, why_size, "libx264 has no preset %s", config->preset);
		return -EINVAL;
	}
	struct libav_encoder *encoder = calloc(1, sizeof(*encoder));
	if (encoder == NULL) {
		return -ENOMEM;
	}
	encoder->base.impl = &pc_encoder_libav;
	encoder->events = events;
	encoder->data = data;
	encoder->format = config->format;
	encoder->lossless = config->bitrate_kbps == 0;
	atomic_init(&encoder->stop, false);
	atomic_init(&encoder->bitrate_kbps, config->bitrate_kbps);
	int r = choose_codec(encoder, config, why, why_size);
	if (r == 0) {
		r = make_parts(encoder, loop);
	}
	if (r == 0) {
		r = pc_thread_create(&encoder->thread, "encoder", work, encoder);
	}
	if (r < 0) {
		if (r == -ENOMEM) {
			snprintf(why, why_size, "out of memory");
		}
		free_encoder(encoder);
		return r;
	}
	*ret_encoder = &encoder->base;
	return 0;
}

/* Both of its encoders read the frame's memory. */
static unsigned libav_inputs(const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	static const uint32_t fourccs[] = { DRM_FORMAT_YUV420, DRM_FORMAT_NV12 };
	unsigned n = 0;
	for (; n < sizeof(fourccs) / sizeof(fourccs[0]) && n < max; n++) {
		formats[n] = (struct pc_input_format){ .fourcc = fourccs[n], .stride_align = 1 };
	}
	*ret_dmabuf = false;
	return n;
}

const struct pc_encoder_impl pc_encoder_libav = {
	.name = "libavcodec",
	.open = libav_open,
	.inputs = libav_inputs,
	.submit = libav_submit,
	.set_bitrate = libav_set_bitrate,
	.device = libav_device,
	.owed_ns = libav_owed_ns,
	.close = libav_close,
};
