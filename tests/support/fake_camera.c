/* tests/support/fake_camera.c - see fake_camera.h. Linked with -Wl,--wrap for each __wrap_. */
#include "tests/support/fake_camera.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/loop.h"
#include "v4l2/device.h"

#define OFFSET_STEP 0x1000000u /* between the buffers' offsets for map() */

struct pc_v4l2 {
	bool converting;
};

enum state {
	OUT, /* the program's */
	QUEUED,
	DONE,
};

struct buffer {
	enum state state;
	int fd; /* the camera's memfd, or what was queued */
	bool mapped;
	struct v4l2_buffer filled;
};

struct fake_camera fake_camera;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pc_v4l2 node;
static bool is_open;
static int event_fd = -1;
static struct buffer buffers[FAKE_CAMERA_BUFFERS];
static unsigned queue[FAKE_CAMERA_BUFFERS]; /* indices, in the order queued */
static unsigned done[FAKE_CAMERA_BUFFERS], n_done; /* indices, in the order filled */
static unsigned current; /* libcamerify: what DQBUF gives next */
static uint32_t sequence;
static uint32_t pending_changes;
static struct {
	struct pc_loop_source *source;
	void (*fn)(void *data, int fd, uint32_t revents);
	void *data;
	uint32_t events;
} watch;

void fake_camera_init(void)
{
	assert(!is_open && watch.source == NULL);
	fake_camera = (struct fake_camera){
		.formats = {
			{ .pixelformat = V4L2_PIX_FMT_YUYV,
				.fps = { 30, 15 },
				.sizes = { { 640, 480 }, { 1280, 720 } } },
			{ .pixelformat = V4L2_PIX_FMT_MJPEG,
				.fps = { 30, 15 },
				.sizes = { { 640, 480 }, { 1280, 720 } } },
		},
		.buffers_max = FAKE_CAMERA_BUFFERS,
		.driver = "fake",
		.card = "Fake camera",
		.event_id = UINT32_MAX,
	};
	sequence = 0;
	pending_changes = 0;
}

/* Under the lock: does this call fail? */
static bool fails(void)
{
	fake_camera.ioctls++;
	if (fake_camera.fail_at == 0 || --fake_camera.fail_at > 0) {
		return false;
	}
	fake_camera.failed = true;
	return true;
}

static void count(unsigned long request)
{
	for (unsigned i = 0; i < FAKE_CAMERA_REQUESTS; i++) {
		if (fake_camera.calls[i].calls == 0 || fake_camera.calls[i].request == request) {
			fake_camera.calls[i].request = request;
			fake_camera.calls[i].calls++;
			return;
		}
	}
}

bool fake_camera_is_open(void)
{
	pthread_mutex_lock(&lock);
	const bool open = is_open;
	pthread_mutex_unlock(&lock);
	return open;
}

unsigned fake_camera_calls(unsigned long request)
{
	unsigned calls = 0;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < FAKE_CAMERA_REQUESTS; i++) {
		if (fake_camera.calls[i].request == request) {
			calls = fake_camera.calls[i].calls;
		}
	}
	pthread_mutex_unlock(&lock);
	return calls;
}

/* --- what it answers --- */

/* libv4l2 makes single-planar nodes of all. */
static bool mplane(void)
{
	return fake_camera.mplane && !node.converting;
}

static uint32_t type(void)
{
	return mplane() ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
}

static const struct fake_camera_format *find_format(uint32_t pixelformat)
{
	for (const struct fake_camera_format *f = fake_camera.formats; f->pixelformat != 0; f++) {
		if (f->pixelformat == pixelformat) {
			return f;
		}
	}
	return NULL;
}

static int query_capability(struct v4l2_capability *capability)
{
	const uint32_t camera = V4L2_CAP_STREAMING |
				(mplane() ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE);
	snprintf((char *)capability->driver, sizeof(capability->driver), "%s", fake_camera.driver);
	snprintf((char *)capability->card, sizeof(capability->card), "%s", fake_camera.card);
	capability->device_caps = fake_camera.caps != 0 ? fake_camera.caps : camera;
	capability->capabilities = capability->device_caps | V4L2_CAP_DEVICE_CAPS;
	return 0;
}

