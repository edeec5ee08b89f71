/* core/loop.h - epoll loop: file descriptors, timers, signals, wake-ups.
 *
 * Thread: create, run and every call below belong to one thread, the loop's,
 * except pc_loop_quit() and pc_wakeup_signal(), which any thread may call.
 * Before pc_loop_run() starts, the creating thread counts as the loop's.
 *
 * A source may be removed at any time, from its own or another's callback:
 * removal is deferred inside the dispatch, and no callback runs after it.
 */
#ifndef PC_CORE_LOOP_H
#define PC_CORE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct pc_loop;
struct pc_loop_source; /* an fd, timer or signal that the loop watches */
struct pc_wakeup; /* an eventfd: any thread signals, the loop's thread answers */

/* 0, -ENOMEM, -EMFILE ... */
int pc_loop_create(struct pc_loop **ret_loop);

/* Every source must have been removed: what is left is logged by name and is a
 * bug (assert). NULL is fine. */
void pc_loop_destroy(struct pc_loop *loop);

/* Dispatches until pc_loop_quit(). Returns 0, or negative errno of epoll_wait. */
int pc_loop_run(struct pc_loop *loop);

/* One pass: waits at most timeout_ms (-1: for ever) and dispatches. For tests. */
int pc_loop_turn(struct pc_loop *loop, int timeout_ms);

/* Makes pc_loop_run() return after the current pass. Any thread. */
void pc_loop_quit(struct pc_loop *loop);

/* `events` and the callback's `revents` are EPOLLIN | EPOLLOUT ... The fd stays
 * the caller's and must be removed from the loop before it is closed.
 * `name` is a string literal, for pc_loop_destroy()'s complaint. */
int pc_loop_add_fd(struct pc_loop *loop, const char *name, int fd, uint32_t events,
	void (*fn)(void *data, int fd, uint32_t revents), void *data,
	struct pc_loop_source **ret_source);

/* Changes what an fd source waits for. */
int pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events);

/* A timer that is not armed yet. `fn` gets the number of expirations. */
int pc_loop_add_timer(struct pc_loop *loop, const char *name,
	void (*fn)(void *data, uint64_t expirations), void *data,
	struct pc_loop_source **ret_source);

/* First fires `after_ns` from now (0 is taken as 1 ns), then every
 * `interval_ns`, or once if that is 0. Negative `after_ns` disarms. */
int pc_loop_timer_arm(struct pc_loop_source *timer, int64_t after_ns, int64_t interval_ns);

/* Blocks `signo` in this thread and delivers it by signalfd. */
int pc_loop_add_signal(struct pc_loop *loop, int signo, void (*fn)(void *data, int signo),
	void *data, struct pc_loop_source **ret_source);

/* NULL is fine. No callback of this source runs after the call. */
void pc_loop_remove(struct pc_loop_source *source);

/* Signals coalesce: `fn` runs at least once after the last signal. */
int pc_wakeup_create(struct pc_loop *loop, const char *name, void (*fn)(void *data), void *data,
	struct pc_wakeup **ret_wakeup);
void pc_wakeup_signal(struct pc_wakeup *wakeup); /* any thread; never blocks */
void pc_wakeup_destroy(struct pc_wakeup *wakeup); /* loop's thread; NULL is fine */

#endif
