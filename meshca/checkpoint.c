/* Checkpoints: see checkpoint.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "meshca/checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "lib/crypto/aead.h"
#include "lib/crypto/digest.h"

#define KEY_SIZE SHARES_SECRET_SIZE /* AES-256 */
#define VERSION 1

_Static_assert(KEY_SIZE == AEAD_KEY_SIZE && CHECKPOINT_TAG_SIZE == AEAD_TAG_SIZE, "AES-256-GCM");

static const char magic[4] = {'C', 'H', 'K', 'P'};
static const char share_domain[] = "contrast-share-v1"; /* with its NUL */

static const struct wire_field share_fields[] = {
    WIRE_FIXED(struct checkpoint_share, owner),
    WIRE_FIXED(struct checkpoint_share, commitment),
    WIRE_BYTES(struct checkpoint_share, sealed, LIMIT_RSA_SIGNATURE),
};
static const struct wire_type share_type = WIRE_TYPE(struct checkpoint_share, share_fields);

static const struct wire_field header_fields[] = {
    WIRE_FIXED(struct checkpoint_header, file_id),
    WIRE_FIXED(struct checkpoint_header, cluster),
    WIRE_U64(struct checkpoint_header, epoch),
    WIRE_U64(struct checkpoint_header, index),
    WIRE_U64(struct checkpoint_header, term),
    WIRE_I64(struct checkpoint_header, time),
    WIRE_U64(struct checkpoint_header, generation),
    WIRE_FIXED(struct checkpoint_header, head),
    WIRE_U64(struct checkpoint_header, ledger_size),
    WIRE_FIXED(struct checkpoint_header, ledger_root),
    WIRE_U64(struct checkpoint_header, threshold),
    WIRE_LIST(struct checkpoint_header, shares, LIMIT_SHARE_OWNERS, &share_type),
    WIRE_FIXED(struct checkpoint_header, nonce),
    WIRE_U64(struct checkpoint_header, size),
    WIRE_FIXED(struct checkpoint_header, root_ca),
};
static const struct wire_type header_type = WIRE_TYPE(struct checkpoint_header, header_fields);

/* --- Shares of a file */

static void label_of(const uint8_t file_id[CHECKPOINT_FILE_ID_SIZE], struct buf *out) {
    buf_append(out, share_domain, sizeof share_domain);
    buf_append(out, file_id, CHECKPOINT_FILE_ID_SIZE);
}

/* `share`: x and 32 bytes. */
static void commit(const uint8_t file_id[CHECKPOINT_FILE_ID_SIZE], struct span share,
                   uint8_t out[SHA256_SIZE]) {
    const struct span parts[] = {SPAN(share_domain), span_of(file_id, CHECKPOINT_FILE_ID_SIZE),
                                 share};
    sha256_parts(parts, sizeof parts / sizeof parts[0], out);
}

static const struct checkpoint_share *share_at(const struct checkpoint_header *h, size_t at) {
    return (const struct checkpoint_share *)h->shares.items + at;
}

/* The owner's place in the list. */
static RESULT find_owner(const struct checkpoint_header *h, const uint8_t owner[32], size_t *at,
                         struct err *err) {
    for (size_t i = 0; i < h->shares.count; i++) {
        if (memcmp(share_at(h, i)->owner, owner, SHA256_SIZE) == 0) {
            *at = i;
            return OK;
        }
    }
    char name[2 * SHA256_SIZE + 1];
    hex_encode(span_of(owner, SHA256_SIZE), name);
    return err_set(err, ERR_NOT_FOUND, "share owner %s has no share in this checkpoint", name);
}

static RESULT check_at(const struct checkpoint_header *h, size_t at, struct span share,
                       struct err *err) {
    const struct checkpoint_share *entry = share_at(h, at);
    uint8_t digest[SHA256_SIZE] = {0};
    bool is_share = share.size == SHARES_SIZE && share.data[0] == at + 1;
    if (is_share) {
        commit(h->file_id, share, digest);
        is_share = span_equal_ct(SPAN(digest), SPAN(entry->commitment));
    }
    mem_wipe(digest, sizeof digest);
    if (is_share) {
        return OK;
    }
    char name[2 * SHA256_SIZE + 1];
    hex_encode(SPAN(entry->owner), name);
    return err_set(err, ERR_DENIED,
                   "the share of owner %s is not the one that the checkpoint committed to", name);
}

