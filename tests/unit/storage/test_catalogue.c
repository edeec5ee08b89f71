/* tests/unit/storage/test_catalogue.c - rows: migrations, events, recordings, keep, names. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "storage/alerts.h"
#include "storage/clip_internal.h"
#include "storage/events.h"
#include "storage/recordings.h"
#include "storage/storage_internal.h"
#include "tests/support/test.h"
#include "tests/unit/storage/root.h"

#define MODEL 3000

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

/* ---- migrations ---- */

static void test_migrations(void)
{
	static const struct pc_migration two[] = {
		{ 1, "one", "CREATE TABLE a (x INTEGER) STRICT" },
		{ 2, "two", "ALTER TABLE a ADD COLUMN y INTEGER; INSERT INTO a VALUES (1, 2)" },
		{ 0 },
	};
	static const struct pc_migration broken[] = {
		{ 1, "one", "" },
		{ 2, "two", "" },
		{ 3, "three", "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)" },
		{ 0 },
	};
	static const struct pc_migration old[] = { { 1, "one", "" }, { 0 } };
	const char *root = root_make();
	struct pc_db db;
	unsigned from = 99, to = 99;
	test_int(pc_db_open_writer(&db, root_path(root, "x.db")), 0);
	test_int(pc_db_migrate(&db, two, &from, &to), 0);
	test_int(from, 0);
	test_int(to, 2);
	test_int(pc_db_migrate(&db, two, &from, &to), 0);
	test_int(from, 2);
	/* A step that fails leaves nothing behind. */
	test_assert(pc_db_migrate(&db, broken, &from, &to) < 0);
	test_assert(pc_db_exec(&db, "SELECT * FROM b") < 0);
	test_int(pc_db_migrate(&db, two, &from, &to), 0);
	test_int(from, 2);
	/* Made by a newer petcam. */
	test_int(pc_db_migrate(&db, old, &from, &to), -ENOTSUP);
	pc_db_close(&db);
	root_remove(root);
}

static void test_schema_has_the_design_s_names(void)
{
	static const char *const statements[] = {
		"SELECT event_id, timestamp, pet_id, event_type, media_path, duration FROM event_log",
		"SELECT pet_id, name, face_embedding FROM pet",
		"SELECT config_id, user_id, no_event_threshold FROM alert_config",
		"SELECT 1 FROM recording, camera, zone, user, token, consent",
		"SELECT 1 FROM alert, garbage, schema_version, session, setting, deletion_log",
	};
	const char *root = root_make();
	pc_storage_close(root_open(root));
	struct pc_db db;
	test_int(pc_db_open_reader(&db, root_path(root, "petcam.db")), 0);
	for (unsigned i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		test_int(pc_db_exec(&db, statements[i]), 0);
	}
	test_assert(pc_db_exec(&db, "DELETE FROM event_log") < 0); /* a reader only reads */
	pc_db_close(&db);
	struct stat st;
	test_int(stat(root_path(root, "petcam.db"), &st), 0);
	test_int(st.st_mode & 0777, 0600);
	test_int(stat(root, &st), 0);
	test_int(st.st_mode & 0777, 0700);
	root_remove(root);
}

/* More statements than the cache holds, all used again and again. */
static void test_statement_cache(void)
{
	struct pc_db db;
	test_int(pc_db_open_writer(&db, ":memory:"), 0);
	for (unsigned i = 0; i < 500; i++) {
		unsigned value = random_below(PC_DB_STATEMENTS * 2);
		char sql[64];
		sqlite3_stmt *stmt;
		(void)snprintf(sql, sizeof(sql), "SELECT %u, ?1", value);
		test_int(pc_db_prepare(&db, sql, &stmt), 0);
		if (i % 2 == 0) {
			pc_db_bind_int(stmt, 1, 7);
		}
		test_int(pc_db_step(stmt), 1);
		test_int(sqlite3_column_int(stmt, 0), value);
		test_int(sqlite3_column_int(stmt, 1), i % 2 == 0 ? 7 : 0); /* no old binding */
		pc_db_reset(stmt);
	}
	pc_db_close(&db);
}

