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

/* A reference, also where the device still has the frame. */
static void hold(struct fake_frame *frame)
{
	if (atomic_load(&frame->base.refs) == 0) {
		pc_frame_publish(&frame->base);
	} else {
		pc_frame_ref(&frame->base);
	}
}

static int submit_frame(struct fixture *f, struct fake_frame *frame, int fence_fd)
{
	frame->base.sequence = f->next;
	frame->base.capture_ns = 1000 + (int64_t)f->next;
	struct fake_frame *out = NULL;
	if (pc_m2m_wants_out(f->m2m)) {
		out = f->outs[f->n_out++ % N_FRAMES];
		hold(out);
	}
	hold(frame);
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

/* --- what the Pi's codec does --- */

static void test_aborted(void)
{
	fake_m2m_reset(false);
	fake_m2m.abort_every = 3;
	struct fixture f;
	begin(&f);
	submit_some(&f, 7); /* 2 and 5 are aborted, which 3 and 6 tell */
	test_int(f.n_log, 7);
	for (unsigned i = 0; i < 7; i++) {
		expect(&f, i, i % 3 == 2 ? ABORTED : OUTPUT, i);
	}
	test_int(pc_m2m_owed_ns(f.m2m), 0); /* none is owed */
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_int(stats.aborted, 2);
	finish_fixture(&f);
}

/* Takes all, gives all back, and nothing comes: no frame is owed, and yet it is noticed. */
static void test_silence(void)
{
	fake_m2m_reset(false);
	fake_m2m.abort_every = 1;
	struct fixture f;
	begin(&f);
	const int64_t until_ns = pc_clock_now_ns() + 5 * PC_NS_PER_S;
	int64_t owed_ns = 0;
	while (owed_ns == 0 && pc_clock_now_ns() < until_ns) {
		(void)submit(&f);
		test_int(pc_loop_turn(f.loop, 5), 0);
		test_int(pc_loop_turn(f.loop, 5), 0);
		f.n_log = f.n_log > LOG_MAX / 2 ? 0 : f.n_log;
		owed_ns = pc_m2m_owed_ns(f.m2m);
	}
	test_assert(owed_ns > 0);
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(f.m2m, &stats);
	test_assert(stats.aborted > 0 && stats.outputs == 0);
	finish_fixture(&f);
}

static void test_stall(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	submit_some(&f, 3);
	fake_m2m.stalled = true;
	submit_some(&f, 4);
	test_int(submit(&f), -EAGAIN); /* all four buffers are in the device */
	test_int(pc_m2m_in_device(f.m2m), 4);
	test_int(f.n_log, 3);
	const int64_t before_ns = pc_m2m_owed_ns(f.m2m);
	test_assert(before_ns > 0);
	const int64_t until_ns = pc_clock_now_ns() + 2 * PC_NS_PER_MS;
	while (pc_clock_now_ns() < until_ns) {
	}
	test_assert(pc_m2m_owed_ns(f.m2m) >= before_ns + 2 * PC_NS_PER_MS);
	finish_fixture(&f); /* gives all four back */
}

/* Packets come, and buffers do not come back: that is owed too. */
static void test_inputs_are_kept(void)
{
	fake_m2m_reset(false);
	fake_m2m.keeps_inputs = true;
	struct fixture f;
	begin(&f);
	submit_some(&f, 3);
	test_int(f.n_log, 3);
	test_int(pc_m2m_in_device(f.m2m), 3);
	test_assert(pc_m2m_owed_ns(f.m2m) > 0);
	finish_fixture(&f);
}

static void test_headers_alone(void)
{
	fake_m2m_reset(false);
	fake_m2m.headers_alone = 2;
	struct fixture f;
	begin(&f);
	f.incomplete = true;
	fake_m2m.manual = true;
	test_int(submit(&f), 0);
	test_assert(fake_m2m_step());
	test_int(pc_loop_turn(f.loop, 0), 0); /* the input, and the headers */
	expect(&f, 0, OUTPUT, 0);
	f.incomplete = false;
	turn(&f);
	expect(&f, 1, OUTPUT, 0);
	test_assert(!f.log[0].key && f.log[1].key);
	fake_m2m.manual = false;
	fake_m2m.headers_unstamped = true;
	fake_m2m.gop = 2;
	submit_some(&f, 2);
	expect(&f, 2, OUTPUT, 1);
	expect(&f, 3, JUNK, 0);
	expect(&f, 4, OUTPUT, 2);
	test_int(f.n_log, 5);
	finish_fixture(&f);
}

static void test_junk_first(void)
{
	fake_m2m_reset(false);
	fake_m2m.junk_first = 2;
	struct fixture f;
	begin(&f);
	submit_some(&f, 3);
	expect(&f, 0, JUNK, 0);
	expect(&f, 1, JUNK, 0);
	expect(&f, 2, OUTPUT, 0);
	expect(&f, 4, OUTPUT, 2);
	test_int(f.n_log, 5);
	finish_fixture(&f);
}

/* Outputs that come when later inputs have come back are nobody else's, and not aborted. */
static void test_late_outputs(void)
{
	fake_m2m_reset(false);
	fake_m2m.late = 3;
	struct fixture f;
	begin(&f);
	submit_some(&f, 10);
	test_int(f.n_log, 7);
	for (unsigned i = 0; i < 7; i++) {
		expect(&f, i, OUTPUT, i);
	}
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	finish_fixture(&f);
}

static void test_errors_are_told(void)
{
	fake_m2m_reset(false);
	fake_m2m.error_every = 2;
	struct fixture f;
	begin(&f);
	submit_some(&f, 1);
	f.incomplete = true; /* an error ends its input all the same */
	submit_some(&f, 1);
	test_assert(!f.log[0].error && f.log[1].error);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	finish_fixture(&f);
}

/* --- drain --- */

static void test_drain(void)
{
	fake_m2m_reset(false);
	fake_m2m.late = 2;
	struct fixture f;
	begin(&f);
	submit_some(&f, 5);
	test_int(f.n_log, 3);
	test_int(pc_m2m_drain(f.m2m), 0);
	test_int(pc_m2m_drain(f.m2m), -EPIPE);
	test_int(submit(&f), -EPIPE);
	turn(&f);
	test_int(f.n_log, 6);
	expect(&f, 4, OUTPUT, 4);
	expect(&f, 5, LAST, 0);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	const unsigned dispatches = fake_m2m.dispatches;
	turn(&f); /* poll() says POLLIN for ever now */
	test_int(fake_m2m.dispatches, dispatches);
	finish_fixture(&f);
}

static void test_drain_gives_up_the_aborted(void)
{
	fake_m2m_reset(false);
	fake_m2m.abort_every = 2;
	struct fixture f;
	begin(&f);
	submit_some(&f, 2);
	test_int(f.n_log, 1);
	test_int(pc_m2m_drain(f.m2m), 0);
	turn(&f);
	expect(&f, 1, ABORTED, 1);
	expect(&f, 2, LAST, 0);
	finish_fixture(&f);
}

static void test_drain_that_never_ends(void)
{
	fake_m2m_reset(false);
	fake_m2m.drains_never = true;
	struct fixture f;
	begin(&f);
	submit_some(&f, 2);
	test_int(pc_m2m_owed_ns(f.m2m), 0);
	test_int(pc_m2m_drain(f.m2m), 0);
	turn(&f);
	test_int(f.n_log, 2);
	test_assert(pc_m2m_owed_ns(f.m2m) > 0);
	finish_fixture(&f);
	fake_m2m_reset(true);
	begin(&f);
	test_int(pc_m2m_drain(f.m2m), -ENOTSUP);
	finish_fixture(&f);
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
	struct fixture f;
	begin(&f);
	submit_some(&f, 2);
	test_int(pc_m2m_drain(f.m2m), 0);
	turn(&f);
	expect(&f, 2, LAST, 0);
	test_int(f.n_log, 3);
	finish_fixture(&f);
}

/* --- pictures out by dma-buf --- */

static void test_scaler_aborted_picture_is_used_again(void)
{
	fake_m2m_reset(true);
	fake_m2m.abort_every = 2;
	struct fixture f;
	begin(&f);
	test_int(pc_m2m_out_stride(f.m2m), 3 * 64);
	submit_some(&f, 20);
	test_assert(fake_m2m.out_queued <= 2); /* they do not pile up */
	unsigned outputs = 0;
	for (unsigned i = 0; i < f.n_log; i++) {
		outputs += f.log[i].what == OUTPUT ? 1 : 0;
	}
	test_int(outputs, 10);
	finish_fixture(&f);
}

/* --- fences --- */

static void test_fence(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	const int fence = eventfd(0, EFD_CLOEXEC);
	test_int(submit_frame(&f, f.frames[0], fence), 0);
	turn(&f);
	test_int(f.n_log, 1);
	test_int(f.frames[0]->returns, 0); /* the device is done, the GPU is not */
	test_int(eventfd_write(fence, 1), 0);
	turn(&f);
	test_int(f.frames[0]->returns, 1);
	test_int(write(fence, "", 1), -1); /* it was closed */
	/* One that has signalled already, and one that is left at the end. */
	test_int(submit_frame(&f, f.frames[1], eventfd(1, EFD_CLOEXEC)), 0);
	turn(&f);
	test_int(f.frames[1]->returns, 1);
	fake_m2m.stalled = true;
	test_int(submit_frame(&f, f.frames[2], eventfd(1, EFD_CLOEXEC)), 0);
	finish_fixture(&f);
	test_int(eventfd_write(fence, 1), -1);
}

/* --- refusals --- */

static void expect_refusal(struct fixture *f, int err, const char *text)
{
	char why[256];
	test_int(try_open(f, why), err);
	f->m2m = NULL;
	if (strstr(why, text) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", why, text);
	}
	finish_fixture(f);
}

static void test_refusals(void)
{
	struct fixture f;
	fake_m2m_reset(false);
	fake_m2m.stride_align = 256;
	prepare(&f);
	expect_refusal(&f, -EINVAL, "wants lines of 512 bytes, the frames have 320");
	fake_m2m_reset(false);
	fake_m2m.extra_size = 4096;
	prepare(&f);
	expect_refusal(&f, -EMSGSIZE, "wants buffers of 119296 bytes, the frames' have 115200");
	fake_m2m_reset(false);
	fake_m2m.width_max = 256;
	prepare(&f);
	expect_refusal(&f, -EINVAL, "no 320x240 (it offers 256x240)");
	fake_m2m_reset(false);
	fake_m2m.formats[0] = V4L2_PIX_FMT_NV12;
	prepare(&f);
	expect_refusal(&f, -EINVAL, "takes no YU12 (it offers NV12)");
	fake_m2m_reset(false);
	fake_m2m.no_dmabuf = true;
	prepare(&f);
	expect_refusal(&f, -ENOTSUP, "takes no dma-bufs");
	fake_m2m_reset(false);
	fake_m2m.buffers_max = 0;
	prepare(&f);
	expect_refusal(&f, -ENOMEM, "no memory for 4 buffers");
	fake_m2m_reset(false);
	prepare(&f);
	f.config.in_planes[1].offset += 64;
	expect_refusal(&f, -EINVAL, "wants plane 1 at byte 76800");
	fake_m2m_reset(false);
	prepare(&f);
	f.config.controls[f.config.n_controls++] = (struct pc_m2m_control){
		.id = V4L2_CID_MPEG_VIDEO_BITRATE,
		.value = 1,
	};
	fake_m2m.lacks[0] = V4L2_CID_MPEG_VIDEO_BITRATE;
	f.config.controls[0].required = true;
	expect_refusal(&f, -EINVAL, "control 0x9909cf does not take 1");
	fake_m2m_reset(true);
	prepare(&f);
	f.config.out_pixelformat = V4L2_PIX_FMT_H264;
	expect_refusal(&f, -EINVAL, "gives no H264 (it offers RGB3)");
	fake_m2m_reset(false);
	prepare(&f);
	f.config.path = "/dev/video77";
	expect_refusal(&f, -ENOENT, "/dev/video77: ");
}

static void test_submit_refusals(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	fake_m2m.refuse = -EFAULT;
	test_int(submit(&f), -EFAULT); /* memory that is not contiguous */
	test_int(f.frames[0]->returns, 1);
	fake_m2m.refuse = 0;
	struct pc_frame_plane *plane = &f.frames[0]->base.planes[2];
	plane->offset += 4;
	test_int(submit(&f), -EINVAL);
	plane->offset -= 4;
	f.frames[0]->base.caps = PC_FRAME_CPU;
	test_int(submit(&f), -EINVAL);
	f.frames[0]->base.caps = PC_FRAME_DMABUF;
	submit_some(&f, 4);
	expect_outputs(&f, 4);
	finish_fixture(&f);
}

static void test_fewer_buffers(void)
{
	fake_m2m_reset(false);
	fake_m2m.buffers_max = 3;
	struct fixture f;
	begin(&f);
	submit_some(&f, 12);
	expect_outputs(&f, 12);
	finish_fixture(&f);
}

/* --- the end of it --- */

static void test_unplugged(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	fake_m2m.stalled = true;
	submit_some(&f, 2);
	fake_m2m.gone = true;
	fake_m2m_poke();
	turn(&f);
	test_int(f.n_log, 1);
	test_int(f.log[0].what, FAILED);
	test_int(f.log[0].err, -ENODEV);
	test_int(submit(&f), -EPIPE);
	const unsigned dispatches = fake_m2m.dispatches;
	turn(&f);
	test_int(fake_m2m.dispatches, dispatches);
	finish_fixture(&f);
}

static void test_close_inside(void)
{
	for (unsigned kind = 0; kind < 3; kind++) {
		fake_m2m_reset(kind == 1);
		struct fixture f;
		begin(&f);
		f.close_inside = true;
		fake_m2m.abort_every = kind == 2 ? 2 : 0;
		test_int(submit(&f), 0);
		if (kind == 2) { /* closed by the first's output */
			f.close_inside = false;
			turn(&f);
			test_int(submit(&f), 0);
			turn(&f);
			f.close_inside = true;
			test_int(submit(&f), 0);
		}
		turn(&f);
		test_assert(f.m2m == NULL);
		test_int(f.n_log, kind == 2 ? 2 : 1);
		finish_fixture(&f);
	}
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	f.close_inside = true;
	fake_m2m.gone = true;
	fake_m2m_poke();
	turn(&f);
	test_int(f.n_log, 1);
	test_assert(f.m2m == NULL);
	finish_fixture(&f);
}

/* Any call of the device's may fail, at any time: it is told once, and nothing is left. */
static void test_every_call(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(n % 2 == 0);
		/* Both kinds to the end of the longer one. */
		static bool done[2];
		struct fixture f;
		prepare(&f);
		fake_m2m.fail_at = n / 2 + 1;
		fake_m2m.fail_errno = EIO;
		char why[256];
		if (try_open(&f, why) == 0) {
			for (unsigned i = 0; i < 6; i++) {
				(void)submit(&f);
				turn(&f);
			}
			(void)pc_m2m_drain(f.m2m);
			turn(&f);
		} else {
			test_assert(why[0] != '\0');
			f.m2m = NULL;
		}
		unsigned failures = 0;
		for (unsigned i = 0; i < f.n_log; i++) {
			failures += f.log[i].what == FAILED ? 1 : 0;
		}
		test_assert(failures <= 1);
		finish_fixture(&f);
		done[n % 2] |= !fake_m2m.failed;
		if (done[0] && done[1]) {
			test_assert(n > 60);
			break;
		}
	}
}

