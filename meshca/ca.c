/* CA: see ca.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "meshca/ca.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/digest.h"

#define ROOT_NAME "system:coordinator:root"
#define MESH_NAME "system:coordinator:intermediate"
#define BACKDATE_S 3600
#define CA_VALIDITY_S (INT64_C(10) * 365 * 24 * 3600)
#define COMMON_NAME_MAX 64 /* RFC 5280 appendix A.1, ub-common-name */

#define OID_TCB_BOOTLOADER "1.3.9901.2.1.28"
#define OID_TCB_SNP "1.3.9901.2.1.29"
#define OID_TCB_TEE "1.3.9901.2.1.30"
#define OID_TCB_MICROCODE "1.3.9901.2.1.31"
#define OID_MEASUREMENT "1.3.9901.2.1.22"
#define OID_HOST_DATA "1.3.9901.2.1.23"
#define OID_CHIP_ID "1.3.9901.2.1.32"
#define OID_WORKLOAD_SECRET_ID "1.3.9901.3.1"
#define EXTENSIONS_MAX 8

#define DER_INTEGER 0x02
#define DER_OCTET_STRING 0x04

void ca_root_deinit(struct ca_root *r) {
    key_deinit(&r->key);
    buf_deinit(&r->cert);
}

void ca_mesh_deinit(struct ca_mesh *m) {
    key_deinit(&m->key);
    buf_deinit(&m->mesh_cert);
    buf_deinit(&m->intermediate);
}

/* --- The authorities */

/* Who signs: the subject itself, or the owner of a certificate. */
struct issuer {
    const struct key *key;
    struct span certificate; /* DER; empty = self-signed */
};

