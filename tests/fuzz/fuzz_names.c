/* tests/fuzz/fuzz_names.c - any text as a name: of an event's kind, a zone's, a log level, and of
 * a media file, whose path can be made again from what was read.
 */
#include <errno.h>

#include "core/event.h"
#include "core/log.h"
#include "storage/storage_internal.h"
#include "tests/fuzz/fuzz.h"

static void check_words(const char *text)
{
	enum pc_event_kind kind;
	if (pc_event_kind_parse(text, &kind) == 0) {
		fuzz_assert(strcmp(pc_event_kind_name(kind), text) == 0);
	}
	enum pc_zone_kind zone;
	if (pc_zone_kind_parse(text, &zone) == 0) {
		fuzz_assert(strcmp(pc_zone_kind_name(zone), text) == 0);
	}
	enum pc_log_level level;
	if (pc_log_level_parse(text, &level) == 0) {
		fuzz_assert(level >= PC_LOG_ERROR && level <= PC_LOG_DEBUG);
	}
}

static void check_path(const char *text)
{
	struct pc_media_name name = { .event_id = -7 };
	char camera[PC_CAMERA_ID_MAX] = "untouched";
	const int r = pc_media_path_parse(text, &name, camera, sizeof(camera));
	if (r < 0) {
		fuzz_assert(r == -EINVAL && name.event_id == -7);
		fuzz_assert(strcmp(camera, "untouched") == 0);
		return;
	}
	fuzz_assert(camera[0] != '\0' && strlen(camera) < sizeof(camera));
	fuzz_assert(strspn(camera, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(camera));
	fuzz_assert(strstr(text, "..") == NULL);

	/* "...-2.mp4", "...-2_17.jpg": the number is not told, but stands there. */
	const char *stamp_end = strrchr(text, '/') + 1 + strlen("20261122T144931042Z_");
	const char *behind = stamp_end + strlen(pc_event_kind_name(name.kind));
	const unsigned long n = *behind == '-' ? strtoul(behind + 1, NULL, 10) : 1;
	char clip[PC_STORAGE_PATH_MAX * 2], path[PC_STORAGE_PATH_MAX * 2];
	if (n > UINT32_MAX) {
		return; /* not one that is ever made */
	}
	fuzz_assert(pc_media_path(
			    camera, name.utc_ms, name.kind, (unsigned)n, clip, sizeof(clip)) == 0);
	if (name.clip) {
		fuzz_assert(strcmp(clip, text) == 0);
		return;
	}
	fuzz_assert(name.event_id > 0);
	fuzz_assert(pc_thumbnail_path(clip, name.event_id, path, sizeof(path)) == 0);
	fuzz_assert(strncmp(text, path, strlen(path)) == 0);
	fuzz_assert(strcmp(text + strlen(path), name.temporary ? ".tmp" : "") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = fuzz_begin(data, size);
	char *text = fuzz_text(&input, '\0');
	check_words(text);
	check_path(text);
	free(text);
	return 0;
}
