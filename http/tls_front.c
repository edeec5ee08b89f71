/* http/tls_front.c - the public port: connections, limits, the clock; see tls_front.h.
 *
 * Slots and buffers are made once. A slot that is given back may be taken again within the
 * same round of events: each event carries the serial of the connection that it was meant for.
 */
#include "http/tls_front.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PC_LOG_MODULE "front"
#include "core/log.h"
#include "core/thread.h"
#include "http/tls_front_internal.h"

#define CONNECTIONS_MAX 4096
#define EVENTS 64
#define ACCEPTS 16 /* a round */
/* A handshake takes 3 ms on a Pi 4, during which nobody's video moves. */
#define HANDSHAKES 4 /* a round */
/* Tests are built in a hurry: nobody has to wait a minute. */
#ifndef PC_FRONT_HURRY
#define PC_FRONT_HURRY 1
#endif
#define SCAN_NS (500 * PC_NS_PER_MS / PC_FRONT_HURRY)

#define HANDSHAKE_NS (10 * PC_NS_PER_S / PC_FRONT_HURRY)
#define HEAD_NS (15 * PC_NS_PER_S / PC_FRONT_HURRY)
#define IDLE_NS (60 * PC_NS_PER_S / PC_FRONT_HURRY)
#define STALLED_NS (30 * PC_NS_PER_S / PC_FRONT_HURRY)
#define ENDED_NS (5 * PC_NS_PER_S / PC_FRONT_HURRY)
#define LINGER_NS (2 * PC_NS_PER_S / PC_FRONT_HURRY)
#define CONNECT_NS (5 * PC_NS_PER_S / PC_FRONT_HURRY)
#define QUEUE_NS (30 * PC_NS_PER_S / PC_FRONT_HURRY)
/* How long an idle client keeps its worker: shorter when workers are scarce. */
#define RECYCLE_NS (2 * PC_NS_PER_S / PC_FRONT_HURRY)
#define RECYCLE_SCARCE_NS (50 * PC_NS_PER_MS)

#define WEBSOCKET_RATE 8192 /* bytes a second from a client */
#define WEBSOCKET_BURST 65536

/* What the kernel holds for a client: about half a second of 2 Mbit/s, so that a viewer that
 * lags is noticed; still 16 MB/s at a round trip of 5 ms. */
#define CLIENT_SEND_BUFFER (64 * 1024)
#define CLIENT_UNSENT (16 * 1024)
#define CLIENT_RECEIVE_BUFFER (64 * 1024)
#define CLIENT_DEAD_MS 20000 /* bytes that nobody acknowledges */

uint64_t front_event_data(const struct front_connection *c, unsigned which)
{
	return (uint64_t)c->serial << 32 | (uint64_t)c->index << 2 | which;
}

void front_set_client_state(struct front_connection *c, enum client_state state)
{
	c->client_state = state;
	c->state_ns = c->front->now_ns;
}

static void set_option(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* ---- connections ---- */

static void close_connection(struct pc_front *front, struct front_connection *c)
{
	front_drop_backend(front, c);
	pc_tls_session_destroy(c->tls);
	c->tls = NULL;
	close(c->client);
	c->client = -1;
	c->client_state = CLIENT_NONE;
	c->serial++;
	c->next_free = front->free;
	front->free = c;
	atomic_fetch_sub(&front->n_connections, 1);
}

static void complain(struct pc_front *front, const char *about, const char *who)
{
	if (front->complained_ns != 0 && front->now_ns - front->complained_ns < 60 * PC_NS_PER_S) {
		return;
	}
	front->complained_ns = front->now_ns;
	pc_warn("%s (%s); connections are refused, ignoring more of this for a minute", about, who);
}

static struct in6_addr address_of(const struct sockaddr_storage *from)
{
	struct in6_addr address = IN6ADDR_ANY_INIT;

	if (from->ss_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, from, sizeof(v6));
		return v6.sin6_addr;
	}
	struct sockaddr_in v4;
	memcpy(&v4, from, sizeof(v4));
	address.s6_addr[10] = address.s6_addr[11] = 0xff; /* as a mapped one */
	memcpy(address.s6_addr + 12, &v4.sin_addr, 4);
	return address;
}

