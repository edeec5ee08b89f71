/* tests/unit/hwaccel/test_scaler.c - the small frame. */
#include <errno.h>
#include <stdbool.h>

#include <drm_fourcc.h>

#include "core/log.h"
#include "hwaccel/allocator.h"
#include "hwaccel/scaler.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define W 1280
#define H 720

struct fixture {
	struct pc_loop *loop;
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	struct pc_scaler *scaler;
	struct pc_frame *kept[4]; /* what scaled() gave, as long as there is room */
	unsigned keep;
	unsigned n_kept;
	unsigned n_scaled;
	int err;
	bool close_inside;
};

static void scaled(void *data, struct pc_frame *frame)
{
	struct fixture *f = data;
	f->n_scaled++;
	if (f->n_kept < f->keep) {
		f->kept[f->n_kept++] = pc_frame_ref(frame);
	}
	if (f->close_inside) {
		pc_scaler_close(f->scaler);
		f->scaler = NULL;
	}
}

static void failed(void *data, int err)
{
	struct fixture *f = data;
	f->err = err;
}

static const struct pc_scaler_events events = { .scaled = scaled, .failed = failed };

static const struct pc_scaler_config config = {
	.input = { DRM_FORMAT_YUV420, W, H, 0 },
	.caps = PC_FRAME_CPU,
	.width = 320,
	.height = 180,
	.buffers = 2,
	.choice = "auto",
};

static void begin(struct fixture *f, const struct pc_scaler_config *c)
{
	*f = (struct fixture){ 0 };
	test_int(pc_loop_create(&f->loop), 0);
	test_int(pc_allocator_create_memfd(&f->allocator), 0);
	test_int(pc_frame_pool_create(f->allocator, &c->input, 2, &f->pool), 0);
	test_int(pc_scaler_open(f->loop, c, &events, f, &f->scaler), 0);
}

static void end(struct fixture *f)
{
	pc_scaler_close(f->scaler);
	for (unsigned i = 0; i < f->n_kept; i++) {
		pc_frame_unref(f->kept[i]);
	}
	pc_frame_pool_destroy(f->pool);
	pc_allocator_destroy(f->allocator);
	pc_loop_destroy(f->loop);
}

static void wait_for(struct fixture *f, unsigned n_scaled)
{
	while (f->n_scaled < n_scaled && f->err == 0) {
		test_assert(pc_loop_turn(f->loop, 10000) >= 0);
	}
}

/* Left half one colour, right half another, in limited-range BT.709. */
static struct pc_frame *picture(struct fixture *f, const uint8_t left[3], const uint8_t right[3])
{
	struct pc_frame *frame = pc_frame_pool_acquire(f->pool);
	test_assert(frame != NULL);
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	for (unsigned p = 0; p < 3; p++) {
		const unsigned w = p == 0 ? W : W / 2;
		const unsigned h = p == 0 ? H : H / 2;
		for (unsigned y = 0; y < h; y++) {
			uint8_t *line = data[p] + (size_t)y * frame->planes[p].stride;
			memset(line, left[p], w / 2);
			memset(line + w / 2, right[p], w - w / 2);
		}
	}
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	return frame;
}

static void check_pixel(struct pc_frame *frame, unsigned x, unsigned y, int r, int g, int b)
{
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, data), 0);
	const uint8_t *at = data[0] + (size_t)y * frame->planes[0].stride + 3 * (size_t)x;
	test_assert(abs(at[0] - r) <= 4 && abs(at[1] - g) <= 4 && abs(at[2] - b) <= 4);
	pc_frame_end_cpu(frame, PC_FRAME_READ);
}

static void test_colours(void)
{
	struct fixture f;
	begin(&f, &config);
	f.keep = 1;
	static const uint8_t red[3] = { 63, 102, 240 };
	static const uint8_t blue[3] = { 32, 240, 118 };
	struct pc_frame *frame = picture(&f, red, blue);
	frame->capture_ns = 123456789;
	frame->sequence = 42;
	test_int(pc_scaler_submit(f.scaler, frame), 0);
	pc_frame_unref(frame);
	wait_for(&f, 1);
	test_int(f.n_kept, 1);
	struct pc_frame *small = f.kept[0];
	test_int(small->format.fourcc, DRM_FORMAT_BGR888);
	test_int(small->format.width, 320);
	test_int(small->format.height, 180);
	test_int(small->planes[0].stride, 960);
	test_int(small->capture_ns, 123456789);
	test_int(small->sequence, 42);
	test_assert((small->caps & PC_FRAME_CPU) != 0);
	check_pixel(small, 10, 10, 255, 0, 0);
	check_pixel(small, 150, 179, 255, 0, 0);
	check_pixel(small, 310, 0, 0, 0, 255);
	check_pixel(small, 319, 179, 0, 0, 255);
	end(&f);
}

