/* tests/unit/hwaccel/test_file_reader.c - pictures of good, odd and broken files. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libavutil/log.h>

#include "core/clock.h"
#include "petcamd/file_reader.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"
#include "tests/unit/hwaccel/clip.h"

#define STRIDE 1024
#define LINES 1024

static char folder[] = "/tmp/petcam-test-XXXXXX";
static atomic_bool stop;
static uint8_t pixels[3][STRIDE * LINES];

static const char *in_folder(const char *name)
{
	static char path[4][128];
	static unsigned turn;
	char *out = path[turn++ % 4];
	snprintf(out, sizeof(path[0]), "%s/%s", folder, name);
	return out;
}

static struct pc_file_reader *open_file(const char *path)
{
	char why[160];
	struct pc_file_reader *reader = NULL;
	const int r = pc_file_reader_open(path, &stop, why, sizeof(why), &reader);
	if (r < 0) {
		test_fail("%s: %s (%d)", path, why, r);
	}
	test_str(why, "");
	return reader;
}

static void copy(struct pc_file_reader *reader)
{
	uint8_t *const planes[3] = { pixels[0], pixels[1], pixels[2] };
	const uint32_t strides[3] = { STRIDE, STRIDE, STRIDE };
	memset(pixels, 1, sizeof(pixels));
	test_int(pc_file_reader_copy(reader, planes, strides), 0);
}

static void check_near(unsigned plane, unsigned x, unsigned y, int expected)
{
	const int got = pixels[plane][y * STRIDE + x];
	if (abs(got - expected) > 6) {
		test_fail("plane %u at %u,%u is %d, not %d", plane, x, y, got, expected);
	}
}

/* The white quarter stands in the corner where turning put it; nothing is written outside. */
static void check_picture(struct pc_file_reader *reader, unsigned n, unsigned clockwise)
{
	const struct pc_file_reader_info *info = pc_file_reader_info(reader);
	copy(reader);
	const unsigned w = info->width;
	const unsigned h = info->height;
	const int dark = clip_luma(n);
	check_near(0, 4, 4, clockwise == 0 ? 235 : dark);
	check_near(0, w - 5, 4, clockwise == 90 ? 235 : dark);
	check_near(0, w - 5, h - 5, clockwise == 180 ? 235 : dark);
	check_near(0, 4, h - 5, clockwise == 270 ? 235 : dark);
	for (unsigned p = 1; p < 3; p++) {
		check_near(p, 0, 0, 128);
		check_near(p, w / 2 - 1, h / 2 - 1, 128);
		test_int(pixels[p][w / 2], 1);
		test_int(pixels[p][h / 2 * STRIDE], 1);
	}
	test_int(pixels[0][w], 1);
	test_int(pixels[0][h * STRIDE], 1);
}

static unsigned read_all(struct pc_file_reader *reader)
{
	unsigned n = 0;
	int64_t last_ns = -1;
	int64_t time_ns;
	int r;
	while ((r = pc_file_reader_next(reader, &time_ns)) == 0) {
		test_assert(time_ns > last_ns);
		last_ns = time_ns;
		copy(reader);
		n++;
	}
	test_int(r, -ENODATA);
	return n;
}

