/* tests/unit/http/api_secrets.c - what is built on wolfCrypt: vectors, passwords, the key's file,
 * the setup code, and how guessing is slowed. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "http/auth_key.h"
#include "http/auth_limit.h"
#include "http/password.h"
#include "http/setup_code.h"
#include "tests/support/fault.h"
#include "tests/support/test.h"

static void hex(const uint8_t *bytes, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	}
}

static void test_base64url(void)
{
	/* RFC 4648 10, without padding. */
	static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
	static const char *const coded[] = { "", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE",
		"Zm9vYmFy" };
	for (int i = 0; i < 7; i++) {
		char text[16];
		char back[16];
		size_t n = strlen(plain[i]);
		pc_base64url_encode(plain[i], n, text);
		test_str(text, coded[i]);
		test_int(strlen(text), PC_BASE64URL_LENGTH(n));
		test_int(pc_base64url_decode(text, strlen(text), back, n), n);
		test_assert(memcmp(back, plain[i], n) == 0);
		test_assert(
			n == 0 || pc_base64url_decode(text, strlen(text), back, n - 1) == -EINVAL);
	}
	const uint8_t high[] = { 0xfb, 0xff, 0xfe };
	char text[8];
	pc_base64url_encode(high, 3, text);
	test_str(text, "-__-");
	static const char *const bad[] = { "Z", "Zh", "Zm9", "Zm9=", "Zg==", "Zm+v", "Zm/v", "Zm v",
		"Zm9vY" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char back[16];
		test_int(pc_base64url_decode(bad[i], strlen(bad[i]), back, sizeof(back)), -EINVAL);
	}
}

