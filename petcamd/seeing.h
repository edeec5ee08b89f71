/* petcamd/seeing.h - from small frames to events: one inference thread for all cameras.
 *
 * A camera's frames come through a mailbox of one: the thread always takes the newest, and
 * what it had no time for is counted. Detector, tracker and behaviour belong to the thread.
 * Their events become rows (storage/events.h) and hold the camera's recorder.
 *
 * Thread: create, add, stop and destroy from the main thread; open, feed and close from the
 * camera's media thread, never blocking.
 */
#ifndef PC_PETCAMD_SEEING_H
#define PC_PETCAMD_SEEING_H

#include "config/settings.h"
#include "core/frame.h"
#include "core/health.h"
#include "core/stats.h"
#include "petcamd/source.h"
#include "storage/recorder.h"
#include "storage/storage.h"

struct pc_seeing;
struct pc_seeing_camera;

/* Starts the thread. `settings`, `storage` and `health` must outlive it. */
int pc_seeing_create(const struct pc_settings *settings, struct pc_storage *storage,
	struct pc_health *health, struct pc_seeing **ret_seeing);

/* Ends what goes on (events get their end), joins the thread. NULL is fine. */
void pc_seeing_destroy(struct pc_seeing *seeing);

/* `recorder` and `stats` must outlive the seeing. The camera is freed with it.
 * 0, -ENOSPC (PC_SETTINGS_CAMERAS_MAX), -ENOMEM. */
int pc_seeing_add_camera(struct pc_seeing *seeing, const struct pc_camera_settings *camera,
	struct pc_recorder *recorder, struct pc_camera_stats *stats,
	struct pc_seeing_camera **ret_camera);

/* The source was opened: small frames of width x height will come. What was known of the
 * picture is forgotten. */
void pc_seeing_camera_open(struct pc_seeing_camera *camera, const struct pc_source_info *info,
	unsigned width, unsigned height);

/* Takes its own reference on `frame`. */
void pc_seeing_camera_feed(struct pc_seeing_camera *camera, struct pc_frame *frame);

/* The source was closed: events that go on end now. */
void pc_seeing_camera_close(struct pc_seeing_camera *camera);

#endif
