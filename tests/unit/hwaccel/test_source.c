/* tests/unit/hwaccel/test_source.c - a video file as a camera, and the choice of a source. */
#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include <fcntl.h>
#include <libavutil/log.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "petcamd/source_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/hwaccel/clip.h"

#define KEPT_MAX 64

static char folder[] = "/tmp/petcam-test-XXXXXX";
static char demo_argument[64];

static bool camera_is_there;

/* The demo room's and the camera's place. */
static int stub_open(struct pc_loop *loop, const struct pc_source_config *config,
	const char *argument, const struct pc_source_events *events, void *data, char *why,
	size_t why_size, struct pc_source **ret_source)
{
	snprintf(demo_argument, sizeof(demo_argument), "%s", argument);
	snprintf(why, why_size, "a stub");
	return -ENODEV;
}

static void stub_close(struct pc_source *source)
{
}

static bool is_there(void)
{
	return camera_is_there;
}

const struct pc_source_impl pc_source_demo = {
	.scheme = "demo",
	.draws = true,
	.open = stub_open,
	.close = stub_close,
};

const struct pc_source_impl pc_source_v4l2 = {
	.scheme = "v4l2",
	.is_there = is_there,
	.open = stub_open,
	.close = stub_close,
};

struct fixture {
	struct pc_loop *loop;
	struct pc_allocator *allocator;
	struct pc_camera_stats stats;
	struct pc_camera_settings settings;
	struct pc_source *source;
	char why[256];

	unsigned n_frames;
	uint64_t last_sequence;
	int64_t first_ns; /* capture time less sequence * frame_ns, of the first frame */
	int64_t last_ns;
	int64_t frame_ns;
	unsigned round; /* pictures in a round of the file */
	unsigned keep; /* so many frames */
	unsigned n_kept;
	struct pc_frame *kept[KEPT_MAX];
	unsigned close_at; /* closes the source inside of this frame's callback */
	unsigned n_ended;
	unsigned n_failed;
	int err;
	char what[160];
};

static void close_source(struct fixture *f)
{
	pc_source_close(f->source);
	f->source = NULL;
}

static void on_frame(void *data, struct pc_frame *frame)
{
	struct fixture *f = data;
	test_int(f->n_ended + f->n_failed, 0);
	test_assert(pc_frame_format_equal(&frame->format, &pc_source_info(f->source)->format));
	test_assert(frame->capture_ns <= pc_clock_now_ns()); /* never before it is due */
	if (f->n_frames == 0) {
		f->first_ns = frame->capture_ns - (int64_t)frame->sequence * f->frame_ns;
	} else {
		test_assert(frame->sequence > f->last_sequence);
		test_assert(frame->capture_ns > f->last_ns);
	}
	/* On one line of time over all rounds; a machine that slept may shift it. */
	const int64_t due_ns = f->first_ns + (int64_t)frame->sequence * f->frame_ns;
	test_assert(frame->capture_ns >= due_ns - PC_NS_PER_MS);
	if (f->round > 0) {
		uint8_t *data_of[4];
		test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, data_of), 0);
		const unsigned n = (unsigned)(frame->sequence % f->round);
		const unsigned last = (frame->format.height - 1) * frame->planes[0].stride;
		test_assert(abs(data_of[0][last] - clip_luma(n)) <= 6);
		pc_frame_end_cpu(frame, PC_FRAME_READ);
	}
	f->last_sequence = frame->sequence;
	f->last_ns = frame->capture_ns;
	if (f->n_kept < f->keep) {
		f->kept[f->n_kept++] = pc_frame_ref(frame);
	}
	f->n_frames++;
	if (f->n_frames == f->close_at) {
		close_source(f);
	}
}

static void on_ended(void *data)
{
	struct fixture *f = data;
	f->n_ended++;
	close_source(f);
}

static void on_failed(void *data, int err, const char *what)
{
	struct fixture *f = data;
	f->n_failed++;
	f->err = err;
	snprintf(f->what, sizeof(f->what), "%s", what);
	close_source(f);
}

