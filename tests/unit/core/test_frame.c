/* tests/unit/core/test_frame.c - references, CPU access, imports, layouts. */
#include "core/frame.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <pthread.h>

#include "core/thread.h"
#include "tests/support/test.h"

static atomic_uint n_released;
static unsigned n_begun, n_ended;
static uint8_t pixels[16];

static void release(struct pc_frame *frame)
{
	test_int(atomic_load(&frame->refs), 0);
	atomic_fetch_add(&n_released, 1);
}

static int begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	if (access == PC_FRAME_WRITE) {
		return -EIO;
	}
	data[0] = pixels;
	n_begun++;
	return 0;
}

static void end_cpu(struct pc_frame *frame, unsigned access)
{
	n_ended++;
}

static const struct pc_frame_impl impl = {
	.release = release,
	.begin_cpu = begin_cpu,
	.end_cpu = end_cpu,
};

static void test_references(void)
{
	struct pc_frame frame = { 0 };
	pc_frame_init(&frame, &impl);
	atomic_store(&n_released, 0);
	for (unsigned round = 1; round <= 3; round++) {
		pc_frame_publish(&frame);
		test_assert(pc_frame_ref(&frame) == &frame);
		pc_frame_unref(&frame);
		test_int(atomic_load(&n_released), round - 1);
		pc_frame_unref(&frame);
		test_int(atomic_load(&n_released), round);
	}
	pc_frame_unref(NULL);
	pc_frame_finish(&frame);
}

static void *ref_and_unref(void *data)
{
	struct pc_frame *frame = data;
	for (unsigned i = 0; i < 2000; i++) {
		pc_frame_ref(frame);
		pc_frame_unref(frame);
	}
	pc_frame_unref(frame);
	return NULL;
}

static void test_references_of_threads(void)
{
	struct pc_frame frame = { 0 };
	pc_frame_init(&frame, &impl);
	atomic_store(&n_released, 0);
	pc_frame_publish(&frame);
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++) {
		pc_frame_ref(&frame);
		test_int(pc_thread_create(&threads[i], "ref", ref_and_unref, &frame), 0);
	}
	pc_frame_unref(&frame);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	test_int(atomic_load(&n_released), 1);
	pc_frame_finish(&frame);
}

static void test_cpu_access(void)
{
	struct pc_frame frame = { .caps = PC_FRAME_DMABUF };
	pc_frame_init(&frame, &impl);
	uint8_t *data[4] = { 0 };
	test_int(pc_frame_begin_cpu(&frame, PC_FRAME_READ, data), -ENOTSUP);
	test_assert(data[0] == NULL);
	test_int(n_begun, 0);
	frame.caps |= PC_FRAME_CPU;
	test_int(pc_frame_begin_cpu(&frame, PC_FRAME_READ, data), 0);
	test_assert(data[0] == pixels);
	pc_frame_end_cpu(&frame, PC_FRAME_READ);
	test_int(n_begun, 1);
	test_int(n_ended, 1);
	test_int(pc_frame_begin_cpu(&frame, PC_FRAME_WRITE, data), -EIO);
	pc_frame_finish(&frame);
}

struct import {
	struct pc_frame_import base;
	unsigned *destroyed;
};

static void destroy_import(struct pc_frame_import *base)
{
	struct import *import = (struct import *)base;
	(*import->destroyed)++;
	free(import);
}

static struct pc_frame_import *make_import(const void *owner, unsigned *destroyed)
{
	struct import *import = calloc(1, sizeof(*import));
	*import = (struct import){
		.base = { .owner = owner, .destroy = destroy_import },
		.destroyed = destroyed,
	};
	return &import->base;
}

static void test_imports(void)
{
	struct pc_frame frame = { 0 };
	int encoder, scaler, display;
	unsigned destroyed = 0;
	pc_frame_init(&frame, &impl);
	test_assert(pc_frame_import_find(&frame, &encoder) == NULL);
	struct pc_frame_import *a = make_import(&encoder, &destroyed);
	struct pc_frame_import *b = make_import(&scaler, &destroyed);
	struct pc_frame_import *c = make_import(&display, &destroyed);
	pc_frame_import_add(&frame, a);
	pc_frame_import_add(&frame, b);
	pc_frame_import_add(&frame, c);
	test_assert(pc_frame_import_find(&frame, &encoder) == a);
	test_assert(pc_frame_import_find(&frame, &scaler) == b);
	test_assert(pc_frame_import_find(&frame, &display) == c);
	pc_frame_import_remove(&frame, &scaler);
	pc_frame_import_remove(&frame, &scaler); /* nothing there */
	test_int(destroyed, 1);
	test_assert(pc_frame_import_find(&frame, &scaler) == NULL);
	struct pc_frame_import *d = make_import(&scaler, &destroyed);
	pc_frame_import_add(&frame, d);
	const unsigned before = destroyed;
	test_assert(pc_frame_import_take(&frame, &scaler) == d);
	test_assert(pc_frame_import_take(&frame, &scaler) == NULL);
	test_int(destroyed, before); /* it is ours now */
	free(d);
	test_assert(pc_frame_import_find(&frame, &display) == c);
	/* They live as long as the buffer, not as one frame in it. */
	pc_frame_publish(&frame);
	pc_frame_unref(&frame);
	test_int(destroyed, 1);
	pc_frame_finish(&frame);
	test_int(destroyed, 3);
}

