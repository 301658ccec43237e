/* A run: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_run.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "installer/cri.h"
#include "installer/node_apply.h"
#include "installer/node_command.h"
#include "installer/node_lock.h"
#include "installer/node_shims.h"
#include "installer/node_stage.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define ASK_MS 5000
#define COMMAND_MS 30000

struct run {
    const struct node_settings *settings;
    const struct node_request *request;
    struct node_outcome *outcome;
    struct node_root root;
    struct node_lock lock;
    struct node_journal journal;
    struct node_config config;
    bool has_config;
    struct node_place place;
    struct node_service service;
    struct node_texts texts;
    struct node_plan plan;
    struct sri *digests;               /* owned; one per file of the config, as the two below */
    bool *is_there;                    /* owned */
    struct node_installed_file *found; /* owned; paths in `paths` */
    char **paths;                      /* owned: of the files on the host */
    struct buf kata;
    bool has_kata;
    struct buf default_text;
    struct containerd_version daemon;
    enum node_listed listed;
    char cri_version[128];
    struct err cri_error; /* when nobody says a version */
    size_t *shim_counts;  /* owned; one per runtime of the journal */
    size_t own_shims;
    struct buf own_shim_names;
    bool has_folder;
};

void node_outcome_deinit(struct node_outcome *outcome) {
    buf_deinit(&outcome->report);
}

static void run_deinit(struct run *r) {
    for (size_t i = 0; r->paths != NULL && i < r->config.file_count; i++) {
        mem_free(r->paths[i]);
    }
    mem_free((void *)r->paths);
    mem_free(r->digests);
    mem_free(r->is_there);
    mem_free(r->found);
    mem_free(r->shim_counts);
    node_plan_deinit(&r->plan);
    node_texts_deinit(&r->texts);
    node_config_deinit(&r->config);
    node_journal_deinit(&r->journal);
    buf_deinit(&r->kata);
    buf_deinit(&r->default_text);
    buf_deinit(&r->own_shim_names);
    node_lock_release(&r->lock);
    node_root_close(&r->root);
}

static bool is_stopped(const struct run *r) {
    return r->request->stop != NULL && *r->request->stop != 0;
}

/* --- Facts */

static RESULT read_config(struct run *r, struct err *err) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/contrast-node-install.json", r->settings->config_folder);
    AUTO(buf_deinit)
    struct buf text = {0};
    struct result result = file_read(path, LIMIT_NODE_CONFIG, &text, err);
    if (is_ok(result)) {
        result = node_config_parse(buf_span(&text), r->request->platform, &r->config, err);
        result = is_ok(result) ? result : err_wrap(result, err, "%s", path);
    }
    TRY(result);
    r->has_config = true;
    return OK;
}

static RESULT name_handler(struct run *r, struct err *err) {
    size_t count = r->config.file_count;
    r->digests = mem_calloc(count + 1, sizeof *r->digests);
    for (size_t i = 0; i < count; i++) {
        TRY(node_stage_expect(&r->config.files[i], r->request->stop, &r->digests[i], err));
    }
    handler_name_make(&r->config, r->digests, r->outcome->handler);
    return OK;
}

static const struct node_installed_file *known_file(const struct run *r, const char *path) {
    const struct node_runtime *runtime = node_journal_runtime(&r->journal, r->outcome->handler);
    for (size_t i = 0; runtime != NULL && i < runtime->file_count; i++) {
        if (strcmp(runtime->files[i].path, path) == 0) {
            return &runtime->files[i];
        }
    }
    return NULL;
}

static RESULT look_at_files(struct run *r, struct err *err) {
    size_t count = r->config.file_count;
    r->is_there = mem_calloc(count + 1, sizeof *r->is_there);
    r->found = mem_calloc(count + 1, sizeof *r->found);
    r->paths = mem_calloc(count + 1, sizeof *r->paths);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        const struct node_file *file = &r->config.files[i];
        (void)snprintf(path, sizeof path, NODE_RUNTIME_ROOT "/%s/%s", r->outcome->handler,
                       file->path);
        r->paths[i] = mem_strdup(path);
        TRY(node_stage_look(&r->root, r->paths[i], &r->digests[i],
                            file->is_executable ? 0755 : 0644, known_file(r, path), &r->is_there[i],
                            &r->found[i], err));
    }
    char kata[PATH_MAX];
    (void)snprintf(kata, sizeof kata, NODE_RUNTIME_ROOT "/%s/%s", r->outcome->handler,
                   kata_config_path(r->config.platform));
    struct node_stat stat;
    TRY(node_root_read(&r->root, kata, LIMIT_TOML_FILE, &r->kata, &stat, err));
    r->has_kata = stat.exists;
    return OK;
}

