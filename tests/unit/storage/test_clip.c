/* tests/unit/storage/test_clip.c - the file: header, index, and what is left of a torn one. */
#include "storage/clip_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/test.h"
#include "tests/unit/storage/root.h"
#include "tests/unit/storage/stream.h"

#define PATH "recordings/front/2026/11/22/20261122T144931042Z_motion.mp4"

static struct stream stream;
static const char *root;
static int root_fd;

/* A clip of the stream's fragments [from, to], numbers from 1; NULL `info`: left open. */
static void write_clip(uint64_t from, uint64_t to, struct pc_clip_info *info)
{
	struct pc_fragment *list[256];
	unsigned n = 0;
	struct pc_clip *clip;
	for (uint64_t number = from; number <= to; number++) {
		test_int(pc_window_get(stream.window, number, 0, &list[n++]), 0);
	}
	(void)unlinkat(root_fd, PATH, 0);
	test_int(pc_clip_create(root_fd, PATH, list[0]->init, 8, &clip), 0);
	test_int(pc_clip_append(clip, list, n), 0);
	if (info != NULL) {
		test_int(pc_clip_finish(clip, info), 0);
	} else {
		test_int(pc_clip_sync(clip), 0);
	}
	pc_clip_destroy(clip);
	for (unsigned i = 0; i < n; i++) {
		pc_fragment_unref(list[i]);
	}
}

static off_t file_size(void)
{
	struct stat st;
	test_int(fstatat(root_fd, PATH, &st, 0), 0);
	return st.st_size;
}

static void overwrite(off_t at, const void *data, size_t n)
{
	int fd = openat(root_fd, PATH, O_RDWR | O_CLOEXEC);
	test_int(pwrite(fd, data, n, at), (int64_t)n);
	(void)close(fd);
}

static void cut(off_t size)
{
	test_int(truncate(root_path(root, PATH), size), 0);
}

static enum pc_clip_state recover(struct pc_clip_info *info)
{
	enum pc_clip_state state = (enum pc_clip_state) - 1;
	test_int(pc_clip_recover(root_fd, PATH, &state, info), 0);
	return state;
}

static void test_written_and_indexed(void)
{
	struct pc_clip_info info, again;
	write_clip(11, 95, &info);
	struct clip_content clip = clip_check(&stream, root_path(root, PATH));
	test_int(clip.first, 10);
	test_int(clip.frames, 85);
	test_int(clip.duration_ms, 8500);
	test_int(info.duration_ms, 8500);
	test_int(info.frames, 85);
	test_int(info.width, 256);
	test_int(info.height, 144);
	test_int((int64_t)info.bytes, file_size());
	test_assert(clip.indexed);
	/* A finished file is not touched. */
	struct stat before, after;
	test_int(fstatat(root_fd, PATH, &before, 0), 0);
	test_int(recover(&again), PC_CLIP_WHOLE);
	test_int(fstatat(root_fd, PATH, &after, 0), 0);
	test_int(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	test_int((int64_t)again.bytes, (int64_t)info.bytes);
	test_int((int64_t)again.frames, 85);
	test_int(again.duration_ms, 8500);
	test_int(again.width, 256);
}

static void test_name_is_never_taken_over(void)
{
	struct pc_clip *clip;
	struct pc_fragment *key = pc_window_newest_key(stream.window);
	test_int(pc_clip_create(root_fd, PATH, key->init, 8, &clip), -EEXIST);
	struct pc_init *bad = pc_init_new((const uint8_t *)"\0\0\0\x08nope", 8);
	test_int(pc_clip_create(root_fd, "recordings/x.mp4", bad, 8, &clip), -EINVAL);
	test_int(faccessat(root_fd, "recordings/x.mp4", F_OK, 0), -1);
	pc_init_unref(bad);
	pc_fragment_unref(key);
}

/* More key frames than the kept space has seek points: it is thinned out, not left out. */
static void test_more_keys_than_places(void)
{
	enum { KEYS = 3000 };
	struct pc_fragment *key;
	struct pc_clip *clip;
	struct pc_clip_info info;
	test_int(pc_window_get(stream.window, 1, 0, &key), 0);
	(void)unlinkat(root_fd, PATH, 0);
	test_int(pc_clip_create(root_fd, PATH, key->init, 8, &clip), 0);
	uint8_t *data;
	struct pc_fragment_pool *pool;
	test_int(pc_fragment_pool_create(1 << 20, &pool), 0);
	for (unsigned i = 0; i < KEYS; i++) {
		struct pc_fragment *f = pc_fragment_new(pool, key->init, key->size, &data);
		memcpy(data, key->data, key->size);
		f->mdat_offset = key->mdat_offset;
		f->tfdt_offset = key->tfdt_offset;
		f->mfhd_offset = key->mfhd_offset;
		f->key = true;
		f->duration = key->duration;
		f->decode_time = key->decode_time + i * key->duration;
		test_int(pc_clip_append(clip, &f, 1), 0);
		pc_fragment_unref(f);
	}
	test_int(pc_clip_finish(clip, &info), 0);
	pc_clip_destroy(clip);
	pc_fragment_unref(key);
	pc_fragment_pool_destroy(pool);
	test_int(info.duration_ms, KEYS * 100);
	uint8_t head[16384];
	int fd = openat(root_fd, PATH, O_RDONLY | O_CLOEXEC);
	test_int(pread(fd, head, sizeof(head), 0), sizeof(head));
	(void)close(fd);
	static const uint32_t path[] = { PC_MP4_TYPE('s', 'i', 'd', 'x'), 0 };
	struct pc_mp4_box sidx, moof;
	test_int(pc_mp4_find(head, sizeof(head), path, &sidx), 0);
	unsigned n = pc_mp4_get32(head + sidx.body + 20);
	test_assert(n > 400 && n < KEYS);
	/* The points cover all of the time and all of the bytes, and the first is a moof. */
	uint64_t bytes = 0, time = 0;
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *entry = head + sidx.body + 24 + (size_t)i * 12;
		bytes += pc_mp4_get32(entry);
		time += pc_mp4_get32(entry + 4);
	}
	size_t at = sidx.offset + sidx.size + pc_mp4_get32(head + sidx.body + 16);
	test_int((int64_t)time, (int64_t)KEYS * PC_MEDIA_TIMESCALE / STREAM_FPS);
	size_t next = at;
	test_int(pc_mp4_next(head, sizeof(head), &next, &moof), 0);
	test_int(moof.type, PC_MP4_TYPE('m', 'o', 'o', 'f'));
	test_assert(at + bytes < info.bytes);
	test_int((int64_t)(info.bytes - at - bytes), 8 + 24 + KEYS * 19 + 16); /* the mfra */
}

