/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/crypto/cert.h"
#include "meshca/ca.h"

/* --- Fixture: a root, two generations of mesh CA, a requester, a folder for openssl(1) */

struct fixture {
    struct ca_root root;
    struct ca_mesh mesh[2];
    struct key requester;
    struct buf spki;
    struct ca_claims claims;
    struct ca_leaf_spec spec;
    int64_t now;
    char dir[64];
};

static const char *const default_sans[] = {"10.1.2.3", "spiffe://mesh/web", "web.shop.svc", "*"};

static void fill_spec(struct fixture *f) {
    memset(f->claims.measurement, 0xa1, sizeof f->claims.measurement);
    memset(f->claims.host_data, 0xb2, sizeof f->claims.host_data);
    memset(f->claims.chip_id, 0xc3, sizeof f->claims.chip_id);
    f->claims.tcb_bootloader = 4;
    f->claims.tcb_snp = 24;
    f->claims.tcb_microcode = 219;
    f->spec = (struct ca_leaf_spec){
        .spki = buf_span(&f->spki),
        .sans = (char *const *)(uintptr_t)default_sans,
        .san_count = 4,
        .serial = {0x7f, 1, 2, 3},
        .not_before = f->now - 3600,
        .not_after = f->now + 24 * 3600,
        .claims = &f->claims,
        .workload_secret_id = "shop/web",
    };
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return -1;
    }
    *state = f;
    strcpy(f->dir, "/tmp/test_ca.XXXXXX");
    f->now = host_unix_s(&host_system);
    if (mkdtemp(f->dir) == NULL || !is_ok(ca_generate_root(&host_system, f->now, &f->root, NULL)) ||
        !is_ok(ca_generate_mesh(&host_system, &f->root, f->now, &f->mesh[0], NULL)) ||
        !is_ok(ca_generate_mesh(&host_system, &f->root, f->now, &f->mesh[1], NULL)) ||
        !is_ok(key_generate(KEY_P256, &f->requester, NULL))) {
        return -1;
    }
    key_spki(&f->requester, &f->spki);
    fill_spec(f);
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    int rc = system(command); // NOLINT(cert-env33-c): a test's own folder
    ca_root_deinit(&f->root);
    ca_mesh_deinit(&f->mesh[0]);
    ca_mesh_deinit(&f->mesh[1]);
    key_deinit(&f->requester);
    buf_deinit(&f->spki);
    free(f);
    return rc;
}

static void write_file(const struct fixture *f, const char *name, struct span bytes) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_true(is_ok(file_write(path, bytes, 0600, NULL)));
}

/* Runs a command in the folder; its output is appended to `out`. */
static int run(const struct fixture *f, const char *command, struct buf *out) {
    char line[512];
    snprintf(line, sizeof line, "cd %s && %s 2>&1", f->dir, command);
    FILE *pipe = popen(line, "re"); // NOLINT(cert-env33-c): the tool that judges
    assert_non_null(pipe);
    uint8_t chunk[4096];
    for (size_t n = 0; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) {
        buf_append(out, chunk, n);
    }
    return pclose(pipe);
}

/* Issues from mesh[0] and writes leaf.pem (with the intermediate after it) and all CAs. */
static void issue_files(struct fixture *f) {
    AUTO(buf_deinit)
    struct buf chain = {0};
    struct err err;
    if (!is_ok(ca_issue_leaf(&f->mesh[0], &f->spec, &chain, &err))) {
        fail_msg("%s", err.text);
    }
    write_file(f, "leaf.pem", buf_span(&chain));
    write_file(f, "root.pem", buf_span(&f->root.cert));
    write_file(f, "mesh.pem", buf_span(&f->mesh[0].mesh_cert));
    write_file(f, "other.pem", buf_span(&f->mesh[1].mesh_cert));
    write_file(f, "intermediate.pem", buf_span(&f->mesh[0].intermediate));
}

/* --- What openssl(1) says */

