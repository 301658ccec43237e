/* Proposals of a replica. See replica.h.
 *
 *   propose -> pending -> leader's log (here, or by FORWARD) -> apply here -> reply
 *   issue   -> waiting -> one ISSUE entry for many, two entries in flight -> apply -> reply each
 *
 * What goes wrong: no leader, a lost frame, a new leader: a pending entry is sent again until it is
 * applied (once: the core knows its sequence) or its time is over, OUTCOME_UNKNOWN. *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/replica_frames.h"
#include "coordinator/replica_internal.h"

/* --- Replies */

static bool may_pass(enum err_code code) {
    return code == ERR_BUSY || code == ERR_UNAVAILABLE;
}

/* retry_ms: 0 = no advice of whoever refused. */
static void advise(struct replica *r, uint64_t ticket, enum err_code code, const char *text,
                   uint64_t retry_ms) {
    retry_ms = retry_ms == 0 && may_pass(code) ? REPLICA_AGAIN_MS : retry_ms;
    struct replica_reply reply = {.code = code,
                                  .text = text,
                                  .retry_ms =
                                      retry_ms < UINT32_MAX ? (uint32_t)retry_ms : UINT32_MAX};
    r->io.reply(r->io.data, ticket, &reply);
}

void replica__reply_error(struct replica *r, uint64_t ticket, enum err_code code,
                          const char *text) {
    advise(r, ticket, code, text, 0);
}

static void free_pending(struct replica *r, struct pending *p) {
    r->pending_bytes -= p->entry.size;
    buf_deinit(&p->entry);
    mem_free(p->tickets);
    mem_free(p);
}

static void refuse_pending(struct replica *r, struct pending *p, enum err_code code,
                           const char *text, uint64_t retry_ms) {
    for (size_t i = 0; i < p->ticket_count; i++) {
        advise(r, p->tickets[i], code, text, retry_ms);
    }
    r->pending_count -= p->ticket_count;
    r->issues_in_flight -= p->is_issue ? 1 : 0;
    free_pending(r, p);
}

static void fail_pending(struct replica *r, struct pending *p, enum err_code code,
                         const char *text) {
    refuse_pending(r, p, code, text, 0);
}

static void answer_pending(struct replica *r, struct pending *p) {
    struct replica_reply reply = {.code = r->result.code, .result = &r->result};
    reply.text = r->result.code == ERR_OK ? NULL : r->result.text;
    for (size_t i = 0; i < p->ticket_count; i++) {
        reply.issue = i;
        if (p->is_issue && r->result.code == ERR_OK && i >= r->result.issued_count) {
            replica__reply_error(r, p->tickets[i], ERR_OUTCOME_UNKNOWN, "issued before; ask again");
            continue;
        }
        r->io.reply(r->io.data, p->tickets[i], &reply);
    }
    r->pending_count -= p->ticket_count;
    r->issues_in_flight -= p->is_issue ? 1 : 0;
    free_pending(r, p);
}

/* --- Proposals */

/* What the leader looks at before an entry enters the log, whoever proposed it. */
static RESULT submit(struct replica *r, const struct entry *entry, struct span bytes,
                     struct err *err) {
    uint64_t index = 0;
    uint64_t term = 0;
    TRY(replica__check_time(r, entry, err));
    if (entry->type == ENTRY_ADMIT) {
        TRY(replica__check_admit(r, &entry->admit, err));
    }
    return node_submit(r->node, bytes, &index, &term, err);
}

/* NOT_LEADER, and UNAVAILABLE of the node: it is sent again. */
static bool is_final(const struct replica *r, enum err_code code) {
    return code != ERR_OK && code != ERR_NOT_LEADER && !node_is_changing(r->node);
}

/* Takes it out of the list and answers. What was sent before may stand in a log. */
static void decline(struct replica *r, struct pending *p, bool is_first, const struct err *why) {
    struct pending **at = &r->pending;
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    if (is_first || p->entry.data[0] == ENTRY_ADMIT) { /* a joiner asks again anyway */
        refuse_pending(r, p, why->code, why->text, why->retry_ms);
    } else {
        fail_pending(r, p, ERR_OUTCOME_UNKNOWN, why->text);
    }
}

static void submit_own(struct replica *r, struct pending *p) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    struct err err;
    CHECK(is_ok(entry_decode(buf_span(&p->entry), &arena, &entry, NULL)));
    struct result submitted = submit(r, &entry, buf_span(&p->entry), &err);
    if (is_ok(submitted)) {
        p->sent_ms = replica_now(r);
        p->tries++;
    } else if (is_final(r, submitted.code)) {
        decline(r, p, p->tries == 0, &err);
    }
}

