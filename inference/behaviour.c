/* inference/behaviour.c - tracks and areas in, events out; see behaviour.h. */
#include "inference/behaviour.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1e9

/* A stretch of movement shorter than this begins no event. */
#define STIRS_NS (INT64_C(300) * 1000 * 1000)

/* One that stands where it can be seen has not gone: it is waited for twice as long. */
#define STANDING_FACTOR 2

/* A thing is in a zone when half of its lower half is, out of it when less than a
 * fifth is, and when that has lasted. Between the two nothing changes. */
#define ZONE_IN 0.5f
#define ZONE_OUT 0.2f
#define ZONE_HOLD_NS (INT64_C(400) * 1000 * 1000)
#define ASLEEP_NS (INT64_C(3) * 1000 * 1000 * 1000)
#define DORMANT_MAX 4

struct presence {
	bool inside;
	int64_t since_ns; /* the other side has been seen since; 0: it has not */
};

/* What is remembered of a track. */
struct follower {
	uint32_t id; /* 0: free */
	bool seen; /* in this frame */
	bool placed; /* its zones were looked at once */
	float x0, x1, y0, y1; /* where its centre has been during the event */
	struct presence zones[PC_ZONES_MAX];
};

struct pc_behaviour {
	struct pc_behaviour_events events;
	void *data;
	struct pc_zone zones[PC_ZONES_MAX];
	unsigned n_zones;
	int64_t hold_ns;
	uint32_t next_token;
	struct follower followers[PC_TRACKS_MAX];
	unsigned dormant[PC_ZONES_MAX]; /* things that fell asleep in it and are no track now */

	bool active; /* a motion event goes on */
	bool vanished; /* somebody was lost inside the picture and may come back */
	struct pc_behaviour_event motion;
	int64_t moved_ns; /* the last movement */
	int64_t ended_ns; /* of the last motion event */
	uint64_t moving_ns; /* of this event, sum of the frames with movement */
	int64_t last_ns;
	float widest; /* of any track's path, parts of the width */
	float tallest;
	char evidence[PC_EVIDENCE_MAX];
};

int pc_behaviour_create(const struct pc_behaviour_config *config,
	const struct pc_behaviour_events *events, void *data, struct pc_behaviour **ret_behaviour)
{
	if (config->n_zones > PC_ZONES_MAX || !(config->hold_s > 0)) {
		return -EINVAL;
	}
	struct pc_behaviour *behaviour = calloc(1, sizeof(*behaviour));
	if (behaviour == NULL) {
		return -ENOMEM;
	}
	behaviour->events = *events;
	behaviour->data = data;
	if (config->n_zones > 0) {
		memcpy(behaviour->zones, config->zones, config->n_zones * sizeof(*config->zones));
	}
	behaviour->n_zones = config->n_zones;
	behaviour->hold_ns = (int64_t)(config->hold_s * NS_PER_S);
	behaviour->next_token = 1;
	*ret_behaviour = behaviour;
	return 0;
}

void pc_behaviour_destroy(struct pc_behaviour *behaviour)
{
	free(behaviour);
}

static const char *subject(enum pc_species species)
{
	return species == PC_SPECIES_UNKNOWN || species == PC_SPECIES_OTHER
		       ? "something"
		       : pc_species_name(species);
}

/* Followers */

static struct follower *follower_of(struct pc_behaviour *behaviour, uint32_t id)
{
	struct follower *free_one = NULL;
	for (unsigned i = 0; i < PC_TRACKS_MAX; i++) {
		struct follower *follower = &behaviour->followers[i];
		if (follower->id == id) {
			return follower;
		}
		if (follower->id == 0 && free_one == NULL) {
			free_one = follower;
		}
	}
	if (free_one != NULL) {
		*free_one = (struct follower){ .id = id, .x0 = 1, .y0 = 1 };
	}
	return free_one;
}

static void forget_absent(struct pc_behaviour *behaviour)
{
	for (unsigned i = 0; i < PC_TRACKS_MAX; i++) {
		struct follower *follower = &behaviour->followers[i];
		if (!follower->seen) {
			follower->id = 0;
		}
		follower->seen = false;
	}
}

static void note_path(
	struct pc_behaviour *behaviour, struct follower *follower, const struct pc_track *track)
{
	const float x = track->box.x + track->box.w / 2;
	const float y = track->box.y + track->box.h / 2;
	follower->x0 = fminf(follower->x0, x);
	follower->x1 = fmaxf(follower->x1, x);
	follower->y0 = fminf(follower->y0, y);
	follower->y1 = fmaxf(follower->y1, y);
	behaviour->widest = fmaxf(behaviour->widest, follower->x1 - follower->x0);
	behaviour->tallest = fmaxf(behaviour->tallest, follower->y1 - follower->y0);
}

