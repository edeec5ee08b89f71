/* http/tls_front_peer.c - what Civetweb's workers ask and tell the front; see tls_front.h.
 *
 * A token is a slot and the generation of its backend connection. All that workers write is
 * the slot's link, by compare and swap: a worker that comes too late changes nothing.
 */
#include <errno.h>
#include <string.h>

#include "http/tls_front_internal.h"

#define TOKEN_INDEX(token) ((uint32_t)(token))
#define TOKEN_GENERATION(token) ((uint32_t)((token) >> 32))

int pc_front_peer_of_port(struct pc_front *front, unsigned port, struct pc_front_peer *ret_peer)
{
	int r = -ENOENT;

	if (port == 0) {
		return r;
	}
	pthread_mutex_lock(&front->lock);
	for (unsigned i = 0; i < front->max_connections; i++) {
		const struct front_connection *c = &front->connections[i];
		if (c->port == port) {
			ret_peer->token =
				(uint64_t)LINK_GENERATION(atomic_load(&c->link)) << 32 | i;
			memcpy(ret_peer->address, c->address_text, sizeof(c->address_text));
			r = 0;
			break;
		}
	}
	pthread_mutex_unlock(&front->lock);
	return r;
}

static struct front_connection *connection_of(struct pc_front *front, uint64_t token)
{
	return &front->connections[TOKEN_INDEX(token)];
}

bool pc_front_peer_gone(struct pc_front *front, uint64_t token)
{
	const uint64_t link =
		atomic_load_explicit(&connection_of(front, token)->link, memory_order_acquire);

	return LINK_GENERATION(link) != TOKEN_GENERATION(token) || (link & LINK_GONE);
}

/* Sets and clears flags, and counts, in a link of the token's generation. */
static void change_link(
	struct pc_front *front, uint64_t token, uint64_t set, uint64_t clear, uint64_t add)
{
	struct front_connection *c = connection_of(front, token);
	uint64_t link = atomic_load(&c->link), changed;

	do {
		if (LINK_GENERATION(link) != TOKEN_GENERATION(token)) {
			return;
		}
		changed = (link & ~clear & ~LINK_COUNT_MASK) | set |
			  (((link & LINK_COUNT_MASK) + add) & LINK_COUNT_MASK);
	} while (!atomic_compare_exchange_weak(&c->link, &link, changed));
}

void pc_front_request_begin(struct pc_front *front, uint64_t token)
{
	change_link(front, token, LINK_BUSY, 0, 0);
}

void pc_front_request_end(struct pc_front *front, uint64_t token)
{
	change_link(front, token, 0, LINK_BUSY | LINK_UPGRADED, 1);
}

void pc_front_request_upgraded(struct pc_front *front, uint64_t token)
{
	change_link(front, token, LINK_UPGRADED, 0, 0);
}

void pc_front_request_body_within(struct pc_front *front, uint64_t token, unsigned timeout_ms)
{
	struct front_connection *c = connection_of(front, token);
	const int64_t until_ns =
		timeout_ms == 0 ? 0 : pc_clock_now_ns() + timeout_ms * PC_NS_PER_MS;

	/* Under the lock the generation stands still. */
	pthread_mutex_lock(&front->lock);
	if (LINK_GENERATION(atomic_load(&c->link)) == TOKEN_GENERATION(token)) {
		atomic_store(&c->body_until_ns, until_ns);
	}
	pthread_mutex_unlock(&front->lock);
}

void pc_front_stats(struct pc_front *front, struct pc_front_stats *ret)
{
	ret->accepted = atomic_load(&front->accepted);
	ret->refused = atomic_load(&front->refused);
	ret->handshakes = atomic_load(&front->handshakes);
	ret->timed_out = atomic_load(&front->timed_out);
	ret->connections = atomic_load(&front->n_connections);
	ret->backends = atomic_load(&front->n_backends);
}
