/* tests/unit/demo/test_source_demo.c - the demo room as a source: paced, stamped, refused. */
#include <errno.h>
#include <stdbool.h>

#include <drm_fourcc.h>

#include "core/barcode.h"
#include "core/clock.h"
#include "petcamd/source_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define KEEP 16
#define TURNS_MAX 5000 /* a loop that never gets there ends the test */

struct taker {
	struct pc_source *source;
	unsigned frames;
	unsigned keep; /* so many frames are held */
	struct pc_frame *kept[KEEP];
	uint64_t sequence;
	int64_t capture_ns;
	struct pc_barcode code;
	unsigned close_at; /* closes the source within this frame; 0: never */
	int failed;
};

static void on_frame(void *data, struct pc_frame *frame)
{
	struct taker *taker = data;
	uint8_t *planes[PC_FRAME_MAX_PLANES];
	if (taker->frames > 0) {
		test_assert(frame->sequence > taker->sequence);
		test_assert(frame->capture_ns > taker->capture_ns);
	}
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, planes), 0);
	test_int(pc_barcode_read(planes[0], frame->planes[0].stride, frame->format.width,
			 frame->format.height, &taker->code),
		0);
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	test_int(taker->code.frame, frame->sequence & 0xFFFFFF);
	taker->sequence = frame->sequence;
	taker->capture_ns = frame->capture_ns;
	if (taker->frames < taker->keep) {
		taker->kept[taker->frames] = pc_frame_ref(frame);
	}
	if (++taker->frames == taker->close_at) {
		pc_source_demo.close(taker->source);
		taker->source = NULL;
	}
}

static void on_ended(void *data)
{
	test_fail("a room does not end");
}

static void on_failed(void *data, int err, const char *what)
{
	struct taker *taker = data;
	test_assert(what[0] != '\0');
	taker->failed = err;
}

static const struct pc_source_events events = { on_frame, on_ended, on_failed };

struct setup {
	struct pc_loop *loop;
	struct pc_allocator *allocator;
	struct pc_camera_stats stats;
	struct pc_camera_settings settings;
	struct taker taker;
	char why[256];
};

static void init_setup(struct setup *setup)
{
	memset(setup, 0, sizeof(*setup));
	test_int(pc_loop_create(&setup->loop), 0);
	test_int(pc_allocator_create_memfd(&setup->allocator), 0);
	setup->settings.width = 256;
	setup->settings.height = 144;
	setup->settings.fps = 100;
}

static void finish_setup(struct setup *setup)
{
	pc_allocator_destroy(setup->allocator);
	pc_loop_destroy(setup->loop);
}

static int open_demo(struct setup *setup, const char *argument)
{
	setup->why[0] = '\0';
	const struct pc_source_config config = {
		.camera = &setup->settings,
		.source = "demo",
		.allocator = setup->allocator,
		.stats = &setup->stats,
	};
	return pc_source_demo.open(setup->loop, &config, argument, &events, &setup->taker,
		setup->why, sizeof(setup->why), &setup->taker.source);
}

static void turn_until(struct setup *setup, unsigned frames)
{
	for (unsigned i = 0; setup->taker.frames < frames && setup->taker.failed == 0; i++) {
		test_assert(i < TURNS_MAX);
		test_int(pc_loop_turn(setup->loop, 1000) >= 0, 1);
	}
}

static void test_defaults(void)
{
	struct setup setup;
	init_setup(&setup);
	setup.settings = (struct pc_camera_settings){ 0 };
	test_int(open_demo(&setup, ""), 0);
	const struct pc_source_info *info = &setup.taker.source->info;
	test_int(info->format.fourcc, DRM_FORMAT_YUV420);
	test_int(info->format.width, 1280);
	test_int(info->format.height, 720);
	test_assert(info->fps == 30);
	test_int(info->n_zones, 4);
	test_int(info->n_masks, 1);
	test_assert((info->caps & PC_FRAME_CPU) != 0);
	test_str(info->text, "demo room (seed 1), 1280x720 at 30");
	pc_source_demo.close(setup.taker.source);
	finish_setup(&setup);
}

/* Frames come in order, never early, stamped with the time at which they were made. */
static void test_pace_and_stamps(void)
{
	struct setup setup;
	init_setup(&setup);
	const int64_t opened_ns = pc_clock_now_ns();
	const int64_t opened_utc_ms = pc_clock_now_utc_ms();
	test_int(open_demo(&setup, "seed=3,speed=2,start=20"), 0);
	test_str(setup.taker.source->info.text, "demo room (seed 3), 256x144 at 100");
	turn_until(&setup, 30);
	const int64_t now_ns = pc_clock_now_ns();
	const struct taker *taker = &setup.taker;
	test_int(taker->failed, 0);
	test_assert(taker->capture_ns <= now_ns);
	/* Frame n is not drawn before n periods have passed. */
	test_assert(taker->capture_ns - opened_ns >= (int64_t)taker->sequence * 10 * PC_NS_PER_MS);
	const int64_t stamped_ms = taker->code.utc_ms - (opened_utc_ms & 0xFFFFFFFFFF);
	const int64_t captured_ms = (taker->capture_ns - opened_ns) / PC_NS_PER_MS;
	test_assert(llabs(stamped_ms - captured_ms) <= 20);
	/* Each frame was made or is counted as skipped; the queue's may still be there. */
	test_assert(taker->frames + pc_counter_get(&setup.stats.frames_skipped_source) >=
		    taker->sequence + 1);
	pc_source_demo.close(setup.taker.source);
	finish_setup(&setup);
}

