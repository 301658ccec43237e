/* The client over loopback, against a server of the test's own that holds a genuine attestation and
 * may lie about everything else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/client/client.h"
#include "attest/test/snp_fixture.h"
#include "lib/crypto/cert.h"

#define GENERATIONS 3
#define POLICY_HEX "1111111111111111111111111111111111111111111111111111111111111111"
#define ROOT_CA "the root certificate\n"
#define MESH_CA "the mesh certificate\n"

/* What the server does in place of its duty. */
enum lie {
    HONEST,
    WRONG_FRAME,
    ERROR_FRAME,
    HANG_UP,
    NO_EVIDENCE_BYTES,
    EMPTY_PAGE,
    WRONG_PAGE,
    OTHER_CLUSTER_LATER,
    TOO_MANY_GENERATIONS,
    HISTORY_LIES_COUNT,
    GROWS_MEANWHILE, /* a generation more from the second page on */
};

struct history {
    struct key owner;
    struct buf owner_spki;
    uint8_t owner_digest[1][32];
    struct buf json[GENERATIONS];
    struct buf signatures[GENERATIONS];
    uint8_t heads[GENERATIONS][32];
    uint8_t cluster[32];
};

struct world {
    struct snp_fixture machine;
    struct history history;
    uv_loop_t loop;
    struct key server_key;
    struct tls_context *server_tls;
    struct key client_key;
    struct tls_context *client_tls;
    struct net_listener *listener;
    /* The server of this test */
    enum lie lie;
    uint64_t generations; /* shown */
    size_t page_size;     /* records a page */
    unsigned pages;       /* sent */
    const char *root_ca;
    struct replica_statement statement;
    uint8_t host_data[32];
    /* What the client saw */
    struct client *client;
    struct client_trust trust;
    bool is_judging; /* on_open judges */
    unsigned open_count;
    unsigned frame_count;
    unsigned close_count;
    struct client_verdict verdict;
    struct result judged;
    struct err judged_err;
    struct err why;
    size_t shown_count;
};

/* --- History */

static void make_manifest(const struct world *w, size_t i, struct buf *out) {
    const struct snp_fixture *m = &w->machine;
    char owner[65];
    char root[65];
    char measurement[97];
    hex_encode(SPAN(w->history.owner_digest[0]), owner);
    hex_encode(SPAN(m->root_digest[0]), root);
    hex_encode(SPAN(m->measurement), measurement);
    buf_appendf(out,
                "{\"Policies\":{\"" POLICY_HEX "\":{\"Role\":\"coordinator\",\"SANs\":[\"n%zu\"]}},"
                "\"ReferenceValues\":{\"snp\":[{\"ProductName\":\"Genoa\","
                "\"TrustedMeasurement\":\"%s\",\"MinimumTCB\":{\"BootloaderVersion\":4,"
                "\"TEEVersion\":0,\"SNPVersion\":24,\"MicrocodeVersion\":219},"
                "\"GuestPolicy\":{\"SMT\":true},\"SimulatedRoots\":[\"%s\"]}]},"
                "\"WorkloadOwnerKeyDigests\":[\"%s\"]}",
                i, measurement, root, owner);
}

static void sign_generation(struct world *w, size_t i) {
    struct history *h = &w->history;
    struct manifest m = {0};
    struct err err;
    make_manifest(w, i, &h->json[i]);
    if (!is_ok(manifest_parse(buf_span(&h->json[i]), &m, &err))) {
        fail_msg("%s", err.text);
    }
    struct transition t = {.epoch = 1, .generation = i + 1};
    memcpy(t.cluster, h->cluster, 32);
    memcpy(t.previous, h->heads[i == 0 ? 0 : i - 1], 32); /* zero before the first */
    memcpy(t.manifest_hash, m.hash, 32);
    manifest_policies_hash(&m, t.policies_hash);
    manifest_deinit(&m);
    transition_hash(&t, h->heads[i]);
    assert_true(is_ok(transition_sign(h->heads[i], &h->owner, &h->signatures[i], NULL)));
}

static void make_history(struct world *w) {
    struct history *h = &w->history;
    assert_true(is_ok(key_generate(KEY_P384, &h->owner, NULL)));
    key_spki(&h->owner, &h->owner_spki);
    key_digest(&h->owner, h->owner_digest[0]);
    memset(h->cluster, 0xc5, sizeof h->cluster);
    for (size_t i = 0; i < GENERATIONS; i++) {
        sign_generation(w, i);
    }
}

