/* Session: honest attestations in both directions over real TLS engines in memory, and every attack
 * of the threat model with a man in the middle who holds both connections.
 *
 *   verifier ==TLS 1== man in the middle ==TLS 2== genuine pod
 *
 * Each attack has its control: the same evidence is accepted where it belongs.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/session.h"
#include "attest/test/pair.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"
#include "lib/tls/tls.h"

/* --- The world: a machine, a manifest, three ends */

struct world {
    struct snp_fixture machine;
    struct policy_entry policies[3];
    struct manifest manifest;
    struct pair_end verifier;
    struct pair_end attester;
    struct pair_end middle;
    struct pair direct; /* verifier (client) to attester */
    struct pair outer;  /* verifier (client) to the man in the middle */
    struct pair inner;  /* the man in the middle (client) to the attester */
    struct attest_policy policy;
    struct buf replica; /* the attester's statements */
    struct buf workload;
    struct attest_verifier v;
    struct attest_request request;
    struct attest_peer peer;
    struct buf evidence;
    struct err err;
    unsigned asked; /* for certificates that evidence lacks */
};

static char name_coordinator[] = "coordinator";
static char name_web[] = "web";
static char name_db[] = "default/db";
static char *coordinator_sans[] = {name_coordinator};
static char *web_sans[] = {name_web};

static void make_manifest(struct world *w) {
    w->policies[0] =
        (struct policy_entry){.sans = coordinator_sans, .san_count = 1, .role = ROLE_COORDINATOR};
    w->policies[1] = (struct policy_entry){.sans = web_sans, .san_count = 1};
    w->policies[2] = (struct policy_entry){.workload_secret_id = name_db};
    for (size_t i = 0; i < 3; i++) {
        memset(w->policies[i].hash, (int)(0x10 * (i + 1)), 32);
    }
    w->manifest = (struct manifest){.policies = w->policies,
                                    .policy_count = 3,
                                    .references = &w->machine.reference,
                                    .reference_count = 1};
}

static struct replica_statement replica_of(const struct pair_end *e) {
    return (struct replica_statement){
        .replica_id = statement_replica_id(buf_span(&e->spki)),
        .public_key = buf_span(&e->spki),
        .commit_index = 7,
        .state = REPLICA_VOTER,
    };
}

static void make_statements(struct world *w) {
    struct replica_statement replica = replica_of(&w->attester);
    struct workload_statement workload = {buf_span(&w->attester.spki)};
    wire_encode(&replica_statement_type, &replica, &w->replica);
    wire_encode(&workload_statement_type, &workload, &w->workload);
}

static int set_up_world(void **state) {
    static struct world w;
    snp_fixture_init(&w.machine, SNP_GENOA);
    make_manifest(&w);
    pair_end_init(&w.verifier);
    pair_end_init(&w.attester);
    pair_end_init(&w.middle);
    pair_init(&w.direct, &w.verifier, &w.attester);
    pair_init(&w.outer, &w.verifier, &w.middle);
    pair_init(&w.inner, &w.middle, &w.attester);
    make_statements(&w);
    *state = &w;
    return 0;
}

static int tear_down_world(void **state) {
    struct world *w = *state;
    pair_deinit(&w->direct);
    pair_deinit(&w->outer);
    pair_deinit(&w->inner);
    pair_end_deinit(&w->verifier);
    pair_end_deinit(&w->attester);
    pair_end_deinit(&w->middle);
    buf_deinit(&w->replica);
    buf_deinit(&w->workload);
    snp_fixture_deinit(&w->machine);
    return 0;
}

static int set_up(void **state) {
    struct world *w = *state;
    w->policy = (struct attest_policy){
        .kinds = ATTEST_KIND_BIT(ATTEST_REPLICA),
        .manifest = &w->manifest,
        .role = ROLE_COORDINATOR,
        .extra_roots = (const uint8_t(*)[32])w->machine.root_digest,
        .extra_root_count = 1,
        .at = SNP_FIXTURE_NOW,
    };
    attest_verifier_begin(&w->v, &host_system, &w->request);
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    attest_peer_deinit(&w->peer);
    buf_clear(&w->evidence);
    return 0;
}

