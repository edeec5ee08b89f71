/* petcamd/probe_machine.c - kernel, distribution, processor, memory, user, device files. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/log.h"
#include "petcamd/probe_internal.h"

#define FILE_MAX_BYTES (64u << 10)
#define GROUPS_MAX 64
#define FILES_MAX 64

json_t *pc_probe_text(const char *text)
{
	char clean[PC_PROBE_TEXT_MAX];
	size_t n = 0;
	for (; text[n] != '\0' && n + 1 < sizeof(clean); n++) {
		clean[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	}
	clean[n] = '\0';
	return json_string(clean);
}

json_t *pc_probe_textf(const char *format, ...)
{
	char text[PC_PROBE_TEXT_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return pc_probe_text(text);
}

void pc_probe_fourcc(uint32_t fourcc, char out[static 5])
{
	for (unsigned i = 0; i < 4; i++) {
		const unsigned char byte = (unsigned char)(fourcc >> (8 * i));
		out[i] = (char)(byte >= 0x20 && byte < 0x7f ? byte : '?');
	}
	out[4] = '\0';
	for (unsigned i = 4; i > 1 && out[i - 1] == ' '; i--) {
		out[i - 1] = '\0'; /* "Y16 " */
	}
}

/* "video2" before "video10"; "linux,cma" before "system". */
static int compare_names(const void *a, const void *b)
{
	return strverscmp(
		((const struct pc_probe_name *)a)->text, ((const struct pc_probe_name *)b)->text);
}

unsigned pc_probe_list(
	const char *folder, const char *prefix, struct pc_probe_name *names, unsigned max)
{
	DIR *dir = opendir(folder);
	if (dir == NULL) {
		return 0;
	}
	unsigned n = 0;
	const struct dirent *entry;
	while (n < max && (entry = readdir(dir)) != NULL) {
		const size_t length = strlen(entry->d_name);
		if (entry->d_name[0] != '.' && length < sizeof(names[n].text) &&
			strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
			memcpy(names[n++].text, entry->d_name, length + 1);
		}
	}
	closedir(dir);
	qsort(names, n, sizeof(names[0]), compare_names);
	return n;
}

json_t *pc_probe_open_error(const char *path, int err)
{
	struct stat status;
	if ((err == -EACCES || err == -EPERM) && stat(path, &status) == 0) {
		const struct group *group = getgrgid(status.st_gid);
		const char *name = group == NULL ? "the group that owns it" : group->gr_name;
		if ((status.st_mode & S_IRWXG) != 0 && status.st_gid != 0) {
			return pc_probe_textf(
				"no permission: add the user to group %s (usermod -aG "
				"%s USER; it holds from the next login on)",
				name, name);
		}
		return pc_probe_textf("no permission: it is for its owner alone (mode %04o)",
			status.st_mode & 07777u);
	}
	switch (err) {
	case -EBUSY:
		return pc_probe_text("in use by another program, which has it for itself alone");
	case -ENODEV:
	case -ENXIO:
		return pc_probe_text("there is no such device behind this node");
	default:
		return pc_probe_textf("cannot be opened: %s", pc_strerror(err));
	}
}

/* The beginning of a (small) file, as a string; NULL where there is none. */
static char *read_file(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		return NULL;
	}
	char *text = malloc(FILE_MAX_BYTES);
	size_t used = 0;
	while (text != NULL && used + 1 < FILE_MAX_BYTES) {
		const ssize_t n = read(fd, text + used, FILE_MAX_BYTES - 1 - used);
		if (n <= 0) {
			break;
		}
		used += (size_t)n;
	}
	close(fd);
	if (text != NULL) {
		text[used] = '\0';
	}
	return text;
}

/* What stands behind `key` and `separator` in the first such line of `text`, without quotes. */
static bool find_value(const char *text, const char *key, char separator, char *out, size_t size)
{
	const size_t length = strlen(key);
	for (const char *line = text; line != NULL && *line != '\0';
		line = strchr(line, '\n'), line = line == NULL ? NULL : line + 1) {
		if (strncmp(line, key, length) != 0) {
			continue;
		}
		const char *at = line + length;
		at += strspn(at, " \t");
		if (*at != separator) {
			continue;
		}
		at += 1 + strspn(at + 1, " \t\"");
		snprintf(out, size, "%.*s", (int)strcspn(at, "\n\""), at);
		return true;
	}
	return false;
}

