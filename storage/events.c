/* storage/events.c - the event log, written; see events.h. Reading is event_query.c. */
#include "storage/storage_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PC_LOG_MODULE "storage"
#include "core/clock.h"
#include "core/log.h"

int pc_event_queue_init(struct pc_storage *storage)
{
	struct pc_event_queue *queue = &storage->events;
	queue->front = calloc(PC_EVENT_BATCH, sizeof(*queue->front));
	queue->back = calloc(PC_EVENT_BATCH, sizeof(*queue->back));
	if (queue->front == NULL || queue->back == NULL) {
		return -ENOMEM;
	}
	int r = -pthread_mutex_init(&queue->lock, NULL);
	if (r == 0) {
		r = -pthread_mutex_init(&queue->listener_lock, NULL);
	}
	return r;
}

void pc_event_queue_finish(struct pc_storage *storage)
{
	struct pc_event_queue *queue = &storage->events;
	if (queue->n_front + queue->n_back > 0) {
		pc_error("%u changes of events could not be written",
			queue->n_front + queue->n_back);
	}
	(void)pthread_mutex_destroy(&queue->listener_lock);
	(void)pthread_mutex_destroy(&queue->lock);
	free(queue->front);
	free(queue->back);
}

static int read_number(struct pc_db *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, sql, &stmt);
	if (r < 0) {
		return r;
	}
	r = pc_db_step(stmt);
	if (r == 1) {
		*ret = sqlite3_column_int64(stmt, 0);
		pc_db_reset(stmt);
		return 0;
	}
	return r == 0 ? -ENOENT : r;
}

int pc_event_queue_load(struct pc_storage *storage)
{
	struct pc_db *db = &storage->db;
	int64_t seq = 0, n = 0;
	/* AUTOINCREMENT remembers the highest id ever, also that of a row removed since. */
	int r = read_number(db, "SELECT seq FROM sqlite_sequence WHERE name = 'event_log'", &seq);
	if (r < 0 && r != -ENOENT) {
		return r;
	}
	r = read_number(db, "SELECT count(*) FROM event_log", &n);
	if (r < 0) {
		return r;
	}
	/* What went on when we were killed ended when it was last heard of. */
	r = pc_db_exec(db, "UPDATE event_log SET duration = max(0, updated - timestamp)"
			   " WHERE duration IS NULL");
	if (r < 0) {
		return r;
	}
	storage->events.next_id = seq + 1;
	atomic_store(&storage->n_events, (uint64_t)n);
	return 0;
}

static bool is_valid(const struct pc_event *event)
{
	return (unsigned)event->kind < PC_EVENT_KINDS &&
	       memchr(event->camera, '\0', sizeof(event->camera)) != NULL &&
	       memchr(event->zone, '\0', sizeof(event->zone)) != NULL &&
	       memchr(event->evidence, '\0', sizeof(event->evidence)) != NULL;
}

/* Under the lock. Later states of an event replace the one that waits. */
static int enqueue(struct pc_event_queue *queue, const struct pc_event *event, bool begun)
{
	unsigned i = queue->n_front;
	if (!begun) {
		for (i = 0; i < queue->n_front; i++) {
			if (queue->front[i].event.event_id == event->event_id) {
				break;
			}
		}
	}
	if (i == PC_EVENT_BATCH) {
		pc_counter_add(&queue->shed, 1);
		return -EAGAIN;
	}
	if (i == queue->n_front) {
		queue->n_front++;
		queue->front[i].begun = begun;
	}
	queue->front[i].event = *event;
	queue->front[i].updated_utc_ms = pc_clock_now_utc_ms();
	return 0;
}

int pc_events_begin(struct pc_storage *storage, struct pc_event *event)
{
	struct pc_event_queue *queue = &storage->events;
	if (!is_valid(event)) {
		return -EINVAL;
	}
	(void)pthread_mutex_lock(&queue->lock);
	int64_t old = event->event_id;
	bool first = queue->n_front == 0;
	event->event_id = queue->next_id;
	int r = enqueue(queue, event, true);
	if (r == 0) {
		queue->next_id++;
	} else {
		event->event_id = old;
	}
	(void)pthread_mutex_unlock(&queue->lock);
	if (first) {
		pc_storage_wake(storage);
	}
	return r;
}

int pc_events_update(struct pc_storage *storage, const struct pc_event *event)
{
	struct pc_event_queue *queue = &storage->events;
	if (!is_valid(event) || event->event_id <= 0) {
		return -EINVAL;
	}
	(void)pthread_mutex_lock(&queue->lock);
	bool first = queue->n_front == 0;
	int r = enqueue(queue, event, false);
	(void)pthread_mutex_unlock(&queue->lock);
	if (first) {
		pc_storage_wake(storage);
	}
	return r;
}

