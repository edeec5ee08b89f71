/* tests/unit/live/test_hls.c - what http/hls*.c cuts, says and holds back. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/hls.h"
#include "tests/unit/live/stream.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

/* The playlist now, its dates replaced by "D". */
static char *playlist(struct stream *s, bool skip)
{
	static char out[65536];
	struct pc_hls_text *text;
	test_int(pc_hls_playlist(s->hls, -1, -1, skip, NULL, NULL, &text), 0);
	size_t n = 0;
	for (size_t i = 0; i < text->size;) {
		static const char date[] = "DATE-TIME:";
		out[n++] = text->data[i++];
		if (n >= strlen(date) && memcmp(out + n - strlen(date), date, strlen(date)) == 0) {
			out[n++] = 'D';
			while (text->data[i] != '\n') {
				i++;
			}
		}
		test_assert(n < sizeof(out) - 2);
	}
	out[n] = '\0';
	pc_hls_text_unref(text);
	return out;
}

static void test_golden_24(void)
{
	struct stream s;
	stream_open(&s, 3750, 6);
	stream_frames(&s, 24); /* the first segment's end is not known yet */
	struct pc_hls_text *text;
	test_int(pc_hls_playlist(s.hls, -1, -1, false, NULL, NULL, &text), -EAGAIN);
	char multivariant[512];
	test_int(pc_hls_multivariant(s.hls, "x", multivariant, sizeof(multivariant)), -EAGAIN);
	stream_frames(&s, 1);
	test_str(playlist(&s, false),
		"#EXTM3U\n"
		"#EXT-X-VERSION:9\n"
		"#EXT-X-TARGETDURATION:1\n"
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.62499,"
		"CAN-SKIP-UNTIL=6.0\n"
		"#EXT-X-PART-INF:PART-TARGET=0.20833\n"
		"#EXT-X-INDEPENDENT-SEGMENTS\n"
		"#EXT-X-MEDIA-SEQUENCE:100\n"
		"#EXT-X-DISCONTINUITY-SEQUENCE:0\n"
		"#EXT-X-MAP:URI=\"init-1.mp4\"\n"
		"#EXT-X-PROGRAM-DATE-TIME:D\n"
		"#EXT-X-PART:DURATION=0.20833,URI=\"part-100.0.m4s\",INDEPENDENT=YES\n"
		"#EXT-X-PART:DURATION=0.20833,URI=\"part-100.1.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20833,URI=\"part-100.2.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20833,URI=\"part-100.3.m4s\"\n"
		"#EXT-X-PART:DURATION=0.16667,URI=\"part-100.4.m4s\"\n"
		"#EXTINF:1.00000,\n"
		"seg-100.m4s\n"
		"#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-101.0.m4s\"\n");
	test_int(pc_hls_multivariant(s.hls, "m.m3u8", multivariant, sizeof(multivariant)),
		strlen(multivariant));
	/* 24 fragments of 100 bytes in a second, and a tenth. */
	test_str(multivariant, "#EXTM3U\n"
			       "#EXT-X-VERSION:9\n"
			       "#EXT-X-INDEPENDENT-SEGMENTS\n"
			       "#EXT-X-STREAM-INF:BANDWIDTH=21121,AVERAGE-BANDWIDTH=21121,"
			       "CODECS=\"avc1.64001f\",RESOLUTION=1280x720,FRAME-RATE=24.000\n"
			       "m.m3u8\n");
	stream_close(&s);
}

/* A new epoch right after a part: what was hinted as one more part of segment 108 begins
 * segment 109. The oldest segments have left, and a delta skips what lies before 6 s. */
