/* tests/unit/hwaccel/test_encoder.c - frames in, access units out. */
#include <errno.h>
#include <stdbool.h>

#include <drm_fourcc.h>
#include <libavcodec/avcodec.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/allocator.h"
#include "hwaccel/encoder.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define W 320
#define H 192
#define UNITS_MAX 128
#define IN_FLIGHT 4 /* what the encoder promises to take */

struct unit {
	struct pc_packet meta;
	uint8_t *data;
};

struct fixture {
	struct pc_loop *loop;
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	struct pc_encoder *encoder;
	unsigned n_units;
	struct unit units[UNITS_MAX];
	bool count_only;
	bool close_inside;
	uint64_t bytes;
	int err;
	unsigned n_failed;
};

static void on_packet(void *data, const struct pc_packet *packet)
{
	struct fixture *f = data;
	f->bytes += packet->size;
	if (!f->count_only) {
		test_assert(f->n_units < UNITS_MAX);
		struct unit *unit = &f->units[f->n_units];
		unit->meta = *packet;
		unit->data = calloc(1, packet->size + AV_INPUT_BUFFER_PADDING_SIZE);
		memcpy(unit->data, packet->data, packet->size);
		unit->meta.data = unit->data;
	}
	f->n_units++;
	if (f->close_inside) {
		pc_encoder_close(f->encoder);
		f->encoder = NULL;
	}
}

static void on_failed(void *data, int err)
{
	struct fixture *f = data;
	f->err = err;
	f->n_failed++;
	if (f->close_inside) {
		pc_encoder_close(f->encoder);
		f->encoder = NULL;
	}
}

static const struct pc_encoder_events events = { .packet = on_packet, .failed = on_failed };

static const struct pc_encoder_config config = {
	.format = { DRM_FORMAT_YUV420, W, H, 0 },
	.caps = PC_FRAME_CPU,
	.fps = 30,
	.bitrate_kbps = 1000,
	.key_interval = 300,
	.choice = "auto",
	.preset = "ultrafast",
	.threads = 1,
};

static void begin(struct fixture *f, const struct pc_encoder_config *c)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	test_int(pc_allocator_create_memfd(&f->allocator), 0);
	test_int(pc_frame_pool_create(f->allocator, &c->format, 8, &f->pool), 0);
	test_int(pc_encoder_open(f->loop, c, &events, f, &f->encoder), 0);
}

static void end(struct fixture *f)
{
	pc_encoder_close(f->encoder);
	for (unsigned i = 0; i < f->n_units && !f->count_only; i++) {
		free(f->units[i].data);
	}
	/* No frame is held any more. */
	struct pc_frame *frames[8];
	for (int i = 0; i < 8; i++) {
		frames[i] = pc_frame_pool_acquire(f->pool);
		test_assert(frames[i] != NULL);
	}
	for (int i = 0; i < 8; i++) {
		pc_frame_unref(frames[i]);
	}
	pc_frame_pool_destroy(f->pool);
	pc_allocator_destroy(f->allocator);
	pc_loop_destroy(f->loop);
}

/* A texture that slides, with some noise: the same for the same n. */
static uint8_t texel(unsigned p, unsigned x, unsigned y, unsigned n)
{
	uint32_t hash = (x + 131 * y + 7919 * n + 31 * p) * 2654435761u;
	return (uint8_t)(40 + ((x + 3 * n) * (y + 5) / 16) % 150 + (hash >> 28));
}

static struct pc_frame *picture(struct fixture *f, unsigned n)
{
	struct pc_frame *frame = pc_frame_pool_acquire(f->pool);
	test_assert(frame != NULL);
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	for (unsigned p = 0; p < frame->n_planes; p++) {
		const bool half = p > 0 && frame->format.fourcc == DRM_FORMAT_YUV420;
		const unsigned width = half ? frame->format.width / 2 : frame->format.width;
		const unsigned height = p > 0 ? frame->format.height / 2 : frame->format.height;
		for (unsigned y = 0; y < height; y++) {
			for (unsigned x = 0; x < width; x++) {
				data[p][(size_t)y * frame->planes[p].stride + x] =
					texel(p, x, y, n);
			}
		}
	}
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	frame->sequence = 1000 + n;
	frame->capture_ns = 5 * PC_NS_PER_S + (int64_t)n * 33333333;
	return frame;
}

