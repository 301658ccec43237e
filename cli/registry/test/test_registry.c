/* The registry client against a registry that is good, wants to be logged in to, and fails in every
 * way that one can (registry_server.py). Pauses are recorded, not slept.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/registry/image_cache.h"
#include "cli/registry/registry.h"
#include "cli/registry/test/registry_process.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAITS_MAX 128

static struct registry_process server;
static uint64_t waits[WAITS_MAX];
static size_t wait_count;

static void on_wait(void *data, uint64_t ms) {
    (void)data;
    assert_true(wait_count < WAITS_MAX);
    waits[wait_count++] = ms;
}

/* ---- fixture ---- */

static void put(const char *name, const char *text, mode_t mode) {
    char path[256];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", server.folder, name);
    if (!is_ok(file_write(path, span_str(text), mode, &err))) {
        fail_msg("%s", err.text);
    }
}

static void put_credentials(const char *entry) {
    char text[512];
    snprintf(text, sizeof text, "{\"auths\":{\"%s\":%s}}", server.host, entry);
    put("config.json", text, 0600);
}

static int start(void **state) {
    (void)state;
    registry_process_start(&server);
    return 0;
}

static int stop(void **state) {
    (void)state;
    registry_process_stop(&server);
    return 0;
}

static int reset(void **state) {
    (void)state;
    wait_count = 0;
    put("config.json", "{}", 0600);
    return 0;
}

/* Plain http to the server, credentials of its folder, a cache in `cache` (NULL: none). */
static struct registry *open_registry(const char *cache) {
    static const char *insecure[1];
    struct registry *r = NULL;
    struct err err = {0};
    insecure[0] = server.host;
    struct registry_config config = {
        .session = {.insecure = insecure,
                    .insecure_count = 1,
                    .http = {.stall_s = 1},
                    .wait = on_wait},
        .docker_folder = server.folder,
        .cache_folder = cache,
        .no_cache = cache == NULL,
    };
    if (!is_ok(registry_open(&config, &r, &err))) {
        fail_msg("%s", err.text);
    }
    return r;
}

static struct result fetch(const char *mode, struct registry_image *image, struct err *err) {
    struct registry *r = open_registry(NULL);
    struct image_ref ref = registry_process_ref(&server, mode);
    struct result done = registry_fetch_image(r, &ref, NULL, image, err);
    registry_close(r);
    return done;
}

static void assert_app(const struct registry_image *image) {
    assert_string_equal(image->config.user, "1000");
    assert_int_equal(image->layer_count, 2);
    assert_int_equal(image->layers[0].result.passwd.state, LAYER_FILE_ABSENT);
    assert_int_equal(image->layers[1].result.passwd.state, LAYER_FILE_PRESENT);
    assert_int_equal(image->layers[1].result.passwd.content.size, 22);
    for (size_t i = 0; i < image->layer_count; i++) {
        assert_memory_equal(image->layers[i].result.diff_id, image->config.diff_ids[i],
                            SHA256_SIZE);
    }
}

static void assert_fetched(const char *mode) {
    struct registry_image image = {0};
    struct err err = {0};
    if (!is_ok(fetch(mode, &image, &err))) {
        fail_msg("%s: %s", mode, err.text);
    }
    assert_app(&image);
    registry_image_deinit(&image);
}

static void assert_refused(const char *mode, enum err_code code, const char *why) {
    struct registry_image image = {0};
    struct err err = {0};
    struct result r = fetch(mode, &image, &err);
    if (r.code != code || strstr(err.text, why) == NULL || strstr(err.text, server.host) == NULL) {
        fail_msg("%s: want %s '%s', have %s '%s'", mode, err_name(code), why, err_name(r.code),
                 err.text);
    }
    assert_null(image.layers);
}

/* ---- good ---- */

