/* http/server_internal.h - what server.c, serve.c, request.c and reply.c share. */
#ifndef PC_HTTP_SERVER_INTERNAL_H
#define PC_HTTP_SERVER_INTERNAL_H

#include <stdatomic.h>

#include "http/certificate.h"
#include "http/http_internal.h"
#include "http/tls_front.h"

struct mg_callbacks;
struct mg_context;

#define PC_HTTP_STACK_SIZE (512 * 1024)
void pc_http_stack_install(void);

/* One of Civetweb's threads; it serves one connection at a time. */
struct pc_http_worker {
	struct pc_http_server *server;
	bool looked_up; /* of this connection: */
	bool known; /* it came through the front */
	struct pc_front_peer peer;
	const struct pc_http_camera_entry *camera; /* of the WebSocket */
	struct pc_request request;
};

struct pc_http_server {
	struct pc_http_config config; /* its texts are the two below */
	char *version;
	char *safe_mode_text;
	struct pc_auth *auth; /* NULL in safe mode */
	struct pc_static *files;
	_Atomic(struct pc_front *) front; /* set before it starts; workers look at it */
	struct mg_context *civetweb;
	int listener; /* Civetweb's own, found by its port; not ours to close */
	_Atomic bool stopping;
	_Atomic unsigned n_cameras; /* published after the entry is filled */
	struct pc_http_camera_entry cameras[PC_SETTINGS_CAMERAS_MAX];
	_Atomic unsigned viewers;
	char url[128];
};

/* serve.c: Civetweb's callbacks, from the first byte of a request to its handler. */
extern const struct mg_callbacks pc_serve_callbacks;
void pc_serve_websockets(struct pc_http_server *server);

#endif
