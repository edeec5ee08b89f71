/* tests/unit/storage/test_recorder.c - recordings cut from a window: what is in them. */
#include "storage/recorder.h"

#include <errno.h>
#include <unistd.h>

#include "storage/events.h"
#include "storage/holds_internal.h"
#include "storage/recordings.h"
#include "storage/storage_internal.h"
#include "storage/users.h"
#include "tests/support/test.h"
#include "tests/unit/storage/root.h"
#include "tests/unit/storage/stream.h"

struct rig {
	const char *root;
	struct pc_storage *storage;
	struct stream stream;
	struct pc_recorder *recorder;
};

/* The stream began `past_s` ago. Its frames are pushed as fast as they are encoded, so that with
 * 0 they are from the future, and nothing is ever late. */
static void rig_open(struct rig *rig, double past_s, double window_s, double max_clip_s)
{
	rig->root = root_make();
	rig->storage = root_open(rig->root);
	root_consent(rig->storage);
	stream_open(&rig->stream, pc_clock_now_ns() - (int64_t)(past_s * 1e9), window_s);
	const struct pc_recorder_config config = {
		.camera = "front",
		.window = rig->stream.window,
		.stats = &rig->stream.stats,
		.pre_roll_s = 3,
		.post_roll_s = 5,
		.max_clip_s = max_clip_s,
	};
	test_int(pc_recorder_create(rig->storage, &config, &rig->recorder), 0);
}

static struct root_content rig_close(struct rig *rig)
{
	pc_recorder_destroy(rig->recorder);
	pc_storage_close(rig->storage);
	struct root_content content = root_check(rig->root, &rig->stream);
	stream_close(&rig->stream);
	return content;
}

/* Holds for the frames [from, to). */
static struct pc_event hold(struct rig *rig, enum pc_event_kind kind, uint32_t from)
{
	int64_t start_ns = stream_time(&rig->stream, from);
	struct pc_event event = root_event(rig->storage, kind, start_ns);
	pc_recorder_hold(rig->recorder, &event, start_ns);
	return event;
}

static void release(struct rig *rig, struct pc_event *event, uint32_t at)
{
	int64_t end_ns = stream_time(&rig->stream, at);
	event->end_utc_ms = pc_clock_utc_ms_of(end_ns);
	test_int(pc_events_update(rig->storage, event), 0);
	pc_recorder_release(rig->recorder, event->event_id, end_ns);
}

static struct pc_event_row event_row(struct rig *rig, const struct pc_event *event)
{
	struct pc_event_row row;
	pc_storage_flush(rig->storage);
	test_int(pc_events_get(rig->storage, event->event_id, &row), 0);
	return row;
}

static struct clip_content clip_of(struct rig *rig, const struct pc_event *event)
{
	char sql[128];
	char path[256];
	struct pc_event_row row = event_row(rig, event);
	test_assert(row.has_clip);
	(void)snprintf(sql, sizeof(sql), "SELECT path FROM recording WHERE recording_id = %lld",
		(long long)row.recording_id);
	root_text(rig->root, sql, path, sizeof(path));
	return clip_check(&rig->stream, root_path(rig->root, "%s", path));
}

