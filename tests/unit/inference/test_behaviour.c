/* tests/unit/inference/test_behaviour.c - tracks in, events out. */
#include "inference/behaviour.h"

#include <errno.h>
#include <math.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/inference/scene.h"

#define FRAME_NS (PC_NS_PER_S / 10)
#define EVENTS_MAX 32

static const struct pc_zone bowl = {
	.name = "bowl",
	.kind = PC_ZONE_BOWL,
	.n_points = 4,
	.points = { { 0.5f, 0.5f }, { 0.8f, 0.5f }, { 0.8f, 0.9f }, { 0.5f, 0.9f } },
};

static struct pc_behaviour *behaviour;
static int64_t now_ns;
static struct pc_behaviour_event begun[EVENTS_MAX], ended[EVENTS_MAX];
static char texts[EVENTS_MAX][PC_EVIDENCE_MAX];
static unsigned n_begun, n_ended;

static void on_begin(void *data, const struct pc_behaviour_event *event)
{
	test_assert(data == &behaviour && n_begun < EVENTS_MAX);
	test_assert(event->evidence[0] != '\0' && event->start_ns > 0);
	begun[n_begun++] = *event;
}

static void on_end(void *data, const struct pc_behaviour_event *event)
{
	test_assert(data == &behaviour && n_ended < EVENTS_MAX);
	test_assert(event->end_ns >= event->start_ns);
	bool known = false;
	for (unsigned i = 0; i < n_begun; i++) {
		known = known || begun[i].token == event->token;
	}
	test_assert(known);
	snprintf(texts[n_ended], sizeof(texts[0]), "%s", event->evidence);
	ended[n_ended++] = *event;
}

static void start(const struct pc_zone *zone)
{
	static const struct pc_behaviour_events events = { .begin = on_begin, .end = on_end };
	const struct pc_behaviour_config config = {
		.zones = zone, .n_zones = zone != NULL, .hold_s = 2
	};
	test_int(pc_behaviour_create(&config, &events, &behaviour, &behaviour), 0);
	now_ns = 100 * PC_NS_PER_S;
	n_begun = n_ended = 0;
}

static void stop(void)
{
	pc_behaviour_destroy(behaviour);
}

static struct pc_track track_of(uint32_t id, float x, float y)
{
	return (struct pc_track){
		.id = id,
		.state = PC_TRACK_CONFIRMED,
		.box = { x - 0.05f, y - 0.1f, 0.1f, 0.2f },
		.score = 0.9f,
		.first_ns = now_ns - 5 * FRAME_NS,
		.stirred_ns = now_ns - 5 * FRAME_NS,
		.last_ns = now_ns,
		.last_moved_ns = now_ns,
	};
}

static void feed(struct pc_track *track, bool moves)
{
	if (track != NULL) {
		track->last_ns = now_ns;
		track->last_moved_ns = moves ? now_ns : track->last_moved_ns;
	}
	pc_behaviour_feed(behaviour, track, track != NULL, now_ns);
	now_ns += FRAME_NS;
}

static void test_one_act_is_one_event(void)
{
	start(NULL);
	struct pc_track track = track_of(7, 0.2f, 0.5f);
	const int64_t first_ns = track.first_ns;
	int64_t last_ns = 0;
	for (unsigned i = 0; i < 40; i++) {
		track.box.x += 0.01f;
		last_ns = now_ns;
		feed(&track, true);
		if (i % 10 == 9) { /* hesitates, also longer than hold_s: it stands there */
			for (unsigned still = 0; still < 25; still++) {
				feed(&track, false);
			}
		}
	}
	for (unsigned i = 0; i < 60; i++) {
		feed(&track, false);
	}
	test_int(n_begun, 1);
	test_int(n_ended, 1);
	test_int(begun[0].kind, PC_EVENT_MOTION);
	test_int(begun[0].start_ns, first_ns);
	test_int(begun[0].end_ns, 0);
	test_int(ended[0].end_ns, last_ns);
	test_int(ended[0].track_id, 7);
	test_str(ended[0].zone, "");
	test_assert(strstr(texts[0], " s over 0.39 of the picture width") != NULL);
	stop();
}

static void test_tentative_says_nothing(void)
{
	start(&bowl);
	struct pc_track track = track_of(1, 0.6f, 0.7f);
	track.state = PC_TRACK_TENTATIVE;
	for (unsigned i = 0; i < 30; i++) {
		feed(&track, true);
	}
	test_int(n_begun, 0);
	stop();
}

