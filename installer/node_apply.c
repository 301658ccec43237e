/* Applying: see the header.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_apply.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "installer/cri.h"
#include "installer/node_command.h"
#include "lib/base/host.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"
#include "lib/crypto/digest.h"

#define CHECK_MS 30000                               /* for `containerd config dump` */
#define ASK_MS 5000                                  /* for one answer of CRI */
#define PAUSE_MS 250                                 /* between two questions */
#define CANDIDATE ".candidate" NODE_ROOT_TEMP_SUFFIX /* swept when a run is killed */

static RESULT set_phase(const struct node_apply *a, enum node_phase phase, struct err *err) {
    a->journal->phase = phase;
    return node_journal_save(a->root, a->journal, err);
}

/* --- Backup */

static void backup_path(const uint8_t digest[SHA256_SIZE], char out[PATH_MAX]) {
    char hex[2 * SHA256_SIZE + 1];
    hex_encode(span_of(digest, SHA256_SIZE), hex);
    (void)snprintf(out, PATH_MAX, NODE_BACKUP_FOLDER "/%s", hex);
}

static RESULT back_up(const struct node_apply *a, struct span text, struct err *err) {
    uint8_t digest[SHA256_SIZE];
    char path[PATH_MAX];
    sha256(text, digest);
    backup_path(digest, path);
    struct node_stat stat;
    TRY(node_root_stat(a->root, path, &stat, err));
    return stat.exists ? OK : node_root_write(a->root, path, text, 0600, (uid_t)-1, (gid_t)-1, err);
}

/* --- Journal of edits */

static struct node_edit describe(struct node_journal *j, const struct node_text *text) {
    struct node_edit edit = {
        .path = arena_strndup(&j->arena, text->path, strlen(text->path)),
        .existed = text->stat.exists,
        .exists = text->exists,
        .mode = text->stat.exists ? text->stat.mode : 0644,
        .uid = text->stat.exists ? text->stat.uid : 0,
        .gid = text->stat.exists ? text->stat.gid : 0,
    };
    if (edit.existed) {
        sha256(buf_span(&text->before), edit.before);
    }
    if (edit.exists) {
        sha256(buf_span(&text->after), edit.after);
    }
    return edit;
}

static struct node_edit *find_edit(struct node_edit *edits, size_t count, const char *path) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(edits[i].path, path) == 0) {
            return &edits[i];
        }
    }
    return NULL;
}

/* What a killed run left is what this one finds. */
static bool is_as_left(const struct node_edit *old, const struct node_edit *now) {
    return (now->existed == old->existed && memcmp(now->before, old->before, 32) == 0) ||
           (now->existed == old->exists && memcmp(now->before, old->after, 32) == 0);
}

/* Edits of a run that was killed stay, with what the files were before *that*: there is no other
 * state that was known to work. A file that somebody edited since is taken as it is now. */
static void journal_edits(struct node_journal *j, const struct node_plan *plan) {
    struct node_edit *edits =
        arena_alloc(&j->arena, (j->edit_count + plan->count + 1) * sizeof *edits);
    size_t count = j->phase >= NODE_PHASE_SWAPPING ? j->edit_count : 0;
    if (count > 0) {
        memcpy(edits, j->edits, count * sizeof *edits);
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind != NODE_EDIT) {
            continue;
        }
        struct node_edit edit = describe(j, plan->steps[i].text);
        struct node_edit *old = find_edit(edits, count, edit.path);
        if (old != NULL && !is_as_left(old, &edit)) {
            *old = edit;
        } else if (old != NULL) {
            old->exists = edit.exists;
            memcpy(old->after, edit.after, sizeof old->after);
        } else {
            edits[count++] = edit;
        }
    }
    j->edits = edits;
    j->edit_count = count;
}

/* --- Does containerd take it? */

static bool has_containerd(const struct node_apply *a) {
    static const char *const argv[] = {"containerd", "--version", NULL};
    struct err err;
    return a->place->flavor == CONTAINERD_PLAIN &&
           is_ok(node_command_run(a->settings->node_command, argv, CHECK_MS, NULL, &err));
}

