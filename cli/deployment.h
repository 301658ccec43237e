/* Deployment: the policies of the pods in YAML files, held against a manifest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_DEPLOYMENT_H
#define CONTRAST_DEPLOYMENT_H

#include "cli/cli.h"
#include "lib/manifest/manifest.h"

struct deployment_policy {
    uint8_t hash[32];
    struct buf text;
    char *owner; /* "Deployment/web in web.yaml"; owned */
};

struct deployment {
    struct deployment_policy *items; /* owned; no hash twice */
    size_t count;
};
void deployment_deinit(struct deployment *d); /* accepts zeroed */

/* Reads the policy annotations of all workloads in files and folders. INVALID with the position;
 * NOT_FOUND when there is none. */
RESULT deployment_read(const struct cli_list *paths, struct deployment *out, struct err *err);

/* INVALID names every policy that one of the two has and the other lacks. */
RESULT deployment_check(const struct deployment *d, const struct manifest *m, struct err *err);

/* NULL when no pod has it. */
const struct deployment_policy *deployment_find(const struct deployment *d, const uint8_t hash[32]);

#endif
