/* petcamd/demo_room.h - between demo_room.c (the shell) and demo_furniture.c. */
#ifndef PC_PETCAMD_DEMO_ROOM_H
#define PC_PETCAMD_DEMO_ROOM_H

#include "petcamd/demo_internal.h"

void pc_room_rect(struct pc_canvas *canvas, float x0, float y0, float x1, float y1, float r,
	struct pc_color top, struct pc_color bottom, float volume);
/* A soft spot: shadow, or light with `add`. */
void pc_room_soft(struct pc_canvas *canvas, float x, float y, float rx, float ry,
	struct pc_color color, float alpha, float blur, bool add);

/* Everything that stands in the room, with its shadows. */
void pc_room_furnish(struct pc_canvas *canvas);

#endif
