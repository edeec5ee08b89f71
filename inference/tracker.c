/* inference/tracker.c - detections of many frames joined into things; see tracker.h.
 *
 * Each track is an alpha-beta filter of its centre and a smoothed size. A frame goes:
 * predict all; pair tracks and detections, best first, by overlap and by distance in
 * their own sizes; what is left over is a piece of a paired track, hidden behind
 * another (two tracks over one detection), lost, or new.
 *
 * Things that meet become one detection. While that lasts, neither is measured: both
 * coast on with the speed that they had, inside the common box, and whoever comes out
 * where one of them should be is that one.
 */
#include "inference/tracker.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A picture apart at 10 a second; the speed is a mean of half a second. */
#define FOLLOW_S 0.12f
#define SPEED_S 0.4f
#define SIZE_S 0.25f
#define ENERGY_S 0.3f

/* Beyond where two boxes touch: a cat at full speed, and one lost for some time. */
#define REACH 0.1f
#define REACH_PER_S 0.1f
#define COAST_S 0.6f /* a speed that nobody measures fades away in this time */

/* Seen, and seen moving, this long: a lamp, a flash or a stone thrown is shorter. */
#define CONFIRM_MOVES_S 0.35f
#define CONFIRM_SHIFT 0.1f /* and has gone so far, in sizes of its own, or */
#define CONFIRM_IN_PLACE_S 0.8f /* moves on the spot for longer than a light comes up */
#define DOUBTFUL_SHIFT 1.0f /* both of these while the light changes */
#define DOUBTFUL_S 2.0f
#define CROWD 5 /* things that came */
#define CROWD_NS (INT64_C(1500) * 1000 * 1000) /* in this time */
#define CONFIRM_PART 0.5f /* of a young track's life it must have been moving */
#define TENTATIVE_GAP_S 0.35f
#define TENTATIVE_MAX_S 3.0f /* not confirmed for so long: it never moved enough */

/* Energy that is movement; half of it keeps a known mover moving. */
#define ENERGY_MOVES 0.10f
#define ENERGY_KEEPS 0.05f
#define SWAY_KEEPS 0.03f /* what stands like a stone has none at all */
/* Nobody who is awake stands for so long without a shift of weight: it sleeps. */
#define SWAY_MAX_NS (INT64_C(20) * 1000 * 1000 * 1000)

#define STRETCH_GAP_NS (INT64_C(3000) * 1000 * 1000) /* stiller than this: it stopped */

#define LEFT_LOST_S 0.5f
#define HIDDEN_FACTOR 4 /* hidden behind another: given up this many times later */
#define EDGE 0.02f /* nearer than this to the picture's border touches it */

struct thing {
	struct pc_track pub;
	float cx, cy, w, h;
	float moved_s; /* time that it was seen moving */
	int64_t stepped_ns; /* last seen to do more than sway */
	struct pc_box first; /* its first box */
	float widest, tallest; /* that it ever was */
	float shift; /* how far it is from there, in these */
	float votes[PC_SPECIES_OTHER + 1];
	bool edge; /* touched the border when last seen */
	int paired; /* index of its detection in this frame, or -1 */
	bool shares; /* its detection covers another track too */
	int64_t met_ns; /* since when it has had none of its own; 0: it has */
};

struct pc_tracker {
	double rate;
	int64_t lost_ns;
	int64_t last_ns; /* of the last frame; 0: none yet */
	uint32_t next_id;
	unsigned n;
	struct thing things[PC_TRACKS_MAX];
	struct pc_track out[PC_TRACKS_MAX];
};

int pc_tracker_create(const struct pc_tracker_config *config, struct pc_tracker **ret_tracker)
{
	if (!(config->rate > 0) || !(config->lost_s > 0)) {
		return -EINVAL;
	}
	struct pc_tracker *tracker = calloc(1, sizeof(*tracker));
	if (tracker == NULL) {
		return -ENOMEM;
	}
	tracker->rate = config->rate;
	tracker->lost_ns = (int64_t)(config->lost_s * 1e9);
	tracker->next_id = 1;
	*ret_tracker = tracker;
	return 0;
}

void pc_tracker_destroy(struct pc_tracker *tracker)
{
	free(tracker);
}

void pc_tracker_reset(struct pc_tracker *tracker)
{
	tracker->n = 0;
	tracker->last_ns = 0;
}

