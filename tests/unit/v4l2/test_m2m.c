/* tests/unit/v4l2/test_m2m.c - the client of memory-to-memory devices, against the habits of the
 * Pi's. */
#include <drm_fourcc.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/v4l2/m2m_rig.h"

/* --- what should be --- */

static void test_encoder(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	test_int(pc_m2m_out_size(f.m2m), 1 << 20);
	test_int(pc_m2m_out_stride(f.m2m), 0);
	test_assert(fake_m2m.fps > 29.9 && fake_m2m.fps < 30.1);
	m2m_submit_some(&f, 40);
	m2m_expect_outputs(&f, 40);
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
	m2m_finish(&f);
}

static void test_single_plane_api(void)
{
	fake_m2m_reset(false);
	fake_m2m.single_plane = true;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 10);
	m2m_expect_outputs(&f, 10);
	m2m_finish(&f);
}

/* Four ioctls and one turn of the loop a frame, and nothing at all in between. */
static void test_calls_a_frame(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 8);
	const unsigned ioctls = fake_m2m.ioctls;
	const unsigned dispatches = fake_m2m.dispatches;
	const unsigned changes = fake_m2m.watch_changes;
	const uint64_t allocations = fault_calls(FAULT_ALLOC);
	m2m_submit_some(&f, 100);
	test_int(fault_calls(FAULT_ALLOC), allocations);
	test_int(fake_m2m.ioctls - ioctls, 400);
	test_int(fake_m2m.dispatches - dispatches, 100);
	test_int(fake_m2m.watch_changes - changes, 0);
	m2m_turn(&f);
	test_int(fake_m2m.dispatches - dispatches, 100);
	m2m_finish(&f);
}

/* poll() says POLLERR while nothing is queued: it must not be asked. */
static void test_idle_scaler_does_not_spin(void)
{
	fake_m2m_reset(true);
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_turn(&f);
	test_int(fake_m2m.dispatches, 0);
	m2m_submit_some(&f, 10);
	m2m_expect_outputs(&f, 10);
	const unsigned dispatches = fake_m2m.dispatches;
	test_assert(dispatches <= 10);
	m2m_turn(&f);
	test_int(fake_m2m.dispatches, dispatches);
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_int(stats.imports, 4 + 10); /* eight pictures take turns on six indices */
	m2m_finish(&f);
}

/* --- what the Pi's codec does --- */

static void test_aborted(void)
{
	fake_m2m_reset(false);
	fake_m2m.abort_every = 3;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 7); /* 2 and 5 are aborted, which 3 and 6 tell */
	test_int(f.n_log, 7);
	for (unsigned i = 0; i < 7; i++) {
		m2m_expect(&f, i, i % 3 == 2 ? ABORTED : OUTPUT, i);
	}
	test_int(pc_m2m_owed_ns(f.m2m), 0); /* none is owed */
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_int(stats.aborted, 2);
	m2m_finish(&f);
}

/* Takes all, gives all back, and nothing comes: no frame is owed, and yet it is noticed. */
static void test_silence(void)
{
	fake_m2m_reset(false);
	fake_m2m.abort_every = 1;
	struct m2m_rig f;
	m2m_begin(&f);
	const int64_t until_ns = pc_clock_now_ns() + 5 * PC_NS_PER_S;
	int64_t owed_ns = 0;
	while (owed_ns == 0 && pc_clock_now_ns() < until_ns) {
		(void)m2m_submit(&f);
		test_int(pc_loop_turn(f.loop, 5), 0);
		test_int(pc_loop_turn(f.loop, 5), 0);
		f.n_log = f.n_log > LOG_MAX / 2 ? 0 : f.n_log;
		owed_ns = pc_m2m_owed_ns(f.m2m);
	}
	test_assert(owed_ns > 0);
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_assert(stats.aborted > 0 && stats.outputs == 0);
	m2m_finish(&f);
}

