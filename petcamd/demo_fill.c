/* petcamd/demo_fill.c - shapes laid over what a canvas shows.
 *
 * A shape with volume is lit as if it were stuffed: its coverage, blurred, is a
 * height, and what rises towards the upper left is bright. That is done at half
 * the size, where nobody can tell.
 */
#include "petcamd/demo_canvas.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void pc_color_yuv(const struct pc_color *color, float yuv[static 3])
{
	const float y = 0.2126F * color->r + 0.7152F * color->g + 0.0722F * color->b;
	yuv[0] = 16 + 219 * y;
	yuv[1] = 128 + 224 * (color->b - y) / 1.8556F;
	yuv[2] = 128 + 224 * (color->r - y) / 1.5748F;
}

/* ---- blur ---- */

/* A running mean over 2 * r + 1 pixels along each line; outside is 0. */
static void blur_lines(const uint8_t *from, uint8_t *to, int width, int height, int r)
{
	const unsigned scale = 65536U / (unsigned)(2 * r + 1);
	for (int y = 0; y < height; y++) {
		const uint8_t *in = from + (size_t)y * (size_t)width;
		uint8_t *out = to + (size_t)y * (size_t)width;
		unsigned sum = 0;
		for (int x = 0; x < r && x < width; x++) {
			sum += in[x];
		}
		for (int x = 0; x < width; x++) {
			if (x + r < width) {
				sum += in[x + r];
			}
			out[x] = (uint8_t)((sum * scale + 32768U) >> 16);
			if (x >= r) {
				sum -= in[x - r];
			}
		}
	}
}

/* The same along each column, in strips so that memory is read in lines. */
static void blur_columns(const uint8_t *from, uint8_t *to, int width, int height, int r)
{
	enum { STRIP = 64 };
	const unsigned scale = 65536U / (unsigned)(2 * r + 1);
	for (int x0 = 0; x0 < width; x0 += STRIP) {
		const int n = width - x0 < STRIP ? width - x0 : STRIP;
		unsigned sums[STRIP] = { 0 };
		for (int y = -r; y < height; y++) {
			if (y + r < height) {
				const uint8_t *in = from + (size_t)(y + r) * (size_t)width + x0;
				for (int x = 0; x < n; x++) {
					sums[x] += in[x];
				}
			}
			if (y < 0) {
				continue;
			}
			uint8_t *out = to + (size_t)y * (size_t)width + x0;
			for (int x = 0; x < n; x++) {
				out[x] = (uint8_t)((sums[x] * scale + 32768U) >> 16);
			}
			if (y >= r) {
				const uint8_t *in = from + (size_t)(y - r) * (size_t)width + x0;
				for (int x = 0; x < n; x++) {
					sums[x] -= in[x];
				}
			}
		}
	}
}

static void blur_twice(uint8_t *plane, uint8_t *other, int width, int height, int r)
{
	for (unsigned i = 0; i < 2; i++) {
		blur_lines(plane, other, width, height, r);
		blur_columns(other, plane, width, height, r);
	}
}

/* ---- volume ---- */

static int clamp_int(int v, int low, int high)
{
	return v < low ? low : v > high ? high : v;
}

/* Light on the shape, 128 is none, at half size, into soft[1]. */
static void light_shape(struct pc_canvas *canvas, float depth)
{
	const int width = canvas->shape.at.x1 - canvas->shape.at.x0;
	const int w = width / 2;
	const int h = (canvas->shape.at.y1 - canvas->shape.at.y0) / 2;
	const int r_max = clamp_int((w < h ? w : h) / 4, 1, 64);
	const int r = clamp_int((int)(depth * canvas->unit * 0.25F + 0.5F), 1, r_max);
	/* A height goes down to the floor outside of its shape: so much room for that. */
	const int pw = w + 2 * r;
	const int ph = h + 2 * r;
	uint8_t *height = canvas->soft[0];
	memset(height, 0, (size_t)pw * (size_t)ph);
	for (int y = 0; y < h; y++) {
		const uint8_t *a = canvas->shape.cov + (size_t)(2 * y) * (size_t)width;
		const uint8_t *b = a + width;
		uint8_t *line = height + (size_t)(y + r) * (size_t)pw + r;
		for (int x = 0; x < w; x++) {
			line[x] =
				(uint8_t)((a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1] + 2) >>
					  2);
		}
	}
	blur_twice(height, canvas->soft[1], pw, ph, r);
	uint8_t *light = canvas->soft[1];
	const int dx = (r + 1) / 2;
	for (int y = 0; y < h; y++) {
		const uint8_t *above = height + (size_t)y * (size_t)pw + r - dx;
		const uint8_t *below = above + (size_t)(2 * r) * (size_t)pw + 2 * dx;
		for (int x = 0; x < w; x++) {
			light[y * w + x] = (uint8_t)(128 + (below[x] - above[x]) / 2);
		}
	}
}

