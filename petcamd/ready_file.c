/* petcamd/ready_file.c - see ready_file.h. */
#include "petcamd/ready_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		const ssize_t n = write(fd, data, size);
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int pc_ready_file_write(const char *path, const char *url, const char *setup_code)
{
	json_t *object = json_pack("{s:s, s:I, s:s?}", "url", url, "pid", (json_int_t)getpid(),
		"setup_code", setup_code);
	char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (text == NULL) {
		return -ENOMEM;
	}
	char temporary[4096];
	int r = -ENAMETOOLONG;
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.tmp", path) < sizeof(temporary)) {
		(void)unlink(temporary);
		const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : write_all(fd, text, strlen(text));
		if (fd >= 0) {
			close(fd);
		}
		if (r == 0 && rename(temporary, path) < 0) {
			r = -errno;
		}
		if (r < 0 && fd >= 0) {
			(void)unlink(temporary);
		}
	}
	free(text);
	return r;
}
