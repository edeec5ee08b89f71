/* tests/unit/http/api_fake.c - the door, faked: see api_fake.h. The router is the real one. */
#include "tests/unit/http/api_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/support/test.h"

struct pc_http_server fake_server;
struct pc_settings fake_settings;
struct fake_reply fake_reply;
char fake_access_token[PC_JWT_SIZE];
char fake_media_token[PC_JWT_SIZE];

static struct {
	const char *name;
	char value[1024];
} headers[8];
static const char *request_body;
static struct pc_camera_stats stats;

void fake_start(void)
{
	memset(&fake, 0, sizeof(fake));
	memset(&fake_settings, 0, sizeof(fake_settings));
	memset(headers, 0, sizeof(headers));
	fake_settings.http.access_token_s = 3600;
	fake_settings.http.media_token_s = 600;
	struct pc_health *health;
	test_int(pc_health_create(&health), 0);
	struct pc_auth *auth;
	/* The storage is opaque to all but the fake, which does not look. */
	test_int(pc_auth_create((struct pc_storage *)&fake, &fake_settings, NULL, &auth), 0);
	fake_server.auth = auth;
	fake_server.config = (struct pc_http_config){
		.settings = &fake_settings,
		.storage = (struct pc_storage *)&fake,
		.health = health,
		.version = "1.2.3",
	};
	memset(&stats, 0, sizeof(stats));
	struct pc_http_camera_entry *camera = &fake_server.cameras[0];
	SET(camera->id, "cam0");
	SET(camera->name, "Kitchen");
	SET(camera->source_text, "demo");
	camera->fps = 29.97;
	camera->stats = &stats;
	test_int(pc_window_create(10 * PC_NS_PER_S, 300, &camera->window), 0);
	fake_server.n_cameras = 1;
	fake_server.stopping = false;
}

void fake_stop(void)
{
	pc_auth_destroy(fake_server.auth);
	pc_health_destroy(fake_server.config.health);
	pc_window_unref(fake_server.cameras[0].window);
	json_decref(fake_reply.json);
	fake_reply.json = NULL;
}

const struct pc_http_config *pc_http_config(const struct pc_http_server *server)
{
	return &server->config;
}

unsigned pc_http_cameras(const struct pc_http_server *server)
{
	return server->n_cameras;
}

const struct pc_http_camera_entry *pc_http_camera_at(
	const struct pc_http_server *server, unsigned i)
{
	return &server->cameras[i];
}

const struct pc_http_camera_entry *pc_http_camera_find(
	const struct pc_http_server *server, const char *id)
{
	return strcmp(id, "cam0") == 0 ? &server->cameras[0] : NULL;
}

struct pc_auth *pc_http_auth(struct pc_http_server *server)
{
	return server->auth;
}

bool pc_http_stopping(const struct pc_http_server *server)
{
	return server->stopping;
}

void fake_header(const char *name, const char *value)
{
	for (int i = 0; i < 8; i++) {
		if (headers[i].name == NULL || strcmp(headers[i].name, name) == 0) {
			headers[i].name = name;
			snprintf(headers[i].value, sizeof(headers[i].value), "%s",
				value != NULL ? value : "");
			if (value == NULL) {
				headers[i].value[0] = '\0';
			}
			return;
		}
	}
	test_fail("too many headers");
}

const char *pc_request_header(const struct pc_request *request, const char *name)
{
	for (int i = 0; i < 8; i++) {
		if (headers[i].name != NULL && strcasecmp(headers[i].name, name) == 0 &&
			headers[i].value[0] != '\0') {
			return headers[i].value;
		}
	}
	return NULL;
}

int pc_request_query(const struct pc_request *request, const char *name, char *out, size_t size)
{
	size_t length = strlen(name);
	for (const char *at = request->query; *at != '\0';) {
		size_t whole = strcspn(at, "&");
		if (strncmp(at, name, length) == 0 && at[length] == '=') {
			size_t n = whole - length - 1;
			if (n >= size) {
				return -EINVAL;
			}
			memcpy(out, at + length + 1, n);
			out[n] = '\0';
			return (int)n;
		}
		at += whole;
		at += *at == '&';
	}
	return -ENOENT;
}

