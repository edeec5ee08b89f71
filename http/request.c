/* http/request.c - what a client sent: headers, query parameters, ids, JSON bodies. */
#include <civetweb.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "http/http_internal.h"
#include "http/server_internal.h"

#ifndef PC_FRONT_HURRY
#define PC_FRONT_HURRY 1 /* see tls_front.c */
#endif
#define BODY_TIMEOUT_S 10
#define BODY_TIMEOUT_MS (BODY_TIMEOUT_S * 1000 / PC_FRONT_HURRY)
#define JSON_DEPTH_MAX 32 /* jansson recurses, to 2048 */

const char *pc_request_header(const struct pc_request *request, const char *name)
{
	return mg_get_header(request->connection, name);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One decoded byte of a query, advancing *at; -1: a bad escape or a NUL. */
static int query_byte(const char **at)
{
	const char c = *(*at)++;

	if (c == '+') {
		return ' ';
	}
	if (c != '%') {
		return (unsigned char)c;
	}
	const int high = hex((*at)[0]);
	const int low = high < 0 ? -1 : hex((*at)[1]);
	if (low < 0 || (high == 0 && low == 0)) {
		return -1;
	}
	*at += 2;
	return high << 4 | low;
}

/* Whether the parameter at `at` is called `name`. -EINVAL: a bad escape. */
static int name_is(const char *at, const char *name)
{
	bool same = true;

	while (*at != '\0' && *at != '&' && *at != '=') {
		const int c = query_byte(&at);
		if (c < 0) {
			return -EINVAL;
		}
		if (same && (unsigned char)*name == c) {
			name++;
		} else {
			same = false;
		}
	}
	return same && *name == '\0';
}

int pc_request_query(const struct pc_request *request, const char *name, char *out, size_t size)
{
	const char *found = NULL;
	const char *at = request->query;

	for (;;) {
		const int same = name_is(at, name);
		if (same < 0 || (same > 0 && found != NULL)) {
			return -EINVAL;
		}
		if (same > 0 && *at != '\0' && *at != '&') {
			found = at;
		}
		at += strcspn(at, "&");
		if (*at == '\0') {
			break;
		}
		at++;
	}
	if (found == NULL) {
		return -ENOENT;
	}

	found += strcspn(found, "=&");
	found += *found == '=';
	size_t n = 0;
	while (*found != '\0' && *found != '&') {
		const int c = query_byte(&found);
		if (c < 0 || n + 1 >= size) {
			return -EINVAL;
		}
		out[n++] = (char)c;
	}
	if (size == 0) {
		return -EINVAL;
	}
	out[n] = '\0';
	return (int)n;
}

/* "-"? and digits, nothing else. */
static int parse_int(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	const bool negative = *text == '-';
	const uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	uint64_t value = 0;

	text += negative;
	if (*text == '\0') {
		return -EINVAL;
	}
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9') {
			return -EINVAL;
		}
		const uint64_t digit = (uint64_t)(*text - '0');
		if (value > (limit - digit) / 10) {
			return -EINVAL;
		}
		value = value * 10 + digit;
	}
	const int64_t result = negative ? (int64_t)(UINT64_C(0) - value) : (int64_t)value;
	if (result < min || result > max) {
		return -EINVAL;
	}
	*ret = result;
	return 0;
}

int pc_request_query_int(
	const struct pc_request *request, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	char text[24];

	const int r = pc_request_query(request, name, text, sizeof(text));
	return r < 0 ? r : parse_int(text, min, max, ret);
}

int pc_request_id(const struct pc_request *request, unsigned param, int64_t *ret_id)
{
	if (param >= request->n_params) {
		return -EINVAL;
	}
	return parse_int(request->params[param], 1, INT64_MAX, ret_id);
}

bool pc_request_has_etag(const struct pc_request *request, const char *etag)
{
	const char *list = pc_request_header(request, "If-None-Match");
	const size_t size = strlen(etag);

	while (list != NULL && *list != '\0') {
		list += strspn(list, " \t,");
		if (*list == '*') {
			return true;
		}
		if (strncmp(list, "W/", 2) == 0) { /* the weak comparison: RFC 9110, 13.1.2 */
			list += 2;
		}
		if (strncmp(list, etag, size) == 0 && strchr(" \t,", list[size]) != NULL) {
			return true;
		}
		list += strcspn(list, ",");
	}
	return false;
}

