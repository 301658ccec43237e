/* Injection: every kind, layout and annotation, forth and back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "cli/policy/policy_text.h"
#include "cli/policy/test/inject_fixture.h"

static void annotate(const char *text, struct buf *out) {
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
    CHECK(at != NULL);
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

/* The value of a variable; NULL = not there. */
static const char *variable(const struct yaml_node *container, const char *name) {
    const struct yaml_node *env = yaml_key(container, "env");
    for (size_t i = 0; env != NULL && i < env->count; i++) {
        if (strcmp(yaml_key(env->items[i], "name")->value, name) == 0) {
            return yaml_key(env->items[i], "value")->value;
        }
    }
    return NULL;
}

static void assert_text(const struct yaml_node *node, const char *path, const char *want) {
    const struct yaml_node *found = yaml_get(node, path);
    assert_non_null(found);
    assert_string_equal(found->value, want);
}

static void check_pieces(const struct yaml_node *list, const struct row *row) {
    CHECK(list != NULL);
    const struct yaml_node *mesh = row->is_meshed ? list->items[1] : NULL;
    assert_int_equal(variable(list->items[0], "CONTRAST_DISABLE_SERVICE_MESH") == NULL,
                     row->is_meshed);
    assert_text(list, "[0].command[0]", "/usr/bin/contrast-initializer");
    assert_string_equal(variable(list->items[0], "CONTRAST_OWNER_KEY_DIGESTS"), "aa");
    if (row->is_meshed) {
        assert_text(mesh, "restartPolicy", "Always");
        assert_text(mesh, "securityContext.privileged", "true");
        assert_text(mesh, "securityContext.capabilities.add[0]", "NET_ADMIN");
        assert_text(mesh, "startupProbe.tcpSocket.port", "15006");
        bool is_ingress = strcmp(row->keys[0], P "servicemesh-ingress") == 0;
        assert_string_equal(variable(mesh, "CONTRAST_INGRESS_PROXY_CONFIG"),
                            is_ingress ? row->values[0] : "");
        assert_string_equal(variable(mesh, "CONTRAST_EGRESS_PROXY_CONFIG"),
                            is_ingress ? "" : row->values[0]);
        assert_int_equal(variable(mesh, "CONTRAST_ADMIN_PORT") == NULL, is_ingress);
    }
    if (row->is_renewing) {
        const struct yaml_node *renewer = list->items[row->is_meshed ? 2 : 1];
        assert_text(renewer, "restartPolicy", "Always");
        assert_string_equal(variable(renewer, "CONTRAST_RENEW"), "true");
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
        check_pieces(list, row);
        assert_name(volumes, 0, "contrast-secrets");
        assert_string_equal(yaml_get(volumes, "[0].emptyDir.medium")->value, "Memory");
    }
}

/* Both pods have the initializer, once. */
static void check_text_of_list(const char *text) {
    static const struct row none = {.keys = {NULL}};
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    assert_true(is_ok(yaml_parse("f.yaml", span_str(text), &file, NULL)));
    assert_true(is_ok(workload_find(&file, &list, NULL)));
    assert_int_equal(list.count, 2);
    check_spec(list.items[0].spec, &none, false);
    check_spec(list.items[1].spec, &none, false);
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
    CHECK(list.items != NULL && list.count == 1);
    check_spec(list.items[0].spec, row, is_rich);
}

static void assert_same(struct buf *a, struct buf *b) {
    assert_string_equal(buf_cstr(a), buf_cstr(b));
}

/* Comments stand above what they are about. */
static void check_comments(const char *text, bool is_rich, enum layout layout) {
    static const char *const pairs[][2] = {{"# first of ours", "- name: prep"},
                                           {"# its name", "name: web"},
                                           {"# scratch", "- name: data"}};
    for (size_t i = 0; is_rich && layout < FLOW && i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *comment = strstr(text, pairs[i][0]);
        assert_non_null(comment);
        const char *next = comment + strlen(pairs[i][0]);
        next += strspn(next, "\r\n ");
        assert_memory_equal(next, pairs[i][1], strlen(pairs[i][1]));
    }
}

