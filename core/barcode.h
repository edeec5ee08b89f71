/* core/barcode.h - frame number and time, written in the picture.
 *
 * A strip of large blocks in the top left corner, read back by the latency
 * harness (and, in TypeScript, by the browser's twin) after H.264. 40 columns by
 * 2 rows of square cells; a cell is width/64 pixels, made even. White is 1 (luma
 * 235), black 0 (luma 16). Bits row by row, left to right, most significant
 * first:
 *   4 sync (1010) | 24 frame number | 40 UTC ms | 12 CRC
 * CRC-12 (polynomial 0x80F, start 0xFFF, no reflection) over the 68 bits before.
 *
 * Thread: any; nothing blocks or allocates.
 */
#ifndef PC_CORE_BARCODE_H
#define PC_CORE_BARCODE_H

#include <stdint.h>

#define PC_BARCODE_COLUMNS 40
#define PC_BARCODE_ROWS 2

struct pc_barcode {
	uint32_t frame; /* 24 bits are kept */
	int64_t utc_ms; /* the low 40 bits are kept (34 years): compare modulo 2^40 */
};

/* Side of a cell in pixels for a picture `width` pixels wide; at least 4. */
unsigned pc_barcode_cell(unsigned width);

/* Draws into a luma plane. The picture must be at least 40 cells wide and 2 high
 * (256 x 16 always is). */
void pc_barcode_draw(uint8_t *luma, unsigned stride, unsigned width, const struct pc_barcode *code);

/* 0, or -EBADMSG when sync or CRC do not fit; *ret untouched then. Cells are
 * read by the mean of their middle, against the middle of the range seen. */
int pc_barcode_read(const uint8_t *luma, unsigned stride, unsigned width, unsigned height,
	struct pc_barcode *ret);

#endif
