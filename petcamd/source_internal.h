/* petcamd/source_internal.h - for members of the source vtable only. */
#ifndef PC_PETCAMD_SOURCE_INTERNAL_H
#define PC_PETCAMD_SOURCE_INTERNAL_H

#include "petcamd/source.h"

struct pc_source_impl {
	const char *scheme; /* "file": config->source is "file" or "file:..." */
	bool draws; /* see pc_source_draws() */
	/* May "auto" be this: is one there? NULL: never. Any thread. */
	bool (*is_there)(void);
	/* As pc_source_open(); `argument` is what stands behind the colon, or "". */
	int (*open)(struct pc_loop *loop, const struct pc_source_config *config,
		const char *argument, const struct pc_source_events *events, void *data, char *why,
		size_t why_size, struct pc_source **ret_source);
	void (*close)(struct pc_source *source);
};

/* The head of every member's own struct. */
struct pc_source {
	const struct pc_source_impl *impl;
	struct pc_source_info info;
};

extern const struct pc_source_impl pc_source_v4l2;
extern const struct pc_source_impl pc_source_file;
extern const struct pc_source_impl pc_source_demo;

#endif
