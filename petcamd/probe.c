/* petcamd/probe.c - the report put together; see probe.h. */
#include "petcamd/probe.h"

#include <errno.h>

#include "petcamd/probe_internal.h"

static json_t *make_report(const char *version, const struct pc_settings *settings)
{
	json_t *report = json_object();
	json_t *machine = pc_probe_machine();
	json_t *files = pc_probe_files();
	json_t *video = pc_probe_video();
	json_t *heaps = pc_probe_heaps();
	json_t *drm = pc_probe_drm();
	json_t *imports = pc_probe_imports(video, heaps, drm);
	json_t *choices = pc_probe_choices(settings, video, imports);
	json_object_set_new(report, "petcam", json_string(version));
	json_object_set_new(report, "machine", machine);
	json_object_set_new(report, "files", files);
	json_object_set_new(report, "video", video);
	json_object_set_new(report, "heaps", heaps);
	json_object_set_new(report, "drm", drm);
	json_object_set_new(report, "gpu", pc_probe_gpu(imports));
	json_object_set_new(report, "imports", imports);
	json_object_set_new(report, "choices", choices);
	json_object_set_new(report, "advice", pc_probe_advice(report));
	return report;
}

int pc_probe(FILE *out, bool json, const char *version, const struct pc_settings *settings)
{
	json_t *report = make_report(version, settings);
	if (report == NULL) {
		return -ENOMEM;
	}
	int r;
	if (json) {
		r = json_dumpf(report, out, JSON_INDENT(2)) < 0 || fputc('\n', out) == EOF ||
				    fflush(out) < 0
			    ? -EIO
			    : 0;
	} else {
		r = pc_probe_print(out, report);
	}
	json_decref(report);
	return r;
}
