/* tests/unit/http/test_front.c - the front and the server when memory fails, and the front's
 * tokens; what it does with bytes is test_door.py's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/certificate.h"
#include "http/server_internal.h"
#include "http/tls_front.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

/* ---- what server.c needs, and this test does not ---- */

const struct pc_route pc_routes[] = { { 0 } };

int pc_auth_create(struct pc_storage *storage, const struct pc_settings *settings,
	const char *key_folder, struct pc_auth **ret_auth)
{
	*ret_auth = NULL;
	return 0;
}

void pc_auth_destroy(struct pc_auth *auth)
{
}

const char *pc_auth_setup_code(struct pc_auth *auth)
{
	return NULL;
}

void pc_auth_identify(
	struct pc_auth *auth, struct pc_request *request, const struct pc_route *route)
{
}

int pc_hls_create(const struct pc_hls_config *config, struct pc_hls **ret_hls)
{
	return -ENOMEM;
}

void pc_hls_destroy(struct pc_hls *hls)
{
}

int pc_live_websocket_accept(struct pc_request *request)
{
	return 0;
}

void pc_live_websocket_ready(struct pc_http_server *server, struct mg_connection *connection,
	const struct pc_http_camera_entry *camera, const char *session_id)
{
}

void pc_live_websocket_close(struct mg_connection *connection)
{
}

/* ---- */

static struct pc_certificate certificate;

static struct pc_front_config front_config(void)
{
	return (struct pc_front_config){
		.address = "127.0.0.1",
		.certificate = &certificate,
		.max_connections = 8,
		.max_connections_per_address = 8,
		.workers = 4,
	};
}

static void test_front_allocations(void)
{
	const struct pc_front_config config = front_config();

	for (unsigned n = 1;; n++) {
		struct pc_front *front = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_front_create(&config, &front);
		if (!fault_disarm()) {
			test_int(r, 0);
			test_assert(n > 3);
			pc_front_destroy(front);
			return;
		}
		test_int(r, -ENOMEM);
		test_assert(front == NULL);
	}
}

static void test_front_refusals(void)
{
	struct pc_front *front = NULL, *second = NULL;
	struct pc_front_config config = front_config();

	config.address = "nowhere";
	test_int(pc_front_create(&config, &front), -EINVAL);
	config = front_config();
	config.max_connections = 0;
	test_int(pc_front_create(&config, &front), -EINVAL);
	config = front_config();
	test_int(pc_front_create(&config, &front), 0);
	config.port = pc_front_port(front);
	test_int(pc_front_create(&config, &second), -EADDRINUSE);
	test_assert(second == NULL);
	pc_front_destroy(front); /* never started */
	pc_front_destroy(NULL);
	pc_front_stop(NULL);
}

/* Reads until `text` has come. */
static void expect(int fd, const char *text)
{
	char got[256] = "";
	size_t n = 0;

	while (strstr(got, text) == NULL) {
		const ssize_t r = recv(fd, got + n, sizeof(got) - 1 - n, 0);
		test_assert(r > 0);
		n += (size_t)r;
	}
}

