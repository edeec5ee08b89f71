/* petcamd/demo_pets.c - bodies from poses: Miso, a ginger tabby, and Rufus, a brown
 * and white dog. And their balls.
 *
 * A body is drawn from back to front: far legs, tail, trunk with its markings, near
 * legs, head. All of it is one set of shapes for both; colours and sizes differ.
 */
#include "petcamd/demo_body.h"

#include <math.h>

struct coat {
	struct pc_color top, bottom; /* of the trunk */
	struct pc_color far; /* legs on the other side */
	struct pc_color paw;
	struct pc_color belly;
	struct pc_color marks; /* stripes, saddle */
	struct pc_color tip; /* of the tail */
	struct pc_color collar;
	struct pc_color tag;
};

static const struct coat coats[PC_DEMO_PETS] = {
	{
		.top = PC_RGB(0xF0AC5C),
		.bottom = PC_RGB(0xD9853A),
		.far = PC_RGB(0xB56A2C),
		.paw = PC_RGB(0xFFF1DC),
		.belly = PC_RGB(0xFBDDB0),
		.marks = PC_RGB(0xAE5A1E),
		.tip = PC_RGB(0xA9561C),
		.collar = PC_RGB(0x2E7F9E),
		.tag = PC_RGB(0xF6D04D),
	},
	{
		.top = PC_RGB(0x7C5034),
		.bottom = PC_RGB(0x5A3822),
		.far = PC_RGB(0x412718),
		.paw = PC_RGB(0xF6EFE4),
		.belly = PC_RGB(0xF8F2E8),
		.marks = PC_RGB(0x452A1A),
		.tip = PC_RGB(0xF8F2E8),
		.collar = PC_RGB(0xC8352F),
		.tag = PC_RGB(0xEBC84A),
	},
};

/* Joints in the body's own space. */
struct body {
	const struct pc_breed *breed;
	const struct coat *coat;
	const struct pc_pose *pose;
	bool cat;
	float girth;
	struct pc_vec rump, pelvis, middle, chest, neck, head;
};

static struct pc_vec mix(struct pc_vec a, struct pc_vec b, float k)
{
	return pc_vec(pc_mixf(a.x, b.x, k), pc_mixf(a.y, b.y, k));
}

static struct pc_vec above(struct pc_vec p, float r)
{
	return pc_vec(p.x, pc_maxf(p.y, r));
}

static void set_body(struct body *body, unsigned index, const struct pc_pose *pose)
{
	const struct pc_breed *breed = &pc_demo_breeds[index];
	const float *v = pose->v;
	*body = (struct body){
		.breed = breed,
		.coat = &coats[index],
		.pose = pose,
		.cat = breed->species == PC_SPECIES_CAT,
		.girth = v[PC_POSE_GIRTH],
		.pelvis = pc_vec(
			v[PC_POSE_PELVIS_X] * breed->length, v[PC_POSE_PELVIS_Y] * breed->height),
		.chest = pc_vec(
			v[PC_POSE_CHEST_X] * breed->length, v[PC_POSE_CHEST_Y] * breed->height),
	};
	const float dx = body->chest.x - body->pelvis.x;
	const float dy = body->chest.y - body->pelvis.y;
	const float d = pc_maxf(hypotf(dx, dy), 1);
	const float arch = v[PC_POSE_ARCH] * breed->r_middle;
	body->middle = mix(body->pelvis, body->chest, 0.5F);
	body->middle.x += -dy / d * arch;
	body->middle.y += dx / d * arch;
	body->rump = pc_vec(body->pelvis.x - dx / d * breed->r_pelvis * 0.42F,
		body->pelvis.y - dy / d * breed->r_pelvis * 0.42F);
	const float reach = breed->neck * v[PC_POSE_REACH];
	body->head = above(pc_vec(body->chest.x + reach * cosf(v[PC_POSE_NECK]),
				   body->chest.y + reach * sinf(v[PC_POSE_NECK])),
		breed->head * 0.86F);
	body->neck = mix(body->chest, body->head, 0.55F);
}

/* ---- legs ---- */

/* The middle joint of a limb from `a` to `b` of two bones each `bone` long, to the
 * side that `side` says (1: forward). */
