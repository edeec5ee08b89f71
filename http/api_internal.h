/* http/api_internal.h - what the API's handlers share: strict input, cursors, JSON pieces.
 *
 * A question that goes wrong replies by itself, with a problem that names what was wrong; the
 * handler then returns request->status:
 *
 *   if (!pc_api_id(request, 0, "event", &id)) { return request->status; }
 *
 * Malformed input is 400, what does not exist 404. Parameters and fields that a route does not
 * know are refused, so that a slip of the pen is not taken for "no filter".
 *
 * Thread: any worker.
 */
#ifndef PC_HTTP_API_INTERNAL_H
#define PC_HTTP_API_INTERNAL_H

#include "core/event.h"
#include "core/health.h"
#include "http/auth_internal.h"
#include "http/http_internal.h"

struct pc_event_row;

#define PC_API_LIMIT_DEFAULT 50
#define PC_API_LIMIT_MAX 500

/* The storage; in safe mode 503 is replied, with the reason. */
bool pc_api_storage(struct pc_request *request, struct pc_storage **ret_storage);

/* A path parameter as id of a `thing`. */
bool pc_api_id(struct pc_request *request, unsigned param, const char *thing, int64_t *ret_id);

/* Only these query parameters (the list ends with NULL) may be there. */
bool pc_api_query_known(struct pc_request *request, const char *const *names);
/* RFC 3339; untouched when it is not there. */
bool pc_api_query_time(struct pc_request *request, const char *name, int64_t *ret_utc_ms);
bool pc_api_query_limit(struct pc_request *request, unsigned *ret_limit);
/* "" when it is not there. */
bool pc_api_query_camera(struct pc_request *request, char ret_camera[static PC_CAMERA_ID_MAX]);

/* Where a list goes on: behind this row. Clients carry it as an opaque text with a tag; one
 * of another list, or with a changed bit, is refused. */
struct pc_api_cursor {
	int64_t start_utc_ms;
	int64_t id; /* 0: from the newest */
};
#define PC_API_CURSOR_EVENTS 'e'
#define PC_API_CURSOR_RECORDINGS 'r'
#define PC_API_CURSOR_ALERTS 'a'
#define PC_API_CURSOR_SIZE 48 /* with the NUL */

int pc_api_cursor_make(struct pc_auth *auth, char list, const struct pc_api_cursor *cursor,
	char out[static PC_API_CURSOR_SIZE]);
/* 0 or -EINVAL. */
int pc_api_cursor_read(
	struct pc_auth *auth, char list, const char *text, struct pc_api_cursor *ret_cursor);
bool pc_api_query_cursor(struct pc_request *request, char list, struct pc_api_cursor *ret_cursor);

/* Fields of a body. `names` ends with NULL. */
bool pc_api_fields_known(struct pc_request *request, json_t *object, const char *const *names);
/* Required, of its type and within its range; strings in characters. `path` is shown. */
bool pc_api_field_text(struct pc_request *request, const json_t *value, const char *path,
	size_t min, size_t max, const char **ret_text);
bool pc_api_field_integer(struct pc_request *request, const json_t *value, const char *path,
	int64_t min, int64_t max, int64_t *ret);
bool pc_api_field_boolean(
	struct pc_request *request, const json_t *value, const char *path, bool *ret);

/* JSON values; NULL: no memory. */
json_t *pc_api_text(const char *text); /* bytes that are not UTF-8 become '?' */
json_t *pc_api_text_or_null(const char *text); /* "": null */
json_t *pc_api_time(int64_t utc_ms); /* 0: null */
json_t *pc_api_seconds(int64_t start_utc_ms, int64_t end_utc_ms); /* end 0: null */
json_t *pc_api_id_or_null(int64_t id); /* 0: null */
double pc_api_round(double value, unsigned digits);

/* As it is sent, malloc'ed: numbers as people write them (0.93, not 0.93000000000000005).
 * NULL: no memory. */
char *pc_api_dump(const json_t *body);
/* Steals `body`; NULL (no memory) is 503. */
int pc_api_reply(struct pc_request *request, int status, json_t *body);
/* {"items": items, "next_cursor": text or null}; steals `items`. `cursor` NULL: no more. */
int pc_api_reply_list(struct pc_request *request, json_t *items, const char *cursor);
/* The problem for a negative errno of storage; `thing` as in "there is no such event". */
int pc_api_failed(struct pc_request *request, int err, const char *thing);
/* 429 or 503 with Retry-After. */
int pc_api_wait(struct pc_request *request, int status, int64_t wait_ns, const char *detail);

/* api_events.c: an event as it goes over the wire. */
json_t *pc_api_event_json(const struct pc_event_row *row);

/* api_recordings.c: a recording's file. */
int pc_api_reply_recording(
	struct pc_request *request, struct pc_storage *storage, int64_t recording_id);

/* api_cameras.c: how a camera is, by its part on the health board and by the age of its newest
 * frame: a board that says "ok" is not believed without frames. */
struct pc_api_camera_state {
	enum pc_health_state state;
	int64_t last_frame_ms_ago; /* -1: no frame yet */
	char text[PC_HEALTH_TEXT_MAX]; /* "" when ok */
};
void pc_api_camera_state(const struct pc_http_camera_entry *camera,
	const struct pc_health_part *parts, unsigned n_parts, struct pc_api_camera_state *ret);
/* The whole board, PC_HEALTH_PARTS_MAX rows: the caller frees it. NULL: no memory. */
struct pc_health_part *pc_api_health_parts(struct pc_request *request, unsigned *ret_n);
json_t *pc_api_age(int64_t ms); /* negative: null */

/* Handlers that http_internal.h does not name. */
int pc_api_setup_state(struct pc_request *request);

#endif
