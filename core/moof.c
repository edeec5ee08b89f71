/* core/moof.c - a CMAF fragment's moof; see moof_internal.h.
 *
 * ISO/IEC 14496-12 (8.8.4 to 8.8.12) with one track, one run and one sample: byte for byte
 * what libavformat's movenc writes (a test holds it against it). It is written here because
 * movenc takes two more copies of the sample on its way.
 */
#include "core/moof_internal.h"

#include <assert.h>
#include <string.h>

#define TFHD_FLAGS 0x02003a /* default-base-is-moof; description, duration, size, flags */
#define NOT_SYNC 0x01010000 /* depends on others, is no sync sample */
#define SYNC 0x02000000 /* depends on none */
#define TRUN_DATA_OFFSET 0x1
#define TRUN_FIRST_FLAGS 0x4

static uint8_t *put32(uint8_t *p, uint32_t value)
{
	for (int i = 0; i < 4; i++) {
		p[i] = (uint8_t)(value >> (24 - 8 * i));
	}
	return p + 4;
}

static uint8_t *put_box(uint8_t *p, size_t size, const char type[static 4])
{
	p = put32(p, (uint32_t)size);
	memcpy(p, type, 4);
	return p + 4;
}

void pc_moof_write(const struct pc_moof *moof, uint8_t *data)
{
	const size_t size = pc_moof_size(moof->key);
	const size_t trun = moof->key ? 24 : 20;
	uint8_t *p = put_box(data, size, "moof");
	p = put_box(p, 16, "mfhd");
	p = put32(p, 0);
	assert(p - data == PC_MOOF_MFHD_OFFSET);
	p = put32(p, moof->number);
	p = put_box(p, size - 24, "traf");
	p = put_box(p, 32, "tfhd");
	p = put32(p, TFHD_FLAGS);
	p = put32(p, 1); /* track */
	p = put32(p, 1); /* sample description */
	p = put32(p, moof->duration);
	p = put32(p, moof->sample_size);
	p = put32(p, NOT_SYNC);
	p = put_box(p, 20, "tfdt");
	p = put32(p, 1 << 24); /* version 1: 64 bits */
	assert(p - data == PC_MOOF_TFDT_OFFSET);
	p = put32(p, (uint32_t)((uint64_t)moof->decode_time >> 32));
	p = put32(p, (uint32_t)moof->decode_time);
	p = put_box(p, trun, "trun");
	p = put32(p, 1 << 24 | TRUN_DATA_OFFSET | (moof->key ? TRUN_FIRST_FLAGS : 0));
	p = put32(p, 1); /* samples */
	p = put32(p, (uint32_t)size + PC_MDAT_HEADER);
	if (moof->key) {
		p = put32(p, SYNC);
	}
	assert((size_t)(p - data) == size);
	put_box(p, PC_MDAT_HEADER + moof->sample_size, "mdat");
}
