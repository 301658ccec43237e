/* Inject edit: pieces made as JSON, written as block or flow YAML, whichever the file uses there.
 *
 * Each function takes the reference of `value`. Nothing is edited where the file says the same
 * already, in whatever style. Failure: INVALID with the position for places that cannot be edited.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_INJECT_EDIT_H
#define CONTRAST_INJECT_EDIT_H

#include <jansson.h>

#include "lib/yaml/yaml_edit.h"

/* Values of variables get quotes; other strings only where YAML needs them. */
RESULT inject_edit_replace(struct yaml_edits *e, const struct yaml_node *node, json_t *value,
                           struct err *err);
/* Sets mapping.key: adds the pair, or replaces its value. */
RESULT inject_edit_set(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                       json_t *value, struct err *err);
/* Puts an item first into the list mapping.key, which may be missing. */
RESULT inject_edit_add(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                       json_t *item, struct err *err);
/* Exchanges `removed` items from index `first` on for those of the array; something must be left
 * in the list. */
RESULT inject_edit_splice(struct yaml_edits *e, const struct yaml_node *list, size_t first,
                          size_t removed, json_t *values, struct err *err);

/* Takes pairs out of a mapping that has others; all of one mapping in one call. */
RESULT inject_edit_remove(struct yaml_edits *e, const struct yaml_node *mapping,
                          const char *const *keys, size_t count, struct err *err);
/* For the list mapping.key, of which nothing is wanted any more: brackets in a block mapping are
 * emptied, for the user wrote them; else *is_gone is set, and the caller takes the pair out. */
RESULT inject_edit_empty(struct yaml_edits *e, const struct yaml_node *mapping, const char *key,
                         bool *is_gone, struct err *err);

/* --- Looking. `node` may be NULL. */

bool inject_edit_is_list(const struct yaml_node *node);
bool inject_edit_has_text(const struct yaml_node *node, const char *text);
/* The first mapping of a list whose `key` is the scalar `value`; NULL = none. */
const struct yaml_node *inject_edit_find(const struct yaml_node *list, const char *key,
                                         const char *value);
/* True when the node says what the value says: same types, same keys in any order. */
bool inject_edit_is_same(const struct yaml_node *node, const json_t *value);

#endif
