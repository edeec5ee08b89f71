// SPDX-License-Identifier: GPL-2.0
/*
 * job.c - the hardware that is not there: takes frames, works, gives buffers back
 *
 * A job is one CAPTURE buffer: a frame, a piece of one, headers, junk. The input buffer stays
 * at the head of its queue until its last piece is out. Buffers that are through go to the
 * `held` list, and from it to user space, in order, when the habits of the hardware
 * (depth, late_output, late_us) let them.
 *
 * The framework runs one job a node at a time and none while a queue stops; the job itself
 * is a work item, since it sleeps. Drain state and held buffers are under ctx->lock.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/random.h>
#include <media/videobuf2-v4l2.h>

#include "vpicodec.h"

#define DEPTH_TIMEOUT	msecs_to_jiffies(100)	/* a pipeline is pushed by frames, or by this */

static void buffer_done(struct vb2_v4l2_buffer *buf, enum vb2_buffer_state state)
{
	vb2_buffer_done(&buf->vb2_buf, state);
}

/* Also notices that `stall` was written. */
bool vpi_is_silent(struct vpi_ctx *ctx)
{
	u32 now = atomic_read(&vpi_stall_generation[ctx->node->role]);

	if (ctx->stall_generation != now && !xchg(&ctx->silent, true))
		vpi_count(VPI_N_STALLS);
	return READ_ONCE(ctx->silent);
}

static void fall_silent(struct vpi_ctx *ctx)
{
	if (!xchg(&ctx->silent, true))
		vpi_count(VPI_N_STALLS);
}

/* ---- held buffers; ctx->lock ---- */

static void held_free(struct vpi_ctx *ctx, struct vpi_held *h)
{
	list_move(&h->entry, &ctx->spare);
}

static bool src_due(const struct vpi_habits *habits, const struct vpi_held *h, u64 age)
{
	return habits->depth <= 1 || age >= habits->depth - 1 ||
	       time_after_eq(jiffies, h->src_due);
}

static bool dst_due(struct vpi_ctx *ctx, const struct vpi_held *h, u64 age, u32 n_held)
{
	const struct vpi_habits *habits = vpi_habits(ctx);
	u32 late = READ_ONCE(habits->late_output), depth = READ_ONCE(habits->depth);

	/* Never the last buffer: the client could not go on. */
	if (late && age < late + (depth > 1 ? depth - 1 : 0) &&
	    n_held + 1 < v4l2_m2m_get_dst_vq(ctx->fh.m2m_ctx)->num_buffers)
		return false;
	return time_after_eq(jiffies, h->dst_due);
}

static void give_dst(struct vpi_ctx *ctx, struct vpi_held *h, bool lose)
{
	if (lose) {	/* as if it had never been taken */
		vpi_count(VPI_N_LOST);
		v4l2_m2m_buf_queue(ctx->fh.m2m_ctx, h->dst);
	} else {
		buffer_done(h->dst, h->dst_state);
	}
	h->dst = NULL;
}

/* Gives back what is due, inputs and outputs each in order; all of it to flush. */
static void release_held(struct vpi_ctx *ctx, bool flush, bool lose)
{
	const struct vpi_habits *habits = vpi_habits(ctx);
	unsigned long next = jiffies + HZ;
	struct vpi_held *h, *tmp;
	bool timed = false, outputs = true;
	u32 n_held = 0;

	if (vpi_is_silent(ctx))
		return;
	list_for_each_entry(h, &ctx->held, entry)
		n_held += !!h->dst;
	list_for_each_entry_safe(h, tmp, &ctx->held, entry) {
		u64 age = ctx->newest - h->number;

		if (h->src) {
			if (!flush && !src_due(habits, h, age)) {
				timed = true;
				if (time_before(h->src_due, next))
					next = h->src_due;
				break;
			}
			buffer_done(h->src, VB2_BUF_STATE_DONE);
			h->src = NULL;
			h->dst_due = jiffies + usecs_to_jiffies(READ_ONCE(habits->late_us));
		}
		if (h->dst && outputs) {
			if (flush || dst_due(ctx, h, age, n_held)) {
				give_dst(ctx, h, lose);
				n_held--;
			} else {
				outputs = false;
				if (time_after(h->dst_due, jiffies)) {
					timed = true;
					if (time_before(h->dst_due, next))
						next = h->dst_due;
				}
			}
		}
		if (!h->src && !h->dst)
			held_free(ctx, h);
	}
	if (timed)
		mod_delayed_work(system_wq, &ctx->pump,
				 time_after(next, jiffies) ? next - jiffies : 0);
}

