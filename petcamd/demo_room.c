/* petcamd/demo_room.c - the walls, the floor, the window, the door and the rug. */
#include "petcamd/demo_body.h"
#include "petcamd/demo_room.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FLOOR_Y PC_DEMO_FLOOR_Y

void pc_room_rect(struct pc_canvas *canvas, float x0, float y0, float x1, float y1, float r,
	struct pc_color top, struct pc_color bottom, float volume)
{
	pc_canvas_rect(canvas, x0, y0, x1, y1, r);
	const struct pc_paint paint = {
		.top = top, .bottom = bottom, .alpha = 1, .volume = volume, .round = 14
	};
	pc_canvas_fill(canvas, &paint);
}

void pc_room_soft(struct pc_canvas *canvas, float x, float y, float rx, float ry,
	struct pc_color color, float alpha, float blur, bool add)
{
	pc_canvas_ellipse(canvas, x, y, rx, ry, 0);
	const struct pc_paint paint = {
		.top = color, .bottom = color, .alpha = alpha, .blur = blur, .add = add
	};
	pc_canvas_fill(canvas, &paint);
}

static const struct pc_color white = PC_RGB(0xFBF8F1);
static const struct pc_color white_low = PC_RGB(0xE6DFD2);
static const struct pc_color shade = PC_RGB(0x4A4038);

/* ---- walls and floor, pixel by pixel ---- */

static float hash(int a, int b)
{
	uint32_t h = (uint32_t)a * 374761393U + (uint32_t)b * 668265263U;
	h = (h ^ (h >> 13)) * 1274126177U;
	return (float)((h ^ (h >> 16)) & 0xFFFF) / 65535;
}

/* Smooth chance on a grid, 0..1. */
static float noise(float x, float y)
{
	const float fx = floorf(x);
	const float fy = floorf(y);
	const int ix = (int)fx;
	const int iy = (int)fy;
	const float kx = pc_smoothf(x - fx);
	const float ky = pc_smoothf(y - fy);
	return pc_mixf(pc_mixf(hash(ix, iy), hash(ix + 1, iy), kx),
		pc_mixf(hash(ix, iy + 1), hash(ix + 1, iy + 1), kx), ky);
}

static struct pc_color scaled(struct pc_color c, float k)
{
	return (struct pc_color){ c.r * k, c.g * k, c.b * k };
}

static struct pc_color wall_at(float x, float y)
{
	static const struct pc_color high = PC_RGB(0xD3DCCB);
	static const struct pc_color low = PC_RGB(0xBFCBB8);
	const float stripe = sinf(x * (2 * PC_DEMO_PI / 54));
	const float k = 1 + 0.012F * pc_clampf(stripe * 6, -1, 1);
	/* Corners are darker, and it is light round the window. */
	const float edge = fabsf(x - 640) / 640;
	const float window = hypotf((x - 435) / 420, (y - 190) / 330);
	const float light = 1.05F - 0.14F * edge * edge + 0.07F * expf(-window * window);
	return scaled(pc_color_mix(high, low, y / FLOOR_Y), k * light);
}

/* `pixel`: how many scene units one is; seams are no finer. */
static struct pc_color floor_at(float x, float y, float pixel)
{
	static const struct pc_color oak = PC_RGB(0xCDB491);
	static const float board = 74; /* width where the scale is 1 */
	const float depth = pc_demo_scale(y);
	const float across = (x - 640) / (depth * board);
	const float away = 2600 / (y - PC_DEMO_HORIZON);
	const float row = floorf(across);
	const int index = (int)row;
	/* Boards end here and there. */
	const float length = 3.4F;
	const float along = away / length + hash(index, 7) * 5;
	const float piece = floorf(along);
	const float tone = hash(index, (int)piece + 11);
	const float grain = noise(across * 22, away * 3.5F + tone * 40) +
			    0.6F * noise(across * 60, away * 7 + tone * 90);
	float k = 0.94F + 0.10F * tone + 0.05F * (grain - 0.8F);
	/* Seams: a soft dark line of constant width on the floor. */
	const float in_board = across - row;
	const float side = pc_minf(in_board, 1 - in_board) * board;
	const float side_width = pc_maxf(1.8F, 1.1F * pixel / depth);
	k *= 1 - 0.22F * 1.8F / side_width * (1 - pc_smoothf(side / side_width));
	const float in_piece = along - piece;
	const float end = pc_minf(in_piece, 1 - in_piece) * length;
	const float end_width = pc_maxf(0.042F, 1.1F * pixel * away * away / 2600);
	k *= 1 - 0.18F * 0.042F / end_width * (1 - pc_smoothf(end / end_width));
	const float edge = fabsf(x - 600) / 680;
	const float back = pc_smoothf((y - FLOOR_Y) / 60);
	k *= (1.04F - 0.13F * edge * edge) * pc_mixf(0.86F, 1, back);
	const struct pc_color warm = { oak.r * (1 + 0.03F * (tone - 0.5F)), oak.g,
		oak.b * (1 - 0.05F * (tone - 0.5F)) };
	return scaled(warm, k);
}

