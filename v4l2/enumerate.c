/* v4l2/enumerate.c - which nodes there are, and what each can do; see device.h. */
#include "v4l2/device.h"

#include <dirent.h>
#include <drm_fourcc.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* V4L2 names packed formats in the order of their bytes in memory, DRM by the bits of a
 * little-endian word. Where several V4L2 formats are one DRM format, the first is
 * from_drm()'s answer. */
static const struct {
	uint32_t v4l2;
	uint32_t drm;
} fourccs[] = {
	{ V4L2_PIX_FMT_YUV420, DRM_FORMAT_YUV420 },
	{ V4L2_PIX_FMT_YVU420, DRM_FORMAT_YVU420 },
	{ V4L2_PIX_FMT_NV12, DRM_FORMAT_NV12 },
	{ V4L2_PIX_FMT_NV21, DRM_FORMAT_NV21 },
	{ V4L2_PIX_FMT_YUYV, DRM_FORMAT_YUYV },
	{ V4L2_PIX_FMT_UYVY, DRM_FORMAT_UYVY },
	{ V4L2_PIX_FMT_YVYU, DRM_FORMAT_YVYU },
	{ V4L2_PIX_FMT_VYUY, DRM_FORMAT_VYUY },
	{ V4L2_PIX_FMT_GREY, DRM_FORMAT_R8 },
	{ V4L2_PIX_FMT_RGB24, DRM_FORMAT_BGR888 }, /* bytes R, G, B */
	{ V4L2_PIX_FMT_BGR24, DRM_FORMAT_RGB888 }, /* bytes B, G, R */
	{ V4L2_PIX_FMT_RGB565, DRM_FORMAT_RGB565 },
	{ V4L2_PIX_FMT_XBGR32, DRM_FORMAT_XRGB8888 }, /* bytes B, G, R, X */
	{ V4L2_PIX_FMT_ABGR32, DRM_FORMAT_ARGB8888 }, /* bytes B, G, R, A */
	{ V4L2_PIX_FMT_RGBX32, DRM_FORMAT_XBGR8888 }, /* bytes R, G, B, X */
	{ V4L2_PIX_FMT_RGBA32, DRM_FORMAT_ABGR8888 }, /* bytes R, G, B, A */
	{ V4L2_PIX_FMT_XRGB32, DRM_FORMAT_BGRX8888 }, /* bytes X, R, G, B */
	{ V4L2_PIX_FMT_ARGB32, DRM_FORMAT_BGRA8888 }, /* bytes A, R, G, B */
	{ V4L2_PIX_FMT_BGRX32, DRM_FORMAT_RGBX8888 }, /* bytes X, B, G, R */
	{ V4L2_PIX_FMT_BGRA32, DRM_FORMAT_RGBA8888 }, /* bytes A, B, G, R */
	{ V4L2_PIX_FMT_BGR32, DRM_FORMAT_XRGB8888 }, /* the older name of XBGR32 */
	{ V4L2_PIX_FMT_RGB32, DRM_FORMAT_BGRX8888 }, /* the older name of XRGB32 */
	{ V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_MJPEG },
	{ V4L2_PIX_FMT_JPEG, V4L2_PIX_FMT_MJPEG },
};
#define N_FOURCCS (sizeof(fourccs) / sizeof(fourccs[0]))

uint32_t pc_v4l2_to_drm(uint32_t pixelformat)
{
	for (size_t i = 0; i < N_FOURCCS; i++) {
		if (fourccs[i].v4l2 == pixelformat) {
			return fourccs[i].drm;
		}
	}
	return 0;
}

uint32_t pc_v4l2_from_drm(uint32_t fourcc)
{
	for (size_t i = 0; i < N_FOURCCS; i++) {
		if (fourccs[i].drm == fourcc) {
			return fourccs[i].v4l2;
		}
	}
	return 0;
}

bool pc_v4l2_is_jpeg(uint32_t pixelformat)
{
	return pixelformat == V4L2_PIX_FMT_MJPEG || pixelformat == V4L2_PIX_FMT_JPEG;
}

const char *pc_v4l2_role_name(enum pc_v4l2_role role)
{
	switch (role) {
	case PC_V4L2_CAMERA:
		return "camera";
	case PC_V4L2_ENCODER:
		return "encoder";
	case PC_V4L2_DECODER:
		return "decoder";
	case PC_V4L2_SCALER:
		return "scaler";
	case PC_V4L2_OTHER:
		break;
	}
	return "other device";
}