/* What the device holds when a STOP command, or the last input before it, comes. */
void vpi_flush_held(struct vpi_ctx *ctx)
{
	release_held(ctx, true, READ_ONCE(vpi_params.drain_lost));
}

void vpi_pump_work(struct work_struct *work)
{
	struct vpi_ctx *ctx = container_of(to_delayed_work(work), struct vpi_ctx, pump);

	spin_lock(&ctx->lock);
	release_held(ctx, false, false);
	spin_unlock(&ctx->lock);
}

/* An empty buffer with V4L2_BUF_FLAG_LAST, now or as soon as there is one; and the event. */
void vpi_last_buffer(struct vpi_ctx *ctx)
{
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;
	struct vb2_v4l2_buffer *dst;

	if (READ_ONCE(vpi_params.drain_lost) > 1)
		return;
	dst = v4l2_m2m_dst_buf_remove(m2m);
	if (dst) {
		vb2_set_plane_payload(&dst->vb2_buf, 0, 0);
		dst->field = V4L2_FIELD_NONE;
		v4l2_m2m_last_buffer_done(m2m, dst);
	} else {
		m2m->next_buf_last = true;
	}
	v4l2_event_queue_fh(&ctx->fh, &vpi_eos);
}

/* The heads of the queues are through; either may be NULL: not yet, or nothing came out. */
static void hold(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src, struct vb2_v4l2_buffer *dst,
		 enum vb2_buffer_state dst_state)
{
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;
	struct vpi_held *h;
	bool last;

	spin_lock(&ctx->lock);
	/* Each entry has a buffer of a queue of at most 32: there is always a spare one. */
	h = list_first_entry(&ctx->spare, struct vpi_held, entry);
	last = src && v4l2_m2m_is_last_draining_src_buf(m2m, src);
	if (src)
		v4l2_m2m_src_buf_remove(m2m);
	if (dst)
		v4l2_m2m_dst_buf_remove(m2m);
	h->src = src;
	h->dst = dst;
	h->dst_state = dst_state;
	h->number = ctx->frames;
	h->src_due = jiffies + DEPTH_TIMEOUT;
	h->dst_due = jiffies;
	ctx->newest = ctx->frames;
	list_move_tail(&h->entry, &ctx->held);
	if (last && !vpi_is_silent(ctx)) {
		vpi_flush_held(ctx);
		vpi_last_buffer(ctx);
	} else {
		release_held(ctx, false, false);
	}
	spin_unlock(&ctx->lock);
}

/* ---- the job ---- */

static void pretend_to_work(struct vpi_ctx *ctx)
{
	const struct vpi_habits *habits = vpi_habits(ctx);
	u32 jitter = READ_ONCE(habits->jitter_us), us = READ_ONCE(habits->latency_us);

	if (jitter)
		us += prandom_u32_max(jitter + 1);
	while (us && !atomic_read(&ctx->abort_wait)) {	/* STREAMOFF need not wait for it */
		u32 step = min(us, 10000u);

		usleep_range(step, step + 100);
		us -= step;
	}
}

static void mark_output(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src,
			struct vb2_v4l2_buffer *dst, u32 size)
{
	bool stuck = READ_ONCE(vpi_params.sequence_stuck);

	v4l2_m2m_buf_copy_metadata(src, dst, false);
	dst->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_PFRAME | V4L2_BUF_FLAG_BFRAME |
			V4L2_BUF_FLAG_LAST);
	if (ctx->unit_key)
		dst->flags |= V4L2_BUF_FLAG_KEYFRAME;
	dst->field = V4L2_FIELD_NONE;
	dst->sequence = stuck ? 0 : ctx->dst.sequence++;
	vb2_set_plane_payload(&dst->vb2_buf, 0, size);
}

static void send_junk(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *dst)
{
	u8 *p = vb2_plane_vaddr(&dst->vb2_buf, 0);
	u32 n = min_t(u32, vb2_plane_size(&dst->vb2_buf, 0), 61);

	if (p)
		get_random_bytes(p, n);
	dst->vb2_buf.timestamp = 0;
	dst->field = V4L2_FIELD_NONE;
	dst->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_LAST);
	dst->sequence = 0;
	vb2_set_plane_payload(&dst->vb2_buf, 0, n);
	vpi_count(VPI_N_JUNK);
	hold(ctx, NULL, dst, VB2_BUF_STATE_DONE);
}

