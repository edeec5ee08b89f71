/* http/router.c - strict matching of method and path against a table of routes.
 *
 * Nothing is decoded, cleaned or guessed: a path has one spelling, or it is not found.
 * Literals win over parameters, whatever the order of the table.
 */
#include <errno.h>
#include <string.h>

#include "http/http_internal.h"

#define SEGMENTS_MAX 15 /* two bits each in a score */

struct segment {
	const char *start;
	size_t size;
};

static bool segment_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '~' || c == '=' || c == '-';
}

bool pc_router_path_ok(const char *path)
{
	if (path == NULL || path[0] != '/') {
		return false;
	}
	size_t start = 1;
	for (size_t i = 1; i <= PC_PATH_MAX; i++) {
		if (segment_char(path[i])) {
			continue;
		}
		if (path[i] != '/' && path[i] != '\0') {
			return false;
		}
		const size_t size = i - start;
		if (size == 0 && (path[i] == '/' || i != 1)) {
			return false; /* "//", or a slash at the end of more than "/" */
		}
		if ((size == 1 && path[start] == '.') ||
			(size == 2 && path[start] == '.' && path[start + 1] == '.')) {
			return false;
		}
		if (path[i] == '\0') {
			return true;
		}
		start = i + 1;
	}
	return false;
}

/* Takes the next segment off *path; false at the end. */
static bool next_segment(const char **path, struct segment *ret)
{
	if (**path != '/') {
		return false;
	}
	ret->start = *path + 1;
	ret->size = strcspn(ret->start, "/");
	*path = ret->start + ret->size;
	return true;
}

/* 3: literal, 2: a parameter with a prefix or suffix, 1: a parameter alone, 0: no fit. */
static unsigned segment_match(
	const struct segment *pattern, const struct segment *given, struct segment *ret_param)
{
	const char *open = memchr(pattern->start, '{', pattern->size);
	if (open == NULL) {
		const bool same = pattern->size == given->size &&
				  memcmp(pattern->start, given->start, given->size) == 0;
		return same ? 3 : 0;
	}
	const size_t prefix = (size_t)(open - pattern->start);
	const char *close = memchr(open, '}', pattern->size - prefix);
	if (close == NULL) {
		return 0;
	}
	const size_t suffix = (size_t)(pattern->start + pattern->size - close - 1);
	if (given->size <= prefix + suffix ||
		given->size - prefix - suffix >= PC_ROUTE_PARAM_SIZE ||
		memcmp(given->start, pattern->start, prefix) != 0 ||
		memcmp(given->start + given->size - suffix, close + 1, suffix) != 0) {
		return 0;
	}
	ret_param->start = given->start + prefix;
	ret_param->size = given->size - prefix - suffix;
	return prefix + suffix > 0 ? 2 : 1;
}

/* How well the path fits the pattern; 0: not at all. */
static unsigned path_match(const char *pattern, const char *path,
	struct segment params[static PC_ROUTE_PARAMS_MAX], unsigned *ret_n)
{
	unsigned score = 0, n = 0, segments = 0;
	struct segment want, have, param;
	for (;;) {
		const bool more = next_segment(&pattern, &want);
		if (next_segment(&path, &have) != more) {
			return 0;
		}
		if (!more) {
			break;
		}
		const unsigned fit = segment_match(&want, &have, &param);
		if (fit == 0 || ++segments > SEGMENTS_MAX) {
			return 0;
		}
		score = score << 2 | fit;
		if (fit == 3) {
			continue;
		}
		if (n == PC_ROUTE_PARAMS_MAX) {
			return 0;
		}
		params[n++] = param;
	}
	*ret_n = n;
	return score;
}

static int method_parse(const char *method, enum pc_method *ret_method, bool *ret_head)
{
	static const char *const names[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

	*ret_head = strcmp(method, "HEAD") == 0;
	if (*ret_head) {
		*ret_method = PC_GET;
		return 0;
	}
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(method, names[i]) == 0) {
			*ret_method = (enum pc_method)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void allow_text(unsigned methods, char *allow, size_t size)
{
	static const char *const names[] = { "GET, HEAD", "POST", "PUT", "PATCH", "DELETE" };

	size_t used = 0;
	if (size > 0) {
		allow[0] = '\0';
	}
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const size_t name = strlen(names[i]);
		const size_t comma = used > 0 ? 2 : 0;
		if (!(methods & 1u << i) || used + comma + name >= size) {
			continue;
		}
		memcpy(allow + used, ", ", comma);
		memcpy(allow + used + comma, names[i], name + 1);
		used += comma + name;
	}
}

int pc_router_match(const struct pc_route *routes, const char *method, const char *path,
	struct pc_request *request, const struct pc_route **ret_route, char *allow,
	size_t allow_size)
{
	struct segment params[PC_ROUTE_PARAMS_MAX], best_params[PC_ROUTE_PARAMS_MAX];
	enum pc_method wanted = PC_GET;
	unsigned best_score = 0, best_n = 0, methods = 0, n = 0;
	const struct pc_route *best = NULL;
	bool head = false;

	if (!pc_router_path_ok(path)) {
		return -ENOENT;
	}
	const bool known = method_parse(method, &wanted, &head) == 0;
	for (const struct pc_route *route = routes; route->path != NULL; route++) {
		const unsigned score = path_match(route->path, path, params, &n);
		if (score == 0) {
			continue;
		}
		methods |= 1u << route->method;
		if (known && route->method == wanted && score > best_score) {
			best = route;
			best_score = score;
			best_n = n;
			memcpy(best_params, params, n * sizeof(params[0]));
		}
	}
	if (best == NULL) {
		if (methods == 0) {
			return -ENOENT;
		}
		allow_text(methods, allow, allow_size);
		return -ENOTSUP;
	}

	request->method = wanted;
	request->head = head;
	request->n_params = best_n;
	for (unsigned i = 0; i < best_n; i++) {
		memcpy(request->params[i], best_params[i].start, best_params[i].size);
		request->params[i][best_params[i].size] = '\0';
	}
	*ret_route = best;
	return 0;
}