static void address_text(const struct in6_addr *address, char text[static PC_FRONT_ADDRESS_SIZE])
{
	const bool mapped = IN6_IS_ADDR_V4MAPPED(address);
	const void *bytes = mapped ? address->s6_addr + 12 : address->s6_addr;

	if (inet_ntop(mapped ? AF_INET : AF_INET6, bytes, text, PC_FRONT_ADDRESS_SIZE) == NULL) {
		text[0] = '\0';
	}
}

static unsigned count_address(const struct pc_front *front, const struct in6_addr *address)
{
	unsigned n = 0;

	for (unsigned i = 0; i < front->max_connections; i++) {
		const struct front_connection *c = &front->connections[i];
		if (c->client_state != CLIENT_NONE &&
			memcmp(&c->address, address, sizeof(*address)) == 0) {
			n++;
		}
	}
	return n;
}

/* Forgets the slot's last user; what identifies it to others stays. */
static void reset_connection(struct front_connection *c, const struct in6_addr *address)
{
	struct pc_front *front = c->front;
	const int64_t now_ns = front->now_ns;

	c->address = *address;
	c->client_readable = c->client_ended = c->greeted = c->said_bye = false;
	c->upload_cut = c->served = false;
	c->refusal = NULL;
	c->up_start = c->up_end = c->up_scanned = 0;
	c->down_start = c->down_end = 0;
	c->head_ns = 0;
	c->idle_ns = c->down_ns = now_ns;
	c->heard = 0;
	c->credit = WEBSOCKET_BURST;
	pthread_mutex_lock(&front->lock);
	address_text(address, c->address_text);
	pthread_mutex_unlock(&front->lock);
	front_set_client_state(c, front->tls != NULL ? CLIENT_HANDSHAKE : CLIENT_OPEN);
}

/* Owns fd. */
static void add_connection(struct pc_front *front, int fd, const struct sockaddr_storage *from)
{
	const struct in6_addr address = address_of(from);
	struct front_connection *c = front->free;
	char who[PC_FRONT_ADDRESS_SIZE];

	atomic_fetch_add(&front->accepted, 1);
	address_text(&address, who);
	if (c == NULL || count_address(front, &address) >= front->max_per_address) {
		atomic_fetch_add(&front->refused, 1);
		complain(front,
			c == NULL ? "http.max_connections is reached"
				  : "http.max_connections_per_address is reached",
			who);
		close(fd);
		return;
	}
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, CLIENT_UNSENT);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, CLIENT_DEAD_MS);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);

	reset_connection(c, &address);
	c->client_events = EPOLLIN;
	struct epoll_event event = {
		.events = c->client_events,
		.data.u64 = front_event_data(c, FRONT_EVENT_CLIENT),
	};
	if (epoll_ctl(front->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		c->client_state = CLIENT_NONE;
		close(fd);
		return;
	}
	c->client = fd;
	front->free = c->next_free;
	atomic_fetch_add(&front->n_connections, 1);
}

static void watch_listener(struct pc_front *front, bool on)
{
	struct epoll_event event = {
		.events = on ? EPOLLIN : 0,
		.data.u64 = FRONT_EVENT_LISTENER,
	};

	if (epoll_ctl(front->epoll, EPOLL_CTL_MOD, front->listener, &event) == 0) {
		front->accept_paused = !on;
	}
}

static void accept_some(struct pc_front *front)
{
	for (unsigned i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t size = sizeof(from);
		const int fd = accept4(front->listener, (struct sockaddr *)&from, &size,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			add_connection(front, fd, &from);
			continue;
		}
		if (errno == EAGAIN) {
			return;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* They wait in the backlog until the next scan. */
			complain(front, "no more connections can be accepted", pc_strerror(errno));
			watch_listener(front, false);
			return;
		}
		/* ECONNABORTED and its like are that one connection's matter. */
	}
}

/* ---- the clock ---- */

static bool idle_for(const struct front_connection *c, int64_t since_ns, int64_t limit_ns)
{
	return c->front->now_ns - since_ns > limit_ns;
}

