/* http/auth.c - the first run, logins, and who a request comes from.
 *
 * Tokens are signed with <root>/keys/jwt.key; a session's row in storage is what makes them
 * good, so that logging out ends them at once. No token is ever logged.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "http/auth_internal.h"
#include "http/auth_key.h"
#include "http/auth_limit.h"
#include "http/auth_worker.h"
#include "http/event_hub.h"
#include "http/password.h"
#include "http/setup_code.h"

#define PC_LOG_MODULE "auth"
#include "core/log.h"

#define LIMIT_ENTRIES 512

/* One address: a household that forgot its password types it five times. */
static const struct pc_limit_policy address_policy = {
	.free_attempts = 5,
	.first_delay_ns = 1 * PC_NS_PER_S,
	.max_delay_ns = 900 * PC_NS_PER_S,
	.forget_ns = 3600 * PC_NS_PER_S,
};

/* One account, from anywhere: short enough at its longest that nobody locks the owner out. */
static const struct pc_limit_policy account_policy = {
	.free_attempts = 10,
	.first_delay_ns = 1 * PC_NS_PER_S,
	.max_delay_ns = 30 * PC_NS_PER_S,
	.forget_ns = 3600 * PC_NS_PER_S,
};

struct pc_auth {
	struct pc_storage *storage; /* NULL in safe mode */
	uint8_t key[PC_CRYPTO_KEY_SIZE];
	uint8_t sign_key[PC_CRYPTO_KEY_SIZE]; /* derived: a cursor is never a token */
	int64_t access_token_s;
	int64_t media_token_s;
	bool plain; /* no TLS: a cookie that says Secure would be lost */
	struct pc_setup_code code;
	atomic_bool has_owner; /* known to have one; false: look */
	struct pc_auth_worker *worker;
	struct pc_limit *by_address;
	struct pc_limit *by_account;
	struct pc_event_hub *hub;
};

static int load_keys(struct pc_auth *auth, const char *key_folder)
{
	int r = key_folder != NULL ? pc_auth_key_load(key_folder, auth->key)
				   : pc_crypto_random(auth->key, sizeof(auth->key));
	if (r < 0) {
		return r;
	}
	static const char purpose[] = "petcam cursor";
	return pc_crypto_hmac(auth->key, purpose, sizeof(purpose) - 1, auth->sign_key);
}

int pc_auth_create(struct pc_storage *storage, const struct pc_settings *settings,
	const char *key_folder, struct pc_auth **ret_auth)
{
	struct pc_auth *auth = calloc(1, sizeof(*auth));
	if (auth == NULL) {
		return -ENOMEM;
	}
	auth->storage = storage;
	auth->access_token_s = (int64_t)settings->http.access_token_s;
	auth->media_token_s = (int64_t)settings->http.media_token_s;
	auth->plain = settings->http.plain_loopback;
	int r = pc_setup_code_init(&auth->code);
	if (r < 0) {
		goto fail_code;
	}
	r = load_keys(auth, key_folder);
	if (r < 0) {
		goto fail_keys;
	}
	r = pc_limit_create(&address_policy, LIMIT_ENTRIES, &auth->by_address);
	if (r < 0) {
		goto fail_address;
	}
	r = pc_limit_create(&account_policy, LIMIT_ENTRIES, &auth->by_account);
	if (r < 0) {
		goto fail_account;
	}
	r = pc_auth_worker_create(&auth->worker);
	if (r < 0) {
		goto fail_worker;
	}
	if (storage != NULL) {
		r = pc_event_hub_create(storage, &auth->hub);
		if (r < 0) {
			goto fail_hub;
		}
	}
	*ret_auth = auth;
	return 0;

fail_hub:
	pc_auth_worker_destroy(auth->worker);
fail_worker:
	pc_limit_destroy(auth->by_account);
fail_account:
	pc_limit_destroy(auth->by_address);
fail_address:
fail_keys:
	pc_setup_code_finish(&auth->code);
fail_code:
	pc_crypto_forget(auth, sizeof(*auth));
	free(auth);
	return r;
}

