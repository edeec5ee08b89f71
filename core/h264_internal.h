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

/* What an access unit is made of. */
struct pc_access_unit {
	bool key; /* its slices are IDR */
	bool has_parameters; /* SPS and PPS were in it and are in `avcc` */
	size_t sample_size; /* bytes in `sample` */
};

/* Turns an Annex B access unit into an avc1 sample: NAL units with their length in 4
 * bytes, without delimiters, fillers and parameter sets. `sample` needs room for
 * pc_h264_sample_bound(size). `avcc` is written only where has_parameters is set.
 * 0, or -EINVAL: this is no access unit; `avcc` untouched then. */
int pc_h264_convert(const uint8_t *data, size_t size, uint8_t *sample, struct pc_access_unit *ret,
	struct pc_avcc *avcc);

/* A NAL unit costs 3 bytes of start code at least, and 4 of length. */
static inline size_t pc_h264_sample_bound(size_t size)
{
	return size + size / 4 + 4;
}

#endif
