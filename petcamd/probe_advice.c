/* petcamd/probe_advice.c - what to do about what is missing, from the whole report. */
#include <string.h>

#include "petcamd/probe_internal.h"

bool pc_probe_import_worked(
	const json_t *imports, const char *memory, const char *device, const char *role)
{
	size_t i;
	json_t *import;
	json_array_foreach(imports, i, import)
	{
		const char *from = json_string_value(json_object_get(import, "memory"));
		const char *to = json_string_value(json_object_get(import, "device"));
		const char *as = json_string_value(json_object_get(import, "role"));
		if (from != NULL && to != NULL && as != NULL && strcmp(as, role) == 0 &&
			(memory == NULL || strcmp(memory, from) == 0) &&
			(device == NULL || strcmp(device, to) == 0) &&
			json_is_true(json_object_get(import, "ok"))) {
			return true;
		}
	}
	return false;
}

static void advise(json_t *advice, const char *text)
{
	json_array_append_new(advice, json_string(text));
}

static bool any_role(const json_t *video, const char *role)
{
	size_t i;
	json_t *node;
	json_array_foreach(video, i, node)
	{
		const char *is = json_string_value(json_object_get(node, "role"));
		if (is != NULL && strcmp(is, role) == 0) {
			return true;
		}
	}
	return false;
}

/* Is there one among `entries` that says what `key` says? */
static bool any_true(const json_t *entries, const char *key)
{
	size_t i;
	json_t *entry;
	json_array_foreach(entries, i, entry)
	{
		if (json_is_true(json_object_get(entry, key))) {
			return true;
		}
	}
	return false;
}

/* The groups of device files that exist and are closed to this user, named once each. */
static void advise_groups(json_t *advice, const json_t *files)
{
	json_t *seen = json_object();
	size_t i;
	json_t *file;
	json_array_foreach(files, i, file)
	{
		const char *group = json_string_value(json_object_get(file, "group"));
		const char *mode = json_string_value(json_object_get(file, "mode"));
		if (group == NULL || mode == NULL || strlen(mode) != 4 ||
			json_is_true(json_object_get(file, "access")) ||
			json_object_get(seen, group) != NULL) {
			continue;
		}
		json_object_set_new(seen, group, json_true());
		const bool root = strcmp(group, "root") == 0 || mode[2] == '0';
		json_array_append_new(advice,
			root ? pc_probe_textf("%s is for root alone: a udev rule should give it "
					      "to group video, mode 0660",
				       json_string_value(json_object_get(file, "path")))
			     : pc_probe_textf("nodes of group %s are closed to this user: "
					      "usermod -aG %s USER, and log in again",
				       group, group));
	}
	json_decref(seen);
}

json_t *pc_probe_advice(const json_t *report)
{
	const json_t *video = json_object_get(report, "video");
	const json_t *heaps = json_object_get(report, "heaps");
	const json_t *machine = json_object_get(report, "machine");
	json_t *advice = json_array();
	advise_groups(advice, json_object_get(report, "files"));
	if (!any_role(video, "camera")) {
		const bool pi = json_object_get(machine, "model") != NULL;
		advise(advice,
			pi && !json_is_true(json_object_get(machine, "libcamerify"))
				? "no camera: with a camera module start petcam (and this) by "
				  "libcamerify (packages libcamera-tools and libcamera-v4l2); a USB "
				  "camera needs nothing"
				: "no camera: connect one, or use a file (cameras.[0].source = "
				  "\"file:PATH\"); until then petcam shows its demo room");
	}
	if (!any_role(video, "encoder")) {
		advise(advice, "no hardware H.264 encoder: the CPU encodes (libx264); on a Pi 4 "
			       "/dev/video11 comes with the module bcm2835-codec");
	} else if (!any_true(heaps, "gives")) {
		advise(advice, "no dma-heap gives memory: cameras whose own buffers the encoder "
			       "cannot take, and files, are copied; the kernel option is "
			       "CONFIG_DMABUF_HEAPS_CMA, the size that of cma= or dtoverlay=cma");
	} else if (!any_role(video, "camera") ||
		   pc_probe_import_worked(
			   json_object_get(report, "imports"), NULL, NULL, "encoder")) {
		/* Something reaches the encoder. */
	} else {
		advise(advice, "the encoder takes no memory that there is here: frames are "
			       "encoded by the CPU, or copied");
	}
	size_t i;
	json_t *node;
	json_array_foreach(video, i, node)
	{
		const char *role = json_string_value(json_object_get(node, "role"));
		const char *holder = json_string_value(json_object_get(node, "holder"));
		if (role != NULL && strcmp(role, "camera") == 0 &&
			json_is_true(json_object_get(node, "busy"))) {
			json_array_append_new(advice,
				pc_probe_textf("%s is in use%s%s: what needs its queue was not "
					       "tried",
					json_string_value(json_object_get(node, "path")),
					holder != NULL ? " by " : "",
					holder != NULL ? holder : ""));
		}
	}
	return advice;
}
