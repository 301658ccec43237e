/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry/oci_config.h"
#include "cli/registry/oci_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct oci_manifest m = {0};
    struct oci_config c = {0};
    struct err err = {0};
    if (is_ok(oci_manifest_parse(span_of(data, size), NULL, &m, &err))) {
        CHECK(m.is_index ? m.layer_count == 0 : m.layer_count > 0);
        oci_manifest_deinit(&m);
    } else {
        CHECK(err.text[0] != '\0');
    }
    if (is_ok(oci_config_parse(span_of(data, size), &c, &err))) {
        CHECK(c.user != NULL && c.working_dir != NULL);
        oci_config_deinit(&c);
    }
    return 0;
}
