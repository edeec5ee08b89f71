/* core/h264_internal.h - what the muxer must know of H.264: NAL units and avcC. */
#ifndef PC_CORE_H264_INTERNAL_H
#define PC_CORE_H264_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The record that stands in an init segment: SPS and PPS. */
#define PC_AVCC_MAX 1024

struct pc_avcc {
	size_t size; /* 0: none */
	uint8_t data[PC_AVCC_MAX];
};

#define PC_NALS_MAX 512 /* NAL units of one picture that are kept */

struct pc_nal {
	const uint8_t *data; /* the header byte first; in the packet */
	size_t size;
};

/* What an access unit is made of. */
struct pc_access_unit {
	bool key; /* its slices are IDR */
	bool has_parameters; /* SPS and PPS were in it and are in `avcc` */
	size_t sample_size; /* bytes of the avc1 sample */
	unsigned n_nals; /* that belong into the sample, in their order */
	struct pc_nal nals[PC_NALS_MAX];
};

/* Takes an Annex B access unit apart; nothing is copied but the parameter sets: the NAL
 * units of `ret` lie in `data`. Delimiters, fillers and parameter sets do not belong into the
 * sample. `avcc` is written only where has_parameters is set.
 * 0, or -EINVAL: this is no access unit; `ret` and `avcc` are no use then. */
int pc_h264_parse(
	const uint8_t *data, size_t size, struct pc_access_unit *ret, struct pc_avcc *avcc);

/* The avc1 sample: each NAL unit with its length in 4 bytes; sample_size bytes. */
void pc_h264_write_sample(const struct pc_access_unit *unit, uint8_t *sample);

#endif
