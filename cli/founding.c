/* Founding: see founding.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/founding.h"

#include <inttypes.h>
#include <string.h>

#include "attest/statement.h"
#include "lib/crypto/digest.h"

static const char DOMAIN[] = "contrast-cluster-v1"; /* hashed with its NUL */

static void append_sized(struct buf *out, struct span s) {
    buf_append_u32be(out, (uint32_t)s.size);
    buf_append_span(out, s);
}

void founding_cluster_id(const struct api_founder *founders, size_t count, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf list = {0};
    buf_append(&list, DOMAIN, sizeof DOMAIN);
    buf_append_u32be(&list, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        buf_append_u64be(&list, founders[i].id);
        append_sized(&list, span_str(founders[i].name));
        append_sized(&list, span_str(founders[i].address));
        append_sized(&list, founders[i].spki);
    }
    sha256(buf_span(&list), out);
}

static RESULT check_founder(const struct api_founder *f, uint64_t previous_id, struct err *err) {
    ENSURE(f->id > previous_id, err, DIFFERS, "founder %s: the list is not sorted by id", f->name);
    ENSURE(f->id == statement_replica_id(f->spki), err, DIFFERS,
           "founder %s: its id is not that of its key", f->name);
    return OK;
}

struct result founding_check(const struct api_prepare_reply *reply, uint64_t replicas,
                             struct err *err) {
    const struct api_founder *founders = reply->founders.items;
    ENSURE(reply->founders.count == replicas, err, DIFFERS,
           "%zu founders were prepared, %" PRIu64 " asked for", reply->founders.count, replicas);
    uint64_t previous_id = 0;
    for (size_t i = 0; i < reply->founders.count; i++) {
        TRY(check_founder(&founders[i], previous_id, err));
        previous_id = founders[i].id;
    }
    uint8_t cluster[32];
    founding_cluster_id(founders, reply->founders.count, cluster);
    ENSURE(memcmp(cluster, reply->cluster, sizeof cluster) == 0, err, DIFFERS,
           "the cluster id is not that of the founders");
    return OK;
}
