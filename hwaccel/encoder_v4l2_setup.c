/* hwaccel/encoder_v4l2_setup.c - how the device is asked to encode; see encoder_v4l2_internal.h. */
#include "hwaccel/encoder_v4l2_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IN_BUFFERS 16 /* different ones that keep their import */
#define OUT_BUFFERS 4
#define OUT_SIZE_MIN (3u << 19) /* 1.5 MiB: smaller ones fragment on the Pi (linux#5232) */
#define STRIDE_ALIGN 64 /* of frames whose planes are not told */

/* The lowest level from 4.0 on (the Pi's default) that allows this many macroblocks; too low a
 * one gives no output (linux#4906). ITU-T H.264 table A-1. */
static int32_t fit_level(const struct pc_frame_format *format, double fps)
{
	static const struct {
		uint32_t frame; /* macroblocks */
		double second;
		int32_t level;
	} levels[] = {
		{ 8192, 245760, V4L2_MPEG_VIDEO_H264_LEVEL_4_0 },
		{ 8704, 522240, V4L2_MPEG_VIDEO_H264_LEVEL_4_2 },
		{ 22080, 589824, V4L2_MPEG_VIDEO_H264_LEVEL_5_0 },
		{ 36864, 983040, V4L2_MPEG_VIDEO_H264_LEVEL_5_1 },
	};
	const uint32_t blocks = ((format->width + 15) / 16) * ((format->height + 15) / 16);
	size_t i = 0;
	while (i + 1 < sizeof(levels) / sizeof(levels[0]) &&
		(blocks > levels[i].frame || blocks * fps > levels[i].second)) {
		i++;
	}
	return levels[i].level;
}

static void add_control(struct pc_m2m_config *config, uint32_t id, int32_t value)
{
	assert(config->n_controls < sizeof(config->controls) / sizeof(config->controls[0]));
	config->controls[config->n_controls++] = (struct pc_m2m_control){
		.id = id,
		.value = value,
	};
}

int32_t pc_encoder_v4l2_fit_bitrate(const struct pc_encoder_v4l2_rates *rates, unsigned kbps)
{
	const uint64_t bits = (uint64_t)kbps * 1000;
	return (int32_t)(bits < rates->min ? rates->min : bits > rates->max ? rates->max : bits);
}

static void read_rates(const char *path, struct pc_encoder_v4l2_rates *ret_rates)
{
	ret_rates->min = 25000; /* the Pi's */
	ret_rates->max = 25000000;
	struct pc_v4l2 *node;
	if (pc_v4l2_open(path, &node) < 0) {
		return;
	}
	struct v4l2_queryctrl control;
	if (pc_v4l2_query_control(node, V4L2_CID_MPEG_VIDEO_BITRATE, &control) == 0 &&
		control.minimum >= 0 && control.maximum >= control.minimum) {
		ret_rates->min = (uint32_t)control.minimum;
		ret_rates->max = (uint32_t)control.maximum;
	}
	pc_v4l2_close(node);
}

static void add_controls(const struct pc_encoder_config *config,
	const struct pc_encoder_v4l2_rates *rates, struct pc_m2m_config *m2m)
{
	const int32_t interval =
		config->key_interval <= INT32_MAX ? (int32_t)config->key_interval : INT32_MAX;
	add_control(m2m, V4L2_CID_MPEG_VIDEO_H264_PROFILE, V4L2_MPEG_VIDEO_H264_PROFILE_HIGH);
	add_control(m2m, V4L2_CID_MPEG_VIDEO_H264_LEVEL, fit_level(&config->format, config->fps));
	add_control(m2m, V4L2_CID_MPEG_VIDEO_B_FRAMES, 0);
	add_control(m2m, V4L2_CID_MPEG_VIDEO_GOP_SIZE, interval);
	add_control(m2m, V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, interval);
	add_control(m2m, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 1);
	add_control(m2m, V4L2_CID_MPEG_VIDEO_HEADER_MODE,
		V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME);
	if (config->bitrate_kbps > 0) {
		add_control(m2m, V4L2_CID_MPEG_VIDEO_BITRATE,
			pc_encoder_v4l2_fit_bitrate(rates, config->bitrate_kbps));
	}
}

int pc_encoder_v4l2_setup(const struct pc_encoder_config *config, const char *path,
	struct pc_m2m_config *ret_config, struct pc_encoder_v4l2_rates *ret_rates, char *why,
	size_t why_size)
{
	struct pc_m2m_config m2m = {
		.path = path,
		.in = config->format,
		.n_in_planes = config->n_planes,
		.in_size = config->size,
		.fps = config->fps,
		.in_buffers = IN_BUFFERS,
		.out_pixelformat = V4L2_PIX_FMT_H264,
		.out_width = config->format.width,
		.out_height = config->format.height,
		.out_size = OUT_SIZE_MIN,
		.out_buffers = OUT_BUFFERS,
	};
	memcpy(m2m.in_planes, config->planes, sizeof(m2m.in_planes));
	if (config->n_planes == 0 && pc_frame_layout(&config->format, STRIDE_ALIGN, m2m.in_planes,
					     &m2m.n_in_planes) < 0) {
		snprintf(why, why_size, "how its planes lie is not known");
		return -EINVAL;
	}
	read_rates(path, ret_rates);
	add_controls(config, ret_rates, &m2m);
	*ret_config = m2m;
	return 0;
}
