/* Generate's images against the registry of cli/registry's tests: what the policy gets of an image,
 * what is pinned, and what a user is told.
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

#include "cli/gen_images.h"
#include "cli/registry/test/registry_process.h"
#include "lib/base/log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WHERE "web.yaml:12:16: spec.containers[0].image"

static struct registry_process server;
static struct buf logged;

static void on_log(void *data, enum log_level level, const char *line) {
    (void)data;
    (void)level;
    buf_append_str(&logged, line);
    buf_append_str(&logged, "\n");
}

/* ---- fixture ---- */

static int start(void **state) {
    (void)state;
    registry_process_start(&server);
    setenv("DOCKER_CONFIG", server.folder, 1);
    log_set_sink(on_log, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    log_set_sink(NULL, NULL);
    buf_deinit(&logged);
    registry_process_stop(&server);
    return 0;
}

static int reset(void **state) {
    (void)state;
    buf_clear(&logged);
    return 0;
}

static struct gen_images *open_images(enum layer_dialect dialect) {
    static struct cli_list insecure;
    const struct gen_images_config config = {
        .insecure = &insecure, .no_cache = true, .mode = FETCH_PROGRESS_QUIET, .dialect = dialect};
    struct gen_images *g = NULL;
    struct err err = {0};
    insecure = (struct cli_list){.items = {server.host}, .count = 1};
    if (!is_ok(gen_images_open(&config, &g, &err))) {
        fail_msg("%s", err.text);
    }
    return g;
}

struct name {
    char text[256];
};

static struct name name_of(const char *mode) {
    struct name n;
    snprintf(n.text, sizeof n.text, "%s/%s/app:1", server.host, mode);
    return n;
}

static void add(struct gen_images *g, const char *reference) {
    struct err err = {0};
    if (!is_ok(gen_images_add(g, reference, WHERE, &err))) {
        fail_msg("%s", err.text);
    }
}

static void fetch(struct gen_images *g) {
    struct err err = {0};
    if (!is_ok(gen_images_fetch(g, &err))) {
        fail_msg("%s", err.text);
    }
}

static struct gen_images *fetch_one(const char *mode) {
    struct gen_images *g = open_images(LAYER_UPSTREAM);
    add(g, name_of(mode).text);
    fetch(g);
    return g;
}

static bool was_told(const char *text) {
    return strstr(buf_cstr(&logged), text) != NULL;
}

static size_t lines_told(void) {
    size_t count = 0;
    for (size_t i = 0; i < logged.size; i++) {
        count += logged.data[i] == '\n' ? 1 : 0;
    }
    return count;
}

/* ---- what the policy gets ---- */

static void test_image(void **state) {
    (void)state;
    struct gen_images *g = fetch_one("good");
    struct name name = name_of("good");
    char text[256];
    const struct image *image = image_find(gen_images_list(g), name.text);
    assert_non_null(image);
    assert_string_equal(image_string(image, "User"), "1000");
    assert_memory_equal(image->passwd.data, "root:x:0:0::/:/bin/sh\n", image->passwd.size);
    assert_int_equal(image->group.size, 10);
    assert_int_equal(image->layer_count, 2);
    AUTO(buf_deinit)
    struct buf want = registry_process_get(&server, "ids/good");
    snprintf(text, sizeof text, "%s %s", image->layers[0].id, image->layers[1].id);
    assert_string_equal(text, buf_cstr(&want));
    assert_int_equal(strlen(image->layers[0].root), 64);
    assert_string_not_equal(image->layers[0].root, image->layers[1].root);
    assert_int_equal(logged.size, 0);
    gen_images_close(g);
}

static void test_pin(void **state) {
    (void)state;
    struct gen_images *g = fetch_one("index");
    struct name name = name_of("index");
    char want[512];
    AUTO(buf_deinit)
    struct buf digest = registry_process_get(&server, "digest/index");
    snprintf(want, sizeof want, "%s@%s", name.text, buf_cstr(&digest));
    const char *pinned = gen_images_pin(g, name.text);
    assert_string_equal(pinned, want);
    assert_null(gen_images_pin(g, want));
    assert_null(gen_images_pin(g, "never/added"));
    /* It is the same image under both names. */
    const struct image *a = image_find(gen_images_list(g), name.text);
    const struct image *b = image_find(gen_images_list(g), pinned);
    assert_non_null(b);
    assert_int_equal(b->layer_count, 2);
    assert_memory_equal(a->layers, b->layers, 2 * sizeof *a->layers);
    assert_int_equal(b->passwd.size, a->passwd.size);
    assert_string_equal(image_string(b, "User"), "1000");
    gen_images_close(g);
}

/* A digest and what a tag is pinned to, both in one run: two entries, not three. */
static void test_pinned_already(void **state) {
    (void)state;
    struct gen_images *g = open_images(LAYER_UPSTREAM);
    struct name name = name_of("good");
    char pinned[512];
    AUTO(buf_deinit)
    struct buf digest = registry_process_get(&server, "digest/good");
    snprintf(pinned, sizeof pinned, "%s@%s", name.text, buf_cstr(&digest));
    add(g, name.text);
    add(g, pinned);
    add(g, name.text);
    fetch(g);
    assert_int_equal(gen_images_list(g)->count, 2);
    assert_null(gen_images_pin(g, pinned));
    assert_string_equal(gen_images_pin(g, name.text), pinned);
    gen_images_close(g);
}

static void test_users(void **state) {
    (void)state;
    static const struct {
        const char *mode;
        char passwd; /* its first letter; 0: empty */
        char group;
    } rows[] = {{"replaced", 'b', 'a'}, {"removed", 0, 'a'}, {"opaque", 'b', 0},
                {"gone", 0, 0},         {"again", 'a', 'a'}, {"link", 0, 'a'}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gen_images *g = fetch_one(rows[i].mode);
        const struct image *image = image_find(gen_images_list(g), name_of(rows[i].mode).text);
        char passwd = image->passwd.size > 0 ? (char)image->passwd.data[0] : '\0';
        char group = image->group.size > 0 ? (char)image->group.data[0] : '\0';
        if (passwd != rows[i].passwd || group != rows[i].group) {
            fail_msg("%s: passwd '%c', group '%c'", rows[i].mode, passwd, group);
        }
        gen_images_close(g);
    }
    assert_true(was_told(WHERE ": image '"));
    assert_true(was_told("its etc/passwd is no plain file"));
}

static void test_dialects(void **state) {
    (void)state;
    char roots[LAYER_DIALECTS][65];
    for (size_t d = 0; d < LAYER_DIALECTS; d++) {
        struct gen_images *g = open_images((enum layer_dialect)d);
        buf_clear(&logged);
        add(g, name_of("long_link").text);
        fetch(g);
        const struct image *image = image_find(gen_images_list(g), name_of("long_link").text);
        memcpy(roots[d], image->layers[0].root, 65);
        assert_true(was_told("layer 2 has symbolic links of more than 100 bytes"));
        /* Only one of the indexers leaves the link out. */
        assert_int_equal(was_told("Skipping symlink with long link name"), d == LAYER_UPSTREAM);
        gen_images_close(g);
    }
    assert_string_not_equal(roots[LAYER_UPSTREAM], roots[LAYER_MSFT]);
    assert_true(was_told(roots[LAYER_UPSTREAM])); /* the last run was msft's */
}

/* ---- what a user is told ---- */

static void test_bad_references(void **state) {
    (void)state;
    static const char *const bad[] = {"",    "Nginx",     "nginx:", "nginx@sha256:12",
                                      "a b", "http://x/y"};
    struct gen_images *g = open_images(LAYER_UPSTREAM);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = {0};
        assert_int_equal(gen_images_add(g, bad[i], WHERE, &err).code, ERR_INVALID);
        assert_int_equal(strncmp(err.text, WHERE ": image '", sizeof WHERE + 8), 0);
    }
    fetch(g); /* nothing */
    assert_int_equal(gen_images_list(g)->count, 0);
    gen_images_close(g);
}

