/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/inject.h"

#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the text with everything injected. */
static RESULT inject(struct span text, struct buf *out, struct err *err) {
    static const struct inject_config config = {.initializer_image = "init:1",
                                                .service_mesh_image = "mesh:1",
                                                .owner_digests = "aa",
                                                .permitted_roots = "",
                                                .force = true};
    AUTO(yaml_file_deinit)
    struct yaml_file file = {0};
    AUTO(workload_list_deinit)
    struct workload_list list = {0};
    AUTO(yaml_edits_deinit)
    struct yaml_edits edits = {0};
    TRY(yaml_parse("fuzz", text, &file, err));
    yaml_edits_init(&edits, &file);
    TRY(workload_find(&file, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        TRY(inject_pod(&list.items[i], &config, &edits, err));
    }
    return yaml_edits_apply(&edits, out, err);
}

/* What comes out is YAML again, and has nothing left to inject. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    log_init("fuzz", LOG_ERROR);
    struct err err = {0};
    AUTO(buf_deinit)
    struct buf first = {0};
    AUTO(buf_deinit)
    struct buf second = {0};
    if (!is_ok(inject(span_of(data, size), &first, &err))) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    struct result r = inject(buf_span(&first), &second, &err);
    CHECK(is_ok(r) && span_equal(buf_span(&first), buf_span(&second)));
    return 0;
}
