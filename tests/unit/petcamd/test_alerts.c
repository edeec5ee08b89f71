/* tests/unit/petcamd/test_alerts.c - the inactivity rule against a plain model, and alerts
 * that were open when petcam ended.
 */
#include "petcamd/alerts.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/health.h"
#include "storage/events.h"
#include "tests/support/test.h"

#define MINUTE INT64_C(60000)
#define T0 INT64_C(1790000000000) /* any instant */

static const struct pc_alert_config hour = { .config_id = 1, .no_event_threshold = 60 };

static void test_threshold(void)
{
	test_int(pc_alert_decide(&hour, T0, 0, false, T0 + 60 * MINUTE - 1, 0), PC_ALERT_NOTHING);
	test_int(pc_alert_decide(&hour, T0, 0, false, T0 + 60 * MINUTE, 0), PC_ALERT_RAISE);
	test_int(pc_alert_decide(&hour, T0, 0, true, T0 + 600 * MINUTE, 0), PC_ALERT_NOTHING);
	test_int(pc_alert_decide(&hour, T0 + 61 * MINUTE, 0, true, T0 + 62 * MINUTE, 0),
		PC_ALERT_END);
}

static void test_since(void)
{
	/* Never seen: the rule's own beginning counts. */
	test_int(pc_alert_decide(&hour, 0, T0, false, T0 + 59 * MINUTE, 0), PC_ALERT_NOTHING);
	test_int(pc_alert_decide(&hour, 0, T0, false, T0 + 60 * MINUTE, 0), PC_ALERT_RAISE);
	/* A clock that was set back raises nothing. */
	test_int(pc_alert_decide(&hour, T0, T0, false, T0 - 600 * MINUTE, 0), PC_ALERT_NOTHING);
}

static void test_quiet_hours(void)
{
	struct pc_alert_config night = hour;
	night.has_quiet_hours = true;
	night.quiet_from_min = 22 * 60;
	night.quiet_to_min = 7 * 60;
	const int64_t late = T0 + 90 * MINUTE;
	test_int(pc_alert_decide(&night, T0, 0, false, late, 23 * 60), PC_ALERT_NOTHING);
	test_int(pc_alert_decide(&night, T0, 0, false, late, 3 * 60), PC_ALERT_NOTHING);
	test_int(pc_alert_decide(&night, T0, 0, false, late, 7 * 60), PC_ALERT_RAISE);
	test_int(pc_alert_decide(&night, T0, 0, false, late, 22 * 60 - 1), PC_ALERT_RAISE);
	night.quiet_from_min = 9 * 60;
	night.quiet_to_min = 17 * 60;
	test_int(pc_alert_decide(&night, T0, 0, false, late, 12 * 60), PC_ALERT_NOTHING);
	test_int(pc_alert_decide(&night, T0, 0, false, late, 8 * 60), PC_ALERT_RAISE);
	/* Quiet hours hold back the alert, not its end. */
	test_int(pc_alert_decide(&night, late, 0, true, late + MINUTE, 12 * 60), PC_ALERT_END);
}

/* Random days of sightings, minute by minute: an alert is open exactly while the last
 * sighting is an hour or more ago. */
static void test_model(void)
{
	uint32_t seed = 1;
	for (unsigned day = 0; day < 200; day++) {
		int64_t seen = T0;
		bool raised = false;
		unsigned raises = 0;
		unsigned expected = 0;
		bool model = false;
		for (int64_t now = T0; now < T0 + 1440 * MINUTE; now += MINUTE) {
			seed = seed * 1664525u + 1013904223u;
			if (seed >> 24 < (day % 8 == 0 ? 1u : 6u)) {
				seen = now;
			}
			const bool absent = now - seen >= 60 * MINUTE;
			expected += absent && !model;
			model = absent;
			switch (pc_alert_decide(&hour, seen, T0, raised, now, 0)) {
			case PC_ALERT_RAISE:
				test_assert(!raised);
				raised = true;
				raises++;
				break;
			case PC_ALERT_END:
				test_assert(raised);
				raised = false;
				break;
			case PC_ALERT_NOTHING:
				break;
			}
			test_int(raised, absent);
		}
		test_int(raises, expected);
	}
}

struct fixture {
	char folder[64];
	struct pc_settings settings;
	struct pc_health *health;
	struct pc_storage *storage;
	struct pc_loop *loop;
	int64_t alert_id;
	int64_t absence_id;
};

static void open_storage(struct fixture *f)
{
	const struct pc_storage_config config = {
		.root = f->folder,
		.health = f->health,
		.max_usage = 0.99,
	};
	char why[256] = "";
	test_int(pc_storage_open(&config, why, sizeof(why), &f->storage), 0);
}

