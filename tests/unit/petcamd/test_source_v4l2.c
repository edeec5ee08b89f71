/* tests/unit/petcamd/test_source_v4l2.c - how a camera's pictures find their way to the encoder.
 *
 * Cameras, devices and converter are played (ld --wrap): what is tested is what is asked of them,
 * and in which order.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <drm_fourcc.h>
#include <linux/videodev2.h>

#include "hwaccel/converter.h"
#include "hwaccel/encoder.h"
#include "petcamd/source_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "v4l2/capture.h"
#include "v4l2/import_test.h"

/* --- what there is --- */

struct offer {
	uint32_t fourcc; /* 0 ends the list */
	double fps;
};

struct camera {
	const char *path;
	const char *driver;
	struct offer offers[6];
	bool no_export; /* EXPBUF fails: mapped instead */
	bool no_import; /* its queue takes no dma-bufs */
	bool emulated; /* libv4l2 can convert its pictures */
	int err; /* opening says this */
};

static struct {
	unsigned n_cameras;
	struct camera cameras[3];
	bool device; /* the encoder imports */
	struct pc_input_format coded[4];
	unsigned n_coded;
	struct pc_input_format scaled[4];
	unsigned n_scaled;
	int import; /* what a trial says of a camera's own buffers */
	int heap; /* what there is to import from */
	char log[1024]; /* what was done, in words */
} world;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	const size_t used = strlen(world.log);
	va_list args;
	va_start(args, format);
	vsnprintf(world.log + used, sizeof(world.log) - used, format, args);
	va_end(args);
}

unsigned __wrap_pc_v4l2_scan(struct pc_v4l2_node *nodes, unsigned max);
unsigned __wrap_pc_v4l2_scan(struct pc_v4l2_node *nodes, unsigned max)
{
	for (unsigned i = 0; i < world.n_cameras; i++) {
		const struct camera *camera = &world.cameras[i];
		nodes[i] = (struct pc_v4l2_node){ .role = PC_V4L2_CAMERA };
		snprintf(nodes[i].path, sizeof(nodes[i].path), "%s", camera->path);
		snprintf(nodes[i].driver, sizeof(nodes[i].driver), "%s", camera->driver);
		for (; camera->offers[nodes[i].n_out].fourcc != 0; nodes[i].n_out++) {
			nodes[i].out[nodes[i].n_out] =
				pc_v4l2_from_drm(camera->offers[nodes[i].n_out].fourcc);
		}
	}
	return world.n_cameras;
}

int __wrap_pc_v4l2_find(
	enum pc_v4l2_role role, uint32_t in, uint32_t out, struct pc_v4l2_node *ret_node);
int __wrap_pc_v4l2_find(
	enum pc_v4l2_role role, uint32_t in, uint32_t out, struct pc_v4l2_node *ret_node)
{
	test_int(role, PC_V4L2_ENCODER);
	snprintf(ret_node->path, sizeof(ret_node->path), "/dev/video11");
	return world.device ? 0 : -ENODEV;
}

unsigned __wrap_pc_encoder_inputs(const char *choice, const char *device, unsigned width,
	unsigned height, struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);
unsigned __wrap_pc_encoder_inputs(const char *choice, const char *device, unsigned width,
	unsigned height, struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	memcpy(formats, world.coded, world.n_coded * sizeof(formats[0]));
	*ret_dmabuf = world.device;
	return world.n_coded;
}

unsigned __wrap_pc_scaler_inputs(const char *choice, const char *device, unsigned width,
	unsigned height, struct pc_input_format *formats, unsigned max, bool *ret_dmabuf);
unsigned __wrap_pc_scaler_inputs(const char *choice, const char *device, unsigned width,
	unsigned height, struct pc_input_format *formats, unsigned max, bool *ret_dmabuf)
{
	memcpy(formats, world.scaled, world.n_scaled * sizeof(formats[0]));
	*ret_dmabuf = world.device;
	return world.n_scaled;
}

/* --- a camera that opens --- */

