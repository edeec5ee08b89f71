/* http/auth_worker.h - the auth thread: one scrypt at a time, so 32 MiB and one core at most.
 *
 * Thread: hash and verify from any; they block until the thread has answered (at most the
 * queue's length times some 220 ms). A full queue answers at once.
 */
#ifndef PC_HTTP_AUTH_WORKER_H
#define PC_HTTP_AUTH_WORKER_H

#include <stddef.h>

#include "storage/users.h"

#define PC_AUTH_QUEUE_MAX 8 /* waiting; beyond it -EAGAIN */

struct pc_auth_worker;

int pc_auth_worker_create(struct pc_auth_worker **ret_worker);
/* Finishes what is queued. NULL is fine. */
void pc_auth_worker_destroy(struct pc_auth_worker *worker);

/* As in password.h; -EAGAIN: the queue is full; -EPIPE: ending. */
int pc_auth_worker_hash(struct pc_auth_worker *worker, const char *password, size_t length,
	char ret_hash[static PC_PASSWORD_HASH_MAX]);
int pc_auth_worker_verify(
	struct pc_auth_worker *worker, const char *password, size_t length, const char *hash);

#endif
