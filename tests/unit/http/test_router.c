/* tests/unit/http/test_router.c - the router against its table, and against bad paths. */
#include <errno.h>

#include "http/http_internal.h"
#include "tests/support/test.h"

static int nothing(struct pc_request *request)
{
	(void)request;
	return 0;
}

enum {
	ROOT,
	EVENTS,
	EVENT_PARAM,
	EVENT_STREAM,
	EVENT_PATCH,
	CLIP,
	EVENTS_POST,
	SEGMENT,
	HLS_FILE,
	HLS_TOKEN,
	FOUR,
};

static const struct pc_route routes[] = {
	[ROOT] = { PC_GET, "/", PC_OPEN, nothing, false, 0 },
	[EVENTS] = { PC_GET, "/events", PC_VIEWER, nothing, false, 0 },
	[EVENT_PARAM] = { PC_GET, "/events/{id}", PC_VIEWER, nothing, false, 0 },
	[EVENT_STREAM] = { PC_GET, "/events/stream", PC_VIEWER, nothing, false, 0 },
	[EVENT_PATCH] = { PC_PATCH, "/events/{id}", PC_OWNER, nothing, false, 99 },
	[CLIP] = { PC_GET, "/events/{id}/clip.mp4", PC_MEDIA, nothing, false, 0 },
	[EVENTS_POST] = { PC_POST, "/events", PC_OWNER, nothing, false, 0 },
	[SEGMENT] = { PC_GET, "/c/{id}/seg-{msn}.m4s", PC_MEDIA, nothing, false, 0 },
	[HLS_FILE] = { PC_GET, "/c/{id}/{file}", PC_MEDIA, nothing, false, 0 },
	[HLS_TOKEN] = { PC_GET, "/c/{id}/~{token}/{file}", PC_MEDIA, nothing, false, 0 },
	[FOUR] = { PC_GET, "/{a}/{b}/{c}/{d}/x", PC_MEDIA, nothing, false, 0 },
	{ 0 },
};

static struct pc_request request;
static char allow[64];

static int match(const char *method, const char *path)
{
	const struct pc_route *route = NULL;

	memset(&request, 0, sizeof(request));
	memset(allow, 0, sizeof(allow));
	const int r = pc_router_match(routes, method, path, &request, &route, allow, sizeof(allow));
	if (r < 0) {
		test_assert(route == NULL);
		test_int(request.n_params, 0);
		return r;
	}
	return (int)(route - routes);
}

static void test_matches(void)
{
	test_int(match("GET", "/"), ROOT);
	test_int(match("GET", "/events"), EVENTS);
	test_int(match("POST", "/events"), EVENTS_POST);
	test_int(request.method, PC_POST);
	test_int(match("GET", "/events/17"), EVENT_PARAM);
	test_int(request.n_params, 1);
	test_str(request.params[0], "17");
	test_int(match("PATCH", "/events/17"), EVENT_PATCH);
	test_int(match("GET", "/events/17/clip.mp4"), CLIP);
	test_int(match("GET", "/c/front/~eyJh.b-_=.c/init-1.mp4"), HLS_TOKEN);
	test_str(request.params[0], "front");
	test_str(request.params[1], "eyJh.b-_=.c");
	test_str(request.params[2], "init-1.mp4");
	test_int(match("GET", "/1/2/3/4/x"), FOUR);
	test_str(request.params[3], "4");
}

static void test_literals_win(void)
{
	test_int(match("GET", "/events/stream"), EVENT_STREAM);
	test_int(request.n_params, 0);
	test_int(match("PATCH", "/events/stream"), EVENT_PATCH);
	test_int(match("GET", "/c/front/seg-12.m4s"), SEGMENT);
	test_str(request.params[1], "12");
	test_int(match("GET", "/c/front/seg-.m4s"), HLS_FILE); /* a parameter is not empty */
	test_str(request.params[1], "seg-.m4s");
	test_int(match("GET", "/c/front/part-1.2.m4s"), HLS_FILE);
}

static void test_head(void)
{
	test_int(match("HEAD", "/events"), EVENTS);
	test_assert(request.head);
	test_int(request.method, PC_GET);
	test_int(match("GET", "/events"), EVENTS);
	test_assert(!request.head);
}