static void test_good(void **state) {
    (void)state;
    struct registry_image image = {0};
    struct err err = {0};
    assert_true(is_ok(fetch("good", &image, &err)));
    assert_app(&image);
    char have[IMAGE_REF_DIGEST_TEXT];
    AUTO(buf_deinit)
    struct buf want = registry_process_get(&server, "digest/good");
    assert_string_equal(image_ref_digest_text(image.digest, have), buf_cstr(&want));
    assert_memory_equal(image.digest, image.manifest_digest, SHA256_SIZE);
    assert_int_equal(image.layers[0].result.coding, LAYER_GZIP);
    assert_int_equal(image.layers[1].result.coding, LAYER_PLAIN);
    assert_int_equal(wait_count, 0);
    registry_image_deinit(&image);
}

static void test_index(void **state) {
    (void)state;
    struct registry_image image = {0};
    assert_true(is_ok(fetch("index", &image, NULL)));
    assert_app(&image);
    char have[IMAGE_REF_DIGEST_TEXT];
    AUTO(buf_deinit)
    struct buf top = registry_process_get(&server, "digest/index");
    AUTO(buf_deinit)
    struct buf below = registry_process_get(&server, "digest/good");
    assert_string_equal(image_ref_digest_text(image.digest, have), buf_cstr(&top));
    assert_string_equal(image_ref_digest_text(image.manifest_digest, have), buf_cstr(&below));
    registry_image_deinit(&image);
}

static void test_resolve(void **state) {
    (void)state;
    struct registry *r = open_registry(NULL);
    struct image_ref ref = registry_process_ref(&server, "index");
    uint8_t digest[SHA256_SIZE];
    char have[IMAGE_REF_DIGEST_TEXT];
    AUTO(buf_deinit)
    struct buf want = registry_process_get(&server, "digest/index");
    assert_true(is_ok(registry_resolve(r, &ref, digest, NULL)));
    assert_string_equal(image_ref_digest_text(digest, have), buf_cstr(&want));
    registry_close(r);
}

/* ---- logging in ---- */

static void test_basic(void **state) {
    (void)state;
    assert_refused("basic", ERR_CONFIG, "docker login");
    put_credentials("{\"auth\":\"YWxpY2U6d3Jvbmc=\"}"); /* alice:wrong */
    assert_refused("basic", ERR_CONFIG, "docker login");
    put_credentials("{\"auth\":\"YWxpY2U6c2VjcmV0\"}"); /* alice:secret */
    assert_fetched("basic");
}

static void test_bearer(void **state) {
    (void)state;
    assert_refused("bearer", ERR_CONFIG, "refuses anonymous access");
    put_credentials("{\"username\":\"alice\",\"password\":\"secret\"}");
    unsigned before = registry_process_count(&server, "token", "bearer");
    assert_fetched("bearer");
    /* One token for manifest, config and layers. */
    assert_int_equal(registry_process_count(&server, "token", "bearer"), before + 1);
}

static void test_anonymous_token(void **state) {
    (void)state;
    assert_fetched("anon");
}

static void test_identity_token(void **state) {
    (void)state;
    put_credentials("{\"identitytoken\":\"refresh/1+2\"}");
    assert_fetched("identity");
    put_credentials("{\"identitytoken\":\"old\"}");
    assert_refused("identity", ERR_CONFIG, "refuses the credentials");
}

static void test_token_runs_out(void **state) {
    (void)state;
    assert_fetched("expire");
    assert_true(registry_process_count(&server, "token", "expire") >= 4);
}

static void test_token_server_is_busy(void **state) {
    (void)state;
    assert_fetched("token_busy");
    assert_int_equal(wait_count, 1);
    assert_true(waits[0] >= 2000);
}

static void test_refused(void **state) {
    (void)state;
    assert_refused("token_refuses", ERR_CONFIG, "status 401");
    assert_refused("forbidden", ERR_CONFIG, "DENIED: not yours");
}

