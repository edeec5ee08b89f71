/* petcamd/probe_imports.c - which device takes whose memory, each tried by a real import. */
#include <drm_fourcc.h>
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "hwaccel/gpu_test.h"
#include "petcamd/probe_buffers.h"
#include "petcamd/probe_internal.h"
#include "v4l2/import_test.h"
#include "v4l2/m2m.h"

#define IMPORT_LIMIT_MS 3000
#define GPU_LIMIT_MS 15000 /* Mesa starts, and compiles */
#define WIDTH 1280
#define HEIGHT 720

enum taker {
	TAKER_M2M, /* an encoder or a scaler */
	TAKER_CAMERA, /* which is to fill the buffer */
	TAKER_GPU,
};

/* One memory, one device. */
struct trial {
	enum taker taker;
	enum pc_probe_memory kind;
	char memory[PC_V4L2_PATH_MAX * 2];
	char device[PC_V4L2_PATH_MAX];
};

static json_t *outcome(int err, const char *format, const char *why, const char *name)
{
	json_t *answer = json_pack("{s:b, s:i}", "ok", err == 0, "errno", -err);
	json_object_set_new(answer, "format", format == NULL ? NULL : json_string(format));
	if (err < 0) {
		json_object_set_new(answer, "why", pc_probe_text(why));
	}
	if (name[0] != '\0') {
		json_object_set_new(answer, "name", pc_probe_text(name));
	}
	return answer;
}

static bool offers(const uint32_t *offered, unsigned n_offered, uint32_t fourcc)
{
	for (unsigned i = 0; i < n_offered; i++) {
		if (pc_v4l2_to_drm(offered[i]) == fourcc) {
			return true;
		}
	}
	return offered == NULL;
}

/* What an M2M node takes of what is offered (NULL: anything), NV12 if it can be; fourcc and
 * alignment, or negative errno. */
static int choose_m2m_format(const char *path, const uint32_t *offered, unsigned n_offered,
	struct pc_m2m_input_format *ret_format)
{
	struct pc_m2m_input_format inputs[PC_V4L2_FORMATS_MAX];
	struct pc_v4l2_node node;
	struct pc_v4l2 *device = NULL;
	int r = pc_v4l2_open(path, &device);
	if (r == 0) {
		r = pc_v4l2_identify(device, &node);
		pc_v4l2_close(device);
	}
	const int n =
		r < 0 ? r : pc_m2m_input_formats(&node, WIDTH, HEIGHT, inputs, PC_V4L2_FORMATS_MAX);
	int best = -1;
	for (int i = 0; i < n; i++) {
		if (offers(offered, n_offered, inputs[i].fourcc) &&
			(best < 0 || inputs[i].fourcc == DRM_FORMAT_NV12)) {
			best = i;
		}
	}
	if (best >= 0) {
		*ret_format = inputs[best];
	}
	return n < 0 ? n : best < 0 ? -EINVAL : 0;
}

/* The format to try, and its layout. 0 or negative errno. */
static int choose_format(const struct trial *trial, const uint32_t *offered, unsigned n_offered,
	struct pc_v4l2_import_test *test)
{
	struct pc_m2m_input_format input = { .fourcc = DRM_FORMAT_NV12, .stride_align = 64 };
	int r = 0;
	if (trial->taker == TAKER_M2M) {
		r = choose_m2m_format(trial->device, offered, n_offered, &input);
	} else if (!offers(offered, n_offered, DRM_FORMAT_NV12)) {
		input.fourcc = DRM_FORMAT_YUV420;
		r = offers(offered, n_offered, DRM_FORMAT_YUV420) ? 0 : -EINVAL;
	}
	/* A camera is asked for its memory, whatever it gives. */
	for (unsigned i = 0; r < 0 && trial->taker == TAKER_CAMERA && i < n_offered; i++) {
		input.fourcc = pc_v4l2_to_drm(offered[i]);
		r = input.fourcc != 0 && !pc_v4l2_is_jpeg(offered[i]) ? 0 : -EINVAL;
	}
	if (r < 0) {
		return r;
	}
	test->format = (struct pc_frame_format){
		.fourcc = input.fourcc,
		.width = WIDTH,
		.height = HEIGHT,
	};
	const int64_t size =
		pc_frame_layout(&test->format, input.stride_align, test->planes, &test->n_planes);
	if (size < 0) {
		return (int)size;
	}
	/* Devices may want more than the pixels: lines up to a multiple of 16, a tail. */
	test->size = (size_t)size + 32u * test->planes[0].stride + 4096;
	return 0;
}