/* --- The attester's part */

struct one_ticket {
    struct world *w;
    enum attest_kind kind;
    struct span statement;
    const struct issuer_evidence *made;
};

static void on_done(void *data, void *ticket, const struct batch_place *place,
                    const struct err *err) {
    struct one_ticket *t = data;
    assert_null(err);
    if (ticket != t) {
        return; /* a neighbour under the same report */
    }
    struct attested attested = {
        .evidence = {.report = buf_span(&t->made->report),
                     .vek = buf_span(&t->made->vek),
                     .chain = {buf_span(&t->made->chain[0]), buf_span(&t->made->chain[1])},
                     .chain_count = t->made->chain_count},
        .place = *place,
    };
    assert_true(
        is_ok(attest_evidence_encode(&attested, t->kind, t->statement, &t->w->evidence, NULL)));
}

/* Evidence for a leaf among `neighbours` others, made by a pod with this policy. */
static void attest_leaf(struct world *w, size_t policy, enum attest_kind kind,
                        struct span statement, const uint8_t leaf[48], size_t neighbours) {
    struct issuer_evidence made = {0};
    struct batch batch = {0};
    struct batch_round round = {0};
    struct one_ticket ticket = {w, kind, statement, &made};
    for (size_t i = 0; i <= neighbours; i++) {
        uint8_t other[48];
        memset(other, (int)i, sizeof other);
        bool is_ours = i == neighbours / 2;
        assert_true(is_ok(
            batch_add(&batch, is_ours ? leaf : other, is_ours ? (void *)&ticket : NULL, NULL)));
    }
    assert_true(batch_take(&batch, &round));
    snp_fixture_issue(&w->machine, round.report_data, w->policies[policy].hash, &made);
    buf_clear(&w->evidence);
    batch_round_finish(&round, on_done, &ticket);
    batch_deinit(&batch);
    issuer_evidence_deinit(&made);
}

/* What a genuine pod answers to a request on its channel. */
static void answer(struct world *w, const struct attest_channel *channel, enum attest_kind kind,
                   const struct attest_request *request, size_t neighbours) {
    uint8_t leaf[48];
    struct span statement = buf_span(kind == ATTEST_REPLICA ? &w->replica : &w->workload);
    assert_true(is_ok(attest_leaf_for(channel, kind, request, statement, leaf, NULL)));
    attest_leaf(w, kind == ATTEST_REPLICA ? 0 : 1, kind, statement, leaf, neighbours);
}

static void answer_as_replica(struct world *w) {
    answer(w, &w->direct.server_channel, ATTEST_REPLICA, &w->request, 4);
}

/* --- The verifier's part */

static enum err_code finish_on(struct world *w, const struct attest_channel *channel) {
    attest_peer_deinit(&w->peer);
    w->err = (struct err){0};
    struct result r = attest_verifier_finish(&w->v, channel, buf_span(&w->evidence), &w->policy,
                                             &w->peer, &w->err);
    return r.code;
}

static enum err_code finish(struct world *w) {
    return finish_on(w, &w->direct.client_channel);
}

/* Asks again with the same nonce: only a test can, to look at one evidence from several sides. */
static void ask_same_again(struct world *w) {
    w->v.has_nonce = true;
    memcpy(w->v.nonce, w->request.nonce, sizeof w->v.nonce);
}

static void assert_accepted(struct world *w, const struct attest_channel *channel) {
    if (finish_on(w, channel) != ERR_OK) {
        fail_msg("%s", w->err.text);
    }
    assert_int_equal(w->peer.verdict.kind, VERDICT_ACCEPTED);
}

