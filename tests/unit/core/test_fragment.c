/* tests/unit/core/test_fragment.c - the pool: reuse, limit, life beyond its owner. */
#include "core/fragment.h"

#include <errno.h>
#include <pthread.h>

#include "core/thread.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static struct pc_init *init;
static struct pc_fragment_pool *pool;

static struct pc_fragment *make(size_t size)
{
	uint8_t *data = NULL;
	struct pc_fragment *fragment = pc_fragment_new(pool, init, size, &data);
	if (fragment == NULL) {
		test_assert(data == NULL);
		return NULL;
	}
	test_assert(fragment->data == data && fragment->size == size && fragment->init == init);
	test_int((uintptr_t)data % 16, 0);
	memset(data, (int)(size % 251), size); /* every byte is there, says ASan */
	return fragment;
}

static void test_fields(void)
{
	test_int(pc_fragment_pool_create(1 << 20, &pool), 0);
	for (unsigned round = 0; round < 2; round++) {
		struct pc_fragment *fragment = make(100);
		test_assert(!fragment->key);
		test_int(fragment->number, 0); /* nothing is left of its last life */
		test_int(fragment->decode_time, 0);
		fragment->key = true;
		fragment->number = 5;
		fragment->decode_time = 6;
		test_assert(pc_fragment_ref(fragment) == fragment);
		pc_fragment_unref(fragment);
		test_int(fragment->number, 5);
		pc_fragment_unref(fragment);
	}
	pc_fragment_unref(NULL);
	pc_fragment_pool_destroy(pool);
	pc_fragment_pool_destroy(NULL);
}

/* Sizes from nothing to much, each filled to its last byte. */
static void test_sizes(void)
{
	test_int(pc_fragment_pool_create(128 << 20, &pool), 0);
	for (size_t size = 0; size < 40 << 20; size += size / 3 + 1) {
		pc_fragment_unref(make(size));
	}
	test_assert(make((size_t)128 << 20) == NULL); /* larger than the pool */
	test_assert(make(SIZE_MAX) == NULL);
	test_assert(make(SIZE_MAX - 100) == NULL);
	pc_fragment_pool_destroy(pool);
}

/* Frames of all sizes come and go: nothing is allocated, ever. */
static void test_steady_state(void)
{
	struct pc_fragment *held[60] = { 0 };
	test_int(pc_fragment_pool_create(8 << 20, &pool), 0);
	const uint64_t before = fault_calls(FAULT_ALLOC);
	uint32_t random = 1;
	for (unsigned i = 0; i < 10000; i++) {
		random = random * 1664525 + 1013904223;
		size_t size = 3000 + (random >> 8) % 6000 + (i % 30 == 0 ? 40000 : 0);
		pc_fragment_unref(held[i % 60]);
		held[i % 60] = make(size);
		test_assert(held[i % 60] != NULL);
	}
	test_int(fault_calls(FAULT_ALLOC), before);
	for (unsigned i = 0; i < 60; i++) {
		pc_fragment_unref(held[i]);
	}
	pc_fragment_pool_destroy(pool);
}

/* The limit is hard, and what was cut small becomes large again. */
static void test_limit(void)
{
	struct pc_fragment *held[64];
	test_int(pc_fragment_pool_create(64 << 10, &pool), 0);
	test_assert(make(64 << 10) == NULL);
	for (unsigned round = 0; round < 3; round++) {
		size_t size = round == 1 ? 1500 : 6000;
		unsigned n = 0;
		while (n < 64 && (held[n] = make(size)) != NULL) {
			n++;
		}
		test_assert(n * size <= 64 << 10);
		/* A block is less than twice too large. */
		test_assert(n * (size + 300) * 2 >= 60 << 10);
		test_assert(make(size) == NULL);
		pc_fragment_unref(held[--n]);
		held[n] = make(size);
		test_assert(held[n++] != NULL);
		while (n > 0) {
			pc_fragment_unref(held[--n]);
		}
	}
	pc_fragment_unref(make(50 << 10)); /* the free small ones make way */
	pc_fragment_pool_destroy(pool);
}

/* The pool's owner goes first; the last fragment frees the pool (says LeakSanitizer). */
static void test_outlives_its_owner(void)
{
	test_int(pc_fragment_pool_create(1 << 20, &pool), 0);
	struct pc_fragment *a = make(1000), *b = make(2000);
	pc_fragment_unref(make(3000));
	struct pc_init *held = pc_init_ref(init);
	pc_fragment_pool_destroy(pool);
	test_int(a->data[999], 1000 % 251);
	pc_fragment_ref(b);
	pc_fragment_unref(a);
	pc_fragment_unref(b);
	test_int(b->data[1999], 2000 % 251);
	pc_fragment_unref(b);
	pc_init_unref(held);
}

