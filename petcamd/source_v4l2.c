/* petcamd/source_v4l2.c - a camera node as a source.
 *
 * The ways to get its pictures to the encoder are tried from the best to the worst, until one
 * opens:
 *   1. formats that the devices take as they are, in the camera's own buffers;
 *   2. the same in a heap's buffers, where the encoder cannot map the camera's (UVC's are not
 *      contiguous): found out by a real import of one of them;
 *   3. what the CPU copies, converts or decodes into such buffers: said in the log, counted;
 *   4. what libv4l2 converts, on a thread of its own.
 */
#define PC_LOG_MODULE "source"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/converter.h"
#include "petcamd/camera_wishes.h"
#include "petcamd/capture_thread.h"
#include "petcamd/source_internal.h"
#include "v4l2/import_test.h"

/* The encoder's 4 or so, the scaler's 1, and the camera's own 3. */
#define BUFFERS 8
#define CAMERAS_MAX 8 /* that "v4l2" alone tries */
/* Below this part of the rate that is wished, another format may be better. */
#define SLOW 0.67

struct v4l2_source {
	struct pc_source base;
	const struct pc_source_events *events;
	void *data;
	char path[PC_V4L2_PATH_MAX];
	/* One of the two. */
	struct pc_capture *capture;
	struct pc_capture_thread *thread;
	struct pc_converter *converter; /* NULL: frames go on as they come */
	struct pc_allocator *allocator; /* of imported and of converted frames; NULL: none needed */
};

/* What opening one node needs to know. */
struct attempt {
	struct pc_loop *loop;
	const struct pc_source_config *config;
	const struct pc_camera_wishes *wishes;
	struct v4l2_source *source;
	char *why;
	size_t why_size;
};

/* --- frames --- */

static void on_captured(void *data, struct pc_frame *frame)
{
	struct v4l2_source *source = data;
	if (source->converter == NULL) {
		source->events->frame(source->data, frame);
		return;
	}
	(void)pc_converter_submit(source->converter, frame); /* -EPIPE: failed() is on its way */
}

static void on_failed(void *data, int err, const char *what)
{
	struct v4l2_source *source = data;
	source->events->failed(source->data, err, what);
}

static void on_converted(void *data, struct pc_frame *frame)
{
	struct v4l2_source *source = data;
	source->events->frame(source->data, frame);
}

static const struct pc_capture_events capture_events = {
	.frame = on_captured,
	.failed = on_failed,
};

static const struct pc_converter_events converter_events = {
	.frame = on_converted,
	.failed = on_failed,
};

/* --- opening --- */

static void close_parts(struct v4l2_source *source)
{
	pc_capture_close(source->capture);
	pc_capture_thread_close(source->thread);
	pc_converter_close(source->converter);
	pc_allocator_destroy(source->allocator);
	source->capture = NULL;
	source->thread = NULL;
	source->converter = NULL;
	source->allocator = NULL;
}

static int make_allocator(const struct attempt *attempt)
{
	struct v4l2_source *source = attempt->source;
	if (source->allocator != NULL) {
		return 0;
	}
	const int r = pc_allocator_create_for(attempt->config->encoder, &source->allocator);
	if (r < 0) {
		snprintf(attempt->why, attempt->why_size, "%s: no frame buffers: %s", source->path,
			pc_strerror(r));
	}
	return r;
}

static int provide(void *data, size_t size, int *ret_fd)
{
	struct v4l2_source *source = data;
	return pc_allocator_dmabuf(source->allocator, size, ret_fd);
}

static int open_capture(const struct attempt *attempt, const struct pc_capture_wish *wishes,
	unsigned n_wishes, enum pc_capture_memory memory)
{
	struct v4l2_source *source = attempt->source;
	const struct pc_camera_settings *camera = attempt->config->camera;
	const struct pc_capture_config config = {
		.path = source->path,
		.width = camera->width,
		.height = camera->height,
		.fps = camera->fps,
		.wishes = wishes,
		.n_wishes = n_wishes,
		.buffers = BUFFERS,
		.memory = memory,
		.provide = memory == PC_CAPTURE_IMPORT ? provide : NULL,
		.stats = attempt->config->stats,
	};
	return pc_capture_open(attempt->loop, &config, &capture_events, source, attempt->why,
		attempt->why_size, &source->capture);
}

