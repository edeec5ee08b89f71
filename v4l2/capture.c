/* v4l2/capture.c - a camera node: opened, dequeued from, closed; see capture.h.
 *
 * One buffer is dequeued for each readiness of the node (epoll is level-triggered), so that
 * a picture costs one DQBUF and one QBUF.
 */
#include "v4l2/capture.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "core/clock.h"
#include "v4l2/capture_internal.h"

#define IDLE_MAX 16 /* errors of poll() in a row with nothing to dequeue */
#define EIO_MAX 8 /* DQBUF failures in a row that are survived */
#define EVENTS_MAX 16 /* a pass */
#define GAP_MAX 100000 /* a jump beyond this is a counter that began anew */
#define STALE_NS (5 * PC_NS_PER_S) /* a time stamp older than this is on another clock */

struct pc_capture {
	struct pc_capture_events events;
	void *data;
	struct pc_camera_stats *stats; /* NULL: nobody counts */
	struct pc_capture_info info;
	struct capture_core *core;
	struct pc_loop_source *source; /* NULL: failed */
	struct pc_wakeup *wakeup;
	uint32_t interest; /* of `source`: EPOLL* */
	size_t raw_size; /* bytes that a whole raw picture has; 0: compressed */
	unsigned idle, eio; /* in a row */
	bool started; /* the two below are of a picture */
	bool starved; /* every buffer was out: what is missing next was our fault */
	uint32_t driver_sequence;
	uint64_t sequence;
	int64_t capture_ns; /* of the newest picture */
};

static void count(struct pc_capture *capture, pc_counter *counter, uint64_t n)
{
	if (capture->stats != NULL) {
		pc_counter_add(counter, n);
	}
}

#define COUNT(capture, counter, n) count((capture), &(capture)->stats->counter, (n))

/* The last thing that a callback does: the owner may close the capture in it. */
static void fail(struct pc_capture *capture, int err, const char *what)
{
	pc_loop_remove(capture->source);
	capture->source = NULL;
	capture->events.failed(capture->data, err, what);
}

static void set_interest(struct pc_capture *capture, uint32_t events)
{
	if (capture->interest != events &&
		pc_loop_source_set_events(capture->source, events) == 0) {
		capture->interest = events;
	}
}

/* --- a picture --- */

/* When it was taken, on CLOCK_MONOTONIC; later than the one before. */
static int64_t capture_time(const struct pc_capture *capture, const struct v4l2_buffer *buffer)
{
	const int64_t now = pc_clock_now_ns();
	const int64_t stamp = (int64_t)buffer->timestamp.tv_sec * PC_NS_PER_S +
			      (int64_t)buffer->timestamp.tv_usec * 1000;
	if ((buffer->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) != V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC ||
		stamp > now || stamp < now - STALE_NS || stamp <= capture->capture_ns) {
		return now > capture->capture_ns ? now : capture->capture_ns + 1;
	}
	return stamp;
}

/* The driver's number, made 64 bits wide and never standing still; counts what is missing. */
static void follow_sequence(struct pc_capture *capture, uint32_t number)
{
	const uint32_t step = number - capture->driver_sequence;
	if (!capture->started) {
		capture->sequence = number;
	} else if (step == 0 || step > GAP_MAX) {
		capture->sequence++; /* a driver that does not count, or began anew */
	} else {
		capture->sequence += step;
		if (step > 1 && capture->starved) {
			COUNT(capture, frames_skipped_source, step - 1);
		} else if (step > 1) {
			COUNT(capture, source_gaps, step - 1);
		}
	}
	capture->started = true;
	capture->starved = false;
	capture->driver_sequence = number;
}

static bool is_bad(struct pc_capture *capture, const struct capture_buffer *buffer,
	const struct v4l2_buffer *dequeued, uint32_t bytes_used)
{
	if ((dequeued->flags & V4L2_BUF_FLAG_ERROR) != 0) {
		/* libcamera's V4L2 layer never takes the flag off a buffer again; numbers it
		 * sets for good pictures only (v4l2_camera_proxy.cpp, updateBuffers()). */
		return !capture->core->in_order || !capture->started ||
		       dequeued->sequence == buffer->sequence;
	}
	if (capture->raw_size == 0) {
		return bytes_used == 0 || bytes_used > capture->info.size;
	}
	/* Half a picture. libcamera's layer has said the first plane's size for all. */
	return bytes_used < capture->raw_size && bytes_used > 0 && !capture->core->in_order;
}

