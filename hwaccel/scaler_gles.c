/* hwaccel/scaler_gles.c - a draw of the imported dma-buf, on a worker thread.
 *
 * The worker owns the GL context from the first call to the last. One frame at a time:
 * inference takes a few a second, and a frame that finds the worker busy is better dropped
 * than late. Before the scaler counts as open, a picture of two colours is drawn and looked
 * at, where there is memory to make one of: drivers exist that import and then draw garbage.
 */
#define PC_LOG_MODULE "scaler"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/queue.h"
#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "hwaccel/dmabuf_internal.h"
#include "hwaccel/gles_imports_internal.h"
#include "hwaccel/scaler_internal.h"

/* A GPU that hangs is the watchdog's to notice, by owed_ns(); this is the last resort. The first
 * draw may compile: seconds, where the renderer is emulated. */
#define GPU_TIMEOUT_NS (30 * PC_NS_PER_S)
#define GPU_LOOK_NS (100 * PC_NS_PER_MS) /* how soon a close is noticed */
#define STRIDE_ALIGN 64 /* what the GPUs of such boards, and most others, import */
#define TRIAL_HIGH 220
#define TRIAL_LOW 35
#define TRIAL_BESIDE 16u /* pixels from the middle, at most */
#define DRI "/dev/dri/"

struct job {
	struct pc_frame *input; /* with a reference; NULL: buffers died, free their imports */
	struct pc_frame *output; /* with a reference */
};

struct result {
	struct pc_frame *frame; /* with a reference; NULL: `err` */
	int err;
};

struct gles_scaler {
	struct pc_scaler base;
	const struct pc_scaler_events *events;
	void *data;
	struct pc_camera_stats *stats;
	struct pc_scaler_config config; /* its strings during open() only */
	struct pc_queue *jobs; /* struct job: a frame, and a word of dead buffers */
	struct pc_queue *results; /* struct result; the first one is that of starting */
	struct pc_wakeup *wakeup;
	pthread_t thread;
	atomic_bool stop;
	atomic_bool reaping; /* a word of dead buffers is in `jobs` */
	char why[320]; /* the worker's, until it has started */
	char name[160];

	/* The worker's */
	struct pc_egl *egl;
	struct pc_gles_draw *draw;
	struct pc_gles_imports imports;
	struct pc_allocator *allocator; /* of what is drawn into */
	struct pc_frame_pool *pool;

	/* The loop's */
	bool busy; /* a job has no result yet */
	int64_t submit_ns;
	bool failed;
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */
};

/* --- worker: one frame --- */

/* 0, -ETIMEDOUT, -ECANCELED (the scaler is being closed), -EIO. */
static int wait_for_gpu(struct gles_scaler *scaler)
{
	const int64_t deadline_ns = pc_clock_now_ns() + GPU_TIMEOUT_NS;
	int r;
	do {
		r = pc_egl_finish(scaler->egl, GPU_LOOK_NS);
		if (r == -ETIMEDOUT && atomic_load(&scaler->stop)) {
			r = -ECANCELED;
		}
	} while (r == -ETIMEDOUT && pc_clock_now_ns() < deadline_ns);
	return r;
}

static int draw_frame(struct gles_scaler *scaler, struct pc_frame *input, struct pc_frame *output,
	char *why, size_t why_size, bool *ret_new)
{
	struct pc_gles_import *from = NULL;
	struct pc_gles_import *to = NULL;
	int r = pc_gles_imports_input(&scaler->imports, input, why, why_size, ret_new, &from);
	if (r == 0) {
		r = pc_gles_imports_output(&scaler->imports, output, why, why_size, &to);
	}
	if (r == 0) {
		r = pc_gles_draw_run(scaler->draw, from->textures, to->framebuffer);
	}
	if (r == 0) {
		r = wait_for_gpu(scaler);
	}
	return r;
}

static void do_job(struct gles_scaler *scaler, const struct job *job)
{
	struct result result = { .frame = job->output };
	if (!atomic_load(&scaler->stop)) {
		char why[160] = "";
		bool is_new = false;
		result.err = draw_frame(scaler, job->input, job->output, why, sizeof(why), &is_new);
		if (why[0] != '\0') {
			pc_warn("%s: %s", scaler->name, why);
		}
		if (is_new && result.err == 0 && scaler->stats != NULL) {
			pc_counter_add(&scaler->stats->scaler_imports, 1);
		}
	}
	job->output->capture_ns = job->input->capture_ns;
	job->output->sequence = job->input->sequence;
	pc_frame_unref(job->input);
	if (result.err < 0) {
		pc_frame_unref(job->output);
		result.frame = NULL;
	}
	const int r = pc_queue_push(scaler->results, &result);
	assert(r == 0); /* one at a time */
	(void)r;
	pc_wakeup_signal(scaler->wakeup);
}

