/* Tars entry by entry: what the reader reports, and each way to be no tar.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/layer/tar_scan.h"
#include "cli/layer/test/tar_make.h"
#include "lib/base/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BLOCK 512

/* What the last entry was. */
struct seen {
    size_t count;
    char path[512], link[512];
    bool has_link;
    struct tar_header header;
    uint64_t size, header_at;
};

static RESULT on_entry(void *context, const struct tar_entry *e, bool *wants_data,
                       struct err *err) {
    struct seen *s = context;
    (void)err;
    *wants_data = false;
    CHECK(e->path.size < sizeof s->path && e->link.size < sizeof s->link);
    memset(s->path, 0, sizeof s->path);
    memset(s->link, 0, sizeof s->link);
    memcpy(s->path, e->path.data, e->path.size);
    if (e->link.size > 0) {
        memcpy(s->link, e->link.data, e->link.size);
    }
    s->has_link = e->has_link;
    s->header = *e->header;
    s->size = e->size;
    s->header_at = e->header_at;
    s->count++;
    return OK;
}

static void on_data(void *context, struct span bytes) {
    (void)context;
    (void)bytes;
}

static struct result scan(const struct buf *tar, struct seen *seen, struct err *err) {
    AUTO(tar_scan_deinit)
    struct tar_scan s;
    *seen = (struct seen){0};
    tar_scan_init(&s, (struct tar_scan_handler){on_entry, on_data, seen});
    TRY(tar_scan_feed(&s, buf_span(tar), err));
    return tar_scan_finish(&s, err);
}

static void expect(const struct buf *tar, struct seen *seen) {
    struct err err = {0};
    if (!is_ok(scan(tar, seen, &err))) {
        fail_msg("%s", err.text);
    }
}

static void refuse(const struct buf *tar, const char *part) {
    struct seen seen;
    struct err err = {0};
    assert_false(is_ok(scan(tar, &seen, &err)));
    if (strstr(err.text, part) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, part);
    }
}

/* ---- fields of one header ---- */

/* A field of the header is overwritten, then the checksum made right. */
struct field_row {
    size_t at;
    const char *text;
    const char *error; /* NULL: taken */
};

static const struct field_row field_rows[] = {
    {124, "0000000000", NULL},
    {124, "+0 ", NULL},
    {124, " \t\n0\r ", NULL},
    {124, "", "the size is no octal number"},
    {124, "8", "the size is no octal number"},
    {124, "-1", "the size is no octal number"},
    {124, "+", "the size is no octal number"},
    {124, "0 0", "the size is no octal number"},
    {124,
     "\xc2\xa0"
     "0",
     NULL}, /* binary, and of that the last 8 bytes */
    {124, "0\xc2\xa0", "the field 'size' is not ASCII"},
    {100, "0\xe2\x80\x83", "the field 'mode' is not ASCII"},
    {329, "\xc2\x85", "the field 'major' is not ASCII"},
    {124, "0\xff", "the size is no octal number"},
    {100, "\xff", NULL},
    {329, "0\xc2", NULL},
    {100, "nonsense", NULL}, /* passed over by who reads the mode */
};

static void test_fields(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(field_rows); i++) {
        AUTO(buf_deinit)
        struct buf tar = {0};
        struct seen seen;
        const struct field_row *row = &field_rows[i];
        size_t room = row->at == 124 ? 12 : 8;
        tar_make_header(&tar, (struct tar_make){.name = "f"});
        memset(tar.data + row->at, 0, room);
        memcpy(tar.data + row->at, row->text, strlen(row->text));
        tar_make_sum(&tar, 0);
        if (row->error != NULL) {
            refuse(&tar, row->error);
        } else {
            expect(&tar, &seen);
            assert_int_equal(seen.count, 1);
        }
    }
}

static void test_checksum(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    tar_make_header(&tar, (struct tar_make){.name = "f"});
    tar.data[0] = 'g';
    refuse(&tar, "checksum does not match");
    memcpy(tar.data + 148, "zzzzzz", 7);
    refuse(&tar, "checksum is no octal number");
}

