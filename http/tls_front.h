/* http/tls_front.h - the public port: TLS in front of Civetweb, one thread.
 *
 *   client ==TLS== front --loopback TCP-- Civetweb worker
 *
 * Civetweb gives each connection a thread and reads request heads at the client's pace, so
 * the front keeps clients away from it: a backend connection is opened when a request head is
 * complete, taken back when the client idles, and answers only to the front (a source port
 * that the front did not register is refused by the server). Each direction has one bounded
 * buffer; what cannot be forwarded is not read. A head that is not to RFC 9112's letter (bare
 * line feeds, folded lines, blanks before a colon) is answered 400 here.
 *
 * Limits: connections, connections an address, 10 s for a handshake, 15 s for a request head,
 * 60 s idle, 30 s without progress of a reply, 16 KiB of head (431). Who is refused is closed.
 *
 * Thread: create, start, stop, destroy from one thread; the pc_front_request_*() and
 * pc_front_peer_*() calls from any, until destroy.
 */
#ifndef PC_HTTP_TLS_FRONT_H
#define PC_HTTP_TLS_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pc_front;
struct pc_certificate;

struct pc_front_config {
	const char *address; /* "::" all, IPv4 too; else this one */
	unsigned port; /* 0: a free one */
	const struct pc_certificate *certificate; /* NULL: no TLS. Not kept */
	unsigned max_connections; /* 1..4096 */
	unsigned max_connections_per_address; /* without TLS all come from the proxy: no limit */
	unsigned workers; /* threads behind the backend port: above it idle ones are taken back */
};

/* Binds and listens; nobody is answered before start(). 0, -EADDRINUSE, -EACCES,
 * -EADDRNOTAVAIL, -EINVAL (an address that is none, a key that wolfSSL refuses), -ENOMEM ... */
int pc_front_create(const struct pc_front_config *config, struct pc_front **ret_front);

/* `backend_port`: where Civetweb listens on 127.0.0.1. */
int pc_front_start(struct pc_front *front, unsigned backend_port);

/* Ends the thread and closes every connection; all peers are gone from then on. */
void pc_front_stop(struct pc_front *front);

/* After the last worker has ended. NULL is fine. */
void pc_front_destroy(struct pc_front *front);

unsigned pc_front_port(const struct pc_front *front);

#define PC_FRONT_ADDRESS_SIZE 46

/* Who is behind a backend connection. A plain value; good for this connection alone. */
struct pc_front_peer {
	uint64_t token;
	char address[PC_FRONT_ADDRESS_SIZE]; /* "192.0.2.7", "2001:db8::7" */
};

/* 0; -ENOENT: no connection of the front's has this source port. */
int pc_front_peer_of_port(struct pc_front *front, unsigned port, struct pc_front_peer *ret_peer);

/* The client has hung up, or the front has stopped. */
bool pc_front_peer_gone(struct pc_front *front, uint64_t token);

/* A request of this connection is being served: until end(), silence is not idleness. */
void pc_front_request_begin(struct pc_front *front, uint64_t token);
void pc_front_request_end(struct pc_front *front, uint64_t token);

/* The body must be here within `timeout_ms`; then the worker reads an end of file.
 * 0: it is here. */
void pc_front_request_body_within(struct pc_front *front, uint64_t token, unsigned timeout_ms);

/* The connection is a WebSocket now: the client may send only little (8 KiB/s). */
void pc_front_request_upgraded(struct pc_front *front, uint64_t token);

struct pc_front_stats {
	uint64_t accepted;
	uint64_t refused; /* over a limit */
	uint64_t handshakes; /* that succeeded */
	uint64_t timed_out;
	unsigned connections; /* now */
	unsigned backends; /* now */
};
void pc_front_stats(struct pc_front *front, struct pc_front_stats *ret);

#endif
