/* Fuzz: any two byte strings as revocation lists, cut at the first byte's length. Each covers
 * itself, and one that covers what is no list at all revokes at least nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/err.h"
#include "lib/crypto/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    size_t cut = data[0] < size ? data[0] : size - 1;
    struct span first = span_of(data + 1, cut);
    struct span second = span_of(data + 1 + cut, size - 1 - cut);
    bool both = crl_covers(first, second) && crl_covers(second, first);
    CHECK(crl_covers(first, first) && crl_covers(first, (struct span){0}));
    CHECK(!both || crl_covers(first, (struct span){0}));
    return 0;
}
