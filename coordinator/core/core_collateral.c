/* Core, endorsements: what the replicas keep for each other of AMD's certificates and lists.
 *
 *   FETCH  -> granted (a token, a lease) | BUSY: the cluster asks too often | EXISTS: another asks
 *   VEK    -> stored under (product, chip, TCB) as the newest row; for it goes the oldest row of a
 *             chip that has a newer one, else the oldest
 *   CRL    -> stored unless another makes it needless (core_crl_outdates); those that it makes
 *             needless go; entry time is never below its thisUpdate
 *
 * AMD's key service takes about one request in ten seconds from an address, and a cluster has often
 * one: so the permission to ask comes from the log. Time is entry time; a refusal changes nothing.
 * Bytes are kept as the proposer verified them: no public-key work here.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/base/mem.h"
#include "lib/crypto/crl.h"

static const struct bucket_rate kds_rate = {LIMIT_KDS_BURST, LIMIT_KDS_PERIOD_MS};

/* --- Rows */

static struct core_vek *find_vek(const struct core *c, const struct entry_endorsement *key) {
    for (size_t i = c->vek_count; i > 0; i--) {
        if (entry_endorsement_same(&c->veks[i - 1].key, key)) {
            return &c->veks[i - 1];
        }
    }
    return NULL;
}

const struct core_vek *core_find_vek(const struct core *c, const struct entry_endorsement *key) {
    return find_vek(c, key);
}

const struct core_vek *core_veks(const struct core *c, size_t *count) {
    *count = c->vek_count;
    return c->veks;
}

const struct core_crl *core_crls(const struct core *c, size_t *count) {
    *count = c->crl_count;
    return c->crls;
}

static void free_vek(struct core_vek *v) {
    core__free_span(&v->der);
    core__free_span(&v->authority);
    core__free_span(&v->root);
}

void core__free_collateral(struct core *c) {
    for (size_t i = 0; i < c->vek_count; i++) {
        free_vek(&c->veks[i]);
    }
    mem_free(c->veks);
    for (size_t i = 0; i < c->crl_count; i++) {
        core__free_span(&c->crls[i].der);
    }
}

static struct core_vek dup_vek(const struct core_vek *v) {
    return (struct core_vek){v->key, core__dup(v->der), core__dup(v->authority),
                             core__dup(v->root)};
}

void core__copy_collateral(struct core *to, const struct core *c) {
    if (c->veks != NULL) {
        to->veks = mem_calloc(LIMIT_COLLATERAL_VEKS, sizeof *to->veks);
        for (size_t i = 0; i < c->vek_count; i++) {
            to->veks[i] = dup_vek(&c->veks[i]);
        }
    }
    for (size_t i = 0; i < c->crl_count; i++) {
        to->crls[i].der = core__dup(c->crls[i].der);
    }
}

static void remove_vek(struct core *c, size_t at) {
    c->digests->has_veks = false;
    free_vek(&c->veks[at]);
    c->vek_count--;
    memmove(&c->veks[at], &c->veks[at + 1], (c->vek_count - at) * sizeof c->veks[0]);
}

static bool is_same_chip(const struct core_vek *a, const struct core_vek *b) {
    return a->key.product == b->key.product &&
           memcmp(a->key.chip_id, b->key.chip_id, sizeof a->key.chip_id) == 0;
}

static bool is_superseded(const struct core *c, size_t at) {
    size_t i = at + 1;
    while (i < c->vek_count && !is_same_chip(&c->veks[at], &c->veks[i])) {
        i++;
    }
    return i < c->vek_count;
}

/* The oldest that has a newer one of its chip: that one is behind the firmware. And AMD answers for
 * any TCB of a genuine chip, so whoever makes up TCBs of one must not push out the others. */
static void make_room(struct core *c) {
    size_t at = 0;
    while (at < c->vek_count && !is_superseded(c, at)) {
        at++;
    }
    remove_vek(c, at < c->vek_count ? at : 0);
}

/* Copies the row, as the newest. */
static void add_vek(struct core *c, const struct core_vek *row) {
    if (c->veks == NULL) {
        c->veks = mem_calloc(LIMIT_COLLATERAL_VEKS, sizeof *c->veks);
    }
    if (c->vek_count == LIMIT_COLLATERAL_VEKS) {
        make_room(c);
    }
    c->digests->has_veks = false;
    c->veks[c->vek_count++] = dup_vek(row);
}

