/* tests/support/fake_m2m.c - see fake_m2m.h. Linked with -Wl,--wrap for each __wrap_ below. */
#include "tests/support/fake_m2m.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/loop.h"
#include "v4l2/device.h"

struct fake_m2m fake_m2m;

enum state {
	IDLE, /* the client's */
	QUEUED,
	KEPT, /* taken by the device, and not given back */
	DONE,
};

struct buffer {
	enum state state;
	uint64_t order; /* of queueing, then of being done */
	int fd;
	uint32_t flags, used;
	struct timeval stamp;
	uint8_t *memory; /* MMAP */
	size_t size; /* of it */
};

struct queue {
	uint32_t type, memory;
	uint32_t pixelformat, width, height, stride, size;
	bool streaming;
	unsigned n;
	struct buffer buffers[FAKE_M2M_BUFFERS];
};

/* An open handle. */
struct pc_v4l2 {
	int fd;
	struct queue in, out;
	uint64_t order;
	unsigned frames; /* of this stream */
	unsigned junk_given;
	bool force_key;
	bool stopping, stopped, last_dequeued;
	bool eos;
	/* Outputs that wait for later inputs. */
	struct {
		struct timeval stamp;
		unsigned frame;
		bool key;
	} waiting[FAKE_M2M_BUFFERS];
	unsigned n_waiting;

	struct pc_loop_source *source;
	uint32_t watched;
	void (*fn)(void *data, int fd, uint32_t revents);
	void *data;
	struct pc_v4l2 *next;
};

static struct pc_v4l2 *handles;

#define PAGE 4096u

/* Memory that ends where nothing may be read any more. Not by malloc(), which a test may let fail. */
static void *guarded(size_t size)
{
	const size_t whole = (size + PAGE - 1) / PAGE * PAGE;
	uint8_t *data = mmap(
		NULL, whole + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(data != MAP_FAILED);
	const int r = mprotect(data + whole, PAGE, PROT_NONE);
	assert(r == 0);
	(void)r;
	return data + (whole - size);
}

static void free_guarded(void *data, size_t size)
{
	if (data != NULL) {
		const size_t whole = (size + PAGE - 1) / PAGE * PAGE;
		munmap((uint8_t *)data - (whole - size), whole + PAGE);
	}
}

/* --- poll --- */

static bool has(const struct queue *queue, enum state state)
{
	for (unsigned i = 0; i < queue->n; i++) {
		if (queue->buffers[i].state == state) {
			return true;
		}
	}
	return false;
}

static bool is_empty(const struct queue *queue)
{
	return !queue->streaming || (!has(queue, QUEUED) && !has(queue, KEPT) && !has(queue, DONE));
}

/* As v4l2_poll() and v4l2_m2m_poll(). */
static uint32_t poll_device(const struct pc_v4l2 *device)
{
	if (fake_m2m.gone) {
		return EPOLLERR | EPOLLHUP | EPOLLPRI;
	}
	uint32_t events = 0;
	if ((device->watched & (EPOLLIN | EPOLLOUT)) != 0) {
		if (is_empty(&device->in) && is_empty(&device->out) && !device->last_dequeued) {
			return EPOLLERR;
		}
		events |= has(&device->in, DONE) ? EPOLLOUT : 0;
		events |= has(&device->out, DONE) || device->last_dequeued ? EPOLLIN : 0;
	}
	events |= device->eos ? EPOLLPRI : 0;
	return events & (device->watched | EPOLLERR | EPOLLHUP);
}

static void refresh(struct pc_v4l2 *device)
{
	eventfd_t value;
	(void)eventfd_read(device->fd, &value);
	if (device->source != NULL && poll_device(device) != 0) {
		(void)eventfd_write(device->fd, 1);
	}
}

void fake_m2m_poke(void)
{
	for (struct pc_v4l2 *device = handles; device != NULL; device = device->next) {
		refresh(device);
	}
}

static void dispatch(void *data, int fd, uint32_t revents)
{
	struct pc_v4l2 *device = data;
	const uint32_t events = poll_device(device);
	if (events != 0) {
		fake_m2m.dispatches++;
		device->fn(device->data, fd, events);
	}
}

static struct pc_v4l2 *handle_of_fd(int fd)
{
	struct pc_v4l2 *device = handles;
	while (device != NULL && device->fd != fd) {
		device = device->next;
	}
	return device;
}

static struct pc_v4l2 *handle_of_source(const struct pc_loop_source *source)
{
	struct pc_v4l2 *device = handles;
	while (device != NULL && (source == NULL || device->source != source)) {
		device = device->next;
	}
	return device;
}

int __real_pc_loop_add_fd(struct pc_loop *loop, const char *name, int fd, uint32_t events,
	void (*fn)(void *data, int fd, uint32_t revents), void *data,
	struct pc_loop_source **ret_source);
int __wrap_pc_loop_add_fd(struct pc_loop *loop, const char *name, int fd, uint32_t events,
	void (*fn)(void *data, int fd, uint32_t revents), void *data,
	struct pc_loop_source **ret_source);
int __wrap_pc_loop_add_fd(struct pc_loop *loop, const char *name, int fd, uint32_t events,
	void (*fn)(void *data, int fd, uint32_t revents), void *data,
	struct pc_loop_source **ret_source)
{
	struct pc_v4l2 *device = handle_of_fd(fd);
	if (device == NULL) {
		return __real_pc_loop_add_fd(loop, name, fd, events, fn, data, ret_source);
	}
	const int r = __real_pc_loop_add_fd(loop, name, fd, EPOLLIN, dispatch, device, ret_source);
	if (r == 0) {
		device->source = *ret_source;
		device->fn = fn;
		device->data = data;
		device->watched = events;
		refresh(device);
	}
	return r;
}

int __real_pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events);
int __wrap_pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events);
int __wrap_pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events)
{
	struct pc_v4l2 *device = handle_of_source(source);
	if (device == NULL) {
		return __real_pc_loop_source_set_events(source, events);
	}
	fake_m2m.watch_changes++;
	device->watched = events;
	refresh(device);
	return 0;
}