/* --- The server */

struct ticket {
    struct world *w;
    struct net_conn *conn;
    struct span statement;
    const struct issuer_evidence *made;
};

static void send_evidence(void *data, void *item, const struct batch_place *place,
                          const struct err *err) {
    struct ticket *t = data;
    (void)item;
    assert_null(err);
    struct attested attested = {
        .evidence = {.report = buf_span(&t->made->report),
                     .vek = buf_span(&t->made->vek),
                     .chain = {buf_span(&t->made->chain[0]), buf_span(&t->made->chain[1])},
                     .chain_count = t->made->chain_count},
        .place = *place,
    };
    AUTO(buf_deinit)
    struct buf evidence = {0};
    assert_true(
        is_ok(attest_evidence_encode(&attested, ATTEST_REPLICA, t->statement, &evidence, NULL)));
    assert_true(is_ok(net_send(t->conn, API_EVIDENCE, 0, buf_span(&evidence), NULL)));
}

static void answer_request(struct world *w, struct net_conn *conn, struct span body) {
    struct attest_channel channel = attest_channel_of_tls(net_conn_tls(conn));
    struct attest_request request;
    struct issuer_evidence made = {0};
    struct batch batch = {0};
    struct batch_round round = {0};
    uint8_t leaf[ATTEST_LEAF_SIZE];
    AUTO(buf_deinit)
    struct buf statement = {0};
    wire_encode(&replica_statement_type, &w->statement, &statement);
    assert_true(is_ok(attest_request_decode(body, &request, NULL)));
    assert_true(is_ok(
        attest_leaf_for(&channel, ATTEST_REPLICA, &request, buf_span(&statement), leaf, NULL)));
    struct ticket ticket = {w, conn, buf_span(&statement), &made};
    assert_true(is_ok(batch_add(&batch, leaf, &ticket, NULL)));
    assert_true(batch_take(&batch, &round));
    snp_fixture_issue(&w->machine, round.report_data, w->host_data, &made);
    batch_round_finish(&round, send_evidence, &ticket);
    batch_deinit(&batch);
    issuer_evidence_deinit(&made);
}

static void lie_in_page(struct world *w, struct api_history_reply *page) {
    if (w->lie == EMPTY_PAGE) {
        page->records.count = 0;
    } else if (w->lie == WRONG_PAGE) {
        page->from++;
    } else if (w->lie == OTHER_CLUSTER_LATER && w->pages > 0) {
        page->cluster[0] ^= 1;
    } else if (w->lie == TOO_MANY_GENERATIONS) {
        page->generation = LIMIT_HISTORY + 1;
    } else if (w->lie == HISTORY_LIES_COUNT && w->pages > 0) {
        page->generation = UINT64_MAX;
    } else if (w->lie == GROWS_MEANWHILE && w->pages == 0) {
        page->generation--;
        w->page_size = GENERATIONS;
    }
}

static void send_page(struct world *w, struct net_conn *conn, struct span body) {
    struct history *h = &w->history;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_history ask;
    struct api_record records[GENERATIONS];
    assert_true(is_ok(wire_decode(&api_history_type, body, &arena, &ask, NULL)));
    size_t count = 0;
    for (size_t i = ask.from - 1; i < w->generations && count < w->page_size; i++) {
        records[count++] = (struct api_record){buf_span(&h->json[i]), buf_span(&h->owner_spki),
                                               buf_span(&h->signatures[i])};
    }
    struct api_history_reply page = {.epoch = 1,
                                     .generation = w->generations,
                                     .from = ask.from,
                                     .records = {records, count},
                                     .root_ca_pem = mem_strdup(w->root_ca),
                                     .mesh_ca_pem = mem_strdup(MESH_CA)};
    memcpy(page.cluster, h->cluster, 32);
    lie_in_page(w, &page);
    w->pages++;
    assert_true(
        is_ok(net_send_message(conn, API_HISTORY_REPLY, 0, &api_history_reply_type, &page, NULL)));
    mem_free(page.root_ca_pem);
    mem_free(page.mesh_ca_pem);
}

static void send_error(struct net_conn *conn) {
    static char text[] = "too many sessions";
    struct api_error e = {.code = ERR_BUSY, .text = text, .retry_after_ms = 1234};
    assert_true(is_ok(net_send_message(conn, API_ERROR, 0, &api_error_type, &e, NULL)));
}

