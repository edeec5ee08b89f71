/* core/clock.c - the two clocks; see clock.h. */
#include "core/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z */
#define MIN_UTC_MS INT64_C(-62167219200000)
#define MAX_UTC_MS INT64_C(253402300799999)

static int64_t read_clock(clockid_t id)
{
	struct timespec now;
	clock_gettime(id, &now);
	return now.tv_sec * PC_NS_PER_S + now.tv_nsec;
}

int64_t pc_clock_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t pc_clock_now_utc_ms(void)
{
	return read_clock(CLOCK_REALTIME) / PC_NS_PER_MS;
}

int64_t pc_clock_utc_ms_of(int64_t mono_ns)
{
	int64_t offset_ns = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_MONOTONIC);
	return (mono_ns + offset_ns) / PC_NS_PER_MS;
}

void pc_clock_format(int64_t utc_ms, char out[static PC_CLOCK_RFC3339_SIZE])
{
	if (utc_ms < MIN_UTC_MS) {
		utc_ms = MIN_UTC_MS;
	} else if (utc_ms > MAX_UTC_MS) {
		utc_ms = MAX_UTC_MS;
	}
	int64_t ms = utc_ms % 1000;
	if (ms < 0) {
		ms += 1000;
	}
	time_t seconds = (time_t)((utc_ms - ms) / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	/* The modulo only tells the compiler how many digits there are. */
	snprintf(out, PC_CLOCK_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		(unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		(unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		(unsigned)tm.tm_sec % 100, (unsigned)ms % 1000);
}

/* Takes exactly `n` digits from *text, which moves on. */
static bool take_number(const char **text, unsigned n, int *ret)
{
	int value = 0;
	for (unsigned i = 0; i < n; i++) {
		char c = (*text)[i];
		if (c < '0' || c > '9') {
			return false;
		}
		value = value * 10 + (c - '0');
	}
	*text += n;
	*ret = value;
	return true;
}

static bool take_char(const char **text, char upper, char lower)
{
	if (**text != upper && **text != lower) {
		return false;
	}
	(*text)++;
	return true;
}

/* "." and 1 to 9 digits, or nothing: milliseconds, rounded down. */
static bool take_fraction(const char **text, int *ret_ms)
{
	int ms = 0;
	if (take_char(text, '.', '.')) {
		unsigned n = 0;
		int digit;
		for (; n < 9 && take_number(text, 1, &digit); n++) {
			ms = n < 3 ? ms * 10 + digit : ms;
		}
		if (n == 0) {
			return false;
		}
		for (; n < 3; n++) {
			ms *= 10;
		}
	}
	*ret_ms = ms;
	return true;
}

/* "Z", or "+hh:mm" or "-hh:mm": minutes east of Greenwich. */
static bool take_offset(const char **text, int *ret_minutes)
{
	if (take_char(text, 'Z', 'z')) {
		*ret_minutes = 0;
		return true;
	}
	int sign = **text == '-' ? -1 : 1;
	int hours, minutes;
	if (!take_char(text, '+', '-') || !take_number(text, 2, &hours) ||
		!take_char(text, ':', ':') || !take_number(text, 2, &minutes) || hours > 23 ||
		minutes > 59) {
		return false;
	}
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

int pc_clock_parse(const char *text, int64_t *ret_utc_ms)
{
	int year, month, day, hour, minute, second, ms, offset;
	if (!take_number(&text, 4, &year) || !take_char(&text, '-', '-') ||
		!take_number(&text, 2, &month) || !take_char(&text, '-', '-') ||
		!take_number(&text, 2, &day) || !take_char(&text, 'T', 't') ||
		!take_number(&text, 2, &hour) || !take_char(&text, ':', ':') ||
		!take_number(&text, 2, &minute) || !take_char(&text, ':', ':') ||
		!take_number(&text, 2, &second) || !take_fraction(&text, &ms) ||
		!take_offset(&text, &offset) || *text != '\0') {
		return -EINVAL;
	}
	/* Second 60 is a leap second; UTC ms have none, so it is the next one. */
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
		minute > 59 || second > 60) {
		return -EINVAL;
	}
	struct tm tm = {
		.tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second,
	};
	*ret_utc_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
	return 0;
}
