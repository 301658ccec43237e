/* Recoveries: see recoveries.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/recoveries.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/workspace.h"
#include "lib/base/limits.h"

/* Every recovery twice, with all its signatures in hexadecimal. */
#define FILE_MAX (LIMIT_EPOCHS * (4096 + 4 * LIMIT_SHARE_OWNERS * (LIMIT_PKCS1 + 1200)))

void recoveries_deinit(struct recoveries *r) {
    json_decref(r->root);
    *r = (struct recoveries){0};
}

/* ---- JSON ---- */

static json_t *to_hex(struct span bytes) {
    AUTO(buf_deinit)
    struct buf text = {0};
    hex_encode(bytes, (char *)buf_extend(&text, 2 * bytes.size + 1));
    return json_string((const char *)text.data);
}

json_t *recoveries_to_json(const struct recovery *r) {
    uint8_t hash[32];
    recovery_hash(r, hash);
    json_t *o =
        json_pack("{s:o, s:I, s:I, s:s, s:I, s:o}", "cluster", to_hex(SPAN(r->cluster)), "epoch",
                  (json_int_t)r->epoch, "previous_epoch", (json_int_t)r->previous_epoch, "mode",
                  recovery_mode_name(r->mode), "generation", (json_int_t)r->generation,
                  "transition", to_hex(SPAN(r->head)));
    json_object_update_new(
        o, json_pack("{s:I, s:I, s:o, s:o, s:o}", "index", (json_int_t)r->index, "ledger_size",
                     (json_int_t)r->ledger_size, "ledger_root", to_hex(SPAN(r->ledger_root)),
                     "recipient", to_hex(SPAN(r->recipient)), "recovery", to_hex(SPAN(hash))));
    return o;
}

static json_t *signatures_to_json(const struct transition_recovery *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->signature_count; i++) {
        json_array_append_new(list, json_pack("{s:o, s:o}", "key", to_hex(r->signatures[i].key),
                                              "signature", to_hex(r->signatures[i].signature)));
    }
    return list;
}

static json_t *list_of(const struct recoveries *r, const char *name) {
    return json_object_get(r->root, name);
}

static void make_root(struct recoveries *r) {
    if (r->root == NULL) {
        r->root = json_pack("{s:[], s:[]}", "seen", "signed");
    }
}

/* ---- the file ---- */

static RESULT check_row(const json_t *row, const char *list, size_t index, struct err *err) {
    static const char *const digests[] = {"cluster", "recovery"};
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        uint8_t bytes[32];
        const char *text = json_string_value(json_object_get(row, digests[i]));
        ENSURE(text != NULL && is_ok(hex_decode(span_str(text), bytes, sizeof bytes, NULL)), err,
               CONFIG, "%s[%zu].%s: want 64 hexadecimal digits", list, index, digests[i]);
    }
    const json_t *epoch = json_object_get(row, "epoch");
    ENSURE(json_is_integer(epoch) && json_integer_value(epoch) > 0, err, CONFIG,
           "%s[%zu].epoch: want a number above 0", list, index);
    return OK;
}

static RESULT check_list(const struct recoveries *r, const char *name, struct err *err) {
    const json_t *list = list_of(r, name);
    ENSURE(json_is_array(list), err, CONFIG, "%s: want a list", name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        TRY(check_row(json_array_get(list, i), name, i, err));
    }
    return OK;
}

static RESULT parse(struct span text, struct recoveries *out, struct err *err) {
    AUTO(recoveries_deinit)
    struct recoveries r = {
        json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, NULL)};
    ENSURE(json_is_object(r.root), err, CONFIG, "not a JSON object");
    TRY(check_list(&r, "seen", err));
    TRY(check_list(&r, "signed", err));
    *out = r;
    r = (struct recoveries){0};
    return OK;
}

struct result recoveries_read(const char *workspace, struct recoveries *out, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    bool found = false;
    TRY(workspace_read(workspace, RECOVERIES_FILE, FILE_MAX, &text, &found, err));
    if (!found) {
        *out = (struct recoveries){0};
        make_root(out);
        return OK;
    }
    return err_wrap(parse(buf_span(&text), out, err), err, "%s/%s", workspace, RECOVERIES_FILE);
}

