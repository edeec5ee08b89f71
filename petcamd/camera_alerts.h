/* petcamd/camera_alerts.h - alerts that a camera gives no picture, or came back.
 *
 *   camera_lost        no picture for more than 10 s; ends when pictures come
 *   camera_restarted   the camera was away for less, and was opened again
 *   encoder_restarted  the encoder failed or stalled, and was opened again
 *   scaler_restarted   the same of the scaler: no events were seen meanwhile
 *
 * Of each kind at most one is open a camera. One of the last three stays open for a minute after
 * the last time, so that a camera that comes and goes is one alert and not hundreds.
 *
 * Thread: the main loop's, where the writes wait for storage; what happened is read from the
 * pipelines, which wait for nobody.
 */
#ifndef PC_PETCAMD_CAMERA_ALERTS_H
#define PC_PETCAMD_CAMERA_ALERTS_H

#include "core/loop.h"
#include "petcamd/pipeline.h"
#include "storage/alerts.h"

struct pc_camera_alerts;

/* Looks twice a second on `loop`. Alerts that were open when petcam ended, end. `storage` must
 * outlive it. */
int pc_camera_alerts_create(
	struct pc_loop *loop, struct pc_storage *storage, struct pc_camera_alerts **ret_alerts);

/* `id`, and what get() is given, must outlive the alerts; get() fills what went wrong so
 * far. 0, -ENOSPC (PC_SETTINGS_CAMERAS_MAX). */
int pc_camera_alerts_add(struct pc_camera_alerts *alerts, const char *id,
	void (*get)(void *data, struct pc_pipeline_trouble *ret_trouble), void *data);

void pc_camera_alerts_destroy(struct pc_camera_alerts *alerts); /* NULL is fine */

#endif
