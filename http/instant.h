/* http/instant.h - instant view: the fragments of one camera to one viewer, as they come.
 *
 * A viewer is a cursor into the window. It starts at the newest key fragment, gets every
 * fragment after it, and when it lags more than `max_lag_ns` behind (a slow client: its
 * write blocked) it is moved on to the newest key fragment, counted in viewer_skips. When the
 * epoch changes the new init segment goes first. Nothing is queued or allocated a viewer.
 *
 * The transport is a function: Civetweb's WebSocket (one binary message an init segment or
 * fragment; a text message {"codec": "...", "epoch": n, "width": pixels, "height": pixels,
 * "t": seconds, "utc": "..."} before each init: the next fragment's media time and when it
 * was captured) or a chunked /live.mp4 body.
 *
 * Thread: run() on the viewer's own thread; it blocks.
 */
#ifndef PC_HTTP_INSTANT_H
#define PC_HTTP_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fragment.h"
#include "core/stats.h"
#include "core/window.h"

struct pc_instant_transport {
	/* A new epoch: its init segment, and the (key) fragment that follows. 0, or negative
	 * errno: the viewer has gone. */
	int (*init)(void *data, const struct pc_init *init, const struct pc_fragment *first);
	int (*fragment)(void *data, const struct pc_fragment *fragment);
	/* Polled about every 250 ms, whether anything comes or not; true: the viewer has gone, or
	 * may look no longer. */
	bool (*aborted)(void *data);
};

struct pc_instant_config {
	struct pc_window *window;
	struct pc_camera_stats *stats;
	int64_t max_lag_ns; /* 0: 500 ms */
};

/* Serves until the viewer has gone (the transport's errno, -ECANCELED when `aborted` says so),
 * or the window closed (-EPIPE). */
int pc_instant_run(const struct pc_instant_config *config,
	const struct pc_instant_transport *transport, void *data);

#endif
