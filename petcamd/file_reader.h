/* petcamd/file_reader.h - the pictures of a video file, one after the other, as I420.
 *
 * Reads a regular file through a file descriptor of its own: nothing that stands in it
 * (playlists, references) opens another file or a network connection.
 *
 * Sizes are as decoded, cropped to even, and turned upright where the file says how it
 * was held. What is not I420 in limited range is converted.
 *
 * Thread: one at a time; every call may read the disk and decode.
 */
#ifndef PC_PETCAMD_FILE_READER_H
#define PC_PETCAMD_FILE_READER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pc_file_reader;

struct pc_file_reader_info {
	unsigned width; /* even, of the pictures that come out */
	unsigned height;
	double fps; /* nominal, 1..120 */
	int64_t frame_ns; /* 1 / fps */
};

/* `stop` becomes true when nobody waits for an answer any more: calls end with -ECANCELED.
 * 0 or negative errno and `why`, without the path: "no such file". */
int pc_file_reader_open(const char *path, const atomic_bool *stop, char *why, size_t why_size,
	struct pc_file_reader **ret_reader);
const struct pc_file_reader_info *pc_file_reader_info(const struct pc_file_reader *reader);

/* Decodes the next picture. 0 and its time since the first one, strictly increasing; holes of
 * more than half a second and two pictures are left out.
 * -ENODATA at the end; -ECANCELED; -EIO when the file cannot be read; -ENOMEM. What does
 * not decode is passed over and counted. */
int pc_file_reader_next(struct pc_file_reader *reader, int64_t *ret_time_ns);

/* Writes the picture that next() found into three planes. 0, -ENOMEM, -EINVAL. */
int pc_file_reader_copy(struct pc_file_reader *reader, uint8_t *const planes[static 3],
	const uint32_t strides[static 3]);

/* The next picture is the first one again, at time 0. 0, -EIO: the file cannot do that. */
int pc_file_reader_rewind(struct pc_file_reader *reader);

/* Packets and pictures passed over so far because they do not decode. */
uint64_t pc_file_reader_bad(const struct pc_file_reader *reader);

void pc_file_reader_close(struct pc_file_reader *reader); /* NULL is fine */

#endif
