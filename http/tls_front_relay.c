/* http/tls_front_relay.c - the bytes of one connection: client to backend and back.
 *
 * A request's head is kept until it is whole; only then does it get a backend connection, and
 * so a worker. Its body is passed on as it comes, 16 KiB at a time, as is everything once it is
 * a WebSocket; the next request has to have its head again. What one side does not take is not
 * read from the other. Nothing is allocated here but what wolfSSL allocates for a record.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/tls_front_internal.h"

#define TURNS 4 /* a connection's share of one event */

/* The hop to Civetweb. A loopback segment is 64 KiB, and Civetweb's send buffer would grow to
 * megabytes of them: seconds of a live view. With small segments and a small window there is
 * little under way (measured: tests/unit/http/test_front.c, lag). */
#define BACKEND_RECEIVE_BUFFER (32 * 1024)
#define BACKEND_SEGMENT 8192

static size_t up_size(const struct front_connection *c)
{
	return c->up_end - c->up_start;
}

static size_t down_size(const struct front_connection *c)
{
	return c->down_end - c->down_start;
}

static uint32_t link_count(uint64_t link)
{
	return (uint32_t)(link & LINK_COUNT_MASK);
}

bool front_in_request(const struct front_connection *c)
{
	const uint64_t link = atomic_load_explicit(&c->link, memory_order_acquire);

	return (link & LINK_BUSY) || link_count(link) != (c->requests & LINK_COUNT_MASK);
}

/* ---- towards the client ---- */

/* 0: all of down is sent; -EAGAIN: some is left. */
static int flush_down(struct front_connection *c)
{
	while (down_size(c) > 0) {
		const ssize_t n =
			send(c->client, c->down + c->down_start, down_size(c), MSG_NOSIGNAL);
		if (n < 0) {
			return -errno;
		}
		c->down_start += (size_t)n;
		c->down_ns = c->front->now_ns;
	}
	c->down_start = c->down_end = 0;
	return 0;
}

/* Takes all of `size`, at once or into down; or nothing: -EAGAIN. */
static ssize_t send_or_keep(struct front_connection *c, const void *bytes, size_t size)
{
	size_t sent = 0;

	if (down_size(c) == 0) {
		const ssize_t n = send(c->client, bytes, size, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN) {
			return -errno;
		}
		sent = n > 0 ? (size_t)n : 0;
		c->down_ns = c->front->now_ns;
	}
	if (size - sent > FRONT_DOWN_SIZE - c->down_end) {
		/* TLS speaking by itself to a client that does not read; never a record. */
		return sent > 0 ? -EPROTO : -EAGAIN;
	}
	memcpy(c->down + c->down_end, (const unsigned char *)bytes + sent, size - sent);
	c->down_end += size - sent;
	return (ssize_t)size;
}

static ssize_t transport_send(void *data, const void *bytes, size_t size)
{
	return send_or_keep(data, bytes, size);
}

static ssize_t transport_receive(void *data, void *bytes, size_t size)
{
	const struct front_connection *c = data;
	const ssize_t n = recv(c->client, bytes, size, 0);

	return n < 0 ? -errno : n;
}

static const struct pc_tls_transport transport = {
	.receive = transport_receive,
	.send = transport_send,
};

/* Only when down is empty. */
static int deliver(struct front_connection *c, const void *bytes, size_t size)
{
	if (c->tls != NULL) {
		return pc_tls_session_write(c->tls, bytes, size);
	}
	const ssize_t n = send_or_keep(c, bytes, size);
	return n < 0 ? (int)n : 0;
}

/* The last byte of the reply has been read: it goes out, then close_notify, then FIN. */
static int leave(struct front_connection *c)
{
	if (c->client_state == CLIENT_OPEN || c->client_state == CLIENT_HANDSHAKE) {
		front_set_client_state(c, CLIENT_LEAVING);
		c->down_ns = c->front->now_ns;
	}
	if (c->tls != NULL && !c->said_bye && FRONT_DOWN_SIZE - c->down_end >= FRONT_TLS_ROOM) {
		pc_tls_session_bye(c->tls);
		c->said_bye = true;
	}
	const int r = flush_down(c);
	if (r < 0) {
		return r == -EAGAIN ? 0 : r;
	}
	if (c->client_ended) {
		return -ECONNRESET;
	}
	if (shutdown(c->client, SHUT_WR) < 0) {
		return -errno;
	}
	front_set_client_state(c, CLIENT_LINGER);
	return 0;
}

