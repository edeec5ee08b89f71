/* hwaccel/h264_headers.h - the SPS and PPS in front of an Annex B access unit.
 *
 * A device encoder may send them once, with its first key frame; our packets have
 * them in front of each (core/packet.h). Thread: any; nothing blocks or allocates.
 */
#ifndef PC_HWACCEL_H264_HEADERS_H
#define PC_HWACCEL_H264_HEADERS_H

#include <stddef.h>
#include <stdint.h>

#define PC_H264_HEADERS_MAX 512 /* bytes; an SPS and a PPS take about 40 */

struct pc_h264_headers {
	uint8_t data[PC_H264_HEADERS_MAX]; /* SPS and PPS, each with its start code */
	size_t size; /* 0: none seen yet */
};

/* Looks at what stands before the first slice of an access unit. Returns the number of
 * parameter sets there (at most those that fit); if there is any, they replace what
 * `headers` holds. */
unsigned pc_h264_headers_scan(struct pc_h264_headers *headers, const uint8_t *data, size_t size);

/* The type of the first slice of an access unit: 5 for an IDR; 0: it has none. */
#define PC_H264_IDR 5u
unsigned pc_h264_first_slice(const uint8_t *data, size_t size);

#endif
