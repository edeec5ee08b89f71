/* storage/clip_internal.h - one recording as a file.
 *
 *   ftyp | free "petcam" (where the fragments start) | moov | free, kept for the index |
 *   moof mdat moof mdat ... | mfra
 *
 * The fragments are those of the stream, decode times from 0 and sequence numbers from 1.
 * On close the index is written: a `sidx` in the kept space (what browsers and libavformat
 * take duration and seek points from), the `mehd` in the moov (which was a `free` until then;
 * the duration for readers that go by the moov), and an `mfra` at the end (key frames one by
 * one, for GStreamer, VLC and repair tools). The payload of each box is written before its
 * four-letter name, so that a reader of the growing file never sees half of one.
 *
 * Thread: one at a time (the storage thread's). All calls may block on the disk.
 */
#ifndef PC_STORAGE_CLIP_INTERNAL_H
#define PC_STORAGE_CLIP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fragment.h"

struct pc_clip;

struct pc_clip_info {
	int64_t start_utc_ms; /* of the first frame */
	uint64_t bytes; /* the file as it is now */
	uint64_t frames;
	int64_t duration_ms;
	uint32_t width, height;
};

/* Makes the file (never over another one) with its header, and its folders, all fsynced.
 * -EEXIST: the name is taken; -EINVAL: the init segment is not one. On failure nothing is
 * left behind. `expected_keys`: for how many key frames memory is set aside. */
int pc_clip_create(int root_fd, const char *path, const struct pc_init *init,
	unsigned expected_keys, struct pc_clip **ret_clip);

/* Appends fragments of one init segment; the first of a clip must be a key fragment. On
 * failure those that were written whole are kept, the file is cut behind them, and only
 * finish() makes sense. */
int pc_clip_append(struct pc_clip *clip, struct pc_fragment *const *fragments, unsigned n);

/* fdatasync. After a failure the clip is what was synced before, and must be finished. */
int pc_clip_sync(struct pc_clip *clip);

/* Index, fsync, close. The clip holds what it is; -ENODATA: no frame, the file is of no use.
 * Other errors: the frames are there, without an index that could be trusted. */
int pc_clip_finish(struct pc_clip *clip, struct pc_clip_info *ret_info);

/* Closes without a word; NULL is fine. After finish: frees. */
void pc_clip_destroy(struct pc_clip *clip);

/* Unlinks a file that has no row, and syncs its folder. */
void pc_clip_remove(int root_fd, const char *path);

void pc_clip_get_info(const struct pc_clip *clip, struct pc_clip_info *ret_info);

/* What a scan found of a file. */
enum pc_clip_state {
	PC_CLIP_FOREIGN, /* not made by petcam, or not to be told: hands off */
	PC_CLIP_EMPTY, /* made by petcam, no whole key fragment in it */
	PC_CLIP_WHOLE, /* at least one; what was torn is cut, the index is there */
};

/* Finishes a file that a crash left: cuts it behind the last whole fragment and writes the
 * index. A foreign file is not touched; one with an index and nothing torn is only read.
 * *ret_info without start_utc_ms. 0, or negative errno (-ENOENT ...). */
int pc_clip_recover(int root_fd, const char *path, enum pc_clip_state *ret_state,
	struct pc_clip_info *ret_info);

/* For clip.c and clip_scan.c. */

extern const uint8_t pc_clip_mark[8]; /* what tells our files from others */
#define PC_CLIP_MARK_BOX 24 /* size, "free", mark, where the fragments start, 0 */

struct pc_clip_key {
	int64_t time; /* ticks from 0 */
	uint64_t offset;
};

/* As far as the file is known to be good. */
struct pc_clip_extent {
	uint64_t size;
	uint64_t frames;
	int64_t end_time; /* ticks: of the last frame's end */
	unsigned n_keys;
};

struct pc_clip_layout {
	uint32_t timescale; /* of the media */
	uint32_t movie_timescale;
	uint32_t track_id;
	uint32_t width, height;
	uint32_t default_duration; /* of trex */
	uint32_t default_flags;
	uint64_t mehd_offset; /* of the 20 bytes kept for it; 0: none */
	uint64_t index_offset; /* of the space kept for the sidx; 0: none */
	uint64_t index_size;
	uint64_t fragments_offset;
};

struct pc_clip {
	int fd;
	struct pc_clip_layout layout;
	struct pc_clip_extent written, synced;
	int64_t base_time; /* the stream's decode time that is 0 here */
	uint32_t sequence; /* of the next fragment */
	bool failed; /* nothing more may be appended */
	struct pc_clip_key *keys;
	unsigned n_keys_max;
};

/* mp4.c - boxes. */
#define PC_MP4_TYPE(a, b, c, d)                                                                    \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

struct pc_mp4_box {
	uint32_t type;
	size_t offset; /* of the box */
	size_t size; /* with its header */
	size_t body; /* offset behind its header */
};

uint32_t pc_mp4_get32(const uint8_t *data);
uint64_t pc_mp4_get64(const uint8_t *data);
void pc_mp4_put32(uint8_t *data, uint32_t value);
void pc_mp4_put64(uint8_t *data, uint64_t value);
/* The box at *at of data[0, end); moves *at behind it. 0; -ENOENT: at the end; -EINVAL. */
int pc_mp4_next(const uint8_t *data, size_t end, size_t *at, struct pc_mp4_box *ret_box);
/* The first box at this path, types from the outside in, 0 ends it. */
int pc_mp4_find(const uint8_t *data, size_t size, const uint32_t *path, struct pc_mp4_box *ret_box);
/* Reads the moov that is in `data` (offsets from its start). 0 or -EINVAL. */
int pc_mp4_read_moov(const uint8_t *data, size_t size, struct pc_clip_layout *layout);

struct pc_mp4_moof {
	uint32_t sequence;
	int64_t time; /* tfdt */
	uint64_t duration; /* of all samples */
	uint32_t samples;
	uint64_t sample_bytes;
	bool key; /* the first sample is a sync sample */
};
int pc_mp4_read_moof(const uint8_t *data, size_t size, const struct pc_clip_layout *layout,
	struct pc_mp4_moof *ret_moof);

#endif
