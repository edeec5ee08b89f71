/* tests/unit/storage/test_users.c - users, consent, sessions, alert rules, alerts. */
#include "storage/users.h"

#include <errno.h>

#include "core/clock.h"
#include "storage/alerts.h"
#include "storage/events.h"
#include "storage/storage_internal.h"
#include "tests/support/test.h"
#include "tests/unit/storage/root.h"

static const char *root;
static struct pc_storage *storage;

static void reopen(void)
{
	pc_storage_close(storage);
	storage = root_open(root);
}

static void test_first_run(void)
{
	struct pc_user user;
	struct pc_consent consent = { .video = true };
	int64_t id = 0;
	char long_name[PC_USERNAME_MAX + 1];
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	test_assert(!pc_users_any(storage));
	test_int(pc_users_consent(storage, &consent), 0);
	test_assert(!consent.video && consent.given_utc_ms == 0);
	test_int(pc_users_setup(storage, "", "x", true, true, 0, &id), -EINVAL);
	test_int(pc_users_setup(storage, "ada", "", true, true, 0, &id), -EINVAL);
	test_int(pc_users_setup(storage, long_name, "x", true, true, 0, &id), -EINVAL);
	test_int(pc_users_setup(storage, "ada", "x", true, true, 1000000, &id), -EINVAL);
	test_assert(!pc_users_any(storage));
	test_int(pc_users_setup(storage, "ada", "scrypt$15$8$1$a$b", true, false, 30, &id), 0);
	test_assert(id > 0);
	int64_t other = -5;
	test_int(pc_users_setup(storage, "eve", "x", true, true, 0, &other), -EEXIST);
	test_int(other, -5);
	for (unsigned i = 0; i < 2; i++) {
		test_assert(pc_users_any(storage));
		test_int(pc_users_find(storage, "ada", &user), 0);
		test_int(user.user_id, id);
		test_str(user.password_hash, "scrypt$15$8$1$a$b");
		test_int(user.role, PC_ROLE_OWNER);
		test_int(pc_users_get(storage, id, &user), 0);
		test_str(user.username, "ada");
		test_int(pc_users_find(storage, "eve", &user), -ENOENT);
		test_int(pc_users_find(storage, "ada' OR '1'='1", &user), -ENOENT);
		test_int(pc_users_get(storage, 99, &user), -ENOENT);
		test_int(pc_users_consent(storage, &consent), 0);
		test_assert(consent.video && !consent.audio);
		test_str(consent.username, "ada");
		test_assert(consent.given_utc_ms > 0);
		test_int(atomic_load(&storage->retention_days), 30);
		test_assert(atomic_load(&storage->consent_video));
		reopen();
	}
}

static void test_sessions(void)
{
	int64_t now = pc_clock_now_utc_ms();
	char id[PC_SESSION_ID_MAX];
	test_assert(!pc_sessions_valid(storage, "one"));
	test_int(pc_sessions_add(storage, "one", 1, now + 100000), 0);
	test_int(pc_sessions_add(storage, "one", 1, now + 100000), -EEXIST);
	test_int(pc_sessions_add(storage, "old", 1, now - 1), 0);
	test_assert(pc_sessions_add(storage, "nobody's", 99, now + 100000) < 0);
	test_int(pc_sessions_add(storage, "", 1, now + 100000), -EINVAL);
	test_assert(pc_sessions_valid(storage, "one"));
	test_assert(!pc_sessions_valid(storage, "old"));
	test_assert(!pc_sessions_valid(storage, "nobody's"));
	test_int(pc_sessions_add(storage, "two", 1, now + 100000), 0);
	test_int(pc_sessions_end(storage, "two"), 0);
	test_int(pc_sessions_end(storage, "never"), 0);
	reopen();
	test_assert(pc_sessions_valid(storage, "one"));
	test_assert(!pc_sessions_valid(storage, "two"));
	/* More logins than there are places: the one that would expire first makes room. */
	for (int i = 0; i < PC_SESSIONS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "s%d", i);
		test_int(pc_sessions_add(storage, id, 1, now + 200000 + i), 0);
	}
	test_assert(!pc_sessions_valid(storage, "one"));
	test_assert(pc_sessions_valid(storage, "s0"));
	test_int(pc_sessions_add(storage, "last", 1, now + 900000), 0);
	test_assert(!pc_sessions_valid(storage, "s0"));
	test_assert(pc_sessions_valid(storage, "s1") && pc_sessions_valid(storage, "last"));
	reopen();
	test_assert(pc_sessions_valid(storage, "last"));
}

