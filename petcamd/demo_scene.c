/* petcamd/demo_scene.c - the room at a time: from the script to what is where. */
#include "petcamd/demo_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Truth is measured on a picture of coverage, as large as a box needs. */
#define TRUTH_WIDTH 640
#define TRUTH_HEIGHT 360

struct pc_demo_scene {
	uint64_t seed;
	int64_t day; /* the one in `plan`; -1: none yet */
	struct pc_demo_day *plan;
	struct pc_canvas *canvas; /* for measuring */
	uint8_t *things[PC_THINGS]; /* what each covers */
	uint8_t *pet; /* what is left of a pet */
};

const char *pc_demo_action_name(enum pc_demo_action action)
{
	static const char *const names[] = {
		[PC_DEMO_AWAY] = "away",
		[PC_DEMO_WALK] = "walk",
		[PC_DEMO_PLAY] = "play",
		[PC_DEMO_EAT] = "eat",
		[PC_DEMO_GROOM] = "groom",
		[PC_DEMO_JUMP] = "jump",
		[PC_DEMO_LIE] = "lie",
		[PC_DEMO_SLEEP] = "sleep",
		[PC_DEMO_SIT] = "sit",
	};
	return names[action];
}

int pc_demo_scene_create(uint64_t seed, struct pc_demo_scene **ret_scene)
{
	struct pc_demo_scene *scene = calloc(1, sizeof(*scene));
	if (scene == NULL) {
		return -ENOMEM;
	}
	scene->seed = seed;
	scene->day = -1;
	const size_t size = (size_t)TRUTH_WIDTH * TRUTH_HEIGHT;
	scene->plan = malloc(sizeof(*scene->plan));
	scene->pet = malloc(size);
	int r = pc_canvas_create(PC_CANVAS_SEEN, TRUTH_WIDTH, TRUTH_HEIGHT, &scene->canvas);
	if (r < 0 || scene->plan == NULL || scene->pet == NULL) {
		goto fail;
	}
	for (unsigned i = 0; i < PC_THINGS; i++) {
		scene->things[i] = malloc(size);
		if (scene->things[i] == NULL) {
			goto fail;
		}
		pc_canvas_clear_seen(scene->canvas);
		pc_demo_draw_thing(scene->canvas, (enum pc_demo_thing)i);
		memcpy(scene->things[i], pc_canvas_seen(scene->canvas), size);
	}
	*ret_scene = scene;
	return 0;
fail:
	pc_demo_scene_destroy(scene);
	return -ENOMEM;
}

void pc_demo_scene_destroy(struct pc_demo_scene *scene)
{
	if (scene == NULL) {
		return;
	}
	for (unsigned i = 0; i < PC_THINGS; i++) {
		free(scene->things[i]);
	}
	pc_canvas_destroy(scene->canvas);
	free(scene->pet);
	free(scene->plan);
	free(scene);
}

/* ---- acts to states ---- */

/* How far along a path at `k` of its time, and how fast (1 is full pace): it takes
 * SOFT of the time to come to speed, where it does so. */
#define SOFT 0.26F
static float progress(const struct pc_act *act, float k, float *ret_pace)
{
	const float head = act->soft_start ? SOFT : 0;
	const float tail = act->soft_end ? SOFT : 0;
	const float full = 1 / (1 - 0.5F * (head + tail));
	*ret_pace = 1;
	float covered = full * (k - 0.5F * head);
	if (k < head) {
		*ret_pace = k / head;
		covered = full * 0.5F * k * k / head;
	} else if (k > 1 - tail) {
		const float left = 1 - k;
		*ret_pace = left / tail;
		covered = 1 - full * 0.5F * left * left / tail;
	}
	return pc_clampf(covered, 0, 1);
}

static void act_state(
	const struct pc_act *act, const struct pc_breed *breed, double t_s, struct pc_demo_pet *ret)
{
	const float k = pc_clampf((float)((t_s - act->t0) / (act->t1 - act->t0)), 0, 1);
	*ret = (struct pc_demo_pet){
		.action = act->action,
		.here = act->action != PC_DEMO_AWAY,
		.spot = act->from,
		.ground = act->from.lift,
		.facing = act->facing,
	};
	float pace = 0;
	float gone = act->gone;
	if (act->move == PC_MOVE_PATH) {
		const float along = progress(act, k, &pace);
		const float bend = 4 * along * (1 - along);
		ret->spot.x = pc_mixf(act->from.x, act->to.x, along) + bend * act->bend.x;
		ret->spot.y = pc_mixf(act->from.y, act->to.y, along) + bend * act->bend.y;
		ret->spot.lift = pc_mixf(act->from.lift, act->to.lift, along);
		ret->ground = ret->spot.lift;
		gone += act->length * along;
		ret->moving = pace > 0.25F;
	} else if (act->move == PC_MOVE_JUMP) {
		const float height = act->to.lift > act->from.lift ? 46.0F : 30.0F;
		const float rise = act->to.lift - act->from.lift;
		ret->spot.x = pc_mixf(act->from.x, act->to.x, k);
		ret->spot.y = pc_mixf(act->from.y, act->to.y, pc_smoothf(k));
		ret->spot.lift = act->from.lift + rise * k + height * 4 * k * (1 - k);
		ret->ground = k < 0.5F ? act->from.lift : act->to.lift;
		const float climb = rise + height * 4 * (1 - 2 * k) - (act->to.y - act->from.y);
		const float across = fabsf(act->to.x - act->from.x) + 60;
		ret->tilt = 0.6F * atan2f(climb, across) * sinf(PC_DEMO_PI * k);
		ret->moving = true;
	}
	ret->hallway = ret->spot.y < PC_DEMO_FLOOR_Y;
	pc_pose_make(breed, act->pose, t_s, gone, pace, &ret->pose);
	if (act->move == PC_MOVE_JUMP) {
		/* Legs come down before they touch the ground. */
		struct pc_pose landing;
		pc_pose_make(breed, PC_POSE_STAND, t_s, gone, 0, &landing);
		pc_pose_mix(&ret->pose, &landing, pc_smoothf((k - 0.55F) / 0.45F));
	}
}

