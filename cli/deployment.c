/* Deployment: see deployment.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/deployment.h"

#include <string.h>

#include "cli/gen_files.h"
#include "cli/policy/policy_text.h"
#include "lib/base/limits.h"
#include "lib/crypto/digest.h"

#define LIST_TEXT_MAX 700 /* bytes of an error's list of policies */

void deployment_deinit(struct deployment *d) {
    for (size_t i = 0; i < d->count; i++) {
        buf_deinit(&d->items[i].text);
        mem_free(d->items[i].owner);
    }
    mem_free(d->items);
    *d = (struct deployment){0};
}

const struct deployment_policy *deployment_find(const struct deployment *d,
                                                const uint8_t hash[32]) {
    for (size_t i = 0; i < d->count; i++) {
        if (memcmp(d->items[i].hash, hash, 32) == 0) {
            return &d->items[i];
        }
    }
    return NULL;
}

/* ---- reading ---- */

static RESULT add_workload(struct deployment *d, const struct workload *w, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    if (w->policy == NULL) {
        return OK;
    }
    uint8_t hash[32];
    TRY(policy_text_decode(w, &text, err));
    sha256(buf_span(&text), hash);
    if (deployment_find(d, hash) != NULL) {
        return OK;
    }
    ENSURE(d->count < LIMIT_POLICIES, err, INVALID, "more than %d policies", LIMIT_POLICIES);
    struct buf owner = {0};
    buf_appendf(&owner, "%s/%s in %s", w->kind, w->name, w->file->name);
    d->items = mem_realloc(d->items, (d->count + 1) * sizeof *d->items);
    struct deployment_policy *p = &d->items[d->count++];
    *p = (struct deployment_policy){.text = text, .owner = mem_strdup(buf_cstr(&owner))};
    memcpy(p->hash, hash, sizeof hash);
    text = (struct buf){0};
    buf_deinit(&owner);
    return OK;
}

static RESULT add_file(struct deployment *d, const struct gen_file *input, struct err *err) {
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list workloads = {0};
    TRY(yaml_parse(input->name, buf_span(&input->before), &file, err));
    TRY(workload_find(&file, &workloads, err));
    for (size_t i = 0; i < workloads.count; i++) {
        TRY(add_workload(d, &workloads.items[i], err));
    }
    return OK;
}

static RESULT read_all(const struct cli_list *paths, struct gen_files *files, struct deployment *d,
                       struct err *err) {
    for (size_t i = 0; i < paths->count; i++) {
        TRY(gen_files_read(files, paths->items[i], LIMIT_YAML_FILE, err));
    }
    for (size_t i = 0; i < files->count; i++) {
        TRY(add_file(d, &files->items[i], err));
    }
    ENSURE(d->count > 0, err, NOT_FOUND,
           "no pod with a policy in these files; run `contrast generate`");
    return OK;
}

struct result deployment_read(const struct cli_list *paths, struct deployment *out,
                              struct err *err) {
    struct gen_files files = {0};
    struct deployment d = {0};
    struct result r = read_all(paths, &files, &d, err);
    gen_files_deinit(&files);
    if (is_ok(r)) {
        *out = d;
    } else {
        deployment_deinit(&d);
    }
    return r;
}

/* ---- checking ---- */

static void append_hash(struct buf *out, const uint8_t hash[32]) {
    char hex[65];
    hex_encode(span_of(hash, 32), hex);
    buf_appendf(out, " %s", hex);
}

struct result deployment_check(const struct deployment *d, const struct manifest *m,
                               struct err *err) {
    AUTO(buf_deinit)
    struct buf wrong = {0};
    for (size_t i = 0; i < d->count; i++) {
        if (manifest_find_policy(m, d->items[i].hash) == NULL) {
            append_hash(&wrong, d->items[i].hash);
            buf_appendf(&wrong, " (%.200s) is not in the manifest;", d->items[i].owner);
        }
    }
    for (size_t i = 0; i < m->policy_count; i++) {
        if (deployment_find(d, m->policies[i].hash) == NULL) {
            append_hash(&wrong, m->policies[i].hash);
            buf_appendf(&wrong, " (%s) is in the manifest and in no file;",
                        m->policies[i].san_count > 0 ? m->policies[i].sans[0] : "no SAN");
        }
    }
    ENSURE(wrong.size == 0, err, INVALID,
           "%zu policies in the files, %zu in the manifest:%.*s name all files of the deployment, "
           "or run `contrast generate` again",
           d->count, m->policy_count,
           (int)(wrong.size < LIST_TEXT_MAX ? wrong.size : LIST_TEXT_MAX),
           (const char *)wrong.data);
    return OK;
}
