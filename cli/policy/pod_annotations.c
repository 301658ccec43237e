/* Pod annotations: one row per name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/pod_annotations.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/policy/mesh_spec.h"
#include "lib/base/limits.h"

#define PREFIX WORKLOAD_ANNOTATION_PREFIX
#define NAME_MAX_SIZE 64 /* names that a suggestion is looked for */
#define NEAR 3           /* letters that a suggestion may differ in */

/* Says what is wrong with the text, without position. */
typedef RESULT check_fn(const struct workload *w, const char *text, struct err *err);

static RESULT check_bool(const struct workload *w, const char *text, struct err *err) {
    (void)w;
    ENSURE(strcmp(text, "true") == 0 || strcmp(text, "false") == 0, err, INVALID,
           "must be \"true\" or \"false\"");
    return OK;
}

static RESULT check_profile(const struct workload *w, const char *text, struct err *err) {
    (void)w;
    ENSURE(strcmp(text, "annotation") == 0 || strcmp(text, "initdata") == 0, err, INVALID,
           "must be \"annotation\" or \"initdata\"");
    return OK;
}

/* workload_find read it. */
static RESULT check_role(const struct workload *w, const char *text, struct err *err) {
    ENSURE(w->is_coordinator || text[0] != '\0', err, INVALID, "must be \"coordinator\"");
    return OK;
}

static RESULT check_secret_id(const struct workload *w, const char *text, struct err *err) {
    (void)w;
    ENSURE(strlen(text) <= LIMIT_SECRET_ID, err, INVALID, "%zu bytes, limit %d", strlen(text),
           LIMIT_SECRET_ID);
    for (const char *p = text; *p != '\0'; p++) {
        ENSURE(iscntrl((unsigned char)*p) == 0, err, INVALID, "has a control character");
    }
    return OK;
}

static RESULT check_ingress(const struct workload *w, const char *text, struct err *err) {
    (void)w;
    return mesh_spec_check_ingress(text, err);
}

static RESULT check_egress(const struct workload *w, const char *text, struct err *err) {
    (void)w;
    return mesh_spec_check_egress(text, err);
}

static RESULT check_admin(const struct workload *w, const char *text, struct err *err) {
    uint16_t port = 0;
    bool has_egress = w->mesh_egress != NULL && is_ok(mesh_spec_check_egress(w->mesh_egress, NULL));
    return mesh_spec_check_admin(text, has_egress ? w->mesh_egress : NULL, &port, err);
}

static RESULT refuse_secure_pv(const struct workload *w, const char *text, struct err *err) {
    (void)w;
    (void)text;
    return err_set(err, ERR_INVALID,
                   "this version cannot encrypt a volume, and the volume would stay open to the "
                   "host; remove the annotation and let the application encrypt, with a key from "
                   "/contrast/secrets/workload-secret-seed");
}

/* A store is for images that the guest pulls. Layers of the other profile lie on block devices. */
static RESULT check_image_store(const struct workload *w, const char *text, struct err *err) {
    ENSURE(isdigit((unsigned char)text[0]) != 0, err, INVALID,
           "must be a quantity such as \"10Gi\", or \"0\"");
    ENSURE(!w->is_initdata || strcmp(text, "0") == 0, err, INVALID,
           "this version has no store for images: with policy-profile initdata they lie in the "
           "guest's memory; set \"0\" and raise the memory limit");
    return OK;
}

struct row {
    const char *name;
    check_fn *check;
    bool is_resource; /* may stand on the resource, too: it says nothing to us */
};

static const struct row rows[] = {
    {"expose-service", check_bool, true},
    {"image-store-size", check_image_store, false},
    {"pod-role", check_role, false},
    {"policy-profile", check_profile, false},
    {"renew-certificates", check_bool, false},
    {"secure-pv", refuse_secure_pv, false},
    {"servicemesh-admin-interface-port", check_admin, false},
    {"servicemesh-egress", check_egress, false},
    {"servicemesh-ingress", check_ingress, false},
    {"skip-initializer", check_bool, false},
    {"workload-secret-id", check_secret_id, false},
};

#define ROWS (sizeof rows / sizeof rows[0])

RESULT pod_annotations_fail(const struct workload *w, const struct yaml_node *at, const char *key,
                            struct err *err, const char *format, ...) {
    char text[500];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return yaml_fail(w->file, at, err, "%smetadata.annotations[\"%.100s\"]: %s", w->pod_path, key,
                     text);
}

/* --- Names */

