/* http/event_hub.h - storage's one event listener, fanned out to /events/stream.
 *
 * A ring of the newest changes, by event id; a listener is a position in it, and reads the
 * rows themselves from storage. One that falls out of the ring is told so and goes on from the
 * oldest that is left: it holds up nobody.
 *
 * Thread: any; only pc_event_hub_next() blocks. Nothing is allocated after create.
 */
#ifndef PC_HTTP_EVENT_HUB_H
#define PC_HTTP_EVENT_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

struct pc_event_hub;

#define PC_EVENT_HUB_RING 256
#define PC_EVENT_HUB_STREAMS_MAX 16 /* each holds a worker thread */
#define PC_EVENT_HUB_ID_SIZE 40

int pc_event_hub_create(struct pc_storage *storage, struct pc_event_hub **ret_hub);
/* No thread may be in a call. NULL is fine. */
void pc_event_hub_destroy(struct pc_event_hub *hub);

/* A stream begins, at the newest change; false: there are too many already. */
bool pc_event_hub_enter(struct pc_event_hub *hub, uint64_t *ret_position);
void pc_event_hub_leave(struct pc_event_hub *hub);

/* The position behind the change that pc_event_hub_id() named. 0; -ESTALE: it is of an
 * earlier run, or has left the ring; -EINVAL: no such id was ever given. */
int pc_event_hub_resume(struct pc_event_hub *hub, const char *id, uint64_t *ret_position);

/* The next change: its event, and *position moved behind it. An event that changed again
 * later is not told twice. 0; -ETIMEDOUT; -ESTALE: changes were missed, *position is moved to
 * the oldest left. */
int pc_event_hub_next(
	struct pc_event_hub *hub, uint64_t *position, int64_t timeout_ns, int64_t *ret_event_id);

/* The name of the change before `position`, for resuming. */
void pc_event_hub_id(
	const struct pc_event_hub *hub, uint64_t position, char out[static PC_EVENT_HUB_ID_SIZE]);

#endif
