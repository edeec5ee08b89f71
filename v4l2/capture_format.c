/* v4l2/capture_format.c - sets a camera to its input's signal, a wished format, and a rate;
 * see capture_internal.h.
 *
 * Formats are what the driver lists (ENUM_FMT), never what it may be talked into: a
 * driver answers S_FMT of what it does not know with something else. Of the wishes that are
 * listed the first is taken which comes near the size and rate asked; if none does, the
 * first that works at all.
 */
#include "v4l2/capture_internal.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ENUMERATED_MAX 256 /* an ill-behaved driver may go on for ever */
#define OFFERS_MAX 96

/* A format that the camera lists and a wish that it meets. */
struct offer {
	uint32_t pixelformat;
	bool emulated; /* by libv4l2 */
	bool compressed;
};

struct offers {
	unsigned n;
	struct offer of[OFFERS_MAX];
};

/* The size and rate that the camera has nearest to what is asked, in one format. */
struct reach {
	uint32_t width, height;
	struct v4l2_fract interval; /* denominator 0: the driver does not say */
	bool good; /* at least half of the pixels and half of the rate, as far as is known */
};

int capture_explain(const struct capture_why *why, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(why->text, why->size, format, args);
	va_end(args);
	return err;
}

const char *capture_code(uint32_t fourcc, char out[static CAPTURE_CODE_SIZE])
{
	for (int i = 0; i < 4; i++) {
		const char c = (char)((fourcc >> (8 * i)) & 0x7f);
		out[i] = c >= ' ' && c < 0x7f ? c : '?';
	}
	out[4] = '\0';
	return out;
}

static int explain_busy(const struct capture_node *node, const struct capture_why *why)
{
	const char *path = pc_v4l2_path(node->device);
	return capture_explain(why, -EBUSY,
		"%s is in use by another program; \"fuser -v %s\" shows which", path, path);
}

/* --- the input --- */

static double fps_of(struct v4l2_fract interval)
{
	return interval.numerator == 0 ? 0
				       : (double)interval.denominator / (double)interval.numerator;
}

static uint64_t total_width(const struct v4l2_bt_timings *bt)
{
	return (uint64_t)bt->width + bt->hfrontporch + bt->hsync + bt->hbackporch;
}

static uint64_t total_height(const struct v4l2_bt_timings *bt)
{
	return (uint64_t)bt->height + bt->vfrontporch + bt->vsync + bt->vbackporch +
	       bt->il_vfrontporch + bt->il_vsync + bt->il_vbackporch;
}

static double timings_fps(const struct v4l2_dv_timings *timings)
{
	const uint64_t total = total_width(&timings->bt) * total_height(&timings->bt);
	return total == 0 ? 0 : (double)timings->bt.pixelclock / (double)total;
}

static bool same_timings(const struct v4l2_dv_timings *a, const struct v4l2_dv_timings *b)
{
	return a->bt.width == b->bt.width && a->bt.height == b->bt.height &&
	       a->bt.interlaced == b->bt.interlaced && total_width(&a->bt) == total_width(&b->bt) &&
	       total_height(&a->bt) == total_height(&b->bt) &&
	       fabs(timings_fps(a) - timings_fps(b)) < 0.5; /* measured clocks waver */
}

static int explain_signal(int r, const struct capture_node *node, const struct capture_why *why)
{
	const char *path = pc_v4l2_path(node->device);
	switch (r) {
	case -ENOLINK:
		return capture_explain(why, -ENOLINK,
			"%s: no signal at its input; is the cable in and the other end on?", path);
	case -ENOLCK:
		return capture_explain(
			why, -ENOLINK, "%s: the signal at its input is not stable", path);
	case -ERANGE: /* as measured */
	case -EINVAL: /* as set */
		return capture_explain(
			why, -ENOLINK, "%s: the signal at its input is beyond what it takes", path);
	case -EBUSY:
		return explain_busy(node, why);
	default:
		return capture_explain(why, r, "%s: its input's timings: %s", path, strerror(-r));
	}
}

