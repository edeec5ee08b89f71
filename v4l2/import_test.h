/* v4l2/import_test.h - does a memory-to-memory node take this dma-buf? Asked of the device.
 *
 * A list of drivers would be a guess: whether a buffer is contiguous, reachable and large
 * enough is known to the kernel alone, which looks at the first QBUF. So one buffer is queued on
 * a handle of its own, on which nothing ever streams, and the handle is closed again.
 *
 * Thread: any. Takes about a millisecond.
 */
#ifndef PC_V4L2_IMPORT_TEST_H
#define PC_V4L2_IMPORT_TEST_H

#include <stddef.h>

#include "core/frame.h"

struct pc_v4l2_import_test {
	const char *path; /* "/dev/video11" */
	struct pc_frame_format format;
	unsigned n_planes; /* as in pc_m2m_config: one behind the other in one dma-buf */
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	size_t size; /* bytes of the dma-buf */
	int fd; /* stays the caller's */
};

/* 0: it is taken. Else `why` (a sentence) and -EINVAL (not this format or these lines),
 * -EMSGSIZE (larger buffers are wanted), -ENOTSUP (no dma-bufs at all), or what the
 * import itself said: -EFAULT, -EINVAL (not contiguous), -ENOMEM ... */
int pc_v4l2_import_test(const struct pc_v4l2_import_test *test, char *why, size_t why_size);

#endif
