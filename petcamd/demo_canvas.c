/* petcamd/demo_canvas.c - paths and their exact coverage.
 *
 * Every edge adds the signed area that it bounds to its row, and the sum from the
 * left is how much of a pixel lies inside. Parts of a path all turn the same way,
 * so that they unite; where they overlap the sum is over one and is cut.
 */
#include "petcamd/demo_canvas.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Each line of a scan has two more sums than it has pixels. */
static size_t scratch_size(const struct pc_canvas *canvas)
{
	return (size_t)(canvas->width + 2) * (size_t)(canvas->height + 2);
}

int pc_canvas_create(enum pc_canvas_target target, unsigned width, unsigned height,
	struct pc_canvas **ret_canvas)
{
	assert(width % 2 == 0 && height % 2 == 0);
	struct pc_canvas *canvas = calloc(1, sizeof(*canvas));
	if (canvas == NULL) {
		return -ENOMEM;
	}
	canvas->target = target;
	canvas->width = (int)width;
	canvas->height = (int)height;
	canvas->sx = (float)width / PC_DEMO_W;
	canvas->sy = (float)height / PC_DEMO_H;
	const size_t pixels = (size_t)width * height;
	const size_t scratch = scratch_size(canvas);
	canvas->edges = malloc(PC_CANVAS_EDGES_MAX * sizeof(*canvas->edges));
	canvas->sums = malloc(scratch * sizeof(*canvas->sums));
	canvas->shape.cov = malloc(scratch);
	canvas->clip.cov = malloc(scratch);
	canvas->soft[0] = malloc(scratch);
	canvas->soft[1] = malloc(scratch);
	if (target == PC_CANVAS_RGB) {
		canvas->rgb = calloc(pixels * 3, sizeof(*canvas->rgb));
	} else if (target == PC_CANVAS_SEEN) {
		canvas->seen = calloc(pixels, 1);
	}
	if (canvas->edges == NULL || canvas->sums == NULL || canvas->shape.cov == NULL ||
		canvas->clip.cov == NULL || canvas->soft[0] == NULL || canvas->soft[1] == NULL ||
		(target == PC_CANVAS_RGB && canvas->rgb == NULL) ||
		(target == PC_CANVAS_SEEN && canvas->seen == NULL)) {
		pc_canvas_destroy(canvas);
		return -ENOMEM;
	}
	pc_canvas_window_all(canvas);
	pc_canvas_transform_scene(canvas);
	pc_canvas_forget(canvas);
	*ret_canvas = canvas;
	return 0;
}

void pc_canvas_destroy(struct pc_canvas *canvas)
{
	if (canvas == NULL) {
		return;
	}
	free(canvas->edges);
	free(canvas->sums);
	free(canvas->shape.cov);
	free(canvas->clip.cov);
	free(canvas->soft[0]);
	free(canvas->soft[1]);
	free(canvas->rgb);
	free(canvas->seen);
	free(canvas);
}

void pc_canvas_set_planes(
	struct pc_canvas *canvas, uint8_t *const planes[static 3], const uint32_t strides[static 3])
{
	assert(canvas->target == PC_CANVAS_I420);
	for (unsigned i = 0; i < 3; i++) {
		canvas->planes[i] = planes[i];
		canvas->strides[i] = strides[i];
	}
}

float *pc_canvas_rgb(struct pc_canvas *canvas)
{
	assert(canvas->target == PC_CANVAS_RGB);
	return canvas->rgb;
}

uint8_t *pc_canvas_seen(struct pc_canvas *canvas)
{
	assert(canvas->target == PC_CANVAS_SEEN);
	return canvas->seen;
}

void pc_canvas_clear_seen(struct pc_canvas *canvas)
{
	assert(canvas->target == PC_CANVAS_SEEN);
	memset(canvas->seen, 0, (size_t)canvas->width * (size_t)canvas->height);
}

struct pc_extent pc_canvas_extent(const struct pc_canvas *canvas)
{
	return canvas->drawn;
}

void pc_canvas_forget(struct pc_canvas *canvas)
{
	canvas->drawn = (struct pc_extent){ canvas->width, canvas->height, 0, 0 };
}

