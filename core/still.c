/* core/still.c - a JPEG from a key-frame fragment; see still.h.
 *
 * The fragment's one sample is decoded with its init segment's avcC, scaled and brought to
 * full range (JPEG's) by libswscale, and encoded as MJPEG.
 */
#include "core/still.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define QUALITY 4 /* mjpeg's scale: 2 (best) to 31 */
#define MAX_SIDE 8192
#define MIN_WIDTH 16 /* swscale 5.1 leaves out the range conversion at 2 x 2, as seen */

static int errno_of(int averror)
{
	return averror == AVERROR(ENOMEM) ? -ENOMEM : -EIO;
}

static uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The avcC record of an init segment. We wrote the segment: its stsd has one avc1 entry,
 * and the four letters stand nowhere else. */
static const uint8_t *find_avcc(const struct pc_init *init, size_t *ret_size)
{
	const uint8_t *type = memmem(init->data, init->size, "avcC", 4);
	if (type == NULL || type - init->data < 4) {
		return NULL;
	}
	size_t size = read_u32(type - 4);
	size_t left = (size_t)(init->data + init->size - type);
	if (size < 8 + 7 || size - 4 > left) {
		return NULL;
	}
	*ret_size = size - 8;
	return type + 4;
}

static int open_decoder(const struct pc_init *init, AVCodecContext **ret_context)
{
	size_t size;
	const uint8_t *avcc = find_avcc(init, &size);
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
	if (avcc == NULL || codec == NULL) {
		return -EIO;
	}
	AVCodecContext *context = avcodec_alloc_context3(codec);
	if (context == NULL) {
		return -ENOMEM;
	}
	int r = -ENOMEM;
	context->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
	if (context->extradata == NULL) {
		goto fail;
	}
	memcpy(context->extradata, avcc, size);
	context->extradata_size = (int)size;
	context->thread_count = 1;
	context->flags |= AV_CODEC_FLAG_LOW_DELAY;
	context->err_recognition = AV_EF_EXPLODE;
	context->max_pixels = (int64_t)MAX_SIDE * MAX_SIDE; /* before it allocates for an SPS */
	r = avcodec_open2(context, codec, NULL);
	if (r < 0) {
		r = errno_of(r);
		goto fail;
	}
	*ret_context = context;
	return 0;

fail:
	avcodec_free_context(&context);
	return r;
}

/* Decodes the sample into `frame`. */
static int decode_sample(
	AVCodecContext *context, const struct pc_fragment *fragment, AVFrame *frame)
{
	size_t size = fragment->size - fragment->mdat_offset - 8;
	AVPacket *packet = av_packet_alloc();
	if (packet == NULL || size > INT32_MAX / 2 || av_new_packet(packet, (int)size) < 0) {
		av_packet_free(&packet);
		return -ENOMEM;
	}
	memcpy(packet->data, fragment->data + fragment->mdat_offset + 8, size);
	packet->flags = AV_PKT_FLAG_KEY;
	int r = avcodec_send_packet(context, packet);
	av_packet_free(&packet);
	if (r >= 0) {
		r = avcodec_send_packet(context, NULL); /* no more will come */
	}
	if (r >= 0) {
		r = avcodec_receive_frame(context, frame);
	}
	if (r < 0) {
		return errno_of(r);
	}
	/* What the decoder concealed is no picture of the room. */
	bool broken = frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0;
	return broken ? -EIO : 0;
}

static int decode(const struct pc_fragment *fragment, AVFrame **ret_frame)
{
	AVCodecContext *context;
	int r = open_decoder(fragment->init, &context);
	if (r < 0) {
		return r;
	}
	AVFrame *frame = av_frame_alloc();
	r = frame != NULL ? decode_sample(context, fragment, frame) : -ENOMEM;
	avcodec_free_context(&context);
	if (r < 0) {
		av_frame_free(&frame);
		return r;
	}
	*ret_frame = frame;
	return 0;
}

/* The size at most `max_width` wide, even, with the shape of `source`. */
static void fit(const AVFrame *source, unsigned max_width, AVFrame *target)
{
	if (max_width > 0 && max_width < MIN_WIDTH) {
		max_width = MIN_WIDTH;
	}
	int width = source->width, height = source->height;
	if (max_width > 0 && width > (int)max_width) {
		width = (int)max_width;
		height = (int)(((int64_t)source->height * width + source->width / 2) /
			       source->width);
	}
	target->width = width > 1 ? width & ~1 : 2;
	target->height = height > 1 ? height & ~1 : 2;
}

/* A JPEG says nothing of ranges or matrices: decoders take full range and BT.601. The ranges
 * must be known before the context is made, or equal sizes are merely copied. */
