/* http/api_alerts.c - alert rules, and alerts raised. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/api_internal.h"
#include "storage/alerts.h"

#define THRESHOLD_MAX 43200 /* minutes: thirty days */

/* Where an alert can go. */
static const char *const channels_known[] = { "app", NULL };

static json_t *quiet_json(const struct pc_alert_config *config)
{
	if (!config->has_quiet_hours) {
		return json_null();
	}
	char from[16];
	char to[16];
	snprintf(from, sizeof(from), "%02u:%02u", config->quiet_from_min / 60 % 24,
		config->quiet_from_min % 60);
	snprintf(to, sizeof(to), "%02u:%02u", config->quiet_to_min / 60 % 24,
		config->quiet_to_min % 60);
	return json_pack("{s:s, s:s}", "from", from, "to", to);
}

static json_t *channels_json(const struct pc_alert_config *config)
{
	json_t *channels = json_array();
	for (int i = 0; i < PC_ALERT_CHANNELS_MAX && config->channels[i][0] != '\0'; i++) {
		if (json_array_append_new(channels, pc_api_text(config->channels[i])) < 0) {
			json_decref(channels);
			return NULL;
		}
	}
	return channels;
}

static json_t *config_json(const struct pc_alert_config *config)
{
	return json_pack("{s:I, s:o, s:i, s:o, s:o, s:o}", "config_id",
		(json_int_t)config->config_id, "pet_id", pc_api_id_or_null(config->pet_id),
		"no_event_threshold", (int)config->no_event_threshold, "quiet_hours",
		quiet_json(config), "channels", channels_json(config), "created",
		pc_api_time(config->created_utc_ms));
}

/* All rules; the caller frees them. */
static int read_configs(
	struct pc_storage *storage, struct pc_alert_config **ret_configs, unsigned *ret_n)
{
	struct pc_alert_config *configs = calloc(PC_ALERT_CONFIGS_MAX, sizeof(*configs));
	if (configs == NULL) {
		return -ENOMEM;
	}
	int r = pc_alert_config_list(storage, configs, PC_ALERT_CONFIGS_MAX, ret_n);
	if (r < 0) {
		free(configs);
		return r;
	}
	*ret_configs = configs;
	return 0;
}

int pc_api_alert_configs(struct pc_request *request)
{
	struct pc_storage *storage;
	struct pc_alert_config *configs = NULL;
	unsigned n = 0;
	if (!pc_api_storage(request, &storage)) {
		return request->status;
	}
	int r = read_configs(storage, &configs, &n);
	if (r < 0) {
		return pc_api_failed(request, r, "rule");
	}
	json_t *items = json_array();
	for (unsigned i = 0; i < n; i++) {
		if (json_array_append_new(items, config_json(&configs[i])) < 0) {
			json_decref(items);
			items = NULL;
			break;
		}
	}
	free(configs);
	return pc_api_reply_list(request, items, NULL);
}

/* "HH:MM" as minutes of the day. */
static bool read_minutes(
	struct pc_request *request, const json_t *value, const char *path, unsigned *ret_minutes)
{
	const char *t = json_string_value(value);
	if (t != NULL && strlen(t) == 5 && strspn(t, "0123456789") == 2 && t[2] == ':' &&
		strspn(t + 3, "0123456789") == 2) {
		unsigned hours = (unsigned)(t[0] - '0') * 10 + (unsigned)(t[1] - '0');
		unsigned minutes = (unsigned)(t[3] - '0') * 10 + (unsigned)(t[4] - '0');
		if (hours < 24 && minutes < 60) {
			*ret_minutes = hours * 60 + minutes;
			return true;
		}
	}
	pc_reply_problem(request, 400, NULL, "%s must be a time of day, 00:00 to 23:59.", path);
	return false;
}

