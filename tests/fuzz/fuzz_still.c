/* tests/fuzz/fuzz_still.c - a JPEG of a fragment in which anything may stand.
 *
 * Input: the greatest width (2 bytes), the size of the init segment (2), that of the moof (2);
 * init segment, moof, mdat.
 */
#include <errno.h>
#include <libavutil/log.h>

#include "core/still.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	av_log_set_level(AV_LOG_QUIET);
	struct fuzz_input input = fuzz_begin(data, size);
	const unsigned max_width = (unsigned)fuzz_number(&input, 2) & 0x3ff;
	size_t init_size = fuzz_number(&input, 2);
	const size_t mdat_offset = fuzz_number(&input, 2);
	const uint8_t *init_bytes = fuzz_bytes(&input, init_size, &init_size);
	/* Copied by exact size twice: pc_init_new() makes its own. */
	uint8_t *bytes = fuzz_copy(input.data, input.left);
	struct pc_fragment fragment = {
		.data = bytes,
		.size = input.left,
		.mdat_offset = mdat_offset,
		.init = pc_init_new(init_bytes, init_size),
		.key = true,
	};
	fuzz_assert(fragment.init != NULL);

	uint8_t *jpeg = NULL;
	size_t jpeg_size = 0;
	const int r = pc_still_jpeg(&fragment, max_width, &jpeg, &jpeg_size);
	if (r == 0) {
		fuzz_assert(jpeg != NULL && jpeg_size > 4);
		fuzz_assert(jpeg[0] == 0xff && jpeg[1] == 0xd8);
		fuzz_assert(jpeg[jpeg_size - 2] == 0xff && jpeg[jpeg_size - 1] == 0xd9);
	} else {
		fuzz_assert(jpeg == NULL && (r == -EINVAL || r == -EIO || r == -ENOMEM));
	}
	free(jpeg);
	pc_init_unref(fragment.init);
	free(bytes);
	return 0;
}
