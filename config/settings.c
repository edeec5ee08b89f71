/* config/settings.c - reads the settings: defaults, then the file, then the overrides.
 *
 * File and overrides become one libconfig tree first; the tree is then walked against
 * the table, so that every fault of either is found in one pass and named with its place.
 */
#include "config/settings_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1024 * 1024) /* a settings file is a few KB */

static const char override_mark[] = "--set"; /* hook of what came from an override */

static void add_error(struct pc_settings_errors *errors, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_error(struct pc_settings_errors *errors, const char *format, ...)
{
	const size_t used = strlen(errors->text);
	const size_t room = sizeof(errors->text) - used;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(errors->text + used, room, format, args);
	va_end(args);
	errors->count++;
	if (n >= 0 && (size_t)n + 1 < room) {
		errors->text[used + (size_t)n] = '\n';
		errors->text[used + (size_t)n + 1] = '\0';
	}
}

/* "petcam.cfg:12: " or "--set: ", in front of every fault. */
static void place(const config_setting_t *setting, const char *file, char *out, size_t size)
{
	if (config_setting_get_hook(setting) == override_mark) {
		snprintf(out, size, "--set");
	} else {
		snprintf(out, size, "%s:%u", file == NULL ? "settings" : file,
			config_setting_source_line(setting));
	}
}

struct reader {
	struct pc_settings *settings;
	struct pc_settings_errors *errors;
	const char *file; /* NULL: none */
};

static void fault(struct reader *reader, const config_setting_t *setting, const char *path,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

static void fault(struct reader *reader, const config_setting_t *setting, const char *path,
	const char *format, ...)
{
	char where[PC_SETTINGS_PATH_MAX];
	char text[512];
	place(setting, reader->file, where, sizeof(where));
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_error(reader->errors, "%s: %s: %s", where, path, text);
}

static bool get_number(const config_setting_t *setting, double *ret)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
		*ret = config_setting_get_int(setting);
		return true;
	case CONFIG_TYPE_INT64:
		*ret = (double)config_setting_get_int64(setting);
		return true;
	case CONFIG_TYPE_FLOAT:
		*ret = config_setting_get_float(setting);
		return true;
	default:
		return false;
	}
}

static void read_string(struct reader *reader, const config_setting_t *setting, const char *path,
	const struct setting *entry, char *out)
{
	const char *text = config_setting_get_string(setting);
	if (text == NULL) {
		fault(reader, setting, path, "must be a string in quotes");
		return;
	}
	if (strlen(text) >= entry->size) {
		fault(reader, setting, path, "longer than %zu bytes", entry->size - 1);
		return;
	}
	if (entry->words != NULL) {
		char word[64];
		snprintf(word, sizeof(word), "|%s|", text);
		if (strlen(text) + 2 >= sizeof(word) || strstr(entry->words, word) == NULL) {
			fault(reader, setting, path, "\"%s\" is not one of: %s", text,
				entry->info.range_text);
			return;
		}
	}
	if (entry->valid != NULL && !entry->valid(text)) {
		fault(reader, setting, path, "\"%s\" is not valid: %s", text,
			entry->info.range_text);
		return;
	}
	memcpy(out, text, strlen(text) + 1);
}

