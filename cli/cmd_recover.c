/* contrast recover.
 *
 *   share key, memory (verify/) -> replica, judged by the newest manifest seen here
 *     first owner:  API_RECOVER (and the file, piece by piece)      others: API_RECOVER_SHOW
 *     -> what is to be signed is held against memory and file -> own share from the header
 *     -> written to verify/recoveries.json -> API_RECOVER_GIVE
 *     -> enough of them: wait until it is done -> the replica, verified in its new epoch
 *     -> same root CA as before? -> verify/, mesh-ca.pem, a new checkpoint
 *
 * With --from-survivor every replica of -c is asked first: while one has a quorum nothing is
 * recovered; of the others the one whose log is longest (term, then index) is the survivor. A
 * command that ends in between has signed at most once for this epoch, and may be run again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/checkpoint_file.h"
#include "cli/recover_check.h"
#include "lib/base/file.h"
#include "lib/crypto/digest.h"

#define KEY_FILE_MAX (64 * 1024)
#define DONE_TRIES 120 /* for a recovery that has all it needs, once a second */
#define OPEN_TRIES 5   /* for a session, as the replica advises */
#define OPEN_PAUSE_MAX_S 15
#define ROOT_CA_FILE "coordinator-root-ca.pem"

struct recover_options {
    const char *coordinators;
    const char *manifest;
    const char *checkpoint;
    const char *key;
    const char *session;
    bool from_survivor;
};

struct recover_run {
    struct cli *cli;
    struct recover_options options;
    struct dial_list addresses;
    struct trust trust;
    struct key key;
    struct buf pkcs1;
    struct recover_memory memory;
    struct checkpoint_file file; /* with --checkpoint */
    const struct dial_address *address;
    struct dial *dial;
    struct remote remote;
    uint8_t session[16];
    struct api_recover_reply reply; /* newest; in the arena */
    struct arena arena;
    bool is_done;
};

static void free_secret(struct secret **s) {
    secret_free(*s);
}

static void hang_up(struct recover_run *run) {
    remote_deinit(&run->remote);
    run->remote = (struct remote){0};
    dial_close(run->dial);
    run->dial = NULL;
}

static void free_run(struct recover_run *run) {
    hang_up(run);
    trust_deinit(&run->trust);
    key_deinit(&run->key);
    buf_deinit(&run->pkcs1);
    checkpoint_file_deinit(&run->file);
    arena_deinit(&run->arena);
}

/* ---- local input ---- */

static RESULT parse_options(struct recover_run *run, int argc, char **argv, struct err *err) {
    struct recover_options *o = &run->options;
    const struct cli_option table[] = {
        {"coordinator", 'c', CLI_STRING, (void *)&o->coordinators},
        {"manifest", 'm', CLI_STRING, (void *)&o->manifest},
        {"checkpoint", 0, CLI_STRING, (void *)&o->checkpoint},
        {"share-key", 0, CLI_STRING, (void *)&o->key},
        {"session", 0, CLI_STRING, (void *)&o->session},
        {"from-survivor", 0, CLI_FLAG, &o->from_survivor},
    };
    TRY(cli_parse(run->cli, table, sizeof table / sizeof table[0], argc, argv, NULL, err));
    TRY(dial_parse(o->coordinators, &run->addresses, err));
    ENSURE(!o->from_survivor || o->checkpoint == NULL, err, USAGE,
           "--from-survivor and --checkpoint exclude each other");
    ENSURE(o->from_survivor || o->checkpoint != NULL || o->session != NULL, err, USAGE,
           "say what to recover from: --from-survivor or --checkpoint FILE, or --session ID to "
           "contribute to what another owner began");
    ENSURE(o->key != NULL, err, USAGE, "--share-key FILE is needed: the key of a share owner");
    if (o->session != NULL) {
        struct result r = hex_decode(span_str(o->session), run->session, 16, NULL);
        ENSURE(is_ok(r), err, USAGE, "--session: want 32 hexadecimal digits");
    }
    return OK;
}

