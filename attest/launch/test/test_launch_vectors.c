/* The digests of other programs over the shared test data: page chain, firmware images under three
 * hypervisors, SVSM, IGVM files good and bad, ID blocks. Skipped (77) where the data is absent, a
 * failure with CI=true.
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

#include "attest/launch/igvm.h"
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

/* ---- IGVM ---- */

static struct result measure_file(const char *name, struct igvm_measurement *m, struct err *err) {
    char path[PATH_SIZE];
    char both[256];
    struct launch_file f = {0};
    (void)snprintf(both, sizeof both, "igvm/%s", name);
    path_of(both, path);
    assert_true(is_ok(launch_file_open(path, &f, NULL)));
    struct launch_source source = launch_file_source(&f);
    struct result r = igvm_measure(&source, 0, m, err);
    assert_true(is_ok(launch_file_finish(&f, NULL)));
    launch_file_close(&f);
    return r;
}

static void check_good_igvm(const char *name, const json_t *row) {
    struct igvm_measurement m;
    struct err err = {0};
    if (!is_ok(measure_file(name, &m, &err))) {
        fail_msg("%s: %s", name, err.text);
    }
    assert_digest(&m.digest, text_of(row, "ld_igvm_crate"), name);
    assert_digest(&m.other_digest, text_of(row, "ld_igvmmeasure"), name);
    bool is_same = strcmp(text_of(row, "ld_igvm_crate"), text_of(row, "ld_igvmmeasure")) == 0;
    assert_int_equal(m.differences, is_same ? 0 : IGVM_DIFFERS_AREA | IGVM_DIFFERS_SHARED);
    assert_int_equal(m.policy, strtoull(text_of(row, "policy"), NULL, 16));
    assert_int_equal(m.mask, json_integer_value(json_object_get(row, "compatibility_mask")));
    assert_int_equal(m.has_id_block, text_of(row, "idblock_ld") != NULL);
    assert_true(is_ok(igvm_check_id_block(&m, NULL)));
    if (m.has_id_block) {
        assert_int_equal(m.id_block.block.guest_svn,
                         json_integer_value(json_object_get(row, "guest_svn")));
        assert_false(m.id_block.is_signed);
        m.digest.value[0] ^= 1;
        assert_int_equal(igvm_check_id_block(&m, &err).code, ERR_DIFFERS);
    }
}

/* The rule that each refused file must be told by. */
static void check_bad_igvm(const char *name) {
    static const struct {
        const char *name;
        const char *text;
    } rows[] = {
        {"bad_magic.igvm", "magic is not"},
        {"bad_checksum.igvm", "checksum"},
        {"bad_total_size.igvm", "total_file_size 33344, and the file has 33345"},
        {"bad_truncated.igvm", "total_file_size 33344, and the file has 33343"},
        {"bad_version3.igvm", "format version 3"},
        {"bad_varsize.igvm", "variable_header_size"},
        {"bad_gpa_unaligned.igvm", "PAGE_DATA) at offset 0xa8: gpa 0x100001 is not a multiple"},
        {"bad_file_offset_past_end.igvm", "reach past the end of the file"},
        {"bad_data_type.igvm", "data_type 9"},
        {"bad_order_init_after_directive.igvm", "an initialization header after a directive"},
        {"bad_unknown_required_header.igvm", "the type is unknown, and not marked optional"},
        {"bad_header_length.igvm", "length 16, want 24"},
        {"bad_parameter_index.igvm", "no PARAMETER_AREA before it declares that"},
        {"bad_file_offset_in_headers.igvm", "lies before the file data"},
        {"bad_no_policy.igvm", "no GUEST_POLICY"},
    };
    struct igvm_measurement m;
    struct err err = {0};
    assert_int_equal(measure_file(name, &m, &err).code, ERR_MALFORMED);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            if (strstr(err.text, rows[i].text) == NULL) {
                fail_msg("%s: want '%s' in: %s", name, rows[i].text, err.text);
            }
            return;
        }
    }
    fail_msg("%s: nothing is expected of this file yet", name);
}

static void test_igvm(void **state) {
    (void)state;
    json_t *document = load_json("igvm/expected.json");
    const char *name = NULL;
    const json_t *row = NULL;
    size_t good = 0;
    json_object_foreach(document, name, row) {
        if (text_of(row, "expect") != NULL) {
            check_bad_igvm(name);
        } else {
            check_good_igvm(name, row);
            good++;
        }
    }
    assert_int_equal(good, 4);
    assert_int_equal(json_object_size(document), 19);
    json_decref(document);
}

/* ---- ID blocks ---- */

static void load_key(const char *name, struct key *key) {
    struct buf pem = load("idblock", name);
    assert_true(is_ok(key_from_pem(buf_span(&pem), key, NULL)));
    buf_deinit(&pem);
}

static void test_key_digests(void **state) {
    (void)state;
    json_t *document = load_json("idblock/expected.json");
    const char *name = NULL;
    const json_t *want = NULL;
    size_t count = 0;
    json_object_foreach(json_object_get(document, "key_digest_sha384_of_0x404_bytes"), name, want) {
        struct key key = {0};
        uint8_t bytes[ID_BLOCK_KEY_SIZE];
        struct launch_digest d;
        load_key(name, &key);
        assert_true(is_ok(id_block_key_encode(&key, bytes, NULL)));
        id_block_key_digest(bytes, d.value);
        assert_digest(&d, json_string_value(want), name);
        key_deinit(&key);
        count++;
    }
    assert_int_equal(count, 4);
    json_decref(document);
}

static void test_id_block(void **state) {
    (void)state;
    struct buf block_bytes = load("idblock", "test_id_block.bin");
    struct buf auth_bytes = load("idblock", "test_auth_block.bin");
    struct buf signature = load("idblock", "test_id_sig.bin");
    struct id_block block;
    struct id_block_auth auth;
    struct err err = {0};
    uint8_t again[ID_BLOCK_AUTH_SIZE];
    assert_true(is_ok(id_block_parse(buf_span(&block_bytes), &block, &err)));
    assert_true(is_ok(id_block_auth_parse(buf_span(&auth_bytes), &auth, &err)));
    id_block_encode(&block, again);
    assert_memory_equal(again, block_bytes.data, ID_BLOCK_SIZE);
    id_block_auth_encode(&auth, again);
    assert_memory_equal(again, auth_bytes.data, ID_BLOCK_AUTH_SIZE);
    assert_memory_equal(auth.signature, signature.data, ID_BLOCK_SIGNATURE_SIZE);
    assert_true(auth.has_author);
    assert_true(is_ok(id_block_verify(&block, &auth, &err)));
    block.guest_svn++;
    assert_int_equal(id_block_verify(&block, &auth, &err).code, ERR_SIGNATURE);
    assert_non_null(strstr(err.text, "the ID block under the ID key"));
    block.guest_svn--;
    auth.author_signature[0] ^= 1;
    assert_int_equal(id_block_verify(&block, &auth, &err).code, ERR_SIGNATURE);
    assert_non_null(strstr(err.text, "the ID key under the author key"));
    buf_deinit(&block_bytes);
    buf_deinit(&auth_bytes);
    buf_deinit(&signature);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_chain),  cmocka_unit_test(test_ovmf),
        cmocka_unit_test(test_svsm),        cmocka_unit_test(test_igvm),
        cmocka_unit_test(test_key_digests), cmocka_unit_test(test_id_block),
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
