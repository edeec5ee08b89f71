/* v4l2/m2m_internal.h - what m2m.c and m2m_format.c share. */
#ifndef PC_V4L2_M2M_INTERNAL_H
#define PC_V4L2_M2M_INTERNAL_H

#include "v4l2/m2m.h"
#include "v4l2/m2m_slots.h"

#define PC_M2M_PENDING_MAX 128 /* inputs without an output; a power of two */

/* One of the two queues, as the device agreed to it. */
struct pc_m2m_queue {
	uint32_t type; /* V4L2_BUF_TYPE_* */
	uint32_t memory; /* V4L2_MEMORY_* */
	size_t size; /* sizeimage */
	uint32_t stride; /* bytesperline; 0: coded */
	unsigned n; /* buffers */
	unsigned queued; /* of them in the device */
};

/* An index of the input queue. */
struct pc_m2m_in_buffer {
	struct pc_m2m *m2m;
	struct pc_frame *frame; /* with a reference; NULL: idle */
	uint64_t stamp_us; /* of its input */
	bool queued;
	int fence_fd; /* -1: none, or it has signalled */
	struct pc_loop_source *fence; /* NULL: not waited for */
};

/* An index of the output queue. */
struct pc_m2m_out_buffer {
	void *map; /* NULL with out_dmabuf */
	size_t size; /* bytes mapped */
	struct pc_frame *frame; /* out_dmabuf: with a reference while queued */
	bool queued;
};

/* An input whose output has not come. */
struct pc_m2m_pending {
	struct pc_m2m_input input;
	uint64_t stamp_us;
	bool done;
};

struct pc_m2m {
	struct pc_loop *loop;
	const struct pc_m2m_events *events;
	void *data;
	struct pc_v4l2 *device;
	struct pc_loop_source *source;
	char name[PC_V4L2_PATH_MAX + 20];

	struct pc_m2m_queue in, out;
	struct pc_m2m_slots *in_slots;
	struct pc_m2m_slots *out_slots; /* NULL without out_dmabuf */
	struct pc_m2m_in_buffer in_buffers[PC_M2M_SLOTS_MAX];
	struct pc_m2m_out_buffer out_buffers[PC_M2M_SLOTS_MAX];
	unsigned n_in_planes;
	struct pc_frame_plane in_planes[PC_FRAME_MAX_PLANES];
	size_t in_length; /* bytes of a dma-buf that goes in */
	bool out_dmabuf;
	bool coded;

	struct pc_m2m_pending pending[PC_M2M_PENDING_MAX]; /* a ring, by the order of submission */
	unsigned first, n_pending;
	uint64_t last_stamp_us;

	uint32_t waits_for; /* epoll events, as set */
	bool streaming;
	bool draining, drained;
	bool failed;
	bool dispatching; /* callbacks run, which may close us: */
	bool closed; /* then only this struct is left, and freed after them */
	int64_t drain_ns;
	int64_t last_return_ns; /* 0: none yet */
	int64_t silent_ns; /* inputs have come back for so long, and nothing came out */
	struct pc_m2m_stats stats;
};

/* S_FMT on both queues, S_PARM, the controls. Fills type, size and stride of both queues. 0 or
 * negative errno with `why`. */
int pc_m2m_negotiate(struct pc_v4l2 *device, const struct pc_v4l2_node *node,
	const struct pc_m2m_config *config, struct pc_m2m_queue *in, struct pc_m2m_queue *out,
	char *why, size_t why_size);

/* REQBUFS. `n` buffers are wished; queue->n is what came, at most `max`. */
int pc_m2m_request(struct pc_v4l2 *device, struct pc_m2m_queue *queue, unsigned n, unsigned max,
	char *why, size_t why_size);

/* Gives an output buffer of the device's own to it. 0 or negative errno. */
int pc_m2m_requeue(struct pc_m2m *m2m, unsigned index);

/* Asks epoll for what can come. */
void pc_m2m_update_waiting(struct pc_m2m *m2m);

/* Lets go of an input's frame, once its fence has signalled: waits for it at most `wait_ms`. */
void pc_m2m_release_input(struct pc_m2m_in_buffer *buffer, int wait_ms);

/* The callback of the device's fd. */
void pc_m2m_on_ready(void *data, int fd, uint32_t revents);

#endif