void __real_pc_loop_remove(struct pc_loop_source *source);
void __wrap_pc_loop_remove(struct pc_loop_source *source);
void __wrap_pc_loop_remove(struct pc_loop_source *source)
{
	struct pc_v4l2 *device = handle_of_source(source);
	if (device != NULL) {
		device->source = NULL;
	}
	__real_pc_loop_remove(source);
}

/* --- what the device does --- */

static struct buffer *oldest(struct queue *queue, enum state state)
{
	struct buffer *found = NULL;
	for (unsigned i = 0; i < queue->n; i++) {
		struct buffer *buffer = &queue->buffers[i];
		if (buffer->state == state && (found == NULL || buffer->order < found->order)) {
			found = buffer;
		}
	}
	return found;
}

static unsigned count_of(const struct queue *queue, enum state state)
{
	unsigned n = 0;
	for (unsigned i = 0; i < queue->n; i++) {
		n += queue->buffers[i].state == state ? 1 : 0;
	}
	return n;
}

static void finish(struct pc_v4l2 *device, struct buffer *buffer, struct timeval stamp,
	uint32_t used, uint32_t flags)
{
	buffer->state = DONE;
	buffer->order = ++device->order;
	buffer->stamp = stamp;
	buffer->used = used;
	buffer->flags = flags;
}

static const uint8_t headers[] = { 0, 0, 0, 1, 0x67, 100, 0, 40, 0xac, 0, 0, 0, 1, 0x68, 0xee, 0x3c,
	0x80 };

/* Bytes `at` to `at + size` of a packet, as far as it goes: headers or not, then a slice of
 * `packet_size` bytes, 0x80 | its frame's number, which begins no start code. */
static size_t packet_bytes(
	uint8_t *out, size_t at, size_t size, unsigned frame, bool key, bool with_headers)
{
	uint8_t front[sizeof(headers) + 5];
	size_t n_front = 0;
	if (with_headers) {
		memcpy(front, headers, sizeof(headers));
		n_front = sizeof(headers);
	}
	const uint8_t start[] = { 0, 0, 0, 1, key ? 0x65 : 0x41 };
	memcpy(front + n_front, start, sizeof(start));
	n_front += sizeof(start);
	size_t n = 0;
	for (; n < size && at < n_front; n++, at++) {
		out[n] = front[at];
	}
	const size_t left = n_front + fake_m2m.packet_size - at;
	const size_t rest = size - n < left ? size - n : left;
	memset(out + n, 0x80 | (int)(frame & 0x7f), rest);
	return n + rest;
}

