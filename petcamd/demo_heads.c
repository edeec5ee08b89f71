/* petcamd/demo_heads.c - the faces of Miso and Rufus.
 *
 * A face is a ball that turns: what sits on it at an angle from its middle is at
 * sin(angle + yaw) across.
 */
#include "petcamd/demo_body.h"

#include <math.h>

static void line(
	struct pc_canvas *canvas, const struct pc_vec *points, unsigned n, float r0, float r1)
{
	float radii[8];
	for (unsigned i = 0; i < n; i++) {
		radii[i] = pc_mixf(r0, r1, n > 1 ? (float)i / (float)(n - 1) : 0);
	}
	pc_canvas_tube(canvas, points, radii, n);
}

/* A shut eye: a bow, its ends up. */
static void shut_eye(struct pc_canvas *canvas, float x, float y, float rx, struct pc_color color)
{
	const struct pc_vec bow[] = { { x - rx, y + 0.02F }, { x, y - 0.11F },
		{ x + rx, y + 0.02F } };
	line(canvas, bow, 3, 0.045F, 0.045F);
	const struct pc_paint paint = pc_plain_clip(color, 1);
	pc_canvas_fill(canvas, &paint);
}

static void spot(struct pc_canvas *canvas, float x, float y, float rx, float ry,
	struct pc_color color, float alpha)
{
	pc_canvas_ellipse(canvas, x, y, rx, ry, 0);
	const struct pc_paint paint = pc_plain_clip(color, alpha);
	pc_canvas_fill(canvas, &paint);
}

/* ---- Miso ---- */

static const struct pc_color cat_light = PC_RGB(0xF6BE72);
static const struct pc_color cat_fur = PC_RGB(0xE3903F);
static const struct pc_color cat_stripe = PC_RGB(0xAE5A1E);
static const struct pc_color cat_cream = PC_RGB(0xFFF1DC);
static const struct pc_color cat_pink = PC_RGB(0xEE9A8E);
static const struct pc_color cat_line = PC_RGB(0x5A3018);

static void cat_ear(struct pc_canvas *canvas, float side, float yaw, float up)
{
	const float x = side * 0.62F * cosf(0.8F * yaw) + 0.14F * sinf(yaw);
	const float tip = x * 1.1F + side * (0.10F + 0.35F * (1 - up));
	const float top = 0.72F + 0.66F * up;
	const struct pc_vec ear[] = { { x, 0.42F }, { tip, top } };
	pc_canvas_tube(canvas, ear, (const float[]){ 0.42F, 0.07F }, 2);
	const struct pc_paint fur = { .top = cat_fur, .bottom = cat_light, .alpha = 1 };
	pc_canvas_fill(canvas, &fur);
	const struct pc_vec inner[] = { { pc_mixf(x, tip, 0.2F) + 0.04F, 0.58F },
		{ pc_mixf(x, tip, 0.86F), top - 0.16F } };
	pc_canvas_tube(canvas, inner, (const float[]){ 0.24F, 0.03F }, 2);
	const struct pc_paint pink = { .top = cat_pink, .bottom = cat_cream, .alpha = 0.9F };
	pc_canvas_fill(canvas, &pink);
}

static void cat_markings(struct pc_canvas *canvas, float turn, float nod)
{
	const struct pc_paint stripe = pc_plain_clip(cat_stripe, 0.85F);
	for (int i = -1; i <= 1; i++) {
		const float x = turn * 0.42F + 0.27F * (float)i;
		const struct pc_vec mark[] = { { x * 1.25F, 1.0F }, { x * 1.05F, 0.72F - nod },
			{ x * 0.95F, 0.50F - nod + (i == 0 ? 0.04F : 0) } };
		line(canvas, mark, 3, 0.10F, 0.03F);
	}
	for (int side = -1; side <= 1; side += 2) {
		const float edge = (float)side * 1.08F;
		const struct pc_vec upper[] = { { edge, 0.02F - nod },
			{ edge - (float)side * 0.34F + turn * 0.1F, -0.12F - nod } };
		const struct pc_vec lower[] = { { edge * 0.98F, -0.28F - nod },
			{ edge - (float)side * 0.40F + turn * 0.1F, -0.34F - nod } };
		line(canvas, upper, 2, 0.07F, 0.025F);
		line(canvas, lower, 2, 0.07F, 0.025F);
	}
	pc_canvas_fill(canvas, &stripe);
}

