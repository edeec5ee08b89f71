/* core/barcode.c - frame number and time, written in the picture; see barcode.h. */
#include "core/barcode.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define N_BITS (PC_BARCODE_COLUMNS * PC_BARCODE_ROWS)
#define N_DATA_BITS 68 /* in front of the CRC */
#define SYNC 0xau
#define WHITE 235
#define BLACK 16
#define MIN_CONTRAST 32 /* less than that between the means is no strip */

/* `n` bits of a word, as one byte each. */
static uint8_t *put_bits(uint8_t *at, uint64_t value, unsigned n)
{
	for (unsigned i = n; i-- > 0;) {
		*at++ = (value >> i) & 1;
	}
	return at;
}

static uint64_t get_bits(const uint8_t *at, unsigned n)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < n; i++) {
		value = value << 1 | at[i];
	}
	return value;
}

static unsigned crc12(const uint8_t bits[static N_DATA_BITS])
{
	unsigned crc = 0xfff;
	for (unsigned i = 0; i < N_DATA_BITS; i++) {
		unsigned out = (crc >> 11 ^ bits[i]) & 1;
		crc = (crc << 1 & 0xfff) ^ (out != 0 ? 0x80f : 0);
	}
	return crc;
}

unsigned pc_barcode_cell(unsigned width)
{
	unsigned cell = width / 64 & ~1u;
	return cell < 4 ? 4 : cell;
}

void pc_barcode_draw(uint8_t *luma, unsigned stride, unsigned width, const struct pc_barcode *code)
{
	unsigned cell = pc_barcode_cell(width);
	assert(width >= PC_BARCODE_COLUMNS * cell && stride >= PC_BARCODE_COLUMNS * cell);
	uint8_t bits[N_BITS];
	uint8_t *at = put_bits(bits, SYNC, 4);
	at = put_bits(at, code->frame & 0xffffff, 24);
	at = put_bits(at, (uint64_t)code->utc_ms & UINT64_C(0xffffffffff), 40);
	put_bits(at, crc12(bits), 12);
	for (unsigned y = 0; y < PC_BARCODE_ROWS * cell; y++) {
		const uint8_t *row = bits + (size_t)(y / cell) * PC_BARCODE_COLUMNS;
		for (unsigned column = 0; column < PC_BARCODE_COLUMNS; column++) {
			memset(luma + (size_t)y * stride + (size_t)column * cell,
				row[column] != 0 ? WHITE : BLACK, cell);
		}
	}
}

/* Sum over the middle half of a cell: its border is where the encoder smears. */
static unsigned read_cell(const uint8_t *luma, unsigned stride, unsigned cell)
{
	unsigned from = cell / 4, to = cell - cell / 4;
	unsigned sum = 0;
	for (unsigned y = from; y < to; y++) {
		for (unsigned x = from; x < to; x++) {
			sum += luma[(size_t)y * stride + x];
		}
	}
	return sum / ((to - from) * (to - from));
}

int pc_barcode_read(const uint8_t *luma, unsigned stride, unsigned width, unsigned height,
	struct pc_barcode *ret)
{
	unsigned cell = pc_barcode_cell(width);
	if (width < PC_BARCODE_COLUMNS * cell || height < PC_BARCODE_ROWS * cell) {
		return -EBADMSG;
	}
	unsigned means[N_BITS];
	unsigned least = 255, most = 0;
	for (unsigned i = 0; i < N_BITS; i++) {
		size_t x = (size_t)(i % PC_BARCODE_COLUMNS) * cell;
		size_t y = (size_t)(i / PC_BARCODE_COLUMNS) * cell;
		means[i] = read_cell(luma + y * stride + x, stride, cell);
		least = means[i] < least ? means[i] : least;
		most = means[i] > most ? means[i] : most;
	}
	if (most - least < MIN_CONTRAST) {
		return -EBADMSG;
	}
	uint8_t bits[N_BITS];
	for (unsigned i = 0; i < N_BITS; i++) {
		bits[i] = 2 * means[i] > least + most;
	}
	if (get_bits(bits, 4) != SYNC || get_bits(bits + N_DATA_BITS, 12) != crc12(bits)) {
		return -EBADMSG;
	}
	ret->frame = (uint32_t)get_bits(bits + 4, 24);
	ret->utc_ms = (int64_t)get_bits(bits + 28, 40);
	return 0;
}