static float follow(float dt_s, float time_s)
{
	return 1 - expf(-dt_s / time_s);
}

static float clampf(float value, float low, float high)
{
	return value < low ? low : value > high ? high : value;
}

static struct pc_box box_of(const struct thing *thing)
{
	return (struct pc_box){
		.x = thing->cx - thing->w / 2,
		.y = thing->cy - thing->h / 2,
		.w = thing->w,
		.h = thing->h,
	};
}

static bool touches_edge(const struct pc_box *box)
{
	return box->x < EDGE || box->y < EDGE || box->x + box->w > 1 - EDGE ||
	       box->y + box->h > 1 - EDGE;
}

/* The part of `a` that lies in `b`. */
static float covered(const struct pc_box *a, const struct pc_box *b)
{
	const float w = fminf(a->x + a->w, b->x + b->w) - fmaxf(a->x, b->x);
	const float h = fminf(a->y + a->h, b->y + b->h) - fmaxf(a->y, b->y);
	if (w <= 0 || h <= 0 || a->w * a->h <= 0) {
		return 0;
	}
	return w * h / (a->w * a->h);
}

static struct pc_box united(const struct pc_box *a, const struct pc_box *b)
{
	const float x = fminf(a->x, b->x);
	const float y = fminf(a->y, b->y);
	return (struct pc_box){
		.x = x,
		.y = y,
		.w = fmaxf(a->x + a->w, b->x + b->w) - x,
		.h = fmaxf(a->y + a->h, b->y + b->h) - y,
	};
}

static void predict(struct thing *thing, float dt_s)
{
	thing->cx += thing->pub.vx * dt_s;
	thing->cy += thing->pub.vy * dt_s;
	if (thing->pub.state == PC_TRACK_LOST && !thing->shares) {
		const float keeps = 1 - follow(dt_s, COAST_S);
		thing->pub.vx *= keeps;
		thing->pub.vy *= keeps;
	}
	thing->cx = clampf(thing->cx, 0, 1);
	thing->cy = clampf(thing->cy, 0, 1);
	thing->paired = -1;
	thing->shares = false;
}

/* How badly a detection fits a track; above 1: not at all. */
static float misfit(const struct thing *thing, const struct pc_detection *detection, float since_s)
{
	const struct pc_box box = box_of(thing);
	const float iou = pc_box_iou(&box, &detection->box);
	const float dx = detection->box.x + detection->box.w / 2 - thing->cx;
	const float dy = detection->box.y + detection->box.h / 2 - thing->cy;
	const float reach = REACH + REACH_PER_S * since_s;
	const float gate_x = (thing->w + detection->box.w) / 2 + reach;
	const float gate_y = (thing->h + detection->box.h) / 2 + reach;
	const float away = hypotf(dx / gate_x, dy / gate_y);
	if (away > 1) {
		return INFINITY;
	}
	/* What moves is not what lies where it was. A young track does not take a known one's detection. */
	const float rest = thing->pub.energy > 0.3f && detection->energy < ENERGY_KEEPS ? 0.5f : 0;
	const float young = thing->pub.state == PC_TRACK_TENTATIVE ? 0.25f : 0;
	return 0.5f * away + 0.5f * (1 - iou) + young + rest;
}

static void pair_all(struct pc_tracker *tracker, const struct pc_detections *detections,
	int64_t capture_ns, int *owners)
{
	float costs[PC_TRACKS_MAX][PC_DETECTIONS_MAX];
	for (unsigned t = 0; t < tracker->n; t++) {
		const float since_s = (float)(capture_ns - tracker->things[t].pub.last_ns) * 1e-9f;
		for (unsigned d = 0; d < detections->n; d++) {
			costs[t][d] = misfit(&tracker->things[t], &detections->items[d], since_s);
		}
	}
	for (;;) {
		float best = INFINITY;
		unsigned best_t = 0, best_d = 0;
		for (unsigned t = 0; t < tracker->n; t++) {
			for (unsigned d = 0; tracker->things[t].paired < 0 && d < detections->n;
				d++) {
				if (owners[d] < 0 && costs[t][d] < best) {
					best = costs[t][d];
					best_t = t;
					best_d = d;
				}
			}
		}
		if (best == INFINITY) {
			return;
		}
		tracker->things[best_t].paired = (int)best_d;
		owners[best_d] = (int)best_t;
	}
}

