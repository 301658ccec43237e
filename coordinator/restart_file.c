/* Restart file: see restart_file.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restart_file.h"

#include <inttypes.h>
#include <string.h>

#include "lib/crypto/digest.h"

#define VERSION 1
#define COEFFICIENTS ((LIMIT_VOTERS / 2) * SHARES_SECRET_SIZE) /* bytes, at most */

_Static_assert(LIMIT_VOTERS <= LIMIT_SHARE_OWNERS, "each voter has a share");

static const char magic[4] = {'R', 'S', 'T', 'F'};
static const char id_domain[] = "contrast-restart-v1"; /* each with its NUL */
static const char key_domain[] = "contrast-restart-key-v1";
static const char shares_domain[] = "contrast-restart-shares-v1";
static const char share_domain[] = "contrast-restart-share-v1";
static const char own_domain[] = "contrast-restart-own-v1";
static const uint8_t nonce[AEAD_NONCE_SIZE]; /* zero: a key protects one message */

static const struct wire_field voter_fields[] = {
    WIRE_U64(struct restart_voter, id),
    WIRE_STR(struct restart_voter, name, LIMIT_NAME),
    WIRE_FIXED(struct restart_voter, commitment),
};
static const struct wire_type voter_type = WIRE_TYPE(struct restart_voter, voter_fields);

static const struct wire_field header_fields[] = {
    WIRE_FIXED(struct restart_header, id),
    WIRE_FIXED(struct restart_header, cluster),
    WIRE_U64(struct restart_header, epoch),
    WIRE_U64(struct restart_header, index),
    WIRE_U64(struct restart_header, term),
    WIRE_I64(struct restart_header, time),
    WIRE_U64(struct restart_header, generation),
    WIRE_FIXED(struct restart_header, head),
    WIRE_U64(struct restart_header, ledger_size),
    WIRE_FIXED(struct restart_header, ledger_root),
    WIRE_BYTES(struct restart_header, manifest, LIMIT_MANIFEST_SET),
    WIRE_U64(struct restart_header, threshold),
    WIRE_LIST(struct restart_header, voters, LIMIT_VOTERS, &voter_type),
    WIRE_U64(struct restart_header, size),
};
static const struct wire_type header_type = WIRE_TYPE(struct restart_header, header_fields);

static struct restart_voter *voter_at(const struct restart_header *h, size_t at) {
    return (struct restart_voter *)h->voters.items + at;
}

static void commit(const uint8_t id[32], struct span share, uint8_t out[SHA256_SIZE]) {
    const struct span parts[] = {SPAN(share_domain), span_of(id, 32), share};
    sha256_parts(parts, sizeof parts / sizeof parts[0], out);
}

/* --- Sealing */

/* Coefficients that the state decides, in the place of randomness (shares_split). */
struct stream {
    uint8_t bytes[COEFFICIENTS];
    size_t used;
};

static void draw(void *data, void *out, size_t size) {
    struct stream *s = data;
    CHECK(size <= sizeof s->bytes - s->used);
    memcpy(out, s->bytes + s->used, size);
    s->used += size;
}

static void split(const struct restart_header *h, struct span workload_secret, struct secret *key,
                  struct secret **shares) {
    struct stream stream = {.used = 0};
    const struct host host = {.data = &stream, .random = draw};
    hkdf_sha256(workload_secret, SPAN(h->id), SPAN(key_domain), secret_data(key),
                SHARES_SECRET_SIZE);
    hkdf_sha256(workload_secret, SPAN(h->id), SPAN(shares_domain), stream.bytes,
                sizeof stream.bytes);
    shares_split(&host, key, (size_t)h->threshold, h->voters.count, shares);
    mem_wipe(&stream, sizeof stream);
}

/* `h` without id and commitments. */
static void make_id(const struct restart_header *h, struct span state, uint8_t out[32]) {
    AUTO(buf_deinit)
    struct buf message = {0};
    uint8_t digest[SHA256_SIZE];
    sha256(state, digest);
    wire_encode(&header_type, h, &message);
    const struct span parts[] = {SPAN(id_domain), buf_span(&message), SPAN(digest)};
    sha256_parts(parts, sizeof parts / sizeof parts[0], out);
}

static void append_header(const struct restart_header *h, struct buf *out) {
    AUTO(buf_deinit)
    struct buf message = {0};
    wire_encode(&header_type, h, &message);
    CHECK(message.size + RESTART_PREFIX_SIZE <= LIMIT_RESTART_HEADER);
    buf_append(out, magic, sizeof magic);
    buf_append_u32be(out, VERSION);
    buf_append_u32be(out, (uint32_t)message.size);
    buf_append_span(out, buf_span(&message));
}

static void own_key(const uint8_t digest[32], uint8_t x, const struct secret *chip_key,
                    struct secret *out) {
    uint8_t info[sizeof own_domain + 1];
    memcpy(info, own_domain, sizeof own_domain);
    info[sizeof own_domain] = x;
    hkdf_sha256(secret_span(chip_key), span_of(digest, 32), SPAN(info), secret_data(out),
                AEAD_KEY_SIZE);
}

