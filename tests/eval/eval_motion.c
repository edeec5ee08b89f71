/* tests/eval/eval_motion.c - a clip through seeing, as the daemon does it.
 *
 *   eval_motion FILE [--rate N] [--phase S] [--width N] [--hold S] [--sensitivity X] [--min-area X]
 *               [--dump DIR] [--trace]
 *
 * Decodes, scales straight to small RGB frames at the given rate, runs detector,
 * tracker and behaviour, and prints one line an event, in seconds of the clip:
 *   event KIND START END SCORE EVIDENCE
 * and at the end
 *   clip DURATION FRAMES MS_PER_FRAME MS_MOTION
 * --dump writes every small frame with its tracks drawn in as PPM.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

#include "inference/behaviour.h"
#include "inference/detector.h"
#include "inference/tracker.h"

struct options {
	const char *file;
	const char *dump;
	bool trace;
	double rate, phase_s, width, hold_s, sensitivity, min_area;
};

struct clip {
	AVFormatContext *format;
	AVCodecContext *codec;
	struct SwsContext *sws;
	AVPacket *packet;
	AVFrame *frame;
	int stream;
	unsigned width, height; /* of the small frame */
	uint8_t *rgb;
};

struct eval {
	const struct options *options;
	struct clip clip;
	struct pc_detector *detector;
	struct pc_tracker *tracker;
	struct pc_behaviour *behaviour;
	unsigned frames;
	double next_s;
	double motion_s, all_s;
	double last_s;
};

