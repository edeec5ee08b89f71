/* core/thread.h - threads that have a name and take no signals. */
#ifndef PC_CORE_THREAD_H
#define PC_CORE_THREAD_H

#include <pthread.h>

/* Starts `fn(data)` on a joinable thread called `name` (at most 15 bytes are
 * kept), with every signal blocked: signals belong to the main loop's signalfd.
 * Returns 0 or negative errno. Join with pthread_join(). */
int pc_thread_create(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *data);

#endif
