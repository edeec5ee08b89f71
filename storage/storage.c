/* storage/storage.c - the storage and its thread, see storage.h. */
#include "storage/storage_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PC_LOG_MODULE "storage"
#include "core/clock.h"
#include "core/log.h"
#include "core/thread.h"

#define BATCH_NS (200 * PC_NS_PER_MS)
#define BATCH_RETRY_NS PC_NS_PER_S
#define RECORDER_NS (200 * PC_NS_PER_MS)
#define PROBE_NS (2 * PC_NS_PER_S)
#define RETENTION_NS (60 * PC_NS_PER_S)
#define RETENTION_MORE_NS (100 * PC_NS_PER_MS) /* the next batch of a removal in progress */

/* Whose thread this is; NULL: not a storage thread. */
static _Thread_local struct pc_storage *own;

/* Another thread's work. All that were queued run; those behind them wait for the next turn. */
static void run_calls(struct pc_storage *storage)
{
	(void)pthread_mutex_lock(&storage->calls_lock);
	struct pc_storage_call *call = storage->calls;
	storage->calls = NULL;
	storage->calls_end = &storage->calls;
	(void)pthread_mutex_unlock(&storage->calls_lock);
	if (call != NULL && pc_event_queue_waiting(storage)) {
		(void)pc_event_queue_write(storage); /* "behind all that was queued before" */
	}
	while (call != NULL) {
		struct pc_storage_call *next = call->next;
		int r = call->fn(storage, call->data);
		(void)pthread_mutex_lock(&storage->calls_lock);
		call->result = r;
		call->done = true;
		(void)pthread_cond_broadcast(&storage->calls_done);
		(void)pthread_mutex_unlock(&storage->calls_lock);
		call = next;
	}
}

int pc_storage_call(
	struct pc_storage *storage, int (*fn)(struct pc_storage *storage, void *data), void *data)
{
	if (own == storage || !storage->running) {
		return fn(storage, data);
	}
	struct pc_storage_call call = { .fn = fn, .data = data };
	(void)pthread_mutex_lock(&storage->calls_lock);
	*storage->calls_end = &call; /* this frame outlives it: we wait below */
	/* cppcheck-suppress autoVariables */
	storage->calls_end = &call.next;
	pc_wakeup_signal(storage->wakeup);
	while (!call.done) {
		(void)pthread_cond_wait(&storage->calls_done, &storage->calls_lock);
	}
	(void)pthread_mutex_unlock(&storage->calls_lock);
	return call.result;
}

void pc_storage_wake(struct pc_storage *storage)
{
	pc_wakeup_signal(storage->wakeup);
}

/* After a minute of recording or a moment of trouble the timers are what is needed now. */
static void arm(struct pc_storage *storage, bool more)
{
	bool batch = pc_event_queue_waiting(storage);
	if (batch && !storage->batch_armed) {
		(void)pc_loop_timer_arm(storage->batch_timer,
			storage->db_error != 0 ? BATCH_RETRY_NS : BATCH_NS, 0);
		storage->batch_armed = true;
	}
	bool recorders = storage->recorders != NULL &&
			 (more || pc_recorders_busy(storage) || storage->record_error != 0 ||
				 !storage->identity_ok);
	if (recorders != storage->recorder_armed) {
		(void)pc_loop_timer_arm(
			storage->recorder_timer, recorders ? RECORDER_NS : -1, RECORDER_NS);
		storage->recorder_armed = recorders;
	}
	if (more) {
		pc_wakeup_signal(storage->wakeup);
	}
}

/* Whether the catalogue takes a durable commit. */
static int probe_catalogue(struct pc_storage *storage)
{
	char now[24];
	(void)snprintf(now, sizeof(now), "%lld", (long long)pc_clock_now_utc_ms());
	int r = pc_db_begin(&storage->db, true);
	if (r == 0) {
		r = pc_storage_setting_put(&storage->db, "probed", now);
		if (r == 0) {
			return pc_db_commit(&storage->db);
		}
		pc_db_rollback(&storage->db);
	}
	return r;
}

