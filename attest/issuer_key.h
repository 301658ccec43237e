/* Issuer keys: what a guest may ask its security processor to derive, as the bytes of AMD's
 * messages MSG_KEY_REQ and MSG_KEY_RSP (AMD 56860; Linux: struct snp_derived_key_req and _resp).
 *
 *   request    0: u32 ROOT_KEY_SELECT    4: u32 zero    8: u64 GUEST_FIELD_SELECT
 *             16: u32 VMPL              20: u32 GUEST_SVN          24: u64 TCB_VERSION
 *   response   0: u32 STATUS             4: 28 bytes reserved      32: key[32]
 *
 * All little-endian. The processor mixes the root key, VMPL and the selected fields, nothing else.
 * So the key is the same for each guest of the same chip in which these are the same, whenever it
 * asks. HOST_DATA is no such field: two pods of one guest image with different policies get the
 * same key, as does whatever else runs in a guest of that image. Who seals with it states that in
 * its threat model, and passes the key through an HKDF with a purpose.
 *
 * Pure. Fails on what no processor takes (INVALID) and on a response that holds no key.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ISSUER_KEY_H
#define CONTRAST_ISSUER_KEY_H

#include "lib/base/secret.h"

#define ISSUER_KEY_SIZE 32
#define ISSUER_KEY_REQUEST_SIZE 32
#define ISSUER_KEY_RESPONSE_SIZE 64

/* ROOT_KEY_SELECT. VCEK: of this chip; where the host has loaded a VLEK, firmware takes that one
 * instead, which all chips of the provider may share. VMRK: given by a migration agent; a guest
 * without one is refused. */
enum issuer_root_key { ISSUER_ROOT_KEY_VCEK = 0, ISSUER_ROOT_KEY_VMRK = 1 };

/* GUEST_FIELD_SELECT */
#define ISSUER_FIELD_GUEST_POLICY (UINT64_C(1) << 0)
#define ISSUER_FIELD_IMAGE_ID (UINT64_C(1) << 1)  /* of the ID block */
#define ISSUER_FIELD_FAMILY_ID (UINT64_C(1) << 2) /* of the ID block */
#define ISSUER_FIELD_MEASUREMENT (UINT64_C(1) << 3)
#define ISSUER_FIELD_GUEST_SVN (UINT64_C(1) << 4)   /* the one of the request */
#define ISSUER_FIELD_TCB_VERSION (UINT64_C(1) << 5) /* the one of the request */
#define ISSUER_FIELD_ALL UINT64_C(0x3F)

/* A zeroed one asks for the key that every guest of the chip gets. */
struct issuer_key_spec {
    enum issuer_root_key root_key;
    uint64_t fields;      /* ISSUER_FIELD_ bits */
    uint32_t vmpl;        /* 0..3, not below the one that asks; always mixed in */
    uint32_t guest_svn;   /* not above that of the guest's ID block, which is 0 without one */
    uint64_t tcb_version; /* no component above the platform's committed TCB */
};

/* INVALID: a root key, field or VMPL that does not exist. */
RESULT issuer_key_encode(const struct issuer_key_spec *spec, uint8_t out[ISSUER_KEY_REQUEST_SIZE],
                         struct err *err);

/* Takes the key out of a response into `out` of ISSUER_KEY_SIZE bytes. UNAVAILABLE: the processor
 * refused, the text has its status. MALFORMED: it says it did not, and the key is zero. */
RESULT issuer_key_parse(const uint8_t response[ISSUER_KEY_RESPONSE_SIZE], struct secret *out,
                        struct err *err);

#endif
