/* Manifests by meaning: entries are paired, then compared field by field.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/manifest/manifest_diff.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/crypto/digest.h"
#include "lib/manifest/manifest.h"

#define HEX_SHOWN 16 /* digits of a long hexadecimal text in a line */

void manifest_change_list_deinit(struct manifest_change_list *list) {
    mem_free(list->items);
    arena_deinit(&list->arena);
    *list = (struct manifest_change_list){0};
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* --- Changes */

static char *keep_json(struct manifest_change_list *list, const json_t *value) {
    if (value == NULL) {
        return NULL;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    CHECK(text != NULL);
    char *kept = arena_strndup(&list->arena, text, strlen(text));
    free(text);
    return kept;
}

static void add(struct manifest_change_list *list, const char *path, const json_t *before,
                const json_t *after, struct buf *text) {
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = (struct manifest_change){
        arena_strndup(&list->arena, path, strlen(path)), keep_json(list, before),
        keep_json(list, after), arena_strndup(&list->arena, buf_cstr(text), text->size)};
}

static bool is_long_hex(const char *text) {
    size_t size = strlen(text);
    return size > 2 * HEX_SHOWN && text[strspn(text, "0123456789abcdef")] == '\0';
}

/* A string as it is, digests cut; other values as JSON. */
static void append_value(struct buf *out, const json_t *value) {
    const char *text = json_string_value(value);
    if (value == NULL) {
        buf_append_str(out, "the default");
    } else if (text != NULL && is_long_hex(text)) {
        buf_appendf(out, "%.*s...", HEX_SHOWN, text);
    } else if (text != NULL && text[0] != '\0') {
        buf_append_str(out, text);
    } else {
        char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        CHECK(json != NULL);
        buf_append_str(out, json);
        free(json);
    }
}

/* "name raised 23 -> 24" */
static void append_change(struct buf *out, const char *name, const json_t *before,
                          const json_t *after) {
    json_int_t old = json_integer_value(before);
    json_int_t new = json_integer_value(after);
    bool are_numbers = json_is_integer(before) && json_is_integer(after);
    buf_appendf(out, "%s %s", name, !are_numbers ? "" : new > old ? "raised " : "lowered ");
    append_value(out, before);
    buf_append_str(out, " -> ");
    append_value(out, after);
}

/* --- Lists that are sets */

static bool has_item(const json_t *list, const json_t *item) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), item)) {
            return true;
        }
    }
    return false;
}

struct place {
    struct manifest_change_list *list;
    const char *path;
    const char *owner; /* "default/Deployment/web: ", or "" */
    const char *noun;  /* "SAN" */
};

static void add_missing(const struct place *p, const json_t *from, const json_t *in, bool is_new) {
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *item = json_array_get(from, i);
        if (has_item(in, item)) {
            continue;
        }
        AUTO(buf_deinit)
        struct buf text = {0};
        buf_appendf(&text, "%s%s%s ", p->owner, is_new ? "+" : "-", p->noun);
        append_value(&text, item);
        add(p->list, p->path, is_new ? NULL : item, is_new ? item : NULL, &text);
    }
}

static void diff_sets(const struct place *p, const json_t *before, const json_t *after) {
    add_missing(p, after, before, true);
    add_missing(p, before, after, false);
}

/* --- Policies */

static void name_entry(const char *hash, const json_t *entry, struct buf *out) {
    const char *id = text_of(entry, "WorkloadSecretID");
    const char *san = json_string_value(json_array_get(json_object_get(entry, "SANs"), 0));
    if (id[0] != '\0') {
        buf_append_str(out, id);
    } else if (san != NULL && strcmp(san, "*") != 0) {
        buf_append_str(out, san);
    } else {
        buf_appendf(out, "policy %.*s...", HEX_SHOWN, hash);
    }
}

static void add_entry(struct manifest_change_list *list, const char *hash, const json_t *entry,
                      bool is_new) {
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf path = {0};
    const char *role = text_of(entry, "Role");
    buf_appendf(&path, "Policies.%s", hash);
    buf_appendf(&text, "%s%s ", is_new ? "+" : "-", role[0] != '\0' ? role : "workload");
    name_entry(hash, entry, &text);
    buf_appendf(&text, " (policy %.*s...)", HEX_SHOWN, hash);
    add(list, buf_cstr(&path), is_new ? NULL : entry, is_new ? entry : NULL, &text);
}

static void diff_word(const struct place *p, const json_t *before, const json_t *after,
                      const char *key, const char *none) {
    if (strcmp(text_of(before, key), text_of(after, key)) == 0) {
        return;
    }
    AUTO(buf_deinit)
    struct buf text = {0};
    AUTO(buf_deinit)
    struct buf path = {0};
    const char *old = text_of(before, key);
    const char *new = text_of(after, key);
    buf_appendf(&path, "%s.%s", p->path, key);
    buf_appendf(&text, "%s%s %s -> %s", p->owner, key, old[0] != '\0' ? old : none,
                new[0] != '\0' ? new : none);
    add(p->list, buf_cstr(&path), json_object_get(before, key), json_object_get(after, key), &text);
}

