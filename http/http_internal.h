/* http/http_internal.h - what the files of http/ share. Private to the folder.
 *
 * server.c      the server object: starts and ends all that follows
 * serve.c       Civetweb's callbacks: every request's way to its handler
 * tls_front.c   TLS terminator in front of Civetweb (tls_front.h); tls_session.c is wolfSSL
 * certificate.c self-signed key and certificate at first start (certificate.h)
 * router.c      strict matching of method and path against routes[]
 * request.c     query, headers, bodies in
 * reply.c       JSON, problems, bytes, files, streams out; range.c reads Range
 * routes.c      the table: method, path, who may, handler
 * auth.c        passwords (scrypt, own thread), JWT, cookies, media tokens, first run
 * api_*.c       handlers by resource
 * api_live.c    playlists, parts, WebSocket, live.mp4, snapshot
 * static.c      the dashboard's files, in memory, pre-compressed
 * stack.c       raises the stack of Civetweb's workers
 *
 * Thread: handlers run on Civetweb's workers (stack raised to 512 KiB, see server.c).
 */
#ifndef PC_HTTP_INTERNAL_H
#define PC_HTTP_INTERNAL_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/hls.h"
#include "http/jwt.h"
#include "http/server.h"
#include "storage/users.h"

struct mg_connection;
struct pc_auth;
struct pc_static;

enum pc_method {
	PC_GET, /* HEAD runs the same handler; the body is withheld by request.c */
	PC_POST,
	PC_PUT,
	PC_PATCH,
	PC_DELETE,
};

/* Who may call a route; checked before its handler runs. */
enum pc_access {
	PC_OPEN, /* no login */
	PC_VIEWER, /* any logged-in user: bearer token or cookie */
	PC_OWNER,
	/* A viewer, or a media token: ?token= on the URL, or the "~TOKEN" path segment. */
	PC_MEDIA,
};

/* Who is calling; filled by auth.c before the handler. */
struct pc_identity {
	bool authenticated;
	bool by_cookie; /* a browser: state-changing calls need the same Origin */
	bool by_media_token; /* good for PC_MEDIA routes only */
	int64_t user_id;
	enum pc_role role;
	char session_id[PC_SESSION_ID_SIZE];
};

#define PC_ROUTE_PARAMS_MAX 4
#define PC_ROUTE_PARAM_SIZE 512 /* a "~TOKEN" is the longest */

struct pc_request {
	struct pc_http_server *server;
	struct mg_connection *connection;
	enum pc_method method;
	bool head; /* HEAD: headers only */
	const char *path; /* as sent, without query; ASCII, no "//", no "..", no %-escapes */
	const char *query; /* raw, "" when none */
	const char *peer; /* the client's address, "192.0.2.7" or "2001:db8::7" */
	unsigned n_params;
	char params[PC_ROUTE_PARAMS_MAX][PC_ROUTE_PARAM_SIZE]; /* of {..}, in order */
	struct pc_identity who;
	int status; /* what was replied; 0: nothing yet */
	/* request.c's and reply.c's own. */
	const struct pc_route *route;
	const struct pc_http_worker *worker; /* whose connection it is; server_internal.h */
	uint64_t body_left; /* bytes of the body that were not read */
	bool close; /* the connection ends with this reply */
	bool streaming; /* a chunked reply is under way */
};

struct pc_route {
	enum pc_method method;
	/* "/events/{id}/clip.mp4": {id} matches one segment of [A-Za-z0-9_.~=-]+;
	 * a literal prefix or suffix around the braces must fit: "seg-{msn}.m4s". */
	const char *path;
	enum pc_access access;
	/* Replies once through the calls below; its result is Civetweb's (the status). */
	int (*handle)(struct pc_request *request);
	bool websocket; /* a GET that upgrades */
	unsigned body_max; /* bytes; 0: a body is refused (413) */
};

/* routes.c: ends with path NULL. */
extern const struct pc_route pc_routes[];

/* router.c: 0 and the route with request->params filled; -ENOENT (404); -ENOTSUP: the path
 * exists with other methods (405; *ret_allow gets "GET, HEAD"). Does not allocate. */
