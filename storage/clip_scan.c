/* storage/clip_scan.c - what of a recording is whole, and its repair; see clip_internal.h. */
#include "storage/clip_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOURCC_FREE PC_MP4_TYPE('f', 'r', 'e', 'e')
#define FOURCC_FTYP PC_MP4_TYPE('f', 't', 'y', 'p')
#define FOURCC_MEHD PC_MP4_TYPE('m', 'e', 'h', 'd')
#define FOURCC_MFRA PC_MP4_TYPE('m', 'f', 'r', 'a')
#define FOURCC_MDAT PC_MP4_TYPE('m', 'd', 'a', 't')
#define FOURCC_MOOF PC_MP4_TYPE('m', 'o', 'o', 'f')
#define FOURCC_MOOV PC_MP4_TYPE('m', 'o', 'o', 'v')
#define FOURCC_MVEX PC_MP4_TYPE('m', 'v', 'e', 'x')
#define FOURCC_SIDX PC_MP4_TYPE('s', 'i', 'd', 'x')

#define HEADER_MAX (64 * 1024)
#define MEHD_SIZE 20
#define MOOF_MAX (64 * 1024)
#define MOOF_USUAL 512
#define MDAT_MAX (64 * 1024 * 1024)
/* The pictures' bytes are looked at this far back from the end: data that was synced longer ago
 * than a second is on the disk, and 32 MiB are more than ten seconds. */
#define PAYLOAD_TAIL (32 * 1024 * 1024)

struct scan {
	struct pc_clip *clip;
	uint64_t file_size;
	uint8_t *buffer; /* grows */
	size_t capacity;
	uint64_t trailer; /* where what is not a fragment begins */
};

static int read_at(int fd, uint8_t *data, size_t size, uint64_t offset, size_t *ret_n)
{
	size_t got = 0;
	while (got < size) {
		ssize_t n = pread(fd, data + got, size - got, (off_t)(offset + got));
		if (n < 0) {
			if (errno == EINTR) {
				continue;
			}
			return -errno;
		}
		if (n == 0) {
			break;
		}
		got += (size_t)n;
	}
	*ret_n = got;
	return 0;
}

/* Exactly `size` bytes into the buffer. -ENODATA: the file ends before. */
static int load(struct scan *scan, uint64_t offset, size_t size)
{
	if (offset > scan->file_size || size > scan->file_size - offset) {
		return -ENODATA;
	}
	if (size > scan->capacity) {
		uint8_t *buffer = realloc(scan->buffer, size);
		if (buffer == NULL) {
			return -ENOMEM;
		}
		scan->buffer = buffer;
		scan->capacity = size;
	}
	size_t n = 0;
	int r = read_at(scan->clip->fd, scan->buffer, size, offset, &n);
	if (r < 0) {
		return r;
	}
	return n == size ? 0 : -ENODATA;
}

/* Whether a sample is a chain of NAL units that can be H.264: none has three zero bytes in a row,
 * or ends with one (7.4.1), while a page that never reached the disk is all zeros. */
static bool pictures_whole(const uint8_t *data, size_t size)
{
	size_t at = 0;
	while (at < size) {
		if (size - at < 5) {
			return false;
		}
		size_t n = pc_mp4_get32(data + at);
		at += 4;
		if (n == 0 || n > size - at || (data[at] & 0x80) != 0 || (data[at] & 0x1f) == 0 ||
			data[at + n - 1] == 0) {
			return false;
		}
		unsigned zeros = 0;
		for (size_t end = at + n; at < end; at++) {
			zeros = data[at] == 0 ? zeros + 1 : 0;
			if (zeros == 3) {
				return false;
			}
		}
	}
	return true;
}

/* One moof and its mdat at `offset`. 0; -ENODATA: none is whole there; other errors. */
static int scan_fragment(
	struct scan *scan, uint64_t offset, struct pc_mp4_moof *moof, uint64_t *ret_size)
{
	uint64_t left = scan->file_size - offset;
	int r = load(scan, offset, left < MOOF_USUAL ? (size_t)left : MOOF_USUAL);
	if (r < 0) {
		return r;
	}
	if (left < 16 || pc_mp4_get32(scan->buffer + 4) != FOURCC_MOOF) {
		return -ENODATA;
	}
	size_t moof_size = pc_mp4_get32(scan->buffer);
	if (moof_size < 16 || moof_size > MOOF_MAX) {
		return -ENODATA;
	}
	if (moof_size + 8 > MOOF_USUAL || moof_size + 8 > left) {
		r = load(scan, offset, moof_size + 8);
		if (r < 0) {
			return r;
		}
	}
	size_t mdat_size = pc_mp4_get32(scan->buffer + moof_size);
	if (pc_mp4_get32(scan->buffer + moof_size + 4) != FOURCC_MDAT || mdat_size < 8 ||
		mdat_size > MDAT_MAX || moof_size + mdat_size > left ||
		pc_mp4_read_moof(scan->buffer, moof_size, &scan->clip->layout, moof) < 0 ||
		moof->sample_bytes != mdat_size - 8) {
		return -ENODATA;
	}
	if (scan->clip->layout.index_offset != 0 && left <= PAYLOAD_TAIL) {
		r = load(scan, offset + moof_size + 8, mdat_size - 8);
		if (r < 0) {
			return r;
		}
		if (!pictures_whole(scan->buffer, mdat_size - 8)) {
			return -ENODATA;
		}
	}
	*ret_size = moof_size + mdat_size;
	return 0;
}

