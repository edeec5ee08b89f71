/* tests/unit/live/test_instant.c - a viewer's cursor: order, skips, epochs, ends. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/clock.h"
#include "http/instant.h"
#include "tests/unit/live/stream.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define SEEN_MAX 1024

/* A viewer whose transport writes down what it gets. */
struct viewer {
	struct pc_window *window;
	struct pc_camera_stats stats;
	int64_t max_lag_ns;
	unsigned inits;
	uint32_t epoch;
	unsigned n;
	uint64_t seen[SEEN_MAX];
	uint64_t last; /* ends with this fragment: -ECONNRESET; 0: never */
	atomic_bool gone;
	atomic_uint polls;
	bool want_key;
	/* A slow client: before it takes fragment `hold_at`, waits until released. */
	uint64_t hold_at;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool holding, released;
	int result;
	pthread_t thread;
};

static int take_init(void *data, const struct pc_init *init, const struct pc_fragment *first)
{
	struct viewer *viewer = data;
	test_assert(first->init == init && first->key);
	viewer->inits++;
	viewer->epoch = init->epoch;
	viewer->want_key = true;
	return 0;
}

static int take(void *data, const struct pc_fragment *fragment)
{
	struct viewer *viewer = data;
	test_assert(viewer->inits > 0 && fragment->init->epoch == viewer->epoch);
	const bool follows = viewer->n > 0 && viewer->seen[viewer->n - 1] + 1 == fragment->number;
	test_assert(fragment->key || (follows && !viewer->want_key));
	viewer->want_key = false;
	if (fragment->number == viewer->hold_at) {
		pthread_mutex_lock(&viewer->lock);
		viewer->holding = true;
		pthread_cond_broadcast(&viewer->changed);
		while (!viewer->released) {
			pthread_cond_wait(&viewer->changed, &viewer->lock);
		}
		pthread_mutex_unlock(&viewer->lock);
	}
	test_assert(viewer->n < SEEN_MAX);
	viewer->seen[viewer->n++] = fragment->number;
	return fragment->number == viewer->last ? -ECONNRESET : 0;
}

static bool is_gone(void *data)
{
	struct viewer *viewer = data;
	atomic_fetch_add(&viewer->polls, 1);
	return atomic_load(&viewer->gone);
}

static void *run(void *data)
{
	static const struct pc_instant_transport transport = {
		.init = take_init,
		.fragment = take,
		.aborted = is_gone,
	};
	struct viewer *viewer = data;
	const struct pc_instant_config config = {
		.window = viewer->window,
		.stats = &viewer->stats,
		.max_lag_ns = viewer->max_lag_ns,
	};
	viewer->result = pc_instant_run(&config, &transport, viewer);
	return NULL;
}

static void viewer_init(struct viewer *viewer, struct stream *s)
{
	memset(viewer, 0, sizeof(*viewer));
	viewer->window = s->window;
	viewer->max_lag_ns = INT64_MAX; /* scripted times are not the present */
	pthread_mutex_init(&viewer->lock, NULL);
	pthread_cond_init(&viewer->changed, NULL);
}

static void viewer_start(struct viewer *viewer)
{
	test_int(pthread_create(&viewer->thread, NULL, run, viewer), 0);
}

static void viewer_wait_holding(struct viewer *viewer)
{
	pthread_mutex_lock(&viewer->lock);
	while (!viewer->holding) {
		pthread_cond_wait(&viewer->changed, &viewer->lock);
	}
	pthread_mutex_unlock(&viewer->lock);
}

static void viewer_release(struct viewer *viewer)
{
	pthread_mutex_lock(&viewer->lock);
	viewer->released = true;
	pthread_cond_broadcast(&viewer->changed);
	pthread_mutex_unlock(&viewer->lock);
}

static void viewer_join(struct viewer *viewer, int result)
{
	test_int(pthread_join(viewer->thread, NULL), 0);
	test_int(viewer->result, result);
	pthread_cond_destroy(&viewer->changed);
	pthread_mutex_destroy(&viewer->lock);
}

static void test_from_newest_key_in_order(void)
{
	struct stream s;
	struct viewer viewer;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 75); /* keys: 1, 31, 61 */
	viewer_init(&viewer, &s);
	viewer.hold_at = 75;
	viewer.last = 200;
	viewer_start(&viewer);
	viewer_wait_holding(&viewer);
	viewer_release(&viewer);
	stream_frames(&s, 200 - 75);
	viewer_join(&viewer, -ECONNRESET);
	test_int(viewer.n, 200 - 60);
	test_int(viewer.seen[0], 61);
	test_int(viewer.seen[viewer.n - 1], 200);
	test_int(viewer.inits, 1);
	test_int(viewer.stats.viewer_skips, 0);
	stream_close(&s);
}

