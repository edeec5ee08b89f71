/* storage/recordings.c - rows of recordings, and their deletion; see recordings.h. */
#include "storage/storage_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PC_LOG_MODULE "storage"
#include "core/clock.h"
#include "core/log.h"
#include "storage/clip_internal.h"

#define LIMIT_MAX 500
#define GARBAGE_BATCH 64

#define COLUMNS                                                                                    \
	"SELECT recording_id, camera, timestamp, duration, bytes, event_type, state, keep,"        \
	" frames, width, height, path FROM recording "

int pc_recordings_load(struct pc_storage *storage)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(
		&storage->db, "SELECT count(*), ifnull(sum(bytes), 0) FROM recording", &stmt);
	if (r < 0) {
		return r;
	}
	r = pc_db_step(stmt);
	if (r == 1) {
		atomic_store(&storage->n_recordings, (uint64_t)sqlite3_column_int64(stmt, 0));
		atomic_store(&storage->recording_bytes, (uint64_t)sqlite3_column_int64(stmt, 1));
	}
	pc_db_reset(stmt);
	return r < 0 ? r : 0;
}

static int insert(struct pc_storage *storage, const char *camera, const char *path,
	enum pc_event_kind kind, const struct pc_clip_info *info, int64_t *ret_recording_id)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(&storage->db,
		"INSERT INTO recording (camera, path, timestamp, event_type, width, height)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_text(stmt, 1, camera);
	pc_db_bind_text(stmt, 2, path);
	pc_db_bind_int(stmt, 3, info->start_utc_ms);
	pc_db_bind_text(stmt, 4, pc_event_kind_name(kind));
	pc_db_bind_int(stmt, 5, info->width);
	pc_db_bind_int(stmt, 6, info->height);
	r = pc_db_run(stmt);
	if (r == 0) {
		*ret_recording_id = sqlite3_last_insert_rowid(storage->db.handle);
	}
	return r;
}

int pc_recordings_declare(struct pc_storage *storage, const char *camera, const char *path,
	enum pc_event_kind kind, const struct pc_clip_info *info, const int64_t *event_ids,
	unsigned n, int64_t *ret_recording_id)
{
	int64_t id = 0;
	int r = pc_db_begin(&storage->db, true);
	if (r < 0) {
		return r;
	}
	r = insert(storage, camera, path, kind, info, &id);
	for (unsigned i = 0; i < n && r == 0; i++) {
		r = pc_events_link(storage, event_ids[i], id);
	}
	if (r < 0) {
		pc_db_rollback(&storage->db);
		return r;
	}
	r = pc_db_commit(&storage->db);
	if (r == 0) {
		atomic_fetch_add(&storage->n_recordings, 1);
		*ret_recording_id = id;
	}
	return r;
}

static int update_closed(
	struct pc_storage *storage, int64_t recording_id, const struct pc_clip_info *info)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(&storage->db,
		"UPDATE recording SET state = 'closed', duration = ?2, bytes = ?3, frames = ?4"
		" WHERE recording_id = ?1",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, recording_id);
	pc_db_bind_int(stmt, 2, info->duration_ms);
	pc_db_bind_int(stmt, 3, (int64_t)info->bytes);
	pc_db_bind_int(stmt, 4, (int64_t)info->frames);
	return pc_db_run(stmt);
}

int pc_recordings_close(
	struct pc_storage *storage, int64_t recording_id, const struct pc_clip_info *info)
{
	int r = pc_db_begin(&storage->db, true);
	if (r < 0) {
		return r;
	}
	r = update_closed(storage, recording_id, info);
	if (r < 0) {
		pc_db_rollback(&storage->db);
		return r;
	}
	r = pc_db_commit(&storage->db);
	if (r == 0) {
		atomic_fetch_add(&storage->recording_bytes, info->bytes);
	}
	return r;
}