static int open_scaler(const AVFrame *source, const AVFrame *target, struct SwsContext **ret_scaler)
{
	bool full =
		source->color_range == AVCOL_RANGE_JPEG || source->format == AV_PIX_FMT_YUVJ420P;
	struct SwsContext *scaler = sws_alloc_context();
	if (scaler == NULL) {
		return -ENOMEM;
	}
	const struct {
		const char *name;
		int64_t value;
	} options[] = {
		{ "srcw", source->width }, { "srch", source->height },
		{ "src_format", full ? AV_PIX_FMT_YUV420P : source->format }, { "src_range", full },
		{ "dstw", target->width }, { "dsth", target->height },
		{ "dst_format", target->format }, { "dst_range", 1 },
		{ "sws_flags", SWS_AREA }, /* averages the pixels that fall on one */
	};
	int r = 0;
	for (size_t i = 0; r >= 0 && i < sizeof(options) / sizeof(options[0]); i++) {
		r = av_opt_set_int(scaler, options[i].name, options[i].value, 0);
	}
	if (r >= 0) {
		r = sws_init_context(scaler, NULL, NULL);
	}
	if (r >= 0 && source->colorspace == AVCOL_SPC_BT709) {
		r = sws_setColorspaceDetails(scaler, sws_getCoefficients(SWS_CS_ITU709), full,
			sws_getCoefficients(SWS_CS_ITU601), 1, 0, 1 << 16, 1 << 16);
	}
	if (r < 0) {
		sws_freeContext(scaler);
		return errno_of(r);
	}
	*ret_scaler = scaler;
	return 0;
}

static int scale(const AVFrame *source, unsigned max_width, AVFrame **ret_frame)
{
	if (source->width <= 0 || source->height <= 0 || source->width > MAX_SIDE ||
		source->height > MAX_SIDE) {
		return -EIO;
	}
	AVFrame *frame = av_frame_alloc();
	if (frame == NULL) {
		return -ENOMEM;
	}
	frame->format = AV_PIX_FMT_YUV420P;
	frame->color_range = AVCOL_RANGE_JPEG;
	fit(source, max_width, frame);
	struct SwsContext *scaler;
	int r = av_frame_get_buffer(frame, 0);
	if (r < 0) {
		r = -ENOMEM;
		goto fail;
	}
	r = open_scaler(source, frame, &scaler);
	if (r < 0) {
		goto fail;
	}
	r = sws_scale(scaler, (const uint8_t *const *)source->data, source->linesize, 0,
		source->height, frame->data, frame->linesize);
	sws_freeContext(scaler);
	if (r != frame->height) {
		r = -EIO;
		goto fail;
	}
	*ret_frame = frame;
	return 0;

fail:
	av_frame_free(&frame);
	return r;
}

static int open_jpeg(const AVFrame *frame, AVCodecContext **ret_context)
{
	const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
	if (codec == NULL) {
		return -EIO;
	}
	AVCodecContext *context = avcodec_alloc_context3(codec);
	if (context == NULL) {
		return -ENOMEM;
	}
	context->width = frame->width;
	context->height = frame->height;
	context->pix_fmt = frame->format;
	context->color_range = AVCOL_RANGE_JPEG;
	context->time_base = (AVRational){ 1, 1 };
	context->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
	context->global_quality = QUALITY * FF_QP2LAMBDA;
	context->thread_count = 1;
	int r = avcodec_open2(context, codec, NULL);
	if (r < 0) {
		avcodec_free_context(&context);
		return errno_of(r);
	}
	*ret_context = context;
	return 0;
}

static int encode(AVFrame *frame, uint8_t **ret_data, size_t *ret_size)
{
	AVCodecContext *context;
	int r = open_jpeg(frame, &context);
	if (r < 0) {
		return r;
	}
	uint8_t *data = NULL;
	AVPacket *packet = av_packet_alloc();
	if (packet == NULL) {
		r = -ENOMEM;
		goto out;
	}
	frame->pts = 0;
	frame->quality = context->global_quality;
	frame->pict_type = AV_PICTURE_TYPE_I;
	r = avcodec_send_frame(context, frame);
	if (r >= 0) {
		r = avcodec_receive_packet(context, packet);
	}
	if (r < 0) {
		r = errno_of(r);
		goto out;
	}
	data = malloc((size_t)packet->size);
	if (data == NULL) {
		r = -ENOMEM;
		goto out;
	}
	memcpy(data, packet->data, (size_t)packet->size);
	*ret_data = data;
	*ret_size = (size_t)packet->size;
	r = 0;
out:
	av_packet_free(&packet);
	avcodec_free_context(&context);
	return r;
}

int pc_still_jpeg(const struct pc_fragment *fragment, unsigned max_width, uint8_t **ret_data,
	size_t *ret_size)
{
	if (!fragment->key || fragment->size < fragment->mdat_offset + 8) {
		return -EINVAL;
	}
	AVFrame *full, *small;
	int r = decode(fragment, &full);
	if (r < 0) {
		return r;
	}
	r = scale(full, max_width, &small);
	av_frame_free(&full);
	if (r < 0) {
		return r;
	}
	r = encode(small, ret_data, ret_size);
	av_frame_free(&small);
	return r;
}
