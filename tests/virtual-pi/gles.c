/* tests/virtual-pi/gles.c - the GL scaler on a real kernel: real imports, real dma-bufs.
 *
 * Runs inside the virtual Pi (skips elsewhere), where Mesa draws with the CPU (llvmpipe) what
 * a GPU draws on a Pi. What it draws is held against libswscale's area filter.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "hwaccel/egl_internal.h"
#include "hwaccel/scaler.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define BUFFERS 5
#define FRAMES 300
#define ROUNDS 110 /* the first ten fill caches */

/* Of 255, over all channels of a hard picture (slopes, stripes, noise, blocks). llvmpipe
 * interpolates in 8 bits; libswscale itself is 1.6 to 4 off the ideal, and darker by 1 to 2. */
#define IDEAL_MEAN 1.5
#define IDEAL_MAX 6
#define TWIN_MEAN 5.0

/* Half a second a frame where the processor is emulated: fewer of them there. */
static unsigned fewer(unsigned n)
{
	const char *slow = getenv("PETCAM_VPI_SLOW");
	return slow != NULL && strcmp(slow, "1") != 0 ? n / 5 : n;
}

struct fixture {
	struct pc_loop *loop;
	struct pc_allocator *heap;
	struct pc_frame_pool *pool;
	struct pc_scaler *scaler;
	struct pc_camera_stats stats;
	struct pc_frame *last; /* what scaled() gave */
	unsigned n_scaled;
	int err;
};

static void scaled(void *data, struct pc_frame *frame)
{
	struct fixture *f = data;
	f->n_scaled++;
	pc_frame_unref(f->last);
	f->last = pc_frame_ref(frame);
}

static void failed(void *data, int err)
{
	((struct fixture *)data)->err = err;
}

static const struct pc_scaler_events events = { .scaled = scaled, .failed = failed };

static void begin(struct fixture *f, const struct pc_frame_format *input, unsigned width,
	unsigned height, const char *choice)
{
	char why[256] = "";
	*f = (struct fixture){ 0 };
	test_int(pc_loop_create(&f->loop), 0);
	test_int(pc_allocator_create_heap(NULL, why, sizeof(why), &f->heap), 0);
	test_int(pc_frame_pool_create(f->heap, input, BUFFERS, &f->pool), 0);
	const struct pc_scaler_config config = {
		.input = *input,
		.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
		.width = width,
		.height = height,
		.buffers = 3,
		.choice = choice,
		.device = "",
		.stats = &f->stats,
	};
	test_int(pc_scaler_open(f->loop, &config, &events, f, &f->scaler), 0);
}

static void end(struct fixture *f)
{
	pc_scaler_close(f->scaler);
	pc_frame_unref(f->last);
	pc_frame_pool_destroy(f->pool);
	pc_allocator_destroy(f->heap);
	pc_loop_destroy(f->loop);
}

static void scale(struct fixture *f, struct pc_frame *frame)
{
	const unsigned n = f->n_scaled;
	test_int(pc_scaler_submit(f->scaler, frame), 0);
	while (f->n_scaled == n && f->err == 0) {
		test_assert(pc_loop_turn(f->loop, 30000) >= 0);
	}
	test_int(f->err, 0);
}

/* --- pictures --- */

static uint32_t noise(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 24;
}

/* Slopes, fine stripes, noise, and blocks of strong colours. */
static uint8_t luma_at(unsigned x, unsigned y, uint32_t *state)
{
	const unsigned slope = 16 + (x + 2 * y) / 8 % 200;
	const unsigned stripes = x % 7 < 3 ? 60 : 180;
	return (uint8_t)(((y / 90) % 3 == 0   ? slope
			  : (y / 90) % 3 == 1 ? stripes
					      : 40 + noise(state) * 3 / 4));
}

static uint8_t chroma_at(unsigned x, unsigned y, bool v)
{
	const unsigned block = (x / 40 + (y / 30) * 3 + (v ? 1 : 0)) % 5;
	return (uint8_t)(70 + block * 29 + (x + y) % 9);
}

