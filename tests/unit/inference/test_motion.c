/* tests/unit/inference/test_motion.c - what is motion, and what only looks like it. */
#include "inference/motion.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/inference/scene.h"

/* Calm scenes: no event, whatever the camera does to them. */

static void test_sensor_noise(void)
{
	for (int sigma = 0; sigma <= 12; sigma += 3) {
		struct run run;
		run_start(&run, NULL, NULL);
		run.scene.noise = (float)sigma;
		for (unsigned i = 0; i < 200; i++) {
			run_frame(&run);
			test_int(run.detections.n, 0);
		}
		test_int(run.n_begun, 0);
		run_stop(&run);
	}
}

/* A sensor turns its gain up in the dark: the noise grows while we look. */
static void test_growing_noise(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	for (unsigned i = 0; i < 200; i++) {
		run.scene.noise = (float)i * 0.04f;
		run_frame(&run);
	}
	test_int(run.n_begun, 0);
	run_stop(&run);
}

static void dusk(double seconds, float to)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 2;
	run_for(&run, 3);
	const unsigned frames = (unsigned)lround(seconds * SCENE_RATE);
	for (unsigned i = 0; i < frames; i++) {
		run.scene.light = powf(to, (float)(i + 1) / (float)frames);
		run_frame(&run);
	}
	run_for(&run, 5);
	test_int(run.n_begun, 0);
	test_int(run.detections.n, 0);
	run_stop(&run);
}

static void test_dusk(void)
{
	dusk(40, 0.25f);
	dusk(8, 0.25f); /* a blind is let down */
	dusk(15, 1.25f);
}

static void test_lamp(void)
{
	static const double fades[] = { 0.1, 0.5 }; /* a bulb, and a lamp that comes up softly */
	for (unsigned f = 0; f < 2; f++) {
		struct run run;
		run_start(&run, NULL, NULL);
		run.scene.noise = 3;
		run.scene.light = 0.5f;
		run_for(&run, 4);
		const unsigned steps = (unsigned)lround(fades[f] * SCENE_RATE);
		for (unsigned turn = 0; turn < 4; turn++) {
			for (unsigned i = 0; i < steps; i++) {
				run.scene.lamp += (turn % 2 == 0 ? 0.6f : -0.6f) / (float)steps;
				run_frame(&run);
			}
			run_for(&run, 6);
			test_int(run.n_begun, 0);
			test_int(run.detections.n, 0);
		}
		run_stop(&run);
	}
}

/* No factor of light explains that: the picture is learnt anew at once. */
static void test_night_mode(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 3;
	run_for(&run, 4);
	for (unsigned turn = 0; turn < 3; turn++) {
		run.scene.infrared = !run.scene.infrared;
		run_for(&run, 2);
		test_int(run.detections.n, 0);
		run_for(&run, 3);
		test_int(run.n_begun, 0);
	}
	run_stop(&run);
}

static void test_exposure(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 3;
	run_for(&run, 3);
	for (unsigned i = 0; i < 300; i++) { /* hunts slowly */
		run.scene.light = 1 + 0.15f * sinf((float)i * 0.18f);
		run_frame(&run);
	}
	for (unsigned i = 0; i < 20; i++) { /* in steps */
		run.scene.light = i % 2 == 0 ? 0.92f : 1.0f;
		run_for(&run, 1.5);
	}
	for (unsigned i = 0; i < 40; i++) { /* white balance */
		run.scene.blue = 1 + (float)i * 0.005f;
		run_frame(&run);
	}
	run_for(&run, 3);
	test_int(run.n_begun, 0);
	run_stop(&run);
}

static void test_camera_start(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 3;
	for (unsigned i = 0; i < 12; i++) {
		run.scene.light = 1 - expf(-(float)i * 0.4f);
		run.scene.blue = 1.3f - (float)i * 0.025f;
		run_frame(&run);
	}
	run.scene.light = 1;
	run.scene.blue = 1;
	run_for(&run, 8);
	test_int(run.n_begun, 0);
	run_stop(&run);
}

static void test_key_frame_pumping(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 1;
	run.scene.pumping = 4;
	run_for(&run, 30);
	test_int(run.n_begun, 0);
	run_stop(&run);
}

/* A short flash, a thing for a moment. */
static void test_moment(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 2;
	run_for(&run, 3);
	run.scene.light = 1.5f;
	run_for(&run, 0.2);
	run.scene.light = 1;
	run_for(&run, 4);
	run.scene.things[0] = (struct scene_thing){ .x = 0.4f, .y = 0.5f, .w = 0.1f, .h = 0.1f };
	run_for(&run, 0.2);
	run.scene.things[0].w = 0;
	run_for(&run, 4);
	test_int(run.n_begun, 0);
	run_stop(&run);
}

/* Movement: seen, and dated. */

