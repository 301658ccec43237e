/* Plans and applies one change of containerd's configuration to files, for test_containerd_real.py.
 *
 *   containerd-edit install|remove MAIN HANDLER DAEMON [flavor=k3s|rke2] [default=FILE]
 *                   [snapshotter=NAME address=SOCKET] [accept-old] [discard] [steps=N]
 *   containerd-edit handlers FILE
 *
 * DAEMON is what `containerd --version` says. Prints each path that it wrote or deleted; `steps`
 * stops after so many of them, as a crash would. Exit codes as everywhere (README).
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "installer/containerd/containerd_config.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

struct options {
    const char *main_path;
    const char *handler;
    const char *snapshotter;
    const char *address;
    const char *default_path;
    enum containerd_flavor flavor;
    struct containerd_version daemon;
    bool accept_old;
    bool discard;
    size_t steps;
};

static bool take(const char *arg, const char *name, const char **out) {
    size_t size = strlen(name);
    if (strncmp(arg, name, size) != 0 || arg[size] != '=') {
        return false;
    }
    *out = arg + size + 1;
    return true;
}

static RESULT read_options(char **args, struct options *o, struct err *err) {
    const char *value = NULL;
    for (; *args != NULL; args++) {
        if (strcmp(*args, "accept-old") == 0) {
            o->accept_old = true;
        } else if (strcmp(*args, "discard") == 0) {
            o->discard = true;
        } else if (take(*args, "flavor", &value)) {
            o->flavor = strcmp(value, "k3s") == 0 ? CONTAINERD_K3S : CONTAINERD_RKE2;
        } else if (take(*args, "steps", &value)) {
            o->steps = strtoul(value, NULL, 10);
        } else if (!take(*args, "snapshotter", &o->snapshotter) &&
                   !take(*args, "address", &o->address) &&
                   !take(*args, "default", &o->default_path)) {
            return err_set(err, ERR_USAGE, "unknown option %.100s", *args);
        }
    }
    return OK;
}

static RESULT read_file(const char *path, struct buf *text, bool *exists, struct err *err) {
    *exists = access(path, F_OK) == 0;
    return *exists ? file_read(path, LIMIT_TOML_FILE, text, err) : OK;
}

static RESULT apply(const struct containerd_change *change, size_t steps, struct err *err) {
    if (change->warning[0] != '\0') {
        fprintf(stderr, "warning: %s\n", change->warning);
    }
    for (size_t i = 0; i < change->count && i < steps; i++) {
        const struct containerd_edit *edit = &change->edits[i];
        if (edit->is_deletion) {
            ENSURE(unlink(edit->path) == 0, err, IO, "cannot delete %s", edit->path);
        } else {
            AUTO(buf_deinit)
            struct buf folder = {0};
            buf_append(&folder, edit->path, (size_t)(strrchr(edit->path, '/') - edit->path));
            TRY(file_mkdirs(buf_cstr(&folder), 0755, err));
            TRY(file_write(edit->path, buf_span(&edit->text), 0644, err));
        }
        printf("%s\n", edit->path);
    }
    return OK;
}

static RESULT edit(bool is_install, const struct options *o, struct err *err) {
    static const char *const annotations[] = {"io.katacontainers.*"};
    struct buf texts[CONTAINERD_PLACES] = {0};
    AUTO(buf_deinit)
    struct buf default_text = {0};
    AUTO(containerd_change_deinit)
    struct containerd_change change = {0};
    struct containerd_facts facts = {.flavor = o->flavor,
                                     .daemon = o->daemon,
                                     .path = o->main_path,
                                     .accept_old_daemon = o->accept_old,
                                     .discard_edits = o->discard};
    for (size_t i = 0; i < CONTAINERD_PLACES; i++) {
        char *path =
            containerd_config_path(o->flavor, o->main_path, (enum containerd_place)i, o->handler);
        if (path != NULL) {
            TRY(read_file(path, &texts[i], &facts.files[i].exists, err));
            facts.files[i].text = buf_span(&texts[i]);
        }
        mem_free(path);
    }
    if (o->default_path != NULL) {
        TRY(file_read(o->default_path, LIMIT_TOML_FILE, &default_text, err));
        facts.default_text = buf_span(&default_text);
    }
    struct containerd_runtime runtime = {
        .handler = o->handler,
        .runtime_type = "io.containerd.contrast-cc.v2",
        .runtime_path = "/opt/edgeless/test/bin/containerd-shim-contrast-cc-v2",
        .config_path = "/opt/edgeless/test/etc/configuration-clh-snp.toml",
        .snapshotter = o->snapshotter,
        .snapshotter_address = o->address,
        .pod_annotations = annotations,
        .pod_annotation_count = 1,
    };
    struct result r = is_install ? containerd_config_install(&facts, &runtime, &change, err)
                                 : containerd_config_remove(&facts, o->handler, &change, err);
    if (is_ok(r)) {
        r = apply(&change, o->steps, err);
    }
    for (size_t i = 0; i < CONTAINERD_PLACES; i++) {
        buf_deinit(&texts[i]);
    }
    return r;
}

static RESULT list(const char *path, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(containerd_handlers_deinit)
    struct containerd_handlers handlers = {0};
    TRY(file_read(path, LIMIT_TOML_FILE, &text, err));
    containerd_config_handlers(buf_span(&text), &handlers);
    for (size_t i = 0; i < handlers.count; i++) {
        printf("%s\n", handlers.names[i]);
    }
    return OK;
}

static RESULT run(int argc, char **argv, struct err *err) {
    if (argc == 3 && strcmp(argv[1], "handlers") == 0) {
        return list(argv[2], err);
    }
    ENSURE(argc >= 5, err, USAGE, "containerd-edit install|remove MAIN HANDLER DAEMON [...]");
    struct options o = {.main_path = argv[2], .handler = argv[3], .steps = CONTAINERD_PLACES};
    TRY(containerd_version_parse(argv[4], &o.daemon, err));
    TRY(read_options(argv + 5, &o, err));
    return edit(strcmp(argv[1], "install") == 0, &o, err);
}

int main(int argc, char **argv) {
    struct err err;
    struct result r = run(argc, argv, &err);
    if (!is_ok(r)) {
        fprintf(stderr, "%s\n", err.text);
    }
    return err_exit_code(r.code);
}
