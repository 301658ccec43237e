/* Fuzz: any bytes as the end of a firmware image, filled up to whole pages in front. What parses
 * launches, with and without a kernel, and as an SVSM, or is refused with a reason.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "attest/launch/ovmf_launch.h"
#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FOUR_GIB (UINT64_C(1) << 32)
/* Sections of more pages parse, and are not launched here: an input shall take milliseconds. */
#define PAGES_MAX 512

static bool is_small(const struct ovmf *o) {
    uint64_t pages = 0;
    for (size_t i = 0; i < o->section_count; i++) {
        CHECK(o->sections[i].size % LAUNCH_PAGE_SIZE == 0);
        CHECK((uint64_t)o->sections[i].gpa + o->sections[i].size <= FOUR_GIB);
        pages += o->sections[i].size / LAUNCH_PAGE_SIZE;
    }
    CHECK(pages <= LIMIT_OVMF_SECTION_PAGES);
    return pages <= PAGES_MAX;
}

static void launch(const struct ovmf *o, struct ovmf_launch *launch) {
    static const enum vmsa_vmm vmms[] = {VMSA_QEMU, VMSA_EC2, VMSA_GCE};
    for (size_t i = 0; i < 3; i++) {
        struct launch_digest d;
        struct launch_digest again;
        launch->vmsa.vmm = vmms[i];
        struct result r = ovmf_launch_digest(o, launch, &d, NULL);
        CHECK(is_ok(r) || r.code == ERR_INVALID);
        if (is_ok(r)) {
            CHECK(is_ok(ovmf_launch_digest(o, launch, &again, NULL)));
            CHECK(memcmp(&d, &again, sizeof d) == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct ovmf_kernel kernel = {.kernel = {1}};
    size_t whole = (size + LAUNCH_PAGE_SIZE - 1) / LAUNCH_PAGE_SIZE * LAUNCH_PAGE_SIZE;
    uint8_t *image = mem_zalloc(whole + 1);
    memcpy(image + whole - size, data, size);
    struct ovmf o;
    if (is_ok(ovmf_parse(span_of(image, whole), FOUR_GIB, &o, NULL)) && is_small(&o)) {
        struct ovmf_launch config = {.vcpus = 2, .vmsa = {.sev_features = 1}};
        launch(&o, &config);
        config.kernel = &kernel;
        launch(&o, &config);
        config.kernel = NULL;
        config.svsm = &o;
        launch(&o, &config);
    }
    mem_free(image);
    return 0;
}
