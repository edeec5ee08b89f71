/* hwaccel/h264_headers.c - finds SPS and PPS; see h264_headers.h. */
#include "hwaccel/h264_headers.h"

#include <string.h>

enum {
	NAL_FIRST_SLICE = 1,
	NAL_LAST_SLICE = 5,
	NAL_SPS = 7,
	NAL_PPS = 8,
};

/* The offset of the next 00 00 01 at or after `at`; `size` when there is none. */
static size_t next_start(const uint8_t *data, size_t size, size_t at)
{
	for (; at + 3 <= size; at++) {
		if (data[at] == 0 && data[at + 1] == 0 && data[at + 2] == 1) {
			return at;
		}
	}
	return size;
}

unsigned pc_h264_headers_scan(struct pc_h264_headers *headers, const uint8_t *data, size_t size)
{
	static const uint8_t start_code[] = { 0, 0, 0, 1 };
	struct pc_h264_headers found = { .size = 0 };
	unsigned n = 0;
	size_t at = next_start(data, size, 0);
	while (at + 3 < size) {
		const size_t nal = at + 3;
		const unsigned type = data[nal] & 0x1f;
		if (type >= NAL_FIRST_SLICE && type <= NAL_LAST_SLICE) {
			break;
		}
		at = next_start(data, size, nal);
		if (type != NAL_SPS && type != NAL_PPS) {
			continue;
		}
		size_t length = at - nal;
		while (length > 1 && data[nal + length - 1] == 0) {
			length--; /* the next start code's zero byte, or padding */
		}
		if (found.size + sizeof(start_code) + length > sizeof(found.data)) {
			break;
		}
		memcpy(found.data + found.size, start_code, sizeof(start_code));
		memcpy(found.data + found.size + sizeof(start_code), data + nal, length);
		found.size += sizeof(start_code) + length;
		n++;
	}
	if (n > 0) {
		*headers = found;
	}
	return n;
}

unsigned pc_h264_first_slice(const uint8_t *data, size_t size)
{
	size_t at = next_start(data, size, 0);
	while (at + 3 < size) {
		const unsigned type = data[at + 3] & 0x1f;
		if (type >= NAL_FIRST_SLICE && type <= NAL_LAST_SLICE) {
			return type;
		}
		at = next_start(data, size, at + 3);
	}
	return 0;
}
