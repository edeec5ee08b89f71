/* tests/unit/storage/root.h - a data root to test in, and what must always be true of one. */
#ifndef PC_TEST_ROOT_H
#define PC_TEST_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"
#include "core/health.h"
#include "storage/storage.h"

struct stream;

/* A new, empty folder. Its path is good until seven more were made. */
const char *root_make(void);
void root_remove(const char *path);
/* printf into one of a few static buffers: a path under the root. */
const char *root_path(const char *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Opens with no limits, fails the test if that does not work; a health board of its own. */
struct pc_storage *root_open(const char *root);
struct pc_health *root_health(void);
/* The first run: consent to video. */
void root_consent(struct pc_storage *storage);
/* An event that began at this time on CLOCK_MONOTONIC, already begun in the log. */
struct pc_event root_event(struct pc_storage *storage, enum pc_event_kind kind, int64_t start_ns);

struct root_content {
	unsigned recordings, events, thumbnails;
	unsigned frames; /* of all recordings */
	unsigned indexed; /* recordings with their index */
	unsigned linked; /* events with a recording */
	int64_t last_event_id;
};

/* With no storage open on the root: rows and files agree, every recording is closed and is
 * what was streamed (`stream` NULL: files are not decoded), nothing is left over. */
struct root_content root_check(const char *root, const struct stream *stream);

/* The only number that `sql` selects. */
int64_t root_number(const char *root, const char *sql);
void root_text(const char *root, const char *sql, char *out, size_t size);
void root_sql(const char *root, const char *sql);

#endif