static void test_busy_and_full(void)
{
	static const uint8_t gray[3] = { 128, 128, 128 };
	struct fixture f;
	begin(&f, &config);
	f.keep = 2;
	struct pc_frame *frame = picture(&f, gray, gray);
	test_int(pc_scaler_submit(f.scaler, frame), 0);
	test_int(pc_scaler_submit(f.scaler, frame), -EAGAIN); /* its result is not handed over */
	wait_for(&f, 1);
	test_int(pc_scaler_submit(f.scaler, frame), 0);
	wait_for(&f, 2);
	test_int(pc_scaler_submit(f.scaler, frame), -EAGAIN); /* both outputs are kept */
	pc_frame_unref(f.kept[--f.n_kept]);
	test_int(pc_scaler_submit(f.scaler, frame), 0);
	wait_for(&f, 3);
	pc_frame_unref(frame);

	/* Steady state allocates nothing. */
	frame = picture(&f, gray, gray);
	const uint64_t calls = fault_calls(FAULT_ALLOC);
	for (unsigned i = 4; i < 14; i++) {
		pc_frame_unref(f.n_kept > 1 ? f.kept[--f.n_kept] : NULL);
		test_int(pc_scaler_submit(f.scaler, frame), 0);
		wait_for(&f, i);
	}
	test_int(fault_calls(FAULT_ALLOC), calls);
	pc_frame_unref(frame);
	end(&f); /* with frames kept */
}

static void test_close(void)
{
	static const uint8_t gray[3] = { 128, 128, 128 };
	for (int i = 0; i < 20; i++) { /* with a frame in flight, at any point of it */
		struct fixture f;
		begin(&f, &config);
		struct pc_frame *frame = picture(&f, gray, gray);
		test_int(pc_scaler_submit(f.scaler, frame), 0);
		pc_frame_unref(frame);
		if (i % 2 == 0) {
			test_assert(pc_loop_turn(f.loop, 0) >= 0);
		}
		pc_scaler_close(f.scaler);
		f.scaler = NULL;
		const unsigned n = f.n_scaled;
		test_assert(pc_loop_turn(f.loop, 0) >= 0);
		test_int(f.n_scaled, n);
		end(&f);
	}
	struct fixture f; /* from its own callback */
	begin(&f, &config);
	f.close_inside = true;
	struct pc_frame *frame = picture(&f, gray, gray);
	test_int(pc_scaler_submit(f.scaler, frame), 0);
	pc_frame_unref(frame);
	wait_for(&f, 1);
	end(&f);
	pc_scaler_close(NULL);
}

static char said[512];

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void test_refusals(void)
{
	struct pc_loop *loop;
	struct pc_scaler *scaler = NULL;
	test_int(pc_loop_create(&loop), 0);
	pc_log_set_hook(hear, NULL);
	struct pc_scaler_config c = config;
	c.caps = PC_FRAME_DMABUF;
	test_int(pc_scaler_open(loop, &c, &events, NULL, &scaler), -EINVAL);
	test_assert(strstr(said, "CPU can read") != NULL);
	c = config;
	c.input.fourcc = DRM_FORMAT_R8;
	test_int(pc_scaler_open(loop, &c, &events, NULL, &scaler), -EINVAL);
	test_assert(strstr(said, "I420") != NULL);
	c = config;
	c.choice = "magic";
	test_int(pc_scaler_open(loop, &c, &events, NULL, &scaler), -EINVAL);
	test_assert(strstr(said, "magic") != NULL && strstr(said, "software") != NULL);
	c = config;
	c.width = 300;
	test_int(pc_scaler_open(loop, &c, &events, NULL, &scaler), -EINVAL);
	c = config;
	c.buffers = 1;
	test_int(pc_scaler_open(loop, &c, &events, NULL, &scaler), -EINVAL);
	c = config;
	c.choice = "software";
	test_int(pc_scaler_open(loop, &c, &events, NULL, &scaler), 0);
	test_str(said, "software (libswscale) from YU12 1280x720 to 320x180");
	pc_scaler_close(scaler);
	pc_log_set_hook(NULL, NULL);
	pc_loop_destroy(loop);
}

static void test_every_allocation(void)
{
	struct pc_loop *loop;
	test_int(pc_loop_create(&loop), 0);
	struct pc_scaler_config c = config;
	c.choice = "software"; /* "auto" would go on to another */
	for (unsigned n = 1;; n++) {
		struct pc_scaler *scaler = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_scaler_open(loop, &c, &events, NULL, &scaler);
		const bool hit = fault_disarm();
		test_int(r, hit ? -ENOMEM : 0);
		pc_scaler_close(scaler);
		if (!hit) {
			test_assert(n > 5);
			break;
		}
	}
	pc_loop_destroy(loop);
}

static void test_fit(void)
{
	static const struct {
		unsigned w, h, wanted, fit_w, fit_h;
	} cases[] = {
		{ 1280, 720, 320, 320, 180 },
		{ 640, 338, 320, 320, 170 }, /* 169: the nearest even one up */
		{ 480, 848, 320, 320, 566 }, /* portrait */
		{ 960, 540, 300, 288, 162 },
		{ 960, 540, 1, 32, 32 },
		{ 4096, 16, 320, 320, 32 },
		{ 16, 4096, 320, 320, 8192 },
		{ 640, 480, 100000, 8192, 6144 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pc_frame_format format = { DRM_FORMAT_YUV420, cases[i].w, cases[i].h,
			0 };
		unsigned w = 0;
		unsigned h = 0;
		pc_scaler_fit(&format, cases[i].wanted, &w, &h);
		test_int(w, cases[i].fit_w);
		test_int(h, cases[i].fit_h);
	}
}

int main(void)
{
	TEST_RUN(test_colours);
	TEST_RUN(test_busy_and_full);
	TEST_RUN(test_close);
	TEST_RUN(test_refusals);
	TEST_RUN(test_every_allocation);
	TEST_RUN(test_fit);
	return test_end();
}
