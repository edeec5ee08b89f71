/* tests/virtual-pi/members.c - encoder and scaler members against a real kernel's nodes.
 *
 * Run by test_members.sh inside the virtual Pi. Pictures are drawn into buffers of the contiguous
 * heap, encoded losslessly by the virtual codec, decoded by libavcodec, and must be what was drawn,
 * byte by byte, whatever habit of the Pi's the codec was told to have.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include <drm_fourcc.h>
#include <libavcodec/avcodec.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/allocator.h"
#include "hwaccel/encoder.h"
#include "hwaccel/scaler.h"
#include "tests/support/test.h"

#define PARAMETERS "/sys/module/vpicodec/parameters/"
#define UNITS_MAX 256
#define POOL 5
#define SEQUENCE 100 /* of the first frame */

struct unit {
	struct pc_packet meta;
	uint8_t *data;
};

struct fixture {
	struct pc_loop *loop;
	struct pc_allocator *heap;
	struct pc_frame_pool *pool;
	struct pc_encoder_config config;
	struct pc_camera_stats stats;
	struct pc_encoder *encoder;
	unsigned n_units;
	struct unit units[UNITS_MAX];
	unsigned submitted;
	unsigned dropped; /* no slot */
	unsigned n_failed;
	int err;
};

/* --- the codec's habits --- */

static void set(const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value)) {
		test_fail("%s does not take %s: %s", path, value, pc_strerror(errno));
	}
	close(fd);
}

static long get(const char *name)
{
	char path[128], text[32] = "";
	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0) {
		test_fail("%s: %s", path, pc_strerror(errno));
	}
	close(fd);
	return strtol(text, NULL, 10);
}

/* --- pictures --- */

static uint8_t texel(unsigned plane, unsigned x, unsigned y, unsigned n)
{
	return (uint8_t)((x + n * 3) ^ (y * 5 + plane * 67) ^ ((x * y) >> 5));
}

/* A moving block on a still ground: most macroblocks are the frame's before. */
static uint8_t sample(unsigned plane, unsigned x, unsigned y, unsigned n)
{
	const bool moves = x >= 16 && x < 48 && y >= 16 && y < 48;
	return texel(plane, x, y, moves ? n : 0);
}

static void draw(struct pc_frame *frame, unsigned n)
{
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	const bool packed = frame->format.fourcc == DRM_FORMAT_YUYV;
	const bool planar = frame->format.fourcc == DRM_FORMAT_YUV420;
	for (unsigned p = 0; p < frame->n_planes; p++) {
		const unsigned width = packed		 ? frame->format.width * 2
				       : p > 0 && planar ? frame->format.width / 2
							 : frame->format.width;
		const unsigned height = p > 0 ? frame->format.height / 2 : frame->format.height;
		for (unsigned y = 0; y < height; y++) {
			uint8_t *line = data[p] + (size_t)y * frame->planes[p].stride;
			for (unsigned x = 0; x < width; x++) {
				line[x] = sample(p, x, y, n);
			}
		}
	}
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
}

static uint8_t expected(uint32_t fourcc, unsigned plane, unsigned x, unsigned y, unsigned n)
{
	if (fourcc == DRM_FORMAT_NV12 && plane > 0) {
		return sample(1, 2 * x + plane - 1, y, n);
	}
	return sample(plane, x, y, n);
}

static void check_picture(const AVFrame *picture, uint32_t fourcc, unsigned n)
{
	for (unsigned p = 0; p < 3; p++) {
		const unsigned width = (unsigned)picture->width >> (p > 0);
		const unsigned height = (unsigned)picture->height >> (p > 0);
		for (unsigned y = 0; y < height; y++) {
			const uint8_t *line =
				picture->data[p] + (ptrdiff_t)y * picture->linesize[p];
			for (unsigned x = 0; x < width; x++) {
				if (line[x] != expected(fourcc, p, x, y, n)) {
					test_fail("frame %u, plane %u at %u,%u: %u, not %u", n, p,
						x, y, line[x], expected(fourcc, p, x, y, n));
				}
			}
		}
	}
}

