/* petcamd/camera_alerts.c - alerts that a camera gives no picture. See camera_alerts.h. */
#include "petcamd/camera_alerts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PC_LOG_MODULE "alerts"
#include "core/clock.h"
#include "core/log.h"

#define LOOK_NS (PC_NS_PER_S / 2)
/* A plug that is pulled and put back, a device that resets, a changed cable: people do these
 * within seconds and need no alarm that goes on. */
#define LOST_NS (10 * PC_NS_PER_S)
#define QUIET_NS (60 * PC_NS_PER_S)
#define RECENT_ALERTS 200 /* among which the open ones are */

enum kind {
	CAMERA_LOST,
	CAMERA_RESTARTED,
	ENCODER_RESTARTED,
	SCALER_RESTARTED,
	KINDS,
};

static const char *const kind_names[KINDS] = {
	[CAMERA_LOST] = "camera_lost",
	[CAMERA_RESTARTED] = "camera_restarted",
	[ENCODER_RESTARTED] = "encoder_restarted",
	[SCALER_RESTARTED] = "scaler_restarted",
};

/* Of the restarts: which part, and its name for people. */
static const struct {
	enum pc_pipeline_part part;
	const char *name;
} restarts_of[KINDS] = {
	[CAMERA_RESTARTED] = { PC_PIPELINE_SOURCE, "camera" },
	[ENCODER_RESTARTED] = { PC_PIPELINE_ENCODER, "encoder" },
	[SCALER_RESTARTED] = { PC_PIPELINE_SCALER, "scaler" },
};

struct camera {
	const char *id;
	void (*get)(void *data, struct pc_pipeline_trouble *ret_trouble);
	void *data;
	int64_t alert_ids[KINDS]; /* open ones; 0: none */
	unsigned seen[KINDS]; /* restarts that were told or are part of an open alert */
	int64_t last_ns[KINDS]; /* when they rose last */
};

struct pc_camera_alerts {
	struct pc_storage *storage;
	struct pc_loop_source *timer;
	bool tidied;
	unsigned n_cameras;
	struct camera cameras[PC_SETTINGS_CAMERAS_MAX];
};

