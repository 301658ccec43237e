/* Handler name: contrast-cc-<platform>-<8 hexadecimal digits>.
 *
 * The digits are the first of SHA-256 over all that decides what a pod gets: each file's path,
 * digest and mode, the Kata configuration, and the form of containerd's entry. Two versions of the
 * runtime never share a name, so installing one never touches what pods of the other run.
 *
 *   "contrast-runtime-v1\n"
 *   "<path> <digest> x|-\n"     each file, by the order of the paths' bytes
 *   the Kata configuration for the base "@@runtimeBase@@"
 *
 * Pure. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_HANDLER_NAME_H
#define CONTRAST_HANDLER_NAME_H

#include "installer/node_config.h"

#define HANDLER_NAME_SIZE 64 /* bytes, with the NUL: a DNS label */

/* `digests` has one entry per file of the config: its integrity, or for a file without one that of
 * its bytes. A name in the configuration wins. */
void handler_name_make(const struct node_config *config, const struct sri *digests,
                       char out[HANDLER_NAME_SIZE]);

/* Whether two handlers are versions of one platform's: they differ behind the last hyphen alone. */
bool handler_name_is_related(const char *a, const char *b);

#endif
