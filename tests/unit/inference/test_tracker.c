/* tests/unit/inference/test_tracker.c - who is who, from boxes alone. */
#include "inference/tracker.h"

#include <errno.h>
#include <math.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define RATE 10

static struct pc_tracker *tracker;
static struct pc_detections detections;
static const struct pc_track *tracks;
static unsigned n_tracks;
static int64_t now_ns;

static void start(void)
{
	const struct pc_tracker_config config = { .rate = RATE, .lost_s = 1.5 };
	test_int(pc_tracker_create(&config, &tracker), 0);
	detections = (struct pc_detections){ 0 };
	now_ns = PC_NS_PER_S;
	n_tracks = 0;
}

static void stop(void)
{
	pc_tracker_destroy(tracker);
}

static void add(float x, float y, float w, float h, float energy)
{
	test_assert(detections.n < PC_DETECTIONS_MAX);
	detections.items[detections.n++] = (struct pc_detection){
		.box = { x, y, w, h }, .score = 1, .energy = energy, .sway = energy
	};
}

static void feed(void)
{
	tracks = pc_tracker_feed(tracker, &detections, now_ns, &n_tracks);
	detections.n = 0;
	now_ns += PC_NS_PER_S / RATE;
}

static const struct pc_track *find(uint32_t id)
{
	for (unsigned i = 0; i < n_tracks; i++) {
		if (tracks[i].id == id) {
			return &tracks[i];
		}
	}
	return NULL;
}

/* The confirmed track nearest to a point. */
static const struct pc_track *at(float x, float y)
{
	const struct pc_track *best = NULL;
	float nearest = 1;
	for (unsigned i = 0; i < n_tracks; i++) {
		const struct pc_box *box = &tracks[i].box;
		const float away = hypotf(box->x + box->w / 2 - x, box->y + box->h / 2 - y);
		if (tracks[i].state == PC_TRACK_CONFIRMED && away < nearest) {
			nearest = away;
			best = &tracks[i];
		}
	}
	test_assert(best != NULL);
	return best;
}

static unsigned confirmed(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < n_tracks; i++) {
		n += tracks[i].state == PC_TRACK_CONFIRMED;
	}
	return n;
}

static void test_one(void)
{
	start();
	for (unsigned i = 0; i < 30; i++) {
		add(0.1f + 0.02f * (float)i, 0.5f, 0.1f, 0.2f, 0.8f);
		feed();
		test_int(n_tracks, 1);
		test_int(tracks[0].id, 1);
	}
	test_int(tracks[0].state, PC_TRACK_CONFIRMED);
	test_int(tracks[0].species, PC_SPECIES_UNKNOWN);
	test_assert(fabsf(tracks[0].vx - 0.2f) < 0.02f && fabsf(tracks[0].vy) < 0.01f);
	test_assert(fabsf(tracks[0].box.x - 0.68f) < 0.02f);
	test_assert(fabsf(tracks[0].travelled - 0.58f) < 0.1f);
	/* It came between the frame before the first and the first. */
	test_int(tracks[0].first_ns, PC_NS_PER_S - PC_NS_PER_S / RATE);
	test_int(tracks[0].last_moved_ns, tracks[0].last_ns);
	stop();
}

/* Boxes of things that overlap are one, as motion sees them. */
static void add_two(float ax, float bx, float ay, float by)
{
	const float w = 0.12f, h = 0.2f;
	if (fabsf(ax - bx) > w || fabsf(ay - by) > h) {
		add(ax, ay, w, h, 0.8f);
		add(bx, by, w, h, 0.8f);
		return;
	}
	const float x = fminf(ax, bx), y = fminf(ay, by);
	add(x, y, fmaxf(ax, bx) + w - x, fmaxf(ay, by) + h - y, 0.8f);
}

static void test_crossing(void)
{
	start();
	for (unsigned i = 0; i <= 40; i++) {
		const float t = (float)i / 40;
		add_two(0.05f + 0.8f * t, 0.83f - 0.8f * t, 0.45f, 0.5f);
		feed();
		if (i == 10) {
			test_int(at(0.31f, 0.55f)->id, 1);
			test_int(at(0.69f, 0.6f)->id, 2);
		}
		test_assert(i < 10 || confirmed() == 2);
	}
	test_int(at(0.91f, 0.55f)->id, 1);
	test_int(at(0.09f, 0.6f)->id, 2);
	stop();
}

