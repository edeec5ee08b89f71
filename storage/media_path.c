/* storage/media_path.c - names and places of our media files. */
#include "storage/storage_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

#define STAMP_SIZE 19 /* "20261122T144931042Z" */
#define PREFIX PC_RECORDINGS_FOLDER "/"

static void format_stamp(int64_t utc_ms, char out[static STAMP_SIZE + 1])
{
	char text[PC_CLOCK_RFC3339_SIZE];
	char *p = out;
	pc_clock_format(utc_ms, text);
	for (const char *t = text; *t != '\0'; t++) {
		if (*t != '-' && *t != ':' && *t != '.') {
			*p++ = *t;
		}
	}
	*p = '\0';
}

/* Reads a stamp; only one that we would write the same way is taken. */
static int parse_stamp(const char *text, int64_t *ret_utc_ms)
{
	char rfc[PC_CLOCK_RFC3339_SIZE], again[STAMP_SIZE + 1];
	int64_t utc_ms;
	if (strlen(text) < STAMP_SIZE) {
		return -EINVAL;
	}
	(void)snprintf(rfc, sizeof(rfc), "%.4s-%.2s-%.5s:%.2s:%.2s.%.4s", text, text + 4, text + 6,
		text + 11, text + 13, text + 15);
	if (pc_clock_parse(rfc, &utc_ms) < 0) {
		return -EINVAL;
	}
	format_stamp(utc_ms, again);
	if (strncmp(text, again, STAMP_SIZE) != 0) {
		return -EINVAL;
	}
	*ret_utc_ms = utc_ms;
	return 0;
}

int pc_media_path(const char *camera, int64_t utc_ms, enum pc_event_kind kind, unsigned n,
	char *out, size_t size)
{
	char stamp[STAMP_SIZE + 1], suffix[16] = "";
	format_stamp(utc_ms, stamp);
	if (n > 1) {
		(void)snprintf(suffix, sizeof(suffix), "-%u", n);
	}
	int length = snprintf(out, size, PREFIX "%s/%.4s/%.2s/%.2s/%s_%s%s.mp4", camera, stamp,
		stamp + 4, stamp + 6, stamp, pc_event_kind_name(kind), suffix);
	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int pc_thumbnail_path(const char *clip_path, int64_t event_id, char *out, size_t size)
{
	size_t n = strlen(clip_path);
	if (n < 4) {
		return -EINVAL;
	}
	int length =
		snprintf(out, size, "%.*s_%lld.jpg", (int)(n - 4), clip_path, (long long)event_id);
	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* Digits without leading zero, at most 18: the value and what is behind it; else NULL. */
static const char *parse_number(const char *text, int64_t *ret)
{
	int64_t value = 0;
	const char *p = text;
	while (isdigit((unsigned char)*p) && p - text < 18) {
		value = value * 10 + (*p++ - '0');
	}
	if (p == text || *text == '0') {
		return NULL;
	}
	*ret = value;
	return p;
}

/* "_motion.mp4", "_zone_enter-2_17.jpg": what stands behind the stamp. */
static int parse_rest(const char *text, struct pc_media_name *name)
{
	int64_t n;
	if (*text++ != '_') {
		return -EINVAL;
	}
	/* Kinds have underscores: the longest name that fits is the one. */
	size_t length = 0;
	for (unsigned kind = 0; kind < PC_EVENT_KINDS; kind++) {
		const char *kind_name = pc_event_kind_name((enum pc_event_kind)kind);
		size_t n_name = strlen(kind_name);
		if (n_name > length && strncmp(text, kind_name, n_name) == 0) {
			length = n_name;
			name->kind = (enum pc_event_kind)kind;
		}
	}
	if (length == 0) {
		return -EINVAL;
	}
	text += length;
	if (*text == '-') {
		text = parse_number(text + 1, &n);
		if (text == NULL || n < 2) {
			return -EINVAL;
		}
	}
	if (strcmp(text, ".mp4") == 0) {
		name->clip = true;
		return 0;
	}
	if (*text != '_') {
		return -EINVAL;
	}
	text = parse_number(text + 1, &name->event_id);
	if (text == NULL || strncmp(text, ".jpg", 4) != 0) {
		return -EINVAL;
	}
	text += 4;
	name->temporary = strcmp(text, ".tmp") == 0;
	return *text == '\0' || name->temporary ? 0 : -EINVAL;
}

static bool is_id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

int pc_media_path_parse(
	const char *path, struct pc_media_name *ret_name, char *camera, size_t camera_size)
{
	struct pc_media_name name = { 0 };
	if (strncmp(path, PREFIX, sizeof(PREFIX) - 1) != 0) {
		return -EINVAL;
	}
	const char *id = path + sizeof(PREFIX) - 1;
	size_t n = 0;
	while (is_id_char(id[n])) {
		n++;
	}
	const char *file = strrchr(path, '/') + 1;
	if (n == 0 || n >= camera_size || n >= PC_CAMERA_ID_MAX ||
		(size_t)(file - path) != sizeof(PREFIX) - 1 + n + sizeof("/yyyy/mm/dd/") - 1 ||
		parse_stamp(file, &name.utc_ms) < 0 || parse_rest(file + STAMP_SIZE, &name) < 0) {
		return -EINVAL;
	}
	/* The folders must be those of its time. */
	char folders[sizeof("/yyyy/mm/dd/")];
	(void)snprintf(folders, sizeof(folders), "/%.4s/%.2s/%.2s/", file, file + 4, file + 6);
	if (strncmp(id + n, folders, sizeof(folders) - 1) != 0) {
		return -EINVAL;
	}
	memcpy(camera, id, n);
	camera[n] = '\0';
	*ret_name = name;
	return 0;
}
