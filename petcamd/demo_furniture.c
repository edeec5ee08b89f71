/* petcamd/demo_furniture.c - what stands in the room, and where its areas are. */
#include "petcamd/demo_body.h"
#include "petcamd/demo_room.h"

#include <math.h>
#include <stdio.h>

const float pc_demo_thing_y[PC_THINGS] = {
	[PC_THING_PLANT] = 432,
	[PC_THING_LAMP] = 436,
	[PC_THING_SOFA] = 470,
	[PC_THING_BOWLS] = PC_DEMO_BOWL_Y,
	[PC_THING_BED_RIM] = PC_DEMO_BED_Y + 12,
};

static const struct pc_color shade = PC_RGB(0x3A322C);

/* ---- sofa ---- */

static void pillow(struct pc_canvas *canvas, float x, float y, float half, float angle,
	struct pc_color top, struct pc_color bottom)
{
	const float c = cosf(angle);
	const float n = sinf(angle);
	/* Four corners, the sides between them drawn in a little. */
	static const struct pc_vec outline[8] = { { -0.96F, -0.96F }, { 0, -0.97F },
		{ 0.96F, -0.96F }, { 0.97F, 0 }, { 0.96F, 0.96F }, { 0, 0.97F }, { -0.96F, 0.96F },
		{ -0.97F, 0 } };
	struct pc_vec points[8];
	for (unsigned i = 0; i < 8; i++) {
		const float px = outline[i].x * half;
		const float py = outline[i].y * half;
		points[i] = pc_vec(x + px * c - py * n, y + px * n + py * c);
	}
	pc_canvas_spline(canvas, points, 8);
	const struct pc_paint paint = {
		.top = top, .bottom = bottom, .alpha = 1, .volume = 40, .round = half
	};
	pc_canvas_fill(canvas, &paint);
}

static void cushion(struct pc_canvas *canvas, float x0, float y0, float x1, float y1, float r,
	struct pc_color top, struct pc_color bottom)
{
	pc_canvas_rect(canvas, x0, y0, x1, y1, r);
	const struct pc_paint paint = {
		.top = top, .bottom = bottom, .alpha = 1, .volume = 34, .round = 22
	};
	pc_canvas_fill(canvas, &paint);
}

static void draw_sofa(struct pc_canvas *canvas)
{
	static const struct pc_color teal = PC_RGB(0x5B97A0);
	static const struct pc_color teal_mid = PC_RGB(0x4A848E);
	static const struct pc_color teal_low = PC_RGB(0x386A74);
	static const struct pc_color teal_dark = PC_RGB(0x2C555E);
	static const struct pc_color teal_light = PC_RGB(0x6BA7AF);
	static const struct pc_color wood = PC_RGB(0x8A6542);
	static const struct pc_color wood_low = PC_RGB(0x5E422A);
	static const struct pc_color under = PC_RGB(0x4E4238);
	/* What is under it is dark, and hides what walks behind. */
	pc_room_rect(canvas, 662, 480, 1122, 503, 0, under, under, 0);
	for (unsigned i = 0; i < 2; i++) {
		const float x = i == 0 ? 664 : 1106;
		const struct pc_vec leg[] = { { x, 490 }, { x + 16, 490 }, { x + 12, 512 },
			{ x + 4, 512 } };
		pc_canvas_polygon(canvas, leg, 4);
		const struct pc_paint paint = { .top = wood, .bottom = wood_low, .alpha = 1 };
		pc_canvas_fill(canvas, &paint);
	}
	cushion(canvas, 668, 300, 1116, 440, 30, teal_mid, teal_low);
	cushion(canvas, 692, 312, 893, 428, 24, teal, teal_mid);
	cushion(canvas, 891, 312, 1092, 428, 24, teal, teal_mid);
	pc_canvas_rect(canvas, 690, 400, 1094, 430, 4);
	const struct pc_paint crease = {
		.top = shade, .bottom = shade, .alpha = 0.30F, .blur = 10
	};
	pc_canvas_fill(canvas, &crease);
	pc_room_rect(canvas, 676, 450, 1108, 497, 8, teal_low, teal_dark, 20);
	cushion(canvas, 688, 406, 893, 462, 16, teal_light, teal_mid);
	cushion(canvas, 891, 406, 1096, 462, 16, teal_light, teal_mid);
	cushion(canvas, 640, 366, 702, 500, 28, teal, teal_low);
	cushion(canvas, 1082, 366, 1144, 500, 28, teal, teal_low);
}

