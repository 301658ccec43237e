/* Recovery, the core thread's end: see recovery_core.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/recovery_core.h"

#include <string.h>

#include "coordinator/revival.h"

static void put(const struct core_extract *extract, struct span state, struct buf *out) {
    buf_reserve(out, sizeof *extract + state.size);
    buf_append(out, extract, sizeof *extract);
    buf_append_span(out, state);
}

struct span recovery_core_state(struct span bytes, struct core_extract *out) {
    CHECK(bytes.size >= sizeof *out); /* our own encoding */
    memcpy(out, bytes.data, sizeof *out);
    return span_of(bytes.data + sizeof *out, bytes.size - sizeof *out);
}

struct result recovery_core_checkpoint(const struct replica *r, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf state = {0};
    struct core_extract extract;
    const struct core *core = replica_core(r);
    ENSURE(core_generation(core) > 0 && !core_is_checkpoint(core), err, NOT_FOUNDED,
           "no manifest is set yet: there is nothing to back up");
    memset(&extract, 0, sizeof extract);
    revival_position(core, &extract.position);
    extract.last_term = core_applied_term(core);
    extract.time = core_time(core);
    core_save_checkpoint(core, &state);
    put(&extract, buf_span(&state), out);
    return OK;
}

struct result recovery_core_survey(struct replica *r, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf state = {0};
    struct core_extract extract;
    memset(&extract, 0, sizeof extract);
    TRY(replica_survey(r, &state, &extract.position, &extract.last_term, err));
    extract.time = core_time(replica_core(r));
    put(&extract, buf_span(&state), out);
    return OK;
}

struct result recovery_core_recover(struct replica *r, uint64_t ticket, struct span bytes,
                                    struct err *err) {
    CHECK(bytes.size >= 8);
    uint64_t size = load_u64be(bytes.data);
    CHECK(size <= bytes.size - 8);
    struct span state = span_of(bytes.data + 8, (size_t)size);
    struct span entry = span_of(state.data + size, bytes.size - 8 - (size_t)size);
    return replica_recover(r, state, entry, ticket, err);
}
