/* Layouts: pods in every way that people write YAML, through all edits of `contrast generate`.
 *
 * After the edits each line of the input is still there, in order, byte for byte, but for the lines
 * of images (pinned) and those that an edit in braces shares; JSON is still JSON; a second run over
 * the result changes nothing; each pod has its pieces.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/policy/inject.h"
#include "cli/policy/policy_text.h"

#define DIGEST "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *pin(void *data, const char *reference) {
    (void)data;
    static char pinned[256];
    (void)snprintf(pinned, sizeof pinned, "%s" DIGEST, reference);
    return strchr(reference, '@') == NULL ? pinned : NULL;
}

/* --- The stages of a run, on one file */

enum stage { STAGE_INJECT, STAGE_PIN, STAGE_ANNOTATE, STAGES };

static RESULT edit_pod(enum stage stage, const struct workload *w, const struct yaml_file *file,
                       struct yaml_edits *edits, struct err *err) {
    static const struct inject_config config = {.initializer_image = "reg.example/init:1" DIGEST,
                                                .coordinator_host = "coordinator-ready",
                                                .owner_digests = "aa",
                                                .permitted_roots = ""};
    const struct policy_inputs inputs = {.files = file, .file_count = 1};
    if (stage == STAGE_INJECT) {
        return inject_pod(w, &config, edits, err);
    }
    if (stage == STAGE_PIN) {
        return inject_pins(w, pin, NULL, edits, err);
    }
    AUTO(buf_deinit)
    struct buf policy = {0};
    TRY(policy_text_make(w, &inputs, &policy, err));
    return inject_policy(w, buf_span(&policy), edits, err);
}

static RESULT edit_file(enum stage stage, const struct yaml_file *file, struct buf *out,
                        struct err *err) {
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits;
    yaml_edits_init(&edits, file);
    TRY(workload_find(file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].is_confidential) {
            TRY(edit_pod(stage, &list.items[i], file, &edits, err));
        }
    }
    return yaml_edits_apply(&edits, out, err);
}

/* All stages in a row: replaces *text. */
static RESULT generate(struct buf *text, struct err *err) {
    for (int stage = 0; stage < STAGES; stage++) {
        struct yaml_file file = {0};
        struct buf next = {0};
        TRY(yaml_parse("f.yaml", buf_span(text), &file, err));
        struct result r = edit_file((enum stage)stage, &file, &next, err);
        yaml_file_deinit(&file);
        if (!is_ok(r)) {
            buf_deinit(&next);
            return r;
        }
        buf_deinit(text);
        *text = next;
    }
    return OK;
}

/* --- What must hold */

static struct span next_line(struct span *rest) {
    const uint8_t *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    size_t size = end != NULL ? (size_t)(end - rest->data) + 1 : rest->size;
    struct span line = span_of(rest->data, size);
    *rest = span_of(rest->data + size, rest->size - size);
    return line;
}

static bool contains(struct span line, const char *text) {
    return memmem(line.data, line.size, text, strlen(text)) != NULL;
}

static bool is_edited(struct span line) {
    return contains(line, "i:1") || contains(line, "image:") || contains(line, ": ~") ||
           contains(line, "{") || contains(line, "[") || contains(line, "runtimeClassName") ||
           contains(line, "null");
}

static void assert_lines_kept(const char *before, struct span after, const char *name) {
    struct span rest = span_str(before);
    while (rest.size > 0) {
        struct span line = next_line(&rest);
        bool is_found = is_edited(line);
        struct span left = after;
        while (!is_found && left.size > 0) {
            is_found = span_equal(next_line(&left), line);
        }
        if (!is_found) {
            fail_msg("%s: the line '%.*s' is lost in\n%.*s", name, (int)line.size,
                     (const char *)line.data, (int)after.size, (const char *)after.data);
        }
        after = is_edited(line) ? after : left;
    }
}

static size_t count_of(struct span text, const char *part) {
    size_t count = 0;
    while (text.size > 0) {
        const uint8_t *at = memmem(text.data, text.size, part, strlen(part));
        if (at == NULL) {
            break;
        }
        count++;
        size_t used = (size_t)(at - text.data) + 1;
        text = span_of(text.data + used, text.size - used);
    }
    return count;
}

