/* hwaccel/scaler_internal.h - for members of the scaler vtable only. */
#ifndef PC_HWACCEL_SCALER_INTERNAL_H
#define PC_HWACCEL_SCALER_INTERNAL_H

#include <stddef.h>

#include "hwaccel/scaler.h"

struct pc_scaler_impl {
	const char *name; /* as in config.choice */
	/* As pc_scaler_open(), without the log line: `why` (empty before) says on failure
	 * what is wrong, and on success, where there is something to say, why it was not
	 * something better. `config` lasts only for the call. */
	int (*open)(struct pc_loop *loop, const struct pc_scaler_config *config,
		const struct pc_scaler_events *events, void *data, char *why, size_t why_size,
		struct pc_scaler **ret_scaler);
	/* As pc_scaler_inputs(), for this member. */
	unsigned (*inputs)(const char *device, unsigned width, unsigned height,
		struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);
	int (*submit)(struct pc_scaler *scaler, struct pc_frame *frame);
	const char *(*device)(const struct pc_scaler *scaler);
	int64_t (*owed_ns)(const struct pc_scaler *scaler);
	void (*close)(struct pc_scaler *scaler);
};

/* The head of every member's own struct. */
struct pc_scaler {
	const struct pc_scaler_impl *impl;
};

extern const struct pc_scaler_impl pc_scaler_v4l2;
extern const struct pc_scaler_impl pc_scaler_gles;
extern const struct pc_scaler_impl pc_scaler_soft;

#endif