/* One queue's formats. */
struct format_list {
	unsigned n;
	uint32_t pixelformats[PC_V4L2_FORMATS_MAX];
	bool emulated[PC_V4L2_FORMATS_MAX];
	unsigned n_raw, n_compressed; /* all that the device named, the list's limit aside */
};

/* An ill-behaved driver may go on for ever. */
#define ENUMERATED_MAX 256

static void list_formats(struct pc_v4l2 *device, uint32_t type, struct format_list *ret_list)
{
	struct format_list list = { 0 };
	for (uint32_t i = 0; i < ENUMERATED_MAX; i++) {
		struct v4l2_fmtdesc desc = { .index = i, .type = type };
		if (pc_v4l2_ioctl(device, VIDIOC_ENUM_FMT, &desc) < 0) {
			break;
		}
		const bool compressed = (desc.flags & V4L2_FMT_FLAG_COMPRESSED) != 0;
		*(compressed ? &list.n_compressed : &list.n_raw) += 1;
		if (list.n < PC_V4L2_FORMATS_MAX) {
			list.pixelformats[list.n] = desc.pixelformat;
			list.emulated[list.n] = (desc.flags & V4L2_FMT_FLAG_EMULATED) != 0;
			list.n++;
		}
	}
	*ret_list = list;
}

static bool lists(const uint32_t *formats, unsigned n, uint32_t pixelformat)
{
	for (unsigned i = 0; i < n; i++) {
		if (formats[i] == pixelformat) {
			return true;
		}
	}
	return false;
}

static bool is_m2m(uint32_t caps)
{
	const uint32_t in = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE;
	const uint32_t out = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE;
	return (caps & (V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE)) != 0 ||
	       ((caps & in) != 0 && (caps & out) != 0); /* as older drivers say it */
}

static enum pc_v4l2_role m2m_role(const struct pc_v4l2_node *node, const struct format_list *in,
	const struct format_list *out)
{
	if (in->n_raw > 0 && lists(node->out, node->n_out, V4L2_PIX_FMT_H264)) {
		return PC_V4L2_ENCODER;
	}
	if (in->n_compressed > 0 && out->n_raw > 0) {
		return PC_V4L2_DECODER;
	}
	/* The Pi's deinterlacer is raw in, raw out as well, and scales nothing: bcm2835-codec
	 * names its nodes after their roles (bcm2835-v4l2-codec.c, bcm2835_codec_create()). */
	if (in->n_raw > 0 && in->n_compressed == 0 && out->n_raw > 0 && out->n_compressed == 0 &&
		strstr(node->card, "image_fx") == NULL) {
		return PC_V4L2_SCALER;
	}
	return PC_V4L2_OTHER;
}

static bool is_camera(const struct pc_v4l2_node *node)
{
	/* The Pi's ISP shows its two outputs as capture nodes; libcamera drives them, and
	 * alone they give nothing. */
	return (node->caps & (V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE)) != 0 &&
	       (node->caps & V4L2_CAP_STREAMING) != 0 && strcmp(node->driver, "bcm2835-isp") != 0;
}

/* A camera's name is what its maker wrote into it, and goes into logs and answers: nothing
 * but printable ASCII, so that no line can be forged and no character is cut in half. */
static void copy_name(char *to, size_t size, const uint8_t *from)
{
	size_t i = 0;
	for (; i + 1 < size && from[i] != '\0'; i++) {
		to[i] = from[i] >= 0x20 && from[i] <= 0x7e ? (char)from[i] : '?';
	}
	to[i] = '\0';
}