/* HDMI bridges (TC358743 and its like) take over a signal's timings only when told to. */
static int adopt_timings(struct capture_node *node, const struct capture_why *why)
{
	struct v4l2_dv_timings signal = { 0 }, set = { 0 };
	int r = pc_v4l2_ioctl(node->device, VIDIOC_QUERY_DV_TIMINGS, &signal);
	if (r == -ENODATA || r == -ENOTTY) {
		return 0; /* such an input, and yet no timings: nothing to adopt */
	}
	if (r < 0) {
		return explain_signal(r, node, why);
	}
	node->signal_fps = timings_fps(&signal);
	r = pc_v4l2_ioctl(node->device, VIDIOC_G_DV_TIMINGS, &set);
	if (r == 0 && same_timings(&signal, &set)) {
		return 0;
	}
	r = pc_v4l2_ioctl(node->device, VIDIOC_S_DV_TIMINGS, &signal);
	return r < 0 ? explain_signal(r, node, why) : 0;
}

int capture_input(struct capture_node *node, const struct capture_why *why)
{
	const char *path = pc_v4l2_path(node->device);
	int index = 0;
	/* Cameras with no choice of inputs need not know these. */
	if (pc_v4l2_ioctl(node->device, VIDIOC_G_INPUT, &index) < 0) {
		return 0;
	}
	struct v4l2_input input = { .index = (uint32_t)index };
	if (pc_v4l2_ioctl(node->device, VIDIOC_ENUMINPUT, &input) < 0) {
		return 0;
	}
	node->input = (uint32_t)index;
	if ((input.capabilities & V4L2_IN_CAP_DV_TIMINGS) != 0) {
		return adopt_timings(node, why); /* it knows more than the status does */
	}
	if ((input.status & V4L2_IN_ST_NO_POWER) != 0) {
		return capture_explain(why, -ENOLINK, "%s: its input (%.31s) has no power", path,
			(const char *)input.name);
	}
	if ((input.status & V4L2_IN_ST_NO_SIGNAL) != 0) {
		return capture_explain(why, -ENOLINK,
			"%s: no signal at its input (%.31s); is the cable in and the other end on?",
			path, (const char *)input.name);
	}
	return 0;
}

/* --- what the camera offers --- */

static void list_offers(const struct capture_node *node, struct offers *offers)
{
	offers->n = 0;
	for (uint32_t i = 0; i < ENUMERATED_MAX && offers->n < OFFERS_MAX; i++) {
		struct v4l2_fmtdesc desc = { .index = i, .type = node->type };
		if (pc_v4l2_ioctl(node->device, VIDIOC_ENUM_FMT, &desc) < 0) {
			break;
		}
		offers->of[offers->n++] = (struct offer){
			.pixelformat = desc.pixelformat,
			.emulated = (desc.flags & V4L2_FMT_FLAG_EMULATED) != 0,
			.compressed = (desc.flags & V4L2_FMT_FLAG_COMPRESSED) != 0,
		};
	}
}

static uint32_t to_step(uint32_t value, uint32_t low, uint32_t high, uint32_t step)
{
	value = value < low ? low : value > high ? high : value;
	return step > 1 ? low + (value - low) / step * step : value;
}

/* How far a size is from the one asked, in pixels of width and height. */
static uint64_t size_distance(
	const struct pc_capture_config *config, uint32_t width, uint32_t height)
{
	const int64_t w = (int64_t)width - (int64_t)config->width;
	const int64_t h = (int64_t)height - (int64_t)config->height;
	return (uint64_t)(w < 0 ? -w : w) + (uint64_t)(h < 0 ? -h : h);
}

static void nearest_size(const struct capture_node *node, const struct pc_capture_config *config,
	uint32_t pixelformat, struct reach *reach)
{
	uint64_t best = UINT64_MAX;
	reach->width = config->width;
	reach->height = config->height;
	if (pc_v4l2_is_libcamerify(node->device)) {
		return; /* its list is a sample of what the ISP scales to */
	}
	for (uint32_t i = 0; i < ENUMERATED_MAX; i++) {
		struct v4l2_frmsizeenum size = { .index = i, .pixel_format = pixelformat };
		if (pc_v4l2_ioctl(node->device, VIDIOC_ENUM_FRAMESIZES, &size) < 0) {
			break;
		}
		if (size.type != V4L2_FRMSIZE_TYPE_DISCRETE) {
			const struct v4l2_frmsize_stepwise *step = &size.stepwise;
			reach->width = to_step(
				config->width, step->min_width, step->max_width, step->step_width);
			reach->height = to_step(config->height, step->min_height, step->max_height,
				step->step_height);
			break;
		}
		const uint64_t distance =
			size_distance(config, size.discrete.width, size.discrete.height);
		if (distance < best) {
			best = distance;
			reach->width = size.discrete.width;
			reach->height = size.discrete.height;
		}
	}
}

