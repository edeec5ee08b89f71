/* hwaccel/egl.c - a GPU by its DRM node: display, context, dma-buf imports. */
#include "hwaccel/egl_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <GLES2/gl2ext.h>
#include <drm_fourcc.h>
#include <gbm.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "core/log.h"
#include "hwaccel/allocator_internal.h"
#include "hwaccel/dmabuf_internal.h"
#include "hwaccel/egl_node_internal.h"

#define NODES 16
#define NS_PER_MS 1000000

struct pc_egl {
	struct pc_egl_node *node;
	EGLDisplay display; /* the node's */
	EGLContext context;
	bool software;
	bool has_fence; /* EGL_KHR_fence_sync */
	bool has_native_fence; /* EGL_ANDROID_native_fence_sync */
	PFNEGLCREATEIMAGEKHRPROC create_image;
	PFNEGLDESTROYIMAGEKHRPROC destroy_image;
	PFNGLEGLIMAGETARGETTEXTURE2DOESPROC to_texture;
	PFNGLEGLIMAGETARGETRENDERBUFFERSTORAGEOESPROC to_renderbuffer;
	PFNEGLCREATESYNCKHRPROC create_sync;
	PFNEGLDESTROYSYNCKHRPROC destroy_sync;
	PFNEGLCLIENTWAITSYNCKHRPROC wait_sync;
	PFNEGLDUPNATIVEFENCEFDANDROIDPROC dup_fence;
	char name[128];
};

const char *pc_egl_error_name(int error)
{
	switch (error) {
	case EGL_SUCCESS:
		return "EGL_SUCCESS";
	case EGL_NOT_INITIALIZED:
		return "EGL_NOT_INITIALIZED";
	case EGL_BAD_ACCESS:
		return "EGL_BAD_ACCESS";
	case EGL_BAD_ALLOC:
		return "EGL_BAD_ALLOC";
	case EGL_BAD_ATTRIBUTE:
		return "EGL_BAD_ATTRIBUTE";
	case EGL_BAD_CONTEXT:
		return "EGL_BAD_CONTEXT";
	case EGL_BAD_CONFIG:
		return "EGL_BAD_CONFIG";
	case EGL_BAD_DISPLAY:
		return "EGL_BAD_DISPLAY";
	case EGL_BAD_MATCH:
		return "EGL_BAD_MATCH";
	case EGL_BAD_PARAMETER:
		return "EGL_BAD_PARAMETER";
	case EGL_CONTEXT_LOST:
		return "EGL_CONTEXT_LOST";
	default:
		return "an unknown EGL error";
	}
}

static int egl_errno(int error)
{
	return error == EGL_BAD_ALLOC	   ? -ENOMEM
	       : error == EGL_CONTEXT_LOST ? -EIO
	       : error == EGL_BAD_ACCESS   ? -EACCES
					   : -EINVAL;
}

/* Names in these lists are words between blanks. */
static bool has_extension(const char *list, const char *name)
{
	const size_t length = strlen(name);
	for (const char *at = list; at != NULL && (at = strstr(at, name)) != NULL; at += length) {
		if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) {
			return true;
		}
	}
	return false;
}

/* --- opening one node --- */

static int refuse(
	char *why, size_t why_size, const char *path, const char *what, const char *detail)
{
	snprintf(why, why_size, "%s: %s%s%s", path, what, detail[0] != '\0' ? ": " : "", detail);
	return -ENODEV;
}

static int open_context(struct pc_egl *egl, const char *path, char *why, size_t why_size)
{
	static const EGLint config_attributes[] = { EGL_SURFACE_TYPE, 0, EGL_RENDERABLE_TYPE,
		EGL_OPENGL_ES2_BIT, EGL_NONE };
	static const EGLint context_attributes[] = { EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE };
	static const char *const needed[] = { "EGL_EXT_image_dma_buf_import",
		"EGL_KHR_surfaceless_context" };
	const char *extensions = eglQueryString(egl->display, EGL_EXTENSIONS);
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (!has_extension(extensions, needed[i])) {
			return refuse(why, why_size, path, "EGL lacks", needed[i]);
		}
	}
	egl->has_fence = has_extension(extensions, "EGL_KHR_fence_sync");
	egl->has_native_fence =
		egl->has_fence && has_extension(extensions, "EGL_ANDROID_native_fence_sync");
	EGLConfig config;
	EGLint n_configs = 0;
	if (!eglBindAPI(EGL_OPENGL_ES_API) ||
		!eglChooseConfig(egl->display, config_attributes, &config, 1, &n_configs) ||
		n_configs == 0) {
		return refuse(why, why_size, path, "no OpenGL ES 2", "");
	}
	egl->context = eglCreateContext(egl->display, config, EGL_NO_CONTEXT, context_attributes);
	if (egl->context == EGL_NO_CONTEXT ||
		!eglMakeCurrent(egl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, egl->context)) {
		return refuse(why, why_size, path, "no OpenGL ES 2 context",
			pc_egl_error_name(eglGetError()));
	}
	if (!has_extension((const char *)glGetString(GL_EXTENSIONS), "GL_OES_EGL_image")) {
		return refuse(why, why_size, path, "OpenGL ES lacks", "GL_OES_EGL_image");
	}
	return 0;
}

