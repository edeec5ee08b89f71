/* hwaccel/gpu_test.c - tries a GPU with a picture; see gpu_test.h. */
#include "hwaccel/gpu_test.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <stdio.h>

#include "hwaccel/egl_internal.h"

/* The planes as textures: luma, and chroma at half the size; how many, or 0. */
static unsigned list_planes(const struct pc_gpu_test *test, struct pc_egl_plane planes[static 3])
{
	const struct pc_frame_format *format = &test->format;
	const unsigned n = format->fourcc == DRM_FORMAT_NV12	 ? 2
			   : format->fourcc == DRM_FORMAT_YUV420 ? 3
								 : 0;
	for (unsigned i = 0; i < n; i++) {
		planes[i] = (struct pc_egl_plane){
			.fd = test->fd,
			.fourcc = n == 2 && i == 1 ? DRM_FORMAT_GR88 : DRM_FORMAT_R8,
			.width = i == 0 ? format->width : format->width / 2,
			.height = i == 0 ? format->height : format->height / 2,
			.offset = test->planes[i].offset,
			.stride = test->planes[i].stride,
		};
	}
	return n;
}

int pc_gpu_test(
	const struct pc_gpu_test *test, char *name, size_t name_size, char *why, size_t why_size)
{
	struct pc_egl_plane planes[3];
	const unsigned n = list_planes(test, planes);
	if (n == 0) {
		snprintf(why, why_size, "no format that the GPU is given");
		return -EINVAL;
	}
	const struct pc_egl_config config = {
		.device = test->device,
		.software = true,
		.foreign_fd = test->fd,
	};
	struct pc_egl *egl = NULL;
	int r = pc_egl_open(&config, why, why_size, &egl);
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < n && r == 0; i++) {
		void *image = NULL;
		r = pc_egl_import(egl, &planes[i], why, why_size, &image);
		if (r == 0) {
			pc_egl_release(egl, image);
		}
	}
	if (r == 0) {
		snprintf(name, name_size, "%s", pc_egl_name(egl));
	}
	pc_egl_close(egl);
	return r;
}
