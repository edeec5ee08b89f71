/* http/reply.c - replies: one head with the security headers, then the body's bytes.
 *
 * Civetweb's own helpers are not used: mg_send_file() gets ranges wrong, and its error pages
 * are not problem+json. Everything goes through mg_write().
 */
#include <civetweb.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PC_LOG_MODULE "http"
#include "core/log.h"
#include "http/http_internal.h"
#include "http/server_internal.h"

/* Small pieces are gathered, so that a reply is few writes: each is a wake-up of the front. */
struct writer {
	struct mg_connection *connection;
	size_t used;
	bool failed;
	char bytes[16384];
};

static void writer_init(struct writer *writer, struct pc_request *request)
{
	writer->connection = request->connection;
	writer->used = 0;
	writer->failed = false;
}

static void write_out(struct writer *writer, const void *data, size_t size)
{
	while (size > 0 && !writer->failed) {
		const size_t piece = size < 1 << 20 ? size : 1 << 20; /* mg_write() takes an int */
		if (mg_write(writer->connection, data, piece) != (int)piece) {
			writer->failed = true; /* the client has gone; the server's loop closes */
		}
		data = (const char *)data + piece;
		size -= piece;
	}
}

static void writer_flush(struct writer *writer)
{
	write_out(writer, writer->bytes, writer->used);
	writer->used = 0;
}

static void writer_add(struct writer *writer, const void *data, size_t size)
{
	if (size > sizeof(writer->bytes) - writer->used) {
		writer_flush(writer);
		if (size >= sizeof(writer->bytes)) {
			write_out(writer, data, size);
			return;
		}
	}
	memcpy(writer->bytes + writer->used, data, size);
	writer->used += size;
}

