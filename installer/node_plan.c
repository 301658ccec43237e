/* Plan: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "installer/text_diff.h"

#define RUNTIME_TYPE "io.containerd.contrast-cc.v2"
#define SHIM "bin/containerd-shim-contrast-cc-v2"
#define MODE_PROGRAM 0755
#define MODE_DATA 0644

static const char *const STEPS[] = {"fetch", "write", "edit", "restart", "confirm", "drop"};

const char *node_step_name(enum node_step_kind kind) {
    return STEPS[kind];
}

void node_plan_deinit(struct node_plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        mem_free(plan->steps[i].path);
        mem_free(plan->steps[i].handler);
        buf_deinit(&plan->steps[i].before);
        buf_deinit(&plan->steps[i].after);
    }
    mem_free(plan->steps);
    *plan = (struct node_plan){0};
}

static struct node_step *add(struct node_plan *plan, enum node_step_kind kind) {
    plan->steps = mem_realloc(plan->steps, (plan->count + 1) * sizeof *plan->steps);
    struct node_step *step = &plan->steps[plan->count++];
    *step = (struct node_step){.kind = kind};
    return step;
}

static char *path_in(const char *handler, const char *name) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, NODE_RUNTIME_ROOT "/%s%s%s", handler,
                   name[0] != '\0' ? "/" : "", name);
    return mem_strdup(path);
}

/* --- The runtime's folder */

static void plan_files(const struct node_facts *f, struct node_plan *plan) {
    for (size_t i = 0; i < f->config->file_count; i++) {
        if (f->is_there[i]) {
            continue;
        }
        const struct node_file *file = &f->config->files[i];
        struct node_step *step = add(plan, NODE_FETCH);
        step->path = path_in(f->handler, file->path);
        step->url = file->url;
        step->digest = &f->digests[i];
        step->mode = file->is_executable ? MODE_PROGRAM : MODE_DATA;
    }
}

static void plan_kata(const struct node_facts *f, struct node_plan *plan) {
    AUTO(buf_deinit)
    struct buf text = {0};
    char base[PATH_MAX];
    (void)snprintf(base, sizeof base, NODE_RUNTIME_ROOT "/%s", f->handler);
    kata_config_make(f->config->platform, &f->config->kata, base, &text);
    if (f->has_kata && span_equal(f->kata, buf_span(&text))) {
        return;
    }
    struct node_step *step = add(plan, NODE_WRITE);
    step->path = path_in(f->handler, kata_config_path(f->config->platform));
    step->mode = MODE_DATA;
    buf_append_span(&step->before, f->kata);
    buf_append_span(&step->after, buf_span(&text));
}

/* --- containerd's files */

static void keep_warning(struct node_plan *plan, const struct containerd_change *change) {
    if (change->warning[0] != '\0') {
        (void)snprintf(plan->warning, sizeof plan->warning, "%s", change->warning);
    }
}

static struct containerd_facts facts_of(const struct node_facts *f, const struct node_texts *texts,
                                        const char *handler) {
    struct containerd_facts facts = {
        .daemon = f->daemon,
        .default_text = f->default_text,
        .accept_old_daemon = f->accept_old_daemon,
        .discard_edits = f->discard_edits,
    };
    node_texts_facts(texts, handler, &facts);
    return facts;
}

static RESULT take_out(const struct node_facts *f, const char *handler, struct node_texts *texts,
                       struct node_plan *plan, struct err *err) {
    const struct containerd_facts facts = facts_of(f, texts, handler);
    AUTO(containerd_change_deinit)
    struct containerd_change change = {0};
    TRY(containerd_config_remove(&facts, handler, &change, err));
    keep_warning(plan, &change);
    node_texts_apply(texts, &change);
    return OK;
}

static RESULT put_in(const struct node_facts *f, struct node_texts *texts, struct node_plan *plan,
                     struct err *err) {
    const struct kata_platform *platform = f->config->platform;
    char shim[PATH_MAX];
    char config[PATH_MAX];
    char snapshotter[128];
    char address[256];
    (void)snprintf(shim, sizeof shim, NODE_RUNTIME_ROOT "/%s/" SHIM, f->handler);
    (void)snprintf(config, sizeof config, NODE_RUNTIME_ROOT "/%s/%s", f->handler,
                   kata_config_path(platform));
    (void)snprintf(snapshotter, sizeof snapshotter, "tardev-%s", f->handler);
    (void)snprintf(address, sizeof address, "/run/containerd/tardev-snapshotter-%s.sock",
                   f->handler);
    static const char *const annotations[] = {"io.katacontainers.*", "cdi.k8s.io/*"};
    const struct containerd_runtime runtime = {
        .handler = f->handler,
        .runtime_type = RUNTIME_TYPE,
        .runtime_path = shim,
        .config_path = config,
        .snapshotter = platform->has_tardev ? snapshotter : NULL,
        .snapshotter_address = platform->has_tardev ? address : NULL,
        .pod_annotations = annotations,
        .pod_annotation_count = platform->has_gpu ? 2 : 1,
    };
    const struct containerd_facts facts = facts_of(f, texts, f->handler);
    AUTO(containerd_change_deinit)
    struct containerd_change change = {0};
    TRY(containerd_config_install(&facts, &runtime, &change, err));
    keep_warning(plan, &change);
    node_texts_apply(texts, &change);
    return OK;
}

