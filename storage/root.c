/* storage/root.c - the data root: folders, lock, identity, small files written safely. */
#include "storage/storage_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PC_LOG_MODULE "storage"
#include "core/log.h"

#define UUID_PATH PC_RECORDINGS_FOLDER "/storage.uuid"
#define UUID_TEXT 37 /* with NUL */
#define PROBE_PATH PC_RECORDINGS_FOLDER "/.petcam-probe.tmp"
/* Recording does not begin again on a disk that has just a few blocks to spare. */
#define PROBE_SIZE (1024 * 1024)

/* File systems on which SQLite's locks and shared memory do not hold (linux/magic.h has not
 * all of them). */
static bool is_network(int fd)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0) {
		return false;
	}
	switch ((unsigned long)fs.f_type & 0xffffffffUL) {
	case 0x6969UL: /* NFS */
	case 0x517bUL: /* SMB */
	case 0xff534d42UL: /* CIFS */
	case 0xfe534d42UL: /* SMB2 */
		return true;
	default:
		return false;
	}
}

/* mkdir -p, 0700. */
static int make_root(const char *path)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(part)) {
		return n == 0 ? -EINVAL : -ENAMETOOLONG;
	}
	memcpy(part, path, n + 1);
	for (char *p = part + 1;; p++) {
		if (*p != '/' && *p != '\0') {
			continue;
		}
		bool last = *p == '\0';
		*p = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST) {
			return -errno;
		}
		if (last) {
			return 0;
		}
		*p = '/';
	}
}

static int sync_fd_of(int root_fd, const char *folder)
{
	int fd = openat(root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	int r = fsync(fd) < 0 ? -errno : 0;
	(void)close(fd);
	return r;
}

/* The folder part of `path`, "." if it has none. 0 or -ENAMETOOLONG. */
static int folder_of(const char *path, char out[static PC_STORAGE_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - path);
	if (n + 2 > PC_STORAGE_PATH_MAX) {
		return -ENAMETOOLONG;
	}
	if (n == 0) {
		memcpy(out, ".", 2);
		return 0;
	}
	memcpy(out, path, n);
	out[n] = '\0';
	return 0;
}

int pc_root_sync_folder(int root_fd, const char *path)
{
	char folder[PC_STORAGE_PATH_MAX];
	int r = folder_of(path, folder);
	return r < 0 ? r : sync_fd_of(root_fd, folder);
}

int pc_root_make_folders(int root_fd, const char *path)
{
	char part[PC_STORAGE_PATH_MAX];
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		size_t n = (size_t)(slash - path);
		if (n + 1 > sizeof(part)) {
			return -ENAMETOOLONG;
		}
		memcpy(part, path, n);
		part[n] = '\0';
		if (mkdirat(root_fd, part, 0700) < 0) {
			if (errno != EEXIST) {
				return -errno;
			}
			continue;
		}
		int r = pc_root_sync_folder(root_fd, part);
		if (r < 0) {
			/* Not known to be there after a crash: the next try makes it anew. */
			(void)unlinkat(root_fd, part, AT_REMOVEDIR);
			return r;
		}
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0) {
			if (errno == EINTR) {
				continue;
			}
			return -errno;
		}
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int pc_root_write_file(int root_fd, const char *path, const void *data, size_t size)
{
	char temporary[PC_STORAGE_PATH_MAX + 8];
	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	int fd = openat(root_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		return -errno;
	}
	int r = write_all(fd, data, size);
	if (r == 0 && fsync(fd) < 0) {
		r = -errno;
	}
	if (close(fd) < 0 && r == 0) {
		r = -errno;
	}
	if (r == 0 && renameat(root_fd, temporary, root_fd, path) < 0) {
		r = -errno;
	}
	if (r < 0) {
		(void)unlinkat(root_fd, temporary, 0);
		return r;
	}
	r = pc_root_sync_folder(root_fd, path);
	if (r < 0) {
		(void)unlinkat(root_fd, path, 0);
	}
	return r;
}

int pc_root_probe(struct pc_storage *storage)
{
	uint8_t *data = calloc(1, PROBE_SIZE);
	if (data == NULL) {
		return -ENOMEM;
	}
	int r = 0;
	int fd = openat(
		storage->root_fd, PROBE_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
	} else {
		r = write_all(fd, data, PROBE_SIZE);
		if (r == 0 && fsync(fd) < 0) {
			r = -errno;
		}
		(void)close(fd);
		(void)unlinkat(storage->root_fd, PROBE_PATH, 0);
	}
	free(data);
	return r;
}

int pc_root_usage(struct pc_storage *storage, double *ret_usage)
{
	struct statvfs fs;
	int fd = openat(storage->root_fd, PC_RECORDINGS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	int r = fstatvfs(fd, &fs) < 0 ? -errno : 0;
	(void)close(fd);
	if (r < 0) {
		return r;
	}
	/* As df does: what only root may fill counts neither as used nor as free. */
	double used = (double)(fs.f_blocks - fs.f_bfree);
	double all = used + (double)fs.f_bavail;
	*ret_usage = all > 0 ? used / all : 0;
	return 0;
}

static void make_uuid(char out[static UUID_TEXT])
{
	uint8_t b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b)) {
		abort(); /* cannot be for 16 bytes (getrandom(2)) */
	}
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, UUID_TEXT,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}

