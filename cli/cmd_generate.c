/* contrast generate.
 *
 *   files -> inspect (unknown fields, warnings) -> inject (initializer, volume, runtime class)
 *         -> policy per pod -> annotation, manifest -> check -> write
 *
 * Every stage maps text to text in memory; nothing is written before all of them succeeded and a
 * second pass over the result changes nothing. Failure: exit 2 with file, line and column.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmd_generate.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/gen_files.h"
#include "cli/gen_manifest.h"
#include "cli/policy/inject.h"
#include "cli/policy/policy_text.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

struct options {
    struct cli_list references;
    struct cli_list owner_keys;
    struct cli_list share_keys;
    int64_t threshold; /* 0 = not given */
    struct cli_list allowed;
    struct cli_list paths;
    const char *manifest;
    const char *output_file;
    const char *image;
    const char *workspace;
};

struct run {
    struct options options;
    struct gen_files inputs;
    struct yaml_file *parsed; /* the inputs, for ConfigMaps and Secrets; owned */
    size_t parsed_count;
    struct gen_files outputs; /* keys, the combined file, the manifest */
    struct gen_manifest manifest;
    struct buf owners; /* comma separated */
    struct buf roots;
    json_t *report; /* one object per policy */
    size_t coordinator_count;
};

static void free_run(struct run *run) {
    gen_files_deinit(&run->inputs);
    gen_files_deinit(&run->outputs);
    for (size_t i = 0; i < run->parsed_count; i++) {
        yaml_file_deinit(&run->parsed[i]);
    }
    mem_free(run->parsed);
    gen_manifest_deinit(&run->manifest);
    buf_deinit(&run->owners);
    buf_deinit(&run->roots);
    json_decref(run->report);
}

/* --- Options */

static RESULT parse_options(struct cli *cli, int argc, char **argv, struct options *o,
                            struct err *err) {
    const struct cli_option table[] = {
        {"reference-values", 0, CLI_STRINGS, &o->references},
        {"add-owner-key", 'w', CLI_STRINGS, &o->owner_keys},
        {"add-seedshare-owner-key", 0, CLI_STRINGS, &o->share_keys},
        {"seedshare-threshold", 0, CLI_NUMBER, &o->threshold},
        {"allow-unknown", 0, CLI_STRINGS, &o->allowed},
        {"manifest", 'm', CLI_STRING, (void *)&o->manifest},
        {"output-file", 'o', CLI_STRING, (void *)&o->output_file},
        {"initializer-image", 0, CLI_STRING, (void *)&o->image},
    };
    TRY(cli_parse(cli, table, sizeof table / sizeof table[0], argc, argv, &o->paths, err));
    ENSURE(o->paths.count > 0, err, USAGE, "name the YAML files or folders; see --help");
    ENSURE(o->threshold >= 0 && o->threshold <= LIMIT_SHARE_OWNERS, err, USAGE,
           "--seedshare-threshold: want a number from 1 to %d", LIMIT_SHARE_OWNERS);
    o->workspace = cli->workspace;
    if (o->image == NULL) {
        o->image = CMD_GENERATE_INITIALIZER;
    }
    return OK;
}

struct path {
    char text[PATH_MAX];
};

static struct path in_workspace(const struct options *o, const char *name) {
    struct path path;
    (void)snprintf(path.text, sizeof path.text, "%s/%s", o->workspace, name);
    return path;
}

static struct path manifest_path(const struct options *o) {
    struct path path = in_workspace(o, "manifest.json");
    if (o->manifest != NULL) {
        (void)snprintf(path.text, sizeof path.text, "%s", o->manifest);
    }
    return path;
}

/* --- Stages: text in, text out */

typedef RESULT stage_fn(struct run *run, const struct workload *w, struct yaml_edits *edits,
                        bool is_check, struct err *err);

static RESULT inject_one(struct run *run, const struct workload *w, struct yaml_edits *edits,
                         bool is_check, struct err *err) {
    (void)is_check;
    const struct inject_config config = {
        .initializer_image = run->options.image,
        .service_mesh_image = CMD_GENERATE_SERVICE_MESH,
        .owner_digests = buf_cstr(&run->owners),
        .permitted_roots = buf_cstr(&run->roots),
    };
    return inject_pod(w, &config, edits, err);
}

static void warn_container(const struct workload *w, const struct yaml_node *container) {
    const struct yaml_node *image = yaml_key(container, "image");
    const struct yaml_node *name = yaml_key(container, "name");
    const char *shown = name != NULL && name->kind == YAML_KIND_SCALAR ? name->value : "?";
    size_t line = container->start.line;
    if (yaml_is_null(image) || image->kind != YAML_KIND_SCALAR ||
        strstr(image->value, "@sha256:") == NULL) {
        log_warn("%s:%zu: container %s: the image has no digest; write image@sha256:...",
                 w->file->name, line, shown);
    }
    if (yaml_is_null(yaml_key(container, "command"))) {
        log_warn("%s:%zu: container %s: no command; this version does not read images, so the "
                 "policy refuses to start it: write the image's entrypoint as command",
                 w->file->name, line, shown);
    }
}