static RESULT sign_ca(const struct host *host, int64_t now, const char *subject,
                      const struct key *key, const struct issuer *issuer, int path_length,
                      struct buf *pem, struct err *err) {
    uint8_t serial[CA_SERIAL_SIZE];
    host_random(host, serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
    struct cert_spec spec = {
        .subject = subject,
        .issuer_certificate = issuer->certificate,
        .serial = SPAN(serial),
        .not_before = now > BACKDATE_S ? now - BACKDATE_S : 0,
        .not_after = now + CA_VALIDITY_S,
        .is_ca = true,
        .path_length = path_length,
        .key_usage = CERT_USE_DIGITAL_SIGNATURE | CERT_USE_KEY_CERT_SIGN,
    };
    AUTO(buf_deinit)
    struct buf der = {0};
    TRY(cert_build(&spec, key, issuer->key, &der, err));
    cert_to_pem(buf_span(&der), pem);
    return OK;
}

static RESULT check_time(int64_t now, struct err *err) {
    ENSURE(now >= 0 && now < INT64_MAX - CA_VALIDITY_S, err, INVALID, "time %lld is out of range",
           (long long)now);
    return OK;
}

static RESULT fill_root(const struct host *host, int64_t now, struct ca_root *r, struct err *err) {
    TRY(key_generate(KEY_P384, &r->key, err));
    struct issuer self = {&r->key, {NULL, 0}};
    return sign_ca(host, now, ROOT_NAME, &r->key, &self, CERT_PATH_LENGTH_NONE, &r->cert, err);
}

RESULT ca_generate_root(const struct host *host, int64_t now, struct ca_root *out,
                        struct err *err) {
    TRY(check_time(now, err));
    struct ca_root root = {0};
    struct result r = fill_root(host, now, &root, err);
    if (!is_ok(r)) {
        ca_root_deinit(&root);
        return err_wrap(r, err, "root CA");
    }
    *out = root;
    return OK;
}

static RESULT fill_mesh(const struct host *host, const struct ca_root *root, int64_t now,
                        struct ca_mesh *m, struct err *err) {
    AUTO(buf_deinit)
    struct buf root_der = {0};
    TRY(cert_from_pem(buf_span(&root->cert), 1, &root_der, err));
    TRY(key_generate(KEY_P256, &m->key, err));
    struct issuer self = {&m->key, {NULL, 0}};
    struct issuer above = {&root->key, buf_span(&root_der)};
    TRY(sign_ca(host, now, MESH_NAME, &m->key, &self, 0, &m->mesh_cert, err));
    return sign_ca(host, now, MESH_NAME, &m->key, &above, 0, &m->intermediate, err);
}

RESULT ca_generate_mesh(const struct host *host, const struct ca_root *root, int64_t now,
                        struct ca_mesh *out, struct err *err) {
    TRY(check_time(now, err));
    struct ca_mesh mesh = {0};
    struct result r = fill_mesh(host, root, now, &mesh, err);
    if (!is_ok(r)) {
        ca_mesh_deinit(&mesh);
        return err_wrap(r, err, "mesh CA");
    }
    *out = mesh;
    return OK;
}

/* --- Loading */

static RESULT load_key(struct span der, enum key_kind kind, struct key *out, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    TRY(key_from_private_der(der, &key, err));
    ENSURE(key_kind_of(&key) == kind, err, MALFORMED, "the private key is of another kind");
    key_share(&key, out);
    return OK;
}

/* Appends the certificate to `out` if it is one and of this key. */
static RESULT load_cert(const struct key *key, struct span pem, struct buf *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf der = {0};
    AUTO(buf_deinit)
    struct buf in_cert = {0};
    AUTO(buf_deinit)
    struct buf of_key = {0};
    if (!is_ok(cert_from_pem(pem, 1, &der, err)) ||
        !is_ok(cert_spki(buf_span(&der), &in_cert, err))) {
        return err_set(err, ERR_MALFORMED, "not one PEM certificate");
    }
    key_spki(key, &of_key);
    ENSURE(span_equal(buf_span(&in_cert), buf_span(&of_key)), err, MALFORMED,
           "the certificate is of another key");
    buf_append_span(out, pem);
    return OK;
}

RESULT ca_root_load(struct span key_der, struct span cert_pem, struct ca_root *out,
                    struct err *err) {
    struct ca_root root = {0};
    struct result r = load_key(key_der, KEY_P384, &root.key, err);
    if (is_ok(r)) {
        r = load_cert(&root.key, cert_pem, &root.cert, err);
    }
    if (!is_ok(r)) {
        ca_root_deinit(&root);
        return err_wrap(r, err, "root CA");
    }
    *out = root;
    return OK;
}

RESULT ca_mesh_load(struct span key_der, struct span mesh_pem, struct span intermediate_pem,
                    struct ca_mesh *out, struct err *err) {
    struct ca_mesh mesh = {0};
    struct result r = load_key(key_der, KEY_P256, &mesh.key, err);
    if (is_ok(r)) {
        r = load_cert(&mesh.key, mesh_pem, &mesh.mesh_cert, err);
    }
    if (is_ok(r)) {
        r = load_cert(&mesh.key, intermediate_pem, &mesh.intermediate, err);
    }
    if (!is_ok(r)) {
        ca_mesh_deinit(&mesh);
        return err_wrap(r, err, "mesh CA");
    }
    *out = mesh;
    return OK;
}

/* --- Leaves */

/* Extensions under construction: the values lie in the arena. */
struct extensions {
    struct cert_extension items[EXTENSIONS_MAX];
    size_t count;
    struct arena arena;
};

static void deinit_extensions(struct extensions *e) {
    arena_deinit(&e->arena);
}

/* X.690 sections 8.1.3 and 10.1: the length in as few bytes as it fits. Returns the header's size.
 */
static size_t write_header(uint8_t tag, size_t size, uint8_t out[4]) {
    out[0] = tag;
    if (size < 0x80) {
        out[1] = (uint8_t)size;
        return 2;
    }
    if (size <= UINT8_MAX) {
        out[1] = 0x81;
        out[2] = (uint8_t)size;
        return 3;
    }
    out[1] = 0x82;
    out[2] = (uint8_t)(size >> 8);
    out[3] = (uint8_t)size;
    return 4;
}

static void add(struct extensions *e, const char *oid, uint8_t tag, struct span value) {
    CHECK(e->count < EXTENSIONS_MAX && value.size <= UINT16_MAX);
    uint8_t header[4];
    size_t header_size = write_header(tag, value.size, header);
    uint8_t *der = arena_alloc(&e->arena, header_size + value.size);
    memcpy(der, header, header_size);
    if (value.size > 0) {
        memcpy(der + header_size, value.data, value.size);
    }
    e->items[e->count++] = (struct cert_extension){oid, {der, header_size + value.size}, false};
}

/* X.690 section 8.3: two's complement, so that 128..255 need a zero byte in front. */
static void add_number(struct extensions *e, const char *oid, uint8_t value) {
    uint8_t bytes[2] = {0, value};
    add(e, oid, DER_INTEGER, value < 128 ? span_of(bytes + 1, 1) : SPAN(bytes));
}

static void add_claims(struct extensions *e, const struct ca_claims *c) {
    add(e, OID_MEASUREMENT, DER_OCTET_STRING, SPAN(c->measurement));
    add(e, OID_HOST_DATA, DER_OCTET_STRING, SPAN(c->host_data));
    add_number(e, OID_TCB_BOOTLOADER, c->tcb_bootloader);
    add_number(e, OID_TCB_SNP, c->tcb_snp);
    add_number(e, OID_TCB_TEE, c->tcb_tee);
    add_number(e, OID_TCB_MICROCODE, c->tcb_microcode);
    add(e, OID_CHIP_ID, DER_OCTET_STRING, SPAN(c->chip_id));
}

static bool is_dns_name(const char *san) {
    uint8_t address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, san, address) != 1 && inet_pton(AF_INET6, san, address) != 1 &&
           strstr(san, "://") == NULL;
}

