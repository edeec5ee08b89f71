/* tests/fuzz/fuzz_clock.c - any text as a time, any number as a text; both ways.
 *
 * Input: UTC milliseconds (8 bytes), a text.
 */
#include <errno.h>

#include "core/clock.h"
#include "tests/fuzz/fuzz.h"

#define DAY_MS INT64_C(86400000)
#define FIRST_MS INT64_C(-62167219200000) /* 0000-01-01 */
#define LAST_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999 */

static int64_t clamp(int64_t ms)
{
	return ms < FIRST_MS ? FIRST_MS : ms > LAST_MS ? LAST_MS : ms;
}

static void check_format(int64_t utc_ms)
{
	char text[PC_CLOCK_RFC3339_SIZE];
	int64_t again = 0;
	pc_clock_format(utc_ms, text);
	fuzz_assert(strlen(text) == PC_CLOCK_RFC3339_SIZE - 1);
	fuzz_assert(pc_clock_parse(text, &again) == 0 && again == clamp(utc_ms));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = fuzz_begin(data, size);
	check_format((int64_t)fuzz_number(&input, 8));
	char *text = fuzz_text(&input, '\0');
	int64_t ms = 4711;
	const int r = pc_clock_parse(text, &ms);
	if (r == 0) {
		/* An offset may lead out of the years that can be written, by less than a day. */
		fuzz_assert(ms > FIRST_MS - DAY_MS && ms <= LAST_MS + DAY_MS + 1000);
		fuzz_assert(strlen(text) >= 20 && strlen(text) <= 35);
		check_format(ms);
	} else {
		fuzz_assert(r == -EINVAL && ms == 4711);
	}
	free(text);
	return 0;
}
