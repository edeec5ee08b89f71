/* hwaccel/allocator_choose.c - which memory sources that draw with the CPU should use. */
#define PC_LOG_MODULE "allocator"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "core/log.h"
#include "hwaccel/allocator_internal.h"
#include "v4l2/device.h"
#include "v4l2/import_test.h"

#define WHY_MAX 256

/* A size that every encoder takes, in lines that need no padding. */
static const struct pc_frame_format trial_formats[] = {
	{ DRM_FORMAT_YUV420, 640, 480, DRM_FORMAT_MOD_LINEAR },
	{ DRM_FORMAT_NV12, 640, 480, DRM_FORMAT_MOD_LINEAR },
};

static int try_frame(const struct pc_frame *frame, const char *encoder, char *why, size_t why_size)
{
	const off_t size = lseek(frame->planes[0].fd, 0, SEEK_END);
	struct pc_v4l2_import_test test = {
		.path = encoder,
		.format = frame->format,
		.n_planes = frame->n_planes,
		.size = size > 0 ? (size_t)size : 0,
		.fd = frame->planes[0].fd,
	};
	memcpy(test.planes, frame->planes, sizeof(test.planes));
	return pc_v4l2_import_test(&test, why, why_size);
}

/* Does the encoder take a buffer of this allocator's? */
static int try_allocator(
	struct pc_allocator *allocator, const char *encoder, char *why, size_t why_size)
{
	int r = -EINVAL;
	for (size_t i = 0; i < sizeof(trial_formats) / sizeof(trial_formats[0]); i++) {
		struct pc_frame *frame = NULL;
		r = allocator->impl->allocate(allocator, &trial_formats[i], &frame);
		if (r < 0) {
			snprintf(why, why_size, "gives no buffer: %s", pc_strerror(r));
			continue;
		}
		r = try_frame(frame, encoder, why, why_size);
		allocator->impl->free(allocator, frame);
		if (r == 0) {
			break;
		}
	}
	return r;
}

static int create_heap(const char *encoder, char *why, size_t why_size, struct pc_allocator **ret)
{
	return pc_allocator_create_heap(NULL, why, why_size, ret);
}

static int create_drm(const char *encoder, char *why, size_t why_size, struct pc_allocator **ret)
{
	return pc_allocator_create_drm(NULL, why, why_size, ret);
}

/* The better one first: heaps are cached, the others may not be. */
static const struct {
	const char *name;
	int (*create)(const char *encoder, char *why, size_t why_size,
		struct pc_allocator **ret_allocator);
} members[] = {
	{ "heap", create_heap },
	{ "drm", create_drm },
	{ "expbuf", pc_allocator_create_expbuf },
};

/* 0 or negative errno; `reasons` collects why not the better ones. */
static int create_importable(const char *encoder, char *reasons, size_t reasons_size,
	struct pc_allocator **ret_allocator)
{
	int r = -ENODEV;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		char why[WHY_MAX] = "";
		struct pc_allocator *allocator = NULL;
		r = members[i].create(encoder, why, sizeof(why), &allocator);
		if (r == 0) {
			r = try_allocator(allocator, encoder, why, sizeof(why));
		}
		if (r == 0) {
			*ret_allocator = allocator;
			return 0;
		}
		pc_allocator_destroy(allocator);
		const size_t used = strlen(reasons);
		snprintf(reasons + used, reasons_size - used, "%s%s: %s", used > 0 ? "; " : "",
			members[i].name, why[0] != '\0' ? why : pc_strerror(r));
	}
	return r;
}

int pc_allocator_create_for(const char *encoder_choice, struct pc_allocator **ret_allocator)
{
	struct pc_v4l2_node encoder;
	char reasons[3 * WHY_MAX] = "";
	if (strcmp(encoder_choice, "auto") != 0 && strcmp(encoder_choice, "v4l2m2m") != 0) {
		snprintf(reasons, sizeof(reasons), "the encoder is %s", encoder_choice);
	} else if (pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &encoder) < 0) {
		snprintf(reasons, sizeof(reasons), "no V4L2 encoder here");
	} else {
		struct pc_allocator *allocator = NULL;
		if (create_importable(encoder.path, reasons, sizeof(reasons), &allocator) == 0) {
			pc_info("pictures are made in %s memory, which %s imports%s%s%s",
				pc_allocator_name(allocator), encoder.path,
				reasons[0] != '\0' ? " (" : "", reasons,
				reasons[0] != '\0' ? ")" : "");
			*ret_allocator = allocator;
			return 0;
		}
	}
	const int r = pc_allocator_create_memfd(ret_allocator);
	if (r == 0) {
		pc_info("pictures are made in plain memory (%s)", reasons);
	}
	return r;
}
