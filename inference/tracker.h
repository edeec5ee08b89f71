/* inference/tracker.h - detections of many frames joined into things with ids.
 *
 * Thread: one at a time. Nothing is allocated after create.
 */
#ifndef PC_INFERENCE_TRACKER_H
#define PC_INFERENCE_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

#include "inference/detector.h"

struct pc_tracker;

#define PC_TRACKS_MAX 32

enum pc_track_state {
	PC_TRACK_TENTATIVE, /* seen moving too short a time to be believed */
	PC_TRACK_CONFIRMED,
	PC_TRACK_LOST, /* confirmed, not seen now; kept for a while to be found again */
	PC_TRACK_ENDED, /* reported once, then gone */
};

struct pc_track {
	uint32_t id; /* > 0, never used twice */
	enum pc_track_state state;
	struct pc_box box; /* smoothed; predicted while lost */
	float vx, vy; /* of the centre, picture widths and heights a second */
	enum pc_species species; /* by vote over time */
	float score; /* 0..1, how sure that it is a thing at all */
	float energy; /* smoothed pc_detection.energy */
	int64_t first_ns; /* first seen (also before it was confirmed) */
	int64_t last_ns; /* last seen */
	int64_t last_moved_ns; /* last seen with motion in it; up to PC_MOTION_SWAY_S late */
	int64_t stirred_ns; /* when its latest stretch of motion began */
	float travelled; /* length of its path, parts of the picture's width and height */
	bool left; /* lost where the picture ends: it went out */
};

struct pc_tracker_config {
	double rate; /* nominal frames a second */
	double lost_s; /* a lost track ends after this */
};

int pc_tracker_create(const struct pc_tracker_config *config, struct pc_tracker **ret_tracker);
void pc_tracker_destroy(struct pc_tracker *tracker); /* NULL is fine */
void pc_tracker_reset(struct pc_tracker *tracker);

/* The tracks after this frame; the array is the tracker's, valid until the next call. */
const struct pc_track *pc_tracker_feed(struct pc_tracker *tracker,
	const struct pc_detections *detections, int64_t capture_ns, unsigned *ret_n);

#endif
