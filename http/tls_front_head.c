/* http/tls_front_head.c - where a request's head ends, and how long the message is.
 *
 * Civetweb takes much for a head that is none: it skips blanks before a request (and then reads
 * on behind what it has received, into the bytes of whoever had its buffer before), it takes
 * a folded line for the end of the fields, and blanks before a colon. So it gets no head that
 * is not as RFC 9112 has it, to the letter: lines end with CR LF, none is folded, names are
 * tokens. What the fields mean is looked at in serve.c.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/tls_front_internal.h"

#define LENGTH_DIGITS 18

/* RFC 9110, 5.6.2. */
static bool is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* The size of the line at `at`, without its CR LF; -1: it has another end, or a control
 * character in it. */
static ssize_t line_size(const unsigned char *at, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (at[i] == '\r') {
			return i + 1 < size && at[i + 1] == '\n' ? (ssize_t)i : -1;
		}
		if ((at[i] < ' ' && at[i] != '\t') || at[i] == 0x7f) {
			return -1;
		}
	}
	return -1;
}

/* Digits alone; what is none is refused by the server, and has no body until then. */
static uint64_t read_length(const unsigned char *value, size_t size)
{
	uint64_t length = 0;

	while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t')) {
		size--;
	}
	if (size > LENGTH_DIGITS) {
		return 0;
	}
	for (size_t i = 0; i < size; i++) {
		if (value[i] < '0' || value[i] > '9') {
			return 0;
		}
		length = length * 10 + (uint64_t)(value[i] - '0');
	}
	return length;
}

/* One field, "Name: value". False: it is none. */
static bool read_field(const unsigned char *line, size_t size, uint64_t *body)
{
	static const char name[] = "Content-Length";
	const size_t name_size = sizeof(name) - 1;
	size_t n = 0;

	while (n < size && is_token(line[n])) {
		n++;
	}
	if (n == 0 || n == size || line[n] != ':') {
		return false;
	}
	if (n == name_size && strncasecmp((const char *)line, name, name_size) == 0) {
		for (n++; n < size && (line[n] == ' ' || line[n] == '\t'); n++) {
		}
		*body = read_length(line + n, size - n);
	}
	return true;
}

/* "METHOD /..": for other targets Civetweb closes without a word. What follows is its matter. */
static bool is_request_line(const unsigned char *line, size_t size)
{
	size_t n = 0;

	while (n < size && is_token(line[n])) {
		n++;
	}
	return n > 0 && n + 1 < size && line[n] == ' ' && line[n + 1] == '/';
}

/* Whether an empty line is there, with or without its carriage return. */
static bool has_end(const unsigned char *bytes, size_t size, size_t *scanned)
{
	for (size_t i = *scanned; i + 1 < size; i++) {
		if (bytes[i] == '\n' &&
			(bytes[i + 1] == '\n' ||
				(bytes[i + 1] == '\r' && i + 2 < size && bytes[i + 2] == '\n'))) {
			return true;
		}
	}
	*scanned = size > 3 ? size - 3 : 0;
	return false;
}

int front_head_read(const unsigned char *bytes, size_t size, size_t *scanned, uint64_t *ret_message)
{
	uint64_t body = 0;
	size_t at = 0;

	if (size > 0 && !is_token(bytes[0])) {
		return -EBADMSG;
	}
	if (!has_end(bytes, size, scanned)) {
		return -EAGAIN;
	}
	ssize_t line = line_size(bytes, size);
	if (line < 0 || !is_request_line(bytes, (size_t)line)) {
		return -EBADMSG;
	}
	do {
		at += (size_t)line + 2;
		line = line_size(bytes + at, size - at);
		if (line < 0 || (line > 0 && !read_field(bytes + at, (size_t)line, &body))) {
			return -EBADMSG;
		}
	} while (line > 0);
	*ret_message = at + 2 + body;
	return 0;
}