/* Does the encoder take the camera's buffers? 0, or why it does not. Where it cannot be
 * asked (it is busy, or gone), it will say so itself. */
static int try_import(const struct attempt *attempt)
{
	const struct pc_capture_info *info = pc_capture_info(attempt->source->capture);
	struct pc_v4l2_import_test test = {
		.path = attempt->wishes->encoder,
		.format = info->format,
		.n_planes = info->n_planes,
		.size = info->size,
		.fd = pc_capture_sample_fd(attempt->source->capture),
	};
	memcpy(test.planes, info->planes, sizeof(test.planes));
	if (!attempt->wishes->dmabuf) {
		return 0;
	}
	if (info->memory == PC_CAPTURE_MAPPED) {
		snprintf(attempt->why, attempt->why_size, "%s exports no buffers",
			attempt->source->path);
		return -ENOTSUP;
	}
	if (test.path[0] == '\0' || test.fd < 0) {
		return 0;
	}
	const int r = pc_v4l2_import_test(&test, attempt->why, attempt->why_size);
	return r == -ENODEV || r == -ENOENT || r == -EBUSY || r == -EACCES || r == -EMFILE ? 0 : r;
}

/* Ways are 0 (it is open), negative errno, or NOT_FOR_US. */
#define NOT_FOR_US 1

static int open_direct(const struct attempt *attempt, enum pc_capture_memory memory)
{
	const struct pc_camera_wishes *wishes = attempt->wishes;
	if (wishes->n_direct == 0) {
		return NOT_FOR_US;
	}
	int r = memory == PC_CAPTURE_IMPORT ? make_allocator(attempt) : 0;
	if (r == 0) {
		r = open_capture(attempt, wishes->direct, wishes->n_direct, memory);
	}
	return r == 0 ? try_import(attempt) : r;
}

static int open_exported(const struct attempt *attempt)
{
	const bool wanted = strcmp(attempt->config->camera->memory, "import") != 0 &&
			    !attempt->config->no_export;
	return wanted ? open_direct(attempt, PC_CAPTURE_EXPORT) : NOT_FOR_US;
}

static int open_imported(const struct attempt *attempt)
{
	const char *memory = attempt->config->camera->memory;
	const bool wanted = strcmp(memory, "import") == 0 ||
			    (attempt->wishes->dmabuf && strcmp(memory, "export") != 0);
	return wanted ? open_direct(attempt, PC_CAPTURE_IMPORT) : NOT_FOR_US;
}

/* The picture that a converter makes of the camera's. */
static int open_converter(const struct attempt *attempt, const struct pc_capture_info *info)
{
	struct v4l2_source *source = attempt->source;
	int r = make_allocator(attempt);
	if (r < 0) {
		return r;
	}
	const struct pc_converter_config config = {
		.in = info->format,
		.out_fourcc = attempt->wishes->made,
		.allocator = source->allocator,
		.buffers = BUFFERS,
		.stats = attempt->config->stats,
	};
	return pc_converter_open(attempt->loop, &config, &converter_events, source, attempt->why,
		attempt->why_size, &source->converter);
}

static int open_with_converter(
	const struct attempt *attempt, const struct pc_capture_wish *wishes, unsigned n_wishes)
{
	struct v4l2_source *source = attempt->source;
	close_parts(source);
	const int r = open_capture(attempt, wishes, n_wishes, PC_CAPTURE_MAPPED);
	return r == 0 ? open_converter(attempt, pc_capture_info(source->capture)) : r;
}

/* Many webcams send raw pictures at a few frames a second only, and JPEGs at full rate: what
 * is slow is given up for what is not. */
static int open_converted(const struct attempt *attempt)
{
	struct v4l2_source *source = attempt->source;
	const struct pc_capture_wish *wishes = attempt->wishes->convert;
	const unsigned n = attempt->wishes->n_convert;
	if (n == 0) {
		return NOT_FOR_US;
	}
	int r = open_with_converter(attempt, wishes, n);
	const struct pc_capture_wish *jpeg = &wishes[n - 1];
	if (r < 0 || n == 1 || jpeg->fourcc != V4L2_PIX_FMT_MJPEG) {
		return r;
	}
	const double fps = pc_capture_info(source->capture)->fps;
	if (pc_capture_info(source->capture)->format.fourcc == jpeg->fourcc ||
		fps >= SLOW * attempt->config->camera->fps) {
		return 0;
	}
	r = open_with_converter(attempt, jpeg, 1);
	return r == 0 && pc_capture_info(source->capture)->fps > fps
		       ? 0
		       : open_with_converter(attempt, wishes, n);
}

