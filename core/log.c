/* core/log.c - one line a failure, to stderr; see log.h. */
#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A line is at most this long, newline included. Below PIPE_BUF, so that one write()
 * to a pipe is atomic. */
#define LINE_MAX_BYTES 2048

static atomic_int max_level = PC_LOG_INFO;
static pthread_once_t to_journal_once = PTHREAD_ONCE_INIT;
static bool to_journal; /* written once, under to_journal_once */

static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*hook)(void *data, enum pc_log_level level, const char *module, const char *text);
static void *hook_data;

static const char *const level_names[] = {
	[PC_LOG_ERROR] = "error",
	[PC_LOG_WARN] = "warn",
	[PC_LOG_INFO] = "info",
	[PC_LOG_DEBUG] = "debug",
};

/* syslog's priorities, which journald reads from a "<N>" in front of the line. */
static const int syslog_priorities[] = {
	[PC_LOG_ERROR] = 3,
	[PC_LOG_WARN] = 4,
	[PC_LOG_INFO] = 6,
	[PC_LOG_DEBUG] = 7,
};

/* $JOURNAL_STREAM is inherited by children whose stderr went elsewhere: it counts only
 * where its device and inode are stderr's (systemd.exec(5)). */
static void find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	if (stream == NULL || fstat(STDERR_FILENO, &st) < 0) {
		return;
	}
	char own[64];
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	to_journal = strcmp(stream, own) == 0;
}

void pc_log_set_level(enum pc_log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

int pc_log_level_parse(const char *text, enum pc_log_level *ret)
{
	for (int i = PC_LOG_ERROR; i <= PC_LOG_DEBUG; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*ret = (enum pc_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void pc_log_set_hook(
	void (*fn)(void *data, enum pc_log_level level, const char *module, const char *text),
	void *data)
{
	pthread_mutex_lock(&hook_lock);
	hook = fn;
	hook_data = data;
	pthread_mutex_unlock(&hook_lock);
}

/* What snprintf would have written, cut to what it did write. */
static size_t written(int n, size_t size)
{
	if (n < 0) {
		return 0;
	}
	return (size_t)n < size ? (size_t)n : size - 1;
}

static size_t put_prefix(char *line, size_t size, enum pc_log_level level, const char *module)
{
	pthread_once(&to_journal_once, find_journal);
	if (to_journal) {
		return written(
			snprintf(line, size, "<%d>%s: ", syslog_priorities[level], module), size);
	}
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	return written(snprintf(line, size, "%02d:%02d:%02d.%03ld %s %s: ", tm.tm_hour, tm.tm_min,
			       tm.tm_sec, now.tv_nsec / 1000000, level_names[level], module),
		size);
}

void pc_log_write(enum pc_log_level level, const char *module, const char *format, ...)
{
	if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed)) {
		return;
	}
	int saved_errno = errno;
	char line[LINE_MAX_BYTES];
	const size_t size = sizeof(line); /* the newline comes where the NUL was */
	size_t start = put_prefix(line, size, level, module);
	va_list args;
	va_start(args, format);
	size_t end =
		start + written(vsnprintf(line + start, size - start, format, args), size - start);
	va_end(args);
	/* What came from outside must not begin a line of its own. */
	for (size_t i = start; i < end; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) {
			line[i] = ' ';
		}
	}
	line[end] = '\n';
	ssize_t n;
	do {
		n = write(STDERR_FILENO, line, end + 1);
	} while (n < 0 && errno == EINTR);

	line[end] = '\0';
	pthread_mutex_lock(&hook_lock);
	if (hook != NULL) {
		hook(hook_data, level, module, line + start);
	}
	pthread_mutex_unlock(&hook_lock);
	errno = saved_errno;
}

const char *pc_strerror(int err)
{
	static _Thread_local char unknown[32];
	int positive = err < 0 ? -err : err;
	const char *text = strerrordesc_np(positive);
	if (text != NULL) {
		return text;
	}
	snprintf(unknown, sizeof(unknown), "error %d", positive);
	return unknown;
}
