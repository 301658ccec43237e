/* containerd's configuration: which file gets which bytes; see the header.
 *
 * Plain nodes and those of k3s and RKE2 part ways early. Everything is planned into a change of our
 * own, which is handed out only when all of it succeeded.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "installer/containerd/containerd_config.h"

#include <string.h>

#include "installer/containerd/containerd_check.h"
#include "installer/containerd/containerd_plan.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

void containerd_change_deinit(struct containerd_change *change) {
    for (size_t i = 0; i < change->count; i++) {
        mem_free(change->edits[i].path);
        buf_deinit(&change->edits[i].text);
    }
    *change = (struct containerd_change){0};
}

/* --- Versions */

static bool read_number(const char **p, unsigned *out) {
    unsigned value = 0;
    const char *start = *p;
    while (**p >= '0' && **p <= '9' && value < 100000) {
        value = value * 10 + (unsigned)(**p - '0');
        (*p)++;
    }
    *out = value;
    return *p > start;
}

static bool read_version(const char *word, struct containerd_version *out) {
    struct containerd_version v = {0};
    const char *p = *word == 'v' ? word + 1 : word;
    if (!read_number(&p, &v.major) || *p++ != '.' || !read_number(&p, &v.minor)) {
        return false;
    }
    if (*p == '.') {
        p++;
        (void)read_number(&p, &v.patch);
    }
    *out = v;
    return true;
}

RESULT containerd_version_parse(const char *text, struct containerd_version *out, struct err *err) {
    for (const char *p = text; *p != '\0'; p++) {
        bool starts_word = p == text || p[-1] == ' ' || p[-1] == '\t' || p[-1] == '\n';
        if (starts_word && read_version(p, out)) {
            return OK;
        }
    }
    return err_set(err, ERR_INVALID, "no version of containerd in \"%.100s\"", text);
}

RESULT containerd_config_schema(const char *name, struct span text, int *out, struct err *err) {
    AUTO(containerd_file_close)
    struct containerd_editor e = {0};
    TRY(containerd_file_open(&e, name, text, false, true, err));
    return containerd_check_schema_of(&e, out, err);
}

/* --- Outside */

static RESULT check_runtime(const struct containerd_plan *p) {
    const struct containerd_runtime *r = p->runtime;
    ENSURE(r->runtime_path[0] == '/' && r->config_path[0] == '/', p->err, CONFIG,
           "runtime %.64s: paths of shim and configuration must be absolute", p->handler);
    ENSURE(r->runtime_type[0] != '\0', p->err, CONFIG, "runtime %.64s has no type", p->handler);
    ENSURE(r->snapshotter != NULL || r->snapshotter_address == NULL, p->err, CONFIG,
           "runtime %.64s has the address of a snapshotter, but no snapshotter", p->handler);
    return OK;
}

static RESULT check_names(const struct containerd_plan *p) {
    struct span handler = span_str(p->handler);
    size_t prefix = strlen("contrast-cc-");
    ENSURE(containerd_handler_is_valid(handler) && handler.size > prefix &&
               memcmp(handler.data, "contrast-cc-", prefix) == 0,
           p->err, CONFIG,
           "\"%.64s\" is no name of a runtime of ours: contrast-cc-[a-z0-9-]+, %d "
           "bytes at most",
           p->handler, LIMIT_HANDLER);
    ENSURE(p->facts->path != NULL && p->facts->path[0] == '/', p->err, CONFIG,
           "the path of containerd's configuration must be absolute");
    return OK;
}

static RESULT hand_out(struct containerd_plan *p, struct result r, struct containerd_change *out) {
    if (!is_ok(r)) {
        containerd_change_deinit(&p->change);
        return r;
    }
    *out = p->change;
    return OK;
}

static RESULT plan_install(struct containerd_plan *p) {
    TRY(check_names(p));
    TRY(check_runtime(p));
    TRY(containerd_check_daemon(p));
    return p->facts->flavor == CONTAINERD_PLAIN ? containerd_plain_install(p)
                                                : containerd_rancher_install(p);
}

RESULT containerd_config_install(const struct containerd_facts *facts,
                                 const struct containerd_runtime *runtime,
                                 struct containerd_change *out, struct err *err) {
    struct containerd_plan p = {
        .facts = facts, .handler = runtime->handler, .runtime = runtime, .err = err};
    return hand_out(&p, plan_install(&p), out);
}

static RESULT plan_remove(struct containerd_plan *p) {
    TRY(check_names(p));
    if (p->facts->flavor == CONTAINERD_PLAIN) {
        TRY(containerd_plan_strip(p, CONTAINERD_MAIN, false));
    } else {
        TRY(containerd_plan_strip(p, CONTAINERD_TEMPLATE, true));
        TRY(containerd_plan_strip(p, CONTAINERD_TEMPLATE_V3, true));
    }
    return containerd_plan_no_drop_in(p);
}

RESULT containerd_config_remove(const struct containerd_facts *facts, const char *handler,
                                struct containerd_change *out, struct err *err) {
    struct containerd_plan p = {.facts = facts, .handler = handler, .err = err};
    return hand_out(&p, plan_remove(&p), out);
}

/* The names in "<handler> begin", "set for <handlers> begin" and "set for <handlers>". */
static void collect(struct span line, struct containerd_handlers *out) {
    const uint8_t *mark =
        line.size > 0 ? memmem(line.data, line.size, CONTAINERD_MARK, strlen(CONTAINERD_MARK))
                      : NULL;
    if (mark == NULL) {
        return;
    }
    const char *p = (const char *)mark + strlen(CONTAINERD_MARK);
    const char *end = (const char *)line.data + line.size;
    while (p < end && out->count < LIMIT_HANDLERS) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        const char *stop = space != NULL ? space : end;
        struct span word = span_of(p, (size_t)(stop - p));
        if (containerd_handler_is_valid(word) && word.size > strlen("contrast-cc-") &&
            memcmp(p, "contrast-cc-", strlen("contrast-cc-")) == 0) {
            containerd_handlers_add(out, word);
        }
        p = stop + 1;
    }
}

void containerd_config_handlers(struct span text, struct containerd_handlers *out) {
    *out = (struct containerd_handlers){0};
    for (size_t at = 0; at < text.size;) {
        const uint8_t *lf = memchr(text.data + at, '\n', text.size - at);
        size_t end = lf != NULL ? (size_t)(lf - text.data) : text.size;
        size_t size = end - at;
        if (size > 0 && text.data[at + size - 1] == '\r') {
            size--;
        }
        collect(span_of(text.data + at, size), out);
        at = end + 1;
    }
}
