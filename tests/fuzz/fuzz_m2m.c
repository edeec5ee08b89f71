/* tests/fuzz/fuzz_m2m.c - any answers as those of a memory-to-memory device.
 *
 * Input: what the device is (2 bytes), then what happens (1 byte each, with its argument), mixed
 * with what its ioctls answer: each one asks for a byte, and from 0xe0 on is told a lie, made of
 * the bytes that follow. The device's buffers end at a page that cannot be read.
 */
#include <drm_fourcc.h>
#include <errno.h>

#include "core/log.h"
#include "hwaccel/encoder_internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_m2m.h"
#include "v4l2/m2m.h"

#define W 64u
#define H 48u
#define N_FRAMES 6
#define N_OUTS 4
#define OPS_MAX 400
#define SEQUENCES 512

struct run {
	struct pc_loop *loop;
	struct pc_m2m *m2m; /* or */
	struct pc_encoder *encoder;
	struct fake_frame *frames[N_FRAMES];
	struct fake_frame *outs[N_OUTS];
	uint64_t next;
	uint8_t settled[SEQUENCES];
	bool any;
	uint64_t last;
	unsigned n_failed;
	bool close_inside;
	unsigned sum; /* of what was read */
};

static struct fuzz_input input;

/* --- the device's answers --- */

static void lie_about_buffer(struct v4l2_buffer *buffer)
{
	const uint64_t what = fuzz_number(&input, 1);
	const uint64_t value = fuzz_number(&input, 4);
	struct v4l2_plane *plane = fake_m2m.single_plane ? NULL : &buffer->m.planes[0];
	switch (what % 8) {
	case 0:
		buffer->index = (uint32_t)value & (what & 8 ? UINT32_MAX : 7);
		break;
	case 1:
		*(plane != NULL ? &plane->bytesused : &buffer->bytesused) = (uint32_t)value;
		break;
	case 2:
		if (plane != NULL) {
			plane->data_offset = (uint32_t)value;
		}
		break;
	case 3:
		buffer->flags ^= (uint32_t)value;
		break;
	case 4:
		buffer->timestamp.tv_sec = (time_t)(value << (what >> 3));
		break;
	case 5:
		buffer->timestamp.tv_usec = (suseconds_t)(int32_t)value;
		break;
	case 6:
		*(plane != NULL ? &plane->length : &buffer->length) = (uint32_t)value;
		break;
	default:
		memset(&buffer->timestamp, 0, sizeof(buffer->timestamp));
		break;
	}
}

static void lie_about_format(struct v4l2_format *format)
{
	const uint64_t what = fuzz_number(&input, 1);
	const uint32_t value = (uint32_t)fuzz_number(&input, 4);
	if (fake_m2m.single_plane) {
		struct v4l2_pix_format *pix = &format->fmt.pix;
		uint32_t *const fields[] = { &pix->width, &pix->pixelformat, &pix->bytesperline,
			&pix->sizeimage, &pix->height };
		*fields[what % 5] = value;
		return;
	}
	struct v4l2_pix_format_mplane *pix = &format->fmt.pix_mp; /* packed */
	switch (what % 5) {
	case 0:
		pix->width = value;
		break;
	case 1:
		pix->pixelformat = value;
		break;
	case 2:
		pix->plane_fmt[0].bytesperline = value;
		break;
	case 3:
		pix->plane_fmt[0].sizeimage = value;
		break;
	default:
		pix->num_planes = (uint8_t)value;
		break;
	}
}

static int tamper(unsigned long request, void *arg, int r)
{
	static const int errors[] = { 0, EAGAIN, EINVAL, EIO, ENODEV, EPIPE, ENOMEM, EBUSY };
	const uint64_t told = fuzz_number(&input, 1);
	if (told < 0xe0) {
		return r;
	}
	if (told < 0xf0) {
		return -errors[told & 7];
	}
	switch (request) {
	case VIDIOC_DQBUF:
	case VIDIOC_QUERYBUF:
		if (r == 0) {
			lie_about_buffer(arg);
		}
		break;
	case VIDIOC_S_FMT:
	case VIDIOC_TRY_FMT:
		lie_about_format(arg);
		break;
	case VIDIOC_REQBUFS:
		((struct v4l2_requestbuffers *)arg)->count = (uint32_t)fuzz_number(&input, 4);
		break;
	default:
		break;
	}
	return r;
}

/* --- what the client makes of it --- */

static void read_all(struct run *run, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i += i + 1 < size ? 61 : 1) {
		run->sum += data[i];
	}
	run->sum += size > 0 ? data[size - 1] : 0;
}

