/* Recovery run: see recovery_run.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/recovery_run.h"

#include <string.h>

#include "attest/session.h"
#include "coordinator/recovery_core.h"
#include "coordinator/revival.h"
#include "coordinator/scout.h"
#include "coordinator/session.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"
#include "meshca/checkpoint.h"

struct recovery_run {
    struct worker *worker;
    uint8_t session[RECOVERY_SESSION_SIZE];
    struct recovery_case given; /* borrowed from the desk, which waits for us */
    struct recovery automatic;  /* without a session: what given.recovery points to */
    void *owner;
    recovery_run_cb done;         /* NULL: there is a session */
    uint64_t until_ms;            /* with `done`: what it goes on from counts no longer */
    struct buf state;             /* secret */
    uint8_t root_ca[SHA384_SIZE]; /* the file's; unused without one */
    struct core *core;
    struct position position; /* of this replica, when it was asked */
};

static struct recovery_desk *desk_of(const struct recovery_run *run) {
    return worker_identity(run->worker)->desk;
}

static void end(struct recovery_run *run, struct result r, const struct err *err) {
    if (is_ok(r)) {
        log_info("recovered: epoch %llu begins here",
                 (unsigned long long)run->given.recovery->epoch);
    } else {
        log_error("recovery into epoch %llu failed: %s: %s",
                  (unsigned long long)run->given.recovery->epoch, err_name(r.code), err->text);
    }
    if (run->done != NULL) {
        run->done(run->owner, r, err);
    } else {
        recovery_desk_finish(desk_of(run), run->session, r, err);
    }
    core_free(run->core);
    buf_deinit(&run->state);
    mem_free(run);
}

/* True when the run goes on. */
static bool try(struct recovery_run *run, struct result r, const struct err *err) {
    if (!is_ok(r)) {
        end(run, r, err);
    }
    return is_ok(r);
}

/* --- Last: the core thread takes over */

static void on_recovered(void *owner, const struct letter *reply) {
    struct err err = {.code = ERR_OK};
    end(owner, session_check(reply, &err), &err);
}

static void fill_revival(const struct recovery_run *run, struct revival *out) {
    const struct server_identity *self = worker_identity(run->worker);
    *out = (struct revival){
        .recovery = run->given.recovery,
        .signatures = run->given.signatures,
        .signature_count = run->given.signature_count,
        .share_owners = (const uint8_t(*)[32])run->given.owners,
        .share_owner_count = run->given.owner_count,
        .threshold = run->given.threshold,
        .root_ca = run->given.recovery->mode == RECOVERY_CHECKPOINT ? run->root_ca : NULL,
        .owner_digests = self->config->owner_digests,
        .owner_count = self->config->owner_count,
        .spki = buf_span(&self->spki),
    };
}

/* The host may have stopped this machine in the middle: then the shares of an automatic recovery
 * may count elsewhere by now. */
static RESULT check_time(const struct recovery_run *run, struct err *err) {
    uint64_t now = host_monotonic_ms(worker_identity(run->worker)->host);
    ENSURE(run->done == NULL || now < run->until_ms, err, UNAVAILABLE,
           "it took more than %d s: the shares do not count any more",
           LIMIT_RESTART_ARMED_MS / 1000);
    return OK;
}

static RESULT hand_over(struct recovery_run *run, const struct entry_member *self,
                        struct err *err) {
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct revival revival;
    fill_revival(run, &revival);
    buf_append_u64be(&bytes, run->state.size);
    buf_append_span(&bytes, buf_span(&run->state));
    TRY(revival_encode(&revival, run->core, self, worker_identity(run->worker)->host,
                       worker_now(run->worker), &bytes, err));
    TRY(check_time(run, err));
    return worker_ask(run->worker, CORE_RECOVER, buf_span(&bytes), run, on_recovered, err);
}

/* --- Own evidence, judged as every member's will be */

static RESULT judge_self(const struct recovery_run *run, struct span evidence,
                         uint8_t host_data[32], struct err *err) {
    struct attest_policy policy;
    struct attest_peer peer = {0};
    worker_attest_policy(run->worker, core_manifest(run->core), ATTEST_REPLICA, ROLE_COORDINATOR,
                         &policy);
    struct result r =
        attest_document_verify(core_cluster(run->core), evidence, &policy, &peer, err);
    if (is_ok(r)) {
        memcpy(host_data, peer.host_data, 32);
    }
    attest_peer_deinit(&peer);
    return err_wrap(r, err, "this replica does not satisfy the manifest that is to be recovered");
}

