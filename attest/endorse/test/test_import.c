/* Import: bundles, folders as Kubernetes mounts them, and files that are something else.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "attest/endorse/import.h"
#include "attest/snp_product.h"
#include "attest/test/snp_fixture.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

static struct snp_fixture machine;
static struct buf list; /* a revocation list of its root, DER */
static char folder[] = "/tmp/contrast-import-XXXXXX";

/* What the hooks heard. */
struct heard {
    unsigned certificates[SNP_CERT_ARK + 1];
    unsigned lists;
    unsigned keys; /* equal to the machine's */
    unsigned skipped;
    char last_skipped[512];
    char last_why[512];
    unsigned fail_at; /* the item that the hook refuses; 0 = none */
};

static struct result on_item(void *data, const struct import_item *item, struct err *err) {
    struct heard *h = data;
    struct snp_tcb tcb;
    assert_int_equal(item->product, SNP_TURIN);
    if (item->is_crl) {
        h->lists++;
    } else {
        h->certificates[item->kind]++;
    }
    if (item->has_key) {
        assert_int_equal(item->kind, SNP_CERT_VCEK);
        assert_memory_equal(item->key.chip_id, machine.chip_id, 64);
        assert_true(is_ok(snp_tcb_decode(SNP_TURIN, item->key.tcb, &tcb, NULL)));
        assert_true(snp_tcb_equal(&tcb, &machine.tcb, NULL));
        h->keys++;
    }
    ENSURE(h->fail_at == 0 || --h->fail_at > 0, err, BUSY, "enough");
    return OK;
}

static void on_skipped(void *data, const char *path, const char *why) {
    struct heard *h = data;
    h->skipped++;
    snprintf(h->last_skipped, sizeof h->last_skipped, "%s", path);
    snprintf(h->last_why, sizeof h->last_why, "%s", why);
}

static struct import_hooks hooks_of(struct heard *h) {
    return (struct import_hooks){h, on_item, on_skipped};
}

/* ---- files ---- */

static void path_of(const char *name, char out[256]) {
    snprintf(out, 256, "%s/%s", folder, name);
}

static void put(const char *name, struct span bytes) {
    char path[256];
    path_of(name, path);
    assert_true(is_ok(file_write(path, bytes, 0600, NULL)));
}

static void drop(const char *name) {
    char path[256];
    path_of(name, path);
    assert_int_equal(remove(path), 0);
}

static void append_pem(struct buf *out, const char *label, struct span der) {
    buf_appendf(out, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; at < der.size; at += 48) {
        base64_encode(span_of(der.data + at, der.size - at < 48 ? der.size - at : 48), out);
        buf_append_str(out, "\n");
    }
    buf_appendf(out, "-----END %s-----\n", label);
}

static void bundle(struct buf *out) {
    buf_append_str(out, "subject=SEV-VCEK\n");
    append_pem(out, "CERTIFICATE", buf_span(&machine.vcek));
    append_pem(out, "X509 CRL", buf_span(&list));
    append_pem(out, "CERTIFICATE", buf_span(&machine.ask));
    append_pem(out, "CERTIFICATE", buf_span(&machine.ark));
}

/* ---- bytes ---- */

static void test_a_bundle(void **state) {
    (void)state;
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    struct import_counts counts = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    bundle(&text);
    assert_true(is_ok(import_bytes("bundle", buf_span(&text), &hooks, &counts, NULL)));
    assert_int_equal(counts.items, 4);
    assert_int_equal(counts.skipped, 0);
    assert_int_equal(h.certificates[SNP_CERT_VCEK], 1);
    assert_int_equal(h.certificates[SNP_CERT_ASK], 1);
    assert_int_equal(h.certificates[SNP_CERT_ARK], 1);
    assert_int_equal(h.lists, 1);
    assert_int_equal(h.keys, 1);
}

static void expect_bad(struct span bytes, const char *says) {
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    struct err err = {0};
    struct result r = import_bytes("file", bytes, &hooks, NULL, &err);
    if (r.code != ERR_MALFORMED || strstr(err.text, says) == NULL || h.skipped != 1) {
        fail_msg("%s: %s", err_name(r.code), err.text);
    }
}

