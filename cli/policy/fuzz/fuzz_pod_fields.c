/* Fields of any workload, as the user wrote it: policy data, or an error that says where. Warnings
 * and notes on other kinds are lines of valid text.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/policy/kind_note.h"
#include "cli/policy/policy_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_text(void *context, const char *text) {
    (void)context;
    CHECK(strncmp(text, "fuzz:", 5) == 0 && strchr(text, '\n') == NULL);
}

static void try_workload(const struct workload *w) {
    static const char *const paths[] = {"spec.containers[].new", "metadata.new", "[]", ""};
    static const struct policy_inputs inputs = {.allowed = {paths, 4}, .warner = {on_text, NULL}};
    struct err err = {0};
    json_t *out = NULL;
    if (is_ok(policy_data_make(w, &inputs, &out, &err))) {
        CHECK(json_array_size(json_object_get(out, "containers")) > 1);
    } else {
        CHECK(out == NULL && strncmp(err.text, "fuzz:", 5) == 0);
    }
    json_decref(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct yaml_file file = {0};
    struct workload_list list = {0};
    if (is_ok(yaml_parse("fuzz", span_of(data, size), &file, NULL))) {
        kind_note_each(&file, on_text, NULL);
        if (is_ok(workload_find(&file, &list, NULL))) {
            for (size_t i = 0; i < list.count; i++) {
                try_workload(&list.items[i]);
            }
        }
    }
    workload_list_deinit(&list);
    yaml_file_deinit(&file);
    return 0;
}
