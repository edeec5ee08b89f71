/* tests/unit/http/api_auth.c - first run, logins, and who a request comes from. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/log.h"
#include "http/auth_worker.h"
#include "http/password.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/http/api_fake.h"

#define SETUP(code, name, password)                                                                \
	"{\"setup_code\":\"" code "\",\"username\":\"" name "\",\"password\":\"" password "\","    \
	"\"consent\":{\"video\":true,\"audio\":false},\"retention_days\":30}"

static int call_setup(const char *code)
{
	char body[512];
	snprintf(body, sizeof(body), SETUP("%s", "ann", "correct horse"), code);
	return fake_call("POST", "/setup", body);
}

static void test_setup(void)
{
	fake_start();
	test_int(fake_call("GET", "/setup", NULL), 200);
	test_assert(json_is_true(json_object_get(fake_reply.json, "setup_needed")));
	const char *code = pc_auth_setup_code(fake_server.auth);
	test_assert(code != NULL);
	test_int(fake_call("POST", "/session", "{\"username\":\"a\",\"password\":\"b\"}"), 409);
	test_int(call_setup("WRONG-WRONG"), 403);
	test_assert(!fake.has_user);
	test_int(call_setup(code), 201);
	test_str(json_string_value(json_object_get(fake_reply.json, "username")), "ann");
	test_assert(fake.consent.video && !fake.consent.audio);
	test_int(fake.retention_days, 30);
	test_assert(strncmp(fake.user.password_hash, "scrypt$15$8$1$", 14) == 0);
	test_assert(strstr(fake.user.password_hash, "horse") == NULL);
	test_assert(pc_auth_setup_code(fake_server.auth) == NULL);
	test_int(call_setup("WRONG-WRONG"), 409);
	test_int(fake_call("POST", "/setup", "nonsense"), 409);
	test_int(fake_call("GET", "/setup", NULL), 200);
	test_assert(json_is_false(json_object_get(fake_reply.json, "setup_needed")));
	/* The hash is the password's. */
	test_int(fake_call("POST", "/session",
			 "{\"username\":\"ann\",\"password\":\"correct horse\"}"),
		200);
	fake_stop();
}

static void test_setup_input(void)
{
	static const struct {
		const char *body;
		const char *names; /* what the problem must name */
	} bad[] = {
		{ NULL, "body" },
		{ "[]", "body" },
		{ "{}", "setup_code" },
		{ SETUP("", "ann", "correct horse"), "setup_code" },
		{ SETUP("x", "", "correct horse"), "username" },
		{ SETUP("x", " ann", "correct horse"), "username" },
		{ SETUP("x", "an\\u0007n", "correct horse"), "username" },
		{ SETUP("x", "ann", "short"), "password" },
		{ SETUP("x", "annannann", "AnnAnnAnn"), "password" },
		/* Eight bytes, but four characters. */
		{ SETUP("x", "ann", "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"), "password" },
		{ "{\"setup_code\":7}", "setup_code" },
		{ "{\"setup_code\":\"x\",\"username\":\"ann\",\"password\":\"correct horse\"}",
			"consent" },
		{ "{\"setup_code\":\"x\",\"username\":\"ann\",\"password\":\"correct horse\","
		  "\"consent\":{\"video\":1,\"audio\":false},\"retention_days\":1}",
			"consent.video" },
		{ "{\"setup_code\":\"x\",\"username\":\"ann\",\"password\":\"correct horse\","
		  "\"consent\":{\"video\":true},\"retention_days\":1}",
			"consent.audio" },
		{ "{\"setup_code\":\"x\",\"username\":\"ann\",\"password\":\"correct horse\","
		  "\"consent\":{\"video\":true,\"audio\":true,\"smell\":true},\"retention_days\":1}",
			"smell" },
		{ "{\"setup_code\":\"x\",\"username\":\"ann\",\"password\":\"correct horse\","
		  "\"consent\":{\"video\":true,\"audio\":true},\"retention_days\":-1}",
			"retention_days" },
		{ "{\"setup_code\":\"x\",\"username\":\"ann\",\"password\":\"correct horse\","
		  "\"consent\":{\"video\":true,\"audio\":true},\"retention_days\":1.5}",
			"retention_days" },
		{ "{\"setup_code\":\"x\",\"user_name\":\"ann\"}", "user_name" },
	};
	fake_start();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_int(fake_call("POST", "/setup", bad[i].body), 400);
		if (strstr(fake_detail(), bad[i].names) == NULL) {
			test_fail("%s: %s", bad[i].body, fake_detail());
		}
	}
	test_assert(!fake.has_user);
	/* None of these was a guess at the code. */
	for (int i = 0; i < 9; i++) {
		test_int(call_setup("WRONG-WRONG"), 403);
	}
	test_int(call_setup("WRONG-WRONG"), 429);
	test_assert(strstr(fake_reply.headers, "Retry-After: 60\r\n") != NULL);
	test_int(call_setup(pc_auth_setup_code(fake_server.auth)), 429);
	test_assert(!fake.has_user);
	fake_stop();
}