/* By a mapping of the test's own, which is gone afterwards: the frame stays unmapped. */
static void paint(struct pc_frame *frame, unsigned seed)
{
	const int fd = frame->planes[0].fd;
	const off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	test_assert(map != MAP_FAILED);
	uint32_t state = seed;
	const struct pc_frame_format *format = &frame->format;
	for (unsigned y = 0; y < format->height; y++) {
		uint8_t *line = map + frame->planes[0].offset + (size_t)y * frame->planes[0].stride;
		for (unsigned x = 0; x < format->width; x++) {
			const uint8_t value = luma_at(x + seed, y, &state);
			const uint8_t chroma = chroma_at(x / 2, y / 2, x % 2 == 1);
			if (frame->n_planes == 1) {
				line[2 * x] = value;
				line[2 * x + 1] = chroma;
				continue;
			}
			line[x] = value;
			const unsigned p = frame->n_planes == 2 ? 1 : 1 + x % 2;
			uint8_t *other = map + frame->planes[p].offset +
					 (size_t)(y / 2) * frame->planes[p].stride;
			other[frame->n_planes == 2 ? x : x / 2] = chroma;
		}
	}
	munmap(map, (size_t)size);
}

static struct pc_frame *picture(struct fixture *f, unsigned seed)
{
	struct pc_frame *frame = pc_frame_pool_acquire(f->pool);
	test_assert(frame != NULL);
	paint(frame, seed);
	return frame;
}

/* --- what it should be --- */

/* A plane in memory: `step` bytes from one sample to the next. */
struct plane {
	const uint8_t *data;
	unsigned width, height, stride, step;
};

static double area(const struct plane *plane, double x0, double y0, double x1, double y1)
{
	double sum = 0;
	for (int y = (int)floor(y0); y < (int)ceil(y1); y++) {
		const double h = fmin(y1, y + 1) - fmax(y0, y);
		const int cy = y < 0 ? 0 : y >= (int)plane->height ? (int)plane->height - 1 : y;
		for (int x = (int)floor(x0); x < (int)ceil(x1); x++) {
			const double w = fmin(x1, x + 1) - fmax(x0, x);
			const int cx = x < 0			? 0
				       : x >= (int)plane->width ? (int)plane->width - 1
								: x;
			sum += w * h *
			       plane->data[(size_t)cy * plane->stride + (size_t)cx * plane->step];
		}
	}
	return sum / ((x1 - x0) * (y1 - y0));
}

/* The mean of what the output pixel covers, at least a sample wide. */
static double sample(const struct plane *plane, double x, double y, double w, double h)
{
	const double rx = plane->width / w;
	const double ry = plane->height / h;
	const double hx = fmax(rx, 1) / 2;
	const double hy = fmax(ry, 1) / 2;
	const double cx = (x + 0.5) * rx;
	const double cy = (y + 0.5) * ry;
	return area(plane, cx - hx, cy - hy, cx + hx, cy + hy);
}

static unsigned cut(const struct pc_frame *frame, uint8_t *data[4], struct plane planes[3])
{
	const struct pc_frame_format *f = &frame->format;
	const struct pc_frame_plane *p = frame->planes;
	planes[0] = (struct plane){ data[0], f->width, f->height, p[0].stride, 1 };
	if (f->fourcc == DRM_FORMAT_YUV420) {
		planes[1] = (struct plane){ data[1], f->width / 2, f->height / 2, p[1].stride, 1 };
		planes[2] = (struct plane){ data[2], f->width / 2, f->height / 2, p[2].stride, 1 };
	} else if (f->fourcc == DRM_FORMAT_NV12) {
		planes[1] = (struct plane){ data[1], f->width / 2, f->height / 2, p[1].stride, 2 };
		planes[2] = planes[1];
		planes[2].data++;
	} else {
		planes[0] = (struct plane){ data[0], f->width, f->height, p[0].stride, 2 };
		planes[1] = (struct plane){ data[0] + 1, f->width / 2, f->height, p[0].stride, 4 };
		planes[2] = planes[1];
		planes[2].data += 2;
	}
	return 3;
}

static uint8_t clamp(double value)
{
	return (uint8_t)fmin(255, fmax(0, floor(value + 0.5)));
}

