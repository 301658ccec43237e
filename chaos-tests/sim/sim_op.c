/* Operations of the simulation: what sessions would ask, as encoded entries, each answered once.
 * Keys, certificates and signatures are bytes without meaning: the core does no public-key work.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "chaos-tests/sim/sim.h"
#include "chaos-tests/sim/sim_model.h"
#include "lib/crypto/digest.h"

static const char *const policy_texts[2] = {"package coordinator", "package web"};
static const char owner_key[] = "the owner's SubjectPublicKeyInfo";

#define RETRY_MS 800 /* a client waits so long at most before it asks another replica */

void sim_op_init(struct sim *s) {
    for (unsigned i = 0; i < 2; i++) {
        sha256(span_str(policy_texts[i]), s->policy_hash[i]);
    }
    sha256(span_str(owner_key), s->owner_digest[0]);
}

void sim_op_fill_member(const struct sim *s, const struct sim_pod *p, struct arena *arena,
                        struct entry_member *out) {
    (void)s;
    *out = (struct entry_member){
        .id = p->id,
        .name = arena_strndup(arena, p->name, strlen(p->name)),
        .address = arena_strndup(arena, p->address, strlen(p->address)),
        .user_address = arena_strndup(arena, "", 0),
        .spki = SPAN(p->spki),
        .evidence = span_str("evidence that its admission judged"),
        .version = entry_version,
    };
    memcpy(out->host_data, p->host_data, sizeof out->host_data);
}

/* --- Who waits */

struct sim_op *sim_op_new(struct sim *s, enum sim_op_kind kind, unsigned slot) {
    struct sim_op *op = mem_zalloc(sizeof *op);
    *op = (struct sim_op){
        .next = s->ops,
        .ticket = ++s->next_ticket,
        .kind = kind,
        .slot = slot,
        .floor_generation = s->acked_generation,
        .floor_ledger = s->acked_ledger,
    };
    s->ops = op;
    sim_trace(s, "ask", op->ticket, (uint64_t)kind << 8 | slot);
    sim_model_asked(s, op);
    return op;
}

static void free_op(struct sim_op *op) {
    buf_deinit(&op->entry);
    mem_free(op);
}

static struct sim_op *take(struct sim *s, uint64_t ticket) {
    struct sim_op **at = &s->ops;
    while (*at != NULL && (*at)->ticket != ticket) {
        at = &(*at)->next;
    }
    struct sim_op *op = *at;
    if (op != NULL) {
        *at = op->next;
    }
    return op;
}

static void take_admission(struct sim *s, const struct sim_op *op, enum err_code code) {
    struct sim_pod *p = &s->pods[op->joiner];
    if (p->replica == NULL || p->id != op->joiner_id) {
        return; /* it crashed meanwhile */
    }
    p->is_admitting = false;
    p->is_admitted = code == ERR_OK;
    p->admitted_by = op->slot;
}

/* What a client asks again elsewhere: it does not know whether it happened. */
static bool may_retry(const struct sim *s, const struct sim_op *op, enum err_code code) {
    bool is_unknown = code != ERR_OK && code != ERR_CHANGED && code != ERR_STALE_GENERATION &&
                      code != ERR_INVALID && code != ERR_DENIED;
    return is_unknown && !s->is_quiet && s->kill == NULL && s->retry_count < SIM_RETRIES &&
           (op->kind == SIM_ISSUE || (op->kind == SIM_SET && op->entry.size > 0));
}

static void think_of_retry(struct sim *s, struct sim_op *op, enum err_code code) {
    if (!may_retry(s, op, code) || sim_chance_hits(&s->clients, 500)) {
        return;
    }
    struct sim_retry *r = &s->retries[s->retry_count++];
    *r = (struct sim_retry){.at_ms = s->now_ms + 1 + sim_chance_below(&s->clients, RETRY_MS),
                            .kind = op->kind,
                            .generation = op->generation,
                            .number = op->number,
                            .entry = op->entry};
    op->entry = (struct buf){0};
}

/* The leader that judges a claim from beginning to end, and when the victim last spoke to it before
 * that began. */
static void begin_claim(struct sim *s, struct sim_op *op, const struct sim_pod *victim) {
    op->joiner = victim->slot;
    op->joiner_id = victim->id;
    for (unsigned i = 0; i < s->pod_count; i++) {
        const struct sim_pod *p = &s->pods[i];
        if (p->replica != NULL && replica_is_leader(p->replica) &&
            replica_term(p->replica) > op->judge_term) {
            op->judge = i;
            op->judge_term = replica_term(p->replica);
        }
    }
    op->heard_ms =
        op->judge == victim->slot ? s->now_ms : s->links[victim->slot][op->judge].heard_ms;
}