static const struct pc_source_events events = {
	.frame = on_frame,
	.ended = on_ended,
	.failed = on_failed,
};

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	test_int(pc_allocator_create_memfd(&f->allocator), 0);
}

static int open_source(struct fixture *f, const char *source)
{
	snprintf(f->settings.source, sizeof(f->settings.source), "%s", source);
	const struct pc_source_config config = {
		.camera = &f->settings,
		.source = f->settings.source,
		.allocator = f->allocator,
		.stats = &f->stats,
	};
	return pc_source_open(f->loop, &config, &events, f, f->why, sizeof(f->why), &f->source);
}

static void open_clip(struct fixture *f, const struct clip *clip)
{
	struct clip full = *clip;
	char path[128];
	char source[160];
	snprintf(path, sizeof(path), "%s/%s", folder, clip->path);
	full.path = path;
	clip_write(&full);
	snprintf(source, sizeof(source), "file:%s", path);
	f->frame_ns = (int64_t)(1e9 / clip->fps);
	f->round = clip->frames;
	if (open_source(f, source) < 0) {
		test_fail("%s", f->why);
	}
}

static void end(struct fixture *f)
{
	pc_source_close(f->source);
	for (unsigned i = 0; i < f->n_kept; i++) {
		pc_frame_unref(f->kept[i]);
	}
	pc_allocator_destroy(f->allocator);
	pc_loop_destroy(f->loop);
}

static void turn_until_closed(struct fixture *f)
{
	while (f->source != NULL) {
		test_assert(pc_loop_turn(f->loop, 10000) >= 0);
	}
}

static const struct clip short_clip = { "short.mp4", "libx264", "yuv420p", 160, 96, 20, 0, 50, NULL,
	NULL };

static void test_plays_and_ends(void)
{
	struct fixture f;
	begin(&f);
	open_clip(&f, &short_clip);
	const struct pc_source_info *info = pc_source_info(f.source);
	test_int(info->format.width, 160);
	test_int(info->format.height, 96);
	test_int(info->caps, PC_FRAME_CPU);
	test_assert(info->fps > 49.9 && info->fps < 50.1);
	test_str(info->text, "file short.mp4, 160x96 at 50");
	test_int(info->n_zones + info->n_masks, 0);
	turn_until_closed(&f);
	test_int(f.n_ended, 1);
	test_int(f.n_failed, 0);
	test_int(f.n_frames + pc_counter_get(&f.stats.frames_skipped_source), 20);
	test_assert(f.n_frames > 0);
	end(&f);
}

