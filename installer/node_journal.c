/* Journal: JSON through lib/manifest's reader, which tells every problem with its path.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_journal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "installer/handler_name.h"
#include "lib/base/limits.h"
#include "lib/manifest/reader.h"

static const char *const PHASES[] = {"idle", "staging", "swapping", "restarting", "rolling-back"};
#define PHASE_COUNT (sizeof PHASES / sizeof PHASES[0])

const char *node_phase_name(enum node_phase phase) {
    return PHASES[phase];
}

void node_journal_deinit(struct node_journal *j) {
    arena_deinit(&j->arena);
    *j = (struct node_journal){0};
}

/* --- Reading */

struct parse {
    struct node_journal journal;
    struct node_edit *edit;
    struct node_runtime *runtime;
    struct node_installed_file *file;
};

static uint64_t number(struct reader *r, const json_t *value) {
    return reader_number(r, value, INT64_MAX);
}

static void read_version(struct reader *r, const json_t *value, void *target) {
    (void)target;
    if (number(r, value) != NODE_JOURNAL_VERSION) {
        reader_complainf(r, "another installer wrote it, this one knows %d: use a newer image",
                         NODE_JOURNAL_VERSION);
    }
}

static void read_operation(struct reader *r, const json_t *value, void *target) {
    const char *text = reader_copy(r, value);
    ((struct parse *)target)->journal.is_uninstall = strcmp(text, "uninstall") == 0;
    if (strcmp(text, "uninstall") != 0 && strcmp(text, "install") != 0) {
        reader_complain(r, "must be install or uninstall");
    }
}

static void read_phase(struct reader *r, const json_t *value, void *target) {
    const char *text = reader_copy(r, value);
    for (size_t i = 0; i < PHASE_COUNT; i++) {
        if (strcmp(text, PHASES[i]) == 0) {
            ((struct parse *)target)->journal.phase = (enum node_phase)i;
            return;
        }
    }
    reader_complain(r, "unknown");
}

static void read_handler(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->journal.handler = reader_copy(r, value);
}

static void read_restart(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->journal.restart_ms = (int64_t)number(r, value);
}

/* A path that is used below the mount again. */
static const char *read_host_path(struct reader *r, const json_t *value) {
    const char *path = reader_copy(r, value);
    if (path[0] != '/' || strlen(path) >= PATH_MAX) {
        reader_complain(r, "must be an absolute path");
    }
    return path;
}

static void read_edit_path(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->edit->path = read_host_path(r, value);
}

static void read_edit_before(struct reader *r, const json_t *value, void *target) {
    struct node_edit *edit = ((struct parse *)target)->edit;
    edit->existed = !json_is_null(value);
    if (edit->existed) {
        reader_hex(r, value, edit->before, sizeof edit->before);
    }
}

static void read_edit_after(struct reader *r, const json_t *value, void *target) {
    struct node_edit *edit = ((struct parse *)target)->edit;
    edit->exists = !json_is_null(value);
    if (edit->exists) {
        reader_hex(r, value, edit->after, sizeof edit->after);
    }
}

static void read_edit_mode(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->edit->mode = (mode_t)reader_number(r, value, 07777);
}

static void read_edit_uid(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->edit->uid = (uid_t)reader_number(r, value, UINT32_MAX);
}

static void read_edit_gid(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->edit->gid = (gid_t)reader_number(r, value, UINT32_MAX);
}

static const struct reader_field EDIT_FIELDS[] = {
    {"path", true, read_edit_path},   {"before", true, read_edit_before},
    {"after", true, read_edit_after}, {"mode", true, read_edit_mode},
    {"uid", true, read_edit_uid},     {"gid", true, read_edit_gid},
};

static void read_edits(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    size_t count = reader_list(r, value, LIMIT_NODE_EDITS);
    p->journal.edits = arena_alloc(r->arena, (count + 1) * sizeof *p->journal.edits);
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        p->edit = &p->journal.edits[i];
        READER_OBJECT(r, json_array_get(value, i), EDIT_FIELDS, p);
        reader_leave(r, old);
    }
    p->journal.edit_count = count;
}

static void read_file_path(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->file->path = read_host_path(r, value);
}

static void read_file_digest(struct reader *r, const json_t *value, void *target) {
    const char *text = reader_string(r, value);
    struct err err;
    if (text != NULL && !is_ok(sri_parse(text, &((struct parse *)target)->file->digest, &err))) {
        reader_complain(r, err.text);
    }
}

static void read_file_size(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->file->size = number(r, value);
}

