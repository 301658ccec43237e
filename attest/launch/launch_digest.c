/* Launch digest: see launch_digest.h.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/launch/launch_digest.h"

#include <string.h>

#include "lib/crypto/digest.h"

#define PAGE_INFO_SIZE 0x70
#define PAGE_INFO_CONTENTS 48
#define PAGE_INFO_LENGTH 96
#define PAGE_INFO_TYPE 98
#define PAGE_INFO_GPA 104

void launch_digest_add(struct launch_digest *d, enum launch_page type, uint64_t gpa,
                       const uint8_t contents[LAUNCH_DIGEST_SIZE]) {
    bool has_contents = type == LAUNCH_PAGE_NORMAL || type == LAUNCH_PAGE_VMSA;
    CHECK(has_contents == (contents != NULL));
    uint8_t info[PAGE_INFO_SIZE] = {0};
    memcpy(info, d->value, LAUNCH_DIGEST_SIZE);
    if (contents != NULL) {
        memcpy(info + PAGE_INFO_CONTENTS, contents, LAUNCH_DIGEST_SIZE);
    }
    info[PAGE_INFO_LENGTH] = PAGE_INFO_SIZE;
    info[PAGE_INFO_TYPE] = (uint8_t)type;
    store_u64le(info + PAGE_INFO_GPA, gpa);
    sha384(SPAN(info), d->value);
}

void launch_digest_add_page(struct launch_digest *d, enum launch_page type, uint64_t gpa,
                            const uint8_t page[LAUNCH_PAGE_SIZE]) {
    uint8_t contents[LAUNCH_DIGEST_SIZE];
    sha384(span_of(page, LAUNCH_PAGE_SIZE), contents);
    launch_digest_add(d, type, gpa, contents);
}

void launch_digest_add_range(struct launch_digest *d, enum launch_page type, uint64_t gpa,
                             uint64_t size) {
    CHECK(size % LAUNCH_PAGE_SIZE == 0);
    for (uint64_t at = 0; at < size; at += LAUNCH_PAGE_SIZE) {
        launch_digest_add(d, type, gpa + at, NULL);
    }
}

void launch_digest_add_image(struct launch_digest *d, uint64_t gpa, struct span image) {
    CHECK(image.size % LAUNCH_PAGE_SIZE == 0);
    for (size_t at = 0; at < image.size; at += LAUNCH_PAGE_SIZE) {
        launch_digest_add_page(d, LAUNCH_PAGE_NORMAL, gpa + at, image.data + at);
    }
}

void launch_digest_zero_contents(uint8_t out[LAUNCH_DIGEST_SIZE]) {
    static const uint8_t zeros[LAUNCH_PAGE_SIZE];
    sha384(SPAN(zeros), out);
}
