/* tests/unit/petcamd/test_alerts.c - the inactivity rule against a plain model. */
#include "petcamd/alerts.h"

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

int main(void)
{
	TEST_RUN(test_threshold);
	TEST_RUN(test_since);
	TEST_RUN(test_quiet_hours);
	TEST_RUN(test_model);
	return test_end();
}