static void test_pre_and_post_roll(void)
{
	struct rig rig;
	rig_open(&rig, 0, 60, 60);
	stream_push(&rig.stream, 100);
	struct pc_event event = hold(&rig, PC_EVENT_MOTION, 95);
	pc_storage_flush(rig.storage);
	struct pc_event_row row = event_row(&rig, &event);
	test_assert(row.has_clip); /* while it grows */
	struct pc_recording_row recording;
	test_int(pc_recordings_get(rig.storage, row.recording_id, &recording), 0);
	test_assert(recording.open);
	test_assert(recording.bytes > 8192);
	test_int(recording.duration_ms, 0);
	test_int(pc_recordings_remove(rig.storage, row.recording_id, "test"), -EBUSY);
	release(&rig, &event, 120);
	stream_push(&rig.stream, 100);
	pc_storage_flush(rig.storage);
	/* 3 s before frame 95 is 65, its key frame is 60; 5 s behind frame 120 is 170. */
	struct clip_content clip = clip_of(&rig, &event);
	test_int(clip.first, 60);
	test_int(clip.last, 170);
	test_int(clip.frames, 111);
	test_int(clip.duration_ms, 11100);
	test_assert(clip.indexed);
	test_int(pc_recordings_get(rig.storage, row.recording_id, &recording), 0);
	test_assert(!recording.open);
	test_int(recording.duration_ms, 11100);
	test_int(recording.frames, 111);
	test_int(recording.width, 256);
	test_int(recording.height, 144);
	row = event_row(&rig, &event);
	test_assert(row.has_thumbnail);
	test_int(row.clip_start_utc_ms, recording.start_utc_ms);
	test_int(rig.stream.stats.recorder_gaps, 0);
	int fd;
	uint64_t size;
	test_int(pc_recordings_open_media(rig.storage, row.recording_id, &fd, &size), 0);
	test_int(size, recording.bytes);
	/* Removed while somebody looks at it. */
	test_int(pc_recordings_remove(rig.storage, row.recording_id, "test"), 0);
	test_int(lseek(fd, 0, SEEK_END), (int64_t)size);
	(void)close(fd);
	test_int(pc_recordings_open_media(rig.storage, row.recording_id, &fd, &size), -ENOENT);
	row = event_row(&rig, &event);
	test_assert(!row.has_clip && !row.has_thumbnail);
	struct root_content content = rig_close(&rig);
	test_int(content.recordings, 0);
	test_int(content.events, 1);
	test_int(root_number(rig.root, "SELECT count(*) FROM deletion_log WHERE reason = 'test'"),
		1);
	root_remove(rig.root);
}

static void test_overlapping_events_share(void)
{
	struct rig rig;
	rig_open(&rig, 0, 90, 60);
	stream_push(&rig.stream, 50);
	struct pc_event a = hold(&rig, PC_EVENT_MOTION, 40);
	pc_storage_flush(rig.storage);
	stream_push(&rig.stream, 30);
	struct pc_event b = hold(&rig, PC_EVENT_ZONE_ENTER, 75);
	release(&rig, &a, 78);
	stream_push(&rig.stream, 60);
	pc_storage_flush(rig.storage);
	release(&rig, &b, 135);
	stream_push(&rig.stream, 20);
	/* In the post-roll of b. */
	struct pc_event c = hold(&rig, PC_EVENT_MOTION, 150);
	release(&rig, &c, 155);
	stream_push(&rig.stream, 100);
	pc_storage_flush(rig.storage);
	test_int(event_row(&rig, &a).recording_id, event_row(&rig, &b).recording_id);
	test_int(event_row(&rig, &a).recording_id, event_row(&rig, &c).recording_id);
	struct clip_content clip = clip_of(&rig, &a);
	test_int(clip.first, 10);
	test_int(clip.last, 205);
	struct root_content content = rig_close(&rig);
	test_int(content.recordings, 1);
	test_int(content.thumbnails, 3);
	root_remove(rig.root);
}

static void test_long_clip_is_split(void)
{
	struct rig rig;
	rig_open(&rig, 0, 90, 5);
	stream_push(&rig.stream, 40);
	struct pc_event event = hold(&rig, PC_EVENT_MOTION, 35);
	stream_push(&rig.stream, 160);
	release(&rig, &event, 150);
	pc_storage_flush(rig.storage);
	struct root_content content = rig_close(&rig);
	/* 0..200 in pieces of 5 s, and nothing twice: what was wanted is 0 to 200. */
	test_int(content.recordings, 4);
	test_int(content.frames, 200);
	test_int(content.indexed, 4);
	test_int(root_number(rig.root, "SELECT count(*) FROM recording WHERE frames = 50"), 4);
	/* The event points to the first. */
	test_int(root_number(rig.root, "SELECT count(*) FROM event_log AS e JOIN recording AS r"
				       " USING (recording_id) WHERE r.timestamp ="
				       " (SELECT min(timestamp) FROM recording)"),
		1);
	root_remove(rig.root);
}

