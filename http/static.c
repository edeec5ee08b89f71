/* http/static.c - the dashboard's files, read at start and served from memory.
 *
 * A request is looked up among the names that were found then; none ever becomes a path on
 * disk. A file whose ".gz" lies beside it goes out compressed to those who take it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PC_LOG_MODULE "dashboard"
#include "core/log.h"
#include "http/http_internal.h"
#include "http/server_internal.h"

#define BYTES_MAX (8u << 20) /* of all files together */
#define FILES_MAX 256
#define DEPTH_MAX 4
#define NAME_MAX_BYTES 200

struct file {
	char *path; /* "/assets/index-3f2a.js" */
	void *bytes;
	size_t size;
	uint64_t hash;
};

struct pc_static {
	unsigned n;
	size_t bytes;
	struct file files[FILES_MAX]; /* sorted by path */
};

static int file_compare(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static uint64_t hash_of(const unsigned char *bytes, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a: told apart, not protected */

	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	}
	return hash;
}

static int read_whole(int fd, void *bytes, size_t size)
{
	size_t n = 0;

	while (n < size) {
		const ssize_t r = read(fd, (char *)bytes + n, size - n);
		if (r < 0 && errno == EINTR) {
			continue;
		}
		if (r <= 0) {
			return r < 0 ? -errno : -EIO;
		}
		n += (size_t)r;
	}
	return 0;
}

/* Owns fd. */
static int add_file(struct pc_static *files, int fd, size_t size, const char *path)
{
	struct file *file = &files->files[files->n];
	int r;

	if (files->n == FILES_MAX || size > BYTES_MAX - files->bytes) {
		r = -EFBIG;
		goto fail;
	}
	file->bytes = malloc(size > 0 ? size : 1);
	file->path = strdup(path);
	if (file->bytes == NULL || file->path == NULL) {
		r = -ENOMEM;
		goto fail_file;
	}
	r = read_whole(fd, file->bytes, size);
	if (r < 0) {
		goto fail_file;
	}
	close(fd);
	file->size = size;
	file->hash = hash_of(file->bytes, size);
	files->bytes += size;
	files->n++;
	return 0;

fail_file:
	free(file->bytes);
	free(file->path);
	memset(file, 0, sizeof(*file));
fail:
	close(fd);
	return r;
}

static int add_folder(struct pc_static *files, int fd, const char *path, unsigned depth);

/* What is neither a file nor a folder, or has a name that no request can have, is left out. */
static int add_entry(
	struct pc_static *files, int folder, const char *base, const char *name, unsigned depth)
{
	char path[NAME_MAX_BYTES];
	struct stat st;

	const int n = snprintf(path, sizeof(path), "%s/%s", base, name);
	if (name[0] == '.' || n < 0 || (size_t)n >= sizeof(path) || !pc_router_path_ok(path)) {
		return 0;
	}
	const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		return errno == ELOOP ? 0 : -errno; /* a symbolic link: not followed */
	}
	if (fstat(fd, &st) < 0) {
		const int r = -errno;
		close(fd);
		return r;
	}
	if (S_ISDIR(st.st_mode)) {
		return add_folder(files, fd, path, depth + 1);
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return 0;
	}
	return add_file(files, fd, (size_t)st.st_size, path);
}

/* Owns fd. */
static int add_folder(struct pc_static *files, int fd, const char *path, unsigned depth)
{
	int r = 0;

	DIR *folder = depth > DEPTH_MAX ? NULL : fdopendir(fd);
	if (folder == NULL) {
		r = depth > DEPTH_MAX ? -EFBIG : -errno;
		close(fd);
		return r;
	}
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(folder);
		if (entry == NULL) {
			r = -errno;
			break;
		}
		r = add_entry(files, dirfd(folder), path, entry->d_name, depth);
	}
	closedir(folder);
	return r;
}

int pc_static_create(const char *folder, struct pc_static **ret_static)
{
	struct pc_static *files = calloc(1, sizeof(*files));
	if (files == NULL) {
		return -ENOMEM;
	}
	int r = 0;
	if (folder != NULL) {
		const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : add_folder(files, fd, "", 0);
	}
	if (r == -ENOENT || r == -ENOTDIR) {
		r = 0; /* not built: "/" says so */
	}
	if (r < 0) {
		pc_static_destroy(files);
		return r;
	}
	qsort(files->files, files->n, sizeof(files->files[0]), file_compare);
	*ret_static = files;
	return 0;
}

void pc_static_destroy(struct pc_static *files)
{
	if (files == NULL) {
		return;
	}
	for (unsigned i = 0; i < files->n; i++) {
		free(files->files[i].path);
		free(files->files[i].bytes);
	}
	free(files);
}

