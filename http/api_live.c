/* http/api_live.c - live views over HTTP: playlists, their media, /live.mp4, the snapshot.
 *
 * Everything that is sent lies in memory already, shared by all viewers: rendered playlists,
 * and the fragments themselves.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "http/auth_internal.h"
#include "http/http_internal.h"
#include "http/instant.h"

#define PLAYLIST_TYPE "application/vnd.apple.mpegurl"
#define MEDIA_TYPE "video/mp4"
#define RETRY "Retry-After: 1\r\n"
#define FRESH "Cache-Control: private, no-cache\r\n" /* may be kept, must be asked about */

/* The camera of the path, the default one where the path names none. NULL: replied. */
static const struct pc_http_camera_entry *find_camera(struct pc_request *request)
{
	const struct pc_http_camera_entry *camera = NULL;
	if (request->n_params > 0) {
		camera = pc_http_camera_find(request->server, request->params[0]);
	} else if (pc_http_cameras(request->server) > 0) {
		camera = pc_http_camera_at(request->server, 0);
	}
	if (camera == NULL) {
		pc_reply_problem(request, 404, NULL, "There is no such camera.");
	}
	return camera;
}

/* What the calls of hls.h refuse, as a reply. */
static int reply_refusal(struct pc_request *request, int err)
{
	switch (err) {
	case -EAGAIN:
		return pc_reply_problem(request, 503, RETRY, "The camera gives no picture yet.");
	case -EINVAL:
		return pc_reply_problem(
			request, 400, NULL, "This segment or part is too far ahead to wait for.");
	case -ENOENT:
		return pc_reply_problem(
			request, 404, NULL, "This segment or part is gone, or is not there yet.");
	case -ETIMEDOUT:
		return pc_reply_problem(request, 503, RETRY, "The camera's picture stands still.");
	case -ECANCELED:
	case -EPIPE:
		return pc_reply_problem(request, 503, RETRY, "petcam is stopping.");
	default:
		return pc_reply_problem(request, 503, RETRY, "There is no memory for this.");
	}
}

/* ---- playlists ---- */

static uint64_t hash(const char *data, size_t size)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
	for (size_t i = 0; i < size; i++) {
		h = (h ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
	}
	return h;
}

static int reply_fresh(struct pc_request *request, const char *type, uint64_t version,
	const char *data, size_t size)
{
	char etag[32];
	char headers[128];
	snprintf(etag, sizeof(etag), "\"%" PRIx64 "\"", version);
	snprintf(headers, sizeof(headers), FRESH "ETag: %s\r\n", etag);
	if (pc_request_has_etag(request, etag)) {
		return pc_reply_empty(request, 304, headers);
	}
	return pc_reply_bytes(request, 200, type, headers, data, size);
}

/* Where the media playlist is: relative to this path, or, for one who came with a media token,
 * by a path that has it, so that all that follows is relative again. */
static int media_uri(const struct pc_request *request, const struct pc_http_camera_entry *camera,
	char *out, size_t size)
{
	char token[PC_ROUTE_PARAM_SIZE];
	int n;
	if (request->who.by_media_token &&
		pc_request_query(request, "token", token, sizeof(token)) > 0) {
		n = snprintf(out, size, "/cameras/%s/hls/~%s/media.m3u8", camera->id, token);
	} else if (request->n_params > 0) {
		n = snprintf(out, size, "hls/media.m3u8");
	} else {
		n = snprintf(out, size, "cameras/%s/hls/media.m3u8", camera->id);
	}
	return n < 0 || (size_t)n >= size ? -EINVAL : 0;
}

int pc_api_live(struct pc_request *request)
{
	const struct pc_http_camera_entry *camera = find_camera(request);
	if (camera == NULL) {
		return request->status;
	}
	char uri[PC_ROUTE_PARAM_SIZE + 64];
	char text[sizeof(uri) + 512];
	if (media_uri(request, camera, uri, sizeof(uri)) < 0) {
		return pc_reply_problem(request, 400, NULL, "The token is too long.");
	}
	const int n = pc_hls_multivariant(camera->hls, uri, text, sizeof(text));
	if (n < 0) {
		return reply_refusal(request, n);
	}
	return reply_fresh(request, PLAYLIST_TYPE, hash(text, (size_t)n), text, (size_t)n);
}

