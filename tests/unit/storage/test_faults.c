/* tests/unit/storage/test_faults.c - every allocation, write, sync, open and rename of a whole
 * session fails in turn, ours and SQLite's: what is left is always mended by the next start. */
#include <errno.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <unistd.h>

#include "core/log.h"
#include "storage/alerts.h"
#include "storage/recorder.h"
#include "storage/recordings.h"
#include "storage/storage_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/storage/root.h"
#include "tests/unit/storage/stream.h"

static struct stream stream;

/* ---- SQLite's own calls go through the same counters while this is set ---- */

static bool sqlite_too;
static sqlite3_mem_methods plain;
static sqlite3_syscall_ptr real_pwrite64;

static void *counted_malloc(int n)
{
	if (sqlite_too) {
		void *volatile probe = malloc(1); /* or clang leaves it out */
		if (probe == NULL) {
			return NULL;
		}
		free(probe);
	}
	return plain.xMalloc(n);
}

static ssize_t counted_pwrite(int fd, const void *data, size_t n, off_t at)
{
	return sqlite_too ? pwrite(fd, data, n, at)
			  : ((ssize_t(*)(int, const void *, size_t, off_t))real_pwrite64)(
				    fd, data, n, at);
}

static void hook_sqlite(void)
{
	test_int(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain), SQLITE_OK);
	sqlite3_mem_methods counted = plain;
	counted.xMalloc = counted_malloc;
	test_int(sqlite3_config(SQLITE_CONFIG_MALLOC, &counted), SQLITE_OK);
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	real_pwrite64 = vfs->xGetSystemCall(vfs, "pwrite64");
	test_assert(real_pwrite64 != NULL);
	test_int(vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)counted_pwrite),
		SQLITE_OK);
}

/* ---- one session ---- */

static bool take_row(void *data, const struct pc_event_row *row)
{
	return true;
}

struct moment {
	struct pc_recorder *recorder;
	const struct pc_event *event;
	uint32_t from, to;
};

/* On the storage thread, which so cannot look in between. */
static int hold_and_release(struct pc_storage *storage, void *data)
{
	const struct moment *m = data;
	pc_recorder_hold(m->recorder, m->event, stream_time(&stream, m->from));
	pc_recorder_release(m->recorder, m->event->event_id, stream_time(&stream, m->to));
	return 0;
}

/* An event of frames [from, to] that records. */
static void one_event(
	struct pc_storage *storage, struct pc_recorder *recorder, uint32_t from, uint32_t to)
{
	struct pc_event event = {
		.kind = PC_EVENT_MOTION,
		.camera = "front",
		.start_utc_ms = pc_clock_utc_ms_of(stream_time(&stream, from)),
	};
	if (pc_events_begin(storage, &event) < 0) {
		return;
	}
	struct moment moment = { recorder, &event, from, to };
	(void)pc_storage_call(storage, hold_and_release, &moment);
	event.end_utc_ms = pc_clock_utc_ms_of(stream_time(&stream, to));
	(void)pc_events_update(storage, &event);
	pc_storage_flush(storage);
}

/* All that a storage does, whatever fails. */
static void session(const char *root)
{
	const struct pc_storage_config config = {
		.root = root,
		.health = root_health(),
		.max_usage = 1.0,
	};
	const struct pc_recorder_config recording = {
		.camera = "front",
		.window = stream.window,
		.stats = &stream.stats,
		.pre_roll_s = 1,
		.post_roll_s = 1,
		.max_clip_s = 4,
	};
	char why[256];
	struct pc_storage *storage;
	struct pc_recorder *recorder = NULL;
	int64_t id;
	bool more;
	if (pc_storage_open(&config, why, sizeof(why), &storage) < 0) {
		return;
	}
	(void)pc_users_setup(storage, "ada", "scrypt$x", true, false, 0, &id);
	(void)pc_sessions_add(storage, "session", 1, INT64_MAX);
	if (pc_recorder_create(storage, &recording, &recorder) == 0) {
		one_event(storage, recorder, 20, 38); /* 10..48: one file */
		one_event(storage, recorder, 70, 110); /* 60..120: two */
	}
	(void)pc_events_set_keep(storage, 2, true);
	(void)pc_recordings_remove(storage, 1, "test");
	struct pc_event_filter filter = { .limit = 10 };
	struct pc_event_row row;
	(void)pc_events_query(storage, &filter, take_row, NULL, &more);
	(void)pc_events_get(storage, 1, &row);
	(void)pc_sessions_end(storage, "session");
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
}

/* The n-th call fails, for every `step`-th n until there are no more. The number of sessions. */
static unsigned try_all(enum fault_kind kind, int err, unsigned step)
{
	unsigned sessions = 0;
	for (unsigned n = 1;; n += step) {
		const char *root = root_make();
		fault_arm(kind, n, err);
		session(root);
		bool happened = fault_disarm();
		bool hooked = sqlite_too;
		sqlite_too = false;
		/* The next start mends it, and a second one finds nothing to mend. */
		pc_storage_close(root_open(root));
		struct root_content content = root_check(root, &stream);
		pc_storage_close(root_open(root));
		struct root_content again = root_check(root, NULL);
		test_int(again.recordings, content.recordings);
		test_int(again.frames, content.frames);
		test_int(again.linked, content.linked);
		test_int(again.thumbnails, content.thumbnails);
		/* One may have been closed without an index: it plays all the same. */
		test_assert(content.indexed + 1 >= content.recordings);
		sqlite_too = hooked;
		root_remove(root);
		sessions++;
		if (!happened) {
			/* Nothing failed: all of it is there. */
			test_int(content.recordings, 2);
			test_int(content.frames, 61);
			test_int(content.events, 2);
			test_int(content.linked, 1);
			test_int(content.thumbnails, 1);
			printf("%u sessions\n", sessions);
			return sessions;
		}
	}
}

static void test_allocations(void)
{
	test_assert(try_all(FAULT_ALLOC, ENOMEM, 1) > 20);
}

static void test_writes(void)
{
	test_assert(try_all(FAULT_WRITE, ENOSPC, 1) > 10);
	test_assert(try_all(FAULT_WRITE, EIO, 3) > 3);
}

static void test_syncs(void)
{
	test_assert(try_all(FAULT_SYNC, EIO, 1) > 10);
}

static void test_opens(void)
{
	test_assert(try_all(FAULT_OPEN, EMFILE, 1) > 10);
}

static void test_names(void)
{
	test_assert(try_all(FAULT_NAME, EIO, 1) > 5);
}

static void test_sqlite_writes(void)
{
	sqlite_too = true;
	test_assert(try_all(FAULT_WRITE, ENOSPC, 7) > 10);
	sqlite_too = false;
}

static void test_sqlite_allocations(void)
{
	sqlite_too = true;
	test_assert(try_all(FAULT_ALLOC, ENOMEM, 211) > 10);
	sqlite_too = false;
}

int main(void)
{
	hook_sqlite();
	(void)root_health();
	pc_log_set_level(getenv("VERBOSE") != NULL ? PC_LOG_DEBUG : (enum pc_log_level) - 1);
	/* All that is ever streamed is there before: only the storage's own calls fail. */
	stream_open(&stream, pc_clock_now_ns(), 60);
	stream_push(&stream, 140);
	TEST_RUN(test_allocations);
	TEST_RUN(test_writes);
	TEST_RUN(test_syncs);
	TEST_RUN(test_opens);
	TEST_RUN(test_names);
	TEST_RUN(test_sqlite_writes);
	TEST_RUN(test_sqlite_allocations);
	stream_close(&stream);
	return test_end();
}