/* A frame is taken: true when it is to be worked on, false when it was given back at once. */
static bool take_frame(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src)
{
	const struct vpi_habits *habits = vpi_habits(ctx);
	bool lost;

	pretend_to_work(ctx);
	ctx->frames++;
	atomic_inc(&ctx->n_frames);
	vpi_count(VPI_N_FRAMES);
	src->sequence = READ_ONCE(vpi_params.sequence_stuck) ? 0 : ctx->src.sequence++;
	lost = READ_ONCE(vpi_params.drain_lost) && ctx->fh.m2m_ctx->is_draining;
	if (lost || vpi_nth(ctx->frames, READ_ONCE(habits->abort_every))) {
		vpi_count(lost ? VPI_N_LOST : VPI_N_ABORTED);
		atomic_inc(&ctx->n_aborted);
		hold(ctx, src, NULL, VB2_BUF_STATE_DONE);
		return false;
	}
	return true;
}

/* The frame is out, or nothing more will come of it. */
static void finish_frame(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src,
			 struct vb2_v4l2_buffer *dst, enum vb2_buffer_state state)
{
	const struct vpi_habits *habits = vpi_habits(ctx);
	u32 stall_after = READ_ONCE(habits->stall_after);

	ctx->unit_size = 0;
	ctx->unit_done = 0;
	ctx->head_size = 0;
	if (state == VB2_BUF_STATE_DONE) {
		ctx->coded_frames++;
		atomic_inc(&ctx->n_coded);
		vpi_count(ctx->node->role == VPI_ENC ? VPI_N_CODED : VPI_N_SCALED);
		if (ctx->unit_key)
			vpi_count(VPI_N_KEYS);
	} else {
		vpi_count(VPI_N_ERRORS);
	}
	hold(ctx, src, dst, state);
	if (stall_after && ctx->frames >= stall_after)
		fall_silent(ctx);
}

/* The next piece of the access unit into `dst`. */
static void deliver_piece(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src,
			  struct vb2_v4l2_buffer *dst, u8 *p)
{
	const struct vpi_habits *habits = vpi_habits(ctx);
	u32 room = vb2_plane_size(&dst->vb2_buf, 0);
	u32 left = ctx->unit_size - ctx->unit_done;
	u32 alone = READ_ONCE(vpi_params.headers_alone);
	u32 n = left;

	if (ctx->head_size) {
		n = ctx->head_size;
		ctx->head_size = 0;
		vpi_count(VPI_N_HEADERS);
	} else {
		alone = 0;
	}
	if (n > room && READ_ONCE(vpi_params.oversize_error)) {
		mark_output(ctx, src, dst, 0);
		finish_frame(ctx, src, dst, VB2_BUF_STATE_ERROR);
		return;
	}
	n = min(n, room);
	memcpy(p, ctx->h264.bits + ctx->unit_done, n);
	mark_output(ctx, src, dst, n);
	ctx->unit_done += n;
	if (alone) {
		dst->flags &= ~V4L2_BUF_FLAG_KEYFRAME;
		if (alone > 1)
			dst->vb2_buf.timestamp = 0;
	}
	if (ctx->unit_done < ctx->unit_size) {
		if (!alone)
			vpi_count(VPI_N_FRAGMENTS);
		hold(ctx, NULL, dst, VB2_BUF_STATE_DONE);
	} else if (vpi_nth(ctx->coded_frames + 1, READ_ONCE(habits->fail_every))) {
		ctx->coded_frames++;
		vb2_set_plane_payload(&dst->vb2_buf, 0, n / 2);
		finish_frame(ctx, src, dst, VB2_BUF_STATE_ERROR);
	} else {
		finish_frame(ctx, src, dst, VB2_BUF_STATE_DONE);
	}
}

static void run_encoder(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src,
			struct vb2_v4l2_buffer *dst)
{
	u8 *s = vb2_plane_vaddr(&src->vb2_buf, 0), *d = vb2_plane_vaddr(&dst->vb2_buf, 0);
	u32 head = 0;
	int n;

	if (!ctx->unit_size) {
		if (READ_ONCE(vpi_params.junk_first) && !ctx->junk_sent) {
			ctx->junk_sent = true;
			send_junk(ctx, dst);
			return;
		}
		if (!take_frame(ctx, src))
			return;
		n = s && d ? vpi_h264_encode(ctx, s, &ctx->unit_key, &head) : -EFAULT;
		if (n < 0) {
			mark_output(ctx, src, dst, 0);
			finish_frame(ctx, src, dst, VB2_BUF_STATE_ERROR);
			return;
		}
		ctx->unit_size = n;
		ctx->unit_done = 0;
		ctx->head_size = 0;
		if (READ_ONCE(vpi_params.headers_alone) ||
		    READ_ONCE(ctx->header_mode->val) == V4L2_MPEG_VIDEO_HEADER_MODE_SEPARATE)
			ctx->head_size = head;
	}
	deliver_piece(ctx, src, dst, d);
}

