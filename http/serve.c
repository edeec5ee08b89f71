/* http/serve.c - Civetweb's callbacks: from a request's first byte to its handler.
 *
 * Every request takes one way: did it come through the front, is it well-formed, which route,
 * who is calling, may they, is it their own page that calls; then the handler. WebSockets take
 * the same way before Civetweb upgrades them. Civetweb serves nothing by itself.
 */
#include <civetweb.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PC_LOG_MODULE "http"
#include "core/log.h"
#include "http/http_internal.h"
#include "http/server_internal.h"

/* The connection's worker, once it is known to come from the front; NULL for a stranger. */
static struct pc_http_worker *worker_of(struct mg_connection *connection)
{
	struct pc_http_worker *worker = mg_get_thread_pointer(connection);
	const struct mg_request_info *info = mg_get_request_info(connection);

	if (worker == NULL || info == NULL) {
		return NULL;
	}
	if (!worker->looked_up) {
		struct pc_front *front = atomic_load(&worker->server->front);
		worker->looked_up = true;
		worker->known =
			front != NULL && pc_front_peer_of_port(front, (unsigned)info->remote_port,
						 &worker->peer) == 0;
	}
	return worker->known ? worker : NULL;
}

static struct pc_request *request_start(
	struct pc_http_worker *worker, struct mg_connection *connection)
{
	const struct mg_request_info *info = mg_get_request_info(connection);
	struct pc_request *request = &worker->request;

	memset(request, 0, sizeof(*request));
	request->server = worker->server;
	request->worker = worker;
	request->connection = connection;
	request->path = info->local_uri_raw == NULL ? "" : info->local_uri_raw;
	request->query = info->query_string == NULL ? "" : info->query_string;
	request->peer = worker->peer.address;
	request->head = info->request_method != NULL && strcmp(info->request_method, "HEAD") == 0;
	return request;
}

static const char *only_header(
	const struct mg_request_info *info, const char *name, unsigned *ret_count)
{
	const char *value = NULL;

	*ret_count = 0;
	for (int i = 0; i < info->num_headers; i++) {
		if (strcasecmp(info->http_headers[i].name, name) == 0) {
			value = info->http_headers[i].value;
			++*ret_count;
		}
	}
	return value;
}

/* Content-Length as RFC 9112 has it: digits. Civetweb takes "5, 7" and "+5". */
static int read_length(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text == '\0' || strlen(text) > 18) {
		return -EINVAL;
	}
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9') {
			return -EINVAL;
		}
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return 0;
}

/* What two readers could understand differently ends the connection. */
static int check_message(struct pc_request *request, const struct mg_request_info *info)
{
	unsigned lengths, hosts, encodings;
	const char *length = only_header(info, "Content-Length", &lengths);
	const char *host = only_header(info, "Host", &hosts);

	(void)only_header(info, "Transfer-Encoding", &encodings);
	request->close = true; /* unless all is well */
	if (info->num_headers >= MG_MAX_HEADERS) {
		/* Civetweb drops the rest in silence. */
		return pc_reply_problem(
			request, 431, NULL, "More than %d header fields.", MG_MAX_HEADERS - 1);
	}
	if (encodings > 0 && lengths > 0) {
		return pc_reply_problem(request, 400, NULL,
			"Content-Length and Transfer-Encoding exclude each other.");
	}
	if (encodings > 0) {
		return pc_reply_problem(request, 411, NULL,
			"A body needs a Content-Length: transfer encodings are not taken.");
	}
	if (lengths > 1 || (lengths == 1 && read_length(length, &request->body_left) < 0)) {
		request->body_left = 0;
		return pc_reply_problem(request, 400, NULL, "Content-Length is not one number.");
	}
	if (hosts > 1 || (hosts == 0 && strcmp(info->http_version, "1.1") == 0)) {
		return pc_reply_problem(request, 400, NULL, "One Host is needed.");
	}
	if (host != NULL && strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					 "0123456789.-_:[]") != strlen(host)) {
		return pc_reply_problem(request, 400, NULL, "The Host is malformed.");
	}
	request->close = false;
	if (!pc_router_path_ok(request->path)) {
		return pc_reply_problem(request, 400, NULL,
			"The path is malformed: paths here have no escapes, no empty segments and "
			"no dots alone.");
	}
	return 0;
}

/* "https://host:port" of this very request. Behind a proxy (plain) either scheme may be. */
static bool origin_is_ours(const struct pc_request *request, const char *origin)
{
	const char *host = pc_request_header(request, "Host");

	if (host == NULL) {
		return false;
	}
	if (strncasecmp(origin, "https://", 8) == 0) {
		return strcasecmp(origin + 8, host) == 0;
	}
	return request->server->config.settings->http.plain_loopback &&
	       strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
}

