/* http/tls_session.c - server-side TLS without sockets; see tls_session.h. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

#include <errno.h>
#include <stdlib.h>

#include "http/certificate.h"
#include "http/tls_session.h"

/* ChaCha20-Poly1305 first: neither the Pi 4 nor Debian's build of wolfSSL has AES
 * instructions (321 MB/s against 125). Only forward secrecy, only AEAD. */
#define CIPHERS                                                                                    \
	"TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:"          \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:"                             \
	"ECDHE-ECDSA-AES256-GCM-SHA384"

struct pc_tls_context {
	WOLFSSL_CTX *wolf;
};

struct pc_tls_session {
	WOLFSSL *wolf;
	const struct pc_tls_transport *transport;
	void *data;
};

static int wolf_error(ssize_t result)
{
	if (result == -EAGAIN) {
		return WOLFSSL_CBIO_ERR_WANT_READ; /* WANT_WRITE has the same value */
	}
	if (result == 0) {
		return WOLFSSL_CBIO_ERR_CONN_CLOSE;
	}
	return result == -ECONNRESET ? WOLFSSL_CBIO_ERR_CONN_RST : WOLFSSL_CBIO_ERR_GENERAL;
}

static int on_receive(WOLFSSL *wolf, char *bytes, int size, void *data)
{
	const struct pc_tls_session *session = data;
	const ssize_t n = session->transport->receive(session->data, bytes, (size_t)size);

	(void)wolf;
	return n > 0 ? (int)n : wolf_error(n);
}

static int on_send(WOLFSSL *wolf, char *bytes, int size, void *data)
{
	const struct pc_tls_session *session = data;
	const ssize_t n = session->transport->send(session->data, bytes, (size_t)size);

	(void)wolf;
	return n > 0 ? (int)n : wolf_error(n);
}

int pc_tls_context_create(
	const struct pc_certificate *certificate, struct pc_tls_context **ret_context)
{
	int r = -ENOMEM;

	struct pc_tls_context *context = calloc(1, sizeof(*context));
	if (context == NULL) {
		return -ENOMEM;
	}
	if (wolfSSL_Init() != WOLFSSL_SUCCESS) {
		goto fail_context;
	}
	context->wolf = wolfSSL_CTX_new(wolfTLS_server_method());
	if (context->wolf == NULL) {
		goto fail_library;
	}
	r = -EINVAL;
	if (wolfSSL_CTX_SetMinVersion(context->wolf, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
		wolfSSL_CTX_set_cipher_list(context->wolf, CIPHERS) != WOLFSSL_SUCCESS ||
		wolfSSL_CTX_use_certificate_chain_buffer_format(context->wolf,
			certificate->certificate, (long)certificate->certificate_size,
			WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
		wolfSSL_CTX_use_PrivateKey_buffer(context->wolf, certificate->key,
			(long)certificate->key_size, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
		goto fail_wolf;
	}
	wolfSSL_CTX_set_verify(context->wolf, WOLFSSL_VERIFY_NONE, NULL);
	/* Tickets carry the state; a cache would keep 33 of everybody's sessions. */
	(void)wolfSSL_CTX_set_session_cache_mode(context->wolf, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_SetIORecv(context->wolf, on_receive);
	wolfSSL_CTX_SetIOSend(context->wolf, on_send);
	*ret_context = context;
	return 0;

fail_wolf:
	wolfSSL_CTX_free(context->wolf);
fail_library:
	wolfSSL_Cleanup();
fail_context:
	free(context);
	return r;
}

void pc_tls_context_destroy(struct pc_tls_context *context)
{
	if (context == NULL) {
		return;
	}
	wolfSSL_CTX_free(context->wolf);
	wolfSSL_Cleanup();
	free(context);
}

void pc_tls_thread_end(void)
{
	wc_ecc_fp_free(); /* 0.8 MB of points, thread-local in Debian's build */
}

int pc_tls_session_create(struct pc_tls_context *context, const struct pc_tls_transport *transport,
	void *data, struct pc_tls_session **ret_session)
{
	char protocols[] = "http/1.1";

	struct pc_tls_session *session = calloc(1, sizeof(*session));
	if (session == NULL) {
		return -ENOMEM;
	}
	session->transport = transport;
	session->data = data;
	session->wolf = wolfSSL_new(context->wolf);
	/* A client that names no protocol is taken; one that wants only others is not. */
	if (session->wolf == NULL ||
		wolfSSL_UseALPN(session->wolf, protocols, sizeof(protocols) - 1,
			WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS) {
		pc_tls_session_destroy(session);
		return -ENOMEM;
	}
	wolfSSL_SetIOReadCtx(session->wolf, session);
	wolfSSL_SetIOWriteCtx(session->wolf, session);
	*ret_session = session;
	return 0;
}

void pc_tls_session_destroy(struct pc_tls_session *session)
{
	if (session == NULL) {
		return;
	}
	wolfSSL_free(session->wolf);
	free(session);
}

/* What a call that returned `result` means: 0, the end of the stream, or negative errno. */
static int outcome(struct pc_tls_session *session, int result)
{
	switch (wolfSSL_get_error(session->wolf, result)) {
	case WOLFSSL_ERROR_WANT_READ:
	case WOLFSSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case WOLFSSL_ERROR_ZERO_RETURN: /* close_notify */
	case SOCKET_PEER_CLOSED_E: /* TCP's end without one */
		return 0;
	case MEMORY_E:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

int pc_tls_session_handshake(struct pc_tls_session *session)
{
	const int r = wolfSSL_accept(session->wolf);
	if (r == WOLFSSL_SUCCESS) {
		return 0;
	}
	const int error = outcome(session, r);
	return error == 0 ? -ECONNRESET : error;
}

ssize_t pc_tls_session_read(struct pc_tls_session *session, void *bytes, size_t size)
{
	const int n = wolfSSL_read(session->wolf, bytes, (int)size);

	return n > 0 ? n : outcome(session, n);
}

int pc_tls_session_write(struct pc_tls_session *session, const void *bytes, size_t size)
{
	const int n = wolfSSL_write(session->wolf, bytes, (int)size);

	return n == (int)size ? 0 : -EPROTO;
}

size_t pc_tls_session_pending(struct pc_tls_session *session)
{
	const int n = wolfSSL_pending(session->wolf);

	return n > 0 ? (size_t)n : 0;
}

void pc_tls_session_bye(struct pc_tls_session *session)
{
	(void)wolfSSL_shutdown(session->wolf);
}
