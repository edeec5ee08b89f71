// SPDX-License-Identifier: GPL-2.0
/*
 * rate.c - rate_mode: a picture within the bitrate, coarse first, then exact
 *
 * A key frame, and what has changed much, is coded by the means of the 4x4 blocks: Intra_16x16
 * with DC coefficients only. What is left of a frame's bytes goes into I_PCM for macroblocks
 * that are not yet exact, starting where the last frame stopped. `ref` is what a decoder has, to
 * the bit, so that a still picture ends up exact.
 *
 * Numbers in brackets are clauses of H.264.
 */
#include <linux/math64.h>

#include "h264.h"

enum kind { SKIP, PCM, COARSE };

#define MB_I_16X16	1	/* then the prediction mode, 4 * chroma pattern, 12 * luma pattern */
#define PRED_DC		2
#define COARSE_BYTES	14		/* about */
#define PCM_BYTES	386

/* What one DC coefficient does to a pixel, in 1/64, at RATE_QP: 16 * 13 << 3 >> 6, >> 5 [8.5]. */
#define LUMA_STEP	26
#define CHROMA_STEP	52

static inline u8 clip8(int v)
{
	return clamp(v, 0, 255);
}

static inline int round_div(int n, int d)
{
	return n >= 0 ? (n + d / 2) / d : -((-n + d / 2) / d);
}

static int sum_row(const u8 *p, u32 n)
{
	int sum = 0;

	while (n--)
		sum += *p++;
	return sum;
}

static int sum_column(const u8 *p, u32 stride, u32 n)
{
	int sum = 0;

	for (; n--; p += stride)
		sum += *p;
	return sum;
}

/* ---- residuals [9.2], never but of 0, 1, or all coefficients ---- */

/* One level of a block; *suffix is the adaptive suffix length. `first`: not a trailing one. */
static void put_level(struct bits *b, int level, u32 *suffix, bool first)
{
	u32 code = level > 0 ? 2 * level - 2 : -2 * level - 1, escape = 15 << *suffix;

	if (first)
		code -= 2;
	if (!*suffix && code >= 14 && code < 30) {
		put_u(b, 15, 1);
		put_u(b, 4, code - 14);
	} else if (code >= (*suffix ? escape : 30)) {
		put_u(b, 16, 1);
		put_u(b, 12, code - (*suffix ? escape : 30));
	} else {
		put_u(b, (code >> *suffix) + 1, 1);
		put_u(b, *suffix, code & ((1 << *suffix) - 1));
	}
	if (!*suffix)
		*suffix = 1;
	if (abs(level) > 3 << (*suffix - 1) && *suffix < 6)
		++*suffix;
}

/* 16 levels in scan order, all of them or only the first other than 0. */
static void put_luma_dc(struct bits *b, const int *level, bool all, u32 nc)
{
	static const u8 token_16[] = { 4, 6, 5, 8 };
	u32 ones = 0, suffix, i, total = all ? 16 : level[0] != 0;

	for (i = total; i > 0 && ones < 3 && abs(level[i - 1]) == 1; i--)
		ones++;
	if (nc >= 8)		/* beside I_PCM */
		put_u(b, 6, total ? (total - 1) << 2 | ones : 3);
	else if (!total)
		put_u(b, 1, 1);
	else if (total == 1)
		put_u(b, ones ? 2 : 6, ones ? 1 : 5);
	else
		put_u(b, 16, token_16[ones]);
	for (i = 0; i < ones; i++)
		put_u(b, 1, level[total - 1 - i] < 0);
	suffix = total > 10 && ones < 3;
	for (i = total - ones; i > 0; i--)
		put_level(b, level[i - 1], &suffix, i == total - ones && ones < 3);
	if (total == 1)
		put_u(b, 1, 1);	/* total_zeros */
}

static void put_chroma_dc(struct bits *b, int level)
{
	u32 suffix = 0;

	switch (abs(level)) {
	case 0:
		put_u(b, 2, 1);
		return;
	case 1:
		put_u(b, 1, 1);
		put_u(b, 1, level < 0);
		break;
	default:
		put_u(b, 6, 7);
		put_level(b, level, &suffix, true);
		break;
	}
	put_u(b, 1, 1);		/* total_zeros */
}

/* ---- a coarse macroblock ---- */

