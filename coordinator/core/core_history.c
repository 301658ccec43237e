/* Core, history: see core_history.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/core_history.h"

#include <string.h>

#include "coordinator/core/core_state.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

struct core_history *core_history_new(void) {
    struct core_history *h = mem_zalloc(sizeof *h);
    atomic_init(&h->refs, 1);
    return h;
}

struct core_history *core_history_ref(struct core_history *h) {
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void core_history_unref(struct core_history *h) {
    if (h == NULL || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < h->count; i++) {
        core_bytes_unref(h->blocks[i]);
    }
    for (size_t i = 0; i < h->recovery_count; i++) {
        core_bytes_unref(h->recovery_blocks[i]);
    }
    mem_free(h->records);
    mem_free(h->blocks);
    mem_free(h->chain);
    mem_free(h->recoveries);
    mem_free(h->recovery_blocks);
    mem_free(h);
}

/* --- Changing */

static void reserve(struct core_history *h, size_t capacity) {
    if (capacity > h->capacity) {
        h->records = mem_realloc(h->records, capacity * sizeof *h->records);
        h->blocks = mem_realloc(h->blocks, capacity * sizeof(struct core_bytes *));
        h->chain = mem_realloc(h->chain, capacity * sizeof *h->chain);
        h->capacity = capacity;
    }
}

static void reserve_recoveries(struct core_history *h) {
    if (h->recoveries == NULL) {
        h->recoveries = mem_calloc(LIMIT_EPOCHS, sizeof *h->recoveries);
        h->recovery_blocks = mem_calloc(LIMIT_EPOCHS, sizeof(struct core_bytes *));
    }
}

static struct core_history *copy(const struct core_history *h) {
    struct core_history *to = core_history_new();
    reserve(to, h->count + 1);
    for (size_t i = 0; i < h->count; i++) {
        to->records[i] = h->records[i];
        to->blocks[i] = core_bytes_ref(h->blocks[i]);
        memcpy(to->chain[i], h->chain[i], sizeof to->chain[i]);
    }
    to->count = h->count;
    to->size = h->size;
    if (h->recovery_count > 0) {
        reserve_recoveries(to);
    }
    for (size_t i = 0; i < h->recovery_count; i++) {
        to->recoveries[i] = h->recoveries[i];
        to->recovery_blocks[i] = core_bytes_ref(h->recovery_blocks[i]);
    }
    to->recovery_count = h->recovery_count;
    memcpy(to->recovery_chain, h->recovery_chain, sizeof to->recovery_chain);
    return to;
}

/* Nobody else can take a reference meanwhile: who holds one only lets go. */
static struct core_history *own(struct core_history **h) {
    if (atomic_load_explicit(&(*h)->refs, memory_order_acquire) > 1) {
        struct core_history *mine = copy(*h);
        core_history_unref(*h);
        *h = mine;
    }
    return *h;
}

/* --- Records */

size_t core_history_record_size(const struct core_record *r) {
    return r->manifest.size + r->signer.size + r->signature.size + r->mesh_cert.size +
           r->intermediate.size + r->root_cert.size;
}

static void put(struct core_history *h, size_t at, const struct core_record *r) {
    struct core_bytes *block = core_bytes_new(core_history_record_size(r));
    uint8_t *end = block->data;
    struct core_record row = *r;
    row.manifest = core_bytes_put(&end, r->manifest);
    row.signer = core_bytes_put(&end, r->signer);
    row.signature = core_bytes_put(&end, r->signature);
    row.mesh_cert = core_bytes_put(&end, r->mesh_cert);
    row.intermediate = core_bytes_put(&end, r->intermediate);
    row.root_cert = core_bytes_put(&end, r->root_cert);
    static const uint8_t zero[32];
    core__chain_record(at == 0 ? zero : h->chain[at - 1], &row, h->chain[at]);
    h->records[at] = row;
    h->blocks[at] = block;
    h->size += block->size;
}

void core_history_add(struct core_history **h, const struct core_record *r) {
    struct core_history *mine = own(h);
    if (mine->count == mine->capacity) {
        reserve(mine, mine->capacity == 0 ? 8 : mine->capacity * 2);
    }
    put(mine, mine->count, r);
    mine->count++;
}

void core_history_replace_last(struct core_history **h, const struct core_record *r) {
    struct core_history *mine = own(h);
    size_t last = mine->count - 1;
    struct core_bytes *old = mine->blocks[last]; /* `r` may point into it */
    mine->size -= old->size;
    put(mine, last, r);
    core_bytes_unref(old);
}

/* --- Recoveries */

void core_history_add_recovery(struct core_history **h, const struct core_recovery *r) {
    struct core_history *mine = own(h);
    reserve_recoveries(mine);
    CHECK(mine->recovery_count < LIMIT_EPOCHS);
    size_t table = r->signature_count * sizeof(struct recovery_signature);
    size_t size = table;
    for (size_t i = 0; i < r->signature_count; i++) {
        size += r->signatures[i].key.size + r->signatures[i].signature.size;
    }
    struct core_bytes *block = core_bytes_new(size);
    struct recovery_signature *rows = (void *)block->data; /* aligned: behind two words */
    uint8_t *end = block->data + table;
    for (size_t i = 0; i < r->signature_count; i++) {
        rows[i].key = core_bytes_put(&end, r->signatures[i].key);
        rows[i].signature = core_bytes_put(&end, r->signatures[i].signature);
    }
    struct core_recovery *row = &mine->recoveries[mine->recovery_count];
    *row = *r;
    row->signatures = rows;
    core__chain_recovery(mine->recovery_chain, row);
    mine->recovery_blocks[mine->recovery_count++] = block;
}
