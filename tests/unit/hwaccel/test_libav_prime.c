/* tests/unit/hwaccel/test_libav_prime.c - a frame's dma-buf as AV_PIX_FMT_DRM_PRIME. */
#include <drm_fourcc.h>
#include <errno.h>
#include <libavutil/hwcontext_drm.h>

#include "hwaccel/libav_prime_internal.h"
#include "tests/support/fake_m2m.h"
#include "tests/support/test.h"

static const struct pc_frame_format format = { DRM_FORMAT_NV12, 320, 192, 0 };

static void test_one_object_one_layer(void)
{
	struct fake_frame *frame = fake_frame_create(&format, 384);
	pc_frame_publish(&frame->base);
	AVFrame *picture = av_frame_alloc();
	test_int(pc_libav_wrap_prime(picture, &frame->base), 0);
	const AVDRMFrameDescriptor *got = (const void *)picture->data[0];
	test_int(got->nb_objects, 1);
	test_int(got->objects[0].fd, frame->base.planes[0].fd);
	test_int(got->objects[0].size, frame->size);
	test_int(got->objects[0].format_modifier, DRM_FORMAT_MOD_LINEAR);
	test_int(got->nb_layers, 1);
	test_int(got->layers[0].format, DRM_FORMAT_NV12);
	test_int(got->layers[0].nb_planes, 2);
	test_int(got->layers[0].planes[1].object_index, 0);
	test_int(got->layers[0].planes[0].pitch, 384);
	test_int(got->layers[0].planes[1].offset, 384 * 192);
	test_int(got->layers[0].planes[1].pitch, 384);
	/* The codec may keep it longer than we do. */
	AVFrame *kept = av_frame_clone(picture);
	av_frame_free(&picture);
	test_int(frame->returns, 0);
	av_frame_free(&kept);
	test_int(frame->returns, 1);
	fake_frame_free(frame);
}

static void test_several_dmabufs(void)
{
	struct fake_frame *frame = fake_frame_create(&format, 320);
	pc_frame_publish(&frame->base);
	frame->base.planes[1].fd++;
	AVFrame *picture = av_frame_alloc();
	test_int(pc_libav_wrap_prime(picture, &frame->base), -EINVAL);
	test_int(frame->returns, 1); /* taken in any case */
	av_frame_free(&picture);
	fake_frame_free(frame);
}

int main(void)
{
	TEST_RUN(test_one_object_one_layer);
	TEST_RUN(test_several_dmabufs);
	return test_end();
}