/* ---- events against a plain model ---- */

static struct pc_event model[MODEL];
static unsigned n_model;
static const char *const cameras[] = { "front", "back", "" };

static void random_event(struct pc_event *event)
{
	*event = (struct pc_event){
		.kind = (enum pc_event_kind)random_below(PC_EVENT_KINDS),
		.pet_id = random_below(4), /* 0: unknown; 1..3 */
		.start_utc_ms = 1000000 + random_below(300) * 10, /* many at the same time */
		.score = (float)random_below(100) / 100,
		.track_id = random_below(50),
		.box = { 0.25f, 0.5f, 0.125f, 0.0625f },
	};
	event->end_utc_ms = event->start_utc_ms + random_below(100);
	(void)snprintf(event->camera, sizeof(event->camera), "%s", cameras[random_below(3)]);
	(void)snprintf(event->zone, sizeof(event->zone), "zone %u", random_below(5));
	(void)snprintf(event->evidence, sizeof(event->evidence), "it moved, \"%u\" cm; ünïcode",
		random_below(500));
}

static bool matches(const struct pc_event_filter *f, const struct pc_event *e)
{
	return (f->pet_id == 0 || (f->pet_id == -1 ? e->pet_id == 0 : e->pet_id == f->pet_id)) &&
	       (f->kinds == 0 || (f->kinds & (1u << e->kind)) != 0) &&
	       (f->camera == NULL || strcmp(f->camera, e->camera) == 0) &&
	       (f->after_utc_ms == 0 || e->start_utc_ms >= f->after_utc_ms) &&
	       (f->before_utc_ms == 0 || e->start_utc_ms < f->before_utc_ms);
}

static int newest_first(const void *a, const void *b)
{
	const struct pc_event *x = a, *y = b;
	if (x->start_utc_ms != y->start_utc_ms) {
		return x->start_utc_ms < y->start_utc_ms ? 1 : -1;
	}
	return x->event_id < y->event_id ? 1 : -1;
}

struct page {
	struct pc_event_row rows[500];
	unsigned n;
};

static bool collect(void *data, const struct pc_event_row *row)
{
	struct page *page = data;
	page->rows[page->n++] = *row;
	return true;
}

static void same_event(const struct pc_event_row *row, const struct pc_event *e)
{
	test_int(row->event.event_id, e->event_id);
	test_int(row->event.kind, e->kind);
	test_str(row->event.camera, e->camera);
	test_int(row->event.pet_id, e->pet_id);
	test_int(row->event.start_utc_ms, e->start_utc_ms);
	test_int(row->event.end_utc_ms, e->end_utc_ms);
	test_assert(row->event.score == e->score);
	test_int(row->event.track_id, e->track_id);
	test_int(memcmp(&row->event.box, &e->box, sizeof(e->box)), 0);
	test_str(row->event.zone, e->zone);
	test_str(row->event.evidence, e->evidence);
	static const char *const names[] = { "", "Miso", "Rufus", "Ada" };
	test_str(row->pet_name, names[e->pet_id]);
	test_assert(!row->has_clip && !row->has_thumbnail && !row->keep);
}

/* All pages of one filter. */
static void walk_pages(struct pc_storage *storage, struct pc_event_filter filter)
{
	static struct page page;
	unsigned at = 0;
	bool more = true;
	while (more) {
		page.n = 0;
		test_int(pc_events_query(storage, &filter, collect, &page, &more), 0);
		test_assert(page.n <= filter.limit);
		for (unsigned i = 0; i < page.n; i++) {
			while (at < n_model && !matches(&filter, &model[at])) {
				at++;
			}
			test_assert(at < n_model);
			same_event(&page.rows[i], &model[at++]);
		}
		test_assert(page.n > 0 || !more);
		if (page.n > 0) {
			filter.cursor_start_utc_ms = page.rows[page.n - 1].event.start_utc_ms;
			filter.cursor_event_id = page.rows[page.n - 1].event.event_id;
		}
	}
	while (at < n_model) {
		test_assert(!matches(&filter, &model[at]));
		at++;
	}
}