static void test_vectors(void)
{
	/* RFC 4231, case 1, its key padded with zeros as HMAC does. */
	uint8_t key[PC_CRYPTO_KEY_SIZE] = { 0 };
	memset(key, 0x0b, 20);
	uint8_t tag[PC_CRYPTO_TAG_SIZE];
	char text[2 * 64 + 1];
	test_int(pc_crypto_hmac(key, "Hi There", 8, tag), 0);
	hex(tag, sizeof(tag), text);
	test_str(text, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	/* RFC 7914 12, N 16384, r 8, p 1. */
	uint8_t out[64];
	test_int(pc_crypto_scrypt("pleaseletmein", 13, (const uint8_t *)"SodiumChloride", 14, 14, 8,
			 1, out, sizeof(out)),
		0);
	hex(out, sizeof(out), text);
	test_str(text, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
		       "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
	test_int(pc_crypto_scrypt("", 0, out, 1, 40, 8, 1, out, sizeof(out)), -EINVAL);
	test_assert(pc_crypto_equal("abc", "abc", 3));
	test_assert(!pc_crypto_equal("abc", "abd", 3));
	test_assert(!pc_crypto_equal("abc", "bbc", 3));
}

static void test_password(void)
{
	char hash[PC_PASSWORD_HASH_MAX];
	char again[PC_PASSWORD_HASH_MAX];
	static const char password[] = "correct horse";
	const size_t length = sizeof(password) - 1;
	test_int(pc_password_hash(password, length, hash), 0);
	test_assert(strncmp(hash, "scrypt$15$8$1$", 14) == 0);
	test_int(pc_password_verify(password, length, hash), 0);
	test_int(pc_password_verify(password, length - 1, hash), -EACCES);
	test_int(pc_password_verify("Correct horse", length, hash), -EACCES);
	test_int(pc_password_hash(password, length, again), 0);
	test_assert(strcmp(hash, again) != 0); /* salted */
	test_int(pc_password_verify("", 0, pc_password_dummy()), -EACCES);
}

static void test_bad_hash(void)
{
	static const char *const bad[] = {
		"", "plain", "scrypt$", "scrypt$15$8$1$", "scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA",
		"scrypt$99$8$1$AAAAAAAAAAAAAAAAAAAAAA$x",
		"scrypt$15$8$0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"scrypt$15$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!",
		"scrypt$18$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"scrypt$-1$8$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_int(pc_password_verify("x", 1, bad[i]), -EINVAL);
	}
}

/* A folder of our own; `name` within it. */
static char folder[] = "/tmp/petcam-secrets-XXXXXX";
static const char *in_folder(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/keys/%s", folder, name);
	return path;
}

static void remove_keys(void)
{
	unlink(in_folder("jwt.key"));
	rmdir(in_folder("jwt.key"));
	unlink(in_folder("jwt.key.new"));
	rmdir(in_folder(""));
}

static int load(uint8_t key[static PC_CRYPTO_KEY_SIZE])
{
	char path[128];
	snprintf(path, sizeof(path), "%s/keys", folder);
	return pc_auth_key_load(path, key);
}

static void write_file(const char *path, size_t size, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	test_assert(fd >= 0 && fchmod(fd, mode) == 0);
	for (size_t i = 0; i < size; i++) {
		test_int(write(fd, "k", 1), 1);
	}
	close(fd);
}

static void test_key_file(void)
{
	uint8_t key[PC_CRYPTO_KEY_SIZE];
	uint8_t again[PC_CRYPTO_KEY_SIZE];
	struct stat st;
	test_int(load(key), 0);
	test_int(stat(in_folder("jwt.key"), &st), 0);
	test_int(st.st_mode & 07777, 0600);
	test_int(st.st_size, PC_CRYPTO_KEY_SIZE);
	test_int(stat(in_folder(""), &st), 0);
	test_int(st.st_mode & 07777, 0700);
	test_int(load(again), 0);
	test_assert(memcmp(key, again, sizeof(key)) == 0);

	/* Cut, too long, readable by others: a new one. */
	static const struct {
		size_t size;
		mode_t mode;
	} faults[] = { { 31, 0600 }, { 33, 0600 }, { 0, 0600 }, { 32, 0640 }, { 32, 0604 } };
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		write_file(in_folder("jwt.key"), faults[i].size, faults[i].mode);
		test_int(load(again), 0);
		test_assert(memcmp(again, "kkkkkkkk", 8) != 0);
		test_int(stat(in_folder("jwt.key"), &st), 0);
		test_int(st.st_mode & 07777, 0600);
		test_int(st.st_size, PC_CRYPTO_KEY_SIZE);
	}
	/* What a crash left over does not stand in the way. */
	write_file(in_folder("jwt.key.new"), 5, 0600);
	unlink(in_folder("jwt.key"));
	test_int(load(again), 0);
	test_assert(stat(in_folder("jwt.key.new"), &st) < 0);
	/* A link is not followed. */
	unlink(in_folder("jwt.key"));
	test_int(symlink("/etc/hostname", in_folder("jwt.key")), 0);
	test_int(load(again), 0);
	test_assert(lstat(in_folder("jwt.key"), &st) == 0 && S_ISREG(st.st_mode));
	/* A folder in its place: it cannot be replaced, and says so. */
	unlink(in_folder("jwt.key"));
	test_int(mkdir(in_folder("jwt.key"), 0700), 0);
	test_assert(load(again) < 0);
	test_assert(stat(in_folder("jwt.key.new"), &st) < 0);
	remove_keys();
}

static void test_key_faults(void)
{
	static const enum fault_kind kinds[] = { FAULT_WRITE, FAULT_SYNC, FAULT_OPEN, FAULT_NAME };
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		bool done = false;
		for (unsigned n = 1; !done; n++) {
			uint8_t key[PC_CRYPTO_KEY_SIZE] = { 0 };
			remove_keys();
			fault_arm(kinds[k], n, EIO);
			int r = load(key);
			done = !fault_disarm();
			test_int(r, done ? 0 : -EIO);
			/* Whole or not at all. */
			struct stat st;
			test_assert(stat(in_folder("jwt.key"), &st) < 0 ||
				    st.st_size == PC_CRYPTO_KEY_SIZE);
			test_int(load(key), 0);
		}
	}
	remove_keys();
}

static char logged[256];
static void on_log(void *data, enum pc_log_level level, const char *module, const char *text)
{
	snprintf(logged, sizeof(logged), "%s", text);
}

