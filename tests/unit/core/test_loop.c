/* tests/unit/core/test_loop.c - the epoll loop: removal in every place, timers, signals. */
#include "core/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/thread.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static struct pc_loop *loop;

static void make_loop(void)
{
	test_int(pc_loop_create(&loop), 0);
}

static void drop_loop(void)
{
	pc_loop_destroy(loop);
	loop = NULL;
}

/* A pipe that is always readable, its source and what its callback is to do. */
struct ready {
	int fds[2];
	struct pc_loop_source *source;
	unsigned calls;
	struct pc_loop_source **remove[2]; /* NULL: none */
};

static void be_called(void *data, int fd, uint32_t revents)
{
	struct ready *ready = data;
	test_int(fd, ready->fds[0]);
	test_int(revents, EPOLLIN);
	ready->calls++;
	for (unsigned i = 0; i < 2; i++) {
		if (ready->remove[i] != NULL && *ready->remove[i] != NULL) {
			pc_loop_remove(*ready->remove[i]);
			*ready->remove[i] = NULL;
		}
	}
}

static void ready_init(struct ready *ready)
{
	*ready = (struct ready){ 0 };
	test_int(pipe2(ready->fds, O_CLOEXEC | O_NONBLOCK), 0);
	test_int(write(ready->fds[1], "x", 1), 1);
	test_int(pc_loop_add_fd(
			 loop, "ready", ready->fds[0], EPOLLIN, be_called, ready, &ready->source),
		0);
}

static void ready_finish(struct ready *ready)
{
	pc_loop_remove(ready->source);
	close(ready->fds[0]);
	close(ready->fds[1]);
}

