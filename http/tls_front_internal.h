/* http/tls_front_internal.h - the front's insides: tls_front.c keeps the connections and the
 * clock, tls_front_relay.c moves the bytes of one, tls_front_head.c reads its requests' heads.
 *
 * Thread: the front's, except what is marked.
 */
#ifndef PC_HTTP_TLS_FRONT_INTERNAL_H
#define PC_HTTP_TLS_FRONT_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/clock.h"
#include "http/tls_front.h"
#include "http/tls_session.h"

/* Civetweb's max_request_size. */
#define FRONT_UP_SIZE 16384
/* A record, and what TLS says by itself while one waits. */
#define FRONT_DOWN_SIZE (PC_TLS_RECORD + 2048)
#define FRONT_TLS_ROOM 512

/* A connection's link is what workers share with the front: the generation of its backend
 * connection (a token of another generation is gone), flags, and how many requests ended. */
#define LINK_GENERATION(link) ((uint32_t)((link) >> 32))
#define LINK_BUSY UINT64_C(0x80000000)
#define LINK_UPGRADED UINT64_C(0x40000000)
#define LINK_GONE UINT64_C(0x20000000)
#define LINK_COUNT_MASK UINT64_C(0x1fffffff)

enum client_state {
	CLIENT_NONE, /* the slot is free */
	CLIENT_HANDSHAKE,
	CLIENT_OPEN,
	CLIENT_LEAVING, /* our last bytes are on their way, then a FIN */
	CLIENT_LINGER, /* we are done; what it still says is thrown away */
};

enum backend_state {
	BACKEND_NONE,
	BACKEND_CONNECTING,
	BACKEND_OPEN,
};

struct front_connection {
	/* Any thread. */
	_Atomic uint64_t link;
	_Atomic int64_t body_until_ns; /* 0: no limit */

	/* Under the front's lock. */
	unsigned port; /* source port of the backend connection; 0: none */
	char address_text[PC_FRONT_ADDRESS_SIZE];

	struct in6_addr address;
	uint32_t serial; /* told apart from the slot's earlier users in epoll's data */
	unsigned index;
	struct front_connection *next_free;
	struct pc_front *front;

	enum client_state client_state;
	int client; /* -1: none */
	uint32_t client_events; /* what epoll watches */
	bool client_readable; /* until a read says otherwise */
	bool client_ended; /* FIN or close_notify */
	bool greeted; /* its first byte was looked at */
	bool said_bye; /* close_notify, or an alert */
	struct pc_tls_session *tls; /* NULL: plain */

	enum backend_state backend_state;
	int backend;
	uint32_t backend_events;
	bool backend_watched;
	bool backend_readable;
	bool backend_hung_up; /* not watched any more: epoll would never be silent */
	bool backend_ended_up; /* we sent our FIN */
	bool up_blocked;
	bool upload_cut; /* the body was too slow */
	uint32_t requests; /* that were passed on, of which the link counts those that ended */
	uint64_t message_left; /* of the last one's bytes */
	const char *refusal; /* NULL, or the reply to what is no request: it ends the connection */

	unsigned char *up; /* from the client: FRONT_UP_SIZE */
	size_t up_start, up_end, up_scanned; /* scanned: offset from up_start */
	unsigned char *down; /* to the client: FRONT_DOWN_SIZE */
	size_t down_start, down_end;

	int64_t state_ns; /* when client_state began */
	int64_t backend_ns; /* when backend_state began */
	int64_t head_ns; /* when an incomplete head was first seen; 0: none */
	int64_t idle_ns; /* when the last request was last seen */
	int64_t down_ns; /* when the client last took bytes */
	int64_t ended_ns; /* when client_ended */
	bool served; /* had a request */
	uint64_t heard; /* bytes from the client since the last scan */
	int64_t credit; /* of a WebSocket's client */
};

struct pc_front {
	struct pc_tls_context *tls; /* NULL: plain */
	unsigned max_connections;
	unsigned max_per_address;
	unsigned workers;
	unsigned port;
	unsigned backend_port;
	int listener;
	int epoll;
	int wake; /* eventfd: stop */
	pthread_t thread;
	bool started;
	_Atomic bool stop;

	struct front_connection *connections; /* max_connections */
	struct front_connection *free;
	unsigned char *buffers;
	unsigned char scratch[PC_TLS_RECORD];
	int64_t now_ns; /* of this turn */
	int64_t scanned_ns;
	bool accept_paused;
	int64_t complained_ns; /* when a refusal was last logged */

	pthread_mutex_t lock; /* of the ports */
	_Atomic uint64_t accepted, refused, handshakes, timed_out;
	_Atomic unsigned n_connections, n_backends;
};

/* tls_front_head.c */

/* Reads the head at `bytes`. `*scanned`: how far this was looked at before, 0 at first. 0 and
 * the size of head and body; -EAGAIN: it is not all there; -EBADMSG. */
int front_head_read(
	const unsigned char *bytes, size_t size, size_t *scanned, uint64_t *ret_message);

/* tls_front_relay.c */

/* Moves what can be moved. 0, or negative errno: close the connection. */
int front_relay(struct pc_front *front, struct front_connection *c);
void front_on_backend_event(struct front_connection *c, uint32_t revents);
/* Makes epoll watch for what relay() waits for. */
int front_watch(struct pc_front *front, struct front_connection *c);
/* A request is with the workers, or on its way to them. */
bool front_in_request(const struct front_connection *c);
/* Takes the backend connection back; its token is gone. */
void front_drop_backend(struct pc_front *front, struct front_connection *c);
/* The worker reads an end of file. */
void front_cut_upload(struct front_connection *c);

/* tls_front.c */
void front_set_client_state(struct front_connection *c, enum client_state state);
uint64_t front_event_data(const struct front_connection *c, unsigned which);
#define FRONT_EVENT_LISTENER 0u
#define FRONT_EVENT_WAKE 1u
#define FRONT_EVENT_CLIENT 2u
#define FRONT_EVENT_BACKEND 3u

#endif
