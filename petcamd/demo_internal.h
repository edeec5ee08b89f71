/* petcamd/demo_internal.h - what the demo room's own files share.
 *
 * Lengths are in scene units: the picture is 1280 x 720 of them, whatever its size
 * in pixels, x to the right and y down. A pet is drawn in its own space: origin
 * on the ground under its middle, x to where it faces, y up, and one unit of it is
 * one scene unit where the floor's y is PC_DEMO_UNIT_Y.
 */
#ifndef PC_PETCAMD_DEMO_INTERNAL_H
#define PC_PETCAMD_DEMO_INTERNAL_H

#include <stddef.h>

#include "petcamd/demo.h"

#define PC_DEMO_W 1280.0F
#define PC_DEMO_H 720.0F
#define PC_DEMO_HORIZON 150.0F
#define PC_DEMO_UNIT_Y 600.0F
#define PC_DEMO_PI 3.14159265F

struct pc_vec {
	float x, y;
};

static inline struct pc_vec pc_vec(float x, float y)
{
	return (struct pc_vec){ x, y };
}

static inline float pc_mixf(float a, float b, float k)
{
	return a + (b - a) * k;
}

/* The library's would be calls. */
static inline float pc_minf(float a, float b)
{
	return a < b ? a : b;
}

static inline float pc_maxf(float a, float b)
{
	return a > b ? a : b;
}

static inline float pc_clampf(float v, float low, float high)
{
	return v < low ? low : v > high ? high : v;
}

/* 0 to 1 with a gentle start and end. */
static inline float pc_smoothf(float k)
{
	k = pc_clampf(k, 0, 1);
	return k * k * (3 - 2 * k);
}

/* How large a thing is that stands on the floor at `y`. */
static inline float pc_demo_scale(float y)
{
	return (y - PC_DEMO_HORIZON) / (PC_DEMO_UNIT_Y - PC_DEMO_HORIZON);
}

/* ---- canvas: anti-aliased shapes by exact coverage (demo_canvas.c) ---- */

struct pc_color {
	float r, g, b; /* 0..1, as on the screen */
};

struct pc_paint {
	struct pc_color top, bottom; /* of the shape's own height */
	float alpha;
	float volume; /* light on its upper left rim and shade on the other, luma levels */
	float round; /* depth of that rim in path units */
	float blur; /* soft edge in path units; room only */
	bool add; /* light: added, not laid over; room only */
	bool clip; /* only inside the shape of pc_canvas_clip() */
	bool thin; /* too fine to count as something that can be seen (whiskers) */
};

/* Where a canvas draws to. */
enum pc_canvas_target {
	PC_CANVAS_RGB, /* floats, for the room */
	PC_CANVAS_I420, /* somebody's planes */
	PC_CANVAS_SEEN, /* one byte a pixel: how much of it is covered */
};

struct pc_canvas;

int pc_canvas_create(enum pc_canvas_target target, unsigned width, unsigned height,
	struct pc_canvas **ret_canvas);
void pc_canvas_destroy(struct pc_canvas *canvas);

/* I420: the picture to draw into; valid as long as it is drawn into. */
void pc_canvas_set_planes(struct pc_canvas *canvas, uint8_t *const planes[static 3],
	const uint32_t strides[static 3]);
/* RGB: width * height * 3 floats. SEEN: width * height bytes. The canvas's own. */
float *pc_canvas_rgb(struct pc_canvas *canvas);
uint8_t *pc_canvas_seen(struct pc_canvas *canvas);
void pc_canvas_clear_seen(struct pc_canvas *canvas);
/* Pixels that were drawn on since the last pc_canvas_forget(): x1, y1 excluded. */
struct pc_extent {
	int x0, y0, x1, y1;
};
struct pc_extent pc_canvas_extent(const struct pc_canvas *canvas);
void pc_canvas_forget(struct pc_canvas *canvas);

/* Path units to scene units: p -> (x + ax * px + bx * py, y + ay * px + by * py). */
struct pc_transform {
	float x, y, ax, ay, bx, by;
};
void pc_canvas_transform(struct pc_canvas *canvas, const struct pc_transform *transform);
void pc_canvas_transform_scene(struct pc_canvas *canvas); /* path units are scene units */
/* Nothing is drawn outside x0..x1 (scene units). */
void pc_canvas_window(struct pc_canvas *canvas, float x0, float x1);
void pc_canvas_window_all(struct pc_canvas *canvas);

/* A path is what was added since the last fill or drop; its parts unite. */
void pc_canvas_polygon(struct pc_canvas *canvas, const struct pc_vec *points, unsigned n);
void pc_canvas_spline(struct pc_canvas *canvas, const struct pc_vec *points, unsigned n);
void pc_canvas_ellipse(struct pc_canvas *canvas, float x, float y, float rx, float ry, float angle);
void pc_canvas_rect(struct pc_canvas *canvas, float x0, float y0, float x1, float y1, float r);
/* A smooth curve through `points` with a radius at each: limbs, tails, lines. */
#define PC_TUBE_MAX 16
void pc_canvas_tube(
	struct pc_canvas *canvas, const struct pc_vec *points, const float *radii, unsigned n);

