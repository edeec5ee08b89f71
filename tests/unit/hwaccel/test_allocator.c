/* tests/unit/hwaccel/test_allocator.c - memfd buffers and their pool. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "core/thread.h"
#include "hwaccel/allocator.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static const struct pc_frame_format i420 = { DRM_FORMAT_YUV420, 640, 338, 0 };

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++) {
		n += fcntl(fd, F_GETFD) >= 0;
	}
	return n;
}

static void test_planes(void)
{
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_str(pc_allocator_name(allocator), "memfd");
	test_int(pc_frame_pool_create(allocator, &i420, 2, &pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(pool);
	test_assert(frame != NULL && pc_frame_format_equal(&frame->format, &i420));
	test_int(frame->caps, PC_FRAME_CPU);
	test_int(frame->n_planes, 3);
	for (unsigned i = 0; i < 3; i++) {
		test_int(frame->planes[i].fd, frame->planes[0].fd);
		test_int(frame->planes[i].stride % 64, 0);
	}
	test_int(frame->planes[3].fd, -1);

	/* What is written through the mapping is what the fd holds. */
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	for (unsigned i = 0; i < 3; i++) {
		const unsigned lines = i == 0 ? 338 : 169;
		memset(data[i], (int)(i + 1), frame->planes[i].stride * lines);
	}
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t byte = 0;
		test_int(pread(frame->planes[i].fd, &byte, 1, frame->planes[i].offset), 1);
		test_int(byte, i + 1);
	}

	struct stat st;
	const int fd = frame->planes[0].fd;
	test_int(fstat(fd, &st), 0);
	const int64_t end = frame->planes[2].offset + (int64_t)frame->planes[2].stride * 169;
	test_assert(st.st_size >= end + 64);
	test_int(ftruncate(fd, 4096), -1);
	test_int(errno, EPERM);
	test_assert((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);

	pc_frame_unref(frame);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
	test_int(fcntl(fd, F_GETFD), -1);
}

static void test_packed_rgb_has_no_padding(void)
{
	struct pc_allocator *allocator;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	for (unsigned width = 32; width <= 640; width += 32) {
		const struct pc_frame_format rgb = { DRM_FORMAT_BGR888, width, 50, 0 };
		struct pc_frame_pool *pool;
		test_int(pc_frame_pool_create(allocator, &rgb, 1, &pool), 0);
		struct pc_frame *frame = pc_frame_pool_acquire(pool);
		test_int(frame->planes[0].stride, 3 * width);
		pc_frame_unref(frame);
		pc_frame_pool_destroy(pool);
	}
	pc_allocator_destroy(allocator);
}

static void test_pool_runs_empty_and_fills(void)
{
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_int(pc_frame_pool_create(allocator, &i420, 3, &pool), 0);
	const uint64_t calls = fault_calls(FAULT_ALLOC) + fault_calls(FAULT_OPEN);
	for (int round = 0; round < 100; round++) {
		struct pc_frame *frames[3];
		for (int i = 0; i < 3; i++) {
			frames[i] = pc_frame_pool_acquire(pool);
			test_assert(frames[i] != NULL);
			test_assert(i == 0 || frames[i] != frames[i - 1]);
		}
		test_assert(pc_frame_pool_acquire(pool) == NULL);
		pc_frame_ref(frames[1]);
		for (int i = 0; i < 3; i++) {
			pc_frame_unref(frames[i]);
		}
		pc_frame_unref(frames[1]);
	}
	test_int(fault_calls(FAULT_ALLOC) + fault_calls(FAULT_OPEN), calls);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
}

static void test_frames_outlive_the_pool(void)
{
	const unsigned before = open_fds();
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_int(pc_frame_pool_create(allocator, &i420, 3, &pool), 0);
	struct pc_frame *a = pc_frame_pool_acquire(pool);
	struct pc_frame *b = pc_frame_pool_acquire(pool);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(a, PC_FRAME_WRITE, data), 0);
	data[0][0] = 1;
	pc_frame_end_cpu(a, PC_FRAME_WRITE);
	pc_frame_unref(a);
	test_int(pc_frame_begin_cpu(b, PC_FRAME_WRITE, data), 0);
	data[2][0] = 1;
	pc_frame_end_cpu(b, PC_FRAME_WRITE);
	pc_frame_unref(b);
	test_int(open_fds(), before);
	pc_frame_pool_destroy(NULL);
	pc_allocator_destroy(NULL);
}

