/* tests/virtual-pi/allocators.c - dma-heap, DRM and encoder buffers of a real kernel.
 *
 * Runs inside the virtual Pi (skips elsewhere), as root: it makes the heap fail and go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <drm_fourcc.h>

#include "core/log.h"
#include "hwaccel/allocator.h"
#include "tests/support/test.h"
#include "v4l2/device.h"
#include "v4l2/import_test.h"

static const struct pc_frame_format hd = { DRM_FORMAT_YUV420, 1280, 720, 0 };
static char why[512];
static char encoder[PC_V4L2_PATH_MAX];

static bool write_word(const char *path, const char *word)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	const bool good = fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word);
	if (fd >= 0) {
		close(fd);
	}
	return good;
}

/* A counter of vpiheap's; -1 where the heap is the kernel's own. */
static int64_t counter(const char *name)
{
	char path[128];
	char line[64] = "";
	snprintf(path, sizeof(path), "/sys/kernel/debug/vpiheap/%s", name);
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return -1;
	}
	const bool good = fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	return good ? strtoll(line, NULL, 0) : -1;
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++) {
		n += fcntl(fd, F_GETFD) >= 0;
	}
	return n;
}

static unsigned mappings(void)
{
	unsigned n = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	test_assert(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL) {
		n += strstr(line, "/dmabuf:") != NULL;
	}
	fclose(maps);
	return n;
}

/* Every byte of every plane, written and read back. */
static void fill_and_check(struct pc_frame *frame)
{
	uint8_t *data[4];
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_WRITE, data), 0);
	for (unsigned p = 0; p < frame->n_planes; p++) {
		const unsigned lines = frame->format.height >> (p > 0);
		memset(data[p], (int)(17 * (p + 1)), (size_t)frame->planes[p].stride * lines);
	}
	pc_frame_end_cpu(frame, PC_FRAME_WRITE);
	test_int(pc_frame_begin_cpu(frame, PC_FRAME_READ, data), 0);
	for (unsigned p = 0; p < frame->n_planes; p++) {
		const size_t size =
			(size_t)frame->planes[p].stride * (frame->format.height >> (p > 0));
		for (size_t i = 0; i < size; i++) {
			test_assert(data[p][i] == 17 * (p + 1));
		}
	}
	pc_frame_end_cpu(frame, PC_FRAME_READ);
}

static int import(const struct pc_frame *frame)
{
	struct pc_v4l2_import_test test = {
		.path = encoder,
		.format = frame->format,
		.n_planes = frame->n_planes,
		.size = (size_t)lseek(frame->planes[0].fd, 0, SEEK_END),
		.fd = frame->planes[0].fd,
	};
	memcpy(test.planes, frame->planes, sizeof(test.planes));
	return pc_v4l2_import_test(&test, why, sizeof(why));
}

static void exercise(struct pc_allocator *allocator, bool imports)
{
	const unsigned before = mappings();
	struct pc_frame_pool *pool;
	test_int(pc_frame_pool_create(allocator, &hd, 4, &pool), 0);
	struct pc_frame *frame = pc_frame_pool_acquire(pool);
	const int r = import(frame);
	printf("   %s: the encoder %s%s\n", pc_allocator_name(allocator),
		r == 0 ? "imports it" : "refuses: ", r == 0 ? "" : why);
	test_assert((r == 0) == imports);
	test_int(mappings(), before); /* none of this took a look */
	fill_and_check(frame);
	test_int(mappings(), before + 1);
	pc_frame_unref(frame);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
	test_int(mappings(), before);
}

static void test_heap(void)
{
	const unsigned fds = open_fds();
	const int64_t live = counter("live_buffers");
	const bool checked = write_word("/sys/module/vpiheap/parameters/check_sync", "Y");
	struct pc_allocator *allocator = NULL;
	test_int(pc_allocator_create_heap(NULL, why, sizeof(why), &allocator), 0);
	exercise(allocator, true);
	if (checked) { /* no touch of memory outside of DMA_BUF_IOCTL_SYNC */
		test_assert(counter("syncs") > 0);
		test_int(counter("unsynced"), 0);
		test_assert(write_word("/sys/module/vpiheap/parameters/check_sync", "N"));
	}
	test_int(counter("live_buffers"), live);
	test_int(open_fds(), fds);
}