static void test_epoch_ends_the_file(void)
{
	struct rig rig;
	rig_open(&rig, 0, 90, 60);
	stream_push(&rig.stream, 60);
	struct pc_event event = hold(&rig, PC_EVENT_MOTION, 55);
	pc_storage_flush(rig.storage);
	stream_new_epoch(&rig.stream); /* frame 60 is a key frame */
	stream_push(&rig.stream, 60);
	release(&rig, &event, 100);
	stream_push(&rig.stream, 60);
	pc_storage_flush(rig.storage);
	struct clip_content clip = clip_of(&rig, &event);
	test_int(clip.first, 20);
	test_int(clip.last, 59);
	/* A pre-roll does not reach back over the beginning. */
	stream_new_epoch(&rig.stream); /* 180 */
	stream_push(&rig.stream, 20);
	struct pc_event next = hold(&rig, PC_EVENT_MOTION, 195);
	release(&rig, &next, 197);
	stream_push(&rig.stream, 60);
	pc_storage_flush(rig.storage);
	clip = clip_of(&rig, &next);
	test_int(clip.first, 180);
	test_int(clip.last, 247);
	struct root_content content = rig_close(&rig);
	test_int(content.recordings, 3);
	test_int(content.frames, 40 + 91 + 68);
	test_int(rig.stream.stats.recorder_gaps, 0);
	root_remove(rig.root);
}

static int sleep_in_storage(struct pc_storage *storage, void *data)
{
	struct stream *stream = data;
	stream_push(stream, 150); /* more than the window holds, and this thread cannot look */
	return 0;
}

static void test_stalled_storage_counts_gaps(void)
{
	struct rig rig;
	rig_open(&rig, 0, 10, 60);
	stream_push(&rig.stream, 60);
	struct pc_event event = hold(&rig, PC_EVENT_MOTION, 55);
	pc_storage_flush(rig.storage);
	test_int(pc_storage_call(rig.storage, sleep_in_storage, &rig.stream), 0);
	release(&rig, &event, 205);
	stream_push(&rig.stream, 100);
	pc_storage_flush(rig.storage);
	struct root_content content = rig_close(&rig);
	test_int(content.recordings, 2);
	/* 20..255 were wanted. */
	test_int(content.frames + rig.stream.stats.recorder_gaps, 236);
	test_assert(rig.stream.stats.recorder_gaps >= 40);
	root_remove(rig.root);
}

static void test_no_consent_no_recording(void)
{
	const char *root = root_make();
	struct pc_storage *storage = root_open(root);
	struct stream stream;
	struct pc_recorder *recorder;
	stream_open(&stream, pc_clock_now_ns() - 10 * PC_NS_PER_S, 60);
	const struct pc_recorder_config config = {
		.camera = "front",
		.window = stream.window,
		.stats = &stream.stats,
		.pre_roll_s = 1,
		.post_roll_s = 1,
		.max_clip_s = 60,
	};
	test_int(pc_recorder_create(storage, &config, &recorder), 0);
	int64_t user;
	test_int(pc_users_setup(storage, "ada", "scrypt$x", false, false, 0, &user), 0);
	stream_push(&stream, 30);
	struct pc_event event = root_event(storage, PC_EVENT_MOTION, stream_time(&stream, 10));
	pc_recorder_hold(recorder, &event, stream_time(&stream, 10));
	pc_recorder_release(recorder, event.event_id, stream_time(&stream, 20));
	pc_storage_flush(storage);
	pc_recorder_destroy(recorder);
	pc_storage_close(storage);
	struct root_content content = root_check(root, &stream);
	test_int(content.recordings, 0);
	test_int(content.events, 1);
	stream_close(&stream);
	root_remove(root);
}

