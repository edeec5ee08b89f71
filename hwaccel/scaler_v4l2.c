/* hwaccel/scaler_v4l2.c - pictures made small by a memory-to-memory device, by dma-buf.
 *
 * The small picture lands in cached, contiguous memory of a dma-heap, where the CPU reads it at
 * full speed: the device's own buffers are uncached, and were read over 30 times slower
 * (linux#5286). Where there is no such heap, or the device's lines are longer than a packed
 * picture's, the small picture (the small one only) is copied out of the device's buffer once.
 */
#define PC_LOG_MODULE "scaler"
#include <assert.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/allocator.h"
#include "hwaccel/scaler_internal.h"
#include "hwaccel/v4l2_node_internal.h"
#include "v4l2/m2m.h"

#define IN_DEVICE 2 /* one being scaled, one waiting */
#define IN_BUFFERS 16 /* different ones that keep their import */
#define OUT_BUFFERS_MAX 32
#define ERRORS_MAX 8 /* in a row */
#define STRIDE_ALIGN 64 /* of frames whose planes are not told */

struct v4l2_scaler {
	struct pc_scaler base;
	const struct pc_scaler_events *events;
	void *data;
	struct pc_camera_stats *stats; /* NULL: nobody */
	struct pc_frame_format input;
	char name[PC_V4L2_PATH_MAX + 32];
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	bool copies; /* no heap: out of the device's buffers, into memory */

	struct pc_m2m *m2m; /* NULL: it failed */
	struct pc_wakeup *wakeup; /* tells of a failure inside submit() */
	int err;
	uint64_t imports; /* told to `stats` */
	unsigned errors; /* in a row */
	bool handing_over; /* a callback runs, which may close us: */
	bool closed; /* then only this struct is left, and freed after it */
};

static void begin_callback(struct v4l2_scaler *scaler)
{
	assert(!scaler->handing_over);
	scaler->handing_over = true;
}

static void end_callback(struct v4l2_scaler *scaler)
{
	scaler->handing_over = false;
	if (scaler->closed) {
		free(scaler);
	}
}

static void fail(struct v4l2_scaler *scaler, int err)
{
	begin_callback(scaler);
	pc_m2m_close(scaler->m2m);
	scaler->m2m = NULL;
	scaler->events->failed(scaler->data, err);
	end_callback(scaler);
}

/* The device's picture in a frame of the pool; NULL: none is free. */
static struct pc_frame *copy_out(struct v4l2_scaler *scaler, const struct pc_m2m_output *output)
{
	struct pc_frame *frame = pc_frame_pool_acquire(scaler->pool);
	if (frame == NULL) {
		return NULL;
	}
	const size_t line = (size_t)3 * frame->format.width;
	const size_t stride = pc_m2m_out_stride(scaler->m2m);
	uint8_t *planes[4];
	if (output->size < stride * (frame->format.height - 1) + line ||
		pc_frame_begin_cpu(frame, PC_FRAME_WRITE, planes) < 0) {
		pc_frame_unref(frame);
		return NULL;
	}
	for (uint32_t y = 0; y < frame->format.height; y++) {
		memcpy(planes[0] + y * line, output->data + y * stride, line);
	}
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	return frame;
}

static bool on_output(void *data, const struct pc_m2m_output *output)
{
	struct v4l2_scaler *scaler = data;
	if (output->input == NULL) {
		return true; /* nobody's picture */
	}
	if (output->error) {
		if (++scaler->errors >= ERRORS_MAX) {
			pc_error("%s: %u pictures in a row have errors", scaler->name,
				scaler->errors);
			fail(scaler, -EIO);
		}
		return true;
	}
	scaler->errors = 0;
	struct pc_frame *frame =
		scaler->copies ? copy_out(scaler, output) : pc_frame_ref(output->frame);
	if (frame == NULL) {
		return true;
	}
	frame->capture_ns = output->input->capture_ns;
	frame->sequence = output->input->sequence;
	begin_callback(scaler);
	scaler->events->scaled(scaler->data, frame);
	end_callback(scaler);
	pc_frame_unref(frame);
	return true;
}

static void on_aborted(void *data, const struct pc_m2m_input *input)
{
	/* Its picture waits in the device for the next frame. */
}

static void on_failed(void *data, int err, const char *what)
{
	struct v4l2_scaler *scaler = data;
	pc_error("%s: %s: %s", scaler->name, what, pc_strerror(err));
	fail(scaler, err);
}

static const struct pc_m2m_events m2m_events = {
	.output = on_output,
	.aborted = on_aborted,
	.failed = on_failed,
};