/* "" where there is no file or not one of 36 characters. */
static int read_uuid(struct pc_storage *storage, char out[static UUID_TEXT])
{
	out[0] = '\0';
	int fd = openat(storage->root_fd, UUID_PATH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return errno == ENOENT ? 0 : -errno;
	}
	char text[UUID_TEXT];
	ssize_t n = read(fd, text, UUID_TEXT - 1);
	int r = n < 0 ? -errno : 0;
	(void)close(fd);
	if (n == UUID_TEXT - 1) {
		memcpy(out, text, UUID_TEXT - 1);
		out[UUID_TEXT - 1] = '\0';
	}
	return r;
}

int pc_root_identify(struct pc_storage *storage)
{
	char known[UUID_TEXT], found[UUID_TEXT];
	int r = read_uuid(storage, found);
	if (r < 0) {
		return r;
	}
	r = pc_storage_setting_get(&storage->db, "storage_uuid", known, sizeof(known));
	if (r == 0) {
		return found[0] != '\0' && strcmp(known, found) == 0 ? 0 : -ENODEV;
	}
	if (r != -ENOENT) {
		return r;
	}
	/* A new catalogue: it takes the disk as it is. The file comes first, so that a crash in
	 * between leaves one that the next start takes over. */
	if (found[0] == '\0') {
		make_uuid(found);
		r = pc_root_make_folders(storage->root_fd, UUID_PATH);
		if (r == 0) {
			r = pc_root_write_file(storage->root_fd, UUID_PATH, found, UUID_TEXT - 1);
		}
		if (r < 0) {
			return r;
		}
	}
	r = pc_db_begin(&storage->db, true);
	if (r < 0) {
		return r;
	}
	r = pc_storage_setting_put(&storage->db, "storage_uuid", found);
	if (r < 0) {
		pc_db_rollback(&storage->db);
		return r;
	}
	return pc_db_commit(&storage->db);
}

static int take_lock(struct pc_storage *storage)
{
	storage->lock_fd =
		openat(storage->root_fd, "petcam.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (storage->lock_fd < 0) {
		return -errno;
	}
	if (flock(storage->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	return 0;
}

int pc_root_open(struct pc_storage *storage, const char *root, char *why, size_t why_size)
{
	int r = make_root(root);
	if (r < 0) {
		(void)snprintf(
			why, why_size, "data root %s cannot be made: %s", root, pc_strerror(r));
		return r;
	}
	storage->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (storage->root_fd < 0) {
		r = -errno;
		(void)snprintf(why, why_size, "data root %s: %s", root, pc_strerror(r));
		return r;
	}
	storage->root = realpath(root, NULL);
	if (storage->root == NULL) {
		r = -errno;
		(void)snprintf(why, why_size, "data root %s: %s", root, pc_strerror(r));
		return r;
	}
	if (is_network(storage->root_fd)) {
		(void)snprintf(why, why_size,
			"data root %s is on a network file system, where a database is not safe",
			root);
		return -ENOTSUP;
	}
	r = take_lock(storage);
	if (r == -EBUSY) {
		(void)snprintf(why, why_size, "data root %s is in use by another petcam", root);
	} else if (r < 0) {
		(void)snprintf(
			why, why_size, "data root %s cannot be written: %s", root, pc_strerror(r));
	}
	return r;
}

void pc_root_close(struct pc_storage *storage)
{
	if (storage->lock_fd >= 0) {
		(void)close(storage->lock_fd); /* and with it the lock */
	}
	if (storage->root_fd >= 0) {
		(void)close(storage->root_fd);
	}
	free(storage->root);
}
