/* tests/unit/v4l2/test_capture_threads.c - frames are looked at and dropped by other threads,
 * while the capture runs and after it has closed. */
#include <errno.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <sched.h>

#include "core/clock.h"
#include "core/queue.h"
#include "tests/support/fake_camera.h"
#include "tests/support/test.h"
#include "tests/unit/v4l2/rig.h"

#define CONSUMERS 3
#define FRAMES 600

static struct rig rig;
static struct pc_queue *queue; /* of struct pc_frame *, each with a reference */

static void *consume(void *data)
{
	struct pc_frame *frame;
	int r;
	while ((r = pc_queue_pop(queue, &frame, PC_NS_PER_S)) != -EPIPE) {
		if (r < 0) {
			continue;
		}
		uint8_t *planes[4];
		uint32_t number;
		if (pc_frame_begin_cpu(frame, PC_FRAME_READ, planes) == 0) {
			memcpy(&number, planes[0], sizeof(number));
			test_int(number, frame->sequence);
			pc_frame_end_cpu(frame, PC_FRAME_READ);
		}
		pc_frame_unref(frame);
	}
	return NULL;
}

static void hand_over(void)
{
	while (rig.n_held > 0) {
		struct pc_frame *frame = rig.held[--rig.n_held];
		if (pc_queue_push(queue, &frame) < 0) {
			pc_frame_unref(frame);
		}
	}
}

static void run(enum pc_capture_memory memory, bool libcamerify)
{
	fake_camera_init();
	rig_init(&rig);
	fake_camera.libcamerify = libcamerify;
	rig.config.memory = memory;
	rig.hold = true;
	test_int(pc_queue_create(sizeof(struct pc_frame *), 32, &queue), 0);
	pthread_t threads[CONSUMERS];
	for (int i = 0; i < CONSUMERS; i++) {
		test_int(pthread_create(&threads[i], NULL, consume, NULL), 0);
	}
	unsigned shots = 0;
	while (shots < FRAMES) {
		if (rig.capture == NULL) {
			/* Mapped frames that are out keep the node; it is asked again. */
			while (fake_camera_is_open()) {
				sched_yield();
			}
			fake_camera_init();
			fake_camera.libcamerify = libcamerify;
			test_int(rig_open(&rig), 0);
		}
		if (fake_camera_shoot(NULL)) {
			shots++;
		}
		rig_turn(&rig);
		hand_over();
		if (shots % 100 == 0) {
			rig_close(&rig); /* with frames at the consumers */
		}
	}
	rig_close(&rig);
	pc_queue_close(queue);
	for (int i = 0; i < CONSUMERS; i++) {
		pthread_join(threads[i], NULL);
	}
	test_int(rig.n_failed, 0);
	test_int(fake_camera.wrong_buffers, 0);
	test_int(fake_camera.opens, fake_camera.closes);
	test_assert(rig.n_frames > FRAMES / 2);
	pc_queue_destroy(queue);
	rig_finish(&rig);
}

static void test_export(void)
{
	run(PC_CAPTURE_EXPORT, false);
}

static void test_mapped(void)
{
	run(PC_CAPTURE_MAPPED, false);
}

static void test_libcamerify(void)
{
	run(PC_CAPTURE_EXPORT, true);
}

int main(void)
{
	TEST_RUN(test_export);
	TEST_RUN(test_mapped);
	TEST_RUN(test_libcamerify);
	return test_end();
}
