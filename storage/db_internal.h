/* storage/db_internal.h - SQLite connections: the one writer, the readers' pool, migrations.
 *
 * A connection belongs to one thread at a time. Statements are prepared once and cached by
 * their text. Errors are negative errno: -ENOSPC (full), -EIO, -EBUSY, -ENOMEM, -EROFS,
 * -EILSEQ (damaged), -EEXIST (a constraint).
 */
#ifndef PC_STORAGE_DB_INTERNAL_H
#define PC_STORAGE_DB_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PC_DB_STATEMENTS 48
#define PC_DB_READERS 4

struct pc_db_statement {
	sqlite3_stmt *stmt; /* NULL: free */
	uint64_t used; /* clock of the last use: the oldest one is replaced */
};

struct pc_db {
	sqlite3 *handle; /* NULL: not open */
	uint64_t uses;
	bool full; /* synchronous is FULL now */
	struct pc_db_statement statements[PC_DB_STATEMENTS];
};

/* One step of the schema. The array (made from migrations/ by embed.py) ends with version 0. */
struct pc_migration {
	unsigned version; /* 1, 2, 3 ... */
	const char *name;
	const char *sql;
};
extern const struct pc_migration pc_migrations[];

/* WAL, foreign keys, busy_timeout. */
int pc_db_open_writer(struct pc_db *db, const char *path);
int pc_db_open_reader(struct pc_db *db, const char *path);
void pc_db_close(struct pc_db *db); /* also one that did not open */

/* 0, -EILSEQ or another error. */
int pc_db_check(struct pc_db *db);

/* Runs what is missing, one transaction a step. -ENOTSUP: made by a newer petcam. */
int pc_db_migrate(struct pc_db *db, const struct pc_migration *migrations, unsigned *ret_from,
	unsigned *ret_to);

/* Runs SQL without parameters and rows. */
int pc_db_exec(struct pc_db *db, const char *sql);

/* A statement, reset and without bindings, of the cache; NULL and an error are one: see
 * pc_db_error(). Good until 48 others were prepared after it. */
int pc_db_prepare(struct pc_db *db, const char *sql, sqlite3_stmt **ret_stmt);

/* 1: a row is there; 0: no more rows; negative errno. After 0 and errors it is reset. */
int pc_db_step(sqlite3_stmt *stmt);
/* Steps to the end, rows ignored. */
int pc_db_run(sqlite3_stmt *stmt);
/* For who stops before the end. NULL is fine. */
void pc_db_reset(sqlite3_stmt *stmt);

/* `durable`: the commit is on the disk when pc_db_commit() returns (synchronous=FULL), else
 * it may be lost, as a whole, with the power. A failed commit is rolled back. */
int pc_db_begin(struct pc_db *db, bool durable);
int pc_db_commit(struct pc_db *db);
void pc_db_rollback(struct pc_db *db);

/* Binding never fails for correct indices: what does is a bug, and shows as a NULL. */
static inline void pc_db_bind_int(sqlite3_stmt *stmt, int i, int64_t value)
{
	(void)sqlite3_bind_int64(stmt, i, value);
}

/* 0 stands for NULL. */
static inline void pc_db_bind_id(sqlite3_stmt *stmt, int i, int64_t value)
{
	if (value != 0) {
		(void)sqlite3_bind_int64(stmt, i, value);
	}
}

static inline void pc_db_bind_real(sqlite3_stmt *stmt, int i, double value)
{
	(void)sqlite3_bind_double(stmt, i, value == value ? value : 0.0); /* SQLite has no NaN */
}

/* `text` must live until the statement is reset. */
static inline void pc_db_bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	(void)sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

/* Copies with NUL, cut to `size`; NULL is "". */
void pc_db_column_text(sqlite3_stmt *stmt, int i, char *out, size_t size);

/* Error of the last call on this connection. */
int pc_db_error(struct pc_db *db);
int pc_db_errno(int rc); /* of an SQLite result code */

/* Readers: taken for the time of one query. */
struct pc_db_pool {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct pc_db readers[PC_DB_READERS];
	bool taken[PC_DB_READERS];
};

int pc_db_pool_init(struct pc_db_pool *pool, const char *path);
void pc_db_pool_finish(struct pc_db_pool *pool);
/* Waits for a free one, at most 5 s: NULL then. */
struct pc_db *pc_db_pool_take(struct pc_db_pool *pool);
void pc_db_pool_give(struct pc_db_pool *pool, struct pc_db *db);

#endif
