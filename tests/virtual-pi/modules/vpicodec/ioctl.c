// SPDX-License-Identifier: GPL-2.0
/*
 * ioctl.c - formats, controls and commands of both nodes
 */
#include <linux/log2.h>
#include <linux/uaccess.h>
#include <media/v4l2-ioctl.h>

#include "vpicodec.h"

/* Line alignments of the Pi's encode role (raspberry-pi.md, section 1). */
static const struct vpi_fmt raw_fmts[] = {
	{ V4L2_PIX_FMT_YUV420, 12, 64 },
	{ V4L2_PIX_FMT_NV12, 12, 32 },
	{ V4L2_PIX_FMT_YUYV, 16, 64 },
	{ V4L2_PIX_FMT_RGB24, 24, 32 },	/* leaves the isp, never enters */
};

static const struct vpi_fmt h264_fmt = { V4L2_PIX_FMT_H264, 0, 0 };

static const struct vpi_fmt *nth_fmt(const struct vpi_ctx *ctx, bool output, u32 n)
{
	if (ctx->node->role == VPI_ENC && !output)
		return n ? NULL : &h264_fmt;
	return n < ARRAY_SIZE(raw_fmts) - output ? &raw_fmts[n] : NULL;
}

static const struct vpi_fmt *find_fmt(const struct vpi_ctx *ctx, bool output, u32 fourcc)
{
	const struct vpi_fmt *fmt;
	u32 i;

	for (i = 0; (fmt = nth_fmt(ctx, output, i)) != NULL; i++)
		if (fmt->fourcc == fourcc)
			return fmt;
	return NULL;
}

static int querycap(struct file *file, void *priv, struct v4l2_capability *cap)
{
	strscpy(cap->driver, VPI_NAME, sizeof(cap->driver));
	strscpy(cap->card, video_devdata(file)->name, sizeof(cap->card));
	strscpy(cap->bus_info, "platform:" VPI_NAME, sizeof(cap->bus_info));
	return 0;
}

static int enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *f)
{
	const struct vpi_fmt *fmt = nth_fmt(vpi_file_ctx(file), V4L2_TYPE_IS_OUTPUT(f->type),
					    f->index);

	if (!fmt)
		return -EINVAL;
	f->pixelformat = fmt->fourcc;
	return 0;
}

static void refuse(const struct vpi_ctx *ctx, bool output, u32 *w, u32 *h)
{
	u32 r = READ_ONCE(vpi_params.refuse);

	if (!output || ctx->node->role != VPI_ENC || READ_ONCE(vpi_params.refuse_how) ||
	    r != (*w << 16 | *h))
		return;
	*w = max_t(u32, *w / 2, VPI_MIN_SIZE) & ~1;
	*h = max_t(u32, *h / 2, VPI_MIN_SIZE) & ~1;
}

/* What the device makes of what was asked. */
static void adjust(const struct vpi_ctx *ctx, const struct v4l2_pix_format_mplane *m, bool output,
		   struct vpi_qdata *q)
{
	u32 forced = READ_ONCE(vpi_params.sizeimage), extra = READ_ONCE(vpi_params.stride_align);
	u32 min, align;

	q->fmt = find_fmt(ctx, output, m->pixelformat) ?: nth_fmt(ctx, output, 0);
	q->w = clamp_t(u32, m->width, VPI_MIN_SIZE, VPI_MAX_SIZE) & ~1;
	q->h = clamp_t(u32, m->height, VPI_MIN_SIZE, VPI_MAX_SIZE) & ~1;
	refuse(ctx, output, &q->w, &q->h);
	if (!q->fmt->bpp) {
		/*
		 * All macroblocks I_PCM, with some emulation prevention. Twice as much could be
		 * needed, by black pictures of full range; then see `oversize`.
		 */
		min = DIV_ROUND_UP(q->w, 16) * DIV_ROUND_UP(q->h, 16) * 400 + (64 << 10);
		q->bpl = 0;
		q->size = clamp_t(u32, m->plane_fmt[0].sizeimage, min, VPI_MAX_CODED);
		if (forced)
			q->size = clamp_t(u32, forced, 4096, VPI_MAX_CODED);
		return;
	}
	align = q->fmt->align;
	if (extra)
		align = max_t(u32, align, roundup_pow_of_two(min(extra, 4096u)));
	min = q->fmt->bpp == 12 ? q->w : q->w * q->fmt->bpp / 8;
	q->bpl = ALIGN(clamp_t(u32, m->plane_fmt[0].bytesperline, min, 8192), align);
	q->size = q->fmt->bpp == 12 ? q->bpl * q->h / 2 * 3 : q->bpl * q->h;
}

