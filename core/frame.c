/* core/frame.c - a picture in memory that several consumers may hold; see frame.h. */
#include "core/frame.h"

#include <assert.h>
#include <drm_fourcc.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#define MAX_SIDE 8192
#define MAX_STRIDE 131072

/* How a format lies in memory. Plane 0 is full-size; the others are smaller by 1 << sub_x
 * and 1 << sub_y and have a stride of plane 0's times `stride_num` / 2. */
struct layout {
	uint32_t fourcc;
	uint8_t bytes_per_pixel; /* of plane 0 */
	uint8_t n_planes;
	uint8_t sub_x, sub_y;
	uint8_t stride_num;
};

static const struct layout layouts[] = {
	{ DRM_FORMAT_YUV420, 1, 3, 1, 1, 1 },
	{ DRM_FORMAT_YVU420, 1, 3, 1, 1, 1 },
	{ DRM_FORMAT_NV12, 1, 2, 1, 1, 2 },
	{ DRM_FORMAT_NV21, 1, 2, 1, 1, 2 },
	{ DRM_FORMAT_YUYV, 2, 1, 1, 0, 0 },
	{ DRM_FORMAT_YVYU, 2, 1, 1, 0, 0 },
	{ DRM_FORMAT_UYVY, 2, 1, 1, 0, 0 },
	{ DRM_FORMAT_VYUY, 2, 1, 1, 0, 0 },
	{ DRM_FORMAT_R8, 1, 1, 0, 0, 0 },
	{ DRM_FORMAT_RGB565, 2, 1, 0, 0, 0 },
	{ DRM_FORMAT_RGB888, 3, 1, 0, 0, 0 },
	{ DRM_FORMAT_BGR888, 3, 1, 0, 0, 0 },
	{ DRM_FORMAT_XRGB8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_XBGR8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_ARGB8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_ABGR8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_RGBX8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_BGRX8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_RGBA8888, 4, 1, 0, 0, 0 },
	{ DRM_FORMAT_BGRA8888, 4, 1, 0, 0, 0 },
};

static const struct layout *find_layout(uint32_t fourcc)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (layouts[i].fourcc == fourcc) {
			return &layouts[i];
		}
	}
	return NULL;
}

bool pc_frame_format_equal(const struct pc_frame_format *a, const struct pc_frame_format *b)
{
	return a->fourcc == b->fourcc && a->width == b->width && a->height == b->height &&
	       a->modifier == b->modifier;
}

void pc_frame_format_text(
	const struct pc_frame_format *format, char out[static PC_FRAME_FORMAT_TEXT])
{
	char code[5] = { 0 };
	for (int i = 0; i < 4; i++) {
		char c = (char)((format->fourcc >> (8 * i)) & 0xff);
		code[i] = c > ' ' && c < 0x7f ? c : '?';
	}
	snprintf(out, PC_FRAME_FORMAT_TEXT, "%s %ux%u", code, format->width, format->height);
}

/* The layout of `format`, or NULL where pc_frame_layout() refuses it. */
static const struct layout *check_format(const struct pc_frame_format *format)
{
	const struct layout *layout = find_layout(format->fourcc);
	if (layout == NULL || format->modifier != DRM_FORMAT_MOD_LINEAR || format->width == 0 ||
		format->height == 0 || format->width > MAX_SIDE || format->height > MAX_SIDE ||
		(format->width & ((1u << layout->sub_x) - 1)) != 0 ||
		(format->height & ((1u << layout->sub_y) - 1)) != 0) {
		return NULL;
	}
	return layout;
}

int64_t pc_frame_layout_stride(const struct pc_frame_format *format, uint32_t stride,
	struct pc_frame_plane planes[static PC_FRAME_MAX_PLANES], unsigned *ret_n_planes)
{
	const struct layout *layout = check_format(format);
	if (layout == NULL || stride > MAX_STRIDE ||
		stride < format->width * layout->bytes_per_pixel ||
		stride * layout->stride_num % 2 != 0) {
		return -EINVAL;
	}
	uint32_t offset = 0; /* at most 128 KiB * 8192 * 2: fits */
	for (unsigned i = 0; i < PC_FRAME_MAX_PLANES; i++) {
		planes[i] = (struct pc_frame_plane){ .fd = -1 };
		if (i >= layout->n_planes) {
			continue;
		}
		planes[i].offset = offset;
		planes[i].stride = i == 0 ? stride : stride * layout->stride_num / 2;
		offset += planes[i].stride *
			  (i == 0 ? format->height : format->height >> layout->sub_y);
	}
	*ret_n_planes = layout->n_planes;
	return offset;
}

