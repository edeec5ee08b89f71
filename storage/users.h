/* storage/users.h - users, sessions' revocations, consent. No cryptography here: the http
 * floor makes and checks the hashes.
 *
 * Thread: any. Reads use the caller's thread; writes wait for the storage thread.
 */
#ifndef PC_STORAGE_USERS_H
#define PC_STORAGE_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

#define PC_USERNAME_MAX 64 /* bytes with NUL */
#define PC_PASSWORD_HASH_MAX 160 /* "scrypt$15$8$1$<salt>$<hash>", base64 */

enum pc_role {
	PC_ROLE_VIEWER,
	PC_ROLE_OWNER,
};

struct pc_user {
	int64_t user_id;
	char username[PC_USERNAME_MAX];
	char password_hash[PC_PASSWORD_HASH_MAX];
	enum pc_role role;
	int64_t created_utc_ms;
};

struct pc_consent {
	bool video;
	bool audio;
	int64_t given_utc_ms; /* 0: never asked */
	char username[PC_USERNAME_MAX];
};

/* Whether the first run is over (an owner exists). */
bool pc_users_any(struct pc_storage *storage);

/* First run, in one transaction: the owner, the consent, the retention (days, 0: no limit).
 * 0, -EEXIST (set up already), -EINVAL. */
int pc_users_setup(struct pc_storage *storage, const char *username, const char *password_hash,
	bool consent_video, bool consent_audio, unsigned retention_days, int64_t *ret_user_id);

int pc_users_find(struct pc_storage *storage, const char *username, struct pc_user *ret_user);
int pc_users_get(struct pc_storage *storage, int64_t user_id, struct pc_user *ret_user);

int pc_users_consent(struct pc_storage *storage, struct pc_consent *ret_consent);

/* Sessions: a row a login, so that one can be ended. Ids are random, made by the caller. */
int pc_sessions_add(struct pc_storage *storage, const char *session_id, int64_t user_id,
	int64_t expires_utc_ms);
bool pc_sessions_valid(struct pc_storage *storage, const char *session_id); /* from memory: fast */
int pc_sessions_end(struct pc_storage *storage, const char *session_id);

#endif
