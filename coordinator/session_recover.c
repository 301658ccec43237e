/* Recovery, the share owners' side: open a session, bring the file, look, contribute. See session.h
 * and docs/recovery.md.
 *
 *   API_RECOVER  checkpoint: nothing to lose here -> header -> others asked (scout.h) -> session
 *                survivor:   no quorum answers -> others asked -> CORE_SURVEY -> session
 *   API_RECOVER_DATA   the next piece of the file
 *   API_RECOVER_SHOW   how it stands; a recovery that failed answers with its reason
 *   API_RECOVER_GIVE   share against its commitment, signature -> kept; with the last one needed
 *                      the recovery starts (recovery_run.h), and who asks sees "starting", "done"
 *
 * A contribution is refused for reasons that anybody could compute from public data: the key is no
 * owner's, the share is not what the header commits to, the signature is not valid.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "coordinator/recovery_core.h"
#include "coordinator/recovery_run.h"
#include "coordinator/scout.h"
#include "coordinator/session.h"
#include "lib/crypto/digest.h"
#include "meshca/checkpoint.h"

static struct recovery_desk *desk_of(const struct session *s) {
    return worker_identity(s->worker)->desk;
}

/* --- Answers */

static char *text_of(struct arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

static void fill_reply(const struct recovery_standing *st, struct arena *arena,
                       struct api_recover_reply *out) {
    const struct recovery *r = &st->recovery;
    struct api_recover_owner *owners = arena_alloc(arena, (st->owner_count + 1) * sizeof *owners);
    for (size_t i = 0; i < st->owner_count; i++) {
        memcpy(owners[i].digest, st->owners[i], sizeof owners[i].digest);
        owners[i].has_given = st->has_given[i];
    }
    *out = (struct api_recover_reply){
        .mode = r->mode,
        .epoch = r->epoch,
        .previous_epoch = r->previous_epoch,
        .generation = r->generation,
        .index = r->index,
        .ledger_size = r->ledger_size,
        .last_term = st->last_term,
        .threshold = st->threshold,
        .header = buf_span(&st->header),
        .received = st->received,
        .size = st->size,
        .owners = {owners, st->owner_count},
        .state = text_of(arena, recovery_stage_name(st->stage)),
        .expires_ms = st->expires_ms,
    };
    memcpy(out->session, st->session, sizeof out->session);
    memcpy(out->cluster, r->cluster, sizeof out->cluster);
    memcpy(out->head, r->head, sizeof out->head);
    memcpy(out->ledger_root, r->ledger_root, sizeof out->ledger_root);
    memcpy(out->recipient, r->recipient, sizeof out->recipient);
}

/* What it waits for. */
static void fill_why(const struct recovery_standing *st, char *text, size_t size) {
    text[0] = 0;
    if (st->stage != RECOVERY_OPEN) {
        return;
    }
    if (st->received < st->size) {
        snprintf(text, size, "the file: %" PRIu64 " of %" PRIu64 " bytes", st->received, st->size);
    } else if (st->given < st->threshold) {
        snprintf(text, size, "%zu of %" PRIu64 " share owners have contributed", st->given,
                 st->threshold);
    } else {
        snprintf(text, size, "it could not be started, contribute again: %.300s", st->why.text);
    }
}

static void reply_standing(struct session *s, const uint8_t id[RECOVERY_SESSION_SIZE]) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(recovery_standing_deinit)
    struct recovery_standing st = {0};
    struct api_recover_reply reply;
    char why[400];
    struct err err;
    struct result r = recovery_desk_show(desk_of(s), id, &st, &err);
    if (is_ok(r) && st.stage == RECOVERY_FAILED) {
        r = err_set(&err, st.why.code, "this recovery failed: %s", st.why.text);
    }
    if (!session_try(s, r, &err)) {
        return;
    }
    fill_reply(&st, &arena, &reply);
    fill_why(&st, why, sizeof why);
    reply.why = why;
    session_reply(s, API_RECOVER_REPLY, &api_recover_reply_type, &reply);
}

