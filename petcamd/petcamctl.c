/* petcamd/petcamctl.c - what an owner does from a shell: one verb a call.
 *
 * Exit status: 0 done; 1 it failed (one line on stderr says why); 2 the command line is wrong.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "core/log.h"
#include "petcamd/probe.h"

#define DEFAULT_CONFIG "/etc/petcam/petcam.cfg"

enum exit_status {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

struct verb {
	const char *name;
	const char *summary; /* one line */
	const char *usage; /* its own --help */
	int (*run)(int argc, char **argv); /* argv[0] is the verb; the exit status */
};

static int run_probe(int argc, char **argv);

static const struct verb verbs[] = {
	{
		.name = "probe",
		.summary =
			"what this machine's cameras, encoders and memory can do, for bug reports",
		.usage = "petcamctl probe [--json] [--config FILE]\n"
			 "\n"
			 "Asks every video node, dma-heap and DRM node what it can do, tries who "
			 "takes\n"
			 "whose memory, and says what petcam would choose. Starts nothing on a "
			 "camera and\n"
			 "leaves one that is in use alone. Root sees most.\n"
			 "\n"
			 "  --json          one JSON object instead of plain words\n"
			 "  --config FILE   petcam's settings (default: $PETCAM_CONFIG, else "
			 "/etc/petcam/petcam.cfg\n"
			 "                  if it is there, else the defaults)\n",
		.run = run_probe,
	},
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++) {
		if (strcmp(verbs[i].name, name) == 0) {
			return &verbs[i];
		}
	}
	return NULL;
}

static void print_usage(FILE *out)
{
	fputs("petcamctl - petcam from a shell\n\n", out);
	for (size_t i = 0; i < N_VERBS; i++) {
		fprintf(out, "  petcamctl %-10s %s\n", verbs[i].name, verbs[i].summary);
	}
	fputs("\n  petcamctl VERB --help     what a verb takes\n"
	      "  petcamctl --version       print the version\n",
		out);
}

static int load_settings(const char *file, struct pc_settings *settings)
{
	if (file == NULL) {
		file = getenv("PETCAM_CONFIG");
	}
	if (file == NULL && access(DEFAULT_CONFIG, R_OK) == 0) {
		file = DEFAULT_CONFIG;
	}
	struct pc_settings_errors errors = { 0 };
	const int r = pc_settings_load(file, NULL, 0, settings, &errors);
	if (r < 0) {
		fputs(errors.text, stderr);
	}
	return r;
}

static int run_probe(int argc, char **argv)
{
	static const struct option known[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	const char *config = NULL;
	for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'c':
			config = optarg;
			break;
		case 'h':
			fputs(find_verb("probe")->usage, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE; /* getopt has said it */
		}
	}
	if (optind < argc) {
		fprintf(stderr, "petcamctl probe: \"%s\" is not understood: see --help\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	struct pc_settings *settings = calloc(1, sizeof(*settings));
	int r = settings == NULL ? -ENOMEM : load_settings(config, settings);
	if (r == -EINVAL) {
		fputs("petcamctl probe: some settings are wrong, going on with the others\n",
			stderr);
		r = 0;
	}
	if (r == 0) {
		r = pc_probe(stdout, json, PETCAM_VERSION, settings);
	}
	if (r < 0) {
		fprintf(stderr, "petcamctl probe: %s\n", pc_strerror(r));
	}
	free(settings);
	return r < 0 ? EXIT_FAILED : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("petcam %s\n", PETCAM_VERSION);
		return EXIT_SUCCESS;
	}
	const struct verb *verb = find_verb(argv[1]);
	if (verb == NULL) {
		fprintf(stderr, "petcamctl: there is no verb \"%s\": see --help\n", argv[1]);
		return EXIT_USAGE;
	}
	pc_log_set_level(PC_LOG_WARN);
	return verb->run(argc - 1, argv + 1);
}
