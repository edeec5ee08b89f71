/* tests/unit/core/test_event.c - names, boxes and zones. */
#include "core/event.h"

#include <errno.h>

#include "tests/support/test.h"

static void test_kinds(void)
{
	static const char *const recorded[] = { "passing", "playing", "jumping", "interacting",
		"zone_enter", "zone_leave", "abnormal", "motion" };
	static const char *const logged[] = { "sleeping", "eating", "grooming", "lying",
		"vocalizing", "absence" };
	enum pc_event_kind kind;
	for (unsigned i = 0; i < 8; i++) {
		test_int(pc_event_kind_parse(recorded[i], &kind), 0);
		test_str(pc_event_kind_name(kind), recorded[i]);
		test_assert(pc_event_kind_records(kind));
	}
	for (unsigned i = 0; i < 6; i++) {
		test_int(pc_event_kind_parse(logged[i], &kind), 0);
		test_str(pc_event_kind_name(kind), logged[i]);
		test_assert(!pc_event_kind_records(kind));
	}
	kind = PC_EVENT_EATING;
	test_int(pc_event_kind_parse("Motion", &kind), -EINVAL);
	test_int(pc_event_kind_parse("", &kind), -EINVAL);
	test_int(kind, PC_EVENT_EATING);
	test_str(pc_species_name(PC_SPECIES_UNKNOWN), "unknown");
	test_str(pc_species_name(PC_SPECIES_OTHER), "other");
}

static void test_zone_kinds(void)
{
	static const char *const names[] = { "custom", "bowl", "bed", "door", "sofa" };
	for (unsigned i = 0; i < 5; i++) {
		enum pc_zone_kind kind;
		test_int(pc_zone_kind_parse(names[i], &kind), 0);
		test_str(pc_zone_kind_name(kind), names[i]);
	}
	enum pc_zone_kind kind = PC_ZONE_BED;
	test_int(pc_zone_kind_parse("kitchen", &kind), -EINVAL);
	test_int(kind, PC_ZONE_BED);
}

static void near(float actual, float expected)
{
	float difference = actual - expected;
	test_assert(difference < 1e-5f && difference > -1e-5f);
}

static void test_iou(void)
{
	const struct pc_box a = { 0.1f, 0.1f, 0.4f, 0.4f };
	near(pc_box_iou(&a, &a), 1);
	near(pc_box_iou(&a, &(struct pc_box){ 0.3f, 0.1f, 0.4f, 0.4f }), 0.08f / 0.24f);
	near(pc_box_iou(&a, &(struct pc_box){ 0.2f, 0.2f, 0.2f, 0.2f }), 0.25f);
	near(pc_box_iou(&a, &(struct pc_box){ 0.5f, 0.1f, 0.4f, 0.4f }), 0); /* side by side */
	near(pc_box_iou(&a, &(struct pc_box){ 0.8f, 0.8f, 0.1f, 0.1f }), 0);
	const struct pc_box none = { 0 };
	near(pc_box_iou(&none, &none), 0);
	near(pc_box_iou(&a, &none), 0);
}

static void test_zone(void)
{
	const struct pc_zone square = { .n_points = 4,
		.points = { { 0.2f, 0.2f }, { 0.8f, 0.2f }, { 0.8f, 0.8f }, { 0.2f, 0.8f } } };
	test_assert(pc_zone_contains(&square, 0.5f, 0.5f));
	test_assert(pc_zone_contains(&square, 0.21f, 0.79f));
	test_assert(!pc_zone_contains(&square, 0.1f, 0.5f));
	test_assert(!pc_zone_contains(&square, 0.9f, 0.5f));
	test_assert(!pc_zone_contains(&square, 0.5f, 0.1f));
	test_assert(!pc_zone_contains(&square, 0.5f, 0.9f));
	/* An L, and the same the other way round: the notch is outside. */
	struct pc_zone l = { .n_points = 6,
		.points = { { 0.1f, 0.1f }, { 0.5f, 0.1f }, { 0.5f, 0.5f }, { 0.9f, 0.5f },
			{ 0.9f, 0.9f }, { 0.1f, 0.9f } } };
	for (unsigned turn = 0; turn < 2; turn++) {
		test_assert(pc_zone_contains(&l, 0.3f, 0.3f));
		test_assert(pc_zone_contains(&l, 0.7f, 0.7f));
		test_assert(!pc_zone_contains(&l, 0.7f, 0.3f));
		for (unsigned i = 0; i < 3; i++) {
			struct pc_point p = l.points[i];
			l.points[i] = l.points[5 - i];
			l.points[5 - i] = p;
		}
	}
	/* Two zones that share an edge share no point, and leave none out. */
	const struct pc_zone left = { .n_points = 4,
		.points = { { 0, 0 }, { 0.5f, 0 }, { 0.5f, 1 }, { 0, 1 } } };
	const struct pc_zone right = { .n_points = 4,
		.points = { { 0.5f, 0 }, { 1, 0 }, { 1, 1 }, { 0.5f, 1 } } };
	for (float y = 0.05f; y < 1; y += 0.1f) {
		test_assert(pc_zone_contains(&left, 0.5f, y) != pc_zone_contains(&right, 0.5f, y));
	}
	const struct pc_zone empty = { 0 };
	test_assert(!pc_zone_contains(&empty, 0.5f, 0.5f));
}

int main(void)
{
	TEST_RUN(test_kinds);
	TEST_RUN(test_zone_kinds);
	TEST_RUN(test_iou);
	TEST_RUN(test_zone);
	return test_end();
}
