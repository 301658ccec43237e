/* Layer tar: see layer_tar.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/layer_tar.h"

#include <string.h>

#include "cli/layer/tar_scan.h"
#include "cli/layer/tarfs_build.h"
#include "cli/layer/tarfs_index.h"
#include "cli/layer/verity.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define WALK_LEAST (512 * 1024)

struct layer_tar {
    struct sha256_stream *diff;   /* owned: the diff_id */
    struct sha256_stream *blocks; /* owned: of the verity streams */
    struct verity verity;
    struct tar_scan scan;
    struct tarfs_build build;
};

struct layer_tar *layer_tar_new(void) {
    struct layer_tar *t = mem_zalloc(sizeof *t);
    t->diff = sha256_stream_new();
    t->blocks = sha256_stream_new();
    verity_init(&t->verity, t->blocks);
    tarfs_build_init(&t->build);
    tar_scan_init(&t->scan, tarfs_build_handler(&t->build));
    return t;
}

void layer_tar_free(struct layer_tar *t) {
    if (t == NULL) {
        return;
    }
    tar_scan_deinit(&t->scan);
    tarfs_build_deinit(&t->build);
    sha256_stream_free(t->diff);
    sha256_stream_free(t->blocks);
    mem_free(t);
}

RESULT layer_tar_feed(struct layer_tar *t, struct span bytes, size_t reserved, struct err *err) {
    t->build.budget = reserved < LIMIT_LAYER_MEMORY ? LIMIT_LAYER_MEMORY - reserved : 0;
    TRY(tar_scan_feed(&t->scan, bytes, err));
    sha256_stream_update(t->diff, bytes);
    verity_update(&t->verity, bytes);
    return OK;
}

/* Of so many bytes the walk over the index may take, as its pathological cases have no end. */
static uint64_t walk_memory(uint64_t used) {
    return used / 4 + WALK_LEAST;
}

size_t layer_tar_memory(const struct layer_tar *t) {
    uint64_t used = tarfs_build_memory(&t->build);
    return (size_t)(used + walk_memory(used) - WALK_LEAST);
}

static void on_index(void *context, struct span bytes) {
    verity_update(context, bytes);
}

static RESULT finish_root(struct layer_tar *t, enum layer_dialect d, struct layer_root *out,
                          struct err *err) {
    struct tarfs_build *b = &t->build;
    struct verity *fork = mem_alloc(sizeof *fork);
    *fork = t->verity;
    struct tarfs_index index;
    struct span links = d == LAYER_MSFT ? buf_span(&b->links) : (struct span){0};
    uint64_t used = tarfs_build_memory(b);
    uint64_t budget = b->budget > used ? b->budget - used : 0;
    budget = budget < walk_memory(used) ? budget : walk_memory(used);
    struct tarfs_index_sink sink = {on_index, fork};
    struct result r =
        tarfs_index_write(&b->trees[d], t->verity.size, links, budget, sink, &index, err);
    if (is_ok(r)) {
        verity_finish(fork, out->root_hash);
        out->size = index.size;
        out->inode_table = t->verity.size;
        out->inodes = index.inodes;
    }
    mem_free(fork);
    return r;
}

RESULT layer_tar_finish(struct layer_tar *t, struct layer_result *out, struct err *err) {
    struct layer_root roots[LAYER_DIALECTS];
    TRY(tar_scan_finish(&t->scan, err));
    TRY(finish_root(t, LAYER_UPSTREAM, &roots[LAYER_UPSTREAM], err));
    roots[LAYER_MSFT] = roots[LAYER_UPSTREAM];
    if (t->build.is_split) {
        TRY(finish_root(t, LAYER_MSFT, &roots[LAYER_MSFT], err));
    }
    memcpy(out->roots, roots, sizeof roots);
    sha256_stream_final(t->diff, out->diff_id);
    out->tar_size = t->verity.size;
    tarfs_build_users(&t->build, &out->passwd, &out->group);
    out->long_links = t->build.link_count;
    out->warnings = t->build.warnings;
    out->warning_count = t->build.warning_count;
    out->warnings_dropped = t->build.warnings_dropped;
    t->build.warnings = NULL; /* moved */
    t->build.warning_count = 0;
    return OK;
}
