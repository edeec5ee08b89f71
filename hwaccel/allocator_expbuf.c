/* hwaccel/allocator_expbuf.c - an M2M encoder's own input buffers, exported.
 *
 * Buffers are made one by one (CREATE_BUFS) on a handle on which nothing streams. A queue
 * has one format at a time and can lose its buffers only all together: while frames of one
 * format are out, another is refused (-EBUSY), and a freed buffer's place is used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "hwaccel/allocator_internal.h"
#include "hwaccel/dmabuf_internal.h"
#include "v4l2/device.h"

#define BUFFERS_MAX 32 /* VIDEO_MAX_FRAME: of a queue */

struct expbuf_allocator {
	struct pc_allocator base;
	struct pc_v4l2 *device;
	bool mplane;
	pthread_mutex_t lock; /* guards what follows */
	struct v4l2_format v4l2_format; /* of the buffers there are */
	struct pc_dmabuf_layout layout;
	unsigned n_buffers; /* the queue has */
	struct pc_frame *frames[BUFFERS_MAX]; /* exported; NULL: free to be used again */
};

static uint32_t queue_type(const struct expbuf_allocator *allocator)
{
	return allocator->mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
}

static int release_all(struct expbuf_allocator *allocator)
{
	struct v4l2_requestbuffers none = {
		.type = queue_type(allocator),
		.memory = V4L2_MEMORY_MMAP,
	};
	const int r = pc_v4l2_ioctl(allocator->device, VIDIOC_REQBUFS, &none);
	allocator->n_buffers = r == 0 ? 0 : allocator->n_buffers;
	return r;
}

/* Under the lock; no buffer is there. */
static int set_format(struct expbuf_allocator *allocator, const struct pc_frame_format *format)
{
	struct v4l2_format f = { .type = queue_type(allocator) };
	const uint32_t pixelformat = pc_v4l2_from_drm(format->fourcc);
	struct pc_dmabuf_layout layout;
	int r = pc_dmabuf_layout(format, &layout);
	if (r < 0 || pixelformat == 0) {
		return -EINVAL;
	}
	const uint32_t wished = layout.planes[0].stride;
	if (allocator->mplane) {
		f.fmt.pix_mp.width = format->width;
		f.fmt.pix_mp.height = format->height;
		f.fmt.pix_mp.pixelformat = pixelformat;
		f.fmt.pix_mp.field = V4L2_FIELD_NONE;
		f.fmt.pix_mp.num_planes = 1;
		f.fmt.pix_mp.plane_fmt[0].bytesperline = wished;
	} else {
		f.fmt.pix.width = format->width;
		f.fmt.pix.height = format->height;
		f.fmt.pix.pixelformat = pixelformat;
		f.fmt.pix.field = V4L2_FIELD_NONE;
		f.fmt.pix.bytesperline = wished;
	}
	r = pc_v4l2_ioctl(allocator->device, VIDIOC_S_FMT, &f);
	if (r < 0) {
		return r;
	}
	const struct v4l2_pix_format_mplane *mp = &f.fmt.pix_mp;
	const struct v4l2_pix_format *sp = &f.fmt.pix;
	const bool as_wished =
		allocator->mplane ? mp->width == format->width && mp->height == format->height &&
					    mp->pixelformat == pixelformat && mp->num_planes == 1
				  : sp->width == format->width && sp->height == format->height &&
					    sp->pixelformat == pixelformat;
	const uint32_t stride =
		allocator->mplane ? mp->plane_fmt[0].bytesperline : sp->bytesperline;
	const uint32_t size = allocator->mplane ? mp->plane_fmt[0].sizeimage : sp->sizeimage;
	const int64_t bytes =
		pc_frame_layout_stride(format, stride, layout.planes, &layout.n_planes);
	if (!as_wished || bytes < 0 || bytes > (int64_t)size) {
		return -EINVAL;
	}
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	layout.size = (size + page - 1) / page * page; /* as mapped */
	allocator->v4l2_format = f;
	allocator->layout = layout;
	return 0;
}

