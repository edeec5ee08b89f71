/* tests/unit/storage/test_mending.c - starts that find a mess, disks that are full or gone. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/recorder.h"
#include "storage/recordings.h"
#include "storage/storage_internal.h"
#include "tests/support/test.h"
#include "tests/unit/storage/root.h"
#include "tests/unit/storage/stream.h"

static struct stream stream;

static struct pc_recorder *make_recorder(struct pc_storage *storage, double max_clip_s)
{
	const struct pc_recorder_config config = {
		.camera = "front",
		.window = stream.window,
		.stats = &stream.stats,
		.pre_roll_s = 1,
		.post_roll_s = 1,
		.max_clip_s = max_clip_s,
	};
	struct pc_recorder *recorder;
	test_int(pc_recorder_create(storage, &config, &recorder), 0);
	return recorder;
}

/* A finished recording of about `n` frames. Its row's id. */
static int64_t record(struct pc_storage *storage, struct pc_recorder *recorder, unsigned n)
{
	int64_t start_ns = stream_time(&stream, stream.next);
	struct pc_event event = root_event(storage, PC_EVENT_MOTION, start_ns);
	struct pc_event_row row;
	stream_push(&stream, n);
	pc_recorder_hold(recorder, &event, start_ns);
	pc_recorder_release(recorder, event.event_id, stream_time(&stream, stream.next - 1));
	event.end_utc_ms = event.start_utc_ms + 1;
	test_int(pc_events_update(storage, &event), 0);
	stream_push(&stream, 20);
	pc_storage_flush(storage);
	test_int(pc_events_get(storage, event.event_id, &row), 0);
	return row.recording_id;
}

static int open_error(const char *root, char *why, size_t size)
{
	const struct pc_storage_config config = {
		.root = root,
		.health = root_health(),
		.max_usage = 1.0,
	};
	struct pc_storage *storage = (void *)&stream;
	why[0] = '\0';
	int r = pc_storage_open(&config, why, size, &storage);
	test_assert(r < 0 && storage == (void *)&stream);
	test_assert(strlen(why) > 10);
	return r;
}

static void test_two_on_one_root(void)
{
	const char *root = root_make();
	char why[256];
	struct pc_storage *storage = root_open(root);
	test_int(open_error(root, why, sizeof(why)), -EBUSY);
	pid_t child = fork();
	if (child == 0) {
		_exit(open_error(root, why, sizeof(why)) == -EBUSY ? 0 : 1);
	}
	int status;
	test_int(waitpid(child, &status, 0), child);
	test_int(status, 0);
	pc_storage_close(storage);
	pc_storage_close(root_open(root)); /* the lock goes with its holder */
	root_remove(root);
}

