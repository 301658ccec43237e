/* Checkpoints: sealed, opened, and spoilt in every place.
 *
 * docs/vectors/checkpoint.json is a whole file with the keys that open it. With
 * CONTRAST_WRITE_VECTORS=1 in the environment it is written anew (RSA-OAEP is randomized);
 * otherwise the committed one must open. check_vectors.py opens it without this code.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"
#include "meshca/checkpoint.h"

#define OWNERS 3
#define THRESHOLD 2
#define STRANGER OWNERS /* a key that has no share */
#define PLAINTEXT "the state of a cluster, but for its mesh key"
#define VECTOR "docs/vectors/checkpoint.json"
#define VECTOR_MAX (256 * 1024)

struct fixture {
    struct key keys[OWNERS + 1];
    struct buf pkcs1[OWNERS + 1];
    uint8_t digests[OWNERS + 1][32];
    struct span owners[OWNERS + 1];
    struct checkpoint_header fields;
    struct buf file;
    /* Of that file */
    struct arena arena;
    struct checkpoint_header header;
    struct span ciphertext;
    struct secret *shares[OWNERS];
};

/* Made once. */
static struct key keys[OWNERS + 1];

static int make_keys(void **state) {
    (void)state;
    for (size_t i = 0; i <= OWNERS; i++) {
        keys[i].pkey = EVP_RSA_gen(2048);
        assert_non_null(keys[i].pkey);
    }
    return 0;
}

static int free_keys(void **state) {
    (void)state;
    for (size_t i = 0; i <= OWNERS; i++) {
        key_deinit(&keys[i]);
    }
    return 0;
}

static void open_file(struct fixture *f) {
    assert_true(
        is_ok(checkpoint_parse(buf_span(&f->file), &f->arena, &f->header, &f->ciphertext, NULL)));
    for (size_t i = 0; i < OWNERS; i++) {
        struct err err;
        if (!is_ok(checkpoint_open_share(&f->header, &f->keys[i], &f->shares[i], &err))) {
            fail_msg("%s", err.text);
        }
    }
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    for (size_t i = 0; i <= OWNERS; i++) {
        key_share(&keys[i], &f->keys[i]);
        key_pkcs1(&f->keys[i], &f->pkcs1[i]);
        f->owners[i] = buf_span(&f->pkcs1[i]);
        sha256(f->owners[i], f->digests[i]);
    }
    f->fields = (struct checkpoint_header){
        .epoch = 2,
        .index = 300,
        .term = 4,
        .time = 1700000000,
        .generation = 5,
        .ledger_size = 6,
        .threshold = THRESHOLD,
    };
    memset(f->fields.cluster, 7, 32);
    memset(f->fields.head, 8, 32);
    memset(f->fields.ledger_root, 9, 48);
    memset(f->fields.root_ca, 10, 48);
    struct err err;
    if (!is_ok(checkpoint_seal(&host_system, &f->fields, f->owners, OWNERS, span_str(PLAINTEXT),
                               &f->file, &err))) {
        fail_msg("%s", err.text);
    }
    open_file(f);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i <= OWNERS; i++) {
        key_deinit(&f->keys[i]);
        buf_deinit(&f->pkcs1[i]);
    }
    for (size_t i = 0; i < OWNERS; i++) {
        secret_free(f->shares[i]);
    }
    buf_deinit(&f->file);
    arena_deinit(&f->arena);
    free(f);
    return 0;
}

static struct checkpoint_share *share_of(struct fixture *f, size_t i) {
    return (struct checkpoint_share *)f->header.shares.items + i;
}

static void assert_names(const struct fixture *f, const struct err *err, size_t owner) {
    char hex[65];
    hex_encode(SPAN(f->digests[owner]), hex);
    if (strstr(err->text, hex) == NULL) {
        fail_msg("'%s' does not name %s", err->text, hex);
    }
}

/* Opens `file` with the shares 0 and 1; *out stays empty when it fails. */
static struct result open_with(struct fixture *f, struct span file, struct err *err) {
    AUTO(buf_deinit)
    struct buf out = {0};
    const struct secret *const shares[] = {f->shares[0], f->shares[1]};
    struct result r = checkpoint_open(file, shares, 2, &out, err);
    assert_true(is_ok(r) ? span_equal(buf_span(&out), span_str(PLAINTEXT)) : out.size == 0);
    return r;
}