static void test_storage_fails(void)
{
	static const int errors[] = { -EIO, -EAGAIN, -ENOSPC, -ENOMEM, -EROFS };
	fake_start();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake.fail = errors[i];
		test_int(call_setup(pc_auth_setup_code(fake_server.auth)), 503);
		test_assert(strstr(fake_reply.headers, "Retry-After:") != NULL);
		test_assert(pc_auth_setup_code(fake_server.auth) != NULL);
	}
	fake.fail = 0;
	fake_login();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake.fail = errors[i];
		test_int(fake_call("POST", "/session",
				 "{\"username\":\"ann\",\"password\":\"correct horse\"}"),
			503);
	}
	/* That was nobody's fault: no delay follows. */
	fake.fail = 0;
	test_int(fake_call("POST", "/session",
			 "{\"username\":\"ann\",\"password\":\"correct horse\"}"),
		200);
	fake_stop();
}

static void test_login(void)
{
	fake_start();
	fake_login();
	test_str(json_string_value(json_object_get(fake_reply.json, "token_type")), "Bearer");
	test_int(json_integer_value(json_object_get(fake_reply.json, "expires_in")), 3600);
	test_int(json_object_size(fake_reply.json), 4);
	test_assert(strstr(fake_reply.headers, "Set-Cookie: __Host-petcam=") != NULL);
	test_assert(
		strstr(fake_reply.headers,
			"; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure\r\n") != NULL);
	test_assert(strstr(fake_reply.headers, fake_access_token) != NULL);
	test_int(fake_call("GET", "/version", NULL), 200);
	test_int(fake_call("GET", "/events", NULL), 200);

	static const char *const bad[] = { "{}", "{\"username\":\"ann\"}",
		"{\"username\":\"ann\",\"password\":7}", "{\"username\":\"\",\"password\":\"x\"}",
		"{\"username\":\"ann\",\"password\":\"x\",\"otp\":\"1\"}", "[]", NULL };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_int(fake_call("POST", "/session", bad[i]), 400);
	}
	/* Logging out ends the access token, the media token and the cookie. */
	test_int(fake_call("DELETE", "/session", NULL), 204);
	test_assert(strstr(fake_reply.headers, "Set-Cookie: __Host-petcam=; Path=/; Max-Age=0;") !=
		    NULL);
	test_int(fake_call("GET", "/events", NULL), 401);
	test_int(fake_call("DELETE", "/session", NULL), 401);
	fake_header("Authorization", NULL);
	char target[PC_JWT_SIZE + 64];
	snprintf(target, sizeof(target), "/live?token=%s", fake_media_token);
	test_int(fake_call("GET", target, NULL), 401);
	fake_stop();
}

static void test_guessing(void)
{
	fake_start();
	fake_login();
	pc_log_set_level(PC_LOG_ERROR);
	/* Wrong passwords and unknown users look the same, and count the same. */
	static const char *const wrong[] = { "{\"username\":\"ann\",\"password\":\"x\"}",
		"{\"username\":\"bob\",\"password\":\"x\"}",
		"{\"username\":\"ann\",\"password\":\"correct hors\"}",
		"{\"username\":\"Ann\",\"password\":\"correct horse\"}",
		("{\"username\":\"a name that is longer than any name that petcam would ever "
		 "have taken\",\"password\":\"x\"}"),
		"{\"username\":\"bob\",\"password\":\"y\"}" };
	char first[512] = "";
	for (int i = 0; i < 6; i++) {
		test_int(fake_call("POST", "/session", wrong[i]), 401);
		if (i == 0) {
			snprintf(first, sizeof(first), "%s", fake_detail());
		}
		test_str(fake_detail(), first);
	}
	test_int(fake_call("POST", "/session", wrong[0]), 429);
	test_assert(strstr(fake_reply.headers, "Retry-After: 1\r\n") != NULL);
	/* The right one waits as well. */
	test_int(fake_call("POST", "/session",
			 "{\"username\":\"ann\",\"password\":\"correct horse\"}"),
		429);
	pc_log_set_level(PC_LOG_INFO);
	fake_stop();
}

