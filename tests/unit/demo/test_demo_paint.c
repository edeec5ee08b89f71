/* tests/unit/demo/test_demo_paint.c - what is drawn is what the scene says. */
#include <errno.h>
#include <math.h>

#include "core/barcode.h"
#include "petcamd/demo_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

struct picture {
	unsigned width, height;
	uint32_t strides[3];
	uint8_t *planes[3];
	uint8_t *memory;
	size_t size;
};

static struct picture new_picture(unsigned width, unsigned height, unsigned padding)
{
	struct picture p = { .width = width, .height = height };
	p.strides[0] = width + padding;
	p.strides[1] = p.strides[2] = width / 2 + padding;
	const size_t luma = (size_t)p.strides[0] * height;
	const size_t chroma = (size_t)p.strides[1] * (height / 2);
	p.size = luma + 2 * chroma;
	p.memory = malloc(p.size);
	test_assert(p.memory != NULL);
	memset(p.memory, 0xA5, p.size);
	p.planes[0] = p.memory;
	p.planes[1] = p.memory + luma;
	p.planes[2] = p.planes[1] + chroma;
	return p;
}

struct room {
	struct pc_demo_scene *scene;
	struct pc_demo_painter *painter;
};

static struct room new_room(uint64_t seed, unsigned width, unsigned height)
{
	struct room room;
	test_int(pc_demo_scene_create(seed, &room.scene), 0);
	test_int(pc_demo_painter_create(room.scene, width, height, &room.painter), 0);
	return room;
}

static void free_room(struct room *room)
{
	pc_demo_painter_destroy(room->painter);
	pc_demo_scene_destroy(room->scene);
}

static void paint(struct room *room, double t_s, struct picture *p)
{
	pc_demo_paint(room->painter, t_s, 5, 1234567, p->planes, p->strides);
}

/* ---- the same bytes ---- */

static void test_same_seed_same_bytes(void)
{
	struct room a = new_room(11, 640, 360);
	struct room b = new_room(11, 640, 360);
	struct room c = new_room(12, 640, 360);
	struct picture pa = new_picture(640, 360, 0);
	struct picture pb = new_picture(640, 360, 0);
	struct picture pc = new_picture(640, 360, 0);
	unsigned differs = 0;
	for (double t = 3; t < 200; t += 9.7) {
		paint(&a, t, &pa);
		paint(&b, t + 31, &pb); /* what was there before does not matter */
		paint(&b, t, &pb);
		paint(&c, t, &pc);
		test_assert(memcmp(pa.memory, pb.memory, pa.size) == 0);
		differs += memcmp(pa.memory, pc.memory, pa.size) != 0;
	}
	test_assert(differs > 15);
	free(pa.memory);
	free(pb.memory);
	free(pc.memory);
	free_room(&a);
	free_room(&b);
	free_room(&c);
}

static void test_empty_room_is_still(void)
{
	struct room room = new_room(2, 640, 360);
	struct picture first = new_picture(640, 360, 0);
	struct picture next = new_picture(640, 360, 0);
	paint(&room, 210, &first);
	for (double t = 210; t < 240; t += 2.9) {
		paint(&room, t, &next);
		test_assert(memcmp(first.memory, next.memory, first.size) == 0);
	}
	/* and so it is at the end of another day */
	paint(&room, 3 * PC_DEMO_DAY_S + 225, &next);
	test_assert(memcmp(first.memory, next.memory, first.size) == 0);
	free(first.memory);
	free(next.memory);
	free_room(&room);
}

/* While both sleep, less than a thousandth of the picture changes in a second. */
static void test_sleep_is_breath_only(void)
{
	struct room room = new_room(2, 1280, 720);
	struct picture a = new_picture(1280, 720, 0);
	struct picture b = new_picture(1280, 720, 0);
	unsigned most = 0;
	for (double t = 106; t < 126; t += 1.3) {
		paint(&room, t, &a);
		paint(&room, t + 1, &b);
		unsigned changed = 0;
		for (size_t i = 0; i < (size_t)1280 * 720; i++) {
			changed += abs(a.planes[0][i] - b.planes[0][i]) > 12;
		}
		most = changed > most ? changed : most;
	}
	test_assert(most > 0); /* they live */
	if (most > 1280 * 720 / 1000) {
		test_fail("%u pixels change", most);
	}
	free(a.memory);
	free(b.memory);
	free_room(&room);
}

/* ---- truth ---- */

struct bounds {
	int x0, y0, x1, y1;
};

static bool within(const struct bounds *box, int x, int y, int margin)
{
	return x >= box->x0 - margin && x < box->x1 + margin && y >= box->y0 - margin &&
	       y < box->y1 + margin;
}

