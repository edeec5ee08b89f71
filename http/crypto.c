/* http/crypto.c - HMAC, scrypt, random bytes and base64url. The API's only file with wolfCrypt
 * headers. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/pwdbased.h>
#include <wolfssl/wolfcrypt/settings.h>

#include "http/crypto.h"

int pc_crypto_hmac(const uint8_t key[static PC_CRYPTO_KEY_SIZE], const void *data, size_t size,
	uint8_t tag[static PC_CRYPTO_TAG_SIZE])
{
	Hmac hmac;
	uint8_t result[PC_CRYPTO_TAG_SIZE];
	if (wc_HmacInit(&hmac, NULL, INVALID_DEVID) != 0) {
		return -EIO;
	}
	int r = wc_HmacSetKey(&hmac, WC_SHA256, key, PC_CRYPTO_KEY_SIZE);
	if (r == 0) {
		r = wc_HmacUpdate(&hmac, data, (word32)size);
	}
	if (r == 0) {
		r = wc_HmacFinal(&hmac, result);
	}
	wc_HmacFree(&hmac);
	pc_crypto_forget(&hmac, sizeof(hmac));
	if (r != 0) {
		return -EIO;
	}
	memcpy(tag, result, sizeof(result));
	return 0;
}

int pc_crypto_scrypt(const char *password, size_t password_size, const uint8_t *salt,
	size_t salt_size, unsigned log2_n, unsigned r, unsigned p, uint8_t *out, size_t out_size)
{
	if (password_size > INT32_MAX || salt_size > INT32_MAX || out_size > INT32_MAX ||
		log2_n > 20 || r > 32 || p > 16) {
		return -EINVAL;
	}
	int result = wc_scrypt(out, (const byte *)password, (int)password_size, salt,
		(int)salt_size, (int)log2_n, (int)r, (int)p, (int)out_size);
	if (result == MEMORY_E) {
		return -ENOMEM;
	}
	return result == 0 ? 0 : -EINVAL;
}

int pc_crypto_random(void *out, size_t size)
{
	uint8_t *bytes = out;
	while (size > 0) {
		ssize_t n = getrandom(bytes, size, 0);
		if (n < 0) {
			if (errno == EINTR) {
				continue;
			}
			return -errno;
		}
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

bool pc_crypto_equal(const void *a, const void *b, size_t size)
{
	const volatile uint8_t *left = a;
	const volatile uint8_t *right = b;
	uint8_t different = 0;
	for (size_t i = 0; i < size; i++) {
		different |= (uint8_t)(left[i] ^ right[i]);
	}
	return different == 0;
}

void pc_crypto_forget(void *secret, size_t size)
{
	explicit_bzero(secret, size);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void pc_base64url_encode(const void *data, size_t size, char *out)
{
	const uint8_t *bytes = data;
	uint32_t bits = 0;
	unsigned n_bits = 0;
	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | bytes[i];
		n_bits += 8;
		while (n_bits >= 6) {
			n_bits -= 6;
			*out++ = alphabet[bits >> n_bits & 63];
		}
	}
	if (n_bits > 0) {
		*out++ = alphabet[bits << (6 - n_bits) & 63];
	}
	*out = '\0';
}

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return c - 'A';
	}
	if (c >= 'a' && c <= 'z') {
		return c - 'a' + 26;
	}
	if (c >= '0' && c <= '9') {
		return c - '0' + 52;
	}
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int pc_base64url_decode(const char *text, size_t length, void *out, size_t size)
{
	if (length % 4 == 1) {
		return -EINVAL;
	}
	uint8_t *bytes = out;
	size_t n = 0;
	uint32_t bits = 0;
	unsigned n_bits = 0;
	for (size_t i = 0; i < length; i++) {
		int digit = digit_of(text[i]);
		if (digit < 0) {
			return -EINVAL;
		}
		bits = bits << 6 | (uint32_t)digit;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			if (n == size) {
				return -EINVAL;
			}
			bytes[n++] = (uint8_t)(bits >> n_bits);
			bits &= (1u << n_bits) - 1;
		}
	}
	return bits == 0 ? (int)n : -EINVAL;
}
