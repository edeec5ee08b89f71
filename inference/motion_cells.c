/* inference/motion_cells.c - pictures into cells, cells against their background. */
#include "inference/motion_internal.h"

#include <math.h>
#include <string.h>

/* A cell differs by this many times what it differs by itself. The noise below is
 * learnt as about the 90th percentile, 1.6 times the deviation of a calm cell. */
#define NOISE_FACTOR 2.5f
#define SURE_FACTOR 1.8f
/* A thing's outline that shifts by a tenth of a cell changes it by this part of what
 * the thing differs at the least. */
#define MOVES_FACTOR 0.3f

#define SWAYS_NOISE 2.5f

/* A thing moves before a calm picture: it changes by so many times what half of the
 * picture changes by. Clouds, leaves, a camera that is carried change all of it. */
#define RESTLESS_MOVES 8.0f
#define RESTLESS_MOVES_MAX 30.0f /* grey levels */
#define RESTLESS_FORE 2.0f
#define RESTLESS_S 1.0f /* how long unrest is remembered */

#define MEDIAN_BINS 256
#define MEDIAN_SCALE 8.0f /* bins a grey level */

#define NOISE_MIN 0.5f /* grey levels */
#define NOISE_UP_S 1.0f
#define NOISE_DOWN_S 12.0f
#define LEARN_S 4.0f /* of the background */
#define STRANGE_S 1.5f /* of what differs, but is no thing: too small, or it never moved */
#define LIGHT_S 0.5f /* of its light */
#define SETTLE_S 0.2f /* after a change of light */
#define ABSORB_S 30.0f /* a thing that has stood this long is furniture */

static inline void sum_line(const struct pc_motion *motion, const uint8_t *rgb, unsigned stride,
	unsigned cell, size_t at)
{
	const float scale = 1.0f / (float)(cell * cell);
	float *restrict r = motion->raw[0] + at;
	float *restrict g = motion->raw[1] + at;
	float *restrict b = motion->raw[2] + at;
	for (unsigned x = 0; x < motion->columns; x++, rgb += 3 * cell) {
		unsigned sums[MOTION_CHANNELS] = { 0 };
		for (unsigned dy = 0; dy < cell; dy++) {
			const uint8_t *pixel = rgb + (size_t)dy * stride;
			for (unsigned dx = 0; dx < cell; dx++, pixel += 3) {
				sums[0] += pixel[0];
				sums[1] += pixel[1];
				sums[2] += pixel[2];
			}
		}
		r[x] = (float)sums[0] * scale;
		g[x] = (float)sums[1] * scale;
		b[x] = (float)sums[2] * scale;
	}
}

static void sum_cells(struct pc_motion *motion, const uint8_t *rgb, unsigned stride)
{
	const unsigned cell = motion->cell;
	for (unsigned y = 0; y < motion->rows; y++) {
		const uint8_t *line = rgb + (size_t)y * cell * stride;
		const size_t at = (size_t)y * motion->columns;
		/* 320 pixels are the rule: the compiler unrolls this one. */
		if (cell == 2) {
			sum_line(motion, line, stride, 2, at);
		} else {
			sum_line(motion, line, stride, cell, at);
		}
	}
}

static void smooth_line(const float *restrict above, const float *restrict line,
	const float *restrict below, float *restrict tall, float *restrict out, unsigned n)
{
	for (unsigned x = 0; x < n; x++) {
		tall[x] = (above[x] + 2 * line[x] + below[x]) * 0.25f;
	}
	out[0] = (3 * tall[0] + tall[1]) * 0.25f;
	for (unsigned x = 1; x + 1 < n; x++) {
		out[x] = (tall[x - 1] + 2 * tall[x] + tall[x + 1]) * 0.25f;
	}
	out[n - 1] = (tall[n - 2] + 3 * tall[n - 1]) * 0.25f;
}

/* In place: `scratch` holds what the next line still needs. */
static void smooth(float *plane, float *scratch, unsigned columns, unsigned rows)
{
	float *above = scratch;
	float *line = scratch + columns;
	float *tall = scratch + 2 * (size_t)columns;
	memcpy(above, plane, columns * sizeof(*plane));
	for (unsigned y = 0; y < rows; y++) {
		float *out = plane + (size_t)y * columns;
		memcpy(line, out, columns * sizeof(*line));
		smooth_line(above, line, y + 1 < rows ? out + columns : line, tall, out, columns);
		float *swap = above;
		above = line;
		line = swap;
	}
}

void motion_cells_read(struct pc_motion *motion, const uint8_t *rgb, unsigned stride)
{
	sum_cells(motion, rgb, stride);
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		smooth(motion->raw[c], motion->scratch, motion->columns, motion->rows);
	}
}

