/* IGVM files that this test writes: every rule, every prefix, failing and changing files, and a
 * sparse file of 2 GiB in little memory. Digests: test_launch_vectors.c and check_launch.py.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/launch/igvm.h"
#include "lib/base/file.h"

#define FIXED 24
#define GIB (UINT64_C(1) << 30)

/* Header i begins at AT(...): all of this file's have a content padded to 8. */
enum {
    AT_PLATFORM = FIXED,
    AT_POLICY = AT_PLATFORM + 24,
    AT_AREA = AT_POLICY + 24,
    AT_MAP = AT_AREA + 24,
    AT_PAGE = AT_MAP + 16,
    AT_ZERO = AT_PAGE + 32,
    AT_INSERT = AT_ZERO + 32,
    AT_CONTEXT = AT_INSERT + 24,
    AT_ID = AT_CONTEXT + 32,
    AT_DATA = AT_ID + 704,
    SIZE = AT_DATA + 2 * LAUNCH_PAGE_SIZE,
};

static void put_u32(struct buf *b, uint32_t v) {
    uint8_t bytes[4];
    store_u32le(bytes, v);
    buf_append(b, bytes, sizeof bytes);
}

static void put_u64(struct buf *b, uint64_t v) {
    put_u32(b, (uint32_t)v);
    put_u32(b, (uint32_t)(v >> 32));
}

static void put_head(struct buf *b, uint32_t type, uint32_t length) {
    put_u32(b, type);
    put_u32(b, length);
}

static void put_page(struct buf *b, uint64_t gpa, uint32_t mask, uint32_t offset, uint32_t flags) {
    put_head(b, IGVM_PAGE_DATA, 24);
    put_u64(b, gpa);
    put_u32(b, mask);
    put_u32(b, offset);
    put_u32(b, flags);
    put_u32(b, 0);
}

static void put_platform(struct buf *b) {
    put_head(b, IGVM_SUPPORTED_PLATFORM, 16);
    put_u32(b, 1);
    put_u32(b, 0x00010200); /* VTL 0, SEV-SNP, version 1 */
    put_u64(b, 0);
    put_head(b, IGVM_GUEST_POLICY, 16);
    put_u64(b, 0x30000);
    put_u32(b, 1);
    put_u32(b, 0);
}

/* Total size and checksum of what stands in the file. */
static void mend(uint8_t *file, size_t size) {
    uint32_t headers = load_u32le(file + 12);
    store_u32le(file + 16, (uint32_t)size);
    store_u32le(file + 20, 0);
    if (FIXED + (size_t)headers <= size) {
        uint32_t crc = igvm_format_crc32(0, span_of(file, FIXED + (size_t)headers));
        store_u32le(file + 20, crc);
    }
}

static void finish(struct buf *b, uint64_t file_size) {
    memcpy(b->data, "IGVM\1\0\0", 8);
    store_u32le(b->data + 8, FIXED);
    store_u32le(b->data + 12, (uint32_t)(b->size - FIXED));
    mend(b->data, b->size);
    store_u32le(b->data + 16, (uint32_t)file_size);
    store_u32le(b->data + 20, 0);
    store_u32le(b->data + 20, igvm_format_crc32(0, buf_span(b)));
}

/* One header of each kind that counts, then a page 0xAB and a VMSA 0xCD. */
static struct buf make_file(void) {
    static const uint8_t zeros[696];
    struct buf b = {0};
    buf_append(&b, zeros, FIXED);
    put_platform(&b);
    put_head(&b, IGVM_PARAMETER_AREA, 16);
    put_u64(&b, LAUNCH_PAGE_SIZE);
    put_u64(&b, 0);
    put_head(&b, IGVM_MEMORY_MAP, 8);
    put_u64(&b, 0);
    put_page(&b, 0x1000, 1, AT_DATA, 0);
    put_page(&b, 0x2000, 1, 0, 0);
    put_head(&b, IGVM_PARAMETER_INSERT, 16);
    put_u64(&b, 0x3000);
    put_u64(&b, 1);
    put_head(&b, IGVM_VP_CONTEXT, 20);
    put_u64(&b, LAUNCH_VMSA_GPA);
    put_u32(&b, 1);
    put_u32(&b, AT_DATA + LAUNCH_PAGE_SIZE);
    put_u64(&b, 0);
    put_head(&b, IGVM_SNP_ID_BLOCK, 696);
    size_t at = b.size;
    buf_append(&b, zeros, 696);
    store_u32le(b.data + at, 1);
    store_u32le(b.data + at + 88, 1);
    store_u32le(b.data + at + 96, 1);
    assert_int_equal(b.size, AT_DATA);
    finish(&b, SIZE);
    memset(buf_extend(&b, LAUNCH_PAGE_SIZE), 0xAB, LAUNCH_PAGE_SIZE);
    memset(buf_extend(&b, LAUNCH_PAGE_SIZE), 0xCD, LAUNCH_PAGE_SIZE);
    return b;
}