/* Every packet decodes, and shows its own frame's picture. */
static void check_stream(struct fixture *f)
{
	const AVCodec *type = avcodec_find_decoder(AV_CODEC_ID_H264);
	AVCodecContext *codec = avcodec_alloc_context3(type);
	AVFrame *picture = av_frame_alloc();
	AVPacket *packet = av_packet_alloc();
	codec->thread_count = 1;
	codec->flags |= AV_CODEC_FLAG_LOW_DELAY;
	test_int(avcodec_open2(codec, type, NULL), 0);
	unsigned shown = 0;
	for (unsigned i = 0; i <= f->n_units; i++) {
		const bool end = i == f->n_units;
		packet->data = end ? NULL : f->units[i].data;
		packet->size = end ? 0 : (int)f->units[i].meta.size;
		packet->pts = end ? 0 : (int64_t)f->units[i].meta.sequence;
		test_int(avcodec_send_packet(codec, end ? NULL : packet), 0);
		while (avcodec_receive_frame(codec, picture) == 0) {
			test_int(picture->decode_error_flags, 0);
			test_int(picture->pts, (int64_t)f->units[shown].meta.sequence);
			if (f->config.format.fourcc != DRM_FORMAT_YUYV) {
				check_picture(picture, f->config.format.fourcc,
					(unsigned)picture->pts - SEQUENCE);
			}
			shown++;
		}
	}
	test_int(shown, f->n_units);
	av_packet_free(&packet);
	av_frame_free(&picture);
	avcodec_free_context(&codec);
}

/* --- the encoder --- */

static void on_packet(void *data, const struct pc_packet *packet)
{
	struct fixture *f = data;
	test_assert(f->n_units < UNITS_MAX);
	struct unit *unit = &f->units[f->n_units];
	unit->meta = *packet;
	unit->data = calloc(1, packet->size + AV_INPUT_BUFFER_PADDING_SIZE);
	memcpy(unit->data, packet->data, packet->size);
	if (f->n_units > 0) {
		test_assert(packet->sequence > f->units[f->n_units - 1].meta.sequence);
	}
	f->n_units++;
}

static void on_failed(void *data, int err)
{
	struct fixture *f = data;
	f->err = err;
	f->n_failed++;
}

static const struct pc_encoder_events events = { .packet = on_packet, .failed = on_failed };