static int add_key(struct pc_clip *clip, int64_t time, uint64_t offset)
{
	if (clip->written.n_keys == clip->n_keys_max) {
		unsigned n = clip->n_keys_max == 0 ? 64 : clip->n_keys_max * 2;
		struct pc_clip_key *keys = realloc(clip->keys, n * sizeof(*keys));
		if (keys == NULL) {
			return -ENOMEM;
		}
		clip->keys = keys;
		clip->n_keys_max = n;
	}
	clip->keys[clip->written.n_keys++] = (struct pc_clip_key){ time, offset };
	return 0;
}

/* Walks the fragments from where they start. */
static int scan_fragments(struct scan *scan)
{
	struct pc_clip *clip = scan->clip;
	struct pc_clip_extent *extent = &clip->written;
	bool ours = clip->layout.index_offset != 0;
	uint64_t offset = clip->layout.fragments_offset;
	extent->size = offset;
	while (offset < scan->file_size) {
		struct pc_mp4_moof moof;
		uint64_t size;
		int r = scan_fragment(scan, offset, &moof, &size);
		if (r == -ENODATA) {
			break;
		}
		if (r < 0) {
			return r;
		}
		if (extent->frames == 0) {
			if (!moof.key) {
				break; /* it cannot be decoded from its start */
			}
			clip->base_time = moof.time;
			clip->sequence = moof.sequence;
		}
		int64_t time = moof.time - clip->base_time;
		/* Left-overs of an older file in the same blocks would not go on counting; nor does a
		 * clip have a hole of hours (an index entry has 32 bits). */
		if (ours && (moof.sequence != clip->sequence ||
				    time + (int64_t)moof.duration < extent->end_time ||
				    time - extent->end_time > INT32_MAX)) {
			break;
		}
		if (moof.key) {
			r = add_key(clip, time, offset);
			if (r < 0) {
				return r;
			}
		}
		clip->sequence++;
		offset += size;
		extent->size = offset;
		extent->frames += moof.samples;
		if (time + (int64_t)moof.duration > extent->end_time) {
			extent->end_time = time + (int64_t)moof.duration;
		}
	}
	scan->trailer = offset;
	return 0;
}

/* Finds mark, moov and the first fragment in the head of the file. 0; -EINVAL: not an mp4 of
 * this kind. *ret_marked: petcam made it. */
static int scan_header(struct scan *scan, const uint8_t *data, size_t size, bool *ret_marked)
{
	struct pc_clip_layout *layout = &scan->clip->layout;
	struct pc_mp4_box box;
	size_t at = 0, moov_end = 0;
	int r = pc_mp4_next(data, size, &at, &box);
	if (r < 0 || box.type != FOURCC_FTYP) {
		return -EINVAL;
	}
	r = pc_mp4_next(data, size, &at, &box);
	if (r == 0 && box.type == FOURCC_FREE && box.size == PC_CLIP_MARK_BOX &&
		memcmp(data + box.body, pc_clip_mark, sizeof(pc_clip_mark)) == 0) {
		*ret_marked = true;
		layout->fragments_offset = pc_mp4_get32(data + box.body + 8);
	}
	/* Of a marked file the kept space may be torn, and need not be looked at. */
	for (; r == 0; r = pc_mp4_next(data, size, &at, &box)) {
		if (box.type == FOURCC_MOOV) {
			moov_end = box.offset + box.size;
			if (*ret_marked) {
				break;
			}
		} else if (box.type == FOURCC_MOOF) {
			layout->fragments_offset = box.offset;
			break;
		}
	}
	if (moov_end == 0 || layout->fragments_offset < moov_end ||
		pc_mp4_read_moov(data, moov_end, layout) < 0) {
		return -EINVAL;
	}
	if (*ret_marked) {
		/* The first box in it is the one kept for the duration, and nothing else may be
		 * written over. */
		static const uint32_t mvex[] = { FOURCC_MOOV, FOURCC_MVEX, 0 };
		if (pc_mp4_find(data, moov_end, mvex, &box) < 0 ||
			layout->fragments_offset < moov_end + 256) {
			return -EINVAL;
		}
		at = box.body;
		if (pc_mp4_next(data, box.offset + box.size, &at, &box) < 0 ||
			box.size != MEHD_SIZE ||
			(box.type != FOURCC_FREE && box.type != FOURCC_MEHD)) {
			return -EINVAL;
		}
		layout->mehd_offset = box.offset;
		layout->index_offset = moov_end;
		layout->index_size = layout->fragments_offset - moov_end;
	}
	return 0;
}

