/* tests/unit/http/api_jwt.c - only our own tokens pass, unchanged, for their audience, in time. */
#include <errno.h>
#include <stdbool.h>

#include "http/jwt.h"
#include "tests/support/test.h"

static const uint8_t key[PC_CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const uint8_t other_key[PC_CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcdf";

#define NOW INT64_C(1800000000)

static struct pc_jwt_claims claims_of(enum pc_jwt_audience audience)
{
	return (struct pc_jwt_claims){
		.audience = audience,
		.user_id = 7,
		.role = PC_ROLE_OWNER,
		.session_id = "AAECAwQFBgcICQoLDA0ODw",
		.issued_s = NOW,
		.expires_s = NOW + 60,
	};
}

static int make(enum pc_jwt_audience audience, char token[static PC_JWT_SIZE])
{
	struct pc_jwt_claims claims = claims_of(audience);
	int length = pc_jwt_make(key, &claims, token, PC_JWT_SIZE);
	test_assert(length > 0);
	test_int(strlen(token), length);
	return length;
}

static int check(const char *token, size_t length, enum pc_jwt_audience audience, int64_t now_s)
{
	struct pc_jwt_claims claims = { .user_id = -1 };
	int r = pc_jwt_check(key, token, length, audience, now_s, &claims);
	test_assert(r == 0 || claims.user_id == -1); /* untouched on failure */
	return r;
}

/* A token with any header and claims, rightly signed. */
static int forge(const char *header, const char *claims, char token[static 1024])
{
	char head[256];
	char body[512];
	char signature[64];
	uint8_t tag[PC_CRYPTO_TAG_SIZE];
	pc_base64url_encode(header, strlen(header), head);
	pc_base64url_encode(claims, strlen(claims), body);
	int n = snprintf(token, 1024, "%s.%s", head, body);
	test_int(pc_crypto_hmac(key, token, (size_t)n, tag), 0);
	pc_base64url_encode(tag, sizeof(tag), signature);
	return n + snprintf(token + n, 1024 - (size_t)n, ".%s", signature);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define GOOD_CLAIMS                                                                                \
	"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","    \
	"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060}"

static void test_valid(void)
{
	char token[PC_JWT_SIZE];
	size_t length = (size_t)make(PC_JWT_API, token);
	struct pc_jwt_claims claims;
	test_int(pc_jwt_check(key, token, length, PC_JWT_API, NOW, &claims), 0);
	test_int(claims.user_id, 7);
	test_int(claims.role, PC_ROLE_OWNER);
	test_int(claims.audience, PC_JWT_API);
	test_str(claims.session_id, "AAECAwQFBgcICQoLDA0ODw");
	test_int(claims.issued_s, NOW);
	test_int(claims.expires_s, NOW + 60);
	/* It is a JWT as anybody would make it. */
	char forged[1024];
	test_int(forge(HEADER, GOOD_CLAIMS, forged), length);
	test_str(forged, token);
}

static void test_longest(void)
{
	struct pc_jwt_claims claims = claims_of(PC_JWT_MEDIA);
	claims.user_id = INT64_C(999999999999999999);
	claims.issued_s = INT64_C(999999999999999999);
	claims.expires_s = INT64_C(999999999999999999);
	claims.role = PC_ROLE_VIEWER;
	char token[PC_JWT_SIZE];
	int length = pc_jwt_make(key, &claims, token, sizeof(token));
	test_assert(length > 0 && length < PC_JWT_SIZE);
	test_int(check(token, (size_t)length, PC_JWT_MEDIA, NOW), 0);
	test_int(pc_jwt_make(key, &claims, token, (size_t)length), -ENOBUFS);
}

static void test_time(void)
{
	char token[PC_JWT_SIZE];
	size_t length = (size_t)make(PC_JWT_API, token);
	test_int(check(token, length, PC_JWT_API, NOW + 59), 0);
	test_int(check(token, length, PC_JWT_API, NOW + 60), -ETIME);
	test_int(check(token, length, PC_JWT_API, INT64_MAX), -ETIME);
}

static void test_audience(void)
{
	char token[PC_JWT_SIZE];
	size_t length = (size_t)make(PC_JWT_MEDIA, token);
	test_int(check(token, length, PC_JWT_MEDIA, NOW), 0);
	test_int(check(token, length, PC_JWT_API, NOW), -EBADMSG);
	length = (size_t)make(PC_JWT_API, token);
	test_int(check(token, length, PC_JWT_MEDIA, NOW), -EBADMSG);
}

static void test_key(void)
{
	char token[PC_JWT_SIZE];
	size_t length = (size_t)make(PC_JWT_API, token);
	struct pc_jwt_claims claims;
	test_int(pc_jwt_check(other_key, token, length, PC_JWT_API, NOW, &claims), -EBADMSG);
}

static void test_every_bit(void)
{
	char token[PC_JWT_SIZE];
	size_t length = (size_t)make(PC_JWT_API, token);
	for (size_t i = 0; i < length; i++) {
		for (int bit = 0; bit < 8; bit++) {
			token[i] = (char)(token[i] ^ 1 << bit);
			test_int(check(token, length, PC_JWT_API, NOW), -EBADMSG);
			token[i] = (char)(token[i] ^ 1 << bit);
		}
	}
	test_int(check(token, length, PC_JWT_API, NOW), 0);
}

static void test_every_length(void)
{
	char token[2 * PC_JWT_SIZE] = { 0 };
	size_t length = (size_t)make(PC_JWT_API, token);
	for (size_t i = 0; i < sizeof(token); i++) {
		test_int(check(token, i, PC_JWT_API, NOW), i == length ? 0 : -EBADMSG);
	}
}

static void test_headers(void)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"None\"}",
		"{\"alg\":\"HS512\",\"typ\":\"JWT\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"../../dev/null\"}",
		"{ \"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"",
	};
	char token[1024];
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		int length = forge(headers[i], GOOD_CLAIMS, token);
		test_int(check(token, (size_t)length, PC_JWT_API, NOW), -EBADMSG);
		/* "none" with an empty signature. */
		char *signature = strrchr(token, '.') + 1;
		*signature = '\0';
		test_int(check(token, strlen(token), PC_JWT_API, NOW), -EBADMSG);
	}
	/* Our header over somebody else's signature, and none at all. */
	make(PC_JWT_API, token);
	char media[PC_JWT_SIZE];
	make(PC_JWT_MEDIA, media);
	memcpy(strrchr(token, '.'), strrchr(media, '.'), strlen(strrchr(media, '.')));
	test_int(check(token, strlen(token), PC_JWT_API, NOW), -EBADMSG);
	make(PC_JWT_API, token);
	*strrchr(token, '.') = '\0';
	test_int(check(token, strlen(token), PC_JWT_API, NOW), -EBADMSG);
}

