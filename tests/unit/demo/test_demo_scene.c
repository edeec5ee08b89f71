/* tests/unit/demo/test_demo_scene.c - the day has everything in it that is promised. */
#include <errno.h>
#include <math.h>

#include "petcamd/demo_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define SEEDS 6

static struct pc_demo_scene *new_scene(uint64_t seed)
{
	struct pc_demo_scene *scene = NULL;
	test_int(pc_demo_scene_create(seed, &scene), 0);
	return scene;
}

static void test_names(void)
{
	test_str(pc_demo_action_name(PC_DEMO_AWAY), "away");
	test_str(pc_demo_action_name(PC_DEMO_SLEEP), "sleep");
	test_str(pc_demo_action_name(PC_DEMO_SIT), "sit");
}

/* Acts follow each other without a gap, in time and in space. */
static void test_plan_has_no_gap(void)
{
	static struct pc_demo_day day;
	for (uint64_t seed = 0; seed < 40; seed++) {
		pc_demo_day_plan(seed * 977, (int64_t)(seed % 5), &day);
		for (unsigned pet = 0; pet < PC_DEMO_PETS; pet++) {
			const struct pc_act *acts = day.acts[pet];
			const unsigned n = day.n_acts[pet];
			test_assert(n > 40 && n <= PC_DEMO_ACTS_MAX);
			test_assert(acts[0].t0 == 0 && acts[0].action == PC_DEMO_AWAY);
			test_assert(acts[n - 1].t1 == PC_DEMO_DAY_S);
			test_assert(acts[n - 1].action == PC_DEMO_AWAY);
			for (unsigned i = 1; i < n; i++) {
				test_assert(acts[i].t0 == acts[i - 1].t1);
				test_assert(acts[i].t1 > acts[i].t0);
				test_assert(acts[i].from.x == acts[i - 1].to.x);
				test_assert(acts[i].from.y == acts[i - 1].to.y);
				test_assert(acts[i].from.lift == acts[i - 1].to.lift);
			}
			/* The ball ends where it began. */
			const unsigned rolls = day.n_rolls[pet];
			test_assert(rolls >= 3 && rolls <= PC_DEMO_ROLLS_MAX);
			test_assert(day.rolls[pet][0].from.x == day.rolls[pet][rolls - 1].to.x);
			test_assert(day.rolls[pet][0].from.y == day.rolls[pet][rolls - 1].to.y);
		}
	}
}

/* Every action of every pet, each for a while, both at once, and nobody for a while. */
static void test_every_day_has_everything(void)
{
	static const double step = 0.1;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct pc_demo_scene *scene = new_scene(seed);
		double spent[PC_DEMO_PETS][PC_DEMO_SIT + 1] = { 0 };
		double together = 0, empty = 0, asleep = 0;
		for (unsigned i = 0; i < PC_DEMO_DAY_S / step; i++) {
			struct pc_demo_state state;
			pc_demo_scene_state(scene, seed * PC_DEMO_DAY_S + i * step, &state);
			const struct pc_demo_pet *pets = state.pets;
			for (unsigned pet = 0; pet < PC_DEMO_PETS; pet++) {
				spent[pet][pets[pet].action] += step;
			}
			const double apart = hypot(
				pets[0].spot.x - pets[1].spot.x, pets[0].spot.y - pets[1].spot.y);
			if (pets[0].here && pets[1].here && pets[0].action == PC_DEMO_PLAY &&
				pets[1].action == PC_DEMO_PLAY && apart < 450) {
				together += step;
			}
			empty = pets[0].here || pets[1].here ? empty : empty + step;
			if (pets[0].action == PC_DEMO_SLEEP && pets[1].action == PC_DEMO_SLEEP) {
				asleep += step;
			}
		}
		for (unsigned pet = 0; pet < PC_DEMO_PETS; pet++) {
			for (unsigned action = PC_DEMO_AWAY; action <= PC_DEMO_SIT; action++) {
				if (spent[pet][action] < 1.5) {
					test_fail("seed %u: %s does %s for %.1f s only", seed,
						pc_demo_breeds[pet].name,
						pc_demo_action_name((enum pc_demo_action)action),
						spent[pet][action]);
				}
			}
		}
		test_assert(together > 4);
		test_assert(empty > 30);
		test_assert(asleep > 20);
		pc_demo_scene_destroy(scene);
	}
}

