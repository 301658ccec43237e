/* Pod policy: finds the runtime policy of a workload, as the host's container runtime would.
 *
 *   kind: Pod           metadata.annotations
 *   kind: CronJob       spec.jobTemplate.spec.template.metadata.annotations
 *   any other workload  spec.template.metadata.annotations
 *     io.katacontainers.config.agent.policy: <base64 of the policy document>
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_PODPOLICY_H
#define CONTRAST_PODPOLICY_H

#include "lib/base/bytes.h"

#define PODPOLICY_ANNOTATION "io.katacontainers.config.agent.policy"

/* Appends the decoded policy of the one workload in `file` that has a pod, or of the one whose
 * metadata.name is `name` (may be NULL). INVALID names file, place and what to change: malformed
 * YAML, no or several workloads, no annotation, bad base64, over LIMIT_POLICY. */
RESULT podpolicy_find(const char *file, const char *name, struct buf *policy, struct err *err);

#endif
