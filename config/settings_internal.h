/* config/settings_internal.h - the table of settings. Private to the folder. */
#ifndef PC_CONFIG_SETTINGS_INTERNAL_H
#define PC_CONFIG_SETTINGS_INTERNAL_H

#include <stddef.h>

#include "config/settings.h"

enum setting_type {
	SETTING_STRING,
	SETTING_UNSIGNED,
	SETTING_NUMBER,
	SETTING_BOOL,
	SETTING_POLYGONS, /* zones and masks: struct pc_zone[PC_ZONES_MAX] and a count */
};

struct setting {
	struct pc_setting_info info; /* info.path: "cameras.[].fps" for a camera's */
	enum setting_type type;
	size_t offset; /* in struct pc_settings, or in struct pc_camera_settings */
	size_t size; /* of a string's buffer */
	size_t count_offset; /* of a polygon list's count */
	double min, max; /* of numbers; both 0: any */
	const char *words; /* a string must be one of these, "|a|b|"; NULL: any */
	bool (*valid)(const char *text); /* a string must please it; NULL: any */
};

/* Ends with info.path NULL. */
extern const struct setting pc_settings_table[];

#endif
