/* tests/unit/v4l2/m2m_rig.c - see m2m_rig.h. */
#include "tests/unit/v4l2/m2m_rig.h"

#include <drm_fourcc.h>

#include "tests/support/test.h"

static struct m2m_entry *add_entry(struct m2m_rig *f, enum m2m_what what)
{
	test_assert(f->n_log < LOG_MAX);
	f->log[f->n_log] = (struct m2m_entry){ .what = what };
	return &f->log[f->n_log++];
}

static void close_if_told(struct m2m_rig *f)
{
	if (f->close_inside) {
		pc_m2m_close(f->m2m);
		f->m2m = NULL;
	}
}

static bool on_output(void *data, const struct pc_m2m_output *output)
{
	struct m2m_rig *f = data;
	struct m2m_entry *entry = add_entry(f, output->last	       ? LAST
					       : output->input == NULL ? JUNK
								       : OUTPUT);
	entry->sequence = output->input != NULL ? output->input->sequence : 0;
	entry->size = output->size;
	entry->key = output->key;
	entry->error = output->error;
	test_assert(output->size <= output->capacity);
	if (output->input != NULL) {
		test_int(output->input->capture_ns, 1000 + (int64_t)output->input->sequence);
		test_assert(output->input->submit_ns > 0);
	}
	const bool done = !f->incomplete;
	close_if_told(f);
	return done;
}

static void on_aborted(void *data, const struct pc_m2m_input *input)
{
	struct m2m_rig *f = data;
	add_entry(f, ABORTED)->sequence = input->sequence;
	close_if_told(f);
}

static void on_failed(void *data, int err, const char *what)
{
	struct m2m_rig *f = data;
	add_entry(f, FAILED)->err = err;
	test_assert(what[0] != '\0');
	close_if_told(f);
}

static const struct pc_m2m_events events = {
	.output = on_output,
	.aborted = on_aborted,
	.failed = on_failed,
};

const struct pc_frame_format m2m_rig_format = { DRM_FORMAT_YUV420, W, H, 0 };
static const struct pc_frame_format small_format = { DRM_FORMAT_BGR888, 64, 48, 0 };

/* Everything but the device, which fake_m2m_reset() has made. */
void m2m_prepare(struct m2m_rig *f)
{
	memset(f, 0, sizeof(*f));
	test_int(pc_loop_create(&f->loop), 0);
	for (unsigned i = 0; i < N_FRAMES; i++) {
		f->frames[i] = fake_frame_create(&m2m_rig_format, W);
		f->outs[i] = fake_frame_create(&small_format, 3 * 64);
	}
	f->config = (struct pc_m2m_config){
		.path = FAKE_M2M_PATH,
		.in = m2m_rig_format,
		.n_in_planes = 3,
		.in_size = f->frames[0]->size,
		.fps = 30,
		.in_buffers = 4,
		.out_pixelformat = fake_m2m.scaler ? V4L2_PIX_FMT_RGB24 : V4L2_PIX_FMT_H264,
		.out_width = fake_m2m.scaler ? 64 : W,
		.out_height = fake_m2m.scaler ? 48 : H,
		.out_size = fake_m2m.scaler ? 0 : 1 << 20,
		.out_buffers = 6,
		.out_dmabuf = fake_m2m.scaler,
	};
	memcpy(f->config.in_planes, f->frames[0]->base.planes, sizeof(f->config.in_planes));
}

int m2m_try_open(struct m2m_rig *f, char why[static 256])
{
	why[0] = '\0';
	return pc_m2m_open(f->loop, &f->config, &events, f, why, 256, &f->m2m);
}

void m2m_begin(struct m2m_rig *f)
{
	m2m_prepare(f);
	char why[256];
	const int r = m2m_try_open(f, why);
	test_str(why, "");
	test_int(r, 0);
	test_str(pc_m2m_name(f->m2m), FAKE_M2M_PATH " (fake)");
}

void m2m_finish(struct m2m_rig *f)
{
	pc_m2m_close(f->m2m);
	f->m2m = NULL;
	for (unsigned i = 0; i < N_FRAMES; i++) {
		fake_frame_free(f->frames[i]); /* asserts that nobody holds it */
		fake_frame_free(f->outs[i]);
	}
	pc_loop_destroy(f->loop);
	test_int(fake_m2m.closes, fake_m2m.opens);
	test_int(fake_m2m.unmaps, fake_m2m.maps);
}

void m2m_turn(struct m2m_rig *f)
{
	for (int i = 0; i < 20; i++) {
		test_int(pc_loop_turn(f->loop, 0), 0);
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

int m2m_submit_frame(struct m2m_rig *f, struct fake_frame *frame, int fence_fd)
{
	frame->base.sequence = f->next;
	frame->base.capture_ns = 1000 + (int64_t)f->next;
	struct fake_frame *out = NULL;
	if (pc_m2m_wants_out(f->m2m)) {
		out = f->outs[f->n_out++ % N_FRAMES];
		hold(out);
	}
	hold(frame);
	const int r =
		pc_m2m_submit(f->m2m, &frame->base, out != NULL ? &out->base : NULL, fence_fd);
	pc_frame_unref(&frame->base);
	if (out != NULL) {
		pc_frame_unref(&out->base);
	}
	f->next += r == 0 ? 1 : 0;
	return r;
}

/* The next of four frames, as a camera's four buffers come round. */
int m2m_submit(struct m2m_rig *f)
{
	return m2m_submit_frame(f, f->frames[f->next % 4], -1);
}

void m2m_submit_some(struct m2m_rig *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		test_int(m2m_submit(f), 0);
		m2m_turn(f);
	}
}

void m2m_expect(struct m2m_rig *f, unsigned at, enum m2m_what what, uint64_t sequence)
{
	test_assert(at < f->n_log);
	test_int(f->log[at].what, what);
	test_int(f->log[at].sequence, sequence);
}

void m2m_expect_outputs(struct m2m_rig *f, unsigned n)
{
	test_int(f->n_log, n);
	for (unsigned i = 0; i < n; i++) {
		m2m_expect(f, i, OUTPUT, i);
	}
}