RESULT checkpoint_check_share(const struct checkpoint_header *h, const uint8_t owner[32],
                              struct span share, struct err *err) {
    size_t at = 0;
    TRY(find_owner(h, owner, &at, err));
    return check_at(h, at, share, err);
}

static RESULT open_at(const struct checkpoint_header *h, size_t at, const struct key *owner,
                      struct secret **out, struct err *err) {
    const struct checkpoint_share *entry = share_at(h, at);
    char name[2 * SHA256_SIZE + 1];
    hex_encode(SPAN(entry->owner), name);
    AUTO(buf_deinit)
    struct buf label = {0};
    label_of(h->file_id, &label);
    struct secret *share = NULL;
    TRY(err_wrap(key_open(owner, buf_span(&label), entry->sealed, &share, err), err,
                 "the share of owner %s", name));
    struct result r = check_at(h, at, secret_span(share), err);
    if (!is_ok(r)) {
        secret_free(share);
        return r;
    }
    *out = share;
    return OK;
}

RESULT checkpoint_open_share(const struct checkpoint_header *h, const struct key *owner,
                             struct secret **share, struct err *err) {
    ENSURE(key_kind_of(owner) == KEY_RSA, err, INVALID,
           "a share owner's key is RSA, this one is not");
    AUTO(buf_deinit)
    struct buf pkcs1 = {0};
    uint8_t digest[SHA256_SIZE];
    size_t at = 0;
    key_pkcs1(owner, &pkcs1);
    sha256(buf_span(&pkcs1), digest);
    TRY(find_owner(h, digest, &at, err));
    return open_at(h, at, owner, share, err);
}

/* --- Reading */

RESULT checkpoint_header_size(struct span file, size_t *out, struct err *err) {
    ENSURE(file.size >= CHECKPOINT_PREFIX_SIZE && memcmp(file.data, magic, sizeof magic) == 0, err,
           MALFORMED, "not a checkpoint file");
    uint32_t version = load_u32be(file.data + 4);
    ENSURE(version == VERSION, err, MALFORMED,
           "checkpoint of version %" PRIu32 ", this program knows %d", version, VERSION);
    size_t size = load_u32be(file.data + 8);
    ENSURE(size <= LIMIT_CHECKPOINT_HEADER - CHECKPOINT_PREFIX_SIZE, err, TOO_LARGE,
           "checkpoint header of %zu bytes, limit %d", size,
           LIMIT_CHECKPOINT_HEADER - CHECKPOINT_PREFIX_SIZE);
    *out = CHECKPOINT_PREFIX_SIZE + size;
    return OK;
}

static RESULT check_owners(const struct checkpoint_header *h, struct err *err) {
    ENSURE(h->shares.count > 0 && h->threshold > 0 && h->threshold <= h->shares.count, err,
           MALFORMED, "checkpoint of %" PRIu64 " in %zu shares", h->threshold, h->shares.count);
    for (size_t i = 0; i < h->shares.count; i++) {
        for (size_t k = 0; k < i; k++) {
            ENSURE(memcmp(share_at(h, i)->owner, share_at(h, k)->owner, SHA256_SIZE) != 0, err,
                   MALFORMED, "checkpoint with two shares of one owner");
        }
    }
    return OK;
}