static RESULT check_file(const struct node_apply *a, const char *path, struct err *err) {
    const char *const argv[] = {"containerd", "--config", path, "config", "dump", NULL};
    struct err cause;
    struct result r = node_command_run(a->settings->node_command, argv, CHECK_MS, NULL, &cause);
    ENSURE(is_ok(r), err, CONFIG, "containerd refuses the new configuration: %s", cause.text);
    return OK;
}

/* A file as NODE_COMMAND sees it: in the host's root, which is our mount. Without one (tests, a
 * process of the host) the mount stands in front. */
static RESULT path_for_command(const struct node_apply *a, const char *path, char out[PATH_MAX],
                               struct err *err) {
    bool is_inside = a->settings->node_command[0] != '\0';
    int size = snprintf(out, PATH_MAX, "%s%s", is_inside ? "" : a->root->path, path);
    ENSURE(size > 0 && size < PATH_MAX, err, CONFIG, "HOST_MOUNT: path too long");
    return OK;
}

/* The new text under another name, before anything is touched: beside the old one, so that its
 * relative imports are the same. */
static RESULT check_candidate(const struct node_apply *a, const struct node_text *text,
                              struct err *err) {
    char here[PATH_MAX];
    char there[PATH_MAX];
    bool is_beside = text->stat.exists;
    const char *slash = strrchr(text->path, '/');
    int size = snprintf(here, sizeof here, "%.*s/" CANDIDATE,
                        is_beside ? (int)(slash - text->path) : (int)strlen(NODE_STATE_FOLDER),
                        is_beside ? text->path : NODE_STATE_FOLDER);
    ENSURE(size > 0 && (size_t)size < sizeof here, err, CONFIG, "%.200s: path too long",
           text->path);
    TRY(path_for_command(a, here, there, err));
    TRY(node_root_write(a->root, here, buf_span(&text->after), 0600, (uid_t)-1, (gid_t)-1, err));
    struct result r = check_file(a, there, err);
    struct err ignored;
    err_ignore(node_root_remove(a->root, here, &ignored), "it is only a copy");
    return r;
}

static RESULT check_candidates(const struct node_apply *a, const struct node_plan *plan,
                               struct err *err) {
    if (!has_containerd(a)) {
        return OK;
    }
    for (size_t i = 0; i < plan->count; i++) {
        const struct node_step *step = &plan->steps[i];
        if (step->kind == NODE_EDIT && step->text->exists) {
            TRY(check_candidate(a, step->text, err));
        }
    }
    return OK;
}

/* --- Swap */

/* Nobody else wrote it since it was read. */
static RESULT check_unchanged(const struct node_apply *a, const struct node_text *text,
                              struct err *err) {
    AUTO(buf_deinit)
    struct buf now = {0};
    struct node_stat stat;
    TRY(node_root_read(a->root, text->path, LIMIT_TOML_FILE, &now, &stat, err));
    ENSURE(stat.exists == text->stat.exists && span_equal(buf_span(&now), buf_span(&text->before)),
           err, CHANGED, "%s: somebody changed it meanwhile; run again", text->path);
    return OK;
}

static RESULT swap_one(const struct node_apply *a, const struct node_text *text, struct err *err) {
    TRY(check_unchanged(a, text, err));
    if (!text->exists) {
        log_info("%s: removed", text->path);
        return node_root_remove(a->root, text->path, err);
    }
    bool is_old = text->stat.exists;
    log_info("%s: %s", text->path, is_old ? "edited" : "created");
    return node_root_write(a->root, text->path, buf_span(&text->after),
                           is_old ? text->stat.mode : 0644, is_old ? text->stat.uid : 0,
                           is_old ? text->stat.gid : 0, err);
}

/* --- Roll back */

