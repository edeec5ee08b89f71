/* core/muxer.c - CMAF muxer; see muxer.h.
 *
 * libavformat writes the boxes; two things are ours. It is given a timeline of its own
 * (each frame at the end of the one before) and the true decode time and sequence number are written
 * over what it put into tfdt and mfhd: movenc otherwise keeps a time that starts at 0 with
 * each context, and refuses one that runs behind the sum of the durations. And the
 * packet is made an avc1 sample before it gets there (h264.c), so that movenc copies it once
 * and its output goes straight into the fragment.
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

#define MOOF_BOUND 512 /* moof and mdat header of a one-sample fragment take 112 to 124 */
#define INIT_BOUND (PC_AVCC_MAX + 2048)
/* movenc goes back to write the sizes of moov and moof: both must be in the buffer still. */
#define AVIO_BUFFER INIT_BOUND
/* A longer hole is one: whoever forces key frames by time has made one by then. */
#define LONGEST_BRIDGE PC_MEDIA_TIMESCALE

/* Where libavformat's bytes go. */
struct sink {
	uint8_t *data; /* NULL: away */
	size_t capacity;
	size_t used;
	bool overflow;
};

/* One AVFormatContext: the fragments of one init segment. */
struct epoch {
	AVFormatContext *format; /* NULL: none */
	int64_t end; /* of the last frame, on libavformat's timeline */
};