/* ---- targets ---- */

struct fill {
	const struct pc_paint *paint;
	float top, height; /* of the shape, pixels */
	bool lit; /* soft[1] has its light */
};

static float along(const struct fill *fill, float y)
{
	return pc_clampf((y + 0.5F - fill->top) / pc_maxf(fill->height, 1), 0, 1);
}

/* Lines go by the eight: most of them lie outside of the shape or wholly inside. */
#define RUN 8

static bool is_empty(const uint8_t *cov)
{
	uint64_t run;
	memcpy(&run, cov, sizeof(run));
	return run == 0;
}

static bool is_full(const uint8_t *cov)
{
	uint64_t run;
	memcpy(&run, cov, sizeof(run));
	return run == UINT64_MAX;
}

/* `color` in sixteenths; `alpha` 257 is opaque, so that 255 times it is 65535. */
static uint8_t laid(uint8_t under, int color, int a)
{
	return (uint8_t)(under + (((color - (under << 4)) * (a >> 4) + 32768) >> 16));
}

static void lay_luma(uint8_t *line, const uint8_t *cov, int n, int color, int alpha)
{
	int x = 0;
	for (; x + RUN <= n; x += RUN) {
		if (is_empty(cov + x)) {
			continue;
		}
		if (alpha == 257 && is_full(cov + x)) {
			memset(line + x, (color + 8) >> 4, RUN);
			continue;
		}
		for (int i = x; i < x + RUN; i++) {
			line[i] = laid(line[i], color, cov[i] * alpha);
		}
	}
	for (; x < n; x++) {
		line[x] = laid(line[x], color, cov[x] * alpha);
	}
}

static void lay_lit_luma(uint8_t *line, const uint8_t *cov, const uint8_t *light, int n, int color,
	int alpha, int volume)
{
	int x = 0;
	while (x < n) {
		if (x + RUN <= n && is_empty(cov + x)) {
			x += RUN;
			continue;
		}
		const int end = x + RUN < n ? x + RUN : n;
		for (; x < end; x += 2) {
			const int lit = color + ((light[x / 2] - 128) * volume) / 16;
			const int in_range = clamp_int(lit, 16 << 4, 235 << 4);
			line[x] = laid(line[x], in_range, cov[x] * alpha);
			line[x + 1] = laid(line[x + 1], in_range, cov[x + 1] * alpha);
		}
	}
}

static void lay_chroma(uint8_t *line, const uint8_t *cov, int stride, int n, int color, int alpha)
{
	int x = 0;
	while (x < n) {
		const uint8_t *c = cov + (size_t)x * 2;
		const bool whole = x + RUN / 2 <= n;
		if (whole && is_empty(c) && is_empty(c + stride)) {
			x += RUN / 2;
			continue;
		}
		if (whole && alpha == 257 && is_full(c) && is_full(c + stride)) {
			memset(line + x, (color + 8) >> 4, RUN / 2);
			x += RUN / 2;
			continue;
		}
		const int end = whole ? x + RUN / 2 : n;
		for (; x < end; x++, c += 2) {
			const int mean = (c[0] + c[1] + c[stride] + c[stride + 1] + 2) >> 2;
			line[x] = laid(line[x], color, mean * alpha);
		}
	}
}

