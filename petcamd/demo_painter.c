/* petcamd/demo_painter.c - a picture of the room at a time.
 *
 * The room is drawn once, in floats, and kept as I420 together with what each thing
 * covers. A frame is a copy of it, then whoever is in the room from back to front;
 * a thing that stands in front of somebody is put back over him from the copy.
 */
#include "petcamd/demo_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/barcode.h"

/* What a thing covers: its own rectangle of coverage, even corners. */
struct cover {
	struct pc_extent at;
	uint8_t *cov;
};

struct pc_demo_painter {
	struct pc_demo_scene *scene;
	unsigned width, height;
	struct pc_canvas *canvas;
	uint8_t *room[3]; /* without padding */
	struct cover covers[PC_THINGS];
};

/* ---- the room, once ---- */

/* A fixed pattern of thresholds hides the steps of soft gradients. */
static float dither(unsigned x, unsigned y)
{
	static const uint8_t order[4][4] = { { 0, 8, 2, 10 }, { 12, 4, 14, 6 }, { 3, 11, 1, 9 },
		{ 15, 7, 13, 5 } };
	return ((float)order[y % 4][x % 4] + 0.5F) / 16;
}

static struct pc_color color_at(const float *rgb)
{
	return (struct pc_color){ pc_clampf(rgb[0], 0, 1), pc_clampf(rgb[1], 0, 1),
		pc_clampf(rgb[2], 0, 1) };
}

static void convert(struct pc_demo_painter *painter, const float *rgb)
{
	const unsigned w = painter->width;
	for (unsigned y = 0; y < painter->height; y += 2) {
		for (unsigned x = 0; x < w; x += 2) {
			float u = 0;
			float v = 0;
			for (unsigned i = 0; i < 4; i++) {
				const unsigned px = x + i % 2;
				const unsigned py = y + i / 2;
				const size_t at = (size_t)py * w + px;
				const struct pc_color color = color_at(rgb + 3 * at);
				float yuv[3];
				pc_color_yuv(&color, yuv);
				painter->room[0][at] = (uint8_t)(yuv[0] + dither(px, py));
				u += yuv[1] / 4;
				v += yuv[2] / 4;
			}
			const size_t at = (size_t)(y / 2) * (w / 2) + x / 2;
			painter->room[1][at] = (uint8_t)(u + dither(x / 2, y / 2));
			painter->room[2][at] = (uint8_t)(v + dither(x / 2, y / 2));
		}
	}
}

static int make_room(struct pc_demo_painter *painter)
{
	const size_t pixels = (size_t)painter->width * painter->height;
	painter->room[0] = malloc(pixels);
	painter->room[1] = malloc(pixels / 4);
	painter->room[2] = malloc(pixels / 4);
	if (painter->room[0] == NULL || painter->room[1] == NULL || painter->room[2] == NULL) {
		return -ENOMEM;
	}
	struct pc_canvas *canvas;
	int r = pc_canvas_create(PC_CANVAS_RGB, painter->width, painter->height, &canvas);
	if (r < 0) {
		return r;
	}
	pc_demo_draw_room(canvas, painter->width, painter->height);
	convert(painter, pc_canvas_rgb(canvas));
	pc_canvas_destroy(canvas);
	return 0;
}

static int make_covers(struct pc_demo_painter *painter)
{
	struct pc_canvas *canvas;
	int r = pc_canvas_create(PC_CANVAS_SEEN, painter->width, painter->height, &canvas);
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < PC_THINGS; i++) {
		struct cover *cover = &painter->covers[i];
		pc_canvas_clear_seen(canvas);
		pc_canvas_forget(canvas);
		pc_demo_draw_thing(canvas, (enum pc_demo_thing)i);
		cover->at = pc_canvas_extent(canvas);
		const int w = cover->at.x1 - cover->at.x0;
		const int h = cover->at.y1 - cover->at.y0;
		assert(w > 0 && h > 0);
		cover->cov = malloc((size_t)w * (size_t)h);
		if (cover->cov == NULL) {
			r = -ENOMEM;
			break;
		}
		for (int y = 0; y < h; y++) {
			memcpy(cover->cov + (size_t)y * (size_t)w,
				pc_canvas_seen(canvas) +
					(size_t)(cover->at.y0 + y) * painter->width + cover->at.x0,
				(size_t)w);
		}
	}
	pc_canvas_destroy(canvas);
	return r;
}

int pc_demo_painter_create(struct pc_demo_scene *scene, unsigned width, unsigned height,
	struct pc_demo_painter **ret_painter)
{
	if (width < 256 || height < 144 || width % 2 != 0 || height % 2 != 0 || width > 8192 ||
		height > 8192) {
		return -EINVAL;
	}
	struct pc_demo_painter *painter = calloc(1, sizeof(*painter));
	if (painter == NULL) {
		return -ENOMEM;
	}
	painter->scene = scene;
	painter->width = width;
	painter->height = height;
	int r = make_room(painter);
	if (r == 0) {
		r = make_covers(painter);
	}
	if (r == 0) {
		r = pc_canvas_create(PC_CANVAS_I420, width, height, &painter->canvas);
	}
	if (r < 0) {
		pc_demo_painter_destroy(painter);
		return r;
	}
	*ret_painter = painter;
	return 0;
}

