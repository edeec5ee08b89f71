/* petcamd/probe_text.c - the report in plain words; every word of it is in the JSON too. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "petcamd/probe_internal.h"

#define LINE_TEXT_MAX 1024

/* A member of `object` as text, or "". */
static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static bool is_set(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void append(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *line, const char *format, ...)
{
	const size_t used = strlen(line);
	va_list args;
	va_start(args, format);
	vsnprintf(line + used, LINE_TEXT_MAX - used, format, args);
	va_end(args);
}

/* "a, b, c" of an array of strings. */
static void append_list(char *line, const json_t *array)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item)
	{
		append(line, "%s%s", i > 0 ? ", " : "",
			json_is_string(item) ? json_string_value(item) : "?");
	}
}

static void print_machine(FILE *out, const json_t *report)
{
	const json_t *machine = json_object_get(report, "machine");
	char groups[LINE_TEXT_MAX] = "";
	append_list(groups, json_object_get(machine, "groups"));
	fprintf(out, "petcam %s\n", text_of(report, "petcam"));
	if (json_object_get(machine, "model") != NULL) {
		fprintf(out, "%s\n", text_of(machine, "model"));
	}
	fprintf(out, "%s, %s\n", text_of(machine, "kernel"), text_of(machine, "distribution"));
	fprintf(out, "%lld x %s (%s), %lld MiB, %lld free", number_of(machine, "cpus"),
		text_of(machine, "cpu"), text_of(machine, "architecture"),
		number_of(machine, "memory_mib"), number_of(machine, "memory_free_mib"));
	if (json_object_get(machine, "cma_mib") != NULL) {
		fprintf(out, "; contiguous (CMA) %lld MiB, %lld free",
			number_of(machine, "cma_mib"), number_of(machine, "cma_free_mib"));
	}
	fprintf(out, "\nuser %s, groups %s%s\n", text_of(machine, "user"), groups,
		is_set(machine, "libcamerify") ? "; under libcamerify" : "");
}

static void print_files(FILE *out, const json_t *files)
{
	fprintf(out, "\nDevice files\n");
	if (json_array_size(files) == 0) {
		fprintf(out, "  none of /dev/video*, /dev/media*, /dev/dma_heap, /dev/dri\n");
	}
	size_t i;
	json_t *file;
	json_array_foreach(files, i, file)
	{
		fprintf(out, "  %-28s %s %s:%s%s\n", text_of(file, "path"), text_of(file, "mode"),
			text_of(file, "owner"), text_of(file, "group"),
			is_set(file, "access") ? "" : "  closed to this user");
	}
}

/* "640x480 at 30, 15; 1280x720 at 30" */
static void sizes_text(const json_t *sizes, char text[static LINE_TEXT_MAX])
{
	text[0] = '\0';
	size_t i, k;
	json_t *size, *rate;
	json_array_foreach(sizes, i, size)
	{
		if (json_object_get(size, "width") != NULL) {
			append(text, "%s%lldx%lld", i > 0 ? "; " : "", number_of(size, "width"),
				number_of(size, "height"));
		} else {
			append(text, "%s%lldx%lld to %lldx%lld", i > 0 ? "; " : "",
				number_of(size, "min_width"), number_of(size, "min_height"),
				number_of(size, "max_width"), number_of(size, "max_height"));
			if (number_of(size, "step_width") > 1 ||
				number_of(size, "step_height") > 1) {
				append(text, " by %lldx%lld", number_of(size, "step_width"),
					number_of(size, "step_height"));
			}
		}
		json_array_foreach(json_object_get(size, "fps"), k, rate)
		{
			append(text, "%s%.4g", k == 0 ? " at " : ", ", json_number_value(rate));
		}
	}
}

/* What stands behind a format's name: sizes, and alignments. */
static void format_text(const json_t *format, char text[static LINE_TEXT_MAX])
{
	sizes_text(json_object_get(format, "sizes"), text);
	const char *size;
	json_t *align;
	json_object_foreach(json_object_get(format, "line_alignment"), size, align)
	{
		append(text, "%sat %s lines of a multiple of %lld bytes",
			text[0] != '\0' ? "; " : "", size, (long long)json_integer_value(align));
	}
}

