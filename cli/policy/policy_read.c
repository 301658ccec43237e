/* Policy documents: peeled layer by layer until there is Rego.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/policy_read.h"

#include <ctype.h>
#include <string.h>
#include <zlib.h>

#include "cli/policy/policy_toml.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

static const char data_mark[] = "\npolicy_data := ";

static void document_deinit(struct policy_document *d) {
    mem_free(d->kind);
    mem_free(d->name);
    buf_deinit(&d->document);
    buf_deinit(&d->rego);
    json_decref(d->data);
}

void policy_document_list_deinit(struct policy_document_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        document_deinit(&list->items[i]);
    }
    mem_free(list->items);
    *list = (struct policy_document_list){0};
}

/* --- gzip */

static RESULT inflate_all(z_stream *z, struct buf *out, struct err *err) {
    for (;;) {
        uint8_t chunk[16384];
        z->next_out = chunk;
        z->avail_out = sizeof chunk;
        int code = inflate(z, Z_NO_FLUSH);
        buf_append(out, chunk, sizeof chunk - z->avail_out);
        ENSURE(out->size <= LIMIT_POLICY_READ, err, TOO_LARGE,
               "gzip: unpacks to more than %d bytes", LIMIT_POLICY_READ);
        if (code == Z_STREAM_END) {
            ENSURE(z->avail_in == 0, err, MALFORMED, "gzip: %u bytes behind the end", z->avail_in);
            return OK;
        }
        ENSURE(code == Z_OK && (z->avail_in > 0 || z->avail_out == 0), err, MALFORMED, "gzip: %s",
               z->msg != NULL ? z->msg : "ends too early");
    }
}

static RESULT gunzip(struct span packed, struct buf *out, struct err *err) {
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.data, .avail_in = (uInt)packed.size};
    ENSURE(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK, err, NOMEM, "gzip: out of memory");
    struct result r = inflate_all(&z, out, err);
    inflateEnd(&z);
    return r;
}

/* --- Layers */

