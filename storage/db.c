/* storage/db.c - SQLite connections, see db_internal.h. */
#include "storage/db_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"

#define BUSY_TIMEOUT_MS 5000
#define POOL_TIMEOUT_S 5

int pc_db_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EILSEQ;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	default:
		return -EIO;
	}
}

int pc_db_error(struct pc_db *db)
{
	int r = pc_db_errno(sqlite3_errcode(db->handle));
	return r != 0 ? r : -EIO;
}

int pc_db_exec(struct pc_db *db, const char *sql)
{
	return pc_db_errno(sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

static int open_with(struct pc_db *db, const char *path, int flags, const char *pragmas)
{
	*db = (struct pc_db){ 0 };
	/* NOMUTEX: one thread at a time is our rule. */
	int rc = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
	int r = pc_db_errno(rc);
	if (r == 0) {
		(void)sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
		r = pc_db_exec(db, pragmas);
	}
	if (r != 0) {
		pc_db_close(db);
	}
	return r;
}

int pc_db_open_writer(struct pc_db *db, const char *path)
{
	/* journal_size_limit: the log is cut back after a burst, a long reader could have let
	 * it grow. The page cache stays small: a Pi has other uses for its memory. */
	return open_with(db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		"PRAGMA journal_mode=WAL;"
		"PRAGMA synchronous=NORMAL;"
		"PRAGMA foreign_keys=ON;"
		"PRAGMA journal_size_limit=16777216;"
		"PRAGMA cache_size=-8192;"
		"PRAGMA temp_store=MEMORY;"
		"PRAGMA trusted_schema=OFF");
}

int pc_db_open_reader(struct pc_db *db, const char *path)
{
	return open_with(db, path, SQLITE_OPEN_READONLY,
		"PRAGMA query_only=ON;"
		"PRAGMA cache_size=-2048;"
		"PRAGMA temp_store=MEMORY;"
		"PRAGMA trusted_schema=OFF");
}

void pc_db_close(struct pc_db *db)
{
	for (unsigned i = 0; i < PC_DB_STATEMENTS; i++) {
		(void)sqlite3_finalize(db->statements[i].stmt);
	}
	int rc = sqlite3_close(db->handle);
	assert(rc == SQLITE_OK); /* a statement was left open */
	*db = (struct pc_db){ 0 };
}

int pc_db_check(struct pc_db *db)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, "PRAGMA quick_check(1)", &stmt);
	if (r < 0) {
		return r;
	}
	r = pc_db_step(stmt);
	if (r == 1) {
		const unsigned char *text = sqlite3_column_text(stmt, 0);
		r = text != NULL && strcmp((const char *)text, "ok") == 0 ? 0 : -EILSEQ;
	}
	pc_db_reset(stmt);
	return r;
}

int pc_db_prepare(struct pc_db *db, const char *sql, sqlite3_stmt **ret_stmt)
{
	struct pc_db_statement *slot = &db->statements[0];
	for (unsigned i = 0; i < PC_DB_STATEMENTS; i++) {
		struct pc_db_statement *s = &db->statements[i];
		if (s->stmt != NULL && strcmp(sqlite3_sql(s->stmt), sql) == 0) {
			assert(!sqlite3_stmt_busy(s->stmt));
			s->used = ++db->uses;
			(void)sqlite3_clear_bindings(s->stmt);
			*ret_stmt = s->stmt;
			return 0;
		}
		if (s->used < slot->used) {
			slot = s;
		}
	}
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (rc != SQLITE_OK) {
		return pc_db_errno(rc);
	}
	(void)sqlite3_finalize(slot->stmt);
	*slot = (struct pc_db_statement){ .stmt = stmt, .used = ++db->uses };
	*ret_stmt = stmt;
	return 0;
}

int pc_db_step(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		return 1;
	}
	(void)sqlite3_reset(stmt);
	return pc_db_errno(rc);
}

int pc_db_run(sqlite3_stmt *stmt)
{
	int r;
	do {
		r = pc_db_step(stmt);
	} while (r == 1);
	return r;
}

void pc_db_reset(sqlite3_stmt *stmt)
{
	(void)sqlite3_reset(stmt);
}