static void set_from_file(
	json_t *object, const char *name, const char *path, const char *key, char separator)
{
	char value[128];
	char *text = read_file(path);
	if (text != NULL && key == NULL) {
		text[strcspn(text, "\n")] = '\0';
		json_object_set_new(object, name, pc_probe_text(text));
	} else if (text != NULL && find_value(text, key, separator, value, sizeof(value)) &&
		   json_object_get(object, name) == NULL) {
		json_object_set_new(object, name, pc_probe_text(value));
	}
	free(text);
}

/* /proc/meminfo counts in kB. */
static void set_memory(json_t *object, const char *name, const char *key)
{
	char value[64];
	char *text = read_file("/proc/meminfo");
	if (text != NULL && find_value(text, key, ':', value, sizeof(value))) {
		char *end;
		errno = 0;
		const long long kib = strtoll(value, &end, 10);
		if (errno == 0 && end != value) {
			json_object_set_new(object, name, json_integer(kib / 1024));
		}
	}
	free(text);
}

static json_t *user_groups(void)
{
	gid_t ids[GROUPS_MAX];
	json_t *groups = json_array();
	const int n = getgroups(GROUPS_MAX, ids);
	bool own = false;
	for (int i = 0; i <= n; i++) {
		if (i == n && own) {
			break;
		}
		const gid_t id = i == n ? getegid() : ids[i];
		own = own || id == getegid();
		const struct group *group = getgrgid(id);
		json_array_append_new(groups,
			group != NULL ? pc_probe_text(group->gr_name) : pc_probe_textf("%u", id));
	}
	return groups;
}

json_t *pc_probe_machine(void)
{
	json_t *machine = json_object();
	struct utsname names;
	if (uname(&names) == 0) {
		json_object_set_new(machine, "kernel",
			pc_probe_textf("%s %s %s", names.sysname, names.release, names.version));
		json_object_set_new(machine, "architecture", pc_probe_text(names.machine));
	}
	set_from_file(machine, "distribution", "/etc/os-release", "PRETTY_NAME", '=');
	set_from_file(machine, "model", "/proc/device-tree/model", NULL, 0);
	set_from_file(machine, "cpu", "/proc/cpuinfo", "model name", ':');
	set_from_file(machine, "cpu", "/proc/cpuinfo", "Model", ':');
	json_object_set_new(machine, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	set_memory(machine, "memory_mib", "MemTotal");
	set_memory(machine, "memory_free_mib", "MemAvailable");
	set_memory(machine, "cma_mib", "CmaTotal");
	set_memory(machine, "cma_free_mib", "CmaFree");
	const struct passwd *user = getpwuid(geteuid());
	json_object_set_new(machine, "user",
		user != NULL ? pc_probe_text(user->pw_name) : pc_probe_textf("%u", geteuid()));
	json_object_set_new(machine, "groups", user_groups());
	const char *preload = getenv("LD_PRELOAD");
	json_object_set_new(machine, "libcamerify",
		json_boolean(preload != NULL && strstr(preload, "v4l2-compat") != NULL));
	return machine;
}

static void add_file(json_t *files, const char *folder, const char *name)
{
	char path[128];
	struct stat status;
	snprintf(path, sizeof(path), "%s/%.63s", folder, name);
	if (stat(path, &status) < 0 || S_ISDIR(status.st_mode)) {
		return;
	}
	json_t *file = json_pack("{s:o, s:o}", "path", pc_probe_text(path), "mode",
		pc_probe_textf("%04o", status.st_mode & 07777u));
	const struct passwd *owner = getpwuid(status.st_uid);
	const struct group *group = getgrgid(status.st_gid);
	json_object_set_new(file, "owner",
		owner != NULL ? pc_probe_text(owner->pw_name)
			      : pc_probe_textf("%u", status.st_uid));
	json_object_set_new(file, "group",
		group != NULL ? pc_probe_text(group->gr_name)
			      : pc_probe_textf("%u", status.st_gid));
	/* Heaps are opened for reading, all else for both. */
	const int mode = strstr(folder, "dma_heap") != NULL ? R_OK : R_OK | W_OK;
	json_object_set_new(
		file, "access", json_boolean(faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0));
	json_array_append_new(files, file);
}

json_t *pc_probe_files(void)
{
	static const struct {
		const char *folder, *prefix;
	} places[] = {
		{ "/dev", "video" },
		{ "/dev", "media" },
		{ "/dev/dma_heap", "" },
		{ "/dev/dri", "" },
		{ "/dev", "vchiq" },
	};
	json_t *files = json_array();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct pc_probe_name names[FILES_MAX];
		const unsigned n =
			pc_probe_list(places[i].folder, places[i].prefix, names, FILES_MAX);
		for (unsigned k = 0; k < n; k++) {
			add_file(files, places[i].folder, names[k].text);
		}
	}
	return files;
}
