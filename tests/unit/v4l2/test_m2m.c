/* tests/unit/v4l2/test_m2m.c - the client of memory-to-memory devices, against one that
 * misbehaves. */
#include <drm_fourcc.h>
#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/support/fake_m2m.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "v4l2/m2m.h"

#define W 320u
#define H 240u
#define N_FRAMES 8
#define LOG_MAX 512

enum what {
	OUTPUT,
	JUNK,
	LAST,
	ABORTED,
	FAILED,
};

struct entry {
	enum what what;
	uint64_t sequence;
	size_t size;
	bool key, error;
	int err;
};

struct fixture {
	struct pc_loop *loop;
	struct pc_m2m_config config;
	struct pc_m2m *m2m;
	struct fake_frame *frames[N_FRAMES];
	struct fake_frame *outs[N_FRAMES];
	unsigned n_out;
	unsigned next; /* the next frame's sequence, from 0 */
	struct entry log[LOG_MAX];
	unsigned n_log;
	bool close_inside;
	bool incomplete; /* output() says that more is to come */
};

static struct entry *add_entry(struct fixture *f, enum what what)
{
	test_assert(f->n_log < LOG_MAX);
	f->log[f->n_log] = (struct entry){ .what = what };
	return &f->log[f->n_log++];
}

static void close_if_told(struct fixture *f)
{
	if (f->close_inside) {
		pc_m2m_close(f->m2m);
		f->m2m = NULL;
	}
}

static bool on_output(void *data, const struct pc_m2m_output *output)
{
	struct fixture *f = data;
	struct entry *entry = add_entry(f, output->last		   ? LAST
					   : output->input == NULL ? JUNK
								   : OUTPUT);
	entry->sequence = output->input != NULL ? output->input->sequence : 0;
	entry->size = output->size;
	entry->key = output->key;
	entry->error = output->error;
	test_assert(output->size <= output->capacity);
	if (output->input != NULL) {
		test_int(output->input->capture_ns, 1000 + (int64_t)output->input->sequence);
		test_assert(output->input->submit_ns > 0);
	}
	const bool done = !f->incomplete;
	close_if_told(f);
	return done;
}

static void on_aborted(void *data, const struct pc_m2m_input *input)
{
	struct fixture *f = data;
	add_entry(f, ABORTED)->sequence = input->sequence;
	close_if_told(f);
}

static void on_failed(void *data, int err, const char *what)
{
	struct fixture *f = data;
	add_entry(f, FAILED)->err = err;
	test_assert(what[0] != '\0');
	close_if_told(f);
}

static const struct pc_m2m_events events = {
	.output = on_output,
	.aborted = on_aborted,
	.failed = on_failed,
};

static const struct pc_frame_format format = { DRM_FORMAT_YUV420, W, H, 0 };
static const struct pc_frame_format small_format = { DRM_FORMAT_BGR888, 64, 48, 0 };

/* Everything but the device, which fake_m2m_reset() has made. */
static void prepare(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	for (unsigned i = 0; i < N_FRAMES; i++) {
		f->frames[i] = fake_frame_create(&format, W);
		f->outs[i] = fake_frame_create(&small_format, 3 * 64);
	}
	f->config = (struct pc_m2m_config){
		.path = FAKE_M2M_PATH,
		.in = format,
		.n_in_planes = 3,
		.in_size = f->frames[0]->size,
		.fps = 30,
		.in_buffers = 4,
		.out_pixelformat = fake_m2m.scaler ? V4L2_PIX_FMT_RGB24 : V4L2_PIX_FMT_H264,
		.out_width = fake_m2m.scaler ? 64 : W,
		.out_height = fake_m2m.scaler ? 48 : H,
		.out_size = fake_m2m.scaler ? 0 : 1 << 20,
		.out_buffers = 6,
		.out_dmabuf = fake_m2m.scaler,
	};
	memcpy(f->config.in_planes, f->frames[0]->base.planes, sizeof(f->config.in_planes));
}

static int try_open(struct fixture *f, char why[static 256])
{
	why[0] = '\0';
	return pc_m2m_open(f->loop, &f->config, &events, f, why, 256, &f->m2m);
}

static void begin(struct fixture *f)
{
	prepare(f);
	char why[256];
	const int r = try_open(f, why);
	test_str(why, "");
	test_int(r, 0);
	test_str(pc_m2m_name(f->m2m), FAKE_M2M_PATH " (fake)");
}