static void give_packet(struct pc_v4l2 *device, struct timeval stamp, unsigned frame, bool key)
{
	const bool alone =
		key && (fake_m2m.headers_alone == 2 || (fake_m2m.headers_alone == 1 && frame == 1));
	const bool joined = key && !alone && fake_m2m.headers_alone != 2 &&
			    (!fake_m2m.headers_once || frame == 1);
	struct buffer *buffer = oldest(&device->out, QUEUED);
	if (alone) {
		memcpy(buffer->memory, headers, sizeof(headers));
		finish(device, buffer, fake_m2m.headers_unstamped ? (struct timeval){ 0 } : stamp,
			sizeof(headers), 0);
		buffer = oldest(&device->out, QUEUED);
	}
	uint32_t flags = key ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
	size_t at = 0;
	const size_t whole =
		(joined ? sizeof(headers) : 0) + 5 + fake_m2m.packet_size; /* 5: its start */
	while (buffer != NULL && at < whole) {
		size_t n = packet_bytes(buffer->memory, at, device->out.size, frame, key, joined);
		at += n;
		if (at < whole && fake_m2m.too_large_is_error) {
			n = 0;
			flags |= V4L2_BUF_FLAG_ERROR;
		}
		if (fake_m2m.error_every > 0 && frame % fake_m2m.error_every == 0) {
			flags |= V4L2_BUF_FLAG_ERROR;
		}
		finish(device, buffer, stamp, (uint32_t)n, flags);
		if (!fake_m2m.fragments) {
			return;
		}
		buffer = oldest(&device->out, QUEUED);
	}
}

static void give_picture(struct pc_v4l2 *device, struct timeval stamp, unsigned frame)
{
	struct buffer *buffer = oldest(&device->out, QUEUED);
	uint32_t flags = 0;
	if (fake_m2m.error_every > 0 && frame % fake_m2m.error_every == 0) {
		flags |= V4L2_BUF_FLAG_ERROR;
	}
	const uint8_t pixel = (uint8_t)frame;
	(void)!pwrite(buffer->fd, &pixel, 1, 0);
	finish(device, buffer, stamp, device->out.size, flags);
}

static void give(struct pc_v4l2 *device, struct timeval stamp, unsigned frame, bool key)
{
	if (fake_m2m.scaler) {
		give_picture(device, stamp, frame);
	} else {
		give_packet(device, stamp, frame, key);
	}
}

static void give_waiting(struct pc_v4l2 *device, unsigned keep)
{
	while (device->n_waiting > keep && has(&device->out, QUEUED)) {
		give(device, device->waiting[0].stamp, device->waiting[0].frame,
			device->waiting[0].key);
		device->n_waiting--;
		memmove(&device->waiting[0], &device->waiting[1],
			device->n_waiting * sizeof(device->waiting[0]));
	}
}

static void end_drain(struct pc_v4l2 *device)
{
	if (!device->stopping || device->stopped || fake_m2m.drains_never ||
		has(&device->in, QUEUED)) {
		return;
	}
	give_waiting(device, 0);
	struct buffer *buffer = oldest(&device->out, QUEUED);
	if (device->n_waiting == 0 && buffer != NULL) {
		finish(device, buffer, (struct timeval){ 0 }, 0, V4L2_BUF_FLAG_LAST);
		device->stopped = true;
		device->eos = true;
	}
}

static bool step(struct pc_v4l2 *device)
{
	struct buffer *in = oldest(&device->in, QUEUED);
	/* Room for junk, headers and a packet. */
	const unsigned room = fake_m2m.scaler ? 1 : 3;
	if (fake_m2m.stalled || fake_m2m.gone || !device->in.streaming || !device->out.streaming ||
		in == NULL || count_of(&device->out, QUEUED) < room) {
		end_drain(device);
		return false;
	}
	while (!fake_m2m.scaler && device->junk_given < fake_m2m.junk_first) {
		struct buffer *junk = oldest(&device->out, QUEUED);
		if (junk == NULL) {
			return false;
		}
		device->junk_given++;
		memset(junk->memory, 0xa5, 64);
		finish(device, junk, (struct timeval){ 0 }, 64, 0);
	}
	const unsigned frame = ++device->frames;
	const struct timeval stamp = in->stamp;
	if (!fake_m2m.keeps_inputs) {
		finish(device, in, stamp, in->used, 0);
	} else {
		in->state = KEPT;
	}
	const bool aborted = fake_m2m.abort_every > 0 && frame % fake_m2m.abort_every == 0;
	if (!aborted && device->n_waiting < FAKE_M2M_BUFFERS) {
		const bool key = device->force_key || frame == 1 ||
				 (fake_m2m.gop > 0 && (frame - 1) % (unsigned)fake_m2m.gop == 0);
		device->force_key = false;
		device->waiting[device->n_waiting].stamp = stamp;
		device->waiting[device->n_waiting].frame = frame;
		device->waiting[device->n_waiting].key = key;
		device->n_waiting++;
	}
	give_waiting(device, fake_m2m.late);
	end_drain(device);
	return true;
}

