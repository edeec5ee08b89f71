/* tests/unit/core/test_queue.c - queue and mailbox, alone and between threads. */
#include "core/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/clock.h"
#include "core/frame.h"
#include "core/thread.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static void test_order_and_limits(void)
{
	struct pc_queue *queue = NULL;
	test_int(pc_queue_create(0, 4, &queue), -EINVAL);
	test_int(pc_queue_create(4, 0, &queue), -EINVAL);
	test_int(pc_queue_create(SIZE_MAX / 2, 4, &queue), -ENOMEM);
	test_assert(queue == NULL);
	test_int(pc_queue_create(sizeof(int), 3, &queue), 0);
	int out = -1;
	test_int(pc_queue_try_pop(queue, &out), -EAGAIN);
	test_int(pc_queue_pop(queue, &out, 0), -ETIMEDOUT);
	test_int(pc_queue_pop(queue, &out, PC_NS_PER_MS), -ETIMEDOUT);
	test_int(out, -1);
	for (int round = 0; round < 5; round++) { /* around the ring */
		for (int i = 0; i < 3; i++) {
			test_int(pc_queue_push(queue, &(int){ round * 10 + i }), 0);
		}
		test_int(pc_queue_push(queue, &(int){ 99 }), -EAGAIN);
		test_int(pc_queue_length(queue), 3);
		for (int i = 0; i < 3; i++) {
			test_int(i == 1 ? pc_queue_pop(queue, &out, -1)
					: pc_queue_try_pop(queue, &out),
				0);
			test_int(out, round * 10 + i);
		}
		int skew = -round;
		test_int(pc_queue_push(queue, &skew), 0);
		test_int(pc_queue_pop(queue, &out, INT64_MAX), 0);
		test_int(out, skew);
	}
	test_int(pc_queue_push(queue, &(int){ 7 }), 0);
	pc_queue_close(queue);
	test_int(pc_queue_push(queue, &(int){ 8 }), -EPIPE);
	test_int(pc_queue_pop(queue, &out, -1), 0);
	test_int(out, 7);
	test_int(pc_queue_pop(queue, &out, -1), -EPIPE);
	test_int(pc_queue_try_pop(queue, &out), -EPIPE);
	pc_queue_destroy(queue);
	pc_queue_destroy(NULL);
}

struct item {
	unsigned producer, number;
	char padding[5];
};

#define N_ITEMS 2000
#define N_PRODUCERS 3
#define N_CONSUMERS 2

struct traffic {
	struct pc_queue *queue;
	atomic_uint taken;
	atomic_ulong sum;
	atomic_uint next_producer;
};

static void *produce(void *data)
{
	struct traffic *traffic = data;
	struct item item = { .producer = atomic_fetch_add(&traffic->next_producer, 1) };
	for (item.number = 1; item.number <= N_ITEMS;) {
		int r = pc_queue_push(traffic->queue, &item);
		test_assert(r == 0 || r == -EAGAIN);
		if (r == 0) {
			item.number++;
		} else {
			sched_yield();
		}
	}
	return NULL;
}

static void *consume(void *data)
{
	struct traffic *traffic = data;
	unsigned last[N_PRODUCERS] = { 0 };
	struct item item;
	int r;
	while ((r = pc_queue_pop(traffic->queue, &item, -1)) == 0) {
		test_assert(item.producer < N_PRODUCERS && item.number > last[item.producer]);
		last[item.producer] = item.number;
		atomic_fetch_add(&traffic->taken, 1);
		atomic_fetch_add(&traffic->sum, item.number);
	}
	test_int(r, -EPIPE);
	return NULL;
}

/* Every item comes out once, each producer's in order; closing wakes those who wait. */
static void test_threads(void)
{
	struct traffic traffic = { 0 };
	test_int(pc_queue_create(sizeof(struct item), 7, &traffic.queue), 0);
	pthread_t producers[N_PRODUCERS], consumers[N_CONSUMERS];
	for (unsigned i = 0; i < N_CONSUMERS; i++) {
		test_int(pc_thread_create(&consumers[i], "consume", consume, &traffic), 0);
	}
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		test_int(pc_thread_create(&producers[i], "produce", produce, &traffic), 0);
	}
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		pthread_join(producers[i], NULL);
	}
	pc_queue_close(traffic.queue);
	for (unsigned i = 0; i < N_CONSUMERS; i++) {
		pthread_join(consumers[i], NULL);
	}
	test_int(atomic_load(&traffic.taken), N_ITEMS * N_PRODUCERS);
	test_int(atomic_load(&traffic.sum), N_PRODUCERS * (N_ITEMS * (N_ITEMS + 1UL) / 2));
	pc_queue_destroy(traffic.queue);
}

