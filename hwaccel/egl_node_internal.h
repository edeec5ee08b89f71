/* hwaccel/egl_node_internal.h - the EGL display of a DRM node, one for the whole process.
 *
 * Mesa never forgets a display, and knows it by its GBM device (src/egl/main/egldisplay.c,
 * _eglFindDisplay): a new device each time would be a leak each time. So a node's is made once
 * and kept, and its display is terminated with its last user.
 *
 * Thread: any.
 */
#ifndef PC_HWACCEL_EGL_NODE_INTERNAL_H
#define PC_HWACCEL_EGL_NODE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <EGL/egl.h>
#include <gbm.h>

#define PC_EGL_NODE_PATH_MAX 64

struct pc_egl_node {
	char path[PC_EGL_NODE_PATH_MAX];
	char driver[32];
	int fd;
	struct gbm_device *gbm;
	EGLDisplay display; /* initialised */
	/* private */
	unsigned users;
	bool broken;
};

/* 0; -ENOENT, -EACCES, -ENODEV (no DRM node, no EGL for it), -ENOMEM; `why` says what and where. */
int pc_egl_node_get(const char *path, char *why, size_t why_size, struct pc_egl_node **ret_node);

/* `broken`: nothing worked on it; it is made anew the next time. */
void pc_egl_node_put(struct pc_egl_node *node, bool broken);

#endif