static struct pc_storage *fill_model(const char *root)
{
	struct pc_storage *storage = root_open(root);
	root_sql(root, "INSERT INTO pet (pet_id, name, created) VALUES (1, 'Miso', 1),"
		       " (2, 'Rufus', 1), (3, 'Ada', 1)");
	for (n_model = 0; n_model < MODEL;) {
		struct pc_event *event = &model[n_model];
		random_event(event);
		int r = pc_events_begin(storage, event);
		if (r == -EAGAIN) {
			pc_storage_flush(storage);
			continue;
		}
		test_int(r, 0);
		n_model++;
		if (random_below(3) == 0) {
			struct pc_event *again = &model[random_below(n_model)];
			int64_t id = again->event_id;
			random_event(again);
			again->event_id = id;
			while (pc_events_update(storage, again) == -EAGAIN) {
				pc_storage_flush(storage);
			}
		}
	}
	pc_storage_flush(storage);
	return storage;
}

static void test_queries_match_a_model(void)
{
	const char *root = root_make();
	struct pc_storage *storage = fill_model(root);
	struct pc_event_row row;
	for (unsigned i = 0; i < 100; i++) {
		const struct pc_event *e = &model[random_below(n_model)];
		test_int(pc_events_get(storage, e->event_id, &row), 0);
		same_event(&row, e);
	}
	qsort(model, n_model, sizeof(model[0]), newest_first);
	walk_pages(storage, (struct pc_event_filter){ .limit = 500 });
	for (unsigned i = 0; i < 200; i++) {
		struct pc_event_filter filter = { .limit = 1 + random_below(60) };
		filter.pet_id = (int64_t)random_below(6) - 1; /* -1 .. 4: one that is not there */
		filter.pet_id = filter.pet_id > 4 ? 0 : filter.pet_id;
		if (random_below(2) == 0) {
			filter.kinds = random_below(1u << PC_EVENT_KINDS);
		}
		if (random_below(3) == 0) {
			filter.camera = cameras[random_below(3)];
		}
		if (random_below(2) == 0) {
			filter.after_utc_ms = 1000000 + random_below(300) * 10;
		}
		if (random_below(2) == 0) {
			filter.before_utc_ms = 1000000 + random_below(300) * 10;
		}
		walk_pages(storage, filter);
	}
	/* Each kind alone, and all kinds with each index. */
	for (unsigned kind = 0; kind < PC_EVENT_KINDS; kind++) {
		walk_pages(storage, (struct pc_event_filter){ .kinds = 1u << kind, .limit = 100 });
	}
	walk_pages(storage,
		(struct pc_event_filter){ .kinds = (1u << PC_EVENT_KINDS) - 1, .limit = 100 });
	walk_pages(storage, (struct pc_event_filter){ .pet_id = -1, .camera = "", .limit = 100 });
	struct pc_storage_usage usage;
	test_int(pc_storage_usage(storage, &usage), 0);
	test_int((int64_t)usage.events, MODEL);
	test_assert(usage.disk_bytes > usage.free_bytes && usage.free_bytes > 0);
	pc_storage_close(storage);
	root_remove(root);
}

static bool stop(void *data, const struct pc_event_row *row)
{
	return ++*(unsigned *)data < 3;
}

