/* tests/unit/hwaccel/test_converter.c - camera pictures decoded and converted on the CPU. */
#include "hwaccel/converter.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <drm_fourcc.h>
#include <libavcodec/avcodec.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define WIDTH 64u
#define HEIGHT 48u
#define KEEP 8

/* A camera's frame in plain memory. */
struct picture {
	struct pc_frame frame;
	size_t size;
	uint8_t data[WIDTH * HEIGHT * 4];
	atomic_uint released; /* by the worker: only then may it be painted again */
};

static void release(struct pc_frame *frame)
{
	atomic_fetch_add(&((struct picture *)frame)->released, 1);
}

static int begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	struct picture *picture = (struct picture *)frame;
	for (unsigned i = 0; i < frame->n_planes; i++) {
		data[i] = picture->data + frame->planes[i].offset;
	}
	return 0;
}

static void end_cpu(struct pc_frame *frame, unsigned access)
{
}

static const struct pc_frame_impl picture_impl = {
	.release = release,
	.begin_cpu = begin_cpu,
	.end_cpu = end_cpu,
};

static void init_picture(struct picture *picture, uint32_t fourcc)
{
	memset(picture, 0, sizeof(*picture));
	pc_frame_init(&picture->frame, &picture_impl);
	picture->frame.format =
		(struct pc_frame_format){ .fourcc = fourcc, .width = WIDTH, .height = HEIGHT };
	picture->frame.caps = PC_FRAME_CPU;
	picture->frame.n_planes = 1;
	picture->frame.planes[0] = (struct pc_frame_plane){ .fd = -1, .stride = 2 * WIDTH };
}

/* Y = 80 on the left, 160 on the right, U = 100, V = 150. */
static void paint_yuyv(struct picture *picture, bool swapped)
{
	for (unsigned y = 0; y < HEIGHT; y++) {
		for (unsigned x = 0; x < WIDTH; x++) {
			uint8_t *at = picture->data + y * 2 * WIDTH + 2 * x;
			at[swapped ? 1 : 0] = x < WIDTH / 2 ? 80 : 160;
			at[swapped ? 0 : 1] = x % 2 == 0 ? 100 : 150;
		}
	}
}

static void paint_jpeg(
	struct picture *picture, enum AVPixelFormat format, unsigned width, unsigned height)
{
	const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
	AVCodecContext *encoder = avcodec_alloc_context3(codec);
	AVFrame *frame = av_frame_alloc();
	AVPacket *packet = av_packet_alloc();
	test_assert(encoder != NULL && frame != NULL && packet != NULL);
	encoder->width = frame->width = (int)width;
	encoder->height = frame->height = (int)height;
	encoder->pix_fmt = format;
	frame->format = format;
	encoder->time_base = (AVRational){ 1, 30 };
	encoder->flags |= AV_CODEC_FLAG_QSCALE;
	encoder->global_quality = FF_QP2LAMBDA * 2;
	test_int(avcodec_open2(encoder, codec, NULL), 0);
	test_int(av_frame_get_buffer(frame, 0), 0);
	memset(frame->data[0], 200, height * (size_t)frame->linesize[0]);
	for (unsigned i = 1; i < 3; i++) {
		const unsigned lines = format == AV_PIX_FMT_YUVJ420P ? height / 2 : height;
		memset(frame->data[i], i == 1 ? 100 : 150, lines * (size_t)frame->linesize[i]);
	}
	test_int(avcodec_send_frame(encoder, frame), 0);
	test_int(avcodec_receive_packet(encoder, packet), 0);
	test_assert((size_t)packet->size < sizeof(picture->data));
	memcpy(picture->data, packet->data, (size_t)packet->size);
	picture->frame.bytes_used = (uint32_t)packet->size;
	av_packet_free(&packet);
	av_frame_free(&frame);
	avcodec_free_context(&encoder);
}

struct fixture {
	struct pc_loop *loop;
	struct pc_allocator *allocator;
	struct pc_camera_stats stats;
	struct pc_converter *converter;
	char why[256];
	unsigned n_frames;
	struct pc_frame *kept[KEEP];
	bool close_in_frame;
	unsigned n_failed;
	int err;
	char what[160];
};

static void close_converter(struct fixture *f)
{
	pc_converter_close(f->converter);
	f->converter = NULL;
}

