/* http/auth_internal.h - what auth.c does for the API's handlers only.
 *
 * Thread: any, unless said.
 */
#ifndef PC_HTTP_AUTH_INTERNAL_H
#define PC_HTTP_AUTH_INTERNAL_H

#include "http/http_internal.h"
#include "http/jwt.h"

/* The first run is over. False in safe mode without storage. */
bool pc_auth_has_owner(struct pc_auth *auth);

struct pc_auth_setup {
	const char *code, *username, *password;
	bool consent_video, consent_audio;
	unsigned retention_days;
};

/* The first run, its fields well-formed. Blocks for the hash. 0; -EEXIST: there is an owner;
 * -EACCES: wrong code; -EAGAIN: nobody may try for *ret_wait_ns; -EBUSY: the auth thread has
 * too much to do; or storage's errno. */
int pc_auth_setup(struct pc_auth *auth, const struct pc_auth_setup *setup, int64_t *ret_user_id,
	int64_t *ret_wait_ns);

struct pc_auth_login {
	char access_token[PC_JWT_SIZE];
	char media_token[PC_JWT_SIZE];
	int64_t expires_in_s;
};

/* Blocks for the hash, as long for a user who does not exist. 0; -ENODEV: there is no owner
 * yet; -EACCES: wrong; -EAGAIN: too many wrong ones from this address or for this account,
 * wait *ret_wait_ns; -EBUSY: the auth thread has too much to do; or storage's errno. */
int pc_auth_login(struct pc_auth *auth, const char *username, const char *password,
	const char *peer, struct pc_auth_login *ret_login, int64_t *ret_wait_ns);

/* Ends the session: its access and media tokens are worth nothing any more. */
int pc_auth_logout(struct pc_auth *auth, const char *session_id);

/* Whether a session goes on; for answers that last. */
bool pc_auth_session_valid(struct pc_auth *auth, const char *session_id);

/* "Set-Cookie: ...\r\n" with the token, or (NULL) with the order to forget it. */
#define PC_AUTH_COOKIE_SIZE (PC_JWT_SIZE + 128)
void pc_auth_cookie(struct pc_auth *auth, const char *token, char out[static PC_AUTH_COOKIE_SIZE]);

/* A tag that clients cannot forge, for what they carry for us (cursors). 0 or -EIO. */
int pc_auth_sign(struct pc_auth *auth, const void *data, size_t size,
	uint8_t tag[static PC_CRYPTO_TAG_SIZE]);

/* What /events/stream listens to; NULL in safe mode without storage. */
struct pc_event_hub *pc_auth_event_hub(struct pc_auth *auth);

#endif
