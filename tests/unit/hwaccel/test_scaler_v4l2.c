/* tests/unit/hwaccel/test_scaler_v4l2.c - the scaler on a device that misbehaves.
 *
 * There is no dma-heap where unit tests run, or one that the fake device does not care about: both
 * ways to the small picture are taken, by a heap that is played.
 */
#include <drm_fourcc.h>
#include <errno.h>
#include <stdbool.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/allocator.h"
#include "hwaccel/scaler.h"
#include "tests/support/fake_m2m.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define W 640u
#define H 360u
#define OUT_W 320u
#define OUT_H 180u
#define N_FRAMES 4

/* --- a heap whose buffers are memfds --- */

static bool no_heap;

int __wrap_pc_allocator_create_heap(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator);
int __wrap_pc_allocator_create_heap(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator)
{
	if (no_heap) {
		snprintf(why, why_size, "no heap of contiguous memory");
		return -ENODEV;
	}
	return pc_allocator_create_memfd(ret_allocator);
}

/* The pool's frames pass for dma-bufs. */
struct pc_frame *__real_pc_frame_pool_acquire(struct pc_frame_pool *pool);
struct pc_frame *__wrap_pc_frame_pool_acquire(struct pc_frame_pool *pool);
struct pc_frame *__wrap_pc_frame_pool_acquire(struct pc_frame_pool *pool)
{
	struct pc_frame *frame = __real_pc_frame_pool_acquire(pool);
	if (frame != NULL && !no_heap) {
		frame->caps |= PC_FRAME_DMABUF;
	}
	return frame;
}

/* --- */

struct fixture {
	struct pc_loop *loop;
	struct pc_scaler_config config;
	struct pc_camera_stats stats;
	struct pc_scaler *scaler;
	struct fake_frame *frames[N_FRAMES];
	unsigned n_submitted;
	unsigned n_scaled;
	uint64_t sequences[256];
	uint8_t numbers[256]; /* what the device wrote: its count of frames */
	struct pc_frame *kept[8];
	unsigned keep, n_kept;
	unsigned n_failed;
	int err;
	bool close_inside;
};

static void close_if_told(struct fixture *f)
{
	if (f->close_inside) {
		pc_scaler_close(f->scaler);
		f->scaler = NULL;
	}
}

static void on_scaled(void *data, struct pc_frame *frame)
{
	struct fixture *f = data;
	test_int(frame->planes[0].stride, 3 * OUT_W);
	test_int(frame->capture_ns, 500 + (int64_t)frame->sequence);
	uint8_t *planes[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, planes), 0);
	f->numbers[f->n_scaled] = planes[0][0];
	pc_frame_end_cpu(frame, PC_FRAME_READ);
	f->sequences[f->n_scaled++] = frame->sequence;
	if (f->n_kept < f->keep) {
		f->kept[f->n_kept++] = pc_frame_ref(frame);
	}
	close_if_told(f);
}

static void on_failed(void *data, int err)
{
	struct fixture *f = data;
	f->n_failed++;
	f->err = err;
	close_if_told(f);
}

static const struct pc_scaler_events events = { .scaled = on_scaled, .failed = on_failed };

static void prepare(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	f->config = (struct pc_scaler_config){
		.input = { DRM_FORMAT_NV12, W, H, 0 },
		.caps = PC_FRAME_DMABUF,
		.width = OUT_W,
		.height = OUT_H,
		.buffers = 3,
		.choice = "v4l2m2m",
		.stats = &f->stats,
	};
	for (unsigned i = 0; i < N_FRAMES; i++) {
		f->frames[i] = fake_frame_create(&f->config.input, W);
	}
	f->config.n_planes = f->frames[0]->base.n_planes;
	memcpy(f->config.planes, f->frames[0]->base.planes, sizeof(f->config.planes));
	f->config.size = f->frames[0]->size;
}

static void begin(struct fixture *f)
{
	prepare(f);
	test_int(pc_scaler_open(f->loop, &f->config, &events, f, &f->scaler), 0);
	test_str(pc_scaler_name(f->scaler), FAKE_M2M_PATH " (fake)");
}

static void drop_kept(struct fixture *f)
{
	for (unsigned i = 0; i < f->n_kept; i++) {
		pc_frame_unref(f->kept[i]);
	}
	f->n_kept = 0;
	f->keep = 0;
}