static void test_golden_epoch(void)
{
	struct stream s;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 8 * 30 + 12);
	s.ticks += PC_MEDIA_TIMESCALE;
	stream_epoch(&s, 3000);
	stream_frames(&s, 6);
	static const char tail[] =
		"#EXT-X-PROGRAM-DATE-TIME:D\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-105.5.m4s\",INDEPENDENT=YES\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-106.1.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-106.2.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-106.3.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-106.4.m4s\"\n"
		"#EXTINF:1.00000,\n"
		"seg-106.m4s\n"
		"#EXT-X-PROGRAM-DATE-TIME:D\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-106.5.m4s\",INDEPENDENT=YES\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-107.1.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-107.2.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-107.3.m4s\"\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-107.4.m4s\"\n"
		"#EXTINF:1.00000,\n"
		"seg-107.m4s\n"
		"#EXT-X-PROGRAM-DATE-TIME:D\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-107.5.m4s\",INDEPENDENT=YES\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-108.1.m4s\"\n"
		"#EXTINF:0.40000,\n"
		"seg-108.m4s\n"
		"#EXT-X-DISCONTINUITY\n"
		"#EXT-X-MAP:URI=\"init-2.mp4\"\n"
		"#EXT-X-PROGRAM-DATE-TIME:D\n"
		"#EXT-X-PART:DURATION=0.20000,URI=\"part-108.2.m4s\",INDEPENDENT=YES\n"
		"#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-109.1.m4s\"\n";
	const char *whole = playlist(&s, false);
	test_assert(strstr(whole, "#EXT-X-MEDIA-SEQUENCE:102\n") != NULL);
	test_assert(strstr(whole, "seg-101.m4s") == NULL);
	test_str(whole + strlen(whole) - strlen(tail), tail);
	const char *delta = playlist(&s, true);
	test_assert(strstr(delta, "#EXT-X-SKIP") == NULL); /* 6.4 s: nothing may be skipped */

	struct pc_init *init = pc_hls_init(s.hls, 2);
	test_assert(init == s.init);
	pc_init_unref(init);
	test_assert(pc_hls_init(s.hls, 3) == NULL);
	stream_frames(&s, 30 * 12);
	test_assert(pc_hls_init(s.hls, 1) == NULL); /* its last segment is gone */
	whole = playlist(&s, false);
	test_assert(strstr(whole, "#EXT-X-DISCONTINUITY-SEQUENCE:1\n") != NULL);
	test_assert(strstr(whole, "#EXT-X-DISCONTINUITY\n") == NULL);
	stream_close(&s);
}

static void check_media(struct stream *s, int64_t msn, int64_t part, uint64_t first, unsigned n)
{
	struct pc_hls_media media;
	test_int(pc_hls_media(s->hls, msn, part, NULL, NULL, &media), 0);
	test_int(media.n, n);
	test_int(media.size, n * s->bytes);
	for (unsigned i = 0; i < n; i++) {
		test_int(media.fragments[i]->number, first + i);
	}
	pc_hls_media_finish(&media);
	pc_hls_media_finish(&media); /* twice is fine */
}

static void test_media(void)
{
	struct stream s;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 3 * 30 + 12);
	check_media(&s, 100, -1, 1, 30);
	check_media(&s, 102, 4, 85, 6);
	check_media(&s, 102, 5, 91, 6); /* the hint's name for the next segment's first part */
	check_media(&s, 103, 0, 91, 6); /* and its own */
	check_media(&s, 103, 1, 97, 6);
	struct pc_hls_media media;
	test_int(pc_hls_media(s.hls, 99, -1, NULL, NULL, &media), -ENOENT);
	test_int(pc_hls_media(s.hls, 103, -1, NULL, NULL, &media), -ENOENT); /* growing */
	test_int(pc_hls_media(s.hls, 103, 3, NULL, NULL, &media), -ENOENT); /* one after the hint */
	test_int(pc_hls_media(s.hls, 104, 0, NULL, NULL, &media), -ENOENT);
	test_int(pc_hls_media(s.hls, 102, 6, NULL, NULL, &media), -ENOENT);
	test_int(pc_hls_media(s.hls, INT64_MAX, INT64_MAX, NULL, NULL, &media), -ENOENT);
	/* Held by a reader, a segment's fragments outlive the segment and the HLS. */
	test_int(pc_hls_media(s.hls, 100, -1, NULL, NULL, &media), 0);
	stream_frames(&s, 30 * 20);
	struct pc_hls_media gone;
	test_int(pc_hls_media(s.hls, 100, -1, NULL, NULL, &gone), -ENOENT);
	struct pc_hls_text *text;
	test_int(pc_hls_playlist(s.hls, -1, -1, false, NULL, NULL, &text), 0);
	/* The two segments before the playlist's first can still be had. */
	const char *at = strstr(playlist(&s, false), "MEDIA-SEQUENCE:");
	const int64_t first = strtoll(at + strlen("MEDIA-SEQUENCE:"), NULL, 10);
	test_assert(first > 110);
	check_media(&s, first - 2, -1, (uint64_t)(first - 102) * 30 + 1, 30);
	check_media(&s, first - 2, 3, (uint64_t)(first - 102) * 30 + 19, 6);
	stream_close(&s);
	test_int(media.fragments[29]->number, 30);
	pc_hls_media_finish(&media);
	test_assert(strncmp(text->data, "#EXTM3U\n", 8) == 0);
	pc_hls_text_unref(text);
}