static bool read_polygon(
	struct reader *reader, const config_setting_t *group, const char *path, struct pc_zone *ret)
{
	struct pc_zone zone = { .kind = PC_ZONE_CUSTOM };
	if (!config_setting_is_group(group)) {
		fault(reader, group, path, "must be a group: { points = [x, y, ...]; }");
		return false;
	}
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *part = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(part);
		const char *text = config_setting_get_string(part);
		if (strcmp(name, "name") == 0 && text != NULL && text[0] != '\0' &&
			strlen(text) < sizeof(zone.name)) {
			memcpy(zone.name, text, strlen(text) + 1);
		} else if (strcmp(name, "kind") == 0 && text != NULL &&
			   pc_zone_kind_parse(text, &zone.kind) == 0) {
			continue;
		} else if (strcmp(name, "points") == 0 && config_setting_is_aggregate(part)) {
			const int n = config_setting_length(part);
			if (n < 6 || n % 2 != 0 || n > 2 * PC_ZONE_MAX_POINTS) {
				fault(reader, part, path, "points: 3 to %d pairs of x, y",
					PC_ZONE_MAX_POINTS);
				return false;
			}
			for (int k = 0; k < n; k++) {
				double value = 0;
				if (!get_number(
					    config_setting_get_elem(part, (unsigned)k), &value) ||
					!(value >= 0 && value <= 1)) {
					fault(reader, part, path,
						"points: numbers within 0..1 of the picture");
					return false;
				}
				float *at =
					k % 2 == 0 ? &zone.points[k / 2].x : &zone.points[k / 2].y;
				*at = (float)value;
			}
			zone.n_points = (unsigned)n / 2;
		} else {
			fault(reader, part, path,
				"%s: not understood (name: a string below %d bytes, kind: custom, "
				"bowl, bed, door or sofa, points: [x, y, ...])",
				name, PC_ZONE_NAME_MAX);
			return false;
		}
	}
	if (zone.n_points == 0) {
		fault(reader, group, path, "points are missing");
		return false;
	}
	*ret = zone;
	return true;
}

static void read_polygons(struct reader *reader, const config_setting_t *setting, const char *path,
	struct pc_zone *zones, unsigned *count)
{
	if (!config_setting_is_list(setting)) {
		fault(reader, setting, path, "must be a list of groups: ( { ... }, { ... } )");
		return;
	}
	const unsigned n = (unsigned)config_setting_length(setting);
	if (n > PC_ZONES_MAX) {
		fault(reader, setting, path, "at most %d are possible", PC_ZONES_MAX);
		return;
	}
	*count = 0;
	for (unsigned i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(setting, i);
		struct pc_zone zone;
		if (!read_polygon(reader, group, path, &zone)) {
			continue;
		}
		if (zone.name[0] == '\0') {
			snprintf(zone.name, sizeof(zone.name), "%s%u", pc_zone_kind_name(zone.kind),
				i + 1);
		}
		zones[(*count)++] = zone;
	}
}

/* `base` is the struct that the table's offsets of this entry are in. */
static void read_value(struct reader *reader, const config_setting_t *setting, const char *path,
	const struct setting *entry, char *base)
{
	void *at = base + entry->offset;
	double number = 0;
	switch (entry->type) {
	case SETTING_STRING:
		read_string(reader, setting, path, entry, at);
		return;
	case SETTING_BOOL:
		if (config_setting_type(setting) != CONFIG_TYPE_BOOL) {
			fault(reader, setting, path, "must be true or false");
			return;
		}
		*(bool *)at = config_setting_get_bool(setting) != 0;
		return;
	case SETTING_POLYGONS:
		read_polygons(reader, setting, path, at,
			(unsigned *)(void *)(base + entry->count_offset));
		return;
	case SETTING_UNSIGNED:
	case SETTING_NUMBER:
		break;
	}
	if (!get_number(setting, &number)) {
		fault(reader, setting, path, "must be a number");
		return;
	}
	if (!(number >= entry->min && number <= entry->max)) {
		fault(reader, setting, path, "%g is not within %s", number, entry->info.range_text);
		return;
	}
	if (entry->type == SETTING_NUMBER) {
		*(double *)at = number;
		return;
	}
	if (number != (double)(unsigned)number) {
		fault(reader, setting, path, "%g is not a whole number", number);
		return;
	}
	*(unsigned *)at = (unsigned)number;
}

static const struct setting *find_entry(const char *path)
{
	for (const struct setting *entry = pc_settings_table; entry->info.path != NULL; entry++) {
		if (strcmp(entry->info.path, path) == 0) {
			return entry;
		}
	}
	return NULL;
}

/* Groups that are made of settings: "storage", "http" ... */
static bool is_group_path(const char *path)
{
	const size_t n = strlen(path);
	for (const struct setting *entry = pc_settings_table; entry->info.path != NULL; entry++) {
		if (strncmp(entry->info.path, path, n) == 0 && entry->info.path[n] == '.') {
			return true;
		}
	}
	return false;
}

