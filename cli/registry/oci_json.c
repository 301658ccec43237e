/* JSON of registries: see oci_json.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/oci_json.h"

#include "lib/base/limits.h"

/* Each costs a hundred bytes of memory or so, whatever stands between them. */
static size_t count_items(struct span text) {
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        n += c == ',' || c == '[' || c == '{' ? 1 : 0;
    }
    return n;
}

struct result oci_json_parse(struct span text, size_t limit, const char *what, json_t **out,
                             struct err *err) {
    ENSURE(text.size <= limit, err, TOO_LARGE, "%s: more than %zu bytes", what, limit);
    ENSURE(count_items(text) <= LIMIT_REGISTRY_ITEMS, err, TOO_LARGE, "%s: more than %d values",
           what, LIMIT_REGISTRY_ITEMS);
    json_error_t e;
    const char *data = text.size > 0 ? (const char *)text.data : "";
    json_t *root = json_loadb(data, text.size, JSON_REJECT_DUPLICATES, &e);
    ENSURE(root != NULL, err, MALFORMED, "%s: line %d: %s", what, e.line, e.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(err, ERR_MALFORMED, "%s: not a JSON object", what);
    }
    *out = root;
    return OK;
}

void oci_json_free(json_t **root) {
    json_decref(*root);
}

struct result oci_json_text(const json_t *object, const char *key, const char **out,
                            struct err *err) {
    const json_t *value = json_object_get(object, key);
    ENSURE(value == NULL || json_is_null(value) || json_is_string(value), err, MALFORMED,
           "'%s' is not a text", key);
    *out = json_string_value(value);
    return OK;
}