/* ---- blocking ---- */

struct reader {
	struct stream *s;
	int64_t msn, part;
	bool media;
	atomic_int polls; /* of `aborted` */
	int abort_after; /* polls; 0: never */
	atomic_bool done;
	int result;
	int64_t msn_seen; /* highest part name in the answer */
	unsigned n_fragments;
	uint64_t first_fragment;
	pthread_t thread;
};

static bool aborted(void *data)
{
	struct reader *reader = data;
	const int polls = atomic_fetch_add(&reader->polls, 1) + 1;
	return reader->abort_after > 0 && polls >= reader->abort_after;
}

static void *read_thread(void *data)
{
	struct reader *reader = data;
	if (reader->media) {
		struct pc_hls_media media = { 0 };
		reader->result = pc_hls_media(
			reader->s->hls, reader->msn, reader->part, aborted, reader, &media);
		if (reader->result == 0) {
			reader->n_fragments = media.n;
			reader->first_fragment = media.fragments[0]->number;
			pc_hls_media_finish(&media);
		}
	} else {
		struct pc_hls_text *text;
		reader->result = pc_hls_playlist(
			reader->s->hls, reader->msn, reader->part, false, aborted, reader, &text);
		if (reader->result == 0) {
			pc_hls_text_unref(text);
		}
	}
	atomic_store(&reader->done, true);
	return NULL;
}

static void reader_start(struct reader *reader, struct stream *s, int64_t msn, int64_t part)
{
	reader->s = s;
	reader->msn = msn;
	reader->part = part;
	test_int(pthread_create(&reader->thread, NULL, read_thread, reader), 0);
}

static void reader_join(struct reader *reader, int result)
{
	test_int(pthread_join(reader->thread, NULL), 0);
	test_int(reader->result, result);
}

/* Does not end before the frame that makes its part, and ends with it. No time is measured:
 * a reader that woke too early would be done before the frame is pushed, and fail. */
static void test_blocking(void)
{
	struct stream s;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 2 * 30 + 6 + 5); /* 102.0 is listed; one frame short of 102.1 */
	struct reader part = { 0 };
	struct reader over = { 0 };
	struct reader whole = { 0 };
	struct reader hint = { .media = true };
	struct reader next = { 0 };
	reader_start(&part, &s, 102, 1);
	reader_start(&hint, &s, 102, 1);
	reader_start(&over, &s, 102, 7); /* past the end: 103.0 */
	reader_start(&whole, &s, 102, -1);
	reader_start(&next, &s, 103, 0);
	/* Those that are there answer at once. */
	struct reader now = { 0 };
	reader_start(&now, &s, 102, 0);
	reader_join(&now, 0);
	now = (struct reader){ 0 };
	reader_start(&now, &s, 101, 99); /* = 102.0 */
	reader_join(&now, 0);
	now = (struct reader){ 0 };
	reader_start(&now, &s, 101, -1);
	reader_join(&now, 0);
	now = (struct reader){ 0 };
	reader_start(&now, &s, 0, 0);
	reader_join(&now, 0);
	test_assert(!atomic_load(&part.done) && !atomic_load(&hint.done));
	stream_frames(&s, 1);
	reader_join(&part, 0);
	reader_join(&hint, 0);
	test_int(hint.n_fragments, 6);
	test_int(hint.first_fragment, 2 * 30 + 7);
	test_assert(!atomic_load(&over.done) && !atomic_load(&whole.done));
	stream_frames(&s, 18);
	struct reader last_hint = { .media = true };
	reader_start(&last_hint, &s, 102, 5);
	test_assert(!atomic_load(&next.done));
	stream_frames(&s, 6); /* 103.0 */
	reader_join(&over, 0);
	reader_join(&whole, 0);
	reader_join(&next, 0);
	reader_join(&last_hint, 0);
	test_int(last_hint.first_fragment, 91);
	stream_close(&s);
}