/* ---- from the client ---- */

static ssize_t receive_plain(struct front_connection *c, void *bytes, size_t size)
{
	return c->tls == NULL ? transport_receive(c, bytes, size)
			      : pc_tls_session_read(c->tls, bytes, size);
}

static bool may_read_client(const struct front_connection *c)
{
	return c->client_state == CLIENT_OPEN && !c->client_ended && !c->upload_cut &&
	       c->refusal == NULL && up_size(c) < FRONT_UP_SIZE &&
	       FRONT_DOWN_SIZE - c->down_end >= FRONT_TLS_ROOM;
}

/* Handlers that wait learn that nobody does. A FIN can also be half a goodbye, so what is
 * being answered may still go out: for 5 s, see tls_front.c. */
static void client_has_ended(struct front_connection *c)
{
	c->client_ended = true;
	c->ended_ns = c->front->now_ns;
	atomic_fetch_or(&c->link, LINK_GONE);
}

static int read_client(struct front_connection *c, bool *moved)
{
	if (!c->client_readable || !may_read_client(c)) {
		return 0;
	}
	if (c->up_start > 0) {
		memmove(c->up, c->up + c->up_start, up_size(c));
		c->up_end -= c->up_start;
		c->up_start = 0;
	}
	const size_t room = FRONT_UP_SIZE - c->up_end;
	const ssize_t n = receive_plain(c, c->up + c->up_end, room);
	if (n == -EAGAIN) {
		c->client_readable = false;
		return 0;
	}
	if (n < 0) {
		return (int)n;
	}
	*moved = true;
	if (n == 0) {
		client_has_ended(c);
		return 0;
	}
	c->up_end += (size_t)n;
	c->heard += (uint64_t)n;
	/* Whatever wolfSSL holds will not wake epoll; what the socket holds will. */
	c->client_readable =
		(size_t)n == room || (c->tls != NULL && pc_tls_session_pending(c->tls) > 0);
	return 0;
}

/* ---- the backend ---- */

static void set_port(struct pc_front *front, struct front_connection *c, unsigned port)
{
	pthread_mutex_lock(&front->lock);
	c->port = port;
	/* Tokens of before are gone from here on; the count starts again. */
	atomic_store(&c->link, (uint64_t)(LINK_GENERATION(atomic_load(&c->link)) + 1) << 32);
	atomic_store(&c->body_until_ns, 0);
	pthread_mutex_unlock(&front->lock);
}