struct entry {
    const char *hash;
    const json_t *value;
};

static void diff_entry(struct manifest_change_list *list, const struct entry *before,
                       const struct entry *after) {
    AUTO(buf_deinit)
    struct buf owner = {0};
    AUTO(buf_deinit)
    struct buf path = {0};
    name_entry(after->hash, after->value, &owner);
    buf_append_str(&owner, ": ");
    buf_appendf(&path, "Policies.%s", after->hash);
    struct place place = {list, buf_cstr(&path), buf_cstr(&owner), "SAN"};
    if (strcmp(before->hash, after->hash) != 0) {
        AUTO(buf_deinit)
        struct buf text = {0};
        json_t *old = json_string(before->hash);
        json_t *new = json_string(after->hash);
        buf_append_str(&text, place.owner);
        append_change(&text, "policy", old, new);
        add(list, place.path, old, new, &text);
        json_decref(old);
        json_decref(new);
    }
    diff_word(&place, before->value, after->value, "Role", "workload");
    diff_word(&place, before->value, after->value, "WorkloadSecretID", "none");
    AUTO(buf_deinit)
    struct buf sans = {0};
    buf_appendf(&sans, "%s.SANs", place.path);
    place.path = buf_cstr(&sans);
    diff_sets(&place, json_object_get(before->value, "SANs"),
              json_object_get(after->value, "SANs"));
}

static bool same_set(const json_t *a, const json_t *b) {
    bool is_same = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; is_same && i < json_array_size(a); i++) {
        is_same = has_item(b, json_array_get(a, i)) && has_item(a, json_array_get(b, i));
    }
    return is_same;
}

/* The header's ways of pairing, best first. */
static bool is_same_pod(int way, const struct entry *a, const struct entry *b) {
    const char *id = text_of(a->value, "WorkloadSecretID");
    switch (way) {
    case 0:
        return strcmp(a->hash, b->hash) == 0;
    case 1:
        return id[0] != '\0' && strcmp(id, text_of(b->value, "WorkloadSecretID")) == 0;
    default:
        return strcmp(text_of(a->value, "Role"), text_of(b->value, "Role")) == 0 &&
               same_set(json_object_get(a->value, "SANs"), json_object_get(b->value, "SANs"));
    }
}

struct entries {
    struct entry *items; /* owned; sorted by hash */
    bool *is_paired;     /* owned */
    size_t count;
};

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->hash, ((const struct entry *)b)->hash);
}

static struct entries entries_of(const json_t *root) {
    json_t *policies = json_object_get(root, "Policies");
    size_t count = json_object_size(policies);
    struct entries e = {mem_calloc(count + 1, sizeof *e.items),
                        mem_calloc(count + 1, sizeof *e.is_paired), 0};
    for (void *it = json_object_iter(policies); it != NULL;
         it = json_object_iter_next(policies, it)) {
        e.items[e.count++] = (struct entry){json_object_iter_key(it), json_object_iter_value(it)};
    }
    qsort(e.items, e.count, sizeof *e.items, compare_entries);
    return e;
}

static void entries_deinit(struct entries *e) {
    mem_free(e->items);
    mem_free(e->is_paired);
}

/* partner[i]: the entry before that after->items[i] was, or SIZE_MAX. */
static void pair_entries(struct entries *before, struct entries *after, size_t *partner) {
    for (int way = 0; way < 3; way++) {
        for (size_t i = 0; i < after->count; i++) {
            for (size_t k = 0; k < before->count && !after->is_paired[i]; k++) {
                if (!before->is_paired[k] &&
                    is_same_pod(way, &before->items[k], &after->items[i])) {
                    partner[i] = k;
                    before->is_paired[k] = after->is_paired[i] = true;
                }
            }
        }
    }
}

static void diff_policies(struct manifest_change_list *list, const json_t *old, const json_t *new) {
    AUTO(entries_deinit)
    struct entries before = entries_of(old);
    AUTO(entries_deinit)
    struct entries after = entries_of(new);
    size_t *partner = mem_calloc(after.count + 1, sizeof *partner);
    pair_entries(&before, &after, partner);
    for (size_t i = 0; i < after.count; i++) {
        if (after.is_paired[i]) {
            diff_entry(list, &before.items[partner[i]], &after.items[i]);
        } else {
            add_entry(list, after.items[i].hash, after.items[i].value, true);
        }
    }
    for (size_t i = 0; i < before.count; i++) {
        if (!before.is_paired[i]) {
            add_entry(list, before.items[i].hash, before.items[i].value, false);
        }
    }
    mem_free(partner);
}