void pc_canvas_transform(struct pc_canvas *canvas, const struct pc_transform *transform)
{
	const float sx = canvas->sx;
	const float sy = canvas->sy;
	canvas->to_pixels = (struct pc_transform){
		.x = transform->x * sx,
		.y = transform->y * sy,
		.ax = transform->ax * sx,
		.ay = transform->ay * sy,
		.bx = transform->bx * sx,
		.by = transform->by * sy,
	};
	canvas->unit = hypotf(canvas->to_pixels.bx, canvas->to_pixels.by);
}

void pc_canvas_transform_scene(struct pc_canvas *canvas)
{
	pc_canvas_transform(canvas, &(struct pc_transform){ 0, 0, 1, 0, 0, 1 });
}

void pc_canvas_window(struct pc_canvas *canvas, float x0, float x1)
{
	canvas->window_x0 = (int)pc_clampf(x0 * canvas->sx, 0, (float)canvas->width);
	canvas->window_x1 = (int)pc_clampf(x1 * canvas->sx, 0, (float)canvas->width);
}

void pc_canvas_window_all(struct pc_canvas *canvas)
{
	canvas->window_x0 = 0;
	canvas->window_x1 = canvas->width;
}

/* ---- paths ---- */

static struct pc_vec place(const struct pc_canvas *canvas, struct pc_vec p)
{
	const struct pc_transform *t = &canvas->to_pixels;
	return pc_vec(t->x + t->ax * p.x + t->bx * p.y, t->y + t->ay * p.x + t->by * p.y);
}

static void add_edge(struct pc_canvas *canvas, struct pc_vec a, struct pc_vec b)
{
	assert(canvas->n_edges < PC_CANVAS_EDGES_MAX);
	if (canvas->n_edges == 0) {
		canvas->path_x0 = canvas->path_x1 = a.x;
		canvas->path_y0 = canvas->path_y1 = a.y;
	}
	canvas->path_x0 = pc_minf(canvas->path_x0, b.x);
	canvas->path_x1 = pc_maxf(canvas->path_x1, b.x);
	canvas->path_y0 = pc_minf(canvas->path_y0, b.y);
	canvas->path_y1 = pc_maxf(canvas->path_y1, b.y);
	canvas->edges[canvas->n_edges++] = (struct pc_edge){ a.x, a.y, b.x, b.y };
}

/* A contour in pixels, turned so that its area is positive. */
static void add_contour(struct pc_canvas *canvas, const struct pc_vec *points, unsigned n)
{
	float area = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct pc_vec a = points[i];
		const struct pc_vec b = points[(i + 1) % n];
		area += a.x * b.y - b.x * a.y;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct pc_vec a = points[i];
		const struct pc_vec b = points[(i + 1) % n];
		if (area >= 0) {
			add_edge(canvas, a, b);
		} else {
			add_edge(canvas, b, a);
		}
	}
}

#define CONTOUR_MAX 256

void pc_canvas_polygon(struct pc_canvas *canvas, const struct pc_vec *points, unsigned n)
{
	assert(n >= 3 && n <= CONTOUR_MAX);
	struct pc_vec placed[CONTOUR_MAX];
	for (unsigned i = 0; i < n; i++) {
		placed[i] = place(canvas, points[i]);
	}
	add_contour(canvas, placed, n);
}

static float catmull(float a, float b, float c, float d, float k)
{
	return b + 0.5F * k * (c - a + k * (2 * a - 5 * b + 4 * c - d + k * (3 * (b - c) + d - a)));
}

void pc_canvas_spline(struct pc_canvas *canvas, const struct pc_vec *points, unsigned n)
{
	enum { STEPS = 8 };
	assert(n >= 3 && n * STEPS <= CONTOUR_MAX);
	struct pc_vec placed[CONTOUR_MAX];
	for (unsigned i = 0; i < n; i++) {
		const struct pc_vec a = points[(i + n - 1) % n];
		const struct pc_vec b = points[i];
		const struct pc_vec c = points[(i + 1) % n];
		const struct pc_vec d = points[(i + 2) % n];
		for (unsigned s = 0; s < STEPS; s++) {
			const float k = (float)s / STEPS;
			placed[i * STEPS + s] =
				place(canvas, pc_vec(catmull(a.x, b.x, c.x, d.x, k),
						      catmull(a.y, b.y, c.y, d.y, k)));
		}
	}
	add_contour(canvas, placed, n * STEPS);
}

