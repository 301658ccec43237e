/* Policy text: rules and data in one document.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_text.h"

#include <stdlib.h>
#include <string.h>

#include "cli/policy/policy_initdata.h"
#include "lib/base/limits.h"

#define PIECE_SIZE 800 /* bytes of JSON text per line, quotes and indentation apart */

/* --- Long strings become arrays of pieces (rules_container.rego: text) */

static bool is_escaped(char c) {
    return (unsigned char)c < 0x20 || c == '\'' || c == '#' || c == 0x7f;
}

static size_t json_size(char c) {
    return is_escaped(c) ? 6 : c == '"' || c == '\\' ? 2 : 1;
}

/* Bytes of the next piece: whole characters that fill at most PIECE_SIZE in JSON. */
static size_t piece_size(const char *text) {
    size_t used = 0;
    size_t i = 0;
    while (text[i] != '\0' && used < PIECE_SIZE) {
        used += json_size(text[i++]);
        while (((unsigned char)text[i] & 0xc0) == 0x80) {
            used++;
            i++;
        }
    }
    return i;
}

static json_t *make_text(const char *text) {
    size_t size = piece_size(text);
    if (text[size] == '\0') {
        return json_string(text);
    }
    json_t *pieces = json_array();
    for (; *text != '\0'; text += size) {
        size = piece_size(text);
        json_array_append_new(pieces, json_stringn(text, size));
    }
    return pieces;
}

static void split_list(json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        json_array_set_new(list, i, make_text(text));
    }
}

static void split_texts(json_t *data) {
    json_t *containers = json_object_get(data, "containers");
    for (size_t i = 0; i < json_array_size(containers); i++) {
        json_t *c = json_array_get(containers, i);
        json_t *commands = json_object_get(c, "commands");
        split_list(json_object_get(c, "args"));
        split_list(json_object_get(c, "env"));
        split_list(json_object_get(c, "mayEnv"));
        split_list(json_object_get(c, "oldEnv"));
        for (size_t k = 0; k < json_array_size(commands); k++) {
            json_t *command = json_copy(json_array_get(commands, k));
            split_list(command);
            json_array_set_new(commands, k, command);
        }
    }
}

/* --- What agents, the log and the API server take */

static bool has_long_line(struct span text) {
    size_t start = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\n') {
            start = i + 1;
        } else if (i - start >= LIMIT_POLICY_LINE) {
            return true;
        }
    }
    return false;
}