static void hadamard(int m[16])
{
	int pass, i;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < 4; i++) {
			int *p = pass ? m + i : m + 4 * i, s = pass ? 4 : 1;
			int a = p[0] + p[s], c = p[0] - p[s], d = p[2 * s] + p[3 * s];
			int e = p[2 * s] - p[3 * s];

			p[0] = a + d;
			p[s] = a - d;
			p[2 * s] = c - e;
			p[3 * s] = c + e;
		}
	}
}

/*
 * The levels that bring the prediction to the means of the 4x4 blocks; false: a single one does.
 * Then all 16 must be other than 0, which spares us the tables for the rest: an error of
 * at most one step each, with signs that do not add up in one place.
 */
static bool luma_levels(const struct vpi_h264 *e, size_t at, int pred, int level[16])
{
	static const u8 scan[16] = { 0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15 };
	u32 stride = e->mbw * 16, i, y;
	bool all = false;
	int m[16];

	for (i = 0; i < 16; i++) {
		const u8 *p = e->cur + at + (i / 4) * 4 * stride + (i & 3) * 4;

		m[i] = -16 * pred;
		for (y = 0; y < 4; y++)
			m[i] += sum_row(p + y * stride, 4);
	}
	hadamard(m);		/* 16 * 16 times the mean of each */
	for (i = 0; i < 16; i++) {
		level[i] = round_div(m[scan[i]] * 4, 16 * LUMA_STEP);
		if (i && level[i])
			all = true;
	}
	if (all)
		for (i = 0; i < 16; i++)
			if (!level[i])
				level[i] = (0xac53 >> i) & 1 ? 1 : -1;
	return all;
}

static void rebuild_luma(struct vpi_h264 *e, size_t at, int pred, const int level[16], bool all)
{
	static const u8 scan[16] = { 0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15 };
	u32 stride = e->mbw * 16, i, y;
	int f[16] = { 0 };

	for (i = 0; i < (all ? 16 : 1); i++)
		f[scan[i]] = level[i];
	hadamard(f);
	for (i = 0; i < 16; i++) {
		u8 *p = e->ref + at + (i / 4) * 4 * stride + (i & 3) * 4;
		u8 v = clip8(pred + ((LUMA_STEP * f[i] + 32) >> 6));

		for (y = 0; y < 4; y++)
			memset(p + y * stride, v, 4);
	}
}

static int predict_luma(const struct vpi_h264 *e, u32 mx, u32 my)
{
	u32 stride = e->mbw * 16;
	const u8 *p = e->ref + luma_at(e, mx, my);

	if (mx && my)
		return (sum_row(p - stride, 16) + sum_column(p - 1, stride, 16) + 16) >> 5;
	if (my)
		return (sum_row(p - stride, 16) + 8) >> 4;
	if (mx)
		return (sum_column(p - 1, stride, 16) + 8) >> 4;
	return 128;
}

/* DC prediction of the 4x4 blocks of an 8x8 one, each by its own neighbours [8.3.4]. */
static void predict_chroma(const u8 *p, u32 stride, bool left, bool top, int pred[4])
{
	u32 i;

	for (i = 0; i < 4; i++) {
		u32 x = (i & 1) * 4, y = (i / 2) * 4;
		int t = top ? sum_row(p - stride + x, 4) : 0;
		int l = left ? sum_column(p + y * stride - 1, stride, 4) : 0;

		if (left && top && (i == 0 || i == 3))
			pred[i] = (t + l + 4) >> 3;
		else if (top && (i == 1 || !left))
			pred[i] = (t + 2) >> 2;
		else if (left)
			pred[i] = (l + 2) >> 2;
		else
			pred[i] = 128;
	}
}

/* The level that brings the prediction to the mean of the block; `ref` becomes what it makes. */
static int code_chroma(struct vpi_h264 *e, size_t at, bool left, bool top)
{
	u32 stride = e->mbw * 8, i, y;
	int pred[4], mean = 0, level, r;

	predict_chroma(e->ref + at, stride, left, top, pred);
	for (y = 0; y < 8; y++)
		mean += sum_row(e->cur + at + y * stride, 8);
	mean -= 16 * (pred[0] + pred[1] + pred[2] + pred[3]);
	level = round_div(mean, CHROMA_STEP);
	r = (CHROMA_STEP * level + 32) >> 6;
	for (i = 0; i < 4; i++)
		for (y = 0; y < 4; y++)
			memset(e->ref + at + ((i / 2) * 4 + y) * stride + (i & 1) * 4,
			       clip8(pred[i] + r), 4);
	return level;
}