static void grow(struct bounds *box, const struct bounds *by)
{
	box->x0 = by->x0 < box->x0 ? by->x0 : box->x0;
	box->y0 = by->y0 < box->y0 ? by->y0 : box->y0;
	box->x1 = by->x1 > box->x1 ? by->x1 : box->x1;
	box->y1 = by->y1 > box->y1 ? by->y1 : box->y1;
}

/* The boxes of those who are seen, in pixels; their number. */
static unsigned true_boxes(
	struct room *room, double t_s, const struct picture *p, struct bounds boxes[PC_DEMO_PETS])
{
	struct pc_demo_truth truth[PC_DEMO_PETS];
	pc_demo_scene_truth(room->scene, t_s, truth);
	const float w = (float)p->width;
	const float h = (float)p->height;
	unsigned n = 0;
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		const struct pc_box *box = &truth[i].box;
		test_assert(truth[i].visible == (box->w > 0));
		if (truth[i].visible) {
			boxes[n++] = (struct bounds){ (int)lrintf(box->x * w),
				(int)lrintf(box->y * h), (int)lrintf((box->x + box->w) * w),
				(int)lrintf((box->y + box->h) * h) };
		}
	}
	return n;
}

/* Where the pictures differ, and how many of those pixels are in no box. */
static struct bounds difference(const struct picture *a, const struct picture *b,
	const struct bounds *boxes, unsigned n, int margin, unsigned *ret_outside)
{
	struct bounds d = { (int)a->width, (int)a->height, 0, 0 };
	*ret_outside = 0;
	for (int y = 0; y < (int)a->height; y++) {
		for (int x = 0; x < (int)a->width; x++) {
			const size_t luma = (size_t)y * a->strides[0] + (size_t)x;
			const size_t chroma = (size_t)(y / 2) * a->strides[1] + (size_t)(x / 2);
			const int delta = abs(a->planes[0][luma] - b->planes[0][luma]) +
					  abs(a->planes[1][chroma] - b->planes[1][chroma]) +
					  abs(a->planes[2][chroma] - b->planes[2][chroma]);
			if (delta <= 30) {
				continue;
			}
			grow(&d, &(struct bounds){ x, y, x + 1, y + 1 });
			bool inside = false;
			for (unsigned i = 0; i < n; i++) {
				inside = inside || within(&boxes[i], x, y, margin);
			}
			*ret_outside += !inside;
		}
	}
	return d;
}

/* Shadows are no part of a pet: without them, and without pets, is what differs. No
 * more than a few whiskers of that is outside of the boxes, and together they are no
 * larger than it. */
static void check_truth(unsigned width, unsigned height, double step, int margin)
{
	struct room room = new_room(4, width, height);
	struct picture with = new_picture(width, height, 0);
	struct picture without = new_picture(width, height, 0);
	unsigned compared = 0;
	for (double t = 0; t < PC_DEMO_DAY_S; t += step) {
		struct bounds boxes[PC_DEMO_PETS];
		const unsigned n = true_boxes(&room, t, &with, boxes);
		pc_demo_paint_without(
			room.painter, t, PC_DEMO_NO_SHADOWS, with.planes, with.strides);
		pc_demo_paint_without(
			room.painter, t, PC_DEMO_NO_PETS, without.planes, without.strides);
		unsigned outside;
		const struct bounds drawn = difference(&with, &without, boxes, n, margin, &outside);
		if (outside > width / 32) {
			test_fail("%ux%u at %.2f s: %u pixels of a pet are in no box", width,
				height, t, outside);
		}
		struct bounds all = { (int)width, (int)height, 0, 0 };
		for (unsigned i = 0; i < n; i++) {
			grow(&all, &boxes[i]);
		}
		if (n > 0 && (all.x0 < drawn.x0 - margin || all.y0 < drawn.y0 - margin ||
				     all.x1 > drawn.x1 + margin || all.y1 > drawn.y1 + margin)) {
			test_fail("%ux%u at %.2f s: drawn %d,%d..%d,%d, true %d,%d..%d,%d", width,
				height, t, drawn.x0, drawn.y0, drawn.x1, drawn.y1, all.x0, all.y0,
				all.x1, all.y1);
		}
		compared += n;
	}
	test_assert(compared > 60);
	free(with.memory);
	free(without.memory);
	free_room(&room);
}

static void test_truth_is_drawn(void)
{
	check_truth(1280, 720, 0.83, 4);
	check_truth(320, 180, 2.77, 2);
}