/* Hands the buffer over: the point of it all. `name`: what the device calls itself. */
static int hand_over(const struct trial *trial, const struct pc_v4l2_import_test *test, char *why,
	size_t why_size, char *name, size_t name_size)
{
	if (trial->taker == TAKER_M2M) {
		return pc_v4l2_import_test(test, why, why_size);
	}
	struct pc_gpu_test gpu = {
		.device = trial->device,
		.format = test->format,
		.fd = test->fd,
	};
	memcpy(gpu.planes, test->planes, sizeof(gpu.planes));
	return pc_gpu_test(&gpu, name, name_size, why, why_size);
}

/* Hands over each buffer. Some of scattered memory may be taken, by luck. */
static int hand_over_all(const struct trial *trial, const struct pc_probe_buffers *buffers,
	struct pc_v4l2_import_test *test, char *why, size_t why_size, char *name, size_t name_size)
{
	int r = 0;
	for (unsigned i = 0; i < buffers->n && r == 0; i++) {
		test->fd = buffers->fds[i];
		r = hand_over(trial, test, why, why_size, name, name_size);
		if (r < 0 && i > 0) {
			const size_t used = strlen(why);
			snprintf(why + used, why_size - used, " (buffer %u of %u)", i + 1,
				buffers->n);
		}
	}
	return r;
}

/* A GPU has an MMU, and each trial starts it: one buffer tells. */
static unsigned count_for(const struct trial *trial)
{
	return trial->taker == TAKER_GPU ? 1 : PC_PROBE_BUFFERS;
}

static json_t *try_allocated(const struct trial *trial)
{
	char why[PC_PROBE_TEXT_MAX] = "", format[PC_FRAME_FORMAT_TEXT], name[128] = "";
	struct pc_v4l2_import_test test = { .path = trial->device, .fd = -1 };
	int r = choose_format(trial, NULL, 0, &test);
	if (r < 0) {
		return outcome(r, NULL, "it takes no format that petcam knows", "");
	}
	pc_frame_format_text(&test.format, format);
	struct pc_probe_buffers buffers;
	r = pc_probe_buffers_allocate(
		&buffers, trial->kind, trial->memory, count_for(trial), &test, why, sizeof(why));
	if (r == 0) {
		r = hand_over_all(trial, &buffers, &test, why, sizeof(why), name, sizeof(name));
	}
	pc_probe_buffers_finish(&buffers);
	return outcome(r, format, why, name);
}

static json_t *try_exported(const struct trial *trial)
{
	char why[PC_PROBE_TEXT_MAX] = "", format[PC_FRAME_FORMAT_TEXT] = "", name[128] = "";
	struct pc_probe_camera camera;
	struct pc_v4l2_import_test test = { .path = trial->device, .fd = -1 };
	int r = pc_probe_camera_open(trial->memory, &camera, why, sizeof(why));
	if (r < 0) {
		return outcome(r, NULL, why, "");
	}
	struct pc_probe_buffers buffers = { .n = 0 };
	r = choose_format(trial, camera.node.out, camera.node.n_out, &test);
	if (r < 0) {
		snprintf(why, sizeof(why), "camera and device share no format");
	} else {
		r = pc_probe_camera_set_format(&camera, &test, why, sizeof(why));
		pc_frame_format_text(&test.format, format);
	}
	if (r == 0) {
		r = pc_probe_buffers_export(&buffers, &camera, count_for(trial), why, sizeof(why));
	}
	if (r == 0) {
		r = hand_over_all(trial, &buffers, &test, why, sizeof(why), name, sizeof(name));
	}
	pc_probe_buffers_finish(&buffers);
	pc_probe_camera_close(&camera, V4L2_MEMORY_MMAP);
	return outcome(r, format[0] != '\0' ? format : NULL, why, name);
}

