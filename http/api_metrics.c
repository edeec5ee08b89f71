/* http/api_metrics.c - GET /metrics: Prometheus' text format.
 *
 * Labels are the cameras' ids only ([a-z0-9_-]), so their number is bounded and nothing needs
 * escaping.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "http/api_internal.h"
#include "http/server_internal.h"

#define TYPE "text/plain; version=0.0.4; charset=utf-8"

struct camera_metric {
	const char *name;
	const char *help;
	size_t offset; /* of a pc_counter in struct pc_camera_stats */
};
#define COUNTER(field, help)                                                                       \
	{                                                                                          \
#field, help, offsetof(struct pc_camera_stats, field)                              \
	}

static const struct camera_metric camera_metrics[] = {
	COUNTER(frames_captured, "Frames that the source made"),
	COUNTER(frames_skipped_source, "Frames that the source was too late for"),
	COUNTER(frames_bad, "Frames that the camera marked as corrupt"),
	COUNTER(source_gaps, "Frames lost before the camera gave them, by its own numbers"),
	COUNTER(frames_converted, "Frames decoded or converted by the CPU, a copy each"),
	COUNTER(frames_dropped_encoder, "Frames that the encoder had no slot for"),
	COUNTER(frames_encoded, "Frames encoded"),
	COUNTER(frames_aborted, "Frames that the encoder gave back without a packet"),
	COUNTER(encoder_junk, "Outputs of the encoder that belong to no frame"),
	COUNTER(encoder_imports, "Frame buffers that the encoder mapped for itself"),
	COUNTER(scaler_imports, "Frame buffers that the scaler mapped for itself"),
	COUNTER(frames_dropped_mux, "Encoded frames lost for want of memory"),
	COUNTER(fragments, "Fragments streamed"),
	COUNTER(bytes_encoded, "Bytes of encoded video"),
	COUNTER(frames_scaled, "Small frames made"),
	COUNTER(frames_dropped_scaler, "Frames that the scaler was too busy for"),
	COUNTER(frames_inferred, "Small frames looked at"),
	COUNTER(frames_dropped_inference, "Small frames replaced by a newer one"),
	COUNTER(viewer_skips, "Times that a slow viewer was moved on to a key frame"),
	COUNTER(recorder_gaps, "Fragments that were gone before they were recorded"),
	COUNTER(events, "Events seen"),
	COUNTER(source_opens, "Times that the source was opened"),
	COUNTER(encoder_opens, "Times that the encoder was opened"),
	COUNTER(scaler_opens, "Times that the scaler was opened"),
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP petcam_%s %s.\n# TYPE petcam_%s %s\n", name, help, name, type);
}

static void write_counters(FILE *out, struct pc_request *request)
{
	unsigned n = pc_http_cameras(request->server);
	for (size_t i = 0; i < sizeof(camera_metrics) / sizeof(camera_metrics[0]); i++) {
		const struct camera_metric *metric = &camera_metrics[i];
		char name[64];
		snprintf(name, sizeof(name), "%s_total", metric->name);
		head(out, name, "counter", metric->help);
		for (unsigned c = 0; c < n; c++) {
			const struct pc_http_camera_entry *camera =
				pc_http_camera_at(request->server, c);
			const pc_counter *value =
				(const pc_counter *)(const void *)((const char *)camera->stats +
								   metric->offset);
			fprintf(out, "petcam_%s{camera=\"%s\"} %" PRIu64 "\n", name, camera->id,
				pc_counter_get(value));
		}
	}
}

static double seconds(const _Atomic int64_t *ns)
{
	return (double)atomic_load_explicit((_Atomic int64_t *)ns, memory_order_relaxed) /
	       (double)PC_NS_PER_S;
}