/* One behind the sofa is hidden: nothing of it is over the cushions. */
static void test_hidden_behind_sofa(void)
{
	struct room room = new_room(4, 640, 360);
	unsigned hidden = 0;
	for (double t = 155; t < 180; t += 0.25) {
		struct pc_demo_truth truth[PC_DEMO_PETS];
		struct pc_demo_state state;
		pc_demo_scene_truth(room.scene, t, truth);
		pc_demo_scene_state(room.scene, t, &state);
		const struct pc_spot *spot = &state.pets[0].spot;
		if (spot->y < 470 && spot->x > 780 && spot->x < 1000) {
			hidden++;
			test_assert(!truth[0].visible && !truth[0].moving);
			test_int(truth[0].action, PC_DEMO_WALK);
		}
	}
	test_assert(hidden > 4);
	free_room(&room);
}

/* ---- sizes, strides, barcode ---- */

static void test_sizes(void)
{
	static const unsigned sizes[][2] = { { 256, 144 }, { 320, 240 }, { 640, 338 }, { 854, 480 },
		{ 1000, 564 }, { 1024, 768 }, { 1920, 1080 }, { 1920, 800 } };
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const unsigned w = sizes[i][0];
		const unsigned h = sizes[i][1];
		enum { PADDING = 64 };
		struct room room = new_room(1, w, h);
		struct picture p = new_picture(w, h, PADDING);
		struct pc_zone masks[PC_ZONES_MAX];
		pc_demo_masks(masks);
		for (double t = 2; t < 200; t += 37) {
			pc_demo_paint(
				room.painter, t, 0xABCDEF, 1700000000123, p.planes, p.strides);
			struct pc_barcode code = { 0 };
			test_int(pc_barcode_read(p.planes[0], p.strides[0], w, h, &code), 0);
			test_int(code.frame, 0xABCDEF);
			test_int(code.utc_ms, 1700000000123 & 0xFFFFFFFFFF);
		}
		/* What lies beside the lines is nobody's business. */
		for (unsigned plane = 0; plane < 3; plane++) {
			const unsigned lines = plane == 0 ? h : h / 2;
			const unsigned used = plane == 0 ? w : w / 2;
			for (unsigned y = 0; y < lines; y++) {
				for (unsigned x = used; x < p.strides[plane]; x++) {
					test_assert(
						p.planes[plane][(size_t)y * p.strides[plane] + x] ==
						0xA5);
				}
			}
		}
		const unsigned cell = pc_barcode_cell(w);
		const float right = (float)(PC_BARCODE_COLUMNS * cell) / (float)w;
		const float low = (float)(PC_BARCODE_ROWS * cell) / (float)h;
		test_assert(pc_zone_contains(&masks[0], right, low));
		free(p.memory);
		free_room(&room);
	}
}

static void test_bad_sizes(void)
{
	static const unsigned sizes[][2] = { { 0, 0 }, { 254, 144 }, { 256, 142 }, { 641, 360 },
		{ 640, 361 }, { 10000, 720 }, { 1280, 10000 } };
	struct pc_demo_scene *scene = NULL;
	test_int(pc_demo_scene_create(1, &scene), 0);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct pc_demo_painter *painter = NULL;
		test_int(
			pc_demo_painter_create(scene, sizes[i][0], sizes[i][1], &painter), -EINVAL);
		test_assert(painter == NULL);
	}
	pc_demo_scene_destroy(scene);
}

/* ---- memory ---- */

static void test_painting_allocates_nothing(void)
{
	struct room room = new_room(1, 320, 180);
	struct picture p = new_picture(320, 180, 0);
	const uint64_t calls = fault_calls(FAULT_ALLOC);
	for (double t = 0; t < 2 * PC_DEMO_DAY_S; t += 1.7) {
		paint(&room, t, &p);
	}
	test_int(fault_calls(FAULT_ALLOC) - calls, 0);
	free(p.memory);
	free_room(&room);
}

static void test_no_memory(void)
{
	struct pc_demo_scene *scene = NULL;
	test_int(pc_demo_scene_create(1, &scene), 0);
	for (unsigned n = 1;; n++) {
		struct pc_demo_painter *painter = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_demo_painter_create(scene, 256, 144, &painter);
		if (!fault_disarm()) {
			test_int(r, 0);
			pc_demo_painter_destroy(painter);
			break;
		}
		test_int(r, -ENOMEM);
		test_assert(painter == NULL);
	}
	pc_demo_painter_destroy(NULL);
	pc_demo_scene_destroy(scene);
}

int main(void)
{
	TEST_RUN(test_same_seed_same_bytes);
	TEST_RUN(test_empty_room_is_still);
	TEST_RUN(test_sleep_is_breath_only);
	TEST_RUN(test_truth_is_drawn);
	TEST_RUN(test_hidden_behind_sofa);
	TEST_RUN(test_sizes);
	TEST_RUN(test_bad_sizes);
	TEST_RUN(test_painting_allocates_nothing);
	TEST_RUN(test_no_memory);
	return test_end();
}