/* How long a body takes from one pose to the next, and to turn round. */
#define POSE_S 0.45
#define TURN_S 0.3

static double pose_time(const struct pc_act *act)
{
	switch (act->pose) {
	case PC_POSE_LEAP:
		return 0.12;
	case PC_POSE_BAT:
	case PC_POSE_RUN:
		return 0.2;
	case PC_POSE_LIE:
	case PC_POSE_SLEEP:
		return 1.1;
	default:
		return POSE_S;
	}
}

static void pet_state(
	const struct pc_demo_day *plan, unsigned pet, double t_s, struct pc_demo_pet *ret)
{
	const struct pc_act *acts = plan->acts[pet];
	unsigned low = 0;
	unsigned high = plan->n_acts[pet] - 1;
	while (low < high) {
		const unsigned middle = (low + high + 1) / 2;
		if (acts[middle].t0 <= t_s) {
			low = middle;
		} else {
			high = middle - 1;
		}
	}
	const struct pc_act *act = &acts[low];
	const struct pc_breed *breed = &pc_demo_breeds[pet];
	act_state(act, breed, t_s, ret);
	if (low == 0 || !ret->here || acts[low - 1].action == PC_DEMO_AWAY) {
		return;
	}
	const struct pc_act *last = &acts[low - 1];
	const double since = t_s - act->t0;
	const bool goes_on =
		act->move == PC_MOVE_PATH && last->move == PC_MOVE_PATH && !act->soft_start;
	const double blend = pose_time(act);
	if (!goes_on && since < blend) {
		struct pc_demo_pet before;
		act_state(last, breed, act->t0, &before);
		pc_pose_mix(&ret->pose, &before.pose, 1 - pc_smoothf((float)(since / blend)));
	}
	if (last->facing != act->facing && since < TURN_S) {
		ret->facing =
			pc_mixf(last->facing, act->facing, pc_smoothf((float)(since / TURN_S)));
	}
}

static void ball_state(
	const struct pc_demo_day *plan, unsigned pet, double t_s, struct pc_demo_ball *ret)
{
	const struct pc_roll *rolls = plan->rolls[pet];
	const unsigned n = plan->n_rolls[pet];
	assert(n > 0);
	float rolled = 0;
	ret->spot = rolls[0].from;
	for (unsigned i = 0; i < n && rolls[i].t0 <= t_s; i++) {
		const float k =
			pc_clampf((float)((t_s - rolls[i].t0) / (rolls[i].t1 - rolls[i].t0)), 0, 1);
		const float along = 1 - (1 - k) * (1 - k) * (1 - k);
		ret->spot.x = pc_mixf(rolls[i].from.x, rolls[i].to.x, along);
		ret->spot.y = pc_mixf(rolls[i].from.y, rolls[i].to.y, along);
		rolled += (rolls[i].to.x - rolls[i].from.x) * along;
	}
	ret->angle = rolled / pc_demo_ball_radius(pet);
	/* The last push brings it home: it lies there as it lay in the morning. */
	if (t_s >= rolls[n - 1].t1) {
		ret->angle = 0;
	}
}

void pc_demo_scene_state(struct pc_demo_scene *scene, double t_s, struct pc_demo_state *ret)
{
	const double clamped = t_s > 0 ? t_s : 0;
	const int64_t day = (int64_t)floor(clamped / PC_DEMO_DAY_S);
	if (day != scene->day) {
		pc_demo_day_plan(scene->seed, day, scene->plan);
		scene->day = day;
	}
	const double in_day = clamped - (double)day * PC_DEMO_DAY_S;
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		pet_state(scene->plan, i, in_day, &ret->pets[i]);
		ball_state(scene->plan, i, in_day, &ret->balls[i]);
	}
}

/* ---- depth ---- */

