/* petcamd/alerts.c - alerts that nothing happened. See alerts.h. */
#include "petcamd/alerts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PC_LOG_MODULE "alerts"
#include "core/clock.h"
#include "core/log.h"
#include "storage/events.h"

#define LOOK_NS (5 * PC_NS_PER_S)
#define MS_PER_MINUTE INT64_C(60000)

struct rule {
	struct pc_alert_config config;
	int64_t alert_id; /* its open alert; 0: none */
	struct pc_event absence; /* event_id 0: none */
};

struct pc_alerts {
	const struct pc_settings *settings;
	struct pc_storage *storage;
	struct pc_loop_source *timer;
	int64_t started_utc_ms;
	uint64_t version; /* of the rules below; 0: not loaded */
	unsigned n_rules;
	struct rule rules[PC_ALERT_CONFIGS_MAX];
};

static bool is_quiet(const struct pc_alert_config *rule, unsigned minute)
{
	if (!rule->has_quiet_hours) {
		return false;
	}
	if (rule->quiet_from_min <= rule->quiet_to_min) {
		return minute >= rule->quiet_from_min && minute < rule->quiet_to_min;
	}
	return minute >= rule->quiet_from_min || minute < rule->quiet_to_min;
}

enum pc_alert_decision pc_alert_decide(const struct pc_alert_config *rule, int64_t last_seen_utc_ms,
	int64_t since_utc_ms, bool raised, int64_t now_utc_ms, unsigned minute_of_day)
{
	const int64_t counted_from =
		last_seen_utc_ms > since_utc_ms ? last_seen_utc_ms : since_utc_ms;
	const bool absent =
		now_utc_ms - counted_from >= (int64_t)rule->no_event_threshold * MS_PER_MINUTE;
	if (raised) {
		return absent ? PC_ALERT_NOTHING : PC_ALERT_END;
	}
	return absent && !is_quiet(rule, minute_of_day) ? PC_ALERT_RAISE : PC_ALERT_NOTHING;
}

static void raise_alert(
	struct pc_alerts *alerts, struct rule *rule, int64_t last_seen_utc_ms, int64_t now_utc_ms)
{
	struct pc_alert alert = {
		.config_id = rule->config.config_id,
		.pet_id = rule->config.pet_id,
		.kind = "absence",
		.raised_utc_ms = now_utc_ms,
	};
	char seen[PC_CLOCK_RFC3339_SIZE] = "never";
	if (last_seen_utc_ms > 0) {
		pc_clock_format(last_seen_utc_ms, seen);
	}
	snprintf(alert.message, sizeof(alert.message),
		"Nothing was seen for %u minutes. Last seen: %s.", rule->config.no_event_threshold,
		seen);
	const int r = pc_alerts_raise(alerts->storage, &alert);
	if (r < 0) {
		pc_warn("the alert \"%s\" could not be kept: %s; trying again", alert.message,
			pc_strerror(r));
		return;
	}
	rule->alert_id = alert.alert_id;
	pc_warn("alert: %s", alert.message);

	rule->absence = (struct pc_event){
		.kind = PC_EVENT_ABSENCE,
		.pet_id = rule->config.pet_id,
		.start_utc_ms = last_seen_utc_ms > 0 ? last_seen_utc_ms : now_utc_ms,
		.score = 1.0f,
	};
	snprintf(rule->absence.evidence, sizeof(rule->absence.evidence), "%s", alert.message);
	if (pc_events_begin(alerts->storage, &rule->absence) < 0) {
		rule->absence.event_id = 0;
	}
}

static void end_alert(struct pc_alerts *alerts, struct rule *rule, int64_t now_utc_ms)
{
	const int r = pc_alerts_end(alerts->storage, rule->alert_id, now_utc_ms);
	if (r < 0 && r != -ENOENT) {
		pc_warn("the end of alert %lld could not be kept: %s; trying again",
			(long long)rule->alert_id, pc_strerror(r));
		return;
	}
	if (rule->absence.event_id != 0) {
		rule->absence.end_utc_ms = now_utc_ms;
		pc_events_update(alerts->storage, &rule->absence);
		rule->absence.event_id = 0;
	}
	rule->alert_id = 0;
}

struct adopt {
	struct pc_alerts *alerts;
};

/* An alert that was open before (a restart, changed rules) is its rule's again. */
static bool adopt_alert(void *data, const struct pc_alert *alert)
{
	struct pc_alerts *alerts = ((struct adopt *)data)->alerts;
	if (alert->ended_utc_ms != 0 || strcmp(alert->kind, "absence") != 0) {
		return true;
	}
	for (unsigned i = 0; i < alerts->n_rules; i++) {
		struct rule *rule = &alerts->rules[i];
		if (rule->config.config_id == alert->config_id && rule->alert_id == 0) {
			rule->alert_id = alert->alert_id;
			return true;
		}
	}
	return true;
}

