/* http/routes.c - every route: method, path, who may, handler.
 *
 * The dashboard's files are not here: static.c answers for a path that no route has.
 */
#include "http/api_internal.h"

#define SMALL_BODY 4096

const struct pc_route pc_routes[] = {
	/* clang-format off */
	{ PC_GET, "/setup", PC_OPEN, pc_api_setup_state },
	{ PC_POST, "/setup", PC_OPEN, pc_api_setup, .body_max = SMALL_BODY },
	{ PC_POST, "/session", PC_OPEN, pc_api_session_create, .body_max = SMALL_BODY },
	{ PC_DELETE, "/session", PC_VIEWER, pc_api_session_end },

	{ PC_GET, "/live", PC_MEDIA, pc_api_live },
	{ PC_GET, "/cameras", PC_VIEWER, pc_api_cameras },
	{ PC_GET, "/cameras/{id}", PC_VIEWER, pc_api_camera },
	{ PC_GET, "/cameras/{id}/live", PC_MEDIA, pc_api_live },
	{ PC_GET, "/cameras/{id}/hls/{file}", PC_MEDIA, pc_api_hls },
	{ PC_GET, "/cameras/{id}/hls/~{token}/{file}", PC_MEDIA, pc_api_hls },
	{ PC_GET, "/cameras/{id}/live.ws", PC_MEDIA, pc_api_live_ws, .websocket = true },
	{ PC_GET, "/cameras/{id}/live.mp4", PC_MEDIA, pc_api_live_mp4 },
	{ PC_GET, "/cameras/{id}/snapshot.jpg", PC_MEDIA, pc_api_snapshot },

	{ PC_GET, "/events", PC_VIEWER, pc_api_events },
	{ PC_GET, "/events/stream", PC_VIEWER, pc_api_event_stream },
	{ PC_GET, "/events/{id}", PC_VIEWER, pc_api_event },
	{ PC_PATCH, "/events/{id}", PC_OWNER, pc_api_event_patch, .body_max = SMALL_BODY },
	{ PC_GET, "/events/{id}/clip.mp4", PC_MEDIA, pc_api_event_clip },
	{ PC_GET, "/events/{id}/thumbnail.jpg", PC_MEDIA, pc_api_event_thumbnail },

	{ PC_GET, "/recordings", PC_VIEWER, pc_api_recordings },
	{ PC_GET, "/recordings/{id}", PC_VIEWER, pc_api_recording },
	{ PC_DELETE, "/recordings/{id}", PC_OWNER, pc_api_recording_delete },
	{ PC_GET, "/recordings/{id}/media.mp4", PC_MEDIA, pc_api_recording_media },

	{ PC_GET, "/alerts", PC_VIEWER, pc_api_alerts },
	{ PC_GET, "/alerts/config", PC_VIEWER, pc_api_alert_configs },
	{ PC_POST, "/alerts/config", PC_OWNER, pc_api_alert_config_put, .body_max = SMALL_BODY },
	{ PC_POST, "/alerts/{id}/ack", PC_OWNER, pc_api_alert_ack, .body_max = SMALL_BODY },

	{ PC_GET, "/health", PC_OPEN, pc_api_health },
	{ PC_GET, "/metrics", PC_VIEWER, pc_api_metrics },
	{ PC_GET, "/version", PC_OPEN, pc_api_version },
	{ 0 },
	/* clang-format on */
};