static int enumerate_format(struct v4l2_fmtdesc *desc)
{
	unsigned n = 0;
	while (fake_camera.formats[n].pixelformat != 0) {
		n++;
	}
	if (desc->type != type() || desc->index > n || (desc->index == n && !node.converting)) {
		return -EINVAL;
	}
	desc->flags = 0;
	if (desc->index == n) {
		desc->pixelformat = V4L2_PIX_FMT_YUV420;
		desc->flags = V4L2_FMT_FLAG_EMULATED;
		return 0;
	}
	desc->pixelformat = fake_camera.formats[desc->index].pixelformat;
	if (pc_v4l2_is_jpeg(desc->pixelformat)) {
		desc->flags = V4L2_FMT_FLAG_COMPRESSED;
	}
	return 0;
}

static int enumerate_size(struct v4l2_frmsizeenum *size)
{
	const struct fake_camera_format *format = find_format(size->pixel_format);
	if (format == NULL || size->index >= 4 || format->sizes[size->index][0] == 0) {
		return -EINVAL;
	}
	if (format->stepwise) {
		size->type = V4L2_FRMSIZE_TYPE_STEPWISE;
		size->stepwise = (struct v4l2_frmsize_stepwise){ format->sizes[0][0],
			format->sizes[1][0], 16, format->sizes[0][1], format->sizes[1][1], 16 };
		return size->index == 0 ? 0 : -EINVAL;
	}
	size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
	size->discrete.width = format->sizes[size->index][0];
	size->discrete.height = format->sizes[size->index][1];
	return 0;
}

static int enumerate_interval(struct v4l2_frmivalenum *interval)
{
	const struct fake_camera_format *format = find_format(interval->pixel_format);
	if (format == NULL || interval->index >= 4 || format->fps[interval->index] == 0) {
		return -EINVAL;
	}
	interval->type = V4L2_FRMIVAL_TYPE_DISCRETE;
	interval->discrete = (struct v4l2_fract){ 1, format->fps[interval->index] };
	return 0;
}

/* Bytes that a picture needs, for the formats that tests use. */
static uint32_t picture_size(uint32_t pixelformat, uint32_t stride, uint32_t width, uint32_t height)
{
	switch (pixelformat) {
	case V4L2_PIX_FMT_NV12:
	case V4L2_PIX_FMT_YUV420:
		return stride * height * 3 / 2;
	case V4L2_PIX_FMT_MJPEG:
		return width * height;
	default:
		return stride * height;
	}
}

static int set_format(struct v4l2_format *format)
{
	if (format->type != type() || fake_camera.n_buffers > 0) {
		return format->type != type() ? -EINVAL : -EBUSY;
	}
	struct v4l2_pix_format_mplane *mp = &format->fmt.pix_mp;
	struct v4l2_pix_format *sp = &format->fmt.pix;
	const uint32_t asked = mplane() ? mp->pixelformat : sp->pixelformat;
	const uint32_t width = mplane() ? mp->width : sp->width;
	const uint32_t height = mplane() ? mp->height : sp->height;
	uint32_t stride = mplane() ? mp->plane_fmt[0].bytesperline : sp->bytesperline;
	static const struct fake_camera_format converted = { V4L2_PIX_FMT_YUV420 };
	const struct fake_camera_format *is = find_format(asked);
	if (node.converting && asked == V4L2_PIX_FMT_YUV420) {
		is = &converted;
	}
	if (is == NULL || is->lies) {
		is = &fake_camera.formats[0];
	}
	const uint32_t bytes = is->pixelformat == V4L2_PIX_FMT_YUYV    ? 2
			       : is->pixelformat == V4L2_PIX_FMT_RGB24 ? 3
								       : 1;
	const uint32_t align = is->stride_align == 0 ? 1 : is->stride_align;
	stride = stride < width * bytes ? width * bytes : stride;
	stride = (stride + align - 1) / align * align;
	stride = is->stride_fixed != 0 ? is->stride_fixed : stride;
	stride = is->pixelformat == V4L2_PIX_FMT_MJPEG ? 0 : stride;
	fake_camera.pixelformat = is->pixelformat;
	fake_camera.width = width;
	fake_camera.height = height;
	fake_camera.stride = stride;
	fake_camera.size = picture_size(is->pixelformat, stride, width, height);
	const uint32_t field = is->field == 0 ? V4L2_FIELD_NONE : is->field;
	if (mplane()) {
		mp->pixelformat = is->pixelformat;
		mp->field = field;
		mp->num_planes = 1;
		mp->plane_fmt[0].bytesperline = stride;
		mp->plane_fmt[0].sizeimage = fake_camera.size;
	} else {
		sp->pixelformat = is->pixelformat;
		sp->field = field;
		sp->bytesperline = stride;
		sp->sizeimage = fake_camera.size;
	}
	return 0;
}