struct row {
    const char *name;
    const char *text;
    size_t pods;
};

static void assert_row(const struct row *row) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf again = {0};
    struct err err;
    buf_append_str(&text, row->text);
    if (!is_ok(generate(&text, &err))) {
        fail_msg("%s: %s", row->name, err.text);
    }
    buf_append_span(&again, buf_span(&text));
    if (!is_ok(generate(&again, &err)) || !span_equal(buf_span(&text), buf_span(&again))) {
        fail_msg("%s: the second run changes\n%s\ninto\n%s", row->name, buf_cstr(&text),
                 buf_cstr(&again));
    }
    assert_lines_kept(row->text, buf_span(&text), row->name);
    size_t policies = count_of(buf_span(&text), "io.katacontainers.config.agent.policy");
    size_t inits = count_of(buf_span(&text), "contrast-initializer\"") +
                   count_of(buf_span(&text), "name: contrast-initializer");
    if (policies != row->pods || inits < row->pods) {
        fail_msg("%s: %zu policies, %zu initializers in\n%s", row->name, policies, inits,
                 buf_cstr(&text));
    }
    if (strncmp(row->name, "JSON", 4) == 0) {
        json_t *json = json_loads(buf_cstr(&text), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        json_decref(json);
    }
    bool is_crlf = strstr(row->text, "\r\n") != NULL;
    assert_true(!is_crlf || count_of(buf_span(&text), "\n") == count_of(buf_span(&text), "\r\n"));
}

/* --- The layouts */

#define POD "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n"

