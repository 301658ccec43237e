/* A run of generate: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_run.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/gen_objects.h"
#include "cli/policy/kind_note.h"
#include "cli/policy/policy_text.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

static const char *const LISTS[] = {"initContainers", "containers"};

void gen_run_init(struct gen_run *run, const struct gen_options *options) {
    *run = (struct gen_run){.options = *options, .report = json_array()};
    gen_manifest_init(&run->manifest);
}

void gen_run_deinit(struct gen_run *run) {
    gen_files_deinit(&run->inputs);
    gen_files_deinit(&run->outputs);
    for (size_t i = 0; i < run->parsed_count; i++) {
        yaml_file_deinit(&run->parsed[i]);
    }
    mem_free(run->parsed);
    gen_manifest_deinit(&run->manifest);
    gen_images_close(run->images);
    buf_deinit(&run->owners);
    buf_deinit(&run->roots);
    json_decref(run->report);
    *run = (struct gen_run){0};
}

static void in_workspace(const struct gen_options *o, const char *name, char *out, size_t size) {
    (void)snprintf(out, size, "%s/%s", o->workspace, name);
}

const char *gen_run_manifest_path(const struct gen_run *run, char *out, size_t size) {
    if (run->options.manifest != NULL) {
        (void)snprintf(out, size, "%s", run->options.manifest);
    } else {
        in_workspace(&run->options, "manifest.json", out, size);
    }
    return out;
}

/* --- Stages: text in, text out */

typedef RESULT stage_fn(struct gen_run *run, const struct workload *w, struct yaml_edits *edits,
                        bool is_check, struct err *err);

static struct policy_inputs inputs_of(const struct gen_run *run, bool with_images) {
    return (struct policy_inputs){
        .allowed = {run->options.allowed.items, run->options.allowed.count},
        .images = with_images && run->images != NULL ? gen_images_list(run->images) : NULL,
        .files = run->parsed,
        .file_count = run->parsed_count,
        .pause_image = with_images ? run->options.pause_image : NULL,
    };
}

static const char *scalar_of(const struct yaml_node *node) {
    return node != NULL && node->kind == YAML_KIND_SCALAR && !yaml_is_null(node) ? node->value
                                                                                 : NULL;
}

/* What a user must know who has no images read. */
static void warn_container(const struct workload *w, const struct yaml_node *container) {
    const char *image = scalar_of(yaml_key(container, "image"));
    const char *name = scalar_of(yaml_key(container, "name"));
    size_t line = container->start.line;
    if (name != NULL && strncmp(name, "contrast-", 9) == 0) {
        return; /* added by an earlier run: nobody can write a command for it */
    }
    if (image == NULL || strstr(image, "@sha256:") == NULL) {
        log_warn("%s:%zu: container %s: the image has no digest; write image@sha256:...",
                 w->file->name, line, name != NULL ? name : "?");
    }
    if (yaml_is_null(yaml_key(container, "command"))) {
        log_warn("%s:%zu: container %s: no command, and with --skip-images nobody reads the "
                 "image's: the policy refuses to start it; write the entrypoint as command",
                 w->file->name, line, name != NULL ? name : "?");
    }
}

static void each_container(const struct workload *w,
                           void (*visit)(const struct workload *w, const struct yaml_node *item)) {
    for (size_t i = 0; i < 2; i++) {
        const struct yaml_node *list = yaml_key(w->spec, LISTS[i]);
        for (size_t k = 0; list != NULL && k < list->count; k++) {
            visit(w, list->items[k]);
        }
    }
}

static void on_warning(void *context, const char *text) {
    (void)context;
    log_warn("%s", text);
}

/* Over the file as the user wrote it, so that errors and warnings show its own lines. */
static RESULT inspect_one(struct gen_run *run, const struct workload *w, struct yaml_edits *edits,
                          bool is_check, struct err *err) {
    (void)edits;
    (void)is_check;
    struct policy_inputs inputs = inputs_of(run, false);
    inputs.warner = (struct policy_warner){on_warning, NULL};
    AUTO(buf_deinit)
    struct buf policy = {0};
    TRY(policy_text_make(w, &inputs, &policy, err));
    if (run->options.skip_images) {
        each_container(w, warn_container);
    }
    return OK;
}

static RESULT inject_one(struct gen_run *run, const struct workload *w, struct yaml_edits *edits,
                         bool is_check, struct err *err) {
    (void)is_check;
    struct inject_config config = run->options.inject;
    config.owner_digests = buf_cstr(&run->owners);
    config.permitted_roots = buf_cstr(&run->roots);
    return inject_pod(w, &config, edits, err);
}

/* What begins errors about an image: the user's line, or for a container that is not in the user's
 * file what it is. */
