/* core/log.h - one line a failure, to stderr.
 *
 * Define PC_LOG_MODULE before including: it is the word in front of every line.
 *   #define PC_LOG_MODULE "recorder"
 *   #include "core/log.h"
 *
 * A line is "<N>module: text" when stderr is the journal ($JOURNAL_STREAM is
 * set, N the syslog priority), "HH:MM:SS.mmm level module: text" otherwise.
 * Rule 8: only the layer that decides what a failure means logs it; the layers
 * below return negative errno. A failure that is survived ends with ", ignoring".
 *
 * Thread: any. A line is written by one write(); lines never mix.
 */
#ifndef PC_CORE_LOG_H
#define PC_CORE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

enum pc_log_level {
	PC_LOG_ERROR,
	PC_LOG_WARN,
	PC_LOG_INFO,
	PC_LOG_DEBUG,
};

/* Lines above `level` are dropped; PC_LOG_INFO until set. */
void pc_log_set_level(enum pc_log_level level);

/* "error", "warn", "info", "debug"; 0, or -EINVAL and *ret untouched. */
int pc_log_level_parse(const char *text, enum pc_log_level *ret);

/* Tests: every line (without prefix and newline) goes to `fn` too. NULL ends it.
 * `fn` runs on the logging thread, under the log's lock. */
void pc_log_set_hook(
	void (*fn)(void *data, enum pc_log_level level, const char *module, const char *text),
	void *data);

void pc_log_write(enum pc_log_level level, const char *module, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#ifdef PC_LOG_MODULE
#define pc_error(...) pc_log_write(PC_LOG_ERROR, PC_LOG_MODULE, __VA_ARGS__)
#define pc_warn(...) pc_log_write(PC_LOG_WARN, PC_LOG_MODULE, __VA_ARGS__)
#define pc_info(...) pc_log_write(PC_LOG_INFO, PC_LOG_MODULE, __VA_ARGS__)
#define pc_debug(...) pc_log_write(PC_LOG_DEBUG, PC_LOG_MODULE, __VA_ARGS__)
#endif

/* Text of a negative errno (or a positive one). Thread-safe; the string is
 * static or thread-local and good until the thread's next call. */
const char *pc_strerror(int err);

#endif
