/* Enroll config: what an initializer is told by its environment.
 *
 * Owner digests and roots lie in the pod's own measured policy: the host cannot change them without
 * changing the pod's identity. So they say which Coordinator to believe.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENROLL_CONFIG_H
#define CONTRAST_ENROLL_CONFIG_H

#include "lib/base/bytes.h"
#include "lib/base/limits.h"
#include "lib/base/log.h"

#define ENROLL_PATH_SIZE 1024 /* bytes, with the NUL */
#define ENROLL_PORT 7777      /* mesh API */

struct enroll_config {
    char host[LIMIT_ADDRESS + 1];
    uint16_t port;
    uint8_t owner_digests[LIMIT_OWNER_KEYS][32];
    size_t owner_count;
    uint8_t permitted_roots[LIMIT_REFERENCE_VALUES][32]; /* simulated roots; normally none */
    size_t permitted_root_count;
    char issuer[ENROLL_PATH_SIZE + 8]; /* attest/issuer.h */
    char dir[ENROLL_PATH_SIZE];
    char termination_log[ENROLL_PATH_SIZE]; /* "" = none */
    enum log_level log_level;
    bool is_renewing;      /* stays and renews; else ends with the first certificate */
    unsigned long check_s; /* seconds between two looks at the Coordinator */
};

/* Reads the environment through `get`. CONFIG names the variable, the value and what is wanted. */
RESULT enroll_config_read(const char *(*get)(const char *name), struct enroll_config *out,
                          struct err *err);

/* The text of --help: every variable, its default and meaning. */
extern const char enroll_config_help[];

#endif
