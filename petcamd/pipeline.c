/* petcamd/pipeline.c - one camera's way of a frame. See pipeline.h. */
#include "petcamd/pipeline.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PC_LOG_MODULE "pipeline"
#include "core/clock.h"
#include "core/fragment.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/muxer.h"
#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "hwaccel/encoder.h"
#include "hwaccel/scaler.h"
#include "petcamd/source.h"

#define WATCHDOG_NS (250 * PC_NS_PER_MS)
/* An encoder or camera that owes a frame for so long is closed and opened again. */
#define OWED_MAX_NS PC_NS_PER_S
#define BACKOFF_MIN_NS (PC_NS_PER_S / 2)
#define BACKOFF_MAX_NS (15 * PC_NS_PER_S)
/* A scaler that failed is opened again so often; live view goes on meanwhile. */
#define SCALER_RETRY_NS (15 * PC_NS_PER_S)
/* A source that ran for so long has earned a short back-off again. */
#define BACKOFF_RESET_NS (30 * PC_NS_PER_S)
/* Fragments that live in the window, in recordings under way and with viewers: at least. */
#define FRAGMENT_BYTES_MIN (96U * 1024 * 1024)
#define SOURCE_FPS_MAX 120 /* a file's; demo and devices give 60 at most */

enum state {
	STATE_FAILED, /* to be closed by the retry timer, which fires at once */
	STATE_CLOSED, /* the retry timer opens it again after the back-off */
	STATE_OPEN,
	STATE_DRAINING, /* the file has ended: waiting for the encoder's last packets */
	STATE_ENDED,
};

struct pc_pipeline {
	const struct pc_settings *settings;
	const struct pc_camera_settings *camera;
	struct pc_health *health;
	struct pc_seeing_camera *seeing; /* NULL: none */
	char part[PC_HEALTH_NAME_MAX]; /* "camera front" */
	char encoder_part[PC_HEALTH_NAME_MAX];
	char scaler_part[PC_HEALTH_NAME_MAX];

	struct pc_window *window;
	struct pc_fragment_pool *pool;
	struct pc_allocator *allocator;
	struct pc_camera_stats stats;

	pthread_t thread;
	bool started;
	struct pc_loop *loop;
	struct pc_loop_source *watchdog;
	struct pc_loop_source *retry;

	/* What follows belongs to the media thread. */
	enum state state;
	struct pc_source *source; /* NULL unless open or draining, like the next three */
	struct pc_encoder *encoder;
	struct pc_scaler *scaler; /* NULL also where it could not be opened */
	struct pc_muxer *muxer;
	int64_t base_ns; /* decode time 0 of all epochs */
	uint32_t epoch; /* of the next muxer */
	uint64_t number; /* of the next fragment */
	int64_t opened_ns;
	int64_t backoff_ns;
	int64_t frame_ns; /* nominal frame duration */
	int64_t next_key_ns;
	int64_t next_scale_ns;
	int64_t scale_interval_ns;
	int64_t scaler_retry_ns; /* where there is none: when to try next */
	bool coding_well; /* what encoder_part says, beside the failures */
	bool scaling_well;
};

static void close_scaler(struct pc_pipeline *p)
{
	if (p->scaler != NULL) {
		pc_seeing_camera_close(p->seeing);
	}
	pc_scaler_close(p->scaler);
	p->scaler = NULL;
}

static void close_all(struct pc_pipeline *p)
{
	if (p->muxer != NULL) {
		p->epoch = pc_muxer_next_epoch(p->muxer);
		p->number = pc_muxer_next_number(p->muxer);
	}
	pc_source_close(p->source);
	pc_encoder_close(p->encoder);
	close_scaler(p);
	pc_muxer_destroy(p->muxer);
	p->source = NULL;
	p->encoder = NULL;
	p->muxer = NULL;
}

/* Ends this try; the next one follows after the back-off. Safe inside any callback: the
 * closing itself happens on the retry timer. */
static void fail(struct pc_pipeline *p)
{
	if (p->state == STATE_DRAINING) {
		return; /* the file would begin again: the watchdog ends it */
	}
	const int64_t now_ns = pc_clock_now_ns();
	if (p->state == STATE_OPEN && now_ns - p->opened_ns > BACKOFF_RESET_NS) {
		p->backoff_ns = BACKOFF_MIN_NS;
	}
	p->state = STATE_FAILED;
	pc_loop_timer_arm(p->retry, 0, 0);
}