static void cat_eye(struct pc_canvas *canvas, float x, float y, float narrow, float open)
{
	static const struct pc_color iris = PC_RGB(0x8DBB4A);
	static const struct pc_color dark = PC_RGB(0x2B1A12);
	static const struct pc_color white = PC_RGB(0xFFFFFF);
	const float rx = 0.205F * narrow;
	if (open < 0.3F) {
		shut_eye(canvas, x, y, rx, cat_line);
		return;
	}
	const float ry = 0.235F * open;
	spot(canvas, x, y, rx + 0.035F, ry + 0.035F, dark, 1);
	spot(canvas, x, y, rx, ry, iris, 1);
	spot(canvas, x + 0.02F, y, rx * 0.52F, ry * 0.88F, dark, 1);
	spot(canvas, x - rx * 0.3F, y + ry * 0.38F, 0.06F, 0.07F, white, 1);
}

static void cat_whiskers(struct pc_canvas *canvas, float x, float y, float turn)
{
	for (int side = -1; side <= 1; side += 2) {
		const float f = (float)side;
		/* Those on the far side are shorter. */
		const float reach = f * turn > 0 ? 0.42F : 0.75F;
		for (int i = -1; i <= 1; i++) {
			const struct pc_vec hair[] = { { x + f * 0.26F, y + 0.02F },
				{ x + f * (0.3F + reach), y + 0.02F + 0.12F * (float)i } };
			line(canvas, hair, 2, 0.018F, 0.01F);
		}
	}
	struct pc_paint paint = pc_plain(cat_cream);
	paint.alpha = 0.75F;
	paint.thin = true;
	pc_canvas_fill(canvas, &paint);
}

void pc_demo_draw_cat_head(struct pc_canvas *canvas, const struct pc_pose *pose)
{
	const float yaw = pc_clampf(pose->v[PC_POSE_YAW], -1.2F, 1.2F);
	const float turn = sinf(yaw);
	const float nod = 0.34F * sinf(pc_clampf(pose->v[PC_POSE_PITCH], -1, 1));
	const float open = pose->v[PC_POSE_EYES];
	const float ears = pc_clampf(pose->v[PC_POSE_EARS], 0, 1);
	cat_ear(canvas, 1, yaw, ears);
	cat_ear(canvas, -1, yaw, ears);
	pc_canvas_ellipse(canvas, 0, 0.02F, 1.04F, 0.90F, 0);
	pc_canvas_ellipse(canvas, 0.06F * turn, -0.26F, 1.10F, 0.64F, 0);
	const struct pc_paint fur = {
		.top = cat_light, .bottom = cat_fur, .alpha = 1, .volume = 26, .round = 0.7F
	};
	pc_canvas_fill_clip(canvas, &fur);
	cat_markings(canvas, turn, nod);
	/* muzzle */
	const float mx = 0.60F * turn;
	const float my = -0.42F - nod;
	pc_canvas_ellipse(canvas, mx - 0.17F, my, 0.34F, 0.30F, 0);
	pc_canvas_ellipse(canvas, mx + 0.17F, my, 0.32F, 0.30F, 0);
	pc_canvas_ellipse(canvas, mx, my - 0.2F, 0.26F, 0.24F, 0);
	const struct pc_paint cream = { .top = cat_cream,
		.bottom = cat_cream,
		.alpha = 1,
		.clip = true,
		.volume = 16,
		.round = 0.4F };
	pc_canvas_fill(canvas, &cream);
	const float tongue = pose->v[PC_POSE_TONGUE];
	if (tongue > 0.15F) {
		spot(canvas, mx + 0.02F, my - 0.2F - 0.12F * tongue, 0.12F, 0.10F + 0.1F * tongue,
			cat_pink, 1);
	}
	const struct pc_vec mouth[] = { { mx - 0.24F, my - 0.14F }, { mx - 0.10F, my - 0.20F },
		{ mx, my - 0.06F }, { mx + 0.10F, my - 0.20F }, { mx + 0.22F, my - 0.14F } };
	line(canvas, mouth, 5, 0.028F, 0.028F);
	struct pc_paint dark = pc_plain_clip(cat_line, 0.9F);
	pc_canvas_fill(canvas, &dark);
	const struct pc_vec nose[] = { { mx - 0.13F, my + 0.16F }, { mx + 0.13F, my + 0.16F },
		{ mx + 0.04F, my + 0.02F }, { mx - 0.04F, my + 0.02F } };
	pc_canvas_spline(canvas, nose, 4);
	const struct pc_paint pink = pc_plain_clip(cat_pink, 1);
	pc_canvas_fill(canvas, &pink);
	for (int side = -1; side <= 1; side += 2) {
		const float angle = 0.47F * (float)side + 0.72F * yaw;
		if (cosf(angle) > 0.2F) {
			cat_eye(canvas, 0.93F * sinf(angle), 0.06F - nod,
				pc_maxf(0.45F, sqrtf(cosf(angle))), open);
		}
	}
	cat_whiskers(canvas, mx, my, turn);
}