static void begin_event(struct fixture *f, enum pc_event_kind kind, int64_t start_utc_ms,
	int64_t end_utc_ms, const char *evidence, int64_t *ret_id)
{
	struct pc_event event = {
		.kind = kind,
		.start_utc_ms = start_utc_ms,
		.end_utc_ms = end_utc_ms,
	};
	snprintf(event.evidence, sizeof(event.evidence), "%s", evidence);
	test_int(pc_events_begin(f->storage, &event), 0);
	*ret_id = event.event_id;
}

/* Storage as a petcam left it that ended during an absence, an hour after it was raised. */
static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	pc_settings_default(&f->settings);
	snprintf(f->folder, sizeof(f->folder), "%s/petcam-alerts-XXXXXX",
		getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	test_assert(mkdtemp(f->folder) != NULL);
	test_int(pc_health_create(&f->health), 0);
	test_int(pc_loop_create(&f->loop), 0);
	open_storage(f);
	struct pc_alert alert = {
		.kind = "absence",
		.message = "Nothing was seen for 720 minutes.",
		.raised_utc_ms = pc_clock_now_utc_ms() - 60 * MINUTE,
	};
	test_int(pc_alerts_raise(f->storage, &alert), 0);
	f->alert_id = alert.alert_id;
	begin_event(f, PC_EVENT_ABSENCE, alert.raised_utc_ms - 720 * MINUTE, 0, alert.message,
		&f->absence_id);
	pc_storage_close(f->storage);
	open_storage(f);
}

/* What a petcam that starts now makes of it. */
static void look(struct fixture *f)
{
	struct pc_alerts *alerts = NULL;
	test_int(pc_alerts_create(f->loop, &f->settings, f->storage, &alerts), 0);
	test_int(pc_loop_turn(f->loop, 10000), 0);
	pc_alerts_destroy(alerts);
	pc_storage_close(f->storage); /* what is queued is written */
	f->storage = NULL;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static void end(struct fixture *f)
{
	pc_storage_close(f->storage);
	pc_loop_destroy(f->loop);
	pc_health_destroy(f->health);
	test_int(nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static bool keep_alert(void *data, const struct pc_alert *alert)
{
	*(struct pc_alert *)data = *alert;
	return false;
}

/* The newest alert and the absence, as the next start finds them. */
static void read_back(struct fixture *f, struct pc_alert *alert, struct pc_event *absence)
{
	open_storage(f);
	bool more = false;
	test_int(pc_alerts_list(f->storage, 0, 1, keep_alert, alert, &more), 0);
	struct pc_event_row row;
	test_int(pc_events_get(f->storage, f->absence_id, &row), 0);
	*absence = row.event;
}

static void test_absence_goes_on_over_a_restart(void)
{
	struct fixture f;
	begin(&f);
	const int64_t now_utc_ms = pc_clock_now_utc_ms();
	look(&f);
	struct pc_alert alert;
	struct pc_event absence;
	read_back(&f, &alert, &absence);
	test_int(alert.alert_id, f.alert_id); /* not raised again */
	test_int(alert.ended_utc_ms, 0);
	/* Opened again: the next start ended it where it was last heard of, which is now. */
	test_assert(absence.end_utc_ms >= now_utc_ms);
	end(&f);
}

static void test_absence_ends_after_a_restart(void)
{
	struct fixture f;
	begin(&f);
	int64_t id;
	const int64_t now_utc_ms = pc_clock_now_utc_ms();
	begin_event(&f, PC_EVENT_MOTION, now_utc_ms - MINUTE, now_utc_ms, "a cat", &id);
	pc_storage_close(f.storage);
	open_storage(&f);
	look(&f);
	struct pc_alert alert;
	struct pc_event absence;
	read_back(&f, &alert, &absence);
	test_int(alert.alert_id, f.alert_id);
	test_assert(alert.ended_utc_ms >= now_utc_ms);
	test_int(absence.end_utc_ms, alert.ended_utc_ms);
	end(&f);
}

/* The rule is gone from the settings: nobody else would ever end its alert. */
static void test_alert_without_a_rule_ends(void)
{
	struct fixture f;
	begin(&f);
	f.settings.inference.absence_minutes = 0;
	look(&f);
	struct pc_alert alert;
	struct pc_event absence;
	read_back(&f, &alert, &absence);
	test_int(alert.alert_id, f.alert_id);
	test_assert(alert.ended_utc_ms > alert.raised_utc_ms);
	end(&f);
}

int main(void)
{
	TEST_RUN(test_threshold);
	TEST_RUN(test_since);
	TEST_RUN(test_quiet_hours);
	TEST_RUN(test_model);
	TEST_RUN(test_absence_goes_on_over_a_restart);
	TEST_RUN(test_absence_ends_after_a_restart);
	TEST_RUN(test_alert_without_a_rule_ends);
	return test_end();
}
