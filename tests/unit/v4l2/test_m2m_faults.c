/* tests/unit/v4l2/test_m2m_faults.c - the client of memory-to-memory devices, against what refuses,
 * fails, lies and goes away. */
#include <drm_fourcc.h>
#include <errno.h>
#include <pthread.h>

#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/v4l2/m2m_rig.h"

/* --- refusals --- */

static void expect_refusal(struct m2m_rig *f, int err, const char *text)
{
	char why[256];
	test_int(m2m_try_open(f, why), err);
	f->m2m = NULL;
	if (strstr(why, text) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", why, text);
	}
	m2m_finish(f);
}

static void test_refusals(void)
{
	struct m2m_rig f;
	fake_m2m_reset(false);
	fake_m2m.stride_align = 256;
	m2m_prepare(&f);
	expect_refusal(&f, -EINVAL, "wants lines of 512 bytes, the frames have 320");
	fake_m2m_reset(false);
	fake_m2m.extra_size = 4096;
	m2m_prepare(&f);
	expect_refusal(&f, -EMSGSIZE, "wants buffers of 119296 bytes, the frames' have 115200");
	fake_m2m_reset(false);
	fake_m2m.width_max = 256;
	m2m_prepare(&f);
	expect_refusal(&f, -EINVAL, "no 320x240 (it offers 256x240)");
	fake_m2m_reset(false);
	fake_m2m.formats[0] = V4L2_PIX_FMT_NV12;
	m2m_prepare(&f);
	expect_refusal(&f, -EINVAL, "takes no YU12 (it offers NV12)");
	fake_m2m_reset(false);
	fake_m2m.no_dmabuf = true;
	m2m_prepare(&f);
	expect_refusal(&f, -ENOTSUP, "takes no dma-bufs");
	fake_m2m_reset(false);
	fake_m2m.buffers_max = 0;
	m2m_prepare(&f);
	expect_refusal(&f, -ENOMEM, "no memory for 4 buffers");
	fake_m2m_reset(false);
	m2m_prepare(&f);
	f.config.in_planes[1].offset += 64;
	expect_refusal(&f, -EINVAL, "wants plane 1 at byte 76800");
	fake_m2m_reset(false);
	m2m_prepare(&f);
	f.config.controls[f.config.n_controls++] = (struct pc_m2m_control){
		.id = V4L2_CID_MPEG_VIDEO_BITRATE,
		.value = 1,
	};
	fake_m2m.lacks[0] = V4L2_CID_MPEG_VIDEO_BITRATE;
	f.config.controls[0].required = true;
	expect_refusal(&f, -EINVAL, "control 0x9909cf does not take 1");
	fake_m2m_reset(true);
	m2m_prepare(&f);
	f.config.out_pixelformat = V4L2_PIX_FMT_H264;
	expect_refusal(&f, -EINVAL, "gives no H264 (it offers RGB3)");
	fake_m2m_reset(false);
	m2m_prepare(&f);
	f.config.path = "/dev/video77";
	expect_refusal(&f, -ENOENT, "/dev/video77: ");
}

static void test_submit_refusals(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	fake_m2m.refuse = -EFAULT;
	test_int(m2m_submit(&f), -EFAULT); /* memory that is not contiguous */
	test_int(f.frames[0]->returns, 1);
	fake_m2m.refuse = 0;
	struct pc_frame_plane *plane = &f.frames[0]->base.planes[2];
	plane->offset += 4;
	test_int(m2m_submit(&f), -EINVAL);
	plane->offset -= 4;
	f.frames[0]->base.caps = PC_FRAME_CPU;
	test_int(m2m_submit(&f), -EINVAL);
	f.frames[0]->base.caps = PC_FRAME_DMABUF;
	m2m_submit_some(&f, 4);
	m2m_expect_outputs(&f, 4);
	m2m_finish(&f);
}

static void test_fewer_buffers(void)
{
	fake_m2m_reset(false);
	fake_m2m.buffers_max = 3;
	struct m2m_rig f;
	m2m_begin(&f);
	m2m_submit_some(&f, 12);
	m2m_expect_outputs(&f, 12);
	m2m_finish(&f);
}

/* --- the end of it --- */

static void test_unplugged(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	fake_m2m.stalled = true;
	m2m_submit_some(&f, 2);
	fake_m2m.gone = true;
	fake_m2m_poke();
	m2m_turn(&f);
	test_int(f.n_log, 1);
	test_int(f.log[0].what, FAILED);
	test_int(f.log[0].err, -ENODEV);
	test_int(m2m_submit(&f), -EPIPE);
	const unsigned dispatches = fake_m2m.dispatches;
	m2m_turn(&f);
	test_int(fake_m2m.dispatches, dispatches);
	m2m_finish(&f);
}

