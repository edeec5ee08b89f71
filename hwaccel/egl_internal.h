/* hwaccel/egl_internal.h - a GPU by its DRM node: display, context, dma-buf imports.
 *
 * Thread: open() makes the context current on the calling thread; every other call, close()
 * too, belongs to that thread. Errors come as negative errno and, where there is a `why`,
 * in words.
 */
#ifndef PC_HWACCEL_EGL_INTERNAL_H
#define PC_HWACCEL_EGL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hwaccel/allocator.h"

struct pc_egl;

struct pc_egl_config {
	const char *device; /* "/dev/dri/card1", or "": the first card node whose GPU serves */
	bool software; /* a renderer that draws with the CPU will do, where there is no GPU */
	/* A dma-buf of another device's. Renderers that draw with the CPU must be able to map
	 * such, and Mesa crashes on nodes that refuse (vgem, vkms): this is tried on. -1: none, and
	 * no such renderer is taken. Stays the caller's. */
	int foreign_fd;
};

/* Is there a node at all that could serve? Asks no driver, opens nothing. */
bool pc_egl_maybe(const char *device);

/* 0; -ENODEV (no node, or none serves), -EACCES, -ENOMEM ... */
int pc_egl_open(
	const struct pc_egl_config *config, char *why, size_t why_size, struct pc_egl **ret_egl);
void pc_egl_close(struct pc_egl *egl); /* NULL is fine */
const char *pc_egl_name(const struct pc_egl *egl); /* "/dev/dri/card1 (vc4, V3D 4.2.14)" */
bool pc_egl_is_software(const struct pc_egl *egl);

/* One plane of a picture, as a texture or a target of its own. */
struct pc_egl_plane {
	int fd; /* stays the caller's */
	uint32_t fourcc; /* DRM_FORMAT_R8, GR88, ABGR8888 */
	uint32_t width, height; /* texels */
	uint32_t offset, stride; /* bytes */
};

/* An EGLImage of it. 0, or -EINVAL, -ENOMEM ... */
int pc_egl_import(struct pc_egl *egl, const struct pc_egl_plane *plane, char *why, size_t why_size,
	void **ret_image);
void pc_egl_release(struct pc_egl *egl, void *image); /* NULL is fine */

/* Makes the image the storage of the texture (GL_TEXTURE_2D) or the renderbuffer that is bound. */
void pc_egl_image_to_texture(struct pc_egl *egl, void *image);
void pc_egl_image_to_renderbuffer(struct pc_egl *egl, void *image);

/* Waits until all that was drawn is in memory. 0, -ETIMEDOUT (call again), -EIO. */
int pc_egl_finish(struct pc_egl *egl, int64_t timeout_ns);

/* Buffers of this GPU's own (GBM, linear), in which packed RGB can be drawn: for machines
 * without a heap. DRM_FORMAT_BGR888 only; allocate before close(); the frames may outlive
 * it, the allocator as well. -EINVAL where the GPU pads the lines. */
int pc_egl_create_allocator(struct pc_egl *egl, struct pc_allocator **ret_allocator);

/* "EGL_BAD_ALLOC" ... */
const char *pc_egl_error_name(int error);

#endif