static void assert_not_opened(const struct secret *const *shares, size_t count, struct fixture *f,
                              const char *text) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err;
    assert_int_equal(checkpoint_open(buf_span(&f->file), shares, count, &out, &err).code,
                     ERR_DENIED);
    assert_int_equal(out.size, 0);
    if (strstr(err.text, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, err.text);
    }
}

/* --- What is right */

static void test_the_header_is_as_it_was_filled(void **state) {
    struct fixture *f = *state;
    const struct checkpoint_header *h = &f->header;
    assert_memory_equal(h->cluster, f->fields.cluster, 32);
    assert_memory_equal(h->head, f->fields.head, 32);
    assert_memory_equal(h->ledger_root, f->fields.ledger_root, 48);
    assert_true(h->epoch == 2 && h->index == 300 && h->term == 4 && h->time == 1700000000);
    assert_true(h->generation == 5 && h->ledger_size == 6 && h->threshold == THRESHOLD);
    assert_int_equal(h->size, strlen(PLAINTEXT));
    assert_int_equal(h->shares.count, OWNERS);
    assert_int_equal(f->ciphertext.size, strlen(PLAINTEXT) + CHECKPOINT_TAG_SIZE);
    for (size_t i = 0; i < OWNERS; i++) {
        assert_memory_equal(share_of(f, i)->owner, f->digests[i], 32);
    }
}

static void test_any_two_of_three_open(void **state) {
    struct fixture *f = *state;
    for (size_t a = 0; a < OWNERS; a++) {
        for (size_t b = 0; b < OWNERS; b++) {
            AUTO(buf_deinit)
            struct buf out = {0};
            const struct secret *const shares[] = {f->shares[a], f->shares[b]};
            buf_append_str(&out, "before ");
            struct result r = checkpoint_open(buf_span(&f->file), shares, 2, &out, NULL);
            assert_int_equal(is_ok(r), a != b);
            assert_string_equal(buf_cstr(&out), a != b ? "before " PLAINTEXT : "before ");
        }
    }
    AUTO(buf_deinit)
    struct buf out = {0};
    const struct secret *const all[] = {f->shares[2], f->shares[0], f->shares[1]};
    assert_true(is_ok(checkpoint_open(buf_span(&f->file), all, 3, &out, NULL)));
    assert_string_equal(buf_cstr(&out), PLAINTEXT);
}

static void test_every_file_has_its_own_key(void **state) {
    struct fixture *f = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    struct checkpoint_header h;
    struct span ciphertext;
    struct secret *share = NULL;
    assert_true(is_ok(checkpoint_seal(&host_system, &f->fields, f->owners, OWNERS,
                                      span_str(PLAINTEXT), &file, NULL)));
    assert_true(is_ok(checkpoint_parse(buf_span(&file), &arena, &h, &ciphertext, NULL)));
    assert_memory_not_equal(h.file_id, f->header.file_id, sizeof h.file_id);
    assert_memory_not_equal(h.nonce, f->header.nonce, sizeof h.nonce);
    assert_memory_not_equal(ciphertext.data, f->ciphertext.data, ciphertext.size);
    assert_true(is_ok(checkpoint_open_share(&h, &f->keys[0], &share, NULL)));
    assert_false(secret_equal(share, f->shares[0]));
    const struct secret *const mixed[] = {share, f->shares[1]};
    assert_not_opened(mixed, 2, f, "the share of owner");
    secret_free(share);
}