/* A buffer died, on any thread. */
static void on_died(void *data)
{
	struct gles_scaler *scaler = data;
	if (!atomic_exchange(&scaler->reaping, true)) {
		const struct job reap = { .input = NULL };
		(void)pc_queue_push(scaler->jobs, &reap); /* closed: the worker frees all */
	}
}

/* --- worker: starting --- */

static int start_gpu(struct gles_scaler *scaler, struct pc_allocator *heap)
{
	int foreign = -1;
	if (heap != NULL) {
		(void)pc_allocator_dmabuf(heap, (size_t)sysconf(_SC_PAGESIZE), &foreign);
	}
	const struct pc_egl_config config = {
		.device = scaler->config.device,
		.software = strcmp(scaler->config.choice, "auto") != 0,
		.foreign_fd = foreign,
	};
	const int r = pc_egl_open(&config, scaler->why, sizeof(scaler->why), &scaler->egl);
	if (foreign >= 0) {
		close(foreign);
	}
	return r;
}

/* Output buffers in memory of `allocator`'s, and can this GPU draw into it? */
static int try_target(struct gles_scaler *scaler, struct pc_allocator *allocator)
{
	const struct pc_frame_format format = {
		.fourcc = DRM_FORMAT_BGR888,
		.width = scaler->config.width,
		.height = scaler->config.height,
	};
	struct pc_frame_pool *pool = NULL;
	int r = pc_frame_pool_create(allocator, &format, scaler->config.buffers, &pool);
	if (r < 0) {
		snprintf(scaler->why, sizeof(scaler->why), "no %s buffers to draw into: %s",
			pc_allocator_name(allocator), pc_strerror(r));
		return r;
	}
	struct pc_gles_import *import = NULL;
	struct pc_frame *frame = pc_frame_pool_acquire(pool);
	r = pc_gles_imports_output(
		&scaler->imports, frame, scaler->why, sizeof(scaler->why), &import);
	pc_frame_unref(frame);
	if (r < 0) {
		pc_frame_pool_destroy(pool);
		return r;
	}
	scaler->pool = pool;
	return 0;
}

/* The heap's memory is cached, which is what the CPU wants to read; the GPU's own, if it
 * must be. `heap` is owned. */
static int start_target(struct gles_scaler *scaler, struct pc_allocator *heap)
{
	int r = -ENODEV;
	if (heap != NULL) {
		r = try_target(scaler, heap);
		if (r == 0) {
			scaler->allocator = heap;
			return 0;
		}
		pc_allocator_destroy(heap);
	}
	struct pc_allocator *own = NULL;
	r = pc_egl_create_allocator(scaler->egl, &own);
	if (r == 0) {
		r = try_target(scaler, own);
	}
	if (r < 0) {
		pc_allocator_destroy(own);
		return r;
	}
	scaler->allocator = own;
	return 0;
}

/* Left half red, right half blue: near enough so in BT.709 and in BT.601. */
static void paint(const struct pc_frame *frame, uint8_t *data[static 4])
{
	static const uint8_t colours[2][3] = { { 72, 96, 240 }, { 36, 240, 114 } };
	const struct pc_frame_format *format = &frame->format;
	const bool packed = frame->n_planes == 1;
	for (unsigned y = 0; y < format->height; y++) {
		for (unsigned x = 0; x < format->width; x++) {
			const uint8_t *c = colours[x >= format->width / 2];
			uint8_t *line = data[0] + (size_t)y * frame->planes[0].stride;
			if (packed) {
				line[2 * x] = c[0];
				line[2 * x + 1] = c[1 + x % 2];
				continue;
			}
			line[x] = c[0];
			if (frame->n_planes == 2) {
				(data[1] + (size_t)(y / 2) * frame->planes[1].stride)[x] =
					c[1 + x % 2];
			} else {
				const unsigned p = 1 + x % 2;
				(data[p] + (size_t)(y / 2) * frame->planes[p].stride)[x / 2] = c[p];
			}
		}
	}
}