static void test_every_allocation(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(true);
		struct fixture f;
		prepare(&f);
		char why[256];
		fake_m2m.manual = true; /* the fake's own allocations are not meant */
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = try_open(&f, why);
		const bool hit = fault_disarm();
		f.m2m = r == 0 ? f.m2m : NULL;
		test_assert(r == 0 || r == -ENOMEM);
		finish_fixture(&f);
		if (!hit) {
			test_assert(n > 4);
			break;
		}
	}
}

static void test_rounds(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	prepare(&f);
	for (unsigned i = 0; i < 200; i++) {
		char why[256];
		test_int(try_open(&f, why), 0);
		fake_m2m.stalled = i % 3 == 1;
		submit_some(&f, i % 4);
		pc_m2m_close(f.m2m);
		f.m2m = NULL;
		f.n_log = 0;
		for (unsigned j = 0; j < 4; j++) {
			test_assert(f.frames[j]->base.imports == NULL);
		}
	}
	finish_fixture(&f);
}

/* --- buffers that die --- */

/* More buffers than indices, some of which are freed meanwhile. */
static void test_buffers_come_and_go(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	for (unsigned i = 0; i < 40; i++) {
		const unsigned at = (i * 5) % N_FRAMES;
		test_int(submit_frame(&f, f.frames[at], -1), 0);
		turn(&f);
		if (i % 3 == 0) {
			fake_frame_free(f.frames[at]);
			f.frames[at] = fake_frame_create(&format, W);
		}
	}
	expect_outputs(&f, 40);
	finish_fixture(&f);
}

