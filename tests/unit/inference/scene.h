/* tests/unit/inference/scene.h - a room drawn into small frames, with all that cameras do to it. */
#ifndef PC_TEST_SCENE_H
#define PC_TEST_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include "inference/behaviour.h"
#include "inference/detector.h"
#include "inference/tracker.h"

#define SCENE_WIDTH 320
#define SCENE_HEIGHT 180
#define SCENE_RATE 10
#define SCENE_THINGS 4

struct scene_thing {
	float x, y, w, h; /* parts of the picture; w 0: not there */
	int contrast; /* grey levels against what is behind it; 0: a coat of its own */
};

struct scene {
	float light; /* 1: as it is */
	float lamp; /* more light on the left, with the hard shadow of a shelf */
	float noise; /* standard deviation, grey levels */
	float pumping; /* grey levels by which an encoder's blocks jump at key frames */
	bool infrared; /* the camera's night: grey, and every material another one */
	float blue; /* white balance: gain of blue, its inverse of red; 1: right */
	struct scene_thing things[SCENE_THINGS];
};

/* A seen run: detector, tracker, behaviour, and what came out. */
struct run {
	struct scene scene;
	struct pc_detector *detector;
	struct pc_tracker *tracker;
	struct pc_behaviour *behaviour;
	unsigned frame; /* of the next picture */
	uint32_t random;
	struct pc_detections detections; /* of the last picture */
	const struct pc_track *tracks;
	unsigned n_tracks;
	unsigned n_begun, n_ended; /* motion events */
	unsigned n_entered, n_left; /* zones */
	double begin_s, end_s; /* of the last motion event, from the first picture on */
	char evidence[PC_EVIDENCE_MAX];
};

/* `mask`, `zone`: NULL or one. Ends the program when it fails. */
void run_start(struct run *run, const struct pc_zone *mask, const struct pc_zone *zone);
void run_stop(struct run *run);

double run_now(const struct run *run); /* time of the next picture, seconds */
void run_frame(struct run *run);
void run_for(struct run *run, double seconds);

/* A thing goes in a straight line. */
void run_move(struct run *run, unsigned thing, float to_x, float to_y, double seconds);

/* The only confirmed track; NULL when there is none or more than one. */
const struct pc_track *run_track(const struct run *run);

#endif
