/* hwaccel/converter.c - pictures that no encoder takes as they are, made into ones that it
 * does. See converter.h.
 *
 * The loop's thread leaves the newest frame in a mailbox; a worker takes it, decodes (libavcodec)
 * or converts (libswscale) it into a frame of the pool, and answers by eventfd.
 */
#define PC_LOG_MODULE "converter"
#include "hwaccel/converter.h"

#include <assert.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <drm_fourcc.h>
#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libswscale/swscale.h>

#include "core/log.h"
#include "core/queue.h"
#include "core/thread.h"

#define BUFFERS_MAX 32
#define HD_HEIGHT 720 /* from here on colours are BT.709's, as the encoder says */

struct pc_converter {
	const struct pc_converter_events *events;
	void *data;
	struct pc_camera_stats *stats; /* never NULL: `nobody` where the caller gave none */
	struct pc_camera_stats nobody;
	struct pc_frame_format in;

	struct pc_mailbox *newest; /* of the frames to be converted */
	struct pc_queue *made; /* struct pc_frame *, each with a reference */
	struct pc_wakeup *wakeup;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool stop; /* under `lock`, like the next */
	bool waiting; /* a frame is in the mailbox */

	/* Set by the worker before `failed`, which is its last word. */
	int err;
	char what[160];
	atomic_bool failed;

	/* The loop's */
	bool done; /* failed() was called */
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */

	/* The worker's */
	struct pc_frame_pool *pool;
	AVCodecContext *decoder; /* of JPEGs; NULL for raw pictures */
	AVPacket *packet;
	AVFrame *picture; /* what was decoded */
	struct SwsContext *sws; /* made for the first picture */
	enum AVPixelFormat sws_from;
	enum AVPixelFormat to;
};

static bool is_jpeg(uint32_t fourcc)
{
	return fourcc == V4L2_PIX_FMT_MJPEG || fourcc == V4L2_PIX_FMT_JPEG;
}

static enum AVPixelFormat pixel_format(uint32_t fourcc)
{
	switch (fourcc) {
	case DRM_FORMAT_YUV420:
		return AV_PIX_FMT_YUV420P;
	case DRM_FORMAT_NV12:
		return AV_PIX_FMT_NV12;
	case DRM_FORMAT_NV21:
		return AV_PIX_FMT_NV21;
	case DRM_FORMAT_YUYV:
		return AV_PIX_FMT_YUYV422;
	case DRM_FORMAT_UYVY:
		return AV_PIX_FMT_UYVY422;
	case DRM_FORMAT_YVYU:
		return AV_PIX_FMT_YVYU422;
	case DRM_FORMAT_BGR888:
		return AV_PIX_FMT_RGB24;
	case DRM_FORMAT_RGB888:
		return AV_PIX_FMT_BGR24;
	case DRM_FORMAT_XRGB8888:
		return AV_PIX_FMT_BGR0;
	case DRM_FORMAT_R8:
		return AV_PIX_FMT_GRAY8;
	default:
		return AV_PIX_FMT_NONE;
	}
}

/* JPEGs are of full range. Only the formats named so make swscale convert the range where
 * nothing else is to be converted (libswscale/utils.c: sws_init_context() chooses a plain copy
 * before ranges can be set). */
static enum AVPixelFormat full_format(enum AVPixelFormat format)
{
	switch (format) {
	case AV_PIX_FMT_YUV420P:
		return AV_PIX_FMT_YUVJ420P;
	case AV_PIX_FMT_YUV422P:
		return AV_PIX_FMT_YUVJ422P;
	case AV_PIX_FMT_YUV444P:
		return AV_PIX_FMT_YUVJ444P;
	case AV_PIX_FMT_YUV440P:
		return AV_PIX_FMT_YUVJ440P;
	default:
		return format;
	}
}

/* --- worker --- */

/* Pictures are of one size; RGB and JPEGs are of full range, and BT.601's (JFIF). */
static int make_sws(struct pc_converter *converter, enum AVPixelFormat from, bool jpeg)
{
	if (converter->sws != NULL && converter->sws_from == from) {
		return 0;
	}
	sws_freeContext(converter->sws);
	const int width = (int)converter->in.width;
	const int height = (int)converter->in.height;
	converter->sws = sws_getContext(width, height, from, width, height, converter->to,
		SWS_BILINEAR | SWS_ACCURATE_RND, NULL, NULL, NULL);
	if (converter->sws == NULL) {
		return -ENOMEM;
	}
	converter->sws_from = from;
	const int *hd = sws_getCoefficients(SWS_CS_ITU709);
	const int *sd = sws_getCoefficients(SWS_CS_ITU601);
	const int *made = height >= HD_HEIGHT ? hd : sd;
	const bool full = jpeg || from == AV_PIX_FMT_RGB24 || from == AV_PIX_FMT_BGR24 ||
			  from == AV_PIX_FMT_BGR0;
	/* What cameras send is taken as it is labelled by its size; only ranges are mended. */
	sws_setColorspaceDetails(
		converter->sws, jpeg ? sd : made, full, made, 0, 0, 1 << 16, 1 << 16);
	return 0;
}

