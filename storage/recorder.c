/* storage/recorder.c - cuts recordings from a camera's window, see recorder.h.
 *
 * Other threads touch the table of holds alone; all else belongs to the storage thread, which
 * comes by every 200 ms while there is something in the table and takes what the window has
 * got since.
 */
#include "storage/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PC_LOG_MODULE "recorder"
#include "core/clock.h"
#include "core/log.h"
#include "storage/clip_internal.h"
#include "storage/holds_internal.h"
#include "storage/storage_internal.h"

#define SYNC_NS (800 * PC_NS_PER_MS) /* looked at every 200 ms: at most 1 s apart */
#define BATCH 32 /* fragments appended at a time */
#define TURN 16 /* batches, then other cameras have their turn */
#define NO_FRAMES_NS (3 * PC_NS_PER_S) /* waited for frames beyond the end */
#define CLOSE_RETRY_NS PC_NS_PER_S
#define NAMES_MAX 100 /* of one millisecond */
#define GOING_ON PC_HOLD_GOING_ON

struct pc_recorder {
	struct pc_recorder *following; /* in the storage's list */
	struct pc_storage *storage;
	char camera[PC_CAMERA_ID_MAX];
	struct pc_window *window;
	struct pc_camera_stats *stats;
	int64_t pre_roll_ns, max_clip_ns;
	struct pc_holds holds;

	/* All below: storage thread. */
	struct pc_clip *clip; /* NULL: not recording */
	char path[PC_STORAGE_PATH_MAX];
	int64_t recording_id;
	struct pc_init *init; /* of the clip */
	int64_t clip_start_ns;
	int64_t last_ns; /* capture time of its newest frame */
	int64_t sync_ns; /* when it was last synced */
	uint64_t next; /* number of the next fragment */
	bool continues; /* the next clip goes on at `next`, without a pre-roll */
	bool over; /* the window was closed: nothing more will come */
	int error; /* logged, until a recording begins again; 0: none */
	struct pc_fragment *last_key; /* for thumbnails; NULL: none */
	/* Closed as a file, but the catalogue does not take it yet. */
	bool closing;
	struct pc_clip_info closing_info;
	int64_t closing_ns; /* when to try again */
	struct pc_fragment *batch[BATCH];
};

void pc_recorder_hold(struct pc_recorder *recorder, const struct pc_event *event, int64_t start_ns)
{
	struct pc_storage *storage = recorder->storage;
	if (!atomic_load_explicit(&storage->consent_video, memory_order_relaxed)) {
		return;
	}
	if (pc_holds_add(&recorder->holds, event, start_ns) == -EAGAIN) {
		pc_warn("camera %s: more than %d events at a time, some go without a recording",
			recorder->camera, PC_HOLDS_MAX);
	}
	pc_storage_wake(storage);
}

void pc_recorder_release(struct pc_recorder *recorder, int64_t event_id, int64_t end_ns)
{
	pc_holds_release(&recorder->holds, event_id, end_ns);
}

/* ---- the storage thread ---- */

/* Events that joined an open recording. */
static void link_joined(struct pc_recorder *recorder)
{
	struct pc_storage *storage = recorder->storage;
	int64_t ids[PC_HOLDS_MAX];
	unsigned n = pc_holds_unlinked(&recorder->holds, ids);
	if (n == 0 || pc_event_queue_write(storage) < 0) {
		return; /* the rows are not there yet: the next turn tries again */
	}
	int r = pc_db_begin(&storage->db, false);
	for (unsigned i = 0; i < n && r == 0; i++) {
		r = pc_events_link(storage, ids[i], recorder->recording_id);
	}
	if (r == 0) {
		r = pc_db_commit(&storage->db);
	} else {
		pc_db_rollback(&storage->db);
	}
	if (r == 0) {
		pc_holds_set_linked(&recorder->holds, ids, n, recorder->recording_id);
	}
}