static void fill_i420(struct pc_canvas *canvas, const struct fill *fill)
{
	const struct pc_extent *at = &canvas->shape.at;
	const int width = at->x1 - at->x0;
	const int alpha = (int)(257 * pc_clampf(fill->paint->alpha, 0, 1) + 0.5F);
	const int volume = (int)(fill->paint->volume * 4 + 0.5F);
	float top[3];
	float bottom[3];
	pc_color_yuv(&fill->paint->top, top);
	pc_color_yuv(&fill->paint->bottom, bottom);
	for (int y = at->y0; y < at->y1; y++) {
		const float k = along(fill, (float)y);
		const uint8_t *cov = canvas->shape.cov + (size_t)(y - at->y0) * (size_t)width;
		uint8_t *luma = canvas->planes[0] + (size_t)y * canvas->strides[0] + at->x0;
		const int color = (int)(16 * pc_mixf(top[0], bottom[0], k) + 0.5F);
		if (fill->lit) {
			const uint8_t *light =
				canvas->soft[1] + (size_t)((y - at->y0) / 2) * (size_t)(width / 2);
			lay_lit_luma(luma, cov, light, width, color, alpha, volume);
		} else {
			lay_luma(luma, cov, width, color, alpha);
		}
		if (y % 2 != 0) {
			continue;
		}
		for (unsigned i = 1; i < 3; i++) {
			uint8_t *chroma = canvas->planes[i] + (size_t)(y / 2) * canvas->strides[i] +
					  at->x0 / 2;
			lay_chroma(chroma, cov, width, width / 2,
				(int)(16 * pc_mixf(top[i], bottom[i], k) + 0.5F), alpha);
		}
	}
}

static void fill_rgb(struct pc_canvas *canvas, const struct fill *fill)
{
	const struct pc_extent *at = &canvas->shape.at;
	const struct pc_paint *paint = fill->paint;
	const int width = at->x1 - at->x0;
	for (int y = at->y0; y < at->y1; y++) {
		const float k = along(fill, (float)y);
		const float color[3] = { pc_mixf(paint->top.r, paint->bottom.r, k),
			pc_mixf(paint->top.g, paint->bottom.g, k),
			pc_mixf(paint->top.b, paint->bottom.b, k) };
		const uint8_t *cov = canvas->shape.cov + (size_t)(y - at->y0) * (size_t)width;
		const uint8_t *light =
			canvas->soft[1] + (size_t)((y - at->y0) / 2) * (size_t)(width / 2);
		float *rgb = canvas->rgb + ((size_t)y * (size_t)canvas->width + (size_t)at->x0) * 3;
		for (int x = 0; x < width; x++, rgb += 3) {
			const float a = (float)cov[x] / 255 * paint->alpha;
			float gain = 1;
			if (fill->lit) {
				gain += paint->volume / 140 * (float)(light[x / 2] - 128) / 64;
			}
			for (unsigned i = 0; i < 3; i++) {
				rgb[i] +=
					paint->add ? a * color[i] : a * (color[i] * gain - rgb[i]);
			}
		}
	}
}

static void fill_seen(struct pc_canvas *canvas, const struct fill *fill)
{
	if (fill->paint->alpha < 0.7F || fill->paint->add || fill->paint->blur > 0 ||
		fill->paint->thin || fill->paint->clip) {
		return; /* does not hide what is behind it, or lies within what does */
	}
	const struct pc_extent *at = &canvas->shape.at;
	const int width = at->x1 - at->x0;
	for (int y = at->y0; y < at->y1; y++) {
		const uint8_t *cov = canvas->shape.cov + (size_t)(y - at->y0) * (size_t)width;
		uint8_t *seen = canvas->seen + (size_t)y * (size_t)canvas->width + at->x0;
		for (int x = 0; x < width; x++) {
			seen[x] = cov[x] > seen[x] ? cov[x] : seen[x];
		}
	}
}

/* ---- the calls ---- */

