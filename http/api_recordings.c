/* http/api_recordings.c - recordings: the list, one, its file, its end. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "http/api_internal.h"
#include "storage/recordings.h"

static json_t *recording_json(const struct pc_recording_row *row)
{
	char media[64];
	snprintf(media, sizeof(media), "/recordings/%" PRId64 "/media.mp4", row->recording_id);
	json_t *duration = row->open ? json_null() : json_real((double)row->duration_ms / 1000);
	return json_pack("{s:I, s:o, s:o, s:o, s:s, s:I, s:i, s:i, s:i, s:b, s:b, s:s}",
		"recording_id", (json_int_t)row->recording_id, "timestamp",
		pc_api_time(row->start_utc_ms), "duration", duration, "camera",
		pc_api_text_or_null(row->camera), "event_type", pc_event_kind_name(row->kind),
		"bytes", (json_int_t)row->bytes, "frames", (int)row->frames, "width",
		(int)row->width, "height", (int)row->height, "open", row->open, "keep", row->keep,
		"media", media);
}

struct page {
	json_t *items;
	struct pc_api_cursor last;
	bool no_memory;
};

static bool add_recording(void *data, const struct pc_recording_row *row)
{
	struct page *page = data;
	if (json_array_append_new(page->items, recording_json(row)) < 0) {
		page->no_memory = true;
		return false;
	}
	page->last.start_utc_ms = row->start_utc_ms;
	page->last.id = row->recording_id;
	return true;
}

int pc_api_recordings(struct pc_request *request)
{
	static const char *const known[] = { "camera", "after", "before", "limit", "cursor", NULL };
	struct pc_storage *storage;
	struct pc_recording_filter filter = { 0 };
	char camera[PC_CAMERA_ID_MAX];
	struct pc_api_cursor cursor;
	if (!pc_api_storage(request, &storage) || !pc_api_query_known(request, known) ||
		!pc_api_query_camera(request, camera) ||
		!pc_api_query_time(request, "after", &filter.after_utc_ms) ||
		!pc_api_query_time(request, "before", &filter.before_utc_ms) ||
		!pc_api_query_limit(request, &filter.limit) ||
		!pc_api_query_cursor(request, PC_API_CURSOR_RECORDINGS, &cursor)) {
		return request->status;
	}
	filter.camera = camera[0] != '\0' ? camera : NULL;
	filter.cursor_start_utc_ms = cursor.start_utc_ms;
	filter.cursor_recording_id = cursor.id;

	struct page page = { .items = json_array() };
	if (page.items == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	bool more = false;
	char next[PC_API_CURSOR_SIZE];
	int r = pc_recordings_query(storage, &filter, add_recording, &page, &more);
	if (r == 0 && page.no_memory) {
		r = -ENOMEM;
	}
	if (r == 0 && more) {
		r = pc_api_cursor_make(
			pc_http_auth(request->server), PC_API_CURSOR_RECORDINGS, &page.last, next);
	}
	if (r < 0) {
		json_decref(page.items);
		return pc_api_failed(request, r, "recording");
	}
	return pc_api_reply_list(request, page.items, more ? next : NULL);
}

int pc_api_recording(struct pc_request *request)
{
	struct pc_storage *storage;
	struct pc_recording_row row;
	int64_t id;
	if (!pc_api_storage(request, &storage) || !pc_api_id(request, 0, "recording", &id)) {
		return request->status;
	}
	int r = pc_recordings_get(storage, id, &row);
	if (r < 0) {
		return pc_api_failed(request, r, "recording");
	}
	return pc_api_reply(request, 200, recording_json(&row));
}

int pc_api_recording_delete(struct pc_request *request)
{
	struct pc_storage *storage;
	int64_t id;
	if (!pc_api_storage(request, &storage) || !pc_api_id(request, 0, "recording", &id)) {
		return request->status;
	}
	char reason[64];
	snprintf(reason, sizeof(reason), "deleted by user %" PRId64, request->who.user_id);
	int r = pc_recordings_remove(storage, id, reason);
	if (r == -EBUSY) {
		return pc_reply_problem(request, 409, "Retry-After: 5\r\n",
			"This recording is still being written.");
	}
	if (r < 0) {
		return pc_api_failed(request, r, "recording");
	}
	return pc_reply_empty(request, 204, NULL);
}

int pc_api_reply_recording(
	struct pc_request *request, struct pc_storage *storage, int64_t recording_id)
{
	struct pc_recording_row row;
	int fd = -1;
	uint64_t size = 0;
	int r = pc_recordings_get(storage, recording_id, &row);
	if (r == 0) {
		r = pc_recordings_open_media(storage, recording_id, &fd, &size);
	}
	if (r < 0) {
		return pc_api_failed(request, r, "recording");
	}
	/* A file that grows, and one whose index was added, are other things. */
	char etag[64];
	snprintf(etag, sizeof(etag), "\"r%" PRId64 "-%" PRIx64 "%s\"", recording_id, size,
		row.open ? "-open" : "");
	pc_reply_file(request, fd, size, "video/mp4", etag, NULL);
	close(fd);
	return request->status;
}

int pc_api_recording_media(struct pc_request *request)
{
	struct pc_storage *storage;
	int64_t id;
	if (!pc_api_storage(request, &storage) || !pc_api_id(request, 0, "recording", &id)) {
		return request->status;
	}
	return pc_api_reply_recording(request, storage, id);
}