int pc_router_match(const struct pc_route *routes, const char *method, const char *path,
	struct pc_request *request, const struct pc_route **ret_route, char *allow,
	size_t allow_size);

/* The form that every path must have: "/", then segments of [A-Za-z0-9_.~=-] with single
 * slashes between, none of them "." or "..", at most PC_PATH_MAX bytes. */
#define PC_PATH_MAX 2048
bool pc_router_path_ok(const char *path);

/* request.c - reading. */
const char *pc_request_header(const struct pc_request *request, const char *name); /* NULL: none */
/* Percent-decoded value of a query parameter: its length; -ENOENT; -EINVAL (bad escape, a NUL,
 * given twice, longer than size - 1). */
int pc_request_query(const struct pc_request *request, const char *name, char *out, size_t size);
/* Strict integer within min..max: 0; -ENOENT; -EINVAL. */
int pc_request_query_int(
	const struct pc_request *request, const char *name, int64_t min, int64_t max, int64_t *ret);
/* A path parameter as a positive id: 0 or -EINVAL. */
int pc_request_id(const struct pc_request *request, unsigned param, int64_t *ret_id);
/* Whether If-None-Match has this etag ("\"42\"", with its quotes): a GET may be answered 304. */
bool pc_request_has_etag(const struct pc_request *request, const char *etag);
/* The body as JSON object (duplicate keys refused). 0, or a problem was already replied:
 * 400, 408, 413, 415. */
int pc_request_json(struct pc_request *request, json_t **ret_object);
/* Civetweb does not notice a client that hung up; the TLS front does, and tells. Also true
 * when the server is stopping. Any thread, while the handler runs. Fits `aborted`. */
bool pc_request_aborted(void *request);
/* The same for a WebSocket, from pc_live_websocket_ready() until pc_live_websocket_close(). */
bool pc_http_connection_aborted(void *connection);

/* reply.c - replying, once: what comes after the first reply is logged and dropped. All add the
 * security headers, and "Cache-Control: no-store" unless `headers` has its own; all return the
 * status. HEAD gets the head alone. */
