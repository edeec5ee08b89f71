/* storage/clip.c - one recording as a file, see clip_internal.h. */
#include "storage/clip_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/storage_internal.h"

#define FOURCC_FREE PC_MP4_TYPE('f', 'r', 'e', 'e')
#define FOURCC_FTYP PC_MP4_TYPE('f', 't', 'y', 'p')
#define FOURCC_MOOV PC_MP4_TYPE('m', 'o', 'o', 'v')
#define FOURCC_MVEX PC_MP4_TYPE('m', 'v', 'e', 'x')
#define FOURCC_SIDX PC_MP4_TYPE('s', 'i', 'd', 'x')
#define FOURCC_MEHD PC_MP4_TYPE('m', 'e', 'h', 'd')
#define FOURCC_MFRA PC_MP4_TYPE('m', 'f', 'r', 'a')
#define FOURCC_TFRA PC_MP4_TYPE('t', 'f', 'r', 'a')
#define FOURCC_MFRO PC_MP4_TYPE('m', 'f', 'r', 'o')

#define MEHD_SIZE 20
#define INDEX_LEAST 6144 /* bytes: 500 seek points before they are thinned out */
#define HEADER_ALIGN 4096
#define SIDX_HEAD 32
#define SIDX_ENTRY 12
#define TFRA_ENTRY 19
#define MFRA_HEAD 32 /* mfra and tfra up to the entries */
#define MFRO_SIZE 16

#define BATCH 32 /* fragments a writev */
#define SCRATCH (32 * 1024) /* their moofs */

/* What append() needs beside the clip, on the heap: too much for a stack. */
struct batch {
	struct iovec iov[2 * BATCH];
	uint64_t sizes[BATCH];
	uint8_t moofs[SCRATCH];
};

struct writing_clip {
	struct pc_clip clip; /* first: a pc_clip is one of these where it was created */
	struct batch batch;
};

const uint8_t pc_clip_mark[8] = { 'p', 'e', 't', 'c', 'a', 'm', 0, 1 };

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static void put_box(uint8_t *data, size_t size, uint32_t type)
{
	pc_mp4_put32(data, (uint32_t)size);
	pc_mp4_put32(data + 4, type);
}