static const struct row rows[] = {
    {"block", POD "spec:\n  containers:\n  - name: c\n    image: i:1\n    command: [a]\n", 1},
    {"no final line end", POD "spec:\n  containers:\n  - name: c\n    image: i:1\n    tty: true",
     1},
    {"carriage returns",
     "apiVersion: v1\r\nkind: Pod\r\nmetadata:\r\n  name: web # n\r\nspec:\r\n  # c\r\n  "
     "containers:\r\n"
     "  - image: 'i:1' # i\r\n    name: c\r\n    args:\r\n    - |\r\n      a\r\n\r\n      b\r\n",
     1},
    {"byte order mark", "\xef\xbb\xbf" POD "spec:\n  containers: [{name: c, image: i:1}]\n", 1},
    {"comments",
     "# of the file\n\n# of the kind\nkind: Pod # k\nmetadata: # m\n  # of the name\n  name: web\n"
     "  # of the labels\n  labels:   # l\n    # of a\n    a: b   \n    # last\nspec: # s\n# left\n"
     "  # of the containers\n  containers: # cs\n  # of the first\n  - # dash\n    # of the name\n"
     "    name: c # n\n    # of the image\n    image: i:1 # i\n    # of env\n    env: # e\n"
     "    # of A\n    - name: A\t# tab\n      value: 'x' # v\n  # of the end\n# end\n",
     1},
    {"scalars of many lines",
     POD
     "  annotations:\n    a: >\n      folded\n       text\n\n      end\n    b: |+\n      "
     "kept\n\n\n    "
     "c: \"x\n      y\"\nspec:\n  containers:\n  - name: c\n    image: >-\n      i:1\n    args: "
     "[\"a\n      b\"]\n    command:\n    - sh\n    - |\n      # no comment\n      x: y\n",
     1},
    {"lists in the column of their key, and deep ones",
     POD
     "spec:\n      containers:\n      -     name: c\n            image: \"i:1\"\n            env:\n"
     "                    -   name: A\n                        value: a\n      volumes:\n"
     "      - name: v\n        emptyDir: {}\n",
     1},
    {"nothing where pieces go",
     POD
     "  annotations:\nspec:\n  initContainers: []\n  volumes: # none\n  containers:\n  - name: c\n"
     "    image: i:1\n    volumeMounts:\n",
     1},
    {"null and tilde",
     POD "  annotations: ~\nspec:\n  initContainers: null\n  volumes: null # none\n  containers:\n"
         "  - name: c\n    image: i:1\n    volumeMounts: ~\n",
     1},
    {"braces", "{kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: i:1}]}}\n",
     1},
    {"braces over lines",
     POD
     "spec: {\n    # why\n    containers: [ # cs\n      {name: c, # n\n       image: i:1}, # i\n"
     "    ],\n  }\n",
     1},
    {"JSON",
     "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\"},\"spec\":{"
     "\"containers\":"
     "[{\"name\":\"c\",\"image\":\"i:1\",\"env\":[{\"name\":\"A\",\"value\":\"\\u00e9\"}]}]}}",
     1},
    {"JSON with tabs",
     "{\n\t\"kind\": \"Deployment\",\n\t\"metadata\": {\n\t\t\"name\": \"web\"\n\t},\n\t\"spec\": "
     "{\n"
     "\t\t\"selector\": {},\n\t\t\"template\": {\n\t\t\t\"metadata\": {\n\t\t\t\t\"labels\": {\n"
     "\t\t\t\t\t\"a\": \"b\"\n\t\t\t\t}\n\t\t\t},\n\t\t\t\"spec\": {\n\t\t\t\t\"containers\": [\n"
     "\t\t\t\t\t{\n\t\t\t\t\t\t\"name\": \"c\",\n\t\t\t\t\t\t\"image\": "
     "\"i:1\"\n\t\t\t\t\t}\n\t\t\t\t]\n"
     "\t\t\t}\n\t\t}\n\t}\n}\n",
     1},
    {"documents",
     "%YAML 1.1\n---\n# only a comment\n---\n" POD
     "spec:\n  containers:\n  - {name: c, image: i:1}\n...\n"
     "# between\n---\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  k: |\n    kind: Pod\n    ---\n"
     "--- # last\nkind: CronJob\nmetadata:\n  name: cron\nspec:\n  jobTemplate:\n    spec:\n      "
     "template:\n        spec:\n          containers:\n          - name: c\n            image: "
     "i:1\n...\n",
     2},
    {"a List",
     "kind: List\nitems:\n- kind: Pod\n  metadata:\n    name: a\n  spec:\n    containers:\n    - "
     "name: c\n"
     "      image: i:1\n-   kind: Pod\n    metadata: {name: b}\n    spec:\n        containers:\n"
     "        - name: c\n          image: i:1\n",
     2},
    {"anchors of values",
     POD
     "  labels: &l\n    a: b\nspec:\n  containers:\n  - &c1\n    name: &n c\n    image: &i i:1\n"
     "    env: &e\n    - name: A\n      value: a\n    volumeMounts: &m # shared\n    - name: v\n"
     "      mountPath: /v\n  - name: d\n    image: *i\n    env: *e\n    volumeMounts: *m\n  "
     "volumes:\n"
     "  - name: v\n    emptyDir: &x {}\n  nodeSelector: *l\n",
     1},
    {"merge keys",
     POD "spec:\n  containers:\n  - &base\n    name: c\n    image: i:1\n    env:\n    - name: A\n  "
         "    value: "
         "a\n  - <<: *base\n    name: d # another\n",
     1},
    {"pods that share their spec",
     "kind: List\nitems:\n- kind: Pod\n  metadata:\n    name: a\n  spec: &spec\n    containers:\n"
     "    - name: c\n      image: i:1\n- kind: Pod\n  metadata:\n    name: b\n  spec: *spec\n",
     2},
    {"question marks",
     "? kind\n: Pod\nmetadata:\n  ? name\n  : web\nspec:\n  containers:\n  - ? name\n    : c\n    "
     "image: i:1\n",
     1},
};

static void test_layouts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_row(&rows[i]);
    }
}

/* Two pods that would need different text at one place are refused, with the place. */
static void test_shared_metadata_is_refused(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf text = {0};
    struct err err = {0};
    buf_append_str(
        &text, "kind: List\nitems:\n- kind: Job\n  metadata: {name: a}\n  spec: &s\n    template:\n"
               "      spec:\n        containers:\n        - name: c\n          image: i:1\n"
               "- kind: Job\n  metadata: {name: b}\n  spec: *s\n");
    assert_int_equal(generate(&text, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "an alias brings this to several places"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_shared_metadata_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
