/* petcamd/probe_internal.h - the parts of the probe.
 *
 * Each part gives a JSON value, a new reference; NULL only when memory is out, which leaves its
 * key away. What comes from the kernel or a driver passes pc_probe_text(). Objects that
 * describe something that could not be asked have "error", a sentence.
 */
#ifndef PC_PETCAMD_PROBE_INTERNAL_H
#define PC_PETCAMD_PROBE_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "config/settings.h"
#include "v4l2/device.h"

#define PC_PROBE_TEXT_MAX 512

/* Limits of what is listed; what is over them is counted and not shown. */
#define PC_PROBE_HEAPS_MAX 16
#define PC_PROBE_DRM_MAX 16
#define PC_PROBE_DEVICES_MAX 4 /* of each role, in the table of imports */

/* Text of others as JSON: printable ASCII, all else "?"; cut at PC_PROBE_TEXT_MAX. */
json_t *pc_probe_text(const char *text);
json_t *pc_probe_textf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "NV12"; each of the four bytes printable. */
void pc_probe_fourcc(uint32_t fourcc, char out[static 5]);

/* Runs `ask` in a child process and gives what it returns; {"error": ...} when it
 * takes longer than `limit_ms`, crashes or returns NULL. In the child stderr goes nowhere. */
json_t *pc_probe_ask(unsigned limit_ms, json_t *(*ask)(const void *data), const void *data);

/* Why a node cannot be opened and what to do about it, as JSON text. */
json_t *pc_probe_open_error(const char *path, int err);

/* Names in `folder` that begin with `prefix`, sorted by number and name, at most `max`; 0
 * where the folder cannot be read. */
struct pc_probe_name {
	char text[64];
};
unsigned pc_probe_list(
	const char *folder, const char *prefix, struct pc_probe_name *names, unsigned max);

json_t *pc_probe_machine(void); /* {"kernel", "distribution", "cpu", ...} */
json_t *pc_probe_files(void); /* [{"path", "mode", "owner", "group", "access"}] */
json_t *pc_probe_video(void); /* [{"path", "driver", "role", ...}] */
json_t *pc_probe_heaps(void); /* [{"path", "gives", "error"}] */
json_t *pc_probe_drm(void); /* [{"path", "driver", ...}] */

/* [{"memory", "device", "role", "ok", "errno", "why"}]; `video`, `heaps`, `drm` as above. */
json_t *pc_probe_imports(const json_t *video, const json_t *heaps, const json_t *drm);

/* {"renderer"} or {"error"}: the GPU that took something, else why none did. */
json_t *pc_probe_gpu(const json_t *imports);

/* Did such an import work? NULL: any. */
bool pc_probe_import_worked(
	const json_t *imports, const char *memory, const char *device, const char *role);

/* {"encoder": sentence, "scaler": ..., "memory": ..., "camera": ...}: by the functions that the
 * daemon chooses with, and what was found above. */
json_t *pc_probe_choices(
	const struct pc_settings *settings, const json_t *video, const json_t *imports);

/* What to do about what is missing: sentences, from the whole report. */
json_t *pc_probe_advice(const json_t *report);

/* The report in plain words. 0 or negative errno. */
int pc_probe_print(FILE *out, const json_t *report);

#endif
