/* Tarfs index: see tarfs_index.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/tarfs_index.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/mem.h"

#define RECORD 32 /* bytes of an inode, and of a name in a folder */
#define ALIGN 4096
#define SUPERBLOCK 512
#define WRITER_SIZE 16384
#define FLAG_OPAQUE 1
#define WALK_FIRST 1024

/* ---- output ---- */

struct writer {
    struct tarfs_index_sink sink;
    uint64_t at; /* offset of the next byte */
    size_t used;
    uint8_t buffer[WRITER_SIZE];
};

static void flush(struct writer *w) {
    w->sink.on_bytes(w->sink.context, span_of(w->buffer, w->used));
    w->used = 0;
}

static void put(struct writer *w, struct span bytes) {
    w->at += bytes.size;
    while (bytes.size > 0) {
        size_t room = WRITER_SIZE - w->used;
        size_t n = bytes.size < room ? bytes.size : room;
        memcpy(w->buffer + w->used, bytes.data, n);
        w->used += n;
        bytes = span_of(bytes.data + n, bytes.size - n);
        if (w->used == WRITER_SIZE) {
            flush(w);
        }
    }
}

static void put_zeros_until(struct writer *w, uint64_t at) {
    static const uint8_t zeros[SUPERBLOCK];
    while (w->at < at) {
        uint64_t left = at - w->at;
        put(w, span_of(zeros, left < sizeof zeros ? (size_t)left : sizeof zeros));
    }
}

/* ---- the walk: breadth first, a node once for each name that leads to it ---- */

struct walk {
    uint32_t *nodes; /* owned */
    size_t count, capacity;
    uint64_t inodes;
};

static int compare_names(const void *a, const void *b, void *context) {
    const struct tarfs_tree *t = context;
    struct span x = tarfs_tree_text(t, *(const uint32_t *)a);
    struct span y = tarfs_tree_text(t, *(const uint32_t *)b);
    size_t n = x.size < y.size ? x.size : y.size;
    int order = n == 0 ? 0 : memcmp(x.data, y.data, n);
    return order != 0 ? order : (x.size > y.size) - (x.size < y.size);
}

static void sort_children(struct tarfs_tree *t, uint32_t node) {
    struct tarfs_node *n = &t->nodes[node];
    if (n->count < 2) {
        return;
    }
    uint32_t *names = mem_calloc(n->count, sizeof *names);
    uint32_t count = 0;
    for (uint32_t i = n->first; i != TARFS_NONE; i = t->names[i].next) {
        names[count++] = i;
    }
    CHECK(count == n->count);
    qsort_r(names, count, sizeof *names, compare_names, t);
    n->first = names[0];
    for (uint32_t i = 0; i < count; i++) {
        t->names[names[i]].next = i + 1 < count ? names[i + 1] : TARFS_NONE;
    }
    mem_free(names);
}

static RESULT add(struct walk *w, uint32_t node, uint64_t budget, struct err *err) {
    if (w->count == w->capacity) {
        size_t capacity = w->capacity + w->capacity / 8 + WALK_FIRST;
        ENSURE(capacity * sizeof *w->nodes <= budget, err, TOO_LARGE,
               "this layer has hard links to a file with files below it, and the index of that has "
               "no end within %llu bytes of memory; rebuild the image",
               (unsigned long long)budget);
        w->capacity = capacity;
        w->nodes = mem_realloc(w->nodes, capacity * sizeof *w->nodes);
    }
    w->nodes[w->count++] = node;
    return OK;
}

static RESULT walk(struct walk *w, struct tarfs_tree *t, uint64_t budget, struct err *err) {
    TRY(add(w, t->root, budget, err));
    for (size_t i = 0; i < w->count; i++) {
        struct tarfs_node *n = &t->nodes[w->nodes[i]];
        if (n->ino == 0) {
            CHECK(w->inodes < UINT32_MAX);
            n->ino = (uint32_t)++w->inodes;
            sort_children(t, w->nodes[i]);
        }
        for (uint32_t c = n->first; c != TARFS_NONE; c = t->names[c].next) {
            TRY(add(w, t->names[c].node, budget, err));
        }
    }
    return OK;
}

/* ---- the parts of the index ---- */

static bool is_folder(const struct tarfs_node *n) {
    return (n->mode & S_IFMT) == S_IFDIR;
}

