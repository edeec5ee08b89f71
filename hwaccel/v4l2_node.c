/* hwaccel/v4l2_node.c - the node of a member, and what goes into it; see v4l2_node_internal.h. */
#include "hwaccel/v4l2_node_internal.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <stdio.h>

#include "core/log.h"
#include "v4l2/m2m.h"

static void fourcc_text(uint32_t fourcc, char out[static 5])
{
	for (int i = 0; i < 4; i++) {
		const char c = (char)((fourcc >> (8 * i)) & 0x7f);
		out[i] = c > ' ' && c < 0x7f ? c : '?';
	}
	out[4] = '\0';
}

static int find_any(enum pc_v4l2_role role, uint32_t in, uint32_t out,
	struct pc_v4l2_node *ret_node, char *why, size_t why_size)
{
	const int r = pc_v4l2_find(role, in, out, ret_node);
	if (r == 0) {
		return 0;
	}
	char in_text[5];
	fourcc_text(in, in_text);
	struct pc_v4l2_node other;
	if (r != -ENOMEM && in != 0 && pc_v4l2_find(role, 0, out, &other) == 0) {
		snprintf(why, why_size, "%s (%s) takes no %s", other.path, other.driver, in_text);
	} else if (r == -EACCES) {
		snprintf(why, why_size,
			"no M2M %s among the video nodes that may be opened: permission denied for "
			"others (add the user to group video)",
			pc_v4l2_role_name(role));
	} else {
		snprintf(why, why_size, "there is no M2M %s", pc_v4l2_role_name(role));
	}
	return r;
}

int pc_v4l2_node_find(enum pc_v4l2_role role, const char *device, uint32_t in, uint32_t out,
	struct pc_v4l2_node *ret_node, char *why, size_t why_size)
{
	if (device == NULL || device[0] == '\0') {
		return find_any(role, in, out, ret_node, why, why_size);
	}
	struct pc_v4l2 *handle;
	struct pc_v4l2_node node = { .role = PC_V4L2_OTHER };
	int r = pc_v4l2_open(device, &handle);
	if (r == 0) {
		r = pc_v4l2_identify(handle, &node);
		pc_v4l2_close(handle);
	}
	if (r < 0) {
		snprintf(why, why_size, "%s: %s%s", device, pc_strerror(r),
			r == -EACCES || r == -EPERM ? " (add the user to group video)" : "");
		return r;
	}
	if (node.role != role) {
		snprintf(why, why_size, "%s (%s) is no %s; its role: %s", device, node.driver,
			pc_v4l2_role_name(role), pc_v4l2_role_name(node.role));
		return -ENODEV;
	}
	*ret_node = node;
	return 0;
}

/* 4:2:0 first, interleaved before planar: fewer bytes, and fewer places to fetch them from. */
static int rank(uint32_t fourcc)
{
	static const uint32_t best_first[] = { DRM_FORMAT_NV12, DRM_FORMAT_YUV420, DRM_FORMAT_NV21,
		DRM_FORMAT_YVU420, DRM_FORMAT_YUYV, DRM_FORMAT_UYVY };
	int i = 0;
	while (i < (int)(sizeof(best_first) / sizeof(best_first[0])) && best_first[i] != fourcc) {
		i++;
	}
	return i;
}

static void sort_formats(struct pc_m2m_input_format *formats, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		const struct pc_m2m_input_format format = formats[i];
		unsigned j = i;
		for (; j > 0 && rank(format.fourcc) < rank(formats[j - 1].fourcc); j--) {
			formats[j] = formats[j - 1];
		}
		formats[j] = format;
	}
}

unsigned pc_v4l2_node_inputs(enum pc_v4l2_role role, const char *device, uint32_t out,
	unsigned width, unsigned height, struct pc_input_format *formats, unsigned max,
	bool *ret_dmabuf)
{
	char why[160];
	struct pc_v4l2_node node;
	if (pc_v4l2_node_find(role, device, 0, out, &node, why, sizeof(why)) < 0) {
		return 0;
	}
	struct pc_m2m_input_format found[PC_V4L2_FORMATS_MAX];
	const int n = pc_m2m_input_formats(&node, width, height, found, PC_V4L2_FORMATS_MAX);
	if (n <= 0) {
		return 0;
	}
	sort_formats(found, (unsigned)n);
	unsigned i = 0;
	for (; i < (unsigned)n && i < max; i++) {
		formats[i] = (struct pc_input_format){
			.fourcc = found[i].fourcc,
			.stride_align = found[i].stride_align,
		};
	}
	*ret_dmabuf = true;
	return i;
}