static void test_query_limits(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	for (unsigned i = 0; i < 5; i++) {
		(void)root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	}
	pc_storage_flush(storage);
	bool more = false;
	unsigned n = 0;
	struct pc_event_filter filter = { .limit = 0 };
	test_int(pc_events_query(storage, &filter, stop, &n, &more), -EINVAL);
	filter.limit = 501;
	test_int(pc_events_query(storage, &filter, stop, &n, &more), -EINVAL);
	filter.limit = 10;
	filter.kinds = 1u << PC_EVENT_KINDS;
	test_int(pc_events_query(storage, &filter, stop, &n, &more), -EINVAL);
	filter.kinds = 0;
	filter.pet_id = -2;
	test_int(pc_events_query(storage, &filter, stop, &n, &more), -EINVAL);
	filter.pet_id = 0;
	test_int(pc_events_query(storage, &filter, stop, &n, &more), 0);
	test_int(n, 3); /* the caller had enough */
	test_assert(more);
	/* No injection by a camera's name, no end of the world by odd ones. */
	filter.camera = "' OR 1=1 --";
	n = 0;
	test_int(pc_events_query(storage, &filter, stop, &n, &more), 0);
	test_int(n, 0);
	struct pc_event_row row;
	char path[64];
	test_int(pc_events_get(storage, 999, &row), -ENOENT);
	test_int(pc_events_get(storage, -1, &row), -ENOENT);
	test_int(pc_events_thumbnail(storage, 1, path, sizeof(path)), -ENOENT);
	test_int(pc_events_set_keep(storage, 999, true), -ENOENT);
	pc_storage_close(storage);
	root_remove(root);
}

/* ---- the life of an event ---- */

struct heard {
	pthread_mutex_t lock;
	unsigned n;
	int64_t last; /* event_id */
};

static void listen(void *data, int64_t event_id)
{
	struct heard *heard = data;
	(void)pthread_mutex_lock(&heard->lock);
	heard->n++;
	heard->last = event_id;
	(void)pthread_mutex_unlock(&heard->lock);
}

static void test_ids_and_crash(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	struct heard heard = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pc_events_set_listener(storage, listen, &heard);
	struct pc_event a = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	struct pc_event b = root_event(storage, PC_EVENT_LYING, pc_clock_now_ns());
	test_assert(b.event_id > a.event_id);
	pc_storage_flush(storage);
	test_int(heard.n, 2);
	test_int(heard.last, b.event_id);
	test_int(pc_events_set_keep(storage, a.event_id, true), 0);
	test_int(heard.n, 3);
	test_int(heard.last, a.event_id);
	test_int(pc_events_set_keep(storage, a.event_id, false), 0);
	pc_events_set_listener(storage, NULL, NULL);
	a.end_utc_ms = a.start_utc_ms + 1234;
	test_int(pc_events_update(storage, &a), 0);
	pc_storage_flush(storage);
	test_int(heard.n, 4);
	struct pc_event bad = a;
	bad.kind = (enum pc_event_kind)PC_EVENT_KINDS;
	test_int(pc_events_begin(storage, &bad), -EINVAL);
	test_int(bad.event_id, a.event_id);
	bad = a;
	bad.pet_id = 77; /* gone meanwhile */
	bad.score = __builtin_nanf("");
	test_int(pc_events_begin(storage, &bad), 0);
	pc_storage_flush(storage);
	struct pc_event_row row;
	test_int(pc_events_get(storage, bad.event_id, &row), 0);
	test_int(row.event.pet_id, 0);
	pc_storage_close(storage);
	/* b never ended: it did when it was last heard of. Ids go on, also behind a deleted row. */
	root_sql(root,
		"DELETE FROM event_log WHERE event_id = (SELECT max(event_id) FROM event_log)");
	storage = root_open(root);
	test_int(pc_events_get(storage, b.event_id, &row), 0);
	test_assert(row.event.end_utc_ms >= row.event.start_utc_ms && row.event.end_utc_ms != 0);
	test_int(pc_events_get(storage, a.event_id, &row), 0);
	test_int(row.event.end_utc_ms - row.event.start_utc_ms, 1234);
	struct pc_event c = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	test_assert(c.event_id > bad.event_id);
	pc_storage_close(storage);
	root_remove(root);
}

