/* Checkpoints for the client: the state that a quorum just confirmed, sealed for the share owners.
 * See session.h, meshca/checkpoint.h.
 *
 *   API_CHECKPOINT, file id zero -> seat (recovery_desk.h) -> confirm -> CORE_CHECKPOINT -> sealed
 *   here -> first piece;   API_CHECKPOINT, file id, offset -> that piece; the last one frees it
 *
 * The file is this connection's and is kept until it was fetched whole, the connection ends or
 * LIMIT_CHECKPOINT_MS are over. Anybody may fetch one: what it says in the clear is what the
 * history says, too, and the rest needs the share owners. Sealing the largest state takes a part of
 * a second on this session thread.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "coordinator/recovery_core.h"
#include "coordinator/recovery_desk.h"
#include "coordinator/session.h"
#include "lib/crypto/digest.h"
#include "meshca/checkpoint.h"

struct sealed_file {
    uint8_t file_id[CHECKPOINT_FILE_ID_SIZE];
    struct buf bytes;
    uint64_t until_ms;
};

static struct recovery_desk *desk_of(const struct session *s) {
    return worker_identity(s->worker)->desk;
}

static uint64_t now_ms(const struct session *s) {
    return host_monotonic_ms(worker_identity(s->worker)->host);
}

void session_checkpoint_free(struct session *s) {
    if (s->sealed != NULL) {
        buf_deinit(&s->sealed->bytes);
        mem_free(s->sealed);
        s->sealed = NULL;
        recovery_desk_seal_end(desk_of(s));
    }
}

static void fail(struct session *s, const struct err *err) {
    session_checkpoint_free(s);
    session_fail(s, err);
}

static void send_piece(struct session *s, uint64_t offset) {
    const struct sealed_file *f = s->sealed;
    size_t rest = f->bytes.size - (size_t)offset;
    struct api_checkpoint_reply reply = {
        .size = f->bytes.size,
        .offset = offset,
        .data = span_of(f->bytes.data + offset,
                        rest < LIMIT_CHECKPOINT_PIECE ? rest : LIMIT_CHECKPOINT_PIECE),
    };
    memcpy(reply.file_id, f->file_id, sizeof reply.file_id);
    session_reply(s, API_CHECKPOINT_REPLY, &api_checkpoint_reply_type, &reply);
    if (reply.data.size == rest) {
        session_checkpoint_free(s);
    }
}

/* --- Making one */

static void fill_header(const struct core_extract *e, const struct view *v,
                        struct checkpoint_header *h) {
    const struct recovery *p = &e->position;
    *h = (struct checkpoint_header){
        .epoch = p->previous_epoch,
        .index = p->index,
        .term = e->last_term,
        .time = e->time,
        .generation = p->generation,
        .ledger_size = p->ledger_size,
        .threshold = v->manifest.share_threshold,
    };
    memcpy(h->cluster, p->cluster, sizeof h->cluster);
    memcpy(h->head, p->head, sizeof h->head);
    memcpy(h->ledger_root, p->ledger_root, sizeof h->ledger_root);
    sha384(buf_span(&v->root_cert), h->root_ca);
}

static RESULT find_owners(const struct session *s, const struct manifest **out, struct err *err) {
    const struct view *v = worker_view(s->worker);
    ENSURE(v != NULL && v->generation > 0, err, NOT_FOUNDED,
           "no manifest is set yet: there is nothing to back up");
    ENSURE(v->manifest.share_owner_count > 0, err, NOT_FOUND,
           "this manifest names no share owners: generate --add-seedshare-owner-key adds one; "
           "without them nobody can recover this deployment");
    *out = &v->manifest;
    return OK;
}

/* The view came before this reply: it is of the same manifest, or a set came in between. */
static RESULT seal(struct session *s, const struct letter *reply, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct core_extract extract;
    struct checkpoint_header h;
    const struct manifest *m = NULL;
    size_t size = 0;
    struct span state = recovery_core_state(buf_span(&reply->bytes), &extract);
    TRY(find_owners(s, &m, err));
    CHECK(m != NULL);
    ENSURE(memcmp(extract.position.head, worker_view(s->worker)->head, 32) == 0, err,
           STALE_GENERATION, "the manifest changed meanwhile: ask again");
    fill_header(&extract, worker_view(s->worker), &h);
    TRY(checkpoint_seal(worker_identity(s->worker)->host, &h, m->share_owners, m->share_owner_count,
                        state, &s->sealed->bytes, err));
    struct span file = buf_span(&s->sealed->bytes);
    TRY(checkpoint_header_size(file, &size, err));
    TRY(checkpoint_parse_header(span_of(file.data, size), &arena, &h, err));
    memcpy(s->sealed->file_id, h.file_id, sizeof h.file_id);
    s->sealed->until_ms = now_ms(s) + LIMIT_CHECKPOINT_MS;
    return OK;
}

static void on_state(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? seal(s, reply, &err) : r;
    if (is_ok(r)) {
        send_piece(s, 0);
    } else {
        fail(s, &err);
    }
}

/* What is applied here now holds all that the quorum confirmed. */
static void on_confirmed(void *owner, const struct letter *reply) {
    struct session *s = owner;
    struct err err;
    struct result r = session_check(reply, &err);
    r = is_ok(r) ? worker_ask(s->worker, CORE_CHECKPOINT, (struct span){0}, s, on_state, &err) : r;
    if (!is_ok(r)) {
        fail(s, &err);
    }
}

static RESULT make(struct session *s, struct err *err) {
    const struct manifest *m = NULL;
    session_checkpoint_free(s);
    TRY(find_owners(s, &m, err));
    TRY(recovery_desk_seal_begin(desk_of(s), err));
    s->sealed = mem_zalloc(sizeof *s->sealed);
    return worker_ask(s->worker, CORE_CONFIRM, (struct span){0}, s, on_confirmed, err);
}

/* --- Fetching it */

static RESULT check_piece(struct session *s, const struct api_checkpoint *ask, struct err *err) {
    const struct sealed_file *f = s->sealed;
    ENSURE(f != NULL && memcmp(f->file_id, ask->file_id, sizeof f->file_id) == 0, err, NOT_FOUND,
           "this connection has no such file: ask for a new one");
    ENSURE(ask->offset < f->bytes.size, err, INVALID,
           "offset %" PRIu64 " is behind the end of the file, %zu bytes", ask->offset,
           f->bytes.size);
    if (now_ms(s) >= f->until_ms) {
        session_checkpoint_free(s);
        return err_set(err, ERR_TIMEOUT, "the file was not fetched within %d s: ask for a new one",
                       LIMIT_CHECKPOINT_MS / 1000);
    }
    return OK;
}

void session_checkpoint(struct session *s) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_checkpoint ask;
    struct err err;
    struct result r = wire_decode(&api_checkpoint_type, buf_span(&s->request), &arena, &ask, &err);
    if (!session_try(s, r, &err)) {
        return;
    }
    if (span_is_zero(SPAN(ask.file_id))) {
        r = make(s, &err);
        if (!is_ok(r)) {
            fail(s, &err);
        }
        return;
    }
    r = check_piece(s, &ask, &err);
    if (session_try(s, r, &err)) {
        send_piece(s, ask.offset);
    }
}
