/* http/live_socket.c - the instant view over Civetweb's WebSocket.
 *
 * Civetweb's worker reads what the client says; a sender thread of ours writes the fragments,
 * since a write blocks as long as the client is slow. The worker's close handler ends and
 * joins the sender, and Civetweb frees a connection only after that handler: so the sender's
 * pointer is good for all its life, whoever ends first.
 *
 *   client closes    the worker reads the close frame and leaves its loop: close handler
 *   client vanishes  the front closes the socket, writes fail, the worker's read too
 *   window closes    the sender says 1001 and ends; the client's answer ends the worker
 *   server stops     the front closes the sockets first, so nobody stays blocked in a write
 *
 * mg_websocket_write() would send head and payload apart: two system calls, two wake-ups of
 * the front, two TLS records a frame. Here a message is copied behind its head and is one.
 */
#include <civetweb.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PC_LOG_MODULE "live"
#include "core/clock.h"
#include "core/log.h"
#include "core/thread.h"
#include "http/auth_internal.h"
#include "http/http_internal.h"
#include "http/instant.h"

#define HEAD_MAX 10 /* of a message to the client, RFC 6455 5.2 */
#define MESSAGE_MIN ((size_t)32 * 1024)

enum close_code { /* RFC 6455 7.4.1 */
	CLOSE_NORMAL = 1000,
	CLOSE_GOING_AWAY = 1001,
	CLOSE_TRY_LATER = 1013,
};

struct viewer {
	struct pc_http_server *server;
	struct mg_connection *connection;
	const struct pc_http_camera_entry *camera;
	char session_id[PC_SESSION_ID_SIZE]; /* the login that opened it */
	pthread_t sender;
	atomic_bool stop;
	/* The sender's; the close handler's once it has joined the sender. */
	uint8_t *message;
	size_t capacity;
	bool broken; /* a message was cut short: nothing can follow it */
	bool said_close;
};

static size_t put_head(uint8_t *out, unsigned opcode, size_t size)
{
	out[0] = (uint8_t)(0x80 | opcode); /* final: no message is split */
	if (size < 126) {
		out[1] = (uint8_t)size;
		return 2;
	}
	const unsigned n = size <= UINT16_MAX ? 2 : 8;
	out[1] = n == 2 ? 126 : 127;
	for (unsigned i = 0; i < n; i++) {
		out[2 + i] = (uint8_t)((uint64_t)size >> (8 * (n - 1 - i)));
	}
	return 2 + n;
}

/* 0, -ENOMEM, or -EPIPE: the client has gone. Blocks while the client is slow. */
static int say(struct viewer *viewer, unsigned opcode, const void *data, size_t size)
{
	if (viewer->broken) {
		return -EPIPE;
	}
	if (viewer->capacity < HEAD_MAX + size) {
		const size_t capacity = HEAD_MAX + size + size / 2 + MESSAGE_MIN;
		uint8_t *message = malloc(capacity);
		if (message == NULL) {
			return -ENOMEM;
		}
		free(viewer->message);
		viewer->message = message;
		viewer->capacity = capacity;
	}
	const size_t head = put_head(viewer->message, opcode, size);
	memcpy(viewer->message + head, data, size);
	mg_lock_connection(viewer->connection); /* the worker answers pings */
	const int n = mg_write(viewer->connection, viewer->message, head + size);
	mg_unlock_connection(viewer->connection);
	if (n != (int)(head + size)) {
		viewer->broken = true;
		return -EPIPE;
	}
	return 0;
}

static void say_close(struct viewer *viewer, enum close_code code)
{
	const uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };
	if (!viewer->said_close) {
		viewer->said_close = true;
		(void)say(viewer, MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE, payload, sizeof(payload));
	}
}

static int send_init(void *data, const struct pc_init *init, const struct pc_fragment *first)
{
	struct viewer *viewer = data;
	char utc[PC_CLOCK_RFC3339_SIZE];
	char text[256];
	pc_clock_format(pc_clock_utc_ms_of(first->capture_ns), utc);
	const int n = snprintf(text, sizeof(text),
		"{\"codec\":\"%s\",\"epoch\":%" PRIu32 ",\"width\":%" PRIu32 ",\"height\":%" PRIu32
		",\"t\":%.6f,\"utc\":\"%s\"}",
		init->codec, init->epoch, init->width, init->height,
		(double)first->decode_time / PC_MEDIA_TIMESCALE, utc);
	const int r = say(viewer, MG_WEBSOCKET_OPCODE_TEXT, text, (size_t)n);
	return r < 0 ? r : say(viewer, MG_WEBSOCKET_OPCODE_BINARY, init->data, init->size);
}

