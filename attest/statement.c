/* Statements: see statement.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/statement.h"

#include "lib/base/limits.h"
#include "lib/crypto/key.h"

static const struct wire_field workload_fields[] = {
    WIRE_BYTES(struct workload_statement, public_key, LIMIT_SPKI),
};
const struct wire_type workload_statement_type =
    WIRE_TYPE(struct workload_statement, workload_fields);

static const struct wire_field replica_fields[] = {
    WIRE_FIXED(struct replica_statement, cluster),
    WIRE_U64(struct replica_statement, epoch),
    WIRE_U64(struct replica_statement, replica_id),
    WIRE_BYTES(struct replica_statement, public_key, LIMIT_SPKI),
    WIRE_U64(struct replica_statement, term),
    WIRE_U64(struct replica_statement, commit_index),
    WIRE_U64(struct replica_statement, ledger_size),
    WIRE_FIXED(struct replica_statement, ledger_root),
    WIRE_FIXED(struct replica_statement, head),
    WIRE_U64(struct replica_statement, generation),
    WIRE_FIXED(struct replica_statement, root_ca_digest),
    WIRE_FIXED(struct replica_statement, mesh_ca_digest),
    WIRE_U8(struct replica_statement, state),
    WIRE_BOOL(struct replica_statement, has_confirmed),
    WIRE_U64(struct replica_statement, confirmed_index),
};
const struct wire_type replica_statement_type = WIRE_TYPE(struct replica_statement, replica_fields);

const char *replica_state_name(enum replica_state state) {
    static const char *const names[REPLICA_STATE_COUNT] = {
        [REPLICA_EMPTY] = "empty",     [REPLICA_PREPARED] = "prepared",
        [REPLICA_JOINING] = "joining", [REPLICA_VOTER] = "voter",
        [REPLICA_LEAVING] = "leaving", [REPLICA_FROZEN] = "frozen",
        [REPLICA_FOUNDER] = "founder", [REPLICA_LEARNER] = "learner",
        [REPLICA_STANDBY] = "standby", [REPLICA_RECOVERING] = "recovering",
        [REPLICA_GONE] = "gone",
    };
    return state < REPLICA_STATE_COUNT ? names[state] : "unknown";
}

uint64_t statement_replica_id(struct span public_key) {
    uint8_t digest[SHA256_SIZE];
    sha256(public_key, digest);
    uint64_t id = load_u64be(digest) >> 1;
    return id == 0 ? 1 : id;
}

static RESULT check_key(struct span spki, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    struct result r = key_from_spki(spki, &key, err);
    ENSURE(is_ok(r), err, MALFORMED, "statement: public_key is not a valid SubjectPublicKeyInfo");
    return OK;
}

RESULT workload_statement_decode(struct span bytes, struct arena *arena,
                                 struct workload_statement *out, struct err *err) {
    struct workload_statement s = {0};
    TRY(wire_decode(&workload_statement_type, bytes, arena, &s, err));
    TRY(check_key(s.public_key, err));
    *out = s;
    return OK;
}

RESULT replica_statement_decode(struct span bytes, struct arena *arena,
                                struct replica_statement *out, struct err *err) {
    struct replica_statement s = {0};
    TRY(wire_decode(&replica_statement_type, bytes, arena, &s, err));
    TRY(check_key(s.public_key, err));
    ENSURE(s.replica_id == statement_replica_id(s.public_key), err, MALFORMED,
           "statement: replica_id is not that of public_key");
    ENSURE(s.state < REPLICA_STATE_COUNT, err, MALFORMED, "statement: state %u is unknown",
           s.state);
    ENSURE(s.has_confirmed || s.confirmed_index == 0, err, MALFORMED,
           "statement: confirmed_index without has_confirmed");
    ENSURE(s.confirmed_index <= s.commit_index, err, MALFORMED,
           "statement: confirmed_index %llu is above commit_index %llu",
           (unsigned long long)s.confirmed_index, (unsigned long long)s.commit_index);
    *out = s;
    return OK;
}

RESULT statement_decode(enum attest_kind kind, struct span bytes, struct arena *arena,
                        struct statement *out, struct err *err) {
    struct statement s = {.kind = kind};
    if (kind == ATTEST_REPLICA) {
        TRY(replica_statement_decode(bytes, arena, &s.replica, err));
    } else {
        TRY(workload_statement_decode(bytes, arena, &s.workload, err));
    }
    *out = s;
    return OK;
}

struct span statement_public_key(const struct statement *s) {
    return s->kind == ATTEST_REPLICA ? s->replica.public_key : s->workload.public_key;
}