/* `p` may be answered and gone when this returns. */
static void dispatch(struct replica *r, struct pending *p) {
    uint64_t leader = replica_leader(r);
    p->sent_ms = 0;
    if (replica_is_leader(r)) {
        submit_own(r, p);
    } else if (leader != 0 && replica__is_linked(r, leader)) {
        r->io.send(r->io.data, leader, REPLICA_FORWARD, buf_span(&p->entry));
        p->sent_ms = replica_now(r);
        p->tries++;
    }
}

void replica__resend(struct replica *r, bool all) {
    if (r->node == NULL || replica__is_over(r)) {
        return;
    }
    uint64_t now = replica_now(r);
    struct pending *next = NULL;
    for (struct pending *p = r->pending; p != NULL; p = next) {
        next = p->next; /* a lone voter commits, applies and frees at once */
        if (all || p->sent_ms == 0 || now - p->sent_ms >= REPLICA_RESEND_MS) {
            dispatch(r, p);
        }
    }
}

/* A clock that runs ahead by less than what is declined would stop the cluster's time, and what it
 * measures, until the others get there: the voters' own time counts. Further ahead it stays, is
 * declined, and its operator hears of it. */
static void settle_time(const struct replica *r, enum entry_type type, struct entry *entry) {
    int64_t agreed = replica_entry_time(r);
    int64_t *time = type == ENTRY_SET_MANIFEST ? &entry->set_manifest.time
                    : type == ENTRY_ADMIT      ? &entry->admit.time
                                               : NULL;
    if (time != NULL && *time > agreed && *time - agreed <= LIMIT_CLOCK_AHEAD_S) {
        *time = agreed;
    }
}

/* Takes over `tickets`. */
static void enqueue(struct replica *r, enum entry_type type, struct entry *entry, uint64_t *tickets,
                    size_t count) {
    struct pending *p = mem_zalloc(sizeof *p);
    p->sequence = r->next_sequence++;
    p->deadline_ms = replica_now(r) + r->options.request_ms;
    p->is_issue = type == ENTRY_ISSUE && count > 0;
    p->ticket_count = count;
    p->tickets = tickets;
    entry->request = (struct entry_request){r->options.id, p->sequence};
    settle_time(r, type, entry);
    entry_encode(type, &entry->request, &p->entry);
    r->pending_bytes += p->entry.size;
    r->issues_in_flight += p->is_issue ? 1 : 0;
    if (p->entry.size > LIMIT_ENTRY) {
        fail_pending(r, p, ERR_TOO_LARGE, "the entry is larger than 1 MiB");
        return;
    }
    struct pending **last = &r->pending;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = p;
    dispatch(r, p);
}

/* Entries of sessions; what this replica proposes for itself is little, and counted as well. */
static bool has_room_for(struct replica *r, uint64_t ticket, struct span entry) {
    if (r->pending_bytes + entry.size > LIMIT_PENDING_BYTES) {
        replica__reply_error(r, ticket, ERR_BUSY, "too many bytes wait for the leader");
        return false;
    }
    return true;
}

bool replica__admit_request(struct replica *r, uint64_t ticket, bool is_read) {
    if (r->node == NULL) {
        replica__reply_error(r, ticket, ERR_NOT_FOUNDED,
                             "no manifest is set yet: run `contrast set`");
        return false;
    }
    if (replica__is_over(r)) {
        replica__reply_error(r, ticket, ERR_FROZEN, r->why.text);
        return false;
    }
    if (r->state == REPLICA_LEAVING && !is_read) {
        replica__reply_error(r, ticket, ERR_UNAVAILABLE, "this replica leaves: ask another one");
        return false;
    }
    if (r->pending_count >= LIMIT_PENDING_REQUESTS) {
        replica__reply_error(r, ticket, ERR_BUSY, "too many requests wait for the leader");
        return false;
    }
    return true;
}