/* Formats of which the same is to be said share a line. */
static void print_formats(FILE *out, const char *verb, const json_t *formats)
{
	char text[LINE_TEXT_MAX], other[LINE_TEXT_MAX], names[LINE_TEXT_MAX];
	const size_t n = json_array_size(formats);
	for (size_t i = 0; i < n; i++) {
		format_text(json_array_get(formats, i), text);
		bool told = false;
		names[0] = '\0';
		for (size_t k = 0; k < n && !told; k++) {
			const json_t *format = json_array_get(formats, k);
			format_text(format, other);
			if (strcmp(text, other) == 0) {
				told = k < i;
				append(names, "%s%s%s", names[0] != '\0' ? ", " : "",
					text_of(format, "fourcc"),
					is_set(format, "known") ? "" : "*");
			}
		}
		if (!told) {
			fprintf(out, "      %s %s%s%s\n", verb, names, text[0] != '\0' ? ": " : "",
				text);
		}
	}
}

static void print_controls(FILE *out, const json_t *controls)
{
	char line[LINE_TEXT_MAX] = "";
	size_t i;
	json_t *control;
	json_array_foreach(controls, i, control)
	{
		append(line, "%s%s ", i > 0 ? "; " : "", text_of(control, "name"));
		if (json_object_get(control, "value") != NULL) {
			append(line, "%lld ", number_of(control, "value"));
		}
		append(line, "(%lld..%lld)", number_of(control, "min"), number_of(control, "max"));
	}
	if (line[0] != '\0') {
		fprintf(out, "      controls: %s\n", line);
	}
}

static void print_memory_kinds(FILE *out, const json_t *node)
{
	static const struct {
		const char *key, *name;
	} queues[] = { { "memory_in", "in" }, { "memory_out", "out" } };
	char line[LINE_TEXT_MAX] = "";
	for (size_t i = 0; i < 2; i++) {
		const json_t *kinds = json_object_get(node, queues[i].key);
		if (kinds != NULL) {
			append(line, "%s%s ", line[0] != '\0' ? "; " : "", queues[i].name);
			append_list(line, kinds);
		}
	}
	if (line[0] != '\0') {
		fprintf(out, "      memory: %s\n", line);
	}
}

static void print_video(FILE *out, const json_t *video)
{
	fprintf(out, "\nVideo nodes (* a format that petcam does not know)\n");
	if (json_array_size(video) == 0) {
		fprintf(out, "  none\n");
	}
	size_t i;
	json_t *node;
	json_array_foreach(video, i, node)
	{
		const char *error = json_string_value(json_object_get(node, "error"));
		const char *holder = json_string_value(json_object_get(node, "holder"));
		if (error != NULL) {
			fprintf(out, "  %s: %s%s%s\n", text_of(node, "path"), error,
				holder != NULL ? "; it is " : "", holder != NULL ? holder : "");
			continue;
		}
		fprintf(out, "  %s  %s: %s, %s (%s)%s", text_of(node, "path"),
			text_of(node, "role"), text_of(node, "driver"), text_of(node, "card"),
			text_of(node, "bus"),
			is_set(node, "libcamerify") ? ", by libcamerify" : "");
		if (is_set(node, "busy")) {
			fprintf(out, ", in use by %s", holder != NULL ? holder : "another program");
		}
		fputc('\n', out);
		const json_t *now = json_object_get(node, "now");
		if (now != NULL) {
			fprintf(out, "      set to %s %lldx%lld\n", text_of(now, "fourcc"),
				number_of(now, "width"), number_of(now, "height"));
		}
		print_formats(out, "takes", json_object_get(node, "in"));
		print_formats(out, "gives", json_object_get(node, "out"));
		print_memory_kinds(out, node);
		print_controls(out, json_object_get(node, "controls"));
	}
}