static void on_server_frame(struct net_conn *conn, void *data, const struct frame *frame) {
    struct world *w = data;
    if (w->lie == HANG_UP) {
        net_conn_close(conn);
    } else if (w->lie == WRONG_FRAME) {
        err_ignore(net_send(conn, API_STATUS_REPLY, 0, (struct span){0}, NULL), "may be closing");
    } else if (w->lie == ERROR_FRAME) {
        send_error(conn);
    } else if (frame->type == API_ATTEST_REQUEST && w->lie == NO_EVIDENCE_BYTES) {
        err_ignore(net_send(conn, API_EVIDENCE, 0, span_str("nonsense"), NULL), "may be closing");
    } else if (frame->type == API_ATTEST_REQUEST) {
        answer_request(w, conn, frame->body);
    } else if (frame->type == API_HISTORY) {
        send_page(w, conn, frame->body);
    } else {
        err_ignore(net_send(conn, frame->type, 0, frame->body, NULL), "may be closing"); /* echo */
    }
}

static void on_server_ready(struct net_conn *conn, void *data) {
    (void)conn;
    (void)data;
}

static void on_server_close(struct net_conn *conn, void *data, const struct err *why) {
    (void)conn;
    (void)data;
    (void)why;
}

/* --- The client's side */

static void on_open(struct client *c, void *data) {
    struct world *w = data;
    w->open_count++;
    w->shown_count = client_history(c)->count;
    if (w->is_judging) {
        w->judged = client_judge(c, &w->trust, &w->verdict, &w->judged_err);
    }
    struct err err;
    if (!is_ok(client_send_bytes(c, API_STATUS, span_str("echo"), &err))) {
        client_abort(c, &err);
    }
}

static void on_frame(struct client *c, void *data, const struct frame *frame) {
    struct world *w = data;
    assert_true(frame->type == API_STATUS && span_equal(frame->body, span_str("echo")));
    w->frame_count++;
    client_close(c);
}

static void on_close(struct client *c, void *data, const struct err *why) {
    struct world *w = data;
    (void)c;
    w->close_count++;
    w->why = *why;
    if (w->listener != NULL) {
        net_listener_close(w->listener, NULL, NULL);
        w->listener = NULL;
    }
}

/* --- Fixture: the machine is made once, the rest for each test */

static struct tls_context *open_tls(struct key *key, bool is_server) {
    struct tls_context *context = NULL;
    AUTO(buf_deinit)
    struct buf certificate = {0};
    assert_true(is_ok(key_generate(KEY_P256, key, NULL)));
    assert_true(is_ok(cert_self_signed(key, &certificate, NULL)));
    const struct tls_config config = {.is_server = is_server,
                                      .key = key,
                                      .certificate = buf_span(&certificate),
                                      .require_peer_certificate = true};
    assert_true(is_ok(tls_context_new(&config, &context, NULL)));
    return context;
}

static int set_up_world(void **state) {
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    snp_fixture_init(&w->machine, SNP_GENOA);
    make_history(w);
    w->server_tls = open_tls(&w->server_key, true);
    w->client_tls = open_tls(&w->client_key, false);
    *state = w;
    return 0;
}

static int tear_down_world(void **state) {
    struct world *w = *state;
    snp_fixture_deinit(&w->machine);
    key_deinit(&w->history.owner);
    buf_deinit(&w->history.owner_spki);
    for (size_t i = 0; i < GENERATIONS; i++) {
        buf_deinit(&w->history.json[i]);
        buf_deinit(&w->history.signatures[i]);
    }
    key_deinit(&w->server_key);
    key_deinit(&w->client_key);
    tls_context_free(w->server_tls);
    tls_context_free(w->client_tls);
    free(w);
    return 0;
}

static struct span server_spki(const struct world *w, struct buf *spki) {
    key_spki(&w->server_key, spki);
    return buf_span(spki);
}

static struct buf spki; /* of the server; the statement borrows it */

static void make_statement(struct world *w) {
    const struct history *h = &w->history;
    w->statement = (struct replica_statement){.epoch = 1,
                                              .public_key = server_spki(w, &spki),
                                              .commit_index = 9,
                                              .generation = GENERATIONS,
                                              .state = REPLICA_VOTER};
    w->statement.replica_id = statement_replica_id(w->statement.public_key);
    memcpy(w->statement.cluster, h->cluster, 32);
    memcpy(w->statement.head, h->heads[GENERATIONS - 1], 32);
    sha384(span_str(ROOT_CA), w->statement.root_ca_digest);
    sha384(span_str(MESH_CA), w->statement.mesh_ca_digest);
}

