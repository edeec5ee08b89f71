// SPDX-License-Identifier: GPL-2.0
/*
 * h264.c - writes H.264 that decodes to the very bytes that came in
 *
 * A macroblock that is the same as in the last picture is P_Skip, any other is I_PCM, the
 * deblocking filter is off: lossless by construction, with no transform at all. With
 * rate_mode see rate.c.
 */
#include <linux/mm.h>

#include "h264.h"

static const u8 level_idc[] = {
	10, 9, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51
};

static void put_vui(struct vpi_ctx *ctx, struct bits *b)
{
	put_u(b, 1, 1);
	put_u(b, 4, 0);			/* no aspect ratio, overscan, signal type, chroma place */
	put_u(b, 1, 1);			/* timing */
	put_u(b, 16, ctx->tpf.numerator >> 16);
	put_u(b, 16, ctx->tpf.numerator);
	put_u(b, 16, (ctx->tpf.denominator * 2) >> 16);
	put_u(b, 16, ctx->tpf.denominator * 2);
	put_u(b, 1, 1);			/* fixed rate */
	put_u(b, 3, 0);			/* no hrd of either kind, no pic_struct */
	put_u(b, 1, 1);			/* restrictions: */
	put_u(b, 1, 1);
	put_ue(b, 0);
	put_ue(b, 0);
	put_ue(b, 10);
	put_ue(b, 10);
	put_ue(b, 0);			/* no reordering: a decoder need not wait */
	put_ue(b, 1);
}

static void put_sps(struct vpi_ctx *ctx, struct bits *b)
{
	u32 w = ctx->src.w, h = ctx->src.h, mbw = ctx->h264.mbw, mbh = ctx->h264.mbh;
	u32 level = min_t(u32, ctx->level->val, ARRAY_SIZE(level_idc) - 1);
	u32 profile = 66, constraints = 0xc0;

	switch (ctx->profile->val) {
	case V4L2_MPEG_VIDEO_H264_PROFILE_MAIN:
		profile = 77;
		constraints = 0x40;
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_HIGH:
		profile = 100;
		constraints = 0;
		break;
	}
	put_nal(b, 0x67);
	put_u(b, 8, profile);
	put_u(b, 8, constraints);
	put_u(b, 8, level_idc[level]);
	put_ue(b, 0);
	if (profile == 100) {
		put_ue(b, 1);		/* 4:2:0 */
		put_ue(b, 0);
		put_ue(b, 0);
		put_u(b, 2, 0);
	}
	put_ue(b, 4);			/* log2_max_frame_num = 8 */
	put_ue(b, 2);			/* output order is decoding order */
	put_ue(b, 1);			/* one reference */
	put_u(b, 1, 0);
	put_ue(b, mbw - 1);
	put_ue(b, mbh - 1);
	put_u(b, 2, 3);			/* frames only, direct_8x8 */
	if ((w & 15) || (h & 15)) {
		put_u(b, 1, 1);
		put_ue(b, 0);
		put_ue(b, (mbw * 16 - w) / 2);
		put_ue(b, 0);
		put_ue(b, (mbh * 16 - h) / 2);
	} else {
		put_u(b, 1, 0);
	}
	put_vui(ctx, b);
	put_trailing(b);
}

static void put_pps(struct bits *b)
{
	put_nal(b, 0x68);
	put_ue(b, 0);
	put_ue(b, 0);
	put_u(b, 2, 0);			/* CAVLC */
	put_ue(b, 0);
	put_ue(b, 0);
	put_ue(b, 0);
	put_u(b, 3, 0);
	put_ue(b, 0);
	put_ue(b, 0);
	put_ue(b, 0);
	put_u(b, 3, 4);			/* the slice says that there is no deblocking */
	put_trailing(b);
}

/* The even bytes of 8, in 4. */
static inline u32 even_bytes(u64 v)
{
	v &= 0x00ff00ff00ff00ffULL;
	v = (v | v >> 8) & 0x0000ffff0000ffffULL;
	return v | v >> 16;
}

/* Every `step`th byte of a line: step 1, 2 or 4. `n` bytes come out. */
static void gather(u8 *dst, const u8 *src, u32 step, u32 n)
{
	u32 i = 0;

	if (step == 1) {
		memcpy(dst, src, n);
		return;
	}
	if (step == 2)	/* one step short of the end: reading 8 bytes must stay inside the line */
		for (; i + 8 <= n; i += 4)
			put_unaligned_le32(even_bytes(get_unaligned_le64(src + 2 * i)), dst + i);
	for (; i < n; i++)
		dst[i] = src[step * i];
}

static void load_line(u8 *dst, u32 width, const u8 *src, u32 step, u32 n)
{
	gather(dst, src, step, n);
	memset(dst + n, dst[n - 1], width - n);
}

