/* tests/unit/http/api_fake.h - the door and the storage, faked, around the real handlers.
 *
 * A request is made, the handler called, and what it replied is looked at. The storage is a few
 * arrays; any of its calls can be told to fail.
 */
#ifndef PC_TEST_API_FAKE_H
#define PC_TEST_API_FAKE_H

#include <stdio.h>

#include "http/auth_internal.h"
#include "http/server_internal.h"
#include "storage/alerts.h"
#include "storage/events.h"
#include "storage/recordings.h"
#include "storage/users.h"

#define FAKE_ROWS 64

/* A text into an array. */
#define SET(array, text) snprintf(array, sizeof(array), "%s", text)

struct fake_storage {
	int fail; /* what every call answers, when not 0 */
	bool has_user;
	struct pc_user user;
	struct pc_consent consent;
	unsigned retention_days;
	unsigned n_sessions;
	char sessions[32][48];
	unsigned n_events;
	struct pc_event_row events[FAKE_ROWS]; /* oldest first */
	struct pc_event_filter filter; /* the last query's */
	char filter_camera[PC_CAMERA_ID_MAX];
	unsigned n_recordings;
	struct pc_recording_row recordings[FAKE_ROWS];
	char removed_reason[64];
	char media_path[128]; /* what every recording's file is */
	char thumbnail_path[128];
	unsigned n_configs;
	struct pc_alert_config configs[PC_ALERT_CONFIGS_MAX];
	unsigned n_alerts;
	struct pc_alert alerts[FAKE_ROWS];
	void (*listener)(void *data, int64_t event_id);
	void *listener_data;
};
extern struct fake_storage fake;

/* A server with `auth` on the fake storage and one camera, "cam0". */
extern struct pc_http_server fake_server;
extern struct pc_settings fake_settings;
void fake_start(void); /* everything empty */
void fake_stop(void);

/* What was replied. */
struct fake_reply {
	int status; /* 0: nothing */
	char type[64];
	char headers[2048];
	char body[262144];
	size_t size;
	json_t *json; /* the body, when it is JSON */
	int stream_writes;
	int stream_writes_max; /* then the client has gone */
};
extern struct fake_reply fake_reply;

/* "GET /events?limit=1"; the route is looked up by pc_routes' paths, with the first {..}s
 * taken from the path. `body` NULL: none. Runs identify, the access check and the handler. */
void fake_header(
	const char *name, const char *value); /* for the next requests; value NULL ends it */
int fake_call(const char *method, const char *target, const char *body);
const char *fake_detail(void); /* of a problem */

/* Sets up an owner ("ann", "correct horse") without scrypt, and logs in by header. */
#define FAKE_USER "ann"
#define FAKE_PASSWORD "correct horse"
void fake_login(void);
extern char fake_access_token[PC_JWT_SIZE];
extern char fake_media_token[PC_JWT_SIZE];

#endif
