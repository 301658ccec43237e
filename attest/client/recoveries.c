/* Recoveries: see recoveries.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/client/recoveries.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/wire/api.h"

static void take_one(const struct api_recovery *from, struct arena *arena,
                     struct transition_recovery *to) {
    struct recovery *r = &to->recovery;
    *r = (struct recovery){
        .epoch = from->epoch,
        .previous_epoch = from->previous_epoch,
        .mode = from->mode,
        .generation = from->generation,
        .index = from->index,
        .ledger_size = from->ledger_size,
    };
    memcpy(r->cluster, from->cluster, sizeof r->cluster);
    memcpy(r->head, from->head, sizeof r->head);
    memcpy(r->ledger_root, from->ledger_root, sizeof r->ledger_root);
    memcpy(r->recipient, from->recipient, sizeof r->recipient);
    const struct api_recovery_signature *signatures = from->signatures.items;
    size_t count = from->signatures.count;
    struct recovery_signature *copies = arena_alloc(arena, (count + 1) * sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i] = (struct recovery_signature){signatures[i].key, signatures[i].signature};
    }
    to->signatures = copies;
    to->signature_count = count;
}

static RESULT check_page(const struct recoveries *r, const struct api_recoveries_reply *page,
                         struct err *err) {
    ENSURE(page->count <= LIMIT_EPOCHS, err, TOO_LARGE, "%" PRIu64 " recoveries, limit %d",
           page->count, LIMIT_EPOCHS);
    ENSURE(page->count > 0, err, PROTOCOL, "an epoch above 1, and no recovery that began it");
    ENSURE(page->from == r->count, err, PROTOCOL, "recoveries from %" PRIu64 ", asked for %zu",
           page->from, r->count);
    ENSURE(page->items.count > 0, err, PROTOCOL, "the recoveries end early");
    return OK;
}

RESULT recoveries_take(struct recoveries *r, struct span body, struct arena *arena, bool *done,
                       struct err *err) {
    struct api_recoveries_reply page;
    TRY(wire_decode(&api_recoveries_reply_type, body, arena, &page, err));
    TRY(check_page(r, &page, err));
    if (r->items == NULL) {
        r->total = (size_t)page.count;
        r->items = arena_alloc(arena, r->total * sizeof *r->items);
    }
    const struct api_recovery *items = page.items.items;
    for (size_t i = 0; i < page.items.count && r->count < r->total; i++) {
        take_one(&items[i], arena, &r->items[r->count++]);
    }
    *done = r->count == r->total;
    return OK;
}
