/* storage/holds_internal.h - the events of one camera that want video.
 *
 * A table under a lock: other threads fill free places and set ends, the storage thread looks
 * at it every 200 ms and frees the places. So nothing that a camera does can be lost in a full
 * queue, and an event that finds no place is refused where it begins.
 *
 * Thread: add and release from any; the rest from the storage thread.
 */
#ifndef PC_STORAGE_HOLDS_INTERNAL_H
#define PC_STORAGE_HOLDS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"

#define PC_HOLDS_MAX 32
#define PC_HOLD_GOING_ON INT64_MAX /* an end that is not known yet */

struct pc_hold {
	bool used;
	int64_t event_id;
	enum pc_event_kind kind;
	int64_t start_ns;
	int64_t end_ns;
	int64_t recording_id; /* that its row points to; 0: none */
	bool pictured; /* its thumbnail is made, or cannot be */
};

struct pc_holds {
	pthread_mutex_t lock;
	int64_t post_roll_ns;
	bool warned_full;
	struct pc_hold list[PC_HOLDS_MAX];
};

/* What the events together want. */
struct pc_demand {
	bool any;
	int64_t from_ns; /* earliest start */
	int64_t until_ns; /* latest end and post-roll, or PC_HOLD_GOING_ON */
	enum pc_event_kind kind; /* of the earliest */
};

int pc_holds_init(struct pc_holds *holds, int64_t post_roll_ns);
void pc_holds_finish(struct pc_holds *holds);

/* The event wants video from start_ns on; one that was released goes on. 0; -EAGAIN: no place,
 * and it is the first time since there was one; -EALREADY: no place again. */
int pc_holds_add(struct pc_holds *holds, const struct pc_event *event, int64_t start_ns);
void pc_holds_release(struct pc_holds *holds, int64_t event_id, int64_t end_ns);

struct pc_demand pc_holds_look(struct pc_holds *holds);
/* Frees those that were over, post-roll and all, at `ns`; PC_HOLD_GOING_ON: all. */
void pc_holds_drop(struct pc_holds *holds, int64_t ns);

/* The ids of events without a recording; the number. */
unsigned pc_holds_unlinked(struct pc_holds *holds, int64_t ids[static PC_HOLDS_MAX]);
/* These events' rows point to that recording now. */
void pc_holds_set_linked(
	struct pc_holds *holds, const int64_t *ids, unsigned n, int64_t recording_id);
/* The recording is no more: its events may have another one. */
void pc_holds_unlink(struct pc_holds *holds, int64_t recording_id);

/* The next event of this recording that has no thumbnail and began by `ns`; its picture counts
 * as made then. 0: none. */
int64_t pc_holds_next_picture(struct pc_holds *holds, int64_t recording_id, int64_t ns);

#endif