static void append_own(struct span common, const struct secret *share,
                       const struct secret *chip_key, struct buf *out) {
    struct secret *key = secret_new(AEAD_KEY_SIZE);
    uint8_t digest[SHA256_SIZE];
    uint8_t x = secret_span(share).data[0];
    sha256(common, digest);
    own_key(digest, x, chip_key, key);
    buf_append_u8(out, x);
    aead_seal(secret_span(key), nonce, SPAN(digest), secret_span(share), out);
    secret_free(key);
}

static RESULT check_order(const struct restart_header *h, struct err *err) {
    ENSURE(h->voters.count >= 1, err, MALFORMED, "restart file without voters");
    for (size_t i = 1; i < h->voters.count; i++) {
        ENSURE(voter_at(h, i - 1)->id < voter_at(h, i)->id, err, MALFORMED,
               "restart file: its voters are out of order");
    }
    return OK;
}

static RESULT check_fields(const struct restart_header *f, uint64_t own, struct span state,
                           size_t *at, struct err *err) {
    ENSURE(f->voters.count <= LIMIT_VOTERS && is_ok(check_order(f, NULL)), err, INVALID,
           "%zu voters, want 1 to %d by rising id", f->voters.count, LIMIT_VOTERS);
    ENSURE(f->epoch > 0 && f->generation > 0 && f->time >= 0, err, INVALID,
           "state of epoch %" PRIu64 ", generation %" PRIu64, f->epoch, f->generation);
    ENSURE(state.size > 0 && state.size <= LIMIT_SNAPSHOT, err, TOO_LARGE,
           "state of %zu bytes, limit %d", state.size, LIMIT_SNAPSHOT);
    ENSURE(f->manifest.size <= LIMIT_MANIFEST_SET, err, TOO_LARGE,
           "manifest of %zu bytes, limit %d", f->manifest.size, LIMIT_MANIFEST_SET);
    for (*at = 0; *at < f->voters.count; (*at)++) {
        if (voter_at(f, *at)->id == own) {
            return OK;
        }
    }
    return err_set(err, ERR_INVALID, "replica %" PRIu64 " is none of the voters", own);
}

RESULT restart_file_seal(const struct restart_header *fields, uint64_t own, struct span state,
                         struct span workload_secret, const struct secret *chip_key,
                         struct buf *out, struct err *err) {
    size_t at = 0;
    TRY(check_fields(fields, own, state, &at, err));
    struct restart_voter voters[LIMIT_VOTERS] = {0};
    struct secret *shares[LIMIT_VOTERS] = {NULL};
    struct restart_header h = *fields;
    for (size_t i = 0; i < h.voters.count; i++) {
        voters[i] = (struct restart_voter){.id = voter_at(fields, i)->id,
                                           .name = voter_at(fields, i)->name};
    }
    memset(h.id, 0, sizeof h.id);
    h.voters.items = voters;
    h.threshold = h.voters.count / 2 + 1;
    h.size = state.size;
    make_id(&h, state, h.id);
    struct secret *key = secret_new(AEAD_KEY_SIZE);
    split(&h, workload_secret, key, shares);
    for (size_t i = 0; i < h.voters.count; i++) {
        commit(h.id, secret_span(shares[i]), voters[i].commitment);
    }
    size_t from = out->size;
    append_header(&h, out);
    buf_reserve(out, state.size + AEAD_TAG_SIZE + RESTART_OWN_SIZE);
    aead_seal(secret_span(key), nonce, span_of(out->data + from, out->size - from), state, out);
    append_own(span_of(out->data + from, out->size - from), shares[at], chip_key, out);
    for (size_t i = 0; i < h.voters.count; i++) {
        secret_free(shares[i]);
    }
    secret_free(key);
    return OK;
}

/* --- Reading */

static RESULT read_header(struct span file, struct arena *arena, struct restart_file *out,
                          struct err *err) {
    struct restart_header *h = &out->header;
    ENSURE(file.size >= RESTART_PREFIX_SIZE && memcmp(file.data, magic, sizeof magic) == 0, err,
           MALFORMED, "not a restart file");
    uint32_t version = load_u32be(file.data + 4);
    ENSURE(version == VERSION, err, MALFORMED,
           "restart file of version %" PRIu32 ", this program knows %d", version, VERSION);
    size_t size = load_u32be(file.data + 8);
    ENSURE(size <= LIMIT_RESTART_HEADER - RESTART_PREFIX_SIZE, err, TOO_LARGE,
           "restart file: a header of %zu bytes, limit %d", size,
           LIMIT_RESTART_HEADER - RESTART_PREFIX_SIZE);
    ENSURE(size <= file.size - RESTART_PREFIX_SIZE, err, MALFORMED,
           "restart file ends in its header");
    TRY(err_wrap(
        wire_decode(&header_type, span_of(file.data + RESTART_PREFIX_SIZE, size), arena, h, err),
        err, "restart file"));
    out->before = span_of(file.data, RESTART_PREFIX_SIZE + size);
    return OK;
}