static void test_ways_in(void)
{
	static const char media[] = "/cameras/cam0/snapshot.jpg";
	char text[2 * PC_JWT_SIZE + 128];
	fake_start();
	test_int(fake_call("GET", media, NULL), 401);
	fake_login();
	test_int(fake_call("GET", media, NULL), 299);

	/* The header decides alone: a wrong one is not mended by a cookie. */
	char cookie[PC_JWT_SIZE + 64];
	snprintf(cookie, sizeof(cookie), "a=b; __Host-petcam=%s; c=d", fake_access_token);
	fake_header("Cookie", cookie);
	static const char *const wrong[] = { "Bearer", "Bearer ", "Bearer x",
		"Basic YW5uOng=", "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30." };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		fake_header("Authorization", wrong[i]);
		test_int(fake_call("GET", media, NULL), 401);
	}
	snprintf(text, sizeof(text), "Bearer %s", fake_media_token);
	fake_header("Authorization", text);
	test_int(fake_call("GET", media, NULL), 401); /* a media token is no login */
	snprintf(text, sizeof(text), "bearer %s", fake_access_token);
	fake_header("Authorization", text);
	test_int(fake_call("GET", media, NULL), 299);
	fake_header("Authorization", NULL);

	/* The cookie, between others. */
	test_int(fake_call("GET", "/events", NULL), 200);
	static const struct {
		const char *before, *after;
		int status;
	} cookies[] = {
		{ "__Host-petcam=", "", 200 },
		{ ";; __Host-petcam=", " ;", 200 },
		{ "x=__Host-petcam=1;__Host-petcam=", "", 200 },
		{ "__Host-petcamx=1; __Host-petcam=", "; y", 200 },
		{ "petcam=", "", 401 },
		{ "__Host-petcam=", "; __Host-petcam=x", 401 },
		{ "__Host-petcam=\"", "\"", 401 },
		{ "__Host-petcam=", "x", 401 },
		{ "", "", 401 },
		{ "x__Host-petcam=", "", 401 },
	};
	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
		snprintf(cookie, sizeof(cookie), "%s%s%s", cookies[i].before, fake_access_token,
			cookies[i].after);
		fake_header("Cookie", cookie);
		test_int(fake_call("GET", "/events", NULL), cookies[i].status);
	}
	fake_header("Cookie", NULL);

	/* The media token, in the query or the path; never for the rest of the API. */
	snprintf(text, sizeof(text), "%s?x=1&token=%s", media, fake_media_token);
	test_int(fake_call("GET", text, NULL), 299);
	snprintf(text, sizeof(text), "/cameras/cam0/hls/~%s/seg-1.m4s", fake_media_token);
	test_int(fake_call("GET", text, NULL), 299);
	snprintf(text, sizeof(text), "/cameras/cam0/hls/~%sx/seg-1.m4s", fake_media_token);
	test_int(fake_call("GET", text, NULL), 401);
	snprintf(text, sizeof(text), "/cameras/cam0/hls/%s/seg-1.m4s", fake_media_token);
	test_int(fake_call("GET", text, NULL), 404);
	snprintf(text, sizeof(text), "%s?token=%s", media, fake_access_token);
	test_int(fake_call("GET", text, NULL), 401);
	snprintf(text, sizeof(text), "/events?token=%s", fake_media_token);
	test_int(fake_call("GET", text, NULL), 401);
	test_int(fake_call("GET", "/cameras/cam0/snapshot.jpg?token=", NULL), 401);
	fake_stop();
}

static void test_plain_cookie(void)
{
	fake_start();
	fake_stop();
	fake_start();
	fake_settings.http.plain_loopback = true;
	pc_auth_destroy(fake_server.auth);
	test_int(
		pc_auth_create(fake_server.config.storage, &fake_settings, NULL, &fake_server.auth),
		0);
	fake_login();
	test_assert(strstr(fake_reply.headers, "Set-Cookie: petcam=") != NULL);
	test_assert(strstr(fake_reply.headers, "Secure") == NULL);
	fake_stop();
}

