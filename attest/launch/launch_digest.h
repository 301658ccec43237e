/* Launch digest: the chain of SHA-384 over the pages that a host loads before an SEV-SNP guest
 * runs. A report's MEASUREMENT is its last value.
 *
 *   LD = SHA-384(PAGE_INFO), for each 4 KiB page, also those loaded as 2 MiB (AMD 56860, section
 *   SNP_LAUNCH_UPDATE, table PAGE_INFO):
 *     0: LD so far[48]    48: contents[48]    96: u16 size 0x70    98: u8 page type    99: u8 IMI
 *   100: VMPL permissions[4], zero            104: u64 guest physical address
 *
 * Contents is the SHA-384 of a NORMAL or VMSA page and zero for every other type: where such a page
 * lies is measured, what it holds is not. Pure: no allocation of its own, no I/O.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LAUNCH_DIGEST_H
#define CONTRAST_LAUNCH_DIGEST_H

#include <stdint.h>

#include "lib/base/bytes.h"

#define LAUNCH_PAGE_SIZE 4096
#define LAUNCH_DIGEST_SIZE 48
/* Where KVM places a VMSA in the chain, whatever a file says. */
#define LAUNCH_VMSA_GPA UINT64_C(0xFFFFFFFFF000)

enum launch_page {
    LAUNCH_PAGE_NORMAL = 1,
    LAUNCH_PAGE_VMSA = 2,
    LAUNCH_PAGE_ZERO = 3,
    LAUNCH_PAGE_UNMEASURED = 4,
    LAUNCH_PAGE_SECRETS = 5,
    LAUNCH_PAGE_CPUID = 6,
};

/* A zeroed one is the digest of no page. */
struct launch_digest {
    uint8_t value[LAUNCH_DIGEST_SIZE];
};

/* One page of any type. `contents` is the SHA-384 of its 4096 bytes for NORMAL and VMSA, and NULL
 * for the others. `gpa` is the page's guest physical address. */
void launch_digest_add(struct launch_digest *d, enum launch_page type, uint64_t gpa,
                       const uint8_t contents[LAUNCH_DIGEST_SIZE]);
/* One NORMAL or VMSA page from its 4096 bytes. */
void launch_digest_add_page(struct launch_digest *d, enum launch_page type, uint64_t gpa,
                            const uint8_t page[LAUNCH_PAGE_SIZE]);
/* `size` bytes (a multiple of 4096) of a type without contents, from `gpa` up. */
void launch_digest_add_range(struct launch_digest *d, enum launch_page type, uint64_t gpa,
                             uint64_t size);
/* The NORMAL pages of an image (a multiple of 4096 bytes) that lies at `gpa`. */
void launch_digest_add_image(struct launch_digest *d, uint64_t gpa, struct span image);
/* SHA-384 of a page of zeros. */
void launch_digest_zero_contents(uint8_t out[LAUNCH_DIGEST_SIZE]);

#endif