static void prepare(struct fixture *f, uint32_t fourcc, unsigned width, unsigned height)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	char why[256] = "";
	if (pc_allocator_create_heap(NULL, why, sizeof(why), &f->heap) < 0) {
		test_fail("no heap: %s", why);
	}
	f->config = (struct pc_encoder_config){
		.format = { fourcc, width, height, 0 },
		.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
		.fps = 30,
		.key_interval = 300,
		.choice = "v4l2m2m",
		.preset = "ultrafast",
		.stats = &f->stats,
	};
	test_int(pc_frame_pool_create(f->heap, &f->config.format, POOL, &f->pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(f->pool);
	f->config.n_planes = frame->n_planes;
	memcpy(f->config.planes, frame->planes, sizeof(frame->planes));
	f->config.size = (size_t)lseek(frame->planes[0].fd, 0, SEEK_END);
	pc_frame_unref(frame);
}

static void open_encoder(struct fixture *f)
{
	test_int(pc_encoder_open(f->loop, &f->config, &events, f, &f->encoder), 0);
}

static void begin(struct fixture *f, uint32_t fourcc, unsigned width, unsigned height)
{
	prepare(f, fourcc, width, height);
	open_encoder(f);
}

static void end(struct fixture *f)
{
	pc_encoder_close(f->encoder);
	for (unsigned i = 0; i < f->n_units; i++) {
		free(f->units[i].data);
	}
	pc_frame_pool_destroy(f->pool);
	pc_allocator_destroy(f->heap);
	pc_loop_destroy(f->loop);
	test_int(get("live_contexts"), 0);
	test_int(get("live_buffers"), 0);
	test_int(get("live_imports"), 0);
}

/* Turns the loop until `wait_ms` have gone by with nothing happening, or a failure. */
static void settle(struct fixture *f, int wait_ms)
{
	unsigned before;
	do {
		before = f->n_units;
		const int64_t until_ns = pc_clock_now_ns() + wait_ms * PC_NS_PER_MS;
		int64_t left_ns;
		while ((left_ns = until_ns - pc_clock_now_ns()) > 0 && f->n_units == before &&
			f->err == 0) {
			test_int(pc_loop_turn(f->loop, (int)(left_ns / PC_NS_PER_MS) + 1), 0);
		}
	} while (f->n_units != before && f->err == 0);
}

/* One frame, once there is a buffer and a slot for it. */
static int submit(struct fixture *f, unsigned flags)
{
	struct pc_frame *frame;
	while ((frame = pc_frame_pool_acquire(f->pool)) == NULL) {
		test_int(pc_loop_turn(f->loop, 2000), 0);
	}
	frame->sequence = SEQUENCE + f->submitted;
	frame->capture_ns = pc_clock_now_ns();
	draw(frame, f->submitted);
	int r;
	const int64_t until_ns = pc_clock_now_ns() + 3 * PC_NS_PER_S;
	while ((r = pc_encoder_submit(f->encoder, frame, flags)) == -EAGAIN &&
		pc_clock_now_ns() < until_ns) {
		test_int(pc_loop_turn(f->loop, 100), 0);
	}
	pc_frame_unref(frame);
	f->submitted += r == 0 ? 1 : 0;
	return r;
}

static void encode(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_int(submit(f, 0), 0);
	}
	settle(f, 300);
	test_int(f->err, 0);
}

/* What came, and what is known not to come, is all. */
static void check_counts(const struct fixture *f, unsigned packets)
{
	test_int(f->n_units, packets);
	test_int(pc_counter_get(&f->stats.frames_aborted), f->submitted - packets);
	test_int(pc_encoder_owed_ns(f->encoder), 0);
}

static void test_formats(void)
{
	static const uint32_t fourccs[] = { DRM_FORMAT_NV12, DRM_FORMAT_YUV420, DRM_FORMAT_YUYV };
	static const unsigned sizes[][2] = { { 320, 192 }, { 1280, 720 }, { 640, 360 } };
	for (unsigned i = 0; i < 9; i++) {
		struct fixture f;
		begin(&f, fourccs[i % 3], sizes[i / 3][0], sizes[i / 3][1]);
		test_assert(strstr(pc_encoder_name(f.encoder), "(vpicodec)") != NULL);
		const long imports = get("n_imports");
		encode(&f, 12);
		check_counts(&f, 12);
		check_stream(&f);
		/* Each buffer once, however often it comes. */
		test_assert(pc_counter_get(&f.stats.encoder_imports) <= POOL);
		test_int(get("n_imports") - imports,
			(int64_t)pc_counter_get(&f.stats.encoder_imports));
		end(&f);
	}
}

static void test_inputs(void)
{
	struct pc_input_format formats[8];
	bool dmabuf = false;
	unsigned n = pc_encoder_inputs("auto", "", 1280, 720, formats, 8, &dmabuf);
	test_assert(n >= 3 && dmabuf);
	test_int(formats[0].fourcc, DRM_FORMAT_NV12);
	test_int(formats[0].stride_align, 32);
	test_int(formats[1].fourcc, DRM_FORMAT_YUV420);
	test_int(formats[1].stride_align, 64);
	set("stride_align", "256");
	n = pc_encoder_inputs("auto", "", 640, 480, formats, 8, &dmabuf);
	test_assert(n >= 3);
	test_int(formats[0].stride_align, 256);
	struct fixture f;
	prepare(&f, DRM_FORMAT_NV12, 640, 480); /* 640 is no multiple of 256 */
	test_int(pc_encoder_open(f.loop, &f.config, &events, &f, &f.encoder), -EINVAL);
	f.encoder = NULL;
	set("stride_align", "0");
	end(&f);
}

