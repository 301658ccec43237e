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
 *          API_CHECKPOINT           ->
 *                                   <-    API_CHECKPOINT_REPLY, asked again until `size`
 *          API_RECOVER, _DATA, _SHOW, _GIVE ->
 *                                   <-    API_RECOVER_REPLY, to each
 *          API_RECOVERIES, API_RETIRE in the same way
 *   mesh:  API_CERTIFICATE          ->
 *                                   <-    API_ATTEST_REQUEST {nonce}
 *          API_EVIDENCE             ->
 *                                   <-    API_CERTIFICATE_REPLY
 *   peers: API_JOIN, API_FOUND_PREPARE in the same way; API_FOUND_START on the same session.
 *          API_RESTART_LOOK         ->
 *                                   <-    API_RESTART_STANDING
 *          API_RESTART_GIVE in the same way as API_JOIN
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
    API_CHECKPOINT = 29,
    API_CHECKPOINT_REPLY = 30,
    API_RECOVER = 31,
    API_RECOVER_REPLY = 32,
    API_RECOVER_DATA = 33,
    API_RECOVER_SHOW = 34,
    API_RECOVER_GIVE = 35,
    API_RECOVERIES = 36,
    API_RECOVERIES_REPLY = 37,
    API_RETIRE = 38,
    API_RETIRE_REPLY = 39,
    API_CERTIFICATE = 48, /* empty message */
    API_CERTIFICATE_REPLY = 49,
    API_JOIN = 50,
    API_JOIN_REPLY = 51,
    API_FOUND_PREPARE = 52,
    API_FOUND_PREPARED = 53,
    API_FOUND_START = 54,
    API_FOUND_STARTED = 55, /* empty message */
    API_RESTART_LOOK = 56,
    API_RESTART_STANDING = 57,
    API_RESTART_GIVE = 58,
    API_RESTART_TAKEN = 59, /* empty message */
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
    uint64_t lag;     /* entries behind the leader's log; known to the leader alone */
    uint64_t version; /* highest entry version that it knows */
    /* From its evidence in the log; "" and zeros where that is not known here. */
    char *product;
    uint8_t measurement[48];
    uint8_t chip_id[64];
    uint8_t tcb[8]; /* REPORTED_TCB as in the report */
    bool may_stop;  /* a quorum stays when this member stops */
    char *may_stop_why;
};

/* Something that a person must know, e.g. evidence that one member accepts and another refuses. */
struct api_alarm {
    uint64_t id; /* of the replica that it is about; 0 = none */
    char *name;  /* of that replica */
    char *by;    /* name of the replica that says so */
    char *code;  /* of a verdict or an error */
    char *text;
    int64_t time;
};

