// SPDX-License-Identifier: GPL-2.0
/*
 * h264.c - writes H.264 that decodes to the very bytes that came in
 *
 * A macroblock that is the same as in the last picture is P_Skip, any other is I_PCM, the
 * deblocking filter is off: lossless by construction, with no transform at all. With
 * rate_mode the bitrate control is obeyed by conditional replenishment: so many changed
 * macroblocks a frame, starting where the last frame stopped.
 */
#include <linux/math64.h>
#include <linux/vmalloc.h>
#include <asm/unaligned.h>

#include "vpicodec.h"

/* Bits of a NAL unit, with emulation prevention (7.4.1.1 of the standard). */
struct bits {
	u8 *buf;
	u32 size, n;
	u32 zeros;		/* zero bytes just before */
	u32 acc;
	int pending;		/* bits in acc */
	bool overflow;
};

static inline void put_raw(struct bits *b, u8 v)
{
	if (b->n >= b->size) {
		b->overflow = true;
		return;
	}
	b->buf[b->n++] = v;
}

static inline void put_byte(struct bits *b, u8 v)
{
	if (b->zeros >= 2 && v <= 3) {
		put_raw(b, 3);
		b->zeros = 0;
	}
	put_raw(b, v);
	b->zeros = v ? 0 : b->zeros + 1;
}

static inline bool has_zero(u64 v)
{
	return (v - 0x0101010101010101ULL) & ~v & 0x8080808080808080ULL;
}

/* 8 bytes; all at once where nothing in them can need an emulation prevention byte. */
static inline void put_8(struct bits *b, const u8 *p)
{
	u64 v = get_unaligned((const u64 *)p);
	int i;

	if (!has_zero(v) && (b->zeros < 2 || p[0] > 3) && b->n + 8 <= b->size) {
		put_unaligned(v, (u64 *)(b->buf + b->n));
		b->n += 8;
		b->zeros = 0;
		return;
	}
	for (i = 0; i < 8; i++)
		put_byte(b, p[i]);
}

static void put_u(struct bits *b, int n, u32 v)
{
	while (n--) {
		b->acc = b->acc << 1 | ((v >> n) & 1);
		if (++b->pending == 8) {
			put_byte(b, b->acc);
			b->acc = 0;
			b->pending = 0;
		}
	}
}

static void put_ue(struct bits *b, u32 v)
{
	int n = fls(v + 1);

	put_u(b, n - 1, 0);
	put_u(b, n, v + 1);
}

static void put_align(struct bits *b)
{
	if (b->pending)
		put_u(b, 8 - b->pending, 0);
}

static void put_trailing(struct bits *b)
{
	put_u(b, 1, 1);
	put_align(b);
}

static void put_nal(struct bits *b, u8 header)
{
	static const u8 start[4] = { 0, 0, 0, 1 };
	int i;

	for (i = 0; i < 4; i++)
		put_raw(b, start[i]);
	put_raw(b, header);
	b->zeros = 0;
	b->acc = 0;
	b->pending = 0;
}

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

static inline size_t luma_at(const struct vpi_h264 *e, u32 mx, u32 my)
{
	return (size_t)my * 16 * e->mbw * 16 + mx * 16;
}

static inline size_t chroma_at(const struct vpi_h264 *e, u32 mx, u32 my)
{
	return (size_t)e->mbw * e->mbh * 256 + (size_t)my * 8 * e->mbw * 8 + mx * 8;
}

static bool mb_same(const struct vpi_h264 *e, u32 mx, u32 my)
{
	size_t o = luma_at(e, mx, my), c = chroma_at(e, mx, my), v = e->mbw * e->mbh * 64;
	const u8 *a = e->cur, *b = e->ref;
	u32 y;

#define DIFFERS(at) (*(const u64 *)(a + (at)) ^ *(const u64 *)(b + (at)))
	for (y = 0; y < 16; y++, o += e->mbw * 16)
		if (DIFFERS(o) | DIFFERS(o + 8))
			return false;
	for (y = 0; y < 8; y++, c += e->mbw * 8)
		if (DIFFERS(c) | DIFFERS(c + v))
			return false;
#undef DIFFERS
	return true;
}

