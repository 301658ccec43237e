/* Lists: the revocation lists that this replica judges by. Immutable once published, counted, freed
 * by whoever lets go last.
 *
 * The core thread makes them of what the log holds and of what this replica imported or fetched
 * itself, but for those that another one makes needless, and sends them to every session thread
 * ahead of the replies that depend on them. They are there before founding, too: a manifest
 * that demands a list can be founded.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_LISTS_H
#define CONTRAST_LISTS_H

#include "coordinator/core/core.h"

struct lists;

/* One reference; everything copied. Without the rows that another one outdates
 * (core_crl_outdates). At most LIMIT_COLLATERAL_CRLS: `first` goes before `second`. */
struct lists *lists_new(const struct core_crl *first, size_t first_count,
                        const struct core_crl *second, size_t second_count);
struct lists *lists_ref(struct lists *l);
void lists_unref(struct lists *l); /* accepts NULL */

bool lists_same(const struct lists *a, const struct lists *b); /* accepts NULL */

/* DER, for snp_options.crls; NULL has none. */
const struct span *lists_spans(const struct lists *l, size_t *count);
const struct core_crl *lists_rows(const struct lists *l, size_t *count);
/* Unix seconds that are over, whatever this host's clock says or said: when the newest of them was
 * signed. 0 without any. */
int64_t lists_time(const struct lists *l);

#endif
