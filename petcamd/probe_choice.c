/* petcamd/probe_choice.c - what petcam would take on this machine, by the functions with which the
 * daemon chooses: encoder and scaler are opened (and closed again) as they would be. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/loop.h"
#include "hwaccel/allocator.h"
#include "hwaccel/encoder.h"
#include "hwaccel/scaler.h"
#include "petcamd/camera_wishes.h"
#include "petcamd/probe_internal.h"

#define CHOICE_LIMIT_MS 8000
#define FORMATS_MAX 32

/* The last line that was logged says what was chosen, and why nothing better. The log calls
 * this under its lock. */
static void keep_line(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(data, PC_PROBE_TEXT_MAX, "%s", text);
}

static void ignore_packet(void *data, const struct pc_packet *packet)
{
}

static void ignore_frame(void *data, struct pc_frame *frame)
{
}

static void ignore_failure(void *data, int err)
{
}

/* The frames that the first camera is set to give, as the encoder wants them: what an input
 * format, its layout and size are. 0 or negative errno. */
struct picture {
	struct pc_frame_format format;
	unsigned n_planes;
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	size_t size;
};

static int make_picture(const struct pc_settings *settings, struct picture *picture)
{
	const struct pc_camera_settings *camera = &settings->cameras[0];
	struct pc_input_format inputs[FORMATS_MAX];
	bool dmabuf;
	const unsigned n = pc_encoder_inputs(settings->encoder.encoder, settings->encoder.device,
		camera->width, camera->height, inputs, FORMATS_MAX, &dmabuf);
	if (n == 0) {
		return -ENODEV;
	}
	picture->format = (struct pc_frame_format){
		.fourcc = inputs[0].fourcc,
		.width = camera->width,
		.height = camera->height,
	};
	const int64_t size = pc_frame_layout(
		&picture->format, inputs[0].stride_align, picture->planes, &picture->n_planes);
	if (size < 0) {
		return (int)size;
	}
	picture->size = (size_t)size + 32u * picture->planes[0].stride;
	return 0;
}

static json_t *say(int err, const char *line)
{
	return line[0] != '\0'
		       ? json_pack("{s:b, s:o}", "ok", err == 0, "text", pc_probe_text(line))
		       : json_pack("{s:b, s:o}", "ok", err == 0, "text",
				 pc_probe_text(pc_strerror(err)));
}

/* In the child. */
static json_t *ask_encoder(const void *data)
{
	static const struct pc_encoder_events events = {
		.packet = ignore_packet,
		.failed = ignore_failure,
	};
	const struct pc_settings *settings = data;
	char line[PC_PROBE_TEXT_MAX] = "";
	struct picture picture;
	struct pc_loop *loop = NULL;
	int r = make_picture(settings, &picture);
	if (r < 0) {
		return say(r, "there is no encoder for the camera's size");
	}
	r = pc_loop_create(&loop);
	if (r < 0) {
		return say(r, "");
	}
	const struct pc_encoder_config config = {
		.format = picture.format,
		.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
		.n_planes = picture.n_planes,
		.planes = { picture.planes[0], picture.planes[1], picture.planes[2],
			picture.planes[3] },
		.size = picture.size,
		.fps = settings->cameras[0].fps,
		.bitrate_kbps = settings->cameras[0].bitrate_kbps,
		.key_interval = 60,
		.choice = settings->encoder.encoder,
		.preset = settings->encoder.preset,
		.threads = settings->encoder.threads,
		.device = settings->encoder.device,
	};
	pc_log_set_hook(keep_line, line);
	struct pc_encoder *encoder = NULL;
	r = pc_encoder_open(loop, &config, &events, NULL, &encoder);
	pc_log_set_hook(NULL, NULL);
	json_t *answer = say(r, line);
	if (r == 0) {
		json_object_set_new(answer, "name", pc_probe_text(pc_encoder_name(encoder)));
		pc_encoder_close(encoder);
	}
	pc_loop_destroy(loop);
	return answer;
}

static json_t *ask_scaler(const void *data)
{
	static const struct pc_scaler_events events = {
		.scaled = ignore_frame,
		.failed = ignore_failure,
	};
	const struct pc_settings *settings = data;
	char line[PC_PROBE_TEXT_MAX] = "";
	struct picture picture;
	struct pc_loop *loop = NULL;
	int r = make_picture(settings, &picture);
	if (r == 0) {
		r = pc_loop_create(&loop);
	}
	if (r < 0) {
		return say(r, "");
	}
	struct pc_scaler_config config = {
		.input = picture.format,
		.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
		.n_planes = picture.n_planes,
		.planes = { picture.planes[0], picture.planes[1], picture.planes[2],
			picture.planes[3] },
		.size = picture.size,
		.buffers = 3,
		.choice = settings->encoder.scaler,
		.device = settings->encoder.scaler_device,
	};
	pc_scaler_fit(&config.input, settings->inference.width, &config.width, &config.height);
	pc_log_set_hook(keep_line, line);
	struct pc_scaler *scaler = NULL;
	r = pc_scaler_open(loop, &config, &events, NULL, &scaler);
	pc_log_set_hook(NULL, NULL);
	json_t *answer = say(r, line);
	if (r == 0) {
		json_object_set_new(answer, "name", pc_probe_text(pc_scaler_name(scaler)));
		pc_scaler_close(scaler);
	}
	pc_loop_destroy(loop);
	return answer;
}