bool fake_m2m_step(void)
{
	for (struct pc_v4l2 *device = handles; device != NULL; device = device->next) {
		if (device->in.streaming) {
			const bool moved = step(device);
			refresh(device);
			return moved;
		}
	}
	return false;
}

static void run(struct pc_v4l2 *device)
{
	while (!fake_m2m.manual && step(device)) {
	}
}

/* --- ioctls --- */

static bool is_in_type(uint32_t type)
{
	return type == (fake_m2m.single_plane ? V4L2_BUF_TYPE_VIDEO_OUTPUT
					      : V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
}

static struct queue *queue_of(struct pc_v4l2 *device, uint32_t type)
{
	const uint32_t out = fake_m2m.single_plane ? V4L2_BUF_TYPE_VIDEO_CAPTURE
						   : V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	return is_in_type(type) ? &device->in : type == out ? &device->out : NULL;
}

static int enum_format(struct v4l2_fmtdesc *desc)
{
	if (is_in_type(desc->type)) {
		if (desc->index >= 8 || fake_m2m.formats[desc->index] == 0) {
			return -EINVAL;
		}
		desc->pixelformat = fake_m2m.formats[desc->index];
		return 0;
	}
	if (desc->index > 0) {
		return -EINVAL;
	}
	desc->pixelformat = fake_m2m.scaler ? V4L2_PIX_FMT_RGB24 : V4L2_PIX_FMT_H264;
	desc->flags = fake_m2m.scaler ? 0 : V4L2_FMT_FLAG_COMPRESSED;
	return 0;
}

static bool takes(uint32_t pixelformat)
{
	for (unsigned i = 0; i < 8 && fake_m2m.formats[i] != 0; i++) {
		if (fake_m2m.formats[i] == pixelformat) {
			return true;
		}
	}
	return false;
}

static void fit_format(struct queue *format, bool is_in)
{
	const uint32_t align = fake_m2m.stride_align;
	if (format->width > fake_m2m.width_max) {
		format->width = fake_m2m.width_max;
	}
	if (is_in && !takes(format->pixelformat)) {
		format->pixelformat = fake_m2m.formats[0];
	} else if (!is_in) {
		format->pixelformat = fake_m2m.scaler ? V4L2_PIX_FMT_RGB24 : V4L2_PIX_FMT_H264;
	}
	if (format->pixelformat == V4L2_PIX_FMT_H264) {
		format->stride = 0;
		if (format->size < fake_m2m.coded_size_min) {
			format->size = (uint32_t)fake_m2m.coded_size_min;
		}
		return;
	}
	const uint32_t bytes = format->pixelformat == V4L2_PIX_FMT_YUYV	   ? 2
			       : format->pixelformat == V4L2_PIX_FMT_RGB24 ? 3
									   : 1;
	const uint32_t line = format->width * bytes;
	format->stride = format->stride > line ? format->stride : line;
	format->stride = (format->stride + align - 1) / align * align;
	format->size =
		format->stride * format->height * (bytes == 1 ? 3 : 2) / 2 + fake_m2m.extra_size;
}

static int set_format(struct pc_v4l2 *device, struct v4l2_format *arg, bool keep)
{
	struct queue *queue = queue_of(device, arg->type);
	if (queue == NULL) {
		return -EINVAL;
	}
	struct queue format = *queue;
	struct v4l2_pix_format *pix = &arg->fmt.pix;
	struct v4l2_pix_format_mplane *planes = &arg->fmt.pix_mp;
	format.pixelformat = fake_m2m.single_plane ? pix->pixelformat : planes->pixelformat;
	format.width = fake_m2m.single_plane ? pix->width : planes->width;
	format.height = fake_m2m.single_plane ? pix->height : planes->height;
	format.stride =
		fake_m2m.single_plane ? pix->bytesperline : planes->plane_fmt[0].bytesperline;
	format.size = fake_m2m.single_plane ? pix->sizeimage : planes->plane_fmt[0].sizeimage;
	fit_format(&format, is_in_type(arg->type));
	if (fake_m2m.single_plane) {
		pix->pixelformat = format.pixelformat;
		pix->width = format.width;
		pix->height = format.height;
		pix->bytesperline = format.stride;
		pix->sizeimage = format.size;
	} else {
		planes->pixelformat = format.pixelformat;
		planes->width = format.width;
		planes->height = format.height;
		planes->num_planes = 1;
		planes->plane_fmt[0].bytesperline = format.stride;
		planes->plane_fmt[0].sizeimage = format.size;
	}
	if (keep) {
		*queue = format;
		if (is_in_type(arg->type) && !fake_m2m.scaler) {
			device->out.size = (uint32_t)fake_m2m.coded_size_min; /* reset */
		} else if (!fake_m2m.scaler) {
			fake_m2m.coded_size = format.size;
		}
	}
	return 0;
}

static void free_buffers(struct queue *queue)
{
	for (unsigned i = 0; i < queue->n; i++) {
		free_guarded(queue->buffers[i].memory, queue->buffers[i].size);
	}
	memset(queue->buffers, 0, sizeof(queue->buffers));
	queue->n = 0;
}

static int request_buffers(struct pc_v4l2 *device, struct v4l2_requestbuffers *request)
{
	struct queue *queue = queue_of(device, request->type);
	if (queue == NULL || (request->memory == V4L2_MEMORY_DMABUF && fake_m2m.no_dmabuf)) {
		return -EINVAL;
	}
	free_buffers(queue);
	queue->memory = request->memory;
	queue->n = request->count < fake_m2m.buffers_max ? request->count : fake_m2m.buffers_max;
	for (unsigned i = 0; request->memory == V4L2_MEMORY_MMAP && i < queue->n; i++) {
		queue->buffers[i].memory = guarded(queue->size);
		queue->buffers[i].size = queue->size;
	}
	request->count = queue->n;
	return 0;
}

static int query_buffer(struct pc_v4l2 *device, struct v4l2_buffer *buffer)
{
	struct queue *queue = queue_of(device, buffer->type);
	if (queue == NULL || buffer->index >= queue->n || queue->memory != V4L2_MEMORY_MMAP) {
		return -EINVAL;
	}
	if (fake_m2m.single_plane) {
		buffer->length = queue->size;
		buffer->m.offset = buffer->index << 12;
	} else {
		buffer->m.planes[0].length = queue->size;
		buffer->m.planes[0].m.mem_offset = buffer->index << 12;
	}
	return 0;
}

static int queue_buffer(struct pc_v4l2 *device, const struct v4l2_buffer *arg)
{
	struct queue *queue = queue_of(device, arg->type);
	if (queue == NULL || arg->index >= queue->n || arg->memory != queue->memory ||
		queue->buffers[arg->index].state != IDLE) {
		return -EINVAL;
	}
	const bool is_in = is_in_type(arg->type);
	const struct v4l2_plane *plane = fake_m2m.single_plane ? NULL : &arg->m.planes[0];
	const uint32_t length = plane != NULL ? plane->length : arg->length;
	const uint32_t used = plane != NULL ? plane->bytesused : arg->bytesused;
	if (is_in && (fake_m2m.refuse != 0 || arg->field != V4L2_FIELD_NONE)) {
		return fake_m2m.refuse != 0 ? fake_m2m.refuse : -EINVAL;
	}
	if (length < queue->size || used > length || (is_in && used == 0)) {
		return -EINVAL;
	}
	struct buffer *buffer = &queue->buffers[arg->index];
	if (queue->memory == V4L2_MEMORY_DMABUF) {
		const int fd = plane != NULL ? plane->m.fd : arg->m.fd;
		fake_m2m.imports += buffer->fd != fd ? 1 : 0;
		buffer->fd = fd;
	}
	buffer->state = QUEUED;
	buffer->order = ++device->order;
	buffer->used = used;
	buffer->stamp = arg->timestamp;
	*(is_in ? &fake_m2m.in_queued : &fake_m2m.out_queued) += 1;
	run(device);
	return 0;
}

static int dequeue_buffer(struct pc_v4l2 *device, struct v4l2_buffer *arg)
{
	struct queue *queue = queue_of(device, arg->type);
	if (queue == NULL || !queue->streaming || arg->memory != queue->memory) {
		return -EINVAL;
	}
	const bool is_in = is_in_type(arg->type);
	struct buffer *buffer = oldest(queue, DONE);
	if (buffer == NULL) {
		return !is_in && device->last_dequeued ? -EPIPE : -EAGAIN;
	}
	buffer->state = IDLE;
	arg->index = (uint32_t)(buffer - queue->buffers);
	arg->flags = buffer->flags;
	arg->timestamp = buffer->stamp;
	if (fake_m2m.single_plane) {
		arg->bytesused = buffer->used;
	} else {
		arg->m.planes[0].bytesused = buffer->used;
		arg->m.planes[0].data_offset = 0;
	}
	device->last_dequeued |= (buffer->flags & V4L2_BUF_FLAG_LAST) != 0;
	*(is_in ? &fake_m2m.in_queued : &fake_m2m.out_queued) -= 1;
	return 0;
}

static int stream(struct pc_v4l2 *device, const int *type, bool on)
{
	struct queue *queue = queue_of(device, (uint32_t)*type);
	if (queue == NULL || (on && queue->n == 0)) {
		return -EINVAL;
	}
	queue->streaming = on;
	for (unsigned i = 0; !on && i < queue->n; i++) {
		if (queue->buffers[i].state != IDLE) {
			*(queue == &device->in ? &fake_m2m.in_queued : &fake_m2m.out_queued) -= 1;
		}
		queue->buffers[i].state = IDLE;
	}
	return 0;
}

static bool lacks(uint32_t id)
{
	for (unsigned i = 0; i < 8 && fake_m2m.lacks[i] != 0; i++) {
		if (fake_m2m.lacks[i] == id) {
			return true;
		}
	}
	return fake_m2m.scaler;
}

static int set_control(struct pc_v4l2 *device, const struct v4l2_control *control)
{
	if (lacks(control->id)) {
		return -EINVAL;
	}
	switch (control->id) {
	case V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME:
		fake_m2m.keys_forced++;
		device->force_key |= !fake_m2m.deaf;
		break;
	case V4L2_CID_MPEG_VIDEO_BITRATE:
		fake_m2m.bitrate = control->value;
		break;
	case V4L2_CID_MPEG_VIDEO_H264_LEVEL:
		fake_m2m.level = control->value;
		break;
	case V4L2_CID_MPEG_VIDEO_GOP_SIZE:
		fake_m2m.gop = control->value;
		break;
	default:
		break;
	}
	return 0;
}

static int answer(struct pc_v4l2 *device, unsigned long request, void *arg)
{
	switch (request) {
	case VIDIOC_QUERYCAP: {
		struct v4l2_capability *capability = arg;
		memcpy(capability->driver, "fake", 5);
		memcpy(capability->card, "fake-card", 10);
		capability->device_caps =
			V4L2_CAP_STREAMING |
			(fake_m2m.single_plane ? V4L2_CAP_VIDEO_M2M : V4L2_CAP_VIDEO_M2M_MPLANE);
		capability->capabilities = capability->device_caps | V4L2_CAP_DEVICE_CAPS;
		return 0;
	}
	case VIDIOC_ENUM_FMT:
		return enum_format(arg);
	case VIDIOC_S_FMT:
		return set_format(device, arg, true);
	case VIDIOC_TRY_FMT:
		return set_format(device, arg, false);
	case VIDIOC_S_PARM: {
		const struct v4l2_fract *time =
			&((struct v4l2_streamparm *)arg)->parm.output.timeperframe;
		fake_m2m.fps = (double)time->denominator / time->numerator;
		return 0;
	}
	case VIDIOC_REQBUFS:
		return request_buffers(device, arg);
	case VIDIOC_QUERYBUF:
		return query_buffer(device, arg);
	case VIDIOC_QBUF:
		return queue_buffer(device, arg);
	case VIDIOC_DQBUF:
		return dequeue_buffer(device, arg);
	case VIDIOC_STREAMON:
		return stream(device, arg, true);
	case VIDIOC_STREAMOFF:
		return stream(device, arg, false);
	case VIDIOC_SUBSCRIBE_EVENT:
		return 0;
	case VIDIOC_DQEVENT:
		if (!device->eos) {
			return -ENOENT;
		}
		device->eos = false;
		((struct v4l2_event *)arg)->type = V4L2_EVENT_EOS;
		return 0;
	case VIDIOC_ENCODER_CMD:
		if (fake_m2m.scaler) {
			return -ENOTTY;
		}
		device->stopping = true;
		run(device);
		end_drain(device);
		return 0;
	case VIDIOC_S_CTRL:
		return set_control(device, arg);
	case VIDIOC_QUERYCTRL: {
		struct v4l2_queryctrl *control = arg;
		if (lacks(control->id)) {
			return -EINVAL;
		}
		control->minimum = 25000;
		control->maximum = 25000000;
		return 0;
	}
	default:
		return -ENOTTY;
	}
}

/* --- v4l2/device.h --- */

static bool fails(void)
{
	fake_m2m.calls++;
	if (fake_m2m.fail_at == 0 || fake_m2m.calls != fake_m2m.fail_at) {
		return false;
	}
	fake_m2m.failed = true;
	return true;
}

int __wrap_pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg);
int __wrap_pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg)
{
	fake_m2m.ioctls++;
	int r;
	if (fake_m2m.gone) {
		r = -ENODEV;
	} else if (fails()) {
		r = -fake_m2m.fail_errno;
	} else {
		r = answer(device, request, arg);
	}
	if (fake_m2m.tamper != NULL) {
		r = fake_m2m.tamper(request, arg, r);
	}
	refresh(device);
	return r;
}

