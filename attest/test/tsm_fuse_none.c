/* TSM over FUSE where libfuse 3 is not installed: never starts, and the test says so.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "attest/test/tsm_fuse.h"

bool tsm_fuse_start(struct tsm_fuse *t, const struct snp_fixture *machine, const char **why) {
    (void)machine;
    *t = (struct tsm_fuse){0};
    *why = "libfuse 3 was not found when this was built: scripts/deps --test";
    return false;
}

void tsm_fuse_stop(struct tsm_fuse *t) {
    (void)t;
}