/* Motion */

static void begin_motion(struct pc_behaviour *behaviour, const struct pc_track *track)
{
	for (unsigned i = 0; i < PC_TRACKS_MAX; i++) {
		struct follower *follower = &behaviour->followers[i];
		follower->x0 = follower->y0 = 1;
		follower->x1 = follower->y1 = 0;
	}
	behaviour->widest = 0;
	behaviour->tallest = 0;
	behaviour->vanished = false;
	behaviour->moving_ns = 0;
	behaviour->moved_ns = track->last_moved_ns;
	const int64_t start_ns =
		track->stirred_ns > behaviour->ended_ns ? track->stirred_ns : behaviour->ended_ns;
	snprintf(behaviour->evidence, sizeof(behaviour->evidence),
		"%s moves, %.2f of the picture wide, at %.2f, %.2f", subject(track->species),
		(double)track->box.w, (double)(track->box.x + track->box.w / 2),
		(double)(track->box.y + track->box.h / 2));
	behaviour->active = true;
	behaviour->motion = (struct pc_behaviour_event){
		.token = behaviour->next_token++,
		.kind = PC_EVENT_MOTION,
		.start_ns = start_ns,
		.score = track->score,
		.track_id = track->id,
		.box = track->box,
		.zone = "",
		.evidence = behaviour->evidence,
	};
	behaviour->events.begin(behaviour->data, &behaviour->motion);
}

static void end_motion(struct pc_behaviour *behaviour, bool left)
{
	struct pc_behaviour_event *motion = &behaviour->motion;
	motion->end_ns =
		behaviour->moved_ns > motion->start_ns ? behaviour->moved_ns : motion->start_ns;
	const double length_s = (double)(motion->end_ns - motion->start_ns) / NS_PER_S;
	const bool wide = behaviour->widest >= behaviour->tallest;
	snprintf(behaviour->evidence, sizeof(behaviour->evidence),
		"moved for %.1f s over %.2f of the picture %s%s", length_s,
		(double)(wide ? behaviour->widest : behaviour->tallest), wide ? "width" : "height",
		left ? ", then left the picture" : "");
	behaviour->active = false;
	behaviour->ended_ns = motion->end_ns;
	behaviour->events.end(behaviour->data, motion);
}

static void feed_motion(struct pc_behaviour *behaviour, const struct pc_track *tracks, unsigned n,
	int64_t capture_ns)
{
	bool present = false;
	for (unsigned i = 0; i < n; i++) {
		const struct pc_track *track = &tracks[i];
		if (track->state == PC_TRACK_TENTATIVE) {
			continue;
		}
		const bool stirs = track->last_moved_ns - track->stirred_ns >= STIRS_NS &&
				   capture_ns - track->last_moved_ns < STIRS_NS;
		if (!behaviour->active && track->state == PC_TRACK_CONFIRMED && stirs) {
			begin_motion(behaviour, track);
		}
		if (!behaviour->active) {
			continue;
		}
		if (track->state == PC_TRACK_ENDED && !track->left) {
			behaviour->vanished = true;
		}
		present = present || track->state == PC_TRACK_CONFIRMED ||
			  (track->state == PC_TRACK_LOST && !track->left);
		if (track->state != PC_TRACK_CONFIRMED) {
			continue;
		}
		struct follower *follower = follower_of(behaviour, track->id);
		if (follower != NULL) {
			note_path(behaviour, follower, track);
		}
		if (track->last_moved_ns > behaviour->moved_ns) {
			behaviour->moved_ns = track->last_moved_ns;
			behaviour->vanished = false;
		}
		if (track->score > behaviour->motion.score) {
			behaviour->motion.score = track->score;
			behaviour->motion.box = track->box;
			behaviour->motion.track_id = track->id;
		}
	}
	if (!behaviour->active) {
		return;
	}
	const int64_t still_ns = capture_ns - behaviour->moved_ns;
	const int64_t hold_ns = present ? STANDING_FACTOR * behaviour->hold_ns : behaviour->hold_ns;
	const bool left = !present && !behaviour->vanished && still_ns > STIRS_NS;
	if (left || still_ns > hold_ns) {
		end_motion(behaviour, left);
	}
}

/* Zones */