static bool read_quiet(struct pc_request *request, json_t *quiet, struct pc_alert_config *config)
{
	static const char *const fields[] = { "from", "to", NULL };
	if (quiet == NULL || json_is_null(quiet)) {
		return true;
	}
	if (!json_is_object(quiet)) {
		pc_reply_problem(request, 400, NULL,
			"quiet_hours must be an object with from and to, or null.");
		return false;
	}
	if (!pc_api_fields_known(request, quiet, fields) ||
		!read_minutes(request, json_object_get(quiet, "from"), "quiet_hours.from",
			&config->quiet_from_min) ||
		!read_minutes(request, json_object_get(quiet, "to"), "quiet_hours.to",
			&config->quiet_to_min)) {
		return false;
	}
	if (config->quiet_from_min == config->quiet_to_min) {
		pc_reply_problem(
			request, 400, NULL, "quiet_hours.from and quiet_hours.to must differ.");
		return false;
	}
	config->has_quiet_hours = true;
	return true;
}

static bool channel_fits(const char *name, const struct pc_alert_config *config, size_t n)
{
	bool known = false;
	for (int i = 0; name != NULL && channels_known[i] != NULL; i++) {
		known = known || strcmp(channels_known[i], name) == 0;
	}
	for (size_t i = 0; i < n; i++) {
		known = known && strcmp(config->channels[i], name) != 0;
	}
	return known;
}

static bool read_channels(
	struct pc_request *request, const json_t *channels, struct pc_alert_config *config)
{
	size_t n = json_array_size(channels); /* 0 as well when it is no array */
	bool good = n > 0 && n <= PC_ALERT_CHANNELS_MAX;
	for (size_t i = 0; i < n && good; i++) {
		const char *name = json_string_value(json_array_get(channels, i));
		good = channel_fits(name, config, i);
		if (good) {
			snprintf(config->channels[i], sizeof(config->channels[i]), "%s", name);
		}
	}
	if (!good) {
		pc_reply_problem(request, 400, NULL,
			"channels must be a list of channels, each once; there is: app.");
	}
	return good;
}

static bool read_config(struct pc_request *request, json_t *body, struct pc_alert_config *config)
{
	static const char *const fields[] = { "pet_id", "no_event_threshold", "quiet_hours",
		"channels", NULL };
	if (!pc_api_fields_known(request, body, fields)) {
		return false;
	}
	json_t *pet = json_object_get(body, "pet_id");
	if (pet == NULL) {
		pc_reply_problem(request, 400, NULL,
			"pet_id must be there: the id of a pet, or null for all.");
		return false;
	}
	int64_t minutes = 0;
	if ((!json_is_null(pet) &&
		    !pc_api_field_integer(request, pet, "pet_id", 1, INT64_MAX, &config->pet_id)) ||
		!pc_api_field_integer(request, json_object_get(body, "no_event_threshold"),
			"no_event_threshold", 1, THRESHOLD_MAX, &minutes) ||
		!read_quiet(request, json_object_get(body, "quiet_hours"), config) ||
		!read_channels(request, json_object_get(body, "channels"), config)) {
		return false;
	}
	config->no_event_threshold = (unsigned)minutes;
	return true;
}

/* Whether there was a rule of this user for this pet before. */
static bool was_there(struct pc_storage *storage, const struct pc_alert_config *config)
{
	struct pc_alert_config *configs = NULL;
	unsigned n = 0;
	bool found = false;
	if (read_configs(storage, &configs, &n) == 0) {
		for (unsigned i = 0; i < n; i++) {
			found = found || (configs[i].user_id == config->user_id &&
						 configs[i].pet_id == config->pet_id);
		}
		free(configs);
	}
	return found;
}

