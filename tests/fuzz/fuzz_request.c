/* tests/fuzz/fuzz_request.c - any request, from its line to its body: who calls, which cursor,
 * which JSON. Civetweb is faked (its functions are defined here), the rest is real.
 *
 * Input: "METHOD /path?query", headers "Name: value" up to an empty line, body. In the query and
 * in headers "{cursor}" is one of ours. With no storage nobody can ever be logged in.
 */
#include <civetweb.h>
#include <errno.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "http/api_internal.h"
#include "http/server_internal.h"
#include "tests/fuzz/fuzz.h"

#define HEADERS_MAX 16

struct mg_connection {
	unsigned n_headers;
	char *names[HEADERS_MAX];
	char *values[HEADERS_MAX];
	struct fuzz_input body;
	size_t written;
	char head[4096]; /* what was written first */
};

const char *mg_get_header(const struct mg_connection *connection, const char *name)
{
	for (unsigned i = 0; i < connection->n_headers; i++) {
		if (strcasecmp(connection->names[i], name) == 0) {
			return connection->values[i];
		}
	}
	return NULL;
}

const struct mg_request_info *mg_get_request_info(const struct mg_connection *connection)
{
	static const struct mg_request_info info = { .http_version = "1.1" };
	return &info;
}

int mg_read(struct mg_connection *connection, void *out, size_t size)
{
	size_t n;
	const uint8_t *bytes = fuzz_bytes(&connection->body, size, &n);
	if (n > 0) {
		memcpy(out, bytes, n);
	}
	return (int)n;
}

int mg_write(struct mg_connection *connection, const void *data, size_t size)
{
	for (size_t i = 0; i < size && connection->written < sizeof(connection->head) - 1; i++) {
		connection->head[connection->written++] = ((const char *)data)[i];
	}
	return (int)size;
}

/* The front's: there is none (linked with --wrap). */
void __wrap_pc_front_request_body_within(
	struct pc_front *front, uint64_t token, unsigned timeout_ms);
void __wrap_pc_front_request_body_within(
	struct pc_front *front, uint64_t token, unsigned timeout_ms)
{
}

static struct pc_http_server server;
static struct pc_settings settings;
static char cursor_text[PC_API_CURSOR_SIZE];

static void start(void)
{
	if (server.auth != NULL) {
		return;
	}
	pc_log_set_level(PC_LOG_ERROR);
	pc_settings_default(&settings);
	server.config.settings = &settings;
	fuzz_assert(pc_auth_create(NULL, &settings, NULL, &server.auth) == 0);
	const struct pc_api_cursor cursor = { .start_utc_ms = 1800000000000, .id = 42 };
	fuzz_assert(
		pc_api_cursor_make(server.auth, PC_API_CURSOR_EVENTS, &cursor, cursor_text) == 0);
}

/* A cursor that is accepted is one of ours, unchanged. */
static void check_cursor(struct pc_request *request, const char *text)
{
	struct pc_api_cursor cursor = { .id = -7 };
	const int r = pc_api_cursor_read(server.auth, PC_API_CURSOR_EVENTS, text, &cursor);
	if (r == 0) {
		fuzz_assert(strcmp(text, cursor_text) == 0 && cursor.id == 42);
		fuzz_assert(
			pc_api_cursor_read(server.auth, PC_API_CURSOR_ALERTS, text, &cursor) < 0);
	} else {
		fuzz_assert(r == -EINVAL && cursor.id == -7);
	}
}

/* Signed by ourselves, so that what is behind the tag is reached. */
static void check_signed_cursor(const char *text)
{
	struct fuzz_input input = fuzz_begin((const uint8_t *)text, strlen(text));
	const char list = (char)fuzz_number(&input, 1);
	struct pc_api_cursor cursor = { .start_utc_ms = (int64_t)fuzz_number(&input, 8) };
	struct pc_api_cursor again;
	char made[PC_API_CURSOR_SIZE];
	cursor.id = (int64_t)fuzz_number(&input, 8);
	fuzz_assert(pc_api_cursor_make(server.auth, list, &cursor, made) == 0);
	fuzz_assert(pc_api_cursor_read(server.auth, list, made, &again) == 0);
	fuzz_assert(again.start_utc_ms == cursor.start_utc_ms && again.id == cursor.id);
	made[(unsigned char)list % strlen(made)] ^= 1;
	fuzz_assert(pc_api_cursor_read(server.auth, list, made, &again) == -EINVAL);
}