/* The directives of a blocking reload. false: replied. */
static bool read_directives(
	struct pc_request *request, int64_t *ret_msn, int64_t *ret_part, bool *ret_skip)
{
	*ret_msn = -1;
	*ret_part = -1;
	const int msn = pc_request_query_int(request, "_HLS_msn", 0, INT64_MAX, ret_msn);
	const int part = pc_request_query_int(request, "_HLS_part", 0, INT64_MAX, ret_part);
	if (msn == -EINVAL || part == -EINVAL) {
		pc_reply_problem(request, 400, NULL,
			"_HLS_msn and _HLS_part must be whole numbers, not below 0.");
		return false;
	}
	if (msn == -ENOENT && part == 0) {
		pc_reply_problem(request, 400, NULL, "_HLS_part needs _HLS_msn.");
		return false;
	}
	char skip[8];
	*ret_skip = pc_request_query(request, "_HLS_skip", skip, sizeof(skip)) > 0 &&
		    (strcmp(skip, "YES") == 0 || strcmp(skip, "v2") == 0);
	return true;
}

static int reply_playlist(struct pc_request *request, const struct pc_http_camera_entry *camera)
{
	int64_t msn;
	int64_t part;
	bool skip;
	if (!read_directives(request, &msn, &part, &skip)) {
		return request->status;
	}
	struct pc_hls_text *text;
	const int r =
		pc_hls_playlist(camera->hls, msn, part, skip, pc_request_aborted, request, &text);
	if (r < 0) {
		return reply_refusal(request, r);
	}
	/* A delta is another text than the whole, of the same version. */
	const uint64_t version = skip ? ~text->version : text->version;
	const int status = reply_fresh(request, PLAYLIST_TYPE, version, text->data, text->size);
	pc_hls_text_unref(text);
	return status;
}

/* ---- media ---- */

static int reply_media(struct pc_request *request, const struct pc_http_camera_entry *camera,
	int64_t msn, int64_t part)
{
	struct pc_hls_media media;
	const int r = pc_hls_media(camera->hls, msn, part, pc_request_aborted, request, &media);
	if (r < 0) {
		return reply_refusal(request, r);
	}
	struct iovec parts[PC_HLS_SEGMENT_FRAGMENTS_MAX];
	for (unsigned i = 0; i < media.n; i++) {
		parts[i] = (struct iovec){
			.iov_base = (void *)media.fragments[i]->data,
			.iov_len = media.fragments[i]->size,
		};
	}
	const int status = pc_reply_vector(request, 200, MEDIA_TYPE, NULL, parts, media.n);
	pc_hls_media_finish(&media);
	return status;
}

static int reply_init(
	struct pc_request *request, const struct pc_http_camera_entry *camera, int64_t epoch)
{
	struct pc_init *init =
		epoch > UINT32_MAX ? NULL : pc_hls_init(camera->hls, (uint32_t)epoch);
	if (init == NULL) {
		return reply_refusal(request, -ENOENT);
	}
	const int status = pc_reply_bytes(request, 200, MEDIA_TYPE, NULL, init->data, init->size);
	pc_init_unref(init);
	return status;
}

/* Digits alone, without a leading zero, up to what follows; NULL: none. */
static const char *read_number(const char *text, int64_t *ret)
{
	const size_t n = strspn(text, "0123456789");
	if (n == 0 || n > 18 || (text[0] == '0' && n > 1)) {
		return NULL;
	}
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		*ret = *ret * 10 + (text[i] - '0');
	}
	return text + n;
}

/* "PREFIXnumberSUFFIX", or "PREFIXnumber.numberSUFFIX" where ret_second is wanted. */
static bool name_is(const char *name, const char *prefix, const char *suffix, int64_t *ret_first,
	int64_t *ret_second)
{
	const size_t size = strlen(prefix);
	if (strncmp(name, prefix, size) != 0) {
		return false;
	}
	const char *at = read_number(name + size, ret_first);
	if (at != NULL && ret_second != NULL) {
		at = *at == '.' ? read_number(at + 1, ret_second) : NULL;
	}
	return at != NULL && strcmp(at, suffix) == 0;
}

