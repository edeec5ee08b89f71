/* petcamd/probe_imports.c - which device takes whose memory, each tried by a real import. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "hwaccel/allocator.h"
#include "petcamd/probe_internal.h"
#include "v4l2/import_test.h"
#include "v4l2/m2m.h"

#define IMPORT_LIMIT_MS 3000
#define WIDTH 1280
#define HEIGHT 720

enum memory_kind {
	MEMORY_CAMERA, /* the camera's own buffers, by EXPBUF */
	MEMORY_ENCODER, /* the encoder's input buffers, by EXPBUF */
	MEMORY_HEAP,
	MEMORY_DRM,
};

/* One memory, one device. */
struct trial {
	enum memory_kind kind;
	char memory[PC_V4L2_PATH_MAX * 2];
	char device[PC_V4L2_PATH_MAX];
	bool into_camera; /* the device is a camera, which is to fill the buffer */
};

static json_t *outcome(int err, const char *format, const char *why)
{
	json_t *answer = json_pack("{s:b, s:i}", "ok", err == 0, "errno", -err);
	json_object_set_new(answer, "format", format == NULL ? NULL : json_string(format));
	if (err < 0) {
		json_object_set_new(answer, "why", pc_probe_text(why));
	}
	return answer;
}

/* The format to try on an M2M node, best first; its layout. 0 or negative errno. */
static int choose_format(const struct pc_v4l2_node *node, const uint32_t *offered,
	unsigned n_offered, struct pc_v4l2_import_test *test)
{
	struct pc_m2m_input_format inputs[PC_V4L2_FORMATS_MAX];
	const int n = pc_m2m_input_formats(node, WIDTH, HEIGHT, inputs, PC_V4L2_FORMATS_MAX);
	int best = -1;
	for (int i = 0; i < n; i++) {
		bool shared = offered == NULL;
		for (unsigned k = 0; k < n_offered && !shared; k++) {
			shared = pc_v4l2_to_drm(offered[k]) == inputs[i].fourcc;
		}
		if (shared &&
			(best < 0 || pc_v4l2_from_drm(inputs[i].fourcc) == V4L2_PIX_FMT_NV12)) {
			best = i;
		}
	}
	if (best < 0) {
		return n < 0 ? n : -EINVAL;
	}
	test->format = (struct pc_frame_format){
		.fourcc = inputs[best].fourcc,
		.width = WIDTH,
		.height = HEIGHT,
	};
	const int64_t size = pc_frame_layout(
		&test->format, inputs[best].stride_align, test->planes, &test->n_planes);
	if (size < 0) {
		return (int)size;
	}
	/* Devices may want more than the pixels: lines up to a multiple of 16, a tail. */
	test->size = (size_t)size + 32u * test->planes[0].stride + 4096;
	return 0;
}

static int open_node(const char *path, struct pc_v4l2_node *node)
{
	struct pc_v4l2 *device = NULL;
	int r = pc_v4l2_open(path, &device);
	if (r == 0) {
		r = pc_v4l2_identify(device, node);
		pc_v4l2_close(device);
	}
	return r;
}

static int create_allocator(
	const struct trial *trial, char *why, size_t why_size, struct pc_allocator **ret_allocator)
{
	switch (trial->kind) {
	case MEMORY_HEAP:
		return pc_allocator_create_heap(trial->memory, why, why_size, ret_allocator);
	case MEMORY_DRM:
		return pc_allocator_create_drm(trial->memory, why, why_size, ret_allocator);
	case MEMORY_ENCODER:
		return pc_allocator_create_expbuf(trial->memory, why, why_size, ret_allocator);
	case MEMORY_CAMERA:
		break;
	}
	return -ENOTSUP;
}