/* A WebSocket's client may say little: Civetweb makes room for whatever it announces. */
static bool talks_too_much(struct front_connection *c, int64_t elapsed_ns)
{
	if (!(atomic_load(&c->link) & LINK_UPGRADED)) {
		return false;
	}
	c->credit += WEBSOCKET_RATE * elapsed_ns / PC_NS_PER_S;
	c->credit = c->credit < WEBSOCKET_BURST ? c->credit : WEBSOCKET_BURST;
	c->credit -= (int64_t)c->heard;
	return c->credit < 0;
}

/* Whether a client that waits for its reply, or takes it, has to go. */
static bool expired_in_request(struct front_connection *c, int64_t elapsed_ns)
{
	const int64_t body_until_ns = atomic_load(&c->body_until_ns);

	if (body_until_ns != 0 && c->front->now_ns >= body_until_ns && !c->upload_cut) {
		front_cut_upload(c);
	}
	if (talks_too_much(c, elapsed_ns)) {
		return true;
	}
	if (!(atomic_load(&c->link) & LINK_BUSY)) {
		return idle_for(c, c->idle_ns, QUEUE_NS); /* no worker took it */
	}
	c->idle_ns = c->front->now_ns;
	return false;
}

/* A request that has ended may have left its reply in the socket: epoll did not come to tell. */
static bool backend_is_drained(const struct front_connection *c)
{
	char byte;

	return c->backend_state == BACKEND_OPEN && c->down_end == 0 &&
	       recv(c->backend, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Whether a client that is asking, or silent, has to go. */
static bool expired_between(struct pc_front *front, struct front_connection *c)
{
	const bool scarce = atomic_load(&front->n_backends) * 2 > front->workers;

	if (idle_for(c, c->idle_ns, scarce ? RECYCLE_SCARCE_NS : RECYCLE_NS) &&
		c->message_left == 0 && backend_is_drained(c)) {
		front_drop_backend(front, c);
	}
	if (c->up_end > c->up_start) {
		if (c->head_ns == 0) {
			c->head_ns = front->now_ns;
		}
		return idle_for(c, c->head_ns, HEAD_NS);
	}
	return c->served ? idle_for(c, c->idle_ns, IDLE_NS) : idle_for(c, c->state_ns, HEAD_NS);
}

static bool expired(struct pc_front *front, struct front_connection *c, int64_t elapsed_ns)
{
	switch (c->client_state) {
	case CLIENT_NONE:
		return false;
	case CLIENT_HANDSHAKE:
		return idle_for(c, c->state_ns, HANDSHAKE_NS);
	case CLIENT_LINGER:
		return idle_for(c, c->state_ns, LINGER_NS);
	case CLIENT_LEAVING:
	case CLIENT_OPEN:
		break;
	}
	if (c->down_end > c->down_start && idle_for(c, c->down_ns, STALLED_NS)) {
		return true;
	}
	if (c->client_state == CLIENT_LEAVING) {
		return false;
	}
	if ((c->client_ended && idle_for(c, c->ended_ns, ENDED_NS)) ||
		(c->backend_state == BACKEND_CONNECTING &&
			idle_for(c, c->backend_ns, CONNECT_NS))) {
		return true;
	}
	return front_in_request(c) ? expired_in_request(c, elapsed_ns) : expired_between(front, c);
}

static void scan(struct pc_front *front)
{
	const int64_t elapsed_ns = front->now_ns - front->scanned_ns;

	front->scanned_ns = front->now_ns;
	for (unsigned i = 0; i < front->max_connections; i++) {
		struct front_connection *c = &front->connections[i];
		if (expired(front, c, elapsed_ns)) {
			atomic_fetch_add(&front->timed_out, 1);
			close_connection(front, c);
		}
		c->heard = 0;
	}
	if (front->accept_paused) {
		watch_listener(front, true);
	}
}

/* ---- the loop ---- */

static struct front_connection *connection_of(struct pc_front *front, uint64_t data)
{
	const unsigned index = (unsigned)(data & UINT32_MAX) >> 2;
	struct front_connection *c = &front->connections[index];

	return c->client_state != CLIENT_NONE && c->serial == (uint32_t)(data >> 32) ? c : NULL;
}

static void on_event(
	struct pc_front *front, struct front_connection *c, const struct epoll_event *event)
{
	int r = 0;

	if ((event->data.u64 & 3) == FRONT_EVENT_BACKEND) {
		front_on_backend_event(c, event->events);
	} else if (event->events & (EPOLLHUP | EPOLLERR)) {
		r = -ECONNRESET; /* it vanished: so does its backend, and its handler learns */
	} else if (event->events & EPOLLIN) {
		c->client_readable = true;
	}
	if (r == 0) {
		r = front_relay(front, c);
	}
	if (r == 0) {
		r = front_watch(front, c);
	}
	if (r < 0) {
		close_connection(front, c);
	}
}

/* Handshakes come last, and few a round: epoll reports the others again. */
static void on_events(struct pc_front *front, const struct epoll_event *events, int n)
{
	unsigned handshakes = 0;

	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < n; i++) {
			const unsigned which = (unsigned)events[i].data.u64 & 3;
			if (which == FRONT_EVENT_LISTENER || which == FRONT_EVENT_WAKE) {
				continue;
			}
			struct front_connection *c = connection_of(front, events[i].data.u64);
			if (c == NULL || (c->client_state == CLIENT_HANDSHAKE) != (pass == 1)) {
				continue;
			}
			if (pass == 0 || handshakes++ < HANDSHAKES) {
				on_event(front, c, &events[i]);
			}
		}
	}
	for (int i = 0; i < n; i++) {
		if (((unsigned)events[i].data.u64 & 3) == FRONT_EVENT_LISTENER) {
			accept_some(front);
		}
	}
}

