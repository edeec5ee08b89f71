/* v4l2/m2m_format.c - what a memory-to-memory node is asked for before it streams; see m2m.h.
 *
 * A driver answers S_FMT with what it can do, which is seldom an error: so every answer is
 * held against what the frames really are, and what differs is said with both numbers.
 */
#include "v4l2/m2m_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "core/log.h"

#define HD_HEIGHT 720 /* from here on colours are BT.709's, as everywhere in petcam */
#define STRIDE_ALIGN_MAX 4096
#define SIZE_MAX_BYTES (64u << 20) /* of a buffer: 1920x1920 in 4 bytes is 15 MB */

/* One plane's worth of either struct of the API. */
struct format {
	uint32_t pixelformat, width, height;
	uint32_t stride, size;
	uint32_t n_planes;
};

static uint32_t colorspace_of(const struct format *format)
{
	if (format->pixelformat == V4L2_PIX_FMT_RGB24 ||
		format->pixelformat == V4L2_PIX_FMT_BGR24) {
		return V4L2_COLORSPACE_SRGB;
	}
	return format->height >= HD_HEIGHT ? V4L2_COLORSPACE_REC709 : V4L2_COLORSPACE_SMPTE170M;
}

/* S_FMT or TRY_FMT. *format becomes what the device made of it. */
static int set_format(
	struct pc_v4l2 *device, unsigned long request, uint32_t type, struct format *format)
{
	struct v4l2_format arg = { .type = type };
	const uint32_t colorspace = colorspace_of(format);
	if (V4L2_TYPE_IS_MULTIPLANAR(type)) {
		struct v4l2_pix_format_mplane *pix = &arg.fmt.pix_mp;
		pix->width = format->width;
		pix->height = format->height;
		pix->pixelformat = format->pixelformat;
		pix->field = V4L2_FIELD_NONE;
		pix->colorspace = colorspace;
		pix->num_planes = 1;
		pix->plane_fmt[0].bytesperline = format->stride;
		pix->plane_fmt[0].sizeimage = format->size;
		const int r = pc_v4l2_ioctl(device, request, &arg);
		if (r < 0) {
			return r;
		}
		*format = (struct format){ pix->pixelformat, pix->width, pix->height,
			pix->plane_fmt[0].bytesperline, pix->plane_fmt[0].sizeimage,
			pix->num_planes };
		return 0;
	}
	struct v4l2_pix_format *pix = &arg.fmt.pix;
	pix->width = format->width;
	pix->height = format->height;
	pix->pixelformat = format->pixelformat;
	pix->field = V4L2_FIELD_NONE;
	pix->colorspace = colorspace;
	pix->bytesperline = format->stride;
	pix->sizeimage = format->size;
	const int r = pc_v4l2_ioctl(device, request, &arg);
	if (r < 0) {
		return r;
	}
	*format = (struct format){ pix->pixelformat, pix->width, pix->height, pix->bytesperline,
		pix->sizeimage, 1 };
	return 0;
}

static void fourcc_text(uint32_t fourcc, char out[static 5])
{
	for (int i = 0; i < 4; i++) {
		const char c = (char)((fourcc >> (8 * i)) & 0x7f);
		out[i] = c > ' ' && c < 0x7f ? c : '?';
	}
	out[4] = '\0';
}

/* The format and the size must be those asked for. */
static int check_format(const struct format *asked, const struct format *got, const char *verb,
	char *why, size_t why_size)
{
	char text[5], other[5];
	fourcc_text(asked->pixelformat, text);
	if (got->pixelformat != asked->pixelformat) {
		fourcc_text(got->pixelformat, other);
		snprintf(why, why_size, "%s no %s (it offers %s)", verb, text, other);
		return -EINVAL;
	}
	/* A coded format's size is that of what goes in, however it is rounded here. */
	if (asked->pixelformat != V4L2_PIX_FMT_H264 &&
		(got->width != asked->width || got->height != asked->height)) {
		snprintf(why, why_size, "%s no %ux%u (it offers %ux%u)", verb, asked->width,
			asked->height, got->width, got->height);
		return -EINVAL;
	}
	if (got->n_planes != 1 || got->size == 0 || got->size > SIZE_MAX_BYTES) {
		snprintf(why, why_size, "wants %s in %u buffers of %u bytes a picture", text,
			got->n_planes, got->size);
		return -EINVAL;
	}
	return 0;
}