void pc_auth_destroy(struct pc_auth *auth)
{
	if (auth == NULL) {
		return;
	}
	pc_event_hub_destroy(auth->hub);
	pc_auth_worker_destroy(auth->worker);
	pc_limit_destroy(auth->by_account);
	pc_limit_destroy(auth->by_address);
	pc_setup_code_finish(&auth->code);
	pc_crypto_forget(auth, sizeof(*auth));
	free(auth);
}

bool pc_auth_has_owner(struct pc_auth *auth)
{
	if (auth->storage == NULL) {
		return false;
	}
	if (!atomic_load(&auth->has_owner) && pc_users_any(auth->storage)) {
		atomic_store(&auth->has_owner, true);
	}
	return atomic_load(&auth->has_owner);
}

/* Good until the thread's next call: a guessed-at code is replaced. */
const char *pc_auth_setup_code(struct pc_auth *auth)
{
	static _Thread_local char text[PC_SETUP_CODE_SIZE];
	if (auth->storage == NULL || pc_auth_has_owner(auth)) {
		return NULL;
	}
	pc_setup_code_get(&auth->code, text);
	return text;
}

int pc_auth_setup(struct pc_auth *auth, const struct pc_auth_setup *setup, int64_t *ret_user_id,
	int64_t *ret_wait_ns)
{
	if (pc_auth_has_owner(auth)) {
		return -EEXIST;
	}
	int r = pc_setup_code_check(&auth->code, setup->code, pc_clock_now_ns(), ret_wait_ns);
	if (r < 0) {
		return r;
	}
	char hash[PC_PASSWORD_HASH_MAX];
	r = pc_auth_worker_hash(auth->worker, setup->password, strlen(setup->password), hash);
	if (r < 0) {
		return r == -EAGAIN ? -EBUSY : r;
	}
	r = pc_users_setup(auth->storage, setup->username, hash, setup->consent_video,
		setup->consent_audio, setup->retention_days, ret_user_id);
	if (r == 0) {
		atomic_store(&auth->has_owner, true);
	}
	/* -EAGAIN would read as a wrong code. */
	return r == -EAGAIN ? -EBUSY : r;
}

static uint64_t who_of(struct pc_auth *auth, const void *data, size_t size)
{
	uint8_t tag[PC_CRYPTO_TAG_SIZE] = { 0 };
	pc_crypto_hmac(auth->sign_key, data, size, tag);
	uint64_t who;
	memcpy(&who, tag, sizeof(who));
	return who;
}

/* An IPv6 client has 2^64 addresses of its own: its network counts as one. */
static uint64_t who_of_address(struct pc_auth *auth, const char *peer)
{
	struct in6_addr address;
	if (inet_pton(AF_INET6, peer, &address) == 1 && !IN6_IS_ADDR_V4MAPPED(&address)) {
		return who_of(auth, &address, 8);
	}
	const char *dotted = strrchr(peer, ':');
	peer = dotted != NULL ? dotted + 1 : peer;
	return who_of(auth, peer, strlen(peer));
}

static int issue(struct pc_auth *auth, const struct pc_user *user, struct pc_auth_login *ret_login)
{
	uint8_t id[16];
	int r = pc_crypto_random(id, sizeof(id));
	if (r < 0) {
		return r;
	}
	struct pc_jwt_claims claims = {
		.audience = PC_JWT_API,
		.user_id = user->user_id,
		.role = user->role,
		.issued_s = pc_clock_now_utc_ms() / 1000,
	};
	claims.expires_s = claims.issued_s + auth->access_token_s;
	pc_base64url_encode(id, sizeof(id), claims.session_id);
	struct pc_auth_login login = { .expires_in_s = auth->access_token_s };
	r = pc_jwt_make(auth->key, &claims, login.access_token, sizeof(login.access_token));
	if (r < 0) {
		return r;
	}
	claims.audience = PC_JWT_MEDIA;
	claims.expires_s = claims.issued_s + auth->media_token_s;
	r = pc_jwt_make(auth->key, &claims, login.media_token, sizeof(login.media_token));
	if (r < 0) {
		return r;
	}
	r = pc_sessions_add(auth->storage, claims.session_id, user->user_id,
		(claims.issued_s + auth->access_token_s) * 1000);
	if (r < 0) {
		return r == -EAGAIN ? -EBUSY : r;
	}
	*ret_login = login;
	return 0;
}