static void draw_sofa_trimmings(struct pc_canvas *canvas)
{
	static const struct pc_color mustard = PC_RGB(0xEBC15C);
	static const struct pc_color mustard_low = PC_RGB(0xD3A136);
	static const struct pc_color coral = PC_RGB(0xE59078);
	static const struct pc_color coral_low = PC_RGB(0xCB6B56);
	static const struct pc_color wool = PC_RGB(0xF4EBDC);
	static const struct pc_color wool_low = PC_RGB(0xDDCFB8);
	static const struct pc_color wool_line = PC_RGB(0xCDBB9F);
	pillow(canvas, 724, 380, 33, 0.18F, mustard, mustard_low);
	pillow(canvas, 1058, 380, 33, -0.2F, coral, coral_low);
	/* a throw over the right arm */
	const struct pc_vec throw[] = { { 1092, 362 }, { 1136, 362 }, { 1148, 378 }, { 1149, 452 },
		{ 1104, 456 }, { 1096, 400 } };
	pc_canvas_polygon(canvas, throw, 6);
	const struct pc_paint knit = {
		.top = wool, .bottom = wool_low, .alpha = 1, .volume = 24, .round = 14
	};
	pc_canvas_fill_clip(canvas, &knit);
	for (unsigned i = 0; i < 4; i++) {
		const float y = 384 + 18 * (float)i;
		pc_canvas_tube(canvas,
			(const struct pc_vec[]){ { 1090, y + 1 }, { 1120, y + 4 }, { 1152, y } },
			(const float[]){ 2, 2, 2 }, 3);
	}
	const struct pc_paint rows = pc_plain_clip(wool_line, 0.8F);
	pc_canvas_fill(canvas, &rows);
	for (unsigned i = 0; i < 8; i++) {
		const float x = 1107 + 5.6F * (float)i;
		pc_canvas_tube(canvas, (const struct pc_vec[]){ { x, 452 }, { x + 1, 464 } },
			(const float[]){ 1.2F, 0.8F }, 2);
	}
	const struct pc_paint fringe = pc_plain(wool_low);
	pc_canvas_fill(canvas, &fringe);
}

/* ---- plant and lamp ---- */

static void leaf(struct pc_canvas *canvas, float angle, float length, float lean)
{
	static const struct pc_color light = PC_RGB(0x7FB069);
	static const struct pc_color dark = PC_RGB(0x3F7A4A);
	static const struct pc_color vein = PC_RGB(0xA8CF8C);
	const float x = 617;
	const float y = 390;
	const struct pc_vec tip = pc_vec(x + length * cosf(angle) + lean, y - length * sinf(angle));
	const struct pc_vec belly =
		pc_vec(pc_mixf(x, tip.x, 0.55F) - 0.22F * lean, pc_mixf(y, tip.y, 0.62F));
	const struct pc_vec line[] = { { x, y }, belly, tip };
	pc_canvas_tube(canvas, line, (const float[]){ 2.0F, 11.0F, 0.8F }, 3);
	const struct pc_paint blade = {
		.top = light, .bottom = dark, .alpha = 1, .volume = 18, .round = 8
	};
	pc_canvas_fill(canvas, &blade);
	pc_canvas_tube(canvas, line, (const float[]){ 0.9F, 0.9F, 0.5F }, 3);
	struct pc_paint rib = pc_plain(vein);
	rib.alpha = 0.5F;
	pc_canvas_fill(canvas, &rib);
}