/* Beside the middle, where the two colours meet. */
static bool is_painted(const struct pc_frame *frame, uint8_t *data[static 4])
{
	const uint8_t *middle = data[0] +
				(size_t)(frame->format.height / 2) * frame->planes[0].stride +
				(size_t)3 * (frame->format.width / 2);
	const unsigned quarter = frame->format.width / 4;
	const size_t beside = 3 * (quarter < TRIAL_BESIDE ? quarter : TRIAL_BESIDE);
	const uint8_t *red = middle - beside;
	const uint8_t *blue = middle + beside;
	return red[0] > TRIAL_HIGH && red[1] < TRIAL_LOW && red[2] < TRIAL_LOW &&
	       blue[0] < TRIAL_LOW && blue[1] < TRIAL_LOW && blue[2] > TRIAL_HIGH;
}

static int make_trial_frame(struct gles_scaler *scaler, const struct pc_dmabuf_layout *layout,
	struct pc_frame **ret_frame)
{
	int fd = -1;
	int r = pc_allocator_dmabuf(scaler->allocator, layout->size, &fd);
	if (r < 0) {
		return r;
	}
	r = pc_dmabuf_frame_create(fd, layout, ret_frame);
	if (r < 0) {
		close(fd);
	}
	return r;
}

/* Does the GPU import frames such as will come? One is made, and nobody looks into it. */
static int try_layout(struct gles_scaler *scaler)
{
	struct pc_dmabuf_layout layout;
	int r = pc_dmabuf_layout(&scaler->config.input, &layout);
	if (r == 0 && scaler->config.n_planes > 0 && scaler->config.size > 0) {
		const size_t page = (size_t)sysconf(_SC_PAGESIZE);
		layout.n_planes = scaler->config.n_planes;
		memcpy(layout.planes, scaler->config.planes, sizeof(layout.planes));
		layout.size = (scaler->config.size + page - 1) / page * page;
	}
	struct pc_frame *frame = NULL;
	if (r == 0) {
		r = make_trial_frame(scaler, &layout, &frame);
	}
	if (r == 0) {
		struct pc_gles_import *import = NULL;
		r = pc_gles_imports_input(
			&scaler->imports, frame, scaler->why, sizeof(scaler->why), NULL, &import);
		pc_dmabuf_frame_destroy(frame);
	}
	return r;
}

static int draw_trial(struct gles_scaler *scaler, struct pc_frame *input, struct pc_frame *output)
{
	uint8_t *data[PC_FRAME_MAX_PLANES];
	int r = pc_frame_begin_cpu(input, PC_FRAME_WRITE, data);
	if (r < 0) {
		return r;
	}
	paint(input, data);
	pc_frame_end_cpu(input, PC_FRAME_WRITE);
	r = draw_frame(scaler, input, output, scaler->why, sizeof(scaler->why), NULL);
	if (r == 0) {
		r = pc_frame_begin_cpu(output, PC_FRAME_READ, data);
	}
	if (r == 0) {
		if (!is_painted(output, data)) {
			snprintf(scaler->why, sizeof(scaler->why),
				"%s imports the frames, but draws them wrong", scaler->name);
			r = -EIO;
		}
		pc_frame_end_cpu(output, PC_FRAME_READ);
	}
	return r;
}

/* The program, on a picture of a quarter of the width and height: to a sampler, a place in a
 * picture is a share of its sides. Full-size frames are not for the CPU, this one neither. */
static int try_drawing(struct gles_scaler *scaler)
{
	struct pc_frame_format format = scaler->config.input;
	struct pc_dmabuf_layout layout;
	struct pc_frame *input = NULL;
	if (format.width >= 2 * scaler->config.width) {
		format.width = format.width / 8 * 2;
		format.height = format.height >= 8 ? format.height / 8 * 2 : format.height;
	}
	int r = pc_dmabuf_layout(&format, &layout);
	if (r == 0) {
		r = make_trial_frame(scaler, &layout, &input);
	}
	if (r < 0) {
		return r;
	}
	struct pc_frame *output = pc_frame_pool_acquire(scaler->pool);
	r = draw_trial(scaler, input, output);
	pc_frame_unref(output);
	pc_dmabuf_frame_destroy(input);
	return r;
}

