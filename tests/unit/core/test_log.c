/* tests/unit/core/test_log.c - the log's lines, read back from a pipe. */
#define PC_LOG_MODULE "test"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/thread.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

/* What `fn` writes to stderr, in a child of its own: the log decides on its form once.
 * journal: 1 $JOURNAL_STREAM is stderr's, 0 it is unset, -1 it is another's. */
static void capture(int journal, void (*fn)(void), char *out, size_t size)
{
	int fds[2];
	test_int(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	test_assert(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		unsetenv("JOURNAL_STREAM");
		struct stat st;
		char stream[64];
		fstat(STDERR_FILENO, &st);
		snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
			(uintmax_t)st.st_ino + (journal < 0));
		if (journal != 0) {
			setenv("JOURNAL_STREAM", stream, 1);
		}
		fn();
		_exit(0);
	}
	close(fds[1]);
	size_t used = 0;
	ssize_t n;
	while ((n = read(fds[0], out + used, size - 1 - used)) > 0) {
		used += (size_t)n;
	}
	out[used] = '\0';
	close(fds[0]);
	int status;
	test_int(waitpid(pid, &status, 0), pid);
	test_int(status, 0);
}

static void say_all(void)
{
	pc_error("one %d", 1);
	pc_warn("two");
	pc_info("three");
	pc_debug("four");
	pc_log_set_level(PC_LOG_DEBUG);
	pc_debug("five");
	pc_log_set_level(PC_LOG_ERROR);
	pc_warn("six");
}

static void test_journal(void)
{
	char out[4096];
	capture(1, say_all, out, sizeof(out));
	test_str(out, "<3>test: one 1\n<4>test: two\n<6>test: three\n<7>test: five\n");
}

static void test_terminal(void)
{
	for (int journal = 0; journal >= -1; journal--) {
		char out[4096];
		capture(journal, say_all, out, sizeof(out));
		unsigned hour, minute, second, ms;
		char level[8], text[16];
		test_int(sscanf(out, "%2u:%2u:%2u.%3u %7s test: %15[^\n]", &hour, &minute, &second,
				 &ms, level, text),
			6);
		test_assert(hour < 24 && minute < 60 && second < 61);
		test_str(level, "error");
		test_str(text, "one 1");
		test_assert(strstr(out, " warn test: two\n") != NULL);
		test_assert(strstr(out, " debug test: five\n") != NULL);
		test_assert(strstr(out, "four") == NULL && strstr(out, "six") == NULL);
	}
}

static void say_long(void)
{
	char text[5000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pc_error("%s", text);
	pc_error("a\nERROR forged\r\x1b[31m\x7f ä");
}

/* A line stays one line: too long is cut, control characters become blanks. */
static void test_one_line(void)
{
	char out[8192];
	capture(1, say_long, out, sizeof(out));
	char *end = strchr(out, '\n');
	test_assert(end != NULL);
	test_int(end + 1 - out, 2048);
	test_str(end + 1, "<3>test: a ERROR forged  [31m  ä\n");
}

#define N_THREADS 4
#define N_LINES 200

static void *say_lines(void *data)
{
	for (unsigned i = 0; i < N_LINES; i++) {
		pc_warn("thread %u line %u abcdefghijklmnopqrstuvwxyz", *(unsigned *)data, i);
	}
	return NULL;
}

static void say_in_threads(void)
{
	pthread_t threads[N_THREADS];
	unsigned ids[N_THREADS];
	for (unsigned i = 0; i < N_THREADS; i++) {
		ids[i] = i;
		test_int(pc_thread_create(&threads[i], "say", say_lines, &ids[i]), 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
}

static void test_lines_never_mix(void)
{
	static char out[N_THREADS * N_LINES * 80];
	capture(1, say_in_threads, out, sizeof(out));
	unsigned next[N_THREADS] = { 0 };
	unsigned n = 0;
	for (char *line = out; *line != '\0'; n++) {
		unsigned thread, number;
		int used = 0;
		sscanf(line, "<4>test: thread %u line %u abcdefghijklmnopqrstuvwxyz%n", &thread,
			&number, &used);
		test_assert(used > 0 && line[used] == '\n' && thread < N_THREADS);
		test_int(number, next[thread]++);
		line += used + 1;
	}
	test_int(n, N_THREADS * N_LINES);
}

static void count_line(void *data, enum pc_log_level level, const char *module, const char *text)
{
	unsigned *count = data;
	test_int(level, PC_LOG_WARN);
	test_str(module, "test");
	test_assert(strncmp(text, "thread ", 7) == 0);
	(*count)++; /* under the log's lock */
}

static void say_in_threads_hooked(void)
{
	unsigned count = 0;
	pc_log_set_hook(count_line, &count);
	say_in_threads();
	pc_log_set_hook(NULL, NULL);
	pc_info("%u", count);
}

static void test_hook(void)
{
	static char out[N_THREADS * N_LINES * 80];
	capture(1, say_in_threads_hooked, out, sizeof(out));
	test_assert(strstr(out, "<6>test: 800\n") != NULL);
}

static void say_over_failing_write(void)
{
	fault_arm(FAULT_WRITE, 1, EPIPE);
	errno = 33;
	pc_error("lost");
	fault_disarm();
	fault_arm(FAULT_WRITE, 1, EINTR);
	pc_error("kept");
	fault_disarm();
	pc_error("errno %d", errno);
}

/* A log that cannot be written troubles nobody, and errno is the caller's. */
static void test_write_fails(void)
{
	char out[4096];
	capture(1, say_over_failing_write, out, sizeof(out));
	test_str(out, "<3>test: kept\n<3>test: errno 33\n");
}

static void test_names(void)
{
	enum pc_log_level level = PC_LOG_WARN;
	test_int(pc_log_level_parse("debug", &level), 0);
	test_int(level, PC_LOG_DEBUG);
	test_int(pc_log_level_parse("Error", &level), -EINVAL);
	test_int(pc_log_level_parse("", &level), -EINVAL);
	test_int(level, PC_LOG_DEBUG);
	test_str(pc_strerror(-ENOENT), "No such file or directory");
	test_str(pc_strerror(ENOMEM), "Cannot allocate memory");
	test_str(pc_strerror(-99999), "error 99999");
}

int main(void)
{
	TEST_RUN(test_journal);
	TEST_RUN(test_terminal);
	TEST_RUN(test_one_line);
	TEST_RUN(test_lines_never_mix);
	TEST_RUN(test_hook);
	TEST_RUN(test_write_fails);
	TEST_RUN(test_names);
	return test_end();
}
