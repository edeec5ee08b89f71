/* storage/retention.c - what must go, goes: oldest first, kept ones last. */
#include "storage/storage_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define PC_LOG_MODULE "retention"
#include "core/clock.h"
#include "core/log.h"

#define BATCH 16 /* removals, then other work has its turn */
#define DAY_MS (INT64_C(24) * 3600 * 1000)

struct victim {
	int64_t recording_id; /* 0: none */
	uint64_t bytes;
};

/* The oldest closed recording, kept or not, that began before `before_utc_ms`. */
static int find_oldest(
	struct pc_storage *storage, bool kept, int64_t before_utc_ms, struct victim *ret_victim)
{
	sqlite3_stmt *stmt;
	int r = pc_db_prepare(&storage->db,
		"SELECT recording_id, bytes FROM recording INDEXED BY recording_oldest"
		" WHERE state = 'closed' AND keep = ?1 AND timestamp < ?2"
		" ORDER BY timestamp LIMIT 1",
		&stmt);
	if (r < 0) {
		return r;
	}
	pc_db_bind_int(stmt, 1, kept ? 1 : 0);
	pc_db_bind_int(stmt, 2, before_utc_ms);
	r = pc_db_step(stmt);
	*ret_victim = (struct victim){ 0 };
	if (r == 1) {
		ret_victim->recording_id = sqlite3_column_int64(stmt, 0);
		ret_victim->bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
	}
	pc_db_reset(stmt);
	return r < 0 ? r : 0;
}

/* Bytes that must be freed to be at the limit again. */
static uint64_t bytes_over(struct pc_storage *storage)
{
	double usage;
	struct pc_storage_usage disk;
	if (pc_root_usage(storage, &usage) < 0 || usage <= storage->max_usage ||
		pc_storage_usage(storage, &disk) < 0) {
		return 0;
	}
	return (uint64_t)((usage - storage->max_usage) * (double)disk.disk_bytes) + 1;
}

/* By age: 0 and a victim or none. */
static int too_old(struct pc_storage *storage, char *reason, size_t size, struct victim *ret_victim)
{
	int chosen = atomic_load(&storage->retention_days);
	int64_t days = chosen >= 0 ? chosen : (int64_t)storage->max_age_days;
	*ret_victim = (struct victim){ 0 };
	if (days == 0) {
		return 0;
	}
	(void)snprintf(reason, size, "older than %lld days", (long long)days);
	return find_oldest(storage, false, pc_clock_now_utc_ms() - days * DAY_MS, ret_victim);
}

/* By space. */
static int too_much(
	struct pc_storage *storage, char *reason, size_t size, struct victim *ret_victim)
{
	(void)snprintf(reason, size, "file system over %.0f %%", storage->max_usage * 100);
	int r = find_oldest(storage, false, INT64_MAX, ret_victim);
	if (r == 0 && ret_victim->recording_id == 0) {
		r = find_oldest(storage, true, INT64_MAX, ret_victim);
	}
	return r;
}

bool pc_retention_run(struct pc_storage *storage)
{
	char reason[64];
	if (!storage->identity_ok) {
		return false; /* not our disk: nothing on it is ours to remove */
	}
	(void)pc_garbage_finish(storage); /* what could not be unlinked before */
	/* What is freed is counted here: a file system may take its time to show it, and a
	 * viewer may hold a removed file open. The next look is a minute away. */
	uint64_t over = bytes_over(storage);
	for (unsigned i = 0; i < BATCH; i++) {
		struct victim victim;
		int r = too_old(storage, reason, sizeof(reason), &victim);
		if (r == 0 && victim.recording_id == 0 && over > 0) {
			r = too_much(storage, reason, sizeof(reason), &victim);
		}
		if (r == 0 && victim.recording_id == 0) {
			return false;
		}
		if (r == 0) {
			r = pc_recordings_drop(storage, victim.recording_id, reason);
		}
		if (r < 0) {
			pc_warn("recordings cannot be removed: %s, trying again in a minute",
				pc_strerror(r));
			return false;
		}
		pc_info("recording %lld removed: %s", (long long)victim.recording_id, reason);
		over -= victim.bytes < over ? victim.bytes : over;
	}
	return true;
}