static void draw_shell(struct pc_canvas *canvas, unsigned width, unsigned height)
{
	float *rgb = pc_canvas_rgb(canvas);
	for (unsigned py = 0; py < height; py++) {
		const float y = ((float)py + 0.5F) * PC_DEMO_H / (float)height;
		for (unsigned px = 0; px < width; px++, rgb += 3) {
			const float x = ((float)px + 0.5F) * PC_DEMO_W / (float)width;
			const struct pc_color c =
				y < FLOOR_Y ? wall_at(x, y)
					    : floor_at(x, y, PC_DEMO_W / (float)width);
			rgb[0] = c.r;
			rgb[1] = c.g;
			rgb[2] = c.b;
		}
	}
}

static void draw_trim(struct pc_canvas *canvas)
{
	static const struct pc_color line = PC_RGB(0xCFC7B8);
	/* The ceiling's moulding; the barcode lies on it. */
	pc_room_rect(canvas, 0, 0, 1280, 46, 0, white, white_low, 0);
	pc_room_rect(canvas, 0, 46, 1280, 50, 0, line, line, 0);
	pc_canvas_rect(canvas, 0, 50, 1280, 62, 0);
	const struct pc_paint under = { .top = shade, .bottom = shade, .alpha = 0.16F, .blur = 10 };
	pc_canvas_fill(canvas, &under);
	/* panelling */
	pc_room_rect(canvas, 0, 318, 1280, 392, 0, white, white_low, 0);
	pc_room_rect(canvas, 0, 312, 1280, 320, 2, white, line, 0);
	for (int i = 0; i < 11; i++) {
		const float x = 14 + 118 * (float)i;
		pc_room_rect(canvas, x, 330, x + 96, 382, 3, line, white, 0);
		pc_room_rect(canvas, x + 2, 332, x + 95, 381, 3, white_low, white, 0);
	}
	pc_room_rect(canvas, 0, 390, 1280, FLOOR_Y, 0, white, white_low, 0);
	pc_room_rect(canvas, 0, 389, 1280, 391, 0, line, line, 0);
	pc_canvas_rect(canvas, 0, FLOOR_Y - 1, 1280, FLOOR_Y + 8, 0);
	const struct pc_paint gap = { .top = shade, .bottom = shade, .alpha = 0.30F, .blur = 9 };
	pc_canvas_fill(canvas, &gap);
}

/* ---- the door ---- */

