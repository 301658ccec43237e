/* Divergence alarm (ARCHITECTURE section 7): members compare hashes of the whole state at fixed
 * indexes. Whoever disagrees with a quorum of voters ends; its memory was hurt, or its build is
 * another one.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coordinator/replica_internal.h"
#include "lib/base/log.h"

static struct state_hash *hash_slot(struct replica *r, uint64_t index) {
    return &r->hashes[index / REPLICA_HASH_INTERVAL % REPLICA_HASHES];
}

static size_t majority(const struct replica *r) {
    return replica__voter_count(r) / 2 + 1;
}

/* Compares once both sides are known; `differs` counts each voter once. */
static void compare(struct replica *r, struct state_hash *slot, uint64_t peer,
                    const uint8_t hash[32]) {
    if (memcmp(slot->hash, hash, 32) == 0) {
        return;
    }
    for (size_t i = 0; i < slot->differ_count; i++) {
        if (slot->differs[i] == peer) {
            return;
        }
    }
    if (slot->differ_count < LIMIT_MEMBERS && replica__is_voter(r, peer)) {
        slot->differs[slot->differ_count++] = peer;
    }
    char own[65];
    char other[65];
    hex_encode(SPAN(slot->hash), own);
    hex_encode(span_of(hash, 32), other);
    log_error("state differs from replica %llu at entry %llu: %s here, %s there",
              (unsigned long long)peer, (unsigned long long)slot->index, own, other);
    if (slot->differ_count >= majority(r)) {
        replica__end(r, ERR_DIVERGED,
                     "the state at entry %llu differs from a quorum's: %s here, %s there",
                     (unsigned long long)slot->index, own, other);
    }
}

void replica__hash_applied(struct replica *r, uint64_t index) {
    if (index / REPLICA_HASH_INTERVAL == r->hashed_interval) {
        return;
    }
    /* The first command at or after a multiple of the interval: the same one on every replica. */
    r->hashed_interval = index / REPLICA_HASH_INTERVAL;
    struct state_hash *slot = hash_slot(r, index);
    *slot = (struct state_hash){.index = index};
    core_state_hash(r->core, slot->hash);
    uint8_t body[40];
    store_u64be(body, index);
    memcpy(body + 8, slot->hash, 32);
    for (size_t i = 0; i < r->link_count; i++) {
        if (r->links[i].is_up) {
            r->io.send(r->io.data, r->links[i].id, REPLICA_STATE_HASH, SPAN(body));
        }
    }
    for (size_t i = 0; i < r->early_count; i++) {
        if (r->early[i].index == index) {
            compare(r, slot, r->early[i].peer, r->early[i].hash);
        }
    }
    r->early_count = 0;
}

void replica__hash_received(struct replica *r, uint64_t peer, struct span body) {
    if (body.size != 40 || core_find_member(r->core, peer) == NULL) {
        return;
    }
    uint64_t index = load_u64be(body.data);
    struct state_hash *slot = hash_slot(r, index);
    if (slot->index == index) {
        compare(r, slot, peer, body.data + 8);
    } else if (index > core_applied_index(r->core) && r->early_count < LIMIT_MEMBERS) {
        struct early_hash *early = &r->early[r->early_count++];
        *early = (struct early_hash){.peer = peer, .index = index};
        memcpy(early->hash, body.data + 8, 32);
    }
}
