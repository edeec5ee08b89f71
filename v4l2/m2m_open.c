/* v4l2/m2m_open.c - a memory-to-memory node is set up and given back; see m2m.h. */
#include "v4l2/m2m_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/log.h"

#define FENCE_WAIT_MS 1000 /* a GPU that takes longer hangs */

static void stop_streaming(struct pc_m2m *m2m)
{
	if (m2m->streaming) {
		int type = (int)m2m->in.type;
		(void)pc_v4l2_ioctl(m2m->device, VIDIOC_STREAMOFF, &type);
		type = (int)m2m->out.type;
		(void)pc_v4l2_ioctl(m2m->device, VIDIOC_STREAMOFF, &type);
	}
}

static void drop_buffers(struct pc_m2m *m2m)
{
	for (unsigned i = 0; i < PC_M2M_SLOTS_MAX; i++) {
		struct pc_m2m_in_buffer *in = &m2m->in_buffers[i];
		if (in->frame != NULL) {
			pc_m2m_release_input(in, FENCE_WAIT_MS);
		}
		struct pc_m2m_out_buffer *out = &m2m->out_buffers[i];
		if (out->frame != NULL) {
			pc_m2m_slots_give(m2m->out_slots, i);
			pc_frame_unref(out->frame);
			out->frame = NULL;
		}
		if (out->map != NULL) {
			pc_v4l2_unmap(m2m->device, out->map, out->size);
			out->map = NULL;
		}
	}
}

void pc_m2m_close(struct pc_m2m *m2m)
{
	if (m2m == NULL) {
		return;
	}
	assert(!m2m->closed);
	pc_loop_remove(m2m->source);
	if (m2m->device != NULL) {
		stop_streaming(m2m);
		drop_buffers(m2m);
		pc_v4l2_close(m2m->device); /* frees the kernel's buffers too */
	}
	pc_m2m_slots_destroy(m2m->in_slots);
	pc_m2m_slots_destroy(m2m->out_slots);
	if (m2m->dispatching) {
		m2m->closed = true;
	} else {
		free(m2m);
	}
}

/* One buffer of the device's, mapped and queued. */
static int map_buffer(struct pc_m2m *m2m, unsigned index)
{
	struct v4l2_plane plane = { .bytesused = 0 };
	struct v4l2_buffer buffer = {
		.index = index,
		.type = m2m->out.type,
		.memory = m2m->out.memory,
	};
	const bool mplane = V4L2_TYPE_IS_MULTIPLANAR(m2m->out.type);
	if (mplane) {
		buffer.m.planes = &plane;
		buffer.length = 1;
	}
	int r = pc_v4l2_ioctl(m2m->device, VIDIOC_QUERYBUF, &buffer);
	if (r < 0) {
		return r;
	}
	const size_t size = mplane ? plane.length : buffer.length;
	if (size == 0) {
		return -EIO;
	}
	void *map;
	r = pc_v4l2_map(m2m->device, size, mplane ? plane.m.mem_offset : buffer.m.offset, &map);
	if (r < 0) {
		return r;
	}
	m2m->out_buffers[index].map = map;
	m2m->out_buffers[index].size = size;
	return pc_m2m_requeue(m2m, index);
}

static int make_buffers(
	struct pc_m2m *m2m, const struct pc_m2m_config *config, char *why, size_t why_size)
{
	m2m->in.memory = V4L2_MEMORY_DMABUF;
	m2m->out.memory = config->out_dmabuf ? V4L2_MEMORY_DMABUF : V4L2_MEMORY_MMAP;
	int r = pc_m2m_request(
		m2m->device, &m2m->in, config->in_buffers, PC_M2M_SLOTS_MAX, why, why_size);
	if (r == 0) {
		r = pc_m2m_request(m2m->device, &m2m->out, config->out_buffers, PC_M2M_SLOTS_MAX,
			why, why_size);
	}
	if (r == 0) {
		r = pc_m2m_slots_create(m2m->in.n, &m2m->in_slots);
	}
	if (r == 0 && config->out_dmabuf) {
		r = pc_m2m_slots_create(m2m->out.n, &m2m->out_slots);
	}
	for (unsigned i = 0; r == 0 && !config->out_dmabuf && i < m2m->out.n; i++) {
		r = map_buffer(m2m, i);
		if (r < 0) {
			snprintf(why, why_size, "its buffer %u: %s", i, pc_strerror(r));
		}
	}
	return r;
}

