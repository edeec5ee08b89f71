/* petcamd/demo_pose.c - key poses, and the small movements that make them alive. */
#include "petcamd/demo_internal.h"

#include <math.h>

const struct pc_breed pc_demo_breeds[PC_DEMO_PETS] = {
	{
		.species = PC_SPECIES_CAT,
		.name = "Miso",
		.height = 66,
		.length = 82,
		.r_pelvis = 26,
		.r_middle = 25,
		.r_chest = 26,
		.r_neck = 19,
		.neck = 42,
		.head = 29,
		.tail = 92,
		.r_tail = 7.5F,
		.r_thigh = 19,
		.r_leg = 8.5F,
		.r_paw = 9,
		.stride = 1.15F,
		.walk_speed = 150,
		.run_speed = 330,
	},
	{
		.species = PC_SPECIES_DOG,
		.name = "Rufus",
		.height = 98,
		.length = 116,
		.r_pelvis = 32,
		.r_middle = 31,
		.r_chest = 39,
		.r_neck = 26,
		.neck = 60,
		.head = 36,
		.tail = 78,
		.r_tail = 9,
		.r_thigh = 24,
		.r_leg = 11,
		.r_paw = 12,
		.stride = 1.2F,
		.walk_speed = 185,
		.run_speed = 390,
	},
};

#define STANDING_PAWS                                                                              \
	[PC_POSE_HIND_X] = -0.56F, [PC_POSE_HIND_FAR_X] = -0.42F, [PC_POSE_HIND_FAR_Y] = 0.05F,    \
	[PC_POSE_FORE_X] = 0.46F, [PC_POSE_FORE_FAR_X] = 0.60F, [PC_POSE_FORE_FAR_Y] = 0.05F
#define UP [PC_POSE_GIRTH] = 1, [PC_POSE_EARS] = 1
#define AWAKE UP, [PC_POSE_REACH] = 1, [PC_POSE_EYES] = 1
#define SITTING                                                                                    \
	[PC_POSE_PELVIS_X] = -0.36F, [PC_POSE_PELVIS_Y] = 0.40F, [PC_POSE_CHEST_X] = 0.14F,        \
	[PC_POSE_CHEST_Y] = 0.98F, [PC_POSE_HIND_X] = -0.02F, [PC_POSE_HIND_FAR_X] = 0.10F,        \
	[PC_POSE_HIND_FAR_Y] = 0.05F, [PC_POSE_FORE_FAR_X] = 0.38F, [PC_POSE_FORE_FAR_Y] = 0.04F,  \
	[PC_POSE_ARCH] = 0.12F