/* Cut anywhere: what is whole is kept, and the file is a finished one. */
static void test_torn_anywhere(void)
{
	struct pc_clip_info info;
	off_t size;
	unsigned last = 41;
	write_clip(1, 40, NULL);
	size = file_size();
	for (off_t at = size; at >= 0; at -= at > 8192 ? 331 : 97) {
		write_clip(1, 40, NULL);
		test_int(file_size(), size);
		cut(at);
		enum pc_clip_state state = recover(&info);
		if (state == PC_CLIP_EMPTY || state == PC_CLIP_FOREIGN) {
			/* A header that is cut within the first sector cannot be told. */
			test_assert(state == PC_CLIP_EMPTY ? last <= 1 || at <= 8192 : at < 512);
			continue;
		}
		test_int(state, PC_CLIP_WHOLE);
		test_assert(info.frames <= last);
		last = (unsigned)info.frames;
		struct clip_content clip = clip_check(&stream, root_path(root, PATH));
		test_int(clip.frames, last);
		test_int(clip.duration_ms, last * 100);
		test_assert(clip.indexed);
		test_int((int64_t)info.bytes, file_size());
	}
	test_int(last, 1);
}

static void test_torn_index(void)
{
	struct pc_clip_info info;
	write_clip(1, 40, &info);
	off_t size = file_size();
	/* Killed while the mfra was written. */
	for (off_t less = 1; less < 100; less += 7) {
		write_clip(1, 40, &info);
		cut(size - less);
		test_int(recover(&info), PC_CLIP_WHOLE);
		test_int((int64_t)info.frames, 40);
		test_assert(clip_check(&stream, root_path(root, PATH)).indexed);
	}
	/* The kept space is rubbish: half of an index. */
	static const uint8_t rubbish[4096] = { 0, 0, 0xff, 1, 's', 'i', 'd', 'x', 7 };
	write_clip(1, 40, NULL);
	overwrite(2000, rubbish, sizeof(rubbish));
	test_int(recover(&info), PC_CLIP_WHOLE);
	test_int((int64_t)info.frames, 40);
}

