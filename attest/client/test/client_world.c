/* A world for tests of the client: see client_world.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/client/test/client_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "lib/crypto/cert.h"

#define POLICY_HEX "1111111111111111111111111111111111111111111111111111111111111111"
#define ROOT_CA "the root certificate\n"
#define MESH_CA "the mesh certificate\n"

/* --- History */

static void make_manifest(const struct world *w, size_t i, struct buf *out) {
    const struct snp_fixture *m = &w->machine;
    char owner[65];
    char root[65];
    char measurement[97];
    char share_owner[2 * LIMIT_PKCS1 + 1];
    hex_encode(buf_span(&w->history.share_pkcs1), share_owner);
    hex_encode(SPAN(w->history.owner_digest[0]), owner);
    hex_encode(SPAN(m->root_digest[0]), root);
    hex_encode(SPAN(m->measurement), measurement);
    buf_appendf(out,
                "{\"Policies\":{\"" POLICY_HEX "\":{\"Role\":\"coordinator\",\"SANs\":[\"n%zu\"]}},"
                "\"ReferenceValues\":{\"snp\":[{\"ProductName\":\"Genoa\","
                "\"TrustedMeasurement\":\"%s\",\"MinimumTCB\":{\"BootloaderVersion\":4,"
                "\"TEEVersion\":0,\"SNPVersion\":24,\"MicrocodeVersion\":219},"
                "\"GuestPolicy\":{\"SMT\":true},\"SimulatedRoots\":[\"%s\"]}]},"
                "\"WorkloadOwnerKeyDigests\":[\"%s\"],\"SeedshareOwnerPubKeys\":[\"%s\"]}",
                i, measurement, root, owner, share_owner);
}

void client_world_sign(struct world *w, size_t i) {
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
    h->share_owner.pkey = EVP_RSA_gen(2048);
    assert_non_null(h->share_owner.pkey);
    key_pkcs1(&h->share_owner, &h->share_pkcs1);
    key_spki(&h->owner, &h->owner_spki);
    key_digest(&h->owner, h->owner_digest[0]);
    memset(h->cluster, 0xc5, sizeof h->cluster);
    for (size_t i = 0; i < GENERATIONS; i++) {
        client_world_sign(w, i);
    }
}

/* The recovery that goes on from epoch 2 * i, or 1, signed by the one share owner. */
static void sign_recovery(struct world *w, size_t i) {
    const struct history *h = &w->history;
    struct recovery r = {.epoch = 2 * i + 2,
                         .previous_epoch = i == 0 ? 1 : 2 * i,
                         .mode = RECOVERY_SURVIVOR,
                         .generation = GENERATIONS,
                         .index = 50 + i,
                         .ledger_size = 9 + i};
    memcpy(r.cluster, h->cluster, 32);
    memcpy(r.head, h->heads[GENERATIONS - 1], 32);
    struct buf *signature = &w->signature_bytes[i];
    buf_clear(signature);
    assert_true(is_ok(recovery_sign(&r, &h->share_owner, signature, NULL)));
    w->signatures[i] =
        (struct api_recovery_signature){buf_span(&h->share_pkcs1), buf_span(signature)};
    struct api_recovery *shown = &w->recoveries[i];
    *shown = (struct api_recovery){.epoch = r.epoch,
                                   .previous_epoch = r.previous_epoch,
                                   .mode = r.mode,
                                   .generation = r.generation,
                                   .index = r.index,
                                   .ledger_size = r.ledger_size,
                                   .signatures = {&w->signatures[i], 1}};
    memcpy(shown->cluster, r.cluster, 32);
    memcpy(shown->head, r.head, 32);
}