static void wait_for(struct fixture *f, unsigned n_units)
{
	while (f->n_units < n_units && f->err == 0) {
		test_assert(pc_loop_turn(f->loop, 10000) >= 0);
	}
}

/* One frame, and its packet before the next one is submitted: nothing is held back. */
static void encode_one(struct fixture *f, unsigned n, unsigned flags)
{
	struct pc_frame *frame = picture(f, n);
	test_int(pc_encoder_submit(f->encoder, frame, flags), 0);
	pc_frame_unref(frame);
	wait_for(f, f->n_units + 1);
}

/* Types of the NAL units of an access unit, as a string of digits. */
static void nal_types(const struct pc_packet *packet, char *out, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i + 3 < packet->size && n + 1 < size; i++) {
		const uint8_t *at = packet->data + i;
		if (at[0] == 0 && at[1] == 0 && at[2] == 1) {
			const unsigned type = at[3] & 0x1f;
			if (type != 6 && type != 9) { /* SEI, AUD */
				out[n++] = (char)('0' + type);
			}
		}
	}
	out[n] = '\0';
}

static void test_a_packet_for_each_frame(void)
{
	struct fixture f;
	begin(&f, &config);
	test_str(pc_encoder_name(f.encoder), "libx264 ultrafast");
	for (unsigned n = 0; n < 30; n++) {
		test_int(pc_encoder_owed_ns(f.encoder), 0);
		const int64_t before_ns = pc_clock_now_ns();
		encode_one(&f, n, n == 11 || n == 12 || n == 20 ? PC_ENCODER_KEY : 0);
		const struct pc_packet *unit = &f.units[n].meta;
		test_int(unit->sequence, 1000 + n);
		test_int(unit->capture_ns, 5 * PC_NS_PER_S + (int64_t)n * 33333333);
		test_assert(unit->submit_ns >= before_ns && unit->encoded_ns > unit->submit_ns);
		test_assert(unit->encoded_ns <= pc_clock_now_ns());
		const bool key = n == 0 || n == 11 || n == 12 || n == 20;
		test_int(unit->key, key);
		char types[16];
		nal_types(unit, types, sizeof(types));
		test_str(types, key ? "785" : "1");
	}
	end(&f);
}

static void test_key_interval(void)
{
	struct pc_encoder_config c = config;
	c.key_interval = 10;
	struct fixture f;
	begin(&f, &c);
	for (unsigned n = 0; n < 25; n++) {
		encode_one(&f, n, 0);
		test_int(f.units[n].meta.key, n % 10 == 0);
	}
	end(&f);
}

/* A hard cut gives no key frame of the encoder's own: keys come by time. */
static void test_no_scene_cuts(void)
{
	struct fixture f;
	begin(&f, &config);
	for (unsigned n = 0; n < 20; n++) {
		encode_one(&f, n < 10 ? n : 100000 + 977 * n, 0);
		test_int(f.units[n].meta.key, n == 0);
	}
	end(&f);
}

