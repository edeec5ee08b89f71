/* petcamd/pipeline_coder.c - a pipeline's encoder and muxer, and what becomes of them.
 *
 * An encoder that fails or owes a packet for a second is closed and opened again while the
 * source goes on: at once the first time, then after a back-off. What follows is a new epoch.
 *
 * Where "auto" gave a device that fails three times in a minute, software takes its place. The
 * device is tried again after a minute, then after two, and so on up to an hour: each try may
 * cost the viewers a second, so a broken device costs them less and less.
 */
#define PC_LOG_MODULE "pipeline"
#include "petcamd/pipeline_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"

#define BACKOFF_FIRST_NS (PC_NS_PER_S / 2)
#define BACKOFF_MAX_NS (15 * PC_NS_PER_S)
#define BACKOFF_ABSENT_NS PC_NS_PER_S /* while there is none: to look costs nothing */
/* An encoder that gave packets for so long has earned a fresh start: the back-off is for what
 * does not come up at all. */
#define WELL_NS PC_NS_PER_S
#define KEY_AFTER_LOSS_NS (PC_NS_PER_S / 4)
#define DEVICE_WAIT_MIN_NS (60 * PC_NS_PER_S)
#define DEVICE_WAIT_MAX_NS (3600 * PC_NS_PER_S)
/* A device that is gone has not failed: it is looked for, and taken when it is there. */
#define DEVICE_LOOK_NS (2 * PC_NS_PER_S)

static bool is_auto(const struct pc_pipeline *p)
{
	return strcmp(p->settings->encoder.encoder, "auto") == 0;
}

const char *pc_coder_choice(const struct pc_pipeline *p)
{
	return p->coder.software ? "libavcodec" : p->settings->encoder.encoder;
}

static const char *ordinal_end(unsigned n)
{
	if (n % 100 >= 11 && n % 100 <= 13) {
		return "th";
	}
	return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

/* --- closing --- */

static void close_parts(struct pc_coder *coder)
{
	if (coder->muxer != NULL) {
		coder->epoch = pc_muxer_next_epoch(coder->muxer);
		coder->number = pc_muxer_next_number(coder->muxer);
	}
	pc_encoder_close(coder->encoder);
	pc_muxer_destroy(coder->muxer);
	coder->encoder = NULL;
	coder->muxer = NULL;
	coder->state = PC_CODER_CLOSED;
	coder->released_ns = pc_clock_now_ns();
}

void pc_coder_close(struct pc_pipeline *p)
{
	pc_loop_timer_arm(p->coder.timer, -1, 0);
	close_parts(&p->coder);
}

/* --- failing --- */

/* The device's place is software's for a while. */
static void stand_in(struct pc_coder *coder, int64_t now_ns, const char *reason)
{
	coder->software = true;
	coder->device_gone = false;
	snprintf(coder->device_reason, sizeof(coder->device_reason), "%s", reason);
	coder->device_retry_ns = now_ns + coder->device_wait_ns;
	coder->device_wait_ns = coder->device_wait_ns * 2 > DEVICE_WAIT_MAX_NS
					? DEVICE_WAIT_MAX_NS
					: coder->device_wait_ns * 2;
	coder->n_strikes = 0;
	coder->backoff_ns = 0;
}

/* One more failure of a device; true if it was one too many. */
static bool strike(struct pc_coder *coder, int64_t now_ns)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < coder->n_strikes; i++) {
		if (now_ns - coder->strikes_ns[i] < PC_CODER_STRIKES_NS) {
			coder->strikes_ns[kept++] = coder->strikes_ns[i];
		}
	}
	if (kept + 1 >= PC_CODER_STRIKES) {
		return true;
	}
	coder->strikes_ns[kept++] = now_ns;
	coder->n_strikes = kept;
	return false;
}