/* Corners that make a circle of `r` pixels look round. */
static unsigned corners(float r)
{
	return (unsigned)pc_clampf(8 + 4 * sqrtf(fabsf(r)), 12, 96) & ~3U;
}

void pc_canvas_ellipse(struct pc_canvas *canvas, float x, float y, float rx, float ry, float angle)
{
	const unsigned n = corners(pc_maxf(rx, ry) * canvas->unit);
	const float ca = cosf(angle);
	const float sa = sinf(angle);
	struct pc_vec placed[CONTOUR_MAX];
	for (unsigned i = 0; i < n; i++) {
		const float a = 2 * PC_DEMO_PI * (float)i / (float)n;
		const float px = rx * cosf(a);
		const float py = ry * sinf(a);
		placed[i] = place(canvas, pc_vec(x + px * ca - py * sa, y + px * sa + py * ca));
	}
	add_contour(canvas, placed, n);
}

void pc_canvas_rect(struct pc_canvas *canvas, float x0, float y0, float x1, float y1, float r)
{
	r = pc_minf(r, 0.5F * pc_minf(x1 - x0, y1 - y0));
	if (r <= 0) {
		const struct pc_vec points[] = { { x0, y0 }, { x1, y0 }, { x1, y1 }, { x0, y1 } };
		pc_canvas_polygon(canvas, points, 4);
		return;
	}
	const unsigned a_corner = corners(r * canvas->unit) / 4;
	const float cx[4] = { x1 - r, x0 + r, x0 + r, x1 - r };
	const float cy[4] = { y1 - r, y1 - r, y0 + r, y0 + r };
	struct pc_vec placed[CONTOUR_MAX];
	unsigned n = 0;
	for (unsigned corner = 0; corner < 4; corner++) {
		for (unsigned i = 0; i <= a_corner; i++) {
			const float a =
				0.5F * PC_DEMO_PI * ((float)corner + (float)i / (float)a_corner);
			placed[n++] = place(
				canvas, pc_vec(cx[corner] + r * cosf(a), cy[corner] + r * sinf(a)));
		}
	}
	add_contour(canvas, placed, n);
}

struct sample {
	struct pc_vec p, normal; /* the normal is as long as the radius */
	float r;
	struct pc_vec left, right; /* of the outline, pixels */
};

/* The outline's edges all turn one way, whichever way the transform mirrors. */
static void side_edge(struct pc_canvas *canvas, struct pc_vec a, struct pc_vec b)
{
	const struct pc_transform *t = &canvas->to_pixels;
	if (t->ax * t->by - t->ay * t->bx < 0) {
		add_edge(canvas, a, b);
	} else {
		add_edge(canvas, b, a);
	}
}

/* The round end at `s`, from `first` to `last` on its outline. */
static void cap_edges(struct pc_canvas *canvas, const struct sample *s, struct pc_vec first,
	struct pc_vec last, float turn)
{
	enum { CORNERS = 10 };
	const float start = atan2f(s->normal.y, s->normal.x) + turn;
	struct pc_vec from = first;
	for (unsigned i = 1; i < CORNERS; i++) {
		const float a = start - PC_DEMO_PI * (float)i / CORNERS;
		const struct pc_vec to =
			place(canvas, pc_vec(s->p.x + s->r * cosf(a), s->p.y + s->r * sinf(a)));
		side_edge(canvas, from, to);
		from = to;
	}
	side_edge(canvas, from, last);
}

#define TUBE_STEPS 6
#define TUBE_SAMPLES ((PC_TUBE_MAX - 1) * TUBE_STEPS + 1)