static const struct pc_pose keys[PC_POSE_IDS] = {
	[PC_POSE_STAND] = { {
		AWAKE,
		STANDING_PAWS,
		[PC_POSE_PELVIS_X] = -0.5F,
		[PC_POSE_PELVIS_Y] = 1,
		[PC_POSE_CHEST_X] = 0.5F,
		[PC_POSE_CHEST_Y] = 0.98F,
		[PC_POSE_NECK] = 0.85F,
		[PC_POSE_YAW] = 0.85F,
		[PC_POSE_TAIL] = 2.55F,
		[PC_POSE_CURL] = -1.3F,
	} },
	[PC_POSE_RUN] = { {
		AWAKE,
		STANDING_PAWS,
		[PC_POSE_PELVIS_X] = -0.52F,
		[PC_POSE_PELVIS_Y] = 0.96F,
		[PC_POSE_CHEST_X] = 0.52F,
		[PC_POSE_CHEST_Y] = 0.92F,
		[PC_POSE_NECK] = 0.55F,
		[PC_POSE_YAW] = 1.0F,
		[PC_POSE_TAIL] = 2.8F,
		[PC_POSE_CURL] = -0.7F,
		[PC_POSE_TONGUE] = 0.6F,
	} },
	[PC_POSE_SIT] = { {
		AWAKE,
		SITTING,
		[PC_POSE_FORE_X] = 0.30F,
		[PC_POSE_NECK] = 1.15F,
		[PC_POSE_YAW] = 0.45F,
		[PC_POSE_TAIL] = 3.5F,
		[PC_POSE_CURL] = -1.0F,
	} },
	[PC_POSE_LIE] = { {
		AWAKE,
		[PC_POSE_PELVIS_X] = -0.48F,
		[PC_POSE_PELVIS_Y] = 0.38F,
		[PC_POSE_CHEST_X] = 0.40F,
		[PC_POSE_CHEST_Y] = 0.46F,
		[PC_POSE_HIND_X] = -0.12F,
		[PC_POSE_HIND_Y] = 0.02F,
		[PC_POSE_HIND_FAR_X] = 0.02F,
		[PC_POSE_HIND_FAR_Y] = 0.06F,
		[PC_POSE_FORE_X] = 0.84F,
		[PC_POSE_FORE_Y] = 0.02F,
		[PC_POSE_FORE_FAR_X] = 0.94F,
		[PC_POSE_FORE_FAR_Y] = 0.07F,
		[PC_POSE_ARCH] = 0.1F,
		[PC_POSE_NECK] = 0.95F,
		[PC_POSE_YAW] = 0.5F,
		[PC_POSE_TAIL] = 3.5F,
		[PC_POSE_CURL] = 1.2F,
		[PC_POSE_TAIL_FRONT] = 0,
	} },
	[PC_POSE_SLEEP] = { {
		[PC_POSE_GIRTH] = 1.06F,
		[PC_POSE_REACH] = 0.80F,
		[PC_POSE_PELVIS_X] = -0.36F,
		[PC_POSE_PELVIS_Y] = 0.38F,
		[PC_POSE_CHEST_X] = 0.34F,
		[PC_POSE_CHEST_Y] = 0.36F,
		[PC_POSE_HIND_X] = -0.02F,
		[PC_POSE_HIND_Y] = 0.02F,
		[PC_POSE_HIND_FAR_X] = 0.05F,
		[PC_POSE_HIND_FAR_Y] = 0.05F,
		[PC_POSE_FORE_X] = 0.66F,
		[PC_POSE_FORE_Y] = 0.0F,
		[PC_POSE_FORE_FAR_X] = 0.76F,
		[PC_POSE_FORE_FAR_Y] = 0.05F,
		[PC_POSE_ARCH] = 0.22F,
		[PC_POSE_NECK] = 0.12F,
		[PC_POSE_YAW] = 0.42F,
		[PC_POSE_PITCH] = 0.15F,
		[PC_POSE_ROLL] = -0.12F,
		[PC_POSE_TAIL] = 3.9F,
		[PC_POSE_CURL] = 3.1F,
		[PC_POSE_EARS] = 0.7F,
		[PC_POSE_TAIL_FRONT] = 1,
	} },
	[PC_POSE_EAT] = { {
		UP,
		STANDING_PAWS,
		[PC_POSE_PELVIS_X] = -0.5F,
		[PC_POSE_PELVIS_Y] = 1,
		[PC_POSE_CHEST_X] = 0.48F,
		[PC_POSE_CHEST_Y] = 0.80F,
		[PC_POSE_NECK] = -0.62F,
		[PC_POSE_REACH] = 1.1F,
		[PC_POSE_YAW] = 1.1F,
		[PC_POSE_PITCH] = 0.5F,
		[PC_POSE_EYES] = 0.75F,
		[PC_POSE_TAIL] = 3.0F,
		[PC_POSE_CURL] = -0.5F,
	} },
	[PC_POSE_GROOM] = { {
		UP,
		SITTING,
		[PC_POSE_FORE_X] = 0.56F,
		[PC_POSE_FORE_Y] = 1.02F,
		[PC_POSE_NECK] = 0.85F,
		[PC_POSE_REACH] = 0.9F,
		[PC_POSE_YAW] = 0.75F,
		[PC_POSE_PITCH] = 0.45F,
		[PC_POSE_ROLL] = -0.15F,
		[PC_POSE_EYES] = 0.2F,
		[PC_POSE_TONGUE] = 0.6F,
		[PC_POSE_TAIL] = 3.5F,
		[PC_POSE_CURL] = -1.0F,
	} },
	[PC_POSE_CROUCH] = { {
		AWAKE,
		[PC_POSE_PELVIS_X] = -0.46F,
		[PC_POSE_PELVIS_Y] = 0.98F,
		[PC_POSE_CHEST_X] = 0.42F,
		[PC_POSE_CHEST_Y] = 0.50F,
		[PC_POSE_HIND_X] = -0.52F,
		[PC_POSE_HIND_FAR_X] = -0.38F,
		[PC_POSE_HIND_FAR_Y] = 0.05F,
		[PC_POSE_FORE_X] = 0.78F,
		[PC_POSE_FORE_FAR_X] = 0.88F,
		[PC_POSE_FORE_FAR_Y] = 0.05F,
		[PC_POSE_NECK] = 0.45F,
		[PC_POSE_YAW] = 0.85F,
		[PC_POSE_TAIL] = 2.2F,
		[PC_POSE_CURL] = -0.9F,
	} },
	[PC_POSE_BAT] = { {
		AWAKE,
		[PC_POSE_HIND_X] = -0.56F,
		[PC_POSE_HIND_FAR_X] = -0.42F,
		[PC_POSE_HIND_FAR_Y] = 0.05F,
		[PC_POSE_FORE_FAR_X] = 0.60F,
		[PC_POSE_FORE_FAR_Y] = 0.05F,
		[PC_POSE_PELVIS_X] = -0.46F,
		[PC_POSE_PELVIS_Y] = 0.9F,
		[PC_POSE_CHEST_X] = 0.46F,
		[PC_POSE_CHEST_Y] = 0.85F,
		[PC_POSE_FORE_X] = 0.95F,
		[PC_POSE_FORE_Y] = 0.45F,
		[PC_POSE_NECK] = 0.45F,
		[PC_POSE_YAW] = 0.9F,
		[PC_POSE_PITCH] = 0.2F,
		[PC_POSE_TAIL] = 2.4F,
		[PC_POSE_CURL] = -1.2F,
	} },
	[PC_POSE_LEAP] = { {
		AWAKE,
		[PC_POSE_PELVIS_X] = -0.52F,
		[PC_POSE_PELVIS_Y] = 1.0F,
		[PC_POSE_CHEST_X] = 0.52F,
		[PC_POSE_CHEST_Y] = 1.02F,
		[PC_POSE_HIND_X] = -0.98F,
		[PC_POSE_HIND_Y] = 0.34F,
		[PC_POSE_HIND_FAR_X] = -0.86F,
		[PC_POSE_HIND_FAR_Y] = 0.30F,
		[PC_POSE_FORE_X] = 0.92F,
		[PC_POSE_FORE_Y] = 0.52F,
		[PC_POSE_FORE_FAR_X] = 1.0F,
		[PC_POSE_FORE_FAR_Y] = 0.62F,
		[PC_POSE_NECK] = 0.6F,
		[PC_POSE_YAW] = 1.0F,
		[PC_POSE_TAIL] = 2.9F,
		[PC_POSE_CURL] = -0.3F,
	} },
};

