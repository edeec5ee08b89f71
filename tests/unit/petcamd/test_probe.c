/* test_probe.c - the probe's parts that need no hardware: questions to what hangs, crashes or
 * raves; text of strangers; the report in words; advice. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "petcamd/probe_internal.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static json_t *ask_well(const void *data)
{
	return json_pack("{s:s, s:i}", "said", (const char *)data, "pid", (int)getpid());
}

static json_t *ask_hanging(const void *data)
{
	for (;;) {
		pause();
	}
	return NULL;
}

static json_t *ask_crashing(const void *data)
{
	signal(SIGSEGV, SIG_DFL); /* sanitizers would catch it */
	raise(SIGSEGV);
	return json_object();
}

static json_t *ask_nothing(const void *data)
{
	return NULL;
}

static json_t *ask_large(const void *data)
{
	json_t *array = json_array();
	for (int i = 0; i < *(const int *)data; i++) {
		json_array_append_new(
			array, json_string("0123456789012345678901234567890123456789"));
	}
	return json_pack("{s:o}", "array", array);
}

/* Answers, and its end (the closing of a device) hangs. */
static json_t *ask_then_hang(const void *data)
{
	signal(SIGTERM, SIG_IGN);
	json_t *answer = json_pack("{s:s}", "said", "something");
	if (fork() == 0) { /* holds the pipe open */
		alarm(20);
		for (;;) {
			pause();
		}
	}
	return answer;
}

static const char *error_of(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	return error != NULL ? error : "";
}

static void test_ask(void)
{
	json_t *answer = pc_probe_ask(5000, ask_well, "hello");
	test_str(json_string_value(json_object_get(answer, "said")), "hello");
	test_assert(json_integer_value(json_object_get(answer, "pid")) != getpid());
	test_str(error_of(answer), "");
	json_decref(answer);

	answer = pc_probe_ask(5000, ask_crashing, NULL);
	test_assert(strstr(error_of(answer), "crashed") != NULL);
	test_assert(strstr(error_of(answer), "signal 11") != NULL);
	json_decref(answer);

	answer = pc_probe_ask(5000, ask_nothing, NULL);
	test_assert(strstr(error_of(answer), "no answer") != NULL);
	json_decref(answer);
}

static void test_ask_hanging(void)
{
	json_t *answer = pc_probe_ask(150, ask_hanging, NULL);
	test_str(error_of(answer), "does not answer within 0.1 s");
	json_decref(answer);
	/* It was killed and reaped: nothing is left to wait for. */
	test_int(waitpid(-1, NULL, WNOHANG), -1);
	test_int(errno, ECHILD);

	answer = pc_probe_ask(300, ask_then_hang, NULL);
	test_str(error_of(answer), "does not answer within 0.3 s");
	json_decref(answer);
}

static void test_ask_limits(void)
{
	int n = 2000;
	json_t *answer = pc_probe_ask(10000, ask_large, &n);
	test_int(json_array_size(json_object_get(answer, "array")), 2000);
	json_decref(answer);
	n = 20000;
	answer = pc_probe_ask(10000, ask_large, &n);
	test_assert(error_of(answer)[0] != '\0');
	json_decref(answer);
}

static void test_ask_without_fds(void)
{
	struct rlimit before, none;
	test_int(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	test_int(setrlimit(RLIMIT_NOFILE, &none), 0);
	json_t *answer = pc_probe_ask(1000, ask_well, "hello");
	test_int(setrlimit(RLIMIT_NOFILE, &before), 0);
	test_assert(strstr(error_of(answer), "could not be asked") != NULL);
	json_decref(answer);
}

static void test_ask_no_memory(void)
{
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	json_t *answer = pc_probe_ask(1000, ask_well, "hello");
	test_assert(fault_disarm());
	test_assert(strstr(error_of(answer), "could not be asked") != NULL);
	json_decref(answer);
}

static void test_text(void)
{
	json_t *text = pc_probe_text("a\x1b[31mred\n\xff\xc3\xa9 \x7f~");
	test_str(json_string_value(text), "a?[31mred???? ?~");
	json_decref(text);
	char longer[3 * PC_PROBE_TEXT_MAX];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	text = pc_probe_textf("%s", longer);
	test_int(strlen(json_string_value(text)), PC_PROBE_TEXT_MAX - 1);
	json_decref(text);
	char fourcc[5];
	pc_probe_fourcc(V4L2_PIX_FMT_NV12, fourcc);
	test_str(fourcc, "NV12");
	pc_probe_fourcc(V4L2_PIX_FMT_Y16, fourcc);
	test_str(fourcc, "Y16");
	pc_probe_fourcc(V4L2_PIX_FMT_Y16_BE, fourcc); /* its bit 31 is set */
	test_str(fourcc, "Y16?");
	pc_probe_fourcc(0x0a1b00ff, fourcc);
	test_str(fourcc, "????");
}

static void test_list(void)
{
	char folder[] = "/tmp/petcam-probe-XXXXXX";
	test_assert(mkdtemp(folder) != NULL);
	static const char *const files[] = { "video10", "video2", "videos", "media0", ".video1" };
	char path[96];
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		FILE *file = fopen(path, "w");
		test_assert(file != NULL);
		fclose(file);
	}
	struct pc_probe_name names[8];
	test_int(pc_probe_list(folder, "video", names, 8), 3);
	test_str(names[0].text, "video2");
	test_str(names[1].text, "video10");
	test_int(pc_probe_list(folder, "", names, 2), 2);
	test_int(pc_probe_list("/nowhere", "", names, 8), 0);
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		unlink(path);
	}
	rmdir(folder);
}

