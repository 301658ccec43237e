/* Checks before a plan: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_check.h"

#include <stdio.h>
#include <string.h>

#include "installer/containerd/containerd_tables.h"

#define SCHEMA_MAX 4

RESULT containerd_check_schema_of(const struct containerd_editor *e, int *out, struct err *err) {
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

bool containerd_check_older(struct containerd_version v, unsigned major, unsigned minor) {
    return v.major < major || (v.major == major && v.minor < minor);
}

RESULT containerd_check_daemon(struct containerd_plan *p) {
    struct containerd_version v = p->facts->daemon;
    ENSURE(!containerd_check_older(v, 1, 6) && v.major <= 2, p->err, CONFIG,
           "containerd %u.%u.%u is not supported; 1.6 to 2.x are", v.major, v.minor, v.patch);
    if (p->runtime->snapshotter == NULL || !containerd_check_older(v, 1, 7)) {
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

RESULT containerd_check_schema(const struct containerd_plan *p, const struct containerd_editor *e,
                               int schema) {
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

RESULT containerd_check_cri(const struct containerd_plan *p, const struct containerd_editor *e) {
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
static RESULT check_foreign_entry(const struct containerd_plan *p,
                                  const struct containerd_editor *e,
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

RESULT containerd_check_foreign(const struct containerd_plan *p,
                                const struct containerd_editor *e) {
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
