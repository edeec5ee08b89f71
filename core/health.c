/* core/health.c - what works, what does not, and since when; see health.h. */
#include "core/health.h"

#define PC_LOG_MODULE "health"
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

struct pc_health {
	pthread_mutex_t lock;
	unsigned n_parts;
	struct pc_health_part parts[PC_HEALTH_PARTS_MAX];
};

static const char *const state_names[] = {
	[PC_HEALTH_OK] = "ok",
	[PC_HEALTH_DEGRADED] = "degraded",
	[PC_HEALTH_FAILED] = "failed",
};

static const enum pc_log_level state_levels[] = {
	[PC_HEALTH_OK] = PC_LOG_INFO,
	[PC_HEALTH_DEGRADED] = PC_LOG_WARN,
	[PC_HEALTH_FAILED] = PC_LOG_ERROR,
};

const char *pc_health_state_name(enum pc_health_state state)
{
	assert((unsigned)state <= PC_HEALTH_FAILED);
	return state_names[state];
}

int pc_health_create(struct pc_health **ret_health)
{
	struct pc_health *health = calloc(1, sizeof(*health));
	if (health == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&health->lock, NULL);
	*ret_health = health;
	return 0;
}

void pc_health_destroy(struct pc_health *health)
{
	if (health == NULL) {
		return;
	}
	pthread_mutex_destroy(&health->lock);
	free(health);
}

/* A text that was cut may end inside a UTF-8 sequence, which JSON refuses: the rest of
 * that sequence goes too. */
static void trim_utf8(char *text)
{
	size_t end = strlen(text);
	size_t start = end;
	while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
		start--;
	}
	if (start == 0) {
		return;
	}
	unsigned char lead = (unsigned char)text[start - 1];
	size_t needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (end - (start - 1) < needed) {
		text[start - 1] = '\0';
	}
}

/* Under the lock. NULL: not there. */
static struct pc_health_part *find_part(struct pc_health *health, const char *name)
{
	for (unsigned i = 0; i < health->n_parts; i++) {
		if (strncmp(health->parts[i].name, name, PC_HEALTH_NAME_MAX - 1) == 0) {
			return &health->parts[i];
		}
	}
	return NULL;
}

/* Under the lock. True if it is news; false as well where there is no room. */
static bool set_part(
	struct pc_health *health, const char *name, enum pc_health_state state, const char *text)
{
	struct pc_health_part *part = find_part(health, name);
	if (part != NULL && part->state == state && strcmp(part->text, text) == 0) {
		return false;
	}
	bool added = part == NULL;
	if (added) {
		if (health->n_parts == PC_HEALTH_PARTS_MAX) {
			return false;
		}
		part = &health->parts[health->n_parts++];
		snprintf(part->name, sizeof(part->name), "%s", name);
	}
	if (added || part->state != state) {
		part->since_utc_ms = pc_clock_now_utc_ms();
	}
	part->state = state;
	memcpy(part->text, text, PC_HEALTH_TEXT_MAX);
	return !added || state != PC_HEALTH_OK; /* that a new part is well is no news */
}

void pc_health_set(struct pc_health *health, const char *part, enum pc_health_state state,
	const char *format, ...)
{
	assert((unsigned)state <= PC_HEALTH_FAILED);
	char text[PC_HEALTH_TEXT_MAX] = "";
	if (format != NULL) {
		va_list args;
		va_start(args, format);
		vsnprintf(text, sizeof(text), format, args);
		va_end(args);
		trim_utf8(text);
	}
	pthread_mutex_lock(&health->lock);
	bool news = set_part(health, part, state, text);
	pthread_mutex_unlock(&health->lock);
	if (news) {
		pc_log_write(state_levels[state], PC_LOG_MODULE, "%s: %s%s%s", part,
			state_names[state], text[0] != '\0' ? ": " : "", text);
	}
}

void pc_health_remove(struct pc_health *health, const char *part)
{
	pthread_mutex_lock(&health->lock);
	struct pc_health_part *found = find_part(health, part);
	if (found != NULL) {
		size_t after = health->n_parts - (size_t)(found - health->parts) - 1;
		memmove(found, found + 1, after * sizeof(*found));
		health->n_parts--;
	}
	pthread_mutex_unlock(&health->lock);
}

unsigned pc_health_read(struct pc_health *health, struct pc_health_part *parts, unsigned max)
{
	pthread_mutex_lock(&health->lock);
	unsigned n = health->n_parts < max ? health->n_parts : max;
	memcpy(parts, health->parts, n * sizeof(*parts));
	pthread_mutex_unlock(&health->lock);
	return n;
}

enum pc_health_state pc_health_overall(struct pc_health *health)
{
	enum pc_health_state worst = PC_HEALTH_OK;
	pthread_mutex_lock(&health->lock);
	for (unsigned i = 0; i < health->n_parts; i++) {
		if (health->parts[i].state > worst) {
			worst = health->parts[i].state;
		}
	}
	pthread_mutex_unlock(&health->lock);
	return worst;
}