/* "application/json", "application/merge-patch+json"; parameters are ignored: JSON is UTF-8. */
static bool is_json(const char *type)
{
	if (type == NULL) {
		return false;
	}
	size_t size = strcspn(type, "; \t");
	if (size == 16 && strncasecmp(type, "application/json", size) == 0) {
		return true;
	}
	return size > 17 && strncasecmp(type, "application/", 12) == 0 &&
	       strncasecmp(type + size - 5, "+json", 5) == 0;
}

/* Reads the whole body into `text`. 0; -ETIMEDOUT; -ECONNABORTED. */
static int read_body(struct pc_request *request, char *text, size_t size)
{
	struct pc_front *front = atomic_load(&request->server->front);
	const int64_t deadline_ns = pc_clock_now_ns() + BODY_TIMEOUT_MS * PC_NS_PER_MS;
	const char *expect = pc_request_header(request, "Expect");
	size_t n = 0;

	if (expect != NULL && strcasecmp(expect, "100-continue") == 0) {
		mg_write(request->connection, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
	/* mg_read() waits for all of `size`, however slowly it drips: the front ends it. */
	pc_front_request_body_within(front, request->worker->peer.token, BODY_TIMEOUT_MS);
	while (n < size) {
		const int r = mg_read(request->connection, text + n, size - n);
		if (r <= 0) {
			break;
		}
		n += (size_t)r;
		request->body_left -= (uint64_t)r;
	}
	pc_front_request_body_within(front, request->worker->peer.token, 0);
	if (n == size) {
		return 0;
	}
	/* The front looks at its clock twice a second. */
	return pc_clock_now_ns() >= deadline_ns ? -ETIMEDOUT : -ECONNABORTED;
}

static bool too_deep(const char *text, size_t size)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < size; i++) {
		const char c = text[i];
		if (quoted) {
			if (c == '\\') {
				i++;
			} else if (c == '"') {
				quoted = false;
			}
		} else if (c == '"') {
			quoted = true;
		} else if ((c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX) {
			return true;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

static int parse_body(
	struct pc_request *request, const char *text, size_t size, json_t **ret_object)
{
	json_error_t error;

	if (too_deep(text, size)) {
		pc_reply_problem(request, 400, NULL, "The JSON is nested more than %d deep.",
			JSON_DEPTH_MAX);
		return -EINVAL;
	}
	json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (value == NULL) {
		if (json_error_code(&error) == json_error_out_of_memory) {
			pc_reply_problem(request, 503, "Retry-After: 5\r\n", "Out of memory.");
			return -ENOMEM;
		}
		pc_reply_problem(request, 400, NULL, "The body is not JSON: line %d, column %d: %s",
			error.line, error.column, error.text);
		return -EINVAL;
	}
	if (!json_is_object(value)) {
		json_decref(value);
		pc_reply_problem(request, 400, NULL, "The body must be a JSON object.");
		return -EINVAL;
	}
	*ret_object = value;
	return 0;
}

int pc_request_json(struct pc_request *request, json_t **ret_object)
{
	const uint64_t size = request->body_left;

	if (size > request->route->body_max) {
		pc_reply_problem(request, 413, NULL, "The body is over its limit of %u bytes.",
			request->route->body_max);
		return -EFBIG;
	}
	if (size == 0) {
		pc_reply_problem(request, 400, NULL, "A JSON object is expected as the body.");
		return -EINVAL;
	}
	if (!is_json(pc_request_header(request, "Content-Type"))) {
		pc_reply_problem(request, 415, "Accept: application/json\r\n",
			"The body must be of type application/json.");
		return -EINVAL;
	}
	char *text = malloc((size_t)size);
	if (text == NULL) {
		pc_reply_problem(request, 503, "Retry-After: 5\r\n", "Out of memory.");
		return -ENOMEM;
	}
	int r = read_body(request, text, (size_t)size);
	if (r == -ETIMEDOUT) {
		pc_reply_problem(request, 408, NULL, "The body did not arrive within %d seconds.",
			BODY_TIMEOUT_S);
	} else if (r < 0) {
		pc_reply_problem(request, 400, NULL, "The body ended early.");
	} else {
		r = parse_body(request, text, (size_t)size, ret_object);
	}
	free(text);
	return r;
}

static bool worker_aborted(const struct pc_http_worker *worker)
{
	struct pc_http_server *server = worker->server;

	return atomic_load_explicit(&server->stopping, memory_order_relaxed) ||
	       pc_front_peer_gone(atomic_load(&server->front), worker->peer.token);
}

bool pc_request_aborted(void *data)
{
	const struct pc_request *request = data;

	return worker_aborted(request->worker);
}

bool pc_http_connection_aborted(void *connection)
{
	const struct pc_http_worker *worker = mg_get_thread_pointer(connection);

	return worker == NULL || worker_aborted(worker);
}
