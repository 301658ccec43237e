/* KDS: a client of AMD's key distribution service (AMD 57230 section 4), one request at a time.
 *
 *   GET BASE/vcek/v1/PRODUCT/HWID?blSPL=..&teeSPL=..&snpSPL=..&ucodeSPL=..  ->  one VCEK, DER
 *   GET BASE/vcek/v1/PRODUCT/crl                                           ->  a list, DER
 *   GET BASE/vcek/v1/PRODUCT/cert_chain                                    ->  ASK and ARK, PEM
 *
 * The answer comes from the network and is believed only after it is proven: the certificate is the
 * one of this chip and TCB, below AMD's root or a permitted one, and valid now; the list is signed
 * by that root. TLS (the system's authorities) protects the question, not the answer. Proxies as
 * libcurl's environment says. No redirect is followed. Every call is bounded in bytes and time.
 *
 * A request fails with
 *   BUSY         429, or 503 with Retry-After: *retry_ms and the error's advice say when
 *   UNAVAILABLE  other 5xx, no connection, silence, a torn answer: try later
 *   NOT_FOUND    404: AMD knows no such chip or TCB
 *   TLS          who answers is not the service
 *   DENIED       the answer is a certificate or list, but a false one: the text says whose it is
 *   MALFORMED    any other answer
 *   CANCELED     kds_cancel
 * and a text that names the address and what to do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_KDS_H
#define CONTRAST_KDS_H

#include "attest/snp_endorsement.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"

#define KDS_CERTIFICATES_MAX 4 /* in a chain's answer */

/* Copied by kds_open; zeroed is valid: AMD's service, the system's authorities, the limits. */
struct kds_config {
    const char *base; /* "https://kdsintf.amd.com"; http:// only where it says so */
    const char
        *ca_file; /* PEM; these authorities alone vouch for the server; NULL = the system's */
    const uint8_t (*extra_roots)[32]; /* SPKI digests of permitted roots besides AMD's */
    size_t extra_root_count;
    uint64_t connect_ms;     /* 0 = LIMIT_KDS_CONNECT_MS */
    uint64_t total_ms;       /* of one request; 0 = LIMIT_KDS_MS */
    const struct host *host; /* whose unix time judges dates; NULL = host_system */
};

struct kds;

/* CONFIG names what is wrong with the address or the file. */
RESULT kds_open(const struct kds_config *config, struct kds **out, struct err *err);
void kds_close(struct kds *k); /* accepts NULL; not while a request runs */

/* Ends the request that runs, and every later one, with CANCELED. From any thread. */
void kds_cancel(struct kds *k);

/* Appends the proven DER to `der`, at most LIMIT_CERT bytes. *retry_ms (may be NULL): milliseconds
 * that the service asks to be left alone, 0 unless BUSY. With extra roots the service's own chain
 * is asked for once for each product. */
RESULT kds_fetch_vek(struct kds *k, const struct snp_endorsement_key *key, struct buf *der,
                     uint64_t *retry_ms, struct err *err);

/* Appends the list (DER, at most LIMIT_CRL) of the root that revokes ASK (VCEK) or ASVK (VLEK). */
RESULT kds_fetch_crl(struct kds *k, enum snp_product product, enum snp_signing_key kind,
                     struct buf *der, uint64_t *retry_ms, struct err *err);

/* DER certificates: ASK or ASVK, and ARK. */
struct kds_chain {
    struct buf items[KDS_CERTIFICATES_MAX]; /* owned */
    size_t count;
};
void kds_chain_deinit(struct kds_chain *c); /* accepts zeroed */

/* Certificates as the service serves them, read and classified but not judged: what is built in
 * (snp_roots.h) needs no request. *out is zeroed before. */
RESULT kds_fetch_chain(struct kds *k, enum snp_product product, enum snp_signing_key kind,
                       struct kds_chain *out, uint64_t *retry_ms, struct err *err);

/* The address of a VCEK at `base` (NULL = AMD's), LIMIT_KDS_URL bytes with the NUL. */
void kds_vek_url(const char *base, const struct snp_endorsement_key *key, char out[LIMIT_KDS_URL]);

#endif
