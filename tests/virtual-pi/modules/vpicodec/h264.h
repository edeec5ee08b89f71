/* SPDX-License-Identifier: GPL-2.0 */
/*
 * h264.h - macroblocks, as both ways of coding them need them
 */
#ifndef VPICODEC_H264_H
#define VPICODEC_H264_H

#include "bits.h"

#define MB_I_PCM	25	/* in an I slice; 5 more in a P slice */
#define MB_P		5

static inline size_t luma_at(const struct vpi_h264 *e, u32 mx, u32 my)
{
	return (size_t)my * 16 * e->mbw * 16 + mx * 16;
}

static inline size_t chroma_at(const struct vpi_h264 *e, u32 mx, u32 my)
{
	return (size_t)e->mbw * e->mbh * 256 + (size_t)my * 8 * e->mbw * 8 + mx * 8;
}

static inline bool mb_same(const struct vpi_h264 *e, u32 mx, u32 my)
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

static inline void mb_to_ref(struct vpi_h264 *e, u32 mx, u32 my)
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

static inline void put_pcm(const struct vpi_h264 *e, struct bits *b, u32 mx, u32 my, u32 mb_type)
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

/* rate.c: the macroblocks of a slice, within the bitrate. */
#define RATE_QP		20
void vpi_rate_slice(struct vpi_ctx *ctx, struct bits *b, bool idr);

#endif