static int open_emulated(const struct attempt *attempt)
{
	struct v4l2_source *source = attempt->source;
	const struct pc_camera_settings *camera = attempt->config->camera;
	if (strcmp(camera->format, "auto") != 0) {
		return NOT_FOR_US;
	}
	const struct pc_capture_wish wish = { attempt->wishes->made, 1 };
	const struct pc_capture_config config = {
		.path = source->path,
		.width = camera->width,
		.height = camera->height,
		.fps = camera->fps,
		.wishes = &wish,
		.n_wishes = 1,
		.buffers = BUFFERS,
		.memory = PC_CAPTURE_MAPPED,
		.convert = true,
		.stats = attempt->config->stats,
	};
	const int r = pc_capture_thread_open(attempt->loop, &config, &capture_events, source,
		attempt->why, attempt->why_size, &source->thread);
	return r == 0 && attempt->wishes->dmabuf
		       ? open_converter(attempt, pc_capture_thread_info(source->thread))
		       : r;
}

static int (*const ways[])(const struct attempt *attempt) = {
	open_exported,
	open_imported,
	open_converted,
	open_emulated,
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* Another way may do where formats or buffers did not fit; what else fails (it is gone, busy,
 * without a signal ...) would fail on every way. */
static bool is_final(int err)
{
	switch (err) {
	case NOT_FOR_US:
	case -EINVAL:
	case -ENOTSUP:
	case -ENOMEM:
	case -ENOSPC:
	case -EFAULT:
	case -EMSGSIZE:
	case -EIO:
		return false;
	default:
		return true;
	}
}

/* The best way that opens. The sentence of a failure is the first one's. */
static int open_node(struct pc_loop *loop, const struct pc_source_config *config,
	const struct pc_camera_wishes *wishes, struct v4l2_source *source, char *why,
	size_t why_size)
{
	char said[256] = "";
	const struct attempt attempt = {
		.loop = loop,
		.config = config,
		.wishes = wishes,
		.source = source,
		.why = said,
		.why_size = sizeof(said),
	};
	int failed = 0;
	for (size_t i = 0; i < N_WAYS; i++) {
		const int r = ways[i](&attempt);
		if (r == 0) {
			if (failed < 0 && source->converter == NULL) {
				pc_info("%s", why);
			}
			return 0;
		}
		close_parts(source);
		if (r < 0 && failed == 0) {
			failed = r;
			snprintf(why, why_size, "%s", said);
		} else if (r == -ENOMEM && failed != -ENOMEM) {
			/* Another way would do, and this is what it lacks. */
			failed = -ENOMEM;
			const size_t used = strlen(why);
			snprintf(why + used, why_size - used,
				"; and no contiguous memory is left for other buffers");
		}
		if (is_final(r)) {
			break;
		}
	}
	return failed < 0 ? failed : -EINVAL;
}

/* --- which node --- */

/* The Pi's ISP nodes look like cameras and never give a frame: libcamera owns them
 * (drivers/staging/vc04_services/bcm2835-isp). */
static bool is_camera(const struct pc_v4l2_node *node)
{
	if (node->role != PC_V4L2_CAMERA || strcmp(node->driver, "bcm2835-isp") == 0) {
		return false;
	}
	for (unsigned i = 0; i < node->n_out; i++) {
		if (pc_v4l2_to_drm(node->out[i]) != 0) {
			return true;
		}
	}
	return false;
}

/* The nodes that are cameras, at most `max`; the number. */
static unsigned find_cameras(char (*paths)[PC_V4L2_PATH_MAX], unsigned max)
{
	struct pc_v4l2_node *nodes = calloc(PC_V4L2_NODES_MAX, sizeof(*nodes));
	if (nodes == NULL) {
		return 0;
	}
	const unsigned n = pc_v4l2_scan(nodes, PC_V4L2_NODES_MAX);
	unsigned found = 0;
	for (unsigned i = 0; i < n && found < max; i++) {
		if (is_camera(&nodes[i])) {
			snprintf(paths[found++], PC_V4L2_PATH_MAX, "%s", nodes[i].path);
		}
	}
	free(nodes);
	return found;
}

static bool v4l2_is_there(void)
{
	char path[1][PC_V4L2_PATH_MAX];
	return find_cameras(path, 1) > 0;
}

/* "v4l2" alone: the first camera that opens. */
static int open_any(struct pc_loop *loop, const struct pc_source_config *config,
	const struct pc_camera_wishes *wishes, struct v4l2_source *source, char *why,
	size_t why_size)
{
	char paths[CAMERAS_MAX][PC_V4L2_PATH_MAX];
	const unsigned n = find_cameras(paths, CAMERAS_MAX);
	int failed = -ENODEV;
	snprintf(why, why_size, "no camera is there: connect one, or set cameras.[].source");
	for (unsigned i = 0; i < n; i++) {
		char said[256] = "";
		memcpy(source->path, paths[i], sizeof(source->path));
		const int r = open_node(loop, config, wishes, source, said, sizeof(said));
		if (r == 0) {
			return 0;
		}
		if (i == 0) {
			failed = r;
			snprintf(why, why_size, "%s", said);
		}
	}
	return failed;
}

/* --- the source --- */

static const char *memory_text(const struct pc_capture_info *info)
{
	switch (info->memory) {
	case PC_CAPTURE_EXPORT:
		return "exported";
	case PC_CAPTURE_IMPORT:
		return "imported";
	case PC_CAPTURE_MAPPED:
		break;
	}
	return "mapped";
}

static const struct pc_capture_info *capture_info(const struct v4l2_source *source)
{
	return source->thread != NULL ? pc_capture_thread_info(source->thread)
				      : pc_capture_info(source->capture);
}

static void set_info(struct v4l2_source *source, const struct pc_camera_wishes *wishes)
{
	const struct pc_capture_info *from = capture_info(source);
	struct pc_source_info *info = &source->base.info;
	info->format = from->format;
	info->fps = from->fps;
	if (source->converter != NULL) { /* as the allocator lays them out */
		info->format.fourcc = wishes->made;
		info->format.modifier = 0;
		info->caps = pc_allocator_caps(source->allocator);
	} else {
		info->caps = from->memory == PC_CAPTURE_MAPPED ? (unsigned)PC_FRAME_CPU
							       : PC_FRAME_DMABUF | PC_FRAME_CPU;
		info->n_planes = from->n_planes;
		memcpy(info->planes, from->planes, sizeof(info->planes));
		info->size = from->size;
	}
	char format[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&from->format, format);
	snprintf(info->text, sizeof(info->text), "v4l2 %.20s (%.20s), %.24s at %.4g, %s",
		source->path, from->card, format, from->fps,
		source->thread != NULL	    ? "converted by libv4l2"
		: source->converter != NULL ? "converted"
					    : memory_text(from));
}

static void v4l2_close(struct pc_source *base)
{
	struct v4l2_source *source = (struct v4l2_source *)base;
	close_parts(source);
	free(source);
}

static int v4l2_open(struct pc_loop *loop, const struct pc_source_config *config,
	const char *argument, const struct pc_source_events *events, void *data, char *why,
	size_t why_size, struct pc_source **ret_source)
{
	if (strlen(argument) >= PC_V4L2_PATH_MAX) {
		snprintf(why, why_size, "source \"%s\" names no node: use v4l2:/dev/video0",
			config->source);
		return -EINVAL;
	}
	struct pc_camera_wishes wishes;
	int r = pc_camera_wishes_make(config, why, why_size, &wishes);
	if (r < 0) {
		return r;
	}
	struct v4l2_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		snprintf(why, why_size, "camera: out of memory");
		return -ENOMEM;
	}
	source->base.impl = &pc_source_v4l2;
	source->events = events;
	source->data = data;
	if (argument[0] != '\0') {
		snprintf(source->path, sizeof(source->path), "%s", argument);
		r = open_node(loop, config, &wishes, source, why, why_size);
	} else {
		r = open_any(loop, config, &wishes, source, why, why_size);
	}
	if (r < 0) {
		free(source);
		return r;
	}
	set_info(source, &wishes);
	*ret_source = &source->base;
	return 0;
}

const struct pc_source_impl pc_source_v4l2 = {
	.scheme = "v4l2",
	.is_there = v4l2_is_there,
	.open = v4l2_open,
	.close = v4l2_close,
};
