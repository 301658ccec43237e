/* Staging: a file of the payload on its way to the host, and whether it is there already.
 *
 *   url -> hash while writing -> compare -> fsync -> rename      (node_root.h)
 *
 * A file with wrong bytes never gets its name. A file that is there with the right bytes and mode
 * is left alone: that it is, its digest says, or, for one that this program wrote and nobody
 * touched since (inode, size, time of change), the journal. A running program is never written
 * into: its new bytes come as another file under the same name.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_NODE_STAGE_H
#define CONTRAST_NODE_STAGE_H

#include "installer/node_config.h"
#include "installer/node_fetch.h"
#include "installer/node_journal.h"

/* The digest that a file must have: its integrity, or SHA-256 of the bytes of a file:// without
 * one. Errors as node_fetch. */
RESULT node_stage_expect(const struct node_file *file, const volatile sig_atomic_t *stop,
                         struct sri *out, struct err *err);

/* Whether the host has it. `known`: what the journal says, or NULL. *found is filled when it is:
 * for the journal, with `path` borrowed. */
RESULT node_stage_look(const struct node_root *root, const char *path, const struct sri *want,
                       mode_t mode, const struct node_installed_file *known, bool *is_there,
                       struct node_installed_file *found, struct err *err);

/* Puts it there. DIFFERS, with both digests, for wrong bytes; else as node_fetch, and IO. */
RESULT node_stage_put(const struct node_root *root, const char *url, const char *path,
                      const struct sri *want, mode_t mode, const volatile sig_atomic_t *stop,
                      struct node_installed_file *out, struct err *err);

#endif