__attribute__((noreturn, format(printf, 1, 2))) static void fatal(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("eval_motion: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void open_clip(struct clip *clip, const struct options *options)
{
	const AVCodec *codec = NULL;
	if (avformat_open_input(&clip->format, options->file, NULL, NULL) < 0 ||
		avformat_find_stream_info(clip->format, NULL) < 0) {
		fatal("%s does not open", options->file);
	}
	clip->stream = av_find_best_stream(clip->format, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
	if (clip->stream < 0) {
		fatal("%s has no picture", options->file);
	}
	const AVCodecParameters *parameters = clip->format->streams[clip->stream]->codecpar;
	clip->codec = avcodec_alloc_context3(codec);
	clip->packet = av_packet_alloc();
	clip->frame = av_frame_alloc();
	if (clip->codec == NULL || clip->packet == NULL || clip->frame == NULL ||
		avcodec_parameters_to_context(clip->codec, parameters) < 0 ||
		avcodec_open2(clip->codec, codec, NULL) < 0) {
		fatal("%s does not decode", options->file);
	}
	clip->width = (unsigned)options->width;
	clip->height = clip->width * (unsigned)parameters->height / (unsigned)parameters->width;
	clip->height += clip->height & 1;
	clip->rgb = av_malloc((size_t)clip->width * clip->height * 3 + 64);
	if (clip->rgb == NULL) {
		fatal("no memory");
	}
}

static void close_clip(struct clip *clip)
{
	av_free(clip->rgb);
	sws_freeContext(clip->sws);
	av_frame_free(&clip->frame);
	av_packet_free(&clip->packet);
	avcodec_free_context(&clip->codec);
	avformat_close_input(&clip->format);
}

static void scale(struct clip *clip)
{
	clip->sws = sws_getCachedContext(clip->sws, clip->frame->width, clip->frame->height,
		clip->frame->format, (int)clip->width, (int)clip->height, AV_PIX_FMT_RGB24,
		SWS_AREA, NULL, NULL, NULL);
	if (clip->sws == NULL) {
		fatal("no scaler");
	}
	uint8_t *planes[4] = { clip->rgb };
	const int strides[4] = { (int)clip->width * 3 };
	sws_scale(clip->sws, (const uint8_t *const *)clip->frame->data, clip->frame->linesize, 0,
		clip->frame->height, planes, strides);
}

static void set_pixel(struct clip *clip, float x, float y, const uint8_t colour[3])
{
	const int px = (int)(x * (float)clip->width);
	const int py = (int)(y * (float)clip->height);
	if (px >= 0 && py >= 0 && px < (int)clip->width && py < (int)clip->height) {
		memcpy(clip->rgb + ((size_t)py * clip->width + (size_t)px) * 3, colour, 3);
	}
}

static void draw_box(struct clip *clip, const struct pc_box *box, const uint8_t colour[3])
{
	for (float t = 0; t <= 1; t += 0.002f) {
		set_pixel(clip, box->x + t * box->w, box->y, colour);
		set_pixel(clip, box->x + t * box->w, box->y + box->h, colour);
		set_pixel(clip, box->x, box->y + t * box->h, colour);
		set_pixel(clip, box->x + box->w, box->y + t * box->h, colour);
	}
}

static void dump(struct eval *eval, const struct pc_detections *detections,
	const struct pc_track *tracks, unsigned n)
{
	static const uint8_t colours[][3] = { [PC_TRACK_TENTATIVE] = { 255, 255, 0 },
		[PC_TRACK_CONFIRMED] = { 0, 255, 0 },
		[PC_TRACK_LOST] = { 255, 128, 0 },
		[PC_TRACK_ENDED] = { 255, 0, 0 } };
	static const uint8_t blue[3] = { 0, 0, 255 };
	for (unsigned i = 0; i < detections->n; i++) {
		draw_box(&eval->clip, &detections->items[i].box, blue);
	}
	for (unsigned i = 0; i < n; i++) {
		draw_box(&eval->clip, &tracks[i].box, colours[tracks[i].state]);
	}
	char path[512];
	snprintf(path, sizeof(path), "%s/%05u.ppm", eval->options->dump, eval->frames);
	FILE *file = fopen(path, "wb");
	if (file == NULL) {
		fatal("%s: %s", path, strerror(errno));
	}
	fprintf(file, "P6\n%u %u\n255\n", eval->clip.width, eval->clip.height);
	fwrite(eval->clip.rgb, 3, (size_t)eval->clip.width * eval->clip.height, file);
	fclose(file);
}

static void trace(const struct pc_detections *detections, const struct pc_track *tracks, unsigned n,
	double at_s)
{
	static const char states[] = "tCLE";
	printf("t %.2f%s%s%s |", at_s, detections->light_change ? " light" : "",
		detections->unsteady ? " unsteady" : "", detections->learning ? " learning" : "");
	for (unsigned i = 0; i < detections->n; i++) {
		const struct pc_detection *d = &detections->items[i];
		printf(" (%.2f %.2f %.2fx%.2f e%.2f w%.2f s%.2f)", (double)d->box.x,
			(double)d->box.y, (double)d->box.w, (double)d->box.h, (double)d->energy,
			(double)d->sway, (double)d->score);
	}
	printf(" |");
	for (unsigned i = 0; i < n; i++) {
		printf(" %u%c(%.2f %.2f %.2fx%.2f%s m%.1f)", tracks[i].id, states[tracks[i].state],
			(double)tracks[i].box.x, (double)tracks[i].box.y, (double)tracks[i].box.w,
			(double)tracks[i].box.h, tracks[i].left ? " left" : "",
			(double)tracks[i].last_moved_ns * 1e-9 - 1);
	}
	printf("\n");
}

static void look(struct eval *eval, double at_s)
{
	scale(&eval->clip);
	/* Not from 0: a capture time never is. */
	const int64_t capture_ns = (int64_t)((at_s + 1) * 1e9);
	struct pc_detections detections;
	const double begin_s = now_s();
	if (pc_detector_detect(eval->detector, eval->clip.rgb, eval->clip.width * 3, capture_ns,
		    &detections) < 0) {
		fatal("the detector failed");
	}
	eval->motion_s += now_s() - begin_s;
	unsigned n = 0;
	const struct pc_track *tracks = pc_tracker_feed(eval->tracker, &detections, capture_ns, &n);
	if (eval->options->trace) {
		trace(&detections, tracks, n, at_s);
	}
	pc_behaviour_feed(eval->behaviour, tracks, n, capture_ns);
	eval->all_s += now_s() - begin_s;
	if (eval->options->dump != NULL) {
		dump(eval, &detections, tracks, n);
	}
	eval->frames++;
}

static void take_frames(struct eval *eval)
{
	struct clip *clip = &eval->clip;
	AVStream *stream = clip->format->streams[clip->stream];
	const AVRational base = stream->time_base;
	const double frame_s = 1 / av_q2d(av_guess_frame_rate(clip->format, stream, NULL));
	while (avcodec_receive_frame(clip->codec, clip->frame) >= 0) {
		const double at_s = (double)clip->frame->best_effort_timestamp * av_q2d(base);
		eval->last_s = at_s;
		if (at_s + frame_s / 2 >= eval->next_s) {
			look(eval, at_s);
			/* As the daemon's pipeline: the nearest frame, no drift. */
			eval->next_s += 1 / eval->options->rate;
			if (eval->next_s <= at_s) {
				eval->next_s = at_s + 1 / eval->options->rate;
			}
		}
		av_frame_unref(clip->frame);
	}
}

static void on_begin(void *data, const struct pc_behaviour_event *event)
{
	struct eval *eval = data;
	if (eval->options->trace) {
		printf("begin %s at %.2f: %s\n", pc_event_kind_name(event->kind),
			(double)event->start_ns * 1e-9 - 1, event->evidence);
	}
}

static void on_end(void *data, const struct pc_behaviour_event *event)
{
	(void)data;
	printf("event\t%s\t%.2f\t%.2f\t%.2f\t%s\n", pc_event_kind_name(event->kind),
		(double)event->start_ns * 1e-9 - 1, (double)event->end_ns * 1e-9 - 1,
		(double)event->score, event->evidence);
}

static void create(struct eval *eval)
{
	const struct options *options = eval->options;
	const struct pc_motion_config motion = { .width = eval->clip.width,
		.height = eval->clip.height,
		.rate = options->rate,
		.sensitivity = options->sensitivity,
		.min_area = options->min_area };
	const struct pc_tracker_config tracker = { .rate = options->rate, .lost_s = 1.5 };
	const struct pc_behaviour_config behaviour = { .hold_s = options->hold_s };
	static const struct pc_behaviour_events events = { .begin = on_begin, .end = on_end };
	if (pc_detector_create_motion(&motion, &eval->detector) < 0 ||
		pc_tracker_create(&tracker, &eval->tracker) < 0 ||
		pc_behaviour_create(&behaviour, &events, eval, &eval->behaviour) < 0) {
		fatal("no detector");
	}
}

static double number(const char *text)
{
	char *end = NULL;
	errno = 0;
	const double value = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0') {
		fatal("%s is no number", text);
	}
	return value;
}

static struct options parse(int argc, char **argv)
{
	struct options options = {
		.rate = 10, .width = 320, .hold_s = 2, .sensitivity = 0.5, .min_area = 0.002
	};
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (argv[i][0] != '-') {
			options.file = argv[i];
			continue;
		}
		if (strcmp(argv[i], "--trace") == 0) {
			options.trace = true;
			continue;
		}
		i++;
		if (strcmp(argv[i - 1], "--rate") == 0) {
			options.rate = number(value);
		} else if (strcmp(argv[i - 1], "--phase") == 0) {
			options.phase_s = number(value);
		} else if (strcmp(argv[i - 1], "--width") == 0) {
			options.width = number(value);
		} else if (strcmp(argv[i - 1], "--hold") == 0) {
			options.hold_s = number(value);
		} else if (strcmp(argv[i - 1], "--sensitivity") == 0) {
			options.sensitivity = number(value);
		} else if (strcmp(argv[i - 1], "--min-area") == 0) {
			options.min_area = number(value);
		} else if (strcmp(argv[i - 1], "--dump") == 0) {
			options.dump = value;
		} else {
			fatal("%s: no such option", argv[i - 1]);
		}
	}
	if (options.file == NULL) {
		fatal("which file?");
	}
	return options;
}

int main(int argc, char **argv)
{
	const struct options options = parse(argc, argv);
	struct eval eval = { .options = &options, .next_s = options.phase_s };
	open_clip(&eval.clip, &options);
	create(&eval);
	while (av_read_frame(eval.clip.format, eval.clip.packet) >= 0) {
		if (eval.clip.packet->stream_index == eval.clip.stream &&
			avcodec_send_packet(eval.clip.codec, eval.clip.packet) >= 0) {
			take_frames(&eval);
		}
		av_packet_unref(eval.clip.packet);
	}
	avcodec_send_packet(eval.clip.codec, NULL);
	take_frames(&eval);
	pc_behaviour_flush(eval.behaviour);
	const double frames = eval.frames > 0 ? eval.frames : 1;
	printf("clip\t%.2f\t%u\t%.3f\t%.3f\n", eval.last_s, eval.frames, eval.all_s * 1e3 / frames,
		eval.motion_s * 1e3 / frames);
	pc_behaviour_destroy(eval.behaviour);
	pc_tracker_destroy(eval.tracker);
	pc_detector_destroy(eval.detector);
	close_clip(&eval.clip);
	return 0;
}