int pc_v4l2_identify(struct pc_v4l2 *device, struct pc_v4l2_node *ret_node)
{
	struct v4l2_capability capability = { 0 };
	const int r = pc_v4l2_ioctl(device, VIDIOC_QUERYCAP, &capability);
	if (r < 0) {
		return r;
	}
	struct pc_v4l2_node node = { .role = PC_V4L2_OTHER };
	snprintf(node.path, sizeof(node.path), "%s", pc_v4l2_path(device));
	copy_name(node.driver, sizeof(node.driver), capability.driver);
	copy_name(node.card, sizeof(node.card), capability.card);
	copy_name(node.bus, sizeof(node.bus), capability.bus_info);
	node.caps = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? capability.device_caps
									  : capability.capabilities;
	node.mplane = (node.caps & (V4L2_CAP_VIDEO_CAPTURE_MPLANE | V4L2_CAP_VIDEO_OUTPUT_MPLANE |
					   V4L2_CAP_VIDEO_M2M_MPLANE)) != 0;
	struct format_list in = { 0 }, out = { 0 };
	const bool m2m = is_m2m(node.caps);
	if (m2m || is_camera(&node)) {
		list_formats(device,
			node.mplane ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
				    : V4L2_BUF_TYPE_VIDEO_CAPTURE,
			&out);
	}
	if (m2m) {
		list_formats(device,
			node.mplane ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
				    : V4L2_BUF_TYPE_VIDEO_OUTPUT,
			&in);
	}
	node.n_in = in.n;
	memcpy(node.in, in.pixelformats, sizeof(node.in));
	node.n_out = out.n;
	memcpy(node.out, out.pixelformats, sizeof(node.out));
	memcpy(node.emulated, out.emulated, sizeof(node.emulated));
	if (m2m) {
		node.role = m2m_role(&node, &in, &out);
	} else if (is_camera(&node)) {
		node.role = PC_V4L2_CAMERA;
	}
	*ret_node = node;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	const unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
	return (x > y) - (x < y);
}

/* The N of "videoN"; -1: another name. */
static int node_number(const char *name)
{
	if (strncmp(name, "video", 5) != 0 || name[5] == '\0') {
		return -1;
	}
	int number = 0;
	for (const char *c = name + 5; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || number >= 1000) {
			return -1;
		}
		number = number * 10 + (*c - '0');
	}
	return number;
}

/* The numbers of /dev/video*, ascending. */
static unsigned list_numbers(unsigned numbers[static PC_V4L2_NODES_MAX])
{
	DIR *dir = opendir("/dev");
	if (dir == NULL) {
		return 0;
	}
	unsigned n = 0;
	const struct dirent *entry;
	while (n < PC_V4L2_NODES_MAX && (entry = readdir(dir)) != NULL) {
		const int number = node_number(entry->d_name);
		if (number >= 0) {
			numbers[n++] = (unsigned)number;
		}
	}
	closedir(dir);
	qsort(numbers, n, sizeof(numbers[0]), compare_numbers);
	return n;
}

static unsigned scan(int (*open_node)(const char *path, struct pc_v4l2 **ret_device),
	struct pc_v4l2_node *nodes, unsigned max, bool *ret_refused)
{
	unsigned numbers[PC_V4L2_NODES_MAX];
	const unsigned n_numbers = list_numbers(numbers);
	unsigned n = 0;
	*ret_refused = false;
	for (unsigned i = 0; i < n_numbers && n < max; i++) {
		char path[PC_V4L2_PATH_MAX];
		snprintf(path, sizeof(path), "/dev/video%u", numbers[i]);
		struct pc_v4l2 *device;
		const int r = open_node(path, &device);
		if (r < 0) {
			*ret_refused = *ret_refused || r == -EACCES || r == -EPERM;
			continue;
		}
		if (pc_v4l2_identify(device, &nodes[n]) == 0) {
			n++;
		}
		pc_v4l2_close(device);
	}
	return n;
}

unsigned pc_v4l2_scan(struct pc_v4l2_node *nodes, unsigned max)
{
	bool refused;
	return scan(pc_v4l2_open, nodes, max, &refused);
}

int pc_v4l2_find(enum pc_v4l2_role role, uint32_t in, uint32_t out, struct pc_v4l2_node *ret_node)
{
	struct pc_v4l2_node *nodes = calloc(PC_V4L2_NODES_MAX, sizeof(*nodes));
	if (nodes == NULL) {
		return -ENOMEM;
	}
	bool refused;
	const unsigned n = scan(pc_v4l2_open_kernel, nodes, PC_V4L2_NODES_MAX, &refused);
	int r = refused ? -EACCES : -ENODEV;
	for (unsigned i = 0; i < n && r < 0; i++) {
		const struct pc_v4l2_node *node = &nodes[i];
		if (node->role == role && (in == 0 || lists(node->in, node->n_in, in)) &&
			(out == 0 || lists(node->out, node->n_out, out))) {
			*ret_node = *node;
			r = 0;
		}
	}
	free(nodes);
	return r;
}