struct pc_capture {
	struct pc_capture_info info;
	const struct pc_capture_events *events;
	void *data;
	struct pc_loop_source *timer; /* of an emulated one, which plays by itself; else NULL */
	unsigned n_played;
};

#define PLAYED 20 /* frames of an emulated camera, before it is unplugged */

static struct pc_frame played; /* outlives the camera, as frames may */
static atomic_uint n_released;

static void release(struct pc_frame *frame)
{
	atomic_fetch_add(&n_released, 1);
}

static const struct pc_frame_impl frame_impl = { .release = release };

/* One frame at a time, as far as the last one is back. On the camera's thread. */
static void play(void *data, uint64_t expirations)
{
	struct pc_capture *capture = data;
	if (capture->n_played > 0 && atomic_load(&n_released) < capture->n_played) {
		return;
	}
	if (capture->n_played == PLAYED) {
		pc_loop_timer_arm(capture->timer, -1, 0);
		capture->events->failed(capture->data, -ENODEV, "unplugged");
		return;
	}
	played.sequence = capture->n_played++;
	pc_frame_publish(&played);
	capture->events->frame(capture->data, &played);
	pc_frame_unref(&played);
}

static struct pc_capture *opened; /* the last one; NULL once closed */
static unsigned n_open;

static const char *const memory_names[] = { "export", "import", "map" };

/* The first wish that the camera has. */
static const struct offer *choose(
	const struct camera *camera, const struct pc_capture_config *config, uint32_t *ret_align)
{
	for (unsigned i = 0; i < config->n_wishes; i++) {
		for (const struct offer *offer = camera->offers; offer->fourcc != 0; offer++) {
			if (offer->fourcc == config->wishes[i].fourcc) {
				*ret_align = config->wishes[i].stride_align;
				return offer;
			}
		}
	}
	return NULL;
}

static int refuse(const struct pc_capture_config *config, int err, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s says %d", config->path, -err);
	note("%s refused; ", memory_names[config->memory]);
	return err;
}

int __wrap_pc_capture_open(struct pc_loop *loop, const struct pc_capture_config *config,
	const struct pc_capture_events *events, void *data, char *why, size_t why_size,
	struct pc_capture **ret_capture);
int __wrap_pc_capture_open(struct pc_loop *loop, const struct pc_capture_config *config,
	const struct pc_capture_events *events, void *data, char *why, size_t why_size,
	struct pc_capture **ret_capture)
{
	static const struct offer emulated = { DRM_FORMAT_YUV420, 10 };
	const struct camera *camera = NULL;
	for (unsigned i = 0; i < world.n_cameras; i++) {
		camera = strcmp(world.cameras[i].path, config->path) == 0 ? &world.cameras[i]
									  : camera;
	}
	if (camera == NULL || camera->err < 0) {
		return refuse(config, camera == NULL ? -ENOENT : camera->err, why, why_size);
	}
	uint32_t align = 1;
	const struct offer *offer = choose(camera, config, &align);
	if (offer == NULL && config->convert && camera->emulated) {
		offer = &emulated;
	}
	if (offer == NULL) {
		return refuse(config, -EINVAL, why, why_size);
	}
	if (config->memory == PC_CAPTURE_IMPORT) {
		int fd = -1;
		const int r = camera->no_import ? -ENOTSUP : config->provide(data, 4096, &fd);
		if (r < 0) {
			return refuse(config, r, why, why_size);
		}
	}
	struct pc_capture *capture = calloc(1, sizeof(*capture));
	test_assert(capture != NULL);
	capture->events = events;
	capture->data = data;
	capture->info.format = (struct pc_frame_format){
		.fourcc = offer->fourcc, .width = config->width, .height = config->height
	};
	capture->info.n_planes = 1;
	capture->info.planes[0] = (struct pc_frame_plane){ .fd = -1, .stride = align };
	capture->info.size = 4096;
	capture->info.fps = offer->fps;
	capture->info.memory = config->memory == PC_CAPTURE_EXPORT && camera->no_export
				       ? PC_CAPTURE_MAPPED
				       : config->memory;
	snprintf(capture->info.card, sizeof(capture->info.card), "%s", camera->driver);
	char format[PC_FRAME_FORMAT_TEXT];
	pc_frame_format_text(&capture->info.format, format);
	note("%.4s %s%s; ", format, config->convert ? "libv4l2 " : "",
		memory_names[capture->info.memory]);
	if (config->convert) {
		pc_frame_init(&played, &frame_impl);
		atomic_store(&n_released, 0);
		test_int(pc_loop_add_timer(loop, "camera", play, capture, &capture->timer), 0);
		test_int(pc_loop_timer_arm(capture->timer, 0, 1000000), 0);
	}
	opened = capture;
	n_open++;
	*ret_capture = capture;
	return 0;
}

