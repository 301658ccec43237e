/* Injection: every kind, layout and annotation, forth and back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/inject.h"
#include "cli/policy/policy_text.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define P "contrast.edgeless.systems/"
#define DIGEST "@sha256:1111111111111111111111111111111111111111111111111111111111111111"

static const struct inject_config config = {.initializer_image = "init:1",
                                            .service_mesh_image = "mesh:1",
                                            .owner_digests = "aa",
                                            .permitted_roots = ""};

/* --- Stages */

/* Appends what comes out of the stage for all pods of the text. */
static RESULT inject(const char *text, const struct inject_config *c, struct buf *out,
                     struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits = {0};
    TRY(yaml_parse("f.yaml", span_str(text), &file, err));
    yaml_edits_init(&edits, &file);
    TRY(workload_find(&file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        TRY(inject_pod(&list.items[i], c, &edits, err));
    }
    return yaml_edits_apply(&edits, out, err);
}

static void inject_ok(const char *text, const struct inject_config *c, struct buf *out) {
    struct err err = {0};
    if (!is_ok(inject(text, c, out, &err))) {
        fail_msg("%s\n%s", err.text, text);
    }
}

__attribute__((unused)) static void annotate(const char *text, struct buf *out) {
    static const struct policy_inputs none = {0};
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits = {0};
    struct err err = {0};
    assert_true(is_ok(yaml_parse("f.yaml", span_str(text), &file, &err)));
    yaml_edits_init(&edits, &file);
    assert_true(is_ok(workload_find(&file, &list, &err)));
    for (size_t i = 0; i < list.count; i++) {
        AUTO(buf_deinit)
        struct buf policy = {0};
        if (!is_ok(policy_text_make(&list.items[i], &none, &policy, &err)) ||
            !is_ok(inject_policy(&list.items[i], buf_span(&policy), &edits, &err))) {
            fail_msg("%s", err.text);
        }
    }
    assert_true(is_ok(yaml_edits_apply(&edits, out, &err)));
}

__attribute__((unused)) static void assert_refused(const char *text, const char *want) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err = {0};
    struct result r = inject(text, &config, &out, &err);
    if (r.code != ERR_INVALID || strstr(err.text, want) == NULL) {
        fail_msg("want '%s', got '%s'", want, err.text);
    }
    assert_int_equal(out.size, 0);
}

/* --- The files of the table */

enum layout { BLOCK, CRLF, ANCHORS, FLOW, JSON, LAYOUTS };

struct place {
    const char *kind;
    const char *pod; /* below the resource */
    const char *open[6];
};

static const struct place places[] = {
    {"Pod", "", {NULL}},
    {"Deployment", "spec.template", {"spec", "template"}},
    {"StatefulSet", "spec.template", {"spec", "template"}},
    {"DaemonSet", "spec.template", {"spec", "template"}},
    {"ReplicaSet", "spec.template", {"spec", "template"}},
    {"ReplicationController", "spec.template", {"spec", "template"}},
    {"Job", "spec.template", {"spec", "template"}},
    {"CronJob", "spec.jobTemplate.spec.template", {"spec", "jobTemplate", "spec", "template"}},
};

/* Lines of a pod, with their indentation; the rich one has init containers, volumes and mounts. */
static const char *const plain_pod[] = {
    "metadata: # of the pod", "  annotations:",
    "    note: \"kept\"",     "spec:",
    "  # what runs",          "  containers:",
    "  - name: web # one",    "    image: i:1",
    "    command: [c]",       NULL,
};
static const char *const rich_pod[] = {
    "metadata:",
    "  annotations:",
    "    note: \"kept\"",
    "spec:",
    "  initContainers:",
    "    # first of ours",
    "    - name: prep",
    "      image: 'p:1'",
    "      command: [c]",
    "      volumeMounts: [{name: data, mountPath: /d}]",
    "  containers:",
    "  -   image: i:1",
    "      # its name",
    "      name: web",
    "      command: [c]",
    "      volumeMounts:",
    "        - {name: data, mountPath: /d} # data",
    "  -   volumeMounts: []",
    "      name: two",
    "      image: i:1",
    "      command: [c]",
    "  volumes:",
    "  # scratch",
    "  - name: data",
    "    emptyDir: {}",
    NULL,
};

static const char plain_flow[] =
    "\"metadata\": {\"annotations\": {\"note\": \"kept\"}}, \"spec\": {\"containers\": [{\"name\": "
    "\"web\", \"image\": \"i:1\", \"command\": [\"c\"]}]}";
static const char rich_flow[] =
    "\"metadata\": {\"annotations\": {\"note\": \"kept\"}}, \"spec\": {\n \"initContainers\": [\n  "
    "{\"name\": \"prep\",\n   \"image\": \"p:1\"}\n ],\n \"containers\": [{\"name\": \"web\", "
    "\"image\": \"i:1\", \"volumeMounts\": [\n  {\"name\": \"data\", \"mountPath\": \"/d\"}]}],\n "
    "\"volumes\": [{\"name\": \"data\", \"emptyDir\": {}}]}";