/* The same seed is the same room in any order of asking; another one or another day
 * is not. */
static void test_seed_and_day(void)
{
	struct pc_demo_scene *a = new_scene(7);
	struct pc_demo_scene *b = new_scene(7);
	struct pc_demo_scene *c = new_scene(8);
	unsigned other_seed = 0;
	unsigned other_day = 0;
	for (int i = 239; i >= 0; i--) {
		struct pc_demo_truth ta[PC_DEMO_PETS], tb[PC_DEMO_PETS], tc[PC_DEMO_PETS],
			td[PC_DEMO_PETS];
		pc_demo_scene_truth(a, 239 - i, ta);
		pc_demo_scene_truth(b, i, tb);
		pc_demo_scene_truth(b, 239 - i, tb);
		pc_demo_scene_truth(c, 239 - i, tc);
		pc_demo_scene_truth(b, PC_DEMO_DAY_S + 239 - i, td);
		for (unsigned pet = 0; pet < PC_DEMO_PETS; pet++) {
			test_assert(ta[pet].action == tb[pet].action);
			test_assert(ta[pet].moving == tb[pet].moving);
			test_assert(memcmp(&ta[pet].box, &tb[pet].box, sizeof(ta[pet].box)) == 0);
			other_seed += memcmp(&ta[pet].box, &tc[pet].box, sizeof(ta[pet].box)) != 0;
			other_day += memcmp(&ta[pet].box, &td[pet].box, sizeof(ta[pet].box)) != 0;
		}
	}
	test_assert(other_seed > 150);
	test_assert(other_day > 150);
	pc_demo_scene_destroy(a);
	pc_demo_scene_destroy(b);
	pc_demo_scene_destroy(c);
}

static void test_times_outside(void)
{
	struct pc_demo_scene *scene = new_scene(1);
	struct pc_demo_truth truth[PC_DEMO_PETS];
	static const double times[] = { -5, 0, 239.999999, 240, 1e8, 1e8 + 17.25 };
	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		pc_demo_scene_truth(scene, times[i], truth);
		test_str(truth[0].name, "Miso");
		test_str(truth[1].name, "Rufus");
		test_int(truth[0].species, PC_SPECIES_CAT);
		test_int(truth[1].species, PC_SPECIES_DOG);
	}
	pc_demo_scene_destroy(scene);
}

/* `moving` is what the box does: it goes somewhere when true, it stays when not. */
static void test_moving_is_true(void)
{
	static const double reach = 0.2;
	struct pc_demo_scene *scene = new_scene(3);
	unsigned moved = 0;
	unsigned stayed = 0;
	for (double t = 1; t < PC_DEMO_DAY_S - 1; t += 0.37) {
		struct pc_demo_truth before[PC_DEMO_PETS], now[PC_DEMO_PETS], after[PC_DEMO_PETS];
		struct pc_demo_state state;
		pc_demo_scene_truth(scene, t - reach, before);
		pc_demo_scene_truth(scene, t + reach, after);
		pc_demo_scene_truth(scene, t, now);
		pc_demo_scene_state(scene, t, &state);
		for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
			/* What is hidden in part changes its box otherwise. */
			if (!before[i].visible || !now[i].visible || !after[i].visible ||
				state.pets[i].hallway ||
				state.pets[i].spot.y < PC_DEMO_SEAT_Y - 5 ||
				before[i].moving != now[i].moving ||
				after[i].moving != now[i].moving ||
				before[i].action != now[i].action ||
				after[i].action != now[i].action) {
				continue;
			}
			/* A tail and a head make a box wider and higher; a place is its foot. */
			const struct pc_box *a = &before[i].box;
			const struct pc_box *b = &after[i].box;
			const double dx = fabs((double)(a->x + a->w / 2 - b->x - b->w / 2));
			const double dy = fabs((double)(a->y + a->h - b->y - b->h));
			if (now[i].moving) {
				moved++;
				if (dx + dy < 0.008) {
					test_fail("%.2f: %s (%s) moves, but not its box: %.4f %.4f",
						t, now[i].name, pc_demo_action_name(now[i].action),
						dx, dy);
				}
			} else {
				stayed++;
				if (dx > 0.045 || dy > 0.03) {
					test_fail("%.2f: %s (%s) does not move, but its box does: "
						  "%.4f %.4f",
						t, now[i].name, pc_demo_action_name(now[i].action),
						dx, dy);
				}
			}
		}
	}
	test_assert(moved > 60);
	test_assert(stayed > 400);
	pc_demo_scene_destroy(scene);
}

