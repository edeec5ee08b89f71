/* tests/unit/live/hls_dump.c - prints the playlists of a scripted stream, one after another,
 * for the checker (test_playlists.py): after each change "=== full" or "=== delta" and text. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/live/stream.h"
#include "tests/support/test.h"

static uint64_t shown;

static void show(const struct stream *s)
{
	struct pc_hls_text *text;
	if (pc_hls_playlist(s->hls, -1, -1, false, NULL, NULL, &text) < 0) {
		return;
	}
	const bool changed = text->version != shown;
	/* Every third reader asks for a delta. */
	const bool skip = text->version % 3 == 0;
	shown = text->version;
	if (changed && !skip) {
		printf("=== full\n%.*s", (int)text->size, text->data);
	}
	pc_hls_text_unref(text);
	if (changed && skip) {
		test_int(pc_hls_playlist(s->hls, -1, -1, true, NULL, NULL, &text), 0);
		printf("=== delta\n%.*s", (int)text->size, text->data);
		pc_hls_text_unref(text);
	}
}

static void run(struct stream *s, unsigned frames)
{
	for (unsigned i = 0; i < frames; i++) {
		stream_frame(s, false);
		show(s);
	}
}

static void play(struct stream *s, const char *name)
{
	/* Long enough for segments to leave the playlist and for deltas, at any cadence. */
	const unsigned long_run = (unsigned)(16 * PC_MEDIA_TIMESCALE / s->frame);
	run(s, long_run);
	if (strcmp(name, "gap") == 0) { /* frames lost within a segment, then a stall */
		s->ticks += 3 * s->frame;
		run(s, 77);
		s->ticks += 4 * PC_MEDIA_TIMESCALE;
		run(s, 100);
	} else if (strcmp(name, "epoch") == 0) { /* in mid-segment, then right after a part */
		run(s, 7);
		s->ticks += 2 * PC_MEDIA_TIMESCALE;
		stream_epoch(s, s->frame);
		run(s, 6);
		stream_epoch(s, s->frame);
		run(s, 300);
	} else if (strcmp(name, "early") == 0) { /* key frames that nobody asked for */
		for (unsigned i = 0; i < 40; i++) {
			run(s, i);
			stream_frame(s, true);
			show(s);
		}
	} else if (strcmp(name, "slow") == 0) { /* half the frames, as in low light */
		s->frame *= 2;
		run(s, 200);
	} else if (strcmp(name, "jitter") == 0) {
		s->jitter = s->frame / 4;
		run(s, 200);
	} else if (strcmp(name, "cadence") == 0) { /* another one, after the source reopened */
		s->ticks += PC_MEDIA_TIMESCALE;
		s->frame = PC_MEDIA_TIMESCALE / 25;
		stream_epoch(s, s->frame);
		run(s, 200);
	}
	run(s, long_run);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int64_t frame;
	} scenes[] = {
		{ "24", 3750 },
		{ "25", 3600 },
		{ "29.97", 3003 },
		{ "30", 3000 },
		{ "10", 9000 },
		{ "2", 45000 },
		{ "60", 1500 },
		{ "gap", 3000 },
		{ "epoch", 3000 },
		{ "early", 3000 },
		{ "slow", 3000 },
		{ "jitter", 3000 },
		{ "cadence", 3000 },
	};
	for (size_t i = 0; argc > 1 && i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		if (strcmp(argv[1], scenes[i].name) == 0) {
			struct stream s;
			stream_open(&s, scenes[i].frame, 12);
			play(&s, argv[1]);
			stream_close(&s);
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		puts(scenes[i].name);
	}
	return argc > 1;
}