/* Ends this try; the closing happens on the timer, for this may be a callback. */
static void fail(struct pc_pipeline *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct pc_pipeline *p, const char *format, ...)
{
	struct pc_coder *coder = &p->coder;
	if (coder->state == PC_CODER_FAILED) {
		return;
	}
	va_list args;
	va_start(args, format);
	vsnprintf(coder->reason, sizeof(coder->reason), format, args);
	va_end(args);
	const int64_t now_ns = pc_clock_now_ns();
	if (coder->well_since_ns != 0 && now_ns - coder->well_since_ns > WELL_NS) {
		coder->backoff_ns = 0;
	}
	coder->failures++;
	coder->well = false;
	coder->settles = true;
	coder->state = PC_CODER_FAILED;
	pc_loop_timer_arm(coder->timer, 0, 0);
	pc_pipeline_tell_restart(p, PC_PIPELINE_ENCODER, coder->reason);
	if (coder->is_device && is_auto(p) && strike(coder, now_ns)) {
		pc_health_set(p->health, coder->part, PC_HEALTH_FAILED,
			"%.110s, once too often; software takes its place", coder->reason);
		stand_in(coder, now_ns, coder->reason);
		return;
	}
	pc_health_set(p->health, coder->part, PC_HEALTH_FAILED, "%.140s; opening it again",
		coder->reason);
}

static void arm_backoff(struct pc_coder *coder)
{
	pc_loop_timer_arm(coder->timer, coder->backoff_ns, 0);
	coder->backoff_ns = coder->backoff_ns == 0		     ? BACKOFF_FIRST_NS
			    : coder->backoff_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS
								     : coder->backoff_ns * 2;
}

static void on_timer(void *data, uint64_t expirations)
{
	struct pc_pipeline *p = data;
	if (p->coder.state == PC_CODER_FAILED) {
		close_parts(&p->coder);
		arm_backoff(&p->coder);
	} else if (p->coder.state == PC_CODER_CLOSED && p->state == PC_PIPELINE_OPEN) {
		(void)pc_coder_open(p);
	}
}

/* --- packets --- */

/* A key frame that was asked for and did not come is asked for again: rate control aborted
 * it, or the device did. Without it segments would grow beyond their length. */
static void follow_key(struct pc_coder *coder, const struct pc_packet *packet)
{
	if (coder->key_asked_ns == 0) {
		return;
	}
	if (packet->key) {
		coder->key_asked_ns = 0;
	} else if (packet->capture_ns > coder->key_asked_ns) {
		coder->key_asked_ns = 0;
		coder->next_key_ns = 0;
	}
}

static void say_well(struct pc_pipeline *p, const struct pc_packet *packet)
{
	struct pc_coder *coder = &p->coder;
	if (coder->well_since_ns == 0) {
		coder->well_since_ns = packet->encoded_ns;
	}
	if (coder->settles && packet->encoded_ns - coder->well_since_ns < PC_PIPELINE_WELL_NS) {
		return;
	}
	coder->well = true;
	coder->settles = false;
	coder->reason[0] = '\0';
	if (coder->software) {
		pc_health_set(p->health, coder->part, PC_HEALTH_DEGRADED,
			"%s encodes in the place of the hardware, which is tried again later: "
			"%.110s",
			pc_encoder_name(coder->encoder), coder->device_reason);
	} else {
		pc_health_set(p->health, coder->part, PC_HEALTH_OK, NULL);
	}
}

/* What follows refers to the lost frame. A key frame mends that, but not at once: where memory
 * is short, or every packet is bad, key frames on end would make it worse. */
static void lose_packet(struct pc_pipeline *p, const struct pc_packet *packet, int err)
{
	struct pc_coder *coder = &p->coder;
	coder->well = false;
	coder->settles = true;
	coder->well_since_ns = 0;
	pc_health_set(p->health, coder->part, PC_HEALTH_DEGRADED, "a coded frame was lost: %s",
		err == -ENOMEM ? "the memory for video is full; lower cameras.[].bitrate_kbps or "
				 "live.window_s"
			       : pc_strerror(err));
	const int64_t soon_ns = packet->capture_ns + KEY_AFTER_LOSS_NS;
	if (err != -ENOMEM && coder->next_key_ns > soon_ns) {
		coder->next_key_ns = soon_ns;
	}
}

static void on_packet(void *data, const struct pc_packet *packet)
{
	struct pc_pipeline *p = data;
	struct pc_coder *coder = &p->coder;
	pc_counter_add(&p->stats.frames_encoded, 1);
	pc_counter_add(&p->stats.bytes_encoded, packet->size);
	pc_mean_add(&p->stats.encode_ns, packet->encoded_ns - packet->submit_ns);
	follow_key(coder, packet);

	struct pc_fragment *fragment = NULL;
	const int r = pc_muxer_write(coder->muxer, packet, &fragment);
	if (r < 0) {
		pc_counter_add(&p->stats.frames_dropped_mux, 1);
		if (r != -EAGAIN) { /* which is what follows a lost one, up to a key frame */
			lose_packet(p, packet, r);
		}
		return;
	}
	if (!coder->well) {
		say_well(p, packet);
	}
	pc_counter_add(&p->stats.fragments, 1);
	pc_window_push(p->window, fragment);
	pc_fragment_unref(fragment);
}

