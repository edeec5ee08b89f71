/* petcamd/demo_script.c - what the two do all day.
 *
 * The order of things is the same every day, so that tests and people know what
 * to wait for; when exactly, where and by which way follows from the seed and the
 * day's number. A pet that has somewhere to go leaves when its last thing ends,
 * arrives by its own speed, and does the next thing until that one's time is up.
 */
#include "petcamd/demo_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- chance ---- */

static uint64_t next_random(uint64_t *state)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static float between(uint64_t *state, float low, float high)
{
	return low + (high - low) * (float)(next_random(state) >> 40) / (float)(1 << 24);
}

/* ---- writing acts ---- */

struct writer {
	struct pc_demo_day *day;
	unsigned pet;
	uint64_t *random;
	double t; /* end of what is written */
	struct pc_spot at;
	float facing;
	float gone;
	struct pc_vec ball;
};

static struct pc_act *add(
	struct writer *w, double t1, enum pc_demo_action action, enum pc_pose_id pose)
{
	assert(w->day->n_acts[w->pet] < PC_DEMO_ACTS_MAX);
	assert(t1 > w->t);
	struct pc_act *act = &w->day->acts[w->pet][w->day->n_acts[w->pet]++];
	*act = (struct pc_act){
		.t0 = w->t,
		.t1 = t1,
		.action = action,
		.pose = pose,
		.from = w->at,
		.to = w->at,
		.facing = w->facing,
		.gone = w->gone,
	};
	w->t = t1;
	return act;
}

static void stay(struct writer *w, double until, enum pc_demo_action action, enum pc_pose_id pose)
{
	if (until > w->t) {
		add(w, until, action, pose);
	}
}

static void face(struct writer *w, float x)
{
	w->facing = x < w->at.x ? -1 : 1;
}

enum going {
	GO_WALK = 0,
	GO_RUN = 1 << 0,
	GO_FROM_PACE = 1 << 1, /* does not speed up first: goes on from a walk */
	GO_AT_PACE = 1 << 2, /* does not slow down */
	GO_STRAIGHT = 1 << 3,
};

static void go(
	struct writer *w, float x, float y, float lift, enum pc_demo_action action, unsigned how)
{
	const struct pc_breed *breed = &pc_demo_breeds[w->pet];
	const struct pc_spot to = { x, y, lift };
	const float dx = to.x - w->at.x;
	const float dy = to.y - w->at.y;
	/* The floor is seen from a slant: down the picture is farther than across. */
	const float distance = hypotf(dx, 1.6F * dy);
	if (distance < 2) {
		return;
	}
	if (fabsf(dx) > 4) {
		w->facing = dx < 0 ? -1 : 1;
	}
	const float scale = 0.5F * (pc_demo_scale(w->at.y) + pc_demo_scale(to.y));
	const float speed = scale * ((how & GO_RUN) != 0 ? breed->run_speed : breed->walk_speed);
	const bool soft_start = (how & GO_FROM_PACE) == 0;
	const bool soft_end = (how & GO_AT_PACE) == 0;
	const double slower = 1 + 0.15 * (soft_start + soft_end);
	struct pc_act *act = add(w, w->t + (double)(distance / speed) * slower, action,
		(how & GO_RUN) != 0 ? PC_POSE_RUN : PC_POSE_STAND);
	act->move = PC_MOVE_PATH;
	act->to = to;
	act->facing = w->facing;
	act->length = distance / (scale * breed->length);
	act->soft_start = soft_start;
	act->soft_end = soft_end;
	if ((how & GO_STRAIGHT) == 0) {
		const float off = between(w->random, -0.08F, 0.08F) * fabsf(dx);
		act->bend = pc_vec(0, pc_clampf(off, -22, 22));
	}
	w->gone += act->length;
	w->at = to;
}

static void walk(struct writer *w, float x, float y)
{
	go(w, x, y, 0, PC_DEMO_WALK, GO_WALK);
}

