/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(void *context, int64_t gid) {
    (void)context;
    CHECK(gid >= 0 && gid <= UINT32_MAX);
}

/* The first byte says where the config ends and passwd and group begin: size / 256 * byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    size_t at = 1 + (size - 1) * data[0] / 255;
    struct image image = {0};
    struct image_user user = {0};
    if (is_ok(image_read("i", span_of(data + 1, at - 1), &image, NULL))) {
        buf_append(&image.passwd, data + at, size - at);
        buf_append(&image.group, data + at, size - at);
        if (is_ok(image_user_of_config(&image, true, &user, NULL))) {
            CHECK(user.uid >= 0 && user.uid <= UINT32_MAX && user.gid <= UINT32_MAX);
            image_each_group(&image, user.name, add, NULL);
        }
    }
    image_deinit(&image);
    return 0;
}
