/* registry-fetch: the registry client as a program of its own, for tests with several processes.
 *
 *   registry-fetch --host HOST --cache DIR [--workers N] [--offline] [--progress] REFERENCE...
 *
 * HOST is spoken to over plain http. Prints one line for each image (reference, digest, root hash
 * of each layer, "cached" or "fetched") and a last one with its peak of resident memory: memory KIB
 * plain|sanitized Exit codes are those of the errors.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/registry/fetch_images.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

#ifndef __has_feature
#define __has_feature(name) 0 /* gcc has macros for it */
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BUILD "sanitized"
#else
#define BUILD "plain"
#endif

struct options {
    const char *host;
    const char *cache;
    size_t workers;
    bool is_offline;
    bool has_progress;
};

static void print_memory(void) {
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            printf("memory %ld %s\n", strtol(line + 6, NULL, 10), BUILD);
        }
    }
    (void)fclose(f);
}

static void print_image(const struct fetch_item *item) {
    char digest[IMAGE_REF_DIGEST_TEXT];
    char root[2 * SHA256_SIZE + 1];
    printf("%s %s", item->where, image_ref_digest_text(item->image.digest, digest));
    for (size_t i = 0; i < item->image.layer_count; i++) {
        const struct registry_layer *l = &item->image.layers[i];
        hex_encode(SPAN(l->result.roots[LAYER_UPSTREAM].root_hash), root);
        printf(" %s:%s", root, l->is_cached ? "cached" : "fetched");
    }
    printf("\n");
}

static RESULT fetch_all(const struct options *o, struct registry *r, char **names, size_t count,
                        struct err *err) {
    struct fetch_progress progress;
    struct fetch_item items[64] = {0};
    CHECK(count <= 64);
    for (size_t i = 0; i < count; i++) {
        items[i].where = names[i];
        TRY(image_ref_parse(span_str(names[i]), &items[i].ref, err));
    }
    fetch_progress_init(&progress, o->has_progress ? FETCH_PROGRESS_AUTO : FETCH_PROGRESS_QUIET,
                        STDERR_FILENO);
    struct result done = fetch_images(r, items, count, o->workers, &progress, err);
    fetch_progress_deinit(&progress);
    for (size_t i = 0; i < count && is_ok(done); i++) {
        print_image(&items[i]);
    }
    for (size_t i = 0; i < count; i++) {
        registry_image_deinit(&items[i].image);
    }
    return done;
}

static RESULT run(const struct options *o, char **names, size_t count, struct err *err) {
    struct registry *r = NULL;
    const char *const insecure[] = {o->host};
    const struct registry_config config = {
        .session = {.insecure = insecure, .insecure_count = 1},
        .session_count = o->workers,
        .cache_folder = o->cache,
        .no_cache = o->cache == NULL,
        .is_offline = o->is_offline,
    };
    TRY(registry_open(&config, &r, err));
    struct result done = fetch_all(o, r, names, count, err);
    registry_close(r);
    return done;
}

int main(int argc, char **argv) {
    static const struct option table[] = {{"host", 1, NULL, 'h'},     {"cache", 1, NULL, 'c'},
                                          {"workers", 1, NULL, 'w'},  {"offline", 0, NULL, 'o'},
                                          {"progress", 0, NULL, 'p'}, {NULL, 0, NULL, 0}};
    struct options o = {.host = "", .workers = fetch_images_workers()};
    struct err err = {0};
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        o.host = c == 'h' ? optarg : o.host;
        o.cache = c == 'c' ? optarg : o.cache;
        o.workers = c == 'w' ? strtoul(optarg, NULL, 10) : o.workers;
        o.is_offline = o.is_offline || c == 'o';
        o.has_progress = o.has_progress || c == 'p';
        if (c == '?') {
            return 2;
        }
    }
    struct result r = run(&o, argv + optind, (size_t)(argc - optind), &err);
    print_memory();
    if (!is_ok(r)) {
        (void)fprintf(stderr, "registry-fetch: %s: %s\n", err_name(r.code), err.text);
        return err_exit_code(r.code);
    }
    return 0;
}
