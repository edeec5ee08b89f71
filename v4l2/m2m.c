/* v4l2/m2m.c - one client of stateful memory-to-memory devices; see m2m.h.
 *
 * A frame costs four ioctls (QBUF and DQBUF on either queue) and one epoll_wait: each turn
 * takes one buffer from each queue that epoll says is ready, and never asks in vain.
 *
 * v4l2_m2m_poll() answers POLLERR as long as neither queue has a buffer, and epoll always
 * listens to that. It looks only where POLLIN or POLLOUT is asked for (v4l2-mem2mem.c,
 * v4l2_m2m_poll()), so nothing is asked for while nothing is queued.
 */
#include "v4l2/m2m_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"

#define ABORTED_NS (2 * PC_NS_PER_S) /* returned so long ago, it gives no output any more */
#define SILENCE_NS PC_NS_PER_S /* inputs that come back and no output: an owed one from then on */
#define RETURN_GAP_NS (PC_NS_PER_S / 2) /* the most that one input tells of a silence */
#define LATE_NS (PC_NS_PER_S / 2) /* returned so long ago, it takes no picture from others */

static bool alive(const struct pc_m2m *m2m)
{
	return !m2m->closed && !m2m->failed;
}

static void fail(struct pc_m2m *m2m, int err, const char *what)
{
	m2m->failed = true;
	pc_loop_remove(m2m->source); /* POLLERR and POLLHUP cannot be masked */
	m2m->source = NULL;
	m2m->events->failed(m2m->data, err, what);
}

/* What epoll is to tell us; see the head of this file. */
void pc_m2m_update_waiting(struct pc_m2m *m2m)
{
	uint32_t events = EPOLLPRI;
	if (m2m->drained) {
		events |= m2m->in.queued > 0 ? EPOLLOUT : 0;
	} else if (m2m->out.queued > 0 || m2m->in.queued > 0) {
		events |= EPOLLIN | EPOLLOUT;
	}
	if (events == m2m->waits_for || m2m->source == NULL) {
		return;
	}
	/* A MOD of what is registered takes no memory: it cannot fail. */
	(void)pc_loop_source_set_events(m2m->source, events);
	m2m->waits_for = events;
}

/* --- buffers --- */

static int queue_buffer(struct pc_m2m *m2m, struct pc_m2m_queue *queue, unsigned index, int fd,
	size_t length, size_t used, uint64_t stamp_us)
{
	struct v4l2_plane plane = { .bytesused = (uint32_t)used, .length = (uint32_t)length };
	struct v4l2_buffer buffer = {
		.index = index,
		.type = queue->type,
		.memory = queue->memory,
		.field = V4L2_FIELD_NONE,
		.timestamp = {
			.tv_sec = (time_t)(stamp_us / 1000000),
			.tv_usec = (suseconds_t)(stamp_us % 1000000),
		},
	};
	plane.m.fd = fd;
	if (V4L2_TYPE_IS_MULTIPLANAR(queue->type)) {
		buffer.m.planes = &plane;
		buffer.length = 1;
	} else {
		buffer.bytesused = plane.bytesused;
		buffer.length = plane.length;
		buffer.m.fd = fd;
	}
	const int r = pc_v4l2_ioctl(m2m->device, VIDIOC_QBUF, &buffer);
	if (r == 0) {
		queue->queued++;
	}
	return r;
}

/* What DQBUF gave. */
struct dequeued {
	unsigned index;
	uint32_t flags;
	uint32_t used, offset;
	bool has_stamp; /* a time that one of ours could be */
	uint64_t stamp_us;
};

