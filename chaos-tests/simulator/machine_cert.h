/* Machine certificates: ARK, ASK and VCEK in AMD's profile (AMD 57230 section 3), with a root of
 * our own. All signed with RSASSA-PSS, SHA-384, MGF1-SHA-384, salt 48.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_MACHINE_CERT_H
#define CONTRAST_MACHINE_CERT_H

#include "chaos-tests/simulator/machine.h"

/* RSA-4096 pairs; `now` in seconds since 1970. DER is appended to the last buffer. */
RESULT machine_cert_ark(enum snp_product product, const struct key *ark, int64_t now,
                        struct buf *der, struct err *err);
RESULT machine_cert_ask(enum snp_product product, const struct key *ask, const struct key *ark,
                        struct span ark_der, int64_t now, struct buf *der, struct err *err);
/* The leaf of m->vcek with m's product, TCB and chip id; seven years, serial number 0. */
RESULT machine_cert_vcek(const struct machine *m, const struct key *ask, int64_t now,
                         struct buf *der, struct err *err);

/* One "CERTIFICATE" block; appended. */
void machine_cert_pem(struct span der, struct buf *pem);
/* SHA-256 of the certificate's SubjectPublicKeyInfo. CONFIG when `der` is no certificate. */
RESULT machine_cert_key_digest(struct span der, uint8_t out[32], struct err *err);

#endif
