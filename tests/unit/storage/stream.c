/* tests/unit/storage/stream.c - see stream.h. */
#include "tests/unit/storage/stream.h"

#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/barcode.h"
#include "core/muxer.h"
#include "storage/clip_internal.h"
#include "tests/support/test.h"

#define WIDTH 256
#define HEIGHT 144

static atomic_int av_errors;

static void __attribute__((format(printf, 3, 0)))
count_errors(void *context, int level, const char *format, va_list args)
{
	if (level <= AV_LOG_ERROR) {
		atomic_fetch_add(&av_errors, 1);
		(void)vfprintf(stderr, format, args);
	}
}

static uint32_t checksum(const AVFrame *frame)
{
	uint32_t crc = 2166136261u;
	for (int y = 0; y < frame->height; y++) {
		const uint8_t *line = frame->data[0] + (ptrdiff_t)y * frame->linesize[0];
		for (int x = 0; x < frame->width; x++) {
			crc = (crc ^ line[x]) * 16777619u;
		}
	}
	return crc;
}

static AVCodecContext *open_encoder(void)
{
	const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
	test_assert(codec != NULL);
	AVCodecContext *c = avcodec_alloc_context3(codec);
	test_assert(c != NULL);
	c->width = WIDTH;
	c->height = HEIGHT;
	c->pix_fmt = AV_PIX_FMT_YUV420P;
	c->time_base = (AVRational){ 1, STREAM_FPS };
	c->framerate = (AVRational){ STREAM_FPS, 1 };
	c->gop_size = 100000;
	c->max_b_frames = 0;
	c->thread_count = 1;
	av_opt_set(c->priv_data, "preset", "ultrafast", 0);
	av_opt_set(c->priv_data, "tune", "zerolatency", 0);
	av_opt_set(c->priv_data, "qp", "24", 0);
	av_opt_set(c->priv_data, "forced-idr", "1", 0);
	av_opt_set(c->priv_data, "x264-params", "scenecut=0:log-level=none", 0);
	test_int(avcodec_open2(c, codec, NULL), 0);
	return c;
}

static AVCodecContext *open_decoder(void)
{
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
	AVCodecContext *c = avcodec_alloc_context3(codec);
	test_assert(c != NULL);
	c->thread_count = 1;
	c->flags |= AV_CODEC_FLAG_LOW_DELAY;
	test_int(avcodec_open2(c, codec, NULL), 0);
	return c;
}

static void open_codecs(struct stream *stream)
{
	av_log_set_callback(count_errors);
	stream->encoder = open_encoder();
	stream->decoder = open_decoder();
	stream->picture = av_frame_alloc();
	stream->decoded = av_frame_alloc();
	stream->packet = av_packet_alloc();
	test_assert(stream->picture != NULL && stream->decoded != NULL && stream->packet != NULL);
	stream->picture->width = WIDTH;
	stream->picture->height = HEIGHT;
	stream->picture->format = AV_PIX_FMT_YUV420P;
	test_int(av_frame_get_buffer(stream->picture, 0), 0);
}

static void open_muxer(struct stream *stream, uint32_t epoch, uint64_t number)
{
	const struct pc_muxer_config config = {
		.pool = stream->pool,
		.width = WIDTH,
		.height = HEIGHT,
		.frame_duration = PC_MEDIA_TIMESCALE / STREAM_FPS,
		.base_ns = stream->start_ns,
		.first_epoch = epoch,
		.first_number = number,
	};
	test_int(pc_muxer_create(&config, &stream->muxer), 0);
}

void stream_open(struct stream *stream, int64_t start_ns, double window_s)
{
	memset(stream, 0, sizeof(*stream));
	stream->start_ns = start_ns;
	open_codecs(stream);
	test_int(pc_fragment_pool_create(64 << 20, &stream->pool), 0);
	test_int(pc_window_create((int64_t)(window_s * 1e9), 4096, &stream->window), 0);
	open_muxer(stream, 1, 1);
}

