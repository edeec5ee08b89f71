/* v4l2/capture_internal.h - what the three files of capture share.
 *
 * capture_format.c sets the node up (input, format, rate), capture_buffers.c owns the
 * buffers and gives them back to the driver, capture.c opens, dequeues and closes.
 */
#ifndef PC_V4L2_CAPTURE_INTERNAL_H
#define PC_V4L2_CAPTURE_INTERNAL_H

#include <pthread.h>

#include "v4l2/capture.h"

#define CAPTURE_BUFFERS_MAX 32

/* Where a sentence for people goes. */
struct capture_why {
	char *text;
	size_t size;
};

/* Writes the sentence and returns `err`. */
int capture_explain(const struct capture_why *why, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "NV12" for messages. */
#define CAPTURE_CODE_SIZE 5
const char *capture_code(uint32_t fourcc, char out[static CAPTURE_CODE_SIZE]);

/* A node that is being set up. */
struct capture_node {
	struct pc_v4l2 *device;
	uint32_t type; /* V4L2_BUF_TYPE_VIDEO_CAPTURE or _MPLANE */
	uint32_t input;
	double signal_fps; /* of the signal at the input; 0: unknown */
};

/* The input: is there a signal, and are the node's timings its timings? */
int capture_input(struct capture_node *node, const struct capture_why *why);

/* Sets format and rate; fills format, planes, size, fps and converted of *info. */
int capture_negotiate(struct capture_node *node, const struct pc_capture_config *config,
	struct pc_capture_info *info, const struct capture_why *why);

struct capture_core;

struct capture_buffer {
	struct pc_frame frame; /* first: a frame is cast to its buffer */
	struct capture_core *core;
	uint32_t index;
	int fd; /* its dma-buf; -1: it has none */
	void *map; /* NULL: not mapped (yet) */
	bool queued; /* it is the driver's */
	bool returned; /* ours and free, not queued yet */
	uint32_t sequence; /* of the picture that it held last */
};

/* Buffers and what their frames need; lives until the last frame is unreffed. */
struct capture_core {
	pthread_mutex_t lock; /* guards what stands below, and each buffer's map and flags */
	unsigned refs; /* frames that are out, and the capture itself */
	struct pc_v4l2 *device; /* NULL once closed */
	struct pc_wakeup *wakeup; /* the loop has to look at `error` or `resting` */
	bool closed; /* nothing goes back to the driver any more */
	bool resting; /* the loop does not wait for buffers: none was queued */
	int error; /* of a buffer that could not be queued; 0: none */
	unsigned n_queued;
	unsigned next; /* libcamerify: the buffer whose turn it is to be queued */

	/* From here on nothing changes. */
	uint32_t type;
	uint32_t memory; /* V4L2_MEMORY_* */
	bool in_order; /* libcamerify: queued in the order of their indices */
	size_t size;
	unsigned n_buffers;
	struct capture_buffer buffers[CAPTURE_BUFFERS_MAX];
};

/* Asks for buffers of info->size, exports or imports or maps them, and queues them all.
 * Fills info->buffers, memory and size; `data` is for config->provide. On success the core owns node->device. */
int capture_core_create(const struct capture_node *node, const struct pc_capture_config *config,
	void *data, struct pc_capture_info *info, const struct capture_why *why,
	struct capture_core **ret_core);

/* Is it the driver's? */
bool capture_core_is_queued(struct capture_core *core, const struct capture_buffer *buffer);

/* The buffer was dequeued: hands it out as a frame with one reference. *ret_starved: it was
 * the last that the driver had. */
struct pc_frame *capture_core_take(
	struct capture_core *core, struct capture_buffer *buffer, bool *ret_starved);

/* The buffer was dequeued and holds nothing of use: back to the driver. */
void capture_core_skip(struct capture_core *core, struct capture_buffer *buffer);

/* True, and the core's wakeup is signalled at the next buffer that comes back, if the driver
 * has none. */
bool capture_core_rest(struct capture_core *core);

/* The end of that rest. 0, or why a buffer could not be queued. */
int capture_core_wake(struct capture_core *core);

/* Under no lock of the caller's: STREAMOFF; streaming ends and the node is closed, as far as frames that are out allow. */
void capture_core_close(struct capture_core *core);

#endif
