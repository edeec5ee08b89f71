/* petcamd/demo.h - the demo room: two pets live through a scripted day.
 *
 * The scene (who is where, doing what, at a time) is apart from the drawing, so
 * that tests read the ground truth without a pixel. Everything follows from the
 * seed and the time: the same room twice is the same room.
 *
 * A day lasts PC_DEMO_DAY_S seconds at speed 1 and then begins again, with other
 * paths. Within it, each pet: enters by the door, walks, plays with a ball, eats
 * at the bowl, grooms, jumps on the sofa, lies and sleeps there, and leaves; for
 * some stretch nobody is in the room and nothing moves.
 *
 * Thread: a scene and a painter belong to one thread each.
 */
#ifndef PC_PETCAMD_DEMO_H
#define PC_PETCAMD_DEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"

#define PC_DEMO_PETS 2
#define PC_DEMO_DAY_S 240

struct pc_demo_scene;
struct pc_demo_painter;

enum pc_demo_action {
	PC_DEMO_AWAY, /* not in the room */
	PC_DEMO_WALK,
	PC_DEMO_PLAY,
	PC_DEMO_EAT,
	PC_DEMO_GROOM,
	PC_DEMO_JUMP,
	PC_DEMO_LIE, /* awake */
	PC_DEMO_SLEEP,
	PC_DEMO_SIT,
};
const char *pc_demo_action_name(enum pc_demo_action action);

/* The truth about one pet at one time. */
struct pc_demo_truth {
	const char *name; /* "Miso", "Rufus" */
	enum pc_species species;
	enum pc_demo_action action;
	bool visible; /* any of it is in the picture */
	struct pc_box box; /* of what can be seen; w 0 when not visible */
	bool moving; /* its place changes faster than a twitch */
};

int pc_demo_scene_create(uint64_t seed, struct pc_demo_scene **ret_scene);
void pc_demo_scene_destroy(struct pc_demo_scene *scene);

/* `t_s`: seconds since the room began, any order. */
void pc_demo_scene_truth(
	struct pc_demo_scene *scene, double t_s, struct pc_demo_truth truth[static PC_DEMO_PETS]);

/* The room's fixed areas (bowl, sofa, door, bed) as zones, and the barcode's strip
 * as a mask. Returns the number written, at most PC_ZONES_MAX. */
unsigned pc_demo_zones(struct pc_zone zones[static PC_ZONES_MAX]);
unsigned pc_demo_masks(struct pc_zone masks[static PC_ZONES_MAX]);

/* Draws I420 pictures of one size (even, at least 256 x 144). The background is
 * rendered once; a frame costs one copy of it and the pets. */
int pc_demo_painter_create(struct pc_demo_scene *scene, unsigned width, unsigned height,
	struct pc_demo_painter **ret_painter);
void pc_demo_painter_destroy(struct pc_demo_painter *painter);

/* The picture at `t_s`, with the barcode (frame, utc_ms) in its corner. */
void pc_demo_paint(struct pc_demo_painter *painter, double t_s, uint32_t frame, int64_t utc_ms,
	uint8_t *const planes[static 3], const uint32_t strides[static 3]);

#endif