/* The file's header from the stream's init segment: *ret_data is malloc'ed. */
static int build_header(
	const struct pc_init *init, struct pc_clip_layout *layout, uint8_t **ret_data)
{
	static const uint32_t mvex_path[] = { FOURCC_MOOV, FOURCC_MVEX, 0 };
	static const uint32_t moov_path[] = { FOURCC_MOOV, 0 };
	struct pc_mp4_box ftyp, moov, mvex;
	size_t at = 0;
	if (pc_mp4_next(init->data, init->size, &at, &ftyp) < 0 || ftyp.type != FOURCC_FTYP ||
		pc_mp4_find(init->data, init->size, moov_path, &moov) < 0 ||
		pc_mp4_find(init->data, init->size, mvex_path, &mvex) < 0 ||
		pc_mp4_read_moov(init->data, init->size, layout) < 0) {
		return -EINVAL;
	}
	/* ftyp, mark, all else; the mehd's place is the first thing in the mvex. */
	size_t index = init->size + PC_CLIP_MARK_BOX + MEHD_SIZE;
	size_t size = round_up(index + INDEX_LEAST, HEADER_ALIGN);
	uint8_t *data = calloc(1, size);
	if (data == NULL) {
		return -ENOMEM;
	}
	memcpy(data, init->data, ftyp.size);
	uint8_t *mark = data + ftyp.size;
	put_box(mark, PC_CLIP_MARK_BOX, FOURCC_FREE);
	memcpy(mark + 8, pc_clip_mark, sizeof(pc_clip_mark));
	pc_mp4_put32(mark + 16, (uint32_t)size);
	size_t mehd = mvex.body + PC_CLIP_MARK_BOX;
	memcpy(mark + PC_CLIP_MARK_BOX, init->data + ftyp.size, mvex.body - ftyp.size);
	put_box(data + mehd, MEHD_SIZE, FOURCC_FREE);
	memcpy(data + mehd + MEHD_SIZE, init->data + mvex.body, init->size - mvex.body);
	pc_mp4_put32(data + moov.offset + PC_CLIP_MARK_BOX, (uint32_t)(moov.size + MEHD_SIZE));
	pc_mp4_put32(data + mvex.offset + PC_CLIP_MARK_BOX, (uint32_t)(mvex.size + MEHD_SIZE));
	put_box(data + index, size - index, FOURCC_FREE);
	layout->mehd_offset = mehd;
	layout->index_offset = index;
	layout->index_size = size - index;
	layout->fragments_offset = size;
	*ret_data = data;
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = pwrite(fd, data, size, (off_t)offset);
		if (n < 0) {
			if (errno == EINTR) {
				continue;
			}
			return -errno;
		}
		data += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int pc_clip_create(int root_fd, const char *path, const struct pc_init *init,
	unsigned expected_keys, struct pc_clip **ret_clip)
{
	struct writing_clip *writing = calloc(1, sizeof(*writing));
	if (writing == NULL) {
		return -ENOMEM;
	}
	struct pc_clip *clip = &writing->clip;
	uint8_t *header = NULL;
	clip->fd = -1;
	clip->sequence = 1;
	clip->n_keys_max = expected_keys < 64 ? 64 : expected_keys;
	clip->keys = calloc(clip->n_keys_max, sizeof(*clip->keys));
	int r = clip->keys == NULL ? -ENOMEM : build_header(init, &clip->layout, &header);
	if (r < 0) {
		goto fail;
	}
	r = pc_root_make_folders(root_fd, path);
	if (r < 0) {
		goto fail;
	}
	clip->fd = openat(root_fd, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (clip->fd < 0) {
		r = -errno;
		goto fail;
	}
	r = write_all(clip->fd, header, clip->layout.fragments_offset, 0);
	if (r == 0 && fsync(clip->fd) < 0) {
		r = -errno;
	}
	if (r == 0) {
		r = pc_root_sync_folder(root_fd, path);
	}
	if (r < 0) {
		(void)unlinkat(root_fd, path, 0);
		goto fail;
	}
	clip->written.size = clip->layout.fragments_offset;
	clip->synced = clip->written;
	free(header);
	*ret_clip = clip;
	return 0;

fail:
	free(header);
	pc_clip_destroy(clip);
	return r;
}

/* Notes that a fragment is in the file. */
static void count(struct pc_clip *clip, const struct pc_fragment *fragment)
{
	struct pc_clip_extent *extent = &clip->written;
	int64_t time = fragment->decode_time - clip->base_time;
	if (fragment->key && extent->n_keys == clip->n_keys_max) {
		unsigned n = clip->n_keys_max * 2;
		struct pc_clip_key *keys = realloc(clip->keys, n * sizeof(*keys));
		if (keys != NULL) {
			clip->keys = keys;
			clip->n_keys_max = n;
		}
	}
	/* No memory: this seek point is left out. */
	if (fragment->key && extent->n_keys < clip->n_keys_max) {
		clip->keys[extent->n_keys++] =
			(struct pc_clip_key){ .time = time, .offset = extent->size };
	}
	extent->size += fragment->size;
	extent->frames++;
	if (time + fragment->duration > extent->end_time) {
		extent->end_time = time + fragment->duration;
	}
	clip->sequence++;
}

/* Gathers what fits of the fragments; the number. */
static unsigned gather(
	struct pc_clip *clip, struct batch *batch, struct pc_fragment *const *fragments, unsigned n)
{
	size_t used = 0;
	unsigned i;
	for (i = 0; i < n && i < BATCH; i++) {
		const struct pc_fragment *f = fragments[i];
		assert(f->mdat_offset <= f->size && f->tfdt_offset + 8 <= f->mdat_offset &&
			f->mfhd_offset + 4 <= f->mdat_offset);
		if (used + f->mdat_offset > SCRATCH) {
			break;
		}
		uint8_t *moof = batch->moofs + used;
		memcpy(moof, f->data, f->mdat_offset);
		pc_mp4_put64(moof + f->tfdt_offset, (uint64_t)(f->decode_time - clip->base_time));
		pc_mp4_put32(moof + f->mfhd_offset, clip->sequence + i);
		used += f->mdat_offset;
		batch->iov[2 * i] = (struct iovec){ moof, f->mdat_offset };
		/* The pictures go from the stream's memory to the disk as they are. */
		batch->iov[2 * i + 1] =
			(struct iovec){ (void *)(uintptr_t)(f->data + f->mdat_offset),
				f->size - f->mdat_offset };
		batch->sizes[i] = f->size;
	}
	return i;
}

/* writev until all is written: 0 or negative errno; *ret_written either way. */
static int write_vector(
	int fd, struct iovec *iov, unsigned n, uint64_t offset, uint64_t *ret_written)
{
	uint64_t written = 0;
	int r = 0;
	while (n > 0) {
		ssize_t done = pwritev(fd, iov, (int)n, (off_t)(offset + written));
		if (done < 0) {
			if (errno == EINTR) {
				continue;
			}
			r = -errno;
			break;
		}
		written += (uint64_t)done;
		while (n > 0 && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	*ret_written = written;
	return r;
}

int pc_clip_append(struct pc_clip *clip, struct pc_fragment *const *fragments, unsigned n)
{
	struct batch *batch = &((struct writing_clip *)(void *)clip)->batch;
	assert(!clip->failed);
	if (clip->written.frames == 0 && n > 0) {
		assert(fragments[0]->key);
		clip->base_time = fragments[0]->decode_time;
	}
	while (n > 0) {
		unsigned taken = gather(clip, batch, fragments, n);
		if (taken == 0) {
			return -EINVAL; /* a moof of 32 KiB: no muxer of ours */
		}
		uint64_t written, whole = 0;
		int r = write_vector(clip->fd, batch->iov, 2 * taken, clip->written.size, &written);
		for (unsigned i = 0; i < taken && whole + batch->sizes[i] <= written; i++) {
			whole += batch->sizes[i];
			count(clip, fragments[i]);
		}
		if (r < 0) {
			clip->failed = true;
			return r;
		}
		fragments += taken;
		n -= taken;
	}
	return 0;
}

int pc_clip_sync(struct pc_clip *clip)
{
	if (clip->synced.size == clip->written.size) {
		return 0;
	}
	if (fdatasync(clip->fd) < 0) {
		int r = -errno;
		/* The kernel has dropped what it could not write and will not say so twice. */
		clip->failed = true;
		clip->written = clip->synced;
		return r;
	}
	clip->synced = clip->written;
	return 0;
}

/* The sidx of the whole clip and a free box behind it, into the kept space; box names last. */
static int write_index(struct pc_clip *clip)
{
	const struct pc_clip_layout *l = &clip->layout;
	const struct pc_clip_extent *extent = &clip->written;
	unsigned most = (unsigned)((l->index_size - SIDX_HEAD - 8) / SIDX_ENTRY);
	unsigned step = (extent->n_keys + most - 1) / most;
	unsigned n = (extent->n_keys + step - 1) / step;
	size_t size = SIDX_HEAD + (size_t)n * SIDX_ENTRY;
	uint8_t *box = calloc(1, size + 8);
	if (box == NULL) {
		return -ENOMEM;
	}
	put_box(box, size, FOURCC_SIDX);
	pc_mp4_put32(box + 12, l->track_id);
	pc_mp4_put32(box + 16, l->timescale);
	pc_mp4_put32(box + 24, (uint32_t)(l->index_size - size)); /* to the first moof */
	pc_mp4_put32(box + 28, n);
	for (unsigned i = 0; i < n; i++) {
		const struct pc_clip_key *key = &clip->keys[i * step];
		bool last = i + 1 == n;
		uint64_t end = last ? extent->size : key[step].offset;
		int64_t end_time = last ? extent->end_time : key[step].time;
		uint8_t *entry = box + SIDX_HEAD + (size_t)i * SIDX_ENTRY;
		pc_mp4_put32(entry, (uint32_t)(end - key->offset) & 0x7fffffff);
		pc_mp4_put32(entry + 4, (uint32_t)(end_time - key->time));
		pc_mp4_put32(entry + 8, 0x90000000u); /* starts with a sync sample */
	}
	put_box(box + size, l->index_size - size, FOURCC_FREE);
	int r = write_all(clip->fd, box + 8, size, l->index_offset + 8);
	if (r == 0) {
		r = write_all(clip->fd, box, 8, l->index_offset);
	}
	free(box);
	return r;
}

static int write_duration(struct pc_clip *clip)
{
	const struct pc_clip_layout *l = &clip->layout;
	uint8_t box[MEHD_SIZE] = { 0 };
	put_box(box, MEHD_SIZE, FOURCC_MEHD);
	box[8] = 1; /* version: 64 bits */
	pc_mp4_put64(
		box + 12, (uint64_t)clip->written.end_time * l->movie_timescale / l->timescale);
	int r = write_all(clip->fd, box + 8, MEHD_SIZE - 8, l->mehd_offset + 8);
	if (r == 0) {
		r = write_all(clip->fd, box, 8, l->mehd_offset);
	}
	return r;
}

/* The mfra at the end. */
static int write_mfra(struct pc_clip *clip, uint64_t *ret_size)
{
	unsigned n = clip->written.n_keys;
	size_t tfra = MFRA_HEAD - 8 + (size_t)n * TFRA_ENTRY;
	size_t size = 8 + tfra + MFRO_SIZE;
	uint8_t *box = calloc(1, size);
	if (box == NULL) {
		return -ENOMEM;
	}
	put_box(box, size, FOURCC_MFRA);
	put_box(box + 8, tfra, FOURCC_TFRA);
	box[16] = 1; /* version: 64 bits */
	pc_mp4_put32(box + 20, clip->layout.track_id);
	pc_mp4_put32(box + 28, n);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *entry = box + MFRA_HEAD + (size_t)i * TFRA_ENTRY;
		pc_mp4_put64(entry, (uint64_t)clip->keys[i].time);
		pc_mp4_put64(entry + 8, clip->keys[i].offset);
		memset(entry + 16, 1, 3); /* traf, trun and sample: the first ones */
	}
	uint8_t *mfro = box + 8 + tfra;
	put_box(mfro, MFRO_SIZE, FOURCC_MFRO);
	pc_mp4_put32(mfro + 12, (uint32_t)size);
	int r = write_all(clip->fd, box, size, clip->written.size);
	free(box);
	*ret_size = size;
	return r;
}

/* Takes the index back, as far as it goes: box names first. */
static void erase_index(struct pc_clip *clip)
{
	uint8_t box[8];
	put_box(box, clip->layout.index_size, FOURCC_FREE);
	(void)write_all(clip->fd, box, 8, clip->layout.index_offset);
	put_box(box, MEHD_SIZE, FOURCC_FREE);
	(void)write_all(clip->fd, box, 8, clip->layout.mehd_offset);
}

static int cut(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

int pc_clip_finish(struct pc_clip *clip, struct pc_clip_info *ret_info)
{
	uint64_t tail = 0;
	int r = 0;
	if (clip->written.n_keys == 0) {
		return -ENODATA;
	}
	/* Also when nothing failed: recovery may have found something torn behind it. */
	r = cut(clip->fd, clip->written.size);
	if (r == 0) {
		r = write_index(clip);
	}
	if (r == 0) {
		r = write_duration(clip);
	}
	if (r == 0 && write_mfra(clip, &tail) < 0) {
		/* The disk is full: the clip has its sidx and does without. */
		tail = 0;
		r = cut(clip->fd, clip->written.size);
	}
	bool synced = fsync(clip->fd) == 0;
	if (!synced && r == 0) {
		r = -errno;
	}
	if (r < 0) {
		if (!synced) {
			clip->written = clip->synced;
		}
		tail = 0;
		erase_index(clip);
		(void)cut(clip->fd, clip->written.size);
		if (clip->written.n_keys == 0) {
			return -ENODATA;
		}
	}
	pc_clip_get_info(clip, ret_info);
	ret_info->bytes += tail;
	return r;
}

void pc_clip_get_info(const struct pc_clip *clip, struct pc_clip_info *ret_info)
{
	*ret_info = (struct pc_clip_info){
		.bytes = clip->written.size,
		.frames = clip->written.frames,
		.duration_ms = clip->written.end_time * 1000 / clip->layout.timescale,
		.width = clip->layout.width,
		.height = clip->layout.height,
	};
}

void pc_clip_destroy(struct pc_clip *clip)
{
	if (clip == NULL) {
		return;
	}
	if (clip->fd >= 0) {
		(void)close(clip->fd);
	}
	free(clip->keys);
	free((struct writing_clip *)(void *)clip);
}

void pc_clip_remove(int root_fd, const char *path)
{
	if (unlinkat(root_fd, path, 0) == 0) {
		(void)pc_root_sync_folder(root_fd, path);
	}
}
