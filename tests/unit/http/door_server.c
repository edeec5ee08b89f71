/* tests/unit/http/door_server.c - the real server with made-up logins and routes, for
 * test_door.py to knock at.
 *
 *   door_server FOLDER [name=value ..]    plain=1 safe=TEXT web_root=PATH address=A port=N
 *                                         max=N per_address=N viewers=N
 *
 * Prints one line of JSON when serving; ends when its standard input does, with another line
 * that says how long the end took.
 */
#include <civetweb.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/server_internal.h"

static atomic_uint waits_begun, waits_aborted, streams_ended, sockets_opened, sockets_closed;
static _Atomic uint64_t stream_bytes;
static _Atomic int64_t last_abort_ns;
static const char *file_path;

/* ---- what is made up: logins, live views ---- */

struct pc_auth {
	int nothing;
};
static struct pc_auth the_auth;

int pc_auth_create(struct pc_storage *storage, const struct pc_settings *settings,
	const char *key_folder, struct pc_auth **ret_auth)
{
	*ret_auth = &the_auth;
	return 0;
}

void pc_auth_destroy(struct pc_auth *auth)
{
}

const char *pc_auth_setup_code(struct pc_auth *auth)
{
	return "1234";
}

/* "Bearer owner", "petcam=viewer" as the cookie, "?token=media". */
void pc_auth_identify(
	struct pc_auth *auth, struct pc_request *request, const struct pc_route *route)
{
	const char *bearer = pc_request_header(request, "Authorization");
	const char *cookie = pc_request_header(request, "Cookie");
	struct pc_identity *who = &request->who;
	const char *name = "";
	char token[16];

	if (bearer != NULL && strncmp(bearer, "Bearer ", 7) == 0) {
		name = bearer + 7;
	} else if (cookie != NULL && strncmp(cookie, "petcam=", 7) == 0) {
		name = cookie + 7;
		who->by_cookie = true;
	} else if (pc_request_query(request, "token", token, sizeof(token)) > 0 &&
		   strcmp(token, "media") == 0) {
		name = "viewer";
		who->by_media_token = true;
	}
	who->authenticated = strcmp(name, "owner") == 0 || strcmp(name, "viewer") == 0;
	who->role = strcmp(name, "owner") == 0 ? PC_ROLE_OWNER : PC_ROLE_VIEWER;
}

int pc_hls_create(const struct pc_hls_config *config, struct pc_hls **ret_hls)
{
	*ret_hls = NULL;
	return 0;
}

void pc_hls_destroy(struct pc_hls *hls)
{
}

int pc_live_websocket_accept(struct pc_request *request)
{
	char full[4];

	if (pc_request_query(request, "full", full, sizeof(full)) >= 0) {
		return pc_reply_problem(request, 503, NULL, "Full.");
	}
	return 0;
}

void pc_live_websocket_ready(struct pc_http_server *server, struct mg_connection *connection,
	const struct pc_http_camera_entry *camera, const char *session_id)
{
	atomic_fetch_add(&sockets_opened, 1);
	mg_websocket_write(connection, MG_WEBSOCKET_OPCODE_TEXT, camera->id, strlen(camera->id));
}

void pc_live_websocket_close(struct mg_connection *connection)
{
	atomic_fetch_add(&sockets_closed, 1);
}

/* ---- routes ---- */

static int hello(struct pc_request *request)
{
	return pc_reply_json(request, 200,
		json_pack("{s:s, s:s, s:s}", "path", request->path, "query", request->query, "peer",
			request->peer),
		"X-Test: 1\r\n");
}

static int echo(struct pc_request *request)
{
	json_t *body;

	return pc_request_json(request, &body) < 0 ? request->status
						   : pc_reply_json(request, 200, body, NULL);
}