static void assert_denied(struct world *w, const struct attest_channel *channel, const char *code) {
    assert_int_equal(finish_on(w, channel), ERR_DENIED);
    assert_string_equal(w->peer.verdict.code, code);
    assert_int_equal(w->peer.verdict.kind, VERDICT_DENIED);
    assert_non_null(strstr(w->err.text, code));
}

#define NOT_BOUND "SNP-REPORT-DATA"

/* Decodes the evidence, lets the test change it, and encodes it again. */
static struct evidence open_evidence(struct world *w, struct arena *arena) {
    struct evidence e;
    assert_true(is_ok(wire_decode(&evidence_type, buf_span(&w->evidence), arena, &e, NULL)));
    return e;
}

static void seal_evidence(struct world *w, const struct evidence *e) {
    buf_clear(&w->evidence);
    wire_encode(&evidence_type, e, &w->evidence);
}

/* --- Honest */

static void test_replica_is_accepted(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    assert_accepted(w, &w->direct.client_channel);
    assert_true(w->peer.verdict.simulated);
    assert_ptr_equal(w->peer.policy, &w->policies[0]);
    assert_memory_equal(w->peer.host_data, w->policies[0].hash, 32);
    assert_int_equal(w->peer.statement.replica.commit_index, 7);
    uint8_t spki[48];
    sha384(buf_span(&w->attester.spki), spki);
    assert_memory_equal(w->peer.spki_sha384, spki, 48);
}

/* Gives what the host did not hand out, once. */
static struct result endorse(void *data, const struct snp_options *options,
                             struct snp_evidence *evidence, struct snp_report *report,
                             struct verdict *verdict, struct err *err) {
    struct world *w = data;
    const struct verdict_rule rule = {"endorsement", "SNP-KDS-BUSY", "VCEK", "wait"};
    assert_ptr_equal(options->references, &w->machine.reference);
    assert_true(is_ok(snp_report_parse(evidence->report, report, NULL, NULL)));
    verdict_init(verdict);
    evidence->vek = buf_span(&w->machine.vcek);
    return w->asked++ == 0 ? OK : verdict_lack(verdict, err, &rule, "a certificate", "none");
}

static void test_a_missing_certificate_is_asked_for(void **state) {
    struct world *w = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    answer_as_replica(w);
    w->policy.endorse = endorse;
    w->policy.endorser = w;
    assert_accepted(w, &w->direct.client_channel);
    assert_int_equal(w->asked, 0); /* the evidence has it */
    struct evidence e = open_evidence(w, &arena);
    e.vek = (struct span){0};
    seal_evidence(w, &e);
    ask_same_again(w);
    assert_accepted(w, &w->direct.client_channel);
    ask_same_again(w);
    assert_int_equal(finish(w), ERR_UNVERIFIABLE);
    assert_string_equal(w->peer.verdict.code, "SNP-KDS-BUSY");
    assert_int_equal(w->asked, 2);
}

/* The other direction: the server verifies a workload that came as a client. */
static void test_workload_is_accepted_as_a_client(void **state) {
    struct world *w = *state;
    w->policy.kinds = ATTEST_KIND_BIT(ATTEST_WORKLOAD);
    w->policy.role = ROLE_WORKLOAD;
    answer(w, &w->inner.client_channel, ATTEST_WORKLOAD, &w->request, 0);
    assert_accepted(w, &w->inner.server_channel);
    assert_ptr_equal(w->peer.policy, &w->policies[1]);
    assert_true(span_equal(w->peer.statement.workload.public_key, buf_span(&w->attester.spki)));
}

static void test_every_size_of_batch_is_accepted(void **state) {
    struct world *w = *state;
    static const size_t neighbours[] = {0, 1, 2, 6, 1023};
    for (size_t i = 0; i < 5; i++) {
        attest_verifier_begin(&w->v, &host_system, &w->request);
        answer(w, &w->direct.server_channel, ATTEST_REPLICA, &w->request, neighbours[i]);
        assert_accepted(w, &w->direct.client_channel);
    }
}

