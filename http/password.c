/* http/password.c - scrypt hashes of passwords; see password.h. */
#include "http/password.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/crypto.h"

/* RFC 7914's interactive figures, doubled: 32 MiB, 220 ms on a desktop core. */
#define LOG2_N 15
#define BLOCK_R 8
#define PARALLEL_P 1
#define SALT_SIZE 16
#define HASH_SIZE 32

#define SALT_LENGTH PC_BASE64URL_LENGTH(SALT_SIZE)
#define HASH_LENGTH PC_BASE64URL_LENGTH(HASH_SIZE)

int pc_password_hash(
	const char *password, size_t length, char ret_hash[static PC_PASSWORD_HASH_MAX])
{
	uint8_t salt[SALT_SIZE];
	uint8_t hash[HASH_SIZE];
	if (pc_crypto_random(salt, sizeof(salt)) < 0) {
		return -EIO;
	}
	int r = pc_crypto_scrypt(password, length, salt, sizeof(salt), LOG2_N, BLOCK_R, PARALLEL_P,
		hash, sizeof(hash));
	if (r < 0) {
		return r;
	}
	char salt_text[SALT_LENGTH + 1];
	char hash_text[HASH_LENGTH + 1];
	pc_base64url_encode(salt, sizeof(salt), salt_text);
	pc_base64url_encode(hash, sizeof(hash), hash_text);
	int n = snprintf(ret_hash, PC_PASSWORD_HASH_MAX, "scrypt$%d$%d$%d$%s$%s", LOG2_N, BLOCK_R,
		PARALLEL_P, salt_text, hash_text);
	assert(n > 0 && n < PC_PASSWORD_HASH_MAX);
	pc_crypto_forget(hash, sizeof(hash));
	return 0;
}

/* "N$" off the front: 1..max, or 0 when it is not that. */
static unsigned take_number(const char **at, unsigned max)
{
	unsigned value = 0;
	const char *p = *at;
	for (; *p >= '0' && *p <= '9' && p - *at < 3; p++) {
		value = value * 10 + (unsigned)(*p - '0');
	}
	if (p == *at || *p != '$' || value > max) {
		return 0;
	}
	*at = p + 1;
	return value;
}

int pc_password_verify(const char *password, size_t length, const char *hash)
{
	static const char scheme[] = "scrypt$";
	if (strncmp(hash, scheme, strlen(scheme)) != 0) {
		return -EINVAL;
	}
	const char *at = hash + strlen(scheme);
	/* Older or stronger figures are read as well, up to 128 MiB. */
	unsigned log2_n = take_number(&at, 17);
	unsigned block_r = log2_n != 0 ? take_number(&at, 8) : 0;
	unsigned parallel_p = block_r != 0 ? take_number(&at, 4) : 0;
	uint8_t salt[SALT_SIZE];
	uint8_t right[HASH_SIZE];
	if (parallel_p == 0 || strlen(at) != SALT_LENGTH + 1 + HASH_LENGTH ||
		at[SALT_LENGTH] != '$' ||
		pc_base64url_decode(at, SALT_LENGTH, salt, sizeof(salt)) != SALT_SIZE ||
		pc_base64url_decode(at + SALT_LENGTH + 1, HASH_LENGTH, right, sizeof(right)) !=
			HASH_SIZE) {
		return -EINVAL;
	}
	uint8_t given[HASH_SIZE];
	int r = pc_crypto_scrypt(password, length, salt, sizeof(salt), log2_n, block_r, parallel_p,
		given, sizeof(given));
	if (r < 0) {
		return r;
	}
	r = pc_crypto_equal(given, right, sizeof(right)) ? 0 : -EACCES;
	pc_crypto_forget(given, sizeof(given));
	return r;
}

const char *pc_password_dummy(void)
{
	return "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA$"
	       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
}