RESULT checkpoint_parse_header(struct span prefix, struct arena *arena,
                               struct checkpoint_header *out, struct err *err) {
    size_t size = 0;
    struct checkpoint_header h = {0};
    TRY(checkpoint_header_size(prefix, &size, err));
    ENSURE(size == prefix.size, err, MALFORMED, "checkpoint header of %zu bytes, %zu are here",
           size, prefix.size);
    struct span message = {prefix.data + CHECKPOINT_PREFIX_SIZE, size - CHECKPOINT_PREFIX_SIZE};
    TRY(err_wrap(wire_decode(&header_type, message, arena, &h, err), err, "checkpoint header"));
    TRY(check_owners(&h, err));
    ENSURE(h.epoch > 0 && h.generation > 0, err, MALFORMED,
           "checkpoint of epoch %" PRIu64 ", generation %" PRIu64, h.epoch, h.generation);
    ENSURE(h.size <= LIMIT_SNAPSHOT, err, TOO_LARGE, "checkpoint of %" PRIu64 " bytes, limit %d",
           h.size, LIMIT_SNAPSHOT);
    *out = h;
    return OK;
}

RESULT checkpoint_parse(struct span file, struct arena *arena, struct checkpoint_header *out,
                        struct span *ciphertext, struct err *err) {
    size_t before = 0;
    struct checkpoint_header h = {0};
    ENSURE(file.size <= LIMIT_CHECKPOINT, err, TOO_LARGE, "checkpoint file of %zu bytes, limit %d",
           file.size, LIMIT_CHECKPOINT);
    TRY(checkpoint_header_size(file, &before, err));
    ENSURE(file.size > before, err, MALFORMED, "checkpoint file ends in its header");
    TRY(checkpoint_parse_header(span_of(file.data, before), arena, &h, err));
    ENSURE(file.size - before == h.size + CHECKPOINT_TAG_SIZE, err, MALFORMED,
           "checkpoint file of %zu bytes, its header says %" PRIu64, file.size,
           before + h.size + CHECKPOINT_TAG_SIZE);
    *out = h;
    *ciphertext = span_of(file.data + before, file.size - before);
    return OK;
}

/* --- Opening */

static RESULT check_shares(const struct checkpoint_header *h, const struct secret *const *shares,
                           size_t count, struct err *err) {
    bool seen[LIMIT_SHARE_OWNERS] = {false};
    ENSURE(count >= h->threshold, err, DENIED, "%zu shares, this checkpoint wants %" PRIu64, count,
           h->threshold);
    for (size_t i = 0; i < count; i++) {
        struct span share = secret_span(shares[i]);
        size_t x = share.size == SHARES_SIZE ? share.data[0] : 0;
        ENSURE(x > 0 && x <= h->shares.count, err, DENIED, "share %zu is none of this checkpoint",
               i + 1);
        ENSURE(!seen[x - 1], err, DENIED, "share number %zu stands here twice", x);
        seen[x - 1] = true;
        TRY(check_at(h, x - 1, share, err));
    }
    return OK;
}

RESULT checkpoint_open(struct span file, const struct secret *const *shares, size_t count,
                       struct buf *out, struct err *err) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct checkpoint_header h = {0};
    struct span ciphertext = {0};
    struct secret *key = NULL;
    TRY(checkpoint_parse(file, &arena, &h, &ciphertext, err));
    TRY(check_shares(&h, shares, count, err));
    TRY(shares_join(shares, (size_t)h.threshold, &key, err));
    struct span before = {file.data, file.size - ciphertext.size};
    bool is_authentic = aead_open(secret_span(key), h.nonce, before, ciphertext, out);
    secret_free(key);
    ENSURE(is_authentic, err, DENIED,
           "the checkpoint does not decrypt: its header or its payload was changed");
    return OK;
}

/* --- Sealing */

/* Encrypts one share to its owner; the span lies in `arena`. */
static RESULT seal_share(const struct checkpoint_header *h, struct span owner,
                         const struct secret *share, struct arena *arena,
                         struct checkpoint_share *out, struct err *err) {
    AUTO(key_deinit)
    struct key key = {0};
    AUTO(buf_deinit)
    struct buf label = {0};
    AUTO(buf_deinit)
    struct buf sealed = {0};
    struct result r = key_from_pkcs1(owner, KEY_RSA_BITS_MIN, &key, err);
    if (!is_ok(r)) {
        struct err cause = err != NULL ? *err : (struct err){0};
        return err_set(err, ERR_INVALID, "%.900s", cause.text);
    }
    label_of(h->file_id, &label);
    TRY(key_seal(&key, buf_span(&label), secret_span(share), &sealed, err));
    uint8_t *copy = arena_alloc(arena, sealed.size);
    memcpy(copy, sealed.data, sealed.size);
    out->sealed = span_of(copy, sealed.size);
    sha256(owner, out->owner);
    commit(h->file_id, secret_span(share), out->commitment);
    return OK;
}

