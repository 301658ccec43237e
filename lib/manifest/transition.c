/* Transitions: hashing, signing and checking the chain of manifests.
 *
 * Happy path of a chain: for each generation parse the manifest, recompute the transition over the
 * one before, check the signer against the authority (itself for the first, the predecessor after
 * that); then the recoveries that stand at this generation, which move the epoch. Failure:
 * SIGNATURE, DENIED or MANIFEST, with the generation in the text; outputs stay as they were. Pure:
 * no I/O, no clock.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/transition.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "lib/manifest/owner.h"

static const char hash_domain[] = "contrast-transition-v1"; /* hashed with its NUL */
static const char sign_domain[] = "contrast-set-v1";        /* signed with its NUL */

void transition_hash(const struct transition *t, uint8_t out[32]) {
    uint8_t numbers[16];
    store_u64be(numbers, t->epoch);
    store_u64be(numbers + 8, t->generation);
    const struct span parts[] = {
        SPAN(hash_domain), SPAN(t->cluster),       SPAN(numbers),
        SPAN(t->previous), SPAN(t->manifest_hash), SPAN(t->policies_hash),
    };
    sha256_parts(parts, sizeof parts / sizeof parts[0], out);
}

void transition_signed_bytes(const uint8_t hash[32], struct buf *out) {
    buf_append(out, sign_domain, sizeof sign_domain);
    buf_append(out, hash, SHA256_SIZE);
}

RESULT transition_sign(const uint8_t hash[32], const struct key *owner, struct buf *signature,
                       struct err *err) {
    AUTO(buf_deinit)
    struct buf message = {0};
    transition_signed_bytes(hash, &message);
    return owner_sign(owner, buf_span(&message), signature, err);
}

RESULT transition_verify(const uint8_t hash[32], struct span spki, struct span signature,
                         const struct manifest *authority, struct err *err) {
    AUTO(buf_deinit)
    struct buf message = {0};
    transition_signed_bytes(hash, &message);
    return owner_verify(buf_span(&message), spki, signature, authority, err);
}

/* The state of a walk along a history. */
struct walk {
    struct transition next;   /* cluster, epoch, generation and predecessor of the next record */
    struct manifest manifest; /* of the last record; owned */
};

static void free_walk(struct walk *w) {
    manifest_deinit(&w->manifest);
}

static RESULT check_first_signer(const struct transition_record *record,
                                 const struct manifest *trusted, struct err *err) {
    uint8_t digest[SHA256_SIZE];
    sha256(record->spki, digest);
    char hex[2 * SHA256_SIZE + 1];
    hex_encode(SPAN(digest), hex);
    ENSURE(manifest_has_owner(trusted, digest), err, DENIED,
           "the history starts with key %s, which your manifest does not name", hex);
    return OK;
}

/* Takes one record; *w moves on only when it is good. */
static RESULT step(struct walk *w, const struct transition_record *record,
                   const struct manifest *trusted, struct err *err) {
    bool is_first = w->next.generation == 1;
    if (is_first) {
        TRY(check_first_signer(record, trusted, err));
    }
    AUTO(manifest_deinit)
    struct manifest m = {0};
    TRY(manifest_parse(record->manifest, &m, err));
    struct transition t = w->next;
    memcpy(t.manifest_hash, m.hash, sizeof t.manifest_hash);
    manifest_policies_hash(&m, t.policies_hash);
    uint8_t hash[SHA256_SIZE];
    transition_hash(&t, hash);
    TRY(transition_verify(hash, record->spki, record->signature, is_first ? &m : &w->manifest,
                          err));
    manifest_deinit(&w->manifest);
    w->manifest = m;
    m = (struct manifest){0};
    w->next.generation++;
    memcpy(w->next.previous, hash, sizeof hash);
    return OK;
}

uint64_t transition_epoch_of(const struct transition_history *h, uint64_t generation) {
    uint64_t epoch = 1;
    for (size_t i = 0; i < h->recovery_count; i++) {
        if (h->recoveries[i].recovery.generation < generation) {
            epoch = h->recoveries[i].recovery.epoch;
        }
    }
    return epoch;
}

/* One recovery at the present end of the walk. */
static RESULT recover(struct walk *w, const struct transition_recovery *t, struct err *err) {
    const struct recovery *r = &t->recovery;
    ENSURE(memcmp(r->cluster, w->next.cluster, sizeof r->cluster) == 0, err, DENIED,
           "it is of another cluster");
    ENSURE(memcmp(r->head, w->next.previous, sizeof r->head) == 0, err, DENIED,
           "it goes on from another transition than this history has");
    ENSURE(r->previous_epoch == w->next.epoch, err, DENIED,
           "it goes on from epoch %" PRIu64 ", this history is at %" PRIu64, r->previous_epoch,
           w->next.epoch);
    TRY(recovery_verify(r, t->signatures, t->signature_count, &w->manifest, err));
    w->next.epoch = r->epoch;
    return OK;
}

/* The recoveries at generation `at`, from *from on; *from moves behind them. */
static RESULT recover_all(struct walk *w, const struct transition_history *h, uint64_t at,
                          size_t *from, struct err *err) {
    for (; *from < h->recovery_count && h->recoveries[*from].recovery.generation == at; ++*from) {
        const struct transition_recovery *t = &h->recoveries[*from];
        struct result r = recover(w, t, err);
        if (!is_ok(r)) {
            return err_wrap(r, err, "recovery to epoch %" PRIu64, t->recovery.epoch);
        }
    }
    return OK;
}

static RESULT check_counts(const struct transition_history *h, struct err *err) {
    ENSURE(h->count > 0, err, DENIED, "the history is empty");
    ENSURE(h->count <= LIMIT_HISTORY, err, DENIED, "the history has %zu generations, limit %d",
           h->count, LIMIT_HISTORY);
    ENSURE(h->recovery_count <= LIMIT_EPOCHS, err, DENIED,
           "the history has %zu recoveries, limit %d", h->recovery_count, LIMIT_EPOCHS);
    return OK;
}

RESULT transition_verify_chain(const struct transition_history *h, const struct manifest *trusted,
                               struct manifest *latest, uint8_t head[32], uint64_t *epoch,
                               struct err *err) {
    TRY(check_counts(h, err));
    AUTO(free_walk)
    struct walk w = {.next = {.epoch = 1, .generation = 1}};
    memcpy(w.next.cluster, h->cluster, sizeof w.next.cluster);
    size_t recovered = 0;
    for (size_t i = 0; i < h->count; i++) {
        struct result r = step(&w, &h->records[i], trusted, err);
        if (is_ok(r)) {
            r = recover_all(&w, h, i + 1, &recovered, err);
        }
        if (!is_ok(r)) {
            return err_wrap(r, err, "generation %zu", i + 1);
        }
    }
    ENSURE(recovered == h->recovery_count, err, DENIED,
           "recovery to epoch %" PRIu64 " stands at generation %" PRIu64
           ", where this history has no place for it",
           h->recoveries[recovered].recovery.epoch, h->recoveries[recovered].recovery.generation);
    *latest = w.manifest;
    w.manifest = (struct manifest){0};
    memcpy(head, w.next.previous, SHA256_SIZE);
    *epoch = w.next.epoch;
    return OK;
}
