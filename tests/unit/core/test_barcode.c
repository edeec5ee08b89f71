/* tests/unit/core/test_barcode.c - the barcode, plain, damaged and through H.264. */
#include "core/barcode.h"

#include <errno.h>
#include <libavcodec/avcodec.h>

#include "tests/support/test.h"
#include "tests/unit/core/encode.h"

#define WIDTH 640
#define HEIGHT 360

static uint8_t luma[WIDTH * HEIGHT];

static uint32_t random_state = 12345;

static uint32_t next_random(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

static void test_cells(void)
{
	test_int(pc_barcode_cell(1920), 30);
	test_int(pc_barcode_cell(1280), 20);
	test_int(pc_barcode_cell(640), 10);
	test_int(pc_barcode_cell(720), 10); /* 11 made even */
	test_int(pc_barcode_cell(256), 4);
	test_int(pc_barcode_cell(160), 4);
}

/* The layout bit by bit, so that the browser's twin can be held to the same. */
static void test_layout(void)
{
	struct pc_barcode code = { .frame = 0x123456, .utc_ms = INT64_C(0x0198765432) };
	pc_barcode_draw(luma, WIDTH, WIDTH, &code);
	const char *expected = "1010"
			       "000100100011010001010110"
			       "000000011001"
			       "1000011101100101010000110010";
	for (unsigned i = 0; i < 68; i++) {
		unsigned x = i % 40 * 10, y = i / 40 * 10;
		test_int(luma[y * WIDTH + x], expected[i] == '1' ? 235 : 16);
		test_int(luma[(y + 9) * WIDTH + x + 9], expected[i] == '1' ? 235 : 16);
	}
	/* CRC-12, bit by bit by long division: remainder of (data ^ start << 56) x^12. */
	uint8_t bits[80] = { 0 };
	for (unsigned i = 0; i < 68; i++) {
		bits[i] = (uint8_t)((expected[i] - '0') ^ (i < 12));
	}
	const char *polynomial = "1100000001111";
	for (unsigned i = 0; i < 68; i++) {
		bool subtract = bits[i] != 0;
		for (unsigned j = 0; subtract && j < 13; j++) {
			bits[i + j] ^= (uint8_t)(polynomial[j] - '0');
		}
	}
	for (unsigned i = 0; i < 12; i++) {
		unsigned at = 68 + i;
		test_int(luma[10 * WIDTH + (at - 40) * 10], bits[68 + i] ? 235 : 16);
	}
}

static void test_round_trip(void)
{
	const unsigned widths[] = { 160, 256, 320, 640 };
	for (unsigned w = 0; w < 4; w++) {
		for (unsigned i = 0; i < 500; i++) {
			struct pc_barcode in = { .frame = next_random() & 0xffffff,
				.utc_ms = (int64_t)next_random() << 16 | (next_random() & 0xffff) };
			struct pc_barcode out = { 0 };
			memset(luma, (int)(i % 256), sizeof(luma));
			pc_barcode_draw(luma, WIDTH, widths[w], &in);
			test_int(pc_barcode_read(luma, WIDTH, widths[w], HEIGHT, &out), 0);
			test_int(out.frame, in.frame);
			test_int(out.utc_ms, in.utc_ms);
		}
	}
	/* What does not fit is cut to its low bits. */
	struct pc_barcode out, in = { .frame = 0xff000001, .utc_ms = INT64_C(1) << 41 | 7 };
	pc_barcode_draw(luma, WIDTH, WIDTH, &in);
	test_int(pc_barcode_read(luma, WIDTH, WIDTH, HEIGHT, &out), 0);
	test_int(out.frame, 1);
	test_int(out.utc_ms, 7);
}

static void test_no_barcode(void)
{
	struct pc_barcode out = { .frame = 77 };
	memset(luma, 16, sizeof(luma));
	test_int(pc_barcode_read(luma, WIDTH, WIDTH, HEIGHT, &out), -EBADMSG);
	memset(luma, 235, sizeof(luma));
	test_int(pc_barcode_read(luma, WIDTH, WIDTH, HEIGHT, &out), -EBADMSG);
	for (unsigned i = 0; i < 200; i++) { /* noise passes 16 check bits once in 65536 */
		for (size_t j = 0; j < sizeof(luma); j++) {
			luma[j] = (uint8_t)next_random();
		}
		test_int(pc_barcode_read(luma, WIDTH, WIDTH, HEIGHT, &out), -EBADMSG);
	}
	test_int(out.frame, 77);
	test_int(pc_barcode_read(luma, WIDTH, 100, HEIGHT, &out), -EBADMSG);
	test_int(pc_barcode_read(luma, WIDTH, WIDTH, 19, &out), -EBADMSG);
	/* Every single wrong cell is seen. */
	struct pc_barcode in = { .frame = 4711, .utc_ms = 1795000000000 };
	for (unsigned i = 0; i < 80; i++) {
		pc_barcode_draw(luma, WIDTH, WIDTH, &in);
		for (unsigned y = 0; y < 10; y++) {
			for (unsigned x = 0; x < 10; x++) {
				uint8_t *p = &luma[(i / 40 * 10 + y) * WIDTH + i % 40 * 10 + x];
				*p = (uint8_t)(251 - *p);
			}
		}
		test_int(pc_barcode_read(luma, WIDTH, WIDTH, HEIGHT, &out), -EBADMSG);
	}
}

/* A dark or washed-out picture (full-range display, a camera of the screen). */
static void test_other_ranges(void)
{
	struct pc_barcode out, in = { .frame = 99, .utc_ms = 1795000000123 };
	for (unsigned gain = 2; gain <= 8; gain++) {
		pc_barcode_draw(luma, WIDTH, WIDTH, &in);
		for (size_t j = 0; j < sizeof(luma); j++) {
			unsigned noise = next_random() % 9;
			luma[j] = (uint8_t)(20 + luma[j] * gain / 10 + noise);
		}
		test_int(pc_barcode_read(luma, WIDTH, WIDTH, HEIGHT, &out), 0);
		test_int(out.frame, 99);
	}
}

/* Decodes one access unit into `frame`. */
static void decode(
	AVCodecContext *context, AVPacket *packet, const struct pc_packet *encoded, AVFrame *frame)
{
	test_int(av_new_packet(packet, (int)encoded->size), 0);
	memcpy(packet->data, encoded->data, encoded->size);
	test_int(avcodec_send_packet(context, packet), 0);
	av_packet_unref(packet);
	test_int(avcodec_receive_frame(context, frame), 0);
}

/* Reads the strip of 100 frames over a moving picture with noise of `noise` levels; how
 * many were read. What is read is right: this frame's, or an older one's where the encoder
 * spent nothing on this one and the picture stands still. */
static unsigned through_h264(unsigned width, unsigned height, unsigned kbps, unsigned noise)
{
	struct encode *encode = encode_open(width, height, kbps);
	AVCodecContext *context = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
	context->flags |= AV_CODEC_FLAG_LOW_DELAY;
	context->thread_count = 1;
	test_int(avcodec_open2(context, NULL, NULL), 0);
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	size_t bytes = 0;
	unsigned n_read = 0, n_old = 0, cell = pc_barcode_cell(width);
	for (unsigned i = 0; i < 100; i++) {
		encode_draw(encode, i);
		unsigned stride;
		uint8_t *data = encode_plane(encode, 0, &stride);
		for (unsigned y = cell * 2; y < height; y++) {
			for (unsigned x = 0; x < width; x += 2) {
				unsigned value = data[y * stride + x] + next_random() % noise;
				data[y * stride + x] = (uint8_t)(value < 255 ? value : 255);
			}
		}
		struct pc_barcode out, in = { .frame = 1000 + i, .utc_ms = 900000000000 + i * 33 };
		pc_barcode_draw(data, stride, width, &in);
		struct pc_packet encoded = encode_frame(encode, i, i, i % 30 == 0);
		bytes += encoded.size;
		decode(context, packet, &encoded, frame);
		if (pc_barcode_read(frame->data[0], (unsigned)frame->linesize[0], width, height,
			    &out) == 0) {
			test_assert(out.frame >= 1000 && out.frame <= in.frame);
			test_int(out.utc_ms, 900000000000 + (out.frame - 1000) * 33);
			n_old += out.frame < in.frame;
			n_read++;
		}
	}
	printf("%ux%u, noise %u: %u of 100 frames read, %u old, at %zu kbit/s (asked %u)\n", width,
		height, noise, n_read, n_old, bytes * 8 * 30 / 100 / 1000, kbps);
	av_packet_free(&packet);
	av_frame_free(&frame);
	avcodec_free_context(&context);
	encode_close(encode);
	return n_read - n_old;
}

static void test_h264(void)
{
	test_int(through_h264(1280, 720, 1500, 8), 100);
	test_int(through_h264(640, 360, 400, 8), 100);
}

/* Noise that no such bitrate can carry: frames are lost, wrong numbers are not read. */
static void test_h264_starved(void)
{
	test_assert(through_h264(1280, 720, 600, 200) > 50);
	test_assert(through_h264(640, 360, 150, 200) > 50);
}

int main(void)
{
	av_log_set_level(AV_LOG_ERROR);
	TEST_RUN(test_cells);
	TEST_RUN(test_layout);
	TEST_RUN(test_round_trip);
	TEST_RUN(test_no_barcode);
	TEST_RUN(test_other_ranges);
	TEST_RUN(test_h264);
	TEST_RUN(test_h264_starved);
	return test_end();
}
