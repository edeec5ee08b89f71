/* tests/unit/petcamd/test_pipeline_faults.c - encoders and scalers that misbehave.
 *
 * The demo room and libx264 do the work; between them and the pipeline stands an encoder that
 * stalls, fails, refuses or swallows as it is told to (ld --wrap). The scaler is played
 * altogether. No timed assertions: the test waits for what must come.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/clock.h"
#include "hwaccel/encoder.h"
#include "hwaccel/scaler.h"
#include "petcamd/pipeline.h"
#include "tests/support/test.h"

#define LONG_NS (60 * PC_NS_PER_S)

/* What the encoder does. Set by the test, read by the media thread. */
static atomic_bool is_device; /* "auto" gives a device */
static atomic_bool device_there; /* and it can be found */
static atomic_bool stalls; /* takes frames and gives nothing */
static atomic_int refuses; /* open() says so; 0: it opens */
static atomic_int submit_says; /* once */
static atomic_bool fails; /* failed() comes with the next frame, once */
static atomic_uint swallows; /* so many key frames, as if aborted */

/* What was seen of it. Media thread, but for the atomics. */
static atomic_uint n_software; /* opened as "libavcodec" */
static atomic_uint n_devices; /* opened as a device */
static const struct pc_encoder_events *encoder_events;
static void *encoder_data;
static bool opened_device;
static int64_t stalled_ns;
static bool failed_now;

int __real_pc_encoder_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, struct pc_encoder **ret_encoder);
int __real_pc_encoder_submit(struct pc_encoder *encoder, struct pc_frame *frame, unsigned flags);
int64_t __real_pc_encoder_owed_ns(const struct pc_encoder *encoder);
const char *__real_pc_encoder_name(const struct pc_encoder *encoder);

int __wrap_pc_encoder_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, struct pc_encoder **ret_encoder);
int __wrap_pc_encoder_open(struct pc_loop *loop, const struct pc_encoder_config *config,
	const struct pc_encoder_events *events, void *data, struct pc_encoder **ret_encoder)
{
	const int r = atomic_load(&refuses);
	if (r < 0) {
		return r;
	}
	test_assert(config->size > 0 || config->n_planes == 0);
	encoder_events = events;
	encoder_data = data;
	stalled_ns = 0;
	failed_now = false;
	opened_device = atomic_load(&is_device) && strcmp(config->choice, "auto") == 0;
	struct pc_encoder_config software = *config;
	software.choice = "libavcodec";
	atomic_fetch_add(opened_device ? &n_devices : &n_software, 1);
	return __real_pc_encoder_open(loop, &software, events, data, ret_encoder);
}

unsigned __wrap_pc_encoder_inputs(const char *choice, const char *device, unsigned width,
	unsigned height, struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);
unsigned __wrap_pc_encoder_inputs(const char *choice, const char *device, unsigned width,
	unsigned height, struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	*ret_dmabuf = atomic_load(&device_there);
	formats[0] = (struct pc_input_format){ .stride_align = 1 };
	return 1;
}

const char *__wrap_pc_encoder_name(const struct pc_encoder *encoder);
const char *__wrap_pc_encoder_name(const struct pc_encoder *encoder)
{
	return opened_device ? "/dev/video11 (played)" : __real_pc_encoder_name(encoder);
}

int __wrap_pc_encoder_submit(struct pc_encoder *encoder, struct pc_frame *frame, unsigned flags);
int __wrap_pc_encoder_submit(struct pc_encoder *encoder, struct pc_frame *frame, unsigned flags)
{
	if (failed_now) {
		return -EPIPE;
	}
	const int r = atomic_exchange(&submit_says, 0);
	if (r < 0) {
		return r;
	}
	if (atomic_exchange(&fails, false)) {
		failed_now = true;
		encoder_events->failed(encoder_data, -EIO);
		return -EPIPE;
	}
	if (atomic_load(&stalls)) {
		stalled_ns = stalled_ns == 0 ? pc_clock_now_ns() : stalled_ns;
		return 0;
	}
	if ((flags & PC_ENCODER_KEY) != 0 && atomic_load(&swallows) > 0) {
		atomic_fetch_sub(&swallows, 1);
		return 0;
	}
	return __real_pc_encoder_submit(encoder, frame, flags);
}

