/* tests/unit/core/test_health.c - states, changes, limits. */
#include "core/health.h"

#include <errno.h>
#include <pthread.h>

#include "core/log.h"
#include "core/thread.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static struct pc_health *health;
static unsigned n_lines;
static char last_line[256];
static enum pc_log_level last_level;

static void keep_line(void *data, enum pc_log_level level, const char *module, const char *text)
{
	n_lines++;
	last_level = level;
	snprintf(last_line, sizeof(last_line), "%s: %s", module, text);
}

static void test_changes_are_logged_once(void)
{
	test_int(pc_health_create(&health), 0);
	test_int(pc_health_overall(health), PC_HEALTH_OK);
	n_lines = 0;
	pc_health_set(health, "camera front", PC_HEALTH_OK, NULL);
	test_int(n_lines, 0);
	for (unsigned i = 0; i < 3; i++) {
		pc_health_set(health, "camera front", PC_HEALTH_FAILED, "no frame for %d s", 10);
		test_int(n_lines, 1);
		test_str(last_line, "health: camera front: failed: no frame for 10 s");
		test_int(last_level, PC_LOG_ERROR);
	}
	pc_health_set(health, "camera front", PC_HEALTH_FAILED, "unplugged");
	test_int(n_lines, 2);
	pc_health_set(health, "storage", PC_HEALTH_DEGRADED, "disk is slow");
	test_int(n_lines, 3);
	test_int(last_level, PC_LOG_WARN);
	test_int(pc_health_overall(health), PC_HEALTH_FAILED);
	pc_health_set(health, "camera front", PC_HEALTH_OK, NULL);
	test_str(last_line, "health: camera front: ok");
	test_int(last_level, PC_LOG_INFO);
	test_int(pc_health_overall(health), PC_HEALTH_DEGRADED);
	struct pc_health_part parts[4];
	test_int(pc_health_read(health, parts, 4), 2);
	test_str(parts[0].name, "camera front");
	test_str(parts[0].text, "");
	test_int(parts[0].state, PC_HEALTH_OK);
	test_assert(parts[0].since_utc_ms > 0);
	test_str(parts[1].text, "disk is slow");
	test_int(pc_health_read(health, parts, 1), 1);
	pc_health_remove(health, "camera front");
	pc_health_remove(health, "never was");
	test_int(pc_health_read(health, parts, 4), 1);
	test_str(parts[0].name, "storage");
	pc_health_destroy(health);
	pc_health_destroy(NULL);
}

static void test_limits(void)
{
	test_int(pc_health_create(&health), 0);
	char name[100], text[1000];
	for (unsigned i = 0; i < PC_HEALTH_PARTS_MAX + 10; i++) {
		snprintf(name, sizeof(name), "part %u", i);
		pc_health_set(health, name, PC_HEALTH_OK, NULL);
	}
	struct pc_health_part parts[PC_HEALTH_PARTS_MAX + 10];
	test_int(pc_health_read(health, parts, PC_HEALTH_PARTS_MAX + 10), PC_HEALTH_PARTS_MAX);
	test_str(parts[63].name, "part 63");
	pc_health_remove(health, "part 0");
	/* Long ones are cut; a long name stays one and the same part. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	memset(text, 't', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	pc_health_set(health, name, PC_HEALTH_DEGRADED, "%s", text);
	pc_health_set(health, name, PC_HEALTH_DEGRADED, "%s", text);
	test_int(pc_health_read(health, parts, PC_HEALTH_PARTS_MAX), PC_HEALTH_PARTS_MAX);
	test_int(strlen(parts[63].name), PC_HEALTH_NAME_MAX - 1);
	test_int(strlen(parts[63].text), PC_HEALTH_TEXT_MAX - 1);
	/* Cut inside a UTF-8 sequence, at each of its places: the whole sequence goes. */
	static const char *const letters[] = { "ä", "€", "🐈" };
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned before = PC_HEALTH_TEXT_MAX - 6; before < PC_HEALTH_TEXT_MAX;
			before++) {
			memset(text, 't', before);
			text[before] = '\0';
			size_t n = strlen(letters[i]);
			pc_health_set(health, "part 1", PC_HEALTH_FAILED, "%s%s", text, letters[i]);
			test_int(pc_health_read(health, parts, 1), 1);
			bool fits = before + n < PC_HEALTH_TEXT_MAX;
			size_t kept = before < PC_HEALTH_TEXT_MAX ? before : PC_HEALTH_TEXT_MAX - 1;
			test_int(strlen(parts[0].text), fits ? before + n : kept);
		}
	}
	pc_health_destroy(health);
}

static void *change(void *data)
{
	char name[32];
	snprintf(name, sizeof(name), "part %u", *(unsigned *)data);
	for (unsigned i = 0; i < 300; i++) {
		pc_health_set(health, name, i % 2, "time %u", i);
		struct pc_health_part parts[8];
		unsigned n = pc_health_read(health, parts, 8);
		test_assert(n >= 1 && n <= 4);
		(void)pc_health_overall(health);
		if (i % 50 == 0) {
			pc_health_remove(health, name);
		}
	}
	pc_health_set(health, name, PC_HEALTH_OK, NULL);
	return NULL;
}

static void test_threads(void)
{
	pc_log_set_level(PC_LOG_ERROR);
	test_int(pc_health_create(&health), 0);
	pthread_t threads[4];
	unsigned ids[4] = { 0, 1, 2, 3 };
	pc_health_set(health, "part 0", PC_HEALTH_OK, NULL);
	for (unsigned i = 0; i < 4; i++) {
		test_int(pc_thread_create(&threads[i], "change", change, &ids[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	test_int(pc_health_overall(health), PC_HEALTH_OK);
	pc_health_destroy(health);
}

static void test_no_memory(void)
{
	struct pc_health *none = NULL;
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_health_create(&none), -ENOMEM);
	test_assert(fault_disarm() && none == NULL);
}

int main(void)
{
	pc_log_set_hook(keep_line, NULL);
	TEST_RUN(test_changes_are_logged_once);
	TEST_RUN(test_limits);
	TEST_RUN(test_threads);
	TEST_RUN(test_no_memory);
	return test_end();
}