static struct result measure(struct span bytes, struct igvm_measurement *m, struct err *err) {
    struct launch_source source = launch_file_memory(&bytes);
    return igvm_measure(&source, 0, m, err);
}

static void test_crc32(void **state) {
    (void)state; /* the check value of every catalogue of CRCs */
    assert_int_equal(igvm_format_crc32(0, span_str("123456789")), 0xCBF43926);
    assert_int_equal(igvm_format_crc32(igvm_format_crc32(0, span_str("1234")), span_str("56789")),
                     0xCBF43926);
}

static void test_chain(void **state) {
    (void)state;
    struct buf file = make_file();
    struct igvm_measurement m;
    struct err err = {0};
    if (!is_ok(measure(buf_span(&file), &m, &err))) {
        fail_msg("%s", err.text);
    }
    struct launch_digest d = {{0}};
    static const uint8_t zeros[LAUNCH_PAGE_SIZE];
    launch_digest_add_page(&d, LAUNCH_PAGE_NORMAL, 0x1000, file.data + AT_DATA);
    launch_digest_add_page(&d, LAUNCH_PAGE_NORMAL, 0x2000, zeros);
    launch_digest_add(&d, LAUNCH_PAGE_UNMEASURED, 0x3000, NULL);
    launch_digest_add_page(&d, LAUNCH_PAGE_VMSA, LAUNCH_VMSA_GPA,
                           file.data + AT_DATA + LAUNCH_PAGE_SIZE);
    assert_memory_equal(&m.digest, &d, sizeof d);
    assert_memory_equal(&m.other_digest, &d, sizeof d);
    assert_int_equal(m.differences, 0);
    assert_int_equal(m.pages, 4);
    assert_int_equal(m.vcpus, 1);
    assert_int_equal(igvm_check_id_block(&m, &err).code, ERR_DIFFERS);
    buf_deinit(&file);
}

/* A change of one field, checksum mended, and the words that must be in the refusal. */
struct change {
    size_t at;
    uint32_t value;
    enum err_code code;
    const char *text;
};

