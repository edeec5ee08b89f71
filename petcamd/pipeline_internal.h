/* petcamd/pipeline_internal.h - the parts of a pipeline. Private to pipeline*.c.
 *
 * Three parts fail apart from each other: the source (pipeline.c), the coder, which is
 * encoder and muxer (pipeline_coder.c), and the scaler (pipeline_scaler.c). Each is opened
 * again by itself; a source that goes takes the other two with it, for its pictures may
 * come back different.
 *
 * A part's open() and close() run outside of any callback of that part: fail() may be called
 * inside one, and leaves the closing to a timer that fires at once.
 */
#ifndef PC_PETCAMD_PIPELINE_INTERNAL_H
#define PC_PETCAMD_PIPELINE_INTERNAL_H

#include "petcamd/pipeline.h"

#include "core/fragment.h"
#include "core/loop.h"
#include "core/muxer.h"
#include "hwaccel/allocator.h"
#include "hwaccel/encoder.h"
#include "hwaccel/scaler.h"
#include "petcamd/source.h"

/* A part that owes a frame for so long is closed and opened again. */
#define PC_PIPELINE_OWED_MAX_NS INT64_C(1000000000)

/* A part that failed is well again when it gave something for so long: what lasts less, nobody
 * could read on the board. */
#define PC_PIPELINE_WELL_NS INT64_C(1000000000)

/* How often hardware may fail within this time, before software takes over. */
#define PC_CODER_STRIKES 3
#define PC_CODER_STRIKES_NS INT64_C(60000000000)

enum pc_coder_state {
	PC_CODER_CLOSED, /* its timer opens it, while the source is open */
	PC_CODER_OPEN,
	PC_CODER_FAILED, /* to be closed by its timer */
};

struct pc_coder {
	char part[PC_HEALTH_NAME_MAX]; /* "encoder front" */
	struct pc_loop_source *timer;
	enum pc_coder_state state;
	struct pc_encoder *encoder; /* NULL unless open, like the muxer */
	struct pc_muxer *muxer;
	int64_t base_ns; /* decode time 0 of all epochs */
	uint32_t epoch; /* of the next muxer */
	uint64_t number; /* of the next fragment */
	int64_t backoff_ns;
	int64_t released_ns; /* when an encoder let go of its frames last */
	bool well; /* what the board says, beside the failures */
	bool settles; /* it is well only after a while without one */
	unsigned failures; /* since it last ran well for a minute */
	char reason[PC_HEALTH_TEXT_MAX]; /* of the last failure; "": none */
	int64_t well_since_ns; /* of the first packet; 0: none yet */

	int64_t next_key_ns;
	int64_t key_asked_ns; /* capture time of a key frame that is under way; 0: none */

	/* Hardware that fails again and again, see pipeline_coder.c. */
	bool is_device;
	bool had_device; /* ever */
	bool device_gone; /* it stands in for one that is not there */
	unsigned n_strikes;
	int64_t strikes_ns[PC_CODER_STRIKES];
	bool software; /* takes the hardware's place */
	char device_reason[PC_HEALTH_TEXT_MAX]; /* why it does */
	int64_t device_retry_ns;
	int64_t device_wait_ns;
};

enum pc_pipeline_state {
	PC_PIPELINE_FAILED, /* to be closed by the retry timer, which fires at once */
	PC_PIPELINE_CLOSED, /* the retry timer opens it again after the back-off */
	PC_PIPELINE_OPEN,
	PC_PIPELINE_DRAINING, /* the file has ended: waiting for the encoder's last packets */
	PC_PIPELINE_ENDED,
};

struct pc_pipeline {
	const struct pc_settings *settings;
	const struct pc_camera_settings *camera;
	struct pc_health *health;
	struct pc_seeing_camera *seeing; /* NULL: none */
	char part[PC_HEALTH_NAME_MAX]; /* "camera front" */
	char scaler_part[PC_HEALTH_NAME_MAX];

	struct pc_window *window;
	struct pc_fragment_pool *pool;
	struct pc_camera_stats stats;

	pthread_mutex_t trouble_lock;
	struct pc_pipeline_trouble trouble;

	pthread_t thread;
	bool started;
	struct pc_loop *loop;
	struct pc_loop_source *watchdog;
	struct pc_loop_source *retry;

	/* What follows belongs to the media thread. */
	enum pc_pipeline_state state;
	const char *source_text; /* what "auto" was found to be; NULL: not looked yet */
	struct pc_allocator *allocator; /* of a source that draws; NULL unless open */
	struct pc_source *source; /* NULL unless open or draining */
	bool buffers_unfit; /* the camera's own: the encoder could not map one of them */
	struct pc_scaler *scaler; /* NULL also where it could not be opened */
	struct pc_coder coder;
	int64_t opened_ns;
	int64_t backoff_ns;
	int64_t backoff_max_ns;
	int64_t resolve_ns; /* when to look for a camera next */
	int64_t watched_ns; /* when the watchdog looked last */
	int64_t patient_until_ns; /* and until when it holds still */
	int64_t frame_ns; /* nominal frame duration */
	int64_t next_scale_ns;
	int64_t scale_interval_ns;
	int64_t scaler_retry_ns; /* where there is none: when to try next */
	int64_t scaler_backoff_ns;
	unsigned scaler_failures; /* since the source was opened */
	bool scaler_failed; /* to be closed by the watchdog */
	int64_t scaled_since_ns; /* its first picture; 0: none yet */
	bool scaling_well; /* what scaler_part says */
	char said[192]; /* the last line about opening */
};

/* Of the settings, or software in the place of hardware that fails. */
const char *pc_coder_choice(const struct pc_pipeline *pipeline);

int pc_coder_init(struct pc_pipeline *pipeline);
void pc_coder_finish(struct pc_pipeline *pipeline);

/* Opens encoder and muxer for the source's pictures. One that cannot be opened is tried
 * again by itself; -EINVAL: not for these pictures (the source may have others). */
int pc_coder_open(struct pc_pipeline *pipeline);
void pc_coder_close(struct pc_pipeline *pipeline); /* idempotent; ends the retrying, too */

/* A frame for the encoder; what it cannot take is counted. */
void pc_coder_submit(struct pc_pipeline *pipeline, struct pc_frame *frame);

void pc_coder_watch(struct pc_pipeline *pipeline, int64_t now_ns);

/* How long the oldest frame has no packet; 0: none is owed. */
int64_t pc_coder_owed_ns(const struct pc_pipeline *pipeline);

/* The same of the scaler, except that a failure never concerns the live view. */
void pc_pipeline_scaler_open(struct pc_pipeline *pipeline);
void pc_pipeline_scaler_close(struct pc_pipeline *pipeline);
void pc_pipeline_scaler_submit(struct pc_pipeline *pipeline, struct pc_frame *frame);
void pc_pipeline_scaler_watch(struct pc_pipeline *pipeline, int64_t now_ns);

/* Closes the source and what hangs on it, and opens it again after the back-off. Safe inside
 * any callback. */
void pc_pipeline_fail(struct pc_pipeline *pipeline, int err);

/* For the alerts: see pipeline.h. Any part says it once a failure. */
void pc_pipeline_tell_restart(
	struct pc_pipeline *pipeline, enum pc_pipeline_part part, const char *what);
void pc_pipeline_tell_lost(struct pc_pipeline *pipeline, const char *what);
void pc_pipeline_tell_found(struct pc_pipeline *pipeline);

#endif
