/* The table of fields: against the Kubernetes API (pod_api.txt), against docs/fields.md, and row
 * class by row class. "test_pod_fields --table" prints what docs/fields.md has to hold.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/pod_tables.h"
#include "lib/base/file.h"

#define API_FILE "cli/policy/test/pod_api.txt"
#define DOC_FILE "docs/fields.md"
#define PATH_SIZE 512

/* --- pod_api.txt: type -> {field -> type} */

static json_t *load_api(void) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct err err = {0};
    if (!is_ok(file_read(API_FILE, 1 << 20, &text, &err))) {
        fail_msg("%s", err.text);
    }
    json_t *api = json_object();
    json_t *type = NULL;
    char *rest = NULL;
    char *line_rest = NULL;
    for (char *line = strtok_r((char *)text.data, "\n", &line_rest); line != NULL;
         line = strtok_r(NULL, "\n", &line_rest)) {
        if (line[0] == '#') {
            continue;
        }
        for (char *word = strtok_r(line, " ", &rest); word != NULL;
             word = strtok_r(NULL, " ", &rest)) {
            char *equals = strchr(word, '=');
            if (equals == NULL) {
                word[strcspn(word, ":")] = '\0';
                type = json_object();
                json_object_set_new(api, word, type);
            } else {
                *equals = '\0';
                json_object_set_new(type, word, json_string(equals + 1));
            }
        }
    }
    return api;
}

/* "[Container]" and "Container" are the same struct. */
static const json_t *struct_of(const json_t *api, const char *type) {
    char name[96];
    (void)snprintf(name, sizeof name, "%s", type[0] == '[' ? type + 1 : type);
    name[strcspn(name, "]")] = '\0';
    return json_object_get(api, name);
}

/* --- The table has the API's fields, with their types */

struct seen {
    const json_t *api;
    size_t rows;
    char path[PATH_SIZE];
};

static size_t enter(struct seen *s, const char *name, const char *suffix) {
    size_t old = strlen(s->path);
    (void)snprintf(s->path + old, PATH_SIZE - old, ".%s%s", name, suffix);
    return old;
}

static bool is_type(enum pod_field_type have, const char *want) {
    static const struct {
        const char *name;
        enum pod_field_type types[2];
    } rows[] = {
        {"text", {POD_FIELD_STRING, POD_FIELD_SCALAR}},
        {"int", {POD_FIELD_INT, POD_FIELD_INT}},
        {"bool", {POD_FIELD_BOOL, POD_FIELD_BOOL}},
        {"texts", {POD_FIELD_STRINGS, 0}},
        {"ints", {POD_FIELD_INTS, POD_FIELD_INTS}},
        {"map", {POD_FIELD_TEXTS, POD_FIELD_SCALARS}},
        {"scalar", {POD_FIELD_SCALAR, 0}},
        {"time", {POD_FIELD_TIME, 0}},
        {"object", {POD_FIELD_OBJECT, 0}},
        {"list", {POD_FIELD_LIST, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, want) == 0) {
            return have == rows[i].types[0] || (have != 0 && have == rows[i].types[1]);
        }
    }
    return have == (want[0] == '[' ? POD_FIELD_LIST : POD_FIELD_OBJECT);
}

/* Fields that older versions of the API had. */
static bool is_old(const char *name) {
    static const char *const old[] = {"rollbackTo", "templateGeneration", "clusterName", "pool"};
    bool is_one = false;
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        is_one = is_one || strcmp(old[i], name) == 0;
    }
    return is_one;
}

static void check_rows(struct seen *s, const struct pod_table *table, const json_t *type) {
    for (size_t i = 0; i < table->count; i++) {
        const char *name = table->fields[i].name;
        if (json_object_get(type, name) == NULL && !is_old(name)) {
            fail_msg("%s.%s: the API has no such field", s->path, name);
        }
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(name, table->fields[k].name);
        }
    }
}

static void check_table(struct seen *s, const struct pod_table *table, const char *type_name) {
    const json_t *type = struct_of(s->api, type_name);
    assert_non_null(type);
    check_rows(s, table, type);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)type, name, value) {
        const struct pod_field *field = pod_fields_find(table, name);
        size_t old = enter(s, name, "");
        const char *want = json_string_value(value);
        s->rows++;
        if (field == NULL) {
            fail_msg("%s: in no table", s->path);
        } else if (!is_type(field->type, want)) {
            fail_msg("%s: the API says %s", s->path, want);
        } else if (field->table != NULL) {
            check_table(s, field->table, want);
        }
        s->path[old] = '\0';
    }
}

