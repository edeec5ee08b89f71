/* http/api_common.c - strict input and the JSON pieces of all handlers; see api_internal.h. */
#include "http/api_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

bool pc_api_storage(struct pc_request *request, struct pc_storage **ret_storage)
{
	const struct pc_http_config *config = pc_http_config(request->server);
	/* Safe mode has no logins either. */
	if (config->storage == NULL || pc_http_auth(request->server) == NULL) {
		pc_reply_problem(request, 503, NULL, "petcam is in safe mode: %s",
			config->safe_mode_text != NULL ? config->safe_mode_text
						       : "there is no storage");
		return false;
	}
	*ret_storage = config->storage;
	return true;
}

bool pc_api_id(struct pc_request *request, unsigned param, const char *thing, int64_t *ret_id)
{
	if (pc_request_id(request, param, ret_id) < 0) {
		pc_reply_problem(request, 400, NULL,
			"The id of the %s must be a whole number from 1 on.", thing);
		return false;
	}
	return true;
}

bool pc_api_query_known(struct pc_request *request, const char *const *names)
{
	const char *at = request->query;
	while (*at != '\0') {
		size_t whole = strcspn(at, "&");
		size_t length = strcspn(at, "=&");
		bool known = whole == 0;
		for (unsigned i = 0; names[i] != NULL && !known; i++) {
			known = strlen(names[i]) == length && memcmp(names[i], at, length) == 0;
		}
		if (!known) {
			/* Only what cannot be anything else than a name is said back. */
			size_t plain = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
			pc_reply_problem(request, 400, NULL, "%.*s: there is no such parameter.",
				plain == length && length < 64 ? (int)length : 1,
				plain == length && length < 64 ? at : "?");
			return false;
		}
		at += whole;
		at += *at == '&';
	}
	return true;
}

bool pc_api_query_time(struct pc_request *request, const char *name, int64_t *ret_utc_ms)
{
	char text[64];
	int r = pc_request_query(request, name, text, sizeof(text));
	if (r == -ENOENT) {
		return true;
	}
	if (r < 0 || pc_clock_parse(text, ret_utc_ms) < 0) {
		pc_reply_problem(request, 400, NULL,
			"%s must be one RFC 3339 time, such as 2026-11-22T14:49:31Z.", name);
		return false;
	}
	return true;
}

bool pc_api_query_limit(struct pc_request *request, unsigned *ret_limit)
{
	int64_t limit = PC_API_LIMIT_DEFAULT;
	int r = pc_request_query_int(request, "limit", 1, PC_API_LIMIT_MAX, &limit);
	if (r < 0 && r != -ENOENT) {
		pc_reply_problem(request, 400, NULL, "limit must be a whole number from 1 to %d.",
			PC_API_LIMIT_MAX);
		return false;
	}
	*ret_limit = (unsigned)limit;
	return true;
}

bool pc_api_query_camera(struct pc_request *request, char ret_camera[static PC_CAMERA_ID_MAX])
{
	int r = pc_request_query(request, "camera", ret_camera, PC_CAMERA_ID_MAX);
	if (r == -ENOENT) {
		ret_camera[0] = '\0';
		return true;
	}
	/* A camera that is gone may still have events: only the form is looked at. */
	if (r <= 0 || strspn(ret_camera, "abcdefghijklmnopqrstuvwxyz0123456789_-") != (size_t)r) {
		pc_reply_problem(request, 400, NULL,
			"camera must be one camera's id: letters a to z, digits, _ and -.");
		return false;
	}
	return true;
}

/* List, position and tag, 33 bytes. */
#define TAG_LENGTH 16
#define POSITION_LENGTH 17
static_assert(PC_BASE64URL_LENGTH(POSITION_LENGTH + TAG_LENGTH) < PC_API_CURSOR_SIZE, "it fits");

static void put_u64(uint8_t *out, uint64_t value)
{
	for (int i = 0; i < 8; i++) {
		out[i] = (uint8_t)(value >> (56 - 8 * i));
	}
}

