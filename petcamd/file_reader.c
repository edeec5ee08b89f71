/* petcamd/file_reader.c - pictures of a video file; see file_reader.h. */
#include "petcamd/file_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/common.h>
#include <libavutil/display.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include "core/clock.h"
#include "core/log.h"
#include "petcamd/i420.h"

#define IO_BYTES 65536
#define SIDE_MIN 32
#define SIDE_MAX 4096
#define PIXELS_MAX (4096 * 2304)
#define PIXELS_ONE_THREAD (1280 * 720) /* larger pictures are decoded by two */
#define FPS_MAX 120.0
#define FPS_UNKNOWN 25.0
#define FIRST_PACKETS_MAX 500 /* in which a first picture must be found */
#define ERRORS_IN_A_ROW_MAX 100 /* then what is left counts as not there */
#define BACK_MAX_NS PC_NS_PER_S /* times that go back by more begin anew, and so do those */
#define GAP_MAX_NS (PC_NS_PER_S / 2) /* that leave out more than this and two pictures: */
/* a camera that gives nothing for a second counts as broken, and viewers would stand still */
#define STEP_MIN_NS PC_NS_PER_MS

struct pc_file_reader {
	struct pc_file_reader_info info;
	const atomic_bool *stop;
	int fd;
	int io_err; /* negative errno of a read that failed; 0: none */
	AVIOContext *io;
	AVFormatContext *format;
	AVCodecContext *codec;
	AVStream *stream; /* of `format` */
	AVPacket *packet;
	AVFrame *frame; /* the picture that next() found */
	bool pending; /* it was found by open and not yet given out */
	bool draining; /* the file's end was reached */
	uint64_t bad;

	struct pc_i420 i420; /* writes the pictures */

	/* Times */
	int64_t first_pts; /* AV_NOPTS_VALUE: no picture yet in this round */
	int64_t shift_ns; /* added where times began anew inside the file */
	int64_t last_ns; /* of the last picture; negative: none yet */
};

static int errno_of(int averror)
{
	/* AVERROR() of an errno is its negative; libav's own are far below. */
	return averror > -4096 ? averror : -EIO;
}

/* --- input --- */

static int io_read(void *opaque, uint8_t *data, int size)
{
	struct pc_file_reader *reader = opaque;
	const ssize_t n = read(reader->fd, data, (size_t)size);
	if (n < 0) {
		reader->io_err = -errno;
		return AVERROR(errno);
	}
	return n == 0 ? AVERROR_EOF : (int)n;
}

static int64_t io_seek(void *opaque, int64_t offset, int whence)
{
	struct pc_file_reader *reader = opaque;
	if ((whence & AVSEEK_SIZE) != 0) {
		struct stat st;
		return fstat(reader->fd, &st) < 0 ? AVERROR(errno) : st.st_size;
	}
	const off_t at = lseek(reader->fd, offset, whence & ~AVSEEK_FORCE);
	return at < 0 ? AVERROR(errno) : at;
}

static int io_interrupted(void *opaque)
{
	const struct pc_file_reader *reader = opaque;
	return atomic_load(reader->stop);
}

/* Whatever a file wants opened besides itself is not. */
static int refuse_open(AVFormatContext *format, AVIOContext **pb, const char *url, int flags,
	AVDictionary **options)
{
	return AVERROR(EPERM);
}