static int timeout_ms(const struct pc_front *front)
{
	if (atomic_load(&front->n_connections) == 0 && !front->accept_paused) {
		return -1;
	}
	const int64_t left_ns = front->scanned_ns + SCAN_NS - pc_clock_now_ns();
	return left_ns <= 0 ? 0 : (int)(left_ns / PC_NS_PER_MS) + 1;
}

static void *front_thread(void *data)
{
	struct pc_front *front = data;
	struct epoll_event events[EVENTS];

	front->now_ns = front->scanned_ns = pc_clock_now_ns();
	while (!atomic_load(&front->stop)) {
		const int n = epoll_wait(front->epoll, events, EVENTS, timeout_ms(front));
		if (n < 0 && errno != EINTR) {
			pc_error("epoll: %s; the port is dead", pc_strerror(errno));
			break;
		}
		front->now_ns = pc_clock_now_ns();
		on_events(front, events, n);
		if (front->now_ns - front->scanned_ns >= SCAN_NS) {
			scan(front);
		}
	}
	for (unsigned i = 0; i < front->max_connections; i++) {
		if (front->connections[i].client_state != CLIENT_NONE) {
			close_connection(front, &front->connections[i]);
		}
	}
	pc_tls_thread_end();
	return NULL;
}

/* ---- create and destroy ---- */

static int parse_address(
	const char *text, unsigned port, struct sockaddr_storage *ret, socklen_t *ret_size)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		memcpy(ret, &v6, sizeof(v6));
		*ret_size = sizeof(v6);
		return 0;
	}
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(ret, &v4, sizeof(v4));
		*ret_size = sizeof(v4);
		return 0;
	}
	return -EINVAL;
}

static int bind_listener(struct pc_front *front, const char *text, unsigned port)
{
	struct sockaddr_storage address;
	socklen_t size;

	int r = parse_address(text, port, &address, &size);
	if (r < 0) {
		return r;
	}
	const int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -errno;
	}
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (address.ss_family == AF_INET6) {
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	}
	/* Inherited by what is accepted, before its window is announced. */
	set_option(fd, SOL_SOCKET, SO_SNDBUF, CLIENT_SEND_BUFFER);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, CLIENT_RECEIVE_BUFFER);
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 256) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	struct sockaddr_in in; /* the port lies at the same place in both */
	memcpy(&in, &address, sizeof(in));
	front->port = ntohs(in.sin_port);
	front->listener = fd;
	return 0;
}

