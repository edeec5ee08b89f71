/* storage/users.c - users, consent, sessions; see users.h. */
#include "storage/users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "storage/storage_internal.h"

#define RETENTION_DAYS_MAX 36500

static const char *const role_names[] = {
	[PC_ROLE_VIEWER] = "viewer",
	[PC_ROLE_OWNER] = "owner",
};

static int load_consent(struct pc_storage *storage)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(
		&storage->db, "SELECT video FROM consent ORDER BY consent_id DESC LIMIT 1", &stmt);
	if (r < 0) {
		return r;
	}
	r = pc_db_step(stmt);
	if (r == 1) {
		atomic_store(&storage->consent_video, sqlite3_column_int(stmt, 0) != 0);
	}
	pc_db_reset(stmt);
	return r < 0 ? r : 0;
}

static int load_retention(struct pc_storage *storage)
{
	char text[16];
	int r = pc_storage_setting_get(&storage->db, "retention_days", text, sizeof(text));
	if (r == 0) {
		char *end;
		errno = 0;
		long days = strtol(text, &end, 10);
		if (errno != 0 || end == text || *end != '\0' || days < 0 ||
			days > RETENTION_DAYS_MAX) {
			return -EILSEQ; /* the row is ours: somebody was in the catalogue */
		}
		atomic_store(&storage->retention_days, (int)days);
	}
	return r == -ENOENT ? 0 : r;
}

static int load_sessions(struct pc_storage *storage)
{
	struct pc_session_table *table = &storage->sessions;
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(&storage->db,
		"SELECT session_id, expires FROM session WHERE expires > ?1"
		" ORDER BY expires DESC LIMIT ?2",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, pc_clock_now_utc_ms());
	pc_db_bind_int(stmt, 2, PC_SESSIONS_MAX);
	while ((r = pc_db_step(stmt)) == 1) {
		struct pc_session_entry *entry = &table->entries[table->n++];
		pc_db_column_text(stmt, 0, entry->id, sizeof(entry->id));
		entry->expires_utc_ms = sqlite3_column_int64(stmt, 1);
	}
	return r;
}

int pc_session_table_init(struct pc_storage *storage)
{
	struct pc_session_table *table = &storage->sessions;
	table->entries = calloc(PC_SESSIONS_MAX, sizeof(*table->entries));
	if (table->entries == NULL) {
		return -ENOMEM;
	}
	return -pthread_mutex_init(&table->lock, NULL);
}

void pc_session_table_finish(struct pc_storage *storage)
{
	(void)pthread_mutex_destroy(&storage->sessions.lock);
	free(storage->sessions.entries);
}

int pc_users_load(struct pc_storage *storage)
{
	int r = load_consent(storage);
	if (r == 0) {
		r = load_retention(storage);
	}
	if (r == 0) {
		r = load_sessions(storage);
	}
	return r;
}

static void read_user(sqlite3_stmt *stmt, struct pc_user *user)
{
	char role[16];
	*user = (struct pc_user){ 0 };
	user->user_id = sqlite3_column_int64(stmt, 0);
	pc_db_column_text(stmt, 1, user->username, sizeof(user->username));
	pc_db_column_text(stmt, 2, user->password_hash, sizeof(user->password_hash));
	pc_db_column_text(stmt, 3, role, sizeof(role));
	user->role = strcmp(role, role_names[PC_ROLE_OWNER]) == 0 ? PC_ROLE_OWNER : PC_ROLE_VIEWER;
	user->created_utc_ms = sqlite3_column_int64(stmt, 4);
}

/* One row of `sql`, whose only parameter is `text` or, if that is NULL, `id`. */
static int read_one(struct pc_storage *storage, const char *sql, const char *text, int64_t id,
	void (*read)(sqlite3_stmt *stmt, void *data), void *data)
{
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r == 0) {
		if (text != NULL) {
			pc_db_bind_text(stmt, 1, text);
		} else if (id != 0) {
			pc_db_bind_int(stmt, 1, id);
		}
		r = pc_db_step(stmt);
		if (r == 1) {
			read(stmt, data);
		}
		pc_db_reset(stmt);
	}
	pc_db_pool_give(&storage->pool, db);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

static void read_user_to(sqlite3_stmt *stmt, void *data)
{
	read_user(stmt, data);
}

static void read_nothing(sqlite3_stmt *stmt, void *data)
{
}

bool pc_users_any(struct pc_storage *storage)
{
	/* Trouble answers "yes": a disk that cannot be read must not offer the first run. */
	return read_one(storage, "SELECT 1 FROM user WHERE role = 'owner' LIMIT 1", NULL, 0,
		       read_nothing, NULL) != -ENOENT;
}

