/* CRL memo: see snp_crl_memo.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_crl_memo.h"

#include <string.h>

#include <openssl/x509.h>

#include "lib/crypto/digest.h"

void snp_crl_memo_init(struct snp_crl_memo *m) {
    *m = (struct snp_crl_memo){0};
    CHECK(pthread_mutex_init(&m->lock, NULL) == 0);
}

void snp_crl_memo_deinit(struct snp_crl_memo *m) {
    for (size_t i = 0; i < SNP_CRL_MEMO_SIZE; i++) {
        X509_CRL_free(m->slots[i].crl);
    }
    pthread_mutex_destroy(&m->lock);
}

X509_CRL *snp_crl_memo_find(struct snp_crl_memo *m, struct span der) {
    if (m == NULL) {
        return NULL;
    }
    uint8_t digest[SHA256_SIZE];
    X509_CRL *found = NULL;
    sha256(der, digest);
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < SNP_CRL_MEMO_SIZE && found == NULL; i++) {
        if (m->slots[i].crl != NULL && memcmp(m->slots[i].digest, digest, sizeof digest) == 0) {
            found = m->slots[i].crl;
            m->slots[i].used = ++m->clock;
            CHECK(X509_CRL_up_ref(found) == 1);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

void snp_crl_memo_keep(struct snp_crl_memo *m, struct span der, X509_CRL *crl) {
    if (m == NULL) {
        return;
    }
    uint8_t digest[SHA256_SIZE];
    size_t at = 0;
    sha256(der, digest);
    CHECK(X509_CRL_up_ref(crl) == 1);
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < SNP_CRL_MEMO_SIZE; i++) {
        if (memcmp(m->slots[i].digest, digest, sizeof digest) == 0) {
            at = i;
            break;
        }
        at = m->slots[i].used < m->slots[at].used ? i : at;
    }
    X509_CRL_free(m->slots[at].crl);
    m->slots[at].crl = crl;
    m->slots[at].used = ++m->clock;
    memcpy(m->slots[at].digest, digest, sizeof digest);
    pthread_mutex_unlock(&m->lock);
}