static void test_loops_without_a_gap(void)
{
	struct fixture f;
	begin(&f);
	f.settings.loop = true;
	const struct clip clip = { "loop.mp4", "libx264", "yuv420p", 160, 96, 7, 0, 100, NULL,
		NULL };
	open_clip(&f, &clip);
	while (f.n_frames == 0 || f.last_sequence < 30) {
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	test_int(f.n_ended + f.n_failed, 0);
	test_assert(f.n_frames > 0);
	close_source(&f);
	end(&f);
}

/* Waits, without running the loop, until the source has skipped so many. */
static void wait_for_skips(struct fixture *f, uint64_t n)
{
	while (pc_counter_get(&f->stats.frames_skipped_source) < n) {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

static void test_late_consumer_is_skipped(void)
{
	struct fixture f;
	begin(&f);
	open_clip(&f, &short_clip);
	wait_for_skips(&f, 5); /* the queue's three are all that waits for the loop */
	test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	test_assert(f.n_frames <= 4);
	turn_until_closed(&f);
	test_int(f.n_frames + pc_counter_get(&f.stats.frames_skipped_source), 20);
	end(&f);
}

static void test_no_free_buffer(void)
{
	struct fixture f;
	begin(&f);
	f.keep = KEPT_MAX;
	open_clip(&f, &short_clip);
	turn_until_closed(&f);
	test_int(f.n_ended, 1);
	test_int(f.n_frames, f.n_kept);
	test_assert(f.n_kept <= 12);
	test_int(f.n_frames + pc_counter_get(&f.stats.frames_skipped_source), 20);
	/* They stay as they were, after close. */
	for (unsigned i = 0; i < f.n_kept; i++) {
		uint8_t *data[4];
		test_int(pc_frame_begin_cpu(f.kept[i], PC_FRAME_READ, data), 0);
		const int luma = data[0][95 * f.kept[i]->planes[0].stride];
		test_assert(abs(luma - clip_luma((unsigned)f.kept[i]->sequence)) <= 6);
		pc_frame_end_cpu(f.kept[i], PC_FRAME_READ);
	}
	end(&f);
}

static void test_close(void)
{
	struct fixture f;
	begin(&f);
	/* The second picture is due in nine seconds: close does not wait for it. */
	static const int times[] = { 0, 900, 901 };
	const struct clip slow = { "slow.mp4", "libx264", "yuv420p", 160, 96, 3, 0, 25, times,
		NULL };
	open_clip(&f, &slow);
	f.round = 0;
	while (f.n_frames == 0) {
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	const int64_t before_ns = pc_clock_now_ns();
	close_source(&f);
	test_assert(pc_clock_now_ns() - before_ns < 8 * PC_NS_PER_S);
	test_assert(pc_loop_turn(f.loop, 0) >= 0);
	test_int(f.n_frames, 1);
	end(&f);

	for (unsigned i = 0; i < 10; i++) { /* at once, or from the callback of a frame */
		begin(&f);
		open_clip(&f, &short_clip);
		f.close_at = i;
		if (i == 0) {
			close_source(&f);
		}
		turn_until_closed(&f);
		test_assert(f.n_frames <= i || f.n_ended == 1);
		end(&f);
	}
	pc_source_close(NULL);
}

static void test_allocates_nothing_a_frame(void)
{
	struct fixture f;
	begin(&f);
	open_clip(&f, &short_clip);
	while (f.n_frames == 0) {
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	const uint64_t calls = fault_calls(FAULT_ALLOC);
	while (f.last_sequence < 15 && f.source != NULL) {
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	test_int(fault_calls(FAULT_ALLOC), calls);
	end(&f);
}

static unsigned n_warned;

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	n_warned += level == PC_LOG_WARN && strcmp(module, "source") == 0 &&
		    strstr(text, "does not decode, ignoring") != NULL;
}

static void test_damage_is_counted_and_said_once(void)
{
	struct fixture f;
	begin(&f);
	const struct clip clip = { "hole.mp4", "libx264", "yuv420p", 320, 180, 40, 0, 100, NULL,
		"faststart" };
	open_clip(&f, &clip); /* writes it */
	close_source(&f);
	char path[128];
	char source[160];
	snprintf(path, sizeof(path), "%s/hole.mp4", folder);
	snprintf(source, sizeof(source), "file:%s", path);
	struct stat st;
	test_int(stat(path, &st), 0);
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t noise[400];
	memset(noise, 0xff, sizeof(noise));
	test_int(pwrite(fd, noise, sizeof(noise), st.st_size / 2), sizeof(noise));
	close(fd);

	f.settings.loop = true;
	f.round = 0;
	f.frame_ns = 0;
	f.n_frames = 0;
	n_warned = 0;
	pc_log_set_hook(hear, NULL);
	test_int(open_source(&f, source), 0);
	while (f.n_frames == 0 || f.last_sequence < 100) { /* over three rounds */
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	close_source(&f);
	pc_log_set_hook(NULL, NULL);
	test_int(n_warned, 1);
	test_assert(pc_counter_get(&f.stats.frames_skipped_source) >= 2);
	end(&f);
}

static void refused(const char *source, int err, const char *sentence)
{
	struct fixture f;
	begin(&f);
	test_int(open_source(&f, source), err);
	test_str(f.why, sentence);
	test_assert(f.source == NULL);
	end(&f);
}

static void test_choice(void)
{
	demo_argument[0] = '\0';
	refused("demo:seed=7,speed=2", -ENODEV, "a stub");
	test_str(demo_argument, "seed=7,speed=2");
	refused("auto", -ENODEV, "a stub");
	test_str(demo_argument, "");
	refused("demo", -ENODEV, "a stub");
	test_str(pc_source_resolve("auto"), "demo");
	camera_is_there = true;
	test_str(pc_source_resolve("auto"), "v4l2");
	test_str(pc_source_resolve("demo:seed=3"), "demo:seed=3");
	camera_is_there = false;
	test_assert(!pc_source_draws("v4l2:/dev/video3") && !pc_source_draws("v4l2"));
	test_assert(pc_source_draws("demo") && pc_source_draws("file:x") && pc_source_draws("?"));
	refused("v4l2:/dev/video3", -ENODEV, "a stub");
	test_str(demo_argument, "/dev/video3");
	static const char *const unknown[] = { "", "http://127.0.0.1/x.mp4", "rtsp:x", "files:x",
		"fil:x", "auto:", "/x/y.mp4" };
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		char sentence[256];
		snprintf(sentence, sizeof(sentence),
			"source \"%s\" is of no known kind: use auto, v4l2, file:PATH or demo",
			unknown[i]);
		refused(unknown[i], -EINVAL, sentence);
	}
	refused("file", -EINVAL, "source \"file\" names no file: use file:PATH");
	refused("file:", -EINVAL, "source \"file:\" names no file: use file:PATH");
	refused("file:/nowhere/y.mp4", -ENOENT, "file /nowhere/y.mp4: no such file");
	refused("file:/", -EISDIR, "file /: is a directory");
}

static void test_names_are_made_printable(void)
{
	struct fixture f;
	begin(&f);
	/* A tab, Latin-1's e acute, UTF-8's, and more than there is room for. */
	const struct clip clip = {
		"a\tb\xe9\xc3\xa9_0123456789_0123456789_0123456789_0123456789.mp4", "libx264",
		"yuv420p", 160, 96, 1, 0, 25, NULL, NULL
	};
	open_clip(&f, &clip);
	const char *text = pc_source_info(f.source)->text;
	test_assert(strncmp(text, "file a?b?\xc3\xa9_0123456789_", 22) == 0);
	test_assert(strstr(text, ", 160x96 at 25") != NULL);
	end(&f);
}

static void test_every_failure(void)
{
	struct fixture f;
	begin(&f);
	open_clip(&f, &short_clip);
	close_source(&f);
	char source[160];
	snprintf(source, sizeof(source), "file:%s/short.mp4", folder);
	const enum fault_kind kinds[] = { FAULT_ALLOC, FAULT_OPEN };
	const int errors[] = { ENOMEM, EMFILE };
	for (int k = 0; k < 2; k++) {
		for (unsigned n = 1;; n++) {
			f.why[0] = '\0';
			fault_arm(kinds[k], n, errors[k]);
			const int r = open_source(&f, source);
			/* Its worker runs already, and allocates nothing. */
			const bool hit = fault_disarm();
			test_int(r, hit ? -errors[k] : 0);
			if (!hit) {
				test_assert(n > 5);
				close_source(&f);
				break;
			}
			test_assert(f.source == NULL && f.why[0] != '\0');
		}
	}
	end(&f);
}

static void clean_up(void)
{
	clip_remove_folder(folder);
}

int main(void)
{
	av_log_set_level(AV_LOG_QUIET);
	test_assert(mkdtemp(folder) != NULL);
	atexit(clean_up);
	TEST_RUN(test_plays_and_ends);
	TEST_RUN(test_loops_without_a_gap);
	TEST_RUN(test_late_consumer_is_skipped);
	TEST_RUN(test_no_free_buffer);
	TEST_RUN(test_close);
	TEST_RUN(test_allocates_nothing_a_frame);
	TEST_RUN(test_damage_is_counted_and_said_once);
	TEST_RUN(test_choice);
	TEST_RUN(test_names_are_made_printable);
	TEST_RUN(test_every_failure);
	return test_end();
}