/* Each input is done with once. */
static void settle(struct run *run, uint64_t sequence)
{
	fuzz_assert(sequence < run->next && sequence < SEQUENCES);
	fuzz_assert(run->settled[sequence] == 0);
	run->settled[sequence] = 1;
}

static void close_all(struct run *run)
{
	pc_m2m_close(run->m2m);
	run->m2m = NULL;
	if (run->encoder != NULL) {
		pc_encoder_v4l2.close(run->encoder);
		run->encoder = NULL;
	}
}

static bool on_output(void *data, const struct pc_m2m_output *output)
{
	struct run *run = data;
	fuzz_assert(output->size <= output->capacity || output->data == NULL);
	if (output->data != NULL) {
		read_all(run, output->data, output->size);
	}
	if (output->input != NULL) {
		settle(run, output->input->sequence);
	}
	if (run->close_inside) {
		close_all(run);
	}
	return true;
}

static void on_aborted(void *data, const struct pc_m2m_input *aborted)
{
	struct run *run = data;
	settle(run, aborted->sequence);
	if (run->close_inside) {
		close_all(run);
	}
}

static void on_m2m_failed(void *data, int err, const char *what)
{
	struct run *run = data;
	fuzz_assert(err < 0 && what != NULL);
	fuzz_assert(run->n_failed++ == 0);
	if (run->close_inside) {
		close_all(run);
	}
}

static const struct pc_m2m_events m2m_events = {
	.output = on_output,
	.aborted = on_aborted,
	.failed = on_m2m_failed,
};

static void on_packet(void *data, const struct pc_packet *packet)
{
	struct run *run = data;
	read_all(run, packet->data, packet->size);
	fuzz_assert(packet->size > 0 && packet->sequence < run->next);
	fuzz_assert(!run->any || packet->sequence > run->last); /* in order, each once */
	run->any = true;
	run->last = packet->sequence;
	if (run->close_inside) {
		close_all(run);
	}
}

static void on_failed(void *data, int err)
{
	struct run *run = data;
	fuzz_assert(err < 0 && run->n_failed++ == 0);
	if (run->close_inside) {
		close_all(run);
	}
}

static const struct pc_encoder_events encoder_events = {
	.packet = on_packet,
	.failed = on_failed,
};

static void open_m2m(struct run *run)
{
	struct pc_m2m_config config = {
		.path = FAKE_M2M_PATH,
		.in = run->frames[0]->base.format,
		.n_in_planes = run->frames[0]->base.n_planes,
		.in_size = run->frames[0]->size,
		.in_buffers = 4,
		.out_pixelformat = fake_m2m.scaler ? V4L2_PIX_FMT_RGB24 : V4L2_PIX_FMT_H264,
		.out_width = fake_m2m.scaler ? 32 : W,
		.out_height = fake_m2m.scaler ? 32 : H,
		.out_size = fake_m2m.scaler ? 0 : 8192,
		.out_buffers = 4,
		.out_dmabuf = fake_m2m.scaler,
	};
	memcpy(config.in_planes, run->frames[0]->base.planes, sizeof(config.in_planes));
	char why[256] = "";
	if (pc_m2m_open(run->loop, &config, &m2m_events, run, why, sizeof(why), &run->m2m) < 0) {
		fuzz_assert(why[0] != '\0');
		run->m2m = NULL;
	}
}

static void open_encoder(struct run *run)
{
	struct pc_encoder_config config = {
		.format = run->frames[0]->base.format,
		.caps = PC_FRAME_DMABUF,
		.n_planes = run->frames[0]->base.n_planes,
		.size = run->frames[0]->size,
		.fps = 30,
		.bitrate_kbps = 1000,
		.key_interval = 30,
		.device = FAKE_M2M_PATH,
	};
	memcpy(config.planes, run->frames[0]->base.planes, sizeof(config.planes));
	char why[256] = "";
	if (pc_encoder_v4l2.open(run->loop, &config, &encoder_events, run, why, sizeof(why),
		    &run->encoder) < 0) {
		run->encoder = NULL;
	}
}

/* A reference, also where the device still has the frame. */
static void hold(struct fake_frame *frame)
{
	if (atomic_load(&frame->base.refs) == 0) {
		pc_frame_publish(&frame->base);
	} else {
		pc_frame_ref(&frame->base);
	}
}