static const struct file *find(const struct pc_static *files, const char *path)
{
	const struct file key = { .path = (char *)path };

	return bsearch(&key, files->files, files->n, sizeof(files->files[0]), file_compare);
}

bool pc_static_has(const struct pc_static *files, const char *path)
{
	return strcmp(path, "/") == 0 || find(files, path) != NULL;
}

static const char *type_of(const char *path)
{
	static const struct {
		const char *suffix;
		const char *type;
	} types[] = {
		{ ".html", "text/html; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".mjs", "text/javascript; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" },
		{ ".json", "application/json" },
		{ ".map", "application/json" },
		{ ".webmanifest", "application/manifest+json" },
		{ ".svg", "image/svg+xml" },
		{ ".png", "image/png" },
		{ ".jpg", "image/jpeg" },
		{ ".webp", "image/webp" },
		{ ".ico", "image/x-icon" },
		{ ".woff2", "font/woff2" },
		{ ".wasm", "application/wasm" },
		{ ".txt", "text/plain; charset=utf-8" },
	};
	const char *suffix = strrchr(path, '.');

	for (unsigned i = 0; suffix != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(suffix, types[i].suffix) == 0) {
			return types[i].type;
		}
	}
	return "application/octet-stream";
}

/* Whether Accept-Encoding takes gzip: named, and not with q=0. */
static bool takes_gzip(const struct pc_request *request)
{
	const char *at = pc_request_header(request, "Accept-Encoding");

	while (at != NULL && *at != '\0') {
		at += strspn(at, " \t,");
		if (strncasecmp(at, "gzip", 4) == 0 && strchr(" \t,;", at[4]) != NULL) {
			at += 4 + strspn(at + 4, " \t;");
			return strncasecmp(at, "q=0", 3) != 0 ||
			       strpbrk(at + 3, "123456789") != NULL;
		}
		at += strcspn(at, ",");
	}
	return false;
}

/* The page may talk to this server, and to nobody else. Host was checked by serve.c. */
static void security_policy(const struct pc_request *request, char *out, size_t size)
{
	const char *host = pc_request_header(request, "Host");
	const bool plain = request->server->config.settings->http.plain_loopback;

	/* WebKit before 15.4 does not count wss: as 'self'. */
	snprintf(out, size,
		"Content-Security-Policy: default-src 'self'; connect-src 'self' %s%.200s; "
		"img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
		"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'\r\n",
		host == NULL ? "" : (plain ? "ws://" : "wss://"), host == NULL ? "" : host);
}

static int reply_not_built(struct pc_request *request)
{
	static const char text[] =
		"petcam is running, but its dashboard is not built.\n\n"
		"Build it with ./dev run, or set http.web_root to where it lies.\n"
		"The API is here: see /version and /health.\n";

	return pc_reply_bytes(
		request, 200, "text/plain; charset=utf-8", NULL, text, sizeof(text) - 1);
}

int pc_api_static(struct pc_request *request)
{
	const struct pc_static *files = pc_http_static(request->server);
	const bool index = strcmp(request->path, "/") == 0;
	const char *path = index ? "/index.html" : request->path;
	char compressed[NAME_MAX_BYTES + 4], policy[600], headers[900], etag[32];

	const struct file *file = find(files, path);
	if (file == NULL) {
		return index ? reply_not_built(request)
			     : pc_reply_problem(request, 404, NULL, "There is nothing here.");
	}
	snprintf(compressed, sizeof(compressed), "%s.gz", path);
	const struct file *gzip = find(files, compressed);
	const bool squeezed = gzip != NULL && takes_gzip(request);
	if (squeezed) {
		file = gzip;
	}
	snprintf(etag, sizeof(etag), "\"%016llx\"", (unsigned long long)file->hash);
	security_policy(request, policy, sizeof(policy));
	/* Names below /assets/ carry a hash of what is in them. */
	const bool lasting = strncmp(path, "/assets/", 8) == 0;
	snprintf(headers, sizeof(headers), "%sETag: %s\r\nCache-Control: %s\r\n%s%s", policy, etag,
		lasting ? "public, max-age=31536000, immutable" : "no-cache",
		squeezed ? "Content-Encoding: gzip\r\n" : "",
		gzip != NULL ? "Vary: Accept-Encoding\r\n" : "");
	if (pc_request_has_etag(request, etag)) {
		return pc_reply_empty(request, 304, headers);
	}
	return pc_reply_bytes(request, 200, type_of(path), headers, file->bytes, file->size);
}
