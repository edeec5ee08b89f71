/* petcamd/probe_memory.c - where frame buffers can come from: dma-heaps and DRM nodes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xf86drm.h>

#include "core/log.h"
#include "hwaccel/allocator.h"
#include "petcamd/probe_internal.h"

#define MEMORY_LIMIT_MS 2000
#define PICTURE_BYTES (1280u * 720 * 3 / 2)

/* One buffer the size of a picture, and back. 0 or negative errno. */
static int try_allocate(struct pc_allocator *allocator)
{
	int fd = -1;
	const int r = pc_allocator_dmabuf(allocator, PICTURE_BYTES, &fd);
	if (r == 0) {
		close(fd);
	}
	return r;
}

/* In the child. */
static json_t *ask_heap(const void *data)
{
	const char *path = data;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return json_pack(
			"{s:b, s:o}", "gives", false, "error", pc_probe_open_error(path, -errno));
	}
	close(fd);
	char why[PC_PROBE_TEXT_MAX] = "";
	struct pc_allocator *allocator = NULL;
	int r = pc_allocator_create_heap(path, why, sizeof(why), &allocator);
	if (r == 0) {
		r = try_allocate(allocator);
		snprintf(why, sizeof(why), "%u bytes: %s", PICTURE_BYTES, pc_strerror(r));
		pc_allocator_destroy(allocator);
	}
	return r == 0 ? json_pack("{s:b}", "gives", true)
		      : json_pack("{s:b, s:o}", "gives", false, "error", pc_probe_text(why));
}

/* By name only: what is contiguous cannot be asked of a heap, and is proved by an import. */
static bool named_contiguous(const char *name)
{
	static const char *const known[] = { "linux,cma", "reserved", "vidbuf_cached",
		"default_cma_region" };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(name, known[i]) == 0) {
			return true;
		}
	}
	return false;
}

json_t *pc_probe_heaps(void)
{
	struct pc_probe_name names[PC_PROBE_HEAPS_MAX];
	const unsigned n = pc_probe_list("/dev/dma_heap", "", names, PC_PROBE_HEAPS_MAX);
	json_t *heaps = json_array();
	for (unsigned i = 0; i < n; i++) {
		char path[96];
		snprintf(path, sizeof(path), "/dev/dma_heap/%.63s", names[i].text);
		json_t *heap = pc_probe_ask(MEMORY_LIMIT_MS, ask_heap, path);
		json_object_set_new(heap, "path", pc_probe_text(path));
		json_object_set_new(
			heap, "known_contiguous", json_boolean(named_contiguous(names[i].text)));
		json_array_append_new(heaps, heap);
	}
	return heaps;
}

static json_t *drm_driver(int fd)
{
	drmVersion *version = drmGetVersion(fd);
	if (version == NULL) {
		return NULL;
	}
	json_t *name = pc_probe_textf("%.*s", version->name_len, version->name);
	drmFreeVersion(version);
	return name;
}

static bool has_cap(int fd, uint64_t cap, uint64_t bits)
{
	uint64_t value = 0;
	return drmGetCap(fd, cap, &value) == 0 && (value & bits) == bits;
}

/* In the child. */
static json_t *ask_drm(const void *data)
{
	const char *path = data;
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		return json_pack("{s:o}", "error", pc_probe_open_error(path, -errno));
	}
	/* Who opens a card node first is its master, and in the way of a desktop. */
	drmDropMaster(fd);
	json_t *node = json_object();
	json_object_set_new(node, "driver", drm_driver(fd));
	json_object_set_new(
		node, "dumb_buffers", json_boolean(has_cap(fd, DRM_CAP_DUMB_BUFFER, 1)));
	json_object_set_new(node, "prime_import",
		json_boolean(has_cap(fd, DRM_CAP_PRIME, DRM_PRIME_CAP_IMPORT)));
	json_object_set_new(node, "prime_export",
		json_boolean(has_cap(fd, DRM_CAP_PRIME, DRM_PRIME_CAP_EXPORT)));
	close(fd);
	/* Dumb buffers are the card node's (drm_ioctl.c: drm_ioctl_permit()). */
	if (strstr(path, "renderD") != NULL) {
		json_object_set_new(node, "gives", json_false());
		json_object_set_new(
			node, "why_not", json_string("a render node; its card node makes buffers"));
		return node;
	}
	char why[PC_PROBE_TEXT_MAX] = "";
	struct pc_allocator *allocator = NULL;
	int r = pc_allocator_create_drm(path, why, sizeof(why), &allocator);
	if (r == 0) {
		r = try_allocate(allocator);
		snprintf(why, sizeof(why), "%u bytes: %s", PICTURE_BYTES, pc_strerror(r));
		pc_allocator_destroy(allocator);
	}
	json_object_set_new(node, "gives", json_boolean(r == 0));
	if (r < 0) {
		json_object_set_new(node, "why_not", pc_probe_text(why));
	}
	return node;
}

json_t *pc_probe_drm(void)
{
	struct pc_probe_name names[PC_PROBE_DRM_MAX];
	const unsigned n = pc_probe_list("/dev/dri", "", names, PC_PROBE_DRM_MAX);
	json_t *nodes = json_array();
	for (unsigned i = 0; i < n; i++) {
		if (strncmp(names[i].text, "card", 4) != 0 &&
			strncmp(names[i].text, "renderD", 7) != 0) {
			continue;
		}
		char path[96];
		snprintf(path, sizeof(path), "/dev/dri/%.63s", names[i].text);
		json_t *node = pc_probe_ask(MEMORY_LIMIT_MS, ask_drm, path);
		json_object_set_new(node, "path", pc_probe_text(path));
		json_array_append_new(nodes, node);
	}
	return nodes;
}
