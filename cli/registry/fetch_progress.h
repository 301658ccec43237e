/* Progress of fetching: what is being loaded, how far it is and how fast.
 *
 *   docker.io/library/nginx:1 layer 2/6 sha256:1f2e.. 12.4 of 40.1 MB, 9.8 MB/s     on a terminal
 *   {"event":"layer","image":...,"layer":2,"layers":6,...}                          elsewhere
 *
 * A terminal's line is rewritten in place; JSON lines come at the start, at the end, and once a
 * second between them. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FETCH_PROGRESS_H
#define CONTRAST_FETCH_PROGRESS_H

#include "lib/base/bytes.h"
#include "lib/base/host.h"

enum fetch_progress_mode {
    FETCH_PROGRESS_AUTO, /* TERMINAL on a terminal, else JSON */
    FETCH_PROGRESS_QUIET,
    FETCH_PROGRESS_TERMINAL,
    FETCH_PROGRESS_JSON
};

struct fetch_progress {
    enum fetch_progress_mode mode;
    const struct host *host;
    int fd; /* borrowed; what cannot be written is not missed */
    /* of the layer that is being loaded; set by fetch_progress_begin */
    const char *image; /* borrowed until fetch_progress_end, as digest */
    const char *digest;
    size_t layer; /* from 1 */
    size_t layers;
    uint64_t total; /* bytes of the blob */
    uint64_t done;
    uint64_t begun_ms;
    uint64_t shown_ms;
};

/* TERMINAL when `fd` is one, else JSON; the caller may choose otherwise afterwards. */
void fetch_progress_init(struct fetch_progress *p, int fd);

/* `p` may be NULL in all three: nobody watches. */
void fetch_progress_begin(struct fetch_progress *p, const char *image, size_t layer, size_t layers,
                          const char *digest, uint64_t total);
void fetch_progress_add(struct fetch_progress *p, uint64_t bytes);
/* `outcome`: "done", "cached" or "failed". */
void fetch_progress_end(struct fetch_progress *p, const char *outcome);

#endif
