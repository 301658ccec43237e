/* Renewal status: renewal-status.json, what a pod knows of its certificate and its Coordinator.
 *
 *   { "state": "valid" | "expired" | "none",
 *     "last_success": 1795334400,                unix seconds; 0: never
 *     "certificate": null or { "serial", "generation", "epoch", "mesh_ca_sha384", "chain_sha256",
 *                              "not_before", "not_after", "issued_at", "issued_monotonic_ms" },
 *     "seen": null or { "cluster", "epoch", "generation", "head", "confirmed_index" },
 *     "last_error": null or { "code": "NO_QUORUM", "number": 9, "text": "...", "at": 1795334460 } }
 *
 * For people and probes, and for the next process: `seen` is what it will never go below, so it is
 * written before anything that follows from it. It lies in the memory of the pod; whoever can write
 * there holds the pod's key anyway.
 *
 * The file is replaced as a whole (file_write), in a folder of its own: who watches the pod's
 * folder for new certificates hears nothing of it.
 *
 *   /contrast/..status/renewal-status.json
 *   /contrast/renewal-status.json -> ..status/renewal-status.json
 *
 * The parser takes any bytes: a file that is not exactly this is CONFIG, and says which member.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_RENEWAL_STATUS_H
#define CONTRAST_RENEWAL_STATUS_H

#include "initializer/lineage.h"
#include "initializer/renewal_plan.h"
#include "lib/base/bytes.h"

#define RENEWAL_STATUS_NAME "renewal-status.json"
#define RENEWAL_STATUS_FOLDER "..status"

struct renewal_certificate {
    uint8_t serial[16];
    uint64_t generation;
    uint64_t epoch;
    uint8_t mesh_ca[48];      /* SHA-384 of mesh-ca.pem */
    uint8_t chain_digest[32]; /* SHA-256 of certChain.pem: which files this describes */
    struct renewal_life life;
};

struct renewal_status {
    int64_t last_success; /* unix seconds: a certificate or a look at the Coordinator; 0 = none */
    bool has_certificate;
    struct renewal_certificate certificate;
    struct lineage seen;
    struct err error; /* of the last attempt; code OK: it went well */
    int64_t error_at; /* unix seconds */
};

/* Appends the JSON. `is_expired` is the word for `state`. */
void renewal_status_encode(const struct renewal_status *s, bool is_expired, struct buf *out);
RESULT renewal_status_decode(struct span json, struct renewal_status *out, struct err *err);

/* Reads and writes it in the folder. NOT_FOUND without a file; IO; CONFIG. */
RESULT renewal_status_load(const char *dir, struct renewal_status *out, struct err *err);
RESULT renewal_status_store(const char *dir, const struct renewal_status *s, bool is_expired,
                            struct err *err);

#endif