static RESULT seal_shares(struct checkpoint_header *h, const struct span *owners,
                          struct secret *const *shares, struct arena *arena, struct err *err) {
    struct checkpoint_share *items = h->shares.items;
    for (size_t i = 0; i < h->shares.count; i++) {
        TRY(err_wrap(seal_share(h, owners[i], shares[i], arena, &items[i], err), err,
                     "share owner %zu", i + 1));
    }
    struct result r = check_owners(h, err);
    ENSURE(is_ok(r), err, INVALID, "one share owner stands there twice");
    return OK;
}

/* Everything before the ciphertext. */
static void append_header(const struct checkpoint_header *h, struct buf *out) {
    AUTO(buf_deinit)
    struct buf message = {0};
    wire_encode(&header_type, h, &message);
    CHECK(message.size + CHECKPOINT_PREFIX_SIZE <= LIMIT_CHECKPOINT_HEADER);
    buf_append(out, magic, sizeof magic);
    buf_append_u32be(out, VERSION);
    buf_append_u32be(out, (uint32_t)message.size);
    buf_append_span(out, buf_span(&message));
}

static RESULT check_seal(const struct checkpoint_header *fields, size_t count,
                         struct span plaintext, struct err *err) {
    ENSURE(count > 0 && count <= LIMIT_SHARE_OWNERS, err, INVALID, "%zu share owners, want 1 to %d",
           count, LIMIT_SHARE_OWNERS);
    ENSURE(fields->threshold > 0 && fields->threshold <= count, err, INVALID,
           "threshold %" PRIu64 " of %zu share owners", fields->threshold, count);
    ENSURE(fields->epoch > 0 && fields->generation > 0 && fields->time >= 0, err, INVALID,
           "checkpoint of epoch %" PRIu64 ", generation %" PRIu64 ", time %" PRId64, fields->epoch,
           fields->generation, fields->time);
    ENSURE(plaintext.size <= LIMIT_SNAPSHOT, err, TOO_LARGE, "state of %zu bytes, limit %d",
           plaintext.size, LIMIT_SNAPSHOT);
    return OK;
}

RESULT checkpoint_seal(const struct host *host, const struct checkpoint_header *fields,
                       const struct span *owners, size_t count, struct span plaintext,
                       struct buf *out, struct err *err) {
    TRY(check_seal(fields, count, plaintext, err));
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct secret *shares[LIMIT_SHARE_OWNERS] = {NULL};
    struct secret *key = secret_new(KEY_SIZE);
    struct checkpoint_header h = *fields;
    host_random(host, secret_data(key), KEY_SIZE);
    host_random(host, h.file_id, sizeof h.file_id);
    host_random(host, h.nonce, sizeof h.nonce);
    h.size = plaintext.size;
    h.shares.items = arena_alloc(&arena, count * sizeof(struct checkpoint_share));
    h.shares.count = count;
    shares_split(host, key, (size_t)h.threshold, count, shares);
    struct result r = seal_shares(&h, owners, shares, &arena, err);
    for (size_t i = 0; i < count; i++) {
        secret_free(shares[i]);
    }
    if (is_ok(r)) {
        size_t from = out->size;
        append_header(&h, out);
        buf_reserve(out, plaintext.size + CHECKPOINT_TAG_SIZE);
        aead_seal(secret_span(key), h.nonce, span_of(out->data + from, out->size - from), plaintext,
                  out);
    }
    secret_free(key);
    return r;
}