static struct pc_vec joint(struct pc_vec a, struct pc_vec b, float bone, float side)
{
	const float dx = b.x - a.x;
	const float dy = b.y - a.y;
	const float d = pc_maxf(hypotf(dx, dy), 0.01F);
	const float half = 0.5F * d;
	const float out = half < bone ? sqrtf(bone * bone - half * half) : 0;
	return pc_vec(
		0.5F * (a.x + b.x) - side * dy / d * out, 0.5F * (a.y + b.y) + side * dx / d * out);
}

static struct pc_paint fur(const struct body *body, bool far, float volume)
{
	const struct coat *coat = body->coat;
	return (struct pc_paint){
		.top = far ? coat->far : pc_color_mix(coat->top, coat->bottom, 0.35F),
		.bottom = far ? coat->far : coat->bottom,
		.alpha = 1,
		.volume = volume,
		.round = body->breed->r_leg * 1.6F,
	};
}

static void draw_paw(struct pc_canvas *canvas, const struct body *body, struct pc_vec paw, bool far)
{
	const float r = body->breed->r_paw;
	pc_canvas_ellipse(canvas, paw.x + 0.35F * r, paw.y + 0.66F * r, 1.22F * r, 0.72F * r, 0);
	struct pc_paint paint = pc_plain(body->coat->paw);
	if (far) {
		paint.top = paint.bottom = pc_color_mix(body->coat->paw, body->coat->far, 0.45F);
	} else {
		paint.volume = 14;
		paint.round = r;
	}
	pc_canvas_fill(canvas, &paint);
}

/* A sock of the paw's colour over the end of a leg that was just drawn and clipped. */
static void draw_sock(struct pc_canvas *canvas, const struct body *body, struct pc_vec from,
	struct pc_vec to, bool far)
{
	const float r = body->breed->r_leg * 1.5F;
	pc_canvas_tube(canvas, (const struct pc_vec[]){ from, to }, (const float[]){ r, r }, 2);
	struct pc_paint paint = pc_plain_clip(body->coat->paw, 1);
	if (far) {
		paint.top = paint.bottom = pc_color_mix(body->coat->paw, body->coat->far, 0.45F);
	}
	pc_canvas_fill(canvas, &paint);
}

static void draw_hind_leg(struct pc_canvas *canvas, const struct body *body, bool far)
{
	const struct pc_breed *b = body->breed;
	const float *v = body->pose->v;
	const unsigned x = far ? PC_POSE_HIND_FAR_X : PC_POSE_HIND_X;
	const struct pc_vec paw = pc_vec(v[x] * b->length, v[x + 1] * b->height);
	/* Standing, the heel is over the paw; sitting, it lies on the floor. */
	const float up = pc_smoothf((v[PC_POSE_PELVIS_Y] - 0.45F) / 0.4F);
	const struct pc_vec heel = above(pc_vec(paw.x - pc_mixf(0.30F, 0.17F, up) * b->height,
						 paw.y + pc_mixf(0.05F, 0.30F, up) * b->height),
		b->r_leg);
	const struct pc_vec hip = pc_vec(body->pelvis.x + (far ? 0.08F * b->length : 0),
		body->pelvis.y - 0.15F * b->r_pelvis);
	const struct pc_vec knee =
		above(joint(hip, heel, 0.315F * b->height, 1), b->r_thigh * 0.9F);
	const struct pc_vec line[] = { hip, knee, heel, pc_vec(paw.x, paw.y + b->r_leg * 0.8F) };
	const float radii[] = { b->r_thigh, b->r_thigh * 0.82F, b->r_leg * 0.95F, b->r_leg };
	pc_canvas_tube(canvas, line, radii, 4);
	const struct pc_paint paint = fur(body, far, far ? 0 : 20);
	pc_canvas_fill_clip(canvas, &paint);
	if (!far && body->cat) {
		const struct pc_paint stripe = pc_plain_clip(body->coat->marks, 0.75F);
		for (unsigned i = 0; i < 2; i++) {
			const struct pc_vec at = mix(hip, knee, 0.25F + 0.6F * (float)i);
			const struct pc_vec mark[] = { { at.x - b->r_thigh * 1.1F, at.y + 4 },
				{ at.x - b->r_thigh * 0.1F, at.y - 3 } };
			pc_canvas_tube(canvas, mark, (const float[]){ 3.0F, 1.0F }, 2);
		}
		pc_canvas_fill(canvas, &stripe);
	}
	draw_sock(canvas, body, mix(paw, heel, 0.1F), paw, far);
	draw_paw(canvas, body, paw, far);
}

