/* http/server.h - the face to the outside: TLS front, Civetweb, router, API, live views.
 *
 * The data's way in: client -> TLS front (one thread, epoll, wolfSSL; owns the public
 * port) -> Civetweb on a loopback port that answers only the front's connections -> one
 * catch-all handler -> strict router -> handlers. Handlers read immutable data (windows,
 * playlists, rows, the dashboard's files in memory) and never block a media loop.
 *
 * Thread: create, destroy and the camera calls from the main thread.
 */
#ifndef PC_HTTP_SERVER_H
#define PC_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"
#include "core/health.h"
#include "core/stats.h"
#include "core/window.h"
#include "storage/storage.h"

struct pc_http_server;

/* What the API tells of a camera. Strings are copied. */
struct pc_http_camera {
	const char *id;
	const char *name;
	const char *source_text; /* "file v03.mp4, 640x338 at 25" */
	struct pc_window *window; /* the server takes a reference */
	struct pc_camera_stats *stats; /* must outlive the server */
	double fps; /* nominal: the LL-HLS part follows from it */
};

struct pc_http_config {
	const struct pc_settings *settings; /* must outlive the server */
	struct pc_storage *storage; /* NULL in safe mode without a data root */
	struct pc_health *health;
	const char *version;
	/* Safe mode: only the dashboard's files, /health, /version and /setup's state are
	 * served; this text is shown to the owner. NULL: normal. */
	const char *safe_mode_text;
};

/* Makes key and certificate at first start (<root>/keys, 0600), binds, starts serving.
 * 0, or negative errno with `why` (a sentence: "port 8443 is in use: set http.port"). */
int pc_http_server_create(const struct pc_http_config *config, char *why, size_t why_size,
	struct pc_http_server **ret_server);

/* Closes every connection within about a second; no handler runs afterwards. */
void pc_http_server_destroy(struct pc_http_server *server);

/* "https://localhost:8443". The server's. */
const char *pc_http_server_url(const struct pc_http_server *server);

/* The one-time code of the first run, or NULL once an owner exists. The server's. */
const char *pc_http_server_setup_code(const struct pc_http_server *server);

/* The first camera added is the default one (/live). 0, -EEXIST, -ENOSPC. */
int pc_http_server_add_camera(struct pc_http_server *server, const struct pc_http_camera *camera);

#endif