void pc_pose_mix(struct pc_pose *pose, const struct pc_pose *other, float k)
{
	for (unsigned i = 0; i < PC_POSE_VALUES; i++) {
		pose->v[i] = pc_mixf(pose->v[i], other->v[i], k);
	}
}

/* A wave of `period_s`, -1..1. */
static float wave(double t_s, double period_s)
{
	return (float)sin(2 * 3.14159265358979 * fmod(t_s / period_s, 1));
}

/* A glance about: holds a direction for a while, then turns; -1..1. */
static float glance(double t_s, double period_s)
{
	static const float directions[8] = { 0.0F, 0.9F, 0.2F, -0.7F, 0.1F, 0.6F, -0.3F, -0.9F };
	const double turn = t_s / period_s;
	const double whole = floor(turn);
	const unsigned i = (unsigned)((int64_t)whole & 7);
	const float k = pc_smoothf(((float)(turn - whole) - 0.8F) * 5);
	return pc_mixf(directions[i], directions[(i + 1) & 7], k);
}

static float blink(double t_s)
{
	const double in = fmod(t_s, 4.3);
	return in < 0.16 ? (float)fabs(in - 0.08) / 0.08F : 1;
}

/* Where in its cycle a paw is: on the ground it moves back with the floor, then it
 * is lifted and swings forward. */