static int open_fd(struct pc_file_reader *reader, const char *path, char *why, size_t why_size)
{
	/* O_NONBLOCK: a FIFO must not hold us up before we see what it is. */
	reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (reader->fd < 0) {
		const int err = errno;
		snprintf(why, why_size, "%s",
			err == ENOENT || err == ENOTDIR ? "no such file"
			: err == EACCES			? "permission denied"
							: pc_strerror(err));
		return -err;
	}
	struct stat st;
	if (fstat(reader->fd, &st) < 0) {
		const int err = errno;
		snprintf(why, why_size, "%s", pc_strerror(err));
		return -err;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(
			why, why_size, "is %s", S_ISDIR(st.st_mode) ? "a directory" : "not a file");
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	if (st.st_size == 0) {
		snprintf(why, why_size, "the file is empty");
		return -EINVAL;
	}
	return 0;
}

static int open_format(struct pc_file_reader *reader, char *why, size_t why_size)
{
	uint8_t *buffer = av_malloc(IO_BYTES);
	if (buffer == NULL) {
		return -ENOMEM;
	}
	reader->io = avio_alloc_context(buffer, IO_BYTES, 0, reader, io_read, NULL, io_seek);
	if (reader->io == NULL) {
		av_free(buffer);
		return -ENOMEM;
	}
	reader->format = avformat_alloc_context();
	if (reader->format == NULL) {
		return -ENOMEM;
	}
	reader->format->pb = reader->io;
	reader->format->io_open = refuse_open;
	reader->format->interrupt_callback =
		(AVIOInterruptCB){ .callback = io_interrupted, .opaque = reader };
	AVDictionary *options = NULL;
	av_dict_set(&options, "protocol_whitelist", "none", 0); /* for those that ask no io_open */
	int r = avformat_open_input(&reader->format, NULL, NULL, &options);
	av_dict_free(&options);
	if (r == 0) {
		r = avformat_find_stream_info(reader->format, NULL);
	}
	if (r >= 0) {
		return 0;
	}
	if (reader->io_err != 0) {
		snprintf(why, why_size, "%s", pc_strerror(reader->io_err));
		return reader->io_err;
	}
	/* Not by `r`: libavformat says ENOMEM of a playlist that has no address. */
	snprintf(why, why_size, "not a video, or damaged or cut off at its start or end");
	return -EBADMSG;
}

/* --- decoding --- */

static int open_codec(struct pc_file_reader *reader, char *why, size_t why_size)
{
	const int index = av_find_best_stream(reader->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
	if (index < 0 ||
		(reader->format->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
		snprintf(why, why_size, "no video track");
		return -EINVAL;
	}
	for (unsigned i = 0; i < reader->format->nb_streams; i++) {
		reader->format->streams[i]->discard =
			i == (unsigned)index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
	}
	reader->stream = reader->format->streams[index];
	const AVCodecParameters *parameters = reader->stream->codecpar;
	const AVCodec *type = avcodec_find_decoder(parameters->codec_id);
	if (type == NULL) {
		snprintf(
			why, why_size, "no decoder for %s", avcodec_get_name(parameters->codec_id));
		return -ENOTSUP;
	}
	reader->codec = avcodec_alloc_context3(type);
	reader->packet = av_packet_alloc();
	reader->frame = av_frame_alloc();
	if (reader->codec == NULL || reader->packet == NULL || reader->frame == NULL) {
		return -ENOMEM;
	}
	int r = avcodec_parameters_to_context(reader->codec, parameters);
	if (r == 0) {
		const int64_t pixels = (int64_t)parameters->width * parameters->height;
		reader->codec->log_level_offset = 100; /* silent: we count what is bad */
		reader->codec->pkt_timebase = reader->stream->time_base;
		reader->codec->thread_count = pixels > PIXELS_ONE_THREAD ? 2 : 1;
		r = avcodec_open2(reader->codec, type, NULL);
	}
	if (r < 0 && r != AVERROR(ENOMEM)) {
		snprintf(why, why_size, "the decoder for %s does not open",
			avcodec_get_name(parameters->codec_id));
	}
	return r < 0 ? errno_of(r) : 0;
}

/* Gives the decoder one more packet, or tells it of the end. `errors` counts those in a
 * row that the file gave instead of packets. */
static int feed(struct pc_file_reader *reader, unsigned *errors)
{
	int r = av_read_frame(reader->format, reader->packet);
	if (r < 0) {
		if (atomic_load(reader->stop)) {
			return -ECANCELED;
		}
		if (r == AVERROR(ENOMEM) || reader->io_err != 0) {
			return reader->io_err != 0 ? reader->io_err : -ENOMEM;
		}
		if (r != AVERROR_EOF) {
			reader->bad++;
			if (++*errors < ERRORS_IN_A_ROW_MAX) {
				return 0;
			}
		}
		reader->draining = true;
		r = avcodec_send_packet(reader->codec, NULL);
		return r == AVERROR(ENOMEM) ? -ENOMEM : 0;
	}
	*errors = 0;
	r = 0;
	if (reader->packet->stream_index == reader->stream->index) {
		r = avcodec_send_packet(reader->codec, reader->packet);
	}
	av_packet_unref(reader->packet);
	if (r < 0 && r != AVERROR(ENOMEM)) {
		reader->bad++;
		r = 0;
	}
	return r;
}

/* 0: reader->frame is the next picture; -ENODATA at the end, or after `packets`. */
static int decode(struct pc_file_reader *reader, unsigned packets)
{
	unsigned read_errors = 0;
	unsigned decode_errors = 0;
	while (!atomic_load(reader->stop)) {
		int r = avcodec_receive_frame(reader->codec, reader->frame);
		if (r == 0) {
			return 0;
		}
		if (r == AVERROR_EOF || r == AVERROR(ENOMEM)) {
			return r == AVERROR_EOF ? -ENODATA : -ENOMEM;
		}
		if (r != AVERROR(EAGAIN)) {
			reader->bad++;
			if (++decode_errors >= ERRORS_IN_A_ROW_MAX) {
				return -ENODATA;
			}
			continue;
		}
		if (reader->draining || packets-- == 0) {
			return -ENODATA;
		}
		r = feed(reader, &read_errors);
		if (r < 0) {
			return r;
		}
	}
	return -ECANCELED;
}

/* --- what the pictures are --- */

/* Clockwise degrees that turn the pictures upright. */
static unsigned find_turn(const AVStream *stream)
{
	size_t size = 0;
	const uint8_t *matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
	int32_t values[9];
	if (matrix == NULL || size < sizeof(values)) {
		return 0;
	}
	memcpy(values, matrix, sizeof(values));
	const double clockwise = -av_display_rotation_get(values);
	return isfinite(clockwise) ? (unsigned)(lround(clockwise / 90) + 4) % 4 * 90 : 0;
}

static void find_fps(struct pc_file_reader *reader)
{
	const AVRational rates[] = { reader->stream->avg_frame_rate, reader->stream->r_frame_rate };
	double fps = FPS_UNKNOWN;
	for (unsigned i = 0; i < 2; i++) {
		if (rates[i].num > 0 && rates[i].den > 0 && av_q2d(rates[i]) <= FPS_MAX) {
			fps = av_q2d(rates[i]);
			break;
		}
	}
	reader->info.fps = fps < 1 ? 1 : fps;
	reader->info.frame_ns = llround((double)PC_NS_PER_S / reader->info.fps);
}

/* Decodes the first picture: what the container says of it may be wrong. */
static int look_at_first(struct pc_file_reader *reader, char *why, size_t why_size)
{
	const int r = decode(reader, FIRST_PACKETS_MAX);
	if (r < 0) {
		if (r == -ENODATA) {
			snprintf(why, why_size, "no picture in it can be decoded");
			return -EBADMSG;
		}
		snprintf(why, why_size, "%s", pc_strerror(r));
		return r;
	}
	reader->pending = true;
	const AVFrame *frame = reader->frame;
	if (frame->width < SIDE_MIN || frame->height < SIDE_MIN || frame->width > SIDE_MAX ||
		frame->height > SIDE_MAX || (int64_t)frame->width * frame->height > PIXELS_MAX) {
		snprintf(why, why_size, "%dx%d is not within %dx%d and 4096x2304", frame->width,
			frame->height, SIDE_MIN, SIDE_MIN);
		return -EINVAL;
	}
	if (!sws_isSupportedInput(frame->format)) {
		const char *name = av_get_pix_fmt_name(frame->format);
		snprintf(why, why_size, "pixel format %s cannot be converted",
			name != NULL ? name : "unknown");
		return -ENOTSUP;
	}
	pc_i420_init(&reader->i420, frame, find_turn(reader->stream));
	reader->info.width = reader->i420.width;
	reader->info.height = reader->i420.height;
	find_fps(reader);
	return 0;
}

int pc_file_reader_open(const char *path, const atomic_bool *stop, char *why, size_t why_size,
	struct pc_file_reader **ret_reader)
{
	struct pc_file_reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL) {
		snprintf(why, why_size, "out of memory");
		return -ENOMEM;
	}
	reader->fd = -1;
	reader->stop = stop;
	reader->first_pts = AV_NOPTS_VALUE;
	reader->last_ns = -1;
	snprintf(why, why_size, "out of memory"); /* who fails for another reason says so */
	int r = open_fd(reader, path, why, why_size);
	if (r == 0) {
		r = open_format(reader, why, why_size);
	}
	if (r == 0) {
		r = open_codec(reader, why, why_size);
	}
	if (r == 0) {
		r = look_at_first(reader, why, why_size);
	}
	if (r < 0) {
		pc_file_reader_close(reader);
		return r;
	}
	why[0] = '\0';
	*ret_reader = reader;
	return 0;
}

void pc_file_reader_close(struct pc_file_reader *reader)
{
	if (reader == NULL) {
		return;
	}
	pc_i420_finish(&reader->i420);
	av_frame_free(&reader->frame);
	av_packet_free(&reader->packet);
	avcodec_free_context(&reader->codec);
	avformat_close_input(&reader->format);
	if (reader->io != NULL) {
		av_freep(&reader->io->buffer);
		avio_context_free(&reader->io);
	}
	if (reader->fd >= 0) {
		close(reader->fd);
	}
	free(reader);
}

const struct pc_file_reader_info *pc_file_reader_info(const struct pc_file_reader *reader)
{
	return &reader->info;
}

uint64_t pc_file_reader_bad(const struct pc_file_reader *reader)
{
	return reader->bad;
}

/* --- one after the other --- */

static int64_t time_of(struct pc_file_reader *reader)
{
	const int64_t pts = reader->frame->best_effort_timestamp;
	const int64_t next_ns = reader->last_ns < 0 ? 0 : reader->last_ns + reader->info.frame_ns;
	if (pts == AV_NOPTS_VALUE) {
		return next_ns;
	}
	if (reader->first_pts == AV_NOPTS_VALUE) {
		reader->first_pts = pts;
		reader->shift_ns = next_ns;
	}
	/* Saturated: a damaged file may say anything. */
	int64_t ns = av_sat_add64(reader->shift_ns,
		av_rescale_q(av_sat_sub64(pts, reader->first_pts), reader->stream->time_base,
			(AVRational){ 1, (int)PC_NS_PER_S }));
	if (reader->last_ns < 0) {
		return ns;
	}
	if (ns < reader->last_ns - BACK_MAX_NS ||
		ns > reader->last_ns + GAP_MAX_NS + 2 * reader->info.frame_ns) {
		reader->first_pts = pts;
		reader->shift_ns = next_ns;
		ns = next_ns;
	}
	return ns < reader->last_ns + STEP_MIN_NS ? reader->last_ns + STEP_MIN_NS : ns;
}

int pc_file_reader_next(struct pc_file_reader *reader, int64_t *ret_time_ns)
{
	if (!reader->pending) {
		const int r = decode(reader, UINT32_MAX);
		if (r < 0) {
			return r;
		}
	}
	reader->pending = false;
	reader->last_ns = time_of(reader);
	*ret_time_ns = reader->last_ns;
	return 0;
}

int pc_file_reader_rewind(struct pc_file_reader *reader)
{
	const int64_t start =
		reader->stream->start_time != AV_NOPTS_VALUE ? reader->stream->start_time : 0;
	int r = avformat_seek_file(
		reader->format, reader->stream->index, INT64_MIN, start, start, 0);
	if (r < 0) { /* raw streams have no times to seek to */
		r = av_seek_frame(reader->format, -1, 0, AVSEEK_FLAG_BYTE);
	}
	if (r < 0) {
		return reader->io_err != 0 ? reader->io_err : -EIO;
	}
	avcodec_flush_buffers(reader->codec);
	av_frame_unref(reader->frame);
	reader->pending = false;
	reader->draining = false;
	reader->first_pts = AV_NOPTS_VALUE;
	reader->shift_ns = 0;
	reader->last_ns = -1;
	return 0;
}

int pc_file_reader_copy(struct pc_file_reader *reader, uint8_t *const planes[static 3],
	const uint32_t strides[static 3])
{
	return pc_i420_write(&reader->i420, reader->frame, planes, strides);
}