/* The daemon's version: from CRI, from the program, or for k3s and RKE2 from the form of the file
 * that it rendered. */
static RESULT ask_program(struct run *r, struct err *err) {
    static const char *const argv[] = {"containerd", "--version", NULL};
    AUTO(buf_deinit)
    struct buf text = {0};
    struct result result =
        node_command_run(r->settings->node_command, argv, COMMAND_MS, &text, err);
    if (is_ok(result)) {
        result = containerd_version_parse(buf_cstr(&text), &r->daemon, err);
    }
    return result;
}

static RESULT read_schema(struct run *r, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    struct node_stat stat;
    int schema = 0;
    TRY(node_root_read(&r->root, r->place.config, LIMIT_TOML_FILE, &text, &stat, err));
    ENSURE(stat.exists, err, UNAVAILABLE, "%s is not there: has the node started once?",
           r->place.config);
    TRY(containerd_config_schema(r->place.config, buf_span(&text), &schema, err));
    r->daemon =
        schema >= 3 ? (struct containerd_version){2, 0, 0} : (struct containerd_version){1, 7, 0};
    return OK;
}

/* Nobody who answers is no error here. */
static void ask_cri(struct run *r) {
    char socket[PATH_MAX];
    (void)snprintf(socket, sizeof socket, "%.2000s%.2000s", r->root.path, r->place.socket);
    AUTO(cri_answer_deinit)
    struct cri_answer answer = {0};
    if (!is_ok(cri_ask(socket, ASK_MS, &answer, &r->cri_error)) &&
        !is_ok(cri_ask_version(socket, ASK_MS, &answer, &r->cri_error))) {
        return;
    }
    (void)snprintf(r->cri_version, sizeof r->cri_version, "%s", answer.version);
    if (answer.is_ready) {
        bool is_listed = cri_has_handler(&answer, r->outcome->handler);
        r->listed = is_listed ? NODE_LISTED_YES : NODE_LISTED_NO;
    }
}

static RESULT find_version(struct run *r, struct err *err) {
    if (r->cri_version[0] != '\0') {
        return containerd_version_parse(r->cri_version, &r->daemon, err);
    }
    struct err second = {0};
    struct result result =
        r->place.flavor == CONTAINERD_PLAIN ? ask_program(r, &second) : read_schema(r, &second);
    ENSURE(is_ok(result), err, UNAVAILABLE,
           "which containerd runs here? CRI: %s; %s. Start it, or set CRI_SOCKET and NODE_COMMAND",
           r->cri_error.text, second.text);
    return OK;
}

/* What containerd would have without a file, when it has none. */
static RESULT read_default(struct run *r, struct err *err) {
    struct node_stat stat;
    TRY(node_root_stat(&r->root, r->place.config, &stat, err));
    if (stat.exists || r->place.flavor != CONTAINERD_PLAIN) {
        return OK;
    }
    static const char *const argv[] = {"containerd", "config", "default", NULL};
    struct err why;
    if (!is_ok(node_command_run(r->settings->node_command, argv, COMMAND_MS, &r->default_text,
                                &why))) {
        log_warn("containerd config default: %s", why.text);
        buf_clear(&r->default_text);
    }
    return OK;
}

static RESULT load_texts(struct run *r, struct err *err) {
    r->texts.flavor = r->place.flavor;
    r->texts.main_path = r->place.config;
    for (size_t i = 0; i < r->journal.runtime_count; i++) {
        TRY(node_texts_load(&r->texts, &r->root, r->journal.runtimes[i].handler, err));
    }
    return node_texts_load(&r->texts, &r->root, r->outcome->handler, err);
}

/* The processes of the host: those of its own /proc when it is there (then also without hostPID),
 * with programs named as the host sees them, or, of a mount that is not the root, as we do. */