static void warn_pod(const struct workload *w) {
    static const char *const lists[] = {"initContainers", "containers"};
    for (size_t i = 0; i < 2; i++) {
        const struct yaml_node *list = yaml_key(w->spec, lists[i]);
        for (size_t k = 0; list != NULL && k < list->count; k++) {
            warn_container(w, list->items[k]);
        }
    }
}

static RESULT record(struct run *run, const struct workload *w, struct span policy,
                     struct err *err) {
    uint8_t digest[SHA256_SIZE];
    char hash[2 * SHA256_SIZE + 1];
    sha256(policy, digest);
    hex_encode(SPAN(digest), hash);
    TRY(gen_manifest_add_policy(&run->manifest, hash, w, err));
    run->coordinator_count += w->is_coordinator ? 1 : 0;
    json_array_append_new(run->report, json_pack("{s:s, s:s, s:s, s:s}", "name", w->name, "kind",
                                                 w->kind, "hash", hash, "file", w->file->name));
    return OK;
}

static struct policy_inputs inputs_of(const struct run *run) {
    return (struct policy_inputs){
        .allowed = {run->options.allowed.items, run->options.allowed.count},
        .files = run->parsed,
        .file_count = run->parsed_count,
    };
}

/* Over the file as the user wrote it, so that errors and warnings show its own lines. */
static RESULT inspect_one(struct run *run, const struct workload *w, struct yaml_edits *edits,
                          bool is_check, struct err *err) {
    (void)edits;
    (void)is_check;
    const struct policy_inputs inputs = inputs_of(run);
    AUTO(buf_deinit)
    struct buf policy = {0};
    TRY(policy_text_make(w, &inputs, &policy, err));
    warn_pod(w);
    return OK;
}

static RESULT annotate_one(struct run *run, const struct workload *w, struct yaml_edits *edits,
                           bool is_check, struct err *err) {
    const struct policy_inputs inputs = inputs_of(run);
    AUTO(buf_deinit)
    struct buf policy = {0};
    TRY(policy_text_make(w, &inputs, &policy, err));
    if (!is_check) {
        TRY(record(run, w, buf_span(&policy), err));
    }
    return inject_policy(w, buf_span(&policy), edits, err);
}

static RESULT edit_all(struct run *run, const struct yaml_file *file, stage_fn *stage,
                       bool is_check, struct yaml_edits *edits, struct err *err) {
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    TRY(workload_find(file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        const struct workload *w = &list.items[i];
        if (w->is_confidential) {
            TRY(stage(run, w, edits, is_check, err));
        } else if (stage == inspect_one) {
            log_warn("%s:%zu: %s/%s has another runtime class and stays as it is", file->name,
                     w->pod->start.line, w->kind, w->name);
        }
    }
    return OK;
}

/* Appends the text after the stage to `out`. */
static RESULT run_stage(struct run *run, const char *name, struct span text, stage_fn *stage,
                        bool is_check, struct buf *out, struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    TRY(yaml_parse(name, text, &file, err));
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits;
    yaml_edits_init(&edits, &file);
    TRY(edit_all(run, &file, stage, is_check, &edits, err));
    return yaml_edits_apply(&edits, out, err);
}

/* What comes out must be what a second run would leave alone. */
static RESULT check_fixpoint(struct run *run, const struct gen_file *file, struct err *err) {
    stage_fn *const stages[] = {inject_one, annotate_one};
    for (size_t i = 0; i < 2; i++) {
        AUTO(buf_deinit)
        struct buf again = {0};
        TRY(run_stage(run, file->name, buf_span(&file->after), stages[i], true, &again, err));
        ENSURE(span_equal(buf_span(&again), buf_span(&file->after)), err, INVALID,
               "%s: this layout of YAML cannot be edited safely; write its pods in block style",
               file->name);
    }
    return OK;
}

static RESULT process(struct run *run, struct gen_file *file, struct err *err) {
    AUTO(buf_deinit)
    struct buf injected = {0};
    TRY(run_stage(run, file->name, buf_span(&file->before), inspect_one, false, &injected, err));
    buf_clear(&injected);
    TRY(run_stage(run, file->name, buf_span(&file->before), inject_one, false, &injected, err));
    TRY(run_stage(run, file->name, buf_span(&injected), annotate_one, false, &file->after, err));
    return check_fixpoint(run, file, err);
}

/* --- The run */

static RESULT parse_inputs(struct run *run, struct err *err) {
    run->parsed = mem_calloc(run->inputs.count, sizeof *run->parsed);
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct gen_file *file = &run->inputs.items[i];
        TRY(yaml_parse(file->name, buf_span(&file->before), &run->parsed[i], err));
        run->parsed_count = i + 1;
    }
    return OK;
}

