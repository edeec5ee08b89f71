/* tests/unit/hwaccel/test_allocator_dmabuf.c - dma-heap, DRM and EXPBUF buffers, on a kernel
 * that is played here: our calls to ioctl and libdrm come to this file (ld --wrap), and
 * what they give out are memfds. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm_fourcc.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>

#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "hwaccel/dmabuf_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define ENCODER "/dev/null" /* a character device that says nothing of its own */

static const struct pc_frame_format i420 = { DRM_FORMAT_YUV420, 640, 338, 0 };
static const struct pc_frame_format nv12 = { DRM_FORMAT_NV12, 640, 480, 0 };
static const struct pc_frame_format rgb = { DRM_FORMAT_BGR888, 352, 50, 0 };

/* --- the kernel --- */

static struct {
	unsigned ioctls; /* all of them */
	unsigned fail_at; /* the n-th fails, once; 0: none */
	atomic_uint starts, ends; /* DMA_BUF_IOCTL_SYNC, by many threads */
	_Atomic uint64_t last_sync;
	atomic_uint busy; /* DMA_BUF_IOCTL_SYNC says EINTR or EAGAIN this often */
	uint32_t pitch_align; /* of dumb buffers */
	unsigned dumb; /* handles there are */
	unsigned n_buffers; /* of the encoder's OUTPUT queue */
	uint32_t sizeimage;
	bool small; /* the encoder's buffers are too small for the picture */
	bool no_expbuf;
} kernel;

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_drmGetCap(int fd, uint64_t capability, uint64_t *value);
int __wrap_drmDropMaster(int fd);
int __wrap_drmModeCreateDumbBuffer(int fd, uint32_t width, uint32_t height, uint32_t bpp,
	uint32_t flags, uint32_t *handle, uint32_t *pitch, uint64_t *size);
int __wrap_drmModeDestroyDumbBuffer(int fd, uint32_t handle);
int __wrap_drmPrimeHandleToFD(int fd, uint32_t handle, uint32_t flags, int *prime_fd);