static void hop(struct writer *w, float x, float y, float lift)
{
	face(w, x);
	stay(w, w->t + 0.35, PC_DEMO_JUMP, PC_POSE_CROUCH);
	struct pc_act *act = add(w, w->t + 0.55, PC_DEMO_JUMP, PC_POSE_LEAP);
	act->move = PC_MOVE_JUMP;
	act->to = (struct pc_spot){ x, y, lift };
	w->at = act->to;
	stay(w, w->t + 0.3, PC_DEMO_JUMP, PC_POSE_STAND);
}

/* ---- scenes ---- */

static void away(struct writer *w, double until)
{
	w->at = (struct pc_spot){ -70, 394, 0 };
	w->facing = 1;
	stay(w, until, PC_DEMO_AWAY, PC_POSE_STAND);
}

static void enter(struct writer *w)
{
	go(w, 132, 396, 0, PC_DEMO_WALK, GO_AT_PACE | GO_STRAIGHT);
	go(w, 205, 452, 0, PC_DEMO_WALK, GO_FROM_PACE | GO_AT_PACE | GO_STRAIGHT);
}

static void leave(struct writer *w)
{
	go(w, 208, 452, 0, PC_DEMO_WALK, GO_AT_PACE);
	go(w, 134, 396, 0, PC_DEMO_WALK, GO_FROM_PACE | GO_AT_PACE | GO_STRAIGHT);
	go(w, -70, 394, 0, PC_DEMO_WALK, GO_FROM_PACE | GO_STRAIGHT);
}

static void eat(struct writer *w, double until)
{
	const float y = PC_DEMO_BOWL_Y - 5;
	const float reach =
		pc_pose_mouth_x(&pc_demo_breeds[w->pet], PC_POSE_EAT) * pc_demo_scale(y);
	walk(w, PC_DEMO_BOWL_X + reach + 2, y);
	w->facing = -1;
	stay(w, until, PC_DEMO_EAT, PC_POSE_EAT);
}

struct yard {
	float x0, x1, y0, y1;
};

/* Pushes the ball to `to` and runs after it, to stand where the push after that
 * one, to `after`, can be made. */
static void push(struct writer *w, struct pc_vec to, struct pc_vec after)
{
	const struct pc_breed *breed = &pc_demo_breeds[w->pet];
	stay(w, w->t + (double)between(w->random, 0.5F, 1.0F), PC_DEMO_PLAY, PC_POSE_CROUCH);
	stay(w, w->t + 0.45, PC_DEMO_PLAY, PC_POSE_BAT);
	assert(w->day->n_rolls[w->pet] < PC_DEMO_ROLLS_MAX);
	w->day->rolls[w->pet][w->day->n_rolls[w->pet]++] = (struct pc_roll){
		.t0 = w->t - 0.2,
		.t1 = w->t + 1.0,
		.from = w->ball,
		.to = to,
	};
	w->ball = to;
	const float reach = 0.95F * pc_pose_mouth_x(breed, PC_POSE_CROUCH) * pc_demo_scale(to.y);
	const float side = after.x < to.x ? -1 : 1;
	go(w, to.x - side * reach, to.y - 3, 0, PC_DEMO_PLAY, GO_RUN);
	w->facing = side;
}

static void play(struct writer *w, double until, const struct yard *yard)
{
	const struct pc_breed *breed = &pc_demo_breeds[w->pet];
	const struct pc_vec home = w->ball;
	const float middle = 0.5F * (yard->x0 + yard->x1);
	const float reach = 0.95F * pc_pose_mouth_x(breed, PC_POSE_CROUCH) * pc_demo_scale(home.y);
	float side = home.x < middle ? 1 : -1;
	walk(w, home.x - side * reach, home.y - 3);
	w->facing = side;
	struct pc_vec to = home;
	for (unsigned i = 0; i < PC_DEMO_ROLLS_MAX - 2; i++) {
		const bool last = w->t > until - 5;
		if (last) {
			break;
		}
		const float far = side > 0 ? between(w->random, middle + 40, yard->x1)
					   : between(w->random, yard->x0, middle - 40);
		to = pc_vec(far, between(w->random, yard->y0, yard->y1));
		side = -side;
		push(w, to, pc_vec(to.x + side, to.y));
	}
	push(w, home, pc_vec(home.x + (home.x < to.x ? -1.0F : 1.0F), home.y));
	stay(w, until, PC_DEMO_PLAY, PC_POSE_CROUCH);
}