/* Length and FNV-1a hash of the body's "data". */
static int hash(struct pc_request *request)
{
	uint64_t value = UINT64_C(0xcbf29ce484222325);
	json_t *body;
	char text[20];

	if (pc_request_json(request, &body) < 0) {
		return request->status;
	}
	const json_t *data = json_object_get(body, "data");
	for (size_t i = 0; i < json_string_length(data); i++) {
		value = (value ^ (unsigned char)json_string_value(data)[i]) * 0x100000001b3;
	}
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
	json_t *reply =
		json_pack("{s:i, s:s}", "size", (int)json_string_length(data), "hash", text);
	json_decref(body);
	return pc_reply_json(request, 200, reply, NULL);
}

/* n bytes, each the low byte of its place times 7, in odd pieces. */
static int bytes(struct pc_request *request)
{
	struct iovec parts[64];
	int64_t n = 0;

	if (pc_request_id(request, 0, &n) < 0 || n > 64 << 20) {
		return pc_reply_problem(request, 400, NULL, "How many?");
	}
	unsigned char *data = malloc((size_t)n);
	for (int64_t i = 0; i < n; i++) {
		data[i] = (unsigned char)(i * 7);
	}
	size_t done = 0, left = (size_t)n;
	unsigned count = 0;
	while (left > 0) {
		const size_t piece = count == 63 || left < 9973 ? left : left / 3 + 1;
		parts[count].iov_base = data + done;
		parts[count++].iov_len = piece;
		done += piece;
		left -= piece;
	}
	pc_reply_vector(request, 200, "application/octet-stream", NULL, parts, count);
	free(data);
	return request->status;
}

static int file(struct pc_request *request)
{
	const int fd = open(file_path, O_RDONLY | O_CLOEXEC);
	const off_t size = lseek(fd, 0, SEEK_END);

	pc_reply_file(
		request, fd, (uint64_t)size, "video/mp4", "\"v1\"", "Cache-Control: private\r\n");
	close(fd);
	return request->status;
}

/* A file that is shorter than was thought. */
static int short_file(struct pc_request *request)
{
	const int fd = open(file_path, O_RDONLY | O_CLOEXEC);
	const off_t size = lseek(fd, 0, SEEK_END);

	pc_reply_file(request, fd, (uint64_t)size + 100000, "video/mp4", NULL, NULL);
	close(fd);
	return request->status;
}

/* A long poll: until the client has gone, or ?ms= have passed. */
static int wait_long(struct pc_request *request)
{
	int64_t ms = 5000;

	(void)pc_request_query_int(request, "ms", 0, 60000, &ms);
	const int64_t end_ns = pc_clock_now_ns() + ms * PC_NS_PER_MS;
	atomic_fetch_add(&waits_begun, 1);
	while (pc_clock_now_ns() < end_ns) {
		if (pc_request_aborted(request)) {
			atomic_store(&last_abort_ns, pc_clock_now_ns());
			atomic_fetch_add(&waits_aborted, 1);
			break;
		}
		usleep(2000); /* stands for a condition variable with a time-out */
	}
	return pc_reply_json(request, 200, json_pack("{s:b}", "waited", 1), NULL);
}

static int stream(struct pc_request *request)
{
	static unsigned char block[4096];
	struct iovec part = { .iov_base = block, .iov_len = sizeof(block) };
	int64_t limit = 0;

	(void)pc_request_query_int(request, "limit", 1, 1 << 30, &limit);
	pc_reply_stream(request, "video/mp4", NULL);
	for (int64_t sent = 0; limit == 0 || sent < limit; sent += (int64_t)sizeof(block)) {
		if (pc_request_aborted(request) || pc_reply_stream_write(request, &part, 1) < 0) {
			break;
		}
		atomic_fetch_add(&stream_bytes, sizeof(block));
	}
	atomic_fetch_add(&streams_ended, 1);
	return request->status;
}