int pc_db_begin(struct pc_db *db, bool durable)
{
	if (db->full != durable) {
		int r = pc_db_exec(
			db, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
		if (r < 0) {
			return r;
		}
		db->full = durable;
	}
	return pc_db_exec(db, "BEGIN IMMEDIATE");
}

int pc_db_commit(struct pc_db *db)
{
	int r = pc_db_exec(db, "COMMIT");
	if (r < 0) {
		pc_db_rollback(db);
	}
	return r;
}

void pc_db_rollback(struct pc_db *db)
{
	/* Some errors have rolled it back already. */
	if (sqlite3_get_autocommit(db->handle) == 0) {
		(void)pc_db_exec(db, "ROLLBACK");
	}
}

void pc_db_column_text(sqlite3_stmt *stmt, int i, char *out, size_t size)
{
	const unsigned char *text = sqlite3_column_text(stmt, i);
	(void)snprintf(out, size, "%s", text == NULL ? "" : (const char *)text);
}

static int version_of(struct pc_db *db, unsigned *ret_version)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, "SELECT ifnull(max(version), 0) FROM schema_version", &stmt);
	if (r < 0) {
		return r;
	}
	r = pc_db_step(stmt);
	if (r == 1) {
		*ret_version = (unsigned)sqlite3_column_int64(stmt, 0);
		r = 0;
	}
	pc_db_reset(stmt);
	return r;
}

static int apply(struct pc_db *db, const struct pc_migration *migration)
{
	sqlite3_stmt *stmt;
	int r = pc_db_begin(db, true);
	if (r < 0) {
		return r;
	}
	r = pc_db_exec(db, migration->sql);
	if (r == 0) {
		r = pc_db_prepare(db, "INSERT INTO schema_version VALUES (?1, ?2, ?3)", &stmt);
	}
	if (r == 0) {
		pc_db_bind_int(stmt, 1, migration->version);
		pc_db_bind_text(stmt, 2, migration->name);
		pc_db_bind_int(stmt, 3, pc_clock_now_utc_ms());
		r = pc_db_run(stmt);
	}
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	return pc_db_commit(db);
}

int pc_db_migrate(struct pc_db *db, const struct pc_migration *migrations, unsigned *ret_from,
	unsigned *ret_to)
{
	unsigned from = 0, newest = 0;
	int r = pc_db_exec(db,
		"CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY,"
		" name TEXT NOT NULL, applied INTEGER NOT NULL) STRICT");
	if (r == 0) {
		r = version_of(db, &from);
	}
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; migrations[i].version != 0; i++) {
		newest = migrations[i].version;
		if (newest <= from) {
			continue;
		}
		r = apply(db, &migrations[i]);
		if (r < 0) {
			return r;
		}
	}
	if (from > newest) {
		return -ENOTSUP;
	}
	*ret_from = from;
	*ret_to = newest;
	return 0;
}

int pc_db_pool_init(struct pc_db_pool *pool, const char *path)
{
	*pool = (struct pc_db_pool){ 0 };
	pthread_condattr_t attr;
	int r = -pthread_condattr_init(&attr);
	if (r < 0) {
		return r;
	}
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = -pthread_cond_init(&pool->freed, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (r < 0) {
		return r;
	}
	r = -pthread_mutex_init(&pool->lock, NULL);
	if (r < 0) {
		(void)pthread_cond_destroy(&pool->freed);
		return r;
	}
	for (unsigned i = 0; i < PC_DB_READERS; i++) {
		r = pc_db_open_reader(&pool->readers[i], path);
		if (r < 0) {
			pc_db_pool_finish(pool);
			return r;
		}
	}
	return 0;
}

void pc_db_pool_finish(struct pc_db_pool *pool)
{
	for (unsigned i = 0; i < PC_DB_READERS; i++) {
		assert(!pool->taken[i]);
		pc_db_close(&pool->readers[i]);
	}
	(void)pthread_cond_destroy(&pool->freed);
	(void)pthread_mutex_destroy(&pool->lock);
}

struct pc_db *pc_db_pool_take(struct pc_db_pool *pool)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += POOL_TIMEOUT_S;
	struct pc_db *db = NULL;
	(void)pthread_mutex_lock(&pool->lock);
	for (;;) {
		/* The first free one, so that few connections get all the warm statements. */
		for (unsigned i = 0; i < PC_DB_READERS && db == NULL; i++) {
			if (!pool->taken[i]) {
				pool->taken[i] = true;
				db = &pool->readers[i];
			}
		}
		if (db != NULL || pthread_cond_timedwait(&pool->freed, &pool->lock, &until) != 0) {
			break;
		}
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return db;
}

void pc_db_pool_give(struct pc_db_pool *pool, struct pc_db *db)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->taken[db - pool->readers] = false;
	(void)pthread_cond_signal(&pool->freed);
	(void)pthread_mutex_unlock(&pool->lock);
}