static void test_stall(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 3);
	fake_m2m.stalled = true;
	m2m_submit_some(&f, 4);
	test_int(m2m_submit(&f), -EAGAIN); /* all four buffers are in the device */
	test_int(pc_m2m_in_device(f.m2m), 4);
	test_int(f.n_log, 3);
	const int64_t before_ns = pc_m2m_owed_ns(f.m2m);
	test_assert(before_ns > 0);
	const int64_t until_ns = pc_clock_now_ns() + 2 * PC_NS_PER_MS;
	while (pc_clock_now_ns() < until_ns) {
	}
	test_assert(pc_m2m_owed_ns(f.m2m) >= before_ns + 2 * PC_NS_PER_MS);
	m2m_finish(&f); /* gives all four back */
}

/* Packets come, and buffers do not come back: that is owed too. */
static void test_inputs_are_kept(void)
{
	fake_m2m_reset(false);
	fake_m2m.keeps_inputs = true;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 3);
	test_int(f.n_log, 3);
	test_int(pc_m2m_in_device(f.m2m), 3);
	test_assert(pc_m2m_owed_ns(f.m2m) > 0);
	m2m_finish(&f);
}

static void test_headers_alone(void)
{
	fake_m2m_reset(false);
	fake_m2m.headers_alone = 2;
	struct m2m_rig f;
	m2m_begin(&f);
	f.incomplete = true;
	fake_m2m.manual = true;
	test_int(m2m_submit(&f), 0);
	test_assert(fake_m2m_step());
	test_int(pc_loop_turn(f.loop, 0), 0); /* the input, and the headers */
	m2m_expect(&f, 0, OUTPUT, 0);
	f.incomplete = false;
	m2m_turn(&f);
	m2m_expect(&f, 1, OUTPUT, 0);
	test_assert(!f.log[0].key && f.log[1].key);
	fake_m2m.manual = false;
	fake_m2m.headers_unstamped = true;
	fake_m2m.gop = 2;
	m2m_submit_some(&f, 2);
	m2m_expect(&f, 2, OUTPUT, 1);
	m2m_expect(&f, 3, JUNK, 0);
	m2m_expect(&f, 4, OUTPUT, 2);
	test_int(f.n_log, 5);
	m2m_finish(&f);
}

static void test_junk_first(void)
{
	fake_m2m_reset(false);
	fake_m2m.junk_first = 2;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 3);
	m2m_expect(&f, 0, JUNK, 0);
	m2m_expect(&f, 1, JUNK, 0);
	m2m_expect(&f, 2, OUTPUT, 0);
	m2m_expect(&f, 4, OUTPUT, 2);
	test_int(f.n_log, 5);
	m2m_finish(&f);
}

/* Outputs that come when later inputs have come back are nobody else's, and not aborted. */
static void test_late_outputs(void)
{
	fake_m2m_reset(false);
	fake_m2m.late = 3;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 10);
	test_int(f.n_log, 7);
	for (unsigned i = 0; i < 7; i++) {
		m2m_expect(&f, i, OUTPUT, i);
	}
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	m2m_finish(&f);
}

static void test_errors_are_told(void)
{
	fake_m2m_reset(false);
	fake_m2m.error_every = 2;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 1);
	f.incomplete = true; /* an error ends its input all the same */
	m2m_submit_some(&f, 1);
	test_assert(!f.log[0].error && f.log[1].error);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	m2m_finish(&f);
}

/* --- drain --- */

static void test_drain(void)
{
	fake_m2m_reset(false);
	fake_m2m.late = 2;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 5);
	test_int(f.n_log, 3);
	test_int(pc_m2m_drain(f.m2m), 0);
	test_int(pc_m2m_drain(f.m2m), -EPIPE);
	test_int(m2m_submit(&f), -EPIPE);
	m2m_turn(&f);
	test_int(f.n_log, 6);
	m2m_expect(&f, 4, OUTPUT, 4);
	m2m_expect(&f, 5, LAST, 0);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	const unsigned dispatches = fake_m2m.dispatches;
	m2m_turn(&f); /* poll() says POLLIN for ever now */
	test_int(fake_m2m.dispatches, dispatches);
	m2m_finish(&f);
}

static void test_drain_gives_up_the_aborted(void)
{
	fake_m2m_reset(false);
	fake_m2m.abort_every = 2;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 2);
	test_int(f.n_log, 1);
	test_int(pc_m2m_drain(f.m2m), 0);
	m2m_turn(&f);
	m2m_expect(&f, 1, ABORTED, 1);
	m2m_expect(&f, 2, LAST, 0);
	m2m_finish(&f);
}