static const struct change CHANGES[] = {
    {8, 20, ERR_MALFORMED, "variable_header_offset 20"},
    {8, 28, ERR_MALFORMED, "variable_header_offset 28"},
    {12, 0, ERR_MALFORMED, "variable_header_size 0"},
    {12, AT_DATA - FIXED - 4, ERR_MALFORMED, "length 696 reaches past"},
    {AT_PLATFORM, 2, ERR_MALFORMED, "header 0 (0x2 unknown) at offset 0x18: the type is unknown"},
    {AT_PLATFORM, 0x201, ERR_MALFORMED, "belongs to no section"},
    {AT_PLATFORM + 4, 0xFFFFFFFF, ERR_MALFORMED, "length 4294967295 reaches past"},
    {AT_PLATFORM + 8, 0, ERR_MALFORMED, "compatibility_mask is 0"},
    {AT_PLATFORM + 8, 3, ERR_MALFORMED, "not a single bit"},
    {AT_PLATFORM + 12, 0x00010300, ERR_INVALID, "no SEV-SNP platform is declared before"},
    {AT_POLICY + 16, 2, ERR_MALFORMED, "no GUEST_POLICY"},
    {AT_POLICY + 20, 1, ERR_MALFORMED, "reserved field"},
    {AT_AREA + 8, 0, ERR_MALFORMED, "no number of whole pages"},
    {AT_AREA + 8, 4097, ERR_MALFORMED, "no number of whole pages"},
    {AT_AREA + 12, 1, ERR_MALFORMED, "the limit is"},
    {AT_AREA + 20, 8, ERR_MALFORMED, "lies before the file data"},
    {AT_AREA + 20, SIZE, ERR_MALFORMED, "past the end"},
    {AT_MAP + 8, 1, ERR_MALFORMED, "parameter_area_index 1: no PARAMETER_AREA"},
    {AT_MAP + 12, 4096, ERR_MALFORMED, "byte_offset 0x1000 is outside"},
    {AT_PAGE, IGVM_GUEST_POLICY, ERR_MALFORMED, "an initialization header after a directive"},
    {AT_PAGE + 4, 16, ERR_MALFORMED, "length 16, want 24"},
    {AT_PAGE + 8, 0x1800, ERR_MALFORMED, "gpa 0x1800 is not a multiple of 0x1000"},
    {AT_PAGE + 12, 0x100000, ERR_MALFORMED, "beyond 52 bits"},
    {AT_PAGE + 16, 0, ERR_MALFORMED, "compatibility_mask is 0"},
    {AT_PAGE + 20, AT_DATA - 1, ERR_MALFORMED, "lies before the file data"},
    {AT_PAGE + 20, AT_DATA + LAUNCH_PAGE_SIZE + 1, ERR_MALFORMED, "past the end"},
    {AT_PAGE + 20, UINT32_MAX, ERR_MALFORMED, "past the end"},
    {AT_PAGE + 24, 8, ERR_MALFORMED, "flags 0x8"},
    {AT_PAGE + 24, IGVM_FLAG_2M, ERR_MALFORMED, "gpa 0x1000 is not a multiple of 0x200000"},
    {AT_PAGE + 28, 4, ERR_MALFORMED, "data_type 4"},
    {AT_PAGE + 28, 0x10000, ERR_MALFORMED, "reserved field"},
    {AT_INSERT + 8, 1, ERR_MALFORMED, "gpa 0x1 is not a multiple"},
    {AT_INSERT + 20, 5, ERR_MALFORMED, "parameter_area_index 5"},
    {AT_CONTEXT + 8, 1, ERR_MALFORMED, "gpa 0x"},
    {AT_CONTEXT + 20, 0, ERR_MALFORMED, "lies before the file data"},
    {AT_CONTEXT + 24, 0x10000, ERR_MALFORMED, "reserved field"},
    {AT_ID + 12, 2, ERR_MALFORMED, "author_key_enabled is 2"},
    {AT_ID + 12, 0x100, ERR_MALFORMED, "reserved field"},
    {AT_ID + 96, 2, ERR_MALFORMED, "version 2, want 1"},
    {AT_ID + 104, 2, ERR_MALFORMED, "algorithms 2 and 0"},
    {AT_ID + 112, 1, ERR_MALFORMED, "ID auth: ID key: curve 0, want 2"},
};

static void test_every_rule(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        struct buf file = make_file();
        struct igvm_measurement m;
        struct err err = {0};
        store_u32le(file.data + CHANGES[i].at, CHANGES[i].value);
        mend(file.data, file.size);
        struct result r = measure(buf_span(&file), &m, &err);
        if (r.code != CHANGES[i].code || strstr(err.text, CHANGES[i].text) == NULL) {
            fail_msg("change %zu: want '%s', have %s '%s'", i, CHANGES[i].text, err_name(r.code),
                     err.text);
        }
        buf_deinit(&file);
    }
}

/* As they are, and with size and checksum put right. */
static void test_every_prefix(void **state) {
    (void)state;
    struct buf file = make_file();
    struct igvm_measurement m;
    for (size_t n = 0; n < file.size; n++) {
        uint8_t *copy = malloc(n + 1); /* so that the sanitizer sees its end */
        assert_non_null(copy);
        memcpy(copy, file.data, n);
        assert_int_equal(measure(span_of(copy, n), &m, NULL).code, ERR_MALFORMED);
        if (n >= FIXED) {
            mend(copy, n);
            assert_int_equal(measure(span_of(copy, n), &m, NULL).code, ERR_MALFORMED);
        }
        free(copy);
    }
    buf_deinit(&file);
}

