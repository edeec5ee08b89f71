/* storage/alerts.c - alert rules, and alerts raised; see alerts.h. */
#include "storage/alerts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "storage/storage_internal.h"

#define THRESHOLD_MAX 43200
#define DAY_MIN (24 * 60)
#define LIMIT_MAX 500

struct put {
	const struct pc_alert_config *config;
	int64_t config_id;
};

/* Channel names in one column, a space between. */
static int join_channels(const struct pc_alert_config *config, char *out, size_t size)
{
	size_t n = 0;
	out[0] = '\0';
	for (unsigned i = 0; i < PC_ALERT_CHANNELS_MAX && config->channels[i][0] != '\0'; i++) {
		const char *name = config->channels[i];
		if (memchr(name, '\0', sizeof(config->channels[i])) == NULL ||
			strchr(name, ' ') != NULL) {
			return -EINVAL;
		}
		n += (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? " " : "", name);
	}
	return 0;
}

static void split_channels(const char *text, struct pc_alert_config *config)
{
	for (unsigned i = 0; i < PC_ALERT_CHANNELS_MAX && *text != '\0'; i++) {
		size_t n = strcspn(text, " ");
		(void)snprintf(
			config->channels[i], sizeof(config->channels[i]), "%.*s", (int)n, text);
		text += n + (text[n] == ' ' ? 1 : 0);
	}
}

/* The rule of this user and pet: 1 and its id, 0. */
static int find_config(struct pc_db *db, const struct pc_alert_config *config, int64_t *ret_id)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db,
		"SELECT config_id FROM alert_config WHERE user_id = ?1 AND ifnull(pet_id, 0) = ?2",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, config->user_id);
	pc_db_bind_int(stmt, 2, config->pet_id);
	r = pc_db_step(stmt);
	if (r == 1) {
		*ret_id = sqlite3_column_int64(stmt, 0);
	}
	pc_db_reset(stmt);
	return r;
}

/* Whether `sql` (of one id) finds a row. */
static int exists(struct pc_db *db, const char *sql, int64_t id)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, id);
	r = pc_db_step(stmt);
	pc_db_reset(stmt);
	return r;
}

static int write_config(struct pc_db *db, struct put *put, const char *channels)
{
	const struct pc_alert_config *config = put->config;
	sqlite3_stmt *stmt;
	int64_t id = 0;
	int found = find_config(db, config, &id);
	if (found < 0) {
		return found;
	}
	if (found == 0) {
		int r = exists(db, "SELECT 1 WHERE (SELECT count(*) FROM alert_config) >= ?1",
			PC_ALERT_CONFIGS_MAX);
		if (r != 0) {
			return r < 0 ? r : -ENOSPC;
		}
	}
	int r = pc_db_prepare(db,
		"INSERT INTO alert_config (config_id, user_id, pet_id, no_event_threshold,"
		" quiet_from, quiet_to, channels, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
		" ON CONFLICT (config_id) DO UPDATE SET"
		" no_event_threshold = excluded.no_event_threshold,"
		" quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to,"
		" channels = excluded.channels",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_id(stmt, 1, id);
	pc_db_bind_int(stmt, 2, config->user_id);
	pc_db_bind_id(stmt, 3, config->pet_id);
	pc_db_bind_int(stmt, 4, config->no_event_threshold);
	if (config->has_quiet_hours) {
		pc_db_bind_int(stmt, 5, config->quiet_from_min);
		pc_db_bind_int(stmt, 6, config->quiet_to_min);
	}
	pc_db_bind_text(stmt, 7, channels);
	pc_db_bind_int(stmt, 8, pc_clock_now_utc_ms());
	r = pc_db_run(stmt);
	put->config_id = id != 0 ? id : sqlite3_last_insert_rowid(db->handle);
	return r;
}

static int do_put(struct pc_storage *storage, void *data)
{
	struct put *put = data;
	struct pc_db *db = &storage->db;
	char channels[sizeof(put->config->channels)];
	int r = join_channels(put->config, channels, sizeof(channels));
	if (r == 0) {
		r = pc_db_begin(db, true);
	}
	if (r < 0) {
		return r;
	}
	r = exists(db, "SELECT 1 FROM user WHERE user_id = ?1", put->config->user_id);
	if (r == 1 && put->config->pet_id != 0) {
		r = exists(db, "SELECT 1 FROM pet WHERE pet_id = ?1", put->config->pet_id);
	}
	r = r == 1 ? write_config(db, put, channels) : r == 0 ? -ENOENT : r;
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	r = pc_db_commit(db);
	if (r == 0) {
		atomic_fetch_add(&storage->alert_version, 1);
	}
	return r;
}

int pc_alert_config_put(
	struct pc_storage *storage, const struct pc_alert_config *config, int64_t *ret_config_id)
{
	if (config->no_event_threshold < 1 || config->no_event_threshold > THRESHOLD_MAX ||
		config->pet_id < 0 ||
		(config->has_quiet_hours &&
			(config->quiet_from_min >= DAY_MIN || config->quiet_to_min >= DAY_MIN))) {
		return -EINVAL;
	}
	struct put put = { .config = config };
	int r = pc_storage_call(storage, do_put, &put);
	if (r == 0) {
		*ret_config_id = put.config_id;
	}
	return r;
}

static void read_config(sqlite3_stmt *stmt, struct pc_alert_config *config)
{
	char channels[sizeof(config->channels)];
	*config = (struct pc_alert_config){ 0 };
	config->config_id = sqlite3_column_int64(stmt, 0);
	config->user_id = sqlite3_column_int64(stmt, 1);
	config->pet_id = sqlite3_column_int64(stmt, 2);
	config->no_event_threshold = (unsigned)sqlite3_column_int64(stmt, 3);
	config->has_quiet_hours = sqlite3_column_type(stmt, 4) != SQLITE_NULL;
	config->quiet_from_min = (unsigned)sqlite3_column_int64(stmt, 4);
	config->quiet_to_min = (unsigned)sqlite3_column_int64(stmt, 5);
	pc_db_column_text(stmt, 6, channels, sizeof(channels));
	split_channels(channels, config);
	config->created_utc_ms = sqlite3_column_int64(stmt, 7);
}

int pc_alert_config_list(
	struct pc_storage *storage, struct pc_alert_config *configs, unsigned max, unsigned *ret_n)
{
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	unsigned n = 0;
	int r = pc_db_prepare(db,
		"SELECT config_id, user_id, pet_id, no_event_threshold, quiet_from, quiet_to,"
		" channels, created FROM alert_config ORDER BY config_id LIMIT ?1",
		&stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, max);
		while ((r = pc_db_step(stmt)) == 1) {
			read_config(stmt, &configs[n++]);
		}
	}
	pc_db_pool_give(&storage->pool, db);
	if (r == 0) {
		*ret_n = n;
	}
	return r;
}