/* Green, where a sensor has half of its pixels, counts twice. */
static void distance(float *const a[MOTION_CHANNELS], float *const b[MOTION_CHANNELS],
	float *restrict out, unsigned n)
{
	const float *restrict ar = a[0], *restrict ag = a[1], *restrict ab = a[2];
	const float *restrict br = b[0], *restrict bg = b[1], *restrict bb = b[2];
	for (unsigned i = 0; i < n; i++) {
		const float r = ar[i] - br[i];
		const float g = ag[i] - bg[i];
		const float blue = ab[i] - bb[i];
		out[i] = sqrtf(0.25f * r * r + 0.5f * g * g + 0.25f * blue * blue);
	}
}

static float distance_at(
	float *const a[MOTION_CHANNELS], float *const b[MOTION_CHANNELS], unsigned i)
{
	const float r = a[0][i] - b[0][i];
	const float g = a[1][i] - b[1][i];
	const float blue = a[2][i] - b[2][i];
	return sqrtf(0.25f * r * r + 0.5f * g * g + 0.25f * blue * blue);
}

static void threshold(struct pc_motion *motion)
{
	const float *restrict differs = motion->differs;
	const float *restrict changes = motion->changes;
	const float *restrict sways = motion->sways;
	const float *restrict noise = motion->noise;
	const float *restrict tremor = motion->tremor;
	const float *restrict doubt = motion->doubt;
	const float *restrict open = motion->open;
	uint8_t *restrict flags = motion->flags;
	const float floor = motion->floor;
	const float moves_floor = larger(MOVES_FACTOR * floor,
		smaller(RESTLESS_MOVES * motion->restless, RESTLESS_MOVES_MAX));
	const float fore_more = RESTLESS_FORE * motion->restless;
	for (unsigned i = 0; i < motion->n; i++) {
		const float fore = larger(floor, NOISE_FACTOR * noise[i]) + fore_more + doubt[i];
		const float moves = larger(moves_floor, NOISE_FACTOR * tremor[i]) + doubt[i];
		const float d = differs[i] * open[i];
		const bool is_fore = d > fore;
		const bool sways_too = sways[i] > larger(moves, SWAYS_NOISE * noise[i]);
		unsigned flag = is_fore ? MOTION_FORE : 0;
		flag |= d > SURE_FACTOR * fore ? MOTION_SURE : 0;
		flag |= (is_fore & (changes[i] > moves)) ? MOTION_MOVES : 0;
		flag |= (is_fore & sways_too) ? MOTION_SWAYS : 0;
		flag |= (flags[i] & MOTION_THING) ? MOTION_WAS : 0;
		flags[i] = (uint8_t)flag;
	}
}

/* Where a thing stood long enough to become background, the floor below it is kept:
 * when the thing goes, there is no ghost of it. */
static void look_under(struct pc_motion *motion)
{
	for (unsigned i = 0; i < motion->n; i++) {
		if (!motion->has_under[i] || !(motion->flags[i] & MOTION_FORE) ||
			distance_at(motion->now, motion->under, i) > 0.7f * motion->differs[i]) {
			continue;
		}
		const float d = distance_at(motion->now, motion->under, i);
		if (d > larger(motion->floor, NOISE_FACTOR * motion->noise[i]) + motion->doubt[i]) {
			continue;
		}
		for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
			const float swap = motion->back[c][i];
			motion->back[c][i] = motion->under[c][i];
			motion->under[c][i] = swap;
		}
		motion->differs[i] = d;
		motion->still_s[i] = 0;
		motion->flags[i] &=
			(uint8_t) ~(MOTION_FORE | MOTION_SURE | MOTION_MOVES | MOTION_SWAYS);
	}
}

static void feel_unrest(struct pc_motion *motion, float dt_s)
{
	unsigned counts[MEDIAN_BINS] = { 0 };
	for (unsigned i = 0; i < motion->n; i++) {
		const float change = smaller(motion->changes[i] * MEDIAN_SCALE, MEDIAN_BINS - 1);
		counts[(unsigned)change] += motion->open[i] > 0;
	}
	unsigned below = 0;
	unsigned bin = 0;
	while (bin < MEDIAN_BINS - 1 && below + counts[bin] < motion->n_open / 2) {
		below += counts[bin++];
	}
	motion->stir = (float)bin / MEDIAN_SCALE;
	const float fades = motion->restless * expf(-dt_s / RESTLESS_S);
	motion->restless = larger(motion->stir, fades);
}

void motion_cells_compare(struct pc_motion *motion, float dt_s)
{
	distance(motion->now, motion->back, motion->differs, motion->n);
	distance(motion->now, motion->before[motion->lag - 1], motion->changes, motion->n);
	distance(motion->now, motion->earlier[1], motion->sways, motion->n);
	feel_unrest(motion, dt_s);
	threshold(motion);
	look_under(motion);
}

