/* Recover check: see recover_check.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/recover_check.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/limits.h"

struct recovery recover_check_fields(const struct api_recover_reply *reply) {
    struct recovery r = {.epoch = reply->epoch,
                         .previous_epoch = reply->previous_epoch,
                         .mode = reply->mode,
                         .generation = reply->generation,
                         .index = reply->index,
                         .ledger_size = reply->ledger_size};
    memcpy(r.cluster, reply->cluster, sizeof r.cluster);
    memcpy(r.head, reply->head, sizeof r.head);
    memcpy(r.ledger_root, reply->ledger_root, sizeof r.ledger_root);
    memcpy(r.recipient, reply->recipient, sizeof r.recipient);
    return r;
}

static RESULT check_place(const struct api_recover_reply *reply, const struct recover_memory *m,
                          struct err *err) {
    ENSURE(!m->has_cluster || memcmp(reply->cluster, m->cluster, 32) == 0, err, DIFFERS,
           "this is a state of another deployment than the one of this workspace");
    ENSURE(memcmp(reply->recipient, m->recipient, 32) == 0, err, DIFFERS,
           "the session would bring the state to another replica than the one that was verified");
    return OK;
}

/* Nothing that was verified from here may be undone. */
static RESULT check_age(const struct api_recover_reply *reply, const struct recover_memory *m,
                        struct err *err) {
    const struct position *last = &m->last;
    uint64_t seen = recoveries_seen(m->recoveries, reply->cluster);
    ENSURE(reply->previous_epoch >= seen, err, ROLLBACK,
           "a state of epoch %" PRIu64 ", and epoch %" PRIu64
           " was verified from here: that epoch is over (its proof is in %s)",
           reply->previous_epoch, seen, RECOVERIES_FILE);
    if (!m->has_last) {
        return OK;
    }
    ENSURE(reply->previous_epoch >= last->epoch, err, ROLLBACK,
           "a state of epoch %" PRIu64 ", and epoch %" PRIu64 " was verified from here",
           reply->previous_epoch, last->epoch);
    ENSURE(reply->generation >= last->generation, err, ROLLBACK,
           "the state has manifest generation %" PRIu64 ", and generation %" PRIu64
           " was verified from here: it is too old; use a newer checkpoint, or a survivor",
           reply->generation, last->generation);
    ENSURE(reply->generation > last->generation || memcmp(reply->head, last->head, 32) == 0, err,
           FORK,
           "the state shows another transition for generation %" PRIu64
           " than the one that was verified from here",
           last->generation);
    return OK;
}

static RESULT check_owner(const struct api_recover_reply *reply, const struct recover_memory *m,
                          struct err *err) {
    const struct api_recover_owner *owners = reply->owners.items;
    char hex[65];
    for (size_t i = 0; i < reply->owners.count; i++) {
        if (memcmp(owners[i].digest, m->owner, 32) == 0) {
            return OK;
        }
    }
    hex_encode(SPAN(m->owner), hex);
    return err_set(err, ERR_INVALID,
                   "share key %s is not among the %zu share owners of this state's manifest", hex,
                   reply->owners.count);
}

/* An owner never signs an epoch twice, and a replica takes none that is too far above the state's:
 * one signature for a far epoch, which leads to nothing, would be this owner's last. */
static RESULT check_ahead(const struct api_recover_reply *reply, uint64_t highest,
                          struct err *err) {
    uint64_t known = highest > reply->previous_epoch ? highest : reply->previous_epoch;
    ENSURE(reply->epoch <= known || reply->epoch - known <= LIMIT_EPOCH_AHEAD, err, DENIED,
           "the session asks for epoch %" PRIu64 ", the highest that is known here is %" PRIu64
           ": more than %d above; open a new session from this workspace",
           reply->epoch, known, LIMIT_EPOCH_AHEAD);
    return OK;
}

struct result recover_check_memory(const struct api_recover_reply *reply,
                                   const struct recover_memory *m, bool *is_signed,
                                   struct err *err) {
    struct recovery recovery = recover_check_fields(reply);
    TRY(check_place(reply, m, err));
    TRY(check_age(reply, m, err));
    TRY(check_owner(reply, m, err));
    ENSURE(reply->epoch > reply->previous_epoch, err, PROTOCOL,
           "epoch %" PRIu64 " does not follow epoch %" PRIu64, reply->epoch, reply->previous_epoch);
    TRY(recoveries_check_signed(m->recoveries, &recovery, is_signed, err));
    uint64_t highest = recoveries_highest(m->recoveries, reply->cluster);
    ENSURE(*is_signed || reply->epoch > highest, err, ROLLBACK,
           "epoch %" PRIu64 " was signed or seen from here already (highest %" PRIu64
           "): open a new session from this workspace, which asks for a higher one",
           reply->epoch, highest);
    return check_ahead(reply, highest, err);
}

struct result recover_check_root(const uint8_t root_ca[48], const struct recover_memory *m,
                                 struct err *err) {
    char want[97];
    char is[97];
    hex_encode(SPAN(m->root_ca), want);
    hex_encode(span_of(root_ca, 48), is);
    ENSURE(!m->has_root || memcmp(root_ca, m->root_ca, sizeof m->root_ca) == 0, err, DENIED,
           "this state has another root CA than the deployment that was verified from here "
           "(SHA-384 %.16s…, verified %.16s…): it is made up, or of another deployment; give it "
           "no share, and look where it came from",
           is, want);
    return OK;
}

struct result recover_check_header(const struct api_recover_reply *reply,
                                   const struct checkpoint_header *h, struct err *err) {
    ENSURE(memcmp(h->cluster, reply->cluster, 32) == 0, err, DIFFERS,
           "the file and the session differ: cluster");
    ENSURE(h->epoch == reply->previous_epoch, err, DIFFERS,
           "the file and the session differ: epoch");
    ENSURE(h->generation == reply->generation && memcmp(h->head, reply->head, 32) == 0, err,
           DIFFERS, "the file and the session differ: manifest");
    ENSURE(h->index == reply->index && h->ledger_size == reply->ledger_size &&
               memcmp(h->ledger_root, reply->ledger_root, 48) == 0,
           err, DIFFERS, "the file and the session differ: log index or ledger");
    ENSURE(h->threshold == reply->threshold && h->shares.count == reply->owners.count, err, DIFFERS,
           "the file and the session differ: share owners");
    return OK;
}
