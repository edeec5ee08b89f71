/* config/settings_table.c - every setting: path, type, default, range, sentence. */
#include "config/settings_internal.h"

#include <string.h>

#define GLOBAL(member) offsetof(struct pc_settings, member)
#define CAMERA(member) offsetof(struct pc_camera_settings, member)
#define SIZE(type, member) sizeof(((struct type *)NULL)->member)

#define STRING(where, type_, member, path_, default_, range_, sentence_)                           \
	.info = { path_, "string", default_, range_, sentence_ }, .type = SETTING_STRING,          \
	.offset = where(member), .size = SIZE(type_, member)
#define UNSIGNED(where, member, path_, default_, range_, min_, max_, sentence_)                    \
	.info = { path_, "integer", default_, range_, sentence_ }, .type = SETTING_UNSIGNED,       \
	.offset = where(member), .min = min_, .max = max_
#define NUMBER(where, member, path_, default_, range_, min_, max_, sentence_)                      \
	.info = { path_, "number", default_, range_, sentence_ }, .type = SETTING_NUMBER,          \
	.offset = where(member), .min = min_, .max = max_
#define BOOL(where, member, path_, default_, sentence_)                                            \
	.info = { path_, "boolean", default_, "", sentence_ }, .type = SETTING_BOOL,               \
	.offset = where(member)

static bool valid_camera_id(const char *text)
{
	return text[0] != '\0' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(text);
}

static bool valid_not_empty(const char *text)
{
	return text[0] != '\0';
}

static bool valid_device(const char *text)
{
	return text[0] == '\0' || strncmp(text, "/dev/", 5) == 0;
}

