/* core/loop.c - epoll loop; see loop.h.
 *
 * Removal inside a dispatch takes the fd out of epoll at once, but keeps the source's
 * memory until the pass is over: the events still in the batch point to it.
 */
#include "core/loop.h"

#define PC_LOG_MODULE "loop"
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/clock.h"

#define EVENTS_A_PASS 32

struct pc_loop_source {
	struct pc_loop *loop;
	const char *name;
	int fd;
	bool owns_fd; /* a timerfd or a signalfd */
	bool removed;
	int signo;
	void *data;
	/* Reads what is ready and calls the user's function below. */
	void (*dispatch)(struct pc_loop_source *source, uint32_t revents);
	union {
		void (*io)(void *data, int fd, uint32_t revents);
		void (*timer)(void *data, uint64_t expirations);
		void (*signal)(void *data, int signo);
	} fn;
	struct pc_loop_source *prev; /* in loop->sources; NULL: the first */
	struct pc_loop_source *next; /* in loop->sources, or in loop->removed */
};

struct pc_loop {
	int epoll_fd;
	int quit_fd;
	atomic_bool quit;
	bool dispatching;
	bool running; /* inside pc_loop_run() */
	pthread_t thread; /* that runs it; valid while running */
	struct pc_loop_source *sources;
	struct pc_loop_source *removed; /* freed after the pass */
};

struct pc_wakeup {
	int fd;
	struct pc_loop_source *source;
	void (*fn)(void *data);
	void *data;
};

static void assert_thread(const struct pc_loop *loop)
{
	assert(!loop->running || pthread_equal(loop->thread, pthread_self()));
}

int pc_loop_create(struct pc_loop **ret_loop)
{
	struct pc_loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL) {
		return -ENOMEM;
	}
	int r;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		r = -errno;
		goto fail_epoll;
	}
	loop->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->quit_fd < 0) {
		r = -errno;
		goto fail_quit;
	}
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->quit_fd, &event) < 0) {
		r = -errno;
		goto fail_add;
	}
	*ret_loop = loop;
	return 0;

fail_add:
	close(loop->quit_fd);
fail_quit:
	close(loop->epoll_fd);
fail_epoll:
	free(loop);
	return r;
}

void pc_loop_destroy(struct pc_loop *loop)
{
	if (loop == NULL) {
		return;
	}
	assert(!loop->running && !loop->dispatching);
	for (const struct pc_loop_source *s = loop->sources; s != NULL; s = s->next) {
		pc_error("source %s was not removed before its loop", s->name);
	}
	assert(loop->sources == NULL);
	close(loop->quit_fd);
	close(loop->epoll_fd);
	free(loop);
}

static void free_removed(struct pc_loop *loop)
{
	struct pc_loop_source *next;
	for (struct pc_loop_source *s = loop->removed; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
	loop->removed = NULL;
}

int pc_loop_turn(struct pc_loop *loop, int timeout_ms)
{
	assert_thread(loop);
	assert(!loop->dispatching);
	struct epoll_event events[EVENTS_A_PASS];
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_A_PASS, timeout_ms);
	if (n < 0) {
		return errno == EINTR ? 0 : -errno;
	}
	loop->dispatching = true;
	for (int i = 0; i < n; i++) {
		struct pc_loop_source *source = events[i].data.ptr;
		if (source == NULL) {
			eventfd_t value;
			(void)eventfd_read(loop->quit_fd, &value);
		} else if (!source->removed) {
			source->dispatch(source, events[i].events);
		}
	}
	loop->dispatching = false;
	free_removed(loop);
	return 0;
}

int pc_loop_run(struct pc_loop *loop)
{
	assert(!loop->running && !loop->dispatching);
	loop->thread = pthread_self();
	loop->running = true;
	int r;
	do {
		r = pc_loop_turn(loop, -1);
	} while (r == 0 && !atomic_exchange(&loop->quit, false));
	loop->running = false;
	return r;
}

void pc_loop_quit(struct pc_loop *loop)
{
	atomic_store(&loop->quit, true);
	/* Fails only when the counter is full: the loop is awake then. */
	(void)eventfd_write(loop->quit_fd, 1);
}

/* Registers `source`, which is linked and owned by the loop on success only. */
static int add_source(struct pc_loop *loop, struct pc_loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0) {
		return -errno;
	}
	source->next = loop->sources;
	if (source->next != NULL) {
		source->next->prev = source;
	}
	loop->sources = source;
	return 0;
}

static void dispatch_fd(struct pc_loop_source *source, uint32_t revents)
{
	source->fn.io(source->data, source->fd, revents);
}

int pc_loop_add_fd(struct pc_loop *loop, const char *name, int fd, uint32_t events,
	void (*fn)(void *data, int fd, uint32_t revents), void *data,
	struct pc_loop_source **ret_source)
{
	assert_thread(loop);
	struct pc_loop_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		return -ENOMEM;
	}
	*source = (struct pc_loop_source){
		.loop = loop,
		.name = name,
		.fd = fd,
		.data = data,
		.dispatch = dispatch_fd,
		.fn.io = fn,
	};
	int r = add_source(loop, source, events);
	if (r < 0) {
		free(source);
		return r;
	}
	*ret_source = source;
	return 0;
}

int pc_loop_source_set_events(struct pc_loop_source *source, uint32_t events)
{
	assert_thread(source->loop);
	assert(!source->removed && source->dispatch == dispatch_fd);
	struct epoll_event event = { .events = events, .data.ptr = source };
	if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0) {
		return -errno;
	}
	return 0;
}

