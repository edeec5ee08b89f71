/* v4l2/m2m_slots.c - which index of a V4L2 queue a frame buffer has; see m2m_slots.h.
 *
 * A buffer may be freed on another thread at any time while nobody holds it, so slots are looked
 * at under the lock. Lock order: ours, then the frame's. The frame calls import_gone() without
 * its own lock; it is called inside our lock too, when we take an import back: hence the lock
 * is recursive. A slot whose buffer is being freed right now stays taken until import_gone() has
 * come; until then that buffer's memory is there, because its freeing waits for our lock.
 */
#include "v4l2/m2m_slots.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

struct slot {
	struct pc_frame_import import; /* first: import_gone() casts */
	struct pc_m2m_slots *slots;
	struct pc_frame *frame; /* that has the import; NULL: a free slot */
	uint64_t used; /* when it was taken last, by slots->clock */
	bool busy;
};

struct pc_m2m_slots {
	pthread_mutex_t lock;
	unsigned refs; /* the owner's, and one an import */
	unsigned n;
	uint64_t clock; /* counts takes */
	uint64_t imports;
	struct slot slot[PC_M2M_SLOTS_MAX];
};

int pc_m2m_slots_create(unsigned n, struct pc_m2m_slots **ret_slots)
{
	assert(n > 0 && n <= PC_M2M_SLOTS_MAX);
	struct pc_m2m_slots *slots = calloc(1, sizeof(*slots));
	if (slots == NULL) {
		return -ENOMEM;
	}
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&slots->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	slots->refs = 1;
	slots->n = n;
	*ret_slots = slots;
	return 0;
}

/* Under the lock, which it opens. */
static void unref_and_unlock(struct pc_m2m_slots *slots)
{
	const unsigned refs = --slots->refs;
	pthread_mutex_unlock(&slots->lock);
	if (refs == 0) {
		pthread_mutex_destroy(&slots->lock);
		free(slots);
	}
}

/* The buffer is freed (any thread), or its import is taken back. */
static void import_gone(struct pc_frame_import *import)
{
	static_assert(offsetof(struct slot, import) == 0, "the cast");
	struct slot *slot = (struct slot *)import;
	struct pc_m2m_slots *slots = slot->slots;
	pthread_mutex_lock(&slots->lock);
	assert(!slot->busy && slot->frame != NULL);
	slot->frame = NULL;
	unref_and_unlock(slots);
}

/* A slot without an import: a free one, else that of the buffer that was idle longest. NULL:
 * there is none. */
static struct slot *free_slot(struct pc_m2m_slots *slots)
{
	for (;;) {
		struct slot *oldest = NULL;
		for (unsigned i = 0; i < slots->n; i++) {
			struct slot *slot = &slots->slot[i];
			if (slot->frame == NULL) {
				return slot;
			}
			if (!slot->busy && (oldest == NULL || slot->used < oldest->used)) {
				oldest = slot;
			}
		}
		if (oldest == NULL) {
			return NULL;
		}
		pc_frame_import_remove(oldest->frame, slots);
		if (oldest->frame != NULL) {
			oldest->used = slots->clock; /* being freed: not this time */
			return NULL;
		}
	}
}

int pc_m2m_slots_take(struct pc_m2m_slots *slots, struct pc_frame *frame)
{
	pthread_mutex_lock(&slots->lock);
	struct slot *slot = (struct slot *)pc_frame_import_find(frame, slots);
	if (slot == NULL) {
		slot = free_slot(slots);
		if (slot != NULL) {
			slot->import = (struct pc_frame_import){
				.owner = slots,
				.destroy = import_gone,
			};
			slot->slots = slots;
			slot->frame = frame;
			slots->refs++;
			slots->imports++;
			pc_frame_import_add(frame, &slot->import);
		}
	} else if (slot->busy) {
		slot = NULL;
	}
	int r = -EAGAIN;
	if (slot != NULL) {
		slot->busy = true;
		slot->used = ++slots->clock;
		r = (int)(slot - slots->slot);
	}
	pthread_mutex_unlock(&slots->lock);
	return r;
}

void pc_m2m_slots_give(struct pc_m2m_slots *slots, unsigned index)
{
	pthread_mutex_lock(&slots->lock);
	assert(index < slots->n && slots->slot[index].busy);
	slots->slot[index].busy = false;
	pthread_mutex_unlock(&slots->lock);
}

uint64_t pc_m2m_slots_imports(const struct pc_m2m_slots *slots)
{
	return slots->imports;
}

void pc_m2m_slots_destroy(struct pc_m2m_slots *slots)
{
	if (slots == NULL) {
		return;
	}
	pthread_mutex_lock(&slots->lock);
	for (unsigned i = 0; i < slots->n; i++) {
		struct slot *slot = &slots->slot[i];
		assert(!slot->busy);
		if (slot->frame != NULL) {
			pc_frame_import_remove(slot->frame, slots);
		}
	}
	unref_and_unlock(slots);
}