static const struct row *find_row(const char *name) {
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c) {
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Letters to add, drop or exchange: Levenshtein's distance, row by row. */
static size_t distance(const char *a, const char *b) {
    size_t costs[NAME_MAX_SIZE + 1];
    size_t size = strlen(b);
    if (size > NAME_MAX_SIZE) {
        return SIZE_MAX;
    }
    for (size_t k = 0; k <= size; k++) {
        costs[k] = k;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t corner = i;
        costs[0] = i + 1;
        for (size_t k = 0; k < size; k++) {
            bool is_equal = tolower((unsigned char)a[i]) == b[k];
            size_t cost = least(corner + (is_equal ? 0 : 1), costs[k] + 1, costs[k + 1] + 1);
            corner = costs[k + 1];
            costs[k + 1] = cost;
        }
    }
    return costs[size];
}

static const char *nearest(const char *name) {
    const char *best = NULL;
    size_t best_distance = NEAR + 1;
    for (size_t i = 0; i < ROWS && strlen(name) <= NAME_MAX_SIZE; i++) {
        size_t d = distance(name, rows[i].name);
        if (d < best_distance) {
            best_distance = d;
            best = rows[i].name;
        }
    }
    return best;
}

static RESULT fail_unknown(const struct workload *w, const struct yaml_node *key, const char *path,
                           const char *name, struct err *err) {
    const char *best = nearest(name);
    if (best != NULL) {
        return yaml_fail(w->file, key, err,
                         "%s[\"%.200s\"]: unknown annotation; did you mean \"" PREFIX "%s\"?", path,
                         key->value, best);
    }
    return yaml_fail(w->file, key, err,
                     "%s[\"%.200s\"]: unknown annotation; `contrast generate` knows those of "
                     "docs/annotations.md",
                     path, key->value);
}

/* --- Values */

static RESULT check_pair(const struct workload *w, const struct yaml_pair *pair, struct err *err) {
    const char *name = pair->key->value + strlen(PREFIX);
    const struct row *row = find_row(name);
    const char *text = NULL;
    if (row == NULL) {
        char path[96];
        (void)snprintf(path, sizeof path, "%smetadata.annotations", w->pod_path);
        return fail_unknown(w, pair->key, path, name, err);
    }
    if (yaml_is_null(pair->value)) {
        return pod_annotations_fail(w, pair->key, pair->key->value, err,
                                    "has no value; give it one in quotes, or remove it");
    }
    if (!is_ok(yaml_read_string(w->file, pair->value, &text, NULL))) {
        return pod_annotations_fail(w, pair->value, pair->key->value, err,
                                    "must be a string; put the value in quotes");
    }
    struct err cause = {0};
    struct result r = row->check(w, text, &cause);
    return is_ok(r) ? OK
                    : pod_annotations_fail(w, pair->value, pair->key->value, err, "%s", cause.text);
}

static bool is_below_prefix(const struct yaml_pair *pair) {
    return strncmp(pair->key->value, PREFIX, strlen(PREFIX)) == 0;
}

/* Where they would be read by nobody. */
static RESULT refuse_in(const struct workload *w, const struct yaml_node *map, const char *path,
                        struct err *err) {
    for (size_t i = 0; map != NULL && map->kind == YAML_KIND_MAPPING && i < map->count; i++) {
        const struct yaml_node *key = map->pairs[i].key;
        if (!is_below_prefix(&map->pairs[i])) {
            continue;
        }
        const struct row *row = find_row(key->value + strlen(PREFIX));
        if (row == NULL) {
            return fail_unknown(w, key, path, key->value + strlen(PREFIX), err);
        }
        if (!row->is_resource) {
            return yaml_fail(w->file, key, err,
                             "%s[\"%s\"]: has no effect here; move it to %smetadata.annotations",
                             path, key->value, w->pod_path);
        }
    }
    return OK;
}

static RESULT check_places(const struct workload *w, struct err *err) {
    TRY(refuse_in(w, yaml_get(w->pod, "metadata.labels"), "metadata.labels", err));
    if (w->resource == w->pod) {
        return OK;
    }
    TRY(refuse_in(w, yaml_get(w->resource, "metadata.annotations"), "metadata.annotations", err));
    return refuse_in(w, yaml_get(w->resource, "spec.jobTemplate.metadata.annotations"),
                     "spec.jobTemplate.metadata.annotations", err);
}

/* --- Together */

static RESULT check_together(const struct workload *w, bool is_skipping, struct err *err) {
    const char *name = w->is_meshed ? "servicemesh-..." : "renew-certificates";
    const struct yaml_node *at = yaml_get(w->pod, "metadata.annotations");
    if (!w->is_meshed && !w->is_renewing) {
        return OK;
    }
    if (w->is_coordinator) {
        return yaml_fail(w->file, at, err,
                         "%smetadata.annotations: a Coordinator makes its own certificates; remove "
                         "%s",
                         w->pod_path, name);
    }
    if (is_skipping || w->is_skipping_initializer) {
        return yaml_fail(w->file, at, err,
                         "%smetadata.annotations: %s needs the initializer; remove it, or remove "
                         "%s",
                         w->pod_path, name,
                         is_skipping ? "--skip-initializer" : "skip-initializer");
    }
    return OK;
}

RESULT pod_annotations_check(const struct workload *w, bool is_skipping, struct err *err) {
    const struct yaml_node *map = yaml_get(w->pod, "metadata.annotations");
    TRY(check_places(w, err));
    for (size_t i = 0; map != NULL && map->kind == YAML_KIND_MAPPING && i < map->count; i++) {
        if (is_below_prefix(&map->pairs[i])) {
            TRY(check_pair(w, &map->pairs[i], err));
        }
    }
    return check_together(w, is_skipping, err);
}
