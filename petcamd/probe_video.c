/* petcamd/probe_video.c - every video node: what it is, what goes in and out, its memory, its
 * controls, and who has it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "petcamd/probe_internal.h"
#include "v4l2/m2m.h"

#define NODE_LIMIT_MS 2000
#define SIZES_MAX 24
#define RATES_MAX 12
#define PROCESSES_MAX 4096
#define FDS_MAX 256

static const struct {
	uint32_t bit;
	const char *name;
} memories[] = {
	{ V4L2_BUF_CAP_SUPPORTS_MMAP, "mmap" },
	{ V4L2_BUF_CAP_SUPPORTS_DMABUF, "dmabuf" },
	{ V4L2_BUF_CAP_SUPPORTS_USERPTR, "userptr" },
};

static const uint32_t encoder_controls[] = {
	V4L2_CID_MPEG_VIDEO_BITRATE,
	V4L2_CID_MPEG_VIDEO_BITRATE_MODE,
	V4L2_CID_MPEG_VIDEO_H264_PROFILE,
	V4L2_CID_MPEG_VIDEO_H264_LEVEL,
	V4L2_CID_MPEG_VIDEO_H264_I_PERIOD,
	V4L2_CID_MPEG_VIDEO_GOP_SIZE,
	V4L2_CID_MPEG_VIDEO_H264_MIN_QP,
	V4L2_CID_MPEG_VIDEO_H264_MAX_QP,
	V4L2_CID_MPEG_VIDEO_HEADER_MODE,
	V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER,
	V4L2_CID_MPEG_VIDEO_B_FRAMES,
	V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME,
	V4L2_CID_MIN_BUFFERS_FOR_OUTPUT,
	V4L2_CID_MIN_BUFFERS_FOR_CAPTURE,
};

static const uint32_t camera_controls[] = {
	V4L2_CID_POWER_LINE_FREQUENCY,
	V4L2_CID_EXPOSURE_AUTO,
	V4L2_CID_AUTO_WHITE_BALANCE,
	V4L2_CID_BRIGHTNESS,
	V4L2_CID_GAIN,
	V4L2_CID_HFLIP,
	V4L2_CID_VFLIP,
};

/* One node's questions. */
struct node_question {
	char path[PC_V4L2_PATH_MAX];
	unsigned width, height; /* the cameras' size; 0: not known */
};

/* The process that has `path` open, other than this one: "petcamd (pid 12)". Only those of
 * the same user can be seen, unless root asks. */
static json_t *find_holder(const char *path)
{
	struct pc_probe_name *processes = calloc(PROCESSES_MAX, sizeof(*processes));
	struct pc_probe_name *fds = calloc(FDS_MAX, sizeof(*fds));
	json_t *holder = NULL;
	const unsigned n = processes == NULL || fds == NULL
				   ? 0
				   : pc_probe_list("/proc", "", processes, PROCESSES_MAX);
	for (unsigned i = 0; i < n && holder == NULL; i++) {
		char *end;
		errno = 0;
		const long pid = strtol(processes[i].text, &end, 10);
		if (errno != 0 || end == processes[i].text || *end != '\0' || pid == getpid() ||
			pid == getppid()) {
			continue;
		}
		char folder[96], link[192], target[PC_V4L2_PATH_MAX], name[32] = "";
		snprintf(folder, sizeof(folder), "/proc/%ld/fd", pid);
		const unsigned n_fds = pc_probe_list(folder, "", fds, FDS_MAX);
		for (unsigned k = 0; k < n_fds && holder == NULL; k++) {
			snprintf(link, sizeof(link), "%s/%s", folder, fds[k].text);
			const ssize_t length = readlink(link, target, sizeof(target) - 1);
			target[length < 0 ? 0 : length] = '\0';
			if (strcmp(target, path) != 0) {
				continue;
			}
			snprintf(link, sizeof(link), "/proc/%ld/comm", pid);
			FILE *file = fopen(link, "re");
			if (file != NULL) {
				if (fgets(name, sizeof(name), file) != NULL) {
					name[strcspn(name, "\n")] = '\0';
				}
				fclose(file);
			}
			holder = pc_probe_textf("%s (pid %ld)", name, pid);
		}
	}
	free(processes);
	free(fds);
	return holder;
}