static void on_wakeup(void *data)
{
	struct v4l2_scaler *scaler = data;
	if (scaler->err != 0 && scaler->m2m != NULL) {
		fail(scaler, scaler->err);
	}
}

/* --- the vtable --- */

static int v4l2_submit(struct pc_scaler *base, struct pc_frame *frame)
{
	struct v4l2_scaler *scaler = (struct v4l2_scaler *)base;
	assert(pc_frame_format_equal(&frame->format, &scaler->input));
	if (scaler->m2m == NULL || scaler->err != 0) {
		return -EPIPE;
	}
	if (pc_m2m_in_device(scaler->m2m) >= IN_DEVICE) {
		return -EAGAIN;
	}
	struct pc_frame *out = NULL;
	if (pc_m2m_wants_out(scaler->m2m)) {
		out = pc_frame_pool_acquire(scaler->pool);
		if (out == NULL) {
			return -EAGAIN;
		}
	}
	const int r = pc_m2m_submit(scaler->m2m, frame, out, -1);
	pc_frame_unref(out);
	if (r == -EAGAIN || r == -EPIPE) {
		return r;
	}
	if (r < 0) {
		/* The device cannot import it, or is gone: no later one will do better. */
		pc_error("%s does not take a frame: %s", scaler->name, pc_strerror(r));
		scaler->err = r;
		pc_wakeup_signal(scaler->wakeup);
		return -EPIPE;
	}
	struct pc_m2m_stats stats;
	pc_m2m_get_stats(scaler->m2m, &stats);
	if (scaler->stats != NULL && stats.imports != scaler->imports) {
		pc_counter_add(&scaler->stats->scaler_imports, stats.imports - scaler->imports);
	}
	scaler->imports = stats.imports;
	return 0;
}

static const char *v4l2_device(const struct pc_scaler *base)
{
	return ((const struct v4l2_scaler *)base)->name;
}

static int64_t v4l2_owed_ns(const struct pc_scaler *base)
{
	const struct v4l2_scaler *scaler = (const struct v4l2_scaler *)base;
	return scaler->m2m != NULL ? pc_m2m_owed_ns(scaler->m2m) : 0;
}

static void v4l2_close(struct pc_scaler *base)
{
	struct v4l2_scaler *scaler = (struct v4l2_scaler *)base;
	pc_m2m_close(scaler->m2m);
	scaler->m2m = NULL;
	pc_wakeup_destroy(scaler->wakeup);
	pc_frame_pool_destroy(scaler->pool);
	pc_allocator_destroy(scaler->allocator);
	if (scaler->handing_over) {
		scaler->closed = true;
	} else {
		free(scaler);
	}
}

/* --- opening --- */

/* Where the small pictures land: a heap's buffers, or (copies) memory. `note` says what is not as
 * it should be. */
static int make_pool(struct v4l2_scaler *scaler, const struct pc_scaler_config *config, char *note,
	size_t note_size)
{
	char reason[160] = "";
	int r = -ENOTSUP;
	if (!scaler->copies) {
		r = pc_allocator_create_heap(NULL, reason, sizeof(reason), &scaler->allocator);
		if (r < 0) {
			snprintf(note, note_size, "small pictures are copied: %s",
				reason[0] != '\0' ? reason : pc_strerror(r));
			scaler->copies = true;
		}
	}
	if (r < 0) {
		r = pc_allocator_create_memfd(&scaler->allocator);
	}
	if (r < 0) {
		return r;
	}
	const struct pc_frame_format output = {
		.fourcc = DRM_FORMAT_BGR888,
		.width = config->width,
		.height = config->height,
	};
	unsigned n = config->buffers + (scaler->copies ? 0 : IN_DEVICE);
	n = n < OUT_BUFFERS_MAX ? n : OUT_BUFFERS_MAX;
	return pc_frame_pool_create(scaler->allocator, &output, n, &scaler->pool);
}

static int open_m2m(struct v4l2_scaler *scaler, struct pc_loop *loop, const char *path,
	const struct pc_scaler_config *config, char *why, size_t why_size)
{
	struct pc_m2m_config m2m = {
		.path = path,
		.in = config->input,
		.n_in_planes = config->n_planes,
		.in_size = config->size,
		.in_buffers = IN_BUFFERS,
		.out_pixelformat = V4L2_PIX_FMT_RGB24,
		.out_width = config->width,
		.out_height = config->height,
		.out_buffers = scaler->copies ? IN_DEVICE : OUT_BUFFERS_MAX,
		.out_dmabuf = !scaler->copies,
	};
	memcpy(m2m.in_planes, config->planes, sizeof(m2m.in_planes));
	if (config->n_planes == 0 && pc_frame_layout(&config->input, STRIDE_ALIGN, m2m.in_planes,
					     &m2m.n_in_planes) < 0) {
		snprintf(why, why_size, "how its planes lie is not known");
		return -EINVAL;
	}
	const int r = pc_m2m_open(loop, &m2m, &m2m_events, scaler, why, why_size, &scaler->m2m);
	if (r == 0) {
		snprintf(scaler->name, sizeof(scaler->name), "%s", pc_m2m_name(scaler->m2m));
	}
	return r;
}

