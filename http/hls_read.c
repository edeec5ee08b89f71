/* http/hls_read.c - what readers ask of a camera's HLS: playlists, parts, init, still.
 *
 * A reader holds the lock for moments, and sleeps on the condition that the writer
 * signals once a part. While it is inside, the pc_hls cannot go.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/still.h"
#include "http/hls_internal.h"

#define ABORT_POLL_NS (250 * PC_NS_PER_MS)
#define MSN_AHEAD_MAX 2 /* a request for more is a mistake (RFC 8216bis 6.2.5.2) */
#define BLOCK_TARGETS 3 /* then Service Unavailable (the same) */
#define BANDWIDTH_MARGIN 1.1

struct waiter {
	int64_t deadline_ns;
	int64_t next_poll_ns;
	bool (*aborted)(void *data); /* may be NULL */
	void *data;
};

/* 0 with the lock held; -EPIPE without. */
static int enter(struct pc_hls *hls)
{
	pthread_mutex_lock(&hls->lock);
	if (hls->ended) {
		pthread_mutex_unlock(&hls->lock);
		return -EPIPE;
	}
	hls->inside++;
	return 0;
}

static void leave(struct pc_hls *hls)
{
	hls->inside--;
	if (hls->ended && hls->inside == 0) {
		pthread_cond_signal(&hls->left);
	}
	pthread_mutex_unlock(&hls->lock);
}

static struct waiter waiter_begin(const struct pc_hls *hls, bool (*aborted)(void *), void *data)
{
	const int64_t now_ns = pc_clock_now_ns();
	return (struct waiter){
		.deadline_ns = now_ns + BLOCK_TARGETS * (int64_t)hls->target_s * PC_NS_PER_S,
		.next_poll_ns = now_ns + ABORT_POLL_NS,
		.aborted = aborted,
		.data = data,
	};
}

/* Sleeps until something changed. 0, -ETIMEDOUT, -ECANCELED, -EPIPE. Lets go of the lock
 * meanwhile. */
static int wait_change(struct pc_hls *hls, struct waiter *waiter)
{
	int64_t until_ns = waiter->deadline_ns;
	if (waiter->aborted != NULL && waiter->next_poll_ns < until_ns) {
		until_ns = waiter->next_poll_ns;
	}
	const struct timespec until = {
		.tv_sec = until_ns / PC_NS_PER_S,
		.tv_nsec = until_ns % PC_NS_PER_S,
	};
	const int r = pthread_cond_timedwait(&hls->changed, &hls->lock, &until);
	if (hls->ended) {
		return -EPIPE;
	}
	const int64_t now_ns = pc_clock_now_ns();
	if (waiter->aborted != NULL && now_ns >= waiter->next_poll_ns) {
		waiter->next_poll_ns = now_ns + ABORT_POLL_NS;
		pthread_mutex_unlock(&hls->lock);
		const bool aborted = waiter->aborted(waiter->data);
		pthread_mutex_lock(&hls->lock);
		if (hls->ended || aborted) {
			return hls->ended ? -EPIPE : -ECANCELED;
		}
	}
	return r == ETIMEDOUT && now_ns >= waiter->deadline_ns ? -ETIMEDOUT : 0;
}

/* ---- playlists ---- */

static bool playlist_has(const struct pc_hls *hls, int64_t msn, int64_t part)
{
	if (part < 0) {
		return msn <= hls->last_complete;
	}
	/* A part past its segment's end is the next segment's first. */
	return msn < hls->last_msn || (msn == hls->last_msn && part < hls->last_parts);
}

static bool too_far(const struct pc_hls *hls, int64_t msn, int64_t part)
{
	if (msn > hls->last_msn + MSN_AHEAD_MAX) {
		return true;
	}
	/* The advance part limit: three seconds of parts. */
	const int64_t limit = hls->part_target < PC_MEDIA_TIMESCALE
				      ? INT64_C(3) * PC_MEDIA_TIMESCALE / hls->part_target
				      : 3;
	const int64_t last_part = msn > hls->last_msn ? -1 : (int64_t)hls->last_parts - 1;
	return msn >= hls->last_msn && part > last_part + limit;
}

int pc_hls_playlist(struct pc_hls *hls, int64_t msn, int64_t part, bool skip,
	bool (*aborted)(void *data), void *data, struct pc_hls_text **ret_text)
{
	int r = enter(hls);
	if (r < 0) {
		return r;
	}
	if (hls->full == NULL) {
		r = -EAGAIN;
	} else if (msn >= 0 && too_far(hls, msn, part)) {
		r = -EINVAL;
	} else if (msn >= 0) {
		struct waiter waiter = waiter_begin(hls, aborted, data);
		while (r == 0 && !playlist_has(hls, msn, part)) {
			r = wait_change(hls, &waiter);
		}
	}
	if (r == 0) {
		*ret_text = hls_text_ref(skip && hls->delta != NULL ? hls->delta : hls->full);
	}
	leave(hls);
	return r;
}

