/* tests/unit/core/test_muxer.c - the CMAF muxer against libavformat's demuxer. */
#include "core/muxer.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/core/encode.h"

#define WIDTH 320
#define HEIGHT 192
#define FRAME_NS 33333333
#define BASE_NS INT64_C(5000000000)
#define MAX_FRAMES 64

static struct pc_fragment_pool *pool;
static unsigned n_high; /* init segments of High profile seen */

static struct pc_muxer *make_muxer(uint32_t epoch, uint64_t number)
{
	const struct pc_muxer_config config = {
		.pool = pool,
		.width = WIDTH,
		.height = HEIGHT,
		.frame_duration = 3000,
		.base_ns = BASE_NS,
		.first_epoch = epoch,
		.first_number = number,
	};
	struct pc_muxer *muxer;
	test_int(pc_muxer_create(&config, &muxer), 0);
	return muxer;
}

/* A growing file in memory, and what is read back from it. */
struct file {
	uint8_t *data;
	size_t size;
	size_t at;
};

static void append(struct file *file, const uint8_t *data, size_t size)
{
	file->data = realloc(file->data, file->size + size);
	test_assert(file->data != NULL);
	memcpy(file->data + file->size, data, size);
	file->size += size;
}

static int read_file(void *opaque, uint8_t *data, int size)
{
	struct file *file = opaque;
	size_t left = file->size - file->at;
	size_t n = left < (size_t)size ? left : (size_t)size;
	if (n == 0) {
		return AVERROR_EOF;
	}
	memcpy(data, file->data + file->at, n);
	file->at += n;
	return (int)n;
}

struct decoded {
	unsigned n_packets, n_frames;
	int64_t dts[MAX_FRAMES];
	int key[MAX_FRAMES];
	uint64_t hash[MAX_FRAMES]; /* of the luma */
};

static uint64_t hash_luma(const AVFrame *frame)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	for (int y = 0; y < frame->height; y++) {
		for (int x = 0; x < frame->width; x++) {
			hash = (hash ^ frame->data[0][y * frame->linesize[0] + x]) *
			       UINT64_C(1099511628211);
		}
	}
	return hash;
}

static void take_frames(AVCodecContext *context, AVFrame *frame, struct decoded *out)
{
	while (avcodec_receive_frame(context, frame) == 0) {
		test_int(frame->width, WIDTH);
		test_int(frame->decode_error_flags, 0);
		out->hash[out->n_frames++] = hash_luma(frame);
	}
}

/* Demuxes and decodes with errors made fatal. */
static void decode_file(struct file *file, struct decoded *out)
{
	memset(out, 0, sizeof(*out));
	file->at = 0;
	AVFormatContext *format = avformat_alloc_context();
	format->pb = avio_alloc_context(av_malloc(4096), 4096, 0, file, read_file, NULL, NULL);
	test_int(avformat_open_input(&format, NULL, NULL, NULL), 0);
	test_int(avformat_find_stream_info(format, NULL), 0);
	test_int(format->nb_streams, 1);
	AVStream *stream = format->streams[0];
	test_int(stream->time_base.den, 90000);
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
	AVCodecContext *context = avcodec_alloc_context3(codec);
	test_int(avcodec_parameters_to_context(context, stream->codecpar), 0);
	context->err_recognition = AV_EF_EXPLODE;
	context->thread_count = 1;
	test_int(avcodec_open2(context, codec, NULL), 0);
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	while (av_read_frame(format, packet) == 0) {
		test_int(packet->pts, packet->dts);
		out->dts[out->n_packets] = packet->dts;
		out->key[out->n_packets++] = packet->flags & AV_PKT_FLAG_KEY;
		test_int(avcodec_send_packet(context, packet), 0);
		av_packet_unref(packet);
		take_frames(context, frame, out);
	}
	test_int(avcodec_send_packet(context, NULL), 0);
	take_frames(context, frame, out);
	av_packet_free(&packet);
	av_frame_free(&frame);
	avcodec_free_context(&context);
	AVIOContext *avio = format->pb;
	avformat_close_input(&format);
	av_freep(&avio->buffer);
	avio_context_free(&avio);
}