struct result recoveries_write(const char *workspace, const struct recoveries *r, struct err *err) {
    char *text = json_dumps(r->root, JSON_INDENT(2));
    struct result done = workspace_write(workspace, RECOVERIES_FILE, span_str(text), err);
    free(text); /* jansson's */
    return done;
}

/* ---- what it says ---- */

static bool has_hex(const json_t *row, const char *key, const uint8_t want[32]) {
    char hex[65];
    hex_encode(span_of(want, 32), hex);
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL && strcmp(text, hex) == 0;
}

static uint64_t highest_of(const struct recoveries *r, const char *list,
                           const uint8_t cluster[32]) {
    uint64_t highest = 0;
    for (size_t i = 0; i < json_array_size(list_of(r, list)); i++) {
        const json_t *row = json_array_get(list_of(r, list), i);
        uint64_t epoch = (uint64_t)json_integer_value(json_object_get(row, "epoch"));
        if (has_hex(row, "cluster", cluster) && epoch > highest) {
            highest = epoch;
        }
    }
    return highest;
}

uint64_t recoveries_seen(const struct recoveries *r, const uint8_t cluster[32]) {
    return highest_of(r, "seen", cluster);
}

uint64_t recoveries_highest(const struct recoveries *r, const uint8_t cluster[32]) {
    uint64_t seen = highest_of(r, "seen", cluster);
    uint64_t is_signed = highest_of(r, "signed", cluster);
    return seen > is_signed ? seen : is_signed;
}

/* The row of this cluster and epoch, or NULL. */
static json_t *find(const struct recoveries *r, const char *list, const struct recovery *recovery) {
    for (size_t i = 0; i < json_array_size(list_of(r, list)); i++) {
        json_t *row = json_array_get(list_of(r, list), i);
        uint64_t epoch = (uint64_t)json_integer_value(json_object_get(row, "epoch"));
        if (has_hex(row, "cluster", recovery->cluster) && epoch == recovery->epoch) {
            return row;
        }
    }
    return NULL;
}

struct result recoveries_check_signed(const struct recoveries *r, const struct recovery *recovery,
                                      bool *is_signed, struct err *err) {
    uint8_t hash[32];
    const json_t *row = find(r, "signed", recovery);
    recovery_hash(recovery, hash);
    ENSURE(
        row == NULL || has_hex(row, "recovery", hash), err, FORK,
        "epoch %" PRIu64
        " was signed from here before, for another state or another replica: open a new session, "
        "which asks for a higher epoch",
        recovery->epoch);
    *is_signed = row != NULL;
    return OK;
}

struct result recoveries_check_seen(const struct recoveries *r,
                                    const struct transition_recovery *items, size_t count,
                                    struct err *err) {
    for (size_t i = 0; i < count; i++) {
        uint8_t hash[32];
        char hex[65];
        const json_t *row = find(r, "seen", &items[i].recovery);
        recovery_hash(&items[i].recovery, hash);
        hex_encode(SPAN(hash), hex);
        ENSURE(row == NULL || has_hex(row, "recovery", hash), err, FORK,
               "epoch %" PRIu64 " began with recovery %s, and with %s when it was verified from "
               "here: share owners recovered twice, there are two deployments (the proof of the "
               "other is in %s)",
               items[i].recovery.epoch, hex, json_string_value(json_object_get(row, "recovery")),
               RECOVERIES_FILE);
    }
    return OK;
}

void recoveries_add_signed(struct recoveries *r, const struct recovery *recovery) {
    make_root(r);
    if (find(r, "signed", recovery) == NULL) {
        json_array_append_new(list_of(r, "signed"), recoveries_to_json(recovery));
    }
}

void recoveries_add_seen(struct recoveries *r, const struct transition_recovery *items,
                         size_t count) {
    make_root(r);
    for (size_t i = 0; i < count; i++) {
        if (find(r, "seen", &items[i].recovery) == NULL) {
            json_t *row = recoveries_to_json(&items[i].recovery);
            json_object_set_new(row, "signatures", signatures_to_json(&items[i]));
            json_array_append_new(list_of(r, "seen"), row);
        }
    }
}