static void test_openssl_verifies_the_leaf(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *command;
        bool is_good;
    } rows[] = {
        {"openssl verify -x509_strict -CAfile root.pem -untrusted leaf.pem leaf.pem", true},
        {"openssl verify -x509_strict -CAfile root.pem -untrusted intermediate.pem "
         "-purpose sslserver -verify_hostname web.shop.svc leaf.pem",
         true},
        {"openssl verify -x509_strict -CAfile mesh.pem -purpose sslclient "
         "-verify_ip 10.1.2.3 leaf.pem",
         true},
        {"openssl verify -x509_strict -CAfile root.pem root.pem", true},
        {"openssl verify -CAfile other.pem leaf.pem", false},
        {"openssl verify -CAfile root.pem leaf.pem", false},
        {"openssl verify -CAfile mesh.pem -verify_ip 10.1.2.4 leaf.pem", false},
        {"openssl verify -CAfile mesh.pem -attime 4000000000 leaf.pem", false},
    };
    issue_files(f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO(buf_deinit)
        struct buf out = {0};
        if ((run(f, rows[i].command, &out) == 0) != rows[i].is_good) {
            fail_msg("%s: %s", rows[i].command, buf_cstr(&out));
        }
    }
}

static void assert_shows(struct fixture *f, const char *command, const char *const *lines,
                         size_t count) {
    AUTO(buf_deinit)
    struct buf out = {0};
    assert_int_equal(run(f, command, &out), 0);
    for (size_t i = 0; i < count; i++) {
        if (strstr(buf_cstr(&out), lines[i]) == NULL) {
            fail_msg("no '%s' in %s", lines[i], buf_cstr(&out));
        }
    }
}

static void test_leaf_profile(void **state) {
    struct fixture *f = *state;
    static const char *const lines[] = {
        "Subject: CN = web.shop.svc\n",
        "Issuer: CN = system:coordinator:intermediate\n",
        "7f:01:02:03:00:00:00:00:00:00:00:00:00:00:00:00",
        "Digital Signature\n",
        "TLS Web Server Authentication",
        "TLS Web Client Authentication",
        "IP Address:10.1.2.3, URI:spiffe://mesh/web, DNS:web.shop.svc, DNS:*",
        "CA:FALSE",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "1.3.9901.2.1.22",
        "1.3.9901.3.1",
    };
    issue_files(f);
    assert_shows(f, "openssl x509 -in leaf.pem -noout -text", lines,
                 sizeof lines / sizeof lines[0]);
}

static void test_ca_profile(void **state) {
    struct fixture *f = *state;
    static const char *const root[] = {"Subject: CN = system:coordinator:root\n",
                                       "ASN1 OID: secp384r1", "CA:TRUE", "Certificate Sign"};
    static const char *const mesh[] = {"Issuer: CN = system:coordinator:intermediate\n",
                                       "Subject: CN = system:coordinator:intermediate\n",
                                       "ASN1 OID: prime256v1", "CA:TRUE", "Certificate Sign"};
    static const char *const between[] = {"Issuer: CN = system:coordinator:root\n",
                                          "Subject: CN = system:coordinator:intermediate\n",
                                          "CA:TRUE"};
    issue_files(f);
    assert_shows(f, "openssl x509 -in root.pem -noout -text", root, 4);
    assert_shows(f, "openssl x509 -in mesh.pem -noout -text", mesh, 5);
    assert_shows(f, "openssl x509 -in intermediate.pem -noout -text", between, 3);
    AUTO(buf_deinit)
    struct buf der = {0};
    int64_t from = 0;
    int64_t to = 0;
    assert_true(is_ok(cert_from_pem(buf_span(&f->root.cert), 1, &der, NULL)));
    assert_true(is_ok(cert_validity(buf_span(&der), &from, &to, NULL)));
    assert_int_equal(from, f->now - 3600);
    assert_int_equal(to, f->now + INT64_C(10) * 365 * 24 * 3600);
}

static void assert_extension(const struct buf *leaf, const char *oid, const void *want,
                             size_t size) {
    AUTO(buf_deinit)
    struct buf value = {0};
    assert_true(is_ok(cert_extension_value(buf_span(leaf), oid, &value, NULL)));
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, want, size);
}

