/* tests/fuzz/fuzz_barcode.c - a barcode that is read is one that was drawn.
 *
 * Input: width and height (2 bytes each), stride beyond the width (1), a flag (1: a code is drawn
 * first), frame (4), UTC milliseconds (8); the rest is added to the picture's bytes.
 */
#include <errno.h>
#include <stdbool.h>

#include "core/barcode.h"
#include "tests/fuzz/fuzz.h"

#define SIDE_MAX 1024

static void draw_and_read(unsigned width, unsigned height, const struct pc_barcode *code)
{
	struct pc_barcode again;
	uint8_t *luma = calloc(height, width);
	fuzz_assert(luma != NULL);
	pc_barcode_draw(luma, width, width, code);
	fuzz_assert(pc_barcode_read(luma, width, width, height, &again) == 0);
	fuzz_assert(again.frame == (code->frame & 0xffffff));
	fuzz_assert(again.utc_ms == (code->utc_ms & INT64_C(0xffffffffff)));
	free(luma);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = fuzz_begin(data, size);
	const unsigned width = (unsigned)fuzz_number(&input, 2) % (SIDE_MAX + 1);
	const unsigned height = (unsigned)fuzz_number(&input, 2) % (SIDE_MAX / 4 + 1);
	const unsigned stride = width + (unsigned)fuzz_number(&input, 1);
	const uint64_t drawn = fuzz_number(&input, 1) & 1;
	struct pc_barcode code = { .frame = (uint32_t)fuzz_number(&input, 4) };
	code.utc_ms = (int64_t)fuzz_number(&input, 8);

	const unsigned cell = pc_barcode_cell(width);
	const bool room = width >= PC_BARCODE_COLUMNS * cell && height >= PC_BARCODE_ROWS * cell;
	/* The last row has no padding. */
	const size_t bytes = height == 0 ? 0 : (size_t)stride * (height - 1) + width;
	uint8_t *luma = calloc(1, bytes > 0 ? bytes : 1);
	fuzz_assert(luma != NULL);
	if (room && drawn != 0) {
		pc_barcode_draw(luma, stride, width, &code);
	}
	for (size_t i = 0; i < bytes && i < input.left; i++) {
		luma[i] = (uint8_t)(luma[i] + input.data[i]);
	}
	struct pc_barcode read = { .frame = UINT32_MAX, .utc_ms = -1 };
	const int r = pc_barcode_read(luma, stride, width, height, &read);
	if (r == 0) {
		fuzz_assert(room && read.frame <= 0xffffff && read.utc_ms >= 0);
		draw_and_read(width, height, &read);
	} else {
		fuzz_assert(r == -EBADMSG && read.frame == UINT32_MAX && read.utc_ms == -1);
		fuzz_assert(!room || drawn == 0 || input.left > 0);
	}
	free(luma);
	return 0;
}