static int compare_u64(uint64_t a, uint64_t b) {
    return a == b ? 0 : a < b ? -1 : 1;
}

/* The order of lists: those of one product, signing key and root stand together, the highest number
 * first. */
static int compare_crl(const struct core_crl *a, const struct core_crl *b) {
    int order = compare_u64(a->key.product, b->key.product);
    order = order != 0 ? order : compare_u64(a->key.signing, b->key.signing);
    order = order != 0 ? order : memcmp(a->anchor, b->anchor, sizeof a->anchor);
    order = order != 0 ? order : compare_u64(b->number, a->number);
    order = order != 0 ? order : compare_u64(b->der.size, a->der.size);
    return order != 0 ? order : memcmp(b->der.data, a->der.data, a->der.size);
}

static size_t crl_index(const struct core *c, const struct core_crl *row, bool *found) {
    size_t at = 0;
    while (at < c->crl_count && compare_crl(&c->crls[at], row) < 0) {
        at++;
    }
    *found = at < c->crl_count && compare_crl(&c->crls[at], row) == 0;
    return at;
}

bool core_crl_outdates(const struct core_crl *by, const struct core_crl *old) {
    return entry_endorsement_same(&by->key, &old->key) &&
           memcmp(by->anchor, old->anchor, sizeof by->anchor) == 0 && by->number >= old->number &&
           by->this_update >= old->this_update && crl_covers(by->der, old->der);
}

static size_t find_lease(const struct core *c, const struct entry_endorsement *key) {
    size_t at = 0;
    while (at < c->lease_count && !entry_endorsement_same(&c->leases[at].key, key)) {
        at++;
    }
    return at;
}

static void remove_lease(struct core *c, size_t at) {
    c->lease_count--;
    memmove(&c->leases[at], &c->leases[at + 1], (c->lease_count - at) * sizeof c->leases[0]);
}

/* What was asked for is here. */
static void end_lease(struct core *c, const struct entry_endorsement *key) {
    size_t at = find_lease(c, key);
    if (at < c->lease_count) {
        remove_lease(c, at);
    }
}

/* --- VEK */

static RESULT check_vek(const struct core_vek *row, struct err *err) {
    TRY(entry_endorsement_check(&row->key, err));
    ENSURE(!entry_endorsement_is_list(&row->key), err, INVALID, "a VCEK without a chip");
    ENSURE(row->der.size > 0 && row->der.size <= LIMIT_CERT, err, INVALID,
           "VCEK of %zu bytes, want 1..%d", row->der.size, LIMIT_CERT);
    ENSURE((row->authority.size == 0) == (row->root.size == 0), err, INVALID,
           "ASK and ARK come together or not at all");
    return OK;
}

static bool is_same_vek(const struct core_vek *a, const struct core_vek *b) {
    return span_equal(a->der, b->der) && span_equal(a->authority, b->authority) &&
           span_equal(a->root, b->root);
}

static RESULT store_vek(struct core *c, const struct entry_collateral *e, struct core_result *out,
                        struct err *err) {
    struct core_vek row = {e->key, e->der, e->authority, e->root};
    ENSURE(span_is_zero(SPAN(e->anchor)) && e->number == 0 && e->this_update == 0 &&
               e->next_update == 0,
           err, INVALID, "a VCEK with the fields of a list");
    TRY(check_vek(&row, err));
    struct core_vek *old = find_vek(c, &e->key);
    out->already = old != NULL && is_same_vek(old, &row);
    if (old != NULL) {
        remove_vek(c, (size_t)(old - c->veks));
    }
    add_vek(c, &row);
    end_lease(c, &e->key);
    return OK;
}

/* --- CRL */

static RESULT check_crl(const struct core_crl *row, struct err *err) {
    TRY(entry_endorsement_check(&row->key, err));
    ENSURE(entry_endorsement_is_list(&row->key), err, INVALID, "a revocation list of one chip");
    ENSURE(row->der.size > 0, err, INVALID, "the revocation list is empty");
    ENSURE(!span_is_zero(SPAN(row->anchor)), err, INVALID, "a revocation list without its root");
    TRY(core__check_time(row->this_update, err));
    ENSURE(row->next_update >= row->this_update && row->next_update <= ENTRY_TIME_MAX, err, INVALID,
           "the revocation list ends before it begins");
    return OK;
}