/* New files first, deletions last: what a file imports is there as long as it is imported. */
static int rank_of(const struct node_text *text) {
    return !text->stat.exists ? 0 : text->exists ? 1 : 2;
}

static size_t plan_edits(const struct node_texts *texts, struct node_plan *plan) {
    size_t count = 0;
    for (int rank = 0; rank < 3; rank++) {
        for (size_t i = 0; i < texts->count; i++) {
            const struct node_text *text = &texts->items[i];
            if (rank_of(text) == rank && node_text_differs(text)) {
                struct node_step *step = add(plan, NODE_EDIT);
                step->path = mem_strdup(text->path);
                step->text = text;
                count++;
            }
        }
    }
    return count;
}

/* --- Restart */

/* Why containerd must be restarted; NULL: it need not be. */
static const char *restart_reason(const struct node_facts *f, const struct node_texts *texts,
                                  size_t edits, bool is_absent) {
    if (edits > 0) {
        return "its configuration changes";
    }
    if (f->listed == (is_absent ? NODE_LISTED_YES : NODE_LISTED_NO)) {
        return is_absent ? "it still has the runtime that its configuration has no more"
                         : "it does not have the runtime that its configuration has";
    }
    const struct node_journal *j = f->journal;
    bool is_interrupted = j->phase >= NODE_PHASE_SWAPPING;
    bool is_restarted = j->phase == NODE_PHASE_RESTARTING && f->service.started_ns > 0 &&
                        f->service.started_ns >= (uint64_t)j->restart_ms * 1000000;
    if (is_interrupted && !is_restarted) {
        return "the last run was interrupted before it was confirmed";
    }
    if (f->service.started_ns == 0) {
        return NULL;
    }
    for (size_t i = 0; i < texts->count; i++) {
        const struct node_text *text = &texts->items[i];
        struct containerd_handlers handlers = {0};
        containerd_config_handlers(buf_span(&text->before), &handlers);
        bool is_ours = handlers.count > 0 || is_interrupted;
        containerd_handlers_deinit(&handlers);
        if (text->stat.exists && is_ours && text->stat.mtime_ns > f->service.started_ns) {
            return "its configuration is newer than the unit's start";
        }
    }
    return NULL;
}

static void plan_restart(const struct node_facts *f, const struct node_texts *texts, size_t edits,
                         bool is_absent, struct node_plan *plan) {
    const char *reason = restart_reason(f, texts, edits, is_absent);
    if (reason != NULL) {
        add(plan, NODE_RESTART)->reason = reason;
    }
    struct node_step *step = add(plan, NODE_CONFIRM);
    step->handler = mem_strdup(f->handler);
    step->is_absent = is_absent;
}

/* --- The whole */

/* Whether a file that we write names the handler. What k3s and RKE2 render does not count: it is
 * as old as their start. */
static bool is_in_texts(const struct node_texts *texts, const char *handler) {
    bool is_found = false;
    for (size_t i = 0; i < texts->count && !is_found; i++) {
        const struct node_text *text = &texts->items[i];
        if (texts->flavor != CONTAINERD_PLAIN && strcmp(text->path, texts->main_path) == 0) {
            continue;
        }
        struct containerd_handlers handlers = {0};
        containerd_config_handlers(buf_span(&text->before), &handlers);
        for (size_t k = 0; k < handlers.count; k++) {
            is_found = is_found || strcmp(handlers.names[k], handler) == 0;
        }
        containerd_handlers_deinit(&handlers);
    }
    return is_found;
}

/* Runtimes of the journal are the oldest first; for an installation ours counts as the newest. */
static bool is_old(const struct node_facts *f, const bool *is_present, size_t index) {
    const struct node_journal *j = f->journal;
    const char *handler = j->runtimes[index].handler;
    size_t newer = 1;
    for (size_t i = index + 1; i < j->runtime_count; i++) {
        const char *other = j->runtimes[i].handler;
        bool counts = is_present[i] && strcmp(other, f->handler) != 0 &&
                      handler_name_is_related(other, handler);
        newer += counts ? 1 : 0;
    }
    return handler_name_is_related(handler, f->handler) && newer >= f->keep;
}

/* One flag per runtime of the journal; owned by the caller. */
static bool *choose_leaving(const struct node_facts *f, const struct node_texts *texts,
                            bool is_install) {
    const struct node_journal *j = f->journal;
    bool *is_leaving = mem_calloc(j->runtime_count + 1, sizeof *is_leaving);
    bool *is_present = mem_calloc(j->runtime_count + 1, sizeof *is_present);
    for (size_t i = 0; i < j->runtime_count; i++) {
        is_present[i] = is_in_texts(texts, j->runtimes[i].handler);
    }
    for (size_t i = 0; i < j->runtime_count; i++) {
        bool is_garbage = !is_present[i] || (is_install && is_old(f, is_present, i));
        is_leaving[i] =
            is_garbage && strcmp(j->runtimes[i].handler, f->handler) != 0 && f->shim_counts[i] == 0;
    }
    mem_free(is_present);
    return is_leaving;
}