static void on_packet(void *data, const struct pc_packet *packet)
{
	struct pc_pipeline *p = data;
	pc_counter_add(&p->stats.frames_encoded, 1);
	pc_counter_add(&p->stats.bytes_encoded, packet->size);
	pc_mean_add(&p->stats.encode_ns, packet->encoded_ns - packet->submit_ns);

	struct pc_fragment *fragment = NULL;
	const int r = pc_muxer_write(p->muxer, packet, &fragment);
	if (r < 0) {
		pc_counter_add(&p->stats.frames_dropped_mux, 1);
		if (r != -EAGAIN) { /* which is what follows a lost one, up to a key frame */
			p->coding_well = false;
			pc_health_set(p->health, p->encoder_part, PC_HEALTH_DEGRADED,
				"a coded frame was lost: %s", pc_strerror(r));
			/* What follows refers to the lost frame: begin at a key frame. */
			p->next_key_ns = 0;
		}
		return;
	}
	if (!p->coding_well) {
		p->coding_well = true;
		pc_health_set(p->health, p->encoder_part, PC_HEALTH_OK, NULL);
	}
	pc_counter_add(&p->stats.fragments, 1);
	pc_window_push(p->window, fragment);
	pc_fragment_unref(fragment);
}

static void on_encoder_failed(void *data, int err)
{
	struct pc_pipeline *p = data;
	pc_health_set(p->health, p->encoder_part, PC_HEALTH_FAILED,
		"encoder %s failed: %s; opening it again", pc_encoder_name(p->encoder),
		pc_strerror(err));
	fail(p);
}

static void on_scaled(void *data, struct pc_frame *frame)
{
	struct pc_pipeline *p = data;
	if (!p->scaling_well) {
		p->scaling_well = true;
		pc_health_set(p->health, p->scaler_part, PC_HEALTH_OK, NULL);
	}
	pc_counter_add(&p->stats.frames_scaled, 1);
	pc_seeing_camera_feed(p->seeing, frame);
}

static void on_scaler_failed(void *data, int err)
{
	struct pc_pipeline *p = data;
	pc_health_set(p->health, p->scaler_part, PC_HEALTH_DEGRADED,
		"scaler %s failed: %s; no events are seen until it opens again",
		pc_scaler_name(p->scaler), pc_strerror(err));
	close_scaler(p);
	p->scaler_retry_ns = pc_clock_now_ns() + SCALER_RETRY_NS;
}

static void encode(struct pc_pipeline *p, struct pc_frame *frame)
{
	/* Half a frame of tolerance: 24 frames of 41.666666 ms are a second. */
	const bool key = frame->capture_ns + p->frame_ns / 2 >= p->next_key_ns;
	const int r = pc_encoder_submit(p->encoder, frame, key ? PC_ENCODER_KEY : 0);
	if (r < 0) {
		pc_counter_add(&p->stats.frames_dropped_encoder, 1);
		return; /* a key that is due stays due */
	}
	if (key) {
		p->next_key_ns = frame->capture_ns +
				 llround(p->settings->live.segment_s * (double)PC_NS_PER_S);
	}
}

static void scale(struct pc_pipeline *p, struct pc_frame *frame)
{
	if (p->scaler == NULL || frame->capture_ns + p->frame_ns / 2 < p->next_scale_ns) {
		return;
	}
	if (pc_scaler_submit(p->scaler, frame) < 0) {
		pc_counter_add(&p->stats.frames_dropped_scaler, 1);
		return;
	}
	p->next_scale_ns += p->scale_interval_ns;
	if (p->next_scale_ns <= frame->capture_ns) {
		p->next_scale_ns = frame->capture_ns + p->scale_interval_ns;
	}
}

static void on_frame(void *data, struct pc_frame *frame)
{
	struct pc_pipeline *p = data;
	if (p->state != STATE_OPEN) {
		return; /* failed in this very pass; closing follows */
	}
	pc_counter_add(&p->stats.frames_captured, 1);
	if (atomic_exchange_explicit(
		    &p->stats.last_frame_ns, frame->capture_ns, memory_order_relaxed) == 0) {
		pc_health_set(p->health, p->part, PC_HEALTH_OK, NULL);
	}
	encode(p, frame);
	scale(p, frame);
}

