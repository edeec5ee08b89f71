/* hwaccel/encoder_internal.h - for members of the encoder vtable only. */
#ifndef PC_HWACCEL_ENCODER_INTERNAL_H
#define PC_HWACCEL_ENCODER_INTERNAL_H

#include "hwaccel/encoder.h"

struct pc_encoder_impl {
	const char *name; /* as in config.choice */
	/* As pc_encoder_open(), without the log line: `why` (empty before) says on failure
	 * what is wrong, and on success, where there is something to say, why it was not
	 * something better: "h264_v4l2m2m: no M2M device". `config` and its strings last
	 * only for the call. */
	int (*open)(struct pc_loop *loop, const struct pc_encoder_config *config,
		const struct pc_encoder_events *events, void *data, char *why, size_t why_size,
		struct pc_encoder **ret_encoder);
	/* As pc_encoder_inputs(), for this member. */
	unsigned (*inputs)(const char *device, unsigned width, unsigned height,
		struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);
	int (*submit)(struct pc_encoder *encoder, struct pc_frame *frame, unsigned flags);
	int (*set_bitrate)(struct pc_encoder *encoder, unsigned bitrate_kbps); /* NULL: -ENOTSUP */
	const char *(*device)(const struct pc_encoder *encoder);
	int64_t (*owed_ns)(const struct pc_encoder *encoder);
	void (*close)(struct pc_encoder *encoder);
};

/* The head of every member's own struct. */
struct pc_encoder {
	const struct pc_encoder_impl *impl;
};

extern const struct pc_encoder_impl pc_encoder_v4l2;
extern const struct pc_encoder_impl pc_encoder_libav;

#endif