/* Would the device write packed pictures into the pool's buffers, and no byte behind them? */
static bool lands_well(struct v4l2_scaler *scaler, char *note, size_t note_size)
{
	struct pc_frame *frame = pc_frame_pool_acquire(scaler->pool); /* none is out yet */
	const uint32_t line = frame->planes[0].stride;
	const off_t size = lseek(frame->planes[0].fd, 0, SEEK_END);
	pc_frame_unref(frame);
	const uint32_t stride = pc_m2m_out_stride(scaler->m2m);
	const size_t wanted = pc_m2m_out_size(scaler->m2m);
	if (stride != line) {
		snprintf(note, note_size,
			"small pictures are copied: it gives lines of %u bytes, not of %u", stride,
			line);
		return false;
	}
	if (size >= 0 && (uint64_t)size < wanted) {
		snprintf(note, note_size,
			"small pictures are copied: it wants %zu bytes for them, they have %lld",
			wanted, (long long)size);
		return false;
	}
	return true;
}

/* Everything again, so that the pictures land in the device's own buffers. */
static int start_copying(struct v4l2_scaler *scaler, struct pc_loop *loop, const char *path,
	const struct pc_scaler_config *config, char *why, size_t why_size)
{
	pc_m2m_close(scaler->m2m);
	scaler->m2m = NULL;
	pc_frame_pool_destroy(scaler->pool);
	scaler->pool = NULL;
	pc_allocator_destroy(scaler->allocator);
	scaler->allocator = NULL;
	scaler->copies = true;
	const int r = make_pool(scaler, config, why, why_size);
	return r < 0 ? r : open_m2m(scaler, loop, path, config, why, why_size);
}

static int v4l2_open(struct pc_loop *loop, const struct pc_scaler_config *config,
	const struct pc_scaler_events *events, void *data, char *why, size_t why_size,
	struct pc_scaler **ret_scaler)
{
	struct pc_v4l2_node node;
	int r = pc_v4l2_node_find(PC_V4L2_SCALER, config->device,
		pc_v4l2_from_drm(config->input.fourcc), V4L2_PIX_FMT_RGB24, &node, why, why_size);
	if (r < 0) {
		return r;
	}
	if ((config->caps & PC_FRAME_DMABUF) == 0) {
		snprintf(why, why_size, "%s needs frames in dma-bufs", node.path);
		return -EINVAL;
	}
	struct v4l2_scaler *scaler = calloc(1, sizeof(*scaler));
	if (scaler == NULL) {
		return -ENOMEM;
	}
	scaler->base.impl = &pc_scaler_v4l2;
	scaler->events = events;
	scaler->data = data;
	scaler->stats = config->stats;
	scaler->input = config->input;
	char note[200] = "";
	r = make_pool(scaler, config, note, sizeof(note));
	if (r == 0) {
		r = pc_wakeup_create(loop, "scaler", on_wakeup, scaler, &scaler->wakeup);
	}
	if (r == 0) {
		r = open_m2m(scaler, loop, node.path, config, why, why_size);
	}
	if (r == 0 && !scaler->copies && !lands_well(scaler, note, sizeof(note))) {
		r = start_copying(scaler, loop, node.path, config, why, why_size);
	}
	if (r < 0) {
		v4l2_close(&scaler->base);
		return r;
	}
	snprintf(why, why_size, "%s", note);
	*ret_scaler = &scaler->base;
	return 0;
}

static unsigned v4l2_inputs(const char *device, unsigned width, unsigned height,
	struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	return pc_v4l2_node_inputs(PC_V4L2_SCALER, device, V4L2_PIX_FMT_RGB24, width, height,
		formats, max, ret_dmabuf);
}

const struct pc_scaler_impl pc_scaler_v4l2 = {
	.name = "v4l2m2m",
	.open = v4l2_open,
	.inputs = v4l2_inputs,
	.submit = v4l2_submit,
	.device = v4l2_device,
	.owed_ns = v4l2_owed_ns,
	.close = v4l2_close,
};
