/* storage/storage_internal.h - what the files of storage/ share. Private to the folder.
 *
 * storage.c       open, close, the thread, calls onto it, health, usage
 * root.c          folders, lock, identity of the disk, small files written safely
 * db.c            SQLite connections (db_internal.h), migrations/ (numbered SQL)
 * events.c        the event log: batches, changes; event_query.c: reading it
 * recordings.c    rows of recordings, deletion by way of `garbage`
 * users.c         users, consent, sessions;  alerts.c: rules, alerts
 * media_path.c    names and places of files
 * mp4.c           boxes
 * clip.c          one recording as a file: made, appended, indexed, closed
 * clip_scan.c     what of a file is whole (clip_internal.h)
 * holds.c         the events of a camera that want video (holds_internal.h)
 * recorder.c      from window to clip, one a camera
 * thumbnail.c     JPEGs of events
 * reconcile.c     start: garbage, rows without files, files without rows, open clips
 * retention.c     what must go, goes
 *
 * Thread: "storage" below means the storage thread, or the opening one before it starts.
 */
#ifndef PC_STORAGE_INTERNAL_H
#define PC_STORAGE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"
#include "core/loop.h"
#include "core/stats.h"
#include "storage/db_internal.h"
#include "storage/events.h"
#include "storage/recordings.h"
#include "storage/storage.h"
#include "storage/users.h"

#define PC_STORAGE_PATH_MAX 192 /* of a file, from the data root; bytes with NUL */
#define PC_RECORDINGS_FOLDER "recordings"

struct pc_fragment;
struct pc_recorder;

/* Something another thread waits for. Lives on that thread's stack. */
struct pc_storage_call {
	struct pc_storage_call *next;
	int (*fn)(struct pc_storage *storage, void *data);
	void *data;
	int result;
	bool done;
};

/* Events on their way to the log: producers fill `front`, the storage thread writes `back`. */
#define PC_EVENT_BATCH 256
struct pc_event_entry {
	struct pc_event event;
	int64_t updated_utc_ms;
	bool begun; /* new, its row is still to be made */
};
struct pc_event_queue {
	pthread_mutex_t lock; /* of next_id, front, n_front */
	int64_t next_id;
	struct pc_event_entry *front;
	unsigned n_front;
	struct pc_event_entry *back; /* storage */
	unsigned n_back;
	pc_counter shed; /* refused, the queue was full */
	pthread_mutex_t listener_lock; /* held while it runs */
	void (*listener)(void *data, int64_t event_id);
	void *listener_data;
};

#define PC_SESSIONS_MAX 1024
#define PC_SESSION_ID_MAX 48 /* bytes with NUL */
struct pc_session_entry {
	char id[PC_SESSION_ID_MAX];
	int64_t expires_utc_ms;
};
struct pc_session_table {
	pthread_mutex_t lock;
	struct pc_session_entry *entries; /* PC_SESSIONS_MAX */
	unsigned n;
};

struct pc_storage {
	char *root; /* absolute */
	int root_fd;
	int lock_fd;
	struct pc_health *health;
	double max_usage;
	unsigned max_age_days; /* of the configuration */

	struct pc_loop *loop;
	pthread_t thread;
	bool running; /* the thread was started */
	struct pc_wakeup *wakeup;
	struct pc_loop_source *batch_timer; /* events to the log */
	bool batch_armed;
	struct pc_loop_source *recorder_timer; /* while a recorder has something to do */
	bool recorder_armed;
	struct pc_loop_source *retention_timer;

	pthread_mutex_t calls_lock;
	pthread_cond_t calls_done;
	struct pc_storage_call *calls, **calls_end;

	struct pc_db db; /* storage: the writer */
	struct pc_db_pool pool;
	bool pool_made;
	struct pc_event_queue events;
	struct pc_session_table sessions;
	atomic_bool consent_video;
	atomic_int retention_days; /* of the first run's choice; -1: none was made */
	_Atomic uint64_t alert_version;
	struct pc_recorder *recorders; /* storage: a list */

	/* What fails, for the health board (storage). */
	bool identity_ok; /* the disk is the one that this catalogue is of */
	bool reconciled;
	int db_error; /* of the last batch; 0: fine */
	int record_error; /* recording pauses; 0: fine */
	int64_t probe_ns; /* when to look again */

	_Atomic uint64_t n_events, n_recordings, recording_bytes;
};

/* storage.c */
/* Runs `fn` on the storage thread, behind all that was queued before, and waits for its
 * result. On the storage thread itself: at once. */
int pc_storage_call(
	struct pc_storage *storage, int (*fn)(struct pc_storage *storage, void *data), void *data);
