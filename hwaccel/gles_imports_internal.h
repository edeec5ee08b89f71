/* hwaccel/gles_imports_internal.h - what a GL context made of frame buffers, and its end.
 *
 * A buffer may die on any thread, its textures only on the context's. So an import that loses
 * its buffer is put on a list, and the context's thread is told to come and free it.
 */
#ifndef PC_HWACCEL_GLES_IMPORTS_INTERNAL_H
#define PC_HWACCEL_GLES_IMPORTS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "hwaccel/gles_draw_internal.h"

struct pc_gles_import {
	struct pc_frame_import base; /* owner: the list that it is on */
	struct pc_frame *frame;
	struct pc_gles_import *previous, *next; /* on the list of the living */
	struct pc_gles_import *next_dead;
	unsigned n_images;
	void *images[PC_GLES_PLANES_MAX];
	unsigned textures[PC_GLES_PLANES_MAX]; /* of an input */
	unsigned renderbuffer, framebuffer; /* of an output */
};

struct pc_gles_imports {
	struct pc_egl *egl;
	/* A buffer died: pc_gles_imports_reap() has something to do. Any thread, under the
	 * lock; must not block or call back. */
	void (*died)(void *data);
	void *data;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t gone; /* one of the living died */
	struct pc_gles_import *living;
	struct pc_gles_import *dead;
};

/* Thread: the context's, all of these. */
void pc_gles_imports_init(
	struct pc_gles_imports *imports, struct pc_egl *egl, void (*died)(void *data), void *data);

/* Takes the imports off all buffers, however many still live, and frees them. */
void pc_gles_imports_finish(struct pc_gles_imports *imports);

/* The buffer's textures, or its framebuffer, made at the first call: *ret_new (may be NULL). The
 * caller holds a reference on the frame. 0; negative errno and `why`. */
int pc_gles_imports_input(struct pc_gles_imports *imports, struct pc_frame *frame, char *why,
	size_t why_size, bool *ret_new, struct pc_gles_import **ret_import);
int pc_gles_imports_output(struct pc_gles_imports *imports, struct pc_frame *frame, char *why,
	size_t why_size, struct pc_gles_import **ret_import);

void pc_gles_imports_reap(struct pc_gles_imports *imports); /* frees those whose buffers died */

#endif