/* The source as planes of whole macroblocks; the last pixels are repeated at the edges. */
static void load_picture(struct vpi_ctx *ctx, const u8 *src)
{
	u32 w = ctx->src.w, h = ctx->src.h, bpl = ctx->src.bpl, y;
	u32 W = ctx->h264.mbw * 16, H = ctx->h264.mbh * 16;
	u8 *Y = ctx->h264.cur, *U = Y + W * H, *V = U + W * H / 4;
	u32 fourcc = ctx->src.fmt->fourcc;
	const u8 *chroma = src + (size_t)bpl * h;

	for (y = 0; y < H; y++)
		load_line(Y + y * W, W, src + (size_t)min(y, h - 1) * bpl,
			  fourcc == V4L2_PIX_FMT_YUYV ? 2 : 1, w);
	for (y = 0; y < H / 2; y++) {
		size_t cy = min(y, h / 2 - 1);
		const u8 *u, *v;
		u32 step;

		switch (fourcc) {
		case V4L2_PIX_FMT_NV12:
			u = chroma + cy * bpl;
			v = u + 1;
			step = 2;
			break;
		case V4L2_PIX_FMT_YUYV:	/* the even lines' chroma */
			u = src + cy * 2 * bpl + 1;
			v = u + 2;
			step = 4;
			break;
		default:
			u = chroma + cy * (bpl / 2);
			v = u + (size_t)(bpl / 2) * (h / 2);
			step = 1;
			break;
		}
		load_line(U + y * (W / 2), W / 2, u, step, w / 2);
		load_line(V + y * (W / 2), W / 2, v, step, w / 2);
	}
}

static void put_lossless(struct vpi_h264 *e, struct bits *b, bool idr)
{
	u32 mx, my, skip = 0;

	for (my = 0; my < e->mbh; my++) {
		for (mx = 0; mx < e->mbw; mx++) {
			if (!idr) {
				if (mb_same(e, mx, my)) {
					skip++;
					continue;
				}
				put_ue(b, skip);
				skip = 0;
			}
			put_pcm(e, b, mx, my, MB_I_PCM + (idr ? 0 : MB_P));
		}
	}
	if (skip)
		put_ue(b, skip);
	swap(e->cur, e->ref);
}

int vpi_h264_encode(struct vpi_ctx *ctx, const u8 *src, bool *key, u32 *head)
{
	struct vpi_h264 *e = &ctx->h264;
	struct bits b = { .buf = e->bits, .size = e->bits_size };
	u32 gop = READ_ONCE(ctx->gop->val);
	bool force = atomic_xchg(&ctx->force_key, 0), rate = READ_ONCE(vpi_params.rate_mode);
	bool idr = !e->headers_sent || force || (gop && e->since_idr >= gop);

	load_picture(ctx, src);
	if (idr && (!e->headers_sent || READ_ONCE(ctx->repeat->val))) {
		put_sps(ctx, &b);
		put_pps(&b);
	}
	*head = b.n;
	if (idr) {
		e->frame_num = 0;
		e->since_idr = 0;
		e->idr_id ^= 1;
	}
	e->headers_sent = true;
	put_nal(&b, idr ? 0x65 : 0x41);
	put_ue(&b, 0);
	put_ue(&b, idr ? 7 : 5);
	put_ue(&b, 0);
	put_u(&b, 8, e->frame_num & 255);
	if (idr) {
		put_ue(&b, e->idr_id);
		put_u(&b, 2, 0);
	} else {
		put_u(&b, 3, 0);	/* no override, no reordering, sliding window */
	}
	put_se(&b, rate ? RATE_QP - 26 : 0);
	put_ue(&b, 1);			/* deblocking off */
	if (rate)
		vpi_rate_slice(ctx, &b, idr);
	else
		put_lossless(e, &b, idr);
	put_trailing(&b);
	e->frame_num++;
	e->since_idr++;
	*key = idr;
	if (b.overflow) {
		/* What the decoder has is not what we think: begin anew. */
		e->since_idr = U32_MAX;
		atomic_set(&ctx->force_key, 1);
		return -ENOSPC;
	}
	return b.n;
}

int vpi_h264_start(struct vpi_ctx *ctx)
{
	struct vpi_h264 *e = &ctx->h264;
	size_t mbs;

	memset(e, 0, sizeof(*e));
	e->mbw = DIV_ROUND_UP(ctx->src.w, 16);
	e->mbh = DIV_ROUND_UP(ctx->src.h, 16);
	mbs = e->mbw * e->mbh;
	/*
	 * kvmalloc: in User Mode Linux it is vmalloc's area that is dangerous to give back under load.
	 * Each byte of PCM may cost half a byte of emulation prevention.
	 */
	e->bits_size = mbs * (384 + 192 + 16) + 4096;
	e->cur = kvmalloc(mbs * 384, GFP_KERNEL);
	e->ref = kvmalloc(mbs * 384, GFP_KERNEL);
	e->kind = kvmalloc(mbs, GFP_KERNEL);
	e->bits = kvmalloc(e->bits_size, GFP_KERNEL);
	if (!e->cur || !e->ref || !e->kind || !e->bits) {
		vpi_h264_stop(ctx);
		return -ENOMEM;
	}
	return 0;
}

void vpi_h264_stop(struct vpi_ctx *ctx)
{
	struct vpi_h264 *e = &ctx->h264;

	kvfree(e->cur);
	kvfree(e->ref);
	kvfree(e->kind);
	kvfree(e->bits);
	memset(e, 0, sizeof(*e));
}
