/* core/queue.c - bounded hand-over between threads; see queue.h. */
#include "core/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/frame.h"

struct pc_queue {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* an item came, or closed; on CLOCK_MONOTONIC */
	size_t item_size;
	size_t capacity;
	size_t head; /* the oldest item */
	size_t length;
	bool closed;
	unsigned char *items; /* capacity * item_size bytes */
};

struct pc_mailbox {
	_Atomic(struct pc_frame *) frame; /* with its reference; NULL: empty */
};

int pc_queue_create(size_t item_size, size_t capacity, struct pc_queue **ret_queue)
{
	if (item_size == 0 || capacity == 0) {
		return -EINVAL;
	}
	if (capacity > SIZE_MAX / item_size) {
		return -ENOMEM;
	}
	struct pc_queue *queue = calloc(1, sizeof(*queue));
	if (queue == NULL) {
		return -ENOMEM;
	}
	queue->items = calloc(capacity, item_size);
	if (queue->items == NULL) {
		free(queue);
		return -ENOMEM;
	}
	queue->item_size = item_size;
	queue->capacity = capacity;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret_queue = queue;
	return 0;
}

void pc_queue_destroy(struct pc_queue *queue)
{
	if (queue == NULL) {
		return;
	}
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue->items);
	free(queue);
}

int pc_queue_push(struct pc_queue *queue, const void *item)
{
	int r = 0;
	pthread_mutex_lock(&queue->lock);
	if (queue->closed) {
		r = -EPIPE;
	} else if (queue->length == queue->capacity) {
		r = -EAGAIN;
	} else {
		size_t at = (queue->head + queue->length) % queue->capacity;
		memcpy(queue->items + at * queue->item_size, item, queue->item_size);
		queue->length++;
		pthread_cond_signal(&queue->changed);
	}
	pthread_mutex_unlock(&queue->lock);
	return r;
}

/* Under the lock. */
static int pop_locked(struct pc_queue *queue, void *ret_item)
{
	if (queue->length == 0) {
		return queue->closed ? -EPIPE : -EAGAIN;
	}
	memcpy(ret_item, queue->items + queue->head * queue->item_size, queue->item_size);
	queue->head = (queue->head + 1) % queue->capacity;
	queue->length--;
	return 0;
}

int pc_queue_try_pop(struct pc_queue *queue, void *ret_item)
{
	pthread_mutex_lock(&queue->lock);
	int r = pop_locked(queue, ret_item);
	pthread_mutex_unlock(&queue->lock);
	return r;
}

int pc_queue_pop(struct pc_queue *queue, void *ret_item, int64_t timeout_ns)
{
	int64_t now_ns = timeout_ns > 0 ? pc_clock_now_ns() : 0;
	int64_t until_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
	const struct timespec until = {
		.tv_sec = until_ns / PC_NS_PER_S,
		.tv_nsec = until_ns % PC_NS_PER_S,
	};
	pthread_mutex_lock(&queue->lock);
	int waited = 0;
	int r;
	while ((r = pop_locked(queue, ret_item)) == -EAGAIN && waited != ETIMEDOUT) {
		if (timeout_ns < 0) {
			waited = pthread_cond_wait(&queue->changed, &queue->lock);
		} else if (timeout_ns == 0) {
			waited = ETIMEDOUT;
		} else {
			waited = pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
		}
	}
	pthread_mutex_unlock(&queue->lock);
	return r == -EAGAIN ? -ETIMEDOUT : r;
}

void pc_queue_close(struct pc_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

size_t pc_queue_length(struct pc_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	size_t length = queue->length;
	pthread_mutex_unlock(&queue->lock);
	return length;
}

int pc_mailbox_create(struct pc_mailbox **ret_mailbox)
{
	struct pc_mailbox *mailbox = calloc(1, sizeof(*mailbox));
	if (mailbox == NULL) {
		return -ENOMEM;
	}
	atomic_init(&mailbox->frame, NULL);
	*ret_mailbox = mailbox;
	return 0;
}

void pc_mailbox_destroy(struct pc_mailbox *mailbox)
{
	if (mailbox == NULL) {
		return;
	}
	pc_frame_unref(pc_mailbox_take(mailbox));
	free(mailbox);
}

bool pc_mailbox_put(struct pc_mailbox *mailbox, struct pc_frame *frame)
{
	struct pc_frame *old = atomic_exchange(&mailbox->frame, pc_frame_ref(frame));
	pc_frame_unref(old);
	return old != NULL;
}

struct pc_frame *pc_mailbox_take(struct pc_mailbox *mailbox)
{
	return atomic_exchange(&mailbox->frame, NULL);
}