static void test_waits_for_the_first_key(void)
{
	struct stream s;
	struct viewer viewer;
	stream_open(&s, 3000, 6);
	viewer_init(&viewer, &s);
	viewer.last = 5;
	viewer_start(&viewer);
	while (atomic_load(&viewer.polls) == 0) {
		sched_yield();
	}
	stream_frames(&s, 5);
	viewer_join(&viewer, -ECONNRESET);
	test_int(viewer.seen[0], 1);
	stream_close(&s);
}

/* One slow client falls out of the window, another beside it misses nothing. */
static void test_slow_viewer(void)
{
	struct stream s;
	struct viewer slow;
	struct viewer quick;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 5);
	viewer_init(&slow, &s);
	viewer_init(&quick, &s);
	slow.hold_at = 3;
	slow.last = 700;
	quick.last = 700;
	viewer_start(&slow);
	viewer_start(&quick);
	viewer_wait_holding(&slow);
	for (int i = 0; i < 65; i++) { /* the window holds 12 s = 360 frames */
		stream_frames(&s, 10);
		sched_yield();
	}
	viewer_release(&slow);
	/* Wherever the quick one is by now, the window still has it: 345 frames at most. */
	stream_frames(&s, 45);
	viewer_join(&slow, -ECONNRESET);
	viewer_join(&quick, -ECONNRESET);
	test_int(slow.stats.viewer_skips, 1);
	test_int(slow.seen[2], 3);
	test_assert(slow.seen[3] > 600 && slow.seen[3] % 30 == 1);
	test_int(slow.inits, 1); /* the same epoch: the init segment is there already */
	if (quick.stats.viewer_skips == 0) { /* unless this machine let it sleep through 12 s */
		test_int(quick.n, 700 - quick.seen[0] + 1);
	}
	stream_close(&s);
}

/* Over the lag limit it moves on although the window still has what it wanted. */
static void test_lag(void)
{
	struct stream s;
	struct viewer viewer;
	stream_open(&s, 3000, 6);
	/* Muxed long ago: whatever comes is late, and a newer key frame is better. */
	s.start_ns -= 3600 * PC_NS_PER_S;
	stream_frames(&s, 5);
	viewer_init(&viewer, &s);
	viewer.max_lag_ns = 0; /* the default, 500 ms */
	viewer.hold_at = 4;
	viewer.last = 125;
	viewer_start(&viewer);
	viewer_wait_holding(&viewer);
	stream_frames(&s, 120); /* keys: 31, 61, 91, 121 */
	viewer_release(&viewer);
	viewer_join(&viewer, -ECONNRESET);
	test_int(viewer.stats.viewer_skips, 1);
	test_int(viewer.n, 4 + 5);
	test_int(viewer.seen[4], 121);
	stream_close(&s);
}

static void test_epoch(void)
{
	struct stream s;
	struct viewer viewer;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 5);
	viewer_init(&viewer, &s);
	viewer.last = 50;
	viewer_start(&viewer);
	stream_frames(&s, 5);
	stream_epoch(&s, 3000);
	stream_frames(&s, 40);
	viewer_join(&viewer, -ECONNRESET);
	test_int(viewer.inits, viewer.seen[0] < 11 ? 2 : 1);
	test_int(viewer.epoch, 2);
	stream_close(&s);
}

static void test_ends(void)
{
	struct stream s;
	struct viewer viewer;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 5);
	viewer_init(&viewer, &s);
	viewer_start(&viewer);
	atomic_store(&viewer.gone, true);
	viewer_join(&viewer, -ECANCELED);
	test_int(viewer.n, 5);

	struct viewer other;
	viewer_init(&other, &s);
	viewer_start(&other);
	pc_window_close(s.window);
	viewer_join(&other, -EPIPE);
	test_int(other.n, 5); /* what is there is shown first */

	struct stream empty;
	stream_open(&empty, 3000, 6);
	viewer_init(&viewer, &empty);
	viewer_start(&viewer);
	pc_window_close(empty.window);
	viewer_join(&viewer, -EPIPE);
	test_int(viewer.n, 0);
	stream_close(&empty);
	stream_close(&s);
}

static void test_allocates_nothing(void)
{
	struct stream s;
	struct viewer viewer;
	stream_open(&s, 3000, 6);
	stream_frames(&s, 300);
	viewer_init(&viewer, &s);
	viewer.last = 300;
	const uint64_t before = fault_calls(FAULT_ALLOC);
	(void)run(&viewer);
	test_int(fault_calls(FAULT_ALLOC), before);
	test_int(viewer.n, 30);
	stream_close(&s);
}

int main(void)
{
	TEST_RUN(test_from_newest_key_in_order);
	TEST_RUN(test_waits_for_the_first_key);
	TEST_RUN(test_slow_viewer);
	TEST_RUN(test_lag);
	TEST_RUN(test_epoch);
	TEST_RUN(test_ends);
	TEST_RUN(test_allocates_nothing);
	return test_end();
}
