/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/test/containerd_node.h"

#include <stdio.h>

#include "installer/toml/toml.h"
#include "lib/base/mem.h"

static char **slot(struct node *n, enum containerd_place place, const char *handler) {
    return place == CONTAINERD_DROP_IN ? &n->drop_ins[strcmp(handler, B) == 0] : &n->texts[place];
}

void set_text(struct node *n, enum containerd_place place, const char *handler, const char *text) {
    char **at = slot(n, place, handler);
    mem_free(*at);
    *at = text != NULL ? mem_strdup(text) : NULL;
}

struct node new_node(struct containerd_version daemon, const char *main_text) {
    struct node n = {.facts = {.daemon = daemon, .path = MAIN, .default_text = span_str(DEFAULT)}};
    n.facts.accept_old_daemon = true;
    set_text(&n, CONTAINERD_MAIN, A, main_text);
    return n;
}

struct node new_k3s(struct containerd_version daemon, const char *rendered) {
    struct node n = new_node(daemon, rendered);
    n.facts.flavor = CONTAINERD_K3S;
    n.facts.path = "/k/config.toml";
    return n;
}

void free_node(struct node *n) {
    for (size_t i = 0; i < CONTAINERD_PLACES; i++) {
        mem_free(n->texts[i]);
    }
    mem_free(n->drop_ins[0]);
    mem_free(n->drop_ins[1]);
}

const struct containerd_facts *look(struct node *n, const char *handler) {
    for (size_t i = 0; i < CONTAINERD_PLACES; i++) {
        const char *text = *slot(n, (enum containerd_place)i, handler);
        n->facts.files[i].exists = text != NULL;
        n->facts.files[i].text = text != NULL ? span_str(text) : span_of(NULL, 0);
    }
    return &n->facts;
}

struct containerd_runtime runtime_of(const char *handler, const char *snapshotter) {
    static const char *const annotations[] = {"io.katacontainers.*"};
    return (struct containerd_runtime){
        .handler = handler,
        .runtime_type = "io.containerd.contrast-cc.v2",
        .runtime_path = "/opt/edgeless/x/bin/containerd-shim-contrast-cc-v2",
        .config_path = "/opt/edgeless/x/etc/configuration-clh-snp.toml",
        .snapshotter = snapshotter,
        .snapshotter_address = snapshotter != NULL ? "/run/containerd/tardev.sock" : NULL,
        .pod_annotations = annotations,
        .pod_annotation_count = 1,
    };
}

size_t apply(struct node *n, const char *handler, struct containerd_change *change) {
    size_t count = change->count;
    for (size_t i = 0; i < count; i++) {
        struct containerd_edit *edit = &change->edits[i];
        set_text(n, edit->place, handler, edit->is_deletion ? NULL : buf_cstr(&edit->text));
        if (!edit->is_deletion && edit->place != CONTAINERD_TEMPLATE &&
            edit->place != CONTAINERD_TEMPLATE_V3) {
            struct toml_file file = {0};
            assert_true(is_ok(toml_parse("out", buf_span(&edit->text), &file, NULL)));
            toml_file_deinit(&file);
        }
    }
    containerd_change_deinit(change);
    return count;
}

/* Returns how many files changed. */
size_t install_as(struct node *n, const char *handler, bool has_snapshotter) {
    char snapshotter[96];
    snprintf(snapshotter, sizeof snapshotter, "tardev-%s", handler);
    struct containerd_runtime r = runtime_of(handler, has_snapshotter ? snapshotter : NULL);
    struct containerd_change change = {0};
    struct err err;
    if (!is_ok(containerd_config_install(look(n, handler), &r, &change, &err))) {
        fail_msg("%s", err.text);
    }
    return apply(n, handler, &change);
}

size_t install(struct node *n, const char *handler) {
    return install_as(n, handler, true);
}

size_t take_off(struct node *n, const char *handler) {
    struct containerd_change change = {0};
    struct err err;
    if (!is_ok(containerd_config_remove(look(n, handler), handler, &change, &err))) {
        fail_msg("%s", err.text);
    }
    return apply(n, handler, &change);
}

void assert_same(struct node *n, struct node *want) {
    for (size_t i = 0; i < CONTAINERD_PLACES + 2; i++) {
        const char *x = i < CONTAINERD_PLACES ? n->texts[i] : n->drop_ins[i - CONTAINERD_PLACES];
        const char *y =
            i < CONTAINERD_PLACES ? want->texts[i] : want->drop_ins[i - CONTAINERD_PLACES];
        if ((x == NULL) != (y == NULL) || (x != NULL && strcmp(x, y) != 0)) {
            fail_msg("file %zu differs\n--- have\n%s\n--- want\n%s\n---", i, x, y);
        }
    }
}

void assert_main(struct node *n, const char *want) {
    assert_string_equal(n->texts[CONTAINERD_MAIN], want);
}

void assert_has(const char *text, const char *part) {
    if (text == NULL || strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, text);
    }
}

void assert_lacks(const char *text, const char *part) {
    if (strstr(text, part) != NULL) {
        fail_msg("\"%s\" in:\n%s", part, text);
    }
}

void assert_refused(struct node *n, const char *handler, enum err_code code, const char *want) {
    char snapshotter[96];
    snprintf(snapshotter, sizeof snapshotter, "tardev-%s", handler);
    struct containerd_runtime r = runtime_of(handler, snapshotter);
    struct containerd_change change = {0};
    struct err err = {0};
    struct result result = containerd_config_install(look(n, handler), &r, &change, &err);
    if (result.code != code || strstr(err.text, want) == NULL) {
        fail_msg("want %s '%s', got %s '%s'", err_name(code), want, err_name(result.code),
                 err.text);
    }
    assert_int_equal(change.count, 0);
}

void assert_removal_refused(struct node *n, const char *handler, const char *want) {
    struct containerd_change change = {0};
    struct err err = {0};
    struct result result = containerd_config_remove(look(n, handler), handler, &change, &err);
    if (result.code != ERR_CHANGED || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got %s '%s'", want, err_name(result.code), err.text);
    }
    assert_int_equal(change.count, 0);
}