static void writer_text(struct writer *writer, const char *text)
{
	writer_add(writer, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void writer_format(
	struct writer *writer, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	const int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof(text)) {
		writer_add(writer, text, (size_t)n);
	}
}

static const char *status_title(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 302, "Found" },
		{ 303, "See Other" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (unsigned i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
		if (titles[i].status == status) {
			return titles[i].title;
		}
	}
	return "Status";
}

/* Whether the lines of `headers` have one called `name` (with its colon). */
static bool has_header(const char *headers, const char *name)
{
	const size_t size = strlen(name);

	while (headers != NULL && *headers != '\0') {
		if (strncasecmp(headers, name, size) == 0) {
			return true;
		}
		headers = strchr(headers, '\n');
		headers = headers == NULL ? NULL : headers + 1;
	}
	return false;
}

/* As Civetweb will decide after the handler (civetweb.c, should_keep_alive). */
static bool client_keeps_alive(const struct pc_request *request, bool http_1_1)
{
	const char *header = pc_request_header(request, "Connection");

	return header == NULL ? http_1_1 : strcasestr(header, "keep-alive") != NULL;
}

static void write_security(
	struct writer *writer, const struct pc_request *request, const char *headers)
{
	const char *host = pc_request_header(request, "Host");

	writer_text(writer, "X-Content-Type-Options: nosniff\r\n"
			    "X-Frame-Options: DENY\r\n"
			    "Referrer-Policy: no-referrer\r\n"
			    "Cross-Origin-Resource-Policy: same-origin\r\n");
	if (!has_header(headers, "Content-Security-Policy:")) {
		writer_text(writer,
			"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
	}
	/* Not on localhost: it would hold for every other server on this machine. */
	if (!request->server->config.settings->http.plain_loopback && host != NULL &&
		strncasecmp(host, "localhost", 9) != 0) {
		writer_text(writer, "Strict-Transport-Security: max-age=31536000\r\n");
	}
	if (!has_header(headers, "Cache-Control:")) {
		writer_text(writer, "Cache-Control: no-store\r\n");
	}
}

#define LENGTH_NONE UINT64_MAX /* 204, 304 */
#define LENGTH_CHUNKED (UINT64_MAX - 1)

/* Civetweb reads what is left of a body before the next request, all of it: rather close. */
static void decide_close(struct pc_request *request, uint64_t length, bool http_1_1)
{
	if (request->body_left > 0 || !client_keeps_alive(request, http_1_1) ||
		length == LENGTH_CHUNKED) {
		request->close = true;
	}
}

/* Writes the head. False: something was replied already. */
static bool write_head(struct writer *writer, struct pc_request *request, int status,
	const char *content_type, uint64_t length, const char *headers)
{
	const struct mg_request_info *info = mg_get_request_info(request->connection);
	const bool http_1_1 = info->http_version == NULL || strcmp(info->http_version, "1.0") != 0;
	const time_t now = time(NULL);
	struct tm tm;
	char date[40];

	if (request->status != 0) {
		pc_error("%s replied twice: %d, then %d", request->path, request->status, status);
		return false;
	}
	request->status = status;
	writer_init(writer, request);
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	writer_format(writer, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, status_title(status), date);
	write_security(writer, request, headers);
	if (content_type != NULL) {
		writer_format(writer, "Content-Type: %s\r\n", content_type);
	}
	if (headers != NULL) {
		writer_text(writer, headers);
	}
	if (length == LENGTH_CHUNKED) {
		request->streaming = http_1_1;
		writer_text(writer, http_1_1 ? "Transfer-Encoding: chunked\r\n" : "");
	} else if (length != LENGTH_NONE) {
		writer_format(writer, "Content-Length: %llu\r\n", (unsigned long long)length);
	}
	decide_close(request, length, http_1_1);
	if (request->close) {
		writer_text(writer, "Connection: close\r\n");
	} else if (!http_1_1) {
		writer_text(writer, "Connection: keep-alive\r\n");
	}
	writer_text(writer, "\r\n");
	return true;
}

/* Sends what was gathered. A body that stopped in its middle ends the connection. */
static int finish_reply(struct writer *writer, struct pc_request *request)
{
	writer_flush(writer);
	if (writer->failed) {
		request->close = true;
	}
	return request->status;
}

int pc_reply_vector(struct pc_request *request, int status, const char *content_type,
	const char *headers, const struct iovec *parts, unsigned n)
{
	struct writer writer;
	uint64_t size = 0;

	for (unsigned i = 0; i < n; i++) {
		size += parts[i].iov_len;
	}
	if (!write_head(&writer, request, status, content_type, size, headers)) {
		return request->status;
	}
	for (unsigned i = 0; i < n && !request->head; i++) {
		writer_add(&writer, parts[i].iov_base, parts[i].iov_len);
	}
	return finish_reply(&writer, request);
}

int pc_reply_bytes(struct pc_request *request, int status, const char *content_type,
	const char *headers, const void *data, size_t size)
{
	const struct iovec part = { .iov_base = (void *)data, .iov_len = size };

	return pc_reply_vector(request, status, content_type, headers, &part, 1);
}

int pc_reply_empty(struct pc_request *request, int status, const char *headers)
{
	struct writer writer;
	const bool bodiless = status == 204 || status == 304;

	if (!write_head(&writer, request, status, NULL, bodiless ? LENGTH_NONE : 0, headers)) {
		return request->status;
	}
	return finish_reply(&writer, request);
}

int pc_reply_json(struct pc_request *request, int status, json_t *body, const char *headers)
{
	char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);

	json_decref(body);
	if (text == NULL) {
		return pc_reply_problem(request, 503, "Retry-After: 5\r\n", "Out of memory.");
	}
	pc_reply_bytes(request, status, "application/json", headers, text, strlen(text));
	free(text);
	return request->status;
}

/* `text` within a JSON string. Bytes that are not ASCII become "?": it may be anybody's.
 * Lines stay lines: safe mode has a fault on each. */
static void json_escape(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 3 < size; text++) {
		const unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c == '\n') {
			out[n++] = '\\';
			out[n++] = 'n';
		} else {
			out[n++] = (char)(c < 0x20 || c > 0x7e ? (unsigned char)'?' : c);
		}
	}
	out[n] = '\0';
}

int pc_reply_problem(
	struct pc_request *request, int status, const char *headers, const char *format, ...)
{
	char detail[384], escaped[sizeof(detail) * 2], body[sizeof(escaped) + 160];
	va_list args;

	va_start(args, format);
	if (vsnprintf(detail, sizeof(detail), format, args) < 0) {
		detail[0] = '\0';
	}
	va_end(args);
	json_escape(escaped, sizeof(escaped), detail);
	const int n = snprintf(body, sizeof(body),
		"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}",
		status_title(status), status, escaped);
	return pc_reply_bytes(
		request, status, "application/problem+json", headers, body, (size_t)n);
}

