/* petcamd/i420.h - any decoded picture as I420 of one size, upright, in limited range.
 *
 * Thread: one at a time.
 */
#ifndef PC_PETCAMD_I420_H
#define PC_PETCAMD_I420_H

#include <stdint.h>

struct AVFrame;
struct SwsContext;

struct pc_i420 {
	unsigned width, height; /* of what is written: even, after turning */
	/* private */
	unsigned turn; /* clockwise degrees: 0, 90, 180, 270 */
	unsigned lying_width, lying_height; /* before turning */
	struct AVFrame *lying; /* converted, not yet turned; NULL until needed */
	struct SwsContext *sws; /* NULL until needed */
	int from_width, from_height, from_format, from_full; /* what `sws` was made for */
};

/* What comes out has the size of `first`, cropped to even and turned clockwise by `turn`
 * degrees (0, 90, 180, 270). Allocates nothing. */
void pc_i420_init(struct pc_i420 *i420, const struct AVFrame *first, unsigned turn);
void pc_i420_finish(struct pc_i420 *i420); /* also of a zeroed one */

/* Writes `picture` into three planes; one that has another size is scaled to ours. It is
 * copied where it is plain I420, else converted. 0, -ENOMEM, -EINVAL: its format cannot
 * be converted. */
int pc_i420_write(struct pc_i420 *i420, const struct AVFrame *picture,
	uint8_t *const planes[static 3], const uint32_t strides[static 3]);

#endif