/* Thumbnails of the events that had begun by `ns`, from this key frame. */
static void make_thumbnails(struct pc_recorder *recorder, struct pc_fragment *key, int64_t ns)
{
	int64_t event_id;
	while ((event_id = pc_holds_next_picture(&recorder->holds, recorder->recording_id, ns)) !=
		0) {
		int r = pc_thumbnail_make(recorder->storage, recorder->path, event_id, key);
		if (r < 0) {
			pc_warn("camera %s: thumbnail of event %lld: %s, ignoring",
				recorder->camera, (long long)event_id, pc_strerror(r));
		}
	}
}

static void release_clip(struct pc_recorder *recorder)
{
	pc_clip_destroy(recorder->clip);
	recorder->clip = NULL;
	pc_init_unref(recorder->init);
	recorder->init = NULL;
	pc_fragment_unref(recorder->last_key);
	recorder->last_key = NULL;
}

/* The file is complete; row and all. -EAGAIN: the catalogue does not take it yet. */
static int commit_closed(struct pc_recorder *recorder)
{
	struct pc_storage *storage = recorder->storage;
	int r = recorder->closing_info.frames > 0
			? pc_recordings_close(
				  storage, recorder->recording_id, &recorder->closing_info)
			: pc_recordings_drop(
				  storage, recorder->recording_id, "nothing was recorded");
	recorder->closing = r < 0 && r != -ENOENT;
	if (recorder->closing) {
		recorder->closing_ns = pc_clock_now_ns() + CLOSE_RETRY_NS;
		pc_storage_pause(storage, r);
		return -EAGAIN;
	}
	if (recorder->closing_info.frames == 0) {
		pc_holds_unlink(&recorder->holds, recorder->recording_id);
	}
	pc_storage_want_retention(storage);
	return 0;
}

/* Ends the clip as far as it is good. `err`: why it could not go on, 0. */
static void end_clip(struct pc_recorder *recorder, int err)
{
	struct pc_clip_info info = { 0 };
	if (recorder->last_key != NULL && err == 0) {
		make_thumbnails(recorder, recorder->last_key, INT64_MAX); /* the best there is */
	}
	int r = pc_clip_finish(recorder->clip, &info);
	if (r == -ENODATA) {
		info.frames = 0;
		r = 0;
	}
	err = err != 0 ? err : r;
	release_clip(recorder);
	if (err != 0) {
		pc_error("camera %s: recording %s ends early: %s", recorder->camera, recorder->path,
			pc_strerror(err));
		recorder->error = err;
		recorder->continues = true; /* with what the window still has by then */
		pc_storage_pause(recorder->storage, err);
	}
	recorder->closing_info = info;
	(void)commit_closed(recorder);
}

/* A name that is free, and the file. */
static int create_file(struct pc_recorder *recorder, enum pc_event_kind kind, int64_t start_utc_ms,
	const struct pc_init *init)
{
	unsigned keys = (unsigned)(recorder->max_clip_ns / PC_NS_PER_S) + 64;
	int r = -EEXIST;
	for (unsigned n = 1; n <= NAMES_MAX && r == -EEXIST; n++) {
		r = pc_media_path(recorder->camera, start_utc_ms, kind, n, recorder->path,
			sizeof(recorder->path));
		if (r == 0) {
			r = pc_clip_create(recorder->storage->root_fd, recorder->path, init,
				keys < 8192 ? keys : 8192, &recorder->clip);
		}
	}
	return r;
}