static void nearest_interval(const struct capture_node *node,
	const struct pc_capture_config *config, uint32_t pixelformat, struct reach *reach)
{
	double best = HUGE_VAL;
	for (uint32_t i = 0; i < ENUMERATED_MAX; i++) {
		struct v4l2_frmivalenum interval = {
			.index = i,
			.pixel_format = pixelformat,
			.width = reach->width,
			.height = reach->height,
		};
		if (pc_v4l2_ioctl(node->device, VIDIOC_ENUM_FRAMEINTERVALS, &interval) < 0) {
			break;
		}
		if (interval.type != V4L2_FRMIVAL_TYPE_DISCRETE) {
			const double slowest = fps_of(interval.stepwise.max);
			const double fastest = fps_of(interval.stepwise.min);
			if (config->fps > fastest) {
				reach->interval = interval.stepwise.min;
			} else if (config->fps < slowest) {
				reach->interval = interval.stepwise.max;
			}
			break; /* in between: as asked */
		}
		const double distance = fabs(fps_of(interval.discrete) - config->fps);
		if (distance < best) {
			best = distance;
			reach->interval = interval.discrete;
		}
	}
}

static void find_reach(const struct capture_node *node, const struct pc_capture_config *config,
	uint32_t pixelformat, struct reach *reach)
{
	*reach = (struct reach){ 0 };
	nearest_size(node, config, pixelformat, reach);
	nearest_interval(node, config, pixelformat, reach);
	const uint64_t asked = (uint64_t)config->width * config->height;
	const double fps = fps_of(reach->interval);
	reach->good = (uint64_t)reach->width * reach->height * 2 >= asked &&
		      (fps <= 0 || fps * 2 >= config->fps);
}

/* --- setting it --- */

/* What S_FMT said, in one shape for both APIs. */
struct answer {
	uint32_t pixelformat, width, height, stride, size, field, n_planes;
};

static int set_format(struct capture_node *node, uint32_t pixelformat, const struct reach *reach,
	uint32_t stride, struct answer *answer)
{
	struct v4l2_format format = { .type = node->type };
	const bool mplane = node->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	if (mplane) {
		format.fmt.pix_mp = (struct v4l2_pix_format_mplane){
			.width = reach->width,
			.height = reach->height,
			.pixelformat = pixelformat,
			.field = V4L2_FIELD_NONE,
			.num_planes = 1,
			.plane_fmt[0].bytesperline = stride,
		};
	} else {
		format.fmt.pix = (struct v4l2_pix_format){
			.width = reach->width,
			.height = reach->height,
			.pixelformat = pixelformat,
			.field = V4L2_FIELD_NONE,
			.bytesperline = stride,
		};
	}
	const int r = pc_v4l2_ioctl(node->device, VIDIOC_S_FMT, &format);
	if (r < 0) {
		return r;
	}
	if (mplane) {
		const struct v4l2_pix_format_mplane *pix = &format.fmt.pix_mp;
		*answer = (struct answer){ pix->pixelformat, pix->width, pix->height,
			pix->plane_fmt[0].bytesperline, pix->plane_fmt[0].sizeimage, pix->field,
			pix->num_planes };
	} else {
		const struct v4l2_pix_format *pix = &format.fmt.pix;
		*answer = (struct answer){ pix->pixelformat, pix->width, pix->height,
			pix->bytesperline, pix->sizeimage, pix->field, 1 };
	}
	return 0;
}

/* The stride to ask for: whole pixels, a multiple of what the wish wants. */
static uint32_t wished_stride(const struct pc_capture_wish *wish, const struct reach *reach)
{
	const struct pc_frame_format format = {
		.fourcc = wish->fourcc,
		.width = reach->width,
		.height = reach->height,
	};
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	unsigned n;
	return pc_frame_layout(&format, wish->stride_align, planes, &n) < 0 ? 0 : planes[0].stride;
}