/* Decodes all units; each picture must be within `tolerance` of the one encoded. */
static void check_decodes(struct fixture *f, unsigned n_frames, int tolerance)
{
	const AVCodec *type = avcodec_find_decoder(AV_CODEC_ID_H264);
	AVCodecContext *codec = avcodec_alloc_context3(type);
	AVFrame *frame = av_frame_alloc();
	AVPacket *packet = av_packet_alloc();
	codec->flags |= AV_CODEC_FLAG_LOW_DELAY;
	codec->thread_count = 1;
	test_int(avcodec_open2(codec, type, NULL), 0);
	unsigned shown = 0;
	for (unsigned i = 0; i <= f->n_units; i++) {
		if (i < f->n_units) {
			packet->data = f->units[i].data;
			packet->size = (int)f->units[i].meta.size;
			test_int(avcodec_send_packet(codec, packet), 0);
		} else {
			test_int(avcodec_send_packet(codec, NULL), 0);
		}
		while (avcodec_receive_frame(codec, frame) == 0) {
			test_int(frame->format, AV_PIX_FMT_YUV420P);
			test_int(frame->width, W);
			test_int(frame->height, H);
			for (unsigned p = 0; p < 3; p++) {
				const unsigned sub = p > 0 ? 2 : 1;
				for (unsigned y = 0; y < H / sub; y++) {
					for (unsigned x = 0; x < W / sub; x++) {
						const int got =
							frame->data[p][y * (unsigned)frame->linesize
										       [p] +
								       x];
						const int want = texel(p, x, y, shown);
						test_assert(abs(got - want) <= tolerance);
					}
				}
			}
			shown++;
		}
	}
	test_int(shown, n_frames);
	av_packet_free(&packet);
	av_frame_free(&frame);
	avcodec_free_context(&codec);
}

static void test_lossless(void)
{
	struct pc_encoder_config c = config;
	c.bitrate_kbps = 0;
	c.preset = "superfast";
	c.threads = 2;
	struct fixture f;
	begin(&f, &c);
	for (unsigned n = 0; n < 12; n++) {
		encode_one(&f, n, n == 6 ? PC_ENCODER_KEY : 0);
	}
	check_decodes(&f, 12, 0);
	test_int(pc_encoder_set_bitrate(f.encoder, 500), -ENOTSUP);
	end(&f);
}

static void test_slices_are_two_threads(void)
{
	struct pc_encoder_config c = config;
	c.threads = 2;
	c.bitrate_kbps = 20000;
	struct fixture f;
	begin(&f, &c);
	for (unsigned n = 0; n < 5; n++) {
		encode_one(&f, n, 0);
		char types[16];
		nal_types(&f.units[n].meta, types, sizeof(types));
		test_str(types, n == 0 ? "7855" : "11");
	}
	check_decodes(&f, 5, 60);
	end(&f);
}

static void test_bitrate(void)
{
	struct fixture f;
	struct pc_encoder_config c = config;
	c.bitrate_kbps = 3000;
	begin(&f, &c);
	f.count_only = true;
	uint64_t bytes[3];
	static const unsigned kbps[3] = { 3000, 600, 2000 };
	for (unsigned round = 0; round < 3; round++) {
		if (round > 0) {
			test_int(pc_encoder_set_bitrate(f.encoder, kbps[round]), 0);
		}
		for (unsigned n = 0; n < 60; n++) {
			if (n == 30) { /* the second before is for settling */
				f.bytes = 0;
			}
			encode_one(&f, round * 60 + n, 0);
		}
		bytes[round] = f.bytes;
	}
	for (unsigned round = 0; round < 3; round++) {
		const uint64_t want = kbps[round] * 1000 / 8;
		test_assert(bytes[round] > want / 2 && bytes[round] < want * 3 / 2);
	}
	test_int(pc_encoder_set_bitrate(f.encoder, 0), -ENOTSUP);
	test_int(pc_encoder_set_bitrate(f.encoder, 1000000), -ENOTSUP);
	end(&f);
}

static void test_bounded_and_in_order(void)
{
	struct fixture f;
	begin(&f, &config);
	unsigned taken = 0;
	unsigned refused = 0;
	for (unsigned n = 0; n < 8; n++) { /* nothing is handed over meanwhile */
		struct pc_frame *frame = picture(&f, n);
		const int r = pc_encoder_submit(f.encoder, frame, 0);
		pc_frame_unref(frame);
		test_int(r, n < IN_FLIGHT ? 0 : -EAGAIN);
		taken += r == 0;
		refused += r == -EAGAIN;
	}
	test_int(taken, IN_FLIGHT);
	test_int(refused, 4);
	test_assert(pc_encoder_owed_ns(f.encoder) > 0);
	wait_for(&f, IN_FLIGHT);
	test_int(pc_encoder_owed_ns(f.encoder), 0);
	for (unsigned n = 0; n < IN_FLIGHT; n++) {
		test_int(f.units[n].meta.sequence, 1000 + n);
	}
	encode_one(&f, 8, 0);
	end(&f);
}