static void walk(float noise, int contrast, float light_to)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = noise;
	run_for(&run, 4);
	const double from_s = run_now(&run);
	run.scene.things[0] = (struct scene_thing){
		.x = -0.12f, .y = 0.55f, .w = 0.12f, .h = 0.16f, .contrast = contrast
	};
	const float step = (light_to - 1) / 60;
	for (unsigned i = 0; i < 60; i++) {
		run.scene.light += step;
		run.scene.things[0].x += 1.14f / 60;
		run_frame(&run);
		test_assert(run.detections.n <= 2); /* it, and its tail */
	}
	const double to_s = run_now(&run);
	run_for(&run, 6);
	test_int(run.n_begun, 1);
	test_int(run.n_ended, 1);
	if (fabs(run.begin_s - from_s) > 0.5 || fabs(run.end_s - to_s) > 0.5) {
		test_fail("%.1f..%.1f is seen as %.1f..%.1f", from_s, to_s, run.begin_s, run.end_s);
	}
	test_assert(strstr(run.evidence, "left the picture") != NULL);
	test_int(run.detections.n, 0);
	run_stop(&run);
}

static void test_walk(void)
{
	walk(0, 0, 1);
	walk(3, 0, 1);
	walk(6, -60, 1);
	walk(2, 25, 1);
}

static void test_walk_at_dusk(void)
{
	walk(2, 0, 0.8f);
	walk(2, 0, 0.45f);
}

static void test_moves_from_the_first_frame(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 2;
	run.scene.things[0] = (struct scene_thing){ .x = 0.3f, .y = 0.5f, .w = 0.12f, .h = 0.2f };
	run_move(&run, 0, 0.6f, 0.5f, 2);
	test_int(run.n_begun, 1);
	test_assert(run.begin_s < 0.15);
	run_for(&run, 10);
	test_int(run.n_ended, 1);
	test_assert(run.end_s > 1.7 && run.end_s < 3.2);
	run_stop(&run);
}

/* It stops: it is still seen, the event ends with the last movement. It goes on: again
 * an event, of the same track. */
static void test_stop(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 3;
	run_for(&run, 3);
	run.scene.things[0] = (struct scene_thing){ .x = -0.12f, .y = 0.5f, .w = 0.12f, .h = 0.2f };
	run_move(&run, 0, 0.4f, 0.5f, 3);
	const uint32_t id = run_track(&run)->id;
	run_for(&run, 15);
	test_int(run.n_ended, 1);
	test_assert(run.end_s > 5.8 && run.end_s < 7.2);
	const struct pc_track *track = run_track(&run);
	test_assert(track != NULL && track->id == id);
	test_assert(fabsf(track->box.x - 0.4f) < 0.03f && fabsf(track->box.w - 0.12f) < 0.04f);
	run_move(&run, 0, 0.8f, 0.5f, 3);
	test_int(run.n_begun, 2);
	test_assert(fabs(run.begin_s - 21) < 0.4);
	track = run_track(&run);
	test_assert(track != NULL && track->id == id);
	run_stop(&run);
}

/* It becomes furniture in the end, and when it goes there is no ghost. */
static void test_absorbed(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 3;
	run_for(&run, 3);
	run.scene.things[0] = (struct scene_thing){ .x = -0.12f, .y = 0.5f, .w = 0.12f, .h = 0.2f };
	run_move(&run, 0, 0.4f, 0.5f, 3);
	run_for(&run, 40);
	test_int(run.detections.n, 0);
	for (unsigned i = 0; i < 30; i++) {
		run_move(&run, 0, run.scene.things[0].x + 0.7f / 30, 0.5f, 0.1);
		test_assert(run.detections.n <= 1);
	}
	run_for(&run, 0.2);
	test_int(run.n_begun, 2);
	test_int(run.detections.n, 0);
	run_stop(&run);
}

/* It was there when the camera began: what it leaves behind is no thing for long. */
static void test_no_ghost(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 2;
	run.scene.things[0] = (struct scene_thing){ .x = 0.4f, .y = 0.5f, .w = 0.15f, .h = 0.25f };
	run_for(&run, 5);
	test_int(run.n_begun, 0);
	run_move(&run, 0, 1.1f, 0.5f, 3);
	run_for(&run, 2);
	test_int(run.n_begun, 1);
	test_int(run.n_ended, 1);
	test_int(run.detections.n, 0);
	run_stop(&run);
}

/* A cat asleep: its flank goes up and down by a pixel. The event ends. */
static void test_breathing(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 2;
	run_for(&run, 3);
	run.scene.things[0] = (struct scene_thing){ .x = -0.2f, .y = 0.6f, .w = 0.2f, .h = 0.2f };
	run_move(&run, 0, 0.3f, 0.6f, 3);
	for (unsigned i = 0; i < 600; i++) {
		run.scene.things[0].y = 0.6f - 0.002f * (1 + sinf((float)i * 0.25f));
		run.scene.things[0].h = 0.8f - run.scene.things[0].y;
		run_frame(&run);
	}
	test_int(run.n_begun, 1);
	test_int(run.n_ended, 1);
	test_assert(run.end_s < 6 + 25);
	run_stop(&run);
}