/* Looks at a disk that failed again, if it is time to. */
static void probe(struct pc_storage *storage)
{
	bool fine = storage->identity_ok && storage->record_error == 0;
	if (fine || pc_clock_now_ns() < storage->probe_ns) {
		return;
	}
	storage->probe_ns = pc_clock_now_ns() + PROBE_NS;
	int r = pc_root_identify(storage);
	bool identity_ok = r == 0;
	if (r == 0 && !storage->reconciled) {
		r = pc_reconcile(storage);
	}
	if (r == 0) {
		r = pc_root_probe(storage);
	}
	if (r == 0) {
		r = probe_catalogue(storage);
	}
	if (r == 0) {
		pc_info("the disk takes recordings again");
	}
	storage->identity_ok = identity_ok;
	storage->record_error = r == -ENODEV ? 0 : r;
	pc_storage_report(storage);
}

static void on_wakeup(void *data)
{
	struct pc_storage *storage = data;
	run_calls(storage);
	probe(storage);
	arm(storage, pc_recorders_tick(storage));
}

static void on_recorder_timer(void *data, uint64_t expirations)
{
	struct pc_storage *storage = data;
	probe(storage);
	arm(storage, pc_recorders_tick(storage));
}

static void on_batch_timer(void *data, uint64_t expirations)
{
	struct pc_storage *storage = data;
	storage->batch_armed = false;
	(void)pc_event_queue_write(storage);
	arm(storage, false);
}

static void on_retention_timer(void *data, uint64_t expirations)
{
	struct pc_storage *storage = data;
	bool more = pc_retention_run(storage);
	(void)pc_loop_timer_arm(
		storage->retention_timer, more ? RETENTION_MORE_NS : RETENTION_NS, 0);
}

void pc_storage_want_retention(struct pc_storage *storage)
{
	(void)pc_loop_timer_arm(storage->retention_timer, 0, 0);
}

void pc_storage_report(struct pc_storage *storage)
{
	if (!storage->identity_ok) {
		pc_health_set(storage->health, "storage", PC_HEALTH_FAILED,
			"the recordings' disk is missing or another one: nothing is recorded until "
			"it is back");
	} else if (storage->record_error != 0) {
		pc_health_set(storage->health, "storage", PC_HEALTH_FAILED,
			"nothing is recorded: %s; going on by itself when the disk takes data",
			pc_strerror(storage->record_error));
	} else if (storage->db_error != 0) {
		pc_health_set(storage->health, "storage", PC_HEALTH_FAILED,
			"events are not written: %s; trying again", pc_strerror(storage->db_error));
	} else {
		pc_health_set(storage->health, "storage", PC_HEALTH_OK, NULL);
	}
}

void pc_storage_pause(struct pc_storage *storage, int err)
{
	storage->record_error = err;
	storage->probe_ns = pc_clock_now_ns() + PROBE_NS;
	pc_storage_report(storage);
}

bool pc_storage_may_record(struct pc_storage *storage)
{
	if (storage->identity_ok && pc_root_identify(storage) != 0) {
		pc_error("recordings folder is not the one of this catalogue any more "
			 "(storage.uuid), not recording");
		storage->identity_ok = false;
		storage->probe_ns = pc_clock_now_ns() + PROBE_NS;
		pc_storage_report(storage);
	}
	return storage->identity_ok && storage->record_error == 0 &&
	       atomic_load_explicit(&storage->consent_video, memory_order_relaxed);
}

int pc_storage_setting_get(struct pc_db *db, const char *key, char *out, size_t size)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db, "SELECT value FROM setting WHERE key = ?1", &stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_text(stmt, 1, key);
	r = pc_db_step(stmt);
	if (r == 1) {
		pc_db_column_text(stmt, 0, out, size);
		pc_db_reset(stmt);
		return 0;
	}
	return r == 0 ? -ENOENT : r;
}

int pc_storage_setting_put(struct pc_db *db, const char *key, const char *value)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(db,
		"INSERT INTO setting (key, value) VALUES (?1, ?2)"
		" ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_text(stmt, 1, key);
	pc_db_bind_text(stmt, 2, value);
	return pc_db_run(stmt);
}

