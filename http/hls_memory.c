/* http/hls_memory.c - texts and fragment lists that are used again.
 *
 * A playlist is rendered several times a second and read by several threads; each answer
 * with media needs a list of fragments. Both come from free lists, so that a steady
 * stream with steady viewers allocates nothing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "http/hls_internal.h"

#define FREE_MAX 64 /* kept of each kind; more than that goes back to malloc */
#define LIST_MIN 64 /* fragments; a segment of two seconds at 30 frames a second */

struct text {
	struct pc_hls_text text; /* first: what the outside sees */
	struct hls_memory *memory;
	struct text *next_free;
	atomic_uint refs;
	char *data;
	size_t capacity;
};

struct pc_hls_list {
	struct hls_memory *memory;
	struct pc_hls_list *next_free;
	unsigned capacity;
	struct pc_fragment **fragments;
};

struct hls_memory {
	pthread_mutex_t lock;
	unsigned refs; /* the creator's, and one for each thing that is out */
	struct text *free_texts;
	unsigned n_free_texts;
	struct pc_hls_list *free_lists;
	unsigned n_free_lists;
};

int hls_memory_create(struct hls_memory **ret_memory)
{
	struct hls_memory *memory = calloc(1, sizeof(*memory));
	if (memory == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&memory->lock, NULL);
	memory->refs = 1;
	*ret_memory = memory;
	return 0;
}

static void text_free(struct text *text)
{
	free(text->data);
	free(text);
}

static void list_free(struct pc_hls_list *list)
{
	free(list->fragments);
	free(list);
}

static void memory_free(struct hls_memory *memory)
{
	while (memory->free_texts != NULL) {
		struct text *text = memory->free_texts;
		memory->free_texts = text->next_free;
		text_free(text);
	}
	while (memory->free_lists != NULL) {
		struct pc_hls_list *list = memory->free_lists;
		memory->free_lists = list->next_free;
		list_free(list);
	}
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

void hls_memory_destroy(struct hls_memory *memory)
{
	if (memory == NULL) {
		return;
	}
	pthread_mutex_lock(&memory->lock);
	const bool last = --memory->refs == 0;
	pthread_mutex_unlock(&memory->lock);
	if (last) {
		memory_free(memory);
	}
}

/* A used text or NULL; either way one reference on the memory is the caller's. */
static struct text *take_text(struct hls_memory *memory)
{
	pthread_mutex_lock(&memory->lock);
	memory->refs++;
	struct text *text = memory->free_texts;
	if (text != NULL) {
		memory->free_texts = text->next_free;
		memory->n_free_texts--;
	}
	pthread_mutex_unlock(&memory->lock);
	return text;
}

static int text_reserve(struct text *text, size_t capacity)
{
	if (text->capacity >= capacity) {
		return 0;
	}
	/* Half as much again: a playlist that grows by a line must not allocate again. */
	const size_t roomy = capacity + capacity / 2;
	char *data = malloc(roomy);
	if (data == NULL) {
		return -ENOMEM;
	}
	free(text->data);
	text->data = data;
	text->capacity = roomy;
	return 0;
}

struct pc_hls_text *hls_text_new(struct hls_memory *memory, size_t capacity, char **ret_data)
{
	struct text *text = take_text(memory);
	if (text == NULL) {
		text = calloc(1, sizeof(*text));
		if (text == NULL) {
			goto fail;
		}
	}
	if (text_reserve(text, capacity) < 0) {
		text_free(text);
		goto fail;
	}
	text->memory = memory;
	text->next_free = NULL;
	atomic_init(&text->refs, 1);
	text->text = (struct pc_hls_text){ .data = text->data };
	*ret_data = text->data;
	return &text->text;

fail:
	hls_memory_destroy(memory);
	return NULL;
}

struct pc_hls_text *hls_text_adopt(struct hls_memory *memory, void *data, size_t size)
{
	char *unused;
	struct pc_hls_text *text = hls_text_new(memory, 0, &unused);
	if (text == NULL) {
		return NULL;
	}
	struct text *whole = (struct text *)text;
	free(whole->data);
	whole->data = data;
	whole->capacity = size;
	text->data = data;
	text->size = size;
	return text;
}

struct pc_hls_text *hls_text_ref(struct pc_hls_text *text)
{
	atomic_fetch_add_explicit(&((struct text *)text)->refs, 1, memory_order_relaxed);
	return text;
}

void pc_hls_text_unref(struct pc_hls_text *public_text)
{
	struct text *text = (struct text *)public_text;
	if (text == NULL || atomic_fetch_sub_explicit(&text->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	struct hls_memory *memory = text->memory;
	pthread_mutex_lock(&memory->lock);
	const bool keep = memory->n_free_texts < FREE_MAX;
	if (keep) {
		text->next_free = memory->free_texts;
		memory->free_texts = text;
		memory->n_free_texts++;
	}
	pthread_mutex_unlock(&memory->lock);
	if (!keep) {
		text_free(text);
	}
	hls_memory_destroy(memory);
}

static struct pc_hls_list *take_list(struct hls_memory *memory)
{
	pthread_mutex_lock(&memory->lock);
	memory->refs++;
	struct pc_hls_list *list = memory->free_lists;
	if (list != NULL) {
		memory->free_lists = list->next_free;
		memory->n_free_lists--;
	}
	pthread_mutex_unlock(&memory->lock);
	return list;
}

static int list_reserve(struct pc_hls_list *list, unsigned n)
{
	if (list->capacity >= n) {
		return 0;
	}
	const unsigned capacity = n < LIST_MIN ? LIST_MIN : n;
	struct pc_fragment **fragments = calloc(capacity, sizeof(struct pc_fragment *));
	if (fragments == NULL) {
		return -ENOMEM;
	}
	free(list->fragments);
	list->fragments = fragments;
	list->capacity = capacity;
	return 0;
}

int hls_list_new(struct hls_memory *memory, unsigned n, struct pc_hls_media *media)
{
	struct pc_hls_list *list = take_list(memory);
	if (list == NULL) {
		list = calloc(1, sizeof(*list));
		if (list == NULL) {
			goto fail;
		}
	}
	if (list_reserve(list, n) < 0) {
		list_free(list);
		goto fail;
	}
	list->memory = memory;
	list->next_free = NULL;
	*media = (struct pc_hls_media){ .fragments = list->fragments, .list = list };
	return 0;

fail:
	hls_memory_destroy(memory);
	return -ENOMEM;
}

void pc_hls_media_finish(struct pc_hls_media *media)
{
	struct pc_hls_list *list = media->list;
	if (list == NULL) {
		return;
	}
	for (unsigned i = 0; i < media->n; i++) {
		pc_fragment_unref(media->fragments[i]);
	}
	*media = (struct pc_hls_media){ 0 };
	struct hls_memory *memory = list->memory;
	pthread_mutex_lock(&memory->lock);
	const bool keep = memory->n_free_lists < FREE_MAX;
	if (keep) {
		list->next_free = memory->free_lists;
		memory->free_lists = list;
		memory->n_free_lists++;
	}
	pthread_mutex_unlock(&memory->lock);
	if (!keep) {
		list_free(list);
	}
	hls_memory_destroy(memory);
}
