/* http/password.h - passwords as they are kept: "scrypt$15$8$1$<salt>$<hash>", base64url.
 *
 * Thread: any; both compute for some 220 ms (1 s on a Pi) with 32 MiB: the auth thread only.
 */
#ifndef PC_HTTP_PASSWORD_H
#define PC_HTTP_PASSWORD_H

#include <stddef.h>

#include "storage/users.h"

/* 0; -ENOMEM; -EIO (no random bytes). */
int pc_password_hash(
	const char *password, size_t length, char ret_hash[static PC_PASSWORD_HASH_MAX]);

/* 0: it is this password; -EACCES: it is not; -EINVAL: `hash` is not a hash; -ENOMEM. */
int pc_password_verify(const char *password, size_t length, const char *hash);

/* The hash of no password, to spend the same time on a user who does not exist. */
const char *pc_password_dummy(void);

#endif
