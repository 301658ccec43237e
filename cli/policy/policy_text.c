/* Policy text: rules and data in one document.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_text.h"

#include <stdlib.h>

#include "lib/base/limits.h"

RESULT policy_text_make(const struct workload *w, const struct policy_exceptions *allowed,
                        struct buf *out, struct err *err) {
    json_t *data = NULL;
    TRY(policy_data_make(w, allowed, &data, err));
    char *json = json_dumps(data, JSON_SORT_KEYS | JSON_INDENT(1));
    json_decref(data);
    CHECK(json != NULL);
    struct buf text = {0};
    buf_append_span(&text, policy_rules());
    buf_appendf(&text, "\npolicy_data := %s\n", json);
    free(json);
    if (text.size > LIMIT_POLICY) {
        size_t size = text.size;
        buf_deinit(&text);
        return yaml_fail(w->file, w->spec, err, "the policy of %s/%s has %zu bytes, limit %d",
                         w->kind, w->name, size, LIMIT_POLICY);
    }
    buf_append_span(out, buf_span(&text));
    buf_deinit(&text);
    return OK;
}

RESULT policy_text_decode(const struct workload *w, struct buf *out, struct err *err) {
    ENSURE(w->policy != NULL && w->policy->kind == YAML_KIND_SCALAR, err, NOT_FOUND,
           "%s: %s/%s has no annotation " WORKLOAD_POLICY_ANNOTATION "; run contrast generate",
           w->file->name, w->kind, w->name);
    struct err cause;
    if (!is_ok(base64_decode(span_of(w->policy->value, w->policy->size), out, &cause))) {
        return yaml_fail(w->file, w->policy, err, "not a policy in base64: %.200s", cause.text);
    }
    return OK;
}
