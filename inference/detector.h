/* inference/detector.h - what is in the small frame: boxes with classes.
 *
 * Members: `motion` (whatever moves, of unknown species). The neural one joins
 * it and falls back to it.
 *
 * Thread: one at a time (the inference thread). May compute for long.
 */
#ifndef PC_INFERENCE_DETECTOR_H
#define PC_INFERENCE_DETECTOR_H

#include <stdint.h>

#include "core/event.h"
#include "inference/motion.h"

struct pc_detector;

struct pc_detection {
	struct pc_box box;
	enum pc_species species;
	float score; /* 0..1 */
	float energy; /* pc_motion_box.energy of what moves in it */
	float sway; /* pc_motion_box.sway */
};

#define PC_DETECTIONS_MAX 32

struct pc_detections {
	unsigned n;
	struct pc_detection items[PC_DETECTIONS_MAX]; /* best first */
	bool light_change; /* the three as in pc_motion_result */
	bool unsteady;
	bool learning;
};

struct pc_detector_impl {
	const char *name;
	int (*detect)(struct pc_detector *detector, const uint8_t *rgb, unsigned stride,
		int64_t capture_ns, struct pc_detections *ret);
	void (*reset)(struct pc_detector *detector);
	void (*destroy)(struct pc_detector *detector);
};

/* The motion member. */
int pc_detector_create_motion(
	const struct pc_motion_config *config, struct pc_detector **ret_detector);

const char *pc_detector_name(const struct pc_detector *detector);
/* 0, or negative errno: *ret is then empty. */
int pc_detector_detect(struct pc_detector *detector, const uint8_t *rgb, unsigned stride,
	int64_t capture_ns, struct pc_detections *ret);
void pc_detector_reset(struct pc_detector *detector);
void pc_detector_destroy(struct pc_detector *detector); /* NULL is fine */

#endif
