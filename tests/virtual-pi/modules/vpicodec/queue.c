// SPDX-License-Identifier: GPL-2.0
/*
 * queue.c - the two vb2 queues of an open file
 *
 * As on the Pi: contiguous memory only, MMAP and DMABUF, time stamps copied.
 */
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-vmalloc.h>

#include "vpicodec.h"

const struct v4l2_event vpi_eos = { .type = V4L2_EVENT_EOS };

static int queue_setup(struct vb2_queue *q, unsigned int *nbuffers, unsigned int *nplanes,
		       unsigned int sizes[], struct device *alloc_devs[])
{
	const struct vpi_qdata *d = vpi_qdata(vb2_get_drv_priv(q), q->type);

	if (*nplanes)
		return *nplanes != 1 || sizes[0] < d->size ? -EINVAL : 0;
	*nplanes = 1;
	sizes[0] = d->size;
	return 0;
}

/* Memory has come: allocated, or a dma-buf that is not the one this index had before. */
static int buf_init(struct vb2_buffer *vb)
{
	struct vpi_ctx *ctx = vb2_get_drv_priv(vb->vb2_queue);

	vpi_count(VPI_LIVE_BUFFERS);
	atomic_inc(&ctx->n_buffers);
	if (vb->memory == VB2_MEMORY_DMABUF) {
		vpi_count(VPI_N_IMPORTS);
		vpi_count(VPI_LIVE_IMPORTS);
		atomic_inc(&ctx->n_imports);
	}
	return 0;
}

static void buf_cleanup(struct vb2_buffer *vb)
{
	struct vpi_ctx *ctx = vb2_get_drv_priv(vb->vb2_queue);

	atomic_dec(&vpi_counters[VPI_LIVE_BUFFERS]);
	atomic_dec(&ctx->n_buffers);
	if (vb->memory == VB2_MEMORY_DMABUF)
		atomic_dec(&vpi_counters[VPI_LIVE_IMPORTS]);
}

static int buf_out_validate(struct vb2_buffer *vb)
{
	to_vb2_v4l2_buffer(vb)->field = V4L2_FIELD_NONE;
	return 0;
}

static int buf_prepare(struct vb2_buffer *vb)
{
	struct vpi_ctx *ctx = vb2_get_drv_priv(vb->vb2_queue);

	/* linux#4669: whatever is smaller than sizeimage is refused, coded buffers too. */
	return vb2_plane_size(vb, 0) < vpi_qdata(ctx, vb->vb2_queue->type)->size ? -EINVAL : 0;
}

static void buf_queue(struct vb2_buffer *vb)
{
	struct vpi_ctx *ctx = vb2_get_drv_priv(vb->vb2_queue);
	struct vb2_v4l2_buffer *buf = to_vb2_v4l2_buffer(vb);
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;

	spin_lock(&ctx->lock);
	if (V4L2_TYPE_IS_CAPTURE(vb->vb2_queue->type) && vb2_is_streaming(vb->vb2_queue) &&
	    v4l2_m2m_dst_buf_is_last(m2m)) {
		vb2_set_plane_payload(vb, 0, 0);
		buf->field = V4L2_FIELD_NONE;
		v4l2_m2m_last_buffer_done(m2m, buf);
	} else {
		v4l2_m2m_buf_queue(m2m, buf);
	}
	spin_unlock(&ctx->lock);
}

static void return_ready(struct vpi_ctx *ctx, bool output, enum vb2_buffer_state state)
{
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;
	struct vb2_v4l2_buffer *buf;

	for (;;) {
		buf = output ? v4l2_m2m_src_buf_remove(m2m) : v4l2_m2m_dst_buf_remove(m2m);
		if (!buf)
			return;
		v4l2_m2m_buf_done(buf, state);
	}
}

static int start_streaming(struct vb2_queue *q, unsigned int count)
{
	struct vpi_ctx *ctx = vb2_get_drv_priv(q);
	bool output = V4L2_TYPE_IS_OUTPUT(q->type);
	u32 refuse = READ_ONCE(vpi_params.refuse);
	int ret = 0;

	if (output && ctx->node->role == VPI_ENC && READ_ONCE(vpi_params.refuse_how) &&
	    refuse == (ctx->src.w << 16 | ctx->src.h))
		ret = -EINVAL;
	if (!ret)
		ret = vpi_job_start(ctx, output);
	if (ret) {
		return_ready(ctx, output, VB2_BUF_STATE_QUEUED);
		return ret;
	}
	v4l2_m2m_update_start_streaming_state(ctx->fh.m2m_ctx, q);
	vpi_qdata(ctx, q->type)->sequence = 0;
	return 0;
}

static void stop_streaming(struct vb2_queue *q)
{
	struct vpi_ctx *ctx = vb2_get_drv_priv(q);
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;
	bool output = V4L2_TYPE_IS_OUTPUT(q->type), stopped;

	vpi_job_stop(ctx, output);
	return_ready(ctx, output, VB2_BUF_STATE_ERROR);
	spin_lock(&ctx->lock);
	stopped = m2m->has_stopped;
	v4l2_m2m_update_stop_streaming_state(m2m, q);
	stopped = output && !stopped && m2m->has_stopped;
	spin_unlock(&ctx->lock);
	if (stopped)	/* a drain that STREAMOFF cut short */
		v4l2_event_queue_fh(&ctx->fh, &vpi_eos);
}

static const struct vb2_ops queue_ops = {
	.queue_setup = queue_setup,
	.buf_init = buf_init,
	.buf_cleanup = buf_cleanup,
	.buf_out_validate = buf_out_validate,
	.buf_prepare = buf_prepare,
	.buf_queue = buf_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

int vpi_queue_init(void *priv, struct vb2_queue *src, struct vb2_queue *dst)
{
	struct vpi_ctx *ctx = priv;
	struct vb2_queue *queues[] = { src, dst };
	int i, ret;

	for (i = 0; i < 2; i++) {
		struct vb2_queue *q = queues[i];

		q->type = i ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE :
			      V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
		q->io_modes = VB2_MMAP | VB2_DMABUF;
		q->drv_priv = ctx;
		q->buf_struct_size = sizeof(struct v4l2_m2m_buffer);
		q->ops = &queue_ops;
		q->mem_ops = vpi_params.use_vmalloc ? &vb2_vmalloc_memops :
						      &vb2_dma_contig_memops;
		q->dev = ctx->dev->dev;
		q->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
		q->lock = &ctx->node->lock;
		ret = vb2_queue_init(q);
		if (ret)
			return ret;	/* the framework releases the first */
	}
	return 0;
}
