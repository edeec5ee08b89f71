/* tests/unit/live/stream.h - a scripted stream of fragments into a window with an HLS on it.
 *
 * The fragments carry no picture: enough bytes to tell them apart. Times are scripted, no
 * clock runs; capture times start at the present, since dates are made from them.
 */
#ifndef PC_TEST_STREAM_H
#define PC_TEST_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fragment.h"
#include "core/window.h"
#include "http/hls.h"

#define STREAM_FIRST_MSN 100

struct stream {
	struct pc_fragment_pool *pool;
	struct pc_window *window;
	struct pc_hls *hls; /* NULL where a test wants none */
	struct pc_init *init;
	uint32_t epoch;
	uint64_t number;
	int64_t start_ns; /* capture time of tick 0 */
	int64_t ticks; /* decode time of the next frame */
	int64_t frame; /* ticks from frame to frame */
	int64_t jitter; /* every other frame is this late */
	int64_t segment; /* key frames are forced after this many ticks */
	int64_t next_key;
	size_t bytes; /* of a fragment */
};

/* `frame`: nominal and real cadence. `window_s`: of the playlist. */
void stream_open(struct stream *s, int64_t frame, double window_s);
void stream_close(struct stream *s); /* the HLS too, if it is still there */

/* A new init segment, as after the source was opened again. */
void stream_epoch(struct stream *s, int64_t nominal_frame);

/* Pushes the next frame: a key frame when one is due by the pipeline's rule, or when told. */
void stream_frame(struct stream *s, bool key);
void stream_frames(struct stream *s, unsigned n);

#endif
