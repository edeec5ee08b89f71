/* petcamd/pipeline_scaler.c - a pipeline's scaler: without it there are no events, but there is
 * a live view. See pipeline_internal.h. */
#define PC_LOG_MODULE "pipeline"
#include "petcamd/pipeline_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"

#define BACKOFF_FIRST_NS (PC_NS_PER_S / 2)
#define BACKOFF_MAX_NS (15 * PC_NS_PER_S)
#define FAILURES_MAX 3
#define BUFFERS 4 /* small frames: one being looked at, one waiting, one in the making */

void pc_pipeline_scaler_close(struct pc_pipeline *p)
{
	if (p->scaler != NULL) {
		pc_seeing_camera_close(p->seeing);
	}
	pc_scaler_close(p->scaler);
	p->scaler = NULL;
	p->scaler_failed = false;
}

static void say_well(struct pc_pipeline *p)
{
	const int64_t now_ns = pc_clock_now_ns();
	if (p->scaled_since_ns == 0) {
		p->scaled_since_ns = now_ns;
	}
	if (p->scaler_failures == 0 || now_ns - p->scaled_since_ns >= PC_PIPELINE_WELL_NS) {
		p->scaling_well = true;
		pc_health_set(p->health, p->scaler_part, PC_HEALTH_OK, NULL);
	}
}

static void on_scaled(void *data, struct pc_frame *frame)
{
	struct pc_pipeline *p = data;
	if (!p->scaling_well) {
		say_well(p);
	}
	pc_counter_add(&p->stats.frames_scaled, 1);
	pc_seeing_camera_feed(p->seeing, frame);
}

/* Ends this try; the watchdog closes it, for this may be a callback. */
static void fail(struct pc_pipeline *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct pc_pipeline *p, const char *format, ...)
{
	char text[PC_HEALTH_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pc_health_set(
		p->health, p->scaler_part, PC_HEALTH_DEGRADED, "%.150s; opening it again", text);
	pc_pipeline_tell_restart(p, PC_PIPELINE_SCALER, text);
	p->scaler_failed = true;
	p->scaler_failures++;
}

static void on_failed(void *data, int err)
{
	struct pc_pipeline *p = data;
	fail(p, "%s failed: %s", pc_scaler_name(p->scaler), pc_strerror(err));
}

static const struct pc_scaler_events scaler_events = {
	.scaled = on_scaled,
	.failed = on_failed,
};

/* A device that fails again and again leaves its place to software, until the source is
 * opened anew. */
static const char *choose(const struct pc_pipeline *p)
{
	const char *choice = p->settings->encoder.scaler;
	return strcmp(choice, "auto") == 0 && p->scaler_failures >= FAILURES_MAX ? "software"
										 : choice;
}

static void back_off(struct pc_pipeline *p, int64_t now_ns)
{
	p->scaler_retry_ns = now_ns + p->scaler_backoff_ns;
	p->scaler_backoff_ns = p->scaler_backoff_ns == 0 ? BACKOFF_FIRST_NS
			       : p->scaler_backoff_ns * 2 > BACKOFF_MAX_NS
				       ? BACKOFF_MAX_NS
				       : p->scaler_backoff_ns * 2;
}

void pc_pipeline_scaler_open(struct pc_pipeline *p)
{
	if (p->seeing == NULL) {
		return;
	}
	const struct pc_source_info *info = pc_source_info(p->source);
	struct pc_scaler_config config = {
		.input = info->format,
		.caps = info->caps,
		.n_planes = info->n_planes,
		.size = info->size,
		.buffers = BUFFERS,
		.choice = choose(p),
		.device = p->settings->encoder.scaler_device,
		.stats = &p->stats,
	};
	memcpy(config.planes, info->planes, sizeof(config.planes));
	pc_scaler_fit(&info->format, p->settings->inference.width, &config.width, &config.height);
	const int r = pc_scaler_open(p->loop, &config, &scaler_events, p, &p->scaler);
	if (r < 0) {
		/* Live view goes on without events; the owner is told. */
		pc_health_set(p->health, p->scaler_part, PC_HEALTH_DEGRADED,
			"no scaler: %s; no events are seen until one opens", pc_strerror(r));
		back_off(p, pc_clock_now_ns());
		if (r == -EINVAL) { /* not for these pictures: others come with the next source */
			p->scaler_retry_ns = INT64_MAX;
		}
		return;
	}
	pc_counter_add(&p->stats.scaler_opens, 1);
	p->scaling_well = false;
	p->scaled_since_ns = 0;
	pc_seeing_camera_open(p->seeing, info, config.width, config.height);
}

void pc_pipeline_scaler_submit(struct pc_pipeline *p, struct pc_frame *frame)
{
	if (p->scaler == NULL || p->scaler_failed ||
		frame->capture_ns + p->frame_ns / 2 < p->next_scale_ns) {
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

void pc_pipeline_scaler_watch(struct pc_pipeline *p, int64_t now_ns)
{
	if (p->seeing == NULL) {
		return;
	}
	if (p->scaler != NULL && !p->scaler_failed &&
		pc_scaler_owed_ns(p->scaler) > PC_PIPELINE_OWED_MAX_NS + 2 * p->frame_ns) {
		fail(p, "%s gave no picture for 1 s", pc_scaler_name(p->scaler));
	}
	if (p->scaler_failed) {
		if (p->scaling_well) { /* at once, if it ran */
			p->scaler_backoff_ns = 0;
		}
		pc_pipeline_scaler_close(p);
		back_off(p, now_ns);
	}
	if (p->scaler == NULL && now_ns >= p->scaler_retry_ns) {
		pc_pipeline_scaler_open(p);
	}
}
