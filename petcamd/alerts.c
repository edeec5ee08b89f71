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
#define RECENT_ALERTS 200 /* among which the open ones are */
#define MS_PER_MINUTE INT64_C(60000)

struct rule {
	struct pc_alert_config config;
	int64_t alert_id; /* its open alert; 0: none */
	struct pc_event absence; /* event_id 0: none */
	int64_t seen_utc_ms; /* the newest sighting that storage told of; 0: none */
};

struct pc_alerts {
	const struct pc_settings *settings;
	struct pc_storage *storage;
	struct pc_loop_source *timer;
	int64_t started_ns;
	uint64_t version; /* of the rules below; UINT64_MAX: not loaded */
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

/* Both writes may be told twice: what failed is tried again with the next look. */
static void end_alert(struct pc_alerts *alerts, struct rule *rule, int64_t now_utc_ms)
{
	int r = 0;
	if (rule->absence.event_id != 0) {
		rule->absence.end_utc_ms = now_utc_ms;
		r = pc_events_update(alerts->storage, &rule->absence);
	}
	if (r == 0) {
		r = pc_alerts_end(alerts->storage, rule->alert_id, now_utc_ms);
	}
	if (r < 0 && r != -ENOENT) {
		pc_warn("the end of alert %lld could not be kept: %s; trying again",
			(long long)rule->alert_id, pc_strerror(r));
		return;
	}
	rule->absence.event_id = 0;
	rule->alert_id = 0;
}

struct adopt {
	struct pc_alerts *alerts;
	unsigned n_orphans;
	int64_t orphans[RECENT_ALERTS]; /* open alerts that no rule of today has raised */
};

/* An alert that was open before (a restart, changed rules) is its rule's again. */
static bool adopt_alert(void *data, const struct pc_alert *alert)
{
	struct adopt *adopt = data;
	if (alert->ended_utc_ms != 0 || strcmp(alert->kind, "absence") != 0) {
		return true;
	}
	for (unsigned i = 0; i < adopt->alerts->n_rules; i++) {
		struct rule *rule = &adopt->alerts->rules[i];
		if (rule->alert_id == alert->alert_id) {
			return true;
		}
		if (rule->config.config_id == alert->config_id && rule->alert_id == 0) {
			rule->alert_id = alert->alert_id;
			snprintf(rule->absence.evidence, sizeof(rule->absence.evidence), "%s",
				alert->message);
			return true;
		}
	}
	adopt->orphans[adopt->n_orphans++] = alert->alert_id;
	return true;
}

static bool adopt_absence(void *data, const struct pc_event_row *row)
{
	struct rule *rule = data;
	if (strcmp(row->event.evidence, rule->absence.evidence) != 0 ||
		row->event.pet_id != rule->config.pet_id) {
		return true;
	}
	rule->absence = row->event;
	return false;
}

/* The absence that an adopted alert logged: storage ended it when it opened again, but it
 * goes on. */
static void find_absence(struct pc_alerts *alerts, struct rule *rule)
{
	const struct pc_event_filter filter = {
		.kinds = 1u << PC_EVENT_ABSENCE,
		.limit = PC_ALERT_CONFIGS_MAX,
	};
	bool more = false;
	if (pc_events_query(alerts->storage, &filter, adopt_absence, rule, &more) == 0 &&
		rule->absence.event_id != 0) {
		rule->absence.end_utc_ms = 0;
		pc_events_update(alerts->storage, &rule->absence);
	}
}

static void adopt_open_alerts(struct pc_alerts *alerts)
{
	struct adopt adopt = { .alerts = alerts };
	bool more = false;
	const int r = pc_alerts_list(alerts->storage, 0, RECENT_ALERTS, adopt_alert, &adopt, &more);
	if (r < 0) {
		pc_warn("open alerts cannot be read: %s, ignoring", pc_strerror(r));
	}
	for (unsigned i = 0; i < alerts->n_rules; i++) {
		struct rule *rule = &alerts->rules[i];
		if (rule->alert_id != 0 && rule->absence.event_id == 0) {
			find_absence(alerts, rule);
		}
	}
	for (unsigned i = 0; i < adopt.n_orphans; i++) {
		struct rule gone = { .alert_id = adopt.orphans[i] };
		end_alert(alerts, &gone, pc_clock_now_utc_ms());
	}
}

static void load_rules(struct pc_alerts *alerts)
{
	const uint64_t version = pc_alert_config_version(alerts->storage);
	if (version == alerts->version) {
		return;
	}
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
				alerts->rules[i].seen_utc_ms = kept[k].seen_utc_ms;
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
	adopt_open_alerts(alerts);
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
	/* By the other clock: UTC may be set after the start, by years where there is no RTC. */
	const int64_t started_utc_ms = pc_clock_utc_ms_of(alerts->started_ns);
	const unsigned minute = (unsigned)(local.tm_hour * 60 + local.tm_min);
	for (unsigned i = 0; i < alerts->n_rules; i++) {
		struct rule *rule = &alerts->rules[i];
		/* 0 also where storage is too busy to tell: what it told before still holds. */
		const int64_t told = pc_alerts_last_seen(alerts->storage, rule->config.pet_id);
		rule->seen_utc_ms = told > rule->seen_utc_ms ? told : rule->seen_utc_ms;
		const int64_t seen = rule->seen_utc_ms;
		/* Time in which petcam did not watch is no absence, unless it was one already. */
		int64_t since = rule->config.created_utc_ms;
		if (rule->alert_id == 0 && started_utc_ms > since) {
			since = started_utc_ms;
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
	alerts->started_ns = pc_clock_now_ns();
	alerts->version = UINT64_MAX;
	int r = pc_loop_add_timer(loop, "alerts", on_look, alerts, &alerts->timer);
	if (r == 0) {
		r = pc_loop_timer_arm(alerts->timer, 0, LOOK_NS);
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
