/* Endorse source: the endorser's way out, files and AMD's key service, with every proof made before
 * the core thread hears of it.
 *
 *   files at start   -> proven -> on_item                       (the caller's thread)
 *   fetch(key)       -> fetcher's thread -> proven -> CORE_FETCHED | CORE_FETCH_FAILED
 *
 * A VCEK is taken when it is its key's, valid now, below AMD's root or a permitted simulated one; a
 * list when such a root signed it. Below a simulated root the authorities come along: from files or
 * from the service's own chain. What is not taken is named in the log, with its file.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_ENDORSE_SOURCE_H
#define CONTRAST_ENDORSE_SOURCE_H

#include "coordinator/config.h"
#include "coordinator/core/entry.h"
#include "coordinator/mailbox.h"
#include "lib/base/host.h"

struct endorse_source;

/* Reads the files of CONTRAST_ENDORSEMENTS: `on_item` once for each that is taken, borrowed for the
 * call. Starts the fetcher unless CONTRAST_KDS_URL is off. CONFIG: path, address or CA file. All
 * pointers are borrowed and outlive the source. */
RESULT endorse_source_open(const struct config *config, const struct host *host,
                           struct mailbox *core,
                           void (*on_item)(void *data, const struct entry_collateral *item),
                           void *data, struct endorse_source **out, struct err *err);
/* Cuts what runs. No letter comes afterwards. Accepts NULL. */
void endorse_source_close(struct endorse_source *s);

bool endorse_source_has_service(const struct endorse_source *s);

/* One request to the service. Letters to the core thread, once: CORE_FETCHED (a COLLATERAL entry)
 * or CORE_FETCH_FAILED (code, text, retry_ms; bytes: the struct entry_endorsement). */
RESULT endorse_source_fetch(struct endorse_source *s, const struct entry_endorsement *key,
                            struct err *err);

#endif