static void test_init(void)
{
	uint8_t bytes[] = "ftypmoov";
	struct pc_init *other = pc_init_new(bytes, 8);
	bytes[0] = 'x'; /* a copy was made */
	test_assert(memcmp(other->data, "ftypmoov", 8) == 0);
	test_int(other->size, 8);
	test_int(other->epoch, 0);
	test_assert(pc_init_ref(other) == other);
	pc_init_unref(other);
	test_int(other->data[7], 'v');
	pc_init_unref(other);
	pc_init_unref(NULL);
}

static void test_no_memory(void)
{
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	struct pc_fragment_pool *none = NULL;
	test_int(pc_fragment_pool_create(1 << 20, &none), -ENOMEM);
	test_assert(fault_disarm() && none == NULL);
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_assert(pc_init_new((const uint8_t *)"a", 1) == NULL);
	test_assert(fault_disarm());
	fault_arm(FAULT_ALLOC, 2, ENOMEM);
	test_int(pc_fragment_pool_create(1 << 20, &none), -ENOMEM);
	test_assert(fault_disarm() && none == NULL);
	test_int(pc_fragment_pool_create(100, &none), -EINVAL);
	test_int(pc_fragment_pool_create(1 << 20, &pool), 0);
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	pc_fragment_unref(make(100)); /* the arena is all there is */
	test_assert(!fault_disarm());
	pc_fragment_pool_destroy(pool);
}

static void *churn(void *data)
{
	struct pc_fragment *held[8] = { 0 };
	uint32_t random = *(uint32_t *)data;
	for (unsigned i = 0; i < 2000; i++) {
		random = random * 1664525 + 1013904223;
		struct pc_fragment **slot = &held[i % 8];
		pc_fragment_unref(*slot);
		*slot = make((random >> 8) % 20000);
	}
	for (unsigned i = 0; i < 8; i++) {
		pc_fragment_unref(held[i]);
	}
	return NULL;
}

static void test_threads(void)
{
	test_int(pc_fragment_pool_create(300 << 10, &pool), 0);
	pthread_t threads[3];
	uint32_t seeds[3] = { 1, 2, 3 };
	for (unsigned i = 0; i < 3; i++) {
		test_int(pc_thread_create(&threads[i], "churn", churn, &seeds[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
	}
	pc_fragment_pool_destroy(pool);
}

/* A full pool still has room for key frames, and their memory goes back where it came from. */
static void test_reserve(void)
{
	struct pc_fragment *full[64];
	struct pc_fragment *keys[64];
	uint8_t *data;
	test_int(pc_fragment_pool_create(256 << 10, &pool), 0);
	test_int(pc_fragment_pool_reserve(pool, 100), -EINVAL);
	test_int(pc_fragment_pool_reserve(pool, 128 << 10), 0);
	for (unsigned round = 0; round < 3; round++) {
		unsigned n_full = 0;
		while ((full[n_full] = make(15 << 10)) != NULL) {
			n_full++;
		}
		test_int(n_full, 16);
		unsigned n_keys = 0;
		while ((keys[n_keys] = pc_fragment_new_key(pool, init, 15 << 10, &data)) != NULL) {
			memset(data, 1, 15 << 10);
			n_keys++;
		}
		test_int(n_keys, 8);
		pc_fragment_unref(full[0]); /* an old one goes: keys take the common room first */
		full[0] = pc_fragment_new_key(pool, init, 15 << 10, &data);
		test_assert(full[0] != NULL && make(15 << 10) == NULL);
		for (unsigned i = 0; i < n_full; i++) {
			pc_fragment_unref(full[i]);
		}
		for (unsigned i = 0; i < n_keys; i++) {
			pc_fragment_unref(keys[i]);
		}
	}
	pc_fragment_pool_destroy(pool);
}

int main(void)
{
	init = pc_init_new((const uint8_t *)"init", 4);
	test_assert(init != NULL);
	TEST_RUN(test_fields);
	TEST_RUN(test_sizes);
	TEST_RUN(test_steady_state);
	TEST_RUN(test_limit);
	TEST_RUN(test_reserve);
	TEST_RUN(test_outlives_its_owner);
	TEST_RUN(test_init);
	TEST_RUN(test_no_memory);
	TEST_RUN(test_threads);
	test_int(atomic_load(&init->refs), 1);
	pc_init_unref(init);
	return test_end();
}