static int parse(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max) {
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

int pc_request_query_int(
	const struct pc_request *request, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	char text[32];
	int r = pc_request_query(request, name, text, sizeof(text));
	return r < 0 ? r : parse(text, min, max, ret);
}

int pc_request_id(const struct pc_request *request, unsigned param, int64_t *ret_id)
{
	return parse(request->params[param], 1, INT64_MAX, ret_id);
}

int pc_request_json(struct pc_request *request, json_t **ret_object)
{
	json_error_t error;
	json_t *json = request_body != NULL ? json_loads(request_body, 0, &error) : NULL;
	if (!json_is_object(json)) {
		json_decref(json);
		pc_reply_problem(request, 400, NULL, "The body is not a JSON object.");
		return -EINVAL;
	}
	*ret_object = json;
	return 0;
}

bool pc_request_aborted(void *request)
{
	return fake_reply.stream_writes >= fake_reply.stream_writes_max;
}

int pc_reply_bytes(struct pc_request *request, int status, const char *content_type,
	const char *extra, const void *data, size_t size)
{
	test_int(request->status, 0); /* once */
	request->status = status;
	fake_reply.status = status;
	snprintf(fake_reply.type, sizeof(fake_reply.type), "%s",
		content_type != NULL ? content_type : "");
	snprintf(fake_reply.headers, sizeof(fake_reply.headers), "%s", extra != NULL ? extra : "");
	test_assert(size < sizeof(fake_reply.body));
	memcpy(fake_reply.body, data, size);
	fake_reply.body[size] = '\0';
	fake_reply.size = size;
	json_decref(fake_reply.json);
	fake_reply.json = NULL;
	if (strcmp(fake_reply.type, "application/json") == 0) {
		json_error_t error;
		fake_reply.json = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
		test_assert(fake_reply.json != NULL);
	}
	return status;
}

int pc_reply_json(struct pc_request *request, int status, json_t *body, const char *extra)
{
	char *text = json_dumps(body, JSON_COMPACT);
	test_assert(text != NULL);
	pc_reply_bytes(request, status, "application/json", extra, text, strlen(text));
	free(text);
	json_decref(body);
	return status;
}

int pc_reply_problem(
	struct pc_request *request, int status, const char *extra, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return pc_reply_bytes(request, status, "problem", extra, text, strlen(text));
}

const char *fake_detail(void)
{
	test_str(fake_reply.type, "problem");
	return fake_reply.body;
}

int pc_reply_empty(struct pc_request *request, int status, const char *extra)
{
	return pc_reply_bytes(request, status, NULL, extra, "", 0);
}

int pc_reply_file(struct pc_request *request, int fd, uint64_t size, const char *content_type,
	const char *etag, const char *extra)
{
	char bytes[1024];
	test_assert(size <= sizeof(bytes) && read(fd, bytes, (size_t)size) == (ssize_t)size);
	char lines[128];
	snprintf(lines, sizeof(lines), "ETag: %s\r\n", etag);
	return pc_reply_bytes(request, 200, content_type, lines, bytes, (size_t)size);
}

int pc_reply_stream(struct pc_request *request, const char *content_type, const char *extra)
{
	return pc_reply_bytes(request, 200, content_type, extra, "", 0);
}

int pc_reply_stream_write(struct pc_request *request, const struct iovec *parts, unsigned n)
{
	if (fake_reply.stream_writes++ >= fake_reply.stream_writes_max) {
		return -EPIPE;
	}
	for (unsigned i = 0; i < n; i++) {
		test_assert(fake_reply.size + parts[i].iov_len < sizeof(fake_reply.body));
		memcpy(fake_reply.body + fake_reply.size, parts[i].iov_base, parts[i].iov_len);
		fake_reply.size += parts[i].iov_len;
		fake_reply.body[fake_reply.size] = '\0';
	}
	return 0;
}

/* Live's handlers are not ours to test. */
static int not_here(struct pc_request *request)
{
	return pc_reply_empty(request, 299, NULL);
}
int pc_api_live(struct pc_request *request)
{
	return not_here(request);
}
int pc_api_hls(struct pc_request *request)
{
	return not_here(request);
}
int pc_api_live_mp4(struct pc_request *request)
{
	return not_here(request);
}
int pc_api_live_ws(struct pc_request *request)
{
	return not_here(request);
}
int pc_api_snapshot(struct pc_request *request)
{
	return not_here(request);
}

static int access_of(const struct pc_route *route, const struct pc_identity *who)
{
	if (route->access != PC_OPEN &&
		(!who->authenticated || (who->by_media_token && route->access != PC_MEDIA))) {
		return 401;
	}
	return route->access == PC_OWNER && who->role != PC_ROLE_OWNER ? 403 : 0;
}

int fake_call(const char *method, const char *target, const char *body)
{
	char path[1024];
	struct pc_request request = { .server = &fake_server, .peer = "192.0.2.7" };
	const struct pc_route *route = NULL;
	char allow[64];
	snprintf(path, sizeof(path), "%s", target);
	char *mark = strchr(path, '?');
	request.query = mark != NULL ? mark + 1 : "";
	if (mark != NULL) {
		*mark = '\0';
	}
	request.path = path;
	request_body = body;
	json_decref(fake_reply.json);
	fake_reply.json = NULL;
	fake_reply.status = 0;
	fake_reply.stream_writes = 0;
	fake_reply.body[0] = '\0';
	if (pc_router_match(pc_routes, method, path, &request, &route, allow, sizeof(allow)) < 0) {
		return 404;
	}
	pc_auth_identify(fake_server.auth, &request, route);
	int refused = access_of(route, &request.who);
	if (refused != 0) {
		return refused;
	}
	int status = route->handle(&request);
	test_int(status, request.status);
	test_assert(status != 0);
	return status;
}

void fake_login(void)
{
	/* "correct horse" with N = 2: the tests are not about waiting. */
	fake.has_user = true;
	fake.user = (struct pc_user){ .user_id = 7, .role = PC_ROLE_OWNER, .username = FAKE_USER };
	uint8_t salt[16] = { 0 };
	uint8_t hash[32];
	char salt_text[32];
	char hash_text[64];
	test_int(pc_crypto_scrypt(FAKE_PASSWORD, strlen(FAKE_PASSWORD), salt, sizeof(salt), 1, 8, 1,
			 hash, sizeof(hash)),
		0);
	pc_base64url_encode(salt, sizeof(salt), salt_text);
	pc_base64url_encode(hash, sizeof(hash), hash_text);
	snprintf(fake.user.password_hash, sizeof(fake.user.password_hash), "scrypt$1$8$1$%s$%s",
		salt_text, hash_text);
	test_int(fake_call("POST", "/session",
			 "{\"username\":\"" FAKE_USER "\",\"password\":\"" FAKE_PASSWORD "\"}"),
		200);
	snprintf(fake_access_token, sizeof(fake_access_token), "%s",
		json_string_value(json_object_get(fake_reply.json, "access_token")));
	snprintf(fake_media_token, sizeof(fake_media_token), "%s",
		json_string_value(json_object_get(fake_reply.json, "media_token")));
	char bearer[PC_JWT_SIZE + 16];
	snprintf(bearer, sizeof(bearer), "Bearer %s", fake_access_token);
	fake_header("Authorization", bearer);
}