/* One sits, the other walks past. */
static void test_passing_by(void)
{
	start();
	for (unsigned i = 0; i < 10; i++) {
		add_two(0.5f + 0.005f * (float)i, 0.0f, 0.4f, 0.4f);
		feed();
	}
	for (unsigned i = 0; i <= 40; i++) {
		add_two(0.55f, 0.02f * (float)i, 0.4f, 0.45f);
		feed();
	}
	test_int(confirmed(), 2);
	test_int(at(0.61f, 0.5f)->id, 1);
	test_int(at(0.86f, 0.55f)->id, 2);
	stop();
}

static void walk_behind_the_sofa(unsigned hidden_frames, bool same)
{
	start();
	for (unsigned i = 0; i < 15; i++) {
		add(0.1f + 0.02f * (float)i, 0.5f, 0.1f, 0.2f, 0.8f);
		feed();
	}
	unsigned ended = 0;
	for (unsigned i = 0; i < hidden_frames; i++) {
		feed();
		for (unsigned t = 0; t < n_tracks; t++) {
			ended += tracks[t].state == PC_TRACK_ENDED;
			test_assert(!tracks[t].left);
		}
	}
	test_int(ended, !same);
	for (unsigned i = 0; i < 15; i++) {
		add(0.5f + 0.02f * (float)i, 0.5f, 0.1f, 0.2f, 0.8f);
		feed();
	}
	test_int(n_tracks, 1);
	test_int(tracks[0].id, same ? 1 : 2);
	stop();
}

static void test_occlusion(void)
{
	walk_behind_the_sofa(5, true);
	walk_behind_the_sofa(12, true);
	walk_behind_the_sofa(40, false);
}

static void test_border(void)
{
	start();
	const float w = 0.2f;
	for (unsigned i = 0; i <= 28; i++) {
		const float x = -w + 0.05f * (float)i;
		const float x0 = fmaxf(x, 0), x1 = fminf(x + w, 1);
		if (x1 - x0 > 0.01f) {
			add(x0, 0.5f, x1 - x0, 0.3f, 1);
		}
		feed();
		test_assert(n_tracks <= 1);
		test_assert(n_tracks == 0 || tracks[0].id == 1);
	}
	test_int(tracks[0].state, PC_TRACK_LOST);
	test_assert(tracks[0].left);
	unsigned frames = 0;
	while (tracks[0].state != PC_TRACK_ENDED) {
		feed();
		test_assert(++frames < 7); /* sooner than one that is lost in the room */
	}
	feed();
	test_int(n_tracks, 0);
	stop();
}

static void test_pieces(void)
{
	start();
	for (unsigned i = 0; i < 30; i++) {
		const float x = 0.1f + 0.01f * (float)i;
		if (i > 12 && i % 3 == 0) { /* the collar cuts it in two */
			add(x, 0.4f, 0.1f, 0.3f, 0.8f);
			add(x + 0.12f, 0.4f, 0.08f, 0.3f, 0.8f);
		} else {
			add(x, 0.4f, 0.2f, 0.3f, 0.8f);
		}
		feed();
		test_int(n_tracks, 1);
		test_int(tracks[0].id, 1);
	}
	test_assert(fabsf(tracks[0].box.w - 0.2f) < 0.03f);
	stop();
}

/* Two that go side by side and part are two from then on. */
static void test_split(void)
{
	start();
	for (unsigned i = 0; i < 15; i++) {
		add(0.3f + 0.01f * (float)i, 0.4f, 0.2f, 0.3f, 0.8f);
		feed();
	}
	for (unsigned i = 0; i < 15; i++) {
		add(0.45f - 0.02f * (float)i, 0.4f, 0.1f, 0.3f, 0.8f);
		add(0.55f + 0.02f * (float)i, 0.4f, 0.1f, 0.3f, 0.8f);
		feed();
	}
	test_int(confirmed(), 2);
	test_assert(at(0.22f, 0.55f)->id != at(0.88f, 0.55f)->id);
	stop();
}

static void test_not_believed(void)
{
	start();
	for (unsigned i = 0; i < 50; i++) {
		add(0.5f, 0.5f, 0.1f, 0.1f, 0); /* still: a shadow, a ghost */
		if (i % 10 < 2) {
			add(0.1f, 0.1f, 0.1f, 0.1f, 1); /* flashes */
		}
		feed();
		test_int(confirmed(), 0);
	}
	stop();
}

/* What grows in its place, as light does, is believed later than what goes. */
static void test_light_that_comes_up(void)
{
	start();
	for (unsigned i = 0; i < 7; i++) {
		add(0.5f - 0.01f * (float)i, 0.4f, 0.1f + 0.02f * (float)i, 0.2f, 1);
		feed();
	}
	for (unsigned i = 0; i < 20; i++) {
		add(0.44f, 0.4f, 0.22f, 0.2f, 0);
		feed();
		test_int(confirmed(), 0);
	}
	stop();
}