static void *free_frames(void *data)
{
	struct fake_frame **frames = data;
	for (unsigned i = 0; i < 4; i++) {
		fake_frame_free(frames[i]);
	}
	return NULL;
}

/* Buffers that another thread frees while the device closes, or takes others in their place. */
static void test_freed_by_another_thread(void)
{
	for (unsigned round = 0; round < 60; round++) {
		fake_m2m_reset(false);
		struct fixture f;
		begin(&f);
		submit_some(&f, 4);
		pthread_t thread;
		test_int(pthread_create(&thread, NULL, free_frames, f.frames), 0);
		if (round % 2 == 0) {
			pc_m2m_close(f.m2m);
			f.m2m = NULL;
		} else {
			for (unsigned i = 4; i < N_FRAMES; i++) {
				(void)submit_frame(&f, f.frames[i], -1);
				turn(&f);
			}
		}
		test_int(pthread_join(thread, NULL), 0);
		for (unsigned i = 0; i < 4; i++) {
			f.frames[i] = fake_frame_create(&format, W);
		}
		finish_fixture(&f);
	}
}

/* --- controls and formats --- */

static void test_controls(void)
{
	fake_m2m_reset(false);
	fake_m2m.lacks[0] = V4L2_CID_MPEG_VIDEO_B_FRAMES;
	struct fixture f;
	prepare(&f);
	f.config.controls[f.config.n_controls++] = (struct pc_m2m_control){
		.id = V4L2_CID_MPEG_VIDEO_B_FRAMES,
	};
	f.config.controls[f.config.n_controls++] = (struct pc_m2m_control){
		.id = V4L2_CID_MPEG_VIDEO_BITRATE,
		.value = 4000000,
		.required = true,
	};
	char why[256];
	test_int(try_open(&f, why), 0); /* what it lacks and need not have is passed over */
	test_int(fake_m2m.bitrate, 4000000);
	test_int(pc_m2m_set_control(f.m2m, V4L2_CID_MPEG_VIDEO_BITRATE, 500000), 0);
	test_int(fake_m2m.bitrate, 500000);
	test_int(pc_m2m_set_control(f.m2m, V4L2_CID_MPEG_VIDEO_B_FRAMES, 1), -EINVAL);
	submit_some(&f, 2);
	test_int(pc_m2m_set_control(f.m2m, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1), 0);
	submit_some(&f, 2);
	test_assert(f.log[0].key && !f.log[1].key && f.log[2].key && !f.log[3].key);
	finish_fixture(&f);
}

