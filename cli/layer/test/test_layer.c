/* Layers as their user sees them: codings, errors, limits, user files, the two dialects.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "cli/layer/layer.h"
#include "cli/layer/test/tar_make.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB (1024 * 1024)

/* Feeds `blob` in pieces of `piece` bytes. */
static struct result run(struct span blob, size_t piece, uint64_t tar_max, struct layer_result *out,
                         struct err *err) {
    struct layer *l = NULL;
    struct result r = layer_new(tar_max, &l, err);
    for (size_t at = 0; is_ok(r) && at < blob.size; at += piece) {
        size_t n = blob.size - at < piece ? blob.size - at : piece;
        r = layer_feed(l, span_of(blob.data + at, n), err);
    }
    if (is_ok(r)) {
        r = layer_finish(l, out, err);
    }
    layer_free(l);
    return r;
}

static void hash(struct span blob, struct layer_result *out) {
    struct err err = {0};
    if (!is_ok(run(blob, MIB, 0, out, &err))) {
        fail_msg("%s", err.text);
    }
}

static void refuse(struct span blob, uint64_t tar_max, enum err_code code, const char *part) {
    struct err err = {0};
    struct layer_result r = {0};
    assert_int_equal(run(blob, MIB, tar_max, &r, &err).code, code);
    if (strstr(err.text, part) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, part);
    }
}

static void assert_root(const struct layer_result *r, enum layer_dialect d, const char *hex) {
    char text[2 * SHA256_SIZE + 1];
    hex_encode(SPAN(r->roots[d].root_hash), text);
    assert_string_equal(text, hex);
}

static void assert_same(const struct layer_result *a, const struct layer_result *b) {
    assert_memory_equal(a->diff_id, b->diff_id, SHA256_SIZE);
    assert_memory_equal(a->roots, b->roots, sizeof a->roots);
    assert_int_equal(a->tar_size, b->tar_size);
    assert_int_equal(a->warning_count, b->warning_count);
}

/* A tar with a bit of everything. */
static void make_sample(struct buf *out) {
    struct tar_make folder = {.name = "etc/", .type = '5', .mode = "0000755"};
    struct tar_make link = {.name = "etc/l", .type = '2', .link = "passwd"};
    struct tar_make hard = {.name = "h", .type = '1', .link = "etc/passwd"};
    struct tar_make device = {.name = "d", .type = '3', .major = "1", .minor = "3"};
    tar_make_header(out, folder);
    tar_make_file(out, "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    tar_make_header(out, link);
    tar_make_header(out, hard);
    tar_make_header(out, device);
    tar_make_header(out, (struct tar_make){.name = "var/.wh.cache"});
    tar_make_entry(out, (struct tar_make){.name = "x", .type = 'x', .is_ustar = true},
                   span_str("20 path=a/long/name\n"));
    tar_make_file(out, "short", "body");
    tar_make_end(out);
}

static void gzip(struct span in, struct buf *out) {
    z_stream z = {0};
    size_t at = out->size, room = in.size + in.size / 10 + 1024;
    uint8_t *copy = mem_alloc(in.size + 1);
    memcpy(copy, in.data, in.size);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = copy;
    z.avail_in = (unsigned)in.size;
    z.next_out = buf_extend(out, room);
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size = at + z.total_out;
    deflateEnd(&z);
    mem_free(copy);
}

static void zstd(struct span in, struct buf *out) {
    size_t room = ZSTD_compressBound(in.size), at = out->size;
    size_t n = ZSTD_compress(buf_extend(out, room), room, in.data, in.size, 3);
    assert_false(ZSTD_isError(n));
    out->size = at + n;
}

typedef void compress_fn(struct span in, struct buf *out);

/* ---- tests ---- */

static void test_known_answers(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer_result r = {0};
    memset(buf_extend(&tar, 10240), 0, 10240);
    hash(buf_span(&tar), &r); /* the value in kata's documentation of genpolicy */
    assert_root(&r, LAYER_UPSTREAM,
                "8568c70c0ccfe0051092e818da769111a59882cd19dd799d3bca5ffa82791080");
    assert_int_equal(r.roots[LAYER_UPSTREAM].size, 16384);
    assert_int_equal(r.roots[LAYER_UPSTREAM].inode_table, 10240);
    assert_false(layer_dialects_differ(&r));
    layer_result_deinit(&r);
}

static void test_pieces_do_not_matter(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer_result whole = {0}, r = {0};
    make_sample(&tar);
    hash(buf_span(&tar), &whole);
    const size_t pieces[] = {1, 3, 511, 512, 513, 4096};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        assert_true(is_ok(run(buf_span(&tar), pieces[i], 0, &r, NULL)));
        assert_same(&whole, &r);
        layer_result_deinit(&r);
    }
    layer_result_deinit(&whole);
}