static uint64_t get_u64(const uint8_t *bytes)
{
	uint64_t value = 0;
	for (int i = 0; i < 8; i++) {
		value = value << 8 | bytes[i];
	}
	return value;
}

int pc_api_cursor_make(struct pc_auth *auth, char list, const struct pc_api_cursor *cursor,
	char out[static PC_API_CURSOR_SIZE])
{
	uint8_t bytes[POSITION_LENGTH + PC_CRYPTO_TAG_SIZE];
	bytes[0] = (uint8_t)list;
	put_u64(bytes + 1, (uint64_t)cursor->start_utc_ms);
	put_u64(bytes + 9, (uint64_t)cursor->id);
	int r = pc_auth_sign(auth, bytes, POSITION_LENGTH, bytes + POSITION_LENGTH);
	if (r < 0) {
		return r;
	}
	pc_base64url_encode(bytes, POSITION_LENGTH + TAG_LENGTH, out);
	return 0;
}

int pc_api_cursor_read(
	struct pc_auth *auth, char list, const char *text, struct pc_api_cursor *ret_cursor)
{
	uint8_t bytes[POSITION_LENGTH + TAG_LENGTH];
	uint8_t tag[PC_CRYPTO_TAG_SIZE];
	if (pc_base64url_decode(text, strlen(text), bytes, sizeof(bytes)) != (int)sizeof(bytes) ||
		pc_auth_sign(auth, bytes, POSITION_LENGTH, tag) < 0 ||
		!pc_crypto_equal(tag, bytes + POSITION_LENGTH, TAG_LENGTH) ||
		bytes[0] != (uint8_t)list) {
		return -EINVAL;
	}
	ret_cursor->start_utc_ms = (int64_t)get_u64(bytes + 1);
	ret_cursor->id = (int64_t)get_u64(bytes + 9);
	return 0;
}

bool pc_api_query_cursor(struct pc_request *request, char list, struct pc_api_cursor *ret_cursor)
{
	char text[PC_API_CURSOR_SIZE];
	int r = pc_request_query(request, "cursor", text, sizeof(text));
	if (r == -ENOENT) {
		*ret_cursor = (struct pc_api_cursor){ 0 };
		return true;
	}
	if (r < 0 ||
		pc_api_cursor_read(pc_http_auth(request->server), list, text, ret_cursor) < 0) {
		pc_reply_problem(request, 400, NULL,
			"cursor must be the next_cursor of an earlier answer of this list, unchanged.");
		return false;
	}
	return true;
}

bool pc_api_fields_known(struct pc_request *request, json_t *object, const char *const *names)
{
	const char *key;
	json_t *value;
	json_object_foreach(object, key, value)
	{
		bool known = false;
		for (unsigned i = 0; names[i] != NULL && !known; i++) {
			known = strcmp(names[i], key) == 0;
		}
		if (!known) {
			pc_reply_problem(request, 400, NULL, "%.64s: there is no such field.", key);
			return false;
		}
	}
	return true;
}

static size_t characters(const char *text)
{
	size_t n = 0;
	for (; *text != '\0'; text++) {
		n += ((unsigned char)*text & 0xc0) != 0x80;
	}
	return n;
}

bool pc_api_field_text(struct pc_request *request, const json_t *value, const char *path,
	size_t min, size_t max, const char **ret_text)
{
	const char *text = json_string_value(value);
	size_t n = text != NULL ? characters(text) : 0;
	if (text == NULL || n < min || n > max) {
		pc_reply_problem(request, 400, NULL, "%s must be a text of %zu to %zu characters.",
			path, min, max);
		return false;
	}
	*ret_text = text;
	return true;
}

bool pc_api_field_integer(struct pc_request *request, const json_t *value, const char *path,
	int64_t min, int64_t max, int64_t *ret)
{
	if (!json_is_integer(value) || json_integer_value(value) < min ||
		json_integer_value(value) > max) {
		pc_reply_problem(request, 400, NULL,
			"%s must be a whole number from %" PRId64 " to %" PRId64 ".", path, min,
			max);
		return false;
	}
	*ret = json_integer_value(value);
	return true;
}

