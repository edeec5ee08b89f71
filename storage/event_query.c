/* storage/event_query.c - the event log, read; see events.h.
 *
 * A page is found in an index whose order is the order of the answer, so that its cost does
 * not depend on how many rows there are. Where the index has the kind in front of the time,
 * the page is a merge (UNION ALL with ORDER BY) of one index range a kind.
 */
#include "storage/storage_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SQL_MAX 6144
#define LIMIT_MAX 500
#define KINDS_ALL ((1u << PC_EVENT_KINDS) - 1)

#define COLUMNS                                                                                    \
	"SELECT e.event_id, e.timestamp, e.duration, e.event_type, e.camera, e.pet_id,"            \
	" p.name, e.score, e.track_id, e.box_x, e.box_y, e.box_w, e.box_h, e.zone,"                \
	" e.evidence, e.keep, e.thumbnail IS NOT NULL, r.recording_id, r.timestamp "
#define JOINS                                                                                      \
	" LEFT JOIN pet AS p ON p.pet_id = e.pet_id"                                               \
	" LEFT JOIN recording AS r ON r.recording_id = e.recording_id "

static void read_row(sqlite3_stmt *stmt, struct pc_event_row *row)
{
	*row = (struct pc_event_row){ 0 };
	struct pc_event *e = &row->event;
	char kind[32];
	e->event_id = sqlite3_column_int64(stmt, 0);
	e->start_utc_ms = sqlite3_column_int64(stmt, 1);
	if (sqlite3_column_type(stmt, 2) != SQLITE_NULL) {
		e->end_utc_ms = e->start_utc_ms + sqlite3_column_int64(stmt, 2);
	}
	pc_db_column_text(stmt, 3, kind, sizeof(kind));
	(void)pc_event_kind_parse(kind, &e->kind); /* a newer petcam's kind: motion */
	pc_db_column_text(stmt, 4, e->camera, sizeof(e->camera));
	e->pet_id = sqlite3_column_int64(stmt, 5);
	pc_db_column_text(stmt, 6, row->pet_name, sizeof(row->pet_name));
	e->score = (float)sqlite3_column_double(stmt, 7);
	e->track_id = (uint32_t)sqlite3_column_int64(stmt, 8);
	e->box.x = (float)sqlite3_column_double(stmt, 9);
	e->box.y = (float)sqlite3_column_double(stmt, 10);
	e->box.w = (float)sqlite3_column_double(stmt, 11);
	e->box.h = (float)sqlite3_column_double(stmt, 12);
	pc_db_column_text(stmt, 13, e->zone, sizeof(e->zone));
	pc_db_column_text(stmt, 14, e->evidence, sizeof(e->evidence));
	row->keep = sqlite3_column_int(stmt, 15) != 0;
	row->has_thumbnail = sqlite3_column_int(stmt, 16) != 0;
	row->recording_id = sqlite3_column_int64(stmt, 17);
	row->clip_start_utc_ms = sqlite3_column_int64(stmt, 18);
	row->has_clip = row->recording_id != 0;
}

/* Appends to `sql`, which is known to be large enough for any filter (a test tries all). */
static void append(char *sql, const char *text)
{
	size_t n = strlen(sql);
	(void)snprintf(sql + n, SQL_MAX - n, "%s", text);
}

/* ?1 after, ?2 and ?3 the place in the order that all must be behind, ?4 limit, ?5 pet,
 * ?6 camera. */
