/* petcamd/seeing.c - from small frames to events. See seeing.h. */
#include "petcamd/seeing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PC_LOG_MODULE "seeing"
#include "core/clock.h"
#include "core/log.h"
#include "core/queue.h"
#include "core/thread.h"
#include "inference/behaviour.h"
#include "inference/detector.h"
#include "inference/tracker.h"
#include "storage/events.h"

/* Events of one camera that go on at the same time: motion, and each zone's. */
#define ACTIVE_MAX (PC_ZONES_MAX + 8)
/* A track that nobody sees any more is given up after this. */
#define TRACK_LOST_S 1.5

struct active_event {
	uint32_t token; /* the behaviour's */
	int64_t start_ns;
	struct pc_event event; /* event_id 0: shed, storage's queue was full */
	bool ended; /* but storage's queue was full: told again with the next frame */
};

/* What the media thread wants the inference thread to do next. */
enum request {
	REQUEST_NONE,
	REQUEST_OPEN,
	REQUEST_CLOSE,
};

struct pc_seeing_camera {
	struct pc_seeing *seeing;
	const struct pc_camera_settings *settings;
	struct pc_recorder *recorder;
	struct pc_camera_stats *stats;
	char part[PC_HEALTH_NAME_MAX]; /* "seeing front" */
	struct pc_mailbox *mailbox;
	atomic_bool queued; /* in seeing->work: at most once */

	pthread_mutex_t lock; /* guards the request */
	enum request request;
	struct pc_source_info wanted;
	unsigned wanted_width, wanted_height;

	/* What follows belongs to the inference thread. */
	struct pc_detector *detector; /* NULL while closed, like the next two */
	struct pc_tracker *tracker;
	struct pc_behaviour *behaviour;
	unsigned width, height; /* that these were made for */
	bool failing; /* the detector, as the board says */
	struct active_event active[ACTIVE_MAX];
	unsigned n_active;
};

struct pc_seeing {
	const struct pc_settings *settings;
	struct pc_storage *storage;
	struct pc_health *health;
	struct pc_queue *work; /* struct pc_seeing_camera *: "look at this camera" */
	pthread_t thread;
	bool started;
	unsigned n_cameras;
	struct pc_seeing_camera *cameras[PC_SETTINGS_CAMERAS_MAX];
};

static void fill_event(struct active_event *active, const struct pc_behaviour_event *seen)
{
	struct pc_event *event = &active->event;
	event->score = seen->score;
	event->track_id = seen->track_id;
	event->box = seen->box;
	/* By its length: UTC may have been set since it began. */
	event->end_utc_ms =
		seen->end_ns == 0
			? 0
			: event->start_utc_ms + (seen->end_ns - active->start_ns) / PC_NS_PER_MS;
	snprintf(event->zone, sizeof(event->zone), "%s", seen->zone);
	snprintf(event->evidence, sizeof(event->evidence), "%s", seen->evidence);
}

static void on_begin(void *data, const struct pc_behaviour_event *seen)
{
	struct pc_seeing_camera *camera = data;
	if (camera->n_active == ACTIVE_MAX) {
		pc_warn("camera %s: more than %d events at once, ignoring one",
			camera->settings->id, ACTIVE_MAX);
		return;
	}
	struct active_event *active = &camera->active[camera->n_active++];
	*active = (struct active_event){
		.token = seen->token,
		.start_ns = seen->start_ns,
		.event = { .kind = seen->kind, .start_utc_ms = pc_clock_utc_ms_of(seen->start_ns) },
	};
	snprintf(active->event.camera, sizeof(active->event.camera), "%s", camera->settings->id);
	fill_event(active, seen);
	pc_counter_add(&camera->stats->events, 1);
	if (pc_events_begin(camera->seeing->storage, &active->event) < 0) {
		active->event.event_id = 0; /* shed and counted by storage */
		return;
	}
	if (pc_event_kind_records(seen->kind)) {
		pc_recorder_hold(camera->recorder, &active->event, seen->start_ns);
	}
}

static void drop_active(struct pc_seeing_camera *camera, unsigned i)
{
	camera->active[i] = camera->active[--camera->n_active];
}

static void on_end(void *data, const struct pc_behaviour_event *seen)
{
	struct pc_seeing_camera *camera = data;
	for (unsigned i = 0; i < camera->n_active; i++) {
		struct active_event *active = &camera->active[i];
		if (active->token != seen->token || active->ended) {
			continue;
		}
		if (active->event.event_id != 0) {
			fill_event(active, seen);
			active->ended =
				pc_events_update(camera->seeing->storage, &active->event) < 0;
			if (pc_event_kind_records(seen->kind)) {
				pc_recorder_release(
					camera->recorder, active->event.event_id, seen->end_ns);
			}
		}
		if (!active->ended) {
			drop_active(camera, i);
		}
		return;
	}
}

