/* tests/fuzz/replay.c - feeds kept inputs to a fuzz target, where there is no libFuzzer.
 *
 * Arguments are files, or folders of them. An input that fails ends the program; its name is the
 * last line printed.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static unsigned n_inputs;

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rbe");
	struct stat st;
	if (file == NULL || fstat(fileno(file), &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	const size_t size = (size_t)st.st_size;
	uint8_t *data = fuzz_copy(NULL, 0);
	if (size > 0) {
		free(data);
		data = malloc(size);
		fuzz_assert(data != NULL && fread(data, 1, size, file) == size);
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	n_inputs++;
	return 0;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_folder(const char *path)
{
	struct dirent **entries;
	const int n = scandir(path, &entries, not_hidden, alphasort);
	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	int status = 0;
	for (int i = 0; i < n; i++) {
		char file[4096];
		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		status |= replay_file(file);
		free(entries[i]);
	}
	free(entries);
	return status;
}

int main(int argc, char **argv)
{
	int status = 0;
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		const int folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
		status |= folder ? replay_folder(argv[i]) : replay_file(argv[i]);
	}
	printf("%u inputs\n", n_inputs);
	return status != 0 || n_inputs == 0;
}
