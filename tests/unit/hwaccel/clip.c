/* tests/unit/hwaccel/clip.c - see clip.h. */
#include "tests/unit/hwaccel/clip.h"

#include <ftw.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include "tests/support/test.h"

int clip_luma(unsigned n)
{
	return 40 + (int)(n * 37 % 160);
}

static void draw(AVFrame *frame, unsigned n)
{
	test_int(av_frame_make_writable(frame), 0);
	const int full = frame->format == AV_PIX_FMT_YUVJ420P;
	const int dark = full ? (clip_luma(n) - 16) * 255 / 219 : clip_luma(n);
	const int white = full ? 255 : 235;
	for (int p = 0; p < 3; p++) {
		const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(frame->format);
		const int w =
			p == 0 ? frame->width : AV_CEIL_RSHIFT(frame->width, d->log2_chroma_w);
		const int h =
			p == 0 ? frame->height : AV_CEIL_RSHIFT(frame->height, d->log2_chroma_h);
		for (int y = 0; y < h; y++) {
			uint8_t *line = frame->data[p] + y * frame->linesize[p];
			memset(line, p == 0 ? dark : 128, (size_t)w);
			if (p == 0 && y < h / 2) {
				memset(line, white, (size_t)w / 2);
			}
		}
	}
}

static void drain(AVCodecContext *codec, AVFormatContext *format)
{
	AVPacket *packet = av_packet_alloc();
	while (avcodec_receive_packet(codec, packet) == 0) {
		av_packet_rescale_ts(packet, codec->time_base, format->streams[0]->time_base);
		packet->stream_index = 0;
		test_int(av_interleaved_write_frame(format, packet), 0);
	}
	av_packet_free(&packet);
}

static AVCodecContext *open_codec(const struct clip *clip)
{
	const AVCodec *type = avcodec_find_encoder_by_name(clip->codec);
	test_assert(type != NULL);
	AVCodecContext *codec = avcodec_alloc_context3(type);
	codec->log_level_offset = 100;
	codec->width = clip->width;
	codec->height = clip->height;
	codec->pix_fmt = av_get_pix_fmt(clip->pixels);
	codec->framerate = av_d2q(clip->fps, 100000);
	codec->time_base =
		clip->times != NULL ? (AVRational){ 1, 100 } : av_inv_q(codec->framerate);
	codec->gop_size = 10;
	codec->max_b_frames = 0;
	codec->bit_rate = 2000000;
	codec->thread_count = 1;
	codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
	const char *ending = strrchr(clip->path, '.');
	if (strcmp(ending, ".h264") == 0 || strcmp(ending, ".ts") == 0) {
		codec->flags &= ~AV_CODEC_FLAG_GLOBAL_HEADER;
	}
	av_opt_set(codec->priv_data, "preset", "ultrafast", 0);
	test_int(avcodec_open2(codec, type, NULL), 0);
	return codec;
}

void clip_write(const struct clip *clip)
{
	AVCodecContext *codec = open_codec(clip);
	AVFormatContext *format = NULL;
	test_assert(avformat_alloc_output_context2(&format, NULL, NULL, clip->path) >= 0);
	AVStream *stream = avformat_new_stream(format, NULL);
	test_int(avcodec_parameters_from_context(stream->codecpar, codec), 0);
	stream->time_base = codec->time_base;
	stream->avg_frame_rate = codec->framerate;
	if (clip->clockwise != 0) {
		uint8_t *matrix = av_stream_new_side_data(
			stream, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(int32_t));
		int32_t values[9];
		av_display_rotation_set(values, clip->clockwise);
		memcpy(matrix, values, sizeof(values));
	}
	AVDictionary *options = NULL;
	if (clip->movflags != NULL) {
		av_dict_set(&options, "movflags", clip->movflags, 0);
	}
	test_assert(avio_open(&format->pb, clip->path, AVIO_FLAG_WRITE) >= 0);
	test_assert(avformat_write_header(format, &options) >= 0);
	av_dict_free(&options);
	AVFrame *frame = av_frame_alloc();
	frame->format = codec->pix_fmt;
	frame->width = clip->width;
	frame->height = clip->height;
	test_int(av_frame_get_buffer(frame, 0), 0);
	for (unsigned n = 0; n < clip->frames; n++) {
		draw(frame, n);
		frame->pts = clip->times != NULL ? clip->times[n] : (int)n;
		test_int(avcodec_send_frame(codec, frame), 0);
		drain(codec, format);
	}
	test_int(avcodec_send_frame(codec, NULL), 0);
	drain(codec, format);
	test_int(av_write_trailer(format), 0);
	av_frame_free(&frame);
	avio_closep(&format->pb);
	avformat_free_context(format);
	avcodec_free_context(&codec);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

void clip_remove_folder(const char *path)
{
	if (nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0) {
		printf("%s is left\n", path);
	}
}
