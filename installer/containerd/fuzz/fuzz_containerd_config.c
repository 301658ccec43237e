/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_config.h"

#include <string.h>

#include "installer/toml/toml.h"
#include "lib/base/mem.h"

#define HANDLER "contrast-cc-fuzz-00000000"
#define OTHER "contrast-cc-fuzz-11111111"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct node {
    struct containerd_facts facts;
    struct buf texts[CONTAINERD_PLACES];
};

static void apply(struct node *n, struct containerd_change *change) {
    for (size_t i = 0; i < change->count; i++) {
        struct containerd_edit *edit = &change->edits[i];
        struct containerd_file *file = &n->facts.files[edit->place];
        struct buf *text = &n->texts[edit->place];
        buf_clear(text);
        buf_append_span(text, buf_span(&edit->text));
        file->exists = !edit->is_deletion;
        file->text = buf_span(text);
    }
    containerd_change_deinit(change);
}

static struct result install(struct node *n, struct containerd_change *change, struct err *err) {
    static const char *const annotations[] = {"io.katacontainers.*"};
    struct containerd_runtime runtime = {
        .handler = HANDLER,
        .runtime_type = "io.containerd.contrast-cc.v2",
        .runtime_path = "/opt/shim",
        .config_path = "/opt/config.toml",
        .snapshotter = "tardev-" HANDLER,
        .snapshotter_address = "/run/tardev.sock",
        .pod_annotations = annotations,
        .pod_annotation_count = 1,
    };
    return containerd_config_install(&n->facts, &runtime, change, err);
}

/* A file that is accepted is TOML afterwards; the same again changes nothing; removal gives every
 * byte back. `place`: where the input stands, as config.toml or as a template of k3s. */
static void check(struct span input, struct containerd_version daemon,
                  enum containerd_place place) {
    struct node n = {.facts = {.daemon = daemon, .path = "/etc/c/config.toml"}};
    struct containerd_change change = {0};
    struct err err = {0};
    n.facts.accept_old_daemon = true;
    if (place != CONTAINERD_MAIN) {
        n.facts.flavor = CONTAINERD_K3S;
        n.facts.files[CONTAINERD_MAIN].exists = true;
        n.facts.files[CONTAINERD_MAIN].text =
            span_str("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n"
                     "disable_snapshot_annotations = false\n");
    }
    n.facts.files[place] = (struct containerd_file){.exists = true, .text = input};
    if (!is_ok(install(&n, &change, &err))) {
        CHECK(err.text[0] != '\0' && err.code != ERR_INTERNAL && change.count == 0);
        return;
    }
    apply(&n, &change);
    CHECK(is_ok(install(&n, &change, &err)) && change.count == 0);
    CHECK(is_ok(containerd_config_remove(&n.facts, HANDLER, &change, &err)));
    apply(&n, &change);
    /* containerd 1.x loses the imports of all our handlers, for good; a file that says that we made
     * it loses that line with the last of them. */
    bool is_ours = (daemon.major < 2 && memmem(input.data, input.size, "-cc-*", 5) != NULL) ||
                   memmem(input.data, input.size, "created this", 12) != NULL;
    CHECK(is_ours || span_equal(n.facts.files[place].text, input));
    for (size_t i = 0; i < CONTAINERD_PLACES; i++) {
        buf_deinit(&n.texts[i]);
    }
}

static bool has_ours(struct span text) {
    struct containerd_handlers handlers;
    bool found = false;
    containerd_config_handlers(text, &handlers);
    for (size_t i = 0; i < handlers.count; i++) {
        found = found || span_equal(span_str(handlers.names[i]), span_str(HANDLER));
    }
    containerd_handlers_deinit(&handlers);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span input = span_of(size > 0 ? data : (const uint8_t *)"", size);
    struct containerd_change change = {0};
    struct containerd_facts facts = {.path = "/etc/c/config.toml"};
    facts.files[CONTAINERD_MAIN] = (struct containerd_file){.exists = true, .text = input};
    if (is_ok(containerd_config_remove(&facts, OTHER, &change, NULL))) {
        containerd_change_deinit(&change);
    }
    if (has_ours(input)) {
        return 0; /* what it was before our tables came, nobody knows */
    }
    check(input, (struct containerd_version){1, 7, 0}, CONTAINERD_MAIN);
    check(input, (struct containerd_version){2, 0, 0}, CONTAINERD_MAIN);
    check(input, (struct containerd_version){1, 7, 0}, CONTAINERD_TEMPLATE);
    return 0;
}