static RESULT load_key(struct recover_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    const char *path = run->options.key;
    struct result r = file_read(path, KEY_FILE_MAX, &pem, err);
    ENSURE(r.code != ERR_NOT_FOUND, err, CONFIG, "%s: no such file", path);
    TRY(r);
    TRY(err_wrap(key_from_pem(buf_span(&pem), &run->key, err), err, "%s", path));
    ENSURE(key_kind_of(&run->key) == KEY_RSA && key_is_private(&run->key), err, CONFIG,
           "%s: want the private RSA key of a share owner", path);
    key_pkcs1(&run->key, &run->pkcs1);
    sha256(buf_span(&run->pkcs1), run->memory.owner);
    return OK;
}

/* The newest manifest that was verified from this workspace, else the user's own. */
static RESULT load_trust(struct recover_run *run, struct err *err) {
    const char *dir = run->cli->workspace;
    struct workspace_path path = {0};
    char name[64];
    TRY(trust_load(dir, run->options.manifest, run->options.manifest != NULL, &run->trust, err));
    if (run->options.manifest == NULL && run->trust.has_last && run->trust.last.generation > 0) {
        (void)snprintf(name, sizeof name, "verify/manifest.%" PRIu64 ".json",
                       run->trust.last.generation - 1);
        TRY(workspace_locate(dir, name, &path, err));
        trust_deinit(&run->trust);
        run->trust = (struct trust){0};
        TRY(err_wrap(trust_load(dir, path.text, true, &run->trust, err), err,
                     "the newest manifest that was verified from here (or give it with -m)"));
    }
    ENSURE(run->trust.has_own || run->trust.has_pinned, err, CONFIG,
           "this workspace has no manifest: nothing says which replica may be trusted with the "
           "state; run it where you ran `contrast set` or `contrast verify`, or give --manifest");
    struct recover_memory *m = &run->memory;
    m->has_cluster = run->trust.cluster.is_known;
    memcpy(m->cluster, run->trust.cluster.id, sizeof m->cluster);
    m->has_last = run->trust.has_last;
    m->last = run->trust.last;
    m->recoveries = &run->trust.recoveries;
    if (!m->has_last) {
        log_warn("this workspace never verified the deployment: it cannot tell an old state from "
                 "the newest one");
    }
    return OK;
}

/* The root CA that `set` or `verify` left here. */
static RESULT load_root(struct recover_run *run, struct err *err) {
    static const char *const names[] = {ROOT_CA_FILE, "verify/" ROOT_CA_FILE};
    struct recover_memory *m = &run->memory;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !m->has_root; i++) {
        AUTO(buf_deinit)
        struct buf pem = {0};
        TRY(workspace_read(run->cli->workspace, names[i], LIMIT_PEM, &pem, &m->has_root, err));
        sha384(buf_span(&pem), m->root_ca);
    }
    if (!m->has_root) {
        log_warn("this workspace has no root CA certificate of the deployment: it cannot tell a "
                 "genuine state from one that somebody made up; run `contrast recover` where the "
                 "deployment was verified");
    }
    return OK;
}

/* What a file says is compared early, before a replica is even asked. */
static RESULT load_checkpoint(struct recover_run *run, struct err *err) {
    if (run->options.checkpoint == NULL) {
        return OK;
    }
    AUTO(free_secret)
    struct secret *share = NULL;
    TRY(checkpoint_file_read(run->options.checkpoint, &run->file, err));
    TRY(err_wrap(recover_check_root(run->file.header.root_ca, &run->memory, err), err, "%s",
                 run->options.checkpoint));
    return err_wrap(checkpoint_open_share(&run->file.header, &run->key, &share, err), err, "%s",
                    run->options.checkpoint);
}

/* ---- a replica ---- */

static RESULT contact(struct recover_run *run, const struct dial_address *address, enum trust_by by,
                      struct err *err) {
    hang_up(run);
    run->address = address;
    TRY(dial_open(address, &run->dial, err));
    return trust_judge(&run->trust, run->dial, by, &run->remote, err);
}

static RESULT ask(struct recover_run *run, uint8_t type, const struct wire_type *message_type,
                  const void *message, struct err *err) {
    struct dial_call call = {
        type, message_type, message, API_RECOVER_REPLY, &api_recover_reply_type, &run->reply};
    TRY(dial_ask(run->dial, &call, &run->arena, err));
    err_clean(run->reply.state);
    err_clean(run->reply.why);
    memcpy(run->session, run->reply.session, sizeof run->session);
    return OK;
}

