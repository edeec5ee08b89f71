/* storage/recorder.h - cuts recordings from a camera's window.
 *
 * A recording is made of the very fragments that were streamed, from the youngest key
 * frame at or before (start - pre_roll), decode times rebased to 0. It is held open by the
 * events that want it and goes on post_roll after the last one let go; overlapping events
 * share it; one longer than max_clip is split at a key frame, with nothing lost between.
 * A change of epoch (the stream began anew) ends the file and begins the next one.
 *
 * Order on disk (DESIGN 6): file and new directories fsynced, then the row committed as
 * open (synchronous=FULL); fdatasync at most 1 s apart; at the end index (mfra) and duration
 * written, fsync, row committed as closed. A start-up after a crash finishes what is open.
 * A JPEG thumbnail is made from a key frame near the start of the event.
 *
 * Nothing is recorded while there is no consent to video (pc_users_consent()). At most 32
 * events of a camera hold at a time; one more has no recording. A disk that fails pauses
 * recording; events that still go on when it is back go on in a new one.
 *
 * Thread: start, extend and stop from any, never block; the work runs on the storage thread.
 */
#ifndef PC_STORAGE_RECORDER_H
#define PC_STORAGE_RECORDER_H

#include <stdint.h>

#include "core/event.h"
#include "core/stats.h"
#include "core/window.h"
#include "storage/storage.h"

struct pc_recorder;

struct pc_recorder_config {
	const char *camera; /* id; copied */
	struct pc_window *window; /* the recorder takes a reference */
	struct pc_camera_stats *stats; /* must outlive the recorder */
	double pre_roll_s;
	double post_roll_s;
	double max_clip_s;
};

int pc_recorder_create(struct pc_storage *storage, const struct pc_recorder_config *config,
	struct pc_recorder **ret_recorder);

/* Ends an open recording properly first (waits for it). NULL is fine. */
void pc_recorder_destroy(struct pc_recorder *recorder);

/* The event (already begun in storage/events.h) wants video from start_ns on (capture
 * time): opens a recording or joins the open one. The event's row points to it. */
void pc_recorder_hold(struct pc_recorder *recorder, const struct pc_event *event, int64_t start_ns);

/* The event is over at end_ns; the recording goes on for post_roll unless held again. */
void pc_recorder_release(struct pc_recorder *recorder, int64_t event_id, int64_t end_ns);

#endif
