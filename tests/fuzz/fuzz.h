/* tests/fuzz/fuzz.h - what fuzz targets share.
 *
 * A target is one file with an LLVMFuzzerTestOneInput(). With -Dfuzz=true (clang) it is linked
 * with libFuzzer; else with replay.c, which feeds it the kept inputs. What must always be true is
 * said with fuzz_assert(). An input is taken apart from its front; what is missing reads as zeros.
 */
#ifndef PC_TEST_FUZZ_H
#define PC_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_assert(x)                                                                             \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);          \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

static inline struct fuzz_input fuzz_begin(const uint8_t *data, size_t size)
{
	return (struct fuzz_input){ data, size };
}

/* Big-endian, `n` bytes of it. */
static inline uint64_t fuzz_number(struct fuzz_input *input, unsigned n)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < n; i++) {
		value <<= 8;
		if (input->left > 0) {
			value |= *input->data++;
			input->left--;
		}
	}
	return value;
}

/* At most `size` bytes; *ret_size are left. */
static inline const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t size, size_t *ret_size)
{
	const uint8_t *data = input->data;
	*ret_size = size < input->left ? size : input->left;
	if (*ret_size > 0) {
		input->data += *ret_size;
		input->left -= *ret_size;
	}
	return data;
}

/* A malloc'ed copy of exactly these bytes, so that a sanitizer sees the first one past them. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	fuzz_assert(copy != NULL);
	if (size > 0) {
		memcpy(copy, data, size);
	}
	return copy;
}

/* The bytes up to `end` (or all), which is passed over: a malloc'ed string that ends at the first
 * NUL. */
static inline char *fuzz_text(struct fuzz_input *input, char end)
{
	const uint8_t *at = input->left > 0 ? memchr(input->data, end, input->left) : NULL;
	const size_t size = at != NULL ? (size_t)(at - input->data) : input->left;
	const size_t length = size > 0 ? strnlen((const char *)input->data, size) : 0;
	char *text = malloc(length + 1);
	fuzz_assert(text != NULL);
	if (length > 0) {
		memcpy(text, input->data, length);
	}
	text[length] = '\0';
	if (input->left > 0) {
		input->data += size;
		input->left -= size;
	}
	if (at != NULL) {
		input->data++;
		input->left--;
	}
	return text;
}

#endif
