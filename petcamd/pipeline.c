/* petcamd/pipeline.c - one camera's way of a frame: its source, thread and watchdog. See
 * pipeline.h. */
#define PC_LOG_MODULE "pipeline"
#include "petcamd/pipeline_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/thread.h"

#define WATCHDOG_NS (250 * PC_NS_PER_MS)
#define LATE_NS (2 * WATCHDOG_NS) /* of the watchdog itself */
#define BACKOFF_MIN_NS (PC_NS_PER_S / 4)
#define BACKOFF_MAX_NS (15 * PC_NS_PER_S)
/* Where nothing is plugged in: to look costs nothing, and somebody waits for the picture. */
#define BACKOFF_ABSENT_NS PC_NS_PER_S
/* A camera may need so long for its first picture: sensors start, exposure settles. */
#define FIRST_FRAME_MAX_NS (5 * PC_NS_PER_S)
/* A source that gave pictures for so long has earned a short back-off again: it is for what
 * does not come up at all. */
#define BACKOFF_RESET_NS PC_NS_PER_S
/* How often the demo that stands in looks for a camera. */
#define RESOLVE_NS (10 * PC_NS_PER_S)
/* Fragments that live in the window, in recordings under way and with viewers: at least. */
#define FRAGMENT_BYTES_MIN (96U * 1024 * 1024)
/* Beside that for key frames, which keep a stream alive whose pictures are too much for it. */
#define FRAGMENT_BYTES_KEYS (64U * 1024 * 1024)
#define SOURCE_FPS_MAX 120 /* a file's; demo and devices give 60 at most */

/* --- what alerts are made of --- */

void pc_pipeline_tell_restart(struct pc_pipeline *p, enum pc_pipeline_part part, const char *what)
{
	pthread_mutex_lock(&p->trouble_lock);
	p->trouble.parts[part].restarts++;
	snprintf(p->trouble.parts[part].text, sizeof(p->trouble.parts[part].text), "%s", what);
	pthread_mutex_unlock(&p->trouble_lock);
}

void pc_pipeline_tell_lost(struct pc_pipeline *p, const char *what)
{
	pthread_mutex_lock(&p->trouble_lock);
	if (p->trouble.lost_since_ns == 0) {
		p->trouble.lost_since_ns = pc_clock_now_ns();
	}
	snprintf(p->trouble.lost_text, sizeof(p->trouble.lost_text), "%s", what);
	pthread_mutex_unlock(&p->trouble_lock);
}

void pc_pipeline_tell_found(struct pc_pipeline *p)
{
	pthread_mutex_lock(&p->trouble_lock);
	p->trouble.lost_since_ns = 0;
	pthread_mutex_unlock(&p->trouble_lock);
}

void pc_pipeline_get_trouble(struct pc_pipeline *p, struct pc_pipeline_trouble *ret_trouble)
{
	pthread_mutex_lock(&p->trouble_lock);
	*ret_trouble = p->trouble;
	pthread_mutex_unlock(&p->trouble_lock);
}

/* --- the source --- */

static void close_all(struct pc_pipeline *p)
{
	pc_source_close(p->source);
	pc_coder_close(p);
	pc_pipeline_scaler_close(p);
	pc_allocator_destroy(p->allocator);
	p->source = NULL;
	p->allocator = NULL;
}

/* No camera, or nothing at its input. */
static bool is_absence(int err)
{
	return err == -ENODEV || err == -ENOENT || err == -ENXIO || err == -ENOLINK ||
	       err == -ENOLCK;
}

void pc_pipeline_fail(struct pc_pipeline *p, int err)
{
	if (p->state == PC_PIPELINE_DRAINING) {
		return; /* the file would begin again: the watchdog ends it */
	}
	const int64_t last_ns = atomic_load_explicit(&p->stats.last_frame_ns, memory_order_relaxed);
	if (p->state == PC_PIPELINE_OPEN && last_ns - p->opened_ns > BACKOFF_RESET_NS) {
		p->backoff_ns = BACKOFF_MIN_NS;
	}
	p->backoff_max_ns = is_absence(err) ? BACKOFF_ABSENT_NS : BACKOFF_MAX_NS;
	p->state = PC_PIPELINE_FAILED;
	pc_loop_timer_arm(p->retry, 0, 0);
}