void pc_canvas_fill(struct pc_canvas *canvas, const struct pc_paint *paint);
/* The path becomes the shape that paints with `clip` are held in. */
void pc_canvas_clip(struct pc_canvas *canvas);
/* As fill, then as clip. */
void pc_canvas_fill_clip(struct pc_canvas *canvas, const struct pc_paint *paint);

/* A soft dark ellipse on the floor. I420 only, nothing elsewhere. */
void pc_canvas_shadow(
	struct pc_canvas *canvas, float x, float y, float rx, float ry, float strength);

/* I420 limited range, BT.709; chroma of full range 0..255 around 128. */
void pc_color_yuv(const struct pc_color *color, float yuv[static 3]);

/* ---- poses: the shape of a body at a moment (demo_pose.c) ---- */

enum pc_pose_value {
	/* x in body lengths, y in spine heights */
	PC_POSE_PELVIS_X,
	PC_POSE_PELVIS_Y,
	PC_POSE_CHEST_X,
	PC_POSE_CHEST_Y,
	PC_POSE_HIND_X, /* near paws, then far ones */
	PC_POSE_HIND_Y,
	PC_POSE_FORE_X,
	PC_POSE_FORE_Y,
	PC_POSE_HIND_FAR_X,
	PC_POSE_HIND_FAR_Y,
	PC_POSE_FORE_FAR_X,
	PC_POSE_FORE_FAR_Y,
	PC_POSE_ARCH, /* of the back, in radii, up */
	PC_POSE_GIRTH, /* factor on the trunk's radii: breath */
	/* radians */
	PC_POSE_NECK, /* 0 is straight on, positive up */
	PC_POSE_REACH, /* factor on the neck's length */
	PC_POSE_YAW, /* 0 looks at us, pi/2 to where it walks */
	PC_POSE_PITCH, /* positive looks down */
	PC_POSE_ROLL,
	PC_POSE_TAIL, /* of its root; pi is straight back */
	PC_POSE_CURL, /* along the whole tail */
	PC_POSE_SWEEP, /* waves along it */
	/* 0..1 */
	PC_POSE_EYES, /* open */
	PC_POSE_TONGUE,
	PC_POSE_EARS, /* pricked */
	PC_POSE_TAIL_FRONT, /* over 0.5: drawn over the body */
	PC_POSE_VALUES,
};

struct pc_pose {
	float v[PC_POSE_VALUES];
};

enum pc_pose_id {
	PC_POSE_STAND,
	PC_POSE_RUN,
	PC_POSE_SIT,
	PC_POSE_LIE,
	PC_POSE_SLEEP,
	PC_POSE_EAT,
	PC_POSE_GROOM,
	PC_POSE_CROUCH,
	PC_POSE_BAT,
	PC_POSE_LEAP,
	PC_POSE_IDS,
};

/* What a body is like. */
struct pc_breed {
	enum pc_species species;
	const char *name;
	float height; /* of the spine, standing */
	float length; /* hip to chest */
	float r_pelvis, r_middle, r_chest, r_neck;
	float neck, head; /* length, radius */
	float tail, r_tail;
	float r_thigh, r_leg, r_paw;
	float stride; /* walking, in body lengths */
	float walk_speed, run_speed; /* own units a second */
};
extern const struct pc_breed pc_demo_breeds[PC_DEMO_PETS];

/* The pose `id` of `breed` at `t_s` (breath, glances, licks); `gone`: distance
 * walked in body lengths, `pace` 0..1 how much of a step is made. */
void pc_pose_make(const struct pc_breed *breed, enum pc_pose_id id, double t_s, float gone,
	float pace, struct pc_pose *ret);
void pc_pose_mix(struct pc_pose *pose, const struct pc_pose *other, float k);
/* Where the mouth is in pose `id`: x from the body's middle, in own units. */
float pc_pose_mouth_x(const struct pc_breed *breed, enum pc_pose_id id);

/* ---- script: who is where and when (demo_script.c) ---- */

struct pc_spot {
	float x, y; /* on the floor, scene units */
	float lift; /* above it: the sofa's seat */
};

enum pc_move {
	PC_MOVE_STAY,
	PC_MOVE_PATH,
	PC_MOVE_JUMP,
};

