/* containerd's configuration: which file gets which bytes; see the header.
 *
 * Plain nodes and those of k3s and RKE2 part ways early. Everything is planned into a change of our
 * own, which is handed out only when all of it succeeded.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_config.h"

#include <stdio.h>
#include <string.h>

#include "installer/containerd/containerd_file.h"
#include "installer/containerd/containerd_tables.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define TEMPLATE_BASE "{{ template \"base\" . }}\n" /* k3s docs, "Configuring containerd" */
#define SCHEMA_MAX 4

struct plan {
    const struct containerd_facts *facts;
    const char *handler;
    const struct containerd_runtime *runtime; /* NULL: removal */
    struct containerd_change change;
    struct err *err;
};

void containerd_change_deinit(struct containerd_change *change) {
    for (size_t i = 0; i < change->count; i++) {
        mem_free(change->edits[i].path);
        buf_deinit(&change->edits[i].text);
    }
    *change = (struct containerd_change){0};
}

/* --- Places */

char *containerd_config_path(enum containerd_flavor flavor, const char *main_path,
                             enum containerd_place place, const char *handler) {
    const char *slash = strrchr(main_path, '/');
    int folder = slash != NULL ? (int)(slash - main_path) : 0;
    AUTO(buf_deinit)
    struct buf path = {0};
    buf_appendf(&path, "%.*s/", folder, main_path);
    switch (place) {
    case CONTAINERD_MAIN:
        return mem_strdup(main_path);
    case CONTAINERD_TEMPLATE:
    case CONTAINERD_TEMPLATE_V3:
        if (flavor == CONTAINERD_PLAIN) {
            return NULL;
        }
        buf_append_str(&path,
                       place == CONTAINERD_TEMPLATE ? "config.toml.tmpl" : "config-v3.toml.tmpl");
        break;
    case CONTAINERD_DROP_IN:
        buf_appendf(&path, "%s/%s.toml", flavor == CONTAINERD_PLAIN ? "conf.d" : "config-v3.toml.d",
                    handler);
        break;
    case CONTAINERD_PLACES:
        return NULL;
    }
    return mem_strdup(buf_cstr(&path));
}

static char *path_of(const struct plan *p, enum containerd_place place) {
    return containerd_config_path(p->facts->flavor, p->facts->path, place, p->handler);
}

static void free_path(char **path) {
    mem_free(*path);
}

static const struct containerd_file *file_of(const struct plan *p, enum containerd_place place) {
    return &p->facts->files[place];
}

/* The file shall hold `text`; no edit when it does. */
static void put(struct plan *p, enum containerd_place place, struct span text) {
    const struct containerd_file *file = file_of(p, place);
    if (file->exists && span_equal(file->text, text)) {
        return;
    }
    struct containerd_edit *edit = &p->change.edits[p->change.count++];
    edit->place = place;
    edit->path = path_of(p, place);
    buf_append_span(&edit->text, text);
}

static void remove_file(struct plan *p, enum containerd_place place) {
    struct containerd_edit *edit = &p->change.edits[p->change.count++];
    edit->place = place;
    edit->path = path_of(p, place);
    edit->is_deletion = true;
}

/* --- Versions */

static bool read_number(const char **p, unsigned *out) {
    unsigned value = 0;
    const char *start = *p;
    while (**p >= '0' && **p <= '9' && value < 100000) {
        value = value * 10 + (unsigned)(**p - '0');
        (*p)++;
    }
    *out = value;
    return *p > start;
}

static bool read_version(const char *word, struct containerd_version *out) {
    struct containerd_version v = {0};
    const char *p = *word == 'v' ? word + 1 : word;
    if (!read_number(&p, &v.major) || *p++ != '.' || !read_number(&p, &v.minor)) {
        return false;
    }
    if (*p == '.') {
        p++;
        (void)read_number(&p, &v.patch);
    }
    *out = v;
    return true;
}

RESULT containerd_version_parse(const char *text, struct containerd_version *out, struct err *err) {
    for (const char *p = text; *p != '\0'; p++) {
        bool starts_word = p == text || p[-1] == ' ' || p[-1] == '\t' || p[-1] == '\n';
        if (starts_word && read_version(p, out)) {
            return OK;
        }
    }
    return err_set(err, ERR_INVALID, "no version of containerd in \"%.100s\"", text);
}