/* Is what came back what was wished? 0 and *info filled, or -EINVAL and why. */
static int check_answer(const struct answer *answer, uint32_t pixelformat,
	const struct pc_capture_wish *wish, bool any_stride, struct pc_capture_info *info,
	const struct capture_why *why)
{
	char code[CAPTURE_CODE_SIZE];
	capture_code(pixelformat, code);
	if (answer->pixelformat != pixelformat || answer->n_planes != 1) {
		return capture_explain(why, -EINVAL, "lists %s and will not be set to it", code);
	}
	if (answer->field == V4L2_FIELD_ALTERNATE || answer->field == V4L2_FIELD_TOP ||
		answer->field == V4L2_FIELD_BOTTOM) {
		return capture_explain(why, -EINVAL, "gives %s in half pictures", code);
	}
	info->format = (struct pc_frame_format){
		.fourcc = wish->fourcc,
		.width = answer->width,
		.height = answer->height,
	};
	if (pc_v4l2_is_jpeg(pixelformat)) {
		info->n_planes = 1;
		info->planes[0] = (struct pc_frame_plane){ .fd = -1 };
		info->size = answer->size;
		return answer->size > 0 ? 0
					: capture_explain(why, -EINVAL,
						  "gives %s pictures of no size", code);
	}
	if (!any_stride && answer->stride % wish->stride_align != 0) {
		return capture_explain(why, -EINVAL,
			"gives %s in lines of %u bytes, no multiple of %u", code, answer->stride,
			wish->stride_align);
	}
	const int64_t size = pc_frame_layout_stride(
		&info->format, answer->stride, info->planes, &info->n_planes);
	if (size < 0 || (uint64_t)size > answer->size) {
		return capture_explain(why, -EINVAL,
			"gives %s %ux%u in lines of %u and buffers of %u bytes, too few", code,
			answer->width, answer->height, answer->stride, answer->size);
	}
	info->size = answer->size;
	return 0;
}

static int try_offer(struct capture_node *node, const struct offer *offer,
	const struct pc_capture_wish *wish, const struct reach *reach, struct pc_capture_info *info,
	const struct capture_why *why)
{
	struct answer answer = { 0 };
	const int r =
		set_format(node, offer->pixelformat, reach, wished_stride(wish, reach), &answer);
	if (r == -EBUSY) {
		return explain_busy(node, why);
	}
	if (r == -EINVAL) {
		char code[CAPTURE_CODE_SIZE];
		return capture_explain(why, r, "refuses %s %ux%u",
			capture_code(offer->pixelformat, code), reach->width, reach->height);
	}
	if (r < 0) {
		return capture_explain(
			why, r, "%s: S_FMT: %s", pc_v4l2_path(node->device), strerror(-r));
	}
	info->converted = offer->emulated;
	/* Converted pictures are the CPU's: no device wants its alignment of them. */
	return check_answer(&answer, offer->pixelformat, wish, offer->emulated, info, why);
}

/* The wishes, best first, that the camera meets well, then those that it meets at all.
 * 0, -EINVAL (none; `why` is the last refusal, or empty), or another error: give up. */
static int try_wishes(struct capture_node *node, const struct pc_capture_config *config,
	const struct offers *offers, bool emulated, struct pc_capture_info *info,
	struct reach *reach, const struct capture_why *why)
{
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned w = 0; w < config->n_wishes; w++) {
			for (unsigned i = 0; i < offers->n; i++) {
				const struct offer *offer = &offers->of[i];
				if (pc_v4l2_to_drm(offer->pixelformat) !=
						config->wishes[w].fourcc ||
					offer->emulated != emulated) {
					continue;
				}
				find_reach(node, config, offer->pixelformat, reach);
				if (reach->good != (pass == 0)) {
					continue;
				}
				const int r = try_offer(
					node, offer, &config->wishes[w], reach, info, why);
				if (r != -EINVAL) {
					return r;
				}
			}
		}
	}
	return -EINVAL;
}