/* R, G, B of one pixel by the definition, in doubles. */
static void ideal(const struct plane planes[3], bool hd, double x, double y, double w, double h,
	uint8_t rgb[3])
{
	const double kr = hd ? 0.2126 : 0.299;
	const double kb = hd ? 0.0722 : 0.114;
	const double kg = 1 - kr - kb;
	const double luma = (sample(&planes[0], x, y, w, h) - 16) * 255 / 219;
	const double u = (sample(&planes[1], x, y, w, h) - 128) * 255 / 224;
	const double v = (sample(&planes[2], x, y, w, h) - 128) * 255 / 224;
	rgb[0] = clamp(luma + 2 * (1 - kr) * v);
	rgb[1] = clamp(luma - 2 * (1 - kb) * kb / kg * u - 2 * (1 - kr) * kr / kg * v);
	rgb[2] = clamp(luma + 2 * (1 - kb) * u);
}

struct difference {
	int max;
	double mean; /* of all channels, absolute */
	double bias; /* mean with its sign */
};

static void note(struct difference *d, int delta)
{
	d->max = abs(delta) > d->max ? abs(delta) : d->max;
	d->mean += abs(delta);
	d->bias += delta;
}

static struct difference from_ideal(struct pc_frame *small, struct pc_frame *frame)
{
	struct difference d = { 0 };
	uint8_t *out[4];
	uint8_t *in[4];
	struct plane planes[3];
	test_int(pc_frame_begin_cpu(small, PC_FRAME_READ, out), 0);
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, in), 0);
	cut(frame, in, planes);
	const struct pc_frame_format *f = &small->format;
	for (unsigned y = 0; y < f->height; y++) {
		for (unsigned x = 0; x < f->width; x++) {
			uint8_t rgb[3];
			ideal(planes, frame->format.height >= 720, x, y, f->width, f->height, rgb);
			for (unsigned c = 0; c < 3; c++) {
				const uint8_t *line = out[0] + (size_t)y * small->planes[0].stride;
				note(&d, line[3 * x + c] - rgb[c]);
			}
		}
	}
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	pc_frame_end_cpu(small, PC_FRAME_READ);
	d.mean /= 3.0 * f->width * f->height;
	d.bias /= 3.0 * f->width * f->height;
	return d;
}

static struct difference between(struct pc_frame *a, struct pc_frame *b)
{
	struct difference d = { 0 };
	uint8_t *pa[4];
	uint8_t *pb[4];
	test_int(a->planes[0].stride, 3 * a->format.width);
	test_int(b->planes[0].stride, 3 * b->format.width);
	test_int(pc_frame_begin_cpu(a, PC_FRAME_READ, pa), 0);
	test_int(pc_frame_begin_cpu(b, PC_FRAME_READ, pb), 0);
	const unsigned n = 3 * a->format.width * a->format.height;
	for (unsigned i = 0; i < n; i++) {
		note(&d, pa[0][i] - pb[0][i]);
	}
	pc_frame_end_cpu(a, PC_FRAME_READ);
	pc_frame_end_cpu(b, PC_FRAME_READ);
	d.mean /= n;
	d.bias /= n;
	return d;
}

/* --- what the kernel says --- */

/* A counter of the modules'; -1: this kernel's have none. */
static int64_t counter(const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", name);
	FILE *file = fopen(path, "re");
	int64_t value = -1;
	if (file != NULL) {
		char line[64] = "";
		value = fgets(line, sizeof(line), file) != NULL ? strtoll(line, NULL, 0) : -1;
		fclose(file);
	}
	return value;
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++) {
		n += fcntl(fd, F_GETFD) >= 0;
	}
	return n;
}

/* Mappings of dma-bufs at least this large. petcam's may be written to ("rw-s"); what Mesa
 * maps in order to draw with the CPU is for reading only, where it is a texture. */
static unsigned mappings(const char *access, size_t size)
{
	unsigned n = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	test_assert(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		char *at = line;
		const unsigned long long start = strtoull(at, &at, 16);
		const unsigned long long stop = strtoull(at + 1, &at, 16);
		n += strstr(line, "/dmabuf:") != NULL && strncmp(at + 1, access, 4) == 0 &&
		     stop - start >= size;
	}
	fclose(maps);
	return n;
}

