/* inference/motion.c - what moves in the small frame; see motion.h. */
#include "inference/motion.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inference/motion_internal.h"

#define CELLS_WIDE 160
#define SIZE_MIN 32
#define SIZE_MAX_PIXELS 4096
#define FLOOR 8.0f /* grey levels at sensitivity 0.5 */

#define LEARNING_NS (INT64_C(600) * 1000 * 1000) /* a camera's exposure settles in that */
#define GAP_NS (INT64_C(5) * 1000 * 1000 * 1000) /* longer without a picture: begin anew */

/* A change of light that the gains do not explain, a lamp with its shadows: a large part
 * of the picture differs at once, and then is still. A thing that comes near goes on
 * moving. */
#define LIGHT_SHARE 0.35f
#define LIGHT_RISE 0.2f
#define LIGHT_STIR 6.0f /* or half of it changes by so many grey levels at once */
#define LIGHT_STILL 0.15f /* of what differs still changes */
#define LIGHT_WAIT_NS (INT64_C(300) * 1000 * 1000)
#define LIGHT_GIVE_UP_NS (INT64_C(1500) * 1000 * 1000)
#define LIGHT_HOLD_NS (INT64_C(400) * 1000 * 1000)

/* The light is changing: the picture has to be divided by something new all the time,
 * or half of it changes by this many grey levels in two pictures (flicker, or the camera
 * itself moves; a sensor with a noise of 12 grey levels comes to 2.5). */
#define UNREST_UNSTEADY 0.006f
#define UNREST_S 1.0f
#define RESTLESS_UNSTEADY 3.0f

#define CHANNEL_PLANES 6 /* a channel, and those before */
#define PLANES 9

static void take_planes(struct pc_motion *motion)
{
	float *at = motion->memory;
	const size_t n = motion->n;
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		motion->raw[c] = at;
		motion->now[c] = at + n;
		motion->back[c] = at + 2 * n;
		motion->under[c] = at + 3 * n;
		motion->earlier[0][c] = at + 4 * n;
		motion->earlier[1][c] = at + 5 * n;
		at += 6 * n;
		for (unsigned lag = 0; lag < motion->lag; lag++) {
			motion->before[lag][c] = at;
			at += n;
		}
	}
	float **const planes[] = { &motion->noise, &motion->tremor, &motion->differs,
		&motion->changes, &motion->sways, &motion->still_s, &motion->ghost_s,
		&motion->doubt, &motion->open };
	for (unsigned i = 0; i < sizeof(planes) / sizeof(planes[0]); i++) {
		*planes[i] = at;
		at += n;
	}
	motion->scratch = at;
}

static void apply_masks(struct pc_motion *motion, const struct pc_motion_config *config)
{
	for (unsigned y = 0; y < motion->rows; y++) {
		for (unsigned x = 0; x < motion->columns; x++) {
			const float px = ((float)x + 0.5f) / (float)motion->columns;
			const float py = ((float)y + 0.5f) / (float)motion->rows;
			bool masked = false;
			for (unsigned i = 0; i < config->n_masks && !masked; i++) {
				masked = pc_zone_contains(&config->masks[i], px, py);
			}
			motion->open[y * motion->columns + x] = masked ? 0 : 1;
			motion->n_open += !masked;
		}
	}
}

static int allocate(struct pc_motion *motion)
{
	const size_t scratch = 4 * (size_t)motion->columns;
	motion->max_runs = motion->rows * (motion->columns / 2 + 1);
	const size_t planes = MOTION_CHANNELS * (CHANNEL_PLANES + motion->lag) + PLANES;
	motion->memory = calloc(motion->n * planes + scratch, sizeof(float));
	motion->flags = calloc(motion->n, 1);
	motion->has_under = calloc(motion->n, 1);
	motion->runs = calloc(motion->max_runs, sizeof(*motion->runs));
	motion->blobs = calloc(motion->max_runs, sizeof(*motion->blobs));
	if (motion->memory == NULL || motion->flags == NULL || motion->has_under == NULL ||
		motion->runs == NULL || motion->blobs == NULL) {
		return -ENOMEM;
	}
	return motion_light_init(&motion->light, motion->columns, motion->rows);
}

int pc_motion_create(const struct pc_motion_config *config, struct pc_motion **ret_motion)
{
	if (config->width < SIZE_MIN || config->height < SIZE_MIN ||
		config->width > SIZE_MAX_PIXELS || config->height > SIZE_MAX_PIXELS ||
		!(config->rate > 0) || !(config->min_area > 0)) {
		return -EINVAL;
	}
	struct pc_motion *motion = calloc(1, sizeof(*motion));
	if (motion == NULL) {
		return -ENOMEM;
	}
	motion->width = config->width;
	motion->height = config->height;
	motion->cell = (config->width + CELLS_WIDE / 2) / CELLS_WIDE;
	motion->cell = motion->cell == 0 ? 1 : motion->cell;
	motion->columns = config->width / motion->cell;
	motion->rows = config->height / motion->cell;
	motion->n = motion->columns * motion->rows;
	const double lag = round(MOTION_LAG_S * config->rate);
	motion->lag = lag < 1 ? 1 : lag > MOTION_LAG_MAX ? MOTION_LAG_MAX : (unsigned)lag;
	motion->min_cells = larger(1, (float)(config->min_area * motion->n));
	/* From half to twice as much over the range of the setting. */
	motion->floor = FLOOR * exp2f((float)(1 - 2 * config->sensitivity));
	const int r = allocate(motion);
	if (r < 0) {
		pc_motion_destroy(motion);
		return r;
	}
	take_planes(motion);
	apply_masks(motion, config);
	*ret_motion = motion;
	return 0;
}