/* Another machine had the name of a member for its own. Nobody gives it away while that one lives
 * and is heard: less than dead_ms ago (and clocks differ by 2 in 100) by who led all the time. */
static void end_claim(struct sim *s, const struct sim_op *op, enum err_code code) {
    struct sim_pod *p = &s->pods[op->joiner];
    const struct replica *judge = s->pods[op->judge].replica;
    bool is_refused = code == ERR_EXISTS || code == ERR_DENIED || code == ERR_INVALID;
    if (p->replica == NULL || p->id != op->joiner_id || is_refused) {
        return;
    }
    bool is_same = judge != NULL && op->judge_term != 0 && replica_is_leader(judge) &&
                   replica_term(judge) == op->judge_term;
    if (code == ERR_OK && is_same && op->heard_ms != 0 && !p->is_expelled &&
        s->now_ms < op->heard_ms + s->plan.dead_ms * 9 / 10) {
        sim_fail(s, "the name of pod %u, heard %llu ms ago, was given away", p->slot,
                 (unsigned long long)(s->now_ms - op->heard_ms));
    }
    p->is_expelled = true;
}

void sim_op_replied(struct sim *s, uint64_t ticket, const struct replica_reply *reply) {
    struct sim_op *op = take(s, ticket);
    if (op == NULL) {
        sim_fail(s, "a second reply to request %llu", (unsigned long long)ticket);
        return;
    }
    sim_trace(s, "reply", ticket, (uint64_t)reply->code);
    sim_model_replied(s, op, reply);
    if (op->kind == SIM_ADMIT) {
        take_admission(s, op, reply->code);
    } else if (op->kind == SIM_CLAIM) {
        end_claim(s, op, reply->code);
    }
    sim_check_reply(s, op, reply);
    think_of_retry(s, op, reply->code);
    free_op(op);
}

void sim_op_forget(struct sim *s, unsigned slot) {
    struct sim_op **at = &s->ops;
    while (*at != NULL) {
        struct sim_op *op = *at;
        if (op->slot != slot) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        s->issues_unknown += op->kind == SIM_ISSUE ? 1 : 0;
        if (op->kind == SIM_ADMIT) {
            take_admission(s, op, ERR_CLOSED);
        } else if (op->kind == SIM_CLAIM) {
            end_claim(s, op, ERR_CLOSED);
        }
        think_of_retry(s, op, ERR_CLOSED);
        free_op(op);
    }
}

/* --- What they ask */

static void propose(struct sim *s, uint64_t ticket, unsigned slot, enum entry_type type,
                    const void *body) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    entry_encode(type, body, &entry);
    if (type == ENTRY_ADMIT) {
        replica_admit(sim_pod_use(&s->pods[slot]), ticket, buf_span(&entry));
    } else {
        replica_propose(sim_pod_use(&s->pods[slot]), ticket, buf_span(&entry));
    }
}

void sim_op_blob(struct sim *s, unsigned slot, unsigned policy) {
    uint64_t ticket = sim_op_new(s, SIM_BLOB, slot)->ticket;
    struct entry_blob blob = {.policy = span_str(policy_texts[policy])};
    memcpy(blob.hash, s->policy_hash[policy], sizeof blob.hash);
    propose(s, ticket, slot, ENTRY_BLOB, &blob);
}

static void write_manifest(const struct sim *s, uint64_t number, struct buf *out) {
    char hex[3][65];
    hex_encode(SPAN(s->policy_hash[0]), hex[0]);
    hex_encode(SPAN(s->policy_hash[1]), hex[1]);
    hex_encode(SPAN(s->owner_digest[0]), hex[2]);
    buf_appendf(out,
                "{\"Policies\":{\"%s\":{\"Role\":\"coordinator\"},\"%s\":{\"SANs\":[\"web\"]}},"
                "\"ReferenceValues\":{\"snp\":[{\"ProductName\":\"Milan\","
                "\"TrustedMeasurement\":\"%096llu\",\"MinimumTCB\":{\"BootloaderVersion\":0,"
                "\"TEEVersion\":0,\"SNPVersion\":0,\"MicrocodeVersion\":0},\"GuestPolicy\":{}}]},"
                "\"WorkloadOwnerKeyDigests\":[\"%s\"]%.*s}",
                hex[0], hex[1], (unsigned long long)number, hex[2], (int)s->more_manifest.size,
                (const char *)s->more_manifest.data);
}

