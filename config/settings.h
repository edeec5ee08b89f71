/* config/settings.h - the settings: one libconfig file, one table of what may stand in it.
 *
 * Every setting has a path ("storage.max_usage", "cameras.[0].source"), a type, a
 * range, a default and a sentence; pc_settings_describe() walks them. An error names
 * file, line and setting. Nothing secret is in here.
 *
 * The struct is a plain value: read-only once loaded. Thread: any then.
 */
#ifndef PC_CONFIG_SETTINGS_H
#define PC_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/event.h"

#define PC_SETTINGS_CAMERAS_MAX 8
#define PC_SETTINGS_PATH_MAX 512
#define PC_SETTINGS_TEXT_MAX 128

struct pc_camera_settings {
	char id[PC_CAMERA_ID_MAX]; /* "cam0" by position unless set */
	char name[PC_SETTINGS_TEXT_MAX]; /* shown to people */
	/* "auto", "demo", "demo:seed=7,speed=2", "file:PATH", "v4l2:/dev/video0" */
	char source[PC_SETTINGS_PATH_MAX];
	bool loop; /* a file starts again when it ends */
	unsigned width, height; /* pixels; demo and v4l2; a file has its own */
	char format[16]; /* v4l2: "auto", or one of the camera's: "NV12", "YU12", "YUYV", "MJPG" */
	char memory[16]; /* v4l2: "auto", "export" (the camera's buffers), "import" (a heap's) */
	double fps;
	unsigned bitrate_kbps;
	unsigned n_zones;
	struct pc_zone zones[PC_ZONES_MAX];
	unsigned n_masks; /* where motion is not looked for */
	struct pc_zone masks[PC_ZONES_MAX];
};

struct pc_settings {
	struct {
		char root[PC_SETTINGS_PATH_MAX]; /* data root: database, recordings, keys */
		double max_usage; /* 0..1 of the file system */
		unsigned max_age_days; /* 0: no limit */
		double pre_roll_s;
		double post_roll_s;
		double max_clip_s; /* a longer recording is split */
	} storage;
	struct {
		char address[64]; /* "::" all, "127.0.0.1", ... */
		unsigned port; /* 0: a free one */
		bool plain_loopback; /* no TLS; then address must be a loopback one */
		unsigned max_connections;
		unsigned max_connections_per_address;
		unsigned max_viewers; /* instant views (WebSocket and live.mp4) together */
		char web_root
			[PC_SETTINGS_PATH_MAX]; /* the built dashboard; "": compiled-in place */
		double access_token_s; /* life of a login */
		double media_token_s;
	} http;
	struct {
		double part_s; /* LL-HLS part target, before rounding to whole frames */
		double segment_s; /* key-frame distance */
		double window_s; /* what the playlist holds */
	} live;
	struct {
		char encoder[32]; /* "auto", "v4l2m2m", "libavcodec" */
		char device[PC_SETTINGS_TEXT_MAX]; /* of v4l2m2m, "/dev/video11"; "": found */
		char scaler[32]; /* "auto", "v4l2m2m", "gles", "software" */
		char scaler_device[PC_SETTINGS_TEXT_MAX]; /* its node; "": found */
		char preset[16]; /* libx264's: "ultrafast" .. */
		unsigned threads; /* of a software encoder; 0: its own choice */
	} encoder;
	struct {
		double rate; /* small frames a second */
		unsigned width; /* of the small frame, pixels; its height follows the shape */
		double sensitivity; /* motion, 0..1; 0.5 is the measured default */
		double min_area; /* smallest moving box, part of the picture */
		double hold_s; /* stillness that ends a motion event */
		unsigned absence_minutes; /* default alert threshold until one is set; 0: none */
	} inference;
	struct {
		char level[8];
	} log;
	unsigned n_cameras;
	struct pc_camera_settings cameras[PC_SETTINGS_CAMERAS_MAX];
};

/* Errors are collected, all of them, one line each:
 * "petcam.cfg:12: storage.max_usage: 1.5 is not within 0.1..0.99" */
struct pc_settings_errors {
	unsigned count;
	char text[4096]; /* lines, each with '\n'; the last may be cut */
};

/* The defaults: one demo or auto camera, data under the state directory. */
void pc_settings_default(struct pc_settings *settings);

/* Defaults, then `file` (NULL: none), then each override "path=value" in libconfig's
 * syntax for values (a bare word is taken as a string).
 * 0; -EINVAL with *errors filled and *ret_settings holding what was valid (for safe
 * mode); -ENOENT, -EACCES ... when the file cannot be read (also in *errors). */
int pc_settings_load(const char *file, const char *const *overrides, size_t n_overrides,
	struct pc_settings *ret_settings, struct pc_settings_errors *errors);

/* One setting, for documentation and, later, the API's schema. */
struct pc_setting_info {
	const char *path; /* "cameras.[].fps" */
	const char *type; /* "string", "integer", "number", "boolean", "polygons" */
	const char *default_text;
	const char *range_text; /* "" where any value goes */
	const char *sentence;
};
/* The i-th setting; NULL past the end. Static. */
const struct pc_setting_info *pc_settings_describe(unsigned i);

#endif
