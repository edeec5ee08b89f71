/* http/certificate.h - the server's own key and certificate.
 *
 * <folder>/tls.key and <folder>/tls.crt, PEM, 0600 in a 0700 folder. Made at first start: a
 * P-256 key and a self-signed certificate for localhost, this host's names and its addresses
 * of now, 397 days. Made anew at a start within 30 days of its end. A pair that its owner put
 * there is used and never replaced.
 */
#ifndef PC_HTTP_CERTIFICATE_H
#define PC_HTTP_CERTIFICATE_H

#include <stddef.h>

struct pc_certificate {
	unsigned char *certificate; /* PEM, maybe a chain */
	size_t certificate_size;
	unsigned char *key; /* PEM */
	size_t key_size;
};

/* Reads the pair, or makes it. 0, or negative errno with `why` (a sentence that names the
 * file): -EINVAL for a pair that is damaged or does not belong together. */
int pc_certificate_open(
	const char *folder, char *why, size_t why_size, struct pc_certificate *ret_certificate);

/* A pair in memory only, for safe mode without a data root. */
int pc_certificate_make(struct pc_certificate *ret_certificate);

/* Wipes the key. Zeroed and finished ones are fine. */
void pc_certificate_finish(struct pc_certificate *certificate);

#endif
