/* http/setup_code.c - the one-time code of the first run; see setup_code.h. */
#include "http/setup_code.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "http/crypto.h"

#define PC_LOG_MODULE "auth"
#include "core/log.h"

#define LENGTH 10
#define HALF 5
#define FIRST_WAIT_NS (60 * PC_NS_PER_S)
#define DOUBLINGS_MAX 6 /* 64 minutes, cut to an hour */

/* Without 0 O, 1 I L. */
static const char alphabet[] = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";
#define LETTERS (sizeof(alphabet) - 1)

static int make(char out[static PC_SETUP_CODE_SIZE])
{
	char text[PC_SETUP_CODE_SIZE];
	unsigned n = 0;
	while (n < LENGTH) {
		uint8_t bytes[2 * LENGTH];
		int r = pc_crypto_random(bytes, sizeof(bytes));
		if (r < 0) {
			return r;
		}
		for (unsigned i = 0; i < sizeof(bytes) && n < LENGTH; i++) {
			/* Every letter equally likely. */
			if (bytes[i] < 256 / LETTERS * LETTERS) {
				text[n + (n >= HALF)] = alphabet[bytes[i] % LETTERS];
				n++;
			}
		}
	}
	text[HALF] = '-';
	text[LENGTH + 1] = '\0';
	memcpy(out, text, sizeof(text));
	return 0;
}

int pc_setup_code_init(struct pc_setup_code *code)
{
	memset(code, 0, sizeof(*code));
	int r = make(code->text);
	if (r < 0) {
		return r;
	}
	pthread_mutex_init(&code->lock, NULL);
	return 0;
}

void pc_setup_code_finish(struct pc_setup_code *code)
{
	pthread_mutex_destroy(&code->lock);
	pc_crypto_forget(code->text, sizeof(code->text));
}

/* The code's letters alone; false when there are more or fewer than it has. */
static bool normalise(const char *given, char out[static LENGTH])
{
	unsigned n = 0;
	for (const char *p = given; *p != '\0'; p++) {
		char c = *p;
		if (c == '-' || c == ' ') {
			continue;
		}
		if (n == LENGTH) {
			return false;
		}
		out[n++] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
	}
	return n == LENGTH;
}

static void replace(struct pc_setup_code *code, int64_t now_ns)
{
	unsigned doublings = code->replaced < DOUBLINGS_MAX ? code->replaced : DOUBLINGS_MAX;
	int64_t wait_ns = FIRST_WAIT_NS << doublings;
	code->locked_until_ns =
		now_ns + (wait_ns < 60 * FIRST_WAIT_NS ? wait_ns : 60 * FIRST_WAIT_NS);
	code->replaced++;
	code->wrong = 0;
	if (make(code->text) < 0) {
		pc_error("no random bytes for a new setup code: the old one stays, ignoring");
		return;
	}
	pc_warn("%d wrong setup codes were tried; the new setup code is %s",
		PC_SETUP_CODE_WRONG_MAX, code->text);
}

int pc_setup_code_check(
	struct pc_setup_code *code, const char *given, int64_t now_ns, int64_t *ret_wait_ns)
{
	char letters[LENGTH];
	char right[LENGTH];
	bool fits = normalise(given, letters);
	int r = 0;
	pthread_mutex_lock(&code->lock);
	if (now_ns >= code->locked_until_ns) {
		bool well_made = normalise(code->text, right);
		if (!fits || !well_made || !pc_crypto_equal(letters, right, LENGTH)) {
			r = -EACCES;
			if (++code->wrong >= PC_SETUP_CODE_WRONG_MAX) {
				replace(code, now_ns);
			}
		}
	}
	if (now_ns < code->locked_until_ns) {
		*ret_wait_ns = code->locked_until_ns - now_ns;
		r = -EAGAIN;
	}
	pthread_mutex_unlock(&code->lock);
	return r;
}

void pc_setup_code_get(struct pc_setup_code *code, char out[static PC_SETUP_CODE_SIZE])
{
	pthread_mutex_lock(&code->lock);
	memcpy(out, code->text, PC_SETUP_CODE_SIZE);
	pthread_mutex_unlock(&code->lock);
}