static void dispatch_timer(struct pc_loop_source *source, uint32_t revents)
{
	uint64_t expirations;
	/* Armed anew since epoll saw it: nothing to read, and nothing to say. */
	if (read(source->fd, &expirations, sizeof(expirations)) != sizeof(expirations)) {
		return;
	}
	source->fn.timer(source->data, expirations);
}

int pc_loop_add_timer(struct pc_loop *loop, const char *name,
	void (*fn)(void *data, uint64_t expirations), void *data,
	struct pc_loop_source **ret_source)
{
	assert_thread(loop);
	struct pc_loop_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		return -ENOMEM;
	}
	*source = (struct pc_loop_source){
		.loop = loop,
		.name = name,
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.owns_fd = true,
		.data = data,
		.dispatch = dispatch_timer,
		.fn.timer = fn,
	};
	int r;
	if (source->fd < 0) {
		r = -errno;
		goto fail_fd;
	}
	r = add_source(loop, source, EPOLLIN);
	if (r < 0) {
		goto fail_add;
	}
	*ret_source = source;
	return 0;

fail_add:
	close(source->fd);
fail_fd:
	free(source);
	return r;
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / PC_NS_PER_S, .tv_nsec = ns % PC_NS_PER_S };
}

int pc_loop_timer_arm(struct pc_loop_source *timer, int64_t after_ns, int64_t interval_ns)
{
	assert_thread(timer->loop);
	assert(!timer->removed && timer->dispatch == dispatch_timer && interval_ns >= 0);
	struct itimerspec spec = { 0 }; /* disarms */
	if (after_ns >= 0) {
		spec.it_value = timespec_of(after_ns > 0 ? after_ns : 1);
		spec.it_interval = timespec_of(interval_ns);
	}
	if (timerfd_settime(timer->fd, 0, &spec, NULL) < 0) {
		return -errno;
	}
	return 0;
}

static void dispatch_signal(struct pc_loop_source *source, uint32_t revents)
{
	struct signalfd_siginfo info;
	while (!source->removed && read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		source->fn.signal(source->data, source->signo);
	}
}

int pc_loop_add_signal(struct pc_loop *loop, int signo, void (*fn)(void *data, int signo),
	void *data, struct pc_loop_source **ret_source)
{
	assert_thread(loop);
	struct pc_loop_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		return -ENOMEM;
	}
	sigset_t set, old;
	sigemptyset(&set);
	int r = sigaddset(&set, signo) < 0 ? -errno : -pthread_sigmask(SIG_BLOCK, &set, &old);
	if (r < 0) {
		goto fail_mask;
	}
	*source = (struct pc_loop_source){
		.loop = loop,
		.name = "signal",
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.owns_fd = true,
		.signo = signo,
		.data = data,
		.dispatch = dispatch_signal,
		.fn.signal = fn,
	};
	if (source->fd < 0) {
		r = -errno;
		goto fail_fd;
	}
	r = add_source(loop, source, EPOLLIN);
	if (r < 0) {
		goto fail_add;
	}
	*ret_source = source;
	return 0;

fail_add:
	close(source->fd);
fail_fd:
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
fail_mask:
	free(source);
	return r;
}

void pc_loop_remove(struct pc_loop_source *source)
{
	if (source == NULL) {
		return;
	}
	struct pc_loop *loop = source->loop;
	assert_thread(loop);
	assert(!source->removed);
	int r = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	assert(r == 0); /* fails when the fd was closed first, against the contract */
	(void)r;
	if (source->owns_fd) {
		close(source->fd);
	}
	if (source->prev != NULL) {
		source->prev->next = source->next;
	} else {
		loop->sources = source->next;
	}
	if (source->next != NULL) {
		source->next->prev = source->prev;
	}
	source->removed = true;
	if (loop->dispatching) {
		source->next = loop->removed;
		loop->removed = source;
	} else {
		free(source);
	}
}

static void answer_wakeup(void *data, int fd, uint32_t revents)
{
	struct pc_wakeup *wakeup = data;
	eventfd_t value;
	if (eventfd_read(fd, &value) == 0) {
		wakeup->fn(wakeup->data); /* may destroy the wakeup */
	}
}

int pc_wakeup_create(struct pc_loop *loop, const char *name, void (*fn)(void *data), void *data,
	struct pc_wakeup **ret_wakeup)
{
	struct pc_wakeup *wakeup = calloc(1, sizeof(*wakeup));
	if (wakeup == NULL) {
		return -ENOMEM;
	}
	wakeup->fn = fn;
	wakeup->data = data;
	int r;
	wakeup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wakeup->fd < 0) {
		r = -errno;
		goto fail_fd;
	}
	r = pc_loop_add_fd(loop, name, wakeup->fd, EPOLLIN, answer_wakeup, wakeup, &wakeup->source);
	if (r < 0) {
		goto fail_add;
	}
	*ret_wakeup = wakeup;
	return 0;

fail_add:
	close(wakeup->fd);
fail_fd:
	free(wakeup);
	return r;
}

void pc_wakeup_signal(struct pc_wakeup *wakeup)
{
	/* Fails only when the counter is full: the loop is awake then. */
	(void)eventfd_write(wakeup->fd, 1);
}

void pc_wakeup_destroy(struct pc_wakeup *wakeup)
{
	if (wakeup == NULL) {
		return;
	}
	pc_loop_remove(wakeup->source);
	close(wakeup->fd);
	free(wakeup);
}