static void test_learning(void)
{
	start();
	for (unsigned i = 0; i < 20; i++) {
		detections.learning = i < 12;
		add(0.1f + 0.02f * (float)i, 0.5f, 0.1f, 0.2f, 0.8f);
		feed();
		test_int(confirmed(), i >= 12);
	}
	test_assert(tracks[0].first_ns < PC_NS_PER_S);
	stop();
}

static void test_unsteady_light(void)
{
	start();
	for (unsigned i = 0; i < 25; i++) { /* clouds: many, and they do not get far */
		detections.unsteady = true;
		add(0.1f + 0.003f * (float)i, 0.1f, 0.2f, 0.1f, 1);
		add(0.5f + 0.003f * (float)i, 0.2f, 0.3f, 0.1f, 1);
		feed();
		test_int(confirmed(), 0);
	}
	stop();
	start();
	for (unsigned i = 0; i < 30; i++) { /* but a cat does */
		detections.unsteady = true;
		add(0.02f * (float)i, 0.5f, 0.1f, 0.2f, 1);
		feed();
	}
	test_int(confirmed(), 1);
	test_assert(tracks[0].first_ns < PC_NS_PER_S);
	stop();
}

static void test_withheld(void)
{
	start();
	for (unsigned i = 0; i < 10; i++) {
		add(0.1f + 0.02f * (float)i, 0.5f, 0.1f, 0.2f, 0.8f);
		feed();
	}
	for (unsigned i = 0; i < 30; i++) { /* nobody can be seen: nobody is lost */
		detections.light_change = true;
		feed();
		test_int(n_tracks, 1);
		test_int(tracks[0].state, PC_TRACK_CONFIRMED);
	}
	stop();
}

static void test_species(void)
{
	start();
	for (unsigned i = 0; i < 10; i++) {
		add(0.1f + 0.02f * (float)i, 0.5f, 0.1f, 0.2f, 0.8f);
		detections.items[0].species = i % 4 == 0 ? PC_SPECIES_DOG : PC_SPECIES_CAT;
		feed();
	}
	test_int(tracks[0].species, PC_SPECIES_CAT);
	stop();
}

static void test_too_many(void)
{
	start();
	uint32_t highest = 0;
	for (unsigned i = 0; i < 40; i++) {
		for (unsigned d = 0; d < PC_DETECTIONS_MAX; d++) {
			add((float)(d % 8) * 0.12f + (i % 2 == 0 ? 0 : 0.06f),
				(float)(d / 8) * 0.24f, 0.03f, 0.05f, 1);
		}
		feed();
		test_assert(n_tracks <= PC_TRACKS_MAX);
		for (unsigned t = 0; t < n_tracks; t++) {
			highest = tracks[t].id > highest ? tracks[t].id : highest;
			for (unsigned u = 0; u < t; u++) {
				test_assert(tracks[t].id != tracks[u].id);
			}
		}
	}
	pc_tracker_reset(tracker);
	add(0.5f, 0.5f, 0.1f, 0.1f, 1);
	feed();
	test_int(n_tracks, 1);
	test_assert(tracks[0].id > highest); /* never used twice */
	test_assert(find(1) == NULL);
	stop();
}

static void test_create(void)
{
	struct pc_tracker_config config = { .rate = 0, .lost_s = 1 };
	struct pc_tracker *none = NULL;
	test_int(pc_tracker_create(&config, &none), -EINVAL);
	config = (struct pc_tracker_config){ .rate = 10, .lost_s = 1 };
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_tracker_create(&config, &none), -ENOMEM);
	test_assert(fault_disarm() && none == NULL);
	pc_tracker_destroy(NULL);
}

int main(void)
{
	TEST_RUN(test_one);
	TEST_RUN(test_crossing);
	TEST_RUN(test_passing_by);
	TEST_RUN(test_occlusion);
	TEST_RUN(test_border);
	TEST_RUN(test_pieces);
	TEST_RUN(test_split);
	TEST_RUN(test_not_believed);
	TEST_RUN(test_light_that_comes_up);
	TEST_RUN(test_learning);
	TEST_RUN(test_unsteady_light);
	TEST_RUN(test_withheld);
	TEST_RUN(test_species);
	TEST_RUN(test_too_many);
	TEST_RUN(test_create);
	return test_end();
}
