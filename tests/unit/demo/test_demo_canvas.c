/* tests/unit/demo/test_demo_canvas.c - coverage is exact, and nothing leaves the picture. */
#include <errno.h>
#include <math.h>

#include "petcamd/demo_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

/* One scene unit is one pixel. */
#define WIDTH 1280U
#define HEIGHT 720U

static const struct pc_paint solid = { .alpha = 1 };

static struct pc_canvas *seen_canvas(void)
{
	struct pc_canvas *canvas = NULL;
	test_int(pc_canvas_create(PC_CANVAS_SEEN, WIDTH, HEIGHT, &canvas), 0);
	return canvas;
}

static double area(struct pc_canvas *canvas)
{
	const uint8_t *seen = pc_canvas_seen(canvas);
	double sum = 0;
	for (size_t i = 0; i < (size_t)WIDTH * HEIGHT; i++) {
		sum += seen[i];
	}
	return sum / 255;
}

static void expect_area(struct pc_canvas *canvas, double expected, double tolerance)
{
	const double got = area(canvas);
	if (fabs(got - expected) > tolerance) {
		test_fail("area %.2f, not %.2f", got, expected);
	}
	pc_canvas_clear_seen(canvas);
}

static void test_area_is_exact(void)
{
	struct pc_canvas *canvas = seen_canvas();
	pc_canvas_rect(canvas, 10.25F, 20.5F, 110.75F, 70, 0);
	pc_canvas_fill(canvas, &solid);
	const uint8_t *seen = pc_canvas_seen(canvas);
	test_int(seen[30 * WIDTH + 50], 255);
	test_int(seen[30 * WIDTH + 10], 191); /* three quarters of the pixel */
	test_int(seen[20 * WIDTH + 50], 128); /* a half */
	test_int(seen[30 * WIDTH + 9], 0);
	test_int(seen[70 * WIDTH + 50], 0);
	expect_area(canvas, 100.5 * 49.5, 2);
	pc_canvas_ellipse(canvas, 300.3F, 300.7F, 80, 40, 0.6F);
	pc_canvas_fill(canvas, &solid);
	expect_area(canvas, 3.14159 * 80 * 40, 60);
	const struct pc_vec line[] = { { 100, 100 }, { 300, 250 } };
	pc_canvas_tube(canvas, line, (const float[]){ 15, 15 }, 2);
	pc_canvas_fill(canvas, &solid);
	expect_area(canvas, 250 * 30 + 3.14159 * 15 * 15, 20);
	pc_canvas_destroy(canvas);
}

/* A tube drawn mirrored covers as much; parts that overlap do not count twice. */
static void test_parts_unite(void)
{
	struct pc_canvas *canvas = seen_canvas();
	pc_canvas_rect(canvas, 100, 100, 200, 200, 0);
	pc_canvas_rect(canvas, 150, 150, 250, 250, 0);
	pc_canvas_fill(canvas, &solid);
	expect_area(canvas, 17500, 1);
	/* a hairpin, far tighter than it is thick */
	const struct pc_vec hairpin[] = { { 0, 0 }, { 120, 0 }, { 130, 12 }, { 120, 24 },
		{ 0, 24 } };
	const float radii[] = { 30, 30, 30, 30, 30 };
	double areas[2];
	for (unsigned i = 0; i < 2; i++) {
		const struct pc_transform transform = { 600, 300, i == 0 ? 1 : -1, 0, 0, 1 };
		pc_canvas_transform(canvas, &transform);
		pc_canvas_tube(canvas, hairpin, radii, 5);
		pc_canvas_fill(canvas, &solid);
		const uint8_t *seen = pc_canvas_seen(canvas);
		const int side = i == 0 ? 1 : -1;
		for (int x = 0; x <= 120; x += 5) {
			for (int y = -20; y <= 44; y += 4) {
				const int at = (300 + y) * (int)WIDTH + 600 + side * x;
				if (seen[at] != 255) {
					test_fail("a hole at %d %d: %d", x, y, seen[at]);
				}
			}
		}
		areas[i] = area(canvas);
		pc_canvas_clear_seen(canvas);
	}
	test_assert(fabs(areas[0] - areas[1]) < 4);
	pc_canvas_destroy(canvas);
}