static void test_an_empty_state(void **state) {
    struct fixture *f = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    AUTO(buf_deinit)
    struct buf out = {0};
    struct checkpoint_header h;
    struct span ciphertext;
    struct secret *share = NULL;
    f->fields.threshold = 1;
    assert_true(is_ok(
        checkpoint_seal(&host_system, &f->fields, f->owners, 1, (struct span){0}, &file, NULL)));
    assert_true(is_ok(checkpoint_parse(buf_span(&file), &arena, &h, &ciphertext, NULL)));
    assert_true(is_ok(checkpoint_open_share(&h, &f->keys[0], &share, NULL)));
    const struct secret *const shares[] = {share};
    assert_true(is_ok(checkpoint_open(buf_span(&file), shares, 1, &out, NULL)));
    assert_int_equal(out.size, 0);
    file.data[file.size - 1] ^= 1;
    assert_int_equal(checkpoint_open(buf_span(&file), shares, 1, &out, NULL).code, ERR_DENIED);
    secret_free(share);
}

/* SHA-256("contrast-share-v1\0" || file id || x || share), put together here. */
static void test_commitments(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < OWNERS; i++) {
        AUTO(buf_deinit)
        struct buf data = {0};
        uint8_t digest[32];
        buf_append(&data, "contrast-share-v1", 18);
        buf_append(&data, f->header.file_id, 16);
        buf_append_span(&data, secret_span(f->shares[i]));
        assert_int_equal(data.size, 18 + 16 + 33);
        sha256(buf_span(&data), digest);
        assert_memory_equal(share_of(f, i)->commitment, digest, 32);
        assert_int_equal(secret_span(f->shares[i]).data[0], i + 1);
    }
}

static void test_the_header_alone(void **state) {
    struct fixture *f = *state;
    AUTO(arena_deinit)
    struct arena arena = {0};
    struct checkpoint_header h;
    size_t size = 0;
    size_t want = f->file.size - f->ciphertext.size;
    assert_true(is_ok(checkpoint_header_size(buf_span(&f->file), &size, NULL)));
    assert_int_equal(size, want);
    assert_true(is_ok(checkpoint_parse_header(span_of(f->file.data, want), &arena, &h, NULL)));
    assert_memory_equal(h.file_id, f->header.file_id, 16);
    assert_int_equal(
        checkpoint_parse_header(span_of(f->file.data, want + 1), &arena, &h, NULL).code,
        ERR_MALFORMED);
}

/* --- Wrong shares */

static void test_too_few_shares_or_one_twice(void **state) {
    struct fixture *f = *state;
    const struct secret *const one[] = {f->shares[0]};
    const struct secret *const twice[] = {f->shares[0], f->shares[0]};
    assert_not_opened(one, 1, f, "1 shares, this checkpoint wants 2");
    assert_not_opened(NULL, 0, f, "0 shares");
    assert_not_opened(twice, 2, f, "share number 1 stands here twice");
}

static void test_a_wrong_share_is_named(void **state) {
    struct fixture *f = *state;
    const struct secret *const shares[] = {f->shares[0], f->shares[2]};
    for (size_t at = 1; at < SHARES_SIZE; at++) {
        struct err err;
        AUTO(buf_deinit)
        struct buf out = {0};
        secret_data(f->shares[2])[at] ^= 1;
        struct span share = secret_span(f->shares[2]);
        assert_int_equal(checkpoint_open(buf_span(&f->file), shares, 2, &out, &err).code,
                         ERR_DENIED);
        assert_names(f, &err, 2);
        assert_int_equal(checkpoint_check_share(&f->header, f->digests[2], share, &err).code,
                         ERR_DENIED);
        assert_names(f, &err, 2);
        secret_data(f->shares[2])[at] ^= 1;
        assert_true(is_ok(checkpoint_check_share(&f->header, f->digests[2], share, &err)));
    }
}

