/* http/instant.c - one viewer's way through the window; see instant.h. */
#include "http/instant.h"

#include <errno.h>

#include "core/clock.h"

#define POLL_NS (250 * PC_NS_PER_MS)
#define MAX_LAG_NS (500 * PC_NS_PER_MS)

struct viewer {
	const struct pc_instant_config *config;
	const struct pc_instant_transport *transport;
	void *data;
	int64_t max_lag_ns;
	uint64_t next; /* the fragment that the viewer gets next; 0: a key frame must come first */
	uint32_t epoch; /* whose init segment the viewer has; 0: none */
};

/* Waits for the fragment after the last; the newest key fragment at the start, and when what
 * was to come is gone. 0, -EAGAIN (nothing yet), -EPIPE. */
static int next_fragment(struct viewer *viewer, struct pc_fragment **ret_fragment)
{
	struct pc_window *window = viewer->config->window;
	if (viewer->next != 0) {
		const int r = pc_window_get(window, viewer->next, POLL_NS, ret_fragment);
		if (r != -ESTALE) {
			return r;
		}
		pc_counter_add(&viewer->config->stats->viewer_skips, 1);
	}
	*ret_fragment = pc_window_newest_key(window);
	if (*ret_fragment != NULL) {
		return 0;
	}
	/* None yet: whatever comes first is one, or is left out until one comes. */
	struct pc_fragment *any;
	const int r = pc_window_get(window, pc_window_newest(window) + 1, POLL_NS, &any);
	if (r == 0) {
		pc_fragment_unref(any);
	}
	viewer->next = 0;
	return r == -EPIPE ? r : -EAGAIN;
}

/* A viewer that lags gets the newest key fragment in the place of *fragment, if that is ahead. */
static void catch_up(struct viewer *viewer, struct pc_fragment **fragment)
{
	if (viewer->epoch == 0 || pc_clock_now_ns() - (*fragment)->muxed_ns <= viewer->max_lag_ns) {
		return;
	}
	struct pc_fragment *key = pc_window_newest_key(viewer->config->window);
	if (key == NULL || key->number <= (*fragment)->number) {
		pc_fragment_unref(key);
		return;
	}
	pc_fragment_unref(*fragment);
	*fragment = key;
	pc_counter_add(&viewer->config->stats->viewer_skips, 1);
}

static int send(struct viewer *viewer, const struct pc_fragment *fragment)
{
	if (fragment->init->epoch != viewer->epoch) {
		const int r = viewer->transport->init(viewer->data, fragment->init, fragment);
		if (r < 0) {
			return r;
		}
		viewer->epoch = fragment->init->epoch;
	}
	return viewer->transport->fragment(viewer->data, fragment);
}

int pc_instant_run(const struct pc_instant_config *config,
	const struct pc_instant_transport *transport, void *data)
{
	struct viewer viewer = {
		.config = config,
		.transport = transport,
		.data = data,
		.max_lag_ns = config->max_lag_ns > 0 ? config->max_lag_ns : MAX_LAG_NS,
	};
	int64_t polled_ns = pc_clock_now_ns();
	for (;;) {
		struct pc_fragment *fragment = NULL;
		int r = next_fragment(&viewer, &fragment);
		const int64_t now_ns = pc_clock_now_ns();
		if (r == -EAGAIN || now_ns - polled_ns >= POLL_NS) {
			polled_ns = now_ns;
			if (transport->aborted(data)) {
				if (r == 0) {
					pc_fragment_unref(fragment);
				}
				return -ECANCELED;
			}
		}
		if (r == -EAGAIN) {
			continue;
		}
		if (r < 0) {
			return r;
		}
		catch_up(&viewer, &fragment);
		viewer.next = fragment->number + 1;
		r = send(&viewer, fragment);
		pc_fragment_unref(fragment);
		if (r < 0) {
			return r;
		}
	}
}