static int fill_queue(struct pc_storage *storage, void *data)
{
	struct pc_event event = { .kind = PC_EVENT_MOTION, .camera = "front", .start_utc_ms = 1 };
	unsigned n = 0;
	int r;
	while ((r = pc_events_begin(storage, &event)) == 0 && n < 100000) {
		n++;
	}
	test_int(r, -EAGAIN);
	*(unsigned *)data = n;
	/* What waits is updated in its place, also when nothing else fits. */
	event.end_utc_ms = 5;
	test_int(pc_events_update(storage, &event), 0);
	event.event_id = 1;
	return 0;
}

/* The storage thread is busy: events are refused at a bound, none that was taken is lost. */
static void test_full_queue_sheds(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	unsigned n = 0;
	test_int(pc_storage_call(storage, fill_queue, &n), 0);
	test_assert(n >= 64 && n <= 1024);
	pc_storage_flush(storage);
	test_int(root_number(root, "SELECT count(*) FROM event_log"), n);
	test_int(root_number(root, "SELECT count(*) FROM event_log WHERE duration = 4"), 1);
	test_int((int64_t)pc_counter_get(&storage->events.shed), 1);
	pc_storage_close(storage);
	root_remove(root);
}

/* Without a flush, rows are there soon. */
static void test_batch_by_time(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	struct pc_event event = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	struct pc_event_row row;
	for (unsigned i = 0; pc_events_get(storage, event.event_id, &row) != 0; i++) {
		test_assert(i < 1000);
		(void)usleep(10 * 1000);
	}
	pc_storage_close(storage);
	root_remove(root);
}

/* ---- readers beside the writer ---- */

struct reader {
	pthread_t thread;
	struct pc_storage *storage;
	atomic_bool *done;
};

static bool count_row(void *data, const struct pc_event_row *row)
{
	++*(unsigned *)data;
	return true;
}

static void *read_all_the_time(void *data)
{
	struct reader *reader = data;
	int64_t last = 0;
	while (!atomic_load(reader->done)) {
		struct pc_event_filter filter = { .limit = 5, .kinds = 1u << PC_EVENT_MOTION };
		unsigned n = 0;
		bool more;
		test_int(pc_events_query(reader->storage, &filter, count_row, &n, &more), 0);
		struct pc_storage_usage usage;
		test_int(pc_storage_usage(reader->storage, &usage), 0);
		test_assert((int64_t)usage.events >= last);
		last = (int64_t)usage.events;
		(void)pc_alert_config_version(reader->storage);
		test_assert(!pc_sessions_valid(reader->storage, "nobody"));
	}
	return NULL;
}

static void test_readers_and_writers(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	atomic_bool done = false;
	struct reader readers[PC_DB_READERS + 3];
	for (unsigned i = 0; i < PC_DB_READERS + 3; i++) {
		readers[i] = (struct reader){ .storage = storage, .done = &done };
		test_int(pthread_create(&readers[i].thread, NULL, read_all_the_time, &readers[i]),
			0);
	}
	for (unsigned i = 0; i < 60; i++) {
		struct pc_event event = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
		if (i % 10 == 0) {
			test_int(pc_events_set_keep(storage, event.event_id, true), 0);
		}
		(void)usleep(2000);
	}
	atomic_store(&done, true);
	for (unsigned i = 0; i < PC_DB_READERS + 3; i++) {
		test_int(pthread_join(readers[i].thread, NULL), 0);
	}
	pc_storage_close(storage);
	test_int(root_number(root, "SELECT count(*) FROM event_log WHERE keep = 1"), 6);
	root_remove(root);
}

/* ---- recordings as rows ---- */

static bool count_recording(void *data, const struct pc_recording_row *row)
{
	int64_t *ids = data;
	ids[++ids[0]] = row->recording_id;
	return true;
}