/* ---- Rufus ---- */

static const struct pc_color dog_light = PC_RGB(0x8A5C3C);
static const struct pc_color dog_fur = PC_RGB(0x5F3B25);
static const struct pc_color dog_dark = PC_RGB(0x3F2618);
static const struct pc_color dog_white = PC_RGB(0xFBF6EE);
static const struct pc_color dog_shade = PC_RGB(0xE2D6C8);
static const struct pc_color dog_nose = PC_RGB(0x241A18);
static const struct pc_color dog_pink = PC_RGB(0xE8808A);
static const struct pc_color dog_tan = PC_RGB(0xC08A58);

static void dog_ear(struct pc_canvas *canvas, float side, float yaw, float up)
{
	const float x = side * 0.78F * cosf(0.85F * yaw) + 0.06F * sinf(yaw);
	const float out = side * 0.2F;
	const float low = -0.62F + 0.25F * up;
	const struct pc_vec ear[] = { { x * 0.9F, 0.62F }, { x + out, 0.42F },
		{ x + out * 1.3F, -0.05F }, { x + out * 0.9F, low } };
	pc_canvas_tube(canvas, ear, (const float[]){ 0.22F, 0.26F, 0.33F, 0.22F }, 4);
	const struct pc_paint paint = {
		.top = dog_fur, .bottom = dog_dark, .alpha = 1, .volume = 18, .round = 0.4F
	};
	pc_canvas_fill(canvas, &paint);
}

static void dog_eye(struct pc_canvas *canvas, float x, float y, float narrow, float open)
{
	static const struct pc_color iris = PC_RGB(0x6A4324);
	static const struct pc_color white = PC_RGB(0xFFFFFF);
	const float rx = 0.15F * narrow;
	if (open < 0.3F) {
		shut_eye(canvas, x, y, rx * 1.15F, dog_nose);
		return;
	}
	spot(canvas, x, y, rx + 0.03F, 0.18F * open, dog_nose, 1);
	spot(canvas, x, y - 0.01F, rx * 0.85F, 0.13F * open, iris, 1);
	spot(canvas, x + 0.01F, y, rx * 0.55F, 0.11F * open, dog_nose, 1);
	spot(canvas, x - 0.04F, y + 0.06F * open, 0.045F, 0.05F, white, 1);
}

