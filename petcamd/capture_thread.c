/* petcamd/capture_thread.c - a camera on a thread of its own. See capture_thread.h. */
#include "petcamd/capture_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/queue.h"
#include "core/thread.h"

#define QUEUE_FRAMES 3

struct pc_capture_thread {
	const struct pc_capture_events *events;
	void *data;
	struct pc_camera_stats *stats;
	struct pc_loop *loop; /* the thread's */
	struct pc_capture *capture; /* on that loop */
	struct pc_queue *frames; /* struct pc_frame *, each with a reference */
	struct pc_wakeup *wakeup; /* of the media loop */
	pthread_t thread;
	bool started;

	/* Set by the thread before `failed`, which is its last word. */
	int err;
	char what[160];
	atomic_bool failed;

	/* The media loop's */
	bool done; /* failed() was called */
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */
};

/* --- the thread --- */

static void on_captured(void *data, struct pc_frame *frame)
{
	struct pc_capture_thread *thread = data;
	struct pc_frame *kept = pc_frame_ref(frame);
	if (pc_queue_push(thread->frames, &kept) < 0) {
		pc_frame_unref(kept);
		pc_counter_add(&thread->stats->frames_skipped_source, 1);
		return;
	}
	pc_wakeup_signal(thread->wakeup);
}

static void fail(struct pc_capture_thread *thread, int err, const char *what)
{
	thread->err = err;
	snprintf(thread->what, sizeof(thread->what), "%s", what);
	atomic_store(&thread->failed, true);
	pc_wakeup_signal(thread->wakeup);
}

static void on_capture_failed(void *data, int err, const char *what)
{
	struct pc_capture_thread *thread = data;
	fail(thread, err, what);
	pc_loop_quit(thread->loop);
}

static const struct pc_capture_events capture_events = {
	.frame = on_captured,
	.failed = on_capture_failed,
};

static void *work(void *data)
{
	struct pc_capture_thread *thread = data;
	const int r = pc_loop_run(thread->loop);
	if (r < 0) {
		fail(thread, r, "the camera's loop ended");
	}
	return NULL;
}

/* --- the media loop --- */

static void hand_over(struct pc_capture_thread *thread, bool failed)
{
	struct pc_frame *frame;
	while (!thread->closed && pc_queue_try_pop(thread->frames, &frame) == 0) {
		thread->events->frame(thread->data, frame);
		pc_frame_unref(frame);
	}
	if (!thread->closed && failed) {
		thread->done = true;
		thread->events->failed(thread->data, thread->err, thread->what);
	}
}

static void on_frames(void *data)
{
	struct pc_capture_thread *thread = data;
	if (thread->done) {
		return;
	}
	/* Read before the queue is emptied: every frame was pushed before it was set. */
	const bool failed = atomic_load(&thread->failed);
	thread->handing_over = true;
	hand_over(thread, failed);
	thread->handing_over = false;
	if (thread->closed) {
		free(thread);
	}
}

int pc_capture_thread_open(struct pc_loop *loop, const struct pc_capture_config *config,
	const struct pc_capture_events *events, void *data, char *why, size_t why_size,
	struct pc_capture_thread **ret_thread)
{
	struct pc_capture_thread *thread = calloc(1, sizeof(*thread));
	if (thread == NULL) {
		snprintf(why, why_size, "%s: out of memory", config->path);
		return -ENOMEM;
	}
	thread->events = events;
	thread->data = data;
	thread->stats = config->stats;
	atomic_init(&thread->failed, false);
	int r = pc_queue_create(sizeof(struct pc_frame *), QUEUE_FRAMES, &thread->frames);
	if (r == 0) {
		r = pc_wakeup_create(loop, "camera thread", on_frames, thread, &thread->wakeup);
	}
	if (r == 0) {
		r = pc_loop_create(&thread->loop);
	}
	why[0] = '\0';
	if (r == 0) {
		r = pc_capture_open(thread->loop, config, &capture_events, thread, why, why_size,
			&thread->capture);
	}
	if (r == 0) {
		r = pc_thread_create(&thread->thread, "camera", work, thread);
		thread->started = r == 0;
	}
	if (r < 0) {
		if (why[0] == '\0') {
			snprintf(why, why_size, "%s: %s", config->path, pc_strerror(r));
		}
		pc_capture_thread_close(thread);
		return r;
	}
	*ret_thread = thread;
	return 0;
}

const struct pc_capture_info *pc_capture_thread_info(const struct pc_capture_thread *thread)
{
	return pc_capture_info(thread->capture);
}

void pc_capture_thread_close(struct pc_capture_thread *thread)
{
	if (thread == NULL) {
		return;
	}
	if (thread->started) {
		pc_loop_quit(thread->loop);
		pthread_join(thread->thread, NULL);
	}
	struct pc_frame *frame;
	while (thread->frames != NULL && pc_queue_try_pop(thread->frames, &frame) == 0) {
		pc_frame_unref(frame);
	}
	pc_capture_close(thread->capture); /* its loop runs no more: it is ours again */
	pc_loop_destroy(thread->loop);
	pc_wakeup_destroy(thread->wakeup);
	pc_queue_destroy(thread->frames);
	if (thread->handing_over) {
		thread->closed = true;
	} else {
		free(thread);
	}
}
