/* petcamd/demo_body.h - between demo_pets.c (bodies) and demo_heads.c. */
#ifndef PC_PETCAMD_DEMO_BODY_H
#define PC_PETCAMD_DEMO_BODY_H

#include "petcamd/demo_internal.h"

/* The canvas is set to the head's own space: its radius is 1, y up, x to where the
 * body faces. */
void pc_demo_draw_cat_head(struct pc_canvas *canvas, const struct pc_pose *pose);
void pc_demo_draw_dog_head(struct pc_canvas *canvas, const struct pc_pose *pose);

#define PC_RGB(hex)                                                                                \
	{                                                                                          \
		(float)((hex) >> 16 & 255) / 255, (float)((hex) >> 8 & 255) / 255,                 \
			(float)((hex)&255) / 255                                                   \
	}

static inline struct pc_color pc_color_mix(struct pc_color a, struct pc_color b, float k)
{
	return (struct pc_color){ pc_mixf(a.r, b.r, k), pc_mixf(a.g, b.g, k),
		pc_mixf(a.b, b.b, k) };
}

/* One colour, no light. */
static inline struct pc_paint pc_plain(struct pc_color color)
{
	return (struct pc_paint){ .top = color, .bottom = color, .alpha = 1 };
}

static inline struct pc_paint pc_plain_clip(struct pc_color color, float alpha)
{
	return (struct pc_paint){ .top = color, .bottom = color, .alpha = alpha, .clip = true };
}

#endif