int64_t __wrap_pc_encoder_owed_ns(const struct pc_encoder *encoder);
int64_t __wrap_pc_encoder_owed_ns(const struct pc_encoder *encoder)
{
	return stalled_ns != 0 ? pc_clock_now_ns() - stalled_ns
			       : __real_pc_encoder_owed_ns(encoder);
}

/* --- memory for fragments --- */

#define LITTLE (512U * 1024) /* two seconds of this stream, in a window of twelve */

static bool little_memory;

int __real_pc_fragment_pool_create(size_t max_bytes, struct pc_fragment_pool **ret_pool);
int __wrap_pc_fragment_pool_create(size_t max_bytes, struct pc_fragment_pool **ret_pool);
int __wrap_pc_fragment_pool_create(size_t max_bytes, struct pc_fragment_pool **ret_pool)
{
	return __real_pc_fragment_pool_create(little_memory ? LITTLE : max_bytes, ret_pool);
}

/* --- the scaler, and who looks at its pictures --- */

struct pc_scaler {
	const struct pc_scaler_events *events;
	void *data;
	int64_t stalled_ns;
};

static atomic_bool scaler_stalls;
static atomic_bool scaler_fails; /* once */
static atomic_uint n_scalers;
static atomic_uint n_soft_scalers;
static atomic_uint n_fed;
static int a_scaled_frame; /* nobody looks into it */

int __wrap_pc_scaler_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, struct pc_scaler **ret_scaler);
int __wrap_pc_scaler_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, struct pc_scaler **ret_scaler)
{
	struct pc_scaler *scaler = calloc(1, sizeof(*scaler));
	test_assert(scaler != NULL);
	*scaler = (struct pc_scaler){ .events = events, .data = data };
	atomic_fetch_add(&n_scalers, 1);
	if (strcmp(config->choice, "software") == 0) {
		atomic_fetch_add(&n_soft_scalers, 1);
	}
	*ret_scaler = scaler;
	return 0;
}

int __wrap_pc_scaler_submit(struct pc_scaler *scaler, struct pc_frame *frame);
int __wrap_pc_scaler_submit(struct pc_scaler *scaler, struct pc_frame *frame)
{
	if (atomic_exchange(&scaler_fails, false)) {
		scaler->events->failed(scaler->data, -EIO);
		return -EPIPE;
	}
	if (atomic_load(&scaler_stalls)) {
		scaler->stalled_ns =
			scaler->stalled_ns == 0 ? pc_clock_now_ns() : scaler->stalled_ns;
		return 0;
	}
	scaler->events->scaled(scaler->data, (struct pc_frame *)(void *)&a_scaled_frame);
	return 0;
}

int64_t __wrap_pc_scaler_owed_ns(const struct pc_scaler *scaler);
int64_t __wrap_pc_scaler_owed_ns(const struct pc_scaler *scaler)
{
	return scaler->stalled_ns == 0 ? 0 : pc_clock_now_ns() - scaler->stalled_ns;
}

const char *__wrap_pc_scaler_name(const struct pc_scaler *scaler);
const char *__wrap_pc_scaler_name(const struct pc_scaler *scaler)
{
	return "/dev/video12 (played)";
}

void __wrap_pc_scaler_close(struct pc_scaler *scaler);
void __wrap_pc_scaler_close(struct pc_scaler *scaler)
{
	free(scaler);
}

void __wrap_pc_seeing_camera_open(struct pc_seeing_camera *camera,
	const struct pc_source_info *info, unsigned width, unsigned height);
void __wrap_pc_seeing_camera_open(struct pc_seeing_camera *camera,
	const struct pc_source_info *info, unsigned width, unsigned height)
{
}

void __wrap_pc_seeing_camera_feed(struct pc_seeing_camera *camera, struct pc_frame *frame);
void __wrap_pc_seeing_camera_feed(struct pc_seeing_camera *camera, struct pc_frame *frame)
{
	atomic_fetch_add(&n_fed, 1);
}

