/* core/queue.h - bounded hand-over between threads.
 *
 * pc_queue: a ring of fixed-size items, many producers, many consumers. The
 * drop policy is the caller's: a full queue answers -EAGAIN and nothing blocks
 * a producer.
 * pc_mailbox: holds one frame, the newest; putting another one in drops (and
 * counts) the one that nobody took. It is what feeds inference.
 *
 * Neither allocates after create. Thread: any, unless said.
 */
#ifndef PC_CORE_QUEUE_H
#define PC_CORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pc_frame;
struct pc_queue;
struct pc_mailbox;

/* Items are copied in and out by memcpy. 0, -EINVAL (a zero size), -ENOMEM. */
int pc_queue_create(size_t item_size, size_t capacity, struct pc_queue **ret_queue);

/* Must be empty of anything that owns memory: items are not looked at. No
 * thread may be inside a call. NULL is fine. */
void pc_queue_destroy(struct pc_queue *queue);

/* 0, -EAGAIN when full, -EPIPE once closed. */
int pc_queue_push(struct pc_queue *queue, const void *item);

/* Never blocks: 0, -EAGAIN when empty, -EPIPE when empty and closed. */
int pc_queue_try_pop(struct pc_queue *queue, void *ret_item);

/* Blocks until an item comes, the queue is closed (-EPIPE, once it is empty) or
 * timeout_ns has passed (-ETIMEDOUT; negative: for ever). */
int pc_queue_pop(struct pc_queue *queue, void *ret_item, int64_t timeout_ns);

/* Ends the hand-over: pushes fail, pops drain what is left. */
void pc_queue_close(struct pc_queue *queue);

size_t pc_queue_length(struct pc_queue *queue);

int pc_mailbox_create(struct pc_mailbox **ret_mailbox);
void pc_mailbox_destroy(struct pc_mailbox *mailbox); /* drops what it holds; NULL is fine */

/* Takes its own reference on `frame`. true if an older one was dropped for it. */
bool pc_mailbox_put(struct pc_mailbox *mailbox, struct pc_frame *frame);

/* The frame with its reference, now the caller's; NULL when empty. */
struct pc_frame *pc_mailbox_take(struct pc_mailbox *mailbox);

#endif