static void on_ended(void *data)
{
	struct pc_pipeline *p = data;
	if (p->state == STATE_OPEN) { /* else it failed in this very pass */
		p->state = STATE_DRAINING;
	}
}

static void on_source_failed(void *data, int err, const char *what)
{
	struct pc_pipeline *p = data;
	pc_health_set(p->health, p->part, PC_HEALTH_FAILED, "%s (%s); trying again", what,
		pc_strerror(err));
	fail(p);
}

static const struct pc_source_events source_events = {
	.frame = on_frame,
	.ended = on_ended,
	.failed = on_source_failed,
};

static const struct pc_encoder_events encoder_events = {
	.packet = on_packet,
	.failed = on_encoder_failed,
};

static const struct pc_scaler_events scaler_events = {
	.scaled = on_scaled,
	.failed = on_scaler_failed,
};

static int open_encoder(struct pc_pipeline *p, const struct pc_source_info *info)
{
	const struct pc_encoder_config config = {
		.format = info->format,
		.caps = info->caps,
		.fps = info->fps,
		.bitrate_kbps = p->camera->bitrate_kbps,
		/* Key frames are forced by time; this bound only catches a clock that stands. */
		.key_interval = (unsigned)lround(info->fps * p->settings->live.segment_s * 4) + 1,
		.choice = p->settings->encoder.encoder,
		.preset = p->settings->encoder.preset,
		.threads = p->settings->encoder.threads,
	};
	int r = pc_encoder_open(p->loop, &config, &encoder_events, p, &p->encoder);
	if (r < 0) {
		pc_health_set(p->health, p->encoder_part, PC_HEALTH_FAILED,
			"no encoder takes %ux%u: %s", info->format.width, info->format.height,
			pc_strerror(r));
		return r;
	}
	pc_counter_add(&p->stats.encoder_opens, 1);

	const struct pc_muxer_config muxer_config = {
		.pool = p->pool,
		.width = info->format.width,
		.height = info->format.height,
		.frame_duration = llround(PC_MEDIA_TIMESCALE / info->fps),
		.base_ns = p->base_ns,
		.first_epoch = p->epoch,
		.first_number = p->number,
	};
	r = pc_muxer_create(&muxer_config, &p->muxer);
	if (r < 0) {
		pc_health_set(p->health, p->encoder_part, PC_HEALTH_FAILED, "no muxer: %s",
			pc_strerror(r));
	}
	return r;
}

static void open_scaler(struct pc_pipeline *p)
{
	const struct pc_source_info *info = pc_source_info(p->source);
	struct pc_scaler_config config = {
		.input = info->format,
		.caps = info->caps,
		.buffers = 4,
		.choice = "auto",
	};
	pc_scaler_fit(&info->format, p->settings->inference.width, &config.width, &config.height);
	const int r = pc_scaler_open(p->loop, &config, &scaler_events, p, &p->scaler);
	if (r < 0) {
		/* Live view goes on without events; the owner is told. */
		pc_health_set(p->health, p->scaler_part, PC_HEALTH_DEGRADED,
			"no scaler: %s; no events are seen until one opens", pc_strerror(r));
		p->scaler_retry_ns = r == -EINVAL ? INT64_MAX : pc_clock_now_ns() + SCALER_RETRY_NS;
		return;
	}
	p->scaling_well = false;
	pc_seeing_camera_open(p->seeing, info, config.width, config.height);
}

