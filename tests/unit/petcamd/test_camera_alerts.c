/* tests/unit/petcamd/test_camera_alerts.c - what is told of a camera that comes and goes.
 *
 * Storage and clock are played (ld --wrap): a minute passes when the test says so.
 */
#include "petcamd/camera_alerts.h"

#include <errno.h>
#include <stdio.h>

#include "core/clock.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

#define ALERTS_MAX 32

static struct {
	unsigned n;
	struct pc_alert alerts[ALERTS_MAX];
	int err; /* what writes say */
} storage;

static int64_t clock_ns;

int64_t __wrap_pc_clock_now_ns(void);
int64_t __wrap_pc_clock_now_ns(void)
{
	return clock_ns;
}

int __wrap_pc_alerts_raise(struct pc_storage *unused, struct pc_alert *alert);
int __wrap_pc_alerts_raise(struct pc_storage *unused, struct pc_alert *alert)
{
	if (storage.err < 0) {
		return storage.err;
	}
	test_assert(storage.n < ALERTS_MAX);
	alert->alert_id = (int64_t)storage.n + 1;
	storage.alerts[storage.n++] = *alert;
	return 0;
}

int __wrap_pc_alerts_end(struct pc_storage *unused, int64_t alert_id, int64_t ended_utc_ms);
int __wrap_pc_alerts_end(struct pc_storage *unused, int64_t alert_id, int64_t ended_utc_ms)
{
	test_assert(alert_id >= 1 && alert_id <= (int64_t)storage.n);
	if (storage.err == 0) {
		storage.alerts[alert_id - 1].ended_utc_ms = ended_utc_ms;
	}
	return storage.err;
}

int __wrap_pc_alerts_list(struct pc_storage *unused, int64_t before_id, unsigned limit,
	bool (*fn)(void *data, const struct pc_alert *alert), void *data, bool *ret_more);
int __wrap_pc_alerts_list(struct pc_storage *unused, int64_t before_id, unsigned limit,
	bool (*fn)(void *data, const struct pc_alert *alert), void *data, bool *ret_more)
{
	for (unsigned i = storage.n; i > 0 && fn(data, &storage.alerts[i - 1]); i--) {
	}
	return 0;
}

static struct pc_loop *loop;
static struct pc_camera_alerts *alerts;
static struct pc_pipeline_trouble trouble;

static void get(void *data, struct pc_pipeline_trouble *ret_trouble)
{
	test_assert(data == &trouble);
	*ret_trouble = trouble;
}

static void begin(void)
{
	trouble = (struct pc_pipeline_trouble){ .lost_since_ns = 0 };
	storage.err = 0;
	clock_ns = 1000 * PC_NS_PER_S;
	test_int(pc_loop_create(&loop), 0);
	test_int(pc_camera_alerts_create(loop, NULL, &alerts), 0);
	test_int(pc_camera_alerts_add(alerts, "front", get, &trouble), 0);
}

static void end(void)
{
	pc_camera_alerts_destroy(alerts);
	pc_loop_destroy(loop);
	storage.n = 0;
}

/* `seconds` later. */
static void look(int64_t seconds)
{
	clock_ns += seconds * PC_NS_PER_S;
	test_assert(pc_loop_turn(loop, 10000) >= 0);
}

static unsigned open_alerts(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < storage.n; i++) {
		n += storage.alerts[i].ended_utc_ms == 0;
	}
	return n;
}

static void lose(const char *text)
{
	trouble.lost_since_ns = clock_ns;
	trouble.parts[PC_PIPELINE_SOURCE].restarts++;
	snprintf(trouble.lost_text, sizeof(trouble.lost_text), "%s", text);
	snprintf(trouble.parts[PC_PIPELINE_SOURCE].text, PC_HEALTH_TEXT_MAX, "%s", text);
}

/* Away for long: one alert, which ends; it is not told a second time as a restart. */
static void test_lost(void)
{
	begin();
	look(0);
	lose("/dev/video0 is gone");
	look(9);
	test_int(storage.n, 0);
	look(2);
	test_int(storage.n, 1);
	test_str(storage.alerts[0].kind, "camera_lost");
	test_str(storage.alerts[0].camera, "front");
	test_str(storage.alerts[0].message, "No picture for more than 10 s: /dev/video0 is gone.");
	look(600);
	test_int(storage.n, 1);
	trouble.lost_since_ns = 0;
	look(1);
	test_int(storage.n, 1);
	test_int(open_alerts(), 0);
	end();
}

