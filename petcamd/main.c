/* petcamd/main.c - the daemon: settings in, everything wired, signals out.
 *
 * Order of starting: settings, storage, cameras (their windows), http, seeing, media
 * threads. Ending is the same backwards, so that nobody calls into what is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libavutil/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define PC_LOG_MODULE "petcamd"
#include "config/settings.h"
#include "core/clock.h"
#include "core/health.h"
#include "core/log.h"
#include "core/loop.h"
#include "http/server.h"
#include "petcamd/alerts.h"
#include "petcamd/camera_alerts.h"
#include "petcamd/pipeline.h"
#include "petcamd/ready_file.h"
#include "petcamd/seeing.h"
#include "storage/recorder.h"
#include "storage/storage.h"

#define OVERRIDES_MAX 64

enum exit_status {
	EXIT_BAD_SETTINGS = 2, /* --check found faults; wrong command line */
	EXIT_NO_STORAGE = 3,
	EXIT_NO_HTTP = 4,
};

struct options {
	const char *config; /* NULL: none */
	const char *ready_file; /* NULL: none */
	bool check;
	size_t n_overrides;
	const char *overrides[OVERRIDES_MAX];
};

struct camera {
	struct pc_pipeline *pipeline;
	struct pc_recorder *recorder;
};

struct daemon {
	struct options options;
	struct pc_settings settings;
	struct pc_settings_errors errors;
	bool safe_mode;
	struct pc_health *health;
	struct pc_loop *loop;
	struct pc_loop_source *signals[2];
	struct pc_storage *storage; /* NULL in safe mode */
	struct pc_http_server *http;
	struct pc_seeing *seeing;
	struct pc_alerts *alerts;
	struct pc_camera_alerts *camera_alerts;
	unsigned n_cameras;
	struct camera cameras[PC_SETTINGS_CAMERAS_MAX];
};

static const char usage[] =
	"petcamd - the pet camera's daemon\n"
	"\n"
	"  --config FILE       settings (default: $PETCAM_CONFIG, else /etc/petcam/petcam.cfg if it\n"
	"                      is there, else the defaults)\n"
	"  --set PATH=VALUE    one setting over the file's, e.g. --set http.port=0; may be repeated\n"
	"  --check             check the settings, say what is wrong, and end\n"
	"  --ready-file FILE   when serving, write {\"url\", \"pid\", \"setup_code\"} there\n"
	"  --settings          list every setting with its default and meaning, and end\n"
	"  --version           print the version and end\n"
	"  --help              this\n";

static void list_settings(void)
{
	for (unsigned i = 0;; i++) {
		const struct pc_setting_info *info = pc_settings_describe(i);
		if (info == NULL) {
			return;
		}
		printf("%s = %s  (%s%s%s)\n    %s\n", info->path, info->default_text, info->type,
			info->range_text[0] == '\0' ? "" : ": ", info->range_text, info->sentence);
	}
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum {
		OPT_CONFIG = 1,
		OPT_SET,
		OPT_CHECK,
		OPT_READY_FILE,
		OPT_SETTINGS,
		OPT_VERSION,
		OPT_HELP,
	};
	static const struct option known[] = {
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "set", required_argument, NULL, OPT_SET },
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "ready-file", required_argument, NULL, OPT_READY_FILE },
		{ "settings", no_argument, NULL, OPT_SETTINGS },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	for (;;) {
		switch (getopt_long(argc, argv, "", known, NULL)) {
		case -1:
			if (optind < argc) {
				fprintf(stderr, "petcamd: \"%s\" is not understood: see --help\n",
					argv[optind]);
				return EXIT_BAD_SETTINGS;
			}
			return -1;
		case OPT_CONFIG:
			options->config = optarg;
			break;
		case OPT_SET:
			if (options->n_overrides == OVERRIDES_MAX) {
				fprintf(stderr, "petcamd: more than %d --set\n", OVERRIDES_MAX);
				return EXIT_BAD_SETTINGS;
			}
			options->overrides[options->n_overrides++] = optarg;
			break;
		case OPT_CHECK:
			options->check = true;
			break;
		case OPT_READY_FILE:
			options->ready_file = optarg;
			break;
		case OPT_SETTINGS:
			list_settings();
			return EXIT_SUCCESS;
		case OPT_VERSION:
			printf("petcam %s\n", PETCAM_VERSION);
			return EXIT_SUCCESS;
		case OPT_HELP:
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs("See petcamd --help\n", stderr);
			return EXIT_BAD_SETTINGS;
		}
	}
}

