/* The key service of the tests (kds_server.py) as a child process on loopback, over a folder of its
 * own.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_KDS_PROCESS_H
#define CONTRAST_KDS_PROCESS_H

#include <sys/types.h>

#include "attest/snp_endorsement.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/bytes.h"

struct kds_process {
    pid_t pid;
    int input;       /* closing it ends the server */
    int port;        /* HTTP */
    int tls_port;    /* HTTPS; 0 without */
    char folder[64]; /* what it serves; removed by stop */
    char base[128];  /* of the last kds_process_base */
};

/* Aborts when python3 or the folder cannot be had. With TLS it makes a self-signed certificate for
 * 127.0.0.1, FOLDER/tls.pem, by openssl(1). */
void kds_process_start(struct kds_process *p, bool with_tls);
void kds_process_stop(struct kds_process *p);

/* "http://127.0.0.1:PORT/MODE", valid until the next call. */
const char *kds_process_base(struct kds_process *p, const char *mode);
/* Requests that this mode had. */
unsigned kds_process_count(const struct kds_process *p, const char *mode);

/* Writes a file of the folder. */
void kds_process_put(const struct kds_process *p, const char *name, struct span bytes);
/* The certificate of this chip and TCB: named as the server wants it, by its own rules. */
void kds_process_put_vek(const struct kds_process *p, enum snp_product product, struct span hwid,
                         const struct snp_tcb *tcb, struct span der);
/* The machine's certificate, also as any.der, and its chain. *key (may be NULL) names it. */
void kds_process_put_machine(const struct kds_process *p, const struct snp_fixture *f,
                             struct snp_endorsement_key *key);

#endif