static float part_inside(const struct pc_zone *zone, const struct pc_box *box)
{
	unsigned inside = 0;
	for (unsigned row = 0; row < 3; row++) {
		for (unsigned column = 0; column < 5; column++) {
			const float x = box->x + box->w * ((float)column + 0.5f) / 5;
			const float y = box->y + box->h * (0.5f + ((float)row + 0.5f) / 6);
			inside += pc_zone_contains(zone, x, y);
		}
	}
	return (float)inside / 15;
}

static void tell_zone(struct pc_behaviour *behaviour, const struct pc_track *track, unsigned zone,
	bool entered, int64_t at_ns)
{
	snprintf(behaviour->evidence, sizeof(behaviour->evidence), "%s %s %s",
		subject(track->species), entered ? "went into" : "went out of",
		behaviour->zones[zone].name);
	const struct pc_behaviour_event event = {
		.token = behaviour->next_token++,
		.kind = entered ? PC_EVENT_ZONE_ENTER : PC_EVENT_ZONE_LEAVE,
		.start_ns = at_ns,
		.end_ns = at_ns,
		.score = track->score,
		.track_id = track->id,
		.box = track->box,
		.zone = behaviour->zones[zone].name,
		.evidence = behaviour->evidence,
	};
	behaviour->events.begin(behaviour->data, &event);
	behaviour->events.end(behaviour->data, &event);
}

static void place_first(
	struct pc_behaviour *behaviour, struct follower *follower, const struct pc_track *track)
{
	for (unsigned z = 0; z < behaviour->n_zones; z++) {
		if (part_inside(&behaviour->zones[z], &track->box) < ZONE_IN) {
			continue;
		}
		follower->zones[z].inside = true;
		if (behaviour->dormant[z] > 0) {
			behaviour->dormant[z]--; /* it never left: it woke up */
		} else {
			tell_zone(behaviour, track, z, true, track->first_ns);
		}
	}
	follower->placed = true;
}

static void watch_zone(struct pc_behaviour *behaviour, struct follower *follower,
	const struct pc_track *track, unsigned zone, int64_t capture_ns)
{
	struct presence *presence = &follower->zones[zone];
	const float part = part_inside(&behaviour->zones[zone], &track->box);
	const bool changed = presence->inside ? part <= ZONE_OUT : part >= ZONE_IN;
	if (!changed) {
		presence->since_ns = 0;
		return;
	}
	if (presence->since_ns == 0) {
		presence->since_ns = capture_ns;
	}
	if (capture_ns - presence->since_ns >= ZONE_HOLD_NS) {
		presence->inside = !presence->inside;
		tell_zone(behaviour, track, zone, presence->inside, presence->since_ns);
		presence->since_ns = 0;
	}
}

static void leave_zones(struct pc_behaviour *behaviour, const struct follower *follower,
	const struct pc_track *track)
{
	for (unsigned z = 0; z < behaviour->n_zones; z++) {
		if (!follower->zones[z].inside) {
			continue;
		}
		/* Gone from one picture to the next, by the border or by a door; or it had
		 * not moved for so long that it is background now. */
		if (track->left || track->last_ns - track->last_moved_ns < ASLEEP_NS) {
			tell_zone(behaviour, track, z, false, track->last_ns);
		} else if (behaviour->dormant[z] < DORMANT_MAX) {
			behaviour->dormant[z]++;
		}
	}
}

static void feed_zones(struct pc_behaviour *behaviour, const struct pc_track *tracks, unsigned n,
	int64_t capture_ns)
{
	for (unsigned i = 0; i < n; i++) {
		const struct pc_track *track = &tracks[i];
		if (track->state == PC_TRACK_TENTATIVE) {
			continue;
		}
		struct follower *follower = follower_of(behaviour, track->id);
		if (follower == NULL) {
			continue;
		}
		follower->seen = track->state != PC_TRACK_ENDED;
		if (track->state == PC_TRACK_ENDED) {
			leave_zones(behaviour, follower, track);
		} else if (track->state == PC_TRACK_CONFIRMED && !follower->placed) {
			place_first(behaviour, follower, track);
		} else if (track->state == PC_TRACK_CONFIRMED) {
			for (unsigned z = 0; z < behaviour->n_zones; z++) {
				watch_zone(behaviour, follower, track, z, capture_ns);
			}
		}
	}
	forget_absent(behaviour);
}

void pc_behaviour_feed(struct pc_behaviour *behaviour, const struct pc_track *tracks, unsigned n,
	int64_t capture_ns)
{
	behaviour->last_ns = capture_ns;
	feed_motion(behaviour, tracks, n, capture_ns);
	feed_zones(behaviour, tracks, n, capture_ns);
}

void pc_behaviour_flush(struct pc_behaviour *behaviour)
{
	if (behaviour->active) {
		end_motion(behaviour, false);
	}
}