/* Of text that json_dumps wrote: one bracket at most opens per line, strings hold any. */
static size_t nesting_of(const char *json) {
    size_t depth = 0;
    size_t deepest = 0;
    bool is_string = false;
    for (const char *p = json; *p != '\0'; p++) {
        if (is_string) {
            is_string = *p != '"';
            p += *p == '\\' ? 1 : 0;
        } else if (*p == '"') {
            is_string = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (*p == '}' || *p == ']') {
            depth--;
        }
    }
    return deepest;
}

/* Keys and values of the other annotations. */
static size_t annotation_bytes(const struct workload *w) {
    const struct yaml_node *map = yaml_get(w->pod, "metadata.annotations");
    size_t sum = 0;
    for (size_t i = 0; map != NULL && map->kind == YAML_KIND_MAPPING && i < map->count; i++) {
        if (map->pairs[i].value != w->policy && map->pairs[i].value->kind == YAML_KIND_SCALAR) {
            sum += map->pairs[i].key->size + map->pairs[i].value->size;
        }
    }
    return sum;
}

static RESULT check_sizes(const struct workload *w, struct span document, struct err *err) {
    if (document.size > LIMIT_POLICY) {
        return yaml_fail(w->file, w->spec, err,
                         "the policy of %s/%s has %zu bytes, limit %d; shorten variables and "
                         "commands, or move them to files",
                         w->kind, w->name, document.size, LIMIT_POLICY);
    }
    size_t packed = w->is_initdata ? policy_initdata_size(document.size) : document.size;
    size_t sum = annotation_bytes(w) + strlen(w->policy_key) + (packed + 2) / 3 * 4;
    if (sum > LIMIT_POD_ANNOTATIONS) {
        return yaml_fail(w->file, w->spec, err,
                         "the annotations of %s/%s would have %zu bytes, limit %d of Kubernetes; "
                         "shorten variables and commands, or move them to files",
                         w->kind, w->name, sum, LIMIT_POD_ANNOTATIONS);
    }
    return OK;
}

static RESULT check_form(const struct workload *w, const char *json, struct err *err) {
    if (has_long_line(span_str(json))) {
        return yaml_fail(
            w->file, w->spec, err,
            "%s/%s: a name, path or value is longer than %d bytes, which agents refuse", w->kind,
            w->name, PIECE_SIZE);
    }
    CHECK(nesting_of(json) <= LIMIT_POLICY_NESTING);
    return OK;
}

/* Quotes and DEL as \uXXXX, so that a TOML literal can hold any text (policy_initdata.h), and "#",
 * which ends a string for the engine of agents before Kata 3.11 (regorus 0.1.4, lexer.rs). */
static void append_json(const char *json, struct buf *out) {
    for (const char *p = json; *p != '\0'; p++) {
        if (is_escaped(*p) && *p != '\n') {
            buf_appendf(out, "\\u%04x", (unsigned)*p);
        } else {
            buf_append(out, p, 1);
        }
    }
}

RESULT policy_text_make(const struct workload *w, const struct policy_inputs *inputs,
                        struct buf *out, struct err *err) {
    json_t *data = NULL;
    TRY(policy_data_make(w, inputs, &data, err));
    split_texts(data);
    char *json = json_dumps(data, JSON_SORT_KEYS | JSON_INDENT(1));
    json_decref(data);
    CHECK(json != NULL);
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_append_span(&text, w->is_initdata ? policy_rules_initdata() : policy_rules());
    buf_append_str(&text, "\npolicy_data := ");
    size_t start = text.size;
    append_json(json, &text);
    struct result r = check_form(w, buf_cstr(&text) + start, err);
    buf_append_str(&text, "\n");
    free(json);
    TRY(r);
    AUTO(buf_deinit)
    struct buf document = {0};
    if (w->is_initdata) {
        TRY(policy_initdata_make(w, buf_span(&text), &document, err));
    } else {
        buf_append_span(&document, buf_span(&text));
    }
    TRY(check_sizes(w, buf_span(&document), err));
    buf_append_span(out, buf_span(&document));
    return OK;
}

void policy_text_encode(const struct workload *w, struct span document, struct buf *out) {
    AUTO(buf_deinit)
    struct buf packed = {0};
    if (w->is_initdata) {
        policy_initdata_pack(document, &packed);
        document = buf_span(&packed);
    }
    base64_encode(document, out);
}

bool policy_text_is_ours(struct span document) {
    size_t size = sizeof POLICY_TEXT_FIRST_LINE - 1;
    struct span inner = policy_initdata_text(document);
    struct span text = inner.size > 0 ? inner : document;
    return text.size >= size && memcmp(text.data, POLICY_TEXT_FIRST_LINE, size) == 0;
}

RESULT policy_text_decode(const struct workload *w, struct buf *out, struct err *err) {
    ENSURE(w->policy != NULL && w->policy->kind == YAML_KIND_SCALAR, err, NOT_FOUND,
           "%s: %s/%s has no annotation %s; run contrast generate", w->file->name, w->kind, w->name,
           w->policy_key);
    struct err cause = {0};
    AUTO(buf_deinit)
    struct buf bytes = {0};
    struct result r = base64_decode(span_of(w->policy->value, w->policy->size), &bytes, &cause);
    if (is_ok(r) && w->is_initdata) {
        r = policy_initdata_unpack(buf_span(&bytes), out, &cause);
    } else if (is_ok(r)) {
        buf_append_span(out, buf_span(&bytes));
    }
    if (!is_ok(r)) {
        return yaml_fail(w->file, w->policy, err, "not a policy in base64: %.200s", cause.text);
    }
    return OK;
}