static int listen_somewhere(unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	test_int(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	test_int(listen(fd, 8), 0);
	test_int(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int connect_to(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	test_int(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int accept_peer(int listener, struct pc_front *front, struct pc_front_peer *peer)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	const int fd = accept(listener, (struct sockaddr *)&address, &size);

	test_assert(fd >= 0);
	test_int(pc_front_peer_of_port(front, ntohs(address.sin_port), peer), 0);
	test_str(peer->address, "127.0.0.1");
	return fd;
}

/* A token is good for one backend connection, and what comes too late changes nothing. */
static void test_tokens(void)
{
	struct pc_front_config config = front_config();
	struct pc_front_peer peer, second;
	struct pc_front *front;
	unsigned port;

	config.certificate = NULL;
	const int listener = listen_somewhere(&port);
	test_int(pc_front_create(&config, &front), 0);
	test_int(pc_front_peer_of_port(front, 0, &peer), -ENOENT);
	test_int(pc_front_peer_of_port(front, port, &peer), -ENOENT);
	test_int(pc_front_start(front, port), 0);

	int client = connect_to(pc_front_port(front));
	test_int(send(client, "GET / HTTP/1.1\r\n", 16, 0), 16);
	struct pollfd poll_listener = { .fd = listener, .events = POLLIN };
	test_int(poll(&poll_listener, 1, 50), 0); /* not before the head is whole */
	test_int(send(client, "\r\n", 2, 0), 2);
	int backend = accept_peer(listener, front, &peer);
	expect(backend, "\r\n\r\n");
	test_assert(!pc_front_peer_gone(front, peer.token));
	pc_front_request_begin(front, peer.token);
	pc_front_request_body_within(front, peer.token, 60000);
	pc_front_request_body_within(front, peer.token, 0);
	test_int(send(backend, "reply one", 9, 0), 9);
	pc_front_request_end(front, peer.token);
	expect(client, "reply one");
	close(client);
	char byte;
	test_assert(recv(backend, &byte, 1, 0) <= 0); /* the end is passed on */
	close(backend);
	/* The slot is free once the front has seen it: then the token is gone. */
	struct pc_front_stats stats;
	do {
		pc_front_stats(front, &stats);
	} while (stats.connections > 0);
	test_assert(pc_front_peer_gone(front, peer.token));

	client = connect_to(pc_front_port(front));
	test_int(send(client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	backend = accept_peer(listener, front, &second);
	test_assert(second.token != peer.token);
	pc_front_request_begin(front, peer.token); /* late */
	pc_front_request_upgraded(front, peer.token);
	pc_front_request_body_within(front, peer.token, 1);
	pc_front_request_end(front, peer.token);
	test_assert(!pc_front_peer_gone(front, second.token));
	test_int(send(backend, "reply two", 9, 0), 9);
	expect(client, "reply two");

	pc_front_stop(front);
	test_assert(pc_front_peer_gone(front, second.token));
	test_assert(recv(client, &byte, 1, 0) <= 0);
	pc_front_destroy(front);
	close(client);
	close(backend);
	close(listener);
}

static void test_server_allocations(void)
{
	static struct pc_settings settings;
	char root[] = "/tmp/petcam-test-XXXXXX", why[256], path[64];
	const struct pc_http_config config = { .settings = &settings, .version = "1" };

	test_assert(mkdtemp(root) != NULL);
	pc_settings_default(&settings);
	settings.http.port = 0;
	settings.http.max_viewers = 1;
	snprintf(settings.http.address, sizeof(settings.http.address), "127.0.0.1");
	snprintf(settings.storage.root, sizeof(settings.storage.root), "%s", root);
	snprintf(settings.http.web_root, sizeof(settings.http.web_root), "%s", root);
	bool done = false;
	for (unsigned n = 1; !done; n++) {
		struct pc_http_server *server = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_http_server_create(&config, why, sizeof(why), &server);
		/* A worker without memory serves nobody, but the server starts. */
		done = !fault_disarm();
		if (r == 0) {
			test_assert(pc_http_server_add_camera(server,
					    &(struct pc_http_camera){ .id = "a" }) == -ENOMEM);
			pc_http_server_destroy(server);
		} else {
			test_int(r, -ENOMEM);
			test_assert(!done && server == NULL && why[0] != '\0');
		}
	}
	pc_http_server_destroy(NULL);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/keys/%s", root, i == 0 ? "tls.key" : "tls.crt");
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/keys", root);
	rmdir(path);
	rmdir(root);
}

int main(void)
{
	test_int(pc_certificate_make(&certificate), 0);
	TEST_RUN(test_front_allocations);
	TEST_RUN(test_front_refusals);
	TEST_RUN(test_tokens);
	TEST_RUN(test_server_allocations);
	pc_certificate_finish(&certificate);
	return test_end();
}