static void test_stays_within(void)
{
	struct pc_canvas *canvas = seen_canvas();
	/* From everywhere outside, over every border. */
	static const struct pc_vec centres[] = { { 0, 0 }, { 1280, 0 }, { 0, 720 }, { 1280, 720 },
		{ 640, -10 }, { -10, 360 }, { 1290, 360 }, { 640, 730 } };
	for (unsigned i = 0; i < sizeof(centres) / sizeof(centres[0]); i++) {
		pc_canvas_ellipse(canvas, centres[i].x, centres[i].y, 100, 100, 0);
		pc_canvas_fill(canvas, &solid);
		const double covered = area(canvas);
		test_assert(covered > 3.14159 * 2500 - 60 && covered < 3.14159 * 5000);
		pc_canvas_clear_seen(canvas);
	}
	pc_canvas_forget(canvas);
	pc_canvas_ellipse(canvas, -500, 300, 100, 100, 0);
	pc_canvas_fill(canvas, &solid);
	pc_canvas_ellipse(canvas, 500, 3000, 100, 100, 0);
	pc_canvas_fill(canvas, &solid);
	const struct pc_extent none = pc_canvas_extent(canvas);
	test_assert(none.x0 >= none.x1);
	expect_area(canvas, 0, 0);
	/* larger than the picture on all sides */
	pc_canvas_rect(canvas, -1000, -1000, 3000, 3000, 0);
	pc_canvas_fill(canvas, &solid);
	expect_area(canvas, (double)WIDTH * HEIGHT, 0);
	pc_canvas_window(canvas, 101, 207);
	pc_canvas_rect(canvas, 0, 100, 1280, 200, 0);
	pc_canvas_fill(canvas, &solid);
	expect_area(canvas, 106 * 100, 0);
	pc_canvas_window_all(canvas);
	pc_canvas_destroy(canvas);
}

/* Opaque colours arrive as they are, and chroma follows luma. */
static void test_colors(void)
{
	struct pc_canvas *canvas = NULL;
	test_int(pc_canvas_create(PC_CANVAS_I420, 256, 144, &canvas), 0);
	uint8_t *pixels = calloc(256 * 144 * 3 / 2, 1);
	test_assert(pixels != NULL);
	uint8_t *const planes[3] = { pixels, pixels + 256 * 144, pixels + 256 * 180 };
	const uint32_t strides[3] = { 256, 128, 128 };
	pc_canvas_set_planes(canvas, planes, strides);
	static const struct {
		struct pc_color color;
		int y, u, v;
	} cases[] = {
		{ { 1, 1, 1 }, 235, 128, 128 },
		{ { 0, 0, 0 }, 16, 128, 128 },
		{ { 1, 0, 0 }, 63, 102, 240 },
		{ { 0, 0, 1 }, 32, 240, 118 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pc_paint paint = {
			.top = cases[i].color, .bottom = cases[i].color, .alpha = 1
		};
		pc_canvas_rect(canvas, 200, 100, 400.7F, 300.3F, 0);
		pc_canvas_fill(canvas, &paint);
		const int x = 60;
		const int y = 40;
		test_int(abs(planes[0][y * 256 + x] - cases[i].y) <= 1, 1);
		test_int(abs(planes[1][y / 2 * 128 + x / 2] - cases[i].u) <= 1, 1);
		test_int(abs(planes[2][y / 2 * 128 + x / 2] - cases[i].v) <= 1, 1);
	}
	/* A shape with volume is bright above, dark below, and itself in its middle. */
	const struct pc_paint round = { .top = { 0.5F, 0.5F, 0.5F },
		.bottom = { 0.5F, 0.5F, 0.5F },
		.alpha = 1,
		.volume = 40,
		.round = 60 };
	pc_canvas_ellipse(canvas, 640, 360, 200, 200, 0);
	pc_canvas_fill(canvas, &round);
	const uint8_t *middle = planes[0] + 72 * 256 + 128;
	test_assert(abs(*middle - 126) <= 2);
	test_assert(middle[-33 * 256] > 140);
	test_assert(middle[33 * 256] < 112);
	free(pixels);
	pc_canvas_destroy(canvas);
}

static void test_no_memory(void)
{
	for (unsigned target = 0; target < 3; target++) {
		for (unsigned n = 1;; n++) {
			struct pc_canvas *canvas = NULL;
			fault_arm(FAULT_ALLOC, n, ENOMEM);
			int r = pc_canvas_create((enum pc_canvas_target)target, 256, 144, &canvas);
			if (!fault_disarm()) {
				test_int(r, 0);
				pc_canvas_destroy(canvas);
				break;
			}
			test_int(r, -ENOMEM);
			test_assert(canvas == NULL);
		}
	}
}

int main(void)
{
	TEST_RUN(test_area_is_exact);
	TEST_RUN(test_parts_unite);
	TEST_RUN(test_stays_within);
	TEST_RUN(test_colors);
	TEST_RUN(test_no_memory);
	return test_end();
}