/* An event without an end would count as a sighting for ever. */
static void tell_ends_again(struct pc_seeing_camera *camera)
{
	for (unsigned i = camera->n_active; i-- > 0;) {
		if (camera->active[i].ended &&
			pc_events_update(camera->seeing->storage, &camera->active[i].event) == 0) {
			drop_active(camera, i);
		}
	}
}

static const struct pc_behaviour_events behaviour_events = {
	.begin = on_begin,
	.end = on_end,
};

static void close_camera(struct pc_seeing_camera *camera)
{
	if (camera->behaviour != NULL) {
		pc_behaviour_flush(camera->behaviour);
	}
	pc_behaviour_destroy(camera->behaviour);
	pc_tracker_destroy(camera->tracker);
	pc_detector_destroy(camera->detector);
	camera->behaviour = NULL;
	camera->tracker = NULL;
	camera->detector = NULL;
}

static int open_camera(struct pc_seeing_camera *camera, const struct pc_source_info *info,
	unsigned width, unsigned height)
{
	const struct pc_settings *settings = camera->seeing->settings;
	const struct pc_camera_settings *own = camera->settings;
	struct pc_zone masks[2 * PC_ZONES_MAX];
	unsigned n_masks = 0;
	for (unsigned i = 0; i < info->n_masks; i++) {
		masks[n_masks++] = info->masks[i];
	}
	for (unsigned i = 0; i < own->n_masks; i++) {
		masks[n_masks++] = own->masks[i];
	}
	const struct pc_motion_config motion = {
		.width = width,
		.height = height,
		.rate = settings->inference.rate,
		.sensitivity = settings->inference.sensitivity,
		.min_area = settings->inference.min_area,
		.masks = masks,
		.n_masks = n_masks,
	};
	int r = pc_detector_create_motion(&motion, &camera->detector);
	if (r < 0) {
		return r;
	}
	camera->failing = false;
	camera->width = width;
	camera->height = height;
	const struct pc_tracker_config tracker = {
		.rate = settings->inference.rate,
		.lost_s = TRACK_LOST_S,
	};
	r = pc_tracker_create(&tracker, &camera->tracker);
	if (r < 0) {
		return r;
	}
	const bool zones_set = own->n_zones > 0;
	const struct pc_behaviour_config behaviour = {
		.zones = zones_set ? own->zones : info->zones,
		.n_zones = zones_set ? own->n_zones : info->n_zones,
		.hold_s = settings->inference.hold_s,
	};
	return pc_behaviour_create(&behaviour, &behaviour_events, camera, &camera->behaviour);
}

static void answer_request(struct pc_seeing_camera *camera)
{
	pthread_mutex_lock(&camera->lock);
	const enum request request = camera->request;
	const struct pc_source_info wanted = camera->wanted;
	const unsigned width = camera->wanted_width;
	const unsigned height = camera->wanted_height;
	camera->request = REQUEST_NONE;
	pthread_mutex_unlock(&camera->lock);
	if (request == REQUEST_NONE) {
		return;
	}
	close_camera(camera);
	if (request == REQUEST_CLOSE) {
		return;
	}
	const int r = open_camera(camera, &wanted, width, height);
	if (r < 0) {
		close_camera(camera);
		pc_health_set(camera->seeing->health, camera->part, PC_HEALTH_FAILED,
			"motion detection cannot start: %s", pc_strerror(r));
		return;
	}
	pc_health_set(camera->seeing->health, camera->part, PC_HEALTH_OK, NULL);
}

static void look(struct pc_seeing_camera *camera, struct pc_frame *frame)
{
	/* A request may have come between this frame and the one that was answered. */
	if (camera->detector == NULL || frame->format.width != camera->width ||
		frame->format.height != camera->height) {
		pc_counter_add(&camera->stats->frames_dropped_inference, 1);
		return;
	}
	const int64_t begin_ns = pc_clock_now_ns();
	uint8_t *planes[4] = { NULL };
	int r = pc_frame_begin_cpu(frame, PC_FRAME_READ, planes);
	struct pc_detections detections;
	if (r == 0) {
		r = pc_detector_detect(camera->detector, planes[0], frame->planes[0].stride,
			frame->capture_ns, &detections);
		pc_frame_end_cpu(frame, PC_FRAME_READ);
	}
	if (r < 0) {
		camera->failing = true;
		pc_health_set(camera->seeing->health, camera->part, PC_HEALTH_DEGRADED,
			"detector %s: %s", pc_detector_name(camera->detector), pc_strerror(r));
		return;
	}
	if (camera->failing) {
		camera->failing = false;
		pc_health_set(camera->seeing->health, camera->part, PC_HEALTH_OK, NULL);
	}
	unsigned n = 0;
	const struct pc_track *tracks =
		pc_tracker_feed(camera->tracker, &detections, frame->capture_ns, &n);
	tell_ends_again(camera);
	pc_behaviour_feed(camera->behaviour, tracks, n, frame->capture_ns);
	pc_counter_add(&camera->stats->frames_inferred, 1);
	pc_mean_add(&camera->stats->infer_ns, pc_clock_now_ns() - begin_ns);
}

