/* petcamd/capture_thread.h - a camera whose DQBUF computes, kept away from the media loop.
 *
 * libv4l2 converts inside of DQBUF: tens of milliseconds a frame, in which the loop would
 * stand still. So such a capture runs on a loop and a thread of its own; its frames come over
 * by a short queue, and what the media loop has no time for is dropped and counted
 * (frames_skipped_source).
 *
 * Thread: every function and callback runs on the loop given to open().
 */
#ifndef PC_PETCAMD_CAPTURE_THREAD_H
#define PC_PETCAMD_CAPTURE_THREAD_H

#include "v4l2/capture.h"

struct pc_capture_thread;

/* As pc_capture_open(). */
int pc_capture_thread_open(struct pc_loop *loop, const struct pc_capture_config *config,
	const struct pc_capture_events *events, void *data, char *why, size_t why_size,
	struct pc_capture_thread **ret_thread);

const struct pc_capture_info *pc_capture_thread_info(const struct pc_capture_thread *thread);

/* Waits for the frame that is being converted. NULL is fine. */
void pc_capture_thread_close(struct pc_capture_thread *thread);

#endif