static json_t *try_into_camera(const struct trial *trial)
{
	char why[PC_PROBE_TEXT_MAX] = "", format[PC_FRAME_FORMAT_TEXT] = "";
	struct pc_probe_camera camera;
	struct pc_v4l2_import_test test = { .fd = -1 };
	int r = pc_probe_camera_open(trial->device, &camera, why, sizeof(why));
	if (r < 0) {
		return outcome(r, NULL, why, "");
	}
	/* The encoder's own buffers are of a format that it takes. */
	struct trial chooser = {
		.taker = trial->kind == PC_PROBE_ENCODER ? TAKER_M2M : TAKER_CAMERA,
	};
	snprintf(chooser.device, sizeof(chooser.device), "%.63s", trial->memory);
	r = choose_format(&chooser, camera.node.out, camera.node.n_out, &test);
	if (r < 0) {
		snprintf(why, sizeof(why), "it has no format in common with those behind it");
	} else {
		r = pc_probe_camera_set_format(&camera, &test, why, sizeof(why));
		pc_frame_format_text(&test.format, format);
	}
	struct pc_probe_buffers buffers = { .n = 0 };
	const size_t wanted = test.size;
	if (r == 0) {
		r = pc_probe_buffers_allocate(&buffers, trial->kind, trial->memory,
			PC_PROBE_BUFFERS, &test, why, sizeof(why));
	}
	if (r == 0 && test.size < wanted) {
		r = -EMSGSIZE;
		snprintf(why, sizeof(why), "the camera wants %zu bytes, the buffer has %zu", wanted,
			test.size);
	}
	for (unsigned i = 0; i < buffers.n && r == 0; i++) {
		test.fd = buffers.fds[i];
		r = pc_probe_camera_queue(&camera, &test, i, buffers.n, why, sizeof(why));
	}
	pc_probe_camera_close(&camera, V4L2_MEMORY_DMABUF);
	pc_probe_buffers_finish(&buffers);
	return outcome(r, format[0] != '\0' ? format : NULL, why, "");
}

/* In the child. */
static json_t *try_import(const void *data)
{
	const struct trial *trial = data;
	if (trial->taker == TAKER_CAMERA) {
		return try_into_camera(trial);
	}
	return trial->kind == PC_PROBE_CAMERA ? try_exported(trial) : try_allocated(trial);
}

/* The paths of those among `from` that have this role, or (NULL) that `key` is true of. */
static unsigned list_paths(
	const json_t *from, const char *role, const char *key, const char **paths)
{
	unsigned n = 0;
	size_t i;
	json_t *entry;
	json_array_foreach(from, i, entry)
	{
		const char *path = json_string_value(json_object_get(entry, "path"));
		const char *is = json_string_value(json_object_get(entry, "role"));
		const bool fits = role != NULL ? is != NULL && strcmp(is, role) == 0
					       : json_is_true(json_object_get(entry, key));
		if (fits && path != NULL && n < PC_PROBE_DEVICES_MAX) {
			paths[n++] = path;
		}
	}
	return n;
}

struct memories {
	unsigned n[4]; /* by enum pc_probe_memory */
	const char *paths[4][PC_PROBE_DEVICES_MAX];
};