static void draw_door(struct pc_canvas *canvas)
{
	static const struct pc_color hall_high = PC_RGB(0xD8C3A0);
	static const struct pc_color hall_low = PC_RGB(0xB79C77);
	static const struct pc_color hall_floor = PC_RGB(0x9F8160);
	static const struct pc_color hall_floor_low = PC_RGB(0xB8986F);
	static const struct pc_color line = PC_RGB(0xC9BFAE);
	const float x0 = PC_DEMO_DOOR_X0;
	const float x1 = PC_DEMO_DOOR_X1;
	pc_room_rect(canvas, x0 - 18, 112, x1 + 18, FLOOR_Y + 1, 3, line, line, 0);
	pc_room_rect(canvas, x0 - 17, 113, x1 + 17, FLOOR_Y, 3, white, white_low, 0);
	pc_room_rect(canvas, x0 - 4, 126, x1 + 4, FLOOR_Y, 0, line, line, 0);
	pc_canvas_rect(canvas, x0, 130, x1, FLOOR_Y + 1, 0);
	const struct pc_paint hall = { .top = hall_high, .bottom = hall_low, .alpha = 1 };
	pc_canvas_fill_clip(canvas, &hall);
	pc_canvas_rect(canvas, x0, 372, x1, FLOOR_Y + 2, 0);
	const struct pc_paint ground = {
		.top = hall_floor, .bottom = hall_floor_low, .alpha = 1, .clip = true
	};
	pc_canvas_fill(canvas, &ground);
	pc_canvas_rect(canvas, x0, 362, x1, 373, 0);
	const struct pc_paint skirting = {
		.top = white_low, .bottom = line, .alpha = 1, .clip = true
	};
	pc_canvas_fill(canvas, &skirting);
	/* a print on the far wall, a hook with a lead */
	static const struct pc_color wood = PC_RGB(0x8A6A48);
	static const struct pc_color paper = PC_RGB(0xF5EEDF);
	static const struct pc_color red = PC_RGB(0xB5483C);
	pc_room_rect(canvas, 96, 190, 146, 254, 2, wood, wood, 0);
	pc_room_rect(canvas, 101, 195, 141, 249, 0, paper, paper, 0);
	pc_canvas_ellipse(canvas, 121, 226, 11, 9, 0);
	pc_canvas_ellipse(canvas, 109, 214, 4, 5, 0);
	pc_canvas_ellipse(canvas, 117, 209, 4, 5, 0);
	pc_canvas_ellipse(canvas, 125, 209, 4, 5, 0);
	pc_canvas_ellipse(canvas, 133, 214, 4, 5, 0);
	const struct pc_paint paw = pc_plain(wood);
	pc_canvas_fill(canvas, &paw);
	const struct pc_vec lead[] = { { 172, 214 }, { 163, 240 }, { 166, 282 }, { 176, 286 },
		{ 179, 250 }, { 172, 214 } };
	pc_canvas_tube(canvas, lead, (const float[]){ 2, 2, 2, 2, 2, 2 }, 6);
	const struct pc_paint leather = pc_plain(red);
	pc_canvas_fill(canvas, &leather);
	/* the leaf, opened into the hall */
	const struct pc_vec leaf[] = { { x1, 130 }, { x1 - 24, 142 }, { x1 - 24, 390 },
		{ x1, FLOOR_Y } };
	pc_canvas_polygon(canvas, leaf, 4);
	static const struct pc_color leaf_high = PC_RGB(0xE4D9C6);
	static const struct pc_color leaf_low = PC_RGB(0xCDBFA8);
	const struct pc_paint painted = { .top = leaf_high, .bottom = leaf_low, .alpha = 1 };
	pc_canvas_fill(canvas, &painted);
	static const struct pc_color brass = PC_RGB(0xB8904A);
	pc_canvas_ellipse(canvas, x1 - 18, 274, 3.5F, 4.5F, 0);
	const struct pc_paint knob = pc_plain(brass);
	pc_canvas_fill(canvas, &knob);
	/* it is dimmer in there */
	pc_canvas_rect(canvas, x0, 130, x1, 150, 0);
	pc_canvas_rect(canvas, x0, 130, x0 + 16, FLOOR_Y, 0);
	const struct pc_paint dim = {
		.top = shade, .bottom = shade, .alpha = 0.25F, .blur = 16, .clip = true
	};
	pc_canvas_rect(canvas, x0, 130, x1, FLOOR_Y, 0);
	pc_canvas_clip(canvas);
	pc_canvas_rect(canvas, x0, 126, x1, 146, 0);
	pc_canvas_rect(canvas, x0 - 6, 130, x0 + 12, FLOOR_Y, 0);
	pc_canvas_fill(canvas, &dim);
}

/* ---- the window ---- */

