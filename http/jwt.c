/* http/jwt.c - signed tokens; see jwt.h. */
#include "http/jwt.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* {"alg":"HS256","typ":"JWT"} and the dot behind it. */
#define HEADER "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
#define HEADER_LENGTH (sizeof(HEADER) - 1)
#define SIGNATURE_LENGTH PC_BASE64URL_LENGTH(PC_CRYPTO_TAG_SIZE)
#define CLAIMS_SIZE 160 /* the longest ones are 156 bytes */

static_assert(HEADER_LENGTH + PC_BASE64URL_LENGTH(CLAIMS_SIZE) + 1 + SIGNATURE_LENGTH < PC_JWT_SIZE,
	"every token fits");

static const char *const audience_names[] = {
	[PC_JWT_API] = "api",
	[PC_JWT_MEDIA] = "media",
};

static const char *const role_names[] = {
	[PC_ROLE_VIEWER] = "viewer",
	[PC_ROLE_OWNER] = "owner",
};

int pc_jwt_make(const uint8_t key[static PC_CRYPTO_KEY_SIZE], const struct pc_jwt_claims *claims,
	char *out, size_t size)
{
	uint8_t id[16];
	if (strlen(claims->session_id) != PC_SESSION_ID_SIZE - 1 ||
		pc_base64url_decode(claims->session_id, PC_SESSION_ID_SIZE - 1, id, sizeof(id)) !=
			(int)sizeof(id)) {
		return -EINVAL;
	}
	char text[CLAIMS_SIZE];
	int n = snprintf(text, sizeof(text),
		"{\"iss\":\"petcam\",\"aud\":\"%s\",\"sub\":\"%" PRId64
		"\",\"sid\":\"%s\",\"role\":\"%s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}",
		audience_names[claims->audience], claims->user_id, claims->session_id,
		role_names[claims->role], claims->issued_s, claims->expires_s);
	assert(n > 0 && (size_t)n < sizeof(text));

	size_t signed_length = HEADER_LENGTH + PC_BASE64URL_LENGTH((size_t)n);
	size_t length = signed_length + 1 + SIGNATURE_LENGTH;
	if (length >= size) {
		return -ENOBUFS;
	}
	char token[PC_JWT_SIZE];
	assert(length < sizeof(token));
	memcpy(token, HEADER, HEADER_LENGTH);
	pc_base64url_encode(text, (size_t)n, token + HEADER_LENGTH);
	uint8_t tag[PC_CRYPTO_TAG_SIZE];
	int r = pc_crypto_hmac(key, token, signed_length, tag);
	if (r < 0) {
		return r;
	}
	token[signed_length] = '.';
	pc_base64url_encode(tag, sizeof(tag), token + signed_length + 1);
	memcpy(out, token, length + 1);
	return (int)length;
}

/* Each takes its piece off the front of *at, or answers false. */
static bool take(const char **at, const char *literal)
{
	size_t n = strlen(literal);
	if (strncmp(*at, literal, n) != 0) {
		return false;
	}
	*at += n;
	return true;
}

static bool take_name(const char **at, const char *const *names, int n, int *ret)
{
	for (int i = 0; i < n; i++) {
		const char *next = *at;
		if (take(&next, names[i]) && *next == '"') {
			*at = next;
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool take_number(const char **at, int64_t *ret)
{
	int64_t value = 0;
	const char *p = *at;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (p - *at == 18) {
			return false;
		}
		value = value * 10 + (*p - '0');
	}
	if (p == *at || (**at == '0' && p - *at > 1)) {
		return false;
	}
	*at = p;
	*ret = value;
	return true;
}

static bool take_session(const char **at, char out[static PC_SESSION_ID_SIZE])
{
	uint8_t id[16];
	if (strnlen(*at, PC_SESSION_ID_SIZE) < PC_SESSION_ID_SIZE ||
		pc_base64url_decode(*at, PC_SESSION_ID_SIZE - 1, id, sizeof(id)) !=
			(int)sizeof(id)) {
		return false;
	}
	memcpy(out, *at, PC_SESSION_ID_SIZE - 1);
	out[PC_SESSION_ID_SIZE - 1] = '\0';
	*at += PC_SESSION_ID_SIZE - 1;
	return true;
}

static bool parse_claims(const char *text, struct pc_jwt_claims *ret)
{
	int audience = 0;
	int role = 0;
	if (!take(&text, "{\"iss\":\"petcam\",\"aud\":\"") ||
		!take_name(&text, audience_names, 2, &audience) || !take(&text, "\",\"sub\":\"") ||
		!take_number(&text, &ret->user_id) || !take(&text, "\",\"sid\":\"") ||
		!take_session(&text, ret->session_id) || !take(&text, "\",\"role\":\"") ||
		!take_name(&text, role_names, 2, &role) || !take(&text, "\",\"iat\":") ||
		!take_number(&text, &ret->issued_s) || !take(&text, ",\"exp\":") ||
		!take_number(&text, &ret->expires_s) || strcmp(text, "}") != 0) {
		return false;
	}
	ret->audience = (enum pc_jwt_audience)audience;
	ret->role = (enum pc_role)role;
	return true;
}

int pc_jwt_check(const uint8_t key[static PC_CRYPTO_KEY_SIZE], const char *token, size_t length,
	enum pc_jwt_audience audience, int64_t now_s, struct pc_jwt_claims *ret_claims)
{
	if (length >= PC_JWT_SIZE || length < HEADER_LENGTH + 1 + SIGNATURE_LENGTH ||
		memcmp(token, HEADER, HEADER_LENGTH) != 0) {
		return -EBADMSG;
	}
	size_t signed_length = length - 1 - SIGNATURE_LENGTH;
	if (token[signed_length] != '.') {
		return -EBADMSG;
	}
	uint8_t given[PC_CRYPTO_TAG_SIZE];
	uint8_t right[PC_CRYPTO_TAG_SIZE];
	if (pc_base64url_decode(token + signed_length + 1, SIGNATURE_LENGTH, given,
		    sizeof(given)) != (int)sizeof(given) ||
		pc_crypto_hmac(key, token, signed_length, right) < 0 ||
		!pc_crypto_equal(given, right, sizeof(right))) {
		return -EBADMSG;
	}
	char text[CLAIMS_SIZE + 1];
	int n = pc_base64url_decode(
		token + HEADER_LENGTH, signed_length - HEADER_LENGTH, text, CLAIMS_SIZE);
	if (n < 0) {
		return -EBADMSG;
	}
	text[n] = '\0';
	struct pc_jwt_claims claims = { 0 };
	if (strlen(text) != (size_t)n || !parse_claims(text, &claims) ||
		claims.audience != audience) {
		return -EBADMSG;
	}
	if (now_s >= claims.expires_s) {
		return -ETIME;
	}
	*ret_claims = claims;
	return 0;
}
