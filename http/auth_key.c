/* http/auth_key.c - the signing key's file; see auth_key.h. */
#include "http/auth_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PC_LOG_MODULE "auth"
#include "core/log.h"

#define KEY_NAME "jwt.key"
#define KEY_NEW_NAME "jwt.key.new"

/* 0; -ENOENT: none; -EINVAL: not one to be trusted. */
static int read_key(int folder_fd, uint8_t key[static PC_CRYPTO_KEY_SIZE])
{
	int fd = openat(folder_fd, KEY_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		return errno == ELOOP ? -EINVAL : -errno;
	}
	int r = -EINVAL;
	struct stat st;
	uint8_t bytes[PC_CRYPTO_KEY_SIZE + 1];
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0 &&
		read(fd, bytes, sizeof(bytes)) == PC_CRYPTO_KEY_SIZE) {
		memcpy(key, bytes, PC_CRYPTO_KEY_SIZE);
		r = 0;
	}
	pc_crypto_forget(bytes, sizeof(bytes));
	close(fd);
	return r;
}

static int write_key(int folder_fd, const uint8_t key[static PC_CRYPTO_KEY_SIZE])
{
	/* What a crash left over. */
	if (unlinkat(folder_fd, KEY_NEW_NAME, 0) < 0 && errno != ENOENT) {
		return -errno;
	}
	int fd = openat(folder_fd, KEY_NEW_NAME,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return -errno;
	}
	int r = 0;
	ssize_t n = write(fd, key, PC_CRYPTO_KEY_SIZE);
	if (n != PC_CRYPTO_KEY_SIZE) {
		r = n < 0 ? -errno : -EIO;
	} else if (fsync(fd) < 0) {
		r = -errno;
	}
	close(fd);
	if (r == 0 && renameat(folder_fd, KEY_NEW_NAME, folder_fd, KEY_NAME) < 0) {
		r = -errno;
	}
	if (r < 0) {
		unlinkat(folder_fd, KEY_NEW_NAME, 0);
		return r;
	}
	return fsync(folder_fd) < 0 ? -errno : 0;
}

int pc_auth_key_load(const char *folder, uint8_t ret_key[static PC_CRYPTO_KEY_SIZE])
{
	if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
		return -errno;
	}
	int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder_fd < 0) {
		return -errno;
	}
	int r = read_key(folder_fd, ret_key);
	if (r == -EINVAL) {
		pc_warn("%s/" KEY_NAME " is damaged or open to others: a new one is made, "
			"everybody must log in again",
			folder);
	}
	if (r == -EINVAL || r == -ENOENT) {
		uint8_t key[PC_CRYPTO_KEY_SIZE];
		r = pc_crypto_random(key, sizeof(key));
		if (r == 0) {
			r = write_key(folder_fd, key);
		}
		if (r == 0) {
			memcpy(ret_key, key, sizeof(key));
		}
		pc_crypto_forget(key, sizeof(key));
	}
	close(folder_fd);
	return r;
}
