/* inference/detector.c - the detector's face and its motion member; see detector.h. */
#include "inference/detector.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* The base of every member: first in its struct. */
struct pc_detector {
	const struct pc_detector_impl *impl;
};

struct motion_detector {
	struct pc_detector base;
	struct pc_motion *motion;
};

static_assert((int)PC_DETECTIONS_MAX >= (int)PC_MOTION_BOXES_MAX, "every box is a detection");

static int motion_detect(struct pc_detector *detector, const uint8_t *rgb, unsigned stride,
	int64_t capture_ns, struct pc_detections *ret)
{
	struct motion_detector *self = (struct motion_detector *)detector;
	struct pc_motion_result result;
	pc_motion_feed(self->motion, rgb, stride, capture_ns, &result);
	ret->light_change = result.light_change;
	ret->unsteady = result.unsteady;
	ret->learning = result.learning;
	ret->n = result.n_boxes;
	for (unsigned i = 0; i < result.n_boxes; i++) {
		const struct pc_motion_box *box = &result.boxes[i];
		/* Something that fills its box is more of a thing than crumbs in a frame. */
		const float fill = box->area / (box->box.w * box->box.h);
		ret->items[i] = (struct pc_detection){
			.box = box->box,
			.species = PC_SPECIES_UNKNOWN,
			.score = fill < 0.5f ? 2 * fill : 1,
			.energy = box->energy,
			.sway = box->sway,
		};
	}
	return 0;
}

static void motion_reset(struct pc_detector *detector)
{
	pc_motion_reset(((struct motion_detector *)detector)->motion);
}

static void motion_destroy(struct pc_detector *detector)
{
	struct motion_detector *self = (struct motion_detector *)detector;
	pc_motion_destroy(self->motion);
	free(self);
}

static const struct pc_detector_impl motion_impl = {
	.name = "motion",
	.detect = motion_detect,
	.reset = motion_reset,
	.destroy = motion_destroy,
};

int pc_detector_create_motion(
	const struct pc_motion_config *config, struct pc_detector **ret_detector)
{
	struct motion_detector *self = calloc(1, sizeof(*self));
	if (self == NULL) {
		return -ENOMEM;
	}
	self->base.impl = &motion_impl;
	const int r = pc_motion_create(config, &self->motion);
	if (r < 0) {
		free(self);
		return r;
	}
	*ret_detector = &self->base;
	return 0;
}

const char *pc_detector_name(const struct pc_detector *detector)
{
	return detector->impl->name;
}

int pc_detector_detect(struct pc_detector *detector, const uint8_t *rgb, unsigned stride,
	int64_t capture_ns, struct pc_detections *ret)
{
	*ret = (struct pc_detections){ 0 };
	const int r = detector->impl->detect(detector, rgb, stride, capture_ns, ret);
	if (r < 0) {
		*ret = (struct pc_detections){ 0 };
		return r;
	}
	assert(ret->n <= PC_DETECTIONS_MAX);
	return 0;
}

void pc_detector_reset(struct pc_detector *detector)
{
	detector->impl->reset(detector);
}

void pc_detector_destroy(struct pc_detector *detector)
{
	if (detector != NULL) {
		detector->impl->destroy(detector);
	}
}