const struct pc_capture_info *__wrap_pc_capture_info(const struct pc_capture *capture);
const struct pc_capture_info *__wrap_pc_capture_info(const struct pc_capture *capture)
{
	return &capture->info;
}

int __wrap_pc_capture_sample_fd(const struct pc_capture *capture);
int __wrap_pc_capture_sample_fd(const struct pc_capture *capture)
{
	return capture->info.memory == PC_CAPTURE_MAPPED ? -1 : 99;
}

void __wrap_pc_capture_close(struct pc_capture *capture);
void __wrap_pc_capture_close(struct pc_capture *capture)
{
	if (capture != NULL) {
		n_open--;
		opened = NULL;
		pc_loop_remove(capture->timer);
	}
	free(capture);
}

int __wrap_pc_v4l2_import_test(const struct pc_v4l2_import_test *test, char *why, size_t why_size);
int __wrap_pc_v4l2_import_test(const struct pc_v4l2_import_test *test, char *why, size_t why_size)
{
	test_str(test->path, "/dev/video11");
	test_int(test->fd, 99);
	const bool own = opened->info.memory == PC_CAPTURE_EXPORT;
	const int r = own ? world.import : 0;
	note("%s; ", r == 0 ? "taken" : "not taken");
	snprintf(why, why_size, "it says %d", -r);
	return r;
}

int __wrap_pc_allocator_create_for(const char *choice, struct pc_allocator **ret_allocator);
int __wrap_pc_allocator_create_for(const char *choice, struct pc_allocator **ret_allocator)
{
	return pc_allocator_create_memfd(ret_allocator);
}

int __wrap_pc_allocator_dmabuf(struct pc_allocator *allocator, size_t size, int *ret_fd);
int __wrap_pc_allocator_dmabuf(struct pc_allocator *allocator, size_t size, int *ret_fd)
{
	*ret_fd = 98;
	return world.heap;
}

struct pc_converter {
	const struct pc_converter_events *events;
	void *data;
};

int __wrap_pc_converter_open(struct pc_loop *loop, const struct pc_converter_config *config,
	const struct pc_converter_events *events, void *data, char *why, size_t why_size,
	struct pc_converter **ret_converter);
int __wrap_pc_converter_open(struct pc_loop *loop, const struct pc_converter_config *config,
	const struct pc_converter_events *events, void *data, char *why, size_t why_size,
	struct pc_converter **ret_converter)
{
	*ret_converter = calloc(1, sizeof(**ret_converter));
	test_assert(*ret_converter != NULL);
	**ret_converter = (struct pc_converter){ events, data };
	note("convert; ");
	return 0;
}

/* Hands on what it gets. */
int __wrap_pc_converter_submit(struct pc_converter *converter, struct pc_frame *frame);
int __wrap_pc_converter_submit(struct pc_converter *converter, struct pc_frame *frame)
{
	note("converted; ");
	converter->events->frame(converter->data, frame);
	return 0;
}

void __wrap_pc_converter_close(struct pc_converter *converter);
void __wrap_pc_converter_close(struct pc_converter *converter)
{
	free(converter);
}

/* --- the tests --- */

struct fixture {
	struct pc_loop *loop;
	struct pc_camera_settings settings;
	struct pc_camera_stats stats;
	struct pc_source *source;
	char why[256];
	unsigned n_frames;
	bool close_in_frame;
	int err;
};

