/* storage/holds.c - the events of one camera that want video, see holds_internal.h. */
#include "storage/holds_internal.h"

#include <errno.h>

#define GOING_ON PC_HOLD_GOING_ON

int pc_holds_init(struct pc_holds *holds, int64_t post_roll_ns)
{
	*holds = (struct pc_holds){ .post_roll_ns = post_roll_ns };
	return -pthread_mutex_init(&holds->lock, NULL);
}

void pc_holds_finish(struct pc_holds *holds)
{
	(void)pthread_mutex_destroy(&holds->lock);
}

/* Under the lock. */
static struct pc_hold *find(struct pc_holds *holds, int64_t event_id)
{
	for (unsigned i = 0; i < PC_HOLDS_MAX; i++) {
		if (holds->list[i].used && holds->list[i].event_id == event_id) {
			return &holds->list[i];
		}
	}
	return NULL;
}

static struct pc_hold *find_free(struct pc_holds *holds)
{
	for (unsigned i = 0; i < PC_HOLDS_MAX; i++) {
		if (!holds->list[i].used) {
			return &holds->list[i];
		}
	}
	return NULL;
}

int pc_holds_add(struct pc_holds *holds, const struct pc_event *event, int64_t start_ns)
{
	int r = 0;
	(void)pthread_mutex_lock(&holds->lock);
	struct pc_hold *hold = find(holds, event->event_id);
	if (hold != NULL) {
		hold->end_ns = GOING_ON;
	} else if ((hold = find_free(holds)) != NULL) {
		*hold = (struct pc_hold){
			.used = true,
			.event_id = event->event_id,
			.kind = event->kind,
			.start_ns = start_ns,
			.end_ns = GOING_ON,
		};
	} else {
		r = holds->warned_full ? -EALREADY : -EAGAIN;
		holds->warned_full = true;
	}
	(void)pthread_mutex_unlock(&holds->lock);
	return r;
}

void pc_holds_release(struct pc_holds *holds, int64_t event_id, int64_t end_ns)
{
	(void)pthread_mutex_lock(&holds->lock);
	struct pc_hold *hold = find(holds, event_id);
	if (hold != NULL) {
		hold->end_ns = end_ns > hold->start_ns ? end_ns : hold->start_ns;
	}
	(void)pthread_mutex_unlock(&holds->lock);
}

static int64_t until(const struct pc_holds *holds, const struct pc_hold *hold)
{
	return hold->end_ns == GOING_ON ? GOING_ON : hold->end_ns + holds->post_roll_ns;
}

struct pc_demand pc_holds_look(struct pc_holds *holds)
{
	struct pc_demand demand = { .from_ns = INT64_MAX, .until_ns = INT64_MIN };
	(void)pthread_mutex_lock(&holds->lock);
	for (unsigned i = 0; i < PC_HOLDS_MAX; i++) {
		const struct pc_hold *hold = &holds->list[i];
		if (!hold->used) {
			continue;
		}
		demand.any = true;
		if (hold->start_ns < demand.from_ns) {
			demand.from_ns = hold->start_ns;
			demand.kind = hold->kind;
		}
		if (until(holds, hold) > demand.until_ns) {
			demand.until_ns = until(holds, hold);
		}
	}
	(void)pthread_mutex_unlock(&holds->lock);
	return demand;
}

void pc_holds_drop(struct pc_holds *holds, int64_t ns)
{
	(void)pthread_mutex_lock(&holds->lock);
	for (unsigned i = 0; i < PC_HOLDS_MAX; i++) {
		struct pc_hold *hold = &holds->list[i];
		if (hold->used && until(holds, hold) <= ns) {
			hold->used = false;
			holds->warned_full = false;
		}
	}
	(void)pthread_mutex_unlock(&holds->lock);
}

unsigned pc_holds_unlinked(struct pc_holds *holds, int64_t ids[static PC_HOLDS_MAX])
{
	unsigned n = 0;
	(void)pthread_mutex_lock(&holds->lock);
	for (unsigned i = 0; i < PC_HOLDS_MAX; i++) {
		if (holds->list[i].used && holds->list[i].recording_id == 0) {
			ids[n++] = holds->list[i].event_id;
		}
	}
	(void)pthread_mutex_unlock(&holds->lock);
	return n;
}

void pc_holds_set_linked(
	struct pc_holds *holds, const int64_t *ids, unsigned n, int64_t recording_id)
{
	(void)pthread_mutex_lock(&holds->lock);
	for (unsigned i = 0; i < n; i++) {
		struct pc_hold *hold = find(holds, ids[i]);
		if (hold != NULL) {
			hold->recording_id = recording_id;
		}
	}
	(void)pthread_mutex_unlock(&holds->lock);
}

void pc_holds_unlink(struct pc_holds *holds, int64_t recording_id)
{
	(void)pthread_mutex_lock(&holds->lock);
	for (unsigned i = 0; i < PC_HOLDS_MAX; i++) {
		if (holds->list[i].used && holds->list[i].recording_id == recording_id) {
			holds->list[i].recording_id = 0;
			holds->list[i].pictured = false;
		}
	}
	(void)pthread_mutex_unlock(&holds->lock);
}

int64_t pc_holds_next_picture(struct pc_holds *holds, int64_t recording_id, int64_t ns)
{
	int64_t event_id = 0;
	(void)pthread_mutex_lock(&holds->lock);
	for (unsigned i = 0; i < PC_HOLDS_MAX && event_id == 0; i++) {
		struct pc_hold *hold = &holds->list[i];
		if (hold->used && !hold->pictured && hold->recording_id == recording_id &&
			hold->start_ns <= ns) {
			hold->pictured = true;
			event_id = hold->event_id;
		}
	}
	(void)pthread_mutex_unlock(&holds->lock);
	return event_id;
}
