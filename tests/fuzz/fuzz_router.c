/* tests/fuzz/fuzz_router.c - any method and path against the real table of routes.
 *
 * Input: method, line feed, path.
 */
#include <errno.h>

#include "http/http_internal.h"
#include "tests/fuzz/fuzz.h"

static bool path_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("_.~=-", c) != NULL);
}

static void check_param(const char *param)
{
	const size_t size = strlen(param);
	fuzz_assert(size > 0 && size < PC_ROUTE_PARAM_SIZE);
	for (size_t i = 0; i < size; i++) {
		fuzz_assert(path_char(param[i]));
	}
}

static void check_path(const char *path)
{
	fuzz_assert(path[0] == '/' && strlen(path) <= PC_PATH_MAX);
	fuzz_assert(strstr(path, "//") == NULL);
	for (const char *segment = path; segment != NULL; segment = strchr(segment + 1, '/')) {
		const size_t size = strcspn(segment + 1, "/");
		fuzz_assert(size != 1 || segment[1] != '.');
		fuzz_assert(size != 2 || strncmp(segment + 1, "..", 2) != 0);
	}
	for (const char *c = path; *c != '\0'; c++) {
		fuzz_assert(*c == '/' || path_char(*c));
	}
}

/* The route's path with the parameters put in again is the path that was asked for. */
static void check_match(
	const struct pc_route *route, const struct pc_request *request, const char *path)
{
	char built[PC_PATH_MAX + 1];
	size_t used = 0;
	unsigned param = 0;
	for (const char *c = route->path; *c != '\0'; c++) {
		if (*c != '{') {
			fuzz_assert(used + 1 < sizeof(built));
			built[used++] = *c;
			continue;
		}
		fuzz_assert(param < request->n_params);
		const char *value = request->params[param++];
		fuzz_assert(used + strlen(value) < sizeof(built));
		memcpy(built + used, value, strlen(value));
		used += strlen(value);
		c = strchr(c, '}');
	}
	built[used] = '\0';
	fuzz_assert(param == request->n_params && strcmp(built, path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pc_request request;
	struct fuzz_input input = fuzz_begin(data, size);
	char *method = fuzz_text(&input, '\n');
	char *path = fuzz_text(&input, '\0');
	const struct pc_route *route = NULL;
	char allow[64] = "";

	memset(&request, 0xee, sizeof(request)); /* a NUL that is missing would be seen */
	const int r =
		pc_router_match(pc_routes, method, path, &request, &route, allow, sizeof(allow));
	const bool ok = pc_router_path_ok(path);
	if (ok) {
		check_path(path);
	}
	if (r == 0) {
		fuzz_assert(ok && route >= pc_routes && route->path != NULL);
		fuzz_assert(request.n_params <= PC_ROUTE_PARAMS_MAX);
		for (unsigned i = 0; i < request.n_params; i++) {
			check_param(request.params[i]);
		}
		check_match(route, &request, path);
	} else {
		fuzz_assert(r == -ENOENT || (r == -ENOTSUP && ok && allow[0] != '\0'));
		fuzz_assert(route == NULL);
	}
	/* However little room there is for the methods. */
	const size_t room = size % sizeof(allow);
	memset(allow, 'x', sizeof(allow));
	route = NULL;
	fuzz_assert(pc_router_match(pc_routes, method, path, &request, &route, allow, room) == r);
	fuzz_assert(r != -ENOTSUP || room == 0 || memchr(allow, '\0', room) != NULL);
	free(method);
	free(path);
	return 0;
}
