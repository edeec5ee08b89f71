// SPDX-License-Identifier: GPL-2.0
/*
 * isp.c - the scaler and colour converter: pixels that a test can compute
 *
 * Each plane is resampled by itself, first the rule, then the colours:
 *
 * - From n to m samples (each axis by itself), output sample i is the mean of the input samples
 *   [i*n/m, (i+1)*n/m), divisions rounded down, where m <= n; of the one at (2*i+1)*n/(2*m)
 *   where m > n, or always with isp_nearest. The mean of a box of both axes is
 *   (sum + count/2) / count.
 * - Chroma is a plane of its own: w/2 x h/2 of NV12 and YU12, w/2 x h of YUYV, and is
 *   brought to the output's chroma size; for RGB to w x h of the output.
 * - RGB from limited range YCbCr, C = 298 * (Y - 16), D = Cb - 128, E = Cr - 128:
 *	R = clip((C + re * E + 128) >> 8)
 *	G = clip((C - gd * D - ge * E + 128) >> 8)
 *	B = clip((C + bd * D + 128) >> 8)
 *   re, gd, ge, bd: BT.601: 409, 100, 208, 516; BT.709: 459, 55, 136, 541. The encoding is the
 *   one set on the OUTPUT queue, by ycbcr_enc or else by the colour space.
 */
#include <linux/slab.h>

#include "vpicodec.h"

/* Samples of one component, in whatever picture they lie. */
struct plane {
	const u8 *p;
	u32 step, stride, w, h;
};

struct matrix {
	int re, gd, ge, bd;
};

static const struct matrix bt601 = { 409, 100, 208, 516 };
static const struct matrix bt709 = { 459, 55, 136, 541 };

static void planes_of(const struct vpi_qdata *q, const u8 *p, struct plane c[3])
{
	const u8 *chroma = p + (size_t)q->bpl * q->h;
	u32 i;

	c[0] = (struct plane){ p, 1, q->bpl, q->w, q->h };
	for (i = 1; i < 3; i++) {
		switch (q->fmt->fourcc) {
		case V4L2_PIX_FMT_NV12:
			c[i] = (struct plane){ chroma + i - 1, 2, q->bpl, q->w / 2, q->h / 2 };
			break;
		case V4L2_PIX_FMT_YUYV:
			c[0].step = 2;
			c[i] = (struct plane){ p + 2 * i - 1, 4, q->bpl, q->w / 2, q->h };
			break;
		default:
			c[i] = (struct plane){ chroma + (i - 1) * (size_t)(q->bpl / 2) * (q->h / 2),
					       1, q->bpl / 2, q->w / 2, q->h / 2 };
			break;
		}
	}
}

static void span(u32 i, u32 n, u32 m, bool nearest, u32 *from, u32 *to)
{
	if (nearest || m > n) {
		*from = (2 * i + 1) * n / (2 * m);
		*to = *from + 1;
	} else {
		*from = i * n / m;
		*to = (i + 1) * n / m;
	}
}

/* Line y of the plane at m x k samples; `out` has every ostep-th byte. */
static void line(const struct plane *c, u32 *acc, u8 *out, u32 ostep, u32 m, u32 k, u32 y)
{
	bool nearest = READ_ONCE(vpi_params.isp_nearest);
	u32 y0, y1, x0, x1, x, i, rows;
	const u8 *p;

	span(y, c->h, k, nearest, &y0, &y1);
	p = c->p + (size_t)y0 * c->stride;
	rows = y1 - y0;
	if (rows == 1 && (nearest || m >= c->w)) {
		for (i = 0; i < m; i++) {
			span(i, c->w, m, nearest, &x0, &x1);
			out[i * ostep] = p[x0 * c->step];
		}
		return;
	}
	for (x = 0; x < c->w; x++)
		acc[x] = p[x * c->step];
	while (++y0 < y1) {
		p += c->stride;
		if (c->step == 1)
			for (x = 0; x < c->w; x++)
				acc[x] += p[x];
		else
			for (x = 0; x < c->w; x++)
				acc[x] += p[x * c->step];
	}
	for (i = 0; i < m; i++) {
		u32 sum = 0, n;

		span(i, c->w, m, nearest, &x0, &x1);
		n = (x1 - x0) * rows;
		while (x0 < x1)
			sum += acc[x0++];
		out[i * ostep] = n == 1 ? sum : (sum + n / 2) / n;
	}
}

