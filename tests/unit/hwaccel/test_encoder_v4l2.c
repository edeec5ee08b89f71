/* tests/unit/hwaccel/test_encoder_v4l2.c - the encoder on a device that misbehaves. */
#include <drm_fourcc.h>
#include <errno.h>
#include <stdbool.h>

#include "core/clock.h"
#include "core/log.h"
#include "hwaccel/encoder.h"
#include "tests/support/fake_m2m.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define W 320u
#define H 192u
#define N_FRAMES 6
#define UNITS_MAX 512

struct unit {
	struct pc_packet meta;
	char types[8]; /* of its NAL units, as digits */
	uint8_t number; /* of the frame, as the device counts */
	bool whole; /* its slice is that number to the end */
};

struct fixture {
	struct pc_loop *loop;
	struct pc_encoder_config config;
	struct pc_camera_stats stats;
	struct pc_encoder *encoder;
	struct fake_frame *frames[N_FRAMES];
	unsigned n_submitted;
	unsigned n_units;
	struct unit units[UNITS_MAX];
	unsigned n_failed;
	int err;
	bool close_inside;
};

static void close_if_told(struct fixture *f)
{
	if (f->close_inside) {
		pc_encoder_close(f->encoder);
		f->encoder = NULL;
	}
}

static void look_at(struct unit *unit)
{
	const uint8_t *data = unit->meta.data;
	const size_t size = unit->meta.size;
	size_t n = 0, slice = 0;
	for (size_t i = 0; i + 4 < size; i++) {
		if (data[i] == 0 && data[i + 1] == 0 && data[i + 2] == 0 && data[i + 3] == 1) {
			test_assert(n + 1 < sizeof(unit->types));
			unit->types[n++] = (char)('0' + (data[i + 4] & 0x1f));
			slice = i + 5;
		}
	}
	unit->types[n] = '\0';
	unit->number = data[size - 1] & 0x7f;
	unit->whole = size - slice == fake_m2m.packet_size;
	for (size_t i = slice; i < size; i++) {
		unit->whole = unit->whole && data[i] == data[size - 1];
	}
}

static void on_packet(void *data, const struct pc_packet *packet)
{
	struct fixture *f = data;
	test_assert(f->n_units < UNITS_MAX);
	struct unit *unit = &f->units[f->n_units++];
	unit->meta = *packet;
	look_at(unit);
	test_assert(packet->encoded_ns >= packet->submit_ns);
	test_int(packet->capture_ns, 7000 + (int64_t)packet->sequence);
	close_if_told(f);
}

static void on_failed(void *data, int err)
{
	struct fixture *f = data;
	f->n_failed++;
	f->err = err;
	close_if_told(f);
}

static const struct pc_encoder_events events = { .packet = on_packet, .failed = on_failed };

static void prepare(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	f->config = (struct pc_encoder_config){
		.format = { DRM_FORMAT_NV12, W, H, 0 },
		.caps = PC_FRAME_DMABUF,
		.fps = 30,
		.bitrate_kbps = 2000,
		.key_interval = 1000,
		.choice = "v4l2m2m",
		.preset = "ultrafast",
		.stats = &f->stats,
	};
	for (unsigned i = 0; i < N_FRAMES; i++) {
		f->frames[i] = fake_frame_create(&f->config.format, W);
	}
	f->config.n_planes = f->frames[0]->base.n_planes;
	memcpy(f->config.planes, f->frames[0]->base.planes, sizeof(f->config.planes));
	f->config.size = f->frames[0]->size;
}

static void begin(struct fixture *f)
{
	prepare(f);
	test_int(pc_encoder_open(f->loop, &f->config, &events, f, &f->encoder), 0);
	test_str(pc_encoder_name(f->encoder), FAKE_M2M_PATH " (fake)");
}