/* V4L2 has one stride and no offsets: a plane begins where the one before ends. */
static int check_planes(const struct pc_m2m_config *config, char *why, size_t why_size)
{
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	unsigned n_planes;
	const struct pc_frame_plane *has = config->in_planes;
	if (pc_frame_layout(&config->in, 1, planes, &n_planes) < 0 ||
		n_planes != config->n_in_planes) {
		snprintf(why, why_size, "frames of %u planes are not understood",
			config->n_in_planes);
		return -EINVAL;
	}
	uint64_t offset = 0;
	for (unsigned i = 0; i < n_planes; i++) {
		const uint64_t stride =
			(uint64_t)has[0].stride * planes[i].stride / planes[0].stride;
		if (has[i].stride != stride || has[i].offset != offset) {
			snprintf(why, why_size,
				"wants plane %u at byte %llu with lines of %llu, the frames have "
				"it at %u with %u",
				i, (unsigned long long)offset, (unsigned long long)stride,
				has[i].offset, has[i].stride);
			return -EINVAL;
		}
		/* The lines of a plane, from where the next one begins in a packed layout. */
		const uint32_t lines =
			i + 1 < n_planes
				? (planes[i + 1].offset - planes[i].offset) / planes[i].stride
				: 0;
		offset += stride * lines;
	}
	return 0;
}

static int set_in(struct pc_v4l2 *device, const struct pc_m2m_config *config,
	struct pc_m2m_queue *in, char *why, size_t why_size)
{
	const struct format asked = {
		.pixelformat = pc_v4l2_from_drm(config->in.fourcc),
		.width = config->in.width,
		.height = config->in.height,
		.stride = config->in_planes[0].stride,
	};
	if (asked.pixelformat == 0 || config->in.modifier != 0) {
		snprintf(why, why_size, "V4L2 has no such format");
		return -EINVAL;
	}
	struct format got = asked;
	int r = set_format(device, VIDIOC_S_FMT, in->type, &got);
	if (r < 0) {
		snprintf(why, why_size, "S_FMT of its input: %s", pc_strerror(r));
		return r;
	}
	r = check_format(&asked, &got, "takes", why, why_size);
	if (r < 0) {
		return r;
	}
	if (got.stride != asked.stride) {
		snprintf(why, why_size, "wants lines of %u bytes, the frames have %u", got.stride,
			asked.stride);
		return -EINVAL;
	}
	if (config->in_size > 0 && got.size > config->in_size) {
		snprintf(why, why_size, "wants buffers of %u bytes, the frames' have %zu", got.size,
			config->in_size);
		return -EMSGSIZE;
	}
	in->size = got.size;
	in->stride = got.stride;
	return 0;
}

static int set_out(struct pc_v4l2 *device, const struct pc_m2m_config *config,
	struct pc_m2m_queue *out, char *why, size_t why_size)
{
	const struct format asked = {
		.pixelformat = config->out_pixelformat,
		.width = config->out_width,
		.height = config->out_height,
		.size = (uint32_t)config->out_size,
	};
	struct format got = asked;
	int r = set_format(device, VIDIOC_S_FMT, out->type, &got);
	if (r < 0) {
		snprintf(why, why_size, "S_FMT of its output: %s", pc_strerror(r));
		return r;
	}
	r = check_format(&asked, &got, "gives", why, why_size);
	if (r < 0) {
		return r;
	}
	out->size = got.size;
	out->stride = got.stride;
	return 0;
}

/* The encoder spreads its bits by this: 0 frames a second gives bad pictures (ustreamer's
 * m2m.c, around S_PARM). What has no notion of time says ENOTTY. */
static void set_rate(struct pc_v4l2 *device, uint32_t type, double fps)
{
	if (!(fps > 0) || fps > 1000) {
		return;
	}
	struct v4l2_streamparm parm = { .type = type };
	parm.parm.output.timeperframe.numerator = 1000;
	parm.parm.output.timeperframe.denominator = (uint32_t)lround(fps * 1000);
	(void)pc_v4l2_ioctl(device, VIDIOC_S_PARM, &parm);
}

static int set_controls(
	struct pc_v4l2 *device, const struct pc_m2m_config *config, char *why, size_t why_size)
{
	for (unsigned i = 0; i < config->n_controls; i++) {
		const struct pc_m2m_control *control = &config->controls[i];
		const int r = pc_v4l2_set_control(device, control->id, control->value);
		if (r == -ENODEV || (r < 0 && control->required)) {
			snprintf(why, why_size, "control 0x%x does not take %d: %s", control->id,
				control->value, pc_strerror(r));
			return r;
		}
	}
	return 0;
}