static void test_helper(void **state) {
    (void)state;
    char text[512];
    const char *path = getenv("PATH");
    snprintf(text, sizeof text, "%s:%s", server.folder, path != NULL ? path : "");
    char *old = strdup(path != NULL ? path : "");
    setenv("PATH", text, 1);
    snprintf(text, sizeof text,
             "#!/bin/sh\nread -r server\ntest \"$1 $server\" = 'get %s' || exit 3\n"
             "echo '{\"Username\":\"alice\",\"Secret\":\"secret\"}'\n",
             server.host);
    put("docker-credential-ours", text, 0700);
    put("config.json", "{\"credsStore\":\"ours\"}", 0600);
    assert_fetched("basic");
    snprintf(text, sizeof text, "{\"credHelpers\":{\"%s\":\"ours\"},\"credsStore\":\"no\"}",
             server.host);
    put("config.json", text, 0600);
    assert_fetched("bearer");
    setenv("PATH", old, 1);
    free(old);
    assert_refused("basic", ERR_CONFIG, "docker-credential-ours");
}

/* ---- redirects ---- */

static void test_redirect_loses_credentials(void **state) {
    (void)state;
    put_credentials("{\"auth\":\"YWxpY2U6c2VjcmV0\"}");
    assert_fetched("redirect");
    assert_int_equal(registry_process_count(&server, "elsewhere", "redirect"), 2);
    assert_int_equal(registry_process_count(&server, "leak", "redirect"), 0);
    /* The same origin is no other one: the counter does count. */
    assert_fetched("redirect_same");
    assert_int_equal(registry_process_count(&server, "leak", "redirect_same"), 2);
}

/* Whoever stores the blobs does not learn the password by naming a token server. */
static void test_stranger_wants_a_token(void **state) {
    (void)state;
    put_credentials("{\"auth\":\"YWxpY2U6c2VjcmV0\"}");
    assert_refused("stranger", ERR_UNAVAILABLE, "another server, which denies access (status 401");
    assert_int_equal(registry_process_count(&server, "token", "stranger"), 0);
}

/* A signed address that ran out: the registry is asked for another one. */
static void test_redirect_ran_out(void **state) {
    (void)state;
    assert_fetched("moved");
    assert_int_equal(wait_count, 1);
}

/* ---- patience ---- */

static void test_retry_after(void **state) {
    (void)state;
    assert_fetched("busy");
    assert_int_equal(wait_count, 2);
    assert_true(waits[0] >= 7000 && waits[1] >= 7000);
}

static void test_gateway(void **state) {
    (void)state;
    assert_fetched("gateway");
    assert_int_equal(wait_count, 3);
    for (size_t i = 0; i < wait_count; i++) { /* doubles, with jitter on top */
        uint64_t least = (uint64_t)LIMIT_REGISTRY_BACKOFF_MS << i;
        assert_true(waits[i] >= least && waits[i] <= least + least / 2);
    }
}

static void test_gives_up(void **state) {
    (void)state;
    struct registry_image image = {0};
    struct err err = {0};
    assert_refused("down", ERR_UNAVAILABLE, "status 503");
    assert_int_equal(wait_count, LIMIT_REGISTRY_ATTEMPTS - 1);
    wait_count = 0;
    assert_int_equal(fetch("patience", &image, &err).code, ERR_BUSY);
    assert_int_equal(wait_count, 0);
    assert_int_equal(err.retry_ms, 3600000); /* what the header asks, as far as anybody waits */
}

static void test_resume(void **state) {
    (void)state;
    assert_fetched("torn");
    assert_int_equal(registry_process_count(&server, "blob", "torn"), 6); /* 1 + 4 + 1 */
    assert_fetched("torn_no_range");
    assert_true(registry_process_count(&server, "blob", "torn_no_range") == 4);
}

static void test_resume_when_busy(void **state) {
    (void)state;
    assert_fetched("torn_busy");
    assert_int_equal(wait_count, 2);
    assert_true(waits[1] >= 3000);
}

/* ---- other good ones ---- */

static void test_gzip_members(void **state) {
    (void)state;
    assert_fetched("members");
}

static void test_attestations_are_passed_over(void **state) {
    (void)state;
    assert_fetched("attested");
}

/* ---- every other way to fail ---- */

