/* http/certificate.c - the server's own key and certificate: read, checked, renewed, written.
 *
 * certificate_make.c makes them; see certificate.h.
 */
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/ssl.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PC_LOG_MODULE "certificate"
#include "core/log.h"
#include "http/certificate_internal.h"

#define RENEW_DAYS 30
#define KEY_NAME "tls.key"
#define CERTIFICATE_NAME "tls.crt"

void pc_certificate_finish(struct pc_certificate *certificate)
{
	certificate_wipe(certificate->key, certificate->key_size);
	free(certificate->key);
	free(certificate->certificate);
	memset(certificate, 0, sizeof(*certificate));
}

/* 0; -ENOENT; other negative errno with `why`. */
static int read_file(int folder, const char *path, const char *name, char *why, size_t why_size,
	unsigned char **ret_bytes, size_t *ret_size)
{
	unsigned char *bytes = NULL;
	size_t n = 0;
	int r = 0;

	const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		goto done;
	}
	bytes = malloc(CERTIFICATE_PEM_MAX);
	if (bytes == NULL) {
		r = -ENOMEM;
	}
	while (r == 0) {
		const ssize_t got = read(fd, bytes + n, CERTIFICATE_PEM_MAX - n);
		if (got < 0) {
			r = errno == EINTR ? 0 : -errno;
		} else if (got == 0) {
			break;
		} else if ((n += (size_t)got) == CERTIFICATE_PEM_MAX) {
			r = -EFBIG;
		}
	}
	close(fd);
done:
	if (r < 0) {
		if (r != -ENOENT) {
			snprintf(why, why_size, "%s/%s cannot be read: %s", path, name,
				pc_strerror(r));
		}
		certificate_wipe(bytes, n);
		free(bytes);
		return r;
	}
	*ret_bytes = bytes;
	*ret_size = n;
	return 0;
}

/* Never seen half-written: written aside, synced, renamed, and the folder synced. */
static int write_file(int folder, const char *name, const unsigned char *bytes, size_t size)
{
	char aside[32];
	size_t n = 0;
	int r = 0;

	snprintf(aside, sizeof(aside), "%s.new", name);
	const int fd =
		openat(folder, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		return -errno;
	}
	while (r == 0 && n < size) {
		const ssize_t put = write(fd, bytes + n, size - n);
		if (put >= 0) {
			n += (size_t)put;
		} else if (errno != EINTR) {
			r = -errno;
		}
	}
	if (r == 0 && (fchmod(fd, 0600) < 0 || fsync(fd) < 0)) {
		r = -errno;
	}
	close(fd);
	if (r == 0 && renameat(folder, aside, folder, name) < 0) {
		r = -errno;
	}
	if (r < 0) {
		(void)unlinkat(folder, aside, 0);
	}
	return r;
}

static int sync_folder(int folder)
{
	return fsync(folder) < 0 ? -errno : 0;
}

/* The key goes first and comes last: a crash leaves a pair, or a certificate of ours without a
 * key, for which both are made again. */
static int write_pair(int folder, const struct pc_certificate *pair)
{
	int r = unlinkat(folder, KEY_NAME, 0) < 0 && errno != ENOENT ? -errno : 0;
	if (r == 0) {
		r = sync_folder(folder);
	}
	if (r == 0) {
		r = write_file(folder, CERTIFICATE_NAME, pair->certificate, pair->certificate_size);
	}
	if (r == 0) {
		r = sync_folder(folder);
	}
	if (r == 0) {
		r = write_file(folder, KEY_NAME, pair->key, pair->key_size);
	}
	return r == 0 ? sync_folder(folder) : r;
}

static WOLFSSL_X509 *parse(const struct pc_certificate *pair)
{
	return wolfSSL_X509_load_certificate_buffer(
		pair->certificate, (int)pair->certificate_size, WOLFSSL_FILETYPE_PEM);
}