static void test_layouts(void)
{
	static const struct {
		uint32_t fourcc, width, height, align;
		int64_t bytes;
		unsigned n_planes;
		uint32_t strides[3], offsets[3];
	} cases[] = {
		{ DRM_FORMAT_YUV420, 1280, 720, 64, 1382400, 3, { 1280, 640, 640 },
			{ 0, 921600, 1152000 } },
		{ DRM_FORMAT_YUV420, 1000, 10, 64, 15360, 3, { 1024, 512, 512 },
			{ 0, 10240, 12800 } },
		{ DRM_FORMAT_NV12, 1000, 10, 32, 15360, 2, { 1024, 1024 }, { 0, 10240 } },
		{ DRM_FORMAT_NV12, 6, 4, 1, 36, 2, { 6, 6 }, { 0, 24 } },
		{ DRM_FORMAT_BGR888, 321, 3, 1, 2889, 1, { 963 }, { 0 } },
		{ DRM_FORMAT_BGR888, 321, 3, 64, 3072, 1, { 1024 }, { 0 } },
		{ DRM_FORMAT_YUYV, 640, 480, 64, 614400, 1, { 1280 }, { 0 } },
		{ DRM_FORMAT_XRGB8888, 8192, 8192, 1, 268435456, 1, { 32768 }, { 0 } },
		{ DRM_FORMAT_R8, 1, 1, 1, 1, 1, { 1 }, { 0 } },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pc_frame_format format = { .fourcc = cases[i].fourcc,
			.width = cases[i].width,
			.height = cases[i].height };
		struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
		unsigned n_planes;
		test_int(pc_frame_layout(&format, cases[i].align, planes, &n_planes),
			cases[i].bytes);
		test_int(n_planes, cases[i].n_planes);
		for (unsigned plane = 0; plane < PC_FRAME_MAX_PLANES; plane++) {
			test_int(planes[plane].fd, -1);
			bool there = plane < n_planes;
			test_int(planes[plane].stride, there ? cases[i].strides[plane] : 0);
			test_int(planes[plane].offset, there ? cases[i].offsets[plane] : 0);
		}
	}
}

static void test_layouts_of_a_stride(void)
{
	struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
	unsigned n_planes = 0;
	const struct pc_frame_format i420 = { DRM_FORMAT_YUV420, 1000, 10, 0 };
	test_int(pc_frame_layout_stride(&i420, 1344, planes, &n_planes), 1344 * 15);
	test_int(n_planes, 3);
	test_int(planes[1].stride, 672);
	test_int(planes[1].offset, 13440);
	test_int(planes[2].offset, 13440 + 672 * 5);
	const struct pc_frame_format uyvy = { DRM_FORMAT_UYVY, 640, 480, 0 };
	test_int(pc_frame_layout_stride(&uyvy, 1281, planes, &n_planes), 1281 * 480);
	test_int(n_planes, 1);
	n_planes = 77;
	test_int(pc_frame_layout_stride(&i420, 999, planes, &n_planes), -EINVAL);
	test_int(pc_frame_layout_stride(&i420, 1001, planes, &n_planes), -EINVAL);
	test_int(pc_frame_layout_stride(&i420, 131074, planes, &n_planes), -EINVAL);
	test_int(pc_frame_layout_stride(&uyvy, 1278, planes, &n_planes), -EINVAL);
	test_int(n_planes, 77);
}

static void test_layouts_refused(void)
{
	static const struct pc_frame_format cases[] = {
		{ .fourcc = DRM_FORMAT_YUV420, .width = 0, .height = 720 },
		{ .fourcc = DRM_FORMAT_YUV420, .width = 1280, .height = 0 },
		{ .fourcc = DRM_FORMAT_YUV420, .width = 8194, .height = 720 },
		{ .fourcc = DRM_FORMAT_YUV420, .width = 1280, .height = UINT32_MAX - 1 },
		{ .fourcc = DRM_FORMAT_YUV420, .width = 1279, .height = 720 },
		{ .fourcc = DRM_FORMAT_NV12, .width = 1280, .height = 719 },
		{ .fourcc = DRM_FORMAT_YUYV, .width = 639, .height = 480 },
		{ .fourcc = DRM_FORMAT_YUV420, .width = 1280, .height = 720, .modifier = 1 },
		{ .fourcc = 0, .width = 1280, .height = 720 },
		{ .fourcc = DRM_FORMAT_P010, .width = 1280, .height = 720 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pc_frame_plane planes[PC_FRAME_MAX_PLANES];
		unsigned n_planes = 77;
		test_int(pc_frame_layout(&cases[i], 64, planes, &n_planes), -EINVAL);
		test_int(n_planes, 77);
	}
}

static void test_formats(void)
{
	const struct pc_frame_format a = { DRM_FORMAT_YUV420, 1280, 720, 0 };
	struct pc_frame_format b = a;
	test_assert(pc_frame_format_equal(&a, &b));
	b.modifier = 1;
	test_assert(!pc_frame_format_equal(&a, &b));
	b = a;
	b.height++;
	test_assert(!pc_frame_format_equal(&a, &b));
	char text[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&a, text);
	test_str(text, "YU12 1280x720");
	const struct pc_frame_format odd = { 0xff200a41, UINT32_MAX, UINT32_MAX, 0 };
	pc_frame_format_text(&odd, text);
	test_str(text, "A??? 4294967295x4294967295");
}

int main(void)
{
	TEST_RUN(test_references);
	TEST_RUN(test_references_of_threads);
	TEST_RUN(test_cpu_access);
	TEST_RUN(test_imports);
	TEST_RUN(test_layouts);
	TEST_RUN(test_layouts_of_a_stride);
	TEST_RUN(test_layouts_refused);
	TEST_RUN(test_formats);
	return test_end();
}