/* File, then row: from here on the recording exists. `first` is its first fragment. */
static int begin_clip(
	struct pc_recorder *recorder, enum pc_event_kind kind, struct pc_fragment *first)
{
	struct pc_storage *storage = recorder->storage;
	struct pc_clip_info info;
	int64_t ids[PC_HOLDS_MAX];
	int64_t start_utc_ms = pc_clock_utc_ms_of(first->capture_ns);
	int r = create_file(recorder, kind, start_utc_ms, first->init);
	if (r < 0) {
		goto fail;
	}
	pc_clip_get_info(recorder->clip, &info);
	info.start_utc_ms = start_utc_ms;
	/* The rows that are to point to it must be there; else link_joined() comes to it. */
	unsigned n =
		pc_event_queue_write(storage) == 0 ? pc_holds_unlinked(&recorder->holds, ids) : 0;
	r = pc_recordings_declare(storage, recorder->camera, recorder->path, kind, &info, ids, n,
		&recorder->recording_id);
	if (r < 0) {
		pc_clip_destroy(recorder->clip);
		recorder->clip = NULL;
		pc_clip_remove(storage->root_fd, recorder->path);
		goto fail;
	}
	pc_holds_set_linked(&recorder->holds, ids, n, recorder->recording_id);
	recorder->init = pc_init_ref(first->init);
	recorder->clip_start_ns = first->capture_ns;
	recorder->last_ns = first->capture_ns;
	recorder->sync_ns = pc_clock_now_ns();
	recorder->next = first->number;
	recorder->error = 0;
	return 0;

fail:
	if (recorder->error != r) {
		pc_error("camera %s: recording cannot begin: %s", recorder->camera, pc_strerror(r));
		recorder->error = r;
	}
	pc_storage_pause(storage, r);
	return r;
}

/* The oldest key fragment that is left at or behind `next`. */
static struct pc_fragment *next_key(struct pc_recorder *recorder)
{
	struct pc_fragment *key = pc_window_key_before(recorder->window, INT64_MIN);
	if (key == NULL || key->number >= recorder->next) {
		return key;
	}
	pc_fragment_unref(key);
	return NULL;
}

/* The key fragment that a pre-roll begins with. One from before the stream began anew is of no
 * use: the recording would end where the event begins. */
static struct pc_fragment *find_pre_roll(struct pc_recorder *recorder, int64_t start_ns)
{
	struct pc_fragment *first =
		pc_window_key_before(recorder->window, start_ns - recorder->pre_roll_ns);
	struct pc_fragment *at = pc_window_key_before(recorder->window, start_ns);
	while (first != NULL && at != NULL &&
		(first->init->epoch < at->init->epoch || !first->key)) {
		uint64_t number = first->number + 1;
		pc_fragment_unref(first);
		if (pc_window_get(recorder->window, number, 0, &first) < 0) {
			first = NULL;
		}
	}
	pc_fragment_unref(at);
	return first;
}

/* The key fragment that a recording goes on with; what is left out is counted. */
static struct pc_fragment *find_next(struct pc_recorder *recorder)
{
	for (;;) {
		struct pc_fragment *f;
		int r = pc_window_get(recorder->window, recorder->next, 0, &f);
		if (r == -ESTALE) {
			f = next_key(recorder);
		} else if (r < 0) {
			recorder->over = r == -EPIPE;
			return NULL;
		}
		if (f == NULL) {
			return NULL;
		}
		if (f->key) {
			pc_counter_add(&recorder->stats->recorder_gaps, f->number - recorder->next);
			recorder->next = f->number;
			return f;
		}
		pc_counter_add(&recorder->stats->recorder_gaps, 1);
		recorder->next++;
		pc_fragment_unref(f);
	}
}

enum step {
	STEP_MORE, /* go on */
	STEP_WAIT, /* the window has nothing new */
	STEP_END, /* all that is wanted, or all there is, is written */
	STEP_SPLIT, /* the next clip begins at `next` */
};