void replica_propose(struct replica *r, uint64_t ticket, struct span entry) {
    if (!replica__admit_request(r, ticket, false) || !has_room_for(r, ticket, entry)) {
        return;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry decoded;
    struct err err;
    struct result r2 = entry_decode(entry, &arena, &decoded, &err);
    if (!is_ok(r2) || decoded.type == ENTRY_FOUND) {
        replica__reply_error(r, ticket, ERR_MALFORMED,
                             is_ok(r2) ? "FOUND is not proposed" : err.text);
        return;
    }
    uint64_t *tickets = mem_alloc(sizeof *tickets);
    tickets[0] = ticket;
    r->pending_count++;
    enqueue(r, decoded.type, &decoded, tickets, 1);
}

void replica_admit(struct replica *r, uint64_t ticket, struct span entry) {
    if (!replica__admit_request(r, ticket, false) || !has_room_for(r, ticket, entry)) {
        return;
    }
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry decoded;
    struct err err;
    struct result r2 = entry_decode(entry, &arena, &decoded, &err);
    if (!is_ok(r2) || decoded.type != ENTRY_ADMIT) {
        replica__reply_error(r, ticket, ERR_MALFORMED, is_ok(r2) ? "not an ADMIT entry" : err.text);
        return;
    }
    if (!replica_name_is_free(r, decoded.admit.member.name, &decoded.admit.replaces)) {
        replica__reply_error(r, ticket, ERR_EXISTS, "the name belongs to a member that is alive");
        return;
    }
    uint64_t *tickets = mem_alloc(sizeof *tickets);
    tickets[0] = ticket;
    r->pending_count++;
    enqueue(r, ENTRY_ADMIT, &decoded, tickets, 1);
}

void replica__propose_own(struct replica *r, enum entry_type type, const void *body) {
    struct entry entry = {.type = type};
    if (type == ENTRY_RETIRE) {
        entry.retire = *(const struct entry_retire *)body;
    } else {
        CHECK(type == ENTRY_LEVEL);
        entry.level = *(const struct entry_level *)body;
    }
    enqueue(r, type, &entry, NULL, 0);
}

/* --- Certificates: group commit */

static void flush_issues(struct replica *r) {
    while (r->issues != NULL && r->issues_in_flight < REPLICA_ISSUES_IN_FLIGHT) {
        uint64_t generation = r->issues->generation;
        struct entry_issue_request requests[LIMIT_ISSUE_BATCH];
        struct waiting_issue *taken[LIMIT_ISSUE_BATCH];
        uint64_t *tickets = mem_calloc(LIMIT_ISSUE_BATCH, sizeof *tickets);
        size_t count = 0;
        while (r->issues != NULL && count < LIMIT_ISSUE_BATCH &&
               r->issues->generation == generation) {
            taken[count] = r->issues;
            requests[count] = r->issues->request;
            tickets[count++] = r->issues->ticket;
            r->issues = r->issues->next;
        }
        r->issues_last = r->issues == NULL ? &r->issues : r->issues_last;
        r->issues_waiting -= count;
        struct entry entry = {.type = ENTRY_ISSUE};
        entry.issue.generation = generation;
        entry.issue.requests = (struct wire_list){requests, count};
        entry.issue.time = replica_entry_time(r);
        enqueue(r, ENTRY_ISSUE, &entry, tickets, count);
        for (size_t i = 0; i < count; i++) {
            buf_deinit(&taken[i]->spki);
            mem_free(taken[i]);
        }
    }
}

void replica_issue(struct replica *r, uint64_t ticket, uint64_t generation,
                   const struct entry_issue_request *request) {
    if (!replica__admit_request(r, ticket, false)) {
        return;
    }
    struct waiting_issue *w = mem_zalloc(sizeof *w);
    w->ticket = ticket;
    w->generation = generation;
    w->deadline_ms = replica_now(r) + r->options.request_ms;
    w->request = *request;
    buf_append_span(&w->spki, request->spki);
    w->request.spki = buf_span(&w->spki);
    *r->issues_last = w;
    r->issues_last = &w->next;
    r->issues_waiting++;
    r->pending_count++;
    flush_issues(r);
}

/* The oldest, unanswered until now: it never left this replica. */
static void fail_issue(struct replica *r, enum err_code code, const char *text) {
    struct waiting_issue *w = r->issues;
    r->issues = w->next;
    r->issues_last = r->issues == NULL ? &r->issues : r->issues_last;
    r->issues_waiting--;
    r->pending_count--;
    replica__reply_error(r, w->ticket, code, text);
    buf_deinit(&w->spki);
    mem_free(w);
}

static void fail_issues(struct replica *r, enum err_code code, const char *text) {
    while (r->issues != NULL) {
        fail_issue(r, code, text);
    }
}

/* Those before it are not through: else the last of many would wait for all of them to time out. */
static void expire_issues(struct replica *r, uint64_t now) {
    while (r->issues != NULL && now >= r->issues->deadline_ms) {
        fail_issue(r, ERR_BUSY, "the requests before this one have no answer yet");
    }
}

/* --- What was applied */

void replica__applied(struct replica *r) {
    if (r->result.decoded && r->result.request.proposer == r->options.id) {
        struct pending **at = &r->pending;
        while (*at != NULL && (*at)->sequence != r->result.request.sequence) {
            at = &(*at)->next;
        }
        if (*at != NULL) {
            struct pending *p = *at;
            *at = p->next;
            answer_pending(r, p);
            flush_issues(r);
        }
    }
    replica__progress(r);
}

static void tell_declined(struct replica *r, uint64_t peer, uint64_t sequence,
                          const struct err *why) {
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct replica_declined d = {.sequence = sequence,
                                 .code = (uint64_t)why->code,
                                 .retry_ms = why->retry_ms,
                                 .text = arena_strndup(&arena, why->text, strlen(why->text))};
    replica_declined_encode(&d, &body);
    r->io.send(r->io.data, peer, REPLICA_DECLINED, buf_span(&body));
}

/* A member's entry for the log of the leader. Only its own proposals: the link says who it is. */
void replica__forwarded(struct replica *r, uint64_t peer, struct span body) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct entry entry;
    struct err err;
    struct result decoded = entry_decode(body, &arena, &entry, &err);
    if (!is_ok(decoded) || entry.type == ENTRY_FOUND || entry.request.proposer != peer) {
        if (is_ok(decoded)) {
            err_ignore(err_set(&err, ERR_PROTOCOL, "not its own proposal"), "told below");
        }
        replica__complain(r, peer, "entry to pass on", &err);
        return;
    }
    struct result submitted = submit(r, &entry, body, &err);
    if (is_final(r, submitted.code)) {
        tell_declined(r, peer, entry.request.sequence, &err);
    }
}