static size_t count_outdated(const struct core *c, const struct core_crl *row) {
    size_t count = 0;
    for (size_t i = 0; i < c->crl_count; i++) {
        count += core_crl_outdates(row, &c->crls[i]) ? 1 : 0;
    }
    return count;
}

/* An older one would only take room, or bring revoked authorities back. */
static RESULT check_newer(const struct core *c, const struct core_crl *row, bool *is_known,
                          struct err *err) {
    (void)crl_index(c, row, is_known);
    if (*is_known) {
        return OK;
    }
    for (size_t i = 0; i < c->crl_count; i++) {
        ENSURE(!core_crl_outdates(&c->crls[i], row), err, EXISTS,
               "revocation list %llu is known, %llu is not newer",
               (unsigned long long)c->crls[i].number, (unsigned long long)row->number);
    }
    ENSURE(c->crl_count - count_outdated(c, row) < LIMIT_COLLATERAL_CRLS, err, BUSY,
           "%zu revocation lists, no room", c->crl_count);
    return OK;
}

static void remove_crl(struct core *c, size_t at) {
    core__free_span(&c->crls[at].der);
    c->crl_count--;
    memmove(&c->crls[at], &c->crls[at + 1], (c->crl_count - at) * sizeof c->crls[0]);
}

/* In its order, for those that it makes needless. */
static void put_crl(struct core *c, const struct core_crl *row) {
    bool found = false;
    c->digests->has_crls = false;
    size_t at = crl_index(c, row, &found);
    if (found) { /* seen again */
        c->crls[at].seen = row->seen;
        return;
    }
    for (size_t i = c->crl_count; i > 0; i--) {
        if (core_crl_outdates(row, &c->crls[i - 1])) {
            remove_crl(c, i - 1);
        }
    }
    at = crl_index(c, row, &found);
    memmove(&c->crls[at + 1], &c->crls[at], (c->crl_count - at) * sizeof c->crls[0]);
    c->crl_count++;
    c->crls[at] = *row;
    c->crls[at].der = core__dup(row->der);
}

static RESULT store_crl(struct core *c, const struct entry_collateral *e, struct core_result *out,
                        struct err *err) {
    struct core_crl row = {.key = e->key,
                           .der = e->der,
                           .number = e->number,
                           .this_update = e->this_update,
                           .next_update = e->next_update};
    memcpy(row.anchor, e->anchor, sizeof row.anchor);
    ENSURE(e->authority.size == 0 && e->root.size == 0, err, INVALID,
           "a revocation list with certificates");
    TRY(check_crl(&row, err));
    TRY(check_newer(c, &row, &out->already, err));
    core__advance(c, e->this_update); /* it was signed: that moment is over */
    core__advance(c, e->time);
    row.seen = c->time;
    put_crl(c, &row);
    out->crls_changed = !out->already;
    end_lease(c, &e->key);
    return OK;
}

/* --- FETCH */

static void drop_old_leases(struct core *c, int64_t now) {
    for (size_t i = c->lease_count; i > 0; i--) {
        if (c->leases[i - 1].until <= now) {
            remove_lease(c, i - 1);
        }
    }
}

static RESULT refuse_fetch(struct core_result *out, enum err_code code, uint64_t wait_ms,
                           const char *why, struct err *err) {
    out->wait_ms = wait_ms;
    return err_set(err, code, "%s; ask again in %llu s", why,
                   (unsigned long long)((wait_ms + 999) / 1000));
}

static RESULT check_lease(const struct core *c, const struct entry_collateral *e, int64_t now,
                          struct core_result *out, struct err *err) {
    size_t at = find_lease(c, &e->key);
    bool is_held = at < c->lease_count && c->leases[at].until > now;
    if (is_held && c->leases[at].proposer != e->request.proposer) {
        return refuse_fetch(out, ERR_EXISTS, (uint64_t)(c->leases[at].until - now) * 1000,
                            "another replica asks AMD's key service for this", err);
    }
    size_t live = 0;
    for (size_t i = 0; i < c->lease_count; i++) {
        live += c->leases[i].until > now && i != at ? 1 : 0;
    }
    if (live >= LIMIT_KDS_LEASES) {
        return refuse_fetch(out, ERR_BUSY, LIMIT_KDS_PERIOD_MS, "too many endorsements are fetched",
                            err);
    }
    return OK;
}