static void open_session(struct session *s, const struct recovery_offer *offer) {
    uint8_t id[RECOVERY_SESSION_SIZE];
    struct err err;
    if (session_try(s, recovery_desk_open(desk_of(s), offer, id, &err), &err)) {
        reply_standing(s, id);
    }
}

/* --- Opening: what both kinds need */

static RESULT read_ask(const struct session *s, struct arena *arena, struct api_recover *ask,
                       struct err *err) {
    TRY(wire_decode(&api_recover_type, buf_span(&s->request), arena, ask, err));
    ENSURE(ask->mode == RECOVERY_SURVIVOR || ask->mode == RECOVERY_CHECKPOINT, err, INVALID,
           "recovery of mode %u: want 1 (from a survivor) or 2 (from a checkpoint)", ask->mode);
    bool has_file = ask->mode == RECOVERY_CHECKPOINT;
    ENSURE(has_file == (ask->header.size > 0) && has_file == (ask->size > 0), err, INVALID,
           has_file ? "a recovery from a checkpoint needs its header and size"
                    : "a recovery from a survivor takes no file");
    return OK;
}

static void begin_offer(const struct session *s, const struct api_recover *ask,
                        struct recovery_offer *o) {
    *o = (struct recovery_offer){.header = ask->header, .size = ask->size};
    o->recovery.mode = ask->mode;
    o->recovery.epoch = ask->epoch;
    sha256(buf_span(&worker_identity(s->worker)->spki), o->recovery.recipient);
}

static void scout_for(struct session *s, const uint8_t cluster[32], uint64_t previous_epoch,
                      scout_cb done) {
    s->scout = scout_start(s->worker, SCOUT_LIFE, cluster, previous_epoch, 0, s, done);
}

/* --- From a checkpoint */

static RESULT read_header(const struct api_recover *ask, struct arena *arena,
                          struct checkpoint_header *h, struct err *err) {
    TRY(err_wrap(checkpoint_parse_header(ask->header, arena, h, err), err, "checkpoint"));
    uint64_t size = ask->header.size + h->size + CHECKPOINT_TAG_SIZE;
    ENSURE(h->size <= LIMIT_SNAPSHOT && size == ask->size, err, MALFORMED,
           "checkpoint: a file of %" PRIu64 " bytes, its header makes it %" PRIu64, ask->size,
           size);
    return OK;
}

static void offer_checkpoint(struct session *s, const struct api_recover *ask,
                             const struct checkpoint_header *h) {
    uint8_t owners[LIMIT_SHARE_OWNERS][32];
    struct recovery_offer o;
    struct recovery *r = &o.recovery;
    const struct checkpoint_share *shares = h->shares.items;
    begin_offer(s, ask, &o);
    for (size_t i = 0; i < h->shares.count && i < LIMIT_SHARE_OWNERS; i++) {
        memcpy(owners[i], shares[i].owner, sizeof owners[i]);
    }
    memcpy(r->cluster, h->cluster, sizeof r->cluster);
    memcpy(r->head, h->head, sizeof r->head);
    memcpy(r->ledger_root, h->ledger_root, sizeof r->ledger_root);
    r->previous_epoch = h->epoch;
    r->generation = h->generation;
    r->index = h->index;
    r->ledger_size = h->ledger_size;
    o.last_term = h->term;
    o.threshold = h->threshold;
    o.owners = (const uint8_t(*)[32])owners;
    o.owner_count = h->shares.count;
    open_session(s, &o);
}

static RESULT read_checkpoint(const struct session *s, struct arena *arena, struct api_recover *ask,
                              struct checkpoint_header *h, struct err *err) {
    TRY(read_ask(s, arena, ask, err));
    return read_header(ask, arena, h, err);
}

static void on_checkpoint_scouted(void *owner, const struct scout_report *report) {
    struct session *s = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover ask = {0};
    struct checkpoint_header h = {0};
    struct err err = report->against;
    struct result r = {err.code};
    s->scout = NULL;
    r = is_ok(r) ? read_checkpoint(s, &arena, &ask, &h, &err) : r;
    if (session_try(s, r, &err)) {
        offer_checkpoint(s, &ask, &h);
    }
}