static json_t *frame_rates(
	struct pc_v4l2 *device, uint32_t pixelformat, unsigned width, unsigned height)
{
	json_t *rates = json_array();
	for (uint32_t i = 0; i < RATES_MAX; i++) {
		struct v4l2_frmivalenum interval = {
			.index = i,
			.pixel_format = pixelformat,
			.width = width,
			.height = height,
		};
		if (pc_v4l2_ioctl(device, VIDIOC_ENUM_FRAMEINTERVALS, &interval) < 0) {
			break;
		}
		const bool discrete = interval.type == V4L2_FRMIVAL_TYPE_DISCRETE;
		const struct v4l2_fract shortest =
			discrete ? interval.discrete : interval.stepwise.min;
		if (shortest.numerator != 0) {
			json_array_append_new(rates,
				json_real((double)shortest.denominator / shortest.numerator));
		}
		if (!discrete) {
			break; /* a range: its fastest */
		}
	}
	return rates;
}

/* [{"width", "height", "fps": []}], or one {"min_width" ...} of a range. */
static json_t *frame_sizes(struct pc_v4l2 *device, uint32_t pixelformat, bool rates)
{
	json_t *sizes = json_array();
	for (uint32_t i = 0; i < SIZES_MAX; i++) {
		struct v4l2_frmsizeenum size = { .index = i, .pixel_format = pixelformat };
		if (pc_v4l2_ioctl(device, VIDIOC_ENUM_FRAMESIZES, &size) < 0) {
			break;
		}
		if (size.type == V4L2_FRMSIZE_TYPE_DISCRETE) {
			json_t *entry =
				json_pack("{s:I, s:I}", "width", (json_int_t)size.discrete.width,
					"height", (json_int_t)size.discrete.height);
			if (rates) {
				json_object_set_new(entry, "fps",
					frame_rates(device, pixelformat, size.discrete.width,
						size.discrete.height));
			}
			json_array_append_new(sizes, entry);
			continue;
		}
		json_t *entry = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "min_width",
			(json_int_t)size.stepwise.min_width, "min_height",
			(json_int_t)size.stepwise.min_height, "max_width",
			(json_int_t)size.stepwise.max_width, "max_height",
			(json_int_t)size.stepwise.max_height, "step_width",
			(json_int_t)size.stepwise.step_width, "step_height",
			(json_int_t)size.stepwise.step_height);
		if (rates) {
			json_object_set_new(entry, "fps",
				frame_rates(device, pixelformat, size.stepwise.max_width,
					size.stepwise.max_height));
		}
		json_array_append_new(sizes, entry);
		break;
	}
	return sizes;
}

static json_t *format_entry(struct pc_v4l2 *device, uint32_t pixelformat, bool rates)
{
	char fourcc[5];
	pc_probe_fourcc(pixelformat, fourcc);
	json_t *entry = json_pack("{s:s, s:b}", "fourcc", fourcc, "known",
		pc_v4l2_to_drm(pixelformat) != 0 || pixelformat == V4L2_PIX_FMT_H264);
	json_object_set_new(entry, "sizes", frame_sizes(device, pixelformat, rates));
	return entry;
}

/* The line alignment that the node asks of each raw format, at one size. */
static void add_strides(
	json_t *formats, const struct pc_v4l2_node *node, unsigned width, unsigned height)
{
	struct pc_m2m_input_format inputs[PC_V4L2_FORMATS_MAX];
	char key[32];
	snprintf(key, sizeof(key), "%ux%u", width, height);
	const int n = pc_m2m_input_formats(node, width, height, inputs, PC_V4L2_FORMATS_MAX);
	for (unsigned i = 0; i < node->n_in && i < json_array_size(formats); i++) {
		for (int k = 0; k < n; k++) {
			if (inputs[k].fourcc != pc_v4l2_to_drm(node->in[i])) {
				continue;
			}
			json_t *entry = json_array_get(formats, i);
			json_t *aligns = json_object_get(entry, "line_alignment");
			if (aligns == NULL) {
				aligns = json_object();
				json_object_set_new(entry, "line_alignment", aligns);
			}
			json_object_set_new(aligns, key, json_integer(inputs[k].stride_align));
		}
	}
}