/* Who keeps all buffers makes the source skip, not wait; those kept stay as they are. */
static void test_late_consumer(void)
{
	struct setup setup;
	init_setup(&setup);
	setup.taker.keep = 12;
	test_int(open_demo(&setup, ""), 0);
	turn_until(&setup, 12);
	for (unsigned i = 0; pc_counter_get(&setup.stats.frames_skipped_source) < 5; i++) {
		test_assert(i < TURNS_MAX);
		test_int(pc_loop_turn(setup.loop, 10) >= 0, 1);
	}
	test_int(setup.taker.frames, 12);
	const uint64_t sequence = setup.taker.sequence;
	for (unsigned i = 0; i < 12; i++) {
		pc_frame_unref(setup.taker.kept[i]);
	}
	setup.taker.keep = 0;
	turn_until(&setup, 20);
	test_assert(setup.taker.sequence >= sequence + 5 + 8);
	pc_source_demo.close(setup.taker.source);
	finish_setup(&setup);
}

/* Closing within a callback, with frames still out, and at once after opening. */
static void test_close(void)
{
	struct setup setup;
	init_setup(&setup);
	setup.taker.close_at = 3;
	setup.taker.keep = 2;
	test_int(open_demo(&setup, ""), 0);
	turn_until(&setup, 3);
	test_assert(setup.taker.source == NULL);
	for (unsigned i = 0; i < 3; i++) {
		test_int(pc_loop_turn(setup.loop, 0) >= 0, 1);
	}
	test_int(setup.taker.frames, 3);
	pc_frame_unref(setup.taker.kept[0]);
	pc_frame_unref(setup.taker.kept[1]);
	setup.settings.fps = 1; /* the worker is asleep for a second: close does not wait */
	setup.taker = (struct taker){ 0 };
	test_int(open_demo(&setup, ""), 0);
	turn_until(&setup, 1);
	pc_source_demo.close(setup.taker.source);
	test_int(open_demo(&setup, ""), 0);
	pc_source_demo.close(setup.taker.source);
	finish_setup(&setup);
}

static void test_refusals(void)
{
	static const struct {
		const char *argument;
		const char *word;
	} cases[] = {
		{ "color=red", "\"color=red\" is not one of" },
		{ "seed", "\"seed\" is not one of" },
		{ "seed=", "whole number" },
		{ "seed=-1", "whole number" },
		{ "seed=1x", "whole number" },
		{ "seed=99999999999999999999", "whole number" },
		{ "speed=0", "speed" },
		{ "speed=nan", "speed" },
		{ "speed=1e9", "speed" },
		{ "start=-3", "start" },
		{ "start=1e300", "start" },
		{ "seed=1,,speed=1", "\"\" is not one of" },
		{ "seed=1,seeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeed=1",
			"is not one of" },
	};
	struct setup setup;
	init_setup(&setup);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_int(open_demo(&setup, cases[i].argument), -EINVAL);
		if (strstr(setup.why, cases[i].word) == NULL) {
			test_fail("\"%s\": %s", cases[i].argument, setup.why);
		}
		test_assert(setup.taker.source == NULL);
	}
	static const struct {
		unsigned width, height;
		double fps;
	} formats[] = {
		{ 100, 100, 30 },
		{ 641, 360, 30 },
		{ 8000, 4000, 30 },
		{ 640, 360, 0.1 },
		{ 640, 360, 1000 },
		{ 640, 360, -5 },
	};
	for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		setup.settings.width = formats[i].width;
		setup.settings.height = formats[i].height;
		setup.settings.fps = formats[i].fps;
		test_int(open_demo(&setup, "seed=1"), -EINVAL);
		test_assert(strncmp(setup.why, "demo: ", 6) == 0);
	}
	finish_setup(&setup);
}

/* What fails in open is its error, what fails in the worker comes by failed(). */
static void test_no_memory(void)
{
	struct setup setup;
	init_setup(&setup);
	unsigned refused = 0;
	unsigned failed = 0;
	for (unsigned n = 1;; n++) {
		setup.taker = (struct taker){ 0 };
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		int r = open_demo(&setup, "");
		if (r == 0) {
			turn_until(&setup, 1);
			pc_source_demo.close(setup.taker.source);
		}
		if (!fault_disarm()) {
			test_int(r, 0);
			test_int(setup.taker.failed, 0);
			break;
		}
		if (r < 0) {
			refused++;
			test_int(r, -ENOMEM);
			test_assert(setup.why[0] != '\0' && setup.taker.source == NULL);
		} else {
			failed++;
			test_int(setup.taker.failed, -ENOMEM);
		}
	}
	test_assert(refused > 3 && failed > 10);
	finish_setup(&setup);
}

static void test_steady_state_allocates_nothing(void)
{
	struct setup setup;
	init_setup(&setup);
	test_int(open_demo(&setup, ""), 0);
	turn_until(&setup, 5);
	const uint64_t calls = fault_calls(FAULT_ALLOC);
	turn_until(&setup, 60);
	test_int(fault_calls(FAULT_ALLOC) - calls, 0);
	pc_source_demo.close(setup.taker.source);
	finish_setup(&setup);
}

int main(void)
{
	TEST_RUN(test_defaults);
	TEST_RUN(test_pace_and_stamps);
	TEST_RUN(test_late_consumer);
	TEST_RUN(test_close);
	TEST_RUN(test_refusals);
	TEST_RUN(test_no_memory);
	TEST_RUN(test_steady_state_allocates_nothing);
	return test_end();
}