static void test_shares_that_are_none(void **state) {
    struct fixture *f = *state;
    struct err err;
    struct span good = secret_span(f->shares[0]);
    const uint8_t *owner = f->digests[0];
    assert_int_equal(checkpoint_check_share(&f->header, owner, (struct span){0}, &err).code,
                     ERR_DENIED);
    assert_int_equal(
        checkpoint_check_share(&f->header, owner, span_of(good.data, SHARES_SIZE - 1), &err).code,
        ERR_DENIED);
    assert_int_equal(
        checkpoint_check_share(&f->header, owner, secret_span(f->shares[1]), &err).code,
        ERR_DENIED);
    assert_int_equal(checkpoint_check_share(&f->header, f->digests[STRANGER], good, &err).code,
                     ERR_NOT_FOUND);
    assert_names(f, &err, STRANGER);
    struct secret *misplaced = secret_new(SHARES_SIZE); /* committed to, but in another's place */
    AUTO(buf_deinit)
    struct buf data = {0};
    secret_data(misplaced)[0] = 2;
    buf_append(&data, "contrast-share-v1", 18);
    buf_append(&data, f->header.file_id, 16);
    buf_append_span(&data, secret_span(misplaced));
    sha256(buf_span(&data), share_of(f, 0)->commitment);
    assert_int_equal(checkpoint_check_share(&f->header, owner, secret_span(misplaced), &err).code,
                     ERR_DENIED);
    secret_free(misplaced);
    static const uint8_t numbers[] = {0, OWNERS + 1, 255};
    for (size_t i = 0; i < sizeof numbers; i++) {
        struct secret *share = secret_new(SHARES_SIZE);
        secret_data(share)[0] = numbers[i];
        const struct secret *const shares[] = {f->shares[0], share};
        assert_not_opened(shares, 2, f, "share 2 is none of this checkpoint");
        secret_free(share);
    }
}

/* --- Wrong keys */

static void assert_no_share(struct fixture *f, const struct key *key, enum err_code code,
                            size_t owner) {
    struct secret *share = NULL;
    struct err err;
    assert_int_equal(checkpoint_open_share(&f->header, key, &share, &err).code, code);
    assert_null(share);
    if (owner <= OWNERS) {
        assert_names(f, &err, owner);
    }
}

static void test_keys_that_open_nothing(void **state) {
    struct fixture *f = *state;
    AUTO(key_deinit)
    struct key public = {0};
    AUTO(key_deinit)
    struct key p384 = {0};
    assert_no_share(f, &f->keys[STRANGER], ERR_NOT_FOUND, STRANGER);
    assert_true(is_ok(key_from_pkcs1(f->owners[1], 2048, &public, NULL)));
    assert_no_share(f, &public, ERR_INVALID, 1);
    assert_true(is_ok(key_generate(KEY_P384, &p384, NULL)));
    assert_no_share(f, &p384, ERR_INVALID, OWNERS + 1);
}

static void test_a_spoilt_share_names_its_owner(void **state) {
    struct fixture *f = *state;
    struct span sealed = share_of(f, 0)->sealed;
    share_of(f, 0)->sealed = share_of(f, 1)->sealed; /* for another */
    assert_no_share(f, &f->keys[0], ERR_DENIED, 0);
    share_of(f, 0)->sealed = span_of(sealed.data, sealed.size - 1);
    assert_no_share(f, &f->keys[0], ERR_DENIED, 0);
    share_of(f, 0)->sealed = (struct span){0};
    assert_no_share(f, &f->keys[0], ERR_DENIED, 0);
    share_of(f, 0)->sealed = sealed;
    share_of(f, 0)->commitment[31] ^= 1;
    assert_no_share(f, &f->keys[0], ERR_DENIED, 0);
    share_of(f, 0)->commitment[31] ^= 1;
    f->header.file_id[0] ^= 1; /* the label */
    assert_no_share(f, &f->keys[0], ERR_DENIED, 0);
}

/* Somebody who knows the public key seals other bytes to it. */
static void test_a_share_that_somebody_else_sealed(void **state) {
    struct fixture *f = *state;
    AUTO(buf_deinit)
    struct buf label = {0};
    buf_append(&label, "contrast-share-v1", 18);
    buf_append(&label, f->header.file_id, 16);
    static const size_t sizes[] = {1, SHARES_SIZE - 1, SHARES_SIZE, SHARES_SIZE + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        AUTO(buf_deinit)
        struct buf sealed = {0};
        static const uint8_t plain[SHARES_SIZE + 1] = {1};
        assert_true(is_ok(
            key_seal(&f->keys[0], buf_span(&label), span_of(plain, sizes[i]), &sealed, NULL)));
        share_of(f, 0)->sealed = buf_span(&sealed);
        assert_no_share(f, &f->keys[0], ERR_DENIED, 0);
    }
}

/* --- Wrong files */

