/* http/certificate.c - the server's own key and certificate: read, or made; see certificate.h. */
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
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
#include "http/certificate.h"

#define PEM_MAX 65536
#define DER_MAX 8192
#define DAY_S 86400
#define VALID_DAYS 397 /* what browsers take of a public one */
#define RENEW_DAYS 30
#define ALT_NAMES_MAX 2048
/* A Pi has no clock of its own: before the network tells the time it may be 1970. */
#define EARLIEST INT64_C(1767225600) /* 2026-01-01 */

#define KEY_NAME "tls.key"
#define CERTIFICATE_NAME "tls.crt"

static void wipe(void *bytes, size_t size)
{
	if (bytes != NULL) {
		explicit_bzero(bytes, size);
	}
}

void pc_certificate_finish(struct pc_certificate *certificate)
{
	wipe(certificate->key, certificate->key_size);
	free(certificate->key);
	free(certificate->certificate);
	memset(certificate, 0, sizeof(*certificate));
}

/* Subject alternative names, as the bytes of the extension: a SEQUENCE of [2] names and [7]
 * addresses. What has no room is left out. */
struct alt_names {
	size_t size;
	unsigned char bytes[ALT_NAMES_MAX];
};

static void alt_add(struct alt_names *names, unsigned char tag, const void *value, size_t size)
{
	if (size == 0 || size > 127 || names->size + 2 + size > sizeof(names->bytes)) {
		return;
	}
	unsigned char *at = names->bytes + names->size;
	at[0] = tag;
	at[1] = (unsigned char)size;
	memcpy(at + 2, value, size);
	/* Once only: an address may be on several interfaces. */
	for (size_t i = 0; i < names->size; i += 2u + names->bytes[i + 1]) {
		if (memcmp(names->bytes + i, at, 2 + size) == 0) {
			return;
		}
	}
	names->size += 2 + size;
}

static void alt_add_name(struct alt_names *names, const char *name)
{
	alt_add(names, 0x82, name, strlen(name));
}

static void alt_add_addresses(struct alt_names *names)
{
	const struct in_addr v4 = { .s_addr = htonl(INADDR_LOOPBACK) };
	struct ifaddrs *list;

	alt_add(names, 0x87, &v4, sizeof(v4));
	alt_add(names, 0x87, &in6addr_loopback, sizeof(in6addr_loopback));
	if (getifaddrs(&list) < 0) {
		return;
	}
	for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
		if (entry->ifa_addr == NULL || !(entry->ifa_flags & IFF_UP)) {
			continue;
		}
		if (entry->ifa_addr->sa_family == AF_INET) {
			struct sockaddr_in copy;
			memcpy(&copy, entry->ifa_addr, sizeof(copy));
			alt_add(names, 0x87, &copy.sin_addr, sizeof(copy.sin_addr));
		} else if (entry->ifa_addr->sa_family == AF_INET6) {
			struct sockaddr_in6 copy;
			memcpy(&copy, entry->ifa_addr, sizeof(copy));
			/* A browser cannot ask for a link-local one: it takes no zone. */
			if (!IN6_IS_ADDR_LINKLOCAL(&copy.sin6_addr)) {
				alt_add(names, 0x87, &copy.sin6_addr, sizeof(copy.sin6_addr));
			}
		}
	}
	freeifaddrs(list);
}

/* Writes the whole extension value; its size. */
static int alt_names_of_host(unsigned char *out, size_t size)
{
	struct alt_names names = { 0 };
	char host[65] = "", local[80];

	alt_add_name(&names, "localhost");
	if (gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0') {
		alt_add_name(&names, host);
		if (strchr(host, '.') == NULL) {
			snprintf(local, sizeof(local), "%s.local", host);
			alt_add_name(&names, local);
		}
	}
	alt_add_addresses(&names);
	if (names.size + 4 > size) {
		return -ENOSPC;
	}
	out[0] = 0x30;
	out[1] = 0x82;
	out[2] = (unsigned char)(names.size >> 8);
	out[3] = (unsigned char)names.size;
	/* DER wants the shortest length. */
	size_t head = 4;
	if (names.size < 128) {
		out[1] = (unsigned char)names.size;
		head = 2;
	} else if (names.size < 256) {
		out[1] = 0x81;
		out[2] = (unsigned char)names.size;
		head = 3;
	}
	memcpy(out + head, names.bytes, names.size);
	return (int)(head + names.size);
}