void __wrap_pc_seeing_camera_close(struct pc_seeing_camera *camera);
void __wrap_pc_seeing_camera_close(struct pc_seeing_camera *camera)
{
}

/* --- the tests --- */

static struct pc_settings settings;
static struct pc_health *health;
static struct pc_pipeline *pipeline;

static void begin(bool device)
{
	atomic_store(&is_device, device);
	atomic_store(&device_there, device);
	atomic_store(&stalls, false);
	atomic_store(&refuses, 0);
	atomic_store(&n_devices, 0);
	atomic_store(&n_software, 0);
	atomic_store(&n_scalers, 0);
	atomic_store(&n_soft_scalers, 0);
	atomic_store(&scaler_stalls, false);
	test_int(pc_health_create(&health), 0);
	pc_settings_default(&settings);
	struct pc_camera_settings *camera = &settings.cameras[0];
	snprintf(camera->source, sizeof(camera->source), "demo");
	camera->width = 320;
	camera->height = 180;
	snprintf(settings.encoder.preset, sizeof(settings.encoder.preset), "ultrafast");
	const struct pc_pipeline_config config = {
		.settings = &settings,
		.camera = camera,
		.health = health,
	};
	test_int(pc_pipeline_create(&config, &pipeline), 0);
}

static void end(void)
{
	pc_pipeline_destroy(pipeline);
	pc_health_destroy(health);
}

static void wait_for_count(atomic_uint *count, unsigned n)
{
	const int64_t until_ns = pc_clock_now_ns() + LONG_NS;
	while (atomic_load(count) < n) {
		test_assert(pc_clock_now_ns() < until_ns);
		poll(NULL, 0, 5);
	}
}

static bool says(const char *name, enum pc_health_state state, const char *words)
{
	struct pc_health_part parts[PC_HEALTH_PARTS_MAX];
	const unsigned n = pc_health_read(health, parts, PC_HEALTH_PARTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(parts[i].name, name) == 0) {
			return parts[i].state == state && strstr(parts[i].text, words) != NULL;
		}
	}
	return false;
}

static void wait_until_it_says(const char *part, enum pc_health_state state, const char *words)
{
	const int64_t until_ns = pc_clock_now_ns() + LONG_NS;
	while (!says(part, state, words)) {
		if (pc_clock_now_ns() > until_ns) {
			test_fail("%s never says %d \"%s\"", part, state, words);
		}
		poll(NULL, 0, 2);
	}
}

/* Reads on until a fragment of this epoch comes: it is a key frame, one number on, later. */
static uint64_t wait_for_epoch(uint64_t number, uint32_t epoch)
{
	int64_t last_time = -1;
	for (;; number++) {
		struct pc_fragment *fragment = NULL;
		test_int(
			pc_window_get(pc_pipeline_window(pipeline), number, LONG_NS, &fragment), 0);
		const bool there = fragment->init->epoch == epoch;
		test_assert(fragment->init->epoch <= epoch);
		test_assert(fragment->decode_time > last_time);
		test_assert(!there || fragment->key);
		last_time = fragment->decode_time;
		pc_fragment_unref(fragment);
		if (there) {
			return number;
		}
	}
}

static struct pc_pipeline_trouble get_trouble(void)
{
	struct pc_pipeline_trouble trouble;
	pc_pipeline_get_trouble(pipeline, &trouble);
	return trouble;
}

