/* tests/unit/hwaccel/test_h264_headers.c - SPS and PPS in front of an access unit. */
#include "hwaccel/h264_headers.h"
#include "tests/support/test.h"

static void test_found(void)
{
	/* AUD, SPS, PPS (3-byte start code), SEI, IDR with a false PPS behind it. */
	static const uint8_t unit[] = { 0, 0, 0, 1, 0x09, 0xf0, 0, 0, 0, 1, 0x67, 0x64, 0x1f, 0xac,
		0, 0, 1, 0x68, 0xee, 0x3c, 0, 0, 0, 1, 0x06, 5, 1, 0x80, 0, 0, 1, 0x65, 0x88, 0, 0,
		1, 0x68, 9 };
	static const uint8_t expected[] = { 0, 0, 0, 1, 0x67, 0x64, 0x1f, 0xac, 0, 0, 0, 1, 0x68,
		0xee, 0x3c };
	struct pc_h264_headers headers = { .size = 0 };
	test_int(pc_h264_headers_scan(&headers, unit, sizeof(unit)), 2);
	test_int(headers.size, sizeof(expected));
	test_int(memcmp(headers.data, expected, sizeof(expected)), 0);

	/* A unit without any leaves them. */
	static const uint8_t slice[] = { 0, 0, 0, 1, 0x65, 0x88, 0x80 };
	test_int(pc_h264_headers_scan(&headers, slice, sizeof(slice)), 0);
	test_int(headers.size, sizeof(expected));
}

static void test_rubbish(void)
{
	struct pc_h264_headers headers = { .size = 0 };
	uint8_t bytes[2000] = { 0 };
	test_int(pc_h264_headers_scan(&headers, bytes, 0), 0);
	/* Every cut of a unit, and one whose SPS is larger than any is. */
	bytes[2] = 1;
	bytes[3] = 0x67;
	for (size_t size = 0; size < 8; size++) {
		test_assert(pc_h264_headers_scan(&headers, bytes, size) <= 1);
	}
	headers.size = 0;
	memset(bytes + 4, 0x55, sizeof(bytes) - 4);
	test_int(pc_h264_headers_scan(&headers, bytes, sizeof(bytes)), 0);
	test_int(headers.size, 0);
	uint32_t state = 1;
	for (int round = 0; round < 20000; round++) {
		for (int i = 0; i < 64; i++) {
			state = state * 1664525 + 1013904223;
			bytes[i] = (uint8_t)((state >> 24) % 10); /* start codes are frequent */
		}
		pc_h264_headers_scan(&headers, bytes, 64);
		test_assert(headers.size <= sizeof(headers.data));
	}
}

static void test_first_slice(void)
{
	static const uint8_t key[] = { 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 9 };
	static const uint8_t sei_and_p[] = { 0, 0, 1, 0x06, 5, 0, 0, 0, 1, 0x41, 9 };
	test_int(pc_h264_first_slice(key, sizeof(key)), PC_H264_IDR);
	test_int(pc_h264_first_slice(key, 12), 0); /* headers alone */
	test_int(pc_h264_first_slice(sei_and_p, sizeof(sei_and_p)), 1);
	test_int(pc_h264_first_slice(key + 15, 1), 0);
	test_int(pc_h264_first_slice(NULL, 0), 0);
}

int main(void)
{
	TEST_RUN(test_found);
	TEST_RUN(test_rubbish);
	TEST_RUN(test_first_slice);
	return test_end();
}
