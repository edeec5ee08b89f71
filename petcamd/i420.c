/* petcamd/i420.c - any decoded picture as I420; see i420.h. */
#include "petcamd/i420.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include <libavutil/frame.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>

#define HD_HEIGHT 720 /* from here on colours are BT.709's, as the encoder says */

void pc_i420_init(struct pc_i420 *i420, const AVFrame *first, unsigned turn)
{
	assert(turn == 0 || turn == 90 || turn == 180 || turn == 270);
	*i420 = (struct pc_i420){
		.turn = turn,
		.lying_width = (unsigned)first->width & ~1u,
		.lying_height = (unsigned)first->height & ~1u,
	};
	i420->width = turn % 180 == 0 ? i420->lying_width : i420->lying_height;
	i420->height = turn % 180 == 0 ? i420->lying_height : i420->lying_width;
}

void pc_i420_finish(struct pc_i420 *i420)
{
	sws_freeContext(i420->sws);
	av_frame_free(&i420->lying);
}

/* The pixel format without "j" (full range), which is said apart. */
static int plain_format(const AVFrame *frame, int *ret_full)
{
	static const int pairs[][2] = {
		{ AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P },
		{ AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P },
		{ AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P },
		{ AV_PIX_FMT_YUVJ440P, AV_PIX_FMT_YUV440P },
		{ AV_PIX_FMT_YUVJ411P, AV_PIX_FMT_YUV411P },
	};
	*ret_full = frame->color_range == AVCOL_RANGE_JPEG;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (frame->format == pairs[i][0]) {
			*ret_full = 1;
			return pairs[i][1];
		}
	}
	return frame->format;
}

static int ensure_sws(struct pc_i420 *i420, const AVFrame *frame, int format, int full)
{
	const int width = frame->width & ~1;
	const int height = frame->height & ~1;
	if (i420->sws != NULL && i420->from_width == width && i420->from_height == height &&
		i420->from_format == format && i420->from_full == full) {
		return 0;
	}
	sws_freeContext(i420->sws);
	i420->sws = sws_alloc_context();
	if (i420->sws == NULL) {
		return -ENOMEM;
	}
	/* The range must be known when it is made: later it would keep a plain copy. */
	av_opt_set_int(i420->sws, "srcw", width, 0);
	av_opt_set_int(i420->sws, "srch", height, 0);
	av_opt_set_int(i420->sws, "src_format", format, 0);
	av_opt_set_int(i420->sws, "src_range", full, 0);
	av_opt_set_int(i420->sws, "dstw", i420->lying_width, 0);
	av_opt_set_int(i420->sws, "dsth", i420->lying_height, 0);
	av_opt_set_int(i420->sws, "dst_format", AV_PIX_FMT_YUV420P, 0);
	av_opt_set_int(i420->sws, "sws_flags", SWS_BILINEAR, 0);
	if (sws_init_context(i420->sws, NULL, NULL) < 0) {
		sws_freeContext(i420->sws);
		i420->sws = NULL;
		return -EINVAL;
	}
	const int *matrix =
		sws_getCoefficients(i420->height >= HD_HEIGHT ? SWS_CS_ITU709 : SWS_CS_ITU601);
	sws_setColorspaceDetails(i420->sws, matrix, full, matrix, 0, 0, 1 << 16, 1 << 16);
	i420->from_width = width;
	i420->from_height = height;
	i420->from_format = format;
	i420->from_full = full;
	return 0;
}

static int convert(struct pc_i420 *i420, const AVFrame *picture, int format, int full,
	uint8_t *const planes[], const int strides[])
{
	const int r = ensure_sws(i420, picture, format, full);
	if (r < 0) {
		return r;
	}
	const int lines = sws_scale(i420->sws, (const uint8_t *const *)picture->data,
		picture->linesize, 0, picture->height & ~1, planes, strides);
	return lines < 0 ? -EINVAL : 0;
}

/* Copies a plane, turned: dst(x, y) = src + x * step_x + y * step_y. */
static void turn_plane(uint8_t *dst, size_t dst_stride, const uint8_t *src, ptrdiff_t src_stride,
	unsigned src_width, unsigned src_height, unsigned turn)
{
	const ptrdiff_t last_x = (ptrdiff_t)src_width - 1;
	const ptrdiff_t last_y = ((ptrdiff_t)src_height - 1) * src_stride;
	ptrdiff_t step_x = -1;
	ptrdiff_t step_y = -src_stride;
	unsigned width = src_width;
	unsigned height = src_height;
	if (turn == 180) {
		src += last_y + last_x;
	} else {
		width = src_height;
		height = src_width;
		src += turn == 90 ? last_y : last_x;
		step_x = turn == 90 ? -src_stride : src_stride;
		step_y = turn == 90 ? 1 : -1;
	}
	for (unsigned y = 0; y < height; y++) {
		for (unsigned x = 0; x < width; x++) {
			dst[y * dst_stride + x] =
				src[(ptrdiff_t)x * step_x + (ptrdiff_t)y * step_y];
		}
	}
}

static int ensure_lying(struct pc_i420 *i420)
{
	if (i420->lying != NULL) {
		return 0;
	}
	AVFrame *lying = av_frame_alloc();
	if (lying == NULL) {
		return -ENOMEM;
	}
	lying->format = AV_PIX_FMT_YUV420P;
	lying->width = (int)i420->lying_width;
	lying->height = (int)i420->lying_height;
	if (av_frame_get_buffer(lying, 0) < 0) {
		av_frame_free(&lying);
		return -ENOMEM;
	}
	i420->lying = lying;
	return 0;
}

int pc_i420_write(struct pc_i420 *i420, const AVFrame *picture, uint8_t *const planes[static 3],
	const uint32_t strides[static 3])
{
	int full = 0;
	const int format = plain_format(picture, &full);
	const bool plain = format == AV_PIX_FMT_YUV420P && !full &&
			   ((unsigned)picture->width & ~1u) == i420->lying_width &&
			   ((unsigned)picture->height & ~1u) == i420->lying_height;
	if (!plain && i420->turn == 0) {
		const int to[4] = { (int)strides[0], (int)strides[1], (int)strides[2], 0 };
		uint8_t *const at[4] = { planes[0], planes[1], planes[2], NULL };
		return convert(i420, picture, format, full, at, to);
	}
	if (!plain) {
		int r = ensure_lying(i420);
		if (r == 0) {
			r = convert(i420, picture, format, full, i420->lying->data,
				i420->lying->linesize);
		}
		if (r < 0) {
			return r;
		}
		picture = i420->lying;
	}
	for (unsigned i = 0; i < 3; i++) {
		const unsigned width = i == 0 ? i420->lying_width : i420->lying_width / 2;
		const unsigned height = i == 0 ? i420->lying_height : i420->lying_height / 2;
		if (i420->turn == 0) {
			av_image_copy_plane(planes[i], (int)strides[i], picture->data[i],
				picture->linesize[i], (int)width, (int)height);
		} else {
			turn_plane(planes[i], strides[i], picture->data[i], picture->linesize[i],
				width, height, i420->turn);
		}
	}
	return 0;
}