static void run_isp(struct vpi_ctx *ctx, struct vb2_v4l2_buffer *src, struct vb2_v4l2_buffer *dst)
{
	u8 *s = vb2_plane_vaddr(&src->vb2_buf, 0), *d = vb2_plane_vaddr(&dst->vb2_buf, 0);
	enum vb2_buffer_state state = VB2_BUF_STATE_DONE;

	if (!take_frame(ctx, src))
		return;
	if (s && d)
		vpi_isp_run(ctx, s, d);
	if (!s || !d || vpi_nth(ctx->frames, READ_ONCE(vpi_habits(ctx)->fail_every)))
		state = VB2_BUF_STATE_ERROR;
	mark_output(ctx, src, dst, ctx->dst.size);
	finish_frame(ctx, src, dst, state);
}

void vpi_job_work(struct work_struct *work)
{
	struct vpi_ctx *ctx = container_of(work, struct vpi_ctx, work);
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;
	struct vb2_v4l2_buffer *src = v4l2_m2m_next_src_buf(m2m);
	struct vb2_v4l2_buffer *dst = v4l2_m2m_next_dst_buf(m2m);

	if (src && dst && !vpi_is_silent(ctx)) {
		if (ctx->node->role == VPI_ENC)
			run_encoder(ctx, src, dst);
		else
			run_isp(ctx, src, dst);
	}
	v4l2_m2m_job_finish(ctx->node->m2m, m2m);
}

static void device_run(void *priv)
{
	struct vpi_ctx *ctx = priv;

	queue_work(system_unbound_wq, &ctx->work);
}

static int job_ready(void *priv)
{
	struct vpi_ctx *ctx = priv;

	return !vpi_is_silent(ctx) && !READ_ONCE(ctx->node->gone);
}

static void job_abort(void *priv)
{
	struct vpi_ctx *ctx = priv;

	atomic_set(&ctx->abort_wait, 1);
}

const struct v4l2_m2m_ops vpi_m2m_ops = {
	.device_run = device_run,
	.job_ready = job_ready,
	.job_abort = job_abort,
};

/* ---- streams ---- */

void vpi_job_init(struct vpi_ctx *ctx)
{
	u32 i;

	INIT_WORK(&ctx->work, vpi_job_work);
	INIT_DELAYED_WORK(&ctx->pump, vpi_pump_work);
	spin_lock_init(&ctx->lock);
	INIT_LIST_HEAD(&ctx->held);
	INIT_LIST_HEAD(&ctx->spare);
	for (i = 0; i < VPI_MAX_HELD; i++)
		list_add(&ctx->pool[i].entry, &ctx->spare);
	ctx->stall_generation = atomic_read(&vpi_stall_generation[ctx->node->role]);
}

int vpi_job_start(struct vpi_ctx *ctx, bool output)
{
	int ret;

	atomic_set(&ctx->abort_wait, 0);
	if (!output) {	/* whoever reads from here on knows nothing of what went before */
		ctx->h264.headers_sent = false;
		return 0;
	}
	if (ctx->node->role == VPI_ENC && !ctx->sticky_asked) {
		ctx->sticky_asked = true;
		if (vpi_take_sticky())
			fall_silent(ctx);
	}
	ret = ctx->node->role == VPI_ENC ? vpi_h264_start(ctx) : vpi_isp_start(ctx);
	if (ret)
		return ret;
	ctx->frames = 0;
	ctx->coded_frames = 0;
	ctx->newest = 0;
	ctx->junk_sent = false;
	WRITE_ONCE(ctx->streaming, true);
	return 0;
}

/* No job runs: the framework has seen to that. Buffers still in the ready queue are not ours. */
void vpi_job_stop(struct vpi_ctx *ctx, bool output)
{
	struct vpi_held *h, *tmp;

	cancel_delayed_work_sync(&ctx->pump);
	spin_lock(&ctx->lock);
	list_for_each_entry_safe(h, tmp, &ctx->held, entry) {
		if (output && h->src) {
			buffer_done(h->src, VB2_BUF_STATE_ERROR);
			h->src = NULL;
		} else if (!output && h->dst) {
			buffer_done(h->dst, VB2_BUF_STATE_ERROR);
			h->dst = NULL;
		}
		if (!h->src && !h->dst)
			held_free(ctx, h);
	}
	release_held(ctx, true, false);	/* the other queue's */
	spin_unlock(&ctx->lock);
	ctx->unit_size = 0;
	ctx->unit_done = 0;
	atomic_set(&ctx->abort_wait, 0);
	if (!output)
		return;
	WRITE_ONCE(ctx->streaming, false);
	if (ctx->node->role == VPI_ENC)
		vpi_h264_stop(ctx);
	else
		vpi_isp_stop(ctx);
}