static int set_up(void **state) {
    struct world *w = *state;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->lie = HONEST;
    w->generations = GENERATIONS;
    w->page_size = GENERATIONS;
    w->pages = 0;
    w->root_ca = ROOT_CA;
    memset(w->host_data, 0x11, sizeof w->host_data);
    w->open_count = w->frame_count = w->close_count = 0;
    w->is_judging = true;
    w->shown_count = 0;
    w->judged = (struct result){ERR_INTERNAL};
    w->verdict = (struct client_verdict){0};
    make_statement(w);
    w->trust = (struct client_trust){
        .owner_digests = (const uint8_t(*)[32])w->history.owner_digest,
        .owner_count = 1,
        .permitted_roots = (const uint8_t(*)[32])w->machine.root_digest,
        .permitted_root_count = 1,
        .must_have_manifest = true,
        .at = SNP_FIXTURE_NOW,
    };
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    client_verdict_deinit(&w->verdict);
    buf_deinit(&spki);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* EBUSY: a handle was left open */
    return 0;
}

static void open_server(struct world *w) {
    struct net_listen_config config = {
        .host = "127.0.0.1",
        .tls = w->server_tls,
        .max_connections = 4,
        .handshake_ms = 60000,
        .frame_limit = LIMIT_FRAME_BODY,
        .calls = {on_server_ready, on_server_frame, on_server_close},
        .data = w,
    };
    assert_true(is_ok(net_listen(&w->loop, &config, &w->listener, NULL)));
}

/* One session from client_open to on_close. */
static void run(struct world *w) {
    open_server(w);
    struct client_config config = {
        .host = "127.0.0.1",
        .port = net_listener_port(w->listener),
        .tls = w->client_tls,
        .clock = &host_system,
        .timeout_ms = 60000,
        .calls = {on_open, on_frame, on_close},
        .data = w,
    };
    assert_true(is_ok(client_open(&w->loop, &config, &w->client, NULL)));
    assert_int_equal(w->close_count, 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->close_count, 1);
}

/* The session never opens; on_close says why. */
static void assert_never_open(struct world *w, enum lie lie, enum err_code code, const char *text) {
    w->lie = lie;
    run(w);
    assert_int_equal(w->open_count, 0);
    assert_int_equal(w->why.code, code);
    if (strstr(w->why.text, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, w->why.text);
    }
}

/* The session opens, and the judgement refuses it. */
static void assert_refused(struct world *w, enum err_code code, const char *text) {
    run(w);
    assert_int_equal(w->open_count, 1);
    if (w->judged.code != code || strstr(w->judged_err.text, text) == NULL) {
        fail_msg("%s: %s", err_name(w->judged.code), w->judged_err.text);
    }
}

/* --- The good case */

static void assert_accepted(struct world *w) {
    run(w);
    assert_int_equal(w->open_count, 1);
    if (!is_ok(w->judged)) {
        fail_msg("%s: %s", err_name(w->judged.code), w->judged_err.text);
    }
    assert_int_equal(w->shown_count, GENERATIONS);
    assert_true(w->verdict.has_latest);
    assert_memory_equal(w->verdict.head, w->history.heads[GENERATIONS - 1], 32);
    assert_int_equal(w->verdict.peer.verdict.kind, VERDICT_ACCEPTED);
    assert_int_equal(w->frame_count, 1); /* and frames go through afterwards */
    assert_int_equal(w->why.code, ERR_OK);
}

static void test_an_honest_server_is_accepted(void **state) {
    assert_accepted(*state);
}

static void test_a_history_in_pages_is_the_same(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    assert_accepted(w);
    assert_int_equal(w->pages, GENERATIONS);
}

static void test_the_callers_own_manifest_decides(void **state) {
    struct world *w = *state;
    struct manifest mine = {0};
    assert_true(is_ok(manifest_parse(buf_span(&w->history.json[0]), &mine, NULL)));
    w->trust.manifest = &mine;
    assert_accepted(w);
    manifest_deinit(&mine);
}

static void test_a_server_without_a_manifest(void **state) {
    struct world *w = *state;
    w->generations = 0;
    assert_refused(w, ERR_NOT_FOUNDED, "contrast set");
}

/* --- Lies before the session is open */

