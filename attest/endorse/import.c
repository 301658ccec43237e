/* Import: see import.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/endorse/import.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "attest/snp_product.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/pem.h"

#define ISSUER_PREFIX "ARK-"

/* One import. */
struct work {
    const struct import_hooks *hooks;
    struct import_counts counts;
};

/* One file of it. */
struct source {
    struct work *work;
    const char *path;
    size_t items;
    size_t blocks; /* of PEM, handed over or not */
    char why[320]; /* the first thing that could not be used; "" = none */
};

static void object(struct source *s, const char *why) {
    if (s->why[0] == '\0') {
        snprintf(s->why, sizeof s->why, "%.300s", why);
    }
}

static void report(struct source *s) {
    const struct import_hooks *h = s->work->hooks;
    if (s->why[0] == '\0') {
        return;
    }
    s->work->counts.skipped++;
    if (h->on_skipped != NULL) {
        err_clean(s->why);
        h->on_skipped(h->data, s->path, s->why);
    }
}

/* ---- one certificate or list ---- */

static struct result hand_over(struct source *s, const struct import_item *item, struct err *err) {
    struct work *w = s->work;
    struct result r = w->counts.items < LIMIT_IMPORT_ITEMS
                          ? w->hooks->on_item(w->hooks->data, item, err)
                          : err_set(err, ERR_TOO_LARGE, "%s: more than %d certificates and lists",
                                    s->path, LIMIT_IMPORT_ITEMS);
    TRY(r);
    w->counts.items++;
    s->items++;
    return OK;
}

/* The product whose root issues this list; UNKNOWN when it is none of AMD's. */
static enum snp_product issuer_product(const X509_CRL *crl) {
    char name[32] = "";
    const size_t skip = sizeof ISSUER_PREFIX - 1;
    int size =
        X509_NAME_get_text_by_NID(X509_CRL_get_issuer(crl), NID_commonName, name, sizeof name);
    if (size <= (int)skip || strncmp(name, ISSUER_PREFIX, skip) != 0) {
        return SNP_PRODUCT_UNKNOWN;
    }
    return snp_product_from_line(name + skip, (size_t)size - skip);
}

/* A VCEK's key at AMD's service is what its extensions say. */
static bool read_claims(const struct snp_cert *cert, struct import_item *item, struct err *err) {
    bool is_vcek = cert->kind == SNP_CERT_VCEK;
    if (!is_vcek && cert->kind != SNP_CERT_VLEK) {
        return true;
    }
    if (!is_ok(snp_vek_parse(cert, is_vcek ? SNP_KEY_VCEK : SNP_KEY_VLEK, cert->product,
                             &item->claims, NULL, err))) {
        return false;
    }
    item->has_key = is_vcek;
    if (is_vcek) {
        item->key.product = cert->product;
        memcpy(item->key.chip_id, item->claims.hwid, item->claims.hwid_size);
        snp_tcb_encode(cert->product, &item->claims.tcb, item->key.tcb);
    }
    return true;
}

static struct result take_certificate(struct source *s, struct span der, struct err *err) {
    struct snp_cert cert = {0};
    struct err why = {0};
    if (!is_ok(snp_cert_parse(der, "certificate", &cert, NULL, &why))) {
        object(s, why.text);
        return OK;
    }
    struct import_item item = {
        .path = s->path, .der = der, .kind = cert.kind, .product = cert.product};
    bool known = cert.kind != SNP_CERT_OTHER && cert.product != SNP_PRODUCT_UNKNOWN;
    bool good = known && read_claims(&cert, &item, &why);
    snp_cert_deinit(&cert);
    if (!good) {
        object(s, known ? why.text
                        : "a certificate that is none of AMD's VCEK, VLEK, ASK, ASVK, ARK of a "
                          "known product");
        return OK;
    }
    return hand_over(s, &item, err);
}

static struct result take_list(struct source *s, struct span der, struct err *err) {
    const unsigned char *at = der.data;
    X509_CRL *crl = der.size <= LIMIT_CRL ? d2i_X509_CRL(NULL, &at, (long)der.size) : NULL;
    bool whole = crl != NULL && at == der.data + der.size;
    enum snp_product product = whole ? issuer_product(crl) : SNP_PRODUCT_UNKNOWN;
    X509_CRL_free(crl);
    ERR_clear_error();
    if (!whole || product == SNP_PRODUCT_UNKNOWN) {
        object(s, whole ? "a revocation list that none of AMD's roots issues"
                        : "not one certificate or revocation list in DER or PEM");
        return OK;
    }
    const struct import_item item = {
        .path = s->path, .der = der, .is_crl = true, .product = product};
    return hand_over(s, &item, err);
}

/* ---- one file ---- */

static struct result on_certificate(void *data, struct span der, struct err *err) {
    struct source *s = data;
    s->blocks++;
    return take_certificate(s, der, err);
}

