/* tests/fuzz/fuzz_range.c - any Range header against a body of any size.
 *
 * Input: the size (8 bytes), the header.
 */
#include <strings.h>

#include "http/http_internal.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = fuzz_begin(data, size);
	const uint64_t whole = fuzz_number(&input, 8);
	char *header = fuzz_text(&input, '\0');
	uint64_t first = 0xabab, last = 0xcdcd;

	const enum pc_range range = pc_range_parse(header, whole, &first, &last);
	switch (range) {
	case PC_RANGE_PART:
		fuzz_assert(first <= last && last < whole);
		fuzz_assert(strncasecmp(header, "bytes=", 6) == 0 && strchr(header, '-') != NULL);
		fuzz_assert(strchr(header, ',') == NULL);
		break;
	case PC_RANGE_OUTSIDE:
	case PC_RANGE_WHOLE:
		fuzz_assert(first == 0xabab && last == 0xcdcd);
		break;
	default:
		fuzz_assert(false);
	}
	/* What was given, asked for by its own numbers, is given again. */
	if (range == PC_RANGE_PART) {
		char again[64];
		uint64_t again_first, again_last;
		snprintf(again, sizeof(again), "bytes=%llu-%llu", (unsigned long long)first,
			(unsigned long long)last);
		fuzz_assert(
			pc_range_parse(again, whole, &again_first, &again_last) == PC_RANGE_PART);
		fuzz_assert(first == again_first && last == again_last);
	}
	free(header);
	return 0;
}
