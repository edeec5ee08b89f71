/* inference/motion_light.c - the light of the picture against that of the background.
 *
 * A lamp, a cloud, the camera's own exposure or white balance change all of a large
 * part of the picture by about one factor; a thing changes a small part of it, or
 * not all by the same. So: in a window of 3 x 3 blocks (about a third of the picture
 * each way), three quarters of the cells must have become brighter (or darker) by at
 * least x for x to be called light. The picture is divided by it.
 *
 * What is left after a division is never perfect: the larger the factor, the higher
 * the doubt that is added to every threshold there.
 */
#include "inference/motion_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 10 /* blocks over the width */
#define UNITY (MOTION_BINS / 2) /* the bin of ratio 1; the last bin is for 2 and above */
#define DEAD 0.01f /* a gain nearer to 1 is 1 */
#define DOUBT 0.35f /* of what the light changed is not to be believed */

int motion_light_init(struct motion_light *light, unsigned columns, unsigned rows)
{
	light->block = (columns + COLUMNS - 1) / COLUMNS;
	light->columns = (columns + light->block - 1) / light->block;
	light->rows = (rows + light->block - 1) / light->block;
	const size_t n = (size_t)light->columns * light->rows;
	light->histograms = calloc(n * MOTION_BINS, sizeof(*light->histograms));
	light->gains = calloc(n * MOTION_CHANNELS, sizeof(*light->gains));
	light->shares = calloc(columns, sizeof(*light->shares));
	light->lefts = calloc(columns, sizeof(*light->lefts));
	if (light->histograms == NULL || light->gains == NULL || light->shares == NULL ||
		light->lefts == NULL) {
		motion_light_finish(light);
		return -ENOMEM;
	}
	for (unsigned x = 0; x < columns; x++) {
		const float at = larger(0, ((float)x + 0.5f) / (float)light->block - 0.5f);
		const unsigned left = (unsigned)at;
		const bool last = left + 1 >= light->columns;
		light->lefts[x] = (uint16_t)(last ? light->columns - 1 : left);
		light->shares[x] = last ? 0 : at - (float)left;
	}
	return 0;
}

void motion_light_finish(struct motion_light *light)
{
	free(light->histograms);
	free(light->gains);
	free(light->shares);
	free(light->lefts);
	*light = (struct motion_light){ 0 };
}

static void count_ratios(struct pc_motion *motion, unsigned channel)
{
	struct motion_light *light = &motion->light;
	memset(light->histograms, 0,
		(size_t)light->columns * light->rows * MOTION_BINS * sizeof(*light->histograms));
	for (unsigned y = 0; y < motion->rows; y++) {
		const size_t at = (size_t)y * motion->columns;
		const float *raw = motion->raw[channel] + at;
		const float *back = motion->back[channel] + at;
		const float *open = motion->open + at;
		float *ratios = motion->scratch;
		for (unsigned x = 0; x < motion->columns; x++) {
			ratios[x] =
				smaller((raw[x] + MOTION_DARK) / (back[x] + MOTION_DARK) * UNITY,
					MOTION_BINS - 1);
		}
		uint16_t *histogram = light->histograms +
				      (size_t)(y / light->block) * light->columns * MOTION_BINS;
		for (unsigned x = 0; x < motion->columns; histogram += MOTION_BINS) {
			const unsigned end = x + light->block < motion->columns ? x + light->block
										: motion->columns;
			for (; x < end; x++) {
				histogram[(unsigned)ratios[x]] += open[x] > 0;
			}
		}
	}
}

/* The ratio below which `part` of the `total` lie. */
static float quantile(const uint16_t *histogram, float part, unsigned total)
{
	const float wanted = part * (float)total;
	float below = 0;
	for (unsigned i = 0; i < MOTION_BINS; i++) {
		const float in = histogram[i];
		if (in > 0 && below + in >= wanted) {
			return ((float)i + (wanted - below) / in) / UNITY;
		}
		below += in;
	}
	return 1;
}

