/* YAML scalars and look-up: what plain text means, and finding nodes by key or path.
 *
 * Sources: YAML 1.2.2 section 10.3.2 (core schema) and, where kubectl's parser still follows it,
 * YAML 1.1 (bool and int types). A spelling on which the two disagree is AMBIGUOUS and refused as a
 * string as well as a boolean: quotes make it clear. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/yaml/yaml.h"

struct yaml_node *yaml_key(const struct yaml_node *node, const char *key) {
    if (node == NULL || node->kind != YAML_KIND_MAPPING) {
        return NULL;
    }
    for (size_t i = 0; i < node->count; i++) {
        if (strcmp(node->pairs[i].key->value, key) == 0) {
            return node->pairs[i].value;
        }
    }
    return NULL;
}

static struct yaml_node *key_of_size(const struct yaml_node *node, const char *key, size_t size) {
    if (node->kind != YAML_KIND_MAPPING) {
        return NULL;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *k = node->pairs[i].key;
        if (k->size == size && memcmp(k->value, key, size) == 0) {
            return node->pairs[i].value;
        }
    }
    return NULL;
}

/* "[12]" at *path; moves behind it. */
static struct yaml_node *item_at(const struct yaml_node *node, const char **path) {
    char *end = NULL;
    unsigned long index = strtoul(*path + 1, &end, 10);
    bool ok = end != *path + 1 && *end == ']';
    *path = ok ? end + 1 : *path + strlen(*path);
    if (!ok || node->kind != YAML_KIND_SEQUENCE || index >= node->count) {
        return NULL;
    }
    return node->items[index];
}