static void print_memory(FILE *out, const json_t *report)
{
	const json_t *heaps = json_object_get(report, "heaps"),
		     *drm = json_object_get(report, "drm");
	fprintf(out, "\nMemory for pictures, and the GPU\n");
	if (json_array_size(heaps) == 0) {
		fprintf(out, "  no dma-heaps\n");
	}
	size_t i;
	json_t *entry;
	json_array_foreach(heaps, i, entry)
	{
		const char *error = text_of(entry, "error");
		fprintf(out, "  %s: %s%s\n", text_of(entry, "path"),
			is_set(entry, "gives") ? "gives memory" : error,
			is_set(entry, "known_contiguous") ? ", by its name contiguous" : "");
	}
	if (json_array_size(drm) == 0) {
		fprintf(out, "  no DRM nodes\n");
	}
	json_array_foreach(drm, i, entry)
	{
		if (json_object_get(entry, "error") != NULL) {
			fprintf(out, "  %s: %s\n", text_of(entry, "path"), text_of(entry, "error"));
			continue;
		}
		fprintf(out, "  %s: %s%s%s%s", text_of(entry, "path"), text_of(entry, "driver"),
			is_set(entry, "dumb_buffers") ? ", dumb buffers" : "",
			is_set(entry, "prime_import") ? ", imports" : "",
			is_set(entry, "prime_export") ? ", exports" : "");
		if (is_set(entry, "gives")) {
			fprintf(out, "; gives memory\n");
		} else {
			fprintf(out, "; gives no memory: %s\n", text_of(entry, "why_not"));
		}
	}
	const json_t *gpu = json_object_get(report, "gpu");
	if (json_object_get(gpu, "renderer") != NULL) {
		fprintf(out, "  GPU: %s\n", text_of(gpu, "renderer"));
	} else if (gpu != NULL) {
		fprintf(out, "  no GPU: %s\n", text_of(gpu, "error"));
	}
}

static void print_imports(FILE *out, const json_t *imports)
{
	fprintf(out, "\nWho takes whose memory (each was tried)\n");
	if (json_array_size(imports) == 0) {
		fprintf(out, "  nothing to try: no encoder, scaler or camera, or no memory\n");
	}
	const char *device = "";
	size_t i;
	json_t *import;
	json_array_foreach(imports, i, import)
	{
		if (strcmp(device, text_of(import, "device")) != 0) {
			device = text_of(import, "device");
			fprintf(out, "  %s %s\n", text_of(import, "role"), device);
		}
		const bool ok = is_set(import, "ok");
		const char *why = json_object_get(import, "why") != NULL ? text_of(import, "why")
									 : text_of(import, "error");
		fprintf(out, "      %-3s  %s, %s%s%s%s%s\n", ok ? "yes" : "no",
			text_of(import, "kind"), text_of(import, "memory"),
			json_object_get(import, "format") != NULL ? ", " : "",
			text_of(import, "format"), ok ? "" : ": ", ok ? "" : why);
	}
}

static void print_choice(FILE *out, const char *name, const json_t *choice)
{
	fprintf(out, "  %s: %s\n", name,
		json_object_get(choice, "text") != NULL ? text_of(choice, "text")
							: text_of(choice, "error"));
}

static void print_choices(FILE *out, const json_t *choices)
{
	fprintf(out, "\nWhat petcam would choose\n");
	size_t i;
	json_t *camera;
	json_array_foreach(json_object_get(choices, "cameras"), i, camera)
	{
		print_choice(out, "camera", camera);
	}
	if (json_array_size(json_object_get(choices, "cameras")) == 0) {
		fprintf(out, "  camera: none is here\n");
	}
	print_choice(out, "encoder", json_object_get(choices, "encoder"));
	print_choice(out, "scaler", json_object_get(choices, "scaler"));
	print_choice(out, "memory", json_object_get(choices, "memory"));
}

int pc_probe_print(FILE *out, const json_t *report)
{
	print_machine(out, report);
	print_files(out, json_object_get(report, "files"));
	print_video(out, json_object_get(report, "video"));
	print_memory(out, report);
	print_imports(out, json_object_get(report, "imports"));
	print_choices(out, json_object_get(report, "choices"));
	const json_t *advice = json_object_get(report, "advice");
	if (json_array_size(advice) > 0) {
		fprintf(out, "\nWhat can be done\n");
	}
	size_t i;
	json_t *sentence;
	json_array_foreach(advice, i, sentence)
	{
		fprintf(out, "  - %s\n", json_string_value(sentence));
	}
	return fflush(out) < 0 || ferror(out) ? -EIO : 0;
}