/* Those who eat are in the bowl's area, those who sleep on the sofa in the sofa's. */
static void test_zones(void)
{
	struct pc_zone zones[PC_ZONES_MAX];
	struct pc_zone masks[PC_ZONES_MAX];
	test_int(pc_demo_zones(zones), 4);
	test_int(pc_demo_masks(masks), 1);
	test_int(zones[0].kind, PC_ZONE_BOWL);
	test_int(zones[1].kind, PC_ZONE_SOFA);
	test_int(zones[2].kind, PC_ZONE_DOOR);
	test_int(zones[3].kind, PC_ZONE_BED);
	struct pc_demo_scene *scene = new_scene(5);
	unsigned ate[PC_DEMO_PETS] = { 0 };
	unsigned slept[PC_DEMO_PETS] = { 0 };
	unsigned bed = 0;
	for (unsigned t = 0; t < PC_DEMO_DAY_S; t++) {
		struct pc_demo_truth truth[PC_DEMO_PETS];
		pc_demo_scene_truth(scene, t, truth);
		for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
			if (!truth[i].visible) {
				continue;
			}
			const struct pc_box *box = &truth[i].box;
			const float x = box->x + box->w / 2;
			const float foot = box->y + box->h;
			test_assert(
				box->x >= 0 && box->y >= 0 && box->x + box->w <= 1 && foot <= 1);
			/* Nobody ever hides the barcode. */
			test_assert(!pc_zone_contains(&masks[0], box->x, box->y));
			if (truth[i].action == PC_DEMO_EAT) {
				ate[i]++;
				test_assert(pc_zone_contains(&zones[0], x, foot));
			} else if (truth[i].action == PC_DEMO_SLEEP) {
				const bool on_sofa = pc_zone_contains(&zones[1], x, foot - 0.02F);
				const bool in_bed = pc_zone_contains(&zones[3], x, foot - 0.01F);
				test_assert(on_sofa != in_bed);
				slept[i] += on_sofa;
				bed += in_bed;
			}
		}
	}
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		test_assert(ate[i] > 5 && slept[i] > 20);
	}
	test_assert(bed > 10);
	pc_demo_scene_destroy(scene);
}

static void test_no_memory(void)
{
	for (unsigned n = 1;; n++) {
		struct pc_demo_scene *scene = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_demo_scene_create(1, &scene);
		if (!fault_disarm()) {
			test_int(r, 0);
			pc_demo_scene_destroy(scene);
			break;
		}
		test_int(r, -ENOMEM);
		test_assert(scene == NULL);
	}
	pc_demo_scene_destroy(NULL);
}

int main(void)
{
	TEST_RUN(test_names);
	TEST_RUN(test_plan_has_no_gap);
	TEST_RUN(test_every_day_has_everything);
	TEST_RUN(test_seed_and_day);
	TEST_RUN(test_times_outside);
	TEST_RUN(test_moving_is_true);
	TEST_RUN(test_zones);
	TEST_RUN(test_no_memory);
	return test_end();
}
