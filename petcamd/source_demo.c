/* petcamd/source_demo.c - the demo room as a camera.
 *
 * A worker draws each picture when it is due, into a pooled frame, and hands it over
 * through a short queue. The picture's barcode and the frame's capture time are the
 * moment at which drawing starts, as a sensor's would be that of its exposure. What
 * cannot be made or handed over in time is skipped and counted.
 */
#define PC_LOG_MODULE "source"
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <drm_fourcc.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/queue.h"
#include "core/thread.h"
#include "petcamd/demo.h"
#include "petcamd/source_internal.h"

#define POOL_FRAMES 12 /* the encoder's 4, the scaler's 1, the queue's 3, one in the making */
#define QUEUE_FRAMES 3
#define DEFAULT_WIDTH 1280
#define DEFAULT_HEIGHT 720
#define DEFAULT_FPS 30.0
#define MAX_FPS 240.0
#define MAX_SPEED 100.0
#define MAX_START_S 1e8
#define MAX_WIDTH 3840
#define MAX_HEIGHT 2160

struct options {
	uint64_t seed;
	double speed; /* seconds of the room in a second of ours */
	double start_s; /* of the room, at the first picture */
};

struct demo_source {
	struct pc_source base;
	const struct pc_source_events *events;
	void *data;
	struct pc_camera_stats *stats;
	struct options options;
	struct pc_frame_pool *pool;
	struct pc_queue *frames; /* struct pc_frame *, each with a reference */
	struct pc_wakeup *wakeup;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t stopped; /* on CLOCK_MONOTONIC */
	bool stop; /* under `lock` */
	int err; /* under `lock`: the worker has given up, and why */

	/* The loop's */
	bool done; /* failed() was called */
	bool handing_over; /* a callback may close us: we are freed when it returns */
	bool closed;

	/* The worker's */
	struct pc_demo_scene *scene;
	struct pc_demo_painter *painter;
};

/* ---- worker ---- */

/* false: the source is being closed. */
static bool wait_until(struct demo_source *source, int64_t due_ns)
{
	const struct timespec due = {
		.tv_sec = due_ns / PC_NS_PER_S,
		.tv_nsec = due_ns % PC_NS_PER_S,
	};
	pthread_mutex_lock(&source->lock);
	while (!source->stop &&
		pthread_cond_timedwait(&source->stopped, &source->lock, &due) != ETIMEDOUT) {
	}
	const bool stop = source->stop;
	pthread_mutex_unlock(&source->lock);
	return !stop;
}

/* Draws picture `n` and hands it over. 0; -EAGAIN: no free buffer, or nobody takes it. */
static int make_picture(struct demo_source *source, uint64_t n)
{
	struct pc_frame *frame = pc_frame_pool_acquire(source->pool);
	if (frame == NULL) {
		return -EAGAIN;
	}
	uint8_t *planes[PC_FRAME_MAX_PLANES];
	int r = pc_frame_begin_cpu(frame, PC_FRAME_WRITE, planes);
	if (r < 0) {
		pc_frame_unref(frame);
		return r;
	}
	const uint32_t strides[3] = { frame->planes[0].stride, frame->planes[1].stride,
		frame->planes[2].stride };
	const struct options *options = &source->options;
	const double t_s = options->start_s + options->speed * (double)n / source->base.info.fps;
	frame->sequence = n;
	frame->capture_ns = pc_clock_now_ns();
	pc_demo_paint(source->painter, t_s, (uint32_t)n, pc_clock_utc_ms_of(frame->capture_ns),
		planes, strides);
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	r = pc_queue_push(source->frames, &frame);
	if (r < 0) {
		pc_frame_unref(frame);
		return -EAGAIN;
	}
	pc_wakeup_signal(source->wakeup);
	return 0;
}

/* -ECANCELED when the source is closed, or what went wrong. */
static int run(struct demo_source *source)
{
	const struct pc_frame_format *format = &source->base.info.format;
	/* It takes some 100 ms to furnish the room: not on the loop. */
	int r = pc_demo_scene_create(source->options.seed, &source->scene);
	if (r == 0) {
		r = pc_demo_painter_create(
			source->scene, format->width, format->height, &source->painter);
	}
	if (r < 0) {
		return r;
	}
	const double period_ns = (double)PC_NS_PER_S / source->base.info.fps;
	const int64_t start_ns = pc_clock_now_ns();
	for (uint64_t n = 0;; n++) {
		const int64_t late_ns =
			pc_clock_now_ns() - start_ns - llround((double)n * period_ns);
		if ((double)late_ns > period_ns) {
			const uint64_t behind = (uint64_t)((double)late_ns / period_ns);
			pc_counter_add(&source->stats->frames_skipped_source, behind);
			n += behind;
		}
		if (!wait_until(source, start_ns + llround((double)n * period_ns))) {
			return -ECANCELED;
		}
		r = make_picture(source, n);
		if (r == -EAGAIN) {
			pc_counter_add(&source->stats->frames_skipped_source, 1);
		} else if (r < 0) {
			return r;
		}
	}
}