struct yaml_node *yaml_get(const struct yaml_node *node, const char *path) {
    struct yaml_node *found = NULL;
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            found = item_at(node, &path);
        } else {
            size_t size = strcspn(path, ".[");
            found = key_of_size(node, path, size);
            path += size;
        }
        path += *path == '.' ? 1 : 0;
        node = found;
    }
    return node != NULL ? found : NULL;
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list != NULL; list++) {
        if (strcmp(text, *list) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_all(const char *text, const char *set) {
    return *text != '\0' && text[strspn(text, set)] == '\0';
}

static bool is_int(const char *text) {
    const char *digits = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    if (strncmp(digits, "0x", 2) == 0) {
        return is_all(digits + 2, "0123456789abcdefABCDEF");
    }
    if (strncmp(digits, "0o", 2) == 0) {
        return is_all(digits + 2, "01234567");
    }
    return is_all(digits, "0123456789");
}

static bool is_float(const char *text) {
    static const char *const names[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                        "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};
    if (is_one_of(text, names)) {
        return true;
    }
    const char *p = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    size_t whole = strspn(p, "0123456789");
    p += whole;
    size_t fraction = 0;
    if (*p == '.') {
        fraction = strspn(p + 1, "0123456789");
        p += 1 + fraction;
    }
    if (whole + fraction == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p += p[1] == '-' || p[1] == '+' ? 2 : 1;
        return is_all(p, "0123456789");
    }
    return *p == '\0';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Numbers for kubectl's parser alone: underscores between digits, prefixes in capitals, binary. */
static bool is_odd_number(const char *text) {
    const char *p = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    p += p[0] == '.' ? 1 : 0;
    bool is_grouped =
        is_digit(p[0]) && strchr(p, '_') != NULL && is_all(p, "0123456789_.xXoObBabcdefABCDEF+-");
    bool has_prefix = p[0] == '0' && p[1] != '\0' && strchr("XOBb", p[1]) != NULL;
    return is_grouped || (has_prefix && is_all(p + 2, "0123456789abcdefABCDEF_"));
}

/* YAML 1.1 only: booleans and odd numbers. */
static bool is_ambiguous(const char *text) {
    static const char *const words[] = {"y",  "Y",  "yes", "Yes", "YES", "n",   "N",   "no", "No",
                                        "NO", "on", "On",  "ON",  "off", "Off", "OFF", NULL};
    return is_one_of(text, words) || is_odd_number(text);
}

static enum yaml_type plain_type(const char *text) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    if (is_one_of(text, nulls)) {
        return YAML_TYPE_NULL;
    }
    if (is_one_of(text, booleans)) {
        return YAML_TYPE_BOOL;
    }
    if (is_int(text)) {
        return YAML_TYPE_INT;
    }
    if (is_float(text)) {
        return YAML_TYPE_FLOAT;
    }
    return is_ambiguous(text) ? YAML_TYPE_AMBIGUOUS : YAML_TYPE_STRING;
}

enum yaml_type yaml_type_of(const struct yaml_node *scalar) {
    if (scalar->tag != NULL) {
        bool is_str =
            strcmp(scalar->tag, "tag:yaml.org,2002:str") == 0 || strcmp(scalar->tag, "!") == 0;
        return is_str ? YAML_TYPE_STRING : YAML_TYPE_AMBIGUOUS;
    }
    return scalar->layout == YAML_LAYOUT_PLAIN ? plain_type(scalar->value) : YAML_TYPE_STRING;
}

bool yaml_is_null(const struct yaml_node *node) {
    return node == NULL || (node->kind == YAML_KIND_SCALAR && yaml_type_of(node) == YAML_TYPE_NULL);
}

static const char *describe(const struct yaml_node *node) {
    if (node->kind != YAML_KIND_SCALAR) {
        return node->kind == YAML_KIND_MAPPING ? "a mapping" : "a list";
    }
    switch (yaml_type_of(node)) {
    case YAML_TYPE_NULL:
        return "empty";
    case YAML_TYPE_BOOL:
        return "a boolean";
    case YAML_TYPE_INT:
    case YAML_TYPE_FLOAT:
        return "a number";
    case YAML_TYPE_STRING:
        return "a string";
    case YAML_TYPE_AMBIGUOUS:
    default:
        return "read differently by different parsers";
    }
}

RESULT yaml_read_string(const struct yaml_file *file, const struct yaml_node *node,
                        const char **out, struct err *err) {
    if (node->kind != YAML_KIND_SCALAR) {
        return yaml_fail(file, node, err, "must be a string but is %s", describe(node));
    }
    if (yaml_type_of(node) != YAML_TYPE_STRING) {
        return yaml_fail(file, node, err, "must be a string but %s%.60s%s is %s; put it in quotes",
                         node->size > 0 ? "\"" : "", node->value, node->size > 0 ? "\"" : "this",
                         describe(node));
    }
    *out = node->value;
    return OK;
}

RESULT yaml_read_bool(const struct yaml_file *file, const struct yaml_node *node, bool *out,
                      struct err *err) {
    if (node->kind != YAML_KIND_SCALAR || yaml_type_of(node) != YAML_TYPE_BOOL) {
        return yaml_fail(file, node, err, "must be true or false but is %s", describe(node));
    }
    *out = node->value[0] == 't' || node->value[0] == 'T';
    return OK;
}

/* strtoll's base and the digits behind a prefix that it does not know. */
static int base_of(const char **digits) {
    if (strncmp(*digits, "0x", 2) == 0) {
        return 16;
    }
    if (strncmp(*digits, "0o", 2) == 0) {
        *digits += 2;
        return 8;
    }
    return (*digits)[0] == '0' && (*digits)[1] != '\0' ? 8 : 10;
}

RESULT yaml_read_int(const struct yaml_file *file, const struct yaml_node *node, int64_t *out,
                     struct err *err) {
    if (node->kind != YAML_KIND_SCALAR || yaml_type_of(node) != YAML_TYPE_INT) {
        return yaml_fail(file, node, err, "must be an integer but is %s", describe(node));
    }
    bool is_negative = node->value[0] == '-';
    const char *digits = node->value + (is_negative || node->value[0] == '+' ? 1 : 0);
    int base = base_of(&digits);
    char *end = NULL;
    errno = 0;
    intmax_t n = strtoimax(digits, &end, base);
    if (errno != 0 || *end != '\0' || end == digits) {
        return yaml_fail(file, node, err, "not an integer of 64 bits: %.60s", node->value);
    }
    *out = is_negative ? -n : n;
    return OK;
}
