/* core/h264.c - Annex B access units become avc1 samples; see h264_internal.h.
 *
 * ISO/IEC 14496-10 (Annex B, 7.3) and 14496-15 (5.3.3.1, the avcC record).
 */
#include "core/h264_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MAX_PARAMETER_SETS 8 /* of each kind, in one access unit */

enum nal_type {
	NAL_SLICE = 1,
	NAL_IDR = 5,
	NAL_SPS = 7,
	NAL_PPS = 8,
	NAL_DELIMITER = 9,
	NAL_END_OF_SEQUENCE = 10,
	NAL_END_OF_STREAM = 11,
	NAL_FILLER = 12,
	NAL_LAST_KNOWN = 23,
};

static unsigned nal_type(const struct pc_nal *nal)
{
	return nal->data[0] & 0x1f;
}

struct slices {
	unsigned n_idr, n_other;
};

struct parameter_sets {
	unsigned n_sps, n_pps;
	struct pc_nal sps[MAX_PARAMETER_SETS];
	struct pc_nal pps[MAX_PARAMETER_SETS];
};

/* Bits of an RBSP; emulation prevention bytes are skipped. Reading past the end gives 0
 * and sets `failed`. */
struct bits {
	const uint8_t *data;
	size_t size;
	size_t at; /* next byte */
	unsigned left; /* bits of `byte` that are not read yet */
	unsigned byte;
	unsigned zeros; /* zero bytes in front of `at` */
	bool failed;
};

static unsigned read_bit(struct bits *bits)
{
	if (bits->left == 0) {
		if (bits->zeros >= 2 && bits->at < bits->size && bits->data[bits->at] == 3) {
			bits->at++;
			bits->zeros = 0;
		}
		if (bits->at >= bits->size) {
			bits->failed = true;
			return 0;
		}
		bits->byte = bits->data[bits->at++];
		bits->zeros = bits->byte == 0 ? bits->zeros + 1 : 0;
		bits->left = 8;
	}
	bits->left--;
	return (bits->byte >> bits->left) & 1;
}

/* ue(v), 7.2. The values that we need are small: more than 16 zeros is a fault. */
static unsigned read_ue(struct bits *bits)
{
	unsigned zeros = 0;
	while (read_bit(bits) == 0) {
		if (bits->failed || ++zeros > 16) {
			bits->failed = true;
			return 0;
		}
	}
	unsigned value = 1;
	for (unsigned i = 0; i < zeros; i++) {
		value = value << 1 | read_bit(bits);
	}
	return value - 1;
}

static bool has_chroma_info(uint8_t profile)
{
	return profile == 100 || profile == 110 || profile == 122 || profile == 144;
}

/* chroma_format_idc and the bit depths less 8, for avcC. False: the SPS is broken. */
static bool read_chroma_info(
	const struct pc_nal *sps, unsigned *chroma, unsigned *luma_depth, unsigned *chroma_depth)
{
	struct bits bits = { .data = sps->data + 4, .size = sps->size - 4 };
	(void)read_ue(&bits); /* seq_parameter_set_id */
	*chroma = read_ue(&bits);
	if (*chroma == 3) {
		(void)read_bit(&bits); /* separate_colour_plane_flag */
	}
	*luma_depth = read_ue(&bits);
	*chroma_depth = read_ue(&bits);
	return !bits.failed && *chroma <= 3 && *luma_depth <= 6 && *chroma_depth <= 6;
}

static bool put_parameter_sets(struct pc_avcc *avcc, const struct pc_nal *nals, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (nals[i].size > PC_AVCC_MAX || avcc->size + 2 + nals[i].size > PC_AVCC_MAX) {
			return false;
		}
		avcc->data[avcc->size++] = (uint8_t)(nals[i].size >> 8);
		avcc->data[avcc->size++] = (uint8_t)nals[i].size;
		memcpy(avcc->data + avcc->size, nals[i].data, nals[i].size);
		avcc->size += nals[i].size;
	}
	return true;
}

static bool make_avcc(const struct parameter_sets *sets, struct pc_avcc *ret)
{
	const struct pc_nal *sps = &sets->sps[0];
	if (sps->size < 5) {
		return false;
	}
	struct pc_avcc avcc = { .size = 6 };
	avcc.data[0] = 1; /* configurationVersion */
	avcc.data[1] = sps->data[1]; /* profile */
	avcc.data[2] = sps->data[2]; /* constraints */
	avcc.data[3] = sps->data[3]; /* level */
	avcc.data[4] = 0xff; /* lengths have 4 bytes */
	avcc.data[5] = (uint8_t)(0xe0 | sets->n_sps);
	if (!put_parameter_sets(&avcc, sets->sps, sets->n_sps) || avcc.size == PC_AVCC_MAX) {
		return false;
	}
	avcc.data[avcc.size++] = (uint8_t)sets->n_pps;
	if (!put_parameter_sets(&avcc, sets->pps, sets->n_pps)) {
		return false;
	}
	if (has_chroma_info(sps->data[1])) {
		unsigned chroma, luma_depth, chroma_depth;
		if (avcc.size + 4 > PC_AVCC_MAX ||
			!read_chroma_info(sps, &chroma, &luma_depth, &chroma_depth)) {
			return false;
		}
		avcc.data[avcc.size++] = (uint8_t)(0xfc | chroma);
		avcc.data[avcc.size++] = (uint8_t)(0xf8 | luma_depth);
		avcc.data[avcc.size++] = (uint8_t)(0xf8 | chroma_depth);
		avcc.data[avcc.size++] = 0; /* SPS extensions */
	}
	ret->size = avcc.size;
	memcpy(ret->data, avcc.data, avcc.size);
	return true;
}