static const char *common_name(const struct ca_leaf_spec *spec) {
    for (size_t i = 0; i < spec->san_count; i++) {
        size_t size = strlen(spec->sans[i]);
        if (size > 0 && size <= COMMON_NAME_MAX && is_dns_name(spec->sans[i])) {
            return spec->sans[i];
        }
    }
    return "workload";
}

static RESULT load_requester(struct span spki, struct key *out, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    TRY(key_from_spki(spki, &key, err));
    enum key_kind kind = key_kind_of(&key);
    ENSURE(kind == KEY_P256 || kind == KEY_P384 || kind == KEY_ED25519, err, INVALID,
           "a leaf's key must be P-256, P-384 or Ed25519");
    key_share(&key, out);
    return OK;
}

static RESULT build_leaf(const struct ca_mesh *mesh, const struct ca_leaf_spec *spec,
                         const struct key *requester, struct buf *der, struct err *err) {
    const char *sans[LIMIT_SANS];
    ENSURE(spec->san_count <= LIMIT_SANS, err, INVALID, "%zu SANs, at most %d", spec->san_count,
           LIMIT_SANS);
    for (size_t i = 0; i < spec->san_count; i++) {
        sans[i] = spec->sans[i];
    }
    AUTO(deinit_extensions)
    struct extensions extensions = {0};
    if (spec->claims != NULL) {
        add_claims(&extensions, spec->claims);
    }
    if (spec->workload_secret_id != NULL && spec->workload_secret_id[0] != 0) {
        add(&extensions, OID_WORKLOAD_SECRET_ID, DER_OCTET_STRING,
            span_str(spec->workload_secret_id));
    }
    AUTO(buf_deinit)
    struct buf issuer = {0};
    TRY(cert_from_pem(buf_span(&mesh->intermediate), 1, &issuer, err));
    struct cert_spec cert = {
        .subject = common_name(spec),
        .issuer_certificate = buf_span(&issuer),
        .serial = SPAN(spec->serial),
        .not_before = spec->not_before,
        .not_after = spec->not_after,
        .path_length = CERT_PATH_LENGTH_NONE,
        .key_usage = CERT_USE_DIGITAL_SIGNATURE,
        .extended_usage = CERT_EXT_CLIENT_AUTH | CERT_EXT_SERVER_AUTH,
        .sans = sans,
        .san_count = spec->san_count,
        .extensions = extensions.items,
        .extension_count = extensions.count,
    };
    return cert_build(&cert, requester, &mesh->key, der, err);
}

RESULT ca_issue_leaf(const struct ca_mesh *mesh, const struct ca_leaf_spec *spec, struct buf *chain,
                     struct err *err) {
    ENSURE(spec->workload_secret_id == NULL || strlen(spec->workload_secret_id) <= LIMIT_SECRET_ID,
           err, INVALID, "the workload secret id is longer than %d bytes", LIMIT_SECRET_ID);
    AUTO(key_deinit)
    struct key requester = {0};
    TRY(load_requester(spec->spki, &requester, err));
    AUTO(buf_deinit)
    struct buf der = {0};
    struct result r = build_leaf(mesh, spec, &requester, &der, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "leaf certificate");
    }
    cert_to_pem(buf_span(&der), chain);
    buf_append_span(chain, buf_span(&mesh->intermediate));
    return OK;
}

void ca_workload_secret(struct span root_secret, const char *id,
                        uint8_t out[CA_WORKLOAD_SECRET_SIZE]) {
    static const char label[] = "contrast-workload-secret-v1"; /* with its NUL */
    AUTO(buf_deinit)
    struct buf info = {0};
    buf_append_span(&info, SPAN(label));
    buf_append_str(&info, id);
    hkdf_sha256(root_secret, span_of(NULL, 0), buf_span(&info), out, CA_WORKLOAD_SECRET_SIZE);
}