static void draw_outside(struct pc_canvas *canvas)
{
	static const struct pc_color sky_high = PC_RGB(0x8CC4EA);
	static const struct pc_color sky_low = PC_RGB(0xE9F5F8);
	static const struct pc_color cloud = PC_RGB(0xFFFFFF);
	static const struct pc_color far_hill = PC_RGB(0xA9CBB4);
	static const struct pc_color hill_high = PC_RGB(0x8DBB7C);
	static const struct pc_color hill_low = PC_RGB(0x6FA265);
	static const struct pc_color leaf = PC_RGB(0x5C935A);
	static const struct pc_color leaf_light = PC_RGB(0x7DB36A);
	static const struct pc_color bark = PC_RGB(0x7B6248);
	pc_canvas_rect(canvas, 330, 92, 540, 284, 0);
	const struct pc_paint sky = { .top = sky_high, .bottom = sky_low, .alpha = 1 };
	pc_canvas_fill_clip(canvas, &sky);
	pc_canvas_ellipse(canvas, 392, 136, 34, 9, 0);
	pc_canvas_ellipse(canvas, 382, 129, 15, 12, 0);
	pc_canvas_ellipse(canvas, 404, 128, 18, 14, 0);
	pc_canvas_ellipse(canvas, 500, 168, 30, 7, 0);
	pc_canvas_ellipse(canvas, 494, 162, 14, 10, 0);
	const struct pc_paint clouds = {
		.top = cloud, .bottom = sky_low, .alpha = 0.9F, .clip = true, .blur = 3
	};
	pc_canvas_fill(canvas, &clouds);
	const struct pc_vec far[] = { { 300, 300 }, { 320, 232 }, { 400, 214 }, { 470, 236 },
		{ 560, 206 }, { 580, 300 } };
	pc_canvas_spline(canvas, far, 6);
	const struct pc_paint blue = pc_plain_clip(far_hill, 1);
	pc_canvas_fill(canvas, &blue);
	const struct pc_vec near[] = { { 300, 320 }, { 310, 262 }, { 390, 250 }, { 480, 262 },
		{ 570, 246 }, { 580, 320 } };
	pc_canvas_spline(canvas, near, 6);
	const struct pc_paint green = {
		.top = hill_high, .bottom = hill_low, .alpha = 1, .clip = true
	};
	pc_canvas_fill(canvas, &green);
	const struct pc_vec trunk[] = { { 486, 270 }, { 488, 225 } };
	pc_canvas_tube(canvas, trunk, (const float[]){ 4, 2.5F }, 2);
	const struct pc_paint wood = pc_plain_clip(bark, 1);
	pc_canvas_fill(canvas, &wood);
	pc_canvas_ellipse(canvas, 488, 214, 24, 21, 0);
	pc_canvas_ellipse(canvas, 472, 226, 16, 14, 0);
	pc_canvas_ellipse(canvas, 505, 227, 16, 13, 0);
	const struct pc_paint crown = { .top = leaf_light,
		.bottom = leaf,
		.alpha = 1,
		.clip = true,
		.volume = 20,
		.round = 14 };
	pc_canvas_fill(canvas, &crown);
}

static void draw_curtain(struct pc_canvas *canvas, float x0, float x1)
{
	static const struct pc_color linen = PC_RGB(0xF1E3CB);
	static const struct pc_color linen_low = PC_RGB(0xE0CDAE);
	enum { FOLDS = 5 };
	const float step = (x1 - x0) / FOLDS;
	for (unsigned i = 0; i < FOLDS; i++) {
		const float x = x0 + step * (float)i;
		const float sway = 3 * sinf(1.7F * (float)i);
		const struct pc_vec fold[] = { { x - 2, 74 }, { x + step + 2, 74 },
			{ x + step + 3 + sway * 0.4F, 200 }, { x + step + 3 + sway, 330 },
			{ x - 2 + sway, 332 }, { x - 2 + sway * 0.4F, 200 } };
		pc_canvas_polygon(canvas, fold, 6);
		const struct pc_paint cloth = {
			.top = linen, .bottom = linen_low, .alpha = 1, .volume = 26, .round = 9
		};
		pc_canvas_fill(canvas, &cloth);
	}
}

static void draw_window(struct pc_canvas *canvas)
{
	static const struct pc_color glow = PC_RGB(0xFFF4DA);
	static const struct pc_color line = PC_RGB(0xD5CDBE);
	static const struct pc_color rod = PC_RGB(0x8A6F4C);
	pc_canvas_rect(canvas, 312, 84, 566, 316, 6);
	const struct pc_paint cast = { .top = shade, .bottom = shade, .alpha = 0.25F, .blur = 12 };
	pc_canvas_fill(canvas, &cast);
	pc_room_rect(canvas, 316, 78, 554, 298, 3, white, white_low, 0);
	draw_outside(canvas);
	/* bars */
	pc_room_rect(canvas, 430, 92, 440, 284, 0, white, white_low, 0);
	pc_room_rect(canvas, 330, 172, 540, 179, 0, white, white_low, 0);
	pc_room_rect(canvas, 306, 292, 564, 306, 3, white, white_low, 0);
	pc_room_rect(canvas, 306, 304, 564, 307, 1, line, line, 0);
	draw_curtain(canvas, 290, 348);
	draw_curtain(canvas, 522, 580);
	pc_canvas_tube(canvas, (const struct pc_vec[]){ { 276, 74 }, { 594, 74 } },
		(const float[]){ 4, 4 }, 2);
	pc_canvas_ellipse(canvas, 274, 74, 7, 7, 0);
	pc_canvas_ellipse(canvas, 596, 74, 7, 7, 0);
	const struct pc_paint brass = {
		.top = rod, .bottom = rod, .alpha = 1, .volume = 20, .round = 6
	};
	pc_canvas_fill(canvas, &brass);
	pc_room_soft(canvas, 435, 190, 210, 170, glow, 0.10F, 120, true);
}

