/* http/setup_code.h - the one-time code of the first run, and what its guessers get.
 *
 * Ten characters of 31 that cannot be taken for each other (49 bits), shown as ABCDE-FGHJK;
 * read without regard to case, blanks and the dash. The tenth wrong one replaces it, and
 * after that everybody waits: a minute, then twice as long each time, at most an hour.
 *
 * Thread: any; a short lock.
 */
#ifndef PC_HTTP_SETUP_CODE_H
#define PC_HTTP_SETUP_CODE_H

#include <pthread.h>
#include <stdint.h>

#define PC_SETUP_CODE_SIZE 12 /* with the dash and the NUL */
#define PC_SETUP_CODE_WRONG_MAX 10

struct pc_setup_code {
	pthread_mutex_t lock;
	char text[PC_SETUP_CODE_SIZE];
	unsigned wrong; /* since the code was made */
	unsigned replaced;
	int64_t locked_until_ns;
};

/* 0, or negative errno: no random bytes. */
int pc_setup_code_init(struct pc_setup_code *code);
void pc_setup_code_finish(struct pc_setup_code *code);

/* 0: it is the code; -EACCES: it is not; -EAGAIN: nobody may try for *ret_wait_ns (the tenth
 * wrong one gets this as well, and the new code stands in the log). */
int pc_setup_code_check(
	struct pc_setup_code *code, const char *given, int64_t now_ns, int64_t *ret_wait_ns);

void pc_setup_code_get(struct pc_setup_code *code, char out[static PC_SETUP_CODE_SIZE]);

#endif