static void *inference_thread(void *data)
{
	struct pc_seeing *seeing = data;
	struct pc_seeing_camera *camera = NULL;
	while (pc_queue_pop(seeing->work, &camera, -1) == 0) {
		/* Before we look: what comes from here on queues it again. */
		atomic_store(&camera->queued, false);
		answer_request(camera);
		struct pc_frame *frame = pc_mailbox_take(camera->mailbox);
		if (frame != NULL) {
			look(camera, frame);
			pc_frame_unref(frame);
		}
	}
	for (unsigned i = 0; i < seeing->n_cameras; i++) {
		close_camera(seeing->cameras[i]);
	}
	return NULL;
}

int pc_seeing_create(const struct pc_settings *settings, struct pc_storage *storage,
	struct pc_health *health, struct pc_seeing **ret_seeing)
{
	struct pc_seeing *seeing = calloc(1, sizeof(*seeing));
	if (seeing == NULL) {
		return -ENOMEM;
	}
	seeing->settings = settings;
	seeing->storage = storage;
	seeing->health = health;
	int r = pc_queue_create(
		sizeof(struct pc_seeing_camera *), PC_SETTINGS_CAMERAS_MAX, &seeing->work);
	if (r == 0) {
		r = pc_thread_create(&seeing->thread, "inference", inference_thread, seeing);
	}
	if (r < 0) {
		pc_seeing_destroy(seeing);
		return r;
	}
	seeing->started = true;
	*ret_seeing = seeing;
	return 0;
}

static void camera_destroy(struct pc_seeing_camera *camera)
{
	pc_mailbox_destroy(camera->mailbox);
	pthread_mutex_destroy(&camera->lock);
	free(camera);
}

void pc_seeing_destroy(struct pc_seeing *seeing)
{
	if (seeing == NULL) {
		return;
	}
	if (seeing->started) {
		pc_queue_close(seeing->work);
		pthread_join(seeing->thread, NULL);
	}
	for (unsigned i = 0; i < seeing->n_cameras; i++) {
		camera_destroy(seeing->cameras[i]);
	}
	pc_queue_destroy(seeing->work);
	free(seeing);
}

int pc_seeing_add_camera(struct pc_seeing *seeing, const struct pc_camera_settings *settings,
	struct pc_recorder *recorder, struct pc_camera_stats *stats,
	struct pc_seeing_camera **ret_camera)
{
	if (seeing->n_cameras == PC_SETTINGS_CAMERAS_MAX) {
		return -ENOSPC;
	}
	struct pc_seeing_camera *camera = calloc(1, sizeof(*camera));
	if (camera == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&camera->lock, NULL);
	camera->seeing = seeing;
	camera->settings = settings;
	camera->recorder = recorder;
	camera->stats = stats;
	snprintf(camera->part, sizeof(camera->part), "seeing %s", settings->id);
	const int r = pc_mailbox_create(&camera->mailbox);
	if (r < 0) {
		camera_destroy(camera);
		return r;
	}
	seeing->cameras[seeing->n_cameras++] = camera;
	*ret_camera = camera;
	return 0;
}

/* Has the inference thread look at the camera's request and mailbox. Each is in the queue
 * once at most, so there is always room. */
static void wake(struct pc_seeing_camera *camera)
{
	if (!atomic_exchange(&camera->queued, true)) {
		pc_queue_push(camera->seeing->work, &camera);
	}
}

static void ask(struct pc_seeing_camera *camera, enum request request,
	const struct pc_source_info *info, unsigned width, unsigned height)
{
	/* The old picture's last frame must not be taken for the new one's. */
	struct pc_frame *old = pc_mailbox_take(camera->mailbox);
	if (old != NULL) {
		pc_counter_add(&camera->stats->frames_dropped_inference, 1);
		pc_frame_unref(old);
	}
	pthread_mutex_lock(&camera->lock);
	camera->request = request;
	if (info != NULL) {
		camera->wanted = *info;
		camera->wanted_width = width;
		camera->wanted_height = height;
	}
	pthread_mutex_unlock(&camera->lock);
	wake(camera);
}

void pc_seeing_camera_open(struct pc_seeing_camera *camera, const struct pc_source_info *info,
	unsigned width, unsigned height)
{
	ask(camera, REQUEST_OPEN, info, width, height);
}

void pc_seeing_camera_close(struct pc_seeing_camera *camera)
{
	ask(camera, REQUEST_CLOSE, NULL, 0, 0);
}

void pc_seeing_camera_feed(struct pc_seeing_camera *camera, struct pc_frame *frame)
{
	if (pc_mailbox_put(camera->mailbox, frame)) {
		pc_counter_add(&camera->stats->frames_dropped_inference, 1);
	}
	wake(camera);
}
