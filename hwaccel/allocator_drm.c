/* hwaccel/allocator_drm.c - dumb buffers of a DRM node, exported by PRIME.
 *
 * The handle goes as soon as the buffer is exported: what is left is a dma-buf like any
 * other, which lives as long as its fd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xf86drm.h>
#include <xf86drmMode.h>

#include "core/log.h"
#include "hwaccel/allocator_internal.h"
#include "hwaccel/dmabuf_internal.h"

#define NODES 16
#define SIDE_MAX 32768u

struct drm_allocator {
	struct pc_allocator base;
	int fd;
};

/* `lines` of `bytes`, each as long as the driver wants: *ret_stride. */
static int make_dumb(int drm, uint32_t bytes, uint32_t lines, int *ret_fd, uint32_t *ret_stride,
	size_t *ret_size)
{
	uint32_t handle = 0;
	uint32_t pitch = 0;
	uint64_t size = 0;
	if (bytes > SIDE_MAX || lines > SIDE_MAX) {
		return -EINVAL;
	}
	/* 8 bits a pixel: whatever lies in it, a pixel is a byte to the driver. */
	int r = drmModeCreateDumbBuffer(drm, bytes, lines, 8, 0, &handle, &pitch, &size);
	if (r != 0) {
		return r < 0 ? r : -errno;
	}
	int fd = -1;
	r = drmPrimeHandleToFD(drm, handle, DRM_CLOEXEC | DRM_RDWR, &fd) != 0 ? -errno : 0;
	drmModeDestroyDumbBuffer(drm, handle);
	if (r < 0) {
		return r;
	}
	*ret_fd = fd;
	*ret_stride = pitch;
	*ret_size = (size_t)size;
	return 0;
}

static int drm_allocate(struct pc_allocator *base, const struct pc_frame_format *format,
	struct pc_frame **ret_frame)
{
	const struct drm_allocator *allocator = (struct drm_allocator *)base;
	struct pc_dmabuf_layout layout;
	int r = pc_dmabuf_layout(format, &layout);
	if (r < 0) {
		return r;
	}
	const uint32_t wished = layout.planes[0].stride;
	const uint32_t lines = (uint32_t)((layout.size + wished - 1) / wished);
	int fd = -1;
	uint32_t stride = 0;
	r = make_dumb(allocator->fd, wished, lines, &fd, &stride, &layout.size);
	if (r < 0) {
		return r;
	}
	const int64_t bytes =
		pc_frame_layout_stride(format, stride, layout.planes, &layout.n_planes);
	r = bytes < 0 ? (int)bytes : pc_dmabuf_frame_create(fd, &layout, ret_frame);
	if (r < 0) {
		close(fd);
	}
	return r;
}

static void drm_free(struct pc_allocator *base, struct pc_frame *frame)
{
	pc_dmabuf_frame_destroy(frame);
}

static int drm_dmabuf(struct pc_allocator *base, size_t size, int *ret_fd)
{
	const uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	if (size == 0 || size > (size_t)page * SIDE_MAX) {
		return -EINVAL;
	}
	uint32_t stride = 0;
	size_t got = 0;
	return make_dumb(((struct drm_allocator *)base)->fd, page,
		(uint32_t)((size + page - 1) / page), ret_fd, &stride, &got);
}

static void drm_destroy(struct pc_allocator *base)
{
	struct drm_allocator *allocator = (struct drm_allocator *)base;
	close(allocator->fd);
	free(allocator);
}

static const struct pc_allocator_impl drm_impl = {
	.name = "drm",
	.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
	.allocate = drm_allocate,
	.free = drm_free,
	.dmabuf = drm_dmabuf,
	.destroy = drm_destroy,
};

/* --- opening --- */

static int check_node(int fd)
{
	uint64_t prime = 0;
	if (drmGetCap(fd, DRM_CAP_PRIME, &prime) != 0) {
		return -ENOTTY;
	}
	if ((prime & DRM_PRIME_CAP_EXPORT) == 0) {
		return -ENOTSUP;
	}
	/* Tried, not asked: nodes without a display do not tell of their dumb buffers. */
	int buffer = -1;
	uint32_t stride = 0;
	size_t size = 0;
	const int r = make_dumb(fd, 4096, 1, &buffer, &stride, &size);
	if (r == 0) {
		close(buffer);
	}
	return r == -ENOSYS || r == -EOPNOTSUPP ? -ENOTSUP : r;
}

static int open_node(const char *path, int *ret_fd)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	/* Who opens a card node first is made its master, and would keep a desktop out. */
	(void)drmDropMaster(fd);
	const int r = check_node(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int find_node(const char *path, char *why, size_t why_size, int *ret_fd)
{
	char refusals[256] = "";
	int err = -ENODEV;
	for (int i = 0; i < (path != NULL ? 1 : NODES); i++) {
		char card[32];
		snprintf(card, sizeof(card), "/dev/dri/card%d", i);
		const char *at = path != NULL ? path : card;
		const int r = open_node(at, ret_fd);
		if (r == 0) {
			return 0;
		}
		if (path != NULL || r != -ENOENT) {
			const size_t used = strlen(refusals);
			snprintf(refusals + used, sizeof(refusals) - used, "%s%s: %s",
				used > 0 ? "; " : "", at,
				r == -ENOTSUP  ? "makes no dumb buffers to export"
				: r == -ENOTTY ? "is no DRM node"
				: r == -EACCES ? "permission denied (add the user to group video)"
					       : pc_strerror(r));
			err = err == -ENODEV ? r : err;
		}
	}
	snprintf(why, why_size, "no DRM buffers: %s",
		refusals[0] != '\0' ? refusals : "there is no /dev/dri/card*");
	return err == -ENOENT ? -ENODEV : err;
}

int pc_allocator_create_drm(
	const char *path, char *why, size_t why_size, struct pc_allocator **ret_allocator)
{
	struct drm_allocator *allocator = calloc(1, sizeof(*allocator));
	if (allocator == NULL) {
		return -ENOMEM;
	}
	const int r = find_node(path, why, why_size, &allocator->fd);
	if (r < 0) {
		free(allocator);
		return r;
	}
	pc_allocator_init(&allocator->base, &drm_impl);
	*ret_allocator = &allocator->base;
	return 0;
}
