/* v4l2/m2m_slots.h - which index of a V4L2 queue a frame buffer has; for m2m.c only.
 *
 * A queue that imports dma-bufs maps a buffer for its device when an index sees it for the first
 * time: so each buffer keeps the index that it got, remembered on the buffer itself
 * (pc_frame_import_find()). When more buffers come than there are indices, the one that was
 * idle longest loses its own.
 *
 * Thread: the functions belong to one thread; buffers may be freed by any, which gives
 * their index back.
 */
#ifndef PC_V4L2_M2M_SLOTS_H
#define PC_V4L2_M2M_SLOTS_H

#include <stdint.h>

#include "core/frame.h"

#define PC_M2M_SLOTS_MAX 32

struct pc_m2m_slots;

/* Indices 0 to n - 1. 0 or -ENOMEM. */
int pc_m2m_slots_create(unsigned n, struct pc_m2m_slots **ret_slots);

/* The index of `frame`, which must be held until give(). -EAGAIN: all are in use, or the
 * frame itself is. Allocates nothing. */
int pc_m2m_slots_take(struct pc_m2m_slots *slots, struct pc_frame *frame);

/* The index is in use no more; the frame keeps it. */
void pc_m2m_slots_give(struct pc_m2m_slots *slots, unsigned index);

/* How many times a buffer was given an index. */
uint64_t pc_m2m_slots_imports(const struct pc_m2m_slots *slots);

/* Takes what is remembered off the buffers. NULL is fine. */
void pc_m2m_slots_destroy(struct pc_m2m_slots *slots);

#endif
