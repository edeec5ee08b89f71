/* http/hls.c - fragments become parts, segments and a playlist.
 *
 * The writer (the window's listener) cuts, renders and publishes. It takes the lock for
 * moments only and never waits for a reader; rendering runs outside of it, since nobody
 * else changes what is rendered. Readers sleep on one condition that is signalled once
 * a part, when there is something for all of them.
 */
#include "http/hls.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "http/hls_internal.h"

#define PC_LOG_MODULE "hls"
#include "core/log.h"

/* ---- segments ---- */

static void segment_clear(struct hls_segment *segment)
{
	for (unsigned i = 0; i < segment->n_fragments; i++) {
		pc_fragment_unref(segment->fragments[i]);
	}
	pc_init_unref(segment->init);
	segment->init = NULL;
	segment->n_fragments = 0;
	segment->n_parts = 0;
}

static void segment_free(struct hls_segment *segment)
{
	segment_clear(segment);
	free(segment->fragments);
	free(segment->parts);
	free(segment);
}

static void segment_recycle(struct pc_hls *hls, struct hls_segment *segment)
{
	if (hls->n_spare == sizeof(hls->spare) / sizeof(hls->spare[0])) {
		segment_free(segment);
		return;
	}
	segment_clear(segment);
	hls->spare[hls->n_spare++] = segment;
}

static struct hls_segment *segment_new(struct pc_hls *hls)
{
	if (hls->n_spare > 0) {
		return hls->spare[--hls->n_spare];
	}
	return calloc(1, sizeof(struct hls_segment));
}

/* Room for one more fragment, and for a part that it may begin. 0 or -ENOMEM. */
static int segment_reserve(struct hls_segment *segment)
{
	if (segment->n_fragments == segment->max_fragments) {
		const unsigned max = segment->max_fragments == 0 ? 64 : 2 * segment->max_fragments;
		struct pc_fragment **fragments =
			realloc(segment->fragments, max * sizeof(struct pc_fragment *));
		if (fragments == NULL) {
			return -ENOMEM;
		}
		segment->fragments = fragments;
		segment->max_fragments = max;
	}
	if (segment->n_parts == segment->max_parts) {
		const unsigned max = segment->max_parts == 0 ? 16 : 2 * segment->max_parts;
		struct hls_part *parts = realloc(segment->parts, max * sizeof(struct hls_part));
		if (parts == NULL) {
			return -ENOMEM;
		}
		segment->parts = parts;
		segment->max_parts = max;
	}
	return 0;
}

/* The segment that fragments go to; NULL: a key frame must come first. */
static struct hls_segment *growing(struct pc_hls *hls)
{
	if (hls->n_segments == 0 || hls->segments[hls->n_segments - 1]->complete) {
		return NULL;
	}
	return hls->segments[hls->n_segments - 1];
}

static void drop_oldest(struct pc_hls *hls)
{
	assert(hls->listed > 0);
	segment_recycle(hls, hls->segments[0]);
	hls->n_segments--;
	hls->listed--;
	memmove(hls->segments, hls->segments + 1, hls->n_segments * sizeof(struct hls_segment *));
}

static void unlist_oldest(struct pc_hls *hls)
{
	const struct hls_segment *oldest = hls->segments[hls->listed];
	hls->listed_duration -= oldest->duration;
	hls->discontinuities += oldest->discontinuity ? 1 : 0;
	hls->listed++;
}

/* After a segment became complete: lets go of what the playlist need not list any more. */
static void retire(struct pc_hls *hls)
{
	int64_t keep = 6 * (int64_t)hls->target_s * PC_MEDIA_TIMESCALE; /* the skip boundary */
	if (keep < hls->window_ticks) {
		keep = hls->window_ticks;
	}
	while (hls->n_segments - hls->listed > HLS_SEGMENTS_MIN &&
		hls->listed_duration - hls->segments[hls->listed]->duration >= keep) {
		unlist_oldest(hls);
	}
	while (hls->listed > HLS_SEGMENTS_GONE) {
		drop_oldest(hls);
	}
}

/* ---- cadence ---- */

/* The part target is fixed by the first cadence and stays: a playlist may not change it. It
 * does follow a new cadence of which no whole number of frames would make a part. */
