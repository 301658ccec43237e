/* YAML entries: taking items and pairs out of collections, and exchanging items for others.
 *
 * The opposite of yaml_edit_add_pair and yaml_edit_add_item: what one of these put in, byte for
 * byte, goes out again. In block collections whole lines go, with the comment behind their values
 * and without the lines above and below. Refused, INVALID with the position: collections and
 * entries with anchors, aliases or tags (their text may stand elsewhere), and entries that share
 * their line with another collection.
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

/* Takes out one pair of a mapping that has others; the key must be there. */
RESULT yaml_entry_remove_pair(struct yaml_edits *e, const struct yaml_node *mapping,
                              const char *key, struct err *err);

/* INVALID when the node, or one below it, has an anchor or stands there by an alias. */
RESULT yaml_entry_check_single(const struct yaml_file *file, const struct yaml_node *node,
                               struct err *err);

#endif
