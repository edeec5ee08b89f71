/* core/packet.h - one encoded access unit, as the encoder hands it over.
 *
 * H.264, Annex B. A key packet starts with SPS and PPS. Valid only during the
 * callback that it is given to: whoever needs the bytes later makes a fragment.
 */
#ifndef PC_CORE_PACKET_H
#define PC_CORE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pc_packet {
	const uint8_t *data;
	size_t size; /* bytes */
	bool key; /* an IDR */
	uint64_t sequence; /* the frame's */
	int64_t capture_ns; /* the frame's; also the presentation time: no reordering */
	int64_t submit_ns; /* when the encoder took the frame */
	int64_t encoded_ns; /* when this packet was complete */
};

#endif
