/* hwaccel/scaler_soft.c - libswscale on a worker thread.
 *
 * One frame at a time: inference takes a few a second, and a frame that finds the worker
 * busy is better dropped than late. SWS_AREA: 1280x720 to 320x180 takes 0.55 ms and
 * leaves a third of the sensor's noise; FAST_BILINEAR takes 0.3 ms, but reads two pixels
 * of sixteen, and keeps two thirds of it, which motion detection would pay for.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <drm_fourcc.h>
#include <libavutil/pixfmt.h>
#include <libswscale/swscale.h>

#include "core/clock.h"
#include "core/queue.h"
#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "hwaccel/scaler_internal.h"

#define HD_HEIGHT 720 /* from here on colours are BT.709's, as the encoder says too */

struct job {
	struct pc_frame *input; /* with a reference */
	struct pc_frame *output; /* with a reference */
};

struct result {
	struct pc_frame *frame; /* with a reference; NULL: `err` */
	int err;
};

struct soft_scaler {
	struct pc_scaler base;
	const struct pc_scaler_events *events;
	void *data;
	struct pc_frame_format input;
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	struct pc_queue *jobs; /* struct job */
	struct pc_queue *results; /* struct result */
	struct pc_wakeup *wakeup;
	pthread_t thread;
	atomic_bool stop;
	struct SwsContext *sws; /* the worker's */

	/* The loop's */
	bool busy; /* a job has no result yet: */
	int64_t submit_ns; /* since then */
	bool failed;
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */
};

static enum AVPixelFormat pixel_format(uint32_t fourcc)
{
	switch (fourcc) {
	case DRM_FORMAT_YUV420:
		return AV_PIX_FMT_YUV420P;
	case DRM_FORMAT_NV12:
		return AV_PIX_FMT_NV12;
	case DRM_FORMAT_YUYV:
		return AV_PIX_FMT_YUYV422;
	case DRM_FORMAT_BGR888:
		return AV_PIX_FMT_RGB24;
	default:
		return AV_PIX_FMT_NONE;
	}
}

/* --- worker --- */

static int scale(struct soft_scaler *scaler, const struct job *job)
{
	uint8_t *in[PC_FRAME_MAX_PLANES];
	uint8_t *out[PC_FRAME_MAX_PLANES];
	int in_strides[PC_FRAME_MAX_PLANES] = { 0 };
	int out_strides[PC_FRAME_MAX_PLANES] = { 0 };
	int r = pc_frame_begin_cpu(job->input, PC_FRAME_READ, in);
	if (r < 0) {
		return r;
	}
	r = pc_frame_begin_cpu(job->output, PC_FRAME_WRITE, out);
	if (r < 0) {
		pc_frame_end_cpu(job->input, PC_FRAME_READ);
		return r;
	}
	for (unsigned i = 0; i < job->input->n_planes; i++) {
		in_strides[i] = (int)job->input->planes[i].stride;
	}
	out_strides[0] = (int)job->output->planes[0].stride;
	const int lines = sws_scale(scaler->sws, (const uint8_t *const *)in, in_strides, 0,
		(int)job->input->format.height, out, out_strides);
	pc_frame_end_cpu(job->output, PC_FRAME_WRITE);
	pc_frame_end_cpu(job->input, PC_FRAME_READ);
	return lines == (int)job->output->format.height ? 0 : -EIO;
}

static void *work(void *data)
{
	struct soft_scaler *scaler = data;
	struct job job;
	while (pc_queue_pop(scaler->jobs, &job, -1) == 0) {
		struct result result = { .frame = job.output };
		if (!atomic_load(&scaler->stop)) {
			result.err = scale(scaler, &job);
		}
		job.output->capture_ns = job.input->capture_ns;
		job.output->sequence = job.input->sequence;
		pc_frame_unref(job.input);
		if (result.err < 0) {
			pc_frame_unref(job.output);
			result.frame = NULL;
		}
		const int r = pc_queue_push(scaler->results, &result);
		assert(r == 0); /* one at a time */
		(void)r;
		pc_wakeup_signal(scaler->wakeup);
	}
	return NULL;
}

/* --- the loop's thread --- */