static json_t *ask_allocator(const void *data)
{
	const struct pc_settings *settings = data;
	char line[PC_PROBE_TEXT_MAX] = "";
	struct pc_allocator *allocator = NULL;
	pc_log_set_hook(keep_line, line);
	const int r = pc_allocator_create_for(settings->encoder.encoder, &allocator);
	pc_log_set_hook(NULL, NULL);
	if (r == 0 && line[0] == '\0') {
		snprintf(line, sizeof(line), "%s", pc_allocator_name(allocator));
	}
	json_t *answer = say(r, line);
	if (r == 0) {
		json_object_set_new(answer, "name", pc_probe_text(pc_allocator_name(allocator)));
		pc_allocator_destroy(allocator);
	}
	return answer;
}

/* What a camera is asked for: {"direct": [fourcc], "convert": [fourcc], "dmabuf"}. */
static json_t *ask_wishes(const void *data)
{
	const struct pc_settings *settings = data;
	const struct pc_source_config config = {
		.camera = &settings->cameras[0],
		.source = "v4l2",
		.encoder = settings->encoder.encoder,
		.encoder_device = settings->encoder.device,
		.scaler = settings->encoder.scaler,
		.scaler_device = settings->encoder.scaler_device,
	};
	char why[PC_PROBE_TEXT_MAX] = "", fourcc[5];
	struct pc_camera_wishes wishes;
	const int r = pc_camera_wishes_make(&config, why, sizeof(why), &wishes);
	if (r < 0) {
		return json_pack("{s:o}", "error", pc_probe_text(why));
	}
	json_t *direct = json_array(), *convert = json_array();
	for (unsigned i = 0; i < wishes.n_direct; i++) {
		pc_probe_fourcc(pc_v4l2_from_drm(wishes.direct[i].fourcc), fourcc);
		json_array_append_new(direct, json_string(fourcc));
	}
	for (unsigned i = 0; i < wishes.n_convert; i++) {
		pc_probe_fourcc(pc_v4l2_from_drm(wishes.convert[i].fourcc), fourcc);
		json_array_append_new(convert, json_string(fourcc));
	}
	return json_pack(
		"{s:o, s:o, s:b}", "direct", direct, "convert", convert, "dmabuf", wishes.dmabuf);
}

/* The first of `wanted` that the camera offers by itself, or NULL. */
static const char *first_offered(const json_t *wanted, const json_t *camera)
{
	size_t i, k;
	json_t *wish, *format;
	json_array_foreach(wanted, i, wish)
	{
		json_array_foreach(json_object_get(camera, "out"), k, format)
		{
			if (json_equal(wish, json_object_get(format, "fourcc"))) {
				return json_string_value(wish);
			}
		}
	}
	return NULL;
}

static json_t *camera_choice(const json_t *wishes, const json_t *camera, const json_t *imports)
{
	const char *path = json_string_value(json_object_get(camera, "path"));
	const char *direct = first_offered(json_object_get(wishes, "direct"), camera);
	const char *convert = first_offered(json_object_get(wishes, "convert"), camera);
	if (direct == NULL && convert == NULL) {
		return json_pack("{s:b, s:o}", "ok", false, "text",
			pc_probe_textf("%s: no format that petcam can use", path));
	}
	const char *fourcc = direct != NULL ? direct : convert;
	const char *how = "decoded or converted on the CPU, which is a copy of each frame";
	if (direct != NULL) {
		how = !json_is_true(json_object_get(wishes, "dmabuf"))
			      ? "read in place by the software encoder"
		      : pc_probe_import_worked(imports, path, NULL, "encoder")
			      ? "the camera's own buffers go to the encoder, nobody copies them"
		      : pc_probe_import_worked(imports, NULL, path, "camera")
			      ? "the camera fills buffers that the encoder takes, nobody copies "
				"them"
		      : json_is_true(json_object_get(camera, "busy"))
			      ? "whether its buffers can be imported could not be tried: it is in "
				"use"
			      : "no device can import its buffers: each frame is copied";
	}
	return json_pack(
		"{s:b, s:o}", "ok", true, "text", pc_probe_textf("%s: %s, %s", path, fourcc, how));
}

json_t *pc_probe_choices(
	const struct pc_settings *settings, const json_t *video, const json_t *imports)
{
	json_t *choices = json_object();
	json_object_set_new(
		choices, "encoder", pc_probe_ask(CHOICE_LIMIT_MS, ask_encoder, settings));
	json_object_set_new(choices, "scaler", pc_probe_ask(CHOICE_LIMIT_MS, ask_scaler, settings));
	json_object_set_new(
		choices, "memory", pc_probe_ask(CHOICE_LIMIT_MS, ask_allocator, settings));
	json_t *wishes = pc_probe_ask(CHOICE_LIMIT_MS, ask_wishes, settings);
	json_t *cameras = json_array();
	size_t i;
	json_t *node;
	json_array_foreach(video, i, node)
	{
		const char *role = json_string_value(json_object_get(node, "role"));
		if (role != NULL && strcmp(role, "camera") == 0) {
			json_array_append_new(cameras, camera_choice(wishes, node, imports));
		}
	}
	json_object_set_new(choices, "cameras", cameras);
	json_object_set_new(choices, "wishes", wishes);
	return choices;
}