uint64_t pc_alert_config_version(struct pc_storage *storage)
{
	return atomic_load(&storage->alert_version);
}

static int do_raise(struct pc_storage *storage, void *data)
{
	struct pc_alert *alert = data;
	struct pc_db *db = &storage->db;
	sqlite3_stmt *stmt;
	int r = pc_db_begin(db, true);
	if (r < 0) {
		return r;
	}
	/* Rule or pet may be gone meanwhile: the alert stands. */
	r = pc_db_prepare(db,
		"INSERT INTO alert (config_id, pet_id, kind, camera, message, raised, ended)"
		" VALUES ((SELECT config_id FROM alert_config WHERE config_id = ?1),"
		" (SELECT pet_id FROM pet WHERE pet_id = ?2), ?3, ?4, ?5, ?6, ?7)",
		&stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, alert->config_id);
		pc_db_bind_int(stmt, 2, alert->pet_id);
		pc_db_bind_text(stmt, 3, alert->kind);
		pc_db_bind_text(stmt, 4, alert->camera);
		pc_db_bind_text(stmt, 5, alert->message);
		pc_db_bind_int(stmt, 6, alert->raised_utc_ms);
		pc_db_bind_id(stmt, 7, alert->ended_utc_ms);
		r = pc_db_run(stmt);
	}
	int64_t id = sqlite3_last_insert_rowid(db->handle);
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	r = pc_db_commit(db);
	if (r == 0) {
		alert->alert_id = id;
	}
	return r;
}

int pc_alerts_raise(struct pc_storage *storage, struct pc_alert *alert)
{
	return pc_storage_call(storage, do_raise, alert);
}

struct alert_change {
	const char *sql;
	int64_t alert_id, utc_ms;
};

static int change_alert(struct pc_storage *storage, void *data)
{
	const struct alert_change *change = data;
	struct pc_db *db = &storage->db;
	sqlite3_stmt *stmt;
	int r = pc_db_begin(db, true);
	if (r < 0) {
		return r;
	}
	r = pc_db_prepare(db, change->sql, &stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, change->alert_id);
		pc_db_bind_int(stmt, 2, change->utc_ms);
		r = pc_db_run(stmt);
	}
	if (r == 0 && sqlite3_changes(db->handle) == 0) {
		r = -ENOENT;
	}
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	return pc_db_commit(db);
}

int pc_alerts_end(struct pc_storage *storage, int64_t alert_id, int64_t ended_utc_ms)
{
	struct alert_change change = {
		"UPDATE alert SET ended = ifnull(ended, ?2) WHERE alert_id = ?1",
		alert_id,
		ended_utc_ms,
	};
	return pc_storage_call(storage, change_alert, &change);
}