/* One thing that a pet does without a break. */
struct pc_act {
	double t0, t1; /* seconds of the day */
	enum pc_demo_action action;
	enum pc_pose_id pose;
	enum pc_move move;
	struct pc_spot from, to;
	struct pc_vec bend; /* control point of the path, away from the straight line */
	float facing; /* -1 left, 1 right */
	float gone; /* body lengths walked before this */
	float length; /* body lengths of this path */
	bool soft_start, soft_end; /* speeds up, slows down */
};

/* A ball's way from one place to the next; it lies still between two. */
struct pc_roll {
	double t0, t1;
	struct pc_vec from, to;
};

#define PC_DEMO_ACTS_MAX 160
#define PC_DEMO_ROLLS_MAX 24

struct pc_demo_day {
	unsigned n_acts[PC_DEMO_PETS];
	struct pc_act acts[PC_DEMO_PETS][PC_DEMO_ACTS_MAX];
	unsigned n_rolls[PC_DEMO_PETS];
	struct pc_roll rolls[PC_DEMO_PETS][PC_DEMO_ROLLS_MAX];
};

void pc_demo_day_plan(uint64_t seed, int64_t day, struct pc_demo_day *ret_day);

/* ---- state: everything that a picture shows (demo_scene.c) ---- */

struct pc_demo_pet {
	enum pc_demo_action action;
	bool here; /* false: the rest means nothing */
	bool hallway; /* seen through the doorway only */
	bool moving;
	struct pc_spot spot;
	float ground; /* the lift of what it stands on or lands on */
	float facing; /* -1..1, in between while it turns */
	float tilt; /* of the body, radians, nose up */
	struct pc_pose pose;
};

struct pc_demo_ball {
	struct pc_vec spot;
	float angle;
};

struct pc_demo_state {
	struct pc_demo_pet pets[PC_DEMO_PETS];
	struct pc_demo_ball balls[PC_DEMO_PETS];
};

void pc_demo_scene_state(struct pc_demo_scene *scene, double t_s, struct pc_demo_state *ret);

/* ---- drawing ---- */

#define PC_DEMO_BALL_RADIUS_CAT 13.0F
#define PC_DEMO_BALL_RADIUS_DOG 15.0F
static inline float pc_demo_ball_radius(unsigned pet)
{
	return pet == 0 ? PC_DEMO_BALL_RADIUS_CAT : PC_DEMO_BALL_RADIUS_DOG;
}

void pc_demo_draw_pet(struct pc_canvas *canvas, unsigned index, const struct pc_demo_pet *pet);
void pc_demo_draw_pet_shadow(
	struct pc_canvas *canvas, unsigned index, const struct pc_demo_pet *pet);
void pc_demo_draw_ball(struct pc_canvas *canvas, unsigned index, const struct pc_demo_ball *ball);

/* Parts of the room that a pet can be behind, farthest first, and the floor's y at
 * which each stands. */
enum pc_demo_thing {
	PC_THING_PLANT,
	PC_THING_LAMP,
	PC_THING_SOFA,
	PC_THING_BOWLS,
	PC_THING_BED_RIM,
	PC_THINGS,
};
extern const float pc_demo_thing_y[PC_THINGS];
void pc_demo_draw_thing(struct pc_canvas *canvas, enum pc_demo_thing thing);
/* The whole room, things included. */
void pc_demo_draw_room(struct pc_canvas *canvas, unsigned width, unsigned height);

/* Places (demo_room.c draws them, demo_script.c goes there). */
#define PC_DEMO_DOOR_X0 62.0F
#define PC_DEMO_DOOR_X1 214.0F
#define PC_DEMO_FLOOR_Y 405.0F /* where the wall ends */
#define PC_DEMO_BOWL_X 238.0F
#define PC_DEMO_BOWL_Y 596.0F
#define PC_DEMO_SEAT_Y 480.0F
#define PC_DEMO_SEAT_LIFT 60.0F
#define PC_DEMO_BED_X 1080.0F
#define PC_DEMO_BED_Y 640.0F

/* One dynamic or hiding thing in depth order; `n` at most PC_DEMO_LAYERS_MAX. */
enum pc_demo_layer_kind {
	PC_LAYER_THING,
	PC_LAYER_PET,
	PC_LAYER_BALL,
};
struct pc_demo_layer {
	enum pc_demo_layer_kind kind;
	unsigned index;
	float y;
};
#define PC_DEMO_LAYERS_MAX (PC_THINGS + 2 * PC_DEMO_PETS)
unsigned pc_demo_layers(
	const struct pc_demo_state *state, struct pc_demo_layer layers[static PC_DEMO_LAYERS_MAX]);

/* For tests: what to leave out. */
enum pc_demo_without {
	PC_DEMO_NO_PETS = 1 << 0, /* their shadows too */
	PC_DEMO_NO_SHADOWS = 1 << 1,
};
void pc_demo_paint_without(struct pc_demo_painter *painter, double t_s, unsigned without,
	uint8_t *const planes[static 3], const uint32_t strides[static 3]);

#endif