static void test_all_pictures_twice(void)
{
	static const struct clip clips[] = {
		{ "a.mp4", "libx264", "yuv420p", 322, 182, 25, 0, 25, NULL, NULL },
		{ "a.mkv", "mpeg4", "yuv420p", 160, 90, 25, 0, 30, NULL, NULL },
		{ "a.ts", "libx264", "yuv420p", 160, 96, 25, 0, 10, NULL, NULL },
		{ "a.avi", "mjpeg", "yuvj420p", 160, 96, 25, 0, 25, NULL, NULL },
		{ "a.h264", "libx264", "yuv420p", 160, 96, 25, 0, 25, NULL, NULL },
		{ "b.mp4", "libx264", "yuv444p", 160, 96, 25, 0, 12.5, NULL, NULL },
		{ "b.mkv", "ffv1", "yuv422p", 160, 96, 25, 0, 60, NULL, NULL },
	};
	for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]); i++) {
		struct clip clip = clips[i];
		clip.path = in_folder(clips[i].path);
		clip_write(&clip);
		struct pc_file_reader *reader = open_file(clip.path);
		const struct pc_file_reader_info *info = pc_file_reader_info(reader);
		test_int(info->width, clip.width);
		test_int(info->height, clip.height);
		test_assert(info->fps > clip.fps * 0.99 && info->fps < clip.fps * 1.01);
		for (int round = 0; round < 2; round++) {
			for (unsigned n = 0; n < clip.frames; n++) {
				int64_t time_ns = -1;
				test_int(pc_file_reader_next(reader, &time_ns), 0);
				const int64_t due_ns = (int64_t)(n * 1e9 / clip.fps);
				test_assert(llabs(time_ns - due_ns) <= PC_NS_PER_MS);
				check_picture(reader, n, 0);
			}
			int64_t time_ns = -1;
			test_int(pc_file_reader_next(reader, &time_ns), -ENODATA);
			test_int(time_ns, -1);
			test_int(pc_file_reader_rewind(reader), 0);
		}
		test_int(pc_file_reader_bad(reader), 0);
		pc_file_reader_close(reader);
	}
	pc_file_reader_close(NULL);
}

static void test_odd_sizes_are_cropped(void)
{
	const struct clip clip = { in_folder("odd.mkv"), "ffv1", "yuv420p", 101, 67, 2, 0, 25, NULL,
		NULL };
	clip_write(&clip);
	struct pc_file_reader *reader = open_file(clip.path);
	test_int(pc_file_reader_info(reader)->width, 100);
	test_int(pc_file_reader_info(reader)->height, 66);
	int64_t time_ns;
	test_int(pc_file_reader_next(reader, &time_ns), 0);
	check_picture(reader, 0, 0);
	pc_file_reader_close(reader);
}

static void test_turned(void)
{
	for (int turn = 0; turn < 8; turn++) {
		const int clockwise = turn % 4 * 90;
		/* Plain I420, which is turned at once, and another format, converted first. */
		const struct clip clip = { in_folder("turned.mp4"), "libx264",
			turn < 4 ? "yuv420p" : "yuv444p", 160, 96, 2, clockwise, 25, NULL, NULL };
		clip_write(&clip);
		struct pc_file_reader *reader = open_file(clip.path);
		const bool sideways = clockwise % 180 != 0;
		test_int(pc_file_reader_info(reader)->width, sideways ? 96 : 160);
		test_int(pc_file_reader_info(reader)->height, sideways ? 160 : 96);
		int64_t time_ns;
		test_int(pc_file_reader_next(reader, &time_ns), 0);
		check_picture(reader, 0, (unsigned)clockwise);
		pc_file_reader_close(reader);
	}
}

static void test_variable_rate(void)
{
	static const int times[] = { 0, 1, 5, 6, 46, 50, 850, 852 };
	const struct clip clip = { in_folder("vfr.mp4"), "libx264", "yuv420p", 160, 96, 8, 0, 25,
		times, NULL };
	clip_write(&clip);
	struct pc_file_reader *reader = open_file(clip.path);
	const int64_t frame_ns = pc_file_reader_info(reader)->frame_ns;
	/* Eight seconds without a picture are left out: no camera may give nothing so long. */
	const int64_t left_out_ns = 800 * 10 * PC_NS_PER_MS - frame_ns;
	for (unsigned n = 0; n < 8; n++) {
		int64_t time_ns = -1;
		test_int(pc_file_reader_next(reader, &time_ns), 0);
		test_int(time_ns, times[n] * 10 * PC_NS_PER_MS - (n >= 6 ? left_out_ns : 0));
	}
	pc_file_reader_close(reader);
}