/* Away for a moment, again and again: one alert, until a minute has been quiet. */
static void test_restarts(void)
{
	begin();
	look(0);
	for (unsigned i = 0; i < 4; i++) {
		lose("unplugged");
		look(2);
		test_int(storage.n, i == 0 ? 0 : 1); /* it may become a loss */
		trouble.lost_since_ns = 0;
		look(20);
		test_int(storage.n, 1);
	}
	test_str(storage.alerts[0].kind, "camera_restarted");
	test_str(storage.alerts[0].message, "The camera was opened again: unplugged.");
	test_int(open_alerts(), 1);
	look(61);
	test_int(open_alerts(), 0);
	trouble.parts[PC_PIPELINE_ENCODER].restarts = 1;
	snprintf(trouble.parts[PC_PIPELINE_ENCODER].text, PC_HEALTH_TEXT_MAX,
		"/dev/video11 (bcm2835-codec) gave no packet for 1 s");
	look(1);
	test_int(storage.n, 2);
	test_str(storage.alerts[1].kind, "encoder_restarted");
	test_str(storage.alerts[1].message,
		"The encoder was opened again: /dev/video11 (bcm2835-codec) gave no packet for 1 s.");
	end();
}

/* What storage does not take is told later. */
static void test_storage_fails(void)
{
	begin();
	look(0);
	storage.err = -EBUSY;
	trouble.parts[PC_PIPELINE_ENCODER].restarts = 1;
	look(1);
	test_int(storage.n, 0);
	storage.err = 0;
	look(1);
	test_int(storage.n, 1);
	storage.err = -EIO;
	look(61);
	test_int(open_alerts(), 1);
	storage.err = 0;
	look(1);
	test_int(open_alerts(), 0);
	end();
}

/* Those of the last run end; those of others stay. */
static void test_leftovers(void)
{
	storage.n = 4;
	memset(storage.alerts, 0, sizeof(storage.alerts));
	snprintf(storage.alerts[0].kind, sizeof(storage.alerts[0].kind), "camera_lost");
	snprintf(storage.alerts[1].kind, sizeof(storage.alerts[1].kind), "absence");
	snprintf(storage.alerts[2].kind, sizeof(storage.alerts[2].kind), "encoder_restarted");
	snprintf(storage.alerts[3].kind, sizeof(storage.alerts[3].kind), "camera_lost");
	storage.alerts[3].ended_utc_ms = 1;
	for (unsigned i = 0; i < 4; i++) {
		storage.alerts[i].alert_id = i + 1;
	}
	begin();
	look(0);
	test_assert(storage.alerts[0].ended_utc_ms > 1);
	test_int(storage.alerts[1].ended_utc_ms, 0);
	test_assert(storage.alerts[2].ended_utc_ms > 1);
	test_int(storage.alerts[3].ended_utc_ms, 1);
	end();
}

static void test_limits(void)
{
	begin();
	for (unsigned i = 1; i < PC_SETTINGS_CAMERAS_MAX; i++) {
		test_int(pc_camera_alerts_add(alerts, "more", get, &trouble), 0);
	}
	test_int(pc_camera_alerts_add(alerts, "more", get, &trouble), -ENOSPC);
	end();
	pc_camera_alerts_destroy(NULL);
	test_int(pc_loop_create(&loop), 0);
	for (unsigned n = 1;; n++) {
		alerts = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_camera_alerts_create(loop, NULL, &alerts);
		if (!fault_disarm()) {
			test_int(r, 0);
			pc_camera_alerts_destroy(alerts);
			break;
		}
		test_int(r, -ENOMEM);
		test_assert(alerts == NULL);
	}
	pc_loop_destroy(loop);
}

int main(void)
{
	TEST_RUN(test_lost);
	TEST_RUN(test_restarts);
	TEST_RUN(test_storage_fails);
	TEST_RUN(test_leftovers);
	TEST_RUN(test_limits);
	return test_end();
}