static void test_every_prefix_is_refused(void **state) {
    struct fixture *f = *state;
    for (size_t size = 0; size < f->file.size; size++) {
        AUTO(buf_deinit)
        struct buf copy = {0}; /* exactly so long, for the sanitizer */
        struct err err;
        buf_reserve(&copy, 1);
        buf_append(&copy, f->file.data, size);
        struct result r = open_with(f, buf_span(&copy), &err);
        assert_true(r.code == ERR_MALFORMED);
        assert_true(err.text[0] != '\0');
    }
    buf_append_u8(&f->file, 0);
    assert_int_equal(open_with(f, buf_span(&f->file), NULL).code, ERR_MALFORMED);
}

static void test_every_changed_byte_is_refused(void **state) {
    struct fixture *f = *state;
    assert_true(is_ok(open_with(f, buf_span(&f->file), NULL)));
    size_t denied = 0;
    for (size_t at = 0; at < f->file.size; at++) {
        static const uint8_t masks[] = {0x01, 0x80, 0xff};
        for (size_t i = 0; i < sizeof masks; i++) {
            f->file.data[at] ^= masks[i];
            struct result r = open_with(f, buf_span(&f->file), NULL);
            f->file.data[at] ^= masks[i];
            assert_true(r.code == ERR_DENIED || r.code == ERR_MALFORMED || r.code == ERR_TOO_LARGE);
            denied += r.code == ERR_DENIED;
        }
    }
    assert_true(denied > 2 * f->file.size); /* most of it only the seal can tell */
    assert_true(is_ok(open_with(f, buf_span(&f->file), NULL)));
}

/* The header's table again: a file with whatever header. */
static const struct wire_field share_fields[] = {
    WIRE_FIXED(struct checkpoint_share, owner),
    WIRE_FIXED(struct checkpoint_share, commitment),
    WIRE_BYTES(struct checkpoint_share, sealed, 4096),
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
    WIRE_LIST(struct checkpoint_header, shares, 64, &share_type),
    WIRE_FIXED(struct checkpoint_header, nonce),
    WIRE_U64(struct checkpoint_header, size),
    WIRE_FIXED(struct checkpoint_header, root_ca),
};
static const struct wire_type header_type = WIRE_TYPE(struct checkpoint_header, header_fields);

static void make_file(const struct checkpoint_header *h, struct span payload, struct buf *out) {
    AUTO(buf_deinit)
    struct buf message = {0};
    wire_encode(&header_type, h, &message);
    buf_append_str(out, "CHKP");
    buf_append_u32be(out, 1);
    buf_append_u32be(out, (uint32_t)message.size);
    buf_append_span(out, buf_span(&message));
    buf_append_span(out, payload);
}

static void assert_bad_header(const struct fixture *f, const struct checkpoint_header *h,
                              enum err_code code, const char *text) {
    AUTO(arena_deinit)
    struct arena arena = {0};
    AUTO(buf_deinit)
    struct buf file = {0};
    struct checkpoint_header out;
    struct span ciphertext;
    struct err err;
    make_file(h, f->ciphertext, &file);
    struct result r = checkpoint_parse(buf_span(&file), &arena, &out, &ciphertext, &err);
    if (r.code != code || (code != ERR_OK && strstr(err.text, text) == NULL)) {
        fail_msg("want '%s', got %s '%s'", text, err_name(r.code), err.text);
    }
}