/* Whether a file of ours has its index and nothing torn: then it is left as it is. */
static bool is_finished(struct scan *scan)
{
	const struct pc_clip_layout *layout = &scan->clip->layout;
	uint64_t left = scan->file_size - scan->trailer;
	if (load(scan, layout->index_offset, 8) < 0 ||
		pc_mp4_get32(scan->buffer + 4) != FOURCC_SIDX ||
		load(scan, layout->mehd_offset, 8) < 0 ||
		pc_mp4_get32(scan->buffer + 4) != FOURCC_MEHD) {
		return false;
	}
	if (left == 0) {
		return true; /* there was no room for the mfra */
	}
	return left <= HEADER_MAX * 16 && load(scan, scan->trailer, (size_t)left) == 0 &&
	       left >= 16 && pc_mp4_get32(scan->buffer) == left &&
	       pc_mp4_get32(scan->buffer + 4) == FOURCC_MFRA &&
	       pc_mp4_get32(scan->buffer + left - 4) == left;
}

static bool all_zero(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] != 0) {
			return false;
		}
	}
	return true;
}

/* A file that carries our mark, or that is nothing at all yet. */
static int recover_ours(
	struct scan *scan, enum pc_clip_state *ret_state, struct pc_clip_info *ret_info)
{
	int r = scan_fragments(scan);
	if (r < 0) {
		return r;
	}
	if (scan->clip->written.n_keys == 0) {
		*ret_state = PC_CLIP_EMPTY;
		return 0;
	}
	if (is_finished(scan)) {
		pc_clip_get_info(scan->clip, ret_info);
		ret_info->bytes = scan->file_size;
	} else {
		scan->clip->synced = scan->clip->written;
		r = pc_clip_finish(scan->clip, ret_info);
		if (r < 0) {
			return r;
		}
	}
	*ret_state = PC_CLIP_WHOLE;
	return 0;
}

/* Somebody else's file under our name: it counts if it is whole, and is never written. */
static int recover_foreign(
	struct scan *scan, enum pc_clip_state *ret_state, struct pc_clip_info *ret_info)
{
	int r = scan_fragments(scan);
	if (r < 0) {
		return r;
	}
	uint64_t left = scan->file_size - scan->trailer;
	bool whole = left == 0 || (left >= 8 && load(scan, scan->trailer, 8) == 0 &&
					  pc_mp4_get32(scan->buffer) == left &&
					  pc_mp4_get32(scan->buffer + 4) == FOURCC_MFRA);
	*ret_state = whole && scan->clip->written.n_keys > 0 ? PC_CLIP_WHOLE : PC_CLIP_FOREIGN;
	if (*ret_state == PC_CLIP_WHOLE) {
		pc_clip_get_info(scan->clip, ret_info);
		ret_info->bytes = scan->file_size;
	}
	return 0;
}

int pc_clip_recover(
	int root_fd, const char *path, enum pc_clip_state *ret_state, struct pc_clip_info *ret_info)
{
	struct pc_clip clip = { .fd = -1 };
	struct scan scan = { .clip = &clip };
	uint8_t *header = NULL;
	struct stat st;
	size_t n = 0;
	bool marked = false;
	int r = 0;
	clip.fd = openat(root_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (clip.fd < 0) {
		return -errno;
	}
	*ret_info = (struct pc_clip_info){ 0 };
	if (fstat(clip.fd, &st) < 0) {
		r = -errno;
		goto out;
	}
	scan.file_size = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode)) {
		*ret_state = PC_CLIP_FOREIGN;
		goto out;
	}
	header = malloc(HEADER_MAX);
	if (header == NULL) {
		r = -ENOMEM;
		goto out;
	}
	r = read_at(clip.fd, header, HEADER_MAX, 0, &n);
	if (r < 0) {
		goto out;
	}
	if (scan.file_size <= HEADER_MAX && all_zero(header, n)) {
		*ret_state = PC_CLIP_EMPTY; /* made, and nothing of it reached the disk */
		goto out;
	}
	if (scan_header(&scan, header, n, &marked) < 0) {
		/* Ours by its mark; removable only if there is nothing behind the torn header. */
		bool nothing = marked && scan.file_size <= clip.layout.fragments_offset;
		*ret_state = nothing ? PC_CLIP_EMPTY : PC_CLIP_FOREIGN;
		goto out;
	}
	r = marked ? recover_ours(&scan, ret_state, ret_info)
		   : recover_foreign(&scan, ret_state, ret_info);
out:
	free(header);
	free(scan.buffer);
	free(clip.keys);
	(void)close(clip.fd);
	return r;
}