static void hold_in_clip(struct pc_canvas *canvas)
{
	const struct pc_extent *at = &canvas->shape.at;
	const struct pc_extent *clip = &canvas->clip.at;
	const int width = at->x1 - at->x0;
	for (int y = at->y0; y < at->y1; y++) {
		uint8_t *cov = canvas->shape.cov + (size_t)(y - at->y0) * (size_t)width;
		if (y < clip->y0 || y >= clip->y1) {
			memset(cov, 0, (size_t)width);
			continue;
		}
		const uint8_t *in =
			canvas->clip.cov + (size_t)(y - clip->y0) * (size_t)(clip->x1 - clip->x0);
		for (int x = at->x0; x < at->x1; x++) {
			const unsigned within =
				x >= clip->x0 && x < clip->x1 ? in[x - clip->x0] : 0;
			cov[x - at->x0] = (uint8_t)((cov[x - at->x0] * within + 127) / 255);
		}
	}
}

static void fill_path(struct pc_canvas *canvas, const struct pc_paint *paint)
{
	struct fill fill = { .paint = paint, .top = canvas->path_y0 };
	fill.height = canvas->path_y1 - canvas->path_y0;
	const int blur = (int)(paint->blur * canvas->unit * 0.5F + 0.5F);
	if (!pc_canvas_scan(canvas, 2 * blur)) {
		return;
	}
	const struct pc_extent *at = &canvas->shape.at;
	if (blur > 0) {
		assert(canvas->target != PC_CANVAS_I420);
		blur_twice(
			canvas->shape.cov, canvas->soft[0], at->x1 - at->x0, at->y1 - at->y0, blur);
	}
	if (paint->clip) {
		hold_in_clip(canvas);
	}
	if (paint->volume > 0 && canvas->target != PC_CANVAS_SEEN) {
		light_shape(canvas, paint->round);
		fill.lit = true;
	}
	switch (canvas->target) {
	case PC_CANVAS_RGB:
		fill_rgb(canvas, &fill);
		break;
	case PC_CANVAS_I420:
		fill_i420(canvas, &fill);
		break;
	case PC_CANVAS_SEEN:
		fill_seen(canvas, &fill);
		break;
	}
}

static void keep_as_clip(struct pc_canvas *canvas)
{
	const struct pc_coverage shape = canvas->shape;
	canvas->shape = canvas->clip;
	canvas->clip = shape;
}

void pc_canvas_fill(struct pc_canvas *canvas, const struct pc_paint *paint)
{
	fill_path(canvas, paint);
}

void pc_canvas_clip(struct pc_canvas *canvas)
{
	pc_canvas_scan(canvas, 0);
	keep_as_clip(canvas);
}

void pc_canvas_fill_clip(struct pc_canvas *canvas, const struct pc_paint *paint)
{
	fill_path(canvas, paint);
	keep_as_clip(canvas);
}

void pc_canvas_shadow(
	struct pc_canvas *canvas, float x, float y, float rx, float ry, float strength)
{
	if (canvas->target != PC_CANVAS_I420 || rx <= 0 || ry <= 0) {
		return;
	}
	const float cx = x * canvas->sx;
	const float cy = y * canvas->sy;
	rx *= canvas->sx;
	ry *= canvas->sy;
	const int x0 = clamp_int((int)(cx - rx), canvas->window_x0, canvas->window_x1);
	const int x1 = clamp_int((int)(cx + rx) + 1, canvas->window_x0, canvas->window_x1);
	const int y0 = clamp_int((int)(cy - ry), 0, canvas->height);
	const int y1 = clamp_int((int)(cy + ry) + 1, 0, canvas->height);
	for (int py = y0; py < y1; py++) {
		uint8_t *line = canvas->planes[0] + (size_t)py * canvas->strides[0];
		const float dy = ((float)py + 0.5F - cy) / ry;
		for (int px = x0; px < x1; px++) {
			const float dx = ((float)px + 0.5F - cx) / rx;
			const float d = dx * dx + dy * dy;
			if (d < 1) {
				const float dark = strength * (1 - d) * (1 - d);
				line[px] =
					(uint8_t)((float)line[px] - dark * (float)(line[px] - 16));
			}
		}
	}
}