static int send_fragment(void *data, const struct pc_fragment *fragment)
{
	struct viewer *viewer = data;
	if (atomic_load_explicit(&viewer->stop, memory_order_relaxed)) {
		return -ECANCELED;
	}
	return say(viewer, MG_WEBSOCKET_OPCODE_BINARY, fragment->data, fragment->size);
}

static bool is_aborted(void *data)
{
	struct viewer *viewer = data;
	return atomic_load_explicit(&viewer->stop, memory_order_relaxed) ||
	       pc_http_stopping(viewer->server) || pc_http_connection_aborted(viewer->connection) ||
	       !pc_auth_session_valid(pc_http_auth(viewer->server), viewer->session_id);
}

static void *send_live(void *data)
{
	static const struct pc_instant_transport transport = {
		.init = send_init,
		.fragment = send_fragment,
		.aborted = is_aborted,
	};
	struct viewer *viewer = data;
	const struct pc_instant_config config = {
		.window = viewer->camera->window,
		.stats = viewer->camera->stats,
	};
	const int r = pc_instant_run(&config, &transport, viewer);
	if (!atomic_load(&viewer->stop)) {
		pc_debug("%s: a viewer ends: %s", viewer->camera->id, pc_strerror(r));
		say_close(viewer, r == -ENOMEM ? CLOSE_TRY_LATER : CLOSE_GOING_AWAY);
	}
	return NULL;
}

/* ---- Civetweb's callbacks ---- */

int pc_live_websocket_accept(struct pc_request *request)
{
	/* Only a look: Civetweb may refuse the handshake still, and tells nobody. */
	if (!pc_http_viewer_enter(request->server)) {
		return pc_reply_problem(request, 503, "Retry-After: 5\r\n",
			"As many viewers are watching as http.max_viewers allows.");
	}
	pc_http_viewer_leave(request->server);
	return 0;
}

static void refuse(struct mg_connection *connection)
{
	static const char later[] = { CLOSE_TRY_LATER >> 8, (char)(CLOSE_TRY_LATER & 0xff) };
	(void)mg_websocket_write(
		connection, MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE, later, sizeof(later));
}

void pc_live_websocket_ready(struct pc_http_server *server, struct mg_connection *connection,
	const struct pc_http_camera_entry *camera, const char *session_id)
{
	mg_set_user_connection_data(connection, NULL);
	if (!pc_http_viewer_enter(server)) {
		refuse(connection);
		return;
	}
	struct viewer *viewer = calloc(1, sizeof(*viewer));
	if (viewer == NULL) {
		goto fail;
	}
	viewer->server = server;
	viewer->connection = connection;
	viewer->camera = camera;
	snprintf(viewer->session_id, sizeof(viewer->session_id), "%s", session_id);
	atomic_init(&viewer->stop, false);
	const int r = pc_thread_create(&viewer->sender, "viewer", send_live, viewer);
	if (r < 0) {
		pc_warn("%s: no thread for a viewer: %s", camera->id, pc_strerror(r));
		goto fail;
	}
	mg_set_user_connection_data(connection, viewer);
	return;

fail:
	free(viewer);
	pc_http_viewer_leave(server);
	refuse(connection);
}

void pc_live_websocket_close(struct mg_connection *connection)
{
	struct viewer *viewer = mg_get_user_connection_data(connection);
	if (viewer == NULL) {
		return;
	}
	mg_set_user_connection_data(connection, NULL);
	atomic_store(&viewer->stop, true);
	pthread_join(viewer->sender, NULL);
	/* Civetweb does not answer a close frame; without an answer browsers report an
	 * unclean end. */
	say_close(viewer, CLOSE_NORMAL);
	pc_http_viewer_leave(viewer->server);
	free(viewer->message);
	free(viewer);
}

int pc_api_live_ws(struct pc_request *request)
{
	return pc_reply_problem(request, 426, "Upgrade: websocket\r\nConnection: Upgrade\r\n",
		"This is a WebSocket.");
}