static void on_frame(void *data, struct pc_frame *frame)
{
	struct fixture *f = data;
	f->n_frames++;
	if (f->close_in_frame) {
		pc_source_close(f->source);
		f->source = NULL;
	}
}

static void on_ended(void *data)
{
	test_fail("a camera does not end");
}

static void on_failed(void *data, int err, const char *what)
{
	((struct fixture *)data)->err = err;
	test_assert(what[0] != '\0');
}

static const struct pc_source_events events = { on_frame, on_ended, on_failed };

/* A Pi with a webcam that has everything. */
static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	memset(&world, 0, sizeof(world));
	test_int(pc_loop_create(&f->loop), 0);
	f->settings.width = 1280;
	f->settings.height = 720;
	f->settings.fps = 30;
	snprintf(f->settings.format, sizeof(f->settings.format), "auto");
	snprintf(f->settings.memory, sizeof(f->settings.memory), "auto");
	world.device = true;
	world.coded[0] = (struct pc_input_format){ DRM_FORMAT_YUV420, 64 };
	world.coded[1] = (struct pc_input_format){ DRM_FORMAT_NV12, 32 };
	world.n_coded = 2;
	world.scaled[0] = (struct pc_input_format){ DRM_FORMAT_NV12, 128 };
	world.n_scaled = 1;
	world.n_cameras = 1;
	world.cameras[0] = (struct camera){
		.path = "/dev/video0",
		.driver = "played",
		.offers = { { DRM_FORMAT_YUYV, 30 }, { DRM_FORMAT_YUV420, 30 },
			{ DRM_FORMAT_NV12, 30 } },
	};
}

static int open_source(struct fixture *f, const char *source)
{
	const struct pc_source_config config = {
		.camera = &f->settings,
		.source = source,
		.stats = &f->stats,
		.encoder = "auto",
		.encoder_device = "",
		.scaler = "auto",
		.scaler_device = "",
	};
	world.log[0] = '\0';
	return pc_source_open(f->loop, &config, &events, f, f->why, sizeof(f->why), &f->source);
}

static void close_source(struct fixture *f)
{
	pc_source_close(f->source);
	f->source = NULL;
	test_int(n_open, 0);
}

static void end(struct fixture *f)
{
	close_source(f);
	pc_loop_destroy(f->loop);
}

static void opens(struct fixture *f, const char *source, const char *log)
{
	if (open_source(f, source) != 0) {
		test_fail("%s: %s (%s)", source, f->why, world.log);
	}
	test_str(world.log, log);
}

/* What encoder and scaler both take goes first, though the encoder has it as its second. */
static void test_both_take_it(void)
{
	struct fixture f;
	begin(&f);
	opens(&f, "v4l2:/dev/video0", "NV12 export; taken; ");
	const struct pc_source_info *info = pc_source_info(f.source);
	test_int(info->format.fourcc, DRM_FORMAT_NV12);
	test_int(info->planes[0].stride, 128); /* as both want it */
	test_int(info->size, 4096);
	test_int(info->caps, PC_FRAME_DMABUF | PC_FRAME_CPU);
	test_str(info->text, "v4l2 /dev/video0 (played), NV12 1280x720 at 30, exported");
	struct pc_frame frame = { .sequence = 1 };
	opened->events->frame(opened->data, &frame);
	test_int(f.n_frames, 1);
	opened->events->failed(opened->data, -ENODEV, "unplugged");
	test_int(f.err, -ENODEV);
	end(&f);
	/* What the scaler does not take, the encoder does. */
	begin(&f);
	world.cameras[0].offers[2].fourcc = 0;
	opens(&f, "v4l2", "YU12 export; taken; ");
	test_int(pc_source_info(f.source)->planes[0].stride, 64);
	end(&f);
}

