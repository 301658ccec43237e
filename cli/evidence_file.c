/* Evidence files: see evidence_file.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/evidence_file.h"

#include <string.h>

#include "attest/snp_cert.h"
#include "attest/snp_certtable.h"
#include "attest/snp_print.h"
#include "attest/snp_report.h"
#include "lib/base/file.h"
#include "lib/crypto/pem.h"

#define TEXT_MIN 32 /* shorter bytes are not called text */

/* ---- what it is ---- */

static bool is_space(uint8_t c) {
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

static bool is_digit_of_hex(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_digit_of_base64(uint8_t c) {
    return is_digit_of_hex(c) || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '+' ||
           c == '/' || c == '=';
}

/* Nothing but such digits and white space. */
static bool consists_of(struct span file, bool (*is_digit)(uint8_t c)) {
    for (size_t i = 0; i < file.size; i++) {
        if (!is_digit(file.data[i]) && !is_space(file.data[i])) {
            return false;
        }
    }
    return file.size >= TEXT_MIN;
}

static bool is_json(struct span file) {
    size_t at = 0;
    while (at < file.size && is_space(file.data[at])) {
        at++;
    }
    return at + 1 < file.size && file.data[at] == '{' &&
           (is_space(file.data[at + 1]) || file.data[at + 1] == '"');
}

static struct result refuse_text(struct span file, const char *path, struct err *err) {
    ENSURE(!consists_of(file, is_digit_of_hex), err, INVALID,
           "%s: hexadecimal text, want the bytes: convert it with `xxd -r -p %s`", path, path);
    ENSURE(!consists_of(file, is_digit_of_base64), err, INVALID,
           "%s: base64 text, want the bytes: convert it with `base64 -d %s`", path, path);
    ENSURE(!is_json(file), err, INVALID,
           "%s: a JSON document, want the report, certificate or list that it may carry, as bytes",
           path);
    return OK;
}

/* A DER SEQUENCE with a length of two bytes, as certificates and lists have. */
static bool looks_like_der(struct span file) {
    return file.size >= 4 && file.data[0] == 0x30 && file.data[1] == 0x82;
}

static bool fills_its_length(struct span file) {
    return file.size == 4 + ((size_t)file.data[2] << 8 | file.data[3]);
}

static enum evidence_kind kind_of_der(struct span file) {
    struct snp_cert cert = {0};
    json_t *list = NULL;
    if (is_ok(snp_cert_parse(file, "certificate", &cert, NULL, NULL))) {
        snp_cert_deinit(&cert);
        return EVIDENCE_CERTIFICATE;
    }
    if (is_ok(snp_crl_to_json(file, &list, NULL))) {
        json_decref(list);
        return EVIDENCE_CRL;
    }
    return EVIDENCE_DER;
}

/* The guest chooses 64 bytes of a report: what has a zero byte is no text, whatever it says. */
static bool is_pem(struct span file) {
    return pem_is_text(file) && memchr(file.data, 0, file.size) == NULL;
}

static enum evidence_kind kind_of(struct span file) {
    if (is_pem(file)) {
        return EVIDENCE_PEM;
    }
    if (snp_hcl_is_blob(file)) {
        return EVIDENCE_HCL;
    }
    if (snp_certtable_is_table(file)) {
        return EVIDENCE_TABLE;
    }
    bool der = looks_like_der(file);
    if (file.size == SNP_REPORT_SIZE && !(der && fills_its_length(file))) {
        return EVIDENCE_REPORT;
    }
    return der ? kind_of_der(file) : EVIDENCE_OTHER;
}

struct result evidence_file_read(const char *path, struct evidence_file *out, struct err *err) {
    struct evidence_file file = {.path = path};
    struct result r = file_read(path, LIMIT_EVIDENCE_FILE, &file.bytes, err);
    if (is_ok(r)) {
        r = refuse_text(buf_span(&file.bytes), path, err);
    }
    if (!is_ok(r)) {
        buf_deinit(&file.bytes);
        return r;
    }
    file.kind = kind_of(buf_span(&file.bytes));
    *out = file;
    return OK;
}

void evidence_file_deinit(struct evidence_file *file) {
    buf_deinit(&file->bytes);
}

const char *evidence_kind_name(enum evidence_kind kind) {
    switch (kind) {
    case EVIDENCE_REPORT:
        return "a report";
    case EVIDENCE_HCL:
        return "an Azure HCL blob";
    case EVIDENCE_TABLE:
        return "a certificate table";
    case EVIDENCE_CERTIFICATE:
        return "a certificate";
    case EVIDENCE_CRL:
        return "a revocation list";
    case EVIDENCE_DER:
        return "DER that is neither a certificate nor a revocation list";
    case EVIDENCE_PEM:
        return "PEM text";
    case EVIDENCE_OTHER:
        break;
    }
    return "no report (1184 bytes), certificate, certificate table or revocation list";
}

/* Whatever a parser says of a file is wrong input of this command. */
static struct result blame(const struct evidence_file *file, const struct err *why,
                           struct err *err) {
    return err_set(err, ERR_INVALID, "%s: %s", file->path, why->text);
}

struct result evidence_file_unwrap(const struct evidence_file *file, struct snp_hcl *out,
                                   struct err *err) {
    struct err why = {0};
    struct result r = snp_hcl_parse(buf_span(&file->bytes), out, &why);
    return is_ok(r) ? OK : blame(file, &why, err);
}

/* ---- what it holds ---- */

void evidence_parts_deinit(struct evidence_parts *parts) {
    for (size_t i = 0; i < parts->certificate_count; i++) {
        buf_deinit(&parts->certificates[i]);
    }
    for (size_t i = 0; i < parts->list_count; i++) {
        buf_deinit(&parts->lists[i]);
    }
    *parts = (struct evidence_parts){0};
}

static struct result add_certificate(struct evidence_parts *parts, struct span der,
                                     struct err *err) {
    ENSURE(parts->certificate_count < LIMIT_EVIDENCE_PARTS, err, INVALID,
           "more than %d certificates", LIMIT_EVIDENCE_PARTS);
    buf_append_span(&parts->certificates[parts->certificate_count++], der);
    return OK;
}

static struct result add_list(struct evidence_parts *parts, struct span der, struct err *err) {
    ENSURE(parts->list_count < LIMIT_EVIDENCE_PARTS, err, INVALID, "more than %d revocation lists",
           LIMIT_EVIDENCE_PARTS);
    buf_append_span(&parts->lists[parts->list_count++], der);
    return OK;
}

static struct result on_certificate(void *data, struct span der, struct err *err) {
    return add_certificate(data, der, err);
}

static struct result on_list(void *data, struct span der, struct err *err) {
    return add_list(data, der, err);
}

static struct result split_pem(struct span file, struct evidence_parts *parts, struct err *err) {
    size_t count = 0;
    size_t lists = 0;
    TRY(pem_each(file, "CERTIFICATE", on_certificate, parts, &count, err));
    TRY(pem_each(file, "X509 CRL", on_list, parts, &lists, err));
    ENSURE(count + lists > 0, err, INVALID,
           "PEM text without a whole CERTIFICATE or X509 CRL block");
    return OK;
}

static struct result split_table(struct span file, struct evidence_parts *parts, struct err *err) {
    struct snp_certtable table = {0};
    TRY(snp_certtable_parse(file, &table, err));
    const struct span all[] = {table.vcek, table.vlek, table.ask, table.ark};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].size > 0) {
            TRY(add_certificate(parts, all[i], err));
        }
    }
    return table.crl.size > 0 ? add_list(parts, table.crl, err) : OK;
}