static void on_frame(void *data, struct pc_frame *frame)
{
	struct fixture *f = data;
	test_assert(f->n_frames < KEEP);
	f->kept[f->n_frames++] = pc_frame_ref(frame);
	if (f->close_in_frame) {
		close_converter(f);
	}
}

static void on_failed(void *data, int err, const char *what)
{
	struct fixture *f = data;
	f->n_failed++;
	f->err = err;
	snprintf(f->what, sizeof(f->what), "%s", what);
	close_converter(f);
}

static const struct pc_converter_events events = { .frame = on_frame, .failed = on_failed };

static int begin(struct fixture *f, uint32_t in, uint32_t out, unsigned buffers)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	test_int(pc_allocator_create_memfd(&f->allocator), 0);
	const struct pc_converter_config config = {
		.in = { .fourcc = in, .width = WIDTH, .height = HEIGHT },
		.out_fourcc = out,
		.allocator = f->allocator,
		.buffers = buffers,
		.stats = &f->stats,
	};
	return pc_converter_open(
		f->loop, &config, &events, f, f->why, sizeof(f->why), &f->converter);
}

static void end(struct fixture *f)
{
	close_converter(f);
	for (unsigned i = 0; i < f->n_frames; i++) {
		pc_frame_unref(f->kept[i]);
	}
	pc_allocator_destroy(f->allocator);
	pc_loop_destroy(f->loop);
}

static void submit(struct fixture *f, struct picture *picture, uint64_t sequence)
{
	picture->frame.sequence = sequence;
	picture->frame.capture_ns = 1000 + (int64_t)sequence;
	pc_frame_publish(&picture->frame);
	test_int(pc_converter_submit(f->converter, &picture->frame), 0);
	pc_frame_unref(&picture->frame);
}

/* Until `count` counts to `n`; the loop turns meanwhile. */
static void turn_until(struct fixture *f, const pc_counter *count, uint64_t n)
{
	const int64_t until_ns = pc_clock_now_ns() + 30 * PC_NS_PER_S;
	while (pc_counter_get(count) < n) {
		test_assert(pc_clock_now_ns() < until_ns);
		test_assert(pc_loop_turn(f->loop, 10) >= 0);
	}
	test_assert(pc_loop_turn(f->loop, 0) >= 0);
}

static void wait_for_release(struct fixture *f, struct picture *picture, unsigned n)
{
	const int64_t until_ns = pc_clock_now_ns() + 30 * PC_NS_PER_S;
	while (atomic_load(&picture->released) < n) {
		test_assert(pc_clock_now_ns() < until_ns);
		test_assert(pc_loop_turn(f->loop, 5) >= 0);
	}
}

static void turn_until_frames(struct fixture *f, unsigned n)
{
	const int64_t until_ns = pc_clock_now_ns() + 30 * PC_NS_PER_S;
	while (f->n_frames < n) {
		test_assert(pc_clock_now_ns() < until_ns);
		test_assert(pc_loop_turn(f->loop, 100) >= 0);
	}
	test_int(f->n_frames, n);
	test_int(pc_counter_get(&f->stats.frames_converted), n);
}

static void near(unsigned value, unsigned wanted)
{
	if (value > wanted + 3 || value + 3 < wanted) {
		test_fail("%u is not about %u", value, wanted);
	}
}

/* Samples of the left and the right half, luma and both chromas. */
static void check_picture(struct pc_frame *frame, uint32_t fourcc, unsigned left, unsigned right,
	unsigned u, unsigned v)
{
	uint8_t *data[4];
	test_int(frame->format.fourcc, fourcc);
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, data), 0);
	const uint8_t *luma = data[0] + 20 * frame->planes[0].stride;
	near(luma[4], left);
	near(luma[WIDTH - 4], right);
	if (fourcc == DRM_FORMAT_NV12) {
		const uint8_t *chroma = data[1] + 10 * frame->planes[1].stride;
		near(chroma[8], u);
		near(chroma[9], v);
	} else {
		near(data[1][10 * frame->planes[1].stride + 4], u);
		near(data[2][10 * frame->planes[2].stride + 4], v);
	}
	pc_frame_end_cpu(frame, PC_FRAME_READ);
}