static void test_optional_headers(void **state) {
    (void)state;
    struct buf file = make_file();
    struct igvm_measurement m;
    store_u32le(file.data + AT_MAP, 0x3FE | IGVM_OPTIONAL);
    mend(file.data, file.size);
    assert_true(is_ok(measure(buf_span(&file), &m, NULL)));
    assert_int_equal(m.skipped, 1);
    store_u32le(file.data + AT_PAGE, IGVM_PAGE_DATA | IGVM_OPTIONAL); /* known: counts */
    mend(file.data, file.size);
    assert_true(is_ok(measure(buf_span(&file), &m, NULL)));
    assert_int_equal(m.pages, 4);
    buf_deinit(&file);
}

static void test_hypervisor_differences(void **state) {
    (void)state;
    struct buf file = make_file();
    struct igvm_measurement m;
    uint8_t context[32];
    memcpy(context, file.data + AT_CONTEXT, sizeof context);
    memcpy(file.data + AT_CONTEXT, file.data + AT_PAGE, sizeof context);
    memcpy(file.data + AT_PAGE, context, sizeof context);
    mend(file.data, file.size);
    assert_true(is_ok(measure(buf_span(&file), &m, NULL)));
    assert_int_equal(m.differences, IGVM_DIFFERS_KVM_ORDER);
    memcpy(file.data + AT_CONTEXT, context, sizeof context);
    mend(file.data, file.size);
    assert_true(is_ok(measure(buf_span(&file), &m, NULL)));
    assert_int_equal(m.differences, IGVM_DIFFERS_KVM_ORDER | IGVM_DIFFERS_KVM_COUNT);
    for (unsigned bit = 1; bit <= IGVM_DIFFERS_MOVED; bit <<= 1) {
        assert_true(strlen(igvm_difference_text((enum igvm_difference)bit)) > 20);
    }
    buf_deinit(&file);
}

static void test_too_many(void **state) {
    (void)state;
    static const uint8_t zeros[FIXED];
    struct igvm_measurement m;
    struct err err = {0};
    struct buf b = {0};
    buf_append(&b, zeros, FIXED);
    put_platform(&b);
    for (uint32_t i = 0; i <= LIMIT_IGVM_PARAMETER_AREAS; i++) {
        put_head(&b, IGVM_PARAMETER_AREA, 16);
        put_u64(&b, LAUNCH_PAGE_SIZE);
        put_u64(&b, i);
    }
    finish(&b, b.size);
    assert_int_equal(measure(buf_span(&b), &m, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "more than 256 parameter areas"));
    buf_clear(&b);
    buf_append(&b, zeros, FIXED);
    put_platform(&b);
    for (uint64_t i = 0; i <= LIMIT_IGVM_PAGES / 512; i++) {
        put_page(&b, i * IGVM_PAGE_2M_SIZE, 1, 0, IGVM_FLAG_2M);
    }
    finish(&b, b.size);
    assert_int_equal(measure(buf_span(&b), &m, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "pages are to be measured"));
    buf_deinit(&b);
}

/* ---- sources that fail ---- */

struct failing {
    struct span bytes;
    size_t left; /* reads until one fails */
};

static struct result read_failing(void *data, uint64_t offset, uint8_t *out, size_t size,
                                  struct err *err) {
    struct failing *f = data;
    ENSURE(f->left > 0, err, IO, "the disk is broken");
    f->left--;
    memcpy(out, f->bytes.data + offset, size);
    return OK;
}

static void test_every_read_fails_once(void **state) {
    (void)state;
    struct buf file = make_file();
    size_t failures = 0;
    for (bool is_done = false; !is_done; failures += is_done ? 0 : 1) {
        struct failing f = {buf_span(&file), failures};
        struct launch_source source = {read_failing, &f, file.size};
        struct igvm_measurement m = {.vcpus = 77};
        struct err err = {0};
        struct result r = igvm_measure(&source, 0, &m, &err);
        is_done = is_ok(r);
        assert_true(is_done || (r.code == ERR_IO && m.vcpus == 77));
        assert_true(is_done || strstr(err.text, "the disk is broken") != NULL);
    }
    assert_int_equal(failures, 4); /* fixed header, headers, page, VMSA */
    buf_deinit(&file);
}

