/* Kind notes: resources that generate leaves alone, and what their user should know of that.
 *
 * Built-in kinds that start no pods are passed over in silence. Of any other kind nothing is known:
 * it may be a custom resource whose operator makes pods, and those would have no policy. A document
 * without a kind is told of as well. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_KIND_NOTE_H
#define CONTRAST_KIND_NOTE_H

#include "lib/yaml/yaml.h"

/* Called with "web.yaml:3:1: Rollout/web (argoproj.io/v1alpha1): ...". */
typedef void kind_note_fn(void *context, const char *text);

/* One note per resource of the file, also of the items of a List, that is neither a workload nor a
 * built-in kind. */
void kind_note_each(const struct yaml_file *file, kind_note_fn *note, void *context);

#endif