/* --- Reference values: flat objects "MinimumTCB.SNPVersion": 24, defaults left out */

static bool is_mask(const char *path) {
    return strcmp(path, "PlatformInfoRequired") == 0 ||
           strcmp(path, "PlatformInfoForbidden") == 0 ||
           strcmp(path, "MinimumMitigationVector") == 0;
}

static bool is_default(const char *path, const json_t *value) {
    if (strcmp(path, "PermitProvisionalFirmware") == 0) {
        return json_is_true(value);
    }
    if (strcmp(path, "CRL") == 0) {
        return json_is_string(value) && strcmp(json_string_value(value), "off") == 0;
    }
    if (strcmp(path, "PlatformInfoForbidden") == 0) {
        return false;
    }
    return json_is_null(value) || json_is_false(value) ||
           (json_is_integer(value) && json_integer_value(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_string(value) && strcmp(json_string_value(value), "0x0") == 0);
}

/* A mask in one spelling. */
static json_t *normal(const char *path, const json_t *value) {
    if (!is_mask(path)) {
        return json_deep_copy(value);
    }
    uint64_t mask = json_is_string(value) ? strtoull(json_string_value(value), NULL, 16)
                                          : (uint64_t)json_integer_value(value);
    return json_sprintf("0x%" PRIx64, mask);
}

/* Objects of a validated manifest nest two deep. */
static void flatten(const char *prefix, const json_t *object, json_t *flat) {
    json_t *held = json_incref((json_t *)(uintptr_t)object);
    for (void *it = json_object_iter(held); it != NULL; it = json_object_iter_next(held, it)) {
        char path[128];
        const json_t *value = json_object_iter_value(it);
        (void)snprintf(path, sizeof path, "%s%s%.80s", prefix, *prefix != '\0' ? "." : "",
                       json_object_iter_key(it));
        if (json_is_object(value)) {
            /* That it is there means something: what PlatformInfo does not permit is refused. */
            json_object_set_new(flat, path, json_true());
            flatten(path, value, flat);
            continue;
        }
        json_t *kept = normal(path, value);
        if (is_default(path, kept)) {
            json_decref(kept);
        } else {
            json_object_set_new(flat, path, kept);
        }
    }
    json_decref(held);
}

static json_t *flat_sets(const json_t *root) {
    const json_t *sets = json_object_get(json_object_get(root, "ReferenceValues"), "snp");
    json_t *flat = json_array();
    for (size_t i = 0; i < json_array_size(sets); i++) {
        json_t *set = json_object();
        flatten("", json_array_get(sets, i), set);
        json_array_append_new(flat, set);
    }
    return flat;
}

static void name_set(const json_t *set, struct buf *out) {
    buf_appendf(out, "reference values %s %.*s...", text_of(set, "ProductName"), HEX_SHOWN,
                text_of(set, "TrustedMeasurement"));
}

static void diff_field(const struct place *p, const char *name, const json_t *before,
                       const json_t *after) {
    AUTO(buf_deinit)
    struct buf path = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&path, "%s.%s", p->path, name);
    if (json_is_array(before) || json_is_array(after)) {
        const struct place inner = {p->list, buf_cstr(&path), p->owner, name};
        diff_sets(&inner, before, after);
        return;
    }
    json_t *zero = json_integer(0);
    buf_append_str(&text, p->owner);
    append_change(&text, name, before == NULL && json_is_integer(after) ? zero : before,
                  after == NULL && json_is_integer(before) ? zero : after);
    add(p->list, buf_cstr(&path), before, after, &text);
    json_decref(zero);
}

