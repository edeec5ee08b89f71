/* tests/unit/core/test_still.c - a JPEG from a key fragment, decoded again. */
#include "core/still.h"

#include <errno.h>
#include <libavcodec/avcodec.h>

#include "core/muxer.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/core/encode.h"

#define WIDTH 640
#define HEIGHT 352

static struct pc_fragment_pool *pool;

/* The n-th frame of a stream of flat colour (or of the moving picture, colour NULL). */
static struct pc_fragment *make_fragment_with(
	struct encode *encode, const uint8_t *colour, unsigned n)
{
	const struct pc_muxer_config config = { .pool = pool,
		.width = WIDTH,
		.height = HEIGHT,
		.frame_duration = 3000,
		.first_epoch = 1,
		.first_number = 1 };
	struct pc_muxer *muxer;
	struct pc_fragment *fragment = NULL;
	test_int(pc_muxer_create(&config, &muxer), 0);
	for (unsigned i = 0; i <= n; i++) {
		pc_fragment_unref(fragment);
		encode_draw(encode, i);
		for (unsigned plane = 0; colour != NULL && plane < 3; plane++) {
			unsigned stride;
			uint8_t *data = encode_plane(encode, plane, &stride);
			memset(data, colour[plane], (size_t)stride * (HEIGHT >> (plane > 0)));
		}
		struct pc_packet packet = encode_frame(encode, i, i * 1000000, i == 0);
		test_int(pc_muxer_write(muxer, &packet, &fragment), 0);
	}
	pc_muxer_destroy(muxer);
	encode_close(encode);
	return fragment;
}

static struct pc_fragment *make_fragment(const uint8_t *colour, unsigned n)
{
	return make_fragment_with(encode_open(WIDTH, HEIGHT, 0), colour, n);
}

static AVFrame *decode_jpeg(const uint8_t *data, size_t size)
{
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_MJPEG);
	AVCodecContext *context = avcodec_alloc_context3(codec);
	test_int(avcodec_open2(context, codec, NULL), 0);
	AVPacket *packet = av_packet_alloc();
	test_int(av_new_packet(packet, (int)size), 0);
	memcpy(packet->data, data, size);
	AVFrame *frame = av_frame_alloc();
	test_int(avcodec_send_packet(context, packet), 0);
	test_int(avcodec_receive_frame(context, frame), 0);
	av_packet_free(&packet);
	avcodec_free_context(&context);
	return frame;
}

static void near(int actual, int expected)
{
	if (abs(actual - expected) > 2) {
		test_fail("%d is not near %d", actual, expected);
	}
}

/* Limited range becomes full range; the shape is kept. */
static void test_colours_and_sizes(void)
{
	static const struct {
		uint8_t in[3], out[3];
	} colours[] = {
		{ { 16, 128, 128 }, { 0, 128, 128 } },
		{ { 235, 128, 128 }, { 255, 128, 128 } },
		{ { 126, 64, 192 }, { 128, 55, 201 } },
	};
	for (unsigned i = 0; i < 3; i++) {
		struct pc_fragment *fragment = make_fragment(colours[i].in, 0);
		static const struct {
			unsigned max;
			int width, height;
		} sizes[] = { { 0, 640, 352 }, { 320, 320, 176 }, { 161, 160, 88 },
			{ 5000, 640, 352 }, { 1, 16, 8 } };
		for (unsigned j = 0; j < 5; j++) {
			uint8_t *data;
			size_t size;
			test_int(pc_still_jpeg(fragment, sizes[j].max, &data, &size), 0);
			test_assert(size > 4 && data[0] == 0xff && data[1] == 0xd8);
			test_assert(data[size - 2] == 0xff && data[size - 1] == 0xd9);
			AVFrame *frame = decode_jpeg(data, size);
			test_int(frame->width, sizes[j].width);
			test_int(frame->height, sizes[j].height);
			test_int(frame->color_range, AVCOL_RANGE_JPEG);
			for (unsigned plane = 0; plane < 3 && frame->width >= 64; plane++) {
				near(frame->data[plane][0], colours[i].out[plane]);
			}
			av_frame_free(&frame);
			free(data);
		}
		pc_fragment_unref(fragment);
	}
}