static void test_recordings_query(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	for (unsigned i = 0; i < 40; i++) {
		struct pc_clip_info info = {
			.start_utc_ms = 1000 + (i / 3) * 100, /* equal ones */
			.bytes = 10,
			.frames = 1,
			.duration_ms = 5,
		};
		char path[64];
		(void)snprintf(path, sizeof(path), "recordings/%u.mp4", i);
		test_int(pc_recordings_import(storage, i % 2 == 0 ? "front" : "back", path,
				 PC_EVENT_MOTION, &info),
			0);
	}
	for (unsigned way = 0; way < 4; way++) {
		struct pc_recording_filter filter = {
			.limit = 7,
			.camera = way % 2 == 1 ? "back" : NULL,
			.after_utc_ms = way >= 2 ? 1300 : 0,
			.before_utc_ms = way >= 2 ? 2000 : 0,
		};
		int64_t ids[64] = { 0 }, last = INT64_MAX;
		bool more = true;
		unsigned pages = 0;
		while (more) {
			test_int(pc_recordings_query(storage, &filter, count_recording, ids, &more),
				0);
			test_assert(ids[0] < 60 && ++pages < 20);
			struct pc_recording_row row;
			test_int(pc_recordings_get(storage, ids[ids[0]], &row), 0);
			filter.cursor_start_utc_ms = row.start_utc_ms;
			filter.cursor_recording_id = row.recording_id;
		}
		for (int64_t i = 1; i <= ids[0]; i++) {
			test_assert(ids[i] < last); /* made in the order of their times */
			last = ids[i];
		}
		/* 1300..1999: 9 to 29 of them. */
		test_int(ids[0], way == 0 ? 40 : way == 1 ? 20 : way == 2 ? 21 : 11);
	}
	struct pc_recording_filter filter = { .limit = 0 };
	bool more;
	test_int(pc_recordings_query(storage, &filter, count_recording, NULL, &more), -EINVAL);
	struct pc_recording_row row;
	int fd;
	uint64_t size;
	test_int(pc_recordings_get(storage, 999, &row), -ENOENT);
	test_int(pc_recordings_open_media(storage, 999, &fd, &size), -ENOENT);
	test_int(pc_recordings_open_media(storage, 1, &fd, &size), -ENOENT); /* no such file */
	test_int(pc_recordings_remove(storage, 999, "test"), -ENOENT);
	test_int(pc_recordings_remove(storage, 1, "test"), 0);
	pc_storage_close(storage);
	/* Rows whose files never were are gone at the next start. */
	storage = root_open(root);
	struct pc_storage_usage usage;
	test_int(pc_storage_usage(storage, &usage), 0);
	test_int((int64_t)usage.recordings, 0);
	test_int((int64_t)usage.recording_bytes, 0);
	pc_storage_close(storage);
	root_remove(root);
}