static const struct {
    const char *mode;
    enum err_code code;
    const char *why;
} WRONG[] = {
    {"missing", ERR_NOT_FOUND, "MANIFEST_UNKNOWN"},
    {"teapot", ERR_MALFORMED, "status 418"},
    {"endless", ERR_TOO_LARGE, "more than 4194304 bytes"},
    {"headers", ERR_MALFORMED, "headers"},
    {"html", ERR_MALFORMED, "manifest: line 1"},
    {"wrong_type", ERR_MALFORMED, "contradicts"},
    {"schema1", ERR_INVALID, "schema 1"},
    {"foreign", ERR_INVALID, "outside the registry"},
    {"arm", ERR_INVALID, "linux/arm64"},
    {"arm_index", ERR_INVALID, "not built for linux/amd64"},
    {"nested", ERR_MALFORMED, "nest"},
    {"wrong_size", ERR_DIFFERS, "another digest or size"},
    {"diff_count", ERR_MALFORMED, "2 layers, the image's config 1"},
    {"diff_id", ERR_DIFFERS, "layer 1 of 2"},
    {"artifact", ERR_INVALID, "no container image: its config is 'application/vnd.oci.empty"},
    {"trailing", ERR_MALFORMED, "bytes after the end"},
    {"cut_gzip", ERR_MALFORMED, "layer 1 of 2"},
    {"no_gzip", ERR_MALFORMED, "layer 1 of 2"},
    {"bomb", ERR_TOO_LARGE, "layer 1 of 1"},
    {"corrupt", ERR_DIFFERS, "other bytes"},
    {"short", ERR_DIFFERS, "the manifest says"},
    {"long", ERR_DIFFERS, "the manifest says"},
    {"long_chunked", ERR_DIFFERS, "sends more than"},
    {"short_chunked", ERR_DIFFERS, "fewer bytes"},
    {"torn_always", ERR_UNAVAILABLE, "layer 1 of 2"},
    {"wrong_range", ERR_MALFORMED, "another part"},
    {"no_http", ERR_MALFORMED, "layer 1 of 2"},
    {"loop", ERR_MALFORMED, "redirects"},
    {"to_file", ERR_MALFORMED, "away from https"},
    {"to_user", ERR_MALFORMED, "names a user"},
};

static void test_wrong(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(WRONG); i++) {
        wait_count = 0;
        assert_refused(WRONG[i].mode, WRONG[i].code, WRONG[i].why);
        assert_true(wait_count < LIMIT_REGISTRY_ATTEMPTS);
    }
}

static void test_altered_manifest(void **state) {
    (void)state;
    struct registry *r = open_registry(NULL);
    struct image_ref ref = registry_process_ref(&server, "altered");
    struct registry_image image = {0};
    struct err err = {0};
    ref.has_digest = true; /* of other bytes */
    struct result done = registry_fetch_image(r, &ref, NULL, &image, &err);
    assert_int_equal(done.code, ERR_DIFFERS);
    assert_non_null(strstr(err.text, "another digest or size"));
    registry_close(r);
}

static void test_stall(void **state) {
    (void)state;
    assert_fetched("stall"); /* by the deadline for silence, then Range */
    assert_int_equal(wait_count, 1);
}

static void test_drip(void **state) {
    (void)state;
    assert_fetched("drip");
    assert_int_equal(wait_count, 1);
}

static void test_silent_document(void **state) {
    (void)state;
    struct registry *r = NULL;
    struct image_ref ref = registry_process_ref(&server, "silent");
    struct registry_image image = {0};
    struct err err = {0};
    const char *const insecure[] = {server.host};
    const struct registry_config config = {.session = {.insecure = insecure,
                                                       .insecure_count = 1,
                                                       .http = {.total_ms = 100},
                                                       .wait = on_wait},
                                           .docker_folder = server.folder,
                                           .no_cache = true};
    assert_true(is_ok(registry_open(&config, &r, &err)));
    assert_int_equal(registry_fetch_image(r, &ref, NULL, &image, &err).code, ERR_UNAVAILABLE);
    assert_int_equal(wait_count, LIMIT_REGISTRY_ATTEMPTS - 1);
    assert_non_null(strstr(err.text, "this was the last attempt"));
    registry_close(r);
}