static RESULT schema_of(const struct containerd_editor *e, int *out, struct err *err) {
    const struct toml_entry *entry = toml_entry_of(e->toml.root, "version");
    if (entry == NULL) {
        *out = 1;
        return OK;
    }
    const struct toml_node *version = entry->value;
    if (!toml_is(version, TOML_KIND_INTEGER) || version->integer < 1 ||
        version->integer > SCHEMA_MAX) {
        return containerd_file_refuse(e, entry->key_range.start, err,
                                      "this version of containerd's configuration is not known; "
                                      "1 to %d are",
                                      SCHEMA_MAX);
    }
    *out = (int)version->integer;
    return OK;
}

RESULT containerd_config_schema(const char *name, struct span text, int *out, struct err *err) {
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, name, text, false, true, err));
    return schema_of(&e, out, err);
}

static bool is_older(struct containerd_version v, unsigned major, unsigned minor) {
    return v.major < major || (v.major == major && v.minor < minor);
}

static RESULT check_daemon(struct plan *p) {
    struct containerd_version v = p->facts->daemon;
    ENSURE(!is_older(v, 1, 6) && v.major <= 2, p->err, CONFIG,
           "containerd %u.%u.%u is not supported; 1.6 to 2.x are", v.major, v.minor, v.patch);
    if (p->runtime->snapshotter == NULL || !is_older(v, 1, 7)) {
        return OK;
    }
    ENSURE(p->facts->accept_old_daemon, p->err, CONFIG,
           "containerd %u.%u.%u ignores the snapshotter of a runtime, and pods of %.64s would not "
           "start; update containerd to 1.7 or newer",
           v.major, v.minor, v.patch, p->handler);
    snprintf(p->change.warning, sizeof p->change.warning,
             "containerd %u.%u.%u ignores the snapshotter of a runtime (1.7 heeds it): pods of "
             "%.64s get the node's own",
             v.major, v.minor, v.patch, p->handler);
    return OK;
}

static RESULT check_schema(const struct plan *p, const struct containerd_editor *e, int schema) {
    struct containerd_version v = p->facts->daemon;
    if (v.major < 2 && schema > 2) {
        return containerd_file_refuse(e, toml_entry_of(e->toml.root, "version")->key_range.start,
                                      p->err,
                                      "containerd %u.%u.%u runs here and ignores the tables of "
                                      "version %d; make it version = 2",
                                      v.major, v.minor, v.patch, schema);
    }
    return OK;
}

/* --- What stands in the way */

