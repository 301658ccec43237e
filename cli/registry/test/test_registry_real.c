/* The registry client against Debian's docker-registry, with images that umoci and skopeo made:
 * gzip, zstd and plain layers, Docker's schema 2, an index (real_registry.py). Skipped where these
 * tools are not installed; with CI=true that is a failure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/registry/registry.h"
#include "lib/base/file.h"

#define HELPER "cli/registry/test/real_registry.py"
#define SKIPPED 77

static char folder[] = "/tmp/contrast-real-registry-XXXXXX";
static char host[32];
static pid_t helper;
static int helper_input;

/* ---- the processes ---- */

static void start_helper(char *line, int size) {
    int input[2];
    int output[2];
    CHECK(mkdtemp(folder) != NULL);
    CHECK(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
    helper = fork();
    CHECK(helper >= 0);
    if (helper == 0) {
        CHECK(dup2(input[0], STDIN_FILENO) >= 0 && dup2(output[1], STDOUT_FILENO) >= 0);
        execlp("python3", "python3", "-B", HELPER, folder, NULL);
        _exit(127);
    }
    close(input[0]);
    close(output[1]);
    helper_input = input[1];
    FILE *f = fdopen(output[0], "r");
    CHECK(f != NULL && fgets(line, size, f) != NULL);
    (void)fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static void stop_helper(void) {
    int status = 0;
    close(helper_input);
    CHECK(waitpid(helper, &status, 0) == helper);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* ---- fetching ---- */

static struct registry *open_registry(void) {
    static const char *insecure[1] = {host};
    struct registry *r = NULL;
    struct err err = {0};
    char cache[128];
    snprintf(cache, sizeof cache, "%s/cache", folder);
    const struct registry_config config = {.session = {.insecure = insecure, .insecure_count = 1},
                                           .docker_folder = folder,
                                           .cache_folder = cache};
    if (!is_ok(registry_open(&config, &r, &err))) {
        fail_msg("%s", err.text);
    }
    return r;
}

static struct image_ref ref_of(const char *name) {
    char text[128];
    struct image_ref ref = {0};
    snprintf(text, sizeof text, "%s/t/%s:1", host, name);
    assert_true(is_ok(image_ref_parse(span_str(text), &ref, NULL)));
    return ref;
}

static void assert_digest(const char *name, const uint8_t digest[SHA256_SIZE]) {
    char path[256];
    char have[IMAGE_REF_DIGEST_TEXT];
    AUTO(buf_deinit)
    struct buf want = {0};
    snprintf(path, sizeof path, "%s/%s.digest", folder, name);
    assert_true(is_ok(file_read(path, 256, &want, NULL)));
    assert_string_equal(image_ref_digest_text(digest, have), buf_cstr(&want));
}

/* `user` stands in the image's passwd: it says which image this is. */
static void assert_image(const char *name, const char *user, enum layer_coding coding) {
    struct registry *r = open_registry();
    struct image_ref ref = ref_of(name);
    struct registry_image image = {0};
    struct err err = {0};
    if (!is_ok(registry_fetch_image(r, &ref, NULL, &image, &err))) {
        fail_msg("%s", err.text);
    }
    assert_digest(name, image.digest);
    assert_string_equal(image.config.user, "1000");
    assert_int_equal(image.layer_count, 2);
    for (size_t i = 0; i < image.layer_count; i++) {
        assert_int_equal(image.layers[i].result.coding, coding);
        assert_false(image.layers[i].is_cached);
    }
    struct layer_file *passwd = &image.layers[0].result.passwd;
    assert_int_equal(passwd->state, LAYER_FILE_PRESENT);
    assert_memory_equal(passwd->content.data, user, strlen(user));
    assert_int_equal(passwd->content.data[strlen(user)], ':');
    registry_image_deinit(&image);
    registry_close(r);
}

static void test_gzip(void **state) {
    (void)state;
    assert_image("gzip", "gzip", LAYER_GZIP);
}

static void test_docker(void **state) {
    (void)state;
    assert_image("docker", "docker", LAYER_GZIP);
}

static void test_zstd(void **state) {
    (void)state;
    assert_image("zstd", "zstd", LAYER_ZSTD);
}

static void test_plain(void **state) {
    (void)state;
    assert_image("plain", "plain", LAYER_PLAIN);
}

static void test_index(void **state) {
    (void)state;
    assert_image("index", "indexamd64", LAYER_GZIP);
}

static void test_no_end_blocks(void **state) {
    (void)state;
    assert_image("bare", "bare", LAYER_GZIP);
}

static void test_artifact(void **state) {
    (void)state;
    struct registry *r = open_registry();
    struct image_ref ref = ref_of("artifact");
    struct registry_image image = {0};
    struct err err = {0};
    assert_int_equal(registry_fetch_image(r, &ref, NULL, &image, &err).code, ERR_INVALID);
    assert_non_null(strstr(err.text, "it is no container image"));
    registry_close(r);
}

static void test_unknown(void **state) {
    (void)state;
    struct registry *r = open_registry();
    struct image_ref ref = ref_of("nothing");
    uint8_t digest[SHA256_SIZE];
    struct err err = {0};
    assert_int_equal(registry_resolve(r, &ref, digest, &err).code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "MANIFEST_UNKNOWN"));
    registry_close(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gzip),          cmocka_unit_test(test_docker),
        cmocka_unit_test(test_zstd),          cmocka_unit_test(test_plain),
        cmocka_unit_test(test_index),         cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_no_end_blocks), cmocka_unit_test(test_artifact),
    };
    char line[256] = "";
    const char *ci = getenv("CI");
    setenv("no_proxy", "127.0.0.1", 1);
    start_helper(line, sizeof line);
    if (strncmp(line, "missing", 7) == 0) {
        stop_helper();
        printf("registry_real: skipped, %sscripts/deps --test installs them\n", line);
        return ci != NULL && strcmp(ci, "true") == 0 ? 1 : SKIPPED;
    }
    snprintf(host, sizeof host, "127.0.0.1:%d", (int)strtol(line, NULL, 10));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    stop_helper();
    return failed;
}