static void append_file(const char *to, const char *from)
{
	char bytes[65536];
	const int in = open(from, O_RDONLY | O_CLOEXEC);
	const int out = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ssize_t n;
	while ((n = read(in, bytes, sizeof(bytes))) > 0) {
		test_int(write(out, bytes, (size_t)n), n);
	}
	close(in);
	close(out);
}

static void test_size_changes_in_the_middle(void)
{
	const struct clip a = { in_folder("one.h264"), "libx264", "yuv420p", 160, 96, 5, 0, 25,
		NULL, NULL };
	const struct clip b = { in_folder("two.h264"), "libx264", "yuv420p", 320, 240, 5, 0, 25,
		NULL, NULL };
	clip_write(&a);
	clip_write(&b);
	append_file(a.path, b.path);
	struct pc_file_reader *reader = open_file(a.path);
	for (unsigned n = 0; n < 10; n++) {
		int64_t time_ns;
		test_int(pc_file_reader_next(reader, &time_ns), 0);
		test_int(pc_file_reader_info(reader)->width, 160);
		check_picture(reader, n % 5, 0);
	}
	pc_file_reader_close(reader);
}

static void test_damaged(void)
{
	const struct clip clip = { in_folder("whole.mp4"), "libx264", "yuv420p", 320, 180, 60, 0,
		30, NULL, "faststart" };
	clip_write(&clip);
	struct stat st;
	test_int(stat(clip.path, &st), 0);

	/* Cut off: what is there plays. */
	test_int(truncate(clip.path, st.st_size * 6 / 10), 0);
	struct pc_file_reader *reader = open_file(clip.path);
	const unsigned n = read_all(reader);
	test_assert(n > 10 && n < 60);
	test_int(pc_file_reader_rewind(reader), 0);
	test_int(read_all(reader), n);
	pc_file_reader_close(reader);

	/* A hole in the middle: the rest plays. */
	clip_write(&clip);
	int fd = open(clip.path, O_RDWR | O_CLOEXEC);
	uint8_t noise[400];
	memset(noise, 0xff, sizeof(noise));
	test_int(pwrite(fd, noise, sizeof(noise), st.st_size / 2), sizeof(noise));
	close(fd);
	reader = open_file(clip.path);
	test_assert(read_all(reader) >= 40);
	test_assert(pc_file_reader_bad(reader) > 0);
	pc_file_reader_close(reader);
}

/* Whatever stands in a file: an answer, in time, and no crash. */
static void test_noise_in_files(void)
{
	const char *const endings[] = { "noise.mp4", "noise.mkv", "noise.ts" };
	uint32_t state = 12345;
	for (int i = 0; i < 60; i++) {
		const struct clip clip = { in_folder(endings[i % 3]), "libx264", "yuv420p", 96, 64,
			20, 0, 30, NULL, NULL };
		clip_write(&clip);
		struct stat st;
		test_int(stat(clip.path, &st), 0);
		const int fd = open(clip.path, O_RDWR | O_CLOEXEC);
		for (int k = 0; k < 1 + i; k++) {
			state = state * 1664525 + 1013904223;
			const uint8_t byte = (uint8_t)(state >> 24);
			test_int(pwrite(fd, &byte, 1, (off_t)(state >> 4) % st.st_size), 1);
		}
		close(fd);
		char why[160];
		struct pc_file_reader *reader = NULL;
		if (pc_file_reader_open(clip.path, &stop, why, sizeof(why), &reader) == 0) {
			int64_t time_ns;
			int r = 0;
			for (unsigned n = 0; n < 1000 && r == 0; n++) {
				r = pc_file_reader_next(reader, &time_ns);
			}
			test_assert(r == -ENODATA || r == 0);
		} else {
			test_assert(why[0] != '\0');
		}
		pc_file_reader_close(reader);
	}
}