static void raise_alert(struct pc_camera_alerts *alerts, struct camera *camera, enum kind kind,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

static void raise_alert(struct pc_camera_alerts *alerts, struct camera *camera, enum kind kind,
	const char *format, ...)
{
	struct pc_alert alert = { .raised_utc_ms = pc_clock_now_utc_ms() };
	snprintf(alert.kind, sizeof(alert.kind), "%s", kind_names[kind]);
	snprintf(alert.camera, sizeof(alert.camera), "%s", camera->id);
	va_list args;
	va_start(args, format);
	vsnprintf(alert.message, sizeof(alert.message), format, args);
	va_end(args);
	const int r = pc_alerts_raise(alerts->storage, &alert);
	if (r < 0) {
		pc_warn("the alert \"%s\" could not be kept: %s; trying again", alert.message,
			pc_strerror(r));
		return;
	}
	camera->alert_ids[kind] = alert.alert_id;
	pc_warn("alert: camera %s: %s", camera->id, alert.message);
}

static void end_alert(struct pc_camera_alerts *alerts, struct camera *camera, enum kind kind)
{
	if (camera->alert_ids[kind] == 0) {
		return;
	}
	const int r =
		pc_alerts_end(alerts->storage, camera->alert_ids[kind], pc_clock_now_utc_ms());
	if (r < 0 && r != -ENOENT) {
		pc_warn("the end of alert %lld could not be kept: %s; trying again",
			(long long)camera->alert_ids[kind], pc_strerror(r));
		return;
	}
	camera->alert_ids[kind] = 0;
}

static void look_at_loss(struct pc_camera_alerts *alerts, struct camera *camera,
	const struct pc_pipeline_trouble *trouble, int64_t now_ns)
{
	if (trouble->lost_since_ns == 0) {
		end_alert(alerts, camera, CAMERA_LOST);
	} else if (camera->alert_ids[CAMERA_LOST] == 0 &&
		   now_ns - trouble->lost_since_ns > LOST_NS) {
		raise_alert(alerts, camera, CAMERA_LOST, "No picture for more than %d s: %.150s.",
			(int)(LOST_NS / PC_NS_PER_S), trouble->lost_text);
		if (camera->alert_ids[CAMERA_LOST] != 0) { /* which tells of this time */
			camera->seen[CAMERA_RESTARTED] =
				trouble->parts[PC_PIPELINE_SOURCE].restarts;
		}
	}
}

static void look_at_restarts(struct pc_camera_alerts *alerts, struct camera *camera, enum kind kind,
	const struct pc_pipeline_trouble *trouble, int64_t now_ns)
{
	const enum pc_pipeline_part part = restarts_of[kind].part;
	const unsigned restarts = trouble->parts[part].restarts;
	if (restarts == camera->seen[kind]) {
		if (now_ns - camera->last_ns[kind] > QUIET_NS) {
			end_alert(alerts, camera, kind);
		}
		return;
	}
	if (camera->alert_ids[kind] == 0) {
		raise_alert(alerts, camera, kind, "The %s was opened again: %.150s.",
			restarts_of[kind].name, trouble->parts[part].text);
	}
	if (camera->alert_ids[kind] != 0) { /* else it could not be kept: the next look */
		camera->seen[kind] = restarts;
		camera->last_ns[kind] = now_ns;
	}
}

static void look(struct pc_camera_alerts *alerts, struct camera *camera)
{
	struct pc_pipeline_trouble trouble;
	camera->get(camera->data, &trouble);
	const int64_t now_ns = pc_clock_now_ns();
	look_at_loss(alerts, camera, &trouble, now_ns);
	if (trouble.lost_since_ns == 0) { /* back: until then it may become a loss */
		look_at_restarts(alerts, camera, CAMERA_RESTARTED, &trouble, now_ns);
	}
	look_at_restarts(alerts, camera, ENCODER_RESTARTED, &trouble, now_ns);
	look_at_restarts(alerts, camera, SCALER_RESTARTED, &trouble, now_ns);
}

struct leftovers {
	unsigned n;
	int64_t ids[RECENT_ALERTS];
};

static bool collect_leftover(void *data, const struct pc_alert *alert)
{
	struct leftovers *leftovers = data;
	for (unsigned kind = 0; kind < KINDS && alert->ended_utc_ms == 0; kind++) {
		if (strcmp(alert->kind, kind_names[kind]) == 0 && leftovers->n < RECENT_ALERTS) {
			leftovers->ids[leftovers->n++] = alert->alert_id;
		}
	}
	return true;
}

/* What was open when petcam ended belongs to that life. */
static void end_leftovers(struct pc_camera_alerts *alerts)
{
	struct leftovers leftovers = { .n = 0 };
	bool more = false;
	int r = pc_alerts_list(
		alerts->storage, 0, RECENT_ALERTS, collect_leftover, &leftovers, &more);
	for (unsigned i = 0; r == 0 && i < leftovers.n; i++) {
		r = pc_alerts_end(alerts->storage, leftovers.ids[i], pc_clock_now_utc_ms());
	}
	if (r < 0) {
		pc_warn("alerts of the last run cannot be ended: %s, ignoring", pc_strerror(r));
	}
}

static void on_look(void *data, uint64_t expirations)
{
	(void)expirations;
	struct pc_camera_alerts *alerts = data;
	if (!alerts->tidied) {
		alerts->tidied = true;
		end_leftovers(alerts);
	}
	for (unsigned i = 0; i < alerts->n_cameras; i++) {
		look(alerts, &alerts->cameras[i]);
	}
}

int pc_camera_alerts_create(
	struct pc_loop *loop, struct pc_storage *storage, struct pc_camera_alerts **ret_alerts)
{
	struct pc_camera_alerts *alerts = calloc(1, sizeof(*alerts));
	if (alerts == NULL) {
		return -ENOMEM;
	}
	alerts->storage = storage;
	int r = pc_loop_add_timer(loop, "camera alerts", on_look, alerts, &alerts->timer);
	if (r == 0) {
		r = pc_loop_timer_arm(alerts->timer, 0, LOOK_NS);
	}
	if (r < 0) {
		pc_camera_alerts_destroy(alerts);
		return r;
	}
	*ret_alerts = alerts;
	return 0;
}

int pc_camera_alerts_add(struct pc_camera_alerts *alerts, const char *id,
	void (*get)(void *data, struct pc_pipeline_trouble *ret_trouble), void *data)
{
	if (alerts->n_cameras == PC_SETTINGS_CAMERAS_MAX) {
		return -ENOSPC;
	}
	alerts->cameras[alerts->n_cameras++] = (struct camera){
		.id = id,
		.get = get,
		.data = data,
	};
	return 0;
}

void pc_camera_alerts_destroy(struct pc_camera_alerts *alerts)
{
	if (alerts == NULL) {
		return;
	}
	pc_loop_remove(alerts->timer);
	free(alerts);
}