static json_t *try_allocated(const struct trial *trial, const struct pc_v4l2_node *node)
{
	char why[PC_PROBE_TEXT_MAX] = "", format[PC_FRAME_FORMAT_TEXT];
	struct pc_v4l2_import_test test = { .path = trial->device, .fd = -1 };
	int r = choose_format(node, NULL, 0, &test);
	if (r < 0) {
		return outcome(r, NULL, "it takes no format that petcam knows");
	}
	pc_frame_format_text(&test.format, format);
	struct pc_allocator *allocator = NULL;
	r = create_allocator(trial, why, sizeof(why), &allocator);
	if (r < 0) {
		return outcome(r, format, why);
	}
	r = pc_allocator_dmabuf(allocator, test.size, &test.fd);
	if (r < 0) {
		snprintf(why, sizeof(why), "no buffer of %zu bytes: %s", test.size, pc_strerror(r));
	} else {
		r = pc_v4l2_import_test(&test, why, sizeof(why));
		close(test.fd);
	}
	pc_allocator_destroy(allocator);
	return outcome(r, format, why);
}

/* A camera's queue: its type, and the format that it had before, which is put back. */
struct camera {
	struct pc_v4l2 *device;
	struct pc_v4l2_node node;
	uint32_t type;
	struct v4l2_format before;
};

static int request_buffers(const struct camera *camera, uint32_t memory, uint32_t count)
{
	struct v4l2_requestbuffers request = {
		.type = camera->type,
		.memory = memory,
		.count = count,
	};
	const int r = pc_v4l2_ioctl(camera->device, VIDIOC_REQBUFS, &request);
	return r < 0 ? r : count > 0 && request.count == 0 ? -ENOMEM : 0;
}

/* Takes the queue of a camera that nobody has. */
static int camera_open(const char *path, struct camera *camera, char *why, size_t why_size)
{
	*camera = (struct camera){ 0 };
	int r = pc_v4l2_open(path, &camera->device);
	if (r < 0) {
		snprintf(why, why_size, "%s", pc_strerror(r));
		return r;
	}
	r = pc_v4l2_identify(camera->device, &camera->node);
	camera->type = camera->node.mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
					   : V4L2_BUF_TYPE_VIDEO_CAPTURE;
	camera->before.type = camera->type;
	if (r == 0) {
		r = pc_v4l2_ioctl(camera->device, VIDIOC_G_FMT, &camera->before);
	}
	/* Somebody who has buffers owns the queue. */
	if (r == 0) {
		r = request_buffers(camera, V4L2_MEMORY_MMAP, 0);
	}
	if (r < 0) {
		snprintf(why, why_size, "%s",
			r == -EBUSY ? "the camera is in use, and left alone" : pc_strerror(r));
		pc_v4l2_close(camera->device);
	}
	return r;
}

static void camera_close(struct camera *camera, uint32_t memory)
{
	request_buffers(camera, memory, 0);
	pc_v4l2_ioctl(camera->device, VIDIOC_S_FMT, &camera->before);
	pc_v4l2_close(camera->device);
}

/* The camera's first buffer as a dma-buf, at test->format. */
static int camera_export(
	struct camera *camera, struct pc_v4l2_import_test *test, char *why, size_t why_size)
{
	struct v4l2_format format = { .type = camera->type };
	if (camera->node.mplane) {
		format.fmt.pix_mp.width = test->format.width;
		format.fmt.pix_mp.height = test->format.height;
		format.fmt.pix_mp.pixelformat = pc_v4l2_from_drm(test->format.fourcc);
		format.fmt.pix_mp.num_planes = 1;
		format.fmt.pix_mp.plane_fmt[0].bytesperline = test->planes[0].stride;
	} else {
		format.fmt.pix.width = test->format.width;
		format.fmt.pix.height = test->format.height;
		format.fmt.pix.pixelformat = pc_v4l2_from_drm(test->format.fourcc);
		format.fmt.pix.bytesperline = test->planes[0].stride;
	}
	int r = pc_v4l2_ioctl(camera->device, VIDIOC_S_FMT, &format);
	if (r < 0) {
		snprintf(why, why_size, "the camera's S_FMT: %s", pc_strerror(r));
		return r;
	}
	uint32_t stride, size;
	if (camera->node.mplane) {
		test->format.width = format.fmt.pix_mp.width;
		test->format.height = format.fmt.pix_mp.height;
		stride = format.fmt.pix_mp.plane_fmt[0].bytesperline;
		size = format.fmt.pix_mp.plane_fmt[0].sizeimage;
	} else {
		test->format.width = format.fmt.pix.width;
		test->format.height = format.fmt.pix.height;
		stride = format.fmt.pix.bytesperline;
		size = format.fmt.pix.sizeimage;
	}
	test->planes[0].stride = stride;
	test->size = size;
	r = request_buffers(camera, V4L2_MEMORY_MMAP, 1);
	if (r < 0) {
		snprintf(
			why, why_size, "the camera has no memory for a buffer: %s", pc_strerror(r));
		return r;
	}
	struct v4l2_exportbuffer export = {
		.type = camera->type,
		.flags = O_RDWR | O_CLOEXEC,
	};
	r = pc_v4l2_ioctl(camera->device, VIDIOC_EXPBUF, &export);
	if (r < 0) {
		snprintf(why, why_size, "the camera exports no buffers (EXPBUF): %s",
			pc_strerror(r));
		return r;
	}
	test->fd = export.fd;
	return 0;
}

