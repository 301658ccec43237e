/* Any bytes as a policy document; what is read is compared with a fixed one. What is read of the
 * document itself must read the same again. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/policy/policy_diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char fixed[] =
        "package agent_policy\n\npolicy_data := {\"containers\": [{\"name\": \"w\", \"caps\": "
        "[\"A\"], \"env\": [\"A=1\"], \"mounts\": [{\"at\": \"/\"}], \"images\": [\"i\"]}]}\n";
    struct policy_document_list list = {0};
    struct policy_document_list other = {0};
    if (is_ok(policy_read("fuzz", span_of(data, size), &list, NULL))) {
        CHECK(is_ok(policy_read("fixed", span_str(fixed), &other, NULL)));
        json_decref(policy_diff(&other, &list));
        json_decref(policy_diff(&list, &other));
        json_t *same = policy_diff(&list, &list);
        CHECK(json_array_size(same) == 0 || list.count > 1);
        json_decref(same);
    }
    policy_document_list_deinit(&list);
    policy_document_list_deinit(&other);
    return 0;
}