static void read_group(struct reader *reader, const config_setting_t *group, const char *prefix,
	const char *shown_prefix, char *base);

static void read_cameras(struct reader *reader, const config_setting_t *setting)
{
	if (!config_setting_is_list(setting)) {
		fault(reader, setting, "cameras", "must be a list of groups: ( { ... } )");
		return;
	}
	const unsigned n = (unsigned)config_setting_length(setting);
	if (n == 0 || n > PC_SETTINGS_CAMERAS_MAX) {
		fault(reader, setting, "cameras", "1 to %d are possible", PC_SETTINGS_CAMERAS_MAX);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const config_setting_t *group = config_setting_get_elem(setting, i);
		char shown[32];
		snprintf(shown, sizeof(shown), "cameras.[%u]", i);
		if (!config_setting_is_group(group)) {
			fault(reader, group, shown, "must be a group: { source = \"...\"; }");
			continue;
		}
		struct pc_camera_settings *camera = &reader->settings->cameras[i];
		reader->settings->n_cameras = i + 1;
		read_group(reader, group, "cameras.[]", shown, (char *)camera);
		for (unsigned k = 0; k < i; k++) {
			if (strcmp(reader->settings->cameras[k].id, camera->id) == 0) {
				fault(reader, group, shown, "id \"%s\" is another camera's",
					camera->id);
			}
		}
	}
}

static void read_group(struct reader *reader, const config_setting_t *group, const char *prefix,
	const char *shown_prefix, char *base)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(setting);
		char path[256];
		char shown[256];
		snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", name);
		snprintf(shown, sizeof(shown), "%s%s%s", shown_prefix,
			shown_prefix[0] == '\0' ? "" : ".", name);
		const struct setting *entry = find_entry(path);
		if (entry != NULL) {
			read_value(reader, setting, shown, entry, base);
		} else if (prefix[0] == '\0' && strcmp(name, "cameras") == 0) {
			read_cameras(reader, setting);
		} else if (prefix[0] == '\0' && is_group_path(path)) {
			if (config_setting_is_group(setting)) {
				read_group(reader, setting, path, shown, base);
			} else {
				fault(reader, setting, shown, "must be a group: { ... }");
			}
		} else {
			fault(reader, setting, shown, "no such setting");
		}
	}
}

/* What no single range can say. */
static void check_together(struct reader *reader)
{
	const struct pc_settings *s = reader->settings;
	if (s->http.plain_loopback && strcmp(s->http.address, "127.0.0.1") != 0 &&
		strcmp(s->http.address, "::1") != 0) {
		add_error(reader->errors,
			"settings: http.plain_loopback: http.address must be \"127.0.0.1\" or "
			"\"::1\" then, not \"%s\"",
			s->http.address);
	}
	if (s->live.window_s < s->storage.pre_roll_s + 2 * s->live.segment_s) {
		add_error(reader->errors,
			"settings: live.window_s: %g s do not hold storage.pre_roll_s (%g s) and two "
			"segments",
			s->live.window_s, s->storage.pre_roll_s);
	}
}

/* Line of an "@include", from 1; 0: none. libconfig 1.5 would open whatever it names, a folder
 * or an endless device too. */
static unsigned include_line(const char *text)
{
	unsigned line = 1;
	for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n', line++) {
		const char *word = text + strspn(text, " \t");
		if (strncmp(word, "@include", 8) == 0) {
			return line;
		}
	}
	return 0;
}

/* One step of an override's path: "name" or "[3]". The child, made if need be. */
static config_setting_t *step(config_setting_t *parent, const char *piece, int type)
{
	if (piece[0] != '[') {
		config_setting_t *child = config_setting_get_member(parent, piece);
		if (child != NULL && type != CONFIG_TYPE_NONE) {
			config_setting_remove(parent, piece);
			child = NULL;
		}
		if (child == NULL) {
			child = config_setting_add(
				parent, piece, type == CONFIG_TYPE_NONE ? CONFIG_TYPE_GROUP : type);
			if (child != NULL) {
				config_setting_set_hook(child, (void *)override_mark);
			}
		}
		return child;
	}
	char *end = NULL;
	const unsigned long index = strtoul(piece + 1, &end, 10);
	if (end == piece + 1 || strcmp(end, "]") != 0 || index >= PC_SETTINGS_CAMERAS_MAX ||
		!config_setting_is_list(parent)) {
		return NULL;
	}
	while ((unsigned long)config_setting_length(parent) <= index) {
		config_setting_t *added = config_setting_add(parent, NULL, CONFIG_TYPE_GROUP);
		if (added == NULL) {
			return NULL;
		}
		config_setting_set_hook(added, (void *)override_mark);
	}
	return config_setting_get_elem(parent, (unsigned)index);
}