static uint64_t read_be(const uint8_t *p, unsigned n)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < n; i++) {
		value = value << 8 | p[i];
	}
	return value;
}

static void check_fragment(const struct pc_fragment *f, const struct pc_packet *packet)
{
	test_int(f->key, packet->key);
	test_int(f->sequence, packet->sequence);
	test_int(f->capture_ns, packet->capture_ns);
	test_int(f->encoded_ns, packet->encoded_ns);
	test_assert(f->muxed_ns > 0);
	test_assert(f->duration >= 3000);
	test_int(read_be(f->data + f->tfdt_offset - 12 - 12, 4), f->duration); /* in tfhd */
	test_assert(memcmp(f->data + 4, "moof", 4) == 0);
	test_int(read_be(f->data, 4), f->mdat_offset);
	test_assert(memcmp(f->data + f->mdat_offset + 4, "mdat", 4) == 0);
	test_int(read_be(f->data + f->mdat_offset, 4), f->size - f->mdat_offset);
	test_int(read_be(f->data + f->tfdt_offset, 8), f->decode_time);
	test_int(read_be(f->data + f->mfhd_offset, 4), f->number & UINT32_MAX);
	test_assert(memcmp(f->data + f->tfdt_offset - 8, "tfdt", 4) == 0);
	test_assert(memcmp(f->data + f->mfhd_offset - 8, "mfhd", 4) == 0);
	/* Clean samples: no parameter sets, no delimiters. */
	for (size_t at = f->mdat_offset + 8; at < f->size;) {
		uint64_t n = read_be(f->data + at, 4);
		unsigned type = f->data[at + 4] & 0x1f;
		test_assert(type == 1 || type == 5 || type == 6);
		at += 4 + n;
		test_assert(at <= f->size);
	}
}

static void check_init(const struct pc_init *init, uint32_t epoch)
{
	test_int(init->epoch, epoch);
	test_int(init->width, WIDTH);
	test_int(init->height, HEIGHT);
	test_int(init->frame_duration, 3000);
	test_assert(memcmp(init->data + 4, "ftyp", 4) == 0);
	size_t ftyp = read_be(init->data, 4);
	test_assert(memcmp(init->data + ftyp + 4, "moov", 4) == 0);
	test_int(ftyp + read_be(init->data + ftyp, 4), init->size);
	test_assert(memmem(init->data, init->size, "udta", 4) == NULL);
	test_assert(memmem(init->data, init->size, "edts", 4) == NULL);
	const uint8_t *avcc = memmem(init->data, init->size, "avcC", 4);
	test_assert(avcc != NULL);
	char codec[16];
	snprintf(codec, sizeof(codec), "avc1.%02x%02x%02x", avcc[5], avcc[6], avcc[7]);
	test_str(init->codec, codec);
	/* The record's size, and High's three fields behind it. */
	size_t size = read_be(avcc - 4, 4);
	const uint8_t *end = avcc - 4 + size;
	if (avcc[5] == 100) {
		test_assert(memcmp(end - 4, (const uint8_t[]){ 0xfd, 0xf8, 0xf8, 0 }, 4) == 0);
		n_high++;
	}
}

