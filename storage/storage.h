/* storage/storage.h - the data root: database, recordings, and the one thread that writes them.
 *
 * <root>/petcam.db            SQLite, WAL, one writer (the storage thread); 0600
 * <root>/recordings/storage.uuid   the disk's identity, also in the catalogue: missing or another
 *                             one means another disk, and nothing is recorded or removed
 * <root>/recordings/<camera>/<yyyy>/<mm>/<dd>/<utc>_<event>.mp4   (and .jpg beside it)
 * <root>/keys/                0600, the http floor's
 * <root>/petcam.lock          held while a daemon runs on this root
 *
 * Writers never wait for the disk: they queue a job (bounded; full is -EAGAIN, counted).
 * Readers use read-only connections from a small pool, on their own thread. Reads need
 * about 64 KiB of stack.
 *
 * A disk that fails stops recording, not viewing: every call then answers negative errno,
 * the part "storage" of the health board says what happened, and the storage thread tries
 * again by itself.
 */
#ifndef PC_STORAGE_STORAGE_H
#define PC_STORAGE_STORAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/health.h"

struct pc_storage;

struct pc_storage_config {
	const char *root; /* made if absent (0700) */
	struct pc_health *health; /* must outlive the storage */
	double max_usage; /* 0..1 of the file system: oldest recordings go above it */
	unsigned max_age_days; /* 0: no limit */
};

/* Opens or makes the root, migrates, checks (quick_check), finishes what a crash left
 * open, reconciles files and rows both ways, starts the thread. One log line says what
 * was mended. 0, or negative errno with `why` filled with a sentence: -EACCES, -EROFS,
 * -ENOSPC, -EBUSY (another petcam holds the lock), -EILSEQ (the database is damaged), ... */
int pc_storage_open(const struct pc_storage_config *config, char *why, size_t why_size,
	struct pc_storage **ret_storage);

/* Closes open recordings, writes what is queued, stops the thread. All recorders must be
 * destroyed before. NULL is fine. */
void pc_storage_close(struct pc_storage *storage);

const char *pc_storage_root(const struct pc_storage *storage);

/* Waits until all that was queued before is written, and recorders have taken what their
 * windows hold; not for a disk that fails. For tests and shutdown. */
void pc_storage_flush(struct pc_storage *storage);

struct pc_storage_usage {
	uint64_t disk_bytes; /* the file system's size and what is free of it */
	uint64_t free_bytes;
	uint64_t recording_bytes; /* ours */
	uint64_t recordings;
	uint64_t events;
};
int pc_storage_usage(struct pc_storage *storage, struct pc_storage_usage *ret);

#endif