static void on_result(void *data)
{
	struct soft_scaler *scaler = data;
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

static int soft_submit(struct pc_scaler *base, struct pc_frame *frame)
{
	struct soft_scaler *scaler = (struct soft_scaler *)base;
	assert(pc_frame_format_equal(&frame->format, &scaler->input));
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
	assert(r == 0); /* one at a time */
	(void)r;
	scaler->busy = true;
	scaler->submit_ns = pc_clock_now_ns();
	return 0;
}

static const char *soft_device(const struct pc_scaler *base)
{
	return "software (libswscale)";
}

static int64_t soft_owed_ns(const struct pc_scaler *base)
{
	const struct soft_scaler *scaler = (const struct soft_scaler *)base;
	return scaler->busy ? pc_clock_now_ns() - scaler->submit_ns : 0;
}

/* Everything but the thread, which does not run. */
static void free_scaler(struct soft_scaler *scaler)
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
	sws_freeContext(scaler->sws);
	if (scaler->handing_over) {
		scaler->closed = true;
	} else {
		free(scaler);
	}
}

static void soft_close(struct pc_scaler *base)
{
	struct soft_scaler *scaler = (struct soft_scaler *)base;
	atomic_store(&scaler->stop, true);
	pc_queue_close(scaler->jobs);
	pthread_join(scaler->thread, NULL);
	free_scaler(scaler);
}

/* --- opening --- */

static int make_sws(struct soft_scaler *scaler, const struct pc_scaler_config *config)
{
	scaler->sws = sws_getContext((int)config->input.width, (int)config->input.height,
		pixel_format(config->input.fourcc), (int)config->width, (int)config->height,
		AV_PIX_FMT_RGB24, SWS_AREA, NULL, NULL, NULL);
	if (scaler->sws == NULL) {
		return -ENOMEM; /* formats and sizes were checked */
	}
	const int *matrix = sws_getCoefficients(
		config->input.height >= HD_HEIGHT ? SWS_CS_ITU709 : SWS_CS_ITU601);
	const int full = config->input.fourcc == DRM_FORMAT_BGR888;
	sws_setColorspaceDetails(scaler->sws, matrix, full, matrix, 1, 0, 1 << 16, 1 << 16);
	return 0;
}

static int make_parts(
	struct soft_scaler *scaler, struct pc_loop *loop, const struct pc_scaler_config *config)
{
	const struct pc_frame_format output = {
		.fourcc = DRM_FORMAT_BGR888,
		.width = config->width,
		.height = config->height,
	};
	int r = pc_allocator_create_memfd(&scaler->allocator);
	if (r == 0) {
		r = pc_frame_pool_create(
			scaler->allocator, &output, config->buffers, &scaler->pool);
	}
	if (r == 0) {
		r = make_sws(scaler, config);
	}
	if (r == 0) {
		r = pc_queue_create(sizeof(struct job), 1, &scaler->jobs);
	}
	if (r == 0) {
		r = pc_queue_create(sizeof(struct result), 1, &scaler->results);
	}
	if (r == 0) {
		r = pc_wakeup_create(loop, "scaler", on_result, scaler, &scaler->wakeup);
	}
	return r;
}

static int soft_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, char *why, size_t why_size,
	struct pc_scaler **ret_scaler)
{
	if (pixel_format(config->input.fourcc) == AV_PIX_FMT_NONE ||
		config->input.modifier != DRM_FORMAT_MOD_LINEAR) {
		snprintf(why, why_size, "takes linear I420 (YU12), NV12, YUYV and BGR888 only");
		return -EINVAL;
	}
	if ((config->caps & PC_FRAME_CPU) == 0) {
		snprintf(why, why_size, "needs frames that the CPU can read");
		return -EINVAL;
	}
	struct soft_scaler *scaler = calloc(1, sizeof(*scaler));
	if (scaler == NULL) {
		return -ENOMEM;
	}
	scaler->base.impl = &pc_scaler_soft;
	scaler->events = events;
	scaler->data = data;
	scaler->input = config->input;
	atomic_init(&scaler->stop, false);
	int r = make_parts(scaler, loop, config);
	if (r == 0) {
		r = pc_thread_create(&scaler->thread, "scaler", work, scaler);
	}
	if (r < 0) {
		free_scaler(scaler);
		return r;
	}
	*ret_scaler = &scaler->base;
	return 0;
}

static unsigned soft_inputs(const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	static const uint32_t fourccs[] = { DRM_FORMAT_YUV420, DRM_FORMAT_NV12, DRM_FORMAT_YUYV };
	unsigned n = 0;
	for (; n < sizeof(fourccs) / sizeof(fourccs[0]) && n < max; n++) {
		formats[n] = (struct pc_input_format){ .fourcc = fourccs[n], .stride_align = 1 };
	}
	*ret_dmabuf = false;
	return n;
}

const struct pc_scaler_impl pc_scaler_soft = {
	.name = "software",
	.open = soft_open,
	.inputs = soft_inputs,
	.submit = soft_submit,
	.device = soft_device,
	.owed_ns = soft_owed_ns,
	.close = soft_close,
};