static void test_refused(void)
{
	struct stream s;
	stream_open(&s, 3000, 6);
	struct pc_hls_text *text;
	test_int(pc_hls_playlist(s.hls, 5, 0, false, NULL, NULL, &text), -EAGAIN);
	stream_frames(&s, 36); /* 101.0 */
	test_int(pc_hls_playlist(s.hls, 104, -1, false, NULL, NULL, &text), -EINVAL);
	test_int(pc_hls_playlist(s.hls, 104, 0, false, NULL, NULL, &text), -EINVAL);
	test_int(pc_hls_playlist(s.hls, INT64_MAX, 0, false, NULL, NULL, &text), -EINVAL);
	test_int(pc_hls_playlist(s.hls, 101, 16, false, NULL, NULL, &text), -EINVAL);
	test_int(pc_hls_playlist(s.hls, 101, INT64_MAX, false, NULL, NULL, &text), -EINVAL);
	test_int(pc_hls_playlist(s.hls, 103, 15, false, NULL, NULL, &text), -EINVAL);
	test_int(pc_hls_playlist(s.hls, 100, INT64_MAX, false, NULL, NULL, &text), 0);
	pc_hls_text_unref(text);
	/* A source that stands: three target durations, then 503. One that is asked about a
	 * client that went away says so. */
	struct reader late = { 0 };
	struct reader gone = { .abort_after = 2 };
	struct reader gone_media = { .abort_after = 1, .media = true };
	reader_start(&late, &s, 102, 0);
	reader_start(&gone, &s, 102, 0);
	reader_start(&gone_media, &s, 101, 1);
	reader_join(&gone, -ECANCELED);
	test_int(gone.polls, 2);
	reader_join(&gone_media, -ECANCELED);
	reader_join(&late, -ETIMEDOUT);
	test_assert(atomic_load(&late.polls) >= 2);
	stream_close(&s);
}

static void test_destroy_with_waiters(void)
{
	struct stream s;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 36);
	struct reader readers[8] = { { 0 } };
	for (size_t i = 0; i < 8; i++) {
		readers[i].media = i % 2 == 1;
		reader_start(&readers[i], &s, 101, 1);
	}
	/* Some may not be inside yet: they find it gone, which a caller must rule out. */
	for (size_t i = 0; i < 8; i++) {
		while (atomic_load(&readers[i].polls) == 0) {
			sched_yield();
		}
	}
	pc_hls_destroy(s.hls);
	s.hls = NULL;
	for (size_t i = 0; i < 8; i++) {
		reader_join(&readers[i], -EPIPE);
	}
	stream_close(&s);
}

/* Readers of all kinds beside the writer; for TSan, and nobody misses a part. */
static atomic_bool writer_done;

static void *follow(void *data)
{
	struct stream *s = data;
	int64_t msn = 101;
	int64_t part = 0;
	unsigned parts = 0;
	while (!atomic_load(&writer_done)) {
		struct pc_hls_text *text;
		if (pc_hls_playlist(s->hls, -1, -1, false, NULL, NULL, &text) == 0) {
			pc_hls_text_unref(text);
		}
		struct pc_hls_media media;
		int r = pc_hls_media(s->hls, msn, part, NULL, NULL, &media);
		if (r == 0) {
			test_int(media.n, 6);
			pc_hls_media_finish(&media);
			parts++;
			part++;
			if (part == 5) {
				part = 0;
				msn++;
			}
		} else {
			test_assert(r == -ENOENT || r == -ETIMEDOUT);
			char out[512];
			(void)pc_hls_multivariant(s->hls, "x", out, sizeof(out));
			pc_init_unref(pc_hls_init(s->hls, 1));
		}
	}
	test_assert(parts > 0);
	return NULL;
}

static void test_threads(void)
{
	struct stream s;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 36);
	atomic_store(&writer_done, false);
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++) {
		test_int(pthread_create(&threads[i], NULL, follow, &s), 0);
	}
	for (unsigned i = 0; i < 60; i++) {
		stream_frames(&s, 6);
		sched_yield();
	}
	atomic_store(&writer_done, true);
	/* One that still waits for a hinted part gets it, or its time runs out. */
	stream_frames(&s, 60);
	for (size_t i = 0; i < 4; i++) {
		test_int(pthread_join(threads[i], NULL), 0);
	}
	stream_close(&s);
}