static int64_t resident_kib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	test_assert(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* --- tests --- */

static const struct pc_frame_format nv12 = { DRM_FORMAT_NV12, 1280, 720, 0 };
static const struct pc_frame_format i420 = { DRM_FORMAT_YUV420, 1280, 720, 0 };

static void check_pixels(const struct pc_frame_format *input, unsigned width, unsigned height)
{
	struct fixture gles;
	struct fixture soft;
	begin(&gles, input, width, height, "gles");
	begin(&soft, input, width, height, "software");
	struct pc_frame *frame = picture(&gles, 7);
	frame->capture_ns = 1234567;
	frame->sequence = 99;
	scale(&gles, frame);
	scale(&soft, frame);
	test_int(gles.last->capture_ns, 1234567);
	test_int(gles.last->sequence, 99);
	test_int(gles.last->format.fourcc, DRM_FORMAT_BGR888);
	const struct difference d = from_ideal(gles.last, frame);
	const struct difference s = from_ideal(soft.last, frame);
	const struct difference b = between(gles.last, soft.last);
	char text[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(input, text);
	printf("   %s to %ux%u: mean %.2f bias %+.2f max %d off the ideal, libswscale %.2f %+.2f %d;"
	       " between them %.2f %+.2f %d\n",
		text, width, height, d.mean, d.bias, d.max, s.mean, s.bias, s.max, b.mean, b.bias,
		b.max);
	fflush(stdout);
	test_assert(d.mean < IDEAL_MEAN && d.max <= IDEAL_MAX);
	test_assert(b.mean < TWIN_MEAN && d.mean < s.mean);
	pc_frame_unref(frame);
	end(&gles);
	end(&soft);
}

static void test_pixels(void)
{
	static const struct {
		struct pc_frame_format input;
		unsigned width, height;
	} cases[] = {
		{ { DRM_FORMAT_NV12, 1280, 720, 0 }, 320, 180 },
		{ { DRM_FORMAT_YUV420, 1280, 720, 0 }, 320, 180 },
		{ { DRM_FORMAT_YUV420, 1920, 1080, 0 }, 320, 180 },
		{ { DRM_FORMAT_NV12, 640, 480, 0 }, 320, 240 },
		{ { DRM_FORMAT_YUV420, 640, 338, 0 }, 320, 170 },
		{ { DRM_FORMAT_NV12, 1280, 720, 0 }, 416, 234 },
		{ { DRM_FORMAT_NV12, 320, 180, 0 }, 640, 360 },
		{ { DRM_FORMAT_YUYV, 1280, 720, 0 }, 320, 180 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check_pixels(&cases[i].input, cases[i].width, cases[i].height);
	}
}

static void test_imports_once_and_maps_nothing(void)
{
	struct fixture f;
	begin(&f, &nv12, 320, 180, "gles");
	struct pc_frame *frames[BUFFERS];
	for (unsigned i = 0; i < BUFFERS; i++) {
		frames[i] = picture(&f, i);
	}
	for (unsigned i = 0; i < 30; i++) {
		scale(&f, frames[i % BUFFERS]);
	}
	const int64_t imports = counter("vpigem/imports");
	const uint64_t allocations = fault_calls(FAULT_ALLOC);
	const int64_t before_ns = pc_clock_now_ns();
	for (unsigned i = 0; i < fewer(FRAMES); i++) {
		scale(&f, frames[i % BUFFERS]);
	}
	printf("   %.2f ms a frame\n",
		(double)(pc_clock_now_ns() - before_ns) / fewer(FRAMES) / 1e6);
	test_int(pc_counter_get(&f.stats.scaler_imports), BUFFERS);
	test_int(counter("vpigem/imports"), imports);
	test_int(fault_calls(FAULT_ALLOC), allocations);
	const size_t full = (size_t)nv12.width * nv12.height * 3 / 2;
	test_int(mappings("rw-s", full), 0);
	test_assert(mappings("r--s", full) <= BUFFERS);
	printf("   mappings of full-size frames: 0 of petcam's, %u of the renderer's\n",
		mappings("r--s", full));
	uint8_t *data[4]; /* a look is seen by this: */
	test_int(pc_frame_begin_cpu(frames[0], PC_FRAME_READ, data), 0);
	pc_frame_end_cpu(frames[0], PC_FRAME_READ);
	test_int(mappings("rw-s", full), 1);
	for (unsigned i = 0; i < BUFFERS; i++) {
		pc_frame_unref(frames[i]);
	}
	end(&f);
}

/* Buffers die on another thread while the scaler works, and while it has nothing to do: what
 * it made of them goes at once, without another frame. */
static void *drop(void *data)
{
	pc_frame_pool_destroy(data);
	return NULL;
}

static void test_buffers_that_die_elsewhere(void)
{
	struct fixture f;
	begin(&f, &nv12, 320, 180, "gles");
	const int64_t live = counter("vpiheap/live_buffers");
	for (unsigned round = 0; round < 10; round++) {
		struct pc_frame_pool *pool;
		pthread_t thread;
		test_int(pc_frame_pool_create(f.heap, &nv12, 3, &pool), 0);
		struct pc_frame *frames[3];
		for (unsigned i = 0; i < 3; i++) {
			frames[i] = pc_frame_pool_acquire(pool);
			scale(&f, frames[i]);
		}
		if (round % 2 == 0) {
			test_int(pc_scaler_submit(f.scaler, frames[0]), 0);
		}
		for (unsigned i = 0; i < 3; i++) {
			pc_frame_unref(frames[i]);
		}
		test_int(pc_thread_create(&thread, "dropper", drop, pool), 0);
		pthread_join(thread, NULL);
		while (pc_scaler_owed_ns(f.scaler) > 0) {
			test_assert(pc_loop_turn(f.loop, 30000) >= 0);
		}
	}
	while (counter("vpiheap/live_buffers") > live) { /* the worker is at it */
		sched_yield();
	}
	test_int(f.err, 0);
	end(&f);
}

/* A scaler that is opened again finds the frames without imports, and what an old one gave
 * stays readable. */
static void test_frames_outlive_the_scaler(void)
{
	struct fixture f;
	begin(&f, &i420, 320, 180, "gles");
	struct pc_frame *frame = picture(&f, 1);
	scale(&f, frame);
	struct pc_frame *first = pc_frame_ref(f.last);
	const struct pc_scaler_config config = {
		.input = i420,
		.caps = PC_FRAME_DMABUF,
		.n_planes = frame->n_planes,
		.planes = { frame->planes[0], frame->planes[1], frame->planes[2] },
		.size = (size_t)lseek(frame->planes[0].fd, 0, SEEK_END),
		.width = 320,
		.height = 180,
		.buffers = 2,
		.choice = "gles",
		.device = "/dev/dri/card0",
		.stats = &f.stats,
	};
	for (unsigned round = 0; round < 3; round++) {
		pc_scaler_close(f.scaler);
		f.scaler = NULL;
		test_int(pc_scaler_open(f.loop, &config, &events, &f, &f.scaler), 0);
		scale(&f, frame);
		test_int(between(first, f.last).max, 0);
	}
	test_int(pc_counter_get(&f.stats.scaler_imports), 4); /* by each of them once */
	pc_frame_unref(first);
	pc_frame_unref(frame);
	end(&f);
}

static char said[1024];

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void test_choices(void)
{
	struct fixture f;
	pc_log_set_hook(hear, NULL);
	begin(&f, &i420, 320, 180, "gles");
	test_assert(strstr(said, "gles on /dev/dri/card") == said);
	test_assert(strstr(pc_scaler_name(f.scaler), "vpigem") != NULL);
	end(&f);

	/* A renderer that draws with the CPU is nobody's choice but the user's. */
	begin(&f, &i420, 320, 180, "auto");
	if (strncmp(pc_scaler_name(f.scaler), "software", 8) == 0) {
		test_assert(strstr(said, "gles: ") != NULL && strstr(said, "with the CPU") != NULL);
	}
	end(&f);

	char why[256] = "";
	struct pc_egl *egl = NULL;
	const struct pc_egl_config blind = { .device = "", .software = true, .foreign_fd = -1 };
	test_int(pc_egl_open(&blind, why, sizeof(why), &egl), -ENODEV);
	test_assert(strstr(why, "cannot see other devices' buffers") != NULL);
	const struct pc_egl_config absent = { .device = "/dev/dri/card77", .software = true };
	test_int(pc_egl_open(&absent, why, sizeof(why), &egl), -ENODEV);
	test_assert(strstr(why, "/dev/dri/card77: No such file") != NULL);
	const struct pc_egl_config wrong = { .device = "/dev/null", .software = true };
	test_int(pc_egl_open(&wrong, why, sizeof(why), &egl), -ENODEV);
	test_assert(strstr(why, "/dev/null: is no DRM node") != NULL);

	struct pc_input_format formats[8];
	bool dmabuf = false;
	test_int(pc_scaler_inputs("gles", "", 1280, 720, formats, 8, &dmabuf), 3);
	test_assert(dmabuf && formats[0].fourcc == DRM_FORMAT_NV12);
	pc_log_set_hook(NULL, NULL);
}

/* A picture of another shape: whole, in the middle, black beside it. */
static void test_letterbox(void)
{
	struct fixture f;
	const struct pc_frame_format tall = { DRM_FORMAT_NV12, 480, 640, 0 };
	begin(&f, &tall, 320, 320, "gles"); /* 240 wide, from 40 to 279 */
	struct pc_frame *frame = pc_frame_pool_acquire(f.pool);
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	memset(data[0], 235, (size_t)frame->planes[0].stride * 640);
	memset(data[1], 128, (size_t)frame->planes[1].stride * 320);
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	scale(&f, frame);
	test_int(pc_frame_begin_cpu(f.last, PC_FRAME_READ, data), 0);
	for (unsigned y = 0; y < 320; y++) {
		for (unsigned x = 0; x < 320; x++) {
			const int expected = x >= 40 && x < 280 ? 255 : 0;
			for (unsigned c = 0; c < 3; c++) {
				test_assert(
					abs(data[0][(size_t)y * 960 + 3 * x + c] - expected) <= 2);
			}
		}
	}
	pc_frame_end_cpu(f.last, PC_FRAME_READ);
	pc_frame_unref(frame);
	end(&f);
}

static void test_rounds(void)
{
	int64_t live = 0;
	int64_t imports = 0;
	int64_t resident = 0;
	unsigned fds = 0;
	for (unsigned round = 0; round < fewer(ROUNDS); round++) {
		struct fixture f;
		begin(&f, round % 2 == 0 ? &nv12 : &i420, 320, 180, "gles");
		struct pc_frame *frame = picture(&f, round);
		scale(&f, frame);
		if (round % 3 == 0) { /* with one in flight */
			test_int(pc_scaler_submit(f.scaler, frame), 0);
		}
		pc_frame_unref(frame);
		end(&f);
		if (round == 9) {
			live = counter("vpiheap/live_buffers");
			imports = counter("vpigem/live_imports");
			fds = open_fds();
			resident = resident_kib();
		}
	}
	printf("   %+" PRId64 " KiB resident over %u rounds\n", resident_kib() - resident,
		fewer(ROUNDS) - 10);
	test_int(counter("vpiheap/live_buffers"), live);
	test_int(counter("vpigem/live_imports"), imports);
	test_int(open_fds(), fds);
}

int main(void)
{
	char why[256] = "";
	struct pc_allocator *heap = NULL;
	if (pc_allocator_create_heap(NULL, why, sizeof(why), &heap) < 0 || !pc_egl_maybe("")) {
		test_skip("runs inside the virtual Pi only: %s",
			why[0] != '\0' ? why : "no DRM node");
	}
	pc_allocator_destroy(heap);
	TEST_RUN(test_pixels);
	TEST_RUN(test_imports_once_and_maps_nothing);
	TEST_RUN(test_buffers_that_die_elsewhere);
	TEST_RUN(test_frames_outlive_the_scaler);
	TEST_RUN(test_choices);
	TEST_RUN(test_letterbox);
	TEST_RUN(test_rounds);
	return test_end();
}