/* ---- the survivor that has most ---- */

struct candidate {
    const struct dial_address *address; /* NULL: none yet */
    uint64_t last_term;
    uint64_t last_index;
};

static RESULT survey_one(struct recover_run *run, const struct dial_address *address,
                         struct candidate *best, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_empty empty = {0};
    struct api_status_reply status;
    struct dial_call call = {API_STATUS,       &api_empty_type,        &empty,
                             API_STATUS_REPLY, &api_status_reply_type, &status};
    TRY(contact(run, address, TRUST_BY_OWN, err));
    CHECK(run->remote.history != NULL);
    ENSURE(run->remote.history->generation > 0, err, NOT_FOUNDED,
           "%s: has no state: it is no survivor", address->text);
    TRY(dial_ask(run->dial, &call, &arena, err));
    ENSURE(!status.is_confirmed, err, FOUNDED,
           "%s has a quorum: the deployment lives, there is nothing to recover. A replica that is "
           "missing joins by itself",
           address->text);
    bool is_longer = status.last_term > best->last_term ||
                     (status.last_term == best->last_term && status.last_index > best->last_index);
    log_info("%s: last entry of term %" PRIu64 ", index %" PRIu64, address->text, status.last_term,
             status.last_index);
    if (best->address == NULL || is_longer) {
        *best = (struct candidate){address, status.last_term, status.last_index};
    }
    return OK;
}

static RESULT choose_survivor(struct recover_run *run, struct err *err) {
    struct candidate best = {0};
    struct err why = {0};
    for (size_t i = 0; i < run->addresses.count; i++) {
        struct result r = survey_one(run, &run->addresses.items[i], &best, &why);
        if (err_exit_code(r.code) > 1) {
            *err = why;
            return r;
        }
        if (!is_ok(r)) {
            log_warn("%s; if it lives and has a longer log, what only it has would be lost",
                     why.text);
        }
    }
    ENSURE(best.address != NULL, err, UNAVAILABLE,
           "no survivor answers: recover from a checkpoint into a fresh replica (%s)", why.text);
    return contact(run, best.address, TRUST_BY_OWN, err);
}

/* ---- the session ---- */

static uint64_t next_epoch(const struct recover_run *run, const uint8_t cluster[32],
                           uint64_t state_epoch) {
    uint64_t highest = recoveries_highest(&run->trust.recoveries, cluster);
    highest =
        run->trust.has_last && run->trust.last.epoch > highest ? run->trust.last.epoch : highest;
    return (state_epoch > highest ? state_epoch : highest) + 1;
}

/* A replica takes sessions at a pace, and all its seats may be taken for a moment. */
static RESULT ask_open(struct recover_run *run, const struct api_recover *open, struct err *err) {
    struct result r = OK;
    for (int i = 0; i < OPEN_TRIES; i++) {
        struct err why = {.code = ERR_OK};
        r = ask(run, API_RECOVER, &api_recover_type, open, &why);
        if (is_ok(r)) {
            return OK;
        }
        *err = why;
        if (r.code != ERR_BUSY || why.retry_ms == 0 || dial_is_lost(run->dial)) {
            return r;
        }
        log_info("%s", why.text);
        sleep(why.retry_ms / 1000 < OPEN_PAUSE_MAX_S ? why.retry_ms / 1000 + 1 : OPEN_PAUSE_MAX_S);
    }
    return r;
}

static RESULT open_survivor(struct recover_run *run, struct err *err) {
    const struct client_history *h = run->remote.history;
    CHECK(h != NULL);
    struct api_recover open = {.mode = RECOVERY_SURVIVOR,
                               .epoch = next_epoch(run, h->cluster, h->epoch)};
    return ask_open(run, &open, err);
}