static int find_functions(struct pc_egl *egl, const char *path, char *why, size_t why_size)
{
#define FIND(member, name)                                                                         \
	do {                                                                                       \
		egl->member = (__typeof__(egl->member))eglGetProcAddress(name);                    \
	} while (0)
	FIND(create_image, "eglCreateImageKHR");
	FIND(destroy_image, "eglDestroyImageKHR");
	FIND(to_texture, "glEGLImageTargetTexture2DOES");
	FIND(to_renderbuffer, "glEGLImageTargetRenderbufferStorageOES");
	FIND(create_sync, "eglCreateSyncKHR");
	FIND(destroy_sync, "eglDestroySyncKHR");
	FIND(wait_sync, "eglClientWaitSyncKHR");
	FIND(dup_fence, "eglDupNativeFenceFDANDROID");
#undef FIND
	egl->has_fence = egl->has_fence && egl->create_sync != NULL && egl->destroy_sync != NULL &&
			 egl->wait_sync != NULL;
	egl->has_native_fence = egl->has_native_fence && egl->has_fence && egl->dup_fence != NULL;
	if (egl->create_image == NULL || egl->destroy_image == NULL || egl->to_texture == NULL ||
		egl->to_renderbuffer == NULL) {
		return refuse(why, why_size, path, "EGL lacks", "EGL_KHR_image_base");
	}
	return 0;
}

static void describe(struct pc_egl *egl, const char *path)
{
	const char *renderer = (const char *)glGetString(GL_RENDERER);
	snprintf(egl->name, sizeof(egl->name), "%s (%s, %s)", path, egl->node->driver,
		renderer != NULL ? renderer : "?");
	static const char *const software[] = { "llvmpipe", "softpipe", "swrast", "Software" };
	for (size_t i = 0; renderer != NULL && i < sizeof(software) / sizeof(software[0]); i++) {
		egl->software = egl->software || strstr(renderer, software[i]) != NULL;
	}
}

static void close_node(struct pc_egl *egl, bool broken)
{
	eglMakeCurrent(egl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
	if (egl->context != EGL_NO_CONTEXT) {
		eglDestroyContext(egl->display, egl->context);
	}
	pc_egl_node_put(egl->node, broken);
	eglReleaseThread();
	free(egl);
}

static int open_node(const char *path, char *why, size_t why_size, struct pc_egl **ret_egl)
{
	struct pc_egl *egl = calloc(1, sizeof(*egl));
	if (egl == NULL) {
		return -ENOMEM;
	}
	egl->context = EGL_NO_CONTEXT;
	int r = pc_egl_node_get(path, why, why_size, &egl->node);
	if (r < 0) {
		free(egl);
		return r;
	}
	egl->display = egl->node->display;
	r = open_context(egl, path, why, why_size);
	if (r == 0) {
		r = find_functions(egl, path, why, why_size);
	}
	if (r < 0) {
		close_node(egl, true);
		return r;
	}
	describe(egl, path);
	*ret_egl = egl;
	return 0;
}

void pc_egl_close(struct pc_egl *egl)
{
	if (egl != NULL) {
		close_node(egl, false);
	}
}

/* --- choosing --- */

/* Can buffers of another device's be mapped through this node? On a handle of its own, so that
 * the names of the renderer's buffers are left alone. */
static int try_mapping(const char *path, int foreign_fd)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	(void)drmDropMaster(fd);
	uint32_t handle = 0;
	int r = drmPrimeFDToHandle(fd, foreign_fd, &handle) != 0 ? -errno : 0;
	if (r == 0) {
		uint64_t offset = 0;
		r = drmModeMapDumbBuffer(fd, handle, &offset);
		drmCloseBufferHandle(fd, handle);
	}
	close(fd);
	return r;
}

