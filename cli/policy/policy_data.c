/* Policy data: from a workload's fields to the policy's data, and whose pods it is for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_data.h"

#include "cli/policy/policy_derive.h"

#include <ctype.h>
#include <string.h>

/* --- The pod's name */

/* What controllers append: k8s.io/apimachinery/pkg/util/rand's alphabet. */
#define RANDOM "[bcdfghjklmnpqrstvwxz2456789]"
/* What stays of a name before five such characters: apiserver/pkg/storage/names, generate.go. */
#define BASE_SIZE 58
/* Hash of a template, minutes since 1970, index of a pod: at most so many characters. */
#define MIDDLE_SIZE 10

static void append_escaped(struct buf *out, const char *name, size_t size) {
    for (size_t i = 0; i < size && name[i] != '\0'; i++) {
        if (!isalnum((unsigned char)name[i]) && name[i] != '-') {
            buf_append_str(out, "\\");
        }
        buf_append(out, name + i, 1);
    }
}

/* "name-" and random characters; `middle`, a class of characters or NULL, stands between, with a
 * dash behind. Long names lose their end, and the dashes with it. */
static void append_generated(struct buf *out, const char *name, const char *middle) {
    size_t size = strlen(name);
    append_escaped(out, name, BASE_SIZE);
    if (size >= BASE_SIZE) {
        buf_append_str(out, RANDOM "+");
    } else if (middle == NULL) {
        buf_append_str(out, "-" RANDOM "+");
    } else if (size + MIDDLE_SIZE + 2 <= BASE_SIZE) {
        buf_appendf(out, "-%s+-" RANDOM "+", middle);
    } else {
        buf_appendf(out, "-(%s+-?)?" RANDOM "+", middle);
    }
}

/* "name-index-": here the name is cut so that the index stays (job controller,
 * podGenerateNameWithIndex). */
static void append_indexed(struct buf *out, const char *name) {
    size_t sure = BASE_SIZE - MIDDLE_SIZE - 2;
    append_escaped(out, name, sure);
    buf_append_str(out, strlen(name) > sure ? "[-.a-z0-9]*" : "");
    buf_append_str(out, "-[0-9]+-" RANDOM "+");
}

static void append_pattern(const struct workload *w, const char *name, bool is_indexed,
                           struct buf *out) {
    if (strcmp(w->kind, "Pod") == 0) {
        append_escaped(out, name, w->is_name_prefix ? BASE_SIZE : SIZE_MAX);
        buf_append_str(out, w->is_name_prefix ? RANDOM "+" : "");
    } else if (strcmp(w->kind, "StatefulSet") == 0) {
        append_escaped(out, name, SIZE_MAX);
        buf_append_str(out, "-[0-9]+");
    } else if (strcmp(w->kind, "Deployment") == 0) {
        append_generated(out, name, RANDOM);
    } else if (strcmp(w->kind, "CronJob") == 0 && is_indexed) {
        append_escaped(out, name, BASE_SIZE);
        buf_append_str(out, "-[0-9]+");
        append_indexed(out, "");
    } else if (strcmp(w->kind, "CronJob") == 0) {
        append_generated(out, name, "[0-9]");
    } else if (is_indexed) {
        append_indexed(out, name);
    } else {
        append_generated(out, name, NULL);
    }
}

static void set_identity(const struct workload *w, json_t *data) {
    AUTO(buf_deinit)
    struct buf pattern = {0};
    bool is_indexed = json_is_true(json_object_get(data, "indexed"));
    buf_append_str(&pattern, "^");
    if (w->is_name_prefix && strcmp(w->kind, "Pod") != 0) {
        append_escaped(&pattern, w->name, BASE_SIZE); /* the controller's own name is generated */
        buf_append_str(&pattern, RANDOM "+");
        append_pattern(w, "", is_indexed, &pattern);
    } else {
        append_pattern(w, w->name, is_indexed, &pattern);
    }
    buf_append_str(&pattern, "$");
    json_object_set_new(data, "kind", json_string(w->kind));
    json_object_set_new(data, "name", json_string(w->name));
    json_object_set_new(data, "namePattern", json_string(buf_cstr(&pattern)));
    if (w->has_namespace) {
        json_object_set_new(data, "namespace", json_string(w->namespace));
    }
}

static RESULT make(const struct workload *w, const struct policy_inputs *inputs,
                   const json_t *resource, const json_t *pod, json_t **out, struct err *err) {
    const json_t *spec = json_object_get(pod, "spec");
    if (json_array_size(json_object_get(spec, "containers")) == 0) {
        return yaml_fail(w->file, w->spec, err, "spec.containers: %s/%s has none", w->kind,
                         w->name);
    }
    TRY(policy_derive(w, inputs, resource, pod, out, err));
    set_identity(w, *out);
    return OK;
}

RESULT policy_data_make(const struct workload *w, const struct policy_inputs *inputs, json_t **out,
                        struct err *err) {
    json_t *resource = NULL;
    const json_t *pod = NULL;
    TRY(pod_fields_read(w, &inputs->allowed, &resource, &pod, err));
    json_t *data = NULL;
    struct result r = make(w, inputs, resource, pod, &data, err);
    json_decref(resource);
    TRY(r);
    *out = data;
    return OK;
}