static void end(struct fixture *f)
{
	pc_scaler_close(f->scaler);
	drop_kept(f);
	for (unsigned i = 0; i < N_FRAMES; i++) {
		fake_frame_free(f->frames[i]);
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

static int submit(struct fixture *f)
{
	struct fake_frame *frame = f->frames[f->n_submitted % N_FRAMES];
	pc_frame_publish(&frame->base);
	frame->base.sequence = f->n_submitted;
	frame->base.capture_ns = 500 + (int64_t)f->n_submitted;
	const int r = pc_scaler_submit(f->scaler, &frame->base);
	pc_frame_unref(&frame->base);
	f->n_submitted += r == 0 ? 1 : 0;
	return r;
}

static void scale(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_int(submit(f), 0);
		turn(f);
	}
}

static void test_pictures(void)
{
	for (unsigned how = 0; how < 2; how++) {
		no_heap = how == 1;
		fake_m2m_reset(true);
		struct fixture f;
		begin(&f);
		scale(&f, 20);
		test_int(f.n_scaled, 20);
		for (unsigned i = 0; i < 20; i++) {
			test_int(f.sequences[i], i);
			test_assert(no_heap || f.numbers[i] == i + 1);
		}
		test_int(fake_m2m.maps > 0, no_heap); /* nothing of the device's is mapped */
		/* A stack of pictures: the warmest is used again. */
		test_int(pc_counter_get(&f.stats.scaler_imports), N_FRAMES + (no_heap ? 0 : 1));
		test_int(pc_scaler_owed_ns(f.scaler), 0);
		const uint64_t allocations = fault_calls(FAULT_ALLOC);
		scale(&f, 50);
		test_int(fault_calls(FAULT_ALLOC), allocations);
		end(&f);
	}
	no_heap = false;
}

static void test_busy_and_full(void)
{
	fake_m2m_reset(true);
	struct fixture f;
	begin(&f);
	f.keep = 5;
	scale(&f, 5); /* three for the caller and two for the device */
	test_int(submit(&f), -EAGAIN);
	drop_kept(&f);
	scale(&f, 1);
	fake_m2m.stalled = true;
	test_int(submit(&f), 0);
	test_int(submit(&f), 0);
	test_int(submit(&f), -EAGAIN);
	test_assert(pc_scaler_owed_ns(f.scaler) > 0);
	end(&f);
}

static void test_aborted_and_errors(void)
{
	fake_m2m_reset(true);
	fake_m2m.abort_every = 3;
	struct fixture f;
	begin(&f);
	f.keep = 0;
	scale(&f, 30);
	test_int(f.n_scaled, 20);
	fake_m2m.abort_every = 0;
	fake_m2m.error_every = 2;
	scale(&f, 10);
	test_int(f.n_scaled, 25);
	test_int(f.n_failed, 0);
	fake_m2m.error_every = 1;
	for (unsigned i = 0; i < 20 && f.n_failed == 0; i++) {
		(void)submit(&f);
		turn(&f);
	}
	test_int(f.n_failed, 1);
	test_int(f.err, -EIO);
	test_int(submit(&f), -EPIPE);
	end(&f);
}

/* A device that returns every picture and fills none is not waited for, and is seen. */
static void test_gives_nothing(void)
{
	fake_m2m_reset(true);
	fake_m2m.abort_every = 1;
	struct fixture f;
	begin(&f);
	const int64_t until_ns = pc_clock_now_ns() + 10 * PC_NS_PER_S;
	unsigned taken = 0;
	while (pc_scaler_owed_ns(f.scaler) == 0 && pc_clock_now_ns() < until_ns) {
		taken += submit(&f) == 0 ? 1 : 0;
		turn(&f);
		const struct timespec pause = { .tv_nsec = 20000000 };
		nanosleep(&pause, NULL);
	}
	test_assert(pc_scaler_owed_ns(f.scaler) > 0);
	test_assert(taken > 8); /* more than the pictures that there are */
	test_int(f.n_scaled, 0);
	/* And if it comes to its senses, so does the client. */
	fake_m2m.abort_every = 0;
	while (f.n_scaled < 3 && pc_clock_now_ns() < until_ns + 5 * PC_NS_PER_S) {
		(void)submit(&f);
		turn(&f);
	}
	test_assert(f.n_scaled >= 3);
	test_int(pc_scaler_owed_ns(f.scaler), 0);
	end(&f);
}

static void test_frames_outlive_it(void)
{
	fake_m2m_reset(true);
	struct fixture f;
	begin(&f);
	f.keep = 2;
	scale(&f, 2);
	pc_scaler_close(f.scaler);
	f.scaler = NULL;
	uint8_t *planes[4];
	test_int(pc_frame_begin_cpu(f.kept[1], PC_FRAME_READ, planes), 0);
	test_int(planes[0][0], 2);
	pc_frame_end_cpu(f.kept[1], PC_FRAME_READ);
	end(&f);
}

static void test_ends(void)
{
	for (unsigned how = 0; how < 6; how++) {
		fake_m2m_reset(true);
		struct fixture f;
		begin(&f);
		scale(&f, 2);
		f.close_inside = how % 2 == 1;
		if (how < 2) {
			test_int(submit(&f), 0);
		} else if (how < 4) {
			fake_m2m.gone = true;
			fake_m2m_poke();
		} else {
			fake_m2m.refuse = -EFAULT;
			test_int(submit(&f), -EPIPE);
			test_int(f.n_failed, 0); /* never inside submit() */
		}
		turn(&f);
		test_int(f.n_failed, how < 2 ? 0 : 1);
		test_int(f.err, how < 2 ? 0 : how < 4 ? -ENODEV : -EFAULT);
		test_int(f.scaler == NULL, f.close_inside);
		end(&f);
	}
}

static char said[1024];

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void refused(struct fixture *f, int err, const char *text)
{
	pc_log_set_hook(hear, NULL);
	test_int(pc_scaler_open(f->loop, &f->config, &events, f, &f->scaler), err);
	pc_log_set_hook(NULL, NULL);
	f->scaler = NULL;
	if (strstr(said, text) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", said, text);
	}
	end(f);
}

static void test_refusals(void)
{
	struct fixture f;
	fake_m2m_reset(false);
	prepare(&f);
	refused(&f, -ENODEV, "there is no M2M scaler");
	fake_m2m_reset(true);
	prepare(&f);
	f.config.caps = PC_FRAME_CPU;
	refused(&f, -EINVAL, "needs frames in dma-bufs");
	/* What is not as it should be is said on success. */
	no_heap = true;
	fake_m2m_reset(true);
	pc_log_set_hook(hear, NULL);
	begin(&f);
	pc_log_set_hook(NULL, NULL);
	test_assert(strstr(said, "small pictures are copied: no heap") != NULL);
	no_heap = false;
	end(&f);
}

/* Longer lines, or more room than a small picture has: then they are copied. */
static void test_lands_badly(void)
{
	for (unsigned how = 0; how < 2; how++) {
		fake_m2m_reset(true);
		fake_m2m.stride_align = how == 0 ? 512 : 64;
		fake_m2m.extra_size = how == 0 ? 0 : 1 << 20;
		struct fixture f;
		prepare(&f);
		if (how == 0) { /* 640 is no multiple of 512 */
			for (unsigned i = 0; i < N_FRAMES; i++) {
				fake_frame_free(f.frames[i]);
				f.frames[i] = fake_frame_create(&f.config.input, 1024);
			}
			memcpy(f.config.planes, f.frames[0]->base.planes, sizeof(f.config.planes));
		}
		f.config.size = 0;
		pc_log_set_hook(hear, NULL);
		test_int(pc_scaler_open(f.loop, &f.config, &events, &f, &f.scaler), 0);
		pc_log_set_hook(NULL, NULL);
		const char *text = how == 0 ? "lines of 1024 bytes, not of 960" : "bytes for them";
		if (strstr(said, text) == NULL) {
			test_fail("\"%s\" does not say \"%s\"", said, text);
		}
		scale(&f, 6);
		test_int(f.n_scaled, 6);
		test_assert(fake_m2m.maps > 0);
		end(&f);
	}
}

static void test_inputs(void)
{
	fake_m2m_reset(true);
	struct pc_input_format formats[8];
	bool dmabuf = false;
	test_int(pc_scaler_inputs("auto", "", W, H, formats, 8, &dmabuf), 3);
	test_assert(dmabuf);
	test_int(formats[0].fourcc, DRM_FORMAT_NV12);
	test_assert(pc_scaler_inputs("software", "", W, H, formats, 8, &dmabuf) >= 2);
	test_assert(!dmabuf);
	test_int(fake_m2m.opens, fake_m2m.closes);
}

static void test_every_call(void)
{
	for (unsigned how = 0; how < 2; how++) {
		no_heap = how == 1;
		for (unsigned n = 1;; n++) {
			fake_m2m_reset(true);
			struct fixture f;
			prepare(&f);
			fake_m2m.fail_at = n;
			fake_m2m.fail_errno = EIO;
			if (pc_scaler_open(f.loop, &f.config, &events, &f, &f.scaler) < 0) {
				f.scaler = NULL;
			}
			for (unsigned i = 0; f.scaler != NULL && i < 5; i++) {
				(void)submit(&f);
				turn(&f);
			}
			test_assert(f.n_failed <= 1);
			const bool failed = fake_m2m.failed;
			end(&f);
			if (!failed) {
				test_assert(n > 30);
				break;
			}
		}
	}
	no_heap = false;
}

static void test_every_allocation(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(true);
		struct fixture f;
		prepare(&f);
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_scaler_open(f.loop, &f.config, &events, &f, &f.scaler);
		const bool hit = fault_disarm();
		test_assert(r == 0 || r == -ENOMEM);
		f.scaler = r == 0 ? f.scaler : NULL;
		end(&f);
		if (!hit) {
			test_assert(n > 4);
			break;
		}
	}
}

int main(void)
{
	TEST_RUN(test_pictures);
	TEST_RUN(test_busy_and_full);
	TEST_RUN(test_aborted_and_errors);
	TEST_RUN(test_gives_nothing);
	TEST_RUN(test_frames_outlive_it);
	TEST_RUN(test_ends);
	TEST_RUN(test_refusals);
	TEST_RUN(test_lands_badly);
	TEST_RUN(test_inputs);
	TEST_RUN(test_every_call);
	TEST_RUN(test_every_allocation);
	return test_end();
}
