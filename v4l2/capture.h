/* v4l2/capture.h - a camera node: its pictures as frames that nobody copied.
 *
 * Buffers are the driver's, exported once (EXPBUF), or, where the driver's own are
 * no use to the devices behind (UVC's are not contiguous), buffers given by the
 * caller, imported (DMABUF). The last unref of a frame queues its buffer again.
 * The frame has PC_FRAME_DMABUF; it has PC_FRAME_CPU as well, by a mapping that is
 * made at the first begin_cpu() and not before: no consumer looks, no mapping exists.
 *
 * Habits of the hardware that are met here (reference: raspberry-pi.md):
 *  - libcamerify: EXPBUF only, no events, no controls; buffers are requeued in the
 *    order of their indices; after STREAMOFF the node is closed, never restarted.
 *  - UVC: own buffers are vmalloc'ed; corrupt first frames come with
 *    V4L2_BUF_FLAG_ERROR and are dropped and counted; time stamps are monotonic.
 *  - HDMI bridges: the timings of the signal at the input are adopted at open().
 *  - Timestamps that lie in the future or are not monotonic are replaced by the time
 *    of dequeueing (vivid, and drivers that say V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN).
 *
 * A picture costs one DQBUF and one QBUF. Nothing is dequeued while every buffer is held by
 * consumers; what the camera could not deliver then is counted as frames_skipped_source,
 * what is missing otherwise as source_gaps.
 *
 * Thread: every function and callback runs on the loop given to open(), but frames may
 * be held and unreffed by any thread (it queues the buffer), and may outlive the capture.
 */
#ifndef PC_V4L2_CAPTURE_H
#define PC_V4L2_CAPTURE_H

#include <stddef.h>

#include "core/frame.h"
#include "core/loop.h"
#include "core/stats.h"
#include "v4l2/device.h"

struct pc_capture;

/* A format that the devices behind take as it is. A wish that the camera meets with less than
 * half of the pixels or half of the rate asked stands behind those that it meets better. */
struct pc_capture_wish {
	uint32_t fourcc; /* DRM_FORMAT_*, or V4L2_PIX_FMT_MJPEG */
	uint32_t stride_align; /* bytes, a power of two; 1: any */
};

enum pc_capture_memory {
	PC_CAPTURE_EXPORT, /* the driver's buffers, by EXPBUF */
	PC_CAPTURE_IMPORT, /* the caller's, by DMABUF */
	PC_CAPTURE_MAPPED, /* the driver's, mapped: CPU only (libv4l2's conversion; no EXPBUF) */
};

struct pc_capture_config {
	const char *path; /* "/dev/video0" */
	unsigned width, height; /* wished; the nearest that the camera has */
	double fps;
	const struct pc_capture_wish *wishes; /* best first */
	unsigned n_wishes;
	unsigned buffers; /* 3..32; the driver may give more or fewer */
	enum pc_capture_memory memory; /* EXPORT falls back to MAPPED where EXPBUF fails */
	/* PC_CAPTURE_IMPORT, called within open() with its `data`: a dma-buf of at least `size` bytes for each buffer, its fd owned by the
	 * capture on success. 0 or negative errno. NULL otherwise. */
	int (*provide)(void *data, size_t size, int *ret_fd);
	/* libv4l2 may convert where no wish is native. */
	bool convert;
	struct pc_camera_stats *stats; /* counts frames_bad, source_gaps, frames_skipped_source */
};

struct pc_capture_events {
	/* capture_ns and sequence are set; the callee takes a reference if it keeps it. */
	void (*frame)(void *data, struct pc_frame *frame);
	/* -ENODEV: unplugged; -EPIPE: a source-change event (another format, or no signal);
	 * -EIO ...; only close() may follow. `what`: for people, valid during the call. Both
	 * callbacks may close the capture. */
	void (*failed)(void *data, int err, const char *what);
};

struct pc_capture_info {
	struct pc_frame_format format;
	unsigned n_planes;
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES]; /* fd -1: offsets and strides */
	size_t size; /* of a buffer, bytes */
	double fps; /* as the driver set it; as wished where it does not say */
	unsigned buffers;
	enum pc_capture_memory memory; /* as it came to be */
	bool converted; /* by libv4l2, on the CPU */
	char card[32];
	char text[128]; /* "bcm2835-isp: NV12 1280x720 at 30, 4 buffers exported" */
};

/* Opens, negotiates, and starts streaming. 0 or negative errno with `why` (a sentence that
 * says what to do): -ENODEV no camera, -EBUSY in use by another program, -EACCES no
 * permission, -EINVAL none of the wishes (`why` lists what it offers), -ENOMEM no
 * contiguous memory, -ENOTSUP a queue that does not do this kind of memory, -ENOLINK no
 * signal at its input, -ENOSPC no room on the USB bus ... */
int pc_capture_open(struct pc_loop *loop, const struct pc_capture_config *config,
	const struct pc_capture_events *events, void *data, char *why, size_t why_size,
	struct pc_capture **ret_capture);

const struct pc_capture_info *pc_capture_info(const struct pc_capture *capture);

/* The dma-buf of one of its buffers, to try an import with: the capture's, valid until close();
 * -1 with PC_CAPTURE_MAPPED. */
int pc_capture_sample_fd(const struct pc_capture *capture);

/* A camera control (V4L2_CID_*). 0, -EINVAL (none such), -ERANGE. */
int pc_capture_set_control(struct pc_capture *capture, uint32_t id, int32_t value);

/* No callback runs afterwards. Frames that are out stay valid. NULL is fine. */
void pc_capture_close(struct pc_capture *capture);

#endif