static void draw_plant(struct pc_canvas *canvas)
{
	static const struct pc_color clay = PC_RGB(0xD98C64);
	static const struct pc_color clay_low = PC_RGB(0xA85C3C);
	static const struct pc_color soil = PC_RGB(0x4A3526);
	static const struct {
		float angle, length, lean;
	} leaves[] = {
		{ 2.75F, 58, -16 },
		{ 0.42F, 56, 14 },
		{ 2.35F, 92, -14 },
		{ 0.85F, 84, 12 },
		{ 2.0F, 116, -8 },
		{ 1.15F, 108, 10 },
		{ 1.75F, 92, -10 },
		{ 1.42F, 128, 4 },
		{ 2.55F, 70, 0 },
		{ 0.65F, 66, 2 },
	};
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		leaf(canvas, leaves[i].angle, leaves[i].length, leaves[i].lean);
	}
	const struct pc_vec pot[] = { { 593, 388 }, { 641, 388 }, { 634, 428 }, { 626, 432 },
		{ 608, 432 }, { 600, 428 } };
	pc_canvas_polygon(canvas, pot, 6);
	const struct pc_paint fired = {
		.top = clay, .bottom = clay_low, .alpha = 1, .volume = 30, .round = 16
	};
	pc_canvas_fill(canvas, &fired);
	pc_canvas_ellipse(canvas, 617, 387, 26, 6, 0);
	const struct pc_paint rim = pc_plain(clay);
	pc_canvas_fill(canvas, &rim);
	pc_canvas_ellipse(canvas, 617, 387, 22, 4.2F, 0);
	const struct pc_paint earth = pc_plain(soil);
	pc_canvas_fill(canvas, &earth);
	leaf(canvas, 1.95F, 60, -10);
	leaf(canvas, 1.1F, 64, 8);
}

static void draw_lamp(struct pc_canvas *canvas)
{
	static const struct pc_color brass = PC_RGB(0xC8A35C);
	static const struct pc_color brass_low = PC_RGB(0x8C6C36);
	static const struct pc_color paper = PC_RGB(0xFFF3D2);
	static const struct pc_color paper_low = PC_RGB(0xF6D591);
	pc_canvas_ellipse(canvas, 1206, 432, 34, 8.5F, 0);
	const struct pc_paint foot = {
		.top = brass, .bottom = brass_low, .alpha = 1, .volume = 20, .round = 8
	};
	pc_canvas_fill(canvas, &foot);
	pc_room_rect(canvas, 1203.4F, 236, 1208.6F, 430, 2, brass, brass_low, 0);
	const struct pc_vec cone[] = { { 1180, 172 }, { 1232, 172 }, { 1254, 252 }, { 1158, 252 } };
	pc_canvas_polygon(canvas, cone, 4);
	const struct pc_paint screen = {
		.top = paper, .bottom = paper_low, .alpha = 1, .volume = 18, .round = 30
	};
	pc_canvas_fill(canvas, &screen);
	pc_room_rect(canvas, 1156, 249, 1256, 254, 2, brass, brass_low, 0);
	pc_room_rect(canvas, 1178, 170, 1234, 174, 2, brass, brass_low, 0);
}

/* ---- bowls ---- */

struct bowl {
	float x, y, r;
	struct pc_color skin, skin_low, inside, filling;
};

static const struct bowl bowls[2] = {
	{ PC_DEMO_BOWL_X, PC_DEMO_BOWL_Y, 38, PC_RGB(0xE8E3DA), PC_RGB(0xB9B2A6), PC_RGB(0xA8A196),
		PC_RGB(0x8A5A34) },
	{ 146, PC_DEMO_BOWL_Y + 6, 34, PC_RGB(0x8FB7CC), PC_RGB(0x5E8AA4), PC_RGB(0x4F7A94),
		PC_RGB(0xA9DDF0) },
};

#define BOWL_TALL 20.0F