static void build_sql(const struct pc_event_filter *filter, char sql[static SQL_MAX])
{
	uint32_t kinds = filter->kinds & KINDS_ALL;
	const char *index = NULL, *where = "";
	if (filter->pet_id != 0 && filter->camera != NULL) {
		index = "event_log_pet_camera";
		where = filter->pet_id > 0 ? "pet_id = ?5 AND camera = ?6 AND "
					   : "pet_id IS NULL AND camera = ?6 AND ";
	} else if (filter->pet_id != 0) {
		index = "event_log_pet";
		where = filter->pet_id > 0 ? "pet_id = ?5 AND " : "pet_id IS NULL AND ";
	} else if (filter->camera != NULL) {
		index = "event_log_camera";
		where = "camera = ?6 AND ";
	} else if (kinds != 0) {
		index = "event_log_type";
	}
	static const char range[] = "timestamp >= ?1 AND (timestamp, event_id) < (?2, ?3) ";
	sql[0] = '\0';
	append(sql, COLUMNS "FROM (");
	if (index == NULL) {
		append(sql, "SELECT event_id AS id, timestamp AS at FROM event_log"
			    " INDEXED BY event_log_time WHERE ");
		append(sql, range);
	} else {
		const char *between = "";
		for (unsigned kind = 0; kind < PC_EVENT_KINDS; kind++) {
			if (kinds != 0 && (kinds & (1u << kind)) == 0) {
				continue;
			}
			append(sql, between);
			append(sql,
				"SELECT event_id AS id, timestamp AS at FROM event_log INDEXED BY ");
			append(sql, index);
			append(sql, " WHERE ");
			append(sql, where);
			append(sql, "event_type = '");
			append(sql, pc_event_kind_name((enum pc_event_kind)kind));
			append(sql, "' AND ");
			append(sql, range);
			between = "UNION ALL ";
		}
	}
	append(sql, "ORDER BY at DESC, id DESC LIMIT ?4) AS k JOIN event_log AS e"
		    " ON e.event_id = k.id" JOINS "ORDER BY k.at DESC, k.id DESC");
}

static void bind_filter(sqlite3_stmt *stmt, const struct pc_event_filter *filter)
{
	/* "Before" and "behind the cursor" are both an upper end: the lower one counts. */
	int64_t at = INT64_MAX, id = INT64_MAX;
	if (filter->before_utc_ms != 0) {
		at = filter->before_utc_ms;
		id = INT64_MIN;
	}
	if (filter->cursor_event_id != 0 &&
		(filter->cursor_start_utc_ms < at ||
			(filter->cursor_start_utc_ms == at && filter->cursor_event_id < id))) {
		at = filter->cursor_start_utc_ms;
		id = filter->cursor_event_id;
	}
	pc_db_bind_int(stmt, 1, filter->after_utc_ms != 0 ? filter->after_utc_ms : INT64_MIN);
	pc_db_bind_int(stmt, 2, at);
	pc_db_bind_int(stmt, 3, id);
	pc_db_bind_int(stmt, 4, (int64_t)filter->limit + 1); /* one more tells if there is more */
	if (filter->pet_id > 0) {
		pc_db_bind_int(stmt, 5, filter->pet_id);
	}
	if (filter->camera != NULL) {
		pc_db_bind_text(stmt, 6, filter->camera);
	}
}

int pc_events_query(struct pc_storage *storage, const struct pc_event_filter *filter,
	bool (*fn)(void *data, const struct pc_event_row *row), void *data, bool *ret_more)
{
	if (filter->limit < 1 || filter->limit > LIMIT_MAX || filter->pet_id < -1 ||
		(filter->kinds & ~KINDS_ALL) != 0) {
		return -EINVAL;
	}
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	char sql[SQL_MAX];
	build_sql(filter, sql);
	sqlite3_stmt *stmt;
	unsigned n = 0;
	bool more = false;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r == 0) {
		bind_filter(stmt, filter);
		while ((r = pc_db_step(stmt)) == 1) {
			struct pc_event_row row;
			if (n == filter->limit) {
				more = true;
				break;
			}
			read_row(stmt, &row);
			n++;
			if (!fn(data, &row)) {
				more = true; /* as far as anybody knows */
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

int pc_events_get(struct pc_storage *storage, int64_t event_id, struct pc_event_row *ret_row)
{
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(
		db, COLUMNS "FROM event_log AS e" JOINS "WHERE e.event_id = ?1", &stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, event_id);
		r = pc_db_step(stmt);
		if (r == 1) {
			read_row(stmt, ret_row);
		}
		pc_db_reset(stmt);
	}
	pc_db_pool_give(&storage->pool, db);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int pc_events_thumbnail(struct pc_storage *storage, int64_t event_id, char *ret_path, size_t size)
{
	struct pc_db *db = pc_db_pool_take(&storage->pool);
	if (db == NULL) {
		return -EBUSY;
	}
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db,
		"SELECT thumbnail FROM event_log WHERE event_id = ?1 AND thumbnail IS NOT NULL",
		&stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, event_id);
		r = pc_db_step(stmt);
		if (r == 1) {
			int n = snprintf(ret_path, size, "%s/%s", storage->root,
				(const char *)sqlite3_column_text(stmt, 0));
			r = n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 1;
		}
		pc_db_reset(stmt);
	}
	pc_db_pool_give(&storage->pool, db);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}