static void draw_fore_leg(struct pc_canvas *canvas, const struct body *body, bool far)
{
	const struct pc_breed *b = body->breed;
	const float *v = body->pose->v;
	const unsigned x = far ? PC_POSE_FORE_FAR_X : PC_POSE_FORE_X;
	const struct pc_vec paw = pc_vec(v[x] * b->length, v[x + 1] * b->height);
	const struct pc_vec wrist = pc_vec(paw.x, paw.y + b->r_leg * 0.8F);
	const struct pc_vec shoulder =
		pc_vec(body->chest.x + (far ? 0.1F : 0.0F) * b->length - 0.12F * b->r_chest,
			body->chest.y - 0.35F * b->r_chest);
	const struct pc_vec elbow =
		above(joint(shoulder, wrist, 0.44F * b->height, -1), b->r_leg * 1.05F);
	const struct pc_vec line[] = { shoulder, elbow, wrist };
	const float radii[] = { b->r_thigh * 0.74F, b->r_leg * 1.18F, b->r_leg };
	pc_canvas_tube(canvas, line, radii, 3);
	const struct pc_paint paint = fur(body, far, far ? 0 : 20);
	pc_canvas_fill_clip(canvas, &paint);
	draw_sock(canvas, body, mix(wrist, elbow, body->cat ? 0.05F : 0.35F), paw, far);
	draw_paw(canvas, body, paw, far);
}

/* ---- trunk and tail ---- */

static void draw_tail(struct pc_canvas *canvas, const struct body *body)
{
	enum { JOINTS = 7 };
	const struct pc_breed *b = body->breed;
	const float *v = body->pose->v;
	struct pc_vec line[JOINTS];
	float radii[JOINTS];
	struct pc_vec at = body->rump;
	for (unsigned i = 0; i < JOINTS; i++) {
		const float k = (float)i / (JOINTS - 1);
		const float angle =
			v[PC_POSE_TAIL] + v[PC_POSE_CURL] * k +
			v[PC_POSE_SWEEP] * (body->cat ? sinf(PC_DEMO_PI * (k + 0.2F)) + k : 1.0F);
		radii[i] = b->r_tail * (body->cat ? 1.08F - 0.25F * k : 1.15F - 0.55F * k * k);
		line[i] = above(at, radii[i]);
		const float step = (b->tail + b->r_pelvis * 0.6F) / (JOINTS - 1);
		at = pc_vec(line[i].x + step * cosf(angle), line[i].y + step * sinf(angle));
	}
	pc_canvas_tube(canvas, line, radii, JOINTS);
	struct pc_paint paint = fur(body, false, 16);
	paint.round = b->r_tail * 1.5F;
	pc_canvas_fill_clip(canvas, &paint);
	const struct pc_paint tip = pc_plain_clip(body->coat->tip, 1);
	const float wide[] = { b->r_tail * 1.4F, b->r_tail * 1.4F };
	pc_canvas_tube(canvas, &line[JOINTS - 2], wide, 2);
	pc_canvas_fill(canvas, &tip);
	if (body->cat) {
		const float band[] = { b->r_tail * 0.32F, b->r_tail * 0.42F, b->r_tail * 0.32F };
		for (unsigned i = 1; i + 2 < JOINTS; i++) {
			const struct pc_vec p = mix(line[i], line[i + 1], 0.5F);
			const float dx = (line[i + 1].x - line[i].x) * 0.6F;
			const float dy = (line[i + 1].y - line[i].y) * 0.6F;
			const struct pc_vec ring[] = { { p.x - dy, p.y + dx },
				{ p.x - 0.25F * dx, p.y - 0.25F * dy }, { p.x + dy, p.y - dx } };
			pc_canvas_tube(canvas, ring, band, 3);
		}
		const struct pc_paint bands = pc_plain_clip(body->coat->marks, 0.65F);
		pc_canvas_fill(canvas, &bands);
	}
}

