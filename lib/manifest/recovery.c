/* Recoveries: see recovery.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/recovery.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

static const char hash_domain[] = "contrast-recovery-v1"; /* hashed with its NUL */
static const char sign_domain[] = "contrast-recover-v1";  /* signed with its NUL */

const char *recovery_mode_name(unsigned mode) {
    static const char *const names[] = {"unknown", "survivor", "checkpoint", "automatic"};
    return names[mode < sizeof names / sizeof names[0] ? mode : 0];
}

void recovery_hash(const struct recovery *r, uint8_t out[32]) {
    uint8_t epochs[17];
    uint8_t generation[8];
    uint8_t position[16];
    store_u64be(epochs, r->epoch);
    store_u64be(epochs + 8, r->previous_epoch);
    epochs[16] = r->mode;
    store_u64be(generation, r->generation);
    store_u64be(position, r->index);
    store_u64be(position + 8, r->ledger_size);
    const struct span parts[] = {
        SPAN(hash_domain), SPAN(r->cluster), SPAN(epochs),         SPAN(generation),
        SPAN(r->head),     SPAN(position),   SPAN(r->ledger_root), SPAN(r->recipient),
    };
    sha256_parts(parts, sizeof parts / sizeof parts[0], out);
}

void recovery_signed_bytes(const struct recovery *r, struct buf *out) {
    uint8_t hash[SHA256_SIZE];
    recovery_hash(r, hash);
    buf_append(out, sign_domain, sizeof sign_domain);
    buf_append(out, hash, sizeof hash);
}

RESULT recovery_sign(const struct recovery *r, const struct key *share_owner, struct buf *signature,
                     struct err *err) {
    ENSURE(key_kind_of(share_owner) == KEY_RSA, err, INVALID,
           "a share owner's key is RSA, this one is not");
    AUTO(buf_deinit)
    struct buf message = {0};
    recovery_signed_bytes(r, &message);
    return key_sign(share_owner, buf_span(&message), signature, err);
}

/* A key as people find it again: `openssl rsa -RSAPublicKey_out -outform DER | sha256sum`. */
static void name_key(struct span pkcs1, char hex[2 * SHA256_SIZE + 1]) {
    uint8_t digest[SHA256_SIZE];
    sha256(pkcs1, digest);
    hex_encode(SPAN(digest), hex);
}

static bool is_share_owner(const struct manifest *m, struct span key) {
    for (size_t i = 0; i < m->share_owner_count; i++) {
        if (span_equal(m->share_owners[i], key)) {
            return true;
        }
    }
    return false;
}

RESULT recovery_verify_one(const struct recovery *r, const struct recovery_signature *s,
                           const struct manifest *authority, struct err *err) {
    char name[2 * SHA256_SIZE + 1];
    name_key(s->key, name);
    ENSURE(is_share_owner(authority, s->key), err, SIGNATURE,
           "signed by key %s, not a share owner of the manifest of generation %" PRIu64, name,
           r->generation);
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf message = {0};
    recovery_signed_bytes(r, &message);
    struct result result = key_from_pkcs1(s->key, KEY_RSA_BITS_MIN, &key, NULL);
    if (is_ok(result)) {
        result = key_verify(&key, buf_span(&message), s->signature, NULL);
    }
    ENSURE(is_ok(result), err, SIGNATURE, "the signature of share owner %s is not valid", name);
    return OK;
}

static RESULT check_fields(const struct recovery *r, struct err *err) {
    ENSURE(r->mode >= RECOVERY_SURVIVOR && r->mode <= RECOVERY_AUTOMATIC, err, DENIED,
           "recovery of unknown mode %u", r->mode);
    ENSURE(r->previous_epoch > 0 && r->epoch > r->previous_epoch, err, DENIED,
           "epoch %" PRIu64 " does not rise above epoch %" PRIu64, r->epoch, r->previous_epoch);
    ENSURE(r->generation > 0, err, DENIED, "recovery of a state without a manifest");
    return OK;
}

static RESULT check_automatic(size_t count, const struct manifest *authority, struct err *err) {
    ENSURE(authority->auto_recovery, err, DENIED,
           "automatic recovery, which the manifest does not permit (AutoRecovery)");
    ENSURE(count == 0, err, DENIED, "automatic recovery with signatures");
    return OK;
}

static RESULT check_distinct(const struct recovery_signature *s, size_t at, struct err *err) {
    for (size_t i = 0; i < at; i++) {
        if (span_equal(s[i].key, s[at].key)) {
            char name[2 * SHA256_SIZE + 1];
            name_key(s[at].key, name);
            return err_set(err, ERR_SIGNATURE, "share owner %s signed twice", name);
        }
    }
    return OK;
}

RESULT recovery_verify(const struct recovery *r, const struct recovery_signature *s, size_t count,
                       const struct manifest *authority, struct err *err) {
    TRY(check_fields(r, err));
    if (r->mode == RECOVERY_AUTOMATIC) {
        return check_automatic(count, authority, err);
    }
    ENSURE(authority->share_threshold > 0, err, SIGNATURE,
           "the manifest of generation %" PRIu64 " names no share owners: nobody may recover",
           r->generation);
    ENSURE(count <= LIMIT_SHARE_OWNERS, err, SIGNATURE, "%zu signatures, limit %d", count,
           LIMIT_SHARE_OWNERS);
    for (size_t i = 0; i < count; i++) {
        TRY(check_distinct(s, i, err));
        TRY(recovery_verify_one(r, &s[i], authority, err));
    }
    ENSURE(count >= authority->share_threshold, err, SIGNATURE,
           "signed by %zu share owners, the manifest wants %zu", count, authority->share_threshold);
    return OK;
}