/* Round the rug, after each other. `from`: radians on the ellipse. */
static void chase(struct writer *w, float from, float turns)
{
	enum { PIECES = 14 };
	static const float cx = 600;
	static const float cy = 604;
	const unsigned n = (unsigned)(turns * PIECES);
	for (unsigned i = 0; i <= n; i++) {
		const float a = from + 2 * PC_DEMO_PI * (float)i / PIECES;
		const unsigned how = GO_RUN | GO_STRAIGHT | (i > 0 ? GO_FROM_PACE : 0U) |
				     (i < n ? GO_AT_PACE : 0U);
		go(w, cx + 215 * cosf(a), cy + 48 * sinf(a), 0, PC_DEMO_PLAY, how);
	}
}

static void nap(struct writer *w, float x, bool to_left, double doze, double wake, double up)
{
	walk(w, to_left ? x + 70 : x - 70, 556);
	hop(w, x, PC_DEMO_SEAT_Y, PC_DEMO_SEAT_LIFT);
	w->facing = to_left ? -1 : 1;
	stay(w, doze, PC_DEMO_LIE, PC_POSE_LIE);
	stay(w, wake, PC_DEMO_SLEEP, PC_POSE_SLEEP);
	stay(w, up - 1.2, PC_DEMO_LIE, PC_POSE_LIE);
	stay(w, up, PC_DEMO_SIT, PC_POSE_SIT);
	hop(w, to_left ? x - 75 : x + 75, 558, 0);
}

/* What both must agree on. */
struct agreement {
	bool swap; /* who sleeps where on the sofa */
	double meet;
	float meet_x, meet_y;
};

static void plan_cat(struct writer *w, const struct agreement *both)
{
	uint64_t *r = w->random;
	static const struct yard yard = { 480, 672, 572, 656 };
	away(w, 0.8 + (double)between(r, 0, 0.4F));
	enter(w);
	walk(w, between(r, 470, 560), between(r, 575, 615));
	stay(w, 11 + (double)between(r, -1, 1), PC_DEMO_SIT, PC_POSE_SIT);
	eat(w, 29 + (double)between(r, -1, 1));
	walk(w, between(r, 560, 640), between(r, 600, 640));
	stay(w, 44 + (double)between(r, -1.5F, 1.5F), PC_DEMO_GROOM, PC_POSE_GROOM);
	play(w, 66 + (double)between(r, -1.5F, 1.5F), &yard);
	nap(w, both->swap ? 1008 : 782, both->swap, 80 + (double)between(r, -1, 1),
		130 + (double)between(r, -2, 2), 134.5 + (double)between(r, -0.5F, 0.5F));
	walk(w, both->meet_x - 108, both->meet_y);
	face(w, both->meet_x);
	stay(w, both->meet - 2.2, PC_DEMO_SIT, PC_POSE_SIT);
	stay(w, both->meet, PC_DEMO_PLAY, PC_POSE_BAT);
	chase(w, PC_DEMO_PI * 0.95F, 1.6F);
	walk(w, between(r, 560, 620), between(r, 560, 580));
	stay(w, both->meet + 15.5, PC_DEMO_SIT, PC_POSE_SIT);
	/* Behind the sofa, and out on the other side. */
	walk(w, between(r, 606, 622), 462);
	go(w, between(r, 1180, 1192), 446, 0, PC_DEMO_WALK, GO_STRAIGHT);
	walk(w, 1196, between(r, 528, 540));
	walk(w, between(r, 690, 760), between(r, 560, 590));
	stay(w, 184 + (double)between(r, -1.5F, 1.5F), PC_DEMO_GROOM, PC_POSE_GROOM);
	leave(w);
}

