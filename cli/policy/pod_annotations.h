/* Pod annotations: what stands below contrast.edgeless.systems/ on a pod, held against one table.
 *
 * docs/annotations.md has the same table for users. Refused, INVALID with position and path: names
 * that nobody knows (with the one that was meant), values of the wrong form, functions that this
 * version does not have, annotations that contradict one another, and annotations that stand on the
 * resource or among the labels, where nothing would read them. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_POD_ANNOTATIONS_H
#define CONTRAST_POD_ANNOTATIONS_H

#include "cli/policy/workload.h"

/* `is_skipping`: no pod gets an initializer, whatever its annotation says. */
RESULT pod_annotations_check(const struct workload *w, bool is_skipping, struct err *err);

/* INVALID as above: position of `at`, path of the annotation `key`, text. */
RESULT pod_annotations_fail(const struct workload *w, const struct yaml_node *at, const char *key,
                            struct err *err, const char *format, ...) PRINTF_LIKE(5, 6);

#endif