static void test_bad_headers(void **state) {
    struct fixture *f = *state;
    struct checkpoint_share many[LIMIT_SHARE_OWNERS + 1] = {{{0}, {0}, {0}}};
    struct checkpoint_header h = f->header;
    assert_bad_header(f, &h, ERR_OK, "");
#define BAD(field, value, code, text)                                                              \
    do {                                                                                           \
        h = f->header;                                                                             \
        h.field = (value);                                                                         \
        assert_bad_header(f, &h, code, text);                                                      \
    } while (0)
    BAD(threshold, 0, ERR_MALFORMED, "checkpoint of 0 in 3 shares");
    BAD(threshold, OWNERS + 1, ERR_MALFORMED, "checkpoint of 4 in 3 shares");
    BAD(threshold, UINT64_MAX, ERR_MALFORMED, "in 3 shares");
    BAD(shares.count, 0, ERR_MALFORMED, "in 0 shares");
    BAD(epoch, 0, ERR_MALFORMED, "epoch 0");
    BAD(generation, 0, ERR_MALFORMED, "generation 0");
    BAD(size, f->header.size + 1, ERR_MALFORMED, "its header says");
    BAD(size, f->header.size - 1, ERR_MALFORMED, "its header says");
    BAD(size, (uint64_t)LIMIT_SNAPSHOT + 1, ERR_TOO_LARGE, "limit 268435456");
    BAD(size, UINT64_MAX, ERR_TOO_LARGE, "limit");
    BAD(size, UINT64_MAX - 15, ERR_TOO_LARGE, "limit"); /* + tag: 0 */
#undef BAD
    h = f->header;
    h.shares = (struct wire_list){many, LIMIT_SHARE_OWNERS + 1};
    assert_bad_header(f, &h, ERR_TOO_LARGE, "checkpoint header");
    h.shares.count = 2;
    h.threshold = 1;
    assert_bad_header(f, &h, ERR_MALFORMED, "two shares of one owner");
    static const uint8_t sealed[LIMIT_RSA_SIGNATURE + 1] = {0};
    h.shares.count = 1;
    many[0].sealed = SPAN(sealed);
    assert_bad_header(f, &h, ERR_TOO_LARGE, "checkpoint header");
}

static void test_bad_prefixes(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[12];
        enum err_code code;
        const char *text;
    } rows[] = {
        {"CHKQ\0\0\0\1\0\0\0\1", ERR_MALFORMED, "not a checkpoint file"},
        {"CHKP\0\0\0\2\0\0\0\1", ERR_MALFORMED, "version 2, this program knows 1"},
        {"CHKP\0\0\0\1\0\0\xff\xf5", ERR_TOO_LARGE, "header of 65525 bytes, limit 65524"},
        {"CHKP\0\0\0\1\xff\xff\xff\xff", ERR_TOO_LARGE, "limit"},
        {"CHKP\0\0\0\1\0\0\0\0", ERR_MALFORMED, "ends in its header"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena = {0};
        struct checkpoint_header h;
        struct span ciphertext;
        struct err err;
        assert_int_equal(checkpoint_parse(SPAN(rows[i].bytes), &arena, &h, &ciphertext, &err).code,
                         rows[i].code);
        if (strstr(err.text, rows[i].text) == NULL) {
            fail_msg("%s", err.text);
        }
        arena_deinit(&arena);
    }
    struct arena arena = {0};
    struct checkpoint_header h;
    struct span ciphertext;
    struct span huge = {rows[0].bytes, (size_t)LIMIT_CHECKPOINT + 1}; /* looked at only so far */
    assert_int_equal(checkpoint_parse(huge, &arena, &h, &ciphertext, NULL).code, ERR_TOO_LARGE);
}

/* --- What is not sealed */

static void assert_not_sealed(struct fixture *f, size_t count, size_t size, enum err_code code,
                              const char *text) {
    AUTO(buf_deinit)
    struct buf out = {0};
    struct err err;
    struct span state = {(const uint8_t *)PLAINTEXT, size};
    struct result r =
        checkpoint_seal(&host_system, &f->fields, f->owners, count, state, &out, &err);
    if (r.code != code || strstr(err.text, text) == NULL) {
        fail_msg("want '%s', got %s '%s'", text, err_name(r.code), err.text);
    }
    assert_int_equal(out.size, 0);
}