/* A point of the back at `k` from pelvis to chest and the way to its skin, `up`. */
static struct pc_vec on_back(const struct body *body, float k, float out, float radius)
{
	const struct pc_vec p = k < 0.5F ? mix(body->pelvis, body->middle, 2 * k)
					 : mix(body->middle, body->chest, 2 * k - 1);
	const float dx = body->chest.x - body->pelvis.x;
	const float dy = body->chest.y - body->pelvis.y;
	const float d = pc_maxf(hypotf(dx, dy), 1);
	return pc_vec(p.x - dy / d * out * radius, p.y + dx / d * out * radius);
}

static void draw_stripes(struct pc_canvas *canvas, const struct body *body)
{
	enum { STRIPES = 7 };
	const float r = body->breed->r_middle * body->girth;
	for (unsigned i = 0; i < STRIPES; i++) {
		const float k = -0.12F + 1.12F * (float)i / (STRIPES - 1);
		const float low = i % 2 == 0 ? 0.05F : 0.30F;
		const struct pc_vec mark[] = { on_back(body, k, 1.2F, r),
			on_back(body, k - 0.03F, 0.65F, r), on_back(body, k - 0.09F, low, r) };
		pc_canvas_tube(canvas, mark, (const float[]){ 4.6F, 3.4F, 1.2F }, 3);
	}
	const struct pc_paint stripes = pc_plain_clip(body->coat->marks, 0.8F);
	pc_canvas_fill(canvas, &stripes);
}

static void draw_markings(struct pc_canvas *canvas, const struct body *body)
{
	const struct pc_breed *b = body->breed;
	const struct pc_paint belly = pc_plain_clip(body->coat->belly, 1);
	const struct pc_vec bib = mix(body->chest, body->neck, 0.35F);
	if (body->cat) {
		const struct pc_vec under[] = { on_back(body, 0.15F, -1.1F, b->r_middle),
			on_back(body, 0.9F, -1.1F, b->r_middle) };
		pc_canvas_tube(canvas, under, (const float[]){ 9, 11 }, 2);
		pc_canvas_ellipse(canvas, bib.x + 0.85F * b->r_chest, bib.y - 0.35F * b->r_chest,
			0.62F * b->r_chest, 0.95F * b->r_chest, 0.5F);
		pc_canvas_fill(canvas, &belly);
		draw_stripes(canvas, body);
		return;
	}
	const struct pc_vec saddle[] = { on_back(body, -0.2F, 1.0F, b->r_middle),
		on_back(body, 0.35F, 1.15F, b->r_middle), on_back(body, 0.85F, 1.2F, b->r_middle) };
	pc_canvas_tube(canvas, saddle, (const float[]){ 14, 22, 15 }, 3);
	const struct pc_paint dark = pc_plain_clip(body->coat->marks, 0.75F);
	pc_canvas_fill(canvas, &dark);
	pc_canvas_ellipse(canvas, bib.x + 0.62F * b->r_chest, bib.y - 0.55F * b->r_chest,
		0.80F * b->r_chest, 1.15F * b->r_chest, 0.45F);
	const struct pc_vec under[] = { on_back(body, 0.35F, -1.05F, b->r_middle),
		on_back(body, 1.0F, -1.2F, b->r_middle) };
	pc_canvas_tube(canvas, under, (const float[]){ 12, 20 }, 2);
	pc_canvas_fill(canvas, &belly);
}