static void test_latest(void **state) {
    (void)state;
    static const struct {
        const char *reference;
        const char *told; /* NULL: nothing */
    } rows[] = {
        {"nginx", "image 'nginx' has no tag, which means 'latest'"},
        {"a.example:5000/latest", "has no tag"},
        {"nginx:latest", "image 'nginx:latest' has the tag 'latest'"},
        {"nginx:1.25", NULL},
        {"nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", NULL},
        {"nginx:latest@sha256:0000000000000000000000000000000000000000000000000000000000000000",
         NULL},
    };
    struct gen_images *g = open_images(LAYER_UPSTREAM);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&logged);
        add(g, rows[i].reference);
        add(g, rows[i].reference); /* told once */
        assert_int_equal(lines_told(), rows[i].told != NULL ? 1 : 0);
        assert_true(rows[i].told == NULL || was_told(rows[i].told));
    }
    gen_images_close(g);
}

static void test_failures(void **state) {
    (void)state;
    static const struct {
        const char *mode;
        enum err_code code;
        const char *why;
    } rows[] = {
        {"missing", ERR_NOT_FOUND, "MANIFEST_UNKNOWN"},
        {"arm", ERR_INVALID, "linux/arm64"},
        {"corrupt", ERR_DIFFERS, "layer 2 of 2"},
        {"forbidden", ERR_CONFIG, "DENIED"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gen_images *g = open_images(LAYER_UPSTREAM);
        struct err err = {0};
        add(g, name_of("replaced").text); /* shares no layer with the others */
        add(g, name_of(rows[i].mode).text);
        struct result r = gen_images_fetch(g, &err);
        if (r.code != rows[i].code || strstr(err.text, rows[i].why) == NULL ||
            strncmp(err.text, WHERE ": image ", sizeof WHERE + 7) != 0) {
            fail_msg("%s: %s: %s", rows[i].mode, err_name(r.code), err.text);
        }
        assert_int_equal(gen_images_list(g)->count, 0);
        gen_images_close(g);
    }
}

static void test_options(void **state) {
    (void)state;
    static const char *const bad[] = {"docker.io", "=https://m", "docker.io="};
    for (size_t i = 0; i < COUNT(bad); i++) {
        const struct cli_list mirrors = {.items = {bad[i]}, .count = 1};
        const struct gen_images_config config = {.mirrors = &mirrors, .no_cache = true};
        struct gen_images *g = NULL;
        struct err err = {0};
        assert_int_equal(gen_images_open(&config, &g, &err).code, ERR_USAGE);
        assert_non_null(strstr(err.text, "HOST=URL"));
    }
    const struct gen_images_config config = {.no_cache = true, .is_offline = true};
    struct gen_images *g = NULL;
    assert_int_equal(gen_images_open(&config, &g, NULL).code, ERR_CONFIG);
}

static void test_mirror(void **state) {
    (void)state;
    char text[128];
    snprintf(text, sizeof text, "index.docker.io=http://%s", server.host);
    const struct cli_list mirrors = {.items = {text}, .count = 1};
    const struct gen_images_config config = {
        .mirrors = &mirrors, .no_cache = true, .mode = FETCH_PROGRESS_QUIET};
    struct gen_images *g = NULL;
    assert_true(is_ok(gen_images_open(&config, &g, NULL)));
    add(g, "good/app:1");
    fetch(g);
    assert_int_equal(strncmp(gen_images_pin(g, "good/app:1"), "good/app:1@sha256:", 18), 0);
    gen_images_close(g);
}

#define T(test) cmocka_unit_test_setup(test, reset)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_image),    T(test_pin),    T(test_pinned_already), T(test_users),
        T(test_dialects), T(test_latest), T(test_bad_references), T(test_failures),
        T(test_options),  T(test_mirror),
    };
    return cmocka_run_group_tests_name("gen_images", tests, start, stop);
}