/* Frames of a made-up producer: release marks them free again. */
#define N_FRAMES 4

struct slot {
	struct pc_frame frame;
	atomic_bool out;
};

static struct slot slots[N_FRAMES];

static void release(struct pc_frame *frame)
{
	bool was_out = atomic_exchange(&((struct slot *)frame)->out, false);
	test_assert(was_out);
}

static const struct pc_frame_impl slot_impl = { .release = release };

static void make_slots(void)
{
	for (unsigned i = 0; i < N_FRAMES; i++) {
		pc_frame_init(&slots[i].frame, &slot_impl);
		atomic_init(&slots[i].out, false);
	}
}

static void drop_slots(void)
{
	for (unsigned i = 0; i < N_FRAMES; i++) {
		test_assert(!atomic_load(&slots[i].out));
		pc_frame_finish(&slots[i].frame);
	}
}

static struct pc_frame *take_slot(void)
{
	for (unsigned i = 0; i < N_FRAMES; i++) {
		if (!atomic_exchange(&slots[i].out, true)) {
			pc_frame_publish(&slots[i].frame);
			return &slots[i].frame;
		}
	}
	return NULL;
}

static void test_mailbox(void)
{
	make_slots();
	struct pc_mailbox *mailbox;
	test_int(pc_mailbox_create(&mailbox), 0);
	test_assert(pc_mailbox_take(mailbox) == NULL);
	struct pc_frame *a = take_slot(), *b = take_slot();
	test_assert(!pc_mailbox_put(mailbox, a));
	test_assert(pc_mailbox_put(mailbox, b)); /* a went for it */
	pc_frame_unref(a);
	test_assert(!atomic_load(&slots[0].out));
	pc_frame_unref(b);
	test_assert(atomic_load(&slots[1].out));
	test_assert(pc_mailbox_take(mailbox) == b);
	test_assert(pc_mailbox_take(mailbox) == NULL);
	test_assert(!pc_mailbox_put(mailbox, b));
	pc_frame_unref(b);
	pc_mailbox_destroy(mailbox); /* drops b */
	pc_mailbox_destroy(NULL);
	drop_slots();
}

struct post {
	struct pc_mailbox *mailbox;
	atomic_bool done;
	unsigned dropped, taken;
};

static void *take_frames(void *data)
{
	struct post *post = data;
	uint64_t last = 0;
	for (;;) {
		bool done = atomic_load(&post->done);
		struct pc_frame *frame = pc_mailbox_take(post->mailbox);
		if (frame != NULL) {
			test_assert(frame->sequence > last);
			last = frame->sequence;
			post->taken++;
			pc_frame_unref(frame);
		} else if (done) {
			return NULL;
		}
	}
}

static void test_mailbox_threads(void)
{
	make_slots();
	struct post post = { 0 };
	pthread_t thread;
	test_int(pc_mailbox_create(&post.mailbox), 0);
	test_int(pc_thread_create(&thread, "take", take_frames, &post), 0);
	for (uint64_t i = 1; i <= 5000;) {
		struct pc_frame *frame = take_slot();
		if (frame == NULL) {
			continue;
		}
		frame->sequence = i++;
		post.dropped += pc_mailbox_put(post.mailbox, frame);
		pc_frame_unref(frame);
	}
	atomic_store(&post.done, true);
	pthread_join(thread, NULL);
	test_int(post.dropped + post.taken, 5000);
	pc_mailbox_destroy(post.mailbox);
	drop_slots();
}

static void test_no_memory(void)
{
	for (unsigned n = 1;; n++) {
		struct pc_queue *queue = NULL;
		struct pc_mailbox *mailbox = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_queue_create(8, 8, &queue);
		if (r == 0) {
			r = pc_mailbox_create(&mailbox);
		}
		bool happened = fault_disarm();
		test_int(r, happened ? -ENOMEM : 0);
		pc_mailbox_destroy(mailbox);
		pc_queue_destroy(queue);
		if (!happened) {
			test_int(n, 4);
			return;
		}
	}
}

int main(void)
{
	TEST_RUN(test_order_and_limits);
	TEST_RUN(test_threads);
	TEST_RUN(test_mailbox);
	TEST_RUN(test_mailbox_threads);
	TEST_RUN(test_no_memory);
	return test_end();
}
