/* hwaccel/encoder_v4l2_internal.h - how the device is asked to encode; for encoder_v4l2.c only. */
#ifndef PC_HWACCEL_ENCODER_V4L2_INTERNAL_H
#define PC_HWACCEL_ENCODER_V4L2_INTERNAL_H

#include "hwaccel/encoder_internal.h"
#include "v4l2/m2m.h"

/* What bit rates the device has, bit/s. */
struct pc_encoder_v4l2_rates {
	uint32_t min, max;
};

/* Fills *ret_config, which keeps `path`, and *ret_rates. 0 or -EINVAL with `why`. */
int pc_encoder_v4l2_setup(const struct pc_encoder_config *config, const char *path,
	struct pc_m2m_config *ret_config, struct pc_encoder_v4l2_rates *ret_rates, char *why,
	size_t why_size);

/* The nearest that the device has, bit/s. */
int32_t pc_encoder_v4l2_fit_bitrate(const struct pc_encoder_v4l2_rates *rates, unsigned kbps);

#endif