static bool valid_format(const char *text)
{
	return strcmp(text, "auto") == 0 ||
	       (strlen(text) == 4 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ") == 4);
}

const struct setting pc_settings_table[] = {
	{ STRING(GLOBAL, pc_settings, storage.root, "storage.root", "/var/lib/petcam", "a folder",
		  "Where petcam keeps everything: database, recordings, keys."),
		.valid = valid_not_empty },
	{ NUMBER(GLOBAL, storage.max_usage, "storage.max_usage", "0.80", "0.05..0.99", 0.05, 0.99,
		"The oldest recordings go when the file system is fuller than this.") },
	{ UNSIGNED(GLOBAL, storage.max_age_days, "storage.max_age_days", "30", "0..3650", 0, 3650,
		"Recordings older than this go; 0 keeps them until the disk needs room.") },
	{ NUMBER(GLOBAL, storage.pre_roll_s, "storage.pre_roll_s", "3.0", "0..10", 0, 10,
		"Seconds of video kept from before an event.") },
	{ NUMBER(GLOBAL, storage.post_roll_s, "storage.post_roll_s", "5.0", "0..60", 0, 60,
		"Seconds of video kept after an event.") },
	{ NUMBER(GLOBAL, storage.max_clip_s, "storage.max_clip_s", "300.0", "5..3600", 5, 3600,
		"A longer recording is split into files of this length.") },
	{ STRING(GLOBAL, pc_settings, http.address, "http.address", "::", "an IP address",
		  "The address to listen on; \"::\" is every one, IPv4 and IPv6."),
		.valid = valid_not_empty },
	{ UNSIGNED(GLOBAL, http.port, "http.port", "8443", "0..65535", 0, 65535,
		"The port to listen on; 0 takes a free one.") },
	{ BOOL(GLOBAL, http.plain_loopback, "http.plain_loopback", "false",
		"Plain HTTP for a reverse proxy on this machine; http.address must then be a "
		"loopback one.") },
	{ UNSIGNED(GLOBAL, http.max_connections, "http.max_connections", "256", "8..4096", 8, 4096,
		"Connections served at once.") },
	{ UNSIGNED(GLOBAL, http.max_connections_per_address, "http.max_connections_per_address",
		"48", "4..4096", 4, 4096, "Connections served at once from one address.") },
	{ UNSIGNED(GLOBAL, http.max_viewers, "http.max_viewers", "32", "1..256", 1, 256,
		"Instant views served at once.") },
	{ STRING(GLOBAL, pc_settings, http.web_root, "http.web_root", "", "a folder",
		"The built dashboard; empty: where petcam was installed.") },
	{ NUMBER(GLOBAL, http.access_token_s, "http.access_token_s", "86400", "10..2592000", 10,
		2592000, "Seconds that a login lasts.") },
	{ NUMBER(GLOBAL, http.media_token_s, "http.media_token_s", "14400", "10..86400", 10, 86400,
		"Seconds that a media token lasts.") },
	{ NUMBER(GLOBAL, live.part_s, "live.part_s", "0.2", "0.05..1", 0.05, 1,
		"Seconds of a Low-Latency HLS part, before rounding to whole frames.") },
	{ NUMBER(GLOBAL, live.segment_s, "live.segment_s", "1.0", "0.5..6", 0.5, 6,
		"Seconds between key frames; an HLS segment.") },
	{ NUMBER(GLOBAL, live.window_s, "live.window_s", "12.0", "6..60", 6, 60,
		"Seconds of video kept in memory for live views and pre-roll.") },
	{ STRING(GLOBAL, pc_settings, encoder.encoder, "encoder.encoder", "auto",
		  "auto, v4l2m2m, libavcodec", "The H.264 encoder; auto tries the hardware first."),
		.words = "|auto|v4l2m2m|libavcodec|" },
	{ STRING(GLOBAL, pc_settings, encoder.device, "encoder.device", "", "a node",
		  "The node of the hardware encoder, as /dev/video11; empty: the first that can."),
		.valid = valid_device },
	{ STRING(GLOBAL, pc_settings, encoder.scaler, "encoder.scaler", "auto",
		  "auto, v4l2m2m, gles, software",
		  "What makes the small pictures; auto tries the hardware first."),
		.words = "|auto|v4l2m2m|gles|software|" },
	{ STRING(GLOBAL, pc_settings, encoder.scaler_device, "encoder.scaler_device", "", "a node",
		  "The node of the hardware scaler, as /dev/video12; empty: the first that can."),
		.valid = valid_device },
	{ STRING(GLOBAL, pc_settings, encoder.preset, "encoder.preset", "superfast",
		  "ultrafast, superfast, veryfast, faster, fast, medium",
		  "How hard the software encoder works for the same bitrate."),
		.words = "|ultrafast|superfast|veryfast|faster|fast|medium|" },
	{ UNSIGNED(GLOBAL, encoder.threads, "encoder.threads", "0", "0..8", 0, 8,
		"Threads of the software encoder; 0: its own choice.") },
	{ NUMBER(GLOBAL, inference.rate, "inference.rate", "10", "1..30", 1, 30,
		"Small frames looked at a second.") },
	{ UNSIGNED(GLOBAL, inference.width, "inference.width", "320", "160..640", 160, 640,
		"Width of the small frame in pixels; made a multiple of 32.") },
	{ NUMBER(GLOBAL, inference.sensitivity, "inference.sensitivity", "0.5", "0..1", 0, 1,
		"How little change counts as motion; 0.5 as measured.") },
	{ NUMBER(GLOBAL, inference.min_area, "inference.min_area", "0.002", "0.0001..0.5", 0.0001,
		0.5, "The smallest moving thing, as a part of the picture.") },
	{ NUMBER(GLOBAL, inference.hold_s, "inference.hold_s", "2.0", "0.5..60", 0.5, 60,
		"Seconds of stillness that end a motion event.") },
	{ UNSIGNED(GLOBAL, inference.absence_minutes, "inference.absence_minutes", "720",
		"0..43200", 0, 43200,
		"Minutes without any event that raise an alert, until a rule is set; 0: none.") },
	{ STRING(GLOBAL, pc_settings, log.level, "log.level", "info", "error, warn, info, debug",
		  "What is written to the log."),
		.words = "|error|warn|info|debug|" },

	{ STRING(CAMERA, pc_camera_settings, id, "cameras.[].id", "cam0", "a-z 0-9 _ -",
		  "Name of the camera in addresses and folders; cam0, cam1 ... unless set."),
		.valid = valid_camera_id },
	{ STRING(CAMERA, pc_camera_settings, name, "cameras.[].name", "Camera", "",
		"Name of the camera shown to people.") },
	{ STRING(CAMERA, pc_camera_settings, source, "cameras.[].source", "auto",
		  "auto, v4l2, v4l2:/dev/video0, file:PATH, demo, demo:...",
		  "Where the frames come from; auto takes a camera, or the demo where there is "
		  "none."),
		.valid = valid_not_empty },
	{ BOOL(CAMERA, loop, "cameras.[].loop", "true", "A file starts again when it ends.") },
	{ UNSIGNED(CAMERA, width, "cameras.[].width", "1280", "160..1920", 160, 1920,
		"Width of the picture in pixels; a camera gives the nearest, a file has its own.") },
	{ UNSIGNED(CAMERA, height, "cameras.[].height", "720", "120..1920", 120, 1920,
		"Height of the picture in pixels; a camera gives the nearest, a file has its own.") },
	{ STRING(CAMERA, pc_camera_settings, format, "cameras.[].format", "auto",
		  "auto, or four letters of the camera's",
		  "A camera's pixel format (NV12, YU12, YUYV, MJPG ...); auto takes what needs no "
		  "copy."),
		.valid = valid_format },
	{ STRING(CAMERA, pc_camera_settings, memory, "cameras.[].memory", "auto",
		  "auto, export, import",
		  "Whose buffers a camera fills: its own (export), or a heap's (import); auto "
		  "tries which of them the encoder takes."),
		.words = "|auto|export|import|" },
	{ NUMBER(CAMERA, fps, "cameras.[].fps", "30", "1..60", 1, 60,
		"Frames a second; a file has its own.") },
	{ UNSIGNED(CAMERA, bitrate_kbps, "cameras.[].bitrate_kbps", "2000", "100..25000", 100,
		25000, "Bitrate of the video in kbit/s.") },
	{ .info = { "cameras.[].zones", "polygons", "()", "at most 16",
		  "Areas with a name: ( { name = \"bowl\"; kind = \"bowl\"; points = [x, y, ...]; } ), "
		  "in 0..1 of the picture." },
		.type = SETTING_POLYGONS,
		.offset = CAMERA(zones),
		.count_offset = CAMERA(n_zones) },
	{ .info = { "cameras.[].masks", "polygons", "()", "at most 16",
		  "Areas where motion is not looked for, written like zones." },
		.type = SETTING_POLYGONS,
		.offset = CAMERA(masks),
		.count_offset = CAMERA(n_masks) },
	{ .info = { NULL } },
};

const struct pc_setting_info *pc_settings_describe(unsigned i)
{
	const unsigned n = sizeof(pc_settings_table) / sizeof(pc_settings_table[0]) - 1;
	return i < n ? &pc_settings_table[i].info : NULL;
}
