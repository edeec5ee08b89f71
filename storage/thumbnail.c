/* storage/thumbnail.c - JPEGs of events, beside their clips. */
#include "storage/storage_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/still.h"
#include "storage/clip_internal.h"

#define WIDTH 320

int pc_thumbnail_make(struct pc_storage *storage, const char *clip_path, int64_t event_id,
	const struct pc_fragment *fragment)
{
	char path[PC_STORAGE_PATH_MAX];
	uint8_t *jpeg;
	size_t size;
	int r = pc_thumbnail_path(clip_path, event_id, path, sizeof(path));
	if (r < 0) {
		return r;
	}
	r = pc_still_jpeg(fragment, WIDTH, &jpeg, &size);
	if (r < 0) {
		return r;
	}
	/* The file first, the row behind it. A crash in between: reconcile.c. */
	r = pc_root_write_file(storage->root_fd, path, jpeg, size);
	free(jpeg);
	if (r < 0) {
		return r;
	}
	r = pc_db_begin(&storage->db, false);
	if (r == 0) {
		r = pc_events_set_thumbnail(storage, event_id, path);
		if (r == 0) {
			r = pc_db_commit(&storage->db);
		} else {
			pc_db_rollback(&storage->db);
		}
	}
	if (r < 0) {
		pc_clip_remove(storage->root_fd, path);
	}
	return r;
}

bool pc_thumbnail_whole(int root_fd, const char *path)
{
	uint8_t head[2], tail[2];
	int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		return false;
	}
	off_t end = lseek(fd, 0, SEEK_END);
	bool whole = end > 4 && pread(fd, head, 2, 0) == 2 && pread(fd, tail, 2, end - 2) == 2 &&
		     head[0] == 0xff && head[1] == 0xd8 && tail[0] == 0xff && tail[1] == 0xd9;
	(void)close(fd);
	return whole;
}
