/* tests/unit/config/test_settings.c - defaults, files, overrides, and every kind of fault. */
#include "config/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fault.h"
#include "tests/support/test.h"

static char folder[] = "/tmp/petcam-settings-XXXXXX";
static char path[64];
static struct pc_settings settings;
static struct pc_settings_errors errors;

static int load(const char *text, const char *const *overrides, size_t n)
{
	FILE *file = fopen(path, "we");
	test_assert(file != NULL);
	fputs(text, file);
	fclose(file);
	return pc_settings_load(path, overrides, n, &settings, &errors);
}

/* The text is refused, and the message names line and setting. */
static void refused(const char *text, const char *message)
{
	test_int(load(text, NULL, 0), -EINVAL);
	if (strstr(errors.text, message) == NULL) {
		test_fail("\"%s\" does not say \"%s\"", errors.text, message);
	}
}

static void test_defaults(void)
{
	test_int(pc_settings_load(NULL, NULL, 0, &settings, &errors), 0);
	test_str(settings.storage.root, "/var/lib/petcam");
	test_assert(settings.storage.max_usage == 0.80);
	test_int(settings.http.port, 8443);
	test_int(settings.n_cameras, 1);
	test_str(settings.cameras[0].id, "cam0");
	test_str(settings.cameras[0].source, "auto");
	test_int(settings.cameras[0].bitrate_kbps, 2000);
	test_int(settings.cameras[0].loop, true);
	test_int(errors.count, 0);
	test_str(settings.cameras[7].format, "auto");
	test_str(settings.cameras[0].memory, "auto");
	test_str(settings.encoder.device, "");
	test_str(settings.encoder.scaler, "auto");
	test_str(settings.encoder.scaler_device, "");
	/* Every setting that is described has a sentence, and its default is within its range. */
	unsigned n = 0;
	while (pc_settings_describe(n) != NULL) {
		test_assert(strlen(pc_settings_describe(n)->sentence) > 10);
		n++;
	}
	test_assert(n > 30);
}

static void test_file(void)
{
	test_int(load("storage: { root = \"/data\"; max_usage = 0.5; };\n"
		      "http: { port = 0; };\n"
		      "cameras = ( { id = \"front\"; source = \"demo:seed=3\"; fps = 24;\n"
		      "  zones = ( { name = \"bowl\"; kind = \"bowl\";\n"
		      "    points = [0.1, 0.1, 0.2, 0.1, 0.2, 0.25]; } ); },\n"
		      "  { source = \"file:/x.mp4\"; loop = false; } );\n",
			 NULL, 0),
		0);
	test_str(settings.storage.root, "/data");
	test_int(settings.http.port, 0);
	test_int(settings.n_cameras, 2);
	test_str(settings.cameras[0].id, "front");
	test_assert(settings.cameras[0].fps == 24.0);
	test_int(settings.cameras[0].n_zones, 1);
	test_int(settings.cameras[0].zones[0].kind, PC_ZONE_BOWL);
	test_int(settings.cameras[0].zones[0].n_points, 3);
	test_assert(settings.cameras[0].zones[0].points[2].y == 0.25f);
	test_str(settings.cameras[1].id, "cam1");
	test_int(settings.cameras[1].loop, false);
}

static void test_overrides(void)
{
	const char *const given[] = {
		"cameras.[0].source=\"file:../a b.mp4\"",
		"storage.root=/srv/petcam",
		"http.port=0",
		"http.plain_loopback=true",
		"http.address=127.0.0.1",
		"cameras.[1].source=demo",
		"cameras.[0].zones=({ points=[0,0,1,0,1,1]; })",
		"cameras.[0].format=YUYV",
		"cameras.[0].memory=import",
		"encoder.device=/dev/video11",
		"encoder.scaler=gles",
		"encoder.scaler_device=/dev/video12",
	};
	test_int(load("cameras = ( { source = \"demo\"; fps = 15; } );\nhttp: { port = 1; };\n",
			 given, sizeof(given) / sizeof(given[0])),
		0);
	test_str(settings.cameras[0].source, "file:../a b.mp4");
	test_assert(settings.cameras[0].fps == 15.0); /* what the file says stays */
	test_str(settings.storage.root, "/srv/petcam");
	test_int(settings.http.port, 0);
	test_int(settings.http.plain_loopback, true);
	test_int(settings.n_cameras, 2);
	test_int(settings.cameras[0].n_zones, 1);
	test_str(settings.cameras[0].zones[0].name, "custom1");
	test_str(settings.cameras[0].format, "YUYV");
	test_str(settings.cameras[0].memory, "import");
	test_str(settings.encoder.device, "/dev/video11");
	test_str(settings.encoder.scaler, "gles");
	test_str(settings.encoder.scaler_device, "/dev/video12");
}

static void test_override_faults(void)
{
	const char *const wrong[] = { "storage.nothing=1", "http.port=70000", "nonsense", "=3",
		"cameras.[99].fps=1", "cameras.[0]=3", "http=4", "http.port.x=4" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (load("", &wrong[i], 1) != -EINVAL) {
			test_fail("--set %s was taken", wrong[i]);
		}
		test_assert(strstr(errors.text, "--set") != NULL);
	}
	load("", &wrong[1], 1);
	test_assert(strstr(errors.text, "--set: http.port: 70000 is not within 0..65535") != NULL);
	test_int(settings.http.port, 8443); /* the default stands */
}