bool pc_event_queue_waiting(struct pc_storage *storage)
{
	struct pc_event_queue *queue = &storage->events;
	(void)pthread_mutex_lock(&queue->lock);
	bool waiting = queue->n_front > 0 || queue->n_back > 0;
	(void)pthread_mutex_unlock(&queue->lock);
	return waiting;
}

static void bind_event(sqlite3_stmt *stmt, const struct pc_event_entry *entry)
{
	const struct pc_event *e = &entry->event;
	pc_db_bind_int(stmt, 1, e->event_id);
	pc_db_bind_int(stmt, 2, e->start_utc_ms);
	pc_db_bind_id(stmt, 3, e->pet_id);
	pc_db_bind_text(stmt, 4, pc_event_kind_name(e->kind));
	if (e->end_utc_ms != 0) {
		int64_t duration = e->end_utc_ms - e->start_utc_ms;
		pc_db_bind_int(stmt, 5, duration > 0 ? duration : 0);
	}
	pc_db_bind_text(stmt, 6, e->camera);
	pc_db_bind_real(stmt, 7, (double)e->score);
	pc_db_bind_int(stmt, 8, e->track_id);
	pc_db_bind_real(stmt, 9, (double)e->box.x);
	pc_db_bind_real(stmt, 10, (double)e->box.y);
	pc_db_bind_real(stmt, 11, (double)e->box.w);
	pc_db_bind_real(stmt, 12, (double)e->box.h);
	pc_db_bind_text(stmt, 13, e->zone);
	pc_db_bind_text(stmt, 14, e->evidence);
	pc_db_bind_int(stmt, 15, entry->updated_utc_ms);
}

/* One event. *n_new counts rows that were not there. */
static int write_entry(struct pc_db *db, const struct pc_event_entry *entry, uint64_t *n_new)
{
	/* A pet that is gone meanwhile is no reason to lose the event. */
	static const char insert[] =
		"INSERT INTO event_log (event_id, timestamp, pet_id, event_type, duration, camera,"
		" score, track_id, box_x, box_y, box_w, box_h, zone, evidence, updated)"
		" VALUES (?1, ?2, (SELECT pet_id FROM pet WHERE pet_id = ?3), ?4, ?5, ?6, ?7, ?8,"
		" ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
	static const char update[] =
		"UPDATE event_log SET timestamp = ?2,"
		" pet_id = (SELECT pet_id FROM pet WHERE pet_id = ?3), event_type = ?4,"
		" duration = ?5, camera = ?6, score = ?7, track_id = ?8, box_x = ?9, box_y = ?10,"
		" box_w = ?11, box_h = ?12, zone = ?13, evidence = ?14, updated = ?15"
		" WHERE event_id = ?1";
	sqlite3_stmt *stmt;
	int r;
	if (!entry->begun) {
		r = pc_db_prepare(db, update, &stmt);
		if (r < 0) {
			return r;
		}
		bind_event(stmt, entry);
		r = pc_db_run(stmt);
		if (r < 0 || sqlite3_changes(db->handle) > 0) {
			return r;
		}
		/* Its beginning was shed, or it was restored: the row is made now. */
	}
	r = pc_db_prepare(db, insert, &stmt);
	if (r < 0) {
		return r;
	}
	bind_event(stmt, entry);
	r = pc_db_run(stmt);
	*n_new += r == 0 ? 1 : 0;
	return r;
}

static void tell_listener(struct pc_event_queue *queue, int64_t event_id)
{
	(void)pthread_mutex_lock(&queue->listener_lock);
	if (queue->listener != NULL) {
		queue->listener(queue->listener_data, event_id);
	}
	(void)pthread_mutex_unlock(&queue->listener_lock);
}

/* What producers left becomes the batch, unless one is still to be written. */
static void take_batch(struct pc_event_queue *queue)
{
	(void)pthread_mutex_lock(&queue->lock);
	if (queue->n_back == 0) {
		struct pc_event_entry *empty = queue->back;
		queue->back = queue->front;
		queue->n_back = queue->n_front;
		queue->front = empty;
		queue->n_front = 0;
	}
	(void)pthread_mutex_unlock(&queue->lock);
}

static void set_n_back(struct pc_event_queue *queue, unsigned n)
{
	(void)pthread_mutex_lock(&queue->lock);
	queue->n_back = n;
	(void)pthread_mutex_unlock(&queue->lock);
}