/* ---- memory ---- */

static void read_all(struct stream *s, int64_t msn)
{
	struct pc_hls_text *text;
	if (pc_hls_playlist(s->hls, -1, -1, false, NULL, NULL, &text) == 0) {
		pc_hls_text_unref(text);
	}
	if (pc_hls_playlist(s->hls, -1, -1, true, NULL, NULL, &text) == 0) {
		pc_hls_text_unref(text);
	}
	struct pc_hls_media media;
	if (pc_hls_media(s->hls, msn, -1, NULL, NULL, &media) == 0) {
		pc_hls_media_finish(&media);
	}
	if (pc_hls_media(s->hls, msn, 2, NULL, NULL, &media) == 0) {
		pc_hls_media_finish(&media);
	}
}

static void test_steady_state_allocates_nothing(void)
{
	struct stream s;
	stream_open(&s, 3000, 12);
	stream_frames(&s, 30 * 30);
	read_all(&s, 120);
	const uint64_t before = fault_calls(FAULT_ALLOC);
	for (int i = 0; i < 60; i++) {
		stream_frames(&s, 30);
		read_all(&s, 128 + i);
	}
	test_int(fault_calls(FAULT_ALLOC), before);
	stream_close(&s);
}

static void test_create_without_memory(void)
{
	struct pc_window *window;
	test_int(pc_window_create(PC_NS_PER_S, 100, &window), 0);
	const struct pc_hls_config config = { .window = window, .part_s = 0.2, .window_s = 6 };
	unsigned n = 1;
	for (;; n++) {
		struct pc_hls *hls;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_hls_create(&config, &hls);
		if (!fault_disarm()) {
			test_int(r, 0);
			pc_hls_destroy(hls);
			break;
		}
		test_int(r, -ENOMEM);
	}
	test_assert(n > 2);
	pc_hls_destroy(NULL);
	pc_window_unref(window);
}

static void swallow(void *data, enum pc_log_level level, const char *module, const char *text)
{
	(void)level;
	(void)module;
	(void)text;
	++*(unsigned *)data;
}

/* Whatever allocation fails, the stream goes on with the next key frame, and readers never
 * get a wrong answer: at most an older playlist, or -ENOMEM. */
static void test_running_without_memory(void)
{
	unsigned warnings = 0;
	pc_log_set_hook(swallow, &warnings);
	unsigned n = 1;
	for (;; n++) {
		struct stream s;
		stream_open(&s, 3000, 6);
		/* The stream's own allocations would fail too: the pool has its blocks. */
		struct pc_fragment *held[512];
		uint8_t *data;
		for (size_t i = 0; i < 512; i++) {
			held[i] = pc_fragment_new(s.pool, s.init, s.bytes, &data);
		}
		for (size_t i = 0; i < 512; i++) {
			pc_fragment_unref(held[i]);
		}
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		for (int i = 0; i < 4; i++) {
			stream_frames(&s, 30);
			read_all(&s, 100 + i);
		}
		const bool fault = fault_disarm();
		stream_frames(&s, 60);
		const char *text = playlist(&s, false);
		test_assert(strstr(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=") != NULL);
		struct pc_hls_media media;
		test_int(pc_hls_media(s.hls, 103, -1, NULL, NULL, &media), 0);
		test_assert(media.fragments[0]->key);
		pc_hls_media_finish(&media);
		stream_close(&s);
		if (!fault) {
			break;
		}
	}
	test_assert(n > 8);
	test_assert(warnings > 0);
	pc_log_set_hook(NULL, NULL);
}

int main(void)
{
	TEST_RUN(test_golden_24);
	TEST_RUN(test_golden_epoch);
	TEST_RUN(test_media);
	TEST_RUN(test_blocking);
	TEST_RUN(test_refused);
	TEST_RUN(test_destroy_with_waiters);
	TEST_RUN(test_threads);
	TEST_RUN(test_steady_state_allocates_nothing);
	TEST_RUN(test_create_without_memory);
	TEST_RUN(test_running_without_memory);
	return test_end();
}