static void test_setup_code(void)
{
	struct pc_setup_code code;
	char text[PC_SETUP_CODE_SIZE];
	char wrong[PC_SETUP_CODE_SIZE];
	int64_t now = PC_NS_PER_S;
	int64_t wait = 0;
	test_int(pc_setup_code_init(&code), 0);
	pc_setup_code_get(&code, text);
	test_int(strlen(text), PC_SETUP_CODE_SIZE - 1);
	test_int(strspn(text, "23456789ABCDEFGHJKMNPQRSTUVWXYZ"), 5);
	test_int(text[5], '-');
	test_int(strspn(text + 6, "23456789ABCDEFGHJKMNPQRSTUVWXYZ"), 5);
	/* However it is typed. */
	char typed[32];
	snprintf(typed, sizeof(typed), " %.5s %s- ", text, text + 6);
	test_int(pc_setup_code_check(&code, typed, now, &wait), 0);
	for (char *p = typed; *p != '\0'; p++) {
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	}
	test_int(pc_setup_code_check(&code, typed, now, &wait), 0);

	memcpy(wrong, text, sizeof(wrong));
	wrong[0] = wrong[0] == '2' ? '3' : '2';
	static const char *const never[] = { "", "A", "22222222222", "ABCDE-FGHJKM" };
	for (int i = 0; i < 4; i++) {
		test_int(pc_setup_code_check(&code, never[i], now, &wait), -EACCES);
	}
	for (int i = 5; i < PC_SETUP_CODE_WRONG_MAX; i++) {
		test_int(pc_setup_code_check(&code, wrong, now, &wait), -EACCES);
	}
	/* The tenth: another code, and a wait. */
	pc_log_set_hook(on_log, NULL);
	test_int(pc_setup_code_check(&code, wrong, now, &wait), -EAGAIN);
	pc_log_set_hook(NULL, NULL);
	test_int(wait, 60 * PC_NS_PER_S);
	char fresh[PC_SETUP_CODE_SIZE];
	pc_setup_code_get(&code, fresh);
	test_assert(strcmp(fresh, text) != 0);
	test_assert(strstr(logged, fresh) != NULL);
	/* Even the right one waits. */
	test_int(pc_setup_code_check(&code, fresh, now + 59 * PC_NS_PER_S, &wait), -EAGAIN);
	test_int(wait, PC_NS_PER_S);
	now += 60 * PC_NS_PER_S;
	test_int(pc_setup_code_check(&code, text, now, &wait), -EACCES);
	test_int(pc_setup_code_check(&code, fresh, now, &wait), 0);
	/* Longer each time, an hour at most. */
	pc_log_set_level(PC_LOG_ERROR);
	int64_t longest = 0;
	for (int round = 0; round < 12; round++) {
		while (pc_setup_code_check(&code, "x", now, &wait) != -EAGAIN) {
		}
		test_assert(wait >= longest && wait <= 3600 * PC_NS_PER_S);
		longest = wait;
		now += wait;
	}
	pc_log_set_level(PC_LOG_INFO);
	test_int(longest, 3600 * PC_NS_PER_S);
	pc_setup_code_finish(&code);
}

static void test_limit(void)
{
	const struct pc_limit_policy policy = {
		.free_attempts = 2,
		.first_delay_ns = 100,
		.max_delay_ns = 350,
		.forget_ns = 10000,
	};
	struct pc_limit *limit;
	test_int(pc_limit_create(&policy, 4, &limit), 0);
	int64_t now = 1000;
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 0); /* third: from now on it waits */
	test_int(pc_limit_enter(limit, 1, now), 100);
	test_int(pc_limit_enter(limit, 1, now + 99), 1); /* asking costs nothing */
	test_int(pc_limit_enter(limit, 2, now), 0); /* others do not wait */
	now += 100;
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 200);
	now += 200;
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 350); /* the longest */
	now += 350;
	/* An attempt that did not take place. */
	test_int(pc_limit_enter(limit, 1, now), 0);
	pc_limit_return(limit, 1);
	test_int(pc_limit_enter(limit, 1, now), 0);
	/* Success, or a long quiet, forgets. */
	pc_limit_clear(limit, 1);
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 100);
	now += 10001;
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 0);
	/* A full table forgets who was quiet for longest: 2. */
	test_int(pc_limit_enter(limit, 3, now), 0);
	test_int(pc_limit_enter(limit, 4, now), 0);
	test_int(pc_limit_enter(limit, 5, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 0);
	test_int(pc_limit_enter(limit, 1, now), 100);
	pc_limit_return(limit, 99); /* nobody */
	pc_limit_clear(limit, 99);
	pc_limit_destroy(limit);
	pc_limit_destroy(NULL);
	fault_arm(FAULT_ALLOC, 1, ENOMEM);
	test_int(pc_limit_create(&policy, 4, &limit), -ENOMEM);
	test_assert(fault_disarm());
}

int main(void)
{
	test_assert(mkdtemp(folder) != NULL);
	TEST_RUN(test_base64url);
	TEST_RUN(test_vectors);
	TEST_RUN(test_password);
	TEST_RUN(test_bad_hash);
	TEST_RUN(test_key_file);
	TEST_RUN(test_key_faults);
	TEST_RUN(test_setup_code);
	TEST_RUN(test_limit);
	rmdir(folder);
	return test_end();
}