/* Once its packet is there, a frame is the pool's again: the codec keeps none. */
static void test_frames_come_back_at_once(void)
{
	struct fixture f;
	begin(&f, &config);
	struct pc_frame *others[7];
	for (int i = 0; i < 7; i++) {
		others[i] = pc_frame_pool_acquire(f.pool);
		test_assert(others[i] != NULL);
	}
	for (unsigned n = 0; n < 10; n++) {
		encode_one(&f, n, 0); /* in the only buffer that is left */
	}
	for (int i = 0; i < 7; i++) {
		pc_frame_unref(others[i]);
	}
	end(&f);
}

static void test_nothing_allocated_per_frame(void)
{
	struct fixture f;
	begin(&f, &config);
	f.count_only = true;
	encode_one(&f, 0, 0);
	const uint64_t calls = fault_calls(FAULT_ALLOC);
	for (unsigned n = 1; n < 20; n++) {
		encode_one(&f, n, n % 5 == 0 ? PC_ENCODER_KEY : 0);
	}
	test_int(fault_calls(FAULT_ALLOC), calls);
	end(&f);
}

static void test_nv12(void)
{
	struct pc_encoder_config c = config;
	c.format.fourcc = DRM_FORMAT_NV12;
	struct fixture f;
	begin(&f, &c);
	for (unsigned n = 0; n < 3; n++) {
		encode_one(&f, n, 0);
	}
	test_int(f.n_units, 3);
	end(&f);
}

static void test_close_with_frames_in_flight(void)
{
	for (unsigned i = 0; i < 20; i++) {
		struct fixture f;
		begin(&f, &config);
		struct pc_frame *frame = picture(&f, i);
		for (unsigned k = 0; k < 1 + i % 4; k++) {
			test_int(pc_encoder_submit(f.encoder, frame, 0), 0);
		}
		pc_frame_unref(frame);
		if (i % 3 == 0) {
			wait_for(&f, 1);
		}
		pc_encoder_close(f.encoder);
		f.encoder = NULL;
		const unsigned n = f.n_units;
		test_assert(pc_loop_turn(f.loop, 0) >= 0);
		test_int(f.n_units, n);
		end(&f);
	}
	struct fixture f;
	begin(&f, &config);
	f.close_inside = true;
	struct pc_frame *frame = picture(&f, 1);
	for (unsigned k = 0; k < 3; k++) {
		test_int(pc_encoder_submit(f.encoder, frame, 0), 0);
	}
	pc_frame_unref(frame);
	wait_for(&f, 1);
	test_int(f.n_units, 1);
	test_assert(f.encoder == NULL);
	end(&f);
	pc_encoder_close(NULL);
}

/* A frame whose memory cannot be read is what makes a codec fail here. */
static int refuse_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	return -EIO;
}

static void end_nothing(struct pc_frame *frame, unsigned access)
{
}

static void forget(struct pc_frame *frame)
{
}

static void test_failure(void)
{
	static const struct pc_frame_impl bad_impl = {
		.release = forget,
		.begin_cpu = refuse_cpu,
		.end_cpu = end_nothing,
	};
	for (int inside = 0; inside < 2; inside++) {
		struct fixture f;
		begin(&f, &config);
		f.close_inside = inside == 1;
		struct pc_frame bad = {
			.format = config.format, .caps = PC_FRAME_CPU, .n_planes = 3
		};
		pc_frame_init(&bad, &bad_impl);
		pc_frame_publish(&bad);
		struct pc_frame *good = picture(&f, 0);
		test_int(pc_encoder_submit(f.encoder, &bad, 0), 0);
		test_int(pc_encoder_submit(f.encoder, good, 0), 0);
		pc_frame_unref(&bad);
		while (f.n_failed == 0) {
			test_assert(pc_loop_turn(f.loop, 10000) >= 0);
		}
		test_int(f.err, -EIO);
		test_int(f.n_units, 0);
		if (inside == 0) {
			test_int(pc_encoder_submit(f.encoder, good, 0), -EPIPE);
			test_assert(pc_loop_turn(f.loop, 0) >= 0);
			test_int(f.n_failed, 1);
			pc_encoder_close(f.encoder);
			f.encoder = NULL;
		}
		pc_frame_finish(&bad);
		pc_frame_unref(good);
		end(&f);
	}
}