static RESULT find_shims(const struct run *r, const char *handler, size_t *count, struct buf *names,
                         struct err *err) {
    char proc[PATH_MAX + 16];
    char folder[PATH_MAX + 128];
    struct node_stat stat;
    TRY(node_root_stat(&r->root, "/proc/self", &stat, err));
    (void)snprintf(proc, sizeof proc, "%s/proc", stat.exists ? r->root.path : "");
    (void)snprintf(folder, sizeof folder, NODE_RUNTIME_ROOT "/%s", handler);
    TRY(node_shims_find(proc, folder, count, names, err));
    if (*count > 0 || r->root.path[0] == '\0') {
        return OK;
    }
    (void)snprintf(folder, sizeof folder, "%s" NODE_RUNTIME_ROOT "/%s", r->root.path, handler);
    return node_shims_find(proc, folder, count, names, err);
}

static RESULT count_shims(struct run *r, struct err *err) {
    r->shim_counts = mem_calloc(r->journal.runtime_count + 1, sizeof *r->shim_counts);
    for (size_t i = 0; i < r->journal.runtime_count; i++) {
        AUTO(buf_deinit)
        struct buf names = {0};
        TRY(find_shims(r, r->journal.runtimes[i].handler, &r->shim_counts[i], &names, err));
    }
    return r->request->operation == NODE_UNINSTALL
               ? find_shims(r, r->outcome->handler, &r->own_shims, &r->own_shim_names, err)
               : OK;
}

static RESULT look_at_folder(struct run *r, struct err *err) {
    char folder[PATH_MAX];
    struct node_stat stat;
    (void)snprintf(folder, sizeof folder, NODE_RUNTIME_ROOT "/%s", r->outcome->handler);
    TRY(node_root_stat(&r->root, folder, &stat, err));
    r->has_folder = stat.exists;
    return OK;
}

static RESULT look_at_service(struct run *r, struct err *err) {
    const struct node_service_config config =
        node_place_service(r->settings, &r->root, &r->place, ASK_MS);
    TRY(node_service_look(&config, &r->service, err));
    if (r->service.started_ns == 0) { /* a daemon binds its socket when it starts */
        struct node_stat stat;
        TRY(node_root_stat(&r->root, r->place.socket, &stat, err));
        r->service.started_ns = stat.exists ? stat.mtime_ns : 0;
    }
    return OK;
}

static RESULT gather(struct run *r, struct err *err) {
    TRY(node_place_find(r->settings, &r->root, r->config.platform, &r->place, err));
    ask_cri(r);
    if (r->request->operation != NODE_UNINSTALL) { /* ours goes out whatever runs there now */
        TRY(find_version(r, err));
        TRY(read_default(r, err));
    }
    TRY(load_texts(r, err));
    TRY(look_at_folder(r, err));
    TRY(count_shims(r, err));
    return look_at_service(r, err);
}

static struct node_facts facts_of(const struct run *r) {
    return (struct node_facts){
        .config = r->has_config ? &r->config : NULL,
        .handler = r->outcome->handler,
        .digests = r->digests,
        .is_there = r->is_there,
        .kata = {r->kata.data, r->kata.size},
        .has_kata = r->has_kata,
        .daemon = r->daemon,
        .listed = r->listed,
        .default_text = {r->default_text.data, r->default_text.size},
        .discard_edits = r->settings->discard_edits,
        .accept_old_daemon = r->settings->accept_old_daemon,
        .has_folder = r->has_folder,
        .service = r->service,
        .journal = &r->journal,
        .shim_counts = r->shim_counts,
        .own_shims = r->own_shims,
        .own_shim_names = {r->own_shim_names.data, r->own_shim_names.size},
        .keep = r->settings->keep,
    };
}

static RESULT plan(struct run *r, struct err *err) {
    bool is_uninstall = r->request->operation == NODE_UNINSTALL;
    if (is_uninstall && r->request->handler != NULL) {
        (void)snprintf(r->outcome->handler, sizeof r->outcome->handler, "%s", r->request->handler);
    } else {
        TRY(read_config(r, err));
        TRY(name_handler(r, err));
    }
    log_info("handler %s", r->outcome->handler);
    if (!is_uninstall) {
        TRY(look_at_files(r, err));
    }
    TRY(gather(r, err));
    const struct node_facts facts = facts_of(r);
    return is_uninstall ? node_plan_uninstall(&facts, &r->texts, &r->plan, err)
                        : node_plan_install(&facts, &r->texts, &r->plan, err);
}

