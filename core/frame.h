/* core/frame.h - a picture in memory that several consumers may hold.
 *
 * A frame is one buffer of a producer (a V4L2 buffer, a pool slot), used again
 * and again. The producer fills it and hands it out with one reference; each
 * consumer that keeps it past its callback takes another; the last unref gives
 * the buffer back to the producer through impl->release.
 *
 * The CPU may look at the pixels only where `caps` has PC_FRAME_CPU, and only
 * between begin and end. On a device with V4L2 media hardware full-size frames
 * have PC_FRAME_DMABUF alone and are never mapped.
 *
 * Device imports (a V4L2 queue's index, an EGLImage) are cached on the frame by
 * owner, made once and freed with the buffer (wlroots calls them addons).
 *
 * Thread: ref, unref and the import calls from any; fields are written by the
 * producer alone, before it hands the frame out.
 */
#ifndef PC_CORE_FRAME_H
#define PC_CORE_FRAME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PC_FRAME_MAX_PLANES 4

enum pc_frame_caps {
	PC_FRAME_DMABUF = 1 << 0, /* planes[].fd are dma-bufs that devices can import */
	PC_FRAME_CPU = 1 << 1, /* begin_cpu and end_cpu work */
};

enum pc_frame_access {
	PC_FRAME_READ = 1 << 0,
	PC_FRAME_WRITE = 1 << 1,
};

struct pc_frame_plane {
	int fd; /* -1 where the frame has no fd; owned by the buffer; planes may share one */
	uint32_t offset; /* bytes from the start of fd */
	uint32_t stride; /* bytes a line */
};

/* What a buffer can hold: a plain value, compared by pc_frame_format_equal(). */
struct pc_frame_format {
	uint32_t fourcc; /* DRM_FORMAT_*: YUV420 (I420), NV12, BGR888 (= bytes R,G,B) ... */
	uint32_t width; /* pixels */
	uint32_t height;
	uint64_t modifier; /* DRM_FORMAT_MOD_LINEAR (0) unless a device says otherwise */
};

struct pc_frame;
struct pc_frame_import;

struct pc_frame_impl {
	/* The last reference is gone: the buffer is the producer's again. Runs on
	 * whichever thread dropped it; must not block. */
	void (*release)(struct pc_frame *frame);
	/* Makes the planes readable/writable: data[i] is the start of plane i.
	 * 0 or negative errno. NULL where caps lacks PC_FRAME_CPU; both or none. */
	int (*begin_cpu)(struct pc_frame *frame, unsigned access, uint8_t *data[static 4]);
	void (*end_cpu)(struct pc_frame *frame, unsigned access);
};

struct pc_frame {
	struct pc_frame_format format;
	unsigned caps; /* enum pc_frame_caps */
	unsigned n_planes;
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];

	int64_t capture_ns; /* CLOCK_MONOTONIC: when the sensor (or the renderer) took it */
	uint64_t sequence; /* +1 for each frame the source made, dropped ones included */
	uint32_t bytes_used; /* of a compressed picture (MJPEG); 0: a raw one */

	/* private */
	const struct pc_frame_impl *impl;
	atomic_uint refs;
	pthread_mutex_t imports_lock;
	struct pc_frame_import *imports; /* NULL: none */
};

/* One device's import of a buffer. Embed it first in a struct of the device's. */
struct pc_frame_import {
	const void *owner; /* the importing device; the key of the cache */
	void (*destroy)(struct pc_frame_import *import); /* buffer is going away; frees `import` */
	struct pc_frame_import *next; /* private */
};

bool pc_frame_format_equal(const struct pc_frame_format *a, const struct pc_frame_format *b);

/* "YU12 1280x720" for logs. */
#define PC_FRAME_FORMAT_TEXT 32
void pc_frame_format_text(
	const struct pc_frame_format *format, char out[static PC_FRAME_FORMAT_TEXT]);

/* Planes, strides and total bytes of a linear buffer of `format` whose luma (or
 * packed) stride is a multiple of `align` (a power of two). fds are set to -1,
 * offsets are from 0. Returns the bytes needed, or -EINVAL for a format that
 * petcam does not know, a size of 0 or over 8192, an odd size for a 4:2:0 format. */
int64_t pc_frame_layout(const struct pc_frame_format *format, uint32_t align,
	struct pc_frame_plane planes[static PC_FRAME_MAX_PLANES], unsigned *ret_n_planes);

/* The same for a stride (of plane 0, bytes) that a device gave. -EINVAL as well where it is
 * too short for a line, odd where chroma needs half of it, or over 128 KiB. */
int64_t pc_frame_layout_stride(const struct pc_frame_format *format, uint32_t stride,
	struct pc_frame_plane planes[static PC_FRAME_MAX_PLANES], unsigned *ret_n_planes);

/* For producers. `init` sets the private fields only and leaves the frame with no
 * reference (the producer's own state); `publish` gives it the first; `finish`
 * frees the imports and asserts that nobody holds it. */
void pc_frame_init(struct pc_frame *frame, const struct pc_frame_impl *impl);
void pc_frame_publish(struct pc_frame *frame);
void pc_frame_finish(struct pc_frame *frame);

struct pc_frame *pc_frame_ref(struct pc_frame *frame); /* returns `frame` */
void pc_frame_unref(struct pc_frame *frame); /* NULL is fine */

/* CPU access, in pairs. -ENOTSUP where caps lacks PC_FRAME_CPU. */
int pc_frame_begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4]);
void pc_frame_end_cpu(struct pc_frame *frame, unsigned access);

/* The import that `owner` left on this buffer, or NULL. */
struct pc_frame_import *pc_frame_import_find(struct pc_frame *frame, const void *owner);

/* Gives `import` to the buffer. The owner must not have one there yet. */
void pc_frame_import_add(struct pc_frame *frame, struct pc_frame_import *import);

/* Takes `owner`'s import off the buffer and returns it; the caller frees it. NULL: there is
 * none, or finish() runs on another thread and has it: then destroy() is called in a moment.
 * For devices on threads of their own, which hold in their destroy() the lock under which
 * they call this: as long as the import is on their list, `frame` is valid. */
struct pc_frame_import *pc_frame_import_take(struct pc_frame *frame, const void *owner);

/* A device that closes before the buffer takes its import back (calls destroy). */
void pc_frame_import_remove(struct pc_frame *frame, const void *owner);

#endif
