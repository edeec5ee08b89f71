/* http/api_cameras.c - the cameras: what they are, how they are, what they count. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "http/api_internal.h"

/* Without a frame for so long a camera does not work, whatever else is said of it. */
#define SILENT_MS 5000
/* Over which the frame rate is measured. */
#define RATE_NS (2 * PC_NS_PER_S)

struct pc_health_part *pc_api_health_parts(struct pc_request *request, unsigned *ret_n)
{
	struct pc_health_part *parts = calloc(PC_HEALTH_PARTS_MAX, sizeof(*parts));
	if (parts != NULL) {
		*ret_n = pc_health_read(
			pc_http_config(request->server)->health, parts, PC_HEALTH_PARTS_MAX);
	}
	return parts;
}

json_t *pc_api_age(int64_t ms)
{
	return ms < 0 ? json_null() : json_integer(ms);
}

void pc_api_camera_state(const struct pc_http_camera_entry *camera,
	const struct pc_health_part *parts, unsigned n_parts, struct pc_api_camera_state *ret)
{
	char name[PC_HEALTH_NAME_MAX];
	snprintf(name, sizeof(name), "camera %s", camera->id);
	*ret = (struct pc_api_camera_state){ .state = PC_HEALTH_OK, .last_frame_ms_ago = -1 };
	for (unsigned i = 0; i < n_parts; i++) {
		if (strcmp(parts[i].name, name) == 0) {
			ret->state = parts[i].state;
			memcpy(ret->text, parts[i].text, sizeof(ret->text));
		}
	}
	int64_t last_ns = atomic_load_explicit(&camera->stats->last_frame_ns, memory_order_relaxed);
	if (last_ns != 0) {
		/* A file's frame may be due a little later than now. */
		int64_t age_ms = (pc_clock_now_ns() - last_ns) / PC_NS_PER_MS;
		ret->last_frame_ms_ago = age_ms > 0 ? age_ms : 0;
	}
	if (ret->state != PC_HEALTH_OK) {
		return;
	}
	if (last_ns == 0) {
		ret->state = PC_HEALTH_DEGRADED;
		snprintf(ret->text, sizeof(ret->text), "no frame yet");
	} else if (ret->last_frame_ms_ago > SILENT_MS) {
		ret->state = PC_HEALTH_FAILED;
		snprintf(ret->text, sizeof(ret->text), "no frame for %lld s",
			(long long)ret->last_frame_ms_ago / 1000);
	}
}

/* Frames a second over the last fragments; 0 when none came lately. */
static double measure_fps(struct pc_window *window, int64_t age_ms)
{
	struct pc_fragment *newest = NULL;
	double fps = 0;
	if (age_ms < 0 || age_ms > SILENT_MS ||
		pc_window_get(window, pc_window_newest(window), 0, &newest) < 0) {
		return 0;
	}
	struct pc_fragment *older = pc_window_key_before(window, newest->capture_ns - RATE_NS);
	if (older != NULL && older->capture_ns < newest->capture_ns) {
		fps = (double)(newest->number - older->number) * (double)PC_NS_PER_S /
		      (double)(newest->capture_ns - older->capture_ns);
	}
	pc_fragment_unref(older);
	pc_fragment_unref(newest);
	return fps;
}

static json_t *counter(const pc_counter *value)
{
	return json_integer((json_int_t)pc_counter_get(value));
}