static int memory(size_t size)
{
	const int fd = (int)memfd_create("played-dmabuf", MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int play_heap(struct dma_heap_allocation_data *data)
{
	test_assert(data->fd == 0 && data->heap_flags == 0 && data->len > 0);
	test_int(data->fd_flags, O_RDWR | O_CLOEXEC);
	const int fd = memory(data->len);
	data->fd = (uint32_t)fd;
	return fd < 0 ? -1 : 0;
}

static int play_sync(const struct dma_buf_sync *sync)
{
	if (kernel.busy > 0) {
		errno = kernel.busy-- % 2 == 0 ? EAGAIN : EINTR;
		return -1;
	}
	test_assert((sync->flags & DMA_BUF_SYNC_RW) != 0);
	atomic_fetch_add((sync->flags & DMA_BUF_SYNC_END) != 0 ? &kernel.ends : &kernel.starts, 1);
	kernel.last_sync = sync->flags;
	return 0;
}

static int play_enum(struct v4l2_fmtdesc *format)
{
	const bool out = format->type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
	if (format->index > 0 || (!out && format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE)) {
		errno = EINVAL;
		return -1;
	}
	format->pixelformat = out ? V4L2_PIX_FMT_NV12 : V4L2_PIX_FMT_H264;
	return 0;
}

static int play_encoder(unsigned long request, void *arg)
{
	switch (request) {
	case VIDIOC_QUERYCAP:
		((struct v4l2_capability *)arg)->capabilities =
			V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
		((struct v4l2_capability *)arg)->device_caps =
			V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
		return 0;
	case VIDIOC_ENUM_FMT:
		return play_enum(arg);
	case VIDIOC_S_FMT: {
		test_int(kernel.n_buffers, 0); /* EBUSY */
		struct v4l2_pix_format_mplane *mp = &((struct v4l2_format *)arg)->fmt.pix_mp;
		mp->pixelformat = V4L2_PIX_FMT_NV12;
		mp->plane_fmt[0].bytesperline = (mp->width + 127) & ~127u;
		mp->plane_fmt[0].sizeimage =
			kernel.small ? 4096 : mp->plane_fmt[0].bytesperline * mp->height * 3 / 2;
		kernel.sizeimage = mp->plane_fmt[0].sizeimage;
		return 0;
	}
	case VIDIOC_REQBUFS:
		test_int(((struct v4l2_requestbuffers *)arg)->count, 0);
		kernel.n_buffers = 0;
		return 0;
	case VIDIOC_CREATE_BUFS: {
		struct v4l2_create_buffers *create = arg;
		test_int(create->format.fmt.pix_mp.plane_fmt[0].sizeimage, kernel.sizeimage);
		create->index = kernel.n_buffers++;
		return 0;
	}
	case VIDIOC_EXPBUF: {
		struct v4l2_exportbuffer *export = arg;
		test_assert(export->index < kernel.n_buffers);
		if (kernel.no_expbuf) {
			errno = ENOTTY;
			return -1;
		}
		export->fd = memory(kernel.sizeimage);
		return export->fd < 0 ? -1 : 0;
	}
	default:
		errno = ENOTTY;
		return -1;
	}
}

static bool fails(void)
{
	kernel.ioctls++;
	return kernel.ioctls == kernel.fail_at;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (request == DMA_BUF_IOCTL_SYNC) {
		return play_sync(arg);
	}
	if (fails()) {
		errno = ENOMEM;
		return -1;
	}
	return request == DMA_HEAP_IOCTL_ALLOC ? play_heap(arg) : play_encoder(request, arg);
}

int __wrap_drmGetCap(int fd, uint64_t capability, uint64_t *value)
{
	*value = ~0ull;
	return 0;
}

int __wrap_drmDropMaster(int fd)
{
	return 0;
}

int __wrap_drmModeCreateDumbBuffer(int fd, uint32_t width, uint32_t height, uint32_t bpp,
	uint32_t flags, uint32_t *handle, uint32_t *pitch, uint64_t *size)
{
	if (fails()) {
		return -ENOMEM;
	}
	test_int(bpp, 8);
	*pitch = (width + kernel.pitch_align - 1) / kernel.pitch_align * kernel.pitch_align;
	*size = (uint64_t)*pitch * height;
	*handle = (uint32_t)*size; /* what export needs to know */
	kernel.dumb++;
	return 0;
}

int __wrap_drmModeDestroyDumbBuffer(int fd, uint32_t handle)
{
	kernel.dumb--;
	return 0;
}

int __wrap_drmPrimeHandleToFD(int fd, uint32_t handle, uint32_t flags, int *prime_fd)
{
	if (fails()) {
		errno = ENOMEM;
		return -1;
	}
	*prime_fd = memory(handle);
	return *prime_fd < 0 ? -1 : 0;
}

/* --- helpers --- */

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++) {
		n += fcntl(fd, F_GETFD) >= 0;
	}
	return n;
}

/* Mappings of the buffers given out: what petcam promises to have none of. */
static unsigned mappings(void)
{
	unsigned n = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
		n += strstr(line, "played-dmabuf") != NULL;
	}
	fclose(maps);
	return n;
}

static char why[256];

static struct pc_allocator *heap(void)
{
	struct pc_allocator *allocator = NULL;
	test_int(pc_allocator_create_heap(ENCODER, why, sizeof(why), &allocator), 0);
	return allocator;
}

static struct pc_allocator *drm(void)
{
	struct pc_allocator *allocator = NULL;
	kernel.pitch_align = 1;
	test_int(pc_allocator_create_drm(ENCODER, why, sizeof(why), &allocator), 0);
	return allocator;
}

static struct pc_allocator *expbuf(void)
{
	struct pc_allocator *allocator = NULL;
	test_int(pc_allocator_create_expbuf(ENCODER, why, sizeof(why), &allocator), 0);
	return allocator;
}