static void plan_dog(struct writer *w, const struct agreement *both)
{
	uint64_t *r = w->random;
	static const struct yard yard = { 566, 745, 590, 656 };
	away(w, 25 + (double)between(r, -1.5F, 1.5F));
	enter(w);
	walk(w, between(r, 770, 830), between(r, 552, 580));
	face(w, 300);
	stay(w, 37 + (double)between(r, -1, 1), PC_DEMO_SIT, PC_POSE_SIT);
	eat(w, 51 + (double)between(r, -1, 1));
	/* He watches her until it is his turn. */
	walk(w, between(r, 850, 880), between(r, 566, 580));
	face(w, 300);
	stay(w, 66 + (double)between(r, -1, 1), PC_DEMO_LIE, PC_POSE_LIE);
	play(w, 83 + (double)between(r, -1.5F, 1.5F), &yard);
	walk(w, between(r, 660, 720), between(r, 590, 620));
	stay(w, 92 + (double)between(r, -1, 1), PC_DEMO_GROOM, PC_POSE_GROOM);
	nap(w, both->swap ? 806 : 988, !both->swap, 102 + (double)between(r, -1, 1),
		132 + (double)between(r, -1, 1), 136.5 + (double)between(r, -0.5F, 0.5F));
	walk(w, both->meet_x + 146, both->meet_y + 4);
	face(w, both->meet_x);
	stay(w, both->meet - 0.6, PC_DEMO_PLAY, PC_POSE_CROUCH);
	stay(w, both->meet + 0.2, PC_DEMO_PLAY, PC_POSE_BAT);
	chase(w, -0.25F, 1.6F);
	walk(w, between(r, 770, 830), between(r, 600, 620));
	face(w, 500);
	stay(w, both->meet + 14, PC_DEMO_SIT, PC_POSE_SIT);
	go(w, PC_DEMO_BED_X - 118, PC_DEMO_BED_Y + 6, 0, PC_DEMO_WALK, GO_AT_PACE);
	go(w, PC_DEMO_BED_X - 8, PC_DEMO_BED_Y + 4, 14, PC_DEMO_WALK, GO_FROM_PACE | GO_STRAIGHT);
	w->facing = -1;
	stay(w, 170 + (double)between(r, -1, 1), PC_DEMO_LIE, PC_POSE_LIE);
	stay(w, 188 + (double)between(r, -1, 1), PC_DEMO_SLEEP, PC_POSE_SLEEP);
	stay(w, 190.5, PC_DEMO_LIE, PC_POSE_LIE);
	go(w, PC_DEMO_BED_X - 140, PC_DEMO_BED_Y - 2, 0, PC_DEMO_WALK, GO_AT_PACE);
	go(w, between(r, 560, 640), between(r, 560, 600), 0, PC_DEMO_WALK,
		GO_FROM_PACE | GO_AT_PACE);
	leave(w);
}

void pc_demo_day_plan(uint64_t seed, int64_t day, struct pc_demo_day *ret_day)
{
	memset(ret_day, 0, sizeof(*ret_day));
	uint64_t random = seed * UINT64_C(0xD1342543DE82EF95) + (uint64_t)day;
	next_random(&random);
	const struct agreement both = {
		.swap = (next_random(&random) & 1) != 0,
		.meet = 144 + (double)between(&random, -1, 1),
		.meet_x = between(&random, 560, 620),
		.meet_y = between(&random, 590, 620),
	};
	static const struct pc_vec homes[PC_DEMO_PETS] = { { 536, 650 }, { 752, 640 } };
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		/* One chance a pet, so that the one's day does not depend on the other's. */
		uint64_t own = next_random(&random);
		struct writer w = { .day = ret_day, .pet = i, .random = &own, .ball = homes[i] };
		if (i == 0) {
			plan_cat(&w, &both);
		} else {
			plan_dog(&w, &both);
		}
		away(&w, PC_DEMO_DAY_S);
	}
}