/* What a power cut leaves: the size is there, pages of the data are not. */
static void test_lost_pages(void)
{
	struct pc_clip_info info;
	static const uint8_t zeros[4096];
	write_clip(1, 40, NULL);
	off_t size = file_size();
	for (off_t page = (size - 1) / 4096 * 4096; page >= 8192; page -= 4096) {
		write_clip(1, 40, NULL);
		overwrite(page, zeros, (size_t)(size - page < 4096 ? size - page : 4096));
		enum pc_clip_state state = recover(&info);
		if (page == 8192) {
			test_int(state, PC_CLIP_EMPTY);
			continue;
		}
		test_int(state, PC_CLIP_WHOLE);
		test_assert((off_t)info.bytes < page + 4096);
		test_int(clip_check(&stream, root_path(root, PATH)).frames, (int64_t)info.frames);
	}
	/* And a tail of zeros behind what was written. */
	write_clip(1, 40, NULL);
	cut(size + 100000);
	test_int(recover(&info), PC_CLIP_WHOLE);
	test_int((int64_t)info.frames, 40);
	test_int((int64_t)info.bytes, file_size());
}

/* Blocks of an older recording behind the last frame. */
static void test_stale_fragments(void)
{
	struct pc_clip_info info;
	uint8_t old[20000];
	write_clip(21, 60, NULL);
	int fd = openat(root_fd, PATH, O_RDONLY | O_CLOEXEC);
	ssize_t n = pread(fd, old, sizeof(old), 8192);
	(void)close(fd);
	write_clip(1, 20, NULL);
	overwrite(file_size(), old, (size_t)n);
	test_int(recover(&info), PC_CLIP_WHOLE);
	test_int((int64_t)info.frames, 20);
}

static void put_file(const void *data, size_t n)
{
	(void)unlinkat(root_fd, PATH, 0);
	int fd = openat(root_fd, PATH, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	test_int(write(fd, data, n), (int64_t)n);
	(void)close(fd);
}

static void test_foreign_files(void)
{
	struct pc_clip_info info;
	static const char text[] = "a diary, with a name like one of ours";
	put_file(text, sizeof(text));
	test_int(recover(&info), PC_CLIP_FOREIGN);
	test_int(file_size(), sizeof(text));
	put_file(text, 0);
	test_int(recover(&info), PC_CLIP_EMPTY);
	/* An mp4 that another program cut from our stream: taken as it is if it is whole. */
	struct pc_fragment *f;
	uint8_t data[65536];
	size_t n = 0;
	for (uint64_t number = 1; number <= 10; number++) {
		test_int(pc_window_get(stream.window, number, 0, &f), 0);
		if (n == 0) {
			memcpy(data, f->init->data, f->init->size);
			n = f->init->size;
		}
		memcpy(data + n, f->data, f->size);
		n += f->size;
		pc_fragment_unref(f);
	}
	put_file(data, n);
	test_int(recover(&info), PC_CLIP_WHOLE);
	test_int((int64_t)info.frames, 10);
	test_int((int64_t)info.bytes, (int64_t)n);
	test_int(file_size(), (int64_t)n);
	put_file(data, n - 3);
	test_int(recover(&info), PC_CLIP_FOREIGN);
	test_int(file_size(), (int64_t)n - 3);
	/* Neither a folder nor a link is followed. */
	enum pc_clip_state state;
	(void)unlinkat(root_fd, PATH, 0);
	test_int(symlinkat("/etc/hostname", root_fd, PATH), 0);
	test_int(pc_clip_recover(root_fd, PATH, &state, &info), -ELOOP);
	(void)unlinkat(root_fd, PATH, 0);
	test_int(pc_clip_recover(root_fd, PATH, &state, &info), -ENOENT);
}

/* Random damage anywhere must neither crash nor loop, and what is called whole decodes. */
static void test_random_damage(void)
{
	struct pc_clip_info info;
	uint32_t random = 12345;
	for (unsigned i = 0; i < 300; i++) {
		write_clip(1, 30, i % 2 == 0 ? NULL : &info);
		off_t size = file_size();
		for (unsigned n = 0; n < 1 + i % 5; n++) {
			random = random * 1664525 + 1013904223;
			uint8_t byte = (uint8_t)(random >> 24);
			overwrite((off_t)(random >> 4) % size, &byte, 1);
		}
		(void)recover(&info);
	}
}

int main(void)
{
	stream_open(&stream, pc_clock_now_ns(), 60);
	stream_push(&stream, 100);
	root = root_make();
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	TEST_RUN(test_written_and_indexed);
	TEST_RUN(test_name_is_never_taken_over);
	TEST_RUN(test_more_keys_than_places);
	TEST_RUN(test_torn_anywhere);
	TEST_RUN(test_torn_index);
	TEST_RUN(test_lost_pages);
	TEST_RUN(test_stale_fragments);
	TEST_RUN(test_foreign_files);
	TEST_RUN(test_random_damage);
	stream_close(&stream);
	(void)close(root_fd);
	root_remove(root);
	return test_end();
}