/* Whatever an encoder does, it alone is opened again, and what follows is a new epoch. */
static void test_encoder_alone(void)
{
	begin(false);
	test_int(pc_pipeline_start(pipeline), 0);
	uint64_t at = wait_for_epoch(1, 1);
	test_int(get_trouble().parts[PC_PIPELINE_ENCODER].restarts, 0);

	atomic_store(&stalls, true);
	wait_until_it_says("encoder cam0", PC_HEALTH_DEGRADED,
		"gave no packet for 1 s; opened again (1st time)");
	atomic_store(&stalls, false);
	wait_until_it_says("encoder cam0", PC_HEALTH_OK, "");
	at = wait_for_epoch(at, 2);
	test_int(get_trouble().parts[PC_PIPELINE_ENCODER].restarts, 1);
	test_assert(strstr(get_trouble().parts[PC_PIPELINE_ENCODER].text,
			    "gave no packet for 1 s") != NULL);

	atomic_store(&fails, true);
	at = wait_for_epoch(at, 3);
	test_assert(strstr(get_trouble().parts[PC_PIPELINE_ENCODER].text,
			    "failed: Input/output error") != NULL);

	atomic_store(&submit_says, -EINVAL);
	at = wait_for_epoch(at, 4);
	test_assert(strstr(get_trouble().parts[PC_PIPELINE_ENCODER].text,
			    "takes no frame: Invalid") != NULL);
	wait_until_it_says("encoder cam0", PC_HEALTH_OK, "");
	test_int(get_trouble().parts[PC_PIPELINE_ENCODER].restarts, 3);
	test_int(get_trouble().parts[PC_PIPELINE_SOURCE].restarts, 0);
	test_int(get_trouble().lost_since_ns, 0);
	const struct pc_camera_stats *stats = pc_pipeline_stats(pipeline);
	test_int(pc_counter_get(&stats->source_opens), 1);
	test_int(pc_counter_get(&stats->encoder_opens), 4);
	end();
}

/* One that does not open is tried again, with the source going on. */
static void test_refused(void)
{
	begin(false);
	atomic_store(&refuses, -ENODEV);
	test_int(pc_pipeline_start(pipeline), 0);
	wait_until_it_says("encoder cam0", PC_HEALTH_FAILED, "no encoder takes 320x180");
	const struct pc_camera_stats *stats = pc_pipeline_stats(pipeline);
	while (pc_counter_get(&stats->frames_dropped_encoder) == 0) {
		poll(NULL, 0, 5);
	}
	atomic_store(&refuses, 0);
	wait_for_epoch(1, 1);
	wait_until_it_says("encoder cam0", PC_HEALTH_OK, "");
	test_int(pc_counter_get(&stats->source_opens), 1);
	end();
}

/* Key frames that get lost are asked for again: no hole of a whole segment. */
static void test_lost_keys(void)
{
	begin(false);
	atomic_store(&swallows, 3); /* the first of the stream, then */
	test_int(pc_pipeline_start(pipeline), 0);
	int64_t last_key_ns = 0;
	unsigned keys = 0;
	for (uint64_t number = 1; keys < 5; number++) {
		struct pc_fragment *fragment = NULL;
		test_int(
			pc_window_get(pc_pipeline_window(pipeline), number, LONG_NS, &fragment), 0);
		if (fragment->key) {
			keys++;
			/* A second, and what a busy machine makes of the frame or two after. */
			test_assert(last_key_ns == 0 ||
				    fragment->capture_ns - last_key_ns < 1700 * PC_NS_PER_MS);
			last_key_ns = fragment->capture_ns;
			atomic_store(&swallows, keys == 2 ? 1 : 0);
		}
		pc_fragment_unref(fragment);
	}
	test_int(atomic_load(&swallows), 0);
	test_int(pc_counter_get(&pc_pipeline_stats(pipeline)->encoder_opens), 1);
	end();
}

/* A device that fails three times gives way to software, which says so. */
static void test_device_gives_way(void)
{
	begin(true);
	test_int(pc_pipeline_start(pipeline), 0);
	uint64_t at = wait_for_epoch(1, 1);
	for (unsigned i = 1; i <= 3; i++) {
		test_int(atomic_load(&n_software), 0);
		atomic_store(&fails, true);
		at = wait_for_epoch(at, i + 1);
	}
	test_int(atomic_load(&n_devices), 3);
	test_int(atomic_load(&n_software), 1);
	wait_until_it_says("encoder cam0", PC_HEALTH_DEGRADED,
		"encodes in the place of the hardware, which is tried again later");
	/* Said by name, it is never replaced. */
	end();
	begin(true);
	snprintf(settings.encoder.encoder, sizeof(settings.encoder.encoder), "v4l2m2m");
	test_int(pc_pipeline_start(pipeline), 0);
	at = wait_for_epoch(1, 1);
	for (unsigned i = 1; i <= 4; i++) {
		atomic_store(&fails, true);
		at = wait_for_epoch(at, i + 1);
	}
	wait_until_it_says("encoder cam0", PC_HEALTH_OK, "");
	end();
}