void pc_storage_wake(struct pc_storage *storage); /* any thread */
void pc_storage_report(struct pc_storage *storage); /* health, from the fields above */
/* Recording pauses for `err` until the disk takes data again. */
void pc_storage_pause(struct pc_storage *storage, int err);
bool pc_storage_may_record(struct pc_storage *storage);
void pc_storage_want_retention(struct pc_storage *storage); /* storage: soon */
int pc_storage_setting_get(struct pc_db *db, const char *key, char *out, size_t size);
int pc_storage_setting_put(struct pc_db *db, const char *key, const char *value);

/* root.c */
int pc_root_open(struct pc_storage *storage, const char *root, char *why, size_t why_size);
void pc_root_close(struct pc_storage *storage);
/* 0; -ENODEV: the identity file is missing or another one; other errors. */
int pc_root_identify(struct pc_storage *storage);
/* Makes the folders of `path` (all but its last part), each new one fsynced into its parent. */
int pc_root_make_folders(int root_fd, const char *path);
int pc_root_sync_folder(int root_fd, const char *path); /* the folder that `path` is in */
/* A small file, whole or not at all: temporary name, fsync, rename, fsync of the folder. */
int pc_root_write_file(int root_fd, const char *path, const void *data, size_t size);
/* Whether the disk takes data: writes and removes a small file. */
int pc_root_probe(struct pc_storage *storage);
/* 0..1 as df counts it. */
int pc_root_usage(struct pc_storage *storage, double *ret_usage);

/* events.c */
int pc_event_queue_init(struct pc_storage *storage);
void pc_event_queue_finish(struct pc_storage *storage);
int pc_event_queue_load(struct pc_storage *storage); /* next id; ends what a crash left open */
bool pc_event_queue_waiting(struct pc_storage *storage);
int pc_event_queue_write(struct pc_storage *storage); /* the batch, in one transaction */
/* In a transaction of the caller's: the event's row points to the recording. */
int pc_events_link(struct pc_storage *storage, int64_t event_id, int64_t recording_id);
int pc_events_set_thumbnail(struct pc_storage *storage, int64_t event_id, const char *path);

/* users.c */
int pc_users_load(struct pc_storage *storage);
int pc_session_table_init(struct pc_storage *storage);
void pc_session_table_finish(struct pc_storage *storage);

/* recordings.c */
struct pc_clip_info;
int pc_recordings_load(struct pc_storage *storage); /* counts */
/* Durable, one transaction: the open row, and the rows of `n` events that point to it. */
int pc_recordings_declare(struct pc_storage *storage, const char *camera, const char *path,
	enum pc_event_kind kind, const struct pc_clip_info *info, const int64_t *event_ids,
	unsigned n, int64_t *ret_recording_id);
/* Durable: the row is closed. */
int pc_recordings_close(
	struct pc_storage *storage, int64_t recording_id, const struct pc_clip_info *info);
/* A closed file that has no row gets one. */
int pc_recordings_import(struct pc_storage *storage, const char *camera, const char *path,
	enum pc_event_kind kind, const struct pc_clip_info *info);
/* Files (its own and its thumbnails) and row, open or not, by way of `garbage`. */
int pc_recordings_drop(struct pc_storage *storage, int64_t recording_id, const char *reason);
/* The row alone: the file is somebody else's. */
int pc_recordings_disown(struct pc_storage *storage, int64_t recording_id);
int pc_garbage_finish(struct pc_storage *storage);

/* recorder.c; storage */
bool pc_recorders_tick(struct pc_storage *storage); /* true: there is more to do at once */
bool pc_recorders_busy(struct pc_storage *storage); /* something is held or open */

/* thumbnail.c */
/* Makes it, and the event's row names it. */
int pc_thumbnail_make(struct pc_storage *storage, const char *clip_path, int64_t event_id,
	const struct pc_fragment *fragment);
/* Whether the file is a whole JPEG. */
bool pc_thumbnail_whole(int root_fd, const char *path);

/* media_path.c */
/* "…/20261122T144931042Z_motion.mp4" and 7: "…/20261122T144931042Z_motion_7.jpg" */
int pc_thumbnail_path(const char *clip_path, int64_t event_id, char *out, size_t size);

/* A name of ours taken apart. */
struct pc_media_name {
	bool clip; /* else a thumbnail */
	bool temporary; /* left by a crash */
	int64_t utc_ms;
	enum pc_event_kind kind;
	int64_t event_id; /* of a thumbnail */
};
/* "recordings/<camera>/<yyyy>/<mm>/<dd>/<utc>_<kind>[-n].mp4", `n` 1: without "-n". */
int pc_media_path(const char *camera, int64_t utc_ms, enum pc_event_kind kind, unsigned n,
	char *out, size_t size);
/* 0, or -EINVAL: name or place are not ours. */
int pc_media_path_parse(
	const char *path, struct pc_media_name *ret_name, char *camera, size_t camera_size);

/* reconcile.c */
int pc_reconcile(struct pc_storage *storage);

/* retention.c */
/* Removes at most a batch. true: more is to go. */
bool pc_retention_run(struct pc_storage *storage);

#endif
