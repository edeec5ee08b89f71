/* http/certificate_internal.h - what certificate.c and certificate_make.c share. */
#ifndef PC_HTTP_CERTIFICATE_INTERNAL_H
#define PC_HTTP_CERTIFICATE_INTERNAL_H

#include <stdint.h>
#include <time.h>

#include "http/certificate.h"

#define CERTIFICATE_PEM_MAX 65536
#define CERTIFICATE_DAY_S INT64_C(86400)
#define CERTIFICATE_OWN_NAME "petcam" /* by it, and by being self-signed, we know our own */

struct certificate_wish {
	const char *name;
	time_t from, until;
};
int certificate_make(const struct certificate_wish *wish, struct pc_certificate *ret_certificate);

/* NULL is fine. */
void certificate_wipe(void *bytes, size_t size);

#endif