static void *work(void *data)
{
	struct demo_source *source = data;
	const int r = run(source);
	pc_demo_painter_destroy(source->painter);
	pc_demo_scene_destroy(source->scene);
	if (r != -ECANCELED) {
		pthread_mutex_lock(&source->lock);
		source->err = r;
		pthread_mutex_unlock(&source->lock);
		pc_wakeup_signal(source->wakeup);
	}
	return NULL;
}

/* ---- the loop's thread ---- */

/* Everything but the thread, which does not run. */
static void free_source(struct demo_source *source)
{
	struct pc_frame *frame;
	while (source->frames != NULL && pc_queue_try_pop(source->frames, &frame) == 0) {
		pc_frame_unref(frame);
	}
	pc_wakeup_destroy(source->wakeup);
	pc_queue_destroy(source->frames);
	pc_frame_pool_destroy(source->pool);
	pthread_cond_destroy(&source->stopped);
	pthread_mutex_destroy(&source->lock);
	free(source);
}

/* What is in the queue, and then the failure; stops when a callback closes the source. */
static void hand_over(struct demo_source *source)
{
	/* Read before the queue is emptied: every frame was pushed before it was set. */
	pthread_mutex_lock(&source->lock);
	const int err = source->err;
	pthread_mutex_unlock(&source->lock);
	struct pc_frame *frame;
	while (!source->closed && pc_queue_try_pop(source->frames, &frame) == 0) {
		source->events->frame(source->data, frame);
		pc_frame_unref(frame);
	}
	if (!source->closed && err < 0) {
		source->done = true;
		source->events->failed(source->data, err, "the demo room cannot be drawn");
	}
}

static void on_frames(void *data)
{
	struct demo_source *source = data;
	if (source->done) {
		return;
	}
	source->handing_over = true;
	hand_over(source);
	source->handing_over = false;
	if (source->closed) {
		free_source(source);
	}
}

static void demo_close(struct pc_source *base)
{
	struct demo_source *source = (struct demo_source *)base;
	pthread_mutex_lock(&source->lock);
	source->stop = true;
	pthread_cond_signal(&source->stopped);
	pthread_mutex_unlock(&source->lock);
	pthread_join(source->thread, NULL);
	source->closed = true;
	if (!source->handing_over) {
		free_source(source);
	}
}

/* ---- opening ---- */

static bool parse_seed(const char *text, uint64_t *ret)
{
	char *end;
	errno = 0;
	const unsigned long long value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
		return false;
	}
	*ret = value;
	return true;
}

static bool parse_number(const char *text, double low, double high, double *ret)
{
	char *end;
	const double value = strtod(text, &end);
	/* Written so that "nan" is refused too. */
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || !(value >= low && value <= high)) {
		return false;
	}
	*ret = value;
	return true;
}

/* One "key=value". 0, or -EINVAL with the sentence. */
static int parse_option(const char *option, struct options *options, char *why, size_t why_size)
{
	if (strncmp(option, "seed=", 5) == 0) {
		if (parse_seed(option + 5, &options->seed)) {
			return 0;
		}
		snprintf(why, why_size, "demo: \"%s\": a seed is a whole number", option);
	} else if (strncmp(option, "speed=", 6) == 0) {
		if (parse_number(option + 6, 0.01, MAX_SPEED, &options->speed)) {
			return 0;
		}
		snprintf(why, why_size, "demo: \"%s\": a speed is a number within 0.01..%g", option,
			MAX_SPEED);
	} else if (strncmp(option, "start=", 6) == 0) {
		if (parse_number(option + 6, 0, MAX_START_S, &options->start_s)) {
			return 0;
		}
		snprintf(why, why_size, "demo: \"%s\": a start is seconds within 0..%.0f", option,
			MAX_START_S);
	} else {
		snprintf(why, why_size,
			"demo: \"%s\" is not one of seed=N, speed=X and start=SECONDS", option);
	}
	return -EINVAL;
}