/* --- tests --- */

static void test_mapped_when_looked_at(void)
{
	struct pc_allocator *allocator = heap();
	struct pc_frame_pool *pool;
	test_str(pc_allocator_name(allocator), "heap");
	test_int(pc_allocator_caps(allocator), PC_FRAME_CPU | PC_FRAME_DMABUF);
	test_int(pc_frame_pool_create(allocator, &i420, 3, &pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(pool);
	test_int(frame->n_planes, 3);
	test_int(frame->planes[0].stride, 640);
	test_int(frame->planes[2].fd, frame->planes[0].fd);
	test_int(frame->planes[3].fd, -1);
	test_assert((fcntl(frame->planes[0].fd, F_GETFD) & FD_CLOEXEC) != 0);
	/* Room for a device that counts in 16 lines, and to read over the end. */
	test_assert(lseek(frame->planes[0].fd, 0, SEEK_END) >= 640 * 352 * 3 / 2 + PC_DMABUF_TAIL);
	test_int(mappings(), 0);

	uint8_t *data[4];
	kernel.starts = 0;
	kernel.ends = 0;
	kernel.busy = 3;
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	test_int(kernel.last_sync, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE);
	test_int(mappings(), 1);
	memset(data[1], 7, frame->planes[1].stride * 169);
	test_assert(data[3] == NULL);
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	test_int(kernel.last_sync, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE);
	uint8_t byte = 0;
	test_int(pread(frame->planes[0].fd, &byte, 1, frame->planes[1].offset), 1);
	test_int(byte, 7);
	uint8_t *again[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ | PC_FRAME_WRITE, again), 0);
	test_int(kernel.last_sync, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW);
	pc_frame_end_cpu(frame, PC_FRAME_READ | PC_FRAME_WRITE);
	test_assert(again[0] == data[0]);
	test_int(kernel.starts, 2);
	test_int(kernel.ends, 2);
	test_int(mappings(), 1); /* the one that was looked at */
	pc_frame_unref(frame);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
	test_int(mappings(), 0);
}

static void *look(void *data)
{
	struct pc_frame *frame = data;
	for (int i = 0; i < 100; i++) {
		uint8_t *planes[4];
		test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, planes), 0);
		test_int(planes[0][0], 0);
		pc_frame_end_cpu(frame, PC_FRAME_READ);
	}
	return NULL;
}