static void set_cadence(struct pc_hls *hls, int64_t frame)
{
	if (frame <= 0) {
		frame = PC_MEDIA_TIMESCALE / 30;
	}
	if (frame == hls->frame) {
		return;
	}
	hls->frame = frame;
	hls->part_whole = hls->part_target / frame * frame;
	if (hls->part_whole * 100 < hls->part_target * 85 || hls->part_target == 0) {
		int64_t n = llround(hls->part_s * PC_MEDIA_TIMESCALE / (double)frame);
		n = n < 1 ? 1 : n;
		hls->part_target = n * frame;
		hls->part_whole = hls->part_target;
	}
}

/* The first fragment that no part has yet. */
static unsigned pending(const struct hls_segment *segment)
{
	if (segment->n_parts == 0) {
		return 0;
	}
	const struct hls_part *last = &segment->parts[segment->n_parts - 1];
	return last->first + last->count;
}

static const struct pc_fragment *newest(const struct hls_segment *segment)
{
	return segment->fragments[segment->n_fragments - 1];
}

/* Would the part that begins with `first` be too long with `fragment`? Half a frame of jitter
 * is none. */
static bool too_late(const struct pc_hls *hls, const struct pc_fragment *first,
	const struct pc_fragment *fragment)
{
	return fragment->decode_time - first->decode_time + hls->frame >
	       hls->part_whole + hls->frame / 2;
}

static bool is_full(const struct pc_hls *hls, const struct hls_segment *segment)
{
	const unsigned first = pending(segment);
	if (first == segment->n_fragments) {
		return false;
	}
	const int64_t start = segment->fragments[first]->decode_time;
	return newest(segment)->decode_time + hls->frame - start > hls->part_whole - hls->frame / 2;
}

/* The pending fragments become a part that lasts until `end` (ticks). */
static void cut_part(struct pc_hls *hls, struct hls_segment *segment, int64_t end, bool final)
{
	const unsigned first = pending(segment);
	assert(first < segment->n_fragments && segment->n_parts < segment->max_parts);
	int64_t duration = end - segment->fragments[first]->decode_time;
	if (llabs(duration - hls->part_whole) <= hls->frame / 2) {
		duration = hls->part_whole; /* on the cadence, but for jitter */
	}
	const int64_t least = (hls->part_target * 85 + 99) / 100;
	if (!final && duration < least) {
		duration = least;
	}
	if (duration > hls->part_target) {
		duration = hls->part_target; /* the rest is a hole: nothing was to be seen */
	}
	segment->parts[segment->n_parts++] = (struct hls_part){
		.first = first,
		.count = segment->n_fragments - first,
		.duration = duration,
		.independent = segment->fragments[first]->key,
		.name_msn = hls->hint_msn,
		.name_part = hls->hint_part,
	};
	hls->hint_msn = segment->msn;
	hls->hint_part = segment->n_parts;
}

/* ---- writing ---- */

/* The target duration follows the segments, and only upwards: a segment that is longer than
 * it stalls players, a changed one does not. */
static void set_target(struct pc_hls *hls, int64_t duration)
{
	if (hls->target_s == 0) {
		/* A frame more, so that jitter cannot carry a segment over the rounding edge. */
		duration += hls->frame;
	}
	const unsigned needed =
		(unsigned)((duration + PC_MEDIA_TIMESCALE / 2) / PC_MEDIA_TIMESCALE);
	if (hls->target_s == 0) {
		hls->target_s = needed < 1 ? 1 : needed;
	} else if (needed > hls->target_s) {
		pc_warn("a segment of %.2f s: the target duration rises from %u to %u s",
			(double)duration / PC_MEDIA_TIMESCALE, hls->target_s, needed);
		hls->target_s = needed;
	}
}

/* Ends the growing segment; `next` is the fragment that follows, NULL when some were lost.
 * true if that cut a part. */
