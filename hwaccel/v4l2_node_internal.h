/* hwaccel/v4l2_node_internal.h - the node of a member, and what goes into it; for encoder_v4l2.c
 * and scaler_v4l2.c only. */
#ifndef PC_HWACCEL_V4L2_NODE_INTERNAL_H
#define PC_HWACCEL_V4L2_NODE_INTERNAL_H

#include <stddef.h>

#include "hwaccel/encoder.h"
#include "v4l2/device.h"

/* The node `device` if that is of `role`, or (NULL, "") the first of that role from `in` to `out`
 * (V4L2_PIX_FMT_*; in 0: any). 0 or negative errno with `why`. */
int pc_v4l2_node_find(enum pc_v4l2_role role, const char *device, uint32_t in, uint32_t out,
	struct pc_v4l2_node *ret_node, char *why, size_t why_size);

/* As pc_encoder_inputs(): what such a node takes at this size, best first. */
unsigned pc_v4l2_node_inputs(enum pc_v4l2_role role, const char *device, uint32_t out,
	unsigned width, unsigned height, struct pc_input_format *formats, unsigned max,
	bool *ret_dmabuf);

#endif
