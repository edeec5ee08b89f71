/* tests/fuzz/fuzz_file.c - any bytes as the video of a file source.
 *
 * Input: the file. A few pictures are taken, the file is rewound, a few more. Half a second of
 * processor time, then "nobody waits any more".
 */
#include <errno.h>
#include <libavutil/log.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "petcamd/file_reader.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (256 * 1024)
#define PICTURES 6

static atomic_bool stop;

static void on_time(int number)
{
	atomic_store(&stop, true);
}

static void set_timer(unsigned ms)
{
	const struct itimerval timer = { .it_value = { .tv_usec = (suseconds_t)ms * 1000 } };
	fuzz_assert(setitimer(ITIMER_VIRTUAL, &timer, NULL) == 0);
}

static void take_pictures(struct pc_file_reader *reader)
{
	const struct pc_file_reader_info *info = pc_file_reader_info(reader);
	fuzz_assert(info->width >= 32 && info->width <= 4096 && info->width % 2 == 0);
	fuzz_assert(info->height >= 32 && info->height <= 4096 && info->height % 2 == 0);
	fuzz_assert(info->fps >= 1 && info->fps <= 120 && info->frame_ns > 0);
	/* One allocation a plane: a row too many is seen. */
	const uint32_t strides[3] = { info->width, info->width / 2, info->width / 2 };
	uint8_t *planes[3];
	for (unsigned i = 0; i < 3; i++) {
		planes[i] = malloc((size_t)strides[i] * (i == 0 ? info->height : info->height / 2));
		fuzz_assert(planes[i] != NULL);
	}
	int64_t last_ns = INT64_MIN;
	for (unsigned i = 0; i < PICTURES; i++) {
		int64_t time_ns;
		const int r = pc_file_reader_next(reader, &time_ns);
		if (r < 0) {
			break;
		}
		fuzz_assert(time_ns > last_ns);
		last_ns = time_ns;
		(void)pc_file_reader_copy(reader, planes, strides);
	}
	for (unsigned i = 0; i < 3; i++) {
		free(planes[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX) {
		return 0;
	}
	char path[64], why[256] = "";
	const int fd = memfd_create("fuzz", MFD_CLOEXEC);
	fuzz_assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	av_log_set_level(AV_LOG_QUIET);
	signal(SIGVTALRM, on_time);
	atomic_store(&stop, false);
	set_timer(500);

	struct pc_file_reader *reader = NULL;
	const int r = pc_file_reader_open(path, &stop, why, sizeof(why), &reader);
	if (r == 0) {
		fuzz_assert(reader != NULL && why[0] == '\0');
		take_pictures(reader);
		if (pc_file_reader_rewind(reader) == 0) {
			take_pictures(reader);
		}
		pc_file_reader_close(reader);
	} else {
		fuzz_assert(reader == NULL && why[0] != '\0');
		fuzz_assert(memchr(why, '\0', sizeof(why)) != NULL);
	}
	set_timer(0);
	close(fd);
	return 0;
}