static int open_listener(struct pc_front *front, const struct pc_front_config *config)
{
	int r = bind_listener(front, config->address, config->port);
	if (r == -EAFNOSUPPORT && strcmp(config->address, "::") == 0) {
		r = bind_listener(front, "0.0.0.0", config->port); /* a kernel without IPv6 */
	}
	return r;
}

static int open_epoll(struct pc_front *front)
{
	struct epoll_event wake = { .events = EPOLLIN, .data.u64 = FRONT_EVENT_WAKE };
	struct epoll_event listener = { .events = EPOLLIN, .data.u64 = FRONT_EVENT_LISTENER };

	front->epoll = epoll_create1(EPOLL_CLOEXEC);
	front->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (front->epoll < 0 || front->wake < 0 ||
		epoll_ctl(front->epoll, EPOLL_CTL_ADD, front->wake, &wake) < 0 ||
		epoll_ctl(front->epoll, EPOLL_CTL_ADD, front->listener, &listener) < 0) {
		return -errno;
	}
	return 0;
}

static int make_connections(struct pc_front *front)
{
	const unsigned n = front->max_connections;

	front->connections = calloc(n, sizeof(*front->connections));
	/* Large enough to come as untouched pages: a slot costs what it has used. */
	front->buffers = malloc((size_t)n * (FRONT_UP_SIZE + FRONT_DOWN_SIZE));
	if (front->connections == NULL || front->buffers == NULL) {
		return -ENOMEM;
	}
	for (unsigned i = n; i-- > 0;) {
		struct front_connection *c = &front->connections[i];
		c->front = front;
		c->index = i;
		c->client = c->backend = -1;
		c->up = front->buffers + (size_t)i * (FRONT_UP_SIZE + FRONT_DOWN_SIZE);
		c->down = c->up + FRONT_UP_SIZE;
		c->next_free = front->free;
		front->free = c;
	}
	return 0;
}

int pc_front_create(const struct pc_front_config *config, struct pc_front **ret_front)
{
	if (config->max_connections == 0 || config->max_connections > CONNECTIONS_MAX) {
		return -EINVAL;
	}
	struct pc_front *front = calloc(1, sizeof(*front));
	if (front == NULL) {
		return -ENOMEM;
	}
	front->listener = front->epoll = front->wake = -1;
	front->max_connections = config->max_connections;
	front->max_per_address = config->max_connections_per_address;
	front->workers = config->workers;
	pthread_mutex_init(&front->lock, NULL);
	int r = make_connections(front);
	if (r == 0 && config->certificate != NULL) {
		r = pc_tls_context_create(config->certificate, &front->tls);
	}
	if (config->certificate == NULL) {
		front->max_per_address = front->max_connections; /* all come from the proxy */
	}
	if (r == 0) {
		r = open_listener(front, config);
	}
	if (r == 0) {
		r = open_epoll(front);
	}
	if (r < 0) {
		pc_front_destroy(front);
		return r;
	}
	*ret_front = front;
	return 0;
}

int pc_front_start(struct pc_front *front, unsigned backend_port)
{
	front->backend_port = backend_port;
	const int r = pc_thread_create(&front->thread, "tls front", front_thread, front);
	front->started = r == 0;
	return r;
}

void pc_front_stop(struct pc_front *front)
{
	if (front == NULL) {
		return;
	}
	if (front->started) {
		const uint64_t one = 1;
		atomic_store(&front->stop, true);
		/* Cannot fail: the counter is far from full. */
		(void)!write(front->wake, &one, sizeof(one));
		pthread_join(front->thread, NULL);
		front->started = false;
	}
	if (front->listener >= 0) {
		close(front->listener);
		front->listener = -1;
	}
}

void pc_front_destroy(struct pc_front *front)
{
	if (front == NULL) {
		return;
	}
	pc_front_stop(front);
	if (front->epoll >= 0) {
		close(front->epoll);
	}
	if (front->wake >= 0) {
		close(front->wake);
	}
	pc_tls_context_destroy(front->tls);
	pthread_mutex_destroy(&front->lock);
	free(front->buffers);
	free(front->connections);
	free(front);
}

unsigned pc_front_port(const struct pc_front *front)
{
	return front->port;
}