static void diff_set(struct manifest_change_list *list, size_t index, const json_t *before,
                     const json_t *after) {
    AUTO(buf_deinit)
    struct buf owner = {0};
    AUTO(buf_deinit)
    struct buf path = {0};
    name_set(after, &owner);
    buf_append_str(&owner, ": ");
    buf_appendf(&path, "ReferenceValues.snp[%zu]", index);
    const struct place place = {list, buf_cstr(&path), buf_cstr(&owner), ""};
    json_t *all = json_copy((json_t *)(uintptr_t)after);
    json_object_update_missing(all, (json_t *)(uintptr_t)before);
    for (void *it = json_object_iter(all); it != NULL; it = json_object_iter_next(all, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *old = json_object_get(before, name);
        const json_t *new = json_object_get(after, name);
        if (!json_equal(old, new)) {
            diff_field(&place, name, old, new);
        }
    }
    json_decref(all);
}

static void add_set(struct manifest_change_list *list, size_t index, const json_t *set,
                    bool is_new) {
    AUTO(buf_deinit)
    struct buf path = {0};
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_appendf(&path, "ReferenceValues.snp[%zu]", index);
    buf_append_str(&text, is_new ? "+" : "-");
    name_set(set, &text);
    add(list, buf_cstr(&path), is_new ? NULL : set, is_new ? set : NULL, &text);
}

static bool is_same_machine(int way, const json_t *a, const json_t *b) {
    bool same_product = strcmp(text_of(a, "ProductName"), text_of(b, "ProductName")) == 0;
    bool same_guest =
        strcmp(text_of(a, "TrustedMeasurement"), text_of(b, "TrustedMeasurement")) == 0;
    return way == 0 ? json_equal(a, b) : same_product && (same_guest || way == 2);
}

static void diff_references(struct manifest_change_list *list, const json_t *old,
                            const json_t *new) {
    json_t *before = flat_sets(old);
    json_t *after = flat_sets(new);
    size_t old_count = json_array_size(before);
    size_t new_count = json_array_size(after);
    bool *is_old_paired = mem_calloc(old_count + 1, sizeof *is_old_paired);
    bool *is_new_paired = mem_calloc(new_count + 1, sizeof *is_new_paired);
    for (int way = 0; way < 3; way++) {
        for (size_t i = 0; i < new_count; i++) {
            for (size_t k = 0; k < old_count && !is_new_paired[i]; k++) {
                const json_t *a = json_array_get(before, k);
                const json_t *b = json_array_get(after, i);
                if (!is_old_paired[k] && is_same_machine(way, a, b)) {
                    is_old_paired[k] = is_new_paired[i] = true;
                    diff_set(list, i, a, b);
                }
            }
        }
    }
    for (size_t i = 0; i < new_count; i++) {
        if (!is_new_paired[i]) {
            add_set(list, i, json_array_get(after, i), true);
        }
    }
    for (size_t i = 0; i < old_count; i++) {
        if (!is_old_paired[i]) {
            add_set(list, i, json_array_get(before, i), false);
        }
    }
    mem_free(is_old_paired);
    mem_free(is_new_paired);
    json_decref(before);
    json_decref(after);
}

/* --- Keys */

/* The digest by which messages name a share owner. */
static json_t *share_digests(const struct manifest *m) {
    json_t *list = json_array();
    for (size_t i = 0; i < m->share_owner_count; i++) {
        uint8_t digest[SHA256_SIZE];
        char hex[2 * SHA256_SIZE + 1];
        sha256(m->share_owners[i], digest);
        hex_encode(SPAN(digest), hex);
        json_array_append_new(list, json_string(hex));
    }
    return list;
}

static void diff_keys(struct manifest_change_list *list, const json_t *old, const json_t *new,
                      const struct manifest *before, const struct manifest *after) {
    const struct place owners = {list, "WorkloadOwnerKeyDigests", "", "owner key"};
    const struct place shares = {list, "SeedshareOwnerPubKeys", "", "share owner"};
    json_t *old_shares = share_digests(before);
    json_t *new_shares = share_digests(after);
    diff_sets(&owners, json_object_get(old, owners.path), json_object_get(new, owners.path));
    diff_sets(&shares, old_shares, new_shares);
    json_decref(old_shares);
    json_decref(new_shares);
}

static void diff_recovery(struct manifest_change_list *list, const struct manifest *before,
                          const struct manifest *after) {
    const struct {
        const char *name;
        json_t *old;
        json_t *new;
    } rows[] = {
        {"SeedShareOwnerThreshold", json_integer((json_int_t)before->share_threshold),
         json_integer((json_int_t)after->share_threshold)},
        {"AutoRecovery", json_boolean(before->auto_recovery), json_boolean(after->auto_recovery)},
    };
    for (size_t i = 0; i < 2; i++) {
        if (!json_equal(rows[i].old, rows[i].new)) {
            AUTO(buf_deinit)
            struct buf text = {0};
            append_change(&text, rows[i].name, rows[i].old, rows[i].new);
            add(list, rows[i].name, rows[i].old, rows[i].new, &text);
        }
        json_decref(rows[i].old);
        json_decref(rows[i].new);
    }
}

/* --- Public */

RESULT manifest_diff(struct span before, struct span after, struct manifest_change_list *out,
                     struct err *err) {
    AUTO(manifest_deinit)
    struct manifest old = {0};
    AUTO(manifest_deinit)
    struct manifest new = {0};
    TRY(manifest_parse(before, &old, err));
    TRY(manifest_parse(after, &new, err));
    json_t *old_root = json_loadb((const char *)before.data, before.size, 0, NULL);
    json_t *new_root = json_loadb((const char *)after.data, after.size, 0, NULL);
    CHECK(old_root != NULL && new_root != NULL);
    diff_policies(out, old_root, new_root);
    diff_references(out, old_root, new_root);
    diff_keys(out, old_root, new_root, &old, &new);
    diff_recovery(out, &old, &new);
    json_decref(old_root);
    json_decref(new_root);
    return OK;
}
