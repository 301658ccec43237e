/* SPDX-License-Identifier: Apache-2.0 */
#include "initializer/renewal_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes: a status or an error; a status that parses is written and read as the same one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct renewal_status s;
    struct renewal_status again;
    struct err err;
    if (!is_ok(renewal_status_decode(span_of(data, size), &s, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    renewal_status_encode(&s, false, &text);
    CHECK(is_ok(renewal_status_decode(buf_span(&text), &again, &err)));
    AUTO(buf_deinit)
    struct buf copy = {0};
    renewal_status_encode(&again, false, &copy);
    CHECK(span_equal(buf_span(&text), buf_span(&copy)));
    (void)renewal_plan_is_expired(&s.certificate.life, UINT64_MAX, INT64_MAX);
    struct renewal_plan plan = {0};
    renewal_plan_renew(&plan, &s.certificate.life, RENEWAL_JITTER - 1);
    return 0;
}
