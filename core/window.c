/* core/window.c - the last fragments of one camera; see window.h.
 *
 * A ring indexed by the fragments' numbers. The lock is held for a few pointer moves;
 * listeners and the drop of the last references run outside it.
 */
#include "core/window.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"

struct pc_window_listener {
	void (*fn)(void *data, struct pc_fragment *fragment);
	void *data;
	struct pc_window_listener *next;
};

struct pc_window {
	atomic_uint refs;
	int64_t duration_ns;
	uint64_t capacity;

	pthread_mutex_t lock; /* guards what follows, up to the listeners */
	pthread_cond_t changed; /* a push or the close; on CLOCK_MONOTONIC */
	uint64_t first; /* number of the oldest fragment held */
	uint64_t end; /* number of the newest + 1; first == end: empty */
	bool closed;

	/* The writer's thread only. */
	struct pc_window_listener *listeners; /* in the order added */
	struct pc_window_listener *next_listener; /* to call in the push that is going on */

	struct pc_fragment *ring[]; /* `number` is at number % capacity */
};

int pc_window_create(int64_t duration_ns, unsigned max_fragments, struct pc_window **ret_window)
{
	if (duration_ns <= 0 || max_fragments == 0) {
		return -EINVAL;
	}
	struct pc_window *window =
		calloc(1, sizeof(*window) + (size_t)max_fragments * sizeof(void *));
	if (window == NULL) {
		return -ENOMEM;
	}
	atomic_init(&window->refs, 1);
	window->duration_ns = duration_ns;
	window->capacity = max_fragments;
	pthread_mutex_init(&window->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&window->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret_window = window;
	return 0;
}

struct pc_window *pc_window_ref(struct pc_window *window)
{
	unsigned before = atomic_fetch_add_explicit(&window->refs, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
	return window;
}

static struct pc_fragment **slot(struct pc_window *window, uint64_t number)
{
	return &window->ring[number % window->capacity];
}

void pc_window_unref(struct pc_window *window)
{
	if (window == NULL) {
		return;
	}
	unsigned before = atomic_fetch_sub_explicit(&window->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1) {
		return;
	}
	assert(window->listeners == NULL);
	for (uint64_t n = window->first; n < window->end; n++) {
		pc_fragment_unref(*slot(window, n));
	}
	pthread_cond_destroy(&window->changed);
	pthread_mutex_destroy(&window->lock);
	free(window);
}

/* Takes the oldest fragment out if it must make room for `next`; NULL when all may stay. */
static struct pc_fragment *take_old(struct pc_window *window, const struct pc_fragment *next)
{
	struct pc_fragment *old = NULL;
	pthread_mutex_lock(&window->lock);
	if (window->first < window->end) {
		struct pc_fragment *oldest = *slot(window, window->first);
		if (window->end - window->first == window->capacity ||
			next->capture_ns - oldest->capture_ns > window->duration_ns) {
			old = oldest;
			window->first++;
		}
	}
	pthread_mutex_unlock(&window->lock);
	return old;
}

void pc_window_push(struct pc_window *window, struct pc_fragment *fragment)
{
	assert(fragment->number > 0);
	struct pc_fragment *old;
	while ((old = take_old(window, fragment)) != NULL) {
		pc_fragment_unref(old);
	}
	pthread_mutex_lock(&window->lock);
	assert(!window->closed);
	if (window->end == 0) {
		window->first = window->end = fragment->number;
	}
	assert(fragment->number == window->end);
	*slot(window, fragment->number) = pc_fragment_ref(fragment);
	window->end++;
	pthread_mutex_unlock(&window->lock);

	struct pc_window_listener *listener = window->listeners;
	while (listener != NULL) {
		window->next_listener = listener->next; /* a removal may move it on */
		listener->fn(listener->data, fragment);
		listener = window->next_listener;
	}
	pthread_cond_broadcast(&window->changed);
}

int pc_window_add_listener(struct pc_window *window,
	void (*fn)(void *data, struct pc_fragment *fragment), void *data,
	struct pc_window_listener **ret_listener)
{
	struct pc_window_listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL) {
		return -ENOMEM;
	}
	listener->fn = fn;
	listener->data = data;
	struct pc_window_listener **at = &window->listeners;
	while (*at != NULL) {
		at = &(*at)->next;
	}
	*at = listener;
	*ret_listener = listener;
	return 0;
}

void pc_window_remove_listener(struct pc_window *window, struct pc_window_listener *listener)
{
	if (listener == NULL) {
		return;
	}
	struct pc_window_listener **at = &window->listeners;
	while (*at != listener) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = listener->next;
	if (window->next_listener == listener) {
		window->next_listener = listener->next;
	}
	free(listener);
}

void pc_window_close(struct pc_window *window)
{
	pthread_mutex_lock(&window->lock);
	window->closed = true;
	pthread_cond_broadcast(&window->changed);
	pthread_mutex_unlock(&window->lock);
}

/* Under the lock. */
static int get_locked(struct pc_window *window, uint64_t number, struct pc_fragment **ret_fragment)
{
	if (number < window->first) {
		return -ESTALE;
	}
	if (number >= window->end) {
		return window->closed ? -EPIPE : -EAGAIN;
	}
	*ret_fragment = pc_fragment_ref(*slot(window, number));
	return 0;
}

int pc_window_get(struct pc_window *window, uint64_t number, int64_t timeout_ns,
	struct pc_fragment **ret_fragment)
{
	int64_t now_ns = timeout_ns > 0 ? pc_clock_now_ns() : 0;
	int64_t until_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
	const struct timespec until = {
		.tv_sec = until_ns / PC_NS_PER_S,
		.tv_nsec = until_ns % PC_NS_PER_S,
	};
	pthread_mutex_lock(&window->lock);
	int waited = 0;
	int r;
	while ((r = get_locked(window, number, ret_fragment)) == -EAGAIN && waited != ETIMEDOUT) {
		if (timeout_ns < 0) {
			waited = pthread_cond_wait(&window->changed, &window->lock);
		} else if (timeout_ns == 0) {
			waited = ETIMEDOUT;
		} else {
			waited = pthread_cond_timedwait(&window->changed, &window->lock, &until);
		}
	}
	pthread_mutex_unlock(&window->lock);
	return r;
}

struct pc_fragment *pc_window_newest_key(struct pc_window *window)
{
	return pc_window_key_before(window, INT64_MAX);
}

struct pc_fragment *pc_window_key_before(struct pc_window *window, int64_t capture_ns)
{
	struct pc_fragment *found = NULL;
	pthread_mutex_lock(&window->lock);
	for (uint64_t n = window->end; n-- > window->first;) {
		struct pc_fragment *fragment = *slot(window, n);
		if (fragment->key) {
			found = fragment;
			if (fragment->capture_ns <= capture_ns) {
				break;
			}
		}
	}
	if (found != NULL) {
		pc_fragment_ref(found);
	}
	pthread_mutex_unlock(&window->lock);
	return found;
}

uint64_t pc_window_newest(struct pc_window *window)
{
	pthread_mutex_lock(&window->lock);
	uint64_t newest = window->end == 0 ? 0 : window->end - 1;
	pthread_mutex_unlock(&window->lock);
	return newest;
}