bool pc_api_field_boolean(
	struct pc_request *request, const json_t *value, const char *path, bool *ret)
{
	if (!json_is_boolean(value)) {
		pc_reply_problem(request, 400, NULL, "%s must be true or false.", path);
		return false;
	}
	*ret = json_is_true(value);
	return true;
}

json_t *pc_api_text(const char *text)
{
	json_t *value = json_string(text);
	if (value != NULL) {
		return value;
	}
	/* A name cut in the middle of a character, most likely. */
	char *copy = strdup(text);
	if (copy == NULL) {
		return NULL;
	}
	for (char *p = copy; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x80) {
			*p = '?';
		}
	}
	value = json_string(copy);
	free(copy);
	return value;
}

json_t *pc_api_text_or_null(const char *text)
{
	return text[0] != '\0' ? pc_api_text(text) : json_null();
}

json_t *pc_api_time(int64_t utc_ms)
{
	if (utc_ms == 0) {
		return json_null();
	}
	char text[PC_CLOCK_RFC3339_SIZE];
	pc_clock_format(utc_ms, text);
	return json_string(text);
}

json_t *pc_api_seconds(int64_t start_utc_ms, int64_t end_utc_ms)
{
	if (end_utc_ms == 0) {
		return json_null();
	}
	/* The clock may have been set back between them. */
	int64_t ms = end_utc_ms > start_utc_ms ? end_utc_ms - start_utc_ms : 0;
	return json_real((double)ms / 1000);
}

json_t *pc_api_id_or_null(int64_t id)
{
	return id == 0 ? json_null() : json_integer(id);
}

double pc_api_round(double value, unsigned digits)
{
	double scale = 1;
	for (unsigned i = 0; i < digits; i++) {
		scale *= 10;
	}
	double rounded = round(value * scale) / scale;
	return isfinite(rounded) ? rounded : 0;
}

char *pc_api_dump(const json_t *body)
{
	return json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15));
}

int pc_api_reply(struct pc_request *request, int status, json_t *body)
{
	char *text = body != NULL ? pc_api_dump(body) : NULL;
	json_decref(body);
	if (text == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	pc_reply_bytes(request, status, "application/json", NULL, text, strlen(text));
	free(text);
	return request->status;
}

int pc_api_reply_list(struct pc_request *request, json_t *items, const char *cursor)
{
	/* Out of memory, json_pack drops `items` too. */
	return pc_api_reply(
		request, 200, json_pack("{s:o, s:s?}", "items", items, "next_cursor", cursor));
}

int pc_api_failed(struct pc_request *request, int err, const char *thing)
{
	switch (err) {
	case -ENOENT:
		return pc_reply_problem(request, 404, NULL, "There is no such %s.", thing);
	case -ENOMEM:
		return pc_reply_problem(request, 503, "Retry-After: 5\r\n", "Out of memory.");
	case -EAGAIN:
	case -EBUSY:
		return pc_reply_problem(
			request, 503, "Retry-After: 1\r\n", "petcam is busy: try again.");
	case -ENOSPC:
		return pc_reply_problem(
			request, 503, "Retry-After: 60\r\n", "There is no space left for this.");
	default:
		return pc_reply_problem(request, 503, "Retry-After: 10\r\n",
			"The storage does not answer: see /health.");
	}
}

int pc_api_wait(struct pc_request *request, int status, int64_t wait_ns, const char *detail)
{
	char header[48];
	int64_t wait_s = (wait_ns + PC_NS_PER_S - 1) / PC_NS_PER_S;
	snprintf(header, sizeof(header), "Retry-After: %" PRId64 "\r\n", wait_s > 0 ? wait_s : 1);
	return pc_reply_problem(request, status, header, "%s", detail);
}