/* Which memory a queue takes. Asking for no buffers frees those of this handle, of which
 * there are none; where another handle has the queue it is -EBUSY and nothing happens
 * (videobuf2-v4l2.c: vb2_ioctl_reqbufs()). */
static int queue_memory(struct pc_v4l2 *device, uint32_t type, json_t **ret_memory)
{
	struct v4l2_requestbuffers request = { .type = type, .memory = V4L2_MEMORY_MMAP };
	const int r = pc_v4l2_ioctl(device, VIDIOC_REQBUFS, &request);
	if (r < 0) {
		return r;
	}
	*ret_memory = json_array();
	for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++) {
		if ((request.capabilities & memories[i].bit) != 0) {
			json_array_append_new(*ret_memory, json_string(memories[i].name));
		}
	}
	return 0;
}

static json_t *list_controls(struct pc_v4l2 *device, const uint32_t *ids, size_t n)
{
	json_t *controls = json_array();
	for (size_t i = 0; i < n; i++) {
		struct v4l2_queryctrl control;
		int32_t value;
		if (pc_v4l2_query_control(device, ids[i], &control) < 0) {
			continue;
		}
		char name[sizeof(control.name) + 1];
		snprintf(name, sizeof(name), "%.*s", (int)sizeof(control.name),
			(const char *)control.name);
		json_t *entry = json_pack("{s:o, s:I, s:i, s:i, s:i}", "name", pc_probe_text(name),
			"id", (json_int_t)control.id, "min", (int)control.minimum, "max",
			(int)control.maximum, "default", (int)control.default_value);
		if (pc_v4l2_get_control(device, ids[i], &value) == 0) {
			json_object_set_new(entry, "value", json_integer(value));
		}
		json_array_append_new(controls, entry);
	}
	return controls;
}

static void describe_camera(json_t *object, struct pc_v4l2 *device, const struct pc_v4l2_node *node)
{
	json_t *formats = json_array();
	for (unsigned i = 0; i < node->n_out; i++) {
		json_array_append_new(formats, format_entry(device, node->out[i], true));
	}
	json_object_set_new(object, "out", formats);
	const uint32_t type =
		node->mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
	struct v4l2_format now = { .type = type };
	if (pc_v4l2_ioctl(device, VIDIOC_G_FMT, &now) == 0) {
		char fourcc[5];
		pc_probe_fourcc(node->mplane ? now.fmt.pix_mp.pixelformat : now.fmt.pix.pixelformat,
			fourcc);
		json_object_set_new(object, "now",
			json_pack("{s:s, s:I, s:I}", "fourcc", fourcc, "width",
				(json_int_t)(node->mplane ? now.fmt.pix_mp.width
							  : now.fmt.pix.width),
				"height",
				(json_int_t)(node->mplane ? now.fmt.pix_mp.height
							  : now.fmt.pix.height)));
	}
	json_t *memory = NULL;
	const int r = queue_memory(device, type, &memory);
	json_object_set_new(object, "busy", json_boolean(r == -EBUSY));
	if (r == 0) {
		json_object_set_new(object, "memory_out", memory);
	} else if (r == -EBUSY) {
		json_object_set_new(object, "holder", find_holder(node->path));
	}
	json_object_set_new(object, "controls",
		list_controls(device, camera_controls,
			sizeof(camera_controls) / sizeof(camera_controls[0])));
}