static void test_faults(void)
{
	refused("\n\nstorage: { max_usages = 0.5; };\n",
		"settings.cfg:3: storage.max_usages: no such setting");
	refused("storage: {\n max_usage = 1.5; };\n",
		"settings.cfg:2: storage.max_usage: 1.5 is not within 0.05..0.99");
	refused("http: { port = \"a\"; };\n", ":1: http.port: must be a number");
	refused("http: { port = 1.5; };\n", "1.5 is not a whole number");
	refused("http: { port = -1; };\n", "-1 is not within");
	refused("http = 5;\n", ":1: http: must be a group");
	refused("frobnicate = 1;\n", ":1: frobnicate: no such setting");
	refused("storage: { root = 7; };\n", "storage.root: must be a string");
	refused("storage: { root = \"\"; };\n", "storage.root: \"\" is not valid");
	refused("encoder: { preset = \"placebo\"; };\n",
		"encoder.preset: \"placebo\" is not one of");
	refused("encoder: { device = \"video11\"; };\n",
		"encoder.device: \"video11\" is not valid");
	refused("encoder: { scaler = \"cuda\"; };\n", "encoder.scaler: \"cuda\" is not one of");
	refused("cameras = ( { format = \"yuyv\"; } );\n", "cameras.[0].format: \"yuyv\"");
	refused("cameras = ( { memory = \"mmap\"; } );\n", "cameras.[0].memory: \"mmap\"");
	refused("cameras = ();\n", "cameras: 1 to 8");
	refused("cameras = ( { id = \"A b\"; } );\n", "cameras.[0].id: \"A b\" is not valid");
	refused("cameras = ( { id = \"a\"; }, { id = \"a\"; } );\n",
		"cameras.[1]: id \"a\" is another camera's");
	refused("cameras = ( { zones = ( { points = [0, 0, 1]; } ); } );\n",
		"points: 3 to 16 pairs");
	refused("cameras = ( { zones = ( { points = [0, 0, 1, 0, 1, 2]; } ); } );\n",
		"within 0..1");
	refused("cameras = ( { zones = ( { kind = \"sea\"; } ); } );\n", "kind: not understood");
	refused("http: { plain_loopback = true; };\n", "http.plain_loopback: http.address must be");
	refused("storage: {\n", "settings.cfg:2: syntax error");
	refused("live: { window_s = 6; }; storage: { pre_roll_s = 5; };\n", "live.window_s");
	refused("# a\n  @include \"/etc/passwd\"\n", "settings.cfg:2: @include is not taken");
	/* Several faults are all named, and what was right is kept. */
	test_int(load("http: { port = 99999; keep = 1; };\nstorage: { root = \"/ok\"; };\n", NULL,
			 0),
		-EINVAL);
	test_int(errors.count, 2);
	test_str(settings.storage.root, "/ok");
}

static void test_files(void)
{
	test_int(pc_settings_load("/nonexistent/petcam.cfg", NULL, 0, &settings, &errors), -ENOENT);
	test_assert(strstr(errors.text, "/nonexistent/petcam.cfg: No such file") != NULL);
	test_int(pc_settings_load("/tmp", NULL, 0, &settings, &errors), -EISDIR);
	test_int(pc_settings_load("/dev/zero", NULL, 0, &settings, &errors), -EINVAL);
	test_int(settings.n_cameras, 1);
}

/* The file that is shipped says nothing but defaults, and says them right. */
static void test_shipped(void)
{
	static struct pc_settings defaults;
	pc_settings_default(&defaults);
	test_int(pc_settings_load(PETCAM_CFG, NULL, 0, &settings, &errors), 0);
	test_int(memcmp(&settings.http, &defaults.http, sizeof(settings.http)), 0);
	test_int(memcmp(&settings.storage, &defaults.storage, sizeof(settings.storage)), 0);
	test_int(memcmp(&settings.encoder, &defaults.encoder, sizeof(settings.encoder)), 0);
	test_int(memcmp(&settings.inference, &defaults.inference, sizeof(settings.inference)), 0);
}

static void test_no_memory(void)
{
	const char *const given[] = { "http.port=0", "storage.root=/srv" };
	for (unsigned n = 1;; n++) {
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = load("http: { port = 1; };\n", given, 2);
		if (!fault_disarm()) {
			test_int(r, 0);
			break;
		}
		test_assert(r < 0);
		test_assert(errors.count > 0);
	}
}

int main(void)
{
	test_assert(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/settings.cfg", folder);
	TEST_RUN(test_defaults);
	TEST_RUN(test_file);
	TEST_RUN(test_overrides);
	TEST_RUN(test_override_faults);
	TEST_RUN(test_faults);
	TEST_RUN(test_files);
	TEST_RUN(test_shipped);
	TEST_RUN(test_no_memory);
	unlink(path);
	rmdir(folder);
	return test_end();
}
