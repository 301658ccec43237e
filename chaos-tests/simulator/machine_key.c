/* Machine keys: see machine_key.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "chaos-tests/simulator/machine_key.h"

#include <string.h>

#include "attest/snp_product.h"
#include "lib/crypto/digest.h"

#define LABEL "contrast-snp-simulator-key-v1"
#define TCB_SIZE 8
#define VMPL_MOST 3
#define RESPONSE_KEY 32

/* ROOT_KEY_SELECT */
#define ROOT_VMRK 1U
#define ROOT_KEY_SEL_SHIFT 1
#define ROOT_KEY_SEL_MASK 3U
#define ROOT_KNOWN 7U
enum { KEY_SEL_ANY, KEY_SEL_VCEK, KEY_SEL_VLEK };

/* GUEST_FIELD_SELECT */
#define FIELD_POLICY 1U
#define FIELD_IMAGE_ID 2U
#define FIELD_FAMILY_ID 4U
#define FIELD_MEASUREMENT 8U
#define FIELD_GUEST_SVN 16U
#define FIELD_TCB_VERSION 32U
#define FIELD_KNOWN 63U

struct key_request {
    uint32_t root;
    uint32_t reserved;
    uint64_t fields;
    uint32_t vmpl;
    uint32_t guest_svn;
    const uint8_t *tcb; /* TCB_SIZE bytes, borrowed */
};

static struct key_request read_request(const uint8_t *bytes) {
    return (struct key_request){.root = load_u32le(bytes),
                                .reserved = load_u32le(bytes + 4),
                                .fields = load_u64le(bytes + 8),
                                .vmpl = load_u32le(bytes + 16),
                                .guest_svn = load_u32le(bytes + 20),
                                .tcb = bytes + 24};
}

/* Component by component: every byte of a TCB version is one, or zero. */
static bool is_committed(const struct machine *m, const uint8_t *tcb) {
    uint8_t committed[TCB_SIZE];
    snp_tcb_encode(m->product, &m->tcb, committed);
    for (size_t i = 0; i < TCB_SIZE; i++) {
        if (tcb[i] > committed[i]) {
            return false;
        }
    }
    return true;
}

static enum machine_key_status judge(const struct machine *m, const struct machine_guest *guest,
                                     const struct key_request *r) {
    uint32_t key_sel = (r->root >> ROOT_KEY_SEL_SHIFT) & ROOT_KEY_SEL_MASK;
    if (r->reserved != 0 || (r->root & ~ROOT_KNOWN) != 0 || (r->root & ROOT_VMRK) != 0 ||
        key_sel > KEY_SEL_VLEK || (r->fields & ~(uint64_t)FIELD_KNOWN) != 0) {
        return MACHINE_KEY_INVALID_PARAM;
    }
    if (r->vmpl > VMPL_MOST || r->guest_svn > guest->guest_svn || !is_committed(m, r->tcb)) {
        return MACHINE_KEY_INVALID_PARAM;
    }
    return key_sel == KEY_SEL_VLEK ? MACHINE_KEY_INVALID_KEY : MACHINE_KEY_OK;
}

static void mix(struct buf *info, bool is_selected, struct span field) {
    uint8_t *at = buf_extend(info, field.size);
    memset(at, 0, field.size);
    if (is_selected) {
        memcpy(at, field.data, field.size);
    }
}

static void derive(const struct machine *m, const struct machine_guest *guest,
                   const struct key_request *r, uint8_t *out) {
    AUTO(buf_deinit)
    struct buf info = {0};
    uint8_t policy[8];
    uint8_t svn[4];
    store_u64be(policy, guest->policy);
    store_u32be(svn, r->guest_svn);
    buf_append(&info, LABEL, sizeof LABEL);
    buf_append_u32be(&info, r->vmpl);
    buf_append_u64be(&info, r->fields);
    mix(&info, (r->fields & FIELD_POLICY) != 0, SPAN(policy));
    mix(&info, (r->fields & FIELD_IMAGE_ID) != 0, SPAN(guest->image_id));
    mix(&info, (r->fields & FIELD_FAMILY_ID) != 0, SPAN(guest->family_id));
    mix(&info, (r->fields & FIELD_MEASUREMENT) != 0, SPAN(guest->measurement));
    mix(&info, (r->fields & FIELD_GUEST_SVN) != 0, SPAN(svn));
    mix(&info, (r->fields & FIELD_TCB_VERSION) != 0, span_of(r->tcb, TCB_SIZE));
    hkdf_sha256(secret_span(m->chip_secret), span_of(NULL, 0), buf_span(&info), out,
                MACHINE_KEY_SIZE);
}

void machine_key_derive(const struct machine *m, const struct machine_guest *guest,
                        const uint8_t request[MACHINE_KEY_REQUEST_SIZE],
                        uint8_t response[MACHINE_KEY_RESPONSE_SIZE]) {
    struct key_request r = read_request(request);
    enum machine_key_status status = judge(m, guest, &r);
    memset(response, 0, MACHINE_KEY_RESPONSE_SIZE);
    store_u32le(response, (uint32_t)status);
    if (status == MACHINE_KEY_OK) {
        derive(m, guest, &r, response + RESPONSE_KEY);
    }
}