static void test_claims_are_der(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf chain = {0};
    struct buf ders[2] = {{0}, {0}};
    assert_true(is_ok(ca_issue_leaf(&f->mesh[0], &f->spec, &chain, NULL)));
    assert_true(is_ok(cert_from_pem(buf_span(&chain), 2, ders, NULL)));
    uint8_t measurement[50] = {0x04, 48};
    memset(measurement + 2, 0xa1, 48);
    uint8_t chip[66] = {0x04, 64};
    memset(chip + 2, 0xc3, 64);
    assert_extension(&ders[0], "1.3.9901.2.1.22", measurement, sizeof measurement);
    assert_extension(&ders[0], "1.3.9901.2.1.32", chip, sizeof chip);
    assert_extension(&ders[0], "1.3.9901.2.1.28", "\x02\x01\x04", 3);
    assert_extension(&ders[0], "1.3.9901.2.1.29", "\x02\x01\x18", 3);
    assert_extension(&ders[0], "1.3.9901.2.1.30", "\x02\x01\x00", 3);
    assert_extension(&ders[0], "1.3.9901.2.1.31", "\x02\x02\x00\xdb", 4);
    assert_extension(&ders[0], "1.3.9901.3.1", "\x04\x08shop/web", 10);
    buf_deinit(&ders[0]);
    buf_deinit(&ders[1]);
}

/* Upstream crashes here: a policy without a DNS name among its SANs. */
/* X.690 section 10.1: the length takes as few bytes as it can, also between 128 and 255. */
static void test_long_secret_ids_are_der(void **state) {
    static const struct {
        size_t size;
        const char *header;
        size_t header_size;
    } all[] = {{127, "\x04\x7f", 2},
               {128, "\x04\x81\x80", 3},
               {255, "\x04\x81\xff", 3},
               {256, "\x04\x82\x01\x00", 4},
               {512, "\x04\x82\x02\x00", 4}};
    struct fixture *f = *state;
    char id[513];
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        AUTO(buf_deinit)
        struct buf chain = {0};
        AUTO(buf_deinit)
        struct buf value = {0};
        struct buf ders[2] = {{0}};
        memset(id, 'i', all[i].size);
        id[all[i].size] = 0;
        f->spec.workload_secret_id = id;
        assert_true(is_ok(ca_issue_leaf(&f->mesh[0], &f->spec, &chain, NULL)));
        assert_true(is_ok(cert_from_pem(buf_span(&chain), 2, ders, NULL)));
        assert_true(is_ok(cert_extension_value(buf_span(&ders[0]), "1.3.9901.3.1", &value, NULL)));
        assert_int_equal(value.size, all[i].header_size + all[i].size);
        assert_memory_equal(value.data, all[i].header, all[i].header_size);
        buf_deinit(&ders[0]);
        buf_deinit(&ders[1]);
    }
}

static void test_common_name_without_a_dns_san(void **state) {
    struct fixture *f = *state;
    static const char *const workload[] = {"Subject: CN = workload\n"};
    issue_files(f);
    f->spec.san_count = 2;
    issue_files(f);
    assert_shows(f, "openssl x509 -in leaf.pem -noout -text", workload, 1);
    f->spec.san_count = 0;
    f->spec.claims = NULL;
    f->spec.workload_secret_id = "";
    issue_files(f);
    assert_shows(f, "openssl x509 -in leaf.pem -noout -text", workload, 1);
}

/* --- Refusals */

static void test_leaf_refuses(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf chain = {0};
    struct err err;
    struct ca_leaf_spec bad = f->spec;
    bad.spki.size--;
    assert_int_equal(ca_issue_leaf(&f->mesh[0], &bad, &chain, &err).code, ERR_MALFORMED);
    bad = f->spec;
    memset(bad.serial, 0, sizeof bad.serial);
    assert_int_equal(ca_issue_leaf(&f->mesh[0], &bad, &chain, &err).code, ERR_INVALID);
    bad = f->spec;
    bad.not_after = bad.not_before;
    assert_int_equal(ca_issue_leaf(&f->mesh[0], &bad, &chain, &err).code, ERR_INVALID);
    bad = f->spec;
    bad.san_count = 65;
    assert_int_equal(ca_issue_leaf(&f->mesh[0], &bad, &chain, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "65 SANs"));
    assert_int_equal(chain.size, 0);
}