static void append_line(struct buf *out, size_t indent, const char *line, enum layout layout) {
    buf_appendf(out, "%*s%s%s", (int)indent, "", line, layout == CRLF ? "\r\n" : "\n");
}

static void append_lines(struct buf *out, const struct place *p, bool is_rich, enum layout layout) {
    char line[64];
    size_t indent = 0;
    append_line(out, 0, "# comment", layout);
    (void)snprintf(line, sizeof line, "kind: %s", p->kind);
    append_line(out, 0, line, layout);
    if (p->open[0] != NULL) {
        append_line(out, 0,
                    layout == ANCHORS ? "metadata: {name: a, labels: &l {app: a}}"
                                      : "metadata: {name: a}",
                    layout);
    }
    for (size_t i = 0; p->open[i] != NULL; i++) {
        (void)snprintf(line, sizeof line, "%s:", p->open[i]);
        append_line(out, indent, line, layout);
        indent += 2;
        if (i == 0 && layout == ANCHORS) {
            append_line(out, indent, "selector: {matchLabels: *l}", layout);
        }
    }
    for (const char *const *l = is_rich ? rich_pod : plain_pod; *l != NULL; l++) {
        append_line(out, indent, *l, layout);
        if (l == (is_rich ? rich_pod : plain_pod) && p->open[0] == NULL) {
            append_line(out, 2, "name: a", layout);
        }
    }
}

static void append_flow(struct buf *out, const struct place *p, bool is_rich) {
    const char *pod = is_rich ? rich_flow : plain_flow;
    const char *colon = strchr(pod, '{');
    buf_appendf(out, "{\"kind\": \"%s\", ", p->kind);
    if (p->open[0] == NULL) {
        buf_appendf(out, "\"metadata\": {\"name\": \"a\", %s}", colon + 1);
        return;
    }
    buf_append_str(out, "\"metadata\": {\"name\": \"a\"}, ");
    for (size_t i = 0; p->open[i] != NULL; i++) {
        buf_appendf(out, "\"%s\": {", p->open[i]);
    }
    buf_append_str(out, pod);
    for (size_t i = 0; p->open[i] != NULL; i++) {
        buf_append_str(out, "}");
    }
    buf_append_str(out, "}");
}

static void make_file(struct buf *out, const struct place *p, bool is_rich, enum layout layout) {
    if (layout == JSON) {
        append_flow(out, p, is_rich);
        buf_append_str(out, "\n");
    } else if (layout == FLOW) {
        buf_append_str(out, "# a list\nkind: List\nitems: [");
        append_flow(out, p, is_rich);
        buf_append_str(out, "] # the end");
    } else {
        append_lines(out, p, is_rich, layout);
    }
}

/* --- Annotations of the table */

struct row {
    const char *keys[3];
    const char *values[3];
    bool is_meshed, is_renewing, is_skipping;
};

static const struct row rows[] = {
    {.keys = {NULL}},
    {.keys = {P "servicemesh-ingress"}, .values = {""}, .is_meshed = true},
    {.keys = {P "servicemesh-egress", P "servicemesh-admin-interface-port"},
     .values = {"a#127.0.0.1:80#b.example:80", "9901"},
     .is_meshed = true},
    {.keys = {P "renew-certificates"}, .values = {"true"}, .is_renewing = true},
    {.keys = {P "servicemesh-ingress", P "renew-certificates"},
     .values = {"web#80#false", "true"},
     .is_meshed = true,
     .is_renewing = true},
    {.keys = {P "skip-initializer"}, .values = {"true"}, .is_skipping = true},
};

/* Puts the annotations before the one that every file has. */
static void add_annotations(const char *text, const struct row *row, enum layout layout,
                            struct buf *out) {
    bool is_flow = layout == FLOW || layout == JSON;
    const char *at = strstr(text, is_flow ? "\"note\"" : "note: ");
    assert_non_null(at);
    size_t indent = 0;
    while (at[-1 - (ptrdiff_t)indent] == ' ') {
        indent++;
    }
    buf_append(out, text, (size_t)(at - text));
    for (size_t i = 0; row->keys[i] != NULL; i++) {
        buf_appendf(out, "\"%s\": \"%s\"", row->keys[i], row->values[i]);
        if (is_flow) {
            buf_append_str(out, ", ");
        } else {
            append_line(out, 0, "", layout);
            buf_appendf(out, "%*s", (int)indent, "");
        }
    }
    buf_append_str(out, at);
}

/* The opposite. */
static void remove_annotations(const char *text, const struct row *row, enum layout layout,
                               struct buf *out) {
    bool is_flow = layout == FLOW || layout == JSON;
    const char *at = row->keys[0] == NULL ? text : strstr(text, row->keys[0]) - 1;
    const char *end = row->keys[0] == NULL ? text : strstr(at, is_flow ? "\"note\"" : "note: ");
    buf_append(out, text, (size_t)(at - text));
    buf_append_str(out, end);
}

