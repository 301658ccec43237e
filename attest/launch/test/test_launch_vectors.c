/* The digests of other programs over the shared test data: page chain, firmware images under three
 * hypervisors, SVSM. Skipped (77) where the data is absent, a failure with CI=true.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/launch/launch_file.h"
#include "attest/launch/ovmf_launch.h"
#include "lib/base/file.h"
#include "lib/crypto/digest.h"

#define FOUR_GIB (UINT64_C(1) << 32)
#define PATH_SIZE 512

static char root[256];

static void path_of(const char *name, char path[PATH_SIZE]) {
    (void)snprintf(path, PATH_SIZE, "%s/%s", root, name);
}

static struct buf load(const char *folder, const char *name) {
    char path[PATH_SIZE];
    char both[256];
    (void)snprintf(both, sizeof both, "%s/%s", folder, name);
    path_of(both, path);
    struct buf bytes = {0};
    assert_true(is_ok(file_read(path, LIMIT_OVMF, &bytes, NULL)));
    return bytes;
}

static json_t *load_json(const char *name) {
    char path[PATH_SIZE];
    path_of(name, path);
    json_t *document = json_load_file(path, 0, NULL);
    assert_non_null(document);
    return document;
}

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static void assert_digest(const struct launch_digest *d, const char *want, const char *what) {
    char hex[2 * LAUNCH_DIGEST_SIZE + 1];
    hex_encode(SPAN(d->value), hex);
    if (strcmp(hex, want) != 0) {
        fail_msg("%s: want %s, have %s", what, want, hex);
    }
}

static void test_page_chain(void **state) {
    (void)state;
    json_t *steps = load_json("pagechain/expected.json");
    struct buf vmsa = load("pagechain", "vmsa_qemu_epycv4_features1.bin");
    uint8_t page[LAUNCH_PAGE_SIZE] = {0};
    struct launch_digest d = {{0}};
    for (size_t i = 0; i < 7; i++) {
        const json_t *step = json_array_get(steps, i);
        if (i < 2) {
            memset(page, i == 0 ? 0 : 0xAA, sizeof page);
            launch_digest_add_page(&d, LAUNCH_PAGE_NORMAL, i << 12, page);
        } else if (i < 6) {
            launch_digest_add(&d, (enum launch_page)(i + 1), i << 12, NULL);
        } else {
            assert_int_equal(vmsa.size, LAUNCH_PAGE_SIZE);
            launch_digest_add_page(&d, LAUNCH_PAGE_VMSA, LAUNCH_VMSA_GPA, vmsa.data);
        }
        assert_digest(&d, text_of(step, "ld"), text_of(step, "step"));
    }
    struct vmsa_config config = {VMSA_QEMU, 0, 1};
    assert_true(is_ok(vmsa_cpu_find("epyc-v4", &config.cpu_signature, NULL)));
    vmsa_encode(&config, VMSA_RESET_EIP, page);
    assert_memory_equal(page, vmsa.data, sizeof page);
    buf_deinit(&vmsa);
    json_decref(steps);
}

/* Hashes as a command line names them; NULL without a kernel. */
static const struct ovmf_kernel *kernel_of(const json_t *row, struct ovmf_kernel *kernel) {
    const char *append = text_of(row, "append");
    if (text_of(row, "kernel") == NULL) {
        return NULL;
    }
    assert_true(is_ok(launch_file_sha256(text_of(row, "kernel"), kernel->kernel, NULL)));
    assert_true(is_ok(launch_file_sha256(text_of(row, "initrd"), kernel->initrd, NULL)));
    sha256(span_of(append, strlen(append) + 1), kernel->cmdline);
    return kernel;
}