static void read_file_mtime(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->file->mtime_ns = number(r, value);
}

static void read_file_inode(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->file->inode = number(r, value);
}

static const struct reader_field FILE_FIELDS[] = {
    {"path", true, read_file_path},   {"integrity", true, read_file_digest},
    {"size", true, read_file_size},   {"mtime_ns", true, read_file_mtime},
    {"inode", true, read_file_inode},
};

static void read_runtime_handler(struct reader *r, const json_t *value, void *target) {
    const char *handler = reader_copy(r, value);
    if (strncmp(handler, "contrast-cc-", 12) != 0 || strchr(handler, '/') != NULL) {
        reader_complain(r, "must be contrast-cc-...");
    }
    ((struct parse *)target)->runtime->handler = handler;
}

static void read_runtime_time(struct reader *r, const json_t *value, void *target) {
    ((struct parse *)target)->runtime->installed_unix = (int64_t)number(r, value);
}

static void read_runtime_files(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    size_t count = reader_list(r, value, LIMIT_NODE_FILES);
    p->runtime->files = arena_alloc(r->arena, (count + 1) * sizeof *p->runtime->files);
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        p->file = &p->runtime->files[i];
        READER_OBJECT(r, json_array_get(value, i), FILE_FIELDS, p);
        reader_leave(r, old);
    }
    p->runtime->file_count = count;
}

static const struct reader_field RUNTIME_FIELDS[] = {
    {"handler", true, read_runtime_handler},
    {"installed", true, read_runtime_time},
    {"files", true, read_runtime_files},
};

static void read_runtimes(struct reader *r, const json_t *value, void *target) {
    struct parse *p = target;
    size_t count = reader_list(r, value, LIMIT_NODE_RUNTIMES);
    p->journal.runtimes = arena_alloc(r->arena, (count + 1) * sizeof *p->journal.runtimes);
    for (size_t i = 0; i < count; i++) {
        size_t old = reader_enter_index(r, i);
        p->runtime = &p->journal.runtimes[i];
        READER_OBJECT(r, json_array_get(value, i), RUNTIME_FIELDS, p);
        reader_leave(r, old);
    }
    p->journal.runtime_count = count;
}

static const struct reader_field FIELDS[] = {
    {"version", true, read_version},    {"operation", true, read_operation},
    {"handler", true, read_handler},    {"phase", true, read_phase},
    {"restart_ms", true, read_restart}, {"edits", true, read_edits},
    {"runtimes", true, read_runtimes},
};

static RESULT damaged(const char *why, struct err *err) {
    return err_set(err, ERR_CONFIG,
                   "HOST" NODE_JOURNAL_PATH ": %s; when it is damaged, move it away: runtimes that "
                   "are installed then stay until they are removed by hand",
                   why);
}

RESULT node_journal_parse(struct span json, struct node_journal *out, struct err *err) {
    json_error_t error;
    json_t *root = json_loadb((const char *)json.data, json.size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return damaged(error.text, err);
    }
    struct parse p = {0};
    struct reader r = {.arena = &p.journal.arena};
    READER_OBJECT(&r, root, FIELDS, &p);
    json_decref(root);
    AUTO(buf_deinit)
    struct buf problems = r.problems;
    if (problems.size > 0) {
        node_journal_deinit(&p.journal);
        return damaged(buf_cstr(&problems), err);
    }
    *out = p.journal;
    return OK;
}

/* --- Writing */

static json_t *hex_or_null(bool exists, const uint8_t digest[32]) {
    char hex[65];
    hex_encode(span_of(digest, 32), hex);
    return exists ? json_string(hex) : json_null();
}

static json_t *encode_edits(const struct node_journal *j) {
    json_t *list = json_array();
    for (size_t i = 0; i < j->edit_count; i++) {
        const struct node_edit *e = &j->edits[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:I, s:I, s:I}", "path", e->path,
                                              "before", hex_or_null(e->existed, e->before), "after",
                                              hex_or_null(e->exists, e->after), "mode",
                                              (json_int_t)e->mode, "uid", (json_int_t)e->uid, "gid",
                                              (json_int_t)e->gid));
    }
    return list;
}

static json_t *encode_files(const struct node_runtime *runtime) {
    json_t *list = json_array();
    for (size_t i = 0; i < runtime->file_count; i++) {
        const struct node_installed_file *f = &runtime->files[i];
        AUTO(buf_deinit)
        struct buf digest = {0};
        sri_encode(&f->digest, &digest);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:I, s:I}", "path", f->path, "integrity",
                                        buf_cstr(&digest), "size", (json_int_t)f->size, "mtime_ns",
                                        (json_int_t)f->mtime_ns, "inode", (json_int_t)f->inode));
    }
    return list;
}

