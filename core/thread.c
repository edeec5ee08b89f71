/* core/thread.c - threads that have a name and take no signals; see thread.h. */
#include "core/thread.h"

#include <signal.h>
#include <stdio.h>

int pc_thread_create(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *data)
{
	sigset_t all, old;
	sigfillset(&all);
	int r = pthread_sigmask(SIG_SETMASK, &all, &old);
	if (r != 0) {
		return -r;
	}
	pthread_t thread;
	r = pthread_create(&thread, NULL, fn, data);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		return -r;
	}
	char kept[16];
	snprintf(kept, sizeof(kept), "%s", name);
	(void)pthread_setname_np(thread, kept); /* a thread without a name works as well */
	*ret_thread = thread;
	return 0;
}
