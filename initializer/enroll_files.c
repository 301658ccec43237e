/* Enroll files: see enroll_files.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/enroll_files.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "initializer/enroll_swap.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/cert.h"
#include "lib/crypto/digest.h"

#define SECRET_SIZE 32

/* ---- checking ---- */

/* DER of the certificates of a reply. */
struct bundle {
    struct buf chain[2]; /* leaf, intermediate */
    struct buf mesh;
    struct buf root;
};

static void bundle_deinit(struct bundle *b) {
    buf_deinit(&b->chain[0]);
    buf_deinit(&b->chain[1]);
    buf_deinit(&b->mesh);
    buf_deinit(&b->root);
}

static RESULT read_bundle(const struct api_certificate_reply *reply, struct bundle *out,
                          struct err *err) {
    TRY(err_wrap(cert_from_pem(span_str(reply->chain_pem), 2, out->chain, err), err, "chain"));
    TRY(err_wrap(cert_from_pem(span_str(reply->mesh_ca_pem), 1, &out->mesh, err), err, "mesh CA"));
    return err_wrap(cert_from_pem(span_str(reply->root_ca_pem), 1, &out->root, err), err,
                    "root CA");
}

static RESULT check_attested(const char *name, const char *pem, const uint8_t digest[48],
                             struct err *err) {
    uint8_t actual[SHA384_SIZE];
    sha384(span_str(pem), actual);
    ENSURE(memcmp(actual, digest, sizeof actual) == 0, err, DIFFERS,
           "the %s is not the one that the Coordinator attested", name);
    return OK;
}

static RESULT check_key(const struct bundle *b, const struct key *key, struct err *err) {
    AUTO(buf_deinit)
    struct buf certified = {0};
    AUTO(buf_deinit)
    struct buf own = {0};
    TRY(cert_spki(buf_span(&b->chain[0]), &certified, err));
    key_spki(key, &own);
    ENSURE(span_equal(buf_span(&certified), buf_span(&own)), err, DIFFERS,
           "the certificate is over another key than the one that was sent");
    return OK;
}

static RESULT check_chain(const struct bundle *b, int64_t at, struct err *err) {
    struct span intermediate = buf_span(&b->chain[1]);
    struct span leaf = buf_span(&b->chain[0]);
    TRY(err_wrap(cert_verify_leaf(leaf, NULL, 0, buf_span(&b->mesh), at, err), err, "mesh CA"));
    return err_wrap(cert_verify_leaf(leaf, &intermediate, 1, buf_span(&b->root), at, err), err,
                    "root CA");
}

struct result enroll_files_check(const struct api_certificate_reply *reply, const struct key *key,
                                 const struct replica_statement *attested, int64_t at,
                                 struct err *err) {
    AUTO(bundle_deinit)
    struct bundle b = {0};
    ENSURE(reply->generation == attested->generation, err, STALE_GENERATION,
           "generation %" PRIu64 " was attested, the certificate is of %" PRIu64,
           attested->generation, reply->generation);
    TRY(check_attested("mesh CA", reply->mesh_ca_pem, attested->mesh_ca_digest, err));
    TRY(check_attested("root CA", reply->root_ca_pem, attested->root_ca_digest, err));
    TRY(read_bundle(reply, &b, err));
    TRY(check_key(&b, key, err));
    TRY(check_chain(&b, at, err));
    size_t secret = reply->workload_secret.size;
    ENSURE(secret == 0 || secret == SECRET_SIZE, err, DIFFERS,
           "a workload secret of %zu bytes, want %d", secret, SECRET_SIZE);
    return OK;
}

/* ---- writing ---- */

struct result enroll_files_write(const char *dir, const struct api_certificate_reply *reply,
                                 const struct key *key, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    AUTO(buf_deinit)
    struct buf hex = {0};
    struct span secret = reply->workload_secret;
    key_to_pem(key, true, &pem);
    hex_encode(secret, (char *)buf_extend(&hex, 2 * secret.size + 1));
    struct enroll_set set = {
        .mesh_ca = span_str(reply->mesh_ca_pem),
        .root_ca = span_str(reply->root_ca_pem),
        .chain = span_str(reply->chain_pem),
        .secret = span_of(hex.data, 2 * secret.size),
        .key = buf_span(&pem),
    };
    TRY(file_mkdirs(dir, 0755, err));
    return enroll_swap_run(dir, &set, enroll_swap_steps, err);
}

/* ---- reading ---- */

static RESULT read_file(const char *dir, const char *name, struct buf *out, struct err *err) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/tls-config/%s", dir, name);
    ENSURE(n > 0 && (size_t)n < sizeof path, err, CONFIG, "CONTRAST_DIR: the path is too long");
    return file_read(path, 2 * (size_t)LIMIT_PEM, out, err);
}

static RESULT read_bundle_of(const struct buf *chain, const struct buf *mesh, struct bundle *out,
                             struct err *err) {
    TRY(err_wrap(cert_from_pem(buf_span(chain), 2, out->chain, err), err, "certChain.pem"));
    return err_wrap(cert_from_pem(buf_span(mesh), 1, &out->mesh, err), err, "mesh-ca.pem");
}

static RESULT read_key(const char *dir, const struct bundle *b, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    AUTO(key_deinit)
    struct key key = {0};
    TRY(read_file(dir, "key.pem", &pem, err));
    TRY(err_wrap(key_from_pem(buf_span(&pem), &key, err), err, "key.pem"));
    return check_key(b, &key, err);
}

struct result enroll_files_read(const char *dir, struct enroll_present *out, struct err *err) {
    AUTO(bundle_deinit)
    struct bundle b = {0};
    AUTO(buf_deinit)
    struct buf chain = {0};
    AUTO(buf_deinit)
    struct buf mesh = {0};
    struct enroll_present p = {0};
    TRY(read_file(dir, "certChain.pem", &chain, err));
    TRY(read_file(dir, "mesh-ca.pem", &mesh, err));
    TRY(read_bundle_of(&chain, &mesh, &b, err));
    TRY(read_key(dir, &b, err));
    TRY(cert_validity(buf_span(&b.chain[0]), &p.not_before, &p.not_after, err));
    int64_t at = p.not_before / 2 + p.not_after / 2; /* whether it expired is another question */
    TRY(cert_verify_leaf(buf_span(&b.chain[0]), NULL, 0, buf_span(&b.mesh), at, err));
    sha256(buf_span(&chain), p.chain_digest);
    sha384(buf_span(&mesh), p.mesh_ca);
    *out = p;
    return OK;
}
