/* Firmware images that this test writes: every rule of the table, launches that cannot be, and what
 * a digest depends on. Digests: test_launch_vectors.c and check_launch.py.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/launch/ovmf_launch.h"
#include "lib/base/file.h"

#define FOUR_GIB (UINT64_C(1) << 32)
#define IMAGE "attest/launch/fuzz/corpus/ovmf/plain"
#define METADATA (4096 - 1024) /* where the corpus' generator puts it */
#define SECTION(i) (METADATA + 16 + 12 * (i))
#define FOOTER (4096 - 32 - 18) /* u16 size, GUID */
#define HASHES_ENTRY (FOOTER - 26)
#define RESET_ENTRY (HASHES_ENTRY - 22)

static struct buf load(const char *path) {
    struct buf image = {0};
    struct err err = {0};
    if (!is_ok(file_read(path, LIMIT_OVMF, &image, &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(image.size, 4096);
    return image;
}

static const struct {
    size_t at;
    uint32_t value;
    const char *text;
} CHANGES[] = {
    {FOOTER, 0x82deffff, "65535 bytes do not fit"},
    {FOOTER, 17 | 0x82de0000, "17 bytes do not fit"},
    {FOOTER + 4, 0, "no OVMF table"},
    {FOOTER - 18, 17 | 0x371f0000, "an entry of 17 bytes"},
    {FOOTER - 18, 0x371f0fff, "an entry of 4095 bytes"},
    {METADATA, 0, "no ASEV signature"},
    {METADATA + 4, 15, "15 bytes do not fit 5 sections"},
    {METADATA + 8, 2, "version 2, want 1"},
    {METADATA + 12, 6, "76 bytes do not fit 6 sections"},
    {METADATA + 12, 65, "65 sections, the limit is 64"},
    {METADATA + 12, UINT32_MAX, "4294967295 sections"},
    {SECTION(0), 0x800001, "not whole pages"},
    {SECTION(0) + 4, 0, "not whole pages"},
    {SECTION(0) + 4, 0xFFFFF000, "end above 4 GiB"},
    {SECTION(0) + 4, 0x7F000000, "more than the limit of"},
    {SECTION(0) + 8, 5, "section 0 has type 5"},
    {SECTION(1) + 4, 0x2000, "has 0x2000 bytes, want one page"},
    {RESET_ENTRY - 22 - 22, 0, "SEV metadata: 0 bytes before the end"},
    {RESET_ENTRY - 22 - 22, 4097, "SEV metadata: 4097 bytes before the end"},
};

static void test_every_rule(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        struct buf image = load(IMAGE);
        struct ovmf o;
        struct err err = {0};
        store_u32le(image.data + CHANGES[i].at, CHANGES[i].value);
        struct result r = ovmf_parse(buf_span(&image), FOUR_GIB, &o, &err);
        if (r.code != ERR_MALFORMED || strstr(err.text, CHANGES[i].text) == NULL) {
            fail_msg("change %zu: want '%s', have '%s'", i, CHANGES[i].text, err.text);
        }
        buf_deinit(&image);
    }
}

static void test_sizes(void **state) {
    (void)state;
    struct buf image = load(IMAGE);
    struct ovmf o;
    for (size_t n = 0; n < image.size; n++) { /* every prefix */
        assert_int_equal(ovmf_parse(span_of(image.data, n), FOUR_GIB, &o, NULL).code,
                         ERR_MALFORMED);
    }
    assert_int_equal(ovmf_parse(buf_span(&image), 4095, &o, NULL).code, ERR_MALFORMED);
    assert_true(is_ok(ovmf_parse(buf_span(&image), 4096, &o, NULL)));
    assert_int_equal(o.gpa, 0);
    buf_deinit(&image);
}

static void test_what_it_says(void **state) {
    (void)state;
    struct buf image = load(IMAGE);
    struct ovmf o;
    assert_true(is_ok(ovmf_parse(buf_span(&image), FOUR_GIB, &o, NULL)));
    assert_int_equal(o.section_count, 5);
    assert_int_equal(o.sections[0].size, 0x2000);
    assert_int_equal(o.reset_eip, 0x80B004);
    assert_int_equal(o.hash_table_gpa, 0x810C00);
    assert_false(o.has_svsm_entry);
    assert_int_equal(ovmf_find_section(&o, OVMF_CPUID)->gpa, 0x80E000);
    o.section_count = 1;
    assert_null(ovmf_find_section(&o, OVMF_CPUID));
    buf_deinit(&image);
}

static void refuse(const struct ovmf *o, const struct ovmf_launch *launch, const char *text) {
    struct launch_digest d;
    struct err err = {0};
    assert_int_equal(ovmf_launch_digest(o, launch, &d, &err).code, ERR_INVALID);
    if (strstr(err.text, text) == NULL) {
        fail_msg("want '%s', have '%s'", text, err.text);
    }
}

static void test_launches_that_cannot_be(void **state) {
    (void)state;
    static const struct ovmf_kernel kernel;
    struct buf image = load(IMAGE);
    struct ovmf good;
    assert_true(is_ok(ovmf_parse(buf_span(&image), FOUR_GIB, &good, NULL)));
    struct ovmf o = good;
    refuse(&o, &(struct ovmf_launch){.vcpus = 0}, "0 vCPUs");
    refuse(&o, &(struct ovmf_launch){.vcpus = LIMIT_LAUNCH_VCPUS + 1}, "want 1 to");
    refuse(&o, &(struct ovmf_launch){.vcpus = 1, .svsm = &o}, "no entry point");
    o.has_reset_eip = false;
    refuse(&o, &(struct ovmf_launch){.vcpus = 2}, "no reset vector");
    const struct ovmf_launch with_kernel = {.vcpus = 1, .kernel = &kernel};
    o.hash_table_gpa = 0x810F60; /* 176 bytes end beyond the page */
    refuse(&o, &with_kernel, "do not fit their page");
    o.hash_table_gpa = 0x811000;
    refuse(&o, &with_kernel, "names no place");
    o.has_hash_table = false;
    refuse(&o, &with_kernel, "names no place");
    o.section_count = 4;
    refuse(&o, &with_kernel, "no KERNEL_HASHES section");
    struct ovmf svsm = good;
    svsm.has_svsm_entry = true;
    svsm.svsm_entry = 4096;
    refuse(&good, &(struct ovmf_launch){.vcpus = 1, .svsm = &svsm}, "is outside of it");
    svsm.svsm_entry = 0;
    refuse(&good, &(struct ovmf_launch){.vcpus = 1, .svsm = &svsm, .kernel = &kernel},
           "launch with an SVSM");
    refuse(&good, &(struct ovmf_launch){.vcpus = 1, .svsm = &svsm, .vmsa = {.vmm = VMSA_GCE}},
           "under QEMU only");
    buf_deinit(&image);
}

/* Each input changes the digest, and none is forgotten. */
static void test_what_a_digest_depends_on(void **state) {
    (void)state;
    static const struct ovmf_kernel kernels[] = {
        {.kernel = {0}}, {.kernel = {1}}, {.initrd = {1}}, {.cmdline = {1}}};
    static const uint8_t seed[LAUNCH_DIGEST_SIZE] = {1};
    const struct ovmf_launch launches[] = {
        {.vcpus = 1},
        {.vcpus = 2},
        {.vcpus = 1, .vmsa = {.cpu_signature = 1}},
        {.vcpus = 1, .vmsa = {.sev_features = 1}},
        {.vcpus = 1, .vmsa = {.vmm = VMSA_EC2}},
        {.vcpus = 1, .vmsa = {.vmm = VMSA_EC2_RDX_ZERO}},
        {.vcpus = 1, .vmsa = {.vmm = VMSA_GCE}},
        {.vcpus = 1, .kernel = &kernels[0]},
        {.vcpus = 1, .kernel = &kernels[1]},
        {.vcpus = 1, .kernel = &kernels[2]},
        {.vcpus = 1, .kernel = &kernels[3]},
        {.vcpus = 1, .image_digest = seed},
    };
    enum { COUNT = sizeof launches / sizeof launches[0] };
    struct launch_digest digests[COUNT];
    struct buf image = load(IMAGE);
    struct ovmf o;
    assert_true(is_ok(ovmf_parse(buf_span(&image), FOUR_GIB, &o, NULL)));
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(is_ok(ovmf_launch_digest(&o, &launches[i], &digests[i], NULL)));
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(&digests[i], &digests[k], sizeof digests[i]);
        }
    }
    buf_deinit(&image);
}

static void test_names(void **state) {
    (void)state;
    uint32_t signature = 0;
    enum vmsa_vmm vmm = VMSA_QEMU;
    struct err err = {0};
    assert_true(is_ok(vmsa_cpu_find("EPYC-Milan-v2", &signature, NULL)));
    assert_int_equal(signature, 0xA00F11);
    assert_true(is_ok(vmsa_cpu_find("epyc-turin", &signature, NULL)));
    assert_int_equal(signature, 0xB00F00);
    assert_int_equal(vmsa_cpu_find("Skylake-Server", &signature, &err).code, ERR_USAGE);
    assert_non_null(strstr(err.text, "EPYC-Genoa"));
    assert_int_equal(vmsa_cpu_signature(23, 49, 0), 0x830F10);
    assert_int_equal(vmsa_cpu_signature(6, 0x1F, 0x13), 0x106F3);
    assert_true(is_ok(vmsa_vmm_find("QEMU", &vmm, NULL)));
    assert_int_equal(vmsa_vmm_find("xen", &vmm, NULL).code, ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_it_says),
        cmocka_unit_test(test_launches_that_cannot_be),
        cmocka_unit_test(test_what_a_digest_depends_on),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
