/* http/certificate_make.c - a P-256 key and its self-signed certificate for this host. */
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/random.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/certificate_internal.h"

#define DER_MAX 8192
#define VALID_DAYS 397 /* what browsers take of a public one */
#define ALT_NAMES_MAX 2048
/* A Pi has no clock of its own: before the network tells the time it may be 1970. */
#define EARLIEST INT64_C(1767225600) /* 2026-01-01 */

void certificate_wipe(void *bytes, size_t size)
{
	if (bytes != NULL) {
		explicit_bzero(bytes, size);
	}
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

static int describe(Cert *cert, ecc_key *key, const struct certificate_wish *wish)
{
	snprintf(cert->subject.commonName, sizeof(cert->subject.commonName), "%s", wish->name);
	cert->subject.commonNameEnc = CTC_UTF8;
	cert->sigType = CTC_SHA256wECDSA;
	cert->isCA = 0;
	cert->selfSigned = 1;
	cert->beforeDateSz = put_date(cert->beforeDate, wish->from);
	cert->afterDateSz = put_date(cert->afterDate, wish->until);
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
	unsigned char *pem = malloc(CERTIFICATE_PEM_MAX);
	if (pem == NULL) {
		return -ENOMEM;
	}
	const int n = wc_DerToPem(der, (word32)der_size, pem, CERTIFICATE_PEM_MAX, type);
	if (n <= 0) {
		certificate_wipe(pem, CERTIFICATE_PEM_MAX);
		free(pem);
		return n == MEMORY_E ? -ENOMEM : -EIO;
	}
	*ret_pem = pem;
	*ret_size = (size_t)n;
	return 0;
}

/* `cert` and `der` are given for their size: 25 KB and 8 KB. */
static int make_pair(Cert *cert, unsigned char *der, ecc_key *key, WC_RNG *rng,
	const struct certificate_wish *wish, struct pc_certificate *ret_certificate)
{
	struct pc_certificate made = { 0 };

	if (wc_ecc_make_key_ex(rng, 32, key, ECC_SECP256R1) != 0 || wc_InitCert(cert) != 0) {
		return -EIO;
	}
	int r = describe(cert, key, wish);
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

int certificate_make(const struct certificate_wish *wish, struct pc_certificate *ret_certificate)
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
		r = make_pair(cert, der, &key, &rng, wish, ret_certificate);
		wc_ecc_free(&key);
	}
	wc_FreeRng(&rng);

done_memory:
	certificate_wipe(der, DER_MAX);
	free(der);
	free(cert);
	return r;
}

int pc_certificate_make(struct pc_certificate *ret_certificate)
{
	const time_t clock = time(NULL);
	const time_t now = clock > EARLIEST ? clock : EARLIEST;
	const struct certificate_wish wish = {
		.name = CERTIFICATE_OWN_NAME,
		/* A day back: the clocks of phones are not ours. */
		.from = now - CERTIFICATE_DAY_S,
		.until = now + (VALID_DAYS - 1) * CERTIFICATE_DAY_S,
	};

	return certificate_make(&wish, ret_certificate);
}
