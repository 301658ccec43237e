/* Tarfs build: see tarfs_build.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/layer/tarfs_build.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define PERMISSIONS 0777 /* setuid, setgid and sticky bits are lost */
#define BOTH ((1U << LAYER_UPSTREAM) | (1U << LAYER_MSFT))
#define FOLDER "etc"

void tarfs_build_init(struct tarfs_build *b) {
    *b = (struct tarfs_build){.budget = LIMIT_LAYER_MEMORY};
    tarfs_tree_init(&b->trees[LAYER_UPSTREAM]);
}

void tarfs_build_deinit(struct tarfs_build *b) {
    for (size_t i = 0; i < LAYER_DIALECTS; i++) {
        tarfs_tree_deinit(&b->trees[i]);
    }
    for (size_t i = 0; i < b->warning_count; i++) {
        mem_free(b->warnings[i].text);
    }
    mem_free(b->warnings);
    buf_deinit(&b->links);
    buf_deinit(&b->passwd.content);
    buf_deinit(&b->group.content);
    *b = (struct tarfs_build){0};
}

uint64_t tarfs_build_memory(const struct tarfs_build *b) {
    uint64_t size = tarfs_tree_memory(&b->trees[LAYER_UPSTREAM]) + b->links.capacity;
    return size + (b->is_split ? tarfs_tree_memory(&b->trees[LAYER_MSFT]) : 0);
}

/* ---- warnings ---- */

/* Takes what was written into `text`. */
static void warn(struct tarfs_build *b, unsigned dialects, struct buf *text) {
    if (b->warning_count == LIMIT_LAYER_WARNINGS) {
        b->warnings_dropped++;
        return;
    }
    if (b->warnings == NULL) {
        b->warnings = mem_calloc(LIMIT_LAYER_WARNINGS, sizeof *b->warnings);
    }
    size_t size = text->size < LIMIT_LAYER_WARNING ? text->size : LIMIT_LAYER_WARNING;
    char *line = mem_strndup((const char *)text->data, size);
    for (size_t i = 0; i < size; i++) {
        line[i] = line[i] == '\0' ? ' ' : line[i];
    }
    err_clean(line);
    b->warnings[b->warning_count++] = (struct layer_warning){.text = line, .dialects = dialects};
}

static void warn_path(struct tarfs_build *b, unsigned dialects, const char *what,
                      struct span path) {
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, "Skipping %s: ", what);
    buf_append_span(&text, path);
    warn(b, dialects, &text);
}

static void warn_type(struct tarfs_build *b, const struct tar_entry *e) {
    static const struct {
        char type;
        const char *name;
    } names[] = {{'7', "Continuous"},  {'x', "XHeader"},     {'g', "XGlobalHeader"},
                 {'L', "GNULongName"}, {'K', "GNULongLink"}, {'S', "GNUSparse"}};
    AUTO(buf_deinit)
    struct buf text = {0};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        name = names[i].type == e->header->type ? names[i].name : name;
    }
    if (name != NULL) {
        buf_appendf(&text, "unhandled file due to its type (%s)", name);
    } else {
        buf_appendf(&text, "unhandled file due to its type (__Nonexhaustive(%u))",
                    (unsigned)(uint8_t)e->header->type);
    }
    warn_path(b, BOTH, buf_cstr(&text), e->path);
}

static void warn_long_link(struct tarfs_build *b, const struct tar_entry *e) {
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_append_str(&text, "Skipping symlink with long link name (");
    buf_append_span(&text, e->link);
    buf_appendf(&text, ", %zu bytes, ", e->link.size);
    buf_append_span(&text, e->header_link);
    buf_appendf(&text, ", %zu bytes): ", e->header_link.size);
    buf_append_span(&text, e->path);
    warn(b, 1U << LAYER_UPSTREAM, &text);
}

/* ---- trees ---- */

static uint64_t budget_of(const struct tarfs_build *b, size_t dialect) {
    uint64_t others = tarfs_build_memory(b) - tarfs_tree_memory(&b->trees[dialect]);
    return b->budget > others ? b->budget - others : 0;
}

static RESULT split(struct tarfs_build *b, struct err *err) {
    uint64_t size = tarfs_tree_memory(&b->trees[LAYER_UPSTREAM]);
    ENSURE(tarfs_build_memory(b) + size <= b->budget, err, TOO_LARGE,
           "this layer has links with long targets and too many files to hold the index of both "
           "dialects in %" PRIu64 " bytes of memory; split the layer into smaller ones",
           b->budget);
    tarfs_tree_copy(&b->trees[LAYER_MSFT], &b->trees[LAYER_UPSTREAM]);
    b->is_split = true;
    return OK;
}