/* A browser lends its cookie to any page that asks. Whoever changes something with it, or
 * opens a WebSocket, must be a page of ours. */
static bool same_origin(const struct pc_request *request)
{
	const char *origin = pc_request_header(request, "Origin");
	const char *site = pc_request_header(request, "Sec-Fetch-Site");

	if (request->method == PC_GET && !request->route->websocket) {
		return true;
	}
	if (origin != NULL) {
		return origin_is_ours(request, origin);
	}
	if (site != NULL) {
		return strcasecmp(site, "same-origin") == 0;
	}
	return !request->who.by_cookie;
}

static int check_access(struct pc_request *request)
{
	const struct pc_identity *who = &request->who;
	const enum pc_access access = request->route->access;

	if (access != PC_OPEN &&
		(!who->authenticated || (who->by_media_token && access != PC_MEDIA))) {
		return pc_reply_problem(request, 401,
			"WWW-Authenticate: Bearer realm=\"petcam\"\r\n", "Log in first.");
	}
	if (access == PC_OWNER && who->role != PC_ROLE_OWNER) {
		return pc_reply_problem(request, 403, NULL, "Only the owner may do this.");
	}
	if (!same_origin(request)) {
		return pc_reply_problem(request, 403, NULL, "The call came from another site.");
	}
	return 0;
}

/* As Civetweb's should_switch_to_protocol(). */
static bool wants_websocket(const struct pc_request *request)
{
	const char *connection = pc_request_header(request, "Connection");
	const char *upgrade = pc_request_header(request, "Upgrade");

	return !request->head && connection != NULL && upgrade != NULL &&
	       strcasestr(connection, "upgrade") != NULL &&
	       strcasestr(upgrade, "websocket") != NULL;
}

/* 0: Civetweb is to upgrade the connection. */
static int accept_websocket(struct pc_request *request, struct pc_http_worker *worker)
{
	worker->camera = pc_http_camera_find(
		request->server, request->n_params > 0 ? request->params[0] : "");
	if (worker->camera == NULL) {
		return pc_reply_problem(request, 404, NULL, "There is no such camera.");
	}
	if (pc_live_websocket_accept(request) != 0) {
		return request->status;
	}
	pc_front_request_upgraded(atomic_load(&request->server->front), worker->peer.token);
	return 0;
}

static bool safe_mode_allows(const struct pc_request *request)
{
	return strcmp(request->path, "/health") == 0 || strcmp(request->path, "/version") == 0;
}

static int find_route(struct pc_request *request, const struct mg_request_info *info)
{
	static const struct pc_route files = {
		.method = PC_GET,
		.path = "/",
		.access = PC_OPEN,
		.handle = pc_api_static,
	};
	char allow[64] = "", header[80];

	const int r = pc_router_match(pc_routes, info->request_method, request->path, request,
		&request->route, allow, sizeof(allow));
	const bool reads = request->head || strcmp(info->request_method, "GET") == 0;
	if (r == -ENOENT && reads && pc_static_has(request->server->files, request->path)) {
		request->method = PC_GET;
		request->route = &files;
		return 0;
	}
	const bool is_file = r == 0 && request->route->handle == pc_api_static;
	if (request->server->config.safe_mode_text != NULL && !is_file &&
		!(r == 0 && safe_mode_allows(request))) {
		return pc_reply_problem(request, 503, NULL, "petcam is in safe mode: %s",
			request->server->config.safe_mode_text);
	}
	if (r == -ENOTSUP) {
		snprintf(header, sizeof(header), "Allow: %s\r\n", allow);
		return pc_reply_problem(
			request, 405, header, "%s is not known here.", info->request_method);
	}
	if (r < 0) {
		return pc_reply_problem(request, 404, NULL, "There is nothing at this path.");
	}
	return 0;
}

/* The status that was replied; 0: Civetweb is to upgrade to a WebSocket. */
static int serve(struct pc_request *request, struct pc_http_worker *worker,
	const struct mg_request_info *info)
{
	if (check_message(request, info) != 0 || find_route(request, info) != 0) {
		return request->status;
	}
	if (request->body_left > request->route->body_max) {
		return pc_reply_problem(request, 413, NULL,
			"The body is over its limit of %u bytes.", request->route->body_max);
	}
	if (request->server->auth != NULL) {
		pc_auth_identify(request->server->auth, request, request->route);
	}
	if (check_access(request) != 0) {
		return request->status;
	}
	if (request->route->websocket && wants_websocket(request)) {
		return accept_websocket(request, worker);
	}
	request->route->handle(request);
	if (request->status == 0) {
		pc_error("%s %s: no reply was made", info->request_method, request->path);
		pc_reply_problem(request, 500, NULL, "petcam made a mistake; its log says more.");
	}
	if (request->streaming && !request->head) {
		mg_write(request->connection, "0\r\n\r\n", 5);
	}
	return request->status;
}