void pc_motion_destroy(struct pc_motion *motion)
{
	if (motion == NULL) {
		return;
	}
	motion_light_finish(&motion->light);
	free(motion->memory);
	free(motion->flags);
	free(motion->has_under);
	free(motion->runs);
	free(motion->blobs);
	free(motion);
}

void pc_motion_reset(struct pc_motion *motion)
{
	motion->started = false;
}

static void start(struct pc_motion *motion, int64_t capture_ns)
{
	motion_cells_rebase(motion);
	memset(motion->has_under, 0, motion->n);
	for (unsigned i = 0; i < motion->n; i++) {
		motion->noise[i] = motion->floor / 4;
		motion->tremor[i] = motion->floor / 4;
	}
	memset(motion->shares, 0, sizeof(motion->shares));
	motion->restless = 0;
	motion->unrest = 0;
	motion->first_ns = capture_ns;
	motion->earlier_ns = capture_ns;
	motion->jumped_ns = 0;
	motion->started = true;
	motion->withheld_until_ns = capture_ns;
}

static void keep_picture(struct pc_motion *motion, int64_t capture_ns)
{
	if (capture_ns - motion->earlier_ns >= MOTION_SWAY_NS) {
		for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
			float *oldest = motion->earlier[1][c];
			motion->earlier[1][c] = motion->earlier[0][c];
			motion->earlier[0][c] = oldest;
			memcpy(oldest, motion->now[c], motion->n * sizeof(*oldest));
		}
		motion->earlier_ns = capture_ns;
	}
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		float *oldest = motion->before[motion->lag - 1][c];
		for (unsigned lag = motion->lag - 1; lag > 0; lag--) {
			motion->before[lag][c] = motion->before[lag - 1][c];
		}
		motion->before[0][c] = motion->now[c];
		motion->now[c] = oldest;
	}
}

static void count_shares(struct pc_motion *motion, unsigned *ret_fore, unsigned *ret_moves)
{
	unsigned fore = 0;
	unsigned moves = 0;
	for (unsigned i = 0; i < motion->n; i++) {
		fore += (motion->flags[i] & MOTION_FORE) != 0;
		moves += (motion->flags[i] & MOTION_MOVES) != 0;
	}
	memmove(motion->shares + 1, motion->shares,
		(MOTION_SHARES - 1) * sizeof(motion->shares[0]));
	motion->shares[0] = motion->n_open > 0 ? (float)fore / (float)motion->n_open : 0;
	*ret_fore = fore;
	*ret_moves = moves;
}

static bool light_changed(struct pc_motion *motion, int64_t capture_ns)
{
	unsigned fore, moves;
	count_shares(motion, &fore, &moves);
	const bool large = motion->shares[0] > LIGHT_SHARE;
	const float rise = motion->shares[0] - motion->shares[MOTION_SHARES - 1];
	if (motion->jumped_ns == 0) {
		motion->jumped_all = motion->stir > LIGHT_STIR;
		if (motion->jumped_all || (large && rise > LIGHT_RISE)) {
			motion->jumped_ns = capture_ns;
		}
		return false;
	}
	const int64_t since_ns = capture_ns - motion->jumped_ns;
	if (since_ns > LIGHT_GIVE_UP_NS || (!large && !motion->jumped_all)) {
		motion->jumped_ns = 0;
		return false;
	}
	return since_ns >= LIGHT_WAIT_NS && motion->stir < RESTLESS_UNSTEADY &&
	       (float)moves <= LIGHT_STILL * (float)fore;
}

static void look(
	struct pc_motion *motion, float dt_s, int64_t capture_ns, struct pc_motion_result *ret)
{
	motion_light_even_out(motion);
	motion_cells_compare(motion, dt_s);
	if (light_changed(motion, capture_ns)) {
		motion_cells_rebase(motion);
		memset(motion->shares, 0, sizeof(motion->shares));
		motion->jumped_ns = 0;
		motion->withheld_until_ns = capture_ns + LIGHT_HOLD_NS;
	}
	motion->unrest = larger(motion->light.unrest, motion->unrest * expf(-dt_s / UNREST_S));
	ret->learning = capture_ns - motion->first_ns < LEARNING_NS;
	ret->light_change = capture_ns < motion->withheld_until_ns;
	ret->unsteady = motion->unrest > UNREST_UNSTEADY || motion->restless > RESTLESS_UNSTEADY ||
			motion->jumped_ns != 0;
	ret->changed = motion->shares[0];
	if (!ret->light_change) {
		motion_blobs_find(motion, dt_s, ret);
	}
	motion_cells_learn(motion, dt_s, ret->light_change);
	keep_picture(motion, capture_ns);
}

void pc_motion_feed(struct pc_motion *motion, const uint8_t *rgb, unsigned stride,
	int64_t capture_ns, struct pc_motion_result *ret)
{
	assert(stride >= 3 * motion->width);
	*ret = (struct pc_motion_result){ 0 };
	motion_cells_read(motion, rgb, stride);
	const int64_t since_ns = capture_ns - motion->last_ns;
	const bool anew = !motion->started || since_ns > GAP_NS;
	motion->last_ns = capture_ns;
	if (anew) {
		start(motion, capture_ns);
		ret->learning = true;
		return;
	}
	look(motion, (float)since_ns * 1e-9f, capture_ns, ret);
}