static int64_t enter_limits(struct pc_auth *auth, uint64_t address, uint64_t account)
{
	int64_t now_ns = pc_clock_now_ns();
	int64_t wait_ns = pc_limit_enter(auth->by_address, address, now_ns);
	if (wait_ns > 0) {
		return wait_ns;
	}
	wait_ns = pc_limit_enter(auth->by_account, account, now_ns);
	if (wait_ns > 0) {
		pc_limit_return(auth->by_address, address);
	}
	return wait_ns;
}

/* 0: these are theirs; -EACCES: no; else it could not be found out. */
static int verify(
	struct pc_auth *auth, const char *username, const char *password, struct pc_user *user)
{
	int found = strlen(username) < PC_USERNAME_MAX
			    ? pc_users_find(auth->storage, username, user)
			    : -ENOENT;
	if (found < 0 && found != -ENOENT) {
		return found == -EAGAIN ? -EBUSY : found;
	}
	int r = pc_auth_worker_verify(auth->worker, password, strlen(password),
		found == 0 ? user->password_hash : pc_password_dummy());
	if (r == -EAGAIN) {
		return -EBUSY;
	}
	if (r == -EINVAL) {
		pc_error("the password hash of user %" PRId64 " is damaged", user->user_id);
		return -EIO;
	}
	return r == 0 && found < 0 ? -EACCES : r;
}

int pc_auth_login(struct pc_auth *auth, const char *username, const char *password,
	const char *peer, struct pc_auth_login *ret_login, int64_t *ret_wait_ns)
{
	if (!pc_auth_has_owner(auth)) {
		return -ENODEV;
	}
	uint64_t address = who_of_address(auth, peer);
	uint64_t account = who_of(auth, username, strlen(username));
	int64_t wait_ns = enter_limits(auth, address, account);
	if (wait_ns > 0) {
		*ret_wait_ns = wait_ns;
		return -EAGAIN;
	}
	struct pc_user user = { 0 };
	int r = verify(auth, username, password, &user);
	if (r == -EACCES) {
		pc_warn("a login from %s was refused: wrong name or password", peer);
		return r;
	}
	if (r < 0) {
		pc_limit_return(auth->by_address, address);
		pc_limit_return(auth->by_account, account);
		return r;
	}
	pc_limit_clear(auth->by_address, address);
	pc_limit_clear(auth->by_account, account);
	r = issue(auth, &user, ret_login);
	if (r == 0) {
		pc_info("%s logged in from %s", user.username, peer);
	}
	return r;
}

int pc_auth_logout(struct pc_auth *auth, const char *session_id)
{
	return pc_sessions_end(auth->storage, session_id);
}

bool pc_auth_session_valid(struct pc_auth *auth, const char *session_id)
{
	return auth->storage != NULL && pc_sessions_valid(auth->storage, session_id);
}

int pc_auth_media_token(struct pc_auth *auth, const struct pc_identity *who, char *out, size_t size)
{
	struct pc_jwt_claims claims = {
		.audience = PC_JWT_MEDIA,
		.user_id = who->user_id,
		.role = who->role,
		.issued_s = pc_clock_now_utc_ms() / 1000,
	};
	if (who->by_media_token) {
		return -EPERM; /* else it could prolong itself */
	}
	if (strlen(who->session_id) >= sizeof(claims.session_id)) {
		return -EINVAL;
	}
	memcpy(claims.session_id, who->session_id, strlen(who->session_id) + 1);
	claims.expires_s = claims.issued_s + auth->media_token_s;
	return pc_jwt_make(auth->key, &claims, out, size);
}

static const char *cookie_name(const struct pc_auth *auth)
{
	return auth->plain ? "petcam" : "__Host-petcam";
}

void pc_auth_cookie(struct pc_auth *auth, const char *token, char out[static PC_AUTH_COOKIE_SIZE])
{
	snprintf(out, PC_AUTH_COOKIE_SIZE,
		"Set-Cookie: %s=%s; Path=/; Max-Age=%" PRId64 "; HttpOnly; SameSite=Strict%s\r\n",
		cookie_name(auth), token != NULL ? token : "",
		token != NULL ? auth->access_token_s : 0, auth->plain ? "" : "; Secure");
}