static void test_drain_that_never_ends(void)
{
	fake_m2m_reset(false);
	fake_m2m.drains_never = true;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 2);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	test_int(pc_m2m_drain(f.m2m), 0);
	m2m_turn(&f);
	test_int(f.n_log, 2);
	test_assert(pc_m2m_owed_ns(f.m2m) > 0);
	m2m_finish(&f);
	fake_m2m_reset(true);
	m2m_begin(&f);
	test_int(pc_m2m_drain(f.m2m), -ENOTSUP);
	m2m_finish(&f);
}

static int tamper_last_is_epipe(unsigned long request, void *arg, int r)
{
	struct v4l2_buffer *buffer = arg;
	if (request == VIDIOC_DQBUF && r == 0 && (buffer->flags & V4L2_BUF_FLAG_LAST) != 0) {
		return -EPIPE; /* as when it had been taken already */
	}
	return r;
}

static void test_epipe_is_an_end(void)
{
	fake_m2m_reset(false);
	fake_m2m.tamper = tamper_last_is_epipe;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 2);
	test_int(pc_m2m_drain(f.m2m), 0);
	m2m_turn(&f);
	m2m_expect(&f, 2, LAST, 0);
	test_int(f.n_log, 3);
	m2m_finish(&f);
}

/* --- pictures out by dma-buf --- */

static void test_scaler_aborted_picture_is_used_again(void)
{
	fake_m2m_reset(true);
	fake_m2m.abort_every = 2;
	struct m2m_rig f;
	m2m_begin(&f);
	test_int(pc_m2m_out_stride(f.m2m), 3 * 64);
	m2m_submit_some(&f, 20);
	test_assert(fake_m2m.out_queued <= 2); /* they do not pile up */
	unsigned outputs = 0;
	for (unsigned i = 0; i < f.n_log; i++) {
		outputs += f.log[i].what == OUTPUT ? 1 : 0;
	}
	test_int(outputs, 10);
	m2m_finish(&f);
}

/* --- fences --- */

static void test_fence(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	const int fence = eventfd(0, EFD_CLOEXEC);
	test_int(m2m_submit_frame(&f, f.frames[0], fence), 0);
	m2m_turn(&f);
	test_int(f.n_log, 1);
	test_int(f.frames[0]->returns, 0); /* the device is done, the GPU is not */
	test_int(eventfd_write(fence, 1), 0);
	m2m_turn(&f);
	test_int(f.frames[0]->returns, 1);
	test_int(write(fence, "", 1), -1); /* it was closed */
	/* One that has signalled already, and one that is left at the end. */
	test_int(m2m_submit_frame(&f, f.frames[1], eventfd(1, EFD_CLOEXEC)), 0);
	m2m_turn(&f);
	test_int(f.frames[1]->returns, 1);
	fake_m2m.stalled = true;
	test_int(m2m_submit_frame(&f, f.frames[2], eventfd(1, EFD_CLOEXEC)), 0);
	m2m_finish(&f);
	test_int(eventfd_write(fence, 1), -1);
}

int main(void)
{
	TEST_RUN(test_encoder);
	TEST_RUN(test_single_plane_api);
	TEST_RUN(test_calls_a_frame);
	TEST_RUN(test_idle_scaler_does_not_spin);
	TEST_RUN(test_aborted);
	TEST_RUN(test_silence);
	TEST_RUN(test_stall);
	TEST_RUN(test_inputs_are_kept);
	TEST_RUN(test_headers_alone);
	TEST_RUN(test_junk_first);
	TEST_RUN(test_late_outputs);
	TEST_RUN(test_errors_are_told);
	TEST_RUN(test_drain);
	TEST_RUN(test_drain_gives_up_the_aborted);
	TEST_RUN(test_drain_that_never_ends);
	TEST_RUN(test_epipe_is_an_end);
	TEST_RUN(test_scaler_aborted_picture_is_used_again);
	TEST_RUN(test_fence);
	return test_end();
}
