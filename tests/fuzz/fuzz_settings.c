/* tests/fuzz/fuzz_settings.c - any file and any overrides as settings.
 *
 * Input: the file, then overrides; each ends with a NUL. Whatever they are, what comes out can be
 * run with, and every fault is told in a line of its own. Inputs with "@include" are passed over:
 * they would read other files.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/settings.h"
#include "tests/fuzz/fuzz.h"

#define OVERRIDES_MAX 8

/* libconfig 1.5 forgets the string it was reading when the syntax is wrong (its scanner's
 * strbuf_append(); corpus/settings/libconfig-leak): 64 bytes once, at start. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

static void check_zones(const struct pc_zone *zones, unsigned n)
{
	fuzz_assert(n <= PC_ZONES_MAX);
	for (unsigned i = 0; i < n; i++) {
		fuzz_assert(memchr(zones[i].name, '\0', PC_ZONE_NAME_MAX) != NULL);
		fuzz_assert(zones[i].name[0] != '\0');
		fuzz_assert(zones[i].n_points >= 3 && zones[i].n_points <= PC_ZONE_MAX_POINTS);
		for (unsigned k = 0; k < zones[i].n_points; k++) {
			const struct pc_point *p = &zones[i].points[k];
			fuzz_assert(p->x >= 0 && p->x <= 1 && p->y >= 0 && p->y <= 1);
		}
		(void)pc_zone_contains(&zones[i], 0.5F, 0.5F);
		(void)pc_zone_kind_name(zones[i].kind);
	}
}

static void check_camera(const struct pc_camera_settings *camera)
{
	fuzz_assert(memchr(camera->id, '\0', sizeof(camera->id)) != NULL && camera->id[0] != '\0');
	fuzz_assert(
		strspn(camera->id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(camera->id));
	fuzz_assert(memchr(camera->name, '\0', sizeof(camera->name)) != NULL);
	fuzz_assert(memchr(camera->source, '\0', sizeof(camera->source)) != NULL);
	fuzz_assert(camera->source[0] != '\0');
	fuzz_assert(camera->width >= 160 && camera->width <= 1920);
	fuzz_assert(camera->height >= 120 && camera->height <= 1920);
	fuzz_assert(camera->fps >= 1 && camera->fps <= 60);
	fuzz_assert(camera->bitrate_kbps >= 100 && camera->bitrate_kbps <= 25000);
	check_zones(camera->zones, camera->n_zones);
	check_zones(camera->masks, camera->n_masks);
}

static void check_settings(const struct pc_settings *settings)
{
	fuzz_assert(settings->n_cameras >= 1 && settings->n_cameras <= PC_SETTINGS_CAMERAS_MAX);
	for (unsigned i = 0; i < settings->n_cameras; i++) {
		check_camera(&settings->cameras[i]);
	}
	fuzz_assert(memchr(settings->storage.root, '\0', PC_SETTINGS_PATH_MAX) != NULL);
	fuzz_assert(memchr(settings->http.web_root, '\0', PC_SETTINGS_PATH_MAX) != NULL);
	fuzz_assert(memchr(settings->http.address, '\0', 64) != NULL);
	fuzz_assert(memchr(settings->log.level, '\0', 8) != NULL);
	fuzz_assert(settings->storage.max_usage > 0 && settings->storage.max_usage < 1);
	fuzz_assert(settings->http.port <= 65535);
	fuzz_assert(settings->live.window_s >= 6 && settings->live.window_s <= 60);
	fuzz_assert(settings->inference.width >= 160 && settings->inference.width <= 640);
}

static bool is_safe(const uint8_t *data, size_t size)
{
	return data == NULL || size == 0 || memmem(data, size, "@include", 8) == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pc_settings settings;
	static struct pc_settings_errors errors;
	if (!is_safe(data, size)) {
		return 0;
	}
	struct fuzz_input input = fuzz_begin(data, size);
	char *file = fuzz_text(&input, '\0');
	char *overrides[OVERRIDES_MAX];
	size_t n = 0;
	while (n < OVERRIDES_MAX && input.left > 0) {
		overrides[n++] = fuzz_text(&input, '\0');
	}

	char path[64];
	const int fd = memfd_create("fuzz", MFD_CLOEXEC);
	fuzz_assert(fd >= 0 && write(fd, file, strlen(file)) == (ssize_t)strlen(file));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	memset(&settings, 0xee, sizeof(settings));
	const int r = pc_settings_load(path, (const char *const *)overrides, n, &settings, &errors);
	close(fd);

	fuzz_assert(r == 0 || r == -EINVAL);
	fuzz_assert((r == 0) == (errors.count == 0));
	fuzz_assert((errors.count == 0) == (errors.text[0] == '\0'));
	fuzz_assert(memchr(errors.text, '\0', sizeof(errors.text)) != NULL);
	fuzz_assert(errors.count == 0 || strchr(errors.text, ':') != NULL);
	check_settings(&settings);

	free(file);
	for (size_t i = 0; i < n; i++) {
		free(overrides[i]);
	}
	return 0;
}