/* The point that a private key makes, against the one in the certificate. */
static bool same_point(ecc_key *private, ecc_key *public)
{
	ecc_point *point = wc_ecc_new_point();
	const bool same = point != NULL && wc_ecc_make_pub(private, point) == 0 &&
			  wc_ecc_cmp_point(point, &public->pubkey) == MP_EQ;

	wc_ecc_del_point(point);
	return same;
}

/* wolfSSL_CTX_check_private_key() of 5.5.4 takes any EC key for any EC certificate. */
static bool key_fits(const struct pc_certificate *pair)
{
	unsigned char key_der[2048], public_der[2048];
	int public_size = (int)sizeof(public_der);
	word32 key_index = 0, public_index = 0;
	ecc_key private, public;

	const int key_size =
		wc_KeyPemToDer(pair->key, (int)pair->key_size, key_der, (int)sizeof(key_der), NULL);
	WOLFSSL_X509 *x509 = parse(pair);
	if (key_size <= 0 || x509 == NULL ||
		wolfSSL_X509_get_pubkey_buffer(x509, public_der, &public_size) != WOLFSSL_SUCCESS ||
		wc_ecc_init(&private) != 0) {
		wolfSSL_X509_free(x509);
		certificate_wipe(key_der, sizeof(key_der));
		return true; /* longer than any EC key: wolfSSL's own check has to do */
	}
	wolfSSL_X509_free(x509);
	bool fits = true;
	if (wc_ecc_init(&public) == 0) {
		if (wc_EccPrivateKeyDecode(key_der, &key_index, &private, (word32)key_size) == 0 &&
			wc_EccPublicKeyDecode(
				public_der, &public_index, &public, (word32)public_size) == 0) {
			fits = same_point(&private, &public);
		}
		wc_ecc_free(&public);
	}
	wc_ecc_free(&private);
	certificate_wipe(key_der, sizeof(key_der));
	return fits;
}

static int check_pair(
	const struct pc_certificate *pair, const char *path, char *why, size_t why_size)
{
	WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_server_method());
	int r = -EINVAL;

	if (context == NULL) {
		return -ENOMEM;
	}
	if (wolfSSL_CTX_use_certificate_chain_buffer_format(context, pair->certificate,
		    (long)pair->certificate_size, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
		snprintf(why, why_size,
			"%s/" CERTIFICATE_NAME
			" is no certificate: mend it, or delete both it and " KEY_NAME
			" to have new ones made",
			path);
	} else if (wolfSSL_CTX_use_PrivateKey_buffer(context, pair->key, (long)pair->key_size,
			   WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
		snprintf(why, why_size,
			"%s/" KEY_NAME
			" is no private key: mend it, or delete both it and " CERTIFICATE_NAME
			" to have new ones made",
			path);
	} else if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS || !key_fits(pair)) {
		snprintf(why, why_size,
			"%s/" KEY_NAME " does not belong to " CERTIFICATE_NAME
			" beside it: mend it, or delete both to have new ones made",
			path);
	} else {
		r = 0;
	}
	wolfSSL_CTX_free(context);
	return r;
}

/* "is over", "ends soon", or NULL: it holds, or its date cannot be read. */
static const char *ending(WOLFSSL_X509 *x509)
{
	const unsigned char *date = wolfSSL_X509_notAfter(x509);
	const time_t now = time(NULL);
	struct tm tm = { 0 };

	/* Tag, length, text; the layout of wolfSSL's own accessor. */
	if (date == NULL || wc_GetDateAsCalendarTime(date + 2, (int)date[1], date[0], &tm) != 0) {
		return NULL;
	}
	const time_t end = timegm(&tm);
	if (now >= end) {
		return "is over";
	}
	return now >= end - RENEW_DAYS * CERTIFICATE_DAY_S ? "ends soon" : NULL;
}

static bool is_ours(WOLFSSL_X509 *x509)
{
	char *subject = wolfSSL_X509_NAME_oneline(wolfSSL_X509_get_subject_name(x509), NULL, 0);
	char *issuer = wolfSSL_X509_NAME_oneline(wolfSSL_X509_get_issuer_name(x509), NULL, 0);
	const bool ours = subject != NULL && issuer != NULL &&
			  strcmp(subject, "/CN=" CERTIFICATE_OWN_NAME) == 0 &&
			  strcmp(issuer, subject) == 0;

	XFREE(subject, NULL, DYNAMIC_TYPE_OPENSSL);
	XFREE(issuer, NULL, DYNAMIC_TYPE_OPENSSL);
	return ours;
}