/* In real time, with nobody flushing: the thread does it all by itself. */
static void test_live(void)
{
	struct rig rig;
	rig_open(&rig, 4, 30, 60);
	uint32_t now = 40;
	stream_push_due(&rig.stream, now);
	struct pc_event event = hold(&rig, PC_EVENT_MOTION, 39);
	release(&rig, &event, 39); /* 5 s of post-roll: to frame 89 */
	while (rig.stream.next < 95) {
		stream_push_due(&rig.stream, 95);
		(void)usleep(20 * 1000);
	}
	struct pc_recording_row recording = { .open = true };
	struct pc_event_row row;
	for (unsigned i = 0; recording.open && i < 500; i++) {
		(void)usleep(20 * 1000);
		test_int(pc_events_get(rig.storage, event.event_id, &row), 0);
		test_int(pc_recordings_get(rig.storage, row.recording_id, &recording), 0);
	}
	test_assert(!recording.open);
	test_int(recording.frames, 90);
	struct root_content content = rig_close(&rig);
	test_int(content.indexed, 1);
	root_remove(rig.root);
}

/* The window is closed while an event goes on (the camera is taken out). */
static void test_closed_window_ends_it(void)
{
	struct rig rig;
	rig_open(&rig, 0, 90, 60);
	stream_push(&rig.stream, 60);
	(void)hold(&rig, PC_EVENT_MOTION, 55);
	pc_storage_flush(rig.storage);
	pc_window_close(rig.stream.window);
	pc_storage_flush(rig.storage);
	test_int(root_number(rig.root, "SELECT count(*) FROM recording WHERE state = 'closed'"), 1);
	pc_storage_flush(rig.storage);
	struct root_content content = rig_close(&rig);
	test_int(content.recordings, 1);
	test_int(content.frames, 40);
	root_remove(rig.root);
}

/* More events at a time than there are places, and releases of events nobody knows. */
static void test_many_holds(void)
{
	struct rig rig;
	rig_open(&rig, 0, 90, 60);
	stream_push(&rig.stream, 60);
	struct pc_event events[PC_HOLDS_MAX + 4];
	for (unsigned i = 0; i < PC_HOLDS_MAX + 4; i++) {
		events[i] = hold(&rig, PC_EVENT_MOTION, 50);
		pc_recorder_release(rig.recorder, 1000000 + i, 0);
	}
	pc_storage_flush(rig.storage);
	for (unsigned i = 0; i < PC_HOLDS_MAX + 4; i++) {
		release(&rig, &events[i], 55);
	}
	stream_push(&rig.stream, 60);
	pc_storage_flush(rig.storage);
	struct root_content content = rig_close(&rig);
	test_int(content.recordings, 1);
	test_int(content.events, PC_HOLDS_MAX + 4);
	test_int(content.linked, PC_HOLDS_MAX);
	test_int(content.thumbnails, PC_HOLDS_MAX);
	root_remove(rig.root);
}

static void test_refuses_nonsense(void)
{
	struct rig rig;
	rig_open(&rig, 1, 10, 60);
	static const char *const names[] = { "", "../x", "A", "a/b", "a b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct pc_recorder *recorder;
		const struct pc_recorder_config config = {
			.camera = names[i],
			.window = rig.stream.window,
			.stats = &rig.stream.stats,
			.max_clip_s = 1,
		};
		test_int(pc_recorder_create(rig.storage, &config, &recorder), -EINVAL);
	}
	(void)rig_close(&rig);
	root_remove(rig.root);
}

int main(void)
{
	TEST_RUN(test_pre_and_post_roll);
	TEST_RUN(test_overlapping_events_share);
	TEST_RUN(test_long_clip_is_split);
	TEST_RUN(test_epoch_ends_the_file);
	TEST_RUN(test_stalled_storage_counts_gaps);
	TEST_RUN(test_no_consent_no_recording);
	TEST_RUN(test_closed_window_ends_it);
	TEST_RUN(test_many_holds);
	TEST_RUN(test_refuses_nonsense);
	TEST_RUN(test_live);
	return test_end();
}
