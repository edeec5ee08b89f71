/* hwaccel/gles_draw_internal.h - the draw that makes a picture small: planes in, packed RGB out.
 *
 * The target is an RGBA8 picture of 3 * width / 4 texels a line: each texel is four bytes of
 * the line of R, G, B that somebody maps later, so what was drawn is the tensor. Each pixel is
 * the mean of what it covers of the source, weighed by area, as libswscale's SWS_AREA; two
 * source texels are read at a time, by asking the sampler for a point between them.
 *
 * Where the shapes differ, the picture is kept whole in the middle, with black beside it.
 *
 * Thread: the one that the GL context is current on.
 */
#ifndef PC_HWACCEL_GLES_DRAW_INTERNAL_H
#define PC_HWACCEL_GLES_DRAW_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/frame.h"
#include "hwaccel/egl_internal.h"

#define PC_GLES_PLANES_MAX 3

struct pc_gles_draw;

bool pc_gles_draw_takes(uint32_t fourcc);

/* How a picture is cut into textures, one channel layout each; their number, 0: not taken. */
unsigned pc_gles_draw_planes(const struct pc_frame_format *format,
	const struct pc_frame_plane planes[static PC_FRAME_MAX_PLANES],
	struct pc_egl_plane ret_planes[static PC_GLES_PLANES_MAX]);

/* The target of `width` x `height` pixels of R, G, B in `plane`. */
void pc_gles_draw_target(const struct pc_frame_format *format, const struct pc_frame_plane *plane,
	struct pc_egl_plane *ret_plane);

/* 0; -EINVAL (a format that is not taken), -ENOMEM, -EIO (`why`: what the compiler says). */
int pc_gles_draw_create(const struct pc_frame_format *input, unsigned width, unsigned height,
	char *why, size_t why_size, struct pc_gles_draw **ret_draw);

/* Draws; pc_egl_finish() waits for it. 0 or -EIO. */
int pc_gles_draw_run(struct pc_gles_draw *draw, const unsigned textures[], unsigned framebuffer);
void pc_gles_draw_destroy(struct pc_gles_draw *draw); /* NULL is fine */

#endif
