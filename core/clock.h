/* core/clock.h - the two clocks.
 *
 * Logic runs on CLOCK_MONOTONIC in nanoseconds (`_ns`). UTC in milliseconds
 * since 1970 (`_utc_ms`) exists only at the edges: rows, file names, the API.
 *
 * Thread: any; nothing blocks.
 */
#ifndef PC_CORE_CLOCK_H
#define PC_CORE_CLOCK_H

#include <stdint.h>
#include <stddef.h>

#define PC_NS_PER_MS INT64_C(1000000)
#define PC_NS_PER_S INT64_C(1000000000)

int64_t pc_clock_now_ns(void);
int64_t pc_clock_now_utc_ms(void);

/* The wall-clock time of a monotonic instant, by the offset that holds now. */
int64_t pc_clock_utc_ms_of(int64_t mono_ns);

/* "2026-11-22T14:49:31.042Z" and its NUL. */
#define PC_CLOCK_RFC3339_SIZE 25

/* RFC 3339 in UTC with milliseconds. Years outside 0..9999 are clamped. */
void pc_clock_format(int64_t utc_ms, char out[static PC_CLOCK_RFC3339_SIZE]);

/* Reads RFC 3339 with any offset and 0 to 9 fraction digits.
 * 0, or -EINVAL and *ret_utc_ms untouched. */
int pc_clock_parse(const char *text, int64_t *ret_utc_ms);

#endif