static int dequeue_buffer(
	struct pc_m2m *m2m, struct pc_m2m_queue *queue, struct dequeued *ret_dequeued)
{
	struct v4l2_plane plane = { .bytesused = 0 };
	struct v4l2_buffer buffer = { .type = queue->type, .memory = queue->memory };
	const bool mplane = V4L2_TYPE_IS_MULTIPLANAR(queue->type);
	if (mplane) {
		buffer.m.planes = &plane;
		buffer.length = 1;
	}
	const int r = pc_v4l2_ioctl(m2m->device, VIDIOC_DQBUF, &buffer);
	if (r < 0) {
		return r;
	}
	if (queue->queued > 0) {
		queue->queued--;
	}
	const int64_t s = buffer.timestamp.tv_sec, us = buffer.timestamp.tv_usec;
	*ret_dequeued = (struct dequeued){
		.index = buffer.index,
		.flags = buffer.flags,
		.used = mplane ? plane.bytesused : buffer.bytesused,
		.offset = mplane ? plane.data_offset : 0,
		.has_stamp = s >= 0 && s <= INT64_MAX / 1000001 && us >= 0 && us < 1000000,
	};
	if (ret_dequeued->has_stamp) {
		ret_dequeued->stamp_us = (uint64_t)s * 1000000 + (uint64_t)us;
	}
	return 0;
}

/* --- inputs --- */

static struct pc_m2m_pending *pending_at(struct pc_m2m *m2m, unsigned i)
{
	return &m2m->pending[(m2m->first + i) % PC_M2M_PENDING_MAX];
}

static struct pc_m2m_pending *find_pending(struct pc_m2m *m2m, uint64_t stamp_us)
{
	for (unsigned i = 0; i < m2m->n_pending; i++) {
		struct pc_m2m_pending *pending = pending_at(m2m, i);
		if (pending->stamp_us == stamp_us) {
			return pending->done ? NULL : pending;
		}
	}
	return NULL;
}

static void drop_done(struct pc_m2m *m2m)
{
	while (m2m->n_pending > 0 && m2m->pending[m2m->first].done) {
		m2m->first = (m2m->first + 1) % PC_M2M_PENDING_MAX;
		m2m->n_pending--;
	}
}

static void give_up(struct pc_m2m *m2m, struct pc_m2m_pending *pending)
{
	const struct pc_m2m_input input = pending->input;
	pending->done = true;
	m2m->stats.aborted++;
	m2m->events->aborted(m2m->data, &input);
}

/* Inputs before that of `stamp_us` (all: UINT64_MAX) which the device has returned, or,
 * with `all`, those that it has not as well: no output comes for them. */
static void give_up_before(struct pc_m2m *m2m, uint64_t stamp_us, bool all)
{
	for (unsigned i = 0; alive(m2m) && i < m2m->n_pending; i++) {
		struct pc_m2m_pending *pending = pending_at(m2m, i);
		if (pending->stamp_us >= stamp_us) {
			break;
		}
		if (!pending->done && (pending->input.returned || all)) {
			give_up(m2m, pending);
		}
	}
}

static void give_up_old(struct pc_m2m *m2m)
{
	if (m2m->n_pending == 0) {
		return;
	}
	const int64_t now_ns = pc_clock_now_ns();
	while (alive(m2m) && m2m->n_pending > 0) {
		struct pc_m2m_pending *pending = &m2m->pending[m2m->first];
		const bool old = now_ns - pending->input.submit_ns > ABORTED_NS ||
				 m2m->n_pending > PC_M2M_PENDING_MAX * 3 / 4;
		if (!pending->done && (!pending->input.returned || !old)) {
			break;
		}
		if (!pending->done) {
			give_up(m2m, pending);
		}
		drop_done(m2m);
	}
}

/* The frame is its producer's again. */
static void let_go(struct pc_m2m_in_buffer *buffer)
{
	struct pc_m2m *m2m = buffer->m2m;
	struct pc_frame *frame = buffer->frame;
	buffer->frame = NULL;
	pc_m2m_slots_give(m2m->in_slots, (unsigned)(buffer - m2m->in_buffers));
	pc_frame_unref(frame);
}

