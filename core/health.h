/* core/health.h - what works, what does not, and since when.
 *
 * Each part of the house ("camera front", "encoder front", "storage", "settings")
 * says how it is; /health, the log and (later) alerts read it. Saying the same
 * twice is free; a change is logged once.
 *
 * Thread: any; a short lock, nothing blocks.
 */
#ifndef PC_CORE_HEALTH_H
#define PC_CORE_HEALTH_H

#include <stdint.h>

struct pc_health;

enum pc_health_state {
	PC_HEALTH_OK,
	PC_HEALTH_DEGRADED, /* works, but not as it should */
	PC_HEALTH_FAILED,
};
const char *pc_health_state_name(enum pc_health_state state);

#define PC_HEALTH_NAME_MAX 48
#define PC_HEALTH_TEXT_MAX 192
#define PC_HEALTH_PARTS_MAX 64

struct pc_health_part {
	char name[PC_HEALTH_NAME_MAX];
	enum pc_health_state state;
	char text[PC_HEALTH_TEXT_MAX]; /* what happened and what to do; "" when OK */
	int64_t since_utc_ms; /* when the state last changed */
};

int pc_health_create(struct pc_health **ret_health);
void pc_health_destroy(struct pc_health *health); /* NULL is fine */

/* Adds the part on first use. `format` NULL: no text. */
void pc_health_set(struct pc_health *health, const char *part, enum pc_health_state state,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
void pc_health_remove(struct pc_health *health, const char *part);

/* Copies at most `max` parts, in the order that they were added; the number. */
unsigned pc_health_read(struct pc_health *health, struct pc_health_part *parts, unsigned max);

/* The worst state of all. */
enum pc_health_state pc_health_overall(struct pc_health *health);

#endif