static void test_open_error(void)
{
	char path[] = "/tmp/petcam-probe-XXXXXX";
	const int fd = mkstemp(path);
	test_assert(fd >= 0);
	test_int(fchmod(fd, 0600), 0);
	close(fd);
	json_t *text = pc_probe_open_error(path, -EACCES);
	test_assert(strstr(json_string_value(text), "mode 0600") != NULL);
	json_decref(text);
	unlink(path);
	text = pc_probe_open_error(path, -EBUSY);
	test_assert(strstr(json_string_value(text), "in use") != NULL);
	json_decref(text);
	text = pc_probe_open_error(path, -ENODEV);
	test_assert(strstr(json_string_value(text), "no such device") != NULL);
	json_decref(text);
}

static void test_machine(void)
{
	json_t *machine = pc_probe_machine();
	test_assert(strstr(json_string_value(json_object_get(machine, "kernel")), "Linux") != NULL);
	test_assert(json_integer_value(json_object_get(machine, "memory_mib")) > 0);
	test_assert(json_integer_value(json_object_get(machine, "cpus")) > 0);
	test_assert(json_array_size(json_object_get(machine, "groups")) > 0);
	json_decref(machine);
	json_t *files = pc_probe_files();
	test_assert(json_is_array(files));
	json_decref(files);
}

/* A whole machine, as the parts would tell it. */
static const char report_text[] =
	"{'petcam': '0.1.0', 'machine': {'kernel': 'Linux 6.1', 'distribution': 'Debian', 'cpu': "
	"'Cortex', 'cpus': 4, 'architecture': 'aarch64', 'memory_mib': 4000, 'memory_free_mib': "
	"3000, 'cma_mib': 256, 'cma_free_mib': 200, 'user': 'pi', 'groups': ['pi', 'audio']},"
	"'files': [{'path': '/dev/video0', 'mode': '0660', 'owner': 'root', 'group': 'video', "
	"'access': false}, {'path': '/dev/video11', 'mode': '0660', 'owner': 'root', 'group': "
	"'video', 'access': false}, {'path': '/dev/dma_heap/system', 'mode': '0600', 'owner': "
	"'root', 'group': 'root', 'access': false}],"
	"'video': [{'path': '/dev/video0', 'role': 'camera', 'driver': 'uvcvideo', 'card': 'Cam', "
	"'bus': 'usb-1', 'busy': true, 'holder': 'petcamd (pid 12)', 'now': {'fourcc': 'YUYV', "
	"'width': 640, 'height': 480}, 'memory_out': ['mmap', 'dmabuf'], 'out': [{'fourcc': 'YUYV', "
	"'known': true, 'sizes': [{'width': 640, 'height': 480, 'fps': [30.0, 15.0]}]}, {'fourcc': "
	"'H264', 'known': false, 'sizes': [{'width': 640, 'height': 480, 'fps': [30.0, 15.0]}]}], "
	"'controls': [{'name': 'Gain', 'min': 0, 'max': 9, 'default': 1, 'value': 5}]},"
	"{'path': '/dev/video7', 'error': 'no permission'},"
	"{'path': '/dev/video11', 'role': 'encoder', 'driver': 'bcm2835-codec', 'card': 'encode', "
	"'bus': 'platform', 'in': [{'fourcc': 'NV12', 'known': true, 'sizes': [{'min_width': 32, "
	"'min_height': 32, 'max_width': 1920, 'max_height': 1920, 'step_width': 2, 'step_height': "
	"2}], 'line_alignment': {'1280x720': 32}}, {'fourcc': 'YU12', 'known': true, 'sizes': "
	"[{'min_width': 32, 'min_height': 32, 'max_width': 1920, 'max_height': 1920, 'step_width': "
	"2, 'step_height': 2}], 'line_alignment': {'1280x720': 64}}], 'out': [{'fourcc': 'H264', "
	"'known': false, 'sizes': []}], 'memory_in': ['mmap', 'dmabuf'], 'memory_out': ['mmap']}],"
	"'heaps': [{'path': '/dev/dma_heap/linux,cma', 'gives': true, 'known_contiguous': true}, "
	"{'path': '/dev/dma_heap/system', 'gives': false, 'error': 'no permission', "
	"'known_contiguous': false}], 'drm': [{'path': '/dev/dri/card0', 'driver': 'vc4', "
	"'dumb_buffers': true, 'prime_import': true, 'prime_export': true, 'gives': false, "
	"'why_not': 'no memory'}], 'gpu': {'error': 'no EGL'},"
	"'imports': [{'memory': '/dev/dma_heap/linux,cma', 'kind': 'dma-heap', 'device': "
	"'/dev/video11', 'role': 'encoder', 'ok': true, 'format': 'NV12 1280x720'}, {'memory': "
	"'/dev/video0', 'kind': 'EXPBUF', 'device': '/dev/video11', 'role': 'encoder', 'ok': false, "
	"'why': 'not contiguous'}], 'choices': {'cameras': [{'ok': true, 'text': 'cam text'}], "
	"'encoder': {'text': 'enc text'}, 'scaler': {'error': 'scaler crashed'}, 'memory': {'text': "
	"'heap'}}, 'advice': ['do this']}";

