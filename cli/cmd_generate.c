/* contrast generate: options and report around gen_run.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_generate.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/gen_run.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

/* --- Options */

static RESULT choose(const char *option, const char *value, const char *const *names, size_t count,
                     size_t *out, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        if (value == NULL || strcmp(value, names[i]) == 0) {
            *out = i;
            return OK;
        }
    }
    AUTO(buf_deinit)
    struct buf list = {0};
    for (size_t i = 0; i < count; i++) {
        buf_appendf(&list, "%s%s", i > 0 ? " or " : "", names[i]);
    }
    return err_set(err, ERR_USAGE, "--%s: want %s", option, buf_cstr(&list));
}

static RESULT choose_progress(const char *value, enum fetch_progress_mode *out, struct err *err) {
    static const char *const names[] = {"auto", "json", "none"};
    size_t index = 0;
    TRY(choose("progress", value, names, 3, &index, err));
    if (index == 0) {
        *out = isatty(STDERR_FILENO) == 1 ? FETCH_PROGRESS_TERMINAL : FETCH_PROGRESS_JSON;
    } else {
        *out = index == 1 ? FETCH_PROGRESS_JSON : FETCH_PROGRESS_QUIET;
    }
    return OK;
}

static RESULT choose_dialect(const char *value, enum layer_dialect *out, struct err *err) {
    static const char *const names[] = {"upstream", "msft"};
    size_t index = 0;
    TRY(choose("layer-dialect", value, names, 2, &index, err));
    *out = index == 0 ? LAYER_UPSTREAM : LAYER_MSFT;
    return OK;
}

static bool has_stream(const struct cli_list *paths) {
    for (size_t i = 0; i < paths->count; i++) {
        if (strcmp(paths->items[i], "-") == 0) {
            return true;
        }
    }
    return false;
}

/* Standard output takes one document: the YAML of "-", or the report as JSON. */
static bool is_yaml_printed(const struct gen_options *o) {
    return o->output_file != NULL ? strcmp(o->output_file, "-") == 0 : has_stream(&o->paths);
}

static RESULT check_options(const struct cli *cli, const struct gen_options *o, struct err *err) {
    ENSURE(o->paths.count > 0, err, USAGE,
           "name the YAML files or folders, or - for standard input; see --help");
    ENSURE(o->threshold >= 0 && o->threshold <= LIMIT_SHARE_OWNERS, err, USAGE,
           "--seedshare-threshold: want a number from 1 to %d", LIMIT_SHARE_OWNERS);
    ENSURE(!cli->json || !is_yaml_printed(o), err, USAGE,
           "--output json and the YAML of - cannot share standard output: add --output-file FILE");
    ENSURE(!o->skip_images || (!o->images.is_offline && o->mirrors.count == 0), err, USAGE,
           "--skip-images reads no image: leave out --offline and --registry-mirror");
    ENSURE(!o->skip_images || o->pause_image == NULL, err, USAGE,
           "--skip-images reads no image: leave out --pause-image");
    return OK;
}

static RESULT parse_options(struct cli *cli, int argc, char **argv, struct gen_options *o,
                            struct err *err) {
    const char *progress = NULL;
    const char *dialect = NULL;
    const struct cli_option table[] = {
        {"reference-values", 0, CLI_STRINGS, &o->references},
        {"add-owner-key", 'w', CLI_STRINGS, &o->owner_keys},
        {"add-seedshare-owner-key", 0, CLI_STRINGS, &o->share_keys},
        {"seedshare-threshold", 0, CLI_NUMBER, &o->threshold},
        {"allow-unknown", 0, CLI_STRINGS, &o->allowed},
        {"manifest", 'm', CLI_STRING, (void *)&o->manifest},
        {"output-file", 'o', CLI_STRING, (void *)&o->output_file},
        {"initializer-image", 0, CLI_STRING, (void *)&o->inject.initializer_image},
        {"service-mesh-image", 0, CLI_STRING, (void *)&o->inject.service_mesh_image},
        {"coordinator-host", 0, CLI_STRING, (void *)&o->inject.coordinator_host},
        {"runtime-class", 0, CLI_STRING, (void *)&o->inject.runtime_class},
        {"skip-initializer", 0, CLI_FLAG, &o->inject.skip_initializer},
        {"force", 0, CLI_FLAG, &o->inject.force},
        {"registry-mirror", 0, CLI_STRINGS, &o->mirrors},
        {"insecure-registry", 0, CLI_STRINGS, &o->insecure},
        {"registry-ca", 0, CLI_STRING, (void *)&o->images.ca_file},
        {"cache", 0, CLI_STRING, (void *)&o->images.cache_folder},
        {"offline", 0, CLI_FLAG, &o->images.is_offline},
        {"no-cache", 0, CLI_FLAG, &o->images.no_cache},
        {"skip-images", 0, CLI_FLAG, &o->skip_images},
        {"pause-image", 0, CLI_STRING, (void *)&o->pause_image},
        {"progress", 0, CLI_STRING, (void *)&progress},
        {"layer-dialect", 0, CLI_STRING, (void *)&dialect},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, &o->paths, err));
    TRY(choose_progress(progress, &o->images.mode, err));
    TRY(choose_dialect(dialect, &o->images.dialect, err));
    o->workspace = cli->workspace;
    if (o->inject.initializer_image == NULL) {
        o->inject.initializer_image = CMD_GENERATE_INITIALIZER;
    }
    if (o->inject.service_mesh_image == NULL) {
        o->inject.service_mesh_image = CMD_GENERATE_SERVICE_MESH;
    }
    return check_options(cli, o, err);
}

/* --- Report */

static void append_report(const struct gen_run *run, const char *manifest, struct buf *text) {
    for (size_t i = 0; i < json_array_size(run->report); i++) {
        const json_t *p = json_array_get(run->report, i);
        buf_appendf(text, "%s  %s/%s\n", json_string_value(json_object_get(p, "hash")),
                    json_string_value(json_object_get(p, "kind")),
                    json_string_value(json_object_get(p, "name")));
    }
    buf_appendf(text, "%s: %zu policies, %zu files changed\n", manifest,
                json_array_size(run->report), run->written);
}

static void print_report(struct cli *cli, const struct gen_run *run) {
    char path[PATH_MAX];
    const char *manifest = gen_run_manifest_path(run, path, sizeof path);
    if (cli->json) {
        cli_print_json(cli, json_pack("{s:O, s:s, s:I}", "policies", run->report, "manifest",
                                      manifest, "files_changed", (json_int_t)run->written));
        return;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    append_report(run, manifest, &text);
    if (is_yaml_printed(&run->options)) {
        (void)fputs(buf_cstr(&text), stderr);
    } else {
        cli_print_text(buf_span(&text));
    }
}

RESULT cmd_generate(struct cli *cli, int argc, char **argv, struct err *err) {
    struct gen_options options = {0};
    TRY(parse_options(cli, argc, argv, &options, err));
    AUTO(gen_run_deinit)
    struct gen_run run;
    gen_run_init(&run, &options);
    run.options.images.mirrors = &run.options.mirrors;
    run.options.images.insecure = &run.options.insecure;
    if (options.skip_images) {
        log_warn("--skip-images: policies bind images by their names alone; with the profile "
                 "\"annotation\" the host can exchange them");
    }
    TRY(gen_run_all(&run, err));
    print_report(cli, &run);
    return OK;
}