/* UTCTime with its tag and length: 15 bytes. */
static int put_date(unsigned char *out, time_t when)
{
	struct tm tm;

	gmtime_r(&when, &tm);
	out[0] = 0x17;
	out[1] = 13;
	const int n = snprintf((char *)out + 2, CTC_DATE_SIZE - 2, "%02d%02d%02d%02d%02d%02dZ",
		tm.tm_year % 100, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return n == 13 ? 15 : -EINVAL;
}

static int describe(Cert *cert, ecc_key *key)
{
	const time_t now = time(NULL) > EARLIEST ? time(NULL) : EARLIEST;

	snprintf(cert->subject.commonName, sizeof(cert->subject.commonName), "petcam");
	cert->subject.commonNameEnc = CTC_UTF8;
	cert->sigType = CTC_SHA256wECDSA;
	cert->isCA = 0;
	cert->selfSigned = 1;
	/* A day back: the clocks of phones are not ours. */
	cert->beforeDateSz = put_date(cert->beforeDate, now - DAY_S);
	cert->afterDateSz = put_date(cert->afterDate, now + (VALID_DAYS - 1) * DAY_S);
	cert->altNamesSz = alt_names_of_host(cert->altNames, sizeof(cert->altNames));
	if (cert->beforeDateSz < 0 || cert->afterDateSz < 0 || cert->altNamesSz < 0) {
		return -EINVAL;
	}
	if (wc_SetKeyUsage(cert, "digitalSignature") != 0 ||
		wc_SetExtKeyUsage(cert, "serverAuth") != 0 ||
		wc_SetSubjectKeyIdFromPublicKey_ex(cert, ECC_TYPE, key) != 0) {
		return -EIO;
	}
	return 0;
}

/* DER to PEM in memory of its own. */
static int to_pem(
	const unsigned char *der, int der_size, int type, unsigned char **ret_pem, size_t *ret_size)
{
	unsigned char *pem = malloc(PEM_MAX);
	if (pem == NULL) {
		return -ENOMEM;
	}
	const int n = wc_DerToPem(der, (word32)der_size, pem, PEM_MAX, type);
	if (n <= 0) {
		wipe(pem, PEM_MAX);
		free(pem);
		return n == MEMORY_E ? -ENOMEM : -EIO;
	}
	*ret_pem = pem;
	*ret_size = (size_t)n;
	return 0;
}

/* `cert` and `der` are given for their size: 25 KB and 8 KB. */
static int make_pair(Cert *cert, unsigned char *der, ecc_key *key, WC_RNG *rng,
	struct pc_certificate *ret_certificate)
{
	struct pc_certificate made = { 0 };

	if (wc_ecc_make_key_ex(rng, 32, key, ECC_SECP256R1) != 0 || wc_InitCert(cert) != 0) {
		return -EIO;
	}
	int r = describe(cert, key);
	if (r < 0) {
		return r;
	}
	/* The issuer of a self-signed certificate is its subject. */
	cert->issuer = cert->subject;
	int n = wc_MakeCert_ex(cert, der, DER_MAX, ECC_TYPE, key, rng);
	if (n > 0) {
		n = wc_SignCert_ex(cert->bodySz, cert->sigType, der, DER_MAX, ECC_TYPE, key, rng);
	}
	if (n <= 0) {
		return n == MEMORY_E ? -ENOMEM : -EIO;
	}
	r = to_pem(der, n, CERT_TYPE, &made.certificate, &made.certificate_size);
	if (r == 0) {
		n = wc_EccKeyToDer(key, der, DER_MAX);
		r = n <= 0 ? -EIO : to_pem(der, n, ECC_PRIVATEKEY_TYPE, &made.key, &made.key_size);
	}
	if (r < 0) {
		pc_certificate_finish(&made);
		return r;
	}
	*ret_certificate = made;
	return 0;
}

int pc_certificate_make(struct pc_certificate *ret_certificate)
{
	ecc_key key;
	WC_RNG rng;
	int r = -ENOMEM;

	Cert *cert = malloc(sizeof(*cert));
	unsigned char *der = malloc(DER_MAX);
	if (cert == NULL || der == NULL) {
		goto done_memory;
	}
	r = -EIO;
	if (wc_InitRng(&rng) != 0) {
		goto done_memory;
	}
	if (wc_ecc_init(&key) == 0) {
		r = make_pair(cert, der, &key, &rng, ret_certificate);
		wc_ecc_free(&key);
	}
	wc_FreeRng(&rng);

done_memory:
	wipe(der, DER_MAX);
	free(der);
	free(cert);
	return r;
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
	bytes = malloc(PEM_MAX);
	if (bytes == NULL) {
		r = -ENOMEM;
	}
	while (r == 0) {
		const ssize_t got = read(fd, bytes + n, PEM_MAX - n);
		if (got < 0) {
			r = errno == EINTR ? 0 : -errno;
		} else if (got == 0) {
			break;
		} else if ((n += (size_t)got) == PEM_MAX) {
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
		wipe(bytes, n);
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
	} else if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS) {
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
	return now >= end - RENEW_DAYS * DAY_S ? "ends soon" : NULL;
}

static WOLFSSL_X509 *parse(const struct pc_certificate *pair)
{
	return wolfSSL_X509_load_certificate_buffer(
		pair->certificate, (int)pair->certificate_size, WOLFSSL_FILETYPE_PEM);
}

static bool is_ours(WOLFSSL_X509 *x509)
{
	char *subject = wolfSSL_X509_NAME_oneline(wolfSSL_X509_get_subject_name(x509), NULL, 0);
	char *issuer = wolfSSL_X509_NAME_oneline(wolfSSL_X509_get_issuer_name(x509), NULL, 0);
	const bool ours = subject != NULL && issuer != NULL && strcmp(subject, "/CN=petcam") == 0 &&
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
