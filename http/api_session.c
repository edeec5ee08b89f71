/* http/api_session.c - logging in and out. */
#include <errno.h>
#include <stdio.h>

#include "core/clock.h"
#include "http/api_internal.h"

/* Longer ones than setup takes are wrong, but well-formed. */
#define CREDENTIAL_MAX 512

static int reply_failed(struct pc_request *request, int err, int64_t wait_ns)
{
	switch (err) {
	case -ENODEV:
		return pc_reply_problem(
			request, 409, NULL, "petcam has no owner yet: set it up first.");
	case -EACCES:
		return pc_reply_problem(request, 401, "WWW-Authenticate: Bearer\r\n",
			"The name or the password is wrong.");
	case -EAGAIN:
		return pc_api_wait(
			request, 429, wait_ns, "Too many wrong logins: wait before the next one.");
	case -EBUSY:
		return pc_api_wait(
			request, 503, 2 * PC_NS_PER_S, "Too many logins at once: try again.");
	default:
		return pc_api_failed(request, err, "");
	}
}

static int reply_login(struct pc_request *request, const struct pc_auth_login *login)
{
	char headers[PC_AUTH_COOKIE_SIZE + 32];
	char cookie[PC_AUTH_COOKIE_SIZE];
	pc_auth_cookie(pc_http_auth(request->server), login->access_token, cookie);
	snprintf(headers, sizeof(headers), "%sCache-Control: no-store\r\n", cookie);
	json_t *body = json_pack("{s:s, s:s, s:I, s:s}", "access_token", login->access_token,
		"token_type", "Bearer", "expires_in", (json_int_t)login->expires_in_s,
		"media_token", login->media_token);
	if (body == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	return pc_reply_json(request, 200, body, headers);
}

int pc_api_session_create(struct pc_request *request)
{
	static const char *const fields[] = { "username", "password", NULL };
	struct pc_storage *storage;
	json_t *body;
	if (!pc_api_storage(request, &storage) || pc_request_json(request, &body) != 0) {
		return request->status;
	}
	const char *username;
	const char *password;
	if (pc_api_fields_known(request, body, fields) &&
		pc_api_field_text(request, json_object_get(body, "username"), "username", 1,
			CREDENTIAL_MAX, &username) &&
		pc_api_field_text(request, json_object_get(body, "password"), "password", 1,
			CREDENTIAL_MAX, &password)) {
		struct pc_auth_login login;
		int64_t wait_ns = 0;
		int r = pc_auth_login(pc_http_auth(request->server), username, password,
			request->peer, &login, &wait_ns);
		if (r < 0) {
			reply_failed(request, r, wait_ns);
		} else {
			reply_login(request, &login);
		}
	}
	json_decref(body);
	return request->status;
}

int pc_api_session_end(struct pc_request *request)
{
	struct pc_auth *auth = pc_http_auth(request->server);
	int r = pc_auth_logout(auth, request->who.session_id);
	if (r < 0 && r != -ENOENT) {
		return pc_api_failed(request, r, "session");
	}
	char cookie[PC_AUTH_COOKIE_SIZE];
	pc_auth_cookie(auth, NULL, cookie);
	return pc_reply_empty(request, 204, cookie);
}