static bool is_cri(const char *plugin) {
    static const char *const names[] = {"cri", "io.containerd.grpc.v1.cri",
                                        "io.containerd.cri.v1.runtime",
                                        "io.containerd.cri.v1.images"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (plugin != NULL && strcmp(plugin, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static RESULT check_cri_enabled(const struct plan *p, const struct containerd_editor *e) {
    const struct toml_node *disabled = toml_key(e->toml.root, "disabled_plugins");
    if (!toml_is(disabled, TOML_KIND_ARRAY)) {
        return OK;
    }
    for (const struct toml_entry *item = disabled->first; item != NULL; item = item->next) {
        if (is_cri(toml_string(item->value))) {
            return containerd_file_refuse(e, item->value->range.start, p->err,
                                          "disabled_plugins turns the CRI off (%.60s): this "
                                          "containerd serves no Kubernetes; take it out",
                                          toml_string(item->value));
        }
    }
    return OK;
}

/* INVALID of a table that is there and not in a block of this handler. */
static RESULT check_foreign_entry(const struct plan *p, const struct containerd_editor *e,
                                  const struct toml_entry *entry) {
    if (entry == NULL) {
        return OK;
    }
    const struct containerd_mark *mark = containerd_mark_at(&e->marks, entry->key_range.start);
    if (mark != NULL && mark->kind == CONTAINERD_MARK_BLOCK &&
        containerd_mark_has(mark, p->handler)) {
        return OK;
    }
    return err_set(p->err, ERR_EXISTS,
                   "%.300s:%zu: %.100s is configured here already, and not by this installer; "
                   "remove that first",
                   e->name, toml_line(&e->toml, entry->key_range.start), entry->key);
}

static RESULT check_foreign(const struct plan *p, const struct containerd_editor *e) {
    for (int schema = 1; schema <= 3; schema++) {
        const char *const path[] = {"plugins", containerd_tables_runtimes(schema), "containerd",
                                    "runtimes", NULL};
        const struct toml_entry *table = NULL;
        TRY(containerd_file_table(e, path, &table, p->err));
        if (table != NULL) {
            TRY(check_foreign_entry(p, e, toml_entry_of(table->value, p->handler)));
        }
    }
    const char *snapshotter = p->runtime->snapshotter;
    const char *const proxies[] = {"proxy_plugins", NULL};
    const struct toml_entry *table = NULL;
    TRY(containerd_file_table(e, proxies, &table, p->err));
    if (table != NULL && snapshotter != NULL && p->runtime->snapshotter_address != NULL) {
        TRY(check_foreign_entry(p, e, toml_entry_of(table->value, snapshotter)));
    }
    return OK;
}

/* --- Files that we make */

static void make_created(struct span text, struct buf *out) {
    char digest[CONTAINERD_DIGEST_SIZE];
    containerd_mark_digest(text, digest);
    buf_appendf(out, CONTAINERD_MARK "created this file %s\n", digest);
    buf_append_span(out, text);
}

/* Only the line that says who made it is left of ours: the file goes when nothing else changed. */
static RESULT drop_created(struct plan *p, enum containerd_place place, bool is_template,
                           struct span text) {
    AUTO(free_path)
    char *path = path_of(p, place);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, path, text, is_template, p->facts->discard_edits, p->err));
    if (e.marks.count != 1 || e.marks.items[0].kind != CONTAINERD_MARK_CREATED) {
        put(p, place, text);
        return OK;
    }
    size_t end = toml_lines(text, e.marks.items[0].range).end;
    struct span rest = span_of(text.data + end, text.size - end);
    char digest[CONTAINERD_DIGEST_SIZE];
    containerd_mark_digest(rest, digest);
    if (strcmp(digest, e.marks.items[0].digest) == 0) {
        remove_file(p, place);
    } else {
        put(p, place, rest);
    }
    return OK;
}

/* Takes the handler out of a file that may hold it. */
static RESULT strip(struct plan *p, enum containerd_place place, bool is_template) {
    const struct containerd_file *file = file_of(p, place);
    if (!file->exists) {
        return OK;
    }
    AUTO(free_path)
    char *path = path_of(p, place);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, path, file->text, is_template, p->facts->discard_edits, p->err));
    TRY(containerd_file_strip(&e, p->handler, false, p->err));
    if (e.edits.count == 0) {
        return OK;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(containerd_file_finish(&e, &text, p->err));
    return drop_created(p, place, is_template, buf_span(&text));
}

/* --- Drop-ins: files of ours alone */

static bool is_ours_alone(const struct plan *p, const struct containerd_editor *e) {
    if (e->marks.count != 1 || !containerd_mark_has(&e->marks.items[0], p->handler)) {
        return false;
    }
    const struct containerd_mark *mark = &e->marks.items[0];
    size_t end = toml_lines(e->toml.text, mark->range).end;
    return mark->kind == CONTAINERD_MARK_BLOCK && mark->range.start == 0 &&
           end == e->toml.text.size && !mark->is_edited;
}

/* A file of that name that we did not write, or not like this, is not ours to touch. */
static RESULT check_drop_in(const struct plan *p) {
    const struct containerd_file *file = file_of(p, CONTAINERD_DROP_IN);
    if (!file->exists) {
        return OK;
    }
    AUTO(free_path)
    char *path = path_of(p, CONTAINERD_DROP_IN);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, path, file->text, true, true, p->err));
    bool is_ours = false;
    for (size_t i = 0; i < e.marks.count; i++) {
        is_ours = is_ours || containerd_mark_has(&e.marks.items[i], p->handler);
    }
    ENSURE(is_ours, p->err, EXISTS,
           "%.300s exists, and not from this installer; move it out of the way", path);
    ENSURE(p->facts->discard_edits || is_ours_alone(p, &e), p->err, CHANGED,
           "%.300s is ours and was changed by hand; move your changes into a file of their own, or "
           "let the installer discard them",
           path);
    return OK;
}

static RESULT put_drop_in(struct plan *p, int schema) {
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(check_drop_in(p));
    containerd_tables_encode(schema, p->runtime, true, &body);
    containerd_mark_block(p->handler, buf_cstr(&body), &text);
    buf_append_str(&text, "\n");
    put(p, CONTAINERD_DROP_IN, buf_span(&text));
    return OK;
}