static void test_another_frame_is_a_breach(void **state) {
    assert_never_open(*state, WRONG_FRAME, ERR_PROTOCOL, "in place of evidence");
}

static void test_an_error_is_passed_on(void **state) {
    struct world *w = *state;
    assert_never_open(w, ERROR_FRAME, ERR_BUSY, "too many sessions");
    assert_int_equal(w->why.retry_ms, 1234);
}

static void test_a_server_that_hangs_up(void **state) {
    assert_never_open(*state, HANG_UP, ERR_CLOSED, "");
}

static void test_an_empty_page_is_a_breach(void **state) {
    assert_never_open(*state, EMPTY_PAGE, ERR_PROTOCOL, "history ends early");
}

static void test_a_page_from_elsewhere_is_a_breach(void **state) {
    assert_never_open(*state, WRONG_PAGE, ERR_PROTOCOL, "history from 2, asked for 1");
}

static void test_the_cluster_cannot_change_between_pages(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    assert_never_open(w, OTHER_CLUSTER_LATER, ERR_PROTOCOL, "inside one history");
}

static void test_a_history_without_end_is_refused(void **state) {
    assert_never_open(*state, TOO_MANY_GENERATIONS, ERR_TOO_LARGE, "history of 1001 manifests");
}

static void test_nobody_there(void **state) {
    struct world *w = *state;
    open_server(w); /* for a port that nobody has in a moment */
    struct client_config config = {.host = "127.0.0.1",
                                   .port = net_listener_port(w->listener),
                                   .tls = w->client_tls,
                                   .clock = &host_system,
                                   .timeout_ms = 60000,
                                   .calls = {on_open, on_frame, on_close},
                                   .data = w};
    net_listener_close(w->listener, NULL, NULL);
    w->listener = NULL;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(is_ok(client_open(&w->loop, &config, &w->client, NULL)));
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->close_count, 1);
    assert_int_equal(w->open_count, 0);
    assert_int_equal(w->why.code, ERR_UNAVAILABLE);
}

static void test_closing_at_once_calls_back_once(void **state) {
    struct world *w = *state;
    open_server(w);
    struct client_config config = {.host = "127.0.0.1",
                                   .port = net_listener_port(w->listener),
                                   .tls = w->client_tls,
                                   .clock = &host_system,
                                   .timeout_ms = 60000,
                                   .calls = {on_open, on_frame, on_close},
                                   .data = w};
    assert_true(is_ok(client_open(&w->loop, &config, &w->client, NULL)));
    client_close(w->client);
    assert_int_equal(w->close_count, 0); /* never from inside */
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->close_count, 1);
    assert_int_equal(w->open_count, 0);
}

/* --- Lies that the judgement finds */

static void test_bytes_that_are_no_evidence(void **state) {
    struct world *w = *state;
    w->lie = NO_EVIDENCE_BYTES;
    assert_refused(w, ERR_MALFORMED, "Coordinator's evidence");
}

static void test_a_later_page_cannot_lengthen_the_history(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    w->lie = HISTORY_LIES_COUNT;
    assert_accepted(w);
}

/* What came after the first page is cut: the caller learns that it changed, and asks again. */
static void test_a_history_that_grows_while_it_is_read(void **state) {
    struct world *w = *state;
    w->page_size = 1;
    w->lie = GROWS_MEANWHILE;
    w->statement.generation = GENERATIONS - 1;
    memcpy(w->statement.head, w->history.heads[GENERATIONS - 2], 32);
    run(w);
    assert_true(is_ok(w->judged));
    assert_int_equal(w->shown_count, GENERATIONS - 1);
    assert_memory_equal(w->verdict.head, w->history.heads[GENERATIONS - 2], 32);
}

static void test_an_owner_that_nobody_trusts(void **state) {
    struct world *w = *state;
    static const uint8_t other[1][32] = {{1}};
    w->trust.owner_digests = other;
    assert_refused(w, ERR_DENIED, "manifest history: generation 1: the history starts with key");
}

static void test_a_changed_manifest(void **state) {
    struct world *w = *state;
    w->history.json[1].data[w->history.json[1].size - 1] = ' ';
    w->history.json[1].data[w->history.json[1].size - 2] = '}';
    run(w);
    assert_false(is_ok(w->judged));
    assert_non_null(strstr(w->judged_err.text, "manifest history"));
    buf_clear(&w->history.json[1]);
    buf_clear(&w->history.signatures[1]);
    sign_generation(w, 1);
}

