/* http/crypto.h - what the API needs of wolfCrypt, without its headers (their macros clash).
 *
 * Thread: any. Nothing blocks but pc_crypto_scrypt().
 */
#ifndef PC_HTTP_CRYPTO_H
#define PC_HTTP_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PC_CRYPTO_KEY_SIZE 32 /* bytes of an HMAC key */
#define PC_CRYPTO_TAG_SIZE 32 /* bytes of an HMAC-SHA256 */

/* 0, or -EIO. */
int pc_crypto_hmac(const uint8_t key[static PC_CRYPTO_KEY_SIZE], const void *data, size_t size,
	uint8_t tag[static PC_CRYPTO_TAG_SIZE]);

/* N = 2^log2_n. Some 220 ms and 32 MiB at 2^15, r 8, p 1; touches little stack.
 * 0, -ENOMEM, -EINVAL (parameters). */
int pc_crypto_scrypt(const char *password, size_t password_size, const uint8_t *salt,
	size_t salt_size, unsigned log2_n, unsigned r, unsigned p, uint8_t *out, size_t out_size);

/* From the kernel. 0 or negative errno. */
int pc_crypto_random(void *out, size_t size);

/* Takes the same time wherever the bytes differ. */
bool pc_crypto_equal(const void *a, const void *b, size_t size);

/* Clears a secret; the compiler does not leave it out. */
void pc_crypto_forget(void *secret, size_t size);

/* Base64url without padding (RFC 4648 5): characters for `size` bytes, without the NUL. */
#define PC_BASE64URL_LENGTH(size) (((size)*4 + 2) / 3)

/* Writes PC_BASE64URL_LENGTH(size) characters and a NUL. */
void pc_base64url_encode(const void *data, size_t size, char *out);

/* Strict and canonical: another alphabet, padding, or bits behind the end that are not zero
 * are refused. The number of bytes, or -EINVAL (also: more than `size`). */
int pc_base64url_decode(const char *text, size_t length, void *out, size_t size);

#endif
