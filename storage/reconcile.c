/* storage/reconcile.c - a start makes rows and files agree again.
 *
 * Rows: removals that were begun are finished; a recording that was open is cut behind its last
 * whole frame and closed, or, if there is no key frame in it, removed; a row whose file is not
 * there is removed.
 * Files without a row: one whose name and place are ours gets a row if it holds a whole key
 * frame; is removed if petcam made it and nothing is in it; is left alone and reported
 * otherwise. Thumbnails are given to their event, or removed if it is gone or has one.
 */
#include "storage/storage_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PC_LOG_MODULE "storage"
#include "core/log.h"
#include "storage/clip_internal.h"

#define DEPTH_MAX 5 /* recordings / camera / year / month / day */
#define ROWS 128 /* looked at in one go */

struct tally {
	unsigned finished; /* recordings that were open */
	unsigned empty; /* and had nothing in them */
	unsigned missing; /* rows without a file */
	unsigned imported; /* files without a row */
	unsigned removed; /* files of no use */
	unsigned foreign; /* left alone */
};

struct row {
	int64_t id;
	char path[PC_STORAGE_PATH_MAX];
};

/* The next rows behind `after`, by id. */
static int read_rows(
	struct pc_db *db, const char *sql, int64_t after, struct row *rows, unsigned *ret_n)
{
	sqlite3_stmt *stmt;
	unsigned n = 0;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, after);
	pc_db_bind_int(stmt, 2, ROWS);
	while ((r = pc_db_step(stmt)) == 1) {
		rows[n].id = sqlite3_column_int64(stmt, 0);
		pc_db_column_text(stmt, 1, rows[n].path, sizeof(rows[n].path));
		n++;
	}
	*ret_n = n;
	return r;
}

static int finish_open(struct pc_storage *storage, const struct row *row, struct tally *tally)
{
	enum pc_clip_state state;
	struct pc_clip_info info;
	int r = pc_clip_recover(storage->root_fd, row->path, &state, &info);
	if (r == -ENOENT) {
		tally->missing++;
		return pc_recordings_drop(storage, row->id, "its file was not there");
	}
	if (r < 0) {
		pc_error("%s cannot be finished: %s, ignoring", row->path, pc_strerror(r));
		return 0; /* one bad file does not stop all the rest */
	}
	switch (state) {
	case PC_CLIP_WHOLE:
		tally->finished++;
		return pc_recordings_close(storage, row->id, &info);
	case PC_CLIP_EMPTY:
		tally->empty++;
		return pc_recordings_drop(storage, row->id, "nothing was recorded");
	case PC_CLIP_FOREIGN:
		break;
	}
	pc_error("%s is not what was recorded there: left alone", row->path);
	return pc_recordings_disown(storage, row->id);
}

