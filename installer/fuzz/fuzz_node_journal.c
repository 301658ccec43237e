/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_journal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written and read again, the same. */
static void check(const struct node_journal *j) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    AUTO(node_journal_deinit)
    struct node_journal back = {0};
    struct err err;
    node_journal_encode(j, &text);
    CHECK(is_ok(node_journal_parse(buf_span(&text), &back, &err)));
    node_journal_encode(&back, &again);
    CHECK(span_equal(buf_span(&text), buf_span(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct node_journal it = {0};
    struct err err;
    if (is_ok(node_journal_parse(span_of(data, size), &it, &err))) {
        check(&it);
    }
    node_journal_deinit(&it);
    return 0;
}