int pc_api_hls(struct pc_request *request)
{
	const struct pc_http_camera_entry *camera = find_camera(request);
	if (camera == NULL) {
		return request->status;
	}
	const char *name = strrchr(request->path, '/') + 1;
	int64_t first;
	int64_t second;
	if (strcmp(name, "media.m3u8") == 0) {
		return reply_playlist(request, camera);
	}
	if (name_is(name, "part-", ".m4s", &first, &second)) {
		return reply_media(request, camera, first, second);
	}
	if (name_is(name, "seg-", ".m4s", &first, NULL)) {
		return reply_media(request, camera, first, -1);
	}
	if (name_is(name, "init-", ".mp4", &first, NULL)) {
		return reply_init(request, camera, first);
	}
	return pc_reply_problem(request, 404, NULL, "There is nothing at this path.");
}

/* ---- progressive ---- */

/* Plain players want a file: one init segment, and decode times that start at 0 and go on
 * without a hole when the viewer was moved on. The fragments are sent as they lie in memory,
 * but for these eight bytes. */
struct progressive {
	struct pc_request *request;
	bool begun;
	uint64_t number; /* of the last fragment */
	int64_t shift; /* ticks, from the camera's line to this file's */
	int64_t end; /* of the last fragment, on this file's line */
};

static int progressive_init(void *data, const struct pc_init *init, const struct pc_fragment *first)
{
	struct progressive *file = data;
	if (file->begun) {
		return -EPIPE; /* a file has one; the player opens it anew */
	}
	file->begun = true;
	file->number = first->number - 1;
	file->shift = first->decode_time;
	const struct iovec part = { .iov_base = (void *)init->data, .iov_len = init->size };
	return pc_reply_stream_write(file->request, &part, 1);
}

static int progressive_fragment(void *data, const struct pc_fragment *fragment)
{
	struct progressive *file = data;
	if (fragment->number != file->number + 1) {
		file->shift = fragment->decode_time - file->end;
	}
	const uint64_t when = (uint64_t)(fragment->decode_time - file->shift);
	uint8_t bytes[8];
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)(when >> (56 - 8 * i));
	}
	const size_t after = fragment->tfdt_offset + sizeof(bytes);
	const struct iovec parts[] = {
		{ .iov_base = (void *)fragment->data, .iov_len = fragment->tfdt_offset },
		{ .iov_base = bytes, .iov_len = sizeof(bytes) },
		{ .iov_base = (void *)(fragment->data + after), .iov_len = fragment->size - after },
	};
	file->number = fragment->number;
	file->end = (int64_t)when + fragment->duration;
	return pc_reply_stream_write(file->request, parts, 3);
}

static bool progressive_aborted(void *data)
{
	struct progressive *file = data;
	const struct pc_request *request = file->request;
	return pc_request_aborted(file->request) ||
	       !pc_auth_session_valid(pc_http_auth(request->server), request->who.session_id);
}

int pc_api_live_mp4(struct pc_request *request)
{
	static const struct pc_instant_transport transport = {
		.init = progressive_init,
		.fragment = progressive_fragment,
		.aborted = progressive_aborted,
	};
	const struct pc_http_camera_entry *camera = find_camera(request);
	if (camera == NULL) {
		return request->status;
	}
	if (pc_window_newest(camera->window) == 0) {
		return reply_refusal(request, -EAGAIN);
	}
	if (!pc_http_viewer_enter(request->server)) {
		return pc_reply_problem(request, 503, RETRY,
			"As many viewers are watching as http.max_viewers allows.");
	}
	pc_reply_stream(request, MEDIA_TYPE, NULL);
	if (!request->head) {
		const struct pc_instant_config config = {
			.window = camera->window,
			.stats = camera->stats,
		};
		struct progressive file = { .request = request };
		(void)pc_instant_run(&config, &transport, &file); /* ends when the viewer does */
	}
	pc_http_viewer_leave(request->server);
	return request->status;
}

/* ---- still ---- */

int pc_api_snapshot(struct pc_request *request)
{
	const struct pc_http_camera_entry *camera = find_camera(request);
	if (camera == NULL) {
		return request->status;
	}
	struct pc_hls_text *jpeg;
	const int r = pc_hls_still(camera->hls, &jpeg);
	if (r == -EIO) {
		return pc_reply_problem(request, 503, RETRY, "The picture does not decode.");
	}
	if (r < 0) {
		return reply_refusal(request, r);
	}
	const int status =
		reply_fresh(request, "image/jpeg", jpeg->version, jpeg->data, jpeg->size);
	pc_hls_text_unref(jpeg);
	return status;
}