static bool complete(
	struct pc_hls *hls, struct hls_segment *segment, const struct pc_fragment *next)
{
	const int64_t content_end = newest(segment)->decode_time + hls->frame;
	int64_t end = content_end;
	hls->gap = next == NULL || next->init->epoch != segment->init->epoch ||
		   next->decode_time - content_end > hls->part_target;
	if (!hls->gap) {
		end = next->decode_time;
	}
	const bool cut = pending(segment) < segment->n_fragments;
	if (cut) {
		cut_part(hls, segment, end, true);
		hls->hint_msn = segment->msn + 1;
		hls->hint_part = 0;
	}
	segment->duration = end - segment->fragments[0]->decode_time;
	segment->complete = true;
	hls->listed_duration += segment->duration;
	set_target(hls, segment->duration);
	retire(hls);
	return cut;
}

static void starve(struct pc_hls *hls)
{
	hls->gap = true;
	if (!hls->starved) {
		pc_warn("no memory: frames are left out until a key frame, ignoring");
		hls->starved = true;
	}
}

static struct hls_segment *begin(struct pc_hls *hls, const struct pc_fragment *fragment)
{
	if (hls->n_segments == HLS_SEGMENTS_MAX) {
		if (hls->listed == 0) {
			unlist_oldest(hls);
		}
		drop_oldest(hls);
	}
	struct hls_segment *segment = segment_new(hls);
	if (segment == NULL) {
		starve(hls);
		return NULL;
	}
	set_cadence(hls, fragment->init->frame_duration);
	segment->msn = hls->next_msn++;
	segment->init = pc_init_ref(fragment->init);
	segment->discontinuity = hls->gap;
	segment->complete = false;
	segment->duration = 0;
	segment->start_utc_ms = pc_clock_utc_ms_of(fragment->capture_ns);
	segment->size = 0;
	hls->segments[hls->n_segments++] = segment;
	return segment;
}

/* There is no room for a fragment: the segment ends before it, or never was. true if that
 * cut a part. */
static bool give_up(struct pc_hls *hls, struct hls_segment *segment)
{
	starve(hls);
	if (segment->n_fragments > 0) {
		return complete(hls, segment, NULL);
	}
	hls->n_segments--;
	hls->next_msn--;
	segment_recycle(hls, segment);
	return false;
}

static void add(struct pc_hls *hls, struct hls_segment *segment, struct pc_fragment *fragment)
{
	segment->fragments[segment->n_fragments++] = pc_fragment_ref(fragment);
	segment->size += fragment->size;
	hls->starved = false;
}

/* Not the frame that should follow: one that came after so long that the hole does not
 * belong into a segment, or one too many. */
static bool breaks(const struct pc_hls *hls, const struct hls_segment *segment,
	const struct pc_fragment *fragment)
{
	const int64_t hole = fragment->decode_time - newest(segment)->decode_time - hls->frame;
	const unsigned target_s = hls->target_s == 0 ? 1 : hls->target_s;
	return hole > (int64_t)target_s * PC_MEDIA_TIMESCALE ||
	       segment->n_fragments == PC_HLS_SEGMENT_FRAGMENTS_MAX;
}

/* Takes in one fragment; true if a part was cut. Under the lock. */
static bool take_in(struct pc_hls *hls, struct pc_fragment *fragment)
{
	bool cut = false;
	struct hls_segment *segment = growing(hls);
	if (segment != NULL) {
		const unsigned first = pending(segment);
		if (fragment->key || fragment->init->epoch != segment->init->epoch) {
			cut = complete(hls, segment, fragment);
			segment = NULL;
		} else if (breaks(hls, segment, fragment)) {
			cut = complete(hls, segment, NULL);
			segment = NULL;
		} else if (first < segment->n_fragments &&
			   too_late(hls, segment->fragments[first], fragment)) {
			cut_part(hls, segment, fragment->decode_time, false);
			cut = true;
		}
	}
	if (segment == NULL && fragment->key) {
		segment = begin(hls, fragment);
	}
	if (segment == NULL) {
		return cut; /* not shown: a segment starts with a key frame */
	}
	if (segment_reserve(segment) < 0) {
		return give_up(hls, segment) || cut;
	}
	add(hls, segment, fragment);
	if (is_full(hls, segment)) {
		cut_part(hls, segment, fragment->decode_time + hls->frame, false);
		cut = true;
	}
	return cut;
}