/* The last thing that a callback does: the owner may close the capture in frame(). */
static void hand_out(struct pc_capture *capture, struct capture_buffer *buffer,
	const struct v4l2_buffer *dequeued, uint32_t bytes_used)
{
	const bool bad = is_bad(capture, buffer, dequeued, bytes_used);
	if (!bad || !capture->core->in_order) {
		follow_sequence(capture, dequeued->sequence);
	}
	buffer->sequence = dequeued->sequence;
	if (bad) {
		COUNT(capture, frames_bad, 1);
		capture_core_skip(capture->core, buffer);
		return;
	}
	capture->capture_ns = capture_time(capture, dequeued);
	struct pc_frame *frame = capture_core_take(capture->core, buffer, &capture->starved);
	frame->capture_ns = capture->capture_ns;
	frame->sequence = capture->sequence;
	frame->bytes_used = capture->raw_size == 0 ? bytes_used : 0;
	capture->events.frame(capture->data, frame);
	pc_frame_unref(frame);
}

static int dequeue(
	struct pc_capture *capture, struct v4l2_buffer *ret_buffer, uint32_t *ret_bytes_used)
{
	const struct capture_core *core = capture->core;
	struct v4l2_plane planes[VIDEO_MAX_PLANES] = { 0 };
	/* index is 0: libcamera's layer wants one that exists (vidioc_dqbuf()). */
	struct v4l2_buffer buffer = { .type = core->type, .memory = core->memory };
	const bool mplane = core->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	if (mplane) {
		buffer.m.planes = planes;
		buffer.length = VIDEO_MAX_PLANES;
	}
	const int r = pc_v4l2_ioctl(core->device, VIDIOC_DQBUF, &buffer);
	if (r < 0) {
		return r;
	}
	*ret_bytes_used = mplane ? planes[0].bytesused : buffer.bytesused;
	*ret_buffer = buffer;
	return 0;
}

/* --- what is not a picture --- */

static void fail_dequeue(struct pc_capture *capture, int r, uint32_t revents)
{
	char what[96];
	if (r == -EAGAIN && (revents & EPOLLHUP) == 0) {
		if ((revents & EPOLLERR) == 0) {
			/* libcamera's layer makes its fd readable a moment before it has the
			 * picture (v4l2_camera.cpp, requestComplete()). */
			return;
		}
		/* With no buffer queued, drivers may call that an error for as long as it
		 * lasts; there is nothing to wait for until one comes back. */
		if (capture_core_rest(capture->core)) {
			set_interest(capture, capture->interest & ~(uint32_t)EPOLLIN);
			return;
		}
		if (++capture->idle < IDLE_MAX) {
			return;
		}
		r = -EIO;
	}
	if (r == -EIO && ++capture->eio < EIO_MAX && capture->idle < IDLE_MAX) {
		COUNT(capture, frames_bad, 1);
		return;
	}
	if (r == -EAGAIN || r == -ENODEV) {
		fail(capture, -ENODEV, "the camera is gone");
	} else if (r == -EPIPE) {
		fail(capture, r, "the camera's signal has changed");
	} else {
		snprintf(what, sizeof(what), "the camera gives no pictures: %s", strerror(-r));
		fail(capture, r, what);
	}
}

/* Takes the events that are due. True: the picture at the input has another format. */
static bool take_events(struct pc_capture *capture)
{
	bool changed = false;
	int r = 0;
	for (unsigned i = 0; i < EVENTS_MAX; i++) {
		struct v4l2_event event = { 0 };
		r = pc_v4l2_ioctl(capture->core->device, VIDIOC_DQEVENT, &event);
		if (r < 0) {
			break;
		}
		changed = changed ||
			  (event.type == V4L2_EVENT_SOURCE_CHANGE &&
				  (event.u.src_change.changes & V4L2_EVENT_SRC_CH_RESOLUTION) != 0);
		if (event.pending == 0) {
			break;
		}
	}
	if (r < 0 && r != -ENOENT && r != -ENODEV) {
		set_interest(capture, capture->interest & ~(uint32_t)EPOLLPRI); /* no such thing */
	}
	return changed;
}

