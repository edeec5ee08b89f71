/* tests/unit/v4l2/rig.h - a capture of the fake camera, and what came out of it. */
#ifndef PC_TEST_V4L2_RIG_H
#define PC_TEST_V4L2_RIG_H

#include <stdbool.h>

#include "v4l2/capture.h"

#define RIG_HELD_MAX 64

struct rig {
	struct pc_loop *loop;
	struct pc_capture *capture;
	struct pc_capture_config config; /* changed by a test before rig_open() */
	struct pc_capture_wish wishes[4];
	struct pc_camera_stats stats;
	char why[256];
	bool hold; /* keep a reference of each frame */
	bool close_in_frame, close_in_failed; /* the callback closes the capture */
	unsigned n_frames;
	struct pc_frame *held[RIG_HELD_MAX];
	unsigned n_held;
	int64_t capture_ns; /* of the last frame */
	uint64_t sequence;
	uint32_t bytes_used;
	unsigned n_failed;
	int err;
	char what[96];
	int provided[32]; /* dma-bufs given to the capture */
	unsigned n_provided;
	int provide_error;
};

/* A loop, and a configuration: YUYV and MJPG, 1280x720 at 30, 4 buffers, exported. */
void rig_init(struct rig *rig);
/* pc_capture_open(). */
int rig_open(struct rig *rig);
/* Closes the capture, if it is open; frames that are held stay so. */
void rig_close(struct rig *rig);
void rig_drop(struct rig *rig); /* unrefs what is held */
void rig_finish(struct rig *rig); /* all of it */

/* The loop's turns, until there is nothing to do. */
void rig_turn(struct rig *rig);

/* Open file descriptors of this process. */
unsigned rig_count_fds(void);

#endif
