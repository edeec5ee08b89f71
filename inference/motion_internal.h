/* inference/motion_internal.h - the stages of motion detection; see motion.h.
 *
 * The small frame is averaged into cells of about 1/160 of its width and smoothed
 * over 3 x 3 of them: sensor noise falls to a fifth, and no thing worth an event is
 * smaller. All planes are floats in grey levels, one value a cell, three channels.
 *
 *   cells -> light -> compare -> blobs -> boxes
 *                       learn <-------- which cells are a thing
 */
#ifndef PC_INFERENCE_MOTION_INTERNAL_H
#define PC_INFERENCE_MOTION_INTERNAL_H

#include "inference/motion.h"

#define MOTION_CHANNELS 3
#define MOTION_LAG_S 0.2 /* between the two pictures whose difference is movement */
#define MOTION_LAG_MAX 6 /* the same in pictures, at a rate of 30 */
#define MOTION_SWAY_NS (INT64_C(500) * 1000 * 1000) /* between two remembered pictures */
#define MOTION_SHARES 4 /* pictures in which a jump of light is looked for */
#define MOTION_BINS 256 /* of a histogram of brightness ratios */

/* Grey levels added on both sides of a ratio: black is never quite black, and the
 * ratio of two dark noises says nothing. */
#define MOTION_DARK 8.0f

/* Light: how much brighter the picture is than the background, on a coarse grid. */
struct motion_light {
	unsigned block; /* cells a side */
	unsigned columns, rows;
	uint16_t *histograms; /* MOTION_BINS a block */
	float *gains; /* MOTION_CHANNELS planes of columns x rows */
	float *shares; /* a cell column's share of the right one of its two blocks */
	uint16_t *lefts; /* a cell column's left block */
	bool even; /* every gain is 1 */
	float unrest; /* mean |gain - 1| over the picture */
};

struct motion_run {
	uint16_t y, from, to; /* cells [from, to) */
	uint32_t parent;
};

/* A thing while it is put together from runs, in cells. */
struct motion_blob {
	unsigned x0, y0, x1, y1; /* [x0, x1) x [y0, y1) */
	unsigned cells; /* foreground */
	unsigned sure; /* foreground beyond doubt */
	unsigned moving;
	unsigned swaying;
	unsigned known; /* part of a thing already */
	float edges_now, edges_back; /* steeper here, or there, at its left and right rims */
};

struct pc_motion {
	unsigned width, height; /* of the small frame */
	unsigned cell; /* pixels a side */
	unsigned columns, rows, n;
	unsigned lag; /* pictures */
	float min_cells;
	float floor; /* grey levels: less is never foreground */

	float *memory; /* all the planes of cells */
	float *raw[MOTION_CHANNELS]; /* this picture, smoothed */
	float *now[MOTION_CHANNELS]; /* the same in the background's light */
	float *before[MOTION_LAG_MAX][MOTION_CHANNELS]; /* `now` of the last, newest first */
	float *earlier[2][MOTION_CHANNELS]; /* `now` of up to half a second ago, and of a whole */
	float *back[MOTION_CHANNELS]; /* the background */
	float *under[MOTION_CHANNELS]; /* what was the background before a thing stood there */
	float *noise; /* how much a cell differs from its background by itself */
	float *tremor; /* the same for the difference of two pictures */
	float *differs; /* this picture from the background */
	float *changes; /* this picture from the one MOTION_LAG_S before */
	float *sways; /* this picture from the one half a second to a second before */
	float *still_s; /* how long a foreground cell has looked the same */
	float *ghost_s; /* how long it has looked left behind */
	float *doubt; /* added to the threshold: compensated light */
	float *open; /* 1, or 0 where a mask lies */
	float *scratch; /* one line more than a plane */
	uint8_t *flags; /* MOTION_FORE ... a cell */
	uint8_t *has_under;

	struct motion_light light;
	struct motion_run *runs;
	unsigned max_runs;
	struct motion_blob *blobs; /* by root run; then packed */
	unsigned n_open; /* cells that no mask covers */

	bool started; /* there is a background */
	int64_t first_ns, last_ns;
	int64_t earlier_ns; /* of earlier[0] */
	float stir; /* `restless` of this picture alone */
	bool jumped_all; /* the jump is one of the whole picture */
	int64_t jumped_ns; /* when a large part began to differ at once; 0: no */
	int64_t withheld_until_ns; /* after a change of light */
	float unrest; /* of the light, remembered for a while */
	float restless; /* grey levels that half of the picture changes by, from picture to picture */
	float shares[MOTION_SHARES]; /* part of the picture that was foreground, newest first */
};

enum motion_flag {
	MOTION_FORE = 1 << 0, /* differs from the background */
	MOTION_SURE = 1 << 1, /* by far */
	MOTION_MOVES = 1 << 2, /* and differs from the picture before */
	MOTION_THING = 1 << 3, /* part of a reported box */
	MOTION_SWAYS = 1 << 5, /* differs from the picture of a second ago */
	MOTION_WAS = 1 << 4, /* was that in the picture before */
};

/* fminf and fmaxf without their care for NaN: one instruction, and loops of them too. */
static inline float smaller(float a, float b)
{
	return a < b ? a : b;
}

static inline float larger(float a, float b)
{
	return a > b ? a : b;
}

/* motion_cells.c */
void motion_cells_read(struct pc_motion *motion, const uint8_t *rgb, unsigned stride);
void motion_cells_compare(struct pc_motion *motion, float dt_s);
void motion_cells_learn(struct pc_motion *motion, float dt_s, bool withheld);
/* A cell of background that is not what it was; what it was is remembered. */
void motion_cells_absorb(struct pc_motion *motion, unsigned i);
void motion_cells_rebase(struct pc_motion *motion); /* the background is this picture */

/* motion_light.c */
int motion_light_init(struct motion_light *light, unsigned columns, unsigned rows);
void motion_light_finish(struct motion_light *light);
/* Makes `now` and `doubt` from `raw` and `back`. */
void motion_light_even_out(struct pc_motion *motion);

/* motion_blobs.c: boxes of what is foreground, largest first; marks MOTION_THING. */
void motion_blobs_find(struct pc_motion *motion, float dt_s, struct pc_motion_result *ret);

#endif