static RESULT delete_drop_in(struct plan *p) {
    TRY(check_drop_in(p));
    if (file_of(p, CONTAINERD_DROP_IN)->exists) {
        remove_file(p, CONTAINERD_DROP_IN);
    }
    return OK;
}

/* --- config.toml of containerd 1.x */

/* Only tables of ours stand among the runtimes. */
static bool names_no_runtime(const struct containerd_editor *e, const struct toml_entry *runtimes) {
    const struct toml_entry *item = runtimes != NULL ? runtimes->value->first : NULL;
    for (; item != NULL; item = item->next) {
        const struct containerd_mark *mark = containerd_mark_at(&e->marks, item->key_range.start);
        if (mark == NULL || mark->kind == CONTAINERD_MARK_SHARED) {
            return false;
        }
    }
    return true;
}

/* A file that names no runtime has runc by default, until it names one of ours. */
static RESULT keep_runc(struct plan *p, struct containerd_editor *e, int schema) {
    const char *const path[] = {"plugins", containerd_tables_runtimes(schema), "containerd",
                                "runtimes", NULL};
    const struct toml_entry *runtimes = NULL;
    TRY(containerd_file_table(e, path, &runtimes, p->err));
    const struct toml_entry *runc =
        runtimes != NULL ? toml_entry_of(runtimes->value, "runc") : NULL;
    if (runc != NULL) {
        (void)containerd_file_join(e, runc->key_range.start, p->handler);
    } else if (names_no_runtime(e, runtimes)) {
        AUTO(buf_deinit)
        struct buf body = {0};
        containerd_tables_runc(schema, &body);
        containerd_file_share(e, p->handler, buf_cstr(&body));
    }
    return OK;
}

static RESULT set_flags(struct plan *p, struct containerd_editor *e, int schema) {
    const char *const path[] = {"plugins", containerd_tables_images(schema), "containerd", NULL};
    if (p->runtime->snapshotter == NULL) {
        return OK;
    }
    TRY(containerd_file_unset_flag(e, path, "disable_snapshot_annotations", false, p->handler,
                                   p->err));
    return containerd_file_unset_flag(e, path, "discard_unpacked_layers", true, p->handler, p->err);
}

static RESULT edit_in_place(struct plan *p, struct containerd_editor *e, int schema) {
    AUTO(buf_deinit)
    struct buf body = {0};
    containerd_tables_encode(schema, p->runtime, false, &body);
    containerd_file_strip_imports(e); /* of a newer daemon; here they would end runc */
    TRY(set_flags(p, e, schema));
    TRY(keep_runc(p, e, schema));
    return containerd_file_block(e, p->handler, buf_cstr(&body), p->err);
}

static RESULT edit_imports(struct plan *p, struct containerd_editor *e) {
    AUTO(free_path)
    char *drop_in = path_of(p, CONTAINERD_DROP_IN);
    TRY(containerd_file_strip(e, p->handler, true, p->err)); /* of an older daemon */
    return containerd_file_import(e, drop_in, p->handler, p->err);
}

/* The text that we start from: what stands there, or containerd's own default. */
static RESULT start_main(struct plan *p, struct buf *out) {
    const struct containerd_file *file = file_of(p, CONTAINERD_MAIN);
    if (file->exists) {
        buf_append_span(out, file->text);
        return OK;
    }
    ENSURE(p->facts->default_text.size > 0, p->err, CONFIG,
           "%.300s does not exist, and `containerd config default` gave nothing to start from; "
           "write that output to the file and try again",
           p->facts->path);
    make_created(p->facts->default_text, out);
    return OK;
}

static RESULT install_plain(struct plan *p) {
    AUTO(buf_deinit)
    struct buf start = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    int schema = 0;
    bool is_old = is_older(p->facts->daemon, 2, 0);
    TRY(start_main(p, &start));
    TRY(containerd_file_open(&e, p->facts->path, buf_span(&start), false, p->facts->discard_edits,
                             p->err));
    TRY(schema_of(&e, &schema, p->err));
    TRY(check_schema(p, &e, schema));
    TRY(check_cri_enabled(p, &e));
    TRY(check_foreign(p, &e));
    if (!is_old) {
        TRY(put_drop_in(p, schema));
    }
    TRY(is_old ? edit_in_place(p, &e, schema) : edit_imports(p, &e));
    TRY(containerd_file_finish(&e, &text, p->err));
    put(p, CONTAINERD_MAIN, buf_span(&text));
    return is_old ? delete_drop_in(p) : OK;
}