static void test_roots_that_cannot_be(void)
{
	const char *root = root_make();
	char why[256];
	int fd = open(root_path(root, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(fd);
	test_int(open_error(root_path(root, "file"), why, sizeof(why)), -ENOTDIR);
	test_int(open_error(root_path(root, "file/below"), why, sizeof(why)), -ENOTDIR);
	test_int(open_error("", why, sizeof(why)), -EINVAL);
	test_assert(open_error("/proc/petcam", why, sizeof(why)) < 0);
	/* Made with all that is above it. */
	pc_storage_close(root_open(root_path(root, "a/b/c")));
	root_remove(root);
}

static void test_damaged_catalogue(void)
{
	const char *root = root_make();
	char why[256], rubbish[8192];
	memset(rubbish, 'x', sizeof(rubbish));
	pc_storage_close(root_open(root));
	int fd = open(root_path(root, "petcam.db"), O_WRONLY | O_CLOEXEC);
	test_int(pwrite(fd, rubbish, sizeof(rubbish), 4096), sizeof(rubbish));
	test_int(open_error(root, why, sizeof(why)), -EILSEQ);
	test_assert(strstr(why, "damaged") != NULL);
	test_int(pwrite(fd, rubbish, sizeof(rubbish), 0), sizeof(rubbish));
	test_int(open_error(root, why, sizeof(why)), -EILSEQ);
	(void)close(fd);
	root_remove(root);
}

static void put_file(const char *root, const char *path, const void *data, size_t n)
{
	int fd = open(root_path(root, "%s", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	test_assert(fd >= 0);
	test_int(write(fd, data, n), (int64_t)n);
	(void)close(fd);
}

static void path_of(const char *root, int64_t recording_id, char *out, size_t size)
{
	char sql[128];
	(void)snprintf(sql, sizeof(sql), "SELECT path FROM recording WHERE recording_id = %lld",
		(long long)recording_id);
	root_text(root, sql, out, size);
}

static void test_rows_and_files_agree_again(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	char path[4][PC_STORAGE_PATH_MAX], name[1024];
	root_consent(storage);
	stream_open(&stream, pc_clock_now_ns(), 60);
	struct pc_recorder *recorder = make_recorder(storage, 60);
	int64_t ids[4];
	for (unsigned i = 0; i < 4; i++) {
		ids[i] = record(storage, recorder, 30);
		path_of(root, ids[i], path[i], sizeof(path[i]));
	}
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	test_int(root_check(root, &stream).recordings, 4);
	/* 0: its file is gone. 1: its row is gone. 2: as after a crash, with a torn end. 3: was
	 * being deleted. And what a crash or a person leaves beside them. */
	test_int(unlink(root_path(root, "%s", path[0])), 0);
	root_sql(root, "PRAGMA foreign_keys = ON");
	(void)snprintf(name, sizeof(name),
		"DELETE FROM recording WHERE recording_id = %lld;"
		"UPDATE event_log SET recording_id = NULL, media_path = NULL WHERE recording_id = %lld;"
		"UPDATE recording SET state = 'open', duration = NULL, bytes = 0, frames = 0"
		" WHERE recording_id = %lld;"
		"INSERT INTO garbage (path, created) VALUES ('%s', 1);"
		"UPDATE event_log SET recording_id = NULL, media_path = NULL, thumbnail = NULL"
		" WHERE recording_id = %lld;"
		"DELETE FROM recording WHERE recording_id = %lld;",
		(long long)ids[1], (long long)ids[1], (long long)ids[2], path[3], (long long)ids[3],
		(long long)ids[3]);
	root_sql(root, name);
	struct stat st;
	test_int(stat(root_path(root, "%s", path[2]), &st), 0);
	test_int(truncate(root_path(root, "%s", path[2]), st.st_size * 2 / 3), 0);
	put_file(root, "recordings/front/2026.mp4", "mine", 4);
	put_file(root, "recordings/notes.txt", "mine", 4);
	char folder[PC_STORAGE_PATH_MAX];
	(void)snprintf(
		folder, sizeof(folder), "%.*s", (int)(strrchr(path[0], '/') - path[0]), path[0]);
	char file[PC_STORAGE_PATH_MAX + 64];
	const char *stamp = strrchr(path[1], '/') + 1;
	static const struct {
		const char *rest, *content;
		bool stays;
	} others[] = {
		{ "_motion-77.mp4", "", false }, /* made, nothing in it */
		{ "_motion-78.mp4", "a diary", true },
		{ "_motion_5555.jpg", "no such event", false },
		{ "_motion_1.jpg.tmp", "half", false },
		{ "_motion_x.jpg", "mine", true },
	};
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(file, sizeof(file), "%s/%.19s%s", folder, stamp, others[i].rest);
		put_file(root, file, others[i].content, strlen(others[i].content));
	}
	storage = root_open(root);
	struct pc_storage_usage usage;
	test_int(pc_storage_usage(storage, &usage), 0);
	test_int((int64_t)usage.recordings, 2); /* 1, taken in, and 2, finished */
	pc_storage_close(storage);
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(file, sizeof(file), "%s/%.19s%s", folder, stamp, others[i].rest);
		test_int(access(root_path(root, "%s", file), F_OK), others[i].stays ? 0 : -1);
		(void)unlink(root_path(root, "%s", file));
	}
	test_int(access(root_path(root, "%s", path[3]), F_OK), -1);
	test_int(unlink(root_path(root, "recordings/front/2026.mp4")), 0);
	test_int(unlink(root_path(root, "recordings/notes.txt")), 0);
	struct root_content content = root_check(root, &stream);
	test_int(content.recordings, 2);
	test_int(content.events, 4);
	test_int(content.indexed, 2);
	test_assert(content.frames > 45 && content.frames < 110);
	stream_close(&stream);
	root_remove(root);
}

/* A row that was open, whose file is now somebody else's: the file stays. */
static void test_taken_over_file_is_left_alone(void)
{
	const char *root = root_make();
	pc_storage_close(root_open(root));
	char path[] = "recordings/front/2026/11/22/20261122T144931042Z_motion.mp4";
	char sql[256];
	for (char *p = strchr(path + 11, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(root_path(root, "%s", path), 0700);
		*p = '/';
	}
	put_file(root, path, "a diary", 7);
	(void)snprintf(sql, sizeof(sql),
		"INSERT INTO recording (camera, path, timestamp, event_type)"
		" VALUES ('front', '%s', 1, 'motion')",
		path);
	root_sql(root, sql);
	pc_storage_close(root_open(root));
	test_int(access(root_path(root, "%s", path), F_OK), 0);
	test_int(root_number(root, "SELECT count(*) FROM recording"), 0);
	pc_storage_close(root_open(root));
	test_int(access(root_path(root, "%s", path), F_OK), 0);
	root_remove(root);
}

static enum pc_health_state storage_health(void)
{
	struct pc_health_part parts[PC_HEALTH_PARTS_MAX];
	unsigned n = pc_health_read(root_health(), parts, PC_HEALTH_PARTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(parts[i].name, "storage") == 0) {
			return parts[i].state;
		}
	}
	return PC_HEALTH_OK;
}

static int probe_now(struct pc_storage *storage, void *data)
{
	storage->probe_ns = 0;
	return 0;
}

static void test_other_disk(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	root_consent(storage);
	stream_open(&stream, pc_clock_now_ns(), 60);
	struct pc_recorder *recorder = make_recorder(storage, 60);
	test_assert(record(storage, recorder, 20) > 0);
	test_int(storage_health(), PC_HEALTH_OK);
	/* The disk is taken out while we run, ... */
	test_int(rename(root_path(root, "recordings"), root_path(root, "away")), 0);
	test_int(mkdir(root_path(root, "recordings"), 0700), 0);
	test_int(record(storage, recorder, 20), 0);
	test_int(storage_health(), PC_HEALTH_FAILED);
	test_int(pc_recordings_remove(storage, 1, "test"), -ENODEV);
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	/* ... and not there at the next start: no row is touched. */
	storage = root_open(root);
	test_int(storage_health(), PC_HEALTH_FAILED);
	recorder = make_recorder(storage, 60);
	test_int(record(storage, recorder, 20), 0);
	struct pc_storage_usage usage;
	test_int(pc_storage_usage(storage, &usage), 0);
	test_int((int64_t)usage.recordings, 1);
	/* It is back. */
	test_int(rmdir(root_path(root, "recordings")), 0);
	test_int(rename(root_path(root, "away"), root_path(root, "recordings")), 0);
	test_int(pc_storage_call(storage, probe_now, NULL), 0);
	pc_storage_flush(storage);
	test_int(storage_health(), PC_HEALTH_OK);
	test_assert(record(storage, recorder, 20) > 0);
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	struct root_content content = root_check(root, &stream);
	/* The one from before, the one that still is in the window, and a new one. */
	test_int(content.recordings, 3);
	test_int(content.events, 4);
	stream_close(&stream);
	/* Another one's: its uuid differs. */
	put_file(root, "recordings/storage.uuid", "00000000-0000-4000-8000-000000000000", 36);
	storage = root_open(root);
	test_int(storage_health(), PC_HEALTH_FAILED);
	pc_storage_close(storage);
	root_remove(root);
}

/* The catalogue is lost, the recordings are there: a new one takes them in. */
static void test_catalogue_from_files(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	root_consent(storage);
	stream_open(&stream, pc_clock_now_ns(), 60);
	struct pc_recorder *recorder = make_recorder(storage, 60);
	for (unsigned i = 0; i < 3; i++) {
		test_assert(record(storage, recorder, 20) > 0);
	}
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	unsigned frames = root_check(root, &stream).frames;
	test_int(unlink(root_path(root, "petcam.db")), 0);
	pc_storage_close(root_open(root));
	struct root_content content = root_check(root, &stream);
	test_int(content.recordings, 3);
	test_int(content.frames, frames);
	stream_close(&stream);
	root_remove(root);
}

static int run_retention(struct pc_storage *storage, void *data)
{
	while (pc_retention_run(storage)) {
	}
	return 0;
}

static void test_retention(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	root_consent(storage);
	stream_open(&stream, pc_clock_now_ns(), 60);
	struct pc_recorder *recorder = make_recorder(storage, 60);
	int64_t ids[8];
	for (unsigned i = 0; i < 8; i++) {
		ids[i] = record(storage, recorder, 20);
	}
	test_int(ids[7] - ids[0], 7);
	test_int(pc_events_set_keep(storage, 1, true), 0);
	test_int(pc_events_set_keep(storage, 3, true), 0);
	/* By age: 0, 1 and 2 are ten days old; 0 and 2 are kept. */
	char sql[256];
	(void)snprintf(sql, sizeof(sql),
		"UPDATE recording SET timestamp = timestamp - 864000000 WHERE recording_id < %lld",
		(long long)ids[3]);
	root_sql(root, sql);
	storage->max_age_days = 7; /* the first run said: no limit */
	test_int(pc_storage_call(storage, run_retention, NULL), 0);
	test_int(root_number(root, "SELECT count(*) FROM recording"), 8);
	atomic_store(&storage->retention_days, 11);
	test_int(pc_storage_call(storage, run_retention, NULL), 0);
	test_int(root_number(root, "SELECT count(*) FROM recording"), 8);
	atomic_store(&storage->retention_days, 9);
	test_int(pc_storage_call(storage, run_retention, NULL), 0);
	test_int(root_number(root, "SELECT count(*) FROM recording"), 7);
	struct pc_recording_row row;
	test_int(pc_recordings_get(storage, ids[1], &row), -ENOENT);
	/* By space, with nothing that would ever be enough: all go, oldest first, kept ones last;
	 * the open one stays. */
	int64_t start_ns = stream_time(&stream, stream.next);
	struct pc_event event = root_event(storage, PC_EVENT_MOTION, start_ns);
	stream_push(&stream, 30);
	pc_recorder_hold(recorder, &event, start_ns);
	pc_storage_flush(storage);
	storage->max_usage = 0;
	test_int(pc_storage_call(storage, run_retention, NULL), 0);
	test_int(root_number(root, "SELECT count(*) FROM recording"), 1);
	test_int(root_number(root, "SELECT count(*) FROM recording WHERE state = 'open'"), 1);
	char order[256];
	root_text(root, "SELECT group_concat(recording_id, ' ') FROM deletion_log", order,
		sizeof(order));
	char expected[256];
	(void)snprintf(expected, sizeof(expected), "%lld %lld %lld %lld %lld %lld %lld %lld",
		(long long)ids[1], (long long)ids[3], (long long)ids[4], (long long)ids[5],
		(long long)ids[6], (long long)ids[7], (long long)ids[0], (long long)ids[2]);
	test_str(order, expected);
	storage->max_usage = 1;
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	struct root_content content = root_check(root, &stream);
	test_int(content.recordings, 1);
	test_int(content.events, 9);
	stream_close(&stream);
	root_remove(root);
}

/* A file system of our own, in a mount name space of our own. */
static bool mount_small(const char *path, const char *options)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("petcam", path, "tmpfs", 0, options) == 0;
}

static void full_disk(const char *root)
{
	struct pc_storage *storage = root_open(root);
	root_consent(storage);
	stream_open(&stream, pc_clock_now_ns(), 60);
	struct pc_recorder *recorder = make_recorder(storage, 600);
	test_assert(record(storage, recorder, 20) > 0);
	/* Somebody else fills it while we record. */
	int64_t start_ns = stream_time(&stream, stream.next);
	struct pc_event event = root_event(storage, PC_EVENT_MOTION, start_ns);
	stream_push(&stream, 30);
	pc_recorder_hold(recorder, &event, start_ns);
	pc_storage_flush(storage);
	int fd = open(root_path(root, "other"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	static char block[65536];
	while (write(fd, block, sizeof(block)) > 0) {
	}
	while (write(fd, block, 512) > 0) {
	}
	for (unsigned i = 0; i < 30 && storage_health() == PC_HEALTH_OK; i++) {
		stream_push(&stream, 20);
		pc_storage_flush(storage);
	}
	test_int(storage_health(), PC_HEALTH_FAILED);
	/* The event goes on when there is room again. */
	test_int(ftruncate(fd, 0), 0);
	(void)close(fd);
	stream_push(&stream, 20);
	for (unsigned i = 0; i < 100 && storage_health() != PC_HEALTH_OK; i++) {
		test_int(pc_storage_call(storage, probe_now, NULL), 0);
		(void)usleep(50 * 1000);
	}
	test_int(storage_health(), PC_HEALTH_OK);
	stream_push(&stream, 40);
	pc_storage_flush(storage);
	event.end_utc_ms = event.start_utc_ms + 5;
	test_int(pc_events_update(storage, &event), 0);
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	struct root_content content = root_check(root, &stream);
	test_int(content.events, 2);
	test_int(content.linked, 2);
	test_assert(content.recordings >= 3);
	/* What was streamed is there, but for what the window had lost meanwhile. */
	test_assert(
		content.frames + pc_counter_get(&stream.stats.recorder_gaps) >= stream.next - 10);
	stream_close(&stream);
}

static void test_small_disk(void)
{
	const char *root = root_make();
	pid_t child = fork();
	if (child == 0) {
		if (!mount_small(root, "size=6m")) {
			_exit(77);
		}
		full_disk(root);
		_exit(0);
	}
	int status;
	test_int(waitpid(child, &status, 0), child);
	test_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		printf("no tmpfs can be mounted here: full disk is tried by injected faults only\n");
	} else {
		test_int(WEXITSTATUS(status), 0);
	}
	root_remove(root);
}

static void test_read_only_disk(void)
{
	const char *root = root_make();
	char why[256];
	pid_t child = fork();
	if (child == 0) {
		if (!mount_small(root, "size=6m,ro")) {
			_exit(77);
		}
		test_int(open_error(root, why, sizeof(why)), -EROFS);
		_exit(0);
	}
	int status;
	test_int(waitpid(child, &status, 0), child);
	test_assert(WIFEXITED(status) && WEXITSTATUS(status) % 77 == 0);
	root_remove(root);
}

int main(void)
{
	/* Those that fork come first: threads do not survive it. */
	TEST_RUN(test_small_disk);
	TEST_RUN(test_read_only_disk);
	TEST_RUN(test_two_on_one_root);
	TEST_RUN(test_roots_that_cannot_be);
	TEST_RUN(test_damaged_catalogue);
	TEST_RUN(test_rows_and_files_agree_again);
	TEST_RUN(test_taken_over_file_is_left_alone);
	TEST_RUN(test_other_disk);
	TEST_RUN(test_catalogue_from_files);
	TEST_RUN(test_retention);
	return test_end();
}
