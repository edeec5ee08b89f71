/* core/fragment.h - one frame as an immutable CMAF fragment (moof + mdat).
 *
 * The same bytes are streamed, grouped into LL-HLS parts and segments, and
 * appended to the recording. Reference-counted; memory comes from a pool that
 * was made once, so that a stream allocates nothing.
 *
 * Thread: any; a published fragment never changes.
 */
#ifndef PC_CORE_FRAGMENT_H
#define PC_CORE_FRAGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PC_MEDIA_TIMESCALE 90000 /* ticks a second of every track that we write */

struct pc_fragment_pool;

/* The init segment (ftyp + moov) of a run of fragments: an epoch. */
struct pc_init {
	const uint8_t *data;
	size_t size;
	uint32_t epoch; /* +1 each time the stream starts anew; from 1 */
	uint32_t width;
	uint32_t height;
	int64_t frame_duration; /* nominal, in PC_MEDIA_TIMESCALE ticks */
	char codec[16]; /* RFC 6381, "avc1.64001f" */
	atomic_uint refs; /* private */
};

struct pc_fragment {
	const uint8_t *data;
	size_t size;
	size_t mdat_offset; /* [0, mdat_offset) is the moof, the rest the mdat */
	size_t tfdt_offset; /* of the 64-bit base media decode time inside data */
	size_t mfhd_offset; /* of the 32-bit sequence number inside data */
	struct pc_init *init; /* held; never NULL */
	bool key; /* starts with an IDR */
	uint64_t number; /* +1 for each fragment of the camera, over epochs; from 1 */
	uint64_t sequence; /* the frame's */
	int64_t decode_time; /* ticks; one line over all epochs of a camera */
	int64_t duration; /* ticks: nominal, or the step to it where frames come slowly */
	int64_t capture_ns; /* the frame's */
	int64_t encoded_ns;
	int64_t muxed_ns;
	/* private */
	struct pc_fragment_pool *pool;
	bool reserved; /* its memory is the reserve's */
	atomic_uint refs;
};

/* `max_bytes`: what all live fragments together may take; more is -ENOMEM. */
int pc_fragment_pool_create(size_t max_bytes, struct pc_fragment_pool **ret_pool);

/* Memory beside that, for key fragments alone. A pool that is full stays full where only newer
 * fragments drive out older ones: with this, key frames come through, and the rest follows as
 * the old ones go. Once, before any fragment is made. 0, -EINVAL, -ENOMEM. */
int pc_fragment_pool_reserve(struct pc_fragment_pool *pool, size_t bytes);

/* May be called with fragments still out: they stay valid, and the last one
 * frees the pool. NULL is fine. */
void pc_fragment_pool_destroy(struct pc_fragment_pool *pool);

/* A fragment with one reference whose memory of `size` bytes is at *ret_data,
 * to be filled before it is shown to another thread. Takes a reference on `init`.
 * NULL: the pool's limit is reached or no memory. */
struct pc_fragment *pc_fragment_new(
	struct pc_fragment_pool *pool, struct pc_init *init, size_t size, uint8_t **ret_data);

/* The same of a key frame, which may use the reserve. */
struct pc_fragment *pc_fragment_new_key(
	struct pc_fragment_pool *pool, struct pc_init *init, size_t size, uint8_t **ret_data);

struct pc_fragment *pc_fragment_ref(struct pc_fragment *fragment); /* returns `fragment` */
void pc_fragment_unref(struct pc_fragment *fragment); /* NULL is fine */

/* Copies `data`; the other fields are the caller's to set before sharing. */
struct pc_init *pc_init_new(const uint8_t *data, size_t size);
struct pc_init *pc_init_ref(struct pc_init *init);
void pc_init_unref(struct pc_init *init);

#endif