static void on_failed(void *data, int err)
{
	struct pc_pipeline *p = data;
	fail(p, "%s failed: %s", pc_encoder_name(p->coder.encoder), pc_strerror(err));
}

static const struct pc_encoder_events encoder_events = {
	.packet = on_packet,
	.failed = on_failed,
};

/* --- opening --- */

static int open_encoder(struct pc_pipeline *p, const struct pc_source_info *info)
{
	struct pc_encoder_config config = {
		.format = info->format,
		.caps = info->caps,
		.n_planes = info->n_planes,
		.size = info->size,
		.fps = info->fps,
		.bitrate_kbps = p->camera->bitrate_kbps,
		/* Key frames are forced by time; this bound only catches a clock that stands. */
		.key_interval = (unsigned)lround(info->fps * p->settings->live.segment_s * 4) + 1,
		.choice = pc_coder_choice(p),
		.preset = p->settings->encoder.preset,
		.threads = p->settings->encoder.threads,
		.device = p->settings->encoder.device,
		.stats = &p->stats,
	};
	memcpy(config.planes, info->planes, sizeof(config.planes));
	return pc_encoder_open(p->loop, &config, &encoder_events, p, &p->coder.encoder);
}

static int open_muxer(struct pc_pipeline *p, const struct pc_source_info *info)
{
	const struct pc_muxer_config config = {
		.pool = p->pool,
		.width = info->format.width,
		.height = info->format.height,
		.frame_duration = llround(PC_MEDIA_TIMESCALE / info->fps),
		.base_ns = p->coder.base_ns,
		.first_epoch = p->coder.epoch,
		.first_number = p->coder.number,
	};
	return pc_muxer_create(&config, &p->coder.muxer);
}

static bool device_is_there(const struct pc_pipeline *p)
{
	const char *path = p->settings->encoder.device;
	struct pc_input_format format;
	bool dmabuf = false;
	return pc_encoder_inputs("auto", path, p->camera->width, p->camera->height, &format, 1,
		       &dmabuf) > 0 &&
	       dmabuf;
}

/* "auto" opened software although a device is there, or was: it would not open, or is gone. */
static void check_choice(struct pc_pipeline *p)
{
	struct pc_coder *coder = &p->coder;
	coder->is_device = strncmp(pc_encoder_name(coder->encoder), "/dev/", 5) == 0;
	if (coder->is_device) {
		coder->had_device = true;
		return;
	}
	if (coder->software || !is_auto(p)) {
		return;
	}
	const int64_t now_ns = pc_clock_now_ns();
	if (device_is_there(p)) {
		stand_in(coder, now_ns, "it did not open");
	} else if (coder->had_device) {
		stand_in(coder, now_ns, "it is gone");
		coder->device_gone = true;
		coder->device_wait_ns = DEVICE_WAIT_MIN_NS;
		coder->device_retry_ns = now_ns + DEVICE_LOOK_NS;
	}
}

static void say_opened(struct pc_pipeline *p)
{
	struct pc_coder *coder = &p->coder;
	if (coder->reason[0] != '\0') {
		pc_health_set(p->health, coder->part, PC_HEALTH_DEGRADED,
			"%.130s; opened again (%u%s time)", coder->reason, coder->failures,
			ordinal_end(coder->failures));
	}
}

int pc_coder_open(struct pc_pipeline *p)
{
	struct pc_coder *coder = &p->coder;
	const struct pc_source_info *info = pc_source_info(p->source);
	assert(coder->encoder == NULL && coder->muxer == NULL);
	int r = open_encoder(p, info);
	if (r == 0) {
		pc_counter_add(&p->stats.encoder_opens, 1);
		r = open_muxer(p, info);
	}
	if (r < 0) {
		pc_health_set(p->health, coder->part, PC_HEALTH_FAILED,
			"no encoder takes %ux%u: %s; trying again", info->format.width,
			info->format.height, pc_strerror(r));
		close_parts(coder);
		if (r == -EINVAL && is_auto(p) && !coder->software) {
			/* Its pictures were chosen for a device: let them be for software. */
			stand_in(coder, pc_clock_now_ns(), "it takes no such pictures");
			return r;
		}
		coder->backoff_ns = coder->backoff_ns == 0 ? BACKOFF_FIRST_NS : coder->backoff_ns;
		arm_backoff(coder);
		return r;
	}
	check_choice(p);
	coder->state = PC_CODER_OPEN;
	coder->well = false;
	coder->well_since_ns = 0;
	coder->next_key_ns = 0;
	coder->key_asked_ns = 0;
	say_opened(p);
	return 0;
}

