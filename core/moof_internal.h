/* core/moof_internal.h - the boxes in front of a fragment's one sample. */
#ifndef PC_CORE_MOOF_INTERNAL_H
#define PC_CORE_MOOF_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PC_MOOF_MFHD_OFFSET 20 /* of the 32-bit sequence number */
#define PC_MOOF_TFDT_OFFSET 76 /* of the 64-bit base media decode time */
#define PC_MDAT_HEADER 8

struct pc_moof {
	uint32_t number;
	int64_t decode_time;
	uint32_t duration;
	uint32_t sample_size;
	bool key; /* a sync sample */
};

/* Bytes of the moof alone. */
static inline size_t pc_moof_size(bool key)
{
	return key ? 108 : 104;
}

/* Writes the moof and the header of its mdat: pc_moof_size() + PC_MDAT_HEADER bytes, behind
 * which the sample belongs. */
void pc_moof_write(const struct pc_moof *moof, uint8_t *data);

#endif