static void test_fd(void)
{
	make_loop();
	struct ready ready;
	ready_init(&ready);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(pc_loop_turn(loop, -1), 0);
	test_int(ready.calls, 2); /* level-triggered */
	test_int(pc_loop_source_set_events(ready.source, 0), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(ready.calls, 2);
	test_int(pc_loop_source_set_events(ready.source, EPOLLIN), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(ready.calls, 3);
	/* The same fd twice, and one that epoll cannot watch. */
	struct pc_loop_source *source = NULL;
	test_int(pc_loop_add_fd(loop, "twice", ready.fds[0], EPOLLIN, be_called, NULL, &source),
		-EEXIST);
	test_int(pc_loop_add_fd(loop, "bad", -1, EPOLLIN, be_called, NULL, &source), -EBADF);
	test_assert(source == NULL);
	pc_loop_remove(ready.source);
	ready.source = NULL;
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(ready.calls, 3);
	pc_loop_remove(NULL);
	ready_finish(&ready);
	drop_loop();
	pc_loop_destroy(NULL);
}

/* In one pass with n ready sources each removes itself, or its neighbours. */
static void test_removal_in_the_same_pass(void)
{
	make_loop();
	struct ready a;
	ready_init(&a);
	a.remove[0] = &a.source;
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(a.calls, 1);
	ready_finish(&a);

	/* Whoever of the two comes first removes the other and itself: one call in all. */
	struct ready b, c;
	ready_init(&b);
	ready_init(&c);
	b.remove[0] = c.remove[1] = &b.source;
	b.remove[1] = c.remove[0] = &c.source;
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(b.calls + c.calls, 1);
	ready_finish(&b);
	ready_finish(&c);

	/* Many, in a ring: each removes the next but one. */
	struct ready ring[20];
	for (unsigned i = 0; i < 20; i++) {
		ready_init(&ring[i]);
	}
	for (unsigned i = 0; i < 20; i++) {
		ring[i].remove[0] = &ring[(i + 2) % 20].source;
	}
	test_int(pc_loop_turn(loop, 0), 0);
	for (unsigned i = 0; i < 20; i++) {
		bool removed = ring[i].source == NULL;
		test_assert(ring[i].calls <= 1);
		test_assert(removed || ring[i].calls == 1);
	}
	for (unsigned i = 0; i < 20; i++) {
		ready_finish(&ring[i]);
	}
	drop_loop();
}

static void replace(void *data, int fd, uint32_t revents)
{
	/* The fd's number comes back at once, with a source of its own. */
	struct ready *other = data;
	ready_finish(other);
	ready_init(other);
}

static void test_fd_number_reused_in_the_pass(void)
{
	make_loop();
	struct ready victim, killer;
	ready_init(&killer);
	ready_init(&victim);
	struct ready killer2 = killer;
	pc_loop_remove(killer.source);
	test_int(pc_loop_add_fd(
			 loop, "killer", killer.fds[0], EPOLLIN, replace, &victim, &killer2.source),
		0);
	int before = victim.fds[0];
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(victim.fds[0], before);
	unsigned calls = victim.calls; /* the new one was not in this batch */
	test_int(calls, 0);
	ready_finish(&victim);
	ready_finish(&killer2);
	drop_loop();
}

struct clockwork {
	struct pc_loop_source *timer;
	unsigned calls;
	uint64_t expirations;
	unsigned stop_after; /* calls; then it quits the loop and, if `remove`, itself */
	bool remove;
};

static void tick(void *data, uint64_t expirations)
{
	struct clockwork *clockwork = data;
	test_assert(expirations >= 1);
	clockwork->calls++;
	clockwork->expirations += expirations;
	if (clockwork->calls == clockwork->stop_after) {
		pc_loop_quit(loop);
		if (clockwork->remove) {
			pc_loop_remove(clockwork->timer);
			clockwork->timer = NULL;
		}
	}
}

static void test_timers(void)
{
	make_loop();
	struct clockwork once = { .stop_after = 1 }, often = { .stop_after = 5, .remove = true };
	test_int(pc_loop_add_timer(loop, "once", tick, &once, &once.timer), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(once.calls, 0); /* not armed yet */
	int64_t from_ns = pc_clock_now_ns();
	test_int(pc_loop_timer_arm(once.timer, 20 * PC_NS_PER_MS, 0), 0);
	test_int(pc_loop_run(loop), 0);
	test_assert(pc_clock_now_ns() - from_ns >= 20 * PC_NS_PER_MS);
	test_int(once.calls, 1);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(once.calls, 1); /* and no more */
	/* 0 is at once; a negative time disarms. */
	test_int(pc_loop_timer_arm(once.timer, 0, 0), 0);
	test_int(pc_loop_turn(loop, -1), 0);
	test_int(once.calls, 2);
	test_int(pc_loop_timer_arm(once.timer, 0, 1), 0);
	test_int(pc_loop_timer_arm(once.timer, -1, 0), 0);
	test_int(pc_loop_turn(loop, 5), 0);
	test_int(once.calls, 2);

	test_int(pc_loop_add_timer(loop, "often", tick, &often, &often.timer), 0);
	test_int(pc_loop_timer_arm(often.timer, 0, PC_NS_PER_MS), 0);
	test_int(pc_loop_run(loop), 0);
	test_int(often.calls, 5);
	test_assert(often.timer == NULL);
	pc_loop_remove(once.timer);
	drop_loop();
}

static void rearm(void *data, int fd, uint32_t revents)
{
	test_int(pc_loop_timer_arm(data, 3600 * PC_NS_PER_S, 0), 0);
}

/* A timer that has expired and is armed anew by an earlier callback of the pass is silent. */
static void test_timer_armed_anew_in_the_pass(void)
{
	make_loop();
	struct clockwork late = { 0 };
	struct ready ready;
	ready_init(&ready);
	pc_loop_remove(ready.source);
	test_int(pc_loop_add_timer(loop, "late", tick, &late, &late.timer), 0);
	test_int(pc_loop_add_fd(
			 loop, "rearm", ready.fds[0], EPOLLIN, rearm, late.timer, &ready.source),
		0);
	test_int(pc_loop_timer_arm(late.timer, 0, 0), 0);
	/* epoll's order is its own; whichever came first, no second call follows. */
	for (unsigned i = 0; i < 4; i++) {
		test_int(pc_loop_turn(loop, 0), 0);
		test_assert(late.calls <= 1);
	}
	pc_loop_remove(late.timer);
	ready_finish(&ready);
	drop_loop();
}

static unsigned n_signals;
static struct pc_loop_source *signals;

static void take_signal(void *data, int signo)
{
	test_int(signo, SIGUSR1);
	n_signals++;
	if (data != NULL) {
		pc_loop_remove(signals);
		signals = NULL;
	}
}

static void test_signals(void)
{
	make_loop();
	test_int(pc_loop_add_signal(loop, SIGUSR1, take_signal, NULL, &signals), 0);
	kill(getpid(), SIGUSR1);
	test_int(pc_loop_turn(loop, -1), 0);
	test_int(n_signals, 1);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(n_signals, 1);
	pc_loop_remove(signals);
	test_int(pc_loop_add_signal(loop, SIGUSR1, take_signal, &n_signals, &signals), 0);
	kill(getpid(), SIGUSR1);
	test_int(pc_loop_turn(loop, -1), 0);
	test_int(n_signals, 2);
	test_assert(signals == NULL);
	test_int(pc_loop_add_signal(loop, 9999, take_signal, NULL, &signals), -EINVAL);
	drop_loop();
}

struct answers {
	struct pc_wakeup *wakeup;
	unsigned calls;
	bool destroy;
	atomic_uint produced;
	unsigned consumed;
};

static void answer(void *data)
{
	struct answers *answers = data;
	answers->calls++;
	answers->consumed = atomic_load(&answers->produced);
	if (answers->destroy) {
		pc_wakeup_destroy(answers->wakeup);
		answers->wakeup = NULL;
	}
	if (answers->consumed == 3000) {
		pc_loop_quit(loop);
	}
}

static void *produce(void *data)
{
	struct answers *answers = data;
	for (unsigned i = 0; i < 1000; i++) {
		atomic_fetch_add(&answers->produced, 1);
		pc_wakeup_signal(answers->wakeup);
	}
	return NULL;
}

static void test_wakeup(void)
{
	make_loop();
	struct answers answers = { 0 };
	test_int(pc_wakeup_create(loop, "answers", answer, &answers, &answers.wakeup), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(answers.calls, 0);
	for (unsigned i = 0; i < 5; i++) {
		pc_wakeup_signal(answers.wakeup);
	}
	test_int(pc_loop_turn(loop, -1), 0);
	test_int(pc_loop_turn(loop, 0), 0);
	test_int(answers.calls, 1); /* they coalesce */
	/* Three threads: the last signal is always answered. */
	pthread_t threads[3];
	for (unsigned i = 0; i < 3; i++) {
		test_int(pc_thread_create(&threads[i], "produce", produce, &answers), 0);
	}
	test_int(pc_loop_run(loop), 0);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
	}
	test_int(answers.consumed, 3000);
	/* It may destroy itself. */
	answers.destroy = true;
	pc_wakeup_signal(answers.wakeup);
	test_int(pc_loop_turn(loop, -1), 0);
	test_assert(answers.wakeup == NULL);
	pc_wakeup_destroy(NULL);
	drop_loop();
}

static void *run_loop(void *data)
{
	test_int(pc_loop_run(loop), 0);
	return NULL;
}

/* Another thread ends it; the next run starts afresh; quitting first counts too. */
static void test_quit(void)
{
	make_loop();
	for (unsigned i = 0; i < 50; i++) {
		pthread_t thread;
		test_int(pc_thread_create(&thread, "loop", run_loop, NULL), 0);
		pc_loop_quit(loop);
		pthread_join(thread, NULL);
	}
	pc_loop_quit(loop);
	test_int(pc_loop_run(loop), 0);
	drop_loop();
}

/* A source that is left is a bug, and named. */
static void test_left_over(void)
{
	int fds[2];
	test_int(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		const struct rlimit no_core = { 0 };
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(fds[1], STDERR_FILENO);
		struct ready ready;
		make_loop();
		ready_init(&ready);
		drop_loop();
		_exit(0);
	}
	close(fds[1]);
	char text[2048];
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	int status;
	test_int(waitpid(pid, &status, 0), pid);
	test_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
	test_assert(strstr(text, "source ready was not removed") != NULL);
}

static void test_no_memory(void)
{
	for (unsigned n = 1;; n++) {
		struct pc_loop_source *timer = NULL, *signal = NULL, *fd = NULL;
		struct pc_wakeup *wakeup = NULL;
		int fds[2];
		test_int(pipe2(fds, O_CLOEXEC), 0);
		loop = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = pc_loop_create(&loop);
		if (r == 0) {
			r = pc_loop_add_timer(loop, "timer", tick, NULL, &timer);
		}
		if (r == 0) {
			r = pc_loop_add_signal(loop, SIGUSR2, take_signal, NULL, &signal);
		}
		if (r == 0) {
			r = pc_loop_add_fd(loop, "fd", fds[0], EPOLLIN, be_called, NULL, &fd);
		}
		if (r == 0) {
			r = pc_wakeup_create(loop, "wakeup", answer, NULL, &wakeup);
		}
		bool happened = fault_disarm();
		test_int(r, happened ? -ENOMEM : 0);
		pc_wakeup_destroy(wakeup);
		pc_loop_remove(fd);
		pc_loop_remove(signal);
		pc_loop_remove(timer);
		drop_loop();
		close(fds[0]);
		close(fds[1]);
		if (!happened) {
			test_int(n, 7);
			break;
		}
	}
}

/* No descriptors left: an error each, and none leaks. */
static void test_no_descriptors(void)
{
	struct rlimit old, none;
	test_int(getrlimit(RLIMIT_NOFILE, &old), 0);
	make_loop();
	int next = dup(0);
	close(next);
	for (unsigned left = 0; left < 3; left++) {
		none = old;
		none.rlim_cur = (rlim_t)next + left;
		test_int(setrlimit(RLIMIT_NOFILE, &none), 0);
		struct pc_loop *other = NULL;
		int r = pc_loop_create(&other);
		test_int(r, left < 2 ? -EMFILE : 0);
		pc_loop_destroy(other);
		if (left == 0) {
			struct pc_loop_source *source = NULL;
			struct pc_wakeup *wakeup = NULL;
			test_int(pc_loop_add_timer(loop, "t", tick, NULL, &source), -EMFILE);
			test_int(pc_loop_add_signal(loop, SIGUSR2, take_signal, NULL, &source),
				-EMFILE);
			test_int(pc_wakeup_create(loop, "w", answer, NULL, &wakeup), -EMFILE);
		}
		test_int(setrlimit(RLIMIT_NOFILE, &old), 0);
		int now = dup(0);
		close(now);
		test_int(now, next);
	}
	drop_loop();
}

static void *look_at_signals(void *data)
{
	sigset_t set;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	char *name = data;
	pthread_getname_np(pthread_self(), name, 16);
	return (void *)(intptr_t)(sigismember(&set, SIGTERM) && sigismember(&set, SIGINT));
}

static void test_thread(void)
{
	sigset_t before, after;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	pthread_t thread;
	char name[16];
	void *blocked;
	test_int(pc_thread_create(&thread, "a name that is too long", look_at_signals, name), 0);
	pthread_join(thread, &blocked);
	test_int((intptr_t)blocked, 1);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	test_int(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

int main(void)
{
	TEST_RUN(test_fd);
	TEST_RUN(test_removal_in_the_same_pass);
	TEST_RUN(test_fd_number_reused_in_the_pass);
	TEST_RUN(test_timers);
	TEST_RUN(test_timer_armed_anew_in_the_pass);
	TEST_RUN(test_signals);
	TEST_RUN(test_wakeup);
	TEST_RUN(test_quit);
	TEST_RUN(test_left_over);
	TEST_RUN(test_no_memory);
	TEST_RUN(test_no_descriptors);
	TEST_RUN(test_thread);
	return test_end();
}
