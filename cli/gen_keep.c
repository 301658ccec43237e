/* Kept entries: pods and entries are matched best fit first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_keep.h"

#include <stdlib.h>
#include <string.h>

#include "cli/policy/policy_text.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/crypto/digest.h"

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

/* --- Pods */

static bool old_hash(const struct workload *w, const char *key, bool is_initdata, char *out) {
    struct workload before = *w;
    before.policy_key = key;
    before.is_initdata = is_initdata;
    before.policy = yaml_key(yaml_get(w->pod, "metadata.annotations"), key);
    AUTO(buf_deinit)
    struct buf document = {0};
    uint8_t digest[SHA256_SIZE];
    if (before.policy == NULL || !is_ok(policy_text_decode(&before, &document, NULL))) {
        return false;
    }
    sha256(buf_span(&document), digest);
    hex_encode(SPAN(digest), out);
    return true;
}

#define LABEL_MAX 63 /* RFC 1035 section 2.3.4 */

/* The name as certificates may carry it: without the dash at the end of a generateName. Empty when
 * a label is too long, as Kubernetes permits: then the pod has no name of its own. */
static void append_dns_name(const char *name, struct buf *out) {
    size_t size = strlen(name);
    while (size > 0 && (name[size - 1] == '-' || name[size - 1] == '.')) {
        size--;
    }
    size_t label = 0;
    for (size_t i = 0; i < size; i++) {
        label = name[i] == '.' ? 0 : label + 1;
        if (label > LABEL_MAX) {
            return;
        }
    }
    buf_append(out, name, size);
}

void gen_keep_add(json_t *pods, const char *hash, const struct workload *w) {
    char old[2 * SHA256_SIZE + 1];
    AUTO(buf_deinit)
    struct buf san = {0};
    append_dns_name(w->name, &san);
    json_t *pod = json_pack("{s:s, s:s, s:o, s:b}", "hash", hash, "name", buf_cstr(&san), "id",
                            json_sprintf("%s/%s/%s", w->namespace, w->kind, w->name), "coordinator",
                            w->is_coordinator ? 1 : 0);
    CHECK(pod != NULL);
    if (old_hash(w, w->policy_key, w->is_initdata, old) ||
        old_hash(w, WORKLOAD_POLICY_ANNOTATION, false, old) ||
        old_hash(w, WORKLOAD_INITDATA_ANNOTATION, true, old)) {
        json_object_set_new(pod, "old", json_string(old));
    }
    if (w->secret_id != NULL) {
        json_object_set_new(pod, "secret", json_string(w->secret_id));
    }
    json_array_append_new(pods, pod);
}

/* --- Which entry is whose */