static void free_flags(bool **flags) {
    mem_free(*flags);
}

static void plan_drops(const struct node_facts *f, const bool *is_leaving, struct node_plan *plan) {
    for (size_t i = 0; i < f->journal->runtime_count; i++) {
        if (is_leaving[i]) {
            add(plan, NODE_DROP)->handler = mem_strdup(f->journal->runtimes[i].handler);
        }
    }
}

RESULT node_plan_install(const struct node_facts *facts, struct node_texts *texts,
                         struct node_plan *out, struct err *err) {
    AUTO(node_plan_deinit)
    struct node_plan plan = {0};
    AUTO(free_flags)
    bool *is_leaving = choose_leaving(facts, texts, true);
    plan_files(facts, &plan);
    plan_kata(facts, &plan);
    for (size_t i = 0; i < facts->journal->runtime_count; i++) {
        if (is_leaving[i]) {
            TRY(take_out(facts, facts->journal->runtimes[i].handler, texts, &plan, err));
        }
    }
    TRY(put_in(facts, texts, &plan, err));
    size_t edits = plan_edits(texts, &plan);
    plan_restart(facts, texts, edits, false, &plan);
    plan_drops(facts, is_leaving, &plan);
    *out = plan;
    plan = (struct node_plan){0};
    return OK;
}

RESULT node_plan_uninstall(const struct node_facts *facts, struct node_texts *texts,
                           struct node_plan *out, struct err *err) {
    ENSURE(facts->own_shims == 0, err, BUSY,
           "%zu processes run from " NODE_RUNTIME_ROOT "/%s (%.*s): drain the node, or delete the "
           "pods with this runtime class",
           facts->own_shims, facts->handler, (int)facts->own_shim_names.size,
           (const char *)facts->own_shim_names.data);
    AUTO(node_plan_deinit)
    struct node_plan plan = {0};
    AUTO(free_flags)
    bool *is_leaving = choose_leaving(facts, texts, false);
    bool is_known = facts->has_folder || node_journal_runtime(facts->journal, facts->handler);
    bool is_open = facts->journal->phase >= NODE_PHASE_SWAPPING;
    TRY(take_out(facts, facts->handler, texts, &plan, err));
    size_t edits = plan_edits(texts, &plan);
    if (edits > 0 || is_known || is_open || facts->listed == NODE_LISTED_YES) {
        plan_restart(facts, texts, edits, true, &plan);
    }
    if (is_known) {
        add(&plan, NODE_DROP)->handler = mem_strdup(facts->handler);
    }
    plan_drops(facts, is_leaving, &plan);
    *out = plan;
    plan = (struct node_plan){0};
    return OK;
}

bool node_plan_changes(const struct node_plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind != NODE_CONFIRM) {
            return true;
        }
    }
    return false;
}

/* --- For people */

static void print_fetch(const struct node_step *step, struct buf *out) {
    buf_appendf(out, "fetch %s\n  -> %s, mode %04o, ", step->url, step->path, (unsigned)step->mode);
    sri_encode(step->digest, out);
    buf_append_str(out, "\n");
}

static void print_edit(const struct node_step *step, struct buf *out) {
    const struct node_text *t = step->text;
    const char *verb = !t->stat.exists ? "create" : t->exists ? "edit" : "delete";
    buf_appendf(out, "%s %s\n", verb, step->path);
    text_diff(t->stat.exists ? step->path : "/dev/null", t->exists ? step->path : "/dev/null",
              buf_span(&t->before), buf_span(&t->after), out);
}

static void print_step(const struct node_step *step, struct buf *out) {
    switch (step->kind) {
    case NODE_FETCH:
        print_fetch(step, out);
        break;
    case NODE_WRITE:
        buf_appendf(out, "write %s\n", step->path);
        text_diff(step->before.size > 0 ? step->path : "/dev/null", step->path,
                  buf_span(&step->before), buf_span(&step->after), out);
        break;
    case NODE_EDIT:
        print_edit(step, out);
        break;
    case NODE_RESTART:
        buf_appendf(out, "restart containerd: %s\n", step->reason);
        break;
    case NODE_CONFIRM:
        buf_appendf(out, "confirm that CRI is up and %s %s\n",
                    step->is_absent ? "no longer has" : "has", step->handler);
        break;
    case NODE_DROP:
    default:
        buf_appendf(out, "remove " NODE_RUNTIME_ROOT "/%s\n", step->handler);
        break;
    }
}

void node_plan_print(const struct node_plan *plan, struct buf *out) {
    if (plan->warning[0] != '\0') {
        buf_appendf(out, "warning: %s\n", plan->warning);
    }
    for (size_t i = 0; i < plan->count; i++) {
        print_step(&plan->steps[i], out);
    }
}