static void test_aborted_frames(void)
{
	struct fixture f;
	set("abort_every", "3");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	const long aborted = get("n_aborted");
	encode(&f, 30);
	set("abort_every", "0");
	encode(&f, 1); /* tells of one that may have been aborted before it */
	test_assert(get("n_aborted") - aborted >= 9);
	check_counts(&f, (unsigned)(31 - (get("n_aborted") - aborted)));
	check_stream(&f);
	end(&f);
}

static void test_junk_and_headers(void)
{
	struct fixture f;
	set("junk_first", "1");
	set("headers_alone", "1");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	encode(&f, 10);
	check_counts(&f, 10);
	test_int(pc_counter_get(&f.stats.encoder_junk), 1);
	check_stream(&f);
	end(&f);
	set("headers_alone", "2");
	begin(&f, DRM_FORMAT_YUV420, 320, 192);
	encode(&f, 10);
	check_counts(&f, 10);
	check_stream(&f);
	end(&f);
	set("junk_first", "0");
	set("headers_alone", "0");
}

static void test_late_and_deep(void)
{
	struct fixture f;
	set("late_output", "2");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	encode(&f, 20);
	test_int(f.n_units, 18);
	check_stream(&f);
	end(&f);
	set("late_output", "0");
	set("late_us", "30000");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	encode(&f, 20);
	check_counts(&f, 20);
	check_stream(&f);
	end(&f);
	set("late_us", "0");
	set("depth", "3");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	encode(&f, 20);
	check_counts(&f, 20);
	check_stream(&f);
	end(&f);
	set("depth", "0");
}

/* What refers to a lost frame is not handed over; the next key frame, asked for, is. */
static void test_errors(void)
{
	struct fixture f;
	set("fail_every", "7");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	encode(&f, 40);
	set("fail_every", "0");
	test_assert(f.n_units >= 20 && f.n_units <= 35);
	check_counts(&f, f.n_units);
	test_assert(pc_counter_get(&f.stats.encoder_junk) >= 5);
	check_stream(&f);
	end(&f);
}

static void test_fragments(void)
{
	struct fixture f;
	set("sizeimage", "32768");
	begin(&f, DRM_FORMAT_NV12, 640, 360); /* a key frame is some 370 KB: 12 pieces */
	const long fragments = get("n_fragments");
	encode(&f, 10);
	set("sizeimage", "0");
	test_assert(get("n_fragments") > fragments);
	check_counts(&f, 10);
	check_stream(&f);
	end(&f);
}

/* Buffers that cannot be made large enough: it fails, and does not hang or crash. */
static void test_never_large_enough(void)
{
	struct fixture f;
	set("sizeimage", "131072");
	set("oversize", "error");
	begin(&f, DRM_FORMAT_NV12, 640, 360);
	for (unsigned i = 0; i < 60 && f.err == 0; i++) {
		if (submit(&f, 0) < 0) {
			break;
		}
		settle(&f, 20);
	}
	settle(&f, 100);
	set("sizeimage", "0");
	set("oversize", "fragment");
	test_int(f.n_failed, 1);
	test_int(f.err, -EIO);
	end(&f);
}

static void test_stall(void)
{
	struct fixture f;
	set("stall_after", "5");
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	for (unsigned i = 0; i < 7; i++) {
		test_int(submit(&f, 0), 0);
	}
	settle(&f, 1200);
	test_int(f.n_units, 5);
	test_assert(pc_encoder_owed_ns(f.encoder) > PC_NS_PER_S);
	pc_encoder_close(f.encoder);
	open_encoder(&f);
	set("stall_after", "0");
	encode(&f, 3);
	test_int(f.n_units, 8);
	test_assert(f.units[5].meta.key);
	check_stream(&f);
	end(&f);
}

