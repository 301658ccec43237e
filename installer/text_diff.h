/* A unified diff of two texts, for people: what `--dry-run` prints.
 *
 * Lines are compared after what both have in common at their ends; over LIMIT_DIFF_LINES different
 * lines on a side the old ones are all shown as removed and the new ones as added. Pure.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_TEXT_DIFF_H
#define CONTRAST_TEXT_DIFF_H

#include "lib/base/bytes.h"

/* Appends "--- old", "+++ new" and the hunks with three lines of context; nothing for equal texts.
 * Control characters but tab are shown as '?'. */
void text_diff(const char *old_name, const char *new_name, struct span old_text,
               struct span new_text, struct buf *out);

#endif