static RESULT prepare(struct run *run, struct err *err) {
    struct options *o = &run->options;
    struct gen_manifest *m = &run->manifest;
    struct path manifest = manifest_path(o);
    TRY(gen_manifest_load(m, manifest.text, err));
    TRY(gen_manifest_read_references(m, &o->references, err));
    for (size_t i = 0; i < o->paths.count; i++) {
        TRY(gen_files_read(&run->inputs, o->paths.items[i], LIMIT_YAML_FILE, err));
    }
    ENSURE(run->inputs.count > 0, err, NOT_FOUND, "no .yml/.yaml files found");
    TRY(parse_inputs(run, err));
    struct path owner = in_workspace(o, "workload-owner.pem");
    TRY(gen_manifest_add_owners(m, &o->owner_keys, owner.text, &run->outputs, err));
    gen_manifest_owner_list(m, &run->owners);
    gen_manifest_root_list(m, &run->roots);
    return OK;
}

static RESULT combine(struct run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf all = {0};
    for (size_t i = 0; i < run->inputs.count; i++) {
        struct gen_file *file = &run->inputs.items[i];
        struct buf *text = &file->after;
        if (i > 0 && (text->size < 3 || memcmp(text->data, "---", 3) != 0)) {
            buf_append_str(&all, "---\n");
        }
        buf_append_span(&all, buf_span(text));
        if (all.size > 0 && all.data[all.size - 1] != '\n') {
            buf_append_str(&all, "\n");
        }
    }
    return gen_files_add(&run->outputs, run->options.output_file, buf_span(&all), 0644, err);
}

static RESULT finish_manifest(struct run *run, struct err *err) {
    ENSURE(run->coordinator_count > 0, err, NOT_FOUND,
           "No Coordinator resource found, did you forget to add it to your resources?");
    struct options *o = &run->options;
    struct path share = in_workspace(o, "seedshare-owner.pem");
    gen_manifest_set_threshold(&run->manifest, o->threshold);
    TRY(gen_manifest_add_shares(&run->manifest, &o->share_keys, share.text, &run->outputs, err));
    AUTO(buf_deinit)
    struct buf text = {0};
    struct result r = gen_manifest_print(&run->manifest, &text, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "the manifest that this would make");
    }
    struct path manifest = manifest_path(o);
    return gen_files_add(&run->outputs, manifest.text, buf_span(&text), 0644, err);
}

/* YAML and outputs in one list, so that they are written together or not at all. */
static RESULT write_all(struct run *run, size_t *written, struct err *err) {
    struct gen_files all = {0};
    size_t inputs = run->options.output_file == NULL ? run->inputs.count : 0;
    size_t outputs = run->outputs.count;
    all.items = mem_calloc(inputs + outputs, sizeof *all.items);
    all.count = inputs + outputs;
    if (inputs > 0) {
        memcpy(all.items, run->inputs.items, inputs * sizeof *all.items);
    }
    memcpy(all.items + inputs, run->outputs.items, outputs * sizeof *all.items);
    struct result r = gen_files_write(&all, written, err);
    mem_free(all.items);
    return r;
}

static void print_report(struct cli *cli, struct run *run, size_t written) {
    struct path manifest = manifest_path(&run->options);
    if (cli->json) {
        cli_print_json(cli,
                       json_pack("{s:O, s:s}", "policies", run->report, "manifest", manifest.text));
        return;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    for (size_t i = 0; i < json_array_size(run->report); i++) {
        const json_t *p = json_array_get(run->report, i);
        buf_appendf(&text, "%s  %s/%s\n", json_string_value(json_object_get(p, "hash")),
                    json_string_value(json_object_get(p, "kind")),
                    json_string_value(json_object_get(p, "name")));
    }
    buf_appendf(&text, "%s: %zu policies, %zu files changed\n", manifest.text,
                json_array_size(run->report), written);
    cli_print_text(buf_span(&text));
}

static RESULT generate(struct run *run, size_t *written, struct err *err) {
    TRY(prepare(run, err));
    for (size_t i = 0; i < run->inputs.count; i++) {
        TRY(process(run, &run->inputs.items[i], err));
    }
    TRY(finish_manifest(run, err));
    if (run->options.output_file != NULL) {
        TRY(combine(run, err));
    }
    return write_all(run, written, err);
}

RESULT cmd_generate(struct cli *cli, int argc, char **argv, struct err *err) {
    AUTO(free_run)
    struct run run = {.report = json_array()};
    gen_manifest_init(&run.manifest);
    TRY(parse_options(cli, argc, argv, &run.options, err));
    size_t written = 0;
    TRY(generate(&run, &written, err));
    print_report(cli, &run, written);
    return OK;
}
