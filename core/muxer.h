/* core/muxer.h - CMAF muxer: an access unit in, a fragment out.
 *
 * The init segment is libavformat's (empty_moov, default_base_moof, cmaf); the coded bytes
 * are copied once, from the packet into the fragment, behind a moof of our own. SPS and PPS are taken from the first key packet and
 * stand in the init segment only (avc1); when a later key packet carries others,
 * a new epoch begins by itself. Delimiters and fillers are dropped, SEI is kept.
 *
 * Thread: one at a time (the media loop's). Nothing blocks.
 */
#ifndef PC_CORE_MUXER_H
#define PC_CORE_MUXER_H

#include <stdint.h>

#include "core/fragment.h"
#include "core/packet.h"

struct pc_muxer;

struct pc_muxer_config {
	struct pc_fragment_pool *pool; /* must outlive the muxer */
	uint32_t width;
	uint32_t height;
	int64_t frame_duration; /* nominal, ticks of PC_MEDIA_TIMESCALE */
	int64_t base_ns; /* the capture time whose decode time is 0 */
	uint32_t first_epoch; /* of the first init segment; at least 1 */
	uint64_t first_number; /* of the first fragment; at least 1 */
};

int pc_muxer_create(const struct pc_muxer_config *config, struct pc_muxer **ret_muxer);
void pc_muxer_destroy(struct pc_muxer *muxer); /* NULL is fine */

/* 0 and a fragment with one reference; -EAGAIN: nothing came out (no key packet was
 * seen yet, or none since a frame was lost); -EINVAL: the packet is no
 * H.264 access unit, has `key` set without an IDR, or is the first key packet and
 * has no SPS and PPS; -ENOMEM (also: the pool's limit is reached), -EIO: the frame is
 * lost and the caller should have the encoder make a key frame.
 * Decode time = capture time less base_ns, made strictly increasing; and, in a hole of
 * up to 1 s, never further behind the last one than twice its duration, as browsers
 * drop everything up to a key frame there. It catches up within a few frames. */
int pc_muxer_write(
	struct pc_muxer *muxer, const struct pc_packet *packet, struct pc_fragment **ret_fragment);

/* What the next muxer of the same camera must start with. */
uint32_t pc_muxer_next_epoch(const struct pc_muxer *muxer);
uint64_t pc_muxer_next_number(const struct pc_muxer *muxer);

#endif
