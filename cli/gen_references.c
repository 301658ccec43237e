/* Reference values from files: see gen_references.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli/gen_references.h"

#include "cli/image_reference.h"
#include "lib/base/file.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define MEASUREMENT "TrustedMeasurement"

/* What the files hold, before images and sets meet. */
struct sources {
    json_t *images;     /* owned: fields of each image */
    json_t *incomplete; /* owned: sets without a measurement */
    const char *image;  /* path of the first image; NULL without one */
};

static void sources_deinit(struct sources *s) {
    json_decref(s->images);
    json_decref(s->incomplete);
}

static RESULT check_policy(const char *path, const json_t *fields, struct err *err) {
    const json_t *policy = json_object_get(fields, "GuestPolicy");
    ENSURE(json_is_false(json_object_get(policy, "Debug")), err, INVALID,
           "%s: its guest policy permits debugging: the host could read every secret, and no "
           "manifest accepts such a guest. Build the image without it",
           path);
    ENSURE(json_is_false(json_object_get(policy, "MigrateMA")), err, INVALID,
           "%s: its guest policy permits a migration agent, and no manifest accepts such a guest. "
           "Build the image without it",
           path);
    return OK;
}

static RESULT read_image(struct sources *s, const char *path, struct err *err) {
    struct igvm_measurement m;
    TRY(image_reference_measure(path, 0, &m, err));
    json_t *warnings = image_reference_warnings(&m);
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        log_warn("%s: %s", path, json_string_value(json_array_get(warnings, i)));
    }
    json_decref(warnings);
    json_t *fields = image_reference_make(&m);
    CHECK(json_array_append_new(s->images, fields) == 0);
    s->image = s->image == NULL ? path : s->image;
    return check_policy(path, fields, err);
}

static RESULT read_json(struct sources *s, json_t *list, const char *path, struct err *err) {
    AUTO(buf_deinit)
    struct buf text = {0};
    TRY(file_read(path, LIMIT_MANIFEST, &text, err));
    json_error_t e;
    json_t *items = json_loadb((const char *)text.data, text.size,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    ENSURE(items != NULL, err, INVALID, "%s:%d:%d: %s", path, e.line, e.column, e.text);
    bool is_list = json_is_array(items) && json_array_size(items) > 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *set = json_array_get(items, i);
        bool is_whole = !json_is_object(set) || json_object_get(set, MEASUREMENT) != NULL;
        CHECK(json_array_append(is_whole ? list : s->incomplete, set) == 0);
    }
    json_decref(items);
    ENSURE(is_list, err, INVALID,
           "%s: must be a JSON list of SEV-SNP reference values, or an IGVM file", path);
    return OK;
}

/* A copy of `set` with those fields of the image that it leaves out. */
static json_t *merge(json_t *set, json_t *image) {
    json_t *merged = json_copy(set);
    CHECK(merged != NULL && json_object_update_missing(merged, image) == 0);
    return merged;
}

static RESULT join(struct sources *s, json_t *list, struct err *err) {
    size_t images = json_array_size(s->images);
    size_t sets = json_array_size(s->incomplete);
    ENSURE(images == 0 || sets > 0, err, INVALID,
           "%s gives TrustedMeasurement and GuestPolicy; an image does not say on which machines "
           "it runs. Name also a JSON file with --reference-values, with ProductName and "
           "MinimumTCB and without TrustedMeasurement: [{\"ProductName\": \"Milan\", "
           "\"MinimumTCB\": {\"BootloaderVersion\": 4, \"TEEVersion\": 0, \"SNPVersion\": 24, "
           "\"MicrocodeVersion\": 219}}]",
           s->image);
    if (images == 0) { /* what they lack is said with its JSON path by the manifest's parser */
        CHECK(json_array_extend(list, s->incomplete) == 0);
    }
    for (size_t i = 0; i < images; i++) {
        for (size_t k = 0; k < sets; k++) {
            ENSURE(json_array_size(list) < LIMIT_REFERENCE_VALUES, err, INVALID,
                   "images and sets give more than %d sets of reference values",
                   LIMIT_REFERENCE_VALUES);
            json_t *merged = merge(json_array_get(s->incomplete, k), json_array_get(s->images, i));
            CHECK(json_array_append_new(list, merged) == 0);
        }
    }
    return OK;
}

RESULT gen_references_read(json_t *list, const struct cli_list *paths, struct err *err) {
    AUTO(sources_deinit)
    struct sources s = {.images = json_array(), .incomplete = json_array()};
    for (size_t i = 0; i < paths->count; i++) {
        const char *path = paths->items[i];
        TRY(image_reference_is_igvm(path) ? read_image(&s, path, err)
                                          : read_json(&s, list, path, err));
    }
    return join(&s, list, err);
}