static RESULT upload(struct recover_run *run, struct err *err) {
    const struct buf *file = &run->file.bytes;
    struct api_recover_data piece;
    memcpy(piece.session, run->session, sizeof piece.session);
    while (run->reply.received < file->size) {
        uint64_t before = run->reply.received;
        size_t rest = file->size - (size_t)before;
        piece.offset = before;
        piece.data = span_of(file->data + before,
                             rest < LIMIT_CHECKPOINT_PIECE ? rest : LIMIT_CHECKPOINT_PIECE);
        TRY(ask(run, API_RECOVER_DATA, &api_recover_data_type, &piece, err));
        ENSURE(run->reply.received > before && run->reply.received <= file->size, err, PROTOCOL,
               "the replica counts %" PRIu64 " of %zu bytes", run->reply.received, file->size);
        log_info("checkpoint: %" PRIu64 " of %zu bytes", run->reply.received, file->size);
    }
    return OK;
}

static RESULT open_checkpoint(struct recover_run *run, struct err *err) {
    const struct checkpoint_header *h = &run->file.header;
    size_t size = 0;
    CHECK(is_ok(checkpoint_header_size(buf_span(&run->file.bytes), &size, NULL)));
    struct api_recover open = {.mode = RECOVERY_CHECKPOINT,
                               .epoch = next_epoch(run, h->cluster, h->epoch),
                               .header = span_of(run->file.bytes.data, size),
                               .size = run->file.bytes.size};
    TRY(ask_open(run, &open, err));
    TRY(recover_check_header(&run->reply, h, err));
    return upload(run, err);
}

static RESULT show(struct recover_run *run, struct err *err) {
    struct api_recover_show show;
    memcpy(show.session, run->session, sizeof show.session);
    return ask(run, API_RECOVER_SHOW, &api_recover_show_type, &show, err);
}