/* Signed with the right key, but not what we write: another version of petcam, at best. */
static void test_claims(void)
{
	static const char *const claims[] = {
		"",
		"{}",
		"null",
		"{\"iss\":\"petcam\"}",
		"{\"iss\":\"other\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060}",
		"{\"iss\":\"petcam\",\"aud\":\"all\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0OD\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"07\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"-7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"admin\",\"iat\":1800000000,\"exp\":1800000060}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":18000000600000000000}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":1800000060,\"x\":1}",
		"{\"iss\":\"petcam\",\"aud\":\"api\",\"sub\":\"7\",\"sid\":\"AAECAwQFBgcICQoLDA0ODw\","
		"\"role\":\"owner\",\"iat\":1800000000,\"exp\":}",
	};
	char token[1024];
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		int length = forge(HEADER, claims[i], token);
		test_int(check(token, (size_t)length, PC_JWT_API, NOW), -EBADMSG);
	}
}

static void test_bad_session(void)
{
	struct pc_jwt_claims claims = claims_of(PC_JWT_API);
	char token[PC_JWT_SIZE];
	snprintf(claims.session_id, sizeof(claims.session_id), "\",\"role\":\"owner\"");
	test_int(pc_jwt_make(key, &claims, token, sizeof(token)), -EINVAL);
}

int main(void)
{
	TEST_RUN(test_valid);
	TEST_RUN(test_longest);
	TEST_RUN(test_time);
	TEST_RUN(test_audience);
	TEST_RUN(test_key);
	TEST_RUN(test_every_bit);
	TEST_RUN(test_every_length);
	TEST_RUN(test_headers);
	TEST_RUN(test_claims);
	TEST_RUN(test_bad_session);
	return test_end();
}