static int check_closed(struct pc_storage *storage, const struct row *row, struct tally *tally)
{
	struct stat st;
	if (fstatat(storage->root_fd, row->path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		return 0;
	}
	if (errno != ENOENT && errno != ENOTDIR) {
		return -errno;
	}
	tally->missing++;
	return pc_recordings_drop(storage, row->id, "its file was not there");
}

static int for_each_row(struct pc_storage *storage, const char *sql,
	int (*fn)(struct pc_storage *storage, const struct row *row, struct tally *tally),
	struct tally *tally)
{
	struct row rows[ROWS];
	unsigned n = ROWS;
	int64_t after = 0;
	while (n == ROWS) {
		int r = read_rows(&storage->db, sql, after, rows, &n);
		for (unsigned i = 0; i < n && r == 0; i++) {
			r = fn(storage, &rows[i], tally);
			after = rows[i].id;
		}
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* 1, 0, or an error. */
static int row_exists(struct pc_db *db, const char *sql, const char *path, int64_t id)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_text(stmt, 1, path);
	if (id != 0) {
		pc_db_bind_int(stmt, 2, id);
	}
	r = pc_db_step(stmt);
	pc_db_reset(stmt);
	return r;
}

static void remove_file(struct pc_storage *storage, const char *path, struct tally *tally)
{
	pc_clip_remove(storage->root_fd, path);
	tally->removed++;
}

static int adopt_clip(struct pc_storage *storage, const char *path,
	const struct pc_media_name *name, const char *camera, struct tally *tally)
{
	enum pc_clip_state state;
	struct pc_clip_info info;
	int r = row_exists(&storage->db, "SELECT 1 FROM recording WHERE path = ?1", path, 0);
	if (r != 0) {
		return r < 0 ? r : 0;
	}
	r = pc_clip_recover(storage->root_fd, path, &state, &info);
	if (r < 0) {
		pc_error("%s cannot be read: %s, ignoring", path, pc_strerror(r));
		return 0;
	}
	switch (state) {
	case PC_CLIP_WHOLE:
		tally->imported++;
		info.start_utc_ms = name->utc_ms;
		return pc_recordings_import(storage, camera, path, name->kind, &info);
	case PC_CLIP_EMPTY:
		remove_file(storage, path, tally);
		return 0;
	case PC_CLIP_FOREIGN:
		break;
	}
	tally->foreign++;
	return 0;
}

static int adopt_thumbnail(struct pc_storage *storage, const char *path,
	const struct pc_media_name *name, struct tally *tally)
{
	struct pc_db *db = &storage->db;
	int r = row_exists(db, "SELECT 1 FROM event_log WHERE event_id = ?2 AND thumbnail = ?1",
		path, name->event_id);
	if (r != 0) {
		return r < 0 ? r : 0;
	}
	r = row_exists(db,
		"SELECT 1 FROM event_log WHERE event_id = ?2 AND thumbnail IS NULL"
		" AND recording_id IS NOT NULL AND ?1 <> ''",
		path, name->event_id);
	if (r < 0) {
		return r;
	}
	if (r == 0 || !pc_thumbnail_whole(storage->root_fd, path)) {
		remove_file(storage, path, tally);
		return 0;
	}
	r = pc_db_begin(db, false);
	if (r == 0) {
		r = pc_events_set_thumbnail(storage, name->event_id, path);
		if (r == 0) {
			return pc_db_commit(db);
		}
		pc_db_rollback(db);
	}
	return r;
}

static int look_at_file(struct pc_storage *storage, const char *path, struct tally *tally)
{
	char camera[PC_CAMERA_ID_MAX];
	struct pc_media_name name;
	struct stat st;
	if (strncmp(path, PC_RECORDINGS_FOLDER "/storage.uuid",
		    sizeof(PC_RECORDINGS_FOLDER "/storage.uuid") - 1) == 0 ||
		strcmp(path, PC_RECORDINGS_FOLDER "/.petcam-probe.tmp") == 0) {
		return 0;
	}
	if (pc_media_path_parse(path, &name, camera, sizeof(camera)) < 0 ||
		fstatat(storage->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode)) {
		tally->foreign++;
		return 0;
	}
	if (name.temporary) {
		remove_file(storage, path, tally);
		return 0;
	}
	return name.clip ? adopt_clip(storage, path, &name, camera, tally)
			 : adopt_thumbnail(storage, path, &name, tally);
}

/* `path` (of `n` bytes, room for more behind) is a folder. */
static int walk(
	struct pc_storage *storage, char *path, size_t n, unsigned depth, struct tally *tally)
{
	int fd = openat(storage->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return -errno;
	}
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	struct dirent *entry;
	struct stat st;
	int r = 0;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;
		size_t length = strlen(name);
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			continue;
		}
		if (n + 1 + length + 1 > PC_STORAGE_PATH_MAX) {
			tally->foreign++; /* no name of ours is that long */
			continue;
		}
		path[n] = '/';
		memcpy(path + n + 1, name, length + 1);
		bool folder = entry->d_type == DT_DIR ||
			      (entry->d_type == DT_UNKNOWN &&
				      fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
				      S_ISDIR(st.st_mode));
		if (!folder) {
			r = look_at_file(storage, path, tally);
		} else if (depth < DEPTH_MAX) {
			r = walk(storage, path, n + 1 + length, depth + 1, tally);
		} else {
			tally->foreign++;
		}
		path[n] = '\0';
	}
	(void)closedir(dir);
	return r;
}

static void report(const struct tally *t)
{
	if (t->finished + t->empty + t->missing + t->imported + t->removed > 0) {
		pc_warn("mended: %u recordings finished, %u empty ones removed, %u rows without a "
			"file removed, %u files without a row taken in, %u left-over files removed",
			t->finished, t->empty, t->missing, t->imported, t->removed);
	}
	if (t->foreign > 0) {
		pc_warn("%u files under " PC_RECORDINGS_FOLDER " are not petcam's, left alone",
			t->foreign);
	}
}

int pc_reconcile(struct pc_storage *storage)
{
	struct tally tally = { 0 };
	char path[PC_STORAGE_PATH_MAX] = PC_RECORDINGS_FOLDER;
	/* A name that was taken again meanwhile is not garbage. */
	int r = pc_db_exec(
		&storage->db, "DELETE FROM garbage WHERE path IN (SELECT path FROM recording)");
	if (r == 0) {
		r = pc_garbage_finish(storage);
	}
	if (r == 0) {
		r = for_each_row(storage,
			"SELECT recording_id, path FROM recording INDEXED BY recording_open"
			" WHERE state = 'open' AND recording_id > ?1 ORDER BY recording_id LIMIT ?2",
			finish_open, &tally);
	}
	if (r == 0) {
		r = for_each_row(storage,
			"SELECT recording_id, path FROM recording"
			" WHERE recording_id > ?1 ORDER BY recording_id LIMIT ?2",
			check_closed, &tally);
	}
	if (r == 0) {
		r = walk(storage, path, strlen(path), 1, &tally);
	}
	if (r == 0) {
		r = pc_recordings_load(storage);
	}
	storage->reconciled = r == 0;
	report(&tally);
	return r;
}