static RESULT check_empty(const struct letter *reply, struct err *err) {
    TRY(session_check(reply, err));
    uint8_t state = reply->position.state;
    ENSURE(state == REPLICA_EMPTY || state == REPLICA_PREPARED || state == REPLICA_JOINING, err,
           FOUNDED,
           "this replica belongs to a deployment already: a checkpoint goes to an empty one; from "
           "what this one holds recover with --from-survivor");
    return OK;
}

static void on_position(void *owner, const struct letter *reply) {
    struct session *s = owner;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover ask = {0};
    struct checkpoint_header h = {0};
    struct err err;
    struct result r = check_empty(reply, &err);
    r = is_ok(r) ? read_checkpoint(s, &arena, &ask, &h, &err) : r;
    if (session_try(s, r, &err)) {
        scout_for(s, h.cluster, h.epoch, on_checkpoint_scouted);
    }
}

/* --- From a survivor */

static RESULT check_survivor(const struct letter *reply, struct err *err) {
    enum replica_state state = (enum replica_state)reply->position.state;
    ENSURE(replica_state_is_member(state) || state == REPLICA_FROZEN, err, NOT_FOUND,
           "this replica holds no state to recover from: use --checkpoint, or name a survivor");
    if (reply->code == ERR_BUSY || reply->code == ERR_CANCELED) {
        return session_check(reply, err); /* says nothing of a quorum */
    }
    ENSURE(reply->code != ERR_OK, err, DENIED,
           "a quorum answers (epoch %" PRIu64 ", generation %" PRIu64
           "): nothing is to be recovered",
           reply->position.epoch, reply->position.generation);
    return OK;
}

/* The manifest of what was surveyed may be newer than the view's: in the log's tail, not applied.
 * NULL in `core` when the view's is the one. */
static RESULT find_manifest(const struct session *s, const struct recovery *position,
                            struct span state, struct core **core, const struct manifest **out,
                            struct err *err) {
    const struct view *v = worker_view(s->worker);
    *core = NULL;
    if (v != NULL && v->generation > 0 && memcmp(v->head, position->head, 32) == 0) {
        *out = &v->manifest;
        return OK;
    }
    TRY(core_load_checkpoint(state, core, err));
    *out = core_manifest(*core);
    return OK;
}

static RESULT check_owners(const struct manifest *m, struct err *err) {
    ENSURE(m->share_owner_count > 0, err, NOT_FOUND,
           "this manifest names no share owners (generate --add-seedshare-owner-key): nobody may "
           "recover this deployment");
    ENSURE(m->share_owner_count <= LIMIT_SHARE_OWNERS, err, TOO_LARGE, "%zu share owners",
           m->share_owner_count);
    return OK;
}

static RESULT offer_survivor(struct session *s, const struct letter *reply, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover ask;
    struct core_extract extract;
    struct core *core = NULL;
    const struct manifest *m = NULL;
    uint8_t owners[LIMIT_SHARE_OWNERS][32];
    struct recovery_offer o;
    TRY(read_ask(s, &arena, &ask, err));
    struct span state = recovery_core_state(buf_span(&reply->bytes), &extract);
    TRY(find_manifest(s, &extract.position, state, &core, &m, err));
    struct result r = check_owners(m, err);
    for (size_t i = 0; is_ok(r) && i < m->share_owner_count; i++) {
        sha256(m->share_owners[i], owners[i]);
    }
    begin_offer(s, &ask, &o);
    o.owner_count = m->share_owner_count;
    o.threshold = m->share_threshold;
    core_free(core);
    TRY(r);
    struct recovery position = extract.position;
    position.mode = o.recovery.mode;
    position.epoch = o.recovery.epoch;
    memcpy(position.recipient, o.recovery.recipient, sizeof position.recipient);
    o.recovery = position;
    o.last_term = extract.last_term;
    o.owners = (const uint8_t(*)[32])owners;
    open_session(s, &o);
    return OK;
}

static void on_survey(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? offer_survivor(s, reply, &err) : r;
    session_try(s, r, &err);
}

static void on_survivor_scouted(void *owner, const struct scout_report *report) {
    struct session *s = owner;
    struct err err = report->against;
    struct result r = {err.code};
    s->scout = NULL;
    r = is_ok(r) ? worker_ask(s->worker, CORE_SURVEY, (struct span){0}, s, on_survey, &err) : r;
    session_try(s, r, &err);
}

