/* Issuer: where this pod's attestation reports come from.
 *
 *   issuer_open("auto")  ->  issuer_report(64 bytes)  ->  report, VEK, ASK, ARK
 *                        ->  issuer_derive_key(spec)  ->  32 bytes that are this guest's
 * (issuer_key.h)
 *
 *   configfs:[DIR]     the kernel's configfs-tsm                                   issuer_tsm.c
 *   sev-guest:[PATH]   the kernel's device of the guest's security processor       issuer_guest.c
 *   unix:/PATH         the socket of a simulated machine                           issuer_socket.c
 *   auto               the first of the kernel's two that is there
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
 *   request   "SNPK"  u32 version 1    MSG_KEY_REQ[32]
 *   answer    "SNPA"  u32 status       as above
 *                     u32 size 64, MSG_KEY_RSP[64]        (issuer_key.h)
 *
 * configfs-tsm derives no keys. Its issuer opens /dev/sev-guest when the first key is asked for.
 *
 * docs/issuers.md is the page for whoever has to mend one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ISSUER_H
#define CONTRAST_ISSUER_H

#include "attest/issuer_key.h"
#include "lib/base/bytes.h"

#define ISSUER_DATA_SIZE 64 /* REPORT_DATA, AMD 56860 table 23 */
#define ISSUER_CHAIN_MAX 3

#define ISSUER_REQUEST_MAGIC "SNPR"
#define ISSUER_KEY_MAGIC "SNPK"
#define ISSUER_ANSWER_MAGIC "SNPA"
#define ISSUER_MAGIC_SIZE 4
#define ISSUER_VERSION 1
#define ISSUER_REQUEST_SIZE (ISSUER_MAGIC_SIZE + 4 + ISSUER_DATA_SIZE) /* bytes */

#define ISSUER_KEY_MESSAGE_SIZE (ISSUER_MAGIC_SIZE + 4 + ISSUER_KEY_REQUEST_SIZE) /* bytes */

#define ISSUER_AUTO "auto"

/* What the kernel's drivers say when the guest's key to the security processor is gone. */
#define ISSUER_LOST_TEXT "the guest has lost its channel to the security processor; restart the pod"

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

/* A source of reports. `fetch` appends the raw report and the certificate table; `derive` fills the
 * response, which lies in memory of a secret. A source that cannot derive has NULL there and names
 * in `keys` the driver that is opened with "" in its place. */
struct issuer_driver {
    const char *prefix; /* of the spec: "unix:" */
    const char *usage;  /* what a spec looks like: "unix:/PATH" */
    RESULT (*open)(const char *rest, void **state, struct err *err);
    RESULT(*fetch)
    (void *state, const uint8_t report_data[ISSUER_DATA_SIZE], struct buf *report,
     struct buf *table, struct err *err);
    RESULT(*derive)
    (void *state, const uint8_t request[ISSUER_KEY_REQUEST_SIZE],
     uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct err *err);
    const struct issuer_driver *keys;
    void (*close)(void *state);
};

extern const struct issuer_driver issuer_tsm;    /* issuer_tsm.c */
extern const struct issuer_driver issuer_guest;  /* issuer_guest.c */
extern const struct issuer_driver issuer_socket; /* issuer_socket.c */

/* The spec that a program's environment asks for: CONTRAST_ISSUER, else "unix:" and
 * CONTRAST_SNP_SOCKET (which contrast-snp-simulator sets), else "auto". `out` holds `size` bytes
 * with the NUL. CONFIG names the variable that is empty or too long. */
RESULT issuer_spec_read(const char *(*get)(const char *name), char *out, size_t size,
                        struct err *err);

/* Opens a source. The kernel's are looked at (is it there, is it AMD's), a socket is not; no report
 * is asked for. CONFIG: the spec is wrong, and lists the known forms. UNAVAILABLE: the source is
 * not there or not usable; for "auto" the text lists what was looked for, and why it was not it. */
RESULT issuer_open(const char *spec, struct issuer **out, struct err *err);
/* The first of `count` specs that opens; what it is goes to the log. */
RESULT issuer_open_first(const char *const *specs, size_t count, struct issuer **out,
                         struct err *err);
/* Over a driver's state that is open already; the issuer closes it. */
struct issuer *issuer_new(const struct issuer_driver *driver, void *state);
void issuer_close(struct issuer *issuer); /* accepts NULL; no call may be under way */

/* A new report over report_data. BUSY: the host throttles, retry later. UNAVAILABLE: it cannot be
 * reached, went away or refused. LOST: the guest's channel to the security processor is gone until
 * the pod restarts; every later call says so at once. MALFORMED or TOO_LARGE: it answered garbage;
 * the text says where. *out must be empty and is untouched on failure. */
RESULT issuer_report(struct issuer *issuer, const uint8_t report_data[ISSUER_DATA_SIZE],
                     struct issuer_evidence *out, struct err *err);

/* The key that the security processor derives for this guest and `spec`, into `out` of
 * ISSUER_KEY_SIZE bytes, which is untouched on failure. INVALID: no processor takes the spec. BUSY,
 * LOST, MALFORMED: as issuer_report. UNAVAILABLE: so, too; or the processor refused, or the source
 * derives no keys and the device that does is not there. */
RESULT issuer_derive_key(struct issuer *issuer, const struct issuer_key_spec *spec,
                         struct secret *out, struct err *err);

void issuer_evidence_deinit(struct issuer_evidence *e); /* accepts zeroed */

#endif