static void test_document_is_accepted_as_a_document(void **state) {
    struct world *w = *state;
    w->request.purpose = ATTEST_DOCUMENT;
    answer(w, NULL, ATTEST_REPLICA, &w->request, 2);
    struct span bytes = buf_span(&w->evidence);
    assert_true(is_ok(attest_document_verify(w->request.nonce, bytes, &w->policy, &w->peer, NULL)));
    assert_ptr_equal(w->peer.policy, &w->policies[0]);
    attest_peer_deinit(&w->peer);
    w->request.nonce[0] ^= 1;
    assert_int_equal(
        attest_document_verify(w->request.nonce, bytes, &w->policy, &w->peer, NULL).code,
        ERR_DENIED);
}

/* --- The man in the middle */

/* He passes the verifier's nonce to a genuine pod and its evidence back. */
static void test_relayed_evidence_is_denied(void **state) {
    struct world *w = *state;
    answer(w, &w->inner.server_channel, ATTEST_REPLICA, &w->request, 0);
    assert_denied(w, &w->outer.client_channel, NOT_BOUND);
    ask_same_again(w);
    assert_accepted(w, &w->inner.client_channel);
}

/* He asks the verifier itself, which attests too, with the verifier's own nonce. */
static void test_the_verifiers_own_answer_is_denied(void **state) {
    struct world *w = *state;
    answer(w, &w->outer.client_channel, ATTEST_REPLICA, &w->request, 0);
    assert_denied(w, &w->outer.client_channel, NOT_BOUND);
    ask_same_again(w);
    assert_accepted(w, &w->outer.server_channel);
}

static void test_the_verifiers_own_key_is_denied(void **state) {
    struct world *w = *state;
    struct pair self = {0};
    pair_init(&self, &w->verifier, &w->verifier);
    answer(w, &self.server_channel, ATTEST_REPLICA, &w->request, 0);
    assert_denied(w, &self.client_channel, "ATTEST-REFLECTION");
    pair_deinit(&self);
}

/* The same pod with the same key on another connection of the same verifier. */
static void test_evidence_of_another_connection_is_denied(void **state) {
    struct world *w = *state;
    struct pair second = {0};
    pair_init(&second, &w->verifier, &w->attester);
    answer(w, &second.server_channel, ATTEST_REPLICA, &w->request, 0);
    assert_denied(w, &w->direct.client_channel, NOT_BOUND);
    ask_same_again(w);
    assert_accepted(w, &second.client_channel);
    pair_deinit(&second);
}

/* A channel that differs from a real one in a single property. */
struct bent {
    struct attest_channel real;
    bool flips_side;
    bool bends_exporter;
    bool bends_peer;
};

static void bent_exporter(void *data, uint8_t out[32]) {
    struct bent *b = data;
    b->real.exporter(b->real.data, out);
    out[0] ^= b->bends_exporter;
}

static void bent_local(void *data, uint8_t out[48]) {
    struct bent *b = data;
    b->real.local_spki_sha384(b->real.data, out);
}

static void bent_peer(void *data, uint8_t out[48]) {
    struct bent *b = data;
    b->real.peer_spki_sha384(b->real.data, out);
    out[0] ^= b->bends_peer;
}

static bool bent_side(void *data) {
    struct bent *b = data;
    return b->real.is_server(b->real.data) != b->flips_side;
}

/* Side, exporter and key count each on its own: client evidence is not a server's. */
static void test_each_binding_counts(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    for (int i = 0; i < 4; i++) {
        struct bent bent = {w->direct.client_channel, i == 1, i == 2, i == 3};
        struct attest_channel channel = {&bent, bent_exporter, bent_local, bent_peer, bent_side};
        ask_same_again(w);
        if (i == 0) {
            assert_accepted(w, &channel);
        } else {
            assert_denied(w, &channel, NOT_BOUND);
        }
    }
}

