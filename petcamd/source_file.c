/* petcamd/source_file.c - a video file as a camera.
 *
 * A worker decodes ahead by one picture, waits until it is due and hands it over through
 * a short queue. What cannot be handed over in time (no free buffer, the loop is busy,
 * decoding is too slow) is skipped and counted: the source never lags behind.
 */
#define PC_LOG_MODULE "source"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <drm_fourcc.h>
#include <libavutil/avstring.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/queue.h"
#include "core/thread.h"
#include "petcamd/file_reader.h"
#include "petcamd/source_internal.h"

#define POOL_FRAMES 12 /* the encoder's 4, the scaler's 1, the queue's 3, one in the making */
#define QUEUE_FRAMES 3
#define LATE_FRAMES 2 /* a picture that is later than this many is skipped */
/* But none was shown for so long: time starts anew from here. Where decoding alone is slower
 * than the file, skipping never catches up. */
#define SKIP_MAX_NS (PC_NS_PER_S / 4)

enum outcome {
	GOES_ON,
	ENDED,
	FAILED,
};

struct file_source {
	struct pc_source base;
	const struct pc_source_events *events;
	void *data;
	struct pc_camera_stats *stats;
	struct pc_queue *frames; /* struct pc_frame *, each with a reference */
	struct pc_wakeup *wakeup;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t stopped; /* on CLOCK_MONOTONIC */
	atomic_bool stop; /* set under `lock` */

	/* Set by the worker before `outcome`, which is its last word. */
	int err;
	char what[160];
	_Atomic enum outcome outcome;

	/* The loop's */
	bool done; /* ended() or failed() was called */
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */

	/* The worker's */
	struct pc_file_reader *reader;
	struct pc_frame_pool *pool;
	bool loop;
	char name[64]; /* for people: the path's last part */
	int64_t start_ns; /* when time 0 of this round was due */
	int64_t shown_ns; /* when a picture was not skipped last */
	uint64_t sequence;
	uint64_t bad; /* what the reader passed over, as far as it was counted */
};

/* --- worker --- */

/* false: the source is being closed. */
static bool wait_until(struct file_source *source, int64_t due_ns)
{
	const struct timespec due = {
		.tv_sec = due_ns / PC_NS_PER_S,
		.tv_nsec = due_ns % PC_NS_PER_S,
	};
	pthread_mutex_lock(&source->lock);
	while (!atomic_load(&source->stop) &&
		pthread_cond_timedwait(&source->stopped, &source->lock, &due) != ETIMEDOUT) {
	}
	pthread_mutex_unlock(&source->lock);
	return !atomic_load(&source->stop);
}

/* The reader's picture in a frame of ours. 0, -EAGAIN: none is free. */
static int make_frame(struct file_source *source, struct pc_frame **ret_frame)
{
	struct pc_frame *frame = pc_frame_pool_acquire(source->pool);
	if (frame == NULL) {
		return -EAGAIN;
	}
	uint8_t *planes[PC_FRAME_MAX_PLANES];
	int r = pc_frame_begin_cpu(frame, PC_FRAME_WRITE, planes);
	if (r == 0) {
		const uint32_t strides[3] = { frame->planes[0].stride, frame->planes[1].stride,
			frame->planes[2].stride };
		r = pc_file_reader_copy(source->reader, planes, strides);
		pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	}
	if (r < 0) {
		pc_frame_unref(frame);
		return r;
	}
	*ret_frame = frame;
	return 0;
}

/* Shows the reader's picture when it is due, or skips it. 0, -ECANCELED, or the failure. */
static int present(struct file_source *source, int64_t time_ns)
{
	const int64_t frame_ns = pc_file_reader_info(source->reader)->frame_ns;
	const int64_t now_ns = pc_clock_now_ns();
	const int64_t late_ns = now_ns - (source->start_ns + time_ns);
	const uint64_t sequence = source->sequence++;
	if (late_ns > LATE_FRAMES * frame_ns) {
		if (now_ns - source->shown_ns <= SKIP_MAX_NS) {
			pc_counter_add(&source->stats->frames_skipped_source, 1);
			return 0;
		}
		source->start_ns += late_ns;
	}
	source->shown_ns = now_ns;
	const int64_t due_ns = source->start_ns + time_ns;
	struct pc_frame *frame = NULL;
	int r = make_frame(source, &frame);
	if (r < 0 && r != -EAGAIN) {
		return r;
	}
	if (!wait_until(source, due_ns)) {
		pc_frame_unref(frame);
		return -ECANCELED;
	}
	if (frame != NULL) {
		frame->capture_ns = due_ns;
		frame->sequence = sequence;
		r = pc_queue_push(source->frames, &frame);
	}
	if (r < 0) {
		pc_frame_unref(frame);
		pc_counter_add(&source->stats->frames_skipped_source, 1);
		return 0;
	}
	pc_wakeup_signal(source->wakeup);
	return 0;
}

