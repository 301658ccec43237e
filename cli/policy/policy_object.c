/* Policy object: ConfigMaps and Secrets among the given files, as variables take them, and the
 * Services of which the kubelet tells in variables.
 *
 * An object of the pod's namespace is taken; else, where the pod or the object names none, the one
 * with that name: "kubectl -n" and charts fill namespaces in. stringData of a Secret goes before
 * data, as the API server merges them; base64 may have line breaks, as its decoder allows.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "cli/policy/policy_derive.h"

static const char *scalar(const struct yaml_node *node, const char *fallback) {
    bool is_text = node != NULL && node->kind == YAML_KIND_SCALAR && !yaml_is_null(node);
    return is_text ? node->value : fallback;
}

/* --- Finding */

struct found {
    const struct yaml_file *file;
    const struct yaml_node *node; /* NULL = none */
};

typedef bool visit_fn(void *context, const struct yaml_file *file, const struct yaml_node *object);

/* Objects of one file, items of Lists for themselves; stops when `visit` returns true. */
static bool visit_file(const struct yaml_file *file, visit_fn *visit, void *context) {
    for (size_t i = 0; i < file->count; i++) {
        const struct yaml_node *root = file->documents[i].root;
        const struct yaml_node *items = yaml_key(root, "items");
        bool is_list = items != NULL && items->kind == YAML_KIND_SEQUENCE;
        if (!is_list && root != NULL && visit(context, file, root)) {
            return true;
        }
        for (size_t k = 0; is_list && k < items->count; k++) {
            if (visit(context, file, items->items[k])) {
                return true;
            }
        }
    }
    return false;
}

/* The pod's own file first. */
static void visit_all(const struct derive *d, visit_fn *visit, void *context) {
    bool is_done = visit_file(d->w->file, visit, context);
    for (size_t i = 0; !is_done && i < d->inputs->file_count; i++) {
        is_done = visit_file(&d->inputs->files[i], visit, context);
    }
}

struct search {
    const struct derive *d;
    const char *kind;
    const char *name;
    struct found exact; /* of the pod's namespace */
    struct found other; /* where one of the two names no namespace */
};

static bool match(void *context, const struct yaml_file *file, const struct yaml_node *object) {
    struct search *s = context;
    if (strcmp(scalar(yaml_key(object, "kind"), ""), s->kind) != 0 ||
        strcmp(scalar(yaml_get(object, "metadata.name"), ""), s->name) != 0) {
        return false;
    }
    const char *namespace = scalar(yaml_get(object, "metadata.namespace"), NULL);
    const struct workload *w = s->d->w;
    if (strcmp(namespace != NULL ? namespace : "default", w->namespace) == 0) {
        s->exact = (struct found){file, object};
        return true;
    }
    if (s->other.node == NULL && (namespace == NULL || !w->has_namespace)) {
        s->other = (struct found){file, object};
    }
    return false;
}

static struct found find(const struct derive *d, const char *kind, const char *name) {
    struct search s = {.d = d, .kind = kind, .name = name};
    visit_all(d, match, &s);
    return s.exact.node != NULL ? s.exact : s.other;
}

/* --- Values */

static RESULT check_text(const struct found *f, const struct yaml_node *at, struct span text,
                         struct err *err) {
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_size(span_of(text.data + i, text.size - i));
        if (size == 0 || text.data[i] == 0 || text.data[i] == 1) {
            return yaml_fail(f->file, at, err, "a variable takes it, but it is no UTF-8 text");
        }
        i += size;
    }
    return OK;
}

static RESULT decode(const struct found *f, const struct yaml_node *node, const char *text,
                     struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf joined = {0};
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '\n' && *p != '\r') {
            buf_append(&joined, p, 1);
        }
    }
    struct err cause;
    if (!is_ok(base64_decode(buf_span(&joined), out, &cause))) {
        return yaml_fail(f->file, node, err,
                         "not base64 (%.200s); encode it, or put the plain text under stringData",
                         cause.text);
    }
    return OK;
}

static RESULT read_value(const struct found *f, const struct yaml_node *node, bool is_base64,
                         struct buf *out, struct err *err) {
    if (yaml_is_null(node)) {
        return OK; /* for the API server the empty string */
    }
    const char *text = NULL;
    TRY(yaml_read_string(f->file, node, &text, err));
    size_t start = out->size;
    if (is_base64) {
        TRY(decode(f, node, text, out, err));
    } else {
        buf_append_str(out, text);
    }
    return check_text(f, node, span_of(out->data + start, out->size - start), err);
}

static RESULT map_of(const struct found *f, const char *name, const struct yaml_node **out,
                     struct err *err) {
    const struct yaml_node *map = yaml_key(f->node, name);
    if (!yaml_is_null(map) && map->kind != YAML_KIND_MAPPING) {
        return yaml_fail(f->file, map, err, "%s: must be a mapping", name);
    }
    *out = yaml_is_null(map) ? NULL : map;
    return OK;
}

/* "1: x" and "yes: x" have keys that kubectl's parser turns into others ("true"). */
static RESULT check_key(const struct found *f, const struct yaml_node *key, struct err *err) {
    enum yaml_type type = yaml_type_of(key);
    bool is_number = type == YAML_TYPE_INT && key->value[0] != '0' && key->value[0] != '+';
    if (type != YAML_TYPE_STRING && !is_number) {
        return yaml_fail(f->file, key, err, "the key \"%.100s\" is no string; put it in quotes",
                         key->value);
    }
    return OK;
}