/* Where there is memory of another device's. */
static int try_all(struct gles_scaler *scaler)
{
	int r = try_layout(scaler);
	if (r == 0) {
		r = try_drawing(scaler);
	}
	pc_gles_imports_reap(&scaler->imports);
	if (r == -ENOTSUP) {
		return 0; /* GBM's memory is its own: nothing to learn from it */
	}
	if (r < 0 && scaler->why[0] == '\0') {
		snprintf(scaler->why, sizeof(scaler->why), "a first draw was tried: %s",
			pc_strerror(r));
	}
	return r;
}

static int start(struct gles_scaler *scaler)
{
	char no_heap[128] = "";
	struct pc_allocator *heap = NULL;
	(void)pc_allocator_create_heap(NULL, no_heap, sizeof(no_heap), &heap);
	int r = start_gpu(scaler, heap);
	if (r < 0) {
		pc_allocator_destroy(heap);
		return r;
	}
	snprintf(scaler->name, sizeof(scaler->name), "gles on %s", pc_egl_name(scaler->egl));
	pc_gles_imports_init(&scaler->imports, scaler->egl, on_died, scaler);
	r = start_target(scaler, heap);
	if (r == 0) {
		r = pc_gles_draw_create(&scaler->config.input, scaler->config.width,
			scaler->config.height, scaler->why, sizeof(scaler->why), &scaler->draw);
	}
	return r == 0 ? try_all(scaler) : r;
}

static void finish(struct gles_scaler *scaler)
{
	if (scaler->egl != NULL) {
		pc_gles_draw_destroy(scaler->draw);
		pc_gles_imports_finish(&scaler->imports);
		pc_egl_close(scaler->egl);
	}
}

static void *work(void *data)
{
	struct gles_scaler *scaler = data;
	const struct result started = { .err = start(scaler) };
	const bool failed = started.err < 0;
	if (failed) {
		finish(scaler); /* first: open() frees all when it has the answer */
	}
	const int r = pc_queue_push(scaler->results, &started);
	assert(r == 0);
	(void)r;
	struct job job;
	while (!failed && pc_queue_pop(scaler->jobs, &job, -1) == 0) {
		if (job.input == NULL) {
			atomic_store(&scaler->reaping, false); /* the word is out of `jobs` */
		}
		pc_gles_imports_reap(&scaler->imports);
		if (job.input != NULL) {
			do_job(scaler, &job);
		}
	}
	if (!failed) {
		finish(scaler);
	}
	return NULL;
}

/* --- the loop's thread --- */

static void on_result(void *data)
{
	struct gles_scaler *scaler = data;
	struct result result;
	if (scaler->failed || pc_queue_try_pop(scaler->results, &result) < 0) {
		return;
	}
	scaler->handing_over = true;
	scaler->busy = false;
	if (result.frame == NULL) {
		scaler->failed = true;
		scaler->events->failed(scaler->data, result.err);
	} else {
		scaler->events->scaled(scaler->data, result.frame);
	}
	pc_frame_unref(result.frame);
	scaler->handing_over = false;
	if (scaler->closed) {
		free(scaler);
	}
}

static int gles_submit(struct pc_scaler *base, struct pc_frame *frame)
{
	struct gles_scaler *scaler = (struct gles_scaler *)base;
	assert(pc_frame_format_equal(&frame->format, &scaler->config.input));
	if (scaler->failed) {
		return -EPIPE;
	}
	if (scaler->busy) {
		return -EAGAIN;
	}
	struct pc_frame *output = pc_frame_pool_acquire(scaler->pool);
	if (output == NULL) {
		return -EAGAIN;
	}
	const struct job job = { .input = pc_frame_ref(frame), .output = output };
	const int r = pc_queue_push(scaler->jobs, &job);
	assert(r == 0); /* one at a time, and one word of dead buffers */
	(void)r;
	scaler->busy = true;
	scaler->submit_ns = pc_clock_now_ns();
	return 0;
}

static const char *gles_device(const struct pc_scaler *base)
{
	return ((const struct gles_scaler *)base)->name;
}

static int64_t gles_owed_ns(const struct pc_scaler *base)
{
	const struct gles_scaler *scaler = (const struct gles_scaler *)base;
	return scaler->busy ? pc_clock_now_ns() - scaler->submit_ns : 0;
}