/* Out over the border ends it at once; the next one begins his own. */
static void test_left(void)
{
	start(NULL);
	struct pc_track track = track_of(1, 0.9f, 0.5f);
	for (unsigned i = 0; i < 10; i++) {
		feed(&track, true);
	}
	const int64_t last_ns = track.last_ns;
	track.state = PC_TRACK_LOST;
	track.left = true;
	for (unsigned i = 0; i < 5; i++) {
		pc_behaviour_feed(behaviour, &track, 1, now_ns);
		now_ns += FRAME_NS;
	}
	test_int(n_ended, 1);
	test_int(ended[0].end_ns, last_ns);
	test_assert(strstr(texts[0], "left the picture") != NULL);
	now_ns += 10 * FRAME_NS;
	track = track_of(2, 0.1f, 0.5f);
	feed(&track, true);
	test_int(n_begun, 2);
	test_int(begun[1].start_ns, track.first_ns);
	stop();
}

/* Behind the sofa and out again is one act. */
static void test_lost_and_found(void)
{
	start(NULL);
	struct pc_track track = track_of(1, 0.5f, 0.5f);
	for (unsigned i = 0; i < 10; i++) {
		feed(&track, true);
	}
	track.state = PC_TRACK_LOST;
	for (unsigned i = 0; i < 14; i++) {
		pc_behaviour_feed(behaviour, &track, 1, now_ns);
		now_ns += FRAME_NS;
	}
	track.state = PC_TRACK_ENDED;
	pc_behaviour_feed(behaviour, &track, 1, now_ns);
	now_ns += FRAME_NS;
	feed(NULL, false);
	test_int(n_ended, 0);
	track = track_of(2, 0.6f, 0.5f);
	for (unsigned i = 0; i < 10; i++) {
		feed(&track, true);
	}
	for (unsigned i = 0; i < 60; i++) {
		feed(&track, false);
	}
	test_int(n_begun, 1);
	test_int(n_ended, 1);
	stop();
}

/* Events of one kind do not overlap, however far back the next one is dated. */
static void test_no_overlap(void)
{
	start(NULL);
	struct pc_track track = track_of(1, 0.5f, 0.5f);
	for (unsigned i = 0; i < 10; i++) {
		feed(&track, true);
	}
	for (unsigned i = 0; i < 60; i++) {
		feed(&track, false);
	}
	test_int(n_ended, 1);
	struct pc_track other = track_of(2, 0.5f, 0.5f);
	other.stirred_ns = ended[0].end_ns - PC_NS_PER_S;
	feed(&other, true);
	test_int(n_begun, 2);
	test_int(begun[1].start_ns, ended[0].end_ns);
	stop();
}

static void test_flush(void)
{
	start(&bowl);
	pc_behaviour_flush(behaviour);
	test_int(n_ended, 0);
	struct pc_track track = track_of(1, 0.2f, 0.3f);
	for (unsigned i = 0; i < 10; i++) {
		feed(&track, true);
	}
	test_int(n_ended, 0);
	pc_behaviour_flush(behaviour);
	pc_behaviour_flush(behaviour);
	test_int(n_ended, 1);
	test_int(ended[0].end_ns, track.last_moved_ns);
	stop();
}

static unsigned count(enum pc_event_kind kind)
{
	unsigned n = 0;
	for (unsigned i = 0; i < n_ended; i++) {
		n += ended[i].kind == kind;
	}
	return n;
}

static void go_to(struct pc_track *track, float x, float y, unsigned frames)
{
	const float dx = (x - 0.05f - track->box.x) / (float)frames;
	const float dy = (y - 0.1f - track->box.y) / (float)frames;
	for (unsigned i = 0; i < frames; i++) {
		track->box.x += dx;
		track->box.y += dy;
		feed(track, true);
	}
}