/* Whole at the end of an entry and from the first zero block on; truncated anywhere else. */
static void test_every_prefix_of_a_tar(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    make_sample(&tar);
    size_t good = 0;
    for (size_t n = 0; n <= tar.size; n++) {
        struct layer_result r = {0};
        struct result done = run(span_of(tar.data, n), MIB, 0, &r, NULL);
        bool may_end = (n % 512 == 0 && n != 1024 && n != 4096 && n != 4608 && n != 5120) ||
                       n > tar.size - 512;
        assert_int_equal(done.code, may_end ? ERR_OK : ERR_MALFORMED);
        good += is_ok(done) ? 1 : 0;
        layer_result_deinit(&r);
    }
    assert_true(good > 512);
}

static void check_coding(compress_fn *compress, enum layer_coding coding) {
    AUTO(buf_deinit)
    struct buf tar = {0}, one = {0}, two = {0};
    struct layer_result plain = {0}, r = {0};
    make_sample(&tar);
    hash(buf_span(&tar), &plain);
    assert_int_equal(plain.coding, LAYER_PLAIN);
    compress(buf_span(&tar), &one);
    compress(span_of(tar.data, 700), &two);
    compress(span_of(tar.data + 700, tar.size - 700), &two);
    const struct buf *const blobs[] = {&one, &two};
    for (size_t i = 0; i < 2; i++) {
        uint8_t digest[SHA256_SIZE];
        for (size_t piece = 1; piece < 10000; piece *= 7) {
            assert_true(is_ok(run(buf_span(blobs[i]), piece, 0, &r, NULL)));
            assert_same(&plain, &r);
            assert_int_equal(r.coding, coding);
            assert_int_equal(r.blob_size, blobs[i]->size);
            sha256(buf_span(blobs[i]), digest);
            assert_memory_equal(r.blob_sha256, digest, SHA256_SIZE);
            layer_result_deinit(&r);
        }
    }
    layer_result_deinit(&plain);
    buf_deinit(&two);
    buf_deinit(&one);
}

static void check_broken(compress_fn *compress, const char *name) {
    AUTO(buf_deinit)
    struct buf tar = {0}, blob = {0};
    make_sample(&tar);
    compress(buf_span(&tar), &blob);
    for (size_t n = 1; n < blob.size; n++) {
        refuse(span_of(blob.data, n), 0, ERR_MALFORMED, n < 4 ? "" : "truncated");
    }
    size_t size = blob.size;
    buf_append_str(&blob, "garbage");
    refuse(buf_span(&blob), 0, ERR_MALFORMED, "after the end of the compressed data");
    blob.size = size;
    blob.data[size / 2] ^= 0xff;
    refuse(buf_span(&blob), 0, ERR_MALFORMED, name);
    buf_deinit(&blob);
}

static void test_gzip_is_the_same(void **state) {
    (void)state;
    check_coding(gzip, LAYER_GZIP);
}

static void test_zstd_is_the_same(void **state) {
    (void)state;
    check_coding(zstd, LAYER_ZSTD);
}

static void test_broken_gzip(void **state) {
    (void)state;
    check_broken(gzip, "gzip");
}

/* Like check_broken, but a frame of zstd carries a checksum on request only. */
static void test_broken_zstd(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0}, blob = {0};
    make_sample(&tar);
    zstd(buf_span(&tar), &blob);
    for (size_t n = 1; n < blob.size; n++) {
        refuse(span_of(blob.data, n), 0, ERR_MALFORMED, n < 4 ? "" : "truncated");
    }
    buf_append_str(&blob, "garbage");
    refuse(buf_span(&blob), 0, ERR_MALFORMED, "after the end of the compressed data");
    buf_deinit(&blob);
}

static void test_skippable_frames(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0}, blob = {0};
    struct layer_result plain = {0}, r = {0};
    const uint8_t frame[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'};
    make_sample(&tar);
    buf_append(&blob, frame, sizeof frame);
    zstd(buf_span(&tar), &blob);
    buf_append(&blob, frame, sizeof frame);
    hash(buf_span(&tar), &plain);
    hash(buf_span(&blob), &r);
    assert_same(&plain, &r);
    layer_result_deinit(&plain);
    layer_result_deinit(&r);
    buf_deinit(&blob);
}

