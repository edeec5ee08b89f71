/* hwaccel/egl_node.c - the EGL display of a DRM node, one for the whole process. */
#include "hwaccel/egl_node_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <EGL/eglext.h>
#include <xf86drm.h>

#include "core/log.h"
#include "hwaccel/egl_internal.h"

#define NODES 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pc_egl_node *nodes[NODES]; /* NULL: free */

static void free_node(struct pc_egl_node *node)
{
	if (node->gbm != NULL) {
		gbm_device_destroy(node->gbm);
	}
	if (node->fd >= 0) {
		close(node->fd);
	}
	free(node);
}

static int open_fd(struct pc_egl_node *node, char *why, size_t why_size)
{
	node->fd = open(node->path, O_RDWR | O_CLOEXEC);
	if (node->fd < 0) {
		const int r = -errno;
		snprintf(why, why_size, "%s: %s%s", node->path, pc_strerror(r),
			r == -EACCES ? " (add the user to group video)" : "");
		return r;
	}
	drmVersionPtr version = drmGetVersion(node->fd);
	if (version == NULL) {
		snprintf(why, why_size, "%s: is no DRM node", node->path);
		return -ENODEV;
	}
	snprintf(node->driver, sizeof(node->driver), "%s", version->name);
	drmFreeVersion(version);
	/* Who opens a card node first is made its master, and would keep a desktop out. */
	(void)drmDropMaster(node->fd);
	node->gbm = gbm_create_device(node->fd);
	if (node->gbm == NULL) {
		snprintf(why, why_size, "%s: no GBM for this node", node->path);
		return -ENODEV;
	}
	return 0;
}

/* Under the lock. */
static int make_node(const char *path, char *why, size_t why_size, struct pc_egl_node **ret_node)
{
	if (strlen(path) >= PC_EGL_NODE_PATH_MAX) {
		snprintf(why, why_size, "the node's path is too long");
		return -ENAMETOOLONG;
	}
	struct pc_egl_node *node = calloc(1, sizeof(*node));
	if (node == NULL) {
		return -ENOMEM;
	}
	node->fd = -1;
	memcpy(node->path, path, strlen(path) + 1);
	const int r = open_fd(node, why, why_size);
	if (r < 0) {
		free_node(node);
		return r;
	}
	*ret_node = node;
	return 0;
}

/* Under the lock. */
static int start(struct pc_egl_node *node, char *why, size_t why_size)
{
	node->display = eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, node->gbm, NULL);
	if (node->display != EGL_NO_DISPLAY && eglInitialize(node->display, NULL, NULL)) {
		return 0;
	}
	snprintf(why, why_size, "%s: EGL does not start on it: %s", node->path,
		pc_egl_error_name(eglGetError()));
	return -ENODEV;
}

int pc_egl_node_get(const char *path, char *why, size_t why_size, struct pc_egl_node **ret_node)
{
	struct pc_egl_node *node = NULL;
	unsigned slot = NODES;
	int r = 0;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < NODES; i++) {
		if (nodes[i] == NULL) {
			slot = slot == NODES ? i : slot;
		} else if (!nodes[i]->broken && strcmp(nodes[i]->path, path) == 0) {
			node = nodes[i];
			slot = i;
			break;
		}
	}
	if (slot == NODES) {
		r = -ENFILE;
	} else if (node == NULL) {
		r = make_node(path, why, why_size, &node);
	}
	if (r == 0 && node->users == 0) {
		r = start(node, why, why_size);
		if (r < 0) {
			free_node(node);
		}
		nodes[slot] = r == 0 ? node : NULL;
	}
	if (r == 0) {
		node->users++;
		*ret_node = node;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

void pc_egl_node_put(struct pc_egl_node *node, bool broken)
{
	pthread_mutex_lock(&lock);
	node->broken = node->broken || broken;
	if (--node->users == 0) {
		eglTerminate(node->display);
		if (node->broken) {
			for (unsigned i = 0; i < NODES; i++) {
				nodes[i] = nodes[i] == node ? NULL : nodes[i];
			}
			free_node(node);
		}
	}
	pthread_mutex_unlock(&lock);
}
