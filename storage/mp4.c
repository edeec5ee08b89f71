/* storage/mp4.c - as much of ISO BMFF as recordings need, see clip_internal.h. */
#include "storage/clip_internal.h"

#include <errno.h>
#include <string.h>

#define SAMPLE_NOT_SYNC 0x00010000u
#define SAMPLES_MAX 65536 /* of a moof: samples that take no bytes could be any number */
#define TIME_MAX (INT64_MAX / 4096) /* ticks: centuries, and room to count in milliseconds */

uint32_t pc_mp4_get32(const uint8_t *data)
{
	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 |
	       (uint32_t)data[3];
}

uint64_t pc_mp4_get64(const uint8_t *data)
{
	return (uint64_t)pc_mp4_get32(data) << 32 | pc_mp4_get32(data + 4);
}

void pc_mp4_put32(uint8_t *data, uint32_t value)
{
	data[0] = (uint8_t)(value >> 24);
	data[1] = (uint8_t)(value >> 16);
	data[2] = (uint8_t)(value >> 8);
	data[3] = (uint8_t)value;
}

void pc_mp4_put64(uint8_t *data, uint64_t value)
{
	pc_mp4_put32(data, (uint32_t)(value >> 32));
	pc_mp4_put32(data + 4, (uint32_t)value);
}

int pc_mp4_next(const uint8_t *data, size_t end, size_t *at, struct pc_mp4_box *ret_box)
{
	if (*at == end) {
		return -ENOENT;
	}
	if (end - *at < 8) {
		return -EINVAL;
	}
	/* Neither 64-bit sizes (1) nor "to the end of the file" (0): nothing here has them. */
	size_t size = pc_mp4_get32(data + *at);
	if (size < 8 || size > end - *at) {
		return -EINVAL;
	}
	*ret_box = (struct pc_mp4_box){
		.type = pc_mp4_get32(data + *at + 4),
		.offset = *at,
		.size = size,
		.body = *at + 8,
	};
	*at += size;
	return 0;
}

int pc_mp4_find(const uint8_t *data, size_t size, const uint32_t *path, struct pc_mp4_box *ret_box)
{
	size_t at = 0, end = size;
	struct pc_mp4_box box;
	for (;;) {
		int r = pc_mp4_next(data, end, &at, &box);
		if (r < 0) {
			return r;
		}
		if (box.type != *path) {
			continue;
		}
		if (*++path == 0) {
			*ret_box = box;
			return 0;
		}
		at = box.body;
		end = box.offset + box.size;
	}
}

/* A box with at least `least` bytes of body. */
static int find_body(const uint8_t *data, size_t size, const uint32_t *path, size_t least,
	const uint8_t **ret_body)
{
	struct pc_mp4_box box;
	int r = pc_mp4_find(data, size, path, &box);
	if (r < 0) {
		return -EINVAL;
	}
	if (box.offset + box.size - box.body < least) {
		return -EINVAL;
	}
	*ret_body = data + box.body;
	return 0;
}

#define MOOV PC_MP4_TYPE('m', 'o', 'o', 'v')
#define TRAK PC_MP4_TYPE('t', 'r', 'a', 'k')
#define MDIA PC_MP4_TYPE('m', 'd', 'i', 'a')
#define TRAF PC_MP4_TYPE('t', 'r', 'a', 'f')
#define MOOF PC_MP4_TYPE('m', 'o', 'o', 'f')

int pc_mp4_read_moov(const uint8_t *data, size_t size, struct pc_clip_layout *layout)
{
	static const uint32_t mvhd[] = { MOOV, PC_MP4_TYPE('m', 'v', 'h', 'd'), 0 };
	static const uint32_t tkhd[] = { MOOV, TRAK, PC_MP4_TYPE('t', 'k', 'h', 'd'), 0 };
	static const uint32_t mdhd[] = { MOOV, TRAK, MDIA, PC_MP4_TYPE('m', 'd', 'h', 'd'), 0 };
	static const uint32_t trex[] = { MOOV, PC_MP4_TYPE('m', 'v', 'e', 'x'),
		PC_MP4_TYPE('t', 'r', 'e', 'x'), 0 };
	const uint8_t *body;
	int r = find_body(data, size, mvhd, 24, &body);
	if (r == 0) {
		layout->movie_timescale = pc_mp4_get32(body + (body[0] == 1 ? 20 : 12));
		r = find_body(data, size, tkhd, 84, &body);
	}
	if (r == 0) {
		/* Version 1 has 64-bit times: 12 bytes more, 96 in all. */
		size_t more = body[0] == 1 ? 12 : 0;
		layout->track_id = pc_mp4_get32(body + (body[0] == 1 ? 20 : 12));
		if (more != 0) {
			r = find_body(data, size, tkhd, 96, &body);
		}
		if (r == 0) {
			layout->width = pc_mp4_get32(body + 76 + more) >> 16;
			layout->height = pc_mp4_get32(body + 80 + more) >> 16;
			r = find_body(data, size, mdhd, 24, &body);
		}
	}
	if (r == 0) {
		layout->timescale = pc_mp4_get32(body + (body[0] == 1 ? 20 : 12));
		r = find_body(data, size, trex, 24, &body);
	}
	if (r == 0) {
		layout->default_duration = pc_mp4_get32(body + 12);
		layout->default_flags = pc_mp4_get32(body + 20);
	}
	if (r < 0 || layout->timescale == 0 || layout->movie_timescale == 0) {
		return -EINVAL;
	}
	return 0;
}