static void draw_bowl_back(struct pc_canvas *canvas, const struct bowl *bowl)
{
	const float y = bowl->y - BOWL_TALL;
	pc_canvas_ellipse(canvas, bowl->x, y, bowl->r, 0.32F * bowl->r, 0);
	const struct pc_paint rim = { .top = bowl->skin, .bottom = bowl->skin, .alpha = 1 };
	pc_canvas_fill(canvas, &rim);
	pc_canvas_ellipse(canvas, bowl->x, y + 1, bowl->r - 3.5F, 0.32F * bowl->r - 2.4F, 0);
	const struct pc_paint inside = {
		.top = bowl->inside, .bottom = bowl->skin_low, .alpha = 1
	};
	pc_canvas_fill_clip(canvas, &inside);
	pc_canvas_ellipse(canvas, bowl->x, y + 5, bowl->r - 6, 0.26F * bowl->r, 0);
	const struct pc_paint filling = {
		.top = bowl->filling, .bottom = bowl->filling, .alpha = 1, .clip = true
	};
	pc_canvas_fill(canvas, &filling);
	if (bowl == &bowls[0]) {
		static const struct pc_color crumb = PC_RGB(0xB98550);
		for (unsigned i = 0; i < 11; i++) {
			pc_canvas_ellipse(canvas, bowl->x - 24 + 4.8F * (float)i,
				y + 3 + 2.2F * sinf(2.4F * (float)i), 3.2F, 2.2F, 0.4F * (float)i);
		}
		const struct pc_paint crumbs = pc_plain_clip(crumb, 1);
		pc_canvas_fill(canvas, &crumbs);
	} else {
		static const struct pc_color glint = PC_RGB(0xFFFFFF);
		pc_canvas_ellipse(canvas, bowl->x - 10, y + 3, 9, 1.6F, 0);
		const struct pc_paint shine = pc_plain_clip(glint, 0.7F);
		pc_canvas_fill(canvas, &shine);
	}
}

static void draw_bowl_front(struct pc_canvas *canvas, const struct bowl *bowl)
{
	enum { STEPS = 12 };
	const float y = bowl->y - BOWL_TALL;
	struct pc_vec wall[2 * (STEPS + 1)];
	for (unsigned i = 0; i <= STEPS; i++) {
		const float a = PC_DEMO_PI * (float)i / STEPS;
		wall[i] = pc_vec(bowl->x + bowl->r * cosf(a), y + 0.32F * bowl->r * sinf(a));
		wall[2 * STEPS + 1 - i] = pc_vec(bowl->x + 1.12F * bowl->r * cosf(a),
			bowl->y + 0.34F * bowl->r * sinf(a) - 2);
	}
	pc_canvas_polygon(canvas, wall, 2 * (STEPS + 1));
	const struct pc_paint skin = {
		.top = bowl->skin, .bottom = bowl->skin_low, .alpha = 1, .volume = 26, .round = 16
	};
	pc_canvas_fill(canvas, &skin);
	if (bowl == &bowls[0]) {
		static const struct pc_color ink = PC_RGB(0xC9694A);
		const float x = bowl->x;
		pc_canvas_ellipse(canvas, x, y + 22, 5.5F, 4.2F, 0);
		pc_canvas_ellipse(canvas, x - 6.5F, y + 17, 2.1F, 2.5F, 0);
		pc_canvas_ellipse(canvas, x - 2.3F, y + 15, 2.1F, 2.5F, 0);
		pc_canvas_ellipse(canvas, x + 2.3F, y + 15, 2.1F, 2.5F, 0);
		pc_canvas_ellipse(canvas, x + 6.5F, y + 17, 2.1F, 2.5F, 0);
		const struct pc_paint paw = pc_plain(ink);
		pc_canvas_fill(canvas, &paw);
	}
}