/* Takes the fragments that belong to this clip; what the one behind them means. */
static enum step take_batch(struct pc_recorder *recorder, int64_t until_ns, unsigned *ret_n)
{
	unsigned n = 0;
	enum step step = STEP_MORE;
	while (n < BATCH && step == STEP_MORE) {
		struct pc_fragment *f;
		int r = pc_window_get(recorder->window, recorder->next + n, 0, &f);
		if (r < 0) {
			recorder->over = r == -EPIPE;
			step = r == -ESTALE ? STEP_SPLIT : r == -EPIPE ? STEP_END : STEP_WAIT;
			break;
		}
		if (f->capture_ns > until_ns) {
			step = STEP_END;
		} else if (f->init->epoch != recorder->init->epoch ||
			   (f->key && f->capture_ns - recorder->clip_start_ns >=
					      recorder->max_clip_ns)) {
			step = STEP_SPLIT;
		} else {
			recorder->batch[n++] = f;
			continue;
		}
		pc_fragment_unref(f);
	}
	*ret_n = n;
	return step;
}

/* One batch from the window to the file. */
static enum step write_batch(struct pc_recorder *recorder, int64_t until_ns, int *ret_err)
{
	unsigned n;
	enum step step = take_batch(recorder, until_ns, &n);
	int r = n > 0 ? pc_clip_append(recorder->clip, recorder->batch, n) : 0;
	for (unsigned i = 0; i < n; i++) {
		struct pc_fragment *f = recorder->batch[i];
		if (r == 0) {
			recorder->next = f->number + 1;
			recorder->last_ns = f->capture_ns;
		}
		if (r == 0 && f->key) {
			pc_fragment_unref(recorder->last_key);
			recorder->last_key = pc_fragment_ref(f);
			make_thumbnails(recorder, f, f->capture_ns);
		}
		pc_fragment_unref(f);
	}
	*ret_err = r;
	return step;
}

/* All that the window has, up to a turn's worth. */
static enum step drain(struct pc_recorder *recorder, int64_t until_ns)
{
	enum step step = STEP_MORE;
	int r = 0;
	for (unsigned i = 0; i < TURN && step == STEP_MORE && r == 0; i++) {
		step = write_batch(recorder, until_ns, &r);
	}
	int64_t now = pc_clock_now_ns();
	if (r == 0 && step != STEP_END && step != STEP_SPLIT &&
		now - recorder->sync_ns >= SYNC_NS) {
		r = pc_clip_sync(recorder->clip);
		recorder->sync_ns = now;
	}
	if (r < 0) {
		end_clip(recorder, r);
		return STEP_WAIT;
	}
	return step;
}

/* true: there is more to do at once. */
static bool record(struct pc_recorder *recorder, const struct pc_demand *demand)
{
	link_joined(recorder);
	int64_t until = demand->any ? demand->until_ns : recorder->last_ns;
	enum step step = drain(recorder, until);
	if (recorder->clip == NULL) {
		return false; /* it failed */
	}
	/* A release may come when the end is written already; and a camera that gives no more
	 * frames does not keep its file open for ever. */
	if (step == STEP_WAIT && until != GOING_ON &&
		(recorder->last_ns >= until || pc_clock_now_ns() > until + NO_FRAMES_NS)) {
		step = STEP_END;
	}
	if (step == STEP_END || step == STEP_SPLIT) {
		recorder->continues = step == STEP_SPLIT;
		end_clip(recorder, 0);
	}
	if (step == STEP_END) {
		pc_holds_drop(&recorder->holds, until);
	}
	return step == STEP_MORE || step == STEP_SPLIT;
}

static bool may_begin(struct pc_recorder *recorder)
{
	if (recorder->over) {
		pc_holds_drop(&recorder->holds, GOING_ON);
		return false;
	}
	if (!pc_storage_may_record(recorder->storage)) {
		pc_holds_drop(&recorder->holds, pc_clock_now_ns()); /* missed */
		return false;
	}
	return true;
}

