/* core/muxer.c - CMAF muxer; see muxer.h.
 *
 * libavformat writes the init segment (ftyp, moov); a fragment's moof is ours (moof.c), so
 * that a packet is copied once, from the encoder's buffer into the fragment, and its Annex B
 * start codes become lengths on the way (h264.c).
 */
#include "core/muxer.h"

#include <assert.h>
#include <errno.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/h264_internal.h"
#include "core/moof_internal.h"

#define INIT_BOUND (PC_AVCC_MAX + 2048)
/* movenc goes back to write the sizes of moov: it must be in the buffer still. */
#define AVIO_BUFFER INIT_BOUND
/* A longer hole is one: whoever forces key frames by time has made one by then. */
#define LONGEST_BRIDGE PC_MEDIA_TIMESCALE

/* Where libavformat's bytes go. */
struct sink {
	uint8_t *data;
	size_t capacity;
	size_t used;
	bool overflow;
};

struct pc_muxer {
	struct pc_muxer_config config;
	struct pc_init *init; /* of the epoch; NULL: none */
	struct pc_avcc avcc; /* that the epoch was made of */
	bool needs_key; /* a frame was lost: what follows would not decode */
	struct pc_access_unit unit; /* of the packet under way: too large for the stack */
	uint32_t next_epoch;
	uint64_t next_number;
	int64_t last_decode_time; /* -1: none yet */
	int64_t last_duration; /* of the same fragment */
};

static uint32_t read_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write_u32(uint8_t *p, uint32_t value)
{
	for (int i = 0; i < 4; i++) {
		p[i] = (uint8_t)(value >> (24 - 8 * i));
	}
}

/* A box inside a parent's payload. */
struct box {
	uint8_t *data; /* its header first; NULL: not found */
	size_t size;
};

/* The first box of `type` among those in [data, data + size). */
static struct box find_box(uint8_t *data, size_t size, const char type[static 4])
{
	while (size >= 8) {
		size_t n = read_u32(data);
		if (n < 8 || n > size) {
			break;
		}
		if (memcmp(data + 4, type, 4) == 0) {
			return (struct box){ .data = data, .size = n };
		}
		data += n;
		size -= n;
	}
	return (struct box){ 0 };
}

static struct box find_child(struct box parent, const char type[static 4])
{
	if (parent.data == NULL) {
		return parent;
	}
	return find_box(parent.data + 8, parent.size - 8, type);
}

static int write_sink(void *opaque, uint8_t *data, int size)
{
	struct sink *sink = opaque;
	if ((size_t)size > sink->capacity - sink->used) {
		sink->overflow = true;
		return AVERROR(ENOSPC);
	}
	memcpy(sink->data + sink->used, data, (size_t)size);
	sink->used += (size_t)size;
	return size;
}

static int errno_of(int averror)
{
	return averror == AVERROR(ENOMEM) ? -ENOMEM : -EIO;
}

/* Takes half-built ones. */
static void close_format(AVFormatContext *format)
{
	AVIOContext *avio = format->pb;
	avformat_free_context(format); /* without a trailer: there is none to write */
	if (avio != NULL) {
		av_freep(&avio->buffer);
		avio_context_free(&avio);
	}
}

static int open_avio(struct sink *sink, AVIOContext **ret_avio)
{
	uint8_t *buffer = av_malloc(AVIO_BUFFER);
	if (buffer == NULL) {
		return -ENOMEM;
	}
	AVIOContext *avio =
		avio_alloc_context(buffer, AVIO_BUFFER, 1, sink, NULL, write_sink, NULL);
	if (avio == NULL) {
		av_free(buffer);
		return -ENOMEM;
	}
	*ret_avio = avio;
	return 0;
}

static int add_stream(
	const struct pc_muxer *muxer, AVFormatContext *format, const struct pc_avcc *avcc)
{
	AVStream *stream = avformat_new_stream(format, NULL);
	if (stream == NULL) {
		return -ENOMEM;
	}
	stream->time_base = (AVRational){ 1, PC_MEDIA_TIMESCALE };
	AVCodecParameters *par = stream->codecpar;
	par->codec_type = AVMEDIA_TYPE_VIDEO;
	par->codec_id = AV_CODEC_ID_H264;
	par->width = (int)muxer->config.width;
	par->height = (int)muxer->config.height;
	par->extradata = av_mallocz(avcc->size + AV_INPUT_BUFFER_PADDING_SIZE);
	if (par->extradata == NULL) {
		return -ENOMEM;
	}
	memcpy(par->extradata, avcc->data, avcc->size);
	par->extradata_size = (int)avcc->size;
	return 0;
}

