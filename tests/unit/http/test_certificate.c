/* tests/unit/http/test_certificate.c - the key pair: made, kept, renewed, refused. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "http/certificate_internal.h"
#include "http/tls_session.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static char root[64], folder[80], why[256];

static const char *path(const char *name)
{
	static char text[384];

	snprintf(text, sizeof(text), "%s/%s", folder, name);
	return text;
}

static void put(const char *name, const void *bytes, size_t size)
{
	const int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	test_assert(fd >= 0);
	test_int(write(fd, bytes, size), (int64_t)size);
	close(fd);
}

static void empty_folder(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.') {
			unlink(path(entry->d_name));
		}
	}
	if (dir != NULL) {
		closedir(dir);
	}
	rmdir(folder);
}

static void open_ok(struct pc_certificate *pair)
{
	const int r = pc_certificate_open(folder, why, sizeof(why), pair);
	if (r < 0) {
		test_fail("%s (%d)", why, r);
	}
}

/* It fails, with a sentence that names the file. */
static void open_fails_at(int line, int expected, const char *name)
{
	struct pc_certificate pair = { 0 };

	why[0] = '\0';
	const int r = pc_certificate_open(folder, why, sizeof(why), &pair);
	if (r != expected) {
		test_fail("line %d: %d, not %d, for %s", line, r, expected, name);
	}
	test_assert(pair.key == NULL && pair.certificate == NULL);
	if (strstr(why, name) == NULL) {
		test_fail("line %d: \"%s\" does not name %s", line, why, name);
	}
}

#define open_fails(expected, name) open_fails_at(__LINE__, expected, name)

static void test_made_and_kept(void)
{
	struct pc_certificate first, second;
	struct stat st;

	empty_folder();
	open_ok(&first);
	test_int(stat(folder, &st), 0);
	test_int(st.st_mode & 0777, 0700);
	test_int(stat(path("tls.key"), &st), 0);
	test_int(st.st_mode & 0777, 0600);
	test_int(stat(path("tls.crt"), &st), 0);
	test_int(st.st_mode & 0777, 0600);
	test_int(access(path("tls.key.new"), F_OK), -1);

	open_ok(&second);
	test_int(second.key_size, first.key_size);
	test_assert(memcmp(second.key, first.key, first.key_size) == 0);
	test_assert(memcmp(second.certificate, first.certificate, first.certificate_size) == 0);

	struct pc_tls_context *context;
	test_int(pc_tls_context_create(&first, &context), 0);
	pc_tls_context_destroy(context);
	pc_certificate_finish(&first);
	pc_certificate_finish(&second);
	pc_certificate_finish(&second);
}

static void test_damage_is_named(void)
{
	struct pc_certificate mine, other;

	empty_folder();
	open_ok(&mine);
	test_int(pc_certificate_make(&other), 0);

	put("tls.key", other.key, other.key_size);
	pc_certificate_finish(&other);
	open_fails(-EINVAL, "tls.key");
	put("tls.key", "rubbish", 7);
	open_fails(-EINVAL, "tls.key");
	put("tls.key", mine.key, mine.key_size / 2);
	open_fails(-EINVAL, "tls.key");
	put("tls.key", "", 0);
	open_fails(-EINVAL, "tls.key");
	put("tls.key", mine.key, mine.key_size);
	put("tls.crt", mine.certificate, mine.certificate_size / 2);
	open_fails(-EINVAL, "tls.crt");
	put("tls.crt", "", 0);
	open_fails(-EINVAL, "tls.crt");
	unlink(path("tls.crt"));
	open_fails(-EINVAL, "tls.crt");
	put("tls.crt", mine.certificate, mine.certificate_size);
	open_ok(&other);
	pc_certificate_finish(&other);

	/* Our certificate without a key is what a crash leaves: both are made. */
	unlink(path("tls.key"));
	open_ok(&other);
	test_assert(memcmp(other.key, mine.key, mine.key_size) != 0);
	pc_certificate_finish(&other);
	pc_certificate_finish(&mine);

	/* Somebody else's is not replaced. */
	unlink(path("tls.key"));
	put("tls.crt", "rubbish", 7);
	open_fails(-EINVAL, "tls.key");

	static char large[70000];
	put("tls.crt", large, sizeof(large));
	open_fails(-EFBIG, "tls.crt");
}