/* --- k3s and RKE2 */

/* A newer k3s renders version 3 unless only the template of version 2 is there. */
static enum containerd_place choose_template(const struct plan *p, int rendered_schema) {
    if (is_older(p->facts->daemon, 2, 0)) {
        return CONTAINERD_TEMPLATE;
    }
    if (file_of(p, CONTAINERD_TEMPLATE_V3)->exists) {
        return CONTAINERD_TEMPLATE_V3;
    }
    bool is_kept = rendered_schema == 2 && file_of(p, CONTAINERD_TEMPLATE)->exists;
    return is_kept ? CONTAINERD_TEMPLATE : CONTAINERD_TEMPLATE_V3;
}

/* Tables of the base cannot be changed from a template, only new ones added. */
static RESULT check_flags(const struct plan *p, const struct containerd_editor *rendered,
                          int schema) {
    if (p->runtime->snapshotter == NULL) {
        return OK;
    }
    const char *images = containerd_tables_images(schema);
    const char *const old_path[] = {"plugins", images, "containerd", NULL};
    const char *const new_path[] = {"plugins", images, NULL};
    const struct toml_node *table = toml_get(rendered->toml.root, schema < 3 ? old_path : new_path);
    const struct toml_node *flag = toml_key(table, "disable_snapshot_annotations");
    const struct toml_node *discard = toml_key(table, "discard_unpacked_layers");
    bool is_off = toml_is(flag, TOML_KIND_BOOL) && !flag->boolean;
    bool is_kept = !toml_is(discard, TOML_KIND_BOOL) || !discard->boolean;
    ENSURE(is_off && is_kept, p->err, CONFIG,
           "%.300s: the snapshotter of %.64s needs disable_snapshot_annotations = false and "
           "discard_unpacked_layers = false, and a template cannot change tables of its base; "
           "update to a release that imports config-v3.toml.d, or set them in a template of your "
           "own",
           p->facts->path, p->handler);
    return OK;
}

static RESULT put_template(struct plan *p, enum containerd_place place) {
    AUTO(free_path)
    char *path = path_of(p, place);
    AUTO(buf_deinit)
    struct buf start = {0};
    AUTO(buf_deinit)
    struct buf body = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    const struct containerd_file *file = file_of(p, place);
    if (file->exists) {
        buf_append_span(&start, file->text);
    } else {
        make_created(span_str(TEMPLATE_BASE), &start);
    }
    TRY(containerd_file_open(&e, path, buf_span(&start), true, p->facts->discard_edits, p->err));
    containerd_tables_encode(place == CONTAINERD_TEMPLATE ? 2 : 3, p->runtime, false, &body);
    TRY(containerd_file_block(&e, p->handler, buf_cstr(&body), p->err));
    TRY(containerd_file_finish(&e, &text, p->err));
    put(p, place, buf_span(&text));
    return OK;
}

static RESULT install_rancher(struct plan *p) {
    const struct containerd_file *rendered = file_of(p, CONTAINERD_MAIN);
    ENSURE(rendered->exists, p->err, CONFIG,
           "%.300s does not exist: it is written when the service starts; start it once",
           p->facts->path);
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    AUTO(free_path)
    char *drop_in = path_of(p, CONTAINERD_DROP_IN);
    int schema = 0;
    TRY(containerd_file_open(&e, p->facts->path, rendered->text, false, true, p->err));
    TRY(schema_of(&e, &schema, p->err));
    TRY(check_schema(p, &e, schema));
    TRY(check_cri_enabled(p, &e));
    TRY(check_foreign(p, &e));
    bool is_old = is_older(p->facts->daemon, 2, 0);
    if (!is_old && containerd_file_imports(&e, drop_in)) {
        TRY(put_drop_in(p, schema));
        TRY(strip(p, CONTAINERD_TEMPLATE, true));
        return strip(p, CONTAINERD_TEMPLATE_V3, true);
    }
    enum containerd_place place = choose_template(p, schema);
    enum containerd_place other =
        place == CONTAINERD_TEMPLATE ? CONTAINERD_TEMPLATE_V3 : CONTAINERD_TEMPLATE;
    TRY(check_flags(p, &e, schema));
    TRY(put_template(p, place));
    TRY(strip(p, other, true));
    return delete_drop_in(p);
}