static void step(struct pc_pose *pose, enum pc_pose_value x, float phase, float reach, float lift,
	float pace)
{
	static const float duty = 0.6F;
	phase -= floorf(phase);
	float dx;
	float dy = 0;
	if (phase < duty) {
		dx = reach * (1 - 2 * phase / duty);
	} else {
		const float k = (phase - duty) / (1 - duty);
		dx = reach * (2 * pc_smoothf(k) - 1);
		dy = lift * sinf(PC_DEMO_PI * k);
	}
	pose->v[x] += pace * dx;
	pose->v[x + 1] += pace * dy;
}

static void walk(const struct pc_breed *breed, bool run, double t_s, float gone, float pace,
	struct pc_pose *pose)
{
	const float stride = run ? breed->stride * 1.75F : breed->stride;
	/* On the ground for 0.6 of a stride: the body passes that much over it. */
	const float reach = 0.3F * stride;
	const float phase = gone / stride;
	const float lift = run ? 0.22F : 0.14F;
	const float fore = run ? 0.10F : 0.25F;
	step(pose, PC_POSE_HIND_X, phase, reach, lift, pace);
	step(pose, PC_POSE_FORE_X, phase + fore + (run ? 0.45F : 0), reach, lift, pace);
	step(pose, PC_POSE_HIND_FAR_X, phase + (run ? 0.12F : 0.5F), reach, lift, pace);
	step(pose, PC_POSE_FORE_FAR_X, phase + (run ? 0.67F : 0.75F), reach, lift, pace);
	const float turn = 2 * PC_DEMO_PI * (phase - floorf(phase));
	const float bounce = pace * (run ? 0.06F : 0.018F);
	pose->v[PC_POSE_PELVIS_Y] += bounce * sinf(run ? turn : 2 * turn);
	pose->v[PC_POSE_CHEST_Y] += bounce * sinf((run ? turn : 2 * turn) + 1.6F);
	pose->v[PC_POSE_NECK] += pace * 0.05F * sinf(2 * turn + 0.8F);
	pose->v[PC_POSE_ARCH] += pace * (run ? 0.12F * sinf(turn + 2) : 0);
	pose->v[PC_POSE_SWEEP] +=
		breed->species == PC_SPECIES_DOG ? 0.3F * wave(t_s, 0.42) : 0.18F * wave(t_s, 1.1);
	pose->v[PC_POSE_EYES] *= blink(t_s);
}

/* What is different about this body in this pose. */
static void suit(const struct pc_breed *breed, enum pc_pose_id id, struct pc_pose *pose)
{
	float *v = pose->v;
	if (breed->species == PC_SPECIES_CAT) {
		if (id == PC_POSE_SLEEP) {
			v[PC_POSE_PELVIS_X] = -0.30F; /* curled up */
			v[PC_POSE_CHEST_X] = 0.26F;
			v[PC_POSE_FORE_X] = 0.60F;
			v[PC_POSE_FORE_FAR_X] = 0.68F;
			v[PC_POSE_GIRTH] = 1.14F;
			v[PC_POSE_YAW] = 0.15F;
			v[PC_POSE_ROLL] = -0.25F;
		}
		return;
	}
	switch (id) {
	case PC_POSE_STAND:
	case PC_POSE_RUN:
		v[PC_POSE_TAIL] += 0.1F;
		v[PC_POSE_CURL] = -1.0F;
		v[PC_POSE_TONGUE] = id == PC_POSE_RUN ? 0.9F : 0;
		break;
	case PC_POSE_CROUCH: /* the bow that asks to play */
		v[PC_POSE_NECK] = 0.75F;
		v[PC_POSE_TONGUE] = 0.8F;
		v[PC_POSE_YAW] = 0.7F;
		break;
	case PC_POSE_SLEEP:
		v[PC_POSE_TAIL] = 3.6F;
		v[PC_POSE_CURL] = 0.9F;
		v[PC_POSE_TAIL_FRONT] = 0;
		v[PC_POSE_NECK] = -0.02F;
		v[PC_POSE_REACH] = 0.86F;
		break;
	case PC_POSE_SIT:
	case PC_POSE_GROOM:
		v[PC_POSE_TAIL] = 3.5F;
		v[PC_POSE_CURL] = -0.7F;
		break;
	case PC_POSE_EAT:
		v[PC_POSE_CHEST_Y] = 0.82F;
		v[PC_POSE_NECK] = -0.72F;
		break;
	default:
		break;
	}
}