static void test_zone(void)
{
	start(&bowl);
	struct pc_track track = track_of(3, 0.2f, 0.6f);
	go_to(&track, 0.56f, 0.6f, 16);
	test_int(count(PC_EVENT_ZONE_ENTER), 0); /* it must have lasted */
	go_to(&track, 0.65f, 0.6f, 9);
	test_int(count(PC_EVENT_ZONE_ENTER), 1);
	const struct pc_behaviour_event *enter = &ended[0];
	test_int(enter->kind, PC_EVENT_ZONE_ENTER);
	test_str(enter->zone, "bowl");
	test_int(enter->end_ns, enter->start_ns);
	/* The middle of its feet crosses 0.5 in the 14th frame. */
	test_assert(llabs(enter->start_ns - (100 * PC_NS_PER_S + 13 * FRAME_NS)) <= FRAME_NS);
	test_str(texts[0], "something went into bowl");
	go_to(&track, 0.2f, 0.6f, 20);
	go_to(&track, 0.2f, 0.6f, 5);
	test_int(count(PC_EVENT_ZONE_LEAVE), 1);
	test_int(count(PC_EVENT_ZONE_ENTER), 1);
	stop();
}

/* On the border, to and fro by a fifth of its width: one enter. */
static void test_jitter(void)
{
	start(&bowl);
	struct pc_track track = track_of(3, 0.3f, 0.6f);
	go_to(&track, 0.505f, 0.6f, 10);
	for (unsigned i = 0; i < 200; i++) {
		track.box.x = 0.45f + (i / 3 % 2 == 0 ? 0.015f : -0.01f);
		feed(&track, true);
	}
	test_assert(count(PC_EVENT_ZONE_ENTER) <= 1);
	test_int(count(PC_EVENT_ZONE_LEAVE), 0);
	go_to(&track, 0.65f, 0.6f, 10);
	for (unsigned i = 0; i < 200; i++) {
		track.box.x = 0.45f + (i / 3 % 2 == 0 ? 0.02f : -0.02f);
		feed(&track, true);
	}
	test_int(count(PC_EVENT_ZONE_ENTER), 1);
	test_int(count(PC_EVENT_ZONE_LEAVE), 0);
	stop();
}

/* It falls asleep in its bed until it is no track any more, then wakes and goes. */
static void test_sleeps_in_zone(void)
{
	start(&bowl);
	struct pc_track track = track_of(1, 0.3f, 0.6f);
	go_to(&track, 0.65f, 0.65f, 15);
	go_to(&track, 0.65f, 0.65f, 10);
	test_int(count(PC_EVENT_ZONE_ENTER), 1);
	for (unsigned i = 0; i < 50; i++) {
		feed(&track, false);
	}
	track.state = PC_TRACK_ENDED;
	feed(&track, false);
	for (unsigned i = 0; i < 100; i++) {
		feed(NULL, false);
	}
	track = track_of(2, 0.65f, 0.65f);
	go_to(&track, 0.66f, 0.65f, 10);
	go_to(&track, 0.2f, 0.65f, 15);
	go_to(&track, 0.2f, 0.65f, 10);
	test_int(count(PC_EVENT_ZONE_ENTER), 1);
	test_int(count(PC_EVENT_ZONE_LEAVE), 1);
	stop();
}

/* Through the door and out of the picture: it left the door's zone. */
static void test_leaves_by_the_zone(void)
{
	start(&bowl);
	struct pc_track track = track_of(1, 0.65f, 0.65f);
	go_to(&track, 0.66f, 0.65f, 10);
	test_int(count(PC_EVENT_ZONE_ENTER), 1); /* first seen there: it came in there */
	const int64_t last_ns = track.last_ns;
	track.state = PC_TRACK_ENDED;
	track.left = true;
	pc_behaviour_feed(behaviour, &track, 1, now_ns);
	test_int(count(PC_EVENT_ZONE_LEAVE), 1);
	for (unsigned i = 0; i < n_ended; i++) {
		test_assert(ended[i].kind != PC_EVENT_ZONE_LEAVE || ended[i].end_ns == last_ns);
	}
	stop();
}

/* Through a door that is not at the border, one by one. */
static void test_door(void)
{
	start(&bowl);
	for (uint32_t id = 1; id <= 3; id++) {
		struct pc_track track = track_of(id, 0.3f, 0.65f);
		go_to(&track, 0.65f, 0.65f, 15);
		go_to(&track, 0.66f, 0.65f, 10);
		test_int(count(PC_EVENT_ZONE_ENTER), id);
		const int64_t last_ns = track.last_ns;
		track.state = PC_TRACK_LOST;
		for (unsigned i = 0; i < 15; i++) {
			pc_behaviour_feed(behaviour, &track, 1, now_ns);
			now_ns += FRAME_NS;
		}
		track.state = PC_TRACK_ENDED;
		pc_behaviour_feed(behaviour, &track, 1, now_ns);
		now_ns += FRAME_NS;
		test_int(count(PC_EVENT_ZONE_LEAVE), id);
		test_int(ended[n_ended - 1].end_ns, last_ns);
	}
	stop();
}