/* A device that goes, and comes back. */
static void test_device_returns(void)
{
	begin(true);
	test_int(pc_pipeline_start(pipeline), 0);
	uint64_t at = wait_for_epoch(1, 1);
	atomic_store(&is_device, false);
	atomic_store(&device_there, false);
	atomic_store(&fails, true);
	at = wait_for_epoch(at, 2);
	wait_until_it_says("encoder cam0", PC_HEALTH_DEGRADED, "it is gone");
	atomic_store(&is_device, true);
	atomic_store(&device_there, true);
	at = wait_for_epoch(at, 3);
	wait_until_it_says("encoder cam0", PC_HEALTH_OK, "");
	test_int(atomic_load(&n_devices), 2);
	end();
}

/* A scaler that stalls or fails leaves the live view alone; a bad one is replaced. */
static void test_scaler(void)
{
	begin(false);
	int nobody; /* the pipeline only hands it on */
	pc_pipeline_set_seeing(pipeline, (struct pc_seeing_camera *)(void *)&nobody);
	atomic_store(&n_fed, 0);
	test_int(pc_pipeline_start(pipeline), 0);
	wait_for_count(&n_fed, 3);
	atomic_store(&scaler_stalls, true);
	wait_until_it_says("scaler cam0", PC_HEALTH_DEGRADED, "gave no picture for 1 s");
	wait_for_count(&n_scalers, 2);
	atomic_store(&scaler_stalls, false);
	atomic_store(&n_fed, 0);
	wait_for_count(&n_fed, 3);
	wait_until_it_says("scaler cam0", PC_HEALTH_OK, "");
	for (unsigned i = 3; i <= 4; i++) {
		atomic_store(&scaler_fails, true);
		wait_for_count(&n_scalers, i);
		atomic_store(&n_fed, 0);
		wait_for_count(&n_fed, 3);
	}
	test_int(atomic_load(&n_soft_scalers), 1);
	const struct pc_camera_stats *stats = pc_pipeline_stats(pipeline);
	test_int(pc_counter_get(&stats->source_opens), 1);
	test_int(pc_counter_get(&stats->encoder_opens), 1);
	test_int(pc_counter_get(&stats->scaler_opens), 4);
	test_int(get_trouble().parts[PC_PIPELINE_SCALER].restarts, 3);
	end();
}

/* A stream that is too much for the memory goes on by its key frames, and does not end. */
static void test_little_memory(void)
{
	little_memory = true;
	begin(false);
	little_memory = false;
	test_int(pc_pipeline_start(pipeline), 0);
	const struct pc_camera_stats *stats = pc_pipeline_stats(pipeline);
	unsigned keys = 0;
	int64_t last_key_ns = 0;
	for (uint64_t number = 1; keys < 5; number++) {
		struct pc_fragment *fragment = NULL;
		test_int(
			pc_window_get(pc_pipeline_window(pipeline), number, LONG_NS, &fragment), 0);
		if (fragment->key && pc_counter_get(&stats->frames_dropped_mux) > 0) {
			keys++;
			/* One a segment: more would take the memory of those to come. */
			test_assert(fragment->capture_ns - last_key_ns > 900 * PC_NS_PER_MS);
		}
		last_key_ns = fragment->key ? fragment->capture_ns : last_key_ns;
		pc_fragment_unref(fragment);
	}
	test_int(pc_counter_get(&stats->encoder_opens), 1);
	test_assert(says("encoder cam0", PC_HEALTH_DEGRADED, "a coded frame was lost"));
	end();
}

int main(void)
{
	TEST_RUN(test_encoder_alone);
	TEST_RUN(test_refused);
	TEST_RUN(test_lost_keys);
	TEST_RUN(test_device_gives_way);
	TEST_RUN(test_device_returns);
	TEST_RUN(test_scaler);
	TEST_RUN(test_little_memory);
	return test_end();
}
