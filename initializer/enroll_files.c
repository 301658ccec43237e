/* Enroll files: see enroll_files.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "initializer/enroll_files.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
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

struct place {
    char text[PATH_MAX];
};

static RESULT locate(const char *dir, const char *name, struct place *out, struct err *err) {
    int n = snprintf(out->text, sizeof out->text, "%s/%s", dir, name);
    ENSURE(n > 0 && (size_t)n < sizeof out->text, err, CONFIG,
           "CONTRAST_DIR: the path is too long");
    return OK;
}

static RESULT write_file(const char *dir, const char *name, struct span bytes, mode_t mode,
                         struct err *err) {
    struct place place = {0};
    TRY(locate(dir, name, &place, err));
    return file_write(place.text, bytes, mode, err);
}

static RESULT make_folder(const char *dir, const char *name, struct err *err) {
    struct place place = {0};
    TRY(locate(dir, name, &place, err));
    return file_mkdirs(place.text, 0755, err);
}

static RESULT remove_file(const char *dir, const char *name, struct err *err) {
    struct place place = {0};
    TRY(locate(dir, name, &place, err));
    ENSURE(unlink(place.text) == 0 || errno == ENOENT, err, IO, "%s: %s", place.text,
           strerror(errno));
    return OK;
}

static RESULT write_secret(const char *dir, struct span secret, struct err *err) {
    AUTO(buf_deinit)
    struct buf hex = {0};
    if (secret.size == 0) {
        return OK;
    }
    hex_encode(secret, (char *)buf_extend(&hex, 2 * secret.size + 1));
    TRY(make_folder(dir, "secrets", err));
    return write_file(dir, "secrets/workload-secret-seed", span_of(hex.data, 2 * secret.size), 0400,
                      err);
}

static RESULT write_key(const char *dir, const struct key *key, struct err *err) {
    AUTO(buf_deinit)
    struct buf pem = {0};
    key_to_pem(key, true, &pem);
    return write_file(dir, "tls-config/key.pem", buf_span(&pem), 0400, err);
}

struct result enroll_files_write(const char *dir, const struct api_certificate_reply *reply,
                                 const struct key *key, struct err *err) {
    TRY(make_folder(dir, "tls-config", err));
    TRY(remove_file(dir, "tls-config/key.pem", err));
    TRY(remove_file(dir, "secrets/workload-secret-seed", err));
    TRY(write_file(dir, "tls-config/mesh-ca.pem", span_str(reply->mesh_ca_pem), 0444, err));
    TRY(write_file(dir, "tls-config/coordinator-root-ca.pem", span_str(reply->root_ca_pem), 0444,
                   err));
    TRY(write_file(dir, "tls-config/certChain.pem", span_str(reply->chain_pem), 0444, err));
    TRY(write_secret(dir, reply->workload_secret, err));
    return write_key(dir, key, err);
}