static int set_parm(struct v4l2_streamparm *parm)
{
	if (fake_camera.formats[0].fps[0] == 0) {
		return -ENOTTY;
	}
	fake_camera.interval = parm->parm.capture.timeperframe;
	return 0;
}

static int query_timings(struct v4l2_dv_timings *timings)
{
	if (fake_camera.timings_error == 0) {
		*timings = fake_camera.signal;
	}
	return fake_camera.timings_error;
}

/* --- its buffers --- */

static void free_buffers(void)
{
	for (unsigned i = 0; i < fake_camera.n_buffers; i++) {
		if (fake_camera.memory == V4L2_MEMORY_MMAP) {
			close(buffers[i].fd);
		}
	}
	fake_camera.n_buffers = fake_camera.n_queued = n_done = 0;
}

static int request_buffers(struct v4l2_requestbuffers *request)
{
	if (request->type != type() ||
		(request->memory == V4L2_MEMORY_DMABUF && fake_camera.imports_not)) {
		return -EINVAL;
	}
	if (fake_camera.streaming) {
		return -EBUSY;
	}
	free_buffers();
	fake_camera.memory = request->memory;
	if (request->count > fake_camera.buffers_max) {
		request->count = fake_camera.buffers_max;
	}
	for (unsigned i = 0; i < request->count; i++) {
		struct buffer *buffer = &buffers[i];
		*buffer = (struct buffer){ .state = OUT, .fd = -1 };
		if (request->memory == V4L2_MEMORY_MMAP) {
			buffer->fd = memfd_create("fake-camera", MFD_CLOEXEC);
			assert(buffer->fd >= 0 && ftruncate(buffer->fd, fake_camera.size) == 0);
		}
	}
	fake_camera.n_buffers = request->count;
	return 0;
}

static struct buffer *find_buffer(uint32_t buffer_type, uint32_t memory, uint32_t index)
{
	return buffer_type == type() && memory == fake_camera.memory &&
			       index < fake_camera.n_buffers
		       ? &buffers[index]
		       : NULL;
}

static int query_buffer(struct v4l2_buffer *request)
{
	if (find_buffer(request->type, request->memory, request->index) == NULL) {
		return -EINVAL;
	}
	const uint32_t offset = request->index * OFFSET_STEP;
	if (mplane()) {
		assert(request->length == 1);
		request->m.planes[0].length = fake_camera.size;
		request->m.planes[0].m.mem_offset = offset;
	} else {
		request->length = fake_camera.size;
		request->m.offset = offset;
	}
	return 0;
}

static int export_buffer(struct v4l2_exportbuffer *request)
{
	if (fake_camera.exports_not) {
		return -ENOTTY;
	}
	struct buffer *buffer = find_buffer(request->type, V4L2_MEMORY_MMAP, request->index);
	if (buffer == NULL || request->flags != (O_RDWR | O_CLOEXEC)) {
		return -EINVAL;
	}
	request->fd = fcntl(buffer->fd, F_DUPFD_CLOEXEC, 0);
	return request->fd < 0 ? -errno : 0;
}

static int queue_buffer(const struct v4l2_buffer *request)
{
	struct buffer *buffer = find_buffer(request->type, request->memory, request->index);
	if (buffer == NULL || buffer->state != OUT) {
		return -EINVAL;
	}
	if (request->memory == V4L2_MEMORY_DMABUF) {
		const int fd = mplane() ? request->m.planes[0].m.fd : request->m.fd;
		struct stat status;
		if (fstat(fd, &status) < 0 || status.st_size < (off_t)fake_camera.size) {
			return -EINVAL;
		}
		/* A buffer keeps its index, or the kernel would map it anew. */
		assert(buffer->fd == -1 || buffer->fd == fd);
		buffer->fd = fd;
	}
	buffer->state = QUEUED;
	queue[fake_camera.n_queued++] = request->index;
	return 0;
}