static void write_gauges(FILE *out, struct pc_request *request)
{
	unsigned n = pc_http_cameras(request->server);
	head(out, "encode_seconds", "gauge", "Moving mean from frame taken to packet complete");
	for (unsigned i = 0; i < n; i++) {
		const struct pc_http_camera_entry *c = pc_http_camera_at(request->server, i);
		fprintf(out, "petcam_encode_seconds{camera=\"%s\"} %.6f\n", c->id,
			seconds(&c->stats->encode_ns));
	}
	head(out, "infer_seconds", "gauge", "Moving mean of one inference");
	for (unsigned i = 0; i < n; i++) {
		const struct pc_http_camera_entry *c = pc_http_camera_at(request->server, i);
		fprintf(out, "petcam_infer_seconds{camera=\"%s\"} %.6f\n", c->id,
			seconds(&c->stats->infer_ns));
	}
	head(out, "frame_age_seconds", "gauge", "Age of the newest frame, NaN before the first");
	for (unsigned i = 0; i < n; i++) {
		const struct pc_http_camera_entry *c = pc_http_camera_at(request->server, i);
		double last = seconds(&c->stats->last_frame_ns);
		double age = (double)pc_clock_now_ns() / (double)PC_NS_PER_S - last;
		if (last > 0) {
			fprintf(out, "petcam_frame_age_seconds{camera=\"%s\"} %.3f\n", c->id,
				age > 0 ? age : 0);
		} else {
			fprintf(out, "petcam_frame_age_seconds{camera=\"%s\"} NaN\n", c->id);
		}
	}
}

static void write_storage(FILE *out, struct pc_request *request)
{
	struct pc_storage *storage = pc_http_config(request->server)->storage;
	struct pc_storage_usage usage;
	if (storage == NULL || pc_storage_usage(storage, &usage) < 0) {
		return;
	}
	head(out, "disk_bytes", "gauge", "Size of the file system of the data root");
	fprintf(out, "petcam_disk_bytes %" PRIu64 "\n", usage.disk_bytes);
	head(out, "disk_free_bytes", "gauge", "Free on the file system of the data root");
	fprintf(out, "petcam_disk_free_bytes %" PRIu64 "\n", usage.free_bytes);
	head(out, "recording_bytes", "gauge", "Bytes of all recordings");
	fprintf(out, "petcam_recording_bytes %" PRIu64 "\n", usage.recording_bytes);
	head(out, "recordings", "gauge", "Recordings kept");
	fprintf(out, "petcam_recordings %" PRIu64 "\n", usage.recordings);
	head(out, "events_stored", "gauge", "Events in the catalogue");
	fprintf(out, "petcam_events_stored %" PRIu64 "\n", usage.events);
}

/* Resident bytes by /proc; 0 when it is not there. */
static uint64_t resident_bytes(void)
{
	char line[128] = "";
	FILE *file = fopen("/proc/self/statm", "re");
	if (file == NULL) {
		return 0;
	}
	const bool read = fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	const char *second = read ? strchr(line, ' ') : NULL; /* pages: total resident ... */
	if (second == NULL) {
		return 0;
	}
	char *end = NULL;
	errno = 0;
	const unsigned long long pages = strtoull(second + 1, &end, 10);
	return errno != 0 || *end != ' ' ? 0 : pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double of_timeval(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_process(FILE *out, struct pc_request *request)
{
	/* The three that every Prometheus client library has carry no prefix. */
	struct rusage use;
	if (getrusage(RUSAGE_SELF, &use) == 0) {
		fprintf(out,
			"# HELP process_cpu_seconds_total User and system CPU time.\n"
			"# TYPE process_cpu_seconds_total counter\n"
			"process_cpu_seconds_total %.3f\n",
			of_timeval(use.ru_utime) + of_timeval(use.ru_stime));
	}
	fprintf(out,
		"# HELP process_resident_memory_bytes Resident memory.\n"
		"# TYPE process_resident_memory_bytes gauge\n"
		"process_resident_memory_bytes %" PRIu64 "\n",
		resident_bytes());
	head(out, "viewers", "gauge", "Instant views and live.mp4 streams open");
	fprintf(out, "petcam_viewers %u\n",
		atomic_load_explicit(&request->server->viewers, memory_order_relaxed));
	head(out, "health", "gauge", "0 ok, 1 degraded, 2 failed");
	fprintf(out, "petcam_health %d\n",
		(int)pc_health_overall(pc_http_config(request->server)->health));
	head(out, "build_info", "gauge", "Always 1");
	fprintf(out, "petcam_build_info{version=\"%s\"} 1\n",
		pc_http_config(request->server)->version);
}

int pc_api_metrics(struct pc_request *request)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (out == NULL) {
		return pc_api_failed(request, -ENOMEM, "");
	}
	write_counters(out, request);
	write_gauges(out, request);
	write_storage(out, request);
	write_process(out, request);
	bool failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed || text == NULL) {
		free(text);
		return pc_api_failed(request, -ENOMEM, "");
	}
	pc_reply_bytes(request, 200, TYPE, NULL, text, size);
	free(text);
	return request->status;
}