static const char *const kinds[][2] = {
    {"Pod", "Pod"},
    {"Deployment", "DeploymentSpec"},
    {"StatefulSet", "StatefulSetSpec"},
    {"DaemonSet", "DaemonSetSpec"},
    {"ReplicaSet", "ReplicaSetSpec"},
    {"ReplicationController", "ReplicationControllerSpec"},
    {"Job", "JobSpec"},
    {"CronJob", "CronJobSpec"},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void test_table_has_the_api(void **state) {
    (void)state;
    json_t *api = load_api();
    struct seen s = {.api = api};
    for (size_t i = 0; i < KINDS; i++) {
        const struct pod_table *table = pod_fields_table(kinds[i][0]);
        assert_non_null(table);
        (void)snprintf(s.path, sizeof s.path, "%s", kinds[i][0]);
        check_table(&s, i == 0 ? table : pod_fields_find(table, "spec")->table, kinds[i][1]);
    }
    assert_null(pod_fields_table("Service"));
    assert_true(s.rows > 3000); /* nine pods, as seven controllers have one, too */
    json_decref(api);
}

/* --- A pod with any one of the API's fields is read, or refused by name */

static struct result read_text(const char *yaml, const struct policy_exceptions *allowed,
                               json_t **out, struct err *err) {
    struct yaml_file file = {0};
    struct workload_list list = {0};
    const json_t *pod = NULL;
    *out = NULL;
    struct result r = yaml_parse("f.yaml", span_str(yaml), &file, err);
    if (is_ok(r)) {
        r = workload_find(&file, &list, err);
    }
    if (is_ok(r)) {
        assert_int_equal(list.count, 1);
        r = pod_fields_read(&list.items[0], allowed, out, &pod, err);
    }
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    return r;
}

static const char *sample_of(const char *type) {
    static const char *const rows[][2] = {
        {"text", "\"x\""}, {"int", "1"},      {"bool", "true"},   {"texts", "[\"x\"]"},
        {"ints", "[1]"},   {"map", "{a: b}"}, {"scalar", "8080"}, {"time", "2020-01-01T00:00:00Z"},
        {"object", "{}"},  {"list", "[]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i][0], type) == 0) {
            return rows[i][1];
        }
    }
    return "{}";
}

struct attempt {
    const json_t *api;
    size_t read;
    size_t refused;
    struct buf before; /* "{a: [{b: " */
    struct buf after;  /* closes it, backwards */
    char path[PATH_SIZE];
};

static bool is_explained(const struct err *err, const char *path) {
    return strstr(err->text, ": refused: ") != NULL || strstr(err->text, " is refused: ") != NULL ||
           (strstr(err->text, " is none of ") != NULL && strstr(err->text, path) != NULL);
}

static void try_leaf(struct attempt *a, const char *sample) {
    AUTO(buf_deinit)
    struct buf yaml = {0};
    buf_appendf(&yaml, "kind: Pod\nmetadata: {name: a}\nspec: %s%s", buf_cstr(&a->before), sample);
    for (size_t i = a->after.size; i > 0; i--) {
        buf_append(&yaml, a->after.data + i - 1, 1);
    }
    static const struct policy_exceptions none = {0};
    struct err err = {0};
    json_t *out = NULL;
    if (is_ok(read_text(buf_cstr(&yaml), &none, &out, &err))) {
        a->read++;
    } else if (is_explained(&err, a->path)) {
        a->refused++;
    } else {
        fail_msg("%s: %s", a->path, err.text);
    }
    json_decref(out);
}

static void try_type(struct attempt *a, const char *type_name) {
    const json_t *type = struct_of(a->api, type_name);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)type, name, value) {
        const char *field = json_string_value(value);
        bool is_list = field[0] == '[';
        size_t before = a->before.size;
        size_t after = a->after.size;
        size_t old = strlen(a->path);
        (void)snprintf(a->path + old, PATH_SIZE - old, ".%s%s", name, is_list ? "[0]" : "");
        buf_appendf(&a->before, "{%s: %s", name, is_list ? "[" : "");
        buf_append_str(&a->after, is_list ? "}]" : "}");
        if (struct_of(a->api, field) != NULL) {
            try_type(a, field);
        } else {
            try_leaf(a, sample_of(field));
        }
        a->before.size = before;
        a->after.size = after;
        a->path[old] = '\0';
    }
}

