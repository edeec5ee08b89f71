/* http/stack.c - raises the stack of Civetweb's worker threads.
 *
 * Debian's Civetweb 1.15 is built with USE_STACK_SIZE=102400 and has no option for it
 * (civetweb.c, mg_start_thread_with_id). libwolfssl's thread-local storage takes 50 KB of that
 * stack, which leaves a handler 29 KB. Civetweb calls pthread_attr_setstacksize() by name, so
 * the definition here, in the executable, comes first. Requests for less than
 * PC_HTTP_STACK_SIZE get that much; greater ones are left alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "http/server_internal.h"

__attribute__((visibility("default"))) int pthread_attr_setstacksize(
	pthread_attr_t *attr, size_t size)
{
	/* POSIX lets dlsym()'s result be a function: copied through a union for -Wpedantic. */
	union {
		void *symbol;
		int (*call)(pthread_attr_t *attr, size_t size);
	} next = { .symbol = dlsym(RTLD_NEXT, "pthread_attr_setstacksize") };

	if (next.symbol == NULL) {
		return ENOSYS;
	}
	return next.call(attr, size < PC_HTTP_STACK_SIZE ? PC_HTTP_STACK_SIZE : size);
}

/* Called by server.c, so that the linker takes this file out of the static library. */
void pc_http_stack_install(void)
{
}