static struct result split(const struct evidence_file *file, enum evidence_wish wish,
                           struct evidence_parts *parts, struct err *err) {
    struct span bytes = buf_span(&file->bytes);
    switch (file->kind) {
    case EVIDENCE_PEM:
        return split_pem(bytes, parts, err);
    case EVIDENCE_TABLE:
        return split_table(bytes, parts, err);
    case EVIDENCE_CERTIFICATE:
        return add_certificate(parts, bytes, err);
    case EVIDENCE_CRL:
        return add_list(parts, bytes, err);
    case EVIDENCE_DER:
        return wish == EVIDENCE_WANTS_LISTS ? add_list(parts, bytes, err)
                                            : add_certificate(parts, bytes, err);
    case EVIDENCE_REPORT:
    case EVIDENCE_HCL:
    case EVIDENCE_OTHER:
        break;
    }
    return OK; /* holds neither: the caller says so */
}

/* How many parts there are of what is wished. */
static size_t count_of(const struct evidence_parts *parts, enum evidence_wish wish) {
    size_t lists = wish == EVIDENCE_WANTS_CERTIFICATES ? 0 : parts->list_count;
    return lists + (wish == EVIDENCE_WANTS_LISTS ? 0 : parts->certificate_count);
}

struct result evidence_file_split(const struct evidence_file *file, enum evidence_wish wish,
                                  struct evidence_parts *parts, struct err *err) {
    size_t before = count_of(parts, wish);
    struct err why = {0};
    if (!is_ok(split(file, wish, parts, &why))) {
        return blame(file, &why, err);
    }
    ENSURE(count_of(parts, wish) > before, err, INVALID, "%s: %s, want %s", file->path,
           file->bytes.size == 0 ? "an empty file" : evidence_kind_name(file->kind),
           wish == EVIDENCE_WANTS_LISTS ? "a revocation list (DER or PEM)"
                                        : "a certificate (DER or PEM) or a certificate table");
    return OK;
}