int pc_hls_multivariant(struct pc_hls *hls, const char *media_uri, char *out, size_t size)
{
	int r = enter(hls);
	if (r < 0) {
		return r;
	}
	if (hls->full == NULL) {
		leave(hls);
		return -EAGAIN;
	}
	double peak = 0;
	double bits = 0;
	for (unsigned i = hls->listed; i < hls->n_segments; i++) {
		const struct hls_segment *segment = hls->segments[i];
		if (!segment->complete || segment->duration <= 0) {
			continue;
		}
		const double rate =
			(double)segment->size * 8 * PC_MEDIA_TIMESCALE / (double)segment->duration;
		peak = rate > peak ? rate : peak;
		bits += (double)segment->size * 8;
	}
	const double average = hls->listed_duration > 0
				       ? bits * PC_MEDIA_TIMESCALE / (double)hls->listed_duration
				       : peak;
	const struct pc_init *init = hls->segments[hls->n_segments - 1]->init;
	/* What was measured, and a tenth for what comes. */
	r = snprintf(out, size,
		"#EXTM3U\n"
		"#EXT-X-VERSION:9\n"
		"#EXT-X-INDEPENDENT-SEGMENTS\n"
		"#EXT-X-STREAM-INF:BANDWIDTH=%.0f,AVERAGE-BANDWIDTH=%.0f,CODECS=\"%s\","
		"RESOLUTION=%ux%u,FRAME-RATE=%.3f\n"
		"%s\n",
		peak * BANDWIDTH_MARGIN + 1, average * BANDWIDTH_MARGIN + 1, init->codec,
		init->width, init->height, (double)PC_MEDIA_TIMESCALE / (double)hls->frame,
		media_uri);
	leave(hls);
	return r;
}

/* ---- media ---- */

static struct hls_segment *find_segment(const struct pc_hls *hls, int64_t msn)
{
	if (hls->n_segments == 0 || msn < hls->segments[0]->msn ||
		msn - hls->segments[0]->msn >= hls->n_segments) {
		return NULL;
	}
	return hls->segments[msn - hls->segments[0]->msn];
}

/* Where a part's name leads. 0; -EAGAIN: it comes next; -ENOENT. */
static int find_part(const struct pc_hls *hls, int64_t msn, int64_t part,
	const struct hls_segment **ret_segment, const struct hls_part **ret_part)
{
	const struct hls_segment *segment = find_segment(hls, msn);
	if (segment == NULL) {
		return msn == hls->hint_msn && part == hls->hint_part ? -EAGAIN : -ENOENT;
	}
	if (part > segment->n_parts) {
		return -ENOENT;
	}
	if (part == segment->n_parts) {
		if (!segment->complete) {
			return -EAGAIN;
		}
		segment = find_segment(hls, msn + 1);
		part = 0;
		if (segment == NULL || segment->n_parts == 0) {
			return -EAGAIN;
		}
	}
	*ret_segment = segment;
	*ret_part = &segment->parts[part];
	return 0;
}

static int collect(struct pc_hls *hls, const struct hls_segment *segment, unsigned first,
	unsigned n, struct pc_hls_media *ret_media)
{
	struct pc_hls_media media;
	const int r = hls_list_new(hls->memory, n, &media);
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < n; i++) {
		media.fragments[i] = pc_fragment_ref(segment->fragments[first + i]);
		media.size += media.fragments[i]->size;
	}
	media.n = n;
	*ret_media = media;
	return 0;
}

int pc_hls_media(struct pc_hls *hls, int64_t msn, int64_t part, bool (*aborted)(void *data),
	void *data, struct pc_hls_media *ret_media)
{
	int r = enter(hls);
	if (r < 0) {
		return r;
	}
	const struct hls_segment *segment;
	if (part < 0) {
		segment = find_segment(hls, msn);
		if (segment == NULL || !segment->complete) {
			r = -ENOENT;
		} else {
			r = collect(hls, segment, 0, segment->n_fragments, ret_media);
		}
		leave(hls);
		return r;
	}
	const struct hls_part *found;
	struct waiter waiter = waiter_begin(hls, aborted, data);
	r = find_part(hls, msn, part, &segment, &found);
	while (r == -EAGAIN) {
		r = wait_change(hls, &waiter);
		if (r == 0) {
			r = find_part(hls, msn, part, &segment, &found);
		}
	}
	if (r == 0) {
		r = collect(hls, segment, found->first, found->count, ret_media);
	}
	leave(hls);
	return r;
}

struct pc_init *pc_hls_init(struct pc_hls *hls, uint32_t epoch)
{
	if (enter(hls) < 0) {
		return NULL;
	}
	struct pc_init *init = NULL;
	for (unsigned i = hls->n_segments; i-- > 0 && init == NULL;) {
		if (hls->segments[i]->init->epoch == epoch) {
			init = pc_init_ref(hls->segments[i]->init);
		}
	}
	leave(hls);
	return init;
}

/* ---- still ---- */

/* Under still_lock: hls->still becomes the newest key frame's. */
static int renew_still(struct pc_hls *hls)
{
	struct pc_fragment *key = pc_window_newest_key(hls->window);
	if (key == NULL) {
		return -EAGAIN;
	}
	if (hls->still != NULL && hls->still->version == (uint64_t)key->capture_ns) {
		pc_fragment_unref(key);
		return 0;
	}
	uint8_t *jpeg;
	size_t size;
	int r = pc_still_jpeg(key, 0, &jpeg, &size);
	if (r == 0) {
		struct pc_hls_text *text = hls_text_adopt(hls->memory, jpeg, size);
		if (text != NULL) {
			text->version = (uint64_t)key->capture_ns;
			pc_hls_text_unref(hls->still);
			hls->still = text;
		} else {
			free(jpeg);
			r = -ENOMEM;
		}
	}
	pc_fragment_unref(key);
	return r;
}

int pc_hls_still(struct pc_hls *hls, struct pc_hls_text **ret_jpeg)
{
	int r = enter(hls);
	if (r < 0) {
		return r;
	}
	pthread_mutex_unlock(&hls->lock);

	pthread_mutex_lock(&hls->still_lock);
	r = renew_still(hls);
	if (r == 0) {
		*ret_jpeg = hls_text_ref(hls->still);
	}
	pthread_mutex_unlock(&hls->still_lock);

	pthread_mutex_lock(&hls->lock);
	leave(hls);
	return r;
}