static int tamper_one_stride(unsigned long request, void *arg, int r)
{
	struct v4l2_format *got = arg;
	if (request == VIDIOC_TRY_FMT && r == 0) { /* a driver that knows one stride only */
		got->fmt.pix_mp.plane_fmt[0].bytesperline =
			got->fmt.pix_mp.pixelformat == V4L2_PIX_FMT_YUYV ? 768 : 384;
	}
	return r;
}

static void test_input_formats(void)
{
	fake_m2m_reset(false);
	fake_m2m.stride_align = 32;
	struct pc_v4l2_node node;
	test_int(pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &node), 0);
	struct pc_m2m_input_format formats[8];
	test_int(pc_m2m_input_formats(&node, W, H, formats, 8), 3);
	test_int(formats[0].fourcc, DRM_FORMAT_YUV420);
	test_int(formats[0].stride_align, 32);
	test_int(formats[1].fourcc, DRM_FORMAT_NV12);
	test_int(formats[2].fourcc, DRM_FORMAT_YUYV);
	test_int(pc_m2m_input_formats(&node, W, H, formats, 2), 2);
	test_int(pc_m2m_input_formats(&node, 2048, H, formats, 8), 0); /* wider than it can */
	fake_m2m.tamper = tamper_one_stride;
	test_int(pc_m2m_input_formats(&node, W, H, formats, 8), 3);
	test_int(formats[0].stride_align, 128); /* 320 to 384, and no other */
	fake_m2m.tamper = NULL;
	fake_m2m.gone = true;
	test_int(pc_m2m_input_formats(&node, W, H, formats, 8), -ENODEV);
	test_int(fake_m2m.opens, fake_m2m.closes);
}