static void set_option(int fd, int level, int option, int value)
{
	/* None of them is needed for more than speed. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

static int connect_backend(struct pc_front *front, struct front_connection *c, int fd)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);

	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, BACKEND_RECEIVE_BUFFER);
	set_option(fd, IPPROTO_TCP, TCP_MAXSEG, BACKEND_SEGMENT);
	/* Bound before it connects: the server must know the port when Civetweb accepts it. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
		return -errno;
	}
	set_port(front, c, ntohs(address.sin_port));
	address.sin_port = htons((uint16_t)front->backend_port);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
		return -errno;
	}
	return 0;
}

static int open_backend(struct pc_front *front, struct front_connection *c)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -errno;
	}
	int r = connect_backend(front, c, fd);
	struct epoll_event event = {
		.events = EPOLLOUT,
		.data.u64 = front_event_data(c, FRONT_EVENT_BACKEND),
	};
	if (r == 0 && epoll_ctl(front->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		r = -errno;
	}
	if (r < 0) {
		set_port(front, c, 0);
		close(fd);
		return r;
	}
	c->backend = fd;
	c->backend_state = BACKEND_CONNECTING;
	c->backend_events = EPOLLOUT;
	c->backend_watched = true;
	c->backend_ns = front->now_ns;
	atomic_fetch_add(&front->n_backends, 1);
	if (c->client_ended) {
		atomic_fetch_or(&c->link, LINK_GONE);
	}
	return 0;
}

void front_drop_backend(struct pc_front *front, struct front_connection *c)
{
	/* A reset: the other side needs no goodbye, and no port stays behind in TIME_WAIT. */
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (c->backend < 0) {
		return;
	}
	set_port(front, c, 0);
	(void)setsockopt(c->backend, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(c->backend);
	c->backend = -1;
	c->backend_state = BACKEND_NONE;
	c->backend_watched = c->backend_readable = c->backend_hung_up = false;
	c->backend_ended_up = c->up_blocked = false;
	c->requests = 0;
	c->message_left = 0;
	atomic_fetch_sub(&front->n_backends, 1);
}

void front_on_backend_event(struct front_connection *c, uint32_t revents)
{
	if (c->backend_state == BACKEND_CONNECTING) {
		c->backend_state = BACKEND_OPEN; /* a failed connect shows at the first send */
	}
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		c->backend_readable = true;
	}
	if (revents & (EPOLLHUP | EPOLLERR)) {
		c->backend_hung_up = true;
	}
	if (revents & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		c->up_blocked = false;
	}
}

static void end_upload(struct front_connection *c)
{
	if (c->backend_state == BACKEND_OPEN && !c->backend_ended_up) {
		(void)shutdown(c->backend, SHUT_WR); /* gone already: reading will tell */
		c->backend_ended_up = true;
	}
}

void front_cut_upload(struct front_connection *c)
{
	c->upload_cut = true;
	c->up_start = c->up_end = c->up_scanned = 0;
	end_upload(c);
}

#define REFUSAL(status, length, detail)                                                            \
	"HTTP/1.1 " status "\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\n"          \
	"Cache-Control: no-store\r\nContent-Type: application/problem+json\r\n"                    \
	"Content-Length: " length "\r\n\r\n" detail

static const char long_head[] = REFUSAL("431 Request Header Fields Too Large", "123",
	"{\"type\":\"about:blank\",\"title\":\"Request Header Fields Too Large\","
	"\"status\":431,\"detail\":\"A request head has at most 16 KiB.\"}");
static const char bad_head[] = REFUSAL("400 Bad Request", "99",
	"{\"type\":\"about:blank\",\"title\":\"Bad Request\","
	"\"status\":400,\"detail\":\"The request head is malformed.\"}");

/* Only when down is empty. */
static int say_refusal(struct front_connection *c)
{
	const int r = deliver(c, c->refusal, strlen(c->refusal));
	return r < 0 ? r : leave(c);
}

/* Nothing is left to pass on. */
static int forward_end(struct front_connection *c)
{
	if (!c->client_ended) {
		return 0;
	}
	if (c->backend_state == BACKEND_NONE) {
		return -ECONNRESET;
	}
	end_upload(c); /* Civetweb closes when it has replied */
	return 0;
}

/* What is no request is answered here: Civetweb's answers would be vague. The requests before
 * it end first: the worker reads an end of file, replies and closes. */
static int refuse(struct front_connection *c, const char *refusal)
{
	c->refusal = refusal;
	c->up_start = c->up_end = c->up_scanned = 0;
	if (c->backend_state == BACKEND_NONE) {
		return say_refusal(c);
	}
	end_upload(c);
	return 0;
}

/* The next request: 1 when its head is whole, and there is a backend for it; 0: not yet. */
static int begin_message(struct pc_front *front, struct front_connection *c)
{
	while (up_size(c) > 1 && memcmp(c->up + c->up_start, "\r\n", 2) == 0) {
		c->up_start += 2; /* some send one behind a body: RFC 9112, 2.2 */
	}
	if (up_size(c) == 0 || (up_size(c) == 1 && c->up[c->up_start] == '\r')) {
		return c->client_ended ? forward_end(c) : 0;
	}
	const int r =
		front_head_read(c->up + c->up_start, up_size(c), &c->up_scanned, &c->message_left);
	if (r == -EBADMSG) {
		return refuse(c, bad_head);
	}
	if (r < 0) {
		if (up_size(c) == FRONT_UP_SIZE) {
			return refuse(c, long_head);
		}
		return c->client_ended ? forward_end(c) : 0;
	}
	if (c->backend_state == BACKEND_NONE) {
		c->message_left = 0;
		return open_backend(front, c);
	}
	c->requests++;
	c->served = true;
	c->idle_ns = front->now_ns;
	return 1;
}