int __wrap_pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device);
int __wrap_pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device)
{
	if (strcmp(path, FAKE_M2M_PATH) != 0) {
		return -ENOENT;
	}
	if (fake_m2m.gone) {
		return -ENODEV;
	}
	if (fails()) {
		return -fake_m2m.fail_errno;
	}
	/* Rounded up for its alignment. */
	struct pc_v4l2 *device = guarded((sizeof(*device) + 63) / 64 * 64);
	device->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(device->fd >= 0);
	device->next = handles;
	handles = device;
	fake_m2m.opens++;
	*ret_device = device;
	return 0;
}

void __wrap_pc_v4l2_close(struct pc_v4l2 *device);
void __wrap_pc_v4l2_close(struct pc_v4l2 *device)
{
	if (device == NULL) {
		return;
	}
	assert(device->source == NULL);
	for (struct pc_v4l2 **at = &handles; *at != NULL; at = &(*at)->next) {
		if (*at == device) {
			*at = device->next;
			break;
		}
	}
	free_buffers(&device->in);
	free_buffers(&device->out);
	close(device->fd);
	free_guarded(device, (sizeof(*device) + 63) / 64 * 64);
	fake_m2m.closes++;
}

int __wrap_pc_v4l2_fd(const struct pc_v4l2 *device);
int __wrap_pc_v4l2_fd(const struct pc_v4l2 *device)
{
	return device->fd;
}

