/* Evidence shown: see evidence_show.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/evidence_show.h"

#include <string.h>

#include "attest/snp_cert.h"
#include "attest/snp_certtable.h"
#include "attest/snp_hcl.h"
#include "attest/snp_print.h"
#include "attest/snp_report.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

static void put(json_t *object, const char *name, json_t *value) {
    CHECK(value != NULL && json_object_set_new(object, name, value) == 0);
}

/* ---- reports ---- */

static json_t *report_to_json(const char *kind, struct span bytes) {
    struct snp_report report;
    struct err err = {0};
    bool good = is_ok(snp_report_parse(bytes, &report, NULL, &err));
    snp_report_load(bytes.data, &report);
    json_t *document = json_object();
    put(document, "kind", json_string(kind));
    put(document, "format", good ? json_null() : json_string(err.text));
    put(document, "report", snp_report_to_json(&report));
    return document;
}

static const char *hash_name(enum snp_hcl_hash hash) {
    switch (hash) {
    case SNP_HCL_SHA256:
        return "SHA-256";
    case SNP_HCL_SHA384:
        return "SHA-384";
    case SNP_HCL_SHA512:
        break;
    }
    return "SHA-512";
}

/* `data`: the runtime data when it is JSON; nothing of it is used. */
static json_t *runtime_to_json(const struct snp_hcl *hcl) {
    json_t *data = json_loadb((const char *)hcl->runtime.data, hcl->runtime.size,
                              JSON_REJECT_DUPLICATES, NULL);
    return json_pack("{s:I,s:s,s:b,s:o}", "size", (json_int_t)hcl->runtime.size, "hash",
                     hash_name(hcl->hash), "bound", (int)snp_hcl_is_bound(hcl), "data",
                     data != NULL ? data : json_null());
}

static struct result blob_to_json(const struct evidence_file *file, json_t **out, struct err *err) {
    struct snp_hcl hcl;
    TRY(evidence_file_unwrap(file, &hcl, err));
    *out = report_to_json("hcl", hcl.report);
    put(*out, "runtime", runtime_to_json(&hcl));
    return OK;
}

/* ---- certificates and lists ---- */

/* {"certificate": …} or {"crl": …}, or {"error": …} when it cannot be read. */
static void put_content(json_t *object, struct span der, bool is_list) {
    struct snp_cert cert = {0};
    json_t *list = NULL;
    struct err err = {0};
    if (is_list && is_ok(snp_crl_to_json(der, &list, &err))) {
        put(object, "crl", list);
    } else if (!is_list && is_ok(snp_cert_parse(der, "certificate", &cert, NULL, &err))) {
        put(object, "certificate", snp_cert_to_json(&cert));
        snp_cert_deinit(&cert);
    } else {
        put(object, "error", json_string(err.text));
    }
}

static struct result content_to_json(struct span der, bool is_list, const char *path, json_t *array,
                                     struct err *err) {
    json_t *holder = json_object();
    put_content(holder, der, is_list);
    const json_t *error = json_object_get(holder, "error");
    json_t *content = json_object_get(holder, is_list ? "crl" : "certificate");
    struct result r = OK;
    if (content != NULL) {
        json_array_append(array, content);
    } else {
        r = err_set(err, ERR_INVALID, "%s: %s", path, json_string_value(error));
    }
    json_decref(holder);
    return r;
}

static struct result parts_to_json(const struct evidence_parts *parts, const char *path,
                                   json_t *document, struct err *err) {
    json_t *certificates = json_array();
    json_t *lists = json_array();
    put(document, "kind", json_string("certificates"));
    put(document, "certificates", certificates);
    put(document, "crls", lists);
    for (size_t i = 0; i < parts->certificate_count; i++) {
        TRY(content_to_json(buf_span(&parts->certificates[i]), false, path, certificates, err));
    }
    for (size_t i = 0; i < parts->list_count; i++) {
        TRY(content_to_json(buf_span(&parts->lists[i]), true, path, lists, err));
    }
    return OK;
}

static struct result bundle_to_json(const struct evidence_file *file, json_t **out,
                                    struct err *err) {
    struct evidence_parts parts = {0};
    json_t *document = json_object();
    struct result r = evidence_file_split(file, EVIDENCE_WANTS_ANY, &parts, err);
    if (is_ok(r)) {
        r = parts_to_json(&parts, file->path, document, err);
    }
    evidence_parts_deinit(&parts);
    if (!is_ok(r)) {
        json_decref(document);
        return r;
    }
    *out = document;
    return OK;
}

static struct result list_to_json(const struct evidence_file *file, json_t **out, struct err *err) {
    json_t *list = NULL;
    TRY(snp_crl_to_json(buf_span(&file->bytes), &list, err));
    *out = json_pack("{s:s,s:o}", "kind", "crl", "crl", list);
    return OK;
}

/* ---- tables ---- */