/* Sends what may be sent of `up`. 0; -EAGAIN: the backend takes no more now. */
static int send_up(struct front_connection *c)
{
	const bool upgraded = atomic_load(&c->link) & LINK_UPGRADED;
	size_t size = up_size(c);

	if (!upgraded && size > c->message_left) {
		size = (size_t)c->message_left;
	}
	const ssize_t n = send(c->backend, c->up + c->up_start, size, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN) {
		c->up_blocked = true;
		return -EAGAIN;
	}
	if (n < 0) {
		/* It closed while the client still sends: its reply may be there to be read. */
		c->backend_readable = true;
		c->up_start = c->up_end;
	} else {
		c->up_start += (size_t)n;
		c->message_left -= upgraded ? 0 : (uint64_t)n;
	}
	c->up_scanned = 0;
	c->head_ns = 0;
	if (c->up_start == c->up_end) {
		c->up_start = c->up_end = 0;
	}
	return 0;
}

static int forward_up(struct pc_front *front, struct front_connection *c, bool *moved)
{
	if (c->client_state != CLIENT_OPEN || c->backend_state == BACKEND_CONNECTING ||
		c->up_blocked || c->backend_ended_up) {
		return 0;
	}
	if (up_size(c) == 0) {
		return forward_end(c);
	}
	/* All at once: nobody would come back for a request that is left here. */
	while (up_size(c) > 0) {
		if (c->message_left == 0 && !(atomic_load(&c->link) & LINK_UPGRADED)) {
			const int r = begin_message(front, c);
			if (r <= 0) {
				return r;
			}
		}
		if (send_up(c) < 0) {
			return 0;
		}
		*moved = true;
	}
	return 0;
}

static int read_backend(struct pc_front *front, struct front_connection *c, bool *moved)
{
	if (c->backend_state != BACKEND_OPEN || !c->backend_readable || down_size(c) > 0 ||
		c->client_state != CLIENT_OPEN) {
		return 0;
	}
	const ssize_t n = recv(c->backend, front->scratch, sizeof(front->scratch), 0);
	if (n < 0 && (errno == EAGAIN)) {
		c->backend_readable = c->backend_hung_up;
		return 0;
	}
	*moved = true;
	if (n <= 0) {
		/* Reset or ended: what it had to say has been read. */
		front_drop_backend(front, c);
		return c->refusal != NULL ? say_refusal(c) : leave(c);
	}
	c->backend_readable = (size_t)n == sizeof(front->scratch) || c->backend_hung_up;
	c->idle_ns = front->now_ns;
	return deliver(c, front->scratch, (size_t)n);
}

/* ---- all together ---- */

/* Looks at a client's first byte. A browser that was given "http://" deserves better than an
 * alert that it cannot read. 0: TLS; -EAGAIN: nothing yet; 1: it was answered. */
static int greet(struct front_connection *c)
{
	static const char reply[] =
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
		"Content-Length: 66\r\n\r\n"
		"This is petcam over HTTPS: write https:// in front of its address.";
	char first;

	const ssize_t n = recv(c->client, &first, 1, MSG_PEEK);
	if (n <= 0) {
		return n == 0 ? -ECONNRESET : -errno;
	}
	c->greeted = true;
	if (first < 'A' || first > 'Z') {
		return 0;
	}
	(void)send_or_keep(c, reply, sizeof(reply) - 1);
	return 1;
}

