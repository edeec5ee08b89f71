/* core/event.h - what the house talks about: boxes, areas, events. Plain values. */
#ifndef PC_CORE_EVENT_H
#define PC_CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

/* Wire names are in pc_event_kind_name(); the order is private. */
enum pc_event_kind {
	PC_EVENT_MOTION,
	PC_EVENT_PASSING,
	PC_EVENT_SLEEPING,
	PC_EVENT_PLAYING,
	PC_EVENT_EATING,
	PC_EVENT_GROOMING,
	PC_EVENT_JUMPING,
	PC_EVENT_LYING,
	PC_EVENT_INTERACTING,
	PC_EVENT_VOCALIZING,
	PC_EVENT_ZONE_ENTER,
	PC_EVENT_ZONE_LEAVE,
	PC_EVENT_ABNORMAL,
	PC_EVENT_ABSENCE,
};
#define PC_EVENT_KINDS 14

const char *pc_event_kind_name(enum pc_event_kind kind);
/* 0, or -EINVAL for a name that is no kind. */
int pc_event_kind_parse(const char *name, enum pc_event_kind *ret_kind);
/* Dynamic kinds record video; the others are only logged (DESIGN, "Seeing"). */
bool pc_event_kind_records(enum pc_event_kind kind);

enum pc_species {
	PC_SPECIES_UNKNOWN, /* something moves; nobody knows what */
	PC_SPECIES_CAT,
	PC_SPECIES_DOG,
	PC_SPECIES_PERSON,
	PC_SPECIES_OTHER,
};
const char *pc_species_name(enum pc_species species);

/* A part of the picture: 0..1 of its width and height, origin top left. */
struct pc_box {
	float x, y, w, h;
};
float pc_box_iou(const struct pc_box *a, const struct pc_box *b);

#define PC_ZONE_MAX_POINTS 16
#define PC_ZONE_NAME_MAX 32 /* bytes with NUL */
#define PC_ZONES_MAX 16 /* a camera */

enum pc_zone_kind {
	PC_ZONE_CUSTOM,
	PC_ZONE_BOWL,
	PC_ZONE_BED,
	PC_ZONE_DOOR,
	PC_ZONE_SOFA,
};
const char *pc_zone_kind_name(enum pc_zone_kind kind);
int pc_zone_kind_parse(const char *name, enum pc_zone_kind *ret_kind);

struct pc_point {
	float x, y; /* 0..1 of the picture */
};

struct pc_zone {
	char name[PC_ZONE_NAME_MAX];
	enum pc_zone_kind kind;
	unsigned n_points; /* 3..PC_ZONE_MAX_POINTS */
	struct pc_point points[PC_ZONE_MAX_POINTS];
};

bool pc_zone_contains(const struct pc_zone *zone, float x, float y);

#define PC_CAMERA_ID_MAX 32 /* bytes with NUL; [a-z0-9_-]+ */
#define PC_EVIDENCE_MAX 256 /* bytes with NUL */

/* One event, as seeing makes it and storage keeps it. */
struct pc_event {
	int64_t event_id; /* > 0 */
	enum pc_event_kind kind;
	char camera[PC_CAMERA_ID_MAX]; /* "" where no camera is meant (absence) */
	int64_t pet_id; /* 0: not known */
	int64_t start_utc_ms;
	int64_t end_utc_ms; /* 0 while it goes on */
	float score; /* 0..1 */
	uint32_t track_id; /* 0: none */
	struct pc_box box; /* where, when the score was best; w 0: nowhere */
	char zone[PC_ZONE_NAME_MAX]; /* "" : none */
	char evidence[PC_EVIDENCE_MAX]; /* UTF-8, one line, for people */
};

#endif
