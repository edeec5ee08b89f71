/* petcamd/camera_wishes.h - what a camera is asked for, by what the devices behind it take.
 *
 * First what encoder and scaler both take as it is, then what the encoder takes (the scaler
 * looks at fewer frames, and has a software twin), and apart from both what must be decoded or
 * converted on the CPU first.
 *
 * Thread: any; it asks the devices, which takes some ms.
 */
#ifndef PC_PETCAMD_CAMERA_WISHES_H
#define PC_PETCAMD_CAMERA_WISHES_H

#include "petcamd/source.h"
#include "v4l2/capture.h"

#define PC_CAMERA_WISHES_MAX 16

struct pc_camera_wishes {
	unsigned n_direct;
	struct pc_capture_wish direct[PC_CAMERA_WISHES_MAX];
	unsigned n_convert;
	struct pc_capture_wish convert[PC_CAMERA_WISHES_MAX];
	uint32_t made; /* DRM_FORMAT_*: what a converter should make of the others */
	bool dmabuf; /* the encoder is a device that imports */
	char encoder[PC_V4L2_PATH_MAX]; /* its node then */
};

/* 0; -EINVAL, `why` filled: the setting "format" names none that can be used. */
int pc_camera_wishes_make(const struct pc_source_config *config, char *why, size_t why_size,
	struct pc_camera_wishes *ret_wishes);

#endif
