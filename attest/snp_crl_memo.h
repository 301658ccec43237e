/* CRL memo: the revocation lists of one root that were checked before, by their exact bytes.
 *
 * A list is parsed and its signature proven once, not with every report. Only lists that the root
 * signed get here, so only AMD (or the owner of a permitted root) can push one out. What a list
 * says at a certain time is judged on every use.
 *
 * Thread-safe; SNP_CRL_MEMO_SIZE lists, the longest unused goes first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_SNP_CRL_MEMO_H
#define CONTRAST_SNP_CRL_MEMO_H

#include <pthread.h>

#include <openssl/types.h>

#include "lib/base/bytes.h"

#define SNP_CRL_MEMO_SIZE 8

struct snp_crl_memo {
    pthread_mutex_t lock; /* of all below */
    uint64_t clock;
    struct {
        X509_CRL *crl; /* owned; NULL: free */
        uint8_t digest[32];
        uint64_t used;
    } slots[SNP_CRL_MEMO_SIZE];
};

void snp_crl_memo_init(struct snp_crl_memo *m);
void snp_crl_memo_deinit(struct snp_crl_memo *m);

/* The list with these bytes, counted (X509_CRL_free); NULL when it is not known. m: NULL = none. */
X509_CRL *snp_crl_memo_find(struct snp_crl_memo *m, struct span der);
/* Keeps a list that this memo's root signed; takes a reference of its own. m: NULL = does nothing.
 */
void snp_crl_memo_keep(struct snp_crl_memo *m, struct span der, X509_CRL *crl);

#endif
