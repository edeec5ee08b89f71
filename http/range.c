/* http/range.c - reads a Range header (RFC 9110, section 14). */
#include <string.h>
#include <strings.h>

#include "http/http_internal.h"

static const char *skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t') {
		at++;
	}
	return at;
}

/* Digits, saturating; NULL when there are none. */
static const char *read_number(const char *at, uint64_t *ret)
{
	uint64_t value = 0;
	const char *start = at;

	for (; *at >= '0' && *at <= '9'; at++) {
		const uint64_t digit = (uint64_t)(*at - '0');
		value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
	}
	if (at == start) {
		return NULL;
	}
	*ret = value;
	return at;
}

enum pc_range pc_range_parse(
	const char *header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t first = 0, last = UINT64_MAX;

	if (header == NULL || strncasecmp(header, "bytes=", 6) != 0) {
		return PC_RANGE_WHOLE;
	}
	const char *at = skip_space(header + 6);
	const bool suffix = *at == '-';
	if (suffix) {
		at = read_number(at + 1, &last);
	} else {
		at = read_number(at, &first);
		if (at == NULL || *at++ != '-') {
			return PC_RANGE_WHOLE;
		}
		if (*at >= '0' && *at <= '9') {
			at = read_number(at, &last);
			if (last < first) {
				return PC_RANGE_WHOLE;
			}
		}
	}
	if (at == NULL || *skip_space(at) != '\0') {
		return PC_RANGE_WHOLE;
	}

	if (suffix) {
		if (last == 0 || size == 0) {
			return PC_RANGE_OUTSIDE;
		}
		*ret_first = last >= size ? 0 : size - last;
		*ret_last = size - 1;
		return PC_RANGE_PART;
	}
	if (first >= size) {
		return PC_RANGE_OUTSIDE;
	}
	*ret_first = first;
	*ret_last = last >= size ? size - 1 : last;
	return PC_RANGE_PART;
}