static void end(struct fixture *f)
{
	pc_encoder_close(f->encoder);
	for (unsigned i = 0; i < N_FRAMES; i++) {
		fake_frame_free(f->frames[i]); /* asserts that nobody holds it */
	}
	pc_loop_destroy(f->loop);
	test_int(fake_m2m.closes, fake_m2m.opens);
	test_int(fake_m2m.unmaps, fake_m2m.maps);
}

static void turn(struct fixture *f)
{
	for (int i = 0; i < 30; i++) {
		test_int(pc_loop_turn(f->loop, 0), 0);
	}
}

static int submit(struct fixture *f, unsigned flags)
{
	struct fake_frame *frame = f->frames[f->n_submitted % N_FRAMES];
	pc_frame_publish(&frame->base);
	frame->base.sequence = f->n_submitted;
	frame->base.capture_ns = 7000 + (int64_t)f->n_submitted;
	const int r = pc_encoder_submit(f->encoder, &frame->base, flags);
	pc_frame_unref(&frame->base);
	f->n_submitted += r == 0 ? 1 : 0;
	return r;
}

static void encode(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_int(submit(f, 0), 0);
		turn(f);
		test_int(f->err, 0);
	}
}

#define COUNT(f, field) pc_counter_get(&(f)->stats.field)

/* Every frame is a packet or is counted. */
static void check_sum(const struct fixture *f)
{
	test_int(f->n_units + COUNT(f, frames_aborted), f->n_submitted);
	for (unsigned i = 0; i < f->n_units; i++) {
		const struct unit *unit = &f->units[i];
		test_assert(unit->whole);
		test_str(unit->types, unit->meta.key ? "785" : "1");
		test_assert(i == 0 || unit->meta.sequence > f->units[i - 1].meta.sequence);
	}
}

