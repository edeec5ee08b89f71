/* SPDX-License-Identifier: GPL-2.0 */
/*
 * bits.h - the bits of a NAL unit
 */
#ifndef VPICODEC_BITS_H
#define VPICODEC_BITS_H

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

static inline void put_u(struct bits *b, int n, u32 v)
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

static inline void put_ue(struct bits *b, u32 v)
{
	int n = fls(v + 1);

	put_u(b, n - 1, 0);
	put_u(b, n, v + 1);
}

static inline void put_align(struct bits *b)
{
	if (b->pending)
		put_u(b, 8 - b->pending, 0);
}

static inline void put_trailing(struct bits *b)
{
	put_u(b, 1, 1);
	put_align(b);
}

/* Signed: 0, 1, -1, 2, -2 ... */
static inline void put_se(struct bits *b, s32 v)
{
	put_ue(b, v > 0 ? 2 * v - 1 : -2 * v);
}

static inline void put_nal(struct bits *b, u8 header)
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

#endif