/* The camera gives nothing any more: the board says so, and whoever makes alerts is told. */
static void lose_source(struct pc_pipeline *p, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void lose_source(struct pc_pipeline *p, int err, const char *format, ...)
{
	char text[PC_HEALTH_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (p->state == PC_PIPELINE_OPEN) {
		pc_pipeline_tell_restart(p, PC_PIPELINE_SOURCE, text);
	}
	pc_pipeline_tell_lost(p, text);
	pc_health_set(p->health, p->part, PC_HEALTH_FAILED, "%.170s; trying again", text);
	pc_pipeline_fail(p, err);
}

static void on_frame(void *data, struct pc_frame *frame)
{
	struct pc_pipeline *p = data;
	if (p->state != PC_PIPELINE_OPEN) {
		return; /* failed in this very pass; closing follows */
	}
	pc_counter_add(&p->stats.frames_captured, 1);
	if (atomic_exchange_explicit(
		    &p->stats.last_frame_ns, frame->capture_ns, memory_order_relaxed) == 0) {
		pc_health_set(p->health, p->part, PC_HEALTH_OK, NULL);
		pc_pipeline_tell_found(p);
	}
	pc_coder_submit(p, frame);
	pc_pipeline_scaler_submit(p, frame);
}

static void on_ended(void *data)
{
	struct pc_pipeline *p = data;
	if (p->state == PC_PIPELINE_OPEN) { /* else it failed in this very pass */
		p->state = PC_PIPELINE_DRAINING;
	}
}

static void on_source_failed(void *data, int err, const char *what)
{
	struct pc_pipeline *p = data;
	lose_source(p, err, "%s (%s)", what, pc_strerror(err));
}

static const struct pc_source_events source_events = {
	.frame = on_frame,
	.ended = on_ended,
	.failed = on_source_failed,
};

/* Once: a camera that goes stays a camera. */
static void resolve_source(struct pc_pipeline *p)
{
	if (p->source_text != NULL) {
		return;
	}
	p->source_text = pc_source_resolve(p->camera->source);
	if (p->source_text != p->camera->source) {
		pc_info("camera %s: auto is %s: %s", p->camera->id, p->source_text,
			strcmp(p->source_text, "v4l2") == 0 ? "a camera is there"
							    : "no camera is there");
	}
	p->resolve_ns = pc_clock_now_ns() + RESOLVE_NS;
}

static bool is_stand_in(const struct pc_pipeline *p)
{
	return p->source_text != NULL && p->source_text != p->camera->source &&
	       strcmp(p->source_text, "v4l2") != 0;
}

static int open_source(struct pc_pipeline *p, char *why, size_t why_size)
{
	resolve_source(p);
	if (pc_source_draws(p->source_text)) {
		/* At each opening, for hardware may have come or gone. */
		const int r = pc_allocator_create_for(pc_coder_choice(p), &p->allocator);
		if (r < 0) {
			snprintf(why, why_size, "no frame buffers: %s", pc_strerror(r));
			return r;
		}
	}
	const struct pc_source_config config = {
		.camera = p->camera,
		.source = p->source_text,
		.allocator = p->allocator,
		.stats = &p->stats,
		.encoder = pc_coder_choice(p),
		.encoder_device = p->settings->encoder.device,
		.scaler = p->seeing != NULL ? p->settings->encoder.scaler : NULL,
		.scaler_device = p->settings->encoder.scaler_device,
		.no_export = p->buffers_unfit,
	};
	return pc_source_open(p->loop, &config, &source_events, p, why, why_size, &p->source);
}

/* What drives it now; once, while it stays the same. */
static void say_opened(struct pc_pipeline *p)
{
	const struct pc_coder *coder = &p->coder;
	char text[sizeof(p->said)];
	snprintf(text, sizeof(text), "%.90s; encoder %.30s; scaler %.30s",
		pc_source_info(p->source)->text,
		coder->encoder == NULL ? "none" : pc_encoder_name(coder->encoder),
		p->scaler == NULL ? "none" : pc_scaler_name(p->scaler));
	if (strcmp(text, p->said) != 0) {
		pc_info("camera %s: %s", p->camera->id, text);
		memcpy(p->said, text, sizeof(p->said));
	}
}

static void open_all(struct pc_pipeline *p)
{
	char why[256] = "";
	/* Before the source: its worker may hand over the first frame at once. */
	atomic_store_explicit(&p->stats.last_frame_ns, 0, memory_order_relaxed);
	const int r = open_source(p, why, sizeof(why));
	if (r < 0) {
		lose_source(p, r, "%s", why[0] != '\0' ? why : pc_strerror(r));
		return;
	}
	pc_counter_add(&p->stats.source_opens, 1);
	const struct pc_source_info *info = pc_source_info(p->source);
	p->frame_ns = llround((double)PC_NS_PER_S / info->fps);
	p->scale_interval_ns = llround((double)PC_NS_PER_S / p->settings->inference.rate);
	p->next_scale_ns = 0;
	p->scaler_failures = 0;
	p->scaler_retry_ns = 0;
	p->scaler_backoff_ns = 0;
	p->opened_ns = pc_clock_now_ns();
	p->state = PC_PIPELINE_OPEN;
	if (pc_coder_open(p) == -EINVAL && p->coder.software) {
		pc_pipeline_fail(p, 0); /* other pictures, for software */
		return;
	}
	pc_pipeline_scaler_open(p);
	say_opened(p);
}

static void on_retry(void *data, uint64_t expirations)
{
	struct pc_pipeline *p = data;
	if (p->state == PC_PIPELINE_FAILED) {
		close_all(p);
		p->state = PC_PIPELINE_CLOSED;
		if (p->backoff_ns > p->backoff_max_ns) {
			p->backoff_ns = p->backoff_max_ns;
		}
		pc_loop_timer_arm(p->retry, p->backoff_ns, 0);
		p->backoff_ns *= 2;
	} else if (p->state == PC_PIPELINE_CLOSED) {
		open_all(p);
	}
}

static void watch_draining(struct pc_pipeline *p)
{
	const int64_t owed_ns = pc_coder_owed_ns(p);
	if (owed_ns > 0 && owed_ns <= PC_PIPELINE_OWED_MAX_NS) {
		return;
	}
	close_all(p);
	p->state = PC_PIPELINE_ENDED;
	pc_health_set(p->health, p->coder.part, PC_HEALTH_OK, NULL);
	pc_health_set(p->health, p->part, PC_HEALTH_DEGRADED,
		"the file has ended; set cameras.[].loop to play it again");
}

/* An encoder that held all of a camera's buffers kept it from giving frames: its time begins
 * when they are back. */
static void watch_source(struct pc_pipeline *p, int64_t now_ns)
{
	int64_t last_ns = atomic_load_explicit(&p->stats.last_frame_ns, memory_order_relaxed);
	const bool begun = last_ns != 0;
	last_ns = last_ns < p->opened_ns ? p->opened_ns : last_ns;
	last_ns = last_ns < p->coder.released_ns ? p->coder.released_ns : last_ns;
	const int64_t max_ns =
		begun ? PC_PIPELINE_OWED_MAX_NS + 3 * p->frame_ns : FIRST_FRAME_MAX_NS;
	if (now_ns - last_ns > max_ns) {
		lose_source(p, 0, "no frame for more than %s", begun ? "1 s" : "5 s");
	}
}

static void on_watchdog(void *data, uint64_t expirations)
{
	struct pc_pipeline *p = data;
	if (p->state == PC_PIPELINE_DRAINING) {
		watch_draining(p);
		return;
	}
	const int64_t now_ns = pc_clock_now_ns();
	/* A machine that slept, or has no time for this thread, has none for a device's either. */
	if (now_ns - p->watched_ns > LATE_NS) {
		p->patient_until_ns = now_ns + PC_PIPELINE_OWED_MAX_NS;
	}
	p->watched_ns = now_ns;
	if (now_ns < p->patient_until_ns) {
		return;
	}
	if (p->state == PC_PIPELINE_OPEN && is_stand_in(p) && now_ns >= p->resolve_ns) {
		p->resolve_ns = now_ns + RESOLVE_NS;
		if (strcmp(pc_source_resolve(p->camera->source), p->source_text) != 0) {
			p->source_text = NULL;
			pc_pipeline_fail(p, 0);
		}
	}
	if (p->state == PC_PIPELINE_OPEN) {
		pc_coder_watch(p, now_ns);
	}
	if (p->state == PC_PIPELINE_OPEN) {
		pc_pipeline_scaler_watch(p, now_ns);
		watch_source(p, pc_clock_now_ns());
	}
}

/* --- the thread --- */

static void *media_thread(void *data)
{
	struct pc_pipeline *p = data;
	const int r = pc_loop_run(p->loop);
	if (r < 0) {
		pc_health_set(p->health, p->part, PC_HEALTH_FAILED,
			"its loop ended: %s; restart petcam", pc_strerror(r));
	}
	close_all(p);
	return NULL;
}

/* A fragment may take twice its size, for blocks are powers of two. */
static size_t fragment_bytes(const struct pc_pipeline *p)
{
	const double window_bytes = p->settings->live.window_s * p->camera->bitrate_kbps * 125;
	const size_t bytes = FRAGMENT_BYTES_MIN / 2 + (size_t)llround(2 * window_bytes);
	return bytes > FRAGMENT_BYTES_MIN ? bytes : FRAGMENT_BYTES_MIN;
}

int pc_pipeline_create(const struct pc_pipeline_config *config, struct pc_pipeline **ret_pipeline)
{
	struct pc_pipeline *p = calloc(1, sizeof(*p));
	if (p == NULL) {
		return -ENOMEM;
	}
	p->settings = config->settings;
	p->camera = config->camera;
	p->health = config->health;
	p->backoff_ns = BACKOFF_MIN_NS;
	p->backoff_max_ns = BACKOFF_MAX_NS;
	p->state = PC_PIPELINE_CLOSED;
	pthread_mutex_init(&p->trouble_lock, NULL);
	snprintf(p->part, sizeof(p->part), "camera %s", p->camera->id);
	snprintf(p->scaler_part, sizeof(p->scaler_part), "scaler %s", p->camera->id);
	const double window_s = p->settings->live.window_s;
	int r = pc_window_create(llround(window_s * (double)PC_NS_PER_S),
		(unsigned)lround((window_s + 1) * SOURCE_FPS_MAX), &p->window);
	if (r < 0) {
		goto fail;
	}
	r = pc_fragment_pool_create(fragment_bytes(p), &p->pool);
	if (r == 0) {
		r = pc_fragment_pool_reserve(p->pool, FRAGMENT_BYTES_KEYS);
	}
	if (r < 0) {
		goto fail;
	}
	r = pc_loop_create(&p->loop);
	if (r < 0) {
		goto fail;
	}
	r = pc_loop_add_timer(p->loop, "watchdog", on_watchdog, p, &p->watchdog);
	if (r < 0) {
		goto fail;
	}
	r = pc_loop_add_timer(p->loop, "retry", on_retry, p, &p->retry);
	if (r < 0) {
		goto fail;
	}
	r = pc_coder_init(p);
	if (r < 0) {
		goto fail;
	}
	*ret_pipeline = p;
	return 0;
fail:
	pc_pipeline_destroy(p);
	return r;
}

void pc_pipeline_set_seeing(struct pc_pipeline *pipeline, struct pc_seeing_camera *seeing)
{
	assert(!pipeline->started);
	pipeline->seeing = seeing;
}

struct pc_window *pc_pipeline_window(struct pc_pipeline *pipeline)
{
	return pipeline->window;
}

struct pc_camera_stats *pc_pipeline_stats(struct pc_pipeline *pipeline)
{
	return &pipeline->stats;
}

int pc_pipeline_start(struct pc_pipeline *p)
{
	assert(!p->started);
	int r = pc_loop_timer_arm(p->watchdog, WATCHDOG_NS, WATCHDOG_NS);
	if (r < 0) {
		return r;
	}
	r = pc_loop_timer_arm(p->retry, 0, 0);
	if (r < 0) {
		return r;
	}
	char name[16];
	snprintf(name, sizeof(name), "media %.9s", p->camera->id);
	r = pc_thread_create(&p->thread, name, media_thread, p);
	if (r < 0) {
		return r;
	}
	p->started = true;
	return 0;
}

void pc_pipeline_stop(struct pc_pipeline *p)
{
	if (p->started) {
		pc_loop_quit(p->loop);
		pthread_join(p->thread, NULL);
		p->started = false;
	}
	if (p->window != NULL) { /* half-built */
		pc_window_close(p->window);
	}
}

void pc_pipeline_destroy(struct pc_pipeline *p)
{
	if (p == NULL) {
		return;
	}
	pc_pipeline_stop(p);
	pc_coder_finish(p);
	pc_loop_remove(p->retry);
	pc_loop_remove(p->watchdog);
	pc_loop_destroy(p->loop);
	pc_fragment_pool_destroy(p->pool);
	pc_window_unref(p->window);
	pthread_mutex_destroy(&p->trouble_lock);
	free(p);
}
