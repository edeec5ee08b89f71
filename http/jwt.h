/* http/jwt.h - signed tokens (RFC 7519, HS256).
 *
 * Only tokens that this daemon wrote are ever right, so the check is as strict as can be:
 * the header must be ours byte for byte (which shuts out "alg": "none" and all others), the
 * signature is compared first and in constant time, and the claims must stand in the order
 * and form in which pc_jwt_make() writes them.
 *
 * Thread: any. Nothing blocks or allocates.
 */
#ifndef PC_HTTP_JWT_H
#define PC_HTTP_JWT_H

#include <stddef.h>
#include <stdint.h>

#include "http/crypto.h"
#include "storage/users.h"

#define PC_SESSION_ID_SIZE 23 /* 16 random bytes as base64url, and the NUL */
#define PC_JWT_SIZE 320 /* room for any token of ours with its NUL */

enum pc_jwt_audience {
	PC_JWT_API, /* the whole API: Authorization header or cookie */
	PC_JWT_MEDIA, /* pictures only: in a URL */
};

struct pc_jwt_claims {
	enum pc_jwt_audience audience;
	int64_t user_id; /* "sub", as a string */
	enum pc_role role;
	char session_id[PC_SESSION_ID_SIZE]; /* "sid" */
	int64_t issued_s, expires_s; /* "iat", "exp": seconds since 1970 */
};

/* The length of the token, or -EINVAL (a session id that is none), -ENOBUFS, -EIO. */
int pc_jwt_make(const uint8_t key[static PC_CRYPTO_KEY_SIZE], const struct pc_jwt_claims *claims,
	char *out, size_t size);

/* 0; -EBADMSG: not a token of ours for this audience; -ETIME: it was, but has expired. */
int pc_jwt_check(const uint8_t key[static PC_CRYPTO_KEY_SIZE], const char *token, size_t length,
	enum pc_jwt_audience audience, int64_t now_s, struct pc_jwt_claims *ret_claims);

#endif