static uint64_t place_folders(struct tarfs_tree *t, const struct walk *w, uint64_t at) {
    for (size_t i = 0; i < w->count; i++) {
        struct tarfs_node *n = &t->nodes[w->nodes[i]];
        if (is_folder(n)) {
            n->offset = at;
            n->size = (uint64_t)RECORD * n->count;
            at += n->size;
        }
    }
    return at;
}

static void put_inode(struct writer *out, const struct tarfs_node *n, uint64_t offset) {
    uint8_t record[RECORD] = {0};
    record[0] = (uint8_t)n->mode;
    record[1] = (uint8_t)(n->mode >> 8);
    record[2] = n->is_opaque ? FLAG_OPAQUE : 0;
    record[3] = (uint8_t)(n->mtime >> 32 & 0xf);
    store_u32le(record + 4, n->uid);
    store_u32le(record + 8, n->gid);
    store_u32le(record + 12, (uint32_t)n->mtime);
    store_u64le(record + 16, n->size);
    store_u64le(record + 24, offset);
    put(out, SPAN(record));
}

/* Returns where the names start: after the long links, whose texts get their offsets here. */
static uint64_t put_inodes(struct writer *out, const struct tarfs_tree *t, const struct walk *w,
                           uint64_t links_at) {
    uint32_t last = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct tarfs_node *n = &t->nodes[w->nodes[i]];
        if (n->ino <= last) {
            continue; /* a second name of it */
        }
        last = n->ino;
        bool is_apart = S_ISLNK(n->mode) && n->offset == 0;
        put_inode(out, n, is_apart ? links_at : n->offset);
        links_at += is_apart ? n->size : 0;
    }
    return links_at;
}

static uint8_t type_of(const struct tarfs_node *n) {
    return (uint8_t)((n->mode & S_IFMT) >> 12); /* DT_* of dirent.h */
}

static uint64_t put_folders(struct writer *out, const struct tarfs_tree *t, const struct walk *w,
                            uint64_t names_at) {
    for (size_t i = 0; i < w->count; i++) {
        const struct tarfs_node *n = &t->nodes[w->nodes[i]];
        for (uint32_t c = is_folder(n) ? n->first : TARFS_NONE; c != TARFS_NONE;
             c = t->names[c].next) {
            const struct tarfs_node *child = &t->nodes[t->names[c].node];
            uint8_t record[RECORD] = {0};
            store_u64le(record, child->ino);
            store_u64le(record + 8, names_at);
            store_u64le(record + 16, t->names[c].size);
            record[24] = type_of(child);
            put(out, SPAN(record));
            names_at += t->names[c].size;
        }
    }
    return names_at;
}

static uint64_t put_names(struct writer *out, const struct tarfs_tree *t, const struct walk *w) {
    uint64_t size = 0;
    for (size_t i = 0; i < w->count; i++) {
        const struct tarfs_node *n = &t->nodes[w->nodes[i]];
        for (uint32_t c = is_folder(n) ? n->first : TARFS_NONE; c != TARFS_NONE;
             c = t->names[c].next) {
            put(out, tarfs_tree_text(t, c));
            size += t->names[c].size;
        }
    }
    return size;
}

static void put_superblock(struct writer *out, uint64_t end, uint64_t tar_size, uint64_t inodes) {
    uint8_t record[SUPERBLOCK] = {0};
    uint64_t at = (end + ALIGN - 1) / ALIGN * ALIGN + ALIGN - SUPERBLOCK;
    put_zeros_until(out, at);
    store_u64le(record, tar_size);
    store_u64le(record + 8, inodes);
    put(out, SPAN(record));
}

RESULT tarfs_index_write(struct tarfs_tree *t, uint64_t tar_size, struct span links,
                         uint64_t budget, struct tarfs_index_sink sink, struct tarfs_index *out,
                         struct err *err) {
    struct walk w = {0};
    struct result r = walk(&w, t, budget, err);
    if (!is_ok(r)) {
        mem_free(w.nodes);
        return r;
    }
    struct writer writer = {.sink = sink, .at = tar_size};
    uint64_t links_at = place_folders(t, &w, tar_size + RECORD * w.inodes);
    uint64_t names_at = put_inodes(&writer, t, &w, links_at);
    uint64_t end = put_folders(&writer, t, &w, names_at);
    put(&writer, links);
    end += links.size + put_names(&writer, t, &w); /* twice, as tarindex does */
    put_superblock(&writer, end, tar_size, w.inodes);
    flush(&writer);
    *out = (struct tarfs_index){.size = writer.at, .inodes = w.inodes};
    mem_free(w.nodes);
    return OK;
}