/* Two tracks over one detection: they have met. */
static void find_meetings(
	struct pc_tracker *tracker, const struct pc_detections *detections, int64_t capture_ns)
{
	for (unsigned t = 0; t < tracker->n; t++) {
		struct thing *thing = &tracker->things[t];
		if (thing->paired >= 0) {
			thing->met_ns = 0;
			continue;
		}
		if (thing->pub.state == PC_TRACK_TENTATIVE ||
			(thing->met_ns != 0 &&
				capture_ns - thing->met_ns > HIDDEN_FACTOR * tracker->lost_ns)) {
			continue;
		}
		const struct pc_box box = box_of(thing);
		for (unsigned u = 0; u < tracker->n; u++) {
			struct thing *other = &tracker->things[u];
			if (u == t || other->paired < 0 || other->pub.state == PC_TRACK_TENTATIVE) {
				continue;
			}
			const struct pc_box *common = &detections->items[other->paired].box;
			const struct pc_box own = box_of(other);
			/* Behind a thing that is no larger than it was, or in a box that
			 * grew by it. */
			if (covered(&box, common) > 0.5f || covered(&box, &own) > 0.8f) {
				thing->paired = other->paired;
				thing->met_ns = thing->met_ns == 0 ? capture_ns : thing->met_ns;
				thing->shares = true;
				other->shares = true;
				break;
			}
		}
	}
}

/* A leftover detection that lies in the box of a paired track is a piece of it. */
static int whole_of(
	const struct pc_tracker *tracker, const struct pc_detections *detections, unsigned piece)
{
	const struct pc_detection *part = &detections->items[piece];
	const struct pc_box *box = &part->box;
	for (unsigned t = 0; t < tracker->n; t++) {
		const struct thing *thing = &tracker->things[t];
		const struct pc_box own = box_of(thing);
		if (thing->paired < 0 || covered(box, &own) < 0.6f) {
			continue;
		}
		/* Unless it lies there like a stone: something that was left behind. */
		if (part->sway > SWAY_KEEPS ||
			detections->items[thing->paired].energy < ENERGY_MOVES) {
			return (int)t;
		}
	}
	return -1;
}

static void vote(struct thing *thing, const struct pc_detection *detection)
{
	if (detection->species != PC_SPECIES_UNKNOWN) {
		thing->votes[detection->species] += detection->score;
	}
	enum pc_species best = PC_SPECIES_UNKNOWN;
	for (int s = PC_SPECIES_UNKNOWN + 1; s <= PC_SPECIES_OTHER; s++) {
		if (thing->votes[s] > thing->votes[best]) {
			best = (enum pc_species)s;
		}
	}
	thing->pub.species = best;
}

static void measure(struct thing *thing, const struct pc_box *box, float dt_s)
{
	const float x = box->x + box->w / 2;
	const float y = box->y + box->h / 2;
	const float position = follow(dt_s, FOLLOW_S);
	const float speed = follow(dt_s, SPEED_S) * position / dt_s;
	const float ex = x - thing->cx;
	const float ey = y - thing->cy;
	const float size = follow(dt_s, SIZE_S);
	thing->cx += position * ex;
	thing->cy += position * ey;
	thing->pub.vx += speed * ex;
	thing->pub.vy += speed * ey;
	thing->w += size * (box->w - thing->w);
	thing->h += size * (box->h - thing->h);
}

/* Coasting inside the common box: neither of those who met is where its middle is. */
static void keep_inside(struct thing *thing, const struct pc_box *common)
{
	const float w = fminf(thing->w, common->w);
	const float h = fminf(thing->h, common->h);
	thing->cx = clampf(thing->cx, common->x + w / 2, common->x + common->w - w / 2);
	thing->cy = clampf(thing->cy, common->y + h / 2, common->y + common->h - h / 2);
}

/* How far both of two opposite sides have gone in the same direction; a side on the
 * picture's border cannot. What only grows or shrinks, as light does, stays. */
static float gone(float low, float high, float low_before, float high_before)
{
	const bool enters = low_before < EDGE;
	const bool enters_high = high_before > 1 - EDGE;
	const float a = low - low_before;
	const float b = high - high_before;
	if (enters != enters_high) {
		return fabsf(enters ? b : a);
	}
	return a * b > 0 ? fminf(fabsf(a), fabsf(b)) : 0;
}

