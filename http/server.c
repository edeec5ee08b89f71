/* http/server.c - the server object: starts and ends the front, Civetweb and what they serve.
 *
 * In: front bound, Civetweb started, front started. Out: front stopped, which closes every
 * connection and so wakes every worker, Civetweb stopped, and only then what handlers used.
 */
#include <arpa/inet.h>
#include <civetweb.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PC_LOG_MODULE "http"
#include "core/log.h"
#include "http/server_internal.h"

/* A worker serves one request at a time; long polls and viewers hold theirs. An LL-HLS viewer
 * has two requests open. A thread that waits costs 80 KB. */
#define WORKERS_BASE 48

/* What Civetweb may hold of a reply on its way to the front: more is latency of live views. */
#define BACKEND_SEND_BUFFER (32 * 1024)

#ifndef PC_HTTP_WEB_ROOT
#define PC_HTTP_WEB_ROOT "/usr/share/petcam/web"
#endif

static unsigned worker_count(const struct pc_settings *settings)
{
	return WORKERS_BASE + settings->http.max_viewers; /* at most 256 of those */
}

/* Two descriptors a connection here, one in Civetweb. The soft limit is usually 1024. */
static void raise_file_limit(const struct pc_settings *settings)
{
	const rlim_t wanted = 3 * (rlim_t)settings->http.max_connections + 256;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted) {
		return;
	}
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < wanted) {
		pc_warn("only %llu file descriptors for %u connections, ignoring",
			(unsigned long long)limit.rlim_cur, settings->http.max_connections);
	}
}

/* Civetweb tells its listening socket's port, not its descriptor. Accepted sockets inherit
 * its buffer sizes; shutting it down wakes the master thread from its 2 s poll. */
static int find_listener(unsigned port)
{
	struct rlimit limit;
	const int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536
				? (int)limit.rlim_cur
				: 65536;

	for (int fd = 0; fd < end; fd++) {
		struct sockaddr_in address = { 0 };
		socklen_t size = sizeof(address);
		int listening = 0;
		socklen_t listening_size = sizeof(listening);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_size) == 0 &&
			listening && getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
			address.sin_family == AF_INET && ntohs(address.sin_port) == port &&
			address.sin_addr.s_addr == htonl(INADDR_LOOPBACK)) {
			return fd;
		}
	}
	return -1;
}

/* Signals are the main loop's: Civetweb's threads inherit a mask that blocks them all. */
static struct mg_context *start_masked(struct pc_http_server *server, const char **options)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	struct mg_context *civetweb = mg_start(&pc_serve_callbacks, server, options);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return civetweb;
}