int pc_recordings_import(struct pc_storage *storage, const char *camera, const char *path,
	enum pc_event_kind kind, const struct pc_clip_info *info)
{
	int64_t id = 0;
	int r = pc_db_begin(&storage->db, true);
	if (r < 0) {
		return r;
	}
	r = insert(storage, camera, path, kind, info, &id);
	if (r == 0) {
		r = update_closed(storage, id, info);
	}
	if (r < 0) {
		pc_db_rollback(&storage->db);
		return r;
	}
	return pc_db_commit(&storage->db);
}

static int run_with_id(
	struct pc_db *db, const char *sql, int64_t id, int64_t utc_ms, const char *reason)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, id);
	if (utc_ms != 0) {
		pc_db_bind_int(stmt, 2, utc_ms);
	}
	if (reason != NULL) {
		pc_db_bind_text(stmt, 3, reason);
	}
	return pc_db_run(stmt);
}

/* One transaction: nothing points to the files any more; `garbage`: and they are to go. */
static int forget(struct pc_db *db, int64_t id, const char *reason, bool garbage)
{
	int64_t now = pc_clock_now_utc_ms();
	int r = pc_db_begin(db, true);
	if (r < 0) {
		return r;
	}
	if (garbage) {
		r = run_with_id(db,
			"INSERT OR IGNORE INTO garbage (path, created)"
			" SELECT path, ?2 FROM recording WHERE recording_id = ?1"
			" UNION ALL SELECT thumbnail, ?2 FROM event_log"
			" WHERE recording_id = ?1 AND thumbnail IS NOT NULL",
			id, now, NULL);
	}
	if (r == 0) {
		r = run_with_id(db,
			"INSERT INTO deletion_log (timestamp, recording_id, camera, path, recorded,"
			" duration, bytes, reason) SELECT ?2, recording_id, camera, path, timestamp,"
			" duration, bytes, ?3 FROM recording WHERE recording_id = ?1",
			id, now, reason);
	}
	if (r == 0) {
		r = run_with_id(db,
			"UPDATE event_log SET recording_id = NULL, media_path = NULL,"
			" thumbnail = NULL WHERE recording_id = ?1",
			id, 0, NULL);
	}
	if (r == 0) {
		r = run_with_id(db, "DELETE FROM recording WHERE recording_id = ?1", id, 0, NULL);
	}
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	return pc_db_commit(db);
}

/* State and size: 1: open, 0: closed, -ENOENT. */
static int look(struct pc_db *db, int64_t id, uint64_t *ret_bytes)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(
		db, "SELECT state = 'open', bytes FROM recording WHERE recording_id = ?1", &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, id);
	r = pc_db_step(stmt);
	if (r == 1) {
		r = sqlite3_column_int(stmt, 0);
		*ret_bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
		pc_db_reset(stmt);
		return r;
	}
	return r == 0 ? -ENOENT : r;
}

static int drop(struct pc_storage *storage, int64_t recording_id, const char *reason, bool garbage)
{
	uint64_t bytes = 0;
	int r = look(&storage->db, recording_id, &bytes);
	if (r >= 0) {
		r = forget(&storage->db, recording_id, reason, garbage);
	}
	if (r < 0) {
		return r;
	}
	atomic_fetch_sub(&storage->n_recordings, 1);
	atomic_fetch_sub(&storage->recording_bytes, bytes);
	return 0;
}

int pc_recordings_drop(struct pc_storage *storage, int64_t recording_id, const char *reason)
{
	int r = drop(storage, recording_id, reason, true);
	if (r < 0) {
		return r;
	}
	r = pc_garbage_finish(storage);
	if (r < 0) {
		/* The recording is gone all the same; retention comes back to its file. */
		pc_warn("removed files cannot be unlinked yet: %s, ignoring", pc_strerror(r));
	}
	return 0;
}

int pc_recordings_disown(struct pc_storage *storage, int64_t recording_id)
{
	return drop(storage, recording_id, "its file is not petcam's", false);
}

struct garbage {
	int64_t id;
	char path[PC_STORAGE_PATH_MAX];
};

