/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/snp_product.h"
#include "coordinator/endorse_source.h"

struct folder {
    struct config config;
    char path[64];
    struct endorse_source *source;
    size_t taken;
};

static int setup(void **state) {
    struct folder *f = mem_zalloc(sizeof *f);
    snprintf(f->path, sizeof f->path, "/tmp/endorse-source-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->config.kds_url, sizeof f->config.kds_url, "off");
    snprintf(f->config.endorsements, sizeof f->config.endorsements, "%s", f->path);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct folder *f = *state;
    endorse_source_close(f->source);
    rmdir(f->path);
    mem_free(f);
    return 0;
}

static void on_item(void *data, const struct entry_collateral *item) {
    struct folder *f = data;
    (void)item;
    f->taken++;
}

static struct result open_source(struct folder *f, struct err *err) {
    return endorse_source_open(&f->config, &host_system, NULL, on_item, f, &f->source, err);
}

static void test_a_path_that_is_not_there_is_named(void **state) {
    struct folder *f = *state;
    struct err err;
    char want[128];
    snprintf(f->config.endorsements, sizeof f->config.endorsements, "%s/nothing", f->path);
    snprintf(want, sizeof want, "CONTRAST_ENDORSEMENTS: %s/nothing: No such file or directory",
             f->path);
    assert_int_equal(open_source(f, &err).code, ERR_CONFIG);
    assert_string_equal(err.text, want);
    assert_null(f->source);
}

static void test_an_empty_folder_and_no_service(void **state) {
    struct folder *f = *state;
    struct entry_endorsement key = {.product = SNP_MILAN};
    struct err err;
    assert_true(is_ok(open_source(f, &err)));
    assert_int_equal(f->taken, 0);
    assert_false(endorse_source_has_service(f->source));
    assert_int_equal(endorse_source_fetch(f->source, &key, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "CONTRAST_KDS_URL"));
}

static void test_what_is_no_certificate_is_not_taken(void **state) {
    struct folder *f = *state;
    struct err err;
    char name[96];
    snprintf(name, sizeof name, "%s/notes.txt", f->path);
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_true(is_ok(open_source(f, &err)));
    assert_int_equal(unlink(name), 0);
    assert_int_equal(f->taken, 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_path_that_is_not_there_is_named),
        T(test_an_empty_folder_and_no_service),
        T(test_what_is_no_certificate_is_not_taken),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