static RESULT restore_one(const struct node_apply *a, const struct node_edit *edit,
                          struct err *err) {
    AUTO(buf_deinit)
    struct buf now = {0};
    struct node_stat stat;
    TRY(node_root_read(a->root, edit->path, LIMIT_TOML_FILE, &now, &stat, err));
    uint8_t digest[SHA256_SIZE] = {0};
    if (stat.exists) {
        sha256(buf_span(&now), digest);
    }
    if (stat.exists == edit->existed && memcmp(digest, edit->before, sizeof digest) == 0) {
        return OK;
    }
    ENSURE(stat.exists == edit->exists && memcmp(digest, edit->after, sizeof digest) == 0, err,
           CHANGED, "%s: somebody changed it meanwhile, so it stays as it is", edit->path);
    if (!edit->existed) {
        return node_root_remove(a->root, edit->path, err);
    }
    char path[PATH_MAX];
    backup_path(edit->before, path);
    AUTO(buf_deinit)
    struct buf old = {0};
    TRY(node_root_read(a->root, path, LIMIT_TOML_FILE, &old, &stat, err));
    sha256(buf_span(&old), digest);
    ENSURE(stat.exists && memcmp(digest, edit->before, sizeof digest) == 0, err, IO,
           "%s: the backup is gone or damaged, so %s stays as it is", path, edit->path);
    return node_root_write(a->root, edit->path, buf_span(&old), edit->mode, edit->uid, edit->gid,
                           err);
}

/* The last edit first. Goes on after a failure, and tells the first. */
static RESULT restore_all(const struct node_apply *a, struct err *err) {
    struct err one = {0};
    if (!is_ok(set_phase(a, NODE_PHASE_ROLLING_BACK, &one))) {
        log_warn("%s; rolling back all the same",
                 one.text); /* the phase that stands there will do */
    }
    struct result first = OK;
    for (size_t i = a->journal->edit_count; i-- > 0;) {
        struct result r = restore_one(a, &a->journal->edits[i], &one);
        if (!is_ok(r)) {
            log_error("roll back: %s", one.text);
            if (is_ok(first)) {
                first = err_set(err, r.code, "%s", one.text);
            }
        }
    }
    return first;
}

/* All is as it was. A journal that cannot be written says otherwise: the next run looks itself. */
static void forget_edits(const struct node_apply *a) {
    struct err err = {0};
    a->journal->edit_count = 0;
    a->journal->restart_ms = 0;
    if (!is_ok(set_phase(a, NODE_PHASE_IDLE, &err))) {
        log_warn("%s", err.text);
    }
}

static RESULT undo_swap(const struct node_apply *a, struct result cause, struct err *err) {
    struct err back;
    struct result r = restore_all(a, &back);
    if (!is_ok(r)) {
        return err_wrap(cause, err, "could not put everything back (%s)", back.text);
    }
    forget_edits(a);
    return err_wrap(cause, err, "containerd's files are as before");
}

/* Imports and all, at its place. */
static RESULT check_result(const struct node_apply *a, struct err *err) {
    struct node_stat stat;
    TRY(node_root_stat(a->root, a->place->config, &stat, err));
    if (!stat.exists || !has_containerd(a)) {
        return OK;
    }
    char path[PATH_MAX];
    TRY(path_for_command(a, a->place->config, path, err));
    return check_file(a, path, err);
}

static bool has_edits(const struct node_plan *plan) {
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind == NODE_EDIT) {
            return true;
        }
    }
    return false;
}

static RESULT swap_all(const struct node_apply *a, const struct node_plan *plan, struct err *err) {
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind == NODE_EDIT) {
            TRY(swap_one(a, plan->steps[i].text, err));
        }
    }
    return check_result(a, err);
}

RESULT node_apply_edits(const struct node_apply *a, const struct node_plan *plan, struct err *err) {
    if (!has_edits(plan)) {
        return OK;
    }
    TRY(check_candidates(a, plan, err));
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind == NODE_EDIT && plan->steps[i].text->stat.exists) {
            TRY(back_up(a, buf_span(&plan->steps[i].text->before), err));
        }
    }
    journal_edits(a->journal, plan);
    TRY(set_phase(a, NODE_PHASE_SWAPPING, err));
    struct result r = swap_all(a, plan, err);
    return is_ok(r) ? r : undo_swap(a, r, err);
}

/* --- Restart and confirm */

static const struct node_step *find_step(const struct node_plan *plan, enum node_step_kind kind) {
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].kind == kind) {
            return &plan->steps[i];
        }
    }
    return NULL;
}

static int64_t wall_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static RESULT restart(const struct node_apply *a, const char *reason, struct err *err) {
    const struct node_service_config config =
        node_place_service(a->settings, a->root, a->place, a->settings->confirm_ms);
    a->journal->restart_ms = wall_ms();
    TRY(set_phase(a, NODE_PHASE_RESTARTING, err));
    log_info("restarting containerd (%s): %s", a->service->unit, reason);
    return node_service_restart(&config, a->service, a->stop, err);
}