static void test_alert_rules(void)
{
	struct pc_alert_config rules[PC_ALERT_CONFIGS_MAX];
	unsigned n = 99;
	int64_t id = 0, again = 0;
	uint64_t version = pc_alert_config_version(storage);
	test_assert(version != 0);
	struct pc_alert_config rule = {
		.user_id = 1,
		.no_event_threshold = 90,
		.has_quiet_hours = true,
		.quiet_from_min = 22 * 60,
		.quiet_to_min = 7 * 60,
		.channels = { "app", "mail" },
	};
	test_int(pc_alert_config_put(storage, &rule, &id), 0);
	test_assert(pc_alert_config_version(storage) > version);
	rule.no_event_threshold = 45;
	rule.has_quiet_hours = false;
	test_int(pc_alert_config_put(storage, &rule, &again), 0);
	test_int(again, id);
	reopen();
	test_int(pc_alert_config_list(storage, rules, PC_ALERT_CONFIGS_MAX, &n), 0);
	test_int(n, 1);
	test_int(rules[0].config_id, id);
	test_int(rules[0].no_event_threshold, 45);
	test_assert(!rules[0].has_quiet_hours);
	test_str(rules[0].channels[0], "app");
	test_str(rules[0].channels[1], "mail");
	test_str(rules[0].channels[2], "");
	/* Refused, and nothing changes. */
	version = pc_alert_config_version(storage);
	struct pc_alert_config bad = rule;
	bad.pet_id = 77;
	test_int(pc_alert_config_put(storage, &bad, &again), -ENOENT);
	bad = rule;
	bad.user_id = 77;
	test_int(pc_alert_config_put(storage, &bad, &again), -ENOENT);
	bad = rule;
	bad.no_event_threshold = 0;
	test_int(pc_alert_config_put(storage, &bad, &again), -EINVAL);
	bad.no_event_threshold = 43201;
	test_int(pc_alert_config_put(storage, &bad, &again), -EINVAL);
	bad = rule;
	bad.has_quiet_hours = true;
	bad.quiet_to_min = 1440;
	test_int(pc_alert_config_put(storage, &bad, &again), -EINVAL);
	bad = rule;
	(void)snprintf(bad.channels[1], sizeof(bad.channels[1]), "two words");
	test_int(pc_alert_config_put(storage, &bad, &again), -EINVAL);
	test_int((int64_t)pc_alert_config_version(storage), (int64_t)version);
	/* One rule a pet, up to the bound. */
	char sql[128];
	for (unsigned i = 1; i <= PC_ALERT_CONFIGS_MAX; i++) {
		(void)snprintf(sql, sizeof(sql),
			"INSERT INTO pet (pet_id, name, created) VALUES (%u, 'pet', 1)", i);
		root_sql(root, sql);
		rule.pet_id = i;
		test_int(pc_alert_config_put(storage, &rule, &again),
			i < PC_ALERT_CONFIGS_MAX ? 0 : -ENOSPC);
	}
	test_int(pc_alert_config_list(storage, rules, PC_ALERT_CONFIGS_MAX, &n), 0);
	test_int(n, PC_ALERT_CONFIGS_MAX);
	test_int(pc_alert_config_list(storage, rules, 3, &n), 0);
	test_int(n, 3);
}

struct alerts {
	struct pc_alert list[8];
	unsigned n;
};

static bool collect(void *data, const struct pc_alert *alert)
{
	struct alerts *alerts = data;
	alerts->list[alerts->n++] = *alert;
	return true;
}