static void load_rules(struct pc_alerts *alerts)
{
	const uint64_t version = pc_alert_config_version(alerts->storage);
	if (version == alerts->version) {
		return;
	}
	static const unsigned recent_alerts = 200;
	struct pc_alert_config configs[PC_ALERT_CONFIGS_MAX];
	unsigned n = 0;
	int r = pc_alert_config_list(alerts->storage, configs, PC_ALERT_CONFIGS_MAX, &n);
	if (r < 0) {
		pc_warn("alert rules cannot be read: %s; trying again", pc_strerror(r));
		return;
	}
	if (n == 0 && alerts->settings->inference.absence_minutes > 0) {
		configs[n++] = (struct pc_alert_config){
			.no_event_threshold = alerts->settings->inference.absence_minutes,
		};
	}
	struct rule kept[PC_ALERT_CONFIGS_MAX];
	const unsigned n_kept = alerts->n_rules;
	memcpy(kept, alerts->rules, n_kept * sizeof(kept[0]));
	alerts->n_rules = n;
	for (unsigned i = 0; i < n; i++) {
		alerts->rules[i] = (struct rule){ .config = configs[i] };
		for (unsigned k = 0; k < n_kept; k++) {
			if (kept[k].config.config_id == configs[i].config_id) {
				alerts->rules[i].alert_id = kept[k].alert_id;
				alerts->rules[i].absence = kept[k].absence;
				kept[k].alert_id = 0;
			}
		}
	}
	/* A rule that is gone takes its open alert with it. */
	for (unsigned k = 0; k < n_kept; k++) {
		if (kept[k].alert_id != 0) {
			end_alert(alerts, &kept[k], pc_clock_now_utc_ms());
		}
	}
	bool more = false;
	pc_alerts_list(alerts->storage, 0, recent_alerts, adopt_alert,
		&(struct adopt){ .alerts = alerts }, &more);
	alerts->version = version;
}

static void on_look(void *data, uint64_t expirations)
{
	(void)expirations;
	struct pc_alerts *alerts = data;
	load_rules(alerts);
	const int64_t now_utc_ms = pc_clock_now_utc_ms();
	const time_t now_s = (time_t)(now_utc_ms / 1000);
	struct tm local;
	if (localtime_r(&now_s, &local) == NULL) {
		return;
	}
	const unsigned minute = (unsigned)(local.tm_hour * 60 + local.tm_min);
	for (unsigned i = 0; i < alerts->n_rules; i++) {
		struct rule *rule = &alerts->rules[i];
		const int64_t seen = pc_alerts_last_seen(alerts->storage, rule->config.pet_id);
		/* Time in which petcam did not watch is no absence, unless it was one already. */
		int64_t since = rule->config.created_utc_ms;
		if (rule->alert_id == 0 && alerts->started_utc_ms > since) {
			since = alerts->started_utc_ms;
		}
		switch (pc_alert_decide(
			&rule->config, seen, since, rule->alert_id != 0, now_utc_ms, minute)) {
		case PC_ALERT_RAISE:
			raise_alert(alerts, rule, seen, now_utc_ms);
			break;
		case PC_ALERT_END:
			end_alert(alerts, rule, now_utc_ms);
			break;
		case PC_ALERT_NOTHING:
			break;
		}
	}
}

int pc_alerts_create(struct pc_loop *loop, const struct pc_settings *settings,
	struct pc_storage *storage, struct pc_alerts **ret_alerts)
{
	struct pc_alerts *alerts = calloc(1, sizeof(*alerts));
	if (alerts == NULL) {
		return -ENOMEM;
	}
	alerts->settings = settings;
	alerts->storage = storage;
	alerts->started_utc_ms = pc_clock_now_utc_ms();
	alerts->version = UINT64_MAX;
	int r = pc_loop_add_timer(loop, "alerts", on_look, alerts, &alerts->timer);
	if (r == 0) {
		r = pc_loop_timer_arm(alerts->timer, LOOK_NS, LOOK_NS);
	}
	if (r < 0) {
		pc_alerts_destroy(alerts);
		return r;
	}
	*ret_alerts = alerts;
	return 0;
}

void pc_alerts_destroy(struct pc_alerts *alerts)
{
	if (alerts == NULL) {
		return;
	}
	pc_loop_remove(alerts->timer);
	free(alerts);
}
