/* Issuer keys: see issuer_key.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/issuer_key.h"

#include <inttypes.h>
#include <string.h>

#define VMPL_MOST 3
#define RESPONSE_KEY 32
#define STATUS_INVALID_PARAM 0x16
#define STATUS_INVALID_KEY 0x27

struct result issuer_key_encode(const struct issuer_key_spec *spec,
                                uint8_t out[ISSUER_KEY_REQUEST_SIZE], struct err *err) {
    ENSURE(spec->root_key == ISSUER_ROOT_KEY_VCEK || spec->root_key == ISSUER_ROOT_KEY_VMRK, err,
           INVALID, "derived key: there is no root key %u", (unsigned)spec->root_key);
    ENSURE((spec->fields & ~ISSUER_FIELD_ALL) == 0, err, INVALID,
           "derived key: GUEST_FIELD_SELECT 0x%" PRIx64 " has unknown bits, known are 0x%" PRIx64,
           spec->fields, ISSUER_FIELD_ALL);
    ENSURE(spec->vmpl <= VMPL_MOST, err, INVALID, "derived key: there is no VMPL %u",
           (unsigned)spec->vmpl);
    store_u32le(out, (uint32_t)spec->root_key);
    store_u32le(out + 4, 0);
    store_u64le(out + 8, spec->fields);
    store_u32le(out + 16, spec->vmpl);
    store_u32le(out + 20, spec->guest_svn);
    store_u64le(out + 24, spec->tcb_version);
    return OK;
}

struct result issuer_key_parse(const uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct secret *out,
                               struct err *err) {
    static const uint8_t none[ISSUER_KEY_SIZE];
    struct span key = span_of(response + RESPONSE_KEY, ISSUER_KEY_SIZE);
    uint32_t status = load_u32le(response);
    CHECK(secret_span(out).size == ISSUER_KEY_SIZE);
    ENSURE(status != STATUS_INVALID_PARAM, err, UNAVAILABLE,
           "the security processor refused to derive the key: wrong parameter (status 0x16): VMPL, "
           "guest SVN or TCB version is beyond this guest's, or there is no such root key");
    ENSURE(status != STATUS_INVALID_KEY, err, UNAVAILABLE,
           "the security processor refused to derive the key: its root key is not there (status "
           "0x27)");
    ENSURE(status == 0, err, UNAVAILABLE,
           "the security processor refused to derive the key with status 0x%x", (unsigned)status);
    ENSURE(!span_equal_ct(key, SPAN(none)), err, MALFORMED,
           "the security processor's derived key is all zeros");
    memcpy(secret_data(out), key.data, key.size);
    return OK;
}
