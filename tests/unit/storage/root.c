/* tests/unit/storage/root.c - see root.h. */
#include "tests/unit/storage/root.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "storage/events.h"
#include "storage/users.h"
#include "tests/support/test.h"
#include "tests/unit/storage/stream.h"

static struct pc_health *health;

const char *root_make(void)
{
	const char *base = getenv("TMPDIR");
	if (base == NULL) {
		/* In memory thousands of fsyncs cost nothing. */
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	}
	static char paths[8][256];
	static unsigned turn;
	char *path = paths[turn++ % 8];
	(void)snprintf(path, sizeof(paths[0]), "%s/petcam-test-XXXXXX", base);
	test_assert(mkdtemp(path) != NULL);
	return path;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void root_remove(const char *path)
{
	test_int(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *root_path(const char *root, const char *format, ...)
{
	static char buffers[8][1024];
	static unsigned turn;
	char *out = buffers[turn++ % 8];
	int n = snprintf(out, 1024, "%s/", root);
	va_list args;
	va_start(args, format);
	(void)vsnprintf(out + n, 1024 - (size_t)n, format, args);
	va_end(args);
	return out;
}

struct pc_health *root_health(void)
{
	if (health == NULL) {
		test_int(pc_health_create(&health), 0);
	}
	return health;
}

struct pc_storage *root_open(const char *root)
{
	const struct pc_storage_config config = {
		.root = root,
		.health = root_health(),
		.max_usage = 1.0,
	};
	char why[256] = "";
	struct pc_storage *storage = NULL;
	int r = pc_storage_open(&config, why, sizeof(why), &storage);
	if (r != 0) {
		test_fail("pc_storage_open: %d: %s", r, why);
	}
	return storage;
}

void root_consent(struct pc_storage *storage)
{
	int64_t user;
	test_int(pc_users_setup(storage, "ada", "scrypt$x", true, false, 0, &user), 0);
}

struct pc_event root_event(struct pc_storage *storage, enum pc_event_kind kind, int64_t start_ns)
{
	struct pc_event event = {
		.kind = kind,
		.camera = "front",
		.start_utc_ms = pc_clock_utc_ms_of(start_ns),
		.score = 0.5f,
	};
	test_int(pc_events_begin(storage, &event), 0);
	return event;
}

static sqlite3 *open_db(const char *root)
{
	sqlite3 *db;
	test_int(sqlite3_open(root_path(root, "petcam.db"), &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 5000);
	return db;
}

static sqlite3_stmt *select_one(sqlite3 *db, const char *sql, const char *text)
{
	sqlite3_stmt *stmt;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
		test_fail("%s: %s", sql, sqlite3_errmsg(db));
	}
	if (text != NULL) {
		(void)sqlite3_bind_text(stmt, 1, text, -1, SQLITE_TRANSIENT);
	}
	return stmt;
}

static int64_t number(sqlite3 *db, const char *sql, const char *text)
{
	sqlite3_stmt *stmt = select_one(db, sql, text);
	test_int(sqlite3_step(stmt), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return n;
}

int64_t root_number(const char *root, const char *sql)
{
	sqlite3 *db = open_db(root);
	int64_t n = number(db, sql, NULL);
	(void)sqlite3_close(db);
	return n;
}

void root_text(const char *root, const char *sql, char *out, size_t size)
{
	sqlite3 *db = open_db(root);
	sqlite3_stmt *stmt = select_one(db, sql, NULL);
	test_int(sqlite3_step(stmt), SQLITE_ROW);
	(void)snprintf(out, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(db);
}

void root_sql(const char *root, const char *sql)
{
	sqlite3 *db = open_db(root);
	test_int(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
}

/* nftw has no argument for its callback. */
static struct {
	sqlite3 *db;
	size_t root_length;
	unsigned foreign;
} walked;

static int check_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type != FTW_F) {
		return 0;
	}
	const char *relative = path + walked.root_length + 1;
	const char *name = path + ftw->base;
	const char *dot = strrchr(name, '.');
	if (strcmp(name, "storage.uuid") == 0) {
		return 0;
	}
	int64_t rows = 0;
	if (dot != NULL && strcmp(dot, ".mp4") == 0) {
		rows = number(
			walked.db, "SELECT count(*) FROM recording WHERE path = ?1", relative);
	} else if (dot != NULL && strcmp(dot, ".jpg") == 0) {
		rows = number(
			walked.db, "SELECT count(*) FROM event_log WHERE thumbnail = ?1", relative);
	}
	if (rows != 1) {
		test_fail("%s: %d rows", relative, (int)rows);
	}
	return 0;
}

static void check_recordings(
	const char *root, sqlite3 *db, const struct stream *stream, struct root_content *content)
{
	sqlite3_stmt *stmt = select_one(
		db, "SELECT path, bytes, frames, duration, state, width FROM recording", NULL);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *relative = (const char *)sqlite3_column_text(stmt, 0);
		const char *path = root_path(root, "%s", relative);
		struct stat st;
		if (stat(path, &st) != 0) {
			test_fail("%s: a row without a file", relative);
		}
		test_str((const char *)sqlite3_column_text(stmt, 4), "closed");
		test_int(st.st_size, sqlite3_column_int64(stmt, 1));
		test_assert(sqlite3_column_int64(stmt, 2) > 0);
		test_int(sqlite3_column_int64(stmt, 5), 256);
		content->recordings++;
		content->frames += (unsigned)sqlite3_column_int64(stmt, 2);
		if (stream != NULL) {
			struct clip_content clip = clip_check(stream, path);
			test_int(clip.frames, sqlite3_column_int64(stmt, 2));
			test_int(clip.duration_ms, sqlite3_column_int64(stmt, 3));
			content->indexed += clip.indexed ? 1 : 0;
		}
	}
	(void)sqlite3_finalize(stmt);
}

static void check_events(const char *root, sqlite3 *db, struct root_content *content)
{
	test_int(number(db,
			 "SELECT count(*) FROM event_log AS e LEFT JOIN recording AS r"
			 " USING (recording_id) WHERE e.media_path IS NOT r.path",
			 NULL),
		0);
	sqlite3_stmt *stmt =
		select_one(db, "SELECT thumbnail FROM event_log WHERE thumbnail IS NOT NULL", NULL);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		struct stat st;
		const char *relative = (const char *)sqlite3_column_text(stmt, 0);
		if (stat(root_path(root, "%s", relative), &st) != 0 || st.st_size < 100) {
			test_fail("%s: a thumbnail without a file", relative);
		}
		content->thumbnails++;
	}
	(void)sqlite3_finalize(stmt);
	content->events = (unsigned)number(db, "SELECT count(*) FROM event_log", NULL);
	content->last_event_id = number(db, "SELECT ifnull(max(event_id), 0) FROM event_log", NULL);
	content->linked = (unsigned)number(
		db, "SELECT count(*) FROM event_log WHERE recording_id IS NOT NULL", NULL);
}

struct root_content root_check(const char *root, const struct stream *stream)
{
	struct root_content content = { 0 };
	sqlite3 *db = open_db(root);
	sqlite3_stmt *stmt = select_one(db, "PRAGMA integrity_check", NULL);
	test_int(sqlite3_step(stmt), SQLITE_ROW);
	test_str((const char *)sqlite3_column_text(stmt, 0), "ok");
	(void)sqlite3_finalize(stmt);
	check_recordings(root, db, stream, &content);
	check_events(root, db, &content);
	test_int(number(db, "SELECT count(*) FROM garbage", NULL), 0);
	walked.db = db;
	walked.root_length = strlen(root);
	test_int(nftw(root_path(root, "recordings"), check_file, 16, FTW_PHYS), 0);
	(void)sqlite3_close(db);
	return content;
}
