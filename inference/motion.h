/* inference/motion.h - what moves in the small frame.
 *
 * An adaptive background of colour in cells of about 1/160 of the width, each with
 * the noise that it shows by itself. A change of light, slow or sudden, is divided out
 * or learnt, not reported. Foreground is a thing once it has moved against a calm
 * picture; it stays one for half a minute after it has stopped, so that a cat that sits
 * down is not lost at once. What it leaves behind is known by its outline, and gone
 * within a second or two.
 *
 * Thread: one at a time. Nothing blocks; nothing is allocated after create.
 */
#ifndef PC_INFERENCE_MOTION_H
#define PC_INFERENCE_MOTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"

struct pc_motion;

struct pc_motion_config {
	unsigned width, height; /* of the small frame, pixels */
	double rate; /* nominal frames a second */
	double sensitivity; /* 0..1, 0.5 as measured */
	double min_area; /* smallest box, part of the picture */
	const struct pc_zone *masks; /* copied; pixels in them are never looked at */
	unsigned n_masks;
};

#define PC_MOTION_BOXES_MAX 32
#define PC_MOTION_SWAY_S 1.0 /* at the most */

struct pc_motion_box {
	struct pc_box box;
	float area; /* changed part of the picture, 0..1 */
	float energy; /* how much changes from frame to frame in it, 0..1: stillness is 0 */
	float sway; /* the same over PC_MOTION_SWAY_S: who stands, sways */
};

struct pc_motion_result {
	unsigned n_boxes; /* largest first */
	struct pc_motion_box boxes[PC_MOTION_BOXES_MAX];
	float changed; /* part of the picture that is foreground */
	bool light_change; /* the whole picture changed: boxes were withheld */
	bool unsteady; /* the light is changing, or the camera moves: new boxes may be that */
	bool learning; /* the camera has just begun: boxes are not to be believed yet */
};

int pc_motion_create(const struct pc_motion_config *config, struct pc_motion **ret_motion);
void pc_motion_destroy(struct pc_motion *motion); /* NULL is fine */

/* `rgb` is packed, `stride` bytes a line; `capture_ns` never goes back. */
void pc_motion_feed(struct pc_motion *motion, const uint8_t *rgb, unsigned stride,
	int64_t capture_ns, struct pc_motion_result *ret);

/* Forget everything: the picture's source has changed. */
void pc_motion_reset(struct pc_motion *motion);

#endif
