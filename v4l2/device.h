/* v4l2/device.h - a V4L2 node: opening it, talking to it, and what it can do.
 *
 * Nodes are told apart by what they say of themselves (QUERYCAP, ENUM_FMT), never by
 * their number. Nodes are opened with libc's open(), so that libcamerify can stand in
 * for the kernel; its fd is an eventfd, on which poll and ioctl work and events do not.
 *
 * Thread: a handle belongs to whoever opened it; ioctl() may be called from any thread
 * (the kernel serialises). Nothing here blocks but the kernel's own open.
 */
#ifndef PC_V4L2_DEVICE_H
#define PC_V4L2_DEVICE_H

#include <linux/videodev2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PC_V4L2_PATH_MAX 64
#define PC_V4L2_FORMATS_MAX 96 /* the Pi's ISP lists some 60 */
#define PC_V4L2_NODES_MAX 64

struct pc_v4l2;

/* O_RDWR, non-blocking, close-on-exec. 0; -ENOENT, -EACCES, -EBUSY, -ENODEV (no V4L2
 * node) ... */
int pc_v4l2_open(const char *path, struct pc_v4l2 **ret_device);

/* The same past libcamerify, whose tables have no lock (libcamera's v4l2_compat_manager.cpp):
 * for looking at nodes while a camera streams on another thread. A camera that is libcamera's
 * is what it is to the kernel then. */
int pc_v4l2_open_kernel(const char *path, struct pc_v4l2 **ret_device);

void pc_v4l2_close(struct pc_v4l2 *device); /* NULL is fine */
int pc_v4l2_fd(const struct pc_v4l2 *device); /* the device's, for poll and epoll */
const char *pc_v4l2_path(const struct pc_v4l2 *device);

/* From here on ioctl, map and unmap go through libv4l2, which converts formats that
 * we do not take, on the CPU, inside DQBUF. -ENOTSUP on a libcamerify fd (an eventfd,
 * which libv4l2's raw system calls bypass) and where libv4l2 refuses. */
int pc_v4l2_convert(struct pc_v4l2 *device);
bool pc_v4l2_is_libcamerify(const struct pc_v4l2 *device);

/* 0 or negative errno; EINTR is tried again. */
int pc_v4l2_ioctl(struct pc_v4l2 *device, unsigned long request, void *arg);

/* Maps a buffer of the node by its mem_offset. 0 or negative errno. */
int pc_v4l2_map(struct pc_v4l2 *device, size_t size, uint32_t offset, void **ret_data);
void pc_v4l2_unmap(struct pc_v4l2 *device, void *data, size_t size);

enum pc_v4l2_role {
	PC_V4L2_OTHER, /* none of these: metadata, SDR, output ... */
	PC_V4L2_CAMERA, /* video capture with streaming */
	PC_V4L2_ENCODER, /* M2M: raw in, H.264 out */
	PC_V4L2_DECODER, /* M2M: coded in, raw out */
	PC_V4L2_SCALER, /* M2M: raw in, raw out */
};
const char *pc_v4l2_role_name(enum pc_v4l2_role role);

struct pc_v4l2_node {
	char path[PC_V4L2_PATH_MAX];
	char driver[16]; /* "bcm2835-codec" */
	char card[32];
	char bus[32];
	uint32_t caps; /* V4L2_CAP_*, the node's own (device_caps) */
	enum pc_v4l2_role role;
	bool mplane; /* speaks the multi-planar API */
	unsigned n_in; /* what goes in (the OUTPUT queue); 0 for a camera */
	uint32_t in[PC_V4L2_FORMATS_MAX]; /* V4L2_PIX_FMT_* */
	unsigned n_out; /* what comes out (the CAPTURE queue) */
	uint32_t out[PC_V4L2_FORMATS_MAX];
	bool emulated[PC_V4L2_FORMATS_MAX]; /* out[i] is libv4l2's conversion, not the device's */
};

/* Fills *ret_node. 0 or negative errno. */
int pc_v4l2_identify(struct pc_v4l2 *device, struct pc_v4l2_node *ret_node);

/* Every video node that can be opened, in the order of their numbers, at most `max`; the
 * number. Those that cannot are left out (petcamctl probe says why, by itself). */
unsigned pc_v4l2_scan(struct pc_v4l2_node *nodes, unsigned max);

/* The first memory-to-memory node of `role`, for which `in` and `out` (V4L2_PIX_FMT_*; 0: any)
 * are among its formats; not for cameras: it opens nodes by pc_v4l2_open_kernel(). 0; -ENODEV;
 * -EACCES: none among those that may be opened, and there are others. */
int pc_v4l2_find(enum pc_v4l2_role role, uint32_t in, uint32_t out, struct pc_v4l2_node *ret_node);

/* V4L2_PIX_FMT_* of single-buffer (contiguous planes) formats to DRM_FORMAT_*, and back;
 * 0: none. V4L2_PIX_FMT_RGB24 is DRM_FORMAT_BGR888 (bytes R, G, B). MJPEG has no DRM
 * code and keeps its own. */
uint32_t pc_v4l2_to_drm(uint32_t pixelformat);
uint32_t pc_v4l2_from_drm(uint32_t fourcc);

/* Is one of the compressed picture formats (MJPEG, JPEG)? */
bool pc_v4l2_is_jpeg(uint32_t pixelformat);

/* Minimum, maximum, default of a control; 0 or -EINVAL (the node has no such control). */
int pc_v4l2_query_control(struct pc_v4l2 *device, uint32_t id, struct v4l2_queryctrl *ret_control);
int pc_v4l2_set_control(struct pc_v4l2 *device, uint32_t id, int32_t value);
int pc_v4l2_get_control(struct pc_v4l2 *device, uint32_t id, int32_t *ret_value);

#endif