/* UVC: the camera's buffers are not contiguous. */
static void test_import(void)
{
	struct fixture f;
	begin(&f);
	world.import = -EINVAL;
	opens(&f, "v4l2", "NV12 export; not taken; NV12 import; taken; ");
	test_str(pc_source_info(f.source)->text,
		"v4l2 /dev/video0 (played), NV12 1280x720 at 30, imported");
	close_source(&f);
	/* A device that cannot be asked now will say it itself. */
	world.import = -EBUSY;
	opens(&f, "v4l2", "NV12 export; not taken; ");
	close_source(&f);
	/* No heap: a copy is better than nothing. */
	world.import = -EFAULT;
	world.heap = -ENOTSUP;
	opens(&f, "v4l2", "NV12 export; not taken; import refused; NV12 map; convert; ");
	test_int(pc_source_info(f.source)->format.fourcc, DRM_FORMAT_YUV420);
	test_int(pc_source_info(f.source)->size, 0);
	struct pc_frame frame = { .sequence = 1 };
	opened->events->frame(opened->data, &frame);
	test_int(f.n_frames, 1);
	close_source(&f);
	/* No EXPBUF. */
	world.heap = 0;
	world.cameras[0].no_export = true;
	opens(&f, "v4l2", "NV12 map; NV12 import; taken; ");
	end(&f);
}

static void test_memory_setting(void)
{
	struct fixture f;
	begin(&f);
	snprintf(f.settings.memory, sizeof(f.settings.memory), "import");
	opens(&f, "v4l2", "NV12 import; taken; ");
	close_source(&f);
	snprintf(f.settings.memory, sizeof(f.settings.memory), "export");
	world.import = -EINVAL;
	opens(&f, "v4l2", "NV12 export; not taken; NV12 map; convert; ");
	end(&f);
}

/* libx264 reads the camera's buffers where they lie. */
static void test_software(void)
{
	struct fixture f;
	begin(&f);
	world.device = false;
	opens(&f, "v4l2", "NV12 export; ");
	close_source(&f);
	world.cameras[0].no_export = true;
	opens(&f, "v4l2", "NV12 map; ");
	test_int(pc_source_info(f.source)->caps, PC_FRAME_CPU);
	close_source(&f);
	/* No encoder at this moment: the camera opens, and the encoder will say what it lacks. */
	world.n_coded = 0;
	opens(&f, "v4l2", "NV12 map; ");
	end(&f);
}

static void test_conversion(void)
{
	struct fixture f;
	begin(&f);
	world.cameras[0].offers[1] = (struct offer){ V4L2_PIX_FMT_MJPEG, 30 };
	world.cameras[0].offers[2].fourcc = 0;
	opens(&f, "v4l2", "export refused; import refused; YUYV map; convert; ");
	test_str(pc_source_info(f.source)->text,
		"v4l2 /dev/video0 (played), YUYV 1280x720 at 30, converted");
	close_source(&f);
	/* Raw at 10, JPEG at 30. */
	world.cameras[0].offers[0].fps = 10;
	opens(&f, "v4l2", "export refused; import refused; YUYV map; convert; MJPG map; convert; ");
	test_assert(pc_source_info(f.source)->fps == 30);
	close_source(&f);
	/* No better: back to what costs less. */
	world.cameras[0].offers[1].fps = 10;
	opens(&f, "v4l2",
		"export refused; import refused; YUYV map; convert; MJPG map; convert; "
		"YUYV map; convert; ");
	close_source(&f);
	snprintf(f.settings.format, sizeof(f.settings.format), "MJPG");
	opens(&f, "v4l2", "MJPG map; convert; ");
	close_source(&f);
	/* What the encoder takes is no conversion. */
	world.coded[0].fourcc = DRM_FORMAT_YUYV;
	snprintf(f.settings.format, sizeof(f.settings.format), "YUYV");
	opens(&f, "v4l2", "YUYV export; taken; ");
	close_source(&f);
	snprintf(f.settings.format, sizeof(f.settings.format), "BA81");
	test_int(open_source(&f, "v4l2"), -EINVAL);
	test_assert(strstr(f.why, "cameras.[].format: \"BA81\"") != NULL);
	end(&f);
}

