/* tests/unit/core/test_window.c - the last fragments, one writer, many readers. */
#include "core/window.h"

#include <errno.h>
#include <pthread.h>

#include "core/clock.h"
#include "core/thread.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static struct pc_init *init;
static struct pc_fragment_pool *pool;

/* Fragment `number`, captured at number * 10 ms, a key frame every tenth. */
static struct pc_fragment *make(uint64_t number)
{
	uint8_t *data;
	struct pc_fragment *fragment = pc_fragment_new(pool, init, 64, &data);
	test_assert(fragment != NULL);
	memset(data, (int)(number % 256), 64);
	fragment->number = number;
	fragment->key = number % 10 == 1;
	fragment->capture_ns = (int64_t)number * 10 * PC_NS_PER_MS;
	return fragment;
}

static void push(struct pc_window *window, uint64_t number)
{
	struct pc_fragment *fragment = make(number);
	pc_window_push(window, fragment);
	pc_fragment_unref(fragment);
}

static int get(struct pc_window *window, uint64_t number)
{
	struct pc_fragment *fragment = NULL;
	int r = pc_window_get(window, number, 0, &fragment);
	if (r == 0) {
		test_int(fragment->number, number);
		pc_fragment_unref(fragment);
	} else {
		test_assert(fragment == NULL);
	}
	return r;
}

static uint64_t number_of(struct pc_fragment *fragment)
{
	uint64_t number = fragment != NULL ? fragment->number : 0;
	pc_fragment_unref(fragment);
	return number;
}

static void test_duration(void)
{
	struct pc_window *window = NULL;
	test_int(pc_window_create(0, 10, &window), -EINVAL);
	test_int(pc_window_create(1, 0, &window), -EINVAL);
	test_assert(window == NULL);
	test_int(pc_window_create(200 * PC_NS_PER_MS, 1000, &window), 0);
	test_int(pc_window_newest(window), 0);
	test_int(get(window, 1), -EAGAIN);
	test_assert(pc_window_newest_key(window) == NULL);
	test_assert(pc_window_key_before(window, 0) == NULL);
	for (uint64_t n = 1; n <= 100; n++) {
		push(window, n);
		test_int(pc_window_newest(window), n);
		test_int(get(window, n), 0);
		test_int(get(window, n + 1), -EAGAIN);
		test_int(get(window, n + 1000), -EAGAIN);
		test_int(get(window, 0), -ESTALE);
		uint64_t oldest = n > 20 ? n - 20 : 1; /* 200 ms back, ends included */
		test_int(get(window, oldest), 0);
		test_int(get(window, oldest - 1), -ESTALE);
	}
	/* 80..100 are there; keys are 81 and 91. */
	test_int(number_of(pc_window_newest_key(window)), 91);
	test_int(number_of(pc_window_key_before(window, 1000 * PC_NS_PER_MS)), 91);
	test_int(number_of(pc_window_key_before(window, 910 * PC_NS_PER_MS)), 91);
	test_int(number_of(pc_window_key_before(window, 909 * PC_NS_PER_MS)), 81);
	test_int(number_of(pc_window_key_before(window, 1)), 81); /* the oldest left */
	/* A long gap drops all but the newest. */
	struct pc_fragment *late = make(101);
	late->capture_ns += PC_NS_PER_S;
	pc_window_push(window, late);
	pc_fragment_unref(late);
	test_int(get(window, 100), -ESTALE);
	test_int(get(window, 101), 0);
	pc_window_close(window);
	test_int(get(window, 101), 0); /* what is there may still be read */
	test_int(get(window, 102), -EPIPE);
	test_int(get(window, 100), -ESTALE);
	struct pc_fragment *fragment;
	test_int(pc_window_get(window, 102, -1, &fragment), -EPIPE);
	pc_window_unref(window);
	pc_window_unref(NULL);
}

