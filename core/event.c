/* core/event.c - names and small geometry of the domain types; see event.h. */
#include "core/event.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
	const char *name;
	bool records;
} kinds[PC_EVENT_KINDS] = {
	[PC_EVENT_MOTION] = { "motion", true },
	[PC_EVENT_PASSING] = { "passing", true },
	[PC_EVENT_SLEEPING] = { "sleeping", false },
	[PC_EVENT_PLAYING] = { "playing", true },
	[PC_EVENT_EATING] = { "eating", false },
	[PC_EVENT_GROOMING] = { "grooming", false },
	[PC_EVENT_JUMPING] = { "jumping", true },
	[PC_EVENT_LYING] = { "lying", false },
	[PC_EVENT_INTERACTING] = { "interacting", true },
	[PC_EVENT_VOCALIZING] = { "vocalizing", false },
	[PC_EVENT_ZONE_ENTER] = { "zone_enter", true },
	[PC_EVENT_ZONE_LEAVE] = { "zone_leave", true },
	[PC_EVENT_ABNORMAL] = { "abnormal", true },
	[PC_EVENT_ABSENCE] = { "absence", false },
};

static const char *const species_names[] = {
	[PC_SPECIES_UNKNOWN] = "unknown",
	[PC_SPECIES_CAT] = "cat",
	[PC_SPECIES_DOG] = "dog",
	[PC_SPECIES_PERSON] = "person",
	[PC_SPECIES_OTHER] = "other",
};

#define ZONE_KINDS (PC_ZONE_SOFA + 1)
static const char *const zone_kind_names[ZONE_KINDS] = {
	[PC_ZONE_CUSTOM] = "custom",
	[PC_ZONE_BOWL] = "bowl",
	[PC_ZONE_BED] = "bed",
	[PC_ZONE_DOOR] = "door",
	[PC_ZONE_SOFA] = "sofa",
};

const char *pc_event_kind_name(enum pc_event_kind kind)
{
	assert((unsigned)kind < PC_EVENT_KINDS);
	return kinds[kind].name;
}

int pc_event_kind_parse(const char *name, enum pc_event_kind *ret_kind)
{
	for (unsigned i = 0; i < PC_EVENT_KINDS; i++) {
		if (strcmp(name, kinds[i].name) == 0) {
			*ret_kind = (enum pc_event_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool pc_event_kind_records(enum pc_event_kind kind)
{
	assert((unsigned)kind < PC_EVENT_KINDS);
	return kinds[kind].records;
}

const char *pc_species_name(enum pc_species species)
{
	assert((unsigned)species <= PC_SPECIES_OTHER);
	return species_names[species];
}

static float overlap(float a, float a_size, float b, float b_size)
{
	float from = a > b ? a : b;
	float to = a + a_size < b + b_size ? a + a_size : b + b_size;
	return to > from ? to - from : 0;
}

float pc_box_iou(const struct pc_box *a, const struct pc_box *b)
{
	float common = overlap(a->x, a->w, b->x, b->w) * overlap(a->y, a->h, b->y, b->h);
	float all = a->w * a->h + b->w * b->h - common;
	return all > 0 ? common / all : 0;
}

const char *pc_zone_kind_name(enum pc_zone_kind kind)
{
	assert((unsigned)kind < ZONE_KINDS);
	return zone_kind_names[kind];
}

int pc_zone_kind_parse(const char *name, enum pc_zone_kind *ret_kind)
{
	for (unsigned i = 0; i < ZONE_KINDS; i++) {
		if (strcmp(name, zone_kind_names[i]) == 0) {
			*ret_kind = (enum pc_zone_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool pc_zone_contains(const struct pc_zone *zone, float x, float y)
{
	assert(zone->n_points <= PC_ZONE_MAX_POINTS);
	/* A ray to the right crosses the outline an odd number of times from inside. */
	bool inside = false;
	for (unsigned i = 0; i < zone->n_points; i++) {
		const struct pc_point *a = &zone->points[i];
		const struct pc_point *b = &zone->points[(i + 1) % zone->n_points];
		if ((a->y > y) != (b->y > y) &&
			x < a->x + (b->x - a->x) * (y - a->y) / (b->y - a->y)) {
			inside = !inside;
		}
	}
	return inside;
}