static void end_fence(struct pc_m2m_in_buffer *buffer)
{
	pc_loop_remove(buffer->fence);
	buffer->fence = NULL;
	if (buffer->fence_fd >= 0) {
		close(buffer->fence_fd);
		buffer->fence_fd = -1;
	}
}

static void wait_for_fence(const struct pc_m2m_in_buffer *buffer, int timeout_ms)
{
	struct pollfd fd = { .fd = buffer->fence_fd, .events = POLLIN };
	int r;
	do {
		r = poll(&fd, 1, timeout_ms);
	} while (r < 0 && errno == EINTR);
}

void pc_m2m_release_input(struct pc_m2m_in_buffer *buffer, int wait_ms)
{
	if (buffer->fence_fd >= 0) {
		wait_for_fence(buffer, wait_ms);
	}
	end_fence(buffer);
	let_go(buffer);
}

static void on_fence(void *data, int fd, uint32_t revents)
{
	pc_m2m_release_input(data, 0);
}

/* The device is done with it; the GPU perhaps not. */
static void release_input(struct pc_m2m_in_buffer *buffer)
{
	if (buffer->fence_fd >= 0 &&
		pc_loop_add_fd(buffer->m2m->loop, "m2m fence", buffer->fence_fd, EPOLLIN, on_fence,
			buffer, &buffer->fence) == 0) {
		return;
	}
	pc_m2m_release_input(buffer, -1); /* no memory to wait better */
}

static void note_return(struct pc_m2m *m2m, uint64_t stamp_us)
{
	const int64_t now_ns = pc_clock_now_ns();
	const int64_t gap_ns = now_ns - m2m->last_return_ns;
	if (m2m->last_return_ns > 0) { /* a pause of the caller's is no silence of the device's */
		m2m->silent_ns += gap_ns < RETURN_GAP_NS ? gap_ns : RETURN_GAP_NS;
	}
	m2m->last_return_ns = now_ns;
	struct pc_m2m_pending *pending = find_pending(m2m, stamp_us);
	if (pending != NULL) {
		pending->input.returned = true;
	}
}

static void take_input(struct pc_m2m *m2m)
{
	struct dequeued dequeued;
	const int r = dequeue_buffer(m2m, &m2m->in, &dequeued);
	if (r == -EAGAIN) {
		return;
	}
	if (r < 0) {
		fail(m2m, r, "DQBUF of its input");
		return;
	}
	if (dequeued.index >= m2m->in.n || !m2m->in_buffers[dequeued.index].queued) {
		fail(m2m, -EIO, "it gave back an input that it did not have");
		return;
	}
	struct pc_m2m_in_buffer *buffer = &m2m->in_buffers[dequeued.index];
	buffer->queued = false;
	note_return(m2m, buffer->stamp_us);
	release_input(buffer);
}

/* --- outputs --- */

/* Gives a mapped buffer back to the device. */
int pc_m2m_requeue(struct pc_m2m *m2m, unsigned index)
{
	struct pc_m2m_out_buffer *buffer = &m2m->out_buffers[index];
	const int r = queue_buffer(m2m, &m2m->out, index, 0, buffer->size, 0, 0);
	buffer->queued = r == 0;
	return r;
}

/* Every input has had its output, by the device's own word. */
static void end_drain(struct pc_m2m *m2m)
{
	m2m->drained = true;
	give_up_before(m2m, UINT64_MAX, true);
}

static void announce_end(struct pc_m2m *m2m)
{
	if (!alive(m2m)) {
		return;
	}
	const struct pc_m2m_output output = { .last = true };
	m2m->events->output(m2m->data, &output);
}