const char *__wrap_pc_v4l2_path(const struct pc_v4l2 *device);
const char *__wrap_pc_v4l2_path(const struct pc_v4l2 *device)
{
	return FAKE_M2M_PATH;
}

int __wrap_pc_v4l2_map(struct pc_v4l2 *device, size_t size, uint32_t offset, void **ret_data);
int __wrap_pc_v4l2_map(struct pc_v4l2 *device, size_t size, uint32_t offset, void **ret_data)
{
	if (fails()) {
		return -fake_m2m.fail_errno;
	}
	const unsigned index = offset >> 12;
	if (index >= device->out.n || size != device->out.size) {
		return -EINVAL;
	}
	fake_m2m.maps++;
	*ret_data = device->out.buffers[index].memory;
	return 0;
}

void __wrap_pc_v4l2_unmap(struct pc_v4l2 *device, void *data, size_t size);
void __wrap_pc_v4l2_unmap(struct pc_v4l2 *device, void *data, size_t size)
{
	fake_m2m.unmaps++;
}

int __wrap_pc_v4l2_set_control(struct pc_v4l2 *device, uint32_t id, int32_t value);
int __wrap_pc_v4l2_set_control(struct pc_v4l2 *device, uint32_t id, int32_t value)
{
	struct v4l2_control control = { .id = id, .value = value };
	return __wrap_pc_v4l2_ioctl(device, VIDIOC_S_CTRL, &control);
}