/* Everything but the thread, which does not run. */
static void free_scaler(struct gles_scaler *scaler)
{
	struct result result;
	while (scaler->results != NULL && pc_queue_try_pop(scaler->results, &result) == 0) {
		pc_frame_unref(result.frame);
	}
	pc_wakeup_destroy(scaler->wakeup);
	pc_queue_destroy(scaler->jobs);
	pc_queue_destroy(scaler->results);
	pc_frame_pool_destroy(scaler->pool);
	pc_allocator_destroy(scaler->allocator);
	if (scaler->handing_over) {
		scaler->closed = true;
	} else {
		free(scaler);
	}
}

static void gles_close(struct pc_scaler *base)
{
	struct gles_scaler *scaler = (struct gles_scaler *)base;
	atomic_store(&scaler->stop, true);
	pc_queue_close(scaler->jobs);
	pthread_join(scaler->thread, NULL);
	free_scaler(scaler);
}

/* --- opening --- */

static bool has_device(const struct pc_scaler_config *config)
{
	return config->device != NULL && config->device[0] != '\0';
}

static int check(const struct pc_scaler_config *config, char *why, size_t why_size)
{
	if (!pc_gles_draw_takes(config->input.fourcc) ||
		config->input.modifier != DRM_FORMAT_MOD_LINEAR) {
		snprintf(why, why_size, "takes linear NV12, I420 (YU12) and YUYV only");
		return -EINVAL;
	}
	if ((config->caps & PC_FRAME_DMABUF) == 0) {
		snprintf(why, why_size, "needs frames in dma-bufs");
		return -EINVAL;
	}
	if (has_device(config) && strncmp(config->device, DRI, strlen(DRI)) != 0) {
		snprintf(why, why_size, "%s is no DRM node", config->device);
		return -EINVAL;
	}
	return 0;
}

static int make_parts(struct gles_scaler *scaler, struct pc_loop *loop)
{
	int r = pc_queue_create(sizeof(struct job), 2, &scaler->jobs);
	if (r == 0) {
		r = pc_queue_create(sizeof(struct result), 1, &scaler->results);
	}
	if (r == 0) {
		r = pc_wakeup_create(loop, "scaler", on_result, scaler, &scaler->wakeup);
	}
	return r;
}

/* Starts the worker and waits for what it says of the GPU. */
static int start_worker(struct gles_scaler *scaler)
{
	int r = pc_thread_create(&scaler->thread, "scaler", work, scaler);
	if (r < 0) {
		return r;
	}
	struct result started = { 0 };
	r = pc_queue_pop(scaler->results, &started, -1);
	assert(r == 0);
	if (started.err < 0) {
		pthread_join(scaler->thread, NULL);
	}
	return started.err;
}

static int gles_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, char *why, size_t why_size,
	struct pc_scaler **ret_scaler)
{
	int r = check(config, why, why_size);
	if (r < 0) {
		return r;
	}
	struct gles_scaler *scaler = calloc(1, sizeof(*scaler));
	if (scaler == NULL) {
		return -ENOMEM;
	}
	scaler->base.impl = &pc_scaler_gles;
	scaler->events = events;
	scaler->data = data;
	scaler->stats = config->stats;
	scaler->config = *config;
	scaler->config.device = has_device(config) ? config->device : "";
	atomic_init(&scaler->stop, false);
	atomic_init(&scaler->reaping, false);
	r = make_parts(scaler, loop);
	if (r == 0) {
		r = start_worker(scaler);
	}
	if (r < 0) {
		snprintf(why, why_size, "%s", scaler->why);
		free_scaler(scaler);
		return r;
	}
	*ret_scaler = &scaler->base;
	return 0;
}

static unsigned gles_inputs(const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	/* The best first: two textures for what the camera's pipeline likes to give. */
	static const uint32_t fourccs[] = { DRM_FORMAT_NV12, DRM_FORMAT_YUV420, DRM_FORMAT_YUYV };
	unsigned n = 0;
	if (!pc_egl_maybe(device != NULL ? device : "") || width % 2 != 0 || height % 2 != 0) {
		return 0;
	}
	for (size_t i = 0; i < sizeof(fourccs) / sizeof(fourccs[0]) && n < max; i++) {
		formats[n++] = (struct pc_input_format){ fourccs[i], STRIDE_ALIGN };
	}
	*ret_dmabuf = true;
	return n;
}

const struct pc_scaler_impl pc_scaler_gles = {
	.name = "gles",
	.open = gles_open,
	.inputs = gles_inputs,
	.submit = gles_submit,
	.device = gles_device,
	.owed_ns = gles_owed_ns,
	.close = gles_close,
};
