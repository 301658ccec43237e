/* Resource text: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/resource_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/yaml/yaml.h"

static json_t *convert_scalar(const struct yaml_file *file, const struct yaml_node *node) {
    int64_t n = 0;
    bool b = false;
    switch (yaml_type_of(node)) {
    case YAML_TYPE_NULL:
        return json_null();
    case YAML_TYPE_BOOL:
        CHECK(is_ok(yaml_read_bool(file, node, &b, NULL)));
        return json_boolean(b);
    case YAML_TYPE_INT:
        CHECK(is_ok(yaml_read_int(file, node, &n, NULL)));
        return json_integer(n);
    case YAML_TYPE_FLOAT:
    case YAML_TYPE_STRING:
    case YAML_TYPE_AMBIGUOUS:
    default:
        return json_string(node->value);
    }
}

/* Our own text: a few levels deep. */
static json_t *convert(const struct yaml_file *file, const struct yaml_node *node) {
    if (node->kind == YAML_KIND_SCALAR) {
        return convert_scalar(file, node);
    }
    if (node->kind == YAML_KIND_SEQUENCE) {
        json_t *list = json_array();
        for (size_t i = 0; i < node->count; i++) {
            json_array_append_new(list, convert(file, node->items[i]));
        }
        return list;
    }
    json_t *object = json_object();
    for (size_t i = 0; i < node->count; i++) {
        json_object_set_new(object, node->pairs[i].key->value, convert(file, node->pairs[i].value));
    }
    return object;
}

RESULT resource_text_print(struct cli *cli, struct span yaml, struct err *err) {
    if (!cli->json) {
        cli_print_text(yaml);
        return OK;
    }
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    TRY(yaml_parse("(output)", yaml, &file, err));
    json_t *items = json_array();
    for (size_t i = 0; i < file.count; i++) {
        if (file.documents[i].root != NULL) {
            json_array_append_new(items, convert(&file, file.documents[i].root));
        }
    }
    cli_print_json(
        cli, json_pack("{s:s, s:s, s:o}", "apiVersion", "v1", "kind", "List", "items", items));
    return OK;
}

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

RESULT resource_text_check_name(const char *option, const char *name, bool is_label,
                                struct err *err) {
    size_t size = strlen(name);
    size_t limit = is_label ? 63 : 253;
    bool is_good = size > 0 && size <= limit && is_alnum(name[0]) && is_alnum(name[size - 1]);
    for (size_t i = 0; i < size && is_good; i++) {
        is_good = is_alnum(name[i]) || name[i] == '-' || (!is_label && name[i] == '.');
    }
    ENSURE(is_good, err, USAGE,
           "%s: \"%.80s\" is no name for Kubernetes: lower-case letters, digits and '-'%s, at most "
           "%zu",
           option, name, is_label ? "" : " and '.'", limit);
    return OK;
}

/* Letters, digits, '-', '_' and '.', the first and the last a letter or digit; 1 to 63 bytes. */
static bool is_label_text(const char *text, size_t size) {
    bool is_good = size > 0 && size <= 63 && isalnum((unsigned char)text[0]) != 0 &&
                   isalnum((unsigned char)text[size - 1]) != 0;
    for (size_t i = 0; i < size && is_good; i++) {
        is_good = isalnum((unsigned char)text[i]) != 0 || strchr("-_.", text[i]) != NULL;
    }
    return is_good;
}

RESULT resource_text_check_label(const char *option, const char *text, struct err *err) {
    const char *value = strchr(text, '=');
    ENSURE(value != NULL, err, USAGE, "%s: want KEY=VALUE, got \"%.80s\"", option, text);
    size_t size = (size_t)(value - text);
    const char *slash = memchr(text, '/', size);
    const char *last = slash != NULL ? slash + 1 : text;
    bool is_good = is_label_text(last, (size_t)(value - last)) &&
                   (value[1] == '\0' || is_label_text(value + 1, strlen(value + 1)));
    if (slash != NULL && is_good) {
        char prefix[254] = "";
        is_good = (size_t)(slash - text) < sizeof prefix;
        (void)snprintf(prefix, sizeof prefix, "%.*s", (int)(slash - text), text);
        is_good = is_good && is_ok(resource_text_check_name(option, prefix, false, NULL));
    }
    ENSURE(is_good, err, USAGE, "%s: \"%.80s\" is no label for Kubernetes", option, text);
    return OK;
}

RESULT resource_text_check_image(const char *option, const char *image, struct err *err) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/:@";
    bool is_good = is_alnum(image[0]) && strspn(image, letters) == strlen(image) &&
                   strlen(image) <= 512 && image[strlen(image) - 1] != ':';
    ENSURE(is_good, err, USAGE, "%s: \"%.80s\" is no image reference", option, image);
    return OK;
}

const char *resource_text_scalar(struct arena *arena, const char *text) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    bool is_plain = is_ok(yaml_parse("(name)", span_str(text), &file, NULL)) && file.count == 1 &&
                    file.documents[0].root != NULL &&
                    file.documents[0].root->kind == YAML_KIND_SCALAR &&
                    yaml_type_of(file.documents[0].root) == YAML_TYPE_STRING;
    if (is_plain) {
        return text;
    }
    size_t size = strlen(text) + 3;
    char *quoted = arena_alloc(arena, size);
    (void)snprintf(quoted, size, "\"%s\"", text);
    return quoted;
}