void stream_close(struct stream *stream)
{
	pc_muxer_destroy(stream->muxer);
	pc_window_unref(stream->window);
	pc_fragment_pool_destroy(stream->pool);
	avcodec_free_context(&stream->encoder);
	avcodec_free_context(&stream->decoder);
	av_frame_free(&stream->picture);
	av_frame_free(&stream->decoded);
	av_packet_free(&stream->packet);
}

/* A diagonal pattern that moves, and the number. */
static void paint(AVFrame *picture, uint32_t n)
{
	test_int(av_frame_make_writable(picture), 0);
	for (unsigned y = 0; y < HEIGHT; y++) {
		uint8_t *line = picture->data[0] + y * (unsigned)picture->linesize[0];
		for (unsigned x = 0; x < WIDTH; x++) {
			line[x] = (uint8_t)(16 + (((x + y + 3 * n) >> 2) & 63) * 3);
		}
	}
	for (unsigned plane = 1; plane < 3; plane++) {
		memset(picture->data[plane], (int)(96 + (n * plane) % 64),
			(size_t)picture->linesize[plane] * HEIGHT / 2);
	}
	const struct pc_barcode code = { .frame = n, .utc_ms = n };
	pc_barcode_draw(picture->data[0], (unsigned)picture->linesize[0], WIDTH, &code);
}

/* The next frame, encoded into stream->packet, its checksum noted. */
static void encode(struct stream *stream)
{
	uint32_t n = stream->next++;
	test_assert(n < STREAM_FRAMES_MAX);
	paint(stream->picture, n);
	stream->picture->pts = n;
	stream->picture->pict_type = n % STREAM_GOP == 0 ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
	test_int(avcodec_send_frame(stream->encoder, stream->picture), 0);
	test_int(avcodec_receive_packet(stream->encoder, stream->packet), 0);
	test_int(avcodec_send_packet(stream->decoder, stream->packet), 0);
	test_int(avcodec_receive_frame(stream->decoder, stream->decoded), 0);
	stream->crc[n] = checksum(stream->decoded);
}

void stream_checksums(struct stream *stream, unsigned n)
{
	open_codecs(stream);
	while (stream->next < n) {
		encode(stream);
		av_packet_unref(stream->packet);
	}
}

void stream_push(struct stream *stream, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t number = stream->next;
		encode(stream);
		struct pc_fragment *fragment;
		const struct pc_packet packet = {
			.data = stream->packet->data,
			.size = (size_t)stream->packet->size,
			.key = (stream->packet->flags & AV_PKT_FLAG_KEY) != 0,
			.sequence = number,
			.capture_ns = stream_time(stream, number),
			.submit_ns = stream_time(stream, number),
			.encoded_ns = stream_time(stream, number),
		};
		test_int(packet.key, number % STREAM_GOP == 0);
		int r = pc_muxer_write(stream->muxer, &packet, &fragment);
		av_packet_unref(stream->packet);
		if (r == -EAGAIN) {
			continue; /* a new epoch waits for its key frame */
		}
		test_int(r, 0);
		pc_window_push(stream->window, fragment);
		pc_fragment_unref(fragment);
	}
}

void stream_push_due(struct stream *stream, uint32_t end)
{
	while (stream->next < end && stream_time(stream, stream->next) <= pc_clock_now_ns()) {
		stream_push(stream, 1);
	}
}

void stream_new_epoch(struct stream *stream)
{
	uint32_t epoch = pc_muxer_next_epoch(stream->muxer);
	uint64_t number = pc_muxer_next_number(stream->muxer);
	pc_muxer_destroy(stream->muxer);
	open_muxer(stream, epoch, number);
}