static void test_wrong_methods(void)
{
	test_int(match("DELETE", "/events"), -ENOTSUP);
	test_str(allow, "GET, HEAD, POST");
	test_int(match("OPTIONS", "/events/1"), -ENOTSUP);
	test_str(allow, "GET, HEAD, PATCH");
	test_int(match("get", "/events"), -ENOTSUP);
	test_int(match("", "/events"), -ENOTSUP);
	test_int(match("HEAD", "/nothing"), -ENOENT);

	const struct pc_route *route = NULL;
	char small[12] = "";
	test_int(pc_router_match(routes, "PUT", "/events", &request, &route, small, sizeof(small)),
		-ENOTSUP);
	test_str(small, "GET, HEAD"); /* what has room */
	test_int(pc_router_match(routes, "PUT", "/events", &request, &route, small, 0), -ENOTSUP);
}

static void test_hostile_paths(void)
{
	static const char *const paths[] = {
		"",
		"events",
		"//",
		"//events",
		"/events/",
		"/events//",
		"/events//1",
		"/events/1/",
		"/./events",
		"/events/.",
		"/events/..",
		"/../events",
		"/events/../events",
		"/..",
		"/.",
		"/events/%31",
		"/events%2f1",
		"/%65vents",
		"/events/1%00",
		"/events/1\n",
		"/events/1 ",
		"/events/1;x",
		"/events/1?x",
		"/events\\1",
		"/events/a:b",
		"/events/a@b",
		"/events/\x80",
		"/events/\xc3\xa9",
		"/events/a+b",
		"/events/a*",
		"/events/{id}",
		"http://x/events",
		"*",
		"/EVENTS",
		"/events/1/clip.mp4/",
		"/events/1/clip.mp4x",
		"/events/1/xclip.mp4",
		"/eventsx",
		"/event",
	};

	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (match("GET", paths[i]) != -ENOENT) {
			test_fail("\"%s\" was found", paths[i]);
		}
	}
	/* Dots within a name are a name. */
	test_int(match("GET", "/events/..."), EVENT_PARAM);
	test_int(match("GET", "/events/.x"), EVENT_PARAM);
}

static void test_lengths(void)
{
	static char path[PC_PATH_MAX + 64];

	/* The longest parameter, and one more. */
	const int start = snprintf(path, sizeof(path), "/events/");
	memset(path + start, 'a', PC_ROUTE_PARAM_SIZE - 1);
	test_int(match("GET", path), EVENT_PARAM);
	test_int((int)strlen(request.params[0]), PC_ROUTE_PARAM_SIZE - 1);
	path[start + PC_ROUTE_PARAM_SIZE - 1] = 'a';
	test_int(match("GET", path), -ENOENT);

	/* The longest path: it is well-formed, though no route has it. */
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[PC_PATH_MAX] = '\0';
	test_assert(pc_router_path_ok(path));
	path[PC_PATH_MAX] = 'a';
	path[PC_PATH_MAX + 1] = '\0';
	test_assert(!pc_router_path_ok(path));

	/* More segments than a route has. */
	for (unsigned i = 0; i < 512; i++) {
		memcpy(path + (size_t)2 * i, "/a", 3);
	}
	test_int(match("GET", path), -ENOENT);
	test_assert(!pc_router_path_ok(NULL));
}

/* Every string of up to four of these characters: found only if it is well-formed. */
static void test_every_short_path(void)
{
	static const char set[] = "/.a~%";

	for (unsigned code = 0; code < 5 * 5 * 5 * 5 * 5; code++) {
		char path[8] = "/";
		unsigned rest = code;
		for (unsigned i = 1; i < 6; i++, rest /= 5) {
			path[i] = set[rest % 5];
		}
		const bool bad = strchr(path, '%') != NULL || strstr(path, "//") != NULL ||
				 path[5] == '/' || strstr(path, "/./") != NULL ||
				 strstr(path, "/../") != NULL || strcmp(path + 4, "/.") == 0 ||
				 strcmp(path + 3, "/..") == 0;
		if (pc_router_path_ok(path) != !bad) {
			test_fail("\"%s\" is %s", path, bad ? "bad" : "good");
		}
	}
}

int main(void)
{
	TEST_RUN(test_matches);
	TEST_RUN(test_literals_win);
	TEST_RUN(test_head);
	TEST_RUN(test_wrong_methods);
	TEST_RUN(test_hostile_paths);
	TEST_RUN(test_lengths);
	TEST_RUN(test_every_short_path);
	return test_end();
}