void pc_demo_painter_destroy(struct pc_demo_painter *painter)
{
	if (painter == NULL) {
		return;
	}
	for (unsigned i = 0; i < PC_THINGS; i++) {
		free(painter->covers[i].cov);
	}
	for (unsigned i = 0; i < 3; i++) {
		free(painter->room[i]);
	}
	pc_canvas_destroy(painter->canvas);
	free(painter);
}

/* ---- a frame ---- */

static void copy_room(const struct pc_demo_painter *painter, uint8_t *const planes[static 3],
	const uint32_t strides[static 3])
{
	for (unsigned i = 0; i < 3; i++) {
		const unsigned w = i == 0 ? painter->width : painter->width / 2;
		const unsigned h = i == 0 ? painter->height : painter->height / 2;
		if (strides[i] == w) {
			memcpy(planes[i], painter->room[i], (size_t)w * h);
			continue;
		}
		for (unsigned y = 0; y < h; y++) {
			memcpy(planes[i] + (size_t)y * strides[i], painter->room[i] + (size_t)y * w,
				w);
		}
	}
}

static uint8_t back(uint8_t now, uint8_t room, unsigned cov)
{
	return (uint8_t)((now * (255 - cov) + room * cov + 127) / 255);
}

/* Puts a thing back over what was drawn within `over`. */
static void put_back(const struct pc_demo_painter *painter, const struct cover *cover,
	const struct pc_extent *over, uint8_t *const planes[static 3],
	const uint32_t strides[static 3])
{
	const int x0 = cover->at.x0 > over->x0 ? cover->at.x0 : over->x0;
	const int x1 = cover->at.x1 < over->x1 ? cover->at.x1 : over->x1;
	const int y0 = cover->at.y0 > over->y0 ? cover->at.y0 : over->y0;
	const int y1 = cover->at.y1 < over->y1 ? cover->at.y1 : over->y1;
	const size_t w = (size_t)(cover->at.x1 - cover->at.x0);
	for (int y = y0; y < y1; y++) {
		const uint8_t *cov = cover->cov + (size_t)(y - cover->at.y0) * w;
		const uint8_t *room = painter->room[0] + (size_t)y * painter->width;
		uint8_t *luma = planes[0] + (size_t)y * strides[0];
		for (int x = x0; x < x1; x++) {
			luma[x] = back(luma[x], room[x], cov[x - cover->at.x0]);
		}
		if (y % 2 != 0) {
			continue;
		}
		for (unsigned i = 1; i < 3; i++) {
			room = painter->room[i] + (size_t)(y / 2) * (painter->width / 2);
			uint8_t *chroma = planes[i] + (size_t)(y / 2) * strides[i];
			for (int x = x0; x < x1; x += 2) {
				const uint8_t *c = cov + x - cover->at.x0;
				const unsigned mean = (c[0] + c[1] + c[w] + c[w + 1] + 2U) / 4;
				chroma[x / 2] = back(chroma[x / 2], room[x / 2], mean);
			}
		}
	}
}

void pc_demo_paint_without(struct pc_demo_painter *painter, double t_s, unsigned without,
	uint8_t *const planes[static 3], const uint32_t strides[static 3])
{
	struct pc_demo_state state;
	struct pc_demo_layer layers[PC_DEMO_LAYERS_MAX];
	struct pc_canvas *canvas = painter->canvas;
	pc_demo_scene_state(painter->scene, t_s, &state);
	copy_room(painter, planes, strides);
	pc_canvas_set_planes(canvas, planes, strides);
	pc_canvas_forget(canvas);
	const unsigned n = pc_demo_layers(&state, layers);
	for (unsigned i = 0; i < n; i++) {
		const unsigned index = layers[i].index;
		if (layers[i].kind == PC_LAYER_BALL) {
			pc_demo_draw_ball(canvas, index, &state.balls[index]);
		} else if (layers[i].kind == PC_LAYER_PET) {
			if ((without & (PC_DEMO_NO_PETS | PC_DEMO_NO_SHADOWS)) == 0) {
				pc_demo_draw_pet_shadow(canvas, index, &state.pets[index]);
			}
			if ((without & PC_DEMO_NO_PETS) == 0) {
				pc_demo_draw_pet(canvas, index, &state.pets[index]);
			}
		} else {
			const struct pc_extent drawn = pc_canvas_extent(canvas);
			put_back(painter, &painter->covers[index], &drawn, planes, strides);
		}
	}
}

void pc_demo_paint(struct pc_demo_painter *painter, double t_s, uint32_t frame, int64_t utc_ms,
	uint8_t *const planes[static 3], const uint32_t strides[static 3])
{
	pc_demo_paint_without(painter, t_s, 0, planes, strides);
	const struct pc_barcode code = { .frame = frame, .utc_ms = utc_ms };
	pc_barcode_draw(planes[0], strides[0], painter->width, &code);
	/* Grey under it, so that no colour tints its blocks. */
	const unsigned cell = pc_barcode_cell(painter->width);
	for (unsigned i = 1; i < 3; i++) {
		for (unsigned y = 0; y < PC_BARCODE_ROWS * cell / 2; y++) {
			memset(planes[i] + (size_t)y * strides[i], 128,
				(size_t)PC_BARCODE_COLUMNS * cell / 2);
		}
	}
}