static void on_confirmed(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    if (session_try(s, check_survivor(reply, &err), &err)) {
        scout_for(s, reply->position.cluster, reply->position.epoch, on_survivor_scouted);
    }
}

/* --- The requests */

void session_recover(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover ask;
    struct err err;
    struct result r = read_ask(s, &arena, &ask, &err);
    r = is_ok(r) ? recovery_desk_may_open(desk_of(s), &err) : r;
    if (!session_try(s, r, &err)) {
        return;
    }
    bool is_survivor = ask.mode == RECOVERY_SURVIVOR;
    r = worker_ask(s->worker, is_survivor ? CORE_CONFIRM : CORE_POSITION, (struct span){0}, s,
                   is_survivor ? on_confirmed : on_position, &err);
    session_try(s, r, &err);
}

void session_recover_data(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover_data ask;
    struct err err;
    struct result r =
        wire_decode(&api_recover_data_type, buf_span(&s->request), &arena, &ask, &err);
    r = is_ok(r) ? recovery_desk_upload(desk_of(s), ask.session, ask.offset, ask.data, &err) : r;
    if (session_try(s, r, &err)) {
        reply_standing(s, ask.session);
    }
}

void session_recover_show(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover_show ask;
    struct err err;
    struct result r =
        wire_decode(&api_recover_show_type, buf_span(&s->request), &arena, &ask, &err);
    if (session_try(s, r, &err)) {
        reply_standing(s, ask.session);
    }
}

static bool is_owner(const struct recovery_standing *st, const uint8_t digest[32]) {
    for (size_t i = 0; i < st->owner_count; i++) {
        if (memcmp(st->owners[i], digest, 32) == 0) {
            return true;
        }
    }
    return false;
}

static RESULT check_share(const struct recovery_standing *st, const uint8_t owner[32],
                          struct span share, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct checkpoint_header h;
    if (st->header.size == 0) {
        ENSURE(share.size == 0, err, INVALID, "a recovery from a survivor takes no share");
        return OK;
    }
    TRY(checkpoint_parse_header(buf_span(&st->header), &arena, &h, err));
    return checkpoint_check_share(&h, owner, share, err);
}

/* The key belongs to this session's owners by its digest: it alone is the authority here. What the
 * manifest says of it is checked when the state is open (revival.h). */
static RESULT check_signature(const struct recovery_standing *st, const struct api_recover_give *g,
                              struct err *err) {
    struct span key = g->key;
    struct manifest authority = {
        .share_owners = &key, .share_owner_count = 1, .share_threshold = 1};
    struct recovery_signature signature = {g->key, g->signature};
    return recovery_verify_one(&st->recovery, &signature, &authority, err);
}

static RESULT take_gift(struct session *s, const struct api_recover_give *g, bool *may_start,
                        struct err *err) {
    AUTO(recovery_standing_deinit)
    struct recovery_standing st = {0};
    struct recovery_gift gift = {.key = g->key, .share = g->share, .signature = g->signature};
    char hex[65];
    TRY(recovery_desk_show(desk_of(s), g->session, &st, err));
    sha256(g->key, gift.owner);
    hex_encode(SPAN(gift.owner), hex);
    ENSURE(is_owner(&st, gift.owner), err, DENIED,
           "key %.16s… is not one of the %zu share owners of what is to be recovered", hex,
           st.owner_count);
    TRY(check_share(&st, gift.owner, g->share, err));
    TRY(check_signature(&st, g, err));
    return recovery_desk_give(desk_of(s), g->session, &gift, may_start, err);
}

void session_recover_give(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_recover_give ask;
    struct err err;
    bool may_start = false;
    struct result r =
        wire_decode(&api_recover_give_type, buf_span(&s->request), &arena, &ask, &err);
    r = is_ok(r) ? take_gift(s, &ask, &may_start, &err) : r;
    if (!session_try(s, r, &err)) {
        return;
    }
    if (may_start) {
        recovery_run_start(s->worker, ask.session);
    }
    reply_standing(s, ask.session);
}
