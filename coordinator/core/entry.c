/* Entries: see entry.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/entry.h"

#include <ctype.h>
#include <string.h>

#include "lib/crypto/digest.h"
#include "lib/manifest/manifest.h"

/* A build for tests of upgrades defines a lower one: it then knows less. */
#ifndef ENTRY_VERSION
#define ENTRY_VERSION 2
#endif

/* --- Tables, in wire order */

static const struct wire_field request_fields[] = {
    WIRE_U64(struct entry_request, proposer),
    WIRE_U64(struct entry_request, sequence),
};
static const struct wire_type request_type = WIRE_TYPE(struct entry_request, request_fields);

static const struct wire_field member_fields[] = {
    WIRE_U64(struct entry_member, id),
    WIRE_STR(struct entry_member, name, LIMIT_NAME),
    WIRE_STR(struct entry_member, address, LIMIT_ADDRESS),
    WIRE_STR(struct entry_member, user_address, LIMIT_ADDRESS),
    WIRE_BYTES(struct entry_member, spki, LIMIT_SPKI),
    WIRE_FIXED(struct entry_member, host_data),
    WIRE_BYTES(struct entry_member, evidence, ENTRY_EVIDENCE),
    WIRE_U64(struct entry_member, version),
};
const struct wire_type entry_member_type = WIRE_TYPE(struct entry_member, member_fields);

static const struct wire_field digest_fields[] = {
    WIRE_FIXED(struct entry_digest, digest),
};
const struct wire_type entry_digest_type = WIRE_TYPE(struct entry_digest, digest_fields);

static const struct wire_field found_fields[] = {
    WIRE_MSG(struct entry_found, request, &request_type),
    WIRE_LIST(struct entry_found, founders, LIMIT_VOTERS, &entry_member_type),
    WIRE_FIXED(struct entry_found, cluster),
    WIRE_I64(struct entry_found, time),
    WIRE_LIST(struct entry_found, simulated_roots, LIMIT_REFERENCE_VALUES, &entry_digest_type),
};
const struct wire_type entry_found_type = WIRE_TYPE(struct entry_found, found_fields);

static const struct wire_field blob_fields[] = {
    WIRE_MSG(struct entry_blob, request, &request_type),
    WIRE_FIXED(struct entry_blob, hash),
    WIRE_BYTES(struct entry_blob, policy, LIMIT_POLICY),
};
static const struct wire_type blob_type = WIRE_TYPE(struct entry_blob, blob_fields);

static const struct wire_field set_manifest_fields[] = {
    WIRE_MSG(struct entry_set_manifest, request, &request_type),
    WIRE_BYTES(struct entry_set_manifest, manifest, LIMIT_MANIFEST_SET),
    WIRE_FIXED(struct entry_set_manifest, previous),
    WIRE_U64(struct entry_set_manifest, generation),
    WIRE_BYTES(struct entry_set_manifest, signer, LIMIT_SPKI),
    WIRE_BYTES(struct entry_set_manifest, signature, LIMIT_SIGNATURE),
    WIRE_BYTES(struct entry_set_manifest, mesh_key, ENTRY_KEY),
    WIRE_BYTES(struct entry_set_manifest, mesh_cert, LIMIT_PEM),
    WIRE_BYTES(struct entry_set_manifest, intermediate, LIMIT_PEM),
    WIRE_BYTES(struct entry_set_manifest, root_key, ENTRY_KEY),
    WIRE_BYTES(struct entry_set_manifest, root_cert, LIMIT_PEM),
    WIRE_BYTES(struct entry_set_manifest, workload_secret, ENTRY_SECRET),
    WIRE_I64(struct entry_set_manifest, time),
};
static const struct wire_type set_manifest_type =
    WIRE_TYPE(struct entry_set_manifest, set_manifest_fields);

static const struct wire_field admit_fields[] = {
    WIRE_MSG(struct entry_admit, request, &request_type),
    WIRE_MSG(struct entry_admit, member, &entry_member_type),
    WIRE_U64(struct entry_admit, replaces),
    WIRE_I64(struct entry_admit, time),
};
static const struct wire_type admit_type = WIRE_TYPE(struct entry_admit, admit_fields);

static const struct wire_field retire_fields[] = {
    WIRE_MSG(struct entry_retire, request, &request_type),
    WIRE_U64(struct entry_retire, id),
    WIRE_U8(struct entry_retire, reason),
    WIRE_BYTES(struct entry_retire, signer, LIMIT_SPKI),
    WIRE_BYTES(struct entry_retire, signature, LIMIT_SIGNATURE),
    WIRE_I64(struct entry_retire, time),
};
static const struct wire_type retire_type = WIRE_TYPE(struct entry_retire, retire_fields);