static void submit(struct run *run, unsigned at, unsigned flags)
{
	struct fake_frame *frame = run->frames[at % N_FRAMES];
	if (run->next == SEQUENCES || atomic_load(&frame->base.refs) > 0) {
		return;
	}
	hold(frame);
	frame->base.sequence = run->next++;
	if (run->encoder != NULL) {
		(void)pc_encoder_v4l2.submit(run->encoder, &frame->base, flags);
	} else if (run->m2m != NULL) {
		struct fake_frame *out = pc_m2m_wants_out(run->m2m) ? run->outs[at % N_OUTS] : NULL;
		if (out != NULL) {
			hold(out);
		}
		(void)pc_m2m_submit(run->m2m, &frame->base, out != NULL ? &out->base : NULL, -1);
		pc_frame_unref(out != NULL ? &out->base : NULL);
	}
	pc_frame_unref(&frame->base);
}

static void operate(struct run *run)
{
	const unsigned op = (unsigned)fuzz_number(&input, 1);
	const unsigned arg = op >> 4;
	switch (op & 15) {
	case 0:
	case 1:
	case 2:
		submit(run, arg, 0);
		break;
	case 3:
		submit(run, arg, PC_ENCODER_KEY);
		break;
	case 4:
		fake_m2m.manual = arg % 2 == 1;
		break;
	case 5:
		(void)fake_m2m_step();
		break;
	case 6:
		fake_m2m.stalled = arg % 2 == 1;
		break;
	case 7:
		fake_m2m.gone = arg == 15;
		break;
	case 8:
		if (run->m2m != NULL) {
			(void)pc_m2m_drain(run->m2m);
		}
		break;
	case 9:
		fake_m2m.abort_every = arg;
		break;
	case 10:
		fake_m2m.error_every = arg;
		break;
	case 11:
		fake_m2m.late = arg % 4;
		fake_m2m.junk_first = arg / 4;
		break;
	case 12:
		fake_m2m.packet_size = (size_t)arg * 120000;
		break;
	case 13:
		fake_m2m.headers_alone = arg % 3;
		fake_m2m.headers_unstamped = arg > 7;
		break;
	case 14:
		if (atomic_load(&run->frames[arg % N_FRAMES]->base.refs) == 0) {
			const struct pc_frame_format format = run->frames[0]->base.format;
			fake_frame_free(run->frames[arg % N_FRAMES]);
			run->frames[arg % N_FRAMES] = fake_frame_create(&format, W);
		}
		break;
	default:
		fake_m2m.fragments = arg % 2 == 1;
		run->close_inside = arg == 14;
		break;
	}
	fake_m2m_poke();
	fuzz_assert(pc_loop_turn(run->loop, 0) == 0);
	fuzz_assert(run->m2m == NULL || pc_m2m_owed_ns(run->m2m) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	pc_log_set_level((enum pc_log_level)(PC_LOG_ERROR - 1)); /* not a word */
	input = fuzz_begin(data, size);
	const uint64_t kind = fuzz_number(&input, 1);
	const uint64_t habits = fuzz_number(&input, 1);
	fake_m2m_reset(kind % 3 == 0);
	fake_m2m.single_plane = (kind & 128) != 0;
	fake_m2m.coded_size_min = 8192;
	fake_m2m.buffers_max = 1 + (unsigned)(habits & 31);
	fake_m2m.headers_once = (habits & 64) != 0;
	fake_m2m.keeps_inputs = (habits & 0xa0) == 0xa0;

	struct run run = { 0 };
	fuzz_assert(pc_loop_create(&run.loop) == 0);
	const struct pc_frame_format format = { DRM_FORMAT_YUV420, W, H, 0 };
	const struct pc_frame_format small = { DRM_FORMAT_BGR888, 32, 32, 0 };
	for (unsigned i = 0; i < N_FRAMES; i++) {
		run.frames[i] = fake_frame_create(&format, W);
	}
	for (unsigned i = 0; i < N_OUTS; i++) {
		run.outs[i] = fake_frame_create(&small, 96);
	}
	fake_m2m.tamper = tamper;
	if (kind % 3 == 2) {
		open_encoder(&run);
	} else {
		open_m2m(&run);
	}
	for (unsigned i = 0; i < OPS_MAX && input.left > 0; i++) {
		operate(&run);
	}
	fake_m2m.tamper = NULL;
	close_all(&run);
	for (unsigned i = 0; i < N_FRAMES; i++) {
		fake_frame_free(run.frames[i]); /* asserts that nobody holds it */
	}
	for (unsigned i = 0; i < N_OUTS; i++) {
		fake_frame_free(run.outs[i]);
	}
	pc_loop_destroy(run.loop);
	fuzz_assert(fake_m2m.opens == fake_m2m.closes && fake_m2m.maps == fake_m2m.unmaps);
	return 0;
}