static void describe(const struct vpi_ctx *ctx, const struct vpi_qdata *q,
		     struct v4l2_pix_format_mplane *m)
{
	m->width = q->w;
	m->height = q->h;
	m->pixelformat = q->fmt->fourcc;
	m->field = V4L2_FIELD_NONE;
	m->num_planes = 1;
	memset(m->plane_fmt, 0, sizeof(m->plane_fmt));
	m->plane_fmt[0].bytesperline = q->bpl;
	m->plane_fmt[0].sizeimage = q->size;
	m->colorspace = ctx->colorspace;
	m->ycbcr_enc = ctx->ycbcr;
	m->quantization = ctx->quant;
	m->xfer_func = ctx->xfer;
	m->flags = 0;
	memset(m->reserved, 0, sizeof(m->reserved));
}

static int g_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct vpi_ctx *ctx = vpi_file_ctx(file);

	describe(ctx, vpi_qdata(ctx, f->type), &f->fmt.pix_mp);
	return 0;
}

static int try_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct vpi_ctx *ctx = vpi_file_ctx(file);
	struct v4l2_pix_format_mplane *m = &f->fmt.pix_mp, asked = *m;
	bool output = V4L2_TYPE_IS_OUTPUT(f->type);
	struct vpi_qdata q;

	adjust(ctx, m, output, &q);
	describe(ctx, &q, m);
	if (output && asked.colorspace) {
		m->colorspace = asked.colorspace;
		m->ycbcr_enc = asked.ycbcr_enc;
		m->quantization = asked.quantization;
		m->xfer_func = asked.xfer_func;
	}
	return 0;
}

static int s_fmt(struct file *file, void *priv, struct v4l2_format *f)
{
	struct vpi_ctx *ctx = vpi_file_ctx(file);
	struct v4l2_pix_format_mplane *m = &f->fmt.pix_mp;
	bool output = V4L2_TYPE_IS_OUTPUT(f->type);

	if (vb2_is_busy(v4l2_m2m_get_vq(ctx->fh.m2m_ctx, f->type)))
		return -EBUSY;
	if (output && m->colorspace) {
		ctx->colorspace = m->colorspace;
		ctx->ycbcr = m->ycbcr_enc;
		ctx->quant = m->quantization;
		ctx->xfer = m->xfer_func;
	}
	adjust(ctx, m, output, vpi_qdata(ctx, f->type));
	describe(ctx, vpi_qdata(ctx, f->type), m);
	if (output && ctx->node->role == VPI_ENC &&
	    !vb2_is_busy(v4l2_m2m_get_dst_vq(ctx->fh.m2m_ctx))) {
		struct v4l2_pix_format_mplane coded = {
			.width = m->width,
			.height = m->height,
			.pixelformat = V4L2_PIX_FMT_H264,
		};

		adjust(ctx, &coded, false, &ctx->dst);
	}
	return 0;
}

static int g_parm(struct file *file, void *priv, struct v4l2_streamparm *a)
{
	if (a->type != V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE)
		return -EINVAL;
	memset(&a->parm, 0, sizeof(a->parm));
	a->parm.output.capability = V4L2_CAP_TIMEPERFRAME;
	a->parm.output.timeperframe = vpi_file_ctx(file)->tpf;
	return 0;
}

static int s_parm(struct file *file, void *priv, struct v4l2_streamparm *a)
{
	struct v4l2_fract t = a->parm.output.timeperframe;

	if (a->type != V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE)
		return -EINVAL;
	if (!t.numerator || !t.denominator)
		t = (struct v4l2_fract){ 1, 30 };
	t.denominator = min(t.denominator, 0x7fffffffu);	/* the SPS has twice as much */
	vpi_file_ctx(file)->tpf = t;
	return g_parm(file, priv, a);
}

static int g_selection(struct file *file, void *priv, struct v4l2_selection *s)
{
	struct vpi_ctx *ctx = vpi_file_ctx(file);

	if (s->type != V4L2_BUF_TYPE_VIDEO_OUTPUT)
		return -EINVAL;
	switch (s->target) {
	case V4L2_SEL_TGT_CROP:
	case V4L2_SEL_TGT_CROP_DEFAULT:
	case V4L2_SEL_TGT_CROP_BOUNDS:
		s->r = (struct v4l2_rect){ 0, 0, ctx->src.w, ctx->src.h };
		return 0;
	}
	return -EINVAL;
}

/* Only the whole picture: that is what any rectangle is made. */
static int s_selection(struct file *file, void *priv, struct v4l2_selection *s)
{
	return s->target == V4L2_SEL_TGT_CROP ? g_selection(file, priv, s) : -EINVAL;
}

static bool any_fmt(const struct vpi_ctx *ctx, u32 fourcc)
{
	return find_fmt(ctx, true, fourcc) || find_fmt(ctx, false, fourcc);
}

