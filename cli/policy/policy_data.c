/* Policy data: from a workload's fields to the policy's data, and whose pods it is for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_data.h"

#include "cli/policy/policy_derive.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"

/* --- The pod's name */

/* What the controllers append: k8s.io/apimachinery/pkg/util/rand's alphabet. */
#define NAME_RANDOM "[bcdfghjklmnpqrstvwxz2456789]+"

static void append_escaped(struct buf *out, const char *name) {
    for (const char *p = name; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && *p != '-') {
            buf_append_str(out, "\\");
        }
        buf_append(out, p, 1);
    }
}

static const char *name_suffix(const struct workload *w) {
    if (strcmp(w->kind, "Pod") == 0) {
        return w->is_name_prefix ? NAME_RANDOM : "";
    }
    if (strcmp(w->kind, "Deployment") == 0) {
        return "-" NAME_RANDOM "-" NAME_RANDOM;
    }
    if (strcmp(w->kind, "StatefulSet") == 0) {
        return "-[0-9]+";
    }
    if (strcmp(w->kind, "CronJob") == 0) {
        return "-[0-9]+-" NAME_RANDOM;
    }
    return "(-[0-9]+)?-" NAME_RANDOM; /* an indexed Job has its index in between */
}

static void set_identity(const struct workload *w, json_t *data) {
    AUTO(buf_deinit)
    struct buf pattern = {0};
    buf_append_str(&pattern, "^");
    append_escaped(&pattern, w->name);
    buf_appendf(&pattern, "%s$", name_suffix(w));
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