static void *run(void *data)
{
	struct pc_storage *storage = own = data;
	int r = pc_loop_run(storage->loop);
	if (r < 0) {
		pc_error("event loop: %s", pc_strerror(r));
	}
	return NULL;
}

/* Database: open, check, migrate. Fills `why`. */
static int open_catalogue(struct pc_storage *storage, char *why, size_t why_size)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/petcam.db", storage->root) >= (int)sizeof(path)) {
		(void)snprintf(
			why, why_size, "data root %.64s...: the name is too long", storage->root);
		return -ENAMETOOLONG;
	}
	const char *step = "opened";
	unsigned from = 0, to = 0;
	/* SQLite would make it readable for all; its log takes its mode from it. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;
	if (fd >= 0) {
		(void)close(fd);
		r = pc_db_open_writer(&storage->db, path);
	}
	if (r == 0) {
		step = "checked";
		r = pc_db_check(&storage->db);
	}
	if (r == 0) {
		step = "brought up to date";
		r = pc_db_migrate(&storage->db, pc_migrations, &from, &to);
	}
	if (r == 0) {
		step = "read";
		r = pc_db_pool_init(&storage->pool, path);
		storage->pool_made = r == 0;
	}
	if (r == 0 && from != 0 && from != to) {
		pc_info("catalogue brought from version %u to %u", from, to);
	}
	if (r == -ENOTSUP) {
		(void)snprintf(why, why_size, "catalogue %s was made by a newer petcam", path);
	} else if (r < 0) {
		(void)snprintf(why, why_size, "catalogue %s cannot be %s: %s", path, step,
			r == -EILSEQ ? "it is damaged" : pc_strerror(r));
	}
	return r;
}

/* What is kept in memory, and what a crash left undone. */
static int load(struct pc_storage *storage, char *why, size_t why_size)
{
	int r = pc_event_queue_load(storage);
	if (r == 0) {
		r = pc_users_load(storage);
	}
	if (r == 0) {
		r = pc_root_identify(storage);
		storage->identity_ok = r == 0;
		if (r == -ENODEV) {
			pc_error("recordings folder is not the one of this catalogue "
				 "(storage.uuid), not recording");
			r = 0; /* viewing goes on */
		} else if (r == 0) {
			int reconciled = pc_reconcile(storage);
			if (reconciled < 0) {
				pc_error("recordings cannot be checked: %s, not recording",
					pc_strerror(reconciled));
				pc_storage_pause(storage, reconciled);
			}
		}
	}
	if (r == 0) {
		r = pc_recordings_load(storage);
	}
	if (r < 0) {
		(void)snprintf(why, why_size, "data root %s cannot be used: %s", storage->root,
			pc_strerror(r));
	}
	return r;
}

static int start(struct pc_storage *storage)
{
	int r = pc_loop_create(&storage->loop);
	if (r == 0) {
		r = pc_wakeup_create(
			storage->loop, "storage wakeup", on_wakeup, storage, &storage->wakeup);
	}
	if (r == 0) {
		r = pc_loop_add_timer(storage->loop, "storage batch", on_batch_timer, storage,
			&storage->batch_timer);
	}
	if (r == 0) {
		r = pc_loop_add_timer(storage->loop, "storage recorders", on_recorder_timer,
			storage, &storage->recorder_timer);
	}
	if (r == 0) {
		r = pc_loop_add_timer(storage->loop, "storage retention", on_retention_timer,
			storage, &storage->retention_timer);
	}
	if (r == 0) {
		r = pc_loop_timer_arm(storage->retention_timer, PC_NS_PER_S, 0);
	}
	if (r == 0) {
		/* The calls of other threads look at `running` and `thread`: nobody has the
		 * storage yet. */
		r = pc_thread_create(&storage->thread, "storage", run, storage);
		storage->running = r == 0;
	}
	return r;
}