void node_journal_encode(const struct node_journal *j, struct buf *out) {
    json_t *runtimes = json_array();
    for (size_t i = 0; i < j->runtime_count; i++) {
        json_array_append_new(runtimes,
                              json_pack("{s:s, s:I, s:o}", "handler", j->runtimes[i].handler,
                                        "installed", (json_int_t)j->runtimes[i].installed_unix,
                                        "files", encode_files(&j->runtimes[i])));
    }
    json_t *root = json_pack("{s:i, s:s, s:s, s:s, s:I, s:o, s:o}", "version", NODE_JOURNAL_VERSION,
                             "operation", j->is_uninstall ? "uninstall" : "install", "handler",
                             j->handler != NULL ? j->handler : "", "phase",
                             node_phase_name(j->phase), "restart_ms", (json_int_t)j->restart_ms,
                             "edits", encode_edits(j), "runtimes", runtimes);
    char *text = json_dumps(root, JSON_INDENT(1));
    CHECK(text != NULL);
    buf_append_str(out, text);
    buf_append_str(out, "\n");
    free(text);
    json_decref(root);
}

RESULT node_journal_load(const struct node_root *root, struct node_journal *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct node_stat stat;
    TRY(node_root_read(root, NODE_JOURNAL_PATH, LIMIT_NODE_JOURNAL, &text, &stat, err));
    if (!stat.exists) {
        *out = (struct node_journal){0};
        return OK;
    }
    return node_journal_parse(buf_span(&text), out, err);
}

RESULT node_journal_save(const struct node_root *root, const struct node_journal *j,
                         struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    node_journal_encode(j, &text);
    ENSURE(j->runtime_count <= LIMIT_NODE_RUNTIMES && text.size <= LIMIT_NODE_JOURNAL, err, CONFIG,
           "%zu runtimes are installed on this host: uninstall old ones first", j->runtime_count);
    return node_root_write(root, NODE_JOURNAL_PATH, buf_span(&text), 0600, (uid_t)-1, (gid_t)-1,
                           err);
}

/* --- Runtimes */

struct node_runtime *node_journal_runtime(const struct node_journal *j, const char *handler) {
    for (size_t i = 0; i < j->runtime_count; i++) {
        if (strcmp(j->runtimes[i].handler, handler) == 0) {
            return &j->runtimes[i];
        }
    }
    return NULL;
}

static void copy_runtime(struct arena *arena, const struct node_runtime *from,
                         struct node_runtime *to) {
    *to = *from;
    to->handler = arena_strndup(arena, from->handler, strlen(from->handler));
    to->files = arena_alloc(arena, (from->file_count + 1) * sizeof *to->files);
    for (size_t i = 0; i < from->file_count; i++) {
        to->files[i] = from->files[i];
        to->files[i].path = arena_strndup(arena, from->files[i].path, strlen(from->files[i].path));
    }
}

/* Its place behind which no other version of its platform stands. */
static struct node_runtime *move_behind(struct node_journal *j, struct node_runtime *old) {
    size_t at = (size_t)(old - j->runtimes);
    size_t last = at;
    for (size_t i = at + 1; i < j->runtime_count; i++) {
        last = handler_name_is_related(j->runtimes[i].handler, old->handler) ? i : last;
    }
    struct node_runtime moved = *old;
    memmove(old, old + 1, (last - at) * sizeof *old);
    j->runtimes[last] = moved;
    return &j->runtimes[last];
}

void node_journal_put(struct node_journal *j, const struct node_runtime *runtime) {
    struct node_runtime *old = node_journal_runtime(j, runtime->handler);
    if (old == NULL) {
        struct node_runtime *list =
            arena_alloc(&j->arena, (j->runtime_count + 1) * sizeof *j->runtimes);
        if (j->runtime_count > 0) {
            memcpy(list, j->runtimes, j->runtime_count * sizeof *list);
        }
        j->runtimes = list;
        old = &list[j->runtime_count++];
    } else {
        old = move_behind(j, old);
    }
    copy_runtime(&j->arena, runtime, old);
}

void node_journal_drop(struct node_journal *j, const char *handler) {
    struct node_runtime *old = node_journal_runtime(j, handler);
    if (old != NULL) {
        size_t index = (size_t)(old - j->runtimes);
        memmove(old, old + 1, (j->runtime_count - index - 1) * sizeof *old);
        j->runtime_count--;
    }
}