static void on_ready(void *data, int fd, uint32_t revents)
{
	struct pc_capture *capture = data;
	if ((revents & EPOLLPRI) != 0 && take_events(capture)) {
		fail(capture, -EPIPE, "the camera's signal has changed");
		return;
	}
	if ((revents & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0) {
		return;
	}
	struct v4l2_buffer dequeued;
	uint32_t bytes_used;
	const int r = dequeue(capture, &dequeued, &bytes_used);
	if (r < 0) {
		fail_dequeue(capture, r, revents);
		return;
	}
	capture->idle = 0;
	struct capture_core *core = capture->core;
	if (dequeued.index >= core->n_buffers ||
		!capture_core_is_queued(core, &core->buffers[dequeued.index])) {
		fail(capture, -EIO, "the camera's driver gave a buffer that it did not have");
		return;
	}
	capture->eio = 0;
	hand_out(capture, &core->buffers[dequeued.index], &dequeued, bytes_used);
}

/* A buffer came back while the loop rested, or could not be queued. */
static void on_wakeup(void *data)
{
	struct pc_capture *capture = data;
	if (capture->source == NULL) {
		return; /* failed already */
	}
	const int r = capture_core_wake(capture->core);
	if (r == -ENODEV) {
		fail(capture, r, "the camera is gone");
	} else if (r < 0) {
		char what[96];
		snprintf(what, sizeof(what), "the camera takes no buffers: %s", strerror(-r));
		fail(capture, r, what);
	} else {
		set_interest(capture, capture->interest | EPOLLIN);
	}
}

/* --- open and close --- */

static int open_node(const char *path, struct pc_v4l2 **ret_device, const struct capture_why *why)
{
	const int r = pc_v4l2_open(path, ret_device);
	switch (r) {
	case 0:
		return 0;
	case -ENOENT:
	case -ENOTDIR:
		return capture_explain(
			why, -ENODEV, "there is no %s; is the camera plugged in?", path);
	case -EACCES:
	case -EPERM:
		return capture_explain(why, -EACCES,
			"no permission to open %s; \"usermod -aG video USER\" gives it to petcam's "
			"user",
			path);
	case -EBUSY:
		return capture_explain(why, r,
			"%s is in use by another program; \"fuser -v %s\" shows which", path, path);
	case -ENODEV:
		return capture_explain(why, r, "%s is no camera: nothing there speaks V4L2", path);
	default:
		return capture_explain(why, r, "%s: %s", path, strerror(-r));
	}
}

static int identify(
	struct capture_node *node, struct pc_capture_info *info, const struct capture_why *why)
{
	struct pc_v4l2_node found;
	const char *path = pc_v4l2_path(node->device);
	const int r = pc_v4l2_identify(node->device, &found);
	if (r < 0) {
		return capture_explain(why, r, "%s: QUERYCAP: %s", path, strerror(-r));
	}
	if (found.role != PC_V4L2_CAMERA) {
		const char *article = found.role == PC_V4L2_OTHER     ? "some "
				      : found.role == PC_V4L2_ENCODER ? "an "
								      : "a ";
		return capture_explain(why, -ENODEV, "%s is no camera but %s%s (%s)", path, article,
			pc_v4l2_role_name(found.role), found.card);
	}
	node->type = (found.caps & V4L2_CAP_VIDEO_CAPTURE) != 0
			     ? V4L2_BUF_TYPE_VIDEO_CAPTURE
			     : V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	memcpy(info->card, found.card, sizeof(info->card));
	return 0;
}

/* A node that tells of another signal, or of none; those that do not are left alone. */
static void subscribe(const struct capture_node *node)
{
	struct v4l2_event_subscription subscription = {
		.type = V4L2_EVENT_SOURCE_CHANGE,
		.id = node->input,
	};
	if (!pc_v4l2_is_libcamerify(node->device)) {
		(void)pc_v4l2_ioctl(node->device, VIDIOC_SUBSCRIBE_EVENT, &subscription);
	}
}

static int stream_on(const struct capture_core *core, const struct capture_why *why)
{
	int type = (int)core->type;
	const char *path = pc_v4l2_path(core->device);
	const int r = pc_v4l2_ioctl(core->device, VIDIOC_STREAMON, &type);
	switch (r) {
	case 0:
		return 0;
	case -EBUSY:
		return capture_explain(why, r,
			"%s is in use by another program; \"fuser -v %s\" shows which", path, path);
	case -ENOSPC: /* uvcvideo: no alternate setting that is wide enough */
		return capture_explain(why, r,
			"%s: the USB bus has no room for this size and rate; try smaller ones, or "
			"another port",
			path);
	case -ENOMEM:
		return capture_explain(why, r, "%s: no memory left to stream into", path);
	default:
		return capture_explain(why, r, "%s: STREAMON: %s", path, strerror(-r));
	}
}

static void describe(struct pc_capture_info *info)
{
	static const char *const memory[] = {
		[PC_CAPTURE_EXPORT] = "exported",
		[PC_CAPTURE_IMPORT] = "imported",
		[PC_CAPTURE_MAPPED] = "mapped",
	};
	char format[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&info->format, format);
	snprintf(info->text, sizeof(info->text), "%.31s: %s at %.4g, %u buffers %s%s", info->card,
		format, info->fps, info->buffers, memory[info->memory],
		info->converted ? ", converted by the CPU" : "");
}

/* Everything but the loop: the node is set up and its buffers are queued. */
static int set_up(struct pc_capture *capture, const struct pc_capture_config *config,
	const struct capture_why *why)
{
	struct capture_node node = { 0 };
	struct pc_capture_info *info = &capture->info;
	int r = open_node(config->path, &node.device, why);
	if (r < 0) {
		return r;
	}
	r = identify(&node, info, why);
	if (r == 0) {
		r = capture_input(&node, why);
	}
	if (r == 0) {
		r = capture_negotiate(&node, config, info, why);
	}
	if (r == 0) {
		r = capture_core_create(&node, config, capture->data, info, why, &capture->core);
	}
	if (r < 0) {
		pc_v4l2_close(node.device);
		return r;
	}
	subscribe(&node);
	describe(info);
	return 0;
}

static size_t raw_size(const struct pc_capture_info *info)
{
	const struct pc_frame_format *format = &info->format;
	if (pc_v4l2_is_jpeg(format->fourcc)) {
		return 0;
	}
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	unsigned n;
	const int64_t packed = pc_frame_layout(format, 1, planes, &n);
	return packed < 0 ? 0 : (size_t)packed;
}

int pc_capture_open(struct pc_loop *loop, const struct pc_capture_config *config,
	const struct pc_capture_events *events, void *data, char *why, size_t why_size,
	struct pc_capture **ret_capture)
{
	assert(config->n_wishes > 0 && config->width > 0 && config->height > 0);
	assert(config->fps > 0 && config->buffers >= 3 && config->buffers <= CAPTURE_BUFFERS_MAX);
	assert((config->memory == PC_CAPTURE_IMPORT) == (config->provide != NULL));
	const struct capture_why sentence = { why, why_size };
	struct pc_capture *capture = calloc(1, sizeof(*capture));
	if (capture == NULL) {
		return capture_explain(&sentence, -ENOMEM, "no memory");
	}
	capture->events = *events;
	capture->data = data;
	capture->stats = config->stats;
	capture->interest = EPOLLIN | EPOLLPRI;
	int r = set_up(capture, config, &sentence);
	if (r < 0) {
		goto fail_set_up;
	}
	capture->raw_size = raw_size(&capture->info);
	r = pc_wakeup_create(loop, "capture wakeup", on_wakeup, capture, &capture->wakeup);
	if (r < 0) {
		capture_explain(&sentence, r, "%s: no wake-up: %s", config->path, strerror(-r));
		goto fail_wakeup;
	}
	capture->core->wakeup = capture->wakeup;
	r = pc_loop_add_fd(loop, "capture", pc_v4l2_fd(capture->core->device), capture->interest,
		on_ready, capture, &capture->source);
	if (r < 0) {
		capture_explain(&sentence, r, "%s: not watched: %s", config->path, strerror(-r));
		goto fail_source;
	}
	r = stream_on(capture->core, &sentence);
	if (r < 0) {
		goto fail_stream;
	}
	*ret_capture = capture;
	return 0;

fail_stream:
	pc_loop_remove(capture->source);
fail_source:
	pc_wakeup_destroy(capture->wakeup);
fail_wakeup:
	capture_core_close(capture->core);
fail_set_up:
	free(capture);
	return r;
}

const struct pc_capture_info *pc_capture_info(const struct pc_capture *capture)
{
	return &capture->info;
}

int pc_capture_sample_fd(const struct pc_capture *capture)
{
	return capture->core->buffers[0].fd;
}

int pc_capture_set_control(struct pc_capture *capture, uint32_t id, int32_t value)
{
	return pc_v4l2_set_control(capture->core->device, id, value);
}

void pc_capture_close(struct pc_capture *capture)
{
	if (capture == NULL) {
		return;
	}
	pc_loop_remove(capture->source);
	/* First the core: until it is closed, whoever drops a frame may signal the wakeup. */
	capture_core_close(capture->core);
	pc_wakeup_destroy(capture->wakeup);
	free(capture);
}