static void draw_mat(struct pc_canvas *canvas)
{
	static const struct pc_color felt = PC_RGB(0x8C9BA0);
	static const struct pc_color felt_low = PC_RGB(0x76868C);
	pc_room_soft(canvas, 196, 606, 122, 30, shade, 0.20F, 8, false);
	const struct pc_vec mat[] = { { 104, 574 }, { 300, 574 }, { 306, 580 }, { 312, 626 },
		{ 306, 632 }, { 80, 632 }, { 76, 626 }, { 98, 580 } };
	pc_canvas_polygon(canvas, mat, 8);
	const struct pc_paint paint = {
		.top = felt, .bottom = felt_low, .alpha = 1, .volume = 10, .round = 6
	};
	pc_canvas_fill(canvas, &paint);
	for (unsigned i = 0; i < 2; i++) {
		pc_room_soft(canvas, bowls[i].x + 3, bowls[i].y + 5, bowls[i].r * 1.25F, 12, shade,
			0.45F, 8, false);
	}
}

/* ---- bed ---- */

#define BED_RX 152.0F
#define BED_RY 52.0F
#define BED_Y (PC_DEMO_BED_Y - 4)
#define HOLLOW_RX 122.0F
#define HOLLOW_RY 27.0F
#define HOLLOW_Y (PC_DEMO_BED_Y - 17)

static const struct pc_color bed_top = PC_RGB(0xB9A48C);
static const struct pc_color bed_low = PC_RGB(0x8E765E);

static void draw_bed(struct pc_canvas *canvas)
{
	static const struct pc_color deep = PC_RGB(0x7A644F);
	static const struct pc_color fleece = PC_RGB(0xF6EFE3);
	static const struct pc_color fleece_low = PC_RGB(0xE3D6C3);
	pc_room_soft(canvas, PC_DEMO_BED_X + 3, BED_Y + 16, BED_RX + 4, BED_RY - 6, shade, 0.45F,
		14, false);
	pc_canvas_ellipse(canvas, PC_DEMO_BED_X, BED_Y, BED_RX, BED_RY, 0);
	const struct pc_paint plush = {
		.top = bed_top, .bottom = bed_low, .alpha = 1, .volume = 34, .round = 22
	};
	pc_canvas_fill(canvas, &plush);
	pc_canvas_ellipse(canvas, PC_DEMO_BED_X, HOLLOW_Y, HOLLOW_RX, HOLLOW_RY, 0);
	const struct pc_paint hollow = { .top = deep, .bottom = deep, .alpha = 1 };
	pc_canvas_fill_clip(canvas, &hollow);
	pc_canvas_ellipse(canvas, PC_DEMO_BED_X, HOLLOW_Y + 6, HOLLOW_RX - 5, HOLLOW_RY - 3, 0);
	const struct pc_paint soft = { .top = fleece,
		.bottom = fleece_low,
		.alpha = 1,
		.clip = true,
		.volume = 18,
		.round = 14 };
	pc_canvas_fill(canvas, &soft);
}

/* The part of its rim that is nearer than who lies in it. */
static void draw_bed_rim(struct pc_canvas *canvas)
{
	enum { STEPS = 24 };
	struct pc_vec rim[2 * (STEPS + 1)];
	for (unsigned i = 0; i <= STEPS; i++) {
		const float a = PC_DEMO_PI * (float)i / STEPS;
		rim[i] = pc_vec(PC_DEMO_BED_X + BED_RX * cosf(a), BED_Y + BED_RY * sinf(a));
		rim[2 * STEPS + 1 - i] =
			pc_vec(PC_DEMO_BED_X + HOLLOW_RX * cosf(a), HOLLOW_Y + HOLLOW_RY * sinf(a));
	}
	pc_canvas_polygon(canvas, rim, 2 * (STEPS + 1));
	const struct pc_paint plush = {
		.top = bed_top, .bottom = bed_low, .alpha = 1, .volume = 30, .round = 18
	};
	pc_canvas_fill(canvas, &plush);
}

/* ---- the calls ---- */