static void test_binary_numbers(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct seen seen;
    const uint8_t uid[8] = {0x80, 0, 0, 1, 2, 3, 4, 5};
    const uint8_t mtime[12] = {0xff, 9, 9, 9, 0, 0, 0, 1, 0, 0, 0, 2};
    tar_make_header(&tar, (struct tar_make){.name = "f"});
    memcpy(tar.data + 108, uid, sizeof uid);
    memcpy(tar.data + 136, mtime, sizeof mtime);
    tar_make_sum(&tar, 0);
    expect(&tar, &seen);
    assert_true(seen.header.uid.value == UINT64_C(0x102030405));
    assert_true(seen.header.mtime.value == UINT64_C(0x100000002));
}

/* ---- names ---- */

static void test_ustar_prefix(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct seen seen;
    tar_make_header(&tar, (struct tar_make){.name = "f", .is_ustar = true});
    memcpy(tar.data + 345, "a/b", 3);
    tar_make_sum(&tar, 0);
    expect(&tar, &seen);
    assert_string_equal(seen.path, "a/b/f");
    memcpy(tar.data + 257, "ustar  ", 8); /* GNU keeps other things there */
    tar_make_sum(&tar, 0);
    expect(&tar, &seen);
    assert_string_equal(seen.path, "f");
}

static void add_extension(struct buf *tar, char type, const char *text, size_t size) {
    tar_make_entry(tar, (struct tar_make){.name = "e", .type = type}, span_of(text, size));
}

static void test_long_names(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct seen seen;
    add_extension(&tar, 'L', "long/name\0", 11); /* one NUL goes, the other stays */
    add_extension(&tar, 'K', "target", 6);
    tar_make_header(&tar, (struct tar_make){.name = "n", .type = '2', .link = "t"});
    expect(&tar, &seen);
    assert_string_equal(seen.path, "long/name");
    assert_string_equal(seen.link, "target");
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.header_at, 4 * BLOCK);
    tar_make_header(&tar, (struct tar_make){.name = "n"});
    expect(&tar, &seen); /* they describe one entry only */
    assert_string_equal(seen.path, "n");
    assert_false(seen.has_link);
}

struct pax_row {
    const char *text;
    const char *path; /* what the entry is called then */
};

static const struct pax_row pax_rows[] = {
    {"12 path=new\n", "new"},
    {"12 path=new\n13 path=newer\n", "new"},
    {"+12 path=new\n", "n"}, /* 13 bytes */
    {"+13 path=new\n", "new"},
    {"11 path=new\n", "n"},
    {"bad\n12 path=new\n", "new"},
    {"\n12 path=new\n", "n"}, /* an empty line ends it */
    {"9 path=\n", "n"},
    {"8 path=\n", ""},
    {"12 path=new", "new"},
    {"8 pathx\n12 path=new\n", "new"},
    {"", "n"},
};

static void test_pax_paths(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(pax_rows); i++) {
        AUTO(buf_deinit)
        struct buf tar = {0};
        struct seen seen;
        add_extension(&tar, 'x', pax_rows[i].text, strlen(pax_rows[i].text));
        tar_make_header(&tar, (struct tar_make){.name = "n"});
        expect(&tar, &seen);
        assert_string_equal(seen.path, pax_rows[i].path);
    }
}

/* A pax size counts for a header without one; after a broken record it does not. */
static void test_pax_size(void **state) {
    (void)state;
    const char *const texts[] = {"12 size=600\n", "bad\n12 size=600\n", "12 size=6x0\n"};
    const uint64_t sizes[] = {600, 0, 0};
    for (size_t i = 0; i < COUNT(texts); i++) {
        AUTO(buf_deinit)
        struct buf tar = {0};
        struct seen seen;
        add_extension(&tar, 'x', texts[i], strlen(texts[i]));
        tar_make_header(&tar, (struct tar_make){.name = "n"});
        memset(buf_extend(&tar, 1024), 'b', 1024);
        if (sizes[i] == 0) {
            refuse(&tar, "checksum"); /* the body is taken for a header */
            continue;
        }
        expect(&tar, &seen);
        assert_true(seen.size == sizes[i] && seen.count == 1);
    }
}

