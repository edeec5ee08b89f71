/* http/api_health.c - how petcam is, and which it is. */
#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "http/api_internal.h"

/* The board's worst; no camera with frames left is a failure, some of them is not. */
static enum pc_health_state overall(
	struct pc_request *request, const struct pc_health_part *parts, unsigned n_parts)
{
	enum pc_health_state state = pc_health_overall(pc_http_config(request->server)->health);
	unsigned n = pc_http_cameras(request->server);
	unsigned failed = 0;
	for (unsigned i = 0; i < n; i++) {
		struct pc_api_camera_state camera;
		pc_api_camera_state(pc_http_camera_at(request->server, i), parts, n_parts, &camera);
		failed += camera.state == PC_HEALTH_FAILED;
		if (camera.state != PC_HEALTH_OK && state == PC_HEALTH_OK) {
			state = PC_HEALTH_DEGRADED;
		}
	}
	return n > 0 && failed == n ? PC_HEALTH_FAILED : state;
}

static json_t *parts_json(const struct pc_health_part *parts, unsigned n)
{
	json_t *items = json_array();
	for (unsigned i = 0; i < n; i++) {
		json_t *part = json_pack("{s:o, s:s, s:o, s:o}", "name", pc_api_text(parts[i].name),
			"state", pc_health_state_name(parts[i].state), "text",
			pc_api_text(parts[i].text), "since", pc_api_time(parts[i].since_utc_ms));
		if (json_array_append_new(items, part) < 0) {
			json_decref(items);
			return NULL;
		}
	}
	return items;
}

static json_t *cameras_json(
	struct pc_request *request, const struct pc_health_part *parts, unsigned n_parts)
{
	json_t *items = json_array();
	unsigned n = pc_http_cameras(request->server);
	for (unsigned i = 0; i < n; i++) {
		const struct pc_http_camera_entry *entry = pc_http_camera_at(request->server, i);
		struct pc_api_camera_state state;
		pc_api_camera_state(entry, parts, n_parts, &state);
		json_t *camera = json_pack("{s:s, s:o, s:s, s:o, s:o}", "id", entry->id, "name",
			pc_api_text(entry->name), "state", pc_health_state_name(state.state),
			"text", pc_api_text(state.text), "last_frame_ms_ago",
			pc_api_age(state.last_frame_ms_ago));
		if (json_array_append_new(items, camera) < 0) {
			json_decref(items);
			return NULL;
		}
	}
	return items;
}

/* null where there is none, or where it does not answer: the board says why. */
static json_t *storage_json(struct pc_request *request)
{
	struct pc_storage *storage = pc_http_config(request->server)->storage;
	struct pc_storage_usage usage;
	if (storage == NULL || pc_storage_usage(storage, &usage) < 0) {
		return json_null();
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "disk_bytes", (json_int_t)usage.disk_bytes,
		"free_bytes", (json_int_t)usage.free_bytes, "recording_bytes",
		(json_int_t)usage.recording_bytes, "recordings", (json_int_t)usage.recordings,
		"events", (json_int_t)usage.events);
}

static json_t *time_json(void)
{
	return pc_api_time(pc_clock_now_utc_ms());
}

int pc_api_health(struct pc_request *request)
{
	unsigned n_parts = 0;
	struct pc_health_part *parts = pc_api_health_parts(request, &n_parts);
	if (parts == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	enum pc_health_state state = overall(request, parts, n_parts);
	const char *name = pc_health_state_name(state);
	json_t *body;
	if (request->who.authenticated && !request->who.by_media_token) {
		body = json_pack("{s:s, s:o, s:o, s:o, s:o}", "status", name, "time", time_json(),
			"parts", parts_json(parts, n_parts), "cameras",
			cameras_json(request, parts, n_parts), "storage", storage_json(request));
	} else {
		body = json_pack("{s:s}", "status", name);
	}
	free(parts);
	return pc_api_reply(request, state == PC_HEALTH_FAILED ? 503 : 200, body);
}

int pc_api_version(struct pc_request *request)
{
	return pc_api_reply(request, 200,
		json_pack("{s:s, s:s, s:o}", "name", "petcam", "version",
			pc_http_config(request->server)->version, "time", time_json()));
}