/* ---- files ---- */

struct files {
    char dir[64];
    char path[96];
};

static int setup(void **state) {
    static struct files f;
    f = (struct files){.dir = "/tmp/contrast-igvm-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    (void)snprintf(f.path, sizeof f.path, "%s/image.igvm", f.dir);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    const struct files *f = *state;
    (void)unlink(f->path);
    return rmdir(f->dir);
}

static void test_a_file_that_changes(void **state) {
    const struct files *f = *state;
    struct buf file = make_file();
    struct launch_file open = {0};
    struct igvm_measurement m;
    struct err err = {0};
    assert_true(is_ok(file_write(f->path, buf_span(&file), 0600, NULL)));
    assert_true(is_ok(launch_file_open(f->path, &open, NULL)));
    struct launch_source source = launch_file_source(&open);
    assert_true(is_ok(igvm_measure(&source, 0, &m, NULL)));
    assert_true(is_ok(launch_file_finish(&open, NULL)));
    assert_int_equal(truncate(f->path, SIZE - 1), 0);
    assert_int_equal(igvm_measure(&source, 0, &m, &err).code, ERR_IO);
    assert_non_null(strstr(err.text, "ended at offset 9127, it had 9128 bytes before"));
    assert_int_equal(launch_file_finish(&open, &err).code, ERR_IO);
    assert_non_null(strstr(err.text, "changed while it was read"));
    launch_file_close(&open);
    buf_deinit(&file);
}

static void test_what_is_no_file(void **state) {
    const struct files *f = *state;
    struct launch_file open = {0};
    struct err err = {0};
    uint8_t digest[32];
    assert_int_equal(launch_file_open(f->path, &open, &err).code, ERR_NOT_FOUND);
    assert_int_equal(launch_file_open(f->dir, &open, &err).code, ERR_INVALID);
    assert_int_equal(launch_file_open("/dev/zero", &open, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(launch_file_sha256(f->path, digest, &err).code, ERR_NOT_FOUND);
    assert_int_equal(launch_file_sha256(f->dir, digest, &err).code, ERR_IO);
    launch_file_close(&open);
}

/* 2 GiB with eight pages far from one another: read in order, one page at a time. */
static void test_a_sparse_file_in_little_memory(void **state) {
    const struct files *f = *state;
    static const uint8_t zeros[FIXED];
    uint64_t size = 2 * GIB - LAUNCH_PAGE_SIZE;
    struct launch_digest want = {{0}};
    uint8_t page[LAUNCH_PAGE_SIZE];
    struct buf b = {0};
    buf_append(&b, zeros, FIXED);
    put_platform(&b);
    int fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    for (uint64_t i = 1; i <= 8; i++) {
        uint64_t at = i * (size / 8) - LAUNCH_PAGE_SIZE;
        memset(page, (int)i, sizeof page);
        assert_int_equal(pwrite(fd, page, sizeof page, (off_t)at), sizeof page);
        put_page(&b, i << 12, 1, (uint32_t)at, 0);
        launch_digest_add_page(&want, LAUNCH_PAGE_NORMAL, i << 12, page);
    }
    finish(&b, size);
    assert_int_equal(pwrite(fd, b.data, b.size, 0), b.size);
    close(fd);
    struct rusage before;
    struct rusage after;
    struct launch_file open = {0};
    struct igvm_measurement m;
    getrusage(RUSAGE_SELF, &before);
    assert_true(is_ok(launch_file_open(f->path, &open, NULL)));
    struct launch_source source = launch_file_source(&open);
    assert_true(is_ok(igvm_measure(&source, 0, &m, NULL)));
    assert_true(is_ok(launch_file_finish(&open, NULL)));
    getrusage(RUSAGE_SELF, &after);
    assert_memory_equal(&m.digest, &want, sizeof want);
    assert_true(after.ru_maxrss - before.ru_maxrss < 4096); /* KiB */
    launch_file_close(&open);
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_optional_headers),
        cmocka_unit_test(test_hypervisor_differences),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_every_read_fails_once),
        cmocka_unit_test_setup_teardown(test_a_file_that_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sparse_file_in_little_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