static void test_refusals(void)
{
	struct pc_allocator *allocator;
	struct pc_frame_pool *pool = NULL;
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_int(pc_frame_pool_create(allocator, &i420, 0, &pool), -EINVAL);
	test_int(pc_frame_pool_create(allocator, &i420, 65, &pool), -EINVAL);
	const struct pc_frame_format bad[] = {
		{ DRM_FORMAT_YUV420, 641, 338, 0 },
		{ DRM_FORMAT_YUV420, 0, 338, 0 },
		{ DRM_FORMAT_YUV420, 640, 9000, 0 },
		{ 0x20202020, 640, 480, 0 },
		{ DRM_FORMAT_YUV420, 640, 480, 7 },
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_int(pc_frame_pool_create(allocator, &bad[i], 1, &pool), -EINVAL);
	}
	test_assert(pool == NULL);
	pc_allocator_destroy(allocator);
}

static void test_every_failure(void)
{
	const unsigned before = open_fds();
	const enum fault_kind kinds[] = { FAULT_ALLOC, FAULT_OPEN };
	const int errors[] = { ENOMEM, EMFILE };
	for (int k = 0; k < 2; k++) {
		for (unsigned n = 1;; n++) {
			struct pc_allocator *allocator = NULL;
			struct pc_frame_pool *pool = NULL;
			fault_arm(kinds[k], n, errors[k]);
			int r = pc_allocator_create_memfd(&allocator);
			if (r == 0) {
				r = pc_frame_pool_create(allocator, &i420, 3, &pool);
			}
			const bool hit = fault_disarm();
			test_int(r, hit ? -errors[k] : 0);
			pc_frame_pool_destroy(pool);
			pc_allocator_destroy(allocator);
			test_int(open_fds(), before);
			if (!hit) {
				test_assert(n > 3);
				break;
			}
		}
	}
}

/* Many threads take frames and let them go, while the pool is destroyed under them. */
struct shared {
	struct pc_frame_pool *pool;
	pthread_barrier_t before_destroy;
};

static void *take_and_drop(void *data)
{
	struct shared *shared = data;
	for (int i = 0; i < 2000; i++) {
		struct pc_frame *frame = pc_frame_pool_acquire(shared->pool);
		if (frame != NULL) {
			frame->sequence = (uint64_t)i;
			pc_frame_unref(frame);
		}
	}
	struct pc_frame *last = NULL;
	while (last == NULL) {
		last = pc_frame_pool_acquire(shared->pool);
	}
	pthread_barrier_wait(&shared->before_destroy);
	pc_frame_unref(last);
	return NULL;
}

static void test_threads(void)
{
	const unsigned before = open_fds();
	struct shared shared;
	struct pc_allocator *allocator;
	pthread_t threads[4];
	test_int(pc_allocator_create_memfd(&allocator), 0);
	test_int(pc_frame_pool_create(allocator, &i420, 4, &shared.pool), 0);
	pthread_barrier_init(&shared.before_destroy, NULL, 5);
	for (int i = 0; i < 4; i++) {
		test_int(pc_thread_create(&threads[i], "taker", take_and_drop, &shared), 0);
	}
	pthread_barrier_wait(&shared.before_destroy);
	pc_frame_pool_destroy(shared.pool);
	pc_allocator_destroy(allocator);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	pthread_barrier_destroy(&shared.before_destroy);
	test_int(open_fds(), before);
}

int main(void)
{
	TEST_RUN(test_planes);
	TEST_RUN(test_packed_rgb_has_no_padding);
	TEST_RUN(test_pool_runs_empty_and_fills);
	TEST_RUN(test_frames_outlive_the_pool);
	TEST_RUN(test_refusals);
	TEST_RUN(test_every_failure);
	TEST_RUN(test_threads);
	return test_end();
}
