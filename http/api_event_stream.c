/* http/api_event_stream.c - GET /events/stream: server-sent events.
 *
 * Each holds a worker thread, so their number is bounded. A client that is too slow, or was
 * away for too long, gets "event: missed" once and goes on with what is left of the ring.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "core/clock.h"
#include "http/api_internal.h"
#include "http/event_hub.h"
#include "storage/events.h"

#define SLICE_NS (250 * PC_NS_PER_MS) /* between looks at the client and the server */
#define HEARTBEAT_NS (15 * PC_NS_PER_S)

struct stream {
	struct pc_request *request;
	struct pc_storage *storage;
	struct pc_event_hub *hub;
	uint64_t position;
	int64_t written_ns;
};

static int write_text(struct stream *stream, const char *text)
{
	/* The cast: iovec is for reading as well. */
	struct iovec part = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
	stream->written_ns = pc_clock_now_ns();
	return pc_reply_stream_write(stream->request, &part, 1);
}

static int write_event(struct stream *stream, int64_t event_id)
{
	struct pc_event_row row;
	int r = pc_events_get(stream->storage, event_id, &row);
	if (r == -ENOENT) {
		return 0; /* deleted meanwhile */
	}
	if (r < 0) {
		return r;
	}
	json_t *json = pc_api_event_json(&row);
	char *data = json != NULL ? pc_api_dump(json) : NULL;
	json_decref(json);
	if (data == NULL) {
		return -ENOMEM;
	}
	char id[PC_EVENT_HUB_ID_SIZE];
	char head[PC_EVENT_HUB_ID_SIZE + 32];
	pc_event_hub_id(stream->hub, stream->position, id);
	int n = snprintf(head, sizeof(head), "id: %s\nevent: event\ndata: ", id);
	struct iovec parts[] = {
		{ .iov_base = head, .iov_len = (size_t)n },
		{ .iov_base = data, .iov_len = strlen(data) },
		{ .iov_base = (char[]){ "\n\n" }, .iov_len = 2 },
	};
	stream->written_ns = pc_clock_now_ns();
	r = pc_reply_stream_write(stream->request, parts, 3);
	free(data);
	return r;
}

static bool goes_on(const struct stream *stream)
{
	struct pc_request *request = stream->request;
	return !pc_http_stopping(request->server) && !pc_request_aborted(request) &&
	       pc_auth_session_valid(pc_http_auth(request->server), request->who.session_id);
}

static void run(struct stream *stream, bool missed)
{
	/* The comment makes the browser's EventSource open at once. */
	int r = write_text(stream, ": petcam\nretry: 2000\n\n");
	if (r >= 0 && missed) {
		r = write_text(stream, "event: missed\ndata: {}\n\n");
	}
	while (r >= 0 && goes_on(stream)) {
		int64_t event_id;
		r = pc_event_hub_next(stream->hub, &stream->position, SLICE_NS, &event_id);
		if (r == 0) {
			r = write_event(stream, event_id);
		} else if (r == -ESTALE) {
			r = write_text(stream, "event: missed\ndata: {}\n\n");
		} else if (r == -ETIMEDOUT) {
			r = 0;
			if (pc_clock_now_ns() - stream->written_ns >= HEARTBEAT_NS) {
				r = write_text(stream, ": here\n\n");
			}
		}
	}
}

int pc_api_event_stream(struct pc_request *request)
{
	static const char *const known[] = { NULL };
	struct stream stream = { .request = request };
	if (!pc_api_storage(request, &stream.storage) || !pc_api_query_known(request, known)) {
		return request->status;
	}
	stream.hub = pc_auth_event_hub(pc_http_auth(request->server));
	if (!pc_event_hub_enter(stream.hub, &stream.position)) {
		return pc_api_wait(
			request, 503, 10 * PC_NS_PER_S, "Too many event streams are open.");
	}
	bool missed = false;
	const char *last = pc_request_header(request, "Last-Event-ID");
	int r = last != NULL ? pc_event_hub_resume(stream.hub, last, &stream.position) : 0;
	if (r == -EINVAL) {
		pc_reply_problem(request, 400, NULL, "Last-Event-ID was never given by petcam.");
	} else {
		missed = r == -ESTALE;
		if (pc_reply_stream(request, "text/event-stream",
			    "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n") > 0 &&
			!request->head) {
			run(&stream, missed);
		}
	}
	pc_event_hub_leave(stream.hub);
	return request->status;
}