struct pc_muxer {
	struct pc_muxer_config config;
	struct sink sink; /* of the epoch's AVIOContext */
	struct epoch epoch;
	struct pc_init *init; /* of the epoch; NULL: none */
	struct pc_avcc avcc; /* that the epoch was made of */
	bool needs_key; /* a frame was lost: what follows would not decode */
	AVPacket *packet;
	uint8_t *sample; /* grows to the largest packet seen */
	size_t sample_capacity;
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

static void write_u64(uint8_t *p, uint64_t value)
{
	write_u32(p, (uint32_t)(value >> 32));
	write_u32(p + 4, (uint32_t)value);
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
	if (sink->data == NULL) {
		return size;
	}
	if ((size_t)size > sink->capacity - sink->used) {
		sink->overflow = true;
		return AVERROR(ENOSPC);
	}
	memcpy(sink->data + sink->used, data, (size_t)size);
	sink->used += (size_t)size;
	return size;
}

static void aim(struct pc_muxer *muxer, uint8_t *data, size_t capacity)
{
	muxer->sink = (struct sink){ .data = data, .capacity = capacity };
}

static int errno_of(int averror)
{
	return averror == AVERROR(ENOMEM) ? -ENOMEM : -EIO;
}

/* Takes half-built ones. What libavformat would still write goes away. */
static void close_format(struct pc_muxer *muxer, AVFormatContext *format)
{
	if (format == NULL) {
		return;
	}
	aim(muxer, NULL, 0);
	AVIOContext *avio = format->pb;
	avformat_free_context(format); /* without a trailer: there is none to write */
	if (avio != NULL) {
		av_freep(&avio->buffer);
		avio_context_free(&avio);
	}
}

static int open_avio(struct pc_muxer *muxer, AVIOContext **ret_avio)
{
	uint8_t *buffer = av_malloc(AVIO_BUFFER);
	if (buffer == NULL) {
		return -ENOMEM;
	}
	AVIOContext *avio =
		avio_alloc_context(buffer, AVIO_BUFFER, 1, &muxer->sink, NULL, write_sink, NULL);
	if (avio == NULL) {
		av_free(buffer);
		return -ENOMEM;
	}
	*ret_avio = avio;
	return 0;
}

static int add_stream(struct pc_muxer *muxer, AVFormatContext *format, const struct pc_avcc *avcc)
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

/* Opens a context of an epoch with `avcc`; its ftyp and moov are in muxer->sink then. */
static int open_format(
	struct pc_muxer *muxer, const struct pc_avcc *avcc, AVFormatContext **ret_format)
{
	AVDictionary *options = NULL;
	AVFormatContext *format = NULL;
	if (avformat_alloc_output_context2(&format, NULL, "mp4", NULL) < 0) {
		return -ENOMEM;
	}
	int r = open_avio(muxer, &format->pb);
	if (r < 0) {
		goto fail;
	}
	format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT | AVFMT_FLAG_FLUSH_PACKETS;
	r = add_stream(muxer, format, avcc);
	if (r < 0) {
		goto fail;
	}
	if (av_dict_set(&options, "movflags",
		    "frag_custom+empty_moov+default_base_moof+cmaf+skip_trailer", 0) < 0 ||
		av_dict_set_int(&options, "video_track_timescale", PC_MEDIA_TIMESCALE, 0) < 0 ||
		av_dict_set_int(&options, "use_editlist", 0, 0) < 0) {
		r = -ENOMEM;
		goto fail;
	}
	r = avformat_write_header(format, &options);
	if (r < 0) {
		r = errno_of(r);
		goto fail;
	}
	if (muxer->sink.overflow) {
		r = -EIO;
		goto fail;
	}
	av_dict_free(&options);
	*ret_format = format;
	return 0;

fail:
	av_dict_free(&options);
	close_format(muxer, format);
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

static void end_epoch(struct pc_muxer *muxer)
{
	close_format(muxer, muxer->epoch.format);
	muxer->epoch = (struct epoch){ 0 };
	pc_init_unref(muxer->init);
	muxer->init = NULL;
	muxer->avcc.size = 0;
}

static int begin_epoch(struct pc_muxer *muxer, const struct pc_avcc *avcc)
{
	uint8_t bytes[INIT_BOUND];
	aim(muxer, bytes, sizeof(bytes));
	AVFormatContext *format;
	int r = open_format(muxer, avcc, &format);
	if (r < 0) {
		return r;
	}
	struct pc_init *init = make_init(muxer, avcc, bytes, muxer->sink.used);
	if (init == NULL) {
		close_format(muxer, format);
		return -ENOMEM;
	}
	end_epoch(muxer);
	muxer->epoch.format = format;
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
	muxer->packet = av_packet_alloc();
	if (muxer->packet == NULL) {
		free(muxer);
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
	end_epoch(muxer);
	av_packet_free(&muxer->packet);
	free(muxer->sample);
	free(muxer);
}

static int reserve_sample(struct pc_muxer *muxer, size_t size)
{
	/* movenc looks at nothing beyond, but libavcodec's rule is cheap to keep. */
	size_t needed = pc_h264_sample_bound(size) + AV_INPUT_BUFFER_PADDING_SIZE;
	if (needed <= muxer->sample_capacity) {
		return 0;
	}
	size_t capacity = needed + needed / 2;
	uint8_t *sample = realloc(muxer->sample, capacity);
	if (sample == NULL) {
		return -ENOMEM;
	}
	muxer->sample = sample;
	muxer->sample_capacity = capacity;
	return 0;
}

/* Has movenc write one fragment of the sample into the sink. */
static int write_boxes(struct pc_muxer *muxer, const struct pc_access_unit *unit, int64_t duration)
{
	AVPacket *packet = muxer->packet;
	packet->data = muxer->sample;
	packet->size = (int)unit->sample_size;
	packet->stream_index = 0;
	packet->flags = unit->key ? AV_PKT_FLAG_KEY : 0;
	packet->duration = duration;
	packet->dts = packet->pts = muxer->epoch.end;
	muxer->epoch.end += duration;
	int r = av_write_frame(muxer->epoch.format, packet);
	if (r >= 0) {
		r = av_write_frame(muxer->epoch.format, NULL); /* cuts the fragment */
	}
	av_packet_unref(packet);
	if (r < 0 || muxer->sink.overflow) {
		return errno_of(r);
	}
	return 0;
}

/* Finds the fields and writes our own number and time into them. */
static int patch(struct pc_fragment *fragment, uint8_t *data)
{
	struct box moof = find_box(data, fragment->size, "moof");
	struct box mfhd = find_child(moof, "mfhd");
	struct box tfdt = find_child(find_child(moof, "traf"), "tfdt");
	if (moof.data != data || mfhd.data == NULL || mfhd.size < 16 || tfdt.data == NULL ||
		tfdt.size < 20 || tfdt.data[8] != 1) {
		return -EIO; /* not the movenc that this was written for */
	}
	fragment->mdat_offset = moof.size;
	fragment->mfhd_offset = (size_t)(mfhd.data + 12 - data);
	fragment->tfdt_offset = (size_t)(tfdt.data + 12 - data);
	write_u32(data + fragment->mfhd_offset, (uint32_t)fragment->number);
	write_u64(data + fragment->tfdt_offset, (uint64_t)fragment->decode_time);
	return 0;
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

static int make_fragment(struct pc_muxer *muxer, const struct pc_packet *packet,
	const struct pc_access_unit *unit, struct pc_fragment **ret_fragment)
{
	size_t bound = unit->sample_size + MOOF_BOUND;
	uint8_t *data;
	struct pc_fragment *fragment =
		pc_fragment_new(muxer->config.pool, muxer->init, bound, &data);
	if (fragment == NULL) {
		return -ENOMEM;
	}
	fragment->decode_time = decode_time_of(muxer, packet->capture_ns);
	fragment->duration = duration_of(muxer, fragment->decode_time);
	aim(muxer, data, bound);
	int r = write_boxes(muxer, unit, fragment->duration);
	if (r < 0) {
		goto fail;
	}
	fragment->size = muxer->sink.used;
	fragment->key = unit->key;
	fragment->number = muxer->next_number;
	fragment->sequence = packet->sequence;
	fragment->capture_ns = packet->capture_ns;
	fragment->encoded_ns = packet->encoded_ns;
	fragment->muxed_ns = pc_clock_now_ns();
	r = patch(fragment, data);
	if (r < 0) {
		goto fail;
	}
	muxer->last_decode_time = fragment->decode_time;
	muxer->last_duration = fragment->duration;
	muxer->next_number++;
	*ret_fragment = fragment;
	return 0;

fail:
	pc_fragment_unref(fragment);
	end_epoch(muxer); /* half a fragment may be left inside */
	return r;
}

int pc_muxer_write(
	struct pc_muxer *muxer, const struct pc_packet *packet, struct pc_fragment **ret_fragment)
{
	if (packet->size > INT32_MAX / 2) {
		return -EINVAL;
	}
	int r = reserve_sample(muxer, packet->size);
	if (r < 0) {
		muxer->needs_key = true;
		return r;
	}
	struct pc_access_unit unit;
	struct pc_avcc avcc;
	r = pc_h264_convert(packet->data, packet->size, muxer->sample, &unit, &avcc);
	if (r < 0) {
		return r;
	}
	bool news =
		unit.has_parameters && (avcc.size != muxer->avcc.size ||
					       memcmp(avcc.data, muxer->avcc.data, avcc.size) != 0);
	if (packet->key && !unit.key) {
		return -EINVAL;
	}
	if (!unit.key && (muxer->init == NULL || muxer->needs_key)) {
		return -EAGAIN;
	}
	if (news && !unit.key) { /* parameters change with an IDR only */
		return -EINVAL;
	}
	if (news) {
		r = begin_epoch(muxer, &avcc);
	} else if (muxer->init == NULL) {
		r = -EINVAL; /* a key packet without parameters cannot be the first */
	}
	if (r == 0) {
		r = make_fragment(muxer, packet, &unit, ret_fragment);
	}
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