static void warn_secret(const struct derive *d, const struct policy_object_ref *ref) {
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(
        &text,
        "the Secret \"%.253s\" becomes part of the policy, which the host and everybody who "
        "reads the pod can see; mount it as a volume, or take the workload's own secret",
        ref->name);
    policy_derive_warn(d, ref->field, buf_cstr(&text));
}

/* --- One key */

static RESULT fail_missing(const struct derive *d, const struct policy_object_ref *ref,
                           const struct found *f, struct err *err) {
    if (f->node == NULL) {
        return policy_derive_fail(d, ref->field, err,
                                  "the %s \"%.253s\" is in none of the files; add its YAML, or say "
                                  "\"optional: true\"",
                                  ref->kind, ref->name);
    }
    if (yaml_key(yaml_key(f->node, "binaryData"), ref->key) != NULL) {
        return policy_derive_fail(d, ref->field, err,
                                  "the key \"%.253s\" of the ConfigMap \"%.253s\" is binaryData, "
                                  "which no variable takes; move it to data",
                                  ref->key, ref->name);
    }
    return policy_derive_fail(
        d, ref->field, err,
        "the %s \"%.253s\" (%.200s:%zu) has no key \"%.253s\"; add it, or say "
        "\"optional: true\"",
        ref->kind, ref->name, f->file->name, f->node->start.line, ref->key);
}

RESULT policy_object_read(const struct derive *d, const struct policy_object_ref *ref, bool *found,
                          struct buf *out, struct err *err) {
    struct found f = find(d, ref->kind, ref->name);
    bool is_secret = strcmp(ref->kind, "Secret") == 0;
    const struct yaml_node *data = NULL;
    const struct yaml_node *plain = NULL;
    TRY(map_of(&f, "data", &data, err));
    if (is_secret) {
        TRY(map_of(&f, "stringData", &plain, err));
    }
    const struct yaml_node *own = yaml_key(plain, ref->key);
    const struct yaml_node *node = own != NULL ? own : yaml_key(data, ref->key);
    *found = node != NULL;
    if (node == NULL) {
        return ref->is_optional ? OK : fail_missing(d, ref, &f, err);
    }
    if (is_secret) {
        warn_secret(d, ref);
    }
    return read_value(&f, node, is_secret && own == NULL, out, err);
}

/* --- All keys */

static RESULT each_of(const struct found *f, const struct yaml_node *map, bool is_base64,
                      policy_object_fn *each, void *context, struct err *err) {
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        AUTO(buf_deinit)
        struct buf value = {0};
        TRY(check_key(f, map->pairs[i].key, err));
        TRY(read_value(f, map->pairs[i].value, is_base64, &value, err));
        TRY(each(context, map->pairs[i].key->value, buf_cstr(&value), err));
    }
    return OK;
}

RESULT policy_object_each(const struct derive *d, const struct policy_object_ref *ref,
                          policy_object_fn *each, void *context, struct err *err) {
    struct found f = find(d, ref->kind, ref->name);
    bool is_secret = strcmp(ref->kind, "Secret") == 0;
    if (f.node == NULL) {
        return ref->is_optional ? OK : fail_missing(d, ref, &f, err);
    }
    const struct yaml_node *data = NULL;
    const struct yaml_node *plain = NULL;
    TRY(map_of(&f, "data", &data, err));
    TRY(each_of(&f, data, is_secret, each, context, err));
    if (is_secret) {
        warn_secret(d, ref);
        TRY(map_of(&f, "stringData", &plain, err));
        TRY(each_of(&f, plain, false, each, context, err));
    }
    return OK;
}

/* --- Services: pkg/kubelet/envvars */

struct service_search {
    const struct derive *d;
    const char *variable;
    bool is_found;
};

/* Is `variable` one of those that tell of a Service called `name`? */
static bool tells_of(const char *variable, const char *name) {
    size_t i = 0;
    for (; name[i] != '\0'; i++) {
        char want = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
        if (variable[i] != want) {
            return false;
        }
    }
    const char *rest = variable + i;
    return strcmp(rest, "_SERVICE_HOST") == 0 || strncmp(rest, "_SERVICE_PORT", 13) == 0 ||
           strncmp(rest, "_PORT", 5) == 0;
}

static bool match_service(void *context, const struct yaml_file *file,
                          const struct yaml_node *object) {
    (void)file;
    struct service_search *s = context;
    bool is_service = strcmp(scalar(yaml_key(object, "kind"), ""), "Service") == 0 &&
                      strcmp(scalar(yaml_get(object, "spec.clusterIP"), ""), "None") != 0;
    s->is_found =
        is_service && tells_of(s->variable, scalar(yaml_get(object, "metadata.name"), "?"));
    return s->is_found;
}

bool policy_object_is_service(const struct derive *d, const char *variable) {
    if (tells_of(variable, "kubernetes")) {
        return true;
    }
    struct service_search s = {.d = d, .variable = variable};
    if (policy_flag_of(d->spec, "enableServiceLinks", true)) {
        visit_all(d, match_service, &s);
    }
    return s.is_found;
}