static void test_alerts(void)
{
	struct pc_alert alert = {
		.config_id = 1,
		.pet_id = 2,
		.kind = "absence",
		.camera = "front",
		.message = "Miso has not been seen for 6 h",
		.raised_utc_ms = 5000,
	};
	bool more = false;
	int64_t first = 0;
	for (unsigned i = 0; i < 5; i++) {
		alert.raised_utc_ms += 1;
		test_int(pc_alerts_raise(storage, &alert), 0);
		test_assert(alert.alert_id > first);
		first = first == 0 ? alert.alert_id : first;
	}
	alert.config_id = 999; /* the rule was deleted meanwhile: the alert stands */
	test_int(pc_alerts_raise(storage, &alert), 0);
	test_int(pc_alerts_end(storage, first, 6000), 0);
	test_int(pc_alerts_end(storage, first, 7000), 0); /* it ended once */
	test_int(pc_alerts_ack(storage, first), 0);
	test_int(pc_alerts_ack(storage, 999), -ENOENT);
	test_int(pc_alerts_end(storage, 999, 1), -ENOENT);
	struct alerts alerts = { 0 };
	test_int(pc_alerts_list(storage, 0, 4, collect, &alerts, &more), 0);
	test_int(alerts.n, 4);
	test_assert(more);
	test_int(alerts.list[0].alert_id, alert.alert_id);
	test_int(alerts.list[0].config_id, 0);
	test_int(pc_alerts_list(storage, alerts.list[3].alert_id, 4, collect, &alerts, &more), 0);
	test_int(alerts.n, 6);
	test_assert(!more);
	const struct pc_alert *a = &alerts.list[5];
	test_int(a->alert_id, first);
	test_int(a->pet_id, 2);
	test_str(a->kind, "absence");
	test_str(a->message, "Miso has not been seen for 6 h");
	test_int(a->raised_utc_ms, 5001);
	test_int(a->ended_utc_ms, 6000);
	test_assert(a->acknowledged_utc_ms > 0);
	test_int(pc_alerts_list(storage, 0, 0, collect, &alerts, &more), -EINVAL);
}

static void put_event(enum pc_event_kind kind, int64_t pet, int64_t start, int64_t end)
{
	struct pc_event event = { .kind = kind,
		.camera = "front",
		.pet_id = pet,
		.start_utc_ms = start,
		.end_utc_ms = end };
	test_int(pc_events_begin(storage, &event), 0);
	pc_storage_flush(storage);
}

static void test_last_seen(void)
{
	test_int(pc_alerts_last_seen(storage, 0), 0);
	test_int(pc_alerts_last_seen(storage, 2), 0);
	put_event(PC_EVENT_MOTION, 0, 1000, 2000);
	test_int(pc_alerts_last_seen(storage, 0), 2000);
	test_int(pc_alerts_last_seen(storage, 2), 0);
	put_event(PC_EVENT_SLEEPING, 2, 3000, 9000);
	put_event(PC_EVENT_PASSING, 2, 4000, 5000); /* began later, ended before */
	put_event(PC_EVENT_ABSENCE, 2, 20000, 30000); /* not a sighting */
	put_event(PC_EVENT_ABSENCE, 2, 40000, 0);
	test_int(pc_alerts_last_seen(storage, 2), 9000);
	test_int(pc_alerts_last_seen(storage, 0), 9000);
	put_event(PC_EVENT_LYING, 3, 10000, 0); /* it still lies there */
	int64_t now = pc_clock_now_utc_ms();
	test_assert(pc_alerts_last_seen(storage, 3) >= now);
	test_assert(pc_alerts_last_seen(storage, 0) >= now);
	test_int(pc_alerts_last_seen(storage, 2), 9000);
}

int main(void)
{
	root = root_make();
	storage = root_open(root);
	TEST_RUN(test_first_run);
	TEST_RUN(test_sessions);
	TEST_RUN(test_alert_rules);
	TEST_RUN(test_alerts);
	TEST_RUN(test_last_seen);
	pc_storage_close(storage);
	root_remove(root);
	return test_end();
}