static void hand_over(struct pc_m2m *m2m, const struct pc_m2m_out_buffer *buffer,
	struct pc_frame *frame, const struct dequeued *dequeued, struct pc_m2m_pending *pending)
{
	const bool sane = dequeued->used <= buffer->size && dequeued->offset <= dequeued->used;
	const uint32_t offset = sane ? dequeued->offset : 0;
	const struct pc_m2m_output output = {
		.data = buffer->map != NULL ? (const uint8_t *)buffer->map + offset : NULL,
		.size = sane ? dequeued->used - offset : 0,
		.capacity = buffer->size - offset,
		.frame = frame,
		.key = (dequeued->flags & V4L2_BUF_FLAG_KEYFRAME) != 0,
		.error = (dequeued->flags & V4L2_BUF_FLAG_ERROR) != 0 || !sane,
		.input = pending != NULL ? &pending->input : NULL,
	};
	if (pending != NULL) {
		m2m->stats.outputs++;
	} else {
		m2m->stats.junk++;
	}
	m2m->stats.errors += output.error ? 1 : 0;
	const bool complete = m2m->events->output(m2m->data, &output);
	if (!m2m->closed && pending != NULL && (complete || output.error)) {
		if (!output.error) { /* headers for ever, or errors, are silence too */
			m2m->silent_ns = 0;
		}
		pending->done = true;
		drop_done(m2m);
	}
}

static void take_output(struct pc_m2m *m2m)
{
	struct dequeued dequeued;
	int r = dequeue_buffer(m2m, &m2m->out, &dequeued);
	if (r == -EAGAIN) {
		return;
	}
	if (r == -EPIPE) { /* the last one has come, which is said once more */
		if (!m2m->drained) {
			end_drain(m2m);
			announce_end(m2m);
		}
		return;
	}
	if (r < 0) {
		fail(m2m, r, "DQBUF of its output");
		return;
	}
	if (dequeued.index >= m2m->out.n || !m2m->out_buffers[dequeued.index].queued) {
		fail(m2m, -EIO, "it gave an output that it did not have");
		return;
	}
	struct pc_m2m_out_buffer *buffer = &m2m->out_buffers[dequeued.index];
	struct pc_frame *frame = buffer->frame;
	buffer->queued = false;
	buffer->frame = NULL;
	if (frame != NULL) {
		pc_m2m_slots_give(m2m->out_slots, dequeued.index);
	}
	const bool last = (dequeued.flags & V4L2_BUF_FLAG_LAST) != 0;
	struct pc_m2m_pending *pending =
		dequeued.has_stamp ? find_pending(m2m, dequeued.stamp_us) : NULL;
	if (pending != NULL) {
		give_up_before(m2m, pending->stamp_us, false);
	}
	if (alive(m2m) && (!last || dequeued.used > 0)) {
		hand_over(m2m, buffer, frame, &dequeued, pending);
	}
	pc_frame_unref(frame);
	if (alive(m2m) && last) {
		end_drain(m2m);
		announce_end(m2m);
	} else if (alive(m2m) && !m2m->out_dmabuf) {
		r = pc_m2m_requeue(m2m, dequeued.index);
		if (r < 0) {
			fail(m2m, r, "QBUF of its output");
		}
	}
}

/* --- the loop --- */

static void take_events(struct pc_m2m *m2m)
{
	struct v4l2_event event = { .type = 0 };
	const int r = pc_v4l2_ioctl(m2m->device, VIDIOC_DQEVENT, &event);
	if (r < 0 && r != -ENOENT) {
		fail(m2m, r, r == -ENODEV ? "it is gone" : "DQEVENT");
	}
	/* End of stream is told by the last buffer: where that is missing, by the clock. */
}