static unsigned sample_tube(const struct pc_canvas *canvas, const struct pc_vec *points,
	const float *radii, unsigned n, struct sample samples[static TUBE_SAMPLES])
{
	const unsigned steps = n == 2 ? 1 : TUBE_STEPS;
	unsigned count = 0;
	for (unsigned i = 0; i + 1 < n; i++) {
		const unsigned a = i == 0 ? 0 : i - 1;
		const unsigned d = i + 2 < n ? i + 2 : n - 1;
		for (unsigned s = 0; s < steps + (i + 2 == n); s++) {
			const float k = (float)s / (float)steps;
			struct sample *sample = &samples[count++];
			sample->p = pc_vec(
				catmull(points[a].x, points[i].x, points[i + 1].x, points[d].x, k),
				catmull(points[a].y, points[i].y, points[i + 1].y, points[d].y, k));
			sample->r = pc_mixf(radii[i], radii[i + 1], n == 2 ? k : pc_smoothf(k));
		}
	}
	for (unsigned i = 0; i < count; i++) {
		struct sample *s = &samples[i];
		const struct pc_vec before = samples[i == 0 ? 0 : i - 1].p;
		const struct pc_vec after = samples[i + 1 == count ? i : i + 1].p;
		const float dx = after.x - before.x;
		const float dy = after.y - before.y;
		const float d = pc_maxf(sqrtf(dx * dx + dy * dy), 1e-6F);
		s->normal = pc_vec(-dy / d * s->r, dx / d * s->r);
		s->left = place(canvas, pc_vec(s->p.x + s->normal.x, s->p.y + s->normal.y));
		s->right = place(canvas, pc_vec(s->p.x - s->normal.x, s->p.y - s->normal.y));
	}
	return count;
}

/* A tube is a row of four-sided pieces. What two neighbours share would cancel out
 * and is left away; but a piece on the inside of a sharp bend is folded over, and
 * is a shape of its own, with a disc that fills the fold. */
void pc_canvas_tube(
	struct pc_canvas *canvas, const struct pc_vec *points, const float *radii, unsigned n)
{
	assert(n >= 2 && n <= PC_TUBE_MAX);
	struct sample samples[TUBE_SAMPLES];
	const unsigned count = sample_tube(canvas, points, radii, n, samples);
	cap_edges(canvas, &samples[0], samples[0].right, samples[0].left, PC_DEMO_PI);
	for (unsigned i = 1; i < count; i++) {
		const struct sample *a = &samples[i - 1];
		const struct sample *b = &samples[i];
		const float dx = b->p.x - a->p.x;
		const float dy = b->p.y - a->p.y;
		const float turn = fabsf(a->normal.x * b->normal.y - a->normal.y * b->normal.x);
		if (turn > 0.8F * sqrtf(dx * dx + dy * dy) * a->r) {
			side_edge(canvas, a->left, a->right);
			side_edge(canvas, b->right, b->left);
			add_contour(canvas,
				(struct pc_vec[]){ a->left, b->left, b->right, a->right }, 4);
			pc_canvas_ellipse(canvas, b->p.x, b->p.y, b->r, b->r, 0);
		} else {
			side_edge(canvas, a->left, b->left);
			side_edge(canvas, b->right, a->right);
		}
	}
	const struct sample *end = &samples[count - 1];
	cap_edges(canvas, end, end->left, end->right, 0);
}

/* ---- coverage ---- */

/* What the part of an edge within one row does to that row: `area` is signed by the
 * edge's direction, the edge goes from x0 to x1. */
static void add_span(float *row, float width, float area, float x0, float x1)
{
	const float low = pc_clampf(pc_minf(x0, x1), 0, width);
	const float high = pc_clampf(pc_maxf(x0, x1), 0, width);
	const int first = (int)low;
	const int last = (int)ceilf(high);
	if (last <= first + 1) {
		const float inside = 0.5F * (low + high) - (float)first;
		row[first] += area - area * inside;
		row[first + 1] += area * inside;
		return;
	}
	const float slope = 1 / (high - low);
	const float from_left = low - (float)first;
	const float a0 = 0.5F * slope * (1 - from_left) * (1 - from_left);
	const float to_right = high - (float)last + 1;
	const float am = 0.5F * slope * to_right * to_right;
	row[first] += area * a0;
	if (last == first + 2) {
		row[first + 1] += area * (1 - a0 - am);
	} else {
		const float a1 = slope * (1.5F - from_left);
		row[first + 1] += area * (a1 - a0);
		for (int x = first + 2; x < last - 1; x++) {
			row[x] += area * slope;
		}
		const float a2 = a1 + (float)(last - first - 3) * slope;
		row[last - 1] += area * (1 - a2 - am);
	}
	row[last] += area * am;
}