static void dog_muzzle(struct pc_canvas *canvas, float turn, float nod, float tongue)
{
	const float tip_x = turn * 1.02F;
	const float tip_y = -0.46F - nod * 1.2F;
	if (tongue > 0.15F) {
		const struct pc_vec out[] = { { tip_x - 0.16F * turn, tip_y - 0.22F },
			{ tip_x - 0.12F * turn, tip_y - 0.34F - 0.30F * tongue } };
		line(canvas, out, 2, 0.15F, 0.13F);
		const struct pc_paint pink = pc_plain(dog_pink);
		pc_canvas_fill(canvas, &pink);
	}
	const struct pc_vec bone[] = { { turn * 0.30F, -0.26F - nod * 0.5F }, { tip_x, tip_y } };
	pc_canvas_tube(canvas, bone, (const float[]){ 0.50F, 0.37F }, 2);
	const struct pc_paint white = {
		.top = dog_white, .bottom = dog_shade, .alpha = 1, .volume = 22, .round = 0.5F
	};
	pc_canvas_fill_clip(canvas, &white);
	const struct pc_vec mouth[] = { { tip_x + 0.18F * turn, tip_y - 0.04F },
		{ tip_x - 0.02F * turn, tip_y - 0.20F }, { tip_x - 0.55F * turn, tip_y - 0.16F } };
	line(canvas, mouth, 3, 0.03F, 0.03F);
	const struct pc_paint dark = pc_plain_clip(dog_nose, 0.75F);
	pc_canvas_fill(canvas, &dark);
	const float nx = tip_x + 0.16F * turn;
	const float ny = tip_y + 0.22F;
	pc_canvas_ellipse(canvas, nx, ny, 0.21F, 0.16F, 0);
	const struct pc_paint nose = pc_plain(dog_nose);
	pc_canvas_fill_clip(canvas, &nose);
	spot(canvas, nx - 0.05F, ny + 0.07F, 0.07F, 0.035F, dog_white, 0.7F);
}

void pc_demo_draw_dog_head(struct pc_canvas *canvas, const struct pc_pose *pose)
{
	const float yaw = pc_clampf(pose->v[PC_POSE_YAW], -1.2F, 1.2F);
	const float turn = sinf(yaw);
	const float nod = 0.34F * sinf(pc_clampf(pose->v[PC_POSE_PITCH], -1, 1));
	const float ears = pc_clampf(pose->v[PC_POSE_EARS], 0, 1);
	const float far = yaw >= 0 ? 1 : -1;
	dog_ear(canvas, far, yaw, ears);
	pc_canvas_ellipse(canvas, 0, 0.08F, 0.98F, 0.90F, 0);
	pc_canvas_ellipse(canvas, 0.12F * turn, -0.28F, 0.82F, 0.60F, 0);
	const struct pc_paint fur = {
		.top = dog_light, .bottom = dog_fur, .alpha = 1, .volume = 26, .round = 0.7F
	};
	pc_canvas_fill_clip(canvas, &fur);
	const struct pc_vec blaze[] = { { turn * 0.42F, 0.95F }, { turn * 0.62F, 0.45F - nod },
		{ turn * 0.80F, -0.1F - nod } };
	pc_canvas_tube(canvas, blaze, (const float[]){ 0.08F, 0.13F, 0.26F }, 3);
	const struct pc_paint white = pc_plain_clip(dog_white, 1);
	pc_canvas_fill(canvas, &white);
	for (int side = -1; side <= 1; side += 2) {
		const float angle = 0.46F * (float)side + 0.66F * yaw;
		if (cosf(angle) > 0.2F) {
			const float x = 0.90F * sinf(angle);
			const float narrow = pc_maxf(0.55F, sqrtf(cosf(angle)));
			spot(canvas, x + 0.02F, 0.46F - nod, 0.12F * narrow, 0.08F, dog_tan, 0.9F);
			dog_eye(canvas, x, 0.16F - nod, narrow, pose->v[PC_POSE_EYES]);
		}
	}
	dog_muzzle(canvas, turn, nod, pose->v[PC_POSE_TONGUE]);
	dog_ear(canvas, -far, yaw, ears);
}
