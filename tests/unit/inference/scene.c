/* tests/unit/inference/scene.c - see scene.h. */
#include "tests/unit/inference/scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

#include "tests/support/test.h"

static uint8_t picture[SCENE_HEIGHT * SCENE_WIDTH * 3];

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Four uniform numbers make a bell that is round enough. */
static float bell(uint32_t *state)
{
	float sum = 0;
	for (unsigned i = 0; i < 4; i++) {
		sum += (float)(next_random(state) & 0xffff) / 65536.0f - 0.5f;
	}
	return sum * 1.732f;
}

#define BELLS 65536
static float bells[BELLS];

static void make_bells(void)
{
	uint32_t state = 88675123u;
	for (unsigned i = 0; i < BELLS; i++) {
		bells[i] = bell(&state);
	}
}

/* A wall, a skirting board, a wooden floor, a carpet with a pattern, a dark cupboard. */
static void room(unsigned x, unsigned y, float rgb[3])
{
	const bool wall = y < 90;
	const float plank = (x + y / 3) % 24 < 2 ? -35.0f : (float)((x * 7 + y * 3) % 11);
	const float base[3] = { wall ? 190.0f : 150.0f + plank, wall ? 186.0f : 105.0f + plank,
		wall ? 175.0f : 70.0f + plank };
	memcpy(rgb, base, sizeof(base));
	if (y >= 86 && y < 90) {
		rgb[0] = rgb[1] = rgb[2] = 230;
	}
	if (x > 250 && y > 30 && y < 130) {
		rgb[0] = 45;
		rgb[1] = 38;
		rgb[2] = 36;
	}
	if (x > 60 && x < 180 && y > 120 && y < 165 && (x / 6 + y / 6) % 2 == 0) {
		rgb[0] = 60;
		rgb[1] = 80;
		rgb[2] = 130;
	}
}

static void add_things(const struct scene *scene, unsigned px, unsigned py, float rgb[3])
{
	const float x = ((float)px + 0.5f) / SCENE_WIDTH;
	const float y = ((float)py + 0.5f) / SCENE_HEIGHT;
	for (unsigned i = 0; i < SCENE_THINGS; i++) {
		const struct scene_thing *thing = &scene->things[i];
		if (thing->w <= 0) {
			continue;
		}
		const float dx = (x - thing->x) / thing->w * 2 - 1;
		const float dy = (y - thing->y) / thing->h * 2 - 1;
		if (dx * dx + dy * dy > 1) {
			continue;
		}
		if (thing->contrast == 0) {
			const float fur = (int)((dx + 1) * 4) % 2 == 0 ? 25 : 0;
			rgb[0] = 205 - fur;
			rgb[1] = 130 - fur;
			rgb[2] = 60;
		} else {
			for (unsigned c = 0; c < 3; c++) {
				rgb[c] += (float)thing->contrast;
			}
		}
	}
}

static float light_at(const struct scene *scene, unsigned x, unsigned y)
{
	float lamp = scene->lamp * (1 - (float)x / SCENE_WIDTH);
	if (x > 40 && x < 110 && y > 60 && y < 80) {
		lamp = 0;
	}
	return scene->light + lamp;
}

/* The blocks of a key frame differ from those before, and drift back. */
static float pump_at(const struct run *run, unsigned x, unsigned y)
{
	const unsigned since_key = run->frame % SCENE_RATE;
	uint32_t seed = (run->frame / SCENE_RATE * 7919 + y / 8 * 320 + x / 8 + 1) * 2654435761u;
	return run->scene.pumping * bell(&seed) / (float)(1 + since_key);
}

static uint8_t to_byte(float value)
{
	return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)(value + 0.5f);
}

static void draw(struct run *run)
{
	const struct scene *scene = &run->scene;
	const float balance[3] = { 1 / scene->blue, 1, scene->blue };
	uint8_t *out = picture;
	uint32_t at = next_random(&run->random); /* a line of noise is never as it was */
	for (unsigned y = 0; y < SCENE_HEIGHT; y++) {
		at += next_random(&run->random) % 4096;
		for (unsigned x = 0; x < SCENE_WIDTH; x++, out += 3) {
			float rgb[3];
			room(x, y, rgb);
			add_things(scene, x, y, rgb);
			if (scene->infrared) {
				rgb[0] = rgb[1] = rgb[2] = 1.6f * rgb[0] - rgb[2];
			}
			const float light = light_at(scene, x, y);
			const float pump = scene->pumping > 0 ? pump_at(run, x, y) : 0;
			for (unsigned c = 0; c < 3; c++) {
				const float noise = scene->noise * bells[at++ % BELLS];
				out[c] = to_byte(rgb[c] * light * balance[c] + pump + noise);
			}
		}
	}
}