/* Steals `body`. `headers` are extra lines "Name: value\r\n" or NULL. */
int pc_reply_json(struct pc_request *request, int status, json_t *body, const char *headers);
/* application/problem+json (RFC 9457): type "about:blank", title from the status, detail. */
int pc_reply_problem(struct pc_request *request, int status, const char *headers,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
int pc_reply_empty(struct pc_request *request, int status, const char *headers);
int pc_reply_bytes(struct pc_request *request, int status, const char *content_type,
	const char *headers, const void *data, size_t size);
/* Bytes that lie in several places (fragments of a part). */
struct iovec;
int pc_reply_vector(struct pc_request *request, int status, const char *content_type,
	const char *headers, const struct iovec *parts, unsigned n);
/* A file with Range, If-Range, 206 and 416, suffix ranges; one range (several: the whole). The
 * fd stays the caller's. `etag` may be NULL. */
int pc_reply_file(struct pc_request *request, int fd, uint64_t size, const char *content_type,
	const char *etag, const char *headers);
/* A body without end: the head now, then pc_reply_stream_write() until it fails. */
int pc_reply_stream(struct pc_request *request, const char *content_type, const char *headers);
int pc_reply_stream_write(struct pc_request *request, const struct iovec *parts, unsigned n);

/* static.c: the dashboard's files. Names that are not in memory do not exist. A folder that is
 * NULL or not there makes an empty one. 0, -EFBIG (over 8 MiB), -ENOMEM, or open's errno. */
int pc_static_create(const char *folder, struct pc_static **ret_static);
void pc_static_destroy(struct pc_static *files); /* NULL is fine */
/* Whether a GET of this path is answered by pc_api_static(). The server asks when no route
 * fits, so routes.c needs none for the dashboard. */
bool pc_static_has(const struct pc_static *files, const char *path);

/* range.c: reads a Range header (RFC 9110) against a body of `size` bytes. */
enum pc_range {
	PC_RANGE_WHOLE, /* none, not bytes, several, or malformed: ignored */
	PC_RANGE_PART, /* *ret_first..*ret_last, inclusive */
	PC_RANGE_OUTSIDE, /* 416 */
};
enum pc_range pc_range_parse(const char *header, uint64_t size, uint64_t *ret_first,
	uint64_t *ret_last); /* header NULL: none */

/* server.c */
struct pc_http_camera_entry {
	char id[PC_CAMERA_ID_MAX];
	char name[PC_SETTINGS_TEXT_MAX];
	char source_text[96];
	struct pc_window *window;
	struct pc_camera_stats *stats;
	struct pc_hls *hls;
	double fps;
};
const struct pc_http_config *pc_http_config(const struct pc_http_server *server);
unsigned pc_http_cameras(const struct pc_http_server *server);
const struct pc_http_camera_entry *pc_http_camera_at(
	const struct pc_http_server *server, unsigned i);
/* NULL: no such camera. */
const struct pc_http_camera_entry *pc_http_camera_find(
	const struct pc_http_server *server, const char *id);
struct pc_auth *pc_http_auth(struct pc_http_server *server);
const struct pc_static *pc_http_static(const struct pc_http_server *server);
/* Counts the viewers (instant and live.mp4): false when max_viewers is reached. */
bool pc_http_viewer_enter(struct pc_http_server *server);
void pc_http_viewer_leave(struct pc_http_server *server);
/* Set when the server is being destroyed: handlers that block look at it. */
bool pc_http_stopping(const struct pc_http_server *server);

/* auth.c */
int pc_auth_create(struct pc_storage *storage, const struct pc_settings *settings,
	const char *key_folder, struct pc_auth **ret_auth);
void pc_auth_destroy(struct pc_auth *auth);
const char *pc_auth_setup_code(struct pc_auth *auth); /* NULL once an owner exists */
/* Fills request->who from Authorization, cookie, ?token= or ~TOKEN. Wrong or expired
 * credentials leave it unauthenticated. */
void pc_auth_identify(
	struct pc_auth *auth, struct pc_request *request, const struct pc_route *route);
/* A media token for playlists and single files. Returns its length. */
int pc_auth_media_token(
	struct pc_auth *auth, const struct pc_identity *who, char *out, size_t size);

/* api_live.c: Civetweb's WebSocket callbacks for the route with `websocket` set. */
int pc_live_websocket_accept(struct pc_request *request); /* 0: go on; else a reply was sent */
/* `session_id` is the caller's login: the view ends with it. Copied. */
void pc_live_websocket_ready(struct pc_http_server *server, struct mg_connection *connection,
	const struct pc_http_camera_entry *camera, const char *session_id);
void pc_live_websocket_close(struct mg_connection *connection);

/* Handlers, named in routes.c. */
int pc_api_setup(struct pc_request *request);
int pc_api_session_create(struct pc_request *request);
int pc_api_session_end(struct pc_request *request);
int pc_api_cameras(struct pc_request *request);
int pc_api_camera(struct pc_request *request);
int pc_api_events(struct pc_request *request);
int pc_api_event(struct pc_request *request);
int pc_api_event_patch(struct pc_request *request);
int pc_api_event_clip(struct pc_request *request);
int pc_api_event_thumbnail(struct pc_request *request);
int pc_api_event_stream(struct pc_request *request);
int pc_api_recordings(struct pc_request *request);
int pc_api_recording(struct pc_request *request);
int pc_api_recording_delete(struct pc_request *request);
int pc_api_recording_media(struct pc_request *request);
int pc_api_alert_configs(struct pc_request *request);
int pc_api_alert_config_put(struct pc_request *request);
int pc_api_alerts(struct pc_request *request);
int pc_api_alert_ack(struct pc_request *request);
int pc_api_health(struct pc_request *request);
int pc_api_metrics(struct pc_request *request);
int pc_api_version(struct pc_request *request);
int pc_api_live(struct pc_request *request); /* /live and /cameras/{id}/live */
int pc_api_hls(struct pc_request *request); /* /cameras/{id}/hls/... and .../~TOKEN/... */
int pc_api_live_mp4(struct pc_request *request);
int pc_api_live_ws(struct pc_request *request);
int pc_api_snapshot(struct pc_request *request);
int pc_api_static(struct pc_request *request);

#endif
