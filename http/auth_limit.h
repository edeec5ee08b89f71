/* http/auth_limit.h - how often somebody may guess: exponential delay, in bounded memory.
 *
 * An attempt counts as a failure from its beginning, so that many at once gain nothing;
 * success forgets it. A full table forgets whoever was quiet for longest.
 *
 * Thread: any; a short lock, nothing blocks. Nothing is allocated after create.
 */
#ifndef PC_HTTP_AUTH_LIMIT_H
#define PC_HTTP_AUTH_LIMIT_H

#include <stdint.h>

struct pc_limit;

struct pc_limit_policy {
	unsigned free_attempts; /* without a delay */
	int64_t first_delay_ns; /* after the next one; doubles with each */
	int64_t max_delay_ns;
	int64_t forget_ns; /* of quiet, after which the count begins anew */
};

int pc_limit_create(
	const struct pc_limit_policy *policy, unsigned entries, struct pc_limit **ret_limit);
void pc_limit_destroy(struct pc_limit *limit); /* NULL is fine */

/* 0: go on, the attempt is counted; else how long to wait, and nothing was counted. */
int64_t pc_limit_enter(struct pc_limit *limit, uint64_t who, int64_t now_ns);

/* The attempt was right: forgets all failures of `who`. */
void pc_limit_clear(struct pc_limit *limit, uint64_t who);

/* The attempt did not take place: takes the last one back. */
void pc_limit_return(struct pc_limit *limit, uint64_t who);

#endif