int __wrap_pc_v4l2_query_control(
	struct pc_v4l2 *device, uint32_t id, struct v4l2_queryctrl *ret_control);
int __wrap_pc_v4l2_query_control(
	struct pc_v4l2 *device, uint32_t id, struct v4l2_queryctrl *ret_control)
{
	ret_control->id = id;
	return __wrap_pc_v4l2_ioctl(device, VIDIOC_QUERYCTRL, ret_control);
}

unsigned __wrap_pc_v4l2_scan(struct pc_v4l2_node *nodes, unsigned max);
unsigned __wrap_pc_v4l2_scan(struct pc_v4l2_node *nodes, unsigned max)
{
	struct pc_v4l2 *device;
	if (max == 0 || __wrap_pc_v4l2_open(FAKE_M2M_PATH, &device) < 0) {
		return 0;
	}
	const unsigned n = pc_v4l2_identify(device, nodes) == 0 ? 1 : 0;
	__wrap_pc_v4l2_close(device);
	return n;
}

int __wrap_pc_v4l2_find(
	enum pc_v4l2_role role, uint32_t in, uint32_t out, struct pc_v4l2_node *ret_node);
int __wrap_pc_v4l2_find(
	enum pc_v4l2_role role, uint32_t in, uint32_t out, struct pc_v4l2_node *ret_node)
{
	struct pc_v4l2_node node;
	if (__wrap_pc_v4l2_scan(&node, 1) == 0 || node.role != role || (in != 0 && !takes(in)) ||
		(out != 0 && node.out[0] != out)) {
		return -ENODEV;
	}
	*ret_node = node;
	return 0;
}

