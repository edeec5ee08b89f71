/* tests/fuzz/seeds.c - writes the kept inputs that only our own encoder and muxer can make.
 *
 * Argument: the folder of the corpora. Run it when what is written has changed its form.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/muxer.h"
#include "storage/clip_internal.h"
#include "tests/support/test.h"
#include "tests/unit/core/encode.h"

#define WIDTH 64
#define HEIGHT 48
#define FRAMES 6
#define KEYS 3 /* every third frame is one */

static int corpus_fd;

static void save(const char *path, const void *data, size_t size)
{
	const int fd = openat(corpus_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	test_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

struct buffer {
	size_t size;
	uint8_t data[65536];
};

static void put(struct buffer *buffer, const void *data, size_t size)
{
	test_assert(size <= sizeof(buffer->data) - buffer->size);
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
}

static void put_number(struct buffer *buffer, uint64_t value, unsigned n)
{
	for (unsigned i = n; i-- > 0;) {
		const uint8_t byte = (uint8_t)(value >> 8 * i);
		put(buffer, &byte, 1);
	}
}

static void put_packet(struct buffer *buffer, const struct pc_packet *packet)
{
	put_number(buffer, packet->key, 1);
	put_number(buffer, 33, 1);
	put_number(buffer, packet->size, 2);
	put(buffer, packet->data, packet->size);
}

/* For the muxer, a stream, and the same with one that has other parameters behind it; for the
 * file source, the bare stream. */
static void make_packets(struct pc_fragment *fragments[FRAMES], struct pc_muxer *muxer)
{
	static struct buffer packets, stream;
	struct encode *encode = encode_open(WIDTH, HEIGHT, 0);
	for (unsigned i = 0; i < FRAMES; i++) {
		encode_draw(encode, i);
		struct pc_packet packet = encode_frame(encode, i, i * 33333333, i % KEYS == 0);
		put_packet(&packets, &packet);
		put(&stream, packet.data, packet.size);
		test_int(pc_muxer_write(muxer, &packet, &fragments[i]), 0);
		if (i == 0) {
			save("muxer/key", packets.data, packets.size);
		}
	}
	encode_close(encode);
	save("muxer/stream", packets.data, packets.size);
	save("file/stream.h264", stream.data, stream.size);
	encode = encode_open_with(WIDTH, HEIGHT, 0, "8x8dct=1:cabac=1");
	for (unsigned i = 0; i < 2; i++) {
		encode_draw(encode, i);
		struct pc_packet packet = encode_frame(encode, i, i * 33333333, i == 0);
		put_packet(&packets, &packet);
	}
	encode_close(encode);
	save("muxer/two-epochs", packets.data, packets.size);
}

static void make_still(const struct pc_fragment *fragment)
{
	static struct buffer still;
	put_number(&still, 32, 2);
	put_number(&still, fragment->init->size, 2);
	put_number(&still, fragment->mdat_offset, 2);
	put(&still, fragment->init->data, fragment->init->size);
	put(&still, fragment->data, fragment->size);
	save("still/key", still.data, still.size);
}

static size_t read_file(const char *path, struct buffer *buffer)
{
	const int fd = openat(corpus_fd, path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = read(fd, buffer->data, sizeof(buffer->data));
	test_assert(n > 0 && (size_t)n < sizeof(buffer->data));
	close(fd);
	buffer->size = (size_t)n;
	return buffer->size;
}

/* A recording: finished, as a crash leaves it, and torn. */
static void make_clips(struct pc_fragment *const fragments[FRAMES])
{
	static struct buffer file;
	struct pc_clip *clip;
	struct pc_clip_info info;
	(void)unlinkat(corpus_fd, "clip/finished", 0);
	test_int(pc_clip_create(corpus_fd, "clip/finished", fragments[0]->init, 8, &clip), 0);
	test_int(pc_clip_append(clip, fragments, FRAMES), 0);
	test_int(pc_clip_sync(clip), 0);
	read_file("clip/finished", &file);
	save("clip/unfinished", file.data, file.size);
	save("clip/torn", file.data, file.size - 100);
	memset(file.data + file.size - 64, 0, 64);
	save("clip/zeros", file.data, file.size);
	test_int(pc_clip_finish(clip, &info), 0);
	pc_clip_destroy(clip);
	read_file("clip/finished", &file);
	save("file/clip.mp4", file.data, file.size);
}

/* A stream as others make it: init segment and fragments. */
static void make_foreign(struct pc_fragment *const fragments[FRAMES])
{
	static struct buffer file;
	put(&file, fragments[0]->init->data, fragments[0]->init->size);
	for (unsigned i = 0; i < KEYS; i++) {
		put(&file, fragments[i]->data, fragments[i]->size);
	}
	save("clip/foreign", file.data, file.size);
}

int main(int argc, char **argv)
{
	static const char *const folders[] = { "muxer", "still", "clip", "file" };
	test_assert(argc == 2);
	corpus_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_assert(corpus_fd >= 0);
	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		(void)mkdirat(corpus_fd, folders[i], 0755);
	}
	struct pc_fragment_pool *pool;
	struct pc_muxer *muxer;
	test_int(pc_fragment_pool_create(1 << 20, &pool), 0);
	const struct pc_muxer_config config = {
		.pool = pool,
		.width = WIDTH,
		.height = HEIGHT,
		.frame_duration = PC_MEDIA_TIMESCALE / 30,
		.first_epoch = 1,
		.first_number = 1,
	};
	test_int(pc_muxer_create(&config, &muxer), 0);
	struct pc_fragment *fragments[FRAMES] = { 0 };
	make_packets(fragments, muxer);
	make_still(fragments[0]);
	make_clips(fragments);
	make_foreign(fragments);
	for (unsigned i = 0; i < FRAMES; i++) {
		pc_fragment_unref(fragments[i]);
	}
	pc_muxer_destroy(muxer);
	pc_fragment_pool_destroy(pool);
	close(corpus_fd);
	return 0;
}