int64_t pc_frame_layout(const struct pc_frame_format *format, uint32_t align,
	struct pc_frame_plane planes[static PC_FRAME_MAX_PLANES], unsigned *ret_n_planes)
{
	assert(align != 0 && (align & (align - 1)) == 0 && align <= 65536);
	const struct layout *layout = check_format(format);
	if (layout == NULL) {
		return -EINVAL;
	}
	const uint32_t stride =
		(format->width * layout->bytes_per_pixel + align - 1) & ~(align - 1);
	return pc_frame_layout_stride(format, stride, planes, ret_n_planes);
}

void pc_frame_init(struct pc_frame *frame, const struct pc_frame_impl *impl)
{
	assert(impl->release != NULL);
	assert((impl->begin_cpu == NULL) == (impl->end_cpu == NULL));
	frame->impl = impl;
	atomic_init(&frame->refs, 0);
	pthread_mutex_init(&frame->imports_lock, NULL);
	frame->imports = NULL;
}

void pc_frame_publish(struct pc_frame *frame)
{
	unsigned before = atomic_exchange_explicit(&frame->refs, 1, memory_order_relaxed);
	assert(before == 0);
	(void)before;
}

void pc_frame_finish(struct pc_frame *frame)
{
	assert(atomic_load(&frame->refs) == 0);
	for (;;) {
		pthread_mutex_lock(&frame->imports_lock);
		struct pc_frame_import *import = frame->imports;
		frame->imports = import != NULL ? import->next : NULL;
		pthread_mutex_unlock(&frame->imports_lock);
		if (import == NULL) {
			break;
		}
		import->destroy(import);
	}
	pthread_mutex_destroy(&frame->imports_lock);
}

struct pc_frame *pc_frame_ref(struct pc_frame *frame)
{
	unsigned before = atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
	return frame;
}

void pc_frame_unref(struct pc_frame *frame)
{
	if (frame == NULL) {
		return;
	}
	unsigned before = atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1) {
		frame->impl->release(frame);
	}
}

int pc_frame_begin_cpu(struct pc_frame *frame, unsigned access, uint8_t *data[static 4])
{
	assert((access & (PC_FRAME_READ | PC_FRAME_WRITE)) != 0);
	if ((frame->caps & PC_FRAME_CPU) == 0) {
		return -ENOTSUP;
	}
	assert(frame->impl->begin_cpu != NULL);
	return frame->impl->begin_cpu(frame, access, data);
}

void pc_frame_end_cpu(struct pc_frame *frame, unsigned access)
{
	assert((frame->caps & PC_FRAME_CPU) != 0 && frame->impl->end_cpu != NULL);
	frame->impl->end_cpu(frame, access);
}

/* Under imports_lock: where the pointer to `owner`'s import stands, or the list's end. */
static struct pc_frame_import **find_import(struct pc_frame *frame, const void *owner)
{
	struct pc_frame_import **at = &frame->imports;
	while (*at != NULL && (*at)->owner != owner) {
		at = &(*at)->next;
	}
	return at;
}

struct pc_frame_import *pc_frame_import_find(struct pc_frame *frame, const void *owner)
{
	pthread_mutex_lock(&frame->imports_lock);
	struct pc_frame_import *import = *find_import(frame, owner);
	pthread_mutex_unlock(&frame->imports_lock);
	return import;
}

void pc_frame_import_add(struct pc_frame *frame, struct pc_frame_import *import)
{
	assert(import->owner != NULL && import->destroy != NULL);
	pthread_mutex_lock(&frame->imports_lock);
	struct pc_frame_import **at = find_import(frame, import->owner);
	assert(*at == NULL);
	import->next = NULL;
	*at = import;
	pthread_mutex_unlock(&frame->imports_lock);
}

struct pc_frame_import *pc_frame_import_take(struct pc_frame *frame, const void *owner)
{
	pthread_mutex_lock(&frame->imports_lock);
	struct pc_frame_import **at = find_import(frame, owner);
	struct pc_frame_import *import = *at;
	if (import != NULL) {
		*at = import->next;
	}
	pthread_mutex_unlock(&frame->imports_lock);
	return import;
}

void pc_frame_import_remove(struct pc_frame *frame, const void *owner)
{
	struct pc_frame_import *import = pc_frame_import_take(frame, owner);
	if (import != NULL) {
		import->destroy(import);
	}
}