/* The leader's word on a proposal of ours. */
void replica__declined(struct replica *r, uint64_t peer, struct span body) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct replica_declined d;
    struct err err;
    if (!is_ok(replica_declined_decode(body, &arena, &d, &err))) {
        replica__complain(r, peer, "answer", &err);
        return;
    }
    struct pending *p = r->pending;
    while (p != NULL && p->sequence != d.sequence) {
        p = p->next;
    }
    enum err_code code = err_from_wire((unsigned)(d.code & 0xffff));
    if (p != NULL && peer == replica_leader(r) && code != ERR_OK) {
        err_ignore(err_set(&err, code, "%s", d.text), "this is the answer");
        err_advise(&err, d.retry_ms);
        decline(r, p, p->tries <= 1, &err);
        flush_issues(r);
    }
}

/* --- Time */

static void expire(struct replica *r, struct pending *p, const char *lonely) {
    bool is_known = p->tries == 0; /* it never left this replica */
    if (lonely != NULL) {
        fail_pending(r, p, is_known ? ERR_NO_QUORUM : ERR_OUTCOME_UNKNOWN, lonely);
    } else if (is_known) {
        fail_pending(r, p, ERR_NO_QUORUM, "no leader was found in time");
    } else {
        fail_pending(r, p, ERR_OUTCOME_UNKNOWN,
                     "no quorum answered in time; it may or may not have happened");
    }
}

static void expire_pending(struct replica *r, uint64_t now) {
    char text[200];
    bool is_lonely = replica__is_lonely(r, text, sizeof text);
    struct pending **at = &r->pending;
    while (*at != NULL) {
        struct pending *p = *at;
        if (now >= p->deadline_ms || (is_lonely && p->ticket_count > 0)) {
            *at = p->next;
            expire(r, p, is_lonely ? text : NULL);
        } else {
            at = &p->next;
        }
    }
}

void replica__propose_tick(struct replica *r) {
    if (r->pending == NULL && r->waiters == NULL && r->issues == NULL) {
        return;
    }
    uint64_t now = replica_now(r);
    r->tended_ms = now;
    replica__progress(r);
    expire_pending(r, now);
    expire_issues(r, now);
    replica__tend_waiters(r, now);
    replica__resend(r, false);
    flush_issues(r);
}

uint64_t replica__propose_deadline(const struct replica *r) {
    bool waits = r->pending != NULL || r->waiters != NULL || r->issues != NULL;
    return waits ? r->tended_ms + REPLICA_TEND_MS : UINT64_MAX;
}

void replica__fail_all(struct replica *r, enum err_code code, const char *text) {
    while (r->pending != NULL) {
        struct pending *p = r->pending;
        r->pending = p->next;
        if (p->tries != 0 && may_pass(code)) {
            fail_pending(r, p, ERR_OUTCOME_UNKNOWN, "sent, and this replica ended before it heard");
        } else {
            fail_pending(r, p, code, text);
        }
    }
    fail_issues(r, code, text);
    replica__fail_waiters(r, code);
}