/* The boxes that only a finished recording has. */
static bool is_indexed(const char *path)
{
	static uint8_t head[16384];
	uint8_t tail[16];
	static const uint32_t moov[] = { PC_MP4_TYPE('m', 'o', 'o', 'v'), 0 };
	static const uint32_t mehd[] = { PC_MP4_TYPE('m', 'o', 'o', 'v'),
		PC_MP4_TYPE('m', 'v', 'e', 'x'), PC_MP4_TYPE('m', 'e', 'h', 'd'), 0 };
	struct pc_mp4_box box, sidx;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	test_assert(fd >= 0);
	size_t n = (size_t)read(fd, head, sizeof(head));
	off_t end = lseek(fd, 0, SEEK_END);
	test_int(pread(fd, tail, sizeof(tail), end - (off_t)sizeof(tail)), sizeof(tail));
	(void)close(fd);
	if (pc_mp4_find(head, n, moov, &box) < 0) {
		return false;
	}
	size_t at = box.offset + box.size;
	return pc_mp4_next(head, n, &at, &sidx) == 0 &&
	       sidx.type == PC_MP4_TYPE('s', 'i', 'd', 'x') &&
	       pc_mp4_find(head, n, mehd, &box) == 0 &&
	       pc_mp4_get32(tail + 4) == PC_MP4_TYPE('m', 'f', 'r', 'o');
}

static void check_frame(const struct stream *stream, const AVFrame *frame, const char *path,
	struct clip_content *content)
{
	struct pc_barcode code;
	test_int(
		pc_barcode_read(frame->data[0], (unsigned)frame->linesize[0], WIDTH, HEIGHT, &code),
		0);
	if (content->frames == 0) {
		content->first = code.frame;
	} else if (code.frame != content->last + 1) {
		test_fail("%s: frame %u behind %u", path, code.frame, content->last);
	}
	if (checksum(frame) != stream->crc[code.frame]) {
		test_fail("%s: frame %u has other pixels than it had live", path, code.frame);
	}
	content->last = code.frame;
	content->frames++;
}

struct clip_content clip_check(const struct stream *stream, const char *path)
{
	struct clip_content content = { .indexed = is_indexed(path) };
	AVFormatContext *format = NULL;
	av_log_set_callback(count_errors);
	atomic_store(&av_errors, 0);
	test_int(avformat_open_input(&format, path, NULL, NULL), 0);
	test_int(avformat_find_stream_info(format, NULL), 0);
	test_int(format->nb_streams, 1);
	const AVStream *track = format->streams[0];
	content.duration_ms =
		av_rescale_q(track->duration, track->time_base, (AVRational){ 1, 1000 });
	AVCodecContext *decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
	test_assert(decoder != NULL);
	test_assert(avcodec_parameters_to_context(decoder, track->codecpar) >= 0);
	decoder->thread_count = 1;
	decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
	decoder->err_recognition = AV_EF_CAREFUL | AV_EF_EXPLODE;
	test_int(avcodec_open2(decoder, decoder->codec, NULL), 0);
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	int64_t expected_pts = -1;
	while (av_read_frame(format, packet) == 0) {
		if (expected_pts < 0) {
			test_int(packet->pts, 0);
			test_assert((packet->flags & AV_PKT_FLAG_KEY) != 0);
		} else {
			test_assert(packet->pts > expected_pts);
		}
		expected_pts = packet->pts;
		test_int(avcodec_send_packet(decoder, packet), 0);
		while (avcodec_receive_frame(decoder, frame) == 0) {
			check_frame(stream, frame, path, &content);
		}
		av_packet_unref(packet);
	}
	(void)avcodec_send_packet(decoder, NULL);
	while (avcodec_receive_frame(decoder, frame) == 0) {
		check_frame(stream, frame, path, &content);
	}
	av_frame_free(&frame);
	av_packet_free(&packet);
	avcodec_free_context(&decoder);
	avformat_close_input(&format);
	test_int(atomic_load(&av_errors), 0);
	return content;
}