static void warn_verdict(struct tarfs_build *b, enum tarfs_verdict v, unsigned dialects,
                         const struct tar_entry *e) {
    switch (v) {
    case TARFS_DONE:
        return;
    case TARFS_BAD_PATH:
        warn_path(b, dialects, "malformed name", e->path);
        return;
    case TARFS_BAD_TARGET:
        warn_path(b, dialects, "malformed linkname name", e->link);
        return;
    case TARFS_NOT_FILE:
        warn_path(b, dialects, "link to non-file", e->link);
        return;
    }
}

/* Puts the entry (node given) or the hard link (NULL) into the trees of `dialects`. */
static RESULT apply(struct tarfs_build *b, unsigned dialects, const struct tar_entry *e,
                    const struct tarfs_node *node, struct err *err) {
    enum tarfs_verdict verdicts[LAYER_DIALECTS] = {TARFS_DONE, TARFS_DONE};
    for (size_t i = 0; i < LAYER_DIALECTS; i++) {
        bool is_meant = (dialects & 1U << i) != 0 && (i == LAYER_UPSTREAM || b->is_split);
        struct tarfs_tree *t = &b->trees[i];
        if (is_meant && node != NULL) {
            TRY(tarfs_tree_put(t, e->path, node, budget_of(b, i), &verdicts[i], err));
        } else if (is_meant) {
            TRY(tarfs_tree_link(t, e->path, e->link, budget_of(b, i), &verdicts[i], err));
        }
    }
    if (!b->is_split || verdicts[0] == verdicts[1]) {
        warn_verdict(b, verdicts[0], dialects, e);
        return OK;
    }
    for (size_t i = 0; i < LAYER_DIALECTS; i++) {
        warn_verdict(b, verdicts[i], 1U << i, e);
    }
    return OK;
}

/* ---- entries ---- */

static uint64_t or_zero(struct tar_number n) {
    return n.is_valid ? n.value : 0;
}

static struct tarfs_node node_of(const struct tar_entry *e, mode_t type) {
    const struct tar_header *h = e->header;
    return (struct tarfs_node){
        .mode = (uint16_t)((h->mode.value & PERMISSIONS) | type),
        .mtime = or_zero(h->mtime),
        .uid = (uint32_t)or_zero(h->uid), /* tarindex cuts them, too */
        .gid = (uint32_t)or_zero(h->gid),
    };
}

static RESULT put_device(struct tarfs_build *b, const struct tar_entry *e, struct err *err) {
    bool is_char = e->header->type == '3';
    const struct tar_number major = e->header->major, minor = e->header->minor;
    if (!major.is_valid || !minor.is_valid) {
        AUTO(buf_deinit)
        struct buf text = {0};
        buf_appendf(&text, "%s device without a %s device number", is_char ? "chr" : "blk",
                    major.is_valid ? "minor" : "major");
        warn_path(b, BOTH, buf_cstr(&text), e->path);
        return OK;
    }
    struct tarfs_node n = node_of(e, is_char ? S_IFCHR : S_IFBLK);
    n.offset = (uint32_t)minor.value | (uint64_t)(uint32_t)major.value << 32;
    return apply(b, BOTH, e, &n, err);
}

static RESULT put_symlink(struct tarfs_build *b, const struct tar_entry *e, struct err *err) {
    struct tarfs_node n = node_of(e, S_IFLNK);
    if (!e->has_link) {
        warn_path(b, BOTH, "symlink without a link name", e->path);
        return OK;
    }
    n.size = e->link.size;
    if (span_equal(e->link, e->header_link)) {
        n.offset = e->header_at + TAR_LINK_AT;
        return apply(b, BOTH, e, &n, err);
    }
    if (!b->is_split) {
        TRY(split(b, err));
    }
    warn_long_link(b, e);
    ENSURE(tarfs_build_memory(b) + e->link.size <= b->budget, err, TOO_LARGE,
           "the long links of this layer take more than %" PRIu64 " bytes of memory", b->budget);
    buf_append_span(&b->links, e->link);
    b->link_count++;
    return apply(b, 1U << LAYER_MSFT, e, &n, err);
}

static RESULT put_link(struct tarfs_build *b, const struct tar_entry *e, struct err *err) {
    if (!e->has_link) {
        warn_path(b, BOTH, "hardlink without a link name", e->path);
        return OK;
    }
    return apply(b, BOTH, e, NULL, err);
}

