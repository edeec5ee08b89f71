/* http/event_hub.c - the newest changes of events for many listeners; see event_hub.h. */
#include "http/event_hub.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "http/crypto.h"
#include "storage/events.h"

struct pc_event_hub {
	struct pc_storage *storage;
	uint32_t run; /* which run of the daemon an id is of */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned streams;
	uint64_t end; /* position behind the newest change; the first change is at 0 */
	int64_t ring[PC_EVENT_HUB_RING]; /* event ids, by position modulo the size */
};

static void on_event(void *data, int64_t event_id)
{
	struct pc_event_hub *hub = data;
	pthread_mutex_lock(&hub->lock);
	hub->ring[hub->end++ % PC_EVENT_HUB_RING] = event_id;
	pthread_cond_broadcast(&hub->changed);
	pthread_mutex_unlock(&hub->lock);
}

int pc_event_hub_create(struct pc_storage *storage, struct pc_event_hub **ret_hub)
{
	struct pc_event_hub *hub = calloc(1, sizeof(*hub));
	if (hub == NULL) {
		return -ENOMEM;
	}
	hub->storage = storage;
	int r = pc_crypto_random(&hub->run, sizeof(hub->run));
	if (r < 0) {
		free(hub);
		return r;
	}
	pthread_mutex_init(&hub->lock, NULL);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&hub->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pc_events_set_listener(storage, on_event, hub);
	*ret_hub = hub;
	return 0;
}

void pc_event_hub_destroy(struct pc_event_hub *hub)
{
	if (hub == NULL) {
		return;
	}
	pc_events_set_listener(hub->storage, NULL, NULL);
	pthread_cond_destroy(&hub->changed);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

bool pc_event_hub_enter(struct pc_event_hub *hub, uint64_t *ret_position)
{
	pthread_mutex_lock(&hub->lock);
	bool room = hub->streams < PC_EVENT_HUB_STREAMS_MAX;
	if (room) {
		hub->streams++;
		*ret_position = hub->end;
	}
	pthread_mutex_unlock(&hub->lock);
	return room;
}

void pc_event_hub_leave(struct pc_event_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	hub->streams--;
	pthread_mutex_unlock(&hub->lock);
}

static uint64_t oldest(const struct pc_event_hub *hub)
{
	return hub->end > PC_EVENT_HUB_RING ? hub->end - PC_EVENT_HUB_RING : 0;
}

int pc_event_hub_resume(struct pc_event_hub *hub, const char *id, uint64_t *ret_position)
{
	unsigned long run;
	char *end;
	/* "1a2b3c4d-17": strtoul alone would let blanks and signs pass. */
	if (strspn(id, "0123456789abcdef") != 8 || id[8] != '-') {
		return -EINVAL;
	}
	size_t digits = strspn(id + 9, "0123456789");
	if (digits == 0 || digits > 18 || id[9 + digits] != '\0') {
		return -EINVAL;
	}
	run = strtoul(id, &end, 16);
	uint64_t position = strtoull(id + 9, &end, 10);
	if (run != hub->run) {
		return -ESTALE;
	}
	int r = 0;
	pthread_mutex_lock(&hub->lock);
	if (position > hub->end) {
		r = -EINVAL;
	} else if (position < oldest(hub)) {
		r = -ESTALE;
	} else {
		*ret_position = position;
	}
	pthread_mutex_unlock(&hub->lock);
	return r;
}

static bool changes_again(const struct pc_event_hub *hub, uint64_t position)
{
	for (uint64_t i = position + 1; i < hub->end; i++) {
		if (hub->ring[i % PC_EVENT_HUB_RING] == hub->ring[position % PC_EVENT_HUB_RING]) {
			return true;
		}
	}
	return false;
}

int pc_event_hub_next(
	struct pc_event_hub *hub, uint64_t *position, int64_t timeout_ns, int64_t *ret_event_id)
{
	int64_t until_ns = pc_clock_now_ns() + timeout_ns;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / PC_NS_PER_S),
		.tv_nsec = (long)(until_ns % PC_NS_PER_S),
	};
	int r = 0;
	pthread_mutex_lock(&hub->lock);
	while (*position == hub->end && r == 0) {
		r = -pthread_cond_timedwait(&hub->changed, &hub->lock, &until);
	}
	if (*position < hub->end) {
		r = 0;
		if (*position < oldest(hub)) {
			*position = oldest(hub);
			r = -ESTALE;
		} else {
			while (changes_again(hub, *position)) {
				(*position)++;
			}
			*ret_event_id = hub->ring[(*position)++ % PC_EVENT_HUB_RING];
		}
	}
	pthread_mutex_unlock(&hub->lock);
	return r;
}

void pc_event_hub_id(
	const struct pc_event_hub *hub, uint64_t position, char out[static PC_EVENT_HUB_ID_SIZE])
{
	snprintf(out, PC_EVENT_HUB_ID_SIZE, "%08" PRIx32 "-%" PRIu64, hub->run, position);
}
