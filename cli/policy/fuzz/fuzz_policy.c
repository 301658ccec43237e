/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject.h"
#include "cli/policy/policy_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that generate does with one pod: an error that says where, or a policy. */
static void try_workload(const struct workload *w, const struct image_list *images,
                         struct yaml_edits *edits) {
    const struct policy_inputs inputs = {.images = images, .files = w->file, .file_count = 1};
    static const struct inject_config config = {.initializer_image = "image",
                                                .service_mesh_image = "mesh",
                                                .owner_digests = "aa",
                                                .permitted_roots = ""};
    struct err err = {0};
    struct buf policy = {0};
    if (!is_ok(inject_pod(w, &config, edits, &err)) ||
        !is_ok(policy_text_make(w, &inputs, &policy, &err)) ||
        !is_ok(inject_policy(w, buf_span(&policy), edits, &err))) {
        CHECK(err.text[0] != '\0');
    }
    buf_deinit(&policy);
    err_ignore(policy_text_decode(w, &policy, NULL), "any annotation may stand there");
    buf_deinit(&policy);
}

/* An image "i" that has everything. */
static void make_image(struct image *out) {
    static const char config[] =
        "{\"config\": {\"User\": \"web\", \"Env\": [\"A=image\", \"PATH=/bin\"], \"Entrypoint\": "
        "[\"/e\"], \"Cmd\": [\"c\"], \"WorkingDir\": \"/w\", \"Volumes\": {\"/v\": {}}}}";
    CHECK(is_ok(image_read("i", span_str(config), out, NULL)));
    buf_append_str(&out->passwd, "web:x:1000:1001::/:/bin/sh\n");
    buf_append_str(&out->group, "team:x:60:web\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct yaml_file file = {0};
    struct workload_list list = {0};
    struct image image = {0};
    make_image(&image);
    const struct image_list images = {&image, 1};
    if (is_ok(yaml_parse("fuzz", span_of(data, size), &file, NULL)) &&
        is_ok(workload_find(&file, &list, NULL))) {
        struct yaml_edits edits;
        yaml_edits_init(&edits, &file);
        for (size_t i = 0; i < list.count; i++) {
            try_workload(&list.items[i], &images, &edits);
        }
        struct buf out = {0};
        err_ignore(yaml_edits_apply(&edits, &out, NULL), "an alias may be edited twice");
        buf_deinit(&out);
        yaml_edits_deinit(&edits);
    }
    image_deinit(&image);
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    return 0;
}
