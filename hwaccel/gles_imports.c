/* hwaccel/gles_imports.c - what a GL context made of frame buffers, and its end. */
#include "hwaccel/gles_imports_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <GLES2/gl2.h>

void pc_gles_imports_init(
	struct pc_gles_imports *imports, struct pc_egl *egl, void (*died)(void *data), void *data)
{
	*imports = (struct pc_gles_imports){ .egl = egl, .died = died, .data = data };
	pthread_mutex_init(&imports->lock, NULL);
	pthread_cond_init(&imports->gone, NULL);
}

static void free_import(struct pc_gles_imports *imports, struct pc_gles_import *import)
{
	glDeleteFramebuffers(1, &import->framebuffer); /* names of 0 are ignored */
	glDeleteRenderbuffers(1, &import->renderbuffer);
	glDeleteTextures(PC_GLES_PLANES_MAX, import->textures);
	for (unsigned i = 0; i < import->n_images; i++) {
		pc_egl_release(imports->egl, import->images[i]);
	}
	free(import);
}

/* Under the lock. */
static void unlink_living(struct pc_gles_imports *imports, struct pc_gles_import *import)
{
	if (import->previous != NULL) {
		import->previous->next = import->next;
	} else {
		imports->living = import->next;
	}
	if (import->next != NULL) {
		import->next->previous = import->previous;
	}
}

/* The buffer goes away, on whichever thread it does. */
static void buffer_died(struct pc_frame_import *base)
{
	struct pc_gles_import *import = (struct pc_gles_import *)base;
	struct pc_gles_imports *imports = (struct pc_gles_imports *)(uintptr_t)base->owner;
	pthread_mutex_lock(&imports->lock);
	unlink_living(imports, import);
	import->next_dead = imports->dead;
	imports->dead = import;
	imports->died(imports->data);
	pthread_cond_signal(&imports->gone);
	pthread_mutex_unlock(&imports->lock);
}

static void add(
	struct pc_gles_imports *imports, struct pc_frame *frame, struct pc_gles_import *import)
{
	import->base.owner = imports;
	import->base.destroy = buffer_died;
	import->frame = frame;
	pthread_mutex_lock(&imports->lock);
	import->next = imports->living;
	if (import->next != NULL) {
		import->next->previous = import;
	}
	imports->living = import;
	pthread_mutex_unlock(&imports->lock);
	pc_frame_import_add(frame, &import->base);
}

void pc_gles_imports_reap(struct pc_gles_imports *imports)
{
	pthread_mutex_lock(&imports->lock);
	struct pc_gles_import *dead = imports->dead;
	imports->dead = NULL;
	pthread_mutex_unlock(&imports->lock);
	while (dead != NULL) {
		struct pc_gles_import *next = dead->next_dead;
		free_import(imports, dead);
		dead = next;
	}
}

void pc_gles_imports_finish(struct pc_gles_imports *imports)
{
	/* A frame on the list is valid: its end would have to come past our lock. */
	pthread_mutex_lock(&imports->lock);
	while (imports->living != NULL) {
		struct pc_gles_import *taken = NULL;
		for (struct pc_gles_import *i = imports->living; i != NULL && taken == NULL;
			i = i->next) {
			taken = pc_frame_import_take(i->frame, imports) != NULL ? i : NULL;
		}
		if (taken != NULL) {
			unlink_living(imports, taken);
			taken->next_dead = imports->dead;
			imports->dead = taken;
		} else {
			/* Those that are left are dying at this moment. */
			pthread_cond_wait(&imports->gone, &imports->lock);
		}
	}
	pthread_mutex_unlock(&imports->lock);
	pc_gles_imports_reap(imports);
	pthread_cond_destroy(&imports->gone);
	pthread_mutex_destroy(&imports->lock);
}

/* --- making --- */