static inline u8 clip8(int v)
{
	return clamp(v, 0, 255);
}

static void to_rgb(u8 *d, u32 w, const u8 *Y, const u8 *U, const u8 *V, const struct matrix *m)
{
	u32 x;

	for (x = 0; x < w; x++, d += 3) {
		int c = 298 * (Y[x] - 16) + 128, cb = U[x] - 128, cr = V[x] - 128;

		d[0] = clip8((c + m->re * cr) >> 8);
		d[1] = clip8((c - m->gd * cb - m->ge * cr) >> 8);
		d[2] = clip8((c + m->bd * cb) >> 8);
	}
}

static const struct matrix *matrix_of(const struct vpi_ctx *ctx)
{
	u32 enc = ctx->ycbcr;

	if (enc == V4L2_YCBCR_ENC_DEFAULT)
		enc = V4L2_MAP_YCBCR_ENC_DEFAULT(ctx->colorspace);
	return enc == V4L2_YCBCR_ENC_709 ? &bt709 : &bt601;
}

void vpi_isp_run(struct vpi_ctx *ctx, const u8 *src, u8 *dst)
{
	const struct vpi_qdata *q = &ctx->dst;
	const struct matrix *m = matrix_of(ctx);
	u8 *lines = (u8 *)(ctx->acc + VPI_MAX_SIZE);
	u8 *chroma = dst + (size_t)q->bpl * q->h;
	struct plane c[3];
	u32 y, i;

	planes_of(&ctx->src, src, c);
	for (y = 0; y < q->h; y++) {
		u8 *d = dst + (size_t)y * q->bpl;

		switch (q->fmt->fourcc) {
		case V4L2_PIX_FMT_RGB24:
			for (i = 0; i < 3; i++)
				line(&c[i], ctx->acc, lines + i * VPI_MAX_SIZE, 1, q->w, q->h, y);
			to_rgb(d, q->w, lines, lines + VPI_MAX_SIZE, lines + 2 * VPI_MAX_SIZE, m);
			break;
		case V4L2_PIX_FMT_YUYV:
			line(&c[0], ctx->acc, d, 2, q->w, q->h, y);
			for (i = 1; i < 3; i++)
				line(&c[i], ctx->acc, d + 2 * i - 1, 4, q->w / 2, q->h, y);
			break;
		default:
			line(&c[0], ctx->acc, d, 1, q->w, q->h, y);
			break;
		}
	}
	if (q->fmt->bpp != 12)
		return;
	for (y = 0; y < q->h / 2; y++) {
		for (i = 1; i < 3; i++) {
			if (q->fmt->fourcc == V4L2_PIX_FMT_NV12)
				line(&c[i], ctx->acc, chroma + (size_t)y * q->bpl + i - 1, 2,
				     q->w / 2, q->h / 2, y);
			else
				line(&c[i], ctx->acc, chroma + (size_t)(q->bpl / 2) *
				     ((i - 1) * (q->h / 2) + y), 1, q->w / 2, q->h / 2, y);
		}
	}
}

int vpi_isp_start(struct vpi_ctx *ctx)
{
	/* A line of sums, then three lines of samples. */
	ctx->acc = kmalloc(VPI_MAX_SIZE * (sizeof(u32) + 3), GFP_KERNEL);
	return ctx->acc ? 0 : -ENOMEM;
}

void vpi_isp_stop(struct vpi_ctx *ctx)
{
	kfree(ctx->acc);
	ctx->acc = NULL;
}