static int write_picture(struct pc_converter *converter, enum AVPixelFormat from, bool jpeg,
	const uint8_t *const *data, const int *strides, struct pc_frame *out)
{
	/* A JPEG has another range, and is never just copied. */
	const bool same = from == converter->to && !jpeg;
	int r = same ? 0 : make_sws(converter, from, jpeg);
	if (r < 0) {
		return r;
	}
	uint8_t *planes[PC_FRAME_MAX_PLANES] = { NULL };
	r = pc_frame_begin_cpu(out, PC_FRAME_WRITE, planes);
	if (r < 0) {
		return r;
	}
	int out_strides[PC_FRAME_MAX_PLANES] = { 0 };
	for (unsigned i = 0; i < out->n_planes; i++) {
		out_strides[i] = (int)out->planes[i].stride;
	}
	if (same) {
		av_image_copy(planes, out_strides, (const uint8_t **)(uintptr_t)data, strides, from,
			(int)converter->in.width, (int)converter->in.height);
	} else {
		sws_scale(converter->sws, data, strides, 0, (int)converter->in.height, planes,
			out_strides);
	}
	pc_frame_end_cpu(out, PC_FRAME_WRITE);
	return 0;
}

/* The JPEG with the padding that decoders want, in one buffer for all pictures. */
static int fill_packet(AVPacket *packet, const uint8_t *data, size_t size)
{
	const size_t needed = size + AV_INPUT_BUFFER_PADDING_SIZE;
	if (packet->buf == NULL || packet->buf->size < needed ||
		!av_buffer_is_writable(packet->buf)) {
		av_packet_unref(packet);
		if (needed > INT32_MAX / 2 || av_new_packet(packet, (int)(2 * needed)) < 0) {
			return -ENOMEM;
		}
	}
	packet->data = packet->buf->data;
	packet->size = (int)size;
	memcpy(packet->data, data, size);
	memset(packet->data + size, 0, AV_INPUT_BUFFER_PADDING_SIZE);
	return 0;
}

/* -EBADMSG: this picture is corrupt; -EPIPE: they have become others. */
static int decode(struct pc_converter *converter, const uint8_t *data, size_t size)
{
	int r = fill_packet(converter->packet, data, size);
	if (r < 0) {
		return r;
	}
	r = avcodec_send_packet(converter->decoder, converter->packet);
	if (r == 0) {
		r = avcodec_receive_frame(converter->decoder, converter->picture);
	}
	if (r < 0) {
		return r == AVERROR(ENOMEM) ? -ENOMEM : -EBADMSG;
	}
	const AVFrame *picture = converter->picture;
	if ((unsigned)picture->width != converter->in.width ||
		(unsigned)picture->height != converter->in.height) {
		snprintf(converter->what, sizeof(converter->what),
			"the camera's JPEGs are %dx%d now, not %ux%u", picture->width,
			picture->height, converter->in.width, converter->in.height);
		return -EPIPE;
	}
	return 0;
}

static int convert_jpeg(struct pc_converter *converter, const struct pc_frame *in, uint8_t *data,
	struct pc_frame *out)
{
	if (in->bytes_used == 0) {
		return -EBADMSG;
	}
	int r = decode(converter, data, in->bytes_used);
	AVFrame *picture = converter->picture;
	if (r == 0) {
		r = write_picture(converter, full_format(picture->format), true,
			(const uint8_t *const *)picture->data, picture->linesize, out);
	}
	av_frame_unref(picture);
	return r;
}

static int convert_raw(struct pc_converter *converter, const struct pc_frame *in,
	uint8_t *data[static PC_FRAME_MAX_PLANES], struct pc_frame *out)
{
	int strides[PC_FRAME_MAX_PLANES] = { 0 };
	for (unsigned i = 0; i < in->n_planes; i++) {
		strides[i] = (int)in->planes[i].stride;
	}
	return write_picture(converter, pixel_format(in->format.fourcc), false,
		(const uint8_t *const *)data, strides, out);
}

