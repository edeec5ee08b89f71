/* inference/motion_blobs.c - foreground cells into boxes.
 *
 * Runs of a line are joined with those of the line above that they touch (also with
 * a gap of REACH cells: a thing is rarely seen whole), by union and find.
 */
#include "inference/motion_internal.h"

#include <math.h>
#include <string.h>

#define REACH 2 /* cells */
#define KNOWN_PART 0.3f
#define MOVING_PART 0.1f
#define GHOST_EDGES 1.7f
#define GHOST_S 1.0f /* and for so long: who stands, sways */
#define GHOST_STIRS 0.02f /* of its cells may change: noise */
#define SURE_PART 0.1f /* of a thing's cells must differ beyond doubt */

static uint32_t root_of(struct motion_run *runs, uint32_t i)
{
	while (runs[i].parent != i) {
		runs[i].parent = runs[runs[i].parent].parent;
		i = runs[i].parent;
	}
	return i;
}

static void join(struct motion_run *runs, uint32_t a, uint32_t b)
{
	a = root_of(runs, a);
	b = root_of(runs, b);
	if (a < b) {
		runs[b].parent = a;
	} else {
		runs[a].parent = b;
	}
}

static bool is_fore(const struct pc_motion *motion, unsigned x, unsigned y)
{
	return motion->flags[y * motion->columns + x] & MOTION_FORE;
}

static unsigned find_runs(struct pc_motion *motion)
{
	unsigned n = 0;
	for (unsigned y = 0; y < motion->rows; y++) {
		const unsigned line_start = n;
		for (unsigned x = 0; x < motion->columns; x++) {
			if (!is_fore(motion, x, y)) {
				continue;
			}
			unsigned to = x + 1;
			while (to < motion->columns && is_fore(motion, to, y)) {
				to++;
			}
			if (n > line_start && x - motion->runs[n - 1].to <= REACH) {
				/* One run, with a hole. */
				motion->runs[n - 1].to = (uint16_t)to;
			} else {
				motion->runs[n] = (struct motion_run){
					.y = (uint16_t)y,
					.from = (uint16_t)x,
					.to = (uint16_t)to,
					.parent = n,
				};
				n++;
			}
			x = to;
		}
	}
	return n;
}

/* Runs lie in order of y, then x. For each run a second index walks those of the
 * lines within REACH above. */
static void join_runs(struct motion_run *runs, unsigned n)
{
	unsigned first = 0;
	for (unsigned i = 0; i < n; i++) {
		while (runs[first].y + REACH < runs[i].y) {
			first++;
		}
		for (unsigned j = first; j < i && runs[j].y < runs[i].y; j++) {
			if (runs[j].from <= runs[i].to + (REACH - 1) &&
				runs[i].from <= runs[j].to + (REACH - 1)) {
				join(runs, i, j);
			}
		}
	}
}

static float step(const float *line, unsigned x, unsigned columns)
{
	const unsigned left = x == 0 ? 0 : x - 1;
	const unsigned right = x + 1 < columns ? x + 1 : x;
	return fabsf(line[right] - line[left]);
}

static void add_rims(
	struct pc_motion *motion, struct motion_blob *blob, const struct motion_run *run)
{
	const float *now = motion->now[1] + run->y * motion->columns;
	const float *back = motion->back[1] + run->y * motion->columns;
	const unsigned rims[] = { run->from, run->to - 1u };
	for (unsigned i = 0; i < 2; i++) {
		const float more =
			step(now, rims[i], motion->columns) - step(back, rims[i], motion->columns);
		blob->edges_now += larger(more, 0);
		blob->edges_back += larger(-more, 0);
	}
}

static void add_run(
	struct pc_motion *motion, struct motion_blob *blob, const struct motion_run *run)
{
	if (blob->cells == 0) {
		*blob = (struct motion_blob){ .x0 = run->from, .x1 = run->to, .y0 = run->y };
	}
	blob->x0 = run->from < blob->x0 ? run->from : blob->x0;
	blob->x1 = run->to > blob->x1 ? run->to : blob->x1;
	blob->y1 = run->y + 1u;
	add_rims(motion, blob, run);
	const uint8_t *flags = motion->flags + run->y * motion->columns;
	for (unsigned x = run->from; x < run->to; x++) {
		blob->cells += (flags[x] & MOTION_FORE) != 0;
		blob->sure += (flags[x] & MOTION_SURE) != 0;
		blob->known += (flags[x] & MOTION_WAS) != 0;
		blob->swaying += (flags[x] & MOTION_SWAYS) != 0;
		blob->moving += (flags[x] & MOTION_MOVES) != 0;
	}
}