static void test_what_is_not_sealed(void **state) {
    struct fixture *f = *state;
    assert_not_sealed(f, 0, 4, ERR_INVALID, "0 share owners");
    assert_not_sealed(f, LIMIT_SHARE_OWNERS + 1, 4, ERR_INVALID, "17 share owners");
    assert_not_sealed(f, 1, 4, ERR_INVALID, "threshold 2 of 1");
    assert_not_sealed(f, OWNERS, (size_t)LIMIT_SNAPSHOT + 1, ERR_TOO_LARGE, "limit");
    f->owners[2] = f->owners[0];
    assert_not_sealed(f, OWNERS, 4, ERR_INVALID, "stands there twice");
    f->owners[2] = span_str("no key");
    assert_not_sealed(f, OWNERS, 4, ERR_INVALID, "share owner 3: not a PKCS#1");
    f->fields.threshold = 0;
    assert_not_sealed(f, 2, 4, ERR_INVALID, "threshold 0");
    f->fields.threshold = 2;
    f->fields.epoch = 0;
    assert_not_sealed(f, 2, 4, ERR_INVALID, "epoch 0");
}

/* --- The vector */

static void add_hex(struct buf *json, const char *name, struct span value, const char *after) {
    char *hex = mem_alloc(2 * value.size + 1);
    hex_encode(value, hex);
    buf_appendf(json, "\"%s\": \"%s\"%s", name, hex, after);
    mem_free(hex);
}

static void write_vector(struct fixture *f) {
    AUTO(buf_deinit)
    struct buf json = {0};
    buf_append_str(&json, "{\n");
    for (size_t i = 0; i < OWNERS; i++) {
        char name[16];
        AUTO(buf_deinit)
        struct buf der = {0};
        key_private_der(&f->keys[i], &der);
        snprintf(name, sizeof name, "key_%zu", i + 1);
        add_hex(&json, name, buf_span(&der), ",\n");
        snprintf(name, sizeof name, "share_%zu", i + 1);
        add_hex(&json, name, secret_span(f->shares[i]), ",\n");
    }
    add_hex(&json, "plaintext", span_str(PLAINTEXT), ",\n");
    add_hex(&json, "file", buf_span(&f->file), "\n}\n");
    assert_true(is_ok(file_write(VECTOR, buf_span(&json), 0644, NULL)));
}

/* The value of `name` in the committed file. */
static void read_hex(const char *json, const char *name, struct buf *out) {
    char key[32];
    snprintf(key, sizeof key, "\"%s\": \"", name);
    const char *at = strstr(json, key);
    assert_non_null(at);
    at += strlen(key);
    size_t size = strcspn(at, "\"") / 2;
    buf_clear(out);
    assert_true(is_ok(hex_decode(span_of(at, 2 * size), buf_extend(out, size), size, NULL)));
}

static void test_the_vector_opens(void **state) {
    struct fixture *f = *state;
    if (getenv("CONTRAST_WRITE_VECTORS") != NULL) {
        write_vector(f);
    }
    AUTO(buf_deinit)
    struct buf json = {0};
    AUTO(buf_deinit)
    struct buf value = {0};
    struct err err = {0};
    if (!is_ok(file_read(VECTOR, VECTOR_MAX, &json, &err))) {
        fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < OWNERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "key_%zu", i + 1);
        read_hex(buf_cstr(&json), name, &value);
        key_deinit(&f->keys[i]);
        assert_true(is_ok(key_from_private_der(buf_span(&value), &f->keys[i], NULL)));
        secret_free(f->shares[i]);
    }
    read_hex(buf_cstr(&json), "file", &f->file);
    open_file(f);
    for (size_t i = 0; i < OWNERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "share_%zu", i + 1);
        read_hex(buf_cstr(&json), name, &value);
        assert_true(span_equal(secret_span(f->shares[i]), buf_span(&value)));
    }
    assert_true(is_ok(open_with(f, buf_span(&f->file), NULL)));
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_the_header_is_as_it_was_filled),
        T(test_any_two_of_three_open),
        T(test_every_file_has_its_own_key),
        T(test_an_empty_state),
        T(test_commitments),
        T(test_the_header_alone),
        T(test_too_few_shares_or_one_twice),
        T(test_a_wrong_share_is_named),
        T(test_shares_that_are_none),
        T(test_keys_that_open_nothing),
        T(test_a_spoilt_share_names_its_owner),
        T(test_a_share_that_somebody_else_sealed),
        T(test_every_prefix_is_refused),
        T(test_every_changed_byte_is_refused),
        T(test_bad_headers),
        T(test_bad_prefixes),
        T(test_what_is_not_sealed),
        T(test_the_vector_opens),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