static void test_media_names(void)
{
	static const struct {
		const char *path;
		bool ours;
	} cases[] = {
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion.mp4", true },
		{ "recordings/front/2026/11/22/20261122T144931042Z_zone_enter-12.mp4", true },
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion_7.jpg", true },
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion-2_7.jpg.tmp", true },
		{ "recordings/front/2026/11/23/20261122T144931042Z_motion.mp4", false },
		{ "recordings/front/2026/11/20261122T144931042Z_motion.mp4", false },
		{ "recordings/Front/2026/11/22/20261122T144931042Z_motion.mp4", false },
		{ "recordings/front/x/2026/11/22/20261122T144931042Z_motion.mp4", false },
		{ "recordings/front/2026/11/22/20261322T144931042Z_motion.mp4", false },
		{ "recordings/front/2026/11/22/20261122T246199042Z_motion.mp4", false },
		{ "recordings/front/2026/11/22/20261122T144931042Z_dancing.mp4", false },
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion.mp4.tmp", false },
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion-1.mp4", false },
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion-02.mp4", false },
		{ "recordings/front/2026/11/22/20261122T144931042Z_motion_0.jpg", false },
		{ "recordings/front/2026/11/22/20261122T144931042Z.mp4", false },
		{ "recordings/front/2026/11/22/holiday.mp4", false },
		{ "recordings/front/2026/11/22/", false },
		{ "recordings//2026/11/22/20261122T144931042Z_motion.mp4", false },
		{ "recordings", false },
		{ "", false },
	};
	char camera[PC_CAMERA_ID_MAX], path[PC_STORAGE_PATH_MAX], thumbnail[PC_STORAGE_PATH_MAX];
	struct pc_media_name name;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = pc_media_path_parse(cases[i].path, &name, camera, sizeof(camera));
		if ((r == 0) != cases[i].ours) {
			test_fail("%s: %d", cases[i].path, r);
		}
	}
	for (unsigned i = 0; i < 500; i++) {
		int64_t utc_ms = (int64_t)random_below(2000000000) * 1000 + random_below(1000);
		enum pc_event_kind kind = (enum pc_event_kind)random_below(PC_EVENT_KINDS);
		unsigned n = 1 + random_below(5);
		test_int(pc_media_path("a_b-9", utc_ms, kind, n, path, sizeof(path)), 0);
		test_int(pc_media_path_parse(path, &name, camera, sizeof(camera)), 0);
		test_str(camera, "a_b-9");
		test_int(name.utc_ms, utc_ms);
		test_int(name.kind, kind);
		test_assert(name.clip && !name.temporary);
		int64_t id = 1 + random_below(1000000);
		test_int(pc_thumbnail_path(path, id, thumbnail, sizeof(thumbnail)), 0);
		test_int(pc_media_path_parse(thumbnail, &name, camera, sizeof(camera)), 0);
		test_assert(!name.clip);
		test_int(name.event_id, id);
		test_int(name.utc_ms, utc_ms);
	}
}

static void test_keep_follows_the_events(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	struct pc_event a = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	struct pc_event b = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	struct pc_event c = root_event(storage, PC_EVENT_MOTION, pc_clock_now_ns());
	test_int(pc_events_set_keep(storage, c.event_id, true), 0); /* before its recording */
	root_sql(root, "INSERT INTO recording (recording_id, camera, path, timestamp, event_type,"
		       " state) VALUES (5, 'front', 'x', 1, 'motion', 'closed'),"
		       " (6, 'front', 'y', 1, 'motion', 'closed');"
		       "UPDATE event_log SET recording_id = 5, media_path = 'x'"
		       " WHERE event_id IN (1, 2)");
	struct pc_recording_row row;
	test_int(pc_events_set_keep(storage, a.event_id, true), 0);
	test_int(pc_events_set_keep(storage, b.event_id, true), 0);
	test_int(pc_recordings_get(storage, 5, &row), 0);
	test_assert(row.keep);
	test_int(pc_events_set_keep(storage, a.event_id, false), 0);
	test_int(pc_recordings_get(storage, 5, &row), 0);
	test_assert(row.keep);
	test_int(pc_events_set_keep(storage, b.event_id, false), 0);
	test_int(pc_recordings_get(storage, 5, &row), 0);
	test_assert(!row.keep);
	pc_storage_close(storage);
	root_remove(root);
}

int main(void)
{
	TEST_RUN(test_migrations);
	TEST_RUN(test_schema_has_the_design_s_names);
	TEST_RUN(test_statement_cache);
	TEST_RUN(test_queries_match_a_model);
	TEST_RUN(test_query_limits);
	TEST_RUN(test_ids_and_crash);
	TEST_RUN(test_full_queue_sheds);
	TEST_RUN(test_batch_by_time);
	TEST_RUN(test_readers_and_writers);
	TEST_RUN(test_recordings_query);
	TEST_RUN(test_media_names);
	TEST_RUN(test_keep_follows_the_events);
	return test_end();
}