/* Packets and fragments hold the same pictures at the same times. */
static void round_trip(struct encode *encode)
{
	struct pc_muxer *muxer = make_muxer(3, 1000);
	test_int(pc_muxer_next_epoch(muxer), 3);
	struct file file = { 0 }, annexb = { 0 };
	int64_t times[30];
	for (unsigned i = 0; i < 30; i++) {
		encode_draw(encode, i);
		/* Late by up to 11 ms, and two frames (17, 18) missing: bridged until 19. */
		int64_t ns = BASE_NS + FRAME_NS * (int64_t)(i < 17 ? i : i + 2) + i % 3 * 5500000;
		struct pc_packet packet = encode_frame(encode, i, ns, i % 10 == 0);
		append(&annexb, packet.data, packet.size);
		struct pc_fragment *fragment;
		test_int(pc_muxer_write(muxer, &packet, &fragment), 0);
		test_int(fragment->number, 1000 + i);
		check_fragment(fragment, &packet);
		times[i] = fragment->decode_time;
		int64_t due = ((ns - BASE_NS) * 9 + 50000) / 100000;
		if (i == 17) {
			test_assert(times[i] < due && times[i] > due - 6000);
		} else {
			test_int(times[i], due);
		}
		if (i == 0) {
			check_init(fragment->init, 3);
			append(&file, fragment->init->data, fragment->init->size);
		}
		append(&file, fragment->data, fragment->size);
		pc_fragment_unref(fragment);
	}
	test_int(pc_muxer_next_epoch(muxer), 4);
	test_int(pc_muxer_next_number(muxer), 1030);
	struct decoded ours, raw;
	decode_file(&file, &ours);
	test_int(ours.n_packets, 30);
	test_int(ours.n_frames, 30);
	for (unsigned i = 0; i < 30; i++) {
		test_int(ours.dts[i], times[i]);
		test_int(ours.key[i], i % 10 == 0);
	}
	/* The same as what the encoder gave, decoded without any container. */
	memset(&raw, 0, sizeof(raw));
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
	AVCodecContext *context = avcodec_alloc_context3(codec);
	test_int(avcodec_open2(context, codec, NULL), 0);
	AVCodecParserContext *parser = av_parser_init(AV_CODEC_ID_H264);
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	append(&annexb, (const uint8_t[AV_INPUT_BUFFER_PADDING_SIZE]){ 0 },
		AV_INPUT_BUFFER_PADDING_SIZE);
	size_t at = 0, end = annexb.size - AV_INPUT_BUFFER_PADDING_SIZE;
	while (at < end) {
		at += (size_t)av_parser_parse2(parser, context, &packet->data, &packet->size,
			annexb.data + at, (int)(end - at), AV_NOPTS_VALUE, AV_NOPTS_VALUE, 0);
		if (packet->size > 0) {
			test_int(avcodec_send_packet(context, packet), 0);
			take_frames(context, frame, &raw);
		}
	}
	(void)av_parser_parse2(parser, context, &packet->data, &packet->size, NULL, 0, 0, 0, 0);
	test_int(avcodec_send_packet(context, packet), 0);
	test_int(avcodec_send_packet(context, NULL), 0);
	take_frames(context, frame, &raw);
	test_int(raw.n_frames, 30);
	test_assert(memcmp(raw.hash, ours.hash, sizeof(raw.hash)) == 0);
	av_parser_close(parser);
	av_packet_free(&packet);
	av_frame_free(&frame);
	avcodec_free_context(&context);
	free(file.data);
	free(annexb.data);
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

/* Baseline; High, whose record says more; several slices a picture. */
static void test_round_trip(void)
{
	round_trip(encode_open(WIDTH, HEIGHT, 800));
	round_trip(encode_open_with(WIDTH, HEIGHT, 800, "8x8dct=1:cabac=1"));
	round_trip(encode_open_with(WIDTH, HEIGHT, 800, "slices=4"));
	test_int(n_high, 1);
}

/* Other parameters begin an epoch of their own; numbers and times go on. */
static void test_epochs(void)
{
	struct pc_muxer *muxer = make_muxer(1, 1);
	struct pc_init *first = NULL;
	int64_t last = -1;
	uint64_t sequence = 0;
	for (uint32_t epoch = 1; epoch <= 3; epoch++) {
		/* Constant quality and a bitrate give different VUIs: other SPS bytes. */
		struct encode *encode = encode_open(WIDTH, HEIGHT, epoch == 2 ? 0 : 500);
		struct file file = { 0 };
		struct decoded decoded;
		int64_t times[5];
		for (unsigned i = 0; i < 5; i++, sequence++) {
			encode_draw(encode, i);
			struct pc_packet packet = encode_frame(
				encode, sequence, BASE_NS + (int64_t)sequence * FRAME_NS, i == 0);
			struct pc_fragment *fragment;
			test_int(pc_muxer_write(muxer, &packet, &fragment), 0);
			test_int(fragment->number, sequence + 1);
			test_assert(fragment->decode_time > last);
			last = times[i] = fragment->decode_time;
			check_fragment(fragment, &packet);
			if (i == 0) {
				check_init(fragment->init, epoch);
				test_assert(fragment->init != first);
				pc_init_unref(first);
				first = pc_init_ref(fragment->init);
				append(&file, fragment->init->data, fragment->init->size);
			}
			test_assert(fragment->init == first);
			append(&file, fragment->data, fragment->size);
			pc_fragment_unref(fragment);
		}
		decode_file(&file, &decoded);
		test_int(decoded.n_frames, 5);
		for (unsigned i = 0; i < 5; i++) {
			test_int(decoded.dts[i], times[i]);
		}
		free(file.data);
		encode_close(encode);
	}
	/* The next muxer of the camera takes over. */
	struct pc_muxer *next = make_muxer(pc_muxer_next_epoch(muxer), pc_muxer_next_number(muxer));
	pc_muxer_destroy(muxer);
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	encode_draw(encode, 0);
	struct pc_packet packet =
		encode_frame(encode, sequence, BASE_NS + 3600 * PC_NS_PER_S, true);
	struct pc_fragment *fragment;
	test_int(pc_muxer_write(next, &packet, &fragment), 0);
	test_int(fragment->number, 16);
	test_int(fragment->init->epoch, 4);
	test_int(fragment->decode_time, INT64_C(3600) * 90000);
	pc_fragment_unref(fragment);
	pc_init_unref(first);
	encode_close(encode);
	pc_muxer_destroy(next);
}

static void test_times_only_grow(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	struct pc_muxer *muxer = make_muxer(1, 1);
	/* Before the base, twice the same, back again, after a hole too long to bridge, years
	 * later. */
	const int64_t at_ns[] = { -1000000, 0, 0, 33333333, 10, 2000000000,
		INT64_C(31536000000000000) };
	const int64_t expected[] = { 0, 1, 2, 3000, 3001, 180000, INT64_C(2838240000000) };
	for (unsigned i = 0; i < 7; i++) {
		encode_draw(encode, i);
		struct pc_packet packet = encode_frame(encode, i, BASE_NS + at_ns[i], i == 0);
		struct pc_fragment *fragment;
		test_int(pc_muxer_write(muxer, &packet, &fragment), 0);
		test_int(fragment->decode_time, expected[i]);
		pc_fragment_unref(fragment);
	}
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

/* Holes of all lengths, and frames at a third of the rate: no step is so long that a browser
 * would wait for a key frame, and the line is back on time a few frames later. */
static void test_holes(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	struct pc_muxer *muxer = make_muxer(1, 1);
	int64_t at = 0, last_time = -1, last_duration = 0;
	uint64_t sequence = 0;
	for (unsigned hole = 1; hole <= 29; hole += hole < 5 ? 1 : 8) {
		for (unsigned i = 0; i < 30; i++) {
			/* The third hole is 15 frames at 10 fps. */
			at += i == 0 ? hole : hole == 3 && i < 16 ? 3 : 1;
			int64_t ns = BASE_NS + at * FRAME_NS + i % 4 * 1000000;
			encode_draw(encode, i);
			struct pc_packet packet = encode_frame(encode, sequence, ns, sequence == 0);
			struct pc_fragment *fragment;
			test_int(pc_muxer_write(muxer, &packet, &fragment), 0);
			int64_t due = ((ns - BASE_NS) * 9 + 50000) / 100000;
			int64_t time = fragment->decode_time;
			test_assert(time <= due && time > last_time);
			test_assert(last_time < 0 || time - last_time < 2 * last_duration);
			test_assert(i < 6 || time == due);
			test_assert(i < 8 || hole == 3 || fragment->duration == 3000);
			test_assert(i < 6 || i > 15 || hole != 3 || fragment->duration > 8500);
			check_fragment(fragment, &packet);
			last_time = time;
			last_duration = fragment->duration;
			sequence++;
			pc_fragment_unref(fragment);
		}
	}
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

static int write_bytes(struct pc_muxer *muxer, const void *data, size_t size, bool key)
{
	/* A copy of exactly this size, so that ASan sees a read past it. */
	uint8_t *copy = malloc(size > 0 ? size : 1);
	memcpy(copy, data, size);
	const struct pc_packet packet = {
		.data = copy, .size = size, .key = key, .capture_ns = BASE_NS
	};
	struct pc_fragment *fragment = NULL;
	int r = pc_muxer_write(muxer, &packet, &fragment);
	test_assert((r == 0) == (fragment != NULL));
	pc_fragment_unref(fragment);
	free(copy);
	return r;
}

#define REFUSED(...)                                                                               \
	test_int(write_bytes(muxer, (const uint8_t[]){ __VA_ARGS__ },                              \
			 sizeof((const uint8_t[]){ __VA_ARGS__ }), true),                          \
		-EINVAL)

static void test_hostile_packets(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	struct pc_muxer *muxer = make_muxer(1, 1);
	test_int(write_bytes(muxer, "", 0, true), -EINVAL);
	REFUSED(0);
	REFUSED(0, 0, 0, 0);
	REFUSED(0, 0, 1);
	REFUSED(0, 0, 0, 1);
	REFUSED(0, 0, 1, 0x65); /* a slice without a byte */
	REFUSED(0, 0, 1, 0x65, 0x88); /* no parameters before the first */
	REFUSED('g', 'a', 'r', 'b', 'a', 'g', 'e', 0, 0, 1, 0x65, 0x88);
	REFUSED(0, 0, 1, 0xe5, 0x88); /* forbidden bit */
	REFUSED(0, 0, 1, 0x67, 0x42, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65, 0x88); /* short SPS */
	REFUSED(0, 0, 1, 0x67, 0x64, 0, 0x1f, 0xac, 0, 0, 1, 0x65, 0x88); /* no PPS */
	REFUSED(0, 0, 1, 0x67, 0x64, 0, 0x1f, 1, 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65, 0x88);
	REFUSED(0, 0, 1, 0x09, 0xf0); /* a delimiter alone */
	REFUSED(0, 0, 1, 0x78, 0x88); /* type 24 is RTP's */

	encode_draw(encode, 0);
	struct pc_packet key = encode_frame(encode, 0, BASE_NS, true);
	/* Every truncation: an error, or (cut inside the slice) a fragment. */
	for (size_t n = 0; n < key.size; n += n < 120 ? 1 : 97) {
		int r = write_bytes(muxer, key.data, n, true);
		test_assert(r == 0 || r == -EINVAL);
	}
	/* Every bit of the first bytes flipped. */
	uint8_t *bytes = malloc(key.size);
	for (size_t bit = 0; bit < 8 * 64; bit++) {
		memcpy(bytes, key.data, key.size);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int r = write_bytes(muxer, bytes, key.size, true);
		test_assert(r == 0 || r == -EINVAL);
	}
	/* A key packet that is none. */
	memcpy(bytes, key.data, key.size);
	const size_t key_size = key.size;
	encode_draw(encode, 1);
	struct pc_packet delta = encode_frame(encode, 1, BASE_NS + FRAME_NS, false);
	test_int(write_bytes(muxer, bytes, key_size, true), 0);
	test_int(write_bytes(muxer, delta.data, delta.size, true), -EINVAL);
	/* It was lost, and what follows may refer to it. */
	test_int(write_bytes(muxer, delta.data, delta.size, false), -EAGAIN);
	test_int(write_bytes(muxer, bytes, key_size, true), 0);
	test_int(write_bytes(muxer, delta.data, delta.size, false), 0);
	free(bytes);
	/* Parameters as large as they come do not fit a record. */
	uint8_t large[4096];
	memset(large, 0x55, sizeof(large));
	memcpy(large, (const uint8_t[]){ 0, 0, 1, 0x67, 0x42, 0, 0x1f }, 7);
	memcpy(large + 3000, (const uint8_t[]){ 0, 0, 1, 0x68, 0xce, 0, 0, 1, 0x65 }, 9);
	test_int(write_bytes(muxer, large, sizeof(large), true), -EINVAL);
	/* More slices than a picture has. */
	uint8_t *slices = malloc(600 * 5);
	for (unsigned i = 0; i < 600; i++) {
		memcpy(slices + (size_t)i * 5, (const uint8_t[]){ 0, 0, 1, 0x65, 0x88 }, 5);
	}
	test_int(write_bytes(muxer, slices, 600 * 5, true), -EINVAL);
	free(slices);
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

/* movenc with the options of the init segment, writing into memory. */
static AVFormatContext *open_movenc(const struct pc_init *init)
{
	AVFormatContext *format = NULL;
	test_int(avformat_alloc_output_context2(&format, NULL, "mp4", NULL), 0);
	test_int(avio_open_dyn_buf(&format->pb), 0);
	format->flags |= AVFMT_FLAG_BITEXACT;
	AVStream *stream = avformat_new_stream(format, NULL);
	test_assert(stream != NULL);
	stream->time_base = (AVRational){ 1, PC_MEDIA_TIMESCALE };
	stream->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
	stream->codecpar->codec_id = AV_CODEC_ID_H264;
	stream->codecpar->width = WIDTH;
	stream->codecpar->height = HEIGHT;
	const uint8_t *avcc = memmem(init->data, init->size, "avcC", 4);
	test_assert(avcc != NULL);
	const size_t size = read_be(avcc - 4, 4) - 8;
	stream->codecpar->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
	memcpy(stream->codecpar->extradata, avcc + 4, size);
	stream->codecpar->extradata_size = (int)size;
	AVDictionary *options = NULL;
	av_dict_set(&options, "movflags",
		"frag_custom+empty_moov+default_base_moof+cmaf+skip_trailer", 0);
	av_dict_set_int(&options, "video_track_timescale", PC_MEDIA_TIMESCALE, 0);
	av_dict_set_int(&options, "use_editlist", 0, 0);
	test_assert(avformat_write_header(format, &options) >= 0);
	av_dict_free(&options);
	return format;
}

/* What movenc writes for the same sample is what we write, but for number and time. */
static void check_movenc(AVFormatContext *format, const struct pc_fragment *f, int64_t time)
{
	uint8_t *bytes;
	avio_close_dyn_buf(format->pb, &bytes); /* what was there before */
	av_free(bytes);
	test_int(avio_open_dyn_buf(&format->pb), 0);
	AVPacket *packet = av_packet_alloc();
	const uint8_t *sample = f->data + f->mdat_offset + 8;
	test_int(av_new_packet(packet, (int)(f->size - f->mdat_offset - 8)), 0);
	memcpy(packet->data, sample, (size_t)packet->size);
	packet->flags = f->key ? AV_PKT_FLAG_KEY : 0;
	packet->duration = f->duration;
	packet->dts = packet->pts = time;
	test_assert(av_write_frame(format, packet) >= 0);
	test_assert(av_write_frame(format, NULL) >= 0);
	av_packet_free(&packet);
	const int size = avio_close_dyn_buf(format->pb, &bytes);
	test_int(avio_open_dyn_buf(&format->pb), 0);
	test_int(size, f->size);
	memcpy(bytes + f->mfhd_offset, f->data + f->mfhd_offset, 4);
	memcpy(bytes + f->tfdt_offset, f->data + f->tfdt_offset, 8);
	test_assert(memcmp(bytes, f->data, f->size) == 0);
	av_free(bytes);
}

static void test_as_movenc(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	struct pc_muxer *muxer = make_muxer(1, UINT32_MAX - 3); /* the number wraps in mfhd */
	AVFormatContext *format = NULL;
	int64_t time = 0;
	for (unsigned i = 0; i < 12; i++) {
		encode_draw(encode, i);
		const struct pc_packet packet = encode_frame(
			encode, i, BASE_NS + FRAME_NS * (int64_t)(i < 6 ? i : i * 3), i % 5 == 0);
		struct pc_fragment *fragment;
		test_int(pc_muxer_write(muxer, &packet, &fragment), 0);
		format = format != NULL ? format : open_movenc(fragment->init);
		check_movenc(format, fragment, time);
		time += fragment->duration;
		pc_fragment_unref(fragment);
	}
	uint8_t *bytes;
	avio_close_dyn_buf(format->pb, &bytes);
	av_free(bytes);
	format->pb = NULL;
	avformat_free_context(format);
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

static void test_waits_for_key(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	struct pc_muxer *muxer = make_muxer(1, 1);
	struct pc_fragment *fragment;
	encode_draw(encode, 0);
	(void)encode_frame(encode, 0, BASE_NS, true);
	struct pc_packet delta = encode_frame(encode, 1, BASE_NS + FRAME_NS, false);
	test_int(pc_muxer_write(muxer, &delta, &fragment), -EAGAIN);
	test_int(pc_muxer_next_number(muxer), 1);
	test_int(pc_muxer_next_epoch(muxer), 1);
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

/* A full pool loses the frame, and then waits for a key frame. */
static void test_full_pool(void)
{
	struct pc_fragment_pool *whole = pool;
	test_int(pc_fragment_pool_create(64 * 1024, &pool), 0);
	struct encode *encode = encode_open(WIDTH, HEIGHT, 0);
	struct pc_muxer *muxer = make_muxer(1, 1);
	struct pc_fragment *held[256];
	unsigned n = 0;
	int r = 0;
	for (unsigned i = 0; i < 256 && r == 0; i++) {
		encode_draw(encode, i);
		struct pc_packet packet =
			encode_frame(encode, i, BASE_NS + FRAME_NS * (int64_t)i, i == 0);
		r = pc_muxer_write(muxer, &packet, &held[n]);
		n += r == 0;
	}
	test_int(r, -ENOMEM);
	test_assert(n > 1);
	for (unsigned i = 0; i < n; i++) {
		pc_fragment_unref(held[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		encode_draw(encode, i);
		struct pc_packet packet = encode_frame(
			encode, 300 + i, BASE_NS + FRAME_NS * (int64_t)(300 + i), i == 1);
		struct pc_fragment *fragment = NULL;
		test_int(pc_muxer_write(muxer, &packet, &fragment), i == 0 ? -EAGAIN : 0);
		if (i == 1) {
			test_int(fragment->number, n + 1); /* no gap in the numbers */
			test_int(fragment->init->epoch, 1); /* and no new epoch */
		}
		pc_fragment_unref(fragment);
	}
	pc_muxer_destroy(muxer);
	encode_close(encode);
	pc_fragment_pool_destroy(pool);
	pool = whole;
}

static void test_no_memory(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	encode_draw(encode, 0);
	struct pc_packet key = encode_frame(encode, 0, BASE_NS, true);
	for (unsigned n = 1;; n++) {
		struct pc_fragment_pool *whole = pool;
		struct pc_muxer *muxer = NULL;
		struct pc_fragment *fragment = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_fragment_pool_create(1 << 20, &pool);
		const struct pc_muxer_config config = { .pool = pool,
			.width = WIDTH,
			.height = HEIGHT,
			.frame_duration = 3000,
			.base_ns = BASE_NS,
			.first_epoch = 1,
			.first_number = 1 };
		bool has_pool = r == 0;
		if (r == 0) {
			r = pc_muxer_create(&config, &muxer);
		}
		if (r == 0) {
			r = pc_muxer_write(muxer, &key, &fragment);
		}
		bool happened = fault_disarm();
		test_int(r, happened ? -ENOMEM : 0);
		if (happened && muxer != NULL) { /* and again, with memory */
			test_int(pc_muxer_write(muxer, &key, &fragment), 0);
			test_int(fragment->init->epoch, pc_muxer_next_epoch(muxer) - 1);
		}
		pc_fragment_unref(fragment);
		pc_muxer_destroy(muxer);
		pc_fragment_pool_destroy(has_pool ? pool : NULL);
		pool = whole;
		if (!happened) {
			test_assert(n >= 5);
			break;
		}
	}
	encode_close(encode);
}

static void test_bad_config(void)
{
	const struct pc_muxer_config good = { .pool = pool,
		.width = WIDTH,
		.height = HEIGHT,
		.frame_duration = 3000,
		.first_epoch = 1,
		.first_number = 1 };
	struct pc_muxer *muxer = NULL;
	struct pc_muxer_config bad = good;
	bad.width = 0;
	test_int(pc_muxer_create(&bad, &muxer), -EINVAL);
	bad = good;
	bad.frame_duration = 0;
	test_int(pc_muxer_create(&bad, &muxer), -EINVAL);
	bad = good;
	bad.first_number = 0;
	test_int(pc_muxer_create(&bad, &muxer), -EINVAL);
	test_assert(muxer == NULL);
	pc_muxer_destroy(NULL);
}

/* Once the largest frame was seen, our own code allocates nothing. */
static void test_steady_state(void)
{
	struct encode *encode = encode_open(WIDTH, HEIGHT, 500);
	struct pc_muxer *muxer = make_muxer(1, 1);
	struct pc_fragment *held[30] = { 0 };
	uint64_t before = 0;
	for (unsigned i = 0; i < 400; i++) {
		encode_draw(encode, i);
		struct pc_packet packet =
			encode_frame(encode, i, BASE_NS + FRAME_NS * (int64_t)i, i % 30 == 0);
		if (i == 200) {
			before = fault_calls(FAULT_ALLOC);
		}
		pc_fragment_unref(held[i % 30]);
		test_int(pc_muxer_write(muxer, &packet, &held[i % 30]), 0);
	}
	test_int(fault_calls(FAULT_ALLOC), before);
	for (unsigned i = 0; i < 30; i++) {
		pc_fragment_unref(held[i]);
	}
	pc_muxer_destroy(muxer);
	encode_close(encode);
}

int main(void)
{
	av_log_set_level(AV_LOG_ERROR);
	test_int(pc_fragment_pool_create(64 << 20, &pool), 0);
	TEST_RUN(test_round_trip);
	TEST_RUN(test_epochs);
	TEST_RUN(test_times_only_grow);
	TEST_RUN(test_holes);
	TEST_RUN(test_hostile_packets);
	TEST_RUN(test_as_movenc);
	TEST_RUN(test_waits_for_key);
	TEST_RUN(test_full_pool);
	TEST_RUN(test_no_memory);
	TEST_RUN(test_bad_config);
	TEST_RUN(test_steady_state);
	pc_fragment_pool_destroy(pool);
	return test_end();
}
