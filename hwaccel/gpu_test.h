/* hwaccel/gpu_test.h - which GPU can draw here, and does it take this picture? Found out by trying,
 * for petcamctl probe. A driver that crashes takes the caller with it: ask in a child process.
 *
 * Thread: any; makes a context current on it and takes it away again. May take some 100 ms.
 */
#ifndef PC_HWACCEL_GPU_TEST_H
#define PC_HWACCEL_GPU_TEST_H

#include <stddef.h>

#include "core/frame.h"

struct pc_gpu_test {
	const char *device; /* "/dev/dri/card0", or "": the first that serves */
	/* A picture in one dma-buf, NV12 or YUV420 (planes[].fd are not looked at), as the gles
	 * scaler imports it: each plane as a texture of its own. Stays the caller's. */
	struct pc_frame_format format;
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	int fd;
};

/* 0: it is taken; `name` (untouched on failure) is "/dev/dri/card1 (vc4, V3D 4.2.14)". Else
 * negative errno and `why`: -ENODEV (no GPU that serves), -EACCES, -EINVAL (the picture) ... */
int pc_gpu_test(
	const struct pc_gpu_test *test, char *name, size_t name_size, char *why, size_t why_size);

#endif