static RESULT find_session(struct recover_run *run, struct err *err) {
    struct result r = OK;
    for (size_t i = 0; i < run->addresses.count; i++) {
        r = contact(run, &run->addresses.items[i], TRUST_BY_OWN, err);
        r = is_ok(r) ? show(run, err) : r;
        if (is_ok(r)) {
            return OK;
        }
        if (i + 1 < run->addresses.count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

static RESULT contact_any(struct recover_run *run, struct err *err) {
    struct result r = OK;
    for (size_t i = 0; i < run->addresses.count; i++) {
        r = contact(run, &run->addresses.items[i], TRUST_BY_OWN, err);
        if (is_ok(r) || err_exit_code(r.code) != 1) {
            return r;
        }
        if (i + 1 < run->addresses.count) {
            log_warn("%s", err->text);
        }
    }
    return r;
}

static RESULT open_session(struct recover_run *run, struct err *err) {
    if (run->options.session != NULL) {
        TRY(find_session(run, err));
        if (run->options.checkpoint != NULL) {
            TRY(recover_check_header(&run->reply, &run->file.header, err));
            TRY(upload(run, err)); /* what the first owner could not finish */
        }
        return OK;
    }
    if (run->options.from_survivor) {
        TRY(choose_survivor(run, err));
        return open_survivor(run, err);
    }
    TRY(contact_any(run, err));
    return open_checkpoint(run, err);
}

/* ---- the contribution ---- */

/* This owner's share, from the header that the session has. */
static RESULT open_share(struct recover_run *run, struct secret **share, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct checkpoint_header header;
    TRY(err_wrap(checkpoint_parse_header(run->reply.header, &arena, &header, err), err,
                 "the session's header"));
    TRY(recover_check_header(&run->reply, &header, err));
    TRY(recover_check_root(header.root_ca, &run->memory, err));
    return checkpoint_open_share(&header, &run->key, share, err);
}

static RESULT give(struct recover_run *run, struct err *err) {
    AUTO(free_secret)
    struct secret *share = NULL;
    AUTO(buf_deinit)
    struct buf signature = {0};
    struct recovery recovery = recover_check_fields(&run->reply);
    if (run->reply.mode == RECOVERY_CHECKPOINT) {
        TRY(open_share(run, &share, err));
    }
    TRY(recovery_sign(&recovery, &run->key, &signature, err));
    recoveries_add_signed(&run->trust.recoveries, &recovery);
    TRY(recoveries_write(run->cli->workspace, &run->trust.recoveries, err));
    struct api_recover_give message = {
        .key = buf_span(&run->pkcs1),
        .share = share == NULL ? (struct span){0} : secret_span(share),
        .signature = buf_span(&signature),
    };
    memcpy(message.session, run->session, sizeof message.session);
    return ask(run, API_RECOVER_GIVE, &api_recover_give_type, &message, err);
}

static RESULT check(struct recover_run *run, struct err *err) {
    const struct span key = run->remote.verdict.peer.statement.replica.public_key;
    bool is_signed = false;
    sha256(key, run->memory.recipient);
    ENSURE(run->reply.mode == RECOVERY_SURVIVOR || run->reply.mode == RECOVERY_CHECKPOINT, err,
           PROTOCOL, "recovery of an unknown kind (%u)", run->reply.mode);
    bool is_survivor = run->reply.mode == RECOVERY_SURVIVOR;
    ENSURE(run->options.session != NULL || is_survivor == run->options.from_survivor, err, PROTOCOL,
           "the session is not of the kind that was asked for");
    if (is_survivor) {
        TRY(recover_check_root(remote_statement(&run->remote)->root_ca_digest, &run->memory, err));
    }
    return recover_check_memory(&run->reply, &run->memory, &is_signed, err);
}

static size_t count_given(const struct recover_run *run) {
    const struct api_recover_owner *owners = run->reply.owners.items;
    size_t given = 0;
    for (size_t i = 0; i < run->reply.owners.count; i++) {
        given += owners[i].has_given;
    }
    return given;
}

/* ---- the end ---- */

/* A recovery changes the epoch, and the connection may go with it. */
static RESULT await_done(struct recover_run *run, struct err *err) {
    for (int i = 0; i < DONE_TRIES; i++) {
        if (strcmp(run->reply.state, "done") == 0) {
            run->is_done = true;
            return OK;
        }
        ENSURE(strcmp(run->reply.state, "failed") != 0, err, DENIED, "the recovery failed: %s",
               run->reply.why);
        ENSURE(strcmp(run->reply.state, "open") != 0, err, UNAVAILABLE,
               "all contributions are there, and the recovery did not start (%s): run the same "
               "again with --session",
               run->reply.why);
        sleep(1); /* the replica works: there is no event to wait for over this API */
        if (run->dial == NULL || dial_is_lost(run->dial)) {
            struct dial *old = run->dial;
            run->dial = NULL;
            dial_close(old);
            TRY(dial_open(run->address, &run->dial, err));
        }
        struct result r = show(run, err);
        if (r.code == ERR_NOT_FOUND || (!is_ok(r) && !dial_is_lost(run->dial))) {
            return r;
        }
    }
    return err_set(err, ERR_OUTCOME_UNKNOWN,
                   "all contributions are there, and the recovery is not done: %s", run->reply.why);
}

/* The next recovery judges its recipient by the newest of them. */
static RESULT write_manifests(const struct recover_run *run, struct err *err) {
    const struct client_history *h = run->remote.history;
    for (size_t i = 0; i < h->count; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "verify/manifest.%zu.json", i);
        TRY(workspace_write(run->cli->workspace, name, h->records[i].manifest, err));
    }
    return OK;
}

/* Before anything is remembered: who has seen the new epoch refuses every older file, and this
 * replica may be the only one that holds it. Should it die now, its owners can still go on with
 * what they had. */
static RESULT keep_checkpoint(struct recover_run *run, struct err *err) {
    AUTO(checkpoint_file_deinit)
    struct checkpoint_file fresh = {0};
    TRY(err_wrap(checkpoint_file_fetch(run->dial, &run->remote, &fresh, err), err,
                 "epoch %" PRIu64
                 " began, and there is no checkpoint of it yet (run the same again "
                 "with --session; nothing of it is remembered here)",
                 run->reply.epoch));
    return checkpoint_file_keep(&fresh, run->cli->workspace, err);
}

static RESULT write_result(struct recover_run *run, struct err *err) {
    const char *dir = run->cli->workspace;
    const struct remote *r = &run->remote;
    AUTO(buf_deinit)
    struct buf position = {0};
    position_encode(&r->position, &position);
    TRY(write_manifests(run, err));
    TRY(trust_remember_epochs(&run->trust, r, err));
    TRY(workspace_write(dir, ROOT_CA_FILE, span_str(r->history->root_ca_pem), err));
    TRY(workspace_write(dir, "mesh-ca.pem", span_str(r->history->mesh_ca_pem), err));
    TRY(workspace_write_cluster(dir, r->position.cluster, false, err));
    TRY(workspace_write_digest(dir, WORKSPACE_TRANSITION, r->position.head, err));
    if (r->position.is_confirmed) {
        TRY(workspace_write(dir, WORKSPACE_POSITION, buf_span(&position), err));
    }
    return OK;
}

/* Nothing is believed because the session says so: the replica is verified as by anybody. */
static RESULT finish(struct recover_run *run, struct err *err) {
    uint64_t epoch = run->reply.epoch;
    TRY(contact(run, run->address, TRUST_BY_NEWEST, err));
    ENSURE(run->remote.history->epoch >= epoch, err, UNVERIFIABLE,
           "%s says that it is done, and shows epoch %" PRIu64, run->address->text,
           run->remote.history->epoch);
    TRY(err_wrap(
        recover_check_root(remote_statement(&run->remote)->root_ca_digest, &run->memory, err), err,
        "%s: do not use it", run->address->text));
    TRY(keep_checkpoint(run, err));
    return write_result(run, err);
}

/* ---- output ---- */

static void print_json(struct recover_run *run, const char *session, const char *hash) {
    const struct api_recover_reply *r = &run->reply;
    cli_print_json(run->cli,
                   json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s}", "session", session, "state",
                             r->state, "epoch", (json_int_t)r->epoch, "given",
                             (json_int_t)count_given(run), "needed", (json_int_t)r->threshold,
                             "recovery", hash, "address", run->address->text));
}