void pc_m2m_on_ready(void *data, int fd, uint32_t revents)
{
	struct pc_m2m *m2m = data;
	m2m->dispatching = true;
	if ((revents & EPOLLHUP) != 0) {
		fail(m2m, -ENODEV, "it is gone");
	}
	if (alive(m2m) && (revents & EPOLLPRI) != 0) {
		take_events(m2m);
	}
	/* The input first: then an output tells which inputs before it were aborted. */
	if (alive(m2m) && (revents & EPOLLOUT) != 0) {
		take_input(m2m);
	}
	if (alive(m2m) && (revents & EPOLLIN) != 0) {
		take_output(m2m);
	}
	if (alive(m2m) && (revents & (EPOLLERR | EPOLLIN | EPOLLOUT | EPOLLPRI)) == EPOLLERR) {
		fail(m2m, -EIO, "it says that its queues are in error");
	}
	if (alive(m2m)) {
		give_up_old(m2m);
	}
	if (alive(m2m)) {
		pc_m2m_update_waiting(m2m);
	}
	m2m->dispatching = false;
	if (m2m->closed) {
		free(m2m);
	}
}

/* --- what the owner calls --- */

static bool lies_as_told(const struct pc_m2m *m2m, const struct pc_frame *frame)
{
	if ((frame->caps & PC_FRAME_DMABUF) == 0 || frame->n_planes != m2m->n_in_planes) {
		return false;
	}
	for (unsigned i = 0; i < frame->n_planes; i++) {
		if (frame->planes[i].fd != frame->planes[0].fd ||
			frame->planes[i].stride != m2m->in_planes[i].stride ||
			frame->planes[i].offset != m2m->in_planes[i].offset) {
			return false;
		}
	}
	return true;
}

static uint64_t next_stamp_us(const struct pc_m2m *m2m, int64_t now_ns)
{
	const uint64_t now_us = (uint64_t)now_ns / 1000;
	return now_us > m2m->last_stamp_us ? now_us : m2m->last_stamp_us + 1;
}

static int submit_out(struct pc_m2m *m2m, struct pc_frame *frame)
{
	const int index = pc_m2m_slots_take(m2m->out_slots, frame);
	if (index < 0) {
		return index;
	}
	struct pc_m2m_out_buffer *buffer = &m2m->out_buffers[index];
	const int r = queue_buffer(
		m2m, &m2m->out, (unsigned)index, frame->planes[0].fd, m2m->out.size, 0, 0);
	if (r < 0) {
		pc_m2m_slots_give(m2m->out_slots, (unsigned)index);
		return r;
	}
	buffer->size = m2m->out.size;
	buffer->frame = pc_frame_ref(frame);
	buffer->queued = true;
	return 0;
}

static int submit_in(struct pc_m2m *m2m, struct pc_frame *frame, int fence_fd)
{
	const int index = pc_m2m_slots_take(m2m->in_slots, frame);
	if (index < 0) {
		return index;
	}
	struct pc_m2m_in_buffer *buffer = &m2m->in_buffers[index];
	const int64_t now_ns = pc_clock_now_ns();
	const uint64_t stamp_us = next_stamp_us(m2m, now_ns);
	const int r = queue_buffer(m2m, &m2m->in, (unsigned)index, frame->planes[0].fd,
		m2m->in_length, m2m->in.size, stamp_us);
	if (r < 0) {
		pc_m2m_slots_give(m2m->in_slots, (unsigned)index);
		return r;
	}
	m2m->last_stamp_us = stamp_us;
	buffer->frame = pc_frame_ref(frame);
	buffer->stamp_us = stamp_us;
	buffer->queued = true;
	buffer->fence_fd = fence_fd;
	struct pc_m2m_pending *pending = pending_at(m2m, m2m->n_pending++);
	*pending = (struct pc_m2m_pending){
		.input = { .sequence = frame->sequence,
			.capture_ns = frame->capture_ns,
			.submit_ns = now_ns },
		.stamp_us = stamp_us,
	};
	m2m->stats.submitted++;
	return 0;
}