static void test_generate_refuses_bad_time(void **state) {
    struct fixture *f = *state;
    struct ca_root root = {0};
    assert_int_equal(ca_generate_root(&host_system, -1, &root, NULL).code, ERR_INVALID);
    assert_int_equal(ca_generate_root(&host_system, INT64_MAX, &root, NULL).code, ERR_INVALID);
    assert_null(root.key.pkey);
    struct ca_mesh mesh = {0};
    assert_int_equal(ca_generate_mesh(&host_system, &f->root, -1, &mesh, NULL).code, ERR_INVALID);
    assert_null(mesh.key.pkey);
}

/* --- Loading */

static void test_load_gives_back_the_same_authorities(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf root_key = {0};
    AUTO(buf_deinit)
    struct buf mesh_key = {0};
    struct ca_root root = {0};
    struct ca_mesh mesh = {0};
    key_private_der(&f->root.key, &root_key);
    key_private_der(&f->mesh[0].key, &mesh_key);
    assert_true(is_ok(ca_root_load(buf_span(&root_key), buf_span(&f->root.cert), &root, NULL)));
    assert_true(is_ok(ca_mesh_load(buf_span(&mesh_key), buf_span(&f->mesh[0].mesh_cert),
                                   buf_span(&f->mesh[0].intermediate), &mesh, NULL)));
    assert_true(span_equal(buf_span(&root.cert), buf_span(&f->root.cert)));
    struct ca_mesh swap = f->mesh[0];
    f->mesh[0] = mesh;
    issue_files(f);
    AUTO(buf_deinit)
    struct buf out = {0};
    assert_int_equal(run(f, "openssl verify -CAfile root.pem -untrusted leaf.pem leaf.pem", &out),
                     0);
    f->mesh[0] = swap;
    ca_root_deinit(&root);
    ca_mesh_deinit(&mesh);
}

static void test_load_refuses_what_does_not_belong_together(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf key = {0};
    struct ca_mesh mesh = {0};
    struct ca_root root = {0};
    struct err err;
    key_private_der(&f->mesh[0].key, &key);
    struct span own = buf_span(&f->mesh[0].mesh_cert);
    struct span other = buf_span(&f->mesh[1].mesh_cert);
    struct span k = buf_span(&key);
    assert_int_equal(ca_mesh_load(k, other, own, &mesh, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "of another key"));
    assert_int_equal(ca_mesh_load(k, own, other, &mesh, &err).code, ERR_MALFORMED);
    assert_int_equal(ca_mesh_load(k, own, span_str("x"), &mesh, &err).code, ERR_MALFORMED);
    assert_int_equal(ca_mesh_load(span_str("x"), own, own, &mesh, &err).code, ERR_MALFORMED);
    assert_int_equal(ca_root_load(k, own, &root, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "of another kind"));
    assert_null(mesh.key.pkey);
}

/* --- Workload secrets */

static void test_workload_secret_is_hkdf(void **state) {
    struct fixture *f = *state;
    uint8_t root[32];
    uint8_t secret[32];
    memset(root, 7, sizeof root);
    ca_workload_secret(SPAN(root), "shop/web", secret);
    char hex[65];
    hex_encode(SPAN(secret), hex);
    AUTO(buf_deinit)
    struct buf out = {0};
    int rc = run(f,
                 "openssl kdf -binary -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:"
                 "0707070707070707070707070707070707070707070707070707070707070707 "
                 "-kdfopt hexinfo:$(printf 'contrast-workload-secret-v1\\0shop/web' | od -An -tx1 "
                 "| tr -d ' \\n') HKDF | od -An -tx1 | tr -d ' \\n'",
                 &out);
    assert_int_equal(rc, 0);
    assert_string_equal(buf_cstr(&out), hex);
    uint8_t other[32];
    ca_workload_secret(SPAN(root), "shop/db", other);
    assert_memory_not_equal(secret, other, 32);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_openssl_verifies_the_leaf),
        TEST(test_leaf_profile),
        TEST(test_ca_profile),
        TEST(test_claims_are_der),
        TEST(test_long_secret_ids_are_der),
        TEST(test_common_name_without_a_dns_san),
        TEST(test_leaf_refuses),
        TEST(test_generate_refuses_bad_time),
        TEST(test_load_gives_back_the_same_authorities),
        TEST(test_load_refuses_what_does_not_belong_together),
        TEST(test_workload_secret_is_hkdf),
    };
    return cmocka_run_group_tests_name("ca", tests, NULL, NULL);
}