static void test_packed(void)
{
	static const uint32_t ins[] = { DRM_FORMAT_YUYV, DRM_FORMAT_UYVY };
	static const uint32_t outs[] = { DRM_FORMAT_NV12, DRM_FORMAT_YUV420 };
	for (unsigned i = 0; i < 4; i++) {
		struct fixture f;
		struct picture picture;
		test_int(begin(&f, ins[i / 2], outs[i % 2], 4), 0);
		init_picture(&picture, ins[i / 2]);
		paint_yuyv(&picture, i / 2 == 1);
		submit(&f, &picture, 7);
		turn_until_frames(&f, 1);
		test_int(f.n_frames, 1);
		test_int(f.kept[0]->sequence, 7);
		test_int(f.kept[0]->capture_ns, 1007);
		check_picture(f.kept[0], outs[i % 2], 80, 160, 100, 150);
		test_int(atomic_load(&picture.released), 1);
		end(&f);
		pc_frame_finish(&picture.frame);
	}
}

/* A picture that no device can import is copied as it is. */
static void test_copy(void)
{
	struct fixture f;
	struct picture picture;
	test_int(begin(&f, DRM_FORMAT_NV12, DRM_FORMAT_NV12, 4), 0);
	init_picture(&picture, DRM_FORMAT_NV12);
	picture.frame.n_planes = 2;
	picture.frame.planes[0].stride = WIDTH;
	picture.frame.planes[1] =
		(struct pc_frame_plane){ .fd = -1, .offset = WIDTH * HEIGHT, .stride = WIDTH };
	memset(picture.data, 90, WIDTH * HEIGHT);
	for (unsigned i = 0; i < WIDTH * HEIGHT / 2; i += 2) {
		picture.data[WIDTH * HEIGHT + i] = 60;
		picture.data[WIDTH * HEIGHT + i + 1] = 70;
	}
	submit(&f, &picture, 1);
	turn_until_frames(&f, 1);
	check_picture(f.kept[0], DRM_FORMAT_NV12, 90, 90, 60, 70);
	end(&f);
	pc_frame_finish(&picture.frame);
}

/* Full range comes out as limited: 200 of 255 is 16 + 200 * 219 / 255. */
static void test_jpeg(void)
{
	/* The first is what webcams send; the last needs no resampling, and a range all the same. */
	static const enum AVPixelFormat formats[] = { AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUVJ444P,
		AV_PIX_FMT_YUVJ420P };
	struct fixture f;
	struct picture picture;
	test_int(begin(&f, V4L2_PIX_FMT_MJPEG, DRM_FORMAT_YUV420, 4), 0);
	init_picture(&picture, V4L2_PIX_FMT_MJPEG);
	for (unsigned i = 0; i < 3; i++) {
		paint_jpeg(&picture, formats[i], WIDTH, HEIGHT);
		submit(&f, &picture, i);
		turn_until_frames(&f, i + 1);
		wait_for_release(&f, &picture, i + 1);
		check_picture(f.kept[i], DRM_FORMAT_YUV420, 188, 188, 103, 147);
	}
	test_int(f.n_failed, 0);
	end(&f);
	pc_frame_finish(&picture.frame);
}

/* Cut, empty, or no JPEG at all: counted, and the next one is taken. */
static void test_bad_jpegs(void)
{
	struct fixture f;
	struct picture picture;
	test_int(begin(&f, V4L2_PIX_FMT_MJPEG, DRM_FORMAT_NV12, 4), 0);
	init_picture(&picture, V4L2_PIX_FMT_MJPEG);
	paint_jpeg(&picture, AV_PIX_FMT_YUVJ422P, WIDTH, HEIGHT);
	const uint32_t size = picture.frame.bytes_used;
	const uint32_t cuts[] = { 0, 1, 20, size / 2 };
	for (unsigned i = 0; i < 4; i++) {
		picture.frame.bytes_used = cuts[i];
		submit(&f, &picture, i);
		turn_until(&f, &f.stats.frames_bad, i + 1);
		wait_for_release(&f, &picture, i + 1);
	}
	picture.frame.bytes_used = size;
	submit(&f, &picture, 9);
	turn_until_frames(&f, 1);
	wait_for_release(&f, &picture, 5);
	memset(picture.data, 0x55, size);
	submit(&f, &picture, 10);
	turn_until(&f, &f.stats.frames_bad, 5);
	test_int(f.n_frames, 1);
	test_int(f.n_failed, 0);
	end(&f);
	pc_frame_finish(&picture.frame);
}