/* --- Steps */

/* The journal's entry of our runtime, with the files that are there now. */
static void note_runtime(struct run *r) {
    const struct node_runtime *old = node_journal_runtime(&r->journal, r->outcome->handler);
    struct node_installed_file *files = mem_calloc(r->config.file_count + 1, sizeof *files);
    struct node_runtime runtime = {
        .handler = r->outcome->handler,
        .installed_unix = old != NULL ? old->installed_unix : (int64_t)time(NULL),
        .files = files,
    };
    for (size_t i = 0; i < r->config.file_count; i++) {
        if (r->is_there[i]) {
            files[runtime.file_count++] = r->found[i];
        }
    }
    node_journal_put(&r->journal, &runtime);
    mem_free(files);
}

static RESULT begin_staging(struct run *r, struct err *err) {
    r->journal.is_uninstall = false;
    r->journal.handler = r->outcome->handler;
    if (r->journal.phase < NODE_PHASE_SWAPPING) {
        r->journal.phase = NODE_PHASE_STAGING;
    }
    note_runtime(r);
    return node_journal_save(&r->root, &r->journal, err);
}

/* Index of the file that a step is about. */
static size_t file_of(const struct run *r, const struct node_step *step) {
    size_t i = 0;
    while (strcmp(r->paths[i], step->path) != 0) {
        i++;
    }
    return i;
}

static RESULT stage_one(struct run *r, const struct node_step *step, struct err *err) {
    ENSURE(!is_stopped(r), err, CANCELED, "stopped by a signal");
    if (step->kind == NODE_WRITE) {
        log_info("%s: written", step->path);
        return node_root_write(&r->root, step->path, buf_span(&step->after), step->mode, (uid_t)-1,
                               (gid_t)-1, err);
    }
    size_t i = file_of(r, step);
    log_info("%s: from %s", step->path, step->url);
    TRY(node_stage_put(&r->root, step->url, r->paths[i], step->digest, step->mode, r->request->stop,
                       &r->found[i], err));
    r->is_there[i] = true;
    return OK;
}

static RESULT stage(struct run *r, struct err *err) {
    bool is_begun = false;
    for (size_t i = 0; i < r->plan.count; i++) {
        const struct node_step *step = &r->plan.steps[i];
        if (step->kind != NODE_FETCH && step->kind != NODE_WRITE) {
            continue;
        }
        if (!is_begun) {
            TRY(begin_staging(r, err));
            is_begun = true;
        }
        TRY(stage_one(r, step, err));
    }
    return OK;
}

static RESULT drop(struct run *r, const char *handler, struct err *err) {
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, NODE_RUNTIME_ROOT "/%s", handler);
    TRY(node_root_remove_tree(&r->root, folder, err));
    node_journal_drop(&r->journal, handler);
    return OK;
}

/* While containerd still has the old configuration in memory, its runtimes stay. */
static RESULT finish(struct run *r, struct err *err) {
    for (size_t i = 0; i < r->plan.count; i++) {
        if (r->plan.steps[i].kind == NODE_DROP && !r->outcome->is_pending) {
            TRY(drop(r, r->plan.steps[i].handler, err));
        }
    }
    if (r->request->operation == NODE_INSTALL) {
        note_runtime(r);
    }
    r->journal.phase = NODE_PHASE_IDLE;
    r->journal.handler = "";
    r->journal.is_uninstall = false;
    r->journal.edit_count = 0;
    r->journal.restart_ms = 0;
    return OK;
}

/* What killed runs left half-written, also those of other versions and operations. */
static RESULT sweep(struct run *r, struct err *err) {
    TRY(node_root_sweep(&r->root, NODE_STATE_FOLDER, true, err));
    for (size_t i = 0; i < r->texts.count; i++) {
        char folder[PATH_MAX];
        const char *path = r->texts.items[i].path;
        int size = (int)(strrchr(path, '/') - path);
        (void)snprintf(folder, sizeof folder, "%.*s", size > 0 ? size : 1, path);
        TRY(node_root_sweep(&r->root, folder, false, err));
    }
    for (size_t i = 0; i < r->journal.runtime_count; i++) {
        char folder[PATH_MAX];
        (void)snprintf(folder, sizeof folder, NODE_RUNTIME_ROOT "/%s",
                       r->journal.runtimes[i].handler);
        TRY(node_root_sweep(&r->root, folder, true, err));
    }
    return OK;
}

