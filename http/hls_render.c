/* http/hls_render.c - the text of a media playlist (RFC 8216bis).
 *
 * Durations are written with five decimals, all by the same rounding, so that what is
 * not longer in ticks is not longer in the text either.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/clock.h"
#include "http/hls_internal.h"

/* More than any of these lines takes, with the longest numbers in it. */
#define HEAD_BYTES 512
#define SEGMENT_BYTES 320
#define PART_BYTES 160

#define SKIP_TARGETS 6 /* CAN-SKIP-UNTIL, in target durations: the least that is allowed */
#define PARTS_TARGETS 3 /* parts older than this are not listed */

struct out {
	char *data;
	size_t size, max;
};

static void put(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct out *out, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	const int n = vsnprintf(out->data + out->size, out->max - out->size, format, args);
	va_end(args);
	assert(n >= 0 && (size_t)n < out->max - out->size);
	out->size += (size_t)n;
}

/* In units of 10 us. */
static int64_t decimals(int64_t ticks)
{
	return (ticks * 100000 + PC_MEDIA_TIMESCALE / 2) / PC_MEDIA_TIMESCALE;
}

#define SECONDS_FORMAT "%" PRId64 ".%05" PRId64
#define SECONDS(units) (units) / 100000, (units) % 100000

static int64_t target_ticks(const struct pc_hls *hls)
{
	return (int64_t)hls->target_s * PC_MEDIA_TIMESCALE;
}

static int64_t parts_duration(const struct hls_segment *segment)
{
	int64_t sum = 0;
	for (unsigned i = 0; i < segment->n_parts; i++) {
		sum += segment->parts[i].duration;
	}
	return sum;
}

/* How many of the oldest segments lie wholly before the skip boundary, counted from the end
 * of the last complete one. */
static unsigned skippable(const struct pc_hls *hls)
{
	int64_t after = hls->listed_duration;
	unsigned n = 0;
	for (unsigned i = hls->listed; i < hls->n_segments && hls->segments[i]->complete; i++) {
		after -= hls->segments[i]->duration;
		if (after < SKIP_TARGETS * target_ticks(hls)) {
			break;
		}
		n++;
	}
	return n;
}

static void put_head(struct out *out, const struct pc_hls *hls, unsigned skipped)
{
	const int64_t part = decimals(hls->part_target);
	put(out,
		"#EXTM3U\n"
		"#EXT-X-VERSION:9\n"
		"#EXT-X-TARGETDURATION:%u\n"
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=" SECONDS_FORMAT
		",CAN-SKIP-UNTIL=%u.0\n"
		"#EXT-X-PART-INF:PART-TARGET=" SECONDS_FORMAT "\n"
		"#EXT-X-INDEPENDENT-SEGMENTS\n"
		"#EXT-X-MEDIA-SEQUENCE:%" PRId64 "\n"
		"#EXT-X-DISCONTINUITY-SEQUENCE:%" PRId64 "\n",
		hls->target_s, SECONDS(3 * part), SKIP_TARGETS * hls->target_s, SECONDS(part),
		hls->segments[hls->listed]->msn, hls->discontinuities);
	if (skipped > 0) {
		put(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%u\n", skipped);
	}
}

static void put_parts(struct out *out, const struct hls_segment *segment)
{
	for (unsigned i = 0; i < segment->n_parts; i++) {
		const struct hls_part *part = &segment->parts[i];
		put(out,
			"#EXT-X-PART:DURATION=" SECONDS_FORMAT ",URI=\"part-%" PRId64
			".%u.m4s\"%s\n",
			SECONDS(decimals(part->duration)), part->name_msn, part->name_part,
			part->independent ? ",INDEPENDENT=YES" : "");
	}
}

static void put_segment(struct out *out, const struct hls_segment *segment, bool map, bool parts)
{
	char when[PC_CLOCK_RFC3339_SIZE];
	pc_clock_format(segment->start_utc_ms, when);
	if (segment->discontinuity) {
		put(out, "#EXT-X-DISCONTINUITY\n");
	}
	if (map) {
		put(out, "#EXT-X-MAP:URI=\"init-%" PRIu32 ".mp4\"\n", segment->init->epoch);
	}
	put(out, "#EXT-X-PROGRAM-DATE-TIME:%s\n", when);
	if (parts) {
		put_parts(out, segment);
	}
	if (segment->complete) {
		put(out, "#EXTINF:" SECONDS_FORMAT ",\nseg-%" PRId64 ".m4s\n",
			SECONDS(decimals(segment->duration)), segment->msn);
	}
}

static size_t text_bound(const struct pc_hls *hls)
{
	size_t bound = HEAD_BYTES;
	for (unsigned i = hls->listed; i < hls->n_segments; i++) {
		bound += SEGMENT_BYTES + hls->segments[i]->n_parts * (size_t)PART_BYTES;
	}
	return bound;
}

int hls_render(struct pc_hls *hls, bool delta, struct pc_hls_text **ret_text)
{
	const unsigned skipped = delta ? skippable(hls) : 0;
	if (delta && skipped == 0) {
		*ret_text = NULL;
		return 0;
	}
	struct out out = { .max = text_bound(hls) };
	struct pc_hls_text *text = hls_text_new(hls->memory, out.max, &out.data);
	if (text == NULL) {
		return -ENOMEM;
	}
	put_head(&out, hls, skipped);

	/* From a segment's start to the playlist's end. */
	int64_t left = hls->listed_duration;
	const struct hls_segment *last = hls->segments[hls->n_segments - 1];
	if (!last->complete) {
		left += parts_duration(last);
	}
	const struct pc_init *init = NULL;
	for (unsigned i = hls->listed; i < hls->n_segments; i++) {
		const struct hls_segment *segment = hls->segments[i];
		const bool shown = segment->complete || segment->n_parts > 0;
		if (i - hls->listed >= skipped && shown) {
			put_segment(&out, segment, segment->init != init,
				left <= PARTS_TARGETS * target_ticks(hls) || !segment->complete);
		}
		init = segment->init;
		left -= segment->duration;
	}
	put(&out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-%" PRId64 ".%u.m4s\"\n", hls->hint_msn,
		hls->hint_part);
	text->size = out.size;
	*ret_text = text;
	return 0;
}