static void describe_m2m(json_t *object, struct pc_v4l2 *device, const struct pc_v4l2_node *node,
	const struct node_question *question)
{
	json_t *in = json_array(), *out = json_array(), *memory;
	for (unsigned i = 0; i < node->n_in; i++) {
		json_array_append_new(in, format_entry(device, node->in[i], false));
	}
	for (unsigned i = 0; i < node->n_out; i++) {
		json_array_append_new(out, format_entry(device, node->out[i], false));
	}
	if (node->role == PC_V4L2_ENCODER || node->role == PC_V4L2_SCALER) {
		add_strides(in, node, 1280, 720);
		if (question->width != 0 && (question->width != 1280 || question->height != 720)) {
			add_strides(in, node, question->width, question->height);
		}
	}
	json_object_set_new(object, "in", in);
	json_object_set_new(object, "out", out);
	if (queue_memory(device,
		    node->mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT,
		    &memory) == 0) {
		json_object_set_new(object, "memory_in", memory);
	}
	if (queue_memory(device,
		    node->mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE,
		    &memory) == 0) {
		json_object_set_new(object, "memory_out", memory);
	}
	if (node->role == PC_V4L2_ENCODER) {
		json_object_set_new(object, "controls",
			list_controls(device, encoder_controls,
				sizeof(encoder_controls) / sizeof(encoder_controls[0])));
	}
}

/* In the child. */
static json_t *ask_node(const void *data)
{
	const struct node_question *question = data;
	struct pc_v4l2 *device = NULL;
	struct pc_v4l2_node node;
	int r = pc_v4l2_open(question->path, &device);
	if (r < 0) {
		json_t *answer =
			json_pack("{s:o}", "error", pc_probe_open_error(question->path, r));
		if (r == -EBUSY) {
			json_object_set_new(answer, "busy", json_true());
			json_object_set_new(answer, "holder", find_holder(question->path));
		}
		json_object_set_new(answer, "errno", json_integer(-r));
		return answer;
	}
	r = pc_v4l2_identify(device, &node);
	if (r < 0) {
		pc_v4l2_close(device);
		return json_pack("{s:o, s:i}", "error",
			pc_probe_textf("does not say what it is: %s", pc_strerror(r)), "errno", -r);
	}
	json_t *object = json_pack("{s:o, s:o, s:o, s:s, s:b, s:b}", "driver",
		pc_probe_text(node.driver), "card", pc_probe_text(node.card), "bus",
		pc_probe_text(node.bus), "role", pc_v4l2_role_name(node.role), "multi_planar",
		node.mplane, "libcamerify", pc_v4l2_is_libcamerify(device));
	if (node.role == PC_V4L2_CAMERA) {
		describe_camera(object, device, &node);
	} else if (node.role != PC_V4L2_OTHER) {
		describe_m2m(object, device, &node, question);
	}
	pc_v4l2_close(device);
	return object;
}

static json_t *ask_about(const char *name, unsigned width, unsigned height)
{
	struct node_question question = { .width = width, .height = height };
	snprintf(question.path, sizeof(question.path), "/dev/%s", name);
	json_t *answer = pc_probe_ask(NODE_LIMIT_MS, ask_node, &question);
	json_object_set_new(answer, "path", pc_probe_text(question.path));
	return answer;
}

static bool has_role(const json_t *node, const char *role)
{
	const char *is = json_string_value(json_object_get(node, "role"));
	return is != NULL && strcmp(is, role) == 0;
}

json_t *pc_probe_video(void)
{
	struct pc_probe_name names[PC_V4L2_NODES_MAX];
	const unsigned n = pc_probe_list("/dev", "video", names, PC_V4L2_NODES_MAX);
	json_t *nodes = json_array();
	unsigned width = 0, height = 0;
	for (unsigned i = 0; i < n; i++) {
		json_t *node = ask_about(names[i].text, 0, 0);
		const json_t *now = json_object_get(node, "now");
		if (width == 0 && has_role(node, "camera") && now != NULL) {
			width = (unsigned)json_integer_value(json_object_get(now, "width"));
			height = (unsigned)json_integer_value(json_object_get(now, "height"));
		}
		json_array_append_new(nodes, node);
	}
	/* What encoder and scaler ask of lines at the size that the camera has. */
	for (unsigned i = 0; width != 0 && i < n; i++) {
		const json_t *node = json_array_get(nodes, i);
		if (has_role(node, "encoder") || has_role(node, "scaler")) {
			json_array_set_new(nodes, i, ask_about(names[i].text, width, height));
		}
	}
	return nodes;
}