static void open_all(struct pc_pipeline *p)
{
	char why[256] = "";
	/* Before the source: its worker may hand over the first frame at once. */
	atomic_store_explicit(&p->stats.last_frame_ns, 0, memory_order_relaxed);
	int r = pc_source_open(p->loop, p->camera, p->allocator, &p->stats, &source_events, p, why,
		sizeof(why), &p->source);
	if (r < 0) {
		pc_health_set(p->health, p->part, PC_HEALTH_FAILED, "%s",
			why[0] != '\0' ? why : pc_strerror(r));
		fail(p);
		return;
	}
	pc_counter_add(&p->stats.source_opens, 1);
	const struct pc_source_info *info = pc_source_info(p->source);
	p->frame_ns = llround((double)PC_NS_PER_S / info->fps);
	p->scale_interval_ns = llround((double)PC_NS_PER_S / p->settings->inference.rate);
	p->next_key_ns = 0;
	p->next_scale_ns = 0;
	if (open_encoder(p, info) < 0) {
		fail(p);
		return;
	}
	p->coding_well = false;
	if (p->seeing != NULL) {
		open_scaler(p);
	}
	p->opened_ns = pc_clock_now_ns();
	p->state = STATE_OPEN;
	pc_info("camera %s: %s; encoder %s; scaler %s", p->camera->id, info->text,
		pc_encoder_name(p->encoder),
		p->scaler == NULL ? "none" : pc_scaler_name(p->scaler));
}

static void on_retry(void *data, uint64_t expirations)
{
	struct pc_pipeline *p = data;
	if (p->state == STATE_FAILED) {
		close_all(p);
		p->state = STATE_CLOSED;
		pc_loop_timer_arm(p->retry, p->backoff_ns, 0);
		p->backoff_ns =
			p->backoff_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : p->backoff_ns * 2;
	} else if (p->state == STATE_CLOSED) {
		open_all(p);
	}
}

static void on_watchdog(void *data, uint64_t expirations)
{
	struct pc_pipeline *p = data;
	const int64_t now_ns = pc_clock_now_ns();
	if (p->state == STATE_DRAINING) {
		if (pc_encoder_owed_ns(p->encoder) == 0 ||
			pc_encoder_owed_ns(p->encoder) > OWED_MAX_NS) {
			close_all(p);
			p->state = STATE_ENDED;
			pc_health_set(p->health, p->encoder_part, PC_HEALTH_OK, NULL);
			pc_health_set(p->health, p->part, PC_HEALTH_DEGRADED,
				"the file has ended; set cameras.[].loop to play it again");
		}
		return;
	}
	if (p->state != STATE_OPEN) {
		return;
	}
	if (pc_encoder_owed_ns(p->encoder) > OWED_MAX_NS) {
		pc_health_set(p->health, p->encoder_part, PC_HEALTH_FAILED,
			"encoder %s gave nothing for a second; opening it again",
			pc_encoder_name(p->encoder));
		fail(p);
		return;
	}
	int64_t last_ns = atomic_load_explicit(&p->stats.last_frame_ns, memory_order_relaxed);
	if (last_ns < p->opened_ns) {
		last_ns = p->opened_ns;
	}
	if (now_ns - last_ns > OWED_MAX_NS + 3 * p->frame_ns) {
		pc_health_set(p->health, p->part, PC_HEALTH_FAILED,
			"no frame for more than a second; opening the camera again");
		fail(p);
		return;
	}
	if (p->seeing != NULL && p->scaler == NULL && now_ns >= p->scaler_retry_ns) {
		open_scaler(p);
	}
}

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
	p->base_ns = pc_clock_now_ns();
	p->epoch = 1;
	p->number = 1;
	p->backoff_ns = BACKOFF_MIN_NS;
	p->state = STATE_CLOSED;
	snprintf(p->part, sizeof(p->part), "camera %s", p->camera->id);
	snprintf(p->encoder_part, sizeof(p->encoder_part), "encoder %s", p->camera->id);
	snprintf(p->scaler_part, sizeof(p->scaler_part), "scaler %s", p->camera->id);
	const double window_s = p->settings->live.window_s;
	int r = pc_window_create(llround(window_s * (double)PC_NS_PER_S),
		(unsigned)lround((window_s + 1) * SOURCE_FPS_MAX), &p->window);
	if (r < 0) {
		goto fail;
	}
	r = pc_fragment_pool_create(fragment_bytes(p), &p->pool);
	if (r < 0) {
		goto fail;
	}
	r = pc_allocator_create_memfd(&p->allocator);
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
	pc_loop_remove(p->retry);
	pc_loop_remove(p->watchdog);
	pc_loop_destroy(p->loop);
	pc_allocator_destroy(p->allocator);
	pc_fragment_pool_destroy(p->pool);
	pc_window_unref(p->window);
	free(p);
}
