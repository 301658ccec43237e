/* PEM: see pem.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/crypto/pem.h"

#include <limits.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

bool pem_is_text(struct span file) {
    static const char begin[] = "-----BEGIN ";
    return file.size > sizeof begin &&
           memmem(file.data, file.size, begin, sizeof begin - 1) != NULL;
}

/* Reads one block; `is_end` when there is none any more. */
static struct result next(BIO *bio, const char *label, pem_block_cb on_block, void *data,
                          size_t *count, bool *is_end, struct err *err) {
    char *name = NULL;
    char *header = NULL;
    unsigned char *der = NULL;
    long size = 0;
    *is_end = PEM_read_bio(bio, &name, &header, &der, &size) != 1;
    if (*is_end) {
        return OK;
    }
    struct result r = OK;
    if (strcmp(name, label) == 0) {
        r = on_block(data, span_of(der, (size_t)size), err);
        *count += is_ok(r) ? 1 : 0;
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)size);
    return r;
}

struct result pem_each(struct span file, const char *label, pem_block_cb on_block, void *data,
                       size_t *count, struct err *err) {
    ENSURE(file.size <= INT_MAX, err, TOO_LARGE, "PEM text of %zu bytes", file.size);
    *count = 0;
    if (file.size == 0) {
        return OK;
    }
    BIO *bio = BIO_new_mem_buf(file.data, (int)file.size);
    CHECK(bio != NULL);
    struct result r = OK;
    bool is_end = false;
    while (is_ok(r) && !is_end) {
        r = next(bio, label, on_block, data, count, &is_end, err);
    }
    BIO_free(bio);
    ERR_clear_error();
    return r;
}