static void test_keys(void)
{
	struct fixture f;
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	for (unsigned i = 0; i < 20; i++) {
		test_int(submit(&f, i == 7 || i == 8 || i == 15 ? PC_ENCODER_KEY : 0), 0);
		settle(&f, 20);
	}
	check_counts(&f, 20);
	for (unsigned i = 0; i < 20; i++) {
		test_int(f.units[i].meta.key, i == 0 || i == 7 || i == 8 || i == 15);
	}
	check_stream(&f);
	end(&f);
}

static void test_bitrate(void)
{
	struct fixture f;
	prepare(&f, DRM_FORMAT_NV12, 640, 360);
	f.config.bitrate_kbps = 8000;
	set("rate_mode", "1");
	open_encoder(&f);
	size_t bytes[2] = { 0, 0 };
	encode(&f, 30);
	test_int(pc_encoder_set_bitrate(f.encoder, 500), 0);
	encode(&f, 30);
	set("rate_mode", "0");
	test_int(f.n_units, 60);
	for (unsigned i = 10; i < 60; i++) {
		bytes[i >= 30] += f.units[i].meta.size;
	}
	test_assert(bytes[0] / 20 > 2 * (bytes[1] / 30));
	test_int(pc_encoder_set_bitrate(f.encoder, 0), -ENOTSUP);
	end(&f);
}

static void test_refused_size(void)
{
	struct fixture f;
	for (unsigned how = 0; how < 2; how++) {
		set("refuse", "640x360");
		set("refuse_how", how == 0 ? "0" : "1");
		prepare(&f, DRM_FORMAT_NV12, 640, 360);
		test_int(pc_encoder_open(f.loop, &f.config, &events, &f, &f.encoder), -EINVAL);
		f.encoder = NULL;
		set("refuse", "none");
		set("refuse_how", "0");
		end(&f);
	}
}

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;
	while (readdir(dir) != NULL) {
		n++;
	}
	closedir(dir);
	return n;
}

static void test_rounds(void)
{
	struct fixture f;
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	const unsigned files = open_files();
	for (unsigned i = 0; i < 200; i++) {
		for (unsigned j = 0; j < i % 4; j++) {
			test_int(submit(&f, 0), 0); /* closed with these under way */
		}
		pc_encoder_close(f.encoder);
		open_encoder(&f);
		for (unsigned j = 0; j < f.n_units; j++) {
			free(f.units[j].data);
		}
		f.n_units = 0;
	}
	test_int(open_files(), files);
	test_assert(get("live_imports") == 0 && get("live_contexts") == 1);
	end(&f);
}

/* A buffer that the device cannot reach: it is said, and it is final. */
static void test_memory_that_is_not_contiguous(void)
{
	struct fixture f;
	prepare(&f, DRM_FORMAT_NV12, 320, 192);
	pc_frame_pool_destroy(f.pool);
	pc_allocator_destroy(f.heap);
	char why[256] = "";
	test_int(pc_allocator_create_heap("/dev/dma_heap/system", why, sizeof(why), &f.heap), 0);
	test_int(pc_frame_pool_create(f.heap, &f.config.format, POOL, &f.pool), 0);
	open_encoder(&f);
	test_int(submit(&f, 0), -EPIPE);
	test_int(pc_loop_turn(f.loop, 1000), 0);
	test_int(f.n_failed, 1);
	test_assert(f.err < 0);
	end(&f);
}

/* --- the scaler --- */

struct scaling {
	struct pc_loop *loop;
	struct pc_allocator *heap;
	struct pc_frame_pool *pool;
	struct pc_scaler *scaler;
	struct pc_camera_stats stats;
	struct pc_scaler_config config;
	unsigned n;
	uint64_t sequence;
	uint8_t first[3];
	int err;
};

static void on_scaled(void *data, struct pc_frame *frame)
{
	struct scaling *s = data;
	uint8_t *planes[4];
	test_int(frame->planes[0].stride, 3 * s->config.width);
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, planes), 0);
	for (unsigned i = 0; i < 3; i++) {
		s->first[i] = planes[0][i];
	}
	/* One colour everywhere: all of it was written. */
	const size_t size = (size_t)3 * s->config.width * s->config.height;
	for (size_t i = 0; i < size; i++) {
		if (planes[0][i] != s->first[i % 3]) {
			test_fail("byte %zu is %u, not %u", i, planes[0][i], s->first[i % 3]);
		}
	}
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	s->sequence = frame->sequence;
	s->n++;
}

