/* tests/fuzz/fuzz_jwt.c - a token that passes is, byte for byte, one that we write.
 *
 * Input: a mode (1 byte), then 0: the token; 1: claims, which are signed with the right key under
 * the right header, so that the parser behind the signature is reached; 2: what stands before the
 * second dot, signed likewise; 3: as 1, with one byte of the token changed (2 bytes: where, how).
 */
#include <errno.h>

#include "http/jwt.h"
#include "tests/fuzz/fuzz.h"

#define TOKEN_MAX 4096
#define NOW INT64_C(1800000000)

static const uint8_t key[PC_CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

/* Appends the signature. */
static size_t sign(char *token, size_t length)
{
	uint8_t tag[PC_CRYPTO_TAG_SIZE];
	fuzz_assert(pc_crypto_hmac(key, token, length, tag) == 0);
	token[length] = '.';
	pc_base64url_encode(tag, sizeof(tag), token + length + 1);
	return strlen(token);
}

static size_t sign_claims(const uint8_t *claims, size_t size, char token[static TOKEN_MAX])
{
	pc_base64url_encode(header, sizeof(header) - 1, token);
	size_t length = strlen(token);
	token[length++] = '.';
	pc_base64url_encode(claims, size, token + length);
	return sign(token, strlen(token));
}

static void check(const char *token, size_t length)
{
	static const enum pc_jwt_audience audiences[] = { PC_JWT_API, PC_JWT_MEDIA };
	unsigned accepted = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct pc_jwt_claims claims = { .user_id = -1 };
		const int r = pc_jwt_check(key, token, length, audiences[i], NOW, &claims);
		if (r != 0) {
			fuzz_assert((r == -EBADMSG || r == -ETIME) && claims.user_id == -1);
			continue;
		}
		char ours[PC_JWT_SIZE];
		accepted++;
		fuzz_assert(claims.audience == audiences[i] && claims.expires_s > NOW);
		fuzz_assert(claims.user_id >= 0 && claims.issued_s >= 0);
		fuzz_assert(claims.role == PC_ROLE_VIEWER || claims.role == PC_ROLE_OWNER);
		fuzz_assert(pc_jwt_make(key, &claims, ours, sizeof(ours)) == (int)length);
		fuzz_assert(memcmp(ours, token, length) == 0);
	}
	fuzz_assert(accepted <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = fuzz_begin(data, size);
	const uint64_t mode = fuzz_number(&input, 1) & 3;
	const uint64_t where = mode == 3 ? fuzz_number(&input, 1) : 0;
	const uint64_t how = mode == 3 ? fuzz_number(&input, 1) : 0;
	char token[TOKEN_MAX];
	size_t length;
	const uint8_t *bytes = fuzz_bytes(&input, TOKEN_MAX / 2, &length);

	if (mode == 1 || mode == 3) {
		length = sign_claims(bytes, length, token);
		token[where % length] ^= (char)how;
	} else {
		if (length > 0) {
			memcpy(token, bytes, length);
		}
		length = mode == 2 ? sign(token, length) : length;
	}
	char *copy = (char *)fuzz_copy((const uint8_t *)token, length);
	check(copy, length);
	free(copy);
	return 0;
}