static void test_many_tracks(void)
{
	start(&bowl);
	struct pc_track many[PC_TRACKS_MAX];
	for (unsigned i = 0; i < 60; i++) {
		for (unsigned t = 0; t < PC_TRACKS_MAX; t++) {
			many[t] = track_of(1 + t + i * PC_TRACKS_MAX, 0.2f, 0.3f);
		}
		pc_behaviour_feed(behaviour, many, PC_TRACKS_MAX, now_ns);
		now_ns += FRAME_NS;
	}
	test_int(n_begun, 1);
	stop();
}

static void test_create(void)
{
	static const struct pc_behaviour_events events = { .begin = on_begin, .end = on_end };
	struct pc_behaviour_config config = { .hold_s = 0 };
	struct pc_behaviour *none = NULL;
	test_int(pc_behaviour_create(&config, &events, NULL, &none), -EINVAL);
	config = (struct pc_behaviour_config){ .hold_s = 2, .n_zones = PC_ZONES_MAX + 1 };
	test_int(pc_behaviour_create(&config, &events, NULL, &none), -EINVAL);
	config.n_zones = 0;
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_behaviour_create(&config, &events, NULL, &none), -ENOMEM);
	test_assert(fault_disarm() && none == NULL);
	pc_behaviour_destroy(NULL);
}

/* All of it, from pixels. */

static void test_seen_in_zone(void)
{
	struct run run;
	run_start(&run, NULL, &bowl);
	run.scene.noise = 3;
	run_for(&run, 3);
	run.scene.things[0] = (struct scene_thing){ .x = -0.12f, .y = 0.5f, .w = 0.12f, .h = 0.2f };
	run_move(&run, 0, 0.6f, 0.5f, 4);
	run_for(&run, 6);
	test_int(run.n_entered, 1);
	test_int(run.n_left, 0);
	run_move(&run, 0, 0.1f, 0.5f, 3);
	run_for(&run, 3);
	test_int(run.n_entered, 1);
	test_int(run.n_left, 1);
	test_int(run.n_begun, 2);
	run_stop(&run);
}

/* Two cross in front of the camera: each is who he was. */
static void test_seen_crossing(void)
{
	struct run run;
	run_start(&run, NULL, NULL);
	run.scene.noise = 3;
	run_for(&run, 3);
	struct scene_thing *things = run.scene.things;
	things[0] = (struct scene_thing){ .x = -0.12f, .y = 0.45f, .w = 0.12f, .h = 0.2f };
	things[1] = (struct scene_thing){
		.x = 1.0f, .y = 0.5f, .w = 0.12f, .h = 0.2f, .contrast = -60
	};
	uint32_t ids[2] = { 0 };
	for (unsigned i = 0; i < 60; i++) {
		things[0].x += 0.015f;
		things[1].x -= 0.015f;
		run_frame(&run);
		for (unsigned t = 0; (i == 20 || i == 59) && t < run.n_tracks; t++) {
			const struct pc_track *track = &run.tracks[t];
			if (track->state != PC_TRACK_CONFIRMED) {
				continue;
			}
			const bool first = fabsf(track->box.x - things[0].x) <
					   fabsf(track->box.x - things[1].x);
			if (i == 20) {
				ids[!first] = track->id;
			} else {
				test_int(track->id, ids[!first]);
			}
		}
	}
	test_assert(ids[0] != 0 && ids[1] != 0 && ids[0] != ids[1]);
	test_int(run.n_begun, 1);
	run_stop(&run);
}

int main(void)
{
	TEST_RUN(test_one_act_is_one_event);
	TEST_RUN(test_tentative_says_nothing);
	TEST_RUN(test_left);
	TEST_RUN(test_lost_and_found);
	TEST_RUN(test_no_overlap);
	TEST_RUN(test_flush);
	TEST_RUN(test_zone);
	TEST_RUN(test_jitter);
	TEST_RUN(test_sleeps_in_zone);
	TEST_RUN(test_leaves_by_the_zone);
	TEST_RUN(test_door);
	TEST_RUN(test_many_tracks);
	TEST_RUN(test_create);
	TEST_RUN(test_seen_in_zone);
	TEST_RUN(test_seen_crossing);
	return test_end();
}
