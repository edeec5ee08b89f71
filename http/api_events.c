/* http/api_events.c - the catalogue of events, and their clips and stills. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "http/api_internal.h"
#include "storage/events.h"

static json_t *pet_json(const struct pc_event_row *row)
{
	if (row->event.pet_id == 0) {
		return json_null();
	}
	return json_pack("{s:I, s:o}", "pet_id", (json_int_t)row->event.pet_id, "name",
		pc_api_text(row->pet_name));
}

static json_t *media_json(const struct pc_event_row *row)
{
	if (!row->has_clip && !row->has_thumbnail) {
		return json_null();
	}
	char clip[64];
	char thumbnail[64];
	snprintf(clip, sizeof(clip), "/events/%" PRId64 "/clip.mp4", row->event.event_id);
	snprintf(thumbnail, sizeof(thumbnail), "/events/%" PRId64 "/thumbnail.jpg",
		row->event.event_id);
	return json_pack("{s:s?, s:s?, s:o}", "clip", row->has_clip ? clip : NULL, "thumbnail",
		row->has_thumbnail ? thumbnail : NULL, "recording_id",
		pc_api_id_or_null(row->recording_id));
}

static json_t *zones_json(const struct pc_event_row *row)
{
	if (row->event.zone[0] == '\0') {
		return json_array();
	}
	return json_pack("[o]", pc_api_text(row->event.zone));
}

json_t *pc_api_event_json(const struct pc_event_row *row)
{
	const struct pc_event *event = &row->event;
	return json_pack("{s:I, s:o, s:o, s:s, s:o, s:o, s:f, s:o, s:o, s:o, s:b}", "event_id",
		(json_int_t)event->event_id, "timestamp", pc_api_time(event->start_utc_ms),
		"duration", pc_api_seconds(event->start_utc_ms, event->end_utc_ms), "event_type",
		pc_event_kind_name(event->kind), "camera", pc_api_text_or_null(event->camera),
		"pet", pet_json(row), "score", pc_api_round((double)event->score, 3), "zones",
		zones_json(row), "evidence", pc_api_text(event->evidence), "media", media_json(row),
		"keep", row->keep);
}

/* "motion,zone_enter" as bits. */
static bool query_kinds(struct pc_request *request, uint32_t *ret_kinds)
{
	char text[256];
	int r = pc_request_query(request, "type", text, sizeof(text));
	if (r == -ENOENT) {
		return true;
	}
	uint32_t kinds = 0;
	char *at = text;
	while (r >= 0 && at != NULL) {
		char *comma = strchr(at, ',');
		if (comma != NULL) {
			*comma = '\0';
		}
		enum pc_event_kind kind;
		if (pc_event_kind_parse(at, &kind) < 0) {
			r = -EINVAL;
			break;
		}
		kinds |= UINT32_C(1) << kind;
		at = comma != NULL ? comma + 1 : NULL;
	}
	if (r < 0) {
		pc_reply_problem(request, 400, NULL,
			"type must be kinds of events with commas between, such as "
			"motion,zone_enter.");
		return false;
	}
	*ret_kinds = kinds;
	return true;
}

static bool query_pet(struct pc_request *request, int64_t *ret_pet_id)
{
	char text[32];
	if (pc_request_query(request, "pet", text, sizeof(text)) >= 0 &&
		strcmp(text, "unknown") == 0) {
		*ret_pet_id = -1;
		return true;
	}
	int r = pc_request_query_int(request, "pet", 1, INT64_MAX, ret_pet_id);
	if (r < 0 && r != -ENOENT) {
		pc_reply_problem(request, 400, NULL, "pet must be the id of a pet, or unknown.");
		return false;
	}
	return true;
}

struct page {
	json_t *items;
	struct pc_api_cursor last;
	bool no_memory;
};

static bool add_event(void *data, const struct pc_event_row *row)
{
	struct page *page = data;
	/* json_array_append_new() takes NULL for a failure, and the value even then. */
	if (json_array_append_new(page->items, pc_api_event_json(row)) < 0) {
		page->no_memory = true;
		return false;
	}
	page->last.start_utc_ms = row->event.start_utc_ms;
	page->last.id = row->event.event_id;
	return true;
}

