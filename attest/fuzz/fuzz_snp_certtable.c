/* Fuzz: any bytes as a certificate table. What parses lies inside the input, and its encoding
 * parses to the same contents.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/snp_certtable.h"
#include "lib/base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct span part, const uint8_t *data, size_t size) {
    CHECK(part.size == 0 || (part.data >= data && part.data + part.size <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct snp_certtable table = {0};
    if (!is_ok(snp_certtable_parse(span_of(data, size), &table, NULL))) {
        return 0;
    }
    struct snp_certtable_entry entries[LIMIT_SNP_CERTTABLE_ENTRIES];
    size_t count = 0;
    CHECK(is_ok(snp_certtable_list(span_of(data, size), entries, &count, NULL)));
    for (size_t i = 0; i < count; i++) {
        check_inside(entries[i].content, data, size);
    }
    check_inside(table.vcek, data, size);
    check_inside(table.vlek, data, size);
    check_inside(table.ask, data, size);
    check_inside(table.ark, data, size);
    check_inside(table.crl, data, size);
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct snp_certtable again = {0};
    snp_certtable_encode(&table, &bytes);
    struct result r = snp_certtable_parse(buf_span(&bytes), &again, NULL);
    /* Contents may overlap in the input and then grow over the limit of a table. */
    CHECK(is_ok(r) || r.code == ERR_TOO_LARGE);
    CHECK(!is_ok(r) || (span_equal(again.vcek, table.vcek) && span_equal(again.ark, table.ark)));
    return 0;
}