int pc_users_find(struct pc_storage *storage, const char *username, struct pc_user *ret_user)
{
	return read_one(storage,
		"SELECT user_id, username, password_hash, role, created FROM user"
		" WHERE username = ?1",
		username, 0, read_user_to, ret_user);
}

int pc_users_get(struct pc_storage *storage, int64_t user_id, struct pc_user *ret_user)
{
	return read_one(storage,
		"SELECT user_id, username, password_hash, role, created FROM user"
		" WHERE user_id = ?1",
		NULL, user_id, read_user_to, ret_user);
}

static void read_consent(sqlite3_stmt *stmt, void *data)
{
	struct pc_consent *consent = data;
	consent->given_utc_ms = sqlite3_column_int64(stmt, 0);
	pc_db_column_text(stmt, 1, consent->username, sizeof(consent->username));
	consent->video = sqlite3_column_int(stmt, 2) != 0;
	consent->audio = sqlite3_column_int(stmt, 3) != 0;
}

int pc_users_consent(struct pc_storage *storage, struct pc_consent *ret_consent)
{
	struct pc_consent consent = { 0 };
	int r = read_one(storage,
		"SELECT timestamp, username, video, audio FROM consent"
		" ORDER BY consent_id DESC LIMIT 1",
		NULL, 0, read_consent, &consent);
	if (r == 0 || r == -ENOENT) { /* never asked: all no */
		*ret_consent = consent;
		return 0;
	}
	return r;
}

struct setup {
	const char *username, *password_hash;
	bool video, audio;
	unsigned retention_days;
	int64_t user_id;
};

static int add_owner(struct pc_db *db, struct setup *setup, int64_t now)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, "SELECT 1 FROM user WHERE role = 'owner' LIMIT 1", &stmt);
	if (r < 0) {
		return r;
	}
	r = pc_db_step(stmt);
	pc_db_reset(stmt);
	if (r != 0) {
		return r == 1 ? -EEXIST : r;
	}
	r = pc_db_prepare(db,
		"INSERT INTO user (username, password_hash, role, created)"
		" VALUES (?1, ?2, 'owner', ?3)",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_text(stmt, 1, setup->username);
	pc_db_bind_text(stmt, 2, setup->password_hash);
	pc_db_bind_int(stmt, 3, now);
	r = pc_db_run(stmt);
	setup->user_id = sqlite3_last_insert_rowid(db->handle);
	return r;
}

static int add_consent(struct pc_db *db, const struct setup *setup, int64_t now)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db,
		"INSERT INTO consent (timestamp, username, video, audio, retention_days)"
		" VALUES (?1, ?2, ?3, ?4, ?5)",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, now);
	pc_db_bind_text(stmt, 2, setup->username);
	pc_db_bind_int(stmt, 3, setup->video ? 1 : 0);
	pc_db_bind_int(stmt, 4, setup->audio ? 1 : 0);
	pc_db_bind_int(stmt, 5, setup->retention_days);
	return pc_db_run(stmt);
}

static int do_setup(struct pc_storage *storage, void *data)
{
	struct setup *setup = data;
	struct pc_db *db = &storage->db;
	int64_t now = pc_clock_now_utc_ms();
	char days[16];
	(void)snprintf(days, sizeof(days), "%u", setup->retention_days);
	int r = pc_db_begin(db, true);
	if (r < 0) {
		return r;
	}
	r = add_owner(db, setup, now);
	if (r == 0) {
		r = add_consent(db, setup, now);
	}
	if (r == 0) {
		r = pc_storage_setting_put(db, "retention_days", days);
	}
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	r = pc_db_commit(db);
	if (r == 0) {
		atomic_store(&storage->consent_video, setup->video);
		atomic_store(&storage->retention_days, (int)setup->retention_days);
	}
	return r;
}

int pc_users_setup(struct pc_storage *storage, const char *username, const char *password_hash,
	bool consent_video, bool consent_audio, unsigned retention_days, int64_t *ret_user_id)
{
	if (username[0] == '\0' || strlen(username) >= PC_USERNAME_MAX ||
		password_hash[0] == '\0' || strlen(password_hash) >= PC_PASSWORD_HASH_MAX ||
		retention_days > RETENTION_DAYS_MAX) {
		return -EINVAL;
	}
	struct setup setup = {
		.username = username,
		.password_hash = password_hash,
		.video = consent_video,
		.audio = consent_audio,
		.retention_days = retention_days,
	};
	int r = pc_storage_call(storage, do_setup, &setup);
	if (r == 0) {
		*ret_user_id = setup.user_id;
	}
	return r;
}