static json_t *try_exported(const struct trial *trial, const struct pc_v4l2_node *node)
{
	char why[PC_PROBE_TEXT_MAX] = "", format[PC_FRAME_FORMAT_TEXT] = "";
	struct camera camera;
	struct pc_v4l2_import_test test = { .path = trial->device, .fd = -1 };
	int r = camera_open(trial->memory, &camera, why, sizeof(why));
	if (r < 0) {
		return outcome(r, NULL, why);
	}
	r = choose_format(node, camera.node.out, camera.node.n_out, &test);
	if (r < 0) {
		snprintf(why, sizeof(why), "camera and device share no format");
	} else {
		r = camera_export(&camera, &test, why, sizeof(why));
		pc_frame_format_text(&test.format, format);
	}
	if (test.fd >= 0) {
		r = pc_v4l2_import_test(&test, why, sizeof(why));
		close(test.fd);
	}
	camera_close(&camera, V4L2_MEMORY_MMAP);
	return outcome(r, format[0] != '\0' ? format : NULL, why);
}

/* Hands a buffer to the camera's own queue, at the format that the camera has. */
static int camera_queue(struct camera *camera, int fd, size_t size, char *why, size_t why_size)
{
	int r = request_buffers(camera, V4L2_MEMORY_DMABUF, 1);
	if (r < 0) {
		snprintf(why, why_size, "%s",
			r == -EINVAL ? "the camera imports no dma-bufs" : pc_strerror(r));
		return r == -EINVAL ? -ENOTSUP : r;
	}
	struct v4l2_plane plane = { .m.fd = fd, .length = (uint32_t)size };
	struct v4l2_buffer buffer = { .type = camera->type, .memory = V4L2_MEMORY_DMABUF };
	if (camera->node.mplane) {
		buffer.length = 1;
		buffer.m.planes = &plane;
	} else {
		buffer.m.fd = fd;
		buffer.length = (uint32_t)size;
	}
	r = pc_v4l2_ioctl(camera->device, VIDIOC_QBUF, &buffer);
	if (r < 0) {
		snprintf(why, why_size, "the camera cannot map the buffer: %s", pc_strerror(r));
	}
	return r;
}

static json_t *try_into_camera(const struct trial *trial)
{
	char why[PC_PROBE_TEXT_MAX] = "";
	struct camera camera;
	int r = camera_open(trial->device, &camera, why, sizeof(why));
	if (r < 0) {
		return outcome(r, NULL, why);
	}
	const struct v4l2_format *format = &camera.before;
	const uint32_t size = camera.node.mplane ? format->fmt.pix_mp.plane_fmt[0].sizeimage
						 : format->fmt.pix.sizeimage;
	char fourcc[5];
	pc_probe_fourcc(
		camera.node.mplane ? format->fmt.pix_mp.pixelformat : format->fmt.pix.pixelformat,
		fourcc);
	struct pc_allocator *allocator = NULL;
	int fd = -1;
	r = create_allocator(trial, why, sizeof(why), &allocator);
	if (r == 0) {
		r = pc_allocator_dmabuf(allocator, size, &fd);
		if (r < 0) {
			snprintf(why, sizeof(why), "no buffer of %u bytes: %s", size,
				pc_strerror(r));
		}
	}
	if (r == 0) {
		r = camera_queue(&camera, fd, size, why, sizeof(why));
	}
	camera_close(&camera, V4L2_MEMORY_DMABUF);
	if (fd >= 0) {
		close(fd);
	}
	pc_allocator_destroy(allocator);
	return outcome(r, fourcc, why);
}