static int dequeue_buffer(struct v4l2_buffer *request)
{
	if (find_buffer(request->type, request->memory, request->index) == NULL ||
		!fake_camera.streaming) {
		return -EINVAL; /* an index that exists is libcamera's wish */
	}
	if (n_done == 0) {
		return -EAGAIN;
	}
	unsigned index = done[0];
	if (fake_camera.libcamerify) { /* round-robin, whichever was filled */
		fake_camera.wrong_buffers += index != current;
		index = current;
		current = (current + 1) % fake_camera.n_buffers;
	}
	memmove(done, done + 1, --n_done * sizeof(done[0]));
	struct buffer *buffer = &buffers[index];
	buffer->state = OUT;
	struct v4l2_plane *planes = request->m.planes;
	const uint32_t length = request->length;
	*request = buffer->filled;
	if (mplane()) {
		assert(length >= 1 && planes != NULL);
		planes[0].bytesused = buffer->filled.bytesused;
		request->m.planes = planes;
		request->length = 1;
	}
	eventfd_t one;
	(void)eventfd_read(event_fd, &one);
	return 0;
}

static int stream(int on)
{
	fake_camera.streaming = on != 0;
	if (!on) {
		eventfd_t one;
		while (n_done > 0 && eventfd_read(event_fd, &one) == 0) {
			n_done--;
		}
		fake_camera.n_queued = n_done = 0;
		for (unsigned i = 0; i < fake_camera.n_buffers; i++) {
			buffers[i].state = OUT;
		}
	}
	current = 0;
	return 0;
}

bool fake_camera_shoot(const struct fake_camera_shot *shot)
{
	static const struct fake_camera_shot good;
	shot = shot == NULL ? &good : shot;
	pthread_mutex_lock(&lock);
	sequence += shot->lost_before;
	fake_camera.shots += shot->lost_before + 1;
	const uint32_t number = sequence++;
	if (!fake_camera.streaming || fake_camera.n_queued == 0 || fake_camera.gone) {
		pthread_mutex_unlock(&lock);
		return false;
	}
	const unsigned index = queue[0];
	memmove(queue, queue + 1, --fake_camera.n_queued * sizeof(queue[0]));
	struct buffer *buffer = &buffers[index];
	buffer->state = DONE;
	const int64_t stamp = shot->stamp_ns != 0 ? shot->stamp_ns : pc_clock_now_ns();
	/* libcamera's layer fills nothing in for a bad picture. */
	if (!fake_camera.libcamerify || (shot->flags & V4L2_BUF_FLAG_ERROR) == 0) {
		buffer->filled.sequence = fake_camera.no_numbers ? 0 : number;
		buffer->filled.timestamp.tv_sec = stamp / PC_NS_PER_S;
		buffer->filled.timestamp.tv_usec = stamp % PC_NS_PER_S / 1000;
		buffer->filled.bytesused = shot->empty		   ? 0
					   : shot->bytes_used != 0 ? shot->bytes_used
								   : fake_camera.size;
	}
	/* ... and never takes the flag off. */
	const uint32_t stays = fake_camera.libcamerify ? buffer->filled.flags : 0;
	buffer->filled.flags = stays | shot->flags |
			       (shot->clock != 0 ? shot->clock : V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC);
	buffer->filled.index = index;
	buffer->filled.type = type();
	buffer->filled.memory = fake_camera.memory;
	buffer->filled.length = fake_camera.size;
	const ssize_t written = pwrite(buffer->fd, &number, sizeof(number), 0);
	assert(written == sizeof(number));
	(void)written;
	done[n_done++] = index;
	(void)eventfd_write(event_fd, 1);
	pthread_mutex_unlock(&lock);
	return true;
}

/* --- the loop's watch --- */

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
	const int r = __real_pc_loop_add_fd(loop, name, fd, events, fn, data, ret_source);
	if (r == 0 && fd == event_fd) {
		watch.source = *ret_source;
		watch.fn = fn;
		watch.data = data;
		watch.events = events;
	}
	return r;
}