static void refused(const char *path, int err, const char *word)
{
	char why[160] = "";
	struct pc_file_reader *reader = NULL;
	test_int(pc_file_reader_open(path, &stop, why, sizeof(why), &reader), err);
	test_assert(reader == NULL);
	if (strstr(why, word) == NULL) {
		test_fail("%s: \"%s\" does not say \"%s\"", path, why, word);
	}
}

static const char *text_file(const char *name, const char *text, size_t size)
{
	const char *path = in_folder(name);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	test_int(write(fd, text, size), size);
	close(fd);
	return path;
}

static void test_refusals(void)
{
	refused(in_folder("nothing.mp4"), -ENOENT, "no such file");
	refused("", -ENOENT, "no such file");
	refused("http://127.0.0.1:1/x.mp4", -ENOENT, "no such file");
	refused(folder, -EISDIR, "is a directory");
	refused(text_file("empty.mp4", "", 0), -EINVAL, "the file is empty");
	static const char text[] = "This is not a video.\n";
	refused(text_file("text.mp4", text, sizeof(text) - 1), -EBADMSG, "not a video");
	const char *fifo = in_folder("fifo.mp4");
	test_int(mkfifo(fifo, 0600), 0);
	refused(fifo, -EINVAL, "is not a file");
	refused("/dev/null", -EINVAL, "is not a file");
	const struct clip tiny = { in_folder("tiny.mkv"), "ffv1", "yuv420p", 16, 16, 2, 0, 25, NULL,
		NULL };
	clip_write(&tiny);
	refused(tiny.path, -EINVAL, "16x16 is not within 32x32");

	static char wav[44 + 8000] = "RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0"
				     "\x40\x1f\0\0\x01\0\x08\0data\x40\x1f\0\0";
	refused(text_file("sound.wav", wav, sizeof(wav)), -EINVAL, "no video track");

	const struct clip clip = { in_folder("moov_last.mp4"), "libx264", "yuv420p", 160, 96, 20, 0,
		25, NULL, NULL };
	clip_write(&clip);
	struct stat st;
	test_int(stat(clip.path, &st), 0);
	test_int(truncate(clip.path, st.st_size / 2), 0);
	refused(clip.path, -EBADMSG, "cut off");
}