static void note_shift(struct thing *thing, const struct pc_box *box)
{
	const struct pc_box *first = &thing->first;
	const float x = gone(box->x, box->x + box->w, first->x, first->x + first->w);
	const float y = gone(box->y, box->y + box->h, first->y, first->y + first->h);
	thing->widest = fmaxf(thing->widest, box->w);
	thing->tallest = fmaxf(thing->tallest, box->h);
	thing->shift = hypotf(x / thing->widest, y / thing->tallest);
}

static void note_movement(struct thing *thing, const struct pc_detection *detection,
	int64_t capture_ns, int64_t before_ns)
{
	struct pc_track *pub = &thing->pub;
	const float dt_s = (float)(capture_ns - before_ns) * 1e-9f;
	pub->energy += follow(dt_s, ENERGY_S) * (detection->energy - pub->energy);
	const bool moved = capture_ns - pub->last_moved_ns < STRETCH_GAP_NS;
	const bool known = pub->state != PC_TRACK_TENTATIVE && moved;
	if (detection->energy > (known ? ENERGY_KEEPS : ENERGY_MOVES)) {
		if (!moved) {
			pub->stirred_ns = before_ns;
		}
		pub->last_moved_ns = capture_ns;
		thing->stepped_ns = capture_ns;
		thing->moved_s += dt_s;
	} else if (known && detection->sway > SWAY_KEEPS &&
		   capture_ns - thing->stepped_ns < SWAY_MAX_NS) {
		pub->last_moved_ns = capture_ns; /* or up to a second before */
	}
}

static void see(struct thing *thing, const struct pc_detection *detection, const struct pc_box *box,
	int64_t capture_ns, int64_t before_ns)
{
	const float dt_s = fmaxf((float)(capture_ns - before_ns) * 1e-9f, 1e-3f);
	if (thing->shares) {
		keep_inside(thing, &detection->box);
	} else {
		measure(thing, box, dt_s);
	}
	thing->edge = touches_edge(box);
	note_shift(thing, box);
	thing->pub.travelled += hypotf(thing->pub.vx, thing->pub.vy) * dt_s;
	if (thing->met_ns == 0) { /* else what moves may be the other */
		note_movement(thing, detection, capture_ns, before_ns);
	}
	thing->pub.last_ns = capture_ns;
	thing->pub.score += follow(dt_s, 1.0f) * (detection->score - thing->pub.score);
	vote(thing, detection);
}

static void try_confirm(struct thing *thing, bool learning, bool doubtful)
{
	if (thing->pub.state == PC_TRACK_LOST) {
		thing->pub.state = PC_TRACK_CONFIRMED;
	}
	if (thing->pub.state != PC_TRACK_TENTATIVE || learning) {
		return;
	}
	const float age_s = (float)(thing->pub.last_ns - thing->pub.first_ns) * 1e-9f;
	if (thing->moved_s < CONFIRM_MOVES_S || thing->moved_s < CONFIRM_PART * age_s) {
		return;
	}
	const bool sure =
		doubtful ? thing->moved_s > DOUBTFUL_S && thing->shift > DOUBTFUL_SHIFT
			 : thing->moved_s > CONFIRM_IN_PLACE_S || thing->shift > CONFIRM_SHIFT;
	if (sure) {
		thing->pub.state = PC_TRACK_CONFIRMED;
	}
}

static void add_thing(struct pc_tracker *tracker, const struct pc_detection *detection,
	int64_t capture_ns, int64_t before_ns)
{
	if (tracker->n == PC_TRACKS_MAX || detection->energy < ENERGY_MOVES) {
		return;
	}
	struct thing *thing = &tracker->things[tracker->n++];
	*thing = (struct thing){
		.pub = {
			.state = PC_TRACK_TENTATIVE,
			.score = detection->score,
			.energy = detection->energy,
			/* It came between the last picture and this one. */
			.first_ns = before_ns,
			.last_ns = capture_ns,
			.last_moved_ns = capture_ns,
			.stirred_ns = before_ns,
		},
		.cx = detection->box.x + detection->box.w / 2,
		.cy = detection->box.y + detection->box.h / 2,
		.w = detection->box.w,
		.h = detection->box.h,
		.stepped_ns = capture_ns,
		.first = detection->box,
		.widest = detection->box.w,
		.tallest = detection->box.h,
		.edge = touches_edge(&detection->box),
		.paired = -1,
		.moved_s = (float)(capture_ns - before_ns) * 1e-9f,
	};
	thing->pub.id = tracker->next_id++;
	vote(thing, detection);
}