void pc_demo_draw_thing(struct pc_canvas *canvas, enum pc_demo_thing thing)
{
	switch (thing) {
	case PC_THING_PLANT:
		draw_plant(canvas);
		break;
	case PC_THING_LAMP:
		draw_lamp(canvas);
		break;
	case PC_THING_SOFA:
		draw_sofa(canvas);
		draw_sofa_trimmings(canvas);
		break;
	case PC_THING_BOWLS:
		draw_bowl_front(canvas, &bowls[0]);
		draw_bowl_front(canvas, &bowls[1]);
		break;
	case PC_THING_BED_RIM:
		draw_bed_rim(canvas);
		break;
	case PC_THINGS:
		break;
	}
}

void pc_room_furnish(struct pc_canvas *canvas)
{
	static const struct pc_color glow = PC_RGB(0xFFC878);
	pc_room_soft(canvas, 1206, 215, 120, 110, glow, 0.16F, 90, true);
	pc_room_soft(canvas, 1206, 442, 130, 30, glow, 0.10F, 40, true);
	pc_room_soft(canvas, 620, 432, 40, 10, shade, 0.45F, 10, false);
	draw_plant(canvas);
	pc_room_soft(canvas, 1208, 436, 40, 8, shade, 0.40F, 8, false);
	draw_lamp(canvas);
	pc_room_soft(canvas, 1206, 240, 56, 46, glow, 0.16F, 30, true);
	pc_canvas_rect(canvas, 640, 286, 1150, 420, 30);
	const struct pc_paint behind = {
		.top = shade, .bottom = shade, .alpha = 0.22F, .blur = 22
	};
	pc_canvas_fill(canvas, &behind);
	pc_room_soft(canvas, 894, 504, 262, 18, shade, 0.60F, 16, false);
	pc_demo_draw_thing(canvas, PC_THING_SOFA);
	draw_mat(canvas);
	for (unsigned i = 0; i < 2; i++) {
		draw_bowl_back(canvas, &bowls[i]);
		draw_bowl_front(canvas, &bowls[i]);
	}
	draw_bed(canvas);
	draw_bed_rim(canvas);
}

/* ---- areas ---- */

static void zone(struct pc_zone *ret, const char *name, enum pc_zone_kind kind,
	const struct pc_vec *points, unsigned n)
{
	*ret = (struct pc_zone){ .kind = kind, .n_points = n };
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	for (unsigned i = 0; i < n; i++) {
		ret->points[i] =
			(struct pc_point){ points[i].x / PC_DEMO_W, points[i].y / PC_DEMO_H };
	}
}

unsigned pc_demo_zones(struct pc_zone zones[static PC_ZONES_MAX])
{
	static const struct pc_vec bowl[] = { { 84, 530 }, { 410, 530 }, { 420, 650 },
		{ 64, 650 } };
	static const struct pc_vec sofa[] = { { 650, 300 }, { 1134, 300 }, { 1140, 500 },
		{ 644, 500 } };
	static const struct pc_vec door[] = { { 44, 112 }, { 232, 112 }, { 244, 464 },
		{ 36, 464 } };
	static const struct pc_vec bed[] = { { 1080, 566 }, { 1190, 586 }, { 1240, 636 },
		{ 1190, 690 }, { 1080, 702 }, { 970, 690 }, { 920, 636 }, { 970, 586 } };
	zone(&zones[0], "bowl", PC_ZONE_BOWL, bowl, 4);
	zone(&zones[1], "sofa", PC_ZONE_SOFA, sofa, 4);
	zone(&zones[2], "door", PC_ZONE_DOOR, door, 4);
	zone(&zones[3], "bed", PC_ZONE_BED, bed, 8);
	return 4;
}

unsigned pc_demo_masks(struct pc_zone masks[static PC_ZONES_MAX])
{
	/* 40 of 64 parts of the width, 2 of them high, whatever the size; and a margin. */
	static const struct pc_vec strip[] = { { 0, 0 }, { 824, 0 }, { 824, 56 }, { 0, 56 } };
	zone(&masks[0], "barcode", PC_ZONE_CUSTOM, strip, 4);
	return 1;
}
