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
	{ DRM_FORMAT_YUV420, 1280, 720, DRM_FORMAT_MOD_LINEAR },
	{ DRM_FORMAT_NV12, 1280, 720, DRM_FORMAT_MOD_LINEAR },
};

/* As many as a camera has: contiguous memory for one says little of eight. */
#define TRIAL_FRAMES 8u

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

/* Has it as many buffers as are needed, and does the encoder take them? The first stands for
 * all: they are of one kind. */
static int try_format(struct pc_allocator *allocator, const struct pc_frame_format *format,
	const char *encoder, char *why, size_t why_size)
{
	struct pc_frame *frames[TRIAL_FRAMES];
	unsigned n = 0;
	int r = 0;
	while (n < TRIAL_FRAMES && r == 0) {
		r = allocator->impl->allocate(allocator, format, &frames[n]);
		n += r == 0 ? 1 : 0;
	}
	if (r == 0) {
		r = try_frame(frames[0], encoder, why, why_size);
	} else if (n == 0) {
		snprintf(why, why_size, "gives no buffer: %s", pc_strerror(r));
	} else {
		snprintf(why, why_size, "gives %u buffers of %u: %s", n, TRIAL_FRAMES,
			pc_strerror(r));
	}
	while (n > 0) {
		allocator->impl->free(allocator, frames[--n]);
	}
	return r;
}

static int try_allocator(
	struct pc_allocator *allocator, const char *encoder, char *why, size_t why_size)
{
	int r = -EINVAL;
	for (size_t i = 0; i < sizeof(trial_formats) / sizeof(trial_formats[0]) && r != 0; i++) {
		r = try_format(allocator, &trial_formats[i], encoder, why, why_size);
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