static void count_bad(struct file_source *source)
{
	const uint64_t bad = pc_file_reader_bad(source->reader);
	if (bad == source->bad) {
		return;
	}
	if (source->bad == 0) {
		pc_warn("file %s: a part of it does not decode, ignoring", source->name);
	}
	pc_counter_add(&source->stats->frames_skipped_source, bad - source->bad);
	source->bad = bad;
}

/* From the reader's next picture to the file's end: -ENODATA, or why not so far. */
static int play_round(struct file_source *source, int64_t *ret_last_ns)
{
	for (;;) {
		int64_t time_ns = 0;
		int r = pc_file_reader_next(source->reader, &time_ns);
		count_bad(source);
		if (r == 0) {
			*ret_last_ns = time_ns;
			r = present(source, time_ns);
		}
		if (r < 0) {
			return r;
		}
	}
}

static int play(struct file_source *source)
{
	source->start_ns = pc_clock_now_ns();
	source->shown_ns = source->start_ns;
	for (;;) {
		int64_t last_ns = -1;
		int r = play_round(source, &last_ns);
		if (r != -ENODATA || !source->loop) {
			return r;
		}
		if (last_ns < 0) {
			return -EBADMSG; /* a round without a picture: do not spin */
		}
		source->start_ns += last_ns + pc_file_reader_info(source->reader)->frame_ns;
		r = pc_file_reader_rewind(source->reader);
		if (r < 0) {
			return r;
		}
	}
}

static void *work(void *data)
{
	struct file_source *source = data;
	const int r = play(source);
	if (r == -ECANCELED) {
		return NULL;
	}
	if (r != -ENODATA) {
		source->err = r;
		snprintf(source->what, sizeof(source->what), "file %s: %s", source->name,
			r == -EBADMSG ? "no picture can be decoded any more" : pc_strerror(r));
	}
	atomic_store(&source->outcome, r == -ENODATA ? ENDED : FAILED);
	pc_wakeup_signal(source->wakeup);
	return NULL;
}

/* --- the loop's thread --- */

/* What is in the queue, and then the outcome; stops when a callback closes the source. */
static void hand_over(struct file_source *source, enum outcome outcome)
{
	struct pc_frame *frame;
	while (!source->closed && pc_queue_try_pop(source->frames, &frame) == 0) {
		source->events->frame(source->data, frame);
		pc_frame_unref(frame);
	}
	if (source->closed || outcome == GOES_ON) {
		return;
	}
	source->done = true;
	if (outcome == ENDED) {
		source->events->ended(source->data);
	} else {
		source->events->failed(source->data, source->err, source->what);
	}
}

static void on_frames(void *data)
{
	struct file_source *source = data;
	if (source->done) {
		return;
	}
	/* Read before the queue is emptied: every frame was pushed before it was set. */
	const enum outcome outcome = atomic_load(&source->outcome);
	source->handing_over = true;
	hand_over(source, outcome);
	source->handing_over = false;
	if (source->closed) {
		free(source);
	}
}

/* Everything but the thread, which does not run. */
static void free_source(struct file_source *source)
{
	struct pc_frame *frame;
	while (source->frames != NULL && pc_queue_try_pop(source->frames, &frame) == 0) {
		pc_frame_unref(frame);
	}
	pc_wakeup_destroy(source->wakeup);
	pc_queue_destroy(source->frames);
	pc_frame_pool_destroy(source->pool);
	pc_file_reader_close(source->reader);
	pthread_cond_destroy(&source->stopped);
	pthread_mutex_destroy(&source->lock);
	if (source->handing_over) {
		source->closed = true;
	} else {
		free(source);
	}
}