static bool tick(struct pc_recorder *recorder)
{
	/* A second is for a catalogue that fails alone; a disk that is back is tried at once. */
	if (recorder->closing && ((recorder->storage->record_error != 0 &&
					  pc_clock_now_ns() < recorder->closing_ns) ||
					 commit_closed(recorder) < 0)) {
		return false;
	}
	struct pc_demand demand = pc_holds_look(&recorder->holds);
	if (recorder->clip == NULL) {
		if (!demand.any) {
			recorder->continues = false;
			return false;
		}
		if (!may_begin(recorder)) {
			return false;
		}
		struct pc_fragment *first = recorder->continues
						    ? find_next(recorder)
						    : find_pre_roll(recorder, demand.from_ns);
		if (first == NULL || first->capture_ns > demand.until_ns) {
			/* No frames: wait as long as anybody does. */
			pc_holds_drop(&recorder->holds, pc_clock_now_ns() - NO_FRAMES_NS);
			pc_fragment_unref(first);
			return false;
		}
		int r = begin_clip(recorder, demand.kind, first);
		pc_fragment_unref(first);
		if (r < 0) {
			return false;
		}
	}
	return record(recorder, &demand);
}

bool pc_recorders_tick(struct pc_storage *storage)
{
	bool more = false;
	for (struct pc_recorder *r = storage->recorders; r != NULL; r = r->following) {
		more = tick(r) || more;
	}
	return more;
}

bool pc_recorders_busy(struct pc_storage *storage)
{
	for (struct pc_recorder *r = storage->recorders; r != NULL; r = r->following) {
		if (r->clip != NULL || r->closing || pc_holds_look(&r->holds).any) {
			return true;
		}
	}
	return false;
}

static int add(struct pc_storage *storage, void *data)
{
	struct pc_recorder *recorder = data;
	struct pc_recorder **end = &storage->recorders;
	while (*end != NULL) {
		end = &(*end)->following;
	}
	*end = recorder;
	return 0;
}

/* Writes what the window has, closes, and is gone. */
static int take_out(struct pc_storage *storage, void *data)
{
	struct pc_recorder *recorder = data;
	while (tick(recorder)) {
	}
	if (recorder->clip != NULL) {
		end_clip(recorder, 0);
	}
	if (recorder->closing) {
		(void)commit_closed(recorder); /* a last time: the next start closes it else */
	}
	struct pc_recorder **at = &storage->recorders;
	while (*at != recorder) {
		at = &(*at)->following;
	}
	*at = recorder->following;
	return 0;
}

static bool is_camera_id(const char *id)
{
	size_t n = strlen(id);
	return n > 0 && n < PC_CAMERA_ID_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

int pc_recorder_create(struct pc_storage *storage, const struct pc_recorder_config *config,
	struct pc_recorder **ret_recorder)
{
	if (!is_camera_id(config->camera) || !(config->pre_roll_s >= 0) ||
		!(config->post_roll_s >= 0) || !(config->max_clip_s > 0) ||
		config->pre_roll_s > 3600 || config->post_roll_s > 3600 ||
		config->max_clip_s > 86400) {
		return -EINVAL;
	}
	struct pc_recorder *recorder = calloc(1, sizeof(*recorder));
	if (recorder == NULL) {
		return -ENOMEM;
	}
	int r = pc_holds_init(
		&recorder->holds, (int64_t)(config->post_roll_s * (double)PC_NS_PER_S));
	if (r < 0) {
		free(recorder);
		return r;
	}
	recorder->storage = storage;
	memcpy(recorder->camera, config->camera, strlen(config->camera) + 1);
	recorder->window = pc_window_ref(config->window);
	recorder->stats = config->stats;
	recorder->pre_roll_ns = (int64_t)(config->pre_roll_s * (double)PC_NS_PER_S);
	recorder->max_clip_ns = (int64_t)(config->max_clip_s * (double)PC_NS_PER_S);
	(void)pc_storage_call(storage, add, recorder);
	*ret_recorder = recorder;
	return 0;
}

void pc_recorder_destroy(struct pc_recorder *recorder)
{
	if (recorder == NULL) {
		return;
	}
	(void)pc_storage_call(recorder->storage, take_out, recorder);
	pc_window_unref(recorder->window);
	pc_holds_finish(&recorder->holds);
	free(recorder);
}