static void test_media_token(void)
{
	fake_start();
	fake_login();
	struct pc_identity who = { .authenticated = true, .user_id = 7, .role = PC_ROLE_VIEWER };
	char token[PC_JWT_SIZE];
	test_int(pc_auth_media_token(fake_server.auth, &who, token, sizeof(token)), -EINVAL);
	snprintf(who.session_id, sizeof(who.session_id), "%.22s", fake.sessions[0]);
	int length = pc_auth_media_token(fake_server.auth, &who, token, sizeof(token));
	test_int(length, strlen(token));
	test_int(pc_auth_media_token(fake_server.auth, &who, token, (size_t)length), -ENOBUFS);
	who.by_media_token = true; /* it cannot prolong itself */
	test_int(pc_auth_media_token(fake_server.auth, &who, token, sizeof(token)), -EPERM);
	char target[PC_JWT_SIZE + 64];
	snprintf(target, sizeof(target), "/live?token=%s", token);
	fake_header("Authorization", NULL);
	test_int(fake_call("GET", target, NULL), 299);
	fake_stop();
}

/* Safe mode: no storage, nobody is anybody. */
static void test_without_storage(void)
{
	struct pc_auth *auth;
	fake_start();
	test_int(pc_auth_create(NULL, &fake_settings, NULL, &auth), 0);
	test_assert(pc_auth_setup_code(auth) == NULL);
	test_assert(!pc_auth_session_valid(auth, "AAECAwQFBgcICQoLDA0ODw"));
	test_assert(pc_auth_event_hub(auth) == NULL);
	pc_auth_destroy(auth);
	fake_server.config.storage = NULL;
	fake_server.config.safe_mode_text = "storage.root: no such folder";
	static const char *const targets[] = { "/setup", "/session" };
	for (size_t i = 0; i < 2; i++) {
		test_int(fake_call("POST", targets[i], "{}"), 503);
		test_assert(strstr(fake_detail(), "storage.root") != NULL);
	}
	fake_server.config.safe_mode_text = NULL;
	fake_stop();
}

static void test_no_memory(void)
{
	fake_start();
	bool done = false;
	for (unsigned n = 1; !done; n++) {
		struct pc_auth *auth = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_auth_create((struct pc_storage *)&fake, &fake_settings, NULL, &auth);
		done = !fault_disarm();
		test_int(r, done ? 0 : -ENOMEM);
		test_assert((auth != NULL) == done);
		pc_auth_destroy(auth);
	}
	pc_auth_destroy(NULL);
	fake_stop();
}

static struct pc_auth_worker *worker;
static atomic_int refused;
static atomic_int verified;

static void *guess(void *data)
{
	int r = pc_auth_worker_verify(worker, "x", 1, pc_password_dummy());
	test_assert(r == -EACCES || r == -EAGAIN);
	atomic_fetch_add(r == -EACCES ? &verified : &refused, 1);
	return NULL;
}

/* Many at once: as many as the queue has room for are answered, the others at once refused. */
static void test_worker(void)
{
	enum { N = 14 };
	pthread_t threads[N];
	test_int(pc_auth_worker_create(&worker), 0);
	for (int i = 0; i < N; i++) {
		test_int(pthread_create(&threads[i], NULL, guess, NULL), 0);
	}
	for (int i = 0; i < N; i++) {
		pthread_join(threads[i], NULL);
	}
	test_int(verified + refused, N);
	test_assert(verified >= PC_AUTH_QUEUE_MAX);
	char hash[PC_PASSWORD_HASH_MAX];
	test_int(pc_auth_worker_hash(worker, "secret", 6, hash), 0);
	test_int(pc_auth_worker_verify(worker, "secret", 6, hash), 0);
	test_int(pc_auth_worker_verify(worker, "secret", 6, "nonsense"), -EINVAL);
	pc_auth_worker_destroy(worker);
	pc_auth_worker_destroy(NULL);
}

int main(void)
{
	TEST_RUN(test_setup);
	TEST_RUN(test_setup_input);
	TEST_RUN(test_storage_fails);
	TEST_RUN(test_login);
	TEST_RUN(test_guessing);
	TEST_RUN(test_ways_in);
	TEST_RUN(test_plain_cookie);
	TEST_RUN(test_media_token);
	TEST_RUN(test_without_storage);
	TEST_RUN(test_no_memory);
	TEST_RUN(test_worker);
	return test_end();
}