/* Only when it says something new: a run with nothing to do writes nothing. */
static RESULT save_if_new(struct run *r, const struct buf *before, struct err *err) {
    AUTO(buf_deinit)
    struct buf after = {0};
    node_journal_encode(&r->journal, &after);
    return span_equal(buf_span(before), buf_span(&after))
               ? OK
               : node_journal_save(&r->root, &r->journal, err);
}

static RESULT execute(struct run *r, struct err *err) {
    AUTO(buf_deinit)
    struct buf before = {0};
    node_journal_encode(&r->journal, &before);
    const struct node_apply apply = {&r->root,    r->settings, &r->place,
                                     &r->service, &r->journal, r->request->stop};
    TRY(sweep(r, err));
    TRY(stage(r, err));
    ENSURE(!is_stopped(r), err, CANCELED, "stopped by a signal");
    r->journal.is_uninstall = r->request->operation == NODE_UNINSTALL;
    r->journal.handler = r->outcome->handler;
    if (!r->journal.is_uninstall) {
        note_runtime(r);
    }
    TRY(node_apply_edits(&apply, &r->plan, err));
    struct node_applied applied = {0};
    struct result confirmed = node_apply_confirm(&apply, &r->plan, &applied, err);
    r->outcome->is_rolled_back = applied.is_rolled_back;
    r->outcome->is_pending = applied.is_pending;
    TRY(confirmed);
    TRY(finish(r, err));
    struct node_stat stat;
    TRY(node_root_stat(&r->root, NODE_JOURNAL_PATH, &stat, err));
    bool is_empty = r->journal.runtime_count == 0;
    if (is_empty && !stat.exists) {
        return OK;
    }
    return save_if_new(r, &before, err);
}

/* --- The whole */

static RESULT report(struct run *r, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    node_plan_print(&r->plan, &text);
    if (!r->request->is_json) {
        buf_append_span(&r->outcome->report, buf_span(&text));
        return OK;
    }
    json_t *steps = json_array();
    for (size_t i = 0; i < r->plan.count; i++) {
        const struct node_step *s = &r->plan.steps[i];
        json_array_append_new(steps, json_pack("{s:s, s:s*, s:s*, s:s*, s:s*}", "step",
                                               node_step_name(s->kind), "path", s->path, "url",
                                               s->url, "handler", s->handler, "reason", s->reason));
    }
    json_t *root = json_pack("{s:s, s:b, s:o, s:s}", "handler", r->outcome->handler, "changes",
                             r->outcome->is_changed, "steps", steps, "plan", buf_cstr(&text));
    ENSURE(root != NULL, err, INTERNAL, "the plan cannot be shown as JSON");
    char *json = json_dumps(root, JSON_INDENT(2));
    buf_append_str(&r->outcome->report, json);
    buf_append_str(&r->outcome->report, "\n");
    free(json);
    json_decref(root);
    return OK;
}

RESULT node_run(const struct node_settings *settings, const struct node_request *request,
                struct node_outcome *outcome, struct err *err) {
    AUTO(run_deinit)
    struct run r = {.settings = settings,
                    .request = request,
                    .outcome = outcome,
                    .root = {.fd = -1},
                    .lock = {.fd = -1}};
    bool is_look = request->is_dry || request->operation == NODE_STATUS;
    TRY(node_root_open(settings->host_mount, &r.root, err));
    if (!is_look) {
        TRY(node_lock_take(&r.root, settings->lock_s, &r.lock, err));
    }
    TRY(node_journal_load(&r.root, &r.journal, err));
    TRY(plan(&r, err));
    outcome->is_changed = node_plan_changes(&r.plan);
    if (r.plan.warning[0] != '\0') {
        log_warn("%s", r.plan.warning);
    }
    return is_look ? report(&r, err) : execute(&r, err);
}