static void finish_fixture(struct fixture *f)
{
	pc_m2m_close(f->m2m);
	f->m2m = NULL;
	for (unsigned i = 0; i < N_FRAMES; i++) {
		fake_frame_free(f->frames[i]); /* asserts that nobody holds it */
		fake_frame_free(f->outs[i]);
	}
	pc_loop_destroy(f->loop);
	test_int(fake_m2m.closes, fake_m2m.opens);
	test_int(fake_m2m.unmaps, fake_m2m.maps);
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 20; i++) {
		test_int(pc_loop_turn(f->loop, 0), 0);
	}
}

static int submit_frame(struct fixture *f, struct fake_frame *frame, int fence_fd)
{
	frame->base.sequence = f->next;
	frame->base.capture_ns = 1000 + (int64_t)f->next;
	struct fake_frame *out = NULL;
	if (pc_m2m_wants_out(f->m2m)) {
		out = f->outs[f->n_out++ % N_FRAMES];
		pc_frame_publish(&out->base);
	}
	pc_frame_publish(&frame->base);
	const int r =
		pc_m2m_submit(f->m2m, &frame->base, out != NULL ? &out->base : NULL, fence_fd);
	pc_frame_unref(&frame->base);
	if (out != NULL) {
		pc_frame_unref(&out->base);
	}
	f->next += r == 0 ? 1 : 0;
	return r;
}

/* The next of four frames, as a camera's four buffers come round. */
static int submit(struct fixture *f)
{
	return submit_frame(f, f->frames[f->next % 4], -1);
}

static void submit_some(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_int(submit(f), 0);
		turn(f);
	}
}

static void expect(struct fixture *f, unsigned at, enum what what, uint64_t sequence)
{
	test_assert(at < f->n_log);
	test_int(f->log[at].what, what);
	test_int(f->log[at].sequence, sequence);
}

static void expect_outputs(struct fixture *f, unsigned n)
{
	test_int(f->n_log, n);
	for (unsigned i = 0; i < n; i++) {
		expect(f, i, OUTPUT, i);
	}
}

/* --- what should be --- */

static void test_encoder(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	test_int(pc_m2m_out_size(f.m2m), 1 << 20);
	test_int(pc_m2m_out_stride(f.m2m), 0);
	test_assert(fake_m2m.fps > 29.9 && fake_m2m.fps < 30.1);
	submit_some(&f, 40);
	expect_outputs(&f, 40);
	test_assert(f.log[0].key && !f.log[1].key && f.log[0].size > 1000);
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_int(stats.imports, 4);
	test_int(fake_m2m.imports, 4);
	test_int(stats.submitted, 40);
	test_int(stats.outputs, 40);
	test_int(stats.aborted + stats.junk + stats.errors, 0);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	for (unsigned i = 0; i < 4; i++) {
		test_int(f.frames[i]->returns, 10);
	}
	finish_fixture(&f);
}

static void test_single_plane_api(void)
{
	fake_m2m_reset(false);
	fake_m2m.single_plane = true;
	struct fixture f;
	begin(&f);
	submit_some(&f, 10);
	expect_outputs(&f, 10);
	finish_fixture(&f);
}

/* Four ioctls and one turn of the loop a frame, and nothing at all in between. */
static void test_calls_a_frame(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	submit_some(&f, 8);
	const unsigned ioctls = fake_m2m.ioctls;
	const unsigned dispatches = fake_m2m.dispatches;
	const unsigned changes = fake_m2m.watch_changes;
	const uint64_t allocations = fault_calls(FAULT_ALLOC);
	submit_some(&f, 100);
	test_int(fault_calls(FAULT_ALLOC), allocations);
	test_int(fake_m2m.ioctls - ioctls, 400);
	test_int(fake_m2m.dispatches - dispatches, 100);
	test_int(fake_m2m.watch_changes - changes, 0);
	turn(&f);
	test_int(fake_m2m.dispatches - dispatches, 100);
	finish_fixture(&f);
}

/* poll() says POLLERR while nothing is queued: it must not be asked. */
static void test_idle_scaler_does_not_spin(void)
{
	fake_m2m_reset(true);
	struct fixture f;
	begin(&f);
	turn(&f);
	test_int(fake_m2m.dispatches, 0);
	submit_some(&f, 10);
	expect_outputs(&f, 10);
	const unsigned dispatches = fake_m2m.dispatches;
	test_assert(dispatches <= 10);
	turn(&f);
	test_int(fake_m2m.dispatches, dispatches);
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_int(stats.imports, 4 + 10); /* eight pictures take turns on six indices */
	finish_fixture(&f);
}

int main(void)
{
	TEST_RUN(test_encoder);
	TEST_RUN(test_single_plane_api);
	TEST_RUN(test_calls_a_frame);
	TEST_RUN(test_idle_scaler_does_not_spin);
	return test_end();
}
