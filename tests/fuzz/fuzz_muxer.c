/* tests/fuzz/fuzz_muxer.c - any bytes as the encoder's packets.
 *
 * Input: packets, each a flag (1 byte; 1: "key"), milliseconds since the one before (1), its size
 * (2), its bytes. Every fragment that comes out is read by what reads recordings.
 */
#include <errno.h>

#include "core/clock.h"
#include "core/h264_internal.h"
#include "core/muxer.h"
#include "storage/clip_internal.h"
#include "tests/fuzz/fuzz.h"

#define POOL_BYTES (1 << 20)
#define PACKETS_MAX 64

struct run {
	struct pc_muxer *muxer;
	const struct pc_init *init; /* the last one's; only to compare */
	uint32_t epoch;
	uint64_t number;
	int64_t decode_time;
	struct pc_clip_layout layout;
};

static void check_init(struct run *run, const struct pc_init *init)
{
	run->layout = (struct pc_clip_layout){ 0 };
	fuzz_assert(init->epoch == run->epoch + 1);
	fuzz_assert(strncmp(init->codec, "avc1.", 5) == 0 && strlen(init->codec) == 11);
	fuzz_assert(pc_mp4_read_moov(init->data, init->size, &run->layout) == 0);
	fuzz_assert(run->layout.timescale == PC_MEDIA_TIMESCALE);
	fuzz_assert(run->layout.width == 64 && run->layout.height == 48);
	run->epoch = init->epoch;
	run->init = init;
}

static void check_sample(const uint8_t *data, size_t size)
{
	size_t at = 0;
	while (at < size) {
		fuzz_assert(size - at >= 5);
		const size_t n = pc_mp4_get32(data + at);
		fuzz_assert(n > 0 && n <= size - at - 4);
		at += 4 + n;
	}
}

static void check_fragment(struct run *run, const struct pc_fragment *fragment)
{
	if (fragment->init != run->init || fragment->init->epoch != run->epoch) {
		fuzz_assert(fragment->key);
		check_init(run, fragment->init);
	}
	fuzz_assert(fragment->number == run->number + 1);
	fuzz_assert(fragment->decode_time > run->decode_time && fragment->duration > 0);
	run->number = fragment->number;
	run->decode_time = fragment->decode_time;

	const size_t moof = fragment->mdat_offset;
	fuzz_assert(moof + 8 <= fragment->size && pc_mp4_get32(fragment->data) == moof);
	fuzz_assert(pc_mp4_get32(fragment->data + moof) == fragment->size - moof);
	struct pc_mp4_moof read;
	fuzz_assert(pc_mp4_read_moof(fragment->data, moof, &run->layout, &read) == 0);
	fuzz_assert(read.samples == 1 && read.sample_bytes == fragment->size - moof - 8);
	fuzz_assert(read.time == fragment->decode_time && read.key == fragment->key);
	fuzz_assert((int64_t)read.duration == fragment->duration);
	fuzz_assert(read.sequence == (uint32_t)fragment->number);
	check_sample(fragment->data + moof + 8, fragment->size - moof - 8);
}

static void write_packet(struct run *run, const struct pc_packet *packet)
{
	struct pc_fragment *fragment = NULL;
	const int r = pc_muxer_write(run->muxer, packet, &fragment);
	if (r == 0) {
		fuzz_assert(fragment != NULL);
		check_fragment(run, fragment);
		pc_fragment_unref(fragment);
		return;
	}
	fuzz_assert(fragment == NULL);
	fuzz_assert(r == -EAGAIN || r == -EINVAL || r == -EIO);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run run = { .decode_time = -1 };
	struct pc_fragment_pool *pool;
	fuzz_assert(pc_fragment_pool_create(POOL_BYTES, &pool) == 0);
	const struct pc_muxer_config config = {
		.pool = pool,
		.width = 64,
		.height = 48,
		.frame_duration = PC_MEDIA_TIMESCALE / 30,
		.base_ns = PC_NS_PER_S,
		.first_epoch = 1,
		.first_number = 1,
	};
	fuzz_assert(pc_muxer_create(&config, &run.muxer) == 0);

	struct fuzz_input input = fuzz_begin(data, size);
	int64_t now_ns = config.base_ns;
	for (unsigned i = 0; i < PACKETS_MAX && input.left > 0; i++) {
		const uint64_t flags = fuzz_number(&input, 1);
		now_ns += (int64_t)fuzz_number(&input, 1) * PC_NS_PER_MS;
		size_t length = fuzz_number(&input, 2);
		const uint8_t *bytes = fuzz_bytes(&input, length, &length);
		uint8_t *copy = fuzz_copy(bytes, length);
		const struct pc_packet packet = {
			.data = copy,
			.size = length,
			.key = (flags & 1) != 0,
			.sequence = i,
			.capture_ns = now_ns,
		};
		write_packet(&run, &packet);
		free(copy);
	}
	pc_muxer_destroy(run.muxer);
	pc_fragment_pool_destroy(pool);
	return 0;
}