static void test_other_size(void)
{
	struct fixture f;
	struct picture picture;
	test_int(begin(&f, V4L2_PIX_FMT_MJPEG, DRM_FORMAT_NV12, 4), 0);
	init_picture(&picture, V4L2_PIX_FMT_MJPEG);
	paint_jpeg(&picture, AV_PIX_FMT_YUVJ422P, WIDTH, HEIGHT / 2);
	submit(&f, &picture, 1);
	while (f.n_failed == 0) {
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	test_int(f.err, -EPIPE);
	test_str(f.what, "the camera's JPEGs are 64x24 now, not 64x48");
	test_assert(f.converter == NULL); /* closed within failed() */
	end(&f);
	pc_frame_finish(&picture.frame);
}

/* With its only buffer out, every picture is given back, and counted as skipped or replaced. */
static void test_late_consumer(void)
{
	struct fixture f;
	struct picture pictures[6];
	test_int(begin(&f, DRM_FORMAT_YUYV, DRM_FORMAT_NV12, 1), 0);
	for (unsigned i = 0; i < 6; i++) {
		init_picture(&pictures[i], DRM_FORMAT_YUYV);
	}
	submit(&f, &pictures[0], 0);
	turn_until_frames(&f, 1);
	for (unsigned i = 1; i < 6; i++) {
		submit(&f, &pictures[i], i);
	}
	turn_until(&f, &f.stats.frames_skipped_source, 5);
	test_int(f.n_frames, 1);
	end(&f);
	for (unsigned i = 0; i < 6; i++) {
		test_int(atomic_load(&pictures[i].released), 1);
		pc_frame_finish(&pictures[i].frame);
	}
}

/* Closed with a frame waiting, one in the making and one handed over. */
static void test_close(void)
{
	for (unsigned round = 0; round < 20; round++) {
		struct fixture f;
		struct picture pictures[3];
		test_int(begin(&f, DRM_FORMAT_YUYV, DRM_FORMAT_NV12, 4), 0);
		f.close_in_frame = round % 2 == 0;
		for (unsigned i = 0; i < 3; i++) {
			init_picture(&pictures[i], DRM_FORMAT_YUYV);
			submit(&f, &pictures[i], i);
		}
		if (f.close_in_frame) {
			while (f.n_frames == 0) {
				test_assert(pc_loop_turn(f.loop, 10000) >= 0);
			}
		}
		end(&f);
		for (unsigned i = 0; i < 3; i++) {
			test_int(atomic_load(&pictures[i].released), 1);
			pc_frame_finish(&pictures[i].frame);
		}
	}
	pc_converter_close(NULL);
}

static void refused(uint32_t in, uint32_t out, unsigned buffers, const char *word)
{
	struct fixture f;
	test_int(begin(&f, in, out, buffers), -EINVAL);
	if (strstr(f.why, word) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", f.why, word);
	}
	end(&f);
}

static void test_refusals(void)
{
	refused(V4L2_PIX_FMT_SBGGR8, DRM_FORMAT_NV12, 4, "cannot be converted");
	refused(DRM_FORMAT_YUYV, DRM_FORMAT_BGR888, 4, "NV12");
	refused(DRM_FORMAT_YUYV, DRM_FORMAT_NV12, 0, "buffers");
	refused(DRM_FORMAT_YUYV, DRM_FORMAT_NV12, 33, "buffers");
}

static void test_no_memory(void)
{
	static const uint32_t ins[] = { DRM_FORMAT_YUYV, V4L2_PIX_FMT_MJPEG };
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned n = 3;; n++) { /* the first two are the fixture's own */
			struct fixture f;
			fault_arm(FAULT_ALLOC, n, ENOMEM);
			const int r = begin(&f, ins[i], DRM_FORMAT_NV12, 3);
			const bool failed = fault_disarm();
			if (failed) {
				test_int(r, -ENOMEM);
				test_assert(f.converter == NULL && f.why[0] != '\0');
			}
			end(&f);
			if (!failed) {
				test_int(r, 0);
				break;
			}
		}
	}
}

int main(void)
{
	av_log_set_level(AV_LOG_QUIET); /* as the daemon does */
	TEST_RUN(test_packed);
	TEST_RUN(test_copy);
	TEST_RUN(test_jpeg);
	TEST_RUN(test_bad_jpegs);
	TEST_RUN(test_other_size);
	TEST_RUN(test_late_consumer);
	TEST_RUN(test_close);
	TEST_RUN(test_refusals);
	TEST_RUN(test_no_memory);
	return test_end();
}