int pc_m2m_negotiate(struct pc_v4l2 *device, const struct pc_v4l2_node *node,
	const struct pc_m2m_config *config, struct pc_m2m_queue *in, struct pc_m2m_queue *out,
	char *why, size_t why_size)
{
	assert(config->n_controls <= sizeof(config->controls) / sizeof(config->controls[0]));
	in->type = node->mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
	out->type = node->mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
	int r = check_planes(config, why, why_size);
	/* The coded format decides what may go in, and what goes in resets the coded size
	 * (the kernel's "Memory-to-Memory Stateful Video Encoder Interface"): out, in, out. */
	if (r == 0) {
		r = set_out(device, config, out, why, why_size);
	}
	if (r == 0) {
		r = set_in(device, config, in, why, why_size);
	}
	if (r == 0) {
		r = set_out(device, config, out, why, why_size);
	}
	if (r < 0) {
		return r;
	}
	set_rate(device, in->type, config->fps);
	return set_controls(device, config, why, why_size);
}

int pc_m2m_request(struct pc_v4l2 *device, struct pc_m2m_queue *queue, unsigned n, unsigned max,
	char *why, size_t why_size)
{
	struct v4l2_requestbuffers request = {
		.count = n,
		.type = queue->type,
		.memory = queue->memory,
	};
	int r = pc_v4l2_ioctl(device, VIDIOC_REQBUFS, &request);
	const bool is_in = V4L2_TYPE_IS_OUTPUT(queue->type);
	if (r == 0 && request.count == 0) {
		r = -ENOMEM;
	}
	if (r == -EINVAL && queue->memory == V4L2_MEMORY_DMABUF) {
		snprintf(why, why_size, "its %s takes no dma-bufs", is_in ? "input" : "output");
		return -ENOTSUP;
	}
	if (r == -ENOMEM) {
		snprintf(why, why_size, "no memory for %u buffers of %zu bytes", n, queue->size);
		return r;
	}
	if (r < 0) {
		snprintf(why, why_size, "REQBUFS of its %s: %s", is_in ? "input" : "output",
			pc_strerror(r));
		return r;
	}
	queue->n = request.count < max ? request.count : max;
	return 0;
}

/* --- what a node takes --- */

static bool is_power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/* The alignment of lines, asked from outside: one byte more than a line has comes back rounded up,
 * and one byte more than that is one step on. Where the driver knows one stride only, the
 * coarsest alignment of the packed line that gives it. 0: none does. */
static uint32_t find_align(struct pc_v4l2 *device, uint32_t type, const struct format *format)
{
	const uint32_t line = format->stride; /* packed */
	uint32_t strides[2];
	uint32_t asked = line;
	for (unsigned i = 0; i < 2; i++) {
		struct format got = *format;
		got.stride = asked + 1;
		if (set_format(device, VIDIOC_TRY_FMT, type, &got) < 0 || got.stride < line) {
			return 0;
		}
		strides[i] = got.stride;
		asked = got.stride;
	}
	if (strides[1] > strides[0] && is_power_of_two(strides[1] - strides[0]) &&
		strides[0] % (strides[1] - strides[0]) == 0) {
		return strides[1] - strides[0];
	}
	for (uint32_t align = 1; align <= STRIDE_ALIGN_MAX; align *= 2) {
		if ((line + align - 1) / align * align == strides[0]) {
			return align;
		}
	}
	return 0;
}

int pc_m2m_input_formats(const struct pc_v4l2_node *node, unsigned width, unsigned height,
	struct pc_m2m_input_format *formats, unsigned max)
{
	struct pc_v4l2 *device;
	const int r = pc_v4l2_open(node->path, &device);
	if (r < 0) {
		return r;
	}
	const uint32_t type =
		node->mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
	unsigned n = 0;
	for (unsigned i = 0; i < node->n_in && n < max; i++) {
		const struct pc_frame_format wanted = {
			.fourcc = pc_v4l2_to_drm(node->in[i]),
			.width = width,
			.height = height,
		};
		struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
		unsigned n_planes;
		if (wanted.fourcc == 0 || pc_frame_layout(&wanted, 1, planes, &n_planes) < 0) {
			continue;
		}
		const struct format asked = {
			.pixelformat = node->in[i],
			.width = width,
			.height = height,
			.stride = planes[0].stride,
		};
		struct format got = asked;
		if (set_format(device, VIDIOC_TRY_FMT, type, &got) < 0 ||
			got.pixelformat != asked.pixelformat || got.width != width ||
			got.height != height || got.n_planes != 1) {
			continue;
		}
		const uint32_t align = find_align(device, type, &asked);
		if (align != 0 && align <= STRIDE_ALIGN_MAX) {
			formats[n].fourcc = wanted.fourcc;
			formats[n].stride_align = align;
			n++;
		}
	}
	pc_v4l2_close(device);
	return (int)n;
}
