/* tests/unit/http/test_range.c - Range headers against a model that marks bytes one by one. */
#include "http/http_internal.h"
#include "tests/support/test.h"

#define NONE UINT64_MAX

/* Which bytes of `size` a range asks for, byte by byte. first NONE: a suffix; last NONE: open. */
static enum pc_range model(
	uint64_t first, uint64_t last, uint64_t size, uint64_t *ret_first, uint64_t *ret_n)
{
	uint64_t n = 0;

	if (first != NONE && last != NONE && last < first) {
		return PC_RANGE_WHOLE;
	}
	for (uint64_t i = 0; i < size; i++) {
		const bool in = first == NONE ? i + last >= size : i >= first && i <= last;
		if (in && n++ == 0) {
			*ret_first = i;
		}
	}
	*ret_n = n;
	return n == 0 ? PC_RANGE_OUTSIDE : PC_RANGE_PART;
}

static void check(const char *header, uint64_t first, uint64_t last, uint64_t size)
{
	uint64_t got_first = 77, got_last = 77, want_first = 0, want_n = 0;

	const enum pc_range want = model(first, last, size, &want_first, &want_n);
	const enum pc_range got = pc_range_parse(header, size, &got_first, &got_last);
	if (got != want) {
		test_fail("%s of %" PRIu64 " is %d, not %d", header, size, got, want);
	}
	if (got == PC_RANGE_PART) {
		test_int(got_first, want_first);
		test_int(got_last - got_first + 1, want_n);
	} else {
		test_int(got_first, 77);
		test_int(got_last, 77);
	}
}

static void test_every_small_range(void)
{
	char header[64];

	for (uint64_t size = 0; size <= 6; size++) {
		for (uint64_t first = 0; first <= 8; first++) {
			snprintf(header, sizeof(header), "bytes=%" PRIu64 "-", first);
			check(header, first, NONE, size);
			snprintf(header, sizeof(header), "bytes=-%" PRIu64, first);
			check(header, NONE, first, size);
			for (uint64_t last = 0; last <= 8; last++) {
				snprintf(header, sizeof(header), "bytes=%" PRIu64 "-%" PRIu64,
					first, last);
				check(header, first, last, size);
			}
		}
	}
}

static void test_what_is_ignored(void)
{
	static const char *const headers[] = {
		"",
		"bytes",
		"bytes=",
		"bytes= ",
		"bytes=-",
		"bytes=a-",
		"bytes=1",
		"bytes=1-2,4-5",
		"bytes=1-2,",
		"bytes=0x1-2",
		"bytes=+1-2",
		"bytes=--1",
		"bytes=1--2",
		"bytes=1-2x",
		"bytes=1 -2",
		"items=0-1",
		"bytes:0-1",
		" bytes=0-1",
		"bytes=1-2-3",
		"bytes=5-2",
	};
	uint64_t first = 77, last = 77;

	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		if (pc_range_parse(headers[i], 100, &first, &last) != PC_RANGE_WHOLE) {
			test_fail("\"%s\" was taken", headers[i]);
		}
	}
	test_int(pc_range_parse(NULL, 100, &first, &last), PC_RANGE_WHOLE);
	test_int(first, 77);
}

static void test_large_numbers(void)
{
	const uint64_t size = UINT64_C(1) << 40;
	uint64_t first, last;

	test_int(pc_range_parse("bytes=0-99999999999999999999999999", size, &first, &last),
		PC_RANGE_PART);
	test_int(first, 0);
	test_int(last, size - 1);
	test_int(pc_range_parse("bytes=99999999999999999999999999-", size, &first, &last),
		PC_RANGE_OUTSIDE);
	test_int(pc_range_parse("bytes=-99999999999999999999999999", size, &first, &last),
		PC_RANGE_PART);
	test_int(first, 0);
	test_int(pc_range_parse("bytes=18446744073709551615-18446744073709551615", UINT64_MAX,
			 &first, &last),
		PC_RANGE_OUTSIDE);
	test_int(pc_range_parse("bytes=18446744073709551614-", UINT64_MAX, &first, &last),
		PC_RANGE_PART);
	test_int(pc_range_parse("BYTES= 3-5 ", size, &first, &last), PC_RANGE_PART);
	test_int(first, 3);
	test_int(last, 5);
}

int main(void)
{
	TEST_RUN(test_every_small_range);
	TEST_RUN(test_what_is_ignored);
	TEST_RUN(test_large_numbers);
	return test_end();
}