static void draw_trunk(struct pc_canvas *canvas, const struct body *body)
{
	const struct pc_breed *b = body->breed;
	const float g = body->girth;
	const struct pc_vec line[] = { above(body->rump, b->r_pelvis * 0.84F),
		above(body->pelvis, b->r_pelvis), body->middle, body->chest, body->neck,
		body->head };
	const float radii[] = { b->r_pelvis * 0.86F, b->r_pelvis * g, b->r_middle * g,
		b->r_chest * pc_mixf(1, g, 0.5F), b->r_neck * 1.04F, b->r_neck * 0.9F };
	pc_canvas_tube(canvas, line, radii, 6);
	const struct pc_paint paint = { .top = body->coat->top,
		.bottom = body->coat->bottom,
		.alpha = 1,
		.volume = 34,
		.round = b->r_middle };
	pc_canvas_fill_clip(canvas, &paint);
	draw_markings(canvas, body);
	/* the collar, across the neck */
	const struct pc_vec at = mix(body->chest, body->head, 0.46F);
	const float dx = body->head.x - body->chest.x;
	const float dy = body->head.y - body->chest.y;
	const float d = pc_maxf(hypotf(dx, dy), 1) / (b->r_neck * 1.25F);
	const struct pc_vec collar[] = { { at.x - dy / d, at.y + dx / d },
		{ at.x + 0.2F * dx / d, at.y + 0.2F * dy / d }, { at.x + dy / d, at.y - dx / d } };
	const float w = b->r_neck * 0.21F;
	pc_canvas_tube(canvas, collar, (const float[]){ w, w, w }, 3);
	const struct pc_paint red = pc_plain_clip(body->coat->collar, 1);
	pc_canvas_fill(canvas, &red);
}

/* ---- the whole ---- */

static void body_transform(unsigned index, const struct pc_demo_pet *pet, struct pc_transform *ret)
{
	const float s = pc_demo_scale(pet->spot.y);
	/* Turning round, a body is short for a moment. */
	const float side = pet->facing < 0 ? -1 : 1;
	const float f = side * pc_maxf(fabsf(pet->facing), 0.35F);
	const float c = cosf(pet->tilt);
	const float n = sinf(pet->tilt);
	const float h = 0.7F * pc_demo_breeds[index].height;
	*ret = (struct pc_transform){
		.x = pet->spot.x + s * f * h * n,
		.y = pet->spot.y - pet->spot.lift - s * h * (1 - c),
		.ax = s * f * c,
		.ay = -s * n,
		.bx = -s * f * n,
		.by = -s * c,
	};
}

static void draw_head(
	struct pc_canvas *canvas, const struct body *body, const struct pc_transform *whole)
{
	const float r = body->breed->head;
	const float c = r * cosf(body->pose->v[PC_POSE_ROLL]);
	const float n = r * sinf(body->pose->v[PC_POSE_ROLL]);
	const struct pc_vec at = body->head;
	pc_canvas_transform(canvas, &(struct pc_transform){
					    .x = whole->x + whole->ax * at.x + whole->bx * at.y,
					    .y = whole->y + whole->ay * at.x + whole->by * at.y,
					    .ax = whole->ax * c + whole->bx * n,
					    .ay = whole->ay * c + whole->by * n,
					    .bx = whole->bx * c - whole->ax * n,
					    .by = whole->by * c - whole->ay * n,
				    });
	if (body->cat) {
		pc_demo_draw_cat_head(canvas, body->pose);
	} else {
		pc_demo_draw_dog_head(canvas, body->pose);
	}
}

void pc_demo_draw_pet(struct pc_canvas *canvas, unsigned index, const struct pc_demo_pet *pet)
{
	if (!pet->here) {
		return;
	}
	struct body body;
	struct pc_transform whole;
	set_body(&body, index, &pet->pose);
	body_transform(index, pet, &whole);
	if (pet->hallway) {
		pc_canvas_window(canvas, PC_DEMO_DOOR_X0, PC_DEMO_DOOR_X1);
	}
	pc_canvas_transform(canvas, &whole);
	const bool tail_front = pet->pose.v[PC_POSE_TAIL_FRONT] > 0.5F;
	draw_hind_leg(canvas, &body, true);
	draw_fore_leg(canvas, &body, true);
	if (!tail_front) {
		draw_tail(canvas, &body);
	}
	draw_trunk(canvas, &body);
	draw_hind_leg(canvas, &body, false);
	/* A paw that is lifted to be licked comes before the face. */
	const bool paw_first = pet->pose.v[PC_POSE_FORE_Y] < 0.7F;
	if (paw_first) {
		draw_fore_leg(canvas, &body, false);
	}
	if (tail_front) {
		draw_tail(canvas, &body);
	}
	draw_head(canvas, &body, &whole);
	if (!paw_first) {
		pc_canvas_transform(canvas, &whole);
		draw_fore_leg(canvas, &body, false);
	}
	pc_canvas_transform_scene(canvas);
	pc_canvas_window_all(canvas);
}