static void test_bad_extensions(void **state) {
    (void)state;
    for (const char *type = "LKx"; *type != '\0'; type++) {
        AUTO(buf_deinit)
        struct buf tar = {0};
        struct seen seen;
        add_extension(&tar, *type, "a", 1);
        refuse(&tar, "truncated");
        size_t one = tar.size;
        add_extension(&tar, *type, "a", 1);
        refuse(&tar, "describe one entry");
        tar.size = one;
        tar_make_end(&tar);
        refuse(&tar, "ends after a header that describes");
        buf_clear(&tar);
        tar_make_header(
            &tar, (struct tar_make){.name = "e", .type = *type, .size = LIMIT_LAYER_EXTENSION + 1});
        refuse(&tar, "at most 1048576 are read");
        buf_clear(&tar);
        tar_make_header(&tar, (struct tar_make){.name = "e", .type = *type, .is_bare = true});
        expect(&tar, &seen); /* without a magic number an entry like others */
        assert_int_equal(seen.header.type, *type);
    }
}

/* ---- sparse files ---- */

/* A sparse file of `real` bytes with pieces "offset size" in octal, two numbers each. */
static void make_sparse(struct buf *tar, const char *const *pieces, size_t count, const char *real,
                        size_t size) {
    tar_make_header(tar, (struct tar_make){.name = "s", .type = 'S', .size = size});
    for (size_t i = 0; i < 2 * count; i++) {
        memcpy(tar->data + 386 + 12 * i, pieces[i], strlen(pieces[i]));
    }
    memcpy(tar->data + 483, real, strlen(real));
    tar_make_sum(tar, 0);
    memset(buf_extend(tar, size), 'd', size);
}

static void test_sparse_files(void **state) {
    (void)state;
    const char *const good[] = {"0", "1000", "4000", "1000"};
    const char *const overlap[] = {"1000", "1000", "0", "1000"};
    const char *const odd[] = {"0", "777", "4000", "1"};
    const char *const text[] = {"x", "1000"};
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct seen seen;
    make_sparse(&tar, good, 2, "5000", 1024);
    expect(&tar, &seen);
    assert_true(seen.size == 05000 && seen.count == 1);
    buf_clear(&tar);
    make_sparse(&tar, good, 2, "5001", 1024);
    refuse(&tar, "do not add up");
    buf_clear(&tar);
    make_sparse(&tar, good, 1, "1000", 1024);
    refuse(&tar, "do not add up");
    buf_clear(&tar);
    make_sparse(&tar, good, 2, "5000", 512);
    refuse(&tar, "longer than the file");
    buf_clear(&tar);
    make_sparse(&tar, overlap, 2, "2000", 1024);
    refuse(&tar, "overlaps");
    buf_clear(&tar);
    make_sparse(&tar, odd, 2, "4001", 512);
    refuse(&tar, "does not start on a block");
    buf_clear(&tar);
    make_sparse(&tar, text, 1, "1000", 512);
    refuse(&tar, "no octal offset");
}

/* The map goes on in a block of its own, in front of the body. */
static void test_sparse_map_goes_on(void **state) {
    (void)state;
    AUTO(buf_deinit)
    struct buf tar = {0};
    struct seen seen;
    make_sparse(&tar, NULL, 0, "1000", 512);
    tar.size = BLOCK;
    tar.data[482] = 1;
    tar_make_sum(&tar, 0);
    refuse(&tar, "truncated");
    memset(buf_extend(&tar, 2 * BLOCK), 0, 2 * BLOCK);
    memcpy(tar.data + BLOCK, "0", 1);
    memcpy(tar.data + BLOCK + 12, "1000", 4);
    tar_make_header(&tar, (struct tar_make){.name = "next"});
    expect(&tar, &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.path, "next");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),         cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_binary_numbers), cmocka_unit_test(test_ustar_prefix),
        cmocka_unit_test(test_long_names),     cmocka_unit_test(test_pax_paths),
        cmocka_unit_test(test_pax_size),       cmocka_unit_test(test_bad_extensions),
        cmocka_unit_test(test_sparse_files),   cmocka_unit_test(test_sparse_map_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
