/* core/window.h - the last fragments of one camera.
 *
 * What the live views read and what a recording's pre-roll is cut from. One
 * writer (the media loop) pushes; readers each keep a cursor, the number of the
 * next fragment that they want. A reader's queue is the window itself: one that
 * falls behind more than it likes asks for the newest key fragment instead, and
 * one that fell out of the window is told so (-ESTALE). No reader can hold up
 * the writer or another reader.
 *
 * Thread: push and the listener calls from the writer's thread; all else any.
 */
#ifndef PC_CORE_WINDOW_H
#define PC_CORE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fragment.h"

struct pc_window;
struct pc_window_listener;

/* Keeps fragments of the last `duration_ns` (by capture time), at most
 * `max_fragments` of them. 0, -EINVAL, -ENOMEM. Reference-counted. */
int pc_window_create(int64_t duration_ns, unsigned max_fragments, struct pc_window **ret_window);
struct pc_window *pc_window_ref(struct pc_window *window);
void pc_window_unref(struct pc_window *window); /* NULL is fine */

/* Adds a reference of its own, drops what is too old, calls the listeners in
 * the order that they were added, wakes the waiting readers. Allocates nothing.
 * `fragment->number` must be the last one's + 1. */
void pc_window_push(struct pc_window *window, struct pc_fragment *fragment);

/* Called for each push, on the writer's thread; must not block. Added and
 * removed on the writer's thread or while there is no writer. */
int pc_window_add_listener(struct pc_window *window,
	void (*fn)(void *data, struct pc_fragment *fragment), void *data,
	struct pc_window_listener **ret_listener);
void pc_window_remove_listener(struct pc_window *window, struct pc_window_listener *listener);

/* No more pushes will come (the camera is being removed): readers get -EPIPE. */
void pc_window_close(struct pc_window *window);

/* The fragment `number` with a reference. 0; -EAGAIN: not there yet (waited up
 * to timeout_ns, 0: does not wait, negative: for ever); -ESTALE: dropped already;
 * -EPIPE: closed. */
int pc_window_get(struct pc_window *window, uint64_t number, int64_t timeout_ns,
	struct pc_fragment **ret_fragment);

/* The newest key fragment with a reference; NULL when there is none. */
struct pc_fragment *pc_window_newest_key(struct pc_window *window);

/* The youngest key fragment captured at or before `capture_ns`, or the oldest
 * key fragment that is left; NULL when there is none. */
struct pc_fragment *pc_window_key_before(struct pc_window *window, int64_t capture_ns);

/* Number of the newest fragment, 0 when none was pushed yet. */
uint64_t pc_window_newest(struct pc_window *window);

#endif