/* The init segment of an epoch with `avcc`, into `sink`. */
static int write_init(const struct pc_muxer *muxer, const struct pc_avcc *avcc, struct sink *sink)
{
	AVDictionary *options = NULL;
	AVFormatContext *format = NULL;
	if (avformat_alloc_output_context2(&format, NULL, "mp4", NULL) < 0) {
		return -ENOMEM;
	}
	int r = open_avio(sink, &format->pb);
	if (r < 0) {
		goto out;
	}
	format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT | AVFMT_FLAG_FLUSH_PACKETS;
	r = add_stream(muxer, format, avcc);
	if (r < 0) {
		goto out;
	}
	if (av_dict_set(&options, "movflags",
		    "frag_custom+empty_moov+default_base_moof+cmaf+skip_trailer", 0) < 0 ||
		av_dict_set_int(&options, "video_track_timescale", PC_MEDIA_TIMESCALE, 0) < 0 ||
		av_dict_set_int(&options, "use_editlist", 0, 0) < 0) {
		r = -ENOMEM;
		goto out;
	}
	r = avformat_write_header(format, &options);
	r = r < 0 ? errno_of(r) : sink->overflow ? -EIO : 0;

out:
	av_dict_free(&options);
	close_format(format);
	return r;
}

/* movenc ends every moov with a udta that says nothing; the new size. */
static size_t drop_udta(uint8_t *data, size_t size)
{
	struct box moov = find_box(data, size, "moov");
	struct box udta = find_child(moov, "udta");
	if (udta.data == NULL || udta.data + udta.size != data + size) {
		return size;
	}
	write_u32(moov.data, (uint32_t)(moov.size - udta.size));
	return size - udta.size;
}

static struct pc_init *make_init(
	struct pc_muxer *muxer, const struct pc_avcc *avcc, uint8_t *data, size_t size)
{
	struct pc_init *init = pc_init_new(data, drop_udta(data, size));
	if (init == NULL) {
		return NULL;
	}
	init->epoch = muxer->next_epoch;
	init->width = muxer->config.width;
	init->height = muxer->config.height;
	init->frame_duration = muxer->config.frame_duration;
	snprintf(init->codec, sizeof(init->codec), "avc1.%02x%02x%02x", avcc->data[1],
		avcc->data[2], avcc->data[3]);
	return init;
}

static int begin_epoch(struct pc_muxer *muxer, const struct pc_avcc *avcc)
{
	uint8_t bytes[INIT_BOUND];
	struct sink sink = { .data = bytes, .capacity = sizeof(bytes) };
	int r = write_init(muxer, avcc, &sink);
	if (r < 0) {
		return r;
	}
	struct pc_init *init = make_init(muxer, avcc, bytes, sink.used);
	if (init == NULL) {
		return -ENOMEM;
	}
	pc_init_unref(muxer->init);
	muxer->init = init;
	muxer->avcc = *avcc;
	muxer->next_epoch++;
	return 0;
}

int pc_muxer_create(const struct pc_muxer_config *config, struct pc_muxer **ret_muxer)
{
	if (config->width == 0 || config->height == 0 || config->width > UINT16_MAX ||
		config->height > UINT16_MAX || config->frame_duration <= 0 ||
		config->frame_duration > INT32_MAX || config->first_epoch == 0 ||
		config->first_number == 0) {
		return -EINVAL;
	}
	struct pc_muxer *muxer = calloc(1, sizeof(*muxer));
	if (muxer == NULL) {
		return -ENOMEM;
	}
	muxer->config = *config;
	muxer->next_epoch = config->first_epoch;
	muxer->next_number = config->first_number;
	muxer->last_decode_time = -1;
	*ret_muxer = muxer;
	return 0;
}

void pc_muxer_destroy(struct pc_muxer *muxer)
{
	if (muxer == NULL) {
		return;
	}
	pc_init_unref(muxer->init);
	free(muxer);
}

/* The nearest tick, strictly after the last one.
 *
 * After more than twice the last frame's duration a browser takes the next frame for a new
 * group and drops everything up to a key frame (Media Source Extensions, coded frame
 * processing, step 6; Chromium 1 s of frozen picture for one lost frame, as measured). So a
 * hole is bridged: the frame behind it comes early, and the next ones catch up, since each
 * may step as far as the doubled duration of the one before. */
static int64_t decode_time_of(const struct pc_muxer *muxer, int64_t capture_ns)
{
	int64_t ns = capture_ns - muxer->config.base_ns;
	int64_t ticks = 0;
	if (ns > 0) { /* 9 ticks are 100 us */
		ticks = ns / 100000 * 9 + (ns % 100000 * 9 + 50000) / 100000;
	}
	if (muxer->last_decode_time < 0) {
		return ticks;
	}
	int64_t step = ticks - muxer->last_decode_time;
	int64_t farthest = 2 * muxer->last_duration - muxer->last_duration / 8;
	if (step > farthest && step <= LONGEST_BRIDGE) {
		step = farthest;
	}
	return muxer->last_decode_time + (step > 0 ? step : 1);
}

