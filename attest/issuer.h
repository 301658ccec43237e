/* Issuer: where this pod's attestation reports come from.
 *
 *   issuer_open("unix:/run/pod.sock")  ->  issuer_report(64 bytes)  ->  report, VEK, ASK, ARK
 *
 * A driver per source fetches the raw report and the host's certificate table; everything after
 * that is common: the sizes, the echo of REPORT_DATA and the table are checked here, because the
 * source is the host, which is not trusted. Nothing is verified cryptographically: that is the
 * verifier's work, on the other end. Calls block; they may come from several threads and are served
 * one at a time (a guest has one message sequence with its security processor), and a request that
 * was sent is awaited to its end.
 *
 * The socket driver (issuer_socket.c) speaks this protocol, all integers big-endian:
 *
 *   request   "SNPR"  u32 version 1    report_data[64]
 *   answer    "SNPA"  u32 status       0 ok, 1 busy, 2 refused; after 1 and 2 nothing follows
 *                     u32 size, report           u32 size, certificate table (snp_certtable.h)
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ISSUER_H
#define CONTRAST_ISSUER_H

#include "lib/base/bytes.h"

#define ISSUER_DATA_SIZE 64 /* REPORT_DATA, AMD 56860 table 23 */
#define ISSUER_CHAIN_MAX 3

#define ISSUER_REQUEST_MAGIC "SNPR"
#define ISSUER_ANSWER_MAGIC "SNPA"
#define ISSUER_MAGIC_SIZE 4
#define ISSUER_VERSION 1
#define ISSUER_REQUEST_SIZE (ISSUER_MAGIC_SIZE + 4 + ISSUER_DATA_SIZE) /* bytes */

enum issuer_status { ISSUER_STATUS_OK, ISSUER_STATUS_BUSY, ISSUER_STATUS_REFUSED };

struct issuer; /* owned by whoever called issuer_open */

/* What one call gives. Zeroed is valid. The host may have no certificates: then vek is empty and
 * chain_count is 0. */
struct issuer_evidence {
    struct buf report; /* 1184 bytes */
    struct buf vek;    /* DER: VCEK or VLEK, as the report's SIGNING_KEY says */
    struct buf
        chain[ISSUER_CHAIN_MAX]; /* DER: ASK or ASVK, then ARK, as far as the host has them */
    size_t chain_count;
};

/* A source of reports. `fetch` appends the raw report and the certificate table. */
struct issuer_driver {
    const char *prefix; /* of the spec: "unix:" */
    const char *usage;  /* what a spec looks like: "unix:/PATH" */
    RESULT (*open)(const char *rest, void **state, struct err *err);
    RESULT(*fetch)
    (void *state, const uint8_t report_data[ISSUER_DATA_SIZE], struct buf *report,
     struct buf *table, struct err *err);
    void (*close)(void *state);
};

extern const struct issuer_driver issuer_socket; /* issuer_socket.c */

/* Checks `spec` and keeps it; nothing is asked yet. "unix:/PATH" is the socket of a simulated
 * machine. CONFIG lists the known forms. */
RESULT issuer_open(const char *spec, struct issuer **out, struct err *err);
void issuer_close(struct issuer *issuer); /* accepts NULL; no call may be under way */

/* A new report over report_data. BUSY: the host throttles, retry later. UNAVAILABLE: it cannot be
 * reached, went away or refused. MALFORMED or TOO_LARGE: it answered garbage; the text says where.
 * *out must be empty and is untouched on failure. */
RESULT issuer_report(struct issuer *issuer, const uint8_t report_data[ISSUER_DATA_SIZE],
                     struct issuer_evidence *out, struct err *err);

void issuer_evidence_deinit(struct issuer_evidence *e); /* accepts zeroed */

#endif
