/* storage/recordings.h - rows of recordings, and their deletion.
 *
 * Thread: any. Reads use the caller's thread; remove waits for the storage thread.
 */
#ifndef PC_STORAGE_RECORDINGS_H
#define PC_STORAGE_RECORDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"
#include "storage/storage.h"

struct pc_recording_row {
	int64_t recording_id;
	char camera[PC_CAMERA_ID_MAX];
	int64_t start_utc_ms; /* of its first frame (the pre-roll's) */
	int64_t duration_ms; /* 0 while open */
	uint64_t bytes;
	enum pc_event_kind kind; /* of the event that started it */
	bool open; /* still being written */
	bool keep;
	unsigned frames;
	unsigned width, height;
};

struct pc_recording_filter {
	const char *camera; /* NULL: any */
	int64_t after_utc_ms;
	int64_t before_utc_ms;
	unsigned limit; /* 1..500 */
	int64_t cursor_start_utc_ms;
	int64_t cursor_recording_id; /* 0: from the newest */
};

int pc_recordings_query(struct pc_storage *storage, const struct pc_recording_filter *filter,
	bool (*fn)(void *data, const struct pc_recording_row *row), void *data, bool *ret_more);
int pc_recordings_get(
	struct pc_storage *storage, int64_t recording_id, struct pc_recording_row *ret_row);

/* Opens the file read-only, O_CLOEXEC: an fd and its size now (a growing file is played up to
 * what it is). 0, -ENOENT. The caller closes the fd; a deletion meanwhile does no harm. */
int pc_recordings_open_media(
	struct pc_storage *storage, int64_t recording_id, int *ret_fd, uint64_t *ret_size);

/* Removes file and row by way of `garbage`, with fsync of the directory. 0, -ENOENT,
 * -EBUSY (still open), -ENODEV (the recordings' disk is missing). `reason` stands in the log of
 * deletions. Its events stay, without clip and thumbnail. */
int pc_recordings_remove(struct pc_storage *storage, int64_t recording_id, const char *reason);

#endif