/* What the sun draws on the floor through the four panes. */
static void draw_sunlight(struct pc_canvas *canvas)
{
	static const struct pc_color sun = PC_RGB(0xFFDFA0);
	for (unsigned i = 0; i < 4; i++) {
		const float u0 = i % 2 == 0 ? 0.0F : 0.53F;
		const float v0 = i / 2 == 0 ? 0.0F : 0.50F;
		const float u1 = u0 + 0.47F;
		const float v1 = v0 + 0.46F;
		/* floor x and y of the window's u, v (v grows towards us) */
		const struct pc_vec pane[] = {
			{ 350 + 170 * u0 + 130 * v0 + 60 * u0 * v0, 440 + 190 * v0 },
			{ 350 + 170 * u1 + 130 * v0 + 60 * u1 * v0, 440 + 190 * v0 },
			{ 350 + 170 * u1 + 130 * v1 + 60 * u1 * v1, 440 + 190 * v1 },
			{ 350 + 170 * u0 + 130 * v1 + 60 * u0 * v1, 440 + 190 * v1 },
		};
		pc_canvas_polygon(canvas, pane, 4);
	}
	const struct pc_paint light = {
		.top = sun, .bottom = sun, .alpha = 0.16F, .blur = 7, .add = true
	};
	pc_canvas_fill(canvas, &light);
}

/* ---- rug and pictures ---- */

static void draw_rug(struct pc_canvas *canvas)
{
	static const struct pc_color navy = PC_RGB(0x47617C);
	static const struct pc_color cream = PC_RGB(0xF0E7D8);
	static const struct pc_color mist = PC_RGB(0x8FA9B8);
	static const struct pc_color mist_low = PC_RGB(0x9DB5C2);
	static const struct {
		float r;
		const struct pc_color *color;
	} rings[] = {
		{ 1.0F, &navy },
		{ 0.945F, &cream },
		{ 0.90F, &navy },
		{ 0.885F, &mist },
		{ 0.62F, &cream },
		{ 0.585F, &mist_low },
		{ 0.26F, &cream },
		{ 0.225F, &navy },
	};
	const float cx = 592;
	const float cy = 606;
	const float rx = 322;
	const float ry = 92;
	pc_room_soft(canvas, cx + 2, cy + 5, rx + 4, ry + 3, shade, 0.35F, 9, false);
	for (unsigned i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		pc_canvas_ellipse(canvas, cx, cy, rx * rings[i].r, ry * rings[i].r, 0);
		const struct pc_paint paint = pc_plain(*rings[i].color);
		pc_canvas_fill(canvas, &paint);
	}
	/* a wreath of leaves in the wide ring, dots in the middle one */
	for (unsigned i = 0; i < 40; i++) {
		const float a = 2 * PC_DEMO_PI * (float)i / 40;
		const float r = i % 2 == 0 ? 0.78F : 0.73F;
		pc_canvas_ellipse(canvas, cx + rx * r * cosf(a), cy + ry * r * sinf(a), 11, 3.4F,
			atan2f(ry * cosf(a), -rx * sinf(a)) + (i % 2 == 0 ? 0.5F : -0.5F));
	}
	for (unsigned i = 0; i < 18; i++) {
		const float a = 2 * PC_DEMO_PI * ((float)i + 0.5F) / 18;
		pc_canvas_ellipse(
			canvas, cx + rx * 0.42F * cosf(a), cy + ry * 0.42F * sinf(a), 8, 2.6F, 0);
	}
	struct pc_paint leaves = pc_plain(cream);
	leaves.alpha = 0.85F;
	pc_canvas_fill(canvas, &leaves);
}