unsigned pc_demo_layers(
	const struct pc_demo_state *state, struct pc_demo_layer layers[static PC_DEMO_LAYERS_MAX])
{
	unsigned n = 0;
	for (unsigned i = 0; i < PC_THINGS; i++) {
		layers[n++] = (struct pc_demo_layer){ PC_LAYER_THING, i, pc_demo_thing_y[i] };
	}
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		if (state->pets[i].here) {
			layers[n++] =
				(struct pc_demo_layer){ PC_LAYER_PET, i, state->pets[i].spot.y };
		}
		layers[n++] = (struct pc_demo_layer){ PC_LAYER_BALL, i, state->balls[i].spot.y };
	}
	/* By insertion: a handful, nearly sorted; what is equal keeps its order. */
	for (unsigned i = 1; i < n; i++) {
		const struct pc_demo_layer layer = layers[i];
		unsigned at = i;
		for (; at > 0 && layers[at - 1].y > layer.y; at--) {
			layers[at] = layers[at - 1];
		}
		layers[at] = layer;
	}
	return n;
}

/* ---- truth ---- */

/* Half covered counts as hidden and as seen. */
#define SEEN_MIN 96

static void hide(uint8_t *pet, const uint8_t *by, const struct pc_extent *at)
{
	for (int y = at->y0; y < at->y1; y++) {
		for (int x = at->x0; x < at->x1; x++) {
			const int i = y * TRUTH_WIDTH + x;
			pet[i] = by[i] > 128 ? 0 : pet[i];
		}
	}
}

static struct pc_box box_of(const uint8_t *pet, const struct pc_extent *at)
{
	struct pc_extent box = { TRUTH_WIDTH, TRUTH_HEIGHT, 0, 0 };
	for (int y = at->y0; y < at->y1; y++) {
		for (int x = at->x0; x < at->x1; x++) {
			if (pet[y * TRUTH_WIDTH + x] < SEEN_MIN) {
				continue;
			}
			box.x0 = x < box.x0 ? x : box.x0;
			box.x1 = x >= box.x1 ? x + 1 : box.x1;
			box.y0 = y < box.y0 ? y : box.y0;
			box.y1 = y >= box.y1 ? y + 1 : box.y1;
		}
	}
	if (box.x0 >= box.x1 || box.y0 >= box.y1) {
		return (struct pc_box){ 0 };
	}
	return (struct pc_box){ (float)box.x0 / TRUTH_WIDTH, (float)box.y0 / TRUTH_HEIGHT,
		(float)(box.x1 - box.x0) / TRUTH_WIDTH, (float)(box.y1 - box.y0) / TRUTH_HEIGHT };
}

/* What can be seen of pet `index`: draw it, then take away what is nearer. */
static struct pc_box seen_box(
	struct pc_demo_scene *scene, const struct pc_demo_state *state, unsigned index)
{
	struct pc_demo_layer layers[PC_DEMO_LAYERS_MAX];
	const unsigned n = pc_demo_layers(state, layers);
	const size_t size = (size_t)TRUTH_WIDTH * TRUTH_HEIGHT;
	pc_canvas_clear_seen(scene->canvas);
	pc_canvas_forget(scene->canvas);
	pc_demo_draw_pet(scene->canvas, index, &state->pets[index]);
	const struct pc_extent at = pc_canvas_extent(scene->canvas);
	memcpy(scene->pet, pc_canvas_seen(scene->canvas), size);
	bool nearer = false;
	for (unsigned i = 0; i < n; i++) {
		const struct pc_demo_layer *layer = &layers[i];
		if (layer->kind == PC_LAYER_PET && layer->index == index) {
			nearer = true;
			continue;
		}
		if (!nearer) {
			continue;
		}
		if (layer->kind == PC_LAYER_THING) {
			hide(scene->pet, scene->things[layer->index], &at);
			continue;
		}
		pc_canvas_clear_seen(scene->canvas);
		if (layer->kind == PC_LAYER_PET) {
			pc_demo_draw_pet(scene->canvas, layer->index, &state->pets[layer->index]);
		} else {
			pc_demo_draw_ball(scene->canvas, layer->index, &state->balls[layer->index]);
		}
		hide(scene->pet, pc_canvas_seen(scene->canvas), &at);
	}
	return box_of(scene->pet, &at);
}

void pc_demo_scene_truth(
	struct pc_demo_scene *scene, double t_s, struct pc_demo_truth truth[static PC_DEMO_PETS])
{
	struct pc_demo_state state;
	pc_demo_scene_state(scene, t_s, &state);
	for (unsigned i = 0; i < PC_DEMO_PETS; i++) {
		const struct pc_demo_pet *pet = &state.pets[i];
		truth[i] = (struct pc_demo_truth){
			.name = pc_demo_breeds[i].name,
			.species = pc_demo_breeds[i].species,
			.action = pet->action,
		};
		if (pet->here) {
			truth[i].box = seen_box(scene, &state, i);
			truth[i].visible = truth[i].box.w > 0;
			truth[i].moving = truth[i].visible && pet->moving;
		}
	}
}