static json_t *make_report(void)
{
	char text[sizeof(report_text)];
	memcpy(text, report_text, sizeof(text));
	for (char *at = text; *at != '\0'; at++) {
		*at = *at == '\'' ? '"' : *at;
	}
	json_error_t error;
	json_t *report = json_loads(text, 0, &error);
	if (report == NULL) {
		test_fail("%s at %d", error.text, error.position);
	}
	return report;
}

static void has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		test_fail("\"%s\" is not in:\n%s", part, text);
	}
}

static void test_print(void)
{
	json_t *report = make_report();
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	test_int(pc_probe_print(out, report), 0);
	fclose(out);
	has(text, "petcam 0.1.0\n");
	has(text, "contiguous (CMA) 256 MiB, 200 free");
	has(text, "/dev/video0                  0660 root:video  closed to this user");
	has(text, "/dev/video0  camera: uvcvideo, Cam (usb-1), in use by petcamd (pid 12)");
	has(text, "gives YUYV, H264*: 640x480 at 30, 15\n");
	has(text, "Gain 5 (0..9)");
	has(text, "/dev/video7: no permission\n");
	has(text, "takes NV12: 32x32 to 1920x1920 by 2x2; at 1280x720 lines of a multiple of 32");
	has(text, "takes YU12: 32x32 to 1920x1920 by 2x2; at 1280x720 lines of a multiple of 64");
	has(text, "memory: in mmap, dmabuf; out mmap\n");
	has(text, "/dev/dma_heap/linux,cma: gives memory, by its name contiguous\n");
	has(text, "/dev/dma_heap/system: no permission\n");
	has(text, "gives no memory: no memory\n");
	has(text, "no GPU: no EGL\n");
	has(text, "yes  dma-heap, /dev/dma_heap/linux,cma, NV12 1280x720\n");
	has(text, "no   EXPBUF, /dev/video0: not contiguous\n");
	has(text, "camera: cam text\n");
	has(text, "encoder: enc text\n");
	has(text, "scaler: scaler crashed\n");
	has(text, "- do this\n");
	free(text);
	json_decref(report);
	/* Whatever is missing, it does not fall. */
	text = NULL;
	json_t *empty = json_object();
	out = open_memstream(&text, &size);
	test_int(pc_probe_print(out, empty), 0);
	fclose(out);
	free(text);
	json_decref(empty);
	report = make_report();
	out = fopen("/dev/full", "w");
	test_int(pc_probe_print(out, report), -EIO);
	fclose(out);
	json_decref(report);
}

static char *advice_of(const json_t *report)
{
	json_t *advice = pc_probe_advice(report);
	char *text = json_dumps(advice, 0);
	json_decref(advice);
	return text;
}

static void test_advice(void)
{
	json_t *report = make_report();
	char *text = advice_of(report);
	has(text, "nodes of group video are closed to this user: usermod -aG video USER");
	test_assert(strstr(strstr(text, "group video") + 1, "nodes of group video") == NULL);
	has(text, "/dev/dma_heap/system is for root alone");
	has(text, "/dev/video0 is in use by petcamd (pid 12)");
	test_assert(strstr(text, "no camera") == NULL);
	test_assert(strstr(text, "hardware H.264") == NULL);
	test_assert(strstr(text, "no dma-heap") == NULL);
	free(text);
	/* No heap that gives. */
	json_object_set_new(
		json_array_get(json_object_get(report, "heaps"), 0), "gives", json_false());
	text = advice_of(report);
	has(text, "no dma-heap gives memory");
	free(text);
	/* No nodes at all. */
	json_object_set_new(report, "video", json_array());
	text = advice_of(report);
	has(text, "no camera: connect one");
	has(text, "no hardware H.264 encoder");
	free(text);
	json_object_set_new(
		json_object_get(report, "machine"), "model", json_string("Raspberry Pi 4"));
	text = advice_of(report);
	has(text, "libcamerify");
	free(text);
	json_decref(report);
	json_t *empty = json_object();
	free(advice_of(empty));
	json_decref(empty);
}

int main(void)
{
	TEST_RUN(test_ask);
	TEST_RUN(test_ask_hanging);
	TEST_RUN(test_ask_limits);
	TEST_RUN(test_ask_without_fds);
	TEST_RUN(test_ask_no_memory);
	TEST_RUN(test_text);
	TEST_RUN(test_list);
	TEST_RUN(test_open_error);
	TEST_RUN(test_machine);
	TEST_RUN(test_print);
	TEST_RUN(test_advice);
	return test_end();
}