static void test_each_field_of_the_api_is_read_or_refused(void **state) {
    (void)state;
    json_t *api = load_api();
    struct attempt a = {.api = api, .path = "spec"};
    try_type(&a, "PodSpec");
    assert_true(a.read > 500);
    assert_true(a.refused > 50);
    buf_deinit(&a.before);
    buf_deinit(&a.after);
    json_decref(api);
}

/* --- Rows by class */

#define POD(spec) "kind: Pod\nmetadata: {name: a}\nspec:\n" spec

static void assert_fails(const char *yaml, const char *want) {
    static const struct policy_exceptions none = {0};
    struct err err = {0};
    json_t *out = NULL;
    struct result r = read_text(yaml, &none, &out, &err);
    if (r.code != ERR_INVALID || strncmp(err.text, want, strlen(want)) != 0) {
        fail_msg("want '%s', got '%s'", want, is_ok(r) ? "no error" : err.text);
    }
    assert_null(out);
}

/* The used fields of the pod, without "kind" and so on. */
static void assert_reads(const char *yaml, const char *want) {
    static const struct policy_exceptions none = {0};
    struct err err = {0};
    json_t *out = NULL;
    if (!is_ok(read_text(yaml, &none, &out, &err))) {
        fail_msg("%s", err.text);
    }
    char *text = json_dumps(json_object_get(out, "spec"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, want);
    mem_free(text);
    json_decref(out);
}

static void test_used(void **state) {
    (void)state;
    assert_reads(POD("  hostname: h\n  containers:\n  - name: x\n    tty: true\n    command: [c]\n"
                     "    resources: {limits: {cpu: .5, memory: 1Gi}}\n"
                     "    securityContext: {runAsUser: 010}\n"),
                 "{\"containers\":[{\"command\":[\"c\"],\"name\":\"x\",\"resources\":{\"limits\":"
                 "{\"cpu\":\".5\",\"memory\":\"1Gi\"}},\"securityContext\":{\"runAsUser\":8},"
                 "\"tty\":true}],\"hostname\":\"h\"}");
    assert_reads(POD("  hostname: null\n  containers: ~\n"), "{}");
    assert_reads("kind: CronJob\nmetadata: {name: a}\nspec: {jobTemplate: {spec: {template: {spec: "
                 "{hostname: h}}}}}\n",
                 "{\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"hostname\":\"h\"}}}}}");
}

static void test_ignored_fields_are_checked_and_left_out(void **state) {
    (void)state;
    assert_reads(POD("  nodeName: node\n  tolerations: [{key: k, tolerationSeconds: 3}]\n"
                     "  terminationGracePeriodSeconds: 5\n  overhead: {cpu: 1}\n"),
                 "{}");
    assert_fails(POD("  tolerations: [{key: 1}]\n"),
                 "f.yaml:4:23: spec.tolerations[0].key: must be a string");
    assert_fails(POD("  affinity: {nodeAffinity: []}\n"),
                 "f.yaml:4:28: spec.affinity.nodeAffinity: must be a mapping");
    assert_fails(POD("  terminationGracePeriodSeconds: soon\n"),
                 "f.yaml:4:34: spec.terminationGracePeriodSeconds: must be");
    assert_fails(POD("  imagePullSecrets: {name: x}\n"),
                 "f.yaml:4:21: spec.imagePullSecrets: must be a list");
}

static void test_refused(void **state) {
    (void)state;
    assert_fails(POD("  hostNetwork: true\n"),
                 "f.yaml:4:16: spec.hostNetwork: true is refused: a confidential pod has its");
    assert_fails(POD("  volumes:\n  - {name: v, nfs: {server: s, path: /}}\n"),
                 "f.yaml:5:15: spec.volumes[0].nfs: refused: a file system of others");
    assert_fails(POD("  ephemeralContainers:\n  - name: x\n"),
                 "f.yaml:4:3: spec.ephemeralContainers: refused: they join a running pod");
    assert_fails(POD("  containers: [{name: x, securityContext: {procMount: Unmasked}}]\n"),
                 "f.yaml:4:55: spec.containers[0].securityContext.procMount: \"Unmasked\" is");
    assert_fails(
        POD("  containers: [{volumeMounts: [{mountPropagation: Some}]}]\n"),
        "f.yaml:4:51: spec.containers[0].volumeMounts[0].mountPropagation: \"Some\" is none "
        "of None|HostToContainer|Bidirectional");
    assert_reads(POD("  hostNetwork: false\n  hostUsers: true\n  ephemeralContainers: []\n"
                     "  resourceClaims: null\n"),
                 "{\"hostNetwork\":false,\"hostUsers\":true}");
}

static void test_unknown(void **state) {
    (void)state;
    assert_fails(
        POD("  hostnetwork: true\n"),
        "f.yaml:4:3: spec.hostnetwork: this version does not know the field, so the policy "
        "could not cover it; did you mean \"hostNetwork\"? Otherwise remove it, or name it "
        "with --allow-unknown");
    assert_fails(POD("  containers: [{imagePulPolicy: Always}]\n"),
                 "f.yaml:4:17: spec.containers[0].imagePulPolicy: this version does not know the "
                 "field, so the policy could not cover it; did you mean \"imagePullPolicy\"?");
    assert_fails(POD("  containers: [{runAsUser: 1}]\n"),
                 "f.yaml:4:17: spec.containers[0].runAsUser: this version does not know the field, "
                 "so the policy could not cover it; did you mean \"securityContext.runAsUser\"?");
    assert_fails(POD("  volumeMounts: []\n"),
                 "f.yaml:4:3: spec.volumeMounts: this version does not know the field, so the "
                 "policy could not cover it; did you mean \"containers[].volumeMounts\"?");
    assert_fails(POD("  containers: [{surprise: Always}]\n"),
                 "f.yaml:4:17: spec.containers[0].surprise: this version does not know the field, "
                 "so the policy could not cover it; remove it, or name it with --allow-unknown");
    assert_fails(
        "kind: Deployment\nmetadata: {name: a}\nspec:\n  replica: 2\n  template: {spec: {a: "
        "b}}\n",
        "f.yaml:4:3: spec.replica: this version does not know the field, so the "
        "policy could not cover it; did you mean \"replicas\"?");
    assert_fails("kind: Pod\nmetadata: {name: a, anotations: {}}\nspec: {hostname: a}\n",
                 "f.yaml:2:21: metadata.anotations: this version does not know the field, so the "
                 "policy could not cover it; did you mean \"annotations\"?");
}

static void test_paths_are_those_of_the_document(void **state) {
    (void)state;
    assert_fails(
        "kind: List\nitems:\n- kind: Service\n- kind: CronJob\n  metadata: {name: a}\n"
        "  spec: {jobTemplate: {spec: {template: {spec: {hostIPC: true}}}}}\n",
        "f.yaml:6:58: items[1].spec.jobTemplate.spec.template.spec.hostIPC: true is refused");
    assert_fails(
        "kind: Deployment\nmetadata: {name: a}\nspec:\n  template: {metadata: {x: 1}, spec: "
        "{a: b}}\n",
        "f.yaml:4:25: spec.template.metadata.x: this version does not know");
}

static void test_unknown_fields_can_be_allowed_one_by_one(void **state) {
    (void)state;
    static const char *const paths[] = {"spec.containers[].new", "spec.new"};
    const struct policy_exceptions allowed = {paths, 2};
    const char *const good = "kind: Job\nmetadata: {name: a}\nspec: {new: 1, template: {spec: "
                             "{containers: [{name: x, new: {a: [1]}}]}}}\n";
    const char *const bad = "kind: Job\nmetadata: {name: a}\nspec: {template: {spec: "
                            "{initContainers: [{name: x, new: 1}]}}}\n";
    struct err err = {0};
    json_t *out = NULL;
    assert_true(is_ok(read_text(good, &allowed, &out, &err)));
    json_decref(out);
    assert_int_equal(read_text(bad, &allowed, &out, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "spec.template.spec.initContainers[0].new: this version"));
}

/* --- docs/fields.md */

#define TABLES 128

struct render {
    struct buf *out;
    const struct pod_table *done[TABLES];
    size_t count;
    const struct pod_field *last;       /* whose row is open */
    const struct pod_table *last_table; /* where it stands */
    char path[PATH_SIZE];
};

static bool is_done(struct render *r, const struct pod_table *table) {
    for (size_t i = 0; i < r->count; i++) {
        if (r->done[i] == table) {
            return true;
        }
    }
    assert_true(r->count < TABLES);
    r->done[r->count++] = table;
    return false;
}

static void render_values(struct buf *out, const char *values) {
    for (const char *p = values; *p != '\0';) {
        size_t size = strcspn(p, "|");
        buf_appendf(out, "%s`%.*s`", p != values ? ", " : "", (int)size, p);
        p += p[size] == '|' ? size + 1 : size;
    }
    buf_append_str(out, " alone");
}

static void close_row(struct render *r) {
    static const char *const classes[] = {"used", "ignored", "refused"};
    const struct pod_field *field = r->last;
    if (field == NULL) {
        return;
    }
    buf_append_str(r->out, " | ");
    if (field->class == POD_FIELD_REFUSED && field->values != NULL) {
        render_values(r->out, field->values);
    } else {
        buf_append_str(r->out, classes[field->class]);
    }
    buf_appendf(r->out, " | %s |\n", field->why);
    r->last = NULL;
}

/* Neighbors with the same reason share a row. */
static void render_row(struct render *r, const struct pod_table *table,
                       const struct pod_field *field) {
    bool is_same = r->last != NULL && r->last_table == table && r->last->class == field->class &&
                   r->last->values == field->values && strcmp(r->last->why, field->why) == 0;
    if (is_same) {
        buf_appendf(r->out, ", `%s`", strrchr(r->path, '.'));
        return;
    }
    close_row(r);
    buf_appendf(r->out, "| `%s`", r->path);
    r->last = field;
    r->last_table = table;
}

/* Rows with a reason of their own; what stands below an ignored field is ignored with it. */
static void render_table(struct render *r, const struct pod_table *table) {
    for (size_t i = 0; i < table->count; i++) {
        const struct pod_field *field = &table->fields[i];
        size_t old = strlen(r->path);
        (void)snprintf(r->path + old, PATH_SIZE - old, ".%s%s", field->name,
                       field->type == POD_FIELD_LIST ? "[]" : "");
        if (field->why != NULL) {
            render_row(r, table, field);
        }
        if (field->table != NULL && field->class != POD_FIELD_IGNORED &&
            !is_done(r, field->table)) {
            size_t size = field->table->root != NULL ? 0 : strlen(r->path);
            char outer[PATH_SIZE];
            (void)snprintf(outer, sizeof outer, "%s", r->path);
            (void)snprintf(r->path + size, PATH_SIZE - size, "%s",
                           field->table->root != NULL ? field->table->root : "");
            render_table(r, field->table);
            (void)snprintf(r->path, sizeof r->path, "%s", outer);
        }
        r->path[old] = '\0';
    }
}

static void render_all(struct buf *out) {
    struct render r = {.out = out};
    buf_append_str(out, "| field | | why |\n|---|---|---|\n");
    for (size_t i = 0; i < KINDS; i++) {
        const struct pod_table *table = pod_fields_table(kinds[i][0]);
        const struct pod_table *spec = pod_fields_find(table, "spec")->table;
        (void)snprintf(r.path, sizeof r.path, "%s%s", kinds[i][0], i > 1 ? ".spec" : "");
        render_table(&r, i > 1 ? spec : table);
    }
    close_row(&r);
}

static void test_document_has_the_table(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf doc = {0};
    AUTO(buf_deinit)
    struct buf table = {0};
    struct err err = {0};
    if (!is_ok(file_read(DOC_FILE, 1 << 20, &doc, &err))) {
        fail_msg("%s", err.text);
    }
    render_all(&table);
    if (strstr(buf_cstr(&doc), buf_cstr(&table)) == NULL) {
        fail_msg("%s has another table; put in what test_pod_fields --table prints", DOC_FILE);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        struct buf table = {0};
        render_all(&table);
        (void)fputs(buf_cstr(&table), stdout);
        buf_deinit(&table);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_has_the_api),
        cmocka_unit_test(test_each_field_of_the_api_is_read_or_refused),
        cmocka_unit_test(test_used),
        cmocka_unit_test(test_ignored_fields_are_checked_and_left_out),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_paths_are_those_of_the_document),
        cmocka_unit_test(test_unknown_fields_can_be_allowed_one_by_one),
        cmocka_unit_test(test_document_has_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