static int counters(struct pc_request *request)
{
	struct pc_front_stats front;

	pc_front_stats(atomic_load(&request->server->front), &front);
	return pc_reply_json(request, 200,
		json_pack("{s:i,s:i,s:i,s:I,s:i,s:i,s:I,s:I,s:I,s:I,s:i,s:i}", "waits_begun",
			(int)waits_begun, "waits_aborted", (int)waits_aborted, "streams_ended",
			(int)streams_ended, "stream_bytes", (json_int_t)stream_bytes,
			"sockets_opened", (int)sockets_opened, "sockets_closed",
			(int)sockets_closed, "accepted", (json_int_t)front.accepted, "refused",
			(json_int_t)front.refused, "handshakes", (json_int_t)front.handshakes,
			"timed_out", (json_int_t)front.timed_out, "connections",
			(int)front.connections, "backends", (int)front.backends),
		NULL);
}

/* The stack of this worker, and use of 300 KiB of it. */
static int stack(struct pc_request *request)
{
	volatile char used[300 * 1024];
	pthread_attr_t attr;
	size_t size = 0;

	used[0] = used[sizeof(used) - 1] = 1;
	if (pthread_getattr_np(pthread_self(), &attr) == 0) {
		(void)pthread_attr_getstacksize(&attr, &size);
		pthread_attr_destroy(&attr);
	}
	return pc_reply_json(request, 200,
		json_pack("{s:i, s:i}", "stack", (int)size, "used", (int)used[0]), NULL);
}

static int query(struct pc_request *request)
{
	char text[16] = "";
	int64_t number = -1, id = -1;

	const int r = pc_request_query(request, "q", text, sizeof(text));
	const int n = pc_request_query_int(request, "n", -5, 100, &number);
	const int i = pc_request_id(request, 0, &id);
	json_t *shown = json_stringn(text, r > 0 ? (size_t)r : 0);
	if (shown == NULL) {
		shown = json_string("not UTF-8");
	}
	return pc_reply_json(request, 200,
		json_pack("{s:i,s:o,s:i,s:I,s:i,s:I}", "r", r, "q", shown, "rn", n, "n",
			(json_int_t)number, "ri", i, "id", (json_int_t)id),
		NULL);
}

static int silent(struct pc_request *request)
{
	return 0;
}

static int twice(struct pc_request *request)
{
	pc_reply_empty(request, 204, NULL);
	return pc_reply_empty(request, 500, NULL);
}

static int problem(struct pc_request *request)
{
	return pc_reply_problem(
		request, 409, NULL, "A \"quote\", a \\ and \x01\xff: %s", request->query);
}

const struct pc_route pc_routes[] = {
	{ PC_GET, "/hello", PC_OPEN, hello, false, 0 },
	{ PC_GET, "/hello/{x}", PC_OPEN, hello, false, 0 },
	{ PC_POST, "/echo", PC_OPEN, echo, false, 1000 },
	{ PC_POST, "/hash", PC_OPEN, hash, false, 32 << 20 },
	{ PC_GET, "/bytes/{n}", PC_OPEN, bytes, false, 0 },
	{ PC_GET, "/file", PC_OPEN, file, false, 0 },
	{ PC_GET, "/short", PC_OPEN, short_file, false, 0 },
	{ PC_GET, "/wait", PC_OPEN, wait_long, false, 0 },
	{ PC_GET, "/stream", PC_OPEN, stream, false, 0 },
	{ PC_GET, "/counters", PC_OPEN, counters, false, 0 },
	{ PC_GET, "/stack", PC_OPEN, stack, false, 0 },
	{ PC_GET, "/query/{id}", PC_OPEN, query, false, 0 },
	{ PC_GET, "/silent", PC_OPEN, silent, false, 0 },
	{ PC_GET, "/twice", PC_OPEN, twice, false, 0 },
	{ PC_GET, "/problem", PC_OPEN, problem, false, 0 },
	{ PC_GET, "/viewer", PC_VIEWER, hello, false, 0 },
	{ PC_POST, "/viewer", PC_VIEWER, hello, false, 100 },
	{ PC_GET, "/owner", PC_OWNER, hello, false, 0 },
	{ PC_GET, "/media", PC_MEDIA, hello, false, 0 },
	{ PC_GET, "/health", PC_OPEN, hello, false, 0 },
	{ PC_GET, "/version", PC_OPEN, hello, false, 0 },
	{ PC_POST, "/setup", PC_OPEN, hello, false, 100 },
	{ PC_GET, "/cameras/{id}/live.ws", PC_MEDIA, silent, true, 0 },
	{ 0 },
};