static void test_nobody_there(void **state) {
    (void)state;
    struct registry *r = open_registry(NULL);
    struct image_ref ref;
    struct registry_image image = {0};
    struct err err = {0};
    assert_true(is_ok(image_ref_parse(span_str("127.0.0.1:1/a"), &ref, NULL)));
    assert_int_equal(registry_fetch_image(r, &ref, NULL, &image, &err).code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    registry_close(r);
}

/* ---- TLS, mirrors, proxies ---- */

static struct result fetch_by(struct registry_session_config session, const char *name,
                              struct err *err) {
    struct registry *r = NULL;
    struct image_ref ref;
    struct registry_image image = {0};
    session.wait = on_wait;
    const struct registry_config config = {
        .session = session, .docker_folder = server.folder, .no_cache = true};
    assert_true(is_ok(image_ref_parse(span_str(name), &ref, err)));
    assert_true(is_ok(registry_open(&config, &r, err)));
    struct result done = registry_fetch_image(r, &ref, NULL, &image, err);
    if (is_ok(done)) {
        assert_app(&image);
    }
    registry_image_deinit(&image);
    registry_close(r);
    return done;
}

static void test_tls(void **state) {
    (void)state;
    char name[64];
    char ca[128];
    struct err err = {0};
    snprintf(name, sizeof name, "127.0.0.1:%d/good/app:1", server.tls_port);
    snprintf(ca, sizeof ca, "%s/tls.pem", server.folder);
    struct registry_session_config with = {.http = {.ca_file = ca}};
    struct registry_session_config without = {0};
    assert_true(is_ok(fetch_by(with, name, &err)));
    assert_int_equal(fetch_by(without, name, &err).code, ERR_TLS);
    assert_non_null(strstr(err.text, "--registry-ca"));
    /* The name must be that of the certificate. */
    char other[64];
    snprintf(other, sizeof other, "localhost:%d/good/app:1", server.tls_port);
    assert_int_equal(fetch_by(with, other, &err).code, ERR_TLS);
    struct registry_session_config bad_file = {.http = {.ca_file = "/nowhere/ca.pem"}};
    assert_int_equal(fetch_by(bad_file, name, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "/nowhere/ca.pem"));
    /* A redirect does not lead out of it. */
    snprintf(name, sizeof name, "127.0.0.1:%d/downgrade/app:1", server.tls_port);
    assert_int_equal(fetch_by(with, name, &err).code, ERR_MALFORMED);
    assert_non_null(strstr(err.text, "away from https"));
    assert_int_equal(registry_process_count(&server, "elsewhere", "downgrade"), 0);
    /* What speaks no TLS is not spoken to without it. */
    snprintf(name, sizeof name, "%s/good/app:1", server.host);
    assert_int_equal(fetch_by(with, name, &err).code, ERR_TLS);
    snprintf(name, sizeof name, "with --insecure-registry %s", server.host);
    assert_non_null(strstr(err.text, name));
    assert_int_equal(wait_count, 0);
}

static void test_mirror(void **state) {
    (void)state;
    char url[64];
    struct err err = {0};
    struct registry_mirror mirror = {"docker.io", url};
    struct registry_session_config session = {.mirrors = &mirror, .mirror_count = 1};
    snprintf(url, sizeof url, "http://%s", server.host);
    if (!is_ok(fetch_by(session, "good/app:1", &err))) {
        fail_msg("%s", err.text);
    }
    /* The prefix of a proxying project, and its credentials. */
    put_credentials("{\"auth\":\"YWxpY2U6c2VjcmV0\"}");
    snprintf(url, sizeof url, "http://%s/proxy/hub/", server.host);
    assert_true(is_ok(fetch_by(session, "basic/app:1", &err)));
}

static void test_bad_mirrors(void **state) {
    (void)state;
    static const char *const urls[] = {"mirror",      "ftp://m",   "https://",
                                       "https://a@b", "http:///x", "https://m?x"};
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct registry_mirror mirror = {"docker.io", urls[i]};
        const struct registry_config config = {.session = {.mirrors = &mirror, .mirror_count = 1},
                                               .docker_folder = server.folder,
                                               .no_cache = true};
        struct registry *r = NULL;
        assert_int_equal(registry_open(&config, &r, NULL).code, ERR_CONFIG);
    }
}