static void test_bombs(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0}, blob = {0};
    const size_t size = LIMIT_LAYER_RATIO_FREE + 4 * MIB;
    memset(buf_extend(&tar, size), 0, size);
    zstd(buf_span(&tar), &blob);
    refuse(buf_span(&blob), 0, ERR_TOO_LARGE, "decompression bomb");
    refuse(buf_span(&blob), 10 * MIB, ERR_TOO_LARGE, "more than the 10485760 bytes allowed");
    refuse(span_of(tar.data, 2 * MIB), MIB, ERR_TOO_LARGE, "more than the 1048576 bytes allowed");
    buf_deinit(&blob);
}

static void test_wide_window(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0}, blob = {0};
    make_sample(&tar);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, LIMIT_LAYER_WINDOW_LOG + 1);
    ZSTD_inBuffer in = {tar.data, tar.size, 0};
    ZSTD_outBuffer out = {buf_extend(&blob, 65536), 65536, 0};
    assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_flush), 0); /* size not known */
    assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), 0);
    ZSTD_freeCCtx(c);
    refuse(span_of(blob.data, out.pos), 0, ERR_TOO_LARGE, "window of more than 32 MiB");
    buf_deinit(&blob);
}

/* 1 200 names of 60 000 bytes each: more than the index may take, in 70 MiB of tar. */
static void test_index_has_a_limit(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf one = {0};
    struct layer *l = NULL;
    struct err err = {0};
    struct result r = layer_new(0, &l, &err);
    char *name = mem_zalloc(60001);
    for (unsigned i = 0; is_ok(r) && i < 1200; i++) {
        memset(name, 'n', 60000);
        name[0] = (char)('a' + i % 26);
        name[1] = (char)('a' + i / 26);
        buf_clear(&one);
        tar_make_entry(&one, (struct tar_make){.name = "l", .type = 'L'}, span_of(name, 60001));
        tar_make_file(&one, "f", "");
        r = layer_feed(l, buf_span(&one), &err);
    }
    if (is_ok(r)) {
        struct layer_result out = {0};
        r = layer_finish(l, &out, &err);
    }
    assert_int_equal(r.code, ERR_TOO_LARGE);
    assert_non_null(strstr(err.text, "split the layer"));
    layer_free(l);
    mem_free(name);
}

/* A file that is its own child: the walk of tarindex never ends. */
static void test_cycle_of_hard_links(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    tar_make_file(&tar, "a", "");
    tar_make_header(&tar, (struct tar_make){.name = "a/b", .type = '1', .link = "a"});
    tar_make_end(&tar);
    refuse(buf_span(&tar), 0, ERR_TOO_LARGE, "hard links to a file with files below it");
}

static void test_warnings_have_a_limit(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer_result r = {0};
    for (int i = 0; i < LIMIT_LAYER_WARNINGS + 44; i++) {
        tar_make_header(&tar, (struct tar_make){.name = "odd\n\x1b[31m", .type = 'V'});
    }
    hash(buf_span(&tar), &r);
    assert_int_equal(r.warning_count, LIMIT_LAYER_WARNINGS);
    assert_int_equal(r.warnings_dropped, 44);
    assert_string_equal(r.warnings[0].text, "Skipping unhandled file due to its type "
                                            "(__Nonexhaustive(86)): odd  [31m");
    layer_result_deinit(&r);
}

/* ---- dialects ---- */

static void add_long_link(struct buf *tar, const char *name, char fill) {
    char target[102] = {0};
    char link[101] = {0};
    memset(target, fill, 101);
    memset(link, fill, 100);
    tar_make_entry(tar, (struct tar_make){.name = "././@LongLink", .type = 'K'},
                   span_of(target, sizeof target));
    tar_make_header(tar, (struct tar_make){.name = name, .type = '2', .link = link});
}

/* Upstream sees no link; Microsoft's index gives the texts out in the order of the inodes but
 * writes them in the order of the tar. That the bytes are those is judged by check_layers.py. */
static void test_long_links(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer_result r = {0};
    add_long_link(&tar, "b", 'x');
    add_long_link(&tar, "a", 'y');
    hash(buf_span(&tar), &r);
    assert_true(layer_dialects_differ(&r));
    assert_int_equal(r.long_links, 2);
    assert_int_equal(r.roots[LAYER_UPSTREAM].inodes, 1);
    assert_int_equal(r.roots[LAYER_MSFT].inodes, 3);
    assert_int_equal(r.warning_count, 2);
    assert_int_equal(r.warnings[0].dialects, 1U << LAYER_UPSTREAM);
    layer_result_deinit(&r);
}