static bool copy_value(config_setting_t *to, const config_setting_t *from)
{
	switch (config_setting_type(from)) {
	case CONFIG_TYPE_INT:
		return config_setting_set_int(to, config_setting_get_int(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_INT64:
		return config_setting_set_int64(to, config_setting_get_int64(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_FLOAT:
		return config_setting_set_float(to, config_setting_get_float(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_BOOL:
		return config_setting_set_bool(to, config_setting_get_bool(from)) == CONFIG_TRUE;
	case CONFIG_TYPE_STRING:
		return config_setting_set_string(to, config_setting_get_string(from)) ==
		       CONFIG_TRUE;
	default:
		break;
	}
	for (int i = 0; i < config_setting_length(from); i++) {
		const config_setting_t *child = config_setting_get_elem(from, (unsigned)i);
		config_setting_t *made = config_setting_add(
			to, config_setting_name(child), config_setting_type(child));
		if (made == NULL || !copy_value(made, child)) {
			return false;
		}
		config_setting_set_hook(made, (void *)override_mark);
	}
	return true;
}

/* Puts `value` at `path` in the tree. */
static bool put(config_t *tree, char *path, const config_setting_t *value)
{
	config_setting_t *at = config_root_setting(tree);
	char *save = NULL;
	char *piece = strtok_r(path, ".", &save);
	while (piece != NULL) {
		char *next = strtok_r(NULL, ".", &save);
		int type = CONFIG_TYPE_NONE;
		if (next == NULL) {
			type = config_setting_type(value);
		} else if (next[0] == '[' && config_setting_get_member(at, piece) == NULL) {
			type = CONFIG_TYPE_LIST;
		}
		if (piece[0] == '[' && next == NULL) {
			return false;
		}
		at = step(at, piece, type);
		if (at == NULL) {
			return false;
		}
		if (next != NULL && next[0] != '[' && !config_setting_is_group(at)) {
			return false;
		}
		piece = next;
	}
	return at != config_root_setting(tree) && copy_value(at, value);
}

static void apply_override(config_t *tree, const char *override, struct pc_settings_errors *errors)
{
	const char *equals = strchr(override, '=');
	if (equals == NULL || equals == override || equals - override >= 200) {
		add_error(errors, "--set %.200s: must be path=value", override);
		return;
	}
	char path[200];
	memcpy(path, override, (size_t)(equals - override));
	path[equals - override] = '\0';
	for (char *end = path + strlen(path); end > path && end[-1] == ' '; end--) {
		end[-1] = '\0';
	}

	/* libconfig's own syntax first; what it refuses is a bare word: a string. */
	const size_t size = strlen(equals + 1) + 16;
	char *text = malloc(size);
	if (text == NULL) {
		add_error(errors, "--set %s: no memory", path);
		return;
	}
	config_t value;
	config_init(&value);
	snprintf(text, size, "v = %s;", equals + 1);
	const config_setting_t *parsed = NULL;
	if (include_line(equals + 1) == 0 && config_read_string(&value, text) == CONFIG_TRUE) {
		parsed = config_lookup(&value, "v");
	}
	if (parsed == NULL) {
		config_destroy(&value);
		config_init(&value);
		config_setting_t *word =
			config_setting_add(config_root_setting(&value), "v", CONFIG_TYPE_STRING);
		if (word != NULL && config_setting_set_string(word, equals + 1) == CONFIG_TRUE) {
			parsed = word;
		}
	}
	free(text);
	if (parsed == NULL || !put(tree, path, parsed)) {
		add_error(
			errors, "--set %.*s: no such setting", (int)(equals - override), override);
	}
	config_destroy(&value);
}

void pc_settings_default(struct pc_settings *settings)
{
	struct pc_settings_errors errors = { 0 };
	*settings = (struct pc_settings){ 0 };
	/* The table's own texts are the defaults: one place, read by the same reader. */
	struct reader reader = { .settings = settings, .errors = &errors };
	for (const struct setting *entry = pc_settings_table; entry->info.path != NULL; entry++) {
		if (entry->type == SETTING_POLYGONS) {
			continue;
		}
		const bool camera = strncmp(entry->info.path, "cameras.[].", 11) == 0;
		config_t tree;
		config_init(&tree);
		char text[PC_SETTINGS_TEXT_MAX];
		const char *quote = entry->type == SETTING_STRING ? "\"" : "";
		snprintf(text, sizeof(text), "v = %s%s%s;", quote, entry->info.default_text, quote);
		if (config_read_string(&tree, text) == CONFIG_TRUE) {
			for (unsigned i = 0; i < (camera ? PC_SETTINGS_CAMERAS_MAX : 1); i++) {
				read_value(&reader, config_lookup(&tree, "v"), entry->info.path,
					entry,
					camera ? (char *)&settings->cameras[i] : (char *)settings);
			}
		}
		config_destroy(&tree);
	}
	settings->n_cameras = 1;
	for (unsigned i = 0; i < PC_SETTINGS_CAMERAS_MAX; i++) {
		snprintf(settings->cameras[i].id, sizeof(settings->cameras[i].id), "cam%u", i);
	}
}

/* Whole file into memory, so that libconfig never sees a folder or an endless device. */
static int read_file(const char *file, char **ret_text)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		return -errno;
	}
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && !S_ISREG(st.st_mode)) {
		r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	if (r == 0 && st.st_size > FILE_MAX) {
		r = -EFBIG;
	}
	char *text = r == 0 ? malloc((size_t)st.st_size + 1) : NULL;
	if (r == 0 && text == NULL) {
		r = -ENOMEM;
	}
	size_t used = 0;
	while (r == 0 && used < (size_t)st.st_size) {
		const ssize_t n = read(fd, text + used, (size_t)st.st_size - used);
		if (n < 0 && errno != EINTR) {
			r = -errno;
		} else if (n == 0) {
			break;
		} else if (n > 0) {
			used += (size_t)n;
		}
	}
	close(fd);
	if (r < 0 || text == NULL) {
		free(text);
		return r < 0 ? r : -ENOMEM;
	}
	text[used] = '\0';
	*ret_text = text;
	return 0;
}

int pc_settings_load(const char *file, const char *const *overrides, size_t n_overrides,
	struct pc_settings *ret_settings, struct pc_settings_errors *errors)
{
	*errors = (struct pc_settings_errors){ 0 };
	pc_settings_default(ret_settings);

	config_t tree;
	config_init(&tree);
	config_set_auto_convert(&tree, CONFIG_FALSE);
	int r = 0;
	if (file != NULL) {
		char *text = NULL;
		r = read_file(file, &text);
		if (r < 0 || text == NULL) {
			add_error(errors, "%s: %s", file, strerror(-r));
		} else if (include_line(text) > 0) {
			add_error(errors, "%s:%u: @include is not taken: write the settings here",
				file, include_line(text));
		} else if (config_read_string(&tree, text) != CONFIG_TRUE) {
			add_error(errors, "%s:%d: %s", file, config_error_line(&tree),
				config_error_text(&tree));
			config_destroy(&tree);
			config_init(&tree);
		}
		free(text);
	}
	for (size_t i = 0; i < n_overrides; i++) {
		apply_override(&tree, overrides[i], errors);
	}
	struct reader reader = { .settings = ret_settings, .errors = errors, .file = file };
	read_group(&reader, config_root_setting(&tree), "", "", (char *)ret_settings);
	check_together(&reader);
	config_destroy(&tree);
	if (r < 0) {
		return r;
	}
	return errors->count == 0 ? 0 : -EINVAL;
}