static int enum_framesizes(struct file *file, void *priv, struct v4l2_frmsizeenum *s)
{
	if (s->index || !any_fmt(vpi_file_ctx(file), s->pixel_format))
		return -EINVAL;
	s->type = V4L2_FRMSIZE_TYPE_STEPWISE;
	s->stepwise = (struct v4l2_frmsize_stepwise){
		VPI_MIN_SIZE, VPI_MAX_SIZE, 2, VPI_MIN_SIZE, VPI_MAX_SIZE, 2
	};
	return 0;
}

static int encoder_cmd(struct file *file, void *priv, struct v4l2_encoder_cmd *cmd)
{
	struct vpi_ctx *ctx = vpi_file_ctx(file);
	struct v4l2_m2m_ctx *m2m = ctx->fh.m2m_ctx;
	bool stop = cmd->cmd == V4L2_ENC_CMD_STOP;
	int ret = v4l2_m2m_ioctl_try_encoder_cmd(file, priv, cmd);

	if (ret)
		return ret;
	if (!vb2_is_streaming(v4l2_m2m_get_src_vq(m2m)) ||
	    !vb2_is_streaming(v4l2_m2m_get_dst_vq(m2m)))
		return 0;
	spin_lock(&ctx->lock);
	if (vpi_is_silent(ctx)) {	/* says yes, and nothing comes */
		spin_unlock(&ctx->lock);
		return 0;
	}
	if (stop && !m2m->is_draining && !m2m->has_stopped && !v4l2_m2m_last_src_buf(m2m)) {
		vpi_flush_held(ctx);
		if (READ_ONCE(vpi_params.drain_lost) > 1) {
			spin_unlock(&ctx->lock);
			return 0;
		}
	}
	ret = v4l2_m2m_ioctl_encoder_cmd(file, priv, cmd);
	spin_unlock(&ctx->lock);
	if (ret)
		return ret;
	if (stop && v4l2_m2m_has_stopped(m2m))
		v4l2_event_queue_fh(&ctx->fh, &vpi_eos);
	if (!stop && v4l2_m2m_has_stopped(m2m))
		vb2_clear_last_buffer_dequeued(v4l2_m2m_get_dst_vq(m2m));
	return 0;
}

static int subscribe_event(struct v4l2_fh *fh, const struct v4l2_event_subscription *sub)
{
	if (sub->type == V4L2_EVENT_EOS)
		return v4l2_event_subscribe(fh, sub, 2, NULL);
	return v4l2_ctrl_subscribe_event(fh, sub);
}

const struct v4l2_ioctl_ops vpi_ioctl_ops = {
	.vidioc_querycap = querycap,
	.vidioc_enum_fmt_vid_cap = enum_fmt,
	.vidioc_enum_fmt_vid_out = enum_fmt,
	.vidioc_g_fmt_vid_cap_mplane = g_fmt,
	.vidioc_g_fmt_vid_out_mplane = g_fmt,
	.vidioc_try_fmt_vid_cap_mplane = try_fmt,
	.vidioc_try_fmt_vid_out_mplane = try_fmt,
	.vidioc_s_fmt_vid_cap_mplane = s_fmt,
	.vidioc_s_fmt_vid_out_mplane = s_fmt,
	.vidioc_reqbufs = v4l2_m2m_ioctl_reqbufs,
	.vidioc_querybuf = v4l2_m2m_ioctl_querybuf,
	.vidioc_qbuf = v4l2_m2m_ioctl_qbuf,
	.vidioc_dqbuf = v4l2_m2m_ioctl_dqbuf,
	.vidioc_prepare_buf = v4l2_m2m_ioctl_prepare_buf,
	.vidioc_create_bufs = v4l2_m2m_ioctl_create_bufs,
	.vidioc_expbuf = v4l2_m2m_ioctl_expbuf,
	.vidioc_streamon = v4l2_m2m_ioctl_streamon,
	.vidioc_streamoff = v4l2_m2m_ioctl_streamoff,
	.vidioc_g_parm = g_parm,
	.vidioc_s_parm = s_parm,
	.vidioc_g_selection = g_selection,
	.vidioc_s_selection = s_selection,
	.vidioc_enum_framesizes = enum_framesizes,
	.vidioc_encoder_cmd = encoder_cmd,
	.vidioc_try_encoder_cmd = v4l2_m2m_ioctl_try_encoder_cmd,
	.vidioc_subscribe_event = subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

/*
 * old_names: kernel 6.0 renamed NV12 from "Y/CbCr 4:2:0" to "Y/UV 4:2:0", which Debian 12's
 * v4l2-compliance (1.22.1) takes for a fault. The core writes the description after
 * the driver, so it can only be put back here.
 */
long vpi_unlocked_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	static const char name[] = "Y/CbCr 4:2:0";
	struct v4l2_fmtdesc __user *f = (void __user *)arg;
	long ret = video_ioctl2(file, cmd, arg);
	u32 fourcc;

	if (cmd != VIDIOC_ENUM_FMT || ret || !READ_ONCE(vpi_params.old_names))
		return ret;
	if (get_user(fourcc, &f->pixelformat))
		return -EFAULT;
	if (fourcc == V4L2_PIX_FMT_NV12 && copy_to_user(f->description, name, sizeof(name)))
		return -EFAULT;
	return 0;
}