static bool is_thing(const struct pc_motion *motion, const struct motion_blob *blob)
{
	return (float)blob->cells >= motion->min_cells &&
	       (float)blob->sure >= SURE_PART * (float)blob->cells;
}

/* A thing has its outline in the picture; what a thing left behind, when it was taken
 * for background, has it in the background. */
static bool is_ghost(const struct motion_blob *blob)
{
	const float stirs = (float)(blob->moving + blob->swaying);
	return stirs <= GHOST_STIRS * (float)blob->cells &&
	       blob->edges_back > GHOST_EDGES * blob->edges_now;
}

static void lay_ghosts(struct pc_motion *motion, unsigned n, float dt_s)
{
	for (unsigned i = 0; i < n; i++) {
		const struct motion_run *run = &motion->runs[i];
		const bool ghost = is_ghost(&motion->blobs[root_of(motion->runs, i)]);
		const unsigned line = run->y * motion->columns;
		for (unsigned cell = line + run->from; cell < line + run->to; cell++) {
			motion->ghost_s[cell] = ghost ? motion->ghost_s[cell] + dt_s : 0;
			if (motion->ghost_s[cell] > GHOST_S) {
				motion_cells_absorb(motion, cell);
			}
		}
	}
}

static void mark(struct pc_motion *motion, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct motion_run *run = &motion->runs[i];
		if (is_thing(motion, &motion->blobs[root_of(motion->runs, i)])) {
			uint8_t *flags = motion->flags + run->y * motion->columns;
			for (unsigned x = run->from; x < run->to; x++) {
				flags[x] |= MOTION_THING;
			}
		}
	}
}

static void insert_box(struct pc_motion_result *ret, const struct pc_motion_box *box)
{
	unsigned at = ret->n_boxes;
	if (at == PC_MOTION_BOXES_MAX) {
		if (ret->boxes[at - 1].area >= box->area) {
			return;
		}
		at--;
	} else {
		ret->n_boxes++;
	}
	for (; at > 0 && ret->boxes[at - 1].area < box->area; at--) {
		ret->boxes[at] = ret->boxes[at - 1];
	}
	ret->boxes[at] = *box;
}

static void report(const struct pc_motion *motion, const struct motion_blob *blob,
	struct pc_motion_result *ret)
{
	const float columns = (float)motion->width / (float)motion->cell;
	const float rows = (float)motion->height / (float)motion->cell;
	/* An outline that shifts by one cell on two sides is full movement. */
	const float outline = (float)(blob->x1 - blob->x0 + blob->y1 - blob->y0);
	const float energy = (float)blob->moving / outline;
	const float sway = (float)blob->swaying / outline;
	struct pc_motion_box box = {
		.box = {
			.x = (float)blob->x0 / columns,
			.y = (float)blob->y0 / rows,
			.w = (float)(blob->x1 - blob->x0) / columns,
			.h = (float)(blob->y1 - blob->y0) / rows,
		},
		.area = (float)blob->cells / (columns * rows),
		.energy = energy < 1 ? energy : 1,
		.sway = sway < 1 ? sway : 1,
	};
	insert_box(ret, &box);
}

void motion_blobs_find(struct pc_motion *motion, float dt_s, struct pc_motion_result *ret)
{
	const unsigned n = find_runs(motion);
	join_runs(motion->runs, n);
	memset(motion->blobs, 0, n * sizeof(*motion->blobs));
	for (unsigned i = 0; i < n; i++) {
		const uint32_t root = root_of(motion->runs, i);
		add_run(motion, &motion->blobs[root], &motion->runs[i]);
	}
	lay_ghosts(motion, n, dt_s);
	mark(motion, n);
	for (unsigned i = 0; i < n; i++) {
		if (motion->runs[i].parent == i && is_thing(motion, &motion->blobs[i])) {
			report(motion, &motion->blobs[i], ret);
		}
	}
}