static const struct wire_field issue_request_fields[] = {
    WIRE_BYTES(struct entry_issue_request, spki, LIMIT_SPKI),
    WIRE_FIXED(struct entry_issue_request, policy_hash),
    WIRE_FIXED(struct entry_issue_request, evidence_digest),
    WIRE_U64(struct entry_issue_request, validity_s),
};
static const struct wire_type issue_request_type =
    WIRE_TYPE(struct entry_issue_request, issue_request_fields);

static const struct wire_field issue_fields[] = {
    WIRE_MSG(struct entry_issue, request, &request_type),
    WIRE_U64(struct entry_issue, generation),
    WIRE_LIST(struct entry_issue, requests, LIMIT_ISSUE_BATCH, &issue_request_type),
    WIRE_I64(struct entry_issue, time),
};
static const struct wire_type issue_type = WIRE_TYPE(struct entry_issue, issue_fields);

static const struct wire_field endorsement_fields[] = {
    WIRE_U8(struct entry_endorsement, product),
    WIRE_U8(struct entry_endorsement, signing),
    WIRE_FIXED(struct entry_endorsement, chip_id),
    WIRE_FIXED(struct entry_endorsement, tcb),
};
const struct wire_type entry_endorsement_type =
    WIRE_TYPE(struct entry_endorsement, endorsement_fields);

static const struct wire_field collateral_fields[] = {
    WIRE_MSG(struct entry_collateral, request, &request_type),
    WIRE_U8(struct entry_collateral, kind),
    WIRE_MSG(struct entry_collateral, key, &entry_endorsement_type),
    WIRE_BYTES(struct entry_collateral, der, LIMIT_CRL),
    WIRE_BYTES(struct entry_collateral, authority, LIMIT_CERT),
    WIRE_BYTES(struct entry_collateral, root, LIMIT_CERT),
    WIRE_FIXED(struct entry_collateral, anchor),
    WIRE_U64(struct entry_collateral, number),
    WIRE_I64(struct entry_collateral, this_update),
    WIRE_I64(struct entry_collateral, next_update),
    WIRE_I64(struct entry_collateral, time),
};
static const struct wire_type collateral_type =
    WIRE_TYPE(struct entry_collateral, collateral_fields);

static const struct wire_field level_fields[] = {
    WIRE_MSG(struct entry_level, request, &request_type),
    WIRE_U64(struct entry_level, level),
    WIRE_I64(struct entry_level, time),
};
static const struct wire_type level_type = WIRE_TYPE(struct entry_level, level_fields);

static const struct wire_field recovery_signature_fields[] = {
    WIRE_BYTES(struct recovery_signature, key, LIMIT_PKCS1),
    WIRE_BYTES(struct recovery_signature, signature, LIMIT_RSA_SIGNATURE),
};
const struct wire_type entry_recovery_signature_type =
    WIRE_TYPE(struct recovery_signature, recovery_signature_fields);

static const struct wire_field recover_fields[] = {
    WIRE_MSG(struct entry_recover, request, &request_type),
    WIRE_U64(struct entry_recover, epoch),
    WIRE_U64(struct entry_recover, previous_epoch),
    WIRE_U8(struct entry_recover, mode),
    WIRE_U64(struct entry_recover, generation),
    WIRE_FIXED(struct entry_recover, head),
    WIRE_U64(struct entry_recover, index),
    WIRE_U64(struct entry_recover, ledger_size),
    WIRE_FIXED(struct entry_recover, ledger_root),
    WIRE_MSG(struct entry_recover, recipient, &entry_member_type),
    WIRE_LIST(struct entry_recover, signatures, LIMIT_SHARE_OWNERS, &entry_recovery_signature_type),
    WIRE_BYTES(struct entry_recover, mesh_key, ENTRY_KEY),
    WIRE_BYTES(struct entry_recover, mesh_cert, LIMIT_PEM),
    WIRE_BYTES(struct entry_recover, intermediate, LIMIT_PEM),
    WIRE_I64(struct entry_recover, time),
};
static const struct wire_type recover_type = WIRE_TYPE(struct entry_recover, recover_fields);