/* --- Confusions */

static void test_old_evidence_does_not_answer_a_new_nonce(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    assert_accepted(w, &w->direct.client_channel);
    attest_verifier_begin(&w->v, &host_system, &w->request);
    assert_denied(w, &w->direct.client_channel, NOT_BOUND);
}

static void test_a_nonce_is_good_once(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    assert_accepted(w, &w->direct.client_channel);
    assert_int_equal(finish(w), ERR_PROTOCOL);
    /* also after a refusal */
    attest_verifier_begin(&w->v, &host_system, &w->request);
    assert_int_equal(finish(w), ERR_DENIED);
    answer_as_replica(w);
    assert_int_equal(finish(w), ERR_PROTOCOL);
}

static void test_a_document_is_no_session(void **state) {
    struct world *w = *state;
    w->request.purpose = ATTEST_DOCUMENT;
    answer(w, NULL, ATTEST_REPLICA, &w->request, 0);
    assert_denied(w, &w->direct.client_channel, NOT_BOUND);
}

static void test_a_session_is_no_document(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    struct result r = attest_document_verify(w->request.nonce, buf_span(&w->evidence), &w->policy,
                                             &w->peer, &w->err);
    assert_int_equal(r.code, ERR_DENIED);
    assert_string_equal(w->peer.verdict.code, NOT_BOUND);
}

static void test_workload_is_no_replica(void **state) {
    struct world *w = *state;
    answer(w, &w->direct.server_channel, ATTEST_WORKLOAD, &w->request, 0);
    assert_denied(w, &w->direct.client_channel, "ATTEST-KIND");
    assert_string_equal(w->peer.verdict.expected, "replica");
    assert_string_equal(w->peer.verdict.actual, "workload");
}

/* It calls itself the other kind, with a statement of that kind. */
static void test_kind_is_attested(void **state) {
    struct world *w = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    answer(w, &w->direct.server_channel, ATTEST_WORKLOAD, &w->request, 0);
    struct evidence e = open_evidence(w, &arena);
    e.kind = ATTEST_REPLICA;
    seal_evidence(w, &e);
    assert_int_equal(finish(w), ERR_MALFORMED); /* the statement is not a replica's */
    e.statement = buf_span(&w->replica);
    seal_evidence(w, &e);
    ask_same_again(w);
    assert_denied(w, &w->direct.client_channel, NOT_BOUND);
}

/* The kind byte of the leaf alone: same statement, same everything. */
static void test_leaf_of_the_other_kind_differs(void **state) {
    struct world *w = *state;
    uint8_t a[48];
    uint8_t b[48];
    struct span s = buf_span(&w->replica);
    const struct attest_channel *channel = &w->direct.server_channel;
    attest_session_leaf(channel, ATTEST_BY_US, ATTEST_REPLICA, w->request.nonce, s, a);
    attest_session_leaf(channel, ATTEST_BY_US, ATTEST_WORKLOAD, w->request.nonce, s, b);
    assert_memory_not_equal(a, b, 48);
    attest_session_leaf(&w->direct.client_channel, ATTEST_BY_PEER, ATTEST_REPLICA, w->request.nonce,
                        s, b);
    assert_memory_equal(a, b, 48);
}

static void test_tampered_statement_is_denied(void **state) {
    struct world *w = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf statement = {0};
    struct replica_statement better = replica_of(&w->attester);
    answer_as_replica(w);
    struct evidence e = open_evidence(w, &arena);
    better.commit_index++;
    wire_encode(&replica_statement_type, &better, &statement);
    e.statement = buf_span(&statement);
    seal_evidence(w, &e);
    assert_denied(w, &w->direct.client_channel, NOT_BOUND);
}

/* --- The place in the tree */

struct place_row {
    uint64_t count; /* 0 keeps the true value 5 but for `is_zero` */
    uint64_t index;
    size_t path_cut; /* bytes less */
    enum err_code code;
};

