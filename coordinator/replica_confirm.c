/* Confirmations and status of a replica: a quorum, asked after the question came, says how far the
 * log is. See replica.h.
 *
 *   confirm -> waiter -> read round at the leader (here, or by READ) -> applied here -> reply
 *
 * Without a quorum it ends in NO_QUORUM; a status is answered all the same, unconfirmed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/replica_internal.h"

/* Who asked for a read round: a waiter here (peer 0) or one at another member. */
struct read_round {
    struct replica *replica;
    uint64_t peer;
    uint64_t number;
};

static void finish_waiter_as(struct replica *r, struct waiter *w, enum err_code code,
                             const char *text) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct replica_reply reply = {.code = code, .index = w->index};
    struct api_status_reply status;
    if (w->kind == WAITER_LEARNER) {
        mem_free(w);
        if (code == ERR_OK) {
            replica__caught_up(r);
        }
        return;
    }
    if (w->kind == WAITER_STATUS) {
        replica__status_fill(r, code == ERR_OK, &arena, &status);
        reply.code = ERR_OK;
        reply.status = &status;
    } else if (code != ERR_OK) {
        reply.text = text;
    }
    r->pending_count--;
    r->io.reply(r->io.data, w->ticket, &reply);
    mem_free(w);
}

static void finish_waiter(struct replica *r, struct waiter *w, enum err_code code) {
    finish_waiter_as(r, w, code, err_text(code));
}

static struct waiter **find_waiter(struct replica *r, uint64_t number) {
    struct waiter **at = &r->waiters;
    while (*at != NULL && (*at)->number != number) {
        at = &(*at)->next;
    }
    return at;
}

static void take_confirmation(struct replica *r, uint64_t number, enum err_code code,
                              uint64_t index) {
    struct waiter **at = find_waiter(r, number);
    struct waiter *w = *at;
    if (w == NULL || w->is_confirmed) {
        return;
    }
    if (code == ERR_OK) {
        w->is_confirmed = true;
        w->index = index;
        replica__progress(r);
    } else if (code == ERR_NO_QUORUM || code == ERR_CANCELED) {
        *at = w->next;
        finish_waiter(r, w, ERR_NO_QUORUM);
    } else {
        w->asked_ms = 0; /* not the leader any more, or not ready to be: asked again at a tick */
    }
}

static void on_read(void *data, struct result result, uint64_t index) {
    struct read_round *round = data;
    struct replica *r = round->replica;
    if (round->peer == 0) {
        take_confirmation(r, round->number, result.code, index);
    } else {
        uint8_t body[24];
        store_u64be(body, round->number);
        store_u64be(body + 8, (uint64_t)result.code);
        store_u64be(body + 16, index);
        r->io.send(r->io.data, round->peer, REPLICA_READ_REPLY, SPAN(body));
    }
    mem_free(round);
}

static bool start_round(struct replica *r, uint64_t peer, uint64_t number) {
    struct read_round *round = mem_alloc(sizeof *round);
    *round = (struct read_round){r, peer, number};
    if (!is_ok(node_read(r->node, on_read, round, NULL))) {
        mem_free(round);
        return false;
    }
    return true;
}

static void ask(struct replica *r, struct waiter *w) {
    uint64_t leader = replica_leader(r);
    w->asked_ms = 0;
    if (replica_is_leader(r)) {
        w->asked_ms = start_round(r, 0, w->number) ? replica_now(r) : 0;
    } else if (leader != 0 && replica__is_linked(r, leader)) {
        uint8_t body[8];
        store_u64be(body, w->number);
        r->io.send(r->io.data, leader, REPLICA_READ, SPAN(body));
        w->asked_ms = replica_now(r);
    }
}

static void wait_for(struct replica *r, uint64_t ticket, enum waiter_kind kind) {
    struct waiter *w = mem_zalloc(sizeof *w);
    *w = (struct waiter){.kind = kind,
                         .ticket = ticket,
                         .number = r->next_number++,
                         .deadline_ms = replica_now(r) + REPLICA_READ_MS,
                         .next = r->waiters};
    r->waiters = w;
    r->pending_count += kind == WAITER_LEARNER ? 0 : 1;
    ask(r, w);
}

void replica__prove_caught_up(struct replica *r) {
    for (const struct waiter *w = r->waiters; w != NULL; w = w->next) {
        if (w->kind == WAITER_LEARNER) {
            return;
        }
    }
    wait_for(r, 0, WAITER_LEARNER);
}

void replica_confirm(struct replica *r, uint64_t ticket) {
    if (replica__admit_request(r, ticket, true)) {
        wait_for(r, ticket, WAITER_CONFIRM);
    }
}

void replica_status(struct replica *r, uint64_t ticket) {
    if (r->node != NULL && !replica__is_over(r)) {
        if (replica__admit_request(r, ticket, true)) {
            wait_for(r, ticket, WAITER_STATUS);
        }
        return;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct api_status_reply status;
    replica__status_fill(r, false, &arena, &status);
    struct replica_reply reply = {.code = ERR_OK, .status = &status};
    r->io.reply(r->io.data, ticket, &reply);
}

void replica__read_asked(struct replica *r, uint64_t peer, struct span body) {
    if (body.size != 8) {
        struct err err;
        err_ignore(err_set(&err, ERR_MALFORMED, "%zu bytes, want 8", body.size), "told below");
        replica__complain(r, peer, "read request", &err);
        return;
    }
    if (!start_round(r, peer, load_u64be(body.data))) {
        uint8_t reply[24];
        memcpy(reply, body.data, 8);
        store_u64be(reply + 8, (uint64_t)ERR_NOT_LEADER);
        store_u64be(reply + 16, 0);
        r->io.send(r->io.data, peer, REPLICA_READ_REPLY, SPAN(reply));
    }
}

void replica__read_answered(struct replica *r, struct span body) {
    if (body.size == 24) {
        take_confirmation(r, load_u64be(body.data),
                          err_from_wire((unsigned)(load_u64be(body.data + 8) & 0xffff)),
                          load_u64be(body.data + 16));
    }
}

void replica__progress(struct replica *r) {
    uint64_t applied = replica_applied(r);
    struct waiter **at = &r->waiters;
    while (*at != NULL) {
        struct waiter *w = *at;
        if (w->is_confirmed && (w->index <= applied || core_rule_is_off(CORE_RULE_APPLIED))) {
            *at = w->next;
            finish_waiter(r, w, ERR_OK);
        } else {
            at = &w->next;
        }
    }
}

void replica__ask_again(struct replica *r) {
    for (struct waiter *w = r->waiters; w != NULL; w = w->next) {
        if (!w->is_confirmed) {
            ask(r, w);
        }
    }
}

void replica__tend_waiters(struct replica *r, uint64_t now) {
    char text[200];
    bool is_lonely = replica__is_lonely(r, text, sizeof text);
    struct waiter **at = &r->waiters;
    while (*at != NULL) {
        struct waiter *w = *at;
        if (now >= w->deadline_ms || (is_lonely && !w->is_confirmed)) {
            *at = w->next;
            finish_waiter_as(r, w, ERR_NO_QUORUM, is_lonely ? text : err_text(ERR_NO_QUORUM));
            continue;
        }
        if (!w->is_confirmed && (w->asked_ms == 0 || now - w->asked_ms >= REPLICA_RESEND_MS)) {
            ask(r, w);
        }
        at = &w->next;
    }
}

void replica__fail_waiters(struct replica *r, enum err_code code) {
    while (r->waiters != NULL) {
        struct waiter *w = r->waiters;
        r->waiters = w->next;
        finish_waiter(r, w, code);
    }
}