struct api_status_reply {
    char *state; /* as attest/statement.h names it: "empty", "voter", "standby", ... */
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
    char *may_stop_why;        /* why it may, or may not */
    uint64_t level;            /* entry version that the cluster uses */
    uint64_t version;          /* highest entry version that this replica knows */
    uint64_t last_term;        /* of the last entry in its log, committed or not */
    uint64_t last_index;
    struct wire_list members; /* struct api_member */
    struct wire_list alarms;  /* struct api_alarm, oldest first */
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

/* A sealed checkpoint of the state that a quorum just confirmed, in pieces. */
struct api_checkpoint {
    uint8_t file_id[16]; /* zeros: make a new one */
    uint64_t offset;
};

struct api_checkpoint_reply {
    uint8_t file_id[16];
    uint64_t size; /* of the whole file (meshca/checkpoint.h) */
    uint64_t offset;
    struct span data;
};

/* Opens a recovery session at a replica (docs/recovery.md). */
struct api_recover {
    uint8_t mode;       /* enum recovery_mode: from a survivor, or from a checkpoint */
    uint64_t epoch;     /* the new one: above every epoch that the asking owner has seen */
    struct span header; /* the file up to its ciphertext; empty for a survivor */
    uint64_t size;      /* of the whole file; 0 for a survivor */
};

struct api_recover_data {
    uint8_t session[16];
    uint64_t offset; /* bytes of the file that came before */
    struct span data;
};

struct api_recover_show {
    uint8_t session[16];
};

/* One share owner's contribution. */
struct api_recover_give {
    uint8_t session[16];
    struct span key;       /* PKCS#1 DER, as in the manifest */
    struct span share;     /* secret: x and share; empty for a survivor */
    struct span signature; /* lib/manifest/recovery.h */
};

struct api_recover_owner {
    uint8_t digest[32]; /* SHA-256 of the PKCS#1 DER */
    bool has_given;
};

/* What is to be signed, and how far it is. */
struct api_recover_reply {
    uint8_t session[16];
    uint8_t mode;
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t previous_epoch;
    uint64_t generation;
    uint8_t head[32];
    uint64_t index;
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    uint8_t recipient[32]; /* SHA-256 of the replica's SubjectPublicKeyInfo */
    uint64_t last_term;
    uint64_t threshold; /* contributions needed */
    struct span header;
    uint64_t received; /* bytes of the file */
    uint64_t size;
    struct wire_list owners; /* struct api_recover_owner */
    char *state;             /* "open", "starting", "done" */
    char *why;               /* what it waits for; "" */
    uint64_t expires_ms;     /* from now, without progress */
};

struct api_recoveries {
    uint64_t from; /* index of the first one wanted, from 0 */
};

struct api_recovery_signature {
    struct span key; /* PKCS#1 DER */
    struct span signature;
};

/* A recovery as it stands in the log (lib/manifest/recovery.h). */
struct api_recovery {
    uint8_t cluster[32];
    uint64_t epoch;
    uint64_t previous_epoch;
    uint8_t mode;
    uint64_t generation;
    uint8_t head[32];
    uint64_t index;
    uint64_t ledger_size;
    uint8_t ledger_root[48];
    uint8_t recipient[32];
    struct wire_list signatures; /* struct api_recovery_signature */
};

/* As many as fit a frame. */
struct api_recoveries_reply {
    uint64_t count; /* in all */
    uint64_t from;
    struct wire_list items; /* struct api_recovery, by rising epoch */
};

/* The owner removes a replica. */
struct api_retire {
    uint64_t id;
    struct span spki;
    struct span signature; /* over "contrast-retire-v1\0", cluster, epoch u64be, id u64be */
};

struct api_retire_reply {
    uint64_t index; /* of the log */
    bool already;   /* it was leaving before */
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
    uint64_t version;     /* highest entry version that it knows */
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
    uint64_t version;     /* highest entry version that it knows */
    struct span evidence; /* of purpose document, nonce = SHA-256(manifest) */
};

struct api_found_start {
    struct span found;
    struct span manifest; /* what founders are judged by: each has prepared for this one */
    struct span spki; /* of the owner who signed the first transition: without that nobody starts */
    struct span signature;
};

/* What a replica that belongs to nothing holds of this cluster (coordinator/restart_desk.h). */
struct api_restart_look {
    uint8_t cluster[32];
};

struct api_restart_offer {
    uint8_t digest[32]; /* of the file */
    uint64_t epoch;
    uint64_t generation;
    uint64_t index;
    uint8_t head[32];
    uint8_t voters[32]; /* SHA-256 over the voters' ids */
    uint8_t x;          /* number of its share */
    uint64_t armed;     /* highest epoch for which that was handed over; 0 = never */
    uint64_t armed_for; /* to this replica */
};

struct api_restart_standing {
    struct wire_list offers; /* struct api_restart_offer */
};

/* Evidence is asked for in return; whoever sends it has judged the receiver before. */
struct api_restart_give {
    uint8_t digest[32];
    uint64_t epoch;    /* that it is for */
    struct span share; /* secret: number and value, LIMIT_SHARE bytes */
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
extern const struct wire_type api_checkpoint_type;
extern const struct wire_type api_checkpoint_reply_type;
extern const struct wire_type api_recover_type;
extern const struct wire_type api_recover_reply_type;
extern const struct wire_type api_recover_data_type;
extern const struct wire_type api_recover_show_type;
extern const struct wire_type api_recover_give_type;
extern const struct wire_type api_recoveries_type;
extern const struct wire_type api_recoveries_reply_type;
extern const struct wire_type api_retire_type;
extern const struct wire_type api_retire_reply_type;
extern const struct wire_type api_certificate_reply_type;
extern const struct wire_type api_join_type;
extern const struct wire_type api_join_reply_type;
extern const struct wire_type api_found_prepare_type;
extern const struct wire_type api_found_prepared_type;
extern const struct wire_type api_found_start_type;
extern const struct wire_type api_restart_look_type;
extern const struct wire_type api_restart_standing_type;
extern const struct wire_type api_restart_give_type;

#endif