static bool start_reading(struct tarfs_build *b, const struct tar_entry *e,
                          struct tarfs_user_file *f) {
    f->is_seen = true;
    f->is_whole = e->size <= LIMIT_LAYER_FILE;
    f->data_at = e->data_at;
    buf_clear(&f->content);
    b->reading = f;
    return f->is_whole;
}

static RESULT put_file(struct tarfs_build *b, const struct tar_entry *e, bool *wants_data,
                       struct err *err) {
    struct tarfs_node n = node_of(e, S_IFREG);
    struct tarfs_tree *t = &b->trees[LAYER_UPSTREAM];
    n.size = e->size;
    n.offset = e->data_at;
    if (tarfs_tree_means(t, e->path, FOLDER, "passwd")) {
        *wants_data = start_reading(b, e, &b->passwd);
    } else if (tarfs_tree_means(t, e->path, FOLDER, "group")) {
        *wants_data = start_reading(b, e, &b->group);
    }
    return apply(b, BOTH, e, &n, err);
}

static RESULT on_entry(void *context, const struct tar_entry *e, bool *wants_data,
                       struct err *err) {
    struct tarfs_build *b = context;
    struct tarfs_node n;
    if (!e->header->mode.is_valid) {
        return OK; /* passed over without a word, whatever it is */
    }
    switch (e->header->type) {
    case '0':
        return put_file(b, e, wants_data, err);
    case '1':
        return put_link(b, e, err);
    case '2':
        return put_symlink(b, e, err);
    case '3':
    case '4':
        return put_device(b, e, err);
    case '5':
    case '6':
        n = node_of(e, e->header->type == '5' ? S_IFDIR : S_IFIFO);
        return apply(b, BOTH, e, &n, err);
    default:
        warn_type(b, e);
        return OK;
    }
}

static void on_data(void *context, struct span bytes) {
    struct tarfs_build *b = context;
    buf_append_span(&b->reading->content, bytes);
}

struct tar_scan_handler tarfs_build_handler(struct tarfs_build *b) {
    return (struct tar_scan_handler){.on_entry = on_entry, .on_data = on_data, .context = b};
}

/* ---- user files ---- */

static enum layer_file_state state_of_file(const struct tarfs_node *n,
                                           const struct tarfs_user_file *f) {
    if (S_ISCHR(n->mode) && n->offset == 0) {
        return LAYER_FILE_REMOVED;
    }
    bool is_read = f->is_seen && f->is_whole && n->offset == f->data_at;
    return S_ISREG(n->mode) && is_read ? LAYER_FILE_PRESENT : LAYER_FILE_OTHER;
}

/* What the tree says of etc/`name`: the folder first, for it can hide everything below. */
static enum layer_file_state state_of(const struct tarfs_tree *t, const char *name,
                                      const struct tarfs_user_file *f) {
    bool is_opaque = t->nodes[t->root].is_opaque;
    uint32_t folder = tarfs_tree_child(t, t->root, span_str(FOLDER));
    if (folder == TARFS_NONE) {
        return is_opaque ? LAYER_FILE_REMOVED : LAYER_FILE_ABSENT;
    }
    const struct tarfs_node *n = &t->nodes[folder];
    if (n->mode != 0 && !S_ISDIR(n->mode)) {
        return S_ISCHR(n->mode) && n->offset == 0 ? LAYER_FILE_REMOVED : LAYER_FILE_OTHER;
    }
    uint32_t file = tarfs_tree_child(t, folder, span_str(name));
    if (file != TARFS_NONE && t->nodes[file].mode != 0) {
        return state_of_file(&t->nodes[file], f);
    }
    return is_opaque || n->is_opaque ? LAYER_FILE_REMOVED : LAYER_FILE_ABSENT;
}

static void move(const struct tarfs_tree *t, const char *name, struct tarfs_user_file *f,
                 struct layer_file *out) {
    *out = (struct layer_file){.state = state_of(t, name, f)};
    if (out->state == LAYER_FILE_PRESENT) {
        out->content = f->content;
        f->content = (struct buf){0};
    }
}

void tarfs_build_users(struct tarfs_build *b, struct layer_file *passwd, struct layer_file *group) {
    const struct tarfs_tree *t = &b->trees[b->is_split ? LAYER_MSFT : LAYER_UPSTREAM];
    move(t, "passwd", &b->passwd, passwd);
    move(t, "group", &b->group, group);
}