static void test_capacity(void)
{
	struct pc_window *window;
	test_int(pc_window_create(3600 * PC_NS_PER_S, 7, &window), 0);
	for (uint64_t n = 50; n < 90; n++) { /* the first may have any number */
		push(window, n);
		test_int(get(window, n > 56 ? n - 6 : 50), 0);
		test_int(get(window, n > 56 ? n - 7 : 49), -ESTALE);
	}
	/* Of 83..89 none is a key. */
	test_assert(pc_window_newest_key(window) == NULL);
	pc_window_unref(window);
}

struct ear {
	struct pc_window *window;
	struct pc_window_listener *listener;
	struct ear *victim; /* removed by the first call; NULL: none */
	char name;
	unsigned calls;
};

static char order[32];

static void hear(void *data, struct pc_fragment *fragment)
{
	struct ear *ear = data;
	ear->calls++;
	order[strlen(order)] = ear->name;
	test_int(pc_window_newest(ear->window), fragment->number);
	if (ear->victim != NULL) {
		pc_window_remove_listener(ear->window, ear->victim->listener);
		ear->victim->listener = NULL;
		ear->victim = NULL;
	}
}

/* Calls in order; one may remove itself, the next, or the one before, while it is called. */
static void test_listeners(void)
{
	for (unsigned victim = 0; victim < 3; victim++) {
		struct pc_window *window;
		struct ear ears[3];
		test_int(pc_window_create(PC_NS_PER_S, 10, &window), 0);
		for (unsigned i = 0; i < 3; i++) {
			ears[i] = (struct ear){ .window = window, .name = (char)('a' + i) };
			test_int(pc_window_add_listener(window, hear, &ears[i], &ears[i].listener),
				0);
		}
		memset(order, 0, sizeof(order));
		push(window, 1);
		test_str(order, "abc");
		ears[1].victim = &ears[victim];
		push(window, 2);
		test_str(order, victim == 2 ? "abcab" : "abcabc");
		push(window, 3);
		test_int(ears[victim].calls, victim == 2 ? 1 : 2);
		test_int(strlen(order), victim == 2 ? 7 : 8);
		for (unsigned i = 0; i < 3; i++) {
			pc_window_remove_listener(window, ears[i].listener);
		}
		pc_window_unref(window);
	}
}

static void test_push_allocates_nothing(void)
{
	struct pc_window *window;
	struct ear ear = { 0 };
	test_int(pc_window_create(PC_NS_PER_S, 30, &window), 0);
	ear.window = window;
	ear.name = 'x';
	memset(order, 0, sizeof(order));
	struct pc_fragment *fragments[25];
	for (uint64_t n = 1; n <= 25; n++) {
		fragments[n - 1] = make(n);
	}
	test_int(pc_window_add_listener(window, hear, &ear, &ear.listener), 0);
	uint64_t before = fault_calls(FAULT_ALLOC);
	for (unsigned i = 0; i < 25; i++) {
		pc_window_push(window, fragments[i]);
		test_int(get(window, i + 1), 0);
	}
	test_int(fault_calls(FAULT_ALLOC), before);
	for (unsigned i = 0; i < 25; i++) {
		pc_fragment_unref(fragments[i]);
	}
	pc_window_remove_listener(window, ear.listener);
	pc_window_unref(window);
}

#define N_PUSHES 4000
#define N_READERS 4

struct reader {
	struct pc_window *window;
	bool slow; /* looks at every fragment for long: falls out of the window */
	unsigned n_read, n_stale;
};