static int make_image(struct pc_gles_imports *imports, const struct pc_egl_plane *plane, char *why,
	size_t why_size, struct pc_gles_import *import)
{
	const int r = pc_egl_import(
		imports->egl, plane, why, why_size, &import->images[import->n_images]);
	import->n_images += r == 0;
	return r;
}

static int make_texture(struct pc_gles_imports *imports, const struct pc_egl_plane *plane,
	char *why, size_t why_size, struct pc_gles_import *import)
{
	const unsigned i = import->n_images;
	const int r = make_image(imports, plane, why, why_size, import);
	if (r < 0) {
		return r;
	}
	glGenTextures(1, &import->textures[i]);
	glBindTexture(GL_TEXTURE_2D, import->textures[i]);
	pc_egl_image_to_texture(imports->egl, import->images[i]);
	/* Two texels are read at once by asking for a point between them. */
	glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
	glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
	glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
	glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
	const GLenum error = glGetError();
	if (error != GL_NO_ERROR) {
		snprintf(why, why_size, "no texture of it: GL error 0x%x", error);
		return -EINVAL;
	}
	return 0;
}

int pc_gles_imports_input(struct pc_gles_imports *imports, struct pc_frame *frame, char *why,
	size_t why_size, bool *ret_new, struct pc_gles_import **ret_import)
{
	struct pc_frame_import *known = pc_frame_import_find(frame, imports);
	if (ret_new != NULL) {
		*ret_new = known == NULL;
	}
	if (known != NULL) {
		*ret_import = (struct pc_gles_import *)known;
		return 0;
	}
	struct pc_egl_plane planes[PC_GLES_PLANES_MAX];
	const unsigned n_planes = pc_gles_draw_planes(&frame->format, frame->planes, planes);
	struct pc_gles_import *import = calloc(1, sizeof(*import));
	if (import == NULL) {
		return -ENOMEM;
	}
	int r = n_planes == 0 ? -EINVAL : 0;
	for (unsigned i = 0; i < n_planes && r == 0; i++) {
		r = make_texture(imports, &planes[i], why, why_size, import);
	}
	if (r < 0) {
		free_import(imports, import);
		return r;
	}
	add(imports, frame, import);
	*ret_import = import;
	return 0;
}

int pc_gles_imports_output(struct pc_gles_imports *imports, struct pc_frame *frame, char *why,
	size_t why_size, struct pc_gles_import **ret_import)
{
	struct pc_frame_import *known = pc_frame_import_find(frame, imports);
	if (known != NULL) {
		*ret_import = (struct pc_gles_import *)known;
		return 0;
	}
	struct pc_gles_import *import = calloc(1, sizeof(*import));
	if (import == NULL) {
		return -ENOMEM;
	}
	struct pc_egl_plane plane;
	pc_gles_draw_target(&frame->format, &frame->planes[0], &plane);
	const int r = make_image(imports, &plane, why, why_size, import);
	if (r < 0) {
		free_import(imports, import);
		return r;
	}
	glGenRenderbuffers(1, &import->renderbuffer);
	glBindRenderbuffer(GL_RENDERBUFFER, import->renderbuffer);
	pc_egl_image_to_renderbuffer(imports->egl, import->images[0]);
	glGenFramebuffers(1, &import->framebuffer);
	glBindFramebuffer(GL_FRAMEBUFFER, import->framebuffer);
	glFramebufferRenderbuffer(
		GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_RENDERBUFFER, import->renderbuffer);
	const GLenum status = glCheckFramebufferStatus(GL_FRAMEBUFFER);
	const GLenum error = glGetError();
	if (status != GL_FRAMEBUFFER_COMPLETE || error != GL_NO_ERROR) {
		snprintf(why, why_size,
			"does not draw into such memory: GL status 0x%x, error 0x%x", status,
			error);
		free_import(imports, import);
		return -ENOTSUP;
	}
	add(imports, frame, import);
	*ret_import = import;
	return 0;
}