/* ---- the program ---- */

static void apply(struct pc_settings *settings, struct pc_http_config *config, const char *option)
{
	const char *value = strchr(option, '=');

	if (value == NULL) {
		exit(2);
	}
	value++;
	if (strncmp(option, "plain=", 6) == 0) {
		settings->http.plain_loopback = true;
	} else if (strncmp(option, "safe=", 5) == 0) {
		config->safe_mode_text = value;
	} else if (strncmp(option, "web_root=", 9) == 0) {
		snprintf(settings->http.web_root, sizeof(settings->http.web_root), "%s", value);
	} else if (strncmp(option, "address=", 8) == 0) {
		snprintf(settings->http.address, sizeof(settings->http.address), "%s", value);
	} else if (strncmp(option, "port=", 5) == 0) {
		settings->http.port = (unsigned)strtoul(value, NULL, 10);
	} else if (strncmp(option, "max=", 4) == 0) {
		settings->http.max_connections = (unsigned)strtoul(value, NULL, 10);
	} else if (strncmp(option, "per_address=", 12) == 0) {
		settings->http.max_connections_per_address = (unsigned)strtoul(value, NULL, 10);
	} else if (strncmp(option, "viewers=", 8) == 0) {
		settings->http.max_viewers = (unsigned)strtoul(value, NULL, 10);
	} else {
		exit(2);
	}
}

static unsigned backend_port(struct pc_http_server *server)
{
	struct mg_server_port port;

	return mg_get_server_ports(server->civetweb, 1, &port) == 1 ? (unsigned)port.port : 0;
}

int main(int argc, char **argv)
{
	static struct pc_settings settings;
	struct pc_http_config config = {
		.settings = &settings,
		.storage = (struct pc_storage *)&settings, /* only asked whether it is there */
		.version = "test",
	};
	struct pc_http_server *server;
	struct pc_window *window;
	char why[256] = "", path[600], byte;

	pc_settings_default(&settings);
	settings.http.port = 0;
	snprintf(settings.http.address, sizeof(settings.http.address), "127.0.0.1");
	snprintf(settings.http.web_root, sizeof(settings.http.web_root), "%s/web", argv[1]);
	snprintf(settings.storage.root, sizeof(settings.storage.root), "%s", argv[1]);
	snprintf(path, sizeof(path), "%s/file.bin", argv[1]);
	file_path = path;
	for (int i = 2; i < argc; i++) {
		apply(&settings, &config, argv[i]);
	}
	pc_log_set_level(PC_LOG_WARN);
	const int r = pc_http_server_create(&config, why, sizeof(why), &server);
	if (r < 0) {
		json_t *told = json_pack("{s:i, s:s}", "error", r, "why", why);
		json_dumpf(told, stdout, 0);
		json_decref(told);
		puts("");
		return 1;
	}
	const struct pc_http_camera camera = {
		.id = "cam0",
		.name = "Camera",
		.source_text = "none",
	};
	if (pc_window_create(PC_NS_PER_S, 16, &window) < 0) {
		return 1;
	}
	struct pc_http_camera added = camera;
	added.window = window;
	if (pc_http_server_add_camera(server, &added) != 0 ||
		pc_http_server_add_camera(server, &added) != -EEXIST) {
		return 1;
	}
	printf("{\"url\": \"%s\", \"port\": %u, \"backend\": %u, \"pid\": %d}\n",
		pc_http_server_url(server), pc_front_port(atomic_load(&server->front)),
		backend_port(server), (int)getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0) {
	}
	const int64_t begun_ns = pc_clock_now_ns();
	pc_http_server_destroy(server);
	pc_window_unref(window);
	printf("{\"end_ms\": %d}\n", (int)((pc_clock_now_ns() - begun_ns) / PC_NS_PER_MS));
	return 0;
}