/* Resting with open eyes: glances, a lazy tail. */
static void idle(const struct pc_breed *breed, double t_s, float look, struct pc_pose *pose)
{
	const bool dog = breed->species == PC_SPECIES_DOG;
	pose->v[PC_POSE_YAW] += look * glance(t_s, dog ? 2.1 : 2.7);
	pose->v[PC_POSE_NECK] += 0.04F * glance(t_s, 3.4);
	pose->v[PC_POSE_ROLL] += 0.1F * glance(t_s, 4.1);
	pose->v[PC_POSE_SWEEP] += dog ? 0.16F * wave(t_s, 0.7) : 0.22F * wave(t_s, 2.6);
	pose->v[PC_POSE_EYES] *= blink(t_s);
	pose->v[PC_POSE_GIRTH] += 0.012F * wave(t_s, 2.4);
}

void pc_pose_make(const struct pc_breed *breed, enum pc_pose_id id, double t_s, float gone,
	float pace, struct pc_pose *ret)
{
	const bool dog = breed->species == PC_SPECIES_DOG;
	*ret = keys[id];
	suit(breed, id, ret);
	float *v = ret->v;
	switch (id) {
	case PC_POSE_STAND:
	case PC_POSE_RUN:
		walk(breed, id == PC_POSE_RUN, t_s, gone, pace, ret);
		break;
	case PC_POSE_SIT:
	case PC_POSE_LIE:
		idle(breed, t_s, id == PC_POSE_SIT ? 0.45F : 0.3F, ret);
		break;
	case PC_POSE_SLEEP:
		v[PC_POSE_GIRTH] += 0.022F * wave(t_s, dog ? 3.4 : 2.8);
		break;
	case PC_POSE_EAT:
		v[PC_POSE_NECK] += 0.05F * wave(t_s, 0.55);
		v[PC_POSE_PITCH] += 0.12F * wave(t_s + 0.1, 0.55);
		v[PC_POSE_SWEEP] += dog ? 0.3F * wave(t_s, 0.5) : 0.12F * wave(t_s, 2.2);
		break;
	case PC_POSE_GROOM:
		v[PC_POSE_FORE_Y] += 0.07F * wave(t_s, 0.8);
		v[PC_POSE_FORE_X] += 0.03F * wave(t_s + 0.2, 0.8);
		v[PC_POSE_NECK] += 0.07F * wave(t_s + 0.4, 0.8);
		v[PC_POSE_PITCH] += 0.2F * wave(t_s + 0.4, 0.8);
		v[PC_POSE_TONGUE] = 0.5F + 0.5F * wave(t_s + 0.5, 0.8);
		break;
	case PC_POSE_CROUCH:
		v[PC_POSE_PELVIS_X] += 0.02F * wave(t_s, 0.28);
		v[PC_POSE_SWEEP] += dog ? 0.45F * wave(t_s, 0.3) : 0.3F * wave(t_s, 0.8);
		v[PC_POSE_EYES] *= blink(t_s);
		break;
	case PC_POSE_BAT:
		v[PC_POSE_FORE_Y] += 0.2F * wave(t_s, 0.36);
		v[PC_POSE_FORE_X] += 0.08F * wave(t_s + 0.09, 0.36);
		v[PC_POSE_SWEEP] += 0.3F * wave(t_s, 0.5);
		break;
	case PC_POSE_LEAP:
	case PC_POSE_IDS:
		break;
	}
}

float pc_pose_mouth_x(const struct pc_breed *breed, enum pc_pose_id id)
{
	struct pc_pose pose = keys[id];
	suit(breed, id, &pose);
	const float muzzle = breed->species == PC_SPECIES_DOG ? 1.0F : 0.7F;
	return pose.v[PC_POSE_CHEST_X] * breed->length +
	       pose.v[PC_POSE_REACH] * breed->neck * cosf(pose.v[PC_POSE_NECK]) +
	       muzzle * breed->head;
}