static struct result on_list(void *data, struct span der, struct err *err) {
    struct source *s = data;
    s->blocks++;
    return take_list(s, der, err);
}

static size_t count_marks(struct span text, const char *mark) {
    size_t count = 0;
    size_t size = strlen(mark);
    const uint8_t *end = text.data + text.size;
    const uint8_t *at = memmem(text.data, text.size, mark, size);
    while (at != NULL) {
        count++;
        at += size;
        at = memmem(at, (size_t)(end - at), mark, size);
    }
    return count;
}

/* A damaged block ends the reading without a word: the marks are more than the blocks then. */
static struct result take_pem(struct source *s, struct span text, struct err *err) {
    size_t unused = 0;
    TRY(pem_each(text, "CERTIFICATE", on_certificate, s, &unused, err));
    TRY(pem_each(text, "X509 CRL", on_list, s, &unused, err));
    size_t marks = count_marks(text, "-----BEGIN CERTIFICATE-----") +
                   count_marks(text, "-----BEGIN X509 CRL-----");
    if (marks > s->blocks) {
        object(s, "a PEM block is damaged: what follows it was not read");
    } else if (marks == 0) {
        object(s, "a PEM file without CERTIFICATE or X509 CRL");
    }
    return OK;
}

static struct result take_bytes(struct source *s, struct span file, struct err *err) {
    if (pem_is_text(file)) {
        return take_pem(s, file, err);
    }
    struct snp_cert cert = {0};
    if (is_ok(snp_cert_parse(file, "certificate", &cert, NULL, NULL))) {
        snp_cert_deinit(&cert);
        return take_certificate(s, file, err);
    }
    return take_list(s, file, err);
}

struct result import_bytes(const char *name, struct span file, const struct import_hooks *hooks,
                           struct import_counts *counts, struct err *err) {
    struct work w = {.hooks = hooks};
    struct source s = {.work = &w, .path = name};
    struct result r = take_bytes(&s, file, err);
    report(&s);
    if (is_ok(r) && s.items == 0) {
        r = err_set(err, ERR_MALFORMED, "%s: %s", name, s.why);
    }
    if (counts != NULL) {
        *counts = w.counts;
    }
    return r;
}

static struct result take_file(struct work *w, const char *path, struct err *err) {
    struct source s = {.work = w, .path = path};
    AUTO(buf_deinit)
    struct buf file = {0};
    struct err why = {0};
    struct stat st;
    struct result r = OK;
    if (stat(path, &st) != 0) {
        object(&s, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        object(&s, "not a regular file");
    } else if (!is_ok(file_read(path, LIMIT_IMPORT_FILE, &file, &why))) {
        object(&s, why.text);
    } else {
        r = take_bytes(&s, buf_span(&file), err);
    }
    report(&s);
    return r;
}

/* ---- a folder ---- */

struct names {
    char **items; /* owned, as each of them */
    size_t count;
};

static void names_deinit(struct names *n) {
    for (size_t i = 0; i < n->count; i++) {
        mem_free(n->items[i]);
    }
    mem_free(n->items);
}

static int by_name(const void *a, const void *b) {
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static struct result list_names(const char *path, DIR *dir, struct names *out, struct err *err) {
    out->items = mem_calloc(LIMIT_IMPORT_FILES, sizeof *out->items);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.') {
            continue;
        }
        ENSURE(out->count < LIMIT_IMPORT_FILES, err, TOO_LARGE,
               "%s: more than %d files; split the folder", path, LIMIT_IMPORT_FILES);
        out->items[out->count++] = mem_strdup(e->d_name);
    }
    qsort(out->items, out->count, sizeof *out->items, by_name);
    return OK;
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static struct result take_names(struct work *w, const char *folder, const struct names *names,
                                struct err *err) {
    for (size_t i = 0; i < names->count; i++) {
        AUTO(buf_deinit)
        struct buf path = {0};
        buf_appendf(&path, "%s/%s", folder, names->items[i]);
        if (!is_folder(buf_cstr(&path))) {
            TRY(take_file(w, buf_cstr(&path), err));
        }
    }
    return OK;
}

static struct result take_folder(struct work *w, const char *path, struct err *err) {
    struct names names = {0};
    DIR *dir = opendir(path);
    ENSURE(dir != NULL, err, IO, "%s: %s", path, strerror(errno));
    struct result r = list_names(path, dir, &names, err);
    closedir(dir);
    r = is_ok(r) ? take_names(w, path, &names, err) : r;
    names_deinit(&names);
    return r;
}

struct result import_path(const char *path, const struct import_hooks *hooks,
                          struct import_counts *counts, struct err *err) {
    struct work w = {.hooks = hooks};
    struct stat st;
    struct result r;
    if (stat(path, &st) != 0) {
        r = err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        r = take_folder(&w, path, err);
    } else {
        r = take_file(&w, path, err);
    }
    if (counts != NULL) {
        *counts = w.counts;
    }
    return r;
}
