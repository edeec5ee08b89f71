/* storage/alerts.h - alert rules, and alerts raised.
 *
 * Thread: any. Reads use the caller's thread; writes wait for the storage thread.
 */
#ifndef PC_STORAGE_ALERTS_H
#define PC_STORAGE_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

#define PC_ALERT_CONFIGS_MAX 64
#define PC_ALERT_CHANNELS_MAX 8

/* "No event of this pet (or of any) for so long raises an alert." */
struct pc_alert_config {
	int64_t config_id; /* 0 on add */
	int64_t user_id;
	int64_t pet_id; /* 0: all pets */
	unsigned no_event_threshold; /* minutes, 1..43200 */
	bool has_quiet_hours;
	unsigned quiet_from_min,
		quiet_to_min; /* minutes of the local day; from > to wraps midnight */
	char channels[PC_ALERT_CHANNELS_MAX][32]; /* "app"; "" ends the list */
	int64_t created_utc_ms;
};

/* Replaces the rule of the same user and pet, or adds one. 0 and its id; -ENOSPC: too many;
 * -ENOENT: no such pet. */
int pc_alert_config_put(
	struct pc_storage *storage, const struct pc_alert_config *config, int64_t *ret_config_id);
/* All rules, at most `max`; *ret_n of them. */
int pc_alert_config_list(
	struct pc_storage *storage, struct pc_alert_config *configs, unsigned max, unsigned *ret_n);
/* Rises with every change of a rule: the engine reloads when it differs. */
uint64_t pc_alert_config_version(struct pc_storage *storage);

struct pc_alert {
	int64_t alert_id;
	int64_t config_id; /* 0: not from a rule (camera lost ...) */
	int64_t pet_id;
	char kind[32]; /* "absence", "camera_lost" ... */
	char camera[32];
	char message[192];
	int64_t raised_utc_ms;
	int64_t ended_utc_ms; /* 0: goes on */
	int64_t acknowledged_utc_ms; /* 0: not yet */
};

int pc_alerts_raise(struct pc_storage *storage, struct pc_alert *alert); /* sets alert_id */
int pc_alerts_end(struct pc_storage *storage, int64_t alert_id, int64_t ended_utc_ms);
int pc_alerts_ack(struct pc_storage *storage, int64_t alert_id); /* 0, -ENOENT */
/* Newest first; `before_id` 0: from the newest. */
int pc_alerts_list(struct pc_storage *storage, int64_t before_id, unsigned limit,
	bool (*fn)(void *data, const struct pc_alert *alert), void *data, bool *ret_more);

/* UTC ms of the newest end of an event of this pet, or of any when 0 (now while one goes on);
 * absence is no sighting. 0: none. */
int64_t pc_alerts_last_seen(struct pc_storage *storage, int64_t pet_id);

#endif