/* One cell: inject, again, take the annotation away, put it back. */
static void check_cell(const struct place *p, bool is_rich, enum layout layout,
                       const struct row *row) {
    enum { USER, ANNOTATED, DONE, AGAIN, PLAIN, PLAIN_DONE, BACK, BACK_DONE, FORTH, COUNT };
    struct buf t[COUNT] = {0};
    make_file(&t[USER], p, is_rich, layout);
    add_annotations(buf_cstr(&t[USER]), row, layout, &t[ANNOTATED]);
    inject_ok(buf_cstr(&t[ANNOTATED]), &fixture_config, &t[DONE]);
    check_text(buf_cstr(&t[DONE]), row, is_rich);
    check_comments(buf_cstr(&t[DONE]), is_rich, layout);
    inject_ok(buf_cstr(&t[DONE]), &fixture_config, &t[AGAIN]);
    assert_same(&t[DONE], &t[AGAIN]);

    inject_ok(buf_cstr(&t[USER]), &fixture_config, &t[PLAIN_DONE]);
    remove_annotations(buf_cstr(&t[DONE]), row, layout, &t[BACK]);
    inject_ok(buf_cstr(&t[BACK]), &fixture_config, &t[BACK_DONE]);
    assert_same(&t[PLAIN_DONE], &t[BACK_DONE]);
    add_annotations(buf_cstr(&t[BACK_DONE]), row, layout, &t[PLAIN]);
    inject_ok(buf_cstr(&t[PLAIN]), &fixture_config, &t[FORTH]);
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

/* --- What is refused, and where */

static void test_refused_pods(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {POD("", WEB "  volumes: [{name: contrast-secrets, configMap: {name: c}}]\n"),
         "f.yaml:11:13: spec.volumes: contrast-secrets is where the pod's keys lie"},
        {POD("", WEB "  volumes: [{name: contrast-secrets, emptyDir: {}}]\n"),
         "must be emptyDir with medium: Memory; rename"},
        {POD("", WEB "    volumeMounts: [{name: x, mountPath: /contrast/}]\n"),
         "f.yaml:11:20: spec: volumeMounts[0]: /contrast is the place of the volume"},
        {POD("", "  containers:\n  - name: contrast-initializer\n    image: i\n"),
         "spec.containers: the name contrast-initializer is for the init container"},
        {POD("", "  initContainers: [{name: contrast-initializer, command: [sh]}]\n" WEB),
         "spec.initContainers: the name contrast-initializer is for the container that generate "
         "adds; rename"},
        {POD("", "  initContainers: [{name: a}, {name: contrast-initializer}]\n" WEB),
         "contrast-initializer must be the first; remove it here and run again"},
        {POD(NOTE("renew-certificates: 'true'"),
             "  initContainers: [{name: contrast-initializer}, {name: a}, {name: "
             "contrast-renewer}]\n" WEB),
         "contrast-renewer must be right behind contrast-initializer; remove it here"},
        {POD(NOTE("servicemesh-ingress: ''"),
             "  initContainers: [{name: contrast-service-mesh, command: [sh]}]\n" WEB),
         "the name contrast-service-mesh is for the container"},
        {POD("", "  runtimeClassName: [a]\n" WEB),
         "f.yaml:7:21: spec.runtimeClassName: must be a string"},
        {POD("", "  initContainers: none\n" WEB),
         "f.yaml:7:19: spec.initContainers: must be a list"},
        {POD("", "  containers: []\n"), "spec.containers: Pod/p has none"},
        {POD(NOTE("pod-role: coordinator"),
             WEB "    env:\n    - name: CONTRAST_PERMITTED_ROOTS\n      valueFrom: {fieldRef: "
                 "{fieldPath: metadata.name}}\n"),
         "f.yaml:13:7: spec.containers: env CONTRAST_PERMITTED_ROOTS: generate sets this"},
        {POD("    io.katacontainers.config.agent.policy: cGFja2FnZQ==\n", WEB),
         "f.yaml:6:44: metadata.annotations[\"io.katacontainers.config.agent.policy\"]: a policy "
         "stands here that generate did not write; remove it, or replace it with --force"},
        {POD("    io.katacontainers.config.hypervisor.cc_init_data: x\n", WEB), "--force"},
        {"kind: Pod\nmetadata: {name: a}\nspec: &s\n" WEB
         "---\nkind: Pod\nmetadata: {name: b}\nspec: *s\n",
         "alias"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(bad[i].text, bad[i].want);
    }
}

/* One document in which two pods share their spec: equal edits count once, others are refused. */
static void test_a_shared_spec(void **state) {
    (void)state;
    static const char head[] = "kind: List\nitems:\n- kind: Pod\n  metadata:\n    name: a\n";
    static const char tail[] = "  spec: &s\n    containers:\n    - name: w\n- kind: Pod\n"
                               "  metadata: {name: b}\n  spec: *s\n";
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    buf_appendf(&text, "%s%s", head, tail);
    inject_ok(buf_cstr(&text), &fixture_config, &out);
    check_text_of_list(buf_cstr(&out));
    inject_ok(buf_cstr(&out), &fixture_config, &again);
    assert_same(&out, &again);
    buf_clear(&text);
    buf_appendf(&text, "%s    annotations: {" P "servicemesh-ingress: ''}\n%s", head, tail);
    assert_refused(buf_cstr(&text), "alias");
}

/* --- What stays as it is */

static void test_runtime_classes(void **state) {
    (void)state;
    struct inject_config c = fixture_config;
    assert_output(POD("", "  runtimeClassName: kata-cc-isolation # k\n" WEB), &c,
                  "  runtimeClassName: contrast-cc # k\n");
    assert_output(POD("", "  runtimeClassName: 'contrast-cc'\n" WEB), &c, ": 'contrast-cc'\n");
    assert_output(POD("", "  runtimeClassName: 'kata-cc-isolation'\n" WEB), &c,
                  ": 'contrast-cc'\n");
    assert_output(POD("", "  runtimeClassName: contrast-cc-milan-1\n" WEB), &c,
                  ": contrast-cc-milan-1\n");
    c.runtime_class = "contrast-cc-genoa";
    assert_output(POD("", WEB), &c, "  runtimeClassName: contrast-cc-genoa\n");
    assert_output(POD("", "  runtimeClassName: contrast-cc\n" WEB), &c, ": contrast-cc-genoa\n");
    assert_output(POD("", "  runtimeClassName: contrast-cc-milan-1\n" WEB), &c,
                  ": contrast-cc-milan-1\n");
    c.runtime_class = "runc";
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err;
    assert_int_equal(inject(POD("", WEB), &c, &out, &err).code, ERR_USAGE);
}

static void test_what_the_user_chose_stays(void **state) {
    (void)state;
    static const char mount[] = "    volumeMounts: [{name: contrast-secrets, mountPath: /contrast, "
                                "readOnly: true}]\n";
    static const char volume[] =
        "  volumes:\n  - emptyDir: {sizeLimit: 1Mi, medium: Memory}\n    name: contrast-secrets\n";
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, POD("", WEB "%s%s"), mount, volume);
    assert_output(buf_cstr(&text), &fixture_config, mount);
    assert_output(buf_cstr(&text), &fixture_config, volume);
    assert_output(POD(NOTE("pod-role: coordinator"), WEB
                      "    env:\n    # who\n    - {name: CONTRAST_PERMITTED_ROOTS, value: ''}\n"),
                  &fixture_config,
                  "    # who\n    - {name: CONTRAST_PERMITTED_ROOTS, value: ''}\n");
    assert_output(POD(NOTE("expose-service: 'true'") NOTE("image-store-size: 20Gi"), WEB),
                  &fixture_config, "contrast-initializer");
}

