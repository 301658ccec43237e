/* Fuzz target: a file of endorsements, whatever it holds. What is handed over lies in the file's
 * own bounds and has the key that its bytes say. SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/import.h"
#include "attest/snp_product.h"
#include "lib/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct result on_item(void *data, const struct import_item *item, struct err *err) {
    size_t *count = data;
    struct snp_tcb tcb;
    (void)err;
    CHECK(item->der.size > 0 && item->der.size <= (item->is_crl ? LIMIT_CRL : LIMIT_CERT));
    CHECK(item->product != SNP_PRODUCT_UNKNOWN);
    CHECK(item->is_crl == (item->kind == SNP_CERT_OTHER));
    CHECK(item->has_key == (item->kind == SNP_CERT_VCEK));
    CHECK(!item->has_key || (item->key.product == item->product &&
                             is_ok(snp_tcb_decode(item->product, item->key.tcb, &tcb, NULL)) &&
                             snp_tcb_equal(&tcb, &item->claims.tcb, NULL)));
    (*count)++;
    return OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t count = 0;
    struct import_counts counts = {0};
    const struct import_hooks hooks = {.data = &count, .on_item = on_item};
    struct result r = import_bytes("input", span_of(data, size), &hooks, &counts, NULL);
    CHECK(is_ok(r) == (count > 0) && counts.items == count);
    CHECK(counts.skipped == 0 || counts.skipped == 1);
    return 0;
}
