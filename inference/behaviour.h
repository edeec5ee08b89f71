/* inference/behaviour.h - tracks and areas in, events out.
 *
 * This version knows `motion`, `zone_enter` and `zone_leave`. One act is one event:
 * a motion event begins when a track is confirmed (dated back to when it was first
 * seen), goes on while anything moves, and ends (dated back to the last movement)
 * after `hold_s` of stillness: twice that while what moved still stands there to be
 * seen, and soon after the last of them has gone out over the picture's border.
 *
 * Thread: one at a time. Callbacks run inside the call. Nothing is allocated after
 * create.
 */
#ifndef PC_INFERENCE_BEHAVIOUR_H
#define PC_INFERENCE_BEHAVIOUR_H

#include <stdint.h>

#include "core/event.h"
#include "inference/tracker.h"

struct pc_behaviour;

struct pc_behaviour_config {
	const struct pc_zone *zones; /* copied */
	unsigned n_zones;
	double hold_s;
};

/* A local event: times are capture times; `token` joins begin, update and end. */
struct pc_behaviour_event {
	uint32_t token;
	enum pc_event_kind kind;
	int64_t start_ns;
	int64_t end_ns; /* 0 while it goes on; = start_ns for a moment */
	float score;
	uint32_t track_id;
	struct pc_box box;
	const char *zone; /* "" : none; valid during the call */
	const char *evidence; /* valid during the call */
};

struct pc_behaviour_events {
	void (*begin)(void *data, const struct pc_behaviour_event *event);
	void (*end)(void *data, const struct pc_behaviour_event *event); /* after its begin */
};

int pc_behaviour_create(const struct pc_behaviour_config *config,
	const struct pc_behaviour_events *events, void *data, struct pc_behaviour **ret_behaviour);
void pc_behaviour_destroy(struct pc_behaviour *behaviour); /* calls no callback; NULL is fine */

void pc_behaviour_feed(struct pc_behaviour *behaviour, const struct pc_track *tracks, unsigned n,
	int64_t capture_ns);

/* Ends whatever goes on (the camera stopped). */
void pc_behaviour_flush(struct pc_behaviour *behaviour);

#endif
