/* petcamd/probe_child.c - one question to a device, in a process that may hang or crash. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "petcamd/probe_internal.h"

#define ANSWER_MAX_BYTES (256u << 10)

static json_t *error_answer(const char *format, ...) __attribute__((format(printf, 1, 2)));

static json_t *error_answer(const char *format, ...)
{
	char text[PC_PROBE_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return json_pack("{s:o}", "error", pc_probe_text(text));
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		const ssize_t n = write(fd, data, size);
		if (n < 0 && errno != EINTR) {
			return;
		}
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
}

/* The child. Ends by _exit(): the parent's buffers and handlers are not its own. */
static _Noreturn void answer(int fd, json_t *(*ask)(const void *data), const void *data)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	const struct rlimit none = { 0 };
	setrlimit(RLIMIT_CORE, &none);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDERR_FILENO); /* Mesa's remarks; the log, which the parts hook */
	}
	pc_log_set_level(PC_LOG_INFO);
	json_t *value = ask(data);
	char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text != NULL) {
		write_all(fd, text, strlen(text));
	}
	_exit(text == NULL);
}

/* What came through the pipe before `deadline_ns` or its end; the bytes. -ETIME, -E2BIG. */
static ssize_t read_answer(int fd, char *data, size_t size, int64_t deadline_ns)
{
	size_t used = 0;
	for (;;) {
		const int64_t left_ns = deadline_ns - pc_clock_now_ns();
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		if (left_ns <= 0) {
			return -ETIME;
		}
		const int ready = poll(&poll_fd, 1, (int)(left_ns / PC_NS_PER_MS) + 1);
		if (ready < 0 && errno != EINTR) {
			return -errno;
		}
		if (ready <= 0) {
			continue;
		}
		if (used == size) {
			return -E2BIG;
		}
		const ssize_t n = read(fd, data + used, size - used);
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		if (n == 0) {
			return (ssize_t)used;
		}
		used += n > 0 ? (size_t)n : 0;
	}
}

/* Reaps the child if it ends in time; its wait status, or -ETIME. A process that hangs in a
 * driver cannot be killed, and is left to the kernel. */
static int reap(pid_t pid, int64_t deadline_ns, int *ret_status)
{
	for (;;) {
		const pid_t r = waitpid(pid, ret_status, WNOHANG);
		if (r == pid) {
			return 0;
		}
		if (r < 0 && errno != EINTR) {
			return -errno;
		}
		if (pc_clock_now_ns() >= deadline_ns) {
			return -ETIME;
		}
		/* SIGCHLD is blocked by pc_probe_ask(), so that it waits here. */
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGCHLD);
		const int64_t left_ns = deadline_ns - pc_clock_now_ns();
		const struct timespec left = {
			.tv_sec = left_ns > 0 ? left_ns / PC_NS_PER_S : 0,
			.tv_nsec = left_ns > 0 ? left_ns % PC_NS_PER_S : 0,
		};
		sigtimedwait(&set, NULL, &left);
	}
}

static json_t *hear(pid_t pid, int fd, unsigned limit_ms)
{
	char *data = malloc(ANSWER_MAX_BYTES);
	if (data == NULL) {
		kill(pid, SIGKILL);
	}
	const int64_t deadline_ns = pc_clock_now_ns() + limit_ms * PC_NS_PER_MS;
	const ssize_t size =
		data == NULL ? -ENOMEM : read_answer(fd, data, ANSWER_MAX_BYTES, deadline_ns);
	if (size < 0) {
		kill(pid, SIGKILL);
	}
	/* The answer may be there and the driver hang in close(). */
	int status = 0;
	int r = reap(pid, size < 0 ? pc_clock_now_ns() + 200 * PC_NS_PER_MS : deadline_ns, &status);
	if (r == -ETIME && size >= 0) {
		kill(pid, SIGKILL);
		r = reap(pid, pc_clock_now_ns() + 200 * PC_NS_PER_MS, &status);
	}
	json_t *value = NULL;
	if (size == -ETIME) {
		value = error_answer(
			"does not answer within %u.%u s", limit_ms / 1000, limit_ms % 1000 / 100);
	} else if (size < 0) {
		value = error_answer("could not be asked: %s", pc_strerror((int)size));
	} else if (r == 0 && WIFSIGNALED(status)) {
		value = error_answer(
			"asking it crashed the one who asked (signal %d)", WTERMSIG(status));
	} else {
		value = json_loadb(data, (size_t)size, JSON_DECODE_ANY, NULL);
		if (value == NULL) {
			value = error_answer("could not be asked: no answer");
		}
	}
	free(data);
	return value;
}

json_t *pc_probe_ask(unsigned limit_ms, json_t *(*ask)(const void *data), const void *data)
{
	sigset_t child_ends, before;
	sigemptyset(&child_ends);
	sigaddset(&child_ends, SIGCHLD);
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0) {
		return error_answer("could not be asked: %s", pc_strerror(-errno));
	}
	sigprocmask(SIG_BLOCK, &child_ends, &before);
	json_t *value;
	const pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		answer(fds[1], ask, data);
	}
	close(fds[1]);
	if (pid < 0) {
		value = error_answer("could not be asked: %s", pc_strerror(-errno));
	} else {
		value = hear(pid, fds[0], limit_ms);
	}
	close(fds[0]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return value;
}
