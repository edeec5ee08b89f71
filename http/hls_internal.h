/* http/hls_internal.h - what hls.c, hls_render.c and hls_memory.c share.
 *
 * Everything in struct pc_hls is written by the window's writer thread alone, under
 * `lock`; that thread may read it without. Readers take the lock.
 */
#ifndef PC_HTTP_HLS_INTERNAL_H
#define PC_HTTP_HLS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/hls.h"

#define HLS_SEGMENTS_MIN 6 /* that a playlist lists, once there are as many */
#define HLS_SEGMENTS_MAX 256 /* held at most, whatever the key frames do */
/* A segment that left the playlist can be fetched for its own duration still, and the last
 * one's for that of a late playlist (RFC 8216bis 6.2.2, availability duration). */
#define HLS_SEGMENTS_GONE 2

/* Memory that is used again: rendered texts and the fragment lists of answers. Lives
 * until the last of both came back, which may be after the pc_hls. Any thread. */
struct hls_memory;

int hls_memory_create(struct hls_memory **ret_memory);
void hls_memory_destroy(struct hls_memory *memory); /* drops the creator's reference */

/* A text with one reference and room for `capacity` bytes at *ret_data; NULL: no memory. */
struct pc_hls_text *hls_text_new(struct hls_memory *memory, size_t capacity, char **ret_data);
/* The same around malloc'ed bytes, which are the text's on success. */
struct pc_hls_text *hls_text_adopt(struct hls_memory *memory, void *data, size_t size);
struct pc_hls_text *hls_text_ref(struct pc_hls_text *text);

/* Room for n fragments in media->fragments. 0 or -ENOMEM. */
int hls_list_new(struct hls_memory *memory, unsigned n, struct pc_hls_media *media);

struct hls_part {
	unsigned first; /* index of its first fragment in the segment */
	unsigned count;
	int64_t duration; /* ticks */
	bool independent;
	/* Its name, "part-NAME_MSN.NAME_PART.m4s": what the playlist before hinted. Differs from
	 * its place when the segment ended where the hint had expected one more part. */
	int64_t name_msn;
	unsigned name_part;
};

struct hls_segment {
	int64_t msn;
	struct pc_init *init; /* held */
	bool discontinuity; /* from the segment before */
	bool complete;
	int64_t duration; /* ticks, once complete */
	int64_t start_utc_ms;
	size_t size; /* bytes */
	unsigned n_fragments, max_fragments;
	struct pc_fragment **fragments; /* each held */
	unsigned n_parts, max_parts;
	struct hls_part *parts;
};

struct pc_hls {
	struct pc_window *window; /* held */
	struct pc_window_listener *listener;
	struct hls_memory *memory;
	double part_s;
	int64_t window_ticks;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* a new playlist; CLOCK_MONOTONIC */
	pthread_cond_t left; /* a reader went */
	unsigned inside; /* readers that may be waiting */
	bool ended;

	int64_t frame; /* nominal frame duration, ticks; 0: no frame yet */
	int64_t part_target; /* ticks */
	int64_t part_whole; /* the whole frames that fit into it, ticks; mostly the same */
	unsigned target_s; /* EXT-X-TARGETDURATION; 0: no segment was complete yet */
	bool gap; /* the next segment is discontinuous with the last one */
	bool starved; /* no memory for a segment, and said so */
	int64_t next_msn;
	int64_t hint_msn; /* the name of the part that comes next */
	unsigned hint_part;

	/* All that are held, without a hole in their numbers; [listed, n) are in the playlist;
	 * the last may be growing. */
	struct hls_segment *segments[HLS_SEGMENTS_MAX];
	unsigned n_segments;
	unsigned listed;
	int64_t listed_duration; /* ticks, of the complete ones listed */
	int64_t discontinuities; /* that left the playlist */
	struct hls_segment *spare[HLS_SEGMENTS_GONE + 2];
	unsigned n_spare;

	/* What readers get. */
	struct pc_hls_text *full; /* NULL: nothing to show yet */
	struct pc_hls_text *delta; /* NULL: nothing could be skipped */
	uint64_t version;
	int64_t last_msn; /* of the last part in `full` */
	unsigned last_parts; /* that this segment has in `full` */
	int64_t last_complete; /* the last segment that `full` has whole */

	pthread_mutex_t still_lock; /* held while decoding */
	struct pc_hls_text *still; /* NULL: none yet; `version` is its frame's capture time */
};

/* hls_render.c: the playlist as it now is; 0 or -ENOMEM. `delta` gives NULL where nothing
 * can be skipped. On the writer's thread. */
int hls_render(struct pc_hls *hls, bool delta, struct pc_hls_text **ret_text);

#endif