static RESULT finish_row(struct recovery_run *run, struct span evidence, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    const struct server_identity *id = worker_identity(run->worker);
    struct entry_member self = {
        .id = id->id,
        .name = arena_strndup(&arena, id->config->name, strlen(id->config->name)),
        .address = arena_strndup(&arena, id->config->address, strlen(id->config->address)),
        .user_address = arena_strndup(&arena, "", 0),
        .spki = buf_span(&id->spki),
        .version = entry_version,
        .evidence = evidence,
    };
    TRY(judge_self(run, evidence, self.host_data, err));
    return hand_over(run, &self, err);
}

static void on_document(void *owner, const struct letter *reply) {
    struct recovery_run *run = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? finish_row(run, buf_span(&reply->bytes), &err) : r;
    (void)try(run, r, &err);
}

/* --- The state */

static RESULT check_state(struct recovery_run *run, struct err *err) {
    struct revival revival;
    fill_revival(run, &revival);
    TRY(err_wrap(core_load_checkpoint(buf_span(&run->state), &run->core, err), err,
                 "the recovered state"));
    TRY(revival_check(&revival, run->core, err));
    return worker_document(run->worker, core_cluster(run->core), &run->position, run, on_document,
                           err);
}

static void on_survey(void *owner, const struct letter *reply) {
    struct recovery_run *run = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    if (is_ok(r)) {
        struct core_extract extract;
        buf_append_span(&run->state, recovery_core_state(buf_span(&reply->bytes), &extract));
        r = check_state(run, &err);
    }
    (void)try(run, r, &err);
}

static RESULT open_file(struct recovery_run *run, struct err *err) {
    const struct recovery_case *c = &run->given;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct checkpoint_header h;
    struct span ciphertext;
    TRY(checkpoint_parse(c->file, &arena, &h, &ciphertext, err));
    memcpy(run->root_ca, h.root_ca, sizeof run->root_ca);
    return checkpoint_open(c->file, c->shares, c->share_count, &run->state, err);
}

static RESULT take_state(struct recovery_run *run, struct err *err) {
    const struct recovery_case *c = &run->given;
    if (c->recovery->mode == RECOVERY_SURVIVOR) {
        return worker_ask(run->worker, CORE_SURVEY, (struct span){0}, run, on_survey, err);
    }
    if (c->recovery->mode == RECOVERY_AUTOMATIC) { /* open already */
        return check_state(run, err);
    }
    TRY(open_file(run, err));
    return check_state(run, err);
}

/* --- First: does anybody live? */

static void on_scouted(void *owner, const struct scout_report *report) {
    struct recovery_run *run = owner;
    struct err err = report->against;
    struct result r = {err.code};
    r = is_ok(r) ? take_state(run, &err) : r;
    (void)try(run, r, &err);
}

/* A member's quorum that answers ends a recovery from it; who is no member cannot ask one. */
static void on_confirmed(void *owner, const struct letter *reply) {
    struct recovery_run *run = owner;
    const struct recovery *r = run->given.recovery;
    struct err err;
    run->position = reply->position;
    if (reply->code == ERR_BUSY || reply->code == ERR_CANCELED) {
        end(run, session_check(reply, &err), &err);
        return;
    }
    if (r->mode == RECOVERY_SURVIVOR && reply->code == ERR_OK) {
        end(run, err_set(&err, ERR_DENIED, "a quorum answers: nothing is to be recovered"), &err);
        return;
    }
    scout_start(run->worker, SCOUT_LIFE, r->cluster, r->previous_epoch, r->generation, run,
                on_scouted);
}

void recovery_run_start(struct worker *w, const uint8_t session[RECOVERY_SESSION_SIZE]) {
    struct recovery_run *run = mem_zalloc(sizeof *run);
    struct err err;
    run->worker = w;
    memcpy(run->session, session, sizeof run->session);
    recovery_desk_case(worker_identity(w)->desk, session, &run->given);
    bool is_member = run->given.recovery->mode == RECOVERY_SURVIVOR;
    (void)try(run,
              worker_ask(w, is_member ? CORE_CONFIRM : CORE_POSITION, (struct span){0}, run,
                         on_confirmed, &err),
              &err);
}

void recovery_run_automatic(struct worker *w, const struct recovery *recovery, struct buf *state,
                            void *owner, recovery_run_cb done) {
    struct recovery_run *run = mem_zalloc(sizeof *run);
    struct err err;
    run->worker = w;
    run->automatic = *recovery;
    run->automatic.mode = RECOVERY_AUTOMATIC;
    sha256(buf_span(&worker_identity(w)->spki), run->automatic.recipient);
    run->given.recovery = &run->automatic;
    run->state = *state;
    *state = (struct buf){0};
    run->owner = owner;
    run->done = done;
    run->until_ms = host_monotonic_ms(worker_identity(w)->host) + LIMIT_RESTART_ARMED_MS;
    (void)try(run, worker_ask(w, CORE_POSITION, (struct span){0}, run, on_confirmed, &err), &err);
}
