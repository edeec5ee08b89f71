/* petcamd/probe_buffers.h - buffers of each memory there is, for the probe's trials.
 *
 * Always as many as petcam itself takes: in a fresh kernel some scattered buffers are contiguous by
 * luck, and one lucky buffer proves nothing.
 */
#ifndef PC_PETCAMD_PROBE_BUFFERS_H
#define PC_PETCAMD_PROBE_BUFFERS_H

#include "hwaccel/allocator.h"
#include "v4l2/device.h"
#include "v4l2/import_test.h"

#define PC_PROBE_BUFFERS 8

enum pc_probe_memory {
	PC_PROBE_CAMERA, /* the camera's own buffers, by EXPBUF */
	PC_PROBE_ENCODER, /* the encoder's input buffers, by EXPBUF */
	PC_PROBE_HEAP,
	PC_PROBE_DRM,
};

/* A camera's queue, taken for a moment, and the format that it had before. */
struct pc_probe_camera {
	struct pc_v4l2 *device;
	struct pc_v4l2_node node;
	uint32_t type;
	struct v4l2_format before;
};

/* Takes the queue of a camera that nobody has. 0; -EBUSY: somebody has, and nothing was done;
 * or other negative errno, with `why`. */
int pc_probe_camera_open(
	const char *path, struct pc_probe_camera *camera, char *why, size_t why_size);

/* Frees the queue's buffers of this `memory` (V4L2_MEMORY_*) and puts the format back. */
void pc_probe_camera_close(struct pc_probe_camera *camera, uint32_t memory);

/* Sets test->format, as near as the camera comes to it; what it became goes into *test. */
int pc_probe_camera_set_format(struct pc_probe_camera *camera, struct pc_v4l2_import_test *test,
	char *why, size_t why_size);

/* Queues a buffer on the camera, of the first of `count` asked for; for `index` 0 it asks. */
int pc_probe_camera_queue(struct pc_probe_camera *camera, const struct pc_v4l2_import_test *test,
	unsigned index, unsigned count, char *why, size_t why_size);

struct pc_probe_buffers {
	unsigned n;
	int fds[PC_PROBE_BUFFERS];
	/* private */
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool; /* of the encoder's, which gives pictures only */
	struct pc_frame *frames[PC_PROBE_BUFFERS];
};

/* `count` buffers of test->size bytes, or of the encoder's own layout, which goes into *test
 * then. 0 or negative errno with `why`; finish() either way. */
int pc_probe_buffers_allocate(struct pc_probe_buffers *buffers, enum pc_probe_memory memory,
	const char *path, unsigned count, struct pc_v4l2_import_test *test, char *why,
	size_t why_size);

/* The same of the camera's own, whose format is set. */
int pc_probe_buffers_export(struct pc_probe_buffers *buffers, struct pc_probe_camera *camera,
	unsigned count, char *why, size_t why_size);

/* Zeroed or half-made ones are fine. */
void pc_probe_buffers_finish(struct pc_probe_buffers *buffers);

#endif