/* --- frames --- */

void pc_coder_submit(struct pc_pipeline *p, struct pc_frame *frame)
{
	struct pc_coder *coder = &p->coder;
	if (coder->state != PC_CODER_OPEN) {
		pc_counter_add(&p->stats.frames_dropped_encoder, 1);
		return;
	}
	/* Half a frame of tolerance: 24 frames of 41.666666 ms are a second. */
	const bool key = frame->capture_ns + p->frame_ns / 2 >= coder->next_key_ns;
	const int r = pc_encoder_submit(coder->encoder, frame, key ? PC_ENCODER_KEY : 0);
	if (r < 0) {
		pc_counter_add(&p->stats.frames_dropped_encoder, 1);
		if (r != -EAGAIN && r != -EPIPE) {
			fail(p, "%s takes no frame: %s", pc_encoder_name(coder->encoder),
				pc_strerror(r));
			/* The one buffer that was tried was contiguous by luck. */
			if ((r == -EFAULT || r == -ENOTSUP) && coder->is_device &&
				p->allocator == NULL) {
				p->buffers_unfit = true;
				pc_pipeline_fail(p, 0);
			}
		}
		return; /* a key that is due stays due */
	}
	if (key) {
		coder->key_asked_ns = frame->capture_ns;
		coder->next_key_ns = frame->capture_ns +
				     llround(p->settings->live.segment_s * (double)PC_NS_PER_S);
	}
}

int64_t pc_coder_owed_ns(const struct pc_pipeline *p)
{
	return p->coder.state == PC_CODER_OPEN ? pc_encoder_owed_ns(p->coder.encoder) : 0;
}

/* The device has had its rest: software makes room for it. */
static void try_device(struct pc_pipeline *p)
{
	struct pc_coder *coder = &p->coder;
	pc_info("%s: trying the hardware again", coder->part);
	coder->software = false;
	coder->settles = false;
	coder->reason[0] = '\0';
	coder->backoff_ns = 0;
	/* One failure is enough this time. */
	coder->n_strikes = PC_CODER_STRIKES - 1;
	for (unsigned i = 0; i < coder->n_strikes; i++) {
		coder->strikes_ns[i] = pc_clock_now_ns();
	}
	if (p->allocator != NULL) { /* of drawn pictures any will do */
		close_parts(coder);
		(void)pc_coder_open(p);
	} else {
		pc_pipeline_fail(p, 0);
	}
}

void pc_coder_watch(struct pc_pipeline *p, int64_t now_ns)
{
	struct pc_coder *coder = &p->coder;
	if (coder->state != PC_CODER_OPEN) {
		return;
	}
	if (pc_encoder_owed_ns(coder->encoder) > PC_PIPELINE_OWED_MAX_NS + 2 * p->frame_ns) {
		fail(p, "%s gave no packet for 1 s", pc_encoder_name(coder->encoder));
		return;
	}
	if (coder->software && now_ns >= coder->device_retry_ns) {
		if (coder->device_gone && !device_is_there(p)) {
			coder->device_retry_ns = now_ns + DEVICE_LOOK_NS;
			return;
		}
		try_device(p);
		return;
	}
	if (coder->well_since_ns != 0 && now_ns - coder->well_since_ns > PC_CODER_STRIKES_NS) {
		coder->failures = 0;
		if (coder->is_device) {
			coder->device_wait_ns = DEVICE_WAIT_MIN_NS;
		}
	}
}

int pc_coder_init(struct pc_pipeline *p)
{
	struct pc_coder *coder = &p->coder;
	snprintf(coder->part, sizeof(coder->part), "encoder %s", p->camera->id);
	coder->base_ns = pc_clock_now_ns();
	coder->epoch = 1;
	coder->number = 1;
	coder->device_wait_ns = DEVICE_WAIT_MIN_NS;
	return pc_loop_add_timer(p->loop, "coder", on_timer, p, &coder->timer);
}

void pc_coder_finish(struct pc_pipeline *p)
{
	pc_loop_remove(p->coder.timer);
	p->coder.timer = NULL;
}
