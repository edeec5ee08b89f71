/* v4l2/device.c - a V4L2 node: opening it, talking to it; see device.h. */
#include "v4l2/device.h"

#include <errno.h>
#include <fcntl.h>
#include <libv4l2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct pc_v4l2 {
	int fd;
	bool libcamerify;
	bool kernel; /* opened past libcamerify: so is all that follows */
	bool converting; /* ioctl, map and unmap go through libv4l2 */
	char path[PC_V4L2_PATH_MAX];
};

/* libcamera's V4L2 layer answers open() with an eventfd (libcamera's
 * src/v4l2/v4l2_compat_manager.cpp, openat()). 1: such a one, 0: a device of the kernel's;
 * -ENODEV: neither. */
static int is_eventfd(int fd)
{
	struct stat status;
	if (fstat(fd, &status) == 0 && S_ISCHR(status.st_mode)) {
		return 0;
	}
	char link[32], target[32];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t length = readlink(link, target, sizeof(target) - 1);
	if (length < 0) {
		return -ENODEV;
	}
	target[length] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0 ? 1 : -ENODEV;
}

static int open_node(const char *path, bool kernel)
{
	const int flags = O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
	int fd;
	do {
		fd = kernel ? (int)syscall(SYS_openat, AT_FDCWD, path, flags) : open(path, flags);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static void close_node(const struct pc_v4l2 *device)
{
	if (device->kernel) {
		syscall(SYS_close, device->fd);
	} else if (device->converting) {
		v4l2_close(device->fd);
	} else {
		close(device->fd);
	}
}

static int open_device(const char *path, bool kernel, struct pc_v4l2 **ret_device)
{
	if (strlen(path) >= PC_V4L2_PATH_MAX) {
		return -ENAMETOOLONG;
	}
	struct pc_v4l2 *device = calloc(1, sizeof(*device));
	if (device == NULL) {
		return -ENOMEM;
	}
	device->kernel = kernel;
	memcpy(device->path, path, strlen(path) + 1);
	device->fd = open_node(path, kernel);
	int r = device->fd;
	if (r < 0) {
		/* ENXIO: the node is there and its driver is not. A directory or a socket is
		 * no V4L2 node either. */
		r = r == -ENXIO || r == -EISDIR ? -ENODEV : r;
		goto fail_device;
	}
	r = is_eventfd(device->fd);
	if (r < 0) {
		goto fail_fd;
	}
	device->libcamerify = r == 1;
	struct v4l2_capability capability = { 0 };
	r = pc_v4l2_ioctl(device, VIDIOC_QUERYCAP, &capability);
	if (r < 0) {
		r = r == -ENOTTY || r == -EINVAL || r == -EBADF ? -ENODEV : r;
		goto fail_fd;
	}
	*ret_device = device;
	return 0;

fail_fd:
	close_node(device);
fail_device:
	free(device);
	return r;
}

int pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device)
{
	return open_device(path, false, ret_device);
}

int pc_v4l2_open_kernel(const char *path, struct pc_v4l2 **ret_device)
{
	return open_device(path, true, ret_device);
}

void pc_v4l2_close(struct pc_v4l2 *device)
{
	if (device == NULL) {
		return;
	}
	close_node(device);
	free(device);
}

int pc_v4l2_fd(const struct pc_v4l2 *device)
{
	return device->fd;
}

const char *pc_v4l2_path(const struct pc_v4l2 *device)
{
	return device->path;
}

int pc_v4l2_convert(struct pc_v4l2 *device)
{
	if (device->converting) {
		return 0;
	}
	if (device->libcamerify || device->kernel ||
		v4l2_fd_open(device->fd, V4L2_ENABLE_ENUM_FMT_EMULATION) < 0) {
		return -ENOTSUP;
	}
	device->converting = true;
	return 0;
}

bool pc_v4l2_is_libcamerify(const struct pc_v4l2 *device)
{
	return device->libcamerify;
}

int pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg)
{
	int r;
	do {
		r = device->kernel	 ? (int)syscall(SYS_ioctl, device->fd, request, arg)
		    : device->converting ? v4l2_ioctl(device->fd, request, arg)
					 : ioctl(device->fd, request, arg);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int pc_v4l2_map(struct pc_v4l2 *device, size_t size, uint32_t offset, void **ret_data)
{
	const int prot = PROT_READ | PROT_WRITE;
	void *data = device->converting
			     ? v4l2_mmap(NULL, size, prot, MAP_SHARED, device->fd, offset)
			     : mmap(NULL, size, prot, MAP_SHARED, device->fd, offset);
	if (data == MAP_FAILED) {
		return -errno;
	}
	*ret_data = data;
	return 0;
}

void pc_v4l2_unmap(struct pc_v4l2 *device, void *data, size_t size)
{
	if (device->converting) {
		v4l2_munmap(data, size);
	} else {
		munmap(data, size);
	}
}

/* What the node lacks, it lacks: drivers say so by ENOTTY (no controls at all) or EINVAL. */
static int control_error(int r)
{
	return r == -ENOTTY ? -EINVAL : r;
}

int pc_v4l2_query_control(struct pc_v4l2 *device, uint32_t id, struct v4l2_queryctrl *ret_control)
{
	struct v4l2_queryctrl control = { .id = id };
	const int r = pc_v4l2_ioctl(device, VIDIOC_QUERYCTRL, &control);
	if (r < 0) {
		return control_error(r);
	}
	if ((control.flags & V4L2_CTRL_FLAG_DISABLED) != 0) {
		return -EINVAL;
	}
	*ret_control = control;
	return 0;
}

int pc_v4l2_set_control(struct pc_v4l2 *device, uint32_t id, int32_t value)
{
	struct v4l2_control control = { .id = id, .value = value };
	return control_error(pc_v4l2_ioctl(device, VIDIOC_S_CTRL, &control));
}

int pc_v4l2_get_control(struct pc_v4l2 *device, uint32_t id, int32_t *ret_value)
{
	struct v4l2_control control = { .id = id };
	const int r = pc_v4l2_ioctl(device, VIDIOC_G_CTRL, &control);
	if (r < 0) {
		return control_error(r);
	}
	*ret_value = control.value;
	return 0;
}
