/* Objects of a run: every resource of all files, by API group, kind, namespace and name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_OBJECTS_H
#define CONTRAST_GEN_OBJECTS_H

#include "lib/yaml/yaml.h"

/* Two objects that the API server would take for one (the later overwrites the former) are an
 * error: INVALID with the places of both. Items of a List count as objects; what has no kind or no
 * name (generateName, values of charts) is passed over. Group and namespace as in the file: "apps"
 * of "apps/v1", "default" where none is named. Pure. */
RESULT gen_objects_check_unique(const struct yaml_file *files, size_t count, struct err *err);

#endif
