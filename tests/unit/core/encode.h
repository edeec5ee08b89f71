/* tests/unit/core/encode.h - a small libx264 encoder for the core tests. */
#ifndef PC_TEST_ENCODE_H
#define PC_TEST_ENCODE_H

#include <stdint.h>

#include "core/packet.h"

struct encode;

/* zerolatency, Annex B, SPS and PPS in front of each key frame; kbps 0: constant quality.
 * Ends the program (77) where there is no libx264. */
struct encode *encode_open(unsigned width, unsigned height, unsigned kbps);
/* As encode_open(), with "name=value:..." for libx264 ("colormatrix=bt709", "8x8dct=1"). */
struct encode *encode_open_with(
	unsigned width, unsigned height, unsigned kbps, const char *x264_params);
void encode_close(struct encode *encode);

/* The planes of the next picture, to be drawn in. */
uint8_t *encode_plane(struct encode *encode, unsigned plane, unsigned *ret_stride);

/* Draws a picture that differs from frame to frame: a gradient that moves, a box. */
void encode_draw(struct encode *encode, unsigned n);

/* Encodes the picture; the packet is valid until the next call. */
struct pc_packet encode_frame(
	struct encode *encode, uint64_t sequence, int64_t capture_ns, bool key);

#endif