static int parse_options(const char *argument, struct options *options, char *why, size_t why_size)
{
	*options = (struct options){ .seed = 1, .speed = 1 };
	while (*argument != '\0') {
		char option[64];
		const size_t length = strcspn(argument, ",");
		snprintf(option, sizeof(option), "%.*s", length < sizeof(option) ? (int)length : 63,
			argument);
		int r = parse_option(option, options, why, why_size);
		if (r < 0) {
			return r;
		}
		argument += length + (argument[length] == ',');
	}
	return 0;
}

static int set_info(struct pc_source_info *info, const struct pc_camera_settings *settings,
	struct pc_allocator *allocator, char *why, size_t why_size)
{
	const unsigned width = settings->width == 0 ? DEFAULT_WIDTH : settings->width;
	const unsigned height = settings->height == 0 ? DEFAULT_HEIGHT : settings->height;
	const double fps = settings->fps == 0 ? DEFAULT_FPS : settings->fps;
	if (width < 256 || width > MAX_WIDTH || height < 144 || height > MAX_HEIGHT ||
		width % 2 != 0 || height % 2 != 0) {
		snprintf(why, why_size,
			"demo: %ux%u: a picture has an even size from 256x144 to %dx%d", width,
			height, MAX_WIDTH, MAX_HEIGHT);
		return -EINVAL;
	}
	if (!(fps >= 1 && fps <= MAX_FPS)) {
		snprintf(why, why_size, "demo: %g pictures a second are not within 1..%g", fps,
			MAX_FPS);
		return -EINVAL;
	}
	info->format = (struct pc_frame_format){
		.fourcc = DRM_FORMAT_YUV420,
		.width = width,
		.height = height,
		.modifier = DRM_FORMAT_MOD_LINEAR,
	};
	info->caps = pc_allocator_caps(allocator);
	info->fps = fps;
	info->n_zones = pc_demo_zones(info->zones);
	info->n_masks = pc_demo_masks(info->masks);
	return 0;
}

static struct demo_source *new_source(void)
{
	struct demo_source *source = calloc(1, sizeof(*source));
	if (source == NULL) {
		return NULL;
	}
	source->base.impl = &pc_source_demo;
	pthread_mutex_init(&source->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&source->stopped, &attr);
	pthread_condattr_destroy(&attr);
	return source;
}

static int make_parts(
	struct demo_source *source, struct pc_loop *loop, struct pc_allocator *allocator)
{
	struct pc_source_info *info = &source->base.info;
	snprintf(info->text, sizeof(info->text), "demo room (seed %llu), %ux%u at %.4g",
		(unsigned long long)source->options.seed, info->format.width, info->format.height,
		info->fps);
	int r = pc_frame_pool_create(allocator, &info->format, POOL_FRAMES, &source->pool);
	if (r == 0) {
		r = pc_queue_create(sizeof(struct pc_frame *), QUEUE_FRAMES, &source->frames);
	}
	if (r == 0) {
		r = pc_wakeup_create(loop, "demo source", on_frames, source, &source->wakeup);
	}
	if (r == 0) {
		r = pc_thread_create(&source->thread, "demo", work, source);
	}
	return r;
}

static int demo_open(struct pc_loop *loop, const struct pc_source_config *config,
	const char *argument, const struct pc_source_events *events, void *data, char *why,
	size_t why_size, struct pc_source **ret_source)
{
	struct pc_allocator *allocator = config->allocator;
	if ((pc_allocator_caps(allocator) & PC_FRAME_CPU) == 0) {
		snprintf(why, why_size,
			"the demo room is drawn by the CPU, which cannot write to %s buffers",
			pc_allocator_name(allocator));
		return -EINVAL;
	}
	struct options options;
	struct pc_source_info info = { 0 };
	int r = parse_options(argument, &options, why, why_size);
	if (r == 0) {
		r = set_info(&info, config->camera, allocator, why, why_size);
	}
	if (r < 0) {
		return r;
	}
	struct demo_source *source = new_source();
	if (source == NULL) {
		snprintf(why, why_size, "demo: out of memory");
		return -ENOMEM;
	}
	source->base.info = info;
	source->events = events;
	source->data = data;
	source->stats = config->stats;
	source->options = options;
	r = make_parts(source, loop, allocator);
	if (r < 0) {
		snprintf(why, why_size, "demo: %s", pc_strerror(r));
		free_source(source);
		return r;
	}
	*ret_source = &source->base;
	return 0;
}

const struct pc_source_impl pc_source_demo = {
	.scheme = "demo",
	.draws = true,
	.open = demo_open,
	.close = demo_close,
};