/* Appends to a list "A, B", as far as it fits. */
static void append_code(char *list, size_t size, uint32_t fourcc)
{
	char code[CAPTURE_CODE_SIZE];
	const size_t used = strlen(list);
	if (used + 8 < size) {
		snprintf(list + used, size - used, "%s%s", used == 0 ? "" : ", ",
			capture_code(fourcc, code));
	}
}

static bool is_bayer(const struct offer *offer)
{
	/* Raw sensor data is the only kind that is neither compressed nor one of DRM's, and
	 * whose codes all name the order of the colours: BA81, pBAA, RG10, GRBG ... */
	char code[CAPTURE_CODE_SIZE];
	capture_code(offer->pixelformat, code);
	return !offer->compressed &&
	       (strncmp(code, "BA", 2) == 0 || strncmp(code, "pB", 2) == 0 ||
		       strncmp(code, "pG", 2) == 0 || strncmp(code, "pR", 2) == 0 ||
		       strncmp(code, "BG", 2) == 0 || strncmp(code, "GB", 2) == 0 ||
		       strncmp(code, "RG", 2) == 0 || strncmp(code, "GR", 2) == 0) &&
	       pc_v4l2_to_drm(offer->pixelformat) == 0;
}

static int explain_none(const struct capture_node *node, const struct pc_capture_config *config,
	const struct offers *offers, const char *refusal, const struct capture_why *why)
{
	char offered[96] = "", wished[64] = "";
	bool bayer = offers->n > 0;
	for (unsigned i = 0; i < offers->n; i++) {
		append_code(offered, sizeof(offered), offers->of[i].pixelformat);
		bayer = bayer && is_bayer(&offers->of[i]);
	}
	for (unsigned i = 0; i < config->n_wishes; i++) {
		append_code(wished, sizeof(wished), config->wishes[i].fourcc);
	}
	const char *path = pc_v4l2_path(node->device);
	if (bayer) {
		return capture_explain(why, -EINVAL,
			"%s gives a sensor's raw data only (%s); start petcam by libcamerify", path,
			offered);
	}
	return capture_explain(why, -EINVAL,
		"%s has no format that can be used: it offers %s; "
		"wanted: %s%s%s",
		path, offers->n == 0 ? "none" : offered, wished, refusal[0] == '\0' ? "" : "; it ",
		refusal);
}

static void set_rate(struct capture_node *node, const struct pc_capture_config *config,
	const struct reach *reach, struct pc_capture_info *info)
{
	struct v4l2_streamparm parm = { .type = node->type };
	struct v4l2_fract *interval = &parm.parm.capture.timeperframe;
	if (reach->interval.denominator > 0) {
		*interval = reach->interval;
	} else {
		*interval = (struct v4l2_fract){ 1000, (uint32_t)lround(config->fps * 1000) };
	}
	/* What has no say in its rate answers with the rate that it has, or not at all. */
	int r = pc_v4l2_ioctl(node->device, VIDIOC_S_PARM, &parm);
	if (r < 0) {
		parm = (struct v4l2_streamparm){ .type = node->type };
		r = pc_v4l2_ioctl(node->device, VIDIOC_G_PARM, &parm);
	}
	const double fps = r < 0 ? 0 : fps_of(*interval);
	if (fps > 0 && fps <= 1000) {
		info->fps = fps;
	} else {
		info->fps = node->signal_fps > 0 ? node->signal_fps : config->fps;
	}
}

int capture_negotiate(struct capture_node *node, const struct pc_capture_config *config,
	struct pc_capture_info *info, const struct capture_why *why)
{
	struct offers offers;
	struct reach reach;
	char refusal[128] = "";
	const struct capture_why last = { refusal, sizeof(refusal) };
	list_offers(node, &offers);
	int r = try_wishes(node, config, &offers, false, info, &reach, &last);
	if (r == -EINVAL && config->convert && pc_v4l2_convert(node->device) == 0) {
		/* All that libv4l2 speaks; of multi-planar nodes its plugin makes the same. */
		node->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
		list_offers(node, &offers);
		r = try_wishes(node, config, &offers, true, info, &reach, &last);
	}
	if (r == -EINVAL) {
		return explain_none(node, config, &offers, refusal, why);
	}
	if (r < 0) {
		return capture_explain(why, r, "%s", refusal);
	}
	set_rate(node, config, &reach, info);
	return 0;
}