/* How long the frame will be shown is not known yet: as long as the one before, where frames
 * come clearly slower than they should. What one lost frame adds here is what it took from
 * the fragment before it, so that sums over many are right. */
static int64_t duration_of(const struct pc_muxer *muxer, int64_t decode_time)
{
	int64_t nominal = muxer->config.frame_duration;
	int64_t step = decode_time - muxer->last_decode_time;
	bool slow = muxer->last_decode_time >= 0 && step > nominal + nominal / 2;
	return slow && step <= LONGEST_BRIDGE ? step : nominal;
}

static int make_fragment(
	struct pc_muxer *muxer, const struct pc_packet *packet, struct pc_fragment **ret_fragment)
{
	const struct pc_access_unit *unit = &muxer->unit;
	const size_t front = pc_moof_size(unit->key) + PC_MDAT_HEADER;
	uint8_t *data;
	const size_t size = front + unit->sample_size;
	struct pc_fragment *fragment =
		unit->key ? pc_fragment_new_key(muxer->config.pool, muxer->init, size, &data)
			  : pc_fragment_new(muxer->config.pool, muxer->init, size, &data);
	if (fragment == NULL) {
		return -ENOMEM;
	}
	fragment->mdat_offset = pc_moof_size(unit->key);
	fragment->mfhd_offset = PC_MOOF_MFHD_OFFSET;
	fragment->tfdt_offset = PC_MOOF_TFDT_OFFSET;
	fragment->key = unit->key;
	fragment->number = muxer->next_number;
	fragment->sequence = packet->sequence;
	fragment->decode_time = decode_time_of(muxer, packet->capture_ns);
	fragment->duration = duration_of(muxer, fragment->decode_time);
	fragment->capture_ns = packet->capture_ns;
	fragment->encoded_ns = packet->encoded_ns;
	const struct pc_moof moof = {
		.number = (uint32_t)fragment->number,
		.decode_time = fragment->decode_time,
		.duration = (uint32_t)fragment->duration,
		.sample_size = (uint32_t)unit->sample_size,
		.key = unit->key,
	};
	pc_moof_write(&moof, data);
	pc_h264_write_sample(unit, data + front);
	fragment->muxed_ns = pc_clock_now_ns();
	muxer->last_decode_time = fragment->decode_time;
	muxer->last_duration = fragment->duration;
	muxer->next_number++;
	*ret_fragment = fragment;
	return 0;
}

/* As pc_muxer_write(), for a packet that was taken apart into muxer->unit and `avcc`. */
static int write_unit(struct pc_muxer *muxer, const struct pc_packet *packet,
	const struct pc_avcc *avcc, struct pc_fragment **ret_fragment)
{
	const struct pc_access_unit *unit = &muxer->unit;
	const bool news = unit->has_parameters &&
			  (avcc->size != muxer->avcc.size ||
				  memcmp(avcc->data, muxer->avcc.data, avcc->size) != 0);
	if (packet->key && !unit->key) {
		return -EINVAL;
	}
	if (!unit->key && (muxer->init == NULL || muxer->needs_key)) {
		return -EAGAIN;
	}
	if (news && !unit->key) { /* parameters change with an IDR only */
		return -EINVAL;
	}
	int r = 0;
	if (news) {
		r = begin_epoch(muxer, avcc);
	} else if (muxer->init == NULL) {
		r = -EINVAL; /* a key packet without parameters cannot be the first */
	}
	return r < 0 ? r : make_fragment(muxer, packet, ret_fragment);
}

int pc_muxer_write(
	struct pc_muxer *muxer, const struct pc_packet *packet, struct pc_fragment **ret_fragment)
{
	struct pc_avcc avcc;
	int r = packet->size > INT32_MAX / 2
			? -EINVAL
			: pc_h264_parse(packet->data, packet->size, &muxer->unit, &avcc);
	if (r == 0) {
		r = write_unit(muxer, packet, &avcc, ret_fragment);
	}
	/* What follows a lost frame would not decode; -EAGAIN says that it is so already. */
	muxer->needs_key = r < 0;
	return r;
}

uint32_t pc_muxer_next_epoch(const struct pc_muxer *muxer)
{
	return muxer->next_epoch;
}

uint64_t pc_muxer_next_number(const struct pc_muxer *muxer)
{
	return muxer->next_number;
}