/* ---- user files ---- */

struct user_row {
    const char *name; /* of a file, or of what hides one */
    char type;
    enum layer_file_state passwd, group;
};

static void check_user_row(const struct user_row *row) {
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer_result r = {0};
    struct tar_make h = {.name = row->name, .type = row->type};
    h.link = row->type == '2' ? "x" : NULL;
    tar_make_entry(&tar, h, row->type == '0' ? span_str("a:x:1:1::/:/sh\n") : (struct span){0});
    hash(buf_span(&tar), &r);
    assert_int_equal(r.passwd.state, row->passwd);
    assert_int_equal(r.group.state, row->group);
    assert_int_equal(r.passwd.content.size, row->passwd == LAYER_FILE_PRESENT ? 15 : 0);
    layer_result_deinit(&r);
}

static void test_user_files(void **state) {
    (void)state;
    const struct user_row rows[] = {
        {"etc/passwd", '0', LAYER_FILE_PRESENT, LAYER_FILE_ABSENT},
        {"./etc//passwd", '0', LAYER_FILE_PRESENT, LAYER_FILE_ABSENT},
        {"etc/passwd", '2', LAYER_FILE_OTHER, LAYER_FILE_ABSENT},
        {"etc/passwd", '5', LAYER_FILE_OTHER, LAYER_FILE_ABSENT},
        {"etc/.wh.passwd", '0', LAYER_FILE_REMOVED, LAYER_FILE_ABSENT},
        {".wh.etc", '0', LAYER_FILE_REMOVED, LAYER_FILE_REMOVED},
        {"etc/.wh..wh..opq", '0', LAYER_FILE_REMOVED, LAYER_FILE_REMOVED},
        {".wh..wh..opq", '0', LAYER_FILE_REMOVED, LAYER_FILE_REMOVED},
        {"etc", '2', LAYER_FILE_OTHER, LAYER_FILE_OTHER},
        {"etc/passwd-", '0', LAYER_FILE_ABSENT, LAYER_FILE_ABSENT},
        {"usr/etc/passwd", '0', LAYER_FILE_ABSENT, LAYER_FILE_ABSENT},
        {"etc/passwd/x", '0', LAYER_FILE_ABSENT, LAYER_FILE_ABSENT},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        check_user_row(&rows[i]);
    }
}

/* The last one counts; a hard link to another file has a content that was not read. */
static void test_user_files_come_twice(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer_result r = {0};
    tar_make_file(&tar, "etc/passwd", "old");
    tar_make_file(&tar, "etc/passwd", "newest");
    tar_make_file(&tar, "etc/group", "g");
    tar_make_file(&tar, "other", "o");
    tar_make_header(&tar, (struct tar_make){.name = "etc/group", .type = '1', .link = "other"});
    hash(buf_span(&tar), &r);
    assert_int_equal(r.passwd.state, LAYER_FILE_PRESENT);
    assert_memory_equal(r.passwd.content.data, "newest", 6);
    assert_int_equal(r.passwd.content.size, 6);
    assert_int_equal(r.group.state, LAYER_FILE_OTHER);
    layer_result_deinit(&r);
}

static void test_free_in_the_middle(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct layer *l = NULL;
    make_sample(&tar);
    assert_true(is_ok(layer_new(0, &l, NULL)));
    assert_true(is_ok(layer_feed(l, span_of(tar.data, 1000), NULL)));
    layer_free(l);
    layer_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_pieces_do_not_matter),
        cmocka_unit_test(test_every_prefix_of_a_tar),
        cmocka_unit_test(test_gzip_is_the_same),
        cmocka_unit_test(test_zstd_is_the_same),
        cmocka_unit_test(test_broken_gzip),
        cmocka_unit_test(test_broken_zstd),
        cmocka_unit_test(test_skippable_frames),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_wide_window),
        cmocka_unit_test(test_index_has_a_limit),
        cmocka_unit_test(test_cycle_of_hard_links),
        cmocka_unit_test(test_warnings_have_a_limit),
        cmocka_unit_test(test_long_links),
        cmocka_unit_test(test_user_files),
        cmocka_unit_test(test_user_files_come_twice),
        cmocka_unit_test(test_free_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
