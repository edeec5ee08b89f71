/* http/api_setup.c - the first run: the owner, the consent, the retention. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/api_internal.h"

#define RETENTION_DAYS_MAX 3650

int pc_api_setup_state(struct pc_request *request)
{
	struct pc_storage *storage;
	if (!pc_api_storage(request, &storage)) {
		return request->status;
	}
	bool needed = !pc_auth_has_owner(pc_http_auth(request->server));
	return pc_api_reply(request, 200, json_pack("{s:b}", "setup_needed", needed));
}

static bool read_username(struct pc_request *request, const json_t *body, const char **ret_name)
{
	const char *name;
	if (!pc_api_field_text(request, json_object_get(body, "username"), "username", 1,
		    PC_USERNAME_MAX - 1, &name)) {
		return false;
	}
	size_t length = strlen(name);
	bool good = length < PC_USERNAME_MAX && name[0] != ' ' && name[length - 1] != ' ';
	for (size_t i = 0; i < length && good; i++) {
		good = (unsigned char)name[i] >= 0x20 && name[i] != 0x7f;
	}
	if (!good) {
		pc_reply_problem(request, 400, NULL,
			"username must have at most %d bytes, no control characters and no blank "
			"at either end.",
			PC_USERNAME_MAX - 1);
		return false;
	}
	*ret_name = name;
	return true;
}

static bool read_setup(struct pc_request *request, json_t *body, struct pc_auth_setup *setup)
{
	static const char *const fields[] = { "setup_code", "username", "password", "consent",
		"retention_days", NULL };
	static const char *const consents[] = { "video", "audio", NULL };
	json_t *consent = json_object_get(body, "consent");
	int64_t days = 0;
	if (!pc_api_fields_known(request, body, fields) ||
		!pc_api_field_text(request, json_object_get(body, "setup_code"), "setup_code", 1,
			64, &setup->code) ||
		!read_username(request, body, &setup->username) ||
		!pc_api_field_text(request, json_object_get(body, "password"), "password", 8, 128,
			&setup->password)) {
		return false;
	}
	if (strcasecmp(setup->password, setup->username) == 0) {
		pc_reply_problem(request, 400, NULL, "password must not be the username.");
		return false;
	}
	if (!json_is_object(consent)) {
		pc_reply_problem(
			request, 400, NULL, "consent must be an object with video and audio.");
		return false;
	}
	if (!pc_api_fields_known(request, consent, consents) ||
		!pc_api_field_boolean(request, json_object_get(consent, "video"), "consent.video",
			&setup->consent_video) ||
		!pc_api_field_boolean(request, json_object_get(consent, "audio"), "consent.audio",
			&setup->consent_audio) ||
		!pc_api_field_integer(request, json_object_get(body, "retention_days"),
			"retention_days", 0, RETENTION_DAYS_MAX, &days)) {
		return false;
	}
	setup->retention_days = (unsigned)days;
	return true;
}

static int reply_failed(struct pc_request *request, int err, int64_t wait_ns)
{
	switch (err) {
	case -EEXIST:
		return pc_reply_problem(request, 409, NULL, "petcam is set up already: log in.");
	case -EACCES:
		return pc_reply_problem(request, 403, NULL,
			"The setup code is wrong: it stands in petcam's log, from its start.");
	case -EAGAIN:
		return pc_api_wait(request, 429, wait_ns,
			"Too many wrong setup codes: a new one stands in petcam's log, wait "
			"before you try it.");
	default:
		return pc_api_failed(request, err, "");
	}
}

int pc_api_setup(struct pc_request *request)
{
	struct pc_auth *auth = pc_http_auth(request->server);
	struct pc_storage *storage;
	if (!pc_api_storage(request, &storage)) {
		return request->status;
	}
	if (pc_auth_has_owner(auth)) {
		return reply_failed(request, -EEXIST, 0);
	}
	json_t *body;
	if (pc_request_json(request, &body) != 0) {
		return request->status;
	}
	struct pc_auth_setup setup = { 0 };
	if (read_setup(request, body, &setup)) {
		int64_t user_id = 0;
		int64_t wait_ns = 0;
		int r = pc_auth_setup(auth, &setup, &user_id, &wait_ns);
		if (r < 0) {
			reply_failed(request, r, wait_ns);
		} else {
			pc_api_reply(request, 201,
				json_pack("{s:I, s:s, s:s}", "user_id", (json_int_t)user_id,
					"username", setup.username, "role", "owner"));
		}
	}
	json_decref(body);
	return request->status;
}