static int start_civetweb(struct pc_http_server *server, unsigned *ret_port)
{
	const struct pc_settings *settings = server->config.settings;
	char workers[16], queue[16];

	snprintf(workers, sizeof(workers), "%u", worker_count(settings));
	snprintf(queue, sizeof(queue), "%u", settings->http.max_connections + 8);
	const char *options[] = {
		"listening_ports",
		"127.0.0.1:0",
		"num_threads",
		workers,
		"connection_queue",
		queue,
		"listen_backlog",
		queue,
		"tcp_nodelay",
		"1",
		"enable_keep_alive",
		"yes",
		/* The front takes idle connections back long before, and watches the pace. */
		"keep_alive_timeout_ms",
		"120000",
		"request_timeout_ms",
		"20000",
		"websocket_timeout_ms",
		"20000",
		"enable_websocket_ping_pong",
		"yes",
		"decode_url",
		"no",
		"enable_auth_domain_check",
		"no",
		"enable_directory_listing",
		"no",
		"access_control_allow_origin",
		"",
		"access_control_allow_methods",
		"",
		"access_control_allow_headers",
		"",
		NULL,
	};

	pc_http_stack_install();
	mg_init_library(MG_FEATURES_DEFAULT);
	server->civetweb = start_masked(server, options);
	if (server->civetweb == NULL) {
		mg_exit_library();
		return -EAGAIN;
	}
	struct mg_server_port port;
	if (mg_get_server_ports(server->civetweb, 1, &port) != 1) {
		return -EIO;
	}
	server->listener = find_listener((unsigned)port.port);
	if (server->listener < 0) {
		return -EIO;
	}
	const int size = BACKEND_SEND_BUFFER;
	(void)setsockopt(server->listener, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pc_serve_websockets(server);
	*ret_port = (unsigned)port.port;
	return 0;
}

static void stop_civetweb(struct pc_http_server *server)
{
	if (server->civetweb == NULL) {
		return;
	}
	if (server->listener >= 0) {
		shutdown(server->listener, SHUT_RDWR);
	}
	mg_stop(server->civetweb);
	mg_exit_library();
	server->civetweb = NULL;
}

static int check_settings(const struct pc_settings *settings, char *why, size_t why_size)
{
	struct in6_addr v6;
	struct in_addr v4;
	const char *address = settings->http.address;

	const bool is_v4 = inet_pton(AF_INET, address, &v4) == 1;
	const bool is_v6 = inet_pton(AF_INET6, address, &v6) == 1;
	if (!is_v4 && !is_v6) {
		snprintf(why, why_size, "http.address: \"%s\" is not an IP address", address);
		return -EINVAL;
	}
	const bool loopback = is_v4 ? (ntohl(v4.s_addr) >> 24) == 127 : IN6_IS_ADDR_LOOPBACK(&v6);
	if (settings->http.plain_loopback && !loopback) {
		snprintf(why, why_size,
			"http.plain_loopback is for loopback only, but http.address is %s: "
			"set it to \"127.0.0.1\"",
			address);
		return -EINVAL;
	}
	return 0;
}

static void explain_bind(const struct pc_settings *settings, int err, char *why, size_t why_size)
{
	if (err == -EADDRINUSE) {
		snprintf(why, why_size, "port %u is in use: set http.port", settings->http.port);
	} else if (err == -EACCES) {
		snprintf(why, why_size, "port %u needs a privilege: set http.port to 1024 or above",
			settings->http.port);
	} else if (err == -EADDRNOTAVAIL) {
		snprintf(why, why_size, "%s is no address of this machine: set http.address",
			settings->http.address);
	} else {
		snprintf(why, why_size, "port %u of %s cannot be opened: %s", settings->http.port,
			settings->http.address, pc_strerror(err));
	}
}

static int open_certificate(const struct pc_http_server *server, char *why, size_t why_size,
	struct pc_certificate *certificate)
{
	char folder[PC_SETTINGS_PATH_MAX + 8];

	snprintf(folder, sizeof(folder), "%s/keys", server->config.settings->storage.root);
	int r = pc_certificate_open(folder, why, why_size, certificate);
	if (r < 0 && server->config.safe_mode_text != NULL) {
		pc_warn("%s; safe mode goes on with a certificate of its own", why);
		r = pc_certificate_make(certificate);
	}
	return r;
}

static int open_front(struct pc_http_server *server, char *why, size_t why_size)
{
	const struct pc_settings *settings = server->config.settings;
	struct pc_certificate certificate = { 0 };
	struct pc_front *front;

	if (!settings->http.plain_loopback) {
		const int r = open_certificate(server, why, why_size, &certificate);
		if (r < 0) {
			return r;
		}
	}
	const struct pc_front_config config = {
		.address = settings->http.address,
		.port = settings->http.port,
		.certificate = settings->http.plain_loopback ? NULL : &certificate,
		.max_connections = settings->http.max_connections,
		.max_connections_per_address = settings->http.max_connections_per_address,
		.workers = worker_count(settings),
	};
	const int r = pc_front_create(&config, &front);
	pc_certificate_finish(&certificate);
	if (r < 0) {
		explain_bind(settings, r, why, why_size);
		return r;
	}
	atomic_store(&server->front, front);
	return 0;
}

static int open_auth(struct pc_http_server *server, char *why, size_t why_size)
{
	const struct pc_settings *settings = server->config.settings;
	char folder[PC_SETTINGS_PATH_MAX + 8];

	if (server->config.safe_mode_text != NULL || server->config.storage == NULL) {
		return 0;
	}
	snprintf(folder, sizeof(folder), "%s/keys", settings->storage.root);
	const int r = pc_auth_create(server->config.storage, settings, folder, &server->auth);
	if (r < 0) {
		snprintf(why, why_size, "%s: the keys for logins cannot be opened: %s", folder,
			pc_strerror(r));
	}
	return r;
}

static void set_url(struct pc_http_server *server)
{
	const struct pc_settings *settings = server->config.settings;
	const char *scheme = settings->http.plain_loopback ? "http" : "https";
	const char *address = settings->http.address;
	const unsigned port = pc_front_port(atomic_load(&server->front));

	if (strcmp(address, "::") == 0 || strcmp(address, "0.0.0.0") == 0 ||
		strcmp(address, "::1") == 0 || strcmp(address, "127.0.0.1") == 0) {
		address = "localhost";
	}
	const bool v6 = strchr(address, ':') != NULL;
	snprintf(server->url, sizeof(server->url), "%s://%s%s%s:%u", scheme, v6 ? "[" : "", address,
		v6 ? "]" : "", port);
}

/* Without a dashboard there is still an API, and recordings. */
static int open_files(struct pc_http_server *server)
{
	const char *set = server->config.settings->http.web_root;
	const char *folder = set[0] != '\0' ? set : PC_HTTP_WEB_ROOT;

	const int r = pc_static_create(folder, &server->files);
	if (r == 0 || r == -ENOMEM) {
		return r;
	}
	pc_warn("%s: the dashboard cannot be read: %s, ignoring", folder, pc_strerror(r));
	return pc_static_create(NULL, &server->files);
}

static int start(struct pc_http_server *server, char *why, size_t why_size)
{
	const struct pc_settings *settings = server->config.settings;
	unsigned port = 0;

	raise_file_limit(settings);
	int r = open_files(server);
	if (r < 0) {
		return r;
	}
	r = open_front(server, why, why_size);
	if (r < 0) {
		return r;
	}
	r = open_auth(server, why, why_size);
	if (r < 0) {
		return r;
	}
	r = start_civetweb(server, &port);
	if (r == 0) {
		r = pc_front_start(atomic_load(&server->front), port);
	}
	if (r < 0) {
		snprintf(why, why_size, "the HTTP server does not start: %s", pc_strerror(r));
		return r;
	}
	set_url(server);
	return 0;
}

int pc_http_server_create(const struct pc_http_config *config, char *why, size_t why_size,
	struct pc_http_server **ret_server)
{
	snprintf(why, why_size, "out of memory");
	int r = check_settings(config->settings, why, why_size);
	if (r < 0) {
		return r;
	}
	struct pc_http_server *server = calloc(1, sizeof(*server));
	if (server == NULL) {
		return -ENOMEM;
	}
	server->config = *config;
	server->listener = -1;
	server->version = strdup(config->version == NULL ? "" : config->version);
	server->config.version = server->version;
	if (config->safe_mode_text != NULL) {
		server->safe_mode_text = strdup(config->safe_mode_text);
		server->config.safe_mode_text = server->safe_mode_text;
	}
	if (server->version == NULL ||
		(config->safe_mode_text != NULL && server->safe_mode_text == NULL)) {
		r = -ENOMEM;
		goto fail;
	}
	r = start(server, why, why_size);
	if (r < 0) {
		goto fail;
	}
	*ret_server = server;
	return 0;

fail:
	pc_http_server_destroy(server);
	return r;
}

void pc_http_server_destroy(struct pc_http_server *server)
{
	if (server == NULL) {
		return;
	}
	struct pc_front *front = atomic_load(&server->front);

	atomic_store(&server->stopping, true);
	pc_front_stop(front);
	stop_civetweb(server);
	pc_auth_destroy(server->auth);
	for (unsigned i = 0; i < atomic_load(&server->n_cameras); i++) {
		pc_hls_destroy(server->cameras[i].hls);
		pc_window_unref(server->cameras[i].window);
	}
	pc_front_destroy(front);
	pc_static_destroy(server->files);
	free(server->safe_mode_text);
	free(server->version);
	free(server);
}

const char *pc_http_server_url(const struct pc_http_server *server)
{
	return server->url;
}

const char *pc_http_server_setup_code(const struct pc_http_server *server)
{
	return server->auth == NULL ? NULL : pc_auth_setup_code(server->auth);
}

int pc_http_server_add_camera(struct pc_http_server *server, const struct pc_http_camera *camera)
{
	const struct pc_settings *settings = server->config.settings;
	const unsigned n = atomic_load(&server->n_cameras);
	struct pc_http_camera_entry *entry = &server->cameras[n];

	if (pc_http_camera_find(server, camera->id) != NULL) {
		return -EEXIST;
	}
	if (n == PC_SETTINGS_CAMERAS_MAX) {
		return -ENOSPC;
	}
	const struct pc_hls_config config = {
		.window = camera->window,
		.part_s = settings->live.part_s,
		.window_s = settings->live.window_s,
	};
	const int r = pc_hls_create(&config, &entry->hls);
	if (r < 0) {
		return r;
	}
	snprintf(entry->id, sizeof(entry->id), "%s", camera->id);
	snprintf(entry->name, sizeof(entry->name), "%s", camera->name);
	snprintf(entry->source_text, sizeof(entry->source_text), "%s", camera->source_text);
	entry->window = pc_window_ref(camera->window);
	entry->stats = camera->stats;
	entry->fps = camera->fps;
	atomic_store(&server->n_cameras, n + 1);
	return 0;
}

const struct pc_http_config *pc_http_config(const struct pc_http_server *server)
{
	return &server->config;
}

unsigned pc_http_cameras(const struct pc_http_server *server)
{
	return atomic_load(&server->n_cameras);
}

const struct pc_http_camera_entry *pc_http_camera_at(
	const struct pc_http_server *server, unsigned i)
{
	return i < atomic_load(&server->n_cameras) ? &server->cameras[i] : NULL;
}

const struct pc_http_camera_entry *pc_http_camera_find(
	const struct pc_http_server *server, const char *id)
{
	for (unsigned i = 0; i < atomic_load(&server->n_cameras); i++) {
		if (strcmp(server->cameras[i].id, id) == 0) {
			return &server->cameras[i];
		}
	}
	return NULL;
}

struct pc_auth *pc_http_auth(struct pc_http_server *server)
{
	return server->auth;
}

const struct pc_static *pc_http_static(const struct pc_http_server *server)
{
	return server->files;
}

bool pc_http_viewer_enter(struct pc_http_server *server)
{
	const unsigned max = server->config.settings->http.max_viewers;
	unsigned now = atomic_load(&server->viewers);

	do {
		if (now >= max) {
			return false;
		}
	} while (!atomic_compare_exchange_weak(&server->viewers, &now, now + 1));
	return true;
}

void pc_http_viewer_leave(struct pc_http_server *server)
{
	atomic_fetch_sub(&server->viewers, 1);
}

bool pc_http_stopping(const struct pc_http_server *server)
{
	return atomic_load_explicit(&server->stopping, memory_order_relaxed);
}
