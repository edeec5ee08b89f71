/* petcamd/pipeline.h - one camera's way of a frame, on a media thread of its own.
 *
 *   source ──frame──┬──► encoder ──packet──► muxer ──fragment──► window (HLS, instant, recorder)
 *                   └──► scaler ──small frame──► seeing
 *
 * The media thread runs one epoll loop and never blocks. Reopening is a path, not an
 * exception: a part that fails, or owes a frame for a second, is closed and opened again, at
 * once and then after a back-off. An encoder is opened again without the source: what
 * follows is a new epoch of the stream. Hardware that fails three times in a minute gives way
 * to software, and is tried again after a minute, then two ... up to an hour. A scaler
 * that fails leaves the live view alone, which goes on without events meanwhile.
 *
 * "auto" is a camera where one is there at the start, and stays one when it goes; the demo
 * that stands in where there was none makes room when a camera comes.
 *
 * Key frames are forced by time, one each live.segment_s. Every drop is counted.
 *
 * Thread: create, start, stop and destroy from the main thread.
 */
#ifndef PC_PETCAMD_PIPELINE_H
#define PC_PETCAMD_PIPELINE_H

#include "config/settings.h"
#include "core/health.h"
#include "core/stats.h"
#include "core/window.h"
#include "petcamd/seeing.h"

struct pc_pipeline;

struct pc_pipeline_config {
	const struct pc_settings *settings; /* must outlive the pipeline, like all below */
	const struct pc_camera_settings *camera; /* one of settings->cameras */
	struct pc_health *health;
};

int pc_pipeline_create(const struct pc_pipeline_config *config, struct pc_pipeline **ret_pipeline);

/* Before start only. NULL: nobody looks at the small frames. */
void pc_pipeline_set_seeing(struct pc_pipeline *pipeline, struct pc_seeing_camera *seeing);

/* The camera's fragments; the pipeline's reference. Listeners are added before start. */
struct pc_window *pc_pipeline_window(struct pc_pipeline *pipeline);
struct pc_camera_stats *pc_pipeline_stats(struct pc_pipeline *pipeline);

enum pc_pipeline_part {
	PC_PIPELINE_SOURCE,
	PC_PIPELINE_ENCODER,
	PC_PIPELINE_SCALER,
	PC_PIPELINE_PARTS,
};

/* What went wrong, for alerts; the health board says how it is now. */
struct pc_pipeline_trouble {
	int64_t lost_since_ns; /* no frame comes since; 0: they do */
	char lost_text[PC_HEALTH_TEXT_MAX]; /* why, for people */
	struct {
		unsigned restarts; /* the present one included */
		char text[PC_HEALTH_TEXT_MAX]; /* the last one's reason */
	} parts[PC_PIPELINE_PARTS];
};
/* Any thread. */
void pc_pipeline_get_trouble(struct pc_pipeline *pipeline, struct pc_pipeline_trouble *ret_trouble);

/* Starts the thread. A source that cannot be opened is no error here: it is tried again. */
int pc_pipeline_start(struct pc_pipeline *pipeline);

/* Ends the thread and closes the window. Idempotent. */
void pc_pipeline_stop(struct pc_pipeline *pipeline);

void pc_pipeline_destroy(struct pc_pipeline *pipeline); /* stops first; NULL is fine */

#endif