/* Each its own, and to be known again in a line of a log. */
static void make_key(struct sim *s, uint8_t out[32]) {
    memcpy(out, SIM_SECRET_MARK, SIM_SECRET_MARK_SIZE);
    for (size_t i = SIM_SECRET_MARK_SIZE; i < 32; i++) {
        out[i] = (uint8_t)sim_chance_next(&s->clients);
    }
}

/* `op` may be answered and gone when this returns. */
static void propose_set(struct sim *s, const struct sim_op *op) {
    AUTO(buf_deinit)
    struct buf entry = {0};
    buf_append_span(&entry, buf_span(&op->entry));
    replica_propose(sim_pod_use(&s->pods[op->slot]), op->ticket, buf_span(&entry));
}

static void ask_set(struct sim *s, struct sim_op *op) {
    const struct core *core = replica_core(s->pods[op->slot].replica);
    AUTO(buf_deinit)
    struct buf manifest = {0};
    uint8_t key[32];
    op->generation = core_generation(core) + 1;
    write_manifest(s, sim_chance_below(&s->clients, 8) == 0 ? s->numbers : ++s->numbers, &manifest);
    make_key(s, key);
    struct entry_set_manifest set = {
        .manifest = buf_span(&manifest),
        .generation = op->generation,
        .signer = span_str(owner_key),
        .signature = span_str("a signature"),
        .mesh_key = SPAN(key),
        .mesh_cert = span_str("mesh certificate"),
        .intermediate = span_str("intermediate certificate"),
        .time = host_unix_s(&s->pods[op->slot].host),
    };
    if (op->generation == 1) {
        set.root_key = SPAN(key);
        set.root_cert = span_str("root certificate");
        set.workload_secret = SPAN(key);
    }
    memcpy(set.previous, core_head(core), sizeof set.previous);
    entry_encode(ENTRY_SET_MANIFEST, &set, &op->entry);
    propose_set(s, op);
}

static void ask_issue(struct sim *s, struct sim_op *op, uint64_t number) {
    struct replica *r = sim_pod_use(&s->pods[op->slot]);
    char key[64];
    op->number = number;
    snprintf(key, sizeof key, "key of workload %llu", (unsigned long long)number);
    struct entry_issue_request request = {.spki = span_str(key)};
    memcpy(request.policy_hash, s->policy_hash[1], sizeof request.policy_hash);
    op->generation = core_generation(replica_core(r));
    replica_issue(r, op->ticket, op->generation, &request);
}

static void ask_endorsement(struct sim *s, struct sim_op *op) {
    struct entry_collateral e = {.time = host_unix_s(&s->pods[op->slot].host)};
    uint64_t ticket = op->ticket;
    char text[64];
    e.kind = (uint8_t)(COLLATERAL_VEK + sim_chance_below(&s->clients, 3));
    e.key.product = SNP_MILAN;
    if (e.kind == COLLATERAL_CRL) {
        e.number = sim_chance_below(&s->clients, 1000);
        e.anchor[0] = 1;
        e.this_update = e.time - 1000;
        e.next_update = e.time + 1000;
        snprintf(text, sizeof text, "list %llu", (unsigned long long)e.number);
        e.der = span_str(text);
    } else {
        e.key.chip_id[0] = (uint8_t)(1 + sim_chance_below(&s->clients, SIM_CHIPS));
    }
    if (e.kind == COLLATERAL_VEK) {
        snprintf(text, sizeof text, "VCEK, edition %llu",
                 (unsigned long long)sim_chance_below(&s->clients, 3));
        e.der = span_str(text);
    }
    op->collateral = e.kind;
    op->key = e.key;
    op->number = e.number;
    propose(s, ticket, op->slot, ENTRY_COLLATERAL, &e);
}