/* 0: it serves. `software`: one that draws with the CPU does, and only such a one. */
static int judge(const struct pc_egl *egl, bool software, int foreign_fd, const char *path,
	char *why, size_t why_size)
{
	if (!egl->software) {
		return 0;
	}
	if (!software) {
		return refuse(why, why_size, egl->name, "draws with the CPU", "");
	}
	const int r = foreign_fd < 0 ? -ENOTSUP : try_mapping(path, foreign_fd);
	return r == 0 ? 0
		      : refuse(why, why_size, egl->name,
				"draws with the CPU, which cannot see other devices' buffers here",
				pc_strerror(r));
}

/* The first node that serves. 0 or negative errno; `reasons`: what each one said. */
static int find_node(const struct pc_egl_config *config, bool software, char *reasons,
	size_t reasons_size, struct pc_egl **ret_egl)
{
	const bool given = config->device[0] != '\0';
	int err = -ENODEV;
	for (int i = 0; i < (given ? 1 : NODES); i++) {
		char card[32];
		snprintf(card, sizeof(card), "/dev/dri/card%d", i);
		const char *path = given ? config->device : card;
		char reason[320] = "";
		struct pc_egl *egl = NULL;
		if (!given && access(path, F_OK) < 0) {
			continue;
		}
		int r = open_node(path, reason, sizeof(reason), &egl);
		if (r == 0) {
			r = judge(egl, software, config->foreign_fd, path, reason, sizeof(reason));
		}
		if (r == 0) {
			*ret_egl = egl;
			return 0;
		}
		pc_egl_close(egl);
		const size_t used = strlen(reasons);
		snprintf(reasons + used, reasons_size - used, "%s%s", used > 0 ? "; " : "",
			reason[0] != '\0' ? reason : pc_strerror(r));
		err = err == -ENODEV ? r : err;
	}
	return err;
}

bool pc_egl_maybe(const char *device)
{
	for (int i = 0; i < (device[0] != '\0' ? 1 : NODES); i++) {
		char card[32];
		snprintf(card, sizeof(card), "/dev/dri/card%d", i);
		if (access(device[0] != '\0' ? device : card, R_OK | W_OK) == 0) {
			return true;
		}
	}
	return false;
}

int pc_egl_open(
	const struct pc_egl_config *config, char *why, size_t why_size, struct pc_egl **ret_egl)
{
	char reasons[480] = "";
	int r = find_node(config, false, reasons, sizeof(reasons), ret_egl);
	if (r < 0 && config->software) {
		reasons[0] = '\0';
		r = find_node(config, true, reasons, sizeof(reasons), ret_egl);
	}
	if (r < 0) {
		snprintf(why, why_size, "%s",
			reasons[0] != '\0' ? reasons : "there is no /dev/dri/card*");
	}
	return r == -ENOENT ? -ENODEV : r;
}

const char *pc_egl_name(const struct pc_egl *egl)
{
	return egl->name;
}

bool pc_egl_is_software(const struct pc_egl *egl)
{
	return egl->software;
}

/* --- pictures --- */

int pc_egl_import(struct pc_egl *egl, const struct pc_egl_plane *plane, char *why, size_t why_size,
	void **ret_image)
{
	const EGLint attributes[] = {
		EGL_WIDTH,
		(EGLint)plane->width,
		EGL_HEIGHT,
		(EGLint)plane->height,
		EGL_LINUX_DRM_FOURCC_EXT,
		(EGLint)plane->fourcc,
		EGL_DMA_BUF_PLANE0_FD_EXT,
		plane->fd,
		EGL_DMA_BUF_PLANE0_OFFSET_EXT,
		(EGLint)plane->offset,
		EGL_DMA_BUF_PLANE0_PITCH_EXT,
		(EGLint)plane->stride,
		EGL_NONE,
	};
	EGLImageKHR image = egl->create_image(
		egl->display, EGL_NO_CONTEXT, EGL_LINUX_DMA_BUF_EXT, NULL, attributes);
	if (image == EGL_NO_IMAGE_KHR) {
		const EGLint error = eglGetError();
		const struct pc_frame_format format = {
			.fourcc = plane->fourcc,
			.width = plane->width,
			.height = plane->height,
		};
		char text[PC_FRAME_FORMAT_TEXT];
		pc_frame_format_text(&format, text);
		snprintf(why, why_size, "does not import %s with lines of %u bytes: %s", text,
			plane->stride, pc_egl_error_name(error));
		return egl_errno(error);
	}
	*ret_image = image;
	return 0;
}

void pc_egl_release(struct pc_egl *egl, void *image)
{
	if (image != NULL) {
		egl->destroy_image(egl->display, image);
	}
}

void pc_egl_image_to_texture(struct pc_egl *egl, void *image)
{
	egl->to_texture(GL_TEXTURE_2D, image);
}

void pc_egl_image_to_renderbuffer(struct pc_egl *egl, void *image)
{
	egl->to_renderbuffer(GL_RENDERBUFFER, image);
}