static void file_close(struct pc_source *base)
{
	struct file_source *source = (struct file_source *)base;
	pthread_mutex_lock(&source->lock);
	atomic_store(&source->stop, true);
	pthread_cond_signal(&source->stopped);
	pthread_mutex_unlock(&source->lock);
	pthread_join(source->thread, NULL);
	free_source(source);
}

/* --- opening --- */

/* The path's last part as printable UTF-8: it comes to the log and into JSON. */
static void name_of(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/');
	const uint8_t *at = (const uint8_t *)(slash != NULL ? slash + 1 : path);
	const uint8_t *end = at + strlen((const char *)at);
	size_t used = 0;
	while (at < end) {
		const uint8_t *start = at;
		int32_t code = 0;
		const bool good =
			av_utf8_decode(&code, &at, end, 0) == 0 && code >= ' ' && code != 127;
		const size_t length = good ? (size_t)(at - start) : 1;
		if (used + length >= size) {
			break;
		}
		memcpy(name + used, good ? start : (const uint8_t *)"?", length);
		used += length;
	}
	name[used] = '\0';
}

static struct file_source *new_source(void)
{
	struct file_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		return NULL;
	}
	source->base.impl = &pc_source_file;
	atomic_init(&source->stop, false);
	atomic_init(&source->outcome, GOES_ON);
	pthread_mutex_init(&source->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&source->stopped, &attr);
	pthread_condattr_destroy(&attr);
	return source;
}

static int make_parts(
	struct file_source *source, struct pc_loop *loop, struct pc_allocator *allocator)
{
	const struct pc_file_reader_info *reader_info = pc_file_reader_info(source->reader);
	struct pc_source_info *info = &source->base.info;
	info->format = (struct pc_frame_format){
		.fourcc = DRM_FORMAT_YUV420,
		.width = reader_info->width,
		.height = reader_info->height,
		.modifier = DRM_FORMAT_MOD_LINEAR,
	};
	info->caps = pc_allocator_caps(allocator);
	info->fps = reader_info->fps;
	snprintf(info->text, sizeof(info->text), "file %s, %ux%u at %.4g", source->name,
		info->format.width, info->format.height, info->fps);
	int r = pc_frame_pool_create(allocator, &info->format, POOL_FRAMES, &source->pool);
	if (r == 0) {
		r = pc_queue_create(sizeof(struct pc_frame *), QUEUE_FRAMES, &source->frames);
	}
	if (r == 0) {
		r = pc_wakeup_create(loop, "file source", on_frames, source, &source->wakeup);
	}
	if (r == 0) {
		r = pc_thread_create(&source->thread, "file", work, source);
	}
	return r;
}

static int file_open(struct pc_loop *loop, const struct pc_source_config *config,
	const char *argument, const struct pc_source_events *events, void *data, char *why,
	size_t why_size, struct pc_source **ret_source)
{
	struct pc_allocator *allocator = config->allocator;
	if ((pc_allocator_caps(allocator) & PC_FRAME_CPU) == 0) {
		snprintf(why, why_size,
			"a file is decoded by the CPU, which cannot write to %s buffers",
			pc_allocator_name(allocator));
		return -EINVAL;
	}
	if (argument[0] == '\0') {
		snprintf(why, why_size, "source \"%s\" names no file: use file:PATH",
			config->source);
		return -EINVAL;
	}
	struct file_source *source = new_source();
	if (source == NULL) {
		snprintf(why, why_size, "file %s: out of memory", argument);
		return -ENOMEM;
	}
	source->events = events;
	source->data = data;
	source->stats = config->stats;
	source->loop = config->camera->loop;
	name_of(argument, source->name, sizeof(source->name));
	char reason[160] = "";
	int r = pc_file_reader_open(
		argument, &source->stop, reason, sizeof(reason), &source->reader);
	if (r == 0) {
		r = make_parts(source, loop, allocator);
	}
	if (r < 0) {
		snprintf(why, why_size, "file %s: %s", argument,
			reason[0] != '\0' ? reason : pc_strerror(r));
		free_source(source);
		return r;
	}
	*ret_source = &source->base;
	return 0;
}

const struct pc_source_impl pc_source_file = {
	.scheme = "file",
	.draws = true,
	.open = file_open,
	.close = file_close,
};