static void test_proxy(void **state) {
    (void)state;
    char url[64];
    struct err err = {0};
    static const char *const insecure[] = {"registry.invalid"};
    struct registry_session_config session = {.insecure = insecure, .insecure_count = 1};
    snprintf(url, sizeof url, "http://%s", server.host);
    setenv("http_proxy", url, 1);
    struct result r = fetch_by(session, "registry.invalid/good/app:1", &err);
    unsetenv("http_proxy");
    if (!is_ok(r)) {
        fail_msg("%s", err.text);
    }
    assert_true(registry_process_count(&server, "proxy", "registry.invalid") >= 4);
}

/* Through a tunnel, so that the proxy sees nothing; and past it for hosts of no_proxy. */
static void test_tunnel(void **state) {
    (void)state;
    char url[64];
    char name[64];
    char ca[128];
    char host[32];
    struct err err = {0};
    snprintf(url, sizeof url, "http://%s", server.host);
    snprintf(host, sizeof host, "127.0.0.1:%d", server.tls_port);
    snprintf(name, sizeof name, "%s/good/app:1", host);
    snprintf(ca, sizeof ca, "%s/tls.pem", server.folder);
    struct registry_session_config session = {.http = {.ca_file = ca}};
    setenv("HTTPS_PROXY", url, 1);
    setenv("no_proxy", "registry.invalid", 1);
    struct result r = fetch_by(session, name, &err);
    setenv("no_proxy", "127.0.0.1", 1);
    unsigned count = registry_process_count(&server, "connect", host);
    struct result past = fetch_by(session, name, NULL);
    unsetenv("HTTPS_PROXY");
    if (!is_ok(r)) {
        fail_msg("%s", err.text);
    }
    assert_true(count > 0);
    assert_true(is_ok(past));
    assert_int_equal(registry_process_count(&server, "connect", host), count);
}

/* A proxy that cannot be reached is named. */
static void test_no_proxy_there(void **state) {
    (void)state;
    char name[64];
    struct err err = {0};
    snprintf(name, sizeof name, "127.0.0.1:%d/good/app:1", server.tls_port);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "registry.invalid", 1);
    struct result r = fetch_by((struct registry_session_config){0}, name, &err);
    unsetenv("https_proxy");
    setenv("no_proxy", "127.0.0.1", 1);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "127.0.0.1 port 1"));
}

/* ---- the cache ---- */

static void cache_path(char out[128]) {
    snprintf(out, 128, "%s/cache-XXXXXX", server.folder);
    assert_non_null(mkdtemp(out));
}

static void fetch_cached(const char *cache, const char *mode, bool is_cached) {
    struct registry *r = open_registry(cache);
    struct image_ref ref = registry_process_ref(&server, mode);
    struct registry_image image = {0};
    struct err err = {0};
    if (!is_ok(registry_fetch_image(r, &ref, NULL, &image, &err))) {
        fail_msg("%s", err.text);
    }
    assert_app(&image);
    assert_int_equal(image.layers[0].is_cached, is_cached);
    assert_int_equal(image.layers[1].is_cached, is_cached);
    registry_image_deinit(&image);
    registry_close(r);
}

static struct result fetch_offline(const char *cache, const struct image_ref *ref,
                                   struct registry_image *image, struct err *err) {
    struct registry *r = NULL;
    const struct registry_config config = {.cache_folder = cache, .is_offline = true};
    TRY(registry_open(&config, &r, err));
    struct result done = registry_fetch_image(r, ref, NULL, image, err);
    registry_close(r);
    return done;
}

