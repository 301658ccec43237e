/* Whether splitting and joining depend on what is secret: for constant_time.sh, which builds this
 * with MemorySanitizer. Secret bytes and coefficients are marked as undefined; the sanitizer stops
 * at the first branch or address that depends on them. With an argument this program makes such a
 * branch itself, and must not get through.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <sanitizer/msan_interface.h>
#include <string.h>

#include "meshca/shares.h"

#define COUNT 5
#define THRESHOLD 3

static void on_random(void *data, void *out, size_t size) {
    (void)data;
    memset(out, 0x5a, size);
    __msan_poison(out, size);
}

int main(int argc, char **argv) {
    (void)argv;
    const struct host host = {.random = on_random};
    struct secret *shares[COUNT] = {NULL};
    const struct secret *chosen[THRESHOLD] = {NULL};
    struct secret *joined = NULL;
    struct secret *secret = secret_new(SHARES_SECRET_SIZE);
    __msan_poison(secret_data(secret), SHARES_SECRET_SIZE);
    shares_split(&host, secret, THRESHOLD, COUNT, shares);
    for (size_t i = 0; i < THRESHOLD; i++) {
        chosen[i] = shares[i];
        CHECK(__msan_test_shadow(secret_data(shares[i]), 1) == -1); /* x is public */
        CHECK(__msan_test_shadow(secret_data(shares[i]) + 1, 1) == 0);
    }
    CHECK(is_ok(shares_join(chosen, THRESHOLD, &joined, NULL)));
    CHECK(__msan_test_shadow(secret_data(joined), 1) == 0);
    if (argc > 1 && secret_data(joined)[0] != 0) {
        return 3;
    }
    for (size_t i = 0; i < COUNT; i++) {
        secret_free(shares[i]);
    }
    secret_free(joined);
    secret_free(secret);
    return 0;
}