static void *read_window(void *data)
{
	struct reader *reader = data;
	uint64_t next = 1;
	for (;;) {
		struct pc_fragment *fragment;
		int r = pc_window_get(reader->window, next, -1, &fragment);
		if (r == -EPIPE) {
			break;
		}
		if (r == -ESTALE) {
			reader->n_stale++;
			struct pc_fragment *key = pc_window_newest_key(reader->window);
			test_assert(key == NULL || key->key);
			next = key != NULL && key->number >= next ? key->number : next + 1;
			pc_fragment_unref(key);
			continue;
		}
		test_int(r, 0);
		test_int(fragment->number, next);
		test_int(fragment->data[63], next % 256);
		if (reader->slow && reader->n_read % 8 == 0) {
			/* Waits for the writer to be far ahead, not for a time. */
			struct pc_fragment *ahead;
			if (pc_window_get(reader->window, next + 60, -1, &ahead) == 0) {
				pc_fragment_unref(ahead);
			}
			test_int(fragment->data[63], next % 256); /* still held */
		}
		pc_fragment_unref(fragment);
		reader->n_read++;
		next++;
	}
	pc_window_unref(reader->window);
	return NULL;
}

static void test_readers(void)
{
	struct pc_window *window;
	test_int(pc_window_create(PC_NS_PER_S, 50, &window), 0);
	struct reader readers[N_READERS] = { 0 };
	pthread_t threads[N_READERS];
	for (unsigned i = 0; i < N_READERS; i++) {
		readers[i].window = pc_window_ref(window);
		readers[i].slow = i == 0;
		test_int(pc_thread_create(&threads[i], "read", read_window, &readers[i]), 0);
	}
	for (uint64_t n = 1; n <= N_PUSHES; n++) {
		push(window, n);
		if (n % 16 == 0) {
			sched_yield();
		}
	}
	pc_window_close(window);
	pc_window_unref(window);
	for (unsigned i = 0; i < N_READERS; i++) {
		pthread_join(threads[i], NULL);
		test_assert(readers[i].n_read > 0 && readers[i].n_read <= N_PUSHES);
	}
	test_assert(readers[0].n_stale > 0);
}

/* A reader that waits is woken by the push that it waits for, and by no other end. */
static void test_waiting(void)
{
	struct pc_window *window;
	struct pc_fragment *fragment = NULL;
	test_int(pc_window_create(PC_NS_PER_S, 50, &window), 0);
	int64_t from_ns = pc_clock_now_ns();
	test_int(pc_window_get(window, 1, 20 * PC_NS_PER_MS, &fragment), -EAGAIN);
	test_assert(pc_clock_now_ns() - from_ns >= 20 * PC_NS_PER_MS);
	struct reader reader = { .window = pc_window_ref(window) };
	pthread_t thread;
	test_int(pc_thread_create(&thread, "read", read_window, &reader), 0);
	for (uint64_t n = 1; n <= 20; n++) {
		push(window, n);
	}
	pc_window_close(window);
	pthread_join(thread, NULL);
	test_int(reader.n_read, 20);
	test_int(reader.n_stale, 0);
	test_int(pc_window_get(window, 5, INT64_MAX, &fragment), 0);
	pc_fragment_unref(fragment);
	pc_window_unref(window);
}

static void test_no_memory(void)
{
	for (unsigned n = 1;; n++) {
		struct pc_window *window = NULL;
		struct pc_window_listener *listener = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_window_create(PC_NS_PER_S, 50, &window);
		if (r == 0) {
			r = pc_window_add_listener(window, hear, NULL, &listener);
		}
		bool happened = fault_disarm();
		test_int(r, happened ? -ENOMEM : 0);
		if (window != NULL) {
			pc_window_remove_listener(window, listener);
		}
		pc_window_unref(window);
		if (!happened) {
			test_int(n, 3);
			return;
		}
	}
}

int main(void)
{
	init = pc_init_new((const uint8_t *)"init", 4);
	test_int(pc_fragment_pool_create(4 << 20, &pool), 0);
	TEST_RUN(test_duration);
	TEST_RUN(test_capacity);
	TEST_RUN(test_listeners);
	TEST_RUN(test_push_allocates_nothing);
	TEST_RUN(test_readers);
	TEST_RUN(test_waiting);
	TEST_RUN(test_no_memory);
	test_int(atomic_load(&init->refs), 1); /* every fragment is back */
	pc_fragment_pool_destroy(pool);
	pc_init_unref(init);
	return test_end();
}