/* 0; -EBADMSG: a corrupt picture; else the converter's end. */
static int convert(struct pc_converter *converter, struct pc_frame *in, struct pc_frame *out)
{
	uint8_t *data[PC_FRAME_MAX_PLANES] = { NULL };
	int r = pc_frame_begin_cpu(in, PC_FRAME_READ, data);
	if (r < 0) {
		return r;
	}
	r = converter->decoder != NULL ? convert_jpeg(converter, in, data[0], out)
				       : convert_raw(converter, in, data, out);
	pc_frame_end_cpu(in, PC_FRAME_READ);
	out->capture_ns = in->capture_ns;
	out->sequence = in->sequence;
	return r;
}

/* Takes the reference on `in`. 0, or the converter's end. */
static int work_on(struct pc_converter *converter, struct pc_frame *in)
{
	struct pc_frame *out = pc_frame_pool_acquire(converter->pool);
	if (out == NULL) {
		pc_frame_unref(in);
		pc_counter_add(&converter->stats->frames_skipped_source, 1);
		return 0;
	}
	int r = convert(converter, in, out);
	pc_frame_unref(in);
	if (r == 0) {
		pc_counter_add(&converter->stats->frames_converted, 1);
		r = pc_queue_push(converter->made, &out);
		assert(r == 0); /* room for the whole pool */
		pc_wakeup_signal(converter->wakeup);
		return 0;
	}
	pc_frame_unref(out);
	if (r == -EBADMSG) {
		pc_counter_add(&converter->stats->frames_bad, 1);
		return 0;
	}
	return r;
}

/* The next frame, with its reference; NULL: the converter is being closed. */
static struct pc_frame *wait_for_frame(struct pc_converter *converter)
{
	pthread_mutex_lock(&converter->lock);
	while (!converter->stop && !converter->waiting) {
		pthread_cond_wait(&converter->woken, &converter->lock);
	}
	converter->waiting = false;
	struct pc_frame *frame = converter->stop ? NULL : pc_mailbox_take(converter->newest);
	pthread_mutex_unlock(&converter->lock);
	return frame;
}

static void *work(void *data)
{
	struct pc_converter *converter = data;
	struct pc_frame *frame;
	int r = 0;
	while (r == 0 && (frame = wait_for_frame(converter)) != NULL) {
		r = work_on(converter, frame);
	}
	if (r < 0) {
		converter->err = r;
		if (converter->what[0] == '\0') {
			snprintf(converter->what, sizeof(converter->what),
				"the camera's pictures cannot be converted: %s", pc_strerror(r));
		}
		atomic_store(&converter->failed, true);
		pc_wakeup_signal(converter->wakeup);
	}
	return NULL;
}

/* --- the loop's thread --- */

static void hand_over(struct pc_converter *converter, bool failed)
{
	struct pc_frame *frame;
	while (!converter->closed && pc_queue_try_pop(converter->made, &frame) == 0) {
		converter->events->frame(converter->data, frame);
		pc_frame_unref(frame);
	}
	if (!converter->closed && failed) {
		converter->done = true;
		converter->events->failed(converter->data, converter->err, converter->what);
	}
}

static void on_made(void *data)
{
	struct pc_converter *converter = data;
	if (converter->done) {
		return;
	}
	/* Read before the queue is emptied: every frame was pushed before it was set. */
	const bool failed = atomic_load(&converter->failed);
	converter->handing_over = true;
	hand_over(converter, failed);
	converter->handing_over = false;
	if (converter->closed) {
		free(converter);
	}
}

int pc_converter_submit(struct pc_converter *converter, struct pc_frame *frame)
{
	assert(pc_frame_format_equal(&frame->format, &converter->in));
	if (atomic_load(&converter->failed)) {
		return -EPIPE;
	}
	pthread_mutex_lock(&converter->lock);
	if (pc_mailbox_put(converter->newest, frame)) {
		pc_counter_add(&converter->stats->frames_skipped_source, 1);
	}
	converter->waiting = true;
	pthread_cond_signal(&converter->woken);
	pthread_mutex_unlock(&converter->lock);
	return 0;
}

/* --- opening and closing --- */

static int make_decoder(struct pc_converter *converter)
{
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_MJPEG);
	converter->packet = av_packet_alloc();
	converter->picture = av_frame_alloc();
	converter->decoder = codec != NULL ? avcodec_alloc_context3(codec) : NULL;
	if (converter->packet == NULL || converter->picture == NULL || converter->decoder == NULL) {
		return codec == NULL ? -ENOTSUP : -ENOMEM;
	}
	converter->decoder->thread_count = 1; /* frame threads would be a frame of delay each */
	converter->decoder->log_level_offset = 100; /* silent: corrupt pictures are counted */
	converter->decoder->err_recognition = AV_EF_EXPLODE;
	converter->decoder->max_pixels = (int64_t)converter->in.width * converter->in.height * 4;
	return avcodec_open2(converter->decoder, codec, NULL) < 0 ? -ENOTSUP : 0;
}