/* Playlists and the like must open neither connections nor other files. */
static void test_nothing_else_is_opened(void)
{
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	test_int(bind(listener, (struct sockaddr *)&address, size), 0);
	test_int(listen(listener, 5), 0);
	test_int(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	const struct clip clip = { in_folder("good.ts"), "libx264", "yuv420p", 160, 96, 20, 0, 25,
		NULL, NULL };
	clip_write(&clip);
	const unsigned port = ntohs(address.sin_port);
	char text[512];
	const char *const forms[] = {
		"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:%u/a.ts\n"
		"#EXT-X-ENDLIST\n",
		"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:%u/a.m3u8\n",
		"ffconcat version 1.0\nfile 'http://127.0.0.1:%u/a.ts'\n",
		"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video %u RTP/AVP 96\n"
		"a=rtpmap:96 H264/90000\n",
		"<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" "
		"mediaPresentationDuration=\"PT1S\" profiles=\"urn:mpeg:dash:profile:isoff-main:2011\">"
		"<Period><AdaptationSet><Representation id=\"1\" mimeType=\"video/mp4\">"
		"<BaseURL>http://127.0.0.1:%u/a.mp4</BaseURL></Representation></AdaptationSet>"
		"</Period></MPD>",
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		/* The format is one of ours above. */
		const char *at = strstr(forms[i], "%u");
		const int n = snprintf(text, sizeof(text), "%.*s%u%s", (int)(at - forms[i]),
			forms[i], port, at + 2);
		refused(text_file("list.m3u8", text, (size_t)n), -EBADMSG, "not a video");
		test_int(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
		test_int(errno, EAGAIN);
	}
	const int n = snprintf(text, sizeof(text),
		"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n%s\n#EXT-X-ENDLIST\n", clip.path);
	refused(text_file("list.m3u8", text, (size_t)n), -EBADMSG, "not a video");
	close(listener);
}

static void test_stop(void)
{
	const struct clip clip = { in_folder("stop.mp4"), "libx264", "yuv420p", 160, 96, 5, 0, 25,
		NULL, NULL };
	clip_write(&clip);
	struct pc_file_reader *reader = open_file(clip.path);
	int64_t time_ns;
	test_int(pc_file_reader_next(reader, &time_ns), 0);
	atomic_store(&stop, true);
	test_int(pc_file_reader_next(reader, &time_ns), -ECANCELED);
	pc_file_reader_close(reader);
	atomic_store(&stop, false);
}

static void test_every_failure(void)
{
	const struct clip clip = { in_folder("fault.mp4"), "libx264", "yuv420p", 160, 96, 5, 0, 25,
		NULL, NULL };
	clip_write(&clip);
	const enum fault_kind kinds[] = { FAULT_ALLOC, FAULT_OPEN };
	const int errors[] = { ENOMEM, EACCES };
	for (int k = 0; k < 2; k++) {
		for (unsigned n = 1;; n++) {
			char why[160] = "";
			struct pc_file_reader *reader = NULL;
			fault_arm(kinds[k], n, errors[k]);
			const int r =
				pc_file_reader_open(clip.path, &stop, why, sizeof(why), &reader);
			const bool hit = fault_disarm();
			test_int(r, hit ? -errors[k] : 0);
			if (hit) {
				test_str(why, k == 0 ? "out of memory" : "permission denied");
			}
			pc_file_reader_close(reader);
			if (!hit) {
				break;
			}
		}
	}
}

/* The clips of the shared folder, where it is there: none is bad, each loops exactly. */
static void test_shared_clips(void)
{
	static const struct {
		const char *name;
		unsigned width, height, frames;
	} clips[] = {
		{ "v03_cat_jumps_on_chair.mp4", 640, 338, 223 },
		{ "v05_cat_eating_from_hand.mp4", 630, 354, 402 },
		{ "v04_cat_lying_handheld.mp4", 480, 848, 491 },
		{ "v09_davis_dog.mp4", 854, 480, 60 },
	};
	const char *shared = getenv("PETCAM_SHARED");
	for (size_t i = 0; i < sizeof(clips) / sizeof(clips[0]) && shared != NULL; i++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/data/video/%s", shared, clips[i].name);
		if (access(path, R_OK) < 0) {
			printf("no %s\n", path);
			continue;
		}
		struct pc_file_reader *reader = open_file(path);
		test_int(pc_file_reader_info(reader)->width, clips[i].width);
		test_int(pc_file_reader_info(reader)->height, clips[i].height);
		test_int(read_all(reader), clips[i].frames);
		test_int(pc_file_reader_rewind(reader), 0);
		test_int(read_all(reader), clips[i].frames);
		test_int(pc_file_reader_bad(reader), 0);
		pc_file_reader_close(reader);
	}
}

static void clean_up(void)
{
	clip_remove_folder(folder);
}

int main(void)
{
	av_log_set_level(AV_LOG_QUIET);
	test_assert(mkdtemp(folder) != NULL);
	atexit(clean_up);
	TEST_RUN(test_all_pictures_twice);
	TEST_RUN(test_odd_sizes_are_cropped);
	TEST_RUN(test_turned);
	TEST_RUN(test_variable_rate);
	TEST_RUN(test_size_changes_in_the_middle);
	TEST_RUN(test_damaged);
	TEST_RUN(test_noise_in_files);
	TEST_RUN(test_refusals);
	TEST_RUN(test_nothing_else_is_opened);
	TEST_RUN(test_stop);
	TEST_RUN(test_every_failure);
	TEST_RUN(test_shared_clips);
	return test_end();
}