int pc_reply_stream(struct pc_request *request, const char *content_type, const char *headers)
{
	struct writer writer;

	if (!write_head(&writer, request, 200, content_type, LENGTH_CHUNKED, headers)) {
		return request->status;
	}
	return finish_reply(&writer, request);
}

int pc_reply_stream_write(struct pc_request *request, const struct iovec *parts, unsigned n)
{
	struct writer writer;
	size_t size = 0;

	for (unsigned i = 0; i < n; i++) {
		size += parts[i].iov_len;
	}
	if (request->head || size == 0) {
		return request->head ? -EPIPE : 0;
	}
	writer_init(&writer, request);
	if (request->streaming) {
		writer_format(&writer, "%zx\r\n", size);
	}
	for (unsigned i = 0; i < n; i++) {
		writer_add(&writer, parts[i].iov_base, parts[i].iov_len);
	}
	if (request->streaming) {
		writer_text(&writer, "\r\n");
	}
	writer_flush(&writer);
	if (writer.failed) {
		request->streaming = false; /* no last chunk */
		return -EPIPE;
	}
	return 0;
}

static void copy_file(
	struct writer *writer, struct pc_request *request, int fd, uint64_t first, uint64_t size)
{
	char block[65536];

	while (size > 0 && !writer->failed) {
		const size_t wanted = size < sizeof(block) ? (size_t)size : sizeof(block);
		const ssize_t n = pread(fd, block, wanted, (off_t)first);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			/* The head has promised more: only the end of the connection can tell. */
			pc_warn("%s: %s in the middle of a reply", request->path,
				n < 0 ? pc_strerror(errno) : "the file ended");
			writer->failed = true;
			return;
		}
		writer_add(writer, block, (size_t)n);
		first += (uint64_t)n;
		size -= (uint64_t)n;
	}
}

int pc_reply_file(struct pc_request *request, int fd, uint64_t size, const char *content_type,
	const char *etag, const char *headers)
{
	const char *if_range = pc_request_header(request, "If-Range");
	uint64_t first = 0, last = size - 1;
	enum pc_range range = PC_RANGE_WHOLE;
	struct writer writer;
	char extra[1024], etag_line[96] = "", part_line[96] = "";

	if (etag != NULL) {
		snprintf(etag_line, sizeof(etag_line), "ETag: %s\r\n", etag);
	}
	/* If-Range with a date fails, rightly: no Last-Modified is sent. */
	if (!request->head && (if_range == NULL || (etag != NULL && strcmp(if_range, etag) == 0))) {
		range = pc_range_parse(pc_request_header(request, "Range"), size, &first, &last);
	}
	if (range == PC_RANGE_PART) {
		snprintf(part_line, sizeof(part_line), "Content-Range: bytes %llu-%llu/%llu\r\n",
			(unsigned long long)first, (unsigned long long)last,
			(unsigned long long)size);
	} else if (range == PC_RANGE_OUTSIDE) {
		snprintf(part_line, sizeof(part_line), "Content-Range: bytes */%llu\r\n",
			(unsigned long long)size);
	}
	const int n = snprintf(extra, sizeof(extra), "Accept-Ranges: bytes\r\n%s%s%s", etag_line,
		part_line, headers == NULL ? "" : headers);
	if (n < 0 || (size_t)n >= sizeof(extra)) {
		return pc_reply_problem(request, 500, NULL, "The reply's headers are too long.");
	}

	if (etag != NULL && pc_request_has_etag(request, etag)) {
		return pc_reply_empty(request, 304, extra);
	}
	if (range == PC_RANGE_OUTSIDE) {
		return pc_reply_problem(
			request, 416, extra, "The file has %llu bytes.", (unsigned long long)size);
	}
	const uint64_t length = range == PC_RANGE_PART ? last - first + 1 : size;
	if (!write_head(&writer, request, range == PC_RANGE_PART ? 206 : 200, content_type, length,
		    extra)) {
		return request->status;
	}
	if (!request->head) {
		copy_file(&writer, request, fd, first, length);
	}
	return finish_reply(&writer, request);
}