static void test_mask(void)
{
	static const struct pc_zone mask = {
		.name = "street",
		.n_points = 4,
		.points = { { 0, 0.4f }, { 1, 0.4f }, { 1, 0.9f }, { 0, 0.9f } },
	};
	struct run run;
	run_start(&run, &mask, NULL);
	run_for(&run, 3);
	run.scene.things[0] = (struct scene_thing){ .x = -0.12f, .y = 0.5f, .w = 0.12f, .h = 0.2f };
	run_move(&run, 0, 0.9f, 0.5f, 4);
	test_int(run.n_begun, 0);
	run.scene.things[0] = (struct scene_thing){ .x = 0.1f, .y = 0.1f, .w = 0.12f, .h = 0.2f };
	run_move(&run, 0, 0.6f, 0.1f, 3);
	test_int(run.n_begun, 1);
	run_stop(&run);
}

/* The plain interface. */

static struct pc_motion_config config_of(unsigned width, unsigned height)
{
	return (struct pc_motion_config){
		.width = width, .height = height, .rate = 10, .sensitivity = 0.5, .min_area = 0.002
	};
}

static void test_bad_config(void)
{
	struct pc_motion *motion = NULL;
	struct pc_motion_config config = config_of(8, 180);
	test_int(pc_motion_create(&config, &motion), -EINVAL);
	config = config_of(320, 100000);
	test_int(pc_motion_create(&config, &motion), -EINVAL);
	config = config_of(320, 180);
	config.rate = 0;
	test_int(pc_motion_create(&config, &motion), -EINVAL);
	test_assert(motion == NULL);
	pc_motion_destroy(NULL);
	pc_detector_destroy(NULL);
}

/* Odd sizes, tall pictures, padded lines: no cell outside of the picture. */
static void test_sizes(void)
{
	static const unsigned sizes[][2] = { { 32, 32 }, { 33, 57 }, { 160, 284 }, { 321, 181 },
		{ 640, 360 } };
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct pc_motion_config config = config_of(sizes[i][0], sizes[i][1]);
		const unsigned stride = 3 * config.width + 5;
		struct pc_motion *motion = NULL;
		struct pc_motion_result result;
		test_int(pc_motion_create(&config, &motion), 0);
		uint8_t *rgb = malloc((size_t)stride * config.height);
		test_assert(rgb != NULL);
		for (unsigned f = 0; f < 12; f++) {
			memset(rgb, f % 3 == 0 ? 255 : 0, (size_t)stride * config.height);
			memset(rgb + stride * (f * config.height / 12), 200, 3 * config.width);
			pc_motion_feed(motion, rgb, stride, (f + 1) * 100 * PC_NS_PER_MS, &result);
			for (unsigned b = 0; b < result.n_boxes; b++) {
				const struct pc_box *box = &result.boxes[b].box;
				test_assert(box->x >= 0 && box->x + box->w <= 1.001f);
				test_assert(box->y >= 0 && box->y + box->h <= 1.001f);
			}
		}
		free(rgb);
		pc_motion_destroy(motion);
	}
}

static void test_reset(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run_for(&run, 3);
	pc_detector_reset(run.detector);
	pc_tracker_reset(run.tracker);
	run.scene.light = 0.4f; /* another picture altogether */
	run_frame(&run);
	test_assert(run.detections.learning);
	run_for(&run, 5);
	test_int(run.n_begun, 0);
	test_str(pc_detector_name(run.detector), "motion");
	run_stop(&run);
}

static void test_without_memory(void)
{
	const struct pc_motion_config config = config_of(320, 180);
	for (unsigned n = 1;; n++) {
		struct pc_detector *detector = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_detector_create_motion(&config, &detector);
		if (!fault_disarm()) {
			test_int(r, 0);
			pc_detector_destroy(detector);
			break;
		}
		test_int(r, -ENOMEM);
		test_assert(detector == NULL);
	}
}

static void test_no_allocation(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	const uint64_t before = fault_calls(FAULT_ALLOC);
	run_for(&run, 2);
	run.scene.things[0] = (struct scene_thing){ .x = -0.1f, .y = 0.5f, .w = 0.2f, .h = 0.2f };
	run_move(&run, 0, 1, 0.5f, 3);
	run.scene.lamp = 0.6f;
	run_for(&run, 4);
	test_int(run.n_begun, 1);
	test_int(fault_calls(FAULT_ALLOC) - before, 0);
	run_stop(&run);
}

int main(void)
{
	TEST_RUN(test_sensor_noise);
	TEST_RUN(test_growing_noise);
	TEST_RUN(test_dusk);
	TEST_RUN(test_lamp);
	TEST_RUN(test_night_mode);
	TEST_RUN(test_exposure);
	TEST_RUN(test_camera_start);
	TEST_RUN(test_key_frame_pumping);
	TEST_RUN(test_moment);
	TEST_RUN(test_walk);
	TEST_RUN(test_walk_at_dusk);
	TEST_RUN(test_moves_from_the_first_frame);
	TEST_RUN(test_stop);
	TEST_RUN(test_absorbed);
	TEST_RUN(test_no_ghost);
	TEST_RUN(test_breathing);
	TEST_RUN(test_mask);
	TEST_RUN(test_bad_config);
	TEST_RUN(test_sizes);
	TEST_RUN(test_reset);
	TEST_RUN(test_without_memory);
	TEST_RUN(test_no_allocation);
	return test_end();
}