int pc_api_events(struct pc_request *request)
{
	static const char *const known[] = { "pet", "type", "camera", "after", "before", "limit",
		"cursor", NULL };
	struct pc_storage *storage;
	struct pc_event_filter filter = { 0 };
	char camera[PC_CAMERA_ID_MAX];
	struct pc_api_cursor cursor;
	if (!pc_api_storage(request, &storage) || !pc_api_query_known(request, known) ||
		!query_pet(request, &filter.pet_id) || !query_kinds(request, &filter.kinds) ||
		!pc_api_query_camera(request, camera) ||
		!pc_api_query_time(request, "after", &filter.after_utc_ms) ||
		!pc_api_query_time(request, "before", &filter.before_utc_ms) ||
		!pc_api_query_limit(request, &filter.limit) ||
		!pc_api_query_cursor(request, PC_API_CURSOR_EVENTS, &cursor)) {
		return request->status;
	}
	filter.camera = camera[0] != '\0' ? camera : NULL;
	filter.cursor_start_utc_ms = cursor.start_utc_ms;
	filter.cursor_event_id = cursor.id;

	struct page page = { .items = json_array() };
	if (page.items == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	bool more = false;
	char next[PC_API_CURSOR_SIZE];
	int r = pc_events_query(storage, &filter, add_event, &page, &more);
	if (r == 0 && page.no_memory) {
		r = -ENOMEM;
	}
	if (r == 0 && more) {
		r = pc_api_cursor_make(
			pc_http_auth(request->server), PC_API_CURSOR_EVENTS, &page.last, next);
	}
	if (r < 0) {
		json_decref(page.items);
		return pc_api_failed(request, r, "event");
	}
	return pc_api_reply_list(request, page.items, more ? next : NULL);
}

/* The event that the path names. */
static bool find(
	struct pc_request *request, struct pc_storage **ret_storage, struct pc_event_row *ret_row)
{
	int64_t id;
	if (!pc_api_storage(request, ret_storage) || !pc_api_id(request, 0, "event", &id)) {
		return false;
	}
	int r = pc_events_get(*ret_storage, id, ret_row);
	if (r < 0) {
		pc_api_failed(request, r, "event");
		return false;
	}
	return true;
}

int pc_api_event(struct pc_request *request)
{
	struct pc_storage *storage;
	struct pc_event_row row;
	if (!find(request, &storage, &row)) {
		return request->status;
	}
	return pc_api_reply(request, 200, pc_api_event_json(&row));
}

static bool read_patch(struct pc_request *request, bool *ret_keep)
{
	static const char *const fields[] = { "keep", NULL };
	json_t *body;
	if (pc_request_json(request, &body) != 0) {
		return false;
	}
	bool good = pc_api_fields_known(request, body, fields) &&
		    pc_api_field_boolean(request, json_object_get(body, "keep"), "keep", ret_keep);
	json_decref(body);
	return good;
}

int pc_api_event_patch(struct pc_request *request)
{
	struct pc_storage *storage;
	struct pc_event_row row;
	bool keep;
	if (!find(request, &storage, &row) || !read_patch(request, &keep)) {
		return request->status;
	}
	int64_t id = row.event.event_id;
	int r = pc_events_set_keep(storage, id, keep);
	if (r == 0) {
		r = pc_events_get(storage, id, &row);
	}
	if (r < 0) {
		return pc_api_failed(request, r, "event");
	}
	return pc_api_reply(request, 200, pc_api_event_json(&row));
}

int pc_api_event_clip(struct pc_request *request)
{
	struct pc_storage *storage;
	struct pc_event_row row;
	if (!find(request, &storage, &row)) {
		return request->status;
	}
	if (!row.has_clip || row.recording_id == 0) {
		return pc_reply_problem(request, 404, NULL, "This event has no clip.");
	}
	return pc_api_reply_recording(request, storage, row.recording_id);
}

int pc_api_event_thumbnail(struct pc_request *request)
{
	struct pc_storage *storage;
	int64_t id;
	if (!pc_api_storage(request, &storage) || !pc_api_id(request, 0, "event", &id)) {
		return request->status;
	}
	char path[1024];
	int r = pc_events_thumbnail(storage, id, path, sizeof(path));
	if (r < 0) {
		return pc_api_failed(request, r, "thumbnail");
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return pc_api_failed(request, -errno, "thumbnail");
	}
	struct stat st;
	if (fstat(fd, &st) < 0) {
		pc_api_failed(request, -errno, "thumbnail");
	} else {
		char etag[64];
		snprintf(etag, sizeof(etag), "\"t%" PRId64 "-%jx\"", id, (uintmax_t)st.st_size);
		pc_reply_file(request, fd, (uint64_t)st.st_size, "image/jpeg", etag, NULL);
	}
	close(fd);
	return request->status;
}
