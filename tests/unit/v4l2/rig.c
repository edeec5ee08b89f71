/* tests/unit/v4l2/rig.c - see rig.h. */
#include "tests/unit/v4l2/rig.h"

#include <assert.h>
#include <dirent.h>
#include <drm_fourcc.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/fake_camera.h"

static void on_frame(void *data, struct pc_frame *frame)
{
	struct rig *rig = data;
	rig->n_frames++;
	rig->capture_ns = frame->capture_ns;
	rig->sequence = frame->sequence;
	rig->bytes_used = frame->bytes_used;
	if (rig->hold) {
		assert(rig->n_held < RIG_HELD_MAX);
		rig->held[rig->n_held++] = pc_frame_ref(frame);
	}
	if (rig->close_in_frame) {
		rig_close(rig);
	}
}

static void on_failed(void *data, int err, const char *what)
{
	struct rig *rig = data;
	rig->n_failed++;
	rig->err = err;
	snprintf(rig->what, sizeof(rig->what), "%s", what);
	if (rig->close_in_failed) {
		rig_close(rig);
	}
}

static const struct pc_capture_events events = {
	.frame = on_frame,
	.failed = on_failed,
};

void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->wishes[0] = (struct pc_capture_wish){ DRM_FORMAT_YUYV, 64 };
	rig->wishes[1] = (struct pc_capture_wish){ V4L2_PIX_FMT_MJPEG, 1 };
	rig->config = (struct pc_capture_config){
		.path = FAKE_CAMERA_PATH,
		.width = 1280,
		.height = 720,
		.fps = 30,
		.wishes = rig->wishes,
		.n_wishes = 2,
		.buffers = 4,
		.memory = PC_CAPTURE_EXPORT,
		.stats = &rig->stats,
	};
	const int r = pc_loop_create(&rig->loop);
	assert(r == 0);
	(void)r;
}

static int provide(void *data, size_t size, int *ret_fd)
{
	struct rig *rig = data;
	if (rig->provide_error != 0 && rig->n_provided == 2) {
		return rig->provide_error;
	}
	const int fd = memfd_create("rig", MFD_CLOEXEC);
	assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	rig->provided[rig->n_provided++] = fd;
	*ret_fd = fd;
	return 0;
}

int rig_open(struct rig *rig)
{
	rig->n_provided = 0;
	rig->why[0] = '\0';
	rig->config.provide = rig->config.memory == PC_CAPTURE_IMPORT ? provide : NULL;
	return pc_capture_open(
		rig->loop, &rig->config, &events, rig, rig->why, sizeof(rig->why), &rig->capture);
}

void rig_close(struct rig *rig)
{
	pc_capture_close(rig->capture);
	rig->capture = NULL;
}

void rig_drop(struct rig *rig)
{
	while (rig->n_held > 0) {
		pc_frame_unref(rig->held[--rig->n_held]);
	}
}

void rig_finish(struct rig *rig)
{
	rig_close(rig);
	rig_drop(rig);
	pc_loop_destroy(rig->loop);
	rig->loop = NULL;
}

void rig_turn(struct rig *rig)
{
	unsigned before;
	do {
		before = rig->n_frames + (unsigned)rig->stats.frames_bad;
		const int r = pc_loop_turn(rig->loop, 0);
		assert(r == 0);
		(void)r;
	} while (before != rig->n_frames + (unsigned)rig->stats.frames_bad);
}

unsigned rig_count_fds(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert(dir != NULL);
	while (readdir(dir) != NULL) {
		n++;
	}
	closedir(dir);
	return n;
}
