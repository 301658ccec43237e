/* A run of generate: from Kubernetes resources to attested ones, and the manifest that names them.
 *
 *   read files and manifest -> inspect each pod (fields; errors show the user's own lines)
 *   -> inject (initializer, volume, runtime class, sidecars) -> images: fetch all, in parallel
 *   -> pin digests -> policy of each pod -> annotation, manifest -> check -> write
 *
 * Every stage maps text to text in memory. Nothing is written before all of them succeeded and a
 * second pass over the result changed nothing; a failure leaves every file as it was.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_RUN_H
#define CONTRAST_GEN_RUN_H

#include "cli/gen_files.h"
#include "cli/gen_images.h"
#include "cli/gen_manifest.h"
#include "cli/policy/inject.h"

/* What the command line says; texts and lists are borrowed from it. */
struct gen_options {
    struct cli_list paths;
    struct cli_list references;
    struct cli_list owner_keys;
    struct cli_list share_keys;
    struct cli_list allowed;     /* --allow-unknown */
    struct cli_list mirrors;     /* HOST=URL */
    struct cli_list insecure;    /* hosts */
    int64_t threshold;           /* 0 = not given */
    const char *workspace;       /* folder */
    const char *manifest;        /* NULL = manifest.json of the workspace */
    const char *output_file;     /* NULL = in place */
    struct inject_config inject; /* without digests and roots, which come from the manifest */
    struct gen_images_config images;
    const char *pause_image; /* of the nodes' sandboxes; NULL = unknown */
    bool skip_images;        /* read none: the policy binds them by their names alone */
};

struct gen_run {
    struct gen_options options;
    struct gen_files inputs;
    struct yaml_file *parsed; /* the inputs, for ConfigMaps and Secrets; owned */
    size_t parsed_count;
    struct gen_files outputs; /* keys, the combined file, the manifest */
    struct gen_manifest manifest;
    struct gen_images *images; /* NULL: none are read */
    struct buf owners;         /* comma separated digests */
    struct buf roots;
    json_t *report; /* one object {name, kind, hash, file} per policy, in the order of the files */
    size_t coordinator_count;
    size_t written; /* files that changed */
};

/* Borrows what `options` points to. */
void gen_run_init(struct gen_run *run, const struct gen_options *options);
void gen_run_deinit(struct gen_run *run);

/* Everything but the report. Errors: INVALID, NOT_FOUND, USAGE, CONFIG about the inputs, those of
 * gen_images_fetch, IO and CHANGED of gen_files_write. */
RESULT gen_run_all(struct gen_run *run, struct err *err);

/* Where the manifest is; valid as long as the run. */
const char *gen_run_manifest_path(const struct gen_run *run, char *out, size_t size);

#endif