static void print_text(const struct recover_run *run, const char *session, const char *hash) {
    const struct api_recover_reply *r = &run->reply;
    AUTO(buf_deinit)
    struct buf out = {0};
    if (run->is_done) {
        buf_appendf(
            &out,
            "✔ Recovered: epoch %" PRIu64 " began at %s\n  generation  %" PRIu64
            "\n  recovery    %s\n  The other replicas join by themselves when their pods "
            "start. Sidecars renew their\n  certificates: the mesh CA is new, the root CA is "
            "the same.\n",
            r->epoch, run->address->text, r->generation, hash);
    } else {
        buf_appendf(
            &out,
            "✔ Contributed: %zu of %" PRIu64 " share owners needed\n  session     %s\n"
            "  epoch       %" PRIu64 "\n  recovery    %s\n  The next share owner runs, within "
            "%" PRIu64 " minutes:\n  contrast recover -c %s --session %s --share-key FILE\n",
            count_given(run), r->threshold, session, r->epoch, hash, r->expires_ms / 60000,
            run->address->text, session);
    }
    cli_print_text(buf_span(&out));
}

static void print(struct recover_run *run) {
    struct recovery recovery = recover_check_fields(&run->reply);
    uint8_t digest[32];
    char hash[65];
    char session[33];
    recovery_hash(&recovery, digest);
    hex_encode(SPAN(digest), hash);
    hex_encode(SPAN(run->session), session);
    if (run->cli->json) {
        print_json(run, session, hash);
    } else {
        print_text(run, session, hash);
    }
}

static RESULT recover(struct recover_run *run, int argc, char **argv, struct err *err) {
    TRY(parse_options(run, argc, argv, err));
    TRY(load_key(run, err));
    TRY(load_trust(run, err));
    TRY(load_root(run, err));
    TRY(load_checkpoint(run, err));
    TRY(open_session(run, err));
    bool is_over = strcmp(run->reply.state, "done") == 0; /* nothing is left to contribute to */
    if (!is_over) {
        TRY(check(run, err));
        TRY(give(run, err));
    }
    if (is_over || count_given(run) >= run->reply.threshold) {
        TRY(await_done(run, err));
        TRY(finish(run, err));
    }
    print(run);
    return OK;
}

struct result cmd_recover(struct cli *cli, int argc, char **argv, struct err *err) {
    struct recover_run *run = mem_zalloc(sizeof *run);
    run->cli = cli;
    struct result r = recover(run, argc, argv, err);
    free_run(run);
    mem_free(run);
    return r;
}
