/* The manifest under construction: what is kept of the old one, keys, reference values, policies.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_GEN_MANIFEST_H
#define CONTRAST_GEN_MANIFEST_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/gen_files.h"
#include "cli/policy/workload.h"

struct gen_manifest {
    json_t *references; /* owned: the snp list */
    json_t *owners;     /* owned: sorted list of digests */
    json_t *shares;     /* owned: sorted list of share owner keys */
    json_t *pods;       /* owned: gen_keep_add */
    json_t *before;     /* owned: Policies of the manifest until now; NULL = none */
    json_t *recovery;   /* SeedShareOwnerThreshold and AutoRecovery, where they are set */
};

void gen_manifest_init(struct gen_manifest *m);
void gen_manifest_deinit(struct gen_manifest *m);

/* Keeps reference values and keys of the manifest at `path`, if there is one, and what its entries
 * say about pods that come again (gen_keep.h). It must be valid. */
RESULT gen_manifest_load(struct gen_manifest *m, const char *path, struct err *err);
/* Reference values from files (gen_references.h), in place of what was kept. */
RESULT gen_manifest_read_references(struct gen_manifest *m, const struct cli_list *paths,
                                    struct err *err);
/* Adds the keys in `paths`; none given and none kept: that of `fallback`, which is made (put into
 * `outputs`, not yet written) when absent. */
RESULT gen_manifest_add_owners(struct gen_manifest *m, const struct cli_list *paths,
                               const char *fallback, struct gen_files *outputs, struct err *err);
RESULT gen_manifest_add_shares(struct gen_manifest *m, const struct cli_list *paths,
                               const char *fallback, struct gen_files *outputs, struct err *err);

/* How many share owners together may recover; 0 leaves what the manifest says. */
void gen_manifest_set_threshold(struct gen_manifest *m, int64_t threshold);

/* Comma separated, sorted, unique; appended to `out`. */
void gen_manifest_owner_list(const struct gen_manifest *m, struct buf *out);
void gen_manifest_root_list(const struct gen_manifest *m, struct buf *out);

/* INVALID when another pod has the same policy, unless both get generated names: one entry then.
 * `hash` is 64 hex digits. `w` as it is before the new policy is written into it: the policy in its
 * annotation tells which entry was its own. */
RESULT gen_manifest_add_policy(struct gen_manifest *m, const char *hash, const struct workload *w,
                               struct err *err);
/* Appends the JSON text, indented by two, with a line feed; checked by manifest_parse. */
RESULT gen_manifest_print(const struct gen_manifest *m, struct buf *out, struct err *err);

#endif