static void test_heap_runs_out(void)
{
	if (!write_word("/sys/module/vpiheap/parameters/limit_kib", "4096")) {
		return; /* the kernel's own heap */
	}
	const int64_t live = counter("live_buffers");
	const unsigned fds = open_fds();
	struct pc_allocator *allocator = NULL;
	struct pc_frame_pool *pool = NULL;
	test_int(pc_allocator_create_heap(NULL, why, sizeof(why), &allocator), 0);
	test_int(pc_frame_pool_create(allocator, &hd, 4, &pool), -ENOMEM);
	test_int(counter("live_buffers"), live);
	test_int(pc_frame_pool_create(allocator, &hd, 2, &pool), 0);
	pc_frame_pool_destroy(pool);
	pc_allocator_destroy(allocator);
	test_assert(write_word("/sys/module/vpiheap/parameters/limit_kib", "1"));
	test_int(pc_allocator_create_heap(NULL, why, sizeof(why), &allocator), -ENOMEM);
	test_assert(strstr(why, "linux,cma: Cannot allocate memory") != NULL);
	test_assert(write_word("/sys/module/vpiheap/parameters/limit_kib", "0"));
	test_int(open_fds(), fds);
}

static void test_drm(void)
{
	struct pc_allocator *allocator = NULL;
	const unsigned fds = open_fds();
	test_int(pc_allocator_create_drm(NULL, why, sizeof(why), &allocator), 0);
	exercise(allocator, false); /* vpigem's pages lie anywhere, as vgem's */
	test_int(open_fds(), fds);
}

static void test_expbuf(void)
{
	struct pc_allocator *allocator = NULL;
	const unsigned fds = open_fds();
	test_int(pc_allocator_create_expbuf(encoder, why, sizeof(why), &allocator), 0);
	exercise(allocator, true);
	test_int(pc_allocator_create_expbuf(encoder, why, sizeof(why), &allocator), 0);
	for (unsigned round = 0; round < 50; round++) { /* places are used again */
		struct pc_frame_pool *pool;
		const struct pc_frame_format format = { DRM_FORMAT_YUV420,
			round / 10 % 2 == 0 ? 640 : 1280, 480, 0 };
		test_int(pc_frame_pool_create(allocator, &format, 6, &pool), 0);
		pc_frame_pool_destroy(pool);
	}
	pc_allocator_destroy(allocator);
	test_int(open_fds(), fds);
}

static char said[1024];

static void hear(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
}

static const char *chosen(void)
{
	static char name[16];
	struct pc_allocator *allocator = NULL;
	pc_log_set_hook(hear, NULL);
	test_int(pc_allocator_create_for("auto", &allocator), 0);
	pc_log_set_hook(NULL, NULL);
	snprintf(name, sizeof(name), "%s", pc_allocator_name(allocator));
	pc_allocator_destroy(allocator);
	printf("   %s: %s\n", name, said);
	return name;
}

static void test_choice(void)
{
	const unsigned fds = open_fds();
	test_str(chosen(), "heap");
	test_assert(strstr(said, encoder) != NULL);
	if (write_word("/sys/module/vpiheap/parameters/limit_kib", "1")) {
		test_str(chosen(), "expbuf");
		test_assert(strstr(said, "heap: no contiguous dma-heap") != NULL);
		test_assert(strstr(said, "drm: ") != NULL);
		test_assert(write_word("/sys/module/vpiheap/parameters/limit_kib", "0"));
	}
	test_int(open_fds(), fds);
}

int main(void)
{
	struct pc_v4l2_node node;
	struct pc_allocator *heap = NULL;
	if (pc_v4l2_find(PC_V4L2_ENCODER, 0, V4L2_PIX_FMT_H264, &node) < 0 ||
		pc_allocator_create_heap(NULL, why, sizeof(why), &heap) < 0) {
		test_skip(
			"runs inside the virtual Pi only: %s", why[0] != '\0' ? why : "no encoder");
	}
	pc_allocator_destroy(heap);
	snprintf(encoder, sizeof(encoder), "%s", node.path);
	TEST_RUN(test_heap);
	TEST_RUN(test_heap_runs_out);
	TEST_RUN(test_drm);
	TEST_RUN(test_expbuf);
	TEST_RUN(test_choice);
	return test_end();
}