static void test_mapped_once_by_many(void)
{
	struct pc_allocator *allocator = heap();
	struct pc_frame_pool *pool;
	test_int(pc_frame_pool_create(allocator, &i420, 1, &pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(pool);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		test_int(pc_thread_create(&threads[i], "looker", look, frame), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	test_int(mappings(), 1);
	pc_frame_unref(frame);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
}

static void test_bare_buffers(void)
{
	const unsigned before = open_fds();
	struct pc_allocator *allocators[] = { heap(), drm() };
	for (int i = 0; i < 2; i++) {
		int fd = -1;
		test_int(pc_allocator_dmabuf(allocators[i], 1382401, &fd), 0);
		test_assert(lseek(fd, 0, SEEK_END) >= 1382401);
		close(fd);
		test_int(pc_allocator_dmabuf(allocators[i], 0, &fd), -EINVAL);
		test_int(pc_allocator_dmabuf(allocators[i], (size_t)1 << 40, &fd), -EINVAL);
		pc_allocator_destroy(allocators[i]);
	}
	struct pc_allocator *allocator;
	int fd = -1;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_int(pc_allocator_dmabuf(allocator, 4096, &fd), -ENOTSUP);
	pc_allocator_destroy(allocator);
	allocator = expbuf();
	test_int(pc_allocator_dmabuf(allocator, 4096, &fd), -ENOTSUP);
	pc_allocator_destroy(allocator);
	test_int(fd, -1);
	test_int(open_fds(), before);
}

static void test_drm_strides(void)
{
	struct pc_allocator *allocator = drm();
	struct pc_frame_pool *pool;
	kernel.pitch_align = 256;
	test_int(pc_frame_pool_create(allocator, &i420, 2, &pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(pool);
	test_int(frame->planes[0].stride, 768);
	test_int(frame->planes[1].stride, 384);
	test_int(frame->planes[1].offset, 768 * 338);
	test_int(frame->planes[2].offset, 768 * 338 + 384 * 169);
	test_assert(lseek(frame->planes[0].fd, 0, SEEK_END) >= 768 * 507 + PC_DMABUF_TAIL);
	test_int(kernel.dumb, 0); /* the dma-buf is all that is left */
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	memset(data[2], 1, (size_t)384 * 169);
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	pc_frame_unref(frame);
	pc_frame_pool_destroy(pool);
	kernel.pitch_align = 1;
	test_int(pc_frame_pool_create(allocator, &rgb, 1, &pool), 0);
	frame = pc_frame_pool_acquire(pool);
	test_int(frame->planes[0].stride, 3 * 352);
	pc_frame_unref(frame);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
}

static void test_expbuf_formats(void)
{
	const unsigned before = open_fds();
	struct pc_allocator *allocator = expbuf();
	struct pc_frame_pool *a, *b;
	test_int(pc_frame_pool_create(allocator, &nv12, 4, &a), 0);
	test_int(kernel.n_buffers, 4);
	test_int(pc_frame_pool_create(allocator, &i420, 1, &b), -EBUSY);
	test_int(pc_frame_pool_create(allocator, &nv12, 28, &b), 0);
	test_int(kernel.n_buffers, 32);
	struct pc_frame_pool *c = NULL;
	test_int(pc_frame_pool_create(allocator, &nv12, 1, &c), -ENOMEM);
	pc_frame_pool_destroy(b);
	test_int(pc_frame_pool_create(allocator, &nv12, 5, &b), 0); /* places used again */
	test_int(kernel.n_buffers, 32);
	pc_frame_pool_destroy(a);
	pc_frame_pool_destroy(b);
	/* The encoder answers NV12 whatever it is asked for. */
	test_int(pc_frame_pool_create(allocator, &i420, 1, &b), -EINVAL);
	kernel.small = true;
	test_int(pc_frame_pool_create(allocator, &nv12, 1, &b), -EINVAL);
	kernel.small = false;
	kernel.no_expbuf = true;
	test_int(pc_frame_pool_create(allocator, &nv12, 1, &b), -ENOTTY);
	kernel.no_expbuf = false;
	test_int(pc_frame_pool_create(allocator, &nv12, 2, &b), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(b);
	pc_frame_pool_destroy(b);
	pc_allocator_destroy(allocator); /* the frame holds both */
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	data[1][0] = 1;
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	pc_frame_unref(frame);
	test_int(open_fds(), before);
}

static void test_reasons(void)
{
	struct pc_allocator *allocator = NULL;
	const unsigned before = open_fds();
	fault_arm(FAULT_OPEN, 1, EACCES);
	test_int(pc_allocator_create_heap(ENCODER, why, sizeof(why), &allocator), -EACCES);
	fault_disarm();
	test_str(why, "no contiguous dma-heap: /dev/null: Permission denied "
		      "(add the user to group video)");
	kernel.fail_at = kernel.ioctls + 1;
	test_int(pc_allocator_create_heap(ENCODER, why, sizeof(why), &allocator), -ENOMEM);
	test_assert(strstr(why, "Cannot allocate memory") != NULL);
	test_int(pc_allocator_create_heap("/nowhere", why, sizeof(why), &allocator), -ENODEV);
	test_assert(strstr(why, "/nowhere: No such file") != NULL);
	test_int(pc_allocator_create_drm("/nowhere", why, sizeof(why), &allocator), -ENODEV);
	test_assert(strstr(why, "/nowhere: No such file") != NULL);
	test_int(pc_allocator_create_expbuf("/nowhere", why, sizeof(why), &allocator), -ENOENT);
	test_assert(strstr(why, "/nowhere: No such file") != NULL);
	fault_arm(FAULT_OPEN, 1, EACCES);
	const int r = pc_allocator_create_heap(NULL, why, sizeof(why), &allocator);
	if (fault_disarm() && r < 0) { /* a machine without heaps: the first is what is told */
		test_int(r, -EACCES);
		test_assert(strstr(why, "/dev/dma_heap/linux,cma: Permission denied") != NULL);
	}
	pc_allocator_destroy(allocator);
	test_int(open_fds(), before);
}

static void test_for_an_encoder(void)
{
	/* There is none, or it is not wanted: plain memory. */
	struct pc_allocator *allocator = NULL;
	test_int(pc_allocator_create_for("libavcodec", &allocator), 0);
	test_str(pc_allocator_name(allocator), "memfd");
	pc_allocator_destroy(allocator);
}

static void test_layouts_that_do_not_fit(void)
{
	struct pc_dmabuf_layout layout;
	struct pc_frame *frame = NULL;
	test_int(pc_dmabuf_layout(&i420, &layout), 0);
	const int fd = memory(layout.size);
	layout.size = 640 * 507 - 1;
	test_int(pc_dmabuf_frame_create(fd, &layout, &frame), -EINVAL);
	layout.size++;
	test_int(pc_dmabuf_frame_create(fd, &layout, &frame), 0);
	pc_dmabuf_frame_destroy(frame);
	test_int(fcntl(fd, F_GETFD), -1);
	pc_dmabuf_frame_destroy(NULL);
	const struct pc_frame_format unknown = { DRM_FORMAT_P010, 640, 480, 0 };
	test_int(pc_dmabuf_layout(&unknown, &layout), -EINVAL);
}

/* The n-th allocation, and the n-th ioctl, of each in turn. */
static void test_every_failure(void)
{
	static int (*const creators[])(const char *, char *, size_t, struct pc_allocator **) = {
		pc_allocator_create_heap,
		pc_allocator_create_drm,
		pc_allocator_create_expbuf,
	};
	const unsigned before = open_fds();
	for (unsigned i = 0; i < 2 * 3; i++) {
		for (unsigned n = 1;; n++) {
			struct pc_allocator *allocator = NULL;
			struct pc_frame_pool *pool = NULL;
			if (i % 2 == 0) {
				fault_arm(FAULT_ALLOC, n, ENOMEM);
			} else {
				kernel.fail_at = kernel.ioctls + n;
			}
			int r = creators[i / 2](ENCODER, why, sizeof(why), &allocator);
			if (r == 0) {
				r = pc_frame_pool_create(allocator, &nv12, 3, &pool);
			}
			const bool hit =
				i % 2 == 0 ? fault_disarm() : kernel.ioctls >= kernel.fail_at;
			kernel.fail_at = 0;
			test_assert(hit ? r < 0 || i / 2 == 2 : r == 0);
			pc_frame_pool_destroy(pool);
			pc_allocator_destroy(allocator);
			test_int(open_fds(), before);
			test_int(mappings(), 0);
			if (!hit) {
				test_assert(n > 3);
				break;
			}
		}
	}
}

int main(void)
{
	kernel.pitch_align = 1;
	TEST_RUN(test_mapped_when_looked_at);
	TEST_RUN(test_mapped_once_by_many);
	TEST_RUN(test_bare_buffers);
	TEST_RUN(test_drm_strides);
	TEST_RUN(test_expbuf_formats);
	TEST_RUN(test_reasons);
	TEST_RUN(test_for_an_encoder);
	TEST_RUN(test_layouts_that_do_not_fit);
	TEST_RUN(test_every_failure);
	return test_end();
}