/* BT.709's matrix becomes BT.601's, which every JPEG has: the same RGB. */
static void test_matrix(void)
{
	const uint8_t in[3] = { 126, 90, 166 }, out[3] = { 132, 80, 174 };
	struct pc_fragment *fragment =
		make_fragment_with(encode_open_with(WIDTH, HEIGHT, 0, "colormatrix=bt709"), in, 0);
	for (unsigned max_width = 0; max_width <= 320; max_width += 320) {
		uint8_t *data;
		size_t size;
		test_int(pc_still_jpeg(fragment, max_width, &data, &size), 0);
		AVFrame *frame = decode_jpeg(data, size);
		for (unsigned plane = 0; plane < 3; plane++) {
			near(frame->data[plane][0], out[plane]);
		}
		av_frame_free(&frame);
		free(data);
	}
	pc_fragment_unref(fragment);
}

static void test_picture(void)
{
	struct pc_fragment *fragment = make_fragment(NULL, 0);
	uint8_t *data;
	size_t size;
	test_int(pc_still_jpeg(fragment, 0, &data, &size), 0);
	AVFrame *frame = decode_jpeg(data, size);
	/* encode_draw()'s ramp in a row without a wrap, brought to full range. */
	for (unsigned x = 0; x < WIDTH; x += 37) {
		unsigned drawn = 16 + x * 200 / WIDTH;
		test_assert(abs((int)frame->data[0][x] - (int)((drawn - 16) * 255 / 219)) < 12);
	}
	av_frame_free(&frame);
	free(data);
	pc_fragment_unref(fragment);
}

static void test_refusals(void)
{
	uint8_t *data = NULL;
	size_t size = 7;
	struct pc_fragment *delta = make_fragment(NULL, 1);
	test_int(pc_still_jpeg(delta, 0, &data, &size), -EINVAL);
	pc_fragment_unref(delta);

	struct pc_fragment *key = make_fragment(NULL, 0);
	uint8_t *copy = malloc(key->size);
	struct pc_fragment broken = *key;
	broken.data = copy;
	/* Cut, and scribbled over: an error or a picture, never a crash or a leak. */
	for (unsigned i = 0; i < 24; i++) {
		memcpy(copy, key->data, key->size);
		broken.size = key->size;
		if (i < 8) {
			broken.size =
				key->mdat_offset + 8 + (key->size - key->mdat_offset - 8) * i / 8;
		} else {
			size_t at = key->mdat_offset + 8 +
				    (key->size - key->mdat_offset - 100) * i / 25;
			memset(copy + at, 0xa5, 64);
		}
		uint8_t *jpeg = NULL;
		size_t n;
		int r = pc_still_jpeg(&broken, 160, &jpeg, &n);
		test_assert(r == 0 || r == -EIO);
		test_assert((r == 0) == (jpeg != NULL));
		if (i == 0) {
			test_int(r, -EIO);
		}
		free(jpeg);
	}
	/* An init segment without its record. */
	struct pc_init *empty = pc_init_new((const uint8_t *)"0000moov", 8);
	broken = *key;
	broken.init = empty;
	test_int(pc_still_jpeg(&broken, 0, &data, &size), -EIO);
	pc_init_unref(empty);
	test_assert(data == NULL && size == 7);

	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_still_jpeg(key, 0, &data, &size), -ENOMEM);
	test_assert(fault_disarm());
	test_assert(data == NULL);
	free(copy);
	pc_fragment_unref(key);
}

int main(void)
{
	av_log_set_level(AV_LOG_QUIET);
	test_int(pc_fragment_pool_create(64 << 20, &pool), 0);
	TEST_RUN(test_colours_and_sizes);
	TEST_RUN(test_matrix);
	TEST_RUN(test_picture);
	TEST_RUN(test_refusals);
	pc_fragment_pool_destroy(pool);
	return test_end();
}