static void test_close_inside(void)
{
	for (unsigned kind = 0; kind < 3; kind++) {
		fake_m2m_reset(kind == 1);
		struct m2m_rig f;
		m2m_begin(&f);
		f.close_inside = true;
		fake_m2m.abort_every = kind == 2 ? 2 : 0;
		test_int(m2m_submit(&f), 0);
		if (kind == 2) { /* closed by the first's output */
			f.close_inside = false;
			m2m_turn(&f);
			test_int(m2m_submit(&f), 0);
			m2m_turn(&f);
			f.close_inside = true;
			test_int(m2m_submit(&f), 0);
		}
		m2m_turn(&f);
		test_assert(f.m2m == NULL);
		test_int(f.n_log, kind == 2 ? 2 : 1);
		m2m_finish(&f);
	}
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	f.close_inside = true;
	fake_m2m.gone = true;
	fake_m2m_poke();
	m2m_turn(&f);
	test_int(f.n_log, 1);
	test_assert(f.m2m == NULL);
	m2m_finish(&f);
}

/* Any call of the device's may fail, at any time: it is told once, and nothing is left. */
static void test_every_call(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(n % 2 == 0);
		/* Both kinds to the end of the longer one. */
		static bool done[2];
		struct m2m_rig f;
		m2m_prepare(&f);
		fake_m2m.fail_at = n / 2 + 1;
		fake_m2m.fail_errno = EIO;
		char why[256];
		if (m2m_try_open(&f, why) == 0) {
			for (unsigned i = 0; i < 6; i++) {
				(void)m2m_submit(&f);
				m2m_turn(&f);
			}
			(void)pc_m2m_drain(f.m2m);
			m2m_turn(&f);
		} else {
			test_assert(why[0] != '\0');
			f.m2m = NULL;
		}
		unsigned failures = 0;
		for (unsigned i = 0; i < f.n_log; i++) {
			failures += f.log[i].what == FAILED ? 1 : 0;
		}
		test_assert(failures <= 1);
		m2m_finish(&f);
		done[n % 2] |= !fake_m2m.failed;
		if (done[0] && done[1]) {
			test_assert(n > 60);
			break;
		}
	}
}

static void test_every_allocation(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(true);
		struct m2m_rig f;
		m2m_prepare(&f);
		char why[256];
		fake_m2m.manual = true; /* the fake's own allocations are not meant */
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = m2m_try_open(&f, why);
		const bool hit = fault_disarm();
		f.m2m = r == 0 ? f.m2m : NULL;
		test_assert(r == 0 || r == -ENOMEM);
		m2m_finish(&f);
		if (!hit) {
			test_assert(n > 4);
			break;
		}
	}
}

static void test_rounds(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_prepare(&f);
	for (unsigned i = 0; i < 200; i++) {
		char why[256];
		test_int(m2m_try_open(&f, why), 0);
		fake_m2m.stalled = i % 3 == 1;
		m2m_submit_some(&f, i % 4);
		pc_m2m_close(f.m2m);
		f.m2m = NULL;
		f.n_log = 0;
		for (unsigned j = 0; j < 4; j++) {
			test_assert(f.frames[j]->base.imports == NULL);
		}
	}
	m2m_finish(&f);
}

/* --- buffers that die --- */

/* More buffers than indices, some of which are freed meanwhile. */
static void test_buffers_come_and_go(void)
{
	fake_m2m_reset(false);
	struct m2m_rig f;
	m2m_begin(&f);
	for (unsigned i = 0; i < 40; i++) {
		const unsigned at = (i * 5) % N_FRAMES;
		test_int(m2m_submit_frame(&f, f.frames[at], -1), 0);
		m2m_turn(&f);
		if (i % 3 == 0) {
			fake_frame_free(f.frames[at]);
			f.frames[at] = fake_frame_create(&m2m_rig_format, W);
		}
	}
	m2m_expect_outputs(&f, 40);
	m2m_finish(&f);
}

static void *free_frames(void *data)
{
	struct fake_frame **frames = data;
	for (unsigned i = 0; i < 4; i++) {
		fake_frame_free(frames[i]);
	}
	return NULL;
}

/* Buffers that another thread frees while the device closes, or takes others in their place. */
static void test_freed_by_another_thread(void)
{
	for (unsigned round = 0; round < 60; round++) {
		fake_m2m_reset(false);
		struct m2m_rig f;
		m2m_begin(&f);
		m2m_submit_some(&f, 4);
		pthread_t thread;
		test_int(pthread_create(&thread, NULL, free_frames, f.frames), 0);
		if (round % 2 == 0) {
			pc_m2m_close(f.m2m);
			f.m2m = NULL;
		} else {
			for (unsigned i = 4; i < N_FRAMES; i++) {
				(void)m2m_submit_frame(&f, f.frames[i], -1);
				m2m_turn(&f);
			}
		}
		test_int(pthread_join(thread, NULL), 0);
		for (unsigned i = 0; i < 4; i++) {
			f.frames[i] = fake_frame_create(&m2m_rig_format, W);
		}
		m2m_finish(&f);
	}
}

/* --- controls and formats --- */