struct track_defaults {
	uint32_t duration, size, flags;
};

static int read_tfhd(const uint8_t *body, size_t size, struct track_defaults *defaults)
{
	if (size < 8) {
		return -EINVAL;
	}
	uint32_t flags = pc_mp4_get32(body) & 0xffffff;
	size_t at = 8; /* version, flags, track */
	at += (flags & 0x01) != 0 ? 8 : 0; /* base data offset */
	at += (flags & 0x02) != 0 ? 4 : 0; /* sample description */
	uint32_t *fields[3] = { &defaults->duration, &defaults->size, &defaults->flags };
	for (unsigned i = 0; i < 3; i++) {
		if ((flags & (0x08u << i)) == 0) {
			continue;
		}
		if (size < at + 4) {
			return -EINVAL;
		}
		*fields[i] = pc_mp4_get32(body + at);
		at += 4;
	}
	return 0;
}

static int read_trun(const uint8_t *body, size_t size, const struct track_defaults *defaults,
	struct pc_mp4_moof *moof)
{
	if (size < 8) {
		return -EINVAL;
	}
	uint32_t flags = pc_mp4_get32(body) & 0xffffff;
	uint32_t n = pc_mp4_get32(body + 4);
	size_t at = 8;
	at += (flags & 0x01) != 0 ? 4 : 0; /* data offset */
	uint32_t first_flags = defaults->flags;
	if ((flags & 0x04) != 0) {
		if (size < at + 4) {
			return -EINVAL;
		}
		first_flags = pc_mp4_get32(body + at);
		at += 4;
	}
	size_t entry = 0;
	for (uint32_t bit = 0x100; bit <= 0x800; bit <<= 1) {
		entry += (flags & bit) != 0 ? 4 : 0;
	}
	if (n == 0 || (entry != 0 && n > (size - (at < size ? at : size)) / entry) ||
		n > SAMPLES_MAX - moof->samples) {
		return -EINVAL;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t sample[3] = { defaults->duration, defaults->size,
			i == 0 ? first_flags : defaults->flags };
		for (unsigned j = 0; j < 3; j++) {
			if ((flags & (0x100u << j)) != 0) {
				sample[j] = pc_mp4_get32(body + at);
				at += 4;
			}
		}
		at += (flags & 0x800) != 0 ? 4 : 0;
		if (moof->samples == 0) {
			moof->key = (sample[2] & SAMPLE_NOT_SYNC) == 0;
		}
		moof->duration += sample[0];
		moof->sample_bytes += sample[1];
		moof->samples++;
	}
	return 0;
}

int pc_mp4_read_moof(const uint8_t *data, size_t size, const struct pc_clip_layout *layout,
	struct pc_mp4_moof *ret_moof)
{
	static const uint32_t mfhd[] = { MOOF, PC_MP4_TYPE('m', 'f', 'h', 'd'), 0 };
	static const uint32_t traf_path[] = { MOOF, TRAF, 0 };
	struct pc_mp4_moof moof = { 0 };
	struct track_defaults defaults = { layout->default_duration, 0, layout->default_flags };
	struct pc_mp4_box traf, box;
	const uint8_t *body;
	if (find_body(data, size, mfhd, 8, &body) < 0 ||
		pc_mp4_find(data, size, traf_path, &traf) < 0) {
		return -EINVAL;
	}
	moof.sequence = pc_mp4_get32(body + 4);
	bool timed = false;
	size_t at = traf.body, end = traf.offset + traf.size;
	int r;
	while ((r = pc_mp4_next(data, end, &at, &box)) == 0) {
		size_t n = box.offset + box.size - box.body;
		body = data + box.body;
		switch (box.type) {
		case PC_MP4_TYPE('t', 'f', 'h', 'd'):
			r = read_tfhd(body, n, &defaults);
			break;
		case PC_MP4_TYPE('t', 'f', 'd', 't'):
			if (n < 8 || (body[0] == 1 && n < 12)) {
				return -EINVAL;
			}
			moof.time = body[0] == 1 ? (int64_t)pc_mp4_get64(body + 4)
						 : (int64_t)pc_mp4_get32(body + 4);
			timed = true;
			break;
		case PC_MP4_TYPE('t', 'r', 'u', 'n'):
			r = read_trun(body, n, &defaults, &moof);
			break;
		default:
			break;
		}
		if (r < 0) {
			return r;
		}
	}
	if (r != -ENOENT || !timed || moof.time < 0 || moof.time > TIME_MAX || moof.samples == 0) {
		return -EINVAL;
	}
	*ret_moof = moof;
	return 0;
}