static RESULT grant_fetch(struct core *c, const struct entry_collateral *e, struct core_result *out,
                          struct err *err) {
    ENSURE(e->der.size + e->authority.size + e->root.size == 0 && span_is_zero(SPAN(e->anchor)) &&
               e->number == 0 && e->this_update == 0 && e->next_update == 0,
           err, INVALID, "a request to AMD's key service with an answer in it");
    TRY(entry_endorsement_check(&e->key, err));
    out->already = !entry_endorsement_is_list(&e->key) && find_vek(c, &e->key) != NULL;
    if (out->already) {
        return OK;
    }
    int64_t now = e->time > c->time ? e->time : c->time;
    TRY(check_lease(c, e, now, out, err));
    struct bucket left = c->kds;
    uint64_t wait_ms = bucket_take(&left, &kds_rate, (uint64_t)now * 1000);
    if (wait_ms > 0) {
        return refuse_fetch(out, ERR_BUSY, wait_ms, "the cluster asked AMD's key service enough",
                            err);
    }
    c->kds = left;
    drop_old_leases(c, now);
    end_lease(c, &e->key);
    c->leases[c->lease_count++] =
        (struct core__lease){e->key, e->request.proposer, now + LIMIT_KDS_LEASE_S};
    return OK;
}

/* --- All of them */

RESULT core__apply_collateral(struct core *c, const struct entry_collateral *e,
                              struct core_result *out, struct err *err) {
    TRY(core__check_time(e->time, err));
    switch (e->kind) {
    case COLLATERAL_VEK:
        TRY(store_vek(c, e, out, err));
        break;
    case COLLATERAL_CRL:
        TRY(store_crl(c, e, out, err));
        break;
    case COLLATERAL_FETCH:
        TRY(grant_fetch(c, e, out, err));
        break;
    default:
        return err_set(err, ERR_INVALID, "unknown kind %u", e->kind);
    }
    core__advance(c, e->time);
    return OK;
}

/* --- Loading */

RESULT core__load_vek(struct core *c, const struct core_vek *row, struct err *err) {
    TRY(err_wrap(check_vek(row, err), err, "endorsement %zu", c->vek_count));
    ENSURE(find_vek(c, &row->key) == NULL, err, MALFORMED, "two VCEKs of one chip and TCB");
    add_vek(c, row);
    return OK;
}

RESULT core__load_crl(struct core *c, const struct core_crl *row, struct err *err) {
    TRY(err_wrap(check_crl(row, err), err, "revocation list %zu", c->crl_count));
    ENSURE(c->crl_count == 0 || compare_crl(&c->crls[c->crl_count - 1], row) < 0, err, MALFORMED,
           "revocation lists are not in rising order");
    ENSURE(row->this_update <= c->time && row->seen > 0 && row->seen <= c->time, err, MALFORMED,
           "a revocation list is from a later time");
    for (size_t i = 0; i < c->crl_count; i++) {
        ENSURE(!core_crl_outdates(row, &c->crls[i]) && !core_crl_outdates(&c->crls[i], row), err,
               MALFORMED, "a revocation list that another one makes needless");
    }
    put_crl(c, row);
    return OK;
}

RESULT core__load_lease(struct core *c, const struct core__lease *row, struct err *err) {
    TRY(entry_endorsement_check(&row->key, err));
    ENSURE(row->until > 0 && row->until <= c->time + LIMIT_KDS_LEASE_S, err, MALFORMED,
           "a lease ends too late");
    ENSURE(find_lease(c, &row->key) == c->lease_count, err, MALFORMED, "two leases of one key");
    c->leases[c->lease_count++] = *row;
    return OK;
}

RESULT core__load_kds(struct core *c, uint64_t taken, uint64_t since_ms, struct err *err) {
    ENSURE(taken <= LIMIT_KDS_BURST && since_ms <= (uint64_t)c->time * 1000, err, MALFORMED,
           "requests to AMD's key service: %llu taken", (unsigned long long)taken);
    c->kds = (struct bucket){(uint32_t)taken, since_ms};
    return OK;
}