/* Another style, other order of keys, comments and a digest are no differences. */
static void test_pieces_in_another_style_stay(void **state) {
    (void)state;
    static const char pieces[] =
        "  initContainers:\n  - name: 'contrast-initializer'\n    # pinned\n    image: "
        "init:1" DIGEST "\n    command: [/usr/bin/contrast-initializer]\n    volumeMounts:\n"
        "    - {mountPath: /contrast, name: contrast-secrets}\n    env:\n"
        "    - {name: COORDINATOR_HOST, value: coordinator-ready}\n"
        "    - {value: aa, name: CONTRAST_OWNER_KEY_DIGESTS}\n"
        "    - name: CONTRAST_PERMITTED_ROOTS\n      value: '' # none\n"
        "    - {name: CONTRAST_DISABLE_SERVICE_MESH, value: 'true'}\n";
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, POD("", "%s" WEB), pieces);
    assert_output(buf_cstr(&text), &fixture_config, pieces);
    struct inject_config other = fixture_config;
    other.owner_digests = "bb";
    assert_output(buf_cstr(&text), &other, "value: \"bb\"");
    other = fixture_config;
    other.coordinator_host = "coordinator-ready.prod";
    assert_output(buf_cstr(&text), &other, "value: \"coordinator-ready.prod\"");
    other = fixture_config;
    other.initializer_image = "init:2";
    assert_output(buf_cstr(&text), &other, "image: init:2\n");
}

