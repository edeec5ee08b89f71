/* tests/unit/petcamd/test_ready_file.c - whole or nothing, private, and escaped. */
#include "petcamd/ready_file.h"

#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fault.h"
#include "tests/support/test.h"

static char folder[] = "/tmp/petcam-ready-XXXXXX";
static char path[64];

static void test_content(void)
{
	test_int(pc_ready_file_write(path, "https://localhost:1", "AB\"C"), 0);
	json_t *object = json_load_file(path, 0, NULL);
	test_assert(object != NULL);
	test_str(json_string_value(json_object_get(object, "url")), "https://localhost:1");
	test_str(json_string_value(json_object_get(object, "setup_code")), "AB\"C");
	test_int(json_integer_value(json_object_get(object, "pid")), getpid());
	json_decref(object);
	struct stat st;
	test_int(stat(path, &st), 0);
	test_int(st.st_mode & 0777, 0600);

	test_int(pc_ready_file_write(path, "https://localhost:2", NULL), 0);
	object = json_load_file(path, 0, NULL);
	test_assert(json_is_null(json_object_get(object, "setup_code")));
	json_decref(object);
}

static void test_faults(void)
{
	test_int(pc_ready_file_write("/nonexistent/ready", "u", NULL), -ENOENT);
	static const enum fault_kind kinds[] = { FAULT_WRITE, FAULT_OPEN, FAULT_NAME };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (unsigned n = 1;; n++) {
			fault_arm(kinds[i], n, EIO);
			const int r = pc_ready_file_write(path, "https://localhost:3", NULL);
			if (!fault_disarm()) {
				test_int(r, 0);
				break;
			}
			/* The old file stands whole. */
			json_t *object = json_load_file(path, 0, NULL);
			test_assert(object != NULL);
			json_decref(object);
		}
	}
	char temporary[80];
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	test_assert(access(temporary, F_OK) < 0);
}

int main(void)
{
	test_assert(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/ready.json", folder);
	TEST_RUN(test_content);
	TEST_RUN(test_faults);
	unlink(path);
	rmdir(folder);
	return test_end();
}