/* After a frame without it. true: it goes. */
static bool miss(const struct pc_tracker *tracker, struct thing *thing, int64_t capture_ns)
{
	const float since_s = (float)(capture_ns - thing->pub.last_ns) * 1e-9f;
	if (thing->pub.state == PC_TRACK_TENTATIVE) {
		return since_s > TENTATIVE_GAP_S;
	}
	thing->pub.state = PC_TRACK_LOST;
	thing->pub.left = thing->edge;
	if (capture_ns - thing->pub.last_ns > tracker->lost_ns ||
		(thing->pub.left && since_s > LEFT_LOST_S)) {
		thing->pub.state = PC_TRACK_ENDED;
	}
	return false;
}

/* Things come one after the other; many at once are the light. */
static bool is_crowd(const struct pc_tracker *tracker, int64_t capture_ns)
{
	unsigned young = 0;
	for (unsigned t = 0; t < tracker->n; t++) {
		young += capture_ns - tracker->things[t].pub.first_ns < CROWD_NS;
	}
	return young >= CROWD;
}

static void update_all(struct pc_tracker *tracker, const struct pc_detections *detections,
	const struct pc_box *boxes, int64_t capture_ns, int64_t before_ns)
{
	const bool doubtful = detections->unsteady || is_crowd(tracker, capture_ns);
	for (unsigned t = 0; t < tracker->n; t++) {
		struct thing *thing = &tracker->things[t];
		bool ends = false;
		if (thing->paired >= 0) {
			see(thing, &detections->items[thing->paired], &boxes[thing->paired],
				capture_ns, before_ns);
			try_confirm(thing, detections->learning, doubtful);
			thing->pub.left = false;
			ends = thing->pub.state == PC_TRACK_TENTATIVE &&
			       (float)(capture_ns - thing->pub.first_ns) * 1e-9f > TENTATIVE_MAX_S;
		} else if (!detections->light_change) {
			ends = miss(tracker, thing, capture_ns);
		}
		if (ends) {
			*thing = tracker->things[--tracker->n];
			t--;
		}
	}
}

static void drop_ended(struct pc_tracker *tracker)
{
	for (unsigned t = 0; t < tracker->n; t++) {
		if (tracker->things[t].pub.state == PC_TRACK_ENDED) {
			tracker->things[t--] = tracker->things[--tracker->n];
		}
	}
}

const struct pc_track *pc_tracker_feed(struct pc_tracker *tracker,
	const struct pc_detections *detections, int64_t capture_ns, unsigned *ret_n)
{
	assert(detections->n <= PC_DETECTIONS_MAX);
	const int64_t frame_ns = (int64_t)(1e9 / tracker->rate);
	int64_t before_ns = tracker->last_ns != 0 ? tracker->last_ns : capture_ns - frame_ns;
	if (capture_ns - before_ns > 3 * frame_ns) {
		before_ns = capture_ns - 3 * frame_ns;
	}
	tracker->last_ns = capture_ns;
	drop_ended(tracker);
	for (unsigned t = 0; t < tracker->n; t++) {
		predict(&tracker->things[t], (float)(capture_ns - before_ns) * 1e-9f);
	}
	int owners[PC_DETECTIONS_MAX];
	struct pc_box boxes[PC_DETECTIONS_MAX] = { 0 };
	for (unsigned d = 0; d < detections->n; d++) {
		owners[d] = -1;
		boxes[d] = detections->items[d].box;
	}
	pair_all(tracker, detections, capture_ns, owners);
	find_meetings(tracker, detections, capture_ns);
	for (unsigned d = 0; d < detections->n; d++) {
		const int whole = owners[d] < 0 ? whole_of(tracker, detections, d) : -1;
		if (whole >= 0) {
			struct pc_box *box = &boxes[tracker->things[whole].paired];
			*box = united(box, &boxes[d]);
			owners[d] = whole;
		}
	}
	update_all(tracker, detections, boxes, capture_ns, before_ns);
	for (unsigned d = 0; d < detections->n; d++) {
		if (owners[d] < 0) {
			add_thing(tracker, &detections->items[d], capture_ns, before_ns);
		}
	}
	for (unsigned t = 0; t < tracker->n; t++) {
		tracker->out[t] = tracker->things[t].pub;
		tracker->out[t].box = box_of(&tracker->things[t]);
	}
	*ret_n = tracker->n;
	return tracker->out;
}