static RESULT check_header(const struct restart_header *h, struct err *err) {
    TRY(check_order(h, err));
    ENSURE(h->threshold == h->voters.count / 2 + 1, err, MALFORMED,
           "restart file: %" PRIu64 " shares open it, a majority of %zu voters is %zu",
           h->threshold, h->voters.count, h->voters.count / 2 + 1);
    ENSURE(h->epoch > 0 && h->generation > 0, err, MALFORMED,
           "restart file of epoch %" PRIu64 ", generation %" PRIu64, h->epoch, h->generation);
    ENSURE(h->size > 0 && h->size <= LIMIT_SNAPSHOT, err, TOO_LARGE,
           "restart file: a state of %" PRIu64 " bytes, limit %d", h->size, LIMIT_SNAPSHOT);
    return OK;
}

static void digest_voters(const struct restart_header *h, uint8_t out[32]) {
    uint8_t ids[8 * LIMIT_VOTERS];
    for (size_t i = 0; i < h->voters.count; i++) {
        store_u64be(ids + 8 * i, voter_at(h, i)->id);
    }
    sha256(span_of(ids, 8 * h->voters.count), out);
}

RESULT restart_file_parse(struct span file, struct arena *arena, struct restart_file *out,
                          struct err *err) {
    struct restart_file f = {.x = 0};
    ENSURE(file.size <= LIMIT_RESTART_FILE, err, TOO_LARGE, "restart file of %zu bytes, limit %d",
           file.size, LIMIT_RESTART_FILE);
    TRY(read_header(file, arena, &f, err));
    TRY(check_header(&f.header, err));
    size_t sealed = (size_t)f.header.size + AEAD_TAG_SIZE;
    size_t common = f.before.size + sealed;
    ENSURE(file.size == common + RESTART_OWN_SIZE, err, MALFORMED,
           "restart file of %zu bytes, its header says %zu", file.size, common + RESTART_OWN_SIZE);
    f.ciphertext = span_of(file.data + f.before.size, sealed);
    f.x = file.data[common];
    f.sealed = span_of(file.data + common + 1, RESTART_OWN_SIZE - 1);
    ENSURE(f.x >= 1 && f.x <= f.header.voters.count, err, MALFORMED,
           "restart file with share %u of %zu", f.x, f.header.voters.count);
    sha256(span_of(file.data, common), f.digest);
    digest_voters(&f.header, f.voters);
    *out = f;
    return OK;
}

/* --- Opening */

RESULT restart_file_check(const struct restart_file *f, struct span share, struct err *err) {
    size_t x = share.size == SHARES_SIZE ? share.data[0] : 0;
    uint8_t digest[SHA256_SIZE] = {0};
    bool is_share = x >= 1 && x <= f->header.voters.count;
    if (is_share) {
        commit(f->header.id, share, digest);
        is_share = span_equal_ct(SPAN(digest), SPAN(voter_at(&f->header, x - 1)->commitment));
    }
    mem_wipe(digest, sizeof digest);
    ENSURE(is_share, err, DENIED, "share %zu is not the one that the restart file committed to", x);
    return OK;
}

RESULT restart_file_unseal(const struct restart_file *f, const struct secret *chip_key,
                           struct secret **share, struct err *err) {
    AUTO(buf_deinit)
    struct buf plain = {0};
    struct secret *key = secret_new(AEAD_KEY_SIZE);
    own_key(f->digest, f->x, chip_key, key);
    bool is_open = aead_open(secret_span(key), nonce, SPAN(f->digest), f->sealed, &plain);
    secret_free(key);
    ENSURE(is_open && plain.size == SHARES_SIZE && plain.data[0] == f->x, err, DENIED,
           "the restart file does not open here: it was written on another chip, by another image "
           "or under another guest policy, or it was changed");
    TRY(restart_file_check(f, buf_span(&plain), err));
    *share = secret_new(SHARES_SIZE);
    memcpy(secret_data(*share), plain.data, SHARES_SIZE);
    return OK;
}

static RESULT check_shares(const struct restart_file *f, const struct secret *const *shares,
                           size_t count, struct err *err) {
    bool seen[LIMIT_VOTERS] = {false};
    ENSURE(count >= f->header.threshold, err, DENIED, "%zu shares, this file wants %" PRIu64, count,
           f->header.threshold);
    for (size_t i = 0; i < count; i++) {
        struct span share = secret_span(shares[i]);
        TRY(restart_file_check(f, share, err));
        ENSURE(!seen[share.data[0] - 1], err, DENIED, "share %u stands here twice", share.data[0]);
        seen[share.data[0] - 1] = true;
    }
    return OK;
}

RESULT restart_file_open(const struct restart_file *f, const struct secret *const *shares,
                         size_t count, struct buf *out, struct err *err) {
    struct secret *key = NULL;
    TRY(check_shares(f, shares, count, err));
    TRY(shares_join(shares, (size_t)f->header.threshold, &key, err));
    bool is_open = aead_open(secret_span(key), nonce, f->before, f->ciphertext, out);
    secret_free(key);
    ENSURE(is_open, err, DENIED,
           "the restart file does not decrypt: its header or its payload was changed");
    return OK;
}
