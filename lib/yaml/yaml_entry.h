/* YAML entries: exchanging items of a sequence for others, anywhere in it.
 *
 * What one splice put in, byte for byte, another takes out again. In block sequences whole lines
 * go, with the comment behind their values and without the comment lines around them. Refused,
 * INVALID with the position: sequences that an alias brings to several places, items with anchors
 * in them (an alias may need them), and items that share their line with another collection.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_YAML_ENTRY_H
#define CONTRAST_YAML_ENTRY_H

#include "lib/yaml/yaml_edit.h"

/* Which items of a sequence go, by index, and what comes instead. */
struct yaml_entry_splice {
    size_t first;
    size_t removed;                /* items; first + removed <= count of the sequence */
    const struct yaml_text *items; /* as for yaml_edit_add_item */
    size_t inserted;               /* items; one item at least must be left in the end */
};

/* Exchanges items of a sequence that has some. */
RESULT yaml_entry_splice(struct yaml_edits *e, const struct yaml_node *sequence,
                         const struct yaml_entry_splice *splice, struct err *err);

#endif