int __real_pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events);
int __wrap_pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events);
int __wrap_pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events)
{
	if (source == watch.source) {
		watch.events = events;
	}
	return __real_pc_loop_source_set_events(source, events);
}

void __real_pc_loop_remove(struct pc_loop_source *source);
void __wrap_pc_loop_remove(struct pc_loop_source *source);
void __wrap_pc_loop_remove(struct pc_loop_source *source)
{
	if (source != NULL && source == watch.source) {
		watch.source = NULL;
	}
	__real_pc_loop_remove(source);
}

bool fake_camera_poke(uint32_t revents)
{
	if (watch.source == NULL) {
		return false;
	}
	revents &= watch.events | EPOLLERR | EPOLLHUP;
	if (revents != 0) {
		watch.fn(watch.data, event_fd, revents);
	}
	return revents != 0;
}

uint32_t fake_camera_interest(void)
{
	return watch.source == NULL ? 0 : watch.events;
}

/* --- device.h --- */

int __wrap_pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device);
int __wrap_pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device)
{
	int r = 0;
	pthread_mutex_lock(&lock);
	if (strcmp(path, FAKE_CAMERA_PATH) != 0 || fake_camera.gone) {
		r = -ENOENT;
	} else if (fake_camera.open_error != 0) {
		r = fake_camera.open_error;
	} else if (fails()) {
		r = -fake_camera.fail_errno;
	} else {
		assert(!is_open); /* one at a time is enough */
		event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
		assert(event_fd >= 0);
		node = (struct pc_v4l2){ 0 };
		is_open = true;
		fake_camera.opens++;
		*ret_device = &node;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void __wrap_pc_v4l2_close(struct pc_v4l2 *device);
void __wrap_pc_v4l2_close(struct pc_v4l2 *device)
{
	if (device == NULL) {
		return;
	}
	pthread_mutex_lock(&lock);
	assert(is_open && watch.source == NULL && fake_camera.n_mapped == 0);
	stream(0);
	free_buffers();
	close(event_fd);
	event_fd = -1;
	is_open = false;
	fake_camera.closes++;
	fake_camera.event_id = UINT32_MAX;
	pthread_mutex_unlock(&lock);
}

int __wrap_pc_v4l2_fd(const struct pc_v4l2 *device);
int __wrap_pc_v4l2_fd(const struct pc_v4l2 *device)
{
	return event_fd;
}

const char *__wrap_pc_v4l2_path(const struct pc_v4l2 *device);
const char *__wrap_pc_v4l2_path(const struct pc_v4l2 *device)
{
	return FAKE_CAMERA_PATH;
}

int __wrap_pc_v4l2_convert(struct pc_v4l2 *device);
int __wrap_pc_v4l2_convert(struct pc_v4l2 *device)
{
	device->converting = fake_camera.conversion && !fake_camera.libcamerify;
	return device->converting ? 0 : -ENOTSUP;
}

bool __wrap_pc_v4l2_is_libcamerify(const struct pc_v4l2 *device);
bool __wrap_pc_v4l2_is_libcamerify(const struct pc_v4l2 *device)
{
	return fake_camera.libcamerify;
}

static int dequeue_event(struct v4l2_event *event)
{
	if (pending_changes == 0) {
		return -ENOENT;
	}
	*event = (struct v4l2_event){ .type = V4L2_EVENT_SOURCE_CHANGE };
	event->u.src_change.changes = pending_changes;
	pending_changes = 0;
	return 0;
}

void fake_camera_change_source(uint32_t changes)
{
	pthread_mutex_lock(&lock);
	pending_changes = fake_camera.event_id != UINT32_MAX ? changes : 0;
	pthread_mutex_unlock(&lock);
}

static int describe_input(struct v4l2_input *input)
{
	input->status = fake_camera.input_status;
	input->capabilities = fake_camera.timings ? V4L2_IN_CAP_DV_TIMINGS : 0;
	snprintf((char *)input->name, sizeof(input->name), "Input 3");
	return input->index == 3 ? 0 : -EINVAL;
}

static int answer_setup(unsigned long request, void *arg)
{
	switch (request) {
	case VIDIOC_QUERYCAP:
		return query_capability(arg);
	case VIDIOC_ENUM_FMT:
		return enumerate_format(arg);
	case VIDIOC_ENUM_FRAMESIZES:
		return enumerate_size(arg);
	case VIDIOC_ENUM_FRAMEINTERVALS:
		return enumerate_interval(arg);
	case VIDIOC_S_FMT:
		return set_format(arg);
	case VIDIOC_S_PARM:
		return set_parm(arg);
	case VIDIOC_G_INPUT:
		*(int *)arg = 3;
		return 0;
	case VIDIOC_ENUMINPUT:
		return describe_input(arg);
	case VIDIOC_QUERY_DV_TIMINGS:
		return query_timings(arg);
	case VIDIOC_G_DV_TIMINGS:
		*(struct v4l2_dv_timings *)arg = fake_camera.set;
		return 0;
	case VIDIOC_S_DV_TIMINGS:
		fake_camera.set = *(const struct v4l2_dv_timings *)arg;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int answer(unsigned long request, void *arg)
{
	switch (request) {
	case VIDIOC_REQBUFS:
		return request_buffers(arg);
	case VIDIOC_QUERYBUF:
		return query_buffer(arg);
	case VIDIOC_EXPBUF:
		return export_buffer(arg);
	case VIDIOC_QBUF:
		return queue_buffer(arg);
	case VIDIOC_DQBUF:
		return dequeue_buffer(arg);
	case VIDIOC_STREAMON:
	case VIDIOC_STREAMOFF:
		return *(int *)arg == (int)type() ? stream(request == VIDIOC_STREAMON) : -EINVAL;
	case VIDIOC_SUBSCRIBE_EVENT:
		assert(!fake_camera.libcamerify);
		fake_camera.event_id = ((struct v4l2_event_subscription *)arg)->id;
		return 0;
	case VIDIOC_DQEVENT:
		assert(!fake_camera.libcamerify);
		return dequeue_event(arg);
	default:
		return answer_setup(request, arg);
	}
}

int __wrap_pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg);
int __wrap_pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg)
{
	int r;
	pthread_mutex_lock(&lock);
	assert(is_open);
	count(request);
	if (fake_camera.gone) {
		r = -ENODEV;
	} else if (fails()) {
		r = -fake_camera.fail_errno;
	} else if (fake_camera.fail_request_times > 0 && request == fake_camera.fail_request) {
		fake_camera.fail_request_times--;
		r = -fake_camera.fail_request_errno;
	} else {
		r = answer(request, arg);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

int __wrap_pc_v4l2_map(struct pc_v4l2 *device, size_t size, uint32_t offset, void **ret_data);
int __wrap_pc_v4l2_map(struct pc_v4l2 *device, size_t size, uint32_t offset, void **ret_data)
{
	pthread_mutex_lock(&lock);
	const bool failing = fails();
	pthread_mutex_unlock(&lock);
	const unsigned index = offset / OFFSET_STEP;
	if (failing || index >= fake_camera.n_buffers || size != fake_camera.size) {
		return failing ? -fake_camera.fail_errno : -EINVAL;
	}
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buffers[index].fd, 0);
	assert(data != MAP_FAILED);
	pthread_mutex_lock(&lock);
	fake_camera.n_mapped++;
	pthread_mutex_unlock(&lock);
	*ret_data = data;
	return 0;
}

void __wrap_pc_v4l2_unmap(struct pc_v4l2 *device, void *data, size_t size);
void __wrap_pc_v4l2_unmap(struct pc_v4l2 *device, void *data, size_t size)
{
	pthread_mutex_lock(&lock);
	assert(is_open && fake_camera.n_mapped > 0);
	fake_camera.n_mapped--;
	pthread_mutex_unlock(&lock);
	munmap(data, size);
}

int __wrap_pc_v4l2_set_control(struct pc_v4l2 *device, uint32_t id, int32_t value);
int __wrap_pc_v4l2_set_control(struct pc_v4l2 *device, uint32_t id, int32_t value)
{
	return id != V4L2_CID_BRIGHTNESS ? -EINVAL : value > 255 ? -ERANGE : 0;
}
