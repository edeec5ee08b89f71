/* tests/fuzz/fuzz_clip.c - any bytes as a recording that a crash left.
 *
 * Input: the file. What is not ours is not touched; what was mended once is whole, and is found
 * so again, without another write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/clip_internal.h"
#include "tests/fuzz/fuzz.h"

#define NAME "torn.mp4"

static char folder[64];

static void leave(void)
{
	rmdir(folder);
}

/* In memory where that can be: every input is a file that is synced. */
static int open_folder(void)
{
	static int fd = -1;
	if (fd < 0) {
		const bool shm = access("/dev/shm", W_OK) == 0;
		snprintf(
			folder, sizeof(folder), "%s/petcam-fuzz-XXXXXX", shm ? "/dev/shm" : "/tmp");
		fuzz_assert(mkdtemp(folder) != NULL);
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fuzz_assert(fd >= 0);
		atexit(leave);
	}
	return fd;
}

struct content {
	uint8_t *data;
	size_t size;
};

static struct content read_back(int folder_fd)
{
	struct stat st;
	const int fd = openat(folder_fd, NAME, O_RDONLY | O_CLOEXEC);
	fuzz_assert(fd >= 0 && fstat(fd, &st) == 0 && st.st_size < INT32_MAX);
	struct content content = { malloc((size_t)st.st_size + 1), (size_t)st.st_size };
	fuzz_assert(content.data != NULL);
	fuzz_assert(read(fd, content.data, content.size) == (ssize_t)content.size);
	close(fd);
	return content;
}

static bool same(const struct content *content, const uint8_t *data, size_t size)
{
	return content->size == size && (size == 0 || memcmp(content->data, data, size) == 0);
}

/* Whole once is whole for good. */
static void recover_again(int folder_fd, const struct pc_clip_info *first)
{
	struct content before = read_back(folder_fd);
	enum pc_clip_state state = PC_CLIP_FOREIGN;
	struct pc_clip_info info;
	fuzz_assert(first->bytes == before.size);
	fuzz_assert(pc_clip_recover(folder_fd, NAME, &state, &info) == 0);
	fuzz_assert(state == PC_CLIP_WHOLE);
	fuzz_assert(info.bytes == first->bytes && info.frames == first->frames);
	fuzz_assert(info.duration_ms == first->duration_ms);
	fuzz_assert(info.width == first->width && info.height == first->height);
	struct content after = read_back(folder_fd);
	fuzz_assert(same(&after, before.data, before.size));
	free(before.data);
	free(after.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int folder_fd = open_folder();
	const int fd = openat(folder_fd, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	fuzz_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);

	enum pc_clip_state state = PC_CLIP_FOREIGN;
	struct pc_clip_info info;
	const int r = pc_clip_recover(folder_fd, NAME, &state, &info);
	fuzz_assert(r == 0);
	if (state == PC_CLIP_WHOLE) {
		fuzz_assert(info.frames > 0 && info.duration_ms >= 0);
		recover_again(folder_fd, &info);
	} else {
		struct content content = read_back(folder_fd);
		fuzz_assert(same(&content, data, size));
		free(content.data);
	}
	unlinkat(folder_fd, NAME, 0);
	return 0;
}