static void test_bad_bytes(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf bad = {0};
    expect_bad((struct span){0}, "not one certificate");
    expect_bad(span_str("hello"), "not one certificate");
    expect_bad(span_str("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
               "without CERTIFICATE");
    expect_bad(span_str("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
               "damaged");
    expect_bad(span_str("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
               "SNP-CERT-FORMAT");
    buf_append_span(&bad, buf_span(&machine.vcek));
    buf_append_u8(&bad, 0);
    expect_bad(buf_span(&bad), "not one certificate");
    buf_clear(&bad);
    buf_append_span(&bad, buf_span(&list));
    buf_append_u8(&bad, 0);
    expect_bad(buf_span(&bad), "not one certificate");
}

/* A certificate with another name than AMD's, and one with AMD's name and nothing behind it. */
static void test_foreign_certificates(void **state) {
    (void)state;
    static const struct {
        const char *subject;
        const char *issuer;
        const char *says;
    } rows[] = {{"example.com", "example.com", "none of AMD's"},
                {"SEV-VCEK", "SEV-Venice", "none of AMD's"},
                {"SEV-VCEK", "SEV-Turin", "SNP-VEK-"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        X509 *x = X509_new();
        uint8_t *der = NULL;
        const uint8_t *subject = (const uint8_t *)rows[i].subject;
        const uint8_t *issuer = (const uint8_t *)rows[i].issuer;
        assert_non_null(x);
        X509_set_version(x, X509_VERSION_3);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", V_ASN1_UTF8STRING, subject, -1,
                                   -1, 0);
        X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", V_ASN1_UTF8STRING, issuer, -1, -1,
                                   0);
        ASN1_TIME_set(X509_getm_notBefore(x), SNP_FIXTURE_NOT_BEFORE);
        ASN1_TIME_set(X509_getm_notAfter(x), SNP_FIXTURE_NOT_AFTER);
        X509_set_pubkey(x, machine.vcek_key);
        assert_true(X509_sign(x, machine.ask_key, EVP_sha384()) > 0);
        int size = i2d_X509(x, &der);
        assert_true(size > 0);
        expect_bad(span_of(der, (size_t)size), rows[i].says);
        OPENSSL_free(der);
        X509_free(x);
    }
}

static void test_prefixes(void **state) {
    (void)state;
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    AUTO(buf_deinit)
    struct buf text = {0};
    bundle(&text);
    size_t most = 0;
    for (size_t n = 0; n < machine.vcek.size; n++) {
        assert_false(is_ok(import_bytes("der", span_of(machine.vcek.data, n), &hooks, NULL, NULL)));
    }
    for (size_t n = 0; n < text.size; n += 7) {
        struct import_counts counts = {0};
        err_ignore(import_bytes("pem", span_of(text.data, n), &hooks, &counts, NULL),
                   "the counts tell");
        assert_true(counts.items >= most && counts.items <= 4);
        most = counts.items;
    }
}

/* ---- folders ---- */

static void test_a_folder(void **state) {
    (void)state;
    char target[256];
    char link[256];
    char fifo[256];
    char inner[256];
    AUTO(buf_deinit)
    struct buf text = {0};
    bundle(&text);
    put(".hidden", buf_span(&machine.vcek));
    put("a.pem", buf_span(&text));
    put("b.der", buf_span(&machine.vcek));
    put("c", buf_span(&list));
    put("notes.txt", span_str("these are not certificates\n"));
    path_of("b.der", target);
    path_of("link", link);
    path_of("queue", fifo);
    path_of("inner", inner);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    struct import_counts counts = {0};
    assert_true(is_ok(import_path(folder, &hooks, &counts, NULL)));
    assert_int_equal(counts.items, 7);
    assert_int_equal(h.keys, 3);
    assert_int_equal(h.lists, 2);
    assert_int_equal(counts.skipped, 2);
    assert_int_equal(h.skipped, 2);
    assert_non_null(strstr(h.last_skipped, "/queue"));
    assert_string_equal(h.last_why, "not a regular file");
    static const char *const names[] = {".hidden",   "a.pem", "b.der", "c",
                                        "notes.txt", "link",  "queue", "inner"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        drop(names[i]);
    }
}

static void test_one_file(void **state) {
    (void)state;
    char path[256];
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    struct import_counts counts = {0};
    struct err err = {0};
    put("vcek.der", buf_span(&machine.vcek));
    path_of("vcek.der", path);
    assert_true(is_ok(import_path(path, &hooks, &counts, NULL)));
    assert_int_equal(counts.items, 1);
    drop("vcek.der");
    assert_int_equal(import_path(path, &hooks, &counts, &err).code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(counts.items, 0);
}

static void test_a_large_file_is_skipped(void **state) {
    (void)state;
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    struct import_counts counts = {0};
    AUTO(buf_deinit)
    struct buf large = {0};
    memset(buf_extend(&large, LIMIT_IMPORT_FILE + 1), '0', LIMIT_IMPORT_FILE + 1);
    put("a", buf_span(&large));
    put("b", buf_span(&machine.vcek));
    assert_true(is_ok(import_path(folder, &hooks, &counts, NULL)));
    assert_int_equal(counts.items, 1);
    assert_int_equal(counts.skipped, 1);
    assert_non_null(strstr(h.last_why, "larger than the limit"));
    drop("a");
    drop("b");
}

static void test_a_hook_ends_it(void **state) {
    (void)state;
    struct heard h = {.fail_at = 2};
    const struct import_hooks hooks = hooks_of(&h);
    struct import_counts counts = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    bundle(&text);
    put("a.pem", buf_span(&text));
    put("b.der", buf_span(&machine.vcek));
    assert_int_equal(import_path(folder, &hooks, &counts, NULL).code, ERR_BUSY);
    assert_int_equal(counts.items, 1);
    drop("a.pem");
    drop("b.der");
}

static void test_too_many_files(void **state) {
    (void)state;
    struct heard h = {0};
    const struct import_hooks hooks = hooks_of(&h);
    char target[256];
    char path[256];
    put("vcek", buf_span(&machine.vcek));
    path_of("vcek", target);
    for (int i = 0; i < LIMIT_IMPORT_FILES; i++) {
        snprintf(path, sizeof path, "%s/%d", folder, i);
        assert_int_equal(link(target, path), 0);
    }
    assert_int_equal(import_path(folder, &hooks, NULL, NULL).code, ERR_TOO_LARGE);
    for (int i = 0; i < LIMIT_IMPORT_FILES; i++) {
        snprintf(path, sizeof path, "%d", i);
        drop(path);
    }
    drop("vcek");
}

/* ---- set-up ---- */

static void make_list(void) {
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, SNP_FIXTURE_NOT_BEFORE);
    X509_NAME *name = X509_NAME_new();
    uint8_t *der = NULL;
    X509_NAME_add_entry_by_txt(name, "CN", V_ASN1_UTF8STRING, (const uint8_t *)"ARK-Turin", -1, -1,
                               0);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, name);
    X509_CRL_set1_lastUpdate(crl, at);
    X509_CRL_set1_nextUpdate(crl, at);
    assert_true(X509_CRL_sign(crl, machine.ark_key, EVP_sha384()) > 0);
    int size = i2d_X509_CRL(crl, &der);
    assert_true(size > 0);
    buf_append(&list, der, (size_t)size);
    OPENSSL_free(der);
    X509_NAME_free(name);
    ASN1_TIME_free(at);
    X509_CRL_free(crl);
}

static int set_up(void **state) {
    (void)state;
    snp_fixture_init(&machine, SNP_TURIN);
    make_list();
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    (void)state;
    buf_deinit(&list);
    snp_fixture_deinit(&machine);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bundle),
        cmocka_unit_test(test_bad_bytes),
        cmocka_unit_test(test_foreign_certificates),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_a_folder),
        cmocka_unit_test(test_one_file),
        cmocka_unit_test(test_a_large_file_is_skipped),
        cmocka_unit_test(test_a_hook_ends_it),
        cmocka_unit_test(test_too_many_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