/* Nothing that we know: libv4l2's conversion, on a thread of its own. */
static void test_emulation(void)
{
	struct fixture f;
	begin(&f);
	world.cameras[0].offers[0] = (struct offer){ DRM_FORMAT_R8, 10 };
	world.cameras[0].offers[1].fourcc = 0;
	test_int(open_source(&f, "v4l2"), -EINVAL);
	test_str(f.why, "/dev/video0 says 22");
	world.cameras[0].emulated = true;
	opens(&f, "v4l2",
		"export refused; import refused; map refused; YU12 libv4l2 map; convert; ");
	test_str(pc_source_info(f.source)->text,
		"v4l2 /dev/video0 (played), YU12 1280x720 at 10, converted by libv4l2");
	close_source(&f);
	world.device = false;
	opens(&f, "v4l2", "export refused; map refused; YU12 libv4l2 map; ");
	/* Its frames come over, and so does its end. */
	while (f.err == 0) {
		test_assert(pc_loop_turn(f.loop, 10000) >= 0);
	}
	test_int(f.err, -ENODEV);
	test_int(f.n_frames, PLAYED);
	test_int(atomic_load(&n_released), PLAYED);
	close_source(&f);
	/* Closed with frames on their way, and within a frame. */
	for (unsigned i = 0; i < 10; i++) {
		f.n_frames = 0;
		f.close_in_frame = i % 2 == 0;
		test_int(open_source(&f, "v4l2"), 0);
		while (f.source != NULL && f.n_frames < 3) {
			test_assert(pc_loop_turn(f.loop, 10000) >= 0);
		}
		close_source(&f);
	}
	end(&f);
}

static void test_which_node(void)
{
	struct fixture f;
	begin(&f);
	test_str(pc_source_resolve("auto"), "v4l2");
	world.n_cameras = 3;
	world.cameras[1] = world.cameras[2] = world.cameras[0];
	world.cameras[0].path = "/dev/video13";
	world.cameras[0].driver = "bcm2835-isp";
	world.cameras[1].err = -EBUSY;
	world.cameras[1].path = "/dev/video1";
	world.cameras[2].path = "/dev/video2";
	opens(&f, "v4l2", "export refused; NV12 export; taken; ");
	test_assert(strstr(pc_source_info(f.source)->text, "/dev/video2") != NULL);
	close_source(&f);
	/* The one that is named, and no other; what is final is asked once. */
	test_int(open_source(&f, "v4l2:/dev/video1"), -EBUSY);
	test_str(f.why, "/dev/video1 says 16");
	test_str(world.log, "export refused; ");
	test_int(open_source(&f, "v4l2:/dev/video7"), -ENOENT);
	world.cameras[2].err = -EACCES;
	test_int(open_source(&f, "v4l2"), -EBUSY); /* the first one's word */
	world.n_cameras = 1; /* the ISP is none */
	test_int(open_source(&f, "v4l2"), -ENODEV);
	test_assert(strstr(f.why, "no camera is there") != NULL);
	test_str(pc_source_resolve("auto"), "demo");
	char source[128] = "v4l2:";
	memset(source + 5, 'x', 100);
	test_int(open_source(&f, source), -EINVAL);
	end(&f);
}

static void test_no_memory(void)
{
	for (unsigned n = 1;; n++) {
		struct fixture f;
		begin(&f);
		world.import = -EINVAL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		/* The played camera's own allocations are asserted: fail ours alone. */
		const int r = n <= 2 ? open_source(&f, "v4l2") : 0;
		const bool failed = fault_disarm();
		test_assert(r < 0 || !failed);
		test_assert(r == 0 || f.why[0] != '\0');
		end(&f);
		if (!failed) {
			break;
		}
	}
}

int main(void)
{
	TEST_RUN(test_both_take_it);
	TEST_RUN(test_import);
	TEST_RUN(test_memory_setting);
	TEST_RUN(test_software);
	TEST_RUN(test_conversion);
	TEST_RUN(test_emulation);
	TEST_RUN(test_which_node);
	TEST_RUN(test_no_memory);
	return test_end();
}