static void test_an_initializer_of_the_users_own(void **state) {
    (void)state;
    static const char own[] =
        "  initContainers:\n  - name: contrast-initializer\n    image: mine\n    command: [x]\n";
    static const char more[] =
        "  initContainers:\n  - name: contrast-initializer\n    image: init:1\n"
        "    command: [/usr/bin/contrast-initializer]\n    env: [{name: LOG, value: debug}]\n";
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&text, POD(NOTE("skip-initializer: 'true'"), "%s" WEB), own);
    assert_output(buf_cstr(&text), &fixture_config, own);
    buf_clear(&text);
    buf_appendf(&text, POD(NOTE("skip-initializer: 'true'"), "%s" WEB), more);
    assert_output(buf_cstr(&text), &fixture_config, more);
    static const char bare[] = "  initContainers:\n  - name: contrast-initializer\n"
                               "    command: [/usr/bin/contrast-initializer]\n";
    buf_clear(&text);
    buf_appendf(&text, POD(NOTE("skip-initializer: 'true'"), "%s" WEB), bare);
    assert_output(buf_cstr(&text), &fixture_config, bare);
    struct inject_config c = fixture_config;
    c.skip_initializer = true;
    AUTO(buf_deinit)
    struct buf out = {0};
    inject_ok(POD("", WEB), &c, &out);
    assert_null(strstr(buf_cstr(&out), "contrast-initializer"));
    struct err err = {0};
    assert_false(is_ok(inject(POD(NOTE("renew-certificates: 'true'"), WEB), &c, &out, &err)));
    assert_non_null(strstr(err.text, "remove --skip-initializer"));
}

/* The volume stays while the user's own mount elsewhere needs it. */
static void test_a_volume_that_is_used_stays(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf injected = {0};
    inject_ok(POD("", WEB "    volumeMounts: [{name: contrast-secrets, mountPath: /certs}]\n"),
              &fixture_config, &injected);
    struct inject_config c = fixture_config;
    c.skip_initializer = true;
    assert_output(buf_cstr(&injected), &c,
                  "  volumes:\n  - name: contrast-secrets\n    emptyDir:\n      medium: Memory\n");
    assert_output(buf_cstr(&injected), &c,
                  "    volumeMounts: [{name: contrast-secrets, mountPath: /certs}]\n");
}

/* --- Policies that stand there */

static void test_policy_annotations(void **state) {
    (void)state;
    static const char foreign[] =
        POD("    io.katacontainers.config.agent.policy: cGFja2FnZQ== # old\n", WEB);
    struct inject_config c = fixture_config;
    c.force = true;
    assert_output(foreign, &c, "cGFja2FnZQ== # old\n");
    AUTO(buf_deinit)
    struct buf ours = {0};
    annotate(foreign, &ours);
    assert_null(strstr(buf_cstr(&ours), "cGFja2FnZQ== "));
    assert_output(buf_cstr(&ours), &fixture_config,
                  "    io.katacontainers.config.agent.policy: IyBjb250");
    assert_output(POD("    io.katacontainers.config.agent.policy: ''\n", WEB), &fixture_config,
                  "init:1");
}

/* With another profile the policy moves to the other annotation, and back. */
static void test_another_profile(void **state) {
    (void)state;
    static const struct row profile = {.keys = {P "policy-profile"}, .values = {"initdata"}};
    enum { FIRST, ANNOTATED, SECOND, PLAIN, THIRD, BOTH, FOURTH, COUNT };
    struct buf t[COUNT] = {0};
    annotate("kind: Pod\nmetadata:\n  name: p\n  annotations:\n    note: nn\nspec:\n" WEB,
             &t[FIRST]);
    add_annotations(buf_cstr(&t[FIRST]), &profile, BLOCK, &t[ANNOTATED]);
    annotate(buf_cstr(&t[ANNOTATED]), &t[SECOND]);
    assert_null(strstr(buf_cstr(&t[SECOND]), "agent.policy"));
    assert_non_null(
        strstr(buf_cstr(&t[SECOND]), "    io.katacontainers.config.hypervisor.cc_init_data: H4s"));
    remove_annotations(buf_cstr(&t[SECOND]), &profile, BLOCK, &t[PLAIN]);
    annotate(buf_cstr(&t[PLAIN]), &t[THIRD]);
    assert_same(&t[FIRST], &t[THIRD]);
    buf_append_str(&t[BOTH], POD("    io.katacontainers.config.agent.policy: x\n"
                                 "    io.katacontainers.config.hypervisor.cc_init_data: yy # z\n",
                                 WEB));
    annotate(buf_cstr(&t[BOTH]), &t[FOURTH]);
    assert_null(strstr(buf_cstr(&t[FOURTH]), "cc_init_data"));
    for (size_t i = 0; i < COUNT; i++) {
        buf_deinit(&t[i]);
    }
}

/* --- Digests */

static const char *on_pin(void *data, const char *reference) {
    static char pinned[2][128];
    size_t *calls = data;
    char *out = pinned[(*calls)++ % 2];
    if (strchr(reference, '@') != NULL) {
        return NULL;
    }
    (void)snprintf(out, sizeof pinned[0], "%s" DIGEST, reference);
    return out;
}