/* Whether the pair should be made anew. Somebody else's is only complained about. */
static bool is_ending(const struct pc_certificate *pair, const char *path)
{
	WOLFSSL_X509 *x509 = parse(pair);
	if (x509 == NULL) {
		return false;
	}
	const char *how = ending(x509);
	const bool ours = is_ours(x509);

	wolfSSL_X509_free(x509);
	if (how != NULL && ours) {
		pc_info("%s/" CERTIFICATE_NAME " %s: a new one is made", path, how);
	} else if (how != NULL) {
		pc_warn("%s/" CERTIFICATE_NAME " %s, and is not petcam's to renew, ignoring", path,
			how);
	}
	return how != NULL && ours;
}

/* There is no key. -ENOENT: nor a certificate, or one that may be replaced. */
static int check_alone(
	const struct pc_certificate *pair, int r, const char *path, char *why, size_t why_size)
{
	WOLFSSL_X509 *x509 = r == 0 ? parse(pair) : NULL;
	const bool ours = x509 != NULL && is_ours(x509);

	wolfSSL_X509_free(x509);
	if (r < 0 || ours) {
		return r < 0 ? r : -ENOENT;
	}
	snprintf(why, why_size,
		"%s/" KEY_NAME " is missing beside " CERTIFICATE_NAME
		": bring it back, or delete the certificate to have both made",
		path);
	return -EINVAL;
}

/* 0; -ENOENT: make one. */
static int read_pair(
	int folder, const char *path, char *why, size_t why_size, struct pc_certificate *pair)
{
	int r = read_file(folder, path, CERTIFICATE_NAME, why, why_size, &pair->certificate,
		&pair->certificate_size);
	if (r < 0 && r != -ENOENT) {
		return r;
	}
	const int key =
		read_file(folder, path, KEY_NAME, why, why_size, &pair->key, &pair->key_size);
	if (key == -ENOENT) {
		return check_alone(pair, r, path, why, why_size);
	}
	if (key < 0) {
		return key;
	}
	if (r == -ENOENT) {
		snprintf(why, why_size,
			"%s/" CERTIFICATE_NAME " is missing beside " KEY_NAME
			": bring it back, or delete the key to have both made",
			path);
		return -EINVAL;
	}
	r = check_pair(pair, path, why, why_size);
	return r == 0 && is_ending(pair, path) ? -ENOENT : r;
}

static int open_folder(const char *path, char *why, size_t why_size)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		const int r = -errno;
		snprintf(why, why_size, "%s cannot be made: %s", path, pc_strerror(r));
		return r;
	}
	const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0) {
		const int r = -errno;
		snprintf(why, why_size, "%s cannot be opened: %s", path, pc_strerror(r));
		return r;
	}
	return folder;
}

int pc_certificate_open(
	const char *folder, char *why, size_t why_size, struct pc_certificate *ret_certificate)
{
	struct pc_certificate pair = { 0 };

	snprintf(why, why_size, "out of memory");
	const int fd = open_folder(folder, why, why_size);
	if (fd < 0) {
		return fd;
	}
	int r = read_pair(fd, folder, why, why_size, &pair);
	if (r == -ENOENT) {
		pc_certificate_finish(&pair);
		r = pc_certificate_make(&pair);
		if (r < 0) {
			snprintf(why, why_size, "no certificate could be made: %s", pc_strerror(r));
		} else {
			r = write_pair(fd, &pair);
			if (r < 0) {
				snprintf(why, why_size,
					"%s: the new certificate cannot be written: %s", folder,
					pc_strerror(r));
			}
		}
	}
	close(fd);
	if (r < 0) {
		pc_certificate_finish(&pair);
		return r;
	}
	*ret_certificate = pair;
	return 0;
}