static char said[512];
static unsigned n_said;

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
	n_said++;
}

static void refused(const struct pc_encoder_config *c, int err, const char *word)
{
	struct pc_loop *loop;
	struct pc_encoder *encoder = NULL;
	test_int(pc_loop_create(&loop), 0);
	n_said = 0;
	said[0] = '\0';
	test_int(pc_encoder_open(loop, c, &events, NULL, &encoder), err);
	test_assert(encoder == NULL);
	test_int(n_said, 1);
	if (strstr(said, word) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", said, word);
	}
	pc_loop_destroy(loop);
}

static void test_refusals(void)
{
	pc_log_set_hook(hear, NULL);
	struct pc_encoder_config c = config;
	c.caps = PC_FRAME_DMABUF;
	refused(&c, -EINVAL, "CPU can read");
	c = config;
	c.format.fourcc = DRM_FORMAT_YUYV;
	refused(&c, -EINVAL, "takes I420");
	c = config;
	c.format.width = 321;
	refused(&c, -EINVAL, "even");
	c = config;
	c.format.height = 8;
	refused(&c, -EINVAL, "16");
	c = config;
	c.fps = 0;
	refused(&c, -EINVAL, "0 frames a second");
	c = config;
	c.key_interval = 0;
	refused(&c, -EINVAL, "key interval");
	c = config;
	c.choice = "magic";
	refused(&c, -EINVAL, "magic: there is no such encoder here; there are");
	c = config;
	c.preset = "hasty";
	refused(&c, -EINVAL, "no preset hasty");
	pc_log_set_hook(NULL, NULL);
}

static void test_one_line_says_what_was_chosen(void)
{
	struct fixture f;
	pc_log_set_hook(hear, NULL);
	n_said = 0;
	begin(&f, &config);
	pc_log_set_hook(NULL, NULL);
	test_int(n_said, 1);
	test_assert(
		strstr(said, "libx264 ultrafast for YU12 320x192 at 30 fps, 1000 kbit/s") != NULL);
	test_assert(strstr(said, "h264_v4l2m2m: ") != NULL);
	end(&f);
}

static void test_every_allocation(void)
{
	struct pc_loop *loop;
	test_int(pc_loop_create(&loop), 0);
	struct pc_encoder_config c = config;
	c.choice = "libavcodec"; /* "auto" would go on to another */
	for (unsigned n = 1;; n++) {
		struct pc_encoder *encoder = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_encoder_open(loop, &c, &events, NULL, &encoder);
		const bool hit = fault_disarm();
		test_int(r, hit ? -ENOMEM : 0);
		pc_encoder_close(encoder);
		if (!hit) {
			test_assert(n > 4);
			break;
		}
	}
	pc_loop_destroy(loop);
}

int main(void)
{
	pc_log_set_level(PC_LOG_ERROR);
	TEST_RUN(test_a_packet_for_each_frame);
	TEST_RUN(test_key_interval);
	TEST_RUN(test_no_scene_cuts);
	TEST_RUN(test_lossless);
	TEST_RUN(test_slices_are_two_threads);
	TEST_RUN(test_bitrate);
	TEST_RUN(test_bounded_and_in_order);
	TEST_RUN(test_frames_come_back_at_once);
	TEST_RUN(test_nothing_allocated_per_frame);
	TEST_RUN(test_nv12);
	TEST_RUN(test_close_with_frames_in_flight);
	TEST_RUN(test_failure);
	TEST_RUN(test_refusals);
	pc_log_set_level(PC_LOG_INFO);
	TEST_RUN(test_one_line_says_what_was_chosen);
	TEST_RUN(test_every_allocation);
	return test_end();
}