static json_t *entry_to_json(const struct snp_certtable_entry *entry) {
    json_t *object = json_pack("{s:s,s:s,s:I,s:I}", "guid", entry->guid, "name",
                               entry->name != NULL ? entry->name : "unknown", "offset",
                               (json_int_t)entry->offset, "size", (json_int_t)entry->content.size);
    if (entry->name != NULL) {
        put_content(object, entry->content, strcmp(entry->name, "CRL") == 0);
        return object;
    }
    uint8_t digest[32];
    char hex[65];
    sha256(entry->content, digest);
    hex_encode(SPAN(digest), hex);
    put(object, "sha256", json_string(hex));
    return object;
}

static struct result table_to_json(const struct evidence_file *file, json_t **out,
                                   struct err *err) {
    struct snp_certtable_entry entries[LIMIT_SNP_CERTTABLE_ENTRIES];
    size_t count = 0;
    struct err why = {0};
    if (!is_ok(snp_certtable_list(buf_span(&file->bytes), entries, &count, &why))) {
        return err_set(err, ERR_INVALID, "%s: %s", file->path, why.text);
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, entry_to_json(&entries[i]));
    }
    *out = json_pack("{s:s,s:o}", "kind", "table", "entries", list);
    return OK;
}

struct result evidence_show_json(const struct evidence_file *file, json_t **out, struct err *err) {
    switch (file->kind) {
    case EVIDENCE_REPORT:
        *out = report_to_json("report", buf_span(&file->bytes));
        return OK;
    case EVIDENCE_HCL:
        return blob_to_json(file, out, err);
    case EVIDENCE_TABLE:
        return table_to_json(file, out, err);
    case EVIDENCE_CRL:
        return list_to_json(file, out, err);
    case EVIDENCE_CERTIFICATE:
    case EVIDENCE_PEM:
        return bundle_to_json(file, out, err);
    case EVIDENCE_DER:
    case EVIDENCE_OTHER:
        break;
    }
    return err_set(err, ERR_INVALID, "%s: %zu bytes: %s", file->path, file->bytes.size,
                   evidence_kind_name(file->kind));
}

/* ---- text ---- */

static void print_runtime(const json_t *runtime, struct buf *out) {
    buf_appendf(out, "%-18s %lld bytes, %s %s\n", "runtime data",
                json_integer_value(json_object_get(runtime, "size")),
                json_string_value(json_object_get(runtime, "hash")),
                json_is_true(json_object_get(runtime, "bound")) ? "in REPORT_DATA: bound"
                                                                : "NOT in REPORT_DATA");
}

static void print_report(json_t *document, struct buf *out) {
    const json_t *format = json_object_get(document, "format");
    const json_t *runtime = json_object_get(document, "runtime");
    if (runtime != NULL) {
        buf_append_str(out, "Azure HCL blob, report at 0x20\n");
        print_runtime(runtime, out);
    }
    if (json_is_string(format)) {
        buf_appendf(out, "%-18s %s\n", "NOT A GOOD REPORT", json_string_value(format));
    }
    snp_print_text(json_object_get(document, "report"), out);
}

static void print_each(json_t *list, struct buf *out) {
    size_t index = 0;
    json_t *item = NULL;
    json_array_foreach(list, index, item) {
        buf_append_str(out, out->size > 0 ? "\n" : "");
        snp_print_text(item, out);
    }
}

static void print_entry(size_t index, const json_t *entry, struct buf *out) {
    json_t *content = json_object_get(entry, "certificate");
    const char *error = json_string_value(json_object_get(entry, "error"));
    const char *digest = json_string_value(json_object_get(entry, "sha256"));
    content = content != NULL ? content : json_object_get(entry, "crl");
    buf_appendf(out, "%sentry %zu: %s, GUID %s, offset %lld, %lld bytes\n", index > 0 ? "\n" : "",
                index, json_string_value(json_object_get(entry, "name")),
                json_string_value(json_object_get(entry, "guid")),
                json_integer_value(json_object_get(entry, "offset")),
                json_integer_value(json_object_get(entry, "size")));
    if (content != NULL) {
        snp_print_text(content, out);
    } else if (error != NULL) {
        buf_appendf(out, "%-18s %s\n", "unreadable", error);
    } else {
        buf_appendf(out, "%-18s %s\n", "SHA-256", digest);
    }
}

void evidence_show_text(json_t *document, struct buf *out) {
    const json_t *entries = json_object_get(document, "entries");
    if (json_object_get(document, "report") != NULL) {
        print_report(document, out);
    } else if (json_object_get(document, "crl") != NULL) {
        snp_print_text(json_object_get(document, "crl"), out);
    } else if (entries != NULL) {
        buf_appendf(out, "certificate table, %zu entries\n", json_array_size(entries));
        size_t index = 0;
        json_t *entry = NULL;
        json_array_foreach(entries, index, entry) {
            print_entry(index, entry, out);
        }
    } else {
        print_each(json_object_get(document, "certificates"), out);
        print_each(json_object_get(document, "crls"), out);
    }
}
