/* API: every message of the user API (:1313) and of the mesh API (:7777), as one table each.
 *
 * Both run over an attested session (docs/wire.md): TLS 1.3, then evidence inside it. The client
 * asks with a request id of its choice and gets that id back; an exchange that needs the client's
 * own evidence is answered by API_ATTEST_REQUEST first and goes on when the evidence is accepted.
 *
 *   client                                server
 *   API_ATTEST_REQUEST {nonce}      ->
 *                                   <-    API_EVIDENCE
 *   API_HISTORY {from}              ->
 *                                   <-    API_HISTORY_REPLY, again until `generation` is reached
 *   user:  API_PREPARE              ->
 *                                   <-    API_PREPARE_REPLY {founders}   (founding only)
 *          API_COMMIT or API_SET    ->
 *                                   <-    API_NEED {hashes of policies the cluster lacks}
 *          API_PUT_POLICY, each     ->
 *                                   <-    API_SET_REPLY
 *   mesh:  API_CERTIFICATE          ->
 *                                   <-    API_ATTEST_REQUEST {nonce}
 *          API_EVIDENCE             ->
 *                                   <-    API_CERTIFICATE_REPLY
 *   peers: API_JOIN, API_FOUND_PREPARE in the same way; API_FOUND_START on the same session.
 *
 * Any request may be answered by API_ERROR. Strings are UTF-8; times are seconds since 1970.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_API_H
#define CONTRAST_API_H

#include "lib/wire/wire.h"

enum api_frame {
    API_ATTEST_REQUEST = 1, /* attest/session.h */
    API_EVIDENCE = 2,       /* attest/session.h */
    API_ERROR = 3,          /* struct api_error */
    API_HISTORY = 16,
    API_HISTORY_REPLY = 17,
    API_POLICY = 18,
    API_POLICY_REPLY = 19,
    API_STATUS = 20, /* empty message */
    API_STATUS_REPLY = 21,
    API_PREPARE = 22,
    API_PREPARE_REPLY = 23,
    API_COMMIT = 24,
    API_SET = 25,
    API_NEED = 26,
    API_PUT_POLICY = 27,
    API_SET_REPLY = 28,
    API_CERTIFICATE = 48, /* empty message */
    API_CERTIFICATE_REPLY = 49,
    API_JOIN = 50,
    API_JOIN_REPLY = 51,
    API_FOUND_PREPARE = 52,
    API_FOUND_PREPARED = 53,
    API_FOUND_START = 54,
    API_FOUND_STARTED = 55, /* empty message */
};

/* A message without fields. */
struct api_empty {
    char unused;
};

struct api_error {
    uint64_t code; /* wire number of enum err_code */
    char *text;
    uint64_t retry_after_ms; /* 0 = no advice */
    /* The verdict, where one was reached; "" otherwise (attest/verdict.h). */
    char *verdict_code;
    char *field;
    char *expected;
    char *actual;
    char *remedy;
};

struct api_history {
    uint64_t from; /* first generation wanted, from 1 */
};

struct api_record {
    struct span manifest;
    struct span spki; /* the signer's */
    struct span signature;
};

/* As many records as fit a frame, from `from` on. Before the first manifest: generation 0. */
struct api_history_reply {
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t generation; /* newest */
    uint64_t from;
    struct wire_list records; /* struct api_record */
    char *root_ca_pem;        /* "" before the first manifest */
    char *mesh_ca_pem;
};

struct api_policy {
    uint8_t hash[32];
};

struct api_policy_reply {
    struct span policy;
};

struct api_member {
    uint64_t id;
    char *name;
    char *address;
    char *role; /* "leader", "voter", "standby", "learner", "leaving" */
    bool is_connected;
    uint64_t match_index; /* known to the leader alone */
    uint64_t last_contact_ms;
};

struct api_status_reply {
    char *state; /* "empty", "prepared", "joining", "member", "gone" */
    char *why;   /* what it waits for; "" */
    char *name;
    uint64_t id;
    uint64_t leader; /* 0 = none known */
    uint64_t term;
    uint64_t commit_index;
    uint64_t applied_index;
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t generation;
    uint8_t head[32];
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    uint64_t voters;
    uint64_t voters_connected; /* with itself */
    bool is_confirmed;         /* a quorum answered after the request arrived */
    bool may_stop;             /* a quorum stays when this replica stops */
    struct wire_list members;  /* struct api_member */
};

struct api_prepare {
    struct span manifest;
    uint64_t replicas; /* 1, 3 or 5 */
};

struct api_founder {
    uint64_t id;
    char *name;
    char *address; /* raft, host:port */
    struct span spki;
};

struct api_prepare_reply {
    uint8_t cluster[32];
    struct wire_list founders; /* struct api_founder, by id */
};

struct api_commit {
    uint8_t cluster[32];
    struct span manifest;
    struct span spki;
    struct span signature; /* over the first transition */
};

struct api_set {
    struct span manifest;
    uint8_t previous[32]; /* the transition this one follows */
    struct span spki;
    struct span signature;
};

struct api_hash {
    uint8_t hash[32];
};

struct api_need {
    struct wire_list hashes; /* struct api_hash */
};

struct api_put_policy {
    struct span policy;
};

struct api_set_reply {
    uint8_t transition[32];
    uint64_t generation;
    bool already; /* this manifest was active before */
    char *root_ca_pem;
    char *mesh_ca_pem;
};

struct api_certificate_reply {
    char *chain_pem; /* leaf, intermediate */
    char *mesh_ca_pem;
    char *root_ca_pem;
    struct span workload_secret; /* 32 bytes or none; secret */
    uint64_t generation;
    uint64_t issue_index; /* the receipt: position in the record of issued certificates */
    uint8_t serial[16];
    int64_t not_after;
};

struct api_join {
    char *name;
    char *address;        /* raft, host:port */
    struct span evidence; /* of purpose document, nonce = cluster id */
};

struct api_join_reply {
    struct span found;        /* the FOUND record (coordinator/core/entry.h) */
    struct wire_list members; /* struct api_founder: whom to link to */
};

struct api_found_prepare {
    struct span manifest;
    uint64_t replicas;
};

struct api_found_prepared {
    uint64_t id;
    char *name;
    char *address;
    struct span spki;
    struct span evidence; /* of purpose document, nonce = SHA-256(manifest) */
};

struct api_found_start {
    struct span found;
    struct span manifest; /* what founders are judged by: each has prepared for this one */
    struct span spki; /* of the owner who signed the first transition: without that nobody starts */
    struct span signature;
};

extern const struct wire_type api_empty_type;
extern const struct wire_type api_error_type;
extern const struct wire_type api_history_type;
extern const struct wire_type api_history_reply_type;
extern const struct wire_type api_policy_type;
extern const struct wire_type api_policy_reply_type;
extern const struct wire_type api_status_reply_type;
extern const struct wire_type api_prepare_type;
extern const struct wire_type api_prepare_reply_type;
extern const struct wire_type api_commit_type;
extern const struct wire_type api_set_type;
extern const struct wire_type api_need_type;
extern const struct wire_type api_put_policy_type;
extern const struct wire_type api_set_reply_type;
extern const struct wire_type api_certificate_reply_type;
extern const struct wire_type api_join_type;
extern const struct wire_type api_join_reply_type;
extern const struct wire_type api_found_prepare_type;
extern const struct wire_type api_found_prepared_type;
extern const struct wire_type api_found_start_type;

#endif