int pc_alerts_ack(struct pc_storage *storage, int64_t alert_id)
{
	struct alert_change change = {
		"UPDATE alert SET acknowledged = ifnull(acknowledged, ?2) WHERE alert_id = ?1",
		alert_id,
		pc_clock_now_utc_ms(),
	};
	return pc_storage_call(storage, change_alert, &change);
}

static void read_alert(sqlite3_stmt *stmt, struct pc_alert *alert)
{
	*alert = (struct pc_alert){ 0 };
	alert->alert_id = sqlite3_column_int64(stmt, 0);
	alert->config_id = sqlite3_column_int64(stmt, 1);
	alert->pet_id = sqlite3_column_int64(stmt, 2);
	pc_db_column_text(stmt, 3, alert->kind, sizeof(alert->kind));
	pc_db_column_text(stmt, 4, alert->camera, sizeof(alert->camera));
	pc_db_column_text(stmt, 5, alert->message, sizeof(alert->message));
	alert->raised_utc_ms = sqlite3_column_int64(stmt, 6);
	alert->ended_utc_ms = sqlite3_column_int64(stmt, 7);
	alert->acknowledged_utc_ms = sqlite3_column_int64(stmt, 8);
}

int pc_alerts_list(struct pc_storage *storage, int64_t before_id, unsigned limit,
	bool (*fn)(void *data, const struct pc_alert *alert), void *data, bool *ret_more)
{
	if (limit < 1 || limit > LIMIT_MAX) {
		return -EINVAL;
	}
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	unsigned n = 0;
	bool more = false;
	int r = pc_db_prepare(db,
		"SELECT alert_id, config_id, pet_id, kind, camera, message, raised, ended,"
		" acknowledged FROM alert WHERE alert_id < ?1 ORDER BY alert_id DESC LIMIT ?2",
		&stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, before_id != 0 ? before_id : INT64_MAX);
		pc_db_bind_int(stmt, 2, (int64_t)limit + 1);
		while ((r = pc_db_step(stmt)) == 1) {
			struct pc_alert alert;
			more = n++ == limit;
			if (more) {
				break;
			}
			read_alert(stmt, &alert);
			if (!fn(data, &alert)) {
				more = true;
				break;
			}
		}
		pc_db_reset(stmt);
	}
	pc_db_pool_give(&storage->pool, db);
	if (r < 0) {
		return r;
	}
	*ret_more = more;
	return 0;
}

/* Newest end of the events of one kind: an index range of its own. */
static int64_t newest(struct pc_db *db, const char *sql, int64_t pet_id, const char *kind)
{
	sqlite3_stmt *stmt;
	int64_t seen = 0;
	if (pc_db_prepare(db, sql, &stmt) < 0) {
		return 0;
	}
	if (pet_id != 0) {
		pc_db_bind_int(stmt, 1, pet_id);
	}
	pc_db_bind_text(stmt, 2, kind);
	while (pc_db_step(stmt) == 1) {
		int64_t end = sqlite3_column_int64(stmt, 0);
		seen = end > seen ? end : seen;
	}
	pc_db_reset(stmt);
	return seen;
}

int64_t pc_alerts_last_seen(struct pc_storage *storage, int64_t pet_id)
{
	/* The ones that began last: a long one may outlive a few that began after it. */
	static const char of_pet[] = "SELECT timestamp + ifnull(duration, 0) FROM event_log"
				     " INDEXED BY event_log_pet WHERE pet_id = ?1"
				     " AND event_type = ?2 ORDER BY timestamp DESC LIMIT 8";
	static const char of_any[] = "SELECT timestamp + ifnull(duration, 0) FROM event_log"
				     " INDEXED BY event_log_type WHERE event_type = ?2"
				     " ORDER BY timestamp DESC LIMIT 8";
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return 0;
	}
	int64_t seen = 0;
	/* Absence is the opposite of having been seen. */
	int r = pet_id == 0 ? exists(db,
				      "SELECT 1 FROM event_log INDEXED BY event_log_open"
				      " WHERE duration IS NULL"
				      " AND event_type <> 'absence' AND ?1 = 0 LIMIT 1",
				      0)
			    : exists(db,
				      "SELECT 1 FROM event_log INDEXED BY event_log_open"
				      " WHERE duration IS NULL"
				      " AND event_type <> 'absence' AND pet_id = ?1 LIMIT 1",
				      pet_id);
	if (r == 1) {
		seen = pc_clock_now_utc_ms();
	}
	for (unsigned kind = 0; kind < PC_EVENT_KINDS && r == 0; kind++) {
		if (kind == PC_EVENT_ABSENCE) {
			continue;
		}
		int64_t end = newest(db, pet_id == 0 ? of_any : of_pet, pet_id,
			pc_event_kind_name((enum pc_event_kind)kind));
		seen = end > seen ? end : seen;
	}
	pc_db_pool_give(&storage->pool, db);
	return seen;
}
