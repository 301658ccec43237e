/* Progress of fetching: what is being loaded, how far it is and how fast.
 *
 *     12.4 of    40.1 MB     9.8 MB/s  layer 2/6 of docker.io/library/nginx:1 (1f2e3d4c5b6a)
 *      3.0 of    11.0 MB     2.5 MB/s  layer 3/6 of docker.io/library/nginx:1 (0a9b8c7d6e5f)
 *
 *   {"event":"layer","image":...,"layer":2,"layers":6,...}                          elsewhere
 *
 * On a terminal the lines of all layers that are being loaded stand at its bottom and are drawn
 * again in place; those that are finished move up and stay, log lines too. Lines are cut to the
 * terminal's width. JSON lines come at the start, at the end, and once a second between them.
 *
 * Thread-safe but for init and deinit. SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRAST_FETCH_PROGRESS_H
#define CONTRAST_FETCH_PROGRESS_H

#include <pthread.h>

#include "lib/base/bytes.h"
#include "lib/base/host.h"

enum fetch_progress_mode {
    FETCH_PROGRESS_AUTO, /* TERMINAL on a terminal, else JSON */
    FETCH_PROGRESS_QUIET,
    FETCH_PROGRESS_TERMINAL,
    FETCH_PROGRESS_JSON
};

/* One layer that is being loaded; the caller's, from begin to end. Its members are
 * fetch_progress's, once it has begun. */
struct fetch_progress_line {
    struct fetch_progress *progress;
    const char *image;  /* borrowed until end, as digest */
    const char *digest; /* "sha256:..." */
    size_t layer;       /* from 1 */
    size_t layers;
    uint64_t total; /* bytes of the blob */
    uint64_t done;
    uint64_t begun_ms;
    uint64_t shown_ms;
    struct fetch_progress_line *next;
};

struct fetch_progress {
    enum fetch_progress_mode mode;
    const struct host *host;
    int fd; /* borrowed; what cannot be written is not missed */
    pthread_mutex_t mutex;
    struct fetch_progress_line *lines; /* in the order of beginning */
    size_t drawn;                      /* lines at the terminal's bottom */
    uint64_t drawn_ms;
    bool has_log; /* log lines go through us */
};

/* AUTO is decided by what `fd` is. While one for TERMINAL lives, the log's sink is its own. */
void fetch_progress_init(struct fetch_progress *p, enum fetch_progress_mode mode, int fd);
void fetch_progress_deinit(struct fetch_progress *p);

/* Image, digest, numbers and total of `line` are set; `p` may be NULL: nobody watches. */
void fetch_progress_begin(struct fetch_progress *p, struct fetch_progress_line *line);
void fetch_progress_add(struct fetch_progress_line *line, uint64_t bytes);
/* Goes back to the layer's first byte. */
void fetch_progress_restart(struct fetch_progress_line *line);
/* `outcome`: "done", "cached", "failed" or "canceled". */
void fetch_progress_end(struct fetch_progress_line *line, const char *outcome);

#endif