static void pin(const char *text, struct buf *out) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits = {0};
    struct err err = {0};
    size_t calls = 0;
    assert_true(is_ok(yaml_parse("f.yaml", span_str(text), &file, &err)));
    yaml_edits_init(&edits, &file);
    assert_true(is_ok(workload_find(&file, &list, &err)));
    if (!is_ok(inject_pins(&list.items[0], on_pin, &calls, &edits, &err)) ||
        !is_ok(yaml_edits_apply(&edits, out, &err))) {
        fail_msg("%s", err.text);
    }
}

static void test_pins_keep_quotes_and_comments(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf out = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    pin(POD("",
            "  initContainers:\n  - {name: a, image: a:1} # a\n  - image: 'b' # b\n    name: b\n"
            "  containers:\n  - name: c\n    image: \"h:5000/c:2\"\n  - name: d\n    image: "
            "d" DIGEST
            "\n  - name: e\n  - name: f\n    image: &f f:1 # f\n  - name: g\n    image: *f\n"
            "  - name: h\n    image: >-\n      h:1\n"),
        &out);
    assert_string_equal(
        buf_cstr(&out),
        POD("", "  initContainers:\n  - {name: a, image: a:1" DIGEST "} # a\n  - image: 'b" DIGEST
                "' # b\n    name: b\n  containers:\n  - name: c\n    image: \"h:5000/c:2" DIGEST
                "\"\n  - name: d\n    image: d" DIGEST
                "\n  - name: e\n  - name: f\n    image: &f f:1" DIGEST
                " # f\n  - name: g\n    image: *f\n"
                "  - name: h\n    image: h:1" DIGEST "\n"));
    pin(buf_cstr(&out), &again);
    assert_same(&out, &again);
}

/* --- The sidecar's policy */

static void test_policy_of_the_mesh(void **state) {
    (void)state;
    struct image image = {.reference = mem_strdup("mesh:1")};
    static const char text[] = "{\"architecture\": \"amd64\", \"os\": \"linux\", \"config\": "
                               "{\"Entrypoint\": [\"/bin/service-mesh\"]}}";
    struct err err = {0};
    mem_free(image.reference);
    assert_true(is_ok(image_read("mesh:1", span_str(text), &image, &err)));
    const struct image_list images = {&image, 1};
    const struct policy_inputs inputs = {.images = &images};
    AUTO(buf_deinit)
    struct buf out = {0};
    inject_ok(POD(NOTE("servicemesh-egress: a#127.0.0.1:80#b.example:80"), WEB), &fixture_config,
              &out);
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    assert_true(is_ok(yaml_parse("f.yaml", buf_span(&out), &file, &err)));
    assert_true(is_ok(workload_find(&file, &list, &err)));
    json_t *data = NULL;
    if (!is_ok(policy_data_make(&list.items[0], &inputs, &data, &err))) {
        fail_msg("%s", err.text);
    }
    json_t *mesh = json_array_get(json_object_get(data, "containers"), 2);
    char *dump = json_dumps(mesh, JSON_COMPACT | JSON_SORT_KEYS);
    static const char *const want[] = {"\"args\":[\"/bin/service-mesh\"]",
                                       "\"CAP_NET_ADMIN\"",
                                       "\"privileged\":true",
                                       "\"uid\":0",
                                       "\"at\":\"/contrast\"",
                                       "CONTRAST_EGRESS_PROXY_CONFIG=a#127.0.0.1:80#b.example:80",
                                       "CONTRAST_INGRESS_PROXY_CONFIG="};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        if (strstr(dump, want[i]) == NULL) {
            fail_msg("no %s in %s", want[i], dump);
        }
    }
    free(dump);
    json_decref(data);
    image_deinit(&image);
}

int main(void) {
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_layout_and_annotation),
        cmocka_unit_test(test_refused_pods),
        cmocka_unit_test(test_a_shared_spec),
        cmocka_unit_test(test_runtime_classes),
        cmocka_unit_test(test_what_the_user_chose_stays),
        cmocka_unit_test(test_pieces_in_another_style_stay),
        cmocka_unit_test(test_an_initializer_of_the_users_own),
        cmocka_unit_test(test_a_volume_that_is_used_stays),
        cmocka_unit_test(test_policy_annotations),
        cmocka_unit_test(test_another_profile),
        cmocka_unit_test(test_pins_keep_quotes_and_comments),
        cmocka_unit_test(test_policy_of_the_mesh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
