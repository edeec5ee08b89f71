/* storage/events.h - the event log.
 *
 * Writing: pc_events_begin/update/end return at once; rows are batched on the
 * storage thread. Ids are given out at begin, rise with time and are never reused.
 * Reading: newest first, by a stable cursor.
 *
 * Thread: any. begin/update/end never block; query and get read the database.
 */
#ifndef PC_STORAGE_EVENTS_H
#define PC_STORAGE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"
#include "storage/storage.h"

/* Gives `event` an id (event->event_id is set) and queues its row. 0, -EAGAIN: the
 * queue is full, the event is shed and counted; -EINVAL. */
int pc_events_begin(struct pc_storage *storage, struct pc_event *event);

/* Queues the event as it is now (end, score, box, evidence). */
int pc_events_update(struct pc_storage *storage, const struct pc_event *event);

/* A row as readers get it. */
struct pc_event_row {
	struct pc_event event;
	char pet_name[64]; /* "" : pet unknown */
	int64_t recording_id; /* 0: none */
	bool has_clip; /* the recording is there and playable */
	bool has_thumbnail;
	bool keep;
	int64_t clip_start_utc_ms; /* of the recording, to find the event in it; 0: none */
};

/* Zero fields filter nothing. */
struct pc_event_filter {
	int64_t pet_id; /* 0: any; -1: only unknown ones */
	uint32_t kinds; /* bit (1 << enum pc_event_kind); 0: any */
	const char *camera; /* NULL: any */
	int64_t after_utc_ms; /* start >= */
	int64_t before_utc_ms; /* start < */
	unsigned limit; /* rows at most; 1..500 */
	/* Continue behind this row (the last one of the page before). */
	int64_t cursor_start_utc_ms;
	int64_t cursor_event_id; /* 0: from the newest */
};

/* Calls `fn` for each row; fn returning false ends it. *ret_more: rows are left after
 * the limit. 0, -EINVAL (limit), -EIO, -EBUSY, -ENOMEM. */
int pc_events_query(struct pc_storage *storage, const struct pc_event_filter *filter,
	bool (*fn)(void *data, const struct pc_event_row *row), void *data, bool *ret_more);

/* 0 or -ENOENT. */
int pc_events_get(struct pc_storage *storage, int64_t event_id, struct pc_event_row *ret_row);

/* Path of the thumbnail file, absolute. 0, -ENOENT. */
int pc_events_thumbnail(struct pc_storage *storage, int64_t event_id, char *ret_path, size_t size);

/* Waits for the row to be written. 0 or -ENOENT. Marks the event and its recording. */
int pc_events_set_keep(struct pc_storage *storage, int64_t event_id, bool keep);

/* Live changes for /events/stream: `fn` runs on the storage thread after each commit that
 * changed something of the event's row (its end, its recording, its thumbnail, keep); must not
 * block or call this. One listener at a time; NULL removes, and none
 * runs any more when it returns. */
void pc_events_set_listener(
	struct pc_storage *storage, void (*fn)(void *data, int64_t event_id), void *data);

#endif