static int s_ctrl(struct v4l2_ctrl *ctrl)
{
	struct vpi_ctx *ctx = container_of(ctrl->handler, struct vpi_ctx, ctrls);

	switch (ctrl->id) {
	case V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME:
		atomic_set(&ctx->force_key, 1);
		break;
	case V4L2_CID_MPEG_VIDEO_H264_I_PERIOD:	/* every I frame is IDR */
		return __v4l2_ctrl_s_ctrl(ctx->gop, ctrl->val);
	}
	return 0;
}

static const struct v4l2_ctrl_ops ctrl_ops = { .s_ctrl = s_ctrl };

static struct v4l2_ctrl *std(struct vpi_ctx *ctx, u32 id, s64 min, s64 max, u64 step, s64 def)
{
	return v4l2_ctrl_new_std(&ctx->ctrls, &ctrl_ops, id, min, max, step, def);
}

static struct v4l2_ctrl *menu(struct vpi_ctx *ctx, u32 id, u8 max, u64 skip, u8 def)
{
	return v4l2_ctrl_new_std_menu(&ctx->ctrls, &ctrl_ops, id, max, skip, def);
}

/* Those of the Pi's encoder, with its defaults. */
static void add_encoder_ctrls(struct vpi_ctx *ctx)
{
	const u64 profiles = BIT(V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE) |
			     BIT(V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE) |
			     BIT(V4L2_MPEG_VIDEO_H264_PROFILE_MAIN) |
			     BIT(V4L2_MPEG_VIDEO_H264_PROFILE_HIGH);

	ctx->gop = std(ctx, V4L2_CID_MPEG_VIDEO_GOP_SIZE, 0, 0x7fffffff, 1, 60);
	menu(ctx, V4L2_CID_MPEG_VIDEO_BITRATE_MODE, V4L2_MPEG_VIDEO_BITRATE_MODE_CBR, 0,
	     V4L2_MPEG_VIDEO_BITRATE_MODE_VBR);
	ctx->bitrate = std(ctx, V4L2_CID_MPEG_VIDEO_BITRATE, 25000, 25000000, 25000, 10000000);
	ctx->header_mode = menu(ctx, V4L2_CID_MPEG_VIDEO_HEADER_MODE,
				V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME, 0,
				V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME);
	ctx->repeat = std(ctx, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 0, 1, 1, 0);
	std(ctx, V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, 0, 0x7fffffff, 1, 60);
	ctx->level = menu(ctx, V4L2_CID_MPEG_VIDEO_H264_LEVEL, V4L2_MPEG_VIDEO_H264_LEVEL_5_1, 0,
			  V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
	ctx->profile = menu(ctx, V4L2_CID_MPEG_VIDEO_H264_PROFILE,
			    V4L2_MPEG_VIDEO_H264_PROFILE_HIGH, ~profiles,
			    V4L2_MPEG_VIDEO_H264_PROFILE_HIGH);
	std(ctx, V4L2_CID_MPEG_VIDEO_H264_MIN_QP, 0, 51, 1, 20);
	std(ctx, V4L2_CID_MPEG_VIDEO_H264_MAX_QP, 0, 51, 1, 51);
	std(ctx, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 0, 0, 0, 0);
	std(ctx, V4L2_CID_MPEG_VIDEO_B_FRAMES, 0, 0, 1, 0);
	std(ctx, V4L2_CID_MIN_BUFFERS_FOR_OUTPUT, 1, 1, 1, 1);
}

int vpi_add_ctrls(struct vpi_ctx *ctx)
{
	v4l2_ctrl_handler_init(&ctx->ctrls, 16);
	if (ctx->node->role == VPI_ENC)
		add_encoder_ctrls(ctx);
	ctx->fh.ctrl_handler = &ctx->ctrls;
	return ctx->ctrls.error;
}

void vpi_default_formats(struct vpi_ctx *ctx)
{
	const struct v4l2_pix_format_mplane m = { .width = 640, .height = 480 };

	ctx->tpf = (struct v4l2_fract){ 1, 30 };
	ctx->colorspace = V4L2_COLORSPACE_REC709;
	adjust(ctx, &m, true, &ctx->src);
	adjust(ctx, &m, false, &ctx->dst);
}