static int read_garbage(struct pc_db *db, struct garbage *list, unsigned *ret_n)
{
	sqlite3_stmt *stmt;
	unsigned n = 0;
	int r = pc_db_prepare(
		db, "SELECT garbage_id, path FROM garbage ORDER BY path LIMIT ?1", &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, GARBAGE_BATCH);
	while ((r = pc_db_step(stmt)) == 1) {
		list[n].id = sqlite3_column_int64(stmt, 0);
		pc_db_column_text(stmt, 1, list[n].path, sizeof(list[n].path));
		n++;
	}
	*ret_n = n;
	return r;
}

static bool same_folder(const char *a, const char *b)
{
	const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');
	return end_a != NULL && end_b != NULL && end_a - a == end_b - b &&
	       memcmp(a, b, (size_t)(end_a - a)) == 0;
}

static int remove_files(int root_fd, const struct garbage *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (unlinkat(root_fd, list[i].path, 0) < 0 && errno != ENOENT) {
			return -errno;
		}
		/* Sorted by path: a folder is synced once, behind its last file. */
		if (i + 1 < n && same_folder(list[i].path, list[i + 1].path)) {
			continue;
		}
		int r = pc_root_sync_folder(root_fd, list[i].path);
		if (r < 0 && r != -ENOENT) {
			return r;
		}
	}
	return 0;
}

/* One batch; *ret_n how many it was. */
static int finish_batch(struct pc_storage *storage, unsigned *ret_n)
{
	struct garbage list[GARBAGE_BATCH];
	struct pc_db *db = &storage->db;
	unsigned n = 0;
	int r = read_garbage(db, list, &n);
	if (r == 0 && n > 0) {
		r = remove_files(storage->root_fd, list, n);
		if (r == 0) {
			/* If this is lost, the next start unlinks what is gone already. */
			r = pc_db_begin(db, false);
		}
		for (unsigned i = 0; i < n && r == 0; i++) {
			r = run_with_id(db, "DELETE FROM garbage WHERE garbage_id = ?1", list[i].id,
				0, NULL);
		}
		if (r == 0) {
			r = pc_db_commit(db);
		} else {
			pc_db_rollback(db);
		}
	}
	*ret_n = n;
	return r;
}

int pc_garbage_finish(struct pc_storage *storage)
{
	for (;;) {
		unsigned n;
		int r = finish_batch(storage, &n);
		if (r < 0 || n < GARBAGE_BATCH) {
			return r;
		}
	}
}

struct removal {
	int64_t recording_id;
	const char *reason;
};

static int do_remove(struct pc_storage *storage, void *data)
{
	const struct removal *removal = data;
	uint64_t bytes;
	int r = look(&storage->db, removal->recording_id, &bytes);
	if (r != 0) {
		return r < 0 ? r : -EBUSY;
	}
	if (!storage->identity_ok) {
		return -ENODEV; /* its file is on the disk that is missing */
	}
	return pc_recordings_drop(storage, removal->recording_id, removal->reason);
}

int pc_recordings_remove(struct pc_storage *storage, int64_t recording_id, const char *reason)
{
	struct removal removal = { recording_id, reason };
	return pc_storage_call(storage, do_remove, &removal);
}