/* --- Outside */

static RESULT check_runtime(const struct plan *p) {
    const struct containerd_runtime *r = p->runtime;
    ENSURE(r->runtime_path[0] == '/' && r->config_path[0] == '/', p->err, CONFIG,
           "runtime %.64s: paths of shim and configuration must be absolute", p->handler);
    ENSURE(r->runtime_type[0] != '\0', p->err, CONFIG, "runtime %.64s has no type", p->handler);
    ENSURE(r->snapshotter != NULL || r->snapshotter_address == NULL, p->err, CONFIG,
           "runtime %.64s has the address of a snapshotter, but no snapshotter", p->handler);
    return OK;
}

static RESULT check_names(const struct plan *p) {
    struct span handler = span_str(p->handler);
    size_t prefix = strlen("contrast-cc-");
    ENSURE(containerd_handler_is_valid(handler) && handler.size > prefix &&
               memcmp(handler.data, "contrast-cc-", prefix) == 0,
           p->err, CONFIG,
           "\"%.64s\" is no name of a runtime of ours: contrast-cc-[a-z0-9-]+, %d "
           "bytes at most",
           p->handler, LIMIT_HANDLER);
    ENSURE(p->facts->path != NULL && p->facts->path[0] == '/', p->err, CONFIG,
           "the path of containerd's configuration must be absolute");
    return OK;
}

static RESULT hand_out(struct plan *p, struct result r, struct containerd_change *out) {
    if (!is_ok(r)) {
        containerd_change_deinit(&p->change);
        return r;
    }
    *out = p->change;
    return OK;
}

static RESULT plan_install(struct plan *p) {
    TRY(check_names(p));
    TRY(check_runtime(p));
    TRY(check_daemon(p));
    return p->facts->flavor == CONTAINERD_PLAIN ? install_plain(p) : install_rancher(p);
}

RESULT containerd_config_install(const struct containerd_facts *facts,
                                 const struct containerd_runtime *runtime,
                                 struct containerd_change *out, struct err *err) {
    struct plan p = {.facts = facts, .handler = runtime->handler, .runtime = runtime, .err = err};
    return hand_out(&p, plan_install(&p), out);
}

static RESULT plan_remove(struct plan *p) {
    TRY(check_names(p));
    if (p->facts->flavor == CONTAINERD_PLAIN) {
        TRY(strip(p, CONTAINERD_MAIN, false));
    } else {
        TRY(strip(p, CONTAINERD_TEMPLATE, true));
        TRY(strip(p, CONTAINERD_TEMPLATE_V3, true));
    }
    return delete_drop_in(p);
}

RESULT containerd_config_remove(const struct containerd_facts *facts, const char *handler,
                                struct containerd_change *out, struct err *err) {
    struct plan p = {.facts = facts, .handler = handler, .err = err};
    return hand_out(&p, plan_remove(&p), out);
}

/* The names in "<handler> begin", "set for <handlers> begin" and "set for <handlers>". */
static void collect(struct span line, struct containerd_handlers *out) {
    const uint8_t *mark =
        line.size > 0 ? memmem(line.data, line.size, CONTAINERD_MARK, strlen(CONTAINERD_MARK))
                      : NULL;
    if (mark == NULL) {
        return;
    }
    const char *p = (const char *)mark + strlen(CONTAINERD_MARK);
    const char *end = (const char *)line.data + line.size;
    while (p < end && out->count < LIMIT_HANDLERS) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        const char *stop = space != NULL ? space : end;
        struct span word = span_of(p, (size_t)(stop - p));
        if (containerd_handler_is_valid(word) && word.size > strlen("contrast-cc-") &&
            memcmp(p, "contrast-cc-", strlen("contrast-cc-")) == 0) {
            containerd_handlers_add(out, word);
        }
        p = stop + 1;
    }
}

void containerd_config_handlers(struct span text, struct containerd_handlers *out) {
    *out = (struct containerd_handlers){0};
    for (size_t at = 0; at < text.size;) {
        const uint8_t *lf = memchr(text.data + at, '\n', text.size - at);
        size_t end = lf != NULL ? (size_t)(lf - text.data) : text.size;
        size_t size = end - at;
        if (size > 0 && text.data[at + size - 1] == '\r') {
            size--;
        }
        collect(span_of(text.data + at, size), out);
        at = end + 1;
    }
}
