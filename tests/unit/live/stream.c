/* tests/unit/live/stream.c - see stream.h. */
#include "tests/unit/live/stream.h"

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "tests/support/test.h"

void stream_epoch(struct stream *s, int64_t nominal_frame)
{
	pc_init_unref(s->init);
	char text[32];
	s->epoch++;
	snprintf(text, sizeof(text), "init %u", s->epoch);
	s->init = pc_init_new((const uint8_t *)text, strlen(text));
	test_assert(s->init != NULL);
	s->init->epoch = s->epoch;
	s->init->width = 1280;
	s->init->height = 720;
	s->init->frame_duration = nominal_frame;
	snprintf(s->init->codec, sizeof(s->init->codec), "avc1.64001f");
	s->next_key = s->ticks;
}

void stream_open(struct stream *s, int64_t frame, double window_s)
{
	*s = (struct stream){ .frame = frame, .segment = PC_MEDIA_TIMESCALE, .bytes = 100 };
	s->start_ns = pc_clock_now_ns();
	test_int(pc_fragment_pool_create(64 << 20, &s->pool), 0);
	test_int(pc_window_create(12 * PC_NS_PER_S, 2048, &s->window), 0);
	const struct pc_hls_config config = {
		.window = s->window,
		.part_s = 0.2,
		.window_s = window_s,
		.first_msn = STREAM_FIRST_MSN,
	};
	test_int(pc_hls_create(&config, &s->hls), 0);
	stream_epoch(s, frame);
}

void stream_close(struct stream *s)
{
	pc_hls_destroy(s->hls);
	pc_window_unref(s->window);
	pc_init_unref(s->init);
	pc_fragment_pool_destroy(s->pool);
}

void stream_frame(struct stream *s, bool key)
{
	if (s->ticks + s->frame / 2 >= s->next_key) {
		key = true;
		s->next_key = s->ticks + s->segment;
	}
	uint8_t *data;
	struct pc_fragment *fragment = pc_fragment_new(s->pool, s->init, s->bytes, &data);
	test_assert(fragment != NULL);
	s->number++;
	memset(data, 0, s->bytes);
	memcpy(data, &s->number, sizeof(s->number));
	fragment->number = s->number;
	fragment->key = key;
	fragment->decode_time = s->ticks + (s->number % 2 == 0 ? s->jitter : 0);
	fragment->duration = s->init->frame_duration;
	fragment->capture_ns =
		s->start_ns + fragment->decode_time * PC_NS_PER_S / PC_MEDIA_TIMESCALE;
	fragment->muxed_ns = fragment->capture_ns;
	fragment->mdat_offset = 8;
	pc_window_push(s->window, fragment);
	pc_fragment_unref(fragment);
	s->ticks += s->frame;
}

void stream_frames(struct stream *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		stream_frame(s, false);
	}
}