/* One reply at most, and its head is lines without a stray control character. */
static void check_reply(struct mg_connection *connection, struct pc_request *request)
{
	connection->head[connection->written] = '\0';
	const char *end = strstr(connection->head, "\r\n\r\n");
	if (request->status != 0) {
		fuzz_assert(request->status >= 200 && request->status < 600);
		fuzz_assert(strstr(connection->head, "HTTP/1.1 ") != NULL && end != NULL);
		for (const char *c = connection->head; c < end; c++) {
			fuzz_assert(*c == '\r' || *c == '\n' || (unsigned char)*c >= ' ');
		}
	}
	connection->written = 0;
	request->status = 0;
}

static void ask(struct mg_connection *connection, struct pc_request *request)
{
	static const char *const known[] = { "limit", "cursor", "after", "camera", "token", NULL };
	int64_t ms = 0;
	unsigned limit = 0;
	char camera[PC_CAMERA_ID_MAX], text[256];
	struct pc_api_cursor cursor = { 0 };

	(void)pc_api_query_known(request, known);
	check_reply(connection, request);
	(void)pc_api_query_time(request, "after", &ms);
	check_reply(connection, request);
	if (pc_api_query_limit(request, &limit)) {
		fuzz_assert(limit >= 1 && limit <= PC_API_LIMIT_MAX);
	}
	check_reply(connection, request);
	if (pc_api_query_camera(request, camera)) {
		fuzz_assert(memchr(camera, '\0', sizeof(camera)) != NULL);
	}
	check_reply(connection, request);
	if (pc_request_query(request, "cursor", text, sizeof(text)) >= 0) {
		check_cursor(request, text);
		check_signed_cursor(text);
	}
	if (pc_api_query_cursor(request, PC_API_CURSOR_EVENTS, &cursor)) {
		fuzz_assert(cursor.id == 0 || cursor.id == 42);
	}
	check_reply(connection, request);
	(void)pc_request_has_etag(request, "\"42\"");
}

static void read_body(struct mg_connection *connection, struct pc_request *request)
{
	json_t *object = NULL;
	request->body_left = connection->body.left;
	if (pc_request_json(request, &object) == 0) {
		fuzz_assert(json_is_object(object) && request->status == 0);
		char *text = pc_api_dump(object);
		fuzz_assert(text != NULL);
		free(text);
		json_decref(object);
	} else {
		fuzz_assert(object == NULL && request->status >= 400);
	}
	check_reply(connection, request);
}

/* The line with every "{cursor}" replaced. */
static char *take_line(struct fuzz_input *input)
{
	char *line = fuzz_text(input, '\n');
	char *at = strstr(line, "{cursor}");
	if (at == NULL) {
		return line;
	}
	const size_t before = (size_t)(at - line);
	const size_t n = strlen(line) + sizeof(cursor_text);
	char *out = malloc(n);
	fuzz_assert(out != NULL);
	snprintf(out, n, "%.*s%s%s", (int)before, line, cursor_text, at + strlen("{cursor}"));
	free(line);
	return out;
}

static void take_headers(struct mg_connection *connection, struct fuzz_input *input)
{
	while (connection->n_headers < HEADERS_MAX && input->left > 0) {
		char *line = take_line(input);
		char *colon = strchr(line, ':');
		if (colon == NULL) {
			free(line);
			return;
		}
		*colon = '\0';
		connection->names[connection->n_headers] = line;
		connection->values[connection->n_headers++] = colon + 1 + strspn(colon + 1, " ");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pc_route no_route = { .path = "/none", .body_max = 4096 };
	static struct pc_http_worker worker;
	static struct mg_connection connection;
	start();
	memset(&connection, 0, sizeof(connection));
	struct fuzz_input input = fuzz_begin(data, size);
	char *method = take_line(&input);
	char *path = strchr(method, ' ');
	char *query = NULL;
	if (path != NULL) {
		*path++ = '\0';
		query = strchr(path, '?');
	}
	if (query != NULL) {
		*query++ = '\0';
	}
	take_headers(&connection, &input);
	connection.body = input;

	struct pc_request *request = &worker.request;
	*request = (struct pc_request){
		.server = &server,
		.connection = &connection,
		.path = path != NULL ? path : "",
		.query = query != NULL ? query : "",
		.peer = "192.0.2.7",
		.worker = &worker,
	};
	char allow[64];
	const struct pc_route *route = &no_route;
	if (pc_router_match(
		    pc_routes, method, request->path, request, &route, allow, sizeof(allow)) < 0) {
		route = &no_route;
	}
	request->route = route;
	pc_auth_identify(server.auth, request, route);
	fuzz_assert(!request->who.authenticated && request->who.user_id == 0);
	ask(&connection, request);
	read_body(&connection, request);
	for (unsigned i = 0; i < connection.n_headers; i++) {
		free(connection.names[i]);
	}
	free(method);
	return 0;
}