/* --- What must come out */

static void assert_name(const struct yaml_node *list, size_t index, const char *name) {
    char path[16];
    (void)snprintf(path, sizeof path, "[%zu].name", index);
    const struct yaml_node *node = yaml_get(list, path);
    assert_non_null(node);
    assert_string_equal(node->value, name);
}

static void assert_mounted(const struct yaml_node *containers, bool is_mounted) {
    for (size_t i = 0; containers != NULL && i < containers->count; i++) {
        const struct yaml_node *mounts = yaml_key(containers->items[i], "volumeMounts");
        size_t found = 0;
        for (size_t k = 0; mounts != NULL && k < mounts->count; k++) {
            const struct yaml_node *path = yaml_key(mounts->items[k], "mountPath");
            found += strcmp(path->value, "/contrast") == 0 ? 1 : 0;
        }
        assert_int_equal(found, is_mounted ? 1 : 0);
    }
}

static void check_spec(const struct yaml_node *spec, const struct row *row, bool is_rich) {
    const struct yaml_node *list = yaml_key(spec, "initContainers");
    size_t count = 0;
    assert_string_equal(yaml_key(spec, "runtimeClassName")->value, "contrast-cc");
    if (!row->is_skipping) {
        assert_name(list, count++, "contrast-initializer");
    }
    if (row->is_meshed) {
        assert_name(list, count++, "contrast-service-mesh");
    }
    if (row->is_renewing) {
        assert_name(list, count++, "contrast-renewer");
    }
    if (is_rich) {
        assert_name(list, count++, "prep");
    }
    assert_int_equal(list != NULL ? list->count : 0, count);
    assert_mounted(list, !row->is_skipping);
    assert_mounted(yaml_key(spec, "containers"), !row->is_skipping);
    const struct yaml_node *volumes = yaml_key(spec, "volumes");
    assert_int_equal(volumes != NULL ? volumes->count : 0,
                     (is_rich ? 1 : 0) + (row->is_skipping ? 0 : 1));
    if (!row->is_skipping) {
        assert_name(volumes, 0, "contrast-secrets");
        assert_string_equal(yaml_get(volumes, "[0].emptyDir.medium")->value, "Memory");
    }
}

static void check_text(const char *text, const struct row *row, bool is_rich) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    struct err err = {0};
    if (!is_ok(yaml_parse("f.yaml", span_str(text), &file, &err)) ||
        !is_ok(workload_find(&file, &list, &err))) {
        fail_msg("%s\n%s", err.text, text);
    }
    assert_int_equal(list.count, 1);
    check_spec(list.items[0].spec, row, is_rich);
}

static void assert_same(struct buf *a, struct buf *b) {
    assert_string_equal(buf_cstr(a), buf_cstr(b));
}

/* One cell: inject, again, take the annotation away, put it back. */
static void check_cell(const struct place *p, bool is_rich, enum layout layout,
                       const struct row *row) {
    enum { USER, ANNOTATED, DONE, AGAIN, PLAIN, PLAIN_DONE, BACK, BACK_DONE, FORTH, COUNT };
    struct buf t[COUNT] = {0};
    make_file(&t[USER], p, is_rich, layout);
    add_annotations(buf_cstr(&t[USER]), row, layout, &t[ANNOTATED]);
    inject_ok(buf_cstr(&t[ANNOTATED]), &config, &t[DONE]);
    check_text(buf_cstr(&t[DONE]), row, is_rich);
    inject_ok(buf_cstr(&t[DONE]), &config, &t[AGAIN]);
    assert_same(&t[DONE], &t[AGAIN]);

    inject_ok(buf_cstr(&t[USER]), &config, &t[PLAIN_DONE]);
    remove_annotations(buf_cstr(&t[DONE]), row, layout, &t[BACK]);
    inject_ok(buf_cstr(&t[BACK]), &config, &t[BACK_DONE]);
    assert_same(&t[PLAIN_DONE], &t[BACK_DONE]);
    add_annotations(buf_cstr(&t[BACK_DONE]), row, layout, &t[PLAIN]);
    inject_ok(buf_cstr(&t[PLAIN]), &config, &t[FORTH]);
    assert_same(&t[DONE], &t[FORTH]);
    for (size_t i = 0; i < COUNT; i++) {
        buf_deinit(&t[i]);
    }
}

static void test_every_kind_layout_and_annotation(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        for (size_t l = 0; l < LAYOUTS; l++) {
            for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
                check_cell(&places[k], false, (enum layout)l, &rows[r]);
                check_cell(&places[k], true, (enum layout)l, &rows[r]);
            }
        }
    }
}

int main(void) {
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_layout_and_annotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
