/* http/auth_worker.c - the auth thread; see auth_worker.h. */
#include "http/auth_worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/queue.h"
#include "core/thread.h"
#include "http/password.h"

/* Lives on the asker's stack until `done`. */
struct job {
	const char *password;
	size_t length;
	const char *hash; /* to verify; NULL: make one */
	char made[PC_PASSWORD_HASH_MAX];
	int result;
	bool done;
};

struct pc_auth_worker {
	struct pc_queue *queue; /* of struct job * */
	pthread_t thread;
	pthread_mutex_t lock; /* for `done` of every job */
	pthread_cond_t answered;
};

static void *work(void *data)
{
	struct pc_auth_worker *worker = data;
	struct job *job;
	while (pc_queue_pop(worker->queue, &job, -1) == 0) {
		int r = job->hash != NULL
				? pc_password_verify(job->password, job->length, job->hash)
				: pc_password_hash(job->password, job->length, job->made);
		pthread_mutex_lock(&worker->lock);
		job->result = r;
		job->done = true;
		pthread_cond_broadcast(&worker->answered);
		pthread_mutex_unlock(&worker->lock);
	}
	return NULL;
}

int pc_auth_worker_create(struct pc_auth_worker **ret_worker)
{
	struct pc_auth_worker *worker = calloc(1, sizeof(*worker));
	if (worker == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->answered, NULL);
	int r = pc_queue_create(sizeof(struct job *), PC_AUTH_QUEUE_MAX, &worker->queue);
	if (r < 0) {
		goto fail_queue;
	}
	r = pc_thread_create(&worker->thread, "auth", work, worker);
	if (r < 0) {
		goto fail_thread;
	}
	*ret_worker = worker;
	return 0;

fail_thread:
	pc_queue_destroy(worker->queue);
fail_queue:
	pthread_cond_destroy(&worker->answered);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
	return r;
}

void pc_auth_worker_destroy(struct pc_auth_worker *worker)
{
	if (worker == NULL) {
		return;
	}
	pc_queue_close(worker->queue);
	pthread_join(worker->thread, NULL);
	pc_queue_destroy(worker->queue);
	pthread_cond_destroy(&worker->answered);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static int ask(struct pc_auth_worker *worker, struct job *job)
{
	int r = pc_queue_push(worker->queue, &job);
	if (r < 0) {
		return r;
	}
	pthread_mutex_lock(&worker->lock);
	while (!job->done) {
		pthread_cond_wait(&worker->answered, &worker->lock);
	}
	pthread_mutex_unlock(&worker->lock);
	return job->result;
}

int pc_auth_worker_hash(struct pc_auth_worker *worker, const char *password, size_t length,
	char ret_hash[static PC_PASSWORD_HASH_MAX])
{
	struct job job = { .password = password, .length = length };
	int r = ask(worker, &job);
	if (r == 0) {
		memcpy(ret_hash, job.made, sizeof(job.made));
	}
	return r;
}

int pc_auth_worker_verify(
	struct pc_auth_worker *worker, const char *password, size_t length, const char *hash)
{
	struct job job = { .password = password, .length = length, .hash = hash };
	return ask(worker, &job);
}