static json_t *stats_json(const struct pc_http_camera_entry *camera, int64_t age_ms)
{
	const struct pc_camera_stats *s = camera->stats;
	int64_t encode_ns = atomic_load_explicit(&s->encode_ns, memory_order_relaxed);
	int64_t infer_ns = atomic_load_explicit(&s->infer_ns, memory_order_relaxed);
	json_t *stats = json_pack("{s:f, s:f, s:f}", "fps",
		pc_api_round(measure_fps(camera->window, age_ms), 2), "encode_ms",
		pc_api_round((double)encode_ns / PC_NS_PER_MS, 2), "infer_ms",
		pc_api_round((double)infer_ns / PC_NS_PER_MS, 2));
	const struct {
		const char *name;
		const pc_counter *value;
	} counters[] = {
		{ "frames_captured", &s->frames_captured },
		{ "frames_encoded", &s->frames_encoded },
		{ "frames_bad", &s->frames_bad },
		{ "source_gaps", &s->source_gaps },
		{ "frames_converted", &s->frames_converted },
		{ "frames_aborted", &s->frames_aborted },
		{ "encoder_junk", &s->encoder_junk },
		{ "encoder_imports", &s->encoder_imports },
		{ "scaler_imports", &s->scaler_imports },
		{ "frames_skipped_source", &s->frames_skipped_source },
		{ "frames_dropped_encoder", &s->frames_dropped_encoder },
		{ "frames_dropped_mux", &s->frames_dropped_mux },
		{ "frames_dropped_scaler", &s->frames_dropped_scaler },
		{ "frames_dropped_inference", &s->frames_dropped_inference },
		{ "viewer_skips", &s->viewer_skips },
		{ "recorder_gaps", &s->recorder_gaps },
		{ "events", &s->events },
		{ "source_opens", &s->source_opens },
		{ "encoder_opens", &s->encoder_opens },
		{ "scaler_opens", &s->scaler_opens },
	};
	for (size_t i = 0; stats != NULL && i < sizeof(counters) / sizeof(counters[0]); i++) {
		if (json_object_set_new(stats, counters[i].name, counter(counters[i].value)) < 0) {
			json_decref(stats);
			stats = NULL;
		}
	}
	return stats;
}

static json_t *live_json(const struct pc_http_camera_entry *camera)
{
	static const char *const names[] = { "hls", "ws", "mp4", "snapshot" };
	static const char *const paths[] = { "live", "live.ws", "live.mp4", "snapshot.jpg" };
	json_t *live = json_object();
	for (unsigned i = 0; i < 4; i++) {
		char path[PC_CAMERA_ID_MAX + 32];
		snprintf(path, sizeof(path), "/cameras/%s/%s", camera->id, paths[i]);
		if (json_object_set_new(live, names[i], json_string(path)) < 0) {
			json_decref(live);
			return NULL;
		}
	}
	return live;
}

static json_t *camera_json(const struct pc_http_camera_entry *camera,
	const struct pc_health_part *parts, unsigned n_parts)
{
	struct pc_api_camera_state state;
	pc_api_camera_state(camera, parts, n_parts, &state);
	struct pc_fragment *key = pc_window_newest_key(camera->window);
	json_t *width = key != NULL ? json_integer(key->init->width) : json_null();
	json_t *height = key != NULL ? json_integer(key->init->height) : json_null();
	pc_fragment_unref(key);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:f, s:s, s:o, s:o, s:o, s:o}", "id",
		camera->id, "name", pc_api_text(camera->name), "source",
		pc_api_text(camera->source_text), "width", width, "height", height, "fps",
		pc_api_round(camera->fps, 3), "state", pc_health_state_name(state.state),
		"state_text", pc_api_text(state.text), "last_frame_ms_ago",
		pc_api_age(state.last_frame_ms_ago), "live", live_json(camera), "stats",
		stats_json(camera, state.last_frame_ms_ago));
}

int pc_api_cameras(struct pc_request *request)
{
	unsigned n_parts = 0;
	struct pc_health_part *parts = pc_api_health_parts(request, &n_parts);
	json_t *items = parts != NULL ? json_array() : NULL;
	unsigned n = items != NULL ? pc_http_cameras(request->server) : 0;
	for (unsigned i = 0; i < n; i++) {
		if (json_array_append_new(items, camera_json(pc_http_camera_at(request->server, i),
							 parts, n_parts)) < 0) {
			json_decref(items);
			items = NULL;
			break;
		}
	}
	free(parts);
	return pc_api_reply_list(request, items, NULL);
}

int pc_api_camera(struct pc_request *request)
{
	const struct pc_http_camera_entry *camera =
		pc_http_camera_find(request->server, request->params[0]);
	if (camera == NULL) {
		return pc_api_failed(request, -ENOENT, "camera");
	}
	unsigned n_parts = 0;
	struct pc_health_part *parts = pc_api_health_parts(request, &n_parts);
	json_t *body = parts != NULL ? camera_json(camera, parts, n_parts) : NULL;
	free(parts);
	return pc_api_reply(request, 200, body);
}