static void say_where(const struct workload *w, const char *list, size_t index, bool is_injected,
                      char *out, size_t size) {
    const struct yaml_node *container = yaml_key(w->spec, list)->items[index];
    const struct yaml_node *image = yaml_key(container, "image");
    const char *name = scalar_of(yaml_key(container, "name"));
    if (is_injected) {
        (void)snprintf(out, size, "%s: %s/%s: the added container %s", w->file->name, w->kind,
                       w->name, name != NULL ? name : "?");
    } else {
        (void)snprintf(out, size, "%s:%zu:%zu: %sspec.%s[%zu].image", w->file->name,
                       image->start.line, image->start.column, w->pod_path, list, index);
    }
}

static RESULT collect(struct gen_run *run, const struct workload *w, bool is_injected,
                      struct err *err) {
    for (size_t i = 0; i < 2; i++) {
        const struct yaml_node *list = yaml_key(w->spec, LISTS[i]);
        for (size_t k = 0; list != NULL && k < list->count; k++) {
            const char *image = scalar_of(yaml_key(list->items[k], "image"));
            if (image != NULL) {
                char where[512];
                say_where(w, LISTS[i], k, is_injected, where, sizeof where);
                TRY(gen_images_add(run->images, image, where, err));
            }
        }
    }
    return OK;
}

static RESULT collect_one(struct gen_run *run, const struct workload *w, struct yaml_edits *edits,
                          bool is_check, struct err *err) {
    (void)edits;
    (void)is_check;
    return collect(run, w, false, err);
}

/* After collect_one: what is new now was injected. */
static RESULT collect_injected(struct gen_run *run, const struct workload *w,
                               struct yaml_edits *edits, bool is_check, struct err *err) {
    (void)edits;
    (void)is_check;
    return collect(run, w, true, err);
}

static const char *on_pin(void *data, const char *reference) {
    const struct gen_run *run = data;
    return gen_images_pin(run->images, reference);
}

static RESULT pin_one(struct gen_run *run, const struct workload *w, struct yaml_edits *edits,
                      bool is_check, struct err *err) {
    (void)is_check;
    return run->images == NULL ? OK : inject_pins(w, on_pin, run, edits, err);
}

static RESULT record(struct gen_run *run, const struct workload *w, struct span policy,
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

static RESULT annotate_one(struct gen_run *run, const struct workload *w, struct yaml_edits *edits,
                           bool is_check, struct err *err) {
    const struct policy_inputs inputs = inputs_of(run, true);
    AUTO(buf_deinit)
    struct buf policy = {0};
    TRY(policy_text_make(w, &inputs, &policy, err));
    if (!is_check) {
        TRY(record(run, w, buf_span(&policy), err));
    }
    return inject_policy(w, buf_span(&policy), edits, err);
}

static RESULT edit_all(struct gen_run *run, const struct yaml_file *file, stage_fn *stage,
                       bool is_check, struct yaml_edits *edits, struct err *err) {
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    TRY(workload_find(file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        const struct workload *w = &list.items[i];
        if (w->is_confidential) {
            TRY(stage(run, w, edits, is_check, err));
        } else if (stage == inspect_one) {
            log_warn("%s:%zu: %s/%s is not confidential (its runtime class, or its role) and "
                     "stays as it is",
                     file->name, w->pod->start.line, w->kind, w->name);
        }
    }
    return OK;
}

/* Appends the text after the stage to `out`; NULL for a stage that only looks. */
static RESULT run_stage(struct gen_run *run, const char *name, struct span text, stage_fn *stage,
                        bool is_check, struct buf *out, struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    TRY(yaml_parse(name, text, &file, err));
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits;
    yaml_edits_init(&edits, &file);
    TRY(edit_all(run, &file, stage, is_check, &edits, err));
    return out != NULL ? yaml_edits_apply(&edits, out, err) : OK;
}

/* What comes out must be what a second run would leave alone. */
static RESULT check_fixpoint(struct gen_run *run, const struct gen_file *file, struct err *err) {
    stage_fn *const stages[] = {inject_one, pin_one, annotate_one};
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_append_span(&text, buf_span(&file->after));
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        AUTO(buf_deinit)
        struct buf next = {0};
        TRY(run_stage(run, file->name, buf_span(&text), stages[i], true, &next, err));
        buf_clear(&text);
        buf_append_span(&text, buf_span(&next));
    }
    ENSURE(span_equal(buf_span(&text), buf_span(&file->after)), err, INVALID,
           "%s: this layout of YAML cannot be edited safely; write its pods in block style",
           file->name);
    return OK;
}

/* file->after becomes the text with everything injected. Names of images are taken from the user's
 * text first: errors about them show its lines. */
static RESULT prepare_file(struct gen_run *run, struct gen_file *file, struct err *err) {
    struct span before = buf_span(&file->before);
    TRY(run_stage(run, file->name, before, inspect_one, false, NULL, err));
    TRY(run_stage(run, file->name, before, inject_one, false, &file->after, err));
    if (run->images == NULL) {
        return OK;
    }
    TRY(run_stage(run, file->name, before, collect_one, false, NULL, err));
    return run_stage(run, file->name, buf_span(&file->after), collect_injected, false, NULL, err);
}

static RESULT finish_file(struct gen_run *run, struct gen_file *file, struct err *err) {
    AUTO(buf_deinit)
    struct buf pinned = {0};
    TRY(run_stage(run, file->name, buf_span(&file->after), pin_one, false, &pinned, err));
    buf_clear(&file->after);
    TRY(run_stage(run, file->name, buf_span(&pinned), annotate_one, false, &file->after, err));
    return check_fixpoint(run, file, err);
}

/* --- The run */

static RESULT parse_inputs(struct gen_run *run, struct err *err) {
    run->parsed = mem_calloc(run->inputs.count, sizeof *run->parsed);
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct gen_file *file = &run->inputs.items[i];
        TRY(yaml_parse(file->name, buf_span(&file->before), &run->parsed[i], err));
        run->parsed_count = i + 1;
        kind_note_each(&run->parsed[i], on_warning, NULL);
    }
    return gen_objects_check_unique(run->parsed, run->parsed_count, err);
}

