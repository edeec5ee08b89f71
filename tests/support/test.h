/* tests/support/test.h - the smallest test harness that says what failed.
 *
 *   int main(void) { TEST_RUN(test_this); TEST_RUN(test_that); return test_end(); }
 *
 * A failed check prints file, line and expression and ends the program (1): the first
 * fault is the one to read. test_skip() ends it with 77 and a reason.
 */
#ifndef PC_TEST_H
#define PC_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *test_current = "main";
static int test_count;

#define TEST_RUN(fn)                                                                               \
	do {                                                                                       \
		test_current = #fn;                                                                \
		fn();                                                                              \
		test_count++;                                                                      \
		printf("ok %s\n", #fn);                                                            \
		fflush(stdout);                                                                    \
	} while (0)

#define test_fail(...)                                                                             \
	do {                                                                                       \
		fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, test_current);                  \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
		exit(1);                                                                           \
	} while (0)

#define test_assert(x)                                                                             \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			test_fail("not true: %s", #x);                                             \
		}                                                                                  \
	} while (0)

#define test_int(actual, expected)                                                                 \
	do {                                                                                       \
		const int64_t actual_ = (int64_t)(actual);                                         \
		const int64_t expected_ = (int64_t)(expected);                                     \
		if (actual_ != expected_) {                                                        \
			test_fail("%s is %" PRId64 ", not %" PRId64 " (%s)", #actual, actual_,     \
				expected_, #expected);                                             \
		}                                                                                  \
	} while (0)

#define test_str(actual, expected)                                                                 \
	do {                                                                                       \
		const char *actual_ = (actual);                                                    \
		const char *expected_ = (expected);                                                \
		if (actual_ == NULL || strcmp(actual_, expected_) != 0) {                          \
			test_fail("%s is \"%s\", not \"%s\"", #actual,                             \
				actual_ == NULL ? "(null)" : actual_, expected_);                  \
		}                                                                                  \
	} while (0)

#define test_skip(...)                                                                             \
	do {                                                                                       \
		printf("SKIP: ");                                                                  \
		printf(__VA_ARGS__);                                                               \
		putchar('\n');                                                                     \
		exit(77);                                                                          \
	} while (0)

static inline int test_end(void)
{
	printf("%d checks passed\n", test_count);
	return 0;
}

#endif
