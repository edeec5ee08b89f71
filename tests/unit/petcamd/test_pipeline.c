/* tests/unit/petcamd/test_pipeline.c - a camera's way of a frame, on the demo room.
 *
 * No timed assertions: the test waits for what must come, with a bound that only a hang
 * reaches.
 */
#include "petcamd/pipeline.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define LONG_NS (30 * PC_NS_PER_S)

static struct pc_settings settings;
static struct pc_health *health;

static struct pc_pipeline *create(const char *source)
{
	pc_settings_default(&settings);
	struct pc_camera_settings *camera = &settings.cameras[0];
	snprintf(camera->source, sizeof(camera->source), "%s", source);
	camera->width = 320;
	camera->height = 180;
	camera->fps = 30;
	snprintf(settings.encoder.preset, sizeof(settings.encoder.preset), "ultrafast");
	const struct pc_pipeline_config config = {
		.settings = &settings,
		.camera = camera,
		.health = health,
	};
	struct pc_pipeline *pipeline = NULL;
	test_int(pc_pipeline_create(&config, &pipeline), 0);
	return pipeline;
}

static struct pc_fragment *get(struct pc_window *window, uint64_t number)
{
	struct pc_fragment *fragment = NULL;
	test_int(pc_window_get(window, number, LONG_NS, &fragment), 0);
	return fragment;
}

/* Numbers, times and key frames of what comes out, and the counters beside it. */
static void test_stream(void)
{
	struct pc_pipeline *pipeline = create("demo:seed=1");
	struct pc_window *window = pc_pipeline_window(pipeline);
	test_int(pc_pipeline_start(pipeline), 0);
	int64_t last_time = -1;
	int64_t last_key_ns = -1;
	unsigned keys = 0;
	for (uint64_t number = 1; number <= 75; number++) {
		struct pc_fragment *fragment = get(window, number);
		test_int(fragment->number, number);
		test_int(fragment->init->epoch, 1);
		test_int(fragment->init->width, 320);
		/* Longer where a busy machine left a picture out. */
		test_assert(fragment->duration >= 3000 && fragment->duration <= 90000);
		test_assert(fragment->decode_time > last_time);
		last_time = fragment->decode_time;
		if (fragment->key) {
			/* Forced by time: a segment apart, to half a frame. */
			test_assert(last_key_ns < 0 ||
				    fragment->capture_ns - last_key_ns >
					    PC_NS_PER_S - PC_NS_PER_S / 60 - PC_NS_PER_MS);
			last_key_ns = fragment->capture_ns;
			keys++;
		}
		test_assert(number > 1 || fragment->key);
		pc_fragment_unref(fragment);
	}
	test_assert(keys >= 3);
	const struct pc_camera_stats *stats = pc_pipeline_stats(pipeline);
	test_assert(pc_counter_get(&stats->frames_captured) >= 75);
	test_assert(pc_counter_get(&stats->fragments) >= 75);
	test_int(pc_counter_get(&stats->frames_dropped_mux), 0);
	test_assert(atomic_load(&stats->last_frame_ns) > 0);
	pc_pipeline_stop(pipeline);
	pc_pipeline_stop(pipeline);
	struct pc_fragment *fragment = NULL;
	test_int(pc_window_get(window, pc_window_newest(window) + 1, LONG_NS, &fragment), -EPIPE);
	pc_pipeline_destroy(pipeline);
}

static enum pc_health_state state_of(const char *name, char *text, size_t size)
{
	struct pc_health_part parts[PC_HEALTH_PARTS_MAX];
	const unsigned n = pc_health_read(health, parts, PC_HEALTH_PARTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(parts[i].name, name) == 0) {
			snprintf(text, size, "%s", parts[i].text);
			return parts[i].state;
		}
	}
	text[0] = '\0';
	return PC_HEALTH_OK;
}

