/* http/tls_session.h - server-side TLS without sockets: wolfSSL behind two functions.
 *
 * wolfSSL's headers define OpenSSL's names, so they are seen by tls_session.c alone.
 * Thread: a context and its sessions belong to one thread.
 */
#ifndef PC_HTTP_TLS_SESSION_H
#define PC_HTTP_TLS_SESSION_H

#include <stddef.h>
#include <sys/types.h>

struct pc_certificate;
struct pc_tls_context;
struct pc_tls_session;

/* Both return the number of bytes, 0 at the end of the stream, or negative errno, -EAGAIN
 * included. */
struct pc_tls_transport {
	ssize_t (*receive)(void *data, void *bytes, size_t size);
	ssize_t (*send)(void *data, const void *bytes, size_t size);
};

/* TLS 1.2 and 1.3, ChaCha20-Poly1305 first, ALPN http/1.1, stateless tickets. -EINVAL: the
 * certificate or key is refused. */
int pc_tls_context_create(
	const struct pc_certificate *certificate, struct pc_tls_context **ret_context);
void pc_tls_context_destroy(struct pc_tls_context *context); /* NULL is fine */

/* Frees what wolfSSL keeps a thread; the last call of a thread that used the calls below. */
void pc_tls_thread_end(void);

/* `transport` (static) is called with `data` by the calls below. */
int pc_tls_session_create(struct pc_tls_context *context, const struct pc_tls_transport *transport,
	void *data, struct pc_tls_session **ret_session);
void pc_tls_session_destroy(struct pc_tls_session *session); /* NULL is fine */

/* 0 when done; -EAGAIN: call again when the transport is ready; else it failed. */
int pc_tls_session_handshake(struct pc_tls_session *session);
/* Bytes; 0: the client ended the stream; -EAGAIN; else it failed. */
ssize_t pc_tls_session_read(struct pc_tls_session *session, void *bytes, size_t size);
/* All of `size` (at most PC_TLS_RECORD), or negative errno: `send` must take all. */
#define PC_TLS_RECORD 16384
int pc_tls_session_write(struct pc_tls_session *session, const void *bytes, size_t size);
/* Plaintext that read() would return without the transport. */
size_t pc_tls_session_pending(struct pc_tls_session *session);
/* Sends close_notify. */
void pc_tls_session_bye(struct pc_tls_session *session);

#endif