static void draw_frame(
	struct pc_canvas *canvas, float x0, float y0, float x1, float y1, struct pc_color wood)
{
	static const struct pc_color paper = PC_RGB(0xFAF5EA);
	pc_canvas_rect(canvas, x0 + 3, y0 + 5, x1 + 4, y1 + 7, 2);
	const struct pc_paint cast = { .top = shade, .bottom = shade, .alpha = 0.30F, .blur = 7 };
	pc_canvas_fill(canvas, &cast);
	pc_canvas_rect(canvas, x0, y0, x1, y1, 2);
	const struct pc_paint frame = {
		.top = wood, .bottom = scaled(wood, 0.85F), .alpha = 1, .volume = 16, .round = 5
	};
	pc_canvas_fill(canvas, &frame);
	pc_room_rect(canvas, x0 + 6, y0 + 6, x1 - 6, y1 - 6, 0, paper, paper, 0);
}

static void draw_pictures(struct pc_canvas *canvas)
{
	static const struct pc_color oak = PC_RGB(0xB08A5C);
	static const struct pc_color black = PC_RGB(0x3D3A38);
	static const struct pc_color dusk = PC_RGB(0xF2B48A);
	static const struct pc_color dusk_low = PC_RGB(0xF7DEB8);
	static const struct pc_color hill = PC_RGB(0x5E7F86);
	static const struct pc_color hill_near = PC_RGB(0x3F6268);
	static const struct pc_color sun = PC_RGB(0xE8704A);
	static const struct pc_color clay = PC_RGB(0xC9694A);
	static const struct pc_color sage = PC_RGB(0x7C9A78);
	draw_frame(canvas, 718, 116, 838, 220, oak);
	pc_canvas_rect(canvas, 732, 130, 824, 206, 0);
	const struct pc_paint sky = { .top = dusk, .bottom = dusk_low, .alpha = 1 };
	pc_canvas_fill_clip(canvas, &sky);
	pc_canvas_ellipse(canvas, 796, 160, 12, 12, 0);
	const struct pc_paint disc = pc_plain_clip(sun, 1);
	pc_canvas_fill(canvas, &disc);
	const struct pc_vec far[] = { { 700, 230 }, { 748, 164 }, { 790, 192 }, { 850, 230 } };
	pc_canvas_polygon(canvas, far, 4);
	const struct pc_paint far_hill = pc_plain_clip(hill, 1);
	pc_canvas_fill(canvas, &far_hill);
	const struct pc_vec near[] = { { 700, 240 }, { 784, 178 }, { 860, 240 } };
	pc_canvas_polygon(canvas, near, 3);
	const struct pc_paint near_hill = pc_plain_clip(hill_near, 1);
	pc_canvas_fill(canvas, &near_hill);
	/* a cat's back, seen by somebody with a brush */
	draw_frame(canvas, 866, 100, 954, 220, black);
	pc_canvas_ellipse(canvas, 910, 184, 22, 24, 0);
	pc_canvas_ellipse(canvas, 910, 150, 14, 13, 0);
	pc_canvas_polygon(
		canvas, (const struct pc_vec[]){ { 897, 148 }, { 899, 128 }, { 909, 139 } }, 3);
	pc_canvas_polygon(
		canvas, (const struct pc_vec[]){ { 911, 139 }, { 921, 128 }, { 923, 148 } }, 3);
	const struct pc_vec tail[] = { { 928, 202 }, { 938, 192 }, { 934, 176 } };
	pc_canvas_tube(canvas, tail, (const float[]){ 3.5F, 3, 2.5F }, 3);
	const struct pc_paint cat = pc_plain(black);
	pc_canvas_fill(canvas, &cat);
	/* leaves */
	draw_frame(canvas, 982, 122, 1062, 220, oak);
	for (int side = -1; side <= 1; side += 2) {
		for (int i = 0; i < 3; i++) {
			pc_canvas_ellipse(canvas, 1022 + 11 * (float)side, 186 - 17 * (float)i, 12,
				5, -0.55F * (float)side);
		}
	}
	const struct pc_paint leaves = pc_plain(sage);
	pc_canvas_fill(canvas, &leaves);
	pc_canvas_tube(canvas, (const struct pc_vec[]){ { 1022, 206 }, { 1022, 142 } },
		(const float[]){ 1.6F, 1.0F }, 2);
	const struct pc_paint stem = pc_plain(clay);
	pc_canvas_fill(canvas, &stem);
}

void pc_demo_draw_room(struct pc_canvas *canvas, unsigned width, unsigned height)
{
	draw_shell(canvas, width, height);
	draw_trim(canvas);
	draw_door(canvas);
	draw_window(canvas);
	draw_pictures(canvas);
	draw_rug(canvas);
	draw_sunlight(canvas);
	pc_room_furnish(canvas);
}