static void on_scaler_failed(void *data, int err)
{
	((struct scaling *)data)->err = err;
}

static const struct pc_scaler_events scaler_events = {
	.scaled = on_scaled,
	.failed = on_scaler_failed,
};

static void begin_scaling(struct scaling *s)
{
	memset(s, 0, sizeof(*s));
	test_int(pc_loop_create(&s->loop), 0);
	char why[256] = "";
	test_int(pc_allocator_create_heap(NULL, why, sizeof(why), &s->heap), 0);
	s->config = (struct pc_scaler_config){
		.input = { DRM_FORMAT_NV12, 1280, 720, 0 },
		.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
		.width = 320,
		.height = 180,
		.buffers = 3,
		.choice = "v4l2m2m",
		.stats = &s->stats,
	};
	test_int(pc_frame_pool_create(s->heap, &s->config.input, 3, &s->pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(s->pool);
	s->config.n_planes = frame->n_planes;
	memcpy(s->config.planes, frame->planes, sizeof(frame->planes));
	s->config.size = (size_t)lseek(frame->planes[0].fd, 0, SEEK_END);
	pc_frame_unref(frame);
	test_int(pc_scaler_open(s->loop, &s->config, &scaler_events, s, &s->scaler), 0);
}

static void end_scaling(struct scaling *s)
{
	pc_scaler_close(s->scaler);
	pc_frame_pool_destroy(s->pool);
	pc_allocator_destroy(s->heap);
	pc_loop_destroy(s->loop);
	test_int(get("live_contexts"), 0);
	test_int(get("live_imports"), 0);
}

static void scale_one(struct scaling *s, uint64_t sequence, uint8_t luma, uint8_t chroma)
{
	struct pc_frame *frame = pc_frame_pool_acquire(s->pool);
	test_assert(frame != NULL);
	uint8_t *planes[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, planes), 0);
	memset(planes[0], luma, (size_t)frame->planes[0].stride * 720);
	memset(planes[1], chroma, (size_t)frame->planes[1].stride * 360);
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	frame->sequence = sequence;
	test_int(pc_scaler_submit(s->scaler, frame), 0);
	pc_frame_unref(frame);
	const unsigned before = s->n;
	const int64_t until_ns = pc_clock_now_ns() + 400 * PC_NS_PER_MS;
	while (s->n == before && s->err == 0 && pc_clock_now_ns() < until_ns) {
		test_int(pc_loop_turn(s->loop, 50), 0);
	}
}

static void test_scaler(void)
{
	struct scaling s;
	begin_scaling(&s);
	for (unsigned i = 0; i < 20; i++) {
		scale_one(&s, i, i % 2 == 0 ? 16 : 235, 128);
		test_int(s.n, i + 1);
		test_int(s.sequence, i);
		test_assert(s.first[0] == (i % 2 == 0 ? 0 : 255));
	}
	/* 3 buffers in, and of 3 + 2 out those that were used. */
	test_assert(pc_counter_get(&s.stats.scaler_imports) <= 3 + 5);
	test_int(pc_scaler_owed_ns(s.scaler), 0);
	end_scaling(&s);
}

/* Lines that are longer than a packed picture's: it is copied, and right. */
static void test_scaler_long_lines(void)
{
	struct scaling s;
	set("stride_align", "256"); /* 1280 in, and 960 out is not a multiple */
	begin_scaling(&s);
	set("stride_align", "0");
	for (unsigned i = 0; i < 6; i++) {
		scale_one(&s, i, i % 2 == 0 ? 16 : 235, 128);
		test_int(s.n, i + 1);
		test_assert(s.first[0] == (i % 2 == 0 ? 0 : 255));
	}
	end_scaling(&s);
}

static void test_scaler_aborts_and_errors(void)
{
	struct scaling s;
	set("isp_abort_every", "3");
	begin_scaling(&s);
	for (unsigned i = 0; i < 12; i++) {
		scale_one(&s, i, 100, 128);
	}
	set("isp_abort_every", "0");
	test_int(s.n, 8);
	test_int(s.err, 0);
	set("isp_fail_every", "4");
	for (unsigned i = 0; i < 8; i++) {
		scale_one(&s, i, 200, 128);
	}
	set("isp_fail_every", "0");
	test_int(s.n, 14);
	test_int(s.err, 0);
	end_scaling(&s);
}

static void test_scaler_stall(void)
{
	struct scaling s;
	begin_scaling(&s);
	scale_one(&s, 1, 100, 128);
	test_int(s.n, 1);
	set("isp_stall", "1");
	scale_one(&s, 2, 100, 128);
	scale_one(&s, 3, 100, 128);
	test_int(s.n, 1);
	test_assert(pc_scaler_owed_ns(s.scaler) > 300 * PC_NS_PER_MS);
	end_scaling(&s);
}

/* libavcodec's own client of the same device (no bit-exactness asked: it may wait for a frame). */
static void test_libavcodec(void)
{
	struct fixture f;
	prepare(&f, DRM_FORMAT_YUV420, 320, 192);
	f.config.choice = "libavcodec";
	f.config.bitrate_kbps = 1000;
	open_encoder(&f); /* this build takes no dma-bufs, and our own client has the device */
	test_assert(strncmp(pc_encoder_name(f.encoder), "libx264", 7) == 0);
	pc_encoder_close(f.encoder);
	f.config.caps = PC_FRAME_CPU;
	open_encoder(&f);
	test_str(pc_encoder_name(f.encoder), "h264_v4l2m2m");
	encode(&f, 12);
	test_assert(f.n_units >= 8);
	check_stream(&f);
	end(&f);
}

/* Last: the nodes come back under other numbers. */
static void test_unbind(void)
{
	struct fixture f;
	begin(&f, DRM_FORMAT_NV12, 320, 192);
	encode(&f, 5);
	const int fd = open("/sys/bus/platform/drivers/vpicodec/unbind", O_WRONLY | O_CLOEXEC);
	test_assert(fd >= 0);
	DIR *dir = opendir("/sys/bus/platform/drivers/vpicodec");
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "vpicodec", 8) == 0) {
			test_assert(write(fd, entry->d_name, strlen(entry->d_name)) > 0);
			break;
		}
	}
	closedir(dir);
	close(fd);
	settle(&f, 500);
	test_int(f.n_failed, 1);
	test_int(f.err, -ENODEV);
	check_stream(&f);
	pc_encoder_close(f.encoder);
	f.encoder = NULL;
	end(&f);
}