struct session {
	const char *id;
	int64_t user_id, expires_utc_ms;
};

/* Under the lock: -1 where there is none. */
static int find_session(const struct pc_session_table *table, const char *id)
{
	for (unsigned i = 0; i < table->n; i++) {
		if (strcmp(table->entries[i].id, id) == 0) {
			return (int)i;
		}
	}
	return -1;
}

/* Into memory: expired ones make room, or else the one that would expire first. */
static void remember_session(struct pc_session_table *table, const struct session *session)
{
	int64_t now = pc_clock_now_utc_ms();
	(void)pthread_mutex_lock(&table->lock);
	unsigned first = 0;
	for (unsigned i = 0; i < table->n;) {
		if (table->entries[i].expires_utc_ms <= now) {
			table->entries[i] = table->entries[--table->n];
			continue;
		}
		if (table->entries[i].expires_utc_ms < table->entries[first].expires_utc_ms) {
			first = i;
		}
		i++;
	}
	unsigned at = table->n < PC_SESSIONS_MAX ? table->n++ : first;
	table->entries[at].expires_utc_ms = session->expires_utc_ms;
	(void)snprintf(table->entries[at].id, sizeof(table->entries[at].id), "%s", session->id);
	(void)pthread_mutex_unlock(&table->lock);
}

static int add_session(struct pc_storage *storage, void *data)
{
	const struct session *session = data;
	struct pc_db *db = &storage->db;
	sqlite3_stmt *stmt;
	int64_t now = pc_clock_now_utc_ms();
	int r = pc_db_begin(db, false);
	if (r < 0) {
		return r;
	}
	r = pc_db_prepare(db, "DELETE FROM session WHERE expires <= ?1", &stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, now);
		r = pc_db_run(stmt);
	}
	if (r == 0) {
		r = pc_db_prepare(db,
			"INSERT INTO session (session_id, user_id, created, expires)"
			" VALUES (?1, ?2, ?3, ?4)",
			&stmt);
	}
	if (r == 0) {
		pc_db_bind_text(stmt, 1, session->id);
		pc_db_bind_int(stmt, 2, session->user_id);
		pc_db_bind_int(stmt, 3, now);
		pc_db_bind_int(stmt, 4, session->expires_utc_ms);
		r = pc_db_run(stmt);
	}
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	r = pc_db_commit(db);
	if (r == 0) {
		remember_session(&storage->sessions, session);
	}
	return r;
}

int pc_sessions_add(
	struct pc_storage *storage, const char *session_id, int64_t user_id, int64_t expires_utc_ms)
{
	if (session_id[0] == '\0' || strlen(session_id) >= PC_SESSION_ID_MAX) {
		return -EINVAL;
	}
	struct session session = { session_id, user_id, expires_utc_ms };
	return pc_storage_call(storage, add_session, &session);
}

bool pc_sessions_valid(struct pc_storage *storage, const char *session_id)
{
	struct pc_session_table *table = &storage->sessions;
	(void)pthread_mutex_lock(&table->lock);
	int i = find_session(table, session_id);
	bool valid = i >= 0 && table->entries[i].expires_utc_ms > pc_clock_now_utc_ms();
	(void)pthread_mutex_unlock(&table->lock);
	return valid;
}

static int end_session(struct pc_storage *storage, void *data)
{
	const char *id = data;
	struct pc_session_table *table = &storage->sessions;
	sqlite3_stmt *stmt;
	/* In memory first: whatever the disk says, this login is over for as long as we run. */
	(void)pthread_mutex_lock(&table->lock);
	int i = find_session(table, id);
	if (i >= 0) {
		table->entries[i] = table->entries[--table->n];
	}
	(void)pthread_mutex_unlock(&table->lock);
	int r = pc_db_begin(&storage->db, true);
	if (r < 0) {
		return r;
	}
	r = pc_db_prepare(&storage->db, "DELETE FROM session WHERE session_id = ?1", &stmt);
	if (r == 0) {
		pc_db_bind_text(stmt, 1, id);
		r = pc_db_run(stmt);
	}
	if (r < 0) {
		pc_db_rollback(&storage->db);
		return r;
	}
	return pc_db_commit(&storage->db);
}

int pc_sessions_end(struct pc_storage *storage, const char *session_id)
{
	return pc_storage_call(storage, end_session, (void *)(uintptr_t)session_id);
}