static void test_a_root_that_nobody_permits(void **state) {
    struct world *w = *state;
    struct manifest mine = {0};
    assert_true(is_ok(manifest_parse(buf_span(&w->history.json[0]), &mine, NULL)));
    mine.references[0].simulated_root_count = 0;
    w->trust.manifest = &mine;
    w->trust.permitted_root_count = 0;
    assert_refused(w, ERR_DENIED, "Coordinator's evidence");
    manifest_deinit(&mine);
}

/* The newest manifest comes from the server: what it names is permitted by the caller alone. */
static void test_the_servers_manifest_permits_no_root(void **state) {
    struct world *w = *state;
    w->trust.permitted_root_count = 0;
    assert_refused(w, ERR_DENIED, "SNP-ROOT");
}

static void test_a_policy_that_is_no_coordinators(void **state) {
    struct world *w = *state;
    w->host_data[0] ^= 1;
    assert_refused(w, ERR_DENIED, "Coordinator's evidence");
}

static void test_a_history_of_another_cluster(void **state) {
    struct world *w = *state;
    w->statement.cluster[0] ^= 1;
    assert_refused(w, ERR_DIFFERS, "another cluster");
}

static void test_another_head_is_no_history_of_this_server(void **state) {
    struct world *w = *state;
    w->statement.head[0] ^= 1;
    assert_refused(w, ERR_DIFFERS, "another transition");
}

static void test_an_older_head_means_that_it_changed_meanwhile(void **state) {
    struct world *w = *state;
    w->statement.generation = GENERATIONS - 1;
    memcpy(w->statement.head, w->history.heads[GENERATIONS - 2], 32);
    assert_refused(w, ERR_STALE_GENERATION, "changed while it was read");
}

static void test_a_history_cut_short(void **state) {
    struct world *w = *state;
    w->generations = GENERATIONS - 1;
    assert_refused(w, ERR_DIFFERS, "attested generation 3 and shows 2");
}

static void test_another_epoch(void **state) {
    struct world *w = *state;
    w->statement.epoch = 2;
    assert_refused(w, ERR_DIFFERS, "epoch 2 attested, 1 shown");
}

static void test_another_root_certificate(void **state) {
    struct world *w = *state;
    w->root_ca = "another root certificate\n";
    assert_refused(w, ERR_DIFFERS, "root CA");
}

static void test_a_changed_transition_chain_cannot_hide_behind_the_callers_manifest(void **state) {
    struct world *w = *state;
    struct manifest mine = {0};
    static const uint8_t other[1][32] = {{1}};
    assert_true(is_ok(manifest_parse(buf_span(&w->history.json[0]), &mine, NULL)));
    w->trust.manifest = &mine;
    w->trust.owner_digests = other;
    assert_refused(w, ERR_DENIED, "manifest history: generation 1: the history starts with key");
    manifest_deinit(&mine);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_an_honest_server_is_accepted),
        T(test_a_history_in_pages_is_the_same),
        T(test_the_callers_own_manifest_decides),
        T(test_a_server_without_a_manifest),
        T(test_another_frame_is_a_breach),
        T(test_an_error_is_passed_on),
        T(test_a_server_that_hangs_up),
        T(test_an_empty_page_is_a_breach),
        T(test_a_page_from_elsewhere_is_a_breach),
        T(test_the_cluster_cannot_change_between_pages),
        T(test_a_history_without_end_is_refused),
        T(test_nobody_there),
        T(test_closing_at_once_calls_back_once),
        T(test_bytes_that_are_no_evidence),
        T(test_a_later_page_cannot_lengthen_the_history),
        T(test_a_history_that_grows_while_it_is_read),
        T(test_an_owner_that_nobody_trusts),
        T(test_a_changed_manifest),
        T(test_a_root_that_nobody_permits),
        T(test_the_servers_manifest_permits_no_root),
        T(test_a_policy_that_is_no_coordinators),
        T(test_a_history_of_another_cluster),
        T(test_another_head_is_no_history_of_this_server),
        T(test_an_older_head_means_that_it_changed_meanwhile),
        T(test_a_history_cut_short),
        T(test_another_epoch),
        T(test_another_root_certificate),
        T(test_a_changed_transition_chain_cannot_hide_behind_the_callers_manifest),
    };
    return cmocka_run_group_tests(tests, set_up_world, tear_down_world);
}