static void test_controls(void)
{
	fake_m2m_reset(false);
	fake_m2m.lacks[0] = V4L2_CID_MPEG_VIDEO_B_FRAMES;
	struct m2m_rig f;
	m2m_prepare(&f);
	f.config.controls[f.config.n_controls++] = (struct pc_m2m_control){
		.id = V4L2_CID_MPEG_VIDEO_B_FRAMES,
	};
	f.config.controls[f.config.n_controls++] = (struct pc_m2m_control){
		.id = V4L2_CID_MPEG_VIDEO_BITRATE,
		.value = 4000000,
		.required = true,
	};
	char why[256];
	test_int(m2m_try_open(&f, why), 0); /* what it lacks and need not have is passed over */
	test_int(fake_m2m.bitrate, 4000000);
	test_int(pc_m2m_set_control(f.m2m, V4L2_CID_MPEG_VIDEO_BITRATE, 500000), 0);
	test_int(fake_m2m.bitrate, 500000);
	test_int(pc_m2m_set_control(f.m2m, V4L2_CID_MPEG_VIDEO_B_FRAMES, 1), -EINVAL);
	m2m_submit_some(&f, 2);
	test_int(pc_m2m_set_control(f.m2m, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1), 0);
	m2m_submit_some(&f, 2);
	test_assert(f.log[0].key && !f.log[1].key && f.log[2].key && !f.log[3].key);
	m2m_finish(&f);
}

static int tamper_one_stride(unsigned long request, void *arg, int r)
{
	struct v4l2_format *got = arg;
	if (request == VIDIOC_TRY_FMT && r == 0) { /* a driver that knows one stride only */
		got->fmt.pix_mp.plane_fmt[0].bytesperline =
			got->fmt.pix_mp.pixelformat == V4L2_PIX_FMT_YUYV ? 768 : 384;
	}
	return r;
}

static void test_input_formats(void)
{
	fake_m2m_reset(false);
	fake_m2m.stride_align = 32;
	struct pc_v4l2_node node;
	test_int(pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &node), 0);
	struct pc_m2m_input_format formats[8];
	test_int(pc_m2m_input_formats(&node, W, H, formats, 8), 3);
	test_int(formats[0].fourcc, DRM_FORMAT_YUV420);
	test_int(formats[0].stride_align, 32);
	test_int(formats[1].fourcc, DRM_FORMAT_NV12);
	test_int(formats[2].fourcc, DRM_FORMAT_YUYV);
	test_int(pc_m2m_input_formats(&node, W, H, formats, 2), 2);
	test_int(pc_m2m_input_formats(&node, 2048, H, formats, 8), 0); /* wider than it can */
	fake_m2m.tamper = tamper_one_stride;
	test_int(pc_m2m_input_formats(&node, W, H, formats, 8), 3);
	test_int(formats[0].stride_align, 128); /* 320 to 384, and no other */
	fake_m2m.tamper = NULL;
	fake_m2m.gone = true;
	test_int(pc_m2m_input_formats(&node, W, H, formats, 8), -ENODEV);
	test_int(fake_m2m.opens, fake_m2m.closes);
}

/* --- what no driver should say --- */

static struct {
	unsigned at; /* this DQBUF */
	unsigned n;
	unsigned how;
} lie;

static int tamper_lie(unsigned long request, void *arg, int r)
{
	struct v4l2_buffer *buffer = arg;
	if (request != VIDIOC_DQBUF || r < 0 || lie.n++ != lie.at) {
		return r;
	}
	switch (lie.how) {
	case 0:
		buffer->index = 1000;
		break;
	case 1:
		buffer->index ^= 1; /* another's, or one that it does not have */
		break;
	case 2:
		buffer->m.planes[0].bytesused = UINT32_MAX;
		break;
	case 3:
		buffer->m.planes[0].data_offset = 2 << 20;
		break;
	case 4:
		buffer->timestamp = (struct timeval){ -1, -1 };
		break;
	default:
		buffer->timestamp = (struct timeval){ INT64_MAX, INT64_MAX };
		break;
	}
	return r;
}

static void test_lies(void)
{
	for (lie.how = 0; lie.how < 6; lie.how++) {
		for (lie.at = 0; lie.at < 6; lie.at++) {
			lie.n = 0;
			fake_m2m_reset(false);
			fake_m2m.tamper = tamper_lie;
			struct m2m_rig f;
			m2m_begin(&f);
			for (unsigned i = 0; i < 5; i++) {
				(void)m2m_submit(&f);
				m2m_turn(&f);
			}
			const struct m2m_entry *end = &f.log[f.n_log - 1];
			if (lie.how == 0) {
				test_int(end->what, FAILED);
				test_int(end->err, -EIO);
			}
			for (unsigned i = 0; i < f.n_log; i++) {
				test_assert(f.log[i].size == 0 || f.log[i].size > 1000);
			}
			m2m_finish(&f);
		}
	}
}

int main(void)
{
	TEST_RUN(test_refusals);
	TEST_RUN(test_submit_refusals);
	TEST_RUN(test_fewer_buffers);
	TEST_RUN(test_unplugged);
	TEST_RUN(test_close_inside);
	TEST_RUN(test_every_call);
	TEST_RUN(test_every_allocation);
	TEST_RUN(test_rounds);
	TEST_RUN(test_buffers_come_and_go);
	TEST_RUN(test_freed_by_another_thread);
	TEST_RUN(test_controls);
	TEST_RUN(test_input_formats);
	TEST_RUN(test_lies);
	return test_end();
}