static void test_cache(void **state) {
    (void)state;
    char cache[128];
    cache_path(cache);
    fetch_cached(cache, "good", false);
    unsigned blobs = registry_process_count(&server, "blob", "good");
    fetch_cached(cache, "good", true);
    fetch_cached(cache, "index", true); /* the same layers under another name */
    assert_int_equal(registry_process_count(&server, "blob", "good"), blobs);
}

static void test_offline(void **state) {
    (void)state;
    char cache[128];
    struct image_ref ref = registry_process_ref(&server, "index");
    struct registry_image image = {0};
    struct err err = {0};
    cache_path(cache);
    assert_int_equal(fetch_offline(cache, &ref, &image, &err).code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "offline"));
    fetch_cached(cache, "index", false);
    unsigned asked = registry_process_count(&server, "manifest", "index");
    assert_true(is_ok(fetch_offline(cache, &ref, &image, &err)));
    assert_app(&image);
    memcpy(ref.digest, image.digest, sizeof ref.digest);
    registry_image_deinit(&image);
    ref.has_digest = true;
    assert_true(is_ok(fetch_offline(cache, &ref, &image, &err)));
    registry_image_deinit(&image);
    assert_int_equal(registry_process_count(&server, "manifest", "index"), asked);
}

/* Whatever somebody writes over a file of the cache, it is fetched again and not believed. */
static void test_damaged_cache(void **state) {
    (void)state;
    static const char *const kinds[] = {"documents", "layers", "tags"};
    char cache[128];
    char command[512];
    cache_path(cache);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        fetch_cached(cache, "good", i > 0);
        snprintf(command, sizeof command,
                 "for f in %s/v1/%s/*; do sed -i 's/[0-4]/5/' \"$f\" || exit 1; done", cache,
                 kinds[i]);
        assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a fixed command of a test
        struct registry *r = open_registry(cache);
        struct image_ref ref = registry_process_ref(&server, "good");
        struct registry_image image = {0};
        assert_true(is_ok(registry_fetch_image(r, &ref, NULL, &image, NULL)));
        assert_app(&image);
        assert_int_equal(image.layers[0].is_cached, strcmp(kinds[i], "layers") != 0);
        registry_image_deinit(&image);
        registry_close(r);
    }
}

static void test_foreign_cache(void **state) {
    (void)state;
    char cache[128];
    char path[256];
    struct image_cache *c = NULL;
    struct err err = {0};
    cache_path(cache);
    snprintf(path, sizeof path, "%s/v1", cache);
    assert_true(is_ok(image_cache_open(cache, &c, &err)));
    image_cache_close(c);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(image_cache_open(cache, &c, &err).code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "others own"));
}

#define T(test) cmocka_unit_test_setup(test, reset)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_good),
        T(test_index),
        T(test_resolve),
        T(test_basic),
        T(test_bearer),
        T(test_anonymous_token),
        T(test_identity_token),
        T(test_token_runs_out),
        T(test_token_server_is_busy),
        T(test_refused),
        T(test_helper),
        T(test_redirect_loses_credentials),
        T(test_retry_after),
        T(test_gateway),
        T(test_gives_up),
        T(test_resume),
        T(test_wrong),
        T(test_altered_manifest),
        T(test_stall),
        T(test_nobody_there),
        T(test_tls),
        T(test_mirror),
        T(test_bad_mirrors),
        T(test_proxy),
        T(test_tunnel),
        T(test_no_proxy_there),
        T(test_stranger_wants_a_token),
        T(test_redirect_ran_out),
        T(test_resume_when_busy),
        T(test_gzip_members),
        T(test_attestations_are_passed_over),
        T(test_drip),
        T(test_silent_document),
        T(test_cache),
        T(test_offline),
        T(test_damaged_cache),
        T(test_foreign_cache),
    };
    return cmocka_run_group_tests_name("registry", tests, start, stop);
}