static struct span trim(struct span text) {
    while (text.size > 0 && isspace(text.data[0])) {
        text = span_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && isspace(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

static bool is_gzip(struct span text) {
    return text.size >= 2 && text.data[0] == 0x1f && text.data[1] == 0x8b;
}

static bool is_base64(struct span text) {
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!isalnum(c) && c != '+' && c != '/' && c != '=' && c != '\n' && c != '\r') {
            return false;
        }
    }
    return text.size > 0;
}

/* Editors and `base64` break lines. */
static RESULT decode_base64(struct span text, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf joined = {0};
    for (size_t i = 0; i < text.size; i++) {
        if (!isspace(text.data[i])) {
            buf_append_u8(&joined, text.data[i]);
        }
    }
    struct result r = base64_decode(buf_span(&joined), out, err);
    return is_ok(r) ? r : err_wrap(r, err, "base64");
}

/* Takes off base64, then gzip: what is left is the document. */
static RESULT unpack(struct span text, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf decoded = {0};
    struct span bytes = is_gzip(text) ? text : trim(text);
    if (!is_gzip(bytes) && is_base64(bytes)) {
        TRY(decode_base64(bytes, &decoded, err));
        bytes = buf_span(&decoded);
    } else if (!is_gzip(bytes)) {
        bytes = text;
    }
    if (is_gzip(bytes)) {
        return gunzip(bytes, out, err);
    }
    ENSURE(bytes.size <= LIMIT_POLICY_READ, err, TOO_LARGE, "%zu bytes, limit %d", bytes.size,
           LIMIT_POLICY_READ);
    buf_append_span(out, bytes);
    return OK;
}

static const char *find(struct span text, const char *word) {
    return text.size > 0 ? memmem(text.data, text.size, word, strlen(word)) : NULL;
}

/* A line "package name", whatever stands before it. */
static bool is_rego(struct span text) {
    static const char word[] = "package ";
    return (text.size > sizeof word && memcmp(text.data, word, sizeof word - 1) == 0) ||
           find(text, "\npackage ") != NULL;
}

static RESULT check_text(struct span text, struct err *err) {
    for (size_t i = 0; i < text.size;) {
        size_t size = utf8_size(span_of(text.data + i, text.size - i));
        ENSURE(size > 0 && text.data[i] != '\0', err, MALFORMED,
               "byte %zu is no text (UTF-8); want a policy in Rego, TOML or base64", i);
        i += size;
    }
    return OK;
}

/* SEV-SNP has 32 bytes: longer digests are cut. */
static void set_host_data(struct policy_document *d, enum policy_toml_digest digest) {
    uint8_t hash[SHA512_SIZE] = {0};
    if (digest == POLICY_TOML_SHA384) {
        sha384(buf_span(&d->document), hash);
    } else if (digest == POLICY_TOML_SHA512) {
        sha512(buf_span(&d->document), hash);
    } else {
        sha256(buf_span(&d->document), hash);
    }
    hex_encode(span_of(hash, 32), d->host_data);
}

static void read_data(struct policy_document *d) {
    struct span rego = buf_span(&d->rego);
    const char *mark = find(rego, data_mark);
    d->rules_size = rego.size;
    if (mark != NULL) {
        const char *json = mark + sizeof data_mark - 1;
        d->rules_size = (size_t)((const uint8_t *)mark - rego.data);
        d->data = json_loadb(json, rego.size - d->rules_size - (sizeof data_mark - 1),
                             JSON_DISABLE_EOF_CHECK, NULL);
    }
}

static RESULT read_document(struct span text, struct policy_document *d, struct err *err) {
    enum policy_toml_digest digest = POLICY_TOML_SHA256;
    TRY(unpack(text, &d->document, err));
    struct span document = buf_span(&d->document);
    TRY(check_text(document, err));
    d->is_initdata = policy_toml_is(document);
    if (d->is_initdata) {
        TRY(policy_toml_read(document, &digest, &d->rego, err));
    } else {
        buf_append_span(&d->rego, document);
    }
    ENSURE(
        is_rego(buf_span(&d->rego)), err, INVALID,
        "no policy: want YAML with annotations, Rego with a package, initdata in TOML, or base64 "
        "of those");
    set_host_data(d, digest);
    read_data(d);
    return OK;
}

/* Keeps the document, or frees it. */
static RESULT add(struct policy_document_list *list, const char *kind, const char *name,
                  struct span text, struct err *err) {
    struct policy_document d = {.kind = mem_strdup(kind), .name = mem_strdup(name)};
    struct result r = read_document(text, &d, err);
    if (!is_ok(r)) {
        document_deinit(&d);
        return r;
    }
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = d;
    return OK;
}

/* --- YAML */

/* The annotation of the pod's profile, else the other one: a profile may have been changed. */
static const struct yaml_node *find_policy(const struct workload *w) {
    const struct yaml_node *all = yaml_get(w->pod, "metadata.annotations");
    const struct yaml_node *other = yaml_key(all, WORKLOAD_POLICY_ANNOTATION);
    if (w->policy != NULL) {
        return w->policy;
    }
    return other != NULL ? other : yaml_key(all, WORKLOAD_INITDATA_ANNOTATION);
}

static RESULT add_workload(const struct workload *w, struct policy_document_list *list,
                           struct err *err) {
    const struct yaml_node *node = find_policy(w);
    if (yaml_is_null(node) || node->kind != YAML_KIND_SCALAR || node->size == 0) {
        return OK;
    }
    struct err cause = {0};
    struct result r = add(list, w->kind, w->name, span_of(node->value, node->size), &cause);
    if (!is_ok(r)) {
        return yaml_fail(w->file, node, err, "the policy of %s/%s: %s", w->kind, w->name,
                         cause.text);
    }
    return OK;
}

static RESULT read_yaml(const char *name, struct span text, struct policy_document_list *list,
                        struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list workloads = {0};
    TRY(yaml_parse(name, text, &file, err));
    TRY(workload_find(&file, &workloads, err));
    size_t before = list->count;
    for (size_t i = 0; i < workloads.count; i++) {
        TRY(add_workload(&workloads.items[i], list, err));
    }
    ENSURE(list->count > before, err, NOT_FOUND, "%s: no pod with a policy; run contrast generate",
           name);
    return OK;
}

/* By name, or by what stands in it: a "kind:" at the start of a line. */
static bool is_yaml(const char *name, struct span text) {
    const char *dot = strrchr(name, '.');
    if (dot != NULL && (strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0)) {
        return true;
    }
    bool starts = text.size > 5 && memcmp(text.data, "kind:", 5) == 0;
    return (starts || find(text, "\nkind:") != NULL) && !is_rego(text);
}

RESULT policy_read(const char *name, struct span text, struct policy_document_list *list,
                   struct err *err) {
    if (is_yaml(name, text)) {
        return read_yaml(name, text, list, err);
    }
    struct result r = add(list, "document", name, text, err);
    return is_ok(r) ? r : err_wrap(r, err, "%s", name);
}