static const struct {
    const char *name;
    uint8_t version;
    const struct wire_type *wire;
} types[] = {
    [ENTRY_FOUND] = {"FOUND", 1, &entry_found_type},
    [ENTRY_BLOB] = {"BLOB", 1, &blob_type},
    [ENTRY_SET_MANIFEST] = {"SET_MANIFEST", 1, &set_manifest_type},
    [ENTRY_ADMIT] = {"ADMIT", 1, &admit_type},
    [ENTRY_RETIRE] = {"RETIRE", 1, &retire_type},
    [ENTRY_ISSUE] = {"ISSUE", 1, &issue_type},
    [ENTRY_COLLATERAL] = {"COLLATERAL", 2, &collateral_type},
    [ENTRY_LEVEL] = {"LEVEL", 1, &level_type},
    [ENTRY_RECOVER] = {"RECOVER", 1, &recover_type},
};

const uint64_t entry_version = ENTRY_VERSION;

static bool is_known(unsigned type) {
    return type < sizeof types / sizeof types[0] && types[type].wire != NULL;
}

uint8_t entry_version_of(enum entry_type type) {
    return is_known(type) && types[type].version <= entry_version ? types[type].version : 0;
}

uint8_t entry_version_in(struct span bytes) {
    return bytes.size < ENTRY_HEADER_SIZE ? 0 : bytes.data[1];
}

/* --- Encoding */

const char *entry_type_name(enum entry_type type) {
    return is_known(type) ? types[type].name : "unknown";
}

void entry_encode(enum entry_type type, const void *body, struct buf *out) {
    CHECK(is_known(type));
    buf_append_u8(out, (uint8_t)type);
    buf_append_u8(out, types[type].version);
    wire_encode(types[type].wire, body, out);
}

RESULT entry_decode_own(struct span bytes, struct arena *arena, struct entry *out,
                        struct err *err) {
    ENSURE(bytes.size >= ENTRY_HEADER_SIZE, err, MALFORMED, "entry: %zu bytes", bytes.size);
    ENSURE(bytes.size <= LIMIT_ENTRY, err, TOO_LARGE, "entry: %zu bytes, limit %d", bytes.size,
           LIMIT_ENTRY);
    ENSURE(is_known(bytes.data[0]), err, MALFORMED, "entry: unknown type %u", bytes.data[0]);
    ENSURE(bytes.data[1] == types[bytes.data[0]].version, err, MALFORMED,
           "entry: %s of version %u, want %u", types[bytes.data[0]].name, bytes.data[1],
           types[bytes.data[0]].version);
    struct entry e = {.type = bytes.data[0]};
    struct span body = span_of(bytes.data + ENTRY_HEADER_SIZE, bytes.size - ENTRY_HEADER_SIZE);
    TRY(wire_decode(types[e.type].wire, body, arena, &e.request, err));
    *out = e;
    return OK;
}

RESULT entry_decode(struct span bytes, struct arena *arena, struct entry *out, struct err *err) {
    ENSURE(entry_version_in(bytes) <= entry_version, err, FROZEN,
           "entry of version %u, this replica knows %u: run a newer build", entry_version_in(bytes),
           (unsigned)entry_version);
    return entry_decode_own(bytes, arena, out, err);
}

/* --- What follows from entries */

void entry_leaf(const struct entry *e, uint64_t index, uint8_t out[ENTRY_LEAF_SIZE]) {
    struct entry open = *e;
    if (e->type == ENTRY_SET_MANIFEST) {
        open.set_manifest.mesh_key = span_of(NULL, 0);
        open.set_manifest.root_key = span_of(NULL, 0);
        open.set_manifest.workload_secret = span_of(NULL, 0);
    } else if (e->type == ENTRY_RECOVER) {
        open.recover.mesh_key = span_of(NULL, 0);
    }
    AUTO(buf_deinit)
    struct buf body = {0};
    wire_encode(types[e->type].wire, &open.request, &body);
    out[0] = (uint8_t)e->type;
    out[1] = types[e->type].version;
    store_u64be(out + 2, index);
    sha384(buf_span(&body), out + 10);
}

uint64_t entry_replica_id(struct span spki) {
    uint8_t digest[SHA256_SIZE];
    sha256(spki, digest);
    return load_u64be(digest) >> 1;
}

static void append_sized(struct buf *out, struct span s) {
    buf_append_u32be(out, (uint32_t)s.size);
    buf_append_span(out, s);
}

void entry_cluster_id(const struct entry_member *founders, size_t count, uint8_t out[32]) {
    static const char label[] = "contrast-cluster-v1"; /* with its NUL */
    AUTO(buf_deinit)
    struct buf list = {0};
    buf_append_span(&list, SPAN(label));
    buf_append_u32be(&list, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        buf_append_u64be(&list, founders[i].id);
        append_sized(&list, span_str(founders[i].name));
        append_sized(&list, span_str(founders[i].address));
        append_sized(&list, founders[i].spki);
    }
    sha256(buf_span(&list), out);
}