/* The world after `count` recoveries, all of them shown and attested. */
void client_world_recover(struct world *w, size_t count) {
    for (size_t i = 0; i < count; i++) {
        sign_recovery(w, i);
    }
    w->recovered = count;
    w->epoch = 2 * count;
    w->statement.epoch = w->epoch;
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
    struct api_history_reply page = {.epoch = w->epoch,
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

static void lie_in_recoveries(struct world *w, struct api_recoveries_reply *page) {
    if (w->lie == NO_RECOVERIES) {
        page->count = 0;
        page->items.count = 0;
    } else if (w->lie == EMPTY_RECOVERIES && w->recovery_pages > 0) {
        page->items.count = 0;
    } else if (w->lie == WRONG_RECOVERIES) {
        page->from++;
    } else if (w->lie == TOO_MANY_RECOVERIES) {
        page->count = LIMIT_EPOCHS + 1;
    } else if (w->lie == RECOVERED_MEANWHILE && w->recovery_pages == 0) {
        page->count--;
    }
}

/* One a page. */
static void send_recoveries(struct world *w, struct net_conn *conn, struct span body) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recoveries ask;
    assert_true(is_ok(wire_decode(&api_recoveries_type, body, &arena, &ask, NULL)));
    assert_true(ask.from < w->recovered);
    struct api_recoveries_reply page = {
        .count = w->recovered, .from = ask.from, .items = {&w->recoveries[ask.from], 1}};
    if (w->lie == RECOVERED_MEANWHILE && w->recovery_pages > 0) {
        page.items.count = w->recovered - ask.from;
    }
    lie_in_recoveries(w, &page);
    w->recovery_pages++;
    uint8_t type = w->lie == OTHER_FRAME_RECOVERIES ? API_HISTORY_REPLY : API_RECOVERIES_REPLY;
    assert_true(is_ok(net_send_message(conn, type, 0, &api_recoveries_reply_type, &page, NULL)));
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
    } else if (frame->type == API_RECOVERIES) {
        send_recoveries(w, conn, frame->body);
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

int client_world_init(void **state) {
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

int client_world_deinit(void **state) {
    struct world *w = *state;
    snp_fixture_deinit(&w->machine);
    key_deinit(&w->history.owner);
    key_deinit(&w->history.share_owner);
    buf_deinit(&w->history.share_pkcs1);
    for (size_t i = 0; i < RECOVERIES; i++) {
        buf_deinit(&w->signature_bytes[i]);
    }
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

int client_world_set_up(void **state) {
    struct world *w = *state;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->lie = HONEST;
    w->generations = GENERATIONS;
    w->page_size = GENERATIONS;
    w->pages = 0;
    w->recovery_pages = 0;
    w->epoch = 1;
    w->recovered = 0;
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

int client_world_tear_down(void **state) {
    struct world *w = *state;
    client_verdict_deinit(&w->verdict);
    buf_deinit(&spki);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* EBUSY: a handle was left open */
    return 0;
}

void client_world_listen(struct world *w) {
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

struct client_config client_world_config(struct world *w) {
    return (struct client_config){
        .host = "127.0.0.1",
        .port = net_listener_port(w->listener),
        .tls = w->client_tls,
        .clock = &host_system,
        .timeout_ms = 60000,
        .calls = {on_open, on_frame, on_close},
        .data = w,
    };
}

/* One session from client_open to on_close. */
void client_world_run(struct world *w) {
    client_world_listen(w);
    struct client_config config = client_world_config(w);
    assert_true(is_ok(client_open(&w->loop, &config, &w->client, NULL)));
    assert_int_equal(w->close_count, 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->close_count, 1);
}

/* The session never opens; on_close says why. */
void client_world_never_opens(struct world *w, enum lie lie, enum err_code code, const char *text) {
    w->lie = lie;
    client_world_run(w);
    assert_int_equal(w->open_count, 0);
    assert_int_equal(w->why.code, code);
    if (strstr(w->why.text, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, w->why.text);
    }
}

/* The session opens, and the judgement refuses it. */
void client_world_refused(struct world *w, enum err_code code, const char *text) {
    client_world_run(w);
    assert_int_equal(w->open_count, 1);
    if (w->judged.code != code || strstr(w->judged_err.text, text) == NULL) {
        fail_msg("%s: %s", err_name(w->judged.code), w->judged_err.text);
    }
}

void client_world_accepted(struct world *w) {
    client_world_run(w);
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