/* Adds the trial's outcome; false: the device itself does not serve, whatever the memory. */
static bool try_one(json_t *imports, enum pc_probe_memory kind, const char *memory,
	enum taker taker, const char *device, const char *role)
{
	static const char *const kinds[] = {
		[PC_PROBE_CAMERA] = "camera's own buffers (EXPBUF)",
		[PC_PROBE_ENCODER] = "encoder's input buffers (EXPBUF)",
		[PC_PROBE_HEAP] = "dma-heap",
		[PC_PROBE_DRM] = "DRM dumb buffers",
	};
	struct trial trial = { .kind = kind, .taker = taker };
	snprintf(trial.memory, sizeof(trial.memory), "%s", memory);
	snprintf(trial.device, sizeof(trial.device), "%s", device);
	json_t *answer = pc_probe_ask(
		taker == TAKER_GPU ? GPU_LIMIT_MS : IMPORT_LIMIT_MS, try_import, &trial);
	json_object_set_new(answer, "kind", json_string(kinds[kind]));
	json_object_set_new(answer, "memory", json_string(memory));
	json_object_set_new(answer, "device", json_string(device));
	json_object_set_new(answer, "role", json_string(role));
	const bool serves = json_object_get(answer, "error") == NULL &&
			    json_integer_value(json_object_get(answer, "errno")) != ENODEV;
	json_array_append_new(imports, answer);
	return serves;
}

static void try_all(json_t *imports, const struct memories *memories, enum taker taker,
	const char *device, const char *role)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		/* A camera that fills another camera's buffers serves nobody. */
		if (kind == PC_PROBE_CAMERA && taker == TAKER_CAMERA) {
			continue;
		}
		for (unsigned i = 0; i < memories->n[kind]; i++) {
			const bool serves = try_one(imports, (enum pc_probe_memory)kind,
				memories->paths[kind][i], taker, device, role);
			if (taker == TAKER_GPU && !serves) {
				return; /* each start of a GPU that does not serve costs time */
			}
		}
	}
}

json_t *pc_probe_imports(const json_t *video, const json_t *heaps, const json_t *drm)
{
	static const struct {
		const char *role;
		enum taker taker;
	} takers[] = {
		{ "encoder", TAKER_M2M },
		{ "scaler", TAKER_M2M },
		{ "camera", TAKER_CAMERA },
	};
	const char *devices[PC_PROBE_DEVICES_MAX];
	struct memories memories = { .n = { 0 } };
	memories.n[PC_PROBE_CAMERA] =
		list_paths(video, "camera", NULL, memories.paths[PC_PROBE_CAMERA]);
	memories.n[PC_PROBE_ENCODER] =
		list_paths(video, "encoder", NULL, memories.paths[PC_PROBE_ENCODER]);
	memories.n[PC_PROBE_HEAP] = list_paths(heaps, NULL, "gives", memories.paths[PC_PROBE_HEAP]);
	memories.n[PC_PROBE_DRM] = list_paths(drm, NULL, "gives", memories.paths[PC_PROBE_DRM]);
	json_t *imports = json_array();
	for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
		const unsigned n = list_paths(video, takers[i].role, NULL, devices);
		for (unsigned k = 0; k < n; k++) {
			try_all(imports, &memories, takers[i].taker, devices[k], takers[i].role);
		}
	}
	const unsigned n = list_paths(drm, NULL, "prime_import", devices);
	for (unsigned i = 0; i < n; i++) {
		if (strstr(devices[i], "/card") != NULL) {
			try_all(imports, &memories, TAKER_GPU, devices[i], "GPU");
		}
	}
	return imports;
}

json_t *pc_probe_gpu(const json_t *imports)
{
	const json_t *refusal = NULL;
	size_t i;
	json_t *import;
	json_array_foreach(imports, i, import)
	{
		const char *role = json_string_value(json_object_get(import, "role"));
		if (role == NULL || strcmp(role, "GPU") != 0) {
			continue;
		}
		json_t *name = json_object_get(import, "name");
		if (name != NULL) {
			return json_pack("{s:O}", "renderer", name);
		}
		json_t *why = json_object_get(import, "why");
		why = why != NULL ? why : json_object_get(import, "error");
		refusal = refusal != NULL ? refusal : why;
	}
	return refusal != NULL ? json_pack("{s:O}", "error", refusal)
			       : json_pack("{s:s}", "error", "none that could be tried");
}