int pc_m2m_submit(struct pc_m2m *m2m, struct pc_frame *in, struct pc_frame *out, int fence_fd)
{
	if (!alive(m2m) || m2m->draining) {
		return -EPIPE;
	}
	if (!lies_as_told(m2m, in) || (out != NULL && !m2m->out_dmabuf) ||
		(out != NULL && (out->caps & PC_FRAME_DMABUF) == 0)) {
		return -EINVAL;
	}
	if (m2m->n_pending == PC_M2M_PENDING_MAX || (out == NULL && pc_m2m_wants_out(m2m))) {
		return -EAGAIN;
	}
	/* What is in vain, if the next fails, is a picture queued for later. */
	int r = out != NULL ? submit_out(m2m, out) : 0;
	if (r == 0) {
		r = submit_in(m2m, in, fence_fd);
	}
	if (!m2m->dispatching) {
		pc_m2m_update_waiting(m2m);
	}
	return r;
}

bool pc_m2m_wants_out(const struct pc_m2m *m2m)
{
	unsigned n = 0; /* pictures that inputs under way will take */
	const int64_t now_ns = pc_clock_now_ns();
	for (unsigned i = 0; i < m2m->n_pending; i++) {
		const struct pc_m2m_pending *pending =
			&m2m->pending[(m2m->first + i) % PC_M2M_PENDING_MAX];
		/* What was aborted takes none: else each would cost a picture of the pool. */
		const bool over =
			pending->input.returned && now_ns - pending->input.submit_ns > LATE_NS;
		n += pending->done || over ? 0 : 1;
	}
	return m2m->out_dmabuf && m2m->out.queued <= n;
}

unsigned pc_m2m_in_device(const struct pc_m2m *m2m)
{
	return m2m->in.queued;
}

int pc_m2m_set_control(struct pc_m2m *m2m, uint32_t id, int32_t value)
{
	return alive(m2m) ? pc_v4l2_set_control(m2m->device, id, value) : -EPIPE;
}

const char *pc_m2m_name(const struct pc_m2m *m2m)
{
	return m2m->name;
}

size_t pc_m2m_out_size(const struct pc_m2m *m2m)
{
	return m2m->out.size;
}

uint32_t pc_m2m_out_stride(const struct pc_m2m *m2m)
{
	return m2m->coded ? 0 : m2m->out.stride;
}

void pc_m2m_get_stats(const struct pc_m2m *m2m, struct pc_m2m_stats *ret_stats)
{
	*ret_stats = m2m->stats;
	ret_stats->imports = pc_m2m_slots_imports(m2m->in_slots) +
			     (m2m->out_slots != NULL ? pc_m2m_slots_imports(m2m->out_slots) : 0);
}

int64_t pc_m2m_owed_ns(const struct pc_m2m *m2m)
{
	const int64_t now_ns = pc_clock_now_ns();
	int64_t owed_ns = m2m->silent_ns > SILENCE_NS ? m2m->silent_ns - SILENCE_NS : 0;
	for (unsigned i = 0; i < m2m->in.n; i++) {
		const struct pc_m2m_in_buffer *buffer = &m2m->in_buffers[i];
		if (buffer->queued) {
			const int64_t age_ns = now_ns - (int64_t)buffer->stamp_us * 1000;
			owed_ns = age_ns > owed_ns ? age_ns : owed_ns;
		}
	}
	if (m2m->draining && !m2m->drained && now_ns - m2m->drain_ns > owed_ns) {
		owed_ns = now_ns - m2m->drain_ns;
	}
	return owed_ns;
}

int pc_m2m_drain(struct pc_m2m *m2m)
{
	if (!alive(m2m) || m2m->draining) {
		return -EPIPE;
	}
	struct v4l2_encoder_cmd command = { .cmd = V4L2_ENC_CMD_STOP };
	const int r = pc_v4l2_ioctl(m2m->device, VIDIOC_ENCODER_CMD, &command);
	if (r < 0) {
		return r == -ENOTTY || r == -EINVAL ? -ENOTSUP : r;
	}
	m2m->draining = true;
	m2m->drain_ns = pc_clock_now_ns();
	return 0;
}