int main(void)
{
	if (access(PARAMETERS "n_imports", R_OK) < 0) {
		test_skip("runs inside the virtual Pi only: tests/virtual-pi/vpi test "
			  "tests/virtual-pi/test_members.sh");
	}
	av_log_set_level(getenv("VERBOSE") != NULL ? AV_LOG_DEBUG : AV_LOG_ERROR);
	TEST_RUN(test_formats);
	TEST_RUN(test_inputs);
	TEST_RUN(test_keys);
	TEST_RUN(test_aborted_frames);
	TEST_RUN(test_junk_and_headers);
	TEST_RUN(test_late_and_deep);
	TEST_RUN(test_errors);
	TEST_RUN(test_fragments);
	TEST_RUN(test_never_large_enough);
	TEST_RUN(test_stall);
	TEST_RUN(test_bitrate);
	TEST_RUN(test_refused_size);
	TEST_RUN(test_memory_that_is_not_contiguous);
	TEST_RUN(test_rounds);
	TEST_RUN(test_scaler);
	TEST_RUN(test_scaler_long_lines);
	TEST_RUN(test_scaler_aborts_and_errors);
	TEST_RUN(test_scaler_stall);
	TEST_RUN(test_libavcodec);
	TEST_RUN(test_unbind);
	return test_end();
}