static void publish(struct pc_hls *hls)
{
	struct pc_hls_text *full;
	struct pc_hls_text *delta;
	if (hls_render(hls, false, &full) < 0) {
		return; /* what readers have stays right; the next part brings this one too */
	}
	if (hls_render(hls, true, &delta) < 0) {
		delta = NULL; /* a whole playlist answers as well */
	}
	pthread_mutex_lock(&hls->lock);
	struct pc_hls_text *old_full = hls->full;
	struct pc_hls_text *old_delta = hls->delta;
	full->version = ++hls->version;
	if (delta != NULL) {
		delta->version = full->version;
	}
	hls->full = full;
	hls->delta = delta;
	for (unsigned i = hls->n_segments; i-- > hls->listed;) {
		if (hls->segments[i]->n_parts > 0) {
			hls->last_msn = hls->segments[i]->msn;
			hls->last_parts = hls->segments[i]->n_parts;
			hls->last_complete = hls->last_msn - (hls->segments[i]->complete ? 0 : 1);
			break;
		}
	}
	pthread_mutex_unlock(&hls->lock);
	pthread_cond_broadcast(&hls->changed); /* after: whoever wakes finds the lock free */
	pc_hls_text_unref(old_full);
	pc_hls_text_unref(old_delta);
}

static void on_fragment(void *data, struct pc_fragment *fragment)
{
	struct pc_hls *hls = data;
	pthread_mutex_lock(&hls->lock);
	const bool cut = take_in(hls, fragment);
	pthread_mutex_unlock(&hls->lock);
	if (cut && hls->target_s != 0) {
		publish(hls);
	}
}

/* ---- life ---- */

int pc_hls_create(const struct pc_hls_config *config, struct pc_hls **ret_hls)
{
	struct pc_hls *hls = calloc(1, sizeof(*hls));
	if (hls == NULL) {
		return -ENOMEM;
	}
	int r = hls_memory_create(&hls->memory);
	if (r < 0) {
		goto fail_memory;
	}
	hls->window = pc_window_ref(config->window);
	hls->part_s = config->part_s;
	hls->window_ticks = llround(config->window_s * PC_MEDIA_TIMESCALE);
	hls->next_msn = config->first_msn;
	if (hls->next_msn == 0) {
		hls->next_msn = pc_clock_now_utc_ms() / 1000;
	}
	hls->hint_msn = hls->next_msn;
	hls->version = (uint64_t)hls->next_msn << 20;
	pthread_mutex_init(&hls->lock, NULL);
	pthread_mutex_init(&hls->still_lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&hls->changed, &attr);
	pthread_cond_init(&hls->left, &attr);
	pthread_condattr_destroy(&attr);
	r = pc_window_add_listener(hls->window, on_fragment, hls, &hls->listener);
	if (r < 0) {
		goto fail_listener;
	}
	*ret_hls = hls;
	return 0;

fail_listener:
	pthread_cond_destroy(&hls->left);
	pthread_cond_destroy(&hls->changed);
	pthread_mutex_destroy(&hls->still_lock);
	pthread_mutex_destroy(&hls->lock);
	pc_window_unref(hls->window);
	hls_memory_destroy(hls->memory);
fail_memory:
	free(hls);
	return r;
}

void pc_hls_destroy(struct pc_hls *hls)
{
	if (hls == NULL) {
		return;
	}
	pc_window_remove_listener(hls->window, hls->listener);
	pthread_mutex_lock(&hls->lock);
	hls->ended = true;
	pthread_cond_broadcast(&hls->changed);
	while (hls->inside > 0) {
		pthread_cond_wait(&hls->left, &hls->lock);
	}
	pthread_mutex_unlock(&hls->lock);

	for (unsigned i = 0; i < hls->n_segments; i++) {
		segment_free(hls->segments[i]);
	}
	for (unsigned i = 0; i < hls->n_spare; i++) {
		segment_free(hls->spare[i]);
	}
	pc_hls_text_unref(hls->full);
	pc_hls_text_unref(hls->delta);
	pc_hls_text_unref(hls->still);
	pthread_cond_destroy(&hls->left);
	pthread_cond_destroy(&hls->changed);
	pthread_mutex_destroy(&hls->still_lock);
	pthread_mutex_destroy(&hls->lock);
	pc_window_unref(hls->window);
	hls_memory_destroy(hls->memory);
	free(hls);
}