static bool is_about(const json_t *entry, const json_t *pod) {
    const char *id = text_of(entry, "WorkloadSecretID");
    const json_t *sans = json_object_get(entry, "SANs");
    if (id != NULL && strcmp(id, text_of(pod, "id")) == 0) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(sans); i++) {
        if (strcmp(json_string_value(json_array_get(sans, i)), text_of(pod, "name")) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_old(const char *hash, const json_t *pod) {
    const char *old = text_of(pod, "old");
    return old != NULL && strcmp(old, hash) == 0;
}

static bool has_default_id(const json_t *entry, const json_t *pod) {
    const char *id = text_of(entry, "WorkloadSecretID");
    return id != NULL && strcmp(id, text_of(pod, "id")) == 0;
}

#define WAYS 4

/* The header's list, from 0. */
static bool fits(size_t way, const char *hash, const json_t *entry, const json_t *pod) {
    switch (way) {
    case 0:
        return strcmp(hash, text_of(pod, "hash")) == 0;
    case 1:
        return is_old(hash, pod) && is_about(entry, pod);
    case 2:
        return has_default_id(entry, pod);
    default:
        return is_old(hash, pod);
    }
}

/* Moves the first entry of `left` that fits to the pod's place in `kept`. */
static void match(size_t way, const json_t *pod, json_t *left, json_t *kept) {
    for (void *it = json_object_iter(left); it != NULL; it = json_object_iter_next(left, it)) {
        const char *hash = json_object_iter_key(it);
        json_t *entry = json_object_iter_value(it);
        if (fits(way, hash, entry, pod)) {
            json_object_set_new(kept, text_of(pod, "hash"), json_deep_copy(entry));
            (void)json_object_del(left, hash);
            return;
        }
    }
}

/* --- Entries */

static json_t *new_entry(const json_t *pod) {
    const char *secret = text_of(pod, "secret");
    const char *name = text_of(pod, "name");
    json_t *sans = name[0] != '\0' ? json_pack("[s, s]", name, "*") : json_pack("[s]", "*");
    json_t *entry = json_pack("{s:o, s:s}", "SANs", sans, "WorkloadSecretID",
                              secret != NULL ? secret : text_of(pod, "id"));
    CHECK(entry != NULL);
    return entry;
}

static void apply_secret(const json_t *pod, json_t *entry) {
    const char *secret = text_of(pod, "secret");
    const char *kept = text_of(entry, "WorkloadSecretID");
    if (secret == NULL || (kept != NULL && strcmp(kept, secret) == 0)) {
        return;
    }
    if (kept != NULL && strcmp(kept, text_of(pod, "id")) != 0) {
        log_warn("manifest: %s: WorkloadSecretID is now \"%s\", as the pod's annotation "
                 "workload-secret-id says; it was \"%s\"",
                 text_of(pod, "id"), secret, kept);
    }
    json_object_set_new(entry, "WorkloadSecretID", json_string(secret));
}

static void apply_role(const json_t *pod, json_t *entry) {
    const char *role = text_of(entry, "Role");
    if (json_is_true(json_object_get(pod, "coordinator"))) {
        json_object_set_new(entry, "Role", json_string("coordinator"));
    } else if (role != NULL && role[0] != '\0') {
        log_warn("manifest: %s keeps the role \"%s\" that its entry has, although its YAML has no "
                 "annotation pod-role; remove Role from the entry if that is wrong",
                 text_of(pod, "id"), role);
    }
}

static void warn_gone(const char *hash, const json_t *entry) {
    char *text = json_dumps(entry, JSON_COMPACT);
    CHECK(text != NULL);
    log_warn("manifest: no pod has the policy %.16s... any more; its entry is gone: %.300s", hash,
             text);
    free(text);
}

static int compare_hashes(const void *a, const void *b) {
    return strcmp(text_of(*(json_t *const *)a, "hash"), text_of(*(json_t *const *)b, "hash"));
}

/* The pods in the order of their hashes: what comes out must not depend on that of the files. */
static json_t **sort_pods(const json_t *pods) {
    size_t count = json_array_size(pods);
    json_t **sorted = mem_calloc(count + 1, sizeof *sorted);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = json_array_get(pods, i);
    }
    qsort(sorted, count, sizeof *sorted, compare_hashes);
    return sorted;
}

json_t *gen_keep_entries(const json_t *pods, const json_t *before) {
    size_t count = json_array_size(pods);
    json_t **sorted = sort_pods(pods);
    json_t *left = before != NULL ? json_copy((json_t *)(uintptr_t)before) : json_object();
    json_t *kept = json_object();
    json_t *entries = json_object();
    for (size_t way = 0; way < WAYS; way++) {
        for (size_t i = 0; i < count; i++) {
            if (json_object_get(kept, text_of(sorted[i], "hash")) == NULL) {
                match(way, sorted[i], left, kept);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        const char *hash = text_of(sorted[i], "hash");
        json_t *entry = json_object_get(kept, hash);
        entry = entry != NULL ? json_incref(entry) : new_entry(sorted[i]);
        apply_secret(sorted[i], entry);
        apply_role(sorted[i], entry);
        json_object_set_new(entries, hash, entry);
    }
    for (void *it = json_object_iter(left); it != NULL; it = json_object_iter_next(left, it)) {
        warn_gone(json_object_iter_key(it), json_object_iter_value(it));
    }
    json_decref(left);
    json_decref(kept);
    mem_free(sorted);
    return entries;
}