static int handshake(struct pc_front *front, struct front_connection *c, bool *moved)
{
	int r = c->greeted ? 0 : greet(c);
	if (r != 0) {
		return r == -EAGAIN ? 0 : r < 0 ? r : leave(c);
	}
	if (c->tls == NULL) {
		r = pc_tls_session_create(front->tls, &transport, c, &c->tls);
		if (r < 0) {
			return r;
		}
	}
	r = pc_tls_session_handshake(c->tls);
	if (r == -EAGAIN) {
		return 0;
	}
	if (r < 0) {
		c->said_bye = true; /* by an alert, which is on its way */
		return leave(c);
	}
	atomic_fetch_add(&front->handshakes, 1);
	front_set_client_state(c, CLIENT_OPEN);
	c->client_readable = true;
	*moved = true;
	return 0;
}

static int discard(struct pc_front *front, struct front_connection *c)
{
	const ssize_t n = recv(c->client, front->scratch, sizeof(front->scratch), 0);
	if (n < 0) {
		return errno == EAGAIN ? 0 : -errno;
	}
	return n == 0 ? -ECONNRESET : 0;
}

static int relay_turn(struct pc_front *front, struct front_connection *c, bool *moved)
{
	int r = flush_down(c);
	if (r < 0 && r != -EAGAIN) {
		return r;
	}
	switch (c->client_state) {
	case CLIENT_HANDSHAKE:
		return handshake(front, c, moved);
	case CLIENT_LEAVING:
		return leave(c);
	case CLIENT_LINGER:
		return discard(front, c);
	case CLIENT_OPEN:
	case CLIENT_NONE:
		break;
	}
	r = read_client(c, moved);
	if (r == 0) {
		r = forward_up(front, c, moved);
	}
	if (r == 0) {
		r = read_backend(front, c, moved);
	}
	return r;
}

int front_relay(struct pc_front *front, struct front_connection *c)
{
	for (unsigned turn = 0;; turn++) {
		bool moved = false;
		const int r = relay_turn(front, c, &moved);
		if (r < 0 || !moved) {
			return r;
		}
		/* What wolfSSL has decrypted, and what a closed backend has left, is not told
		 * of by epoll: now or never. */
		const bool decrypted =
			c->tls != NULL && may_read_client(c) && pc_tls_session_pending(c->tls) > 0;
		const bool left = c->backend_hung_up && down_size(c) == 0;
		if (turn + 1 >= TURNS && !decrypted && !left) {
			return 0;
		}
	}
}

static uint32_t wanted_of_client(const struct front_connection *c)
{
	uint32_t wanted = down_size(c) > 0 ? EPOLLOUT : 0;

	if (c->client_state == CLIENT_HANDSHAKE || c->client_state == CLIENT_LINGER ||
		may_read_client(c)) {
		wanted |= EPOLLIN;
	}
	return wanted;
}

static uint32_t wanted_of_backend(const struct front_connection *c)
{
	if (c->backend_state == BACKEND_CONNECTING) {
		return EPOLLOUT;
	}
	return (c->up_blocked ? EPOLLOUT : 0) | (down_size(c) == 0 ? EPOLLIN : 0);
}

int front_watch(struct pc_front *front, struct front_connection *c)
{
	struct epoll_event event = {
		.events = wanted_of_client(c),
		.data.u64 = front_event_data(c, FRONT_EVENT_CLIENT),
	};
	if (event.events != c->client_events) {
		if (epoll_ctl(front->epoll, EPOLL_CTL_MOD, c->client, &event) < 0) {
			return -errno;
		}
		c->client_events = event.events;
	}
	if (!c->backend_watched) {
		return 0;
	}
	if (c->backend_hung_up) {
		c->backend_watched = false;
		return epoll_ctl(front->epoll, EPOLL_CTL_DEL, c->backend, NULL) < 0 ? -errno : 0;
	}
	event.events = wanted_of_backend(c);
	event.data.u64 = front_event_data(c, FRONT_EVENT_BACKEND);
	if (event.events != c->backend_events) {
		if (epoll_ctl(front->epoll, EPOLL_CTL_MOD, c->backend, &event) < 0) {
			return -errno;
		}
		c->backend_events = event.events;
	}
	return 0;
}
