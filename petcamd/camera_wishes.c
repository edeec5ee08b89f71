/* petcamd/camera_wishes.c - what a camera is asked for. See camera_wishes.h. */
#include "petcamd/camera_wishes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <drm_fourcc.h>

#include "hwaccel/encoder.h"
#include "hwaccel/scaler.h"

/* What hwaccel/converter.h takes: packed ones first, for a JPEG costs more to decode. */
static const uint32_t convertible[] = {
	DRM_FORMAT_NV12,
	DRM_FORMAT_YUV420,
	DRM_FORMAT_YUYV,
	DRM_FORMAT_UYVY,
	V4L2_PIX_FMT_MJPEG,
};
#define ALIGN_ANY 64 /* of lines, bytes: what all devices known are pleased with */
#define N_CONVERTIBLE (sizeof(convertible) / sizeof(convertible[0]))

static void add(struct pc_capture_wish *wishes, unsigned *n, uint32_t fourcc, uint32_t align)
{
	for (unsigned i = 0; i < *n; i++) {
		if (wishes[i].fourcc == fourcc) {
			return;
		}
	}
	if (*n < PC_CAMERA_WISHES_MAX) {
		wishes[(*n)++] = (struct pc_capture_wish){ fourcc, align };
	}
}

static const struct pc_input_format *find(
	const struct pc_input_format *formats, unsigned n, uint32_t fourcc)
{
	for (unsigned i = 0; i < n; i++) {
		if (formats[i].fourcc == fourcc) {
			return &formats[i];
		}
	}
	return NULL;
}

/* The planar format that is made where nothing is taken as it comes. */
static uint32_t choose_made(const struct pc_input_format *formats, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (formats[i].fourcc == DRM_FORMAT_YUV420 ||
			formats[i].fourcc == DRM_FORMAT_NV12) {
			return formats[i].fourcc;
		}
	}
	return DRM_FORMAT_YUV420;
}

/* "MJPG" -> its code; 0: any. */
static uint32_t forced_format(const char *name)
{
	if (strlen(name) != 4) {
		return 0; /* "auto" */
	}
	return pc_v4l2_to_drm(v4l2_fourcc(name[0], name[1], name[2], name[3]));
}

static void keep_only(struct pc_capture_wish *wishes, unsigned *n, uint32_t fourcc)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < *n; i++) {
		if (wishes[i].fourcc == fourcc) {
			wishes[kept++] = wishes[i];
		}
	}
	*n = kept;
}

static int apply_setting(
	const char *format, struct pc_camera_wishes *wishes, char *why, size_t why_size)
{
	if (strcmp(format, "auto") == 0 || format[0] == '\0') {
		return 0;
	}
	const uint32_t fourcc = forced_format(format);
	if (fourcc != 0) {
		keep_only(wishes->direct, &wishes->n_direct, fourcc);
		keep_only(wishes->convert, &wishes->n_convert, fourcc);
	}
	if (fourcc == 0 || wishes->n_direct + wishes->n_convert == 0) {
		snprintf(why, why_size,
			"cameras.[].format: \"%s\" is taken by no encoder here: use auto", format);
		return -EINVAL;
	}
	return 0;
}

int pc_camera_wishes_make(const struct pc_source_config *config, char *why, size_t why_size,
	struct pc_camera_wishes *ret_wishes)
{
	const struct pc_camera_settings *camera = config->camera;
	struct pc_input_format coded[PC_CAMERA_WISHES_MAX];
	struct pc_input_format scaled[PC_CAMERA_WISHES_MAX];
	struct pc_camera_wishes wishes = { .n_direct = 0 };
	bool scaler_dmabuf = false;
	unsigned n_coded = pc_encoder_inputs(config->encoder, config->encoder_device, camera->width,
		camera->height, coded, PC_CAMERA_WISHES_MAX, &wishes.dmabuf);
	const unsigned n_scaled =
		config->scaler == NULL
			? 0
			: pc_scaler_inputs(config->scaler, config->scaler_device, camera->width,
				  camera->height, scaled, PC_CAMERA_WISHES_MAX, &scaler_dmabuf);
	if (n_coded == 0) {
		/* None at this moment: what every encoder takes. It is the encoder's to say. */
		coded[n_coded++] = (struct pc_input_format){ DRM_FORMAT_NV12, ALIGN_ANY };
		coded[n_coded++] = (struct pc_input_format){ DRM_FORMAT_YUV420, ALIGN_ANY };
	}
	for (unsigned i = 0; i < n_coded; i++) {
		const struct pc_input_format *other = find(scaled, n_scaled, coded[i].fourcc);
		if (other != NULL) { /* powers of two: the larger does for both */
			add(wishes.direct, &wishes.n_direct, coded[i].fourcc,
				coded[i].stride_align > other->stride_align ? coded[i].stride_align
									    : other->stride_align);
		}
	}
	for (unsigned i = 0; i < n_coded; i++) {
		add(wishes.direct, &wishes.n_direct, coded[i].fourcc, coded[i].stride_align);
	}
	for (unsigned i = 0; i < N_CONVERTIBLE; i++) {
		add(wishes.convert, &wishes.n_convert, convertible[i], 1);
	}
	wishes.made = choose_made(coded, n_coded);
	const int r = apply_setting(camera->format, &wishes, why, why_size);
	if (r < 0) {
		return r;
	}
	if (wishes.dmabuf) {
		struct pc_v4l2_node node = { .path = "" };
		if (config->encoder_device != NULL && config->encoder_device[0] != '\0') {
			snprintf(wishes.encoder, sizeof(wishes.encoder), "%s",
				config->encoder_device);
		} else if (pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &node) == 0) {
			snprintf(wishes.encoder, sizeof(wishes.encoder), "%s", node.path);
		}
	}
	*ret_wishes = wishes;
	return 0;
}