static int put_config(struct pc_request *request, struct pc_storage *storage,
	const struct pc_alert_config *config)
{
	int status = was_there(storage, config) ? 200 : 201;
	int64_t id = 0;
	int r = pc_alert_config_put(storage, config, &id);
	if (r == -ENOENT) {
		return pc_reply_problem(request, 400, NULL, "pet_id: there is no such pet.");
	}
	if (r == -ENOSPC) {
		return pc_reply_problem(request, 409, NULL,
			"There are %d rules already, the most "
			"that there may be.",
			PC_ALERT_CONFIGS_MAX);
	}
	struct pc_alert_config *configs = NULL;
	unsigned n = 0;
	if (r == 0) {
		r = read_configs(storage, &configs, &n);
	}
	if (r < 0) {
		return pc_api_failed(request, r, "rule");
	}
	json_t *reply = NULL;
	for (unsigned i = 0; i < n && reply == NULL; i++) {
		if (configs[i].config_id == id) {
			reply = config_json(&configs[i]);
		}
	}
	free(configs);
	return pc_api_reply(request, status, reply);
}

int pc_api_alert_config_put(struct pc_request *request)
{
	struct pc_storage *storage;
	json_t *body;
	if (!pc_api_storage(request, &storage) || pc_request_json(request, &body) != 0) {
		return request->status;
	}
	struct pc_alert_config config = { .user_id = request->who.user_id };
	if (read_config(request, body, &config)) {
		put_config(request, storage, &config);
	}
	json_decref(body);
	return request->status;
}

static json_t *alert_json(const struct pc_alert *alert)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "alert_id",
		(json_int_t)alert->alert_id, "timestamp", pc_api_time(alert->raised_utc_ms), "kind",
		pc_api_text(alert->kind), "config_id", pc_api_id_or_null(alert->config_id),
		"pet_id", pc_api_id_or_null(alert->pet_id), "camera",
		pc_api_text_or_null(alert->camera), "message", pc_api_text(alert->message), "ended",
		pc_api_time(alert->ended_utc_ms), "acknowledged",
		pc_api_time(alert->acknowledged_utc_ms));
}

struct page {
	json_t *items;
	int64_t last_id;
	bool no_memory;
};

static bool add_alert(void *data, const struct pc_alert *alert)
{
	struct page *page = data;
	if (json_array_append_new(page->items, alert_json(alert)) < 0) {
		page->no_memory = true;
		return false;
	}
	page->last_id = alert->alert_id;
	return true;
}

int pc_api_alerts(struct pc_request *request)
{
	static const char *const known[] = { "limit", "cursor", NULL };
	struct pc_storage *storage;
	struct pc_api_cursor cursor;
	unsigned limit;
	if (!pc_api_storage(request, &storage) || !pc_api_query_known(request, known) ||
		!pc_api_query_limit(request, &limit) ||
		!pc_api_query_cursor(request, PC_API_CURSOR_ALERTS, &cursor)) {
		return request->status;
	}
	struct page page = { .items = json_array() };
	if (page.items == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	bool more = false;
	char next[PC_API_CURSOR_SIZE];
	int r = pc_alerts_list(storage, cursor.id, limit, add_alert, &page, &more);
	if (r == 0 && page.no_memory) {
		r = -ENOMEM;
	}
	if (r == 0 && more) {
		cursor = (struct pc_api_cursor){ .id = page.last_id };
		r = pc_api_cursor_make(
			pc_http_auth(request->server), PC_API_CURSOR_ALERTS, &cursor, next);
	}
	if (r < 0) {
		json_decref(page.items);
		return pc_api_failed(request, r, "alert");
	}
	return pc_api_reply_list(request, page.items, more ? next : NULL);
}

int pc_api_alert_ack(struct pc_request *request)
{
	struct pc_storage *storage;
	int64_t id;
	if (!pc_api_storage(request, &storage) || !pc_api_id(request, 0, "alert", &id)) {
		return request->status;
	}
	int r = pc_alerts_ack(storage, id);
	if (r < 0) {
		return pc_api_failed(request, r, "alert");
	}
	return pc_reply_empty(request, 204, NULL);
}