/* The next 00 00 01 at or after `from`, or `size`. */
static size_t find_start_code(const uint8_t *data, size_t size, size_t from)
{
	size_t i = from;
	while (i + 3 <= size) {
		if (data[i + 2] > 1) {
			i += 3;
		} else if (data[i + 2] == 1 && data[i + 1] == 0 && data[i] == 0) {
			return i;
		} else {
			i++;
		}
	}
	return size;
}

/* Takes the NAL unit behind the start code at *at, which moves to the next start code or
 * the end. -EINVAL: it is empty or malformed. */
static int take_nal(const uint8_t *data, size_t size, size_t *at, struct pc_nal *ret)
{
	size_t start = *at + 3;
	size_t next = find_start_code(data, size, start);
	size_t end = next;
	while (end > start && data[end - 1] == 0) { /* zeros between units, Annex B */
		end--;
	}
	*at = next;
	struct pc_nal nal = { .data = data + start, .size = end - start };
	if (nal.size == 0 || (nal.data[0] & 0x80) != 0) { /* forbidden_zero_bit */
		return -EINVAL;
	}
	unsigned type = nal_type(&nal);
	if (nal.size == 1 && type != NAL_END_OF_SEQUENCE && type != NAL_END_OF_STREAM) {
		return -EINVAL;
	}
	*ret = nal;
	return 0;
}

static int add_set(struct pc_nal *list, unsigned *n, const struct pc_nal *nal)
{
	if (*n == MAX_PARAMETER_SETS) {
		return -EINVAL;
	}
	list[(*n)++] = *nal;
	return 0;
}

static int add_nal(struct pc_access_unit *unit, const struct pc_nal *nal)
{
	if (unit->n_nals == PC_NALS_MAX) {
		return -EINVAL;
	}
	unit->nals[unit->n_nals++] = *nal;
	unit->sample_size += 4 + nal->size;
	return 0;
}

/* The start code that the access unit begins with; -EINVAL: it does not. */
static int find_first(const uint8_t *data, size_t size, size_t *ret_at)
{
	size_t at = 0;
	while (at < size && data[at] == 0) { /* leading_zero_8bits, and the code's own */
		at++;
	}
	if (at < 2 || at >= size || data[at] != 1) {
		return -EINVAL;
	}
	*ret_at = at - 2;
	return 0;
}

/* Sorts every NAL unit: into `sets`, into the sample, or away. */
static int split(const uint8_t *data, size_t size, struct pc_access_unit *unit,
	struct parameter_sets *sets, struct slices *slices)
{
	size_t at;
	int r = find_first(data, size, &at);
	while (r == 0 && at < size) {
		struct pc_nal nal;
		r = take_nal(data, size, &at, &nal);
		if (r < 0) {
			break;
		}
		unsigned type = nal_type(&nal);
		switch (type) {
		case NAL_SPS:
			r = add_set(sets->sps, &sets->n_sps, &nal);
			continue;
		case NAL_PPS:
			r = add_set(sets->pps, &sets->n_pps, &nal);
			continue;
		case NAL_DELIMITER:
		case NAL_END_OF_SEQUENCE:
		case NAL_END_OF_STREAM:
		case NAL_FILLER:
			continue;
		default:
			break;
		}
		if (type == 0 || type > NAL_LAST_KNOWN || nal.size > UINT32_MAX) {
			return -EINVAL;
		}
		slices->n_idr += type == NAL_IDR;
		slices->n_other += type >= NAL_SLICE && type < NAL_IDR;
		r = add_nal(unit, &nal);
	}
	return r;
}

int pc_h264_parse(
	const uint8_t *data, size_t size, struct pc_access_unit *ret, struct pc_avcc *avcc)
{
	struct parameter_sets sets = { 0 };
	struct slices slices = { 0 };
	ret->n_nals = 0;
	ret->sample_size = 0;
	int r = split(data, size, ret, &sets, &slices);
	if (r < 0) {
		return r;
	}
	/* No picture, or half of one; half of the parameters. */
	if ((slices.n_idr > 0) == (slices.n_other > 0) || (sets.n_sps > 0) != (sets.n_pps > 0)) {
		return -EINVAL;
	}
	if (sets.n_sps > 0 && !make_avcc(&sets, avcc)) {
		return -EINVAL;
	}
	ret->key = slices.n_idr > 0;
	ret->has_parameters = sets.n_sps > 0;
	return 0;
}

void pc_h264_write_sample(const struct pc_access_unit *unit, uint8_t *sample)
{
	uint8_t *p = sample;
	for (unsigned i = 0; i < unit->n_nals; i++) {
		const struct pc_nal *nal = &unit->nals[i];
		for (unsigned k = 0; k < 4; k++) {
			p[k] = (uint8_t)(nal->size >> (24 - 8 * k));
		}
		memcpy(p + 4, nal->data, nal->size);
		p += 4 + nal->size;
	}
	assert((size_t)(p - sample) == unit->sample_size);
}
