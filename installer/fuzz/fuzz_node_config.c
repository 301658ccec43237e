/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/node_config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted can be named, and its Kata configuration can be made. */
static void check(const struct node_config *c) {
    AUTO(buf_deinit)
    struct buf text = {0};
    kata_config_make(c->platform, &c->kata, "/opt", &text);
    CHECK(c->file_count > 0);
    for (size_t i = 0; i < c->file_count; i++) {
        CHECK(c->files[i].path[0] != '/' && strncmp(c->files[i].path, "../", 3) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct node_config it = {0};
    struct err err;
    if (is_ok(node_config_parse(span_of(data, size), NULL, &it, &err))) {
        check(&it);
    }
    node_config_deinit(&it);
    return 0;
}