static RESULT prepare(struct gen_run *run, struct err *err) {
    const struct gen_options *o = &run->options;
    struct gen_manifest *m = &run->manifest;
    char path[PATH_MAX];
    TRY(gen_manifest_load(m, gen_run_manifest_path(run, path, sizeof path), err));
    TRY(gen_manifest_read_references(m, &o->references, err));
    for (size_t i = 0; i < o->paths.count; i++) {
        TRY(gen_files_read(&run->inputs, o->paths.items[i], LIMIT_YAML_FILE, err));
    }
    ENSURE(run->inputs.count > 0, err, NOT_FOUND, "no .yml/.yaml files found");
    TRY(parse_inputs(run, err));
    in_workspace(o, "workload-owner.pem", path, sizeof path);
    TRY(gen_manifest_add_owners(m, &o->owner_keys, path, &run->outputs, err));
    gen_manifest_owner_list(m, &run->owners);
    gen_manifest_root_list(m, &run->roots);
    if (!o->skip_images) {
        TRY(gen_images_open(&o->images, &run->images, err));
    }
    return OK;
}

static RESULT process(struct gen_run *run, struct err *err) {
    for (size_t i = 0; i < run->inputs.count; i++) {
        TRY(prepare_file(run, &run->inputs.items[i], err));
    }
    if (run->images != NULL && run->options.pause_image != NULL) {
        TRY(gen_images_add(run->images, run->options.pause_image, "--pause-image", err));
    }
    if (run->images != NULL) {
        TRY(gen_images_fetch(run->images, err));
    }
    for (size_t i = 0; i < run->inputs.count; i++) {
        TRY(finish_file(run, &run->inputs.items[i], err));
    }
    return OK;
}

static RESULT combine(struct gen_run *run, struct err *err) {
    AUTO(buf_deinit)
    struct buf all = {0};
    for (size_t i = 0; i < run->inputs.count; i++) {
        const struct buf *text = &run->inputs.items[i].after;
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

static RESULT finish_manifest(struct gen_run *run, struct err *err) {
    ENSURE(run->coordinator_count > 0, err, NOT_FOUND,
           "No Coordinator resource found, did you forget to add it to your resources?");
    const struct gen_options *o = &run->options;
    char path[PATH_MAX];
    in_workspace(o, "seedshare-owner.pem", path, sizeof path);
    gen_manifest_set_threshold(&run->manifest, o->threshold);
    TRY(gen_manifest_add_shares(&run->manifest, &o->share_keys, path, &run->outputs, err));
    AUTO(buf_deinit)
    struct buf text = {0};
    struct result r = gen_manifest_print(&run->manifest, &text, err);
    if (!is_ok(r)) {
        return err_wrap(r, err, "the manifest that this would make");
    }
    return gen_files_add(&run->outputs, gen_run_manifest_path(run, path, sizeof path),
                         buf_span(&text), 0644, err);
}

/* YAML and outputs in one list, so that they are written together or not at all. */
static RESULT write_all(struct gen_run *run, struct err *err) {
    struct gen_files all = {0};
    size_t inputs = run->options.output_file == NULL ? run->inputs.count : 0;
    size_t outputs = run->outputs.count;
    all.items = mem_calloc(inputs + outputs, sizeof *all.items);
    all.count = inputs + outputs;
    if (inputs > 0) {
        memcpy(all.items, run->inputs.items, inputs * sizeof *all.items);
    }
    memcpy(all.items + inputs, run->outputs.items, outputs * sizeof *all.items);
    struct result r = gen_files_write(&all, &run->written, err);
    mem_free(all.items);
    return r;
}

RESULT gen_run_all(struct gen_run *run, struct err *err) {
    TRY(prepare(run, err));
    TRY(process(run, err));
    TRY(finish_manifest(run, err));
    if (run->options.output_file != NULL) {
        TRY(combine(run, err));
    }
    return write_all(run, err);
}