static int on_begin_request(struct mg_connection *connection)
{
	struct pc_http_worker *worker = worker_of(connection);

	if (worker == NULL) {
		mg_close_connection(connection); /* a stranger on the loopback: not a word */
		return 403;
	}
	struct pc_request *request = request_start(worker, connection);
	pc_front_request_begin(atomic_load(&worker->server->front), worker->peer.token);
	const int status = serve(request, worker, mg_get_request_info(connection));
	/* Without the "~TOKEN" of a playlist's children: whoever reads the log is not logged in. */
	pc_debug("%s %.*s from %s: %d", mg_get_request_info(connection)->request_method,
		(int)strcspn(request->path, "~"), request->path, request->peer, status);
	if (status != 0 && request->close) {
		/* Ends the connection now: Civetweb would read an unread body to its end. */
		mg_close_connection(connection);
	}
	return status;
}

static void on_end_request(const struct mg_connection *connection, int status)
{
	const struct pc_http_worker *worker = mg_get_thread_pointer(connection);

	(void)status;
	if (worker != NULL && worker->known) {
		pc_front_request_end(atomic_load(&worker->server->front), worker->peer.token);
	}
}

/* What Civetweb refuses by itself: malformed heads. */
static int on_http_error(struct mg_connection *connection, int status, const char *text)
{
	struct pc_http_worker *worker = worker_of(connection);

	if (worker == NULL) {
		return 0;
	}
	struct pc_request *request = request_start(worker, connection);
	request->path = "";
	request->close = true;
	pc_reply_problem(request, status, NULL, "%s", text);
	return 0;
}

static int on_init_connection(const struct mg_connection *connection, void **data)
{
	struct pc_http_worker *worker = mg_get_thread_pointer(connection);

	(void)data;
	if (worker != NULL) {
		worker->looked_up = false;
		worker->known = false;
		worker->camera = NULL;
	}
	return 0;
}

static void *on_init_thread(const struct mg_context *context, int type)
{
	if (type != 1) {
		return NULL;
	}
	struct pc_http_worker *worker = calloc(1, sizeof(*worker));
	if (worker == NULL) {
		pc_error("no memory for a worker: its connections are closed");
		return NULL;
	}
	worker->server = mg_get_user_data(context);
	return worker;
}

static void on_exit_thread(const struct mg_context *context, int type, void *worker)
{
	(void)context;
	(void)type;
	free(worker);
}

static int on_log_message(const struct mg_connection *connection, const char *text)
{
	(void)connection;
	pc_debug("civetweb: %s", text);
	return 1;
}

const struct mg_callbacks pc_serve_callbacks = {
	.begin_request = on_begin_request,
	.end_request = on_end_request,
	.http_error = on_http_error,
	.init_connection = on_init_connection,
	.init_thread = on_init_thread,
	.exit_thread = on_exit_thread,
	.log_message = on_log_message,
};

/* on_begin_request() has checked everything, and let only WebSockets pass. */
static int on_websocket_connect(const struct mg_connection *connection, void *data)
{
	const struct pc_http_worker *worker = mg_get_thread_pointer(connection);

	(void)data;
	return worker != NULL && worker->known && worker->camera != NULL ? 0 : 1;
}

static void on_websocket_ready(struct mg_connection *connection, void *data)
{
	struct pc_http_worker *worker = mg_get_thread_pointer(connection);

	pc_live_websocket_ready(data, connection, worker->camera, worker->request.who.session_id);
}

/* Viewers have nothing to say; a close frame ends Civetweb's loop by itself. */
static int on_websocket_data(
	struct mg_connection *connection, int flags, char *bytes, size_t size, void *data)
{
	(void)connection;
	(void)flags;
	(void)bytes;
	(void)size;
	(void)data;
	return 1;
}

static void on_websocket_close(const struct mg_connection *connection, void *data)
{
	(void)data;
	pc_live_websocket_close((struct mg_connection *)connection);
}

static int on_authorise(struct mg_connection *connection, void *data)
{
	(void)connection;
	(void)data;
	return 1; /* spares Civetweb its search for an .htpasswd */
}

void pc_serve_websockets(struct pc_http_server *server)
{
	mg_set_auth_handler(server->civetweb, "**", on_authorise, server);
	mg_set_websocket_handler(server->civetweb, "**", on_websocket_connect, on_websocket_ready,
		on_websocket_data, on_websocket_close, server);
}