static void test_packets(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	encode(&f, 60);
	test_int(f.n_units, 60);
	check_sum(&f);
	for (unsigned i = 0; i < 60; i++) {
		test_int(f.units[i].meta.sequence, i);
		test_int(f.units[i].meta.key, i == 0);
	}
	test_int(COUNT(&f, encoder_imports), N_FRAMES);
	test_int(COUNT(&f, encoder_junk), 0);
	test_int(fake_m2m.bitrate, 2000000);
	test_int(fake_m2m.gop, 1000);
	test_int(fake_m2m.level, V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
	test_assert(fake_m2m.coded_size >= 1536 << 10);
	test_assert(fake_m2m.fps > 29.9 && fake_m2m.fps < 30.1);
	test_int(pc_encoder_owed_ns(f.encoder), 0);
	end(&f);
}

static void test_nothing_a_frame(void)
{
	fake_m2m_reset(false);
	fake_m2m.headers_once = true;
	struct fixture f;
	begin(&f);
	encode(&f, 10);
	const uint64_t allocations = fault_calls(FAULT_ALLOC);
	const unsigned ioctls = fake_m2m.ioctls;
	encode(&f, 100);
	test_int(fault_calls(FAULT_ALLOC), allocations);
	test_int(fake_m2m.ioctls - ioctls, 400);
	end(&f);
}

static void test_level(void)
{
	static const struct {
		unsigned width, height, fps;
		int level;
	} cases[] = {
		{ 1280, 720, 60, V4L2_MPEG_VIDEO_H264_LEVEL_4_0 },
		{ 1920, 1080, 30, V4L2_MPEG_VIDEO_H264_LEVEL_4_0 },
		{ 1920, 1080, 50, V4L2_MPEG_VIDEO_H264_LEVEL_4_2 },
		{ 1920, 1440, 30, V4L2_MPEG_VIDEO_H264_LEVEL_5_0 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_m2m_reset(false);
		struct fixture f;
		prepare(&f);
		f.config.format.width = cases[i].width;
		f.config.format.height = cases[i].height;
		f.config.fps = cases[i].fps;
		f.config.n_planes = 0; /* as pc_frame_layout() at 64 */
		f.config.size = 0;
		test_int(pc_encoder_open(f.loop, &f.config, &events, &f, &f.encoder), 0);
		test_int(fake_m2m.level, cases[i].level);
		end(&f);
	}
}

static void test_keys(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	for (unsigned i = 0; i < 20; i++) {
		test_int(submit(&f, i == 5 || i == 6 || i == 13 ? PC_ENCODER_KEY : 0), 0);
		turn(&f);
		test_int(f.units[i].meta.key, i == 0 || i == 5 || i == 6 || i == 13);
	}
	check_sum(&f);
	end(&f);
	/* One that does not hear is asked again by every packet that is no key frame. */
	fake_m2m_reset(false);
	begin(&f);
	encode(&f, 3);
	fake_m2m.deaf = true;
	test_int(submit(&f, PC_ENCODER_KEY), 0);
	turn(&f);
	encode(&f, 3);
	test_int(fake_m2m.keys_forced, 5);
	fake_m2m.deaf = false;
	encode(&f, 2);
	test_assert(!f.units[7].meta.key && f.units[8].meta.key);
	encode(&f, 3);
	test_int(fake_m2m.keys_forced, 6);
	end(&f);
}

static void test_headers(void)
{
	/* With the first key frame only. */
	fake_m2m_reset(false);
	fake_m2m.headers_once = true;
	struct fixture f;
	begin(&f);
	for (unsigned i = 0; i < 12; i++) {
		test_int(submit(&f, i % 4 == 0 ? PC_ENCODER_KEY : 0), 0);
		turn(&f);
	}
	test_int(f.n_units, 12);
	check_sum(&f); /* which wants them in front of each */
	end(&f);
	for (unsigned how = 0; how < 3; how++) {
		fake_m2m_reset(false);
		fake_m2m.headers_alone = how == 0 ? 1 : 2;
		fake_m2m.headers_unstamped = how == 2;
		begin(&f);
		for (unsigned i = 0; i < 12; i++) {
			test_int(submit(&f, i % 4 == 0 ? PC_ENCODER_KEY : 0), 0);
			turn(&f);
		}
		test_int(f.n_units, 12);
		check_sum(&f);
		test_int(COUNT(&f, encoder_junk), 0);
		end(&f);
	}
}

static void test_junk_and_aborted(void)
{
	fake_m2m_reset(false);
	fake_m2m.junk_first = 2;
	fake_m2m.abort_every = 4;
	struct fixture f;
	begin(&f);
	encode(&f, 31);
	test_int(COUNT(&f, encoder_junk), 2);
	test_int(f.n_units, 24);
	check_sum(&f);
	test_int(fake_m2m.keys_forced, 0); /* nothing refers to what was never encoded */
	end(&f);
}

static void test_late(void)
{
	fake_m2m_reset(false);
	fake_m2m.late = 2;
	struct fixture f;
	begin(&f);
	encode(&f, 20);
	test_int(f.n_units, 18);
	test_int(COUNT(&f, frames_aborted), 0);
	test_int(pc_encoder_owed_ns(f.encoder), 0);
	end(&f);
}

/* What follows a damaged packet is dropped, up to the key frame that is asked for. */
static void test_errors(void)
{
	fake_m2m_reset(false);
	fake_m2m.error_every = 10;
	struct fixture f;
	begin(&f);
	encode(&f, 35);
	test_int(fake_m2m.opens - fake_m2m.closes, 1);
	test_int(COUNT(&f, encoder_junk), 3);
	test_int(f.n_units, 32);
	check_sum(&f);
	for (unsigned i = 0; i < f.n_units; i++) {
		const uint64_t sequence = f.units[i].meta.sequence;
		test_int(
			f.units[i].meta.key, sequence == 0 || (sequence > 1 && sequence % 10 == 0));
	}
	/* The key frame is lost as well: the one after is asked for. */
	fake_m2m.error_every = 0;
	fake_m2m.deaf = true;
	const unsigned n_units = f.n_units;
	fake_m2m.error_every = 1;
	encode(&f, 1);
	fake_m2m.error_every = 0;
	encode(&f, 4);
	test_int(f.n_units, n_units); /* no key frame comes: nothing is handed over */
	fake_m2m.deaf = false;
	encode(&f, 3); /* the first of which has it asked once more */
	test_int(f.n_units, n_units + 2);
	test_assert(f.units[n_units].meta.key);
	check_sum(&f);
	end(&f);
}

static void test_fragments(void)
{
	fake_m2m_reset(false);
	fake_m2m.fragments = true;
	fake_m2m.packet_size = (3u << 20) + 100; /* two buffers of 1.5 MiB and a rest */
	fake_m2m.headers_once = true;
	struct fixture f;
	begin(&f);
	encode(&f, 3);
	test_int(submit(&f, PC_ENCODER_KEY), 0);
	turn(&f);
	test_int(f.n_units, 4);
	check_sum(&f);
	test_int(COUNT(&f, encoder_opens), 0);
	end(&f);
}

/* Cut off, or an error for want of room: opened again with larger buffers, and not failed. */
static void test_too_small(void)
{
	for (unsigned how = 0; how < 2; how++) {
		fake_m2m_reset(false);
		fake_m2m.too_large_is_error = how == 1;
		struct fixture f;
		begin(&f);
		encode(&f, 5);
		fake_m2m.packet_size = 5u << 20; /* twice doubled */
		encode(&f, 30);
		test_int(COUNT(&f, encoder_opens), 2);
		test_assert(fake_m2m.coded_size >= 6u << 20);
		test_assert(f.n_units >= 20);
		test_int(f.n_units + COUNT(&f, frames_aborted), f.n_submitted);
		test_assert(f.units[5].meta.key && f.units[f.n_units - 1].whole);
		test_int(f.n_failed, 0);
		end(&f);
	}
}

static void test_never_large_enough(void)
{
	fake_m2m_reset(false);
	fake_m2m.packet_size = 100u << 20;
	struct fixture f;
	begin(&f);
	for (unsigned i = 0; i < 60 && f.err == 0; i++) {
		(void)submit(&f, 0);
		turn(&f);
	}
	test_int(f.n_failed, 1);
	test_int(f.err, -EIO);
	test_int(f.n_units, 0);
	test_int(submit(&f, 0), -EPIPE);
	test_int(pc_encoder_owed_ns(f.encoder), 0);
	end(&f);
}

static int tamper_no_reopening(unsigned long request, void *arg, int r)
{
	return request == VIDIOC_REQBUFS && fake_m2m.packet_size > 4u << 20 ? -ENOMEM : r;
}

static void test_reopening_fails(void)
{
	for (unsigned inside = 0; inside < 2; inside++) {
		fake_m2m_reset(false);
		fake_m2m.tamper = tamper_no_reopening;
		struct fixture f;
		begin(&f);
		encode(&f, 2);
		f.close_inside = inside == 1;
		fake_m2m.packet_size = 5u << 20;
		for (unsigned i = 0; i < 4 && f.encoder != NULL; i++) {
			(void)submit(&f, 0);
			turn(&f);
		}
		test_int(f.n_failed, 1);
		test_int(f.err, -ENOMEM);
		end(&f);
	}
}

static void test_slots(void)
{
	fake_m2m_reset(false);
	fake_m2m.stalled = true;
	struct fixture f;
	begin(&f);
	for (unsigned i = 0; i < 4; i++) {
		test_int(submit(&f, 0), 0);
	}
	test_int(submit(&f, 0), -EAGAIN);
	test_assert(pc_encoder_owed_ns(f.encoder) > 0);
	fake_m2m.stalled = false;
	end(&f);
}

/* The key frame that is asked for does not come: a new stream begins with one. */
static void test_no_key_comes(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	encode(&f, 3);
	fake_m2m.deaf = true;
	fake_m2m.error_every = 4;
	encode(&f, 1);
	fake_m2m.error_every = 0;
	const unsigned n_units = f.n_units;
	const int64_t until_ns = pc_clock_now_ns() + 5 * PC_NS_PER_S;
	while (f.n_units == n_units && pc_clock_now_ns() < until_ns) {
		encode(&f, 1);
		test_int(pc_loop_turn(f.loop, 10), 0);
	}
	test_int(f.n_units, n_units + 1);
	test_assert(f.units[n_units].meta.key);
	test_int(COUNT(&f, encoder_opens), 1);
	test_int(f.n_failed, 0);
	end(&f);
}

static void test_import_refused(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	encode(&f, 3);
	fake_m2m.refuse = -EFAULT;
	test_int(submit(&f, 0), -EPIPE);
	test_int(f.n_failed, 0); /* never inside submit() */
	turn(&f);
	test_int(f.n_failed, 1);
	test_int(f.err, -EFAULT);
	test_int(submit(&f, 0), -EPIPE);
	end(&f);
}

static void test_unplugged(void)
{
	for (unsigned inside = 0; inside < 2; inside++) {
		fake_m2m_reset(false);
		struct fixture f;
		begin(&f);
		encode(&f, 3);
		f.close_inside = inside == 1;
		fake_m2m.gone = true;
		fake_m2m_poke();
		turn(&f);
		test_int(f.n_failed, 1);
		test_int(f.err, -ENODEV);
		end(&f);
	}
}

static void test_close_inside(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	f.close_inside = true;
	test_int(submit(&f, 0), 0);
	turn(&f);
	test_assert(f.encoder == NULL);
	test_int(f.n_units, 1);
	end(&f);
}

static void test_bitrate(void)
{
	fake_m2m_reset(false);
	struct fixture f;
	begin(&f);
	test_int(pc_encoder_set_bitrate(f.encoder, 700), 0);
	test_int(fake_m2m.bitrate, 700000);
	test_int(pc_encoder_set_bitrate(f.encoder, 1), 0);
	test_int(fake_m2m.bitrate, 25000);
	test_int(pc_encoder_set_bitrate(f.encoder, 100000), 0);
	test_int(fake_m2m.bitrate, 25000000);
	test_int(pc_encoder_set_bitrate(f.encoder, 0), -ENOTSUP);
	test_int(pc_encoder_set_bitrate(f.encoder, 900), 0);
	fake_m2m.packet_size = 2u << 20; /* it is opened again, with the rate that was set */
	encode(&f, 1);
	fake_m2m.bitrate = 0;
	encode(&f, 4);
	test_int(COUNT(&f, encoder_opens), 1);
	test_int(fake_m2m.bitrate, 900000);
	end(&f);
	fake_m2m_reset(false);
	prepare(&f);
	f.config.bitrate_kbps = 0;
	test_int(pc_encoder_open(f.loop, &f.config, &events, &f, &f.encoder), 0);
	test_int(fake_m2m.bitrate, 0); /* as it was */
	test_int(pc_encoder_set_bitrate(f.encoder, 500), -ENOTSUP);
	end(&f);
}

/* --- choosing --- */

static char said[1024];

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static void refused(struct fixture *f, int err, const char *text)
{
	pc_log_set_hook(hear, NULL);
	test_int(pc_encoder_open(f->loop, &f->config, &events, f, &f->encoder), err);
	pc_log_set_hook(NULL, NULL);
	f->encoder = NULL;
	if (strstr(said, text) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", said, text);
	}
	end(f);
}

static void test_refusals(void)
{
	struct fixture f;
	fake_m2m_reset(true); /* a scaler */
	prepare(&f);
	refused(&f, -ENODEV, "there is no M2M encoder");
	fake_m2m_reset(false);
	prepare(&f);
	f.config.device = "/dev/video88";
	refused(&f, -ENOENT, "/dev/video88: ");
	fake_m2m_reset(true);
	prepare(&f);
	f.config.device = FAKE_M2M_PATH;
	refused(&f, -ENODEV, "is no encoder; its role: scaler");
	fake_m2m_reset(false);
	prepare(&f);
	f.config.caps = PC_FRAME_CPU;
	refused(&f, -EINVAL, "needs frames in dma-bufs");
	fake_m2m_reset(false);
	fake_m2m.formats[1] = V4L2_PIX_FMT_YUYV;
	prepare(&f);
	refused(&f, -ENODEV, FAKE_M2M_PATH " (fake) takes no NV12");
	fake_m2m_reset(false);
	fake_m2m.stride_align = 512;
	prepare(&f);
	refused(&f, -EINVAL, "wants lines of 512 bytes, the frames have 320");
}

static void test_inputs(void)
{
	fake_m2m_reset(false);
	struct pc_input_format formats[8];
	bool dmabuf = false;
	test_int(pc_encoder_inputs("auto", "", W, H, formats, 8, &dmabuf), 3);
	test_assert(dmabuf);
	test_int(formats[0].fourcc, DRM_FORMAT_NV12);
	test_int(formats[0].stride_align, 64);
	test_int(formats[1].fourcc, DRM_FORMAT_YUV420);
	test_int(formats[2].fourcc, DRM_FORMAT_YUYV);
	test_int(pc_encoder_inputs("libavcodec", "", W, H, formats, 8, &dmabuf), 2);
	test_assert(!dmabuf);
	test_int(pc_encoder_inputs("none", "", W, H, formats, 8, &dmabuf), 0);
	/* Wider than the device can: the next member. */
	test_int(pc_encoder_inputs("auto", "", 3840, 2160, formats, 8, &dmabuf), 2);
	test_assert(!dmabuf);
	test_int(pc_encoder_inputs("v4l2m2m", "", 3840, 2160, formats, 8, &dmabuf), 0);
	test_int(fake_m2m.opens, fake_m2m.closes);
}

static void test_every_call(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(false);
		struct fixture f;
		prepare(&f);
		fake_m2m.fail_at = n;
		fake_m2m.fail_errno = EIO;
		fake_m2m.headers_alone = 2;
		if (pc_encoder_open(f.loop, &f.config, &events, &f, &f.encoder) < 0) {
			f.encoder = NULL;
		}
		for (unsigned i = 0; f.encoder != NULL && i < 8; i++) {
			(void)submit(&f, i == 4 ? PC_ENCODER_KEY : 0);
			turn(&f);
		}
		test_assert(f.n_failed <= 1);
		const bool failed = fake_m2m.failed;
		end(&f);
		if (!failed) {
			test_assert(n > 50);
			break;
		}
	}
}

static void test_every_allocation(void)
{
	for (unsigned n = 1;; n++) {
		fake_m2m_reset(false);
		struct fixture f;
		prepare(&f);
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_encoder_open(f.loop, &f.config, &events, &f, &f.encoder);
		const bool hit = fault_disarm();
		test_int(r, hit ? -ENOMEM : 0);
		f.encoder = r == 0 ? f.encoder : NULL;
		end(&f);
		if (!hit) {
			test_assert(n > 4);
			break;
		}
	}
}

int main(void)
{
	TEST_RUN(test_packets);
	TEST_RUN(test_nothing_a_frame);
	TEST_RUN(test_level);
	TEST_RUN(test_keys);
	TEST_RUN(test_headers);
	TEST_RUN(test_junk_and_aborted);
	TEST_RUN(test_late);
	TEST_RUN(test_errors);
	TEST_RUN(test_fragments);
	TEST_RUN(test_too_small);
	TEST_RUN(test_never_large_enough);
	TEST_RUN(test_reopening_fails);
	TEST_RUN(test_slots);
	TEST_RUN(test_no_key_comes);
	TEST_RUN(test_import_refused);
	TEST_RUN(test_unplugged);
	TEST_RUN(test_close_inside);
	TEST_RUN(test_bitrate);
	TEST_RUN(test_refusals);
	TEST_RUN(test_inputs);
	TEST_RUN(test_every_call);
	TEST_RUN(test_every_allocation);
	return test_end();
}