/* In the child. */
static json_t *try_import(const void *data)
{
	const struct trial *trial = data;
	if (trial->into_camera) {
		return try_into_camera(trial);
	}
	struct pc_v4l2_node node;
	const int r = open_node(trial->device, &node);
	if (r < 0) {
		return outcome(r, NULL, pc_strerror(r));
	}
	return trial->kind == MEMORY_CAMERA ? try_exported(trial, &node)
					    : try_allocated(trial, &node);
}

/* The paths of what is usable: nodes of a role, or (NULL) memory that gives. */
static unsigned list_paths(const json_t *from, const char *role, const char **paths)
{
	unsigned n = 0;
	size_t i;
	json_t *entry;
	json_array_foreach(from, i, entry)
	{
		const char *path = json_string_value(json_object_get(entry, "path"));
		const char *is = json_string_value(json_object_get(entry, "role"));
		const bool fits = role != NULL ? is != NULL && strcmp(is, role) == 0
					       : json_is_true(json_object_get(entry, "gives"));
		if (fits && path != NULL && n < PC_PROBE_DEVICES_MAX) {
			paths[n++] = path;
		}
	}
	return n;
}

static void try_one(json_t *imports, enum memory_kind kind, const char *memory, const char *device,
	const char *role)
{
	static const char *const kinds[] = {
		[MEMORY_CAMERA] = "camera's own buffers (EXPBUF)",
		[MEMORY_ENCODER] = "encoder's input buffers (EXPBUF)",
		[MEMORY_HEAP] = "dma-heap",
		[MEMORY_DRM] = "DRM dumb buffers",
	};
	struct trial trial = { .kind = kind, .into_camera = strcmp(role, "camera") == 0 };
	snprintf(trial.memory, sizeof(trial.memory), "%s", memory);
	snprintf(trial.device, sizeof(trial.device), "%s", device);
	json_t *answer = pc_probe_ask(IMPORT_LIMIT_MS, try_import, &trial);
	json_object_set_new(answer, "kind", json_string(kinds[kind]));
	json_object_set_new(answer, "memory", json_string(memory));
	json_object_set_new(answer, "device", json_string(device));
	json_object_set_new(answer, "role", json_string(role));
	json_array_append_new(imports, answer);
}

json_t *pc_probe_imports(const json_t *video, const json_t *heaps, const json_t *drm)
{
	static const char *const roles[] = { "encoder", "scaler", "camera" };
	const char *memory[4][PC_PROBE_DEVICES_MAX];
	unsigned n_memory[4];
	n_memory[MEMORY_CAMERA] = list_paths(video, "camera", memory[MEMORY_CAMERA]);
	n_memory[MEMORY_ENCODER] = list_paths(video, "encoder", memory[MEMORY_ENCODER]);
	n_memory[MEMORY_HEAP] = list_paths(heaps, NULL, memory[MEMORY_HEAP]);
	n_memory[MEMORY_DRM] = list_paths(drm, NULL, memory[MEMORY_DRM]);
	json_t *imports = json_array();
	for (size_t role = 0; role < sizeof(roles) / sizeof(roles[0]); role++) {
		const char *devices[PC_PROBE_DEVICES_MAX];
		const unsigned n = list_paths(video, roles[role], devices);
		for (unsigned i = 0; i < n; i++) {
			for (unsigned kind = 0; kind < 4; kind++) {
				/* A camera that fills another camera's buffers serves nobody. */
				if (kind == MEMORY_CAMERA && strcmp(roles[role], "camera") == 0) {
					continue;
				}
				for (unsigned k = 0; k < n_memory[kind]; k++) {
					try_one(imports, (enum memory_kind)kind, memory[kind][k],
						devices[i], roles[role]);
				}
			}
		}
	}
	return imports;
}