static int start_streaming(struct pc_m2m *m2m, char *why, size_t why_size)
{
	struct v4l2_event_subscription eos = { .type = V4L2_EVENT_EOS };
	(void)pc_v4l2_ioctl(
		m2m->device, VIDIOC_SUBSCRIBE_EVENT, &eos); /* what has none, has none */
	m2m->streaming = true;
	const uint32_t types[] = { m2m->in.type, m2m->out.type };
	for (unsigned i = 0; i < 2; i++) {
		int type = (int)types[i];
		const int r = pc_v4l2_ioctl(m2m->device, VIDIOC_STREAMON, &type);
		if (r < 0) {
			snprintf(why, why_size, "STREAMON of its %s: %s",
				i == 0 ? "input" : "output", pc_strerror(r));
			return r;
		}
	}
	m2m->waits_for = EPOLLPRI;
	const int r = pc_loop_add_fd(m2m->loop, "m2m", pc_v4l2_fd(m2m->device), m2m->waits_for,
		pc_m2m_on_ready, m2m, &m2m->source);
	if (r == 0) {
		pc_m2m_update_waiting(m2m);
	}
	return r;
}

static int open_device(
	struct pc_m2m *m2m, const struct pc_m2m_config *config, char *why, size_t why_size)
{
	int r = pc_v4l2_open(config->path, &m2m->device);
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", config->path, pc_strerror(r));
		return r;
	}
	struct pc_v4l2_node node;
	r = pc_v4l2_identify(m2m->device, &node);
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", config->path, pc_strerror(r));
		return r;
	}
	snprintf(m2m->name, sizeof(m2m->name), "%s (%s)", node.path, node.driver);
	if (node.n_in == 0 || node.n_out == 0) {
		snprintf(why, why_size, "%s is no memory-to-memory device", m2m->name);
		return -EINVAL;
	}
	char reason[160] = "";
	r = pc_m2m_negotiate(
		m2m->device, &node, config, &m2m->in, &m2m->out, reason, sizeof(reason));
	if (r == 0) {
		r = make_buffers(m2m, config, reason, sizeof(reason));
	}
	if (r == 0) {
		r = start_streaming(m2m, reason, sizeof(reason));
	}
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", m2m->name,
			reason[0] != '\0' ? reason : pc_strerror(r));
	}
	return r;
}

int pc_m2m_open(struct pc_loop *loop, const struct pc_m2m_config *config,
	const struct pc_m2m_events *events, void *data, char *why, size_t why_size,
	struct pc_m2m **ret_m2m)
{
	assert(events->output != NULL && events->aborted != NULL && events->failed != NULL);
	assert(config->in_buffers > 0 && config->in_buffers <= PC_M2M_SLOTS_MAX);
	assert(config->out_buffers > 0 && config->out_buffers <= PC_M2M_SLOTS_MAX);
	struct pc_m2m *m2m = calloc(1, sizeof(*m2m));
	if (m2m == NULL) {
		return -ENOMEM;
	}
	m2m->loop = loop;
	m2m->events = events;
	m2m->data = data;
	m2m->n_in_planes = config->n_in_planes;
	memcpy(m2m->in_planes, config->in_planes, sizeof(m2m->in_planes));
	m2m->out_dmabuf = config->out_dmabuf;
	m2m->coded = config->out_pixelformat == V4L2_PIX_FMT_H264;
	for (unsigned i = 0; i < PC_M2M_SLOTS_MAX; i++) {
		m2m->in_buffers[i].m2m = m2m;
		m2m->in_buffers[i].fence_fd = -1;
	}
	const int r = open_device(m2m, config, why, why_size);
	if (r < 0) {
		pc_m2m_close(m2m);
		return r;
	}
	m2m->in_length = config->in_size > 0 ? config->in_size : m2m->in.size;
	*ret_m2m = m2m;
	return 0;
}