static double clip_s(int64_t ns)
{
	return (double)(ns - PC_NS_PER_S) * 1e-9;
}

static void on_begin(void *data, const struct pc_behaviour_event *event)
{
	struct run *run = data;
	if (event->kind == PC_EVENT_MOTION) {
		test_int(event->end_ns, 0);
		run->n_begun++;
		run->begin_s = clip_s(event->start_ns);
	}
}

static void on_end(void *data, const struct pc_behaviour_event *event)
{
	struct run *run = data;
	run->n_entered += event->kind == PC_EVENT_ZONE_ENTER;
	run->n_left += event->kind == PC_EVENT_ZONE_LEAVE;
	if (event->kind == PC_EVENT_MOTION) {
		run->n_ended++;
		run->end_s = clip_s(event->end_ns);
		snprintf(run->evidence, sizeof(run->evidence), "%s", event->evidence);
	}
}

void run_start(struct run *run, const struct pc_zone *mask, const struct pc_zone *zone)
{
	*run = (struct run){ .scene = { .light = 1, .blue = 1 }, .random = 2463534242u };
	const struct pc_motion_config motion = {
		.width = SCENE_WIDTH,
		.height = SCENE_HEIGHT,
		.rate = SCENE_RATE,
		.sensitivity = 0.5,
		.min_area = 0.002,
		.masks = mask,
		.n_masks = mask != NULL,
	};
	const struct pc_tracker_config tracker = { .rate = SCENE_RATE, .lost_s = 1.5 };
	const struct pc_behaviour_config behaviour = {
		.zones = zone,
		.n_zones = zone != NULL,
		.hold_s = 2,
	};
	static const struct pc_behaviour_events events = { .begin = on_begin, .end = on_end };
	make_bells();
	test_int(pc_detector_create_motion(&motion, &run->detector), 0);
	test_int(pc_tracker_create(&tracker, &run->tracker), 0);
	test_int(pc_behaviour_create(&behaviour, &events, run, &run->behaviour), 0);
}

void run_stop(struct run *run)
{
	pc_behaviour_flush(run->behaviour);
	test_int(run->n_ended, run->n_begun);
	pc_behaviour_destroy(run->behaviour);
	pc_tracker_destroy(run->tracker);
	pc_detector_destroy(run->detector);
}

double run_now(const struct run *run)
{
	return (double)run->frame / SCENE_RATE;
}

void run_frame(struct run *run)
{
	draw(run);
	const int64_t capture_ns = PC_NS_PER_S + run->frame * (PC_NS_PER_S / SCENE_RATE);
	test_int(pc_detector_detect(
			 run->detector, picture, 3 * SCENE_WIDTH, capture_ns, &run->detections),
		0);
	run->tracks = pc_tracker_feed(run->tracker, &run->detections, capture_ns, &run->n_tracks);
	pc_behaviour_feed(run->behaviour, run->tracks, run->n_tracks, capture_ns);
	run->frame++;
}

void run_for(struct run *run, double seconds)
{
	for (unsigned i = 0; i < (unsigned)lround(seconds * SCENE_RATE); i++) {
		run_frame(run);
	}
}

void run_move(struct run *run, unsigned thing, float to_x, float to_y, double seconds)
{
	struct scene_thing *moving = &run->scene.things[thing];
	const unsigned steps = (unsigned)lround(seconds * SCENE_RATE);
	const float dx = (to_x - moving->x) / (float)steps;
	const float dy = (to_y - moving->y) / (float)steps;
	for (unsigned i = 0; i < steps; i++) {
		moving->x += dx;
		moving->y += dy;
		run_frame(run);
	}
}

const struct pc_track *run_track(const struct run *run)
{
	const struct pc_track *found = NULL;
	for (unsigned i = 0; i < run->n_tracks; i++) {
		if (run->tracks[i].state != PC_TRACK_CONFIRMED) {
			continue;
		}
		if (found != NULL) {
			return NULL;
		}
		found = &run->tracks[i];
	}
	return found;
}