static void scan_edge(struct pc_canvas *canvas, const struct pc_edge *edge)
{
	const struct pc_extent *at = &canvas->shape.at;
	const int width = at->x1 - at->x0;
	const int height = at->y1 - at->y0;
	struct pc_edge e = { edge->x0 - (float)at->x0, edge->y0 - (float)at->y0,
		edge->x1 - (float)at->x0, edge->y1 - (float)at->y0 };
	float direction = 1;
	if (e.y0 > e.y1) {
		e = (struct pc_edge){ e.x1, e.y1, e.x0, e.y0 };
		direction = -1;
	}
	if (e.y0 == e.y1 || e.y1 <= 0 || e.y0 >= (float)height) {
		return;
	}
	const float dxdy = (e.x1 - e.x0) / (e.y1 - e.y0);
	float x = e.x0;
	if (e.y0 < 0) {
		x -= e.y0 * dxdy;
		e.y0 = 0;
	}
	const int end = e.y1 < (float)height ? (int)ceilf(e.y1) : height;
	for (int y = (int)e.y0; y < end; y++) {
		const float dy = pc_minf((float)(y + 1), e.y1) - pc_maxf((float)y, e.y0);
		const float next = x + dxdy * dy;
		add_span(canvas->sums + (size_t)y * (size_t)(width + 2), (float)width,
			direction * dy, x, next);
		x = next;
	}
}

static int even_down(float v)
{
	return (int)floorf(v) & ~1;
}

static int even_up(float v)
{
	return ((int)ceilf(v) + 1) & ~1;
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

/* From changes to coverage. Most of a line has none: it is skipped by the four. */
static void sum_line(const float *sums, uint8_t *cov, int width)
{
	enum { RUN = 4 };
	float sum = 0;
	uint8_t part = 0;
	int x = 0;
	while (x < width) {
		uint64_t changes[RUN / 2];
		if (x + RUN <= width) {
			memcpy(changes, sums + x, sizeof(changes));
			if ((changes[0] | changes[1]) == 0) {
				memset(cov + x, part, RUN);
				x += RUN;
				continue;
			}
		}
		const int end = x + RUN < width ? x + RUN : width;
		for (; x < end; x++) {
			sum += sums[x];
			const float inside = fabsf(sum);
			part = (uint8_t)(255.0F * (inside < 1 ? inside : 1) + 0.5F);
			cov[x] = part;
		}
	}
}

bool pc_canvas_scan(struct pc_canvas *canvas, int pad)
{
	const unsigned n_edges = canvas->n_edges;
	canvas->n_edges = 0;
	struct pc_extent *at = &canvas->shape.at;
	*at = (struct pc_extent){ 0 };
	if (n_edges == 0 || !(canvas->path_x1 - canvas->path_x0 < 1e6F)) {
		return false;
	}
	pad = (pad + 1) & ~1;
	at->x0 = max_int(even_down(canvas->path_x0) - pad, canvas->window_x0 & ~1);
	at->y0 = max_int(even_down(canvas->path_y0) - pad, 0);
	at->x1 = min_int(even_up(canvas->path_x1) + pad, (canvas->window_x1 + 1) & ~1);
	at->y1 = min_int(even_up(canvas->path_y1) + pad, canvas->height);
	if (at->x0 >= at->x1 || at->y0 >= at->y1) {
		*at = (struct pc_extent){ 0 };
		return false;
	}
	const int width = at->x1 - at->x0;
	const int height = at->y1 - at->y0;
	assert((size_t)(width + 2) * (size_t)height <= scratch_size(canvas));
	memset(canvas->sums, 0, (size_t)(width + 2) * (size_t)height * sizeof(*canvas->sums));
	for (unsigned i = 0; i < n_edges; i++) {
		scan_edge(canvas, &canvas->edges[i]);
	}
	for (int y = 0; y < height; y++) {
		sum_line(canvas->sums + (size_t)y * (size_t)(width + 2),
			canvas->shape.cov + (size_t)y * (size_t)width, width);
	}
	/* Windows end where they end, not at the next even pixel. */
	for (int y = 0; y < height; y++) {
		uint8_t *cov = canvas->shape.cov + (size_t)y * (size_t)width;
		if (at->x0 < canvas->window_x0) {
			cov[0] = 0;
		}
		if (at->x1 > canvas->window_x1) {
			cov[width - 1] = 0;
		}
	}
	canvas->drawn.x0 = min_int(canvas->drawn.x0, at->x0);
	canvas->drawn.y0 = min_int(canvas->drawn.y0, at->y0);
	canvas->drawn.x1 = max_int(canvas->drawn.x1, at->x1);
	canvas->drawn.y1 = max_int(canvas->drawn.y1, at->y1);
	return true;
}