void fake_m2m_reset(bool scaler)
{
	assert(handles == NULL);
	fake_m2m = (struct fake_m2m){
		.scaler = scaler,
		.formats = { V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV },
		.stride_align = 64,
		.width_max = 1920,
		.coded_size_min = 512 << 10,
		.buffers_max = FAKE_M2M_BUFFERS,
		.packet_size = 1000,
	};
}

/* --- frames --- */

static void release_frame(struct pc_frame *base)
{
	((struct fake_frame *)base)->returns++;
}

static int begin_frame(struct pc_frame *base, unsigned access, uint8_t *data[static 4])
{
	return -ENOTSUP; /* nobody is to look */
}

static void end_frame(struct pc_frame *base, unsigned access)
{
}

static const struct pc_frame_impl frame_impl = {
	.release = release_frame,
	.begin_cpu = begin_frame,
	.end_cpu = end_frame,
};

struct fake_frame *fake_frame_create(const struct pc_frame_format *format, uint32_t stride)
{
	struct fake_frame *frame = calloc(1, sizeof(*frame));
	assert(frame != NULL);
	pc_frame_init(&frame->base, &frame_impl);
	frame->base.format = *format;
	frame->base.caps = PC_FRAME_DMABUF;
	const int64_t size = pc_frame_layout(format, 1, frame->base.planes, &frame->base.n_planes);
	assert(size > 0);
	const uint32_t packed = frame->base.planes[0].stride;
	const int fd = memfd_create("fake frame", MFD_CLOEXEC);
	assert(fd >= 0);
	for (unsigned i = 0; i < frame->base.n_planes; i++) {
		struct pc_frame_plane *plane = &frame->base.planes[i];
		plane->fd = fd;
		plane->offset = (uint32_t)((uint64_t)plane->offset * stride / packed);
		plane->stride = plane->stride * stride / packed;
	}
	frame->size = (size_t)size * stride / packed;
	const int r = ftruncate(fd, (off_t)frame->size);
	assert(r == 0);
	(void)r;
	return frame;
}

void fake_frame_free(struct fake_frame *frame)
{
	close(frame->base.planes[0].fd);
	pc_frame_finish(&frame->base);
	free(frame);
}