static void read_row(struct pc_storage *storage, sqlite3_stmt *stmt, struct pc_recording_row *row)
{
	char text[PC_STORAGE_PATH_MAX];
	*row = (struct pc_recording_row){ 0 };
	row->recording_id = sqlite3_column_int64(stmt, 0);
	pc_db_column_text(stmt, 1, row->camera, sizeof(row->camera));
	row->start_utc_ms = sqlite3_column_int64(stmt, 2);
	row->duration_ms = sqlite3_column_int64(stmt, 3);
	row->bytes = (uint64_t)sqlite3_column_int64(stmt, 4);
	pc_db_column_text(stmt, 5, text, sizeof(text));
	(void)pc_event_kind_parse(text, &row->kind);
	pc_db_column_text(stmt, 6, text, sizeof(text));
	row->open = strcmp(text, "open") == 0;
	row->keep = sqlite3_column_int(stmt, 7) != 0;
	row->frames = (unsigned)sqlite3_column_int64(stmt, 8);
	row->width = (unsigned)sqlite3_column_int64(stmt, 9);
	row->height = (unsigned)sqlite3_column_int64(stmt, 10);
	if (row->open) {
		struct stat st;
		pc_db_column_text(stmt, 11, text, sizeof(text));
		if (fstatat(storage->root_fd, text, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			row->bytes = (uint64_t)st.st_size; /* it grows */
		}
	}
}

int pc_recordings_query(struct pc_storage *storage, const struct pc_recording_filter *filter,
	bool (*fn)(void *data, const struct pc_recording_row *row), void *data, bool *ret_more)
{
	static const char by_time[] =
		COLUMNS "INDEXED BY recording_time WHERE timestamp >= ?1"
			" AND timestamp < ?2 AND (timestamp, recording_id) < (?3, ?4)"
			" ORDER BY timestamp DESC, recording_id DESC LIMIT ?5";
	static const char by_camera[] =
		COLUMNS "INDEXED BY recording_camera WHERE camera = ?6 AND timestamp >= ?1"
			" AND timestamp < ?2 AND (timestamp, recording_id) < (?3, ?4)"
			" ORDER BY timestamp DESC, recording_id DESC LIMIT ?5";
	if (filter->limit < 1 || filter->limit > LIMIT_MAX) {
		return -EINVAL;
	}
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	bool cursor = filter->cursor_recording_id != 0, more = false;
	unsigned n = 0;
	int r = pc_db_prepare(db, filter->camera != NULL ? by_camera : by_time, &stmt);
	if (r == 0) {
		pc_db_bind_int(
			stmt, 1, filter->after_utc_ms != 0 ? filter->after_utc_ms : INT64_MIN);
		pc_db_bind_int(
			stmt, 2, filter->before_utc_ms != 0 ? filter->before_utc_ms : INT64_MAX);
		pc_db_bind_int(stmt, 3, cursor ? filter->cursor_start_utc_ms : INT64_MAX);
		pc_db_bind_int(stmt, 4, cursor ? filter->cursor_recording_id : INT64_MAX);
		pc_db_bind_int(stmt, 5, (int64_t)filter->limit + 1);
		if (filter->camera != NULL) {
			pc_db_bind_text(stmt, 6, filter->camera);
		}
		while ((r = pc_db_step(stmt)) == 1) {
			struct pc_recording_row row;
			more = n++ == filter->limit;
			if (more) {
				break;
			}
			read_row(storage, stmt, &row);
			if (!fn(data, &row)) {
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

/* Row and path; each may be NULL. */
static int get(struct pc_storage *storage, int64_t recording_id, struct pc_recording_row *ret_row,
	char *path)
{
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, COLUMNS "WHERE recording_id = ?1", &stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, recording_id);
		r = pc_db_step(stmt);
		if (r == 1 && ret_row != NULL) {
			read_row(storage, stmt, ret_row);
		}
		if (r == 1 && path != NULL) {
			pc_db_column_text(stmt, 11, path, PC_STORAGE_PATH_MAX);
		}
		pc_db_reset(stmt);
	}
	pc_db_pool_give(&storage->pool, db);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int pc_recordings_get(
	struct pc_storage *storage, int64_t recording_id, struct pc_recording_row *ret_row)
{
	return get(storage, recording_id, ret_row, NULL);
}

int pc_recordings_open_media(
	struct pc_storage *storage, int64_t recording_id, int *ret_fd, uint64_t *ret_size)
{
	char path[PC_STORAGE_PATH_MAX];
	struct stat st;
	int r = get(storage, recording_id, NULL, path);
	if (r < 0) {
		return r;
	}
	int fd = openat(storage->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return -errno;
	}
	if (fstat(fd, &st) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}
