/* http/auth_limit.c - exponential delay for guesses; see auth_limit.h. */
#include "http/auth_limit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct entry {
	uint64_t who;
	unsigned failures; /* 0: a free slot */
	int64_t last_ns;
	int64_t not_before_ns;
};

struct pc_limit {
	struct pc_limit_policy policy;
	pthread_mutex_t lock;
	unsigned n;
	struct entry entries[];
};

int pc_limit_create(
	const struct pc_limit_policy *policy, unsigned entries, struct pc_limit **ret_limit)
{
	struct pc_limit *limit = calloc(1, sizeof(*limit) + entries * sizeof(limit->entries[0]));
	if (limit == NULL) {
		return -ENOMEM;
	}
	limit->policy = *policy;
	limit->n = entries;
	pthread_mutex_init(&limit->lock, NULL);
	*ret_limit = limit;
	return 0;
}

void pc_limit_destroy(struct pc_limit *limit)
{
	if (limit == NULL) {
		return;
	}
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

static struct entry *find(struct pc_limit *limit, uint64_t who)
{
	for (unsigned i = 0; i < limit->n; i++) {
		if (limit->entries[i].failures > 0 && limit->entries[i].who == who) {
			return &limit->entries[i];
		}
	}
	return NULL;
}

/* A free slot, or the one that was quiet for longest. */
static struct entry *find_room(struct pc_limit *limit)
{
	struct entry *oldest = &limit->entries[0];
	for (unsigned i = 0; i < limit->n; i++) {
		struct entry *entry = &limit->entries[i];
		if (entry->failures == 0) {
			return entry;
		}
		if (entry->last_ns < oldest->last_ns) {
			oldest = entry;
		}
	}
	return oldest;
}

static int64_t delay_after(const struct pc_limit_policy *policy, unsigned failures)
{
	if (failures <= policy->free_attempts) {
		return 0;
	}
	int64_t delay_ns = policy->first_delay_ns;
	for (unsigned i = policy->free_attempts + 1; i < failures; i++) {
		if (delay_ns >= policy->max_delay_ns / 2) {
			return policy->max_delay_ns;
		}
		delay_ns *= 2;
	}
	return delay_ns < policy->max_delay_ns ? delay_ns : policy->max_delay_ns;
}

int64_t pc_limit_enter(struct pc_limit *limit, uint64_t who, int64_t now_ns)
{
	int64_t wait_ns = 0;
	pthread_mutex_lock(&limit->lock);
	struct entry *entry = find(limit, who);
	if (entry != NULL && now_ns - entry->last_ns > limit->policy.forget_ns) {
		entry->failures = 0;
	}
	if (entry == NULL) {
		entry = find_room(limit);
		*entry = (struct entry){ .who = who };
	}
	if (entry->failures > 0 && now_ns < entry->not_before_ns) {
		wait_ns = entry->not_before_ns - now_ns;
	} else {
		entry->failures++;
		entry->last_ns = now_ns;
		entry->not_before_ns = now_ns + delay_after(&limit->policy, entry->failures);
	}
	pthread_mutex_unlock(&limit->lock);
	return wait_ns;
}

void pc_limit_clear(struct pc_limit *limit, uint64_t who)
{
	pthread_mutex_lock(&limit->lock);
	struct entry *entry = find(limit, who);
	if (entry != NULL) {
		entry->failures = 0;
	}
	pthread_mutex_unlock(&limit->lock);
}

void pc_limit_return(struct pc_limit *limit, uint64_t who)
{
	pthread_mutex_lock(&limit->lock);
	struct entry *entry = find(limit, who);
	if (entry != NULL) {
		entry->failures--;
		entry->not_before_ns = entry->last_ns;
	}
	pthread_mutex_unlock(&limit->lock);
}