void entry_serial(const uint8_t cluster[32], uint64_t epoch, uint64_t issue_index,
                  uint8_t out[ENTRY_SERIAL_SIZE]) {
    static const char label[] = "contrast-serial-v1"; /* with its NUL */
    uint8_t numbers[16];
    store_u64be(numbers, epoch);
    store_u64be(numbers + 8, issue_index);
    struct span parts[] = {SPAN(label), span_of(cluster, 32), SPAN(numbers)};
    uint8_t digest[SHA256_SIZE];
    sha256_parts(parts, 3, digest);
    digest[0] &= 0x7f;
    if (span_is_zero(span_of(digest, ENTRY_SERIAL_SIZE))) {
        digest[ENTRY_SERIAL_SIZE - 1] = 1;
    }
    memcpy(out, digest, ENTRY_SERIAL_SIZE);
}

void entry_retire_signed_bytes(const uint8_t cluster[32], uint64_t epoch, uint64_t id,
                               struct buf *out) {
    static const char label[] = "contrast-retire-v1"; /* with its NUL */
    buf_append_span(out, SPAN(label));
    buf_append(out, cluster, 32);
    buf_append_u64be(out, epoch);
    buf_append_u64be(out, id);
}

/* --- Members */

/* A pod's name: RFC 1123 subdomain, as Kubernetes requires of metadata.name. */
static bool is_name(const char *name) {
    size_t size = strlen(name);
    if (size == 0 || size > LIMIT_NAME || name[0] == '-' || name[0] == '.') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == size;
}

/* "host:port": the port after the last colon, the host a name or an address. */
static bool is_address(const char *address) {
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address) {
        return false;
    }
    unsigned port = 0;
    size_t digits = strlen(colon + 1);
    for (size_t i = 1; i <= digits && digits <= 5; i++) {
        if (!isdigit((unsigned char)colon[i])) {
            return false;
        }
        port = port * 10 + (unsigned)(colon[i] - '0');
    }
    for (const char *at = address; at < colon; at++) {
        if (!isalnum((unsigned char)*at) && strchr(".-_:[]", *at) == NULL) {
            return false;
        }
    }
    return port >= 1 && port <= UINT16_MAX;
}

RESULT entry_member_check(const struct entry_member *m, struct err *err) {
    unsigned long long id = m->id;
    ENSURE(m->spki.size > 0, err, INVALID, "member %016llx: no public key", id);
    ENSURE(id != 0 && id == entry_replica_id(m->spki), err, INVALID,
           "member %016llx: the id does not belong to its key", id);
    ENSURE(is_name(m->name), err, INVALID, "member %016llx: name is no pod name", id);
    ENSURE(is_address(m->address), err, INVALID, "member %s: address is not host:port", m->name);
    ENSURE(m->user_address[0] == 0 || is_address(m->user_address), err, INVALID,
           "member %s: user address is not host:port", m->name);
    ENSURE(!span_is_zero(SPAN(m->host_data)), err, INVALID, "member %s: no host data", m->name);
    ENSURE(m->evidence.size > 0, err, INVALID, "member %s: no evidence", m->name);
    ENSURE(m->version > 0 && m->version <= UINT8_MAX, err, INVALID,
           "member %s: entry version %llu, want 1..%d", m->name, (unsigned long long)m->version,
           UINT8_MAX);
    return OK;
}

/* --- Endorsements */

bool entry_endorsement_is_list(const struct entry_endorsement *key) {
    return span_is_zero(SPAN(key->chip_id));
}

RESULT entry_endorsement_check(const struct entry_endorsement *key, struct err *err) {
    ENSURE(key->product == SNP_MILAN || key->product == SNP_GENOA || key->product == SNP_TURIN, err,
           INVALID, "product %u is not known", key->product);
    ENSURE(key->signing <= 1, err, INVALID, "signing key %u, want 0 (VCEK) or 1 (VLEK)",
           key->signing);
    bool is_list = entry_endorsement_is_list(key);
    ENSURE(!is_list || span_is_zero(SPAN(key->tcb)), err, INVALID, "a TCB without a chip");
    ENSURE(is_list || key->signing == 0, err, INVALID, "a VLEK names no chip");
    return OK;
}

bool entry_endorsement_same(const struct entry_endorsement *a, const struct entry_endorsement *b) {
    return a->product == b->product && a->signing == b->signing &&
           memcmp(a->chip_id, b->chip_id, sizeof a->chip_id) == 0 &&
           memcmp(a->tcb, b->tcb, sizeof a->tcb) == 0;
}
