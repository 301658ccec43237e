/* Machine: a simulated SEV-SNP processor with its own root, and the folder that keeps it.
 *
 *   DIR/ark.{der,pem}  ask.{der,pem}  vcek.{der,pem}     certificates in AMD's profile
 *       cert_chain.pem                                   ASK, then ARK: the order of AMD's KDS
 *       ark.key.pem  ask.key.pem  vcek.key.pem           private keys, 0600
 *       chip.secret             32 bytes that guests' keys are derived from, 0600
 *       machine.json            product, chip id, measurement, TCB, digest of the ARK's key
 *       reference-values.json   the same as an array for `contrast generate --reference-values`
 *
 * Evidence of this machine is genuine in every respect but the root: a verifier accepts it only
 * where its configuration names the digest of the ARK's key. machine.json is written last, so a
 * folder that has one is complete.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MACHINE_H
#define CONTRAST_MACHINE_H

#include "lib/base/bytes.h"
#include "lib/base/secret.h"
#include "lib/crypto/key.h"
#include "lib/manifest/manifest.h"

#define MACHINE_CHIP_ID_SIZE 64
#define MACHINE_MEASUREMENT_SIZE 48
#define MACHINE_HOST_DATA_SIZE 32
#define MACHINE_REPORT_ID_SIZE 32
#define MACHINE_CHIP_SECRET_SIZE 32
#define MACHINE_ID_SIZE 16 /* IMAGE_ID, FAMILY_ID */

/* Zeroed is valid for machine_deinit. */
struct machine {
    enum snp_product product;
    uint8_t chip_id[MACHINE_CHIP_ID_SIZE]; /* Turin: eight bytes, then zeros */
    uint8_t measurement[MACHINE_MEASUREMENT_SIZE];
    struct snp_tcb tcb;
    struct key vcek;            /* private */
    struct secret *chip_secret; /* MACHINE_CHIP_SECRET_SIZE bytes, owned */
    struct buf vek_der;         /* VCEK */
    struct buf ask_der;
    struct buf ark_der;
};

/* What the firmware keeps about one guest (AMD 56860 section 7.3). */
struct machine_guest {
    uint8_t host_data[MACHINE_HOST_DATA_SIZE];
    uint8_t report_id[MACHINE_REPORT_ID_SIZE];
    uint8_t measurement[MACHINE_MEASUREMENT_SIZE];
    uint64_t policy;
    uint32_t guest_svn; /* this and the two below: of an ID block, zero without one */
    uint8_t image_id[MACHINE_ID_SIZE];
    uint8_t family_id[MACHINE_ID_SIZE];
};

/* "Milan", "Genoa" or "Turin"; USAGE otherwise. */
RESULT machine_product_parse(const char *name, enum snp_product *out, struct err *err);

/* What a new machine is to be; all borrowed. */
struct machine_plan {
    enum snp_product product;
    const uint8_t *measurement; /* MACHINE_MEASUREMENT_SIZE; NULL: a random one */
    const uint8_t *microcode;   /* the TCB's; NULL: the one of real machines of this product */
    const char *root;           /* folder of a machine of this product: the new one gets its ARK and
                                 * ASK, as all of AMD's have one root; NULL: its own */
};

/* Makes keys, certificates and a random chip id, and fills `dir` (made if absent). EXISTS when the
 * folder holds anything, CONFIG when that of the root does not fit. */
RESULT machine_create(const char *dir, const struct machine_plan *plan, struct err *err);

/* Reads what serving needs: no CA key. CONFIG names the file and member that does not fit. */
RESULT machine_load(const char *dir, struct machine *out, struct err *err);
void machine_deinit(struct machine *m);

/* Launches a guest with this HOST_DATA and a random REPORT_ID: the machine's measurement, and a
 * policy that allows SMT and nothing else. */
void machine_guest_init(const struct machine *m, const uint8_t host_data[MACHINE_HOST_DATA_SIZE],
                        struct machine_guest *out);

/* The certificate table of the host (attest/snp_certtable.h); appended to `out`. */
void machine_certtable(const struct machine *m, struct buf *out);

/* A signed attestation report of this guest over report_data[64]; appended to `out`. */
RESULT machine_report(const struct machine *m, const struct machine_guest *guest,
                      const uint8_t *report_data, struct buf *out, struct err *err);

#endif