static void test_wrong_places_are_refused(void **state) {
    struct world *w = *state;
    static const struct place_row rows[] = {
        {5, 2, 0, ERR_OK},
        {0, 2, 0, ERR_MALFORMED},
        {1025, 2, 0, ERR_MALFORMED},
        {5, 3, 0, ERR_DENIED},
        {5, 0, 0, ERR_DENIED},
        {6, 2, 0, ERR_DENIED},
        {4, 2, 0, ERR_MALFORMED},
        {5, 5, 0, ERR_MALFORMED},
        {5, 4, 0, ERR_MALFORMED},
        {9, 2, 0, ERR_MALFORMED},
        {5, 2, 48, ERR_MALFORMED},
        {5, 2, 1, ERR_MALFORMED},
        {5, 2, 144, ERR_MALFORMED},
        {1, 0, 144, ERR_DENIED},
        {5, UINT64_MAX, 0, ERR_MALFORMED},
        {8, 2, 0, ERR_DENIED},
        {UINT64_MAX, 2, 0, ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        attest_verifier_begin(&w->v, &host_system, &w->request);
        answer_as_replica(w);
        struct evidence e = open_evidence(w, &arena);
        assert_int_equal(e.path.size, 144);
        e.leaf_count = rows[i].count;
        e.leaf_index = rows[i].index;
        e.path.size -= rows[i].path_cut;
        seal_evidence(w, &e);
        assert_int_equal(finish(w), rows[i].code);
    }
}

static void test_wrong_path_is_denied(void **state) {
    struct world *w = *state;
    for (size_t i = 0; i < 3; i++) {
        AUTO(arena_deinit)
        struct arena arena = {0};
        uint8_t path[144];
        attest_verifier_begin(&w->v, &host_system, &w->request);
        answer_as_replica(w);
        struct evidence e = open_evidence(w, &arena);
        memcpy(path, e.path.data, sizeof path);
        path[48 * i + 7] ^= 0x20;
        e.path = SPAN(path);
        seal_evidence(w, &e);
        assert_denied(w, &w->direct.client_channel, NOT_BOUND);
    }
}

/* --- The manifest */

static void test_unknown_policy_names_the_candidates(void **state) {
    struct world *w = *state;
    uint8_t leaf[48];
    struct span s = buf_span(&w->replica);
    struct policy_entry saved = w->policies[2];
    assert_true(is_ok(
        attest_leaf_for(&w->direct.server_channel, ATTEST_REPLICA, &w->request, s, leaf, NULL)));
    attest_leaf(w, 2, ATTEST_REPLICA, s, leaf, 0);
    memset(w->policies[2].hash, 0x99, 32); /* now the manifest lacks it */
    assert_denied(w, &w->direct.client_channel, "POLICY-UNKNOWN");
    assert_string_equal(w->peer.verdict.expected, "one of coordinator (101010101010)");
    assert_string_equal(w->peer.verdict.actual,
                        "3030303030303030303030303030303030303030303030303030303030303030");
    w->policy.role = ROLE_WORKLOAD;
    ask_same_again(w);
    assert_denied(w, &w->direct.client_channel, "POLICY-UNKNOWN");
    assert_string_equal(w->peer.verdict.expected,
                        "one of web (202020202020), default/db (999999999999)");
    w->policies[2] = saved;
}

static void test_policy_of_another_role_is_denied(void **state) {
    struct world *w = *state;
    uint8_t leaf[48];
    struct span s = buf_span(&w->replica);
    assert_true(is_ok(
        attest_leaf_for(&w->direct.server_channel, ATTEST_REPLICA, &w->request, s, leaf, NULL)));
    attest_leaf(w, 1, ATTEST_REPLICA, s, leaf, 0);
    assert_denied(w, &w->direct.client_channel, "POLICY-ROLE");
    assert_string_equal(w->peer.verdict.expected, "coordinator");
    assert_string_equal(w->peer.verdict.actual, "workload web (202020202020)");
    assert_null(w->peer.policy);
}

static struct result on_host_data(void *data, const uint8_t host_data[32], struct err *err) {
    ENSURE(host_data[0] == *(uint8_t *)data, err, DENIED, "the pinned policy");
    return OK;
}

static void test_callback_judges_host_data(void **state) {
    struct world *w = *state;
    uint8_t wanted = 0x10;
    w->policy.references = w->manifest.references;
    w->policy.reference_count = 1;
    w->policy.manifest = NULL;
    w->policy.accept_host_data = on_host_data;
    w->policy.data = &wanted;
    answer_as_replica(w);
    assert_accepted(w, &w->direct.client_channel);
    assert_null(w->peer.policy);
    wanted = 0x11;
    ask_same_again(w);
    assert_denied(w, &w->direct.client_channel, "POLICY-UNKNOWN");
    assert_string_equal(w->peer.verdict.expected, "the pinned policy");
}

static void test_other_reference_values_are_denied(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    w->machine.reference.measurement[0] ^= 1;
    enum err_code code = finish(w);
    w->machine.reference.measurement[0] ^= 1;
    assert_int_equal(code, ERR_DENIED);
    assert_string_equal(w->peer.verdict.code, "SNP-MEASUREMENT");
}

static void test_unknown_root_is_not_accepted(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    w->policy.extra_root_count = 0;
    w->machine.reference.simulated_root_count = 0;
    enum err_code code = finish(w);
    w->machine.reference.simulated_root_count = 1;
    assert_int_equal(code, ERR_DENIED);
}

/* A manifest may be the peer's: it cannot permit a root by naming it. */
static void test_a_manifest_alone_permits_no_root(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    w->policy.extra_root_count = 0;
    assert_int_equal(finish(w), ERR_DENIED);
    assert_string_equal(w->peer.verdict.code, "SNP-ROOT");
}

static void test_a_permitted_root_must_be_in_the_manifest(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    w->machine.reference.simulated_root_count = 0;
    enum err_code code = finish(w);
    w->machine.reference.simulated_root_count = 1;
    assert_int_equal(code, ERR_DENIED);
}

/* --- Bytes */

static void test_missing_certificates_are_unverifiable(void **state) {
    struct world *w = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    answer_as_replica(w);
    struct evidence e = open_evidence(w, &arena);
    e.vek.size = 0;
    seal_evidence(w, &e);
    assert_int_equal(finish(w), ERR_UNVERIFIABLE);
    assert_int_equal(w->peer.verdict.kind, VERDICT_UNVERIFIABLE);
}

static void test_every_prefix_is_refused(void **state) {
    struct world *w = *state;
    answer_as_replica(w);
    size_t size = w->evidence.size;
    for (size_t n = 0; n < size; n += n < 64 ? 1 : 61) {
        w->evidence.size = n;
        ask_same_again(w);
        assert_false(finish(w) == ERR_OK);
    }
    w->evidence.size = size;
    buf_append_u8(&w->evidence, 0);
    ask_same_again(w);
    assert_int_equal(finish(w), ERR_MALFORMED);
}

static void test_oversize_is_refused(void **state) {
    struct world *w = *state;
    buf_extend(&w->evidence, LIMIT_EVIDENCE + LIMIT_CRL + 1);
    assert_int_equal(finish(w), ERR_TOO_LARGE);
}

static void test_bad_certificates_of_the_host_are_not_sent(void **state) {
    struct world *w = *state;
    uint8_t *huge = mem_zalloc(LIMIT_CRL + 1);
    struct attested a = {.evidence = {.vek = span_of(huge, LIMIT_CERT + 1)}};
    struct span s = buf_span(&w->replica);
    struct buf *out = &w->evidence;
    assert_int_equal(attest_evidence_encode(&a, ATTEST_REPLICA, s, out, NULL).code, ERR_TOO_LARGE);
    a.evidence.vek.size = 0;
    a.evidence.chain[0] = span_of(huge, LIMIT_CERT + 1);
    a.evidence.chain_count = 1;
    assert_int_equal(attest_evidence_encode(&a, ATTEST_REPLICA, s, out, NULL).code, ERR_TOO_LARGE);
    a.evidence.chain_count = 0;
    a.evidence.crl = span_of(huge, LIMIT_CRL + 1);
    assert_int_equal(attest_evidence_encode(&a, ATTEST_REPLICA, s, out, NULL).code, ERR_TOO_LARGE);
    assert_int_equal(out->size, 0);
    mem_free(huge);
}

static void test_requests(void **state) {
    struct world *w = *state;
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct attest_request out;
    wire_encode(&attest_request_type, &w->request, &bytes);
    assert_true(is_ok(attest_request_decode(buf_span(&bytes), &out, NULL)));
    assert_memory_equal(out.nonce, w->request.nonce, 32);
    struct attest_request odd = {.purpose = 3};
    buf_clear(&bytes);
    wire_encode(&attest_request_type, &odd, &bytes);
    assert_int_equal(attest_request_decode(buf_span(&bytes), &out, NULL).code, ERR_MALFORMED);
    uint8_t leaf[48];
    struct span s = buf_span(&w->replica);
    assert_int_equal(attest_leaf_for(NULL, ATTEST_REPLICA, &w->request, s, leaf, NULL).code,
                     ERR_PROTOCOL);
}

/* Not a test: writes the fuzz target's seed, evidence that is accepted there (fuzz_session.c). */
static void write_corpus(void **state) {
    struct world *w = *state;
    memset(&w->request, 0, sizeof w->request);
    w->request.purpose = ATTEST_DOCUMENT;
    answer(w, NULL, ATTEST_REPLICA, &w->request, 2);
    assert_true(
        is_ok(file_write(getenv("CONTRAST_WRITE_CORPUS"), buf_span(&w->evidence), 0644, NULL)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_replica_is_accepted),
        T(test_a_missing_certificate_is_asked_for),
        T(test_workload_is_accepted_as_a_client),
        T(test_every_size_of_batch_is_accepted),
        T(test_document_is_accepted_as_a_document),
        T(test_relayed_evidence_is_denied),
        T(test_the_verifiers_own_answer_is_denied),
        T(test_the_verifiers_own_key_is_denied),
        T(test_evidence_of_another_connection_is_denied),
        T(test_each_binding_counts),
        T(test_old_evidence_does_not_answer_a_new_nonce),
        T(test_a_nonce_is_good_once),
        T(test_a_document_is_no_session),
        T(test_a_session_is_no_document),
        T(test_workload_is_no_replica),
        T(test_kind_is_attested),
        T(test_leaf_of_the_other_kind_differs),
        T(test_tampered_statement_is_denied),
        T(test_wrong_places_are_refused),
        T(test_wrong_path_is_denied),
        T(test_unknown_policy_names_the_candidates),
        T(test_policy_of_another_role_is_denied),
        T(test_callback_judges_host_data),
        T(test_other_reference_values_are_denied),
        T(test_unknown_root_is_not_accepted),
        T(test_a_manifest_alone_permits_no_root),
        T(test_a_permitted_root_must_be_in_the_manifest),
        T(test_missing_certificates_are_unverifiable),
        T(test_every_prefix_is_refused),
        T(test_oversize_is_refused),
        T(test_bad_certificates_of_the_host_are_not_sent),
        T(test_requests),
    };
    const struct CMUnitTest corpus[] = {T(write_corpus)};
    if (getenv("CONTRAST_WRITE_CORPUS") != NULL) {
        return cmocka_run_group_tests(corpus, set_up_world, tear_down_world);
    }
    return cmocka_run_group_tests(tests, set_up_world, tear_down_world);
}