/* --- what no driver should say --- */

static struct {
	unsigned at; /* this DQBUF */
	unsigned n;
	unsigned how;
} lie;

static int tamper_lie(unsigned long request, void *arg, int r)
{
	struct v4l2_buffer *buffer = arg;
	if (request != VIDIOC_DQBUF || r < 0 || lie.n++ != lie.at) {
		return r;
	}
	switch (lie.how) {
	case 0:
		buffer->index = 1000;
		break;
	case 1:
		buffer->index ^= 1; /* another's, or one that it does not have */
		break;
	case 2:
		buffer->m.planes[0].bytesused = UINT32_MAX;
		break;
	case 3:
		buffer->m.planes[0].data_offset = 2 << 20;
		break;
	case 4:
		buffer->timestamp = (struct timeval){ -1, -1 };
		break;
	default:
		buffer->timestamp = (struct timeval){ INT64_MAX, INT64_MAX };
		break;
	}
	return r;
}

static void test_lies(void)
{
	for (lie.how = 0; lie.how < 6; lie.how++) {
		for (lie.at = 0; lie.at < 6; lie.at++) {
			lie.n = 0;
			fake_m2m_reset(false);
			fake_m2m.tamper = tamper_lie;
			struct fixture f;
			begin(&f);
			for (unsigned i = 0; i < 5; i++) {
				(void)submit(&f);
				turn(&f);
			}
			const struct entry *end = &f.log[f.n_log - 1];
			if (lie.how == 0) {
				test_int(end->what, FAILED);
				test_int(end->err, -EIO);
			}
			for (unsigned i = 0; i < f.n_log; i++) {
				test_assert(f.log[i].size == 0 || f.log[i].size > 1000);
			}
			finish_fixture(&f);
		}
	}
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
	TEST_RUN(test_refusals);
	TEST_RUN(test_submit_refusals);
	TEST_RUN(test_fewer_buffers);
	TEST_RUN(test_unplugged);
	TEST_RUN(test_close_inside);
	TEST_RUN(test_every_call);
	TEST_RUN(test_every_allocation);
	TEST_RUN(test_rounds);
	TEST_RUN(test_buffers_come_and_go);
	TEST_RUN(test_freed_by_another_thread);
	TEST_RUN(test_controls);
	TEST_RUN(test_input_formats);
	TEST_RUN(test_lies);
	return test_end();
}
