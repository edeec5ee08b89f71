/* tests/fuzz/fuzz_head.c - any bytes as the head of a request, whole and as they drip in.
 *
 * Input: how many bytes come at a time (1 byte), the bytes. What is let through has one reading
 * only: lines that end with CR LF, no other control character, names that are tokens.
 */
#include <errno.h>
#include <strings.h>

#include "http/tls_front_internal.h"
#include "tests/fuzz/fuzz.h"

#define BODY_MAX UINT64_C(999999999999999999)

static void check_field(const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size);
	fuzz_assert(colon != NULL && colon > line);
	for (const char *c = line; c < colon; c++) {
		fuzz_assert(*c > ' ' && *c < 0x7f && strchr("\"(),/;<=>?@[\\]{}", *c) == NULL);
	}
}

/* The head up to its empty line, by the book. Its size. */
static size_t check_head(const char *head, size_t size)
{
	const char *end = memmem(head, size, "\r\n\r\n", 4);
	fuzz_assert(end != NULL);
	const size_t head_size = (size_t)(end - head) + 4;
	for (size_t i = 0; i < head_size; i++) {
		const unsigned char c = (unsigned char)head[i];
		fuzz_assert(c != '\n' || (i > 0 && head[i - 1] == '\r'));
		fuzz_assert(c != '\r' || head[i + 1] == '\n');
		fuzz_assert(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
	}
	fuzz_assert(head[0] > ' ' && head[0] < 0x7f);
	const char *line = (const char *)memmem(head, head_size, "\r\n", 2) + 2;
	while (line < end) {
		const char *next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		check_field(line, (size_t)(next - line));
		line = next + 2;
	}
	return head_size;
}

/* Each time a buffer of its own, so that a look beyond what has come is seen. */
static int drip(const uint8_t *data, size_t size, size_t step, uint64_t *ret_message)
{
	size_t scanned = 0, have = 0;
	int r = -EAGAIN;
	while (r == -EAGAIN && have < size) {
		have = size - have < step ? size : have + step;
		uint8_t *bytes = fuzz_copy(data, have);
		r = front_head_read(bytes, have, &scanned, ret_message);
		free(bytes);
		fuzz_assert(scanned <= have);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = fuzz_begin(data, size);
	const size_t step = fuzz_number(&input, 1) + 1;
	uint8_t *bytes = fuzz_copy(input.data, input.left);
	uint64_t message = 0, dripped = 0;
	size_t scanned = 0;

	const int r = front_head_read(bytes, input.left, &scanned, &message);
	fuzz_assert(r == 0 || r == -EAGAIN || r == -EBADMSG);
	if (r == 0) {
		const size_t head = check_head((const char *)bytes, input.left);
		fuzz_assert(message >= head && message - head <= BODY_MAX);
	}
	if (input.left > 0) {
		fuzz_assert(drip(bytes, input.left, step, &dripped) == r && dripped == message);
	}
	free(bytes);
	return 0;
}
