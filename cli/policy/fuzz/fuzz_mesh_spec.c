/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy/mesh_spec.h"

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct result r, const struct err *err) {
    CHECK(is_ok(r) || (r.code == ERR_INVALID && err->text[0] != '\0'));
}

/* Every text is taken, or refused with a reason. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err = {0};
    uint16_t port = 0;
    AUTO(buf_deinit)
    struct buf text = {0};
    buf_append(&text, data, size);
    const char *s = buf_cstr(&text);
    check(mesh_spec_check_ingress(s, &err), &err);
    struct result r = mesh_spec_check_egress(s, &err);
    check(r, &err);
    check(mesh_spec_check_admin("9901", is_ok(r) ? s : NULL, &port, &err), &err);
    check(mesh_spec_check_admin(s, NULL, &port, &err), &err);
    return 0;
}