int pc_auth_sign(
	struct pc_auth *auth, const void *data, size_t size, uint8_t tag[static PC_CRYPTO_TAG_SIZE])
{
	return pc_crypto_hmac(auth->sign_key, data, size, tag);
}

struct pc_event_hub *pc_auth_event_hub(struct pc_auth *auth)
{
	return auth->hub;
}

/* Fills `who` when the token is good and its session goes on. */
static bool accept_token(struct pc_auth *auth, const char *token, size_t length,
	enum pc_jwt_audience audience, struct pc_identity *who)
{
	struct pc_jwt_claims claims;
	if (pc_jwt_check(auth->key, token, length, audience, pc_clock_now_utc_ms() / 1000,
		    &claims) < 0 ||
		!pc_auth_session_valid(auth, claims.session_id)) {
		return false;
	}
	*who = (struct pc_identity){
		.authenticated = true,
		.by_media_token = audience == PC_JWT_MEDIA,
		.user_id = claims.user_id,
		.role = claims.role,
	};
	memcpy(who->session_id, claims.session_id, sizeof(claims.session_id));
	return true;
}

/* The value of our cookie; NULL when there is none, or more than one. */
static const char *find_cookie(const char *header, const char *name, size_t *ret_length)
{
	const char *found = NULL;
	size_t name_length = strlen(name);
	while (*header != '\0') {
		header += strspn(header, "; \t");
		size_t length = strcspn(header, ";");
		if (length > name_length && header[name_length] == '=' &&
			memcmp(header, name, name_length) == 0) {
			if (found != NULL) {
				return NULL;
			}
			found = header + name_length + 1;
			*ret_length = length - name_length - 1;
			while (*ret_length > 0 && found[*ret_length - 1] == ' ') {
				(*ret_length)--;
			}
		}
		header += length;
	}
	return found;
}

/* The "~TOKEN" segment of this path, or NULL. */
static const char *token_in_path(const struct pc_request *request, const struct pc_route *route,
	char out[static PC_JWT_SIZE])
{
	const char *place = strstr(route->path, "{token}");
	if (place == NULL) {
		return NULL;
	}
	unsigned param = 0;
	for (const char *p = route->path; p < place; p++) {
		param += *p == '{';
	}
	if (param >= request->n_params) {
		return NULL;
	}
	const char *token = request->params[param];
	token += *token == '~'; /* the route may hold the tilde itself: "~{token}" */
	size_t length = strlen(token);
	if (length >= PC_JWT_SIZE) {
		return NULL;
	}
	memcpy(out, token, length + 1);
	return out;
}

static bool identify_by_media_token(
	struct pc_auth *auth, struct pc_request *request, const struct pc_route *route)
{
	char token[PC_JWT_SIZE];
	const char *found = token_in_path(request, route, token);
	if (found == NULL && pc_request_query(request, "token", token, sizeof(token)) >= 0) {
		found = token;
	}
	return found != NULL &&
	       accept_token(auth, found, strlen(found), PC_JWT_MEDIA, &request->who);
}

static void identify_by_cookie(struct pc_auth *auth, struct pc_request *request)
{
	const char *header = pc_request_header(request, "Cookie");
	if (header == NULL) {
		return;
	}
	size_t length = 0;
	const char *token = find_cookie(header, cookie_name(auth), &length);
	if (token != NULL && accept_token(auth, token, length, PC_JWT_API, &request->who)) {
		request->who.by_cookie = true;
	}
}

void pc_auth_identify(
	struct pc_auth *auth, struct pc_request *request, const struct pc_route *route)
{
	request->who = (struct pc_identity){ 0 };
	/* Who says who he is means it: a wrong token is not mended by a cookie. */
	const char *authorization = pc_request_header(request, "Authorization");
	if (authorization != NULL) {
		static const char scheme[] = "Bearer ";
		const size_t n = sizeof(scheme) - 1;
		if (strncasecmp(authorization, scheme, n) == 0) {
			const char *token = authorization + n;
			accept_token(auth, token, strlen(token), PC_JWT_API, &request->who);
		}
		return;
	}
	if (route != NULL && route->access == PC_MEDIA &&
		identify_by_media_token(auth, request, route)) {
		return;
	}
	identify_by_cookie(auth, request);
}