static float window_gain(const struct motion_light *light, unsigned column, unsigned row)
{
	uint16_t sums[MOTION_BINS] = { 0 };
	unsigned total = 0;
	const unsigned x0 = column == 0 ? 0 : column - 1;
	const unsigned x1 = column + 2 < light->columns ? column + 2 : light->columns;
	const unsigned y0 = row == 0 ? 0 : row - 1;
	const unsigned y1 = row + 2 < light->rows ? row + 2 : light->rows;
	for (unsigned y = y0; y < y1; y++) {
		for (unsigned x = x0; x < x1; x++) {
			const uint16_t *restrict histogram =
				light->histograms + (size_t)(y * light->columns + x) * MOTION_BINS;
			for (unsigned i = 0; i < MOTION_BINS; i++) {
				sums[i] = (uint16_t)(sums[i] + histogram[i]);
			}
		}
	}
	for (unsigned i = 0; i < MOTION_BINS; i++) {
		total += sums[i];
	}
	const float low = quantile(sums, 0.25f, total);
	const float high = quantile(sums, 0.75f, total);
	if (low > 1 + DEAD) {
		return low;
	}
	if (high < 1 - DEAD) {
		return high;
	}
	return 1;
}

static void find_gains(struct pc_motion *motion)
{
	struct motion_light *light = &motion->light;
	const unsigned n = light->columns * light->rows;
	float unrest = 0;
	light->even = true;
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		count_ratios(motion, c);
		float *gains = light->gains + (size_t)c * n;
		for (unsigned y = 0; y < light->rows; y++) {
			for (unsigned x = 0; x < light->columns; x++) {
				const float gain = window_gain(light, x, y);
				gains[y * light->columns + x] = gain;
				light->even = light->even && gain == 1;
				unrest += fabsf(gain - 1);
			}
		}
	}
	light->unrest = unrest / (float)(n * MOTION_CHANNELS);
}

/* One line of cells divided by the gains around it. */
static void divide_line(struct pc_motion *motion, unsigned channel, unsigned y)
{
	const struct motion_light *light = &motion->light;
	const float *gains = light->gains + (size_t)channel * light->columns * light->rows;
	const float at = larger(0, ((float)y + 0.5f) / (float)light->block - 0.5f);
	const unsigned top = (unsigned)at < light->rows ? (unsigned)at : light->rows - 1;
	const unsigned bottom = top + 1 < light->rows ? top + 1 : top;
	const float share = at - (float)top;
	float *line = motion->scratch;
	for (unsigned x = 0; x < light->columns; x++) {
		const float above = gains[top * light->columns + x];
		line[x] = above + (gains[bottom * light->columns + x] - above) * share;
	}
	line[light->columns] = line[light->columns - 1];
	const size_t from = (size_t)y * motion->columns;
	for (unsigned x = 0; x < motion->columns; x++) {
		const float left = line[light->lefts[x]];
		const float gain = left + (line[light->lefts[x] + 1] - left) * light->shares[x];
		const float raw = motion->raw[channel][from + x] + MOTION_DARK;
		const float even = raw / gain;
		motion->now[channel][from + x] = even - MOTION_DARK;
		motion->doubt[from + x] =
			larger(motion->doubt[from + x], DOUBT * fabsf(raw - even));
	}
}

void motion_light_even_out(struct pc_motion *motion)
{
	find_gains(motion);
	const size_t bytes = motion->n * sizeof(float);
	memset(motion->doubt, 0, bytes);
	for (unsigned c = 0; c < MOTION_CHANNELS; c++) {
		if (motion->light.even) {
			memcpy(motion->now[c], motion->raw[c], bytes);
			continue;
		}
		for (unsigned y = 0; y < motion->rows; y++) {
			divide_line(motion, c, y);
		}
	}
}
