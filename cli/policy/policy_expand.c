/* Policy expansion: $(NAME) as the kubelet replaces it in variables, commands and probes.
 *
 *   $(NAME)   the variable, or the same text when there is none
 *   $$        one dollar; so $$(NAME) stays text
 *   $(NAME    text, as is any other dollar
 *
 * Pure. What comes out may be as long as all values together: the caller bounds it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/policy/policy_env.h"

/* The closing bracket of the reference at `p`; NULL = none begins here. */
static const char *reference_end(const char *p) {
    return p[0] == '$' && p[1] == '(' ? strchr(p, ')') : NULL;
}

static bool expand_one(const json_t *scope, const char *name, struct buf *out, struct buf *stuck) {
    const json_t *value = json_object_get(scope, name);
    if (value == NULL) {
        buf_appendf(out, "$(%s)", name);
        return true;
    }
    const char *form = json_string_value(json_object_get(value, "open"));
    if (form != NULL && strcmp(form, "any") == 0) {
        buf_append_str(stuck, name);
        return false;
    }
    if (form != NULL) {
        buf_appendf(out, POLICY_MARK "=%s" POLICY_MARK, name);
    } else {
        buf_append_str(out, json_string_value(value));
    }
    return true;
}

bool policy_expand(const json_t *scope, const char *text, struct buf *out, struct buf *stuck) {
    for (const char *p = text; *p != '\0'; p++) {
        const char *end = reference_end(p);
        if (end == NULL) {
            buf_append(out, p, 1);
            p += p[0] == '$' && p[1] == '$' ? 1 : 0;
            continue;
        }
        AUTO(buf_deinit)
        struct buf name = {0};
        buf_append(&name, p + 2, (size_t)(end - p - 2));
        if (!expand_one(scope, buf_cstr(&name), out, stuck)) {
            return false;
        }
        p = end;
    }
    return true;
}

bool policy_expand_each(const char *text, policy_expand_fn *each, void *context) {
    for (const char *p = text; *p != '\0'; p++) {
        const char *end = reference_end(p);
        if (end == NULL) {
            p += p[0] == '$' && p[1] == '$' ? 1 : 0;
            continue;
        }
        AUTO(buf_deinit)
        struct buf name = {0};
        buf_append(&name, p + 2, (size_t)(end - p - 2));
        if (!each(context, buf_cstr(&name))) {
            return false;
        }
        p = end;
    }
    return true;
}