static void mb_to_ref(struct vpi_h264 *e, u32 mx, u32 my)
{
	size_t o = luma_at(e, mx, my), c = chroma_at(e, mx, my), v = e->mbw * e->mbh * 64;
	u32 y;

	for (y = 0; y < 16; y++, o += e->mbw * 16)
		memcpy(e->ref + o, e->cur + o, 16);
	for (y = 0; y < 8; y++, c += e->mbw * 8) {
		memcpy(e->ref + c, e->cur + c, 8);
		memcpy(e->ref + c + v, e->cur + c + v, 8);
	}
}

static void put_pcm(const struct vpi_h264 *e, struct bits *b, u32 mx, u32 my, u32 mb_type)
{
	const u8 *p = e->cur + luma_at(e, mx, my), *c = e->cur + chroma_at(e, mx, my);
	u32 x, y, plane;

	put_ue(b, mb_type);
	put_align(b);
	for (y = 0; y < 16; y++, p += e->mbw * 16)
		for (x = 0; x < 16; x += 8)
			put_8(b, p + x);
	for (plane = 0; plane < 2; plane++, c += e->mbw * e->mbh * 64)
		for (y = 0; y < 8; y++)
			put_8(b, c + y * e->mbw * 8);
}

#define MB_I_PCM	25	/* in an I slice; 5 more in a P slice */
#define MB_I_16X16_DC	3

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
			put_pcm(e, b, mx, my, MB_I_PCM + (idr ? 0 : 5));
		}
	}
	if (skip)
		put_ue(b, skip);
	swap(e->cur, e->ref);
}

/* A grey picture in a byte a macroblock: DC prediction without coefficients. */
static void put_grey(struct vpi_h264 *e, struct bits *b)
{
	u32 i, n = e->mbw * e->mbh;

	for (i = 0; i < n; i++) {
		put_ue(b, MB_I_16X16_DC);
		put_ue(b, 0);
		put_ue(b, 0);
		put_u(b, 1, 1);
	}
	memset(e->ref, 128, (size_t)n * 384);
}

static void put_budget(struct vpi_ctx *ctx, struct bits *b)
{
	struct vpi_h264 *e = &ctx->h264;
	u32 i, skip = 0, next = e->rotate, n = e->mbw * e->mbh;
	u64 bytes = (u64)READ_ONCE(ctx->bitrate->val) * ctx->tpf.numerator;
	u32 left = max_t(u32, 1, div_u64(bytes, max(ctx->tpf.denominator, 1u) * 8) / 400);

	memset(e->pick, 0, n);
	for (i = 0; i < n && left; i++) {
		u32 k = (e->rotate + i) % n;

		if (!mb_same(e, k % e->mbw, k / e->mbw)) {
			e->pick[k] = 1;
			left--;
			next = k + 1;
		}
	}
	e->rotate = next % n;
	for (i = 0; i < n; i++) {
		if (!e->pick[i]) {
			skip++;
			continue;
		}
		put_ue(b, skip);
		skip = 0;
		put_pcm(e, b, i % e->mbw, i / e->mbw, MB_I_PCM + 5);
		mb_to_ref(e, i % e->mbw, i / e->mbw);
	}
	if (skip)
		put_ue(b, skip);
}

int vpi_h264_encode(struct vpi_ctx *ctx, const u8 *src, bool *key, u32 *head)
{
	struct vpi_h264 *e = &ctx->h264;
	struct bits b = { .buf = e->bits, .size = e->bits_size };
	u32 gop = READ_ONCE(ctx->gop->val);
	bool force = atomic_xchg(&ctx->force_key, 0);
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
	put_ue(&b, 0);			/* slice_qp_delta */
	put_ue(&b, 1);			/* deblocking off */
	if (!READ_ONCE(vpi_params.rate_mode))
		put_lossless(e, &b, idr);
	else if (idr)
		put_grey(e, &b);
	else
		put_budget(ctx, &b);
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
	/* Each byte of PCM may cost half a byte of emulation prevention. */
	e->bits_size = mbs * (384 + 192 + 16) + 4096;
	e->cur = vmalloc(mbs * 384);
	e->ref = vmalloc(mbs * 384);
	e->pick = vmalloc(mbs);
	e->bits = vmalloc(e->bits_size);
	if (!e->cur || !e->ref || !e->pick || !e->bits) {
		vpi_h264_stop(ctx);
		return -ENOMEM;
	}
	return 0;
}

void vpi_h264_stop(struct vpi_ctx *ctx)
{
	struct vpi_h264 *e = &ctx->h264;

	vfree(e->cur);
	vfree(e->ref);
	vfree(e->pick);
	vfree(e->bits);
	memset(e, 0, sizeof(*e));
}