/* What is wrong with CRI's answer; NULL: nothing. */
static const char *judge(const struct cri_answer *answer, const char *handler, bool is_absent) {
    if (!answer->is_ready) {
        return "CRI says that the runtime is not ready";
    }
    if (handler != NULL && !is_absent && !cri_has_handler(answer, handler)) {
        return "CRI is up, but does not list the handler";
    }
    if (handler != NULL && is_absent && cri_has_handler(answer, handler)) {
        return "CRI is up, but still lists the handler";
    }
    return NULL;
}

static bool is_stopped(const struct node_apply *a) {
    return a->stop != NULL && *a->stop != 0;
}

/* Asks until the answer is right or the time is over: CRI tells nobody when it is up. `handler`
 * NULL: only that it is up. */
static RESULT confirm(const struct node_apply *a, const char *handler, bool is_absent,
                      unsigned wait_ms, struct err *err) {
    char socket[PATH_MAX];
    int size = snprintf(socket, sizeof socket, "%s%s", a->root->path, a->place->socket);
    ENSURE(size > 0 && (size_t)size < sizeof socket, err, CONFIG, "CRI_SOCKET: path too long");
    uint64_t end_ms = host_monotonic_ms(&host_system) + wait_ms;
    for (;;) {
        AUTO(cri_answer_deinit)
        struct cri_answer answer = {0};
        struct err why = {0};
        bool is_answer = is_ok(cri_ask(socket, ASK_MS, &answer, &why));
        const char *wrong = is_answer ? judge(&answer, handler, is_absent) : why.text;
        if (wrong == NULL) {
            return OK;
        }
        ENSURE(!is_stopped(a), err, CANCELED, "stopped by a signal before CRI was confirmed");
        ENSURE(host_monotonic_ms(&host_system) < end_ms, err, UNAVAILABLE,
               "%s: %s (asked for %u s)", a->place->socket, wrong, wait_ms / 1000);
        const struct timespec pause = {0, PAUSE_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

static RESULT roll_back(const struct node_apply *a, const char *reason, struct err *err) {
    log_error("rolling back: %s", reason);
    TRY(restore_all(a, err));
    const struct node_service_config config =
        node_place_service(a->settings, a->root, a->place, a->settings->confirm_ms);
    TRY(node_service_restart(&config, a->service, NULL, err));
    TRY(confirm(a, NULL, false, a->settings->confirm_ms, err));
    forget_edits(a);
    return OK;
}

/* restart-systemd-unit is false: the user restarts, now or later. */
static void look_without_restart(const struct node_apply *a, const struct node_step *confirming,
                                 bool *is_pending) {
    struct err why = {0};
    *is_pending = !is_ok(confirm(a, confirming->handler, confirming->is_absent, 0, &why));
    if (*is_pending) {
        log_warn("restart-systemd-unit is false: restart containerd, then run this again (%s)",
                 why.text);
    }
}

RESULT node_apply_confirm(const struct node_apply *a, const struct node_plan *plan,
                          struct node_applied *out, struct err *err) {
    const struct node_step *restarting = find_step(plan, NODE_RESTART);
    const struct node_step *confirming = find_step(plan, NODE_CONFIRM);
    if (confirming == NULL) {
        return OK;
    }
    if (a->settings->no_restart) {
        look_without_restart(a, confirming, &out->is_pending);
        return OK;
    }
    struct result r = restarting != NULL ? restart(a, restarting->reason, err) : OK;
    if (is_ok(r)) {
        r = confirm(a, confirming->handler, confirming->is_absent, a->settings->confirm_ms, err);
    }
    if (is_ok(r) || r.code == ERR_CANCELED || a->journal->edit_count == 0) {
        return r;
    }
    struct err back;
    struct result undone = roll_back(a, err->text, &back);
    out->is_rolled_back = is_ok(undone);
    return is_ok(undone) ? err_wrap(r, err, "rolled back, the node is as before")
                         : err_wrap(r, err, "rolling back failed, too (%s)", back.text);
}