static u32 coefficients_near(const struct vpi_h264 *e, u32 mx, u32 my)
{
	u32 i = my * e->mbw + mx;
	u32 a = mx && e->kind[i - 1] == PCM ? 16 : 0, b = my && e->kind[i - e->mbw] == PCM ? 16 : 0;

	return mx && my ? (a + b + 1) / 2 : a + b;
}

static void put_coarse(struct vpi_h264 *e, struct bits *b, u32 mx, u32 my, bool idr)
{
	size_t at = luma_at(e, mx, my), c = chroma_at(e, mx, my);
	int pred = predict_luma(e, mx, my), level[16], cb, cr;
	bool all = luma_levels(e, at, pred, level);

	rebuild_luma(e, at, pred, level, all);
	cb = code_chroma(e, c, mx, my);
	cr = code_chroma(e, c + e->mbw * e->mbh * 64, mx, my);
	put_ue(b, MB_I_16X16 + PRED_DC + (cb || cr ? 4 : 0) + (idr ? 0 : MB_P));
	put_ue(b, 0);		/* chroma by DC too */
	put_se(b, 0);		/* mb_qp_delta */
	put_luma_dc(b, level, all, coefficients_near(e, mx, my));
	if (cb || cr) {
		put_chroma_dc(b, cb);
		put_chroma_dc(b, cr);
	}
}

/* ---- a slice ---- */

/* Changed so much that even the means of its blocks are closer to it than what is there? */
static bool far_off(const struct vpi_h264 *e, u32 mx, u32 my)
{
	size_t at = luma_at(e, mx, my);
	u32 stride = e->mbw * 16, i, y, x, old = 0, coarse = 0;

	for (i = 0; i < 16; i++) {
		size_t o = at + (i / 4) * 4 * stride + (i & 3) * 4;
		int mean = 8;

		for (y = 0; y < 4; y++)
			mean += sum_row(e->cur + o + y * stride, 4);
		mean /= 16;
		for (y = 0; y < 4; y++, o += stride) {
			for (x = 0; x < 4; x++) {
				old += abs(e->cur[o + x] - e->ref[o + x]);
				coarse += abs(e->cur[o + x] - mean);
			}
		}
	}
	return old > 256 * 4 && old > coarse * 2;
}

static void choose(struct vpi_ctx *ctx)
{
	struct vpi_h264 *e = &ctx->h264;
	u32 i, n = e->mbw * e->mbh, next = e->rotate;
	u64 bits = (u64)READ_ONCE(ctx->bitrate->val) * ctx->tpf.numerator;
	s64 left = div_u64(bits, max(ctx->tpf.denominator, 1u)) / 8;

	memset(e->kind, SKIP, n);
	for (i = 0; i < n && left > 0; i++) {
		if (!mb_same(e, i % e->mbw, i / e->mbw) && far_off(e, i % e->mbw, i / e->mbw)) {
			e->kind[i] = COARSE;
			left -= COARSE_BYTES;
		}
	}
	for (i = 0; i < n && left >= PCM_BYTES; i++) {
		u32 k = (e->rotate + i) % n;

		if (e->kind[k] == SKIP && !mb_same(e, k % e->mbw, k / e->mbw)) {
			e->kind[k] = PCM;
			left -= PCM_BYTES;
			next = k + 1;
		}
	}
	e->rotate = next % n;
}

void vpi_rate_slice(struct vpi_ctx *ctx, struct bits *b, bool idr)
{
	struct vpi_h264 *e = &ctx->h264;
	u32 i, n = e->mbw * e->mbh, skip = 0;

	if (idr)
		memset(e->kind, COARSE, n);
	else
		choose(ctx);
	for (i = 0; i < n; i++) {
		u32 mx = i % e->mbw, my = i / e->mbw;

		if (e->kind[i] == SKIP) {
			skip++;
			continue;
		}
		if (!idr) {
			put_ue(b, skip);
			skip = 0;
		}
		if (e->kind[i] == PCM) {
			put_pcm(e, b, mx, my, MB_I_PCM + MB_P);
			mb_to_ref(e, mx, my);
		} else {
			put_coarse(e, b, mx, my, idr);
		}
	}
	if (skip)
		put_ue(b, skip);
}