void pc_demo_draw_pet_shadow(
	struct pc_canvas *canvas, unsigned index, const struct pc_demo_pet *pet)
{
	if (!pet->here) {
		return;
	}
	const struct pc_breed *breed = &pc_demo_breeds[index];
	const float *v = pet->pose.v;
	const float s = pc_demo_scale(pet->spot.y);
	/* From the hip to between the fore paws: those alone swing with every step. */
	const float front = 0.5F * (v[PC_POSE_FORE_X] + v[PC_POSE_FORE_FAR_X]);
	const float half = 0.5F * (front - v[PC_POSE_PELVIS_X]) * breed->length;
	const float middle = 0.5F * (front + v[PC_POSE_PELVIS_X]) * breed->length;
	const float above_ground = pc_maxf(pet->spot.lift - pet->ground, 0);
	const float x = pet->spot.x + s * pet->facing * middle;
	const float y = pet->spot.y - pet->ground;
	const float rx =
		s * (pc_maxf(half, 0.3F * breed->length) * pc_maxf(fabsf(pet->facing), 0.5F) +
			    0.9F * breed->r_chest);
	if (pet->hallway) {
		pc_canvas_window(canvas, PC_DEMO_DOOR_X0, PC_DEMO_DOOR_X1);
	}
	const float strength = 0.52F / (1 + above_ground / 24);
	pc_canvas_shadow(canvas, x, y, rx, s * breed->r_chest * 0.62F, strength);
	pc_canvas_window_all(canvas);
}

void pc_demo_draw_ball(struct pc_canvas *canvas, unsigned index, const struct pc_demo_ball *ball)
{
	const float s = pc_demo_scale(ball->spot.y);
	const float r = pc_demo_ball_radius(index);
	const float x = ball->spot.x;
	const float y = ball->spot.y - s * r;
	pc_canvas_shadow(canvas, x, ball->spot.y, s * r * 1.5F, s * r * 0.55F, 0.6F);
	static const struct pc_color tops[] = { PC_RGB(0xD9506A), PC_RGB(0xD6E04A) };
	static const struct pc_color bottoms[] = { PC_RGB(0xAE2F4E), PC_RGB(0xA9BE2C) };
	static const struct pc_color lines[] = { PC_RGB(0xF0909E), PC_RGB(0xFAFAEE) };
	const float c = cosf(ball->angle);
	const float n = sinf(ball->angle);
	/* Its own space turns; the light on it does not. */
	pc_canvas_transform(canvas,
		&(struct pc_transform){ x, y, s * r * c, s * r * n, -s * r * n, s * r * c });
	pc_canvas_ellipse(canvas, 0, 0, 1, 1, 0);
	const struct pc_paint skin = { .top = tops[index],
		.bottom = bottoms[index],
		.alpha = 1,
		.volume = 26,
		.round = 0.9F };
	pc_canvas_fill_clip(canvas, &skin);
	const struct pc_paint seam = pc_plain_clip(lines[index], 0.9F);
	if (index == 0) {
		/* wool: three windings */
		for (int i = -1; i <= 1; i++) {
			const float k = 0.5F * (float)i;
			const struct pc_vec thread[] = { { -1, k - 0.3F }, { 0, k + 0.12F },
				{ 1, k - 0.2F } };
			pc_canvas_tube(canvas, thread, (const float[]){ 0.07F, 0.07F, 0.07F }, 3);
		}
	} else {
		/* felt: two seams */
		for (int side = -1; side <= 1; side += 2) {
			const float k = (float)side;
			const struct pc_vec thread[] = { { k * 0.9F, -0.9F }, { k * 0.38F, 0 },
				{ k * 0.9F, 0.9F } };
			pc_canvas_tube(canvas, thread, (const float[]){ 0.09F, 0.09F, 0.09F }, 3);
		}
	}
	pc_canvas_fill(canvas, &seam);
	pc_canvas_transform_scene(canvas);
}