static void check_ovmf(const json_t *row) {
    struct buf image = load("ovmf", text_of(row, "ovmf"));
    struct ovmf o;
    struct err err = {0};
    assert_true(is_ok(ovmf_parse(buf_span(&image), FOUR_GIB, &o, &err)));
    struct ovmf_kernel kernel;
    uint8_t seed[LAUNCH_DIGEST_SIZE];
    const char *hash = text_of(row, "ovmf_hash");
    struct ovmf_launch launch = {.vcpus =
                                     (uint32_t)json_integer_value(json_object_get(row, "vcpus")),
                                 .kernel = kernel_of(row, &kernel)};
    launch.vmsa.cpu_signature = (uint32_t)json_integer_value(json_object_get(row, "vcpu_sig"));
    launch.vmsa.sev_features = (uint64_t)json_integer_value(json_object_get(row, "sev_features"));
    assert_true(is_ok(vmsa_vmm_find(text_of(row, "vmm"), &launch.vmsa.vmm, NULL)));
    if (hash[0] != '\0') {
        assert_true(is_ok(hex_decode(span_str(hash), seed, sizeof seed, NULL)));
        launch.image_digest = seed;
    }
    struct launch_digest d;
    if (!is_ok(ovmf_launch_digest(&o, &launch, &d, &err))) {
        fail_msg("%s: %s", text_of(row, "name"), err.text);
    }
    assert_digest(&d, text_of(row, "ld"), text_of(row, "name"));
    buf_deinit(&image);
}

static void test_ovmf(void **state) {
    (void)state;
    json_t *document = load_json("ovmf/expected.json");
    const json_t *rows = json_object_get(document, "digests");
    assert_int_equal(json_array_size(rows), 18);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        check_ovmf(json_array_get(rows, i));
    }
    struct buf image = load("ovmf", "ovmf_AmdSev_suffix.bin");
    struct launch_digest d = {{0}};
    launch_digest_add_image(&d, FOUR_GIB - image.size, buf_span(&image));
    assert_digest(&d, text_of(document, "ovmf_hash_AmdSev"), "the image alone");
    buf_deinit(&image);
    json_decref(document);
}

static void check_svsm(const json_t *row) {
    struct buf image = load("ovmf", text_of(row, "ovmf"));
    struct buf svsm_image = load("ovmf", text_of(row, "svsm"));
    uint64_t vars = (uint64_t)json_integer_value(json_object_get(row, "vars_size"));
    struct ovmf o;
    struct ovmf svsm;
    struct err err = {0};
    assert_true(is_ok(ovmf_parse(buf_span(&image), FOUR_GIB, &o, &err)));
    assert_true(is_ok(ovmf_parse(buf_span(&svsm_image), o.gpa - vars, &svsm, &err)));
    struct ovmf_launch launch = {
        .vcpus = (uint32_t)json_integer_value(json_object_get(row, "vcpus")), .svsm = &svsm};
    launch.vmsa.sev_features = 1;
    assert_true(is_ok(vmsa_cpu_find(text_of(row, "cpu"), &launch.vmsa.cpu_signature, NULL)));
    struct launch_digest d;
    assert_true(is_ok(ovmf_launch_digest(&o, &launch, &d, &err)));
    assert_digest(&d, text_of(row, "ld"), "SVSM");
    buf_deinit(&image);
    buf_deinit(&svsm_image);
}

static void test_svsm(void **state) {
    (void)state;
    json_t *document = load_json("ovmf/expected.json");
    const json_t *rows = json_object_get(document, "svsm");
    assert_int_equal(json_array_size(rows), 2);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        check_svsm(json_array_get(rows, i));
    }
    json_decref(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_chain),
        cmocka_unit_test(test_ovmf),
        cmocka_unit_test(test_svsm),
    };
    const char *data = getenv("CONTRAST_TESTDATA");
    const char *ci = getenv("CI");
    (void)snprintf(root, sizeof root, "%s/snp/vectors", data != NULL ? data : "../shared/testdata");
    char path[PATH_SIZE];
    path_of("igvm/expected.json", path);
    if (access(path, R_OK) != 0) {
        printf("the shared test data is not at %s: nothing to do\n", root);
        return ci != NULL && strcmp(ci, "true") == 0 ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