static int init_locks(struct pc_storage *storage)
{
	int r = -pthread_mutex_init(&storage->calls_lock, NULL);
	if (r == 0) {
		r = -pthread_cond_init(&storage->calls_done, NULL);
		if (r < 0) {
			(void)pthread_mutex_destroy(&storage->calls_lock);
		}
	}
	return r;
}

int pc_storage_open(const struct pc_storage_config *config, char *why, size_t why_size,
	struct pc_storage **ret_storage)
{
	struct pc_storage *storage = calloc(1, sizeof(*storage));
	if (storage == NULL || init_locks(storage) < 0) {
		(void)snprintf(why, why_size, "no memory for the storage");
		free(storage);
		return -ENOMEM;
	}
	storage->root_fd = -1;
	storage->lock_fd = -1;
	storage->health = config->health;
	storage->max_usage = config->max_usage;
	storage->max_age_days = config->max_age_days;
	storage->calls_end = &storage->calls;
	atomic_store(&storage->retention_days, -1);
	atomic_store(&storage->alert_version, 1); /* 0 is what an engine starts with */
	int r = pc_event_queue_init(storage);
	if (r == 0) {
		r = pc_session_table_init(storage);
	}
	if (r < 0) {
		(void)snprintf(why, why_size, "no memory for the storage");
		goto fail;
	}
	r = pc_root_open(storage, config->root, why, why_size);
	if (r == 0) {
		r = open_catalogue(storage, why, why_size);
	}
	if (r == 0) {
		r = load(storage, why, why_size);
	}
	if (r < 0) {
		goto fail;
	}
	r = start(storage);
	if (r < 0) {
		(void)snprintf(
			why, why_size, "storage thread cannot be started: %s", pc_strerror(r));
		goto fail;
	}
	pc_storage_report(storage);
	*ret_storage = storage;
	return 0;

fail:
	pc_storage_close(storage);
	return r;
}

void pc_storage_close(struct pc_storage *storage)
{
	if (storage == NULL) {
		return;
	}
	assert(storage->recorders == NULL);
	if (storage->running) {
		pc_storage_flush(storage);
		pc_loop_quit(storage->loop);
		(void)pthread_join(storage->thread, NULL);
	}
	if (storage->loop != NULL) {
		pc_loop_remove(storage->batch_timer);
		pc_loop_remove(storage->recorder_timer);
		pc_loop_remove(storage->retention_timer);
		pc_wakeup_destroy(storage->wakeup);
		pc_loop_destroy(storage->loop);
	}
	if (storage->pool_made) {
		pc_db_pool_finish(&storage->pool);
	}
	pc_db_close(&storage->db);
	pc_root_close(storage);
	pc_event_queue_finish(storage);
	pc_session_table_finish(storage);
	(void)pthread_cond_destroy(&storage->calls_done);
	(void)pthread_mutex_destroy(&storage->calls_lock);
	free(storage);
}

const char *pc_storage_root(const struct pc_storage *storage)
{
	return storage->root;
}

/* The batch was written before any call runs; recorders take what is in their windows. */
static int flush(struct pc_storage *storage, void *data)
{
	while (pc_recorders_tick(storage)) {
	}
	while (pc_event_queue_waiting(storage)) {
		if (pc_event_queue_write(storage) < 0) {
			return -EIO; /* the disk does not take it now: it stays queued */
		}
	}
	return 0;
}

void pc_storage_flush(struct pc_storage *storage)
{
	(void)pc_storage_call(storage, flush, NULL);
}

int pc_storage_usage(struct pc_storage *storage, struct pc_storage_usage *ret)
{
	struct statvfs fs;
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/" PC_RECORDINGS_FOLDER, storage->root);
	if (statvfs(path, &fs) < 0) {
		return -errno;
	}
	*ret = (struct pc_storage_usage){
		.disk_bytes = (uint64_t)fs.f_blocks * fs.f_frsize,
		.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
		.recording_bytes = atomic_load(&storage->recording_bytes),
		.recordings = atomic_load(&storage->n_recordings),
		.events = atomic_load(&storage->n_events),
	};
	return 0;
}
