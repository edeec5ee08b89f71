/* petcamd/alerts.h - alerts that nothing happened: the inactivity rules.
 *
 * A rule says: no event of this pet (0: of any) for so many minutes. It is decided on UTC
 * and on what storage knows, so that a restart neither repeats nor forgets an alert. An
 * alert that is raised logs an `absence` event and ends, with it, when the pet is seen.
 *
 * Thread: the main loop's.
 */
#ifndef PC_PETCAMD_ALERTS_H
#define PC_PETCAMD_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "core/loop.h"
#include "storage/alerts.h"

enum pc_alert_decision {
	PC_ALERT_NOTHING,
	PC_ALERT_RAISE,
	PC_ALERT_END,
};

/* The rule itself. `last_seen_utc_ms` 0: never. `since_utc_ms`: when the rule began to count
 * (it was made, or petcam began to watch). `raised`: its alert is open.
 * `minute_of_day`: local. No side effects. */
enum pc_alert_decision pc_alert_decide(const struct pc_alert_config *rule, int64_t last_seen_utc_ms,
	int64_t since_utc_ms, bool raised, int64_t now_utc_ms, unsigned minute_of_day);

struct pc_alerts;

/* Looks every few seconds on `loop`. `settings` and `storage` must outlive it. */
int pc_alerts_create(struct pc_loop *loop, const struct pc_settings *settings,
	struct pc_storage *storage, struct pc_alerts **ret_alerts);
void pc_alerts_destroy(struct pc_alerts *alerts); /* NULL is fine */

#endif