static int make_parts(struct pc_converter *converter, struct pc_loop *loop,
	const struct pc_converter_config *config)
{
	const struct pc_frame_format out = {
		.fourcc = config->out_fourcc,
		.width = config->in.width,
		.height = config->in.height,
	};
	int r = pc_frame_pool_create(config->allocator, &out, config->buffers, &converter->pool);
	if (r == 0) {
		r = pc_mailbox_create(&converter->newest);
	}
	if (r == 0) {
		r = pc_queue_create(sizeof(struct pc_frame *), config->buffers, &converter->made);
	}
	if (r == 0) {
		r = pc_wakeup_create(loop, "converter", on_made, converter, &converter->wakeup);
	}
	if (r == 0 && is_jpeg(config->in.fourcc)) {
		r = make_decoder(converter);
	}
	if (r == 0) {
		r = pc_thread_create(&converter->thread, "converter", work, converter);
		converter->started = r == 0;
	}
	return r;
}

static int check(const struct pc_converter_config *config, char *why, size_t why_size)
{
	char format[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&config->in, format);
	const bool known =
		is_jpeg(config->in.fourcc) || pixel_format(config->in.fourcc) != AV_PIX_FMT_NONE;
	if (!known || config->in.modifier != DRM_FORMAT_MOD_LINEAR || config->in.width == 0 ||
		config->in.height == 0 || config->in.width % 2 != 0 || config->in.height % 2 != 0) {
		snprintf(why, why_size, "%s cannot be converted", format);
		return -EINVAL;
	}
	if ((config->out_fourcc != DRM_FORMAT_YUV420 && config->out_fourcc != DRM_FORMAT_NV12) ||
		config->buffers == 0 || config->buffers > BUFFERS_MAX) {
		snprintf(why, why_size, "only I420 (YU12) and NV12 are made, in 1..%d buffers",
			BUFFERS_MAX);
		return -EINVAL;
	}
	if ((pc_allocator_caps(config->allocator) & PC_FRAME_CPU) == 0) {
		snprintf(why, why_size,
			"%s is converted by the CPU, which cannot write to %s "
			"buffers",
			format, pc_allocator_name(config->allocator));
		return -EINVAL;
	}
	return 0;
}

int pc_converter_open(struct pc_loop *loop, const struct pc_converter_config *config,
	const struct pc_converter_events *events, void *data, char *why, size_t why_size,
	struct pc_converter **ret_converter)
{
	assert(events->frame != NULL && events->failed != NULL);
	int r = check(config, why, why_size);
	if (r < 0) {
		return r;
	}
	struct pc_converter *converter = calloc(1, sizeof(*converter));
	if (converter == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	converter->events = events;
	converter->data = data;
	converter->stats = config->stats != NULL ? config->stats : &converter->nobody;
	converter->in = config->in;
	converter->to = pixel_format(config->out_fourcc);
	atomic_init(&converter->failed, false);
	pthread_mutex_init(&converter->lock, NULL);
	pthread_cond_init(&converter->woken, NULL);
	r = make_parts(converter, loop, config);
	char format[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&config->in, format);
	if (r < 0) {
		snprintf(why, why_size, "no converter of %s: %s", format, pc_strerror(r));
		pc_converter_close(converter);
		return r;
	}
	pc_info("%s is %s on the CPU: a copy a frame, in %s buffers", format,
		is_jpeg(config->in.fourcc) ? "decoded" : "converted",
		pc_allocator_name(config->allocator));
	*ret_converter = converter;
	return 0;
}

void pc_converter_close(struct pc_converter *converter)
{
	if (converter == NULL) {
		return;
	}
	if (converter->started) {
		pthread_mutex_lock(&converter->lock);
		converter->stop = true;
		pthread_cond_signal(&converter->woken);
		pthread_mutex_unlock(&converter->lock);
		pthread_join(converter->thread, NULL);
	}
	struct pc_frame *frame;
	while (converter->made != NULL && pc_queue_try_pop(converter->made, &frame) == 0) {
		pc_frame_unref(frame);
	}
	pc_wakeup_destroy(converter->wakeup);
	pc_queue_destroy(converter->made);
	pc_mailbox_destroy(converter->newest);
	pc_frame_pool_destroy(converter->pool);
	avcodec_free_context(&converter->decoder);
	av_packet_free(&converter->packet);
	av_frame_free(&converter->picture);
	sws_freeContext(converter->sws);
	pthread_cond_destroy(&converter->woken);
	pthread_mutex_destroy(&converter->lock);
	if (converter->handing_over) {
		converter->closed = true;
	} else {
		free(converter);
	}
}