static const char *choose_config(const struct options *options)
{
	static const char installed[] = "/etc/petcam/petcam.cfg";
	if (options->config != NULL) {
		return options->config;
	}
	const char *from_environment = getenv("PETCAM_CONFIG");
	if (from_environment != NULL && from_environment[0] != '\0') {
		return from_environment;
	}
	return access(installed, F_OK) == 0 ? installed : NULL;
}

static void log_lines(const char *text)
{
	while (*text != '\0') {
		const size_t n = strcspn(text, "\n");
		pc_error("%.*s", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

/* Each viewer, each camera buffer and each database connection is a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void on_signal(void *data, int signo)
{
	struct daemon *d = data;
	pc_info("ending on %s", signo == SIGINT ? "SIGINT" : "SIGTERM");
	pc_loop_quit(d->loop);
}

static int create_loop(struct daemon *d)
{
	static const int signals[] = { SIGINT, SIGTERM };
	int r = pc_loop_create(&d->loop);
	for (unsigned i = 0; r == 0 && i < 2; i++) {
		r = pc_loop_add_signal(d->loop, signals[i], on_signal, d, &d->signals[i]);
	}
	return r;
}

static int open_storage(struct daemon *d)
{
	const struct pc_storage_config config = {
		.root = d->settings.storage.root,
		.health = d->health,
		.max_usage = d->settings.storage.max_usage,
		.max_age_days = d->settings.storage.max_age_days,
	};
	char why[512] = "";
	const int r = pc_storage_open(&config, why, sizeof(why), &d->storage);
	if (r < 0) {
		pc_error("storage %s: %s", d->settings.storage.root,
			why[0] != '\0' ? why : pc_strerror(r));
	}
	return r;
}

static int create_cameras(struct daemon *d)
{
	for (unsigned i = 0; i < d->settings.n_cameras; i++) {
		struct camera *camera = &d->cameras[i];
		const struct pc_pipeline_config config = {
			.settings = &d->settings,
			.camera = &d->settings.cameras[i],
			.health = d->health,
		};
		int r = pc_pipeline_create(&config, &camera->pipeline);
		if (r < 0) {
			return r;
		}
		d->n_cameras = i + 1;
		const struct pc_recorder_config recorder = {
			.camera = d->settings.cameras[i].id,
			.window = pc_pipeline_window(camera->pipeline),
			.stats = pc_pipeline_stats(camera->pipeline),
			.pre_roll_s = d->settings.storage.pre_roll_s,
			.post_roll_s = d->settings.storage.post_roll_s,
			.max_clip_s = d->settings.storage.max_clip_s,
		};
		r = pc_recorder_create(d->storage, &recorder, &camera->recorder);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int create_http(struct daemon *d)
{
	const struct pc_http_config config = {
		.settings = &d->settings,
		.storage = d->storage,
		.health = d->health,
		.version = PETCAM_VERSION,
		.safe_mode_text = d->safe_mode ? d->errors.text : NULL,
	};
	char why[512] = "";
	int r = pc_http_server_create(&config, why, sizeof(why), &d->http);
	if (r < 0) {
		pc_error("http: %s", why[0] != '\0' ? why : pc_strerror(r));
		return r;
	}
	for (unsigned i = 0; i < d->n_cameras; i++) {
		const struct pc_camera_settings *settings = &d->settings.cameras[i];
		const struct pc_http_camera camera = {
			.id = settings->id,
			.name = settings->name,
			.source_text = settings->source,
			.window = pc_pipeline_window(d->cameras[i].pipeline),
			.stats = pc_pipeline_stats(d->cameras[i].pipeline),
			.fps = settings->fps,
		};
		r = pc_http_server_add_camera(d->http, &camera);
		if (r < 0) {
			pc_error("http: camera %s: %s", settings->id, pc_strerror(r));
			return r;
		}
	}
	return 0;
}

static void get_trouble(void *data, struct pc_pipeline_trouble *ret_trouble)
{
	pc_pipeline_get_trouble(data, ret_trouble);
}

static int start_cameras(struct daemon *d)
{
	int r = pc_seeing_create(&d->settings, d->storage, d->health, &d->seeing);
	if (r == 0) {
		r = pc_camera_alerts_create(d->loop, d->storage, &d->camera_alerts);
	}
	if (r < 0) {
		return r;
	}
	for (unsigned i = 0; i < d->n_cameras; i++) {
		struct camera *camera = &d->cameras[i];
		struct pc_seeing_camera *seeing = NULL;
		r = pc_seeing_add_camera(d->seeing, &d->settings.cameras[i], camera->recorder,
			pc_pipeline_stats(camera->pipeline), &seeing);
		if (r < 0) {
			return r;
		}
		pc_pipeline_set_seeing(camera->pipeline, seeing);
		r = pc_camera_alerts_add(
			d->camera_alerts, d->settings.cameras[i].id, get_trouble, camera->pipeline);
		if (r < 0) {
			return r;
		}
		r = pc_pipeline_start(camera->pipeline);
		if (r < 0) {
			return r;
		}
	}
	return pc_alerts_create(d->loop, &d->settings, d->storage, &d->alerts);
}

static void announce(struct daemon *d)
{
	const char *url = pc_http_server_url(d->http);
	const char *code = pc_http_server_setup_code(d->http);
	pc_info("petcam %s serves %s", PETCAM_VERSION, url);
	if (code != NULL) {
		pc_info("first run: open that address and enter the code %s", code);
	}
	if (d->options.ready_file != NULL) {
		const int r = pc_ready_file_write(d->options.ready_file, url, code);
		if (r < 0) {
			pc_error("ready file %s: %s, ignoring", d->options.ready_file,
				pc_strerror(r));
		}
	}
#if HAVE_SYSTEMD
	sd_notifyf(0, "READY=1\nSTATUS=serving %s", url);
#endif
}

/* Brings everything up; the exit status, or -1 when it serves. */
static int start(struct daemon *d)
{
	if (pc_health_create(&d->health) < 0 || create_loop(d) < 0) {
		pc_error("no memory or descriptors to start with");
		return EXIT_FAILURE;
	}
	if (d->safe_mode) {
		pc_health_set(d->health, "settings", PC_HEALTH_FAILED,
			"safe mode: the settings have %u faults; see the dashboard or the log",
			d->errors.count);
		return create_http(d) < 0 ? EXIT_NO_HTTP : -1;
	}
	if (open_storage(d) < 0) {
		return EXIT_NO_STORAGE;
	}
	int r = create_cameras(d);
	if (r < 0) {
		pc_error("cameras: %s", pc_strerror(r));
		return EXIT_FAILURE;
	}
	if (create_http(d) < 0) {
		return EXIT_NO_HTTP;
	}
	r = start_cameras(d);
	if (r < 0) {
		pc_error("cameras: %s", pc_strerror(r));
		return EXIT_FAILURE;
	}
	return -1;
}

static void stop(struct daemon *d)
{
	pc_alerts_destroy(d->alerts);
	pc_camera_alerts_destroy(d->camera_alerts);
	for (unsigned i = 0; i < d->n_cameras; i++) {
		pc_pipeline_stop(d->cameras[i].pipeline);
	}
	pc_seeing_destroy(d->seeing);
	pc_http_server_destroy(d->http);
	for (unsigned i = 0; i < d->n_cameras; i++) {
		pc_recorder_destroy(d->cameras[i].recorder);
		pc_pipeline_destroy(d->cameras[i].pipeline);
	}
	pc_storage_close(d->storage);
	for (unsigned i = 0; i < 2; i++) {
		pc_loop_remove(d->signals[i]);
	}
	pc_loop_destroy(d->loop);
	pc_health_destroy(d->health);
}

int main(int argc, char **argv)
{
	static struct daemon d; /* the settings alone are large */
	int status = parse_options(argc, argv, &d.options);
	if (status >= 0) {
		return status;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	/* Demuxers and swscale write raw lines to stderr; what matters comes back as an error. */
	av_log_set_level(AV_LOG_QUIET);

	const int r = pc_settings_load(choose_config(&d.options), d.options.overrides,
		d.options.n_overrides, &d.settings, &d.errors);
	if (d.options.check) {
		fputs(d.errors.text, stderr);
		puts(r == 0 ? "The settings are valid." : "The settings have faults.");
		return r == 0 ? EXIT_SUCCESS : EXIT_BAD_SETTINGS;
	}
	if (d.options.ready_file != NULL) { /* of a petcam that was killed: it serves no more */
		(void)unlink(d.options.ready_file);
	}
	d.safe_mode = r < 0;
	log_lines(d.errors.text);
	enum pc_log_level level = PC_LOG_INFO;
	if (pc_log_level_parse(d.settings.log.level, &level) == 0) {
		pc_log_set_level(level);
	}

	status = start(&d);
	if (status < 0) {
		announce(&d);
		status = pc_loop_run(d.loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
#if HAVE_SYSTEMD
		sd_notify(0, "STOPPING=1");
#endif
	}
	stop(&d);
	if (d.options.ready_file != NULL && status == EXIT_SUCCESS) {
		(void)unlink(d.options.ready_file);
	}
	return status;
}