/* A source that is not there: said on the board, tried again, and no hang at the end. */
static void test_missing_source(void)
{
	struct pc_pipeline *pipeline = create("file:/nonexistent/cat.mp4");
	test_int(pc_pipeline_start(pipeline), 0);
	char text[PC_HEALTH_TEXT_MAX];
	const int64_t until_ns = pc_clock_now_ns() + LONG_NS;
	while (state_of("camera cam0", text, sizeof(text)) != PC_HEALTH_FAILED) {
		test_assert(pc_clock_now_ns() < until_ns);
		poll(NULL, 0, 5);
	}
	test_assert(strstr(text, "/nonexistent/cat.mp4") != NULL);
	test_int(pc_window_newest(pc_pipeline_window(pipeline)), 0);
	pc_pipeline_destroy(pipeline);
}

/* Waits until the part says `words`. */
static void wait_for(const char *part, enum pc_health_state state, const char *words)
{
	char text[PC_HEALTH_TEXT_MAX];
	const int64_t until_ns = pc_clock_now_ns() + LONG_NS;
	while (state_of(part, text, sizeof(text)) != state || strstr(text, words) == NULL) {
		test_assert(pc_clock_now_ns() < until_ns);
		poll(NULL, 0, 5);
	}
}

/* A source that fails to open is well again, and so says the board, once frames come. */
static void test_recovery(void)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/petcam-pipeline-XXXXXX",
		getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	const int fd = mkstemp(path); /* empty: no video */
	test_assert(fd >= 0);
	char source[160];
	snprintf(source, sizeof(source), "file:%s", path);
	struct pc_pipeline *pipeline = create(source);
	test_int(pc_pipeline_start(pipeline), 0);
	wait_for("camera cam0", PC_HEALTH_FAILED, "the file is empty");
	/* One picture after the other, each a PGM: the plainest video there is. */
	FILE *file = fdopen(fd, "w");
	for (unsigned n = 0; n < 20; n++) {
		fprintf(file, "P5\n64 64\n255\n");
		for (unsigned i = 0; i < 64 * 64; i++) {
			fputc((int)(n * 10), file);
		}
	}
	test_int(fclose(file), 0);
	wait_for("camera cam0", PC_HEALTH_OK, "");
	wait_for("encoder cam0", PC_HEALTH_OK, "");
	struct pc_fragment *fragment = get(pc_pipeline_window(pipeline), 1);
	test_assert(fragment->key);
	pc_fragment_unref(fragment);
	pc_pipeline_destroy(pipeline);
	unlink(path);
}

/* Started and destroyed at once, again and again: nothing hangs or leaks. */
static void test_short_lives(void)
{
	for (int i = 0; i < 8; i++) {
		struct pc_pipeline *pipeline = create("demo");
		test_int(pc_pipeline_start(pipeline), 0);
		poll(NULL, 0, i * 4);
		pc_pipeline_destroy(pipeline);
	}
	pc_pipeline_destroy(create("demo")); /* never started */
	pc_pipeline_destroy(NULL);
}

static void test_no_memory(void)
{
	pc_settings_default(&settings);
	const struct pc_pipeline_config config = {
		.settings = &settings,
		.camera = &settings.cameras[0],
		.health = health,
	};
	for (unsigned n = 1;; n++) {
		struct pc_pipeline *pipeline = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_pipeline_create(&config, &pipeline);
		const bool failed = fault_disarm();
		if (!failed) {
			test_int(r, 0);
			pc_pipeline_destroy(pipeline);
			break;
		}
		test_int(r, -ENOMEM);
		test_assert(pipeline == NULL);
	}
}

int main(void)
{
	test_int(pc_health_create(&health), 0);
	TEST_RUN(test_stream);
	TEST_RUN(test_missing_source);
	TEST_RUN(test_recovery);
	TEST_RUN(test_short_lives);
	TEST_RUN(test_no_memory);
	pc_health_destroy(health);
	return test_end();
}