/* Under the lock: a place whose buffer is the queue's again, or a new one. */
static int take_index(struct expbuf_allocator *allocator, unsigned *ret_index)
{
	for (unsigned i = 0; i < allocator->n_buffers; i++) {
		if (allocator->frames[i] == NULL) {
			*ret_index = i;
			return 0;
		}
	}
	if (allocator->n_buffers == BUFFERS_MAX) {
		return -ENOMEM;
	}
	struct v4l2_create_buffers request = {
		.count = 1,
		.memory = V4L2_MEMORY_MMAP,
		.format = allocator->v4l2_format,
	};
	const int r = pc_v4l2_ioctl(allocator->device, VIDIOC_CREATE_BUFS, &request);
	if (r < 0) {
		return r;
	}
	if (request.count != 1 || request.index != allocator->n_buffers) {
		return -ENOMEM;
	}
	allocator->n_buffers++;
	*ret_index = request.index;
	return 0;
}

static int export_buffer(struct expbuf_allocator *allocator, unsigned index)
{
	struct v4l2_exportbuffer request = {
		.type = queue_type(allocator),
		.index = index,
		.flags = O_RDWR | O_CLOEXEC,
	};
	int r = pc_v4l2_ioctl(allocator->device, VIDIOC_EXPBUF, &request);
	if (r < 0) {
		return r;
	}
	r = pc_dmabuf_frame_create(request.fd, &allocator->layout, &allocator->frames[index]);
	if (r < 0) {
		close(request.fd);
	}
	return r;
}

static bool any_out(const struct expbuf_allocator *allocator)
{
	for (unsigned i = 0; i < allocator->n_buffers; i++) {
		if (allocator->frames[i] != NULL) {
			return true;
		}
	}
	return false;
}

static int expbuf_allocate(struct pc_allocator *base, const struct pc_frame_format *format,
	struct pc_frame **ret_frame)
{
	struct expbuf_allocator *allocator = (struct expbuf_allocator *)base;
	int r = 0;
	pthread_mutex_lock(&allocator->lock);
	if (allocator->n_buffers == 0 ||
		!pc_frame_format_equal(&allocator->layout.format, format)) {
		r = any_out(allocator) ? -EBUSY : release_all(allocator);
		if (r == 0) {
			r = set_format(allocator, format);
		}
	}
	unsigned index = 0;
	if (r == 0) {
		r = take_index(allocator, &index);
	}
	if (r == 0) {
		r = export_buffer(allocator, index);
	}
	if (r == 0) {
		*ret_frame = allocator->frames[index];
	}
	pthread_mutex_unlock(&allocator->lock);
	return r;
}

static void expbuf_free(struct pc_allocator *base, struct pc_frame *frame)
{
	struct expbuf_allocator *allocator = (struct expbuf_allocator *)base;
	pthread_mutex_lock(&allocator->lock);
	for (unsigned i = 0; i < allocator->n_buffers; i++) {
		if (allocator->frames[i] == frame) {
			allocator->frames[i] = NULL;
		}
	}
	pthread_mutex_unlock(&allocator->lock);
	pc_dmabuf_frame_destroy(frame);
}

static void expbuf_destroy(struct pc_allocator *base)
{
	struct expbuf_allocator *allocator = (struct expbuf_allocator *)base;
	pc_v4l2_close(allocator->device);
	pthread_mutex_destroy(&allocator->lock);
	free(allocator);
}

static const struct pc_allocator_impl expbuf_impl = {
	.name = "expbuf",
	.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
	.allocate = expbuf_allocate,
	.free = expbuf_free,
	.destroy = expbuf_destroy,
};

/* --- opening --- */

static int open_encoder(
	struct expbuf_allocator *allocator, const char *path, char *why, size_t why_size)
{
	struct pc_v4l2_node node;
	int r = pc_v4l2_open(path, &allocator->device);
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", path, pc_strerror(r));
		return r;
	}
	r = pc_v4l2_identify(allocator->device, &node);
	if (r == 0 && node.role != PC_V4L2_ENCODER) {
		r = -ENODEV;
	}
	if (r < 0) {
		snprintf(why, why_size, "%s: is no H.264 encoder", path);
		return r;
	}
	allocator->mplane = node.mplane;
	r = release_all(allocator); /* asks for no buffers: can it MMAP at all? */
	if (r < 0) {
		snprintf(why, why_size, "%s: has no buffers of its own: %s", path, pc_strerror(r));
	}
	return r;
}

int pc_allocator_create_expbuf(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator)
{
	struct expbuf_allocator *allocator = calloc(1, sizeof(*allocator));
	if (allocator == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&allocator->lock, NULL);
	const int r = open_encoder(allocator, path, why, why_size);
	if (r < 0) {
		expbuf_destroy(&allocator->base);
		return r;
	}
	pc_allocator_init(&allocator->base, &expbuf_impl);
	*ret_allocator = &allocator->base;
	return 0;
}
