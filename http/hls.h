/* http/hls.h - Low-Latency HLS of one camera (RFC 8216bis), over its window.
 *
 * Fed by the window's listener on the media loop: groups fragments into parts and
 * segments, renders the media playlist (whole and delta) once a part, and wakes the
 * readers that wait. What is rendered is immutable, reference-counted and shared by all
 * viewers. Segments start at key frames; a change of epoch writes EXT-X-DISCONTINUITY and
 * a new EXT-X-MAP. The part target follows from the cadence: whole frames, the count
 * nearest to the configured part (at 24 fps five frames, 209 ms; at 30 six, 200 ms). Parts
 * are cut where the cadence has them; a frame that comes late ends its part at the target.
 * The target duration is that of the first whole segment, rounded: until then nothing is shown.
 *
 * URIs in the playlist are relative to it: "init-EPOCH.mp4", "seg-MSN.m4s",
 * "part-MSN.PART.m4s".
 *
 * Thread: create and destroy on the window's writer thread (or with no writer); readers any.
 */
#ifndef PC_HTTP_HLS_H
#define PC_HTTP_HLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fragment.h"
#include "core/window.h"

struct pc_hls;

struct pc_hls_config {
	struct pc_window *window; /* a reference is taken */
	double part_s; /* wished part duration */
	double window_s; /* of segments in the playlist; at least 6 segments are kept */
	/* Media sequence number of the first segment; 0: the seconds since 1970, so that it does
	 * not go back, and no URI names two things, when the daemon starts again under viewers
	 * that go on. (The discontinuity sequence starts at 0: hls.js 1.7 counts up to it.) */
	int64_t first_msn;
};

int pc_hls_create(const struct pc_hls_config *config, struct pc_hls **ret_hls);
/* Wakes all waiters with -EPIPE and waits until they left. NULL is fine. */
void pc_hls_destroy(struct pc_hls *hls);

/* A text rendered once, shared. */
struct pc_hls_text {
	const char *data;
	size_t size;
	uint64_t version; /* +1 for each part, from first_msn << 20: an ETag */
};
void pc_hls_text_unref(struct pc_hls_text *text); /* any thread; NULL is fine */

/* The multivariant playlist: one variant, with CODECS, RESOLUTION, FRAME-RATE, BANDWIDTH.
 * `media_uri` is the media playlist's, relative to where this is served.
 * The length as snprintf; -EAGAIN: no frame yet (503, Retry-After). */
int pc_hls_multivariant(struct pc_hls *hls, const char *media_uri, char *out, size_t size);

/* The media playlist. `msn` < 0: now. Else blocks until segment `msn` (and, unless `part`
 * < 0, its part `part`; an index past the segment's end means the next segment's first) is
 * in it. `skip`: a delta update, where one is allowed.
 * 0; -EAGAIN: nothing to show yet; -EINVAL: msn more than two ahead (400);
 * -ETIMEDOUT: not within three target durations (503); -EPIPE: ended.
 * `aborted` (may be NULL) is polled about every 250 ms while blocking; true: -ECANCELED. */
int pc_hls_playlist(struct pc_hls *hls, int64_t msn, int64_t part, bool skip,
	bool (*aborted)(void *data), void *data, struct pc_hls_text **ret_text);

/* The fragments of a segment or of a part of it, in order, each with a reference.
 * `msn` and `part` are those of the URI. Blocks for the hinted part (the one that comes
 * next), like the playlist. A hint always comes true: when the segment ended where one more
 * part of it was hinted, the next segment's first part is listed under that URI.
 * 0; -ENOENT: gone, or too far ahead; -ENOMEM; the rest as above. */
#define PC_HLS_SEGMENT_FRAGMENTS_MAX 1024
struct pc_hls_media {
	unsigned n;
	size_t size; /* bytes in all */
	struct pc_fragment **fragments; /* n of them */
	struct pc_hls_list *list; /* private */
};
int pc_hls_media(struct pc_hls *hls, int64_t msn, int64_t part, bool (*aborted)(void *data),
	void *data, struct pc_hls_media *ret_media); /* part < 0: the whole, finished segment */
void pc_hls_media_finish(struct pc_hls_media *media);

/* The newest key frame as a JPEG. Decoded once a key frame, however many ask, by the first
 * that does; the others wait for it. Needs the stack that core/still.h names.
 * 0; -EAGAIN: no frame yet; -EIO, -ENOMEM. `version` is the frame's capture time. */
int pc_hls_still(struct pc_hls *hls, struct pc_hls_text **ret_jpeg);

/* The init segment of an epoch that is still in the window; NULL otherwise. */
struct pc_init *pc_hls_init(struct pc_hls *hls, uint32_t epoch);

#endif
