/* YAML edits: changes to the text of a file that leave every other byte alone.
 *
 * An edit replaces a byte range by new text; comments, order, quotes, anchors and line ends outside
 * of the ranges stay. New block entries go *before* the first entry of their collection, and before
 * the comment lines that belong to that entry: there the indentation is known and no trailing
 * comment or missing line feed matters. A key behind a dash keeps its place ("- name: a"): then
 * they go before the second.
 *
 *     spec:                    spec:
 *       # the program            volumes:
 *       containers:      ->      - name: scratch
 *       - name: a                # the program
 *                                containers:
 *                                - name: a
 *
 * What an edit inserts is given twice: as block lines (relative indentation, LF between lines, none
 * at the end) and as flow text for collections written in brackets; JSON stays JSON when the flow
 * text is. In a node that an alias brings to several places the same edit counts once; edits that
 * want different text there are refused. INVALID: those, entries behind the colon of a "? key", and
 * places where the brackets of a flow collection are left out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_YAML_EDIT_H
#define CONTRAST_YAML_EDIT_H

#include "lib/yaml/yaml.h"

struct yaml_edit;
struct yaml_edits {
    const struct yaml_file *file; /* borrowed */
    struct yaml_edit *items;      /* owned */
    size_t count;                 /* edits */
};

struct yaml_text {
    const char *block; /* "name: a\nimage: b" */
    const char *flow;  /* "{name: a, image: b}"; for a pair: "key: {...}" */
};

void yaml_edits_init(struct yaml_edits *e, const struct yaml_file *file);
void yaml_edits_deinit(struct yaml_edits *e);

/* Puts a pair ("key: value" in both texts) into a mapping. */
RESULT yaml_edit_add_pair(struct yaml_edits *e, const struct yaml_node *mapping,
                          struct yaml_text pair, struct err *err);
/* Puts an item (block text without the dash) first into a sequence. */
RESULT yaml_edit_add_item(struct yaml_edits *e, const struct yaml_node *sequence,
                          struct yaml_text item, struct err *err);
/* Replaces a node that is the value of a pair or an item; no edit when it has that text already.
 * A null value that stands nowhere ("key:") is filled. */
RESULT yaml_edit_replace(struct yaml_edits *e, const struct yaml_node *node, struct yaml_text text,
                         struct err *err);

/* Replaces the bytes from offset start to end by `text`, as it stands; the caller knows what they
 * are. Both offsets lie in the text, start <= end. */
void yaml_edit_range(struct yaml_edits *e, size_t start, size_t end, struct span text);

/* Takes entries out of a collection, with their lines and the comments behind them; comment lines
 * above stay. `drop` has one flag for each of collection->count. INVALID for all entries of a block
 * collection (remove the pair that holds it instead) and for mappings with a merge key. Not
 * together with other edits of these entries. */
RESULT yaml_edit_remove(struct yaml_edits *e, const struct yaml_node *collection, const bool *drop,
                        struct err *err);

/* Appends the edited text to `out`. Ranges that overlap are a bug: INTERNAL. */
RESULT yaml_edits_apply(struct yaml_edits *e, struct buf *out, struct err *err);

#endif
