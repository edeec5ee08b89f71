/* tests/unit/core/test_clock.c - RFC 3339 to and fro, the two clocks. */
#include "core/clock.h"

#include <errno.h>
#include <time.h>

#include "tests/support/test.h"

static void test_format(void)
{
	static const struct {
		int64_t utc_ms;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1, "1970-01-01T00:00:00.001Z" },
		{ -1, "1969-12-31T23:59:59.999Z" },
		{ -1000, "1969-12-31T23:59:59.000Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 1795358971042, "2026-11-22T14:49:31.042Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ 253402300800000, "9999-12-31T23:59:59.999Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
		{ -62167219200000, "0000-01-01T00:00:00.000Z" },
		{ INT64_MIN, "0000-01-01T00:00:00.000Z" },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[PC_CLOCK_RFC3339_SIZE];
		pc_clock_format(cases[i].utc_ms, out);
		test_str(out, cases[i].text);
	}
}

static void test_parse(void)
{
	static const struct {
		const char *text;
		int64_t utc_ms;
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01t00:00:00z", 0 },
		{ "2026-11-22T14:49:31.042Z", 1795358971042 },
		{ "2026-11-22T14:49:31.04Z", 1795358971040 },
		{ "2026-11-22T14:49:31.042999999Z", 1795358971042 },
		{ "2026-11-22T15:49:31.042+01:00", 1795358971042 },
		{ "2026-11-22T03:49:31.042-11:00", 1795358971042 },
		{ "2026-11-23T04:34:31.042+13:45", 1795358971042 },
		{ "2026-11-22T14:49:31.042-00:00", 1795358971042 },
		{ "1969-12-31T23:59:59.999Z", -1 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
		{ "0000-01-01T00:00:00Z", -62167219200000 },
		{ "9999-12-31T23:59:59.999Z", 253402300799999 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t utc_ms = 77;
		test_int(pc_clock_parse(cases[i].text, &utc_ms), 0);
		test_int(utc_ms, cases[i].utc_ms);
	}
}

static void test_parse_refuses(void)
{
	static const char *const cases[] = { "", "2026", "2026-11-22", "2026-11-22T14:49:31",
		"2026-11-22 14:49:31Z", "2026-11-22T14:49:31.Z", "2026-11-22T14:49:31.0123456789Z",
		"2026-11-22T14:49Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
		"2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60",
		"2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+1", "2026-01-01T00:00:00Zx",
		" 2026-01-01T00:00:00Z", "+026-01-01T00:00:00Z", "2026-01-01T00:00:00,5Z",
		"-2026-01-01T00:00:00Z", "2026-1-01T00:00:00Z", "12026-01-01T00:00:00Z",
		"2026-01-01T-1:00:00Z" };
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t utc_ms = 77;
		if (pc_clock_parse(cases[i], &utc_ms) != -EINVAL) {
			test_fail("\"%s\" was taken", cases[i]);
		}
		test_int(utc_ms, 77);
	}
}

static void test_round_trip(void)
{
	for (int64_t utc_ms = -62167219200000; utc_ms < 253402300799999; utc_ms += 86399998777) {
		char out[PC_CLOCK_RFC3339_SIZE];
		int64_t back;
		pc_clock_format(utc_ms, out);
		test_int(pc_clock_parse(out, &back), 0);
		test_int(back, utc_ms);
	}
}

static void test_clocks(void)
{
	int64_t a_ns = pc_clock_now_ns();
	int64_t before_ms = pc_clock_now_utc_ms();
	int64_t b_ns = pc_clock_now_ns();
	test_assert(a_ns > 0 && b_ns >= a_ns);
	test_assert(before_ms / 1000 <= (int64_t)time(NULL) + 1);
	/* A minute ago by one clock is a minute ago by the other. */
	int64_t then_ms = pc_clock_utc_ms_of(b_ns - 60 * PC_NS_PER_S);
	int64_t after_ms = pc_clock_now_utc_ms();
	test_assert(then_ms >= before_ms - 60000 - 1 && then_ms <= after_ms - 60000 + 1);
}

int main(void)
{
	TEST_RUN(test_format);
	TEST_RUN(test_parse);
	TEST_RUN(test_parse_refuses);
	TEST_RUN(test_round_trip);
	TEST_RUN(test_clocks);
	return test_end();
}
