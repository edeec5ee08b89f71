/* tests/unit/core/encode.c - see encode.h. */
#include "tests/unit/core/encode.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>

#include "tests/support/test.h"

struct encode {
	AVCodecContext *context;
	AVFrame *frame;
	AVPacket *packet;
};

struct encode *encode_open_with(
	unsigned width, unsigned height, unsigned kbps, const char *x264_params)
{
	const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
	if (codec == NULL) {
		test_skip("no libx264 in libavcodec");
	}
	struct encode *encode = calloc(1, sizeof(*encode));
	AVCodecContext *context = avcodec_alloc_context3(codec);
	context->width = (int)width;
	context->height = (int)height;
	context->pix_fmt = AV_PIX_FMT_YUV420P;
	context->time_base = (AVRational){ 1, 30 };
	context->framerate = (AVRational){ 30, 1 };
	context->gop_size = 10000;
	context->max_b_frames = 0;
	context->thread_count = 1;
	context->bit_rate = (int64_t)kbps * 1000;
	test_int(av_opt_set(context->priv_data, "preset", "ultrafast", 0), 0);
	test_int(av_opt_set(context->priv_data, "tune", "zerolatency", 0), 0);
	test_int(av_opt_set(context->priv_data, "forced-idr", "1", 0), 0);
	char params[256];
	snprintf(params, sizeof(params), "aud=1:scenecut=0:log=1:%s", x264_params);
	test_int(av_opt_set(context->priv_data, "x264-params", params, 0), 0);
	test_int(avcodec_open2(context, codec, NULL), 0);
	encode->context = context;
	encode->packet = av_packet_alloc();
	encode->frame = av_frame_alloc();
	encode->frame->format = AV_PIX_FMT_YUV420P;
	encode->frame->width = (int)width;
	encode->frame->height = (int)height;
	test_int(av_frame_get_buffer(encode->frame, 0), 0);
	return encode;
}

struct encode *encode_open(unsigned width, unsigned height, unsigned kbps)
{
	return encode_open_with(width, height, kbps, "");
}

void encode_close(struct encode *encode)
{
	avcodec_free_context(&encode->context);
	av_frame_free(&encode->frame);
	av_packet_free(&encode->packet);
	free(encode);
}

uint8_t *encode_plane(struct encode *encode, unsigned plane, unsigned *ret_stride)
{
	test_int(av_frame_make_writable(encode->frame), 0);
	*ret_stride = (unsigned)encode->frame->linesize[plane];
	return encode->frame->data[plane];
}

void encode_draw(struct encode *encode, unsigned n)
{
	for (unsigned plane = 0; plane < 3; plane++) {
		unsigned stride;
		uint8_t *data = encode_plane(encode, plane, &stride);
		unsigned shift = plane > 0;
		unsigned width = (unsigned)encode->frame->width >> shift;
		unsigned height = (unsigned)encode->frame->height >> shift;
		for (unsigned y = 0; y < height; y++) {
			for (unsigned x = 0; x < width; x++) {
				unsigned value =
					16 + (x * 200 / width + n * 3 + y * (plane + 1)) % 220;
				data[y * stride + x] = (uint8_t)value;
			}
		}
	}
}

struct pc_packet encode_frame(
	struct encode *encode, uint64_t sequence, int64_t capture_ns, bool key)
{
	encode->frame->pts = (int64_t)sequence;
	encode->frame->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
	av_packet_unref(encode->packet);
	test_int(avcodec_send_frame(encode->context, encode->frame), 0);
	test_int(avcodec_receive_packet(encode->context, encode->packet), 0);
	return (struct pc_packet){
		.data = encode->packet->data,
		.size = (size_t)encode->packet->size,
		.key = (encode->packet->flags & AV_PKT_FLAG_KEY) != 0,
		.sequence = sequence,
		.capture_ns = capture_ns,
		.submit_ns = capture_ns,
		.encoded_ns = capture_ns + 1,
	};
}
