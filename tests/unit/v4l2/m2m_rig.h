/* tests/unit/v4l2/m2m_rig.h - the client of memory-to-memory devices on the fake one, with all that
 * it said kept in a log. */
#ifndef PC_TEST_M2M_RIG_H
#define PC_TEST_M2M_RIG_H

#include "tests/support/fake_m2m.h"
#include "v4l2/m2m.h"

#define W 320u
#define H 240u
#define N_FRAMES 8
#define LOG_MAX 512

enum m2m_what {
	OUTPUT,
	JUNK,
	LAST,
	ABORTED,
	FAILED,
};

struct m2m_entry {
	enum m2m_what what;
	uint64_t sequence;
	size_t size;
	bool key, error;
	int err;
};

struct m2m_rig {
	struct pc_loop *loop;
	struct pc_m2m_config config;
	struct pc_m2m *m2m;
	struct fake_frame *frames[N_FRAMES];
	struct fake_frame *outs[N_FRAMES];
	unsigned n_out;
	unsigned next; /* the next frame's sequence, from 0 */
	struct m2m_entry log[LOG_MAX];
	unsigned n_log;
	bool close_inside;
	bool incomplete; /* output() says that more is to come */
};

extern const struct pc_frame_format m2m_rig_format;

/* Everything but the device, which fake_m2m_reset() has made. */
void m2m_prepare(struct m2m_rig *f);
int m2m_try_open(struct m2m_rig *f, char why[static 256]);
/* prepare() and an open that succeeds. */
void m2m_begin(struct m2m_rig *f);
/* Closes, and checks that nothing is left. */
void m2m_finish(struct m2m_rig *f);
/* Until nothing is left to do. */
void m2m_turn(struct m2m_rig *f);
int m2m_submit_frame(struct m2m_rig *f, struct fake_frame *frame, int fence_fd);
/* The next of four frames, as a camera's four buffers come round. */
int m2m_submit(struct m2m_rig *f);
void m2m_submit_some(struct m2m_rig *f, unsigned n);
/* What the log holds. */
void m2m_expect(struct m2m_rig *f, unsigned at, enum m2m_what what, uint64_t sequence);
void m2m_expect_outputs(struct m2m_rig *f, unsigned n);

#endif