static int write_batch(struct pc_storage *storage)
{
	struct pc_event_queue *queue = &storage->events;
	struct pc_db *db = &storage->db;
	uint64_t n_new = 0;
	int r = pc_db_begin(db, false);
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < queue->n_back; i++) {
		r = write_entry(db, &queue->back[i], &n_new);
		if (r == -EEXIST) {
			pc_error("event %lld breaks a rule of the catalogue (%s), ignoring",
				(long long)queue->back[i].event.event_id,
				sqlite3_errmsg(db->handle));
			continue;
		}
		if (r < 0) {
			pc_db_rollback(db);
			return r;
		}
	}
	r = pc_db_commit(db);
	if (r == 0) {
		atomic_fetch_add(&storage->n_events, n_new);
	}
	return r;
}

int pc_event_queue_write(struct pc_storage *storage)
{
	struct pc_event_queue *queue = &storage->events;
	take_batch(queue);
	if (queue->n_back == 0) {
		return 0;
	}
	int r = write_batch(storage);
	if (r != storage->db_error) {
		if (r < 0) {
			pc_error("events: %s, trying again", pc_strerror(r));
		} else {
			pc_info("events are written again");
		}
		storage->db_error = r;
		pc_storage_report(storage);
	}
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < queue->n_back; i++) {
		tell_listener(queue, queue->back[i].event.event_id);
	}
	set_n_back(queue, 0);
	return 0;
}

void pc_events_set_listener(
	struct pc_storage *storage, void (*fn)(void *data, int64_t event_id), void *data)
{
	struct pc_event_queue *queue = &storage->events;
	(void)pthread_mutex_lock(&queue->listener_lock);
	queue->listener = fn;
	queue->listener_data = data;
	(void)pthread_mutex_unlock(&queue->listener_lock);
}

int pc_events_link(struct pc_storage *storage, int64_t event_id, int64_t recording_id)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(&storage->db,
		"UPDATE event_log SET recording_id = ?2,"
		" media_path = (SELECT path FROM recording WHERE recording_id = ?2)"
		" WHERE event_id = ?1",
		&stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, event_id);
		pc_db_bind_int(stmt, 2, recording_id);
		r = pc_db_run(stmt);
	}
	if (r == 0) {
		/* Somebody may have marked the event before it had a recording. */
		r = pc_db_prepare(&storage->db,
			"UPDATE recording SET keep = 1 WHERE recording_id = ?2 AND EXISTS"
			" (SELECT 1 FROM event_log WHERE event_id = ?1 AND keep = 1)",
			&stmt);
	}
	if (r == 0) {
		pc_db_bind_int(stmt, 1, event_id);
		pc_db_bind_int(stmt, 2, recording_id);
		r = pc_db_run(stmt);
	}
	return r;
}

int pc_events_set_thumbnail(struct pc_storage *storage, int64_t event_id, const char *path)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(
		&storage->db, "UPDATE event_log SET thumbnail = ?2 WHERE event_id = ?1", &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, event_id);
	pc_db_bind_text(stmt, 2, path);
	r = pc_db_run(stmt);
	if (r < 0) {
		return r;
	}
	if (sqlite3_changes(storage->db.handle) == 0) {
		return -ENOENT;
	}
	tell_listener(&storage->events, event_id);
	return 0;
}

struct set_keep {
	int64_t event_id;
	bool keep;
};

static int set_keep(struct pc_storage *storage, void *data)
{
	const struct set_keep *ask = data;
	struct pc_db *db = &storage->db;
	sqlite3_stmt *stmt;
	int r = pc_db_begin(db, true);
	if (r < 0) {
		return r;
	}
	r = pc_db_prepare(db, "UPDATE event_log SET keep = ?2 WHERE event_id = ?1", &stmt);
	if (r == 0) {
		pc_db_bind_int(stmt, 1, ask->event_id);
		pc_db_bind_int(stmt, 2, ask->keep ? 1 : 0);
		r = pc_db_run(stmt);
	}
	if (r == 0 && sqlite3_changes(db->handle) == 0) {
		r = -ENOENT;
	}
	if (r == 0) {
		/* A recording is kept as long as one of its events is. */
		r = pc_db_prepare(db,
			"UPDATE recording SET keep = EXISTS (SELECT 1 FROM event_log AS e"
			" WHERE e.recording_id = recording.recording_id AND e.keep = 1)"
			" WHERE recording_id = (SELECT recording_id FROM event_log"
			" WHERE event_id = ?1)",
			&stmt);
	}
	if (r == 0) {
		pc_db_bind_int(stmt, 1, ask->event_id);
		r = pc_db_run(stmt);
	}
	if (r < 0) {
		pc_db_rollback(db);
		return r;
	}
	r = pc_db_commit(db);
	if (r == 0) {
		tell_listener(&storage->events, ask->event_id);
	}
	return r;
}

int pc_events_set_keep(struct pc_storage *storage, int64_t event_id, bool keep)
{
	struct set_keep ask = { event_id, keep };
	return pc_storage_call(storage, set_keep, &ask);
}