/* `op` may be gone when these return. */
void sim_op_begin(struct sim *s, enum sim_op_kind kind, unsigned slot) {
    struct sim_op *op = sim_op_new(s, kind, slot);
    struct replica *r = sim_pod_use(&s->pods[slot]);
    switch (kind) {
    case SIM_SET:
        ask_set(s, op);
        break;
    case SIM_ISSUE:
        ask_issue(s, op, ++s->numbers);
        break;
    case SIM_CONFIRM:
        replica_confirm(r, op->ticket);
        break;
    case SIM_STATUS:
        replica_status(r, op->ticket);
        break;
    case SIM_ENDORSE:
        ask_endorsement(s, op);
        break;
    case SIM_BLOB:
    case SIM_ADMIT:
    case SIM_CLAIM:
    case SIM_RETIREMENT:
    case SIM_RECOVER:
        CHECK(false); /* have arguments: sim_op_blob, sim_op_admit, ..., sim_owner.c */
    }
}

void sim_op_admit(struct sim *s, unsigned slot, unsigned joiner) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct sim_op *op = sim_op_new(s, SIM_ADMIT, slot);
    op->joiner = joiner;
    op->joiner_id = s->pods[joiner].id;
    struct entry_admit admit = {.time = host_unix_s(&s->pods[slot].host)};
    sim_op_fill_member(s, &s->pods[joiner], &arena, &admit.member);
    propose(s, op->ticket, slot, ENTRY_ADMIT, &admit);
}

/* `slot` is asked to admit a machine that has the victim's name and never speaks. */
void sim_op_clone(struct sim *s, unsigned slot, const struct sim_pod *victim) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    uint8_t spki[32];
    for (size_t i = 0; i < sizeof spki; i++) {
        spki[i] = (uint8_t)sim_chance_next(&s->clients);
    }
    struct sim_op *op = sim_op_new(s, SIM_CLAIM, slot);
    begin_claim(s, op, victim);
    struct entry_admit admit = {.time = host_unix_s(&s->pods[slot].host)};
    sim_op_fill_member(s, victim, &arena, &admit.member);
    admit.member.spki = SPAN(spki);
    admit.member.id = replica_id_of(SPAN(spki));
    propose(s, op->ticket, slot, ENTRY_ADMIT, &admit);
}

/* An owner's order through pod `slot`: member `id` shall go. */
void sim_op_retire(struct sim *s, unsigned slot, uint64_t id) {
    const struct entry_retire retire = {.id = id,
                                        .reason = RETIRE_OWNER,
                                        .signer = span_str(owner_key),
                                        .signature = span_str("a signature"),
                                        .time = host_unix_s(&s->pods[slot].host)};
    uint64_t ticket = sim_op_new(s, SIM_RETIREMENT, slot)->ticket;
    propose(s, ticket, slot, ENTRY_RETIRE, &retire);
}

static void ask_again(struct sim *s, struct sim_retry *r, unsigned slot) {
    struct sim_op *op = sim_op_new(s, r->kind, slot);
    op->is_retry = true;
    s->result->retries++;
    if (r->kind == SIM_ISSUE) {
        ask_issue(s, op, r->number);
        return;
    }
    op->generation = r->generation;
    op->entry = r->entry;
    r->entry = (struct buf){0};
    propose_set(s, op);
}

void sim_op_retry(struct sim *s) {
    size_t i = 0;
    while (i < s->retry_count) {
        if (s->retries[i].at_ms > s->now_ms) {
            i++;
            continue;
        }
        struct sim_retry r = s->retries[i];
        s->retries[i] = s->retries[--s->retry_count];
        unsigned slot = (unsigned)sim_chance_below(&s->clients, s->pod_count);
        if (sim_pod_is_member(&s->pods[slot]) && s->pods[slot].paused_ms == 0) {
            ask_again(s, &r, slot);
        }
        buf_deinit(&r.entry);
    }
}

void sim_op_deinit(struct sim *s) {
    for (unsigned i = 0; i < s->pod_count; i++) {
        sim_op_forget(s, i);
    }
    while (s->retry_count > 0) {
        buf_deinit(&s->retries[--s->retry_count].entry);
    }
}

void sim_op_random(struct sim *s) {
    unsigned slot = (unsigned)sim_chance_below(&s->clients, s->pod_count);
    const struct sim_pod *p = &s->pods[slot];
    if (!sim_pod_is_member(p) || p->paused_ms != 0) {
        return;
    }
    uint64_t dice = sim_chance_below(&s->clients, 100);
    sim_op_begin(s,
                 dice < 15   ? SIM_SET
                 : dice < 60 ? SIM_ISSUE
                 : dice < 80 ? SIM_CONFIRM
                 : dice < 92 ? SIM_ENDORSE
                             : SIM_STATUS,
                 slot);
}