static void put_pair(const char *name, time_t from, time_t until)
{
	const struct certificate_wish wish = { .name = name, .from = from, .until = until };
	struct pc_certificate pair;

	test_int(certificate_make(&wish, &pair), 0);
	put("tls.key", pair.key, pair.key_size);
	put("tls.crt", pair.certificate, pair.certificate_size);
	pc_certificate_finish(&pair);
}

/* Whether a start makes a new certificate. */
static bool renewed(void)
{
	static unsigned char before[65536];
	struct pc_certificate pair;

	const int fd = open(path("tls.crt"), O_RDONLY | O_CLOEXEC);
	const ssize_t n = read(fd, before, sizeof(before));
	close(fd);
	test_assert(n > 0);
	open_ok(&pair);
	const bool same = pair.certificate_size == (size_t)n &&
			  memcmp(pair.certificate, before, (size_t)n) == 0;
	pc_certificate_finish(&pair);
	return !same;
}

static void test_renewal(void)
{
	const time_t now = time(NULL), day = CERTIFICATE_DAY_S;

	empty_folder();
	test_int(mkdir(folder, 0700), 0);
	put_pair("petcam", now - 10 * day, now + 31 * day);
	test_assert(!renewed());
	put_pair("petcam", now - 10 * day, now + 29 * day);
	test_assert(renewed());
	put_pair("petcam", now - 10 * day, now - 1);
	test_assert(renewed());
	test_assert(!renewed());
	/* Its owner's own, even when it is over. */
	put_pair("cat.example", now - 10 * day, now - day);
	test_assert(!renewed());
}

static void test_folders_that_fail(void)
{
	empty_folder();
	const int fd = open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	test_assert(fd >= 0);
	close(fd);
	open_fails(-ENOTDIR, folder);
	unlink(folder);

	char kept[sizeof(folder)];
	memcpy(kept, folder, sizeof(kept));
	snprintf(folder, sizeof(folder), "%s/no/such", root);
	open_fails(-ENOENT, folder);
	memcpy(folder, kept, sizeof(folder));
}

/* Whatever fails, the folder stays good: the next start succeeds. */
static void each_fault(enum fault_kind kind, int err)
{
	for (unsigned n = 1;; n++) {
		struct pc_certificate pair = { 0 };
		empty_folder();
		fault_arm(kind, n, err);
		const int r = pc_certificate_open(folder, why, sizeof(why), &pair);
		if (!fault_disarm()) {
			test_int(r, 0);
			test_assert(n > 1);
			pc_certificate_finish(&pair);
			return;
		}
		if (r == 0) { /* unlinkat() of a key that is not there */
			test_assert(kind == FAULT_NAME);
		} else {
			test_int(r, -err);
			test_assert(pair.key == NULL);
		}
		pc_certificate_finish(&pair);
		open_ok(&pair);
		pc_certificate_finish(&pair);
	}
}

static void test_faults(void)
{
	each_fault(FAULT_ALLOC, ENOMEM);
	each_fault(FAULT_WRITE, ENOSPC);
	each_fault(FAULT_SYNC, EIO);
	each_fault(FAULT_OPEN, EMFILE);
}

static void test_context_allocations(void)
{
	struct pc_certificate pair;

	test_int(pc_certificate_make(&pair), 0);
	for (unsigned n = 1;; n++) {
		struct pc_tls_context *context = NULL;
		fault_arm(FAULT_ALLOC, n, ENOMEM);
		const int r = pc_tls_context_create(&pair, &context);
		if (!fault_disarm()) {
			test_int(r, 0);
			pc_tls_context_destroy(context);
			break;
		}
		test_int(r, -ENOMEM);
	}
	pc_certificate_finish(&pair);
	struct pc_tls_context *context = NULL;
	struct pc_certificate bad = { (unsigned char *)"x", 1, (unsigned char *)"y", 1 };
	test_int(pc_tls_context_create(&bad, &context), -EINVAL);
}

int main(void)
{
	snprintf(root, sizeof(root), "/tmp/petcam-test-XXXXXX");
	test_assert(mkdtemp(root) != NULL);
	snprintf(folder, sizeof(folder), "%s/keys", root);
	TEST_RUN(test_made_and_kept);
	TEST_RUN(test_damage_is_named);
	TEST_RUN(test_renewal);
	TEST_RUN(test_folders_that_fail);
	TEST_RUN(test_faults);
	TEST_RUN(test_context_allocations);
	empty_folder();
	rmdir(root);
	return test_end();
}