void motion_cells_absorb(struct pc_motion *motion, unsigned i)
{
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		motion->under[c][i] = motion->back[c][i];
		motion->back[c][i] = motion->raw[c][i];
	}
	motion->has_under[i] = 1;
	motion->still_s[i] = 0;
	motion->ghost_s[i] = 0;
	motion->flags[i] = 0;
}

/* Up fast and down slowly: about the 90th percentile. Cells with one of `flags` wait. */
static void learn_noise(const struct pc_motion *motion, float *restrict noise,
	const float *restrict seen, unsigned but, float dt_s)
{
	const uint8_t *restrict flags = motion->flags;
	const float up = 1 - expf(-dt_s / NOISE_UP_S);
	const float down = 1 - expf(-dt_s / NOISE_DOWN_S);
	const float limit = 3 * motion->floor;
	for (unsigned i = 0; i < motion->n; i++) {
		const float more = smaller(seen[i], limit) - noise[i];
		const float part = flags[i] & but ? 0 : more > 0 ? up : down;
		noise[i] = larger(noise[i] + more * part, NOISE_MIN);
	}
}

/* The background goes with the light, below things too. */
static void follow_light(struct pc_motion *motion, float part)
{
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		const float *restrict raw = motion->raw[c];
		const float *restrict now = motion->now[c];
		float *restrict back = motion->back[c];
		float *restrict under = motion->under[c];
		for (unsigned i = 0; i < motion->n; i++) {
			const float gain = (raw[i] + MOTION_DARK) / (now[i] + MOTION_DARK);
			const float more = (gain - 1) * part;
			back[i] += (back[i] + MOTION_DARK) * more;
			under[i] += (under[i] + MOTION_DARK) * more;
		}
	}
}

/* How long things have stood, and what becomes of the others. */
static void grow_old(struct pc_motion *motion, float dt_s)
{
	for (unsigned i = 0; i < motion->n; i++) {
		if (!(motion->flags[i] & MOTION_THING)) {
			motion->still_s[i] = 0;
			motion->ghost_s[i] = 0;
			continue;
		}
		/* Breathing is not moving away. */
		const bool moves = motion->changes[i] > motion->floor;
		motion->still_s[i] = moves ? 0 : motion->still_s[i] + dt_s;
		if (motion->still_s[i] > ABSORB_S) {
			motion_cells_absorb(motion, i);
		}
	}
}

void motion_cells_learn(struct pc_motion *motion, float dt_s, bool withheld)
{
	const float calm = 1 - expf(-dt_s / (withheld ? SETTLE_S : LEARN_S));
	const float strange = 1 - expf(-dt_s / (withheld ? SETTLE_S : STRANGE_S));
	if (!motion->light.even) {
		follow_light(motion, 1 - expf(-dt_s / LIGHT_S));
	}
	learn_noise(motion, motion->tremor, motion->changes, MOTION_MOVES, dt_s);
	learn_noise(motion, motion->noise, motion->differs, MOTION_FORE | MOTION_THING, dt_s);
	float *restrict pace = motion->doubt; /* of no more use in this picture */
	for (unsigned i = 0; i < motion->n; i++) {
		const unsigned flags = motion->flags[i];
		pace[i] = flags & MOTION_THING ? 0 : flags & MOTION_FORE ? strange : calm;
	}
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		const float *restrict raw = motion->raw[c];
		float *restrict back = motion->back[c];
		for (unsigned i = 0; i < motion->n; i++) {
			back[i] += (raw[i] - back[i]) * pace[i];
		}
	}
	grow_old(motion, dt_s);
}

void motion_cells_rebase(struct pc_motion *motion)
{
	const size_t bytes = motion->n * sizeof(float);
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		/* If it was a thing after all, what it hides is remembered. */
		float *back = motion->back[c];
		motion->back[c] = motion->under[c];
		motion->under[c] = back;
		memcpy(motion->back[c], motion->raw[c], bytes);
		memcpy(motion->now[c], motion->raw[c], bytes);
		for (unsigned lag = 0; lag < motion->lag; lag++) {
			memcpy(motion->before[lag][c], motion->raw[c], bytes);
		}
		memcpy(motion->earlier[0][c], motion->raw[c], bytes);
		memcpy(motion->earlier[1][c], motion->raw[c], bytes);
	}
	memset(motion->still_s, 0, bytes);
	memset(motion->ghost_s, 0, bytes);
	memset(motion->differs, 0, bytes);
	memset(motion->changes, 0, bytes);
	memset(motion->sways, 0, bytes);
	memset(motion->flags, 0, motion->n);
	memset(motion->has_under, 1, motion->n);
}