/* --- waiting --- */

/* 0, -ETIMEDOUT, -EIO; -ENOTSUP: no fence to be had, ask otherwise. */
static int wait_native(struct pc_egl *egl, int64_t timeout_ns)
{
	EGLSyncKHR sync = egl->create_sync(egl->display, EGL_SYNC_NATIVE_FENCE_ANDROID, NULL);
	if (sync == EGL_NO_SYNC_KHR) {
		return -ENOTSUP;
	}
	glFlush(); /* the fence has a number from here on */
	const int fd = egl->dup_fence(egl->display, sync);
	egl->destroy_sync(egl->display, sync);
	if (fd < 0) {
		return -ENOTSUP;
	}
	struct pollfd fence = { .fd = fd, .events = POLLIN };
	int r;
	do {
		r = poll(&fence, 1, (int)(timeout_ns / NS_PER_MS));
	} while (r < 0 && errno == EINTR);
	close(fd);
	return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -EIO;
}

static int wait_fence(struct pc_egl *egl, int64_t timeout_ns)
{
	EGLSyncKHR sync = egl->create_sync(egl->display, EGL_SYNC_FENCE_KHR, NULL);
	if (sync == EGL_NO_SYNC_KHR) {
		return -ENOTSUP;
	}
	const EGLint r = egl->wait_sync(
		egl->display, sync, EGL_SYNC_FLUSH_COMMANDS_BIT_KHR, (EGLTimeKHR)timeout_ns);
	egl->destroy_sync(egl->display, sync);
	return r == EGL_CONDITION_SATISFIED_KHR ? 0
	       : r == EGL_TIMEOUT_EXPIRED_KHR	? -ETIMEDOUT
						: -EIO;
}

int pc_egl_finish(struct pc_egl *egl, int64_t timeout_ns)
{
	int r = egl->has_native_fence ? wait_native(egl, timeout_ns) : -ENOTSUP;
	if (r == -ENOTSUP && egl->has_fence) {
		r = wait_fence(egl, timeout_ns);
	}
	if (r == -ENOTSUP) {
		glFinish();
		r = 0;
	}
	return r;
}

/* --- buffers of its own --- */

struct gbm_allocator {
	struct pc_allocator base;
	struct gbm_device *gbm; /* the display's */
};

/* The dma-buf is all that is kept of the buffer object. */
static int gbm_allocate(struct pc_allocator *base, const struct pc_frame_format *format,
	struct pc_frame **ret_frame)
{
	const struct gbm_allocator *allocator = (struct gbm_allocator *)base;
	struct pc_dmabuf_layout layout;
	int r = pc_dmabuf_layout(format, &layout);
	if (r < 0 || format->fourcc != DRM_FORMAT_BGR888 || layout.planes[0].stride % 4 != 0) {
		return -EINVAL;
	}
	/* Lines more than asked for: what a reader may read over the end. */
	struct gbm_bo *bo = gbm_bo_create(allocator->gbm, layout.planes[0].stride / 4,
		format->height + 1, GBM_FORMAT_ABGR8888, GBM_BO_USE_RENDERING | GBM_BO_USE_LINEAR);
	if (bo == NULL) {
		return -ENOMEM;
	}
	const uint32_t stride = gbm_bo_get_stride(bo);
	const int fd = stride == layout.planes[0].stride ? gbm_bo_get_fd(bo) : -1;
	gbm_bo_destroy(bo);
	if (fd < 0) {
		return stride == layout.planes[0].stride ? -EMFILE : -EINVAL;
	}
	layout.size = (size_t)stride * (format->height + 1);
	r = pc_dmabuf_frame_create(fd, &layout, ret_frame);
	if (r < 0) {
		close(fd);
	}
	return r;
}

static void gbm_free(struct pc_allocator *base, struct pc_frame *frame)
{
	pc_dmabuf_frame_destroy(frame);
}

static void gbm_destroy(struct pc_allocator *base)
{
	free(base);
}

static const struct pc_allocator_impl gbm_impl = {
	.name = "gbm",
	.caps = PC_FRAME_DMABUF | PC_FRAME_CPU,
	.allocate = gbm_allocate,
	.free = gbm_free,
	.destroy = gbm_destroy,
};

int pc_egl_create_allocator(struct pc_egl *egl, struct pc_allocator **ret_allocator)
{
	struct gbm_allocator *allocator = calloc(1, sizeof(*allocator));
	if (allocator == NULL) {
		return -ENOMEM;
	}
	allocator->gbm = egl->node->gbm;
	pc_allocator_init(&allocator->base, &gbm_impl);
	*ret_allocator = &allocator->base;
	return 0;
}
